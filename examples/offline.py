"""Answers prompts without a server:  softnpu run -- python examples/offline.py MODEL PROMPT..."""

import sys

from vllm import LLM, SamplingParams


def main() -> None:
    """Prints each answer on a line."""
    model, *prompts = sys.argv[1:]
    llm = LLM(model=model, max_model_len=512)
    for output in llm.generate(prompts, SamplingParams(temperature=0, max_tokens=8)):
        print("answer:", output.outputs[0].text.strip())


if __name__ == "__main__":
    main()
