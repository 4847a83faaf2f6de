"""torch_npu's operators of int8 on SoftNPU: integers against exact ones, the rest against float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch_npu

from tests.softnpu.compare import close

HALVES = (torch.float16, torch.bfloat16)


def integers(*shape: int, seed: int) -> torch.Tensor:
    return torch.randint(-128, 128, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.int8)


def numbers(*shape: int, seed: int, dtype: torch.dtype) -> torch.Tensor:
    return (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 3).to(dtype)


def scales(*shape: int, seed: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 1e-3 + 1e-4


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("factors", ["none", "one", "groups"])
def test_dynamic_quant(factors: str, dtype: torch.dtype) -> None:
    x = numbers(5, 7, 48, seed=1, dtype=dtype)
    wide = x.float()
    given: dict[str, torch.Tensor] = {}
    if factors != "none":
        smooth = numbers(3, 48, seed=2, dtype=dtype) if factors == "groups" else numbers(48, seed=2, dtype=dtype)
        given["smooth_scales"] = smooth.npu()
        wide = wide.flatten(0, 1)
        if factors == "groups":
            ends = [10, 10, 35]
            given["group_index"] = torch.tensor(ends, dtype=torch.int32).npu()
            smooth = torch.cat([smooth[:1].expand(10, -1), smooth[2:].expand(25, -1)])
        wide = (wide * smooth.float()).view(5, 7, 48)
    found, scale = torch_npu.npu_dynamic_quant(x.npu(), **given)
    expected = wide.abs().amax(-1) / 127
    # The same float32 operations.
    assert torch.equal(scale.cpu(), expected)
    assert torch.equal(found.cpu(), (wide / expected.unsqueeze(-1)).round().to(torch.int8))


def test_dynamic_quant_of_strided_rows() -> None:
    x = numbers(48, 6, seed=3, dtype=torch.bfloat16).t()
    found, scale = torch_npu.npu_dynamic_quant(x.npu().t().contiguous().t())
    assert torch.equal(scale.cpu(), x.float().abs().amax(-1) / 127)
    assert found.cpu().abs().amax(-1).tolist() == [127] * 6


def test_dynamic_quant_with_offsets() -> None:
    x = numbers(6, 48, seed=4, dtype=torch.float16) + 2
    found, scale, offset = torch_npu.npu_dynamic_quant_asymmetric(x.npu())
    # A step is the whole range by 255; each number comes back to half a step, and float32's errors of sums up to 256 steps.
    assert ((found.cpu() - offset.cpu()[:, None]) * scale.cpu()[:, None] - x.float()).abs().max() <= scale.max().item() * (
        0.5 + 256 * 4 * 2**-24
    )
    assert found.cpu().amax(-1).tolist() == [127] * 6
    assert found.cpu().amin(-1).tolist() == [-128] * 6


@pytest.mark.parametrize("dtype", [torch.float32, *HALVES], ids=str)
@pytest.mark.parametrize("size", [1, 48])
def test_quantize(size: int, dtype: torch.dtype) -> None:
    x = numbers(5, 48, seed=5, dtype=dtype)
    scale = (scales(size, seed=6) * 100).to(dtype)
    zero = torch.full((size,), -3, dtype=torch.int8)
    found = torch_npu.npu_quantize(x.npu(), scale.npu(), zero.npu(), torch.qint8, -1, True).cpu()
    expected = (x.float() / scale.float() - 3).round().clamp(-128, 127).to(torch.int8)
    assert torch.equal(found, expected)
    assert len(expected.unique()) > 50
    found = torch_npu.npu_quantize(x.npu(), scale.npu(), None, torch.qint8, -1, False).cpu()
    assert torch.equal(found, (x.float() * scale.float()).round().clamp(-128, 127).to(torch.int8))


def product(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return (x.long() @ weight.long()).double()


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("with_bias", [False, True])
def test_quant_matmul(with_bias: bool, transposed: bool, dtype: torch.dtype) -> None:
    x, weight = integers(6, 300, seed=1), integers(300, 40, seed=2)
    scale, row_scale = scales(40, seed=3), scales(6, seed=4) * 100
    bias = numbers(40, seed=5, dtype=torch.float32) if with_bias else None
    on_device = weight.t().contiguous().npu().t() if transposed else weight.npu()
    found = torch_npu.npu_quant_matmul(
        x.npu(),
        on_device,
        scale.npu(),
        pertoken_scale=row_scale.npu(),
        bias=None if bias is None else bias.npu(),
        output_dtype=dtype,
    )
    close(found, product(x, weight) * scale * row_scale[:, None].double() + (0 if bias is None else bias.double()), 0)


def test_quant_matmul_of_packed_scales() -> None:
    x, weight = integers(6, 300, seed=1), integers(300, 40, seed=2)
    scale = scales(40, seed=3)
    # torch_npu packs them by itself. 10 bits of a scale's fraction stay, the others are cut off.
    cut = (scale.view(torch.int32) & ~0x1FFF).view(torch.float32)
    close(torch_npu.npu_quant_matmul(x.npu(), weight.npu(), scale.npu(), output_dtype=torch.float16), product(x, weight) * cut.double(), 0)
    offset = torch.arange(40.0) - 20
    bias = torch.arange(40, dtype=torch.int32) * 1000
    found = torch_npu.npu_quant_matmul(x.npu(), weight.npu(), scale.npu(), offset=offset.npu(), bias=bias.npu())
    expected = ((product(x, weight) + bias) * cut.double() + offset).round().clamp(-128, 127)
    assert torch.equal(found.cpu(), expected.to(torch.int8))
    sums = torch_npu.npu_quant_matmul(x.npu(), weight.npu(), scale.npu(), output_dtype=torch.int32)
    assert torch.equal(sums.cpu().double(), product(x, weight))


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("kind", ["sums", "counts"])
def test_grouped_matmul(kind: str, dtype: torch.dtype) -> None:
    x, weight = integers(9, 64, seed=1), integers(4, 24, 64, seed=2)
    counts = [3, 0, 4, 2]
    scale = scales(4, 24, seed=3)
    # bfloat16 wants scales of its own type.
    scale = scale.bfloat16() if dtype == torch.bfloat16 else scale
    row_scale = scales(9, seed=4) * 100
    listed = torch.tensor(counts) if kind == "counts" else torch.tensor(counts).cumsum(0)

    def call(**more: object) -> torch.Tensor:
        return torch_npu.npu_grouped_matmul(
            [x.npu()],
            [weight.npu().transpose(1, 2)],
            group_list=listed.npu(),
            split_item=2,
            group_type=0,
            group_list_type=int(kind == "counts"),
            **more,
        )[0]

    found = call(scale=[scale.npu()], per_token_scale=[row_scale.npu()], output_dtype=dtype)
    expert = torch.arange(4).repeat_interleave(torch.tensor(counts))
    exact = torch.einsum("mk,mnk->mn", x.double(), weight[expert].double())
    close(found, exact * scale[expert].double() * row_scale[:, None].double(), 0)
    assert torch.equal(call(output_dtype=torch.int32).cpu().double(), exact)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: torch_npu.npu_dynamic_quant(torch.zeros(2, 32).npu()), "'x' is float32 [2, 32], it must be float16 or bfloat16"),
        (
            lambda: torch_npu.npu_quantize(torch.zeros(2, 32).bfloat16().npu(), torch.ones(1).npu(), None, torch.qint8, -1, True),
            "'scales' is float32 [1], it must be bfloat16",
        ),
        (
            lambda: torch_npu.npu_quant_matmul(
                integers(2, 32, seed=1).npu(),
                integers(32, 8, seed=2).npu(),
                torch.ones(8).bfloat16().npu(),
                pertoken_scale=torch.ones(2).npu(),
                output_dtype=torch.float16,
            ),
            "'x2_scale' is bfloat16 [8], it must be float32",
        ),
    ],
    ids=["float32 rows", "float32 scales of bfloat16", "bfloat16 scales of float16"],
)
def test_what_the_device_refuses(call: Callable[[], torch.Tensor], sentence: str) -> None:
    with pytest.raises(RuntimeError, match="161002") as error:
        call()
    assert sentence in str(error.value)
