"""Weights and activations of 8 bits (W8A8): checkpoints of compressed-tensors and of ModelSlim, on torch_npu's operators."""

from __future__ import annotations

import functools


@functools.cache
def register() -> None:
    """Makes both kinds of checkpoints known to vLLM, once per process."""
    from vllm.model_executor.kernels import linear as kernels
    from vllm.model_executor.layers.quantization import register_quantization_config
    from vllm.platforms import PlatformEnum

    from vllm_cann.quantization import compressed_tensors, modelslim
    from vllm_cann.quantization.linear import CannInt8LinearKernel

    kernels.register_linear_kernel(CannInt8LinearKernel, PlatformEnum.OOT, "int8")
    register_quantization_config("compressed-tensors")(compressed_tensors.CannCompressedTensorsConfig)
    register_quantization_config(modelslim.NAME)(modelslim.ModelSlimConfig)
