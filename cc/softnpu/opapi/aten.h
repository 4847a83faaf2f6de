// cc/softnpu/opapi/aten.h: calls ATen's CPU kernels through torch's stable C ABI.
//
// The library runs inside a process that has loaded torch and finds ATen there. Operators whose
// schema has a `Scalar` cannot be called this way; those are written on elementwise.h.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "cc/softnpu/opapi/tensor.h"
#include "torch/csrc/stable/stableivalue_conversions.h"
#include "torch/csrc/stable/tensor_struct.h"

namespace softnpu {

using AtenTensor = torch::stable::Tensor;
using OptionalTensors = std::vector<std::optional<AtenTensor>>;

// A torch CPU tensor over the memory of a view. Throws Error when that memory is gone.
AtenTensor ToAten(const View& view);
std::vector<AtenTensor> ToAten(const std::vector<View>& views);
// A torch CPU tensor over host memory; strides count elements.
AtenTensor ToAten(void* host, const std::vector<int64_t>& shape,
                  const std::vector<int64_t>& strides, DType dtype);
std::vector<int64_t> ShapeOf(const AtenTensor& tensor);
// The elements as float32, in a tensor of their own unless they are float32 already.
AtenTensor Widened(const View& view);
// out = a @ b of matrices of one dtype, which may be strided, on all processors of the host.
void MultiplyMatrices(const View& out, const View& a, const View& b);
// Copies a dense or strided torch tensor into a view (converting). Throws Error 161002 unless it
// has as many elements.
void CopyFromAten(const View& out, const AtenTensor& result);
// Throws Error 161002 unless the tensor has the shape of `out`.
void CheckShape(const View& out, const AtenTensor& result);
// ATen's last error sentence of this thread.
std::string AtenError();

// The account of written bytes as a uint8 tensor of the view's shape and strides: 1 where byte
// `byte` of an element is written. An operator that moves or writes elements by index does to it
// what it does to the elements. Empty when nobody keeps account, or when the view has no element.
std::optional<AtenTensor> WrittenPlane(const View& view, int64_t byte);
// The same in one step: `run` is called with each plane of the view, if there is an account.
template <typename Body>
void ForEachWrittenPlane(const View& view, Body&& run) {
  for (int64_t byte = 0; byte < Size(view.dtype); ++byte) {
    if (const std::optional<AtenTensor> plane = WrittenPlane(view, byte)) run(*plane, byte);
  }
}
// After a copy from `from` to `to`, of the same shape: what nobody has written there is not written
// here either.
void CopyWritten(const View& to, const View& from);
// Throws Error 507015 unless all elements of a plane (what an operator gathered from it) are 1.
void CheckGathered(const AtenTensor& plane, const char* name);
// A uint8 tensor of the shape, all 1, over one byte.
AtenTensor Ones(const std::vector<int64_t>& shape);

// Calls aten::<name>.<overload>, which returns `Results` tensors. Throws Error with ATen's
// sentence.
template <size_t Results = 1, typename... Args>
std::vector<AtenTensor> Aten(const char* name, const char* overload, const Args&... args) {
  std::array<StableIValue, std::max(sizeof...(Args), Results)> stack{
      torch::stable::detail::from(args)...};
  if (torch_call_dispatcher(name, overload, stack.data(), TORCH_ABI_VERSION) != 0) {
    throw Error(kAclnnTiling, std::string(name) + " on the host: " + AtenError());
  }
  std::vector<AtenTensor> out;
  for (size_t i = 0; i < Results; ++i) {
    out.push_back(torch::stable::detail::to<AtenTensor>(stack[i]));
  }
  return out;
}

// Calls an overload that writes into `out`, which is its last argument. Throws Error 161002 when
// the result has another shape: ATen then gives its tensor that shape and writes a part of `out`,
// or the wrong elements of a strided one.
template <typename... Args>
void AtenInto(const View& out, const char* name, const char* overload, const Args&... args) {
  const AtenTensor tensor = ToAten(out);
  Aten(name, overload, args..., tensor);
  CheckShape(out, tensor);
}

}  // namespace softnpu
