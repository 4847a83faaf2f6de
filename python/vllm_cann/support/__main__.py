"""python -m vllm_cann.support: prints docs/support.md."""

from vllm_cann.support.page import markdown

if __name__ == "__main__":
    print(markdown(), end="")
