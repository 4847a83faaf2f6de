"""Names of vLLM or torch that are replaced at run time because vLLM has no hook for them. The two tables are all of it.

Each row: the symbol, why, and what takes its place. Tests check that the symbols exist and are called as expected.
"""

from __future__ import annotations

import functools
import sys
import types
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch_npu
from torch import nn
from vllm.logger import init_logger
from vllm.model_executor.layers.attention import mla_attention
from vllm.model_executor.layers.fused_moe import layer as moe_layer
from vllm.v1.attention.ops import merge_attn_states
from vllm.v1.sample.ops import topk_topp_sampler
from vllm.v1.worker import gpu_model_runner

from vllm_cann.layers import expert_balance, moe, qk_norm_attention, rotary

logger = init_logger("vllm.plugins.cann.replacements")


@dataclass(frozen=True)
class Replacement:
    """One replaced attribute."""

    owner: Any
    name: str
    reason: str
    make: Callable[[], Any]


def _gelu() -> Callable[..., torch.Tensor]:
    original = torch.nn.functional.gelu

    @functools.wraps(original)
    def gelu(input: torch.Tensor, *, approximate: str = "none") -> torch.Tensor:
        return (
            torch_npu.npu_gelu(input, approximate=approximate) if input.device.type == "npu" else original(input, approximate=approximate)
        )

    return gelu


# A partial of its own for each, so that no name is the same object as one of torch.npu (Dynamo asserts that).
TABLE = (
    Replacement(
        torch.cuda,
        "Stream",
        "the V1 runner makes its copy stream with it",
        lambda: torch.npu.Stream,
    ),
    Replacement(torch.cuda, "Event", "the V1 runner waits for copies with it", lambda: torch.npu.Event),
    Replacement(
        torch.cuda,
        "current_stream",
        "the V1 runner orders its copy stream after it",
        lambda: functools.partial(torch.npu.current_stream),
    ),
    Replacement(
        torch.cuda,
        "stream",
        "the V1 runner enters its copy stream with it",
        lambda: functools.partial(torch.npu.stream),
    ),
    Replacement(
        torch.nn.functional,
        "gelu",
        "torch_npu's own ignores `approximate`: a model that was trained with the hyperbolic tangent got the error function",
        _gelu,
    ),
    Replacement(
        topk_topp_sampler,
        "HAS_TRITON",
        "top-k and top-p take a Triton kernel wherever Triton is installed, whatever device it compiles for",
        lambda: False,
    ),
    Replacement(
        mla_attention,
        "merge_attn_states",
        "parts of latent attention are put together by a Triton kernel on every platform but CUDA, ROCm and the CPU",
        lambda: functools.partial(merge_attn_states._merge_attn_states_torch),
    ),
    Replacement(
        gpu_model_runner,
        "EplbState",
        "the thread that moves the weights of experts has no device on other platforms than CUDA and XPU, and ends",
        lambda: expert_balance.CannEplbState,
    ),
    Replacement(
        moe_layer,
        "create_fused_moe_router",
        "vLLM's routers of experts call operators that exist for CUDA only, and have no hook",
        lambda: moe.with_our_routers(moe_layer.create_fused_moe_router),
    ),
)


@dataclass(frozen=True)
class LayerReplacement:
    """The forward of a model's layers. By names, as a model is only imported when it is served."""

    module: str
    layer: str
    does: str
    """What a layer does from then on; the log says it."""
    reason: str
    forward: Callable[..., Any]
    why_not: Callable[[nn.Module], str]
    """Why a layer has to keep its own forward; empty when it need not."""


_QK_NORM = "vLLM fuses what is between projection and attention only in graphs that it compiles, and its model calls each step by itself"

LAYER_TABLE = (
    *(
        LayerReplacement(
            f"vllm.model_executor.models.{module}",
            layer,
            "normalise and rotate query and key in one launch",
            _QK_NORM,
            qk_norm_attention.forward,
            qk_norm_attention.why_not,
        )
        for module, layer in (("qwen3", "Qwen3Attention"), ("qwen3_moe", "Qwen3MoeAttention"))
    ),
    LayerReplacement(
        "vllm.model_executor.layers.rotary_embedding.phi3_long_rope_scaled_rope",
        "Phi3LongRoPEScaledRotaryEmbedding",
        "rotate in place by one launch",
        "it is no layer that vLLM can replace",
        rotary.long_rope_forward,
        lambda layer: "",
    ),
)


def apply_to(model: nn.Module) -> None:
    """Replaces the forward of every layer of a loaded model that the table has, and says in the log what was done and what was not."""
    done: Counter[tuple[str, str]] = Counter()
    kept: Counter[tuple[str, str, str]] = Counter()
    for row in LAYER_TABLE:
        owner = getattr(sys.modules.get(row.module), row.layer, None)
        if owner is None:
            continue  # no model of this process has it
        for layer in model.modules():
            # Also layers of a class that inherits the forward.
            if type(layer).forward is not owner.forward:
                continue
            own = vars(layer).get("forward")
            if own is not None and getattr(own, "__func__", None) is not row.forward:
                kept[row.layer, row.does, "their forward is another one already"] += 1
            elif reason := row.why_not(layer):
                kept[row.layer, row.does, reason] += 1
            else:
                layer.forward = types.MethodType(row.forward, layer)
                done[row.layer, row.does] += 1
    for (name, does), count in done.items():
        logger.info("%d layers %s %s", count, name, does)
    for (name, does, reason), count in kept.items():
        logger.info("%d layers %s do not %s: %s", count, name, does, reason)


@functools.cache
def apply() -> None:
    """Replaces every name of the first table, once per process."""
    for row in TABLE:
        setattr(row.owner, row.name, row.make())
