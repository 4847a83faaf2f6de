"""A row of the table of refused features, and functions that make the kinds of rows that the table has most."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vllm.config import VllmConfig

LEAVE_OUT = "leave the option out"
OTHER_MODEL = "serve another model"


@dataclass(frozen=True)
class Row:
    """One refused feature."""

    feature: str
    option: str
    """What the user set: an option of the command line, or what of the model's configuration."""
    fields: tuple[str, ...]
    """The fields of VllmConfig that this row looks after; one without a dot stands for all that is below it."""
    found: Callable[[VllmConfig], Any]
    """The value that asks for the feature; None where nothing does."""
    cure: str = LEAVE_OUT

    def sentence(self, value: Any) -> str:
        """What the user reads."""
        return f"vllm_cann does not have {self.feature}: {self.option} is {value!r}; {self.cure}."


def value_at(config: VllmConfig, path: str) -> Any:
    """The field at a path with dots; None where a part of the path is not there."""
    value: Any = config
    for name in path.split("."):
        value = getattr(value, name, None)
    return value


def option_row(feature: str, option: str, path: str, *allowed: Any, also: tuple[str, ...] = (), cure: str = LEAVE_OUT) -> Row:
    """A row for a field that may only be None or one of `allowed`; `also` are fields that act only with it."""

    def found(config: VllmConfig) -> Any:
        value = value_at(config, path)
        return None if value is None or any(value == one for one in allowed) else value

    return Row(feature, option, (path, *also), found, cure)


def model_row(feature: str, option: str, found: Callable[[Any], Any], *fields: str, cure: str = OTHER_MODEL) -> Row:
    """A row about the served model, from vLLM's ModelConfig."""
    return Row(feature, option, fields, lambda config: None if config.model_config is None else found(config.model_config) or None, cure)


def text_field(*names: str) -> Callable[[Any], Any]:
    """The first of the fields of the model's own configuration that is set."""
    return lambda model: next((value for value in (getattr(model.hf_text_config, name, None) for name in names) if value), None)


def kind_of(config: Any) -> Any:
    """The name of a configuration that the user has given, which may be long."""
    return None if config is None else getattr(config, "method", None) or type(config).__name__
