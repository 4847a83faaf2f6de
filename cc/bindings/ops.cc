// cc/bindings/ops.cc: the Python module vllm_cann._ops: every operator that is declared in cc/ops.
#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "cc/bindings/caller.h"

namespace {

namespace nb = nanobind;
using vllm_cann::bindings::Arguments;
using vllm_cann::bindings::Caller;
using vllm_cann::bindings::kMaxOptions;
using vllm_cann::bindings::kMaxTensors;
using vllm_cann::bindings::PlainTensor;
using vllm_cann::ops::DeviceInfo;
using vllm_cann::ops::FindOperator;
using vllm_cann::ops::Launch;
using vllm_cann::ops::Operator;

constexpr size_t kMaxArguments = kMaxTensors + kMaxOptions;

// The elements of a tuple; they live as long as the tuple.
struct Elements {
  PyObject* objects[kMaxArguments];
  size_t count = 0;

  void Append(PyObject* tuple) {
    const auto size = static_cast<size_t>(PyTuple_Size(tuple));
    if (count + size > kMaxArguments) throw nb::type_error("there are too many arguments");
    for (size_t i = 0; i < size; ++i) {
      objects[count++] = PyTuple_GetItem(tuple, static_cast<Py_ssize_t>(i));
    }
  }
};

void CallLaunch(const Launch& launch, PyObject* arguments) {
  const size_t count = launch.num_addresses();
  const auto given = static_cast<size_t>(PyTuple_Size(arguments));
  if (given != count + 1 || given > kMaxTensors) {
    vllm_cann::ops::Refuse("the launch takes " + std::to_string(count) +
                           " addresses and a stream, not " + std::to_string(given) + " numbers");
  }
  uint64_t numbers[kMaxTensors];
  for (size_t i = 0; i < given; ++i) {
    numbers[i] = PyLong_AsUnsignedLong(PyTuple_GetItem(arguments, static_cast<Py_ssize_t>(i)));
  }
  if (PyErr_Occurred() != nullptr) throw nb::python_error();
  launch(numbers, reinterpret_cast<void*>(numbers[count]));
}

void CallOperator(Caller& caller, PyObject* arguments) {
  Elements elements;
  elements.Append(arguments);
  caller.Call(elements.objects, elements.count);
}

// tp_call of a type: nanobind's own way to a __call__ of any number of arguments takes as long as
// the launch.
template <typename T, auto call>
PyObject* CallSlot(PyObject* self, PyObject* arguments, PyObject* names) {
  try {
    if (names != nullptr) throw nb::type_error("arguments are given by position, not by name");
    if (!nb::inst_ready(self)) throw nb::type_error("the object was not initialised");
    call(*nb::inst_ptr<T>(self), arguments);
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

PyType_Slot g_launch_slots[] = {
    {Py_tp_call, reinterpret_cast<void*>(&CallSlot<Launch, &CallLaunch>)}, {0, nullptr}};
PyType_Slot g_operator_slots[] = {
    {Py_tp_call, reinterpret_cast<void*>(&CallSlot<Caller, &CallOperator>)}, {0, nullptr}};

// Of an operator that launches a kernel.
Arguments ReadArguments(const Operator& declared, const nb::tuple& tensors,
                        const nb::tuple& options) {
  if (declared.run) vllm_cann::ops::Refuse(std::string(declared.name) + " launches no kernel");
  Elements elements;
  elements.Append(tensors.ptr());
  elements.Append(options.ptr());
  Arguments out;
  out.Read(declared, elements.objects, elements.count);
  return out;
}

Launch Prepare(std::string_view name, const nb::tuple& tensors, const nb::tuple& options) {
  const Operator& declared = FindOperator(name);
  const Arguments arguments = ReadArguments(declared, tensors, options);
  return Launch(declared, arguments.tensors(), arguments.options());
}

std::tuple<std::optional<std::string>, uint32_t, std::vector<uint64_t>> PlanOf(
    std::string_view name, const nb::tuple& tensors, const nb::tuple& options,
    const std::string& soc_name, int64_t npu_arch, int64_t vector_cores, int64_t ub_bytes) {
  const Operator& declared = FindOperator(name);
  const Arguments arguments = ReadArguments(declared, tensors, options);
  const auto planned = declared.plan(arguments.tensors(), arguments.options(),
                                     DeviceInfo{soc_name, npu_arch, vector_cores, ub_bytes});
  std::optional<std::string> kernel;
  if (planned.cores != 0) kernel = planned.kernel;
  return {kernel, planned.cores, planned.tiling};
}

int64_t WorkspaceBytes(const Caller& caller, const nb::args& arguments) {
  Elements elements;
  elements.Append(arguments.ptr());
  return caller.WorkspaceBytes(elements.objects, elements.count);
}

std::vector<std::string> Names() {
  std::vector<std::string> out;
  for (const Operator* declared : vllm_cann::ops::AllOperators()) out.push_back(declared->name);
  return out;
}

std::vector<std::string> Families() {
  std::set<std::string> out;
  for (const Operator* declared : vllm_cann::ops::AllOperators()) {
    if (declared->family != nullptr) out.insert(declared->family);
  }
  return {out.begin(), out.end()};
}

template <typename List>
std::vector<std::string> NamesOf(const List& declared) {
  std::vector<std::string> out;
  for (const auto& one : declared) out.push_back(one.name);
  return out;
}

void InitTensor(PlainTensor* self, int32_t dtype, const std::vector<int64_t>& shape,
                const std::optional<std::vector<int64_t>>& strides) {
  new (self) PlainTensor;
  vllm_cann::ops::Tensor& tensor = self->tensor;
  if (shape.size() > vllm_cann::ops::kMaxDims ||
      (strides.has_value() && strides->size() != shape.size())) {
    vllm_cann::ops::Refuse("a tensor has at most " + std::to_string(vllm_cann::ops::kMaxDims) +
                           " dimensions, and a stride for each");
  }
  tensor.type = static_cast<vllm_cann::ops::DataType>(dtype);
  tensor.dims = static_cast<int>(shape.size());
  int64_t dense = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    tensor.shape[i] = shape[i];
    tensor.strides[i] = strides.has_value() && shape[i] > 1 ? (*strides)[i] : dense;
    if (shape[i] > 1) dense *= shape[i];
  }
}

}  // namespace

NB_MODULE(_ops, m) {
  // torch.library keeps functions, and so operators, longer than this module lives.
  nb::set_leak_warnings(false);
  m.doc() =
      "The operators that are declared in C++.\n\n"
      "Data types are CANN's numbers: float32 0, float16 1, int8 2, int32 3, uint8 4, int64 9,\n"
      "bool 12, bfloat16 27. Sizes and strides are in elements. What does not fit raises\n"
      "ValueError, an object of a wrong type TypeError; a missing CANN and errors of ACL raise\n"
      "RuntimeError.";
  nb::class_<PlainTensor>(m, "Tensor",
                          "A tensor of a type, a shape and strides (None: contiguous) without "
                          "memory, to prepare and to plan with.")
      .def("__init__", &InitTensor, nb::arg("dtype"), nb::arg("shape"),
           nb::arg("strides") = nb::none());
  nb::class_<Launch>(
      m, "Launch", nb::type_slots(g_launch_slots),
      "A kernel that is ready for tensors of certain types and shapes. Called with the address of\n"
      "each tensor in the declared order (tensors that share a place have one address), 0 for one\n"
      "that is absent, and a stream of its device (aclrtStream, 0 is the default stream), it\n"
      "queues the kernel. Any number of times.");
  nb::class_<Caller>(
      m, "Operator", nb::type_slots(g_operator_slots),
      "An operator by its name. Called with its tensors, None for one that is absent, and then "
      "its\n"
      "options, in the declared order, it queues its kernel on the current stream of the tensors'\n"
      "device. Launches are remembered by types, shapes, strides and options, 512 at most.")
      .def(nb::init<std::string_view>(), nb::arg("name"))
      .def_prop_ro("name", [](const Caller& caller) { return caller.declared().name; })
      .def_prop_ro("tensors", [](const Caller& c) { return NamesOf(c.declared().tensors); })
      .def_prop_ro("options", [](const Caller& c) { return NamesOf(c.declared().options); })
      .def("workspace_bytes", &WorkspaceBytes, nb::arg("arguments"),
           "Bytes of workspace that a call with these arguments needs on the current device.")
      .def_prop_ro("hits", &Caller::hits, "Calls whose launch was remembered.")
      .def_prop_ro("misses", &Caller::misses, "Calls whose launch was prepared.")
      .def_prop_ro("prepared", &Caller::prepared, "Launches that are remembered.");
  m.def("operators", &Names, "The names of all operators.");
  m.def("prepare", &Prepare, nb::arg("name"), nb::arg("tensors"), nb::arg("options"),
        "The launch of an operator for these tensors and options on the current device.");
  m.def("plan", &PlanOf, nb::arg("name"), nb::arg("tensors"), nb::arg("options"),
        nb::arg("soc_name"), nb::arg("npu_arch"), nb::arg("vector_cores"), nb::arg("ub_bytes"),
        "The kernel (None: nothing to launch), the cores and the words of the tiling for a device\n"
        "of these numbers, without CANN.");
  m.def("set_kernel_directory", &vllm_cann::ops::SetKernelDirectory, nb::arg("directory"),
        "Sets the absolute path of the directory with the kernel binaries,\n"
        "<family>.<lower-case SoC name>.o.");
  m.def("load_family", &vllm_cann::ops::LoadFamily, nb::arg("family"),
        "Loads the kernel binary of a family for the current device.");
  m.def("families", &Families, "The names of the families that operators are declared in.");
  m.def("set_stream_getter", &vllm_cann::bindings::SetStreamGetter, nb::arg("getter"),
        "Sets the function that gives the current stream (an integer) of a device index.");
}
