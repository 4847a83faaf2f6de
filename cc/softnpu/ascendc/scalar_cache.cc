// cc/softnpu/ascendc/scalar_cache.cc: dirty and stale bytes of 64-byte lines.
#include "cc/softnpu/ascendc/scalar_cache.h"

#include <algorithm>
#include <bit>

#include "cc/softnpu/ascendc/names.h"

namespace softnpu::ascendc {
namespace {

constexpr uint64_t kLine = 64;

uint64_t BitsOf(uint64_t first, uint64_t count) {
  return (count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1) << first;
}

// Calls `body(line, bits)` for the cache lines of [begin, end).
template <typename Body>
void ForLines(uint64_t begin, uint64_t end, Body&& body) {
  while (begin < end) {
    const uint64_t line = begin / kLine * kLine;
    const uint64_t stop = std::min(end, line + kLine);
    body(line, BitsOf(begin - line, stop - begin));
    begin = stop;
  }
}

}  // namespace

void ScalarCache::Store(const Access& access, uint32_t epoch) {
  ForLines(access.base, access.base + access.bytes, [&](uint64_t address, uint64_t bits) {
    Line& line = lines_[address];
    line.dirty |= bits;
    line.stale &= ~bits;
    line.store = site_.place();
    line.epoch = epoch;
  });
}

void ScalarCache::Load(const Access& access) {
  ForLines(access.base, access.base + access.bytes, [&](uint64_t address, uint64_t bits) {
    const Line& line = lines_.try_emplace(address).first->second;
    if ((line.stale & bits) == 0) return;
    const Place& overwrite = line.overwrite;
    site_.FailAt(
        Format("reads a line of its data cache that is older than GM, which %s at %s:%u has "
               "written: DataCacheCleanAndInvalid has to come between",
               OpcodeName(overwrite.opcode), FileOf(overwrite.file).c_str(), overwrite.line),
        *access.tensor, access.base, access.base + access.bytes);
  });
}

void ScalarCache::Touch(const Access& access, uint64_t address, Line& line, uint64_t bits) const {
  if (line.dirty != 0 && (access.write || (line.dirty & bits) != 0)) {
    site_.FailAt(
        Format(access.write
                   ? "writes into a line that SetValue at %s:%u has changed in the scalar "
                     "unit's data cache: when the line is written back, one of the two is "
                     "lost; DataCacheCleanAndInvalid has to come between"
                   : "reads bytes that SetValue at %s:%u has written: they are still in the "
                     "scalar unit's data cache; DataCacheCleanAndInvalid has to come between",
               FileOf(line.store.file).c_str(), line.store.line),
        *access.tensor, std::max(address, access.base),
        std::min(address + kLine, access.base + access.extent()));
  }
  if (!access.write) return;
  line.stale |= bits;
  line.overwrite = site_.place();
}

void ScalarCache::Bypass(const Access& access) {
  if (lines_.empty()) return;
  if (access.extent() / kLine > lines_.size() * 4) {
    for (auto& [address, line] : lines_) {
      uint64_t begin = 0;
      uint64_t end = 0;
      if (!Overlap(access.pattern(), {address, kLine}, &begin, &end)) continue;
      Touch(access, address, line, BitsOf(begin - address, end - begin));
    }
    return;
  }
  for (uint64_t row = 0; row < access.rows; ++row) {
    const uint64_t begin = access.base + row * access.stride;
    ForLines(begin, begin + access.bytes, [&](uint64_t address, uint64_t bits) {
      const auto line = lines_.find(address);
      if (line != lines_.end()) Touch(access, address, line->second, bits);
    });
  }
}

void ScalarCache::MarkStale(const Pattern& bytes, const Place& writer) {
  for (auto& [address, line] : lines_) {
    uint64_t begin = 0;
    uint64_t end = 0;
    if (!Overlap(bytes, {address, kLine}, &begin, &end)) continue;
    line.stale |= BitsOf(begin - address, end - begin);
    line.overwrite = writer;
  }
}

void ScalarCache::AppendDirty(uint64_t address, const Line& line, std::optional<uint32_t> epoch,
                              std::vector<RaceRecord>& out) {
  uint64_t bits = line.dirty;
  while (bits != 0) {
    const int first = std::countr_zero(bits);
    const int count = std::countr_one(bits >> first);
    RaceRecord& record = out.emplace_back();
    record.pattern.base = address + static_cast<uint64_t>(first);
    record.pattern.bytes = static_cast<uint64_t>(count);
    record.place = line.store;
    record.epoch = epoch.value_or(line.epoch);
    record.pipe = SOFTNPU_PIPE_S;
    record.space = SOFTNPU_SPACE_GM;
    record.write = true;
    record.scalar = true;
    record.cleaned = epoch.has_value();
    bits &= ~BitsOf(static_cast<uint64_t>(first), static_cast<uint64_t>(count));
  }
}

std::vector<RaceRecord> ScalarCache::Clean(uint64_t address, std::optional<uint32_t> epoch) {
  std::vector<RaceRecord> out;
  const auto line = lines_.find(address / kLine * kLine);
  if (line == lines_.end()) return out;
  AppendDirty(line->first, line->second, epoch, out);
  lines_.erase(line);
  return out;
}

std::vector<RaceRecord> ScalarCache::CleanAll(std::optional<uint32_t> epoch) {
  std::vector<RaceRecord> out;
  for (const auto& [address, line] : lines_) AppendDirty(address, line, epoch, out);
  lines_.clear();
  return out;
}

}  // namespace softnpu::ascendc
