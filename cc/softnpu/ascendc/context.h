// cc/softnpu/ascendc/context.h: what the function of an instruction may use.
//
// The function lists the accesses of its instruction (Add), lets them be checked (Admit), computes
// on the host's bytes of each access, and records what was written (Commit). It keeps no state: all
// that lasts is in the units that the context names.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cc/softnpu/ascendc/access.h"
#include "cc/softnpu/ascendc/event_flags.h"
#include "cc/softnpu/ascendc/frame.h"
#include "cc/softnpu/ascendc/memories.h"
#include "cc/softnpu/ascendc/names.h"
#include "cc/softnpu/ascendc/pipe_order.h"
#include "cc/softnpu/ascendc/race_monitor.h"
#include "cc/softnpu/ascendc/registers.h"
#include "cc/softnpu/ascendc/site.h"

namespace softnpu::ascendc {

// Bytes [begin, end) of a memory, of GM of a region.
struct NoValue {
  uint8_t space = 0;
  int region = -1;
  uint64_t begin = 0;
  uint64_t end = 0;
};

struct Context {
  Site& site;
  Registers& registers;
  Memories& memories;
  PipeOrder& order;
  EventFlags& flags;
  Frame& frame;
  RaceMonitor& monitor;

  // Of the instruction that is carried out.
  std::vector<Access> accesses = {};
  bool mask_of_register = false;        // it runs under the mask register
  bool missing = false;                 // a read that `travels` has bytes without a value
  std::vector<NoValue> no_values = {};  // of what it writes, the bytes that get no value

  void Begin() {
    accesses.clear();
    missing = false;
    no_values.clear();
  }

  const Profile& chip() const { return site.chip(); }
  const LaunchState& launch() const { return site.launch(); }
  bool strict() const { return site.strict(); }
  bool races() const { return site.races(); }
  bool init() const { return site.init(); }
  std::byte* ub() const { return memories.ub(); }

  // `rows` runs of `bytes`, `stride` apart, from `base` on. The reference holds until the next Add.
  Access& Add(const SoftnpuTensor& tensor, bool write, uint64_t base, uint64_t bytes,
              uint64_t rows = 1, uint64_t stride = 0);
  // Checks all accesses, or one, and sets their host bytes; throws KernelError.
  void Admit();
  void Admit(Access& access);
  // Adds a read whose bytes without a value travel: the function hands them on when `missing`.
  Access& AddSource(const SoftnpuTensor& tensor, uint64_t base, uint64_t bytes, uint64_t rows = 1,
                    uint64_t stride = 0);
  // Adds and admits an access whose place became known by reading another operand, on the chip.
  std::byte* AdmitLate(const SoftnpuTensor& tensor, bool write, uint64_t base, uint64_t bytes,
                       uint64_t rows = 1, uint64_t stride = 0, bool travels = false);
  // [begin, begin + bytes), which `from` reads, are moved to `at`, which `to` writes: bytes without
  // a value get none there. In GM that is a fault, but behind the end of an allocation.
  void Carry(const Access& from, uint64_t begin, uint64_t bytes, const Access& to, uint64_t at);
  // The same between two places of the UB.
  void CarryInUb(const SoftnpuTensor& from, uint64_t begin, uint64_t bytes, uint64_t at);
  // Bytes [begin, begin + bytes) of the UB hold values.
  bool HasValue(uint64_t begin, uint64_t bytes) const {
    return memories.FirstMissing(SOFTNPU_SPACE_UB, begin, begin + bytes) == begin + bytes;
  }
  // The written bytes [begin, end) of a memory on the chip get no value, because byte `at` of
  // `from` has none.
  void Spoil(uint8_t space, uint64_t begin, uint64_t end, const SoftnpuTensor& from, uint64_t at);
  // What the accesses have written holds values from now on.
  void Commit();

  // Throw KernelError.
  [[noreturn]] void Fail(const std::string& fault) const { site.Fail(fault); }
  [[noreturn]] void FailAt(const std::string& fault, const SoftnpuTensor& tensor, uint64_t begin,
                           uint64_t end) const {
    site.FailAt(fault, tensor, begin, end);
  }
  void CheckLimit(const char* name, int64_t value, int64_t least, int64_t most) const;
  void CheckUbAlignment(const SoftnpuTensor& tensor, const char* operand) const;
};

}  // namespace softnpu::ascendc
