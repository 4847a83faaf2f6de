// cc/softnpu/ascendc/units.h: the units of a core, wired: registers, memories, the order of its
// pipes, flags, the frame of queues and buffers, the scalar unit's data cache, the race monitor,
// the model of costs.
#pragma once

#include <cstdint>

#include "cc/softnpu/ascendc/context.h"
#include "cc/softnpu/ascendc/cost.h"
#include "cc/softnpu/ascendc/event_flags.h"
#include "cc/softnpu/ascendc/frame.h"
#include "cc/softnpu/ascendc/launch.h"
#include "cc/softnpu/ascendc/memories.h"
#include "cc/softnpu/ascendc/pipe_order.h"
#include "cc/softnpu/ascendc/race_monitor.h"
#include "cc/softnpu/ascendc/registers.h"
#include "cc/softnpu/ascendc/scalar_cache.h"
#include "cc/softnpu/ascendc/site.h"

namespace softnpu::ascendc {

struct Units {
  explicit Units(const BufferNames* names = nullptr) : site(names) {}
  Units(const Units&) = delete;  // units refer to each other
  Units& operator=(const Units&) = delete;

  // Makes them ready for a core's part of a block of a launch.
  void Reset(LaunchState* launch, CoreKind kind, uint32_t block, uint32_t sub_block,
             uint32_t context_number) {
    site.Reset(launch, kind, block, sub_block, context_number);
    registers = Registers{};
    memories.Reset();
    order.Reset();
    flags.Reset();
    frame.Reset();
    cache.Reset();
    monitor.Reset();
    cost.Reset();
  }

  Site site;
  Registers registers;
  Memories memories{site};
  PipeOrder order{site};
  EventFlags flags{site, order};
  Frame frame{site, memories, order, flags};
  ScalarCache cache{site};
  RaceMonitor monitor{site, order, cache};
  CostModel cost{site};
  Context context{site, registers, memories, order, flags, frame, monitor};
};

}  // namespace softnpu::ascendc
