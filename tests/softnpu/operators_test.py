"""torch_npu's operators on SoftNPU against torch on the CPU, with unmodified torch_npu."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.softnpu.compare import FLOATS, INTEGERS, TOLERANCE, check, make

BINARY = (
    "add",
    "sub",
    "mul",
    "maximum",
    "minimum",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "floor_divide",
    "remainder",
)


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_binary(name: str, dtype: torch.dtype) -> None:
    operator = getattr(torch, name)
    a, b = make(dtype, 4, 5, 6), make(dtype, 5, 6, low=1)
    check(operator, a, b)
    check(operator, a.transpose(0, 2), b.t()[:, :, None].expand(6, 5, 4))  # strided and broadcast
    if name not in ("maximum", "minimum"):
        check(lambda t: operator(t, 3), a)


@pytest.mark.parametrize("equal_nan", [True, False])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_isclose(dtype: torch.dtype, equal_nan: bool) -> None:
    inf, nan = float("inf"), float("nan")
    # The tolerance is 0.25 + 0.125 |b|: at its border, beyond it, and what has no difference.
    pairs = [(8.0, 6.0), (8.0, 10.0), (6.0, 8.0), (10.0, 7.0), (-8.0, 8.0), (inf, inf), (inf, -inf)]
    pairs += [(inf, 1.0), (1.0, inf), (nan, nan), (nan, 1.0), (1.0, nan), (0.25, 0.0), (0.5, 0.0)]
    a, b = torch.tensor(pairs, dtype=dtype).t()
    check(lambda x, y: torch.isclose(x, y, 0.125, 0.25, equal_nan), a, b)


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
@pytest.mark.parametrize(
    "function",
    [
        lambda t: t.add(t, alpha=2),
        lambda t: 5 - t,
        lambda t: t / 4,
        lambda t: t.abs(),
        lambda t: -t,
        lambda t: t**2,
        lambda t: t.clamp(-1, 2),
        lambda t: t.clamp(min=-1),
        lambda t: torch.where(t > 0, t, t * 2),
        lambda t: t.masked_fill(t > 0, 3),
        lambda t: t.clone().fill_(2),
        lambda t: t.clone().zero_(),
        lambda t: torch.ones_like(t),
        lambda t: t.float(),
        lambda t: t.half(),
        lambda t: t.bfloat16(),
        lambda t: t.int(),
        lambda t: t.long(),
        lambda t: t.bool(),
        lambda t: t.transpose(0, 2).contiguous(),
        lambda t: t[:, 1::2, ::3].contiguous(),
        lambda t: (t > 0) & (t < 5) | (t == -1),
        lambda t: ~(t > 0),
        lambda t: torch.arange(3, 17, 2, device=t.device, dtype=t.dtype),
    ],
)
def test_elementwise(function: Callable[..., object], dtype: torch.dtype) -> None:
    check(
        function,
        make(dtype, 4, 5, 6),
        tolerance=TOLERANCE.get(dtype, 0.0) if dtype.is_floating_point else 0.0,
    )


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(
    "name",
    [
        "exp",
        "sqrt",
        "rsqrt",
        "sin",
        "cos",
        "sigmoid",
        "tanh",
        "reciprocal",
        "log",
        "isfinite",
        "floor",
        "ceil",
    ],
)
def test_function(name: str, dtype: torch.dtype) -> None:
    check(
        lambda t: getattr(torch, name)(t.abs() + 0.5),
        make(dtype, 7, 33),
        tolerance=TOLERANCE[dtype],
    )


def test_rounding_to_nearest_even() -> None:
    halfway = torch.tensor(
        [
            1 + 2**-11,
            1 + 3 * 2**-11,
            65519.0,
            65520.0,
            2**-25,
            3 * 2**-25,
            -(2**-24),
            float("nan"),
            float("inf"),
        ]
    )
    check(lambda t: t.half().isnan(), halfway)
    check(lambda t: t[:7].half(), halfway)
    check(lambda t: (t[:7] * (1 + 2**-8)).bfloat16(), halfway)


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
@pytest.mark.parametrize(
    "function",
    [
        lambda t, i: t[i],
        lambda t, i: t[:, i],
        lambda t, i: t[i, i],
        lambda t, i: t.index_select(1, i),
        lambda t, i: t[t > 0],
        lambda t, i: t.nonzero(),
        lambda t, i: t.gather(1, i[None, :, None].expand(2, 3, 6)),
        lambda t, i: t.scatter(1, i[None, :, None].expand(2, 3, 6), 7),
        lambda t, i: t.scatter(1, i[None, :, None].expand(2, 3, 6), t + 1),
        lambda t, i: t.index_put((i,), t[:3] + 1),
        lambda t, i: torch.cat([t, t[:, :2]], 1),
        lambda t, i: torch.stack([t, t], 1),
        lambda t, i: t.repeat(2, 1, 3),
        lambda t, i: t.repeat_interleave(2, 1),
        lambda t, i: t[:3].repeat_interleave(i, 0),
        lambda t, i: t.triu(1),
        lambda t, i: t.tril(-1),
        lambda t, i: t.flip(0),
        lambda t, i: torch.sort(t, dim=-1, stable=True),
        lambda t, i: t.amax(1),
        lambda t, i: t.max(1)[0],
        lambda t, i: t.argmax(-1),
        lambda t, i: t.topk(3)[0],
        lambda t, i: (t > 0).any(-1),
        lambda t, i: (t > -100).all(),
        lambda t, i: torch.nn.functional.embedding(i, t[0]),
    ],
)
def test_moving(function: Callable[..., object], dtype: torch.dtype) -> None:
    check(function, make(dtype, 4, 5, 6), torch.tensor([2, 0, 1]))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(
    "function",
    [
        lambda t: t.softmax(-1),
        lambda t: t.log_softmax(1),
        lambda t: t.softmax(-1, dtype=torch.float32),
        lambda t: t.mean(-1),
        lambda t: torch.nn.functional.silu(t),
        lambda t: t.logsumexp(-1),
    ],
)
def test_reduction(function: Callable[..., object], dtype: torch.dtype) -> None:
    check(function, make(dtype, 4, 5, 6), tolerance=2 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_products(dtype: torch.dtype) -> None:
    a, b = make(dtype, 4, 5, 6), make(dtype, 5, 6)
    # Sums of 6 products, each below 100, rounded once: an ulp of the largest partial sum.
    tolerance = 100 * TOLERANCE[dtype]
    check(lambda t, u: t[0] @ u.t(), a, b, tolerance=tolerance)
    check(lambda t, u: t @ u.t(), a, b, tolerance=tolerance)
    check(lambda t: t @ t.transpose(1, 2), a, tolerance=tolerance)
    check(torch.nn.functional.linear, a, b, tolerance=tolerance)
    check(lambda t, u: torch.nn.functional.linear(t, u, u[:, 0]), a, b, tolerance=tolerance)


def test_a_product_goes_to_the_elements_of_a_strided_output() -> None:
    vector, matrix = torch.tensor([1.0, 2, 3]).npu(), torch.tensor([[1.0, 0], [2, -1], [1, 10]]).npu()
    out = torch.full((4,), 9.0).npu()
    torch.matmul(vector, matrix, out=out[::2])
    assert out.tolist() == [8, 9, 28, 9]


def test_integer_sums_are_exact() -> None:
    check(lambda t: t.sum(-1), make(torch.int64, 40, 50))
    check(lambda t: t.cumsum(0), make(torch.int64, 40, 50))


def test_random_numbers_are_seeded_and_uniform() -> None:
    torch.npu.manual_seed(3)
    first = torch.empty(20000, device="npu").uniform_(2, 4)
    torch.npu.manual_seed(3)
    again = torch.empty(20000, device="npu").uniform_(2, 4)
    other = torch.empty(20000, device="npu").uniform_(2, 4)
    assert torch.equal(first.cpu(), again.cpu())
    assert not torch.equal(first.cpu(), other.cpu())
    assert 2 <= first.min().item() <= first.max().item() < 4
    # The mean of 20000 uniform numbers on [2, 4) has a standard deviation of 0.0041; five of them.
    assert abs(first.mean().item() - 3) < 0.0205


def test_integers_wrap() -> None:
    big = torch.tensor([2**63 - 1, -(2**63)])
    check(lambda t: t + 1, big)
    check(lambda t: t * 3, big)
    check(lambda t: t - 1, big)
    check(lambda t: t // -1, big)
    check(lambda t: t % -1, big)
