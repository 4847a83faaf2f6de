"""The operators of mixtures of experts through torch, with unmodified torch_npu on SoftNPU."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
import torch_npu  # noqa: F401
from counted import kernels_launched
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import CHECKS

from vllm_cann import ops
from vllm_cann.ops.moe_compute_expert_tokens import moe_compute_expert_tokens
from vllm_cann.ops.moe_finalize_routing import moe_finalize_routing
from vllm_cann.ops.moe_finalize_routing import moe_token_unpermute
from vllm_cann.ops.moe_gating_top_k import moe_gating_top_k
from vllm_cann.ops.moe_gating_top_k import moe_gating_top_k_softmax
from vllm_cann.ops.moe_init_routing import moe_init_routing
from vllm_cann.ops.moe_init_routing import moe_init_routing_v2
from vllm_cann.ops.moe_init_routing import moe_token_permute

FLOATS = (torch.float32, torch.float16, torch.bfloat16)
moe = torch.ops.vllm_cann
# The same examples in every run, and few of them: each is a launch or two.
FEW = settings(derandomize=True, max_examples=25, deadline=None, database=None)


@pytest.fixture(scope="module", autouse=True)
def kernels() -> None:
    ops.load(torch.device("npu:0"))


def noise(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape) + seed)
    return torch.randn(*shape, generator=generator).to(dtype)


# Gating. The kernel tests hold the bounds; here torch and the kernel see the same numbers.


def gate(x: torch.Tensor, k: int, groups: int, kept: int, bias: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Experts and renormalised sigmoid weights of DeepSeek-V3's router, in double precision."""
    s = x.double().sigmoid()
    choice = s if bias is None else s + bias.double()
    by_group = choice.unflatten(-1, (groups, -1))
    best = by_group.topk(2, -1).values.sum(-1).topk(kept, -1).indices
    keep = torch.zeros(by_group.shape[:-1], dtype=torch.bool).scatter(-1, best, True)
    idx = by_group.masked_fill(~keep[..., None], float("-inf")).flatten(-2).topk(k, -1).indices
    weights = s.gather(-1, idx)
    return idx, weights / weights.sum(-1, keepdim=True)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_gating_like_deepseek(dtype: torch.dtype) -> None:
    x = torch.stack([torch.randperm(64, generator=torch.Generator().manual_seed(i)) for i in range(21)]).sub(32).div(8).to(dtype)
    bias = noise(64, dtype=dtype).abs()
    idx, weights = gate(x, 6, 8, 3, bias)
    y, found, scores = moe_gating_top_k(
        x.npu(), 6, bias=bias.npu(), k_group=3, group_count=8, group_select_mode=1, norm_type=1, out_flag=True, routed_scaling_factor=2.5
    )
    assert torch.equal(found.cpu().long(), idx)
    # 13 roundings in float32 (the bound is derived in moe_gating_top_k_test.cc), then one into the type.
    assert torch.allclose(y.cpu().double(), weights * 2.5, rtol=13 * 2**-24 + torch.finfo(dtype).eps / 2, atol=0)
    assert scores.dtype == torch.float32
    assert torch.allclose(scores.cpu().double(), x.double().sigmoid(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("renorm", [0, 1])
def test_gating_softmax_asserts_experts_weights_and_numbers(renorm: int) -> None:
    x = noise(3, 5, 60)
    finished = torch.tensor([[False, True, False, False, True]] * 3)
    y, idx, rows = moe_gating_top_k_softmax(x.npu(), finished.npu(), 4, renorm)
    top = x.double().softmax(-1).topk(4)
    want = top.values / top.values.sum(-1, keepdim=True) if renorm else top.values
    assert torch.equal(idx.cpu().long(), top.indices.masked_fill(finished[..., None], 60))
    assert torch.allclose(y.cpu().double(), want, rtol=1e-6, atol=0)
    assert torch.equal(rows.cpu(), torch.arange(60).reshape(4, 15).T.reshape(3, 5, 4).int())


@FEW
@given(rows=st.integers(1, 5), experts=st.integers(1, 90), seed=st.integers(0, 1000))
def test_softmax_weights_of_all_experts_sum_to_one(rows: int, experts: int, seed: int) -> None:
    y, idx, _ = moe_gating_top_k(noise(rows, experts, seed=seed).npu(), experts)
    assert torch.allclose(y.cpu().sum(-1), torch.ones(rows), rtol=1e-6, atol=0)
    assert torch.equal(idx.cpu().sort(-1).values.long(), torch.arange(experts).expand(rows, experts))
    assert bool((y.cpu().diff(dim=-1) <= 0).all())


@FEW
@given(
    rows=st.integers(1, 6),
    groups=st.sampled_from([1, 2, 4, 8]),
    size=st.sampled_from([3, 8, 33]),
    kept=st.integers(1, 8),
    k=st.integers(1, 8),
    norm_type=st.integers(0, 1),
    seed=st.integers(0, 1000),
)
def test_ties_go_to_the_lower_number(rows: int, groups: int, size: int, kept: int, k: int, norm_type: int, seed: int) -> None:
    """Seven different logits, of which scores are increasing functions, so all steps have ties. Groups by their largest score."""
    kept = min(kept, groups)
    k = min(k, kept * size)
    x = integers(seed, -3, 4, rows, groups * size).float() / 2
    y, idx, _ = moe_gating_top_k(x.npu(), k, k_group=kept, group_count=groups, norm_type=norm_type, renorm=1, routed_scaling_factor=2.0)
    for row, (logits, found) in enumerate(zip(x.tolist(), idx.tolist(), strict=True)):
        best = [max(logits[g * size : (g + 1) * size]) for g in range(groups)]
        allowed = sorted(range(groups), key=lambda g, best=best: (-best[g], g))[:kept]
        experts = [e for g in allowed for e in range(g * size, (g + 1) * size)]
        assert found == sorted(experts, key=lambda e, logits=logits: (-logits[e], e))[:k], row
    assert bool((y.cpu().diff(dim=-1) <= 0).all())
    assert torch.allclose(y.cpu().sum(-1), torch.full((rows,), 2.0), rtol=1e-6, atol=0)


# Routing: exact.


def sorted_pairs(expert_idx: torch.Tensor, first: int, end: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The pairs in the order of their experts, and the place of each pair, -1 for none."""
    flat = expert_idx.flatten().long()
    inside = ((flat >= first) & (flat < end)).nonzero().flatten()
    order = inside[flat[inside].argsort(stable=True)]
    places = torch.full_like(flat, -1)
    places[order] = torch.arange(len(order))
    return order, places


def integers(seed: int, low: int, high: int, *shape: int) -> torch.Tensor:
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.int32)


@FEW
@given(tokens=st.integers(1, 40), k=st.integers(1, 4), first=st.integers(0, 4), number=st.integers(0, 9), seed=st.integers(0, 1000))
def test_routing_is_a_stable_sort_and_counts_sum(tokens: int, k: int, first: int, number: int, seed: int) -> None:
    rows = noise(tokens, 24, seed=seed)
    idx = integers(seed, -2, 12, tokens, k)
    order, places = sorted_pairs(idx, first, first + number)
    keywords = {"expert_tokens_num_flag": True, "active_expert_range": [first, first + number]}
    out, found, counts, _ = moe_init_routing_v2(rows.npu(), idx.npu(), expert_tokens_num_type=1, **keywords)
    assert torch.equal(found.cpu().long(), places)
    # Rows behind them are not written.
    assert torch.equal(out[: len(order)].cpu(), rows[order // k])
    assert int(counts.sum()) == len(order)
    _, found, sums, _ = moe_init_routing_v2(rows.npu(), idx.npu(), expert_tokens_num_type=0, row_idx_type=1, **keywords)
    assert torch.equal(found.cpu()[: len(order)].long(), order)
    assert bool((found.cpu()[len(order) :] == -1).all())
    assert torch.equal(sums.cpu(), counts.cpu().cumsum(0))


@FEW
@given(tokens=st.integers(1, 40), k=st.integers(1, 4), experts=st.integers(1, 12), seed=st.integers(0, 1000))
def test_permutation_is_one(tokens: int, k: int, experts: int, seed: int) -> None:
    rows = noise(tokens, 16, seed=seed).half()
    idx = integers(seed, 0, experts, tokens, k)
    out, places = moe_token_permute(rows.npu(), idx.npu(), num_experts=experts)
    assert torch.equal(places.cpu().sort().values.long(), torch.arange(tokens * k))
    assert torch.equal(out.cpu()[places.cpu().long()], rows.repeat_interleave(k, 0))


def test_permutation_takes_slices_and_one_dimension() -> None:
    rows = noise(6, 16)
    idx = torch.tensor([3, 1, 2, 0, 3, 1])
    order = idx.argsort(stable=True)
    for number, rest in ((None, 6), (0, 6), (4, 4), (-2, 4), (9, 6), (-9, 0)):
        out, places = moe_token_permute(rows.npu(), idx.npu(), number)
        assert torch.equal(out.cpu(), rows[order[:rest]])
        assert torch.equal(places.cpu().long(), order.argsort())


@FEW
@given(tokens=st.integers(1, 30), k=st.integers(1, 4), active=st.integers(1, 40), seed=st.integers(0, 1000))
def test_routing_by_row_numbers_follows_the_gate(tokens: int, k: int, active: int, seed: int) -> None:
    rows, logits = noise(tokens, 20, seed=seed), noise(tokens, 12, seed=seed)
    _, idx, numbers = moe_gating_top_k_softmax(logits.npu(), None, k)
    out, places, experts = moe_init_routing(rows.npu(), numbers, idx, active)
    flat, order = idx.cpu().flatten().sort(stable=True)
    number = numbers.cpu().flatten()[order].long()
    assert torch.equal(experts.cpu(), flat)
    assert torch.equal(out.cpu(), rows[number % tokens][: min(tokens, active) * k])
    assert torch.equal(places.cpu().long()[number], torch.arange(tokens * k))


def test_routing_drops_beyond_the_capacity_and_pads_with_zeros() -> None:
    rows = noise(5, 8) + 10
    idx = torch.tensor([[0], [2], [0], [0], [1]], dtype=torch.int32)
    out, places, counts, _ = moe_init_routing_v2(
        rows.npu(), idx.npu(), expert_num=3, expert_capacity=2, drop_pad_mode=1, expert_tokens_num_type=1, expert_tokens_num_flag=True
    )
    want = torch.zeros(3, 2, 8)
    want[0, 0], want[0, 1], want[1, 0], want[2, 0] = rows[0], rows[2], rows[4], rows[1]
    assert torch.equal(out.cpu(), want)
    assert places.cpu().tolist() == [0, 4, 1, -1, 2]
    assert counts.cpu().tolist() == [3, 1, 1]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_routing_quantises(dtype: torch.dtype) -> None:
    rows, smooth = noise(9, 40, dtype=dtype), noise(4, 40).abs() + 0.5
    idx = integers(1, 0, 4, 9, 2)
    order, _ = sorted_pairs(idx, 0, 4)
    out, _, _, scale = moe_init_routing_v2(rows.npu(), idx.npu(), expert_num=4, quant_mode=1, scale=smooth.npu())
    v = rows.double()[order // 2] * smooth.double()[idx.flatten()[order].long()]
    assert torch.allclose(scale.cpu().double(), v.abs().amax(-1) / 127, rtol=1e-6, atol=0)
    assert bool(((out.cpu().double() - v / (v.abs().amax(-1, keepdim=True) / 127)).abs() <= 0.5001).all())
    out, _, _, _ = moe_init_routing_v2(
        rows.npu(), idx.npu(), expert_num=4, quant_mode=0, scale=torch.tensor([40.0]).npu(), offset=torch.tensor([3.0]).npu()
    )
    assert bool(((out.cpu().double() - (rows.double()[order // 2] * 40 + 3).clamp(-128, 127)).abs() <= 0.5001).all())


# Back again. With n terms of magnitudes m in all, float32 is wrong by at most (n + 1) 2^-24 m (moe_finalize_routing_test.cc).


def check_sum(found: torch.Tensor, terms: torch.Tensor) -> None:
    """`found` [tokens, H] is the sum over the second dimension of `terms` [tokens, n, H], in double precision."""
    bound = (terms.shape[1] + 1) * 2**-24 * terms.abs().sum(1)
    want = terms.sum(1)
    if found.dtype != torch.float32:  # half a last place, of float16 at least half a subnormal
        bound = bound + torch.finfo(found.dtype).eps / 2 * (want.abs() + bound) + 2**-25
    assert bool(((found.cpu().double() - want).abs() <= bound).all())


@pytest.mark.parametrize("probs_dtype", FLOATS, ids=str)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_unpermute_weighs_and_adds(dtype: torch.dtype, probs_dtype: torch.dtype) -> None:
    rows, probs = noise(12, 40, dtype=dtype), noise(4, 3, dtype=probs_dtype)
    indices = torch.tensor([3, -1, 7, -12, 0, 1, 12, 2, 5, -1, -1, -1], dtype=torch.int32)
    found = moe_token_unpermute(rows.npu(), indices.npu(), probs.npu())
    here = ((indices >= 0) & (indices < 12)).double().reshape(4, 3, 1)
    check_sum(found, rows.double()[indices.clamp(0, 11).long()].reshape(4, 3, 40) * probs.double()[..., None] * here)


def test_unpermute_without_probs_takes_rows() -> None:
    rows = noise(6, 9, dtype=torch.bfloat16)
    order = torch.tensor([5, 0, 3, 1, 2, 4], dtype=torch.int32)
    assert torch.equal(moe_token_unpermute(rows.npu(), order.npu()).cpu(), rows[order.long()])


@FEW
@given(
    tokens=st.integers(1, 20), log_k=st.integers(0, 3), experts=st.integers(8, 12), dtype=st.sampled_from(FLOATS), seed=st.integers(0, 99)
)
def test_there_and_back_is_where_it_was(tokens: int, log_k: int, experts: int, dtype: torch.dtype, seed: int) -> None:
    """k is a power of two, and rows have the 8 bits of bfloat16, so each of the k shares, and all sums of them, are exact in float32."""
    k = 2**log_k
    rows = noise(tokens, 32, dtype=torch.bfloat16, seed=seed).to(dtype)
    out, places = moe_token_permute(rows.npu(), integers(seed, 0, experts, tokens, k).npu(), num_experts=experts)
    back = moe_token_unpermute(out, places, torch.full((tokens, k), 1 / k, dtype=dtype).npu())
    assert torch.equal(back.cpu(), rows)


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_finalize_adds_skips_and_biases(dtype: torch.dtype, mode: int) -> None:
    tokens, k, size, experts = 5, 3, 24, 4
    rows = noise(experts, 6, size, dtype=dtype)
    skips = [noise(tokens, size, dtype=dtype, seed=i) for i in (1, 2)]
    bias, scales = noise(experts, size, dtype=dtype, seed=3), noise(tokens, k)
    number = integers(3, 0, experts, tokens, k)
    index = torch.randperm(24, generator=torch.Generator().manual_seed(1))[: tokens * k].int().reshape(tokens, k)
    index[1, 2] = index[4, 0] = -1
    flat = rows.flatten(0, 1)
    given_index = (index if mode >= 2 else index.t()).flatten()
    found = moe_finalize_routing(
        (rows if mode % 2 else flat).npu(),
        skips[0].npu(),
        skips[1].npu(),
        bias.npu(),
        scales.npu(),
        given_index.npu(),
        number.npu(),
        mode,
    )
    terms = flat.double()[index.clamp(0).long()] + bias.double()[number.long()]
    terms = terms * scales.double()[..., None] * (index >= 0)[..., None]
    check_sum(found, torch.cat([skips[0].double()[:, None], skips[1].double()[:, None], terms], 1))


@FEW
@given(
    tokens=st.integers(1, 20),
    k=st.integers(1, 6),
    dtype=st.sampled_from(FLOATS),
    has_bias=st.booleans(),
    skips=st.integers(0, 2),
    seed=st.integers(0, 1000),
)
def test_numbering_by_column_and_by_row_are_one(tokens: int, k: int, dtype: torch.dtype, has_bias: bool, skips: int, seed: int) -> None:
    """The same pairs in both numberings give the same bits, and without skips and biases those of unpermute. Some pairs are dropped."""
    rows, scales = noise(tokens * k, 24, dtype=dtype, seed=seed), noise(tokens, k, seed=seed)
    index = torch.randperm(tokens * k, generator=torch.Generator().manual_seed(seed)).int().reshape(tokens, k)
    index[index % 5 == 0] = -1
    number = integers(seed, 0, 4, tokens, k)
    more = [noise(tokens, 24, dtype=dtype, seed=seed + i).npu() if i < skips else None for i in range(2)]
    bias = noise(4, 24, dtype=dtype, seed=seed).npu() if has_bias else None
    found = [
        moe_finalize_routing(
            rows.npu(), *more, bias, scales.npu(), given_index.flatten().npu(), number.npu() if has_bias else None, mode
        ).cpu()
        for mode, given_index in ((0, index.t().contiguous()), (2, index))
    ]
    assert torch.equal(*found)
    terms = rows.double()[index.clamp(0).long()]
    if bias is not None:
        terms = terms + bias.cpu().double()[number.long()]
    terms = terms * scales.double()[..., None] * (index >= 0)[..., None]
    check_sum(found[0], torch.cat([*(m.cpu().double()[:, None] for m in more if m is not None), terms], 1))
    if skips == 0 and bias is None:
        assert torch.equal(found[0], moe_token_unpermute(rows.npu(), index.flatten().npu(), scales.npu()).cpu())


def test_finalize_with_a_bias_of_no_experts() -> None:
    rows, index = noise(4, 16), torch.tensor([3, 0, 2, 1], dtype=torch.int32)
    found = moe_finalize_routing(
        rows.npu(), None, None, rows[:0].npu(), None, index.npu(), torch.zeros(2, 2, dtype=torch.int32).npu(), 2, 2
    )
    check_sum(found, rows.double()[index.long()].view(2, 2, 16))


def test_finalize_without_anything_but_rows() -> None:
    rows = noise(8, 16)
    index = torch.tensor([7, 0, 3, -1, 2, 5], dtype=torch.int32)
    found = moe_finalize_routing(rows.npu(), None, None, None, None, index.npu(), None, 0, 2)
    terms = torch.stack([rows[index.clamp(0).long()[j * 3 : j * 3 + 3]] for j in range(2)], 1).double()
    terms[0, 1] = 0
    check_sum(found, terms)


@FEW
@given(entries=st.integers(0, 60), experts=st.integers(1, 30), seed=st.integers(0, 99))
def test_expert_tokens_are_running_sums(entries: int, experts: int, seed: int) -> None:
    numbers = integers(seed, 0, experts, entries).sort().values
    found = moe_compute_expert_tokens(numbers.npu(), experts).cpu()
    assert torch.equal(found.long(), torch.bincount(numbers, minlength=experts).cumsum(0))


def test_launches_do_not_depend_on_contents() -> None:
    """From SoftNPU's own books."""
    rows = noise(300, 16).npu()

    def once(function: Callable[..., object], *arguments: object, **keywords: object) -> None:
        before = kernels_launched()
        function(*arguments, **keywords)
        torch.npu.synchronize()
        assert kernels_launched() == before + 1

    for number in (0, 7, -1):  # all in one expert, or none kept
        pairs = torch.full((300, 4), number, dtype=torch.int32).npu()
        once(moe_init_routing_v2, rows, pairs, expert_num=8)
        once(moe_init_routing, rows, torch.arange(1200).int().reshape(4, 300).t().contiguous().npu(), pairs, 300)
        once(moe_token_permute, rows, pairs, num_experts=8)
        once(moe_token_unpermute, rows, pairs[:, 0].contiguous())
        once(moe_finalize_routing, rows, None, None, None, None, pairs[:, 0].contiguous())
        once(moe_compute_expert_tokens, pairs[:, 0].contiguous(), 8)
    for value in (0.0, float("nan"), float("inf")):
        logits = torch.full((300, 16), value).npu()
        once(moe_gating_top_k, logits, 4, group_count=4, k_group=2, group_select_mode=1, norm_type=1)
        once(moe_gating_top_k_softmax, logits, torch.full((300,), value == 0).npu(), 4)


def pairs_of(tokens: int = 5) -> torch.Tensor:
    return integers(2, 0, 8, tokens, 2).npu()


# What Dynamo relies on.


def x() -> torch.Tensor:
    return noise(5, 32, dtype=torch.float16).npu()


CALLS: dict[str, Callable[[], list[tuple[tuple[object, ...], dict[str, object]]]]] = {
    "moe_gating_top_k": lambda: [
        ((x(), 4), {}),
        ((x(), 2), {"bias": x()[0], "group_count": 4, "k_group": 2, "out_flag": True, "finished": torch.zeros(5, dtype=torch.bool).npu()}),
    ],
    "moe_gating_top_k_softmax": lambda: [((x(), None, 3), {}), ((x(), torch.zeros(5, dtype=torch.bool).npu()), {})],
    "moe_init_routing": lambda: [((x(), torch.arange(10).int().reshape(2, 5).t().contiguous().npu(), pairs_of(), 3), {})],
    "moe_init_routing_v2": lambda: [
        ((x(), pairs_of()), {"expert_num": 8, "expert_tokens_num_flag": True, "scale": noise(5).npu()}),
        ((x(), pairs_of()), {"expert_num": 8, "quant_mode": 1, "expert_tokens_num_flag": True, "expert_tokens_num_type": 2}),
        ((x(), pairs_of()), {"expert_num": 8, "drop_pad_mode": 1, "expert_capacity": 2}),
    ],
    "moe_token_permute": lambda: [((x(), pairs_of()), {}), ((x(), pairs_of()[:, 0].contiguous(), 3), {})],
    "moe_token_unpermute": lambda: [
        ((noise(10, 32).npu(), torch.arange(10).int().npu(), noise(5, 2).npu()), {}),
        ((noise(10, 32).npu(), torch.arange(10).int().npu()), {}),
    ],
    "moe_finalize_routing": lambda: [
        ((x(), None, None, None, None, torch.arange(5).int().npu()), {}),
        (
            (
                noise(10, 32).npu(),
                noise(5, 32).npu(),
                None,
                noise(8, 32).npu(),
                noise(5, 2).npu(),
                torch.arange(10).int().npu(),
                pairs_of(),
                2,
            ),
            {},
        ),
    ],
    "moe_compute_expert_tokens": lambda: [((torch.arange(5).int().npu(), 4), {})],
}


@pytest.mark.parametrize("utility", CHECKS)
@pytest.mark.parametrize("name", CALLS)
def test_opcheck(name: str, utility: str) -> None:
    for arguments, keywords in CALLS[name]():
        torch.library.opcheck(getattr(moe, name).default, arguments, keywords, test_utils=utility)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_is_one_launch(name: str) -> None:
    for arguments, keywords in CALLS[name]():
        before = kernels_launched()
        getattr(moe, name)(*arguments, **keywords)
        assert kernels_launched() == before + 1


# Refusals, before the device is given anything.

REFUSALS: list[tuple[Callable[[], object], str]] = [
    (
        lambda: moe_init_routing_v2(x(), x()[:, :2].int().contiguous(), offset=x()[0, :1].float(), expert_num=4),
        "offset is given with quant_mode -1; it belongs to static quantisation (quant_mode 0)",
    ),
    (lambda: moe_gating_top_k(x().t(), 1), "x has stride 32 in dimension 1; it has to be contiguous"),
    (lambda: moe_gating_top_k(x().int(), 1), "x is int32; it can be float16, bfloat16 or float32"),
    (lambda: moe_gating_top_k(x(), 0), "k is 0; it can be 1 to the 32 experts of 1 groups (k_group)"),
    (lambda: moe_gating_top_k(x(), 33), "k is 33; it can be 1 to the 32 experts of 1 groups"),
    (lambda: moe_gating_top_k(x(), 1, bias=x()[0, :8]), "bias has 8 in dimension 0, x has experts: 32"),
    (lambda: moe_gating_top_k(x(), 1, bias=x()[0].cpu()), "bias is on cpu; all tensors must be on one NPU"),
    (
        lambda: moe_gating_top_k(x(), 1, finished=x()[:, 0].contiguous()),
        "finished is float16, not bool",
    ),
]


@pytest.mark.parametrize(("call", "sentence"), REFUSALS, ids=[text for _, text in REFUSALS])
def test_refused_before_a_launch(call: Callable[[], object], sentence: str) -> None:
    before = kernels_launched()
    with pytest.raises(ValueError, match=re.escape(sentence)):
        call()
    assert kernels_launched() == before


def test_no_rows_launch_nothing() -> None:
    before = kernels_launched()
    y, idx, scores = moe_gating_top_k(x()[:0], 3, out_flag=True)
    assert (y.shape, idx.shape, scores.shape) == ((0, 3), (0, 3), (0, 32))
    none = pairs_of()[:0]
    assert [t.shape for t in moe_gating_top_k_softmax(x()[:0], None, 3)] == [(0, 3)] * 3
    assert moe_init_routing_v2(x()[:0], none, expert_num=8)[0].shape == (0, 32)
    assert moe_init_routing(x()[:0], none, none, 3)[0].shape == (0, 32)
    assert moe_token_permute(x()[:0], none)[0].shape == (0, 32)
    assert moe_token_unpermute(x()[:0], none[:, 0], none.float()).shape == (0, 32)
    assert moe_finalize_routing(x()[:0], None, None, None, none.float(), none.flatten(), None, 2).shape == (0, 32)
    assert kernels_launched() == before
