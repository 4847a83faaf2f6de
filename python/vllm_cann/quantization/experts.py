"""Mixtures of experts of int8 weights with a scale for each column, and a scale for each row that is found as they are computed."""

from __future__ import annotations

from typing import Any

import torch
from vllm.model_executor.layers.fused_moe import FusedMoeWeightScaleSupported
from vllm.model_executor.layers.fused_moe.config import FusedMoEConfig, FusedMoEQuantConfig
from vllm.model_executor.layers.fused_moe.fused_moe_method_base import FusedMoEMethodBase
from vllm.model_executor.layers.fused_moe.routed_experts import RoutedExperts
from vllm.model_executor.utils import set_weight_attrs

from vllm_cann.int8 import multiply_groups, quantise_rows
from vllm_cann.layers.moe import activation_of, weighted
from vllm_cann.ops.moe_finalize_routing import ROWS_IN_ORDER, moe_finalize_routing
from vllm_cann.ops.moe_init_routing import moe_init_routing_v2

_DYNAMIC = 1  # quant_mode of routing: int8 with a scale for each row


class CannInt8Experts(FusedMoEMethodBase):
    """Six launches after the gate: routing, which quantises rows; product; activation; quantisation; product; the weighted sum.

    In bfloat16 scales of columns are bfloat16, as the product has no others with that result.
    """

    def __init__(self, moe: FusedMoEConfig, has_offsets: bool = False) -> None:
        """
        Args:
            moe: vLLM's configuration of the layer
            has_offsets: the checkpoint has offsets of weights, which have to be zero

        Raises:
            ValueError: experts with a bias, or with an activation that the plugin has not
        """
        super().__init__(moe)
        if moe.has_bias:
            raise ValueError("vllm_cann has no int8 experts with a bias.")
        self._activate = activation_of(moe.activation)
        self._has_offsets = has_offsets

    @property
    def is_monolithic(self) -> bool:
        return False

    def create_weights(
        self,
        layer: RoutedExperts,
        num_experts: int,
        hidden_size: int,
        intermediate_size_per_partition: int,
        params_dtype: torch.dtype,
        **attributes: Any,
    ) -> None:
        def add(name: str, *shape: int, dtype: torch.dtype = torch.float32, **more: Any) -> None:
            parameter = torch.nn.Parameter(torch.zeros(shape, dtype=dtype), requires_grad=False)
            layer.register_parameter(name, parameter)
            set_weight_attrs(parameter, {**attributes, **more})

        for name, rows, columns in (
            ("w13", 2 * intermediate_size_per_partition, hidden_size),
            ("w2", hidden_size, intermediate_size_per_partition),
        ):
            add(f"{name}_weight", num_experts, rows, columns, dtype=torch.int8)
            for kind in ("scale", "offset") if self._has_offsets else ("scale",):
                add(f"{name}_weight_{kind}", num_experts, rows, 1, quant_method=FusedMoeWeightScaleSupported.CHANNEL.value)

    def process_weights_after_loading(self, layer: RoutedExperts) -> None:
        if layer.expert_map is not None:
            raise ValueError("vllm_cann has no expert parallelism of int8 experts.")
        for name in ("w13", "w2"):
            if self._has_offsets and bool(getattr(layer, f"{name}_weight_offset").any()):
                raise ValueError(f"vllm_cann takes symmetric weights only: {name}_weight_offset of experts is not zero.")
        kind = torch.bfloat16 if layer.params_dtype == torch.bfloat16 else torch.float32
        self._scales = [getattr(layer, f"{name}_weight_scale").data.squeeze(-1).to(kind).contiguous() for name in ("w13", "w2")]

    def get_fused_moe_quant_config(self, layer: torch.nn.Module) -> FusedMoEQuantConfig | None:
        """None: it is for vLLM's own kernels."""
        return None

    def apply(
        self,
        layer: RoutedExperts,
        x: torch.Tensor,
        topk_weights: torch.Tensor,
        topk_ids: torch.Tensor,
        shared_experts: Any,
        shared_experts_input: torch.Tensor | None,
    ) -> torch.Tensor:
        """The weighted sum of the rows [tokens, hidden] that a token's experts make of it; the runner adds shared experts."""
        x, weights = weighted(layer, x, topk_weights)
        rows, places, sums, scales = moe_init_routing_v2(
            x.contiguous(),
            topk_ids,
            expert_num=layer.w13_weight.shape[0],
            expert_tokens_num_type=0,
            expert_tokens_num_flag=True,
            quant_mode=_DYNAMIC,
        )
        hidden = self._activate(multiply_groups(rows, scales, layer.w13_weight, self._scales[0], sums, x.dtype))
        out = multiply_groups(*quantise_rows(hidden), layer.w2_weight, self._scales[1], sums, x.dtype)
        return moe_finalize_routing(out, None, None, None, weights, places, None, ROWS_IN_ORDER)
