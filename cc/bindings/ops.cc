// cc/bindings/ops.cc: the Python module vllm_cann._ops: operators on device addresses.
//
// All arguments are positional integers: what a caller holds anyway, and what costs least to pass.
// Launching returns at once, so the GIL is kept.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "cc/bindings/cache.h"
#include "cc/bindings/moe.h"
#include "cc/ops/launch.h"
#include "cc/ops/rotary/rotary_embedding.h"

namespace {

namespace nb = nanobind;
using vllm_cann::ops::DataType;
using vllm_cann::ops::RotaryEmbeddingArgs;

void RotaryEmbedding(uintptr_t positions, uintptr_t query, uintptr_t key, uintptr_t cos_sin_cache,
                     int64_t num_tokens, int64_t num_query_heads, int64_t num_key_heads,
                     int64_t head_size, int64_t rotary_dim, int64_t max_position,
                     int64_t query_token_stride, int64_t key_token_stride, int32_t dtype,
                     int32_t position_dtype, bool is_neox, uintptr_t stream) {
  const auto type = static_cast<DataType>(dtype);
  RotaryEmbeddingArgs args;
  args.is_neox = is_neox;
  args.positions = {positions, static_cast<DataType>(position_dtype), 1, {num_tokens}, {1}};
  args.query = {
      query, type, 3, {num_tokens, num_query_heads, head_size}, {query_token_stride, head_size, 1}};
  if (num_key_heads != 0) {
    args.key = {
        key, type, 3, {num_tokens, num_key_heads, head_size}, {key_token_stride, head_size, 1}};
  }
  args.cos_sin_cache = {cos_sin_cache, type, 2, {max_position, rotary_dim}, {rotary_dim, 1}};
  vllm_cann::ops::RotaryEmbedding(args, reinterpret_cast<void*>(stream));
}

}  // namespace

NB_MODULE(_ops, m) {
  m.doc() =
      "Operators of vllm_cann on device addresses.\n\n"
      "Data types are CANN's numbers: float32 0, float16 1, int8 2, int32 3, uint8 4, int64 9,\n"
      "bfloat16 27. Sizes and strides are in elements. Streams are addresses (aclrtStream), 0 is\n"
      "the default stream. Bad arguments raise ValueError; a missing CANN and errors of ACL raise\n"
      "RuntimeError. All operators return when the kernel is queued.";
  m.def("set_kernel_directory", &vllm_cann::ops::SetKernelDirectory, nb::arg("directory"),
        "Sets the absolute path of the directory with the kernel binaries,\n"
        "<family>.<lower-case SoC name>.o.");
  m.def(
      "rotary_embedding", &RotaryEmbedding, nb::arg("positions"), nb::arg("query"), nb::arg("key"),
      nb::arg("cos_sin_cache"), nb::arg("num_tokens"), nb::arg("num_query_heads"),
      nb::arg("num_key_heads"), nb::arg("head_size"), nb::arg("rotary_dim"),
      nb::arg("max_position"), nb::arg("query_token_stride"), nb::arg("key_token_stride"),
      nb::arg("dtype"), nb::arg("position_dtype"), nb::arg("is_neox"), nb::arg("stream"),
      "Rotates, in place, the first rotary_dim elements of each head of query [T, Hq, D] and key\n"
      "[T, Hk, D] by positions [T], int32 or int64, 0 <= position < max_position.\n\n"
      "cos_sin_cache [max_position, rotary_dim] holds cos and then sin of rotary_dim / 2\n"
      "frequencies, in the data type of query and key: float16, bfloat16 or float32. is_neox:\n"
      "halves of the rotary part are partners; else neighbours are. Arithmetic is in float32 with\n"
      "one rounding, to nearest. num_key_heads 0: there is no key.");
  BindCache(m);
  BindMoe(m);
}
