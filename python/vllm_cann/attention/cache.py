"""How keys and values of a layer are kept: as they are, or in int8 with a scale for each token and head.

Both kinds write a step's keys and values, copy those of a request, and give what the fused operator reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch

from vllm_cann.attention.backend import BLOCK_SIZE, SCALE_BYTES
from vllm_cann.int8 import quantise_rows
from vllm_cann.ops.reshape_and_cache import reshape_and_cache

# The fused operator's name for scales of tokens and heads that lie in blocks, as int8 itself does.
_SCALES_IN_BLOCKS = 5


class Cache(Protocol):
    """What attention asks of a kind of cache. `cache` is a layer's memory in the shape that the backend states."""

    takes_several: bool
    """Whether the fused operator reads the cache for more than one query of a request."""

    def write(self, cache: torch.Tensor, key: torch.Tensor, value: torch.Tensor, slots: torch.Tensor) -> None:
        """Writes keys and values [tokens, KV heads, head size] to slots [tokens]."""

    def gather(self, cache: torch.Tensor, blocks: torch.Tensor, length: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """Copies of the first `length` keys and values in these blocks (int32 [blocks], on the device).

        Returns:
            keys and values, each [length, KV heads, head size]
        """

    def operands(self, cache: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
        """For the fused operator: keys and values, each [blocks, block size, KV heads * head size], and further arguments."""


class PlainCache:
    """Keys and values in the model's type: [2, blocks, block size, KV heads, head size]."""

    takes_several = True

    def write(self, cache: torch.Tensor, key: torch.Tensor, value: torch.Tensor, slots: torch.Tensor) -> None:
        keys, values = cache.unbind(0)
        reshape_and_cache(key, value, keys, values, slots)

    def gather(self, cache: torch.Tensor, blocks: torch.Tensor, length: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        keys, values = cache.index_select(1, blocks).flatten(1, 2)[:, :length].unbind(0)
        return keys, values

    def operands(self, cache: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
        keys, values = cache.flatten(3).unbind(0)
        return keys, values, {}


@dataclass(frozen=True)
class _Parts:
    """Views of a layer's memory: int8 [blocks, block size, KV heads, head size], float32 [blocks, KV heads, block size, 1]."""

    keys: torch.Tensor
    values: torch.Tensor
    key_scales: torch.Tensor
    value_scales: torch.Tensor


class Int8Cache:
    """Keys and values in int8, by the largest magnitude of each token and head. All keys, all values, the scales of keys, of values.

    The memory is int8 [bytes]; it is cut once, as a layer keeps its memory.
    """

    takes_several = False

    def __init__(self, heads: int, size: int) -> None:
        self._heads, self._size = heads, size
        self._of: torch.Tensor | None = None

    def _parts(self, cache: torch.Tensor) -> _Parts:
        if self._of is not cache:
            cell = self._size + SCALE_BYTES
            cells = cache.shape[0] // (2 * cell)
            blocks = cells // (self._heads * BLOCK_SIZE)
            keys, values, key_scales, value_scales = cache.split(2 * [cells * self._size] + 2 * [cells * SCALE_BYTES])
            shape, scale_shape = (blocks, BLOCK_SIZE, self._heads, self._size), (blocks, self._heads, BLOCK_SIZE, 1)
            self._cut = _Parts(
                keys.view(shape),
                values.view(shape),
                key_scales.view(torch.float32).view(scale_shape),
                value_scales.view(torch.float32).view(scale_shape),
            )
            self._of = cache
        return self._cut

    def write(self, cache: torch.Tensor, key: torch.Tensor, value: torch.Tensor, slots: torch.Tensor) -> None:
        parts = self._parts(cache)
        (keys, key_scales), (values, value_scales) = (quantise_rows(rows.reshape(-1, self._size)) for rows in (key, value))
        shape, scale_shape = (-1, self._heads, self._size), (-1, self._heads, 1)
        reshape_and_cache(keys.view(shape), values.view(shape), parts.keys, parts.values, slots)
        reshape_and_cache(key_scales.view(scale_shape), value_scales.view(scale_shape), parts.key_scales, parts.value_scales, slots, "HND")

    def gather(self, cache: torch.Tensor, blocks: torch.Tensor, length: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        parts = self._parts(cache)
        pairs = ((parts.keys, parts.key_scales), (parts.values, parts.value_scales))
        keys, values = (
            (
                rows.index_select(0, blocks).flatten(0, 1)[:length] * scales.index_select(0, blocks).transpose(1, 2).flatten(0, 1)[:length]
            ).to(dtype)
            for rows, scales in pairs
        )
        return keys, values

    def operands(self, cache: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, dict[str, Any]]:
        parts = self._parts(cache)
        scales = {"key_antiquant_scale": parts.key_scales.squeeze(-1), "value_antiquant_scale": parts.value_scales.squeeze(-1)}
        modes = {"key_antiquant_mode": _SCALES_IN_BLOCKS, "value_antiquant_mode": _SCALES_IN_BLOCKS}
        return parts.keys.flatten(2), parts.values.flatten(2), scales | modes
