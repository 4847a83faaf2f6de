"""vLLM on SoftNPU answers with SmolLM2 what HF transformers answers on the CPU."""

from __future__ import annotations

from pathlib import Path

from harness import FALLBACK, MODEL, reference
from vllm_cann_demo import conversation
from vllm_cann_demo.server import Server
from vllm_cann_demo.verify import verify

TOKENS = 40
SERVE = ["--max-model-len", "1024", "--gpu-memory-utilization", "0.5", "--served-model-name", "m"]
SOFTNPU = ["--memory", "2GiB"]
_TEXT = (
    "The bakery opened at six. Before that, two people had already been at work for three hours: one kneaded the dough, the other looked "
    "after the oven. When the first customers came in, the bread was still warm. A teacher bought four rolls, a driver bought a loaf of "
    "rye bread, and a child bought a bun with raisins and counted the coins twice. By nine the shelves were half empty. "
)
# The last prompt is longer than a block of the cache (128 tokens), and a part of it comes twice.
QUESTIONS = (
    *conversation.QUESTIONS,
    "Who wrote Romeo and Juliet?",
    "At what temperature does water boil?",
    "What is 7 times 8?",
    f"{_TEXT}What did the driver buy?",
    f"{_TEXT}{_TEXT}Summarise this in one sentence.",
)


def test_float32_tokens_equal_those_of_transformers(tmp_path: Path) -> None:
    with Server(MODEL, tmp_path, [*SERVE, "--dtype", "float32"], SOFTNPU) as server:
        answers = conversation.ask_all(server.url, "m", QUESTIONS, TOKENS).answers
    assert FALLBACK not in server.log.read_text()
    assert max(len(answer.prompt_ids) for answer in answers) > 200
    expected = reference(dtype="float32", greedy=[answer.prompt_ids for answer in answers], new_tokens=TOKENS)["tokens"]
    assert [answer.token_ids for answer in answers] == [ids[: len(answer.token_ids)] for ids, answer in zip(expected, answers, strict=True)]
    # Short answers end where the model says so, the others after as many tokens as were asked for.
    for answer in answers:
        if answer.finish_reason == "stop":
            assert answer.token_ids[-1] == 2, answer
        else:
            assert (answer.finish_reason, len(answer.token_ids)) == ("length", TOKENS), answer
    assert answers[0].text == "The capital of France is Paris."
    assert {answer.finish_reason for answer in answers} == {"stop", "length"}


def test_bfloat16_tokens_are_explained_by_rounding(tmp_path: Path) -> None:
    with Server(MODEL, tmp_path, [*SERVE, "--dtype", "bfloat16"], SOFTNPU) as server:
        answers = conversation.ask_all(server.url, "m", QUESTIONS, TOKENS).answers
        operators = server.operators()
        assert server.pageable_copies() == 0
    assert FALLBACK not in server.log.read_text()
    assert operators["aclnnFusedInferAttentionScoreV3"] > 0
    pairs = [(answer.prompt_ids, answer.token_ids) for answer in answers]
    verdict = verify(MODEL, "bfloat16", pairs, tmp_path)
    print(verdict)
    assert verdict.good, verdict
    # The bound is far from what a wrong token costs: each is one that the server did not choose.
    assert verdict.bound < 1
    for index in (0, 5, 9):
        prompt, answer = pairs[index]
        wrong = [*answer[:3], answer[3] + 1, *answer[4:]]
        assert not verify(MODEL, "bfloat16", [*pairs[:1], (prompt, wrong)], tmp_path).good
