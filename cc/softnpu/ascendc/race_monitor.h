// cc/softnpu/ascendc/race_monitor.h: judges the order of a core's accesses, while it runs.
//
// The rules are race.h's. Accesses of one core are judged at once. Those to GM are noted, too: with
// the accesses of the other cores they are judged when the launch has ended.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "cc/softnpu/ascendc/access.h"
#include "cc/softnpu/ascendc/pipe_order.h"
#include "cc/softnpu/ascendc/race.h"
#include "cc/softnpu/ascendc/scalar_cache.h"
#include "cc/softnpu/ascendc/site.h"

namespace softnpu::ascendc {

class RaceMonitor {
 public:
  RaceMonitor(const Site& site, PipeOrder& order, ScalarCache& cache)
      : site_(site), order_(order), cache_(cache) {}

  void Reset();

  // The accesses of the site's instruction, in its pipe. Throws KernelError when one of them races
  // with an earlier access, or when the scalar unit's data cache and GM differ in its bytes.
  void Observe(const std::vector<Access>& accesses);
  // DataCacheCleanAndInvalid. params: CacheLine (0: the line of operand[0], otherwise all).
  void CleanCache(const SoftnpuInstruction& instruction);
  // The kernel has ended: hands the accesses to GM to the launch.
  void Finish();
  // What each pipe did last, each behind a semicolon, for a deadlock's report.
  std::string DescribePipes() const;

 private:
  RaceRecord RecordOf(const Access& access) const;
  void Judge(const RaceRecord& record, const Access& access) const;
  // The site's pipe waits for what the device compiler makes it wait for.
  void AutoSync(const std::vector<Access>& accesses);
  // The site's instruction has a scalar operand. A kernel loads a value in order to use it, and the
  // scalar unit cannot issue an instruction before the load of its operand has ended.
  bool TakesLoadedValue() const;
  // Dirty bytes of the scalar unit's cache reach GM; `writer`: null: at the end of the kernel.
  void WriteBack(const std::vector<RaceRecord>& records, const Place* writer);

  const Site& site_;
  PipeOrder& order_;
  ScalarCache& cache_;
  CoreAccesses records_;
  SharedAccesses shared_;
  std::array<Place, kPipes> last_{};  // instruction of each pipe
};

}  // namespace softnpu::ascendc
