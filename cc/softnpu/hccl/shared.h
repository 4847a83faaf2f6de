// cc/softnpu/hccl/shared.h: what the ranks of a communicator share.
//
// Each rank maps the device memory of all ranks, so data goes from one device to another without a
// stop between. What orders the ranks lies in one block of shared memory, Control.
//
// A collective has two steps. A rank writes its call into its seat, raises `posted`, and waits
// until all ranks have; from then on it may read and write the buffers that the calls name. When
// its part is done it raises `done`, and waits until all ranks have; from then on the buffers are
// its own again. A seat's call is written again only after that, so one for each rank is enough.
//
// A message from one rank to another has a mailbox for each pair of ranks. The sender puts down
// where it lies and raises `posted`, the receiver copies and raises `taken`.
//
// Who waits sleeps on `bell`, which everybody rings who has changed something.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "cc/softnpu/hccl/types.h"
#include "cc/softnpu/runtime/internal.h"

namespace softnpu::hccl {

enum class Kind : uint32_t {
  kAllReduce,
  kReduce,
  kReduceScatter,
  kReduceScatterV,
  kAllGather,
  kAllGatherV,
  kAlltoAll,
  kAlltoAllV,
  kAlltoAllVC,
  kBroadcast,
  kScatter,
  kBarrier,
  kExchange,  // of an operator
};

// "HcclAllReduce".
const char* NameOf(Kind kind);

inline constexpr size_t kFormBytes = 128;

// What a rank has called. Counts and places are of elements.
struct Call {
  uint64_t sequence = 0;  // of the communicator's collectives, from 1
  Kind kind = Kind::kBarrier;
  DType dtype = DType::kInt8;
  DType received = DType::kInt8;  // what arrives; `dtype` is what is sent
  Reduction reduction = Reduction::kSum;
  uint32_t root = 0;
  uint64_t count = 0;
  // Offsets in the rank's device memory.
  uint64_t send = 0;
  uint64_t receive = 0;
  // Whether somebody has written all bytes that this rank gives.
  bool written = true;
  uint64_t send_counts[kMaxRanks] = {};
  uint64_t send_places[kMaxRanks] = {};
  uint64_t receive_counts[kMaxRanks] = {};
  uint64_t receive_places[kMaxRanks] = {};
  // Of an exchange: name and form, offsets of windows in the rank's device memory (kNoWindow where
  // there is none), and numbers.
  char name[kFormBytes] = {};
  char form[kFormBytes] = {};
  uint64_t windows[SOFTNPU_MAX_WINDOWS] = {};
  int64_t numbers[SOFTNPU_MAX_NUMBERS] = {};
};

inline constexpr uint64_t kNoWindow = UINT64_MAX;

enum class State : uint32_t { kJoined, kDestroyed, kFailed };

inline constexpr size_t kSentenceBytes = 1024;

struct Seat {
  std::atomic<uint64_t> posted;
  std::atomic<uint64_t> done;
  Call call;
  std::atomic<State> state;
  int32_t result;                 // why it failed: written before `state`
  char sentence[kSentenceBytes];  // the same
};

// Says why a rank cannot go on.
void FailSeat(Seat& seat, Result result, const std::string& sentence);

struct Mailbox {
  std::atomic<uint64_t> posted;
  std::atomic<uint64_t> taken;
  uint64_t place;  // offset in the sender's device memory
  uint64_t count;
  DType dtype;
  bool written;
};

struct Control {
  std::atomic<uint32_t> bell;
  std::atomic<uint32_t> sleepers;
  Seat seats[kMaxRanks];
  Mailbox mail[kMaxRanks][kMaxRanks];  // [from][to]
};

static_assert(std::atomic<uint64_t>::is_always_lock_free);

// Pages of a file that other processes have, too.
class Mapping {
 public:
  // Throws Error kMemory.
  Mapping(int fd, size_t bytes);
  ~Mapping();
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  std::byte* data_;
  size_t bytes_;
};

// The mapping of a file, one for all communicators of this process that have it.
std::shared_ptr<Mapping> Share(int fd, size_t bytes);

}  // namespace softnpu::hccl
