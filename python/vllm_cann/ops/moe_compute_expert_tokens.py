"""Counts the entries of a sorted list of experts."""

from __future__ import annotations

import torch

import vllm_cann._ops as _ops
from vllm_cann.ops._operator import operator, size

_KERNEL = _ops.Operator("moe_compute_expert_tokens")


def _results(sorted_experts: torch.Tensor, num_expert: int) -> torch.Tensor:
    return sorted_experts.new_empty(size(num_expert))


@operator(fake=_results)
def moe_compute_expert_tokens(sorted_experts: torch.Tensor, num_expert: int) -> torch.Tensor:
    """For each expert the number of entries that are not above it. Contract of torch_npu.npu_moe_compute_expert_tokens.

    Args:
        sorted_experts: int32 [entries], in rising order (not checked), contiguous
        num_expert: at most 2048

    Returns:
        int32 [num_expert]

    Raises:
        ValueError: a shape, dtype or number that does not fit
        RuntimeError: the launch failed
    """
    out = _results(sorted_experts, num_expert)
    _KERNEL(sorted_experts, out)
    return out
