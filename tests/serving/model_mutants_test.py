"""A fault planted in the plugin changes the tokens of the kind of model that it is about, or stops the engine."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness import Reference, changed_installation, in_child, installed

from softnpu import launcher  # noqa: F401  (a child has no time to look for it)

TOKENS = 6
# Enough for a window, for several blocks, and for a choice of groups of experts to differ.
LENGTHS = (30, 60, 130, 200)


@dataclass(frozen=True)
class Mutant:
    """A piece of text of a file of the plugin, and what stands there instead."""

    model: str
    file: str
    old: str
    new: str
    dtype: str = "float32"


_ROTATION = "        self.head_size,\n        self._match_cos_sin_cache_dtype(query),\n        self.is_neox_style,\n    )"
MUTANTS = {
    "neighbours are paired for halves": Mutant(
        "llama", "layers/rotary.py", _ROTATION, _ROTATION.replace("self.is_neox_style", "not self.is_neox_style")
    ),
    "a head is as long as its rotated part": Mutant(
        "glm4", "layers/rotary.py", _ROTATION, _ROTATION.replace("self.head_size", "self.rotary_dim")
    ),
    "a group of experts is worth its best": Mutant("glm4-moe", "layers/moe.py", "_LARGEST if bias is None else _TWO_LARGEST", "_LARGEST"),
    "weights of experts have the bias": Mutant(
        "glm4-moe",
        "layers/moe.py",
        "        return weights, experts\n",
        "        return weights + (0 if bias is None else bias[experts.long()]), experts\n",
    ),
    "weights of experts are not normalised": Mutant(
        "mixtral", "layers/moe.py", 'renorm=int(self.renormalize and self.scoring != "sigmoid")', "renorm=0"
    ),
    "a window is longer by one": Mutant(
        "mistral-64", "attention/metadata.py", "self.distances[request] <= -window", "self.distances[request] < -window"
    ),
    "a fused window is longer by one": Mutant("mistral-128", "attention/dense.py", "self.window - 1", "self.window", "bfloat16"),
    "the window of decoding is longer by one": Mutant(
        "mistral-64", "attention/metadata.py", "places < (self.seq_lens - window)", "places < (self.seq_lens - window - 1)", "bfloat16"
    ),
    "keys are read for values": Mutant(
        "llama",
        "attention/backend.py",
        "[:, :length].unbind(0)\n        return keys, values",
        "[:, :length].unbind(0)\n        return keys, keys",
    ),
    "latent rows are one slot further": Mutant("deepseek-v3", "layers/latent_attention.py", "slots[:tokens]\n", "slots[:tokens] + 1\n"),
    "the latent query is not rotated": Mutant(
        "deepseek-v3", "layers/latent_attention.py", "        query[..., self.qk_nope_head_dim :] = rotated\n", ""
    ),
    "norms have their weights without the 1": Mutant("gemma", "layers/norms.py", ".float() + 1.0", ".float()"),
    "scores have no soft cap": Mutant("gemma2", "attention/dense.py", "torch.tanh(scores / self.soft_cap) * self.soft_cap", "scores"),
    "sinks are left out": Mutant("gpt-oss", "attention/dense.py", "if self.sinks is None:", "if True:"),
    "experts have no bias": Mutant("gpt-oss", "layers/moe.py", "        if self.moe.has_bias:", "        if False:"),
}


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    process = Reference()
    yield process
    process.close()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def made(name: str, models: Path, reference: Reference) -> Path:
    if not (models / name).exists():
        reference.begin(models / name, make=name)
        reference.end()
    return models / name


def answers(model: Path, dtype: str, site: Path | None, without: str, directory: Path) -> list[list[int]] | None:
    """Greedy tokens by the plugin of another installation; None when the engine ends. Parameters named `without` are zero."""
    import torch_npu  # noqa: F401
    import vllm.v1.worker.gpu_model_runner  # noqa: F401

    def work() -> object:
        if site is not None:
            for name in [name for name in sys.modules if name.partition(".")[0] == "vllm_cann"]:
                del sys.modules[name]
            sys.path.insert(0, str(site))
        from vllm import LLM, SamplingParams

        llm = LLM(str(model), dtype=dtype, max_model_len=512, gpu_memory_utilization=0.5, max_num_batched_tokens=160)
        import vllm_cann

        assert site is None or Path(vllm_cann.__file__).is_relative_to(site)
        if without:
            [count] = llm.apply_model(
                lambda model: sum(1 for name, one in model.named_parameters() if without in name and one.data.zero_() is not None)
            )
            assert count > 0
        prompts = [{"prompt_token_ids": [(7 * i * i + 3 * length) % 512 for i in range(length)]} for length in LENGTHS]
        outputs = llm.generate(prompts, SamplingParams(temperature=0, max_tokens=TOKENS, ignore_eos=True), use_tqdm=False)
        return [[*output.outputs[0].token_ids] for output in outputs]

    tokens, log = in_child(work, directory)
    assert tokens is not None or "EngineDeadError" in log or "RuntimeError" in log, log[-3000:]
    return tokens  # type: ignore[return-value]


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_fault_is_seen(name: str, models: Path, reference: Reference, tmp_path: Path) -> None:
    mutant = MUTANTS[name]
    model = made(mutant.model, models, reference)
    source = (installed() / mutant.file).read_text()
    assert source.count(mutant.old) == 1, mutant.old
    changed = tmp_path / "changed.py"
    changed.write_text(source.replace(mutant.old, mutant.new))
    changed_installation(tmp_path, {mutant.file: changed})
    right = answers(model, mutant.dtype, None, "", tmp_path)
    assert right is not None
    assert answers(model, mutant.dtype, tmp_path / "site", "", tmp_path) != right


def test_a_shared_expert_counts(models: Path, reference: Reference, tmp_path: Path) -> None:
    model = made("glm4-moe", models, reference)
    right = answers(model, "float32", None, "", tmp_path)
    assert right is not None
    assert answers(model, "float32", None, "shared_experts.down_proj", tmp_path) != right
