"""Tables of the addresses of caches, for operators that take all caches of a model at once."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch


@functools.lru_cache(maxsize=64)
def table(words: tuple[int, ...], columns: int, device: torch.device) -> torch.Tensor:
    # A function of its arguments alone, so it cannot be out of date: caches are few and stay where they are.
    return torch.tensor(words, dtype=torch.int64).view(-1, columns).to(device)


def check_alike(caches: Sequence[torch.Tensor]) -> torch.Tensor:
    """The first, after a check of all."""
    first = caches[0]
    for i, cache in enumerate(caches):
        if cache.dim() != 4 or cache.device != first.device or cache.device.type != "npu":
            raise ValueError(f"cache {i} is {tuple(cache.shape)} on {cache.device}; all caches must have 4 dimensions, on one NPU")
        if cache.shape[0] > 0 and not cache[0].is_contiguous():
            raise ValueError(f"cache {i} has the strides {tuple(cache.stride())}; it must be contiguous but for the first of them")
        if cache.shape[0] != first.shape[0] or cache.dtype != first.dtype:
            raise ValueError(f"cache {i} is {cache.dtype} {tuple(cache.shape)}, but cache 0 is {first.dtype} {tuple(first.shape)}")
        if cache.shape[0] > 1 and cache.stride(0) < cache[0].numel():
            raise ValueError(f"cache {i} has the strides {tuple(cache.stride())}: its blocks overlap")
    return first


def on_device(numbers: torch.Tensor, name: str, dims: int, device: torch.device) -> torch.Tensor:
    if numbers.dim() != dims or numbers.dtype != torch.int64:
        raise ValueError(f"{name} is {numbers.dtype} {tuple(numbers.shape)}; it must be int64 with {dims} dimensions")
    if numbers.device == device:
        return numbers.contiguous()
    # An asynchronous copy reads the host's memory later: it has to be pinned, which torch_npu then keeps until the copy is done.
    return numbers.contiguous().pin_memory().to(device, non_blocking=True)


def check_range(numbers: torch.Tensor, name: str, blocks: int) -> None:
    wrong = numbers[(numbers < 0) | (numbers >= blocks)]
    if wrong.numel() > 0:
        raise ValueError(f"{name} names block {int(wrong[0])}; there are {blocks}")
