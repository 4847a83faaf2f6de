"""Attention over the paged cache: the backend that vLLM asks, a step's metadata, and the attention of a layer."""
