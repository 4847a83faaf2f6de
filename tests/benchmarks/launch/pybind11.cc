// tests/benchmarks/launch/pybind11.cc: rotary_embedding bound by pybind11, to measure nanobind
// against; and the bare ACL call under both.
#include <dlfcn.h>
#include <pybind11/pybind11.h>

#include <chrono>

#include "acl/acl.h"
#include "cc/ops/launch.h"
#include "cc/ops/rotary/rotary_embedding.h"

namespace {

namespace py = pybind11;
using vllm_cann::ops::DataType;
using vllm_cann::ops::RotaryEmbeddingArgs;
using vllm_cann::ops::RotaryStyle;
using vllm_cann::ops::Tensor;

// As cc/bindings/ops.cc has it.
RotaryEmbeddingArgs Args(uintptr_t positions, uintptr_t query, uintptr_t key, uintptr_t cos,
                         uintptr_t sin, uintptr_t query_out, uintptr_t key_out, int64_t num_tokens,
                         int64_t num_query_heads, int64_t num_key_heads, int64_t head_size,
                         int64_t rotary_dim, int64_t table_rows, int64_t table_stride,
                         int64_t query_token_stride, int64_t key_token_stride,
                         int64_t query_out_stride, int64_t key_out_stride, int64_t num_axes,
                         int64_t section_0, int64_t section_1, int64_t section_2, bool interleaved,
                         int32_t dtype, int32_t position_dtype, int32_t style, bool is_inverse) {
  const auto type = static_cast<DataType>(dtype);
  const auto rows = [&](uintptr_t address, int64_t heads, int64_t stride) -> Tensor {
    return {address, type, 3, {num_tokens, heads, head_size}, {stride, head_size, 1}};
  };
  RotaryEmbeddingArgs args;
  args.style = static_cast<RotaryStyle>(style);
  args.is_inverse = is_inverse;
  args.query = rows(query, num_query_heads, query_token_stride);
  args.query_out = rows(query_out, num_query_heads, query_out_stride);
  if (num_key_heads != 0) {
    args.key = rows(key, num_key_heads, key_token_stride);
    args.key_out = rows(key_out, num_key_heads, key_out_stride);
  }
  if (sin != 0) {
    args.cos = {cos, type, 2, {table_rows, rotary_dim / 2}, {table_stride, 1}};
    args.sin = args.cos;
    args.sin.address = sin;
  } else {
    const auto index = static_cast<DataType>(position_dtype);
    args.positions = {positions, index, 1, {num_tokens}, {1}};
    args.cos_sin_cache = {cos, type, 2, {table_rows, rotary_dim}, {table_stride, 1}};
    args.sections[0] = section_0;
    args.sections[1] = section_1;
    args.sections[2] = section_2;
    args.interleaved = interleaved;
  }
  static_cast<void>(num_axes);
  return args;
}

// libascendcl.so is in the process already.
template <typename Function>
Function Find(const char* name) {
  void* const library = dlopen("libascendcl.so", RTLD_NOW | RTLD_NOLOAD);
  void* const found = library == nullptr ? nullptr : dlsym(library, name);
  if (found == nullptr) throw std::runtime_error(std::string("there is no ") + name);
  return reinterpret_cast<Function>(found);
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
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < count; ++i) {
    const aclError code = launch(function, plan.cores, reinterpret_cast<aclrtStream>(stream),
                                 nullptr, &arguments, sizeof(arguments), nullptr, 0);
    if (code != ACL_SUCCESS) throw std::runtime_error("a launch failed");
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

PYBIND11_MODULE(_pybind11, m) {
  m.def("set_kernel_directory", &vllm_cann::ops::SetKernelDirectory);
  m.def("bare", [](const std::string& binary, uintptr_t positions, uintptr_t query, uintptr_t key,
                   uintptr_t table, int64_t tokens, int64_t heads, int64_t size, int64_t rows,
                   uintptr_t stream, int count) {
    return Bare(
        binary,
        Args(positions, query, key, table, 0, query, key, tokens, heads, 1, size, size, rows, size,
             heads * size, size, heads * size, size, 1, 0, 0, 0, false, 1, 9, 1, false),
        stream, count);
  });
  m.def(
      "rotary_embedding",
      [](uintptr_t positions, uintptr_t query, uintptr_t key, uintptr_t cos, uintptr_t sin,
         uintptr_t query_out, uintptr_t key_out, int64_t num_tokens, int64_t num_query_heads,
         int64_t num_key_heads, int64_t head_size, int64_t rotary_dim, int64_t table_rows,
         int64_t table_stride, int64_t query_token_stride, int64_t key_token_stride,
         int64_t query_out_stride, int64_t key_out_stride, int64_t num_axes, int64_t section_0,
         int64_t section_1, int64_t section_2, bool interleaved, int32_t dtype,
         int32_t position_dtype, int32_t style, bool is_inverse, uintptr_t stream) {
        vllm_cann::ops::RotaryEmbedding(
            Args(positions, query, key, cos, sin, query_out, key_out, num_tokens, num_query_heads,
                 num_key_heads, head_size, rotary_dim, table_rows, table_stride, query_token_stride,
                 key_token_stride, query_out_stride, key_out_stride, num_axes, section_0, section_1,
                 section_2, interleaved, dtype, position_dtype, style, is_inverse),
            reinterpret_cast<void*>(stream));
      });
  // Checks and tiling alone: what they are of a launch.
  m.def("plan", [](int64_t tokens, int64_t heads, int64_t size, int64_t rows, int count) {
    const RotaryEmbeddingArgs args =
        Args(4096, 4096, 4096, 4096, 0, 4096, 4096, tokens, heads, 1, size, size, rows, size,
             heads * size, size, heads * size, size, 1, 0, 0, 0, false, 1, 9, 1, false);
    const auto start = std::chrono::steady_clock::now();
    uint64_t cores = 0;
    for (int i = 0; i < count; ++i) {
      cores += vllm_cann::ops::PlanRotaryEmbedding(args, kDevice).cores;
    }
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return cores == 0 ? 0.0 : seconds;
  });
}
