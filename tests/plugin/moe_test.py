"""Routers and experts of mixtures against their definitions in float64 on the host."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from vllm.config import set_current_vllm_config
from vllm.distributed.eplb.eplb_state import EplbLayerState
from vllm.engine.arg_utils import EngineArgs
from vllm.model_executor.layers.fused_moe.activation import MoEActivation
from vllm.model_executor.layers.fused_moe.router.router_factory import create_fused_moe_router

from vllm_cann import layers, ops, replacements
from vllm_cann.layers.expert_balance import take_copies
from vllm_cann.layers.moe import CannRouter, activation_of, numbers_by_rank, run_experts, with_our_routers

MODEL = Path(os.environ["MODEL"]).absolute().parent
TOKENS, EXPERTS, HIDDEN, SIZE = 33, 16, 24, 40
create = with_our_routers(create_fused_moe_router)


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    ops.load(torch.device("npu:0"))
    layers.register()
    replacements.apply()


def choose(logits: torch.Tensor, router: CannRouter) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights and experts [tokens, k] by definition, the experts in rising order."""
    x = logits.double()
    scores = {
        "softmax": lambda: torch.softmax(x, -1),
        "sigmoid": lambda: torch.sigmoid(x),
        "sqrtsoftplus": lambda: torch.nn.functional.softplus(x).sqrt(),
    }[router.scoring]()
    choice = scores if router.bias is None else scores + router.bias.cpu().double()
    if router.groups > 1:
        by_group = choice.view(len(x), router.groups, -1)
        best = by_group.amax(-1) if router.bias is None else by_group.sort(-1).values[..., -2:].sum(-1)
        keep = best >= best.sort(-1).values[:, [-router.kept_groups]]
        choice = by_group.masked_fill(~keep[..., None], float("-inf")).view_as(choice)
    experts = choice.sort(-1, descending=True).indices[:, : router.top_k].sort(-1).values
    weights = scores.gather(-1, experts)
    if router.renormalize:
        weights = weights / weights.sum(-1, keepdim=True)
    return weights * router.scale, experts


CASES = [
    ({"top_k": 2}, True),
    ({"top_k": 2, "renormalize": False}, True),
    ({"top_k": 1, "scoring_func": "sigmoid", "renormalize": False}, False),
    ({"top_k": 3, "scoring_func": "sigmoid"}, True),
    ({"top_k": 3, "scoring_func": "sigmoid", "renormalize": False}, False),
    ({"top_k": 3, "e_score_correction_bias": True, "scoring_func": "sigmoid", "routed_scaling_factor": 2.5}, True),
    ({"top_k": 3, "e_score_correction_bias": True, "scoring_func": "sqrtsoftplus"}, True),
    ({"top_k": 4, "use_grouped_topk": True, "num_expert_group": 4, "topk_group": 2}, True),
    (
        {"top_k": 4, "use_grouped_topk": True, "num_expert_group": 4, "topk_group": 2, "renormalize": False, "routed_scaling_factor": 1.5},
        True,
    ),
    (
        {
            "top_k": 4,
            "use_grouped_topk": True,
            "num_expert_group": 4,
            "topk_group": 2,
            "e_score_correction_bias": True,
            "scoring_func": "sigmoid",
            "routed_scaling_factor": 2.5,
        },
        True,
    ),
    # Groups of two experts, which the kernel does not take.
    ({"top_k": 4, "use_grouped_topk": True, "num_expert_group": 8, "topk_group": 3}, False),
    (
        {
            "top_k": 4,
            "use_grouped_topk": True,
            "num_expert_group": 8,
            "topk_group": 3,
            "e_score_correction_bias": True,
            "scoring_func": "sigmoid",
        },
        False,
    ),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("arguments", "ours"), CASES, ids=str)
def test_routers_choose_as_they_are_defined(arguments: dict[str, Any], ours: bool, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(5)
    arguments = dict(arguments)
    if arguments.pop("e_score_correction_bias", False):
        # So large that a choice without it is another one.
        arguments["e_score_correction_bias"] = torch.randn(EXPERTS, generator=generator).npu()
    router = create(global_num_experts=EXPERTS, **arguments)
    assert isinstance(router, CannRouter)
    assert router.ours is ours
    logits = torch.randn(TOKENS, EXPERTS, generator=generator).to(dtype)
    weights, experts = router.select_experts(torch.empty(TOKENS, HIDDEN).npu(), logits.npu())
    assert weights.dtype == torch.float32
    assert experts.dtype == torch.int32
    order = experts.cpu().long().sort(-1)
    wanted, chosen = choose(logits, router)
    assert torch.equal(order.values, chosen)
    # A score is off by 6 roundings (exponential, sum of 16, quotient, scale), the sum of 4 of them by one more each.
    torch.testing.assert_close(weights.cpu().double().gather(1, order.indices), wanted, rtol=(6 + 4 + 6) * 2**-23, atol=2**-24)


@pytest.mark.parametrize("counts", [True, False])
def test_tokens_take_copies_of_their_experts_and_are_counted(counts: bool) -> None:
    """Copies of experts 0, 1 and 2 of three are at the places 3 5, 0 and 1 2 4; -1 is no copy."""
    places = torch.tensor([[3, 5, -1], [0, -1, -1], [1, 2, 4]])
    load = torch.full((6,), 7, dtype=torch.int32, device="npu")
    state = EplbLayerState(load, places.npu(), (places >= 0).sum(1).npu(), torch.tensor(counts).npu(), [])
    chosen = torch.tensor([[i % 3, (i + 1) % 3] for i in range(50)], dtype=torch.int32)

    taken = take_copies(chosen.npu(), state, torch.tensor(40, dtype=torch.int32).npu())
    assert taken.dtype == torch.int32
    taken = taken.cpu()
    owner = torch.tensor([1, 2, 2, 0, 2, 0])
    assert torch.equal(owner[taken.long()], chosen.long())
    # Each copy of an expert takes its part.
    taken_by = torch.bincount(taken.flatten(), minlength=6)
    assert taken_by.min() >= 6, taken_by
    assert torch.equal(load.cpu() - 7, torch.bincount(taken[:40].flatten(), minlength=6) if counts else torch.zeros(6))


def test_experts_of_other_routers_are_not_balanced() -> None:
    with pytest.raises(ValueError, match="that its own router chooses, not those of CustomRoutingRouter"):
        create(global_num_experts=EXPERTS, top_k=2, custom_routing_function=lambda: None, eplb_state=EplbLayerState())


def test_routers_of_models_stay_what_they_are() -> None:
    router = create(top_k=2, global_num_experts=EXPERTS, custom_routing_function=lambda **_: None)
    assert not isinstance(router, CannRouter)


def made(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return (torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) / 4).to(dtype).npu()


def matrices(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    return made(EXPERTS, 2 * SIZE, HIDDEN, seed=9, dtype=dtype), made(EXPERTS, HIDDEN, SIZE, seed=10, dtype=dtype)


def layer_of(kind: MoEActivation) -> Callable[[torch.Tensor], torch.Tensor]:
    with set_current_vllm_config(EngineArgs(str(MODEL), max_model_len=512, dtype="float32").create_engine_config()):
        return activation_of(kind)


def activate(kind: MoEActivation, x: torch.Tensor) -> torch.Tensor:
    """By definition; x [.., 2 * size]."""
    if kind is MoEActivation.SWIGLUOAI:
        gate, up = x[..., ::2].clamp(max=7.0), x[..., 1::2].clamp(-7.0, 7.0)
        return (up + 1) * gate * torch.sigmoid(1.702 * gate)
    gate, up = x.chunk(2, -1)
    if kind is MoEActivation.SILU:
        return torch.nn.functional.silu(gate) * up
    return torch.nn.functional.gelu(gate, approximate="tanh" if kind is MoEActivation.GELU_TANH else "none") * up


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("activation", [MoEActivation.SILU, MoEActivation.GELU, MoEActivation.GELU_TANH, MoEActivation.SWIGLUOAI])
def test_experts_are_their_definition(activation: MoEActivation, has_bias: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(TOKENS, HIDDEN, generator=generator)
    weights = torch.rand(TOKENS, 3, generator=generator)
    # Some experts have no token.
    chosen = torch.stack([torch.randperm(EXPERTS - 4, generator=generator)[:3] for _ in range(TOKENS)])
    first, second = matrices()
    biases = ([made(EXPERTS, 2 * SIZE, seed=11)], [made(EXPERTS, HIDDEN, seed=12)]) if has_bias else (None, None)
    found = run_experts(x.npu(), weights.npu(), chosen.int().npu(), (first, second), biases, layer_of(activation)).cpu().double()
    w13, w2 = first.cpu().double(), second.cpu().double()
    b13, b2 = (torch.zeros(EXPERTS, 1).double() if one is None else one[0].cpu().double() for one in biases)
    # A sum of n products is off by n + 1 roundings of the sum of their magnitudes. An activation grows at most 1.2 times as fast as its
    # input, is multiplied by the other half (plus 1), and has six roundings of its own.
    unit = 2.0**-24
    wanted = torch.zeros(TOKENS, HIDDEN, dtype=torch.float64)
    bound = torch.zeros_like(wanted)
    for place in range(3):
        expert, weight = chosen[:, place], weights[:, [place]].double()
        inner = torch.einsum("th,tih->ti", x.double(), w13[expert]) + b13[expert]
        error = (HIDDEN + 2) * unit * (torch.einsum("th,tih->ti", x.double().abs(), w13[expert].abs()) + b13[expert].abs())
        hidden = activate(activation, inner)
        halves = (slice(None, None, 2), slice(1, None, 2)) if activation is MoEActivation.SWIGLUOAI else (slice(SIZE), slice(SIZE, None))
        (gate, up), (gate_error, up_error) = ([part[:, half] for half in halves] for part in (inner, error))
        error = 1.2 * gate_error * (up.abs() + 1) + (gate.abs() + 1) * up_error + 6 * unit * hidden.abs()
        rows = torch.einsum("ti,thi->th", hidden, w2[expert]) + b2[expert]
        magnitude = torch.einsum("ti,thi->th", hidden.abs(), w2[expert].abs()) + b2[expert].abs()
        wanted += weight * rows
        bound += weight * (torch.einsum("ti,thi->th", error, w2[expert].abs()) + (SIZE + 5) * unit * magnitude)
    assert float(bound.max()) < float(wanted.abs().max()) / 1000
    assert ((found - wanted).abs() <= bound).all()


def test_a_single_expert_without_a_weight() -> None:
    x, chosen = made(5, HIDDEN, seed=1), torch.tensor([[3], [1], [3], [0], [15]], dtype=torch.int32).npu()
    plain = run_experts(x, None, chosen, matrices(), (None, None), layer_of(MoEActivation.SILU))
    weighted = run_experts(x, torch.ones(5, 1).npu(), chosen, matrices(), (None, None), layer_of(MoEActivation.SILU))
    assert torch.equal(plain.cpu(), weighted.cpu())


def test_other_activations_are_refused() -> None:
    with pytest.raises(ValueError, match="vllm_cann has experts with the activations silu, gelu, gelu_tanh, swigluoai, not situ"):
        layer_of(MoEActivation.SITU)


@pytest.mark.parametrize(("experts", "ranks"), [(8, 2), (7, 3), (12, 4), (3, 3)])
def test_experts_that_are_dealt_out_in_turn(experts: int, ranks: int) -> None:
    """vLLM gives rank r the experts r, r + ranks, ..; they have to follow each other in the order of the ranks."""
    dealt = [expert for rank in range(ranks) for expert in range(rank, experts, ranks)]
    numbers = numbers_by_rank(experts, ranks)
    assert [numbers[expert] for expert in dealt] == list(range(experts))
