// cc/softnpu/opapi/operator.cc: the two phases of every operator.
#include "cc/softnpu/opapi/operator.h"

#include "cc/softnpu/runtime/internal.h"

namespace softnpu {

void Plan::Missing(const char* argument) const {
  throw Error(kAclnnNullptr, std::string("the argument '") + argument + "' is null");
}

View Plan::Look(const Tensor* tensor, const char* argument, uint32_t mode) const {
  const Tensor& given = Required(tensor, argument);
  if (!given.excess_dims.empty()) {
    throw Error(kAclnnInvalid, Format("'%s' has %zu dimensions, the limit is %d", argument,
                                      given.excess_dims.size(), kMaxRank));
  }
  // ND and the formats that describe the same dense bytes: NCHW, NHWC, NCL, NCDHW.
  const int32_t format = given.format;
  if (format != kFormatNd && format != 0 && format != 1 && format != 47 && format != 30) {
    throw Error(kAclnnInvalid, Format("'%s' has the private format %d; SoftNPU has no operator for "
                                      "other formats than ND",
                                      argument, format));
  }
  Size(given.view.dtype);
  if (given.view.dtype == DType::kBfloat16 && softnpu_has_bfloat16() == 0) {
    throw Error(kAclnnInvalid,
                Format("'%s' is bfloat16, which %s does not have", argument, softnpu_soc_name()));
  }
  given.view.Host();  // every element lies in one live allocation
  accesses.push_back(given.view.Access(argument, mode));
  return given.view;
}

std::vector<View> Plan::Look(const TensorList* list, const char* argument, uint32_t mode) const {
  std::vector<View> views;
  for (const Tensor* tensor : Required(list, argument).tensors) {
    views.push_back(Look(tensor, argument, mode));
  }
  return views;
}

namespace {

// The task reports through the C interface: the error text and code are this library's own.
int32_t Run(void* context) {
  auto* executor = static_cast<Executor*>(context);
  try {
    executor->plan.run();
    return kOk;
  } catch (const Error& error) {
    return softnpu_report(error.code(),
                          (std::string(executor->plan.name) + ": " + error.what()).c_str());
  } catch (const std::exception& error) {
    return softnpu_report(kAicoreException,
                          (std::string(executor->plan.name) + ": " + error.what()).c_str());
  } catch (...) {
    return softnpu_report(kAicoreException, executor->plan.name);
  }
}

void Drop(void* context) { delete static_cast<Executor*>(context); }

}  // namespace

int32_t Prepare(const char* name, uint64_t* workspace, Executor** executor,
                const std::function<void(Plan&)>& prepare) {
  try {
    if (workspace == nullptr || executor == nullptr) {
      throw Error(kAclnnNullptr, "the address for the workspace's size or the executor is null");
    }
    auto made = std::make_unique<Executor>(Executor{Plan(name)});
    prepare(made->plan);
    *workspace = 0;
    *executor = made.release();
    return kOk;
  } catch (const Error& error) {
    return softnpu_report(error.code(), (std::string(name) + ": " + error.what()).c_str());
  } catch (const std::exception& error) {
    return softnpu_report(kAclnnTiling, (std::string(name) + ": " + error.what()).c_str());
  } catch (...) {
    return softnpu_report(kAclnnTiling, name);
  }
}

int32_t Execute(Executor* executor, void* stream) {
  if (executor == nullptr) {
    return softnpu_report(kAclnnNullptr, "an operator was run without an executor");
  }
  // The executor may be gone when it is queued.
  const std::function<int32_t(void*)> then = executor->plan.then;
  const std::string group = executor->plan.group;
  const int32_t code =
      softnpu_enqueue(stream, executor->plan.name, Run, Drop, executor,
                      executor->plan.accesses.data(), executor->plan.accesses.size());
  if (!then) return code;
  const int32_t behind = code == kOk ? then(stream) : code;
  if (behind == kOk) return kOk;
  const std::string why = softnpu_own_message();
  softnpu_offered_groups()->give_up(group.c_str(), why.c_str());
  // Where the first part is queued, nobody computes the rest. torch_npu tells of it once and leaves
  // out what comes behind it.
  return code == kOk ? softnpu_fail(behind, why.c_str()) : softnpu_report(code, why.c_str());
}

}  // namespace softnpu
