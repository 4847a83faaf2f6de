"""torch_npu's operators on bits, on SoftNPU against torch on the CPU."""

from __future__ import annotations

import operator
from collections.abc import Callable

import pytest
import torch

from tests.softnpu.compare import check, make

SHIFTED = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64)


def bits(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    """All patterns of bits, those with a sign too."""
    info = torch.iinfo(dtype)
    generator = torch.Generator().manual_seed(sum(shape))
    # randint's bound is exclusive, and must fit into int64.
    return torch.randint(info.min, min(info.max, 2**62) + 1, shape, generator=generator).to(dtype)


@pytest.mark.parametrize("dtype", SHIFTED, ids=str)
@pytest.mark.parametrize("shift", [operator.rshift, operator.lshift, operator.irshift, operator.ilshift])
def test_shifts(shift: Callable[..., torch.Tensor], dtype: torch.dtype) -> None:
    width = torch.iinfo(dtype).bits
    x = bits(dtype, 4, 5, 6)
    # The largest left shift that a signed type defines leaves its sign alone.
    by = torch.arange(6).remainder(width - 1).to(dtype)

    def run(x: torch.Tensor, by: torch.Tensor | int) -> torch.Tensor:
        return shift(x.clone(), by)

    check(run, x, by)
    check(run, x.transpose(0, 2), by[:, None, None])
    check(run, x[:, 1::2, ::3], by[:2])
    check(run, x[:0], by)
    check(run, x[0, 0, 0], by[3])
    check(run, x.reshape(1, 4, 1, 5, 1, 6, 1, 1), by.reshape(6, 1, 1))
    for count in (0, 1, width - 2):
        check(run, x, count)


@pytest.mark.parametrize("dtype", SHIFTED, ids=str)
def test_shifts_by_the_width_leave_the_sign(dtype: torch.dtype) -> None:
    width = torch.iinfo(dtype).bits
    check(lambda x: x >> width - 1, bits(dtype, 40))
    check(lambda x: x >> torch.full((1,), width, dtype=x.dtype, device=x.device), bits(dtype, 40))
    check(lambda x: x << torch.full((1,), width, dtype=x.dtype, device=x.device), bits(dtype, 40))


def test_a_negative_count_is_zero() -> None:
    """As the pages of both operators say; torch on the CPU differs."""
    x = bits(torch.int32, 9)
    by = torch.full((9,), -3, dtype=torch.int32)
    for shift in (operator.rshift, operator.lshift):
        assert torch.equal(shift(x.npu(), by.npu()).cpu(), x)


def test_a_wider_count_does_not_widen() -> None:
    """The output has the dtype of what is shifted, as torch_npu allocates it; torch on the CPU promotes."""
    x, by = bits(torch.int32, 9), torch.arange(9)
    found = x.npu() >> by.npu()
    assert found.dtype == torch.int32
    assert torch.equal(found.cpu().long(), x >> by)


@pytest.mark.parametrize("dtype", [*SHIFTED, torch.bool], ids=str)
@pytest.mark.parametrize("name", ["and", "or", "xor"])
def test_bitwise(name: str, dtype: torch.dtype) -> None:
    a, b = (make(torch.bool, 4, 5, 6), make(torch.bool, 5, 6)) if dtype == torch.bool else (bits(dtype, 4, 5, 6), bits(dtype, 5, 6))
    function = getattr(torch, f"bitwise_{name}")
    check(function, a, b)
    check(function, a.transpose(0, 2), b.t()[:, :, None].expand(6, 5, 4))
    check(function, a, True if dtype == torch.bool else 3)
    check(lambda x, y: getattr(x.clone(), f"bitwise_{name}_")(y), a, b)
    check(torch.bitwise_not, a)


@pytest.mark.parametrize("rows", [None, [2, 0]])
def test_the_mask_of_a_grammar(rows: list[int] | None) -> None:
    """A bit per token, 32 in a word, as structured outputs mask logits with plain torch operators."""
    vocabulary = 70
    allowed = torch.rand(3, vocabulary, generator=torch.Generator().manual_seed(0)) < 0.5
    words = torch.zeros(3, 3, dtype=torch.int32)
    for row, token in allowed.nonzero().tolist():
        bit = 1 << token % 32
        words[row, token // 32] |= bit - (1 << 32) if bit == 1 << 31 else bit
    logits = torch.randn(3, vocabulary)
    target = logits.npu()
    chosen = rows if rows is not None else [0, 1, 2]
    spread = words.npu()[chosen].repeat_interleave(32, dim=-1)
    places = torch.arange(32, device="npu", dtype=torch.int32).repeat(3)
    kept = ((spread >> places) & 1)[:, :vocabulary]
    target[chosen] = target[chosen].masked_fill_(kept == 0, float("-inf"))
    expected = logits.clone()
    expected[chosen] = expected[chosen].masked_fill(~allowed[chosen], float("-inf"))
    assert torch.equal(target.cpu(), expected)
