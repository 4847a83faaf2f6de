"""torch's windows on SoftNPU: with a dtype they are right; without one torch_npu 2.13.0 chooses the dtype itself, and wrongly."""

from __future__ import annotations

import pytest
import torch

from tests.softnpu.compare import check

WINDOWS = ("hamming_window", "hann_window", "blackman_window", "bartlett_window")


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("name", WINDOWS)
def test_windows_with_a_dtype(name: str, periodic: bool) -> None:
    def window(at: torch.Tensor) -> torch.Tensor:
        return getattr(torch, name)(9, periodic=periodic, dtype=torch.float32, device=at.device)

    # Angles below 4 pi with an error of a few ulps of 2^-20, coefficients below 1.
    check(window, torch.empty(0), tolerance=8 * 2.0**-20)


@pytest.mark.parametrize("name", ["hamming_window", "hann_window", "bartlett_window"])
def test_without_a_dtype_torch_npu_itself_makes_integers(name: str) -> None:
    """docs/fidelity.md says so; when a newer torch_npu makes floats this test fails, and both can go."""
    assert getattr(torch, name)(5, device="npu").dtype == torch.int64
