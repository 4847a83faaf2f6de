// cc/softnpu/hccl/testing/calls.cc: calls of HCCL's functions.
#include "cc/softnpu/hccl/testing/calls.h"

#include "cc/softnpu/hccl/hccl_abi.h"

namespace softnpu::hccl {

bool HasReduction(Kind kind) {
  return kind == Kind::kAllReduce || kind == Kind::kReduce || kind == Kind::kReduceScatter ||
         kind == Kind::kReduceScatterV;
}

bool HasRoot(Kind kind) {
  return kind == Kind::kReduce || kind == Kind::kBroadcast || kind == Kind::kScatter;
}

int32_t Ask(const Asked& asked, uint32_t ranks, uint32_t rank, void* send, void* receive,
            void* comm, void* stream) {
  const uint64_t count = asked.count;
  const auto dtype = static_cast<int32_t>(asked.dtype);
  const auto reduction = static_cast<int32_t>(asked.reduction);
  const std::vector<uint64_t> counts(ranks, count);
  const std::vector<uint64_t> matrix(ranks * ranks, count);
  std::vector<uint64_t> places;
  for (uint32_t other = 0; other < ranks; ++other) places.push_back(count * other);
  switch (asked.kind) {
    case Kind::kAllReduce:
      return HcclAllReduce(send, receive, count, dtype, reduction, comm, stream);
    case Kind::kReduce:
      return HcclReduce(send, receive, count, dtype, reduction, asked.root, comm, stream);
    case Kind::kReduceScatter:
      return HcclReduceScatter(send, receive, count, dtype, reduction, comm, stream);
    case Kind::kReduceScatterV:
      return HcclReduceScatterV(send, counts.data(), places.data(), receive, counts[rank], dtype,
                                reduction, comm, stream);
    case Kind::kAllGather:
      return HcclAllGather(send, receive, count, dtype, comm, stream);
    case Kind::kAllGatherV:
      return HcclAllGatherV(send, counts[rank], receive, counts.data(), places.data(), dtype, comm,
                            stream);
    case Kind::kAlltoAll:
      return HcclAlltoAll(send, count, dtype, receive, count, dtype, comm, stream);
    case Kind::kAlltoAllV:
      return HcclAlltoAllV(send, counts.data(), places.data(), dtype, receive, counts.data(),
                           places.data(), dtype, comm, stream);
    case Kind::kAlltoAllVC:
      return HcclAlltoAllVC(send, matrix.data(), dtype, receive, dtype, comm, stream);
    case Kind::kBroadcast:
      return HcclBroadcast(send, count, dtype, asked.root, comm, stream);
    case Kind::kScatter:
      return HcclScatter(send, receive, count, dtype, asked.root, comm, stream);
    case Kind::kBarrier:
    case Kind::kExchange:
      return HcclBarrier(comm, stream);
  }
  return kPara;
}

}  // namespace softnpu::hccl
