"""The layout of the cache, how requests go into padded calls of the fused attention, and attention in plain torch operators."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from vllm.config import VllmConfig, set_current_vllm_config
from vllm.engine.arg_utils import EngineArgs
from vllm.platforms import current_platform
from vllm.v1.attention.backend import CommonAttentionMetadata
from vllm.v1.attention.selector import AttentionSelectorConfig
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheSpec, KVCacheTensor, KVQuantMode, MambaSpec, MLAAttentionSpec

from vllm_cann.attention.backend import BLOCK_SIZE, INT8_CACHE, CannAttentionBackend, view_of
from vllm_cann.attention.cache import Int8Cache, PlainCache
from vllm_cann.attention.dense import CannAttention, why_not_fused
from vllm_cann.attention.metadata import CannMetadata, causal_template
from vllm_cann.attention.pictures import pictures_of
from vllm_cann.ops import load

MODEL = Path(os.environ["MODEL"]).absolute().parent
HEADS, KV_HEADS, SIZE = 6, 2, 32


class Copies(TorchDispatchMode):
    """Copies to the device that do not wait; whether each came from pinned memory."""

    def __init__(self) -> None:
        super().__init__()
        self.pinned: list[bool] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if "copy" in str(function) and kwargs.get("non_blocking") and args[0].device.type == "cpu":
            self.pinned.append(args[0].is_pinned())
        return function(*args, **kwargs)


def step(query_lens: list[int]) -> CannMetadata:
    requests = len(query_lens)
    ends = torch.tensor(query_lens).cumsum(0).tolist()
    return CannMetadata(
        num_tokens=ends[-1],
        query_ends=ends,
        query_lens=query_lens,
        kv_lens=[length + 3 for length in query_lens],
        block_table=torch.arange(requests * 2, dtype=torch.int32).view(requests, 2).npu(),
        mask=None,
        seq_lens=torch.tensor([length + 3 for length in query_lens], dtype=torch.int32).npu(),
    )


@pytest.mark.parametrize(
    "query_lens",
    [[1], [1, 1, 1], [5], [3, 3], [1, 4], [4, 1], [2, 1, 5, 1, 1, 3], [0, 2, 1, 0], [7, 0, 7]],
    ids=str,
)
def test_padding_puts_each_token_back(query_lens: list[int]) -> None:
    given = step(query_lens)
    with Copies() as copies:
        padding = given.padding
    # One copy at most, and the device reads its source after this function has returned.
    assert copies.pinned in ([], [True])
    rows = torch.arange(given.num_tokens)
    results = []
    seen = []
    for group in padding.groups:
        padded = rows if group.sources is None else rows[group.sources.cpu()]
        assert padded.numel() == len(group.query_lens) * group.longest
        request_of = group.block_table.cpu()[:, 0] // 2
        assert [query_lens[i] for i in request_of.tolist()] == group.query_lens
        assert [given.kv_lens[i] for i in request_of.tolist()] == group.kv_lens == group.seq_lens.tolist()
        for row, request in zip(padded.view(-1, group.longest), request_of.tolist(), strict=True):
            begin = given.query_ends[request] - query_lens[request]
            assert row[: query_lens[request]].tolist() == [*range(begin, given.query_ends[request])]
        seen += request_of.tolist()
        results.append(padded if group.places is None else padded[group.places.cpu()])
    assert sorted(seen) == [i for i, length in enumerate(query_lens) if length > 0]
    packed = torch.cat(results)
    assert torch.equal(packed if padding.order is None else packed[padding.order.cpu()], rows)


def test_steps_of_one_kind_need_no_gathering() -> None:
    for query_lens in ([1, 1, 1], [4], [3, 3]):
        padding = step(query_lens).padding
        [group] = padding.groups
        assert group.sources is None
        assert group.places is None
        assert padding.order is None


def spec(dtype: torch.dtype = torch.float32) -> FullAttentionSpec:
    return FullAttentionSpec(block_size=BLOCK_SIZE, num_kv_heads=KV_HEADS, head_size=SIZE, dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_cache_has_the_bytes_that_vllm_counts(dtype: torch.dtype) -> None:
    shape = CannAttentionBackend.cache_shape("layer", spec(dtype), 7)
    assert torch.Size(shape).numel() * dtype.itemsize == 7 * spec(dtype).page_size_bytes
    cache = torch.empty(shape, dtype=dtype)
    keys, values = cache.unbind(0)
    assert keys.shape == values.shape == (7, BLOCK_SIZE, KV_HEADS, SIZE)
    assert [part.shape for part in PlainCache().operands(cache)[:2]] == [(7, BLOCK_SIZE, KV_HEADS * SIZE)] * 2
    assert [part.data_ptr() for part in PlainCache().operands(cache)[:2]] == [keys.data_ptr(), values.data_ptr()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_a_cache_of_int8_gives_back_what_its_scales_can_say(dtype: torch.dtype) -> None:
    """Rows in blocks in any order, some of them padding; the largest error of a row is half of a 127th of its largest magnitude."""
    plain = FullAttentionSpec(
        block_size=BLOCK_SIZE, num_kv_heads=KV_HEADS, head_size=SIZE, dtype=torch.int8, kv_quant_mode=KVQuantMode.INT8_PER_TOKEN_HEAD
    )
    kind = CannAttentionBackend.customize_spec(plain)
    assert kind.page_size_bytes == BLOCK_SIZE * KV_HEADS * 2 * (SIZE + 4)
    assert CannAttentionBackend.customize_spec(spec()) == spec()
    with pytest.raises(ValueError, match="bytes per block"):
        CannAttentionBackend.cache_shape("layer", plain, 3)
    memory = torch.zeros(CannAttentionBackend.cache_shape("layer", kind, 3), dtype=torch.int8, device="npu")
    assert memory.numel() == 3 * kind.page_size_bytes
    load(memory.device)
    generator = torch.Generator().manual_seed(3)
    keys, values = (torch.randn(200, KV_HEADS, SIZE, generator=generator).to(dtype) * 10 for _ in range(2))
    # A row of zeros has no scale.
    keys[7, 1] = 0
    slots = torch.cat([torch.arange(2 * BLOCK_SIZE, 3 * BLOCK_SIZE), torch.arange(71), torch.tensor([-1])])
    cache = Int8Cache(KV_HEADS, SIZE)
    cache.write(memory, keys.npu(), values.npu(), slots.npu())
    blocks = torch.tensor([2, 0], dtype=torch.int32).npu()
    for found, rows in zip(cache.gather(memory, blocks, 199, dtype), (keys, values), strict=True):
        assert found.dtype == dtype
        bound = rows[:199].float().abs().amax(-1, keepdim=True) / 127 * (0.5 + 1e-4)
        # And one rounding to the type.
        bound = bound + rows[:199].float().abs() * torch.finfo(dtype).eps
        assert ((found.cpu().float() - rows[:199].float()).abs() <= bound).all()
    [keys8, values8, more] = cache.operands(memory)
    assert keys8.shape == values8.shape == (3, BLOCK_SIZE, KV_HEADS * SIZE)
    assert more["key_antiquant_scale"].shape == (3, KV_HEADS, BLOCK_SIZE)


def test_an_int8_cache_of_other_head_sizes_is_refused() -> None:
    with (
        set_current_vllm_config(VllmConfig()),
        pytest.raises(ValueError, match="an int8 cache for head sizes that are multiples of 32, not 80"),
    ):
        CannAttention(2, 80, 1.0, kv_cache_dtype=INT8_CACHE)


@pytest.mark.parametrize(
    "other",
    [
        MLAAttentionSpec(block_size=BLOCK_SIZE, num_kv_heads=1, head_size=576, dtype=torch.bfloat16),
        FullAttentionSpec(block_size=BLOCK_SIZE, num_kv_heads=2, head_size=192, head_size_v=128, dtype=torch.bfloat16),
        MambaSpec(block_size=BLOCK_SIZE, shapes=((4, 4),), dtypes=(torch.float32,)),
    ],
    ids=lambda one: type(one).__name__,
)
def test_other_caches_are_refused(other: KVCacheSpec) -> None:
    kind = type(other).__name__
    with pytest.raises(ValueError, match=rf"the layer model\.layers\.3 needs a cache of the kind {kind}, {other.page_size_bytes} bytes"):
        CannAttentionBackend.cache_shape("model.layers.3", other, 7)


def test_tokens_outside_of_the_window_of_decoding_requests() -> None:
    [group] = step([1, 1, 1]).padding.groups
    group.kv_lens, group.seq_lens = [130, 7, 5], torch.tensor([130, 7, 5], dtype=torch.int32).npu()
    assert group.outside(None) is None
    assert group.outside(130) is None
    outside = group.outside(6)
    assert outside is not None
    outside = outside.cpu()
    assert outside.shape == (3, 2 * BLOCK_SIZE)
    assert outside.sum(1).tolist() == [124, 1, 0]
    assert outside[0, :124].all()
    assert group.outside(6) is group.outside(6)


@pytest.mark.parametrize(
    "options",
    [{}, {"sliding_window": 4}, {"logits_soft_cap": 1.5}, {"alibi_slopes": [0.5**i for i in range(HEADS)]}, {"sinks": True}],
    ids=str,
)
def test_plain_attention(options: dict[str, Any]) -> None:
    """Against float64 on the host. Blocks lie in any order, and what is beyond a request's length is no number."""
    generator = torch.Generator().manual_seed(8)
    sinks = torch.randn(HEADS, generator=generator) if options.pop("sinks", False) else None
    with set_current_vllm_config(EngineArgs(str(MODEL), max_model_len=512, dtype="float32").create_engine_config()):
        layer = CannAttention(HEADS, SIZE, SIZE**-0.5, KV_HEADS, sinks=None if sinks is None else sinks.npu(), **options)
    assert not layer.fused
    query_lens, kv_lens = [1, 5, 0, 130, 1], [257, 5, 3, 300, 128]
    order = iter(torch.randperm(20, generator=generator).tolist())
    table = torch.zeros(len(kv_lens), 4, dtype=torch.int32)
    cache = torch.full(CannAttentionBackend.cache_shape("layer", spec(), 20), float("nan"))
    query = torch.randn(sum(query_lens), HEADS, SIZE, generator=generator).clamp(-2, 2)
    window, cap = options.get("sliding_window"), options.get("logits_soft_cap")
    slopes = torch.tensor(options.get("alibi_slopes", [0.0] * HEADS), dtype=torch.float64)
    wanted = []
    for request, length in enumerate(kv_lens):
        rows = torch.randn(2, length, KV_HEADS, SIZE, generator=generator).clamp(-2, 2)
        for number, part in enumerate(rows.split(BLOCK_SIZE, 1)):
            table[request, number] = block = next(order)
            for half, given in zip(cache.unbind(0), part, strict=True):
                half[block, : given.shape[0]] = given
        tokens = query_lens[request]
        begin = sum(query_lens[:request])
        own = query[begin : begin + tokens].double()
        keys, values = rows.double().repeat_interleave(HEADS // KV_HEADS, 2)
        scores = torch.einsum("qhd,khd->hqk", own, keys) * SIZE**-0.5
        if cap is not None:
            scores = cap * torch.tanh(scores / cap)
        # How far a key lies before its query.
        behind = torch.arange(length - tokens, length)[:, None] - torch.arange(length)
        scores = scores - slopes[:, None, None] * behind
        unseen = (behind < 0) | (behind >= (window or length))
        weights = scores.masked_fill(unseen, float("-inf")).exp()
        total = weights.sum(-1, keepdim=True) + (0 if sinks is None else sinks.double().exp()[:, None, None])
        wanted.append(torch.einsum("hqk,khd->qhd", weights / total, values))
    ends = torch.tensor(query_lens).cumsum(0).tolist()
    given = CannMetadata(ends[-1], ends, query_lens, kv_lens, table.npu(), None, torch.tensor(kv_lens, dtype=torch.int32).npu())
    # The runner's buffers are longer than the step.
    buffer = torch.cat([query, torch.zeros(3, HEADS, SIZE)]).npu()
    found = layer.forward(None, buffer, buffer, buffer, cache.npu(), given, torch.full_like(buffer, 7))
    assert (found[ends[-1] :] == 7).all()
    # Elements are at most 2. A score is a sum of SIZE products of at most 4: it is off by SIZE + 1 roundings of SIZE * 4 * SIZE^-0.5, and
    # by four more of what a cap, a slope and a sink make of it: at most as much again.
    # A weight is off by twice that, and by its own roundings and those of the sum: one for each token, like the sum of values.
    score = (SIZE + 5) * 2**-24 * 4 * SIZE**0.5 + 2**-24 * max(slopes) * max(kv_lens)
    bound = 2 * (2 * score + 2 * max(kv_lens) * 2**-24)
    torch.testing.assert_close(found[: ends[-1]].cpu().double(), torch.cat(wanted), rtol=0, atol=float(bound))


@pytest.mark.parametrize(
    ("dtype", "head_size", "heads", "kv_heads", "reason"),
    [
        (torch.bfloat16, 80, 4, 1, ""),
        (torch.float16, 256, 64, 1, ""),
        (torch.float32, 128, 4, 1, "it takes float16 or bfloat16, not torch.float32"),
        (torch.bfloat16, 72, 4, 1, "it takes head sizes that are multiples of 16 up to 512, not 72"),
        (torch.bfloat16, 528, 4, 1, "it takes head sizes that are multiples of 16 up to 512, not 528"),
        (torch.bfloat16, 128, 65, 1, "it takes up to 64 heads for each KV head, not 65 for 1"),
        (torch.bfloat16, 512, 128, 128, "it takes up to 65535 elements of all KV heads, not 128 of 512"),
    ],
)
def test_which_heads_the_fused_attention_takes(dtype: torch.dtype, head_size: int, heads: int, kv_heads: int, reason: str) -> None:
    assert why_not_fused(dtype, head_size, heads, kv_heads) == reason


def test_caches_of_layers_share_the_memory_that_vllm_gives_them() -> None:
    """Two groups of two layers: the second group has the memory of the first."""
    page = spec().page_size_bytes
    memory = torch.zeros(4 * page, dtype=torch.int8)
    shape = CannAttentionBackend.cache_shape("layer", spec(), 2)
    tensors = [KVCacheTensor(4 * page, [f"{group}{layer}" for layer in "01"], 2 * page, page) for group in "ab"]
    views = {name: view_of(memory, tensor, name, spec(), shape) for tensor in tensors for name in tensor.layers}
    views["a1"].fill_(3)
    assert views["a0"].abs().max() == 0
    assert (views["b1"] == 3).all()
    spread = KVCacheTensor(4 * page, ["a0", "a1"], page, 2 * page)
    with pytest.raises(ValueError, match=rf"the blocks of the layer a0 are to lie {2 * page} bytes apart, and are of {page} bytes"):
        view_of(memory, spread, "a0", spec(), shape)


# For each request of a step, its tokens of the step, those with them in the cache, and its pictures, from and to.
PICTURES: list[tuple[int, int, list[tuple[int, int]]]] = [
    (1, 257, [(3, 40)]),  # computed before
    (130, 130, [(0, 0), (2, 65), (66, 129)]),
    (9, 9, []),
    (100, 230, [(120, 180), (190, 200), (230, 240)]),  # its first tokens are cached; another comes later
]


@pytest.mark.parametrize("within", [False, True], ids=["pictures go beyond windows", "pictures end at windows"])
@pytest.mark.parametrize(
    ("dtype", "kv_heads", "options"),
    [
        *((torch.float32, 2, options) for options in ({}, {"sliding_window": 48}, {"logits_soft_cap": 1.5})),
        *((torch.bfloat16, kv_heads, options) for kv_heads in (2, HEADS) for options in ({}, {"sliding_window": 48})),
    ],
    ids=str,
)
def test_tokens_of_a_picture_see_each_other(dtype: torch.dtype, kv_heads: int, options: dict[str, Any], within: bool) -> None:
    """Against float64 on the host, by the operators that a type and the heads take: torch's, padded calls, packed ones."""
    size = 64
    generator = torch.Generator().manual_seed(9)
    with set_current_vllm_config(EngineArgs(str(MODEL), max_model_len=512, dtype=dtype).create_engine_config()):
        layer = CannAttention(HEADS, size, size**-0.5, kv_heads, **options)
    assert layer.fused == (dtype == torch.bfloat16)
    window, cap = options.get("sliding_window"), options.get("logits_soft_cap")
    query_lens, kv_lens = [request[0] for request in PICTURES], [request[1] for request in PICTURES]
    ends = torch.tensor(query_lens).cumsum(0).tolist()
    cache = torch.zeros(2, 3 * len(PICTURES), BLOCK_SIZE, kv_heads, size, dtype=dtype)
    query = torch.randn(ends[-1], HEADS, size, generator=generator).clamp(-2, 2).to(dtype)
    wanted = []
    for request, (tokens, length, shown) in enumerate(PICTURES):
        rows = torch.randn(2, length, kv_heads, size, generator=generator).clamp(-2, 2).to(dtype)
        cache[:, 3 * request : 3 * request + 3].flatten(1, 2)[:, :length] = rows
        keys, values = rows.double().repeat_interleave(HEADS // kv_heads, 2)
        scores = torch.einsum("qhd,khd->hqk", query[ends[request] - tokens : ends[request]].double(), keys) * size**-0.5
        if cap is not None:
            scores = cap * torch.tanh(scores / cap)
        places, own = torch.arange(length), torch.arange(length - tokens, length)[:, None]
        seen = places <= own
        if window is not None and not within:
            seen = seen & (own - places < window)
        for begin, last in shown:
            seen = seen | ((begin <= places) & (places <= last) & (begin <= own) & (own <= last))
        if window is not None and within:
            seen = seen & (own - places < window)
        wanted.append(torch.einsum("hqk,khd->qhd", scores.masked_fill(~seen, float("-inf")).softmax(-1), values))
    ranges = {i: request[2] for i, request in enumerate(PICTURES)}
    given = CannMetadata(
        ends[-1],
        ends,
        query_lens,
        kv_lens,
        torch.arange(3 * len(PICTURES), dtype=torch.int32).view(-1, 3).npu(),
        None if dtype == torch.float32 else causal_template(torch.device("npu")),
        torch.tensor(kv_lens, dtype=torch.int32).npu(),
        pictures_of(ranges, ends, query_lens, kv_lens),
    )
    assert [(one.request, one.rows.stop - one.rows.start) for one in given.mm_prefix_range or ()] == [
        (1, 1),
        (1, 64),
        (1, 64),
        (3, 51),
        (3, 11),
    ]
    buffer = query.npu()
    found = layer.forward(
        SimpleNamespace(mm_prefix_clamp_sliding_window=within), buffer, buffer, buffer, cache.npu(), given, buffer.clone()
    )
    # As above in float32. In bfloat16, weights and the result are rounded to the type, too: the sum of weights is 1, a value at most 2.
    score = (size + 5) * 2**-24 * 4 * size**0.5
    bound = 2 * (2 * score + 2 * max(kv_lens) * 2**-24)
    if dtype == torch.bfloat16:
        bound += 2 * 3 * 2**-9
    torch.testing.assert_close(found.cpu().double(), torch.cat(wanted), rtol=0, atol=bound)


def test_a_step_does_not_end_within_a_picture() -> None:
    assert pictures_of(None, [5], [5], [9]) is None
    assert pictures_of({0: [(0, 3), (9, 12)]}, [5], [5], [9]) is None
    with pytest.raises(RuntimeError, match="computes the tokens 6 to 8 of a picture that ends at the token 10"):
        pictures_of({0: [(6, 10)]}, [5], [5], [9])
    with pytest.raises(RuntimeError, match="computes the tokens 4 to 8 of a picture that ends at the token 9"):
        pictures_of({0: [(2, 9)]}, [5], [5], [9])


# What vLLM can ask of attention when it chooses a backend, and what it tells a backend of a step, besides sizes and places of tokens.
# A new name means something that the plugin would leave out in silence: judge it, and refuse it where the plugin does not have it.
OF_LAYERS = {
    "head_size dtype kv_cache_dtype block_size": "why_not_fused, Cache",
    "use_mla": "CannLatentBackend",
    "attn_type": "CannAttention and CannEncoderAttention refuse others",
    "has_sink has_sliding_window use_mm_prefix": "CannAttention",
    "use_sparse use_rswa use_batch_invariant": "get_attn_backend_cls refuses it",
    "use_per_head_quant_scales use_non_causal use_kv_connector use_pcp use_dcp": "options, refused",
    "use_adaptive_verification": "speculative decoding, refused",
}
OF_STEPS = {
    "query_start_loc query_start_loc_cpu seq_lens num_reqs num_actual_tokens max_query_len max_seq_len block_table_tensor slot_mapping "
    "positions is_prefilling seq_lens_cpu_upper_bound _num_computed_tokens_cache _token_to_req_indices_cache": "places of tokens",
    "causal rswa_prefix_lens": "CannMetadataBuilder refuses it",
    "mm_req_doc_ranges": "pictures_of",
    "logits_indices_padded num_logits_indices max_logits_per_req": "the fast prefill of shared caches, refused",
    "encoder_seq_lens encoder_seq_lens_cpu": "encoder-decoder models, refused",
    "dcp_local_seq_lens dcp_local_seq_lens_cpu_upper_bound req_idx": "context parallelism, refused",
    "replayssm_decode_base_cpu": "layers with a state, refused",
}


def test_all_that_vllm_can_ask_of_attention_is_known() -> None:
    assert set(" ".join(OF_LAYERS).split()) == set(AttentionSelectorConfig._fields)
    assert set(" ".join(OF_STEPS).split()) == {field.name for field in fields(CommonAttentionMetadata)}


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"use_sparse": True}, "no attention backend for sparse attention"),
        ({"use_rswa": True}, "no attention in which a prompt stays visible beyond a window"),
        ({"use_batch_invariant": True}, "no attention whose roundings are the same in every batch"),
        ({"use_mla": True, "use_mm_prefix": True}, "no latent attention in which the tokens of a picture see each other"),
    ],
)
def test_attention_of_other_kinds_is_refused(asked: dict[str, bool], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        current_platform.get_attn_backend_cls(None, AttentionSelectorConfig(64, torch.float32, "auto", 128, **asked))
