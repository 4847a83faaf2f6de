"""torch_npu's linear algebra, losses of classes, samples of pictures and random masks on SoftNPU against references in float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
import torch_npu

from tests.softnpu.compare import FLOATS, close, make
from tests.softnpu.counts import through

# Both sides compute in float64, of matrices with a condition below 2^8. Float16 has steps of 2^-24 below 2^-14.
SLACK = {torch.float32: 2.0**-32, torch.float16: 2.0**-25, torch.bfloat16: 2.0**-32}


def positive(*shape: int) -> torch.Tensor:
    """Positive definite matrices."""
    x = make(torch.float32, *shape)
    return x @ x.mT + 5 * torch.eye(shape[-1])


MATRICES: dict[str, tuple[str, Callable[[torch.Tensor], torch.Tensor | tuple[torch.Tensor, ...]]]] = {
    "inverse": ("aclnnInverse", torch.inverse),
    "cholesky": ("aclnnLinalgCholesky", torch.linalg.cholesky),
    "cholesky, upper": ("aclnnLinalgCholesky", partial(torch.linalg.cholesky, upper=True)),
    "slogdet": ("aclnnSlogdet", torch.slogdet),
    "triangular": ("aclnnTriangularSolve", lambda x: torch.triangular_solve(x[..., :2], x)),
    "triangular, lower": (
        "aclnnTriangularSolve",
        lambda x: torch.triangular_solve(x[..., :2], x, upper=False, transpose=True, unitriangular=True),
    ),
    "renorm": ("aclnnRenorm", lambda x: torch.renorm(x, 2, 0, 3.0)),
    "renorm, greatest": ("aclnnRenorm", lambda x: torch.renorm(x, float("inf"), 1, 3.0)),
    "renorm_": ("aclnnInplaceRenorm", lambda x: x.clone().renorm_(3, 1, 3.0)),
    "cross": ("aclnnLinalgCross", lambda x: torch.linalg.cross(x[..., :3], x[..., 1:4])),
    "cdist": ("aclnnCdist", lambda x: torch.cdist(x, x.flip(-2))),
    "cdist 1": ("aclnnCdist", lambda x: torch.cdist(x, x.flip(-1)[..., :2, :], p=1.0)),
}


@pytest.mark.parametrize("name", MATRICES)
def test_matrices(name: str) -> None:
    operator, function = MATRICES[name]
    for x in (positive(4, 4), positive(3, 4, 4), positive(4, 4).t()):
        found, expected = through(operator, partial(function, x.npu())), function(x.double())
        for got, want in zip(*(r if isinstance(r, tuple) else (r,) for r in (found, expected)), strict=True):
            assert got.dtype == torch.float32
            close(got, want, SLACK[torch.float32])


@pytest.mark.parametrize("mode", ["reduced", "complete", "r"])
def test_orthogonal_factors(mode: str) -> None:
    for shape in ((4, 3), (3, 4), (2, 4, 4)):
        x = make(torch.float32, *shape)
        q, r = through("aclnnLinalgQr", partial(torch.linalg.qr, x.npu(), mode))
        expected = torch.linalg.qr(x.double(), mode)
        close(r, expected[1], SLACK[torch.float32])
        assert q.shape == expected[0].shape
        if mode != "r":
            close(q, expected[0], SLACK[torch.float32])


def test_distances_within_a_matrix() -> None:
    x = make(torch.float32, 5, 3)
    for p in (1.0, 2.0, 3.0, float("inf")):
        close(through("aclnnPdist", partial(F.pdist, x.npu(), p)), F.pdist(x.double(), p), SLACK[torch.float32])


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy(dtype: torch.dtype, reduction: str, weighted: bool) -> None:
    x, target = make(dtype, 6, 5), torch.tensor([0, 1, 4, 2, 2, 3])
    weight = torch.tensor([0.5, 1.0, 0.25, 0.75, 1.0]) if weighted else None
    for ignored in (-100, 2):
        given = x.npu().requires_grad_()
        loss, logs, *_ = through(
            "aclnnCrossEntropyLoss",
            partial(
                torch_npu.npu_cross_entropy_loss,
                given,
                target.npu(),
                None if weight is None else weight.npu(),
                reduction=reduction,
                ignore_index=ignored,
            ),
        )
        reference = x.double().requires_grad_()
        expected = F.cross_entropy(
            reference, target, None if weight is None else weight.double(), ignore_index=ignored, reduction=reduction
        )
        close(loss.detach().reshape(expected.shape), expected.detach(), SLACK[dtype])
        close(logs.detach(), x.double().log_softmax(1), SLACK[dtype])
        through("aclnnCrossEntropyLossGrad", loss.sum().backward)
        expected.sum().backward()
        assert given.grad is not None
        assert reference.grad is not None
        # The saved logarithms, below 2^4, were rounded.
        error = {torch.float32: 2.0**-20, torch.float16: 2.0**-7, torch.bfloat16: 2.0**-4}[dtype]
        close(given.grad, reference.grad, error)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_queries_keys_and_values(heads: int, dtype: torch.dtype) -> None:
    x, bias = make(dtype, 2, 5, 24), make(dtype, 24)
    transform = torch.ops.aten._transform_bias_rescale_qkv
    for view in (x, torch.stack([x, x], -1)[..., 1]):
        found = through("aclnnTransformBiasRescaleQkv", partial(transform, view.npu(), bias.npu(), heads))
        for got, want in zip(found, transform(view.double(), bias.double(), heads), strict=True):
            assert got.dtype == dtype
            close(got, want, SLACK[dtype])


SAMPLES: dict[str, tuple[str, str, tuple[int, ...], Callable[[torch.Tensor], torch.Tensor]]] = {
    "picture": (
        "aclnnGridSampler2D",
        "aclnnGridSampler2DBackward",
        (1, 2, 3, 4),
        lambda x: F.grid_sample(x, x[:, :, :2, :2].reshape(1, 2, 2, 2) * 0.3, align_corners=False),
    ),
    "volume": (
        "aclnnGridSampler3D",
        "aclnnGridSampler3DBackward",
        (1, 3, 2, 4, 3),
        lambda x: F.grid_sample(x, x[:, :, :2, :2, :1].reshape(1, 1, 2, 2, 3) * 0.3, align_corners=True),
    ),
    "fold": ("aclnnIm2colBackward", "aclnnIm2col", (2, 12, 12), lambda x: F.fold(x, (4, 5), 2)),
    "unfold": ("aclnnIm2col", "aclnnIm2colBackward", (2, 3, 4, 5), lambda x: F.unfold(x, (2, 3), padding=1)),
    "windows": ("", "aclnnUnfoldGrad", (3, 7), lambda x: x.unfold(1, 3, 2)),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_and_windows(name: str) -> None:
    operator, gradient, shape, function = SAMPLES[name]
    x = make(torch.float32, *shape)
    reference, given = x.double().requires_grad_(), x.npu().requires_grad_()
    expected = function(reference)
    found = through(operator, partial(function, given)) if operator else function(given)
    # The places are rounded to float32: 2^-24 of numbers below 2^3, times slopes below 2^4.
    slack = 2.0**-15 if "Grid" in operator else SLACK[torch.float32]
    close(found.detach(), expected.detach(), slack)
    weights = make(torch.float32, *expected.shape)
    expected.backward(weights.double())
    through(gradient, lambda: found.backward(weights.npu()))
    assert given.grad is not None
    assert reference.grad is not None
    close(given.grad, reference.grad, 2.0**-12 if "Grid" in operator else slack)


@pytest.mark.parametrize("corners", [False, True])
def test_places_by_a_matrix(corners: bool) -> None:
    for shape, size in (((2, 2, 3), (2, 1, 3, 4)), ((2, 3, 4), (2, 1, 2, 3, 4))):
        x = make(torch.float32, *shape)
        found = through("aclnnAffineGrid", partial(F.affine_grid, x.npu(), list(size), align_corners=corners))
        close(found, F.affine_grid(x.double(), list(size), align_corners=corners), SLACK[torch.float32])


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_dropout(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.ones(64, 129, dtype=dtype, device="npu").requires_grad_()
    dropped = through("aclnnDropoutGenMaskV2", partial(F.dropout, x, 0.75))
    assert set(dropped.detach().cpu().unique().tolist()) == {0.0, 4.0}
    # 8256 draws: six deviations of sqrt(3/16 * 8256) are 236.
    assert abs((dropped != 0).sum().item() - 2064) < 236
    through("aclnnDropoutDoMask", lambda: dropped.sum().backward())
    assert x.grad is not None
    assert torch.equal(x.grad.cpu(), dropped.detach().cpu()), "what was left out has no gradient"
    assert torch.equal(F.dropout(x, 0.5, training=False).cpu(), x.cpu())


def test_draws() -> None:
    torch.manual_seed(0)
    x = torch.full((100, 100), 0.25)
    for name, call in (
        ("aclnnInplaceBernoulliTensor", lambda: torch.bernoulli(x.npu())),
        ("aclnnInplaceBernoulli", lambda: torch.bernoulli(x.npu(), 0.25)),
        ("aclnnInplaceBernoulli", lambda: x.npu().bernoulli_(0.25)),
    ):
        drawn = through(name, call).cpu()
        assert set(drawn.unique().tolist()) == {0.0, 1.0}
        # 10000 draws: six deviations of sqrt(3/16 * 10000) are 260.
        assert abs(drawn.sum().item() - 2500) < 260
    mean, deviation = torch.full((100, 100), 5.0), torch.full((100, 100), 2.0)
    for name, call in (
        ("aclnnNormalTensorTensor", lambda: torch.normal(mean.npu(), deviation.npu())),
        ("aclnnNormalTensorFloat", lambda: torch.normal(mean.npu(), 2.0)),
        ("aclnnNormalFloatTensor", lambda: torch.normal(5.0, deviation.npu())),
    ):
        drawn = through(name, call).cpu()
        # Six deviations of the mean, 2 / 100, and of the deviation, 2 / sqrt(2 * 10000).
        assert abs(drawn.mean().item() - 5) < 0.12
        assert abs(drawn.std().item() - 2) < 0.085


@pytest.mark.parametrize("dtype", [torch.float32, torch.int32, torch.int64], ids=str)
def test_numbers_among_others(dtype: torch.dtype) -> None:
    x = make(torch.int32, 4, 5).to(dtype)
    for number in (2, -1, 100):
        for invert in (False, True):
            among = partial(torch.isin, invert=invert)
            assert torch.equal(through("aclnnIsInTensorScalar", partial(among, x.npu(), number)).cpu(), among(x, number))
            assert torch.equal(through("aclnnIsInScalarTensor", partial(among, number, x.npu())).cpu(), among(number, x))


def test_steps() -> None:
    for first, last, steps, base in ((0, 3, 7, 10.0), (1, -2, 5, 2.0), (0.5, 0.5, 1, 3.0)):
        found = through("aclnnLogSpace", partial(torch.logspace, first, last, steps, base=base, device="npu"))
        close(found, torch.logspace(first, last, steps, base=base, dtype=torch.float64), SLACK[torch.float32])
    for first, last, step in ((1, 5, 2), (0.5, 2, 0.25), (3, -1, -1)):
        found = through("aclnnRange", partial(torch.range, first, last, step, device="npu"))
        close(found, torch.range(first, last, step, dtype=torch.float64), SLACK[torch.float32])


def silu_of_halves(x: torch.Tensor) -> torch.Tensor:
    gate, up = x.chunk(2, -1)
    return F.silu(gate) * up


OWN: dict[str, tuple[str, Callable[[torch.Tensor], torch.Tensor], Callable[[torch.Tensor], torch.Tensor]]] = {
    "swiglu": ("aclnnSwiGluGrad", torch_npu.npu_swiglu, silu_of_halves),
    "fast gelu": ("aclnnFastGeluBackward", torch_npu.fast_gelu, lambda x: x * torch.sigmoid(1.702 * x)),
    "rms": (
        "aclnnRmsNormGrad",
        lambda x: torch_npu.npu_rms_norm(x.contiguous(), torch.arange(8.0, device=x.device), 1e-5)[0],
        lambda x: F.rms_norm(x, (8,), torch.arange(8.0, dtype=x.dtype), 1e-5),
    ),
}


@pytest.mark.parametrize("name", OWN)
def test_gradients_of_own_functions(name: str) -> None:
    operator, function, reference = OWN[name]
    for x in (make(torch.float32, 4, 8), make(torch.float32, 8, 3).t(), make(torch.float32, 2, 3, 8)):
        given, wide = x.npu().requires_grad_(), x.double().requires_grad_()
        expected = reference(wide)
        weights = make(torch.float32, *expected.shape)
        expected.backward(weights.double())
        found = function(given)
        through(operator, partial(found.backward, weights.npu()))
        assert given.grad is not None
        assert wide.grad is not None
        # The forward pass saves 1 / rms, below 2, in float32: 2^-24, times sums below 2^8.
        close(given.grad, wide.grad, 2.0**-14 if name == "rms" else SLACK[torch.float32])


def turn(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, mode: str) -> torch.Tensor:
    """x with its pairs turned: the definition."""
    if mode == "half":
        first, second = x.chunk(2, -1)
        across = torch.cat((-second, first), -1)
    else:
        across = torch.stack((-x[..., 1::2], x[..., ::2]), -1).flatten(-2)
    return x * cos + across * sin


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("mode", ["half", "interleave"])
@pytest.mark.parametrize(("shape", "angles"), [((2, 3, 5, 8), (1, 3, 1, 8)), ((2, 3, 5, 8), (1, 1, 5, 8)), ((7, 3, 8), (7, 1, 8))])
def test_turned_rows(shape: tuple[int, ...], angles: tuple[int, ...], mode: str, dtype: torch.dtype) -> None:
    given = [make(dtype, *s, low=-i) for i, s in enumerate((shape, angles, angles))]
    wide = [t.double().requires_grad_() for t in given]
    near = [t.npu().requires_grad_() for t in given]
    expected = turn(wide[0], wide[1], wide[2], mode)
    found = through("aclnnRotaryPositionEmbeddingV2", partial(torch_npu.npu_rotary_mul, *near, mode))
    close(found.detach(), expected.detach(), SLACK[dtype])
    if dtype == torch.float32 and len(shape) == 4:
        weights = make(dtype, *shape)
        expected.backward(weights.double())
        through("aclnnRotaryPositionEmbeddingGrad", lambda: found.backward(weights.npu()))
        for a, b in zip(near, wide, strict=True):
            assert a.grad is not None
            assert b.grad is not None
            close(a.grad, b.grad, SLACK[dtype])


@pytest.mark.parametrize("full", [False, True])
def test_singular_values(full: bool) -> None:
    for shape in ((4, 4), (5, 3), (2, 3, 5)):
        x = make(torch.float32, *shape)
        u, s, vh = through("aclnnSvd", partial(torch.linalg.svd, x.npu(), full))
        expected = torch.linalg.svd(x.double(), full)
        assert (u.shape, vh.shape) == (expected[0].shape, expected[2].shape)
        close(s, expected[1], SLACK[torch.float32])
        least = s.shape[-1]
        product = (u.cpu().double()[..., :least] * s.cpu().double().unsqueeze(-2)) @ vh.cpu().double()[..., :least, :]
        # Three factors, each rounded to float32: sums of 5 products below 2^5.
        assert (product - x.double()).abs().max() < 2.0**-15
        close(through("aclnnSvd", partial(torch.linalg.svdvals, x.npu())), expected[1], SLACK[torch.float32])


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_silu_of_groups(dtype: torch.dtype) -> None:
    x, weight, bias = make(dtype, 2, 6, 5), make(dtype, 6), make(dtype, 6, low=-8)
    found, *_ = through("aclnnGroupNormSilu", partial(torch_npu.npu_group_norm_silu, x.npu(), weight.npu(), bias.npu(), 3))
    close(found, F.silu(F.group_norm(x.double(), 3, weight.double(), bias.double())), SLACK[dtype])


def test_scale_of_gradients() -> None:
    scale, steps = torch.tensor([8.0]).npu(), torch.tensor([0], dtype=torch.int32).npu()
    seen = []
    for infinite in (0.0, 0.0, 1.0, 0.0):
        update = partial(torch._amp_update_scale_, scale, steps, torch.tensor([infinite]).npu(), 2.0, 0.5, 2)
        through("aclnnAmpUpdateScale", update)
        seen.append((scale.item(), steps.item()))
    assert seen == [(8.0, 1), (16.0, 0), (8.0, 0), (8.0, 1)]


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_sums_without_what_is_no_number(dtype: torch.dtype) -> None:
    x = make(dtype, 4, 5)
    x[1, 2] = x[3] = float("nan")
    for dims in ((), (0,), (1,), (0, 1)):
        found = through("aclnnReduceNansum", partial(torch.nansum, x.npu(), dims))
        close(found, torch.nansum(x.double(), dims), SLACK[dtype])


def test_rms_norm_with_a_scale_above_one() -> None:
    x, gamma = make(torch.float32, 3, 8), make(torch.float32, 8)
    found, rstd = through("aclnnGemmaRmsNorm", partial(torch_npu.npu_gemma_rms_norm, x.npu(), gamma.npu(), 1e-5))
    # Three products in float32, of numbers below 2^5.
    close(found, F.rms_norm(x.double(), (8,), 1 + gamma.double(), 1e-5), 2.0**-17)
    close(rstd, (x.double().pow(2).mean(-1, keepdim=True) + 1e-5).rsqrt(), SLACK[torch.float32])


def test_values_that_go_back() -> None:
    x = make(torch.float32, 2, 3, 4, 6)
    values, places = F.max_pool2d(x, 2, return_indices=True)
    found = through("aclnnMaxUnpool2d", partial(F.max_unpool2d, values.npu(), places.npu(), 2))
    assert torch.equal(found.cpu(), F.max_unpool2d(values, places, 2))
    x = make(torch.float32, 1, 2, 4, 4, 6)
    values, places = F.max_pool3d(x, 2, return_indices=True)
    found = through("aclnnMaxUnpool3d", partial(F.max_unpool3d, values.npu(), places.npu(), 2))
    assert torch.equal(found.cpu(), F.max_unpool3d(values, places, 2))
