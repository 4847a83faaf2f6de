"""Turns a Llama in a GGUF file into a directory that vLLM and HF transformers load: bfloat16 weights, tokenizer, chat template.

    convert.py MODEL.gguf DIRECTORY

The `gguf` package reads the file and dequantises the weights to float32; each is rounded to bfloat16 once. transformers reads GGUF as well,
but newer versions keep the weights packed and cannot write them, and all ignore the `smollm` pre-tokenizer, which cuts a text at each digit
before anything else. Equal input gives equal bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

# transformers imports torch_npu where it is installed, which fails without CANN.
sys.modules["torch_npu"] = None  # type: ignore[assignment]

import gguf  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers  # noqa: E402
from tokenizers.models import BPE  # noqa: E402
from transformers import GenerationConfig, LlamaConfig, PreTrainedTokenizerFast  # noqa: E402

# Names of a Llama's weights in GGUF, and in transformers.
MODEL_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


class ConversionError(ValueError):
    """The file is not a Llama of the kind that this program reads."""


class Fields:
    """The metadata of a GGUF file."""

    def __init__(self, reader: gguf.GGUFReader) -> None:
        self._fields = reader.fields

    def __getitem__(self, name: str) -> Any:
        if name not in self._fields:
            raise ConversionError(f"the file has no field {name}")
        return self._fields[name].contents()

    def expect(self, name: str, value: object) -> None:
        """Refuses a file in which a field has another value."""
        if self[name] != value:
            raise ConversionError(f"{name} is {self[name]!r}, and only {value!r} is read")


def configuration(fields: Fields, tied: bool) -> LlamaConfig:
    """The model's configuration."""
    fields.expect("general.architecture", "llama")
    hidden, heads = fields["llama.embedding_length"], fields["llama.attention.head_count"]
    fields.expect("llama.rope.dimension_count", hidden // heads)
    return LlamaConfig(
        architectures=["LlamaForCausalLM"],
        dtype="bfloat16",
        hidden_size=hidden,
        intermediate_size=fields["llama.feed_forward_length"],
        num_hidden_layers=fields["llama.block_count"],
        num_attention_heads=heads,
        num_key_value_heads=fields["llama.attention.head_count_kv"],
        head_dim=hidden // heads,
        vocab_size=fields["llama.vocab_size"],
        max_position_embeddings=fields["llama.context_length"],
        rope_parameters={"rope_type": "default", "rope_theta": fields["llama.rope.freq_base"]},
        # The file has float32: 1e-05, not 9.999999747378752e-06.
        rms_norm_eps=float(str(np.float32(fields["llama.attention.layer_norm_rms_epsilon"]))),
        tie_word_embeddings=tied,
        bos_token_id=fields["tokenizer.ggml.bos_token_id"],
        eos_token_id=fields["tokenizer.ggml.eos_token_id"],
        pad_token_id=fields["tokenizer.ggml.padding_token_id"],
    )


def name_in_transformers(name: str) -> str:
    """The name of a weight in transformers: `blk.3.attn_q.weight` is `model.layers.3.self_attn.q_proj.weight`."""
    parts = name.split(".")
    if parts[-1] == "weight":
        if len(parts) == 2 and parts[0] in MODEL_NAMES:
            return f"{MODEL_NAMES[parts[0]]}.weight"
        if len(parts) == 4 and parts[0] == "blk" and parts[2] in LAYER_NAMES:
            return f"model.layers.{parts[1]}.{LAYER_NAMES[parts[2]]}.weight"
    raise ConversionError(f"a Llama has no weight {name}")


def halves_from_pairs(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a projection of queries or keys, [heads * head size, hidden], in the order of transformers.

    GGUF rotates rows 2i and 2i + 1 of a head together, transformers rows i and i + head size / 2.
    """
    rows, hidden = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, hidden).swapaxes(1, 2).reshape(rows, hidden)


def weights(reader: gguf.GGUFReader, config: LlamaConfig) -> dict[str, torch.Tensor]:
    """All weights by their names in transformers, in bfloat16."""
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    out = {}
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        kind = tensor.name.split(".")[-2]
        if kind in heads:
            values = halves_from_pairs(values, heads[kind])
        out[name_in_transformers(tensor.name)] = torch.tensor(values).to(torch.bfloat16)
    return out


def tokenizer(fields: Fields) -> PreTrainedTokenizerFast:
    """The byte-level BPE tokenizer, with the chat template."""
    fields.expect("tokenizer.ggml.model", "gpt2")
    fields.expect("tokenizer.ggml.pre", "smollm")
    fields.expect("tokenizer.ggml.add_bos_token", False)
    fields.expect("tokenizer.ggml.add_space_prefix", False)
    tokens = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    backend = Tokenizer(BPE({token: i for i, token in enumerate(tokens)}, merges))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    kinds = fields["tokenizer.ggml.token_type"]
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == gguf.TokenType.CONTROL]
    backend.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in control])

    def named(name: str) -> str:
        return tokens[fields[f"tokenizer.ggml.{name}_token_id"]]

    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token=named("bos"),
        eos_token=named("eos"),
        unk_token=named("unknown"),
        pad_token=named("padding"),
        model_max_length=fields["llama.context_length"],
        clean_up_tokenization_spaces=False,
        chat_template=fields["tokenizer.chat_template"],
    )


def convert(source: Path, target: Path) -> None:
    """Writes config.json, generation_config.json, model.safetensors and the tokenizer's files into `target`."""
    reader = gguf.GGUFReader(source)
    fields = Fields(reader)
    target.mkdir(parents=True, exist_ok=True)
    config = configuration(fields, tied=all(tensor.name != "output.weight" for tensor in reader.tensors))
    config.save_pretrained(target)
    GenerationConfig.from_model_config(config).save_pretrained(target)
    tokenizer(fields).save_pretrained(target)
    save_file(weights(reader, config), target / "model.safetensors", metadata={"format": "pt"})


def main() -> int:
    """Runs the command line."""
    source, target = map(Path, sys.argv[1:])
    try:
        convert(source, target)
    except ConversionError as error:
        print(f"{source}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
