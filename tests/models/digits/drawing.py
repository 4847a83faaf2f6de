"""Drawn digits in a colour, and questions about them: what the model `digits` was trained for, and what tests ask it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

SIDE = 56
COLOURS = {"red": (220, 40, 40), "green": (40, 170, 60), "blue": (50, 80, 220), "black": (20, 20, 20)}
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
QUESTIONS = ("digit", "colour")
_VISION = ("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>")
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *_VISION, "<unk>")
VOCABULARY = (*SPECIAL, "user", "assistant", "system", "which", "?", *QUESTIONS, *COLOURS, *DIGITS)


@dataclass(frozen=True)
class Drawing:
    """A digit and how it is drawn."""

    digit: int
    colour: str
    size: int
    x: int
    y: int
    ground: int

    def picture(self) -> Image.Image:
        """56 x 56 pixels, RGB."""
        picture = Image.new("RGB", (SIDE, SIDE), (self.ground,) * 3)
        ImageDraw.Draw(picture).text((self.x, self.y), str(self.digit), COLOURS[self.colour], ImageFont.load_default(self.size))
        return picture

    def answer(self, question: str) -> str:
        """The word that answers "which digit ?" or "which colour ?"."""
        return DIGITS[self.digit] if question == "digit" else self.colour


def draw(rng: random.Random) -> Drawing:
    """A digit at random."""
    return Drawing(
        digit=rng.randrange(10),
        colour=rng.choice([*COLOURS]),
        size=rng.randint(38, 42),
        x=rng.randint(12, 18),
        y=rng.randint(0, 6),
        ground=rng.randint(190, 255),
    )
