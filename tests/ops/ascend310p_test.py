"""The operators on Ascend310P, whose instruction set has neither DataCopyPad nor bfloat16: what runs there, and what is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import reference
import torch
from shared import laid_out, launches, near, noise, same, want, zeros

from vllm_cann.ops.copy_blocks import copy_blocks
from vllm_cann.ops.gather_cache import gather_cache
from vllm_cann.ops.kv_rmsnorm_rope_cache import kv_rmsnorm_rope_cache
from vllm_cann.ops.moe_compute_expert_tokens import moe_compute_expert_tokens
from vllm_cann.ops.moe_finalize_routing import moe_finalize_routing, moe_token_unpermute
from vllm_cann.ops.moe_gating_top_k import moe_gating_top_k, moe_gating_top_k_softmax
from vllm_cann.ops.moe_init_routing import moe_init_routing, moe_init_routing_v2, moe_token_permute
from vllm_cann.ops.qkv_rmsnorm_rope import qkv_rmsnorm_rope, qkv_square_sums
from vllm_cann.ops.reshape_and_cache import reshape_and_cache
from vllm_cann.ops.rotary_embedding import apply_rotary_emb, rotary_embedding
from vllm_cann.ops.slot_mapping import slot_mapping
from vllm_cann.ops.transpose_kv_cache_by_block import transpose_kv_cache_by_block

FEW = (torch.float16, torch.float32)


@pytest.fixture(scope="module", autouse=True)
def chip() -> None:
    assert torch.npu.get_device_name() == "Ascend310P3"


@pytest.mark.parametrize("dtype", [*FEW, torch.int8], ids=str)
@pytest.mark.parametrize("layout", ["ND", "HND", "NZ"])
def test_what_is_scattered_is_gathered(layout: str, dtype: torch.dtype) -> None:
    tokens, heads, size, blocks, block = 21, 4, 64, 4, 16
    key, value = noise(dtype, tokens, heads, size), noise(dtype, tokens, heads, size, seed=1)
    held = [laid_out(torch.zeros(blocks, block, heads, size, dtype=dtype), layout).npu() for _ in range(2)]
    table = torch.tensor([[2, 0]], dtype=torch.int32)
    slots = table[0].long().repeat_interleave(block)[:tokens] * block + torch.arange(tokens) % block
    reshape_and_cache(key.npu(), value.npu(), *held, slots.npu(), layout)
    rows = [torch.zeros(tokens, heads, size, dtype=dtype).npu() for _ in range(2)]
    gather_cache(*held, table.npu(), torch.tensor([tokens], dtype=torch.int32).npu(), *rows, None, layout)
    same(rows[0], key)
    same(rows[1], value)


def test_blocks_are_copied_and_transposed() -> None:
    before, mapping, ids = noise(torch.float16, 5, 16, 4, 64), torch.tensor([[0, 3]]), torch.tensor([1])
    held = before.npu()
    copy_blocks([held], mapping)
    copied = want(reference.copy_blocks, before, mapping)
    same(held, copied)
    transpose_kv_cache_by_block([held], [held.clone()], ids, 2)
    same(held, want(reference.transpose_kv_cache_by_block, copied, ids, 2))


@pytest.mark.parametrize("dtype", FEW, ids=str)
def test_halves_are_rotated(dtype: torch.dtype) -> None:
    x, angles = noise(dtype, 7, 3, 128), noise(torch.float32, 7, 32)
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    found = apply_rotary_emb(x.npu(), cos.npu(), sin.npu())
    magnitudes = want(reference.rotary_embedding, x, cos, sin, magnitudes=True)
    # Two products and a sum in float32, see rotary_embedding_test.py.
    near(found, want(reference.rotary_embedding, x, cos, sin), 2**-23 * (1 + 2**-24) * magnitudes)
    query, table = x.npu(), torch.cat([cos, sin], -1).npu()
    rotary_embedding(torch.arange(7).npu(), query, None, 128, table, True)
    same(query, found.cpu())


def half(*shape: int) -> torch.Tensor:
    return zeros(*shape, dtype=torch.float16)


def index(*shape: int) -> torch.Tensor:
    return zeros(*shape, dtype=torch.int32)


@pytest.mark.parametrize(
    "make",
    [
        lambda: partial(rotary_embedding, index(3).long(), half(3, 64), None, 64, half(4, 64), False),
        lambda: partial(reshape_and_cache, half(3, 1, 8), None, half(2, 16, 1, 8), None, index(3)),
        lambda: partial(slot_mapping, index(2), index(3), index(1, 4), index(3), 3, 16),
        lambda: partial(
            kv_rmsnorm_rope_cache,
            half(1, 1, 3, 96),
            half(64),
            half(1, 1, 3, 32),
            half(1, 1, 3, 32),
            index(1, 3).long(),
            half(1, 1, 16, 32),
            half(1, 1, 16, 64),
        ),
        lambda: partial(qkv_rmsnorm_rope, half(3, 256), half(64), half(64), 2, 1, 64, 1e-6, cos_sin_cache=half(9, 64), positions=index(3)),
        lambda: partial(qkv_square_sums, half(3, 256), 2, 1, 64),
        lambda: partial(moe_gating_top_k, half(3, 8), 2),
        lambda: partial(moe_gating_top_k_softmax, half(3, 8), None, 2),
        lambda: partial(moe_init_routing, half(3, 8), index(3, 2), index(3, 2), 3),
        lambda: partial(moe_init_routing_v2, half(3, 8), index(3, 2), expert_num=4),
        lambda: partial(moe_token_permute, half(3, 8), index(3, 2)),
        lambda: partial(moe_token_unpermute, half(6, 8), index(6)),
        lambda: partial(moe_finalize_routing, half(6, 8), None, None, None, None, index(6)),
        lambda: partial(moe_compute_expert_tokens, index(6), 4),
    ],
)
def test_refused_by_name_before_a_launch(make: Callable[[], Callable[[], object]]) -> None:
    call = make()
    with launches(0), pytest.raises(ValueError, match=r"Ascend310P3 (has (no|neither) DataCopyPad|runs NeoX style only)"):
        call()
