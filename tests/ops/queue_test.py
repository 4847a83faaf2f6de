"""The order of launches: torch_npu hands its operators over from a queue of its own, in another thread; our launch goes to the stream."""

from __future__ import annotations

import os

import torch
from shared import run, zeros

from vllm_cann.ops.reshape_and_cache import reshape_and_cache


def tensors(tokens: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rows and a cache of zeros, and slots."""
    key, cache = zeros(tokens, 2, 32, dtype=torch.float16), zeros(4, 8, 2, 32, dtype=torch.float16)
    slots = torch.arange(tokens).npu()
    torch.npu.synchronize()
    return key, cache, slots


def test_the_queue_of_torch_npu_is_on() -> None:
    assert os.environ.get("TASK_QUEUE_ENABLE", "1") == "1"


def test_launches_come_after_what_was_queued_and_before_what_is_queued_next() -> None:
    for _ in range(5):
        key, cache, slots = tensors(32)
        values = torch.zeros_like(cache)
        for _ in range(30):
            key += 1
        reshape_and_cache(key, key, cache, values, slots)
        key.zero_()  # must not overtake the kernel that reads it
        seen = cache * 2
        cache.zero_()
        assert bool((seen == 60).all())
        assert bool((values == 30).all())
        assert bool((cache == 0).all())


def test_launches_through_torch_take_their_turn_too() -> None:
    table = torch.tensor([[0.0] * 16 + [1.0] * 16], device="npu")  # a quarter turn
    positions = zeros(8, dtype=torch.int64)
    for _ in range(5):
        query = zeros(8, 32)
        torch.npu.synchronize()
        for _ in range(30):
            query[:, :16] += 1
        torch.ops.vllm_cann.rotary_embedding(positions, query, None, 32, table, True)
        query += 1
        want = torch.tensor([1.0] * 16 + [31.0] * 16).expand(8, 32)
        assert torch.equal(query.cpu(), want)


def test_events_order_side_streams_and_without_them_the_order_is_lost() -> None:
    # Keeps the main stream busy for far longer than the host needs to queue the rest.
    slow = torch.ones(1500, 1500, device="npu")

    def chain(wait: bool) -> bool:
        key, cache, slots = tensors(32)
        side = torch.npu.Stream()
        ready, done = torch.npu.Event(), torch.npu.Event()
        slow @ slow
        for _ in range(30):
            key += 1
        ready.record()
        with torch.npu.stream(side):
            if wait:
                side.wait_event(ready)
            reshape_and_cache(key, key, cache, torch.zeros_like(cache), slots)
            cache *= 2
            done.record(side)
        torch.npu.current_stream().wait_event(done)
        seen = cache + 1
        torch.npu.synchronize()
        return bool((seen == 61).all())

    assert all(chain(wait=True) for _ in range(5))
    assert not all(chain(wait=False) for _ in range(5)), "delays show a missing wait"


def test_launches_wait_for_a_queue_that_lags() -> None:
    """Without workers a task runs in the thread that hands it over, so large additions hold the queue, and only the queue."""
    out = run(
        "from vllm_cann.ops.reshape_and_cache import reshape_and_cache\n"
        "ops.load(device)\n"
        "key = torch.zeros(1 << 13, 2, 512, device=device)\n"
        "cache = torch.zeros(1, 16, 2, 512, device=device)\n"
        "slots = torch.arange(16).npu()\n"
        "torch.npu.synchronize()\n"
        "for _ in range(5):\n    key += 1\n"
        "reshape_and_cache(key[:16], key[:16], cache, torch.zeros_like(cache), slots)\n"
        "print((cache == 5).all().item())\n",
        SOFTNPU_STREAMS="eager",
    )
    assert out.endswith("True\n")
