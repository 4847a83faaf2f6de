"""Operators over the extension module: checks that need torch, and torch.library registrations where Dynamo must see them.

Inside an operator that is opaque to Dynamo (attention, the cache update) call these functions; in a model's own code use
``torch.ops.vllm_cann.rotary_embedding``. The operators of mixtures of experts are in ``vllm_cann.ops.moe``.
"""

from __future__ import annotations

import functools
from pathlib import Path

import torch

import vllm_cann._ops as _ops
from vllm_cann.ops import moe
from vllm_cann.ops._arguments import DTYPES, INDEX_DTYPES, check_heads, check_place, code, library, stream

__all__ = ["kernel_directory", "load", "moe", "reshape_and_cache", "rotary_embedding"]


def kernel_directory() -> Path:
    """Where the wheel has its kernel binaries."""
    return Path(__file__).parent.parent / "kernels"


@functools.cache
def load(device: torch.device) -> None:
    """Makes the kernels of this wheel usable on a device.

    Raises:
        RuntimeError: CANN cannot load them; this wheel has none for the chip, for instance
    """
    torch.npu.set_device(device)
    _ops.set_kernel_directory(str(kernel_directory()))
    # A launch over no tokens would load nothing, so one cache slot is written, one head is turned and one row is
    # routed.
    row = torch.zeros(1, 1, 32, dtype=torch.float16, device=device)
    cache = torch.zeros(2, 1, 16, 1, 32, dtype=torch.float16, device=device)
    index = torch.zeros(1, dtype=torch.int64, device=device)
    try:
        reshape_and_cache(row, row, cache[0], cache[1], index)
        rotary_embedding(index, row, None, 32, row[0], True)
        moe.moe_gating_top_k(row[0], 1)
    except RuntimeError as error:
        name = torch.npu.get_device_name(device)
        raise RuntimeError(
            f"vllm_cann's kernels cannot be loaded on {name}: this wheel has no device binaries for it; install one that was "
            f"built with CANN for {name}, or run on SoftNPU (softnpu run -- ...). CANN said: {error}"
        ) from None


def reshape_and_cache(
    key: torch.Tensor,
    value: torch.Tensor,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor,
    slot_mapping: torch.Tensor,
) -> None:
    """Writes keys and values into the paged cache, in place.

    Args:
        key: [tokens, heads, key head size]; float32, float16, bfloat16 or int8; any step between tokens
        value: [tokens, heads, value head size], same dtype
        key_cache: [blocks, block size, heads, key head size], same dtype; any step between blocks
        value_cache: [blocks, block size, heads, value head size]
        slot_mapping: int32 or int64, at least [tokens], contiguous; block * block size + offset, negative: the token is skipped

    Raises:
        ValueError: shapes, dtypes or strides that do not fit
        RuntimeError: the launch failed
    """
    for tensor, name, dims in (
        (key, "key", 3),
        (value, "value", 3),
        (key_cache, "key_cache", 4),
        (value_cache, "value_cache", 4),
        (slot_mapping, "slot_mapping", 1),
    ):
        check_place(tensor, name, (dims,), key)
    tokens, heads, key_size = key.shape
    blocks, block_size = key_cache.shape[:2]
    if (
        value.shape[:2] != key.shape[:2]
        or key_cache.shape[2:] != key.shape[1:]
        or value_cache.shape != (blocks, block_size, heads, value.shape[2])
    ):
        raise ValueError(
            f"key {tuple(key.shape)} and value {tuple(value.shape)} do not fit "
            f"the caches {tuple(key_cache.shape)} and {tuple(value_cache.shape)}"
        )
    if not key.dtype == value.dtype == key_cache.dtype == value_cache.dtype:
        raise ValueError(f"key is {key.dtype}, value {value.dtype}, the caches are {key_cache.dtype} and {value_cache.dtype}")
    if slot_mapping.shape[0] < tokens:
        raise ValueError(f"slot_mapping has {slot_mapping.shape[0]} entries for {tokens} tokens")
    if not slot_mapping.is_contiguous():
        raise ValueError(f"slot_mapping has the strides {slot_mapping.stride()}; it must be contiguous")
    for tensor, name in (
        (key, "key"),
        (value, "value"),
        (key_cache, "key_cache"),
        (value_cache, "value_cache"),
    ):
        check_heads(tensor, name)
    _ops.reshape_and_cache(
        key.data_ptr(),
        value.data_ptr(),
        key_cache.data_ptr(),
        value_cache.data_ptr(),
        slot_mapping.data_ptr(),
        tokens,
        heads,
        key_size,
        value.shape[2],
        blocks,
        block_size,
        key.stride(0),
        value.stride(0),
        key_cache.stride(0),
        value_cache.stride(0),
        code(DTYPES, key, "key"),
        code(INDEX_DTYPES, slot_mapping, "slot_mapping"),
        stream(),
    )


def rotary_embedding(
    positions: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor | None,
    head_size: int,
    cos_sin_cache: torch.Tensor,
    is_neox: bool,
) -> None:
    """Turns the first rotary_dim elements of every head by its token's angle, in place. float32 arithmetic, one rounding.

    Args:
        positions: int32 or int64 [tokens], or [.., ..] with as many elements, contiguous
        query: [tokens, heads * head size] or [tokens, heads, head size]; float32, float16 or bfloat16; any step between tokens
        key: the same with its own number of heads, or None
        head_size: elements of a head
        cos_sin_cache: [positions, rotary_dim], cosines then sines, contiguous, query's dtype
        is_neox: element i is paired with i + rotary_dim / 2; otherwise neighbours are paired

    Raises:
        ValueError: shapes, dtypes or strides that do not fit
        RuntimeError: the launch failed
    """
    check_place(cos_sin_cache, "cos_sin_cache", (2,), query)
    check_place(positions, "positions", (1, 2), query)
    tokens = positions.numel()
    given = [(query, "query")] + ([(key, "key")] if key is not None else [])
    heads = []
    for tensor, name in given:
        check_place(tensor, name, (2, 3), query)
        if tensor.shape[0] != tokens or tensor.dtype != cos_sin_cache.dtype:
            raise ValueError(f"{name} is {tensor.dtype} {tuple(tensor.shape)} for {tokens} positions and a {cos_sin_cache.dtype} table")
        check_heads(tensor, name)
        width = tensor.shape[1] if tensor.dim() == 2 else tensor.shape[1] * tensor.shape[2]
        if width % head_size:
            raise ValueError(f"{name} has {width} elements per token, which are no heads of {head_size}")
        heads.append(width // head_size)
    if not cos_sin_cache.is_contiguous() or not positions.is_contiguous():
        raise ValueError("positions and cos_sin_cache must be contiguous")
    _ops.rotary_embedding(
        positions.data_ptr(),
        query.data_ptr(),
        key.data_ptr() if key is not None else 0,
        cos_sin_cache.data_ptr(),
        tokens,
        heads[0],
        heads[1] if key is not None else 0,
        head_size,
        cos_sin_cache.shape[1],
        cos_sin_cache.shape[0],
        query.stride(0),
        key.stride(0) if key is not None else 0,
        code(DTYPES, query, "query"),
        code(INDEX_DTYPES, positions, "positions"),
        is_neox,
        stream(),
    )


# What Dynamo must see: called from models' own code, so it has a schema that declares the mutation, and a fake.
library.define(
    "rotary_embedding(Tensor positions, Tensor(a!) query, Tensor(b!)? key, int head_size, Tensor cos_sin_cache, bool is_neox) -> ()"
)
library.define("reshape_and_cache(Tensor key, Tensor value, Tensor(a!) key_cache, Tensor(b!) value_cache, Tensor slot_mapping) -> ()")
library.impl("rotary_embedding", rotary_embedding, "PrivateUse1")
library.impl("reshape_and_cache", reshape_and_cache, "PrivateUse1")
torch.library.register_fake("vllm_cann::rotary_embedding", lambda *_: None, lib=library)
torch.library.register_fake("vllm_cann::reshape_and_cache", lambda *_: None, lib=library)
