"""A fault planted in the plugin changes the tokens of the kind of model that it is about, or stops the engine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import tiny_vision
from harness import changed_installation, in_child, installed, prepare
from matrix import Matrix, as_input, engine_options

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
        "attention/cache.py",
        "[:, :length].unbind(0)\n        return keys, values",
        "[:, :length].unbind(0)\n        return keys, keys",
    ),
    "scales of keys are those of values": Mutant(
        "llama-int8-cache",
        "attention/cache.py",
        '"key_antiquant_scale": parts.key_scales',
        '"key_antiquant_scale": parts.value_scales',
        "bfloat16",
    ),
    "latent rows are one slot further": Mutant("deepseek-v3", "layers/latent_attention.py", "slots[:tokens]\n", "slots[:tokens] + 1\n"),
    "the latent query is not rotated": Mutant(
        "deepseek-v3", "layers/latent_attention.py", "        query[..., self.qk_nope_head_dim :] = rotated\n", ""
    ),
    "norms have their weights without the 1": Mutant("gemma", "layers/norms.py", ".float() + 1.0", ".float()"),
    "scores have no soft cap": Mutant("gemma2", "attention/dense.py", "torch.tanh(scores / self.soft_cap) * self.soft_cap", "scores"),
    "height and width of a position are exchanged": Mutant(
        "qwen2.5-vl", "layers/rotary.py", "positions.contiguous(),", "positions[[0, 2, 1]].contiguous(),"
    ),
    "queries and keys of pictures are exchanged": Mutant("qwen3-vl", "layers/vision_attention.py", "attend(q, k, v,", "attend(k, q, v,"),
    "windows of pictures end one patch early": Mutant(
        "qwen2.5-vl", "layers/vision_attention.py", "cu_seqlens[1:].tolist()", "[*(cu_seqlens[1:-1] - 1).tolist(), int(cu_seqlens[-1])]"
    ),
    "all pictures are one sequence": Mutant("qwen3-vl", "layers/vision_attention.py", "cu_seqlens[1:].tolist()", "[int(cu_seqlens[-1])]"),
    "sinks are left out": Mutant("gpt-oss", "attention/dense.py", "if self.sinks is None:", "if True:"),
    "scales of experts are left out": Mutant(
        "qwen3-moe-w8a8", "quantization/experts.py", ".squeeze(-1).to(kind)", ".squeeze(-1).to(kind).fill_(0.001)", "bfloat16"
    ),
    "rows of experts have one scale": Mutant(
        "qwen3-moe-w8a8",
        "quantization/experts.py",
        "multiply_groups(rows, scales, ",
        "multiply_groups(rows, scales.mean().expand(scales.shape).contiguous(), ",
        "bfloat16",
    ),
    "rows of a layer have one scale": Mutant(
        "llama-w8a8",
        "quantization/linear.py",
        "rows, row_scale = quantise_rows(flat)\n",
        "rows, row_scale = quantise_rows(flat)\n            row_scale = row_scale.mean().expand(row_scale.shape).contiguous()\n",
        "bfloat16",
    ),
    "parts of a layer have one scale": Mutant(
        "qwen2-w8a8-static",
        "quantization/linear.py",
        "scale = convert_to_channelwise(scale, layer.logical_widths)",
        "scale = scale.data.max().repeat(sum(layer.logical_widths))",
    ),
    "an offset of rows is left out": Mutant(
        "qwen2-modelslim", "quantization/modelslim.py", "layer.input_offset.data[:1], layer", "None, layer", "bfloat16"
    ),
    "experts have no bias": Mutant("gpt-oss", "layers/moe.py", "        if self.moe.has_bias:", "        if False:"),
}


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    matrix = Matrix(tmp_path_factory.mktemp("models"))
    yield matrix
    matrix.close()


@pytest.fixture(scope="module")
def known() -> dict[tuple[str, str], object]:
    """What the plugin answers as it is, by model and dtype."""
    return {}


def answers(model: Path, dtype: str, directory: Path, site: Path | None = None, without: str = "") -> object | None:
    """Greedy tokens, by the plugin of another installation; None when the engine ends. Parameters named `without` are zero."""
    prepare(with_layers=False)

    def work() -> object:
        if site is not None:
            for name in [name for name in sys.modules if name.partition(".")[0] == "vllm_cann"]:
                del sys.modules[name]
            sys.path.insert(0, str(site))
        from vllm import LLM, SamplingParams

        more = engine_options(model)
        llm = LLM(str(model), dtype=dtype, max_model_len=512, gpu_memory_utilization=0.5, max_num_batched_tokens=160, **more)
        import vllm_cann

        assert site is None or Path(vllm_cann.__file__).is_relative_to(site)
        if without:
            [count] = llm.apply_model(
                lambda model: sum(1 for name, one in model.named_parameters() if without in name and one.data.zero_() is not None)
            )
            assert count > 0
        if model.name in tiny_vision.MODELS:
            # Those with pictures, but for the longest.
            prompts = [as_input(one) for one in tiny_vision.prompts(model.name) if one["pictures"]][:6]
        else:
            prompts = [{"prompt_token_ids": [(7 * i * i + 3 * length) % 512 for i in range(length)]} for length in LENGTHS]
        outputs = llm.generate(prompts, SamplingParams(temperature=0, max_tokens=TOKENS, ignore_eos=True), use_tqdm=False)
        return [[*output.outputs[0].token_ids] for output in outputs]

    tokens, log = in_child(work, directory)
    assert tokens is not None or "EngineDeadError" in log or "RuntimeError" in log, log[-3000:]
    return tokens


def right_answers(name: str, dtype: str, matrix: Matrix, known: dict[tuple[str, str], object], directory: Path) -> object:
    if (name, dtype) not in known:
        tokens = answers(matrix.model(name), dtype, directory)
        assert tokens is not None
        known[name, dtype] = tokens
    return known[name, dtype]


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_fault_is_seen(name: str, matrix: Matrix, known: dict[tuple[str, str], object], tmp_path: Path) -> None:
    mutant = MUTANTS[name]
    source = (installed() / mutant.file).read_text()
    assert source.count(mutant.old) == 1, mutant.old
    changed = tmp_path / "changed.py"
    changed.write_text(source.replace(mutant.old, mutant.new))
    changed_installation(tmp_path, {mutant.file: changed})
    right = right_answers(mutant.model, mutant.dtype, matrix, known, tmp_path)
    assert answers(matrix.model(mutant.model), mutant.dtype, tmp_path, site=tmp_path / "site") != right


def test_a_shared_expert_counts(matrix: Matrix, known: dict[tuple[str, str], object], tmp_path: Path) -> None:
    right = right_answers("glm4-moe", "float32", matrix, known, tmp_path)
    assert answers(matrix.model("glm4-moe"), "float32", tmp_path, without="shared_experts.down_proj") != right
