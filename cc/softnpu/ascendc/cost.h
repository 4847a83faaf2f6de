// cc/softnpu/ascendc/cost.h: what an instruction costs, from the profile's numbers.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "cc/softnpu/ascendc/access.h"
#include "cc/softnpu/ascendc/instruction.h"
#include "cc/softnpu/ascendc/site.h"
#include "cc/softnpu/ascendc/timing.h"

namespace softnpu::ascendc {

class CostModel {
 public:
  explicit CostModel(const Site& site) : site_(site) {}

  void Reset() { vector_costs_.clear(); }

  // Adds the site's instruction, which has made `accesses`, to the timeline. The launch has to have
  // a time table.
  void Note(const SoftnpuInstruction& instruction, const std::vector<Access>& accesses,
            CoreTimeline& timeline);

 private:
  struct VectorCost {
    double start = -1;  // not looked up yet
    double rate = 0;
  };

  // Copies from and to GM: their bytes, rows and lines. False when there is none.
  bool NoteCopy(const std::vector<Access>& accesses, TimeOp& op);
  // `conflict`: of them, cycles of bank conflicts.
  double VectorCycles(const SoftnpuInstruction& instruction, const std::vector<Access>& accesses,
                      double* conflict);
  double BankConflicts(const SoftnpuInstruction& instruction, uint64_t repeats) const;
  double CubeCycles(const SoftnpuInstruction& instruction,
                    const std::vector<Access>& accesses) const;

  const Site& site_;
  std::unordered_map<uint32_t, VectorCost> vector_costs_;  // by opcode and bytes of an element
};

}  // namespace softnpu::ascendc
