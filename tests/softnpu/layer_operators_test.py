"""torch_npu's layer normalisation and activation functions on SoftNPU against references in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch_npu

from tests.softnpu.compare import FLOATS, ROUNDING, close

# Both sides compute in float64: below 2^-14 float16 has steps of 2^-24, elsewhere a few ulps of float64 of numbers below 40 are left.
SLACK = {torch.float32: 2.0**-45, torch.float16: 2.0**-25, torch.bfloat16: 2.0**-45}


@pytest.mark.parametrize("wide", [False, True], ids=["same", "float32"])
@pytest.mark.parametrize("affine", ["none", "weight", "both"])
@pytest.mark.parametrize(
    ("shape", "normalised"), [((5, 3, 64), (64,)), ((5, 4, 6), (4, 6)), ((7,), (7,)), ((1, 2, 1, 2, 1, 2, 1, 9), (9,))]
)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_layer_norm(dtype: torch.dtype, shape: tuple[int, ...], normalised: tuple[int, ...], affine: str, wide: bool) -> None:
    generator = torch.Generator().manual_seed(len(shape))
    x = (torch.randn(shape, generator=generator) * 3 + 1).to(dtype)
    weight, bias = (torch.randn(normalised, generator=generator).to(torch.float32 if wide else dtype) for _ in range(2))
    given = {"none": (None, None), "weight": (weight, None), "both": (weight, bias)}[affine]
    out, mean, rstd = torch.native_layer_norm(x.npu(), normalised, *(None if t is None else t.npu() for t in given), 1e-5)
    reference = torch.nn.functional.layer_norm(x.double(), normalised, *(None if t is None else t.double() for t in given), 1e-5)
    assert (out.dtype, out.shape) == (dtype, x.shape)
    close(out, reference, SLACK[dtype])
    axes = tuple(range(-len(normalised), 0))
    close(mean, x.double().mean(axes, keepdim=True), SLACK[mean.dtype])
    close(rstd, (x.double().var(axes, unbiased=False, keepdim=True) + 1e-5).rsqrt(), SLACK[mean.dtype])


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_layer_norm_of_views_and_of_nothing(dtype: torch.dtype) -> None:
    x = torch.randn(6, 5, 4, generator=torch.Generator().manual_seed(1)).to(dtype)
    weight = torch.randn(8, generator=torch.Generator().manual_seed(2)).to(dtype)
    view = x.npu().transpose(0, 1)[:, ::2]
    close(
        torch.nn.functional.layer_norm(view, (4,), weight.npu()[::2]),
        torch.nn.functional.layer_norm(x.transpose(0, 1)[:, ::2].double(), (4,), weight[::2].double()),
        SLACK[dtype],
    )
    assert torch.nn.functional.layer_norm(x.npu()[:0], (4,)).shape == (0, 5, 4)


def gelu(approximate: str) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda x: torch.nn.functional.gelu(x, approximate=approximate)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(
    ("function", "reference"),
    [
        (gelu("none"), gelu("none")),
        (lambda x: torch_npu.npu_gelu(x, approximate="none"), gelu("none")),
        (lambda x: torch_npu.npu_gelu(x, approximate="tanh"), gelu("tanh")),
        (torch_npu.fast_gelu, lambda x: x * torch.sigmoid(1.702 * x)),
        *(
            (function, function)
            for function in (
                torch.nn.functional.silu,
                torch.nn.functional.relu,
                torch.nn.functional.hardswish,
                torch.nn.functional.hardsigmoid,
                torch.nn.functional.mish,
                torch.nn.functional.elu,
                torch.nn.functional.selu,
                torch.nn.functional.relu6,
                lambda x: torch.nn.functional.elu(x, alpha=0.5),
                lambda x: torch.nn.functional.leaky_relu(x, 0.2),
                lambda x: torch.nn.functional.leaky_relu(x.clone(), 0.2, inplace=True),
                lambda x: torch.nn.functional.hardtanh(x, -1.5, 0.5),
                lambda x: torch.nn.functional.threshold(x, 0.25, 7.0),
                lambda x: torch.nn.functional.softplus(x),
                lambda x: torch.nn.functional.softplus(x, beta=2.0, threshold=3.0),
            )
        ),
    ],
)
def test_activation(function: Callable[..., torch.Tensor], reference: Callable[..., torch.Tensor], dtype: torch.dtype) -> None:
    edges = torch.tensor([0.0, -0.0, 20.0, -20.0, 3.0, -3.0, 0.25, float("inf")])
    x = torch.cat([torch.randn(4 * 33 - 8, generator=torch.Generator().manual_seed(0)) * 3, edges]).reshape(4, 33).to(dtype)
    for view in (x, x.t(), x[:, ::2], x[:0], x[0, 0]):
        expected = reference(view.double())
        found = function(view.npu())
        assert (found.dtype, found.shape) == (dtype, view.shape)
        finite = expected.isfinite()
        assert torch.equal(found.cpu().isfinite(), finite)
        close(found.cpu()[finite], expected[finite], SLACK[dtype]) if view.numel() else None


@pytest.mark.parametrize("ord", [2, 1, 0, 3, 0.5, float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_vector_norm(dtype: torch.dtype, ord: float) -> None:
    x = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(0)).to(dtype)
    for view in (x, x.transpose(0, 2), x[:, ::2], x.reshape(1, 4, 1, 5, 1, 6, 1, 1)):
        for dim, keep in ((-1, True), (0, False), ((0, 1), False), (None, False)):
            expected = torch.linalg.vector_norm(view.double(), ord, dim, keep)
            found = torch.linalg.vector_norm(view.npu(), ord, dim, keep)
            assert (found.dtype, found.shape) == (dtype, expected.shape)
            # float64 of both sides: a few ulps of sums below 2^20.
            close(found, expected, 2.0**-30)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_normalised_embeddings(dtype: torch.dtype) -> None:
    x = torch.randn(4, 64, generator=torch.Generator().manual_seed(0)).to(dtype)
    # The norm and the quotient are each rounded; elements are below 1.
    close(torch.nn.functional.normalize(x.npu(), dim=-1), torch.nn.functional.normalize(x.double(), dim=-1), ROUNDING[dtype])
