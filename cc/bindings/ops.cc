// cc/bindings/ops.cc: the Python module vllm_cann._ops: operators on device addresses.
//
// All arguments are positional integers: what a caller holds anyway, and what costs least to pass.
// Launching returns at once, so the GIL is kept.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "cc/bindings/cache.h"
#include "cc/bindings/moe.h"
#include "cc/bindings/qkv.h"
#include "cc/bindings/rotary.h"
#include "cc/ops/launch.h"

namespace nb = nanobind;

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
      "rotary_embedding", &vllm_cann::bindings::RotaryEmbedding, nb::arg("positions"),
      nb::arg("query"), nb::arg("key"), nb::arg("cos"), nb::arg("sin"), nb::arg("query_out"),
      nb::arg("key_out"), nb::arg("num_tokens"), nb::arg("num_query_heads"),
      nb::arg("num_key_heads"), nb::arg("head_size"), nb::arg("rotary_dim"), nb::arg("table_rows"),
      nb::arg("table_stride"), nb::arg("query_token_stride"), nb::arg("key_token_stride"),
      nb::arg("query_out_stride"), nb::arg("key_out_stride"), nb::arg("num_axes"),
      nb::arg("section_0"), nb::arg("section_1"), nb::arg("section_2"), nb::arg("interleaved"),
      nb::arg("dtype"), nb::arg("position_dtype"), nb::arg("style"), nb::arg("is_inverse"),
      nb::arg("stream"),
      "Rotates the first rotary_dim elements x of each head of query [T, Hq, D] and key [T, Hk, "
      "D]\n"
      "into query_out and key_out, which may be the same memory. num_key_heads 0: there is no "
      "key.\n\n"
      "Angles: with sin 0, cos is a table [table_rows, rotary_dim] of cosines and then sines, of\n"
      "which token t takes row positions[t] (int32 or int64, 0 <= position < table_rows); with\n"
      "num_axes 3, positions is [3, T], and lanes are divided among the axes by the sections, one\n"
      "after the other or interleaved. Else cos and sin are [table_rows, rotary_dim / 2] each, "
      "and\n"
      "token t takes row t % table_rows.\n\n"
      "style 0: neighbours are pairs (GPT-J), 1: x[i] and x[i + rotary_dim / 2] are (NeoX), 2:\n"
      "neighbours, whose first elements come first in the result. is_inverse: by the negative\n"
      "angle. float16, bfloat16 or float32; arithmetic in float32 with one rounding, to nearest.");
  BindCache(m);
  BindMoe(m);
  BindQkv(m);
}
