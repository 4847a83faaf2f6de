"""Small random models of further classes of text, of which not every type is served. tiny.py makes them.

A class is here because its layers, names of weights or attributes of the configuration are others than those of tiny.MODELS.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny import LAYERS, MLA, SIZES, WINDOW, heads, write

_DENSE: dict[str, Any] = {**SIZES, **heads(2, 1, 64)}
_EQUAL_HEADS: dict[str, Any] = {**SIZES, "num_attention_heads": 2, "num_key_value_heads": 2}
_WINDOWS: dict[str, Any] = {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "sliding_attention", "full_attention"]}
_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 128,
}
_TIED = {"tie_word_embeddings": True, "pad_token_id": 0}
_ROUTED = {"n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
_LOCAL = {"num_local_experts": 8, "num_experts_per_tok": 2}
_TOKENS = {"bos_token_id": 256, "eos_token_id": 257}
_FALCON: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 128,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "initializer_range": 0.08,
    **_TOKENS,
}
_OPT: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 128,
    "ffn_dim": 256,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "max_position_embeddings": 512,
    "init_std": 0.08,
    "pad_token_id": 1,
    **_TOKENS,
}
_GPT2: dict[str, Any] = {
    "vocab_size": 512,
    "n_embd": 128,
    "n_layer": LAYERS,
    "n_head": 2,
    "n_positions": 512,
    "initializer_range": 0.08,
    **_TOKENS,
}

# name -> model type and configuration.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    # Norms of heads, the activation xIELU, two matrices in a layer's MLP.
    "apertus": ("apertus", _DENSE),
    "arcee": ("arcee", _DENSE),
    # Norms inside of attention and of the MLP, weights of -1, 0 and 1.
    "bitnet": ("bitnet", _DENSE),
    # Attention and MLP side by side, neighbours paired by rotary embeddings, logits with a factor. HF transformers counts a window of
    # cohere2 without the token itself, vLLM with it: it is wider than all prompts here, and tells layers without positions from others.
    "cohere": ("cohere", {**_DENSE, **_TIED}),
    "cohere2": ("cohere2", {**_DENSE, **_TIED, **_WINDOWS, "sliding_window": 600}),
    "cwm": ("cwm", {**_DENSE, **_WINDOWS, "rope_parameters": _LLAMA3}),
    "dots1": ("dots1", {**_DENSE, **_ROUTED, "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1, "n_shared_experts": 1}),
    "ernie4_5": ("ernie4_5", _DENSE),
    "ernie4_5-moe": (
        "ernie4_5_moe",
        {
            **_DENSE,
            "moe_num_experts": 8,
            "moe_k": 2,
            "moe_num_shared_experts": 1,
            "moe_intermediate_size": 64,
            "moe_layer_start_index": 1,
            "moe_layer_end_index": 2,
        },
    ),
    "exaone4": ("exaone4", {**_DENSE, **_WINDOWS, "sliding_window_pattern": 4}),
    "exaone-moe": (
        "exaone_moe",
        {
            **_DENSE,
            **_WINDOWS,
            "num_experts": 8,
            "num_experts_per_tok": 2,
            "num_shared_experts": 1,
            "moe_intermediate_size": 64,
            "n_group": 1,
            "topk_group": 1,
            "first_k_dense_replace": 1,
            "mlp_layer_types": ["dense", "sparse", "sparse"],
            "is_moe_layer": [False, True, True],
        },
    ),
    "falcon": ("falcon", {**_FALCON, "num_kv_heads": 1, "new_decoder_architecture": True}),
    "falcon-7b": ("falcon", {**_FALCON, "multi_query": True, "parallel_attn": True, "new_decoder_architecture": False}),
    "flex-olmo": ("flex_olmo", {**_EQUAL_HEADS, "num_experts": 8, "num_experts_per_tok": 2}),
    # Heads of two sizes, each with a cache of its own, and an embedding of each layer.
    "gemma4": (
        "gemma4_text",
        {
            **_DENSE,
            **_WINDOWS,
            "vocab_size_per_layer_input": 512,
            "hidden_size_per_layer_input": 32,
            "num_kv_shared_layers": 0,
            "global_head_dim": 128,
        },
    ),
    # The last layers have the keys and values of others; experts, and values that are the keys.
    "gemma4-shared": (
        "gemma4_text",
        {
            **_DENSE,
            "num_hidden_layers": 6,
            "num_kv_shared_layers": 2,
            "layer_types": ["sliding_attention", "full_attention"] * 3,
            "sliding_window": WINDOW,
            "vocab_size_per_layer_input": 512,
            "hidden_size_per_layer_input": 32,
            "global_head_dim": 128,
            "use_double_wide_mlp": True,
        },
    ),
    "gemma4-moe": (
        "gemma4_text",
        {
            **_DENSE,
            **_WINDOWS,
            "vocab_size_per_layer_input": 512,
            "hidden_size_per_layer_input": 0,
            "num_kv_shared_layers": 0,
            "global_head_dim": 128,
            "num_global_key_value_heads": 1,
            "attention_k_eq_v": True,
            "enable_moe_block": True,
            "num_experts": 8,
            "top_k_experts": 2,
            "moe_intermediate_size": 64,
        },
    ),
    "glm": ("glm", _DENSE),
    "glm4-moe-lite": (
        "glm4_moe_lite",
        {
            **SIZES,
            **MLA,
            "q_lora_rank": 48,
            "n_shared_experts": 1,
            "n_group": 1,
            "topk_group": 1,
            "mlp_layer_types": ["dense", "sparse", "sparse"],
        },
    ),
    "gpt-bigcode": ("gpt_bigcode", {**_GPT2, "multi_query": True}),
    "gptj": ("gptj", {**_GPT2, "rotary_dim": 32}),
    "granitemoe": ("granitemoe", {**_DENSE, **_LOCAL}),
    "granitemoeshared": ("granitemoeshared", {**_DENSE, **_LOCAL, "shared_intermediate_size": 64}),
    "helium": ("helium", _DENSE),
    "hunyuan": ("hunyuan_v1_dense", _DENSE),
    "hunyuan-moe": ("hunyuan_v1_moe", {**_DENSE, "num_experts": 8, "moe_topk": 2, "num_shared_experts": 1}),
    "jais2": ("jais2", _EQUAL_HEADS),
    "mellum": ("mellum", {**_DENSE, **_ROUTED, "num_experts": 8}),
    "minicpm3": (
        "minicpm3",
        {
            **SIZES,
            **heads(2, 2, 96),
            "q_lora_rank": 48,
            "kv_lora_rank": 64,
            "qk_nope_head_dim": 32,
            "qk_rope_head_dim": 32,
        },
    ),
    # Norms over all heads, rotary embeddings of a part of the head, a bias of experts.
    "minimax-m2": (
        "minimax_m2",
        {
            **_DENSE,
            **_LOCAL,
            "rotary_dim": 32,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
            "scoring_func": "sigmoid",
            "use_routing_bias": True,
        },
    ),
    "ministral": ("ministral", {**_DENSE, **_WINDOWS}),
    "ministral3": ("ministral3", _DENSE),
    "nemotron": ("nemotron", {**_DENSE, "hidden_act": "relu2"}),
    "olmo": ("olmo", _EQUAL_HEADS),
    "olmo3": ("olmo3", {**_EQUAL_HEADS, **_WINDOWS}),
    "opt": ("opt", {**_OPT, "word_embed_proj_dim": 128}),
    "opt-350m": ("opt", {**_OPT, "word_embed_proj_dim": 64, "do_layer_norm_before": False}),
    "persimmon": ("persimmon", {**SIZES, "num_attention_heads": 2}),
    "phi3-window": ("phi3", {**SIZES, "num_attention_heads": 2, "num_key_value_heads": 1, "sliding_window": WINDOW}),
    "seed-oss": ("seed_oss", _DENSE),
    # Every third layer has no positions.
    "smollm3": ("smollm3", {**SIZES, "num_attention_heads": 2, "num_key_value_heads": 1, "no_rope_layers": [1, 1, 0]}),
    "solar-open": ("solar_open", {**_DENSE, **_ROUTED, "n_group": 1, "topk_group": 1, "n_shared_experts": 1}),
    "starcoder2-window": ("starcoder2", {**SIZES, "num_attention_heads": 2, "num_key_value_heads": 1, "sliding_window": WINDOW}),
    "vaultgemma": ("vaultgemma", {**_DENSE, **_WINDOWS, "query_pre_attn_scalar": 64, "attn_logit_softcapping": 1.0}),
    # Refused: layers with a state, attention in chunks, sparse attention, and classes that vLLM does not have.
    "mamba2": (
        "mamba2",
        {
            "vocab_size": 512,
            "hidden_size": 128,
            "num_hidden_layers": LAYERS,
            "state_size": 16,
            "num_heads": 8,
            "head_dim": 32,
            "n_groups": 1,
        },
    ),
    "llama4": (
        "llama4_text",
        {
            **_DENSE,
            **_LOCAL,
            "num_experts_per_tok": 1,
            "intermediate_size_mlp": 128,
            "interleave_moe_layer_step": 1,
            "attention_chunk_size": 64,
            "no_rope_layers": [1, 1, 0],
            "layer_types": ["chunked_attention", "chunked_attention", "full_attention"],
        },
    ),
    "deepseek-v3.2": (
        "deepseek_v32",
        {**SIZES, **MLA, "q_lora_rank": 48, "index_topk": 64, "index_n_heads": 2, "index_head_dim": 64},
    ),
}


def make(name: str, directory: Path) -> None:
    """Writes one model and its tokenizer."""
    write(*MODELS[name], directory)
