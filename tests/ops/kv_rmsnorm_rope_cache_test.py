"""kv_rmsnorm_rope_cache: the latent rows of multi-head latent attention, normalised, rotated and cached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from shared import CHECKS, Arguments, check_declaration, few, launches, noise, refusals, refused, same, want, zeros

from vllm_cann.ops.kv_rmsnorm_rope_cache import kv_rmsnorm_rope_cache

# n is the size of the normalised part, r of the rotated one.
SEQUENCES, TOKENS, N, R, BLOCK, BLOCKS = 2, 20, 512, 64, 16, 6


def latent(mode: str, dtype: torch.dtype, is_int8: bool = False, tokens: int = TOKENS) -> tuple[Arguments, torch.Tensor]:
    """Arguments on the host, and the slot of each token in the caches of all sequences."""
    kv, gamma = noise(dtype, SEQUENCES, 1, tokens, N + R), noise(dtype, N, seed=1)
    angle = noise(torch.float32, SEQUENCES, 1, tokens, R, seed=2)
    kind = torch.int8 if is_int8 else dtype
    token = torch.arange(SEQUENCES * tokens)
    if mode == "Norm":
        index = (torch.arange(tokens) * 3 % 32).repeat(SEQUENCES, 1)
        slots = index.flatten() + token // max(tokens, 1) * 32
        shapes = [(SEQUENCES, 1, 32, size) for size in (R, N)]
    elif "BLK" in mode:
        index = (torch.tensor([3, 0, 5, 1]) * BLOCK)[: SEQUENCES * -(-tokens // BLOCK)]
        slots = index[token // max(tokens, 1) * 2 + token % max(tokens, 1) // BLOCK] + token % max(tokens, 1) % BLOCK
    else:
        slots = index = torch.randperm(BLOCKS * BLOCK, generator=torch.Generator().manual_seed(3))[: SEQUENCES * tokens]
    width = 32 // kind.itemsize
    if mode.endswith("NZ"):
        shapes = [(BLOCKS, size // width, BLOCK, 1, width) for size in (R, N)]
    elif mode != "Norm":
        shapes = [(BLOCKS, BLOCK, 1, size) for size in (R, N)]
    k_cache, ckv_cache = (torch.zeros(shape, dtype=kind) for shape in shapes)
    arguments: Arguments = {"kv": kv, "gamma": gamma, "cos": angle.cos().to(dtype), "sin": angle.sin().to(dtype), "index": index}
    arguments |= {"k_cache": k_cache, "ckv_cache": ckv_cache, "cache_mode": mode, "is_output_kv": True}
    if is_int8:
        arguments |= {"k_rope_scale": torch.full((R,), 20.0), "c_kv_scale": torch.full((N,), 10.0), "c_kv_offset": torch.full((N,), 3.0)}
    return arguments, slots


def on_device(arguments: Arguments) -> Arguments:
    return {name: x.npu() if isinstance(x, torch.Tensor) else x for name, x in arguments.items()}


def legal(**changes: Any) -> Arguments:
    return on_device(latent("PA", torch.float16)[0]) | changes


def rows(cache: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
    """Rows [tokens, size] of a cache in any mode."""
    held = cache.cpu()
    if held.dim() == 5:
        held = held.squeeze(3).transpose(1, 2).flatten(2)
    return held.reshape(BLOCKS * BLOCK if held.shape[0] == BLOCKS else SEQUENCES * 32, -1)[slots]


@pytest.mark.parametrize("is_int8", [False, True], ids=["kv", "int8"])
@pytest.mark.parametrize("mode", ["Norm", "PA", "PA_BNSD", "PA_NZ", "PA_BLK_BNSD", "PA_BLK_NZ"])
def test_every_mode(mode: str, is_int8: bool) -> None:
    arguments, slots = latent(mode, torch.float32, is_int8)
    held = on_device(arguments)
    k_rope, c_kv = torch.ops.vllm_cann.kv_rmsnorm_rope_cache(**held)
    want_rope, want_norm = want(reference.kv_rmsnorm_rope_cache, *(arguments[name] for name in ("kv", "gamma", "cos", "sin")))
    # 30 roundings of float at most, see the test of the kernel.
    torch.testing.assert_close(c_kv.cpu().double(), want_norm, rtol=30 * 2**-24, atol=2**-40)
    torch.testing.assert_close(k_rope.cpu().double(), want_rope, rtol=0, atol=8 * 2**-24 * float(arguments["kv"].abs().max()))
    k, ckv = rows(held["k_cache"], slots), rows(held["ckv_cache"], slots)
    if is_int8:  # half a step for rounding, and the errors above, scaled
        want_k, want_ckv = (want_rope * 20).clamp(-128, 127), (want_norm * 10 + 3).clamp(-128, 127)
        assert (k.double() - want_k.flatten(0, 2)).abs().max() <= 0.5 + 1e-4
        assert (ckv.double() - want_ckv.flatten(0, 2)).abs().max() <= 0.5 + 1e-4
    else:
        same(k, k_rope.cpu().flatten(0, 2))
        same(ckv, c_kv.cpu().flatten(0, 2))


@few(12)
@given(tokens=st.integers(1, 40), block=st.sampled_from([16, 32]), padding=st.integers(0, 5), seed=st.integers(0, 1000))
def test_rows_are_where_their_slots_are(tokens: int, block: int, padding: int, seed: int) -> None:
    """Whatever the order of tokens; slots that no token has keep what they hold, and rows do not touch each other."""
    blocks, n, r = 4, 64, 32
    generator = torch.Generator().manual_seed(seed)
    kv, gamma = noise(torch.float16, 1, 1, tokens, n + r, seed=seed), noise(torch.float16, n).npu()
    angle = noise(torch.float32, 1, 1, tokens, r, seed=seed)
    cos, sin = angle.cos().half(), angle.sin().half()
    slots = torch.randperm(blocks * block, generator=generator)[:tokens]
    slots[torch.randperm(tokens, generator=generator)[:padding]] = -1

    def run(order: torch.Tensor) -> list[torch.Tensor]:
        held = [torch.full((blocks, block, 1, size), 7.0, dtype=torch.float16).npu() for size in (r, n)]
        moved = [t[:, :, order].contiguous().npu() for t in (kv, cos, sin)]
        out = kv_rmsnorm_rope_cache(moved[0], gamma, *moved[1:], slots[order].contiguous().npu(), *held, cache_mode="PA", is_output_kv=True)
        return [t.cpu() for t in (*held, *out)]

    straight = torch.arange(tokens)
    found = run(straight)
    for held, out in zip(found[:2], found[2:], strict=True):
        same(held, want(reference.reshape_and_cache, torch.full_like(held, 7.0), out.view(tokens, 1, -1), slots))
    for a, b in zip(found, run(straight.flip(0)), strict=True):
        same(a, b if b.shape[0] == blocks else b.flip(2))


@pytest.mark.parametrize("mode", ["Norm", "PA", "PA_NZ", "PA_BLK_BNSD"])
def test_no_tokens_launch_nothing(mode: str) -> None:
    arguments = on_device(latent(mode, torch.float16, tokens=0)[0])
    with launches(0):
        k_rope, c_kv = kv_rmsnorm_rope_cache(**arguments)
    assert (k_rope.shape, c_kv.shape) == ((SEQUENCES, 1, 0, R), (SEQUENCES, 1, 0, N))


@pytest.mark.parametrize("utility", CHECKS)
def test_schema_and_fake(utility: str) -> None:
    check_declaration(kv_rmsnorm_rope_cache, utility, legal())


@pytest.mark.parametrize("slots", [list(range(40)), list(range(40, 80)), [-1] * 40], ids=["first", "later", "none"])
def test_one_launch_whatever_the_contents(slots: list[int]) -> None:
    arguments = legal(index=torch.tensor(slots).npu())
    with launches(1):
        kv_rmsnorm_rope_cache(**arguments)


@refusals(
    (
        lambda: legal(cos=legal()["cos"].flatten(0, 2).view(1, 1, 40, 64)),
        "cos has the shape [1, 1, 40, 64] for kv of the shape [2, 1, 20, ",
    ),
    (
        lambda: legal(k_cache=zeros(6, 16, 1, 32, dtype=torch.float16)),
        "k_cache has the shape [6, 16, 1, 32]; for heads of [1, 64] it has to be [6, 16, 1, 64]",
    ),
    (lambda: legal(index=zeros(3, dtype=torch.int64)), "index has 3 in dimension 0, the tokens of kv are 40"),
    (
        lambda: legal(kv=zeros(2, 1, 20, 1152, dtype=torch.float16)[..., ::2]),
        "kv has strides [23040, 11520, 1152, 2]; its tokens have to be one step apart, and their elements contiguous",
    ),
    (lambda: legal(kv=zeros(2, 2, 20, 576)), "kv has the shape [2, 2, 20, 576]; it has to be [sequences, 1, tokens, size]"),
)
def test_refused_before_a_launch(change: Callable[[], Arguments], sentence: str) -> None:
    refused(kv_rmsnorm_rope_cache, change(), sentence)
