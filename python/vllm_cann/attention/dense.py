"""Attention of a layer in which every token sees all tokens before it.

bfloat16 and float16 take npu_fused_infer_attention_score, which reads the paged cache where our kernel wrote it. Which calls the device
accepts decides their form: with head size 128 (or 64 and as many KV heads as heads) all requests are packed into one call; with other head
sizes the requests that decode one token are one call and the rest, padded to the longest, another. float32, which the fused operator
does not take, is computed with plain torch operators.
"""

from __future__ import annotations

from typing import Any

import torch
import torch_npu
from vllm.logger import init_logger
from vllm.v1.attention.backend import AttentionImpl, AttentionLayer, AttentionType

from vllm_cann import config
from vllm_cann.attention.backend import CannAttentionBackend
from vllm_cann.attention.metadata import CannMetadata
from vllm_cann.ops.reshape_and_cache import reshape_and_cache

logger = init_logger("vllm.plugins.cann.attention")

# The sparse_mode of the fused operator for causal attention.
_CAUSAL = 3


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
        **unknown: Any,
    ) -> None:
        from vllm.config import get_current_vllm_config

        refused = {
            "ALiBi": alibi_slopes,
            "a sliding window": sliding_window,
            "a soft cap of logits": logits_soft_cap,
            **{name: value for name, value in unknown.items() if value is not None},
        }
        for name, value in refused.items():
            if value is not None:
                raise ValueError(f"vllm_cann has no attention with {name} ({value!r}).")
        if attn_type != AttentionType.DECODER:
            raise ValueError(f"vllm_cann has decoder attention only, not {attn_type}.")
        if kv_cache_dtype not in ("auto", "float16", "bfloat16"):
            raise ValueError(f"vllm_cann has no {kv_cache_dtype} cache.")
        self.num_heads = num_heads
        self.head_size = head_size
        self.scale = float(scale)
        self.num_kv_heads = num_kv_heads or num_heads
        self.kv_cache_dtype = kv_cache_dtype

        vllm_config = get_current_vllm_config()
        wanted = config.parse(vllm_config.additional_config or {}).attention
        dtype = vllm_config.model_config.dtype
        fused = dtype in (torch.float16, torch.bfloat16) and head_size in (64, 128)
        if wanted == "fused" and not fused:
            raise ValueError(
                "additional_config['attention'] is 'fused', which takes float16 or bfloat16 and a head size of 64 or 128, "
                f"not {dtype} and {head_size}."
            )
        self.fused = fused and wanted != "torch"
        if not self.fused:
            logger.warning_once(
                "Attention is computed with plain torch operators, which is slow (%s, head size %d, attention=%s).",
                dtype,
                head_size,
                wanted,
            )
        self.packed = head_size == 128 or self.num_heads == self.num_kv_heads

    def do_kv_cache_update(
        self,
        layer: AttentionLayer,
        key: torch.Tensor,
        value: torch.Tensor,
        kv_cache: torch.Tensor,
        slot_mapping: torch.Tensor,
    ) -> None:
        """Writes this step's keys and values [tokens, KV heads, head size] into the cache."""
        reshape_and_cache(key, value, *CannAttentionBackend.keys_and_values(kv_cache), slot_mapping)

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
        return output

    def _call(
        self,
        query: torch.Tensor,
        kv_cache: torch.Tensor,
        mask: torch.Tensor | None,
        **arguments: Any,
    ) -> torch.Tensor:
        keys, values = CannAttentionBackend.rows(kv_cache)
        return torch_npu.npu_fused_infer_attention_score(
            query,
            keys,
            values,
            atten_mask=mask,
            num_heads=self.num_heads,
            num_key_value_heads=self.num_kv_heads,
            scale=self.scale,
            block_size=keys.shape[1],
            sparse_mode=_CAUSAL if mask is not None else 0,
            **arguments,
        )[0]

    def _packed(self, query: torch.Tensor, kv_cache: torch.Tensor, step: CannMetadata, output: torch.Tensor) -> None:
        result = self._call(
            query.contiguous(),
            kv_cache,
            step.mask,
            input_layout="TND",
            block_table=step.block_table,
            actual_seq_lengths=step.query_ends,
            actual_seq_lengths_kv=step.kv_lens,
        )
        output.copy_(result)

    def _padded(self, query: torch.Tensor, kv_cache: torch.Tensor, step: CannMetadata, output: torch.Tensor) -> None:
        flat = query.reshape(query.shape[0], -1)
        parts = []
        for group in step.padding.groups:
            requests = len(group.query_lens)
            padded = flat.contiguous() if group.sources is None else flat.index_select(0, group.sources)
            result = self._call(
                padded.view(requests, group.longest, -1),
                kv_cache,
                step.mask if group.longest > 1 else None,
                input_layout="BSH",
                block_table=group.block_table,
                actual_seq_lengths=group.query_lens,
                actual_seq_lengths_kv=group.kv_lens,
            ).view(requests * group.longest, -1)
            # What the operator leaves in rows beyond a request's length is nobody's business.
            parts.append(result if group.places is None else result.index_select(0, group.places))
        rows = parts[0] if len(parts) == 1 else torch.cat(parts)
        order = step.padding.order
        output.view(output.shape[0], -1).copy_(rows if order is None else rows.index_select(0, order))

    def _plain(self, query: torch.Tensor, kv_cache: torch.Tensor, step: CannMetadata, output: torch.Tensor) -> None:
        """Request by request, so that no more of the cache than one request's is copied at a time."""
        repeats = self.num_heads // self.num_kv_heads
        start = 0
        for end, length, blocks, later in zip(step.query_ends, step.kv_lens, step.blocks, step.later, strict=True):
            if end == start:
                continue
            # [heads, KV length, head size]
            keys, values = (
                rows.transpose(0, 1).repeat_interleave(repeats, 0) for rows in CannAttentionBackend.gather(kv_cache, blocks, length)
            )
            scores = (query[start:end].transpose(0, 1) @ keys.transpose(1, 2)) * self.scale
            if later is not None:
                scores.masked_fill_(later, float("-inf"))
            weights = torch.softmax(scores.float(), -1).to(query.dtype)
            output[start:end].copy_((weights @ values).transpose(0, 1))
            start = end
