"""The wrapper that vLLM's LoRA layers call, against its contract in float64 on the host."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
import torch_npu  # noqa: F401
from vllm.lora.layers import LoRAMapping

from vllm_cann import ops
from vllm_cann.lora import CannPunicaWrapper

SLOTS, TOKENS, HIDDEN = 3, 7, 48
# Adapter 70 is in slot 2, adapter 50 in slot 0; slot 1 is empty.
IDS = [50, None, 70]
ASKED = (70, 0, 50, 50, 0, 70, 70)
IN_SLOTS = (2, -1, 0, 0, -1, 2, 2)
# Three requests are sampled.
SAMPLED, SAMPLED_SLOTS = (70, 0, 50), (2, -1, 0)


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    ops.load(torch.device("npu:0"))


def wrapper(asked: Sequence[int] = ASKED, sampled: Sequence[int] = SAMPLED) -> CannPunicaWrapper:
    made = CannPunicaWrapper(64, 8, torch.device("npu:0"))
    made.update_metadata(LoRAMapping(tuple(asked), tuple(sampled), is_prefill=True), IDS, SLOTS, 100)
    return made


def noise(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def stacked(widths: Sequence[int], rank: int, dtype: torch.dtype = torch.float32) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """A and B of each slice, as vLLM keeps them."""
    a = [noise(i, SLOTS, 1, rank, HIDDEN, dtype=dtype) for i in range(len(widths))]
    b = [noise(9 + i, SLOTS, 1, width, rank, dtype=dtype) for i, width in enumerate(widths)]
    return a, b


def on_device(tensors: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    return tuple(one.npu() for one in tensors)


def expected(
    y: torch.Tensor, x: torch.Tensor, a: Sequence[torch.Tensor], b: Sequence[torch.Tensor], slots: Sequence[int], scale: float
) -> torch.Tensor:
    """y + scale B A x of each row, in float64."""
    out = y.double().clone()
    for row, slot in enumerate(slots):
        if slot >= 0:
            added = [scale * (down[slot, 0].double() @ (up[slot, 0].double() @ x[row].double())) for up, down in zip(a, b, strict=True)]
            out[row, : sum(len(one) for one in added)] += torch.cat(added)
    return out


def close(found: torch.Tensor, wanted: torch.Tensor, dtype: torch.dtype) -> None:
    """The kernels' own bounds are in tests/ops; here a wrong row, slot or slice has to show, which is of the size of the numbers."""
    torch.testing.assert_close(found.cpu().double(), wanted, rtol=0, atol=1e-3 if dtype == torch.float32 else 0.3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("widths", [(40,), (32, 16), (32, 16, 16), (16, 24, 8, 16, 40)], ids=str)
def test_linear(widths: tuple[int, ...], dtype: torch.dtype) -> None:
    """Also of more slices than a launch takes."""
    a, b = stacked(widths, 16, dtype)
    y, x = noise(1, TOKENS, sum(widths), dtype=dtype), noise(2, TOKENS, HIDDEN, dtype=dtype)
    found = y.npu()
    wrapper().add_lora_linear(found, x.npu(), on_device(a), on_device(b), 0.5, widths)
    close(found, expected(y, x, a, b, IN_SLOTS, 0.5), dtype)


def test_rows_behind_those_of_the_requests_have_no_adapter() -> None:
    a, b = stacked((40,), 8)
    y, x = noise(1, TOKENS + 5, 40), noise(2, TOKENS + 5, HIDDEN)
    found = y.npu()
    wrapper().add_lora_linear(found, x.npu(), on_device(a), on_device(b), 1.0, (40,))
    close(found, expected(y, x, a, b, IN_SLOTS, 1.0), torch.float32)
    assert torch.equal(found.cpu()[TOKENS:], y[TOKENS:])


def test_logits_have_a_row_for_each_sampled_request() -> None:
    a, b = stacked((90,), 8)
    y, x = noise(1, 3, 100), noise(2, 3, HIDDEN)
    found = y.npu()
    wrapper().add_lora_logits(found, x.npu(), a[0].npu(), b[0].npu(), 1.0)
    close(found, expected(y, x, a, b, SAMPLED_SLOTS, 1.0), torch.float32)


def test_embedding() -> None:
    b = noise(3, SLOTS, 1, 40, 8)
    y, x = noise(1, TOKENS, 40), noise(2, TOKENS, 8)
    found = y.npu()
    wrapper().add_lora_embedding(found, x.npu(), b.npu(), add_input=True)
    identity = torch.eye(8).expand(SLOTS, 1, 8, 8)
    close(found, expected(y, x, [identity], [b], IN_SLOTS, 1.0), torch.float32)


def test_shrink_and_expand_are_the_halves_of_linear() -> None:
    widths = (32, 16)
    a, b = stacked(widths, 16)
    y, x = noise(1, TOKENS, 60), noise(2, TOKENS, HIDDEN)
    for halves in (torch.zeros(2, TOKENS, 16).npu(), on_device([torch.zeros(TOKENS, 16)] * 2)):
        punica, found = wrapper(), y.npu()
        punica.add_shrink(halves, x.npu(), on_device(a), 2.0)
        punica.add_expand(found, halves, on_device(b), widths, offset_start=12)
        assert torch.equal(found.cpu()[:, :12], y[:, :12])
        close(found[:, 12:], expected(y[:, 12:], x, a, b, IN_SLOTS, 2.0), torch.float32)


def test_a_whole_layer_of_an_adapter_takes_the_place_of_the_models() -> None:
    weight, bias = noise(3, SLOTS, 1, 5, HIDDEN), noise(4, SLOTS, 5)
    enabled = torch.tensor([True, True, False])
    y, x = noise(1, 3, 5), noise(2, 3, HIDDEN)
    found = y.npu()
    wrapper().apply_lora_full_linear(found, x.npu(), weight.npu(), bias.npu(), enabled.npu())
    wanted = y.double().clone()
    wanted[2] = weight[0, 0].double() @ x[2].double() + bias[0].double()
    close(found, wanted, torch.float32)


def test_a_step_without_an_adapter_changes_nothing_and_the_next_one_has_its_own() -> None:
    a, b = stacked((40,), 8)
    y, x = noise(1, TOKENS, 40), noise(2, TOKENS, HIDDEN)
    punica = wrapper()
    for asked, slots in ((tuple([0] * TOKENS), (-1,) * TOKENS), (tuple([50] * TOKENS), (0,) * TOKENS)):
        found = y.npu()
        punica.update_metadata(LoRAMapping(asked, asked[:3], is_prefill=True), IDS, SLOTS, 100)
        assert punica.no_lora == (slots[0] < 0)
        punica.add_lora_linear(found, x.npu(), on_device(a), on_device(b), 1.0, (40,))
        close(found, expected(y, x, a, b, slots, 1.0), torch.float32)
