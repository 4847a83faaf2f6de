"""Attention of vision and audio encoders: no cache, and the lengths of images on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from vllm.model_executor.layers.attention.mm_encoder_attention import MMEncoderAttention

from vllm_cann.attention.encoder import attend


class CannMMEncoderAttention(MMEncoderAttention):
    """Attention among the patches of an image, or of a window of it."""

    @classmethod
    def maybe_recompute_cu_seqlens(
        cls,
        attn_backend: Any,
        cu_seqlens: np.ndarray,
        hidden_size: int,
        tp_size: int,
        device: torch.device,
        fp8_padded_hidden_size: int | None = None,
    ) -> torch.Tensor:
        # They stay on the host: the fused attention takes a list.
        return torch.from_numpy(np.ascontiguousarray(cu_seqlens))

    @classmethod
    def maybe_compute_seq_lens(cls, attn_backend: Any, cu_seqlens: np.ndarray, device: torch.device) -> None:
        return None

    def forward_oot(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        cu_seqlens: torch.Tensor | None = None,
        max_seqlen: torch.Tensor | None = None,
        sequence_lengths: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Attention of each sequence to itself.

        Args:
            query, key, value: [batch, tokens, heads, head size] or [batch, tokens, heads * head size]
            cu_seqlens: where sequences begin and the last one ends, [sequences + 1]; on the device, each layer reads it back.
                None: each row of the batch is a sequence

        Returns:
            the shape of query
        """
        batch, tokens = query.shape[:2]
        parts = self.view_qkv_to_4d(query, key, value, batch, tokens, key.shape[1])
        q, k, v = (part.flatten(0, 1) for part in parts)
        ends = [tokens * (i + 1) for i in range(batch)] if cu_seqlens is None else cu_seqlens[1:].tolist()
        return attend(q, k, v, ends, self.scale).reshape(query.shape)
