// cc/bindings/qkv.cc: the operators that take qkv apart.
#include "cc/bindings/qkv.h"

#include "cc/bindings/tensors.h"
#include "cc/ops/rotary/qkv_rmsnorm_rope.h"

namespace {

namespace nb = nanobind;
using vllm_cann::bindings::Matrix;
using vllm_cann::bindings::Vector;
using vllm_cann::ops::DataType;
using vllm_cann::ops::Launch;
using vllm_cann::ops::QkvRmsnormRopeArgs;
using vllm_cann::ops::QkvSquareSumsArgs;

Launch QkvRmsnormRope(int64_t num_tokens, int64_t width, int64_t token_stride, int64_t num_heads,
                      int64_t num_kv_heads, int64_t head_size, int64_t q_weight_size,
                      int64_t k_weight_size, int64_t table_rows, int64_t table_stride,
                      int64_t rotary_dim, int64_t num_axes, int64_t axis_stride, int64_t section_0,
                      int64_t section_1, int64_t section_2, bool interleaved, bool has_gate,
                      bool has_bias, bool has_square_sums, int64_t world_size, bool norm_value,
                      double epsilon, int32_t dtype, int32_t position_dtype) {
  const auto type = static_cast<DataType>(dtype);
  QkvRmsnormRopeArgs args;
  args.input = {Matrix(type, num_tokens, width, token_stride), num_heads, num_kv_heads, head_size,
                has_gate};
  args.q_weight = Vector(type, q_weight_size);
  args.k_weight = Vector(type, k_weight_size);
  if (has_bias) {
    args.q_bias = Vector(type, q_weight_size);
    args.k_bias = Vector(type, k_weight_size);
  }
  if (num_axes == 0) {
    args.cos = Matrix(type, table_rows, rotary_dim / 2, table_stride);
    args.sin = Matrix(type, table_rows, rotary_dim / 2, table_stride);
  } else {
    const auto index = static_cast<DataType>(position_dtype);
    args.positions = num_axes == 1 ? Vector(index, num_tokens)
                                   : Matrix(index, num_axes, num_tokens, axis_stride);
    args.cos_sin_cache = Matrix(type, table_rows, rotary_dim, table_stride);
    args.sections[0] = section_0;
    args.sections[1] = section_1;
    args.sections[2] = section_2;
    args.interleaved = interleaved;
  }
  if (has_square_sums) args.square_sums = Matrix(DataType::kFloat, num_tokens, 2, 2);
  args.world_size = world_size;
  args.norm_value = norm_value;
  args.epsilon = epsilon;
  const int64_t queries = num_heads * head_size, keys = num_kv_heads * head_size;
  args.q = Matrix(type, num_tokens, queries, queries);
  args.k = Matrix(type, num_tokens, keys, keys);
  args.v = Matrix(type, num_tokens, keys, keys);
  if (has_gate) args.gate = Matrix(type, num_tokens, queries, queries);
  return vllm_cann::ops::PrepareQkvRmsnormRope(args);
}

Launch QkvSquareSums(int64_t num_tokens, int64_t width, int64_t token_stride, int64_t num_heads,
                     int64_t num_kv_heads, int64_t head_size, bool has_gate, int32_t dtype) {
  QkvSquareSumsArgs args;
  args.input = {Matrix(static_cast<DataType>(dtype), num_tokens, width, token_stride), num_heads,
                num_kv_heads, head_size, has_gate};
  args.sums = Matrix(DataType::kFloat, num_tokens, 2, 2);
  return vllm_cann::ops::PrepareQkvSquareSums(args);
}

}  // namespace

void BindQkv(nb::module_& m) {
  m.def(
      "qkv_rmsnorm_rope", &QkvRmsnormRope, nb::arg("num_tokens"), nb::arg("width"),
      nb::arg("token_stride"), nb::arg("num_heads"), nb::arg("num_kv_heads"), nb::arg("head_size"),
      nb::arg("q_weight_size"), nb::arg("k_weight_size"), nb::arg("table_rows"),
      nb::arg("table_stride"), nb::arg("rotary_dim"), nb::arg("num_axes"), nb::arg("axis_stride"),
      nb::arg("section_0"), nb::arg("section_1"), nb::arg("section_2"), nb::arg("interleaved"),
      nb::arg("has_gate"), nb::arg("has_bias"), nb::arg("has_square_sums"), nb::arg("world_size"),
      nb::arg("norm_value"), nb::arg("epsilon"), nb::arg("dtype"), nb::arg("position_dtype"),
      "Takes the rows of qkv [T, width], H heads of query, K of key and K of value with D "
      "elements\n"
      "each, apart: q [T, H * D], k and v [T, K * D]. Each head of query and key becomes x /\n"
      "sqrt(mean(x * x) + epsilon) * weight (+ bias), of which the first rotary_dim elements are\n"
      "rotated in NeoX style; value is copied, or with norm_value normalised without a weight.\n"
      "has_gate: each head of query has one of gate [T, H * D] behind it, which is copied.\n\n"
      "Angles as in rotary_embedding, axis_stride positions from axis to axis; num_axes 0: cos "
      "and\n"
      "sin are [T, rotary_dim / 2] each. With square_sums [T, 2] float32, of query and of key, "
      "the\n"
      "mean is that of all heads of world_size devices, and the weights have H * D and K * D\n"
      "elements. float16, bfloat16 or float32; arithmetic in float32 with one rounding, to "
      "nearest."
      "\n\nThe launch takes positions, qkv, q_weight, k_weight, q_bias, k_bias, cos, sin, "
      "square_sums, q, k, v, gate.");
  m.def("qkv_square_sums", &QkvSquareSums, nb::arg("num_tokens"), nb::arg("width"),
        nb::arg("token_stride"), nb::arg("num_heads"), nb::arg("num_kv_heads"),
        nb::arg("head_size"), nb::arg("has_gate"), nb::arg("dtype"),
        "sums [T, 2] float32: the sums of squares of all elements of query, and of key, of each\n"
        "row of qkv [T, width]."
        "\n\nThe launch takes qkv, sums.");
}
