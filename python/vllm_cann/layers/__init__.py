"""Layers of vLLM's models that run on our kernels or on torch_npu's fused operators, one file for each kind."""

from __future__ import annotations

import functools
from typing import Any

from vllm_cann.layers.activations import CannSiluAndMul
from vllm_cann.layers.latent_attention import CannLatentAttentionWrapper
from vllm_cann.layers.moe import CannFusedMoEMethod
from vllm_cann.layers.norms import CannGemmaRMSNorm, CannRMSNorm
from vllm_cann.layers.rotary import TABLES, CannApplyRotaryEmb, CannMRotaryEmbedding
from vllm_cann.layers.row_parallel import CannRowParallelLinear
from vllm_cann.layers.vision_attention import CannMMEncoderAttention

LAYERS: tuple[Any, ...] = (
    CannRMSNorm,
    CannGemmaRMSNorm,
    CannSiluAndMul,
    *TABLES,
    CannMRotaryEmbedding,
    CannApplyRotaryEmb,
    CannFusedMoEMethod,
    CannLatentAttentionWrapper,
    CannMMEncoderAttention,
    CannRowParallelLinear,
)


@functools.cache
def register() -> None:
    """Puts the layers in place of vLLM's, once per process."""
    from vllm.model_executor.custom_op import op_registry_oot

    for layer in LAYERS:
        base = layer.__mro__[1]
        if base.__name__ not in op_registry_oot:
            base.register_oot(layer, name=base.__name__)
