"""vLLM on SoftNPU says what HF transformers says on the CPU."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest
from harness import FALLBACK, MODEL, complete, prompts, reference
from vllm_cann_demo.server import KERNELS, Server

TOKENS = 16
# Delays show a missing wait.
SOFTNPU = ["--memory", "1GiB", "--delay-us", "100", "--seed", "11"]
SERVE = ["--max-model-len", "1024", "--gpu-memory-utilization", "0.5", "--served-model-name", "m"]
# At most 64 tokens a step, so that prompts are computed in chunks, and 12 blocks of 128 tokens, so that requests are preempted.
TIGHT = [
    "--max-num-batched-tokens",
    "64",
    "--max-num-seqs",
    "16",
    "--num-gpu-blocks-override",
    "12",
]
LAYERS = 2
# How vllm serve starts the engine's process when nothing else is said.
SPAWN = {"VLLM_WORKER_MULTIPROC_METHOD": "spawn"}


def above(text: str, name: str, bound: float) -> int:
    """How many observations of a histogram are above a bound (one of its buckets)."""

    def value(pattern: str) -> int:
        return round(sum(float(v) for v in re.findall(rf"^{name}_{pattern} (\S+)$", text, re.M)))

    return value(r"count\{.*\}") - value(rf'bucket\{{.*le="{bound}".*\}}')


def test_float32_tokens_equal_those_of_transformers(tmp_path: Path) -> None:
    asked = prompts(seed=3, count=72)
    longest = asked.index(max(asked, key=len))
    with Server(MODEL, tmp_path, [*SERVE, *TIGHT, "--dtype", "float32"], SOFTNPU, SPAWN) as server:
        server.settle()
        before, steps_before = server.launches(), server.forward_steps()
        kernels_before, operators_before = server.kernels(), server.operators()
        # What the small cache still holds of a busy round is chance; the blocks of a prompt that was alone are there when it
        # comes again.
        rounds = [complete(server.url, "m", some, TOKENS) for some in (asked, asked[:40], *[[asked[longest]]] * 2)]
        server.settle()
        launches, steps = (
            server.launches() - before,
            server.forward_steps() - steps_before,
        )
        kernels, operators = server.kernels() - kernels_before, server.operators() - operators_before
        assert server.pageable_copies() == 0
        metrics = server.metrics()
        text = httpx.get(f"{server.url}/metrics").text
    expected = reference(dtype="float32", greedy=asked, new_tokens=TOKENS)["tokens"]
    assert rounds == [expected, expected[:40], *[[expected[longest]]] * 2]

    assert metrics["vllm:num_preemptions_total"] > 0
    assert metrics["vllm:prefix_cache_hits_total"] > 0
    # The scheduler gives a step 64 tokens at most: a prompt of which more than 100 were computed was
    # computed in chunks.
    assert above(text, "vllm:request_prefill_kv_computed_tokens", 100.0) > 0

    for kernel, each in KERNELS.items():
        assert launches[kernel] == (LAYERS if each == "layers" else 1) * steps, kernel
    # Heads are normalised and rotated by one launch of ours, and by nothing else: what is left are the norms of hidden states,
    # the first of which has no residual. Attention by torch's operators takes the blocks of each request by a copy, and the last token of
    # each request by one more in a step.
    assert {name for name in kernels if kernels[name]} == {"reshape_and_cache", "qkv_rmsnorm_rope_float", "slot_mapping"}
    assert operators["aclnnIndexSelect"] > LAYERS * steps
    assert operators["aclnnRmsNorm"] == steps
    log = server.log.read_text()
    assert log.count("2 layers Qwen3Attention normalise and rotate query and key in one launch") == 1
    assert FALLBACK not in log
    assert log.count("plain torch operators, which is slow") == 1


@pytest.mark.night
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_differs_only_where_rounding_decides(dtype: str, tmp_path: Path) -> None:
    asked = prompts(seed=5, count=56)
    with Server(MODEL, tmp_path, [*SERVE, "--max-num-batched-tokens", "256", "--dtype", dtype], SOFTNPU) as server:
        answers = complete(server.url, "m", asked, TOKENS)
        operators = server.operators()
    assert operators["aclnnFusedInferAttentionScoreV3"] > 0
    assert FALLBACK not in server.log.read_text()
    result = reference(dtype=dtype, forced=list(zip(asked, answers, strict=True)))
    assert result["positions"] == 56 * TOKENS
    # HF's own distance from float32 over the same positions is what this precision can decide.
    assert max(result["differing"], default=0.0) <= 2 * result["largest"], result
