"""python models_page.py prints docs/models.md.

python models_page.py DIRECTORY makes models.json before: tests that ran with MODELS_ROWS=DIRECTORY have written what they saw there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import tiny

FILE = Path(__file__).parent / "models.json"

# Operators that no served model launches, and why.
NOT_CALLED: dict[str, str] = json.loads((Path(__file__).parent / "not_called.json").read_text())


def _options(fields: dict[str, Any]) -> str:
    """What of a configuration tells it from others of its class."""
    said = []
    if (heads := fields.get("num_attention_heads")) and (size := fields.get("head_dim")):
        said.append(f"{heads} heads of {size}, {fields['num_key_value_heads']} for keys and values")
    if rope := fields.get("rope_parameters"):
        said.append(f"{rope['rope_type']} angles")
    if fields.get("sliding_window"):
        said.append("window in some layers" if "layer_types" in fields or fields.get("query_pre_attn_scalar") else "window")
    if fields.get("tie_word_embeddings"):
        said.append("tied embeddings")
    if experts := fields.get("num_experts") or fields.get("num_local_experts") or fields.get("n_routed_experts"):
        said.append(f"{experts} experts, {fields['num_experts_per_tok']} of each token")
    if "kv_lora_rank" in fields:
        said.append("latent attention" + ("" if fields["q_lora_rank"] is None else ", low-rank queries"))
    return ", ".join(said)


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
        "transformers. With bfloat16, HF transformers is given the served tokens, and prefers others by no more than twice its own",
        "distance from float32. No layer waits for the device. The profile is that of Ascend 910B3; Ascend 310P is refused by a sentence.",
        "",
        "Launches are those of a step that decodes one token of one request, sampling included: of our kernels, and of aclnn operators.",
        "With float32, attention takes plain torch operators.",
        "",
        "| class in vLLM | configuration | float32 | bfloat16 | launches (bfloat16) |",
        "|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        model_type, fields = tiny.MODELS[name]
        both = [row.get(dtype) for dtype in ("float32", "bfloat16")]
        cells = ["untested" if one is None else "works" for one in both]
        launches = " + ".join(map(str, row["bfloat16"]["decoding"])) if both[1] else ""
        options = _options(fields)
        what = f"`{model_type}`" + (f": {options}" if options else "")
        lines.append(f"| {row['float32']['architecture']} | {what} | {cells[0]} | {cells[1]} | {launches} |")
    lines += [
        "",
        "## Our operators in served models",
        "",
        "| operator | models that launch it |",
        "|---|---|",
    ]
    callers: dict[str, list[str]] = {}
    for name, row in rows.items():
        for kernel in sorted({kernel for one in row.values() for kernel in one["kernels"]}):
            callers.setdefault(kernel, []).append(name)
    lines += [f"| {kernel} | {len(names)} of {len(rows)}: {', '.join(names)} |" for kernel, names in sorted(callers.items())]
    lines += [f"| {kernel} | none: {reason} |" for kernel, reason in sorted(NOT_CALLED.items())]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Runs the command line."""
    if len(sys.argv) > 1:
        rows = {
            name: {
                dtype: json.loads(file.read_text())
                for dtype in ("float32", "bfloat16", "float16")
                if (file := Path(sys.argv[1]) / f"{name}.{dtype}.json").exists()
            }
            for name in tiny.MODELS
        }
        lines = [f"{json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items()]
        FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(markdown(), end="")


if __name__ == "__main__":
    main()
