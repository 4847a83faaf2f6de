// cc/softnpu/ascendc/race.cc: clocks of pipes and cores, and the search for unordered accesses.
#include "cc/softnpu/ascendc/race.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

namespace softnpu::ascendc {
namespace {

constexpr uint64_t kCacheLine = 64;
constexpr size_t kHotRecords = 128;

bool SamePlace(const Place& a, const Place& b) {
  return a.line == b.line && a.opcode == b.opcode && a.file == b.file;
}

// Every byte of `inner` is one of `outer`; may say no where the rows of both are out of step.
bool Covers(const Pattern& outer, const Pattern& inner) {
  if (outer.rows == 1) return outer.base <= inner.base && inner.end() <= outer.end();
  return outer.base == inner.base && outer.bytes >= inner.bytes && outer.rows >= inner.rows &&
         (outer.stride == inner.stride || inner.rows == 1);
}

// The unit of a scalar write is the cache line: two cores that write one lose bytes.
uint64_t Low(const SharedRecord& r) {
  return r.scalar && r.write ? r.begin / kCacheLine * kCacheLine : r.begin;
}
uint64_t High(const SharedRecord& r) {
  return r.scalar && r.write ? (r.end + kCacheLine - 1) / kCacheLine * kCacheLine : r.end;
}

}  // namespace

void Knowledge::Join(const Knowledge& other) {
  for (size_t i = 0; i < own.size(); ++i) own[i] = std::max(own[i], other.own[i]);
  tokens.insert(tokens.end(), other.tokens.begin(), other.tokens.end());
  if (other.others == nullptr || other.others == others) return;
  if (others == nullptr) {
    others = other.others;
    return;
  }
  auto joined = std::make_shared<CrossClock>(*others);
  for (size_t c = 0; c < joined->size(); ++c) {
    for (size_t i = 0; i < kPipes; ++i) {
      (*joined)[c][i] = std::max((*joined)[c][i], (*other.others)[c][i]);
    }
  }
  others = std::move(joined);
}

bool Overlap(const Pattern& a, const Pattern& b, uint64_t* begin, uint64_t* end) {
  if (a.base >= b.end() || b.base >= a.end()) return false;
  if (a.rows > b.rows) return Overlap(b, a, begin, end);
  for (uint64_t row = 0; row < a.rows; ++row) {
    const uint64_t low = a.base + row * a.stride;
    const uint64_t high = low + a.bytes;
    // The first row of b that ends behind `low`.
    uint64_t i = 0;
    if (b.rows > 1 && b.stride != 0 && low >= b.base + b.bytes) {
      i = (low - b.base - b.bytes) / b.stride + 1;
    }
    if (i >= b.rows) continue;
    const uint64_t other = b.base + i * b.stride;
    if (other >= high || other + b.bytes <= low) continue;
    *begin = std::max(low, other);
    *end = std::min(high, other + b.bytes);
    return true;
  }
  return false;
}

void CoreClocks::Reset(bool on) {
  on_ = on;
  for (Knowledge& known : known_) known = Knowledge{};
  epoch_.fill(1);
}

void CoreClocks::Barrier(int pipe) {
  if (!on_) return;
  if (pipe != SOFTNPU_PIPE_ALL) {
    const auto p = static_cast<size_t>(pipe);
    known_[p].own[p] = epoch_[p]++;
    return;
  }
  Knowledge all;
  for (size_t p = 0; p < kPipes; ++p) {
    all.Join(known_[p]);
    all.own[p] = std::max(all.own[p], epoch_[p]);
  }
  for (size_t p = 0; p < kPipes; ++p) {
    ++epoch_[p];
    known_[p] = all;
  }
}

Knowledge CoreClocks::Release(int pipe) {
  if (!on_) return {};
  const auto p = static_cast<size_t>(pipe);
  Knowledge out = known_[p];
  out.own[p] = epoch_[p]++;
  return out;
}

void CoreClocks::Acquire(int pipe, const Knowledge& knowledge) {
  if (on_) known_[static_cast<size_t>(pipe)].Join(knowledge);
}

void CoreClocks::Issue(int pipe) {
  if (!on_ || pipe == SOFTNPU_PIPE_S) return;
  known_[static_cast<size_t>(pipe)].Join(known_[SOFTNPU_PIPE_S]);
}

void CoreClocks::EndEpoch(int pipe) {
  if (on_) ++epoch_[static_cast<size_t>(pipe)];
}

void CoreAccesses::Reset() {
  chip_.clear();
  global_.clear();
  cold_.clear();
  global_pipes_ = 0;
  cold_known_ = ~0u;
}

bool AutoSyncOrders(int first, int second) {
  if (first == second) return first == SOFTNPU_PIPE_V;
  if (second == SOFTNPU_PIPE_S) std::swap(first, second);
  return first == SOFTNPU_PIPE_S &&
         (second == SOFTNPU_PIPE_V || second == SOFTNPU_PIPE_MTE2 || second == SOFTNPU_PIPE_MTE3);
}

template <typename Body>
void CoreAccesses::ForConflicts(const RaceRecord& access, const Knowledge& known,
                                Body&& body) const {
  const uint64_t begin = access.pattern.base;
  const uint64_t end = access.pattern.end();
  const auto search = [&](const std::vector<RaceRecord>& records) {
    for (const RaceRecord& other : records) {
      if (other.pattern.base >= end || begin >= other.pattern.end()) continue;
      if (!(access.write || other.write) || other.space != access.space) continue;
      if (known.own[other.pipe] >= other.epoch) continue;
      if (other.pipe == access.pipe && access.pipe == SOFTNPU_PIPE_S) continue;
      if (access.atomic && other.atomic) continue;
      uint64_t from = 0;
      uint64_t to = 0;
      if (Overlap(access.pattern, other.pattern, &from, &to)) body(other, from, to);
    }
  };
  if (access.space != SOFTNPU_SPACE_GM) return search(chip_);
  search(global_);
  if ((cold_known_ >> access.pipe & 1) == 0) search(cold_);
}

bool CoreAccesses::FindRace(const RaceRecord& access, const Knowledge& known, bool after_loads,
                            Race* race) const {
  bool found = false;
  ForConflicts(access, known, [&](const RaceRecord& other, uint64_t begin, uint64_t end) {
    if (after_loads && other.pipe == SOFTNPU_PIPE_S && !other.write) return;
    if (found && other.number < race->first.number) return;
    *race = {other, begin, end};
    found = true;
  });
  return found;
}

Clock CoreAccesses::AutoSynced(const RaceRecord& access, const Knowledge& known) const {
  Clock out{};
  ForConflicts(access, known, [&](const RaceRecord& other, uint64_t, uint64_t) {
    if (AutoSyncOrders(other.pipe, access.pipe)) {
      out[other.pipe] = std::max(out[other.pipe], other.epoch);
    }
  });
  return out;
}

// An earlier record r is not needed any more when whatever races with r races with `access`, too:
// access covers r, and r comes before it. Then what is unordered with r is unordered with access.
void CoreAccesses::Add(const RaceRecord& access, const CoreClocks& clocks) {
  const bool global = access.space == SOFTNPU_SPACE_GM;
  std::vector<RaceRecord>& records = global ? global_ : chip_;
  const Knowledge& known = clocks.of(access.pipe);
  RaceRecord added = access;
  if (!records.empty()) {
    // A loop of neighbouring accesses is one record. Who knows of its epoch knows of all that the
    // pipe knew then, so it stands for what any of its parts does.
    const RaceRecord& last = records.back();
    if (last.pattern.rows == 1 && access.pattern.rows == 1 &&
        last.pattern.end() == access.pattern.base && last.pipe == access.pipe &&
        last.epoch == access.epoch && last.space == access.space && last.write == access.write &&
        last.atomic == access.atomic && SamePlace(last.place, access.place)) {
      added.pattern.base = last.pattern.base;
      added.pattern.bytes += last.pattern.bytes;
      records.pop_back();
    }
  }
  const uint64_t begin = added.pattern.base;
  const uint64_t end = added.pattern.end();
  for (size_t i = 0; i < records.size();) {
    const RaceRecord& other = records[i];
    const bool stands_for = other.pattern.base < end && begin < other.pattern.end() &&
                            other.space == access.space && other.atomic == access.atomic &&
                            (access.write || (!other.write && other.pipe == access.pipe)) &&
                            (known.own[other.pipe] >= other.epoch || other.pipe == access.pipe) &&
                            Covers(added.pattern, other.pattern);
    if (stands_for) {
      records[i] = records.back();
      records.pop_back();
    } else {
      ++i;
    }
  }
  records.push_back(added);
  if (!global) return;
  global_pipes_ |= 1u << access.pipe;
  if (global_.size() >= kHotRecords) Cool(clocks);
}

void CoreAccesses::Cool(const CoreClocks& clocks) {
  size_t kept = 0;
  for (const RaceRecord& record : global_) {
    bool known = true;
    for (int pipe = 0; pipe < kPipes && known; ++pipe) {
      known = (global_pipes_ >> pipe & 1) == 0 || (pipe == record.pipe && pipe == SOFTNPU_PIPE_S) ||
              clocks.of(pipe).own[record.pipe] >= record.epoch;
    }
    if (known) {
      cold_.push_back(record);
    } else {
      global_[kept++] = record;
    }
  }
  if (kept < global_.size()) cold_known_ &= global_pipes_;
  global_.resize(kept);
}

void SharedAccesses::Add(const RaceRecord& access, uint32_t context,
                         const std::shared_ptr<const CrossClock>& others) {
  if (access.pattern.rows == 0) return;
  SharedRecord record;
  record.place = access.place;
  record.context = context;
  record.epoch = access.epoch;
  record.pipe = access.pipe;
  record.write = access.write;
  record.atomic = access.atomic;
  record.scalar = access.scalar;
  record.cleaned = access.cleaned;
  if (synchronised_ && others != nullptr) {
    if (clocks_.empty() || clocks_.back() != others) clocks_.push_back(others);
    record.clock = static_cast<int32_t>(clocks_.size()) - 1;
  }
  record.begin = access.pattern.base;
  record.end = record.begin + access.pattern.bytes;
  if (access.pattern.stride == access.pattern.bytes) {
    record.end = access.pattern.end();
  } else {
    record.rows = access.pattern.rows;
    record.stride = access.pattern.stride;
  }
  // A loop copies from several tensors in turn, so it is the last record of the same instruction
  // that goes on.
  uint32_t& recent = recent_[(record.place.line + record.pipe) % recent_.size()];
  if (recent < records_.size() && record.rows == 1) {
    SharedRecord& last = records_[recent];
    if (last.rows == 1 && last.end == record.begin && last.context == context &&
        last.pipe == record.pipe && last.clock == record.clock &&
        (last.epoch == record.epoch || !synchronised_) && last.write == record.write &&
        last.atomic == record.atomic && last.scalar == record.scalar &&
        last.cleaned == record.cleaned && SamePlace(last.place, record.place)) {
      last.end = record.end;
      last.epoch = record.epoch;
      return;
    }
  }
  recent = static_cast<uint32_t>(records_.size());
  records_.push_back(record);
}

void SharedAccesses::Append(SharedAccesses&& other) {
  const auto shift = static_cast<int32_t>(clocks_.size());
  clocks_.insert(clocks_.end(), other.clocks_.begin(), other.clocks_.end());
  records_.reserve(records_.size() + other.records_.size());
  for (SharedRecord& record : other.records_) {
    if (record.clock >= 0) record.clock += shift;
    records_.push_back(record);
  }
  other.Reset(other.synchronised_);
}

void SharedAccesses::SplitIntoRows() {
  const auto high = [](const SharedRecord& record) {
    return High(record) + (record.rows - 1) * record.stride;
  };
  std::vector<uint32_t> order(records_.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return Low(records_[a]) < Low(records_[b]); });
  std::vector<SharedRecord> rows;
  for (size_t first = 0; first < order.size();) {
    // Hulls that overlap, one by one.
    const SharedRecord& begin = records_[order[first]];
    uint64_t end = high(begin);
    bool write = begin.write;
    bool several = false;
    size_t last = first + 1;
    for (; last < order.size() && Low(records_[order[last]]) < end; ++last) {
      const SharedRecord& record = records_[order[last]];
      end = std::max(end, high(record));
      write |= record.write;
      several |= record.context != begin.context;
    }
    for (size_t i = first; i < last && write && several; ++i) {
      SharedRecord row = records_[order[i]];
      const uint64_t count = std::exchange(row.rows, 1);
      const uint64_t stride = std::exchange(row.stride, 0);
      for (uint64_t r = 0; r < count; ++r, row.begin += stride, row.end += stride) {
        // Of one access, rows that adjoin are one.
        if (r > 0 && rows.back().end == row.begin) {
          rows.back().end = row.end;
        } else {
          rows.push_back(row);
        }
      }
    }
    first = last;
  }
  records_ = std::move(rows);
}

void SharedAccesses::DropReadsApart() {
  // What is written, as ranges that do not touch.
  std::vector<std::pair<uint64_t, uint64_t>> written;
  for (const SharedRecord& record : records_) {
    if (record.write) written.emplace_back(Low(record), High(record));
  }
  std::sort(written.begin(), written.end());
  size_t count = 0;
  for (const auto& range : written) {
    if (count > 0 && range.first <= written[count - 1].second) {
      written[count - 1].second = std::max(written[count - 1].second, range.second);
    } else {
      written[count++] = range;
    }
  }
  written.resize(count);
  const auto apart = [&](const SharedRecord& record) {
    if (record.write) return false;
    const auto behind = std::partition_point(
        written.begin(), written.end(),
        [&](const std::pair<uint64_t, uint64_t>& range) { return range.second <= record.begin; });
    return behind == written.end() || behind->first >= record.end;
  };
  records_.erase(std::remove_if(records_.begin(), records_.end(), apart), records_.end());
}

bool SharedAccesses::Ordered(const SharedRecord& first, const SharedRecord& second) const {
  if (second.clock < 0) return false;
  const CrossClock& clock = *clocks_[static_cast<size_t>(second.clock)];
  return clock[first.context][first.pipe] >= first.epoch;
}

// A sweep over addresses. Cost: sorting the hulls of all accesses; then, of those whose hulls
// overlap a write and another core's, sorting the rows, and a comparison for each pair of a write
// and an overlapping row of another core.
bool SharedAccesses::FindRace(CrossRace* race) {
  SplitIntoRows();
  DropReadsApart();
  std::sort(records_.begin(), records_.end(), [](const SharedRecord& a, const SharedRecord& b) {
    const uint64_t la = Low(a), lb = Low(b);
    return la != lb ? la < lb : a.context < b.context;
  });
  std::vector<const SharedRecord*> reads, writes;
  const auto expire = [&](std::vector<const SharedRecord*>& active, uint64_t at) {
    active.erase(std::remove_if(active.begin(), active.end(),
                                [&](const SharedRecord* r) { return High(*r) <= at; }),
                 active.end());
  };
  const auto judge = [&](const SharedRecord& a, const SharedRecord& b) {
    if (a.context == b.context || (a.atomic && b.atomic)) return false;
    const bool overlap = a.begin < b.end && b.begin < a.end;
    const bool line = (a.scalar && a.write && b.write) || (b.scalar && b.write && a.write);
    if (!overlap && !line) return false;
    const SharedRecord* first = &a;
    const SharedRecord* second = &b;
    if (synchronised_ && Ordered(b, a)) std::swap(first, second);
    if (!overlap) {
      race->kind = CrossRace::Kind::kSharedLine;
      if (synchronised_ && Ordered(*first, *second) && (!first->scalar || first->cleaned)) {
        return false;
      }
    } else if (!synchronised_ || !Ordered(*first, *second)) {
      race->kind = CrossRace::Kind::kRace;
    } else if (first->scalar && first->write && !first->cleaned) {
      race->kind = CrossRace::Kind::kNotCleaned;
    } else {
      return false;
    }
    race->first = *first;
    race->second = *second;
    race->begin = std::max(a.begin, b.begin);
    race->end = std::min(a.end, b.end);
    if (!overlap) {
      race->begin = second->begin;
      race->end = second->end;
    }
    return true;
  };
  for (const SharedRecord& record : records_) {
    const uint64_t at = Low(record);
    expire(writes, at);
    for (const SharedRecord* other : writes) {
      if (judge(*other, record)) return true;
    }
    if (!record.write) {
      // An earlier read of the same core that reaches as far does for both.
      if (!synchronised_ && !reads.empty() && reads.back()->context == record.context &&
          reads.back()->end >= record.end) {
        continue;
      }
      reads.push_back(&record);
      continue;
    }
    expire(reads, at);
    for (const SharedRecord* other : reads) {
      if (judge(*other, record)) return true;
    }
    writes.push_back(&record);
  }
  return false;
}

}  // namespace softnpu::ascendc
