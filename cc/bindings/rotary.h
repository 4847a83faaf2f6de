// cc/bindings/rotary.h: rotary_embedding as Python calls it, with numbers; for any way of binding.
#pragma once

#include "cc/ops/rotary/rotary_embedding.h"

namespace vllm_cann::bindings {

inline ops::RotaryEmbeddingArgs RotaryArgs(
    int64_t num_tokens, int64_t num_query_heads, int64_t num_key_heads, int64_t head_size,
    int64_t rotary_dim, int64_t table_rows, int64_t table_stride, int64_t query_token_stride,
    int64_t key_token_stride, int64_t query_out_stride, int64_t key_out_stride, bool is_in_place,
    int64_t num_axes, int64_t section_0, int64_t section_1, int64_t section_2, bool interleaved,
    int32_t dtype, int32_t position_dtype, int32_t style, bool is_inverse) {
  const auto type = static_cast<ops::DataType>(dtype);
  const auto rows = [&](int64_t heads, int64_t stride) -> ops::Tensor {
    return {type, 3, {num_tokens, heads, head_size}, {stride, head_size, 1}};
  };
  ops::RotaryEmbeddingArgs args;
  args.style = static_cast<ops::RotaryStyle>(style);
  args.is_inverse = is_inverse;
  args.query = rows(num_query_heads, query_token_stride);
  if (!is_in_place) args.query_out = rows(num_query_heads, query_out_stride);
  if (num_key_heads != 0) {
    args.key = rows(num_key_heads, key_token_stride);
    if (!is_in_place) args.key_out = rows(num_key_heads, key_out_stride);
  }
  if (num_axes == 0) {
    args.cos = args.sin = {type, 2, {table_rows, rotary_dim / 2}, {table_stride, 1}};
    return args;
  }
  const auto index = static_cast<ops::DataType>(position_dtype);
  if (num_axes == 1) {
    args.positions = {index, 1, {num_tokens}, {1}};
  } else {
    args.positions = {index, 2, {num_axes, num_tokens}, {num_tokens, 1}};
  }
  args.cos_sin_cache = {type, 2, {table_rows, rotary_dim}, {table_stride, 1}};
  args.sections[0] = section_0;
  args.sections[1] = section_1;
  args.sections[2] = section_2;
  args.interleaved = interleaved;
  return args;
}

// The function to bind, of RotaryArgs.
template <typename... Numbers>
auto RotaryEmbedding(ops::RotaryEmbeddingArgs (*args)(Numbers...)) {
  return [args](Numbers... numbers) { return ops::PrepareRotaryEmbedding(args(numbers...)); };
}

}  // namespace vllm_cann::bindings
