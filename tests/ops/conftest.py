"""Loads the kernels once for all tests of a file."""

from __future__ import annotations

import pytest
import torch
import torch_npu  # noqa: F401

from vllm_cann import ops

pytest.register_assert_rewrite("shared")  # whose asserts then say what the numbers were


@pytest.fixture(scope="session", autouse=True)
def kernels() -> None:
    ops.load(torch.device("npu:0"))
