// cc/softnpu/hccl/testing/calls.h: every collective of HCCL with one set of arguments.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cc/softnpu/hccl/shared.h"
#include "cc/softnpu/hccl/types.h"

namespace softnpu::hccl {

struct Asked {
  Kind kind = Kind::kAllReduce;
  uint64_t count = 8;  // elements; of each part, where a buffer has one for each rank
  DType dtype = DType::kFloat32;
  Reduction reduction = Reduction::kSum;
  uint32_t root = 0;
};

inline constexpr Kind kKinds[] = {Kind::kAllReduce,      Kind::kReduce,    Kind::kReduceScatter,
                                  Kind::kReduceScatterV, Kind::kAllGather, Kind::kAllGatherV,
                                  Kind::kAlltoAll,       Kind::kAlltoAllV, Kind::kAlltoAllVC,
                                  Kind::kBroadcast,      Kind::kScatter,   Kind::kBarrier};

bool HasReduction(Kind kind);
bool HasRoot(Kind kind);

// The call of one of `ranks` ranks, whose buffers have a part for each rank. Returns HCCL's code.
int32_t Ask(const Asked& asked, uint32_t ranks, uint32_t rank, void* send, void* receive,
            void* comm, void* stream);

}  // namespace softnpu::hccl
