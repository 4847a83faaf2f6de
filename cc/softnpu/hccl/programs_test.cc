// cc/softnpu/hccl/programs_test.cc: random programs of collectives on up to 8 devices of one
// process give what they give one after another.
//
// A program has groups of devices that run at the same time. A rank of a group has an arena of one
// type, part of which may be unwritten. A step's output is the next one's input. In the end, all
// arenas have to be those of a reference that runs the steps in a loop.
//
// PROGRAMS of them (150), of which LARGE (none) have buffers of up to 64 MiB, from SEED (1) on.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "cc/softnpu/hccl/hccl_abi.h"
#include "cc/softnpu/hccl/shared.h"
#include "cc/softnpu/hccl/types.h"
#include "cc/softnpu/runtime/device.h"

namespace softnpu::hccl {
namespace {

using Random = std::mt19937_64;

uint64_t Below(Random& random, uint64_t limit) { return limit == 0 ? 0 : random() % limit; }
template <typename T>
T OneOf(Random& random, const std::vector<T>& of) {
  return of[Below(random, of.size())];
}

int64_t Setting(const char* name, int64_t fallback) {
  return std::getenv(name) == nullptr ? fallback : std::atoll(std::getenv(name));
}

// Arithmetic of 16-bit floating types, to nearest even, with none of the product's conversions.
class ShortFloat {
 public:
  ShortFloat(int exponent_bits, int fraction_bits)
      : fraction_bits_(fraction_bits), bias_((1 << (exponent_bits - 1)) - 1) {
    for (uint32_t bits = 0; bits <= infinity(); ++bits) values_.push_back(Magnitude(bits));
  }
  double Value(uint16_t bits) const {
    const uint32_t rest = bits & 0x7FFFU;
    const double sign = bits >> 15 != 0 ? -1.0 : 1.0;
    using Limits = std::numeric_limits<double>;
    return sign * (rest < infinity()   ? values_[rest]
                   : rest > infinity() ? Limits::quiet_NaN()
                                       : Limits::infinity());
  }
  uint16_t Round(double value) const {
    if (value != value) return 0x7FFF;
    const auto sign = static_cast<uint16_t>(std::signbit(value) ? 0x8000 : 0);
    const double size = std::fabs(value);
    if (size >= values_.back()) return static_cast<uint16_t>(sign | infinity());
    const auto above = std::upper_bound(values_.begin(), values_.end(), size);
    auto bits = static_cast<uint32_t>(above - values_.begin()) - 1;
    const double nearer = (values_[bits + 1] - size) - (size - values_[bits]);
    if (nearer < 0 || (nearer == 0 && bits % 2 != 0)) ++bits;
    return static_cast<uint16_t>(sign | bits);
  }

 private:
  uint32_t infinity() const { return static_cast<uint32_t>(2 * bias_ + 1) << fraction_bits_; }
  // That of infinity is what comes after the largest number.
  double Magnitude(uint32_t bits) const {
    const auto exponent = static_cast<int>(bits >> fraction_bits_);
    const double fraction = bits & ((1U << fraction_bits_) - 1);
    if (exponent == 0) return std::ldexp(fraction, 1 - bias_ - fraction_bits_);
    return std::ldexp(fraction + std::ldexp(1.0, fraction_bits_),
                      exponent - bias_ - fraction_bits_);
  }
  const int fraction_bits_;
  const int bias_;
  std::vector<double> values_;
};

const ShortFloat& Float16() {
  static const ShortFloat out(5, 10);
  return out;
}
const ShortFloat& Bfloat16() {
  static const ShortFloat out(8, 7);
  return out;
}

template <typename T>
T Combine(Reduction reduction, T a, T b) {
  if (reduction == Reduction::kMax || reduction == Reduction::kMin) {
    if (a != a) return a;
    if (b != b) return b;
    return (reduction == Reduction::kMax ? b > a : b < a) ? b : a;
  }
  if constexpr (std::is_integral_v<T>) {
    const auto x = static_cast<uint64_t>(a);
    const auto y = static_cast<uint64_t>(b);
    return static_cast<T>(reduction == Reduction::kSum ? x + y : x * y);
  } else {
    return reduction == Reduction::kSum ? a + b : a * b;
  }
}

template <typename T>
void CombineAt(Reduction reduction, std::byte* a, const std::byte* b) {
  T x, y;
  std::memcpy(&x, a, sizeof(T));
  std::memcpy(&y, b, sizeof(T));
  x = Combine(reduction, x, y);
  std::memcpy(a, &x, sizeof(T));
}

// a = a (reduction) b, for one element.
void Combine(DType dtype, Reduction reduction, std::byte* a, const std::byte* b) {
  const auto shorts = [&](const ShortFloat& format) {
    uint16_t x, y;
    std::memcpy(&x, a, 2);
    std::memcpy(&y, b, 2);
    x = format.Round(Combine(reduction, format.Value(x), format.Value(y)));
    std::memcpy(a, &x, 2);
  };
  switch (dtype) {
    case DType::kInt8:
      return CombineAt<int8_t>(reduction, a, b);
    case DType::kInt16:
      return CombineAt<int16_t>(reduction, a, b);
    case DType::kInt32:
      return CombineAt<int32_t>(reduction, a, b);
    case DType::kInt64:
      return CombineAt<int64_t>(reduction, a, b);
    case DType::kFloat32:
      return CombineAt<float>(reduction, a, b);
    case DType::kFloat16:
      return shorts(Float16());
    case DType::kBfloat16:
      return shorts(Bfloat16());
    default:
      FAIL() << NameOf(dtype);
  }
}

bool IsNan(DType dtype, const std::byte* at) {
  uint16_t bits = 0;
  float single = 0;
  double twice = 0;
  switch (dtype) {
    case DType::kFloat16:
    case DType::kBfloat16:
      std::memcpy(&bits, at, 2);
      return std::isnan((dtype == DType::kFloat16 ? Float16() : Bfloat16()).Value(bits));
    case DType::kFloat32:
      std::memcpy(&single, at, 4);
      return std::isnan(single);
    case DType::kFloat64:
      std::memcpy(&twice, at, 8);
      return std::isnan(twice);
    default:
      return false;
  }
}

// Elements that a rank of a group has, and which of them somebody has written.
struct Arena {
  std::vector<std::byte> bytes;
  std::vector<char> written;
};

constexpr Kind kMessages = static_cast<Kind>(1000);

struct Transfer {
  uint32_t from;
  uint32_t to;
  uint64_t count;
  uint64_t send;  // element of the sender's arena
  uint64_t receive;
};

// Counts and places are of elements. What is for each rank has an entry for each of the group.
struct Step {
  Kind kind = Kind::kBarrier;
  uint64_t count = 0;
  uint32_t root = 0;
  Reduction reduction = Reduction::kSum;
  std::vector<uint64_t> send;
  std::vector<uint64_t> receive;
  std::vector<std::vector<uint64_t>> counts;  // [from][to]; those of an uneven collective in [0]
  std::vector<std::vector<uint64_t>> send_places;
  std::vector<std::vector<uint64_t>> receive_places;
  std::vector<Transfer> messages;
  int way = 0;  // of messages: 0 a batch, 1 a group of calls, 2 HcclSend and HcclRecv
  std::vector<int> stream;
};

// Devices with a communicator, in the order of its ranks; each rank has two streams.
struct Group {
  std::vector<int> devices;
  std::vector<void*> comms;
  std::vector<std::array<void*, 2>> streams;
  uint32_t ranks() const { return static_cast<uint32_t>(devices.size()); }
};

// The steps of one group, and its ranks' memory.
struct Part {
  const Group* group = nullptr;
  DType dtype = DType::kInt8;
  uint64_t half = 0;  // elements of an arena that a step reads, and of those that it writes
  std::vector<Step> steps;
  std::vector<Arena> arenas;  // after all steps, for the reference
  std::vector<std::byte*> memory;
  size_t width() const { return Bytes(dtype); }
};

uint64_t SizeUpTo(Random& random, uint64_t limit) {
  switch (Below(random, 6)) {
    case 0:
      return std::min<uint64_t>(limit, Below(random, 2));
    case 1:
      return limit;
    case 2:
      return Below(random, limit + 1) / 16 * 16;
    default:
      return Below(random, limit + 1);
  }
}

// Places for pieces of these sizes in [0, limit), in any order and with gaps.
std::vector<uint64_t> Scattered(Random& random, const std::vector<uint64_t>& counts,
                                uint64_t limit) {
  uint64_t room = limit - std::accumulate(counts.begin(), counts.end(), uint64_t{0});
  std::vector<size_t> order(counts.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::shuffle(order.begin(), order.end(), random);
  std::vector<uint64_t> places(counts.size());
  uint64_t at = 0;
  for (const size_t i : order) {
    const uint64_t gap = std::min<uint64_t>(room, Below(random, 3));
    room -= gap;
    places[i] = at + gap;
    at += gap + counts[i];
  }
  return places;
}

void DrawMessages(Random& random, const Part& part, Step& step) {
  const uint32_t ranks = part.group->ranks();
  step.way = static_cast<int>(Below(random, 3));
  const uint64_t number = step.way == 2 ? 1 : 1 + Below(random, 2 * ranks);
  std::vector<uint64_t> sent(ranks), received(ranks);
  for (uint64_t i = 0; i < number; ++i) {
    Transfer transfer = {};
    transfer.from = static_cast<uint32_t>(Below(random, ranks));
    transfer.to = static_cast<uint32_t>(Below(random, ranks));
    // A message to oneself needs the other end in the same call.
    if (step.way == 2 && transfer.from == transfer.to) transfer.to = (transfer.from + 1) % ranks;
    const uint64_t room = part.half - std::max(sent[transfer.from], received[transfer.to]);
    transfer.count = SizeUpTo(random, room / 2);
    transfer.send = step.send[transfer.from] + sent[transfer.from];
    transfer.receive = step.receive[transfer.to] + received[transfer.to];
    sent[transfer.from] += transfer.count;
    received[transfer.to] += transfer.count;
    step.messages.push_back(transfer);
  }
}

Step Draw(Random& random, const Part& part) {
  const uint32_t ranks = part.group->ranks();
  std::vector<Kind> kinds = {
      Kind::kAllGather, Kind::kAllGatherV, Kind::kAlltoAll, Kind::kAlltoAllV, Kind::kAlltoAllVC,
      Kind::kBroadcast, Kind::kScatter,    Kind::kBarrier,  kMessages,        kMessages};
  Step step;
  std::vector<Reduction> reductions;
  for (const Reduction one :
       {Reduction::kSum, Reduction::kProd, Reduction::kMax, Reduction::kMin}) {
    try {
      RequireReducible(part.dtype, one, /*to_one=*/false);
      reductions.push_back(one);
    } catch (const Error&) {
    }
  }
  if (!reductions.empty()) {
    step.reduction = OneOf(random, reductions);
    for (const Kind one :
         {Kind::kAllReduce, Kind::kReduce, Kind::kReduceScatter, Kind::kReduceScatterV}) {
      if (one != Kind::kReduce || part.dtype != DType::kInt64) kinds.insert(kinds.end(), 2, one);
    }
  }
  step.kind = OneOf(random, kinds);
  step.root = static_cast<uint32_t>(Below(random, ranks));
  for (uint32_t rank = 0; rank < ranks; ++rank) {
    const uint64_t flip = Below(random, 2) * part.half;
    step.send.push_back(flip);
    step.receive.push_back(part.half - flip);
    step.stream.push_back(static_cast<int>(Below(random, 2)));
  }
  const uint64_t share = part.half / ranks;
  const auto even = [&](uint64_t rank) { return step.count * rank; };
  // Whether a rank works in place: the smaller buffer is a part of the larger one.
  const auto in_place = [&](uint32_t rank, bool send_is_larger, uint64_t at) {
    if (Below(random, 3) != 0) return;
    if (send_is_larger) {
      step.receive[rank] = step.send[rank] + at;
    } else {
      step.send[rank] = step.receive[rank] + at;
    }
  };
  const auto uneven = [&] {
    std::vector<uint64_t> out;
    for (uint32_t rank = 0; rank < ranks; ++rank) out.push_back(SizeUpTo(random, share));
    return out;
  };
  switch (step.kind) {
    case Kind::kAllReduce:
    case Kind::kReduce:
      step.count = SizeUpTo(random, part.half);
      for (uint32_t rank = 0; rank < ranks; ++rank) in_place(rank, true, 0);
      break;
    case Kind::kReduceScatter:
      step.count = SizeUpTo(random, share);
      for (uint32_t rank = 0; rank < ranks; ++rank) in_place(rank, true, even(rank));
      break;
    case Kind::kAllGather:
      step.count = SizeUpTo(random, share);
      for (uint32_t rank = 0; rank < ranks; ++rank) in_place(rank, false, even(rank));
      break;
    case Kind::kReduceScatterV:
      step.counts.push_back(uneven());
      for (uint32_t rank = 0; rank < ranks; ++rank) {
        step.send_places.push_back(Scattered(random, step.counts[0], part.half));
        in_place(rank, true, step.send_places[rank][rank]);
      }
      break;
    case Kind::kAllGatherV:
      step.counts.push_back(uneven());
      for (uint32_t rank = 0; rank < ranks; ++rank) {
        step.receive_places.push_back(Scattered(random, step.counts[0], part.half));
        in_place(rank, false, step.receive_places[rank][rank]);
      }
      break;
    case Kind::kAlltoAll:
      step.count = SizeUpTo(random, share);
      break;
    case Kind::kAlltoAllV:
    case Kind::kAlltoAllVC:
      for (uint32_t rank = 0; rank < ranks; ++rank) step.counts.push_back(uneven());
      for (uint32_t rank = 0; rank < ranks; ++rank) {
        std::vector<uint64_t> received;
        for (const auto& row : step.counts) received.push_back(row[rank]);
        step.send_places.push_back(Scattered(random, step.counts[rank], part.half));
        step.receive_places.push_back(Scattered(random, received, part.half));
        if (step.kind == Kind::kAlltoAllV) continue;
        std::exclusive_scan(step.counts[rank].begin(), step.counts[rank].end(),
                            step.send_places[rank].begin(), uint64_t{0});
        std::exclusive_scan(received.begin(), received.end(), step.receive_places[rank].begin(),
                            uint64_t{0});
      }
      break;
    case Kind::kBroadcast:
      step.count = SizeUpTo(random, part.half);
      step.receive = step.send;
      break;
    case Kind::kScatter:
      step.count = SizeUpTo(random, share);
      in_place(step.root, true, even(step.root));
      break;
    case Kind::kBarrier:
      break;
    default:
      DrawMessages(random, part, step);
      break;
  }
  return step;
}

// The reference: what a step leaves in the arenas.
void Simulate(const Part& part, const Step& step, std::vector<Arena>& arenas) {
  const uint32_t ranks = part.group->ranks();
  const size_t width = part.width();
  const std::vector<Arena> before = arenas;
  const auto copy = [&](uint32_t from, uint64_t source, uint32_t to, uint64_t target,
                        uint64_t count) {
    if (count == 0) return;
    std::memcpy(&arenas[to].bytes[target * width], &before[from].bytes[source * width],
                count * width);
    std::copy_n(&before[from].written[source], count, &arenas[to].written[target]);
  };
  // Elements [place(r), place(r) + count) of each rank r, reduced in the order of the ranks.
  const auto reduce = [&](auto&& place, uint64_t count, uint32_t to, uint64_t target) {
    copy(0, place(0), to, target, count);
    for (uint32_t rank = 1; rank < ranks; ++rank) {
      for (uint64_t i = 0; i < count; ++i) {
        Combine(part.dtype, step.reduction, &arenas[to].bytes[(target + i) * width],
                &before[rank].bytes[(place(rank) + i) * width]);
        arenas[to].written[target + i] &= before[rank].written[place(rank) + i];
      }
    }
  };
  for (uint32_t rank = 0; rank < ranks; ++rank) {
    switch (step.kind) {
      case Kind::kAllReduce:
      case Kind::kReduce:
        if (step.kind == Kind::kAllReduce || rank == step.root) {
          reduce([&](uint32_t r) { return step.send[r]; }, step.count, rank, step.receive[rank]);
        }
        break;
      case Kind::kReduceScatter:
        reduce([&](uint32_t r) { return step.send[r] + step.count * rank; }, step.count, rank,
               step.receive[rank]);
        break;
      case Kind::kReduceScatterV:
        reduce([&](uint32_t r) { return step.send[r] + step.send_places[r][rank]; },
               step.counts[0][rank], rank, step.receive[rank]);
        break;
      case Kind::kBroadcast:
        copy(step.root, step.send[step.root], rank, step.receive[rank], step.count);
        break;
      case Kind::kScatter:
        copy(step.root, step.send[step.root] + step.count * rank, rank, step.receive[rank],
             step.count);
        break;
      default:
        break;
    }
    for (uint32_t from = 0; from < ranks; ++from) {
      switch (step.kind) {
        case Kind::kAllGather:
          copy(from, step.send[from], rank, step.receive[rank] + step.count * from, step.count);
          break;
        case Kind::kAllGatherV:
          copy(from, step.send[from], rank, step.receive[rank] + step.receive_places[rank][from],
               step.counts[0][from]);
          break;
        case Kind::kAlltoAll:
          copy(from, step.send[from] + step.count * rank, rank,
               step.receive[rank] + step.count * from, step.count);
          break;
        case Kind::kAlltoAllV:
        case Kind::kAlltoAllVC:
          copy(from, step.send[from] + step.send_places[from][rank], rank,
               step.receive[rank] + step.receive_places[rank][from], step.counts[from][rank]);
          break;
        default:
          break;
      }
    }
  }
  for (const Transfer& one : step.messages) {
    copy(one.from, one.send, one.to, one.receive, one.count);
  }
}

// A rank's side of messages.
int32_t Pass(const Part& part, const Step& step, uint32_t rank, void* comm, void* stream) {
  const size_t width = part.width();
  const auto dtype = static_cast<int32_t>(part.dtype);
  std::byte* const memory = part.memory[rank];
  std::vector<SendRecvItem> items;
  for (const Transfer& one : step.messages) {
    if (one.from == rank) {
      items.push_back({0, memory + one.send * width, one.count, dtype, one.to});
    }
    if (one.to == rank) {
      items.push_back({1, memory + one.receive * width, one.count, dtype, one.from});
    }
  }
  if (items.empty()) return 0;
  if (step.way == 0) {
    return HcclBatchSendRecv(items.data(), static_cast<uint32_t>(items.size()), comm, stream);
  }
  int32_t code = step.way == 1 ? HcclGroupStart() : 0;
  for (const SendRecvItem& item : items) {
    if (code != 0) return code;
    code = item.kind == 0 ? HcclSend(item.buffer, item.count, dtype, item.rank, comm, stream)
                          : HcclRecv(item.buffer, item.count, dtype, item.rank, comm, stream);
  }
  return code == 0 && step.way == 1 ? HcclGroupEnd() : code;
}

// A rank's call.
int32_t Perform(const Part& part, const Step& step, uint32_t rank, void* stream) {
  const size_t width = part.width();
  const auto dtype = static_cast<int32_t>(part.dtype);
  const auto reduction = static_cast<int32_t>(step.reduction);
  void* const comm = part.group->comms[rank];
  std::byte* const send = part.memory[rank] + step.send[rank] * width;
  std::byte* const receive = part.memory[rank] + step.receive[rank] * width;
  const uint64_t count = step.count;
  const auto numbers = [rank](const std::vector<std::vector<uint64_t>>& of) {
    return of[rank].data();
  };
  switch (step.kind) {
    case Kind::kAllReduce:
      return HcclAllReduce(send, receive, count, dtype, reduction, comm, stream);
    case Kind::kReduce:
      return HcclReduce(send, rank == step.root ? receive : nullptr, count, dtype, reduction,
                        step.root, comm, stream);
    case Kind::kReduceScatter:
      return HcclReduceScatter(send, receive, count, dtype, reduction, comm, stream);
    case Kind::kReduceScatterV:
      return HcclReduceScatterV(send, step.counts[0].data(), numbers(step.send_places), receive,
                                step.counts[0][rank], dtype, reduction, comm, stream);
    case Kind::kAllGather:
      return HcclAllGather(send, receive, count, dtype, comm, stream);
    case Kind::kAllGatherV:
      return HcclAllGatherV(send, step.counts[0][rank], receive, step.counts[0].data(),
                            numbers(step.receive_places), dtype, comm, stream);
    case Kind::kAlltoAll:
      return HcclAlltoAll(send, count, dtype, receive, count, dtype, comm, stream);
    case Kind::kAlltoAllV: {
      std::vector<uint64_t> received;
      for (const auto& row : step.counts) received.push_back(row[rank]);
      return HcclAlltoAllV(send, numbers(step.counts), numbers(step.send_places), dtype, receive,
                           received.data(), numbers(step.receive_places), dtype, comm, stream);
    }
    case Kind::kAlltoAllVC: {
      std::vector<uint64_t> matrix;
      for (const auto& row : step.counts) matrix.insert(matrix.end(), row.begin(), row.end());
      return HcclAlltoAllVC(send, matrix.data(), dtype, receive, dtype, comm, stream);
    }
    case Kind::kBroadcast:
      return HcclBroadcast(send, count, dtype, step.root, comm, stream);
    case Kind::kScatter:
      return HcclScatter(rank == step.root ? send : nullptr, receive, count, dtype, step.root, comm,
                         stream);
    case Kind::kBarrier:
      return HcclBarrier(comm, stream);
    default:
      return Pass(part, step, rank, comm, stream);
  }
}

class Programs : public ::testing::Test {
 protected:
  static constexpr uint32_t kDevices = 8;

  void TearDown() override { Leave(); }

  static DeviceMemory& MemoryOf(int device) { return GetDevice(device).memory(); }

  // Communicators of 4 and of 8 devices, parts of them, and parts of a part.
  void Join(Random& random) {
    for (const uint32_t ranks : {4U, 8U}) {
      Group group;
      group.devices.resize(ranks);
      std::iota(group.devices.begin(), group.devices.end(), 0);
      std::shuffle(group.devices.begin(), group.devices.end(), random);
      group.comms.resize(ranks);
      ASSERT_EQ(HcclCommInitAll(ranks, group.devices.data(), group.comms.data()), 0)
          << softnpu_message();
      groups_.push_back(std::move(group));
    }
    for (const auto& [parent, ranks] :
         std::vector<std::pair<size_t, uint32_t>>{{0, 2}, {0, 3}, {0, 4}, {1, 4}, {4, 2}, {5, 3}}) {
      Split(random, parent, ranks);
      if (HasFatalFailure()) return;
    }
    for (Group& group : groups_) {
      for (const int device : group.devices) {
        group.streams.push_back(
            {GetDevice(device).CreateStream(), GetDevice(device).CreateStream()});
      }
    }
  }

  void Split(Random& random, size_t of, uint32_t ranks) {
    const Group& parent = groups_[of];
    std::vector<uint32_t> ids(parent.ranks());
    std::iota(ids.begin(), ids.end(), 0U);
    std::shuffle(ids.begin(), ids.end(), random);
    ids.resize(ranks);
    Group group;
    group.comms.resize(ranks);
    std::vector<std::thread> threads;
    std::atomic<int> failed{0};
    const uint64_t id = groups_.size();
    for (uint32_t rank = 0; rank < ranks; ++rank) {
      group.devices.push_back(parent.devices[ids[rank]]);
      threads.emplace_back([&, rank, device = group.devices.back()] {
        SetCurrentDevice(device);
        void* comm = parent.comms[ids[rank]];
        failed += HcclCreateSubCommConfig(&comm, ranks, ids.data(), id, rank, nullptr,
                                          &group.comms[rank]);
      });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(failed, 0) << softnpu_message();
    groups_.push_back(std::move(group));
  }

  void Leave() {
    for (const Group& group : groups_) {
      for (void* const comm : group.comms) HcclCommDestroy(comm);
      for (const auto& streams : group.streams) {
        for (void* const stream : streams) softnpu::Streams().Remove(stream)->Close(false);
      }
    }
    groups_.clear();
  }

  Part Begin(Random& random, const Group& group, uint64_t bytes) {
    static const std::vector<DType> kTypes = {DType::kInt8,    DType::kInt16,   DType::kInt32,
                                              DType::kInt64,   DType::kUint8,   DType::kUint16,
                                              DType::kUint32,  DType::kUint64,  DType::kFloat16,
                                              DType::kFloat32, DType::kFloat64, DType::kBfloat16};
    Part part;
    part.group = &group;
    part.dtype = OneOf(random, kTypes);
    part.half = bytes / part.width();
    const bool all_written = Below(random, 2) == 0;
    for (const int device : group.devices) {
      Arena arena = {std::vector<std::byte>(2 * part.half * part.width()),
                     std::vector<char>(2 * part.half, 1)};
      Fill(random, part.dtype, arena.bytes);
      for (int run = 0; !all_written && run < 4; ++run) {
        const uint64_t begin = Below(random, arena.written.size());
        const uint64_t end = std::min<uint64_t>(arena.written.size(), begin + Below(random, 40));
        std::fill(arena.written.begin() + static_cast<ptrdiff_t>(begin),
                  arena.written.begin() + static_cast<ptrdiff_t>(end), 0);
      }
      DeviceMemory& memory = MemoryOf(device);
      auto* const address = static_cast<std::byte*>(memory.Allocate(arena.bytes.size()));
      std::memcpy(memory.Alias(address), arena.bytes.data(), arena.bytes.size());
      memory.NoteWritten(softnpu::Bytes("arena", address, arena.bytes.size(), SOFTNPU_WRITES));
      for (size_t i = 0; i < arena.written.size(); ++i) {
        if (arena.written[i] == 0) {
          memory.NoteWritten(
              softnpu::Bytes("arena", address + i * part.width(), part.width(), SOFTNPU_WRITES),
              false);
        }
      }
      part.memory.push_back(address);
      part.arenas.push_back(std::move(arena));
    }
    return part;
  }

  // Floating values are of about one, so that sums and products stay finite for some steps.
  static void Fill(Random& random, DType dtype, std::vector<std::byte>& bytes) {
    const size_t width = Bytes(dtype);
    for (size_t at = 0; at < bytes.size(); at += width) {
      const uint64_t bits = random();
      const double value =
          (static_cast<double>(bits >> 12) * 0x1p-52 * 1.5 + 0.5) * (bits % 2 != 0 ? -1 : 1);
      const auto put = [&](const auto& element) { std::memcpy(&bytes[at], &element, width); };
      switch (dtype) {
        case DType::kFloat64:
          put(value);
          break;
        case DType::kFloat32:
          put(static_cast<float>(value));
          break;
        case DType::kFloat16:
          put(Float16().Round(value));
          break;
        case DType::kBfloat16:
          put(Bfloat16().Round(value));
          break;
        default:
          put(bits);
          break;
      }
    }
  }

  // A rank's steps of one part, or of all in their order where `parts` share a stream.
  std::string RunRank(const Part& part, uint32_t rank) {
    const int device = part.group->devices[rank];
    SetCurrentDevice(device);
    Event event(0);
    int last = 0;
    for (const Step& step : part.steps) {
      const int stream = step.stream[rank];
      void* const handle = part.group->streams[rank][static_cast<size_t>(stream)];
      if (stream != last) {
        event.Record(*ResolveStream(part.group->streams[rank][static_cast<size_t>(last)]));
        event.WaitOn(*ResolveStream(handle));
        last = stream;
      }
      if (Perform(part, step, rank, handle) != 0) return OwnMessage();
    }
    return "";
  }
  // The ranks of a device in all parts, one after another on its default stream.
  static std::string RunShared(const std::vector<Part>& parts, int device) {
    SetCurrentDevice(device);
    size_t longest = 0;
    for (const Part& part : parts) longest = std::max(longest, part.steps.size());
    for (size_t at = 0; at < longest; ++at) {
      for (const Part& part : parts) {
        const auto& devices = part.group->devices;
        const auto found = std::find(devices.begin(), devices.end(), device);
        if (at >= part.steps.size() || found == devices.end()) continue;
        const auto rank = static_cast<uint32_t>(found - devices.begin());
        if (Perform(part, part.steps[at], rank, nullptr) != 0) return OwnMessage();
      }
    }
    return "";
  }

  void Run(std::vector<Part>& parts, bool shared) {
    std::vector<std::string> ends(parts.size() * kDevices + kDevices);
    std::vector<std::thread> threads;
    for (size_t p = 0; !shared && p < parts.size(); ++p) {
      for (uint32_t rank = 0; rank < parts[p].group->ranks(); ++rank) {
        threads.emplace_back([&, p, rank] { ends[p * kDevices + rank] = RunRank(parts[p], rank); });
      }
    }
    for (uint32_t device = 0; shared && device < kDevices; ++device) {
      threads.emplace_back(
          [&, device] { ends[device] = RunShared(parts, static_cast<int>(device)); });
    }
    for (std::thread& thread : threads) thread.join();
    for (uint32_t device = 0; device < kDevices; ++device) {
      try {
        GetDevice(static_cast<int>(device)).Synchronize(-1);
      } catch (const Error& error) {
        ends.push_back(error.what());
      }
    }
    for (const std::string& end : ends) ASSERT_EQ(end, "");
  }

  static void Compare(const Part& part) {
    const size_t width = part.width();
    for (uint32_t rank = 0; rank < part.group->ranks(); ++rank) {
      DeviceMemory& memory = MemoryOf(part.group->devices[rank]);
      const std::byte* const got = memory.Alias(part.memory[rank]);
      const uint8_t* const marks = memory.written()->bytes() + memory.Offset(part.memory[rank]);
      const Arena& arena = part.arenas[rank];
      for (size_t i = 0; i < arena.written.size(); ++i) {
        const auto all = static_cast<size_t>(
            std::count(marks + i * width, marks + (i + 1) * width, arena.written[i]));
        if (all != width) {
          FAIL() << "marks of rank " << rank << ", element " << i << " of " << NameOf(part.dtype);
        }
        if (arena.written[i] == 0) continue;
        const std::byte* const wanted = &arena.bytes[i * width];
        if (std::memcmp(got + i * width, wanted, width) == 0) continue;
        ASSERT_TRUE(IsNan(part.dtype, got + i * width) && IsNan(part.dtype, wanted))
            << "rank " << rank << ", element " << i << " of " << NameOf(part.dtype);
      }
    }
  }

  void RunProgram(uint64_t seed, bool large) {
    Random random(seed);
    const bool shared = Below(random, 3) == 0;
    std::vector<size_t> chosen(groups_.size());
    std::iota(chosen.begin(), chosen.end(), size_t{0});
    std::shuffle(chosen.begin(), chosen.end(), random);
    chosen.resize(large ? 1 : 1 + Below(random, 4));
    if (large) chosen = {OneOf<size_t>(random, {0, 2, 3})};
    std::vector<Part> parts;
    for (const size_t group : chosen) {
      const uint64_t bytes = large ? uint64_t{64} << 20 : OneOf<uint64_t>(random, {256, 8192});
      parts.push_back(Begin(random, groups_[group], bytes));
      const uint64_t steps = large ? 2 : 1 + Below(random, 12);
      for (uint64_t i = 0; i < steps; ++i) {
        parts.back().steps.push_back(Draw(random, parts.back()));
        Simulate(parts.back(), parts.back().steps.back(), parts.back().arenas);
      }
    }
    Run(parts, shared);
    for (const Part& part : parts) {
      if (!HasFatalFailure()) Compare(part);
      for (uint32_t rank = 0; rank < part.group->ranks(); ++rank) {
        MemoryOf(part.group->devices[rank]).Free(part.memory[rank]);
      }
    }
  }

  std::vector<Group> groups_;
};

TEST_F(Programs, GiveWhatTheyGiveOneAfterAnother) {
  const int64_t programs = Setting("PROGRAMS", 150);
  const int64_t large = Setting("LARGE", 0);
  const int64_t seed = Setting("SEED", 1);
  for (int64_t i = 0; i < programs; ++i) {
    Random random(static_cast<uint64_t>(seed + i) * 1000003);
    if (i % 50 == 0) {
      Leave();
      Join(random);
      if (HasFatalFailure()) return;
    }
    RunProgram(static_cast<uint64_t>(seed + i), i < large);
    ASSERT_FALSE(HasFailure()) << "SEED=" << seed + i << " (communicators of SEED=" << seed
                               << ", program " << i << ")";
  }
}

}  // namespace
}  // namespace softnpu::hccl
