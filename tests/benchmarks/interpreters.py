"""Speed of SoftNPU and of Triton's interpreter on the same work: elements per second.

    python3 -m pip install --no-deps --target /tmp/triton triton==3.7.1
    tools/bazel run //tests/benchmarks:interpreters -- --triton /tmp/triton

Triton is in no environment of the build: it is 1 GB, and nothing else needs it. The engines run in turn, each measurement in a process of
its own, on one thread; results are compared with numpy before anything is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

RUNS = 7
SECONDS = 5.0  # no further run after as many
WORK = ("rotary float 512x8x128", "rotary half 512x8x128", "softmax-top-k float 1024x128, k 8")
# Name -> which kernels run, and how: the checks of SoftNPU, or the tokens of a Triton program.
ENGINES = {
    "softnpu strict": ("softnpu", "strict"),
    "softnpu off": ("softnpu", "off"),
    "softnpu off, no time": ("softnpu", "untimed"),
    "triton, 1 token": ("triton", "1"),
    "triton, 16 tokens": ("triton", "16"),
    "triton, all tokens": ("triton", "0"),
}


def inputs(work: str) -> tuple[list[np.ndarray], list[np.ndarray], list[float]]:
    """Arrays, the results to expect, and their relative tolerances."""
    random = np.random.default_rng(1)
    if work.startswith("rotary"):
        element = {"half": np.float16, "float": np.float32}[work.split()[1]]
        tokens, heads, size = map(int, work.split()[2].split("x"))
        x = random.standard_normal((tokens, heads, size)).astype(element)
        cache = random.standard_normal((4096, size)).astype(element)
        positions = random.integers(0, 4096, tokens)
        c, s = np.split(cache[positions].astype(np.float64)[:, None], 2, axis=2)
        x1, x2 = np.split(x.astype(np.float64), 2, axis=2)
        want = np.concatenate([x1 * c - x2 * s, x2 * c + x1 * s], axis=2)
        return [x, positions, cache], [want], [1e-3 if element == np.float16 else 1e-6]
    rows, experts = 1024, 128
    logits = random.standard_normal((rows, experts)).astype(np.float32)
    e = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    softmax = e / e.sum(axis=1, keepdims=True)
    places = np.argsort(-softmax, axis=1, kind="stable")[:, :8]
    arrays = [logits, np.zeros((rows, 8), np.float32), np.zeros((rows, 8), np.int32)]
    return arrays, [np.take_along_axis(softmax, places, 1), places], [1e-6, 0.0]


def compare(found: list[np.ndarray], wanted: list[np.ndarray], tolerances: list[float]) -> None:
    """Ends the process when a result is wrong."""
    for out, want, tolerance in zip(found, wanted, tolerances, strict=True):
        error = np.abs(out.astype(np.float64) - want)
        if not (error <= tolerance * (np.abs(want) + 1.0)).all():
            sys.exit(f"wrong: off by {error.max()}")


def on_softnpu(work: str, how: str, arrays: list[np.ndarray], directory: Path) -> tuple[Callable[[], None], list[np.ndarray]]:
    """A function that launches the kernel once, and where its results are."""
    import softnpu
    from softnpu import profiles
    from tests.benchmarks.plans import plan

    os.environ["CXX"] = f"{Path(os.environ['ZIG']).resolve()} c++ -nostdlib++"
    os.environ["ZIG_GLOBAL_CACHE_DIR"] = os.environ["ZIG_LOCAL_CACHE_DIR"] = str(directory)

    profile = "ascend910b3"
    if how == "untimed":
        text = profiles.find(profile).read_text()
        profile = str(directory / "untimed.toml")
        Path(profile).write_text(text[: text.index("[time]")])
    checks = "off" if how == "untimed" else how
    source = "cc/kernels/rotary/rotary_embedding.cpp" if work.startswith("rotary") else "tests/benchmarks/kernels/softmax_top_k.cpp"
    twin = softnpu.load(softnpu.build(source, output=directory / "kernel.twin.so", options=("-I.",)))
    if work.startswith("rotary"):
        x, positions, cache = arrays
        options = {"head_size": x.shape[2], "style": "neox", "is_inverse": False, "mrope_section": None, "mrope_interleaved": False}
        launch = plan("rotary_embedding", [positions, x, None, cache, None, None, None, None], options, profile)
        kernel, cores = twin[launch.kernel], launch.cores
        arguments: list[Any] = [positions, x, None, cache, None, None, None, launch.tiling]
        found = [x]
    else:
        kernel, cores = twin["softmax_top_k"], 32
        arguments = [arrays[0], softnpu.Output(arrays[1]), softnpu.Output(arrays[2]), np.uint32(len(arrays[0]))]
        found = arrays[1:]
    return lambda: void(softnpu.launch(kernel, *arguments, blocks=cores, profile=profile, checks=checks)), found


def void(_: object) -> None:
    """Nothing."""


def on_triton(work: str, how: str, arrays: list[np.ndarray]) -> tuple[Callable[[], None], list[np.ndarray]]:
    """The same with Triton's interpreter."""
    os.environ["TRITON_INTERPRET"] = "1"
    import torch
    import triton_kernels

    torch.set_num_threads(1)
    tensors = [torch.from_numpy(array) for array in arrays]
    rows = int(how) or len(arrays[0])
    grid = (len(arrays[0]) // rows,)
    if work.startswith("rotary"):
        _, heads, size = arrays[0].shape
        return lambda: void(triton_kernels.rotary[grid](*tensors, HEADS=heads, HALF=size // 2, ROWS=rows)), arrays[:1]
    return lambda: void(triton_kernels.softmax_top_k[grid](*tensors, EXPERTS=arrays[0].shape[1], TOP=8, ROWS=rows)), arrays[1:]


def measure(work: str, engine: str) -> float:
    """Seconds of a launch, median."""
    arrays, wanted, tolerances = inputs(work)
    start = arrays[0].copy()
    with tempfile.TemporaryDirectory() as directory:
        family, how = ENGINES[engine]
        run, found = on_softnpu(work, how, arrays, Path(directory)) if family == "softnpu" else on_triton(work, how, arrays)
        run()
        compare(found, wanted, tolerances)
        seconds: list[float] = []
        while len(seconds) < RUNS and sum(seconds) < SECONDS:
            arrays[0][...] = start
            begin = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--triton", help="directory with the package triton")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("WORK", "ENGINE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(*options.one)))
        return
    path = [p for p in (options.triton, *sys.path) if p]
    environment = os.environ | {"PYTHONPATH": ":".join(path), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    if subprocess.run([sys.executable, "-c", "import triton"], env=environment, capture_output=True, check=False).returncode:
        sys.exit(f"no package triton: --triton DIRECTORY.\n\n{__doc__}")
    seconds: dict[tuple[str, str], list[float]] = {}
    for _ in range(options.rounds):
        for work in WORK:
            for engine in ENGINES:
                command = [sys.executable, __file__, "--one", work, engine]
                result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
                seconds.setdefault((work, engine), []).append(json.loads(result.stdout))
    triton = [engine for engine in ENGINES if engine.startswith("triton")]
    print("| work | engine | ms | elements/s |" + "".join(f" x {engine} |" for engine in triton) + "\n" + "|---" * (4 + len(triton)) + "|")
    for work in WORK:
        median = {engine: statistics.median(seconds[work, engine]) for engine in ENGINES}
        elements = inputs(work)[0][0].size
        for engine, value in median.items():
            ratios = " | ".join(f"{median[other] / value:.3g}" for other in triton)
            print(f"| {work} | {engine} | {value * 1e3:.2f} | {elements / value:.3g} | {ratios} |")


if __name__ == "__main__":
    main()
