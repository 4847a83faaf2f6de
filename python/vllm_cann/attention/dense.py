"""Attention of a layer in which a token sees the tokens before it, all of them or the last of them.

bfloat16 and float16 take npu_fused_infer_attention_score, which reads the paged cache where our kernel wrote it. Which calls the device
accepts decides their form: with head size 128 (or 64 and as many KV heads as heads) all requests are packed into one call; with other head
sizes the requests that decode one token are one call and the rest, padded to the longest, another. A cache of int8 it reads for one token
of a request; for more, a request's keys and values are made numbers first. What the fused operator does not take
(float32, a soft cap, ALiBi, sinks) is computed with plain torch operators.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
import torch_npu
from vllm.logger import init_logger
from vllm.v1.attention.backend import AttentionImpl, AttentionLayer, AttentionType

from vllm_cann import config
from vllm_cann.attention.backend import BLOCK_SIZE, INT8_CACHE
from vllm_cann.attention.cache import Cache, Int8Cache, PlainCache
from vllm_cann.attention.metadata import BAND, CAUSAL, HALVES, CannMetadata, Group
from vllm_cann.attention.pictures import Picture

logger = init_logger("vllm.plugins.cann.attention")

# The sparse_mode of the fused operator for a mask for each query.
_FULL = 0

# What the fused operator takes of head sizes, of heads for a KV head, and of elements of all KV heads.
_SIZE_STEP, _LARGEST_SIZE, _LARGEST_GROUP, _LARGEST_ROW = 16, 512, 64, 65535
# The same of head sizes over a cache of int8.
_INT8_STEP = 32


def why_not_fused(dtype: torch.dtype, head_size: int, num_heads: int, num_kv_heads: int) -> str:
    """Why the fused operator does not take such heads; empty when it does."""
    if dtype not in HALVES:
        return f"it takes float16 or bfloat16, not {dtype}"
    if head_size % _SIZE_STEP or head_size > _LARGEST_SIZE:
        return f"it takes head sizes that are multiples of {_SIZE_STEP} up to {_LARGEST_SIZE}, not {head_size}"
    if num_heads > _LARGEST_GROUP * num_kv_heads:
        return f"it takes up to {_LARGEST_GROUP} heads for each KV head, not {num_heads} for {num_kv_heads}"
    if num_kv_heads * head_size > _LARGEST_ROW:
        return f"it takes up to {_LARGEST_ROW} elements of all KV heads, not {num_kv_heads} of {head_size}"
    return ""


class CannAttention(AttentionImpl[CannMetadata]):
    """Attention of one layer."""

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
        attn_type: str = AttentionType.DECODER,
        kv_sharing_target_layer_name: str | None = None,
        sinks: torch.Tensor | None = None,
        **unknown: Any,
    ) -> None:
        from vllm.config import get_current_vllm_config

        for name, value in unknown.items():
            if value is not None:
                raise ValueError(f"vllm_cann has no attention with {name} ({value!r}).")
        if attn_type != AttentionType.DECODER:
            raise ValueError(f"vllm_cann has decoder attention only, not {attn_type}.")
        if kv_cache_dtype not in ("auto", "float16", "bfloat16", INT8_CACHE):
            raise ValueError(f"vllm_cann has no {kv_cache_dtype} cache.")
        if kv_cache_dtype == INT8_CACHE and head_size % _INT8_STEP:
            raise ValueError(f"vllm_cann has an int8 cache for head sizes that are multiples of {_INT8_STEP}, not {head_size}.")
        self.num_heads = num_heads
        self.head_size = head_size
        self.scale = float(scale)
        self.num_kv_heads = num_kv_heads or num_heads
        self.kv_cache_dtype = kv_cache_dtype
        self.window = sliding_window
        self.soft_cap = logits_soft_cap or None
        self.slopes = alibi_slopes
        self.sinks = sinks

        vllm_config = get_current_vllm_config()
        wanted = config.parse(vllm_config.additional_config or {}).attention
        asked = {"a soft cap of scores": self.soft_cap, "ALiBi": alibi_slopes, "sinks": sinks}
        names = [name for name, value in asked.items() if value is not None]
        reason = f"it has no {', '.join(names)}" if names else ""
        # A layer can be made without a model, as vLLM's own tests do.
        dtype = vllm_config.model_config.dtype if vllm_config.model_config else torch.get_default_dtype()
        reason = reason or why_not_fused(dtype, head_size, num_heads, self.num_kv_heads)
        if wanted == "fused" and reason:
            raise ValueError(f"additional_config['attention'] is 'fused', and the fused attention does not take this model: {reason}.")
        self.fused = not reason and wanted != "torch"
        if not self.fused:
            logger.warning_once(
                "Attention is computed with plain torch operators, which is slow: %s.",
                "additional_config['attention'] is 'torch'" if wanted == "torch" else f"of the fused attention, {reason}",
            )
        self.cache: Cache = Int8Cache(self.num_kv_heads, head_size) if kv_cache_dtype == INT8_CACHE else PlainCache()
        self.packed = self.cache.takes_several and (head_size == 128 or (head_size == 64 and self.num_heads == self.num_kv_heads))

    def do_kv_cache_update(
        self,
        layer: AttentionLayer,
        key: torch.Tensor,
        value: torch.Tensor,
        kv_cache: torch.Tensor,
        slot_mapping: torch.Tensor,
    ) -> None:
        """Writes this step's keys and values [tokens, KV heads, head size] into the cache."""
        self.cache.write(kv_cache, key, value, slot_mapping)

    def forward(
        self,
        layer: AttentionLayer,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        kv_cache: torch.Tensor,
        attn_metadata: CannMetadata,
        output: torch.Tensor,
        output_scale: torch.Tensor | None = None,
        output_block_scale: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attention of query [tokens, heads, head size] into output, of the same shape."""
        if attn_metadata is None:
            return output.zero_()  # the run that measures memory
        tokens = attn_metadata.num_tokens
        if self.fused:
            call = self._packed if self.packed else self._padded
            call(query[:tokens], kv_cache, attn_metadata, output[:tokens])
        else:
            self._plain(query[:tokens], kv_cache, attn_metadata, output[:tokens])
        for picture in attn_metadata.mm_prefix_range or ():
            within = getattr(layer, "mm_prefix_clamp_sliding_window", False)
            output[picture.rows].copy_(self._of_picture(query[picture.rows], kv_cache, attn_metadata, picture, within))
        return output

    def _call(self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, **arguments: Any) -> torch.Tensor:
        return torch_npu.npu_fused_infer_attention_score(
            query,
            keys,
            values,
            num_heads=self.num_heads,
            num_key_value_heads=self.num_kv_heads,
            scale=self.scale,
            **arguments,
        )[0]

    def _call_on_blocks(self, query: torch.Tensor, kv_cache: torch.Tensor, **arguments: Any) -> torch.Tensor:
        keys, values, more = self.cache.operands(kv_cache)
        return self._call(query, keys, values, block_size=keys.shape[1], **more, **arguments)

    def _sight(self, step: CannMetadata) -> dict[str, Any]:
        """The arguments that say what of the tokens before it a token sees."""
        if self.window is None:
            return {"atten_mask": step.mask, "sparse_mode": CAUSAL}
        # A token counts itself in its window, but not among those before it.
        return {"atten_mask": step.mask, "sparse_mode": BAND, "pre_tokens": self.window - 1, "next_tokens": 0}

    def _packed(self, query: torch.Tensor, kv_cache: torch.Tensor, step: CannMetadata, output: torch.Tensor) -> None:
        result = self._call_on_blocks(
            query.contiguous(),
            kv_cache,
            input_layout="TND",
            block_table=step.block_table,
            actual_seq_lengths=step.query_ends,
            actual_seq_lengths_kv=step.kv_lens,
            **self._sight(step),
        )
        output.copy_(result)

    def _padded(self, query: torch.Tensor, kv_cache: torch.Tensor, step: CannMetadata, output: torch.Tensor) -> None:
        flat = query.reshape(query.shape[0], -1)
        parts = []
        for group in step.padding.groups:
            requests = len(group.query_lens)
            padded = flat.contiguous() if group.sources is None else flat.index_select(0, group.sources)
            if group.longest > 1 and not self.cache.takes_several:
                parts.append(self._one_by_one(padded.view(requests, group.longest, -1), kv_cache, group, step))
                continue
            # With one query the operator ignores the bounds of a window, but not a mask.
            sight = self._sight(step) if group.longest > 1 else {"atten_mask": group.outside(self.window), "sparse_mode": _FULL}
            result = self._call_on_blocks(
                padded.view(requests, group.longest, -1),
                kv_cache,
                input_layout="BSH",
                block_table=group.block_table,
                actual_seq_lengths=group.query_lens,
                actual_seq_lengths_kv=group.kv_lens,
                **sight,
            ).view(requests * group.longest, -1)
            # What the operator leaves in rows beyond a request's length is nobody's business.
            parts.append(result if group.places is None else result.index_select(0, group.places))
        rows = parts[0] if len(parts) == 1 else torch.cat(parts)
        order = step.padding.order
        output.view(output.shape[0], -1).copy_(rows if order is None else rows.index_select(0, order))

    def _one_by_one(self, padded: torch.Tensor, kv_cache: torch.Tensor, group: Group, step: CannMetadata) -> torch.Tensor:
        """Request by request, over copies of their keys and values. Returns the rows of the group's tokens."""
        parts = []
        for query, tokens, length, blocks in zip(padded, group.query_lens, group.kv_lens, group.block_table, strict=True):
            keys, values = self.cache.gather(kv_cache, blocks[: -(-length // BLOCK_SIZE)], length, query.dtype)
            result = self._call(
                query[None, :tokens], keys.flatten(1)[None], values.flatten(1)[None], input_layout="BSH", **self._sight(step)
            )
            parts.append(result[0])
        return torch.cat(parts)

    def _of_picture(self, query: torch.Tensor, kv_cache: torch.Tensor, step: CannMetadata, picture: Picture, within: bool) -> torch.Tensor:
        """Attention of a picture's rows, which see each other: in place of what they got as rows of a causal decoder."""
        request = picture.request
        distances = step.distances[request][picture.places, : picture.end]
        unseen = picture.unseen(distances, self.window, within)
        blocks = step.blocks[request][: -(-picture.end // BLOCK_SIZE)]
        keys, values = self.cache.gather(kv_cache, blocks, picture.end, query.dtype)
        if not self.fused:
            return self._by_torch(query, keys, values, None if self.slopes is None else distances, unseen)
        mask = None if unseen is None else unseen[None]
        operands = (rows.flatten(1)[None] for rows in (query, keys, values))
        return self._call(*operands, input_layout="BSH", atten_mask=mask, sparse_mode=_FULL).view(query.shape)

    @cached_property
    def _slopes(self) -> torch.Tensor:
        """float32 [heads, 1, 1] on the device."""
        return torch.tensor(self.slopes, dtype=torch.float32, device="npu").view(-1, 1, 1)

    def _weights(self, scores: torch.Tensor, distances: torch.Tensor | None, unseen: torch.Tensor | None) -> torch.Tensor:
        """The softmax of scores [heads, query length, KV length], in float32."""
        scores = scores.float()
        if self.soft_cap is not None:
            scores = torch.tanh(scores / self.soft_cap) * self.soft_cap
        if distances is not None:
            scores = scores + self._slopes * distances
        if unseen is not None:
            scores = scores.masked_fill(unseen, float("-inf"))
        if self.sinks is None:
            return torch.softmax(scores, -1)
        sinks = self.sinks.float().view(-1, 1, 1).expand(-1, scores.shape[1], 1)
        return torch.softmax(torch.cat([scores, sinks], -1), -1)[..., :-1]

    def _by_torch(
        self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, distances: torch.Tensor | None, unseen: torch.Tensor | None
    ) -> torch.Tensor:
        """Attention of one request: query [tokens, heads, head size] to keys and values [KV length, KV heads, head size].

        Args:
            distances: with slopes, int32 [tokens, KV length]: how far a key lies behind its query
            unseen: bool of the same shape; None: tokens see all
        """
        repeats = self.num_heads // self.num_kv_heads
        # [heads, KV length, head size]
        keys, values = (rows.transpose(0, 1).repeat_interleave(repeats, 0) for rows in (keys, values))
        scores = (query.transpose(0, 1) @ keys.transpose(1, 2)) * self.scale
        return (self._weights(scores, distances, unseen).to(query.dtype) @ values).transpose(0, 1)

    def _plain(self, query: torch.Tensor, kv_cache: torch.Tensor, step: CannMetadata, output: torch.Tensor) -> None:
        """Request by request, so that no more of the cache than one request's is copied at a time."""
        start = 0
        for request, (end, length, blocks) in enumerate(zip(step.query_ends, step.kv_lens, step.blocks, strict=True)):
            if end == start:
                continue
            keys, values = self.cache.gather(kv_cache, blocks, length, query.dtype)
            distances = None if self.slopes is None else step.distances[request]
            output[start:end].copy_(self._by_torch(query[start:end], keys, values, distances, step.unseen(self.window)[request]))
            start = end
