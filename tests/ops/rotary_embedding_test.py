"""rotary_embedding and apply_rotary_emb: heads turned by angles, in place and out of place.

A result is x1 c - x2 s in float32, from inputs that are exact. Each product is wrong by at most 2^-24 of itself, and the sum by 2^-24 of
itself, which is at most m := |x1 c| + |x2 s|; together 2^-23 m (1 + 2^-24).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import ANY

import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from shared import (
    CHECKS,
    FLOATS,
    INDICES,
    Arguments,
    calls,
    check_declaration,
    cos_sin_cache,
    few,
    launches,
    near,
    noise,
    refusals,
    refused,
    same,
    want,
    zeros,
)

from vllm_cann.ops.rotary_embedding import apply_rotary_emb, rotary_embedding

ERROR = 2**-23 * (1 + 2**-24)
STYLES = pytest.mark.parametrize("is_neox", [True, False], ids=["neox", "gptj"])


def near_turned(found: torch.Tensor, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, style: str) -> None:
    """`found` are heads x [.., tokens, heads, size], turned by angles cos, sin [tokens, rotary_dim / 2] in the reference's style."""
    magnitudes = want(reference.rotary_embedding, x, cos, sin, style, magnitudes=True)
    near(found, want(reference.rotary_embedding, x, cos, sin, style), ERROR * magnitudes)
    same(found[..., 2 * cos.shape[-1] :], x[..., 2 * cos.shape[-1] :])  # the rest of a head is kept


def style_of(is_neox: bool, to_halves: bool = False) -> str:
    return "neox" if is_neox else "halves" if to_halves else "gptj"


def legal(**changes: Any) -> Arguments:
    return {
        "positions": torch.arange(5).npu(),
        "query": zeros(5, 128),
        "key": zeros(5, 2, 32),
        "head_size": 32,
        "cos_sin_cache": zeros(16, 32),
        "is_neox": True,
    } | changes


def three_axes(**changes: Any) -> Arguments:
    """A legal call with positions of three axes and heads of 64."""
    options = {"positions": zeros(3, 5, dtype=torch.int64), "cos_sin_cache": zeros(9, 64), "mrope_section": [12, 10, 10]}
    return legal(key=None, head_size=64, **options) | changes


def by_rows(cos: torch.Tensor, sin: torch.Tensor, **changes: Any) -> Arguments:
    """A legal call but for cos and sin, which replace positions."""
    return legal(positions=None, key=None, head_size=64, cos_sin_cache=None, cos=cos, sin=sin) | changes


def legal_apply(**changes: Any) -> Arguments:
    return {"x": zeros(2, 5, 2, 64), "cos": zeros(5, 32), "sin": zeros(5, 32)} | changes


@pytest.mark.parametrize("call", calls(rotary_embedding))
@pytest.mark.parametrize("index", INDICES, ids=str)
@STYLES
@pytest.mark.parametrize("rotary_dim", [64, 40])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_query_and_key(dtype: torch.dtype, rotary_dim: int, is_neox: bool, index: torch.dtype, call: Callable[..., None]) -> None:
    tokens, heads, kv_heads, size, places = 29, 6, 2, 64, 512
    query, key = noise(dtype, tokens, heads * size), noise(dtype, tokens, kv_heads * size)
    positions = torch.randint(places, (tokens,), generator=torch.Generator().manual_seed(2), dtype=index)
    positions[:2] = torch.tensor([0, places - 1])
    table = cos_sin_cache(dtype, places, rotary_dim)
    on_device = [query.npu(), key.npu()]
    call(positions.npu(), *on_device, size, table.npu(), is_neox)
    angles = want(reference.rotary_angles, table, positions)
    for found, before in zip(on_device, (query, key), strict=True):
        near_turned(found.unflatten(1, (-1, size)), before.unflatten(1, (-1, size)), *angles, style_of(is_neox))


@pytest.mark.parametrize("with_key", [True, False])
@pytest.mark.parametrize("dims", [2, 3])
@STYLES
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_views_of_a_projection_are_turned_and_nothing_else(dtype: torch.dtype, is_neox: bool, dims: int, with_key: bool) -> None:
    tokens, heads, kv_heads, size, rotary_dim = 11, 4, 2, 48, 32
    widths = [heads * size, kv_heads * size, kv_heads * size]
    qkv, table = noise(dtype, tokens, sum(widths)), cos_sin_cache(dtype, 64, rotary_dim)
    positions = torch.arange(50, 50 + tokens)
    on_device = qkv.npu()
    query, key, _ = on_device.split(widths, -1)
    if dims == 3:
        query, key = query.unflatten(1, (heads, size)), key.unflatten(1, (kv_heads, size))
    torch.ops.vllm_cann.rotary_embedding(positions.npu(), query, key if with_key else None, size, table.npu(), is_neox)
    angles = want(reference.rotary_angles, table, positions)
    for i, (found, before) in enumerate(zip(on_device.cpu().split(widths, -1), qkv.split(widths, -1), strict=True)):
        if i < (2 if with_key else 1):
            near_turned(found.unflatten(1, (-1, size)), before.unflatten(1, (-1, size)), *angles, style_of(is_neox))
        else:
            same(found, before)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("section", [[16, 24, 24], [24, 20, 20], [22, 21, 21]], ids=str)
def test_three_axes(section: list[int], interleaved: bool, dtype: torch.dtype) -> None:
    tokens, heads, kv_heads, size, rows = 13, 8, 2, 128, 300
    query, key = noise(dtype, tokens, heads * size), noise(dtype, tokens, kv_heads * size, seed=1)
    positions = torch.randint(0, rows, (3, tokens), generator=torch.Generator().manual_seed(2))
    table = cos_sin_cache(dtype, rows, size)
    on_device = [query.npu(), key.npu()]
    options = {"mrope_section": section, "mrope_interleaved": interleaved}
    torch.ops.vllm_cann.rotary_embedding(positions.npu(), *on_device, size, table.npu(), True, **options)
    angles = want(reference.rotary_angles, table, positions, section, interleaved)
    for found, before in zip(on_device, (query, key), strict=True):
        near_turned(found.unflatten(1, (-1, size)), before.unflatten(1, (-1, size)), *angles, "neox")


def test_one_axis_although_there_are_sections() -> None:
    query, table = noise(torch.float16, 5, 256), cos_sin_cache(torch.float16, 40, 128)
    positions = torch.tensor([3, 0, 39, 7, 7])
    found = [query.npu(), query.npu()]
    rotary_embedding(positions.npu(), found[0], None, 128, table.npu(), True, mrope_section=[16, 24, 24])
    rotary_embedding(positions.npu(), found[1], None, 128, table.npu(), True)
    same(found[0], found[1].cpu())


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_pairs_to_halves(dtype: torch.dtype) -> None:
    """As multi-head latent attention turns q_pe and k_pe."""
    tokens, heads, size = 9, 16, 64
    query, key, table = noise(dtype, tokens, heads, size), noise(dtype, tokens, 1, size, seed=1), cos_sin_cache(dtype, 50, size)
    positions = torch.arange(40, 40 + tokens)
    on_device = [query.npu(), key.npu()]
    torch.ops.vllm_cann.rotary_embedding(positions.npu(), *on_device, size, table.npu(), False, to_halves=True)
    angles = want(reference.rotary_angles, table, positions)
    for found, before in zip(on_device, (query, key), strict=True):
        near_turned(found, before, *angles, "halves")


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize(("is_neox", "to_halves"), [(True, False), (False, False), (False, True)])
def test_angles_of_each_token_in_place(is_neox: bool, to_halves: bool, dtype: torch.dtype) -> None:
    """Query and key in one launch, by halves of the rows of a table: the same bits as by its positions."""
    tokens, heads, size, rotary_dim = 9, 4, 96, 64
    query, key = noise(dtype, tokens, heads, size), noise(dtype, tokens, size, seed=1)
    table = cos_sin_cache(dtype, 50, rotary_dim)
    positions = torch.arange(3, 3 + tokens)
    found, by_positions = ([query.npu(), key.npu()] for _ in range(2))
    cos, sin = table[positions].npu().chunk(2, -1)
    with launches(1):
        torch.ops.vllm_cann.rotary_embedding(None, *found, size, None, is_neox, to_halves=to_halves, cos=cos, sin=sin)
    near_turned(found[0], query, cos, sin, style_of(is_neox, to_halves))
    rotary_embedding(positions.npu(), *by_positions, size, table.npu(), is_neox, to_halves=to_halves)
    for a, b in zip(found, by_positions, strict=True):
        same(a, b.cpu())


@few(10)
@given(
    section=st.permutations([6, 4, 22]),
    interleaved=st.booleans(),
    style=st.sampled_from(["neox", "gptj", "halves"]),
    tokens=st.integers(1, 9),
    seed=st.integers(0, 1000),
)
def test_equal_axes_are_one_axis(section: list[int], interleaved: bool, style: str, tokens: int, seed: int) -> None:
    """Whatever axis a lane takes; and the inverse restores."""
    before, table = noise(torch.float32, tokens, 3 * 128, seed=seed), cos_sin_cache(torch.float32, 90, 64).npu()
    positions = torch.randint(0, 90, (tokens,), generator=torch.Generator().manual_seed(seed)).npu()
    keywords = {"is_neox": style == "neox", "to_halves": style == "halves"}
    axes = {"mrope_section": section, "mrope_interleaved": interleaved}
    x, one = before.npu(), before.npu()
    rotary_embedding(positions.expand(3, -1).contiguous(), x, None, 128, table, **keywords, **axes)
    rotary_embedding(positions, one, None, 128, table, **keywords)
    same(x, one.cpu())
    if style != "halves":  # those are moved, too
        rotary_embedding(positions.expand(3, -1).contiguous(), x, None, 128, table, **keywords, **axes, inverse=True)
        torch.testing.assert_close(x.cpu(), before, rtol=0, atol=1e-5)


@few(10)
@given(is_neox=st.booleans(), rotary_dim=st.sampled_from([32, 72, 128]), seed=st.integers(0, 1000))
def test_the_inverse_restores_and_norms_are_kept(is_neox: bool, rotary_dim: int, seed: int) -> None:
    tokens, heads, size = 7, 3, 128
    before, table = noise(torch.float32, tokens, heads, size, seed=seed), cos_sin_cache(torch.float32, 100, rotary_dim).npu()
    positions = torch.randint(0, 100, (tokens,), generator=torch.Generator().manual_seed(seed)).npu()
    x = before.npu()
    rotary_embedding(positions, x, None, size, table, is_neox)
    once = x.cpu()
    pairs = (once[..., :rotary_dim], before[..., :rotary_dim])
    halves = [p.unflatten(-1, (2, -1)).transpose(-1, -2) if is_neox else p.unflatten(-1, (-1, 2)) for p in pairs]
    torch.testing.assert_close(halves[0].norm(dim=-1), halves[1].norm(dim=-1), rtol=2**-21, atol=0)
    same(once[..., rotary_dim:], before[..., rotary_dim:])
    rotary_embedding(positions, x, None, size, table, is_neox, inverse=True)
    torch.testing.assert_close(x.cpu(), before, rtol=0, atol=1e-5)


# Angles that are given for each place of a sequence: vision.


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@STYLES
@pytest.mark.parametrize(("size", "rotary_dim"), [(72, 72), (72, 32), (80, 80), (128, 64)])
def test_angles_of_each_place_out_of_place(size: int, rotary_dim: int, is_neox: bool, dtype: torch.dtype) -> None:
    """Queries and keys of a batch in one launch, and a sequence alone; strided or not; the operand stays as it is."""
    batch, tokens, heads = 3, 11, 2
    angles = noise(torch.float32, tokens, rotary_dim // 2, seed=5)
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    qkv = noise(dtype, batch, tokens, 3, heads, size)
    on_device = qkv.npu()
    for x, held in ((on_device[:, :, 0], qkv[:, :, 0]), (on_device[0, :, 1], qkv[0, :, 1]), (on_device[:, ::2, 2], qkv[:, ::2, 2])):
        places = slice(None, None, 2) if held.shape[-3] < tokens else slice(None)
        rows = [part[places].contiguous() for part in (cos, sin)]
        arguments = (x, *(part.npu() for part in rows), is_neox)
        # What is not turned is copied first, and so is a batch whose tokens are not all one step apart.
        with launches(1, operator=ANY if rotary_dim < size or places.step == 2 else 0):
            found = torch.ops.vllm_cann.apply_rotary_emb(*arguments)
        near_turned(found, held, *rows, style_of(is_neox))
        assert found.is_contiguous()
    same(on_device, qkv)


def test_merged_queries_and_keys_equal_separate_calls() -> None:
    q, k = noise(torch.bfloat16, 2, 5, 4, 80).npu(), noise(torch.bfloat16, 2, 5, 4, 80, seed=1).npu()
    cos, sin = (noise(torch.bfloat16, 5, 40, seed=i).npu() for i in (2, 3))
    both = apply_rotary_emb(torch.cat([q, k]), cos, sin)
    same(both, torch.cat([apply_rotary_emb(x, cos, sin).cpu() for x in (q, k)]))


@few(10)
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
    same(apply_rotary_emb(x.npu(), cos, sin, is_neox, out_dtype=torch.float32), there.cpu())


def test_heads_that_are_not_contiguous_are_copied_and_not_changed() -> None:
    held = noise(torch.float16, 5, 128, 2)
    x, cos, sin = held.npu(), *(noise(torch.float16, 5, 64, seed=i) for i in (2, 3))
    near_turned(apply_rotary_emb(x.transpose(1, 2), cos.npu(), sin.npu()), held.transpose(1, 2), cos, sin, "neox")
    same(x, held)


def test_no_tokens_launch_nothing() -> None:
    none, no_heads, no_positions = zeros(0, 32), zeros(2, 0, 3, 64), zeros(0, dtype=torch.int64)
    in_place, table = legal(query=zeros(0, 128), key=zeros(0, 64), positions=no_positions), by_rows(none, none, query=zeros(0, 128))
    with launches(0):
        assert apply_rotary_emb(no_heads, none, none).shape == (2, 0, 3, 64)
        rotary_embedding(**in_place)
        rotary_embedding(**table)


def half(*shape: int) -> torch.Tensor:
    return noise(torch.float16, *shape).npu()


VARIANTS: list[tuple[Callable[..., Any], Callable[[], Arguments]]] = [
    (rotary_embedding, legal),
    (rotary_embedding, lambda: legal(key=None)),
    (rotary_embedding, lambda: three_axes(inverse=True, mrope_interleaved=True)),
    (
        rotary_embedding,
        lambda: by_rows(half(5, 32), half(5, 32), query=half(5, 128), key=half(5, 128), is_neox=False, out_dtype=torch.float16),
    ),
    (apply_rotary_emb, legal_apply),
    (apply_rotary_emb, lambda: {"x": half(2, 5, 2, 64), "cos": half(5, 32), "sin": half(5, 32), "is_neox": False, "inverse": True}),
]


@pytest.mark.parametrize("utility", CHECKS)
@pytest.mark.parametrize(("function", "make"), VARIANTS)
def test_schema_and_fake(function: Callable[..., Any], make: Callable[[], Arguments], utility: str) -> None:
    check_declaration(function, utility, make())


@pytest.mark.parametrize("position", [0, 15])
def test_one_launch_whatever_the_contents(position: int) -> None:
    arguments = legal(positions=torch.full((5,), position).npu())
    with launches(1):
        rotary_embedding(**arguments)


@refusals(
    (
        lambda: legal(positions=None, cos_sin_cache=None, cos=zeros(4, 16), sin=zeros(4, 16)),
        "cos has 4 rows for 5 tokens of query",
    ),
    (lambda: legal(head_size=0), "head_size is 0; it must be positive"),
    (
        lambda: three_axes(mrope_section=None, mrope_interleaved=True, positions=zeros(3, 5, dtype=torch.int64).t().contiguous().t()),
        "positions has the strides (1, 3); it must be contiguous",
    ),
    (lambda: three_axes(mrope_section=[0, 0, 0], mrope_interleaved=True), "mrope_section gives none of them a lane"),
    (lambda: legal(cos_sin_cache=zeros(512)), "cos_sin_cache has 1 dimensions, not [positions, rotary_dim]"),
    (lambda: legal(query=zeros(5, 2, 2, 32)), "query has 4 dimensions, not [tokens, heads, size]"),
    (lambda: legal(positions=torch.arange(5)), "positions is on cpu; all tensors must be on one NPU"),
    (lambda: legal(key=torch.zeros(5, 64)), "key is on cpu; all tensors must be on one NPU"),
    (lambda: legal(query=zeros(4, 128)), "query has 4 tokens, the others have 5"),
    (lambda: legal(key=zeros(5, 64, dtype=torch.float16)), "key is float16, but cos_sin_cache is float32"),
    (lambda: legal(query=zeros(128, 5).t()), "query has strides [1, 5]; the heads of a token have to be contiguous"),
    (lambda: legal(key=zeros(5, 3, 32)[:, ::2]), "key has strides [96, 64, 1]; the heads of a token have to be contiguous"),
    (lambda: legal(key=zeros(5, 80)), "key has 80 elements per token, which are no heads of 32"),
    (lambda: legal(cos_sin_cache=zeros(32, 16).t()), "cos_sin_cache has strides [1, 16]; it has to be contiguous"),
    (lambda: legal(positions=torch.arange(10).npu()[::2]), "positions has stride 2 in dimension 0; it has to be contiguous"),
    (lambda: legal(positions=zeros(5)), "positions is float32, not int32 or int64"),
    (
        lambda: legal(query=zeros(5, 128, dtype=torch.int8), key=None, cos_sin_cache=zeros(16, 32, dtype=torch.int8)),
        "cos_sin_cache is int8; it can be float16, bfloat16 or float32",
    ),
    (lambda: legal(query=zeros(5, 128, dtype=torch.float64)), "query is float64, but cos_sin_cache is float32"),
    (lambda: legal(cos_sin_cache=zeros(16, 64)), "cos_sin_cache has rotary dimension 64, more than the head size 32 of query"),
    (lambda: legal(query=zeros(1, 128).expand(5, 128)), "query has the token stride 0, less than the 128 elements of a token"),
    (lambda: legal(to_halves=True), "to_halves is for neighbours that are paired"),
    (lambda: by_rows(zeros(5, 32), zeros(5, 32), key=zeros(4, 64)), "key has 4 tokens, the others have 5"),
    (
        lambda: by_rows(zeros(5, 32), zeros(4, 32)),
        "sin is float32 [4, 32], and is not laid out like cos, float32 [5, 32]",
    ),
    (
        lambda: by_rows(zeros(5, 32), zeros(5, 32), mrope_section=[12, 10, 10]),
        "mrope_section and mrope_interleaved are for positions; cos and sin are those of each token already",
    ),
    (
        lambda: three_axes(out_dtype=torch.float8_e5m2),
        "out_dtype is torch.float8_e5m2: floats of 8 bits exist from Ascend 950 on, and this is Ascend910B3",
    ),
    (
        lambda: three_axes(query=torch.empty(5, 128, dtype=torch.float8_e4m3fn, device="npu")),
        "query is float8_e4m3fn: floats of 8 bits exist from Ascend 950 on, and this is Ascend910B3",
    ),
    (lambda: three_axes(positions=None), "angles are cos_sin_cache and positions, or cos and sin"),
    (lambda: three_axes(cos=zeros(5, 32)), "angles are cos_sin_cache and positions, or cos and sin"),
    (lambda: three_axes(mrope_section=[12, 10, 9]), "the sections have 31 lanes, half of the rotary dimension is 32"),
    (lambda: three_axes(mrope_section=[16, 16]), "mrope_section has 2 numbers; it must have 3"),
    (lambda: three_axes(positions=zeros(2, 5, dtype=torch.int64)), "positions has 2 axes; there can be one or three"),
)
def test_refused_before_a_launch(change: Callable[[], Arguments], sentence: str) -> None:
    refused(rotary_embedding, change(), sentence)


def test_tokens_that_lie_over_each_other_are_copied_first() -> None:
    x, cos, sin = noise(torch.float32, 1, 2, 64), noise(torch.float32, 5, 32), noise(torch.float32, 5, 32, seed=1)
    expanded = apply_rotary_emb(x.npu().expand(5, 2, 64), cos.npu(), sin.npu())
    same(expanded, apply_rotary_emb(x.npu().repeat(5, 1, 1), cos.npu(), sin.npu()).cpu())


@refusals(
    (
        lambda: legal_apply(cos=zeros(4, 32)),
        "x has the shape (2, 5, 2, 64), cos (4, 32); they must be [.., tokens, heads, size], [tokens, angles]",
    ),
    (
        lambda: legal_apply(sin=zeros(5, 32, dtype=torch.float16)),
        "sin is float16 [5, 32], and is not laid out like cos, float32 [5, 32]",
    ),
    (
        lambda: legal_apply(cos=zeros(5, 64)[:, :32]),
        "sin is float32 [5, 32], and is not laid out like cos, float32 [5, 32]",
    ),
    (lambda: legal_apply(x=torch.zeros(2, 5, 2, 64)), "query is on cpu; all tensors must be on one NPU"),
    (
        lambda: legal_apply(out_dtype=torch.float8_e4m3fn),
        "out_dtype is torch.float8_e4m3fn: floats of 8 bits exist from Ascend 950 on, and this is Ascend910B3",
    ),
    (lambda: legal_apply(out_dtype=torch.float16), "out_dtype is torch.float16; the result has that of x, torch.float32"),
)
def test_apply_refused_before_a_launch(change: Callable[[], Arguments], sentence: str) -> None:
    refused(apply_rotary_emb, change(), sentence)


def test_apply_refuses_angles_beyond_a_head() -> None:
    arguments, sentence = (
        legal_apply(cos=zeros(5, 33), sin=zeros(5, 33)),
        "cos has rotary dimension 66, more than the head size 64 of query",
    )
    with launches(0, operator=ANY), pytest.raises(ValueError, match=sentence):  # x has been copied
        apply_rotary_emb(**arguments)
