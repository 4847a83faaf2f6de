// cc/softnpu/runtime/task.h: what a stream runs, as data.
//
// A task says what it does and which bytes of device memory it touches. Streams, traces and checks
// all read the same data; only Run() gives it a meaning.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string_view>
#include <variant>
#include <vector>

#include "cc/softnpu/runtime/internal.h"
#include "cc/softnpu/runtime/trace.h"

namespace softnpu {

class Recording;
struct Function;

enum class CopyKind : int32_t {
  kHostToHost = 0,
  kHostToDevice,
  kDeviceToHost,
  kDeviceToDevice,
  kDefault
};

// A kernel's launch. Its parameters are 8 bytes each: addresses and words.
struct KernelTask {
  std::shared_ptr<const Function> function;
  uint32_t blocks = 0;
  std::vector<uint64_t> parameters;
};

struct CopyTask {
  void* dst = nullptr;
  const void* src = nullptr;
  size_t bytes = 0;
  CopyKind kind = CopyKind::kDefault;
};

struct FillTask {
  void* address = nullptr;
  int32_t value = 0;
  size_t bytes = 0;
};

// An operator of libopapi.so, or a collective of libhccl.so (`kind`). It comes through a C
// interface: `run` returns 0, or a code for which it has reported the sentence.
struct OperatorTask {
  const char* name = nullptr;  // lives as long as the process
  int32_t (*run)(void*) = nullptr;
  std::shared_ptr<void> context;
  std::vector<softnpu_access> accesses;
  EventKind kind = EventKind::kOperator;
  uint32_t modelled_ns = 0;
};

// For each stream, how many of its tasks have ended (stream_order.h).
using OrderClock = std::map<uint32_t, uint64_t>;

struct HostTask {
  void (*function)(void*) = nullptr;
  void* argument = nullptr;
  OrderClock reached;  // what has ended before it
};

struct RecordTask {
  std::shared_ptr<Recording> recording;
};

struct WaitTask {
  std::shared_ptr<Recording> recording;
};

using Task =
    std::variant<KernelTask, CopyTask, FillTask, OperatorTask, HostTask, RecordTask, WaitTask>;

// An access of contiguous bytes.
softnpu_access Bytes(const char* name, const void* address, size_t bytes, uint32_t mode);

EventKind KindOf(const Task& task);
// The time that a chip would take, as far as it is known before the task runs; 0 where it is not
// modelled.
uint32_t ModelledTimeOf(const Task& task);
// Valid as long as the task.
std::string_view NameOf(const Task& task);
// The bytes of device memory that the task reads and writes. A kernel's are the allocations that
// its parameters point into, since nobody knows before it runs which bytes of them it touches.
std::vector<softnpu_access> AccessesOf(const Task& task);
// Does the task's work, and returns the time that a chip would take. Throws Error. Records and
// waits are their stream's: they do nothing here.
uint32_t Run(const Task& task);
// From within Run: that time, where the task knows it only now.
void SetModelledTime(uint32_t modelled_ns);

}  // namespace softnpu
