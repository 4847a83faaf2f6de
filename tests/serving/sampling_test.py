"""What a request can ask of the sampler, against a plain computation from HF transformers' logits. float32.

Greedy answers are checked place by place: with the tokens before it, a token has to be the one that the computation gives. So an answer is
right as a whole. Options differ from request to request of a batch, and free requests stand between them: a row that gets the options of
another one has another answer.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from harness import Reference, in_engine

Array = npt.NDArray[Any]
Request = tuple[list[int], dict[str, Any]]
VOCABULARY = 512
PROMPTS = [[(7 * i * i + 3 * length + 11) % VOCABULARY for i in range(length)] for length in (3, 9, 40, 70, 300, 5, 130, 21)]
# The tokenizer of tiny.py has a token for each byte, in the order of their letters.
LETTERS = "abcdefgh"
FIRST = sorted("!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~").index("a")
# A logit is a sum of 128 products, and so are the elements of layers before it; their magnitudes add up to some 16. HF transformers and we
# sum in different orders: each is wrong by at most 129 x 2^-24 x 16 = 1.2e-4 in the last layer, of which a logarithm of a softmax has two.
LOGPROB_ERROR = 5e-4


class Reference32:
    """A model of tiny.py, and its logits by HF transformers."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "qwen3"
        self._process = Reference()
        self._ask(make="qwen3")

    def _ask(self, **job: Any) -> dict[str, Any]:
        self._process.begin(self.path, **job)
        return self._process.end()

    def logits(self, texts: Sequence[list[int]]) -> list[Array]:
        """[tokens, vocabulary] for each text, float64."""
        return [np.array(rows, np.float64) for rows in self._ask(dtype="float32", logits=list(texts))["logits"]]

    def greedy(self, prompts: Sequence[list[int]], tokens: int) -> list[list[int]]:
        return self._ask(dtype="float32", greedy=list(prompts), new_tokens=tokens)["tokens"]

    def close(self) -> None:
        self._process.close()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference32]:
    made = Reference32(tmp_path_factory.mktemp("sampling"))
    yield made
    made.close()


def _row(logprobs: Any) -> list[list[float]] | None:
    """[token, logarithm, rank] for each token that the answer tells."""
    return None if logprobs is None else [[token, one.logprob, one.rank] for token, one in logprobs.items()]


def serve(model: Reference32, directory: Path, requests: Sequence[Request], before: Callable[[], None] | None = None) -> list[list[dict]]:
    """The answers to each request, all in one batch. A request is a prompt, and options that are not greedy decoding of 10 tokens."""

    def work() -> object:
        if before is not None:
            before()
        from vllm import LLM, SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        llm = LLM(
            str(model.path),
            dtype="float32",
            max_model_len=512,
            max_num_batched_tokens=160,
            gpu_memory_utilization=0.5,
            max_num_seqs=128,
            max_logprobs=VOCABULARY,
            structured_outputs_config={"backend": "xgrammar", "disable_any_whitespace": True},
        )
        parameters = []
        for _, options in requests:
            given = {"temperature": 0, "max_tokens": 10, "ignore_eos": True, **options}
            if structured := given.pop("structured", None):
                given["structured_outputs"] = StructuredOutputsParams(**structured)
            parameters.append(SamplingParams(**given))
        outputs = llm.generate([{"prompt_token_ids": prompt} for prompt, _ in requests], parameters, use_tqdm=False)
        return [
            [
                {
                    "tokens": [*one.token_ids],
                    "text": one.text,
                    "finish": one.finish_reason,
                    "stop": one.stop_reason,
                    "logprobs": one.logprobs and [_row(row) for row in one.logprobs],
                    "prompt": output.prompt_logprobs and [_row(row) for row in output.prompt_logprobs],
                }
                for one in output.outputs
            ]
            for output in outputs
        ]

    result, _ = in_engine(work, directory)
    return result


def check_greedy(
    model: Reference32, requests: Sequence[Request], found: Sequence[list[dict]], rules: Sequence[Callable[..., Array]]
) -> None:
    """Each answer is what greedy decoding gives with the logits that its rule makes of (logits, prompt, answer so far)."""
    answers = [answer["tokens"] for [answer] in found]
    all_logits = model.logits([prompt + answer for (prompt, _), answer in zip(requests, answers, strict=True)])
    for (prompt, options), answer, logits, rule in zip(requests, answers, all_logits, rules, strict=True):
        for place, token in enumerate(answer):
            row = rule(logits[len(prompt) - 1 + place].copy(), prompt, answer[:place])
            assert token == int(row.argmax()), (options, place, token, int(row.argmax()))


def free(logits: Array, prompt: list[int], answer: list[int]) -> Array:
    return logits


def log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def test_logprobs_of_answers_and_prompts(model: Reference32, tmp_path: Path) -> None:
    """Also of prompts that are computed in chunks."""
    requests: list[Request] = [
        (PROMPTS[0], {"logprobs": 5, "prompt_logprobs": 3}),
        (PROMPTS[4], {"prompt_logprobs": 2}),
        (PROMPTS[1], {}),
        (PROMPTS[6], {"logprobs": 0, "prompt_logprobs": 1}),
        (PROMPTS[2], {"logprobs": 7, "temperature": 1.0, "seed": 4, "top_k": 40}),
        (PROMPTS[3], {"logprobs": VOCABULARY}),
    ]
    found = [answer for [answer] in serve(model, tmp_path, requests)]
    all_logits = model.logits([prompt + one["tokens"] for (prompt, _), one in zip(requests, found, strict=True)])

    def check(row: list[list[float]], logits: Array, token: int, count: int) -> None:
        exact = log_softmax(logits)
        order = np.argsort(-exact, kind="stable")
        told = {int(one): (value, rank) for one, value, rank in row}
        assert len(told) == (count if token in order[:count] else count + 1)
        assert told.keys() == {token, *order[:count].tolist()}
        for one, (value, rank) in told.items():
            assert abs(value - exact[one]) <= LOGPROB_ERROR
            assert rank == order.tolist().index(one) + 1

    for (prompt, options), answer, logits in zip(requests, found, all_logits, strict=True):
        if "logprobs" in options:
            assert len(answer["logprobs"]) == len(answer["tokens"])
            for place, (row, token) in enumerate(zip(answer["logprobs"], answer["tokens"], strict=True)):
                check(row, logits[len(prompt) - 1 + place], token, options["logprobs"])
        else:
            assert answer["logprobs"] is None
        if "prompt_logprobs" in options:
            assert answer["prompt"][0] is None
            assert len(answer["prompt"]) == len(prompt)
            for place in range(1, len(prompt)):
                check(answer["prompt"][place], logits[place - 1], prompt[place], options["prompt_logprobs"])
        else:
            assert answer["prompt"] is None


def penalised(repetition: float = 1.0, frequency: float = 0.0, presence: float = 0.0) -> Callable[[Array, list[int], list[int]], Array]:
    """Repetition counts the prompt, too; the others the answer alone."""

    def rule(logits: Array, prompt: list[int], answer: list[int]) -> Array:
        for token in {*prompt, *answer}:
            logits[token] = logits[token] / repetition if logits[token] > 0 else logits[token] * repetition
        for token, count in Counter(answer).items():
            logits[token] -= frequency * count + presence
        return logits

    return rule


def test_penalties(model: Reference32, tmp_path: Path) -> None:
    given = [{}, {"repetition": 1.7}, {"frequency": 1.5}, {"presence": 1.9}, {}, {"repetition": 0.6}, {"frequency": -1.0, "presence": -1.0}]
    given.append({"repetition": 1.3, "frequency": 0.8, "presence": 0.5})
    requests: list[Request] = [
        (prompt, {"max_tokens": 24, **{f"{name}_penalty": value for name, value in options.items()}})
        for prompt, options in zip(PROMPTS, given, strict=True)
    ]
    found = serve(model, tmp_path, requests)
    check_greedy(model, requests, found, [penalised(**options) for options in given])
    # Without its penalty each of these answers would be another one: else nothing was checked.
    plain = model.greedy(PROMPTS, 24)
    changed = [one["tokens"] != other for [one], other in zip(found, plain, strict=True)]
    assert changed == [bool(options) for options in given]


def allowed(tokens: Sequence[int]) -> Callable[[Array, list[int], list[int]], Array]:
    def rule(logits: Array, prompt: list[int], answer: list[int]) -> Array:
        kept = np.full_like(logits, -np.inf)
        kept[[*tokens]] = logits[[*tokens]]
        return kept

    return rule


def token(letter: str) -> int:
    return FIRST + ord(letter) - ord("a")


def test_biases_allowed_tokens_and_bad_words(model: Reference32, tmp_path: Path) -> None:
    letters = [token(letter) for letter in LETTERS]
    only_letters = allowed(letters)
    # What greedy decoding with these letters answers, to forbid some of it.
    plain = serve(model, tmp_path, [(PROMPTS[i], {"allowed_token_ids": letters, "max_tokens": 16}) for i in range(3)])
    words = [[one["text"][at : at + size] for at, size in ((0, 1), (4, 2), (9, 3))] for [one] in plain]
    assert all(re.fullmatch(f"[{LETTERS}]{{16}}", one["text"]) for [one] in plain)
    biases = {5: 3.0, 17: 2.5, 400: -4.0, 300: 2.0}

    def biased(logits: Array, prompt: list[int], answer: list[int]) -> Array:
        for one, bias in biases.items():
            logits[one] += bias
        return logits

    def without(forbidden: Sequence[str]) -> Callable[[Array, list[int], list[int]], Array]:
        def rule(logits: Array, prompt: list[int], answer: list[int]) -> Array:
            logits = only_letters(logits, prompt, answer)
            said = "".join(LETTERS[one - FIRST] for one in answer)
            for word in forbidden:
                if said.endswith(word[:-1]):
                    logits[token(word[-1])] = -np.inf
            return logits

        return rule

    requests: list[Request] = []
    rules: list[Callable[..., Array]] = []
    for i in range(3):
        requests += [
            (PROMPTS[i], {"allowed_token_ids": letters, "bad_words": words[i], "max_tokens": 16}),
            (PROMPTS[i], {"logit_bias": biases, "max_tokens": 16}),
            (PROMPTS[i], {"max_tokens": 16}),
            (PROMPTS[i], {"allowed_token_ids": letters, "max_tokens": 16}),
        ]
        rules += [without(words[i]), biased, free, only_letters]
    found = serve(model, tmp_path, requests)
    check_greedy(model, requests, found, rules)
    for i in range(3):
        forbidden, bias, plain_answer, of_letters = (answer["tokens"] for [answer] in found[4 * i : 4 * i + 4])
        assert forbidden != of_letters
        assert bias != plain_answer


def chosen(logits: Array, temperature: float, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0) -> Array:
    """The probability of each token."""
    logits = logits / temperature
    probabilities = np.exp(log_softmax(logits))
    logits = np.where(probabilities >= min_p * probabilities.max(), logits, -np.inf)
    if top_k:
        logits = np.where(logits >= np.sort(logits)[-top_k], logits, -np.inf)
    probabilities = np.exp(log_softmax(logits))
    order = np.argsort(-probabilities, kind="stable")
    sums = np.cumsum(probabilities[order])
    kept = order[: int(np.searchsorted(sums, top_p)) + 1] if top_p < 1 else order
    out = np.zeros_like(probabilities)
    out[kept] = probabilities[kept]
    return out / out.sum()


SETTINGS: list[dict[str, float]] = [
    {"temperature": 1.0, "top_k": 12},
    {"temperature": 1.5, "top_p": 0.6},
    {"temperature": 0.8, "min_p": 0.1},
    {"temperature": 1.2, "top_k": 30, "top_p": 0.8, "min_p": 0.02},
]
DRAWS = 600


def check_drawn(counts: Counter[int], exact: Array) -> None:
    """Pearson's sum over cells of at least 5 expected draws, the others together being one.

    With many draws its distribution is that of chi-squared: for k degrees of freedom it is above k + 2 sqrt(14 k) + 28 with a probability
    below e^-14 (Laurent and Massart). Seeds are fixed, so the test gives the same every time.
    """
    assert {one for one in counts if exact[one] == 0} == set(), "tokens that are not allowed"
    expected = DRAWS * exact
    large = np.flatnonzero(expected >= 5)
    cells = [(counts[int(one)], expected[one]) for one in large]
    rest = DRAWS - sum(number for number, _ in cells)
    if (wanted := DRAWS - expected[large].sum()) >= 5:
        cells.append((rest, wanted))
    freedom = len(cells) - 1
    assert freedom >= 3
    statistic = sum((number - wanted) ** 2 / wanted for number, wanted in cells)
    assert statistic <= freedom + 2 * math.sqrt(14 * freedom) + 28, (statistic, freedom)


@pytest.mark.parametrize("seeded", [pytest.param(True, marks=pytest.mark.night), False])
def test_drawn_tokens_have_the_exact_distribution(seeded: bool, model: Reference32, tmp_path: Path) -> None:
    """Requests of four settings stand in turn in each batch."""
    requests: list[Request] = [
        (PROMPTS[number], {**setting, "max_tokens": 1, **({"seed": 1000 * draw + number} if seeded else {})})
        for draw in range(DRAWS)
        for number, setting in enumerate(SETTINGS)
    ]
    found = serve(model, tmp_path, requests)
    for number, (setting, logits) in enumerate(zip(SETTINGS, model.logits(PROMPTS[: len(SETTINGS)]), strict=True)):
        counts = Counter(answer["tokens"][0] for [answer] in found[number :: len(SETTINGS)])
        check_drawn(counts, chosen(logits[-1], **setting))  # type: ignore[arg-type]


def test_seeds_and_several_answers(model: Reference32, tmp_path: Path) -> None:
    """A seed gives the same tokens whatever stands beside the request; n answers are those of n seeds from the given one on."""
    options = {"temperature": 1.3, "top_k": 50, "max_tokens": 12}
    requests: list[Request] = [(PROMPTS[1], {**options, "seed": 7, "n": 3})]
    for seed in (9, 8, 7, 7):
        requests += [(PROMPTS[1], {**options, "seed": seed}), (PROMPTS[2], {}), (PROMPTS[3], {"temperature": 1.0})]
    requests.append((PROMPTS[2], {"n": 2, "temperature": 1.0, "max_tokens": 12}))
    found = [[one["tokens"] for one in answers] for answers in serve(model, tmp_path, requests)]
    of_seeds = [found[1], found[4], found[7], found[10]]
    assert found[0] == [of_seeds[2][0], of_seeds[1][0], of_seeds[0][0]]
    assert of_seeds[2] == of_seeds[3]
    assert len({tuple(one) for one in found[0]}) == 3
    assert len(found[-1]) == 2
    assert found[-1][0] != found[-1][1]
    [plain] = model.greedy([PROMPTS[2]], 10)
    assert [found[i] for i in (2, 5, 8, 11)] == [[plain]] * 4
    others = serve(model, tmp_path, [(PROMPTS[4], {}), (PROMPTS[1], {**options, "seed": 8})])
    assert others[1][0]["tokens"] == of_seeds[1][0]


def test_stop_strings_and_tokens(model: Reference32, tmp_path: Path) -> None:
    letters = {"allowed_token_ids": [token(letter) for letter in LETTERS], "max_tokens": 20}
    [[plain], [other]] = serve(model, tmp_path, [(PROMPTS[0], letters), (PROMPTS[1], letters)])
    text = plain["text"]
    assert len(text) == 20
    stop = text[6:9]
    at = text.index(stop)
    requests: list[Request] = [
        (PROMPTS[0], {**letters, "stop": [stop, "zzz"]}),
        (PROMPTS[1], letters),
        (PROMPTS[0], {**letters, "stop": [stop], "include_stop_str_in_output": True}),
        (PROMPTS[0], {**letters, "stop_token_ids": [plain["tokens"][4]]}),
        (PROMPTS[0], {**letters, "stop": ["zzz"]}),
    ]
    cut, beside, whole, by_token, none = (answer for [answer] in serve(model, tmp_path, requests))
    assert (cut["text"], cut["finish"], cut["stop"]) == (text[:at], "stop", stop)
    assert cut["tokens"] == plain["tokens"][: at + 3]
    assert (whole["text"], whole["stop"]) == (text[: at + 3], stop)
    end = plain["tokens"].index(plain["tokens"][4])
    assert (by_token["tokens"], by_token["stop"]) == (plain["tokens"][: end + 1], plain["tokens"][4])
    assert (none["text"], none["finish"], none["stop"]) == (text, "length", None)
    assert beside == other


CHOICES = ["cab", "dad", "ace", "badge"]


def one_of(texts: Sequence[str]) -> Callable[[Array, list[int], list[int]], Array]:
    """Of the choices, those that go on from the answer so far; at the end of one, the token that ends an answer."""

    def rule(logits: Array, prompt: list[int], answer: list[int]) -> Array:
        said = "".join(chr(one - FIRST + ord("a")) for one in answer)
        following = {token(text[len(said)]) for text in texts if text.startswith(said) and len(text) > len(said)}
        if said in texts:
            following.add(257)
        return allowed(sorted(following))(logits, prompt, answer)

    return rule


SCHEMA = {
    "type": "object",
    "properties": {"colour": {"enum": ["red", "blue"]}, "whole": {"type": "boolean"}},
    "required": ["colour", "whole"],
    "additionalProperties": False,
}
ANSWERS = [f'{{"colour": "{colour}", "whole": {whole}}}' for colour in ("red", "blue") for whole in ("true", "false")]


def guided() -> list[Request]:
    """Guided requests, and free ones between them."""
    kinds: list[dict[str, Any]] = [{"choice": CHOICES}, {}, {"regex": "[abc]{6}"}, {}, {"json": SCHEMA}, {"choice": ["abba", "hedge"]}, {}]
    out: list[Request] = []
    for prompt, kind in zip(PROMPTS, kinds, strict=False):
        # Of whole letters: else vLLM tells, with the answer, those that end in it.
        letters = [one % 90 for one in prompt]
        out.append((letters, {"structured": kind, "max_tokens": 64, "ignore_eos": False} if kind else {"max_tokens": 10}))
    return out


def right_guided(model: Reference32, found: Sequence[list[dict]]) -> bool:
    """Free answers are greedy; guided ones take at each place the best token that the form allows."""
    requests = guided()
    answers = [answer for [answer] in found]
    plain = model.greedy([prompt for prompt, _ in requests], 10)
    if any(answers[i]["tokens"] != plain[i] for i in (1, 3, 6)):
        return False
    ended = [[{**answer, "tokens": [one for one in answer["tokens"] if one != 257]}] for answer in answers]
    abc = allowed([token(letter) for letter in "abc"])
    if answers[4]["text"] not in [*ANSWERS, *(answer.replace(" ", "") for answer in ANSWERS)]:
        return False
    try:
        check_greedy(
            model,
            [requests[i] for i in (0, 2, 5)],
            [ended[i] for i in (0, 2, 5)],
            [one_of(CHOICES), abc, one_of(["abba", "hedge"])],
        )
    except AssertionError:
        return False
    return answers[0]["text"] in CHOICES and len(answers[2]["text"]) == 6 and answers[5]["text"] in ("abba", "hedge")


def test_guided_and_free_requests_in_one_batch(model: Reference32, tmp_path: Path) -> None:
    found = serve(model, tmp_path, guided())
    assert right_guided(model, found), found


def _late() -> None:
    """From now on, a row gets the grammar of the one before it."""
    from types import SimpleNamespace

    from vllm.v1.worker import gpu_model_runner

    right = gpu_model_runner.apply_grammar_bitmask

    def wrong(scheduled: Any, grammar: Any, batch: Any, logits: Any) -> None:
        right(scheduled, grammar, SimpleNamespace(req_ids=[*batch.req_ids[1:], *batch.req_ids[:1]]), logits)

    gpu_model_runner.apply_grammar_bitmask = wrong


def test_a_grammar_that_is_one_row_late_is_seen(model: Reference32, tmp_path: Path) -> None:
    """By answers, or by an engine that ends because a grammar does not take a token."""
    found = None
    with contextlib.suppress(AssertionError):
        found = serve(model, tmp_path, guided(), before=_late)
    assert found is None or not right_guided(model, found)
