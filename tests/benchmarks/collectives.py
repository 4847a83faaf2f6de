"""Wall time of collectives of SoftNPU's HCCL against gloo's on host memory, in one run: `tools/bazel run //tests/benchmarks:collectives`.

Each rank is a process. A row is the median of the slowest rank's times, which vary tenfold on a machine that has other work.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from typing import Any

SIZES = (4 << 10, 64 << 10, 1 << 20, 16 << 20, 64 << 20)  # bytes that each rank gives
KINDS = ("all_reduce", "all_to_all")


def _measure(rank: int, ranks: int, store: str, repeats: int, results: Any) -> None:
    import torch
    import torch.distributed as dist
    import torch_npu  # noqa: F401

    torch.set_num_threads(1)
    torch.npu.set_device(rank)
    dist.init_process_group("cpu:gloo,npu:hccl", init_method=f"file://{store}", rank=rank, world_size=ranks)
    found = {}
    for device in ("npu", "cpu"):
        for kind in KINDS:
            for size in SIZES:
                x = torch.ones(size // 4, device=device)
                out = torch.empty_like(x)
                run = partial(dist.all_reduce, x) if kind == "all_reduce" else partial(dist.all_to_all_single, out, x)
                times = []
                for _ in range(repeats):
                    x.fill_(1)
                    torch.npu.synchronize()
                    dist.barrier()
                    begun = time.perf_counter()
                    run()
                    torch.npu.synchronize()
                    times.append(time.perf_counter() - begun)
                found[device, kind, size] = times
    results.put(found)
    dist.destroy_process_group()


def _slowest(times: list[list[float]]) -> float:
    """Microseconds: the median of the slowest rank's times."""
    return statistics.median(map(max, zip(*times, strict=True))) * 1e6


def main() -> None:
    """Prints a table for each number of ranks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4], help="numbers of ranks")
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    if "SOFTNPU_DEVICES" not in os.environ:
        options = ["--devices", str(max(arguments.ranks)), "--memory", "512MiB"]
        sys.exit(
            subprocess.run([sys.executable, "-m", "softnpu", "run", *options, "--", sys.executable, *sys.argv], check=False).returncode
        )
    print("| collective | ranks | bytes of a rank | HCCL, us | gloo, us | ratio |")
    print("|---|---|---|---|---|---|")
    context = multiprocessing.get_context("spawn")
    for ranks in arguments.ranks:
        results = context.Queue()
        with tempfile.TemporaryDirectory() as directory:
            given = (ranks, f"{directory}/store", arguments.repeats, results)
            processes = [context.Process(target=_measure, args=(rank, *given)) for rank in range(ranks)]
            for process in processes:
                process.start()
            found = [results.get(timeout=300) for _ in processes]
            for process in processes:
                process.join()
        for kind in KINDS:
            for size in SIZES:
                hccl, gloo = (_slowest([one[device, kind, size] for one in found]) for device in ("npu", "cpu"))
                print(f"| {kind} | {ranks} | {size} | {hccl:.0f} | {gloo:.0f} | {gloo / hccl:.1f} |")


if __name__ == "__main__":
    main()
