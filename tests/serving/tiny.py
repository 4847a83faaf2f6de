"""Small random models of real configuration classes. reference.py makes them: a process without torch_npu.

512 tokens, 3 layers of 128, with a tokenizer of bytes. Weights are large enough that logits differ.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

LAYERS = 3
# Shorter than most prompts, and no divisor of a block of the cache.
WINDOW = 50

SIZES: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": LAYERS,
    "initializer_range": 0.08,
    "max_position_embeddings": 512,
    "bos_token_id": 256,
    "eos_token_id": 257,
    "pad_token_id": None,
    "tie_word_embeddings": False,
}


def heads(count: int, kv_heads: int, size: int) -> dict[str, Any]:
    return {"num_attention_heads": count, "num_key_value_heads": kv_heads, "head_dim": size}


_GPT2 = {
    "vocab_size": 512,
    "n_embd": 128,
    "n_layer": LAYERS,
    "n_head": 2,
    "n_positions": 512,
    "initializer_range": 0.08,
    "bos_token_id": 256,
    "eos_token_id": 257,
}

MLA: dict[str, Any] = {
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 128,
    "v_head_dim": 128,
    "first_k_dense_replace": 1,
    "moe_intermediate_size": 64,
    "n_routed_experts": 16,
    "n_group": 4,
    "topk_group": 2,
    "num_experts_per_tok": 4,
    "initializer_range": 0.06,
}

# name -> model type and configuration.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    # Heads of 64 with grouped queries, as Llama-3.2-1B, Qwen2.5-0.5B and SmolLM2 have them.
    "llama": ("llama", {**SIZES, **heads(8, 2, 64)}),
    "llama-96": (
        "llama",
        {
            **SIZES,
            **heads(4, 2, 96),
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 10000.0,
                "factor": 4.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 128,
            },
        },
    ),
    "llama-128": ("llama", {**SIZES, **heads(4, 1, 128), "tie_word_embeddings": True}),
    "llama-256": ("llama", {**SIZES, **heads(2, 2, 256)}),
    "llama-linear": (
        "llama",
        {**SIZES, **heads(2, 2, 64), "rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}},
    ),
    "qwen2": ("qwen2", {**SIZES, "num_attention_heads": 2, "num_key_value_heads": 1}),
    "qwen2-yarn": (
        "qwen2",
        {
            **SIZES,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 10000.0,
                "factor": 4.0,
                "original_max_position_embeddings": 128,
            },
        },
    ),
    "qwen3": ("qwen3", {**SIZES, **heads(4, 2, 128)}),
    # A window in all layers: packed calls, and padded ones.
    "mistral-128": ("mistral", {**SIZES, **heads(4, 2, 128), "sliding_window": WINDOW}),
    "mistral-64": ("mistral", {**SIZES, **heads(4, 2, 64), "sliding_window": WINDOW}),
    # GeGLU, weights of norms above 1, tied embeddings; soft caps and a window in every second layer; norms of heads.
    "gemma": ("gemma", {**SIZES, **heads(2, 1, 256), "hidden_activation": "gelu_pytorch_tanh", "tie_word_embeddings": True}),
    "gemma2": (
        "gemma2",
        {
            **SIZES,
            **heads(2, 1, 128),
            "sliding_window": WINDOW,
            "query_pre_attn_scalar": 128,
            # So low that it changes tokens.
            "attn_logit_softcapping": 1.0,
            "tie_word_embeddings": True,
        },
    ),
    "gemma3": (
        "gemma3_text",
        {
            **SIZES,
            **heads(2, 1, 128),
            "sliding_window": WINDOW,
            "query_pre_attn_scalar": 128,
            "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
            "tie_word_embeddings": True,
        },
    ),
    # Rotary embeddings of a part of the head, neighbours being paired.
    "glm4": ("glm4", {**SIZES, **heads(2, 1, 64)}),
    # Layer norms and rotary embeddings of a part of the head.
    "stablelm": ("stablelm", {**SIZES, "num_attention_heads": 2, "num_key_value_heads": 2, "partial_rotary_factor": 0.25}),
    "phi": ("phi", {**SIZES, "hidden_size": 160, "num_attention_heads": 2, "num_key_value_heads": 2, "partial_rotary_factor": 0.4}),
    "phi3-longrope": (
        "phi3",
        {
            **SIZES,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "original_max_position_embeddings": 256,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 10000.0,
                "short_factor": [1.0 + i / 64 for i in range(32)],
                "long_factor": [1.0 + i / 8 for i in range(32)],
                "original_max_position_embeddings": 256,
            },
        },
    ),
    # Layer norms, learned positions, GELU.
    "gpt2": ("gpt2", _GPT2),
    "gpt-neox": ("gpt_neox", {**SIZES, "num_attention_heads": 2, "rotary_pct": 0.25}),
    "olmo2": ("olmo2", {**SIZES, "num_attention_heads": 2, "num_key_value_heads": 2}),
    "starcoder2": ("starcoder2", {**SIZES, "num_attention_heads": 2, "num_key_value_heads": 1, "sliding_window": None}),
    "granite": ("granite", {**SIZES, "num_attention_heads": 2, "num_key_value_heads": 1, "residual_multiplier": 0.5}),
    "bloom": ("bloom", {"vocab_size": 512, "hidden_size": 128, "n_layer": LAYERS, "n_head": 2, "initializer_range": 0.08}),
    # Mixtures of experts.
    "mixtral": ("mixtral", {**SIZES, **heads(2, 1, 64), "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None}),
    "qwen2-moe": (
        "qwen2_moe",
        {
            **SIZES,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "num_experts": 8,
            "num_experts_per_tok": 3,
            "moe_intermediate_size": 64,
            "shared_expert_intermediate_size": 64,
            "norm_topk_prob": False,
        },
    ),
    "qwen3-moe": (
        "qwen3_moe",
        {
            **SIZES,
            **heads(2, 1, 128),
            "num_experts": 128,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 32,
            "norm_topk_prob": True,
        },
    ),
    # The gate of DeepSeek-V3 without its attention.
    "glm4-moe": (
        "glm4_moe",
        {
            **SIZES,
            **heads(2, 1, 64),
            "n_routed_experts": 16,
            "n_group": 4,
            "topk_group": 2,
            "num_experts_per_tok": 4,
            "n_shared_experts": 1,
            "moe_intermediate_size": 64,
            "routed_scaling_factor": 2.5,
            "norm_topk_prob": True,
            "first_k_dense_replace": 1,
        },
    ),
    "olmoe": ("olmoe", {**SIZES, "num_attention_heads": 2, "num_key_value_heads": 2, "num_experts": 8, "num_experts_per_tok": 2}),
    # Sinks, a bias of experts, their own activation, and a window in every second layer.
    "gpt-oss": (
        "gpt_oss",
        {
            **SIZES,
            **heads(4, 2, 64),
            "intermediate_size": 64,
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
            "sliding_window": WINDOW,
            "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        },
    ),
    # Latent attention.
    "deepseek-v2": (
        "deepseek_v2",
        {
            **SIZES,
            **MLA,
            "q_lora_rank": None,
            "n_shared_experts": 2,
            "routed_scaling_factor": 1.5,
            "topk_method": "group_limited_greedy",
            "norm_topk_prob": False,
        },
    ),
    "deepseek-v3": (
        "deepseek_v3",
        {
            **SIZES,
            **MLA,
            "q_lora_rank": 48,
            "n_shared_experts": 1,
            "routed_scaling_factor": 2.5,
            "norm_topk_prob": True,
            "topk_method": "noaux_tc",
            "scoring_func": "sigmoid",
        },
    ),
}


# Models that cannot have float16, and a part of the sentence that says so: vLLM's, or the plugin's.
NO_FLOAT16 = {
    "gemma2": "'gemma2' does not support float16",
    "gemma3": "'gemma3_text' does not support float16",
    "glm4": "'glm4' does not support float16",
    "glm4-moe": "vllm_cann does not have float16 for experts whose sum has a factor",
}


def make(name: str, directory: Path) -> None:
    """Writes one model and its tokenizer."""
    write(*MODELS[name], directory)


def write(model_type: str, fields: dict[str, Any], directory: Path) -> None:
    """Writes a model of a type and a configuration, and its tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(20)
    config = AutoConfig.for_model(model_type, **fields)
    model = AutoModelForCausalLM.from_config(config)
    # As they are made, norms have no influence and biases are zero.
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.dim() == 1 or key.endswith("bias"):
                parameter.add_(torch.randn_like(parameter) * (0.1 if key.endswith("bias") else 0.3))
        for key, buffer in model.named_buffers():
            if key.endswith("e_score_correction_bias"):
                buffer.add_(torch.randn_like(buffer) * 0.1)
    model.save_pretrained(directory)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    assert fast.vocab_size <= 258
    fast.save_pretrained(directory)
