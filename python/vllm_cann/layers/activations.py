"""Activations of vLLM on torch_npu's fused operators."""

from __future__ import annotations

import torch
import torch_npu
from vllm.model_executor.layers.activation import SiluAndMul


class CannSiluAndMul(SiluAndMul):
    """SwiGLU by npu_swiglu."""

    def forward_oot(self, x: torch.Tensor) -> torch.Tensor:
        return torch_npu.npu_swiglu(x)
