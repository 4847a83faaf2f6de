// cc/bindings/caller.cc: finds the prepared launch of a call and queues it.
#include "cc/bindings/caller.h"

#include <algorithm>
#include <string>

namespace vllm_cann::bindings {
namespace {

namespace nb = nanobind;

PyObject* g_stream_getter = nullptr;

void* CurrentStream(int32_t device) {
  if (g_stream_getter == nullptr) {
    throw std::runtime_error("no stream is known: call set_stream_getter");
  }
  const nb::object index = nb::steal(PyLong_FromLong(device));
  const nb::object stream =
      nb::steal(PyObject_CallFunctionObjArgs(g_stream_getter, index.ptr(), nullptr));
  if (!stream.is_valid()) throw nb::python_error();
  void* const out = PyLong_AsVoidPtr(stream.ptr());
  if (out == nullptr && PyErr_Occurred() != nullptr) throw nb::python_error();
  return out;
}

bool IsKey(const std::vector<uint64_t>& words, const Key& key) {
  return words.size() == key.size && std::equal(words.begin(), words.end(), key.words);
}

void CheckCurrent(const ops::Operator& declared, int32_t device) {
  if (device < 0) {
    ops::Refuse(std::string(declared.name) + ": no tensor is on an NPU");
  }
  const int32_t current = ops::GetCurrentDeviceId();
  if (device != current) {
    ops::Refuse(std::string(declared.name) + ": the tensors are on npu:" + std::to_string(device) +
                ", but the current device is npu:" + std::to_string(current));
  }
}

}  // namespace

void SetStreamGetter(nb::object getter) {
  PyObject* const last = g_stream_getter;
  g_stream_getter = getter.release().ptr();
  Py_XDECREF(last);
}

const ops::Launch& Caller::Find(const Arguments& arguments) {
  const Key key(declared_, arguments);
  if (!launches_.empty() && IsKey(launches_.front().key, key)) {
    ++hits_;
    return launches_.front().launch;
  }
  const uint64_t hash = key.Hash();
  const auto known = by_hash_.find(hash);
  if (known != by_hash_.end() && IsKey(known->second->key, key)) {
    ++hits_;
    launches_.splice(launches_.begin(), launches_, known->second);
    return launches_.front().launch;
  }
  ++misses_;
  ops::Launch launch(declared_, arguments.tensors(), arguments.options());
  if (known != by_hash_.end()) {  // two keys of one hash: the newer one stays
    launches_.erase(known->second);
  } else if (launches_.size() >= kMostPrepared) {
    by_hash_.erase(launches_.back().hash);
    launches_.pop_back();
  }
  launches_.push_front({hash, {key.words, key.words + key.size}, std::move(launch)});
  by_hash_[hash] = launches_.begin();
  return launches_.front().launch;
}

void Caller::Call(PyObject* const* objects, size_t count) {
  Arguments arguments;
  arguments.Read(declared_, objects, count);
  CheckCurrent(declared_, arguments.device());
  if (declared_.run) {
    declared_.run(arguments.tensors(), arguments.options(), CurrentStream(arguments.device()));
    return;
  }
  // Before the launch is looked up: the getter runs Python, which may call operators.
  void* const stream = CurrentStream(arguments.device());
  const ops::Launch& launch = Find(arguments);
  uint64_t addresses[kMaxTensors];
  size_t next = 0;
  for (size_t i = 0; i < declared_.tensors.size(); ++i) {
    const ops::Tensor& tensor = arguments.tensors()[i];
    if (!declared_.tensors[i].shares_place) {
      addresses[next++] = tensor.address;
    } else if (tensor.dims != 0) {
      addresses[next - 1] = tensor.address;
    }
  }
  launch(addresses, stream);
}

int64_t Caller::WorkspaceBytes(PyObject* const* objects, size_t count) const {
  if (!declared_.workspace_bytes) return 0;
  Arguments arguments;
  arguments.Read(declared_, objects, count);
  return declared_.workspace_bytes(arguments.tensors(), arguments.options(),
                                   *ops::GetCurrentDevice().info);
}

}  // namespace vllm_cann::bindings
