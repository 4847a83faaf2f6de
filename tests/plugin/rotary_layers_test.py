"""The values of the plugin's rotary layers, against vLLM's own forward_native in float64 on the host."""

from __future__ import annotations

import pytest
import torch
from vllm.config import VllmConfig, set_current_vllm_config

from vllm_cann import layers, ops

# Half a last place of a result below 16, and of float32 those of two products and a sum.
ERROR = {torch.float32: 16 * 2**-23, torch.float16: 8 * 2**-11, torch.bfloat16: 8 * 2**-8}


@pytest.fixture(scope="module", autouse=True)
def kernels() -> None:
    ops.load(torch.device("npu:0"))


def noise(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).clamp(-4, 4).to(dtype)


def near(found: torch.Tensor, want: torch.Tensor) -> None:
    torch.testing.assert_close(found.cpu().double(), want, rtol=0, atol=ERROR[found.dtype])


@pytest.mark.parametrize("dtype", ERROR, ids=str)
@pytest.mark.parametrize("interleaved", [False, True])
def test_positions_of_three_axes(interleaved: bool, dtype: torch.dtype) -> None:
    with set_current_vllm_config(VllmConfig()):
        layer = layers.CannMRotaryEmbedding(64, 48, 512, 10000.0, True, dtype, [10, 8, 6], interleaved)
    positions = torch.stack([torch.arange(7) * step + start for step, start in ((11, 3), (5, 90), (31, 0))])
    query, key = noise(dtype, 7, 3 * 64), noise(dtype, 7, 64)
    host = layer.cpu()
    host.cos_sin_cache = host.cos_sin_cache.to(dtype)
    host.double()
    want = host.forward_native(positions, query.double(), key.double())
    layer.to(dtype)
    layer.npu()
    found = layer.forward_oot(positions.npu(), query.npu(), key.npu())
    for one, other in zip(found, want, strict=True):
        near(one, other)


def test_offsets_of_positions_are_refused() -> None:
    with set_current_vllm_config(VllmConfig()):
        layer = layers.CannMRotaryEmbedding(64, 64, 32, 10000.0, True, torch.float16, [12, 10, 10])
    x = noise(torch.float16, 2, 64)
    with pytest.raises(NotImplementedError, match="position offsets of a multimodal rotary embedding"):
        layer.forward_oot(torch.zeros(3, 2, dtype=torch.int64), x, x, offsets=torch.zeros(2))


@pytest.mark.parametrize("is_neox", [True, False])
@pytest.mark.parametrize(("dtype", "widens"), [(torch.float32, False), (torch.bfloat16, False), (torch.bfloat16, True)])
def test_given_angles(dtype: torch.dtype, widens: bool, is_neox: bool) -> None:
    with set_current_vllm_config(VllmConfig()):
        layer = layers.CannApplyRotaryEmb(is_neox_style=is_neox, enable_fp32_compute=widens)
    x, angles = noise(dtype, 2, 5, 3, 80), noise(torch.float32, 5, 40)
    cos, sin = angles.cos(), angles.sin()
    # Unless it widens, vLLM rounds the angles to x's type first.
    tables = (cos, sin) if widens else (cos.to(dtype), sin.to(dtype))
    want = layer.forward_static(x.double(), *(t.double() for t in tables), is_neox)
    found = layer.forward_oot(x.npu(), cos.npu(), sin.npu())
    assert found.dtype == dtype
    near(found, want)
    # Widened, the result has one rounding: half a last place. Angles that are rounded, too, miss that where products cancel.
    if widens:
        assert ((found.cpu().double() - want).abs() <= 2**-8 * want.abs() + 2**-18).all()
        rounded = layer.forward_static(x.double(), cos.to(dtype).double(), sin.to(dtype).double(), is_neox)
        assert not ((rounded - want).abs() <= 2**-8 * want.abs() + 2**-18).all()
