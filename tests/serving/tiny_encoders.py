"""Small random models that give vectors, scores or classes instead of text. reference.py makes them: a process without torch_npu.

3 layers of 128, with a tokenizer of words w0 to w99. Weights are large enough that vectors of different texts differ.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SIZES: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 192,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "initializer_range": 0.2,
    "max_position_embeddings": 514,
}
_QWEN3 = {**_SIZES, "num_key_value_heads": 1, "head_dim": 128, "initializer_range": 0.15, "tie_word_embeddings": True}
WORDS = 100
_SPECIAL = ("<pad>", "<unk>", "<s>", "</s>", "<mask>")


@dataclass(frozen=True)
class Encoder:
    """A model.

    Attributes:
        type, fields: of its configuration
        head: of HF transformers' AutoModel... classes
        task: what vLLM is asked for: "embed", "classify", "score" or "token_classify"
        pooling: of an embedding: "mean", "cls" or "lasttoken"
    """

    type: str
    fields: dict[str, Any]
    head: str = "AutoModel"
    task: str = "embed"
    pooling: str = ""


MODELS = {
    "bert": Encoder("bert", _SIZES, pooling="mean"),
    # Heads of 32, as those of BGE-small and MiniLM.
    "bert-32": Encoder("bert", {**_SIZES, "num_attention_heads": 4}, pooling="cls"),
    # Windows in two of three layers, rotary embeddings.
    "modernbert": Encoder("modernbert", {**_SIZES, "local_attention": 32, "global_attn_every_n_layers": 3}, pooling="mean"),
    "qwen3-embedding": Encoder("qwen3", {**_QWEN3, "matryoshka_dimensions": [32, 96, 128]}, pooling="lasttoken"),
    # Pairs with types of tokens.
    "bert-score": Encoder("bert", {**_SIZES, "num_labels": 1}, "AutoModelForSequenceClassification", "score"),
    "roberta-score": Encoder(
        "xlm-roberta", {**_SIZES, "type_vocab_size": 1, "num_labels": 1}, "AutoModelForSequenceClassification", "score"
    ),
    "bert-tokens": Encoder("bert", {**_SIZES, "num_labels": 5}, "AutoModelForTokenClassification", "token_classify"),
    "qwen3-classes": Encoder("qwen3", {**_QWEN3, "num_labels": 3}, "AutoModelForSequenceClassification", "classify"),
}
_CLASSES: dict[str, Any] = {"head": "AutoModelForSequenceClassification", "task": "classify"}
_OF_TOKENS: dict[str, Any] = {"head": "AutoModelForTokenClassification", "task": "token_classify"}
_ROBERTA = {**_SIZES, "type_vocab_size": 1, "position_embedding_type": "absolute"}
_MODERN = {**_SIZES, "local_attention": 32, "global_attn_every_n_layers": 3}
_HEADS_OF_64 = {**_SIZES, "num_key_value_heads": 1, "initializer_range": 0.15}

# Models that are asked the same, in fewer types: further.json has them.
FURTHER = {
    "roberta": Encoder("roberta", _ROBERTA, pooling="cls"),
    "xlm-roberta": Encoder("xlm-roberta", _ROBERTA, pooling="cls"),
    "electra": Encoder("electra", {**_SIZES, "embedding_size": 128}, pooling="mean"),
    "eurobert": Encoder("eurobert", _QWEN3, pooling="mean"),
    "llama-embedding": Encoder("llama", _QWEN3, pooling="lasttoken"),
    "mistral-embedding": Encoder("mistral", {**_QWEN3, "sliding_window": None}, pooling="lasttoken"),
    "qwen2-embedding": Encoder("qwen2", _HEADS_OF_64, pooling="lasttoken"),
    "gemma2-embedding": Encoder("gemma2", _QWEN3, pooling="lasttoken"),
    # A decoder whose tokens all see each other, in some layers within a window.
    "embeddinggemma": Encoder(
        "gemma3_text",
        {
            **_QWEN3,
            "use_bidirectional_attention": True,
            "sliding_window": 32,
            "query_pre_attn_scalar": 128,
            "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
        },
        pooling="mean",
    ),
    "bert-classes": Encoder("bert", {**_SIZES, "num_labels": 3}, **_CLASSES),
    "roberta-classes": Encoder("roberta", {**_ROBERTA, "num_labels": 3}, **_CLASSES),
    "modernbert-classes": Encoder("modernbert", {**_MODERN, "num_labels": 3}, **_CLASSES),
    "llama-classes": Encoder("llama", {**_QWEN3, "num_labels": 3}, **_CLASSES),
    "mistral-classes": Encoder("mistral", {**_QWEN3, "sliding_window": None, "num_labels": 3}, **_CLASSES),
    "qwen2-classes": Encoder("qwen2", {**_HEADS_OF_64, "num_labels": 3}, **_CLASSES),
    "gpt2-classes": Encoder(
        "gpt2", {"n_embd": 128, "n_layer": 3, "n_head": 2, "n_positions": 514, "initializer_range": 0.2, "num_labels": 3}, **_CLASSES
    ),
    "roberta-tokens": Encoder("roberta", {**_ROBERTA, "num_labels": 5}, **_OF_TOKENS),
    "modernbert-tokens": Encoder("modernbert", {**_MODERN, "num_labels": 5}, **_OF_TOKENS),
    "qwen3-tokens": Encoder("qwen3", {**_QWEN3, "num_labels": 5}, **_OF_TOKENS),
}
ALL = {**MODELS, **FURTHER}


def answers(llm: Any, task: str, questions: list[Any]) -> list[Any]:
    """What a model of vLLM says of texts, or of pairs of them: vectors, probabilities or scores, by its task."""
    if task == "embed":
        return [output.outputs.embedding for output in llm.embed(questions, use_tqdm=False)]
    if task == "classify":
        return [output.outputs.probs for output in llm.classify(questions, use_tqdm=False)]
    if task == "score":
        ones, others = (list(side) for side in zip(*questions, strict=True))
        return [[output.outputs.score] for output in llm.score(ones, others, use_tqdm=False)]
    return [output.outputs.data.tolist() for output in llm.encode(questions, pooling_task=task, use_tqdm=False)]


def _tokenizer(encoder: Encoder) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: i for i, token in enumerate([*_SPECIAL, *(f"w{i}" for i in range(WORDS))])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    specials = [(token, vocabulary[token]) for token in ("<s>", "</s>")]
    names = ["input_ids", "attention_mask"]
    if encoder.type == "qwen3":
        single, pair = "$A </s>", "$A $B </s>"
    elif encoder.type == "bert":
        single, pair = "<s> $A </s>", "<s> $A </s> $B:1 </s>:1"
        names.append("token_type_ids")
    else:
        single, pair = "<s> $A </s>", "<s> $A </s> </s> $B </s>"
    tokenizer.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=specials)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        mask_token="<mask>",
        model_max_length=512,
        model_input_names=names,
    )


def _describe_pooling(directory: Path, pooling: str) -> None:
    """The files by which sentence-transformers, and vLLM, know how an embedding is made."""
    parts = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"} for i, (path, kind) in enumerate(parts)
    ]
    (directory / "modules.json").write_text(json.dumps(modules))
    (directory / "1_Pooling").mkdir()
    modes = {"mean": "mean_tokens", "cls": "cls_token", "lasttoken": "lasttoken"}
    chosen = {f"pooling_mode_{name}": name == modes[pooling] for name in (*modes.values(), "max_tokens", "mean_sqrt_len_tokens")}
    (directory / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": _SIZES["hidden_size"], **chosen}))


def make(name: str, directory: Path) -> None:
    """Writes one model, its tokenizer, and how it is pooled."""
    import torch
    import transformers

    encoder = ALL[name]
    torch.manual_seed(21)
    tokens = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3}
    config = transformers.AutoConfig.for_model(encoder.type, vocab_size=len(_SPECIAL) + WORDS, **tokens, **encoder.fields)
    head = "AutoModelForCausalLM" if encoder.type == "qwen3" and encoder.head == "AutoModel" else encoder.head
    model = getattr(transformers, head).from_config(config)
    # As they are made, norms have no influence and biases are zero.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(directory)
    _tokenizer(encoder).save_pretrained(directory)
    if encoder.pooling:
        _describe_pooling(directory, encoder.pooling)
