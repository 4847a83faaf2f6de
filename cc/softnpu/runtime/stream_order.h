// cc/softnpu/runtime/stream_order.h: which tasks of streams a program has ordered, and collectives
// that touch memory beside other tasks.
//
// A race is judged, not provoked: when a task is queued, its stream's clock says which tasks of
// other streams have ended by the time it starts, whatever the timing of this run is. An event's
// recording carries the clock of its stream to streams that wait for it; the host, which has seen a
// recording or a stream end, carries its own to all that is queued from then on. Host threads share
// one clock, as nobody sees how they order each other: so a race may be missed, and none is made
// up.
//
// Collectives are compared with the tasks of all other streams of the process, not other tasks with
// each other. Left out are kernels, since nobody knows before they run which bytes they touch, and
// operators that touch only some of the bytes that they name.
//
// Only processes with SOFTNPU_STREAM_RACES=stop that have had a communicator keep any of this.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "cc/softnpu/runtime/task.h"

namespace softnpu {

class StreamOrder {
 public:
  // The one of this process. It lives as long as the process.
  static StreamOrder& Get();
  // Whether anybody keeps account: from the first communicator on, with strict checks, and when
  // streams have threads of their own.
  static bool Active();
  static void Activate();

  // `stream` takes a task: to be called in the order of its tasks. Throws Error 507015, and keeps
  // the task out, when the task and a collective touch the same bytes, one of them writes, and
  // nothing orders the two.
  void Enter(int device, uint32_t stream, Task& task);
  // What has ended when all tasks that the stream has by now have.
  OrderClock Reached(uint32_t stream);
  // The host has seen that this has ended.
  void HostSaw(const OrderClock& reached);
  // The host itself touches memory now. Throws Error 507015 as Enter does.
  void HostTouches(const char* name, const std::vector<softnpu_access>& accesses);
  // The stream is gone, with all of its tasks.
  void Forget(uint32_t stream);

 private:
  struct Entry {
    uint64_t number = 0;  // of the stream's tasks, from 1
    std::string name;
    std::vector<softnpu_access> accesses;
  };
  struct Line {
    int device = 0;
    uint64_t count = 0;
    OrderClock clock;
    std::deque<Entry> tasks;
    std::deque<Entry> collectives;
  };
  // Who touches memory, for sentences.
  struct Toucher {
    std::string who;
    const OrderClock& clock;
    const std::vector<softnpu_access>& accesses;
    bool collective;
  };

  void Compare(const Toucher& toucher, uint32_t own_stream) const;
  void Prune(uint32_t stream, Line& line) const;

  std::mutex mutex_;
  std::map<uint32_t, Line> lines_;
  OrderClock host_;
};

// Whether two accesses share a byte and one of them writes. Exact for strided ones, unless they
// have so many pieces that it would take long: then false.
bool Conflicts(const softnpu_access& a, const softnpu_access& b);

}  // namespace softnpu
