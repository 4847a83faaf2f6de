"""The layer around latent attention: one launch normalises, rotates and caches the latent rows of a step."""

from __future__ import annotations

from typing import Any

import torch
from vllm.forward_context import get_forward_context
from vllm.model_executor.layers.mla import MultiHeadLatentAttentionWrapper
from vllm.model_executor.layers.rotary_embedding.base import RotaryEmbeddingBase

from vllm_cann.attention.backend import BLOCK_SIZE
from vllm_cann.attention.mla import CannLatentAttention, CannLatentBackend
from vllm_cann.layers.norms import CannRMSNorm
from vllm_cann.layers.rotary import TABLES
from vllm_cann.ops.kv_rmsnorm_rope_cache import kv_rmsnorm_rope_cache


def why_not(layer: MultiHeadLatentAttentionWrapper) -> str:
    """Why a layer takes vLLM's steps, each by itself; empty when it takes one launch."""
    rope = layer.rotary_emb
    if layer.indexer is not None or layer.is_sparse:
        return "it chooses keys by an index"
    if type(rope) not in TABLES or rope.is_neox_style or rope.head_size != layer.qk_rope_head_dim:
        return f"its rotary embedding is {type(rope).__name__}"
    if type(layer.kv_a_layernorm) is not CannRMSNorm:
        return f"its norm is {type(layer.kv_a_layernorm).__name__}"
    return ""


class CannLatentAttentionWrapper(MultiHeadLatentAttentionWrapper):
    """Latent attention with its projections. The rotated parts of queries and of the cache have the first of all pairs first."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.is_fused = not why_not(self)
        impl = self.mla_attn.impl
        assert isinstance(impl, CannLatentAttention)
        impl.latent_is_cached = self.is_fused

    def forward(self, positions: torch.Tensor, hidden_states: torch.Tensor, llama_4_scaling: torch.Tensor | None = None) -> torch.Tensor:
        if not self.is_fused:
            return super().forward(positions, hidden_states, llama_4_scaling)
        query, latent = self._project(hidden_states)
        rope = self.rotary_emb
        assert isinstance(rope, RotaryEmbeddingBase)
        rotated = query[..., self.qk_nope_head_dim :].contiguous()
        table = rope._match_cos_sin_cache_dtype(query)
        torch.ops.vllm_cann.rotary_embedding(positions, rotated, None, self.qk_rope_head_dim, table, False, to_halves=True)
        query[..., self.qk_nope_head_dim :] = rotated
        if llama_4_scaling is not None:
            query *= llama_4_scaling
        key_rope, normed = self._cache(positions, latent, table)
        tokens = hidden_states.shape[0]
        out = self.mla_attn(query, normed, key_rope, output_shape=(tokens, self.num_heads * self.v_head_dim))
        if self.g_proj is not None:
            out = out * self.g_proj(hidden_states)[0].sigmoid()
        return self.o_proj(out)[0]

    def _project(self, hidden_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Queries [tokens, heads, qk head size] and latent rows [tokens, rank + rope]."""
        if self.q_lora_rank is None:
            latent = self.kv_a_proj_with_mqa(hidden_states)[0]
            query = self.q_proj(hidden_states)[0]
        else:
            both = self.fused_qkv_a_proj(hidden_states)[0]
            low, latent = both.split([self.q_lora_rank, self.kv_lora_rank + self.qk_rope_head_dim], -1)
            query = self.q_b_proj(self.q_a_layernorm(low))[0]
        return query.view(-1, self.num_heads, self.qk_head_dim), latent

    def _cache(self, positions: torch.Tensor, latent: torch.Tensor, table: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Caches the step's latent rows. Returns their rotated parts [tokens, 1, rope] and normalised parts [tokens, rank]."""
        tokens = latent.shape[0]
        cos, sin = self._angles(positions, table)
        normed_cache, rotated_cache, slots = self._target(latent)
        rotated, normed = kv_rmsnorm_rope_cache(
            latent.view(tokens, 1, 1, -1),
            self.kv_a_layernorm.weight,
            cos.view(tokens, 1, 1, -1),
            sin.view(tokens, 1, 1, -1),
            slots,
            rotated_cache,
            normed_cache,
            epsilon=self.kv_a_layernorm.variance_epsilon,
            cache_mode="PA_BNSD",
            is_output_kv=True,
        )
        return rotated.view(tokens, 1, -1), normed.view(tokens, -1)

    def _target(self, latent: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The parts of the cache and int64 [tokens] slots; in the run that measures memory, none of them is written."""
        tokens = latent.shape[0]
        mapping = get_forward_context().slot_mapping
        slots = mapping.get(self.mla_attn.layer_name) if isinstance(mapping, dict) else None
        cache = self.mla_attn.kv_cache
        if slots is None or cache.numel() == 0:
            cache = latent.new_empty(1, BLOCK_SIZE, self.kv_lora_rank + self.qk_rope_head_dim)
            slots = torch.full((tokens,), -1, dtype=torch.int64, device=latent.device)
        return *CannLatentBackend.parts(cache, self.kv_lora_rank), slots[:tokens]

    def _angles(self, positions: torch.Tensor, table: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosines and sines of the step's tokens, each [tokens, rope]: those of all pairs, twice. Layers of a step share them."""
        step = get_forward_context().attn_metadata
        known = step[self.mla_attn.layer_name].angles if isinstance(step, dict) else {}
        key = id(self.rotary_emb)
        if key not in known:
            cos, sin = table.index_select(0, positions).chunk(2, -1)
            known[key] = (cos.repeat(1, 2), sin.repeat(1, 2))
        return known[key]
