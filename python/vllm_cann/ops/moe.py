"""Operators of mixtures of experts: who computes what, and the rows that go there and back.

Each is registered as ``torch.ops.vllm_cann.<name>``, with a fake, and allocates its outputs. None of them reads the contents of a tensor on
the host: launches depend on shapes only, so they can be captured in a graph.
"""

from __future__ import annotations

import torch

import vllm_cann._ops as _ops
from vllm_cann.ops._arguments import FLOAT_DTYPES, address, check_dense, code, library, stream


def _gate(
    x: torch.Tensor,
    k: int,
    bias: torch.Tensor | None,
    finished: torch.Tensor | None,
    row_idx: bool,
    k_group: int,
    group_count: int,
    group_select_mode: int,
    renorm: int,
    norm_type: int,
    out_flag: bool,
    routed_scaling_factor: float,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor]:
    check_dense(x, "x", tuple(range(1, 9)), x)
    rows, experts = x.numel() // max(1, x.shape[-1]), x.shape[-1]
    if bias is not None:
        check_dense(bias, "bias", (1,), x)
        if bias.dtype != x.dtype or bias.shape[0] != experts:
            raise ValueError(f"bias is {bias.dtype} {tuple(bias.shape)} for {x.dtype} logits of {experts} experts")
    if finished is not None:
        check_dense(finished, "finished", (x.dim() - 1,), x)
        if finished.dtype != torch.bool or finished.shape != x.shape[:-1]:
            raise ValueError(f"finished is {finished.dtype} {tuple(finished.shape)} for logits of the shape {tuple(x.shape)}")
    dtype = code(FLOAT_DTYPES, x, "x")
    if k < 1:
        raise ValueError(f"k is {k}; it must be positive")
    y = x.new_empty(*x.shape[:-1], k)
    expert_idx = torch.empty_like(y, dtype=torch.int32)
    numbers = torch.empty_like(expert_idx) if row_idx else None
    scores = torch.empty_like(x, dtype=torch.float32) if out_flag else x.new_empty(0, dtype=torch.float32)
    _ops.moe_gating_top_k(
        x.data_ptr(),
        address(bias),
        address(finished),
        y.data_ptr(),
        expert_idx.data_ptr(),
        address(numbers),
        scores.data_ptr() if out_flag else 0,
        rows,
        experts,
        k,
        bias is not None,
        finished is not None,
        row_idx,
        out_flag,
        k_group,
        group_count,
        group_select_mode,
        renorm,
        norm_type,
        routed_scaling_factor,
        eps,
        dtype,
        stream(),
    )
    return y, expert_idx, numbers, scores


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
    y, expert_idx, _, scores = _gate(
        x,
        k,
        bias,
        finished,
        False,
        k_group,
        group_count,
        group_select_mode,
        renorm,
        norm_type,
        out_flag,
        routed_scaling_factor,
        eps,
    )
    return y, expert_idx, scores


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
    y, expert_idx, numbers, _ = _gate(x, k, None, finished, True, 1, 1, 0, renorm, 0, False, 1.0, 0.0)
    assert numbers is not None
    return y, expert_idx, numbers


def _fake_gating(x, k, *, out_flag=False, **_):  # type: ignore[no-untyped-def]
    y = x.new_empty(*x.shape[:-1], k)
    return y, torch.empty_like(y, dtype=torch.int32), x.new_empty(x.shape if out_flag else (0,), dtype=torch.float32)


def _fake_softmax(x, finished=None, k=1, renorm=0):  # type: ignore[no-untyped-def]
    y = x.new_empty(*x.shape[:-1], k)
    return y, torch.empty_like(y, dtype=torch.int32), torch.empty_like(y, dtype=torch.int32)


def _register(schema: str, function, fake) -> None:  # type: ignore[no-untyped-def]
    name = schema.split("(")[0]
    library.define(schema)
    library.impl(name, function, "PrivateUse1")
    torch.library.register_fake(f"vllm_cann::{name}", fake, lib=library)


_register(
    "moe_gating_top_k(Tensor x, int k, *, Tensor? bias=None, Tensor? finished=None, int k_group=1, int group_count=1, "
    "int group_select_mode=0, int renorm=0, int norm_type=0, bool out_flag=False, float routed_scaling_factor=1.0, float eps=1e-20) "
    "-> (Tensor, Tensor, Tensor)",
    moe_gating_top_k,
    _fake_gating,
)
_register(
    "moe_gating_top_k_softmax(Tensor x, Tensor? finished=None, int k=1, int renorm=0) -> (Tensor, Tensor, Tensor)",
    moe_gating_top_k_softmax,
    _fake_softmax,
)
