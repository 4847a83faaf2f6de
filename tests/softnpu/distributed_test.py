"""What PyTorch's own tests of torch.distributed ask of a backend, asked of `hccl` on four devices with the unmodified torch_npu.

Restated are those of test/distributed that need no network and no second backend: functional collectives, collectives of objects, coalesced
ones, groups, DistributedDataParallel, DTensor, tensor parallel layers, and fully_shard. Each case runs on every rank and checks its own
results, most of them against the same arithmetic on whole tensors. REFUSED is the ledger of what torch_npu or PyTorch refuses on this
backend, with its sentence.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from tests.softnpu.ranks import Ranks

WORLD = 4


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranks]:
    with Ranks(WORLD, tmp_path_factory.mktemp("four")) as ranks:
        yield ranks


def same(result: torch.Tensor, wanted: Any) -> None:
    """Exactly: the numbers of these tests are small integers, except where a test says so."""
    wanted = wanted.cpu() if isinstance(wanted, torch.Tensor) else torch.tensor(wanted)
    result = result.detach().cpu()
    assert torch.equal(result, wanted.to(result.dtype)), f"{result} instead of {wanted}"


def close(result: torch.Tensor, wanted: torch.Tensor) -> None:
    """Sums of less than a hundred float32 products in another order: at most 100 half units of 2**-24 of their size, of about one."""
    torch.testing.assert_close(result.detach().cpu(), wanted.detach().cpu(), rtol=1e-5, atol=1e-5)


def of(rank: int, *shape: int) -> torch.Tensor:
    """Small integers as float32, other ones for each rank."""
    count = int(torch.Size(shape).numel())
    return (torch.arange(count, dtype=torch.float32) % 13 + 100 * rank).reshape(shape).npu()


def every(*shape: int) -> list[torch.Tensor]:
    return [of(rank, *shape).cpu() for rank in range(WORLD)]


# Functional collectives: test_functional_api.py.


def functional_all_reduce(rank: int) -> None:
    import torch.distributed as dist
    import torch.distributed._functional_collectives as funcol

    x = of(rank, 3, 5)
    same(funcol.all_reduce(x, "sum", dist.group.WORLD), sum(every(3, 5)))
    same(funcol.all_reduce(x, "max", dist.group.WORLD), every(3, 5)[-1])
    same(x, every(3, 5)[rank])
    # Nobody waits: the value waits by itself where it is used.
    same(funcol.all_reduce(x, "sum", dist.group.WORLD) + 1, sum(every(3, 5)) + 1)


def functional_all_gather(rank: int) -> None:
    import torch.distributed as dist
    import torch.distributed._functional_collectives as funcol

    for dim in (0, 1):
        same(funcol.all_gather_tensor(of(rank, 2, 3), dim, dist.group.WORLD), torch.cat(every(2, 3), dim))


def functional_reduce_scatter(rank: int) -> None:
    import torch.distributed as dist
    import torch.distributed._functional_collectives as funcol

    for dim in (0, 1):
        whole = sum(every(8, 4))
        assert isinstance(whole, torch.Tensor)
        same(funcol.reduce_scatter_tensor(of(rank, 8, 4), "sum", dim, dist.group.WORLD), whole.chunk(WORLD, dim)[rank])


def functional_broadcast(rank: int) -> None:
    import torch.distributed as dist
    import torch.distributed._functional_collectives as funcol

    same(funcol.broadcast(of(rank, 7), 2, dist.group.WORLD), every(7)[2])


def functional_all_to_all(rank: int) -> None:
    import torch.distributed as dist
    import torch.distributed._functional_collectives as funcol

    same(
        funcol.all_to_all_single(of(rank, 8), None, None, dist.group.WORLD),
        torch.cat([x[2 * rank : 2 * rank + 2] for x in every(8)]),
    )
    sent = list(range(WORLD))  # rank r gets r elements of each
    same(
        funcol.all_to_all_single(of(rank, sum(sent)), [rank] * WORLD, sent, dist.group.WORLD),
        torch.cat([x.split(sent)[rank] for x in every(sum(sent))]),
    )


def functional_coalesced(rank: int) -> None:
    import torch.distributed as dist
    import torch.distributed._functional_collectives as funcol

    group = dist.group.WORLD
    shapes = [(4,), (8, 3), (12, 1)]
    inputs = [of(rank, *shape) for shape in shapes]
    for shape, out in zip(shapes, funcol.all_reduce_coalesced(inputs, "sum", group), strict=True):
        same(out, sum(every(*shape)))
    for shape, out in zip(shapes, funcol.all_gather_into_tensor_coalesced(inputs, group), strict=True):
        same(out, torch.cat(every(*shape)))
    for shape, out in zip(shapes, funcol.reduce_scatter_tensor_coalesced(inputs, "sum", [0, 0, 0], group), strict=True):
        whole = sum(every(*shape))
        assert isinstance(whole, torch.Tensor)
        same(out, whole.chunk(WORLD)[rank])


def functional_with_gradients(rank: int) -> None:
    import torch.distributed as dist
    import torch.distributed._functional_collectives as funcol

    group = dist.group.WORLD
    x = of(rank, 4, 2).requires_grad_()
    (funcol.all_gather_tensor_autograd(x, 0, group) * (rank + 1)).sum().backward()
    same(x.grad, torch.full((4, 2), 10.0))
    x = of(rank, 8, 2).requires_grad_()
    (funcol.reduce_scatter_tensor_autograd(x, "sum", 0, group) * (rank + 1)).sum().backward()
    same(x.grad, torch.arange(1.0, 5).repeat_interleave(2)[:, None].expand(8, 2))
    x = of(rank, 4).requires_grad_()
    (funcol.all_to_all_single_autograd(x, [1] * 4, [1] * 4, group) * (rank + 1)).sum().backward()
    same(x.grad, torch.arange(1.0, 5))


# Objects: test_c10d_object_collectives.py.


def objects(rank: int) -> None:
    import torch.distributed as dist

    mine = {"rank": rank, "text": "x" * (10 * rank), "tensor": torch.arange(rank)}
    got: list[Any] = [None] * WORLD
    dist.all_gather_object(got, mine)
    assert [one["rank"] for one in got] == list(range(WORLD))
    assert [len(one["text"]) for one in got] == [0, 10, 20, 30]
    assert [one["tensor"].tolist() for one in got] == [list(range(r)) for r in range(WORLD)]
    shared: list[Any] = [mine, rank] if rank == 1 else [None, None]
    dist.broadcast_object_list(shared, src=1)
    assert shared[0]["rank"] == 1
    assert shared[1] == 1
    part: list[Any] = [None]
    dist.scatter_object_list(part, [f"for {r}" for r in range(WORLD)] if rank == 3 else None, src=3)
    assert part == [f"for {rank}"]


def object_messages(rank: int) -> None:
    import torch.distributed as dist

    if rank == 0:
        dist.send_object_list([{"a": 1}, "b"], dst=2)
    elif rank == 2:
        got = [None, None]
        dist.recv_object_list(got, src=0)
        assert got == [{"a": 1}, "b"]


def gathered_objects(rank: int) -> None:
    import torch.distributed as dist

    got = [None] * WORLD if rank == 2 else None
    dist.gather_object(("of", rank), got, dst=2)
    if got is not None:
        assert got == [("of", r) for r in range(WORLD)]


# Collectives: test_c10d_nccl.py and test_c10d_common.py.


def lists_of_tensors(rank: int) -> None:
    import torch.distributed as dist

    outs = [torch.empty(3, device="npu") for _ in range(WORLD)]
    dist.all_to_all(outs, [of(rank, 3) + 10 * to for to in range(WORLD)])
    for source, out in enumerate(outs):
        same(out, every(3)[source] + 10 * rank)
    sizes = [1, 4, 2, 3]
    uneven = [torch.empty(size, device="npu") for size in sizes]
    dist.all_gather(uneven, of(rank, sizes[rank]))
    for source, out in enumerate(uneven):
        same(out, every(sizes[source])[source])
    mine = torch.empty(2, device="npu")
    dist.reduce_scatter(mine, [of(rank, 2) + to for to in range(WORLD)])
    same(mine, sum(every(2)) + WORLD * rank)


def uneven_reduce_scatter(rank: int) -> None:
    import torch.distributed as dist

    sizes = [1, 4, 2, 3]
    mine = torch.empty(sizes[rank], device="npu")
    dist.reduce_scatter(mine, [of(rank, size) for size in sizes])
    same(mine, sum(every(sizes[rank])))


def averages(rank: int) -> None:
    import torch.distributed as dist

    x = of(rank, 4)
    dist.all_reduce(x, dist.ReduceOp.AVG)
    whole = sum(every(4))
    assert isinstance(whole, torch.Tensor)
    same(x, whole / WORLD)


def gathered(rank: int) -> None:
    import torch.distributed as dist

    outs = [torch.empty(3, device="npu") for _ in range(WORLD)] if rank == 1 else None
    dist.gather(of(rank, 3), outs, dst=1)
    if outs is not None:
        for source, out in enumerate(outs):
            same(out, every(3)[source])


def coalescing_manager(rank: int) -> None:
    import torch.distributed as dist
    from torch.distributed.distributed_c10d import _coalescing_manager

    xs = [of(rank, 3), of(rank, 5)]
    with _coalescing_manager(device=torch.device("npu", rank)):
        for x in xs:
            dist.all_reduce(x)
    for x in xs:
        same(x, sum(every(*x.shape)))
    outs = [torch.empty(8, device="npu"), torch.empty(12, device="npu")]
    with _coalescing_manager(device=torch.device("npu", rank), async_ops=True) as manager:
        for out in outs:
            dist.all_gather_into_tensor(out, of(rank, out.numel() // WORLD))
    manager.wait()
    for out in outs:
        same(out, torch.cat(every(out.numel() // WORLD)))


def groups(rank: int) -> None:
    import torch.distributed as dist

    odd = dist.new_group([1, 3])
    if rank in (1, 3):
        assert dist.get_process_group_ranks(odd) == [1, 3]
        x = of(rank, 4)
        dist.broadcast(x, 3, group=odd)
        same(x, every(4)[3])
        dist.broadcast(x, group_src=0, group=odd)
        same(x, every(4)[3])
    pair, pairs = dist.new_subgroups(2)
    assert len(pairs) == 2
    x = of(rank, 4)
    dist.all_reduce(x, group=pair)
    first = rank // 2 * 2
    same(x, every(4)[first] + every(4)[first + 1])
    dist.barrier(group=pair)
    dist.destroy_process_group(pair)


def split_groups(rank: int) -> None:
    import torch.distributed as dist

    part = dist.split_group(dist.group.WORLD, [[0, 2], [1, 3]])
    x = of(rank, 4)
    dist.all_reduce(x, group=part)
    same(x, every(4)[rank % 2] + every(4)[rank % 2 + 2])


def monitored_barrier(rank: int) -> None:
    import torch.distributed as dist

    dist.monitored_barrier()


def futures(rank: int) -> None:
    import torch.distributed as dist

    x = of(rank, 6)
    work = dist.all_reduce(x, async_op=True)
    doubled = work.get_future().then(lambda future: future.value()[0] * 2).wait()
    same(doubled, 2 * sum(every(6)))
    assert work.is_completed()
    # torch_npu makes a communicator of each pair at its first message, which waits for the other side.
    if rank % 2 == 0:
        dist.isend(of(rank, 5), rank + 1).wait()
    else:
        got = torch.empty(5, device="npu")
        dist.irecv(got, rank - 1).wait()
        same(got, every(5)[rank - 1])


def ring(rank: int) -> None:
    import torch.distributed as dist

    got = torch.empty(5, device="npu")
    operations = [dist.P2POp(dist.isend, of(rank, 5), (rank + 1) % WORLD), dist.P2POp(dist.irecv, got, (rank - 1) % WORLD)]
    for work in dist.batch_isend_irecv(operations):
        work.wait()
    same(got, every(5)[rank - 1])


def views(rank: int) -> None:
    import torch.distributed as dist

    storage = torch.zeros(10, device="npu")
    dist.all_reduce(storage[2:6].copy_(of(rank, 4)))
    same(storage, torch.cat([torch.zeros(2), torch.as_tensor(sum(every(4))), torch.zeros(4)]))


def a_complex_tensor(rank: int) -> None:
    import torch.distributed as dist

    x = torch.tensor([1 + 2j]).npu()
    dist.all_reduce(x)
    same(x, [4 + 8j])


def a_strided_tensor(rank: int) -> None:
    import torch.distributed as dist

    dist.all_reduce(of(rank, 4, 4).t())


def a_tensor_of_the_host(rank: int) -> None:
    import torch.distributed as dist

    dist.all_reduce(torch.ones(3))


def bits(rank: int) -> None:
    import torch.distributed as dist

    dist.all_reduce(torch.ones(3, dtype=torch.int32, device="npu"), dist.ReduceOp.BAND)


def any_source(rank: int) -> None:
    import torch.distributed as dist

    dist.recv(torch.empty(3, device="npu"))


# DistributedDataParallel: test_c10d_nccl.py and distributed_test.py.


class Square(torch.nn.Module):
    """Its gradient needs operators that SoftNPU has, which computes the gradient of no usual activation."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * x


def network() -> torch.nn.Sequential:
    torch.manual_seed(3)
    return torch.nn.Sequential(torch.nn.Linear(6, 8), Square(), torch.nn.Linear(8, 4))


def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The mean of squares."""
    difference = outputs - targets
    return (difference * difference).sum() / targets.numel()


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return torch.randn(8, 6, generator=generator), torch.randn(8, 4, generator=generator)


def steps(model: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor, count: int = 3) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, foreach=False)
    for _ in range(count):
        optimizer.zero_grad()
        loss(model(inputs), targets).backward()
        optimizer.step()


def trained() -> torch.nn.Module:
    """On the CPU, with the whole batch."""
    model = network()
    steps(model, *batch())
    return model


def mine_of_batch(rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    inputs, targets = batch()
    return inputs.chunk(WORLD)[rank].npu(), targets.chunk(WORLD)[rank].npu()


def data_parallel(rank: int) -> None:
    from torch.nn.parallel import DistributedDataParallel

    for options in ({}, {"bucket_cap_mb": 1e-4}, {"gradient_as_bucket_view": True}, {"static_graph": True}):
        model = DistributedDataParallel(network().npu(), device_ids=[rank], **options)
        steps(model, *mine_of_batch(rank))
        for got, wanted in zip(model.module.parameters(), trained().parameters(), strict=True):
            close(got, wanted)


def data_parallel_starts_from_rank_0(rank: int) -> None:
    from torch.nn.parallel import DistributedDataParallel

    torch.manual_seed(rank)
    layer = torch.nn.BatchNorm1d(4).npu()
    layer.weight.data.fill_(rank + 1)
    layer.running_mean.fill_(rank + 1)
    model = DistributedDataParallel(layer, device_ids=[rank])
    same(model.module.weight, torch.ones(4))
    same(model.module.running_mean, torch.ones(4))


def data_parallel_without_synchronising(rank: int) -> None:
    from torch.nn.parallel import DistributedDataParallel

    model = DistributedDataParallel(network().npu(), device_ids=[rank])
    inputs, targets = mine_of_batch(rank)
    with model.no_sync():
        loss(model(inputs), targets).backward()
    alone = network()
    loss(alone(inputs.cpu()), targets.cpu()).backward()
    for got, wanted in zip(model.module.parameters(), alone.parameters(), strict=True):
        close(got.grad, wanted.grad)


def data_parallel_with_unused_parameters(rank: int) -> None:
    from torch.nn.parallel import DistributedDataParallel

    class Either(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = torch.nn.Linear(2, 1, bias=False)
            self.b = torch.nn.Linear(2, 1, bias=False)

        def forward(self, x: torch.Tensor, first: bool) -> torch.Tensor:
            return self.a(x) if first else self.b(x)

    model = DistributedDataParallel(Either().npu(), device_ids=[rank], find_unused_parameters=True)
    model(of(rank, 1, 2), rank % 2 == 0).sum().backward()
    same(model.module.a.weight.grad, (every(1, 2)[0] + every(1, 2)[2]) / WORLD)
    same(model.module.b.weight.grad, (every(1, 2)[1] + every(1, 2)[3]) / WORLD)


def data_parallel_with_a_hook(rank: int) -> None:
    from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
    from torch.nn.parallel import DistributedDataParallel

    model = DistributedDataParallel(network().npu(), device_ids=[rank])
    model.register_comm_hook(None, default_hooks.allreduce_hook)
    steps(model, *mine_of_batch(rank))
    for got, wanted in zip(model.module.parameters(), trained().parameters(), strict=True):
        close(got, wanted)


def data_parallel_with_uneven_inputs(rank: int) -> None:
    from torch.distributed.algorithms.join import Join
    from torch.nn.parallel import DistributedDataParallel

    model = DistributedDataParallel(torch.nn.Linear(2, 1, bias=False).npu(), device_ids=[rank])
    with Join([model]):
        for _ in range(rank + 1):
            model(torch.ones(1, 2, device="npu")).sum().backward()
    assert model.module.weight.grad is not None


# DTensor: test/distributed/tensor.


def redistribution(rank: int) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor

    mesh = init_device_mesh("npu", (WORLD,))
    whole = torch.arange(60.0).reshape(10, 6)  # ten rows: three, three, three, one
    rows = distribute_tensor(whole.npu(), mesh, [Shard(0)])
    same(rows.to_local(), whole.chunk(WORLD)[rank])
    same(rows.full_tensor(), whole)
    columns = rows.redistribute(mesh, [Shard(1)])
    same(columns.to_local(), whole.chunk(WORLD, 1)[rank] if rank < 3 else torch.empty(10, 0))
    same(columns.redistribute(mesh, [Replicate()]).to_local(), whole)
    partial = DTensor.from_local(of(rank, 4, 4), mesh, [Partial()])
    same(partial.redistribute(mesh, [Replicate()]).to_local(), sum(every(4, 4)))
    summed = sum(every(4, 4))
    assert isinstance(summed, torch.Tensor)
    same(partial.redistribute(mesh, [Shard(0)]).to_local(), summed.chunk(WORLD)[rank])


def operators_of_distributed_tensors(rank: int) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    mesh = init_device_mesh("npu", (WORLD,))
    a = torch.arange(32.0).reshape(8, 4)
    b = torch.arange(12.0).reshape(4, 3)
    for left, right in ((Shard(0), Replicate()), (Shard(1), Shard(0)), (Replicate(), Replicate())):
        product = distribute_tensor(a.npu(), mesh, [left]) @ distribute_tensor(b.npu(), mesh, [right])
        same(product.full_tensor(), a @ b)
    x = distribute_tensor(a.npu(), mesh, [Shard(0)]).requires_grad_()
    (x * 2).sum().full_tensor().backward()
    same(x.grad.full_tensor(), torch.full((8, 4), 2.0))


def meshes(rank: int) -> None:
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    mesh = init_device_mesh("npu", (2, 2), mesh_dim_names=("outer", "inner"))
    assert list(mesh.get_coordinate()) == [rank // 2, rank % 2]
    x = of(rank, 3)
    dist.all_reduce(x, group=mesh["outer"].get_group())
    same(x, every(3)[rank % 2] + every(3)[rank % 2 + 2])
    whole = torch.arange(16.0).reshape(4, 4)
    block = distribute_tensor(whole.npu(), mesh, [Shard(0), Shard(1)])
    same(block.to_local(), whole.chunk(2)[rank // 2].chunk(2, 1)[rank % 2])
    same(block.full_tensor(), whole)


def tensor_parallel(rank: int) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    mesh = init_device_mesh("npu", (WORLD,))
    model = parallelize_module(network().npu(), mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})
    inputs, targets = batch()
    steps(model, inputs.npu(), targets.npu())
    for got, wanted in zip(model.parameters(), trained().parameters(), strict=True):
        close(got.full_tensor(), wanted)


# fully_shard: test/distributed/_composable/fsdp.


def fully_sharded(rank: int) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("npu", (WORLD,))
    for reshard in (True, False):
        model = network().npu()
        for layer in (model[0], model[2]):
            fully_shard(layer, mesh=mesh, reshard_after_forward=reshard)
        fully_shard(model, mesh=mesh, reshard_after_forward=reshard)
        assert model[0].weight.to_local().shape == (2, 6)
        steps(model, *mine_of_batch(rank))
        for got, wanted in zip(model.parameters(), trained().parameters(), strict=True):
            close(got.full_tensor(), wanted)


def fully_sharded_uneven(rank: int) -> None:
    """Rows that four ranks cannot share evenly are padded."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    torch.manual_seed(5)
    whole = torch.nn.Linear(6, 5)
    model = fully_shard(copy.deepcopy(whole).npu(), mesh=init_device_mesh("npu", (WORLD,)))
    inputs, _ = mine_of_batch(rank)
    model(inputs).sum().backward()
    whole(batch()[0]).sum().backward()
    close(model.weight.grad.full_tensor() * WORLD, whole.weight.grad)
    close(model.bias.grad.full_tensor() * WORLD, whole.bias.grad)


def hybrid_sharded(rank: int) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("npu", (2, 2), mesh_dim_names=("replicas", "shards"))
    model = fully_shard(network().npu(), mesh=mesh)
    steps(model, *mine_of_batch(rank))
    for got, wanted in zip(model.parameters(), trained().parameters(), strict=True):
        close(got.full_tensor(), wanted)


def mixed_precision(rank: int) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    model = fully_shard(network().npu(), mesh=init_device_mesh("npu", (WORLD,)), mp_policy=policy)
    out = model(mine_of_batch(rank)[0])
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in model.parameters())


WORKS: list[Callable[[int], None]] = [
    functional_all_reduce,
    functional_all_gather,
    functional_reduce_scatter,
    functional_broadcast,
    functional_all_to_all,
    functional_coalesced,
    functional_with_gradients,
    objects,
    object_messages,
    gathered_objects,
    lists_of_tensors,
    uneven_reduce_scatter,
    averages,
    gathered,
    coalescing_manager,
    groups,
    futures,
    ring,
    views,
    a_complex_tensor,
    data_parallel,
    data_parallel_starts_from_rank_0,
    data_parallel_without_synchronising,
    data_parallel_with_unused_parameters,
    data_parallel_with_a_hook,
    data_parallel_with_uneven_inputs,
    redistribution,
    operators_of_distributed_tensors,
    meshes,
    tensor_parallel,
    fully_sharded,
    fully_sharded_uneven,
    hybrid_sharded,
    mixed_precision,
]

REFUSED: dict[Callable[[int], None], str] = {
    monitored_barrier: "monitored_barrier is only implemented for GLOO backend.",
    a_strided_tensor: "Tensors must be contiguous",
    a_tensor_of_the_host: "No backend type associated with device type cpu",
    bits: "Cannot use ReduceOp.BAND with HCCL",
    split_groups: "No device associated with the default pg",
    any_source: "ProcessGroupHCCL does not support recv",
}


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.__name__)
def test_works(work: Callable[[int], None], four: Ranks) -> None:
    four.run(work)


@pytest.mark.parametrize(("work", "sentence"), REFUSED.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_is_refused(work: Callable[[int], None], sentence: str, four: Ranks) -> None:
    for error in four.errors(work).values():
        assert sentence in error
