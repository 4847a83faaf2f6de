// cc/softnpu/opapi/collective_ops.cc: operators that contain a collective.
//
// Such an operator is two tasks on its stream: the product, and the collective of libhccl.so. The
// product is computed in double precision and rounded once; the sum over ranks is in their order,
// and each step is rounded.
#include <optional>
#include <string>
#include <vector>

#include "cc/softnpu/opapi/aten.h"
#include "cc/softnpu/opapi/collective_group.h"
#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/operator.h"
#include "cc/softnpu/opapi/wide.h"

namespace softnpu {
namespace {

// The ranks that the links of a server connect.
void CheckGroup(const Plan& plan, const char* group) {
  const std::string name(&plan.Required(group, "group"));
  const softnpu_groups* const groups = softnpu_offered_groups();
  const uint32_t ranks = groups == nullptr ? 0 : groups->ranks(group);
  if (ranks == 0) {
    throw Error(kAclnnInvalid,
                "'group' is '" + name + "'; the current device has no communicator of that name");
  }
  if (ranks != 1 && ranks != 2 && ranks != 4 && ranks != 8) {
    throw Error(kAclnnInvalid, Format("'group' is '%s', of %u ranks; it must have 1, 2, 4 or 8",
                                      name.c_str(), ranks));
  }
}

void CheckOptions(const Plan& plan, const char* reduction, int64_t comm_turn, int64_t stream_mode) {
  const std::string name(&plan.Required(reduction, "reduceOp"));
  if (name != "sum") throw Error(kAclnnInvalid, "'reduceOp' is '" + name + "'; it must be 'sum'");
  if (comm_turn != 0) {
    throw Error(kAclnnInvalid,
                Format("'commTurn' is %lld; it must be 0", static_cast<long long>(comm_turn)));
  }
  if (stream_mode != 1) {
    throw Error(kAclnnInvalid,
                Format("'streamMode' is %lld; it must be 1", static_cast<long long>(stream_mode)));
  }
}

void CheckFactors(const View& x1, const View& x2) {
  if ((x1.dtype != DType::kHalf && x1.dtype != DType::kBfloat16) || x1.rank < 2 || x1.rank > 3 ||
      !x1.IsContiguous()) {
    throw Error(kAclnnInvalid, "'x1' is " + x1.Text() +
                                   "; it must be float16 or bfloat16, contiguous, of 2 or 3 "
                                   "dimensions");
  }
  CheckSameType(x2, "x2", x1, "x1");
  if (x2.rank != 2 || x2.Dim(0) != x1.Dim(x1.rank - 1)) {
    throw Error(kAclnnInvalid, "'x2' is " + x2.Text() + ", and 'x1' " + x1.Text() +
                                   "; it must have 2 dimensions, the first as the last of 'x1'");
  }
  if (x1.Count() == 0 || x2.Count() == 0) {
    throw Error(kAclnnInvalid,
                "'x1' is " + x1.Text() + ", 'x2' " + x2.Text() + "; neither may be empty");
  }
}

void PlanMatmulAllReduce(Plan& plan, const Tensor* x1, const Tensor* x2, const Tensor* bias,
                         const Tensor* x3, const char* group, const char* reduction,
                         int64_t comm_turn, int64_t stream_mode, const Tensor* output) {
  const View a = plan.Get(x1, "x1");
  const View b = plan.Get(x2, "x2");
  const View out = plan.Out(output, "output");
  CheckFactors(a, b);
  std::vector<int64_t> shape = a.Shape();
  shape.back() = b.Dim(1);
  CheckSameType(out, "output", a, "x1");
  if (out.Shape() != shape || !out.IsContiguous()) {
    throw Error(kAclnnInvalid, "'output' is " + out.Text() + "; with 'x1' of " + a.Text() +
                                   " and 'x2' of " + b.Text() +
                                   " it must have the rows of the one, the columns of the other, "
                                   "and be contiguous");
  }
  std::optional<View> offset, addend;
  if (bias != nullptr) {
    offset = plan.Get(bias, "bias");
    CheckSameType(*offset, "bias", a, "x1");
    if (offset->rank != 1 || offset->Dim(0) != b.Dim(1)) {
      throw Error(kAclnnInvalid, Format("'bias' is %s; it must have one dimension of %lld",
                                        offset->Text().c_str(), static_cast<long long>(b.Dim(1))));
    }
  }
  if (x3 != nullptr) {
    addend = plan.Get(x3, "x3");
    CheckSameType(*addend, "x3", a, "x1");
    if (addend->Shape() != shape) {
      throw Error(kAclnnInvalid, "'x3' is " + addend->Text() + ", and 'output' " + out.Text() +
                                     "; they must agree");
    }
  }
  CheckOptions(plan, reduction, comm_turn, stream_mode);
  CheckGroup(plan, group);
  plan.run = [=] {
    const std::optional<AtenTensor> row =
        offset ? std::optional<AtenTensor>(InDouble(*offset)) : std::nullopt;
    const AtenTensor turned = Aten("aten::t", "", InDouble(b))[0];
    const AtenTensor found = Aten("aten::linear", "", InDouble(a), turned, row)[0];
    if (!addend) {
      CopyFromAten(out, found);
      return;
    }
    const auto* value = static_cast<const double*>(found.data_ptr());
    Map<double, 1>(out, {*addend}, [&](double added) { return *value++ + added; });
  };
  SumOverRanks(&plan, out, group);
}

}  // namespace

void SumOverRanks(Plan* plan, const View& out, const char* group) {
  void* const address = const_cast<void*>(out.Access("output", SOFTNPU_WRITES).address);
  plan->group = group;
  plan->then = [out, address, name = std::string(group)](void* stream) {
    return softnpu_offered_groups()->all_reduce(name.c_str(), address,
                                                static_cast<uint64_t>(out.Count()),
                                                static_cast<int32_t>(out.dtype), stream);
  };
}

void CheckSummingGroup(const Plan& plan, const char* group, const char* reduction,
                       int64_t comm_turn, int64_t stream_mode) {
  CheckOptions(plan, reduction, comm_turn, stream_mode);
  CheckGroup(plan, group);
}

void CheckCommMode(const char* comm_mode) {
  const std::string mode(comm_mode == nullptr ? "" : comm_mode);
  if (!mode.empty() && mode != "ai_cpu" && mode != "aiv") {
    throw Error(kAclnnInvalid, "'commMode' is '" + mode + "'; it must be 'ai_cpu' or 'aiv'");
  }
}

ACLNN(MatmulAllReduce, (const Tensor*, x1), (const Tensor*, x2), (const Tensor*, bias),
      (const char*, group), (const char*, reduction), (int64_t, comm_turn), (int64_t, stream_mode),
      (const Tensor*, output)) {
  PlanMatmulAllReduce(plan, x1, x2, bias, nullptr, group, reduction, comm_turn, stream_mode,
                      output);
}

ACLNN(MatmulAllReduceV2, (const Tensor*, x1), (const Tensor*, x2), (const Tensor*, bias),
      (const Tensor*, x3), (const char*, group), (const char*, reduction), (int64_t, comm_turn),
      (int64_t, stream_mode), (const Tensor*, output)) {
  PlanMatmulAllReduce(plan, x1, x2, bias, x3, group, reduction, comm_turn, stream_mode, output);
}

// Which unit of a chip carries the data changes no result.
ACLNN(MatmulAllReduceV3, (const Tensor*, x1), (const Tensor*, x2), (const Tensor*, bias),
      (const Tensor*, x3), (const char*, group), (const char*, reduction), (const char*, comm_mode),
      (int64_t, comm_turn), (int64_t, stream_mode), (const Tensor*, output)) {
  CheckCommMode(comm_mode);
  PlanMatmulAllReduce(plan, x1, x2, bias, x3, group, reduction, comm_turn, stream_mode, output);
}

}  // namespace softnpu
