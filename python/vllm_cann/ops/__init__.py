"""Operators over the extension module: checks that need torch, and torch.library registrations where Dynamo must see them.

Inside an operator that is opaque to Dynamo (attention, the cache update) call these functions; in a model's own code use
``torch.ops.vllm_cann.rotary_embedding``. Operators on caches are in ``vllm_cann.ops.cache``, those of mixtures of experts in
``vllm_cann.ops.moe``, all rotary embeddings in ``vllm_cann.ops.rotary``, and what takes qkv apart in ``vllm_cann.ops.qkv``.
"""

from __future__ import annotations

import functools
from pathlib import Path

import torch

import vllm_cann._ops as _ops
from vllm_cann.ops import cache, moe, qkv, rotary
from vllm_cann.ops.cache import reshape_and_cache
from vllm_cann.ops.rotary import rotary_embedding

__all__ = ["cache", "kernel_directory", "load", "moe", "qkv", "reshape_and_cache", "rotary", "rotary_embedding"]


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
    # A launch over no tokens would load nothing, so one cache slot is written, one head is turned and, where the chip has what routing
    # needs, one row is routed.
    name = torch.npu.get_device_name(device)
    row = torch.zeros(1, 1, 32, dtype=torch.float16, device=device)
    caches = torch.zeros(2, 1, 16, 1, 32, dtype=torch.float16, device=device)
    index = torch.zeros(1, dtype=torch.int64, device=device)
    try:
        reshape_and_cache(row, row, caches[0], caches[1], index)
        rotary_embedding(index, row, None, 32, row[0], True)
        if not name.startswith("Ascend310P"):
            moe.moe_gating_top_k(row[0], 1)
    except RuntimeError as error:
        raise RuntimeError(
            f"vllm_cann's kernels cannot be loaded on {name}: this wheel has no device binaries for it; install one that was "
            f"built with CANN for {name}, or run on SoftNPU (softnpu run -- ...). CANN said: {error}"
        ) from None
