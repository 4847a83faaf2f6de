// cc/softnpu/opapi/unsupported.cc: operators that exist but that SoftNPU does not implement.
//
// Every name of the manifest is defined here as a weak symbol that fails by name; ACLNN(...)
// defines the implemented ones, and the linker prefers those. 561103 becomes a Python exception;
// 207000 would be a mere warning to torch_npu, which would go on with an executor that was never
// made.
#include <string>

#include "cc/softnpu/opapi/operator.h"
#include "cc/softnpu/runtime/internal.h"

namespace {

// The device is in error afterwards: with TASK_QUEUE_ENABLE=2 torch_npu tells of the refusal once,
// then leaves out what comes behind it, and results would be memory that nobody computed.
int32_t Refuse(const char* name) {
  const std::string sentence = std::string(name) + ": SoftNPU does not implement this operator";
  return softnpu_fail(softnpu::kAclnnNotImplemented, sentence.c_str());
}

}  // namespace

// The parameters are not declared: nothing is read before the refusal.
#define SOFTNPU_OPERATOR(NAME)                                                           \
  extern "C" SOFTNPU_API __attribute__((weak)) int32_t aclnn##NAME##GetWorkspaceSize() { \
    return Refuse("aclnn" #NAME);                                                        \
  }                                                                                      \
  extern "C" SOFTNPU_API __attribute__((weak)) int32_t aclnn##NAME() {                   \
    return Refuse("aclnn" #NAME);                                                        \
  }
#include "cc/softnpu/opapi/manifest.inc"
#undef SOFTNPU_OPERATOR
