"""Norms of vLLM on torch_npu's fused operators."""

from __future__ import annotations

import torch
import torch_npu
from vllm.model_executor.layers.layernorm import GemmaRMSNorm, RMSNorm


class CannRMSNorm(RMSNorm):
    """RMSNorm by npu_rms_norm and npu_add_rms_norm."""

    def forward_oot(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        if self.variance_size_override is not None or not self.has_weight:
            return self.forward_native(x, residual)
        if residual is None:
            return torch_npu.npu_rms_norm(x.contiguous(), self.weight, self.variance_epsilon)[0]
        normed, _, total = torch_npu.npu_add_rms_norm(x.contiguous(), residual.contiguous(), self.weight, self.variance_epsilon)
        return normed, total


class CannGemmaRMSNorm(GemmaRMSNorm):
    """RMSNorm by npu_rms_norm, the stored weights being what is above 1. The operator takes float32 weights beside rows of 16 bits."""

    def forward_oot(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        total = x if residual is None else x + residual
        normed = torch_npu.npu_rms_norm(total.contiguous(), self._whole_weight(), self.variance_epsilon)[0]
        return normed if residual is None else (normed, total)

    def _whole_weight(self) -> torch.Tensor:
        """float32 [hidden size], made once for each content of the weights."""
        content = (self.weight.data_ptr(), self.weight._version)
        if getattr(self, "_content", None) != content:
            self._whole, self._content = self.weight.data.float() + 1.0, content
        return self._whole
