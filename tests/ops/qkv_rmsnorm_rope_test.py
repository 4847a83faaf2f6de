"""qkv_rmsnorm_rope and qkv_square_sums: query, key and value of a projection, normalised, rotated and taken apart.

What float32 arithmetic may be wrong by is 2^-20 of the magnitudes that a result is a sum of (derived beside the kernel).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import reference
import torch
import torch_npu
from hypothesis import given
from hypothesis import strategies as st
from shared import (
    CHECKS,
    FLOATS,
    Arguments,
    check_declaration,
    cos_sin_cache,
    few,
    half_places,
    launches,
    near,
    noise,
    refusals,
    refused,
    same,
    want,
    zeros,
)

from vllm_cann.ops.qkv_rmsnorm_rope import qkv_rmsnorm_rope, qkv_square_sums
from vllm_cann.ops.rotary_embedding import rotary_embedding

ERROR = 2**-20
POSITIONS = 300  # that the table of angles has


def legal(**changes: Any) -> Arguments:
    return {
        "qkv": zeros(5, 512),
        "q_weight": zeros(64),
        "k_weight": zeros(64),
        "num_heads": 4,
        "num_kv_heads": 2,
        "head_size": 64,
        "eps": 1e-6,
        "cos_sin_cache": zeros(9, 64),
        "positions": zeros(5, dtype=torch.int64),
    } | changes


def by_rows(cos: torch.Tensor, sin: torch.Tensor, **changes: Any) -> Arguments:
    """A legal call but for cos and sin, which replace positions."""
    return legal(cos_sin_cache=None, positions=None, cos=cos, sin=sin, **changes)


def random_positions(seed: int, *shape: int) -> torch.Tensor:
    return torch.randint(0, POSITIONS, shape, generator=torch.Generator().manual_seed(seed))


def near_heads(
    found: torch.Tensor,
    x: torch.Tensor,
    weight: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    eps: float = 1e-6,
    bias: torch.Tensor | None = None,
    mean_square: torch.Tensor | None = None,
    error: float = ERROR,
) -> None:
    """`found` [tokens, heads * size] are heads x [tokens, heads, size], normalised and rotated."""
    normal, magnitudes = want(reference.rms_norm, x, weight, eps, bias, mean_square)
    expected = want(reference.rotary_embedding, normal, cos, sin)
    near(found.view(x.shape), expected, error * want(reference.rotary_embedding, magnitudes, cos, sin, magnitudes=True))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("has_bias", [False, True], ids=["plain", "bias"])
@pytest.mark.parametrize("has_gate", [False, True], ids=["", "gate"])
@pytest.mark.parametrize(("heads", "kv_heads", "size", "rotary_dim"), [(8, 2, 128, 128), (3, 2, 72, 36), (2, 1, 256, 64)])
def test_values(heads: int, kv_heads: int, size: int, rotary_dim: int, has_gate: bool, has_bias: bool, dtype: torch.dtype) -> None:
    """Rows with a step of their own, which stay as they are; value and gate bit for bit."""
    tokens, eps = 13, 1e-5
    width = (heads * (2 if has_gate else 1) + 2 * kv_heads) * size
    whole = noise(dtype, tokens, width + 24)
    on_device = whole.npu()
    weights = [noise(dtype, size, seed=i) for i in range(4)]
    biases = weights[2:] if has_bias else [None, None]
    positions, table = random_positions(3, tokens), cos_sin_cache(dtype, POSITIONS, rotary_dim)
    arguments = (on_device[:, :width], weights[0].npu(), weights[1].npu(), heads, kv_heads, size, eps)
    keywords = {"cos_sin_cache": table.npu(), "positions": positions.npu(), "has_gate": has_gate}
    keywords |= {name: bias.npu() for name, bias in zip(("q_bias", "k_bias"), biases, strict=True) if bias is not None}
    with launches(1):
        q, k, v, gate = torch.ops.vllm_cann.qkv_rmsnorm_rope(*arguments, **keywords)
    held = want(reference.split_qkv, whole[:, :width], heads, kv_heads, size, has_gate)
    angles = want(reference.rotary_angles, table, positions)
    for found, x, weight, bias in zip((q, k), held[:2], weights[:2], biases, strict=True):
        near_heads(found, x, weight, *angles, eps, bias)
    same(v, held[2].flatten(1))
    same(gate, held[3].flatten(1) if has_gate else torch.zeros(0))
    same(on_device, whole)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("interleaved", [False, True])
def test_three_axes_of_a_longer_buffer(interleaved: bool, dtype: torch.dtype) -> None:
    """As vLLM's runner slices them: the axes lie apart."""
    tokens, heads, kv_heads, size, section = 11, 4, 2, 128, [24, 20, 20]
    x, weight, table = noise(dtype, tokens, 8 * size), noise(dtype, size), cos_sin_cache(dtype, POSITIONS, size)
    buffer = random_positions(2, 3, 40)
    angles = {"cos_sin_cache": table.npu(), "positions": buffer.npu()[:, :tokens]}
    options = {"mrope_section": section, "mrope_interleaved": interleaved}
    w = weight.npu()
    q, k, *_ = torch.ops.vllm_cann.qkv_rmsnorm_rope(x.npu(), w, w, heads, kv_heads, size, 1e-6, **angles, **options)
    cos, sin = want(reference.rotary_angles, table, buffer[:, :tokens], section, interleaved)
    query, key, *_ = want(reference.split_qkv, x, heads, kv_heads, size)
    near_heads(q, query, weight, cos, sin)
    near_heads(k, key, weight, cos, sin)
    # One axis although there are sections; and angles that are given.
    angles["positions"] = buffer[0, :tokens].npu()
    one = qkv_rmsnorm_rope(x.npu(), w, w, heads, kv_heads, size, 1e-6, **angles, **options)
    rows = table[buffer[0, :tokens]].npu()
    given_rows = {"cos": rows[:, : size // 2], "sin": rows[:, size // 2 :]}
    for a, b in zip(one, qkv_rmsnorm_rope(x.npu(), w, w, heads, kv_heads, size, 1e-6, **given_rows), strict=True):
        same(a, b.cpu())
    near_heads(one[0], query, weight, *want(reference.rotary_angles, table, buffer[0, :tokens]))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_value_is_normalised_without_a_weight(dtype: torch.dtype) -> None:
    x, weight, table = noise(dtype, 7, 8 * 64), noise(dtype, 64).npu(), cos_sin_cache(dtype, POSITIONS, 64).npu()
    keywords = {"cos_sin_cache": table, "positions": torch.arange(7).npu(), "norm_value": True}
    *_, v, _ = qkv_rmsnorm_rope(x.npu(), weight, weight, 4, 2, 64, 1e-6, **keywords)
    no_angles = torch.zeros(7, 0)
    near_heads(v, want(reference.split_qkv, x, 4, 2, 64)[2], torch.ones(64), no_angles, no_angles)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_the_parts_in_sequence_differ_by_their_roundings(dtype: torch.dtype) -> None:
    """npu_rms_norm and rotary_embedding round what they give; the fused operator rounds once.

    The norm's result n is off by half a last place of it, which the rotation multiplies by cosine and sine; then each way rounds once. What
    float32 does is 2^-20 of the magnitudes on each way.
    """
    tokens, heads, kv_heads, size, eps = 33, 8, 2, 128, 1e-6
    x, table = noise(dtype, tokens, (heads + 2 * kv_heads) * size), cos_sin_cache(dtype, POSITIONS, size)
    weights, positions = [noise(dtype, size, seed=i) for i in range(2)], random_positions(3, tokens)
    angles = {"cos_sin_cache": table.npu(), "positions": positions.npu()}
    fused = qkv_rmsnorm_rope(x.npu(), *(w.npu() for w in weights), heads, kv_heads, size, eps, **angles)
    held = want(reference.split_qkv, x, heads, kv_heads, size)[:2]
    parts = [torch_npu.npu_rms_norm(h.to(dtype).contiguous().npu(), w.npu(), eps)[0] for h, w in zip(held, weights, strict=True)]
    rotary_embedding(positions.npu(), *parts, size, table.npu(), True)
    cos, sin = want(reference.rotary_angles, table, positions)
    for found, part, h, weight in zip(fused, parts, held, weights, strict=False):
        one, other = found.cpu().view(h.shape), part.cpu()
        normal, _ = want(reference.rms_norm, h, weight, eps)
        # A norm that is a hair from a power of two may be rounded by the step above it.
        rounding = half_places(normal, dtype) * (1 + 2**-6)
        inner, most = (want(reference.rotary_embedding, n, cos, sin, magnitudes=True) for n in (rounding, normal.abs()))
        bound = half_places(one, dtype) + half_places(other, dtype) + inner + 2 * ERROR * most
        assert ((one.double() - other.double()).abs() <= bound).all()
        if dtype != torch.float32:
            assert not torch.equal(one, other)  # they are not the same: the bound is about something


@few()
@given(
    heads=st.integers(1, 9),
    kv_heads=st.integers(1, 5),
    size=st.sampled_from([2, 6, 16, 40, 64, 96, 130]),
    part=st.sampled_from([1.0, 0.5, 0.25]),
    tokens=st.integers(1, 20),
    dtype=st.sampled_from(FLOATS),
    has_gate=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_tokens_do_not_touch_each_other(
    heads: int, kv_heads: int, size: int, part: float, tokens: int, dtype: torch.dtype, has_gate: bool, seed: int
) -> None:
    """Any shape: the values, and tokens in another order give the same bits in that order."""
    rotary_dim = max(2, int(size * part) // 2 * 2)
    width = (heads * (2 if has_gate else 1) + 2 * kv_heads) * size
    x, table = noise(dtype, tokens, width, seed=seed), cos_sin_cache(dtype, POSITIONS, rotary_dim)
    weights = [noise(dtype, size, seed=seed + i) for i in range(2)]
    positions, order = random_positions(seed, tokens), torch.randperm(tokens, generator=torch.Generator().manual_seed(seed))

    def run(rows: torch.Tensor, at: torch.Tensor) -> list[torch.Tensor]:
        angles = {"cos_sin_cache": table.npu(), "positions": at.npu()}
        found = qkv_rmsnorm_rope(rows.npu(), *(w.npu() for w in weights), heads, kv_heads, size, 1e-6, **angles, has_gate=has_gate)
        return [tensor.cpu() for tensor in found]

    found = run(x, positions)
    held = want(reference.split_qkv, x, heads, kv_heads, size, has_gate)
    angles = want(reference.rotary_angles, table, positions)
    for result, h, weight in zip(found, held, weights, strict=False):
        near_heads(result, h, weight, *angles)
    same(found[2], held[2].flatten(1))
    for a, b in zip(found, run(x[order], positions[order]), strict=True):
        same(a[order] if len(a) else a, b)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_two_devices_give_what_one_gives(dtype: torch.dtype) -> None:
    """A norm over all heads: each of two devices has half of them, and their sums are added."""
    tokens, heads, kv_heads, size, eps = 9, 8, 4, 64, 1e-5
    x, table = noise(dtype, tokens, (heads + 2 * kv_heads) * size), cos_sin_cache(dtype, POSITIONS, size)
    weights = [noise(dtype, h * size, seed=i) for i, h in enumerate((heads, kv_heads))]
    positions = random_positions(3, tokens)
    angles = {"cos_sin_cache": table.npu(), "positions": positions.npu()}
    held = want(reference.split_qkv, x, heads, kv_heads, size)
    halves = [
        torch.cat([h[:, rank * n : (rank + 1) * n].flatten(1) for h, n in zip(held, (4, 2, 2), strict=False)], -1).to(dtype)
        for rank in range(2)
    ]
    on_device = [half.npu() for half in halves]
    with launches(2):
        sums = [torch.ops.vllm_cann.qkv_square_sums(half, 4, 2, size) for half in on_device]
    exact = want(reference.qkv_square_sums, x, heads, kv_heads, size)
    for one, half in zip(sums, halves, strict=True):
        near(one, want(reference.qkv_square_sums, half, 4, 2, size), 2**-19 * exact)
    total = sums[0] + sums[1]
    whole_sums = qkv_square_sums(x.npu(), heads, kv_heads, size)
    whole = qkv_rmsnorm_rope(x.npu(), *(w.npu() for w in weights), heads, kv_heads, size, eps, **angles, square_sums=whole_sums)
    ranks = []
    for rank, half in enumerate(on_device):
        of_rank = [w.chunk(2)[rank].contiguous().npu() for w in weights]
        options = {**angles, "square_sums": total, "world_size": 2}
        ranks.append(torch.ops.vllm_cann.qkv_rmsnorm_rope(half, *of_rank, 4, 2, size, eps, **options))
    joined = [torch.cat([rank[i] for rank in ranks], -1) for i in range(3)]
    cos, sin = want(reference.rotary_angles, table, positions)
    for i, weight in enumerate(weights):
        mean = (exact[:, i] / held[i][0].numel()).view(-1, 1, 1)
        for found in (whole[i], joined[i]):  # 2^-19 of a sum is 2^-20 of its root
            near_heads(found, held[i], weight.view(-1, size), cos, sin, eps, mean_square=mean, error=2**-19)
    same(joined[2], whole[2].cpu())


@few()
@given(
    heads=st.integers(1, 6),
    kv_heads=st.integers(1, 3),
    size=st.sampled_from([16, 40, 64]),
    tokens=st.integers(1, 20),
    has_gate=st.booleans(),
    dtype=st.sampled_from(FLOATS),
    seed=st.integers(0, 1000),
)
def test_square_sums_are_of_each_token_alone(
    heads: int, kv_heads: int, size: int, tokens: int, has_gate: bool, dtype: torch.dtype, seed: int
) -> None:
    x = noise(dtype, tokens, (heads * (2 if has_gate else 1) + 2 * kv_heads) * size, seed=seed)
    found = qkv_square_sums(x.npu(), heads, kv_heads, size, has_gate).cpu()
    sums = want(reference.qkv_square_sums, x, heads, kv_heads, size, has_gate)
    # A square, and a sum in less than 30 steps (blocks, lanes, heads), each off by 2^-24 of a sum of squares.
    near(found, sums, 2**-19 * sums)
    order = torch.randperm(tokens, generator=torch.Generator().manual_seed(seed))
    same(qkv_square_sums(x[order].npu(), heads, kv_heads, size, has_gate), found[order])


@pytest.mark.parametrize("position", [0, 8])
@pytest.mark.parametrize("value", [0.0, 1.0, float("nan"), float("inf")])
def test_one_launch_whatever_the_contents(value: float, position: int) -> None:
    arguments = legal(qkv=torch.full((5, 512), value).npu(), positions=torch.full((5,), position).npu())
    with launches(1):
        qkv_rmsnorm_rope(**arguments)


def test_no_tokens_launch_nothing() -> None:
    arguments = legal(qkv=zeros(0, 512), positions=zeros(0, dtype=torch.int64))
    with_gate = arguments | {"qkv": zeros(0, 768), "has_gate": True}
    with launches(0):
        found, of_gate = qkv_rmsnorm_rope(**arguments), qkv_rmsnorm_rope(**with_gate)
        sums = qkv_square_sums(arguments["qkv"], 4, 2, 64)
    assert [tuple(t.shape) for t in found] == [(0, 256), (0, 128), (0, 128), (0,)]
    assert of_gate[3].shape == (0, 256)
    assert sums.shape == (0, 2)


def bfloat16(*shape: int) -> torch.Tensor:
    return noise(torch.bfloat16, *shape).npu()


def three_axes(**changes: Any) -> Arguments:
    x, weight, table = bfloat16(5, 512), bfloat16(64), cos_sin_cache(torch.bfloat16, POSITIONS, 64).npu()
    options = {"cos_sin_cache": table, "positions": zeros(3, 5, dtype=torch.int64), "mrope_section": [12, 10, 10]}
    return legal(qkv=x, q_weight=weight, k_weight=weight, **options, mrope_interleaved=True) | changes


VARIANTS: list[tuple[Callable[..., Any], Callable[[], Arguments]]] = [
    (qkv_rmsnorm_rope, lambda: three_axes(norm_value=True)),
    (
        qkv_rmsnorm_rope,
        lambda: by_rows(
            *cos_sin_cache(torch.bfloat16, 5, 64).npu().chunk(2, -1),
            **{name: bfloat16(64) for name in ("q_weight", "k_weight", "q_bias", "k_bias")},
            qkv=bfloat16(5, 512),
            num_heads=2,
            has_gate=True,
        ),
    ),
    (
        qkv_rmsnorm_rope,
        lambda: three_axes(q_weight=bfloat16(256), k_weight=bfloat16(128), square_sums=torch.ones(5, 2).npu(), world_size=2),
    ),
    (qkv_square_sums, lambda: {"qkv": bfloat16(5, 512), "num_heads": 4, "num_kv_heads": 2, "head_size": 64}),
]


@pytest.mark.parametrize("utility", CHECKS)
@pytest.mark.parametrize(("function", "make"), VARIANTS)
def test_schema_and_fake(function: Callable[..., Any], make: Callable[[], Arguments], utility: str) -> None:
    check_declaration(function, utility, make())


@refusals(
    (lambda: legal(qkv=torch.zeros(5, 512)), "qkv is on cpu"),
    (lambda: legal(qkv=zeros(5, 512, dtype=torch.float64)), "qkv is float64; it can be float16, bfloat16 or float32"),
    (
        lambda: legal(qkv=torch.empty(5, 512, dtype=torch.float8_e4m3fn, device="npu")),
        "qkv is float8_e4m3fn: floats of 8 bits exist from Ascend 950 on, and this is Ascend910B3",
    ),
    (lambda: legal(qkv=zeros(512, 5).t()), "qkv has strides [1, 5]; a row has to be contiguous, and rows must not overlap"),
    (lambda: legal(qkv=zeros(5, 500)), "qkv has 500 elements per token; 4 heads of query, and 2 of key and of value, of 64"),
    (lambda: legal(has_gate=True), "4 heads of query and of gate, and 2 of key and of value, of 64 elements, are 768"),
    (lambda: legal(num_heads=0), "there are 0 heads of query and 2 of key, of 64 elements; all have to be positive"),
    (lambda: legal(q_weight=zeros(65)), "q_weight has 65 in dimension 0, it takes 64"),
    (lambda: legal(k_weight=zeros(64, dtype=torch.float16)), "k_weight is float16, not float32"),
    (lambda: legal(q_bias=zeros(64)), "q_bias and k_bias come together"),
    (lambda: legal(q_bias=zeros(64), k_bias=zeros(1)), "k_bias has 1 in dimension 0, it takes 64"),
    (lambda: legal(positions=None), "angles are cos_sin_cache and positions, or cos and sin"),
    (lambda: legal(cos=zeros(5, 32)), "angles are cos_sin_cache and positions, or cos and sin"),
    (
        lambda: by_rows(cos=zeros(5, 32), sin=zeros(5, 31)),
        "sin has rows of 31 with the stride 31, cos of 32 with 32; they have to be laid out alike",
    ),
    (
        lambda: by_rows(cos=zeros(5, 32), sin=zeros(5, 64)[:, :32]),
        "sin has rows of 32 with the stride 64, cos of 32 with 32; they have to be laid out alike",
    ),
    (
        lambda: by_rows(cos=zeros(4, 32), sin=zeros(4, 32)),
        "cos has 4 in dimension 0, the tokens of qkv are 5",
    ),
    (lambda: legal(cos_sin_cache=zeros(9, 63)), "cos_sin_cache has the rotary dimension 63; it has to be even"),
    (lambda: legal(cos_sin_cache=zeros(9, 64, dtype=torch.float16)), "cos_sin_cache is float16, not float32"),
    (lambda: legal(positions=zeros(4, dtype=torch.int64)), "positions has 4 in dimension 0, the tokens of qkv are 5"),
    (lambda: legal(positions=zeros(5)), "positions is float32, not int32 or int64"),
    (
        lambda: legal(positions=zeros(10, dtype=torch.int64)[::2]),
        "positions has stride 2 and axes 5 apart; positions of an axis have to be contiguous, and must not overlap",
    ),
    (lambda: legal(positions=zeros(3, 5, dtype=torch.int64)), "the sections have 0 lanes, half of the rotary dimension is 32"),
    (
        lambda: legal(positions=zeros(0, 5, dtype=torch.int64), mrope_section=[12, 10, 10]),
        "positions has 0 axes; there can be one or three",
    ),
    (
        lambda: by_rows(zeros(5, 32), zeros(5, 32), mrope_section=[12, 10, 10]),
        "mrope_section and mrope_interleaved are for positions; cos and sin are those of each token already",
    ),
    (lambda: legal(mrope_section=[16, 16]), "mrope_section has 2 numbers; it must have 3"),
    (
        lambda: legal(positions=zeros(3, 5, dtype=torch.int64), mrope_section=[12, 10, 9]),
        "the sections have 31 lanes, half of the rotary dimension is 32",
    ),
    (lambda: legal(square_sums=zeros(5, 1)), "square_sums has 1 in dimension 1, query and key are 2"),
    (lambda: legal(square_sums=zeros(5, 2)), "q_weight has 64 in dimension 0, it takes 256"),
    (lambda: legal(world_size=2), "world_size is 2; it has to be positive, and 1 without square_sums"),
    (lambda: legal(eps=-1.0), "epsilon is -1.000000; it has to be 0 or positive"),
)
def test_refused_before_a_launch(change: Callable[[], Arguments], sentence: str) -> None:
    refused(qkv_rmsnorm_rope, change(), sentence)


def test_square_sums_of_other_rows_are_refused() -> None:
    arguments = {"qkv": zeros(5, 500), "num_heads": 4, "num_kv_heads": 2, "head_size": 64}
    refused(qkv_square_sums, arguments, "qkv_square_sums: qkv has 500 elements per token")
