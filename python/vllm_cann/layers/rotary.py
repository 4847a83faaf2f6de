"""Rotary embeddings of vLLM on our kernel."""

from __future__ import annotations

import torch
from vllm.model_executor.layers import rotary_embedding as kinds
from vllm.model_executor.layers.rotary_embedding.base import RotaryEmbedding, RotaryEmbeddingBase
from vllm.model_executor.layers.rotary_embedding.common import ApplyRotaryEmb
from vllm.model_executor.layers.rotary_embedding.deepseek_scaling_rope import DeepseekScalingRotaryEmbedding
from vllm.model_executor.layers.rotary_embedding.gemma4_rope import Gemma4RotaryEmbedding
from vllm.model_executor.layers.rotary_embedding.mrope import MRotaryEmbedding

import vllm_cann.ops  # noqa: F401  (registers torch.ops.vllm_cann)


def _in_place(
    self: RotaryEmbeddingBase,
    positions: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor | None = None,
    offsets: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The forward of all rotary embeddings that differ in their table of angles only: our kernel, in place."""
    torch.ops.vllm_cann.rotary_embedding(
        positions if offsets is None else positions + offsets,
        query,
        key,
        self.head_size,
        self._match_cos_sin_cache_dtype(query),
        self.is_neox_style,
    )
    return query, key


# vLLM replaces a layer by the name of its own class, not by that of a class that it inherits.
TABLES = tuple(
    type(f"Cann{base.__name__}", (base,), {"forward_oot": _in_place, "__doc__": f"{base.__name__} by our kernel, in place."})
    for base in (
        RotaryEmbedding,
        DeepseekScalingRotaryEmbedding,
        Gemma4RotaryEmbedding,
        kinds.DynamicNTKAlphaRotaryEmbedding,
        kinds.DynamicNTKScalingRotaryEmbedding,
        kinds.LinearScalingRotaryEmbedding,
        kinds.Llama3RotaryEmbedding,
        kinds.NTKScalingRotaryEmbedding,
        kinds.YaRNScalingRotaryEmbedding,
    )
)


def long_rope_forward(
    self: kinds.Phi3LongRoPEScaledRotaryEmbedding,
    positions: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor | None = None,
    offsets: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The forward of LongRoPE, which is no layer that vLLM can replace: its table holds the short angles, then the long ones."""
    if self.long_short_cos_sin_cache.dtype != query.dtype:
        self.long_short_cos_sin_cache = self.long_short_cos_sin_cache.to(query.dtype)
    short = self.original_max_position_embeddings
    table = self.long_short_cos_sin_cache[short:] if self.use_long_rope else self.long_short_cos_sin_cache[:short]
    places = positions if offsets is None else positions + offsets
    torch.ops.vllm_cann.rotary_embedding(places, query, key, self.head_size, table, True)
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
