// cc/softnpu/opapi/grouped_matmul_ops.cc: products of groups of rows, each with a matrix of its
// own.
//
// One tensor of rows, one of matrices and one of results, groups along the rows, their sizes on the
// device: what a mixture of experts asks for. Rows of floating numbers, or of int8 with a scale for
// each column of a matrix and maybe one for each row (see quantise.h). Other forms are refused as
// not implemented. Undefined on the device and an error here: groups that end before they begin or
// behind the last row. Rows behind the last group are not written.
#include <array>
#include <string>
#include <utility>

#include "cc/softnpu/opapi/aten.h"
#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/operator.h"
#include "cc/softnpu/opapi/quantise.h"

namespace softnpu {
namespace {

constexpr int64_t kMaxSide = 65536;
constexpr int64_t kMaxGroups = 1024;
enum ListType : int64_t { kSums = 0, kCounts = 1 };

[[noreturn]] void Refuse(const std::string& sentence) { throw Error(kAclnnInvalid, sentence); }

struct Options {
  int64_t split_item;
  int64_t group_type;
  int64_t group_list_type;
  int64_t act_type;
  bool is_tuned;
};

struct Product {
  View rows;       // [M, K]
  View matrices;   // [groups, K, N]
  View bias;       // [groups, N]; rank 0 without one
  View scale;      // of int8 rows [groups, N]; rank 0 without one
  View row_scale;  // of int8 rows float32 [M]; rank 0 without one
  View groups;     // int64 [groups]
  View out;        // [M, N]
  bool is_counts = false;
};

bool IsGiven(const TensorList* list) { return list != nullptr && !list->tensors.empty(); }

// Arguments of both versions that SoftNPU has no form with, in their order.
void RefuseOthers(const std::array<const TensorList*, 6>& lists) {
  constexpr std::array<const char*, 6> kNames = {
      "offset",           "antiquant_scale",        "antiquant_offset",
      "activation_input", "activation_quant_scale", "activation_quant_offset"};
  for (size_t i = 0; i < lists.size(); ++i) {
    if (!IsGiven(lists[i])) continue;
    throw Error(kAclnnNotImplemented, std::string("'") + kNames[i] +
                                          "' is given; SoftNPU has grouped products without it");
  }
}

View Only(std::vector<View> views, const char* name) {
  if (views.size() != 1) {
    throw Error(kAclnnNotImplemented, Format("'%s' has %zu tensors; SoftNPU has grouped products "
                                             "of one",
                                             name, views.size()));
  }
  return views[0];
}

void CheckOptions(const Options& options) {
  if (options.split_item != 2 && options.split_item != 3) {
    throw Error(kAclnnNotImplemented,
                Format("'split_item' is %lld; SoftNPU has 2 and 3", Long(options.split_item)));
  }
  if (options.group_type != 0) {
    throw Error(kAclnnNotImplemented, Format("'group_type' is %lld; SoftNPU has 0, groups of rows",
                                             Long(options.group_type)));
  }
  if (options.group_list_type != kSums && options.group_list_type != kCounts) {
    Refuse(
        Format("'group_list_type' is %lld; with these types it is 0 (running sums) or 1 "
               "(counts)",
               Long(options.group_list_type)));
  }
}

void CheckActivation(int64_t act_type, bool by_row) {
  if (act_type == 0) return;
  if (by_row) {
    throw Error(
        kAclnnNotImplemented,
        Format("'act_type' is %lld; SoftNPU has no activation in a product", Long(act_type)));
  }
  Refuse(
      Format("'act_type' is %lld; activations need the quantisation of each row", Long(act_type)));
}

void CheckShapes(const Product& product) {
  const View& rows = product.rows;
  const View& matrices = product.matrices;
  const View& out = product.out;
  if (rows.rank != 2 || matrices.rank != 3 || rows.Dim(1) != matrices.Dim(1) ||
      out.Shape() != std::vector<int64_t>{rows.Dim(0), matrices.Dim(2)}) {
    Refuse("'x' is " + rows.Text() + ", 'weight' " + matrices.Text() + " and the result " +
           out.Text() + "; they must be [M, K], [groups, K, N] and [M, N]");
  }
  if (!rows.IsContiguous()) Refuse("'x' is not contiguous");
  if (!out.IsContiguous()) Refuse("the result is not contiguous");
  if (!IsDenseOrTransposed(matrices)) {
    Refuse("'weight' is neither contiguous nor contiguous with its last two dimensions exchanged");
  }
  // The last dimension as it lies in memory.
  for (const int64_t side : {rows.Dim(1), matrices.Dim(2)}) {
    if (side >= kMaxSide) {
      Refuse(Format("a side is %lld; it must be below %lld", Long(side), Long(kMaxSide)));
    }
  }
}

void CheckGroups(const Product& product) {
  const View& groups = product.groups;
  const int64_t number = product.matrices.Dim(0);
  if (groups.dtype != DType::kInt64 || groups.rank != 1 || groups.Dim(0) != number) {
    Refuse("'group_list' is " + groups.Text() + Format(", it must be int64 [%lld]", Long(number)));
  }
  if (number > kMaxGroups || (product.is_counts && number == 1)) {
    Refuse(Format("'group_list' has %lld groups; there can be %d to %lld", Long(number),
                  product.is_counts ? 2 : 1, Long(kMaxGroups)));
  }
}

// Of int8 rows, by what the result is: sums (int32), numbers of packed scales (int8), float16 or
// bfloat16.
void CheckQuantised(const Product& product) {
  CheckDtype(product.matrices, "weight", {DType::kInt8});
  CheckDtype(product.out, "the result",
             {DType::kInt32, DType::kInt8, DType::kHalf, DType::kBfloat16});
  const DType type = product.out.dtype;
  const std::vector<int64_t> columns = {product.matrices.Dim(0), product.matrices.Dim(2)};
  if (type == DType::kInt32) {
    if (product.scale.rank != 0 || product.row_scale.rank != 0) {
      Refuse("a scale is given; the result is " + product.out.Text() + ", the sums without one");
    }
  } else {
    if (product.scale.rank == 0) {
      Refuse("'scale' is missing; the result is " + product.out.Text());
    }
    CheckDtype(product.scale, "scale",
               {type == DType::kInt8   ? DType::kInt64
                : type == DType::kHalf ? DType::kFloat
                                       : DType::kBfloat16});
    CheckDims(product.scale, "scale", columns);
  }
  if (product.row_scale.rank != 0) {
    if (type == DType::kInt8) {
      Refuse("'per_token_scale' is given; the result is " + product.out.Text() +
             ", it must be float16 or bfloat16");
    }
    CheckDtype(product.row_scale, "per_token_scale", {DType::kFloat});
    CheckDims(product.row_scale, "per_token_scale", {product.rows.Dim(0)});
  }
  if (product.bias.rank != 0) {
    CheckDtype(product.bias, "bias", {DType::kInt32});
    CheckDims(product.bias, "bias", columns);
  }
}

void CheckFloating(const Product& product) {
  const DType type = product.rows.dtype;
  if (type != DType::kFloat && type != DType::kHalf && type != DType::kBfloat16) {
    throw Error(kAclnnNotImplemented, "'x' is " + product.rows.Text() +
                                          "; SoftNPU has grouped products of float32, float16, "
                                          "bfloat16 and int8");
  }
  for (const auto& [view, name] :
       {std::pair{&product.scale, "scale"}, std::pair{&product.row_scale, "per_token_scale"}}) {
    if (view->rank != 0) {
      Refuse(std::string("'") + name + "' is given, 'x' is " + product.rows.Text() +
             "; scales are for int8 rows");
    }
  }
  for (const auto& [view, name] :
       {std::pair{&product.matrices, "weight"}, std::pair{&product.out, "the result"}}) {
    if (view->dtype != type) {
      Refuse(std::string("'") + name + "' is " + view->Text() + ", 'x' is " + product.rows.Text());
    }
  }
  const View& bias = product.bias;
  if (bias.rank == 0) return;
  const DType want = type == DType::kHalf ? DType::kHalf : DType::kFloat;
  if (bias.dtype != want || !bias.IsContiguous() ||
      bias.Shape() != std::vector<int64_t>{product.matrices.Dim(0), product.matrices.Dim(2)}) {
    Refuse("'bias' is " + bias.Text() +
           Format(", it must be %s [%lld, %lld]", Name(want), Long(product.matrices.Dim(0)),
                  Long(product.matrices.Dim(2))));
  }
}

View Matrix(const View& matrices, int64_t group) {
  View matrix = matrices;
  matrix.offset += group * matrices.Stride(0);
  matrix.rank = 2;
  for (size_t i = 0; i < 2; ++i) {
    matrix.dims[i] = matrices.dims[i + 1];
    matrix.strides[i] = matrices.strides[i + 1];
  }
  return matrix;
}

void RunQuantised(const Product& product, int64_t group, int64_t begin, const View& rows,
                  const View& matrix, const View& out) {
  Dequantisation how;
  if (product.bias.rank != 0) how.whole_bias = Integers(Narrowed(product.bias, 0, group, 1));
  if (product.scale.rank != 0) {
    const View scale = Narrowed(product.scale, 0, group, 1);
    if (scale.dtype == DType::kInt64) {
      Unpack(Integers(scale), &how);
    } else {
      how.scale = Floats(scale);
    }
  }
  if (product.row_scale.rank != 0) {
    const View scale = Narrowed(product.row_scale, 0, begin, rows.Dim(0));
    scale.CheckWritten("per_token_scale");
    how.row_scale = Floats(scale);
  }
  MultiplyInt8(rows, matrix, how, out);
}

void RunGroup(const Product& product, int64_t group, int64_t begin, int64_t count) {
  const View rows = Narrowed(product.rows, 0, begin, count);
  const View out = Narrowed(product.out, 0, begin, count);
  const View matrix = Matrix(product.matrices, group);
  rows.CheckWritten("x");
  matrix.CheckWritten("weight");
  if (rows.dtype == DType::kInt8) {
    RunQuantised(product, group, begin, rows, matrix, out);
  } else if (product.bias.rank == 0) {
    MultiplyMatrices(out, rows, matrix);
  } else {
    // Widened, so that there is one rounding.
    const AtenTensor sums = Aten("aten::mm", "", Widened(rows), Widened(matrix))[0];
    const auto* values = static_cast<const float*>(sums.data_ptr());
    const View bias = Narrowed(product.bias, 0, group, 1);
    int64_t i = 0;
    Map<float, 1>(out, {Expanded(bias, out, "'bias'")}, [&](float b) { return values[i++] + b; });
  }
  out.MarkWritten();
}

void Run(const Product& product) {
  product.groups.CheckWritten("group_list");
  const auto* list = reinterpret_cast<const int64_t*>(product.groups.Host());
  const int64_t stride = product.groups.Stride(0);
  int64_t begin = 0;
  for (int64_t group = 0; group < product.matrices.Dim(0); ++group) {
    const int64_t value = list[group * stride];
    const int64_t end = product.is_counts ? begin + value : value;
    if (end < begin || end > product.rows.Dim(0)) {
      throw Error(kAicoreException,
                  Format("'group_list' holds %lld at %lld, so group %lld would be rows %lld to "
                         "%lld of %lld (undefined on the device)",
                         Long(value), Long(group), Long(group), Long(begin), Long(end),
                         Long(product.rows.Dim(0))));
    }
    if (end > begin) RunGroup(product, group, begin, end - begin);
    begin = end;
  }
}

struct Lists {
  const TensorList* x;
  const TensorList* weight;
  const TensorList* bias;
  const TensorList* scale;
  const TensorList* per_token_scale;
  const TensorList* out;
};

void Prepare(Plan& plan, const Lists& lists, const Tensor* group_list, const Options& options) {
  CheckOptions(options);
  Product product;
  product.rows = Only(plan.Some(lists.x, "x"), "x");
  product.matrices = Only(plan.Some(lists.weight, "weight"), "weight");
  if (IsGiven(lists.bias)) product.bias = Only(plan.Get(lists.bias, "bias"), "bias");
  if (IsGiven(lists.scale)) product.scale = Only(plan.Get(lists.scale, "scale"), "scale");
  if (IsGiven(lists.per_token_scale)) {
    product.row_scale =
        Only(plan.Some(lists.per_token_scale, "per_token_scale"), "per_token_scale");
  }
  product.groups = plan.Some(group_list, "group_list");
  product.out = Only(plan.Some(lists.out, "out"), "out");
  product.is_counts = options.group_list_type == kCounts;
  CheckShapes(product);
  if (product.rows.dtype == DType::kInt8) {
    CheckQuantised(product);
  } else {
    if (options.is_tuned) Refuse("'tuning_config' is given, which is for int8 rows");
    CheckFloating(product);
  }
  CheckActivation(options.act_type, product.row_scale.rank != 0);
  CheckGroups(product);
  plan.run = [product] { Run(product); };
}

}  // namespace

ACLNN(GroupedMatmulV4, (const TensorList*, x), (const TensorList*, weight),
      (const TensorList*, bias), (const TensorList*, scale), (const TensorList*, offset),
      (const TensorList*, antiquant_scale), (const TensorList*, antiquant_offset),
      (const TensorList*, per_token_scale), (const Tensor*, group_list),
      (const TensorList*, activation_input), (const TensorList*, activation_quant_scale),
      (const TensorList*, activation_quant_offset), (int64_t, split_item), (int64_t, group_type),
      (int64_t, group_list_type), (int64_t, act_type), (const TensorList*, out),
      (const TensorList*, activation_feature_out), (const TensorList*, dynamic_quant_scale_out)) {
  RefuseOthers({offset, antiquant_scale, antiquant_offset, activation_input, activation_quant_scale,
                activation_quant_offset});
  Prepare(plan, {x, weight, bias, scale, per_token_scale, out}, group_list,
          {split_item, group_type, group_list_type, act_type, false});
}

ACLNN(GroupedMatmulV5, (const TensorList*, x), (const TensorList*, weight),
      (const TensorList*, bias), (const TensorList*, scale), (const TensorList*, offset),
      (const TensorList*, antiquant_scale), (const TensorList*, antiquant_offset),
      (const TensorList*, per_token_scale), (const Tensor*, group_list),
      (const TensorList*, activation_input), (const TensorList*, activation_quant_scale),
      (const TensorList*, activation_quant_offset), (int64_t, split_item), (int64_t, group_type),
      (int64_t, group_list_type), (int64_t, act_type), (const IntArray*, tuning_config),
      (const TensorList*, out), (const TensorList*, activation_feature_out),
      (const TensorList*, dynamic_quant_scale_out)) {
  RefuseOthers({offset, antiquant_scale, antiquant_offset, activation_input, activation_quant_scale,
                activation_quant_offset});
  const bool is_tuned = tuning_config != nullptr && !tuning_config->values.empty();
  Prepare(plan, {x, weight, bias, scale, per_token_scale, out}, group_list,
          {split_item, group_type, group_list_type, act_type, is_tuned});
}

}  // namespace softnpu
