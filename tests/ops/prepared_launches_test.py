"""Launches that are prepared once, and found again by what they depend on: types, shapes, strides, options and the device."""

from __future__ import annotations

import pytest
import torch
from shared import run, zeros

from vllm_cann import _ops
from vllm_cann.ops.rotary_embedding import rotary_embedding


def test_a_launch_is_prepared_for_what_it_depends_on() -> None:
    """Not for contents and addresses. The least recently used launch goes first."""
    reshape = _ops.Operator("reshape_and_cache")
    cache, key = zeros(80, 8, 2, 16, dtype=torch.float16), zeros(600, 2, 16, dtype=torch.float16)
    slots = torch.arange(600).npu()

    def call(tokens: int, key: torch.Tensor = key, index: torch.dtype = torch.int64, layout: str = "ND") -> tuple[int, int]:
        before = reshape.hits, reshape.misses
        reshape(key[:tokens], None, cache.view(key.dtype), None, slots[:tokens].to(index), layout)
        return reshape.hits - before[0], reshape.misses - before[1]

    hit, miss = (1, 0), (0, 1)
    assert call(4) == miss
    assert call(4, key.clone()) == hit
    assert call(5) == miss
    assert call(4, index=torch.int32) == miss
    assert call(4, key.view(torch.bfloat16)) == miss
    assert call(4, zeros(600, 3, 16, dtype=torch.float16)[:, :2]) == miss
    assert call(1) == miss
    assert call(1, zeros(600, 3, 16, dtype=torch.float16)[:, :2]) == hit  # one token is no step away from another
    with pytest.raises(ValueError, match="key_cache has the shape"):
        call(4, layout="HND")
    known = reshape.prepared
    for tokens in range(10, 10 + 512 - known):
        assert call(tokens) == miss
        assert call(4) == hit  # stays, as it is used
    assert reshape.prepared == 512
    assert call(600) == miss
    assert reshape.prepared == 512
    assert call(4) == hit
    assert call(5) == miss  # was the least recently used one
    torch.npu.synchronize()


def test_what_was_refused_is_refused_again() -> None:
    x = zeros(1, 64)
    for _ in range(2):
        with pytest.raises(ValueError, match="neighbours that are paired"):
            rotary_embedding(zeros(1, dtype=torch.int64), x, None, 64, x, True, to_halves=True)


def test_another_device_than_the_current_one() -> None:
    out = run(
        "from vllm_cann.ops.rotary_embedding import rotary_embedding\n"
        "ops.load(device)\n"
        "def turn(i):\n"
        "    table = torch.full((1, 64), 2.0, device=f'npu:{i}')\n"
        "    x = torch.ones(1, 64, device=f'npu:{i}')\n"
        "    positions = torch.zeros(1, dtype=torch.int64, device=f'npu:{i}')\n"
        "    try:\n        rotary_embedding(positions, x, None, 64, table, False)\n"
        "    except (RuntimeError, ValueError) as error:\n        return str(error)\n"
        "    return x.cpu().unique().tolist()\n"
        "print(turn(0))\nprint(turn(1))\n"
        "torch.npu.set_device(1)\nprint(turn(1))\n"
        "torch.npu.set_device(0)\nprint(turn(1))\nprint(turn(0))\n"
    )
    first, refused, second, failed, again = out.splitlines()
    assert first == second == again == "[0.0, 4.0]"
    assert refused == failed == "rotary_embedding: the tensors are on npu:1, but the current device is npu:0"
