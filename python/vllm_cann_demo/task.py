"""The task of the test models: recall facts from the context, forwards or backwards.

A prompt lists facts, each a name and three words, and asks for one of them. `?` asks for the words in order, `!` in reverse:

    ada : fig oak elm ; bob : ivy yew fig ; bob ?   ->   ivy yew fig ;
    ada : fig oak elm ; bob : ivy yew fig ; ada !   ->   elm oak fig ;

Every name and word is one token, and nothing but the context tells the answer: attention to a wrong position, lane or cache block gives
another word. Questions for training and for tests are disjoint: the hash of a question's facts decides (see `is_held_out`).
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass

NAMES = [
    "ada",
    "bob",
    "cyd",
    "dan",
    "eve",
    "fay",
    "gus",
    "hal",
    "ida",
    "jon",
    "kay",
    "lee",
    "mia",
    "ned",
    "oda",
    "pam",
    "quin",
    "ray",
    "sal",
    "tom",
    "uma",
    "val",
    "wes",
    "xia",
    "yan",
    "zoe",
    "abe",
    "bea",
    "cal",
    "dot",
    "eli",
    "flo",
    "gil",
    "hew",
    "ike",
    "jan",
    "ken",
    "lou",
    "max",
    "nan",
]
WORDS = [
    "fig",
    "oak",
    "elm",
    "ivy",
    "yew",
    "ash",
    "bay",
    "fir",
    "hop",
    "nut",
    "pea",
    "rye",
    "tea",
    "yam",
    "kale",
    "dill",
    "mint",
    "sage",
    "leek",
    "plum",
    "pear",
    "lime",
    "date",
    "beet",
    "corn",
    "rice",
    "bean",
    "chia",
    "flax",
    "hemp",
    "moss",
    "fern",
    "reed",
    "palm",
    "pine",
    "cedar",
    "maple",
    "birch",
    "alder",
    "aspen",
    "hazel",
    "holly",
    "rowan",
    "larch",
    "beech",
    "acorn",
    "berry",
    "grape",
    "melon",
    "mango",
    "peach",
    "olive",
    "onion",
    "chive",
    "cumin",
    "thyme",
    "basil",
    "clove",
    "anise",
    "sorrel",
    "cress",
]
END = ";"
VOCABULARY = ["<pad>", "<end>", ":", END, "?", "!", *NAMES, *WORDS]


@dataclass(frozen=True)
class Question:
    """Facts, and one of them asked for."""

    facts: tuple[tuple[str, tuple[str, str, str]], ...]
    asked: int
    backwards: bool

    @property
    def prompt(self) -> str:
        """What the model is given."""
        facts = " ".join(f"{name} : {' '.join(words)} {END}" for name, words in self.facts)
        return f"{facts} {self.facts[self.asked][0]} {'!' if self.backwards else '?'}"

    @property
    def answer(self) -> str:
        """What it has to say, with the closing semicolon."""
        words = self.facts[self.asked][1]
        return " ".join([*(reversed(words) if self.backwards else words), END])


def is_held_out(facts: tuple[tuple[str, tuple[str, str, str]], ...]) -> bool:
    """Whether a list of facts is for tests only: one in sixteen, by its hash."""
    return zlib.crc32(repr(facts).encode()) % 16 == 0


def make_facts(rng: random.Random, count: int, held_out: bool) -> tuple[tuple[str, tuple[str, str, str]], ...]:
    """Facts with `count` different names, for tests or for training."""
    while True:
        names = rng.sample(NAMES, count)
        facts = tuple((name, (rng.choice(WORDS), rng.choice(WORDS), rng.choice(WORDS))) for name in names)
        if is_held_out(facts) == held_out:
            return facts


def questions(seed: int, count: int, least: int = 2, most: int = 40) -> list[Question]:
    """Held-out questions over `least` to `most` facts."""
    rng = random.Random(seed)
    out = []
    for _ in range(count):
        facts = make_facts(rng, rng.randint(least, most), held_out=True)
        out.append(Question(facts, rng.randrange(len(facts)), rng.random() < 0.5))
    return out
