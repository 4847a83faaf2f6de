"""Questions to a chat model: some at once, each answer's text printed while it comes, and a conversation at the keyboard."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import openai
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam

# A model of 135 million parameters answers these well.
QUESTIONS = (
    "What is the capital of France?",
    "How many days are there in a week?",
    "Why is the sky blue?",
    "Explain in two sentences what photosynthesis is.",
    "Name three primary colours.",
    "Write a haiku about the sea.",
)
MAX_TOKENS = 64
MARGIN = "    "


class ConversationError(RuntimeError):
    """The server answered an error, or nothing that makes sense. The message is one sentence."""


@dataclass
class Answer:
    """One question and what came back for it."""

    question: str
    text: str = ""
    prompt_ids: list[int] = field(default_factory=list)
    """Token ids of the prompt, made by the server with the chat template."""
    token_ids: list[int] = field(default_factory=list)
    """Token ids of the answer; the last one ends the answer unless it was cut off."""
    finish_reason: str = ""
    first: float = 0.0
    """When the first text came, on the monotonic clock."""


def sentence(error: openai.OpenAIError) -> str:
    """What a client error says, in one line."""
    if isinstance(error, openai.APIStatusError):
        body = error.body
        message = body.get("message") if isinstance(body, dict) else None
        return f"the server answered HTTP {error.status_code}: {' '.join(str(message or error.message).split())}"
    return f"the server did not answer: {' '.join(str(error).split())}"


async def stream(client: AsyncOpenAI, model: str, answer: Answer, max_tokens: int) -> AsyncIterator[str]:
    """Asks one question greedily. Gives the text piece by piece and fills `answer`."""
    try:
        chunks = await client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": answer.question}],
            max_tokens=max_tokens,
            temperature=0,
            stream=True,
            extra_body={"return_token_ids": True},
        )
        async for chunk in chunks:
            # Fields that vLLM adds to OpenAI's.
            answer.prompt_ids += (chunk.model_extra or {}).get("prompt_token_ids") or []
            for choice in chunk.choices:
                answer.token_ids += (choice.model_extra or {}).get("token_ids") or []
                answer.finish_reason = choice.finish_reason or answer.finish_reason
                if text := choice.delta.content:
                    answer.first = answer.first or time.monotonic()
                    answer.text += text
                    yield text
    except openai.OpenAIError as error:
        raise ConversationError(sentence(error)) from error
    if not answer.finish_reason:
        raise ConversationError(f"the answer to {answer.question!r} broke off after {len(answer.token_ids)} tokens")
    if not answer.text or not answer.token_ids or not answer.prompt_ids:
        raise ConversationError(f"the answer to {answer.question!r} is empty")


class Page:
    """Prints answers that come at the same time, one below the other.

    The first answer that is not complete is printed as it comes. Those after it wait, and what they have by then is printed when their turn
    comes; so no two answers mix.
    """

    def __init__(self, count: int, write: Callable[[str], None]) -> None:
        self._waiting: list[list[str]] = [[] for _ in range(count)]
        self._ended = [False] * count
        self._turn = 0
        self._write = write

    def add(self, index: int, text: str) -> None:
        """Takes a piece of answer `index`."""
        if index == self._turn:
            self._write(text)
        else:
            self._waiting[index].append(text)

    def end(self, index: int) -> None:
        """Answer `index` is complete."""
        self._ended[index] = True
        while self._turn < len(self._ended) and self._ended[self._turn]:
            self._turn += 1
            if self._turn < len(self._ended):
                self._write("".join(self._waiting[self._turn]))


@dataclass(frozen=True)
class Answers:
    """Answers in the order of the questions."""

    answers: list[Answer]
    seconds: float
    """From the first request to the last token."""

    @property
    def tokens(self) -> int:
        """How many tokens were generated."""
        return sum(len(answer.token_ids) for answer in self.answers)

    @property
    def first(self) -> float:
        """When the first text came, on the monotonic clock."""
        return min(answer.first for answer in self.answers)


def _print(text: str) -> None:
    print(text, end="", flush=True)


async def _ask_all(url: str, model: str, questions: Sequence[str], max_tokens: int, write: Callable[[str], None]) -> Answers:
    answers = [Answer(question) for question in questions]
    page = Page(len(answers), write)
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=300) as client:

        async def one(index: int, answer: Answer) -> None:
            page.add(index, f"\n> {answer.question}\n{MARGIN}")
            async for text in stream(client, model, answer, max_tokens):
                page.add(index, text.replace("\n", f"\n{MARGIN}"))
            cut = " [...]" if answer.finish_reason == "length" else ""
            page.add(index, f"{cut}\n{MARGIN}({len(answer.token_ids)} tokens)\n")
            page.end(index)

        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for index, answer in enumerate(answers):
                group.create_task(one(index, answer))
        return Answers(answers, time.monotonic() - begun)


def ask_all(
    url: str, model: str, questions: Sequence[str] = QUESTIONS, max_tokens: int = MAX_TOKENS, write: Callable[[str], None] = _print
) -> Answers:
    """Asks all questions at the same time, greedily, and prints the answers as they come.

    Raises:
        ConversationError: one of them failed
    """
    try:
        return asyncio.run(_ask_all(url, model, questions, max_tokens, write))
    except ExceptionGroup as group:
        failed, other = group.split(ConversationError)
        if other is not None or failed is None:
            raise
        raise ConversationError(str(failed.exceptions[0])) from group


def converse(url: str, model: str) -> None:
    """A conversation at the keyboard, until the end of the input.

    Each question is asked with all that was said before. Answers are sampled: greedy ones of a small model repeat themselves.

    Raises:
        ConversationError: the server failed
    """
    print("type a question; /new forgets the conversation; Ctrl-D ends", flush=True)
    said: list[ChatCompletionMessageParam] = []
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=300) as client:
        while True:
            try:
                question = input("\n> ").strip()
            except EOFError:
                print()
                return
            if question == "/new":
                said = []
            elif question:
                asked: list[ChatCompletionMessageParam] = [*said, {"role": "user", "content": question}]
                text = _reply(client, model, asked)
                said = [*asked, {"role": "assistant", "content": text}] if text else said


def _reply(client: OpenAI, model: str, messages: list[ChatCompletionMessageParam]) -> str:
    """Prints an answer as it comes and returns it; empty when the server refused the request."""
    text, ended, counts = "", False, ""
    _print(MARGIN)
    try:
        chunks = client.chat.completions.create(
            model=model,
            messages=messages,
            temperature=0.2,
            top_p=0.9,
            stream=True,
            stream_options={"include_usage": True},
        )
        for chunk in chunks:
            if chunk.usage:
                counts = f"({chunk.usage.completion_tokens} tokens, {chunk.usage.total_tokens} in the conversation)"
            for choice in chunk.choices:
                ended |= choice.finish_reason is not None
                text += choice.delta.content or ""
                _print((choice.delta.content or "").replace("\n", f"\n{MARGIN}"))
    except openai.BadRequestError as error:
        # A conversation that has grown longer than the model's context, for instance.
        print(f"({sentence(error)}; /new forgets the conversation)", flush=True)
        return ""
    except openai.OpenAIError as error:
        raise ConversationError(sentence(error)) from error
    if not ended:
        raise ConversationError(f"the answer broke off after {text[-40:]!r}")
    print(f"\n{MARGIN}{counts}", flush=True)
    return text
