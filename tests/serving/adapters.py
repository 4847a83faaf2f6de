"""Random LoRA adapters of tiny.py's models, in the files of PEFT, and models with an adapter merged into their weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tiny_vision

if TYPE_CHECKING:
    import torch

_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_MLP = ("gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class Adapter:
    """An adapter: W + alpha / rank * B A, for the modules of these names."""

    name: str
    rank: int
    alpha: int
    modules: tuple[str, ...]
    seed: int


# Of these, the second has the embedding and the head, too, and the third a rank of its own and a part of the modules.
ADAPTERS = (
    Adapter("eight", 8, 16, (*_ATTENTION, *_MLP), 1),
    Adapter("sixteen", 16, 16, (*_ATTENTION, *_MLP, "embed_tokens", "lm_head"), 2),
    Adapter("four", 4, 16, ("q_proj", "v_proj", "down_proj"), 3),
)
_OTHERS = (Adapter("attention", 8, 32, _ATTENTION, 4),)


def make(name: str, model: Path, directory: Path) -> None:
    """Writes an adapter of a model."""
    import torch
    import transformers
    from safetensors.torch import save_file

    [adapter] = [one for one in (*ADAPTERS, *_OTHERS) if one.name == name]
    generator = torch.Generator().manual_seed(adapter.seed)

    def noise(*shape: int) -> torch.Tensor:
        # Products of A and B are about as large as weights.
        return torch.randn(*shape, generator=generator) * (0.05 / adapter.alpha * adapter.rank / adapter.rank**0.5) ** 0.5

    tensors = {}
    head = "AutoModelForImageTextToText" if tiny_vision.sees(model) else "AutoModelForCausalLM"
    for key, module in getattr(transformers, head).from_pretrained(model).named_modules():
        kind = key.rpartition(".")[-1]
        if kind not in adapter.modules or ".visual." in key:
            continue
        out, size = module.weight.shape
        names = ("lora_A.weight", "lora_B.weight")
        if kind == "embed_tokens":
            out, size = size, out
            names = ("lora_embedding_A", "lora_embedding_B")
        shapes = ((adapter.rank, size), (out, adapter.rank))
        tensors.update({f"base_model.model.{key}.{part}": noise(*shape) for part, shape in zip(names, shapes, strict=True)})
    assert tensors
    directory.mkdir()
    save_file(tensors, directory / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": adapter.rank,
        "lora_alpha": adapter.alpha,
        "target_modules": list(adapter.modules),
        "bias": "none",
    }
    (directory / "adapter_config.json").write_text(json.dumps(config))


def merge(model: torch.nn.Module, directory: Path) -> None:
    """Adds an adapter to the weights of a model, in float32, and to what its quantised layers give."""
    import torch
    from safetensors.torch import load_file

    tensors = load_file(directory / "adapter_model.safetensors")
    config = json.loads((directory / "adapter_config.json").read_text())
    scale = config["lora_alpha"] / config["r"]
    modules = dict(model.named_modules())

    def add_to_result(a: torch.Tensor, b: torch.Tensor) -> Callable[..., torch.Tensor]:
        def hook(_: Any, given: tuple[torch.Tensor, ...], out: torch.Tensor) -> torch.Tensor:
            return (out.float() + scale * (given[0].float() @ a.T) @ b.T).to(out.dtype)

        return hook

    with torch.no_grad():
        for key, a in tensors.items():
            if "_A" not in key:
                continue
            name = key.removeprefix("base_model.model.").replace(".lora_A.weight", "").replace(".lora_embedding_A", "")
            b = tensors[key.replace("_A", "_B")]
            # A model of embeddings is the inner part of one that makes text.
            module = modules[name if name in modules else name.removeprefix("model.")]
            if "weight" not in dict(module.named_parameters()):
                module.register_forward_hook(add_to_result(a, b))
                continue
            added = scale * b @ a
            weight = module.weight
            weight.copy_((weight.float() + (added.T if "embedding" in key else added)).to(weight.dtype))
