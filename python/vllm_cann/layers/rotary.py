"""Rotary embeddings of vLLM on our kernel."""

from __future__ import annotations

import torch
from vllm.model_executor.layers.rotary_embedding.base import RotaryEmbedding
from vllm.model_executor.layers.rotary_embedding.common import ApplyRotaryEmb
from vllm.model_executor.layers.rotary_embedding.mrope import MRotaryEmbedding

import vllm_cann.ops  # noqa: F401  (registers torch.ops.vllm_cann)


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
