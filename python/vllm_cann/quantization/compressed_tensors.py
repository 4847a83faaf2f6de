"""Checkpoints of compressed-tensors: what of them is served, and its experts."""

from __future__ import annotations

from typing import Any

import torch
from compressed_tensors.quantization import QuantizationArgs, QuantizationStrategy, QuantizationType
from vllm.model_executor.layers.fused_moe import RoutedExperts, UnquantizedFusedMoEMethod
from vllm.model_executor.layers.quantization.base_config import QuantizeMethodBase
from vllm.model_executor.layers.quantization.compressed_tensors.compressed_tensors import CompressedTensorsConfig

from vllm_cann.quantization.experts import CannInt8Experts


def _why_not_weights(weights: QuantizationArgs) -> str:
    if weights.type != QuantizationType.INT:
        return f"weights of {weights.num_bits} bits that are no integers"
    if weights.num_bits != 8:
        return f"weights of {weights.num_bits} bits"
    if weights.strategy not in (QuantizationStrategy.CHANNEL, QuantizationStrategy.TENSOR):
        return f"scales of weights by {QuantizationStrategy(weights.strategy).value}"
    return "" if weights.symmetric else "asymmetric weights"


def _why_not_activations(activations: QuantizationArgs | None) -> str:
    if activations is None:
        return "activations that are not quantised"
    if activations.type != QuantizationType.INT or activations.num_bits != 8:
        return f"activations of {activations.num_bits} bits" + ("" if activations.type == QuantizationType.INT else " that are no integers")
    if not activations.symmetric:
        return "asymmetric activations"
    wanted = QuantizationStrategy.TOKEN if activations.dynamic else QuantizationStrategy.TENSOR
    if activations.strategy != wanted:
        return (
            f"{'dynamic' if activations.dynamic else 'static'} scales of activations by {QuantizationStrategy(activations.strategy).value}"
        )
    return ""


def _why_not(scheme: dict[str, Any]) -> str:
    if scheme.get("output_activations") is not None:
        return "quantised outputs"
    return _why_not_weights(scheme["weights"]) or _why_not_activations(scheme.get("input_activations"))


class CannCompressedTensorsConfig(CompressedTensorsConfig):
    """vLLM's configuration, with experts of the plugin."""

    def why_not(self) -> str:
        """What of this checkpoint the plugin has not; empty when it has all."""
        if self.kv_cache_scheme is not None:
            return "kv_cache_scheme"
        if self.transform_config is not None:
            return "transform_config"
        return next((reason for reason in map(_why_not, self.target_scheme_map.values()) if reason), "")

    def get_quant_method(self, layer: torch.nn.Module, prefix: str) -> QuantizeMethodBase | None:
        if not isinstance(layer, RoutedExperts):
            return super().get_quant_method(layer, prefix)
        self._add_fused_moe_to_target_scheme_map()
        names = [f"{prefix}.0.{name}" for name in (layer.ckpt_gate_proj_name, layer.ckpt_up_proj_name, layer.ckpt_down_proj_name)]
        scheme, *others = [self.get_scheme_dict(layer, name) for name in names]
        if any(other != scheme for other in others):
            raise ValueError(f"The matrices of {prefix} have different schemes; vllm_cann takes one for all of them.")
        if scheme is None:
            return UnquantizedFusedMoEMethod(layer.moe_config)
        weights, activations = scheme["weights"], scheme["input_activations"]
        if weights.strategy != QuantizationStrategy.CHANNEL or not activations.dynamic:
            raise ValueError(
                f"vllm_cann has int8 experts with scales of channels and dynamic scales of rows only; {prefix} has weights by "
                f"{QuantizationStrategy(weights.strategy).value} and {'dynamic' if activations.dynamic else 'static'} activations."
            )
        return CannInt8Experts(layer.moe_config)
