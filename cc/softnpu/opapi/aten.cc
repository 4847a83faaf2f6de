// cc/softnpu/opapi/aten.cc: views as torch tensors.
#include "cc/softnpu/opapi/aten.h"

#include "cc/softnpu/opapi/parallel.h"
#include "cc/softnpu/runtime/internal.h"

namespace softnpu {
namespace {

constexpr int32_t kCpu = 0;

int32_t ToShim(DType dtype) {
  switch (dtype) {
    case DType::kFloat:
      return aoti_torch_dtype_float32();
    case DType::kHalf:
      return aoti_torch_dtype_float16();
    case DType::kBfloat16:
      return aoti_torch_dtype_bfloat16();
    case DType::kDouble:
      return aoti_torch_dtype_float64();
    case DType::kInt8:
      return aoti_torch_dtype_int8();
    case DType::kUint8:
      return aoti_torch_dtype_uint8();
    case DType::kInt16:
      return aoti_torch_dtype_int16();
    case DType::kInt32:
      return aoti_torch_dtype_int32();
    case DType::kInt64:
      return aoti_torch_dtype_int64();
    case DType::kBool:
      return aoti_torch_dtype_bool();
  }
  throw Error(kAclnnInvalid, "no torch dtype");
}

void Check(AOTITorchError error) {
  if (error != 0) throw Error(kAclnnTiling, AtenError());
}

}  // namespace

std::string AtenError() { return torch_exception_get_what_without_backtrace(); }

AtenTensor ToAten(void* host, const std::vector<int64_t>& shape,
                  const std::vector<int64_t>& strides, DType dtype) {
  AtenTensorHandle handle = nullptr;
  Check(aoti_torch_create_tensor_from_blob(host, static_cast<int64_t>(shape.size()), shape.data(),
                                           strides.data(), 0, ToShim(dtype), kCpu, 0, &handle));
  return AtenTensor(handle);
}

AtenTensor ToAten(const View& view) {
  return ToAten(view.Host(), view.Shape(), {view.strides.begin(), view.strides.begin() + view.rank},
                view.dtype);
}

std::vector<AtenTensor> ToAten(const std::vector<View>& views) {
  std::vector<AtenTensor> out;
  for (const View& view : views) out.push_back(ToAten(view));
  return out;
}

std::vector<int64_t> ShapeOf(const AtenTensor& tensor) {
  int64_t rank = 0;
  int64_t* sizes = nullptr;
  Check(aoti_torch_get_dim(tensor.get(), &rank));
  Check(aoti_torch_get_sizes(tensor.get(), &sizes));
  return {sizes, sizes + rank};
}

void CheckShape(const View& out, const AtenTensor& result) {
  const std::vector<int64_t> shape = ShapeOf(result);
  if (shape != out.Shape()) {
    throw Error(kAclnnInvalid,
                "'out' is " + out.Text() + ", the result is " + Reshaped(out, shape).Text());
  }
}

AtenTensor Widened(const View& view) {
  return Aten("aten::to", "dtype", ToAten(view), torch::headeronly::ScalarType::Float, false, false,
              std::nullopt)[0];
}

void MultiplyMatrices(const View& out, const View& a, const View& b) {
  // Fewer multiplications are not worth a second processor: some 50 microseconds of one.
  constexpr int64_t kLeastShared = 1 << 18;
  // So that no processor begins within a line of the cache.
  constexpr int64_t kColumns = 64;
  const auto multiply = [&](int64_t begin, int64_t end) {
    AtenInto(Narrowed(out, 1, begin, end - begin), "aten::mm", "out", ToAten(a),
             ToAten(Narrowed(b, 1, begin, end - begin)));
  };
  if (out.Count() * a.Dim(1) < kLeastShared) {
    multiply(0, out.Dim(1));
  } else {
    InParts(out.Dim(1), kColumns, multiply);
  }
}

void CopyFromAten(const View& out, const AtenTensor& result) {
  // Another shape may be one of the same elements, as [1] and []; aten::copy_ would repeat fewer.
  if (Reshaped(out, ShapeOf(result)).Count() != out.Count()) CheckShape(out, result);
  if (out.Count() == 0) return;
  Aten("aten::copy_", "", ToAten(out), result, false);
}

std::optional<AtenTensor> WrittenPlane(const View& view, int64_t byte) {
  if (view.Count() == 0) return std::nullopt;
  const int64_t size = Size(view.dtype);
  uint8_t* const bytes =
      softnpu_written(static_cast<const std::byte*>(view.data) + view.offset * size);
  if (bytes == nullptr) return std::nullopt;
  std::vector<int64_t> strides(view.strides.begin(), view.strides.begin() + view.rank);
  for (int64_t& stride : strides) stride *= size;
  return ToAten(bytes + byte, view.Shape(), strides, DType::kUint8);
}

void CopyWritten(const View& to, const View& from) {
  if (from.IsWritten()) {
    to.MarkWritten();
    return;
  }
  to.MarkWritten(false);
  const int64_t last = Size(from.dtype) - 1;
  ForEachWrittenPlane(to, [&](const AtenTensor& plane, int64_t byte) {
    Aten("aten::copy_", "", plane, *WrittenPlane(from, std::min(byte, last)), false);
  });
}

void CheckGathered(const AtenTensor& plane, const char* name) {
  const AtenTensor all = Aten("aten::all", "", plane)[0];
  void* data = nullptr;
  Check(aoti_torch_get_data_ptr(all.get(), &data));
  if (*static_cast<const uint8_t*>(data) == 0) {
    throw Error(kAicoreException, std::string("'") + name + "' is read where nobody has written");
  }
}

AtenTensor Ones(const std::vector<int64_t>& shape) {
  static uint8_t one = 1;
  return ToAten(&one, shape, std::vector<int64_t>(shape.size(), 0), DType::kUint8);
}

}  // namespace softnpu
