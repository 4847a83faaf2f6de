"""Trains the test model `recall` and writes it beside this script. Deterministic for a given torch; minutes on two cores.

TORCH_DEVICE_BACKEND_AUTOLOAD=0 python tests/models/train.py [--steps N]
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "python"))
# transformers imports torch_npu where it is installed, which fails without CANN.
sys.modules["torch_npu"] = None  # type: ignore[assignment]

from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM  # noqa: E402
from vllm_cann_demo import task  # noqa: E402

SEED = 20261121
ASKED = 8  # questions at the end of each training sequence
IGNORE = -100
LATER = 1000  # the step after which contexts grow and ends are learned


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token per word."""
    vocabulary = {word: i for i, word in enumerate(task.VOCABULARY)}
    model = Tokenizer(WordLevel(vocabulary, unk_token="<pad>"))
    model.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=model, pad_token="<pad>", eos_token="<end>", model_max_length=1024)


def make_model() -> Qwen3ForCausalLM:
    """A Qwen3 with grouped queries and norms of queries and keys, 0.6 M parameters."""
    torch.manual_seed(SEED)
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(task.VOCABULARY),
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=128,
            max_position_embeddings=1024,
            rope_theta=10000.0,
            tie_word_embeddings=True,
            attention_dropout=0.0,
            eos_token_id=task.VOCABULARY.index("<end>"),
            pad_token_id=task.VOCABULARY.index("<pad>"),
            bos_token_id=None,
        )
    )


def make_batch(rng: random.Random, size: int, facts: int, ends: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences of `facts` facts and questions about them; labels on the answers, `ends` too."""
    ids = {word: i for i, word in enumerate(task.VOCABULARY)}
    end = ids["<end>"]
    rows, labels = [], []
    for _ in range(size):
        chosen = task.make_facts(rng, facts, held_out=False)
        row = [ids[w] for name, words in chosen for w in (name, ":", *words, task.END)]
        label = [IGNORE] * len(row)
        for asked in range(ASKED):
            question = task.Question(chosen, rng.randrange(facts), rng.random() < 0.5)
            head = [ids[chosen[question.asked][0]], ids["!" if question.backwards else "?"]]
            answer = [ids[w] for w in question.answer.split()]
            row += head + answer
            # What follows an answer is the end, although here another question does.
            label += [end if ends and asked > 0 else IGNORE, IGNORE, *answer]
        rows.append([*row, end] if ends else row)
        labels.append([*label, end] if ends else label)
    return torch.tensor(rows), torch.tensor(labels)


@torch.no_grad()
def accuracy(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, questions: list[task.Question]) -> float:
    """Share of questions answered exactly by greedy decoding."""
    right = 0
    for question in questions:
        ids = tokenizer(question.prompt, return_tensors="pt").input_ids
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8, do_sample=False)
        right += tokenizer.decode(out[0, ids.shape[1] :]) == f"{question.answer} <end>"
    return right / len(questions)


def main() -> None:
    """Trains, rounds to bfloat16, saves, and prints the accuracy on held-out questions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2600)
    parser.add_argument("--output", type=Path, default=HERE / "recall")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the order of sums, and so the result, depends on it
    model, tokenizer = make_model(), make_tokenizer()
    rng = random.Random(SEED)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, betas=(0.9, 0.98), weight_decay=0.01)
    begun = time.monotonic()
    model.train()
    for step in range(arguments.steps):
        # First matching names over few facts; then longer contexts, and when to stop.
        most = 3 + 13 * step / 1800 + 30 * min(1.0, max(0.0, (step - LATER) / 600))
        facts = rng.randint(2, min(int(most), len(task.NAMES)))
        rate = 2e-3 * min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * min(1.0, step / 3000)))
        for group in optimizer.param_groups:
            group["lr"] = max(rate, 2e-5)
        tokens, labels = make_batch(rng, 32, facts, ends=step >= LATER)
        loss = model(input_ids=tokens, labels=labels).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0 or step == arguments.steps - 1:
            print(
                f"step {step} facts {facts} loss {loss.item():.4f} {time.monotonic() - begun:.0f} s",
                flush=True,
            )
    model.eval().to(torch.bfloat16)
    model.save_pretrained(arguments.output)
    tokenizer.save_pretrained(arguments.output)
    for dtype in (torch.bfloat16, torch.float32):
        print(
            dtype,
            "accuracy",
            accuracy(model.to(dtype), tokenizer, task.questions(SEED + 1, 300)),
            flush=True,
        )


if __name__ == "__main__":
    main()
