"""Workers that Ray starts answer as vLLM's own do."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest
from harness import in_engine
from matrix import TOKENS, Matrix, generate, prompts

from softnpu import trace

# Ray is installed beside vLLM's own tests. vLLM looks for it when it is imported, and so do the workers.
PACKAGES = str(Path(os.environ["VLLM_TESTS"]).resolve().parent / "packages")
sys.path.insert(0, PACKAGES)
os.environ["PYTHONPATH"] = os.pathsep.join([PACKAGES, os.environ["PYTHONPATH"]])


@pytest.mark.night
def test_tokens_are_those_of_one_device(tmp_path: Path) -> None:
    matrix = Matrix(tmp_path)
    path, asked = matrix.model("llama"), prompts()
    matrix.begin(path, dtype="float32", greedy=asked, new_tokens=TOKENS)

    def work() -> object:
        import ray

        # The path of a socket in it may have 107 bytes.
        with tempfile.TemporaryDirectory(dir="/tmp") as directory:
            # On a chip, Ray finds NPUs by their device files.
            ray.init(num_cpus=2, resources={"NPU": 2}, include_dashboard=False, _temp_dir=directory)
            tokens = generate(path, "float32", asked, {"tensor_parallel_size": 2, "distributed_executor_backend": "ray"})
            ray.shutdown()
        return tokens

    tokens, state = in_engine(work, tmp_path)
    assert tokens == matrix.end()["tokens"]
    ran = [process for process, counter in trace.counts(state).items() if ("collective", "HcclAllReduce") in counter]
    assert len(ran) == 2
    matrix.close()
