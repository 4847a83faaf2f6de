"""Several devices: vLLM's communicator on the process groups of torch_npu."""
