"""Asks the test model `recall` (see task.py) and counts its right answers."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from openai import AsyncOpenAI
from vllm_cann_demo.task import Question, questions

QUESTIONS = 32
SEED = 7
CONCURRENT = 8


async def ask(client: AsyncOpenAI, model: str, question: Question, stream: bool) -> tuple[str, int]:
    """The model's answer and its number of tokens."""
    request: dict[str, Any] = {"model": model, "prompt": question.prompt, "max_tokens": 8, "temperature": 0}
    if not stream:
        reply = await client.completions.create(**request)
        return reply.choices[0].text.strip(), reply.usage.completion_tokens
    text, tokens = "", 0
    async for chunk in await client.completions.create(**request, stream=True, stream_options={"include_usage": True}):
        text += chunk.choices[0].text if chunk.choices else ""
        tokens = chunk.usage.completion_tokens if chunk.usage else tokens
    return text.strip(), tokens


@dataclass(frozen=True)
class Replies:
    """Answers in the order of the questions."""

    answers: list[str]
    tokens: int
    seconds: float
    first: float
    """When the first answer was there, on the monotonic clock."""


async def ask_all(url: str, model: str, asked: list[Question]) -> Replies:
    """Asks everything, some at the same time. Every second answer is streamed."""
    gate = asyncio.Semaphore(CONCURRENT)
    ends: list[float] = []
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=120) as client:

        async def one(index: int, question: Question) -> tuple[str, int]:
            async with gate:
                reply = await ask(client, model, question, stream=index % 2 == 1)
                ends.append(time.monotonic())
                return reply

        begun = time.monotonic()
        replies = await asyncio.gather(*(one(i, q) for i, q in enumerate(asked)))
    answers = [text for text, _ in replies]
    return Replies(answers, sum(tokens for _, tokens in replies), ends[-1] - begun, ends[0])


def run(url: str, model: str) -> tuple[Replies, bool]:
    """Asks the questions and prints the answers. Also returns whether all are right."""
    asked = questions(SEED, QUESTIONS)
    replies = asyncio.run(ask_all(url, model, asked))
    right = 0
    for question, answer in zip(asked, replies.answers, strict=True):
        good = answer == question.answer
        right += good
        shown = question.prompt if len(question.prompt) < 60 else f"... {question.prompt[-56:]}"
        print(f"  {shown:60} -> {answer:24} {'' if good else 'WRONG, it is ' + question.answer}")
    print(f"answers: {right}/{len(asked)} correct", flush=True)
    return replies, right == len(asked)
