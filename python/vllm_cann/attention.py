"""Attention over the paged cache.

bfloat16 and float16 take npu_fused_infer_attention_score, which reads the paged cache where our kernel wrote it. Which calls the device
accepts decides their form: with head size 128 (or 64 and as many KV heads as heads) all requests are packed into one call; with other head
sizes the requests that decode one token are one call and the rest, padded to the longest, another. float32, which the fused operator
does not take, is computed with plain torch operators.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch_npu
from vllm.config import VllmConfig
from vllm.logger import init_logger
from vllm.v1.attention.backend import (
    AttentionBackend,
    AttentionImpl,
    AttentionLayer,
    AttentionMetadata,
    AttentionMetadataBuilder,
    AttentionType,
    CommonAttentionMetadata,
)
from vllm.v1.kv_cache_interface import AttentionSpec, KVCacheSpec

from vllm_cann import config
from vllm_cann.ops.gather_cache import gather_cache
from vllm_cann.ops.reshape_and_cache import reshape_and_cache
from vllm_cann.platform import BLOCK_SIZE

logger = init_logger("vllm.plugins.cann.attention")

# The mask that the fused operator wants for causal attention, whatever the lengths: 1 above the diagonal.
_MASK_SIDE = 2048
_CAUSAL = 3


class CannAttentionBackend(AttentionBackend):
    """The plugin's only backend."""

    supported_dtypes: ClassVar[list[torch.dtype]] = [torch.float16, torch.bfloat16, torch.float32]
    forward_includes_kv_cache_update = False

    @staticmethod
    def get_name() -> str:
        # Has to be a member of vLLM's enumeration; this is the one for plugins.
        return "CUSTOM"

    @staticmethod
    def get_impl_cls() -> type[CannAttention]:
        return CannAttention

    @staticmethod
    def get_builder_cls() -> type[CannMetadataBuilder]:
        return CannMetadataBuilder

    @staticmethod
    def get_supported_kernel_block_sizes(
        kv_cache_spec: KVCacheSpec | None = None,
    ) -> list[int | Any]:
        return [BLOCK_SIZE]

    @staticmethod
    def cache_shape(blocks: int, block_size: int, kv_heads: int, head_size: int) -> tuple[int, ...]:
        """Shape of one layer's cache: keys, then values."""
        return (2, blocks, block_size, kv_heads, head_size)


@dataclass
class CannMetadata(AttentionMetadata):
    """One step's requests."""

    num_tokens: int
    query_ends: list[int]
    """For each request, where its tokens end."""
    query_lens: list[int]
    kv_lens: list[int]
    """For each request, how many tokens its cache holds with this step's."""
    seq_lens: torch.Tensor
    """The same, int32 [requests] on the device."""
    block_table: torch.Tensor
    """int32 [requests, blocks], contiguous, on the device."""
    mask: torch.Tensor | None
    padding: Padding | None = None
    """How requests go into padded calls; made by the first layer that needs it."""


@dataclass
class Padding:
    """The padded calls of a step."""

    groups: list[Group]
    order: torch.Tensor | None
    """int64 [tokens]: where a token's row lies in the groups' rows one after another; None: in order."""


@dataclass
class Group:
    """Requests of one padded call."""

    longest: int
    query_lens: list[int]
    kv_lens: list[int]
    block_table: torch.Tensor
    sources: torch.Tensor | None
    """int64 [requests * longest]: the packed query's row for each of the padded query; None: the same rows."""
    places: torch.Tensor | None
    """int64 [tokens of the group]: its rows of the padded result; None: all, in order."""


class CannMetadataBuilder(AttentionMetadataBuilder[CannMetadata]):
    """Makes the metadata of a step on the host; nothing waits for the device."""

    def __init__(
        self,
        kv_cache_spec: KVCacheSpec,
        layer_names: list[str],
        vllm_config: VllmConfig,
        device: torch.device,
    ) -> None:
        super().__init__(kv_cache_spec, layer_names, vllm_config, device)
        assert isinstance(kv_cache_spec, AttentionSpec)
        self.mask = None
        if kv_cache_spec.dtype != torch.float32:
            self.mask = torch.triu(torch.ones(_MASK_SIDE, _MASK_SIDE, dtype=torch.int8), 1).to(device)

    def build(
        self,
        common_prefix_len: int,
        common_attn_metadata: CommonAttentionMetadata,
        fast_build: bool = False,
    ) -> CannMetadata:
        common = common_attn_metadata
        if common.causal is not True:
            raise ValueError("vllm_cann has causal attention only.")
        requests = common.num_reqs
        ends = common.query_start_loc_cpu[1 : requests + 1].tolist()
        # Exact without speculative decoding, which the platform does not have.
        assert common.seq_lens_cpu_upper_bound is not None
        return CannMetadata(
            num_tokens=common.num_actual_tokens,
            query_ends=ends,
            query_lens=[end - start for start, end in zip([0, *ends], ends, strict=False)],
            kv_lens=common.seq_lens_cpu_upper_bound[:requests].tolist(),
            seq_lens=common.seq_lens[:requests],
            block_table=common.block_table_tensor[:requests],
            mask=self.mask,
        )


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
        reshape_and_cache(key, value, kv_cache[0], kv_cache[1], slot_mapping)

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
        blocks, block_size = kv_cache.shape[1:3]
        keys, values = kv_cache.view(2, blocks, block_size, -1)
        return torch_npu.npu_fused_infer_attention_score(
            query,
            keys,
            values,
            atten_mask=mask,
            num_heads=self.num_heads,
            num_key_value_heads=self.num_kv_heads,
            scale=self.scale,
            block_size=block_size,
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
        if step.padding is None:
            step.padding = _pad(step)
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
        repeats = self.num_heads // self.num_kv_heads
        start = 0
        for request, (end, length) in enumerate(zip(step.query_ends, step.kv_lens, strict=True)):
            tokens = end - start
            if tokens == 0:
                continue
            # Whole blocks, so that few shapes are prepared; rows beyond the length are not written.
            held = kv_cache.new_empty(2, -(-length // BLOCK_SIZE) * BLOCK_SIZE, self.num_kv_heads, self.head_size)
            one = slice(request, request + 1)
            gather_cache(kv_cache[0], kv_cache[1], step.block_table[one], step.seq_lens[one], held[0], held[1])
            # [heads, length, head size]
            keys, values = (rows.transpose(0, 1).repeat_interleave(repeats, 0) for rows in held[:, :length])
            scores = (query[start:end].transpose(0, 1) @ keys.transpose(1, 2)) * self.scale
            if tokens > 1:
                at = torch.arange(length, device=query.device)
                own = torch.arange(length - tokens, length, device=query.device)
                scores.masked_fill_(at[None, :] > own[:, None], float("-inf"))
            weights = torch.softmax(scores.float(), -1).to(query.dtype)
            output[start:end].copy_((weights @ values).transpose(0, 1))
            start = end


def _pad(step: CannMetadata) -> Padding:
    """Requests with one token go into one call, and the others, padded to the longest of them, into another."""
    starts = [0, *step.query_ends[:-1]]
    decodes = [i for i, length in enumerate(step.query_lens) if length == 1]
    others = [i for i, length in enumerate(step.query_lens) if length > 1]
    members_of = [members for members in (decodes, others) if members]
    indices = _Indices()
    groups = []
    packed: list[int] = []
    for members in members_of:
        longest = max(step.query_lens[i] for i in members)
        # Beyond a request's length: its last token once more, as any row will do.
        sources = [starts[i] + min(t, step.query_lens[i] - 1) for i in members for t in range(longest)]
        places = [row * longest + t for row, i in enumerate(members) for t in range(step.query_lens[i])]
        packed += [starts[i] + t for i in members for t in range(step.query_lens[i])]
        groups.append(
            (
                members,
                longest,
                indices.add(sources, step.num_tokens),
                indices.add(places, len(members) * longest),
                indices.add(members, len(step.query_lens)),
            )
        )
    order = indices.add([row for _, row in sorted(zip(packed, range(len(packed)), strict=True))], len(packed))
    lists = indices.on(step.block_table.device)
    return Padding(
        groups=[
            Group(
                longest=longest,
                query_lens=[step.query_lens[i] for i in members],
                kv_lens=[step.kv_lens[i] for i in members],
                block_table=step.block_table if rows is None else step.block_table.index_select(0, lists[rows]),
                sources=None if sources is None else lists[sources],
                places=None if places is None else lists[places],
            )
            for members, longest, sources, places, rows in groups
        ],
        order=None if order is None else lists[order],
    )


class _Indices:
    """Lists of row numbers that go to the device in one copy."""

    def __init__(self) -> None:
        self._values: list[int] = []
        self._slices: list[slice] = []

    def add(self, rows: list[int], count: int) -> int | None:
        """The number of a list; None where it names all of `count` rows in their order, so that nothing has to be gathered."""
        if len(rows) == count and rows == [*range(count)]:
            return None
        begin = len(self._values)
        self._values += rows
        self._slices.append(slice(begin, begin + len(rows)))
        return len(self._slices) - 1

    def on(self, device: torch.device) -> list[torch.Tensor]:
        """The lists, int64, on the device."""
        if not self._slices:
            return []
        # Pinned, as the copy reads the host's memory after this function has returned; torch_npu keeps that memory until then.
        staged = torch.tensor(self._values, pin_memory=True).to(device, non_blocking=True)
        return [staged[part] for part in self._slices]
