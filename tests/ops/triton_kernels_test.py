"""The rotary contracts as Triton kernels, in Triton's interpreter on the host, against the AscendC kernels."""

from __future__ import annotations

import os

# Before a kernel is declared.
os.environ["TRITON_INTERPRET"] = "1"

from collections.abc import Iterator

import pytest
import torch
from shared import MANTISSA_BITS, cos_sin_cache, noise

from vllm_cann.ops.qkv_rmsnorm_rope import qkv_rmsnorm_rope
from vllm_cann.ops.rotary_embedding import rotary_embedding
from vllm_cann.triton_kernels.rope import rope_forward_triton, split_qkv_rmsnorm_rope

POSITIONS = 300


def positions(tokens: int) -> torch.Tensor:
    return torch.randint(0, POSITIONS, (tokens,), generator=torch.Generator().manual_seed(tokens))


def assert_same(found: torch.Tensor, wanted: torch.Tensor, magnitude: float) -> None:
    """Both calculate in float32 and round once, each product in its own order: half a unit in the last place each."""
    bits = MANTISSA_BITS[wanted.dtype]
    torch.testing.assert_close(found.float(), wanted.float(), rtol=2.0**-bits, atol=2.0**-20 * magnitude)


SHAPES = [(1, 2, 1), (4, 5, 1), (8, 64, 1), (16, 96, 8)]
SIZES = [(64, 32), (64, 64), (128, 96), (128, 128), (96, 2), (80, 34), (256, 256)]


@pytest.mark.parametrize("by_position", [True, False], ids=["table", "angles"])
@pytest.mark.parametrize("is_neox", [True, False], ids=["neox", "gptj"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(("head_size", "rope_dim"), SIZES)
@pytest.mark.parametrize(("tokens", "heads", "kv_heads"), SHAPES)
def test_rope(
    tokens: int, heads: int, kv_heads: int, head_size: int, rope_dim: int, dtype: torch.dtype, is_neox: bool, by_position: bool
) -> None:
    if tokens == 16 and (dtype == torch.float16 or head_size > 128):
        pytest.skip("the interpreter takes seconds")
    q, k = noise(dtype, tokens, heads, head_size), noise(dtype, tokens, kv_heads, head_size, seed=1)
    table, places = cos_sin_cache(dtype, POSITIONS, rope_dim), positions(tokens)
    wanted = q.npu(), k.npu()
    rotary_embedding(places.npu(), *wanted, head_size, table.npu(), is_neox)
    if by_position:
        found = rope_forward_triton(q, k, cos_sin_cache=table, positions=places, rope_dim=rope_dim, is_neox_style=is_neox)
    else:
        cos, sin = table[places].chunk(2, -1)
        found = rope_forward_triton(q, k, cos, sin, is_neox_style=is_neox)
    for one, other, given in zip(found, wanted, (q, k), strict=True):
        assert one.data_ptr() == given.data_ptr()
        assert_same(one, other.cpu(), 8.0)


def test_rope_copies_heads_that_lie_apart() -> None:
    q, k = noise(torch.float32, 3, 2, 64)[..., :32], noise(torch.float32, 3, 1, 32)
    before = q.clone()
    table, places = cos_sin_cache(torch.float32, POSITIONS, 32), positions(3)
    found, _ = rope_forward_triton(q, k, cos_sin_cache=table, positions=places, rope_dim=32)
    assert torch.equal(q, before)
    wanted = before.npu()
    rotary_embedding(places.npu(), wanted, None, 32, table.npu(), True)
    assert_same(found, wanted.cpu(), 8.0)


def bad_calls() -> Iterator[tuple[dict, str]]:
    table = torch.zeros(9, 32)
    yield {}, "angles are missing"
    yield (
        {"cos_sin_cache": table, "positions": torch.zeros(5, dtype=torch.int64), "rope_dim": 16},
        "rope_dim is 16, and cos_sin_cache has 32",
    )
    yield {"cos_sin_cache": table, "positions": torch.zeros(4, dtype=torch.int64), "rope_dim": 32}, "4 positions for 5 tokens"
    yield {"cos": torch.zeros(5, 17), "sin": torch.zeros(5, 17)}, "rope_dim is 34; it must be even and at most the head size, 32"
    yield {"cos": torch.zeros(4, 16), "sin": torch.zeros(4, 16)}, r"cos has the shape \(4, 16\) for rope_dim 32 and 5 tokens"


@pytest.mark.parametrize(("arguments", "sentence"), bad_calls(), ids=lambda one: "" if isinstance(one, dict) else one[:20])
def test_rope_refuses(arguments: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        rope_forward_triton(torch.zeros(5, 2, 32), torch.zeros(5, 1, 32), **arguments)


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("head_size", "rope_dim"), [(128, 128), (64, 32), (80, 34), (96, 96)])
@pytest.mark.parametrize(("tokens", "heads", "kv_heads"), [(1, 12, 1), (3, 4, 2)])
def test_split_norm_rope(tokens: int, heads: int, kv_heads: int, head_size: int, rope_dim: int, dtype: torch.dtype, has_bias: bool) -> None:
    qkv = noise(dtype, tokens, (heads + 2 * kv_heads) * head_size)
    weights = noise(dtype, head_size, seed=2), noise(dtype, head_size, seed=3)
    biases = (noise(dtype, head_size, seed=4), noise(dtype, head_size, seed=5)) if has_bias else (None, None)
    table, places = cos_sin_cache(dtype, POSITIONS, rope_dim), positions(tokens)
    on_device = [None if one is None else one.npu() for one in biases]
    wanted = qkv_rmsnorm_rope(
        qkv.npu(),
        *(one.npu() for one in weights),
        *(heads, kv_heads, head_size, 1e-6),
        cos_sin_cache=table.npu(),
        positions=places.npu(),
        q_bias=on_device[0],
        k_bias=on_device[1],
    )
    found = split_qkv_rmsnorm_rope(qkv, table, places, *weights, heads * head_size, kv_heads * head_size, head_size, 1e-6, *biases)
    for one, other in zip(found, wanted, strict=False):
        # Weights and normalised elements are below 5.
        assert_same(one, other.cpu(), 2 * 5 * 5.0)
    assert torch.equal(found[2], wanted[2].cpu())


def test_split_norm_rope_refuses() -> None:
    weight, table, places = torch.zeros(64), torch.zeros(9, 64), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(ValueError, match="rows of 100 elements are no heads of 64: 128 of query, 2 \\* 64"):
        split_qkv_rmsnorm_rope(torch.zeros(2, 100), table, places, weight, weight, 128, 64, 64, 1e-6)
    with pytest.raises(ValueError, match="rotary_dim is 64; it must be even and at most head_dim, 32"):
        split_qkv_rmsnorm_rope(torch.zeros(2, 128), table, places, weight, weight, 64, 32, 32, 1e-6)
    with pytest.raises(ValueError, match="of q_bias and k_bias only one is given"):
        split_qkv_rmsnorm_rope(torch.zeros(2, 256), table, places, weight, weight, 128, 64, 64, 1e-6, q_bias=weight)
