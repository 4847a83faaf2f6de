"""vllm_cann.ops.qkv through torch, with unmodified torch_npu on SoftNPU.

The kernels are tested beside their source; here are the ways from torch to them, against definitions in float64. Bounds are half a last
place of the result for its rounding, and 2^-20 of the magnitudes that it is a sum of for float32 arithmetic (derived beside the kernel).
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
import torch_npu
from counted import kernels_launched
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import CHECKS, noise

from vllm_cann import ops
from vllm_cann.ops.qkv_rmsnorm_rope import qkv_rmsnorm_rope
from vllm_cann.ops.qkv_rmsnorm_rope import qkv_square_sums
from vllm_cann.ops.rotary_embedding import rotary_embedding

FEW = settings(max_examples=25, deadline=None, derandomize=True)
MANTISSA = {torch.float32: 23, torch.float16: 10, torch.bfloat16: 7}
ROWS = 300  # of the table of angles


@pytest.fixture(scope="module", autouse=True)
def kernels() -> None:
    ops.load(torch.device("npu:0"))


def half_places(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Half a last place of each number."""
    exponent = torch.frexp(x.double()).exponent - 1
    return torch.ldexp(
        torch.tensor(0.5, dtype=torch.float64), exponent.clamp(min=-14 if dtype == torch.float16 else -126) - MANTISSA[dtype]
    )


def table_of(dtype: torch.dtype, rotary_dim: int) -> torch.Tensor:
    angles = torch.outer(torch.arange(ROWS), 10000.0 ** -(torch.arange(0, rotary_dim, 2) / rotary_dim))
    return torch.cat([angles.cos(), angles.sin()], -1).to(dtype)


def turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, sign: float = 1.0) -> torch.Tensor:
    """float64 [tokens, heads, size]; sign -1: x are magnitudes."""
    half = cos.shape[-1]
    c, s = (part.double().unsqueeze(1) for part in (cos, sin))
    if sign < 0:
        c, s = c.abs(), s.abs()
    a, b = x[..., :half], x[..., half : 2 * half]
    return torch.cat([a * c - sign * b * s, b * c + a * s, x[..., 2 * half :]], -1)


class Heads:
    """What the float64 definition makes of heads x [tokens, heads, size]: values, and the sums of the magnitudes behind them."""

    def __init__(
        self,
        x: torch.Tensor,
        weight: torch.Tensor,
        eps: float,
        bias: torch.Tensor | None = None,
        mean: torch.Tensor | None = None,
    ) -> None:
        x = x.double()
        mean = x.square().mean(-1, keepdim=True) if mean is None else mean.view(-1, 1, 1)
        weight, bias = (None if t is None else t.double().view(-1, x.shape[-1]) for t in (weight, bias))
        self.normal = x / (mean + eps).sqrt() * weight
        self.most = self.normal.abs()
        if bias is not None:
            self.normal, self.most = self.normal + bias, self.most + bias.abs()

    def check(self, found: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, units: float = 2**-20) -> None:
        """Found, [tokens, heads * size], is these heads, rotated."""
        out = found.cpu().view(self.normal.shape)
        wrong = (out.double() - turned(self.normal, cos, sin)).abs() > half_places(out, out.dtype) + units * turned(self.most, cos, sin, -1)
        assert not wrong.any(), f"{int(wrong.sum())} of {wrong.numel()} values are wrong"
        assert out.isfinite().all()


def split(x: torch.Tensor, heads: int, kv_heads: int, size: int, has_gate: bool = False) -> list[torch.Tensor]:
    """Query, key, value and gate as heads."""
    step = size * (2 if has_gate else 1)
    q, k, v = x.split([heads * step, kv_heads * size, kv_heads * size], -1)
    q = q.unflatten(-1, (heads, step))
    gate = q[..., size:] if has_gate else x.new_empty(0)
    return [q[..., :size], k.unflatten(-1, (kv_heads, size)), v.unflatten(-1, (kv_heads, size)), gate]


@pytest.mark.parametrize("dtype", MANTISSA, ids=str)
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
    positions = torch.randint(0, ROWS, (tokens,), generator=torch.Generator().manual_seed(3))
    table = table_of(dtype, rotary_dim)
    before = kernels_launched()
    q, k, v, gate = torch.ops.vllm_cann.qkv_rmsnorm_rope(
        on_device[:, :width],
        weights[0].npu(),
        weights[1].npu(),
        heads,
        kv_heads,
        size,
        eps,
        cos_sin_cache=table.npu(),
        positions=positions.npu(),
        q_bias=weights[2].npu() if has_bias else None,
        k_bias=weights[3].npu() if has_bias else None,
        has_gate=has_gate,
    )
    assert kernels_launched() == before + 1
    held = split(whole[:, :width], heads, kv_heads, size, has_gate)
    cos, sin = table[positions].chunk(2, -1)
    for x, weight, bias, found in zip(held[:2], weights[:2], weights[2:], (q, k), strict=True):
        Heads(x, weight, eps, bias if has_bias else None).check(found, cos, sin)
    assert torch.equal(v.cpu(), held[2].flatten(1))
    assert torch.equal(gate.cpu(), held[3].flatten(1) if has_gate else held[3])
    assert torch.equal(on_device.cpu(), whole)


@pytest.mark.parametrize("dtype", MANTISSA, ids=str)
@pytest.mark.parametrize("interleaved", [False, True])
def test_three_axes_of_a_longer_buffer(interleaved: bool, dtype: torch.dtype) -> None:
    """As vLLM's runner slices them: the axes lie apart."""
    tokens, heads, kv_heads, size, section = 11, 4, 2, 128, [24, 20, 20]
    x, weight, table = noise(dtype, tokens, 8 * size), noise(dtype, size), table_of(dtype, size)
    buffer = torch.randint(0, ROWS, (3, 40), generator=torch.Generator().manual_seed(2))
    angles = {"cos_sin_cache": table.npu(), "positions": buffer.npu()[:, :tokens]}
    options = {"mrope_section": section, "mrope_interleaved": interleaved}
    w = weight.npu()
    q, k, *_ = torch.ops.vllm_cann.qkv_rmsnorm_rope(x.npu(), w, w, heads, kv_heads, size, 1e-6, **angles, **options)
    lane = torch.arange(size // 2)
    if interleaved:
        axis = torch.where((lane % 3 == 1) & (lane < 3 * section[1]), 1, torch.where((lane % 3 == 2) & (lane < 3 * section[2]), 2, 0))
    else:
        axis = torch.arange(3).repeat_interleave(torch.tensor(section))
    cos, sin = (table[buffer[axis, :tokens].t(), part * (size // 2) + lane] for part in range(2))
    for held, found in zip(split(x, heads, kv_heads, size)[:2], (q, k), strict=True):
        Heads(held, weight, 1e-6).check(found, cos, sin)
    # One axis although there are sections; and angles that are given.
    angles["positions"] = buffer[0, :tokens].npu()
    one = qkv_rmsnorm_rope(x.npu(), w, w, heads, kv_heads, size, 1e-6, **angles, **options)
    rows = table[buffer[0, :tokens]].npu()
    given = qkv_rmsnorm_rope(x.npu(), w, w, heads, kv_heads, size, 1e-6, cos=rows[:, : size // 2], sin=rows[:, size // 2 :])
    for a, b in zip(one, given, strict=True):
        assert torch.equal(a.cpu(), b.cpu())
    Heads(split(x, heads, kv_heads, size)[0], weight, 1e-6).check(one[0], *table[buffer[0, :tokens]].chunk(2, -1))


@pytest.mark.parametrize("dtype", MANTISSA, ids=str)
def test_value_is_normalised_without_a_weight(dtype: torch.dtype) -> None:
    x, weight, table = noise(dtype, 7, 8 * 64), noise(dtype, 64).npu(), table_of(dtype, 64)
    positions = torch.arange(7)
    *_, v, _ = qkv_rmsnorm_rope(
        x.npu(), weight, weight, 4, 2, 64, 1e-6, cos_sin_cache=table.npu(), positions=positions.npu(), norm_value=True
    )
    nothing = torch.zeros(7, 0)
    Heads(split(x, 4, 2, 64)[2], torch.ones(64), 1e-6).check(v, nothing, nothing)


@pytest.mark.parametrize("dtype", MANTISSA, ids=str)
def test_the_parts_in_sequence_differ_by_their_roundings(dtype: torch.dtype) -> None:
    """npu_rms_norm and rotary_embedding round what they give; the fused operator rounds once.

    The norm's result n is off by half a last place of it, which the rotation multiplies by cosine and sine; then each way rounds once. What
    float32 does is 2^-20 of the magnitudes on each way.
    """
    tokens, heads, kv_heads, size, eps = 33, 8, 2, 128, 1e-6
    x, table = noise(dtype, tokens, (heads + 2 * kv_heads) * size), table_of(dtype, size)
    weights = [noise(dtype, size, seed=i) for i in range(2)]
    positions = torch.randint(0, ROWS, (tokens,), generator=torch.Generator().manual_seed(3))
    fused = qkv_rmsnorm_rope(
        x.npu(), *(w.npu() for w in weights), heads, kv_heads, size, eps, cos_sin_cache=table.npu(), positions=positions.npu()
    )
    held = split(x, heads, kv_heads, size)[:2]
    parts = [torch_npu.npu_rms_norm(h.contiguous().npu(), w.npu(), eps)[0] for h, w in zip(held, weights, strict=True)]
    rotary_embedding(positions.npu(), *parts, size, table.npu(), True)
    cos, sin = table[positions].chunk(2, -1)
    for found, part, h, weight in zip(fused, parts, held, weights, strict=False):
        one, other, want = found.cpu().view(h.shape), part.cpu(), Heads(h, weight, eps)
        # A norm that is a hair from a power of two may be rounded by the step above it.
        inner = turned(half_places(want.normal, dtype) * (1 + 2**-6), cos, sin, -1)
        bound = half_places(one, dtype) + half_places(other, dtype) + inner + 2 * 2**-20 * turned(want.most, cos, sin, -1)
        assert ((one.double() - other.double()).abs() <= bound).all()
        if dtype != torch.float32:
            assert not torch.equal(one, other)  # they are not the same: the bound is about something


@FEW
@given(
    heads=st.integers(1, 9),
    kv_heads=st.integers(1, 5),
    size=st.sampled_from([2, 6, 16, 40, 64, 96, 130]),
    part=st.sampled_from([1.0, 0.5, 0.25]),
    tokens=st.integers(1, 20),
    dtype=st.sampled_from([*MANTISSA]),
    has_gate=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_tokens_do_not_touch_each_other(
    heads: int, kv_heads: int, size: int, part: float, tokens: int, dtype: torch.dtype, has_gate: bool, seed: int
) -> None:
    """Any shape: the values, and tokens in another order give the same bits in that order."""
    rotary_dim = max(2, int(size * part) // 2 * 2)
    width = (heads * (2 if has_gate else 1) + 2 * kv_heads) * size
    x, table = noise(dtype, tokens, width, seed=seed), table_of(dtype, rotary_dim)
    weights = [noise(dtype, size, seed=seed + i) for i in range(2)]
    generator = torch.Generator().manual_seed(seed)
    positions, order = torch.randint(0, ROWS, (tokens,), generator=generator), torch.randperm(tokens, generator=generator)

    def run(rows: torch.Tensor, at: torch.Tensor) -> tuple[torch.Tensor, ...]:
        angles = {"cos_sin_cache": table.npu(), "positions": at.npu()}
        return qkv_rmsnorm_rope(rows.npu(), *(w.npu() for w in weights), heads, kv_heads, size, 1e-6, **angles, has_gate=has_gate)

    found = [tensor.cpu() for tensor in run(x, positions)]
    held = split(x, heads, kv_heads, size, has_gate)
    for h, weight, result in zip(held, weights, found, strict=False):
        Heads(h, weight, 1e-6).check(result, *table[positions].chunk(2, -1))
    assert torch.equal(found[2], held[2].flatten(1))
    for a, b in zip(found, run(x[order], positions[order]), strict=True):
        assert torch.equal(a[order] if len(a) else a, b.cpu())


@pytest.mark.parametrize("dtype", MANTISSA, ids=str)
def test_two_devices_give_what_one_gives(dtype: torch.dtype) -> None:
    """A norm over all heads: each of two devices has half of them, and their sums are added."""
    tokens, heads, kv_heads, size, eps = 9, 8, 4, 64, 1e-5
    x, table = noise(dtype, tokens, (heads + 2 * kv_heads) * size), table_of(dtype, size)
    weights = [noise(dtype, h * size, seed=i) for i, h in enumerate((heads, kv_heads))]
    positions = torch.randint(0, ROWS, (tokens,), generator=torch.Generator().manual_seed(3))
    angles = {"cos_sin_cache": table.npu(), "positions": positions.npu()}
    held = split(x, heads, kv_heads, size)
    halves = [torch.cat([h[:, r * n : (r + 1) * n].flatten(1) for h, n in zip(held, (4, 2, 2), strict=False)], -1) for r in range(2)]
    before = kernels_launched()
    sums = [torch.ops.vllm_cann.qkv_square_sums(half.npu(), 4, 2, size) for half in halves]
    assert kernels_launched() == before + 2
    exact = torch.stack([h.double().square().sum((1, 2)) for h in held[:2]], -1)
    for one, half in zip(sums, halves, strict=True):
        want = torch.stack([h.double().square().sum((1, 2)) for h in split(half, 4, 2, size)[:2]], -1)
        torch.testing.assert_close(one.cpu().double(), want, rtol=2**-19, atol=0)
    total = sums[0] + sums[1]
    whole = qkv_rmsnorm_rope(
        x.npu(),
        *(w.npu() for w in weights),
        heads,
        kv_heads,
        size,
        eps,
        **angles,
        square_sums=qkv_square_sums(x.npu(), heads, kv_heads, size),
    )
    ranks = [
        torch.ops.vllm_cann.qkv_rmsnorm_rope(
            half.npu(),
            *(w.chunk(2)[r].contiguous().npu() for w in weights),
            4,
            2,
            size,
            eps,
            **angles,
            square_sums=total,
            world_size=2,
        )
        for r, half in enumerate(halves)
    ]
    joined = [torch.cat([rank[i] for rank in ranks], -1) for i in range(3)]
    for i, weight in enumerate(weights):
        want = Heads(held[i], weight, eps, mean=exact[:, i] / held[i][0].numel())
        for found in (whole[i], joined[i]):
            want.check(found, *table[positions].chunk(2, -1), units=2**-19)  # 2^-19 of a sum is 2^-20 of its root
    assert torch.equal(joined[2].cpu(), whole[2].cpu())


@FEW
@given(
    heads=st.integers(1, 6),
    kv_heads=st.integers(1, 3),
    size=st.sampled_from([16, 40, 64]),
    tokens=st.integers(1, 20),
    has_gate=st.booleans(),
    dtype=st.sampled_from([*MANTISSA]),
    seed=st.integers(0, 1000),
)
def test_square_sums_are_of_each_token_alone(
    heads: int, kv_heads: int, size: int, tokens: int, has_gate: bool, dtype: torch.dtype, seed: int
) -> None:
    x = noise(dtype, tokens, (heads * (2 if has_gate else 1) + 2 * kv_heads) * size, seed=seed)
    found = qkv_square_sums(x.npu(), heads, kv_heads, size, has_gate).cpu()
    want = torch.stack([h.double().square().sum((1, 2)) for h in split(x, heads, kv_heads, size, has_gate)[:2]], -1)
    # A square, and a sum in less than 30 steps (blocks, lanes, heads), each off by 2^-24 of a sum of squares.
    torch.testing.assert_close(found.double(), want, rtol=2**-19, atol=0)
    order = torch.randperm(tokens, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(qkv_square_sums(x[order].npu(), heads, kv_heads, size, has_gate).cpu(), found[order])


def call(**changes: object) -> Callable[[], object]:
    arguments: dict = {
        "qkv": torch.zeros(5, 512).npu(),
        "q_weight": torch.zeros(64).npu(),
        "k_weight": torch.zeros(64).npu(),
        "num_heads": 4,
        "num_kv_heads": 2,
        "head_size": 64,
        "eps": 1e-6,
        "cos_sin_cache": torch.zeros(9, 64).npu(),
        "positions": torch.zeros(5, dtype=torch.int64).npu(),
    }
    return lambda: qkv_rmsnorm_rope(**(arguments | changes))


def test_launches_do_not_depend_on_contents() -> None:
    for value in (0.0, 1.0, float("nan"), float("inf")):
        for position in (0, 8):
            run = call(qkv=torch.full((5, 512), value).npu(), positions=torch.full((5,), position).npu())
            before = kernels_launched()
            run()
            assert kernels_launched() == before + 1


def test_no_tokens_launch_nothing() -> None:
    before = kernels_launched()
    no_positions = torch.zeros(0, dtype=torch.int64).npu()
    q, k, v, gate = call(qkv=torch.zeros(0, 512).npu(), positions=no_positions)()
    assert [tuple(t.shape) for t in (q, k, v, gate)] == [(0, 256), (0, 128), (0, 128), (0,)]
    *_, gate = call(qkv=torch.zeros(0, 768).npu(), positions=no_positions, has_gate=True)()
    assert tuple(gate.shape) == (0, 256)
    assert qkv_square_sums(torch.zeros(0, 512).npu(), 4, 2, 64).shape == (0, 2)
    assert kernels_launched() == before


@pytest.mark.parametrize("utility", CHECKS)
def test_opcheck(utility: str) -> None:
    dtype = torch.bfloat16
    x, weight, table = noise(dtype, 5, 512).npu(), noise(dtype, 64).npu(), table_of(dtype, 64).npu()
    positions = torch.zeros(3, 5, dtype=torch.int64).npu()
    sums = torch.ones(5, 2).npu()
    operator = torch.ops.vllm_cann.qkv_rmsnorm_rope.default
    axes = {"cos_sin_cache": table, "positions": positions, "mrope_section": [12, 10, 10], "mrope_interleaved": True}
    torch.library.opcheck(operator, (x, weight, weight, 4, 2, 64, 1e-6), axes | {"norm_value": True}, test_utils=utility)
    given_rows = {"cos": table[:5, :32], "sin": table[:5, 32:], "has_gate": True}
    torch.library.opcheck(
        operator, (x, weight, weight, 2, 2, 64, 1e-6), given_rows | {"q_bias": weight, "k_bias": weight}, test_utils=utility
    )
    q_weight, k_weight = noise(dtype, 256).npu(), noise(dtype, 128).npu()
    of_all = axes | {"square_sums": sums, "world_size": 2}
    torch.library.opcheck(operator, (x, q_weight, k_weight, 4, 2, 64, 1e-6), of_all, test_utils=utility)
    torch.library.opcheck(torch.ops.vllm_cann.qkv_square_sums.default, (x, 4, 2, 64), test_utils=utility)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: call(qkv=torch.zeros(5, 512)), "qkv is on cpu"),
        (lambda: call(qkv=torch.zeros(5, 512, dtype=torch.float64).npu()), "qkv is float64; it can be float16, bfloat16 or float32"),
        (
            lambda: call(qkv=torch.empty(5, 512, dtype=torch.float8_e4m3fn, device="npu")),
            "qkv is float8_e4m3fn: floats of 8 bits exist from Ascend 950 on, and this is Ascend910B3",
        ),
        (lambda: call(qkv=torch.zeros(512, 5).npu().t()), "qkv has strides [1, 5]; a row has to be contiguous, and rows must not overlap"),
        (lambda: call(qkv=torch.zeros(5, 500).npu()), "qkv has 500 elements per token; 4 heads of query, and 2 of key and of value, of 64"),
        (lambda: call(has_gate=True), "4 heads of query and of gate, and 2 of key and of value, of 64 elements, are 768"),
        (lambda: call(num_heads=0), "there are 0 heads of query and 2 of key, of 64 elements; all have to be positive"),
        (lambda: call(q_weight=torch.zeros(65).npu()), "q_weight has 65 in dimension 0, it takes 64"),
        (lambda: call(k_weight=torch.zeros(64).half().npu()), "k_weight is float16, not float32"),
        (lambda: call(q_bias=torch.zeros(64).npu()), "q_bias and k_bias come together"),
        (lambda: call(q_bias=torch.zeros(64).npu(), k_bias=torch.zeros(1).npu()), "k_bias has 1 in dimension 0, it takes 64"),
        (lambda: call(positions=None), "angles are cos_sin_cache and positions, or cos and sin"),
        (lambda: call(cos=torch.zeros(5, 32).npu()), "angles are cos_sin_cache and positions, or cos and sin"),
        (
            lambda: call(positions=None, cos_sin_cache=None, cos=torch.zeros(5, 32).npu(), sin=torch.zeros(5, 31).npu()),
            "sin has rows of 31 with the stride 31, cos of 32 with 32; they have to be laid out alike",
        ),
        (
            lambda: call(positions=None, cos_sin_cache=None, cos=torch.zeros(5, 32).npu(), sin=torch.zeros(5, 64).npu()[:, :32]),
            "sin has rows of 32 with the stride 64, cos of 32 with 32; they have to be laid out alike",
        ),
        (
            lambda: call(positions=None, cos_sin_cache=None, cos=torch.zeros(4, 32).npu(), sin=torch.zeros(4, 32).npu()),
            "cos has 4 in dimension 0, the tokens of qkv are 5",
        ),
        (lambda: call(cos_sin_cache=torch.zeros(9, 63).npu()), "cos_sin_cache has the rotary dimension 63; it has to be even"),
        (lambda: call(cos_sin_cache=torch.zeros(9, 64).half().npu()), "cos_sin_cache is float16, not float32"),
        (lambda: call(positions=torch.zeros(4, dtype=torch.int64).npu()), "positions has 4 in dimension 0, the tokens of qkv are 5"),
        (lambda: call(positions=torch.zeros(5).npu()), "positions is float32, not int32 or int64"),
        (lambda: call(positions=torch.zeros(10, dtype=torch.int64).npu()[::2]), "positions has stride 2 and axes 5 apart; positions of an axis have to be contiguous, and must not overlap"),
        (lambda: call(positions=torch.zeros(3, 5, dtype=torch.int64).npu()), "the sections have 0 lanes, half of the rotary dimension is 32"),
        (
            lambda: call(positions=torch.zeros(0, 5, dtype=torch.int64).npu(), mrope_section=[12, 10, 10]),
            "positions has 0 axes; there can be one or three",
        ),
        (
            lambda: call(
                cos_sin_cache=None,
                positions=None,
                cos=torch.zeros(5, 32).npu(),
                sin=torch.zeros(5, 32).npu(),
                mrope_section=[12, 10, 10],
            ),
            "mrope_section and mrope_interleaved are for positions; cos and sin are those of each token already",
        ),
        (lambda: call(mrope_section=[16, 16]), "mrope_section has 2 numbers; it must have 3"),
        (
            lambda: call(positions=torch.zeros(3, 5, dtype=torch.int64).npu(), mrope_section=[12, 10, 9]),
            "the sections have 31 lanes, half of the rotary dimension is 32",
        ),
        (lambda: call(square_sums=torch.zeros(5, 1).npu()), "square_sums has 1 in dimension 1, query and key are 2"),
        (lambda: call(square_sums=torch.zeros(5, 2).npu()), "q_weight has 64 in dimension 0, it takes 256"),
        (lambda: call(world_size=2), "world_size is 2; it has to be positive, and 1 without square_sums"),
        (lambda: call(eps=-1.0), "epsilon is -1.000000; it has to be 0 or positive"),
        (lambda: lambda: qkv_square_sums(torch.zeros(5, 500).npu(), 4, 2, 64), "qkv_square_sums: qkv has 500 elements per token"),
    ],
)
def test_refused_before_a_launch(make: Callable[[], Callable[[], object]], sentence: str) -> None:
    run, before = make(), kernels_launched()
    with pytest.raises(ValueError, match=re.escape(sentence)):
        run()
    assert kernels_launched() == before
