"""torch_npu's operators that write through indices, on SoftNPU against torch on the CPU."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.softnpu.compare import FLOATS, INTEGERS, TOLERANCE, check, make

SMALL = (torch.int8, torch.uint8, torch.int16, torch.bool)
EMPTY = torch.empty(0, dtype=torch.int64)


@pytest.mark.parametrize("index", [torch.int64, torch.int32], ids=str)
@pytest.mark.parametrize("dtype", FLOATS + INTEGERS + SMALL, ids=str)
def test_index_copy(dtype: torch.dtype, index: torch.dtype) -> None:
    def copy(x: torch.Tensor, at: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        return x.index_copy(1, at, source)

    at = torch.tensor([3, 0]).to(index)
    x, source = make(dtype, 4, 5, 6), make(dtype, 4, 2, 6)
    if index == torch.int64:
        check(copy, x, at, source)
        check(lambda *a: copy(*a), x.transpose(0, 2), at, make(dtype, 6, 2, 4))
        check(lambda x, at, s: x[:, ::2].index_copy_(0, at, s[:, ::2, 1:]), x, at, make(dtype, 2, 5, 7))
        check(copy, x, EMPTY, source[:, :0])
        check(lambda x, s: x.index_copy_(0, torch.zeros((), dtype=torch.int64, device=x.device), s), x[0, 0, 0], source[0, 0, 0])
        check(lambda *a: copy(*a), make(dtype, 1, 4, 1, 1, 2, 1, 1, 2), at, make(dtype, 1, 2, 1, 1, 2, 1, 1, 2))
    else:  # torch on the CPU takes int64 only
        found = copy(x.npu(), at.npu(), source.npu()).cpu()
        assert torch.equal(found, copy(x, at.long(), source))


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS, torch.bool], ids=str)
@pytest.mark.parametrize(
    "function",
    [
        lambda x, at: x.index_fill(0, at, 1),
        lambda x, at: x.index_fill(-1, at, 3),
        lambda x, at: x.clone().index_fill_(1, at, 1),
        lambda x, at: x.clone().transpose(0, 2).index_fill_(1, at, 1),
        lambda x, at: x.index_fill(1, at - 2, 1),  # negative indices count from the end
        lambda x, at: x.index_fill(1, at[:0], 1),
        lambda x, at: x.index_fill(1, at[0], 1),
        lambda x, at: x.index_fill(1, at, torch.ones((), dtype=x.dtype, device=x.device)),
        lambda x, at: x[0, 0, 0].index_fill(0, at[1:2] * 0, 1),
        lambda x, at: x[:, :0].index_fill(0, at, 1),
        lambda x, at: x.reshape(1, 4, 1, 5, 1, 6, 1, 1).index_fill(3, at, 1),
    ],
)
def test_index_fill(function: Callable[..., object], dtype: torch.dtype) -> None:
    check(function, make(dtype, 4, 5, 6), torch.tensor([3, 0]))


@pytest.mark.parametrize("dtype", FLOATS + INTEGERS + (torch.int8, torch.uint8, torch.int16), ids=str)
@pytest.mark.parametrize(
    "function",
    [
        lambda x, at, s: x.index_add(1, at, s),
        lambda x, at, s: x.index_add(1, at, s, alpha=2),
        lambda x, at, s: x.clone().index_add_(1, at, s),
        lambda x, at, s: x.clone().transpose(0, 1).index_add_(0, at, s.transpose(0, 1)),
        lambda x, at, s: x.index_add(1, at[:0], s[:, :0]),
        lambda x, at, s: x[0, :, 0].index_add(0, at, s[0, :, 0]),
        lambda x, at, s: x.reshape(1, 4, 1, 5, 1, 6, 1, 1).index_add(3, at, s.reshape(1, 4, 1, 3, 1, 6, 1, 1)),
    ],
)
def test_index_add(function: Callable[..., object], dtype: torch.dtype) -> None:
    # No index comes twice, so each element has one sum, rounded once. With alpha torch on the CPU rounds the product of 16 bits, too;
    # SoftNPU does not: half an ulp of a product below 32, against sums that may cancel.
    tolerance = 32 * TOLERANCE[dtype] if dtype.is_floating_point else 0.0
    check(function, make(dtype, 4, 5, 6, low=0), torch.tensor([3, 0, 4]), make(dtype, 4, 3, 6, low=0), tolerance=tolerance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64], ids=str)
def test_index_add_of_an_index_that_comes_twice(dtype: torch.dtype) -> None:
    at = torch.tensor([2, 0, 2, 2])
    check(lambda x, i, s: x.index_add(0, i, s), torch.zeros(3, 6, dtype=dtype), at, torch.arange(24).reshape(4, 6).to(dtype))


# What changes nothing, as on the CPU: an index without elements, alone or with others, assigned, added, copied or read.
NOTHING: list[Callable[[torch.Tensor, torch.Tensor, torch.Tensor], object]] = [
    lambda x, e, i: x.__setitem__(e, 5),
    lambda x, e, i: x.__setitem__((slice(None), e), 5),
    lambda x, e, i: x.__setitem__((e, slice(None)), 5),
    lambda x, e, i: x.__setitem__((e, e), 5),
    lambda x, e, i: x.__setitem__((i, e), 5),
    lambda x, e, i: x.__setitem__((slice(None), slice(None), e), 5),
    lambda x, e, i: x.__setitem__((e, slice(None), e), 5),
    lambda x, e, i: x.__setitem__(e, x[:0]),
    lambda x, e, i: x.__setitem__(e.reshape(0, 2), 5),
    lambda x, e, i: x.__setitem__(e.reshape(2, 0), 5),
    lambda x, e, i: x.__setitem__((slice(None), e.reshape(0, 2)), 5),
    lambda x, e, i: x.__setitem__((x != x)[:, 0, 0], 5),
    lambda x, e, i: x.__setitem__(x != x, 5),
    lambda x, e, i: x.index_put_((e,), torch.ones((), dtype=x.dtype, device=x.device), accumulate=True),
    lambda x, e, i: x.index_put_((i, e), torch.ones((), dtype=x.dtype, device=x.device), accumulate=True),
    lambda x, e, i: x.index_copy_(0, e, x[:0]),
    lambda x, e, i: x.index_add_(0, e, x[:0]),
    lambda x, e, i: x.index_fill_(0, e, 5),
    lambda x, e, i: x.scatter_(0, e.reshape(0, 1, 1), 5),
    lambda x, e, i: x.scatter_(0, e.reshape(0, 1, 1), x),
    lambda x, e, i: x.scatter_add_(0, e.reshape(0, 1, 1), x),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.int32, torch.bool], ids=str)
@pytest.mark.parametrize("case", range(len(NOTHING)))
def test_an_empty_index_changes_nothing(case: int, dtype: torch.dtype) -> None:
    x = make(dtype, 3, 4, 5)
    target = x.npu()
    NOTHING[case](target, EMPTY.npu(), torch.tensor([1]).npu())
    assert torch.equal(target.cpu(), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64], ids=str)
@pytest.mark.parametrize(
    "function",
    [
        lambda x, e: x[e],
        lambda x, e: x[:, e],
        lambda x, e: x[e, e],
        lambda x, e: x.index_select(1, e),
        lambda x, e: x.gather(0, e.reshape(0, 1, 1)),
        lambda x, e: torch.nn.functional.embedding(e, x[0]),
    ],
)
def test_reading_through_an_empty_index_gives_nothing(function: Callable[..., object], dtype: torch.dtype) -> None:
    check(function, make(dtype, 3, 4, 5), EMPTY)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64], ids=str)
def test_a_dimension_between_indices_is_taken_whole(dtype: torch.dtype) -> None:
    """What torch_npu passes for it has no elements either."""
    at = torch.tensor([2, 0])

    def assign(x: torch.Tensor, i: torch.Tensor, *where: slice | int) -> torch.Tensor:
        x = x.clone()
        x[tuple(i if w == 0 else w for w in where)] = 7
        return x

    whole = slice(None)
    for where in ((0,), (whole, 0), (0, whole, 0), (whole, whole, 0), (0, whole, whole), (0, 0)):
        check(assign, make(dtype, 3, 4, 5), at, *where)
        check(assign, make(dtype, 3, 4, 5), at[:1], *where)
