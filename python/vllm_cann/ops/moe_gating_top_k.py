"""Chooses the experts of each token and weighs them."""

from __future__ import annotations

import torch

import vllm_cann._ops as _ops
from vllm_cann.ops._operator import operator, size

_KERNEL = _ops.Operator("moe_gating_top_k")


def _as_rows(
    x: torch.Tensor, bias: torch.Tensor | None, finished: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
    """Logits of one token have a `finished` of no dimensions, which a kernel takes for an absent one."""
    if x.dim() == 1 and finished is not None and finished.dim() == 0:
        return x.unsqueeze(0), bias, finished.view(1)
    return x, bias, finished


def _gating_results(x: torch.Tensor, k: int, *, out_flag: bool = False, **_: object) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    y = x.new_empty(*x.shape[:-1], size(k))
    scores = x.new_empty(x.shape if out_flag else (0,), dtype=torch.float32)
    return y, torch.empty_like(y, dtype=torch.int32), scores


@operator(fake=_gating_results)
def moe_gating_top_k(
    x: torch.Tensor,
    k: int,
    *,
    bias: torch.Tensor | None = None,
    finished: torch.Tensor | None = None,
    k_group: int = 1,
    group_count: int = 1,
    group_select_mode: int = 0,
    renorm: int = 0,
    norm_type: int = 0,
    out_flag: bool = False,
    routed_scaling_factor: float = 1.0,
    eps: float = 1e-20,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Chooses k experts of every row and weighs them. Arithmetic in float32, one rounding. Contract of torch_npu.npu_moe_gating_top_k.

    Scores s are the softmax (norm_type 0), the sigmoid (1) or the square root of the softplus (2) of the logits. The k_group best of
    group_count groups of experts take part: a group's score is the largest s + bias of its experts (group_select_mode 0) or the sum of the
    two largest (1). Of their experts those with the k largest s + bias are chosen, in falling order; of equal ones the lower number comes
    first. Weights are the s of the chosen, without bias; with norm_type 1 or renorm 1 divided by their sum + eps; times
    routed_scaling_factor. NaN among the logits of a row leaves open what that row chooses.

    Args:
        x: logits [.., experts], float32, float16 or bfloat16, contiguous; at most 2048 experts, also when groups are rounded up to 32
        k: 1 to k_group * experts / group_count
        bias: [experts], x's dtype
        finished: bool [..]; rows that are true get the expert number `experts`, which is none
        out_flag: give the scores of all experts

    Returns:
        weights [.., k] in x's dtype; experts int32 [.., k]; scores float32 [.., experts], or [0] without out_flag

    Raises:
        ValueError: shapes, dtypes, strides or numbers that do not fit
        RuntimeError: the launch failed
    """
    y, expert_idx, scores = _gating_results(x, k, out_flag=out_flag)
    tensors = (*_as_rows(x, bias, finished), y, expert_idx, None, scores if out_flag else None)
    _KERNEL(*tensors, k, k_group, group_count, group_select_mode, renorm, norm_type, routed_scaling_factor, eps)
    return y, expert_idx, scores


def _softmax_results(
    x: torch.Tensor, finished: object = None, k: int = 1, renorm: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    y = x.new_empty(*x.shape[:-1], size(k))
    return y, torch.empty_like(y, dtype=torch.int32), torch.empty_like(y, dtype=torch.int32)


@operator(fake=_softmax_results)
def moe_gating_top_k_softmax(
    x: torch.Tensor, finished: torch.Tensor | None = None, k: int = 1, renorm: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The k largest of each row's softmax, and numbers of (row, place) for v1 routing. Contract of torch_npu.npu_moe_gating_top_k_softmax.

    Args:
        x: logits [.., experts], float32, float16 or bfloat16, contiguous
        finished: bool [..]; rows that are true get the expert number `experts`, which is none
        k: experts of a row
        renorm: 1: the softmax of the k largest logits instead (npu_moe_gating_top_k_softmax_v2)

    Returns:
        weights [.., k] in x's dtype; experts int32 [.., k]; numbers int32 [.., k]: j * rows + row for place j

    Raises:
        ValueError: shapes, dtypes, strides or numbers that do not fit
        RuntimeError: the launch failed
    """
    y, expert_idx, row_idx = _softmax_results(x, k=k)
    _KERNEL(*_as_rows(x, None, finished), y, expert_idx, row_idx, None, k, 1, 1, 0, renorm, 0, 1.0, 0.0)
    return y, expert_idx, row_idx
