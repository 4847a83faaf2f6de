// cc/softnpu/opapi/wide.h: operators that are one call of ATen in wide numbers, rounded once, and
// the limits that their pages share.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "cc/softnpu/opapi/aten.h"
#include "cc/softnpu/opapi/operator.h"
#include "torch/headeronly/util/HeaderOnlyArrayRef.h"

namespace softnpu {

// Sets of dtypes, a bit for each.
constexpr uint32_t Only(DType dtype) { return uint32_t{1} << static_cast<int>(dtype); }
constexpr uint32_t kFloats = Only(DType::kFloat) | Only(DType::kHalf) | Only(DType::kBfloat16);
constexpr uint32_t kReals = kFloats | Only(DType::kDouble);
constexpr uint32_t kIntegers = Only(DType::kInt8) | Only(DType::kInt16) | Only(DType::kInt32) |
                               Only(DType::kInt64) | Only(DType::kUint8);
constexpr uint32_t kIndices = Only(DType::kInt32) | Only(DType::kInt64);
constexpr uint32_t kNumbers = kReals | kIntegers;
constexpr uint32_t kBool = Only(DType::kBool);
constexpr uint32_t kAnyType = kNumbers | kBool;

// The view itself. Throws Error 161002 naming argument, dtype or rank, and the limit.
const View& Checked(const View& view, const char* name, uint32_t types, int least = 0,
                    int most = kMaxRank);
// Throws Error 161002 unless both have one dtype.
void CheckSameType(const View& a, const char* name, const View& b, const char* other);
// The same for shapes.
void CheckEqualShape(const View& a, const char* name, const View& b, const char* other);
// A dimension of the view, also counted from its end. Throws Error 161002.
int64_t CheckedDim(const View& view, int64_t dim);
// 0 none, 1 mean, 2 sum. Throws Error 161002.
int64_t CheckedReduction(int64_t reduction);
// So many numbers, none below `least`. Throws Error 161002.
std::vector<int64_t> Numbers(const Plan& plan, const IntArray* array, const char* name,
                             size_t count, int64_t least);

inline std::optional<View> GetIf(const Plan& plan, const Tensor* tensor, const char* name) {
  return tensor == nullptr ? std::nullopt : std::optional<View>(plan.Get(tensor, name));
}
inline std::optional<View> OutIf(const Plan& plan, const Tensor* tensor, const char* name) {
  return tensor == nullptr ? std::nullopt : std::optional<View>(plan.Out(tensor, name));
}

// The elements in a tensor of their own: float64 of floating ones, int64 of others.
AtenTensor Wide(const View& view);
AtenTensor InDouble(const View& view);
// Writes a result that has the shape of `out`, converted. Throws Error 161002 for another shape.
void Give(const View& out, const AtenTensor& found);

// What a call of ATen takes for what a plan holds. A scalar becomes a tensor over its number, which
// lives as long as the scalar.
inline AtenTensor ForAten(const View& view) { return Wide(view); }
inline std::optional<AtenTensor> ForAten(const std::optional<View>& view) {
  return view ? std::optional<AtenTensor>(Wide(*view)) : std::nullopt;
}
inline AtenTensor ForAten(const Scalar& scalar) {
  return ToAten(const_cast<double*>(&scalar.real), {}, {}, DType::kDouble);
}
template <typename T>
const T& ForAten(const T& value) {
  return value;
}

// Which of three results a backward function is asked for.
constexpr bool kMasks[8][3] = {{false, false, false}, {true, false, false}, {false, true, false},
                               {true, true, false},   {false, false, true}, {true, false, true},
                               {false, true, true},   {true, true, true}};
inline torch::headeronly::HeaderOnlyArrayRef<bool> Asked(
    const std::array<std::optional<View>, 3>& outs) {
  return torch::headeronly::HeaderOnlyArrayRef<bool>(
      kMasks[(outs[0] ? 1 : 0) + (outs[1] ? 2 : 0) + (outs[2] ? 4 : 0)], 3);
}

// plan.run gives `outs` the results of aten::<name>.<overload> over the wide operands.
template <size_t N, typename... Args>
void PlanWide(Plan& plan, const std::array<std::optional<View>, N>& outs, const char* name,
              const char* overload, const Args&... args) {
  plan.run = [=] {
    const std::vector<AtenTensor> found = Aten<N>(name, overload, ForAten(args)...);
    for (size_t i = 0; i < N; ++i) {
      if (outs[i]) Give(*outs[i], found[i]);
    }
  };
}
template <typename... Args>
void PlanWide(Plan& plan, const View& out, const char* name, const char* overload,
              const Args&... args) {
  PlanWide(plan, std::array<std::optional<View>, 1>{out}, name, overload, args...);
}

}  // namespace softnpu
