"""Rows to int8 and products of int8, for results of each type.

The device's operators give float16 and bfloat16. Results in float32, which they do not give, are made of the exact sums by torch, in
the same order: sums, times the scale of the column, times the scale of the row.
"""

from __future__ import annotations

import torch
import torch_npu

_STEPS = 127  # of the largest magnitude of a row


def quantise_rows(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows by their own scales, the largest magnitude of each by 127.

    Args:
        x: [rows, size]

    Returns:
        int8 [rows, size], float32 [rows]: x is about their product
    """
    if x.dtype != torch.float32:
        return torch_npu.npu_dynamic_quant(x)
    scale = x.abs().amax(-1) / _STEPS
    # A row of zeros has no scale.
    divisor = scale.clamp(min=torch.finfo(torch.float32).tiny)
    return (x / divisor.unsqueeze(-1)).round().to(torch.int8), scale


class StaticQuantiser:
    """Numbers by a scale that the checkpoint has: x / scale + offset, to nearest even."""

    def __init__(self, scale: torch.Tensor, offset: torch.Tensor | None, dtype: torch.dtype) -> None:
        """
        Args:
            scale: float32 [1]
            offset: [1], whole numbers, or None
            dtype: of x
        """
        # The operator takes a scale of the rows' type; where that would change it, the rows are widened. A device read, when loading.
        self._widens = bool((scale.to(dtype).float() != scale).any())
        self._scale = scale if self._widens else scale.to(dtype)
        narrow = torch.bfloat16 if self._scale.dtype == torch.bfloat16 else torch.int32
        self._offset = None if offset is None else offset.to(narrow)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """[rows, size] to int8."""
        return torch_npu.npu_quantize(x.float() if self._widens else x, self._scale, self._offset, torch.qint8, -1, True)


def multiply(
    rows: torch.Tensor,
    weight: torch.Tensor,
    scale: torch.Tensor,
    row_scale: torch.Tensor | None,
    bias: torch.Tensor | None,
    dtype: torch.dtype,
) -> torch.Tensor:
    """rows @ weight.T, scaled.

    Args:
        rows: int8 [rows, size]
        weight: int8 [columns, size], which the operator reads as it lies
        scale: float32 [columns], or int64 packed ones for float16 without row_scale
        row_scale: float32 [rows]
        bias: [columns], int32 (added to the sums) or floating
        dtype: of the result

    Returns:
        [rows, columns]
    """
    if dtype != torch.float32:
        return torch_npu.npu_quant_matmul(rows, weight.t(), scale, pertoken_scale=row_scale, bias=bias, output_dtype=dtype)
    whole = bias if bias is not None and bias.dtype == torch.int32 else None
    out = torch_npu.npu_quant_matmul(rows, weight.t(), scale, bias=whole, output_dtype=torch.int32).float() * scale
    if row_scale is not None:
        out = out * row_scale.unsqueeze(-1)
    return out if bias is whole else out + bias


def multiply_groups(
    rows: torch.Tensor, row_scale: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor, sums: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """Each group of rows times its expert's matrix, scaled.

    Args:
        rows: int8 [rows, size]
        row_scale: float32 [rows]
        weight: int8 [experts, columns, size]
        scale: [experts, columns], bfloat16 for results in bfloat16, otherwise float32
        sums: int64 [experts], the running sums of rows
        dtype: of the result

    Returns:
        [rows, columns]
    """
    wide = dtype == torch.float32
    [out] = torch_npu.npu_grouped_matmul(
        [rows],
        [weight.transpose(1, 2)],
        scale=None if wide else [scale],
        per_token_scale=None if wide else [row_scale],
        group_list=sums,
        split_item=2,
        group_type=0,
        group_list_type=0,
        output_dtype=torch.int32 if wide else dtype,
    )
    if not wide:
        return out
    # The expert of a row is the number of groups that end at or before it.
    expert = (torch.arange(rows.shape[0], device=rows.device).unsqueeze(-1) >= sums).sum(-1)
    return out.float() * scale[expert] * row_scale.unsqueeze(-1)
