// tests/softnpu/aclnn.h: calls aclnn operators from a gtest, on SoftNPU's runtime.
//
//   ACLNN_DECLARE(Silu, const Tensor*, Tensor*)
//
//   TEST(Silu, IsItsFormula) {
//     const DeviceTensor x(DType::kHalf, {2}, {0, 1});
//     const DeviceTensor out(DType::kHalf, {2});
//     ASSERT_EQ(CALL(Silu, x, out).result, "ran");
//     EXPECT_THAT(out.Values(), ElementsAre(0, Rounded(DType::kHalf, 1 / (1 + std::exp(-1.0)))));
//   }
//
// Values go to the device and come back through conversions that are not the product's. Not thread
// safe.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include "cc/softnpu/opapi/operator.h"
#include "cc/softnpu/opapi/tensor.h"

namespace softnpu {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// The value of the dtype next to `value`, ties to even. Integers have to hold `value` already.
double Rounded(DType dtype, double value);
std::vector<double> Rounded(DType dtype, std::vector<double> values);

// An allocation of device memory and one tensor in it.
class DeviceTensor {
 public:
  // Dense. Nobody has written it.
  DeviceTensor(DType dtype, const std::vector<int64_t>& shape);
  // Dense, with these values in the order of the elements.
  DeviceTensor(DType dtype, const std::vector<int64_t>& shape, const std::vector<double>& values);
  // A strided view; `storage` holds the values of the allocation, strides and offset count
  // elements.
  DeviceTensor(DType dtype, const std::vector<int64_t>& shape, const std::vector<int64_t>& strides,
               int64_t offset, const std::vector<double>& storage);
  ~DeviceTensor();
  DeviceTensor(const DeviceTensor&) = delete;
  DeviceTensor& operator=(const DeviceTensor&) = delete;

  operator Tensor*() const { return tensor_; }  // NOLINT(google-explicit-constructor): an argument
  const View& view() const { return tensor_->view; }
  // Another handle of the same memory, which the caller destroys.
  Tensor* NewHandle() const;

  // The elements in order; of those that nobody has written, the bytes are 0xFF.
  std::vector<double> Values() const;
  std::vector<int64_t> Integers() const;
  // The values of the whole allocation.
  std::vector<double> Storage() const;
  // One character for each element: 'w' where somebody has written, '.' elsewhere.
  std::string Written() const;

 private:
  template <typename Body>
  void ForEachElement(Body&& body) const;  // body(bytes of the element)

  void* memory_ = nullptr;
  size_t bytes_ = 0;
  Tensor* tensor_ = nullptr;
};

// Arguments that live on the host. Each converts to its handle.
class HostScalar {
 public:
  HostScalar(DType dtype, double value);
  ~HostScalar();
  HostScalar(const HostScalar&) = delete;
  HostScalar& operator=(const HostScalar&) = delete;
  operator Scalar*() const { return scalar_; }  // NOLINT(google-explicit-constructor)

 private:
  Scalar* scalar_;
};

class HostInts {
 public:
  HostInts(std::initializer_list<int64_t> values);
  ~HostInts();
  HostInts(const HostInts&) = delete;
  HostInts& operator=(const HostInts&) = delete;
  operator IntArray*() const { return array_; }  // NOLINT(google-explicit-constructor)

 private:
  IntArray* array_;
};

class DeviceTensors {
 public:
  DeviceTensors(std::initializer_list<const DeviceTensor*> tensors);
  ~DeviceTensors();
  DeviceTensors(const DeviceTensors&) = delete;
  DeviceTensors& operator=(const DeviceTensors&) = delete;
  operator TensorList*() const { return list_; }  // NOLINT(google-explicit-constructor)

 private:
  TensorList* list_;
};

struct Outcome {
  // "ran"; "refused 161002: <sentence>" by the first call; "failed 507015: <sentence>" when it ran.
  std::string result;
  // What the operator declared: "self reads [2, 3]".
  std::vector<std::string> accesses;
};

using ExecuteFunction = int32_t (*)(void* workspace, uint64_t bytes, Executor*, void* stream);

// What comes after the first call. An error of the device is ended.
Outcome Finish(int32_t code, uint64_t workspace_bytes, Executor* executor, ExecuteFunction execute);

// Both phases on the default stream, and waits.
template <typename Prepare, typename... Arguments>
Outcome Call(Prepare prepare, ExecuteFunction execute, const Arguments&... arguments) {
  uint64_t workspace_bytes = 0;
  Executor* executor = nullptr;
  const int32_t code = prepare(arguments..., &workspace_bytes, &executor);
  return Finish(code, workspace_bytes, executor, execute);
}

}  // namespace softnpu

// The two functions of an operator with parameters of these types.
#define ACLNN_DECLARE(NAME, ...)                                                                 \
  extern "C" int32_t aclnn##NAME##GetWorkspaceSize(__VA_ARGS__, uint64_t*, softnpu::Executor**); \
  extern "C" int32_t aclnn##NAME(void*, uint64_t, softnpu::Executor*, void*);

#define CALL(NAME, ...) softnpu::Call(aclnn##NAME##GetWorkspaceSize, aclnn##NAME, __VA_ARGS__)
