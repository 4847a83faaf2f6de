"""A step of a model whose pictures are read as a whole does not end within one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from vllm import SamplingParams
from vllm.config import VllmConfig
from vllm.engine.arg_utils import EngineArgs
from vllm.multimodal.inputs import MultiModalFeatureSpec, PlaceholderRange
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.request import Request

from vllm_cann import scheduler

MODEL = Path(os.environ["MODEL"]).absolute().parent


@pytest.mark.parametrize(
    ("computed", "wanted", "count"),
    [
        (0, 10, 10),
        (0, 11, 10),  # ends behind the first token of a picture
        (0, 13, 10),  # before its last one
        (0, 14, 14),
        (10, 3, 0),
        (12, 1, 0),  # its first tokens are cached
        (12, 2, 2),
        (12, 3, 3),
        (14, 6, 6),
        (12, 9, 8),  # the second picture is cut
        (0, 30, 30),
    ],
)
def test_a_step_ends_before_a_picture_that_it_would_cut(computed: int, wanted: int, count: int) -> None:
    pictures = [
        MultiModalFeatureSpec(None, "image", str(begin), PlaceholderRange(offset=begin, length=length))
        for begin, length in ((10, 4), (20, 5))
    ]
    request = Request("one", [1] * 40, SamplingParams(), None, mm_features=pictures)
    assert scheduler.tokens_before_a_cut(request, computed, wanted) == count
    assert scheduler.tokens_before_a_cut(Request("other", [1] * 40, SamplingParams(), None), computed, wanted) == wanted


def configuration() -> VllmConfig:
    return EngineArgs(str(MODEL), max_model_len=512, dtype="float32").create_engine_config()


def test_other_models_keep_the_scheduler() -> None:
    config = configuration()
    assert config.scheduler_config.scheduler_cls is None
    assert config.scheduler_config.disable_chunked_mm_input is False


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_model_that_reads_pictures_as_a_whole_gets_it(asynchronous: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configuration()
    kind = type(config.model_config)
    for name in ("is_mm_prefix_lm", "is_multimodal_model"):
        monkeypatch.delitem(vars(config.model_config), name, raising=False)
        monkeypatch.setattr(kind, name, True)
    config.scheduler_config.async_scheduling = asynchronous
    scheduler.choose(config)
    assert config.scheduler_config.disable_chunked_mm_input
    chosen = config.scheduler_config.get_scheduler_cls()
    assert issubclass(chosen, scheduler.WholePictures)
    assert issubclass(chosen, AsyncScheduler) == asynchronous
    config.scheduler_config.scheduler_cls = "vllm.v1.core.sched.scheduler.Scheduler"
    scheduler.choose(config)
    assert config.scheduler_config.scheduler_cls == "vllm.v1.core.sched.scheduler.Scheduler"
