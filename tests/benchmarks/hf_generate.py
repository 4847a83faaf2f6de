"""Generates, or embeds, with HF transformers on the CPU, once for each line of stdin, and prints the seconds that it took.

    hf_generate.py MODEL DTYPE TOKENS THREADS PROMPTS

PROMPTS is JSON, and one batch, padded at the left: lists of token ids, or {"prompt": text, "pictures": [[seed, width, height]...]}, each
continued by TOKENS tokens; or texts, of each of which the last hidden states are computed. The time includes tokenizers and processors.
A process without torch_npu.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# transformers imports torch_npu where it is installed, and torch does, too; `softnpu run` asks it to.
os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
sys.modules["torch_npu"] = None  # type: ignore[assignment]

import torch  # noqa: E402
import transformers  # noqa: E402


def pad(prompts: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
    """Token ids, [prompts, longest], and where they are none."""
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(prompt)) + [*prompt] for prompt in prompts])
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    return {"input_ids": ids, "attention_mask": mask}


def inputs_of(path: str, prompts: list) -> tuple[str, Callable[[], Mapping[str, torch.Tensor]]]:
    """The kind of model that takes these prompts, and what makes its inputs of them."""
    if isinstance(prompts[0], str):
        tokenizer = transformers.AutoTokenizer.from_pretrained(path)
        return "AutoModel", lambda: tokenizer(prompts, padding=True, return_tensors="pt")
    if isinstance(prompts[0], list):
        ready = pad(prompts)
        sees = (Path(path) / "preprocessor_config.json").exists()
        return "AutoModelForImageTextToText" if sees else "AutoModelForCausalLM", lambda: ready
    from tiny_vision import picture

    processor = transformers.AutoProcessor.from_pretrained(path)
    pictures = [[picture(*one) for one in prompt["pictures"]] for prompt in prompts]
    texts = [prompt["prompt"] for prompt in prompts]
    options = {"padding": True, "padding_side": "left", "return_tensors": "pt"}
    return "AutoModelForImageTextToText", lambda: processor(text=texts, images=pictures, **options)


def main() -> None:
    """Runs the command line."""
    path, dtype, tokens, threads, prompts = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), json.loads(sys.argv[5])
    torch.set_num_threads(threads)
    kind, make_inputs = inputs_of(path, prompts)
    model = getattr(transformers, kind).from_pretrained(path, dtype=getattr(torch, dtype)).eval()
    print("ready", flush=True)
    for _ in sys.stdin:
        begun = time.monotonic()
        inputs = make_inputs()
        with torch.no_grad():
            if kind == "AutoModel":
                model(**inputs)
            else:
                out = model.generate(**inputs, min_new_tokens=tokens, max_new_tokens=tokens, do_sample=False)
        seconds = time.monotonic() - begun
        if kind != "AutoModel" and out.shape != (len(prompts), inputs["input_ids"].shape[1] + tokens):
            raise RuntimeError(f"the model made {tuple(out.shape)} tokens of {len(prompts)} prompts, {tokens} each were asked for")
        print(seconds, flush=True)


if __name__ == "__main__":
    main()
