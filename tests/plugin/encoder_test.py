"""Attention without a cache: of texts that are read as a whole, and of pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from vllm.platforms import current_platform
from vllm.v1.attention.backend import AttentionType
from vllm.v1.attention.selector import AttentionSelectorConfig

from vllm_cann.attention.encoder import CannEncoderAttention, attend

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def exact(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, ends: list[int], scale: float, window: int | None) -> torch.Tensor:
    """In float64, token by token."""
    q, k, v = (part.double().cpu() for part in (query, key, value))
    group = q.shape[1] // k.shape[1]
    out = torch.empty_like(q)
    start = 0
    for end in ends:
        for t in range(start, end):
            first, last = (start, end) if window is None else (max(start, t - window + 1), min(end, t + window))
            for head in range(q.shape[1]):
                weights = torch.softmax(k[first:last, head // group] @ q[t, head] * scale, 0)
                out[t, head] = weights @ v[first:last, head // group]
        start = end
    return out


def check(dtype: torch.dtype, heads: int, kv_heads: int, size: int, ends: list[int], window: int | None = None) -> None:
    generator = torch.Generator().manual_seed(size)
    # Parts of one tensor, as a projection gives them.
    parts = torch.randn(ends[-1], heads + 2 * kv_heads, size, generator=generator).to(dtype).npu()
    query, key, value = parts.split([heads, kv_heads, kv_heads], 1)
    result = attend(query, key, value, ends, size**-0.5, window)
    assert result.shape == query.shape
    assert result.dtype == dtype
    expected = exact(query, key, value, ends, size**-0.5, window)
    # Computed in float32 and rounded once. In float32, `size` products of a score, exp, and the sum over 32 keys or fewer: each term of
    # the three sums has a relative error of at most (size + 32 + 8) * 2^-24 of numbers that are below 8.
    noise = 8 * (size + 40) * 2.0**-24
    rounding = {torch.float32: 0.0, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}[dtype]
    torch.testing.assert_close(result.double().cpu(), expected, rtol=rounding, atol=noise + 2.0**-24)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [16, 32, 64, 72, 80, 96, 128, 160])
def test_each_sequence_sees_itself(size: int, dtype: str) -> None:
    check(DTYPES[dtype], 2, 2, size, [1, 1, 12, 16, 20, 20])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [32, 64, 128])
def test_heads_share_keys(size: int, dtype: str) -> None:
    check(DTYPES[dtype], 4, 2, size, [5, 13])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("window", [1, 3, 8, 40])
def test_a_window_is_on_both_sides(window: int, dtype: str) -> None:
    check(DTYPES[dtype], 2, 2, 64, [9, 9, 31, 33], window)


@pytest.mark.parametrize("dtype", DTYPES)
def test_more_sequences_than_one_call_takes(dtype: str) -> None:
    # Of each length some, so that neighbours are computed at once and one after another.
    ends = np.cumsum([(1, 1, 2, 0)[i % 4] for i in range(4100)]).tolist()
    check(DTYPES[dtype], 1, 1, 64, ends)


def test_the_platform_chooses_it_for_models_that_read_as_a_whole() -> None:
    config = AttentionSelectorConfig(
        head_size=64, dtype=torch.float16, kv_cache_dtype="auto", block_size=128, attn_type=AttentionType.ENCODER_ONLY
    )
    assert current_platform.get_attn_backend_cls(None, config) == "vllm_cann.attention.encoder.CannEncoderBackend"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"alibi_slopes": [0.5, 0.25]}, r"no encoder attention with alibi_slopes \(\[0.5, 0.25\]\)"),
        ({"logits_soft_cap": 30.0}, r"no encoder attention with logits_soft_cap \(30.0\)"),
        ({"sinks": torch.zeros(2)}, "no encoder attention with sinks"),
        ({"attn_type": AttentionType.ENCODER_DECODER}, "decoder and encoder-only attention, not .*ENCODER_DECODER"),
    ],
    ids=["alibi", "soft cap", "sinks", "cross"],
)
def test_what_it_does_not_have_is_refused(arguments: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        CannEncoderAttention(2, 64, 0.125, **arguments)
