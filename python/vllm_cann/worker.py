"""The worker: owns a device and a model runner."""

from __future__ import annotations

import gc
import itertools
from contextlib import AbstractContextManager, nullcontext

import torch
import torch_npu
from vllm.device_allocator.sleep_mode_backend import SleepModeBackend
from vllm.logger import init_logger
from vllm.platforms import current_platform
from vllm.platforms.interface import set_assigned_physical_gpu_ids
from vllm.utils.mem_utils import MemorySnapshot
from vllm.utils.torch_utils import set_random_seed
from vllm.v1.worker.gpu_model_runner import GPUModelRunner
from vllm.v1.worker.gpu_worker import Worker, init_worker_distributed_environment
from vllm.v1.worker.utils import request_memory
from vllm.v1.worker.worker_base import CompilationTimes

from vllm_cann import ops, parent, replacements, sleep

logger = init_logger("vllm.plugins.cann.worker")


class CannWorker(Worker):
    """One process with one NPU."""

    def init_device(self) -> None:
        parent.watch()
        replacements.apply()
        self.device = self._own_device()
        torch.accelerator.set_device_index(self.device)
        current_platform.check_if_supports_dtype(self.model_config.dtype)
        ops.load(self.device)
        logger.info(
            "vllm_cann serves on %s: %s, %.1f GiB; vLLM platform %s (dispatch key %s), torch_npu %s, CANN %s",
            self.device,
            current_platform.get_device_name(self.device.index),
            current_platform.get_device_total_memory(self.device.index) / 2**30,
            current_platform.device_type,
            current_platform.dispatch_key,
            torch_npu.__version__,
            torch_npu.npu.utils.get_cann_version(),
        )
        init_worker_distributed_environment(
            self.vllm_config,
            self.rank,
            self.distributed_init_method,
            self.local_rank,
            current_platform.dist_backend,
        )
        set_random_seed(self.model_config.seed)
        # vLLM collects garbage ten times while it starts. What has been imported by now stays, and need not be looked at each time.
        gc.collect()
        gc.freeze()
        torch.accelerator.empty_cache()
        self.init_snapshot = MemorySnapshot(device=self.device)
        self.requested_memory = request_memory(self.init_snapshot, self.cache_config)
        self._init_workspace_and_model_runner()

    def _own_device(self) -> torch.device:
        """The device of this rank. Replicas of a model (data parallelism) are given their devices by vLLM.

        Raises:
            ValueError: the machine has fewer devices
        """
        assigned = self.parallel_config.assigned_physical_gpu_ids
        if assigned is not None:
            set_assigned_physical_gpu_ids(assigned)
        index = current_platform.logical_device_id_to_visible_device_id(self.local_rank)
        if index >= torch.npu.device_count():
            raise ValueError(f"rank {self.rank} needs the device npu:{index}; the number of devices is {torch.npu.device_count()}.")
        return torch.device(f"npu:{index}")

    def _make_model_runner(self) -> GPUModelRunner:
        # The platform has seen to it; only a process with another environment than the one that checked the configuration gets here.
        assert not self.use_v2_model_runner, "the worker was to run vLLM's V1 model runner"
        from vllm_cann.runners.v1 import CannModelRunner

        return CannModelRunner(self.vllm_config, self.device)

    @property
    def sleep_mode_backend(self) -> SleepModeBackend:
        """The backend, which knows what there is to free."""
        if self._sleep_mode_backend is None:
            sleep.register()
            backend = super().sleep_mode_backend
            assert isinstance(backend, sleep.CannSleepBackend), "the platform chooses the backend"
            runner = self.model_runner
            backend.serve(
                weights=lambda: itertools.chain(runner.get_model().parameters(), runner.get_model().buffers()),
                kv_cache=runner.cached,
            )
        assert self._sleep_mode_backend is not None
        return self._sleep_mode_backend

    def _maybe_get_memory_pool_context(self, tag: str) -> AbstractContextManager[None]:
        # Sleep mode frees storages, wherever their memory comes from.
        return nullcontext()

    def compile_or_warm_up_model(self) -> CompilationTimes:
        # vLLM's version warms up kernels that only exist for CUDA. Nothing is compiled here.
        set_random_seed(self.model_config.seed)
        return CompilationTimes(language_model=0.0, encoder=0.0)
