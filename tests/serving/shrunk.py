"""Decoders of vLLM's registry that tiny.py has no configuration of: the defaults of HF transformers' configuration classes, made small.

reference.py makes them: a process without torch_npu. registry_test.py serves them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tiny

# What the classes call the sizes of a model; a class gets those that it has.
_SIZES: dict[str, Any] = {
    **{name: 512 for name in ("vocab_size", "max_position_embeddings", "n_positions", "n_ctx", "max_seq_len")},
    **{name: 128 for name in ("hidden_size", "n_embd", "d_model", "word_embed_proj_dim")},
    **{name: 192 for name in ("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", "dense_intermediate_size")},
    **{name: tiny.LAYERS for name in ("num_hidden_layers", "n_layer", "n_layers")},
    **{name: 2 for name in ("num_attention_heads", "n_head", "n_heads")},
    **{name: 1 for name in ("num_key_value_heads", "kv_n_heads", "first_k_dense_replace", "num_dense_layers", "num_shared_experts")},
    **{name: 64 for name in ("head_dim", "v_head_dim", "moe_intermediate_size", "shared_expert_intermediate_size", "shared_intermediate_size")},
    **{name: 64 for name in ("expert_ffn_hidden_size", "swa_head_dim", "moe_dim")},
    **{name: 8 for name in ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")},
    **{name: 2 for name in ("num_experts_per_tok", "moe_k", "moe_topk", "n_shared_experts")},
    **{name: 1 for name in ("n_group", "topk_group", "num_expert_group")},
    "initializer_range": 0.08,
    "init_std": 0.08,
    "sliding_window": tiny.WINDOW,
    "bos_token_id": 256,
    "eos_token_id": 257,
    "pad_token_id": None,
    "tie_word_embeddings": False,
}

# Latent attention has as many KV heads as heads.
_LATENT: dict[str, Any] = {"num_key_value_heads": 2}

# Model type -> fields that are not as above.
MODELS: dict[str, dict[str, Any]] = {
    name: _LATENT if name in ("axk1", "glm4_moe_lite", "longcat_flash", "minicpm3", "deepseek_v32", "glm_moe_dsa", "kimi_linear") else {}
    for name in (
        "afmoe apertus axk1 cohere cohere2 cohere2_moe dbrx ernie4_5 ernie4_5_moe exaone4 exaone_moe falcon gemma3n_text gemma4_text "
        "glm4_moe_lite gptj granitemoe granitemoeshared granitemoe_swa granite_swa hy_v3 hyperclovax laguna llama4_text longcat_flash "
        "minicpm3 minimax_m2 ministral3 mimo_v2_flash nemotron opt phi3 arcee cwm flex_olmo glm gpt_bigcode hunyuan_v1_dense hunyuan_v1_moe "
        "jais2 mellum olmo olmo3 seed_oss smollm3 vaultgemma "
        "hrm_text deepseek_v32 deepseek_v4 glm_moe_dsa hy_v4 falcon_mamba falcon_h1 qwen3_next qwen4_exp_text granitemoehybrid jamba "
        "kimi_linear lfm2 lfm2_moe mamba mamba2 inkling_text nemotron_h olmo_hybrid qwen3_5_text qwen3_5_moe_text zamba2"
    ).split()
}


def make(name: str, directory: Path) -> None:
    """Writes one model and its tokenizer."""
    from transformers import AutoConfig

    defaults = AutoConfig.for_model(name)
    known = defaults.to_dict()
    fields = {field: value for field, value in _SIZES.items() if field in known}
    # The window of all layers, where a class has none by itself, would make another model of it.
    if known.get("sliding_window") is None:
        fields.pop("sliding_window", None)
    if layers := known.get("layer_types"):
        kinds = list(dict.fromkeys(layers))
        fields["layer_types"] = [kinds[i % len(kinds)] for i in range(tiny.LAYERS)]
    tiny.write(name, {**fields, **MODELS[name]}, directory)
