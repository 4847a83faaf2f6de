"""The rotary contracts as Triton kernels, for triton-ascend. The AscendC kernels do the same; tests compare both."""
