"""vLLM's communicator of a group of ranks: collectives of HCCL through torch_npu's process groups.

Everything is queued on the device; nothing waits for it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch_npu.distributed import all_gather_into_tensor_uneven, reduce_scatter_tensor_uneven
from vllm.distributed.device_communicators.all2all import AgRsAll2AllManager
from vllm.distributed.device_communicators.base_device_communicator import DeviceCommunicatorBase


class CannCommunicator(DeviceCommunicatorBase):
    """Collectives of one group. What is not here is as vLLM has it for any device, by torch.distributed."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.use_all2all:
            # The one that support.py lets through: tokens are gathered from all ranks, and sums are scattered to them.
            self.all2all_manager = AgRsAll2AllManager(self.cpu_group)

    def all_gatherv(
        self, input_: torch.Tensor | list[torch.Tensor], dim: int = 0, sizes: list[int] | None = None
    ) -> torch.Tensor | list[torch.Tensor]:
        """The rows of all ranks, in their order.

        Args:
            input_: [rows, ...], or several with equal rows
            dim: 0
            sizes: rows of each rank; None where all have as many

        Raises:
            ValueError: another dimension, or rows that are not those in `sizes`
        """
        if dim != 0:
            raise ValueError(f"all_gatherv along dimension {dim}: rows, dimension 0, can be gathered.")
        if isinstance(input_, list):
            return [self._gather_rows(one, sizes) for one in input_]
        return self._gather_rows(input_, sizes)

    def _gather_rows(self, rows: torch.Tensor, sizes: list[int] | None) -> torch.Tensor:
        if sizes is None:
            sizes = [rows.shape[0]] * self.world_size
        self._check(sizes, rows.shape[0], "all_gatherv")
        rows = rows.contiguous()
        out = rows.new_empty((sum(sizes), *rows.shape[1:]))
        if len(set(sizes)) == 1:
            dist.all_gather_into_tensor(out, rows, group=self.device_group)
        else:
            all_gather_into_tensor_uneven(out, rows, output_split_sizes=sizes, group=self.device_group)
        return out

    def reduce_scatterv(self, input_: torch.Tensor, dim: int = -1, sizes: list[int] | None = None) -> torch.Tensor:
        """The sum over all ranks of this rank's part.

        Args:
            input_: a tensor of equal shape on all ranks
            dim: the dimension that is divided
            sizes: the parts' sizes; None where all are as large

        Raises:
            ValueError: `sizes` do not add up to the dimension
        """
        rows = input_.movedim(dim, 0).contiguous()
        if sizes is None:
            if rows.shape[0] % self.world_size != 0:
                raise ValueError(f"reduce_scatterv of {rows.shape[0]} rows over {self.world_size} ranks: the parts are not equal.")
            sizes = [rows.shape[0] // self.world_size] * self.world_size
        if len(sizes) != self.world_size or sum(sizes) != rows.shape[0]:
            raise ValueError(f"reduce_scatterv of {rows.shape[0]} rows into {sizes} over {self.world_size} ranks.")
        out = rows.new_empty((sizes[self.rank_in_group], *rows.shape[1:]))
        if len(set(sizes)) == 1:
            dist.reduce_scatter_tensor(out, rows, group=self.device_group)
        else:
            reduce_scatter_tensor_uneven(out, rows, input_split_sizes=sizes, group=self.device_group)
        return out.movedim(0, dim).contiguous()

    def gather(self, input_: torch.Tensor, dst: int = 0, dim: int = -1) -> torch.Tensor | None:
        """The parts of all ranks along `dim`, on rank `dst` of the group; None on the others. HCCL has no gather to one rank."""
        everything = self.all_gather(input_, dim)
        return everything if self.rank_in_group == dst else None

    # Tokens on their way to experts of other ranks, and what is made of them on the way back.

    def dispatch_router_logits(self, hidden_states: torch.Tensor, router_logits: torch.Tensor, *arguments: Any, **options: Any) -> Any:
        if self.all2all_manager is None:
            return super().dispatch_router_logits(hidden_states, router_logits, *arguments, **options)
        return self.all2all_manager.dispatch_router_logits(hidden_states, router_logits, *arguments, **options)

    def dispatch(self, *arguments: Any, **options: Any) -> Any:
        if self.all2all_manager is None:
            return super().dispatch(*arguments, **options)
        return self.all2all_manager.dispatch(*arguments, **options)

    def combine(self, hidden_states: torch.Tensor, is_sequence_parallel: bool = False) -> torch.Tensor:
        if self.all2all_manager is None:
            return super().combine(hidden_states, is_sequence_parallel)
        return self.all2all_manager.combine(hidden_states, is_sequence_parallel)

    def destroy(self) -> None:
        if self.all2all_manager is not None:
            self.all2all_manager.destroy()
            self.all2all_manager = None

    def _check(self, sizes: list[int], own: int, what: str) -> None:
        if len(sizes) != self.world_size or sizes[self.rank_in_group] != own:
            raise ValueError(f"{what} with {own} rows of rank {self.rank_in_group} of {self.world_size}: the rows of ranks are {sizes}.")
