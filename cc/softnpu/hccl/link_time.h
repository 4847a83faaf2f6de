// cc/softnpu/hccl/link_time.h: how long a rank's links are busy with a call.
//
// The devices of a server have a link between any two of them, and all links work at the same time.
// So a call lasts as long as the link that has most to carry one way. A reduction for all ranks is
// a reduction of parts, one for each rank, after which all get all parts. Each link's rate is the
// published one; no start is added, as none is published. So this is the least time of a call.
#pragma once

#include <cstdint>
#include <vector>

#include "cc/softnpu/hccl/collectives.h"
#include "cc/softnpu/hccl/shared.h"

namespace softnpu::hccl {

// The most bytes that a link of `rank` carries one way for its call.
uint64_t BusiestLink(const Call& call, uint32_t ranks, uint32_t rank);
// The same for messages, of which `rank` sends and receives some.
uint64_t BusiestLink(const std::vector<Message>& messages, uint32_t ranks, uint32_t rank);

// The same for an exchange.
uint64_t BusiestLink(const softnpu_traffic& traffic, uint32_t ranks, uint32_t rank);

// Nanoseconds for so many bytes at a rate in bytes per nanosecond, rounded up; 0 without a rate.
uint32_t LinkTime(uint64_t bytes, double rate);

}  // namespace softnpu::hccl
