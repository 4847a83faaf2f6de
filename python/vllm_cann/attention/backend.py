"""The attention backend: what vLLM asks before anything runs, and the shape of the paged cache; cache.py knows what lies where in it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from vllm.v1.attention.backend import AttentionBackend
from vllm.v1.kv_cache_interface import (
    AttentionSpec,
    KVCacheConfig,
    KVCacheSpec,
    KVCacheTensor,
    KVQuantMode,
    MLAAttentionSpec,
    UniformTypeKVCacheSpecs,
)
from vllm.v1.kv_cache_layout import KVCacheLayout

if TYPE_CHECKING:
    from vllm_cann.attention.dense import CannAttention
    from vllm_cann.attention.metadata import CannMetadataBuilder

# Tokens of a block. The forms of the fused attention take other sizes, too, but each of them only some; all take this one.
BLOCK_SIZE = 128

# The --kv-cache-dtype of keys and values in int8, and the bytes of the scale that each token and head has.
INT8_CACHE = "int8_per_token_head"
SCALE_BYTES = 4


class PagedBackend(AttentionBackend):
    """What the plugin's backends have in common: a layer's cache is one piece of memory, which the backend lays out by itself."""

    @classmethod
    def supported_kv_cache_layouts(cls) -> tuple[KVCacheLayout, ...]:
        return (KVCacheLayout.LBNHC,)

    @staticmethod
    def get_supported_kernel_block_sizes(kv_cache_spec: KVCacheSpec | None = None) -> list[int | Any]:
        return [BLOCK_SIZE]

    @staticmethod
    def cache_shape(layer: str, spec: KVCacheSpec, blocks: int) -> tuple[int, ...]:
        """The shape of a layer's cache of so many blocks; the dtype is that of the specification.

        Raises:
            ValueError: the layer wants a cache that the backend does not have
        """
        raise NotImplementedError


class CannAttentionBackend(PagedBackend):
    """Attention with a key and a value for each KV head. A cache is [2, blocks, block size, KV heads, head size]: keys, then values.

    With int8, it is a row of bytes, which attention/cache.py cuts.
    """

    supported_dtypes: ClassVar[list[torch.dtype]] = [torch.float16, torch.bfloat16, torch.float32]
    forward_includes_kv_cache_update = False

    @staticmethod
    def get_name() -> str:
        # Has to be a member of vLLM's enumeration; this is the one for plugins.
        return "CUSTOM"

    @staticmethod
    def get_impl_cls() -> type[CannAttention]:
        from vllm_cann.attention.dense import CannAttention

        return CannAttention

    @staticmethod
    def get_builder_cls() -> type[CannMetadataBuilder]:
        from vllm_cann.attention.metadata import CannMetadataBuilder

        return CannMetadataBuilder

    @classmethod
    def supports_sink(cls) -> bool:
        return True

    @classmethod
    def customize_spec(cls, spec: AttentionSpec) -> AttentionSpec:
        """In int8, a key and a value have a scale each."""
        if spec.kv_quant_mode != KVQuantMode.INT8_PER_TOKEN_HEAD or spec.state_content_bytes is not None:
            return spec
        return replace(spec, state_content_bytes=spec.head_size + spec.head_size_v + 2 * SCALE_BYTES)

    @staticmethod
    def cache_shape(layer: str, spec: KVCacheSpec, blocks: int) -> tuple[int, ...]:
        if isinstance(spec, AttentionSpec) and not isinstance(spec, MLAAttentionSpec):
            int8 = spec.kv_quant_mode == KVQuantMode.INT8_PER_TOKEN_HEAD
            row = spec.head_size + SCALE_BYTES if int8 else spec.head_size * spec.dtype.itemsize
            # vLLM has counted the blocks by this size.
            if 2 * spec.block_size * spec.num_kv_heads * row == spec.page_size_bytes:
                shape = (2, blocks * spec.block_size // BLOCK_SIZE, BLOCK_SIZE, spec.num_kv_heads, spec.head_size)
                return (blocks * spec.page_size_bytes,) if int8 else shape
        raise ValueError(
            f"the layer {layer} needs a cache of the kind {type(spec).__name__}, {spec.page_size_bytes} bytes per block; "
            "vllm_cann has caches with a key and a value of one size for each KV head and token only"
        )


def specification(config: KVCacheConfig, layer: str) -> KVCacheSpec:
    """Which cache a layer wants."""
    spec = next(group.kv_cache_spec for group in config.kv_cache_groups if layer in group.layer_names)
    return spec.kv_cache_specs[layer] if isinstance(spec, UniformTypeKVCacheSpecs) else spec


def view_of(memory: torch.Tensor, tensor: KVCacheTensor, layer: str, spec: KVCacheSpec, shape: tuple[int, ...]) -> torch.Tensor:
    """A layer's cache in the memory of all layers. Layers of different groups may have the same part: a block belongs to one of them.

    Args:
        memory: int8 [bytes]
        tensor: where the layers lie
        shape: of the result

    Raises:
        ValueError: blocks of other layers lie between those of this one
    """
    if tensor.block_stride != spec.page_size_bytes:
        raise ValueError(
            f"the blocks of the layer {layer} are to lie {tensor.block_stride} bytes apart, and are of {spec.page_size_bytes} bytes; "
            "vllm_cann has caches whose blocks lie one after another"
        )
    begin = tensor.offset + tensor.layers.index(layer) * tensor.layer_stride
    size = torch.Size(shape).numel() * spec.dtype.itemsize
    return memory[begin : begin + size].view(spec.dtype).view(shape)
