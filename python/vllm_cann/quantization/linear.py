"""Linear layers of int8 weights with symmetric activations, as compressed-tensors has them."""

from __future__ import annotations

import torch
from vllm.model_executor.kernels.linear.scaled_mm.ScaledMMLinearKernel import Int8ScaledMMLinearKernel, Int8ScaledMMLinearLayerConfig
from vllm.model_executor.layers.quantization.utils.w8a8_utils import convert_to_channelwise
from vllm.model_executor.utils import replace_parameter

from vllm_cann.int8 import StaticQuantiser, multiply, quantise_rows


class CannInt8LinearKernel(Int8ScaledMMLinearKernel):
    """Two launches: rows to int8, and the product with its scales. In float16 with a static scale three."""

    @classmethod
    def is_supported(cls, compute_capability: int | None = None) -> tuple[bool, str | None]:
        return True, None

    @classmethod
    def can_implement(cls, c: Int8ScaledMMLinearLayerConfig) -> tuple[bool, str | None]:
        return (True, None) if c.input_symmetric else (False, "takes symmetric activations only")

    def process_weights_after_loading(self, layer: torch.nn.Module) -> None:
        _, name, input_name, *_ = self.layer_param_names
        scale = getattr(layer, name)
        if not self.config.is_channelwise and self.config.is_fused_module:
            scale = convert_to_channelwise(scale, layer.logical_widths)
        scale = scale.data.flatten().float()
        if self.config.is_static_input_scheme:
            rows = getattr(layer, input_name).data.max().reshape(1).float()
            self._quantise = StaticQuantiser(rows, None, layer.params_dtype)
            self._row_scale = None
            if layer.params_dtype == torch.float16:
                # Without scales of rows, float16 takes packed scales, which are less exact. A device read, when loading.
                self._row_scale = rows.item()
            else:
                scale = scale * rows
        replace_parameter(layer, name, torch.nn.Parameter(scale, requires_grad=False))

    def apply_weights(self, layer: torch.nn.Module, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        weight, scale, *_ = (getattr(layer, name) for name in self.layer_param_names[:2])
        flat = x.flatten(0, -2)
        row_scale: torch.Tensor | None = None
        if not self.config.is_static_input_scheme:
            rows, row_scale = quantise_rows(flat)
        else:
            rows = self._quantise(flat)
            if self._row_scale is not None:
                row_scale = torch.full(flat.shape[:1], self._row_scale, dtype=torch.float32, device=x.device)
        return multiply(rows, weight, scale, row_scale, bias, x.dtype).unflatten(0, x.shape[:-1])
