"""Functions, statistics, losses and lists of tensors by torch_npu on SoftNPU against torch on the CPU in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from tests.softnpu.compare import FLOATS, check, close, make

# Both sides compute in float64. Below 2^-14 float16 has steps of 2^-24; the order of a sum of at most 64 numbers below 2^10, and a few
# units of float64 in a function of them, are below 2^-36. Rounding a float64 to 16 bits through float32 adds 2^-24 of it at most.
SLACK = {torch.float32: 2.0**-36, torch.float16: 2.0**-25 + 2.0**-20, torch.bfloat16: 2.0**-20}


def against_double(function: Callable[..., object], *tensors: torch.Tensor) -> None:
    """The results on the device are those of float64, rounded; whole numbers are equal."""

    def flat(result: object) -> list[torch.Tensor]:
        return [result] if isinstance(result, torch.Tensor) else list(result)  # type: ignore[call-overload]

    found = flat(function(*(t.npu() for t in tensors)))
    wanted = flat(function(*(t.double() if t.is_floating_point() else t for t in tensors)))
    assert len(found) == len(wanted)
    for got, want in zip(found, wanted, strict=True):
        assert got.device.type == "npu"
        assert got.shape == want.shape
        if got.is_floating_point():
            close(got, want.double(), SLACK[got.dtype])
        else:
            assert torch.equal(got.cpu(), want)


def unit(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    """Numbers between -0.9 and 0.9."""
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(5)) * 1.8 - 0.9).to(dtype)


FUNCTIONS = ("acos", "asin", "asinh", "atan", "atanh", "cosh", "erfc", "erfinv", "exp2", "frac", "sinc", "sinh", "tan")


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name: str, dtype: torch.dtype) -> None:
    x = unit(dtype, 6, 9)
    against_double(getattr(torch, name), x)
    against_double(lambda t: getattr(t.clone(), f"{name}_")(), x.t()[1::2])


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", ["acosh", "log10"])
def test_function_of_more_than_one(name: str, dtype: torch.dtype) -> None:
    against_double(getattr(torch, name), unit(dtype, 6, 9).abs() + 1.5)


@pytest.mark.parametrize("name", ["isposinf", "isneginf", "signbit"])
def test_question(name: str) -> None:
    check(getattr(torch, name), torch.tensor([float("inf"), -float("inf"), -0.0, 0.0, 3.0, float("nan")]))


OF_TWO: dict[str, Callable[..., object]] = {
    "atan2": torch.atan2,
    "atan2_": lambda a, b: (a + b * 0).atan2_(b),
    "logaddexp": torch.logaddexp,
    "logaddexp2": torch.logaddexp2,
    "xlogy": lambda a, b: torch.xlogy(a, b.abs()),
    "xlogy, scalar": lambda a, b: torch.xlogy(a, 2.5),
    "xlogy_, scalar": lambda a, b: a.clone().xlogy_(2.5),
    "xlogy, of a scalar": lambda a, b: torch.xlogy(2.5, b.abs() + 1),
    "lerp": lambda a, b: torch.lerp(a, b, a * 0 + 0.25),
    "lerp_": lambda a, b: a.clone().lerp_(b, 0.25),
    "lerp, scalar": lambda a, b: torch.lerp(a, b, 0.75),
    "addcmul": lambda a, b: torch.addcmul(a, a, b, value=0.5),
    "addcmul_": lambda a, b: a.clone().addcmul_(a, b, value=-2),
    "addcdiv": lambda a, b: torch.addcdiv(a, a, b.abs() + 1, value=0.5),
    "addcdiv_": lambda a, b: a.clone().addcdiv_(a, b.abs() + 1),
    "clamp": lambda a, b: torch.clamp(a, min=-b.abs(), max=b.abs()),
    "clamp, one": lambda a, b: torch.clamp(a, max=b),
    "logit": lambda a, b: torch.logit(a.abs(), 0.125),
    "celu": lambda a, b: F.celu(a, 0.5),
    "celu_": lambda a, b: F.celu(a.clone(), 0.5, inplace=True),
    "hardshrink": lambda a, b: F.hardshrink(a, 0.25),
    "softshrink": lambda a, b: F.softshrink(a, 0.25),
    "logsigmoid": lambda a, b: F.logsigmoid(a),
    "glu": lambda a, b: F.glu(a, dim=1),
    "prelu": lambda a, b: F.prelu(a, b[0]),
    "prelu, one": lambda a, b: F.prelu(a, b[0, :1]),
}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", OF_TWO)
def test_of_two(name: str, dtype: torch.dtype) -> None:
    a, b = make(dtype, 5, 8), make(dtype, 5, 8, low=-3)
    # Both sides round what the lambda computes on the way, and the CPU computes in float32: a few units of each type.
    units = {torch.float32: 2.0**-21, torch.float16: 2.0**-9, torch.bfloat16: 2.0**-6}[dtype]
    check(OF_TWO[name], a, b, tolerance=0.0 if name == "clamp" else units)


@pytest.mark.parametrize("dtype", [*FLOATS, torch.int32, torch.int64], ids=str)
def test_rest(dtype: torch.dtype) -> None:
    a, b = make(dtype, 5, 8), make(dtype, 5, 8, low=1)
    check(torch.fmod, a, b)
    check(lambda t: torch.fmod(t, 3), a)
    check(lambda t, u: t.clone().fmod_(u), a, b)
    check(lambda t: t.clone().fmod_(3), a)
    check(lambda t: torch.remainder(7, t), b)


def test_in_place() -> None:
    x = torch.tensor([float("nan"), float("inf"), -float("inf"), 1.0])
    check(lambda t: t.clone().nan_to_num_(1.0, 2.0, 3.0), x)
    check(lambda t: t.clone().div_(2, rounding_mode="floor"), make(torch.float32, 7))
    check(lambda t: t.clone().div_(t.abs() + 1, rounding_mode="trunc"), make(torch.float32, 7))
    check(lambda t: torch.round(t, decimals=2), torch.tensor([1.238, -7.5512, 0.0]))
    check(torch.gcd, torch.tensor([12, -8, 0]), torch.tensor([18, 12, 5]))


STATISTICS: dict[str, Callable[[torch.Tensor], object]] = {
    "var": lambda t: torch.var(t, 1),
    "var, all": lambda t: torch.var(t),
    "var, correction": lambda t: torch.var(t, (0, 1), correction=3, keepdim=True),
    "std": lambda t: torch.std(t, 0),
    "var_mean": lambda t: torch.var_mean(t, 1),
    "std_mean": lambda t: torch.std_mean(t, 1, keepdim=True),
    "prod": lambda t: torch.prod(t[0, :5]),
    "prod, one": lambda t: torch.prod(t[:, :4], 1),
    "cumprod": lambda t: torch.cumprod(t[:, :4], 1),
    "aminmax": lambda t: torch.aminmax(t),
    "aminmax, one": lambda t: torch.aminmax(t, dim=1, keepdim=True),
    "median": lambda t: torch.median(t),
    "median, one": lambda t: torch.median(t, 1)[0],
    "nanmedian": lambda t: torch.nanmedian(t),
    "kthvalue": lambda t: torch.kthvalue(t, 3, 1)[0],
    "cummax": lambda t: torch.cummax(t, 1),
    "cummin": lambda t: torch.cummin(t, 0),
    "dot": lambda t: torch.dot(t[0], t[1]),
    "mv": lambda t: torch.mv(t, t[0]),
    "take": lambda t: torch.take(t, torch.tensor([3, 11, -1], device=t.device)),
    "roll": lambda t: torch.roll(t, (1, -2), (0, 1)),
    "roll, flat": lambda t: torch.roll(t, 3),
}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", STATISTICS)
def test_statistics(name: str, dtype: torch.dtype) -> None:
    against_double(STATISTICS[name], make(dtype, 6, 8))


def test_counts_and_moves() -> None:
    whole = torch.tensor([3, 1, 4, 1, 5])
    check(torch.bincount, whole)
    check(lambda t: torch.bincount(t, minlength=9), whole)
    check(lambda t: torch.histc(t, 4, -2, 2), make(torch.float32, 40))
    check(torch.trace, make(torch.float32, 4, 4), tolerance=2.0**-22)
    check(lambda t: torch.repeat_interleave(t), torch.tensor([2, 0, 1]))
    check(lambda t: torch.prod(t), torch.tensor([2, -3, 4]))
    mask = torch.tensor([True, False, True])
    check(lambda t, m: t.clone().masked_scatter_(m, t * 2), torch.arange(3.0), mask)


LOSSES: dict[str, Callable[..., torch.Tensor]] = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "smooth_l1": lambda x, y, reduction: F.smooth_l1_loss(x, y, reduction=reduction, beta=0.5),
    "soft_margin": lambda x, y, reduction: F.soft_margin_loss(x, y.sign(), reduction=reduction),
    "kl_div": lambda x, y, reduction: F.kl_div(x, y.abs(), reduction=reduction),
    "bce": lambda x, y, reduction: F.binary_cross_entropy(x.sigmoid(), y.abs().clamp(max=1), reduction=reduction),
    "bce, logits": lambda x, y, reduction: F.binary_cross_entropy_with_logits(x, y.abs().clamp(max=1), reduction=reduction),
    "nll": lambda x, y, reduction: F.nll_loss(F.log_softmax(x, 1), torch.tensor([0, 2, -100, 1], device=x.device), reduction=reduction),
    "cross_entropy": lambda x, y, reduction: F.cross_entropy(x, torch.tensor([0, 2, 3, 1], device=x.device), reduction=reduction),
    "nll2d": lambda x, y, reduction: F.nll_loss(
        x.reshape(1, 4, 2, 3), torch.tensor([[[0, 1, 2], [3, 0, 1]]], device=x.device), reduction=reduction
    ),
}


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("name", LOSSES)
def test_loss_and_gradient(name: str, reduction: str) -> None:
    def run(device: str) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = (make(torch.float32, 4, 6, low=low).to(device) for low in (-1, -2))
        x.requires_grad_()
        loss = LOSSES[name](x, y, reduction=reduction)
        loss.sum().backward()
        assert x.grad is not None
        return loss.detach().cpu(), x.grad.cpu()

    # Float32 rounding of functions of numbers below 16, on both sides.
    for found, wanted in zip(run("npu"), run("cpu"), strict=True):
        torch.testing.assert_close(found, wanted, rtol=2.0**-19, atol=2.0**-19)


LISTS: dict[str, Callable[..., object]] = {
    "add": lambda a, b: torch._foreach_add(a, b, alpha=2),
    "add, scalar": lambda a, b: torch._foreach_add(a, 0.5),
    "add, scalars": lambda a, b: torch._foreach_add(a, [0.5, 2.0]),
    "sub": lambda a, b: torch._foreach_sub(a, b, alpha=0.5),
    "mul": lambda a, b: torch._foreach_mul(a, b),
    "mul, scalar": lambda a, b: torch._foreach_mul(a, 3),
    "mul, scalars": lambda a, b: torch._foreach_mul(a, [0.5, 2.0]),
    "div": lambda a, b: torch._foreach_div(a, b),
    "div, scalar": lambda a, b: torch._foreach_div(a, 3.0),
    "div, scalars": lambda a, b: torch._foreach_div(a, [0.5, 3.0]),
    "pow": lambda a, b: torch._foreach_pow(torch._foreach_abs(a), 3.0),
    "maximum": lambda a, b: torch._foreach_maximum(a, b),
    "minimum": lambda a, b: torch._foreach_minimum(a, 0.25),
    "lerp": lambda a, b: torch._foreach_lerp(a, b, 0.25),
    "addcmul": lambda a, b: torch._foreach_addcmul(a, b, b, 0.5),
    "addcmul, scalars": lambda a, b: torch._foreach_addcmul(a, b, b, [0.5, 2.0]),
    "addcdiv": lambda a, b: torch._foreach_addcdiv(a, a, b, 0.5),
    "norm": lambda a, b: torch._foreach_norm(a),
    "norm, 1": lambda a, b: torch._foreach_norm(a, 1),
    "sqrt": lambda a, b: torch._foreach_sqrt(torch._foreach_abs(a)),
    "exp": lambda a, b: torch._foreach_exp(a),
    "neg": lambda a, b: torch._foreach_neg(a),
    "reciprocal": lambda a, b: torch._foreach_reciprocal(b),
    "sigmoid": lambda a, b: torch._foreach_sigmoid(a),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists(name: str) -> None:
    a = [make(torch.float32, 5, 3), make(torch.float32, 7)]
    b = [t.abs() + 0.5 for t in (make(torch.float32, 5, 3, low=-2), make(torch.float32, 7, low=-2))]
    found = LISTS[name]([t.npu() for t in a], [t.npu() for t in b])
    for got, want in zip(found, LISTS[name](a, b), strict=True):  # type: ignore[call-overload]
        torch.testing.assert_close(got.cpu(), want, rtol=2.0**-21, atol=2.0**-21)


def test_lists_in_place() -> None:
    a = [make(torch.float32, 5, 3), make(torch.float32, 7)]
    device = [t.npu() for t in a]
    for lists in (a, device):
        torch._foreach_add_(lists, lists, alpha=0.5)
        torch._foreach_mul_(lists, 0.25)
        torch._foreach_addcmul_(lists, lists, lists, 2.0)
    for got, want in zip(device, a, strict=True):
        torch.testing.assert_close(got.cpu(), want, rtol=2.0**-21, atol=2.0**-21)
    torch._foreach_zero_(device)
    assert all(not t.cpu().any() for t in device)
