// cc/softnpu/opapi/operator.h: how an aclnn operator is written.
//
//   ACLNN(Add, (const Tensor*, self), (const Tensor*, other), (const Scalar*, alpha),
//         (Tensor*, out)) {
//     ... checks, which throw Error, on `self`, `other` ...
//     plan.run = [views] { ... };
//   }
//
// defines the exported pair aclnnAddGetWorkspaceSize / aclnnAdd. The body runs in the first call:
// it must refuse everything that can be refused there, and copy what it needs (the handles are gone
// when the task runs). `plan.run` runs later on the stream.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cc/softnpu/opapi/tensor.h"
#include "cc/softnpu/runtime/internal.h"

#define SOFTNPU_API __attribute__((visibility("default")))

namespace softnpu {

class Plan {
 public:
  explicit Plan(const char* operator_name) : name(operator_name) {}

  const char* const name;
  std::function<void()> run;
  // Queues the collective that comes behind `run` on the same stream; 0, or a code after
  // softnpu_report.
  std::function<int32_t(void* stream)> then;
  std::string group;  // of that collective: its ranks are told when it is not queued
  // The elements of every tensor that was got.
  mutable std::vector<softnpu_access> accesses;

  // The view of an input. Throws Error: null (161001), a format other than ND-like, a dtype that
  // the chip or SoftNPU does not have (161002).
  View Get(const Tensor* tensor, const char* argument) const {
    return Look(tensor, argument, SOFTNPU_READS);
  }
  // The view of an output, of which all elements are written.
  View Out(const Tensor* tensor, const char* argument) const {
    return Look(tensor, argument, SOFTNPU_WRITES);
  }
  // The view of an operand that is read and written.
  View InOut(const Tensor* tensor, const char* argument) const {
    return Look(tensor, argument, SOFTNPU_READS | SOFTNPU_WRITES);
  }
  // The view of an operand of which only some elements are read or written: `run` calls
  // CheckWritten for those that it reads and MarkWritten for those that it writes.
  View Some(const Tensor* tensor, const char* argument) const {
    return Look(tensor, argument, SOFTNPU_READS | SOFTNPU_WRITES | SOFTNPU_SOME);
  }
  std::vector<View> Get(const TensorList* list, const char* argument) const {
    return Look(list, argument, SOFTNPU_READS);
  }
  std::vector<View> Some(const TensorList* list, const char* argument) const {
    return Look(list, argument, SOFTNPU_READS | SOFTNPU_WRITES | SOFTNPU_SOME);
  }
  template <typename T>
  const T& Required(const T* object, const char* argument) const {
    if (object == nullptr) Missing(argument);
    return *object;
  }
  [[noreturn]] void Missing(const char* argument) const;

 private:
  View Look(const Tensor* tensor, const char* argument, uint32_t mode) const;
  std::vector<View> Look(const TensorList* list, const char* argument, uint32_t mode) const;
};

// The aclOpExecutor.
struct Executor {
  Plan plan;
};

// Phase one: runs `prepare`, and hands out an executor. Phase two: queues it.
int32_t Prepare(const char* name, uint64_t* workspace, Executor** executor,
                const std::function<void(Plan&)>& prepare);
int32_t Execute(Executor* executor, void* stream);

}  // namespace softnpu

// Applies M to every argument. Enough rescans for 64 of them.
#define SOFTNPU_PARENS ()
#define SOFTNPU_EXPAND(...) \
  SOFTNPU_EXPAND3(SOFTNPU_EXPAND3(SOFTNPU_EXPAND3(SOFTNPU_EXPAND3(__VA_ARGS__))))
#define SOFTNPU_EXPAND3(...) \
  SOFTNPU_EXPAND2(SOFTNPU_EXPAND2(SOFTNPU_EXPAND2(SOFTNPU_EXPAND2(__VA_ARGS__))))
#define SOFTNPU_EXPAND2(...) \
  SOFTNPU_EXPAND1(SOFTNPU_EXPAND1(SOFTNPU_EXPAND1(SOFTNPU_EXPAND1(__VA_ARGS__))))
#define SOFTNPU_EXPAND1(...) __VA_ARGS__
#define SOFTNPU_EACH(M, ...) __VA_OPT__(SOFTNPU_EXPAND(SOFTNPU_EACH_STEP(M, __VA_ARGS__)))
#define SOFTNPU_EACH_STEP(M, first, ...) \
  M first __VA_OPT__(SOFTNPU_EACH_AGAIN SOFTNPU_PARENS(M, __VA_ARGS__))
#define SOFTNPU_EACH_AGAIN() SOFTNPU_EACH_STEP
#define SOFTNPU_PARAMETER(type, name) type name,
#define SOFTNPU_TRAILING(type, name) , [[maybe_unused]] type name
#define SOFTNPU_ARGUMENT(type, name) , name

// The names of all operators lie in one section, so that a table can be compared with them.
#define ACLNN(NAME, ...)                                                                         \
  __attribute__((section("softnpu_operators"), used, retain)) static const char* kNameOf##NAME = \
      #NAME;                                                                                     \
  static void Prepare##NAME(softnpu::Plan& plan SOFTNPU_EACH(SOFTNPU_TRAILING, __VA_ARGS__));    \
  extern "C" {                                                                                   \
  SOFTNPU_API int32_t aclnn##NAME##GetWorkspaceSize(SOFTNPU_EACH(SOFTNPU_PARAMETER, __VA_ARGS__) \
                                                        uint64_t* workspace_size,                \
                                                    softnpu::Executor** executor) {              \
    return softnpu::Prepare("aclnn" #NAME, workspace_size, executor, [&](softnpu::Plan& p) {     \
      Prepare##NAME(p SOFTNPU_EACH(SOFTNPU_ARGUMENT, __VA_ARGS__));                              \
    });                                                                                          \
  }                                                                                              \
  SOFTNPU_API int32_t aclnn##NAME(void*, uint64_t, softnpu::Executor* executor, void* stream) {  \
    return softnpu::Execute(executor, stream);                                                   \
  }                                                                                              \
  }                                                                                              \
  static void Prepare##NAME(                                                                     \
      [[maybe_unused]] softnpu::Plan& plan SOFTNPU_EACH(SOFTNPU_TRAILING, __VA_ARGS__))
