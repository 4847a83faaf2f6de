"""What the tests of all operators use."""

from __future__ import annotations

import torch

# All of torch.library.opcheck. test_autograd_registration does not know PrivateUse1: it passes only because no input requires a gradient.
CHECKS = (
    "test_schema",
    "test_autograd_registration",
    "test_faketensor",
    "test_aot_dispatch_static",
    "test_aot_dispatch_dynamic",
)


def noise(dtype: torch.dtype, *shape: int, seed: int = 0) -> torch.Tensor:
    """Normal numbers, or any of int8; the same for a shape and a seed."""
    generator = torch.Generator().manual_seed(sum(shape) + seed)
    if dtype == torch.int8:
        return torch.randint(-128, 128, shape, generator=generator).to(dtype)
    return torch.randn(*shape, generator=generator).to(dtype)
