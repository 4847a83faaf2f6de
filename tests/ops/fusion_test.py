"""Rotary operators under the names that others call: torch.ops.vllm."""

from __future__ import annotations

import pytest
import torch
from shared import CHECKS, cos_sin_cache, noise

import vllm_cann.ops.fusion  # noqa: F401  (registers torch.ops.vllm)
from vllm_cann.ops.qkv_rmsnorm_rope import qkv_rmsnorm_rope
from vllm_cann.ops.rotary_embedding import rotary_embedding

TOKENS, POSITIONS = 7, 40


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.equal(one.cpu(), other.cpu())


def positions(dtype: torch.dtype = torch.int64) -> torch.Tensor:
    return torch.randint(0, POSITIONS, (TOKENS,), generator=torch.Generator().manual_seed(3)).to(dtype).npu()


@pytest.mark.parametrize("is_neox", [True, False], ids=["neox", "gptj"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("head_size", "rotary_dim"), [(128, 128), (64, 32), (96, 96)])
@pytest.mark.parametrize("is_flat", [True, False])
def test_rotary_embedding_gives_new_tensors(head_size: int, rotary_dim: int, dtype: torch.dtype, is_neox: bool, is_flat: bool) -> None:
    shapes = [(TOKENS, heads * head_size) if is_flat else (TOKENS, heads, head_size) for heads in (5, 2)]
    query, key = (noise(dtype, *shape).npu() for shape in shapes)
    table, places = cos_sin_cache(dtype, POSITIONS, rotary_dim).npu(), positions()
    before = query.clone(), key.clone()
    found = torch.ops.vllm.npu_rotary_embedding(places, query, key, table, head_size, rotary_dim, is_neox)
    assert same(query, before[0])
    assert same(key, before[1])
    rotary_embedding(places, *before, head_size, table, is_neox)
    for one, wanted in zip(found, before, strict=True):
        assert one.shape == wanted.shape
        assert same(one, wanted)


def test_two_tables_in_one_process() -> None:
    """Angles are those of the call: a draft model with others beside its target."""
    query, key, places = noise(torch.float32, TOKENS, 64).npu(), noise(torch.float32, TOKENS, 64).npu(), positions()
    tables = [cos_sin_cache(torch.float32, POSITIONS, 64).npu(), cos_sin_cache(torch.float32, POSITIONS, 64).flip(0).npu()]
    results = [torch.ops.vllm.npu_rotary_embedding(places, query, key, table, 64, 64, True)[0] for table in (*tables, tables[0])]
    assert same(results[0], results[2])
    assert not same(results[0], results[1])


def test_rotary_embedding_refuses() -> None:
    query, table, places = torch.zeros(TOKENS, 64).npu(), torch.zeros(9, 32).npu(), positions()
    with pytest.raises(ValueError, match="rotary_dim is 64, and cos_sin_cache has 32 elements in a row"):
        torch.ops.vllm.npu_rotary_embedding(places, query, query, table, 64, 64, True)
    with pytest.raises(NotImplementedError, match="offsets of batched rotary embeddings"):
        torch.ops.vllm.npu_rotary_embedding(places, query, query, table, 64, 32, True, offsets=places)
    with pytest.raises(ValueError, match=r"out_dtype is torch\.float8_e4m3fn: floats of 8 bits exist from Ascend 950 on"):
        torch.ops.vllm.npu_rotary_embedding(places, query, query, table, 64, 32, True, out_dtype=torch.float8_e4m3fn)


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize(("head_size", "rotary_dim"), [(128, 128), (64, 32)])
def test_norm_and_rotation(head_size: int, rotary_dim: int, has_bias: bool) -> None:
    heads, kv_heads = 6, 2
    qkv = noise(torch.bfloat16, TOKENS, (heads + 2 * kv_heads) * head_size).npu()
    weights = [noise(torch.bfloat16, head_size, seed=seed).npu() for seed in (1, 2)]
    biases = [noise(torch.bfloat16, head_size, seed=seed).npu() if has_bias else None for seed in (3, 4)]
    table, places = cos_sin_cache(torch.bfloat16, POSITIONS, rotary_dim).npu(), positions(torch.int32)
    found = torch.ops.vllm.qkv_rmsnorm_rope(qkv, table, places, *weights, heads * head_size, kv_heads * head_size, head_size, 1e-6, *biases)
    wanted = qkv_rmsnorm_rope(
        qkv, *weights, heads, kv_heads, head_size, 1e-6, cos_sin_cache=table, positions=places, q_bias=biases[0], k_bias=biases[1]
    )
    for one, other in zip(found, wanted, strict=False):
        assert same(one, other)


def test_norm_and_rotation_refuses() -> None:
    qkv, weight, table = torch.zeros(TOKENS, 256).npu(), torch.zeros(64).npu(), torch.zeros(9, 64).npu()
    with pytest.raises(ValueError, match="head_dim is 64, which does not divide q_hidden_size 100 and kv_hidden_size 64"):
        torch.ops.vllm.qkv_rmsnorm_rope(qkv, table, positions(), weight, weight, 100, 64, 64, 1e-6)


@pytest.mark.parametrize("name", ["npu_rotary_embedding", "qkv_rmsnorm_rope"])
def test_declarations(name: str) -> None:
    query, weight, table, places = (
        noise(torch.float32, TOKENS, 256).npu(),
        torch.ones(64).npu(),
        torch.ones(POSITIONS, 64).npu(),
        positions(),
    )
    arguments = {
        "npu_rotary_embedding": (places, query, query[:, :64].contiguous(), table, 64, 64, True),
        "qkv_rmsnorm_rope": (query, table, places, weight, weight, 128, 64, 64, 1e-6),
    }[name]
    operator = getattr(torch.ops.vllm, name).default
    assert not operator._schema.is_mutable
    torch.library.opcheck(operator, arguments, test_utils=CHECKS)
