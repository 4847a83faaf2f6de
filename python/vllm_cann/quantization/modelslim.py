"""Checkpoints of ModelSlim: a file beside the weights says of each tensor how it is quantised.

{"model.layers.0.self_attn.q_proj.weight": "W8A8_DYNAMIC", "model.norm.weight": "FLOAT", "model_quant_type": "W8A8_DYNAMIC", ..}

| kind | tensors beside `weight` (int8 [N, K]) |
|---|---|
| W8A8_DYNAMIC | weight_scale [N, 1]; weight_offset [N, 1], zeros |
| W8A8 | these; input_scale [1], input_offset [1]; deq_scale [N], the product of both scales; quant_bias int32 [N], the layer's bias by
  deq_scale, less what input_offset adds to a sum |

deq_scale is float32, or int64 as npu_trans_quant_param packs it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch_npu
from vllm.config import VllmConfig
from vllm.logger import init_logger
from vllm.model_executor.layers.fused_moe import RoutedExperts, UnquantizedFusedMoEMethod
from vllm.model_executor.layers.linear import (
    LinearBase,
    LinearMethodBase,
    RowParallelLinear,
    UnquantizedLinearMethod,
    register_weight_loader_v2_supported_method,
)
from vllm.model_executor.layers.quantization.base_config import QuantizationConfig, QuantizeMethodBase
from vllm.model_executor.parameter import ChannelQuantScaleParameter, ModelWeightParameter, PerTensorScaleParameter
from vllm.model_executor.utils import replace_parameter
from vllm.transformers_utils.repo_utils import file_or_path_exists

from vllm_cann.int8 import StaticQuantiser, multiply, quantise_rows
from vllm_cann.quantization.experts import CannInt8Experts

if TYPE_CHECKING:
    from vllm.model_executor.models.utils import WeightsMapper

logger = init_logger("vllm.plugins.cann.modelslim")

NAME = "ascend"
FILE = "quant_model_description.json"
_FLOAT, _STATIC, _DYNAMIC = "FLOAT", "W8A8", "W8A8_DYNAMIC"
# Entries of the file that ask for more than quantised weights.
_OTHERS = ("kv_quant_type", "kv_cache_type", "fa_quant_type")


def find(config: VllmConfig) -> None:
    """Chooses the quantisation where a model has ModelSlim's file and nobody has named one: config.json says nothing about it."""
    model = config.model_config
    if model is None or model.quantization is not None or not file_or_path_exists(model.model, FILE, model.revision):
        return
    logger.info("%s has %s: its weights are quantised by ModelSlim", model.model, FILE)
    model.quantization = NAME
    config.quant_config = VllmConfig.get_quantization_config(model, config.load_config)


def _unpacked(scale: torch.Tensor) -> torch.Tensor:
    """float32 scales; packed ones hold them in their lower 32 bits."""
    return scale.contiguous().view(torch.int32)[::2].view(torch.float32) if scale.dtype == torch.int64 else scale


def _scales_by(load: Callable[..., None]) -> Callable[..., None]:
    """The loader of a parameter, for scales that may be packed."""

    def loader(parameter: torch.nn.Parameter, loaded: torch.Tensor, *others: Any, **more: Any) -> None:
        load(parameter, _unpacked(loaded), *others, **more)

    return loader


@register_weight_loader_v2_supported_method
class ModelSlimDynamicLinear(LinearMethodBase):
    """W8A8_DYNAMIC."""

    def create_weights(
        self,
        layer: torch.nn.Module,
        input_size_per_partition: int,
        output_partition_sizes: list[int],
        input_size: int,
        output_size: int,
        params_dtype: torch.dtype,
        **more: Any,
    ) -> None:
        load = more["weight_loader"]
        rows = sum(output_partition_sizes)
        weight = torch.empty(rows, input_size_per_partition, dtype=torch.int8)
        layer.register_parameter("weight", ModelWeightParameter(data=weight, input_dim=1, output_dim=0, weight_loader=load))
        for name in ("weight_scale", "weight_offset"):
            data = torch.zeros(rows, 1, dtype=torch.float32)
            layer.register_parameter(name, ChannelQuantScaleParameter(data=data, output_dim=0, weight_loader=load))

    def process_weights_after_loading(self, layer: torch.nn.Module) -> None:
        if bool(layer.weight_offset.any()):
            raise ValueError(f"vllm_cann takes symmetric weights only: weight_offset of {layer.prefix} is not zero.")
        replace_parameter(layer, "weight", torch.nn.Parameter(layer.weight.data, requires_grad=False))
        replace_parameter(layer, "weight_scale", torch.nn.Parameter(layer.weight_scale.data.flatten(), requires_grad=False))

    def apply(self, layer: torch.nn.Module, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        rows, row_scale = quantise_rows(x.flatten(0, -2))
        return multiply(rows, layer.weight, layer.weight_scale, row_scale, bias, x.dtype).unflatten(0, x.shape[:-1])


@register_weight_loader_v2_supported_method
class ModelSlimStaticLinear(ModelSlimDynamicLinear):
    """W8A8."""

    def create_weights(
        self,
        layer: torch.nn.Module,
        input_size_per_partition: int,
        output_partition_sizes: list[int],
        input_size: int,
        output_size: int,
        params_dtype: torch.dtype,
        **more: Any,
    ) -> None:
        super().create_weights(layer, input_size_per_partition, output_partition_sizes, input_size, output_size, params_dtype, **more)
        load = more["weight_loader"]
        for name in ("input_scale", "input_offset"):
            data = torch.zeros(len(output_partition_sizes), dtype=torch.float32)
            layer.register_parameter(name, PerTensorScaleParameter(data=data, weight_loader=load))
        for name, dtype, loader in (("quant_bias", torch.int32, load), ("deq_scale", torch.float32, _scales_by(load))):
            data = torch.zeros(sum(output_partition_sizes), dtype=dtype)
            layer.register_parameter(name, ChannelQuantScaleParameter(data=data, output_dim=0, weight_loader=loader))

    def process_weights_after_loading(self, layer: torch.nn.Module) -> None:
        super().process_weights_after_loading(layer)
        for name in ("input_scale", "input_offset"):
            values = getattr(layer, name).data
            if bool((values != values[0]).any()):
                raise ValueError(f"The parts of {layer.prefix} have the same input, but {name} is {values.tolist()}.")
        self._quantise = StaticQuantiser(layer.input_scale.data[:1], layer.input_offset.data[:1], layer.params_dtype)
        scale = layer.deq_scale.data
        # Nearest, so that scales which were packed before stay what they are.
        self._scale = torch_npu.npu_trans_quant_param(scale, round_mode=1) if layer.params_dtype == torch.float16 else scale

        if isinstance(layer, RowParallelLinear) and layer.tp_rank > 0:
            # It is of the sum over all ranks, and the first rank adds it.
            layer.quant_bias.data.zero_()

    def apply(self, layer: torch.nn.Module, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        """`bias` is in quant_bias already."""
        rows = self._quantise(x.flatten(0, -2))
        return multiply(rows, layer.weight, self._scale, None, layer.quant_bias.data, x.dtype).unflatten(0, x.shape[:-1])


class ModelSlimConfig(QuantizationConfig):
    """Which method a layer has, by the file."""

    def __init__(self, description: dict[str, Any]) -> None:
        """
        Args:
            description: content of the file
        """
        super().__init__()
        self.others = {name: description[name] for name in _OTHERS if description.get(name)}
        self.kinds = {key.removesuffix(".weight"): str(kind) for key, kind in description.items() if key.endswith(".weight")}

    @classmethod
    def get_name(cls) -> str:
        return NAME

    @classmethod
    def get_supported_act_dtypes(cls) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16, torch.float32]

    @classmethod
    def get_min_capability(cls) -> int:
        return 0

    @staticmethod
    def get_config_filenames() -> list[str]:
        return [FILE]

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ModelSlimConfig:
        return cls(config)

    def apply_vllm_mapper(self, hf_to_vllm_mapper: WeightsMapper) -> None:
        self.kinds = hf_to_vllm_mapper.apply_dict(self.kinds)

    def why_not(self) -> str:
        """What of this checkpoint the plugin has not; empty when it has all."""
        for name, value in self.others.items():
            return f"{name} {value!r}"
        for name, kind in self.kinds.items():
            if kind not in (_FLOAT, _STATIC, _DYNAMIC):
                return f"{kind} of {name}"
            if kind == _STATIC and ".experts." in name:
                return f"experts of {kind} ({name})"
        return ""

    def _kind(self, prefix: str) -> str:
        """How the layer's parts are quantised, all alike."""
        start, _, last = prefix.rpartition(".")
        parts = [f"{start}.{part}" if start else part for part in self.packed_modules_mapping.get(last, [last])]
        without = [part for part in parts if part not in self.kinds]
        if without:
            raise ValueError(f"{FILE} says nothing about {without[0]}.weight.")
        return self._only(prefix, {self.kinds[part] for part in parts})

    @staticmethod
    def _only(prefix: str, kinds: set[str]) -> str:
        if len(kinds) != 1:
            raise ValueError(f"{FILE} has {sorted(kinds)} for the parts of {prefix}; vllm_cann takes one kind.")
        return kinds.pop()

    def get_quant_method(self, layer: torch.nn.Module, prefix: str) -> QuantizeMethodBase | None:
        """Of embeddings and attention none: they are not quantised."""
        if isinstance(layer, LinearBase):
            kind = self._kind(prefix)
            return UnquantizedLinearMethod() if kind == _FLOAT else ModelSlimStaticLinear() if kind == _STATIC else ModelSlimDynamicLinear()
        if isinstance(layer, RoutedExperts):
            kind = self._only(prefix, {kind for name, kind in self.kinds.items() if name.startswith(prefix + ".")})
            return UnquantizedFusedMoEMethod(layer.moe_config) if kind == _FLOAT else CannInt8Experts(layer.moe_config, has_offsets=True)
        return None
