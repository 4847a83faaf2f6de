// cc/softnpu/runtime/trace.h: what happened, in files that outlive the process.
//
// Up to two files per process in SOFTNPU_STATE_DIR, both written through shared mappings, so that
// they are complete even after SIGKILL: <pid>.counts (one counter per name), and, when
// SOFTNPU_TRACE_TASKS is not 0, <pid>.events: a ring of fixed-size records, one per stream task in
// wall time, that keeps the latest SOFTNPU_TRACE_TASKS tasks. python/softnpu/trace.py reads both.
// A process that execs goes on with its files; what another process left under the same process id
// is replaced.
#pragma once

#include <cstdint>
#include <string_view>

namespace softnpu {

enum class EventKind : uint32_t {
  kKernel = 0,
  kOperator = 1,
  kCopy = 2,
  kEvent = 3,
  kHost = 4,
  kCollective = 5
};

int64_t NowNanoseconds();

// Adds a slice to the event file, if there is one. `name` is cut to 63 bytes. `modelled_ns` is the
// time that a chip would take, 0 where it is not modelled. Thread safe, no locks after the file is
// open.
void TraceSlice(EventKind kind, int device, uint32_t stream, std::string_view name,
                int64_t start_ns, int64_t end_ns, uint32_t modelled_ns = 0);

// Adds one to a counter. `name` is cut to 51 bytes. A name for which there is no room left marks
// the file as incomplete.
void Count(EventKind kind, std::string_view name);

// Starts new files in a forked child instead of writing into the parent's.
void ForgetTraceAfterFork();

}  // namespace softnpu
