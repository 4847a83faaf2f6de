"""A feature that the plugin does not have is refused at start, by one sentence. Each field of vLLM's configuration was judged."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from vllm.config import MultiModalConfig, VllmConfig
from vllm.config.engram import EngramConfig
from vllm.config.lora import LoRAConfig
from vllm.engine.arg_utils import EngineArgs
from vllm.model_executor.models import registry
from vllm.v1.attention.backends.registry import AttentionBackendEnum

from vllm_cann import support
from vllm_cann.support import accepted, page, refused


@pytest.fixture(autouse=True)
def look_at_models_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM looks at a model's class in a process of its own, so that its own has no device. This one has none either way."""
    monkeypatch.setattr(registry, "_run_in_subprocess", lambda look: look())


LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 64,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 128,
    "torch_dtype": "bfloat16",
}


def of(architecture: str, model_type: str, **fields: Any) -> dict[str, Any]:
    return {**LLAMA, "architectures": [architecture], "model_type": model_type, **fields}


def compressed(**changes: Any) -> dict[str, Any]:
    """A configuration of W8A8, as the plugin serves it but for changes of the only group, or of the whole."""
    eight = {"num_bits": 8, "type": "int", "symmetric": True}
    group: dict[str, Any] = {
        "targets": ["Linear"],
        "weights": {**eight, "strategy": "channel"},
        "input_activations": {**eight, "strategy": "token", "dynamic": True},
    }
    whole = {name: changes.pop(name) for name in list(changes) if name in ("format", "kv_cache_scheme")}
    for name, change in changes.items():
        group[name] = change and {**group.get(name, {}), **change}
    return {
        "quant_method": "compressed-tensors",
        "format": "int-quantized",
        "config_groups": {"group_0": group},
        "ignore": ["lm_head"],
        **whole,
    }


# Changes of the above, and how the sentence calls them.
UNSERVED: list[tuple[dict[str, Any], str]] = [
    ({"weights": {"num_bits": 4}}, "weights of 4 bits"),
    ({"weights": {"type": "float"}}, "weights of 8 bits that are no integers"),
    ({"weights": {"symmetric": False}}, "asymmetric weights"),
    ({"weights": {"strategy": "group", "group_size": 32}}, "scales of weights by group"),
    ({"input_activations": {"symmetric": False}}, "asymmetric activations"),
    ({"input_activations": {"num_bits": 4}}, "activations of 4 bits"),
    ({"input_activations": {"type": "float"}}, "activations of 8 bits that are no integers"),
    ({"input_activations": {"strategy": "tensor"}}, "dynamic scales of activations by tensor"),
    ({"input_activations": None, "format": "pack-quantized"}, "activations that are not quantised"),
    ({"output_activations": {"num_bits": 8, "strategy": "tensor"}}, "quantised outputs"),
    ({"kv_cache_scheme": {"num_bits": 8, "type": "float", "strategy": "tensor"}}, "kv_cache_scheme"),
]

# What a user gives: options, and the model's config.json; then what the sentence has to name.
CASES: list[tuple[dict[str, Any], dict[str, Any], str, str]] = [
    (
        {},
        of("WhisperForConditionalGeneration", "whisper", d_model=64, encoder_layers=1, decoder_layers=1, max_target_positions=128),
        "encoder-decoder models",
        "['WhisperForConditionalGeneration']",
    ),
    ({}, {**LLAMA, "is_causal": False}, "attention that is not causal", "is_causal of the model's config.json is 'false'"),
    ({}, of("MambaForCausalLM", "mamba", state_size=16), "other layers with a state", "['MambaForCausalLM']"),
    ({}, {**LLAMA, "attention_chunk_size": 32}, "attention in chunks", "is 32"),
    ({}, {**LLAMA, "add_full_attention_sink_bias": True}, "sinks of some layers only", "is True"),
    (
        {"dtype": "float16"},
        of("Glm4MoeForCausalLM", "glm4_moe", routed_scaling_factor=2.5, n_shared_experts=1, n_routed_experts=4, head_dim=32),
        "float16 for experts whose sum has a factor",
        "--dtype is 'float16'; use bfloat16",
    ),
    ({}, {**LLAMA, "index_topk": 64}, "sparse attention", "['LlamaForCausalLM']"),
    (
        {},
        {**LLAMA, "quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": False, "sym": True}},
        "quantised weights of this kind",
        "is 'auto_gptq'",
    ),
    *(
        (
            {},
            {**LLAMA, "quantization_config": compressed(**changes)},
            "quantised weights of this kind",
            f"is 'compressed-tensors, {reason}'",
        )
        for changes, reason in UNSERVED
    ),
    ({"load_format": "runai_streamer"}, LLAMA, "this format of weights", "--load-format is 'runai_streamer'"),
    (
        {"speculative_config": {"method": "ngram", "num_speculative_tokens": 2, "prompt_lookup_max": 3}},
        LLAMA,
        "speculative decoding",
        "--speculative-config is 'ngram'",
    ),
    ({"kv_transfer_config": {"kv_connector": "ExampleConnector", "kv_role": "kv_both"}}, LLAMA, "KV connectors", "is 'ExampleConnector'"),
    (
        {"ec_transfer_config": {"ec_connector": "ECExampleConnector", "ec_role": "ec_both"}},
        LLAMA,
        "connectors of encoders",
        "is 'ECExampleConnector'",
    ),
    ({"kv_events_config": {"enable_kv_cache_events": True, "publisher": "null"}}, LLAMA, "events of the KV cache", "is True"),
    ({"watermark_config": {"key": 7}}, LLAMA, "watermarks", "is 'WatermarkConfig'"),
    ({"weight_transfer_config": {"backend": "nccl"}}, LLAMA, "the transfer of weights", "is 'WeightTransferConfig'"),
    ({"enable_prompt_embeds": True}, LLAMA, "prompts that are embeddings", "--enable-prompt-embeds is True"),
    ({"use_fp64_gumbel": True}, LLAMA, "noise in float64", "is True"),
    ({"kv_cache_dtype": "fp8"}, LLAMA, "a KV cache of another type", "--kv-cache-dtype is 'fp8'"),
    ({"block_size": 16}, LLAMA, "blocks of this size", "--block-size is 16; use a multiple of 128"),
    ({"kv_offloading_size": 1.0}, LLAMA, "a KV cache that moves to the host", "--kv-offloading-size is 1.0"),
    ({"cpu_offload_gb": 1}, LLAMA, "weights on the host", "--cpu-offload-gb is 1"),
    ({"offload_group_size": 2}, LLAMA, "fetched ahead", "--offload-group-size is 2"),
    ({"enable_dbo": True, "all2all_backend": "deepep_low_latency"}, LLAMA, "two batches at a time", "--enable-dbo is True"),
    ({"distributed_executor_backend": "external_launcher"}, LLAMA, "this executor", "is 'external_launcher'"),
    ({"numa_bind": True}, LLAMA, "binding to NUMA nodes", "--numa-bind is True"),
    ({"attention_backend": "FLASH_ATTN"}, LLAMA, "this attention backend", "--attention-backend is 'FLASH_ATTN'"),
    ({"attention_config": {"use_non_causal": True}}, LLAMA, "attention that is not causal", "attention_config.use_non_causal is True"),
    ({"attention_config": {"flash_attn_version": 3}}, LLAMA, "options of other attention backends", "'flash_attn_version': 3"),
    ({"profiler_config": {"profiler": "torch", "torch_profiler_dir": "/nowhere"}}, LLAMA, "vLLM's profilers", "is 'torch'"),
]

# What vLLM refuses by itself, before the plugin is asked.
VLLM_REFUSES = [
    ({"enable_cumem_allocator": True}, "cumem allocator is not supported on current platform"),
    ({"enable_trace_replay": True}, "trace replay requires Model Runner V2"),
    ({"enable_lora": True, "default_mm_loras": {"image": "/nowhere"}}, "LoRA(s) were provided for a non multimodal model"),
    ({"return_sampling_mask": True}, "sampling distribution replay requires Model Runner V2"),
    ({"kv_cache_dtype": "float16"}, 'kv_cache_dtype="float16" is incompatible with dtype="bfloat16"'),
]

# Rows without a case above: a field of a configuration that is served, and the value that asks for the feature.
FIELDS: dict[str, Any] = {
    "aux_output_config.enable_return_routed_experts": True,
    "cache_config.kv_sharing_fast_prefill": True,
    "cache_config.prefix_match_unit": 16,
    "engram_config": EngramConfig(),
    "attention_config.hisparse_config": {"any": 1},
    "kernel_config.linear_backend": "cutlass",
    "kernel_config.linear_backend_per_quant": {"fp8": "cutlass"},
    "kernel_config.monokernel": True,
    "model_config.enable_cumem_allocator": True,
    "model_config.enable_nccl_comm_suspend": True,
    "model_config.sleep_mode_backend": "criu",
    "model_config.enable_trace_replay": True,
    "model_config.multimodal_config.enable_mm_embeds": True,
    "model_config.multimodal_config.mm_encoder_attn_backend": AttentionBackendEnum.FLASH_ATTN,
    "model_config.multimodal_config.mm_encoder_attn_dtype": "fp8",
    "model_config.multimodal_config.mm_encoder_only": True,
    "model_config.multimodal_config.video_pruning_rate": 0.5,
    "model_config.return_sampling_mask": True,
    "observability_config.enable_layerwise_nvtx_tracing": True,
    "offload_config.offload_backend": "uva",
    "parallel_config.all2all_backend": "deepep_v2",
    "parallel_config.data_parallel_backend": "ray",
    "parallel_config.data_parallel_external_lb": True,
    "parallel_config.data_parallel_hybrid_lb": True,
    "parallel_config.decode_context_parallel_size": 2,
    "parallel_config.enable_batch_sharded_sampling": True,
    "parallel_config.enable_elastic_ep": True,
    "parallel_config.enable_ep_weight_filter": True,
    "parallel_config.enable_fault_tolerance": True,
    "parallel_config.enable_hc_sp": True,
    "parallel_config.enable_shm_tensor_arena": True,
    "parallel_config.max_parallel_loading_workers": 2,
    "parallel_config.nnodes": 2,
    "parallel_config.prefill_context_parallel_size": 2,
    "parallel_config.ubatch_size": 2,
}
# Rows about a model's class or its configuration, which no field of this one can be set to: (feature, property of ModelConfig, value).
PROPERTIES = {
    "diffusion language models": ("is_diffusion", True),
    "a prompt whose text is read as a whole, which vLLM reads from left to right": (
        "architectures",
        ["PaliGemmaForConditionalGeneration"],
    ),
}
# Rows about adapters: (feature, a property of ModelConfig that holds, fields of LoRAConfig, what the sentence has to name).
ADAPTERS: list[tuple[str, str | None, dict[str, Any], str]] = [
    ("LoRA adapters of experts", "is_moe", {}, "--lora-target-modules is 'all'; name modules that are no experts"),
    ("LoRA adapters of experts", "is_moe", {"target_modules": ["q_proj", "experts"]}, "is ['experts']"),
    ("LoRA adapters of latent attention", "use_mla", {}, "--enable-lora is True; merge the adapter into the weights"),
    ("LoRA adapters of this rank", None, {"max_lora_rank": 256}, "--max-lora-rank is 256; use one of 8, 16, 32, 64, 128"),
    ("LoRA adapters in another dtype than the model", None, {"lora_dtype": torch.float16}, "--lora-dtype is 'float16'; use auto"),
    ("LoRA adapters of encoders", None, {"enable_tower_connector_lora": True}, "is True"),
    ("LoRA adapters in shards", None, {"fully_sharded_loras": True}, "is True"),
    ("LoRA adapters that experts share", None, {"enable_moe_shared_loras": True}, "is True"),
    ("LoRA adapters of experts in several formats", None, {"enable_mixed_moe_lora_format": True}, "is True"),
    ("LoRA adapters of classes", None, {"max_lora_cls_labels": 4}, "is 4"),
]


def configure(directory: Path, options: dict[str, Any], model: dict[str, Any]) -> VllmConfig:
    (directory / "config.json").write_text(json.dumps(model))
    return EngineArgs(model=str(directory), skip_tokenizer_init=True, **options).create_engine_config()


@pytest.mark.parametrize(("options", "model", "feature", "value"), CASES, ids=[f"{c[2]}-{i}" for i, c in enumerate(CASES)])
def test_what_is_not_there_is_refused(options: dict, model: dict, feature: str, value: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, NotImplementedError)) as error:
        configure(tmp_path, options, model)
    [sentence] = re.findall(r"vllm_cann does not have .*?\.(?= \[type=|$)", str(error.value), re.MULTILINE)
    assert feature in sentence
    assert value in sentence


# What ModelSlim's file says, and what the sentence has to name; nothing where it is served.
DESCRIPTIONS: list[tuple[dict[str, str], str]] = [
    ({"model.layers.0.mlp.down_proj.weight": "W8A8_DYNAMIC", "model.norm.weight": "FLOAT", "x.weight": "W8A8"}, ""),
    ({"model.layers.0.mlp.down_proj.weight": "W4A8_DYNAMIC"}, "W4A8_DYNAMIC of model.layers.0.mlp.down_proj"),
    ({"model.layers.0.mlp.experts.0.up_proj.weight": "W8A8"}, "experts of W8A8 (model.layers.0.mlp.experts.0.up_proj)"),
    ({"kv_quant_type": "C8", "model.norm.weight": "FLOAT"}, "kv_quant_type 'C8'"),
]


@pytest.mark.parametrize("option", [{}, {"quantization": "ascend"}], ids=["found", "named"])
@pytest.mark.parametrize(("description", "reason"), DESCRIPTIONS, ids=[reason or "served" for _, reason in DESCRIPTIONS])
def test_modelslims_file_decides(description: dict[str, str], reason: str, option: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "quant_model_description.json").write_text(json.dumps(description))
    if reason:
        with pytest.raises(ValueError, match="quantised weights of this kind") as error:
            configure(tmp_path, option, LLAMA)
        assert f"config.json) is 'ascend, {reason}'" in str(error.value).replace('"', "'")
    else:
        assert type(configure(tmp_path, option, LLAMA).quant_config).__name__ == "ModelSlimConfig"


def test_int8_of_compressed_tensors_is_served(tmp_path: Path) -> None:
    config = configure(tmp_path, {}, {**LLAMA, "quantization_config": compressed()})
    assert type(config.quant_config).__name__ == "CannCompressedTensorsConfig"


def paths(cls: type, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """Each field, and whether it is a configuration of its own."""
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        kind = hints[field.name]
        inner = [one for one in (kind, *typing.get_args(kind)) if dataclasses.is_dataclass(one)]
        yield prefix + field.name, bool(inner)
        for one in inner:
            yield from paths(typing.cast(type, one), f"{prefix}{field.name}.")


NAMED = {*accepted.ACCEPTED, *(field for row in refused.REFUSED for field in row.fields)}


def judged(path: str) -> bool:
    parts = path.split(".")
    return any(".".join(parts[:n]) in NAMED for n in range(1, len(parts) + 1))


def test_every_field_of_vllm_was_judged() -> None:
    unknown = [path for path, inner in paths(VllmConfig) if not inner and not judged(path)]
    assert unknown == [], "new in vLLM: give each a row in refused.REFUSED or a reason in accepted.ACCEPTED"


def test_every_judged_field_is_one_of_vllm() -> None:
    assert {path for path, _ in paths(VllmConfig)} >= NAMED


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> VllmConfig:
    return configure(tmp_path_factory.mktemp("llama"), {}, LLAMA)


@pytest.mark.parametrize("path", FIELDS)
def test_a_field_is_refused(path: str, served: VllmConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    row = next(row for row in refused.REFUSED if path in row.fields)
    if path.startswith("model_config.multimodal_config."):
        # Of a model that sees.
        monkeypatch.setattr(served.model_config, "multimodal_config", MultiModalConfig())
    assert row.found(served) is None
    *owners, name = path.split(".")
    owner: Any = served
    for one in owners:
        owner = getattr(owner, one)
    monkeypatch.setattr(owner, name, FIELDS[path])
    with pytest.raises(ValueError, match="vllm_cann does not have") as error:
        support.check(served)
    assert str(error.value).startswith(f"vllm_cann does not have {row.feature}: {row.option} is ")


@pytest.mark.parametrize("feature", PROPERTIES)
def test_a_kind_of_model_is_refused(feature: str, served: VllmConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    name, value = PROPERTIES[feature]
    monkeypatch.delitem(vars(served.model_config), name, raising=False)  # what a cached property holds
    monkeypatch.setattr(type(served.model_config), name, value)
    with pytest.raises(ValueError, match=re.escape(f"vllm_cann does not have {feature}: ")):
        support.check(served)


@pytest.mark.parametrize(("feature", "holds", "fields", "sentence"), ADAPTERS)
def test_adapters_are_refused(
    feature: str, holds: str | None, fields: dict[str, Any], sentence: str, served: VllmConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    if holds is not None:
        monkeypatch.delitem(vars(served.model_config), holds, raising=False)
        monkeypatch.setattr(type(served.model_config), holds, True)
    monkeypatch.setattr(served, "lora_config", LoRAConfig(**fields))
    with pytest.raises(ValueError, match=re.escape(f"vllm_cann does not have {feature}: ")) as error:
        support.check(served)
    assert sentence in str(error.value)


@pytest.mark.parametrize("is_moe", [False, True])
def test_adapters_are_served(is_moe: bool, served: VllmConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a mixture, those of other modules than experts."""
    monkeypatch.delitem(vars(served.model_config), "is_moe", raising=False)
    monkeypatch.setattr(type(served.model_config), "is_moe", is_moe)
    monkeypatch.setattr(served, "lora_config", LoRAConfig(target_modules=["q_proj", "o_proj"] if is_moe else None, max_loras=4))
    support.check(served)


# Rows about balanced experts: (feature, how their weights move, the kind of weights, what the sentence has to name).
BALANCED: list[tuple[str, str, str | None, str]] = [
    (
        "this communicator for the weights of balanced experts",
        "torch_xccl",
        None,
        "--eplb-config is 'torch_xccl'; use torch_gloo, or torch_nccl",
    ),
    ("the balance of quantised experts", "torch_gloo", "compressed-tensors", "--enable-eplb is 'compressed-tensors'"),
]


@pytest.mark.parametrize(("feature", "by", "kind", "value"), BALANCED)
def test_balanced_experts_are_refused(
    feature: str, by: str, kind: str | None, value: str, served: VllmConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    [row] = [row for row in refused.REFUSED if row.feature.startswith(feature)]
    monkeypatch.setattr(served.parallel_config.eplb_config, "communicator", by)
    monkeypatch.setattr(served, "quant_config", kind and SimpleNamespace(get_name=lambda: kind))
    assert row.found(served) is None
    monkeypatch.setattr(served.parallel_config, "enable_eplb", True)
    assert value in row.sentence(row.found(served))


def test_vllm_lets_experts_be_balanced(tmp_path: Path) -> None:
    """It asks for CUDA or XPU, whose routers count tokens; then for several devices."""
    with pytest.raises(ValueError, match="EPLB requires tensor, prefill-context, or data parallelism"):
        configure(tmp_path, {"enable_expert_parallel": True, "enable_eplb": True}, LLAMA)


@pytest.mark.parametrize(("options", "sentence"), VLLM_REFUSES)
def test_what_vllm_refuses_by_itself(options: dict, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        configure(tmp_path, options, LLAMA)


def test_the_ranks_are_those_of_the_kernels() -> None:
    from vllm_cann.ops.lora_expand import RANKS

    assert refused.RANKS == RANKS


def test_every_row_has_a_case() -> None:
    seen = {*FIELDS, *PROPERTIES, *(feature for feature, *_ in ADAPTERS)}
    beginnings = [*(feature for _, _, feature, _ in CASES), *(feature for feature, *_ in BALANCED)]
    without = [
        row.feature
        for row in refused.REFUSED
        if not (seen & {row.feature, *row.fields[:1]} or any(feature in row.feature for feature in beginnings))
    ]
    assert without == []


def test_the_defaults_are_served_without_touching_the_device(served: VllmConfig) -> None:
    support.check(served)
    assert not torch.npu.is_initialized()
    assert served.parallel_config.worker_cls == "vllm_cann.worker.CannWorker"


def test_the_page_is_current() -> None:
    text = Path(os.environ["SUPPORT_PAGE"]).read_text()
    assert text == page.markdown(), "run: python -m vllm_cann.support > docs/support.md"
