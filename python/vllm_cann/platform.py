"""The platform that vLLM sees."""

from __future__ import annotations

import multiprocessing
import os
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import vllm.envs as envs
from vllm.logger import init_logger
from vllm.platforms.interface import Platform, PlatformEnum

from vllm_cann import device as npu

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.utils.argparse_utils import FlexibleArgumentParser
    from vllm.v1.attention.backends.mla.prefill.base import MLAPrefillBackend
    from vllm.v1.attention.backends.mla.prefill.selector import MLAPrefillSelectorConfig
    from vllm.v1.attention.backends.registry import AttentionBackendEnum
    from vllm.v1.attention.selector import AttentionSelectorConfig

logger = init_logger("vllm.plugins.cann.platform")


class _ForParallelConfig:
    """What vLLM's configuration of parallelism sees of a platform. It asks whether a platform is like CUDA for one reason: its routers
    count the tokens of experts there only. Ours do so, too.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def is_cuda_alike(self) -> bool:
        return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._platform, name)


class CannPlatform(Platform):
    """Huawei Ascend NPUs through torch_npu."""

    _enum = PlatformEnum.OOT
    # vLLM makes torch device strings of it.
    device_name = "npu"
    device_type = "npu"
    dispatch_key = "PrivateUse1"
    ray_device_key = "NPU"
    device_control_env_var = "ASCEND_RT_VISIBLE_DEVICES"
    ray_noset_device_env_vars: ClassVar[list[str]] = ["RAY_EXPERIMENTAL_NOSET_ASCEND_RT_VISIBLE_DEVICES"]
    dist_backend = "hccl"
    simple_compile_backend = "eager"
    supported_quantization: ClassVar[list[str]] = []

    @property
    def supported_dtypes(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16, torch.float32]

    @classmethod
    def import_kernels(cls) -> None:
        """vLLM's own C extensions are not there, ours are loaded by the worker."""

    @classmethod
    def import_ir_kernels(cls) -> None:
        """None: our layers override vLLM's, see layers."""

    @classmethod
    def register_triton_kernel_overrides(cls) -> None:
        from vllm.triton_utils.dispatcher import register_kernels

        from vllm_cann.ops.slot_mapping import compute_slot_mapping

        register_kernels({"vllm.v1.worker.block_table.ComputeSlotMappingKernel.kernel": compute_slot_mapping})

    @classmethod
    def get_attn_backend_cls(
        cls,
        selected_backend: AttentionBackendEnum | None,
        attn_selector_config: AttentionSelectorConfig,
        num_heads: int | None = None,
    ) -> str:
        from vllm.v1.attention.backend import AttentionType

        if attn_selector_config.use_sparse:
            raise ValueError("vllm_cann has no attention backend for sparse attention.")
        if selected_backend is not None and selected_backend.name != "CUSTOM":
            raise ValueError(f"vllm_cann has one attention backend, CUSTOM; {selected_backend.name} was asked for.")
        if attn_selector_config.use_batch_invariant:
            raise ValueError("vllm_cann has no attention whose roundings are the same in every batch: VLLM_BATCH_INVARIANT is 1; unset it.")
        if attn_selector_config.use_rswa:
            raise ValueError("vllm_cann has no attention in which a prompt stays visible beyond a window.")
        if attn_selector_config.use_mla and attn_selector_config.use_mm_prefix:
            raise ValueError("vllm_cann has no latent attention in which the tokens of a picture see each other.")
        if attn_selector_config.use_mla:
            return "vllm_cann.attention.mla.CannLatentBackend"
        if attn_selector_config.attn_type == AttentionType.ENCODER_ONLY:
            return "vllm_cann.attention.encoder.CannEncoderBackend"
        return "vllm_cann.attention.backend.CannAttentionBackend"

    @classmethod
    def get_mla_prefill_backend_cls(cls, mla_selector_config: MLAPrefillSelectorConfig) -> type[MLAPrefillBackend]:
        from vllm_cann.attention.mla import CannLatentPrefill

        return CannLatentPrefill

    def is_sleep_mode_available(self) -> bool:
        return True

    @classmethod
    def get_device_communicator_cls(cls) -> str:
        return "vllm_cann.distributed.communicator.CannCommunicator"

    @classmethod
    def get_punica_wrapper(cls) -> str:
        return "vllm_cann.lora.CannPunicaWrapper"

    @classmethod
    def pre_register_and_update(cls, parser: FlexibleArgumentParser | None = None) -> None:
        from vllm.config import parallel

        if not isinstance(parallel.current_platform, _ForParallelConfig):
            parallel.current_platform = _ForParallelConfig(parallel.current_platform)

    @classmethod
    def apply_config_platform_defaults(cls, vllm_config: VllmConfig) -> None:
        from vllm.config.compilation import CompilationMode, CUDAGraphMode

        from vllm_cann import support
        from vllm_cann.quantization import modelslim

        modelslim.find(vllm_config)
        cls._take_back_backend(vllm_config)
        support.check(vllm_config)
        cls._choose_model_runner()
        compilation = vllm_config.compilation_config
        model = vllm_config.model_config
        if model is not None and model.enable_sleep_mode:
            # vLLM's default is its allocator for CUDA; the name is that of vllm_cann.sleep, which needs a device.
            model.sleep_mode_backend = "cann"
        if model is not None and not model.enforce_eager:
            logger.info("vllm_cann runs models eagerly: graphs and torch.compile are switched off.")
            model.enforce_eager = True
        compilation.mode = CompilationMode.NONE
        compilation.cudagraph_mode = CUDAGraphMode.NONE

    @classmethod
    def support_hybrid_kv_cache(cls) -> bool:
        """Layers with a window keep the blocks of their window only, beside layers that keep all."""
        return True

    @classmethod
    def check_and_update_config(cls, vllm_config: VllmConfig) -> None:
        from vllm_cann import config, scheduler, support

        config.parse(vllm_config.additional_config or {})
        # Once more: vLLM has derived options from others, and a model's own configuration from its files.
        support.check(vllm_config)
        if vllm_config.use_v2_model_runner:
            wanted = os.environ.get("VLLM_USE_V2_MODEL_RUNNER")
            raise ValueError(
                f"vllm_cann does not have vLLM's V2 model runner: VLLM_USE_V2_MODEL_RUNNER is {wanted!r}; unset it or set it to 0."
            )
        scheduler.choose(vllm_config)
        cls._choose_start_method()
        name = cls.get_device_name()
        if name.startswith("Ascend310P"):
            raise ValueError(
                f"vllm_cann does not serve models on {name}: its instruction set has no unaligned copies (DataCopyPad), "
                "which the kernel of a step's slots needs; use an Atlas A2 or A3."
            )
        parallel = vllm_config.parallel_config
        if vllm_config.model_config is not None:
            cls.check_if_supports_dtype(vllm_config.model_config.dtype)
        if parallel.worker_cls == "auto":
            parallel.worker_cls = "vllm_cann.worker.CannWorker"
        if vllm_config.compilation_config.compile_sizes is None:
            vllm_config.compilation_config.compile_sizes = []

    @staticmethod
    def _take_back_backend(vllm_config: VllmConfig) -> None:
        """Takes back the attention backend that vLLM itself chose, for a GPU, where a model's heads have several sizes."""
        from vllm.model_executor.models.config import MODELS_CONFIG_MAP, Gemma4Config

        attention, model = vllm_config.attention_config, vllm_config.model_config
        if model is None or attention.backend is None or attention.backend.name != "TRITON_ATTN":
            return
        if issubclass(MODELS_CONFIG_MAP.get(model.architecture, object), Gemma4Config):
            logger.info(
                "vllm_cann has one attention backend for all sizes of heads: TRITON_ATTN, vLLM's choice for this model, is not used."
            )
            attention.backend = None

    @staticmethod
    def _choose_model_runner() -> None:
        """V1, unless the user chose: vLLM would take V2 where Triton is installed, each process for itself."""
        if "VLLM_USE_V2_MODEL_RUNNER" not in os.environ:
            # Processes that vLLM starts have this environment, and so the same runner.
            os.environ["VLLM_USE_V2_MODEL_RUNNER"] = "0"
            logger.info("vllm_cann runs vLLM's V1 model runner, also where Triton is installed: it has no V2 runner yet.")

    @staticmethod
    def _choose_start_method() -> None:
        """Processes are spawned where this one has initialised its device: it cannot be used in a fork. vLLM does the same for CUDA."""
        # An engine checks its configuration once more, when it has a device and starts no process.
        starts_engines = multiprocessing.parent_process() is None and envs.VLLM_ENABLE_V1_MULTIPROCESSING
        if starts_engines and torch.npu.is_initialized() and envs.VLLM_WORKER_MULTIPROC_METHOD != "spawn":
            logger.warning(
                "This process has initialised its NPU, which a fork of it could not use: VLLM_WORKER_MULTIPROC_METHOD becomes 'spawn'. "
                "A script needs `if __name__ == '__main__':` around its calls then."
            )
            os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"

    @classmethod
    def check_if_supports_dtype(cls, dtype: torch.dtype) -> None:
        if dtype == torch.bfloat16 and not npu.has_bfloat16():
            raise ValueError(f"{cls.get_device_name()} has no bfloat16; use --dtype float16.")
        if dtype not in (torch.bfloat16, torch.float16, torch.float32):
            raise ValueError(f"vllm_cann serves bfloat16, float16 and float32, not {dtype}.")

    @classmethod
    def set_device(cls, device: torch.device) -> None:
        torch.npu.set_device(device)

    @classmethod
    def get_device_name(cls, device_id: int = 0) -> str:
        return npu.name()

    @classmethod
    def get_device_uuid(cls, device_id: int = 0) -> str:
        return f"npu-{device_id}"

    @classmethod
    def get_device_total_memory(cls, device_id: int = 0) -> int:
        return npu.total_memory(device_id)

    @classmethod
    def get_current_memory_usage(cls, device: torch.types.Device | None = None) -> float:
        torch.npu.reset_peak_memory_stats(device)
        return torch.npu.max_memory_allocated(device)

    @classmethod
    def manual_seed_all(cls, seed: int) -> None:
        torch.npu.manual_seed_all(seed)

    @classmethod
    def inference_mode(cls) -> Any:
        return torch.inference_mode()

    @classmethod
    def num_compute_units(cls, device_id: int = 0) -> int:
        return torch.npu.get_device_properties(device_id).vector_core_num

    @classmethod
    def opaque_attention_op(cls) -> bool:
        # Attention reads the forward context: Dynamo must not look inside, or it would keep the branch of the profiling run.
        return True
