"""torch.distributed with the backend hccl: ranks in processes of their own, unmodified torch_npu, against sums in numpy's manner.

Sums have an order, that of the ranks, and each step is rounded to the type, so results are compared exactly.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from softnpu import trace
from tests.softnpu.ranks import Ranks

REDUCED = [torch.float32, torch.float16, torch.bfloat16, torch.int8, torch.int16, torch.int32, torch.int64]
SENT = [*REDUCED, torch.uint8, torch.float64, torch.bool]
# Nothing, one, less than there are ranks, no multiple of anything, more than a block of the reduction.
SIZES = (0, 1, 3, 1000, 9001)
REDUCTIONS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "SUM": torch.add,
    "PRODUCT": torch.mul,
    "MAX": torch.maximum,
    "MIN": torch.minimum,
}


def given(seed: int, rank: int, size: int, dtype: torch.dtype) -> torch.Tensor:
    """What a rank gives to a collective; the same numbers in every process."""
    generator = torch.Generator().manual_seed(seed * 1000 + rank)
    if dtype.is_floating_point:
        return torch.randn(size, generator=generator).to(dtype)
    return torch.randint(0 if dtype in (torch.uint8, torch.bool) else -100, 100, (size,), generator=generator).to(dtype)


def folded(tensors: list[torch.Tensor], reduction: str = "SUM") -> torch.Tensor:
    """The reduction in the order of the ranks; each step has the type of the tensors."""
    out = tensors[0]
    for one in tensors[1:]:
        out = REDUCTIONS[reduction](out, one)
    return out


GROUPS: dict[tuple[int, ...], Any] = {}


def make_groups(rank: int, groups: list[tuple[int, ...]]) -> None:
    import torch.distributed as dist

    for ranks in groups:
        GROUPS[ranks] = dist.new_group(list(ranks))


def do(rank: int, kind: str, ranks: tuple[int, ...], seed: int, size: int, dtype: torch.dtype, extra: Any) -> torch.Tensor | None:
    """One collective on the device; what this rank has afterwards. None on ranks that are not of the group."""
    import torch.distributed as dist
    from torch_npu.distributed import all_gather_into_tensor_uneven, reduce_scatter_tensor_uneven

    if rank not in ranks:
        return None
    group, place, count = GROUPS[ranks], ranks.index(rank), len(ranks)

    def mine(elements: int) -> torch.Tensor:
        return given(seed, rank, elements, dtype).npu()

    def empty(elements: int) -> torch.Tensor:
        return torch.empty(elements, dtype=dtype, device="npu")

    if kind == "all_reduce":
        out = mine(size)
        dist.all_reduce(out, getattr(dist.ReduceOp, extra), group=group)
    elif kind == "reduce":
        out = mine(size)
        dist.reduce(out, ranks[extra], group=group)
        out = out if place == extra else empty(0)
    elif kind == "broadcast":
        out = mine(size)
        dist.broadcast(out, ranks[extra], group=group)
    elif kind == "all_gather":
        out = empty(size * count)
        dist.all_gather_into_tensor(out, mine(size), group=group)
    elif kind == "all_gather_list":
        outs = [empty(size) for _ in ranks]
        dist.all_gather(outs, mine(size), group=group)
        out = torch.cat(outs)
    elif kind == "all_gather_uneven":
        out = empty(sum(extra))
        all_gather_into_tensor_uneven(out, mine(extra[place]), output_split_sizes=extra, group=group)
    elif kind == "reduce_scatter":
        out = empty(size)
        dist.reduce_scatter_tensor(out, mine(size * count), group=group)
    elif kind == "reduce_scatter_uneven":
        out = empty(extra[place])
        reduce_scatter_tensor_uneven(out, mine(sum(extra)), input_split_sizes=extra, group=group)
    elif kind == "all_to_all":
        out = empty(size * count)
        dist.all_to_all_single(out, mine(size * count), group=group)
    elif kind == "all_to_all_uneven":  # extra[i][j]: what i sends to j
        received = [row[place] for row in extra]
        out = empty(sum(received))
        dist.all_to_all_single(out, mine(sum(extra[place])), received, extra[place], group=group)
    elif kind == "scatter":
        out = empty(size)
        parts = list(mine(size * count).chunk(count)) if place == extra else None
        dist.scatter(out, parts, ranks[extra], group=group)
    elif kind == "ring":
        out = empty(size)
        ahead, behind = ranks[(place + 1) % count], ranks[place - 1]
        for work in dist.batch_isend_irecv([dist.P2POp(dist.isend, mine(size), ahead, group), dist.P2POp(dist.irecv, out, behind, group)]):
            work.wait()
    elif kind == "message":  # from place 0 to place 1
        out = mine(size) if place == 0 else empty(size)
        if place == 0:
            dist.send(out, ranks[1], group=group)
        elif place == 1:
            dist.recv(out, ranks[0], group=group)
        else:
            out = empty(0)
    else:
        assert kind == "barrier"
        out = empty(0)
        dist.barrier(group=group)
    return out.cpu()


def expected(rank: int, kind: str, ranks: tuple[int, ...], seed: int, size: int, dtype: torch.dtype, extra: Any) -> torch.Tensor | None:
    """What `do` has to give."""
    if rank not in ranks:
        return None
    place, count = ranks.index(rank), len(ranks)

    def of(other: int, elements: int) -> torch.Tensor:
        return given(seed, ranks[other], elements, dtype)

    def all_of(elements: int) -> list[torch.Tensor]:
        return [of(other, elements) for other in range(count)]

    nothing = torch.empty(0, dtype=dtype)
    if kind == "all_reduce":
        return folded(all_of(size), extra)
    if kind == "reduce":
        return folded(all_of(size)) if place == extra else nothing
    if kind == "broadcast":
        return of(extra, size)
    if kind in ("all_gather", "all_gather_list"):
        return torch.cat(all_of(size))
    if kind == "all_gather_uneven":
        return torch.cat([of(other, extra[other]) for other in range(count)])
    if kind == "reduce_scatter":
        return folded(all_of(size * count))[size * place : size * (place + 1)]
    if kind == "reduce_scatter_uneven":
        return folded(all_of(sum(extra))).split(extra)[place]
    if kind == "all_to_all":
        return torch.cat([of(other, size * count)[size * place : size * (place + 1)] for other in range(count)])
    if kind == "all_to_all_uneven":
        return torch.cat([of(other, sum(extra[other])).split(extra[other])[place] for other in range(count)])
    if kind == "scatter":
        return of(extra, size * count)[size * place : size * (place + 1)]
    if kind == "ring":
        return of((place - 1) % count, size)
    if kind == "message":
        return of(0, size) if place <= 1 else nothing
    return nothing


KINDS = [
    "all_reduce",
    "reduce",
    "broadcast",
    "all_gather",
    "all_gather_list",
    "all_gather_uneven",
    "reduce_scatter",
    "reduce_scatter_uneven",
    "all_to_all",
    "all_to_all_uneven",
    "scatter",
    "ring",
    "message",
    "barrier",
]
_REDUCING = {"all_reduce", "reduce", "reduce_scatter", "reduce_scatter_uneven"}


def drawn(rng: random.Random, kind: str, ranks: tuple[int, ...], size: int, dtype: torch.dtype) -> tuple[Any, ...]:
    """The arguments of a collective."""
    extra: Any = None
    if kind == "all_reduce":
        extra = rng.choice([name for name in REDUCTIONS if name != "PRODUCT" or dtype not in (torch.int16, torch.bfloat16)])
    elif kind in ("reduce", "broadcast", "scatter"):
        extra = rng.randrange(len(ranks))
    elif kind in ("all_gather_uneven", "reduce_scatter_uneven"):
        extra = [rng.choice((0, 1, size, size + 7)) for _ in ranks]
    elif kind == "all_to_all_uneven":
        extra = [[rng.choice((0, 2, size)) for _ in ranks] for _ in ranks]
    return kind, ranks, rng.randrange(1000), size, dtype, extra


def run_program(rank: int, program: list[tuple[Any, ...]]) -> list[torch.Tensor | None]:
    return [do(rank, *step) for step in program]


def compare(ranks: Ranks, program: list[tuple[Any, ...]]) -> None:
    for rank, results in enumerate(ranks.run(run_program, program)):
        for step, result in zip(program, results, strict=True):
            wanted = expected(rank, *step)
            if wanted is None:
                assert result is None, step
                continue
            assert result.dtype == wanted.dtype, step
            assert torch.equal(result, wanted), f"rank {rank} of {step}: {result[:8]} instead of {wanted[:8]}"


ALL = [ranks for count in (2, 3, 4) for ranks in itertools.combinations(range(4), count)]
FOUR = (0, 1, 2, 3)


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranks]:
    with Ranks(4, tmp_path_factory.mktemp("four")) as ranks:
        ranks.run(make_groups, ALL)
        yield ranks


@pytest.mark.parametrize("kind", KINDS)
def test_every_type_and_size(kind: str, four: Ranks) -> None:
    rng = random.Random(KINDS.index(kind))
    program = []
    for group in ((0, 1), (1, 2, 3), FOUR):
        for dtype in REDUCED if kind in _REDUCING else SENT:
            if kind == "reduce" and dtype == torch.int64:
                continue  # HCCL has none
            program += [drawn(rng, kind, group, size, dtype) for size in SIZES]
    compare(four, program)


@pytest.mark.parametrize("seed", range(6))
def test_programs_of_collectives_are_those_of_one_after_another(seed: int, four: Ranks) -> None:
    """Groups that overlap, each with communicators of its own."""
    rng = random.Random(100 + seed)
    program = []
    for _ in range(40):
        kind = rng.choice(KINDS)
        dtype = rng.choice([one for one in (REDUCED if kind in _REDUCING else SENT) if kind != "reduce" or one != torch.int64])
        program.append(drawn(rng, kind, rng.choice(ALL), rng.choice((0, 1, 5, 130)), dtype))
    compare(four, program)


def overlapping(rank: int) -> list[torch.Tensor]:
    """Collectives of two groups and of the same tensor, all queued before one is waited for."""
    import torch.distributed as dist

    pair = (0, 1) if rank < 2 else (2, 3)
    tensors = [torch.full((50000,), float(rank + 1), device="npu") for _ in range(6)]
    works = [dist.all_reduce(one, group=GROUPS[pair if i % 2 else FOUR], async_op=True) for i, one in enumerate(tensors)]
    for work in works:
        work.wait()
    return [one.cpu() for one in tensors]


def test_groups_at_the_same_time(four: Ranks) -> None:
    for rank, results in enumerate(four.run(overlapping)):
        pair = 3.0 if rank < 2 else 7.0
        for i, result in enumerate(results):
            assert torch.equal(result, torch.full((50000,), pair if i % 2 else 10.0))


def half_written(rank: int) -> str:
    import torch.distributed as dist

    out = torch.empty(64, device="npu")
    if rank != 1:
        out.fill_(1)
    dist.all_reduce(out)
    try:
        (out + 1).cpu()
    except RuntimeError as error:
        import softnpu

        softnpu.reset_device()
        return str(error)
    return ""


def multiply(rank: int, seed: int, shape: tuple[int, ...], dtype: torch.dtype, more: bool) -> torch.Tensor:
    """The product of this rank's factors, summed over ranks."""
    import torch.distributed as dist
    import torch_npu

    group = dist.group.WORLD._get_backend(torch.device("npu")).get_hccl_comm_name(rank)
    x, weight, bias, addend = factors(seed, rank, shape, dtype)
    options = {"bias": bias.npu(), "x3": addend.npu()} if more else {}
    # The weight is stored as a layer has it: [columns, rows].
    out = torch_npu.npu_mm_all_reduce_base(x.npu(), weight.t().contiguous().npu().t(), group, reduce_op="sum", **options)
    return out.cpu()


def factors(seed: int, rank: int, shape: tuple[int, ...], dtype: torch.dtype) -> list[torch.Tensor]:
    """A rank's factors [.., k] and [k, n], a bias [n], and what is added to the product [.., n]."""
    *rows, k, n = shape
    sizes = ((*rows, k), (k, n), (n,), (*rows, n))
    return [given(seed + i, rank, math.prod(size), dtype).view(size) for i, size in enumerate(sizes)]


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(7, 33, 20), (2, 3, 16, 5)], ids=str)
def test_a_product_is_summed_over_ranks(shape: tuple[int, ...], dtype: torch.dtype, more: bool, four: Ranks) -> None:
    """A rank's product is rounded once, and the sum is in the order of the ranks."""
    found = four.run(multiply, 7, shape, dtype, more)
    products = []
    for rank in range(4):
        x, weight, bias, addend = (one.double() for one in factors(7, rank, shape, dtype))
        products.append((x @ weight + bias + addend if more else x @ weight).to(dtype))
    expected = folded(products)
    assert all(torch.equal(one, expected) for one in found)


def multiply_int8(rank: int, shape: tuple[int, ...], dtype: torch.dtype, by_row: bool, more: bool) -> torch.Tensor:
    """A product of int8 and a sum over the ranks as one operator."""
    import torch.distributed as dist
    import torch_npu

    group = dist.group.WORLD._get_backend(torch.device("npu")).get_hccl_comm_name(rank)
    x, weight, bias, addend, column, row = int8_factors(rank, shape, dtype)
    if dtype == torch.float16:
        column = column.float()
        column = column if by_row else torch_npu.npu_trans_quant_param(column.npu())
    options = {"bias": bias.npu(), "x3": addend.npu()} if more else {}
    if by_row:
        options["pertoken_scale"] = row.npu()
    # The weight is stored as a layer has it: [columns, rows].
    out = torch_npu.npu_mm_all_reduce_base(
        x.npu(), weight.t().contiguous().npu().t(), group, reduce_op="sum", dequant_scale=column.npu(), **options
    )
    return out.cpu()


def int8_factors(rank: int, shape: tuple[int, ...], dtype: torch.dtype) -> list[torch.Tensor]:
    """A rank's factors [.., k] and [k, n], a bias [n], what is added to the product [.., n], and scales of columns and of rows."""
    source = torch.Generator().manual_seed(rank + 5)
    *rows, k, n = shape
    x, weight = (torch.randint(-127, 128, size, generator=source).to(torch.int8) for size in ((*rows, k), (k, n)))
    bias = torch.randint(-1000, 1000, (n,), generator=source).int()
    addend = torch.randn(*rows, n, generator=source).to(dtype)
    # Powers of two: a packed scale has 10 bits of fraction, and bfloat16 7.
    column, row = (2.0 ** -torch.randint(6, 12, (size,), generator=source).float() for size in (n, math.prod(rows)))
    return [x, weight, bias, addend, column.to(torch.bfloat16), row]


@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize("by_row", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(7, 33, 20), (2, 3, 16, 5)], ids=str)
def test_a_product_of_int8_is_summed_over_ranks(shape: tuple[int, ...], dtype: torch.dtype, by_row: bool, more: bool, four: Ranks) -> None:
    """A rank's product is rounded once, with x3 once more, and the sum is in the order of the ranks."""
    found = four.run(multiply_int8, shape, dtype, by_row, more)
    products = []
    for rank in range(4):
        x, weight, bias, addend, column, row = (one.double() for one in int8_factors(rank, shape, dtype))
        product = (x @ weight + bias if more else x @ weight) * column
        if by_row:
            product = product * row.view(*shape[:-2], 1)
        product = product.to(dtype)
        products.append((product.double() + addend).to(dtype) if more else product)
    expected = folded(products)
    assert all(torch.equal(one, expected) for one in found)


def test_what_nobody_has_written_stays_so(tmp_path: Path) -> None:
    with Ranks(2, tmp_path, PYTORCH_NO_NPU_MEMORY_CACHING="1") as ranks:
        for sentence in ranks.run(half_written):
            assert "is read where nobody has written" in sentence


_KEPT: list[Any] = []


def used_beside(rank: int, whats: list[str]) -> list[str]:
    """Rank 0 uses memory while a collective still works on it, in several ways; what its device says of each."""
    import torch.distributed as dist

    own, other, out = (torch.full((1000,), float(rank + 1), device="npu") for _ in range(3))
    dist.all_reduce(own)  # makes the communicator
    torch.npu.synchronize()
    said = []
    # A pinned tensor that is freed after the fault would end the process: torch_npu's destructor then throws.
    _KEPT.append(torch.zeros(1000).pin_memory())
    for what in whats:
        if rank == 1:
            # So that the collective has not ended when rank 0 goes on. If it had, the host might have seen it, and all would be in order.
            time.sleep(2)
        try:
            work = dist.all_gather_into_tensor(torch.empty(2000, device="npu"), own, async_op=True)
            if rank == 1 or what == "waits":
                work.wait()
            elif what == "synchronises":
                torch.npu.synchronize()
            if rank == 1 or what == "reads what it reads":
                torch.add(own, 1, out=out)
            elif what == "writes something else":
                other.add_(1)
            elif what == "frees":
                # The allocator keeps what a collective's stream has until that stream is behind it.
                del own
                own = torch.zeros(1000, device="npu")
            elif what == "copies":
                own.copy_(_KEPT[-1], non_blocking=True)
            else:
                own.add_(1)
            torch.npu.synchronize()
            said.append("")
        except RuntimeError as error:
            said.append(str(error))
    return said


NO_RACES = ["waits", "synchronises", "reads what it reads", "writes something else", "frees"]


def test_memory_that_a_collective_works_on_may_be_used_in_order(tmp_path: Path) -> None:
    with Ranks(2, tmp_path, SOFTNPU_STREAM_RACES="stop") as ranks:
        for said in ranks.run(used_beside, NO_RACES):
            assert dict(zip(NO_RACES, said, strict=True)) == dict.fromkeys(NO_RACES, "")


@pytest.mark.parametrize(("what", "name"), [("writes", "aclnnInplaceAdd"), ("copies", "MemcpyH2D")])
def test_memory_that_a_collective_works_on_is_left_alone(what: str, name: str, tmp_path: Path) -> None:
    with Ranks(2, tmp_path, SOFTNPU_STREAM_RACES="stop") as ranks:
        # Rank 1 may hear of it or not.
        [sentence], _ = ranks.run(used_beside, [what])
    assert name in sentence
    assert "while HcclAllGather (task " in sentence
    assert "reads 'sendBuf' (4000 bytes from " in sentence
    assert "nothing orders the two" in sentence


def rank_table(path: Path, ranks: int, **changed: str) -> str:
    """Writes a rank table of one server, whose rank r is on device r."""
    devices = [{"device_id": str(rank), "device_ip": f"192.168.1.{rank}", "rank_id": str(rank)} for rank in range(ranks)]
    table = {"status": "completed", "version": "1.0", "server_count": "1", "server_list": [{"server_id": "node_0", "device": devices}]}
    path.write_text(json.dumps(table | changed))
    return str(path)


def in_parts(rank: int) -> list[torch.Tensor]:
    """Sums of all ranks, of a part, and a message."""
    import torch.distributed as dist

    pair = dist.new_group([1, 2])
    every, part, message = (torch.full((5,), float(rank + 1), device="npu") for _ in range(3))
    dist.all_reduce(every)
    if rank in (1, 2):
        dist.all_reduce(part, group=pair)
    if rank == 0:
        dist.send(message, 2)
    elif rank == 2:
        dist.recv(message, 0)
    return [every.cpu(), part.cpu(), message.cpu()]


def made(state: Path) -> dict[str, int]:
    """How often each function has made a communicator, over all processes."""
    counters: Counter[str] = Counter()
    for process in trace.counts(state).values():
        counters.update({name: count for (_, name), count in process.items() if name.startswith(("HcclCommInit", "HcclCreateSub"))})
    return dict(counters)


# torch_npu takes the way of a root info in silence when another way fails, so the functions are counted: three ranks have a communicator of
# all, and two of them one of each part and message.
MADE = {
    "RANK_TABLE_FILE": {"HcclCommInitClusterInfoConfig": 3, "HcclCreateSubCommConfig": 4},
    "ROOTINFO_SCALABLE_ENABLE": {"HcclCommInitRootInfoScalable": 3, "HcclCommInitRootInfoConfig": 4},
}


@pytest.mark.parametrize("way", MADE)
def test_communicators_that_are_made_another_way(way: str, tmp_path: Path) -> None:
    environment = {"SOFTNPU_STATE_DIR": str(tmp_path / "state"), way: "1", "TORCH_HCCL_RANKS_PER_ROOT": "2"}
    (tmp_path / "state").mkdir()
    if way == "RANK_TABLE_FILE":
        environment[way] = rank_table(tmp_path / "table.json", 3)
    with Ranks(3, tmp_path, **environment) as ranks:
        for rank, (every, part, message) in enumerate(ranks.run(in_parts)):
            assert every.tolist() == [6.0] * 5
            assert part.tolist() == [1.0 if rank == 0 else 5.0] * 5
            assert message.tolist() == [2.0 if rank == 1 else 1.0] * 5
        assert made(tmp_path / "state") == MADE[way]


def test_torch_npu_takes_another_way_when_a_rank_table_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    path = rank_table(tmp_path / "table.json", 2, version="1.1")
    with Ranks(2, tmp_path, RANK_TABLE_FILE=path, SOFTNPU_STATE_DIR=str(tmp_path / "state")) as ranks:
        assert ranks.run(do_all_reduce) == [8.0, 8.0]
        assert made(tmp_path / "state") == {"HcclCommInitRootInfoConfig": 2}


# Faults. They end communicators, so each has processes of its own.

TIMEOUT_S = 6
FAULTS = {"HCCL_EXEC_TIMEOUT": str(TIMEOUT_S), "TORCH_HCCL_ASYNC_ERROR_HANDLING": "0"}


def unlike(rank: int, what: str) -> None:
    import torch.distributed as dist

    torch.npu.synchronize()
    odd = rank == 1
    x = torch.ones(6 if what == "count" and odd else 8, dtype=torch.int32 if what == "dtype" and odd else torch.float32, device="npu")
    if what == "collective" and odd:
        dist.broadcast(x, 0)
    elif what == "root":
        dist.broadcast(x, 1 if odd else 0)
    elif what == "never" and odd:
        time.sleep(TIMEOUT_S + 2)
        raise RuntimeError("this rank does not come")
    else:
        dist.all_reduce(x, dist.ReduceOp.MAX if what == "reduction" and odd else dist.ReduceOp.SUM)
    torch.npu.synchronize()


UNLIKE = {
    "count": ("rank 1 called HcclAllReduce #1 (6 float32, sum)", "called HcclAllReduce #1 (8 float32, sum)"),
    "dtype": ("rank 1 called HcclAllReduce #1 (8 int32, sum)", "called HcclAllReduce #1 (8 float32, sum)"),
    "reduction": ("rank 1 called HcclAllReduce #1 (8 float32, max)", "called HcclAllReduce #1 (8 float32, sum)"),
    "collective": ("rank 1 called HcclBroadcast #1 (8 float32, from rank 0)", "called HcclAllReduce #1 (8 float32, sum)"),
    "root": ("rank 1 called HcclBroadcast #1 (8 float32, from rank 1)", "called HcclBroadcast #1 (8 float32, from rank 0)"),
}


# The others are those of //cc/softnpu/hccl:mismatch_test.
@pytest.mark.parametrize("what", [pytest.param(what, marks=[] if what == "count" else pytest.mark.night) for what in UNLIKE])
def test_ranks_that_call_something_else_are_named_on_both_sides(what: str, tmp_path: Path) -> None:
    with Ranks(3, tmp_path, **FAULTS) as ranks:
        errors = ranks.errors(unlike, what)
    for error in errors.values():
        for sentence in UNLIKE[what]:
            assert sentence in error
        assert "HCCL_E_PARA" in error
        assert "HCCL_E_TIMEOUT" not in error, "nobody has to wait for the end of the time"


def test_a_rank_that_never_comes_is_named(tmp_path: Path) -> None:
    with Ranks(3, tmp_path, **FAULTS) as ranks:
        # So that they have a communicator, which all have to make.
        ranks.run(do_all_reduce)
        errors = ranks.errors(unlike, "never")
    for rank in (0, 2):
        assert "HcclAllReduce #2 (8 float32, sum), which rank 1 (its last: #1) did not call" in errors[rank]
        assert "HCCL_E_TIMEOUT" in errors[rank]
        assert f"within {TIMEOUT_S} s" in errors[rank]


def do_all_reduce(rank: int) -> float:
    import torch.distributed as dist

    x = torch.ones(4, device="npu")
    dist.all_reduce(x)
    return float(x.sum().cpu())


def sockets() -> set[str]:
    """Names of sockets of communicators that wait for ranks."""
    return {line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines() if "softnpu-hccl" in line}


def test_a_killed_rank_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    before = sockets()
    with Ranks(3, tmp_path, **FAULTS) as ranks:
        ranks.run(do_all_reduce)
        for rank in (0, 2):
            ranks.begin(rank, do_all_reduce)
        time.sleep(1)
        victim = ranks.processes[1].pid
        start = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        for rank in (0, 2):
            good, error = ranks.end(rank)
            assert not good
            assert f"rank 1 (process {victim}) has ended" in error
            assert "HcclAllReduce #2 (4 float32, sum)" in error
            assert "HCCL_E_REMOTE" in error
        assert time.monotonic() - start < TIMEOUT_S
    deadline = time.monotonic() + 10  # those of other tests end, too
    while (left := sockets() - before) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left
    assert not [path for path in Path("/dev/shm").iterdir() if "softnpu" in path.name]
