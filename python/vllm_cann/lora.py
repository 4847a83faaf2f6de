"""Adapters of tokens, for vLLM's LoRA layers: two launches for the slices of a layer, and nothing is read from the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from vllm.lora.layers import LoRAMapping
from vllm.lora.punica_wrapper.punica_base import PunicaWrapperBase

from vllm_cann.ops.lora_expand import lora_expand
from vllm_cann.ops.lora_shrink import SLICES, lora_shrink


def _dense(stacked: torch.Tensor) -> torch.Tensor:
    """vLLM's weights [adapters, 1, rows, columns] as [adapters, rows, columns]."""
    return stacked.flatten(0, 1)


def _groups(count: int) -> Iterator[slice]:
    """As many slices of a layer as a launch takes."""
    return (slice(first, min(first + SLICES, count)) for first in range(0, count, SLICES))


class CannPunicaWrapper(PunicaWrapperBase):
    """The adapter of each token of a step, and products with the weights of the adapters.

    Weights are vLLM's: A [adapters, 1, rank, in] and B [adapters, 1, out, rank], a tensor for each slice of a layer. All results are
    added to their tensor in place. A step without an adapter launches nothing.
    """

    def __init__(self, max_num_batched_tokens: int, max_batches: int, device: torch.device | str, **kwargs: Any) -> None:
        super().__init__(max_num_batched_tokens, max_batches, device, **kwargs)
        self.no_lora = True
        self._hidden_states: torch.Tensor | None = None
        # A profiling run has more rows than the mapping of its requests: those have no adapter.
        self._token_lora_indices.fill_(-1)
        self._sampler_indices.fill_(-1)
        self._embeddings_indices.zero_()

    def update_metadata(
        self, mapping: LoRAMapping, lora_index_to_id: list[int | None], max_loras: int, vocab_size: int, **kwargs: Any
    ) -> None:
        """Takes the adapters of the tokens and of the requests of a step. vLLM's own version reads their runs back from the device."""
        self.no_lora = not any(number > 0 for number in (*mapping.index_mapping, *mapping.prompt_mapping))
        self._update_base_metadata(mapping, lora_index_to_id, max_loras, vocab_size)

    def _add(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_a: Sequence[torch.Tensor],
        lora_b: Sequence[torch.Tensor],
        indices: torch.Tensor,
        scale: float,
    ) -> None:
        """y[t] += scale * B A x[t], of slices that follow each other in y."""
        y, x = y.view(-1, y.shape[-1]), x.reshape(-1, x.shape[-1]).contiguous()
        offset = 0
        for group in _groups(len(lora_a)):
            weights = [_dense(one) for one in lora_b[group]]
            shrunk = lora_shrink(x, [_dense(one) for one in lora_a[group]], indices[: x.shape[0]], scale)
            lora_expand(y, shrunk, weights, indices[: x.shape[0]], offset)
            offset += sum(one.shape[1] for one in weights)

    def add_lora_linear(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: tuple[torch.Tensor, ...],
        lora_b_stacked: tuple[torch.Tensor, ...],
        scale: float,
        output_slices: tuple[int, ...],
        *,
        buffer: tuple[torch.Tensor, ...] | None = None,
        **kwargs: Any,
    ) -> None:
        """Adds what the adapters of the tokens make of x [tokens, in] to y [tokens, out]; `buffer` is not needed."""
        if self.no_lora:
            return
        sizes = tuple(one.shape[-2] for one in lora_b_stacked)
        assert sizes == tuple(output_slices), f"the slices of a layer are {output_slices}, and those of its adapters {sizes}"
        self._add(y, x, lora_a_stacked, lora_b_stacked, self._token_lora_indices, scale)

    def add_lora_logits(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: torch.Tensor,
        lora_b_stacked: torch.Tensor,
        scale: float,
        *,
        buffer: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> None:
        """Adds what the adapters of the rows make of x [rows, hidden] to the logits y [rows, vocabulary]."""
        if self.no_lora:
            return
        indices = self._sampler_indices
        if self._hidden_states is not None:
            first = x.storage_offset() - self._hidden_states.storage_offset()
            assert x.untyped_storage().data_ptr() == self._hidden_states.untyped_storage().data_ptr(), "rows of another tensor"
            indices = self._token_lora_indices[first // self._hidden_states.stride(0) :]
        self._add(y, x, (lora_a_stacked,), (lora_b_stacked,), indices, scale)

    @contextmanager
    def rows_are_tokens(self, hidden_states: torch.Tensor) -> Iterator[None]:
        """While this is open, logits are computed of neighbouring rows of `hidden_states`, which has a row for each token of the step.

        Else they are those of the sampled rows, one for each request. vLLM takes the adapters of the first requests for prompts' logits.
        """
        self._hidden_states = hidden_states
        try:
            yield
        finally:
            self._hidden_states = None

    def add_lora_embedding(
        self, y: torch.Tensor, x: torch.Tensor, lora_b_stacked: torch.Tensor, add_inputs: bool = True, **kwargs: Any
    ) -> None:
        """Adds B x to y [tokens, hidden]; x [tokens, rank] are rows of A."""
        if not self.no_lora:
            self.add_expand(y, x.unsqueeze(0), (lora_b_stacked,), (y.shape[-1],), add_inputs=add_inputs)

    def add_shrink(
        self,
        y: tuple[torch.Tensor, ...] | torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: tuple[torch.Tensor, ...],
        scale: float,
        **kwargs: Any,
    ) -> None:
        """y[s] += scale * A_s x, of float32 tensors y[s] [tokens, rank]."""
        if self.no_lora:
            return
        x = x.reshape(-1, x.shape[-1]).contiguous()
        for group in _groups(len(lora_a_stacked)):
            shrunk = lora_shrink(x, [_dense(one) for one in lora_a_stacked[group]], self._token_lora_indices[: x.shape[0]], scale)
            for out, one in zip(y[group], shrunk, strict=True):
                out.view(-1, out.shape[-1]).add_(one)

    def add_expand(
        self,
        y: torch.Tensor,
        x: tuple[torch.Tensor, ...] | torch.Tensor,
        lora_b_stacked: tuple[torch.Tensor, ...],
        output_slices: tuple[int, ...],
        offset_start: int = 0,
        add_inputs: bool = True,
        **kwargs: Any,
    ) -> None:
        """y[:, slice s] += B_s x[s], of x[s] [tokens, rank]; the slices follow each other from `offset_start` on."""
        if self.no_lora:
            return
        rows = (x if isinstance(x, torch.Tensor) else torch.stack(x)).float()
        y = y.view(-1, y.shape[-1])
        for group in _groups(len(lora_b_stacked)):
            weights = [_dense(one) for one in lora_b_stacked[group]]
            lora_expand(y, rows[group].contiguous(), weights, self._token_lora_indices[: y.shape[0]], offset_start, add_inputs)
            offset_start += sum(output_slices[group])

    def apply_lora_full_linear(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        weight_stacked: torch.Tensor,
        bias_stacked: torch.Tensor,
        module_enabled: torch.Tensor,
    ) -> None:
        """Replaces rows of y [requests, out] of adapters that have the whole layer: W x + b, with W [adapters, 1, out, in]."""
        if self.no_lora:
            return
        [made] = lora_shrink(x.contiguous(), [_dense(weight_stacked)], self.sampler_indices, 1.0)
        y.copy_(self._select_full_linear_output(y, made, bias_stacked, module_enabled))
