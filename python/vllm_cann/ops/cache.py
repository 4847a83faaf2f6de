"""Operators on paged KV caches.

A cache is [blocks, block size, heads, head size] ("ND"), [blocks, heads, block size, head size] ("HND") or
[blocks, heads * head size / n, block size, n] ("NZ", n elements being 32 bytes). Blocks are contiguous; any step between blocks will do.
The slot of place p in block b is b * block size + p.

Each operator is registered as ``torch.ops.vllm_cann.<name>``, with its mutations declared and a fake. None waits for the device; launches
depend on shapes only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch

import vllm_cann._ops as _ops
from vllm_cann.ops._arguments import (
    DTYPES,
    FLOAT_DTYPES,
    INDEX_DTYPES,
    address,
    check_current,
    check_dense,
    check_heads,
    check_place,
    code,
    library,
    prepared,
    stream,
)

_LAYOUTS = {"ND": 0, "HND": 1, "NZ": 2}
_MOVED = {**DTYPES, torch.uint8: 4, torch.int32: 3}  # what is only moved
_CACHED = {**FLOAT_DTYPES, torch.int8: 2}
_INT32 = {torch.int32: 3}
_INT64 = {torch.int64: 9}


def _layout(layout: str) -> int:
    if layout not in _LAYOUTS:
        raise ValueError(f"the layout is {layout!r}; there are {', '.join(_LAYOUTS)}")
    return _LAYOUTS[layout]


def _cache_shape(layout: str, blocks: int, block_size: int, heads: int, size: int, element: int) -> tuple[int, ...]:
    if layout == "HND":
        return blocks, heads, block_size, size
    if layout == "NZ":
        return blocks, heads * size * element // 32, block_size, 32 // element
    return blocks, block_size, heads, size


def _block_size(shape: torch.Size, layout: str) -> int:
    return shape[1 if layout == "ND" else 2]


def _check_cache(cache: torch.Tensor, name: str, layout: str, rows: torch.Tensor, rows_name: str) -> None:
    """`rows` are [.., heads, head size]."""
    check_place(cache, name, (4,), rows)
    check_heads(cache, name)
    shape, (heads, size) = cache.shape, rows.shape[-2:]
    wanted = _cache_shape(layout, shape[0], _block_size(shape, layout), heads, size, rows.element_size())
    if shape != wanted or cache.dtype != rows.dtype:
        raise ValueError(
            f"{name} is {cache.dtype} {tuple(shape)}; for {rows_name}, {rows.dtype} {tuple(rows.shape)}, a cache in {layout} is {wanted}"
        )


def _indices(tensor: torch.Tensor, name: str, dims: int, other: torch.Tensor, table: dict[torch.dtype, int]) -> int:
    check_dense(tensor, name, (dims,), other)
    return code(table, tensor, name)


@prepared
def _prepare_reshape(
    key: torch.Tensor,
    value: torch.Tensor | None,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor | None,
    slot_mapping: torch.Tensor,
    layout: str,
) -> _ops.Launch:
    number = _layout(layout)
    heads = key.shape[1] if key.dim() > 1 else 0
    if (value is None) != (value_cache is None):
        raise ValueError("value and value_cache go together: one of them is None")
    given = [(key, key_cache, "key")] + ([(value, value_cache, "value")] if value is not None and value_cache is not None else [])
    for rows, cache, name in given:
        check_place(rows, name, (3,), key)
        check_heads(rows, name)
        if rows.shape[:2] != key.shape[:2] or rows.dtype != key.dtype:
            raise ValueError(f"{name} is {rows.dtype} {tuple(rows.shape)}, but key is {key.dtype} {tuple(key.shape)}")
        _check_cache(cache, f"{name}_cache", layout, rows, name)
    index = _indices(slot_mapping, "slot_mapping", 1, key, INDEX_DTYPES)
    # vLLM pads either: keys to the size of a graph, slots to the size of their buffer.
    tokens = min(key.shape[0], slot_mapping.shape[0])
    blocks, block_size = key_cache.shape[0], _block_size(key_cache.shape, layout)
    if value_cache is not None and (value_cache.shape[0] != blocks or _block_size(value_cache.shape, layout) != block_size):
        raise ValueError(f"the caches {tuple(key_cache.shape)} and {tuple(value_cache.shape)} have different blocks")
    return _ops.reshape_and_cache(
        tokens,
        heads,
        key.shape[2],
        0 if value is None else value.shape[2],
        blocks,
        block_size,
        key.stride(0),
        0 if value is None else value.stride(0),
        key_cache.stride(0),
        0 if value_cache is None else value_cache.stride(0),
        number,
        code(_MOVED, key, "key"),
        index,
    )


def reshape_and_cache(
    key: torch.Tensor,
    value: torch.Tensor | None,
    key_cache: torch.Tensor,
    value_cache: torch.Tensor | None,
    slot_mapping: torch.Tensor,
    layout: str = "ND",
) -> None:
    """Writes keys and values into the paged cache, in place. Contract of torch_npu.npu_scatter_pa_kv_cache and of vLLM's reshape_and_cache:
    rows of keys without a slot are padding, and so are slots without a row.

    Args:
        key: [tokens, heads, key head size]; float32, float16, bfloat16, int8, uint8 or int32; any step between tokens
        value: [tokens, heads, value head size], same dtype; None together with value_cache: keys only
        key_cache: of the layout, same dtype
        value_cache: the same for value
        slot_mapping: int32 or int64, [slots], contiguous; unique slots; negative or beyond the cache: the token is skipped
        layout: "ND", "HND" or "NZ"

    Raises:
        ValueError: shapes, dtypes or strides that do not fit
        RuntimeError: the launch failed
    """
    launch = _prepare_reshape((key, value, key_cache, value_cache, slot_mapping), (layout,))
    launch(key.data_ptr(), address(value), key_cache.data_ptr(), address(value_cache), slot_mapping.data_ptr(), stream(key))


@prepared
def _prepare_gather(
    key_cache: torch.Tensor,
    value_cache: torch.Tensor | None,
    block_table: torch.Tensor,
    seq_lens: torch.Tensor,
    seq_starts: torch.Tensor | None,
    key: torch.Tensor,
    value: torch.Tensor | None,
    layout: str,
) -> _ops.Launch:
    number = _layout(layout)
    if (value is None) != (value_cache is None):
        raise ValueError("value and value_cache go together: one of them is None")
    given = [(key, key_cache, "key")] + ([(value, value_cache, "value")] if value is not None and value_cache is not None else [])
    for rows, cache, name in given:
        check_dense(rows, name, (3,), key)
        if rows.shape[:2] != key.shape[:2] or rows.dtype != key.dtype:
            raise ValueError(f"{name} is {rows.dtype} {tuple(rows.shape)}, but key is {key.dtype} {tuple(key.shape)}")
        _check_cache(cache, f"{name}_cache", layout, rows, name)
    _indices(block_table, "block_table", 2, key, _INT32)
    _indices(seq_lens, "seq_lens", 1, key, _INT32)
    if seq_starts is not None:
        _indices(seq_starts, "seq_starts", 1, key, _INT32)
        if seq_starts.shape[0] != block_table.shape[0]:
            raise ValueError(f"seq_starts has {seq_starts.shape[0]} entries for {block_table.shape[0]} requests")
    return _ops.gather_cache(
        *block_table.shape,
        seq_lens.shape[0],
        key.shape[0],
        key.shape[1],
        key.shape[2],
        0 if value is None else value.shape[2],
        key_cache.shape[0],
        _block_size(key_cache.shape, layout),
        key_cache.stride(0),
        0 if value_cache is None else value_cache.stride(0),
        seq_starts is not None,
        number,
        code(_MOVED, key, "key"),
    )


def gather_cache(
    key_cache: torch.Tensor,
    value_cache: torch.Tensor | None,
    block_table: torch.Tensor,
    seq_lens: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor | None,
    seq_starts: torch.Tensor | None = None,
    layout: str = "ND",
) -> None:
    """Makes dense rows of what requests have in the paged cache, one request after the other. Contract of torch_npu.npu_gather_pa_kv_cache.

    Args:
        key_cache, value_cache: of the layout, float32, float16, bfloat16, int8, uint8 or int32; value_cache None together with value
        block_table: int32 [requests, blocks], contiguous
        seq_lens: int32 [requests], or [requests + 1] sums of lengths from 0 on
        key: [rows, heads, key head size], contiguous, written; rows beyond the sum of lengths keep what they hold
        value: the same for value_cache
        seq_starts: int32 [requests], the first position of each request that is wanted, need not be a multiple of the block size; None: 0
        layout: "ND", "HND" or "NZ"; rows are ND in any case

    Raises:
        ValueError: shapes, dtypes or strides that do not fit
        RuntimeError: the launch failed. Positions beyond block_table and blocks beyond the cache are errors of the device
    """
    tensors = (key_cache, value_cache, block_table, seq_lens, seq_starts, key, value)
    _prepare_gather(tensors, (layout,))(*map(address, tensors), stream(key))


@prepared
def _prepare_slots(
    query_start_loc: torch.Tensor,
    positions: torch.Tensor,
    block_table: torch.Tensor,
    slots: torch.Tensor,
    num_tokens: int,
    block_size: int,
    world_size: int,
    rank: int,
    interleave: int,
    pad_id: int,
    is_circular: bool,
) -> _ops.Launch:
    _indices(query_start_loc, "query_start_loc", 1, slots, _INT32)
    position_code = _indices(positions, "positions", 1, slots, INDEX_DTYPES)
    _indices(block_table, "block_table", 2, slots, _INT32)
    slot_code = _indices(slots, "slots", 1, slots, INDEX_DTYPES)
    return _ops.slot_mapping(
        query_start_loc.shape[0] - 1,
        positions.shape[0],
        *block_table.shape,
        slots.shape[0],
        num_tokens,
        block_size,
        world_size,
        rank,
        interleave,
        pad_id,
        is_circular,
        position_code,
        slot_code,
    )


def slot_mapping(
    query_start_loc: torch.Tensor,
    positions: torch.Tensor,
    block_table: torch.Tensor,
    slots: torch.Tensor,
    num_tokens: int,
    block_size: int,
    world_size: int = 1,
    rank: int = 0,
    interleave: int = 1,
    pad_id: int = -1,
    is_circular: bool = False,
) -> None:
    """Writes the slots that a step's tokens go to.

    Contracts of vLLM's compute_slot_mapping, and of vllm-ascend's, which has circular blocks.

    Token t of request i, with p = positions[t] and o = p % (block_size * world_size), belongs to the rank o // interleave % world_size.
    There its slot is block_table[i, p // (block_size * world_size)] * block_size + o // (interleave * world_size) * interleave
    + o % interleave. Other tokens, and elements of slots without a token, get pad_id.

    Args:
        query_start_loc: int32 [requests + 1], sorted: the first token of each request
        positions: int32 or int64, at least [num_tokens]; below 2^24
        block_table: int32, at least [requests, blocks], contiguous
        slots: int32 or int64, at least [num_tokens], written completely
        interleave: divides block_size
        is_circular: each request has one block alone, which its tokens go round (a sliding window): the slot is block_table[i, 0] *
            block_size + p % block_size, and a token at a negative position gets pad_id. Not with a world_size above 1

    Raises:
        ValueError: shapes, dtypes or numbers that do not fit
        RuntimeError: the launch failed. Errors of the device: positions that are negative or beyond block_table, and of circular blocks
            those from 2^24 on
    """
    tensors = (query_start_loc, positions, block_table, slots)
    launch = _prepare_slots(tensors, (num_tokens, block_size, world_size, rank, interleave, pad_id, is_circular))
    launch(*map(address, tensors), stream(slots))


@functools.lru_cache(maxsize=64)
def _table(words: tuple[int, ...], columns: int, device: torch.device) -> torch.Tensor:
    # A function of its arguments alone, so it cannot be out of date: caches are few and stay where they are.
    return torch.tensor(words, dtype=torch.int64).view(-1, columns).to(device)


def _caches_of(caches: Sequence[torch.Tensor]) -> torch.Tensor:
    """The first, after a check of all."""
    first = caches[0]
    for i, cache in enumerate(caches):
        check_place(cache, f"cache {i}", (4,), first)
        check_heads(cache, f"cache {i}")
        if cache.shape[0] != first.shape[0] or cache.dtype != first.dtype:
            raise ValueError(f"cache {i} is {cache.dtype} {tuple(cache.shape)}, but cache 0 is {first.dtype} {tuple(first.shape)}")
        if cache.shape[0] > 1 and cache.stride(0) < cache[0].numel():
            raise ValueError(f"cache {i} has the strides {tuple(cache.stride())}: its blocks overlap")
    return first


def _on_device(numbers: torch.Tensor, name: str, dims: int, device: torch.device) -> torch.Tensor:
    if numbers.dim() != dims or numbers.dtype != torch.int64:
        raise ValueError(f"{name} is {numbers.dtype} {tuple(numbers.shape)}; it must be int64 with {dims} dimensions")
    if numbers.device == device:
        return numbers.contiguous()
    # An asynchronous copy reads the host's memory later: it has to be pinned, which torch_npu then keeps until the copy is done.
    return numbers.contiguous().pin_memory().to(device, non_blocking=True)


def _check_range(numbers: torch.Tensor, name: str, blocks: int) -> None:
    wrong = numbers[(numbers < 0) | (numbers >= blocks)]
    if wrong.numel() > 0:
        raise ValueError(f"{name} names block {int(wrong[0])}; there are {blocks}")


def copy_blocks(caches: Sequence[torch.Tensor], mapping: torch.Tensor) -> None:
    """Copies block mapping[i, 0] over block mapping[i, 1] of every cache, in one launch. Contract of vLLM's copy_blocks.

    Args:
        caches: [blocks, ..], keys and values of all layers, one dtype, as many blocks each; blocks contiguous, any step between them
        mapping: int64 [pairs, 2]; on the host it is checked here, on the device a wrong block is an error of the device

    Raises:
        ValueError: caches that do not fit, blocks that there are not, a destination that another pair has as source or destination
        RuntimeError: the launch failed
    """
    if not caches:
        return
    first = _caches_of(caches)
    check_current(first.device)
    if mapping.dim() == 2 and mapping.shape[1] != 2:
        raise ValueError(f"mapping has the shape {tuple(mapping.shape)}; it must be [pairs, 2]")
    if mapping.device.type == "cpu" and mapping.dim() == 2:
        _check_range(mapping, "mapping", first.shape[0])
        destinations = mapping[:, 1].tolist()
        if len(set(destinations)) < len(destinations) or not set(destinations).isdisjoint(mapping[:, 0].tolist()):
            raise ValueError("mapping has a destination that is another pair's source or destination")
    pairs = _on_device(mapping, "mapping", 2, first.device)
    sizes = [cache[0].numel() * cache.element_size() if cache.shape[0] else 1 for cache in caches]
    words = [
        word for cache, size in zip(caches, sizes, strict=True) for word in (cache.data_ptr(), cache.stride(0) * cache.element_size(), size)
    ]
    table = _table(tuple(words), 3, first.device)
    whole = all(size % 32 == 0 for size in sizes)
    launch = _ops.copy_blocks(len(caches), pairs.shape[0], first.shape[0], max(sizes), whole)
    launch(table.data_ptr(), pairs.data_ptr(), stream(first))


def swap_blocks(src: torch.Tensor, dst: torch.Tensor, mapping: torch.Tensor) -> None:
    """Copies block mapping[i, 0] of src over block mapping[i, 1] of dst, between devices and host, without waiting.

    Contract of vllm-ascend's swap_blocks, which takes a block number equal to the number of blocks; here it is refused.

    Args:
        src, dst: [blocks, ..], the same block shape and dtype; one at least on an NPU; blocks contiguous. Host memory should be pinned, and
            has to stay as it is until the stream has come this far
        mapping: int64 [pairs, 2] on the host; pairs are copied in their order

    Raises:
        ValueError: caches that do not fit, and blocks that there are not, before anything is copied
        RuntimeError: a copy failed
    """
    devices = {tensor.device for tensor in (src, dst) if tensor.device.type == "npu"}
    kinds = {tensor.device.type for tensor in (src, dst)}
    if len(devices) != 1 or not kinds <= {"npu", "cpu"}:
        raise ValueError(f"src is on {src.device} and dst on {dst.device}; one or both have to be on one NPU, the other on the host")
    if src.dtype != dst.dtype or src.dim() < 1 or src.shape[1:] != dst.shape[1:]:
        raise ValueError(f"src is {src.dtype} {tuple(src.shape)}, dst {dst.dtype} {tuple(dst.shape)}; their blocks have to be alike")
    if mapping.device.type != "cpu" or mapping.dtype != torch.int64 or mapping.dim() != 2 or mapping.shape[1] != 2:
        raise ValueError(f"mapping is {mapping.dtype} {tuple(mapping.shape)} on {mapping.device}; it must be int64 [pairs, 2] on the host")
    for tensor, name in ((src, "src"), (dst, "dst")):
        check_heads(tensor, name)
    if mapping.shape[0] == 0:
        return
    check_current(*devices)
    size = src.element_size()
    pairs = mapping.contiguous()
    _ops.swap_blocks(
        src.data_ptr(),
        dst.data_ptr(),
        pairs.data_ptr(),
        pairs.shape[0],
        src.shape[0],
        dst.shape[0],
        src.stride(0) * size,
        dst.stride(0) * size,
        functools.reduce(lambda a, b: a * b, src.shape[1:], 1) * size,
        src.device.type == "npu",
        dst.device.type == "npu",
        stream(src if src.device.type == "npu" else dst),
    )


def transpose_kv_cache_by_block(
    key_caches: Sequence[torch.Tensor], value_caches: Sequence[torch.Tensor], block_ids: torch.Tensor, splits: int
) -> None:
    """Reorders blocks that were filled by `splits` ranks one after the other, in place, keys and values of all layers in one launch.

    The memory of a block, read as [splits, block size, heads / splits, head size], becomes [block size, heads, head size]. Contract of
    vllm-ascend's transpose_kv_cache_by_block.

    Args:
        key_caches, value_caches: [blocks, block size, heads, head size], one shape, any dtype of 1, 2 or 4 bytes; any step between blocks
        block_ids: int64 [n], unique; on the host they are checked here, on the device an id beyond the cache is an error of the device
        splits: divides heads; 1 changes nothing

    Raises:
        ValueError: shapes, dtypes or strides that do not fit; ids that there are not, or twice
        RuntimeError: the launch failed
    """
    if len(key_caches) != len(value_caches):
        raise ValueError(f"there are {len(key_caches)} key caches and {len(value_caches)} value caches")
    caches = [*key_caches, *value_caches]
    if not caches:
        return
    first = _caches_of(caches)
    check_current(first.device)
    for i, cache in enumerate(caches):
        if cache.shape != first.shape:
            raise ValueError(f"cache {i} has the shape {tuple(cache.shape)}, but cache 0 {tuple(first.shape)}")
    if block_ids.device.type == "cpu" and block_ids.dim() == 1:
        _check_range(block_ids, "block_ids", first.shape[0])
        if block_ids.unique().numel() != block_ids.numel():
            raise ValueError("block_ids has a block twice")
    ids = _on_device(block_ids, "block_ids", 1, first.device)
    table = _table(tuple(word for cache in caches for word in (cache.data_ptr(), cache.stride(0) * cache.element_size())), 2, first.device)
    launch = _ops.transpose_kv_cache(len(caches), ids.shape[0], *first.shape, splits, code(_MOVED, first, "cache 0"))
    launch(table.data_ptr(), ids.data_ptr(), stream(first))


_MODES = ("Norm", "PA", "PA_BNSD", "PA_NZ", "PA_BLK_BNSD", "PA_BLK_NZ")


def _latent_cache(cache: torch.Tensor, name: str, mode: str, size: int, kv: torch.Tensor) -> tuple[int, int, int]:
    """Blocks, block size and elements from block to block of a cache with one head."""
    check_place(cache, name, (4, 5), kv)
    check_heads(cache, name)
    width = 32 // cache.element_size()
    if mode.endswith("NZ"):
        good = cache.dim() == 5 and cache.shape[1] == size // width and tuple(cache.shape[3:]) == (1, width)
        wanted, block_size = f"[blocks, {size // width}, block size, 1, {width}]", cache.shape[2]
    elif mode == "Norm":
        good = cache.dim() == 4 and cache.shape[1] == 1 and cache.shape[3] == size
        wanted, block_size = f"[sequences, 1, rows, {size}]", cache.shape[2]
    else:
        good = cache.dim() == 4 and tuple(cache.shape[2:]) == (1, size)
        wanted, block_size = f"[blocks, block size, 1, {size}]", cache.shape[1]
    if not good:
        raise ValueError(f"{name} has the shape {tuple(cache.shape)}; in the mode {mode} it must be {wanted}")
    return cache.shape[0], block_size, cache.stride(0)


@prepared
def _prepare_latent(
    kv: torch.Tensor,
    gamma: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    index: torch.Tensor,
    k_cache: torch.Tensor,
    ckv_cache: torch.Tensor,
    k_rope_scale: torch.Tensor | None,
    c_kv_scale: torch.Tensor | None,
    k_rope_offset: torch.Tensor | None,
    c_kv_offset: torch.Tensor | None,
    epsilon: float,
    cache_mode: str,
    is_output_kv: bool,
) -> _ops.Launch:
    if cache_mode not in _MODES:
        raise ValueError(f"cache_mode is {cache_mode!r}; there are {', '.join(_MODES)}")
    check_place(kv, "kv", (4,), kv)
    sequences, heads, seq, size = kv.shape
    if heads != 1:
        raise ValueError(f"kv has {heads} heads; latent rows have one")
    rows = kv.view(sequences * seq, size) if kv.is_contiguous() else kv.flatten(0, 2)
    if kv.numel() > 0 and (rows.data_ptr() != kv.data_ptr() or rows.stride(1) != 1):
        raise ValueError(f"kv has the strides {tuple(kv.stride())}; its tokens have to be one step apart, and their elements contiguous")
    check_dense(gamma, "gamma", (1,), kv)
    n, r = gamma.shape[0], size - gamma.shape[0]
    for tensor, name in ((cos, "cos"), (sin, "sin")):
        check_dense(tensor, name, (4,), kv)
        if tensor.dtype != kv.dtype or tuple(tensor.shape) != (sequences, 1, seq, r):
            raise ValueError(f"{name} is {tensor.dtype} {tuple(tensor.shape)}; for kv it is {kv.dtype} {(sequences, 1, seq, r)}")
    if gamma.dtype != kv.dtype:
        raise ValueError(f"gamma is {gamma.dtype}, but kv is {kv.dtype}")
    check_dense(index, "index", (1, 2), kv)
    code(_INT64, index, "index")
    blocks, block_size, k_stride = _latent_cache(k_cache, "k_cache", cache_mode, r, kv)
    others = _latent_cache(ckv_cache, "ckv_cache", cache_mode, n, kv)
    if others[:2] != (blocks, block_size):
        raise ValueError(f"ckv_cache has {others[0]} blocks of {others[1]}, k_cache {blocks} of {block_size}")
    for weight, name, length in (
        (k_rope_scale, "k_rope_scale", r),
        (c_kv_scale, "c_kv_scale", n),
        (k_rope_offset, "k_rope_offset", r),
        (c_kv_offset, "c_kv_offset", n),
    ):
        if weight is not None:
            check_dense(weight, name, (1,), kv)
            if weight.dtype != torch.float32 or weight.shape[0] != length:
                raise ValueError(f"{name} is {weight.dtype} {tuple(weight.shape)}; it must be float32 ({length},)")
    return _ops.kv_rmsnorm_rope_cache(
        sequences * seq,
        seq,
        rows.stride(0),
        n,
        r,
        index.numel(),
        blocks,
        block_size,
        k_stride,
        others[2],
        *(weight is not None for weight in (k_rope_scale, c_kv_scale, k_rope_offset, c_kv_offset)),
        is_output_kv,
        _LAYOUTS["NZ" if cache_mode.endswith("NZ") else "ND"],
        2 if cache_mode == "Norm" else 1 if "BLK" in cache_mode else 0,
        epsilon,
        code(FLOAT_DTYPES, kv, "kv"),
        code(_CACHED, k_cache, "k_cache"),
        code(_CACHED, ckv_cache, "ckv_cache"),
    )


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
    tensors = (kv, gamma, cos, sin, index, k_cache, ckv_cache, k_rope_scale, c_kv_scale, k_rope_offset, c_kv_offset)
    launch = _prepare_latent(tensors, (epsilon, cache_mode, is_output_kv))
    shapes = (cos.shape, (*kv.shape[:-1], gamma.shape[0])) if is_output_kv else ((0,), (0,))
    k_rope, c_kv = (kv.new_empty(shape) for shape in shapes)
    launch(*map(address, tensors), k_rope.data_ptr(), c_kv.data_ptr(), stream(kv))
    return k_rope, c_kv


def _fake_latent(
    kv: torch.Tensor, gamma: torch.Tensor, *_: object, is_output_kv: bool = False, **__: object
) -> tuple[torch.Tensor, torch.Tensor]:
    if not is_output_kv:
        return kv.new_empty(0), kv.new_empty(0)
    n = gamma.shape[0]
    return kv.new_empty(*kv.shape[:-1], kv.shape[-1] - n), kv.new_empty(*kv.shape[:-1], n)


def _nothing(*_: object, **__: object) -> None:
    return None


def _register(schema: str, function: Callable, fake: Callable = _nothing, host: bool = False) -> None:
    name = schema[: schema.index("(")]
    library.define(schema)
    library.impl(name, function, "PrivateUse1")
    if host:  # with no tensor of a device among the arguments; the function says what is wrong
        library.impl(name, function, "CPU")
    torch.library.register_fake(f"vllm_cann::{name}", fake, lib=library)


_register(
    "reshape_and_cache(Tensor key, Tensor? value, Tensor(a!) key_cache, Tensor(b!)? value_cache, Tensor slot_mapping, "
    "str layout='ND') -> ()",
    reshape_and_cache,
)
_register(
    "gather_cache(Tensor key_cache, Tensor? value_cache, Tensor block_table, Tensor seq_lens, Tensor(a!) key, Tensor(b!)? value, "
    "Tensor? seq_starts=None, str layout='ND') -> ()",
    gather_cache,
)
_register(
    "slot_mapping(Tensor query_start_loc, Tensor positions, Tensor block_table, Tensor(a!) slots, int num_tokens, int block_size, "
    "int world_size=1, int rank=0, int interleave=1, int pad_id=-1, bool is_circular=False) -> ()",
    slot_mapping,
)
_register("copy_blocks(Tensor(a!)[] caches, Tensor mapping) -> ()", copy_blocks, host=True)
_register("swap_blocks(Tensor src, Tensor(a!) dst, Tensor mapping) -> ()", swap_blocks, host=True)
_register(
    "transpose_kv_cache_by_block(Tensor(a!)[] key_caches, Tensor(b!)[] value_caches, Tensor block_ids, int splits) -> ()",
    transpose_kv_cache_by_block,
    host=True,
)
_register(
    "kv_rmsnorm_rope_cache(Tensor kv, Tensor gamma, Tensor cos, Tensor sin, Tensor index, Tensor(a!) k_cache, Tensor(b!) ckv_cache, *, "
    "Tensor? k_rope_scale=None, Tensor? c_kv_scale=None, Tensor? k_rope_offset=None, Tensor? c_kv_offset=None, float epsilon=1e-05, "
    "str cache_mode='Norm', bool is_output_kv=False) -> (Tensor, Tensor)",
    kv_rmsnorm_rope_cache,
    _fake_latent,
)
