"""Query, key and value from what a model's projection gives: normalised, rotated and taken apart by one launch.

Launches depend on shapes only, so they can be captured in a graph.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

import vllm_cann._ops as _ops
from vllm_cann.ops._arguments import (
    FLOAT_DTYPES,
    INDEX_DTYPES,
    address,
    check_dense,
    check_heads,
    check_place,
    code,
    library,
    prepared,
    stream,
)

_INT64 = 9


def _check_weight(tensor: torch.Tensor, name: str, qkv: torch.Tensor, like: torch.Tensor) -> None:
    check_dense(tensor, name, (1,), qkv)
    if tensor.dtype != qkv.dtype or tensor.shape != like.shape:
        raise ValueError(f"{name} is {tensor.dtype} {tuple(tensor.shape)}; beside qkv, {qkv.dtype}, it is [{like.shape[0]}]")


def _results(
    qkv: torch.Tensor, num_heads: int, num_kv_heads: int, head_size: int, has_gate: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    q = qkv.new_empty(qkv.shape[0], num_heads * head_size)
    k, v = (qkv.new_empty(qkv.shape[0], num_kv_heads * head_size) for _ in range(2))
    return q, k, v, torch.empty_like(q) if has_gate else qkv.new_empty(0)


@prepared
def _prepare(
    qkv: torch.Tensor,
    q_weight: torch.Tensor,
    k_weight: torch.Tensor,
    cos_sin_cache: torch.Tensor | None,
    positions: torch.Tensor | None,
    cos: torch.Tensor | None,
    sin: torch.Tensor | None,
    q_bias: torch.Tensor | None,
    k_bias: torch.Tensor | None,
    square_sums: torch.Tensor | None,
    num_heads: int,
    num_kv_heads: int,
    head_size: int,
    eps: float,
    has_gate: bool,
    norm_value: bool,
    mrope_section: tuple[int, ...] | None,
    mrope_interleaved: bool,
    world_size: int,
) -> _ops.Launch:
    check_place(qkv, "qkv", (2,), qkv)
    check_heads(qkv, "qkv")
    dtype = code(FLOAT_DTYPES, qkv, "qkv")
    for side, weight in (("q", q_weight), ("k", k_weight)):
        _check_weight(weight, f"{side}_weight", qkv, weight)
    if (q_bias is None) != (k_bias is None):
        raise ValueError("q_bias and k_bias come together")
    if q_bias is not None and k_bias is not None:
        _check_weight(q_bias, "q_bias", qkv, q_weight)
        _check_weight(k_bias, "k_bias", qkv, k_weight)
    if mrope_section is not None and len(mrope_section) != 3:
        raise ValueError(f"mrope_section is {list(mrope_section)}; it must have three numbers")
    tokens = qkv.shape[0]
    axes, axis_stride, index = 0, 0, _INT64
    if cos is not None and sin is not None and cos_sin_cache is None and positions is None:
        for tensor, name in ((cos, "cos"), (sin, "sin")):
            check_place(tensor, name, (2,), qkv)
            check_heads(tensor, name)
            if tensor.dtype != qkv.dtype or tensor.shape != cos.shape:
                raise ValueError(f"{name} is {tensor.dtype} {tuple(tensor.shape)}; cos is {tuple(cos.shape)} and qkv {qkv.dtype}")
        if tokens > 1 and cos.stride(0) != sin.stride(0):
            raise ValueError(f"cos has the strides {tuple(cos.stride())}, sin {tuple(sin.stride())}; they must be laid out alike")
        if mrope_section is not None or mrope_interleaved:
            raise ValueError("mrope_section and mrope_interleaved are for positions; cos and sin are those of each token already")
        table, table_stride, rotary_dim = cos, cos.stride(0), 2 * cos.shape[1]
    elif cos_sin_cache is not None and positions is not None and cos is None and sin is None:
        check_dense(cos_sin_cache, "cos_sin_cache", (2,), qkv)
        if cos_sin_cache.dtype != qkv.dtype:
            raise ValueError(f"cos_sin_cache is {cos_sin_cache.dtype}, and qkv {qkv.dtype}")
        check_place(positions, "positions", (1, 2) if mrope_section is not None else (1,), qkv)
        if positions.dim() == 1:
            check_dense(positions, "positions", (1,), qkv)
        else:
            check_heads(positions, "positions")
        index = code(INDEX_DTYPES, positions, "positions")
        if positions.dim() == 2 and positions.shape[0] != 3:
            raise ValueError(f"positions has {positions.shape[0]} axes; there can be three, or one in one dimension")
        if positions.shape[-1] != tokens:
            raise ValueError(f"positions has the shape {tuple(positions.shape)} for {tokens} tokens")
        axes, axis_stride = (1, tokens) if positions.dim() == 1 else (positions.shape[0], positions.stride(0))
        table, table_stride, rotary_dim = cos_sin_cache, cos_sin_cache.shape[1], cos_sin_cache.shape[1]
    else:
        raise ValueError("angles are cos_sin_cache and positions, or cos and sin")
    if square_sums is not None:
        check_dense(square_sums, "square_sums", (2,), qkv)
        if square_sums.dtype != torch.float32 or square_sums.shape != (tokens, 2):
            raise ValueError(f"square_sums is {square_sums.dtype} {tuple(square_sums.shape)}; it must be torch.float32 ({tokens}, 2)")
    if num_heads < 1 or num_kv_heads < 1 or head_size < 1:  # the results have their sizes before the plan sees them
        raise ValueError(f"there are {num_heads} heads of query and {num_kv_heads} of key, of {head_size} elements; all must be positive")
    return _ops.qkv_rmsnorm_rope(
        tokens,
        qkv.shape[1],
        qkv.stride(0),
        num_heads,
        num_kv_heads,
        head_size,
        q_weight.shape[0],
        k_weight.shape[0],
        table.shape[0],
        table_stride,
        rotary_dim,
        axes,
        axis_stride,
        *(mrope_section or (0, 0, 0)),
        mrope_interleaved,
        has_gate,
        q_bias is not None,
        square_sums is not None,
        world_size,
        norm_value,
        eps,
        dtype,
        index,
    )


def qkv_rmsnorm_rope(
    qkv: torch.Tensor,
    q_weight: torch.Tensor,
    k_weight: torch.Tensor,
    num_heads: int,
    num_kv_heads: int,
    head_size: int,
    eps: float,
    *,
    cos_sin_cache: torch.Tensor | None = None,
    positions: torch.Tensor | None = None,
    cos: torch.Tensor | None = None,
    sin: torch.Tensor | None = None,
    q_bias: torch.Tensor | None = None,
    k_bias: torch.Tensor | None = None,
    has_gate: bool = False,
    norm_value: bool = False,
    mrope_section: Sequence[int] | None = None,
    mrope_interleaved: bool = False,
    square_sums: torch.Tensor | None = None,
    world_size: int = 1,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Takes qkv apart; each head of query and key becomes x / sqrt(mean(x^2) + eps) * weight (+ bias), and its first elements are rotated.

    Rotation is NeoX style: element i is paired with i + rotary_dim / 2; the rest of a head stays as it is. Value and gate are copied.
    Arithmetic in float32, one rounding at the end. Contracts of vllm-ascend's qkv_rmsnorm_rope, split_qkv_rmsnorm_mrope,
    split_qkv_rmsnorm_rope_vnorm and split_qkv_tp_rmsnorm_rope, which round between the norm and the rotation, too.

    Args:
        qkv: [tokens, size], each token the heads of query, of key and of value; float32, float16 or bfloat16;
            tokens any step below 2 GiB apart
        q_weight, k_weight: [head size], in qkv's dtype; with square_sums [heads * head size] each, which have to fit into the UB
        num_heads, num_kv_heads: heads of query; of key, and of value
        head_size: elements of a head, at most 2040
        eps: what is added to the mean
        cos_sin_cache: [positions, rotary_dim], cosines then sines, contiguous, qkv's dtype; rotary_dim even, at most head_size,
            with three axes at most 256
        positions: int32 or int64 [tokens]; with mrope_section also [3, tokens]: time, height and width, which may lie apart
        cos, sin: [tokens, rotary_dim / 2] instead of cos_sin_cache and positions, qkv's dtype, rows contiguous and as far apart in both
        q_bias, k_bias: as the weights; both or none
        has_gate: each head of query has a head of gate behind it
        norm_value: value / sqrt(mean(value^2) + eps), without a weight; not with square_sums
        mrope_section, mrope_interleaved: which lanes take which axis of positions, as in rotary_embedding
        square_sums: float32 [tokens, 2], sums of qkv_square_sums over all devices: the mean is that of all heads of query, and of key
        world_size: devices whose sums were added, each with as many heads as this one

    Returns:
        query [tokens, heads * head size], key and value [tokens, KV heads * head size], gate as query or [0], all new and contiguous

    Raises:
        ValueError: shapes, dtypes, strides or numbers that do not fit
        RuntimeError: the launch failed. Positions that cos_sin_cache does not have are errors of the device
    """
    section = None if mrope_section is None else tuple(mrope_section)
    launch = _prepare(
        (qkv, q_weight, k_weight, cos_sin_cache, positions, cos, sin, q_bias, k_bias, square_sums),
        (num_heads, num_kv_heads, head_size, eps, has_gate, norm_value, section, mrope_interleaved, world_size),
    )
    q, k, v, gate = _results(qkv, num_heads, num_kv_heads, head_size, has_gate)
    launch(
        address(positions),
        qkv.data_ptr(),
        q_weight.data_ptr(),
        k_weight.data_ptr(),
        address(q_bias),
        address(k_bias),
        address(cos if cos_sin_cache is None else cos_sin_cache),
        address(sin),
        address(square_sums),
        q.data_ptr(),
        k.data_ptr(),
        v.data_ptr(),
        gate.data_ptr(),
        stream(qkv),
    )
    return q, k, v, gate


@prepared
def _prepare_sums(qkv: torch.Tensor, num_heads: int, num_kv_heads: int, head_size: int, has_gate: bool) -> _ops.Launch:
    check_place(qkv, "qkv", (2,), qkv)
    check_heads(qkv, "qkv")
    dtype = code(FLOAT_DTYPES, qkv, "qkv")
    return _ops.qkv_square_sums(*qkv.shape, qkv.stride(0), num_heads, num_kv_heads, head_size, has_gate, dtype)


def qkv_square_sums(qkv: torch.Tensor, num_heads: int, num_kv_heads: int, head_size: int, has_gate: bool = False) -> torch.Tensor:
    """The sums of squares of all elements of query, and of key, of each token: what a norm over the heads of several devices adds up.

    The first of two launches, as in vllm-ascend's split_qkv_tp_rmsnorm_rope: the caller adds the sums of all devices, and gives them to
    qkv_rmsnorm_rope. Arithmetic in float32.

    Args:
        qkv: [tokens, size], each token the heads of query, of key and of value; float32, float16 or bfloat16; any step between tokens
        num_heads, num_kv_heads: heads of query; of key, and of value
        head_size: elements of a head
        has_gate: each head of query has a head of gate behind it

    Returns:
        float32 [tokens, 2]

    Raises:
        ValueError: shapes, dtypes, strides or numbers that do not fit
        RuntimeError: the launch failed
    """
    launch = _prepare_sums((qkv,), (num_heads, num_kv_heads, head_size, has_gate))
    sums = qkv.new_empty(qkv.shape[0], 2, dtype=torch.float32)
    launch(qkv.data_ptr(), sums.data_ptr(), stream(qkv))
    return sums


library.define(
    "qkv_rmsnorm_rope(Tensor qkv, Tensor q_weight, Tensor k_weight, int num_heads, int num_kv_heads, int head_size, float eps, *, "
    "Tensor? cos_sin_cache=None, Tensor? positions=None, Tensor? cos=None, Tensor? sin=None, Tensor? q_bias=None, Tensor? k_bias=None, "
    "bool has_gate=False, bool norm_value=False, int[]? mrope_section=None, bool mrope_interleaved=False, Tensor? square_sums=None, "
    "int world_size=1) -> (Tensor, Tensor, Tensor, Tensor)"
)
library.define("qkv_square_sums(Tensor qkv, int num_heads, int num_kv_heads, int head_size, bool has_gate=False) -> Tensor")
library.impl("qkv_rmsnorm_rope", qkv_rmsnorm_rope, "PrivateUse1")
library.impl("qkv_square_sums", qkv_square_sums, "PrivateUse1")
torch.library.register_fake(
    "vllm_cann::qkv_rmsnorm_rope",
    lambda qkv, q_weight, k_weight, heads, kv_heads, size, eps, *, has_gate=False, **_: _results(qkv, heads, kv_heads, size, has_gate),
    lib=library,
)
torch.library.register_fake(
    "vllm_cann::qkv_square_sums", lambda qkv, *_, **__: qkv.new_empty(qkv.shape[0], 2, dtype=torch.float32), lib=library
)
