"""The table of what the plugin refuses when a server starts: what no test has seen work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vllm_cann.support.row import Row, kind_of, model_row, option_row, text_field, value_at

if TYPE_CHECKING:
    from vllm.config import VllmConfig


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
    from vllm_cann.attention.backend import BLOCK_SIZE

    cache = config.cache_config
    return cache.block_size if cache.user_specified_block_size and cache.block_size != BLOCK_SIZE else None


def _sparse(model: Any) -> Any:
    """Latent attention that chooses keys by an index (DeepSeek-V3.2), or compresses them (DeepSeek-V4)."""
    return any(getattr(model.hf_text_config, name, None) for name in ("index_topk", "compress_ratios")) and model.architectures


REFUSED: tuple[Row, ...] = (
    # The model.
    model_row(
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
    model_row("encoder-decoder models", "the model's architecture", lambda model: model.is_encoder_decoder and model.architectures),
    model_row(
        "attention that is not causal",
        "is_causal of the model's config.json",
        lambda model: getattr(model.hf_text_config, "is_causal", True) is False and "false",
    ),
    model_row(
        "diffusion language models",
        "the model's architecture",
        lambda model: model.is_diffusion and model.architectures,
        "diffusion_config",
    ),
    model_row(
        "multimodal models",
        "the model's architecture",
        lambda model: model.is_multimodal_model and model.architectures,
        "model_config.multimodal_config",
        "ec_manager_config",
    ),
    model_row(
        "rotary embeddings with several positions per token (M-RoPE)",
        "rope_scaling of the model's config.json",
        lambda model: model.uses_mrope and "mrope",
    ),
    model_row(
        "linear attention, Mamba and other layers with a state",
        "the model's architecture",
        lambda model: (model.is_hybrid or model.is_attention_free or model.has_inner_state) and model.architectures,
        "mamba_config",
    ),
    model_row("sparse attention", "the model's architecture", _sparse),
    model_row("attention in chunks", "attention_chunk_size of the model's config.json", text_field("attention_chunk_size")),
    model_row(
        "attention with sinks of some layers only",
        "add_swa_attention_sink_bias of the model's config.json",
        text_field("add_full_attention_sink_bias", "add_swa_attention_sink_bias"),
    ),
    Row(
        "quantised weights",
        "--quantization (or quantization_config of the model's config.json)",
        ("model_config.quantization", "model_config.quantization_config", "quant_config", "model_config.allow_deprecated_quantization"),
        _quantization,
        "serve weights in bfloat16, float16 or float32",
    ),
    option_row(
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
        "LoRA adapters", "--enable-lora", ("lora_config",), lambda config: kind_of(config.lora_config), "merge the adapter into the weights"
    ),
    Row("speculative decoding", "--speculative-config", ("speculative_config",), lambda config: kind_of(config.speculative_config)),
    Row(
        "KV connectors",
        "--kv-transfer-config",
        ("kv_transfer_config",),
        lambda config: value_at(config, "kv_transfer_config.kv_connector") or kind_of(config.kv_transfer_config),
    ),
    Row(
        "connectors of encoders",
        "--ec-transfer-config",
        ("ec_transfer_config",),
        lambda config: value_at(config, "ec_transfer_config.ec_connector") or kind_of(config.ec_transfer_config),
    ),
    Row(
        "events of the KV cache",
        "--kv-events-config",
        ("kv_events_config",),
        lambda config: value_at(config, "kv_events_config.enable_kv_cache_events") or None,
    ),
    Row("watermarks", "--watermark-config", ("watermark_config",), lambda config: kind_of(config.watermark_config)),
    Row("engrams", "--engram-config", ("engram_config",), lambda config: kind_of(config.engram_config)),
    Row(
        "the transfer of weights to a running server",
        "--weight-transfer-config",
        ("weight_transfer_config",),
        lambda config: kind_of(config.weight_transfer_config),
    ),
    option_row("prompts that are embeddings", "--enable-prompt-embeds", "model_config.enable_prompt_embeds", False),
    option_row("replay of a trace of tokens", "--enable-trace-replay", "model_config.enable_trace_replay", False),
    option_row("the sampling mask in answers", "--return-sampling-mask", "model_config.return_sampling_mask", False),
    option_row("sampling noise in float64", "--use-fp64-gumbel", "model_config.use_fp64_gumbel", False),
    option_row(
        "the experts that a token took in answers",
        "--enable-return-routed-experts",
        "aux_output_config.enable_return_routed_experts",
        False,
        also=("aux_output_config.max_bytes",),
    ),
    # Memory.
    option_row(
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
    option_row("the CuMem allocator", "--enable-cumem-allocator", "model_config.enable_cumem_allocator", False),
    Row(
        "a KV cache of another type than the model's",
        "--kv-cache-dtype",
        ("cache_config.cache_dtype", "cache_config.kv_cache_dtype_skip_layers"),
        _cache_dtype,
        "use auto",
    ),
    Row("blocks of this size", "--block-size", ("cache_config.block_size",), _block_size, "the attention of Ascend NPUs takes 128 here"),
    option_row(
        "a KV cache that moves to the host",
        "--kv-offloading-size",
        "cache_config.kv_offloading_size",
        also=("cache_config.kv_offloading_backend", "cache_config.simple_cpu_offload_num_blocks", "cache_config.num_cpu_blocks"),
    ),
    option_row("prefix caching in other units", "--prefix-match-unit", "cache_config.prefix_match_unit"),
    option_row(
        "the fast prefill of layers that share a KV cache", "--kv-sharing-fast-prefill", "cache_config.kv_sharing_fast_prefill", False
    ),
    option_row(
        "weights on the host", "--cpu-offload-gb", "offload_config.uva.cpu_offload_gb", 0, also=("offload_config.uva.cpu_offload_params",)
    ),
    option_row(
        "weights on the host that are fetched ahead",
        "--offload-group-size",
        "offload_config.prefetch.offload_group_size",
        0,
        also=("offload_config.prefetch",),
    ),
    option_row("offloading", "--offload-backend", "offload_config.offload_backend", "auto"),
    # Several devices, processes or streams.
    option_row("tensor parallelism", "--tensor-parallel-size", "parallel_config.tensor_parallel_size", 1, cure="use one device"),
    option_row("pipeline parallelism", "--pipeline-parallel-size", "parallel_config.pipeline_parallel_size", 1, cure="use one device"),
    option_row(
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
    option_row(
        "context parallelism of prefill",
        "--prefill-context-parallel-size",
        "parallel_config.prefill_context_parallel_size",
        1,
        cure="use one device",
    ),
    option_row(
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
    option_row("expert parallelism", "--enable-expert-parallel", "parallel_config.enable_expert_parallel", False),
    option_row("expert parallelism's filter of weights", "--enable-ep-weight-filter", "parallel_config.enable_ep_weight_filter", False),
    option_row("the balance of experts", "--enable-eplb", "parallel_config.enable_eplb", False, also=("parallel_config.eplb_config",)),
    option_row(
        "elastic expert parallelism",
        "--enable-elastic-ep",
        "parallel_config.enable_elastic_ep",
        False,
        also=("parallel_config.elastic_ep_max_dp_size",),
    ),
    option_row("sequence parallelism of hyper-connections", "--enable-hc-sp", "parallel_config.enable_hc_sp", False),
    option_row("sampling in shards", "--enable-batch-sharded-sampling", "parallel_config.enable_batch_sharded_sampling", False),
    option_row(
        "two batches at a time (DBO)",
        "--enable-dbo",
        "parallel_config.enable_dbo",
        False,
        also=("parallel_config.dbo_decode_token_threshold", "parallel_config.dbo_prefill_token_threshold"),
    ),
    option_row("several batches at a time", "--ubatch-size", "parallel_config.ubatch_size", 0, 1),
    option_row("several machines", "--nnodes", "parallel_config.nnodes", 1, also=("parallel_config.node_rank",), cure="use one machine"),
    option_row(
        "this executor",
        "--distributed-executor-backend",
        "parallel_config.distributed_executor_backend",
        "uni",
        "mp",
        also=("parallel_config.ray_workers_use_nsight", "parallel_config.ray_runtime_env", "parallel_config.placement_group"),
        cure="use uni or mp",
    ),
    option_row(
        "recovery of an engine after a fault",
        "--enable-fault-tolerance",
        "parallel_config.enable_fault_tolerance",
        False,
        also=("parallel_config.fault_tolerance_config",),
    ),
    option_row("the arena of tensors in shared memory", "--enable-shm-tensor-arena", "parallel_config.enable_shm_tensor_arena", False),
    option_row("loading by several workers", "--max-parallel-loading-workers", "parallel_config.max_parallel_loading_workers"),
    option_row(
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
    option_row("attention that is not causal", "attention_config.use_non_causal", "attention_config.use_non_causal", False),
    Row(
        "sparse attention with a cache on the host (HiSparse)",
        "attention_config.hisparse_config",
        ("attention_config.hisparse_config",),
        lambda config: kind_of(config.attention_config.hisparse_config),
    ),
    Row("options of other attention backends", "--attention-config", ("attention_config",), _attention_option),
    option_row("this backend of linear layers", "--linear-backend", "kernel_config.linear_backend", "auto"),
    option_row("other backends of linear layers", "--linear-backend-per-quant", "kernel_config.linear_backend_per_quant", {}),
    option_row("models in one kernel", "kernel_config.monokernel", "kernel_config.monokernel", False),
    # Looking on.
    option_row(
        "vLLM's profilers",
        "--profiler-config: profiler",
        "profiler_config.profiler",
        also=("profiler_config",),
        cure="use softnpu run --trace",
    ),
    option_row("NVTX ranges", "--enable-layerwise-nvtx-tracing", "observability_config.enable_layerwise_nvtx_tracing", False),
)
