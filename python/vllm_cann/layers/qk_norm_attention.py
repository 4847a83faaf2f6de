"""Attention layers whose heads of query and key are normalised: one launch between projection and attention."""

from __future__ import annotations

import torch
from torch import nn
from vllm.model_executor.custom_op import CustomOp
from vllm.model_executor.layers.rotary_embedding.base import RotaryEmbedding
from vllm.model_executor.layers.rotary_embedding.mrope import MRotaryEmbedding

import vllm_cann.ops  # noqa: F401  (registers torch.ops.vllm_cann)
from vllm_cann.layers.norms import CannRMSNorm


def forward(self: nn.Module, positions: torch.Tensor, hidden_states: torch.Tensor) -> torch.Tensor:
    """The forward of an attention layer whose heads of query and key are normalised: all between projection and attention in one launch.

    While one of the steps has a hook, the layer takes its steps one by one.
    """
    rope, norm, k_norm = self.rotary_emb, self.q_norm, self.k_norm
    if any(step._forward_hooks or step._forward_pre_hooks for step in (rope, norm, k_norm)):
        return type(self).forward(self, positions, hidden_states)
    qkv, _ = self.qkv_proj(hidden_states)
    query, key, value, _ = torch.ops.vllm_cann.qkv_rmsnorm_rope(
        qkv,
        norm.weight,
        k_norm.weight,
        self.num_heads,
        self.num_kv_heads,
        self.head_dim,
        norm.variance_epsilon,
        cos_sin_cache=rope._match_cos_sin_cache_dtype(qkv),
        positions=positions,
        mrope_section=getattr(rope, "mrope_section", None),
        mrope_interleaved=getattr(rope, "mrope_interleaved", False),
    )
    output, _ = self.o_proj(self.attn(query, key, value))
    return output


def why_not(layer: nn.Module) -> str:
    """Why the steps of an attention layer cannot be those of `forward`; empty when they can."""
    rope, norms = layer.rotary_emb, (layer.q_norm, layer.k_norm)
    # Those that only make another table of angles (YaRN, Llama 3, ...) inherit both.
    rotations = (RotaryEmbedding.forward_native, MRotaryEmbedding.forward_native)
    if type(rope).forward is not CustomOp.forward or type(rope).forward_native not in rotations:
        return f"its rotary embedding is {type(rope).__name__}"
    if not rope.is_neox_style or rope.head_size != layer.head_dim:
        return f"its rotary embedding is of {rope.head_size} elements, {'halves' if rope.is_neox_style else 'neighbours'} being paired"
    for norm in norms:
        if type(norm) is not CannRMSNorm or not norm.has_weight or norm.variance_size_override is not None:
            return f"its norm is {type(norm).__name__}" + ("" if type(norm) is not CannRMSNorm else " without a weight, or of a part")
    if norms[0].variance_epsilon != norms[1].variance_epsilon:
        return f"its norms have the epsilons {norms[0].variance_epsilon} and {norms[1].variance_epsilon}"
    if {norm.weight.dtype for norm in norms} != {rope.dtype}:
        return f"its norms have weights of {norms[0].weight.dtype} and {norms[1].weight.dtype}, its rotary embedding {rope.dtype}"
    return ""
