"""Multi-head latent attention: what a token caches is one latent row, its normalised part and its rotated part.

A layer's cache is one piece of memory: the normalised parts of all blocks, [blocks, block size, 1, rank], then the rotated parts,
[blocks, block size, 1, rope]; the fused attention wants each dense. Requests that decode attend in the latent space: keys and values are
the normalised parts. Prompts attend to keys and values that kv_b_proj makes of the latent rows, those of earlier steps too. What the fused
attention does not take (float32, other sizes of heads) is computed with plain torch operators.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch_npu
from vllm.model_executor.layers.attention.mla_attention import (
    MLACommonBackend,
    MLACommonDecodeMetadata,
    MLACommonImpl,
    MLACommonMetadata,
    MLACommonMetadataBuilder,
    MLACommonPrefillMetadata,
    accumulate_mla_context_chunk,
    init_mla_context_partial,
)
from vllm.v1.attention.backend import CommonAttentionMetadata
from vllm.v1.attention.backends.mla.prefill.base import MLAPrefillBackend
from vllm.v1.kv_cache_interface import AttentionSpec, KVCacheSpec, MLAAttentionSpec

from vllm_cann.attention.backend import BLOCK_SIZE, PagedBackend
from vllm_cann.attention.metadata import CAUSAL, HALVES, causal_template
from vllm_cann.ops.gather_cache import gather_cache
from vllm_cann.ops.reshape_and_cache import reshape_and_cache

# The sizes that the fused attention takes in the latent space, and of keys and values of prompts.
_LATENT, _ROPE, _MOST_HEADS = 512, 64, 128
_PROMPT_SIZES = (192, 128)


class CannLatentBackend(PagedBackend, MLACommonBackend):
    """Attention over latent rows."""

    supported_dtypes: ClassVar[list[torch.dtype]] = [torch.float16, torch.bfloat16, torch.float32]

    @staticmethod
    def get_name() -> str:
        return "CUSTOM"

    @staticmethod
    def get_impl_cls() -> type[CannLatentAttention]:
        return CannLatentAttention

    @staticmethod
    def get_builder_cls() -> type[CannLatentMetadataBuilder]:
        return CannLatentMetadataBuilder

    @classmethod
    def get_supported_head_sizes(cls) -> list[int]:
        return []  # any

    @staticmethod
    def cache_shape(layer: str, spec: KVCacheSpec, blocks: int) -> tuple[int, ...]:
        if isinstance(spec, MLAAttentionSpec) and spec.num_kv_heads == 1:
            shape = (blocks * spec.block_size // BLOCK_SIZE, BLOCK_SIZE, spec.head_size)
            # vLLM has counted the blocks by this size.
            if spec.block_size * spec.head_size * spec.dtype.itemsize == spec.page_size_bytes:
                return shape
        raise ValueError(
            f"the layer {layer} needs a cache of the kind {type(spec).__name__}, {spec.page_size_bytes} bytes per block; "
            "vllm_cann's latent attention has one row for each token"
        )

    @staticmethod
    def parts(cache: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Views of a layer's cache: normalised parts [blocks, block size, 1, rank], rotated parts [blocks, block size, 1, rope]."""
        blocks, size, width = cache.shape
        flat = cache.view(-1)
        cut = blocks * size * rank
        return flat[:cut].view(blocks, size, 1, rank), flat[cut:].view(blocks, size, 1, width - rank)


@dataclass
class LatentDecodeMetadata(MLACommonDecodeMetadata):
    """What requests that decode have."""

    kv_lens: list[int] = field(default_factory=list)
    sums: torch.Tensor | None = None
    """int32 [requests + 1] on the device: running sums of kv_lens, for attention by torch operators."""


@dataclass
class LatentMetadata(MLACommonMetadata[LatentDecodeMetadata]):
    """A step; layers with the same rotary embedding share the angles of its tokens."""

    angles: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)


class CannLatentMetadataBuilder(MLACommonMetadataBuilder[LatentMetadata]):
    """Makes the metadata of a step on the host; nothing waits for the device."""

    def __init__(
        self, kv_cache_spec: AttentionSpec, layer_names: list[str], vllm_config: Any, device: torch.device, **options: Any
    ) -> None:
        super().__init__(kv_cache_spec, layer_names, vllm_config, device, metadata_cls=LatentMetadata, **options)

    def build(self, common_prefix_len: int, common_attn_metadata: CommonAttentionMetadata, fast_build: bool = False) -> LatentMetadata:
        step = super().build(common_prefix_len, common_attn_metadata, fast_build)
        if step.decode is not None:
            # Exact without speculative decoding, which the platform does not have.
            assert common_attn_metadata.seq_lens_cpu_upper_bound is not None
            step.decode.kv_lens = common_attn_metadata.seq_lens_cpu_upper_bound[: step.num_decodes].tolist()
        return step

    def _build_decode(self, block_table_tensor: torch.Tensor, seq_lens_device: torch.Tensor, **_: Any) -> LatentDecodeMetadata:
        return LatentDecodeMetadata(block_table=block_table_tensor, seq_lens=seq_lens_device, dcp_tot_seq_lens=None)


def _ends(lengths: list[int]) -> list[int]:
    total, out = 0, []
    for length in lengths:
        total += length
        out.append(total)
    return out


class CannLatentPrefill(MLAPrefillBackend):
    """Attention of prompts to keys and values of their own, request by request one behind the other."""

    supported_dtypes: ClassVar[list[torch.dtype]] = [torch.float16, torch.bfloat16, torch.float32]

    @staticmethod
    def get_name() -> str:
        return "CANN_LATENT_PREFILL"

    def prepare_metadata(self, prefill_metadata: MLACommonPrefillMetadata) -> None:
        super().prepare_metadata(prefill_metadata)
        assert prefill_metadata.query_lens_cpu is not None
        self._query_lens: list[int] = prefill_metadata.query_lens_cpu.tolist()

    def run_prefill_new_tokens(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        return_softmax_lse: bool,
        out: torch.Tensor | None = None,
        output_scale: torch.Tensor | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Causal attention.

        Args:
            q, k: [tokens, heads, qk head size]
            v: [tokens, heads, v head size]

        Returns:
            [tokens, heads, v head size], and with return_softmax_lse float32 [heads, tokens]
        """
        assert out is None
        assert output_scale is None
        result, log_sums = self._attend(q, k, v, self._query_lens, self._query_lens, causal=True, wants_log_sums=return_softmax_lse)
        return (result, log_sums) if return_softmax_lse else result

    def run_prefill_context_chunk(
        self,
        chunk: MLACommonPrefillMetadata.ContextChunk,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        out: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Attention of a chunk's requests to rows that are all before their tokens."""
        assert out is None
        queries = self._query_lens[chunk.request_slice]
        return self._attend(q, k, v, queries, chunk.seq_lens.tolist(), causal=False, wants_log_sums=True)

    def _attend(
        self,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        query_lens: list[int],
        kv_lens: list[int],
        causal: bool,
        wants_log_sums: bool,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if q.dtype not in HALVES or (q.shape[-1], v.shape[-1]) != _PROMPT_SIZES:
            return self._by_torch(q, k, v, query_lens, kv_lens, causal)
        result, log_sums = torch_npu.npu_fused_infer_attention_score(
            q.contiguous(),
            k.contiguous(),
            v.contiguous(),
            atten_mask=causal_template(q.device) if causal else None,
            sparse_mode=CAUSAL if causal else 0,
            input_layout="TND",
            num_heads=q.shape[1],
            num_key_value_heads=k.shape[1],
            scale=self.scale,
            actual_seq_lengths=_ends(query_lens),
            actual_seq_lengths_kv=_ends(kv_lens),
            softmax_lse_flag=wants_log_sums,
        )
        return result, log_sums.squeeze(-1).transpose(0, 1) if wants_log_sums else log_sums

    def _by_torch(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, query_lens: list[int], kv_lens: list[int], causal: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        results, log_sums = [], []
        parts = zip(q.split(query_lens), k.split(kv_lens), v.split(kv_lens), strict=True)
        for queries, keys, values in parts:
            scores = (queries.transpose(0, 1) @ keys.permute(1, 2, 0)).float() * self.scale
            if causal:
                later = torch.ones(scores.shape[1:], dtype=torch.bool, device=scores.device).triu(1)
                scores = scores.masked_fill(later, float("-inf"))
            log_sum = torch.logsumexp(scores, -1)
            weights = torch.exp(scores - log_sum[..., None]).to(values.dtype)
            results.append((weights @ values.transpose(0, 1)).transpose(0, 1))
            log_sums.append(log_sum)
        return torch.cat(results), torch.cat(log_sums, 1)


class CannLatentAttention(MLACommonImpl[LatentMetadata]):
    """Latent attention of one layer."""

    can_return_lse_for_decode = False

    latent_is_cached = False
    """The layer has cached the latent rows before attention is asked: with the launch that normalises and rotates them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.supports_quant_query_input = False
        if self.kv_cache_dtype not in ("auto", "float16", "bfloat16"):
            raise ValueError(f"vllm_cann has no {self.kv_cache_dtype} cache.")
        sizes = (self.kv_lora_rank, self.qk_rope_head_dim)
        self._has_sizes = sizes == (_LATENT, _ROPE) and self.num_heads <= _MOST_HEADS
        # The operator takes powers of two.
        self._padding = (1 << (self.num_heads - 1).bit_length()) - self.num_heads

    def do_kv_cache_update(
        self,
        kv_c_normed: torch.Tensor,
        k_pe: torch.Tensor,
        kv_cache: torch.Tensor,
        slot_mapping: torch.Tensor,
        kv_cache_dtype: str,
        k_scale: torch.Tensor,
        skip_scale: bool = False,
    ) -> None:
        """Writes the latent rows of this step, normalised [tokens, rank] and rotated [tokens, 1, rope], unless they are there."""
        if self.latent_is_cached or kv_cache.numel() == 0:
            return
        tokens = slot_mapping.shape[0]
        normed = kv_c_normed[:tokens].unsqueeze(1).contiguous()
        rotated = k_pe[:tokens].reshape(tokens, 1, -1).contiguous()
        reshape_and_cache(normed, rotated, *CannLatentBackend.parts(kv_cache, self.kv_lora_rank), slot_mapping)

    def forward_mqa(
        self,
        q: torch.Tensor | tuple[torch.Tensor, torch.Tensor],
        kv_c_and_k_pe_cache: torch.Tensor,
        attn_metadata: LatentMetadata,
        layer: Any,
    ) -> tuple[torch.Tensor, None]:
        """Attention of requests that decode one token.

        Args:
            q: in the latent space [requests, heads, rank], and rotated [requests, heads, rope]

        Returns:
            [requests, heads, rank] in the latent space, and None
        """
        assert isinstance(q, tuple)
        assert attn_metadata.decode is not None
        normed, rotated = CannLatentBackend.parts(kv_c_and_k_pe_cache, self.kv_lora_rank)
        if not self._has_sizes or q[0].dtype not in HALVES:
            return self._decode_by_torch(q[0], q[1], normed, rotated, attn_metadata.decode), None
        padded = [torch.nn.functional.pad(part, (0, 0, 0, self._padding)) if self._padding else part.contiguous() for part in q]
        latent, rope = (part.unsqueeze(1) for part in padded)
        keys = normed.squeeze(2)
        result = torch_npu.npu_fused_infer_attention_score(
            latent,
            keys,
            keys,
            query_rope=rope,
            key_rope=rotated.squeeze(2),
            input_layout="BSND",
            num_heads=self.num_heads + self._padding,
            num_key_value_heads=1,
            scale=self.scale,
            block_table=attn_metadata.decode.block_table,
            block_size=keys.shape[1],
            actual_seq_lengths_kv=attn_metadata.decode.kv_lens,
        )[0].squeeze(1)
        return result[:, : self.num_heads] if self._padding else result, None

    def _decode_by_torch(
        self, latent: torch.Tensor, rope: torch.Tensor, normed: torch.Tensor, rotated: torch.Tensor, step: LatentDecodeMetadata
    ) -> torch.Tensor:
        rows, turned = self._gather(normed, rotated, step.block_table, self._sums(step), sum(step.kv_lens))
        out = torch.empty_like(latent)
        parts = zip(rows.split(step.kv_lens), turned.split(step.kv_lens), strict=True)
        for request, (keys, rope_keys) in enumerate(parts):
            scores = (latent[request] @ keys.t() + rope[request] @ rope_keys.t()).float() * self.scale
            out[request] = torch.softmax(scores, -1).to(keys.dtype) @ keys
        return out

    @staticmethod
    def _sums(step: LatentDecodeMetadata) -> torch.Tensor:
        if step.sums is None:
            sums = torch.tensor([0, *_ends(step.kv_lens)], dtype=torch.int32, pin_memory=True)
            step.sums = sums.to(step.block_table.device, non_blocking=True)
        return step.sums

    @staticmethod
    def _gather(
        normed: torch.Tensor,
        rotated: torch.Tensor,
        blocks: torch.Tensor,
        sums: torch.Tensor,
        total: int,
        starts: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Copies of the rows of requests, one request behind the other: [total, rank] and [total, rope]."""
        rows = normed.new_empty(total, 1, normed.shape[-1])
        turned = rotated.new_empty(total, 1, rotated.shape[-1])
        gather_cache(normed, rotated, blocks.contiguous(), sums, rows, turned, starts)
        return rows.squeeze(1), turned.squeeze(1)

    def _compute_prefill_context(
        self, q: torch.Tensor, kv_c_and_k_pe_cache: torch.Tensor, attn_metadata: LatentMetadata, k_scale: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Attention of prompts to what earlier steps have cached, chunk by chunk. vLLM's own gathers by an operator for CUDA."""
        prefill = attn_metadata.prefill
        assert prefill is not None
        assert prefill.prefill_backend is not None
        context = prefill.chunked_context
        assert context is not None
        normed, rotated = CannLatentBackend.parts(kv_c_and_k_pe_cache, self.kv_lora_rank)
        output = log_sums = None
        for chunk in context.chunks:
            blocks = prefill.block_table[chunk.request_slice]
            rows, turned = self._gather(normed, rotated, blocks, chunk.cu_seq_lens.int(), chunk.num_context_tokens, chunk.starts.int())
            made = self.kv_b_proj(rows)[0].view(-1, self.num_heads, self.qk_nope_head_dim + self.v_head_dim)
            nope, values = made.split([self.qk_nope_head_dim, self.v_head_dim], -1)
            keys = self._concat_k_nope_k_pe(nope, turned.unsqueeze(1))
            part, part_sums = prefill.prefill_backend.run_prefill_context_chunk(chunk=chunk, q=q[chunk.token_slice], k=keys, v=values)
            if output is None:
                if len(context.chunks) == 1 and not context.empty_token_slices:
                    return part, part_sums
                output, log_sums = init_mla_context_partial(context, part, part_sums, num_tokens=q.shape[0])
            accumulate_mla_context_chunk(chunk, part, part_sums, output, log_sums)
        assert output is not None
        assert log_sums is not None
        return output, log_sums
