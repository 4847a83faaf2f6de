"""vLLM on Huawei Ascend NPUs: the platform plugin.

vLLM finds two entry points: `register_platform` in the group ``vllm.platform_plugins`` and `register` in ``vllm.general_plugins``.
"""

from __future__ import annotations


def register_platform() -> str | None:
    """The path of the platform class, or None when this machine or this installation cannot serve.

    vLLM only debug-logs what a plugin raises, so every reason for None is logged here, once, as one sentence with its cure.
    """
    from vllm_cann import environment

    reason = environment.problem()
    if reason is None:
        return "vllm_cann.platform.CannPlatform"
    environment.log_once(reason)
    return None


def register() -> None:
    """Registers layers, the attention backend and kinds of quantised weights. vLLM calls it in every process, maybe more than once."""
    from vllm.platforms import current_platform

    if current_platform.is_out_of_tree() and current_platform.device_type == "npu":
        from vllm.v1.attention.backends.registry import AttentionBackendEnum, register_backend

        from vllm_cann import layers, quantization

        register_backend(AttentionBackendEnum.CUSTOM, "vllm_cann.attention.backend.CannAttentionBackend")
        layers.register()
        quantization.register()
