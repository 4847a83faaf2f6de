// cc/ops/operator.h: the declaration of an operator, and the list of all that are declared.
//
// An operator is a struct of arguments and a plan, which checks them and tiles. Its source file
// declares it once, by name, with its tensors in the order in which the kernel takes them and its
// options. Bindings and tests find it in the list: nothing else names it.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "cc/ops/tensor.h"

namespace vllm_cann::ops {

// What an operator launches.
template <typename TilingStruct>
struct Plan {
  uint32_t cores = 0;            // 0: nothing to launch
  const char* kernel = nullptr;  // has static storage
  TilingStruct tiling{};
};

// A plan of any operator.
struct PlannedKernel {
  uint32_t cores = 0;
  const char* kernel = nullptr;
  std::vector<uint64_t> tiling;  // the words that the kernel takes behind its tensors
};

inline constexpr bool kSharesPlace = true;
inline constexpr int kMaxList = 3;

// The value of an option, as its kind reads it.
struct OptionValue {
  int64_t integer = 0;  // kInteger, kBoolean; kChoice: the index of the choice
  double real = 0;      // kReal
  int64_t list[kMaxList] = {};
};

struct Option {
  enum class Kind { kInteger, kBoolean, kReal, kChoice, kList };

  const char* name;
  Kind kind;
  std::vector<const char*> choices;
  std::function<void(void* args, const OptionValue& value)> set;
};

// A tensor that the kernel takes. One that shares a place comes instead of the one before it: the
// kernel takes the address of the one that is present.
struct Parameter {
  const char* name;
  bool shares_place;
};

struct Operator {
  const char* name;
  const char* family;  // of the kernel's binary; null for an operator that launches no kernel
  std::vector<Parameter> tensors;
  std::vector<Option> options;
  // Throws std::invalid_argument with a sentence.
  std::function<PlannedKernel(const Tensor*, const OptionValue*, const DeviceInfo&)> plan;
  // The bytes of workspace that the plan expects; empty for a kernel that needs none.
  std::function<int64_t(const Tensor*, const OptionValue*, const DeviceInfo&)> workspace_bytes;
  // Of an operator that launches no kernel: does the work on the stream.
  std::function<void(const Tensor*, const OptionValue*, void* stream)> run;
};

// Throws std::logic_error when the name is taken.
bool Register(Operator declared);
const std::vector<const Operator*>& AllOperators();
// Throws std::invalid_argument when there is none.
const Operator& FindOperator(std::string_view name);

// A member of `Args` that is a tensor.
template <typename Args>
struct TensorOf {
  const char* name;
  Tensor Args::* member;
  bool shares_place = false;
};

// A member of `Args` that is a number, a flag, one of several names, or three integers.
template <typename Args>
struct OptionOf {
  OptionOf(const char* name, int64_t Args::* member)
      : option{name, Option::Kind::kInteger, {}, [member](void* args, const OptionValue& value) {
                 static_cast<Args*>(args)->*member = value.integer;
               }} {}
  OptionOf(const char* name, bool Args::* member)
      : option{name, Option::Kind::kBoolean, {}, [member](void* args, const OptionValue& value) {
                 static_cast<Args*>(args)->*member = value.integer != 0;
               }} {}
  OptionOf(const char* name, double Args::* member)
      : option{name, Option::Kind::kReal, {}, [member](void* args, const OptionValue& value) {
                 static_cast<Args*>(args)->*member = value.real;
               }} {}
  OptionOf(const char* name, int64_t (Args::*member)[kMaxList])
      : option{name, Option::Kind::kList, {}, [member](void* args, const OptionValue& value) {
                 for (int i = 0; i < kMaxList; ++i) {
                   (static_cast<Args*>(args)->*member)[i] = value.list[i];
                 }
               }} {}
  // The first name stands for the enumerator 0, and so on.
  template <typename Enum, typename = std::enable_if_t<std::is_enum_v<Enum>>>
  OptionOf(const char* name, Enum Args::* member, std::vector<const char*> choices)
      : option{name, Option::Kind::kChoice, std::move(choices),
               [member](void* args, const OptionValue& value) {
                 static_cast<Args*>(args)->*member = static_cast<Enum>(value.integer);
               }} {}

  Option option;
};

template <typename Args>
using TensorsOf = std::initializer_list<TensorOf<std::type_identity_t<Args>>>;
template <typename Args>
using OptionsOf = std::initializer_list<OptionOf<std::type_identity_t<Args>>>;

// The arguments of an operator from what its caller gave, in the declared order.
template <typename Args>
class ArgumentReader {
 public:
  ArgumentReader(TensorsOf<Args> tensors, OptionsOf<Args> options) : tensors_(tensors) {
    for (const auto& declared : options) options_.push_back(declared.option);
  }
  Args operator()(const Tensor* tensors, const OptionValue* options) const {
    Args args;
    for (size_t i = 0; i < tensors_.size(); ++i) args.*tensors_[i].member = tensors[i];
    for (size_t i = 0; i < options_.size(); ++i) options_[i].set(&args, options[i]);
    return args;
  }
  std::vector<Parameter> Parameters() const {
    std::vector<Parameter> out;
    for (const auto& tensor : tensors_) out.push_back({tensor.name, tensor.shares_place});
    return out;
  }
  const std::vector<Option>& options() const { return options_; }

 private:
  std::vector<TensorOf<Args>> tensors_;
  std::vector<Option> options_;
};

template <typename Args>
using WorkspaceOf = int64_t (*)(const Args&, const DeviceInfo&);

// Declares an operator that launches a kernel of `family`. Use at namespace scope, behind the plan:
//   [[maybe_unused]] const bool kDeclared = Declare("add", "math", &PlanAdd,
//       {{"x", &AddArgs::x}, {"y", &AddArgs::y}}, {{"alpha", &AddArgs::alpha}});
template <typename Args, typename Tiling>
bool Declare(const char* name, const char* family,
             Plan<Tiling> (*plan)(const Args&, const DeviceInfo&), TensorsOf<Args> tensors,
             OptionsOf<Args> options,
             WorkspaceOf<std::type_identity_t<Args>> workspace_bytes = nullptr) {
  static_assert(sizeof(Tiling) % sizeof(uint64_t) == 0);
  const ArgumentReader<Args> read(tensors, options);
  Operator declared{name, family, read.Parameters(), read.options(), {}, {}, {}};
  declared.plan = [read, plan](const Tensor* given, const OptionValue* values,
                               const DeviceInfo& device) -> PlannedKernel {
    const Plan<Tiling> planned = plan(read(given, values), device);
    const auto* words = reinterpret_cast<const uint64_t*>(&planned.tiling);
    return {planned.cores, planned.kernel, {words, words + sizeof(Tiling) / sizeof(uint64_t)}};
  };
  if (workspace_bytes != nullptr) {
    declared.workspace_bytes = [read, workspace_bytes](const Tensor* given,
                                                       const OptionValue* values,
                                                       const DeviceInfo& device) {
      return workspace_bytes(read(given, values), device);
    };
  }
  return Register(std::move(declared));
}

// Declares an operator that launches no kernel: `run` checks its arguments and does the work on the
// stream, on tensors that may be in host memory.
template <typename Args>
bool DeclareHost(const char* name, void (*run)(const Args&, void* stream), TensorsOf<Args> tensors,
                 OptionsOf<Args> options) {
  const ArgumentReader<Args> read(tensors, options);
  Operator declared{name, nullptr, read.Parameters(), read.options(), {}, {}, {}};
  declared.run = [read, run](const Tensor* given, const OptionValue* values, void* stream) {
    run(read(given, values), stream);
  };
  return Register(std::move(declared));
}

}  // namespace vllm_cann::ops
