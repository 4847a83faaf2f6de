// cc/softnpu/runtime/stream_order.cc: clocks of streams, and the comparison of accesses.
#include "cc/softnpu/runtime/stream_order.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <utility>

#include "cc/softnpu/base/error.h"
#include "cc/softnpu/runtime/options.h"
#include "cc/softnpu/runtime/stream.h"

namespace softnpu {
namespace {

// Tasks of a stream that are kept, the latest ones: more than a program queues before its host
// waits for one of them.
constexpr size_t kMostKept = 4096;
// Pieces of a strided access that are looked at.
constexpr size_t kMostPieces = 1 << 16;

std::atomic<bool> g_active{false};

void Join(OrderClock& clock, const OrderClock& other) {
  for (const auto& [stream, count] : other) {
    uint64_t& here = clock[stream];
    here = std::max(here, count);
  }
}

uint64_t At(const OrderClock& clock, uint32_t stream) {
  const auto found = clock.find(stream);
  return found == clock.end() ? 0 : found->second;
}

struct Piece {
  uintptr_t begin;
  uintptr_t end;
};

// The bytes from the first to behind the last one; none when begin is end.
Piece Bounds(const softnpu_access& access) {
  const auto first = reinterpret_cast<uintptr_t>(access.address);
  int64_t low = 0;
  int64_t high = 0;
  for (uint32_t i = 0; i < access.rank; ++i) {
    if (access.dims[i] == 0) return {first, first};
    const int64_t far = (access.dims[i] - 1) * access.strides[i];
    (far < 0 ? low : high) += far;
  }
  return {first + static_cast<uintptr_t>(low * access.element_bytes),
          first + static_cast<uintptr_t>((high + 1) * access.element_bytes)};
}

bool Overlap(const Piece& a, const Piece& b) {
  return std::max(a.begin, b.begin) < std::min(a.end, b.end);
}

// Contiguous pieces, in rising order. Empty for more than kMostPieces.
std::vector<Piece> PiecesOf(const softnpu_access& access) {
  // The innermost dimensions that lie one after another are one piece.
  uint32_t outer = access.rank;
  int64_t run = 1;
  while (outer > 0 && (access.strides[outer - 1] == run || access.dims[outer - 1] == 1)) {
    run *= access.dims[--outer];
  }
  size_t count = 1;
  for (uint32_t i = 0; i < outer; ++i) {
    count *= static_cast<size_t>(access.dims[i]);
    if (count > kMostPieces) return {};
  }
  std::vector<Piece> out;
  out.reserve(count);
  int64_t index[8] = {};
  const auto first = reinterpret_cast<uintptr_t>(access.address);
  for (size_t i = 0; i < count; ++i) {
    int64_t at = 0;
    for (uint32_t d = 0; d < outer; ++d) at += index[d] * access.strides[d];
    const uintptr_t begin = first + static_cast<uintptr_t>(at * access.element_bytes);
    out.push_back({begin, begin + static_cast<uintptr_t>(run * access.element_bytes)});
    for (uint32_t d = outer; d-- > 0;) {
      if (++index[d] < access.dims[d]) break;
      index[d] = 0;
    }
  }
  std::sort(out.begin(), out.end(),
            [](const Piece& a, const Piece& b) { return a.begin < b.begin; });
  return out;
}

// "writes 'recvBuf' (256 bytes at 0x..)".
std::string Describe(const softnpu_access& access) {
  const Piece bounds = Bounds(access);
  const char* const verb = (access.mode & SOFTNPU_WRITES) == 0  ? "reads"
                           : (access.mode & SOFTNPU_READS) != 0 ? "reads and writes"
                                                                : "writes";
  return Format("%s '%s' (%llu bytes from 0x%llx on)", verb, access.name,
                static_cast<unsigned long long>(bounds.end - bounds.begin),
                static_cast<unsigned long long>(bounds.begin));
}

std::string Place(const std::string& name, uint64_t number, uint32_t stream, int device) {
  return Format("%s (task %llu of stream %u of device %d)", name.c_str(),
                static_cast<unsigned long long>(number), stream, device);
}

}  // namespace

bool Conflicts(const softnpu_access& a, const softnpu_access& b) {
  if (((a.mode | b.mode) & SOFTNPU_WRITES) == 0 || !Overlap(Bounds(a), Bounds(b))) return false;
  const std::vector<Piece> ours = PiecesOf(a);
  const std::vector<Piece> theirs = PiecesOf(b);
  auto other = theirs.begin();
  for (const Piece& piece : ours) {
    while (other != theirs.end() && other->end <= piece.begin) ++other;
    if (other == theirs.end()) return false;
    if (Overlap(piece, *other)) return true;
  }
  return false;
}

StreamOrder& StreamOrder::Get() {
  static auto* const order = new StreamOrder;
  return *order;
}

bool StreamOrder::Active() { return g_active.load(std::memory_order_acquire); }

void StreamOrder::Activate() {
  const Options& options = GetOptions();
  if (options.strict && options.async && options.stream_races) {
    g_active.store(true, std::memory_order_release);
  }
}

void StreamOrder::Enter(int device, uint32_t stream, Task& task) {
  std::vector<softnpu_access> accesses;
  bool collective = false;
  if (const auto* const op = std::get_if<OperatorTask>(&task)) {
    collective = op->kind == EventKind::kCollective;
    for (const softnpu_access& access : op->accesses) {
      if (collective || (access.mode & SOFTNPU_SOME) == 0) accesses.push_back(access);
    }
  } else if (!std::holds_alternative<KernelTask>(task)) {
    accesses = AccessesOf(task);
  }
  std::lock_guard<std::mutex> lock(mutex_);
  Line& line = lines_[stream];
  line.device = device;
  Join(line.clock, host_);
  const uint64_t number = line.count + 1;
  if (!accesses.empty()) {
    std::string name(NameOf(task));
    Compare({Place(name, number, stream, device), line.clock, accesses, collective}, stream);
    Prune(stream, line);
    std::deque<Entry>& kept = collective ? line.collectives : line.tasks;
    if (kept.size() == kMostKept) kept.pop_front();
    kept.push_back({number, std::move(name), std::move(accesses)});
  }
  line.count = number;
  line.clock[stream] = number;
  if (auto* const record = std::get_if<RecordTask>(&task)) {
    record->recording->SetReached(line.clock);
  } else if (auto* const wait = std::get_if<WaitTask>(&task)) {
    Join(line.clock, wait->recording->reached());
  } else if (auto* const host = std::get_if<HostTask>(&task)) {
    host->reached = line.clock;
  }
}

void StreamOrder::Compare(const Toucher& toucher, uint32_t own_stream) const {
  const auto compare = [&](uint32_t stream, const Line& line, const std::deque<Entry>& entries) {
    const uint64_t ended = At(toucher.clock, stream);
    for (auto entry = entries.rbegin(); entry != entries.rend() && entry->number > ended; ++entry) {
      for (const softnpu_access& mine : toucher.accesses) {
        for (const softnpu_access& theirs : entry->accesses) {
          if (!Conflicts(mine, theirs)) continue;
          throw Error(
              kAicoreException,
              Format("%s %s, while %s %s: nothing orders the two. Let one wait for an event behind "
                     "the other, or keep the memory until then",
                     toucher.who.c_str(), Describe(mine).c_str(),
                     Place(entry->name, entry->number, stream, line.device).c_str(),
                     Describe(theirs).c_str()));
        }
      }
    }
  };
  for (const auto& [stream, line] : lines_) {
    if (stream == own_stream) continue;
    compare(stream, line, line.collectives);
    if (toucher.collective) compare(stream, line, line.tasks);
  }
}

void StreamOrder::Prune(uint32_t stream, Line& line) const {
  // All that is queued from now on knows what the host knows.
  const uint64_t ended = At(host_, stream);
  for (std::deque<Entry>* const entries : {&line.tasks, &line.collectives}) {
    while (!entries->empty() && entries->front().number <= ended) entries->pop_front();
  }
}

OrderClock StreamOrder::Reached(uint32_t stream) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = lines_.find(stream);
  return found == lines_.end() ? OrderClock{} : found->second.clock;
}

void StreamOrder::HostSaw(const OrderClock& reached) {
  std::lock_guard<std::mutex> lock(mutex_);
  Join(host_, reached);
}

void StreamOrder::HostTouches(const char* name, const std::vector<softnpu_access>& accesses) {
  constexpr uint32_t kNone = UINT32_MAX;
  std::lock_guard<std::mutex> lock(mutex_);
  Compare({std::string(name) + " of the host", host_, accesses, false}, kNone);
}

void StreamOrder::Forget(uint32_t stream) {
  std::lock_guard<std::mutex> lock(mutex_);
  lines_.erase(stream);
  host_.erase(stream);
}

}  // namespace softnpu
