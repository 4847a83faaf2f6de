// cc/softnpu/ascendc/scalar_cache.h: the data cache between a core's scalar unit and GM.
//
// Values are never out of date here: the scalar unit's stores reach GM at once. The cache knows
// what the chip would hold: bytes that only the cache has (dirty) and bytes that GM has changed
// behind it (stale). Using either without DataCacheCleanAndInvalid is a fault.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "cc/softnpu/ascendc/access.h"
#include "cc/softnpu/ascendc/race.h"
#include "cc/softnpu/ascendc/site.h"

namespace softnpu::ascendc {

class ScalarCache {
 public:
  explicit ScalarCache(const Site& site) : site_(site) {}

  void Reset() { lines_.clear(); }

  // The scalar unit writes bytes of GM, in its epoch `epoch` (race.h).
  void Store(const Access& access, uint32_t epoch);
  // The scalar unit reads bytes of GM. Throws KernelError when one of them is stale.
  void Load(const Access& access);
  // Another pipe of the core reads or writes GM. Throws KernelError when it reads a dirty byte or
  // writes into a line that has one.
  void Bypass(const Access& access);
  // `writer`, of another core, has written bytes of GM.
  void MarkStale(const Pattern& bytes, const Place& writer);

  // Lines leave the cache: the one of `address`, or all. The result are the runs of dirty bytes,
  // which reach GM. `epoch`: the kernel cleans them in that epoch of the scalar unit; none: they
  // stay until the kernel ends, and count as written when they were stored.
  std::vector<RaceRecord> Clean(uint64_t address, std::optional<uint32_t> epoch);
  std::vector<RaceRecord> CleanAll(std::optional<uint32_t> epoch);

 private:
  // Bit i stands for byte i of the line.
  struct Line {
    uint64_t dirty = 0;
    uint64_t stale = 0;
    Place store;      // the last of this core's
    Place overwrite;  // of GM
    uint32_t epoch = 0;
  };

  void Touch(const Access& access, uint64_t address, Line& line, uint64_t bits) const;
  static void AppendDirty(uint64_t address, const Line& line, std::optional<uint32_t> epoch,
                          std::vector<RaceRecord>& out);

  const Site& site_;
  std::unordered_map<uint64_t, Line> lines_;  // by address
};

}  // namespace softnpu::ascendc
