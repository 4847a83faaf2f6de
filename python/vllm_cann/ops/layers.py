"""vLLM layers that run on our kernels or on torch_npu's fused operators."""

from __future__ import annotations

import functools

import torch
import torch_npu
from torch import nn
from vllm.model_executor.custom_op import CustomOp
from vllm.model_executor.layers.activation import SiluAndMul
from vllm.model_executor.layers.layernorm import RMSNorm
from vllm.model_executor.layers.rotary_embedding.base import RotaryEmbedding
from vllm.model_executor.layers.rotary_embedding.common import ApplyRotaryEmb
from vllm.model_executor.layers.rotary_embedding.mrope import MRotaryEmbedding

import vllm_cann.ops  # noqa: F401  (registers torch.ops.vllm_cann)


class CannRMSNorm(RMSNorm):
    """RMSNorm by npu_rms_norm and npu_add_rms_norm."""

    def forward_oot(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        if self.variance_size_override is not None or not self.has_weight:
            return self.forward_native(x, residual)
        if residual is None:
            return torch_npu.npu_rms_norm(x.contiguous(), self.weight, self.variance_epsilon)[0]
        normed, _, total = torch_npu.npu_add_rms_norm(x.contiguous(), residual.contiguous(), self.weight, self.variance_epsilon)
        return normed, total


class CannSiluAndMul(SiluAndMul):
    """SwiGLU by npu_swiglu."""

    def forward_oot(self, x: torch.Tensor) -> torch.Tensor:
        return torch_npu.npu_swiglu(x)


class CannRotaryEmbedding(RotaryEmbedding):
    """Rotary embedding by our kernel, in place."""

    def forward_oot(
        self, positions: torch.Tensor, query: torch.Tensor, key: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        torch.ops.vllm_cann.rotary_embedding(
            positions,
            query,
            key,
            self.head_size,
            self._match_cos_sin_cache_dtype(query),
            self.is_neox_style,
        )
        return query, key


class CannMRotaryEmbedding(MRotaryEmbedding):
    """Rotary embedding with positions in time, height and width, in place."""

    def forward_oot(
        self,
        positions: torch.Tensor,
        query: torch.Tensor,
        key: torch.Tensor | None = None,
        offsets: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        if offsets is not None:
            raise NotImplementedError("position offsets of a multimodal rotary embedding are not available on vllm_cann")
        torch.ops.vllm_cann.rotary_embedding(
            positions.contiguous(),  # axes are the beginnings of the rows of the runner's buffer
            query,
            key,
            self.head_size,
            self._match_cos_sin_cache_dtype(query),
            self.is_neox_style,
            mrope_section=self.mrope_section,
            mrope_interleaved=self.mrope_interleaved,
        )
        return query, key


class CannApplyRotaryEmb(ApplyRotaryEmb):
    """Rotary embedding by given angles, of vision models."""

    def forward_oot(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        # The kernel calculates in float32 in any case; here the angles are not rounded to x's dtype either.
        y = x.float() if self.enable_fp32_compute else x
        return torch.ops.vllm_cann.apply_rotary_emb(y, cos.to(y.dtype), sin.to(y.dtype), self.is_neox_style).to(x.dtype)


def qk_norm_attention(self: nn.Module, positions: torch.Tensor, hidden_states: torch.Tensor) -> torch.Tensor:
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


def why_not_qk_norm_attention(layer: nn.Module) -> str:
    """Why the steps of an attention layer cannot be those of qk_norm_attention; empty when they can."""
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


LAYERS = (CannRMSNorm, CannSiluAndMul, CannRotaryEmbedding, CannMRotaryEmbedding, CannApplyRotaryEmb)


@functools.cache
def register() -> None:
    """Puts the layers in place of vLLM's, once per process."""
    from vllm.model_executor.custom_op import op_registry_oot

    for layer in LAYERS:
        base = layer.__mro__[1]
        if base.__name__ not in op_registry_oot:
            base.register_oot(_decorated_op_cls=layer, name=base.__name__)
