// cc/softnpu/opapi/quant_matmul_ops.cc: the product of int8 matrices, with scales.
//
// Sums are exact in int32. What becomes of them is computed in double and rounded once; a chip
// multiplies in float32. Forms of 4 bits, of 8 floating ones and of scales for groups are refused
// as not implemented.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "cc/softnpu/opapi/operator.h"
#include "cc/softnpu/opapi/quantise.h"

namespace softnpu {
namespace {

constexpr int64_t kMostSide = 65535;

[[noreturn]] void Refuse(const std::string& sentence) { throw Error(kAclnnInvalid, sentence); }

// torch_npu gives empty tensors for those that are left out.
bool IsGiven(const Tensor* tensor) { return tensor != nullptr && tensor->view.Count() != 0; }

struct Product {
  View x1;         // int8 [.., M, K]
  View x2;         // int8 [.., K, N]
  View scale;      // [1] or [N]
  View row_scale;  // float32 [M]
  View offset;     // float32 [1] or [N]
  View bias;       // [N] or [batch, 1, N]
  View out;        // [.., M, N], contiguous
  bool has_row_scale = false;
  bool has_offset = false;
  bool has_bias = false;

  int64_t Rows() const { return out.Dim(out.rank - 2); }
  int64_t Columns() const { return out.Dim(out.rank - 1); }
};

void SwapLast(View* view) {
  const auto last = static_cast<size_t>(view->rank - 1);
  std::swap(view->dims[last - 1], view->dims[last]);
  std::swap(view->strides[last - 1], view->strides[last]);
}

void CheckFactors(const Product& product) {
  for (const auto& [view, name] : {std::pair{&product.x1, "x1"}, std::pair{&product.x2, "x2"}}) {
    if (view->dtype == DType::kInt32) {
      throw Error(kAclnnNotImplemented, std::string("'") + name + "' is " + view->Text() +
                                            ", numbers of 4 bits; SoftNPU has int8");
    }
    CheckDtype(*view, name, {DType::kInt8});
    if (view->rank < 2 || view->rank > 6) {
      Refuse(std::string("'") + name + "' is " + view->Text() + ", it must have 2 to 6 dimensions");
    }
    if (!IsDenseOrTransposed(*view)) {
      Refuse(std::string("'") + name +
             "' is neither contiguous nor contiguous with its last two "
             "dimensions exchanged");
    }
    if (view->Dim(view->rank - 1) > kMostSide || view->Dim(view->rank - 2) > kMostSide) {
      // The first dimension of x1 counts rows, which are not limited.
      const bool is_rows = view == &product.x1 && view->Dim(view->rank - 1) <= kMostSide;
      if (!is_rows) {
        Refuse(std::string("'") + name + "' is " + view->Text() +
               Format("; the product's sides can have %lld", Long(kMostSide)));
      }
    }
  }
}

// The shape of the result, batches being broadcast.
void CheckShapes(const Product& product) {
  const View& x1 = product.x1;
  const View& x2 = product.x2;
  const int rank = std::max(x1.rank, x2.rank);
  std::vector<int64_t> dims(static_cast<size_t>(rank));
  bool fits = x1.Dim(x1.rank - 1) == x2.Dim(x2.rank - 2);
  for (int d = 0; d < rank - 2; ++d) {
    const int64_t a = d < rank - x1.rank ? 1 : x1.Dim(d - (rank - x1.rank));
    const int64_t b = d < rank - x2.rank ? 1 : x2.Dim(d - (rank - x2.rank));
    fits = fits && (a == b || a == 1 || b == 1);
    dims[static_cast<size_t>(d)] = std::max(a, b);
  }
  dims[static_cast<size_t>(rank - 2)] = x1.Dim(x1.rank - 2);
  dims[static_cast<size_t>(rank - 1)] = x2.Dim(x2.rank - 1);
  if (!fits) Refuse("'x1' is " + x1.Text() + " and 'x2' " + x2.Text() + ", which do not fit");
  CheckDims(product.out, "out", dims);
  if (!product.out.IsContiguous()) Refuse("'out' is not contiguous");
}

// Which types of scales, bias and offset go with a result; by the tables of Atlas A2 and A3.
void CheckTypes(const Product& product) {
  const bool by_row = product.has_row_scale;
  const DType type = product.out.dtype;
  CheckDtype(product.out, "out", {DType::kHalf, DType::kBfloat16, DType::kInt8, DType::kInt32});
  if (type == DType::kBfloat16) {
    CheckDtype(product.scale, "x2_scale", {DType::kFloat, DType::kBfloat16});
    if (product.has_bias) {
      CheckDtype(product.bias, "bias", {DType::kInt32, DType::kBfloat16, DType::kFloat});
    }
  } else if (type == DType::kHalf && by_row) {
    CheckDtype(product.scale, "x2_scale", {DType::kFloat});
    if (product.has_bias) {
      CheckDtype(product.bias, "bias", {DType::kInt32, DType::kHalf, DType::kFloat});
    }
  } else {
    if (by_row) {
      Refuse("'x1_scale' is given; the result is " + product.out.Text() +
             ", which has scales of rows for float16 and bfloat16 only");
    }
    if (type == DType::kInt32) {
      CheckDtype(product.scale, "x2_scale", {DType::kFloat, DType::kBfloat16});
    } else {
      CheckDtype(product.scale, "x2_scale", {DType::kInt64});
    }
    if (product.has_bias) CheckDtype(product.bias, "bias", {DType::kInt32});
  }
  if (product.has_offset && type != DType::kInt8) {
    Refuse("'x2_offset' is given; the result is " + product.out.Text() + ", it must be int8");
  }
}

void CheckParameters(const Product& product) {
  const int64_t columns = product.Columns();
  CheckOneOrEach(product.scale, "x2_scale", columns);
  if (product.has_row_scale) {
    CheckDtype(product.row_scale, "x1_scale", {DType::kFloat});
    CheckDims(product.row_scale, "x1_scale", {product.Rows()});
  }
  if (product.has_offset) {
    CheckDtype(product.offset, "x2_offset", {DType::kFloat});
    CheckOneOrEach(product.offset, "x2_offset", columns);
  }
  if (!product.has_bias) return;
  if (product.bias.rank == 3 && product.out.rank == 3) {
    CheckDims(product.bias, "bias", {product.out.Dim(0), 1, columns});
  } else {
    CheckDims(product.bias, "bias", {columns});
  }
}

// Matrix `index` of a result with batches, as this operand has it.
View MatrixOf(const View& operand, const View& out, int64_t index) {
  View matrix = operand;
  matrix.rank = 2;
  const auto rank = static_cast<size_t>(operand.rank);
  for (int d = out.rank - 3; d >= 0; --d) {
    const int64_t at = index % out.Dim(d);
    index /= out.Dim(d);
    const int own = d - (out.rank - operand.rank);
    if (own >= 0 && operand.Dim(own) != 1) matrix.offset += at * operand.Stride(own);
  }
  for (size_t i = 0; i < 2; ++i) {
    matrix.dims[i] = operand.dims[rank - 2 + i];
    matrix.strides[i] = operand.strides[rank - 2 + i];
  }
  return matrix;
}

// Offsets lie in packed scales; where they are given once more, they are the same.
void CheckOffsets(const Product& product, const std::vector<int>& packed) {
  const std::vector<float> given = Floats(product.offset);
  const size_t count = std::max(given.size(), packed.size());
  for (size_t i = 0; i < count; ++i) {
    const float one = given[given.size() == 1 ? 0 : i];
    const int in_scale = packed[packed.size() == 1 ? 0 : i];
    if (UnpackOffset(PackOffset(0, one)) != in_scale) {
      throw Error(kAicoreException,
                  Format("'x2_offset' holds %g at %zu, 'x2_scale' was packed with %d (undefined on "
                         "the device)",
                         static_cast<double>(one), i, in_scale));
    }
  }
}

void Run(const Product& product) {
  if (product.out.Count() == 0) return;
  Dequantisation how;
  if (product.out.dtype != DType::kInt32) {  // which is the sums
    if (product.scale.dtype == DType::kInt64) {
      Unpack(Integers(product.scale), &how);
      // A result that is no int8 has no offset.
      if (product.out.dtype != DType::kInt8) how.offset.clear();
      if (product.has_offset) CheckOffsets(product, how.offset);
    } else {
      how.scale = Floats(product.scale);
    }
    if (product.has_row_scale) how.row_scale = Floats(product.row_scale);
  }
  const bool has_biases = product.has_bias && product.bias.rank == 3;
  const int64_t matrices = product.out.Count() / (product.Rows() * product.Columns());
  for (int64_t i = 0; i < matrices; ++i) {
    if (product.has_bias && (i == 0 || has_biases)) {
      const View bias = has_biases ? MatrixOf(product.bias, product.out, i) : product.bias;
      if (bias.dtype == DType::kInt32) {
        how.whole_bias = Integers(bias);
      } else {
        how.bias = Floats(bias);
      }
    }
    MultiplyInt8(MatrixOf(product.x1, product.out, i), MatrixOf(product.x2, product.out, i), how,
                 MatrixOf(product.out, product.out, i));
  }
}

}  // namespace

ACLNN(QuantMatmulV5, (const Tensor*, x1), (const Tensor*, x2), (const Tensor*, x1_scale),
      (const Tensor*, x2_scale), (const Tensor*, y_scale), (const Tensor*, x1_offset),
      (const Tensor*, x2_offset), (const Tensor*, y_offset), (const Tensor*, bias),
      (bool, transpose_x1), (bool, transpose_x2), (int64_t, group_size), (const Tensor*, out)) {
  for (const auto& [tensor, name] :
       {std::pair{y_scale, "y_scale"}, std::pair{x1_offset, "x1_offset"},
        std::pair{y_offset, "y_offset"}}) {
    if (IsGiven(tensor)) {
      Refuse(std::string("'") + name + "' is " + tensor->view.Text() +
             ", which int8 factors do not have");
    }
  }
  if (group_size != 0) {
    throw Error(kAclnnNotImplemented,
                Format("'group_size' is %lld; SoftNPU has scales of rows and columns (0)",
                       Long(group_size)));
  }
  Product product;
  product.x1 = plan.Get(x1, "x1");
  product.x2 = plan.Get(x2, "x2");
  product.scale = plan.Get(x2_scale, "x2_scale");
  product.out = plan.Out(out, "out");
  product.has_row_scale = IsGiven(x1_scale);
  product.has_offset = IsGiven(x2_offset);
  product.has_bias = IsGiven(bias);
  if (product.has_row_scale) product.row_scale = plan.Get(x1_scale, "x1_scale");
  if (product.has_offset) product.offset = plan.Get(x2_offset, "x2_offset");
  if (product.has_bias) product.bias = plan.Get(bias, "bias");
  CheckFactors(product);
  if (transpose_x1) SwapLast(&product.x1);
  if (transpose_x2) SwapLast(&product.x2);
  CheckShapes(product);
  CheckTypes(product);
  CheckParameters(product);
  plan.run = [product] { Run(product); };
}

}  // namespace softnpu
