"""The second half of LoRA: what shrink made, times the B of each token's adapter, added to slices of rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch

import vllm_cann._ops as _ops
from vllm_cann.ops._operator import operator
from vllm_cann.ops.lora_shrink import slices

RANKS = (8, 16, 32, 64, 128)
"""Those that the kernels have."""

_KERNEL = _ops.Operator("lora_expand")


@operator(mutates=("y",))
def lora_expand(
    y: torch.Tensor, h: torch.Tensor, weights: Sequence[torch.Tensor], indices: torch.Tensor, offset: int = 0, adds: bool = True
) -> None:
    """Adds to slices of each row the product of its h with the B of its adapter, in place.

    y[t, o_s + i] += sum over r of h[s, t, r] * weights[s][indices[t], i, r], in float32 with one rounding. The slices follow each other
    from `offset` on. Columns of no slice, and rows of tokens without an adapter, are not touched.

    Args:
        y: [tokens, columns], float32, float16 or bfloat16; rows are contiguous, with any step between them
        h: float32 [slices, tokens, rank], contiguous
        weights: one to three tensors [adapters, columns of the slice, rank] of the dtype of y, contiguous; a rank of RANKS
        indices: int32 or int64 [tokens]: the adapter of each token, -1 for none. Another number is an error of the device
        offset: the column at which the first slice begins
        adds: False: y = ..., which is 0 in the slices of a token without an adapter

    Raises:
        ValueError: shapes, dtypes, strides or numbers that do not fit
        RuntimeError: the launch failed
    """
    _KERNEL(h, *slices(weights), indices, y, offset, adds)
