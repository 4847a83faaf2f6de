"""The metadata of a step: which requests have how many tokens, and what all layers derive from that once."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, cached_property

import torch
from vllm.config import VllmConfig
from vllm.v1.attention.backend import AttentionMetadata, AttentionMetadataBuilder, CommonAttentionMetadata
from vllm.v1.kv_cache_interface import AttentionSpec, KVCacheSpec

from vllm_cann.attention.backend import BLOCK_SIZE
from vllm_cann.attention.pictures import Picture, pictures_of

# The types that the fused operator takes, and its sparse_modes for causal attention, and for bounds on both sides.
HALVES = (torch.float16, torch.bfloat16)
CAUSAL, BAND = 3, 4

# The side of the mask that the fused operator wants for causal attention, whatever the lengths.
_MASK_SIDE = 2048


@cache
def causal_template(device: torch.device) -> torch.Tensor:
    """int8 [2048, 2048], 1 above the diagonal: the mask of the fused operator for causal attention, whatever the lengths."""
    return torch.triu(torch.ones(_MASK_SIDE, _MASK_SIDE, dtype=torch.int8), 1).to(device)


@dataclass
class CannMetadata(AttentionMetadata):
    """One step's requests. What only some forms of attention need is made by the first layer that asks for it."""

    num_tokens: int
    query_ends: list[int]
    """For each request, where its tokens end."""
    query_lens: list[int]
    kv_lens: list[int]
    """For each request, how many tokens its cache holds with this step's."""
    block_table: torch.Tensor
    """int32 [requests, blocks], contiguous, on the device."""
    mask: torch.Tensor | None
    seq_lens: torch.Tensor
    """int32 [requests], on the device: kv_lens."""
    mm_prefix_range: list[Picture] | None = None
    """The pictures of this step whose tokens see each other. Models of vLLM take it away, by this name, where they do not."""
    _unseen: dict[int | None, list[torch.Tensor | None]] = field(default_factory=dict)

    @cached_property
    def padding(self) -> Padding:
        """How requests go into padded calls."""
        return _pad(self)

    @cached_property
    def blocks(self) -> list[torch.Tensor]:
        """For each request, int32 [blocks] on the device: where its keys and values are."""
        return [row[: -(-length // BLOCK_SIZE)] for row, length in zip(self.block_table, self.kv_lens, strict=True)]

    @cached_property
    def distances(self) -> list[torch.Tensor]:
        """For each request, int32 [query length, KV length] on the device: how far a key lies behind its query; before it, below zero."""
        longest = max(self.kv_lens, default=0)
        places = torch.arange(longest, dtype=torch.int32, device=self.block_table.device)
        lengths = zip(self.query_lens, self.kv_lens, strict=True)
        return [places[:kv] - places[kv - query : kv, None] for query, kv in lengths]

    def unseen(self, window: int | None) -> list[torch.Tensor | None]:
        """For each request, bool [query length, KV length] on the device: the tokens that a token does not see.

        Those are later tokens, and tokens before the window.
        None for a request all of whose tokens see all.
        """
        if window not in self._unseen:
            found: list[torch.Tensor | None] = []
            for request, (query, kv) in enumerate(zip(self.query_lens, self.kv_lens, strict=True)):
                hidden = [self.distances[request] > 0] if query > 1 else []
                if window is not None and kv > window:
                    hidden.append(self.distances[request] <= -window)
                found.append(torch.logical_or(*hidden) if len(hidden) == 2 else hidden[0] if hidden else None)
            self._unseen[window] = found
        return self._unseen[window]


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
    seq_lens: torch.Tensor
    """int32 [requests], on the device: kv_lens."""
    sources: torch.Tensor | None
    """int64 [requests * longest]: the packed query's row for each of the padded query; None: the same rows."""
    places: torch.Tensor | None
    """int64 [tokens of the group]: its rows of the padded result; None: all, in order."""
    _outside: dict[int, torch.Tensor] = field(default_factory=dict)

    def outside(self, window: int | None) -> torch.Tensor | None:
        """bool [requests, tokens of the block table] on the device: what lies before a request's window; None: nothing."""
        if window is None or max(self.kv_lens) <= window:
            return None
        if window not in self._outside:
            places = torch.arange(self.block_table.shape[1] * BLOCK_SIZE, dtype=torch.int32, device=self.block_table.device)
            self._outside[window] = places < (self.seq_lens - window)[:, None]
        return self._outside[window]


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
            self.mask = causal_template(device)

    def build(
        self,
        common_prefix_len: int,
        common_attn_metadata: CommonAttentionMetadata,
        fast_build: bool = False,
    ) -> CannMetadata:
        common = common_attn_metadata
        if common.causal is not True:
            raise ValueError("vllm_cann has causal attention only.")
        if common.rswa_prefix_lens is not None:
            raise ValueError("vllm_cann has no attention in which a prompt stays visible beyond a window.")
        requests = common.num_reqs
        ends = common.query_start_loc_cpu[1 : requests + 1].tolist()
        # Exact without speculative decoding, which the platform does not have.
        assert common.seq_lens_cpu_upper_bound is not None
        query_lens = [end - start for start, end in zip([0, *ends], ends, strict=False)]
        kv_lens = common.seq_lens_cpu_upper_bound[:requests].tolist()
        return CannMetadata(
            num_tokens=common.num_actual_tokens,
            query_ends=ends,
            query_lens=query_lens,
            kv_lens=kv_lens,
            mm_prefix_range=pictures_of(common.mm_req_doc_ranges, ends, query_lens, kv_lens),
            block_table=common.block_table_tensor[:requests],
            mask=self.mask,
            seq_lens=common.seq_lens[:requests],
        )


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
                seq_lens=step.seq_lens if rows is None else step.seq_lens.index_select(0, lists[rows]),
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
