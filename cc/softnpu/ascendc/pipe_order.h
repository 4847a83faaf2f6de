// cc/softnpu/ascendc/pipe_order.h: what orders the pipes of a core: barriers, and signals that one
// pipe sets and another one waits for.
//
// Flags and queues both send signals. A signal carries the order (race.h) and, when time is
// modelled, the moment (timing.h).
#pragma once

#include <cstdint>

#include "cc/softnpu/ascendc/race.h"
#include "cc/softnpu/ascendc/site.h"
#include "cc/softnpu/ascendc/timing.h"

namespace softnpu::ascendc {

struct Signal {
  Knowledge knowledge;
  uint64_t token = 0;  // the moment, when `timed`
  bool timed = false;
};

class PipeOrder {
 public:
  explicit PipeOrder(const Site& site) : site_(site) {}

  void Reset() {
    clocks_.Reset(site_.races());
    timeline_.Reset(site_.context());
  }

  // The scalar unit issues something to `pipe`.
  void Issue(int pipe) { clocks_.Issue(pipe); }
  // SOFTNPU_PIPE_ALL: of all pipes.
  void Barrier(int pipe) {
    clocks_.Barrier(pipe);
    if (site_.timed()) timeline_.Barrier(pipe, site_.place());
  }
  // What `pipe` has done until now.
  Signal Set(int pipe) {
    Signal signal;
    signal.knowledge = clocks_.Release(pipe);
    if (site_.timed()) {
      signal.token = timeline_.Set(pipe, site_.place());
      signal.timed = true;
    }
    return signal;
  }
  // What `pipe` does from now on comes after the signal. A signal that nobody has set orders
  // nothing.
  void Wait(int pipe, const Signal& signal) {
    clocks_.Acquire(pipe, signal.knowledge);
    if (site_.timed() && signal.timed) timeline_.Wait(pipe, signal.token, site_.place());
  }

  CoreClocks& clocks() { return clocks_; }
  CoreTimeline& timeline() { return timeline_; }

 private:
  const Site& site_;
  CoreClocks clocks_;
  CoreTimeline timeline_;
};

}  // namespace softnpu::ascendc
