"""torch_npu's fused attention over keys and values of int8, on SoftNPU, against a reference in float64, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch_npu

from tests.softnpu.compare import close

BATCH, HEADS, KV_HEADS, SIZE, BLOCK, BLOCKS = 3, 4, 2, 64, 32, 8
KV_LENS = [50, 5, 64]
TABLE = torch.tensor([[3, 1], [5, 6], [2, 7]], dtype=torch.int32)
KEYS = 2 * BLOCK

# mode -> the shapes of its scales with one query, paged or not.
SHAPES: dict[int, list[tuple[int, ...]]] = {
    0: [(1,), (1, KV_HEADS, 1, SIZE), (1, KV_HEADS, SIZE), (1, KV_HEADS * SIZE)],
    1: [(1, BATCH, KEYS), (1, BATCH, KEYS + 7)],
    2: [(KV_HEADS,)],
    3: [(BATCH, KV_HEADS, KEYS)],
    4: [(BLOCKS, BLOCK)],
    5: [(BLOCKS, KV_HEADS, BLOCK)],
}


def dense(mode: int, scale: torch.Tensor) -> torch.Tensor:
    """Scales as [batch, keys, KV heads, head size]."""
    scale = scale.double()
    if mode == 0:
        row = scale.view(1, 1, 1, 1) if scale.numel() == 1 else scale.view(1, 1, KV_HEADS, SIZE)
    elif mode == 1:
        row = scale.view(BATCH, -1)[:, :KEYS, None, None]
    elif mode == 2:
        row = scale.view(1, 1, KV_HEADS, 1)
    elif mode == 3:
        row = scale.transpose(1, 2)[..., None]
    elif mode == 4:
        row = scale[TABLE.long()].view(BATCH, KEYS, 1, 1)
    else:
        row = scale[TABLE.long()].transpose(2, 3).reshape(BATCH, KEYS, KV_HEADS, 1)
    return row.expand(BATCH, KEYS, KV_HEADS, SIZE)


def call(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, **changes: Any) -> torch.Tensor:
    arguments: dict[str, Any] = {
        "num_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "scale": SIZE**-0.5,
        "input_layout": "BSH",
        "actual_seq_lengths_kv": KV_LENS,
        **changes,
    }
    arguments = {name: value.npu() if isinstance(value, torch.Tensor) else value for name, value in arguments.items()}
    out = torch_npu.npu_fused_infer_attention_score(query.npu(), keys.npu(), values.npu(), **arguments)[0]
    torch.npu.synchronize()
    return out.cpu()


def paged(**changes: Any) -> torch.Tensor:
    """A legal call with scales of tokens and heads, with some arguments changed."""
    scale = torch.ones(SHAPES[5][0])
    cache = torch.zeros(BLOCKS, BLOCK, KV_HEADS * SIZE, dtype=torch.int8)
    arguments: dict[str, Any] = {
        "query": torch.zeros(BATCH, 1, HEADS * SIZE).half(),
        "keys": cache,
        "values": cache,
        "block_table": TABLE,
        "block_size": BLOCK,
        "key_antiquant_scale": scale,
        "value_antiquant_scale": scale,
        "key_antiquant_mode": 5,
        "value_antiquant_mode": 5,
        **changes,
    }
    return call(**arguments)


def reference(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, causal: bool) -> torch.Tensor:
    """query [batch, steps, heads, size]; keys and values [batch, keys, KV heads, size], numbers, of which KV_LENS count."""
    keys, values = (rows.repeat_interleave(HEADS // KV_HEADS, 2) for rows in (keys, values))
    scores = torch.einsum("bqhd,bkhd->bhqk", query.double(), keys) * SIZE**-0.5
    places = torch.arange(KEYS)
    steps = query.shape[1]
    for request, length in enumerate(KV_LENS):
        last = torch.arange(length - steps, length)[:, None] if causal else torch.full((steps, 1), length - 1)
        scores[request].masked_fill_(places > last, float("-inf"))
    return torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), values)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("offsets", [False, True], ids=["", "offsets"])
@pytest.mark.parametrize(
    ("mode", "shape", "is_paged"),
    # Scales of blocks need blocks.
    [(mode, shape, paged) for mode, shapes in SHAPES.items() for shape in shapes for paged in (True, False) if paged or mode < 4],
)
def test_one_query(mode: int, shape: tuple[int, ...], is_paged: bool, offsets: bool, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(mode)
    kind = torch.float32 if mode in (1, 3, 4, 5) else dtype
    rows = [torch.randint(-128, 128, (BLOCKS, BLOCK, KV_HEADS, SIZE), generator=generator, dtype=torch.int8) for _ in range(2)]
    scales = [(torch.rand(shape, generator=generator) * 0.01 + 0.005).to(kind) for _ in range(2)]
    shifts = [(torch.rand(shape, generator=generator) * 9).round().to(kind) for _ in range(2)]
    query = torch.randn(BATCH, 1, HEADS, SIZE, generator=generator).to(dtype)
    gathered = [part[TABLE.long()].view(BATCH, KEYS, KV_HEADS, SIZE) for part in rows]
    more = {"key_antiquant_offset": shifts[0], "value_antiquant_offset": shifts[1]} if offsets else {}
    more |= {"block_table": TABLE, "block_size": BLOCK} if is_paged else {}
    out = call(
        query.flatten(2),
        *((part.flatten(2) for part in rows) if is_paged else (part.flatten(2) for part in gathered)),
        key_antiquant_scale=scales[0],
        value_antiquant_scale=scales[1],
        key_antiquant_mode=mode,
        value_antiquant_mode=mode,
        **more,
    ).view(BATCH, 1, HEADS, SIZE)
    keys, values = (
        (part.double() + (dense(mode, shift) if offsets else 0)) * dense(mode, scale)
        for part, scale, shift in zip(gathered, scales, shifts, strict=True)
    )
    # float32: scores are sums of SIZE products below 10, and weigh values below 2.1.
    close(out, reference(query, keys, values, causal=False), 2.1 * (SIZE**0.5 + 8) * 10 * 2**-24)


@pytest.mark.parametrize(("key_mode", "value_mode"), [(0, 0), (1, 1), (0, 1)])
def test_several_queries(key_mode: int, value_mode: int) -> None:
    """Without a cache of blocks; modes that differ are for float16, and so for one query."""
    generator = torch.Generator().manual_seed(7)
    mixed = key_mode != value_mode
    steps, dtype = (1, torch.float16) if mixed else (5, torch.bfloat16)
    rows = [torch.randint(-128, 128, (BATCH, KEYS, KV_HEADS, SIZE), generator=generator, dtype=torch.int8) for _ in range(2)]
    shapes: dict[int, tuple[int, ...]] = {0: (KV_HEADS, SIZE), 1: (BATCH, KEYS)}
    if mixed:
        shapes = {0: (1, KV_HEADS, SIZE), 1: (1, BATCH, KEYS)}
    scales = [
        (torch.rand(shapes[mode], generator=generator) * 0.01 + 0.005).to(torch.float32 if mode else dtype)
        for mode in (key_mode, value_mode)
    ]
    query = torch.randn(BATCH, steps, HEADS, SIZE, generator=generator).to(dtype)
    sight = {} if mixed else {"atten_mask": torch.triu(torch.ones(2048, 2048, dtype=torch.int8), 1), "sparse_mode": 3}
    out = call(
        query.flatten(2),
        *(part.flatten(2) for part in rows),
        key_antiquant_scale=scales[0],
        value_antiquant_scale=scales[1],
        key_antiquant_mode=key_mode,
        value_antiquant_mode=value_mode,
        **sight,
    ).view(BATCH, steps, HEADS, SIZE)
    keys, values = (part.double() * dense(mode, scale) for mode, part, scale in zip((key_mode, value_mode), rows, scales, strict=True))
    close(out, reference(query, keys, values, causal=not mixed), 2.1 * (SIZE**0.5 + 8) * 10 * 2**-24)


_MASK = torch.zeros(2048, 2048, dtype=torch.int8)


def test_the_call_that_the_refusals_change_is_legal() -> None:
    assert paged().shape == (BATCH, 1, HEADS * SIZE)


@pytest.mark.parametrize(
    ("sentence", "changes"),
    [
        ("'value_antiquant_scale' is missing", {"value_antiquant_scale": None}),
        ("'key_antiquant_scale' is missing", {"key_antiquant_scale": None}),
        ("of 'key_antiquant_offset' and 'value_antiquant_offset' only one", {"key_antiquant_offset": torch.ones(SHAPES[5][0])}),
        ("other types have none", {name: torch.zeros(BLOCKS, BLOCK, KV_HEADS * SIZE).half() for name in ("keys", "values")}),
        ("'value' is float16", {"values": torch.zeros(BLOCKS, BLOCK, KV_HEADS * SIZE).half()}),
        ("'value_antiquant_mode' is 4", {"value_antiquant_mode": 4}),
        ("the mode of 'key_antiquant_scale' is 6, the limits are 0 and 5", {"key_antiquant_mode": 6, "value_antiquant_mode": 6}),
        (r"'key_antiquant_scale' is float32 \[8, 2, 31\]; mode 5 needs \[8, 2, 32\]", {"key_antiquant_scale": torch.ones(8, 2, 31)}),
        ("'value_antiquant_scale' is float16", {"value_antiquant_scale": torch.ones(SHAPES[5][0]).half()}),
        (
            "'value_antiquant_offset' is float32 \\[1\\]",
            {"key_antiquant_offset": torch.ones(8, 2, 32), "value_antiquant_offset": torch.ones(1)},
        ),
        (
            "with 2 queries over a paged cache",
            {
                "query": torch.zeros(BATCH, 2, HEADS * SIZE).bfloat16(),
                "atten_mask": _MASK,
                "sparse_mode": 3,
                "actual_seq_lengths": [1, 2, 2],
                "block_size": 128,
                **{name: torch.zeros(BLOCKS, 128, KV_HEADS * SIZE, dtype=torch.int8) for name in ("keys", "values")},
            },
        ),
        (
            "the block size 48: a multiple of 32",
            {"block_size": 48, **{name: torch.zeros(BLOCKS, 48, KV_HEADS * SIZE, dtype=torch.int8) for name in ("keys", "values")}},
        ),
        (
            "the head size 48 with keys of int8: a multiple of 32",
            {
                "query": torch.zeros(BATCH, 1, HEADS * 48).half(),
                **{name: torch.zeros(BLOCKS, BLOCK, KV_HEADS * 48, dtype=torch.int8) for name in ("keys", "values")},
            },
        ),
        (
            "'key_antiquant_mode' 0 with 'value_antiquant_mode' 1 needs float16",
            {"query": torch.zeros(BATCH, 1, HEADS * SIZE).bfloat16(), "key_antiquant_mode": 0, "value_antiquant_mode": 1},
        ),
    ],
)
def test_what_the_device_does_not_take_is_refused(sentence: str, changes: dict[str, Any]) -> None:
    with pytest.raises(RuntimeError, match=sentence):
        paged(**changes)


def test_scales_of_blocks_need_blocks() -> None:
    rows = torch.zeros(BATCH, KEYS, KV_HEADS * SIZE, dtype=torch.int8)
    with pytest.raises(RuntimeError, match="'key_antiquant_scale' is 5, which needs a paged cache"):
        paged(keys=rows, values=rows, block_table=None, block_size=0)
