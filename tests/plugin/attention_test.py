"""How requests go into padded calls of the fused attention."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from vllm_cann import attention


class Copies(TorchDispatchMode):
    """Copies to the device that do not wait; whether each came from pinned memory."""

    def __init__(self) -> None:
        super().__init__()
        self.pinned: list[bool] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if "copy" in str(function) and kwargs.get("non_blocking") and args[0].device.type == "cpu":
            self.pinned.append(args[0].is_pinned())
        return function(*args, **kwargs)


def step(query_lens: list[int]) -> attention.CannMetadata:
    requests = len(query_lens)
    ends = torch.tensor(query_lens).cumsum(0).tolist()
    return attention.CannMetadata(
        num_tokens=ends[-1],
        query_ends=ends,
        query_lens=query_lens,
        kv_lens=[length + 3 for length in query_lens],
        seq_lens=torch.tensor([length + 3 for length in query_lens], dtype=torch.int32).npu(),
        block_table=torch.arange(requests * 2, dtype=torch.int32).view(requests, 2).npu(),
        mask=None,
    )


@pytest.mark.parametrize(
    "query_lens",
    [[1], [1, 1, 1], [5], [3, 3], [1, 4], [4, 1], [2, 1, 5, 1, 1, 3], [0, 2, 1, 0], [7, 0, 7]],
    ids=str,
)
def test_padding_puts_each_token_back(query_lens: list[int]) -> None:
    given = step(query_lens)
    with Copies() as copies:
        padding = attention._pad(given)
    # One copy at most, and the device reads its source after this function has returned.
    assert copies.pinned in ([], [True])
    rows = torch.arange(given.num_tokens)
    results = []
    seen = []
    for group in padding.groups:
        padded = rows if group.sources is None else rows[group.sources.cpu()]
        assert padded.numel() == len(group.query_lens) * group.longest
        request_of = group.block_table.cpu()[:, 0] // 2
        assert [query_lens[i] for i in request_of.tolist()] == group.query_lens
        assert [given.kv_lens[i] for i in request_of.tolist()] == group.kv_lens
        for row, request in zip(padded.view(-1, group.longest), request_of.tolist(), strict=True):
            begin = given.query_ends[request] - query_lens[request]
            assert row[: query_lens[request]].tolist() == [*range(begin, given.query_ends[request])]
        seen += request_of.tolist()
        results.append(padded if group.places is None else padded[group.places.cpu()])
    assert sorted(seen) == [i for i, length in enumerate(query_lens) if length > 0]
    packed = torch.cat(results)
    assert torch.equal(packed if padding.order is None else packed[padding.order.cpu()], rows)


def test_steps_of_one_kind_need_no_gathering() -> None:
    for query_lens in ([1, 1, 1], [4], [3, 3]):
        padding = attention._pad(step(query_lens))
        [group] = padding.groups
        assert group.sources is None
        assert group.places is None
        assert padding.order is None
