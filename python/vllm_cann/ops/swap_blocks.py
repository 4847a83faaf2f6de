"""Copies cache blocks between devices and host memory."""

from __future__ import annotations

import torch

import vllm_cann._ops as _ops
from vllm_cann.ops._operator import operator

_COPY = _ops.Operator("swap_blocks")


@operator(mutates=("dst",), on_host=True)
def swap_blocks(src: torch.Tensor, dst: torch.Tensor, mapping: torch.Tensor) -> None:
    """Copies block mapping[i, 0] of src over block mapping[i, 1] of dst, between devices and host, without waiting.

    Contract of vllm-ascend's swap_blocks, which takes a block number equal to the number of blocks; here it is refused.

    Args:
        src, dst: [blocks, ..], the same block shape and dtype; one at least on an NPU; blocks contiguous. Host memory should be pinned, and
            has to stay as it is until the stream has come this far
        mapping: int64 [pairs, 2] on the host; pairs are copied in their order

    Raises:
        ValueError: caches that do not fit, and blocks that there are not, before anything is copied
        RuntimeError: a copy failed
    """
    _COPY(src, dst, mapping.contiguous())
