"""Makes a small random model with HF transformers:  tiny.py ARCHITECTURE DIRECTORY. A process without torch_npu.

512 tokens, 3 layers of 128, with a tokenizer of bytes. Weights are large enough that logits differ.
"""

from __future__ import annotations

import os
import sys

# transformers imports torch_npu where it is installed, and torch does, too; `softnpu run` asks it to.
os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
sys.modules["torch_npu"] = None  # type: ignore[assignment]

import torch  # noqa: E402
from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast  # noqa: E402

_SIZES = {
    "vocab_size": 512,
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 3,
    "initializer_range": 0.08,
    "max_position_embeddings": 512,
    "bos_token_id": 256,
    "eos_token_id": 257,
    "tie_word_embeddings": False,
}
ARCHITECTURES = {
    # Heads of 64 with grouped queries, as Llama-3.2-1B, Qwen2.5-0.5B and SmolLM2 have them.
    "llama": {**_SIZES, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64},
    "qwen2": {**_SIZES, "num_attention_heads": 2, "num_key_value_heads": 1},
    # Layer norms and rotary embeddings of a part of the head.
    "stablelm": {**_SIZES, "num_attention_heads": 2, "num_key_value_heads": 2, "partial_rotary_factor": 0.25},
    # Layer norms, learned positions, GELU.
    "gpt2": {
        "vocab_size": 512,
        "n_embd": 128,
        "n_layer": 3,
        "n_head": 2,
        "n_positions": 512,
        "initializer_range": 0.08,
        "bos_token_id": 256,
        "eos_token_id": 257,
    },
}


def main() -> None:
    """Runs the command line."""
    architecture, directory = sys.argv[1:]
    torch.manual_seed(20)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(architecture, **ARCHITECTURES[architecture]))
    # As they are made, norms have no influence and biases are zero.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * (0.1 if name.endswith("bias") else 0.3))
    model.save_pretrained(directory)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")
    assert fast.vocab_size <= 258
    fast.save_pretrained(directory)


if __name__ == "__main__":
    main()
