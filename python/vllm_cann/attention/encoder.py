"""Attention among the tokens of a step, without a cache: of texts that are read as a whole, and of images.

A token sees all tokens of its sequence, or those within a window on both sides. bfloat16 and float16 take
npu_fused_infer_attention_score in its packed form, with heads widened to a size that this form has. float32 and larger heads are computed
with plain torch operators.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch_npu
from vllm.config import VllmConfig
from vllm.v1.attention.backend import (
    AttentionImpl,
    AttentionLayer,
    AttentionMetadata,
    AttentionMetadataBuilder,
    AttentionType,
    CommonAttentionMetadata,
)
from vllm.v1.kv_cache_interface import KVCacheSpec

from vllm_cann.attention.backend import PagedBackend
from vllm_cann.attention.metadata import BAND, HALVES, causal_template

# Head sizes of the packed form: 64 only with as many KV heads as heads.
_NARROW, _WIDE = 64, 128
# Lengths that one call takes.
_MOST_SEQUENCES = 4096
# Scores that are computed at a time by torch: 256 MiB of float32.
_MOST_SCORES = 1 << 26


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, ends: list[int], scale: float, window: int | None = None
) -> torch.Tensor:
    """Attention of each sequence to itself.

    Args:
        query: [tokens, heads, head size], any strides
        key, value: [tokens, KV heads, head size], any strides
        ends: where each sequence ends, the last one at `tokens`; equal ends are empty sequences
        scale: factor of the scores
        window: a token sees those less than this far away; None: all of its sequence

    Returns:
        [tokens, heads, head size], the dtype of query
    """
    size = query.shape[-1]
    if query.dtype not in HALVES or size > _WIDE:
        return _by_torch(query, key, value, ends, scale, window)
    wide = _NARROW if size <= _NARROW and query.shape[1] == key.shape[1] else _WIDE
    if size == wide:
        padded = [part.contiguous() for part in (query, key, value)]
    else:
        padded = [torch.nn.functional.pad(part, (0, wide - size)) for part in (query, key, value)]
    sight: dict[str, Any] = {"sparse_mode": 0}
    if window is not None:
        sight = {"sparse_mode": BAND, "pre_tokens": window - 1, "next_tokens": window - 1, "atten_mask": causal_template(query.device)}
    parts = []
    for first in range(0, len(ends), _MOST_SEQUENCES):
        some = ends[first : first + _MOST_SEQUENCES]
        start = ends[first - 1] if first else 0
        q, k, v = (part[start : some[-1]] for part in padded)
        sums = [end - start for end in some]
        parts.append(
            torch_npu.npu_fused_infer_attention_score(
                q,
                k,
                v,
                num_heads=q.shape[1],
                num_key_value_heads=k.shape[1],
                scale=scale,
                input_layout="TND",
                actual_seq_lengths=sums,
                actual_seq_lengths_kv=sums,
                **sight,
            )[0]
        )
    result = parts[0] if len(parts) == 1 else torch.cat(parts)
    return result[..., :size]


def _by_torch(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, ends: list[int], scale: float, window: int | None
) -> torch.Tensor:
    """In float32. Neighbours of one length are computed at once, as the windows of an image are."""
    heads = query.shape[1]
    repeats = heads // key.shape[1]
    if repeats > 1:
        key, value = (part.repeat_interleave(repeats, 1) for part in (key, value))
    output = torch.empty_like(query, memory_format=torch.contiguous_format)
    lengths = [end - start for start, end in zip([0, *ends], ends, strict=False)]
    start = 0
    for length, same in itertools.groupby(lengths):
        if length == 0:
            continue
        count = len([*same])
        step = max(1, _MOST_SCORES // (heads * length * length))
        for begin in range(0, count, step):
            part = slice(start + begin * length, start + min(begin + step, count) * length)
            # [sequences, heads, length, head size]
            q, k, v = (one[part].unflatten(0, (-1, length)).transpose(1, 2).float() for one in (query, key, value))
            scores = (q @ k.transpose(2, 3)) * scale
            if window is not None and length > window:
                places = torch.arange(length, dtype=torch.int32, device=query.device)
                scores = scores.masked_fill((places[:, None] - places).abs() >= window, float("-inf"))
            output[part].copy_((torch.softmax(scores, -1) @ v).transpose(1, 2).flatten(0, 1))
        start += count * length
    return output


class CannEncoderBackend(PagedBackend):
    """Attention of models that read a text as a whole, and cache nothing."""

    supported_dtypes: ClassVar[list[torch.dtype]] = [torch.float16, torch.bfloat16, torch.float32]
    # There is no cache that a layer could write by a call of its own.
    forward_includes_kv_cache_update = True

    @staticmethod
    def get_name() -> str:
        # Has to be a member of vLLM's enumeration; this is the one for plugins.
        return "CUSTOM"

    @staticmethod
    def get_impl_cls() -> type[CannEncoderAttention]:
        return CannEncoderAttention

    @staticmethod
    def get_builder_cls() -> type[CannEncoderMetadataBuilder]:
        return CannEncoderMetadataBuilder

    @classmethod
    def supports_attn_type(cls, attn_type: str) -> bool:
        return attn_type == AttentionType.ENCODER_ONLY


@dataclass
class EncoderMetadata(AttentionMetadata):
    """One step's requests."""

    query_ends: list[int]
    """For each request, where its tokens end."""


class CannEncoderMetadataBuilder(AttentionMetadataBuilder[EncoderMetadata]):
    """Makes the metadata of a step on the host."""

    def __init__(self, kv_cache_spec: KVCacheSpec, layer_names: list[str], vllm_config: VllmConfig, device: torch.device) -> None:
        super().__init__(kv_cache_spec, layer_names, vllm_config, device)

    def build(self, common_prefix_len: int, common_attn_metadata: CommonAttentionMetadata, fast_build: bool = False) -> EncoderMetadata:
        common = common_attn_metadata
        return EncoderMetadata(query_ends=common.query_start_loc_cpu[1 : common.num_reqs + 1].tolist())


class CannEncoderAttention(AttentionImpl[EncoderMetadata]):
    """Attention of one layer to the tokens of this step."""

    def __init__(
        self,
        num_heads: int,
        head_size: int,
        scale: float,
        num_kv_heads: int | None = None,
        alibi_slopes: list[float] | None = None,
        sliding_window: int | None = None,
        kv_cache_dtype: str = "auto",
        logits_soft_cap: float | None = None,
        attn_type: str = AttentionType.ENCODER_ONLY,
        kv_sharing_target_layer_name: str | None = None,
        **unknown: Any,
    ) -> None:
        refused = {"alibi_slopes": alibi_slopes, "logits_soft_cap": logits_soft_cap or None, **unknown}
        for name, value in refused.items():
            if value is not None:
                raise ValueError(f"vllm_cann has no encoder attention with {name} ({value!r}).")
        if attn_type != AttentionType.ENCODER_ONLY:
            raise ValueError(f"vllm_cann has decoder and encoder-only attention, not {attn_type}.")
        self.num_heads = num_heads
        self.head_size = head_size
        self.scale = float(scale)
        self.num_kv_heads = num_kv_heads or num_heads
        self.kv_cache_dtype = kv_cache_dtype
        self.window = sliding_window

    def forward(
        self,
        layer: AttentionLayer,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        kv_cache: torch.Tensor,
        attn_metadata: EncoderMetadata,
        output: torch.Tensor,
        output_scale: torch.Tensor | None = None,
        output_block_scale: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attention of query [tokens, heads, head size] into output, of the same shape."""
        if attn_metadata is None:
            return output.zero_()  # the run that measures memory
        ends = attn_metadata.query_ends
        tokens = ends[-1]
        output[:tokens].copy_(attend(query[:tokens], key[:tokens], value[:tokens], ends, self.scale, self.window))
        return output
