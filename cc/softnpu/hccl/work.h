// cc/softnpu/hccl/work.h: a task of a communicator on a stream.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cc/softnpu/hccl/communicator.h"

namespace softnpu::hccl {

// Bytes of this rank's device memory that a task reads or writes.
struct Range {
  const char* name;  // of the argument
  const void* address;
  uint64_t bytes;
  uint32_t mode;  // SOFTNPU_READS, SOFTNPU_WRITES or both
};

// Throws Error unless the range lies in one allocation of the communicator's device. A range
// without bytes is right anywhere.
void RequireRange(const Communicator& communicator, const Range& range);

// Throws Error kPara when the two share bytes.
void RequireApart(const Range& a, const Range& b);

// Whether somebody has written all bytes of a range of this rank.
bool IsWritten(const Range& range);
void NoteWritten(const Range& range);

// Runs `body` on the stream, which throws Error of the chip's codes. When it is never run, all
// ranks are told. `said` names the call in sentences; `link_bytes` are those of its busiest link.
// Throws Error with HCCL's code when the stream does not take it.
void EnqueueWork(const std::shared_ptr<Communicator>& communicator, const char* name,
                 const std::string& said, const std::vector<Range>& ranges, uint64_t link_bytes,
                 std::function<void()> body, void* stream);

}  // namespace softnpu::hccl
