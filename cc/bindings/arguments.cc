// cc/bindings/arguments.cc: reads Python objects into tensors and options.
#include "cc/bindings/arguments.h"

#include <cstring>
#include <string>

#include "cc/bindings/dlpack.h"
#include "cc/ops/launch.h"

namespace vllm_cann::bindings {
namespace {

namespace nb = nanobind;
using ops::DataType;
using ops::Operator;
using ops::Option;
using ops::OptionValue;
using ops::Tensor;

std::string Subject(const Operator& declared, const char* name) {
  return std::string(declared.name) + ": " + name;
}

[[noreturn]] void RefuseType(const Operator& declared, const char* name, PyObject* object,
                             const char* wanted) {
  const auto type = nb::repr(nb::handle(reinterpret_cast<PyObject*>(Py_TYPE(object))));
  throw nb::type_error(
      (Subject(declared, name) + " is of the type " + type.c_str() + "; it must be " + wanted)
          .c_str());
}

// Types are few and the same at each call.
const DlpackExchange* FindExchange(PyTypeObject* type) {
  static PyTypeObject* last_type = nullptr;  // kept alive by the reference below
  static const DlpackExchange* last = nullptr;
  if (type == last_type) return last;
  PyObject* const capsule =
      PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), kDlpackAttribute);
  if (capsule == nullptr) {
    PyErr_Clear();
    return nullptr;
  }
  const auto* exchange =
      static_cast<const DlpackExchange*>(PyCapsule_GetPointer(capsule, kDlpackCapsule));
  Py_DECREF(capsule);
  if (exchange == nullptr) {
    PyErr_Clear();
    return nullptr;
  }
  while (exchange != nullptr && exchange->major != 1) exchange = exchange->previous;
  if (exchange == nullptr || exchange->tensor_from_object == nullptr) return nullptr;
  Py_INCREF(reinterpret_cast<PyObject*>(type));
  PyObject* const before = reinterpret_cast<PyObject*>(last_type);
  last_type = type;
  last = exchange;
  Py_XDECREF(before);
  return exchange;
}

// DLPack's names of the floats of 8 bits and less, from the type code 7 on.
constexpr const char* kNarrowFloats[] = {
    "float8_e3m4",     "float8_e4m3",   "float8_e4m3b11fnuz", "float8_e4m3fn",
    "float8_e4m3fnuz", "float8_e5m2",   "float8_e5m2fnuz",    "float8_e8m0fnu",
    "float6_e2m3fn",   "float6_e3m2fn", "float4_e2m1fn",
};
constexpr int kFirstNarrowFloat = 7;
constexpr int kNumNarrowFloats = sizeof(kNarrowFloats) / sizeof(kNarrowFloats[0]);

DataType TypeOf(const Operator& declared, const char* name, const DlpackTensor& tensor) {
  const int code = tensor.type_code, bits = tensor.type_bits;
  if (tensor.type_lanes == 1) {
    switch (code << 8 | bits) {
      case 0 << 8 | 8:
        return DataType::kInt8;
      case 0 << 8 | 16:
        return DataType::kInt16;
      case 0 << 8 | 32:
        return DataType::kInt32;
      case 0 << 8 | 64:
        return DataType::kInt64;
      case 1 << 8 | 8:
        return DataType::kUint8;
      case 1 << 8 | 16:
        return DataType::kUint16;
      case 1 << 8 | 32:
        return DataType::kUint32;
      case 1 << 8 | 64:
        return DataType::kUint64;
      case 2 << 8 | 16:
        return DataType::kFloat16;
      case 2 << 8 | 32:
        return DataType::kFloat;
      case 2 << 8 | 64:
        return DataType::kDouble;
      case 4 << 8 | 16:
        return DataType::kBfloat16;
      case 6 << 8 | 8:
        return DataType::kBool;
    }
  }
  if (declared.run && tensor.type_lanes == 1) {  // bytes that are copied, whatever they mean
    if (bits == 8) return DataType::kUint8;
    if (bits == 16) return DataType::kUint16;
    if (bits == 32) return DataType::kUint32;
    if (bits == 64) return DataType::kUint64;
  }
  if (code >= kFirstNarrowFloat && code < kFirstNarrowFloat + kNumNarrowFloats) {
    ops::Refuse(Subject(declared, name) + " is " + kNarrowFloats[code - kFirstNarrowFloat] +
                ": floats of 8 bits exist from Ascend 950 on, and this is " +
                ops::GetCurrentDevice().info->soc_name);
  }
  ops::Refuse(Subject(declared, name) + " has elements of DLPack's type code " +
              std::to_string(code) + " with " + std::to_string(bits) +
              " bits, which no operator takes");
}

void ReadDlpack(const Operator& declared, const char* name, const DlpackExchange& exchange,
                PyObject* object, Tensor& out, int32_t& device) {
  DlpackTensor tensor;
  if (exchange.tensor_from_object(object, &tensor) != 0) throw nb::python_error();
  out.type = TypeOf(declared, name, tensor);
  if (tensor.ndim < 1 || tensor.ndim > ops::kMaxDims) {
    ops::Refuse(Subject(declared, name) + " has " + std::to_string(tensor.ndim) +
                " dimensions; it can have 1 to " + std::to_string(ops::kMaxDims));
  }
  out.is_on_host = tensor.device_type == kDlpackCpu;
  if (!out.is_on_host) {
    if (tensor.device_type != kDlpackExtension) {
      ops::Refuse(Subject(declared, name) + " is on a device of DLPack's type " +
                  std::to_string(tensor.device_type) + ", which is no NPU");
    }
    if (device >= 0 && tensor.device_id != device) {
      ops::Refuse(
          Subject(declared, name) + " is on npu:" + std::to_string(tensor.device_id) +
          "; all tensors must be on one NPU, and another is on npu:" + std::to_string(device));
    }
    device = tensor.device_id;
  }
  out.dims = tensor.ndim;
  int64_t dense = 1;
  for (int i = tensor.ndim - 1; i >= 0; --i) {
    const int64_t size = tensor.shape[i];
    out.shape[i] = size;
    out.strides[i] = size <= 1 || tensor.strides == nullptr ? dense : tensor.strides[i];
    if (size > 1) dense *= size;
  }
  out.address = reinterpret_cast<uintptr_t>(tensor.data) + tensor.byte_offset;
}

int64_t ReadInteger(const Operator& declared, const char* name, PyObject* object) {
  if (!PyLong_Check(object)) {
    const nb::object index = nb::steal(PyNumber_Index(object));  // of numpy, for instance
    if (index.is_valid()) return ReadInteger(declared, name, index.ptr());
    PyErr_Clear();
    RefuseType(declared, name, object, "a whole number");
  }
  const int64_t value = PyLong_AsLongLong(object);
  if (value == -1 && PyErr_Occurred() != nullptr) throw nb::python_error();
  return value;
}

void ReadChoice(const Operator& declared, const Option& option, PyObject* object,
                OptionValue& out) {
  if (!PyUnicode_Check(object)) RefuseType(declared, option.name, object, "a name");
  for (size_t i = 0; i < option.choices.size(); ++i) {
    if (PyUnicode_CompareWithASCIIString(object, option.choices[i]) == 0) {
      out.integer = static_cast<int64_t>(i);
      return;
    }
  }
  std::string there_are;
  for (const char* choice : option.choices) {
    there_are += (there_are.empty() ? "" : ", ") + std::string(choice);
  }
  ops::Refuse(Subject(declared, option.name) + " is " + nb::repr(nb::handle(object)).c_str() +
              "; there are " + there_are);
}

void ReadList(const Operator& declared, const Option& option, PyObject* object, OptionValue& out) {
  if (object == Py_None) return;
  if (!PySequence_Check(object)) {
    RefuseType(declared, option.name, object, "a sequence of whole numbers or None");
  }
  const Py_ssize_t size = PySequence_Size(object);
  if (size < 0) throw nb::python_error();
  if (size != ops::kMaxList) {
    ops::Refuse(Subject(declared, option.name) + " has " + std::to_string(size) +
                " numbers; it must have " + std::to_string(ops::kMaxList));
  }
  for (Py_ssize_t i = 0; i < size; ++i) {
    const nb::object item = nb::steal(PySequence_GetItem(object, i));
    if (!item.is_valid()) throw nb::python_error();
    out.list[i] = ReadInteger(declared, option.name, item.ptr());
  }
}

void ReadOption(const Operator& declared, const Option& option, PyObject* object,
                OptionValue& out) {
  switch (option.kind) {
    case Option::Kind::kInteger:
      out.integer = ReadInteger(declared, option.name, object);
      return;
    case Option::Kind::kBoolean:
      if (!PyBool_Check(object)) RefuseType(declared, option.name, object, "True or False");
      out.integer = object == Py_True ? 1 : 0;
      return;
    case Option::Kind::kReal:
      if (!PyFloat_Check(object) && !PyLong_Check(object)) {
        RefuseType(declared, option.name, object, "a number");
      }
      out.real = PyFloat_AsDouble(object);
      if (out.real == -1.0 && PyErr_Occurred() != nullptr) throw nb::python_error();
      return;
    case Option::Kind::kChoice:
      return ReadChoice(declared, option, object, out);
    case Option::Kind::kList:
      return ReadList(declared, option, object, out);
  }
}

}  // namespace

void Arguments::Read(const Operator& declared, PyObject* const* objects, size_t count) {
  const size_t num_tensors = declared.tensors.size();
  if (count != num_tensors + declared.options.size()) {
    throw nb::type_error((std::string(declared.name) + " takes " + std::to_string(num_tensors) +
                          " tensors and " + std::to_string(declared.options.size()) +
                          " options, not " + std::to_string(count) + " arguments")
                             .c_str());
  }
  for (size_t i = 0; i < num_tensors; ++i) {
    Tensor& tensor = tensors_[i];
    PyObject* const object = objects[i];
    if (object == Py_None) continue;
    const char* const name = declared.tensors[i].name;
    const DlpackExchange* const exchange = FindExchange(Py_TYPE(object));
    if (exchange != nullptr) {
      ReadDlpack(declared, name, *exchange, object, tensor, device_);
    } else if (nb::isinstance<PlainTensor>(nb::handle(object))) {
      tensor = nb::inst_ptr<PlainTensor>(nb::handle(object))->tensor;
    } else {
      RefuseType(declared, name, object, "a tensor or None");
    }
    if (tensor.is_on_host && !declared.run) {
      ops::Refuse(Subject(declared, name) + " is on cpu; all tensors must be on one NPU");
    }
  }
  for (size_t i = 0; i < declared.options.size(); ++i) {
    ReadOption(declared, declared.options[i], objects[num_tensors + i], options_[i]);
  }
}

Key::Key(const Operator& declared, const Arguments& arguments) {
  uint64_t* next = words;
  *next++ = static_cast<uint64_t>(static_cast<int64_t>(arguments.device()));
  for (size_t i = 0; i < declared.tensors.size(); ++i) {
    const Tensor& tensor = arguments.tensors()[i];
    *next++ = static_cast<uint64_t>(tensor.dims) << 32 | static_cast<uint64_t>(tensor.type);
    for (int d = 0; d < tensor.dims; ++d) {
      *next++ = static_cast<uint64_t>(tensor.shape[d]);
      *next++ = static_cast<uint64_t>(tensor.strides[d]);
    }
  }
  for (size_t i = 0; i < declared.options.size(); ++i) {
    const OptionValue& value = arguments.options()[i];
    switch (declared.options[i].kind) {
      case Option::Kind::kReal:
        std::memcpy(next++, &value.real, sizeof(uint64_t));
        break;
      case Option::Kind::kList:
        for (const int64_t number : value.list) *next++ = static_cast<uint64_t>(number);
        break;
      default:
        *next++ = static_cast<uint64_t>(value.integer);
    }
  }
  size = static_cast<size_t>(next - words);
}

uint64_t Key::Hash() const {
  uint64_t hash = size;
  for (size_t i = 0; i < size; ++i) {
    hash = (hash ^ words[i]) * 0x9E3779B97F4A7C15ULL;
    hash ^= hash >> 29;
  }
  return hash;
}

}  // namespace vllm_cann::bindings
