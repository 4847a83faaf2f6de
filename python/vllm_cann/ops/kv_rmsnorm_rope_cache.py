"""Normalises, rotates and caches the latent rows of multi-head latent attention."""

from __future__ import annotations

import torch

import vllm_cann._ops as _ops
from vllm_cann.ops._operator import operator

_KERNEL = _ops.Operator("kv_rmsnorm_rope_cache")


def _results(
    kv: torch.Tensor, gamma: torch.Tensor, cos: torch.Tensor, *_: object, is_output_kv: bool = False, **__: object
) -> tuple[torch.Tensor, torch.Tensor]:
    shapes = (cos.shape, (*kv.shape[:-1], gamma.shape[0])) if is_output_kv else ((0,), (0,))
    return kv.new_empty(shapes[0]), kv.new_empty(shapes[1])


@operator(fake=_results, mutates=("k_cache", "ckv_cache"))
def kv_rmsnorm_rope_cache(
    kv: torch.Tensor,
    gamma: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    index: torch.Tensor,
    k_cache: torch.Tensor,
    ckv_cache: torch.Tensor,
    *,
    k_rope_scale: torch.Tensor | None = None,
    c_kv_scale: torch.Tensor | None = None,
    k_rope_offset: torch.Tensor | None = None,
    c_kv_offset: torch.Tensor | None = None,
    epsilon: float = 1e-5,
    cache_mode: str = "Norm",
    is_output_kv: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalises, rotates and caches the latent rows of multi-head latent attention. Contract of torch_npu.npu_kv_rmsnorm_rope_cache.

    The first n elements of a row are divided by the root of the mean of their squares plus epsilon and multiplied by gamma; the other r are
    pairs of neighbours, which are rotated; the first elements of all pairs come first. Arithmetic in float32, one rounding.

    Args:
        kv: [sequences, 1, tokens, n + r]; float32, float16 or bfloat16; any step between tokens
        gamma: [n], kv's dtype
        cos, sin: [sequences, 1, tokens, r], kv's dtype, contiguous
        index: int64; [sequences, tokens] rows of the sequence's own block (Norm), [sequences * tokens] slots (PA, PA_BNSD, PA_NZ), or the
            first slots of the pages of all sequences (PA_BLK_BNSD, PA_BLK_NZ); negative or beyond the cache: not cached
        k_cache: rotated parts, in kv's dtype or int8: [sequences, 1, rows, r] (Norm), [blocks, block size, 1, r] (PA, ..BNSD) or
            [blocks, r / w, block size, 1, w] with w elements in 32 bytes (..NZ); written
        ckv_cache: normalised parts, the same with n
        k_rope_scale, k_rope_offset, c_kv_scale, c_kv_offset: float32 [r] and [n]: an int8 cache takes round(x * scale + offset), clipped
        is_output_kv: give the results back, too

    Returns:
        rotated parts [sequences, 1, tokens, r] and normalised parts [.., n] in kv's dtype; both [0] without is_output_kv

    Raises:
        ValueError: shapes, dtypes, strides or numbers that do not fit
        RuntimeError: the launch failed
    """
    if kv.dim() != 4 or gamma.dim() != 1:
        raise ValueError(f"kv has the shape {tuple(kv.shape)}, gamma {tuple(gamma.shape)}; they must be [sequences, 1, tokens, size], [n]")
    k_rope, c_kv = _results(kv, gamma, cos, is_output_kv=is_output_kv)
    scales = (k_rope_scale, c_kv_scale, k_rope_offset, c_kv_offset)
    results = (k_rope, c_kv) if is_output_kv else (None, None)
    _KERNEL(kv, gamma, cos, sin, index, k_cache, ckv_cache, *scales, *results, cache_mode, epsilon)
    return k_rope, c_kv
