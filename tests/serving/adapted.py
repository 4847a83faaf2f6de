"""Models with their adapters, and requests of several adapters and of none."""

from __future__ import annotations

from pathlib import Path

import quantised
from adapters import ADAPTERS
from harness import Models
from matrix import TOKENS, prompts

# Each prompt, and the number of its adapter: 0 is none.
ASKED = [(prompt, number % 4) for number, prompt in enumerate(prompts())]


class Adapted(Models):
    """Models with their adapters, and what HF transformers makes of them."""

    def get(self, name: str) -> tuple[Path, list[Path]]:
        """A model and its adapters. Those of a quantised model are those of the model that it was."""
        path, base = self.model(name), quantised.base(name)
        places = [self.directory / f"{base}-{one.name}" for one in ADAPTERS]
        for one, place in zip(ADAPTERS, places, strict=True):
            if not place.exists():
                self.ask(self.model(base), make_adapter=one.name, adapter=str(place))
        return path, places

    def expected(self, name: str) -> list[list[int]]:
        """Greedy float32 tokens of each of ASKED."""
        path, adapters = self.get(name)
        out: dict[int, list[int]] = {}
        for adapter, place in enumerate([None, *adapters]):
            places = [i for i, (_, number) in enumerate(ASKED) if number == adapter]
            out.update(zip(places, self.tokens(path, [ASKED[i][0] for i in places], TOKENS, place), strict=True))
        return [out[i] for i in range(len(ASKED))]
