"""The plugin's options: what `--additional-config` may hold."""

from __future__ import annotations

import difflib
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError


class CannConfig(BaseModel):
    """Options of vllm_cann."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    attention: Literal["auto", "fused", "torch"] = "auto"
    """`fused`: npu_fused_infer_attention_score (float16 and bfloat16). `torch`: attention in plain torch operators, for any dtype; slow.
    `auto`: fused where it can be, otherwise torch, with a line in the log."""

    fused_all_reduce: bool = False
    """Linear layers whose input is divided among devices take npu_mm_all_reduce_base, one operator for the product and the sum over ranks:
    float16 or bfloat16, unquantised, a tensor_parallel_size of 2, 4 or 8."""

    experts_by: Literal["gather", "all_to_all", "fused"] = "gather"
    """How tokens come to experts of other devices (--enable-expert-parallel), unquantised. `gather`: all tokens go to all devices, and sums
    come back (vLLM's allgather_reducescatter). `all_to_all`: each token goes to the devices of its experts; the host waits for the numbers
    of tokens. `fused`: the same by npu_moe_distribute_dispatch_v2 and npu_moe_distribute_combine_v2, in float16 or bfloat16."""


def parse(values: dict[str, Any]) -> CannConfig:
    """Checks the options.

    Raises:
        ValueError: an unknown key (names the nearest valid one) or a bad value
    """
    known = list(CannConfig.model_fields)
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
            raise ValueError(
                f"additional_config has the unknown key {key!r}; did you mean {near[0]!r}? The valid keys are: {', '.join(known)}."
            )
    try:
        return CannConfig(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"additional_config[{first['loc'][0]!r}] is {first['input']!r}: {first['msg']}.") from None
