"""docs/support.md, made from the tables."""

from __future__ import annotations

from vllm_cann.support.accepted import ACCEPTED
from vllm_cann.support.refused import REFUSED


def markdown() -> str:
    """The text of docs/support.md."""
    lines = [
        "# What is served, and what is refused",
        "",
        "Made from `python/vllm_cann/support`: `python -m vllm_cann.support > docs/support.md`.",
        "",
        "Text generation with decoders: dense models, mixtures of experts, and latent attention (DeepSeek-V2 and V3), in",
        "bfloat16, float16 and float32; [models.md](models.md) has the kinds of models that tests serve. Attention is causal, with or",
        "without a sliding window, a soft cap, ALiBi or sinks. Chunked prefill, prefix caching, preemption, asynchronous scheduling,",
        "streaming, structured outputs, and vLLM's sampling options in a request are served; LoRA adapters ([lora.md](lora.md)), and sleep",
        "mode at levels 1 and 2, too. Graphs and torch.compile are switched off, with a line in the log, and vLLM's V1 model runner is",
        "used, also where Triton is installed. [parallel.md](parallel.md) has what is divided among several devices.",
        "",
        "Multimodal models are served by the same attention. The tokens of a picture see each other where vLLM says so of a model, as of",
        "Gemma 3; vLLM's scheduler then computes a picture in one step. No list names the classes: what a class asks for and the plugin",
        "does not have, it refuses below or where the model is made. [models.md](models.md) has the classes that tests have compared.",
        "",
        "## Refused at start",
        "",
        "| not there | what asks for it | what to do |",
        "|---|---|---|",
        *(f"| {row.feature} | `{row.option}` | {row.cure} |" for row in REFUSED),
        "",
        "## Fields of vLLM's configuration without a row",
        "",
        "| why | fields |",
        "|---|---|",
    ]
    reasons: dict[str, list[str]] = {}
    for field, reason in ACCEPTED.items():
        reasons.setdefault(reason, []).append(f"`{field}`")
    lines += [f"| {reason} | {', '.join(fields)} |" for reason, fields in reasons.items()]
    return "\n".join(lines) + "\n"
