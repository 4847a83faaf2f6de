// cc/softnpu/opapi/quant_collective_ops.cc: products of int8 that are summed over ranks.
//
// Such an operator is two tasks on its stream, as MatmulAllReduce: the product, of which the sums
// are exact and scaled in double with one rounding, and the collective. `x3` is added to what was
// rounded, with one rounding more. Sums that travel in int8 are not implemented.
#include <string>
#include <utility>
#include <vector>

#include "cc/softnpu/opapi/collective_group.h"
#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/operator.h"
#include "cc/softnpu/opapi/quantise.h"

namespace softnpu {
namespace {

constexpr int64_t kMostSide = 65535;

[[noreturn]] void Refuse(const std::string& sentence) { throw Error(kAclnnInvalid, sentence); }

// torch_npu gives empty tensors for those that are left out.
bool IsGiven(const Tensor* tensor) { return tensor != nullptr && tensor->view.Count() != 0; }

struct Scales {
  const Tensor* column = nullptr;
  const Tensor* row = nullptr;
  const Tensor* sent = nullptr;  // commQuantScale1, commQuantScale2
  const Tensor* summed = nullptr;
  int64_t group_size = 0;
  int64_t sent_mode = 0;
};

void CheckFactors(const View& x1, const View& x2) {
  for (const auto& [view, name] : {std::pair{&x1, "x1"}, std::pair{&x2, "x2"}}) {
    CheckDtype(*view, name, {DType::kInt8});
  }
  if (x1.rank < 2 || x1.rank > 3 || !x1.IsContiguous()) {
    Refuse("'x1' is " + x1.Text() + "; it must be contiguous, of 2 or 3 dimensions");
  }
  if (x2.rank != 2 || x2.Dim(0) != x1.Dim(x1.rank - 1) || !IsDenseOrTransposed(x2)) {
    Refuse("'x2' is " + x2.Text() + ", and 'x1' " + x1.Text() +
           "; it must have 2 dimensions, the first as the last of 'x1', and be contiguous or "
           "transposed");
  }
  if (x1.Count() == 0 || x2.Count() == 0) {
    Refuse("'x1' is " + x1.Text() + ", 'x2' " + x2.Text() + "; neither may be empty");
  }
  const bool transposed = !x2.IsContiguous();
  if (x2.Dim(0) > kMostSide || (x2.Dim(1) > kMostSide && !transposed)) {
    Refuse("'x2' is " + x2.Text() + Format("; its sides can have %lld", Long(kMostSide)));
  }
}

// The scales of a result, by the table of Atlas A2.
Dequantisation ReadScales(const View& column, const View& row, const View& bias) {
  Dequantisation how;
  if (column.dtype == DType::kInt64) {
    Unpack(Integers(column), &how);
    how.offset.clear();
  } else {
    how.scale = Floats(column);
  }
  if (row.rank > 0) how.row_scale = Floats(row);
  if (bias.rank > 0) how.whole_bias = Integers(bias);
  return how;
}

void CheckScales(const View& column, const View& row, const View& out, int64_t rows) {
  if (row.rank > 0) {
    CheckDtype(row, "pertokenScale", {DType::kFloat});
    CheckDims(row, "pertokenScale", {rows});
  }
  if (out.dtype == DType::kBfloat16) {
    CheckDtype(column, "dequantScale", {DType::kBfloat16});
  } else {
    CheckDtype(column, "dequantScale", {row.rank > 0 ? DType::kFloat : DType::kInt64});
  }
  if (column.rank == 2 && column.Dim(0) == 1) {
    CheckDims(column, "dequantScale", {1, out.Dim(out.rank - 1)});
  } else {
    CheckOneOrEach(column, "dequantScale", out.Dim(out.rank - 1));
  }
}

void PlanQuantMatmulAllReduce(Plan& plan, const Tensor* x1, const Tensor* x2, const Tensor* bias,
                              const Tensor* x3, const Scales& scales, const char* group,
                              const char* reduction, int64_t comm_turn, int64_t stream_mode,
                              const Tensor* output) {
  const View a = plan.Get(x1, "x1");
  const View b = plan.Get(x2, "x2");
  const View out = plan.Out(output, "output");
  CheckFactors(a, b);
  std::vector<int64_t> shape = a.Shape();
  shape.back() = b.Dim(1);
  CheckDtype(out, "output", {DType::kHalf, DType::kBfloat16});
  CheckDims(out, "output", shape);
  if (!out.IsContiguous()) Refuse("'output' is not contiguous");
  if (IsGiven(scales.sent) || IsGiven(scales.summed) || scales.sent_mode != 0) {
    throw Error(kAclnnNotImplemented,
                "'commQuantScale1' or 'commQuantScale2' is given; SoftNPU sends sums as they are");
  }
  if (scales.group_size != 0) {
    Refuse(Format("'groupSize' is %lld; it must be 0", Long(scales.group_size)));
  }
  const int64_t rows = a.Count() / a.Dim(a.rank - 1);
  const View column = plan.Get(scales.column, "dequantScale");
  View row, offset, addend;
  if (IsGiven(scales.row)) row = plan.Get(scales.row, "pertokenScale");
  CheckScales(column, row, out, rows);
  if (IsGiven(bias)) {
    offset = plan.Get(bias, "bias");
    CheckDtype(offset, "bias", {DType::kInt32});
    CheckDims(offset, "bias", {b.Dim(1)});
  }
  if (IsGiven(x3)) {
    addend = plan.Get(x3, "x3");
    CheckDtype(addend, "x3", {out.dtype});
    CheckDims(addend, "x3", shape);
  }
  CheckSummingGroup(plan, group, reduction, comm_turn, stream_mode);
  plan.run = [=] {
    MultiplyInt8(Reshaped(a, {rows, a.Dim(a.rank - 1)}), b, ReadScales(column, row, offset),
                 Reshaped(out, {rows, b.Dim(1)}));
    if (addend.rank > 0) {
      Map<double, 2>(out, {out, addend},
                     [](double product, double added) { return product + added; });
    }
  };
  SumOverRanks(&plan, out, group);
}

}  // namespace

ACLNN(QuantMatmulAllReduce, (const Tensor*, x1), (const Tensor*, x2), (const Tensor*, bias),
      (const Tensor*, x3), (const Tensor*, dequant_scale), (const char*, group),
      (const char*, reduction), (int64_t, comm_turn), (int64_t, stream_mode),
      (const Tensor*, output)) {
  PlanQuantMatmulAllReduce(plan, x1, x2, bias, x3, {dequant_scale}, group, reduction, comm_turn,
                           stream_mode, output);
}

ACLNN(QuantMatmulAllReduceV2, (const Tensor*, x1), (const Tensor*, x2), (const Tensor*, bias),
      (const Tensor*, x3), (const Tensor*, dequant_scale), (const Tensor*, pertoken_scale),
      (const char*, group), (const char*, reduction), (int64_t, comm_turn), (int64_t, stream_mode),
      (const Tensor*, output)) {
  PlanQuantMatmulAllReduce(plan, x1, x2, bias, x3, {dequant_scale, pertoken_scale}, group,
                           reduction, comm_turn, stream_mode, output);
}

ACLNN(QuantMatmulAllReduceV3, (const Tensor*, x1), (const Tensor*, x2), (const Tensor*, bias),
      (const Tensor*, x3), (const Tensor*, dequant_scale), (const Tensor*, pertoken_scale),
      (const Tensor*, sent_scale), (const Tensor*, summed_scale), (const char*, group),
      (const char*, reduction), (int64_t, comm_turn), (int64_t, stream_mode),
      (const Tensor*, output)) {
  PlanQuantMatmulAllReduce(plan, x1, x2, bias, x3,
                           {dequant_scale, pertoken_scale, sent_scale, summed_scale}, group,
                           reduction, comm_turn, stream_mode, output);
}

ACLNN(QuantMatmulAllReduceV4, (const Tensor*, x1), (const Tensor*, x2), (const Tensor*, bias),
      (const Tensor*, x3), (const Tensor*, pertoken_scale), (const Tensor*, dequant_scale),
      (const Tensor*, sent_scale), (const Tensor*, summed_scale), (const char*, group),
      (const char*, reduction), (int64_t, comm_turn), (int64_t, stream_mode), (int64_t, group_size),
      (int64_t, sent_mode), (const Tensor*, output)) {
  PlanQuantMatmulAllReduce(
      plan, x1, x2, bias, x3,
      {dequant_scale, pertoken_scale, sent_scale, summed_scale, group_size, sent_mode}, group,
      reduction, comm_turn, stream_mode, output);
}

ACLNN(QuantMatmulAllReduceV5, (const Tensor*, x1), (const Tensor*, x2), (const Tensor*, bias),
      (const Tensor*, x3), (const Tensor*, pertoken_scale), (const Tensor*, dequant_scale),
      (const Tensor*, sent_scale), (const Tensor*, summed_scale), (const char*, group),
      (const char*, reduction), (const char*, comm_mode), (int64_t, comm_turn),
      (int64_t, stream_mode), (int64_t, group_size), (int64_t, sent_mode),
      (const Tensor*, output)) {
  CheckCommMode(comm_mode);
  PlanQuantMatmulAllReduce(
      plan, x1, x2, bias, x3,
      {dequant_scale, pertoken_scale, sent_scale, summed_scale, group_size, sent_mode}, group,
      reduction, comm_turn, stream_mode, output);
}

}  // namespace softnpu
