"""The plugin against vLLM's surface: signatures, boundaries, options."""

from __future__ import annotations

import ast
import importlib
import inspect
import textwrap

import pytest
import torch
from vllm.platforms import current_platform

from vllm_cann import config, layers, ops, platform, replacements, worker
from vllm_cann.attention import backend, dense, metadata, mla
from vllm_cann.ops import slot_mapping
from vllm_cann.runners.v1 import CannModelRunner


def overridden() -> list[tuple[type, str]]:
    """Every method of ours that replaces one of vLLM's."""
    classes = (
        dense.CannAttention,
        backend.CannAttentionBackend,
        metadata.CannMetadataBuilder,
        mla.CannLatentAttention,
        mla.CannLatentBackend,
        mla.CannLatentMetadataBuilder,
        mla.CannLatentPrefill,
        platform.CannPlatform,
        worker.CannWorker,
        CannModelRunner,
        *layers.LAYERS,
    )
    return [
        (cls, name)
        for cls in classes
        for name, value in vars(cls).items()
        if inspect.isfunction(getattr(value, "__func__", value)) and any(hasattr(base, name) for base in cls.__mro__[1:])
    ]


@pytest.mark.parametrize(("cls", "name"), overridden(), ids=lambda v: v if isinstance(v, str) else v.__name__)
def test_overrides_take_what_vllm_passes(cls: type, name: str) -> None:
    base = next(b for b in cls.__mro__[1:] if name in vars(b))
    theirs = inspect.signature(getattr(base, name)).parameters
    ours = inspect.signature(getattr(cls, name)).parameters
    if any(p.kind is p.VAR_KEYWORD for p in (*theirs.values(), *ours.values())) or name == "forward_oot":
        return
    assert [*theirs] == [n for n in ours if n in theirs], f"{cls.__name__}.{name} no longer fits {base.__qualname__}.{name}"


def test_layers_take_what_the_native_version_takes() -> None:
    # Layers that vLLM replaces as a whole have one forward.
    replaced = [layer for layer in layers.LAYERS if "forward_oot" in vars(layer)]
    assert {layer.__name__ for layer in layers.LAYERS} - {layer.__name__ for layer in replaced} == {
        "CannFusedMoEMethod",
        "CannLatentAttentionWrapper",
        "CannRowParallelLinear",
    }
    for layer in replaced:
        theirs, ours = (
            [name for name in inspect.signature(function).parameters if name != "self"]
            for function in (layer.forward_native, layer.forward_oot)
        )
        assert ours[: len(theirs)] == theirs, layer


def test_the_slot_mapping_has_the_names_of_the_kernel() -> None:
    from vllm.v1.worker.block_table import ComputeSlotMappingKernel

    kernel = ComputeSlotMappingKernel.kernel
    names = [*inspect.signature(getattr(kernel, "func", kernel)).parameters]
    assert [*inspect.signature(slot_mapping.compute_slot_mapping).parameters] == names


def test_slot_mapping_values() -> None:
    ops.load(torch.device("npu:0"))
    positions = torch.tensor([126, 127, 128, 0, 300]).npu()
    starts = torch.tensor([0, 3, 4, 5, 5], dtype=torch.int32).npu()
    table = torch.tensor([[7, 2, 0], [4, 0, 0], [1, 3, 9], [0, 0, 0]], dtype=torch.int32).npu()
    slots = torch.zeros(8, dtype=torch.int64).npu()
    slot_mapping.compute_slot_mapping(5, 8, starts, positions, table, 3, slots, 128, 1, 0, 1, -1, 1024)
    assert slots.tolist() == [7 * 128 + 126, 7 * 128 + 127, 2 * 128, 4 * 128, 9 * 128 + 44, -1, -1, -1]
    # The second of two ranks, which have blocks of 64 tokens in turns of one: odd positions.
    slot_mapping.compute_slot_mapping(5, 8, starts, positions, table, 3, slots, 64, 2, 1, 1, -1, 1024)
    assert slots.tolist() == [-1, 7 * 64 + 63, -1, -1, -1, -1, -1, -1]


def test_replacements_exist_have_a_reason_and_work() -> None:
    assert len({(row.owner.__name__, row.name) for row in replacements.TABLE}) == len(replacements.TABLE) == 9
    for row in replacements.TABLE:
        assert hasattr(row.owner, row.name), row.name
        assert row.reason
    replacements.apply()
    # As vLLM's V1 runner calls them.
    stream = torch.cuda.Stream()
    assert isinstance(stream, torch.npu.Stream)
    event = torch.cuda.Event(blocking=True)
    before = torch.cuda.current_stream()
    with torch.cuda.stream(stream):
        stream.wait_stream(before)
        assert torch.cuda.current_stream() == stream
        event.record()
    event.synchronize()
    assert torch.cuda.current_stream() == before


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_takes_the_approximation_that_was_asked_for(approximate: str) -> None:
    replacements.apply()
    x = torch.linspace(-4, 4, 33)
    for layer in (torch.nn.GELU(approximate), lambda y: torch.nn.functional.gelu(y, approximate=approximate)):
        # Computed in float64 and rounded once. The two functions are up to 5e-4 apart.
        torch.testing.assert_close(layer(x.npu()).cpu(), layer(x.double()).float(), rtol=2**-23, atol=2**-40)


@pytest.mark.parametrize("row", [row for row in replacements.LAYER_TABLE if "Attention" in row.layer], ids=lambda row: row.layer)
def test_replaced_layers_do_the_steps_that_are_replaced(row: replacements.LayerReplacement) -> None:
    """What vLLM calls, in its order; a step that is new there has to be in our forward, too."""
    theirs = getattr(importlib.import_module(row.module), row.layer).forward
    assert [*inspect.signature(row.forward).parameters] == [*inspect.signature(theirs).parameters]
    [function] = ast.parse(textwrap.dedent(inspect.getsource(theirs))).body
    called = [
        node.func.attr
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)
    ]
    assert sorted(called) == sorted(
        ["qkv_proj", "split", "view", "q_norm", "view", "view", "k_norm", "view", "rotary_emb", "attn", "o_proj"]
    )
    assert row.reason


def test_the_platform_is_ours() -> None:
    assert isinstance(current_platform, platform.CannPlatform)
    assert current_platform.get_device_name() == "Ascend910B3"
    assert current_platform.get_device_total_memory() == 256 << 20


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"atention": "fused"},
            "additional_config has the unknown key 'atention'; did you mean 'attention'? The valid keys are: attention, fused_all_reduce, "
            "experts_by.",
        ),
        ({"attention": "flash"}, "additional_config['attention'] is 'flash': Input should be 'auto', 'fused' or 'torch'."),
        ({"attention": 3}, "additional_config['attention'] is 3"),
    ],
)
def test_bad_options_are_refused(values: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match="additional_config") as error:
        config.parse(values)
    assert sentence in str(error.value)


def test_good_options() -> None:
    assert config.parse({}).attention == "auto"
    assert config.parse({"attention": "torch"}).attention == "torch"
