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
from torch import nn
from vllm.logger import init_logger
from vllm.v1.sample.ops import topk_topp_sampler

from vllm_cann.layers import qk_norm_attention

logger = init_logger("vllm.plugins.cann.replacements")


@dataclass(frozen=True)
class Replacement:
    """One replaced attribute."""

    owner: Any
    name: str
    reason: str
    make: Callable[[], Any]


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
        topk_topp_sampler,
        "HAS_TRITON",
        "top-k and top-p take a Triton kernel wherever Triton is installed, whatever device it compiles for",
        lambda: False,
    ),
)


@dataclass(frozen=True)
class LayerReplacement:
    """The forward of a model's layers. By names, as a model is only imported when it is served."""

    module: str
    layer: str
    reason: str
    forward: Callable[..., Any]
    why_not: Callable[[nn.Module], str]
    """Why a layer has to keep its own forward; empty when it need not."""


_QK_NORM = "vLLM fuses what is between projection and attention only in graphs that it compiles, and its model calls each step by itself"

LAYER_TABLE = tuple(
    LayerReplacement(f"vllm.model_executor.models.{module}", layer, _QK_NORM, qk_norm_attention.forward, qk_norm_attention.why_not)
    for module, layer in (("qwen3", "Qwen3Attention"), ("qwen3_moe", "Qwen3MoeAttention"))
)


def apply_to(model: nn.Module) -> None:
    """Replaces the forward of every layer of a loaded model that the table has, and says in the log what was done and what was not."""
    done: Counter[str] = Counter()
    kept: Counter[tuple[str, str]] = Counter()
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
                kept[row.layer, "their forward is another one already"] += 1
            elif reason := row.why_not(layer):
                kept[row.layer, reason] += 1
            else:
                layer.forward = types.MethodType(row.forward, layer)
                done[row.layer] += 1
    for name, count in done.items():
        logger.info("%d layers %s normalise and rotate query and key in one launch", count, name)
    for (name, reason), count in kept.items():
        logger.info("%d layers %s normalise and rotate query and key in launches of their own: %s", count, name, reason)


@functools.cache
def apply() -> None:
    """Replaces every name of the first table, once per process."""
    for row in TABLE:
        setattr(row.owner, row.name, row.make())
