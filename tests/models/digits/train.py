"""Trains the test model `digits` and writes it beside this script: a Qwen2.5-VL that reads a drawn digit and its colour.

Deterministic for a given torch; half an hour on two busy cores:

    TORCH_DEVICE_BACKEND_AUTOLOAD=0 python tests/models/digits/train.py [--steps N]
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from pathlib import Path
from typing import Any

import torch

# transformers imports torch_npu where it is installed, which fails without CANN.
sys.modules["torch_npu"] = None  # type: ignore[assignment]

import transformers  # noqa: E402
from drawing import QUESTIONS, SPECIAL, VOCABULARY, draw  # noqa: E402
from tokenizers import AddedToken, Tokenizer  # noqa: E402
from tokenizers.models import WordLevel  # noqa: E402
from tokenizers.pre_tokenizers import WhitespaceSplit  # noqa: E402

HERE = Path(__file__).parent
SEED = 20261129
BATCH = 32
IGNORE = -100
MERGED = 4  # tokens of a picture
IDS = {word: i for i, word in enumerate(VOCABULARY)}
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }} "
    "{% if message.content is string %}{{ message.content }} {% else %}{% for part in message.content %}"
    "{% if part.type == 'text' %}{{ part.text }} {% else %}<|vision_start|><|image_pad|><|vision_end|>{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant {% endif %}"
)
_PIXELS = {"min_pixels": 56 * 56, "max_pixels": 28 * 28 * 64, "patch_size": 14, "temporal_patch_size": 2, "merge_size": 2}


def make_model() -> torch.nn.Module:
    """The head sizes of the real model: 80 in the vision tower, 128 for text; windows in the first of two vision layers."""
    torch.manual_seed(SEED)
    special = {f"{name}_token_id": IDS[f"<|{token}|>"] for name, token in (("image", "image_pad"), ("video", "video_pad"))}
    special |= {f"vision_{side}_token_id": IDS[f"<|vision_{side}|>"] for side in ("start", "end")}
    text = {
        "vocab_size": len(VOCABULARY),
        "hidden_size": 128,
        "intermediate_size": 192,
        "num_hidden_layers": 2,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "max_position_embeddings": 1024,
        "initializer_range": 0.08,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [16, 24, 24]},
        "bos_token_id": None,
        "eos_token_id": IDS["<|im_end|>"],
    }
    vision = {
        "depth": 2,
        "hidden_size": 80,
        "intermediate_size": 128,
        "num_heads": 1,
        "out_hidden_size": 128,
        "fullatt_block_indexes": [1],
        "window_size": 28,
        "initializer_range": 0.08,
        "patch_size": 14,
    }
    config = transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision, **special)
    model = transformers.Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config = transformers.GenerationConfig(eos_token_id=IDS["<|im_end|>"], pad_token_id=IDS["<|endoftext|>"])
    return model


def save_processor(directory: Path) -> None:
    """The tokenizer, the chat template and the image processor."""
    tokenizer = Tokenizer(WordLevel(IDS, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL[:-1]])
    names = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"}
    names |= {"vision_bos_token": "<|vision_start|>", "vision_eos_token": "<|vision_end|>"}
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<unk>",
        extra_special_tokens=names,
    ).save_pretrained(directory)
    (directory / "chat_template.jinja").write_text(CHAT)
    image = {"image_processor_type": "Qwen2VLImageProcessor", "processor_class": "Qwen2_5_VLProcessor", **_PIXELS}
    image |= {"image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    (directory / "preprocessor_config.json").write_text(json.dumps(image))
    video = {"video_processor_type": "Qwen2VLVideoProcessor", **_PIXELS}
    (directory / "video_preprocessor_config.json").write_text(json.dumps(video))


def attend_at_once(
    self: Any, hidden_states: torch.Tensor, cu_seqlens: torch.Tensor, position_embeddings: Any = None, **_: Any
) -> torch.Tensor:
    """Attention of vision layers in training, where all sequences have one length: HF transformers computes them one after another."""
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision

    q, k, v = self.qkv(hidden_states).reshape(hidden_states.shape[0], 3, self.num_heads, -1).unbind(1)
    q, k = apply_rotary_pos_emb_vision(q, k, *position_embeddings)
    parts = (part.unflatten(0, (len(cu_seqlens) - 1, -1)).transpose(1, 2) for part in (q, k, v))
    result = torch.nn.functional.scaled_dot_product_attention(*parts)
    return self.proj(result.transpose(1, 2).reshape(hidden_states.shape[0], -1))


def make_batch(rng: random.Random, size: int, processor: Any) -> dict[str, torch.Tensor]:
    """Questions about pictures, one each, with labels on the answer and the end."""
    pictures, rows, labels = [], [], []
    for _ in range(size):
        drawing, question = draw(rng), rng.choice(QUESTIONS)
        pictures.append(drawing.picture())
        prompt = ["<|im_start|>", "user", "<|vision_start|>", *["<|image_pad|>"] * MERGED, "<|vision_end|>", "which", question, "?"]
        prompt += ["<|im_end|>", "<|im_start|>", "assistant"]
        answer = [drawing.answer(question), "<|im_end|>"]
        rows.append([IDS[word] for word in prompt + answer])
        labels.append([IGNORE] * len(prompt) + [IDS[word] for word in answer])
    seen = processor(images=pictures, return_tensors="pt")
    ids = torch.tensor(rows)
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "mm_token_type_ids": (ids == IDS["<|image_pad|>"]).int(),
        "pixel_values": seen["pixel_values"],
        "image_grid_thw": seen["image_grid_thw"],
        "labels": torch.tensor(labels),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--output", type=Path, default=HERE / "model")
    given = parser.parse_args()
    given.output.mkdir(exist_ok=True)
    save_processor(given.output)
    processor = transformers.AutoProcessor.from_pretrained(given.output).image_processor
    rng = random.Random(SEED)
    model = make_model().train()
    for block in model.model.visual.blocks:
        block.attn.forward = attend_at_once.__get__(block.attn)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01, betas=(0.9, 0.98))
    begun = time.monotonic()
    for step in range(given.steps):
        rate = min(1.0, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * step / given.steps))
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * rate + 1e-5
        loss = model(**make_batch(rng, BATCH, processor)).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 50 == 0 or step == given.steps - 1:
            print(f"step {step}: loss {loss.item():.4f}, {time.monotonic() - begun:.0f} s", flush=True)
    model.eval().to(torch.bfloat16).save_pretrained(given.output)


if __name__ == "__main__":
    main()
