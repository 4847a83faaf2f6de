"""The rotary embeddings of vllm_cann.ops.rotary through torch, with unmodified torch_npu on SoftNPU.

The kernel is tested beside its source; here are the ways from torch to it, against vLLM's own definitions in float64.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
import torch_npu  # noqa: F401
from counted import kernels_launched
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import CHECKS

from vllm_cann import ops
from vllm_cann.ops.rotary_embedding import apply_rotary_emb
from vllm_cann.ops.rotary_embedding import rotary_embedding

FEW = settings(max_examples=10, deadline=None, derandomize=True)
# Half a last place of the result, and of float32 that of two products and a sum. Results are below 16.
ERROR = {torch.float32: 16 * 2**-23, torch.float16: 8 * 2**-11, torch.bfloat16: 8 * 2**-8}


@pytest.fixture(scope="module", autouse=True)
def kernels() -> None:
    ops.load(torch.device("npu:0"))


def noise(dtype: torch.dtype, *shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape) + seed)).clamp(-4, 4).to(dtype)


def table_of(dtype: torch.dtype, rows: int, rotary_dim: int) -> torch.Tensor:
    angles = torch.outer(torch.arange(rows), 10000.0 ** -(torch.arange(0, rotary_dim, 2) / rotary_dim))
    return torch.cat([angles.cos(), angles.sin()], -1).to(dtype)


def turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, is_neox: bool, to_halves: bool = False) -> torch.Tensor:
    """float64; x [.., heads, size], cos and sin [.., angles]."""
    half = cos.shape[-1]
    c, s, y = cos.double().unsqueeze(-2), sin.double().unsqueeze(-2), x.double().clone()
    a, b = (y[..., :half], y[..., half : 2 * half]) if is_neox else (y[..., : 2 * half : 2], y[..., 1 : 2 * half : 2])
    first, second = a * c - b * s, b * c + a * s
    y[..., : 2 * half] = torch.cat([first, second], -1) if is_neox or to_halves else torch.stack([first, second], -1).flatten(-2)
    return y


def near(found: torch.Tensor, want: torch.Tensor) -> None:
    torch.testing.assert_close(found.cpu().double(), want, rtol=0, atol=ERROR[found.dtype])


@pytest.mark.parametrize("dtype", ERROR, ids=str)
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("section", [[16, 24, 24], [24, 20, 20], [22, 21, 21]], ids=str)
def test_three_axes(section: list[int], interleaved: bool, dtype: torch.dtype) -> None:
    tokens, heads, kv_heads, size, rows = 13, 8, 2, 128, 300
    query, key = noise(dtype, tokens, heads * size), noise(dtype, tokens, kv_heads * size, seed=1)
    positions = torch.randint(0, rows, (3, tokens), generator=torch.Generator().manual_seed(2))
    table = table_of(dtype, rows, size)
    on_device = [query.npu(), key.npu()]
    torch.ops.vllm_cann.rotary_embedding(
        positions.npu(), *on_device, size, table.npu(), True, mrope_section=section, mrope_interleaved=interleaved
    )
    lane = torch.arange(size // 2)
    if interleaved:
        axis = torch.where((lane % 3 == 1) & (lane < 3 * section[1]), 1, torch.where((lane % 3 == 2) & (lane < 3 * section[2]), 2, 0))
    else:
        axis = torch.arange(3).repeat_interleave(torch.tensor(section))
    cos, sin = (table[positions[axis].t(), part * (size // 2) + lane] for part in range(2))
    for found, before in zip(on_device, (query, key), strict=True):
        near(found.unflatten(1, (-1, size)), turned(before.unflatten(1, (-1, size)), cos, sin, True))


def test_one_axis_although_there_are_sections() -> None:
    query, table = noise(torch.float16, 5, 256), table_of(torch.float16, 40, 128)
    positions = torch.tensor([3, 0, 39, 7, 7])
    found = [query.npu(), query.npu()]
    rotary_embedding(positions.npu(), found[0], None, 128, table.npu(), True, mrope_section=[16, 24, 24])
    rotary_embedding(positions.npu(), found[1], None, 128, table.npu(), True)
    assert torch.equal(found[0].cpu(), found[1].cpu())


@pytest.mark.parametrize("dtype", ERROR, ids=str)
def test_pairs_to_halves(dtype: torch.dtype) -> None:
    """As multi-head latent attention turns q_pe and k_pe."""
    tokens, heads, size = 9, 16, 64
    query, key, table = noise(dtype, tokens, heads, size), noise(dtype, tokens, 1, size, seed=1), table_of(dtype, 50, size)
    positions = torch.arange(40, 40 + tokens)
    on_device = [query.npu(), key.npu()]
    torch.ops.vllm_cann.rotary_embedding(positions.npu(), *on_device, size, table.npu(), False, to_halves=True)
    cos, sin = table[positions].chunk(2, -1)
    for found, before in zip(on_device, (query, key), strict=True):
        near(found, turned(before, cos, sin, False, True))


@pytest.mark.parametrize("dtype", ERROR, ids=str)
@pytest.mark.parametrize(("is_neox", "to_halves"), [(True, False), (False, False), (False, True)])
def test_angles_of_each_token_in_place(is_neox: bool, to_halves: bool, dtype: torch.dtype) -> None:
    """Query and key in one launch, by halves of the rows of a table: the same bits as by its positions."""
    tokens, heads, size, rotary_dim = 9, 4, 96, 64
    query, key = noise(dtype, tokens, heads, size), noise(dtype, tokens, size, seed=1)
    table = table_of(dtype, 50, rotary_dim)
    positions = torch.arange(3, 3 + tokens)
    found, by_positions = ([query.npu(), key.npu()] for _ in range(2))
    cos, sin = table[positions].npu().chunk(2, -1)
    before = kernels_launched()
    torch.ops.vllm_cann.rotary_embedding(None, *found, size, None, is_neox, to_halves=to_halves, cos=cos, sin=sin)
    assert kernels_launched() == before + 1
    near(found[0], turned(query, cos.cpu(), sin.cpu(), is_neox, to_halves))
    rotary_embedding(positions.npu(), *by_positions, size, table.npu(), is_neox, to_halves=to_halves)
    for a, b in zip(found, by_positions, strict=True):
        assert torch.equal(a.cpu(), b.cpu())


@FEW
@given(
    section=st.permutations([6, 4, 22]),
    interleaved=st.booleans(),
    style=st.sampled_from(["neox", "gptj", "halves"]),
    tokens=st.integers(1, 9),
    seed=st.integers(0, 1000),
)
def test_equal_axes_are_one_axis(section: list[int], interleaved: bool, style: str, tokens: int, seed: int) -> None:
    """Whatever axis a lane takes; and the inverse restores."""
    before, table = noise(torch.float32, tokens, 3 * 128, seed=seed), table_of(torch.float32, 90, 64).npu()
    positions = torch.randint(0, 90, (tokens,), generator=torch.Generator().manual_seed(seed)).npu()
    keywords = {"is_neox": style == "neox", "to_halves": style == "halves"}
    axes = {"mrope_section": section, "mrope_interleaved": interleaved}
    x, one = before.npu(), before.npu()
    rotary_embedding(positions.expand(3, -1).contiguous(), x, None, 128, table, **keywords, **axes)
    rotary_embedding(positions, one, None, 128, table, **keywords)
    assert torch.equal(x.cpu(), one.cpu())
    if style != "halves":  # those are moved, too
        rotary_embedding(positions.expand(3, -1).contiguous(), x, None, 128, table, **keywords, **axes, inverse=True)
        torch.testing.assert_close(x.cpu(), before, rtol=0, atol=1e-5)


@FEW
@given(is_neox=st.booleans(), rotary_dim=st.sampled_from([32, 72, 128]), seed=st.integers(0, 1000))
def test_the_inverse_restores_and_norms_are_kept(is_neox: bool, rotary_dim: int, seed: int) -> None:
    tokens, heads, size = 7, 3, 128
    before, table = noise(torch.float32, tokens, heads, size, seed=seed), table_of(torch.float32, 100, rotary_dim).npu()
    positions = torch.randint(0, 100, (tokens,), generator=torch.Generator().manual_seed(seed)).npu()
    x = before.npu()
    rotary_embedding(positions, x, None, size, table, is_neox)
    once = x.cpu()
    pairs = (once[..., :rotary_dim], before[..., :rotary_dim])
    halves = [p.unflatten(-1, (2, -1)).transpose(-1, -2) if is_neox else p.unflatten(-1, (-1, 2)) for p in pairs]
    torch.testing.assert_close(halves[0].norm(dim=-1), halves[1].norm(dim=-1), rtol=2**-21, atol=0)
    assert torch.equal(once[..., rotary_dim:], before[..., rotary_dim:])
    rotary_embedding(positions, x, None, size, table, is_neox, inverse=True)
    torch.testing.assert_close(x.cpu(), before, rtol=0, atol=1e-5)


# Angles that are given: vision.


@pytest.mark.parametrize("dtype", ERROR, ids=str)
@pytest.mark.parametrize("is_neox", [True, False])
@pytest.mark.parametrize(("size", "rotary_dim"), [(72, 72), (72, 32), (80, 80), (128, 64)])
def test_given_angles(size: int, rotary_dim: int, is_neox: bool, dtype: torch.dtype) -> None:
    """Queries and keys of a batch in one launch, and a sequence alone; strided or not; the operand stays as it is."""
    batch, tokens, heads = 3, 11, 2
    angles = noise(torch.float32, tokens, rotary_dim // 2, seed=5)
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    qkv = noise(dtype, batch, tokens, 3, heads, size)
    on_device = qkv.npu()
    for x, held in ((on_device[:, :, 0], qkv[:, :, 0]), (on_device[0, :, 1], qkv[0, :, 1]), (on_device[:, ::2, 2], qkv[:, ::2, 2])):
        places = slice(None, None, 2) if held.shape[-3] < tokens else slice(None)
        before = kernels_launched()
        found = torch.ops.vllm_cann.apply_rotary_emb(x, cos[places].contiguous().npu(), sin[places].contiguous().npu(), is_neox)
        assert kernels_launched() == before + 1
        near(found, turned(held, cos[places], sin[places], is_neox))
        assert torch.equal(found.cpu()[..., rotary_dim:], held[..., rotary_dim:])
        assert found.is_contiguous()
    assert torch.equal(on_device.cpu(), qkv)


def test_merged_queries_and_keys_equal_separate_calls() -> None:
    q, k = noise(torch.bfloat16, 2, 5, 4, 80).npu(), noise(torch.bfloat16, 2, 5, 4, 80, seed=1).npu()
    cos, sin = (noise(torch.bfloat16, 5, 40, seed=i).npu() for i in (2, 3))
    both = apply_rotary_emb(torch.cat([q, k]), cos, sin)
    assert torch.equal(both.cpu(), torch.cat([apply_rotary_emb(x, cos, sin).cpu() for x in (q, k)]))


@FEW
@given(
    batch=st.integers(1, 3),
    tokens=st.integers(1, 9),
    heads=st.integers(1, 4),
    rotary_dim=st.sampled_from([32, 72]),
    is_neox=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_given_angles_are_undone_by_their_inverse(batch: int, tokens: int, heads: int, rotary_dim: int, is_neox: bool, seed: int) -> None:
    x, angles = noise(torch.float32, batch, tokens, heads, 72, seed=seed), noise(torch.float32, tokens, rotary_dim // 2, seed=seed)
    cos, sin = angles.cos().npu(), angles.sin().npu()
    there = apply_rotary_emb(x.npu(), cos, sin, is_neox)
    back = apply_rotary_emb(there, cos, sin, is_neox, inverse=True)
    torch.testing.assert_close(back.cpu(), x, rtol=0, atol=1e-5)
    torch.testing.assert_close(there.cpu().norm(dim=-1), x.norm(dim=-1), rtol=72 * 2**-23, atol=0)
    assert torch.equal(apply_rotary_emb(x.npu(), cos, sin, is_neox, out_dtype=torch.float32).cpu(), there.cpu())


def test_no_tokens_launch_nothing() -> None:
    before = kernels_launched()
    none = torch.zeros(0, 32).npu()
    assert apply_rotary_emb(torch.zeros(2, 0, 3, 64).npu(), none, none).shape == (2, 0, 3, 64)
    rotary_embedding(None, torch.zeros(0, 128).npu(), None, 64, None, True, cos=none, sin=none)
    assert kernels_launched() == before


def test_heads_that_are_not_contiguous_are_copied_and_not_changed() -> None:
    x = noise(torch.float16, 5, 128, 2).npu()
    cos, sin = (noise(torch.float16, 5, 64, seed=i).npu() for i in (2, 3))
    found = apply_rotary_emb(x.transpose(1, 2), cos, sin)
    near(found, turned(x.cpu().transpose(1, 2), cos.cpu(), sin.cpu(), True))


@pytest.mark.parametrize("utility", CHECKS)
def test_opcheck(utility: str) -> None:
    x, cos = noise(torch.float16, 2, 5, 2, 64).npu(), noise(torch.float16, 5, 32).npu()
    torch.library.opcheck(torch.ops.vllm_cann.apply_rotary_emb.default, (x, cos, cos, False, True, x.dtype), test_utils=utility)
    query, table = noise(torch.float16, 5, 128).npu(), table_of(torch.float16, 20, 64).npu()
    positions = torch.zeros(3, 5, dtype=torch.int64).npu()
    keywords = {"inverse": True, "mrope_section": [12, 10, 10], "mrope_interleaved": True}
    torch.library.opcheck(
        torch.ops.vllm_cann.rotary_embedding.default, (positions, query, None, 64, table, True), keywords, test_utils=utility
    )
    rows = {"cos": cos, "sin": cos, "out_dtype": torch.float16}
    torch.library.opcheck(
        torch.ops.vllm_cann.rotary_embedding.default, (None, query, query.clone(), 64, None, False), rows, test_utils=utility
    )


def given_call(**changes: object) -> Callable[[], object]:
    arguments: dict = {"x": torch.zeros(2, 5, 2, 64).npu(), "cos": torch.zeros(5, 32).npu(), "sin": torch.zeros(5, 32).npu()}
    return lambda: apply_rotary_emb(**(arguments | changes))


def axes_call(**changes: object) -> Callable[[], object]:
    arguments: dict = {
        "positions": torch.zeros(3, 5, dtype=torch.int64).npu(),
        "query": torch.zeros(5, 128).npu(),
        "key": None,
        "head_size": 64,
        "cos_sin_cache": torch.zeros(9, 64).npu(),
        "is_neox": True,
        "mrope_section": [12, 10, 10],
    }
    return lambda: rotary_embedding(**(arguments | changes))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: given_call(cos=torch.zeros(4, 32).npu()), "x has the shape (2, 5, 2, 64), cos (4, 32); they must be [.., tokens, heads, size], [tokens, angles]"),
        (lambda: given_call(sin=torch.zeros(5, 32).half().npu()), "sin is float16 [5, 32], and is not laid out like cos, float32 [5, 32]"),
        (
            lambda: given_call(cos=torch.zeros(5, 33).npu(), sin=torch.zeros(5, 33).npu()),
            "cos has rotary dimension 66, more than the head size 64 of query",
        ),
        (lambda: given_call(cos=torch.zeros(5, 64).npu()[:, :32]), "sin is float32 [5, 32], and is not laid out like cos, float32 [5, 32]"),
        (lambda: given_call(x=torch.zeros(2, 5, 2, 64)), "query is on cpu; all tensors must be on one NPU"),
        (
            lambda: given_call(out_dtype=torch.float8_e4m3fn),
            "out_dtype is torch.float8_e4m3fn: floats of 8 bits exist from Ascend 950 on, and this is Ascend910B3",
        ),
        (lambda: given_call(out_dtype=torch.float16), "out_dtype is torch.float16; the result has that of x, torch.float32"),
        (
            lambda: axes_call(out_dtype=torch.float8_e5m2),
            "out_dtype is torch.float8_e5m2: floats of 8 bits exist from Ascend 950 on, and this is Ascend910B3",
        ),
        (
            lambda: axes_call(
                positions=None,
                cos_sin_cache=None,
                mrope_section=None,
                cos=torch.zeros(5, 32).npu(),
                sin=torch.zeros(5, 32).npu(),
                key=torch.zeros(4, 64).npu(),
            ),
            "key has 4 tokens, the others have 5",
        ),
        (
            lambda: axes_call(query=torch.empty(5, 128, dtype=torch.float8_e4m3fn, device="npu")),
            "query is float8_e4m3fn: floats of 8 bits exist from Ascend 950 on, and this is Ascend910B3",
        ),
        (lambda: axes_call(positions=None), "angles are cos_sin_cache and positions, or cos and sin"),
        (lambda: axes_call(cos=torch.zeros(5, 32).npu()), "angles are cos_sin_cache and positions, or cos and sin"),
        (
            lambda: axes_call(positions=None, cos_sin_cache=None, cos=torch.zeros(5, 32).npu(), sin=torch.zeros(5, 32).npu()),
            "mrope_section and mrope_interleaved are for positions; cos and sin are those of each token already",
        ),
        (
            lambda: axes_call(
                positions=None, cos_sin_cache=None, mrope_section=None, cos=torch.zeros(5, 32).npu(), sin=torch.zeros(4, 32).npu()
            ),
            "sin is float32 [4, 32], and is not laid out like cos, float32 [5, 32]",
        ),
        (lambda: axes_call(mrope_section=[12, 10, 9]), "the sections have 31 lanes, half of the rotary dimension is 32"),
        (lambda: axes_call(mrope_section=[16, 16]), "mrope_section has 2 numbers; it must have 3"),
        (lambda: axes_call(positions=torch.zeros(2, 5, dtype=torch.int64).npu()), "positions has 2 axes; there can be one or three"),
        (lambda: axes_call(to_halves=True), "to_halves is for neighbours that are paired"),
    ],
)
def test_refused_before_a_launch(make: Callable[[], Callable[[], object]], sentence: str) -> None:
    call, before = make(), kernels_launched()
    with pytest.raises(ValueError, match=re.escape(sentence)):
        call()
    assert kernels_launched() == before
