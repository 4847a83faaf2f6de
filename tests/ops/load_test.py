"""What a user reads when kernels cannot be loaded, or fail on the device. Each failure is made in a process of its own, which it ends."""

from __future__ import annotations

import re

from shared import run

ROTARY = "from vllm_cann.ops.rotary_embedding import rotary_embedding\n"


def test_a_wheel_without_kernels_says_so() -> None:
    out = run(
        "from pathlib import Path\n"
        "ops.kernel_directory = lambda: Path('/nowhere')\n"
        "try:\n    ops.load(device)\n"
        "except RuntimeError as error:\n    print(error)\n"
    )
    assert "vllm_cann's kernels cannot be loaded on Ascend910B3" in out
    assert "aclrtBinaryLoadFromFile('/nowhere/cache.ascend910b3.o') failed" in out


def test_an_operator_before_load_says_what_is_missing() -> None:
    out = run(
        ROTARY + "x = torch.zeros(1, 64, device=device)\n"
        "try:\n    rotary_embedding(torch.zeros(1, dtype=torch.int64).npu(), x, None, 64, x, True)\n"
        "except RuntimeError as error:\n    print(error)\n"
    )
    assert "the directory of the kernels is not set" in out


def test_a_fault_in_a_kernel_names_kernel_line_and_buffer() -> None:
    out = run(
        ROTARY + "ops.load(device)\n"
        "x = torch.zeros(2, 64, dtype=torch.float16, device=device)\n"
        "table = torch.zeros(4, 64, dtype=torch.float16, device=device)\n"
        "rotary_embedding(torch.tensor([0, 4]).npu(), x, None, 64, table, True)\n"
        "try:\n    torch.npu.synchronize()\n"
        "except RuntimeError as error:\n    print(error)\n"
    )
    assert "rotary_embedding_half" in out
    assert "cc/kernels/rotary/angles.h:" in out
    assert "outside the 512 bytes that SetGlobalBuffer gave the tensor" in out
    assert re.search(r"bytes \[\d+, \d+\) of GM allocation #\d+ \(\d+ bytes, device 0\)", out)
