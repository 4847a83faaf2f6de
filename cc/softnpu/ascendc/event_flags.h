// cc/softnpu/ascendc/event_flags.h: the flags between the pipes of a core, and their ids.
//
// A core has eight ids per event. Hand-written flags and queues share them. Instructions run in
// program order, so a flag never has to be waited for; it is judged whether the chip would go on,
// and what the flag orders.
#pragma once

#include <cstdint>
#include <string>

#include "cc/softnpu/ascendc/instruction.h"
#include "cc/softnpu/ascendc/names.h"
#include "cc/softnpu/ascendc/pipe_order.h"
#include "cc/softnpu/ascendc/site.h"

namespace softnpu::ascendc {

class EventFlags {
 public:
  EventFlags(const Site& site, PipeOrder& order) : site_(site), order_(order) {}

  void Reset();

  // An id for a queue, which holds it until it gives it back. A queue without an event (-1) has
  // the id -1. Throws KernelError when no id is left.
  int TakeForQueue(int event);
  void GiveBack(int event, int id);

  // Instructions; they throw KernelError.
  void AllocId(SoftnpuInstruction& instruction);  // params: event; result: id
  void FetchId(SoftnpuInstruction& instruction);  // the same, without taking it
  void ReleaseId(const SoftnpuInstruction& instruction);
  void Set(const SoftnpuInstruction& instruction);  // params: event, id
  void Wait(const SoftnpuInstruction& instruction);

  // Throws KernelError at the SetFlag of a flag that is set when the kernel ends.
  void CheckNoneIsSet() const;
  // The flags that are set, each behind a semicolon, for a deadlock's report.
  std::string Describe() const;

 private:
  struct Flag {
    bool set = false;
    bool of_queue = false;
    const char* file = nullptr;
    uint32_t line = 0;
    Signal signal;
  };

  int64_t EventOf(const SoftnpuInstruction& instruction) const;
  int FirstFreeId(int64_t event) const;  // -1: none
  Flag& FlagOf(const SoftnpuInstruction& instruction);

  const Site& site_;
  PipeOrder& order_;
  Flag flags_[kEvents][kEventIds] = {};
  uint8_t reserved_[kEvents] = {};  // ids that AllocEventID or a queue holds, a bit each
};

}  // namespace softnpu::ascendc
