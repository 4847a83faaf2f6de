"""Quantised layers: arithmetic against exact sums, and what of a checkpoint is refused when it is loaded."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch_npu
from compressed_tensors.quantization import QuantizationArgs
from vllm.model_executor.kernels.linear.scaled_mm.ScaledMMLinearKernel import Int8ScaledMMLinearLayerConfig

from vllm_cann import int8
from vllm_cann.quantization import modelslim
from vllm_cann.quantization.compressed_tensors import _why_not
from vllm_cann.quantization.linear import CannInt8LinearKernel

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# Half an ulp of the result, relative; of float32 four operations more.
ROUNDING = {torch.float32: 5 * 2.0**-24, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def integers(*shape: int, seed: int) -> torch.Tensor:
    return torch.randint(-128, 128, shape, generator=generator(seed), dtype=torch.int8)


def close(found: torch.Tensor, wanted: torch.Tensor, parts: torch.Tensor | float) -> None:
    """`parts`: the largest number that was rounded on the way."""
    assert ((found.cpu().double() - wanted).abs() <= (wanted.abs() + parts) * ROUNDING[found.dtype] * 1.001).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rows_have_their_own_scales(dtype: torch.dtype) -> None:
    x = (torch.randn(5, 96, generator=generator()) * 3).to(dtype)
    x[2] = 0
    found, scale = int8.quantise_rows(x.npu())
    wanted = x.float().abs().amax(-1) / 127
    assert torch.equal(scale.cpu(), wanted)
    rows = (x.float() / wanted.unsqueeze(-1)).nan_to_num(0).round().to(torch.int8)
    assert torch.equal(found.cpu(), rows)
    assert found.cpu()[2].tolist() == [0] * 96


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("scale", [0.0625, 0.1], ids=["every type has it", "float32 has it"])
@pytest.mark.parametrize("offset", [None, -5.0])
def test_a_scale_of_the_checkpoint_is_not_rounded(offset: float | None, scale: float, dtype: torch.dtype) -> None:
    x = (torch.randn(7, 64, generator=generator()) * 4).to(dtype)
    step = torch.tensor([scale])
    quantise = int8.StaticQuantiser(step.npu(), None if offset is None else torch.tensor([offset]).npu(), dtype)
    wanted = (x.float() / step + (offset or 0)).round().clamp(-128, 127)
    assert torch.equal(quantise(x.npu()).cpu(), wanted.to(torch.int8))


# Without scales of rows, float16 has packed ones: test_a_static_layer_of_modelslim.
@pytest.mark.parametrize(
    ("dtype", "with_rows"), [*((dtype, True) for dtype in DTYPES), (torch.float32, False), (torch.bfloat16, False)], ids=str
)
@pytest.mark.parametrize("bias", ["none", "whole", "floating"])
def test_products(bias: str, with_rows: bool, dtype: torch.dtype) -> None:
    rows, weight = integers(6, 300, seed=1), integers(40, 300, seed=2)
    scale = torch.rand(40, generator=generator(3)) * 1e-3 + 1e-4
    row_scale = torch.rand(6, generator=generator(4)) + 0.1 if with_rows else None
    given = {"none": None, "whole": integers(40, seed=5).int() * 1000, "floating": torch.randn(40, generator=generator(5))}[bias]
    found = int8.multiply(
        rows.npu(),
        weight.npu(),
        scale.npu(),
        row_scale if row_scale is None else row_scale.npu(),
        given if given is None else given.npu(),
        dtype,
    )
    sums = rows.double() @ weight.double().t() + (given.double() if bias == "whole" else 0)
    scaled = sums * scale.double() * (1 if row_scale is None else row_scale.double().unsqueeze(-1))
    assert found.dtype == dtype
    close(found, scaled + (given if bias == "floating" else 0), scaled.abs() if dtype == torch.float32 else 0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("counts", [[3, 0, 4, 2], [9, 0, 0, 0], [0, 0, 0, 9]])
def test_products_of_groups(counts: list[int], dtype: torch.dtype) -> None:
    rows, weight = integers(9, 64, seed=1), integers(4, 24, 64, seed=2)
    scale = (torch.rand(4, 24, generator=generator(3)) * 1e-3 + 1e-4).to(torch.bfloat16 if dtype == torch.bfloat16 else torch.float32)
    row_scale = torch.rand(9, generator=generator(4)) + 0.1
    sums = torch.tensor(counts).cumsum(0)
    found = int8.multiply_groups(rows.npu(), row_scale.npu(), weight.npu(), scale.npu(), sums.npu(), dtype)
    expert = torch.arange(4).repeat_interleave(torch.tensor(counts))
    exact = torch.einsum("mk,mnk->mn", rows.double(), weight[expert].double())
    close(found, exact * scale[expert].double() * row_scale.double().unsqueeze(-1), 0)


def kernel(static: bool, channelwise: bool, parts: int) -> CannInt8LinearKernel:
    config = Int8ScaledMMLinearLayerConfig(
        is_static_input_scheme=static, is_channelwise=channelwise, input_symmetric=True, is_fused_module=parts > 1
    )
    return CannInt8LinearKernel(config, ["weight", "weight_scale", "input_scale", "input_zero_point", "azp_adj"])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("static", [False, True])
@pytest.mark.parametrize("channelwise", [False, True])
def test_a_linear_layer_in_two_parts(channelwise: bool, static: bool, dtype: torch.dtype) -> None:
    weight = integers(24, 64, seed=2)
    scale = torch.rand(24, 1, generator=generator(3)) + 0.5 if channelwise else torch.tensor([0.5, 2.0])
    layer = torch.nn.Module()
    layer.params_dtype, layer.logical_widths = dtype, [8, 16]
    for name, value in (("weight", weight), ("weight_scale", scale), ("input_scale", torch.tensor([0.0625]))):
        layer.register_parameter(name, torch.nn.Parameter(value.npu(), requires_grad=False))
    method = kernel(static, channelwise, 2)
    method.process_weights_after_loading(layer)
    x = torch.randn(2, 3, 64, generator=generator()).to(dtype)
    bias = torch.randn(24, generator=generator(6)).to(dtype)
    found = method.apply_weights(layer, x.npu(), bias.npu())
    steps = torch.full((2, 3, 1), 0.0625) if static else x.float().abs().amax(-1, keepdim=True) / 127
    rows = (x.float() / steps).round().clamp(-128, 127)
    columns = scale.flatten() if channelwise else torch.tensor([0.5] * 8 + [2.0] * 16)
    scaled = rows.double() @ weight.double().t() * columns.double() * steps.double()
    close(found, scaled + bias.double(), scaled.abs() if dtype == torch.float32 else 0)


def test_asymmetric_activations_are_refused_by_the_kernel() -> None:
    config = Int8ScaledMMLinearLayerConfig(is_static_input_scheme=True, is_channelwise=True, input_symmetric=False)
    assert CannInt8LinearKernel.can_implement(config) == (False, "takes symmetric activations only")


def described(**kinds: str) -> modelslim.ModelSlimConfig:
    config = modelslim.ModelSlimConfig({f"model.{name}.weight": kind for name, kind in kinds.items()})
    config.packed_modules_mapping = {"qkv_proj": ["q_proj", "k_proj"]}
    return config


def test_parts_of_a_layer_are_quantised_alike() -> None:
    assert described(q_proj="W8A8", k_proj="W8A8")._kind("model.qkv_proj") == "W8A8"
    assert described(gate="FLOAT")._kind("model.gate") == "FLOAT"
    with pytest.raises(ValueError, match=r"has \['FLOAT', 'W8A8'\] for the parts of model\.qkv_proj; vllm_cann takes one kind"):
        described(q_proj="W8A8", k_proj="FLOAT")._kind("model.qkv_proj")
    with pytest.raises(ValueError, match=r"quant_model_description\.json says nothing about model\.k_proj\.weight"):
        described(q_proj="W8A8")._kind("model.qkv_proj")


def static_layer(**changes: Any) -> torch.nn.Module:
    layer = torch.nn.Module()
    layer.prefix, layer.params_dtype = "model.qkv_proj", changes.pop("dtype", torch.float16)
    tensors = {
        "weight": integers(8, 64, seed=1),
        "weight_scale": torch.ones(8, 1),
        "weight_offset": torch.zeros(8, 1),
        "input_scale": torch.tensor([0.1, 0.1]),
        "input_offset": torch.tensor([3.0, 3.0]),
        "quant_bias": torch.arange(8, dtype=torch.int32) * 100,
        "deq_scale": torch.rand(8, generator=generator(2)) * 1e-3,
        **changes,
    }
    for name, value in tensors.items():
        layer.register_parameter(name, torch.nn.Parameter(value.npu(), requires_grad=False))
    return layer


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_static_layer_of_modelslim(dtype: torch.dtype) -> None:
    layer = static_layer(dtype=dtype)
    method = modelslim.ModelSlimStaticLinear()
    method.process_weights_after_loading(layer)
    x = torch.randn(5, 64, generator=generator()).to(dtype)
    scale = layer.deq_scale.data.cpu().double()
    if dtype == torch.float16:  # packed: 10 bits of fraction
        scale = modelslim._unpacked(torch_npu.npu_trans_quant_param(layer.deq_scale.data, round_mode=1).cpu()).double()
        assert ((scale - layer.deq_scale.data.cpu()).abs() <= scale * 2**-11).all()
    rows = (x.float() / 0.1 + 3).round().clamp(-128, 127).double()
    wanted = (rows @ layer.weight.data.cpu().double().t() + layer.quant_bias.data.cpu()) * scale
    close(method.apply(layer, x.npu()), wanted, 0)


def test_packed_scales_are_read_as_floats() -> None:
    scales = torch.tensor([0.5, -0.25, 3.0])  # which 10 bits of fraction hold
    parameter = torch.nn.Parameter(torch.zeros(3), requires_grad=False)
    load = modelslim._scales_by(lambda parameter, loaded, shard: parameter.data.copy_(loaded + shard))
    load(parameter, torch_npu.npu_trans_quant_param(scales.npu()).cpu(), 1)
    assert parameter.tolist() == [1.5, 0.75, 4.0]
    load(parameter, scales, 0)
    assert parameter.tolist() == scales.tolist()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"weight_offset": torch.ones(8, 1)}, "weight_offset of model.qkv_proj is not zero"),
        ({"input_offset": torch.tensor([3.0, 4.0])}, r"The parts of model.qkv_proj have the same input, but input_offset is \[3.0, 4.0\]"),
    ],
)
def test_a_layer_that_does_not_fit_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        modelslim.ModelSlimStaticLinear().process_weights_after_loading(static_layer(**changes))


def test_static_scales_of_rows_are_no_scheme() -> None:
    args = QuantizationArgs(num_bits=8, type="int", symmetric=True, strategy="channel")
    rows = SimpleNamespace(type="int", num_bits=8, symmetric=True, dynamic=False, strategy="token")
    assert _why_not({"weights": args, "input_activations": rows}) == "static scales of activations by token"
