// cc/bindings/moe.cc: the operators of mixtures of experts on device addresses.
//
// As in ops.cc all arguments are positional numbers; tensors are contiguous. An optional tensor has
// an address, which is 0 when it is absent or has no elements, and a flag that says whether it is
// there.
#include "cc/bindings/moe.h"

#include "cc/ops/moe/moe_gating_top_k.h"

namespace {

namespace nb = nanobind;
using vllm_cann::ops::DataType;
using vllm_cann::ops::Tensor;

Tensor Vector(uintptr_t address, DataType type, int64_t size) {
  return {address, type, 1, {size}, {1}};
}
Tensor Matrix(uintptr_t address, DataType type, int64_t rows, int64_t columns) {
  return {address, type, 2, {rows, columns}, {columns, 1}};
}

void MoeGatingTopK(uintptr_t x, uintptr_t bias, uintptr_t finished, uintptr_t y,
                   uintptr_t expert_idx, uintptr_t row_idx, uintptr_t norm_out, int64_t num_rows,
                   int64_t num_experts, int64_t k, bool has_bias, bool has_finished,
                   bool has_row_idx, bool has_norm_out, int64_t k_group, int64_t group_count,
                   int64_t group_select_mode, int64_t renorm, int64_t norm_type,
                   double routed_scaling_factor, double eps, int32_t dtype, uintptr_t stream) {
  const auto type = static_cast<DataType>(dtype);
  vllm_cann::ops::MoeGatingTopKArgs args;
  args.x = Matrix(x, type, num_rows, num_experts);
  if (has_bias) args.bias = Vector(bias, type, num_experts);
  if (has_finished) args.finished = Vector(finished, DataType::kUint8, num_rows);
  args.y = Matrix(y, type, num_rows, k);
  args.expert_idx = Matrix(expert_idx, DataType::kInt32, num_rows, k);
  if (has_row_idx) args.row_idx = Matrix(row_idx, DataType::kInt32, num_rows, k);
  if (has_norm_out) args.norm_out = Matrix(norm_out, DataType::kFloat, num_rows, num_experts);
  args.k = k;
  args.k_group = k_group;
  args.group_count = group_count;
  args.group_select_mode = group_select_mode;
  args.renorm = renorm;
  args.norm_type = norm_type;
  args.routed_scaling_factor = static_cast<float>(routed_scaling_factor);
  args.eps = static_cast<float>(eps);
  vllm_cann::ops::MoeGatingTopK(args, reinterpret_cast<void*>(stream));
}

}  // namespace

void BindMoe(nb::module_& m) {
  m.def(
      "moe_gating_top_k", &MoeGatingTopK, nb::arg("x"), nb::arg("bias"), nb::arg("finished"),
      nb::arg("y"), nb::arg("expert_idx"), nb::arg("row_idx"), nb::arg("norm_out"),
      nb::arg("num_rows"), nb::arg("num_experts"), nb::arg("k"), nb::arg("has_bias"),
      nb::arg("has_finished"), nb::arg("has_row_idx"), nb::arg("has_norm_out"), nb::arg("k_group"),
      nb::arg("group_count"), nb::arg("group_select_mode"), nb::arg("renorm"), nb::arg("norm_type"),
      nb::arg("routed_scaling_factor"), nb::arg("eps"), nb::arg("dtype"), nb::arg("stream"),
      "Chooses k of E experts for each row of logits x [N, E] and weighs them: y [N, k], "
      "expert_idx\n"
      "[N, k] int32.\n\n"
      "bias [E] is added where experts are chosen. finished [N] uint8: rows with 1 get expert E.\n"
      "row_idx [N, k] int32 becomes j * N + i. norm_out [N, E] float32 becomes the scores of all\n"
      "experts. dtype, of x, bias and y: float32, float16 or bfloat16. norm_type: 0 softmax,\n"
      "1 sigmoid, 2 square root of softplus. group_select_mode: 0 largest, 1 sum of the two "
      "largest.");
}
