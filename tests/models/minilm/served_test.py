"""vLLM on SoftNPU gives all-MiniLM-L6-v2's embeddings of sentences, through HTTP, as HF transformers gives them on the CPU."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest
from harness import FALLBACK, MODEL, reference
from vllm_cann_demo.server import Server

SERVE = ["--max-model-len", "256", "--gpu-memory-utilization", "0.5", "--served-model-name", "m"]
SENTENCES = [
    "A man is eating food.",
    "A man is eating a piece of bread.",
    "Someone is having a meal.",
    "The girl is carrying a baby.",
    "Two men pushed carts through the woods.",
    "A cheetah is running behind its prey.",
    "The stock market fell by three percent on Tuesday after the central bank raised its rates.",
    "ok",
    " ".join(f"Sentence {i} of a long text says that the river rose by {i} metres." for i in range(15)),
]


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float16", marks=pytest.mark.night)])
def test_embeddings_and_scores_are_those_of_transformers(dtype: str, tmp_path: Path) -> None:
    with Server(MODEL, tmp_path, [*SERVE, "--dtype", dtype], ["--memory", "2GiB"]) as server, httpx.Client(base_url=server.url) as client:
        reply = client.post("/v1/embeddings", json={"model": "m", "input": SENTENCES}, timeout=300)
        assert reply.status_code == 200, reply.text
        scores = client.post("/score", json={"model": "m", "text_1": SENTENCES[0], "text_2": SENTENCES[1:]}, timeout=300)
        assert scores.status_code == 200, scores.text
        assert server.pageable_copies() == 0
    assert FALLBACK not in server.log.read_text()
    vectors = np.array([entry["embedding"] for entry in reply.json()["data"]])
    expected = np.array(reference(dtype="float32", head="AutoModel", texts=SENTENCES)["vectors"])
    assert vectors.shape == expected.shape == (len(SENTENCES), 384)
    cosines = (vectors * expected).sum(1) / np.linalg.norm(vectors, axis=1)
    print(dtype, 1 - cosines.min())
    # float16: 6 layers whose results are rounded to 2^-11. Two errors of that size a layer turn a vector by less than 12 * 2^-11.
    assert cosines.min() >= (0.9999999 if dtype == "float32" else np.cos(12 * 2**-11))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    said = [entry["score"] for entry in scores.json()["data"]]
    np.testing.assert_allclose(said, expected[1:] @ expected[0], atol=1e-5 if dtype == "float32" else 24 * 2**-11)
    # What the sentences mean: the nearest ones are about eating.
    assert sorted(np.argsort(said)[::-1][:2]) == [0, 1]
