"""Quantised forms of tiny.py's models, as checkpoints and, for the reference, as plain torch inside of HF's models.

The numbers of the reference are exact where the device's are: rows are rounded to int8 in float32, and sums of products are whole
numbers in float64, which are scaled there and rounded once to the model's type.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import tiny

COMPRESSED, MODELSLIM = "compressed-tensors", "ModelSlim"
FLOAT, STATIC, DYNAMIC = "FLOAT", "W8A8", "W8A8_DYNAMIC"  # ModelSlim's names
BOTH = ("float32", "bfloat16")


@dataclass(frozen=True)
class Model:
    """How one is quantised.

    Attributes:
        base: name in tiny.py
        layout: whose files it has
        kinds: endings of layers' names, and what they are; the first that fits counts, and experts have theirs without a number
        by_tensor: weights have one scale instead of one for each channel
        dtypes: of the served model
    """

    base: str
    layout: str
    kinds: dict[str, str]
    by_tensor: bool = False
    dtypes: tuple[str, ...] = BOTH

    def kind(self, layer: str) -> str:
        """FLOAT for what `kinds` does not name."""
        return next((kind for end, kind in self.kinds.items() if f".{end}." in f".{layer}."), FLOAT)


_ALL = {"self_attn": DYNAMIC, "mlp": DYNAMIC}
_ATTENTION = {"self_attn": STATIC, "experts": DYNAMIC}

MODELS: dict[str, Model] = {
    "llama-w8a8": Model("llama", COMPRESSED, _ALL),
    "qwen2-w8a8-static": Model("qwen2", COMPRESSED, {"self_attn": STATIC, "mlp": STATIC}, True, (*BOTH, "float16")),
    "qwen3-moe-w8a8": Model("qwen3-moe", COMPRESSED, _ATTENTION),
    # Latent attention, a shared expert, and a gate that stays as it is.
    "deepseek-v3-w8a8": Model("deepseek-v3", COMPRESSED, {"gate": FLOAT, "kv_b_proj": FLOAT, **_ALL}),
    # Decoding multiplies by parts of kv_b_proj itself and does not round latent rows, as HF does: other tokens in float32.
    "deepseek-v3-w8a8-kv": Model("deepseek-v3", COMPRESSED, {"gate": FLOAT, **_ALL}, dtypes=("bfloat16",)),
    # A bias within quant_bias, both kinds, and layers that stay.
    "qwen2-modelslim": Model("qwen2", MODELSLIM, {"self_attn": STATIC, "down_proj": FLOAT, "mlp": DYNAMIC}),
    "qwen3-moe-modelslim": Model("qwen3-moe", MODELSLIM, _ATTENTION, dtypes=(*BOTH, "float16")),
}


# Models of tiny.py that are served with a KV cache of int8.
CACHES = {f"{name}-int8-cache": name for name in ("llama", "mistral-64", "gemma2")}
NAMES = (*MODELS, *CACHES)

# Of the spread of logits: what may lie between a served token and the reference's in float32. Sums of another order, which differ from
# machine to machine, take a number over the border of two integers: 1/127 of the largest of its row of 128 or more, some 0.3 % of the row.
# Few of a row's numbers are at a border, and logits follow within some times that. A fault is beyond their spread.
BORDER = 0.02


@contextmanager
def int8_cache() -> Iterator[None]:
    """The caches of HF transformers give back keys and values that were int8, each token and head by its largest magnitude."""
    import torch
    from transformers.cache_utils import DynamicCache

    update = DynamicCache.update

    def through_int8(rows: torch.Tensor) -> torch.Tensor:
        scale = rows.float().abs().amax(-1, keepdim=True) / 127
        return (torch.where(scale > 0, (rows.float() / scale).round(), 0) * scale).to(rows.dtype)

    def rounded(self: DynamicCache, keys: torch.Tensor, values: torch.Tensor, *arguments: Any, **more: Any) -> Any:
        return update(self, through_int8(keys), through_int8(values), *arguments, **more)

    with patch.object(DynamicCache, "update", rounded):
        yield


def dtypes(name: str) -> tuple[str, ...]:
    """In which a model of here or of tiny.py is served."""
    if name in MODELS:
        return MODELS[name].dtypes
    return BOTH if CACHES.get(name) in tiny.NO_FLOAT16 else (*BOTH, "float16")


def base(name: str) -> str:
    """The model of tiny.py that one is, or that it is a quantised form of."""
    return MODELS[name].base if name in MODELS else CACHES.get(name, name)


def describe(name: str) -> str:
    """For the page of models."""
    if name in CACHES:
        return "KV cache of int8"
    model = MODELS[name]
    kinds = [kind for kind in (DYNAMIC, STATIC) if kind in model.kinds.values()]
    said = " and ".join("dynamic" if kind == DYNAMIC else "static" for kind in kinds)
    more = [
        (model.by_tensor, "one scale for a matrix"),
        ("kv_lora_rank" in tiny.MODELS[model.base][1] and "kv_b_proj" in model.kinds, "but for kv_b_proj"),
    ]
    return ", ".join([f"W8A8 of {model.layout}, {said}", *(text for holds, text in more if holds)])


def _experts_apart(tensors: dict[str, Any]) -> dict[str, Any]:
    """Matrices of single experts, where experts lie in one tensor."""
    out = {}
    for key, value in tensors.items():
        start, _, last = key.rpartition(".")
        if last == "gate_up_proj":
            for expert, matrix in enumerate(value):
                gate, up = matrix.chunk(2)
                out[f"{start}.{expert}.gate_proj.weight"], out[f"{start}.{expert}.up_proj.weight"] = gate, up
        elif last == "down_proj":
            out.update({f"{start}.{expert}.down_proj.weight": matrix for expert, matrix in enumerate(value)})
        else:
            out[key] = value
    return out


def _ranges(path: Path) -> dict[str, tuple[float, float]]:
    """The least and the largest number that each linear layer is given, over some prompts."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    seen: dict[str, tuple[float, float]] = {}

    def watch(name: str) -> Any:
        def hook(_: Any, arguments: tuple[Any, ...]) -> None:
            low, high = seen.get(name, (0.0, 0.0))
            seen[name] = min(low, arguments[0].min().item()), max(high, arguments[0].max().item())

        return hook

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(watch(name))
    with torch.no_grad():
        model(torch.randint(512, (4, 100), generator=torch.Generator().manual_seed(1)))
    return seen


def _quantise_layer(name: str, tensors: dict[str, Any], model: Model, span: tuple[float, float] | None) -> dict[str, Any]:
    """The tensors of a layer in the place of its weight (and of its bias, in quant_bias)."""
    import torch

    kind = model.kind(name)
    weight = tensors[f"{name}.weight"].float()
    # bfloat16, as those who quantise models in bfloat16 have scales.
    scale = (weight.abs().amax() if model.by_tensor else weight.abs().amax(-1, keepdim=True)).div(127).bfloat16().float()
    whole = (weight / scale).round().clamp(-128, 127)
    out = {f"{name}.weight": whole.to(torch.int8), f"{name}.weight_scale": scale.reshape(1) if model.by_tensor else scale}
    if model.layout == MODELSLIM:
        out[f"{name}.weight_offset"] = torch.zeros_like(scale)
    if kind == DYNAMIC:
        return out
    assert span is not None
    low, high = span
    if model.layout == COMPRESSED:
        return {**out, f"{name}.input_scale": torch.tensor([max(-low, high) / 127]).bfloat16().float()}
    # float32 that bfloat16 has not, and an offset.
    step = torch.tensor([(high - low) / 255])
    offset = (-128 - low / step).round()
    deq = (scale * step).flatten()
    bias = tensors.get(f"{name}.bias", torch.zeros(weight.shape[0])).float()
    return {
        **out,
        f"{name}.input_scale": step,
        f"{name}.input_offset": offset.to(torch.int8),
        f"{name}.deq_scale": deq,
        f"{name}.quant_bias": (bias / deq - offset * whole.sum(-1)).round().to(torch.int32),
    }


def _scheme(model: Model, kind: str, ends: list[str]) -> dict[str, Any]:
    """A group of compressed-tensors' configuration."""
    return {
        "targets": [f"re:.*{end}.*" for end in ends],
        "weights": {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "tensor" if model.by_tensor else "channel"},
        "input_activations": {
            "num_bits": 8,
            "type": "int",
            "symmetric": True,
            "dynamic": kind == DYNAMIC,
            "strategy": "token" if kind == DYNAMIC else "tensor",
        },
    }


def make(name: str, directory: Path) -> None:
    """Writes one model and its tokenizer."""
    from safetensors.torch import load_file, save_file

    model = MODELS[name]
    tiny.make(model.base, directory)
    tensors = _experts_apart(load_file(directory / "model.safetensors"))
    spans = _ranges(directory) if STATIC in model.kinds.values() else {}
    layers = [key.removesuffix(".weight") for key, value in tensors.items() if key.endswith(".weight") and value.dim() == 2]
    out = dict(tensors)
    for layer in layers:
        if model.kind(layer) != FLOAT:
            out.update(_quantise_layer(layer, tensors, model, spans.get(layer)))
    save_file({key: value.contiguous() for key, value in out.items()}, directory / "model.safetensors", {"format": "pt"})
    if model.layout == MODELSLIM:
        described = {key: model.kind(key.rpartition(".")[0]) if key.rpartition(".")[0] in layers else FLOAT for key in out}
        (directory / "quant_model_description.json").write_text(json.dumps({**described, "model_quant_type": STATIC, "version": "1.0.0"}))
        return
    path = directory / "config.json"
    groups = {
        f"group_{i}": _scheme(model, kind, [end for end, of in model.kinds.items() if of == kind])
        for i, kind in enumerate(sorted({kind for kind in model.kinds.values() if kind != FLOAT}))
    }
    config = json.loads(path.read_text())
    config["quantization_config"] = {
        "quant_method": COMPRESSED,
        "format": "int-quantized",
        "quantization_status": "compressed",
        "config_groups": groups,
        "ignore": ["lm_head", *(layer for layer in layers if model.kind(layer) == FLOAT)],
    }
    path.write_text(json.dumps(config))


def is_quantised(directory: Path) -> bool:
    """Whether `make` has written the model."""
    return (directory / "quant_model_description.json").exists() or "quantization_config" in json.loads(
        (directory / "config.json").read_text()
    )


# Layers whose rows are divided among ranks.
_DIVIDED = ("o_proj", "down_proj")


def load(directory: Path, dtype: Any, ranks: int = 1) -> Any:
    """The model of HF transformers, with layers of `_layer_classes` in the place of its quantised ones.

    Each of several ranks has a part of a row, and rounds it by a scale of its own.
    """
    import torch
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModelForCausalLM

    with tempfile.TemporaryDirectory() as plain:
        config = json.loads((directory / "config.json").read_text())
        config.pop("quantization_config", None)
        (Path(plain) / "config.json").write_text(json.dumps(config))
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(plain), dtype=dtype, attn_implementation="eager").eval()
    tensors = load_file(directory / "model.safetensors")
    linear, experts = _layer_classes()
    taken: set[str] = set()

    def take(prefix: str) -> dict[str, Any]:
        found = {key: value for key, value in tensors.items() if key.startswith(prefix + ".")}
        taken.update(found)
        return {key.removeprefix(prefix + "."): value for key, value in found.items()}

    for name, module in list(model.named_modules()):
        if f"{name}.weight_scale" in tensors:
            model.set_submodule(name, linear(take(name), dtype, ranks if name.rpartition(".")[2] in _DIVIDED else 1))
        elif f"{name}.0.gate_proj.weight_scale" in tensors:
            model.set_submodule(name, experts(_by_expert(take(name)), linear, module.act_fn, dtype, ranks))
    rest = {key: value for key, value in tensors.items() if key not in taken}
    missing, unexpected = model.load_state_dict(rest, strict=False)
    assert not unexpected, unexpected
    assert set(missing) <= {"lm_head.weight"}, missing
    assert missing == [] or config["tie_word_embeddings"]
    assert torch.is_tensor(model.lm_head.weight)
    return model


def _by_expert(tensors: dict[str, Any]) -> list[dict[str, dict[str, Any]]]:
    """Tensors named `number.matrix.name`, by number and matrix."""
    out: dict[int, dict[str, dict[str, Any]]] = {}
    for key, value in tensors.items():
        number, matrix, name = key.split(".")
        out.setdefault(int(number), {}).setdefault(matrix, {})[name] = value
    return [out[number] for number in range(len(out))]


def _layer_classes() -> tuple[Any, Any]:
    import torch

    class Linear(torch.nn.Module):
        """A quantised layer, whose rows are in some parts."""

        def __init__(self, tensors: dict[str, Any], dtype: torch.dtype, parts: int) -> None:
            super().__init__()
            self.dtype, self.parts = dtype, parts
            self.whole = tensors["weight"].double()
            self.scale = tensors["weight_scale"].double().flatten()
            self.input_scale, self.input_offset = tensors.get("input_scale"), tensors.get("input_offset")
            self.quant_bias, self.deq_scale = tensors.get("quant_bias"), tensors.get("deq_scale")
            bias = tensors.get("bias")
            self.bias = None if bias is None else bias.to(dtype).double()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = x.float()
            if self.input_scale is None:
                pieces = zip(x.chunk(self.parts, -1), self.whole.chunk(self.parts, 1), strict=True)
                out = sum(self._dynamic(rows, whole) for rows, whole in pieces) * self.scale
                return (out if self.bias is None else out + self.bias).to(self.dtype)
            rows = (x / self.input_scale + (0 if self.input_offset is None else self.input_offset)).round().clamp(-128, 127)
            sums = rows.double() @ self.whole.t()
            if self.quant_bias is not None and self.deq_scale is not None:
                return ((sums + self.quant_bias) * self.deq_scale.double()).to(self.dtype)
            out = sums * self.scale * self.input_scale.double()
            return (out if self.bias is None else out + self.bias).to(self.dtype)

        def _dynamic(self, x: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
            row_scale = x.abs().amax(-1, keepdim=True) / 127
            return (torch.where(row_scale > 0, (x / row_scale).round(), 0).double() @ whole.t()) * row_scale.double()

    class Experts(torch.nn.Module):
        """Experts one by one, each token's weighted sum in float32."""

        def __init__(self, experts: list[dict[str, Any]], linear: Any, activate: Any, dtype: torch.dtype, ranks: int) -> None:
            super().__init__()
            self.activate = activate
            self.experts = [
                {name: linear(tensors, dtype, ranks if name in _DIVIDED else 1) for name, tensors in matrices.items()}
                for matrices in experts
            ]

        def forward(self, hidden: torch.Tensor, chosen: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
            out = torch.zeros(hidden.shape, dtype=torch.float32)
            for number in chosen.unique().tolist():
                expert = self.experts[number]
                tokens, place = torch.where(chosen == number)
                x = hidden[tokens]
                x = expert["down_proj"](self.activate(expert["gate_proj"](x)) * expert["up_proj"](x))
                out.index_add_(0, tokens, x.float() * weights[tokens, place, None].float())
            return out.to(hidden.dtype)

    return Linear, Experts
