"""Tokens that go to the ranks of their experts, and come back: expert parallelism without gathering the tokens of all ranks.

`AllToAll` sends rows by HcclAlltoAllV, in any type; the host waits for the numbers of rows. `Fused` has one operator for each way,
npu_moe_distribute_dispatch_v2 and npu_moe_distribute_combine_v2, in 16 bits; nothing waits for the device.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Protocol

import torch
import torch.distributed as dist
import torch_npu
from vllm.distributed import get_ep_group, get_tp_group
from vllm.forward_context import get_forward_context
from vllm.model_executor.layers.fused_moe.config import FusedMoEConfig

from vllm_cann.ops.moe_finalize_routing import ROWS_IN_ORDER, moe_finalize_routing
from vllm_cann.ops.moe_init_routing import moe_init_routing_v2

# What the operators take (aclnnMoeDistributeDispatchV2, Atlas A2, fullmesh).
RANKS = (*range(2, 9), 16, 32, 64, 128, 256)
DTYPES = (torch.float16, torch.bfloat16)
_MOST_TOKENS, _MOST_CHOSEN, _MOST_EXPERTS, _WIDEST, _WIDTH_OF = 256, 16, 1024, 7168, 32
_BUFFER_MB = 200  # HCCL_BUFFSIZE where it is not set

# Rows of this rank's experts: what each row's expert makes of it. [rows, hidden], and the running sums of rows by expert.
Grouped = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
# The same for rows in any order, with the number of each row's expert on this rank, int32.
Mixed = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Exchange(Protocol):
    """Brings this rank's tokens to their experts.

    Args:
        x: [tokens, hidden]
        weights: float32 [tokens, k]
        chosen: int32 [tokens, k], of all experts
        most: the most tokens that a rank of the group has; the same on all ranks
        grouped, mixed: the experts of this rank; an exchange takes one of them

    Returns:
        [tokens, hidden], the weighted sum of what a token's experts make of it
    """

    def __call__(
        self, x: torch.Tensor, weights: torch.Tensor, chosen: torch.Tensor, most: int, grouped: Grouped, mixed: Mixed
    ) -> torch.Tensor: ...


def _check(experts: int, ranks: int) -> None:
    if experts % ranks != 0:
        raise ValueError(f"additional_config['experts_by'] takes as many experts on each rank, not {experts} on {ranks} ranks.")


class AllToAll:
    """By HcclAlltoAllV."""

    def __init__(self, moe: FusedMoEConfig, experts: int) -> None:
        self._group = get_ep_group()
        self._ranks = self._group.world_size
        self._experts = experts
        _check(experts, self._ranks)

    def __call__(
        self, x: torch.Tensor, weights: torch.Tensor, chosen: torch.Tensor, most: int, grouped: Grouped, mixed: Mixed
    ) -> torch.Tensor:
        hidden, local = x.shape[1], self._experts // self._ranks
        if x.shape[0] > 0:
            rows, places, counts, _ = moe_init_routing_v2(
                x.contiguous(), chosen, active_expert_range=(0, self._experts), expert_tokens_num_type=1, expert_tokens_num_flag=True
            )
            counts = counts.to(torch.int64)
        else:
            rows, counts = x, torch.zeros(self._experts, dtype=torch.int64, device=x.device)
        theirs = torch.empty_like(counts)
        dist.all_to_all_single(theirs, counts, group=self._group.device_group)
        # The host has to know how many rows come from each rank.
        sent, received = torch.stack((counts, theirs)).cpu().view(2, self._ranks, local)
        sends, receives = sent.sum(1).tolist(), received.sum(1).tolist()
        taken = x.new_empty((sum(receives), hidden))
        dist.all_to_all_single(taken, rows, receives, sends, group=self._group.device_group)
        if taken.shape[0] > 0:
            # By rank, and then by expert.
            numbers = torch.arange(local, dtype=torch.int32).repeat(self._ranks).repeat_interleave(received.flatten())
            taken = mixed(taken, numbers.to(x.device, non_blocking=False))
        back = torch.empty_like(rows)
        dist.all_to_all_single(back, taken, sends, receives, group=self._group.device_group)
        if x.shape[0] == 0:
            return torch.empty_like(x)
        return moe_finalize_routing(back, None, None, None, weights, places, None, ROWS_IN_ORDER)


@cache
def _group_of(ranks: tuple[int, ...]) -> str:
    """The name of a communicator of these ranks that has nothing but these operators, as they demand."""
    group = dist.new_group(list(ranks), backend="hccl", use_local_synchronization=True)
    return str(group._get_backend(torch.device("npu")).get_hccl_comm_name(dist.get_rank()))


class Fused:
    """By one operator for each way, for as many tokens at a time as it takes."""

    def __init__(self, moe: FusedMoEConfig, experts: int) -> None:
        group = get_ep_group()
        ranks, hidden, chosen = group.world_size, moe.hidden_dim, moe.experts_per_token
        _check(experts, ranks)
        for what, value, fits in (
            ("ranks", ranks, ranks in RANKS),
            ("type", moe.in_dtype, moe.in_dtype in DTYPES),
            ("experts", experts, experts <= _MOST_EXPERTS),
            ("experts of a token", chosen, chosen <= _MOST_CHOSEN),
            ("elements of a token", hidden, hidden <= _WIDEST and hidden % _WIDTH_OF == 0),
        ):
            if not fits:
                raise ValueError(
                    f"additional_config['experts_by'] is 'fused', which takes float16 or bfloat16, 2 to 8, 16, 32, 64, 128 or 256 ranks, "
                    f"up to {_MOST_EXPERTS} experts, {_MOST_CHOSEN} of a token, and tokens of up to {_WIDEST} elements, a multiple of "
                    f"{_WIDTH_OF}; the {what}: {value}."
                )
        buffer = int(os.environ.get("HCCL_BUFFSIZE") or _BUFFER_MB) << 20
        row = 2 * ranks * min(experts // ranks, chosen) * hidden * 2
        self._most_tokens = min(_MOST_TOKENS, (buffer - (4 << 20)) // row)
        if self._most_tokens < 1:
            raise ValueError(f"HCCL_BUFFSIZE of {buffer >> 20} MB has no room for a token of each of {ranks} ranks ({row} bytes).")
        self._common = {
            "group_ep": _group_of(tuple(group.ranks)),
            "ep_world_size": ranks,
            "ep_rank_id": group.rank_in_group,
            "moe_expert_num": experts,
            "comm_alg": "fullmesh",
        }

    def __call__(
        self, x: torch.Tensor, weights: torch.Tensor, chosen: torch.Tensor, most: int, grouped: Grouped, mixed: Mixed
    ) -> torch.Tensor:
        out = torch.empty_like(x)
        # All ranks take as many turns, each with as many tokens: what a rank has not got takes no part.
        for begin in range(0, most, self._most_tokens):
            count = min(self._most_tokens, most - begin)
            own = slice(begin, min(begin + count, x.shape[0]))
            active = max(0, own.stop - own.start)
            tokens, factors, experts = (_padded(one[own], count) for one in (x, weights, chosen))
            out[own] = self._turn(tokens, factors, experts, active, grouped)[:active]
        return out

    def _turn(self, x: torch.Tensor, weights: torch.Tensor, chosen: torch.Tensor, active: int, grouped: Grouped) -> torch.Tensor:
        mask = None if active == x.shape[0] else torch.arange(x.shape[0], device=x.device) < active
        rows, _, places, sums, counts, _, row_weights = torch_npu.npu_moe_distribute_dispatch_v2(
            x, chosen, x_active_mask=mask, expert_scales=weights, expert_token_nums_type=0, **self._common
        )
        return torch_npu.npu_moe_distribute_combine_v2(
            grouped(rows, sums), chosen, places, counts, weights, x_active_mask=mask, expand_scales=row_weights, **self._common
        )


def _padded(rows: torch.Tensor, count: int) -> torch.Tensor:
    return rows.contiguous() if rows.shape[0] == count else torch.nn.functional.pad(rows, (0, 0, 0, count - rows.shape[0]))


KINDS: dict[str, Callable[[FusedMoEConfig, int], Exchange] | None] = {"gather": None, "all_to_all": AllToAll, "fused": Fused}


def exchange_tokens(
    exchange: Exchange,
    moe: FusedMoEConfig,
    x: torch.Tensor,
    weights: torch.Tensor,
    chosen: torch.Tensor,
    grouped: Grouped,
    mixed: Mixed,
) -> torch.Tensor:
    """What the runner of vLLM expects of experts: the sums of this rank's tokens.

    Where ranks that divide tensors have the same tokens, each of them takes a part, and leaves zeros for the others': the runner adds up.
    """
    metadata = get_forward_context().dp_metadata
    sizes = [x.shape[0]] if metadata is None else metadata.get_chunk_sizes_across_dp_rank()
    assert sizes is not None
    ranks = get_tp_group()
    if moe.is_sequence_parallel or ranks.world_size == 1:
        return exchange(x, weights, chosen, max(sizes), grouped, mixed)
    part = -(-x.shape[0] // ranks.world_size)
    own = slice(part * ranks.rank_in_group, min(part * (ranks.rank_in_group + 1), x.shape[0]))
    out = torch.zeros_like(x)
    most = -(-max(sizes) // ranks.world_size)
    tokens, factors, experts = (one[own].contiguous() for one in (x, weights, chosen))
    out[own] = exchange(tokens, factors, experts, most, grouped, mixed)
    return out
