"""python models_page.py prints docs/models.md.

python models_page.py DIRECTORY puts into models.json before what tests that ran with MODELS_ROWS=DIRECTORY have seen and written there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import quantised
import tiny
import tiny_encoders
import tiny_further
import tiny_vision

DECODERS = (*tiny.MODELS, *quantised.NAMES, *tiny_vision.MODELS)
NAMES = (*DECODERS, *tiny_encoders.MODELS)
DTYPES = ("float32", "float16", "bfloat16")
FILE = Path(__file__).parent / "models.json"

# What became of further models, as further_test.py asks for it.
FURTHER: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "further.json").read_text())

# Operators that no served model launches, and why.
NOT_CALLED: dict[str, str] = json.loads((Path(__file__).parent / "not_called.json").read_text())


# What configurations call the experts of a token.
_CHOSEN = ("num_experts_per_tok", "moe_topk", "top_k_experts")


def _options(fields: dict[str, Any]) -> str:
    """What of a configuration tells it from others of its class."""
    said = []
    if (heads := fields.get("num_attention_heads")) and (size := fields.get("head_dim")):
        said.append(f"{heads} heads of {size}, {fields['num_key_value_heads']} for keys and values")
    if rope := fields.get("rope_parameters"):
        said.append(f"{rope['rope_type']} angles")
    if 0 < (fields.get("sliding_window") or 0) < tiny.SIZES["max_position_embeddings"]:
        said.append("window in some layers" if "layer_types" in fields or fields.get("query_pre_attn_scalar") else "window")
    if fields.get("tie_word_embeddings"):
        said.append("tied embeddings")
    if experts := fields.get("num_experts") or fields.get("num_local_experts") or fields.get("n_routed_experts"):
        said.append(f"{experts} experts, {next(fields[name] for name in _CHOSEN if name in fields)} of each token")
    if "kv_lora_rank" in fields:
        said.append("latent attention" + ("" if fields["q_lora_rank"] is None else ", low-rank queries"))
    return ", ".join(said)


def _further(name: str) -> str:
    """The configuration of a further model."""
    if sees := tiny_vision.FURTHER.get(name):
        return f"`{sees.type}`: pictures"
    model_type, fields = tiny_further.MODELS[name]
    options = _options(fields)
    return f"`{model_type}`" + (f": {options}" if options else "")


def _cells(row: dict[str, Any]) -> str:
    """What the tests saw with each dtype."""
    return " | ".join("untested" if dtype not in row else "refused" if "refused" in row[dtype] else "works" for dtype in DTYPES)


def _class(row: dict[str, Any]) -> str:
    """vLLM's class of a model; empty where it was refused."""
    return next((one["architecture"] for one in row.values() if "architecture" in one), "")


def markdown() -> str:
    """The text of docs/models.md."""
    rows = json.loads(FILE.read_text())
    lines = [
        "# Models that the tests serve",
        "",
        "Made from `tests/serving/models.json`, which holds what tests saw: `python tests/serving/models_page.py > docs/models.md`.",
        "",
        f"Each model is small ({tiny.LAYERS} layers of 128) and random, of the class and configuration that HF transformers has for it.",
        "A test asks 16 prompts of 1 to 500 tokens at once, in a cache so small that requests are preempted and prompts are computed in",
        "chunks, and then the longest prompt twice more, whose beginning is cached. With float32, greedy tokens are equal to those of HF",
        "transformers. With 16 bit, HF transformers scores the served tokens: no other token may score higher by more than twice its own",
        "error against float32. For quantised models (W8A8) and caches, HF's model has the same arithmetic, in plain torch; with W8A8 and",
        "float32, it prefers others by no more than 2 % of the spread of its logits: sums of another order change what rounds to int8.",
        "No layer waits for the device. The profile is that of Ascend 910B3; Ascend 310P is refused by a sentence.",
        "",
        "Launches are those of a step that decodes one token of one request, sampling included: of our kernels, and of aclnn operators.",
        "With float32, attention takes plain torch operators. Refused:",
        "",
        *(f"- `{name}` in float16: {sentence}" for name, sentence in tiny.NO_FLOAT16.items()),
        "",
        "| class in vLLM | configuration | float32 | float16 | bfloat16 | launches (bfloat16) |",
        "|---|---|---|---|---|---|",
    ]
    for name in DECODERS:
        row = rows[name]
        if sees := tiny_vision.MODELS.get(name):
            model_type, fields = sees.type, sees.text
        else:
            model_type, fields = tiny.MODELS[quantised.base(name)]
        launches = " + ".join(map(str, row["bfloat16"]["decoding"])) if "bfloat16" in row else ""
        kind = quantised.describe(name) if name in quantised.NAMES else ""
        if sees:
            kind = "pictures and videos" if sees.videos else "pictures"
        options = ", ".join(filter(None, [_options(fields), kind]))
        what = f"`{model_type}`" + (f": {options}" if options else "")
        lines.append(f"| {row['bfloat16']['architecture']} | {what} | {_cells(row)} | {launches} |")
    lines += [
        "",
        "## Further models",
        "",
        "These are asked the same, in fewer types.",
        "",
        "| class in vLLM | configuration | float32 | float16 | bfloat16 |",
        "|---|---|---|---|---|",
        *(f"| {_class(row)} | {_further(name)} | {_cells(row)} |" for name, row in FURTHER.items() if name not in tiny_encoders.FURTHER),
        "",
        "Refused:",
        "",
        *(f"- `{name}`: {one['refused']}" for name, row in FURTHER.items() for one in row.values() if "refused" in one),
    ]
    lines += [
        "",
        "## Embeddings, scores and classes",
        "",
        "A test asks 11 texts or pairs of texts of 1 to 300 tokens at once, twice. With float32, vectors and probabilities are those of",
        "HF transformers (embeddings: cosine of at least 0.9999, of length 1). With 16 bit, their distance from HF's in float32 is at most",
        "four times that of HF's own in 16 bit.",
        "",
        "| class in vLLM | configuration | task | float32 | float16 | bfloat16 |",
        "|---|---|---|---|---|---|",
    ]
    for name, encoder in tiny_encoders.ALL.items():
        row = rows[name] if name in rows else FURTHER[name]
        task = encoder.task + (f" ({encoder.pooling})" if encoder.pooling else "")
        lines.append(f"| {row['float32']['architecture']} | `{encoder.type}` | {task} | {_cells(row)} |")
    lines += [
        "",
        "## Our operators in served models",
        "",
        "| operator | models that launch it |",
        "|---|---|",
    ]
    callers: dict[str, list[str]] = {}
    for name, row in rows.items():
        for kernel in sorted({kernel for one in row.values() for kernel in one.get("kernels", ())}):
            callers.setdefault(kernel, []).append(name)
    lines += [f"| {kernel} | {len(names)} of {len(rows)}: {', '.join(names)} |" for kernel, names in sorted(callers.items())]
    lines += [f"| {kernel} | none: {reason} |" for kernel, reason in sorted(NOT_CALLED.items())]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs the command line."""
    if len(sys.argv) > 1:
        rows = json.loads(FILE.read_text())
        for file in Path(sys.argv[1]).glob("*.json"):
            name, dtype = file.stem.rsplit(".", 1)
            rows.setdefault(name, {})[dtype] = json.loads(file.read_text())
        ordered = {name: {dtype: rows[name][dtype] for dtype in DTYPES if dtype in rows[name]} for name in NAMES if name in rows}
        lines = [f"{json.dumps(name)}: {json.dumps(row)}" for name, row in ordered.items()]
        FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(markdown(), end="")


if __name__ == "__main__":
    main()
