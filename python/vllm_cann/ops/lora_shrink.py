"""The first half of LoRA: rows times the A of each row's adapter."""

from __future__ import annotations

from collections.abc import Sequence

import torch

import vllm_cann._ops as _ops
from vllm_cann.ops._operator import operator

SLICES = 3
"""The most weights that a launch takes: what the layer of query, key and value has."""

_KERNEL = _ops.Operator("lora_shrink")


def slices(weights: Sequence[torch.Tensor]) -> list[torch.Tensor | None]:
    """The weights as the kernels take them.

    Raises:
        ValueError: their number
    """
    if not 1 <= len(weights) <= SLICES:
        raise ValueError(f"there are {len(weights)} weights; a launch takes 1 to {SLICES}")
    return [*weights, *[None] * (SLICES - len(weights))]


def _results(x: torch.Tensor, weights: Sequence[torch.Tensor], indices: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    return x.new_empty(len(weights), x.shape[0], weights[0].shape[1] if weights and weights[0].dim() == 3 else 0, dtype=torch.float32)


@operator(fake=_results)
def lora_shrink(x: torch.Tensor, weights: Sequence[torch.Tensor], indices: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    """Multiplies each row by the A of its adapter, for one to three slices at once.

    out[s, t, r] = scale * sum over i of x[t, i] * weights[s][indices[t], r, i], in float32. Rows of tokens without an adapter are 0.

    Args:
        x: [tokens, in], float32, float16 or bfloat16, contiguous
        weights: one to three tensors [adapters, rank, in] of the dtype of x, contiguous; any rank up to 65536
        indices: int32 or int64 [tokens]: the adapter of each token, -1 for none. Another number is an error of the device
        scale: a factor

    Returns:
        float32 [slices, tokens, rank]

    Raises:
        ValueError: shapes, dtypes, strides or numbers that do not fit
        RuntimeError: the launch failed
    """
    given = slices(weights)
    if x.dim() != 2:
        raise ValueError(f"x has the shape {tuple(x.shape)}; it must have 2 dimensions")
    out = _results(x, weights, indices)
    _KERNEL(x, *given, indices, out, scale)
    return out
