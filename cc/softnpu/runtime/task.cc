// cc/softnpu/runtime/task.cc: what each kind of task is called, touches and does.
#include "cc/softnpu/runtime/task.h"

#include <cstring>
#include <utility>

#include "cc/softnpu/base/error.h"
#include "cc/softnpu/runtime/kernel.h"
#include "cc/softnpu/runtime/memory.h"

namespace softnpu {
namespace {

template <typename... Bodies>
struct Overloaded : Bodies... {
  using Bodies::operator()...;
};
template <typename... Bodies>
Overloaded(Bodies...) -> Overloaded<Bodies...>;

const char* CopyName(CopyKind kind) {
  switch (kind) {
    case CopyKind::kHostToHost:
      return "MemcpyH2H";
    case CopyKind::kHostToDevice:
      return "MemcpyH2D";
    case CopyKind::kDeviceToHost:
      return "MemcpyD2H";
    case CopyKind::kDeviceToDevice:
      return "MemcpyD2D";
    case CopyKind::kDefault:
      break;
  }
  return "Memcpy";
}

}  // namespace

softnpu_access Bytes(const char* name, const void* address, size_t bytes, uint32_t mode) {
  softnpu_access access = {};
  access.address = address;
  access.element_bytes = 1;
  access.name = name;
  access.rank = 1;
  access.mode = mode;
  access.dims[0] = static_cast<int64_t>(bytes);
  access.strides[0] = 1;
  return access;
}

EventKind KindOf(const Task& task) {
  return std::visit(Overloaded{
                        [](const KernelTask&) { return EventKind::kKernel; },
                        [](const CopyTask&) { return EventKind::kCopy; },
                        [](const FillTask&) { return EventKind::kCopy; },
                        [](const OperatorTask& t) { return t.kind; },
                        [](const HostTask&) { return EventKind::kHost; },
                        [](const RecordTask&) { return EventKind::kEvent; },
                        [](const WaitTask&) { return EventKind::kEvent; },
                    },
                    task);
}

uint32_t ModelledTimeOf(const Task& task) {
  const auto* const op = std::get_if<OperatorTask>(&task);
  return op == nullptr ? 0 : op->modelled_ns;
}

std::string_view NameOf(const Task& task) {
  return std::visit(
      Overloaded{
          [](const KernelTask& t) { return std::string_view(t.function->entry->name); },
          [](const CopyTask& t) { return std::string_view(CopyName(t.kind)); },
          [](const FillTask&) { return std::string_view("Memset"); },
          [](const OperatorTask& t) { return std::string_view(t.name); },
          [](const HostTask&) { return std::string_view("HostFunc"); },
          [](const RecordTask&) { return std::string_view("EventRecord"); },
          [](const WaitTask&) { return std::string_view("EventWait"); },
      },
      task);
}

std::vector<softnpu_access> AccessesOf(const Task& task) {
  std::vector<softnpu_access> out;
  const auto add = [&out](const char* name, const void* address, size_t bytes, uint32_t mode) {
    if (bytes > 0 && FindMemory(address) != nullptr) {
      out.push_back(Bytes(name, address, bytes, mode));
    }
  };
  if (const auto* kernel = std::get_if<KernelTask>(&task)) {
    for (const uint64_t word : kernel->parameters) {
      const void* pointer = reinterpret_cast<const void*>(word);
      const DeviceMemory* memory = FindMemory(pointer);
      if (memory == nullptr) continue;
      if (const auto found = memory->Find(pointer)) {
        add("parameter", reinterpret_cast<const void*>(found->base), found->bytes,
            SOFTNPU_READS | SOFTNPU_WRITES);
      }
    }
  } else if (const auto* copy = std::get_if<CopyTask>(&task)) {
    add("src", copy->src, copy->bytes, SOFTNPU_READS);
    add("dst", copy->dst, copy->bytes, SOFTNPU_WRITES);
  } else if (const auto* fill = std::get_if<FillTask>(&task)) {
    add("address", fill->address, fill->bytes, SOFTNPU_WRITES);
  } else if (const auto* op = std::get_if<OperatorTask>(&task)) {
    out = op->accesses;
  }
  return out;
}

namespace {

void CopyBytes(const CopyTask& copy) {
  std::byte* const to = HostPointer(copy.dst, copy.bytes);
  const std::byte* const from = HostPointer(copy.src, copy.bytes);
  DeviceMemory* const source = FindMemory(copy.src);
  DeviceMemory* const target = FindMemory(copy.dst);
  std::memmove(to, from, copy.bytes);
  if (source != nullptr && target == nullptr) source->Poison(copy.src, to, copy.bytes);
  if (target == nullptr || target->written() == nullptr) return;
  if (source == nullptr) {
    target->written()->Mark(target->Offset(copy.dst), copy.bytes);
  } else {
    // A copy on the device takes along what nobody has written.
    source->written()->Copy(*target->written(), target->Offset(copy.dst), source->Offset(copy.src),
                            copy.bytes);
  }
}

void FillBytes(const FillTask& fill) {
  std::memset(HostPointer(fill.address, fill.bytes), fill.value, fill.bytes);
  if (DeviceMemory* const memory = FindMemory(fill.address)) {
    memory->NoteWritten(Bytes("address", fill.address, fill.bytes, SOFTNPU_WRITES));
  }
}

// Of the task that this thread runs.
thread_local uint32_t t_modelled_ns = 0;

uint32_t RunOperator(const OperatorTask& op) {
  for (const softnpu_access& access : op.accesses) {
    if ((access.mode & (SOFTNPU_READS | SOFTNPU_SOME)) != SOFTNPU_READS) continue;
    if (DeviceMemory* const memory = FindMemory(access.address)) {
      try {
        memory->CheckWritten(access);
      } catch (const Error& error) {
        throw Error(error.code(), std::string(op.name) + ": " + error.what());
      }
    }
  }
  // With eager streams, a task may be queued and run within another one.
  const uint32_t outer = std::exchange(t_modelled_ns, op.modelled_ns);
  const int32_t code = op.run(op.context.get());
  const uint32_t modelled_ns = std::exchange(t_modelled_ns, outer);
  // Whoever is told of the error puts the prefix before the call that failed.
  if (code != 0) throw Error(code, OwnMessage());
  for (const softnpu_access& access : op.accesses) {
    if ((access.mode & (SOFTNPU_WRITES | SOFTNPU_SOME)) != SOFTNPU_WRITES) continue;
    if (DeviceMemory* const memory = FindMemory(access.address)) memory->NoteWritten(access);
  }
  return modelled_ns;
}

}  // namespace

void SetModelledTime(uint32_t modelled_ns) { t_modelled_ns = modelled_ns; }

uint32_t Run(const Task& task) {
  if (const auto* kernel = std::get_if<KernelTask>(&task)) {
    RunKernel(*kernel);
  } else if (const auto* copy = std::get_if<CopyTask>(&task)) {
    if (copy->bytes > 0) CopyBytes(*copy);
  } else if (const auto* fill = std::get_if<FillTask>(&task)) {
    if (fill->bytes > 0) FillBytes(*fill);
  } else if (const auto* op = std::get_if<OperatorTask>(&task)) {
    return RunOperator(*op);
  } else if (const auto* host = std::get_if<HostTask>(&task)) {
    host->function(host->argument);
  }
  return ModelledTimeOf(task);
}

}  // namespace softnpu
