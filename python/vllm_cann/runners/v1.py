"""vLLM's V1 model runner."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext

import torch
from torch import nn
from vllm.config import VllmConfig
from vllm.v1.kv_cache_interface import KVCacheConfig
from vllm.v1.outputs import LogprobsTensors
from vllm.v1.worker.gpu_model_runner import GPUModelRunner
from vllm.v1.worker.utils import bind_kv_cache

from vllm_cann import replacements
from vllm_cann.attention.backend import PagedBackend, specification, view_of


class CannModelRunner(GPUModelRunner):
    """V1 runner whose caches have the layout that the kernels and the fused attention take."""

    def __init__(self, vllm_config: VllmConfig, device: torch.device) -> None:
        super().__init__(vllm_config, device)
        if not self.use_async_scheduling and vllm_config.parallel_config.pipeline_parallel_size > 1:
            # Only the last stage reads back what it has sampled. The hosts of the others would overwrite the inputs of a step, which are in
            # page-locked memory, before their device has copied them. vLLM waits for the copies where it schedules asynchronously.
            self.prepare_inputs_event: torch.npu.Event | None = torch.npu.Event()

    def load_model(self, load_dummy_weights: bool = False, *, model: nn.Module | None = None) -> None:
        """Loads the model; layers that have a fused operator take it from here on."""
        super().load_model(load_dummy_weights, model=model)
        replacements.apply_to(self.get_model())

    def _get_prompt_logprobs_dict(
        self, hidden_states: torch.Tensor, num_scheduled_tokens: dict[str, int]
    ) -> dict[str, LogprobsTensors | None]:
        """vLLM's, with the adapters of the tokens of each prompt."""
        with ExitStack() as stack:
            if self.lora_config and self.num_prompt_logprobs:
                for wrapper in self.lora_manager._adapter_manager.punica_wrapper_mapping.values():
                    stack.enter_context(wrapper.rows_are_tokens(hidden_states))
            return super()._get_prompt_logprobs_dict(hidden_states, num_scheduled_tokens)

    def cached(self) -> Iterator[torch.Tensor]:
        """The caches, and the workspaces of latent attention: what nothing needs when there are no requests."""
        yield from self.kv_caches
        for group in itertools.chain(*self.attn_groups):
            for builder in group.metadata_builders:
                workspace = getattr(builder, "chunked_prefill_workspace", None)
                if workspace is not None:
                    yield workspace

    def initialize_kv_cache_tensors(
        self,
        kv_cache_config: KVCacheConfig,
        kernel_block_sizes: list[int],
        kv_cache_allocation_context: AbstractContextManager | None = None,
    ) -> dict[str, torch.Tensor]:
        """Allocates one piece of memory, of which each layer has a part in the shape that its attention backend states.

        Raises:
            ValueError: a layer has another backend, or a cache that the backend does not have
        """
        layers = self.compilation_config.static_forward_context
        tensors = kv_cache_config.kv_cache_tensors
        [size] = {tensor.size for tensor in tensors} or {0}
        with kv_cache_allocation_context or nullcontext():
            memory = torch.zeros(size, dtype=torch.int8, device=self.device)
        caches: dict[str, torch.Tensor] = {}
        for tensor in tensors:
            for name in tensor.layers:
                backend = layers[name].get_attn_backend()
                if not issubclass(backend, PagedBackend):
                    raise ValueError(
                        f"the layer {name} has the attention backend {backend.__name__}; vllm_cann has backends of its own only"
                    )
                spec = specification(kv_cache_config, name)
                shape = backend.cache_shape(name, spec, kv_cache_config.num_blocks_of(tensor))
                caches[name] = view_of(memory, tensor, name, spec, shape)
        for name, target in self.shared_kv_cache_layers.items():
            caches[name] = caches[target]
        bind_kv_cache(caches, self.compilation_config.static_forward_context, self.kv_caches)
        return caches
