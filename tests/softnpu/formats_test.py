"""torch_npu's casts between ND and FRACTAL_NZ, which it asks of the operator compiler."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch_npu

import softnpu

ND, NZ = 2, 29


@pytest.fixture(autouse=True)
def _working_device() -> Iterator[None]:
    """A fault, or an operator that SoftNPU does not have, puts the device into error until it is reset."""
    yield
    softnpu.reset_device()


@pytest.fixture
def internal_formats() -> Iterator[None]:
    """torch_npu keeps private formats only when it is told to."""
    torch.npu.config.allow_internal_format = True
    yield
    torch.npu.config.allow_internal_format = False


def numbers(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    return torch.arange(1, 1 + torch.Size(shape).numel()).remainder(97).reshape(shape).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int32, torch.int8], ids=str)
def test_by_default_a_cast_keeps_the_dense_bytes(dtype: torch.dtype) -> None:
    x = numbers(dtype, 3, 4)
    assert torch.equal(torch_npu.npu_format_cast(x.npu(), ND).cpu(), x)
    cast = torch_npu.npu_format_cast(x.npu(), NZ)
    assert torch.equal(cast.cpu(), x)
    assert torch.equal((cast + 1).cpu(), x + 1)


@pytest.mark.usefixtures("internal_formats")
@pytest.mark.parametrize("shape", [(3, 4), (16, 16), (17, 33), (2, 18, 35), (2, 1, 3, 1, 40)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int32, torch.int8], ids=str)
def test_fractal_nz_and_back(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    x = numbers(dtype, *shape)
    cast = torch_npu.npu_format_cast(x.npu(), NZ)
    assert torch_npu.get_npu_format(cast) == "FRACTAL_NZ" or torch_npu.get_npu_format(cast) == NZ
    rows, columns = (-(-n // 16) * 16 for n in shape[-2:])
    if dtype == torch.int8:
        columns = -(-shape[-1] // 32) * 32
    assert torch_npu.get_storage_size(cast) == torch.Size(shape[:-2]).numel() * rows * columns
    # Both ways that torch_npu goes back to ND: for itself, and before a copy to the host.
    assert torch.equal(torch_npu.npu_format_cast(cast, ND).cpu(), x)
    assert torch.equal(cast.cpu(), x)
    assert torch.equal((torch_npu.npu_format_cast(cast, ND) + 1).cpu(), x + 1)
    kept = x.npu()
    torch_npu.npu_format_cast_(kept, NZ)
    assert torch.equal(kept.cpu(), x)


@pytest.mark.usefixtures("internal_formats")
def test_another_operator_on_a_private_format_is_refused_by_name() -> None:
    cast = torch_npu.npu_format_cast(numbers(torch.float16, 3, 4).npu(), NZ)
    with pytest.raises(RuntimeError, match=r"the operator Add \(dtype 1 \[3, 4\], dtype 1 \[\]\) needs CANN's operator compiler"):
        _ = cast + 1


@pytest.mark.usefixtures("internal_formats")
@pytest.mark.parametrize(
    ("dtype", "shape", "target", "sentence"),
    [
        (torch.int64, (3, 4), NZ, "dtype 9 [3, 4], format 2: a format cast takes float32"),
        (torch.float16, (1,) * 5 + (3, 4), NZ, "7 dimensions, the limits are 1 and 6"),
        (torch.float16, (2, 3, 4, 5), 3, "format 3: SoftNPU casts between ND (2) and FRACTAL_NZ (29) only"),
    ],
)
def test_a_cast_that_there_is_not_is_refused_by_name(dtype: torch.dtype, shape: tuple[int, ...], target: int, sentence: str) -> None:
    with pytest.raises(RuntimeError) as error:
        torch_npu.npu_format_cast(numbers(dtype, *shape).npu(), target)
        torch.npu.synchronize()
    assert sentence in str(error.value)
