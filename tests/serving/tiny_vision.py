"""Small random models that see pictures and videos, and prompts with these. reference.py makes the models: a process without torch_npu.

The vision towers have heads of the sizes of the real models; text has 3 layers of 128 and a tokenizer of words w0 to w99.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image

WORDS = 100
_VISION = ("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>")
# GLM's words for videos, which vLLM looks for whatever a model is asked.
_VIDEO_OF_GLM = ("<|begin_of_video|>", "<|video|>", "<|end_of_video|>")
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *_VISION, *_VIDEO_OF_GLM, "<unk>")
_IDS = {word: i for i, word in enumerate([*_SPECIAL, *(f"w{i}" for i in range(WORDS))])}
_PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"
_VIDEO = "<|vision_start|><|video_pad|><|vision_end|>"

_TEXT: dict[str, Any] = {
    "vocab_size": len(_IDS),
    "hidden_size": 128,
    "intermediate_size": 192,
    "num_hidden_layers": 3,
    "max_position_embeddings": 1024,
    "initializer_range": 0.15,
    "bos_token_id": None,
    "eos_token_id": _IDS["<|im_end|>"],
}


@dataclass(frozen=True)
class Model:
    """A model that sees.

    Attributes:
        type, text, vision, more: of its configuration: those of text and of the vision tower, and fields beside these
        processor: what writes how pictures become patches, and the words for them
        videos: whether it takes videos, too
        picture: what stands for a picture in a text
        words: further words of the tokenizer
    """

    type: str
    text: dict[str, Any]
    vision: dict[str, Any]
    processor: Callable[[Model, Any, Path], None]
    more: dict[str, Any] = field(default_factory=dict)
    videos: bool = False
    picture: str = _PICTURE
    words: tuple[str, ...] = ()

    @property
    def ids(self) -> dict[str, int]:
        """The numbers of all words of the tokenizer."""
        return {word: i for i, word in enumerate([*_IDS, *self.words])}


def _words_for_pictures(model: Model, tokenizer: Any, directory: Path) -> None:
    """Qwen's: pictures of many sizes, in patches of which 2 x 2 become a token."""
    tokenizer.save_pretrained(directory)
    patch = model.vision["patch_size"]
    # Of at most 64 tokens: an engine computes pictures of the largest size when it starts.
    fewest, most = (4 * patch) ** 2, 64 * (2 * patch) ** 2
    sides: dict[str, Any] = {"patch_size": patch, "temporal_patch_size": 2, "merge_size": 2, **_NORM}
    sides |= {"min_pixels": fewest, "max_pixels": most, "size": {"shortest_edge": fewest, "longest_edge": most}}
    name, video = _QWEN[model.type]
    image = {"image_processor_type": "Qwen2VLImageProcessor", "processor_class": f"{name}Processor"}
    (directory / "preprocessor_config.json").write_text(json.dumps({**image, **sides}))
    # vLLM takes the mean and the deviation of pictures for videos, too.
    (directory / "video_preprocessor_config.json").write_text(json.dumps({"video_processor_type": video, **sides}))
    (directory / "chat_template.jinja").write_text("{% for message in messages %}{{ message.content }} {% endfor %}")


def _glm(model: Model, tokenizer: Any, directory: Path) -> None:
    """As Qwen's, and a word before and behind a picture."""
    import transformers

    fewest, most = 112 * 112, 64 * 28 * 28
    size = {"size": {"shortest_edge": fewest, "longest_edge": most}, **_NORM}
    image, video = transformers.Glm4vImageProcessor(**size), transformers.Glm4vVideoProcessor(**size)
    transformers.Glm4vProcessor(image, tokenizer, video).save_pretrained(directory)


def _llava(_: Model, tokenizer: Any, directory: Path) -> None:
    """One square picture is 16 tokens; the tower's first output is left out."""
    import transformers

    image = transformers.CLIPImageProcessor(size={"shortest_edge": 56}, crop_size=_SQUARE, **_NORM)
    transformers.LlavaProcessor(
        image,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        image_token="<|image_pad|>",
        num_additional_image_tokens=1,
    ).save_pretrained(directory)


def _onevision(_: Model, tokenizer: Any, directory: Path) -> None:
    """A picture as a whole, and its squares."""
    import transformers

    image = transformers.LlavaOnevisionImageProcessor(size=_SQUARE, image_grid_pinpoints=_GRIDS, **_NORM)
    transformers.LlavaOnevisionProcessor(
        image,
        tokenizer,
        transformers.LlavaOnevisionVideoProcessor(size=_SQUARE, **_NORM),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        image_token="<|image_pad|>",
        video_token="<|video_pad|>",
    ).save_pretrained(directory)


def _next(_: Model, tokenizer: Any, directory: Path) -> None:
    """A picture as a whole, and its squares, with a word behind each row of these."""
    import transformers

    image = transformers.LlavaNextImageProcessor(size={"shortest_edge": 56}, crop_size=_SQUARE, image_grid_pinpoints=_GRIDS[1:], **_NORM)
    transformers.LlavaNextProcessor(
        image,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        image_token="<|image_pad|>",
        num_additional_image_tokens=1,
    ).save_pretrained(directory)


def _pixtral(_: Model, tokenizer: Any, directory: Path) -> None:
    """Pictures of many sizes, with a word behind each row of patches."""
    import transformers

    image = transformers.PixtralImageProcessor(size={"longest_edge": 224}, patch_size={"height": 28, "width": 28}, **_NORM)
    transformers.PixtralProcessor(
        image,
        tokenizer,
        patch_size=14,
        spatial_merge_size=2,
        image_token="<|image_pad|>",
        image_break_token="<|vision_pad|>",
        image_end_token="<|vision_end|>",
    ).save_pretrained(directory)


def _internvl(_: Model, tokenizer: Any, directory: Path) -> None:
    """Up to three squares of a picture, and the whole of it, with 4 tokens each."""
    import transformers

    image = transformers.GotOcr2ImageProcessor(size=_SQUARE, crop_to_patches=True, min_patches=1, max_patches=3, **_NORM)
    video = transformers.InternVLVideoProcessor(size=_SQUARE, **_NORM)
    transformers.InternVLProcessor(image, tokenizer, video, image_seq_length=4).save_pretrained(directory)


def _gemma3(_: Model, tokenizer: Any, directory: Path) -> None:
    """A square picture is 4 tokens, between words for its beginning and its end."""
    import transformers

    image = transformers.Gemma3ImageProcessor(size=_SQUARE, **_NORM)
    transformers.Gemma3Processor(image, tokenizer, image_seq_length=4).save_pretrained(directory)


def _idefics3(_: Model, tokenizer: Any, directory: Path) -> None:
    """Squares of a picture in rows, each behind a word for its place, and the whole of it."""
    import transformers

    image = transformers.Idefics3ImageProcessor(size={"longest_edge": 112}, max_image_size={"longest_edge": 56}, **_NORM)
    transformers.Idefics3Processor(image, tokenizer, image_seq_len=4).save_pretrained(directory)


_ROWS = (
    *("<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>"),
    *(f"<row_{i + 1}_col_{j + 1}>" for i in range(6) for j in range(6)),
)
_SQUARE = {"height": 56, "width": 56}
_GRIDS = [[56, 56], [56, 112], [112, 56]]
_NORM = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3}
# By model type: names of the processors of pictures and of videos.
_QWEN = {
    "qwen2_vl": ("Qwen2VL", "Qwen2VLVideoProcessor"),
    "qwen2_5_vl": ("Qwen2_5_VL", "Qwen2VLVideoProcessor"),
    "qwen3_vl": ("Qwen3VL", "Qwen3VLVideoProcessor"),
    "qwen3_vl_moe": ("Qwen3VL", "Qwen3VLVideoProcessor"),
}
# Text with grouped heads of 64.
_GROUPED = {**_TEXT, "num_attention_heads": 2, "num_key_value_heads": 1}
_MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [8, 12, 12]}
# A tower of plain attention.
_TOWER: dict[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 192,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "image_size": 56,
    "patch_size": 14,
    "initializer_range": 0.1,
}
_PLACE = {"image_token_index": _IDS["<|image_pad|>"]}

_QWEN3_TEXT: dict[str, Any] = {
    **_TEXT,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 128,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [24, 20, 20], "mrope_interleaved": True},
}
_QWEN3_TOWER = {
    "depth": 4,
    "hidden_size": 144,
    "intermediate_size": 96,
    "num_heads": 2,
    "out_hidden_size": 128,
    "deepstack_visual_indexes": [0, 1, 2],
    "num_position_embeddings": 144,
    "patch_size": 16,
    "initializer_range": 0.1,
}
_GLM = {f"{kind}_token_id": _IDS[f"<|{kind}_pad|>"] for kind in ("image", "video")} | {
    f"{kind}_{side}_token_id": _IDS[f"<|vision_{side}|>"] for kind in ("image", "video") for side in ("start", "end")
}

MODELS = {
    "qwen2-vl": Model(
        "qwen2_vl",
        {**_GROUPED, "rope_parameters": _MROPE},
        {"depth": 3, "embed_dim": 160, "num_heads": 2, "mlp_ratio": 1, "hidden_size": 128, "patch_size": 14, "initializer_range": 0.1},
        _words_for_pictures,
        videos=True,
    ),
    # Windows of 4 x 4 merged patches in two of four layers; heads of 80.
    "qwen2.5-vl": Model(
        "qwen2_5_vl",
        {**_GROUPED, "rope_parameters": _MROPE},
        {
            "depth": 4,
            "hidden_size": 160,
            "intermediate_size": 96,
            "num_heads": 2,
            "out_hidden_size": 128,
            "fullatt_block_indexes": [1, 3],
            "window_size": 112,
            "patch_size": 14,
            "tokens_per_second": 2,
            "initializer_range": 0.1,
        },
        _words_for_pictures,
        videos=True,
    ),
    # Heads of 72, layers of the tower that add to those of the text, axes of positions in turn. Text with norms of heads of 128.
    "qwen3-vl": Model("qwen3_vl", _QWEN3_TEXT, _QWEN3_TOWER, _words_for_pictures, videos=True),
    # As qwen3-vl, with experts.
    "qwen3-vl-moe": Model(
        "qwen3_vl_moe",
        {
            **_QWEN3_TEXT,
            "num_experts": 16,
            "num_experts_per_tok": 4,
            "moe_intermediate_size": 48,
            "norm_topk_prob": True,
        },
        _QWEN3_TOWER,
        _words_for_pictures,
        videos=True,
    ),
    # Positions of patches are interpolated and rotated; text with four norms in a layer and half of each head rotated.
    "glm4v": Model(
        "glm4v",
        {
            **_GROUPED,
            "pad_token_id": _IDS["<|endoftext|>"],
            "attention_bias": True,
            "rope_parameters": {**_MROPE, "mrope_section": [4, 6, 6], "partial_rotary_factor": 0.5},
        },
        {
            "depth": 3,
            "hidden_size": 128,
            "intermediate_size": 96,
            "num_heads": 2,
            "out_hidden_size": 128,
            "image_size": 112,
            "patch_size": 14,
            "initializer_range": 0.1,
        },
        _glm,
        _GLM,
    ),
    "llava": Model(
        "llava",
        {"model_type": "llama", **_GROUPED},
        {"model_type": "clip_vision_model", **_TOWER, "projection_dim": 64},
        _llava,
        {**_PLACE, "vision_feature_layer": -2, "vision_feature_select_strategy": "default"},
    ),
    "llava-next": Model(
        "llava_next",
        {"model_type": "mistral", **_GROUPED},
        {"model_type": "clip_vision_model", **_TOWER, "projection_dim": 64},
        _next,
        {**_PLACE, "vision_feature_layer": -2, "vision_feature_select_strategy": "default", "image_grid_pinpoints": _GRIDS[1:]},
    ),
    "llava-onevision": Model(
        "llava_onevision",
        {"model_type": "qwen2", **_GROUPED},
        {"model_type": "siglip_vision_model", **_TOWER},
        _onevision,
        {
            **_PLACE,
            "video_token_index": _IDS["<|video_pad|>"],
            "vision_feature_layer": -1,
            "vision_feature_select_strategy": "full",
            "image_grid_pinpoints": _GRIDS,
        },
        videos=True,
    ),
    "internvl": Model(
        "internvl",
        {"model_type": "qwen2", **_GROUPED},
        {
            "model_type": "internvl_vision",
            **_TOWER,
            "image_size": [56, 56],
            "patch_size": [14, 14],
            "use_absolute_position_embeddings": True,
        },
        _internvl,
        {"image_token_id": _IDS["<|image_pad|>"], "image_seq_length": 4},
        videos=True,
    ),
    # Positions of patches in two axes, and a picture of one request in one block of its attention.
    "mistral3": Model(
        "mistral3",
        {"model_type": "mistral", **_GROUPED, "head_dim": 64},
        {"model_type": "pixtral", **_TOWER, "head_dim": 64, "image_size": 224},
        _pixtral,
        {**_PLACE, "vision_feature_layer": -1, "spatial_merge_size": 2},
    ),
}

# Models of which not every type was served: further_test.py serves those that further.json names.
FURTHER = {
    # Pictures whose tokens see each other, also where text has a window; norms of heads, weights of norms above 1.
    "gemma3-vision": Model(
        "gemma3",
        {
            **_TEXT,
            "model_type": "gemma3_text",
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 128,
            "sliding_window": 50,
            "query_pre_attn_scalar": 128,
            "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
        },
        {"model_type": "siglip_vision_model", **_TOWER, "vision_use_head": False},
        _gemma3,
        {
            "mm_tokens_per_image": 4,
            "image_token_index": _IDS["<|image_pad|>"],
            "boi_token_index": _IDS["<|vision_start|>"],
            "eoi_token_index": _IDS["<|vision_end|>"],
        },
        picture="<|vision_start|>",
        words=tuple("\n" * count for count in (1, 2, 3, 4)),
    ),
    "idefics3": Model(
        "idefics3",
        {"model_type": "llama", **_GROUPED},
        {"model_type": "idefics3_vision", **_TOWER},
        _idefics3,
        {"image_token_id": len(_IDS) + 1, "scale_factor": 2},
        picture="<image>",
        words=_ROWS,
    ),
}
ALL = {**MODELS, **FURTHER}


def picture(seed: int, width: int, height: int) -> Image:
    """Coarse noise, so that neighbouring patches differ."""
    from PIL import Image

    rng = random.Random(seed)
    small = Image.new("RGB", (width // 7, height // 7))
    small.putdata([(rng.randrange(256), rng.randrange(256), rng.randrange(256)) for _ in range(small.width * small.height)])
    return small.resize((width, height))


def video(seed: int, frames: int, width: int, height: int) -> Any:
    """Frames of noise that differ, uint8 [frames, height, width, 3]."""
    import numpy as np

    return np.stack([np.asarray(picture(100 * seed + i, width, height)) for i in range(frames)])


def shown_at(frames: int) -> dict[str, Any]:
    """What is known of a video besides its frames: two of them a second, and all are taken."""
    return {
        "fps": 2.0,
        "duration": frames / 2,
        "total_num_frames": frames,
        "frames_indices": list(range(frames)),
        "video_backend": "opencv",
    }


def sees(directory: Path) -> bool:
    """Whether a model has a processor of pictures."""
    return any((directory / f"{name}_config.json").exists() for name in ("preprocessor", "processor"))


def _words(rng: random.Random, count: int) -> str:
    return " ".join(f"w{rng.randrange(WORDS)}" for _ in range(count))


@cache
def prompts(name: str) -> list[dict[str, Any]]:
    """A model's prompts of 1 to 500 tokens with up to three pictures, [seed, width, height], or videos, [seed, frames, width, height]."""
    rng = random.Random(44)
    some: list[tuple[int, list[list[int]]]] = [(count, []) for count in (1, 123, 124, 125, 126, 127, 300)]
    some += [(3, [[1, 112, 56]]), (3, [[2, 112, 56]]), (20, [[1, 112, 56]]), (120, [[3, 224, 224]]), (1, [[4, 70, 189]])]
    some += [(4, [[5, 140, 140], [6, 224, 84]]), (90, [[7, 56, 56], [8, 168, 112], [9, 84, 210]]), (180, [[5, 140, 140], [1, 112, 56]])]
    some += [(400, [[10, 140, 140]]), (5, [[11, 252, 126], [11, 252, 126]])]
    # Two frames are a patch, and of an odd number the last is taken twice. Times are no longer than the longer side: the text behind a
    # longer video begins after its last time with vLLM, and after its side with HF transformers 5.
    some += [(6, [[21, 4, 112, 56]]), (124, [[1, 112, 56], [22, 5, 140, 56], [3, 56, 56]])]
    out = []
    texts: dict[int, str] = {}
    for count, shown in some:
        # Prompts of equal length have equal words.
        text = texts.setdefault(count, _words(rng, count))
        head, _, tail = text.partition(" ")
        places = "".join(ALL[name].picture if len(one) == 3 else _VIDEO for one in shown)
        pictures, videos = ([one for one in shown if len(one) == size] for size in (3, 4))
        out.append({"prompt": f"{head} {places} {tail}".strip(), "pictures": pictures, "videos": videos})
    return [one for one in out if ALL[name].videos or not one["videos"]]


def _as_published(kind: str, tensors: dict[str, Any]) -> dict[str, Any]:
    """Weights as in published checkpoints.

    transformers 5 saves the towers of LLaVA and Gemma 3 one level less deep, and experts of Qwen3-VL turned.
    """
    if kind == "qwen3_vl_moe":
        return {key: value.transpose(1, 2).contiguous() if ".experts." in key else value for key, value in tensors.items()}
    if not kind.startswith(("llava", "gemma3")):
        return tensors
    inner = "vision_tower.vision_model."
    return {key if key.startswith(inner) else key.replace("vision_tower.", inner, 1): value for key, value in tensors.items()}


def make(name: str, directory: Path) -> None:
    """Writes one model, its tokenizer and its processors."""
    import torch
    import transformers
    from safetensors.torch import load_file, save_file
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

    chosen = ALL[name]
    torch.manual_seed(22)
    more = chosen.more
    if chosen.type in _QWEN:
        more = {f"{kind}_token_id": _IDS[f"<|{kind}_pad|>"] for kind in ("image", "video")}
        more |= {f"vision_{side}_token_id": _IDS[f"<|vision_{side}|>"] for side in ("start", "end")}
    config = transformers.AutoConfig.for_model(
        chosen.type,
        text_config={**chosen.text, "vocab_size": len(chosen.ids)},
        vision_config=chosen.vision,
        **{"tie_word_embeddings": False, **more},
    )
    model = transformers.AutoModelForImageTextToText.from_config(config)
    # As they are made, norms have no influence and biases are zero.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
        # No answer has a picture in it.
        model.get_output_embeddings().weight[: len(_SPECIAL)] = 0
    model.generation_config = transformers.GenerationConfig(eos_token_id=_TEXT["eos_token_id"])
    model.save_pretrained(directory)
    file = directory / "model.safetensors"
    save_file(_as_published(chosen.type, load_file(file)), file, {"format": "pt"})
    tokenizer = Tokenizer(models.WordLevel(chosen.ids, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in _SPECIAL[:-1]])
    names = {f"{kind}_token": f"<|{kind}_pad|>" for kind in ("image", "video")}
    names |= {"vision_bos_token": "<|vision_start|>", "vision_eos_token": "<|vision_end|>"}
    # InternVL's names for the same.
    names |= {"start_image_token": "<|vision_start|>", "end_image_token": "<|vision_end|>", "context_image_token": "<|image_pad|>"}
    # Gemma's.
    names |= {"boi_token": "<|vision_start|>", "eoi_token": "<|vision_end|>"}
    words = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<unk>",
        extra_special_tokens=names,
    )
    chosen.processor(chosen, words, directory)
