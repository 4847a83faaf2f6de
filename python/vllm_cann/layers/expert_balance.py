"""The balance of experts (EPLB): which copy of an expert a token takes, and how often each was taken.

vLLM counts tokens, and moves the weights of experts between devices while it serves; its router has the first half for CUDA only.
"""

from __future__ import annotations

import functools

import torch
from vllm.config import ParallelConfig
from vllm.distributed.eplb.eplb_state import EplbLayerState, EplbState

# Knuth's multiplier for hashes of 32 bits, which vLLM takes for the same purpose: neighbouring tokens take different copies.
_MULTIPLIER = 2654435769


@functools.lru_cache(maxsize=16)
def _hashes(device: torch.device, tokens: int) -> torch.Tensor:
    return ((torch.arange(tokens, dtype=torch.int64) * _MULTIPLIER) & 0xFFFFFFFF).to(device).unsqueeze(1)


def take_copies(experts: torch.Tensor, state: EplbLayerState, unpadded: torch.Tensor) -> torch.Tensor:
    """Which copies tokens take, and adds them to the layer's counts, if vLLM counts in this step. Nothing waits for the device.

    Args:
        experts: [tokens, k], numbers of the checkpoint
        state: where copies are, how many there are of each expert, and the counts, which are changed
        unpadded: how many of the tokens are real, a scalar on the device

    Returns:
        [tokens, k] of the same type: numbers among the copies of all devices
    """
    tokens = experts.shape[0]
    if tokens == 0:
        return experts
    places, copies, counts = state.logical_to_physical_map, state.logical_replica_count, state.expert_load_view
    assert places is not None, "vLLM sets the state of a layer before the first step"
    assert copies is not None
    assert counts is not None
    # A table for each power of two.
    hashes = _hashes(experts.device, 1 << (tokens - 1).bit_length())[:tokens]
    wide = experts.long()
    taken = places[wide, hashes % copies[wide]]
    real = (torch.arange(tokens, device=experts.device) < unpadded) & state.should_record_tensor
    counts.index_add_(0, taken.flatten(), real.to(counts.dtype).unsqueeze(1).expand_as(taken).flatten())
    return taken.to(experts.dtype)


class CannEplbState(EplbState):
    """The state of a rank, whose thread moves weights in the background. vLLM tells that thread its device on CUDA and XPU only."""

    def __init__(self, parallel_config: ParallelConfig, device: torch.device) -> None:
        super().__init__(parallel_config, device)
        self.device_index = device.index
