"""Small networks that train on SoftNPU as on the CPU: the same losses within the rounding of float32."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

STEPS = 5


def text() -> tuple[nn.Module, torch.Tensor]:
    """An embedding, a norm and two matrices, over tokens."""
    layers = [nn.Embedding(11, 8), nn.LayerNorm(8), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 4)]
    return nn.Sequential(*layers), torch.randint(0, 11, (6,), generator=torch.Generator().manual_seed(2))


def picture() -> tuple[nn.Module, torch.Tensor]:
    """Convolutions with what stands between them, over pictures."""
    layers = [nn.Conv2d(2, 4, 3, padding=1), nn.SiLU(), nn.Conv2d(4, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 4), nn.Tanh()]
    return nn.Sequential(*layers), torch.randn(6, 2, 5, 5, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("fused", [False, True], ids=["lists", "fused"])
@pytest.mark.parametrize("make", [text, picture])
def test_losses_are_those_of_the_cpu(make: Callable[[], tuple[nn.Module, torch.Tensor]], fused: bool) -> None:
    def train(device: str) -> torch.Tensor:
        torch.manual_seed(1)
        model, inputs = make()
        model, inputs = model.to(device), inputs.to(device)
        target = torch.tensor([0, 1, 2, 3, 0, 1], device=device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, fused=fused)
        losses = []
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs), target)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.detach().cpu())
        return torch.stack(losses)

    found, wanted = train("npu"), train("cpu")
    assert wanted[-1] < wanted[0]  # it learns
    # A gradient's rounding is at most some 2^-20 of it. Adam divides it by its own size, so that a step of 2^-7 errs by 2^-27 for each
    # parameter; 500 parameters and 5 steps move a loss by less than 2^-15.
    torch.testing.assert_close(found, wanted, rtol=0, atol=2.0**-15)
