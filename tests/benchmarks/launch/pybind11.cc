// tests/benchmarks/launch/pybind11.cc: rotary_embedding bound by pybind11, to measure nanobind
// against; and the bare ACL call under both.
#include <dlfcn.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <time.h>

#include <array>

#include "acl/acl.h"
#include "cc/ops/launch.h"
#include "cc/ops/rotary/rotary_embedding.h"

namespace {

namespace py = pybind11;
using vllm_cann::ops::DataType;
using vllm_cann::ops::Launch;
using vllm_cann::ops::OptionValue;
using vllm_cann::ops::RotaryEmbeddingArgs;

// libascendcl.so is in the process already.
template <typename Function>
Function Find(const char* name) {
  void* const library = dlopen("libascendcl.so", RTLD_NOW | RTLD_NOLOAD);
  void* const found = library == nullptr ? nullptr : dlsym(library, name);
  if (found == nullptr) throw std::runtime_error(std::string("there is no ") + name);
  return reinterpret_cast<Function>(found);
}

// Of this thread's processor time.
double Seconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

// The device of the benchmark, SoftNPU's default.
const vllm_cann::ops::DeviceInfo kDevice = {"Ascend910B3", 2201, 40, 196608};

// As the benchmark calls it: `tokens` of `heads` + 1 heads, in place, and a table of `rows`.
RotaryEmbeddingArgs Args(int64_t tokens, int64_t heads, int64_t size, int64_t rows) {
  RotaryEmbeddingArgs args;
  args.positions = {DataType::kInt64, 1, {tokens}, {1}};
  args.query = {DataType::kFloat16, 2, {tokens, heads * size}, {heads * size, 1}};
  args.key = {DataType::kFloat16, 2, {tokens, size}, {size, 1}};
  args.cos_sin_cache = {DataType::kFloat16, 2, {rows, size}, {size, 1}};
  args.head_size = size;
  return args;
}

// The launch of these arguments, in the declared order.
Launch Prepare(int64_t tokens, int64_t heads, int64_t size, int64_t rows) {
  const RotaryEmbeddingArgs args = Args(tokens, heads, size, rows);
  const vllm_cann::ops::Tensor tensors[] = {
      args.positions, args.query, args.key, args.cos_sin_cache, {}, {}, {}, {}};
  OptionValue options[5];
  options[0].integer = size;
  options[1].integer = static_cast<int64_t>(args.style);
  return Launch(vllm_cann::ops::FindOperator("rotary_embedding"), tensors, options);
}

// Seconds that `count` launches take whose arguments, which are those that the operator makes of
// `args`, are ready.
double Bare(const std::string& binary, const RotaryEmbeddingArgs& args,
            const std::array<uint64_t, 7>& addresses, uintptr_t stream, int count) {
  const auto plan = vllm_cann::ops::PlanRotaryEmbedding(args, kDevice);
  struct {
    std::array<uint64_t, 7> addresses;
    RotaryEmbeddingTiling tiling;
  } arguments = {addresses, plan.tiling};
  aclrtBinHandle handle = nullptr;
  aclrtFuncHandle function = nullptr;
  const auto load = Find<decltype(&aclrtBinaryLoadFromFile)>("aclrtBinaryLoadFromFile");
  const auto get = Find<decltype(&aclrtBinaryGetFunction)>("aclrtBinaryGetFunction");
  const auto launch =
      Find<decltype(&aclrtLaunchKernelWithHostArgs)>("aclrtLaunchKernelWithHostArgs");
  if (load(binary.c_str(), nullptr, &handle) != ACL_SUCCESS ||
      get(handle, plan.kernel, &function) != ACL_SUCCESS) {
    throw std::runtime_error(std::string("no kernel ") + plan.kernel + " in " + binary);
  }
  const double start = Seconds();
  for (int i = 0; i < count; ++i) {
    const aclError code = launch(function, plan.cores, reinterpret_cast<aclrtStream>(stream),
                                 nullptr, &arguments, sizeof(arguments), nullptr, 0);
    if (code != ACL_SUCCESS) throw std::runtime_error("a launch failed");
  }
  return Seconds() - start;
}

}  // namespace

PYBIND11_MODULE(_pybind11, m) {
  m.def("set_kernel_directory", &vllm_cann::ops::SetKernelDirectory);
  m.def("bare",
        [](const std::string& binary, int64_t tokens, int64_t heads, int64_t size, int64_t rows,
           const std::array<uint64_t, 7>& addresses, uintptr_t stream, int count) {
          return Bare(binary, Args(tokens, heads, size, rows), addresses, stream, count);
        });
  py::class_<Launch>(m, "Launch").def("__call__", [](const Launch& launch, const py::args& all) {
    uint64_t numbers[8];
    if (all.size() != 8) throw py::value_error("7 addresses and a stream");
    for (size_t i = 0; i < 8; ++i) numbers[i] = all[i].cast<uint64_t>();
    launch(numbers, reinterpret_cast<void*>(numbers[7]));
  });
  m.def("rotary_embedding", &Prepare);
  // Checks and tiling alone: what they are of preparing a launch.
  m.def("plan", [](int64_t tokens, int64_t heads, int64_t size, int64_t rows, int count) {
    const RotaryEmbeddingArgs args = Args(tokens, heads, size, rows);
    const double start = Seconds();
    uint64_t cores = 0;
    for (int i = 0; i < count; ++i) {
      cores += vllm_cann::ops::PlanRotaryEmbedding(args, kDevice).cores;
    }
    return cores == 0 ? 0.0 : Seconds() - start;
  });
}
