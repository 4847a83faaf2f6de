"""torch_npu's fused operators on SoftNPU against references in float64."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import torch_npu

from tests.softnpu.compare import close

HALVES = (torch.float16, torch.bfloat16)


@pytest.mark.parametrize("dtype", [torch.float32, *HALVES], ids=str)
def test_norms(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x, y, gamma = (torch.randn(*shape).to(dtype) for shape in ((5, 3, 256), (5, 3, 256), (256,)))

    def norm(t: torch.Tensor) -> torch.Tensor:
        t = t.double()
        return t * torch.rsqrt(t.square().mean(-1, keepdim=True) + 1e-6) * gamma.double()

    # float32: three roundings of numbers below 20.
    slack = 20 * 3 * 2**-24
    out, rstd = torch_npu.npu_rms_norm(x.npu(), gamma.npu(), 1e-6)
    assert rstd.shape == (5, 3, 1)
    close(out, norm(x), slack)
    out, _, total = torch_npu.npu_add_rms_norm(x.npu(), y.npu(), gamma.npu(), 1e-6)
    assert torch.equal(total.cpu(), x + y)
    close(out, norm(x + y), slack)


@pytest.mark.parametrize("dtype", [torch.float32, *HALVES], ids=str)
def test_swiglu(dtype: torch.dtype) -> None:
    x = torch.randn(4, 6, 64, generator=torch.Generator().manual_seed(0)).to(dtype)
    gate, up = x.double().chunk(2, -1)
    close(torch_npu.npu_swiglu(x.npu()), torch.nn.functional.silu(gate) * up, 20 * 4 * 2**-24)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize(
    ("layout", "size", "heads", "kv_heads"),
    [
        ("TND", 128, 4, 2),
        ("TND", 64, 4, 4),
        ("BSH", 64, 4, 2),
        ("BSH", 128, 6, 1),
        ("BSND", 64, 4, 2),
        ("BNSD", 128, 4, 2),
        *((layout, size, 4, 2) for size in (80, 96, 112, 192, 256) for layout in ("BSH", "BSND", "BNSD")),
    ],
)
@pytest.mark.parametrize("query_lens", [[1, 1, 1], [1, 5, 130]], ids=["decode", "mixed"])
def test_paged_attention(layout: str, size: int, heads: int, kv_heads: int, query_lens: list[int], dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    block, blocks = 128, 8
    kv_lens = [140, 5, 200]
    table = torch.tensor([[3, 1], [5, 6], [2, 7]], dtype=torch.int32)
    keys, values = (torch.randn(blocks, block, kv_heads * size).to(dtype) for _ in range(2))
    packed = torch.randn(sum(query_lens), heads, size).to(dtype)
    parts = packed.split(query_lens)
    longest = max(query_lens)
    if layout == "TND":
        query, lengths = packed, list(itertools.accumulate(query_lens))
    else:
        query, lengths = torch.zeros(3, longest, heads, size, dtype=dtype), query_lens
        for row, part in zip(query, parts, strict=True):
            row[: len(part)] = part
        query = {
            "BSH": query.flatten(2),
            "BSND": query,
            "BNSD": query.transpose(1, 2).contiguous(),
        }[layout]
    mask = torch.triu(torch.ones(2048, 2048, dtype=torch.int8), 1)
    out = torch_npu.npu_fused_infer_attention_score(
        query.npu(),
        keys.npu(),
        values.npu(),
        atten_mask=mask.npu(),
        block_table=table.npu(),
        actual_seq_lengths=lengths,
        actual_seq_lengths_kv=kv_lens,
        num_heads=heads,
        num_key_value_heads=kv_heads,
        scale=size**-0.5,
        input_layout=layout,
        sparse_mode=3,
        block_size=block,
    )[0].cpu()
    if layout == "TND":
        found = out.split(query_lens)
    else:
        out = out.transpose(1, 2) if layout == "BNSD" else out.reshape(3, longest, heads, size)
        found = tuple(row[:n] for row, n in zip(out, query_lens, strict=True))
    for request, (part, length) in enumerate(zip(parts, kv_lens, strict=True)):
        k, v = (
            c[table[request].long()].flatten(0, 1)[:length].view(length, kv_heads, size).repeat_interleave(heads // kv_heads, 1).double()
            for c in (keys, values)
        )
        scores = torch.einsum("qhd,khd->hqk", part.double(), k) * size**-0.5
        tokens = len(part)
        scores.masked_fill_(torch.triu(torch.ones(tokens, length), length - tokens + 1).bool(), float("-inf"))
        reference = torch.einsum("hqk,khd->qhd", scores.softmax(-1), v)
        # float32: scores are sums of `size` products; their error of a few ulps of 10 scales the weights, values are below 5.
        close(found[request], reference, 5 * (size**0.5 + 8) * 10 * 2**-24)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize(
    ("size", "value_size", "heads", "kv_heads"), [(128, 128, 4, 2), (192, 128, 4, 2), (192, 128, 4, 4), (192, 192, 4, 4), (64, 64, 4, 4)]
)
def test_packed_attention_without_a_cache(size: int, value_size: int, heads: int, kv_heads: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    query_lens, kv_lens = [1, 5, 40], [7, 5, 60]
    query, keys, values = (
        torch.randn(shape, generator=generator).to(dtype)
        for shape in ((sum(query_lens), heads, size), (sum(kv_lens), kv_heads, size), (sum(kv_lens), kv_heads, value_size))
    )
    mask = torch.triu(torch.ones(2048, 2048, dtype=torch.int8), 1)
    out = torch_npu.npu_fused_infer_attention_score(
        query.npu(),
        keys.npu(),
        values.npu(),
        atten_mask=mask.npu(),
        actual_seq_lengths=list(itertools.accumulate(query_lens)),
        actual_seq_lengths_kv=list(itertools.accumulate(kv_lens)),
        num_heads=heads,
        num_key_value_heads=kv_heads,
        scale=size**-0.5,
        input_layout="TND",
        sparse_mode=3,
    )[0]
    assert out.shape == (sum(query_lens), heads, value_size)
    parts = zip(out.split(query_lens), query.split(query_lens), keys.split(kv_lens), values.split(kv_lens), strict=True)
    for found, q, k, v in parts:
        k, v = (c.repeat_interleave(heads // kv_heads, 1).double() for c in (k, v))
        scores = torch.einsum("qhd,khd->hqk", q.double(), k) * size**-0.5
        scores.masked_fill_(torch.triu(torch.ones(len(q), len(k)), len(k) - len(q) + 1).bool(), float("-inf"))
        # The bound of the paged test.
        close(found, torch.einsum("hqk,khd->qhd", scores.softmax(-1), v), 5 * (size**0.5 + 8) * 10 * 2**-24)


@pytest.mark.parametrize("dtype", [torch.float32, *HALVES], ids=str)
@pytest.mark.parametrize("kind", ["plain", "causal", "mask", "scale", "groups", "strided"])
def test_attention_of_torch(kind: str, dtype: torch.dtype) -> None:
    """torch.nn.functional.scaled_dot_product_attention, which torch_npu hands to one operator."""
    generator = torch.Generator().manual_seed(0)
    keys = 5 if kind == "causal" else 7
    query = torch.randn(2, 4, 5, 64, generator=generator).to(dtype)
    key, value = (torch.randn(2, 2 if kind == "groups" else 4, keys, 64, generator=generator).to(dtype) for _ in range(2))
    if kind == "strided":
        query, key, value = (part.transpose(1, 2).contiguous().transpose(1, 2) for part in (query, key, value))
    mask = torch.rand(5, keys, generator=generator) > 0.3 if kind == "mask" else None
    options: dict[str, Any] = {"is_causal": kind == "causal", "scale": 0.3 if kind == "scale" else None, "enable_gqa": kind == "groups"}
    attention = torch.nn.functional.scaled_dot_product_attention
    wanted = attention(query.double(), key.double(), value.double(), mask, **options)
    with torch.no_grad():
        found = attention(query.npu(), key.npu(), value.npu(), None if mask is None else mask.npu(), **options)
    # The operator computes in double precision. Its scale is given as a double.
    close(found, wanted, 1e-12)
