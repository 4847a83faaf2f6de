"""Operators over the extension module: checks that need torch, and torch.library registrations where Dynamo must see them.

Inside an operator that is opaque to Dynamo (attention, the cache update) call these functions; in a model's own code use
``torch.ops.vllm_cann.rotary_embedding``. Operators on caches are in ``vllm_cann.ops.cache``, those of mixtures of experts in
``vllm_cann.ops.moe``.
"""

from __future__ import annotations

import functools
from pathlib import Path

import torch

import vllm_cann._ops as _ops
from vllm_cann.ops import cache, moe
from vllm_cann.ops._arguments import DTYPES, INDEX_DTYPES, check_heads, check_place, code, library, stream
from vllm_cann.ops.cache import reshape_and_cache

__all__ = ["cache", "kernel_directory", "load", "moe", "reshape_and_cache", "rotary_embedding"]


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
    caches = torch.zeros(2, 1, 16, 1, 32, dtype=torch.float16, device=device)
    index = torch.zeros(1, dtype=torch.int64, device=device)
    try:
        reshape_and_cache(row, row, caches[0], caches[1], index)
        rotary_embedding(index, row, None, 32, row[0], True)
        moe.moe_gating_top_k(row[0], 1)
    except RuntimeError as error:
        name = torch.npu.get_device_name(device)
        raise RuntimeError(
            f"vllm_cann's kernels cannot be loaded on {name}: this wheel has no device binaries for it; install one that was "
            f"built with CANN for {name}, or run on SoftNPU (softnpu run -- ...). CANN said: {error}"
        ) from None


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
library.impl("rotary_embedding", rotary_embedding, "PrivateUse1")
torch.library.register_fake("vllm_cann::rotary_embedding", lambda *_: None, lib=library)
