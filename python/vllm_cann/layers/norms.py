"""Norms of vLLM on torch_npu's fused operators."""

from __future__ import annotations

import torch
import torch_npu
from vllm.model_executor.layers.layernorm import RMSNorm


class CannRMSNorm(RMSNorm):
    """RMSNorm by npu_rms_norm and npu_add_rms_norm."""

    def forward_oot(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        if self.variance_size_override is not None or not self.has_weight:
            return self.forward_native(x, residual)
        if residual is None:
            return torch_npu.npu_rms_norm(x.contiguous(), self.weight, self.variance_epsilon)[0]
        normed, _, total = torch_npu.npu_add_rms_norm(x.contiguous(), residual.contiguous(), self.weight, self.variance_epsilon)
        return normed, total
