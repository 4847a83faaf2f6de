"""torch_npu's norms, sums with products, and elements put into places, on SoftNPU against references in float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from tests.softnpu.compare import FLOATS, check, close, make
from tests.softnpu.counts import through

# Both sides compute in float64: sums of at most 200 products below 2^12. Float16 has steps of 2^-24 below 2^-14.
SLACK = {torch.float32: 2.0**-32, torch.float16: 2.0**-25, torch.bfloat16: 2.0**-32}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("order", [0, 1, 2, 3, float("inf"), float("-inf")])
def test_norms(order: float, dtype: torch.dtype) -> None:
    # torch.norm is another operator in this torch.
    norm = torch.ops.aten.norm.ScalarOpt_dim
    x = make(dtype, 4, 5, 6)
    for view in (x, x.transpose(0, 2), x[:, ::2], x[0, 0, 0]):
        for dims, keep in (([], False), ([-1], True), ([0], False)):
            found = through("aclnnNorm", partial(norm, view.npu(), order, dims, keep))
            assert found.dtype == dtype
            close(found, norm(view.double(), order, dims, keep), SLACK[dtype])
    close(torch.norm(x.npu(), order, (0, 2)), torch.norm(x.double(), order, (0, 2)), SLACK[dtype])


SUMS: dict[str, tuple[str, Callable[..., torch.Tensor], tuple[tuple[int, ...], ...]]] = {
    "addmv": ("aclnnAddmv", torch.addmv, ((4,), (4, 7), (7,))),
    "addmv, one": ("aclnnAddmv", torch.addmv, ((1,), (4, 7), (7,))),
    "addmv, nothing": ("aclnnAddmv", torch.addmv, ((4,), (4, 0), (0,))),
    "addr": ("aclnnAddr", torch.addr, ((4, 5), (4,), (5,))),
    "addr, row": ("aclnnAddr", torch.addr, ((5,), (4,), (5,))),
    "addbmm": ("aclnnAddbmm", torch.addbmm, ((4, 6), (3, 4, 5), (3, 5, 6))),
    "addbmm, row": ("aclnnAddbmm", torch.addbmm, ((6,), (3, 4, 5), (3, 5, 6))),
    "baddbmm": ("aclnnBaddbmm", torch.baddbmm, ((3, 4, 6), (3, 4, 5), (3, 5, 6))),
    "baddbmm, column": ("aclnnBaddbmm", torch.baddbmm, ((1, 4, 1), (3, 4, 5), (3, 5, 6))),
    "addmm_": ("aclnnInplaceAddmm", lambda a, *rest, **by: a.clone().addmm_(*rest, **by), ((4, 6), (4, 5), (5, 6))),
    "addr_": ("aclnnInplaceAddr", lambda a, *rest, **by: a.clone().addr_(*rest, **by), ((4, 5), (4,), (5,))),
}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", SUMS)
def test_sums_with_products(name: str, dtype: torch.dtype) -> None:
    operator, function, shapes = SUMS[name]
    given = [make(dtype, *shape) for shape in shapes]
    # One of float32 is computed by aclnnInplaceAddmm in float32: 5 products below 2^8, each rounded by 2^-24.
    slack = 2.0**-12 if operator == "aclnnInplaceAddmm" else SLACK[dtype]
    for beta, alpha in ((1, 1), (0.5, -2), (0, 3)):
        found = through(operator, partial(function, *(t.npu() for t in given), beta=beta, alpha=alpha))
        assert found.dtype == dtype
        close(found, function(*(t.double() for t in given), beta=beta, alpha=alpha), slack)
    last = given[-1].npu()
    strided = torch.stack([last, last], -1)[..., 0]
    found = through(operator, partial(function, *(t.npu() for t in given[:-1]), strided))
    close(found, function(*(t.double() for t in given)), slack)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.int8, torch.uint8], ids=str)
def test_sums_of_whole_numbers(dtype: torch.dtype) -> None:
    for function, shapes in ((torch.addmv, ((4,), (4, 7), (7,))), (torch.addr, ((4, 5), (4,), (5,)))):
        check(lambda *t, f=function: f(*t, beta=2, alpha=3), *(make(dtype, *shape) for shape in shapes))


# This torch_npu calls the operator for float32 and for the sum with what is there alone; it computes all else on the CPU.
def test_scatter_reduce() -> None:
    index = torch.randint(0, 4, (2, 5), generator=torch.Generator().manual_seed(0))
    for dim, at, x, source in (
        (0, index, make(torch.float32, 4, 5), make(torch.float32, 3, 6)),
        (1, index, make(torch.float32, 4, 5), make(torch.float32, 3, 6)),
        (-2, index[:, ::2], make(torch.float32, 5, 4).t(), make(torch.float32, 6, 3).t()),
        (0, index[:0], make(torch.float32, 4, 5), make(torch.float32, 3, 6)),
    ):
        expected = x.double().scatter_reduce(dim, at, source.double(), "sum")
        given = (dim, at.npu(), source.npu(), "sum")
        close(through("aclnnScatterReduce", partial(x.npu().scatter_reduce, *given)), expected, SLACK[torch.float32])
        close(through("aclnnInplaceScatterReduce", partial(x.npu().scatter_reduce_, *given)), expected, SLACK[torch.float32])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int32, torch.int64], ids=str)
def test_places_of_a_number(dtype: torch.dtype) -> None:
    x = torch.arange(0, 10, 2).to(dtype)
    for value in (-1, 4, 5, 99):
        for right in (False, True):
            for int32 in (False, True):
                expected = torch.searchsorted(x, value, right=right, out_int32=int32)
                found = through("aclnnSearchSorteds", partial(torch.searchsorted, x.npu(), value, right=right, out_int32=int32))
                assert torch.equal(found.cpu(), expected)
                assert found.dtype == expected.dtype


def test_one_hot() -> None:
    for x in (torch.tensor([[0, 1], [4, 2]]), torch.tensor([3]), torch.tensor(2), torch.tensor([1, 4, 0])[::2]):
        for classes in (5, 9):
            found = through("aclnnOneHot", partial(F.one_hot, x.npu(), classes))
            assert torch.equal(found.cpu(), F.one_hot(x, classes))
        assert torch.equal(F.one_hot(x.npu()).cpu(), F.one_hot(x))
    assert F.one_hot(torch.empty(0, dtype=torch.int64).npu(), 3).shape == (0, 3)


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("dtype", [*FLOATS, torch.int64, torch.int8, torch.bool], ids=str)
def test_diagonals(dtype: torch.dtype, wrap: bool) -> None:
    for shape in ((4, 5), (5, 4), (11, 3), (1, 1), (3, 3, 3), (0, 3)):
        x = make(dtype, *shape)
        for view in (x, torch.stack([x, x], -1)[..., 1], x.transpose(0, 1)):
            found = through("aclnnInplaceFillDiagonal", partial(view.npu().fill_diagonal_, 1, wrap))
            assert torch.equal(found.cpu(), view.clone().fill_diagonal_(1, wrap))
