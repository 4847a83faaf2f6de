"""HF transformers on the CPU, as a process without torch_npu: the reference of the serving tests.

Each line of its input is a job, and each line of its output a result.

* {"model", "make"} makes a model of tiny.py, tiny_further.py, quantised.py, tiny_encoders.py or tiny_vision.py, and gives {}.
* {"model", "make_adapter", "adapter"} makes an adapter of adapters.py for a model, in a directory, and gives {}.
* {"model", "dtype", "head", "texts": [text or pair...]} gives {"vectors": [...]}: embeddings, scores or probabilities of classes.
* {"model", "dtype", "greedy": [prompt...], "new_tokens"} gives {"tokens": [[ids]...], "seconds"}. A prompt is [ids], or
  {"prompt": text, "pictures": [[seed, width, height] or file...], "videos": [[seed, frames, width, height]...]}.
* {"model", "dtype", "forced": [[prompt, answer ids]...]} gives, for each answer position, HF's own token, how far the answer's logit
  is below it, the largest difference of any logit from float32 HF, the most that an answer's float32 logit is below the largest one, and
  the spread (standard deviation) of float32 logits.
* {"model", "dtype", "logits": [[ids]...]} gives {"logits": [[rows]...]}, a row for each token.

Jobs that compute may name an "adapter", which is merged into the weights, and have "int8_cache"; "ranks" round parts of rows by themselves.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import time
from pathlib import Path

# transformers imports torch_npu where it is installed, and torch does, too; `softnpu run` asks it to.
os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
sys.modules["torch_npu"] = None  # type: ignore[assignment]

import adapters  # noqa: E402
import quantised  # noqa: E402
import tiny  # noqa: E402
import tiny_encoders  # noqa: E402
import tiny_further  # noqa: E402
import tiny_vision  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from PIL import Image  # noqa: E402
from transformers.video_utils import VideoMetadata  # noqa: E402


def inputs(path: Path, prompt: list[int] | dict, answer: list[int]) -> dict:
    """What a model takes: the ids of a prompt, or its text and pictures, and then those of an answer."""
    if isinstance(prompt, list):
        ids = torch.tensor([prompt + answer])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    processor = transformers.AutoProcessor.from_pretrained(path)
    pictures = [Image.open(picture) if isinstance(picture, str) else tiny_vision.picture(*picture) for picture in prompt["pictures"]]
    videos: dict = {}
    if shown := prompt.get("videos"):
        about = [VideoMetadata(**tiny_vision.shown_at(one[1])) for one in shown]
        videos = {"videos": [tiny_vision.video(*one) for one in shown], "video_metadata": about, "do_sample_frames": False}
    given = dict(processor(text=[prompt["prompt"]], images=pictures or None, return_tensors="pt", **videos))
    for name, value in (("input_ids", answer), ("attention_mask", [1] * len(answer)), ("mm_token_type_ids", [0] * len(answer))):
        if name in given:
            given[name] = torch.cat([given[name], torch.tensor([value], dtype=given[name].dtype)], 1)
    return given


@torch.no_grad()
def greedy(model: torch.nn.Module, path: Path, prompts: list, new_tokens: int) -> dict:
    """Greedy continuations of exactly `new_tokens` tokens."""
    begun = time.monotonic()
    tokens = []
    for prompt in prompts:
        given = inputs(path, prompt, [])
        out = model.generate(**given, max_new_tokens=new_tokens, do_sample=False, eos_token_id=None)
        tokens.append(out[0, given["input_ids"].shape[1] :].tolist())
    return {"tokens": tokens, "seconds": time.monotonic() - begun}


@torch.no_grad()
def forced(model: torch.nn.Module, wide: torch.nn.Module, path: Path, pairs: list) -> dict:
    """Compares given answers with what the model itself says at each of their positions."""
    differing, largest, below, spread = [], 0.0, 0.0, []
    for prompt, answer in pairs:
        given = inputs(path, prompt, answer)
        length = given["input_ids"].shape[1]
        at = slice(length - len(answer) - 1, length - 1)
        logits = model(**given).logits[0, at].float()
        exact = wide(**given).logits[0, at]
        largest = max(largest, (logits - exact).abs().max().item())
        taken = exact.gather(1, torch.tensor(answer)[:, None])[:, 0]
        below = max(below, (exact.max(1).values - taken).max().item())
        spread.append(exact.std().item())
        for row, token in zip(logits, answer, strict=True):
            if row.argmax().item() != token:
                differing.append((row.max() - row[token]).item())
    return {
        "differing": differing,
        "largest": largest,
        "below": below,
        "spread": sum(spread) / len(spread),
        "positions": sum(len(answer) for _, answer in pairs),
    }


@torch.no_grad()
def vectors(model: torch.nn.Module, path: Path, texts: list) -> list[list]:
    """What a model that is no language model says of each text: its embedding, or the probabilities of its classes (of each token)."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    pooling = path / "1_Pooling" / "config.json"
    modes = json.loads(pooling.read_text()) if pooling.exists() else {}
    out = []
    for text in texts:
        given = tokenizer(*([text] if isinstance(text, str) else text), return_tensors="pt")
        result = model(**given)
        if modes:
            rows = result.last_hidden_state[0].float()
            chosen = rows.mean(0) if modes["pooling_mode_mean_tokens"] else rows[0 if modes["pooling_mode_cls_token"] else -1]
            out.append(torch.nn.functional.normalize(chosen, dim=0))
        else:
            logits = result.logits[0].float()
            out.append(torch.sigmoid(logits) if logits.shape[-1] == 1 else torch.softmax(logits, -1))
    return [row.tolist() for row in out]


@functools.lru_cache(maxsize=2)
def load(path: str, dtype: torch.dtype, head: str = "AutoModelForCausalLM", adapter: str | None = None, ranks: int = 1) -> torch.nn.Module:
    """A model in evaluation mode, with an adapter merged into its weights."""
    if quantised.is_quantised(Path(path)):
        model = quantised.load(Path(path), dtype, ranks)
    else:
        model = getattr(transformers, head).from_pretrained(path, dtype=dtype, attn_implementation="eager").eval()
    if adapter is not None:
        adapters.merge(model, Path(adapter))
    return model


def run(job: dict) -> dict:
    """The result of a job."""
    path = job["model"]
    if "make" in job:
        job["make"] = quantised.CACHES.get(job["make"], job["make"])
        kinds = {maker: maker.MODELS for maker in (tiny, tiny_further, quantised)} | {
            maker: maker.ALL for maker in (tiny_encoders, tiny_vision)
        }
        [maker] = [maker for maker, names in kinds.items() if job["make"] in names]
        maker.make(job["make"], Path(path))
        return {}
    if "make_adapter" in job:
        adapters.make(job["make_adapter"], Path(path), Path(job["adapter"]))
        return {}
    torch.set_num_threads(job.get("threads", 1))
    with quantised.int8_cache() if job.get("int8_cache") else contextlib.nullcontext():
        return compute(path, job)


def compute(path: str, job: dict) -> dict:
    """The result of a job that computes."""
    adapter, ranks = job.get("adapter"), job.get("ranks", 1)
    if "texts" in job:
        return {"vectors": vectors(load(path, getattr(torch, job["dtype"]), job["head"], adapter), Path(path), job["texts"])}
    head = "AutoModelForImageTextToText" if tiny_vision.sees(Path(path)) else "AutoModelForCausalLM"
    model = load(path, getattr(torch, job["dtype"]), head, adapter, ranks)
    if "logits" in job:
        with torch.no_grad():
            return {"logits": [model(torch.tensor([ids])).logits[0].tolist() for ids in job["logits"]]}
    if "greedy" in job:
        return greedy(model, Path(path), job["greedy"], job["new_tokens"])
    return forced(model, load(path, torch.float32, head, adapter, ranks), Path(path), job["forced"])


def main() -> None:
    """Runs jobs until the input ends. What libraries print goes to the standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
