"""Tokens go to the experts of other ranks and come back: torch_npu's operators, unmodified, against plain loops in float64."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from softnpu import trace
from tests.softnpu.ranks import Ranks


@dataclass(frozen=True)
class Case:
    """A step of a group of ranks."""

    ranks: int
    tokens: tuple[int, ...]  # of each rank
    hidden: int = 64
    experts: int = 8
    chosen: int = 2
    dtype: torch.dtype = torch.bfloat16
    # How experts are chosen: all alike, the first ones of all tokens, or none of the last rank's.
    load: str = "even"
    quantised: bool = False
    smooth: bool = False
    # Tokens of each rank that take part; None: all. Ranks of which all take part have no mask.
    active: tuple[int, ...] | None = None
    by_assignment: bool = False
    zero_experts: int = 0
    copy_experts: int = 0
    running_sums: bool = False
    strided: bool = False
    first_version: bool = False
    seed: int = 1


def generator(case: Case, rank: int) -> torch.Generator:
    return torch.Generator().manual_seed(case.seed * 100 + rank)


def inputs(case: Case, rank: int) -> dict[str, torch.Tensor]:
    """What a rank gives; the same numbers in every process."""
    source = generator(case, rank)
    count = case.tokens[rank]
    x = torch.randn(count, case.hidden, generator=source).to(case.dtype)
    everything = case.experts + case.zero_experts + case.copy_experts
    if case.load == "first":
        ids = torch.arange(case.chosen).expand(count, -1)
    else:
        last = everything - case.experts // case.ranks if case.load == "not the last" else everything
        ids = torch.stack([torch.randperm(last, generator=source)[: case.chosen] for _ in range(count)])
    weights = torch.rand(count, case.chosen, generator=source)
    out = {"x": x, "ids": ids.int(), "weights": weights}
    if case.active is not None and (case.by_assignment or case.active[rank] < count):
        mask = torch.arange(count) < case.active[rank]
        out["mask"] = (torch.rand(count, case.chosen, generator=source) < 0.5) if case.by_assignment else mask
    if case.smooth:
        # The same on all ranks.
        out["smooth"] = torch.rand(case.experts, case.hidden, generator=torch.Generator().manual_seed(case.seed)) + 0.5
    return out


def expert(number: int, row: torch.Tensor) -> torch.Tensor:
    """What an expert makes of a row: something that no other one does."""
    return row * (1 + number / 16) + number


GROUPS: dict[int, Any] = {}


def make_group(rank: int, count: int) -> str:
    """The first `count` ranks; a group that has nothing but these operators."""
    import torch.distributed as dist

    if count not in GROUPS:
        GROUPS[count] = dist.new_group(list(range(count)))
    return GROUPS[count]._get_backend(torch.device("npu")).get_hccl_comm_name(rank) if rank < count else ""


def step(rank: int, case: Case, options: dict[str, Any] | None = None) -> dict[str, torch.Tensor] | None:
    """Dispatch, the experts of this rank, combine."""
    import torch_npu

    name = make_group(rank, case.ranks)
    if rank >= case.ranks:
        return None
    given = inputs(case, rank)
    x, ids, weights = (given[one].npu() for one in ("x", "ids", "weights"))
    if case.strided:
        x = torch.stack([x, x], -1)[:, :, 0]
        ids = ids.t().contiguous().t()
        assert not x.is_contiguous()
    mask = given["mask"].npu() if "mask" in given else None
    group = {
        "group_ep": name,
        "ep_world_size": case.ranks,
        "ep_rank_id": rank,
        "moe_expert_num": case.experts,
        "global_bs": 0 if len(set(case.tokens)) == 1 else max(case.tokens) * case.ranks,
    }
    special = {"zero_expert_num": case.zero_experts, "copy_expert_num": case.copy_experts}
    if case.first_version:
        dispatch, combine, special = torch_npu.npu_moe_distribute_dispatch, torch_npu.npu_moe_distribute_combine, {}
    else:
        dispatch, combine = torch_npu.npu_moe_distribute_dispatch_v2, torch_npu.npu_moe_distribute_combine_v2
    rows, row_scales, places, tokens, counts, _, row_weights = dispatch(
        x,
        ids,
        scales=given["smooth"].npu() if case.smooth else None,
        x_active_mask=mask,
        expert_scales=weights,
        expert_token_nums_type=0 if case.running_sums else 1,
        **{"quant_mode": 2 if case.quantised else 0, **group, **special, **(options or {})},
    )
    found = {"tokens": tokens.cpu()}
    each = tokens.cpu().diff(prepend=torch.zeros(1, dtype=torch.int64)) if case.running_sums else tokens.cpu()
    total = int(each.sum())
    found["rows"] = rows[:total].cpu()
    found["row_weights"] = row_weights[:total].cpu()
    if case.quantised:
        found["row_scales"] = row_scales[:total].cpu()
    made = rows.new_empty(rows.shape, dtype=case.dtype)
    local = case.experts // case.ranks
    place = 0
    for i in range(local):
        part = found["rows"][place : place + int(each[i])]
        values = part * found["row_scales"][place : place + int(each[i]), None] if case.quantised else part
        made[place : place + int(each[i])] = expert(rank * local + i, values.to(case.dtype)).npu()
        place += int(each[i])
    out = combine(
        made,
        ids,
        places,
        counts,
        weights,
        x_active_mask=mask,
        expand_scales=row_weights,
        **({"ori_x": x} if case.copy_experts else {}),
        **{**group, **special},
    )
    # What takes no part stays unwritten.
    here = takes_part(case, given).any(1)
    found["out"] = out[: int(here.nonzero().max()) + 1][here[: int(here.nonzero().max()) + 1].npu()].cpu() if here.any() else torch.empty(0)
    return found


def takes_part(case: Case, given: dict[str, torch.Tensor]) -> torch.Tensor:
    """[tokens, chosen]"""
    if "mask" not in given:
        return torch.ones(given["ids"].shape, dtype=torch.bool)
    return given["mask"].view(given["ids"].shape[0], -1).expand(given["ids"].shape)


def quantise(row: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """int8, and the scale; float32 as the page of the operator says."""
    # A number divided by a tensor would be a product with a reciprocal in torch.
    factor = torch.tensor(127.0) / row.abs().max()
    return (row * factor).round().clamp(-128, 127).to(torch.int8), 1.0 / factor


def rounded(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """float64 to 16 bits in one rounding; torch goes by float32. A float32 with an odd fraction is never half way between two of these."""
    near = x.float()
    bits = near.view(torch.int32)
    towards = torch.where(near.double().abs() < x.abs(), bits + 1, bits - 1)
    odd = torch.where((near.double() != x) & (bits % 2 == 0), towards, bits).view(torch.float32)
    return odd.to(dtype)


def expected(case: Case, rank: int) -> dict[str, torch.Tensor]:
    all_given = [inputs(case, other) for other in range(case.ranks)]
    local = case.experts // case.ranks
    rows, weights, scales, tokens = [], [], [], []
    for number in range(rank * local, (rank + 1) * local):
        count = 0
        for given in all_given:
            part = takes_part(case, given)
            for token, place in ((given["ids"] == number) & part).nonzero().tolist():
                row = given["x"][token]
                if case.quantised:
                    wide = row.float() * given["smooth"][number] if case.smooth else row.float()
                    row, scale = quantise(wide)
                    scales.append(scale)
                rows.append(row)
                weights.append(given["weights"][token, place])
                count += 1
        tokens.append(count)
    out = {
        "tokens": torch.tensor(tokens).cumsum(0) if case.running_sums else torch.tensor(tokens),
        "rows": torch.stack(rows) if rows else torch.empty(0, case.hidden),
        "row_weights": torch.stack(weights) if weights else torch.empty(0),
    }
    if case.quantised:
        out["row_scales"] = torch.stack(scales) if scales else torch.empty(0)
    given = all_given[rank]
    part = takes_part(case, given)
    sums = []
    for token in range(case.tokens[rank]):
        if not part[token].any():
            continue
        total = torch.zeros(case.hidden, dtype=torch.float64)
        for place in range(case.chosen):
            number = int(given["ids"][token, place])
            if not part[token, place] or case.experts <= number < case.experts + case.zero_experts:
                continue
            row = given["x"][token]
            if number >= case.experts:
                made = row
            else:
                if case.quantised:
                    wide = row.float() * given["smooth"][number] if case.smooth else row.float()
                    small, scale = quantise(wide)
                    row = (small * scale).to(case.dtype)
                made = expert(number, row)
            total += given["weights"][token, place].double() * made.double()
        sums.append(rounded(total, case.dtype))
    out["out"] = torch.stack(sums) if sums else torch.empty(0)
    return out


def check(case: Case, ranks: Ranks) -> None:
    """All is compared exactly: rows are moved, and sums are rounded once, in an order that is the reference's."""
    for rank, found in enumerate(ranks.run(step, case)):
        if rank >= case.ranks:
            continue
        for name, value in expected(case, rank).items():
            same = found[name].shape == value.shape if value.numel() else found[name].numel() == 0
            assert same, (rank, name, found[name].shape, value.shape)
            assert torch.equal(found[name], value.to(found[name].dtype)), (rank, name)


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranks]:
    with Ranks(8, tmp_path_factory.mktemp("eight")) as ranks:
        yield ranks


BASE = Case(4, (5, 5, 5, 5))
CASES = {
    "two ranks": Case(2, (7, 7), experts=6, chosen=3),
    "three ranks, other numbers of tokens": Case(3, (1, 9, 4), experts=6, chosen=4),
    "four ranks": BASE,
    "five ranks": Case(5, (3,) * 5, experts=10, chosen=1, hidden=32),
    "eight ranks": Case(8, (4, 4, 4, 4, 4, 4, 4, 4), experts=32, chosen=8, hidden=7168),
    "float16": replace(BASE, dtype=torch.float16),
    "all tokens choose the same experts": replace(BASE, load="first"),
    "a rank gets nothing": replace(BASE, load="not the last"),
    "the most tokens": Case(2, (256, 256), hidden=32, experts=64, chosen=16),
    "running sums": replace(BASE, running_sums=True),
    "strides": replace(BASE, strided=True),
    "int8": replace(BASE, quantised=True),
    "int8 of float16": replace(BASE, quantised=True, dtype=torch.float16, tokens=(2, 6, 3, 1)),
    "int8 that is smoothed": replace(BASE, quantised=True, smooth=True),
    "tokens that take no part": replace(BASE, tokens=(40,) * 4, active=(40, 0, 2, 33)),
    "assignments that take no part": replace(BASE, active=(5, 5, 5, 5), by_assignment=True),
    "experts that compute nothing": replace(BASE, zero_experts=3, copy_experts=2, chosen=5),
}


@pytest.mark.parametrize("name", CASES)
def test_each_token_gets_its_experts_sum(name: str, eight: Ranks) -> None:
    check(CASES[name], eight)


@pytest.mark.parametrize("seed", range(10))
def test_drawn_steps(seed: int, eight: Ranks) -> None:
    source = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=source))

    ranks = (2, 3, 4, 8)[seed % 4]
    experts = ranks * draw(1, 7)
    case = Case(
        ranks,
        tuple(draw(1, 40) for _ in range(ranks)),
        hidden=32 * draw(1, 9),
        experts=experts,
        chosen=min(experts, draw(1, 17)),
        dtype=(torch.float16, torch.bfloat16)[seed // 4 % 2],
        quantised=seed % 3 == 0,
        smooth=seed % 6 == 0,
        running_sums=seed % 2 == 0,
        seed=seed + 10,
    )
    check(case, eight)


# What an Atlas A2 refuses: changes to a case, options of dispatch, and a part of the sentence.
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "elements": ({"hidden": 48}, {}, "tokens have 48 elements; it must be a multiple of 32, up to 7168"),
    "too many elements": ({"hidden": 7200}, {}, "tokens have 7200 elements"),
    "too many tokens": ({"tokens": (257,) * 4, "hidden": 32}, {}, "it must have 1 to 256"),
    "experts": ({}, {"moe_expert_num": 10}, "a multiple of the 4 ranks"),
    "chosen": ({"experts": 20, "chosen": 17}, {}, "'expertIds' has 17 experts of a token; there may be 1 to 16"),
    "type": ({"dtype": torch.float32}, {}, "'x' is float32"),
    "group": ({}, {"group_ep": "another"}, "no communicator of that name"),
    "rank": ({}, {"ep_rank_id": 3}, "and this is rank"),
    "algorithm": ({}, {"comm_alg": "ring"}, "'commAlg' is 'ring'"),
    "hierarchy": ({}, {"comm_alg": "hierarchy"}, "'epWorldSize' is 4; it must be one of 16, 32, 64"),
    "shared experts": ({}, {"shared_expert_rank_num": 1, "moe_expert_num": 9}, "'sharedExpertRankNum' is 1"),
    "batch of all": ({}, {"global_bs": 8}, "'globalBs' is 8"),
    "constants": ({}, {"const_expert_num": 1}, "'constExpertNum' is 1; it must be 0"),
    "static": ({}, {"quant_mode": 1}, "'quantMode' is 1; it must be 0 or 2"),
    "buffer": ({"hidden": 7168, "tokens": (256,) * 4, "experts": 64, "chosen": 16}, {}, "HCCL_BUFFSIZE of 'groupEp' is 200 MB"),
}


def try_step(rank: int, case: Case, options: dict[str, Any]) -> str:
    import softnpu

    if rank == 3 and options.get("ep_rank_id") == 3:
        options = {**options, "ep_rank_id": 0}
    try:
        step(rank, case, options)
        torch.npu.synchronize()
    except RuntimeError as error:
        return str(error)
    finally:
        softnpu.reset_device()
    return ""


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_by_name(name: str, four: Ranks) -> None:
    changes, options, sentence = REFUSED[name]
    case = replace(BASE, **changes)
    for found in four.run(try_step, case, options):
        assert sentence in found, found


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranks]:
    with Ranks(4, tmp_path_factory.mktemp("four"), TASK_QUEUE_ENABLE="0") as ranks:
        yield ranks


# With eager streams, the fault is there before the exchange is queued; with others, mostly behind that.
@pytest.mark.parametrize("streams", ["async", "eager"])
@pytest.mark.parametrize(("value", "sentence"), [(8, "holds 8 at [0, 0]; it must be 0 to 7"), (-1, "holds -1"), (2, "once in a row")])
def test_experts_that_do_not_exist(value: int, sentence: str, streams: str, tmp_path: Path) -> None:
    # torch_npu's watchdog would end the process that has been told.
    with Ranks(2, tmp_path, SOFTNPU_STREAMS=streams, TORCH_HCCL_ASYNC_ERROR_HANDLING="0") as two:
        found = two.run(wrong_experts, value)
    assert sentence in found[0]
    # The other rank is told.
    assert "rank 0" in found[1]
    assert sentence in found[1]


def wrong_experts(rank: int, value: int) -> str:
    import torch_npu

    name = make_group(rank, 2)
    ids = torch.tensor([[value, 2], [1, 3]] if rank == 0 else [[0, 1], [2, 3]], dtype=torch.int32).npu()
    x, weights = torch.ones(2, 32, dtype=torch.float16).npu(), torch.ones(2, 2).npu()
    try:
        torch_npu.npu_moe_distribute_dispatch_v2(
            x, ids, expert_scales=weights, group_ep=name, ep_world_size=2, ep_rank_id=rank, moe_expert_num=8
        )
        torch.npu.synchronize()
    except RuntimeError as error:
        return str(error)
    return ""


def process_of(rank: int, case: Case) -> int:
    step(rank, case)
    torch.npu.synchronize()
    return os.getpid()


@pytest.mark.parametrize("quantised", [False, True])
def test_modelled_time_is_that_of_the_busiest_link(quantised: bool, tmp_path: Path) -> None:
    """Rows go to the ranks of their experts with weights and scales, and come back as bfloat16; 28 bytes in a nanosecond, each way."""
    case = Case(3, (200, 64, 7), hidden=1024, experts=6, chosen=3, quantised=quantised, seed=4)
    with Ranks(3, tmp_path, SOFTNPU_TRACE_TASKS="1000") as three:
        processes = three.run(process_of, case)
    ids = [inputs(case, rank)["ids"] for rank in range(3)]
    # [from, to]
    rows = [[int((ids[here] // 2 == there).sum()) for there in range(3)] for here in range(3)]
    sizes = {"Dispatch": 1024 + 4 + 4 if quantised else 2 * 1024 + 4, "Combine": 2 * 1024}
    for rank, process in enumerate(processes):
        most = max(max(rows[rank][other], rows[other][rank]) for other in range(3) if other != rank)
        tasks = trace.slices(Path(os.environ["SOFTNPU_STATE_DIR"], f"{process}.events"))
        found = {task.name: task.modelled for task in tasks if task.kind == "collective"}
        assert found == {f"aclnnMoeDistribute{name}V4": math.ceil(most * size / 28) for name, size in sizes.items()}, rank


@pytest.mark.night
@pytest.mark.parametrize("chosen", [1, 8])
def test_first_version(chosen: int, tmp_path: Path) -> None:
    """An Atlas A2 has it for 16 ranks and more."""
    with Ranks(16, tmp_path) as ranks:
        check(Case(16, (3,) * 16, experts=64, chosen=chosen, first_version=True), ranks)
        check(Case(16, tuple(range(1, 17)), experts=32, chosen=chosen, first_version=True, quantised=True), ranks)
