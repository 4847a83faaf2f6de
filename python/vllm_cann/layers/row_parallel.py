"""Linear layers whose input is divided among devices: the product and the sum over ranks as one operator, where that was asked for."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
import torch_npu
from vllm.config import get_current_vllm_config
from vllm.distributed import get_tp_group
from vllm.model_executor.layers.linear import RowParallelLinear, UnquantizedLinearMethod

from vllm_cann import config

# What the operator takes (aclnnMatmulAllReduce, Atlas A2).
RANKS = (2, 4, 8)
DTYPES = (torch.float16, torch.bfloat16)


class CannRowParallelLinear(RowParallelLinear):
    """npu_mm_all_reduce_base in place of a product and a collective, with additional_config["fused_all_reduce"].

    Raises:
        ValueError: the option is on, and the operator does not have this number of ranks or this type
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        vllm_config = get_current_vllm_config()
        asked = config.parse(vllm_config.additional_config or {}).fused_all_reduce
        self._fused = asked and self.reduce_results and self.tp_size > 1 and isinstance(self.quant_method, UnquantizedLinearMethod)
        if self._fused and (self.tp_size not in RANKS or self.params_dtype not in DTYPES):
            raise ValueError(
                "additional_config['fused_all_reduce'] is true, which takes float16 or bfloat16 and a tensor_parallel_size of "
                f"{', '.join(map(str, RANKS))}, not {self.params_dtype} and {self.tp_size}."
            )

    @cached_property
    def _communicator(self) -> str:
        """HCCL's name of the ranks' communicator, which exists from the first collective on."""
        group = get_tp_group()
        name: str = group.device_group._get_backend(self.weight.device).get_hccl_comm_name(group.rank)
        return name

    def forward(self, input_: torch.Tensor) -> Any:
        if not self._fused or not self.input_is_parallel:
            return super().forward(input_)
        # Each rank adds what it is given; the sum has the bias once.
        bias = None if self.tp_rank > 0 or self.skip_bias_add else self.bias
        output = torch_npu.npu_mm_all_reduce_base(input_, self.weight.t(), self._communicator, bias=bias)
        if not self.return_bias:
            return output
        return output, self.bias if self.skip_bias_add else None
