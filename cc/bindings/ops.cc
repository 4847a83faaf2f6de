// cc/bindings/ops.cc: the Python module vllm_cann._ops: operators on device addresses.
//
// All arguments are numbers: what a caller holds anyway, and what costs least to pass. Launching
// returns at once, so the GIL is kept.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "cc/bindings/cache.h"
#include "cc/bindings/moe.h"
#include "cc/bindings/qkv.h"
#include "cc/bindings/rotary.h"
#include "cc/ops/launch.h"

namespace {

namespace nb = nanobind;
using vllm_cann::bindings::RotaryArgs;
using vllm_cann::bindings::RotaryEmbedding;
using vllm_cann::ops::Launch;

constexpr size_t kMaxNumbers = 16;  // no kernel has more tensors than 15

void Call(const Launch& launch, PyObject* arguments) {
  const size_t count = launch.num_addresses();
  const auto given = static_cast<size_t>(PyTuple_Size(arguments));
  if (given != count + 1 || given > kMaxNumbers) {
    vllm_cann::ops::Refuse("the launch takes " + std::to_string(count) +
                           " addresses and a stream, not " + std::to_string(given) + " numbers");
  }
  uint64_t numbers[kMaxNumbers];
  for (size_t i = 0; i < given; ++i) {
    numbers[i] = PyLong_AsUnsignedLong(PyTuple_GetItem(arguments, static_cast<Py_ssize_t>(i)));
  }
  if (PyErr_Occurred() != nullptr) throw nb::python_error();
  launch(numbers, reinterpret_cast<void*>(numbers[count]));
}

// Of the type itself: nanobind's way to a __call__ of any number of arguments takes as long as the
// launch.
PyObject* CallSlot(PyObject* self, PyObject* arguments, PyObject* names) {
  try {
    if (names != nullptr) throw nb::type_error("a launch takes no arguments by name");
    if (!nb::inst_ready(self)) throw nb::type_error("operators make launches, not Launch itself");
    Call(*nb::inst_ptr<Launch>(self), arguments);
    Py_RETURN_NONE;
  } catch (nb::python_error& error) {
    error.restore();
  } catch (const nb::builtin_exception& error) {
    PyErr_SetString(PyExc_TypeError, error.what());
  } catch (const std::invalid_argument& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

PyType_Slot g_slots[] = {{Py_tp_call, reinterpret_cast<void*>(&CallSlot)}, {0, nullptr}};

}  // namespace

NB_MODULE(_ops, m) {
  m.doc() =
      "Operators of vllm_cann on device addresses.\n\n"
      "An operator that is a kernel is called with types and shapes, and gives a Launch, which\n"
      "belongs to the device that is current then. Data types are CANN's numbers: float32 0,\n"
      "float16 1, int8 2, int32 3, uint8 4, int64 9, bfloat16 27. Sizes and strides are in\n"
      "elements. Numbers that do not fit raise ValueError, what is no whole number from 0 on\n"
      "TypeError or OverflowError; a missing CANN and errors of ACL raise RuntimeError.";
  nb::class_<Launch>(
      m, "Launch", nb::type_slots(g_slots),
      "A kernel that is ready for tensors of certain types and shapes. Called with the address of\n"
      "each tensor in the order of the operator's docstring, 0 for one that is absent, and a\n"
      "stream of its device (aclrtStream, 0 is the default stream), it queues the kernel. Any\n"
      "number of times.");
  m.def("set_kernel_directory", &vllm_cann::ops::SetKernelDirectory, nb::arg("directory"),
        "Sets the absolute path of the directory with the kernel binaries,\n"
        "<family>.<lower-case SoC name>.o.");
  m.def(
      "rotary_embedding", RotaryEmbedding(&RotaryArgs), nb::arg("num_tokens"),
      nb::arg("num_query_heads"), nb::arg("num_key_heads"), nb::arg("head_size"),
      nb::arg("rotary_dim"), nb::arg("table_rows"), nb::arg("table_stride"),
      nb::arg("query_token_stride"), nb::arg("key_token_stride"), nb::arg("query_out_stride"),
      nb::arg("key_out_stride"), nb::arg("is_in_place"), nb::arg("num_axes"), nb::arg("section_0"),
      nb::arg("section_1"), nb::arg("section_2"), nb::arg("interleaved"), nb::arg("dtype"),
      nb::arg("position_dtype"), nb::arg("style"), nb::arg("is_inverse"),
      "Rotates the first rotary_dim elements x of each head of query [T, Hq, D] and key [T, Hk, "
      "D]\n"
      "into query_out and key_out, or in place. num_key_heads 0: there is no key.\n\n"
      "Angles: cos is a table [table_rows, rotary_dim] of cosines and then sines, of\n"
      "which token t takes row positions[t] (int32 or int64, 0 <= position < table_rows); with\n"
      "num_axes 3, positions is [3, T], and lanes are divided among the axes by the sections, one\n"
      "after the other or interleaved. num_axes 0: cos and sin are [table_rows, rotary_dim / 2] "
      "each, "
      "and\n"
      "token t takes row t % table_rows.\n\n"
      "style 0: neighbours are pairs (GPT-J), 1: x[i] and x[i + rotary_dim / 2] are (NeoX), 2:\n"
      "neighbours, whose first elements come first in the result. is_inverse: by the negative\n"
      "angle. float16, bfloat16 or float32; arithmetic in float32 with one rounding, to nearest."
      "\n\nThe launch takes positions, query, key, cos, sin, query_out, key_out.");
  BindCache(m);
  BindMoe(m);
  BindQkv(m);
}
