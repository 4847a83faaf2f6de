// tests/benchmarks/launch/pybind11.cc: rotary_embedding bound by pybind11, to measure nanobind
// against; and the bare ACL call under both.
#include <dlfcn.h>
#include <pybind11/pybind11.h>
#include <time.h>

#include "acl/acl.h"
#include "cc/bindings/rotary.h"
#include "cc/ops/launch.h"

namespace {

namespace py = pybind11;
using vllm_cann::bindings::RotaryArgs;
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

// Seconds that `count` launches take whose arguments, which are those that the operator makes of
// `args`, are ready.
double Bare(const std::string& binary, const RotaryEmbeddingArgs& args, uintptr_t stream,
            int count) {
  const auto plan = vllm_cann::ops::PlanRotaryEmbedding(args, kDevice);
  struct {
    uint64_t addresses[7];
    RotaryEmbeddingTiling tiling;
  } arguments = {{args.positions.address, args.query.address, args.key.address,
                  args.cos_sin_cache.address, 0, args.query_out.address, args.key_out.address},
                 plan.tiling};
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
  m.def("bare", [](const std::string& binary, uintptr_t positions, uintptr_t query, uintptr_t key,
                   uintptr_t table, int64_t tokens, int64_t heads, int64_t size, int64_t rows,
                   uintptr_t stream, int count) {
    return Bare(
        binary,
        RotaryArgs(positions, query, key, table, 0, query, key, tokens, heads, 1, size, size, rows,
                   size, heads * size, size, heads * size, size, 1, 0, 0, 0, false, 1, 9, 1, false),
        stream, count);
  });
  m.def("rotary_embedding", &vllm_cann::bindings::RotaryEmbedding);
  // Checks and tiling alone: what they are of a launch.
  m.def("plan", [](int64_t tokens, int64_t heads, int64_t size, int64_t rows, int count) {
    const RotaryEmbeddingArgs args =
        RotaryArgs(4096, 4096, 4096, 4096, 0, 4096, 4096, tokens, heads, 1, size, size, rows, size,
                   heads * size, size, heads * size, size, 1, 0, 0, 0, false, 1, 9, 1, false);
    const double start = Seconds();
    uint64_t cores = 0;
    for (int i = 0; i < count; ++i) {
      cores += vllm_cann::ops::PlanRotaryEmbedding(args, kDevice).cores;
    }
    return cores == 0 ? 0.0 : Seconds() - start;
  });
}
