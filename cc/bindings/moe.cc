// cc/bindings/moe.cc: the operators of mixtures of experts, on contiguous tensors.
#include "cc/bindings/moe.h"

#include "cc/bindings/tensors.h"
#include "cc/ops/moe/moe_compute_expert_tokens.h"
#include "cc/ops/moe/moe_finalize_routing.h"
#include "cc/ops/moe/moe_gating_top_k.h"
#include "cc/ops/moe/moe_init_routing.h"

namespace {

namespace nb = nanobind;
using vllm_cann::bindings::Matrix;
using vllm_cann::bindings::Vector;
using vllm_cann::ops::DataType;
using vllm_cann::ops::Launch;

Launch MoeGatingTopK(int64_t num_rows, int64_t num_experts, int64_t k, bool has_bias,
                     bool has_finished, bool has_row_idx, bool has_norm_out, int64_t k_group,
                     int64_t group_count, int64_t group_select_mode, int64_t renorm,
                     int64_t norm_type, double routed_scaling_factor, double eps, int32_t dtype) {
  const auto type = static_cast<DataType>(dtype);
  vllm_cann::ops::MoeGatingTopKArgs args;
  args.x = Matrix(type, num_rows, num_experts);
  if (has_bias) args.bias = Vector(type, num_experts);
  if (has_finished) args.finished = Vector(DataType::kUint8, num_rows);
  args.y = Matrix(type, num_rows, k);
  args.expert_idx = Matrix(DataType::kInt32, num_rows, k);
  if (has_row_idx) args.row_idx = Matrix(DataType::kInt32, num_rows, k);
  if (has_norm_out) args.norm_out = Matrix(DataType::kFloat, num_rows, num_experts);
  args.k = k;
  args.k_group = k_group;
  args.group_count = group_count;
  args.group_select_mode = group_select_mode;
  args.renorm = renorm;
  args.norm_type = norm_type;
  args.routed_scaling_factor = static_cast<float>(routed_scaling_factor);
  args.eps = static_cast<float>(eps);
  return vllm_cann::ops::PrepareMoeGatingTopK(args);
}

Launch MoeInitRouting(int64_t num_tokens, int64_t k, int64_t row_size, int64_t out_rows,
                      int64_t workspace_words, int64_t first_expert, int64_t num_experts,
                      int64_t capacity, int64_t row_idx_type, int64_t tokens_type,
                      int64_t quant_mode, bool has_row_idx, bool has_scale, bool has_expert_tokens,
                      int32_t dtype, int32_t index_dtype) {
  const auto type = static_cast<DataType>(dtype);
  const bool quantises = quant_mode >= 0;
  vllm_cann::ops::MoeInitRoutingArgs args;
  args.x = Matrix(type, num_tokens, row_size);
  args.expert_idx = Matrix(static_cast<DataType>(index_dtype), num_tokens, k);
  args.expanded_x = Matrix(quantises ? DataType::kInt8 : type, out_rows, row_size);
  args.expanded_row_idx = Vector(DataType::kInt32, num_tokens * k);
  if (has_row_idx) {
    args.row_idx = Matrix(DataType::kInt32, num_tokens, k);
    args.expanded_expert_idx = Vector(DataType::kInt32, num_tokens * k);
  }
  if (has_scale) {
    args.scale = quant_mode == 1 ? Matrix(DataType::kFloat, num_experts, row_size)
                                 : Vector(DataType::kFloat, quantises ? 1 : num_tokens);
  }
  if (quant_mode == 0) args.offset = Vector(DataType::kFloat, 1);
  if (has_expert_tokens) {
    args.expert_tokens = tokens_type == 2 ? Matrix(DataType::kInt64, num_experts, 2)
                                          : Vector(DataType::kInt64, num_experts);
  }
  if (quant_mode == 1 || (!quantises && has_scale)) {
    args.expanded_scale = Vector(DataType::kFloat, out_rows);
  }
  args.workspace = Vector(DataType::kInt32, workspace_words);
  args.first_expert = first_expert;
  args.experts = num_experts;
  args.capacity = capacity;
  args.row_idx_type = row_idx_type;
  args.tokens_type = tokens_type;
  args.quant_mode = quant_mode;
  return vllm_cann::ops::PrepareMoeInitRouting(args);
}

int64_t MoeInitRoutingWorkspaceWords(int64_t num_pairs, int64_t num_experts) {
  return vllm_cann::ops::MoeInitRoutingWorkspaceWords(num_pairs, num_experts);
}

Launch MoeFinalizeRouting(int64_t num_rows, int64_t num_tokens, int64_t k, int64_t row_size,
                          int64_t num_skips, int64_t bias_rows, bool has_bias, bool has_scales,
                          bool by_column, int32_t dtype, int32_t scale_dtype) {
  const auto type = static_cast<DataType>(dtype);
  vllm_cann::ops::MoeFinalizeRoutingArgs args;
  args.rows = Matrix(type, num_rows, row_size);
  if (num_skips > 0) args.skip1 = Matrix(type, num_tokens, row_size);
  if (num_skips > 1) args.skip2 = Matrix(type, num_tokens, row_size);
  if (has_bias) {
    args.bias = Matrix(type, bias_rows, row_size);
    args.experts = Matrix(DataType::kInt32, num_tokens, k);
  }
  if (has_scales) args.scales = Matrix(static_cast<DataType>(scale_dtype), num_tokens, k);
  args.indices = Vector(DataType::kInt32, num_tokens * k);
  args.out = Matrix(type, num_tokens, row_size);
  args.k = k;
  args.by_column = by_column;
  return vllm_cann::ops::PrepareMoeFinalizeRouting(args);
}

Launch MoeComputeExpertTokens(int64_t num_entries, int64_t num_experts) {
  vllm_cann::ops::MoeComputeExpertTokensArgs args;
  args.sorted_experts = Vector(DataType::kInt32, num_entries);
  args.expert_tokens = Vector(DataType::kInt32, num_experts);
  return vllm_cann::ops::PrepareMoeComputeExpertTokens(args);
}

}  // namespace

void BindMoe(nb::module_& m) {
  m.def(
      "moe_gating_top_k", &MoeGatingTopK, nb::arg("num_rows"), nb::arg("num_experts"), nb::arg("k"),
      nb::arg("has_bias"), nb::arg("has_finished"), nb::arg("has_row_idx"), nb::arg("has_norm_out"),
      nb::arg("k_group"), nb::arg("group_count"), nb::arg("group_select_mode"), nb::arg("renorm"),
      nb::arg("norm_type"), nb::arg("routed_scaling_factor"), nb::arg("eps"), nb::arg("dtype"),
      "Chooses k of E experts for each row of logits x [N, E] and weighs them: y [N, k], "
      "expert_idx\n"
      "[N, k] int32.\n\n"
      "bias [E] is added where experts are chosen. finished [N] uint8: rows with 1 get expert E.\n"
      "row_idx [N, k] int32 becomes j * N + i. norm_out [N, E] float32 becomes the scores of all\n"
      "experts. dtype, of x, bias and y: float32, float16 or bfloat16. norm_type: 0 softmax,\n"
      "1 sigmoid, 2 square root of softplus. group_select_mode: 0 largest, 1 sum of the two "
      "largest."
      "\n\nThe launch takes x, bias, finished, y, expert_idx, row_idx, norm_out.");
  m.def("moe_init_routing_workspace_words", &MoeInitRoutingWorkspaceWords, nb::arg("num_pairs"),
        nb::arg("num_experts"),
        "Words (int32) of workspace that moe_init_routing needs on the current device for so many\n"
        "pairs and experts.");
  m.def(
      "moe_init_routing", &MoeInitRouting, nb::arg("num_tokens"), nb::arg("k"), nb::arg("row_size"),
      nb::arg("out_rows"), nb::arg("workspace_words"), nb::arg("first_expert"),
      nb::arg("num_experts"), nb::arg("capacity"), nb::arg("row_idx_type"), nb::arg("tokens_type"),
      nb::arg("quant_mode"), nb::arg("has_row_idx"), nb::arg("has_scale"),
      nb::arg("has_expert_tokens"), nb::arg("dtype"), nb::arg("index_dtype"),
      "Sorts the pairs of expert_idx [N, k], int32 or int64, by expert, stably, and copies the "
      "rows\n"
      "of x [N, H] to the places of their pairs in expanded_x [out_rows, H].\n\n"
      "Experts outside of [first_expert, first_expert + num_experts) are skipped.\n"
      "expanded_row_idx [N * k] int32: row_idx_type 0 the place of each pair or -1, 1 the pair of\n"
      "each place or -1. capacity > 0: each expert has so many rows, filled up with zeros, "
      "further\n"
      "pairs are dropped. row_idx [N, k] int32 numbers pairs (v1): rows are x[r % N], places go "
      "to\n"
      "element r, expanded_expert_idx [N * k] becomes the sorted experts. expert_tokens int64:\n"
      "tokens_type 0 sums, 1 counts [R], 2 (expert, count) [R, 2] of experts that have pairs, "
      "then\n"
      "zeros. quant_mode -1: scale [N] float32 goes along to expanded_scale [out_rows]; 0: int8\n"
      "rows round(x * scale + offset); 1: int8 rows by their largest magnitude / 127, which "
      "becomes\n"
      "expanded_scale, times scale [R, H] before."
      "\n\nThe launch takes x, expert_idx, row_idx, scale, offset, expanded_x, expanded_row_idx, "
      "expanded_expert_idx, expert_tokens, expanded_scale, workspace.");
  m.def("moe_finalize_routing", &MoeFinalizeRouting, nb::arg("num_rows"), nb::arg("num_tokens"),
        nb::arg("k"), nb::arg("row_size"), nb::arg("num_skips"), nb::arg("bias_rows"),
        nb::arg("has_bias"), nb::arg("has_scales"), nb::arg("by_column"), nb::arg("dtype"),
        nb::arg("scale_dtype"),
        "out[i] = skip1[i] + skip2[i] + sum over j of scales[i, j] * (rows[index] + bias[expert]), "
        "for\n"
        "tokens i of H elements, in float32 with one rounding.\n\n"
        "indices [N * k] int32: that of (i, j) is element i * k + j, by_column: i + j * N; one "
        "outside\n"
        "of [0, num_rows) adds nothing. num_skips: how many of skip1 and skip2 [N, H] there are.\n"
        "bias [bias_rows, H] with experts [N, k] int32. scales [N, k] "
        "of\n"
        "scale_dtype; without them all are 1."
        "\n\nThe launch takes rows, skip1, skip2, bias, scales, indices, experts, out.");
  m.def("moe_compute_expert_tokens", &MoeComputeExpertTokens, nb::arg("num_entries"),
        nb::arg("num_experts"),
        "expert_tokens [E] int32: for each expert the entries of sorted_experts [n] int32, in "
        "rising\n"
        "order, that are not above it."
        "\n\nThe launch takes sorted_experts, expert_tokens.");
}
