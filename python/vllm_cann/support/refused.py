"""The table of what the plugin refuses when a server starts: what no test has seen work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vllm_cann.support.row import Row, kind_of, model_row, option_row, text_field, value_at

if TYPE_CHECKING:
    from vllm.config import VllmConfig


def _quantization(config: VllmConfig) -> Any:
    """Kinds that the plugin has say themselves what of a checkpoint is not served."""
    model, chosen = config.model_config, config.quant_config
    if model is None or (model.quantization is None and chosen is None):
        return None
    name = model.quantization or type(chosen).__name__
    if not hasattr(chosen, "why_not"):
        return name
    reason = chosen.why_not()
    return f"{name}, {reason}" if reason else None


def _cache_dtype(config: VllmConfig) -> Any:
    from vllm_cann.attention.backend import INT8_CACHE

    kind = config.cache_config.cache_dtype
    model = config.model_config
    if kind == INT8_CACHE:
        return f"{kind} of latent attention" if model is not None and model.use_mla else None
    own = None if model is None else str(model.dtype).removeprefix("torch.")
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
    return cache.block_size if cache.user_specified_block_size and cache.block_size % BLOCK_SIZE else None


def _image_attention(config: VllmConfig) -> Any:
    """vLLM's name for the attention that a platform has by itself stands for ours."""
    backend = value_at(config, "model_config.multimodal_config.mm_encoder_attn_backend")
    return None if backend is None or backend.name == "TORCH_SDPA" else backend.name


# Decoders that were trained to read a whole prompt, its text too, without a causal mask. vLLM gives them pictures alone in this way.
_WHOLE_PROMPTS = frozenset({"PaliGemmaForConditionalGeneration"})


def _sparse(model: Any) -> Any:
    """Latent attention that chooses keys by an index (DeepSeek-V3.2), or compresses them (DeepSeek-V4)."""
    return any(getattr(model.hf_text_config, name, None) for name in ("index_topk", "compress_ratios")) and model.architectures


# In float16, vLLM's experts divide the sum of shared experts by the factor of the routed ones instead of multiplying that of the routed
# ones. The decoders of these models divide what they add it to.
_UNDO_THE_FACTOR = frozenset({"AXK1ForCausalLM", "DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM", "PanguUltraMoEForCausalLM"})


def _lost_factor(model: Any) -> Any:
    """Mixtures of experts that vLLM computes wrongly in float16."""
    config = model.hf_text_config
    factor = getattr(config, "routed_scaling_factor", None) or 1.0
    lost = factor != 1.0 and getattr(config, "n_shared_experts", None) and not _UNDO_THE_FACTOR.issuperset(model.architectures)
    return str(model.dtype) == "torch.float16" and lost and "float16"


# Those of lora_expand; a process that checks a configuration does not import operators.
RANKS = (8, 16, 32, 64, 128)


def _lora_on_experts(config: VllmConfig) -> Any:
    """The modules that adapters may have, when experts are among them."""
    lora, model = config.lora_config, config.model_config
    if lora is None or model is None or not model.is_moe:
        return None
    if lora.target_modules is None:
        return "all"
    return [name for name in lora.target_modules if "experts" in name.split(".")] or None


def _lora_dtype(config: VllmConfig) -> Any:
    lora, model = config.lora_config, config.model_config
    if lora is None or model is None or lora.lora_dtype in (None, "auto"):
        return None
    wanted, own = (str(dtype).removeprefix("torch.") for dtype in (lora.lora_dtype, model.dtype))
    return None if wanted == own else wanted


def _balance_by(config: VllmConfig) -> Any:
    parallel = config.parallel_config
    by = parallel.eplb_config.communicator
    return by if parallel.enable_eplb and by not in (None, "torch_gloo", "torch_nccl") else None


REFUSED: tuple[Row, ...] = (
    # The model.
    model_row("encoder-decoder models", "the model's architecture", lambda model: model.is_encoder_decoder and model.architectures),
    model_row(
        "attention that is not causal",
        "is_causal of the model's config.json",
        lambda model: model.runner_type != "pooling" and getattr(model.hf_text_config, "is_causal", True) is False and "false",
    ),
    model_row(
        "diffusion language models",
        "the model's architecture",
        lambda model: model.is_diffusion and model.architectures,
        "diffusion_config",
    ),
    model_row(
        "a prompt whose text is read as a whole, which vLLM reads from left to right",
        "the model's architecture",
        lambda model: not _WHOLE_PROMPTS.isdisjoint(model.architectures) and model.architectures,
    ),
    Row(
        "this attention backend for images",
        "--mm-encoder-attn-backend",
        ("model_config.multimodal_config.mm_encoder_attn_backend",),
        _image_attention,
    ),
    option_row(
        "attention of images in fp8",
        "--mm-encoder-attn-dtype",
        "model_config.multimodal_config.mm_encoder_attn_dtype",
    ),
    option_row("an engine that only encodes images", "--mm-encoder-only", "model_config.multimodal_config.mm_encoder_only", False),
    option_row("embeddings in place of images", "--enable-mm-embeds", "model_config.multimodal_config.enable_mm_embeds", False),
    option_row("videos whose frames are thinned out", "--video-pruning-rate", "model_config.multimodal_config.video_pruning_rate", 0),
    model_row(
        "linear attention, Mamba and other layers with a state",
        "the model's architecture",
        lambda model: (model.is_hybrid or model.is_attention_free or model.has_inner_state) and model.architectures,
        "mamba_config",
    ),
    model_row(
        "float16 for experts whose sum has a factor, which vLLM loses there",
        "--dtype",
        _lost_factor,
        cure="use bfloat16",
    ),
    model_row("sparse attention", "the model's architecture", _sparse),
    model_row("attention in chunks", "attention_chunk_size of the model's config.json", text_field("attention_chunk_size")),
    model_row(
        "attention with sinks of some layers only",
        "add_swa_attention_sink_bias of the model's config.json",
        text_field("add_full_attention_sink_bias", "add_swa_attention_sink_bias"),
    ),
    Row(
        "quantised weights of this kind",
        "--quantization (or quantization_config of the model's config.json)",
        ("model_config.quantization", "model_config.quantization_config", "quant_config", "model_config.allow_deprecated_quantization"),
        _quantization,
        "serve weights in bfloat16, float16 or float32, or in int8 with int8 activations (W8A8) of compressed-tensors or ModelSlim",
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
        "LoRA adapters of experts",
        "--lora-target-modules",
        ("lora_config.target_modules",),
        _lora_on_experts,
        "name modules that are no experts, as q_proj k_proj v_proj o_proj",
    ),
    Row(
        "LoRA adapters of latent attention",
        "--enable-lora",
        (),
        lambda config: (config.lora_config and config.model_config and config.model_config.use_mla) or None,
        "merge the adapter into the weights",
    ),
    Row(
        "LoRA adapters of this rank",
        "--max-lora-rank",
        ("lora_config.max_lora_rank",),
        lambda config: config.lora_config and next(iter({config.lora_config.max_lora_rank}.difference(RANKS)), None),
        f"use one of {', '.join(map(str, RANKS))}; an adapter's own rank may be less",
    ),
    Row(
        "LoRA adapters in another dtype than the model",
        "--lora-dtype",
        ("lora_config.lora_dtype",),
        _lora_dtype,
        "use auto",
    ),
    option_row("LoRA adapters of encoders", "--enable-tower-connector-lora", "lora_config.enable_tower_connector_lora", False),
    option_row("LoRA adapters in shards", "--fully-sharded-loras", "lora_config.fully_sharded_loras", False),
    option_row("LoRA adapters that experts share", "--enable-moe-shared-loras", "lora_config.enable_moe_shared_loras", False),
    option_row(
        "LoRA adapters of experts in several formats", "--enable-mixed-moe-lora-format", "lora_config.enable_mixed_moe_lora_format", False
    ),
    option_row("LoRA adapters of classes", "--max-lora-cls-labels", "lora_config.max_lora_cls_labels"),
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
        "this backend of sleep mode",
        "--sleep-mode-backend",
        "model_config.sleep_mode_backend",
        "cumem",  # vLLM's default, for which the plugin's own is taken
        "cann",
    ),
    option_row("sleeping connections between devices", "--enable-nccl-comm-suspend", "model_config.enable_nccl_comm_suspend", False),
    option_row("the CuMem allocator", "--enable-cumem-allocator", "model_config.enable_cumem_allocator", False),
    Row(
        "a KV cache of another type than the model's or int8_per_token_head",
        "--kv-cache-dtype",
        ("cache_config.cache_dtype", "cache_config.kv_cache_dtype_skip_layers"),
        _cache_dtype,
        "use auto, or int8_per_token_head for attention that is not latent",
    ),
    Row(
        "blocks of this size",
        "--block-size",
        ("cache_config.block_size",),
        _block_size,
        "use a multiple of 128, which is what the attention of Ascend NPUs takes",
    ),
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
    option_row(
        "replicas of a model that Ray starts",
        "--data-parallel-backend",
        "parallel_config.data_parallel_backend",
        "mp",
        cure="use mp",
    ),
    option_row(
        "replicas of a model behind a balancer of your own",
        "--data-parallel-external-lb",
        "parallel_config.data_parallel_external_lb",
        False,
    ),
    option_row(
        "replicas of a model behind a balancer of your own for each machine",
        "--data-parallel-hybrid-lb",
        "parallel_config.data_parallel_hybrid_lb",
        False,
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
    option_row("expert parallelism's filter of weights", "--enable-ep-weight-filter", "parallel_config.enable_ep_weight_filter", False),
    Row(
        "the balance of quantised experts",
        "--enable-eplb",
        ("parallel_config.enable_eplb",),
        lambda config: (config.parallel_config.enable_eplb and config.quant_config and config.quant_config.get_name()) or None,
    ),
    Row(
        "this communicator for the weights of balanced experts",
        "--eplb-config",
        ("parallel_config.eplb_config",),
        _balance_by,
        "use torch_gloo, or torch_nccl with use_async false",
    ),
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
    option_row(
        "this all-to-all backend, by which tokens reach experts on other devices",
        "--all2all-backend",
        "parallel_config.all2all_backend",
        "allgather_reducescatter",
        cure="use allgather_reducescatter, or additional_config['experts_by']",
    ),
    option_row("several machines", "--nnodes", "parallel_config.nnodes", 1, also=("parallel_config.node_rank",), cure="use one machine"),
    option_row(
        "this executor",
        "--distributed-executor-backend",
        "parallel_config.distributed_executor_backend",
        "uni",
        "mp",
        "ray",
        also=("parallel_config.ray_workers_use_nsight", "parallel_config.ray_runtime_env", "parallel_config.placement_group"),
        cure="use uni, mp or ray",
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
