"""The table of the fields of vLLM's configuration that nothing has to be refused for, and why."""

from __future__ import annotations

_HOST = "work of the host"
_DERIVED = "vLLM derives it"
_OFF = "graphs and torch.compile are switched off, as the log says"
_TESTED = "served by the tests"

# Fields that need no row, and why. One without a dot stands for all that is below it.
ACCEPTED: dict[str, str] = {
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
    **{f"model_config.{name}": _TESTED for name in ("runner", "convert", "pooler_config", "io_processor_plugin", "multimodal_config")},
    "ec_manager_config": _HOST,
    "model_config.dtype": "bfloat16, float16 and float32; the platform refuses others",
    "model_config.enforce_eager": _OFF,
    "model_config.model_impl": "models that HF transformers implements run on vLLM's layers, too; the tests serve one",
    "model_config.max_logprobs": _HOST,
    "model_config.logprobs_mode": "plain torch operators of vLLM's sampler",
    **{f"lora_config.{name}": _TESTED for name in ("max_loras", "max_cpu_loras")},
    "lora_config.specialize_active_lora": _OFF,
    "lora_config.default_mm_loras": "vLLM takes it for multimodal models only",
    **{f"model_config.{name}": _TESTED for name in ("enable_sleep_mode", "sleep_preserve_parameter_names")},
    "model_config.sleep_mode_offload_cudagraph": _OFF,
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
            "sliding_window",
        ]
    },
    **{
        f"cache_config.{name}": "acts only for models with a state, which are refused"
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
        f"parallel_config.{name}": "how several devices find each other and what they are given"
        for name in [
            "is_moe_model",
            "disable_custom_all_reduce",
            "data_parallel_size_local",
            "data_parallel_rank",
            "data_parallel_rank_local",
            "data_parallel_master_ip",
            "data_parallel_rpc_port",
            "dp_sync_interval",
            "data_parallel_master_port",
            "disable_nccl_for_dp_synchronization",
            "_data_parallel_master_port_list",
            "data_parallel_index",
            "master_addr",
            "master_port",
            "distributed_timeout_seconds",
            "cpu_distributed_timeout_seconds",
            "_coord_store_port",
        ]
    },
    **{
        f"parallel_config.{name}": _TESTED
        for name in (
            "tensor_parallel_size",
            "pipeline_parallel_size",
            "data_parallel_size",
            "enable_expert_parallel",
            "expert_placement_strategy",
        )
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
        f"scheduler_config.{name}": _TESTED
        for name in ("runner_type", "is_multimodal_model", "max_num_encoder_input_tokens", "encoder_cache_size", "disable_chunked_mm_input")
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
    "structured_outputs_config.backend": "the tests serve xgrammar; the mask of every backend comes from the host",
    "structured_outputs_config.disable_any_whitespace": _TESTED,
    **{
        f"structured_outputs_config.{name}": _HOST
        for name in ("disable_additional_properties", "reasoning_parser", "reasoning_parser_plugin", "enable_in_reasoning")
    },
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
