"""Comparisons of SoftNPU's results with those of torch on the CPU, and with references in float64."""

from __future__ import annotations

from collections.abc import Callable

import torch

FLOATS = (torch.float32, torch.float16, torch.bfloat16)
INTEGERS = (torch.int32, torch.int64)

# Both sides compute in float32 or wider and round once to the dtype, so they differ by at most one rounding each: two units of half an
# ulp (2^-24, 2^-11, 2^-8 relative), plus what the two float32 evaluations of a function differ by (a few 2^-24).
TOLERANCE = {torch.float32: 8 * 2**-24, torch.float16: 2**-10, torch.bfloat16: 2**-7}


def make(dtype: torch.dtype, *shape: int, low: int = -9) -> torch.Tensor:
    """Seeded numbers, not zero for integers when low > 0."""
    if dtype in (torch.uint8, torch.bool):
        low = max(low, 0)
    generator = torch.Generator().manual_seed(sum(shape) + low)
    if dtype.is_floating_point:
        return (torch.randn(*shape, generator=generator) * 3).to(dtype)
    return torch.randint(low, 10, shape, generator=generator).to(dtype)


def check(function: Callable[..., object], *arguments: object, tolerance: float = 0.0) -> None:
    """The same call on both devices gives the same shapes, dtypes and values."""
    expected = function(*arguments)
    found = function(*(a.npu() if isinstance(a, torch.Tensor) else a for a in arguments))
    pairs = zip(*(r if isinstance(r, tuple) else (r,) for r in (found, expected)), strict=True)
    for got, want in pairs:
        assert got.device.type == "npu"
        assert got.dtype == want.dtype
        assert got.shape == want.shape
        if tolerance == 0.0:
            assert torch.equal(got.cpu(), want)
        else:
            torch.testing.assert_close(got.cpu(), want, rtol=tolerance, atol=tolerance)


# Half an ulp, relative: 2^-11 and 2^-8 (24 bits for float32).
ROUNDING = {torch.float32: 2.0**-24, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}


def close(found: torch.Tensor, reference: torch.Tensor, slack: float) -> None:
    """One rounding into found's dtype, beside an absolute error of `slack` from float32 arithmetic."""
    limit = reference.abs() * ROUNDING[found.dtype] * 1.0001 + slack
    worst = ((found.cpu().double() - reference).abs() - limit).max().item()
    assert worst <= 0, f"{worst} above the limit"
