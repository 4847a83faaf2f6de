"""The converted model has the weights of the GGUF file, and its tokenizer and chat template are those that it was trained with."""

from __future__ import annotations

import filecmp
import json
import os
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
from harness import MODEL, reference
from safetensors import safe_open
from tokenizers import Tokenizer

GGUF = Path(os.environ["GGUF"]).absolute()
CONVERT = Path(__file__).parent / "convert.py"
HEADS = {"attn_q": 9, "attn_k": 3}
IN_TRANSFORMERS = {
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def decoded(tensor: gguf.ReaderTensor) -> np.ndarray:
    """The values of a tensor, float32, from the bytes of its blocks of 32. The shape has the innermost dimension first in GGUF."""
    shape = tuple(int(n) for n in reversed(tensor.shape))
    raw = tensor.data.tobytes()
    if tensor.tensor_type == gguf.GGMLQuantizationType.F32:
        return np.frombuffer(raw, np.float32).reshape(shape)
    if tensor.tensor_type == gguf.GGMLQuantizationType.Q8_0:
        eight = np.frombuffer(raw, np.dtype([("scale", "<f2"), ("values", "i1", 32)]))
        return (eight["scale"].astype(np.float32)[:, None] * eight["values"]).reshape(shape)
    assert tensor.tensor_type == gguf.GGMLQuantizationType.Q4_1
    four = np.frombuffer(raw, np.dtype([("scale", "<f2"), ("least", "<f2"), ("values", "u1", 16)]))
    # The low halves of the 16 bytes are values 0 to 15, the high ones 16 to 31.
    values = np.concatenate([four["values"] & 15, four["values"] >> 4], axis=1)
    scale, least = (four[name].astype(np.float32)[:, None] for name in ("scale", "least"))
    return (scale * values + least).reshape(shape)


def rows_in_transformers(rows: int, heads: int) -> list[int]:
    """For each row of a projection in transformers, the row in GGUF: there a rotated pair is adjacent."""
    size = rows // heads
    return [head * size + 2 * i + half for head in range(heads) for half in (0, 1) for i in range(size // 2)]


def bits_of_bfloat16(values: np.ndarray) -> np.ndarray:
    """Rounded to the nearest bfloat16, ties to even; as 16 bits."""
    bits = values.astype(np.float32).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def test_weights_are_those_of_the_file() -> None:
    tensors = gguf.GGUFReader(GGUF).tensors
    with safe_open(MODEL / "model.safetensors", "pt") as file:
        import torch

        names = set(file.keys())
        for tensor in tensors:
            parts = tensor.name.split(".")
            kind = parts[-2]
            layer = f"layers.{parts[1]}." if parts[0] == "blk" else ""
            name = f"model.{layer}{IN_TRANSFORMERS[kind]}.weight"
            values = decoded(tensor)
            if kind in HEADS:
                values = values[rows_in_transformers(len(values), HEADS[kind])]
            found = file.get_tensor(name)
            assert found.dtype == torch.bfloat16
            assert np.array_equal(found.view(torch.uint16).numpy(), bits_of_bfloat16(values)), name
            names.remove(name)
    assert not names
    assert len(tensors) == 272


def test_the_model_speaks() -> None:
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    prompt = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    [tokens] = reference(dtype="float32", greedy=[tokenizer.encode(prompt).ids], new_tokens=8)["tokens"]
    assert tokenizer.decode(tokens, skip_special_tokens=False) == "The capital of France is Paris.<|im_end|>"


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(CONVERT), str(GGUF), str(tmp_path)], check=True)
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == sorted(file.name for file in MODEL.iterdir())
    same, different, failed = filecmp.cmpfiles(MODEL, tmp_path, names, shallow=False)
    assert (sorted(same), different, failed) == (names, [], [])


def test_configuration() -> None:
    config = json.loads((MODEL / "config.json").read_text())
    expected = {
        "architectures": ["LlamaForCausalLM"],
        "dtype": "bfloat16",
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "head_dim": 64,
        "vocab_size": 49152,
        "max_position_embeddings": 8192,
        "rope_parameters": {"rope_theta": 100000.0, "rope_type": "default"},
        "rms_norm_eps": 1e-05,
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    assert {name: config[name] for name in expected} == expected
    assert json.loads((MODEL / "generation_config.json").read_text())["eos_token_id"] == 2


def test_tokenizer() -> None:
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == 49152
    # A text is cut at digits first; else the space would go with the digit, not with the end of the line.
    assert tokenizer.encode("It's\n 2026").tokens == ["It", "'s", "ĊĠ", "2", "0", "2", "6"]
    # Nothing is put before or after a text.
    assert tokenizer.encode("<|im_start|>user\nHi<|im_end|>").tokens == ["<|im_start|>", "user", "Ċ", "Hi", "<|im_end|>"]
    for text in ("naïve  café\n\t\n x", "中文 и русский 🙂", "a" * 300, " 1 + 1 = 2"):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
    settings = json.loads((MODEL / "tokenizer_config.json").read_text())
    assert settings["eos_token"] == "<|im_end|>"


def test_chat_template() -> None:
    import jinja2

    template = jinja2.Template((MODEL / "chat_template.jinja").read_text())
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}, {"role": "user", "content": "Bye"}]
    turns = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
    own = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    assert template.render(messages=said, add_generation_prompt=True) == own + turns + "<|im_start|>assistant\n"
    system = {"role": "system", "content": "Be brief."}
    assert template.render(messages=[system, *said]) == "<|im_start|>system\nBe brief.<|im_end|>\n" + turns


@pytest.mark.parametrize(
    ("architecture", "sentence"),
    [
        ("qwen2", "general.architecture is 'qwen2', and only 'llama' is read"),
        ("llama", "the file has no field llama.embedding_length"),
    ],
)
def test_another_file_is_refused(architecture: str, sentence: str, tmp_path: Path) -> None:
    source = tmp_path / "other.gguf"
    writer = gguf.GGUFWriter(source, architecture)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    result = subprocess.run([sys.executable, str(CONVERT), str(source), str(tmp_path / "out")], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == f"{source}: {sentence}"
