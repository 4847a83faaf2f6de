"""What the host pays for a launch, in one run: tools/bazel run //tests/benchmarks/launch

The same rotary embedding of 8 tokens as a bare ACL call in a loop of C++, with the same arguments, ready; by nanobind and by pybind11, on
a launch that is ready for these shapes, and with checks and tiling each time; by nanobind from tensors, whose launch is looked up; through
our Python function; and through torch.library. On SoftNPU without checks. Kernels run on threads of its own, so processor time of the
calling thread is measured: other load hardly changes it. Rounds are interleaved; figures are medians of them, microseconds per launch.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

COUNT, ROUNDS = 300, 21
LAYERS = 28


def measure() -> None:
    import torch

    with torch.inference_mode():  # as vLLM serves
        measure_ways()


def measure_ways() -> None:
    import _pybind11
    import torch
    import torch_npu

    from vllm_cann import _ops, ops
    from vllm_cann.ops.reshape_and_cache import reshape_and_cache
    from vllm_cann.ops.rotary_embedding import rotary_embedding
    from vllm_cann.ops.slot_mapping import slot_mapping

    device = torch.device("npu:0")
    ops.load(device)
    directory = ops.kernel_directory()
    _pybind11.set_kernel_directory(str(directory))
    tokens, heads, size, rows = 8, 8, 128, 64
    query = torch.zeros(tokens, heads * size, dtype=torch.float16, device=device)
    key = torch.zeros(tokens, size, dtype=torch.float16, device=device)
    table = torch.zeros(rows, size, dtype=torch.float16, device=device)
    positions = torch.zeros(tokens, dtype=torch.int64, device=device)
    torch.npu.synchronize()
    stream = torch_npu.npu.current_stream().npu_stream
    a, b, c, d = (t.data_ptr() for t in (positions, query, key, table))
    tensors = (positions, query, key, table, None, None, None, None)
    options = (size, "neox", False, None, False)
    by_nanobind = _ops.prepare("rotary_embedding", tensors, options)
    by_pybind11 = _pybind11.rotary_embedding(tokens, heads, size, rows)
    operator, overload = _ops.Operator("rotary_embedding"), torch.ops.vllm_cann.rotary_embedding.default

    def many(call: Callable[[], object]) -> Callable[[], float]:
        def run() -> float:
            start = time.thread_time()
            for _ in range(COUNT):
                call()
            return time.thread_time() - start

        return run

    # What the plugin launches in a decoding step of a model with normalised heads, as it launches it.
    qkv = torch.zeros(tokens, (heads + 2) * size, dtype=torch.float16, device=device)
    weight = torch.ones(size, dtype=torch.float16, device=device)
    key_cache, value_cache = torch.zeros(2, 4, 128, 1, size, dtype=torch.float16, device=device)
    starts = torch.arange(tokens + 1, dtype=torch.int32, device=device)
    blocks = torch.zeros(tokens, 1, dtype=torch.int32, device=device)
    slots = torch.zeros(tokens, dtype=torch.int64, device=device)
    rows_of = torch.zeros(tokens, 1, size, dtype=torch.float16, device=device)

    binary = str(directory / "rotary.ascend910b3.o")
    ways: dict[str, Callable[[], float]] = {
        "bare ACL call": lambda: _pybind11.bare(binary, tokens, heads, size, rows, [a, b, c, d, 0, 0, 0], stream, COUNT),
        "a Python call of nothing": many(lambda: None),
        "checks and tiling alone": lambda: _pybind11.plan(tokens, heads, size, rows, COUNT),
        "nanobind": many(lambda: by_nanobind(a, b, c, d, 0, 0, 0, stream)),
        "nanobind, with its checks and tiling": many(
            lambda: _ops.prepare("rotary_embedding", tensors, options)(a, b, c, d, 0, 0, 0, stream)
        ),
        "nanobind, from tensors": many(lambda: operator(*tensors, *options)),
        "pybind11": many(lambda: by_pybind11(a, b, c, d, 0, 0, 0, stream)),
        "pybind11, with its checks and tiling": many(
            lambda: _pybind11.rotary_embedding(tokens, heads, size, rows)(a, b, c, d, 0, 0, 0, stream)
        ),
        "vllm_cann.ops": many(lambda: rotary_embedding(positions, query, key, size, table, True)),
        "vllm_cann.ops, reshape_and_cache": many(lambda: reshape_and_cache(rows_of, rows_of, key_cache, value_cache, slots)),
        "torch.library": many(lambda: overload(positions, query, key, size, table, True)),
        "torch.library, by its name": many(lambda: torch.ops.vllm_cann.rotary_embedding(positions, query, key, size, table, True)),
    }

    def step() -> float:
        start = time.thread_time()
        slot_mapping(starts, positions, blocks, slots, tokens, 128)
        for _ in range(LAYERS):
            _, k, v, _ = torch.ops.vllm_cann.qkv_rmsnorm_rope(
                qkv, weight, weight, heads, 1, size, 1e-6, cos_sin_cache=table, positions=positions
            )
            reshape_and_cache(k.view(tokens, 1, size), v.view(tokens, 1, size), key_cache, value_cache, slots)
        return time.thread_time() - start

    found: dict[str, list[float]] = {name: [] for name in ways}
    steps = []
    for _ in range(ROUNDS):
        for name, run in ways.items():
            found[name].append(run() / COUNT * 1e6)
            torch.npu.synchronize()
        steps.append(step() * 1e6)
        torch.npu.synchronize()
    middle = {name: statistics.median(times[1:]) for name, times in found.items()}
    print("| way | us per launch | x bare | x torch.library |")
    print("|---|---|---|---|")
    for name, time_ in middle.items():
        print(f"| {name} | {time_:.2f} | {time_ / middle['bare ACL call']:.2f} | {time_ / middle['torch.library']:.2f} |")
    launches = 2 * LAYERS + 1
    print(f"\nA decoding step of {LAYERS} layers, {launches} launches: {statistics.median(steps[1:]):.0f} us, ", end="")
    print(f"{statistics.median(steps[1:]) / launches:.1f} per launch")


def main() -> None:
    if "inside" in sys.argv:
        measure()
        return
    command = [sys.executable, "-m", "softnpu", "run", "--checks", "off", "--", sys.executable, str(Path(__file__).resolve()), "inside"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    sys.exit(subprocess.run(command, env=environment).returncode)


if __name__ == "__main__":
    main()
