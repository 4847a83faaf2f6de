"""Tokens of a picture that see each other: models whose decoder reads pictures as a whole (Gemma 3, PaliGemma).

A token of such a picture sees what a causal decoder would let it see, and the picture's later tokens. vLLM schedules a picture's tokens in
one step, so all of them are in the cache when one of them is computed; vllm_cann.scheduler sees to it where a part of a picture was cached.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class Picture:
    """What of a picture is computed in a step.

    Attributes:
        request: its place in the step
        rows: of the packed query
        places: of these rows in the request's own tokens of the step
        begin, end: where the picture begins in the request, and where it ends
    """

    request: int
    rows: slice
    places: slice
    begin: int
    end: int
    _unseen: dict[tuple[int, bool], torch.Tensor | None] = field(default_factory=dict, compare=False)

    def unseen(self, distances: torch.Tensor, window: int | None, within: bool) -> torch.Tensor | None:
        """What the rows do not see of the tokens up to the picture's end.

        Args:
            distances: int32 [rows, end]: how far a key lies behind its query; before it, below zero
            window: a token sees itself and those before it that are less than this far away; None: all
            within: whether a window hides the picture's own first tokens, too

        Returns:
            bool [rows, end] on the device; None where they see all
        """
        if window is None or self.end <= window or (self.begin == 0 and not within):
            return None
        key = (window, within)
        if key not in self._unseen:
            hidden = distances <= -window
            if not within:
                hidden[:, self.begin :] = False
            self._unseen[key] = hidden
        return self._unseen[key]


def pictures_of(
    ranges: dict[int, list[tuple[int, int]]] | None, query_ends: list[int], query_lens: list[int], kv_lens: list[int]
) -> list[Picture] | None:
    """The pictures that a step computes tokens of; None where it computes none.

    Args:
        ranges: for each request, the first and the last place of each of its pictures
        query_ends, query_lens, kv_lens: for each request of the step, as in CannMetadata

    Raises:
        RuntimeError: a step ends within a picture, whose tokens would not see the rest
    """
    found = []
    for request, some in (ranges or {}).items():
        if request >= len(query_lens):
            continue
        computed = kv_lens[request] - query_lens[request]
        start = query_ends[request] - query_lens[request]
        for begin, last in some:
            if last < computed or begin >= kv_lens[request]:
                continue
            if last >= kv_lens[request]:
                first, end = max(begin, computed), kv_lens[request] - 1
                raise RuntimeError(
                    f"a step computes the tokens {first} to {end} of a picture that ends at the token {last}; "
                    "the tokens of a picture see each other, so they have to be computed in one step"
                )
            first = max(begin, computed) - computed
            places = slice(first, last + 1 - computed)
            found.append(Picture(request, slice(start + places.start, start + places.stop), places, begin, last + 1))
    return found or None
