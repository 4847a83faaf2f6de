// cc/softnpu/hccl/collectives.h: what HCCL's functions check, and what they put on a stream.
//
// Arguments that cannot be right are refused when the function is called: Error with HCCL's code.
// What other ranks have called is known when the task runs: then the device is in error.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "cc/softnpu/hccl/communicator.h"

namespace softnpu::hccl {

// What a function of HCCL was given. Counts are elements; what a collective does not have is 0.
struct Arguments {
  const void* send = nullptr;
  void* receive = nullptr;
  uint64_t count = 0;
  DType dtype = DType::kInt8;
  DType received = DType::kInt8;
  Reduction reduction = Reduction::kSum;
  uint32_t root = 0;
  // For each rank, or empty.
  std::vector<uint64_t> send_counts;
  std::vector<uint64_t> send_places;
  std::vector<uint64_t> receive_counts;
  std::vector<uint64_t> receive_places;
};

void Enqueue(const std::shared_ptr<Communicator>& communicator, Kind kind,
             const Arguments& arguments, void* stream);

// A message to another rank, or from one.
struct Message {
  bool sends = false;
  void* buffer = nullptr;
  uint64_t count = 0;
  DType dtype = DType::kInt8;
  uint32_t rank = 0;
};

// Messages that go at the same time; those to one rank, and those from one, in their order.
// `name` is that of the function.
void EnqueueMessages(const std::shared_ptr<Communicator>& communicator, const char* name,
                     const std::vector<Message>& messages, void* stream);

}  // namespace softnpu::hccl
