"""torch_npu's borders, windows, sizes and normalisations of lines, pictures and volumes on SoftNPU against references in float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from tests.softnpu.compare import FLOATS, close, make
from tests.softnpu.counts import through

# Both sides compute in float64: sums of at most 200 products below 2^12. Float16 has steps of 2^-24 below 2^-14.
SLACK = {torch.float32: 2.0**-32, torch.float16: 2.0**-25, torch.bfloat16: 2.0**-32}
SHAPES = {1: (2, 3, 7), 2: (2, 3, 5, 8), 3: (2, 3, 4, 5, 6)}
Function = Callable[[torch.Tensor], torch.Tensor]
resize = partial(partial, F.interpolate)

# Operator, the one of its gradient, and the dimensions.
CASES: dict[str, tuple[str, str, int, Function]] = {
    **{
        f"{mode} {dims}": (
            f"aclnn{name}Pad{dims}d",
            f"aclnn{name}Pad{dims}dBackward",
            dims,
            partial(F.pad, pad=[1, 2, 0, 3, 1, 1][: 2 * dims], mode=mode),
        )
        for dims in SHAPES
        for mode, name in (("reflect", "Reflection"), ("replicate", "Replication"))
    },
    "nearest 1": ("aclnnUpsampleNearest1dV2", "aclnnUpsampleNearest1dBackward", 1, resize(size=9)),
    "nearest 1, scale": ("aclnnUpsampleNearest1dV2", "aclnnUpsampleNearest1dBackward", 1, resize(scale_factor=1.7)),
    "nearest 2": ("aclnnUpsampleNearest2dV2", "aclnnUpsampleNearest2dBackward", 2, resize(size=(3, 9))),
    "nearest 3": ("aclnnUpsampleNearest3d", "aclnnUpsampleNearest3dBackward", 3, resize(size=(3, 7, 5))),
    "exact 1": ("aclnnUpsampleNearestExact1d", "aclnnUpsampleNearestExact1dBackward", 1, resize(size=9, mode="nearest-exact")),
    "exact 2": ("aclnnUpsampleNearestExact2d", "aclnnUpsampleNearestExact2dBackward", 2, resize(size=(3, 9), mode="nearest-exact")),
    "exact 3": ("aclnnUpsampleNearestExact3d", "aclnnUpsampleNearestExact3dBackward", 3, resize(size=(3, 7, 5), mode="nearest-exact")),
    "exact 3, scale": (
        "aclnnUpsampleNearestExact3d",
        "aclnnUpsampleNearestExact3dBackward",
        3,
        resize(scale_factor=1.5, mode="nearest-exact"),
    ),
    "linear": ("aclnnUpsampleLinear1d", "aclnnUpsampleLinear1dBackward", 1, resize(size=9, mode="linear")),
    "linear, corners": ("aclnnUpsampleLinear1d", "aclnnUpsampleLinear1dBackward", 1, resize(size=9, mode="linear", align_corners=True)),
    "linear, scale": ("aclnnUpsampleLinear1d", "aclnnUpsampleLinear1dBackward", 1, resize(scale_factor=0.6, mode="linear")),
    "bilinear": ("aclnnUpsampleBilinear2d", "aclnnUpsampleBilinear2dBackwardV2", 2, resize(size=(3, 9), mode="bilinear")),
    "bicubic": ("aclnnUpsampleBicubic2d", "aclnnUpsampleBicubic2dBackward", 2, resize(size=(3, 9), mode="bicubic")),
    "bilinear, smooth": (
        "aclnnUpsampleBilinear2dAA",
        "aclnnUpsampleBilinear2dAABackward",
        2,
        resize(size=(3, 4), mode="bilinear", antialias=True),
    ),
    "bicubic, smooth": ("aclnnUpsampleBicubic2dAA", "aclnnUpsampleBicubic2dAAGrad", 2, resize(size=(3, 4), mode="bicubic", antialias=True)),
    "trilinear": ("aclnnUpsampleTrilinear3d", "aclnnUpsampleTrilinear3dBackward", 3, resize(size=(3, 7, 5), mode="trilinear")),
    "trilinear, corners": (
        "aclnnUpsampleTrilinear3d",
        "aclnnUpsampleTrilinear3dBackward",
        3,
        resize(size=(3, 7, 5), mode="trilinear", align_corners=True),
    ),
    "max 1": ("aclnnMaxPool2dWithMask", "aclnnMaxPool2dWithMaskBackward", 1, partial(F.max_pool1d, kernel_size=2)),
    "max 2": (
        "aclnnMaxPool2dWithMask",
        "aclnnMaxPool2dWithMaskBackward",
        2,
        partial(F.max_pool2d, kernel_size=(3, 2), stride=(1, 2), padding=1),
    ),
    "max 2, upwards": (
        "aclnnMaxPool2dWithMask",
        "aclnnMaxPool2dWithMaskBackward",
        2,
        partial(F.max_pool2d, kernel_size=3, stride=2, ceil_mode=True),
    ),
    "max 3": (
        "aclnnMaxPool3dWithArgmax",
        "aclnnMaxPool3dWithArgmaxBackward",
        3,
        partial(F.max_pool3d, kernel_size=(2, 3, 2), stride=1, padding=1),
    ),
    "adaptive max 2": ("aclnnAdaptiveMaxPool2d", "aclnnAdaptiveMaxPool2dBackward", 2, partial(F.adaptive_max_pool2d, output_size=(2, 3))),
    "adaptive max 3": (
        "aclnnAdaptiveMaxPool3d",
        "aclnnAdaptiveMaxPool3dBackward",
        3,
        partial(F.adaptive_max_pool3d, output_size=(2, 3, 5)),
    ),
    "average 2": ("aclnnAvgPool2d", "aclnnAvgPool2dBackward", 2, partial(F.avg_pool2d, kernel_size=(2, 3), stride=(1, 2), padding=1)),
    "average 3": ("aclnnAvgPool3d", "aclnnAvgPool3dBackward", 3, partial(F.avg_pool3d, kernel_size=2)),
    "average 3, border": (
        "aclnnAvgPool3d",
        "aclnnAvgPool3dBackward",
        3,
        partial(F.avg_pool3d, kernel_size=(2, 3, 2), stride=1, padding=1, count_include_pad=False),
    ),
    "average 3, upwards": (
        "aclnnAvgPool3d",
        "aclnnAvgPool3dBackward",
        3,
        partial(F.avg_pool3d, kernel_size=3, stride=2, ceil_mode=True, divisor_override=5),
    ),
    "adaptive 2": ("aclnnAdaptiveAvgPool2d", "aclnnAdaptiveAvgPool2dBackward", 2, partial(F.adaptive_avg_pool2d, output_size=(2, 3))),
    "adaptive 3": ("aclnnAdaptiveAvgPool3d", "aclnnAdaptiveAvgPool3dBackward", 3, partial(F.adaptive_avg_pool3d, output_size=(2, 3, 5))),
    "groups": ("aclnnGroupNorm", "aclnnGroupNormBackward", 2, partial(F.group_norm, num_groups=3)),
    "batch": ("aclnnBatchNorm", "aclnnBatchNormBackward", 2, partial(F.batch_norm, running_mean=None, running_var=None, training=True)),
    "instances": ("aclnnBatchNorm", "aclnnBatchNormBackward", 3, F.instance_norm),
}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_pictures(name: str, dtype: torch.dtype) -> None:
    operator, _, dims, function = CASES[name]
    x = make(dtype, *SHAPES[dims])
    for view in (x, x.transpose(-1, 1), torch.stack([x, x], -1)[..., 1]):
        # A channel at least for each group.
        given = view if view.shape[1] % 3 == 0 else x
        found = through(operator, partial(function, given.npu()))
        assert found.dtype == dtype
        close(found, function(given.double()), SLACK[dtype])


@pytest.mark.parametrize("name", CASES)
def test_gradients(name: str) -> None:
    _, operator, dims, function = CASES[name]
    x = make(torch.float32, *SHAPES[dims])
    reference = x.double().requires_grad_()
    expected = function(reference)
    weights = make(torch.float32, *expected.shape)
    expected.backward(weights.double())
    given = x.npu().requires_grad_()
    through(operator, lambda: function(given).backward(weights.npu()))
    assert given.grad is not None
    assert reference.grad is not None
    # Normalisations save their means and variances in float32, each a rounding: 2^-24 of numbers below 2^6.
    close(given.grad, reference.grad, 2.0**-17 if "Norm" in operator else SLACK[torch.float32])


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_batches_move_running_statistics(dtype: torch.dtype) -> None:
    x = make(dtype, 4, 3, 5)
    weight, bias = make(torch.float32, 3), make(torch.float32, 3, low=-8)
    statistics = {}
    for device, wide in (("npu", False), ("cpu", True)):
        mean, variance = torch.full((3,), 2.0), torch.full((3,), 3.0)
        given = [t.double() if wide else t for t in (x, mean, variance, weight, bias)]
        given = [t.to(device) for t in given]
        call = partial(F.batch_norm, given[0], given[1], given[2], given[3], given[4], training=True, momentum=0.3)
        trained = call() if wide else through("aclnnBatchNorm", call)
        inferred = F.batch_norm(*given)
        statistics[device] = (trained, *given[1:3], inferred)
    for found, expected in zip(statistics["npu"], statistics["cpu"], strict=True):
        # The running statistics are rounded to float32 before the inference: 2^-24 of numbers below 2^6.
        close(found, expected, max(SLACK[dtype], 2.0**-17 if found is statistics["npu"][-1] else 0.0))


@pytest.mark.parametrize("dims", [2, 3])
def test_places_of_the_greatest(dims: int) -> None:
    x = make(torch.float32, *SHAPES[dims])
    for function, name in (
        (
            partial([F.adaptive_max_pool2d, F.adaptive_max_pool3d][dims - 2], output_size=(2, 3, 2)[:dims], return_indices=True),
            f"aclnnAdaptiveMaxPool{dims}d",
        ),
        *([(partial(F.max_pool3d, kernel_size=2, return_indices=True), "aclnnMaxPool3dWithArgmax")] if dims == 3 else []),
    ):
        values, places = through(name, partial(function, x.npu()))
        expected, at = function(x)
        assert torch.equal(values.cpu(), expected)
        assert torch.equal(places.cpu().long(), at)


def test_nothing() -> None:
    for function, shape in ((partial(F.pad, pad=(1, 1), mode="reflect"), (0, 3, 4)), (partial(F.group_norm, num_groups=3), (0, 3, 4))):
        assert function(torch.empty(shape).npu()).shape == function(torch.empty(shape)).shape
