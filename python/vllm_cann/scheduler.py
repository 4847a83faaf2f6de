"""vLLM's schedulers for models in which the tokens of a picture see each other: a step computes all that is left of a picture, or none.

vLLM does so for a picture that a step begins (disable_chunked_mm_input), but not for one whose first tokens are in the cache of prefixes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.v1.request import Request


class WholePictures(Scheduler):
    """Ends a step of a request before a picture that it would cut."""

    def _try_schedule_encoder_inputs(
        self, request: Request, num_computed_tokens: int, num_new_tokens: int, *arguments: int, **options: int
    ) -> tuple[list[int], int, int, list[int], list[int]]:
        count = tokens_before_a_cut(request, num_computed_tokens, num_new_tokens)
        return super()._try_schedule_encoder_inputs(request, num_computed_tokens, count, *arguments, **options)


class AsyncWholePictures(WholePictures, AsyncScheduler):
    """The same, where vLLM schedules a step while the one before it runs."""


def tokens_before_a_cut(request: Request, computed: int, wanted: int) -> int:
    """How many of the next `wanted` tokens of a request can be computed without cutting a picture.

    Args:
        request: its pictures are known by place and length
        computed: how many of its tokens are computed, or found in the cache
    """
    end = computed + wanted
    for feature in request.mm_features or ():
        begin, length = feature.mm_position.offset, feature.mm_position.length
        if begin < end < begin + length:
            return max(begin - computed, 0)
    return wanted


def choose(config: VllmConfig) -> None:
    """Takes them for a model that needs them, unless the user has chosen a scheduler."""
    model, scheduler = config.model_config, config.scheduler_config
    if model is None or not (model.is_mm_prefix_lm and model.is_multimodal_model):
        return
    scheduler.disable_chunked_mm_input = True
    if scheduler.scheduler_cls is None:
        kind = AsyncWholePictures if scheduler.async_scheduling else WholePictures
        scheduler.scheduler_cls = f"{kind.__module__}.{kind.__qualname__}"
