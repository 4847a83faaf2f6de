"""torch_npu's windows, sizes and convolutions of pictures, and unique values, on SoftNPU against references in float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from tests.softnpu.compare import FLOATS, check, close, make

# Both sides compute in float64, and the order of a sum of at most 100 products below 2^10 changes it by less than 2^-36.
SLACK = {torch.float32: 2.0**-36, torch.float16: 2.0**-25, torch.bfloat16: 2.0**-36}

RESIZE = {
    "bilinear": partial(F.interpolate, size=(7, 5), mode="bilinear"),
    "bilinear, corners": partial(F.interpolate, size=(7, 5), mode="bilinear", align_corners=True),
    "bilinear, smaller": partial(F.interpolate, scale_factor=0.5, mode="bilinear"),
    "bicubic": partial(F.interpolate, size=(3, 11), mode="bicubic"),
    "nearest": partial(F.interpolate, scale_factor=2.5, mode="nearest"),
}
WINDOWS = {
    "unfold": partial(F.unfold, kernel_size=(2, 3), padding=1, stride=2),
    "unfold, apart": partial(F.unfold, kernel_size=2, dilation=(1, 2)),
    "average": partial(F.avg_pool2d, kernel_size=(2, 3), stride=(1, 2), padding=1, count_include_pad=False),
    "average, upwards": partial(F.avg_pool2d, kernel_size=2, ceil_mode=True),
    "adaptive": partial(F.adaptive_avg_pool2d, output_size=(2, 3)),
}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("function", [*RESIZE.values(), *WINDOWS.values()], ids=[*RESIZE, *WINDOWS])
def test_pictures(function: Callable[[torch.Tensor], torch.Tensor], dtype: torch.dtype) -> None:
    x = make(dtype, 2, 3, 5, 8)
    for view in (x, x.transpose(2, 3), x[:, ::2]):
        close(function(view.npu()), function(view.double()), SLACK[dtype])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("corners", [False, True])
def test_values_at_places(mode: str, padding: str, corners: bool, dtype: torch.dtype) -> None:
    x, places = make(dtype, 2, 3, 5, 8), make(dtype, 2, 4, 7, 2)
    sample = partial(F.grid_sample, mode=mode, padding_mode=padding, align_corners=corners)
    close(sample(x.npu(), places.npu()), sample(x.double(), places.double()), SLACK[dtype])


CONVOLUTIONS: dict[str, tuple[Callable[..., torch.Tensor], tuple[int, ...], tuple[int, ...], int]] = {
    "one dimension": (partial(F.conv1d, padding=1), (2, 4, 9), (6, 4, 3), 6),
    "patches": (partial(F.conv2d, stride=2), (2, 3, 6, 8), (5, 3, 2, 2), 5),
    "groups": (partial(F.conv2d, groups=2, dilation=(1, 2), padding=(0, 1)), (1, 4, 5, 7), (6, 2, 3, 2), 6),
    "frames": (partial(F.conv3d, stride=(2, 1, 1)), (1, 3, 4, 3, 3), (2, 3, 2, 2, 2), 2),
    "transposed": (partial(F.conv_transpose2d, stride=2, output_padding=1), (1, 3, 4, 4), (3, 2, 3, 3), 2),
}


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name: str, dtype: torch.dtype) -> None:
    function, shape, kernel, channels = CONVOLUTIONS[name]
    x, weight, bias = make(dtype, *shape), make(dtype, *kernel), make(dtype, channels)
    close(function(x.npu(), weight.npu(), bias.npu()), function(x.double(), weight.double(), bias.double()), SLACK[dtype])
    close(function(x.npu(), weight.npu()), function(x.double(), weight.double()), SLACK[dtype])


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.float32, torch.float16, torch.bool], ids=str)
def test_unique_values(dtype: torch.dtype) -> None:
    x = make(dtype, 6, 7) if dtype is torch.bool else make(torch.int32, 6, 7).to(dtype)
    check(torch.unique, x)
    check(partial(torch.unique, return_inverse=True, return_counts=True), x)
    check(partial(torch.unique, return_inverse=True), x.t())
    check(partial(torch.unique_consecutive, return_inverse=True, return_counts=True), x.sort(1)[0])
    rows = x[:, :1].repeat(1, 3)
    check(partial(torch.unique, dim=0, return_inverse=True, return_counts=True), rows)
    check(torch.unique, x[:0])


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.float32, torch.float16], ids=str)
def test_places_among_sorted_values(dtype: torch.dtype) -> None:
    x, rows = make(dtype, 3, 8), make(dtype, 3, 5).sort(1)[0]
    for right in (False, True):
        check(partial(torch.searchsorted, right=right), rows, x)
        check(partial(torch.searchsorted, right=right, out_int32=True), rows, x.t().contiguous().t())
        check(partial(torch.bucketize, right=right), x, rows[0])
