"""Models on several devices answer as on one: greedy float32 tokens are those of HF transformers, whatever is divided among ranks.

Each engine is a forked child, and its workers are processes of their own. Prompts come in chunks, and some are preempted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import quantised
import tiny_vision
from harness import in_engine, night_but_for
from matrix import TOKENS, Matrix, generate, prompts

from softnpu import trace


@dataclass(frozen=True)
class Layout:
    """How a model is divided, and the collectives that its ranks then run."""

    model: str
    ranks: int
    options: dict[str, Any]
    collectives: set[str] = field(default_factory=lambda: {"HcclAllReduce", "HcclAllGather"})
    # What each rank runs besides.
    operators: set[str] = field(default_factory=set)
    # What the log says, so often at least.
    says: str = ""
    times: int = 3


_EXPERTS = {"tensor_parallel_size": 2, "enable_expert_parallel": True}
_BALANCE = {"window_size": 3, "step_interval": 3, "num_redundant_experts": 4}

LAYOUTS = {
    "tensors": Layout("llama", 2, {"tensor_parallel_size": 2}),
    # Two heads for keys and values: each is on two ranks.
    "fewer heads than ranks": Layout("llama", 4, {"tensor_parallel_size": 4}),
    # One head for keys and values, 128 experts.
    "tensors of experts": Layout("qwen3-moe", 2, {"tensor_parallel_size": 2}),
    "tensors of latent attention": Layout("deepseek-v3", 2, {"tensor_parallel_size": 2}),
    "stages": Layout("llama", 2, {"pipeline_parallel_size": 2}, {"HcclSend", "HcclRecv"}),
    "stages of tensors": Layout(
        "llama", 4, {"tensor_parallel_size": 2, "pipeline_parallel_size": 2}, {"HcclSend", "HcclRecv", "HcclAllReduce"}
    ),
    "experts": Layout("qwen3-moe", 2, _EXPERTS),
    "experts beside shared ones": Layout("deepseek-v3", 2, _EXPERTS),
    # Each token goes to the ranks of its experts.
    "experts by all_to_all": Layout(
        "qwen3-moe", 2, _EXPERTS | {"additional_config": {"experts_by": "all_to_all"}}, {"HcclAllReduce", "HcclAlltoAllV"}
    ),
    # Experts in groups are dealt out to the ranks in turn.
    "experts in turn": Layout(
        "deepseek-v3", 2, _EXPERTS | {"expert_placement_strategy": "round_robin"}, says="placement strategy: round_robin", times=1
    ),
    "experts in turn by all_to_all": Layout(
        "deepseek-v3",
        2,
        _EXPERTS | {"expert_placement_strategy": "round_robin", "additional_config": {"experts_by": "all_to_all"}},
        {"HcclAllReduce", "HcclAlltoAllV"},
    ),
    # Weights of experts move between devices after each third step, and some experts are on both.
    "experts that are balanced": Layout(
        "qwen3-moe",
        2,
        _EXPERTS | {"enable_eplb": True, "eplb_config": {**_BALANCE, "use_async": False, "communicator": "torch_nccl"}},
        says="Rearranged experts   in",
    ),
    # The next time begins when the weights of all layers have come.
    "experts that are balanced in the background": Layout(
        "deepseek-v3", 2, _EXPERTS | {"enable_eplb": True, "eplb_config": _BALANCE}, says="Rearranging experts (async mode) ..."
    ),
    # Heads of the tower are divided, too; one head for keys and values is on both ranks.
    "pictures": Layout("qwen2.5-vl", 2, {"tensor_parallel_size": 2}),
    "pictures in stages": Layout("qwen2.5-vl", 2, {"pipeline_parallel_size": 2}, {"HcclSend", "HcclRecv"}),
    "latent attention in stages": Layout("deepseek-v3", 2, {"pipeline_parallel_size": 2}, {"HcclSend", "HcclRecv"}),
    "experts in stages": Layout("qwen3-moe", 4, _EXPERTS | {"pipeline_parallel_size": 2}, {"HcclSend", "HcclRecv", "HcclAllReduce"}),
    "pictures with layers that add to the text": Layout("qwen3-vl", 2, {"tensor_parallel_size": 2}),
}


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    made = Matrix(tmp_path_factory.mktemp("models"))
    yield made
    made.close()


def serve(layout: Layout, path: Path, dtype: str, asked: list[Any], directory: Path) -> list[list[int]]:
    """Greedy tokens; as many processes as the layout has ranks have run its collectives."""
    tokens, state = in_engine(lambda: generate(path, dtype, asked, layout.options), directory)
    ran = [counter for counter in trace.counts(state).values() if any(kind == "collective" for kind, _ in counter)]
    assert len(ran) == layout.ranks
    assert layout.collectives <= {name for counter in ran for kind, name in counter if kind == "collective"}
    assert all(("operator", name) in counter for counter in ran for name in layout.operators)
    assert not layout.says or (directory / "log").read_text().count(layout.says) >= layout.times
    return tokens


# Served at each change.
CHANGE = (
    "experts in turn by all_to_all",
    "experts that are balanced in the background",
    "fewer heads than ranks",
    "tensors of latent attention",
    "stages",
    "pictures",
)


@pytest.mark.parametrize("name", night_but_for(CHANGE, LAYOUTS))
def test_tokens_are_those_of_one_device(name: str, matrix: Matrix, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    path = matrix.model(layout.model)
    asked: list[Any] = tiny_vision.prompts(layout.model) if layout.model in tiny_vision.MODELS else prompts()
    matrix.begin(path, dtype="float32", greedy=asked, new_tokens=TOKENS)
    try:
        tokens = serve(layout, path, "float32", asked, tmp_path)
    finally:
        expected = matrix.end()["tokens"]
    wrong = [i for i, (one, other) in enumerate(zip(tokens, expected, strict=True)) if one != other]
    assert not wrong, f"the prompts {wrong} have other answers"


@pytest.mark.night
@pytest.mark.parametrize(("layout", "ranks"), [("tensors", 2), ("stages", 1)])
@pytest.mark.parametrize("name", [name for name in quantised.MODELS if "float32" in quantised.dtypes(name)])
def test_each_rank_rounds_its_part_of_a_row(name: str, layout: str, ranks: int, matrix: Matrix, tmp_path: Path) -> None:
    """The same arithmetic in plain torch, with rows in as many parts, prefers other tokens by no more than quantised.BORDER."""
    path = matrix.model(name)
    tokens = serve(replace(LAYOUTS[layout], model=name), path, "float32", prompts(), tmp_path)
    matrix.begin(path, dtype="float32", forced=list(zip(prompts(), tokens, strict=True)), ranks=ranks)
    result = matrix.end()
    assert result["positions"] == len(prompts()) * TOKENS
    gap, limit = max(result["differing"], default=0.0), quantised.BORDER * result["spread"]
    print(f"{name} {layout}: {gap:.4f} of {limit:.4f}, {len(result['differing'])} tokens differ")
    assert gap <= limit, result


# Layouts for 16 bits only: a layer with a bias and one without.
IN_HALVES = {
    f"products of {model} that are summed by one operator": Layout(
        model, 2, {"tensor_parallel_size": 2, "additional_config": {"fused_all_reduce": True}}, operators={"aclnnMatmulAllReduce"}
    )
    for model in ("llama", "gpt-oss")
} | {
    "experts by operators": Layout(
        "qwen3-moe",
        2,
        _EXPERTS | {"additional_config": {"experts_by": "fused"}},
        {"HcclAllReduce", "aclnnMoeDistributeDispatchV4", "aclnnMoeDistributeCombineV4"},
    )
}
# Layouts that are served in 16 bits, too.
HALVES = [(name, dtype) for name in IN_HALVES for dtype in ("bfloat16", "float16")] + [
    (name, dtype) for dtype in ("bfloat16", "float16") for name in ("tensors", "stages", "experts", "pictures")
]


@pytest.mark.night
@pytest.mark.parametrize(("name", "dtype"), HALVES)
def test_sixteen_bits_differ_only_where_rounding_decides(name: str, dtype: str, matrix: Matrix, tmp_path: Path) -> None:
    """As on one device: HF transformers in the same type, given the served tokens, prefers others by no more than twice its own largest
    distance from float32. Ranks round their sums once more, to the same type, which is one of several roundings of each layer.
    """
    layout = IN_HALVES.get(name) or LAYOUTS[name]
    path = matrix.model(layout.model)
    asked: list[Any] = tiny_vision.prompts(layout.model) if layout.model in tiny_vision.MODELS else prompts()
    tokens = serve(layout, path, dtype, asked, tmp_path)
    matrix.begin(path, dtype=dtype, forced=list(zip(asked, tokens, strict=True)))
    result = matrix.end()
    assert result["positions"] == len(asked) * TOKENS
    gap = max(result["differing"], default=0.0)
    print(f"{name} {dtype}: {gap:.3f} of {2 * result['largest']:.3f}")
    assert gap <= 2 * result["largest"], result
