// cc/bindings/rotary.h: rotary_embedding as Python calls it, with numbers; for any way of binding.
#pragma once

#include "cc/ops/rotary/rotary_embedding.h"

namespace vllm_cann::bindings {

inline ops::RotaryEmbeddingArgs RotaryArgs(
    uintptr_t positions, uintptr_t query, uintptr_t key, uintptr_t cos, uintptr_t sin,
    uintptr_t query_out, uintptr_t key_out, int64_t num_tokens, int64_t num_query_heads,
    int64_t num_key_heads, int64_t head_size, int64_t rotary_dim, int64_t table_rows,
    int64_t table_stride, int64_t query_token_stride, int64_t key_token_stride,
    int64_t query_out_stride, int64_t key_out_stride, int64_t num_axes, int64_t section_0,
    int64_t section_1, int64_t section_2, bool interleaved, int32_t dtype, int32_t position_dtype,
    int32_t style, bool is_inverse) {
  const auto type = static_cast<ops::DataType>(dtype);
  const auto rows = [&](uintptr_t address, int64_t heads, int64_t stride) -> ops::Tensor {
    return {address, type, 3, {num_tokens, heads, head_size}, {stride, head_size, 1}};
  };
  ops::RotaryEmbeddingArgs args;
  args.style = static_cast<ops::RotaryStyle>(style);
  args.is_inverse = is_inverse;
  args.query = rows(query, num_query_heads, query_token_stride);
  args.query_out = rows(query_out, num_query_heads, query_out_stride);
  if (num_key_heads != 0) {
    args.key = rows(key, num_key_heads, key_token_stride);
    args.key_out = rows(key_out, num_key_heads, key_out_stride);
  }
  if (sin != 0) {
    args.cos = {cos, type, 2, {table_rows, rotary_dim / 2}, {table_stride, 1}};
    args.sin = args.cos;
    args.sin.address = sin;
  } else {
    const auto index = static_cast<ops::DataType>(position_dtype);
    if (num_axes == 1) {
      args.positions = {positions, index, 1, {num_tokens}, {1}};
    } else {
      args.positions = {positions, index, 2, {num_axes, num_tokens}, {num_tokens, 1}};
    }
    args.cos_sin_cache = {cos, type, 2, {table_rows, rotary_dim}, {table_stride, 1}};
    args.sections[0] = section_0;
    args.sections[1] = section_1;
    args.sections[2] = section_2;
    args.interleaved = interleaved;
  }
  return args;
}

inline void RotaryEmbedding(uintptr_t positions, uintptr_t query, uintptr_t key, uintptr_t cos,
                            uintptr_t sin, uintptr_t query_out, uintptr_t key_out,
                            int64_t num_tokens, int64_t num_query_heads, int64_t num_key_heads,
                            int64_t head_size, int64_t rotary_dim, int64_t table_rows,
                            int64_t table_stride, int64_t query_token_stride,
                            int64_t key_token_stride, int64_t query_out_stride,
                            int64_t key_out_stride, int64_t num_axes, int64_t section_0,
                            int64_t section_1, int64_t section_2, bool interleaved, int32_t dtype,
                            int32_t position_dtype, int32_t style, bool is_inverse,
                            uintptr_t stream) {
  ops::RotaryEmbedding(
      RotaryArgs(positions, query, key, cos, sin, query_out, key_out, num_tokens, num_query_heads,
                 num_key_heads, head_size, rotary_dim, table_rows, table_stride, query_token_stride,
                 key_token_stride, query_out_stride, key_out_stride, num_axes, section_0, section_1,
                 section_2, interleaved, dtype, position_dtype, style, is_inverse),
      reinterpret_cast<void*>(stream));
}

}  // namespace vllm_cann::bindings
