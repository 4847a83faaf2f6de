"""What the plugin serves of vLLM's features, and what it refuses when a server starts. docs/support.md is made from these tables.

Each field of vLLM's configuration is in one of them. `ROWS` refuses what no test has seen work; `FINE` says why a field needs no row. A
field that is new in a version of vLLM is in none of them, and a test names it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vllm.config import VllmConfig

_LEAVE_OUT = "leave the option out"
_OTHER_MODEL = "serve another model"


@dataclass(frozen=True)
class Row:
    """One refused feature."""

    feature: str
    option: str
    """What the user set: an option of the command line, or what of the model's configuration."""
    fields: tuple[str, ...]
    """The fields of VllmConfig that this row looks after; one without a dot stands for all that is below it."""
    found: Callable[[VllmConfig], Any]
    """The value that asks for the feature; None where nothing does."""
    cure: str = _LEAVE_OUT

    def sentence(self, value: Any) -> str:
        """What the user reads."""
        return f"vllm_cann does not have {self.feature}: {self.option} is {value!r}; {self.cure}."


def _at(config: VllmConfig, path: str) -> Any:
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name, None)
    return value


def _option(feature: str, option: str, path: str, *allowed: Any, also: tuple[str, ...] = (), cure: str = _LEAVE_OUT) -> Row:
    """A row for a field that may only be None or one of `allowed`; `also` are fields that act only with it."""

    def found(config: VllmConfig) -> Any:
        value = _at(config, path)
        return None if value is None or any(value == one for one in allowed) else value

    return Row(feature, option, (path, *also), found, cure)


def _model(feature: str, option: str, found: Callable[[Any], Any], *fields: str, cure: str = _OTHER_MODEL) -> Row:
    """A row about the served model, from vLLM's ModelConfig."""
    return Row(feature, option, fields, lambda config: None if config.model_config is None else found(config.model_config) or None, cure)


def _of_text(*names: str) -> Callable[[Any], Any]:
    """The first of the fields of the model's own configuration that is set."""
    return lambda model: next((value for value in (getattr(model.hf_text_config, name, None) for name in names) if value), None)


def _given(config: Any) -> Any:
    """The name of a configuration that the user has given, which may be long."""
    return None if config is None else getattr(config, "method", None) or type(config).__name__


def _quantization(config: VllmConfig) -> Any:
    model = config.model_config
    return None if model is None else model.quantization or (config.quant_config and type(config.quant_config).__name__) or None


def _cache_dtype(config: VllmConfig) -> Any:
    kind = config.cache_config.cache_dtype
    own = None if config.model_config is None else str(config.model_config.dtype).removeprefix("torch.")
    return None if kind in ("auto", own) else kind


def _attention_option(config: VllmConfig) -> Any:
    """The options of other attention backends that are not as vLLM has them by itself."""
    default = type(config.attention_config)()
    # The first four have rows of their own, and vLLM computes the last.
    own = ("backend", "backend_per_kind", "use_non_causal", "hisparse_config", "sparse_mla_prefill_workspace_factor")
    changed = {name: value for name, value in vars(config.attention_config).items() if name not in own and value != getattr(default, name)}
    return changed or None


def _block_size(config: VllmConfig) -> Any:
    from vllm_cann.platform import BLOCK_SIZE

    cache = config.cache_config
    return cache.block_size if cache.user_specified_block_size and cache.block_size != BLOCK_SIZE else None


def _sinks(model: Any) -> Any:
    if "GptOssForCausalLM" in model.architectures:
        return "GptOssForCausalLM"
    return _of_text("add_full_attention_sink_bias", "add_swa_attention_sink_bias")(model)


_MLA = "multi-head latent attention"

ROWS: tuple[Row, ...] = (
    # The model.
    _model(
        "pooling models (embedding, classification, scores)",
        "--runner",
        lambda model: model.runner_type == "pooling" and "pooling",
        "model_config.runner",
        "model_config.convert",
        "model_config.pooler_config",
        "model_config.io_processor_plugin",
        "scheduler_config.runner_type",
        cure="serve a model that generates text",
    ),
    _model("encoder-decoder models", "the model's architecture", lambda model: model.is_encoder_decoder and model.architectures),
    _model(
        "attention that is not causal",
        "is_causal of the model's config.json",
        lambda model: getattr(model.hf_text_config, "is_causal", True) is False and "false",
    ),
    _model(
        "diffusion language models",
        "the model's architecture",
        lambda model: model.is_diffusion and model.architectures,
        "diffusion_config",
    ),
    _model(
        "multimodal models",
        "the model's architecture",
        lambda model: model.is_multimodal_model and model.architectures,
        "model_config.multimodal_config",
        "ec_manager_config",
    ),
    _model(
        "rotary embeddings with several positions per token (M-RoPE)",
        "rope_scaling of the model's config.json",
        lambda model: model.uses_mrope and "mrope",
    ),
    _model(
        "linear attention, Mamba and other layers with a state",
        "the model's architecture",
        lambda model: (model.is_hybrid or model.is_attention_free or model.has_inner_state) and model.architectures,
        "mamba_config",
    ),
    _model("mixtures of experts", "the model's number of experts", lambda model: model.get_num_experts()),
    _model(_MLA, "the model's architecture", lambda model: (model.is_deepseek_mla or model.use_mla) and model.architectures),
    _model("ALiBi", "alibi of the model's config.json", lambda model: model.uses_alibi),
    _model(
        "attention with a sliding window",
        "sliding_window of the model's config.json",
        lambda model: model.get_sliding_window(),
        "cache_config.sliding_window",
        cure="limit the context to the window with --disable-sliding-window",
    ),
    _model("attention in chunks", "attention_chunk_size of the model's config.json", _of_text("attention_chunk_size")),
    _model("a soft cap of attention's scores", "attn_logit_softcapping of the model's config.json", _of_text("attn_logit_softcapping")),
    _model("attention with sinks", "the model's architecture", _sinks),
    _model(
        "models that only HF transformers implements",
        "--model-impl",
        lambda model: (
            (model.model_impl not in ("auto", "vllm") and model.model_impl) or (model.using_transformers_backend() and "transformers")
        ),
        "model_config.model_impl",
    ),
    Row(
        "quantised weights",
        "--quantization (or quantization_config of the model's config.json)",
        ("model_config.quantization", "model_config.quantization_config", "quant_config", "model_config.allow_deprecated_quantization"),
        _quantization,
        "serve weights in bfloat16, float16 or float32",
    ),
    _option(
        "this format of weights",
        "--load-format",
        "load_config.load_format",
        "auto",
        "hf",
        "safetensors",
        "pt",
        "dummy",
        cure="use auto, hf, safetensors, pt or dummy",
    ),
    # What is given with a model.
    Row(
        "LoRA adapters", "--enable-lora", ("lora_config",), lambda config: _given(config.lora_config), "merge the adapter into the weights"
    ),
    Row("speculative decoding", "--speculative-config", ("speculative_config",), lambda config: _given(config.speculative_config)),
    Row(
        "KV connectors",
        "--kv-transfer-config",
        ("kv_transfer_config",),
        lambda config: _at(config, "kv_transfer_config.kv_connector") or _given(config.kv_transfer_config),
    ),
    Row(
        "connectors of encoders",
        "--ec-transfer-config",
        ("ec_transfer_config",),
        lambda config: _at(config, "ec_transfer_config.ec_connector") or _given(config.ec_transfer_config),
    ),
    Row(
        "events of the KV cache",
        "--kv-events-config",
        ("kv_events_config",),
        lambda config: _at(config, "kv_events_config.enable_kv_cache_events") or None,
    ),
    Row("watermarks", "--watermark-config", ("watermark_config",), lambda config: _given(config.watermark_config)),
    Row("engrams", "--engram-config", ("engram_config",), lambda config: _given(config.engram_config)),
    Row(
        "the transfer of weights to a running server",
        "--weight-transfer-config",
        ("weight_transfer_config",),
        lambda config: _given(config.weight_transfer_config),
    ),
    _option("prompts that are embeddings", "--enable-prompt-embeds", "model_config.enable_prompt_embeds", False),
    _option("replay of a trace of tokens", "--enable-trace-replay", "model_config.enable_trace_replay", False),
    _option("the sampling mask in answers", "--return-sampling-mask", "model_config.return_sampling_mask", False),
    _option("sampling noise in float64", "--use-fp64-gumbel", "model_config.use_fp64_gumbel", False),
    _option(
        "the experts that a token took in answers",
        "--enable-return-routed-experts",
        "aux_output_config.enable_return_routed_experts",
        False,
        also=("aux_output_config.max_bytes",),
    ),
    # Memory.
    _option(
        "sleep mode",
        "--enable-sleep-mode",
        "model_config.enable_sleep_mode",
        False,
        also=(
            "model_config.sleep_preserve_parameter_names",
            "model_config.sleep_mode_backend",
            "model_config.sleep_mode_offload_cudagraph",
            "model_config.enable_nccl_comm_suspend",
        ),
    ),
    _option("the CuMem allocator", "--enable-cumem-allocator", "model_config.enable_cumem_allocator", False),
    Row(
        "a KV cache of another type than the model's",
        "--kv-cache-dtype",
        ("cache_config.cache_dtype", "cache_config.kv_cache_dtype_skip_layers"),
        _cache_dtype,
        "use auto",
    ),
    Row("blocks of this size", "--block-size", ("cache_config.block_size",), _block_size, "the attention of Ascend NPUs takes 128 here"),
    _option(
        "a KV cache that moves to the host",
        "--kv-offloading-size",
        "cache_config.kv_offloading_size",
        also=("cache_config.kv_offloading_backend", "cache_config.simple_cpu_offload_num_blocks", "cache_config.num_cpu_blocks"),
    ),
    _option("prefix caching in other units", "--prefix-match-unit", "cache_config.prefix_match_unit"),
    _option("the fast prefill of layers that share a KV cache", "--kv-sharing-fast-prefill", "cache_config.kv_sharing_fast_prefill", False),
    _option(
        "weights on the host", "--cpu-offload-gb", "offload_config.uva.cpu_offload_gb", 0, also=("offload_config.uva.cpu_offload_params",)
    ),
    _option(
        "weights on the host that are fetched ahead",
        "--offload-group-size",
        "offload_config.prefetch.offload_group_size",
        0,
        also=("offload_config.prefetch",),
    ),
    _option("offloading", "--offload-backend", "offload_config.offload_backend", "auto"),
    # Several devices, processes or streams.
    _option("tensor parallelism", "--tensor-parallel-size", "parallel_config.tensor_parallel_size", 1, cure="use one device"),
    _option("pipeline parallelism", "--pipeline-parallel-size", "parallel_config.pipeline_parallel_size", 1, cure="use one device"),
    _option(
        "data parallelism",
        "--data-parallel-size",
        "parallel_config.data_parallel_size",
        1,
        cure="start one server for each device",
        also=tuple(
            f"parallel_config.{name}"
            for name in [
                "data_parallel_size_local",
                "data_parallel_rank",
                "data_parallel_rank_local",
                "data_parallel_master_ip",
                "data_parallel_rpc_port",
                "dp_sync_interval",
                "data_parallel_master_port",
                "data_parallel_backend",
                "data_parallel_external_lb",
                "data_parallel_hybrid_lb",
                "disable_nccl_for_dp_synchronization",
                "_data_parallel_master_port_list",
                "data_parallel_index",
            ]
        ),
    ),
    _option(
        "context parallelism of prefill",
        "--prefill-context-parallel-size",
        "parallel_config.prefill_context_parallel_size",
        1,
        cure="use one device",
    ),
    _option(
        "context parallelism of decode",
        "--decode-context-parallel-size",
        "parallel_config.decode_context_parallel_size",
        1,
        cure="use one device",
        also=tuple(
            f"parallel_config.{name}"
            for name in [
                "dcp_kv_cache_interleave_size",
                "dcp_comm_backend",
                "dcp_q_replicate",
                "cp_kv_cache_interleave_size",
                "_allow_auto_resolve_cp_interleave_size",
            ]
        ),
    ),
    _option("expert parallelism", "--enable-expert-parallel", "parallel_config.enable_expert_parallel", False),
    _option("expert parallelism's filter of weights", "--enable-ep-weight-filter", "parallel_config.enable_ep_weight_filter", False),
    _option("the balance of experts", "--enable-eplb", "parallel_config.enable_eplb", False, also=("parallel_config.eplb_config",)),
    _option(
        "elastic expert parallelism",
        "--enable-elastic-ep",
        "parallel_config.enable_elastic_ep",
        False,
        also=("parallel_config.elastic_ep_max_dp_size",),
    ),
    _option("sequence parallelism of hyper-connections", "--enable-hc-sp", "parallel_config.enable_hc_sp", False),
    _option("sampling in shards", "--enable-batch-sharded-sampling", "parallel_config.enable_batch_sharded_sampling", False),
    _option(
        "two batches at a time (DBO)",
        "--enable-dbo",
        "parallel_config.enable_dbo",
        False,
        also=("parallel_config.dbo_decode_token_threshold", "parallel_config.dbo_prefill_token_threshold"),
    ),
    _option("several batches at a time", "--ubatch-size", "parallel_config.ubatch_size", 0, 1),
    _option("several machines", "--nnodes", "parallel_config.nnodes", 1, also=("parallel_config.node_rank",), cure="use one machine"),
    _option(
        "this executor",
        "--distributed-executor-backend",
        "parallel_config.distributed_executor_backend",
        "uni",
        "mp",
        also=("parallel_config.ray_workers_use_nsight", "parallel_config.ray_runtime_env", "parallel_config.placement_group"),
        cure="use uni or mp",
    ),
    _option(
        "recovery of an engine after a fault",
        "--enable-fault-tolerance",
        "parallel_config.enable_fault_tolerance",
        False,
        also=("parallel_config.fault_tolerance_config",),
    ),
    _option("the arena of tensors in shared memory", "--enable-shm-tensor-arena", "parallel_config.enable_shm_tensor_arena", False),
    _option("loading by several workers", "--max-parallel-loading-workers", "parallel_config.max_parallel_loading_workers"),
    _option(
        "binding to NUMA nodes",
        "--numa-bind",
        "parallel_config.numa_bind",
        False,
        also=("parallel_config.numa_bind_nodes", "parallel_config.numa_bind_cpus"),
        cure="start the command with numactl",
    ),
    # Kernels.
    Row(
        "this attention backend",
        "--attention-backend",
        ("attention_config.backend", "attention_config.backend_per_kind"),
        lambda config: next(
            (
                one.name
                for one in (config.attention_config.backend, *config.attention_config.backend_per_kind.values())
                if one and one.name != "CUSTOM"
            ),
            None,
        ),
    ),
    _option("attention that is not causal", "attention_config.use_non_causal", "attention_config.use_non_causal", False),
    Row(
        "sparse attention with a cache on the host (HiSparse)",
        "attention_config.hisparse_config",
        ("attention_config.hisparse_config",),
        lambda config: _given(config.attention_config.hisparse_config),
    ),
    Row("options of other attention backends", "--attention-config", ("attention_config",), _attention_option),
    _option("this backend of linear layers", "--linear-backend", "kernel_config.linear_backend", "auto"),
    _option("other backends of linear layers", "--linear-backend-per-quant", "kernel_config.linear_backend_per_quant", {}),
    _option("models in one kernel", "kernel_config.monokernel", "kernel_config.monokernel", False),
    # Looking on.
    _option(
        "vLLM's profilers",
        "--profiler-config: profiler",
        "profiler_config.profiler",
        also=("profiler_config",),
        cure="use softnpu run --trace",
    ),
    _option("NVTX ranges", "--enable-layerwise-nvtx-tracing", "observability_config.enable_layerwise_nvtx_tracing", False),
)

_HOST = "work of the host"
_DERIVED = "vLLM derives it"
_OFF = "graphs and torch.compile are switched off, as the log says"
_TESTED = "served by the tests"

# Fields that need no row, and why. One without a dot stands for all that is below it.
FINE: dict[str, str] = {
    **{
        f"model_config.{name}": "names, files and limits of the model"
        for name in [
            "model",
            "model_weights",
            "tokenizer",
            "tokenizer_mode",
            "trust_remote_code",
            "seed",
            "hf_config",
            "hf_text_config",
            "hf_config_path",
            "revision",
            "code_revision",
            "tokenizer_revision",
            "max_model_len",
            "spec_target_max_model_len",
            "served_model_name",
            "config_format",
            "hf_token",
            "hf_overrides",
            "model_class_overrides",
            "generation_config",
            "override_generation_config",
            "skip_tokenizer_init",
            "allowed_local_media_path",
            "allowed_media_domains",
            "disable_sliding_window",
            "renderer_num_workers",
        ]
    },
    **{f"model_config.{name}": _DERIVED for name in ("is_submodel_config", "word_embeddings_untied_by_checkpoint")},
    "model_config.dtype": "bfloat16, float16 and float32; the platform refuses others",
    "model_config.enforce_eager": _OFF,
    "model_config.max_logprobs": _TESTED,
    "model_config.logprobs_mode": "plain torch operators of vLLM's sampler",
    "model_config.logits_processors": "the user's own code",
    "model_config.disable_cascade_attn": "vLLM has no cascade attention any more",
    **{
        f"cache_config.{name}": _DERIVED
        for name in [
            "user_specified_block_size",
            "kv_cache_layout",
            "num_gpu_blocks",
            "effective_attention_block_size",
            "kv_cache_size_tokens",
            "kv_cache_max_concurrency",
            "hash_block_size",
            "cache_hit_alignment_tokens",
            "_block_size_resolved",
            "is_attention_free",
        ]
    },
    **{
        f"cache_config.{name}": "acts only for models with a state or a sliding window, which are refused"
        for name in [
            "prefix_cache_retention_interval",
            "mamba_page_size_padded",
            "skip_page_size_padded",
            "mamba_block_size",
            "mamba_cache_dtype",
            "mamba_ssm_cache_dtype",
            "mamba_cache_mode",
            "enable_mamba_shared_prefix_checkpoint",
            "replayssm_buffer_len",
            "use_replayssm",
            "use_kda_recoverssm",
            "swa_bounded_replay",
        ]
    },
    **{
        f"cache_config.{name}": _TESTED
        for name in ("gpu_memory_utilization", "num_gpu_blocks_override", "enable_prefix_caching", "kv_cache_memory_bytes")
    },
    "cache_config.prefix_caching_hash_algo": _HOST,
    **{
        f"parallel_config.{name}": "acts only with several devices or experts, which are refused"
        for name in [
            "is_moe_model",
            "expert_placement_strategy",
            "all2all_backend",
            "disable_custom_all_reduce",
            "master_addr",
            "master_port",
            "distributed_timeout_seconds",
            "cpu_distributed_timeout_seconds",
            "_coord_store_port",
        ]
    },
    **{
        f"parallel_config.{name}": _DERIVED
        for name in ("world_size", "rank", "_api_process_count", "_api_process_rank", "assigned_physical_gpu_ids")
    },
    **{f"parallel_config.{name}": "the user's own code" for name in ("worker_cls", "worker_extension_cls")},
    **{
        f"scheduler_config.{name}": _HOST
        for name in [
            "max_num_batched_tokens",
            "max_num_scheduled_tokens",
            "max_num_seqs",
            "max_num_active_seqs",
            "long_prefill_token_threshold",
            "long_prefill_token_threshold_adaptive",
            "max_num_queued_reqs",
            "max_num_queued_tokens",
            "enable_chunked_prefill",
            "policy",
            "scheduler_cls",
            "disable_hybrid_kv_cache_manager",
            "scheduler_reserve_full_isl",
            "watermark",
            "prefill_schedule_interval",
            "async_scheduling",
            "stream_interval",
        ]
    },
    **{
        f"scheduler_config.{name}": "acts only for multimodal models, which are refused"
        for name in ("is_multimodal_model", "max_num_encoder_input_tokens", "encoder_cache_size", "disable_chunked_mm_input")
    },
    "device_config": _DERIVED,
    **{
        f"load_config.{name}": _HOST
        for name in [
            "download_dir",
            "safetensors_load_strategy",
            "safetensors_prefetch_num_threads",
            "safetensors_prefetch_block_size",
            "model_loader_extra_config",
            "device",
            "ignore_patterns",
            "use_tqdm_on_load",
            "pt_load_map_location",
        ]
    },
    **{
        f"kernel_config.{name}": "kernels for other devices or for mixtures of experts; none is reached"
        for name in [
            "ir_op_priority",
            "enable_flashinfer_autotune",
            "enable_rocm_segmented_attn_autotune",
            "enable_cutedsl_warmup",
            "enable_jit_warmup",
            "moe_backend",
            "sparse_indexer_topk_backend",
        ]
    },
    "structured_outputs_config": _TESTED,
    **{
        f"observability_config.{name}": _HOST
        for name in [
            "show_hidden_metrics_for_version",
            "otlp_traces_endpoint",
            "collect_detailed_traces",
            "per_request_spec_decode_metrics",
            "kv_cache_metrics",
            "kv_cache_metrics_sample",
            "custom_histogram_buckets",
            "cudagraph_metrics",
            "enable_mfu_metrics",
            "enable_mm_processor_stats",
            "enable_logging_iteration_details",
            "jit_monitor_mode",
            "jit_monitor_verbose",
        ]
    },
    "logging_config": _HOST,
    "compilation_config": _OFF,
    "reasoning_config": _HOST,
    "additional_config": "the plugin's own options",
    "instance_id": _DERIVED,
    "optimization_level": _OFF,
    "performance_mode": _HOST,
    "watchdog_config": _HOST,
    "shutdown_timeout": _HOST,
}


def check(config: VllmConfig) -> None:
    """Refuses what the plugin does not have.

    Raises:
        ValueError: a sentence with the feature, the option, its value and what to do
    """
    for row in ROWS:
        value = row.found(config)
        if value is not None:
            raise ValueError(row.sentence(value))


def markdown() -> str:
    """The text of docs/support.md."""
    lines = [
        "# What is served, and what is refused",
        "",
        "Made from `python/vllm_cann/support.py`: `python -m vllm_cann.support > docs/support.md`.",
        "",
        "Text generation on one device, with models whose attention is plain and causal: any number of KV heads, bfloat16, float16 and",
        "float32. Chunked prefill, prefix caching, preemption, asynchronous scheduling, streaming, structured outputs, and vLLM's sampling",
        "options in a request are served. Graphs and torch.compile are switched off, with a line in the log, and vLLM's V1 model runner is",
        "used, also where Triton is installed.",
        "",
        "## Refused at start",
        "",
        "| not there | what asks for it | what to do |",
        "|---|---|---|",
        *(f"| {row.feature} | `{row.option}` | {row.cure} |" for row in ROWS),
        "",
        "## Fields of vLLM's configuration without a row",
        "",
        "| why | fields |",
        "|---|---|",
    ]
    reasons: dict[str, list[str]] = {}
    for field, reason in FINE.items():
        reasons.setdefault(reason, []).append(f"`{field}`")
    lines += [f"| {reason} | {', '.join(fields)} |" for reason, fields in reasons.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(markdown(), end="")
