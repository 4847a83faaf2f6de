// cc/softnpu/ascendc/cost.cc: copies by their bytes and rows, instructions by their repeats.
#include "cc/softnpu/ascendc/cost.h"

#include <algorithm>
#include <mutex>
#include <string>

#include "cc/softnpu/ascendc/names.h"

namespace softnpu::ascendc {
namespace {

constexpr double kMost = 4.0e9;

uint64_t Ceil(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit; }

}  // namespace

void CostModel::Note(const SoftnpuInstruction& in, const std::vector<Access>& accesses,
                     CoreTimeline& timeline) {
  const TimeTable::Rates& rates = site_.launch().table->rates();
  const Place place = site_.place();
  const uint32_t opcode = in.opcode;
  if (opcode == SOFTNPU_OP_SCALAR_LOAD || opcode == SOFTNPU_OP_SCALAR_STORE ||
      opcode == SOFTNPU_OP_RAW_LOAD || opcode == SOFTNPU_OP_RAW_STORE) {
    const bool global = in.operand[0].space == SOFTNPU_SPACE_GM;
    TimeOp& op = timeline.Add(TimeOp::Kind::kScalar, SOFTNPU_PIPE_S, place);
    op.work = static_cast<float>(global ? rates.scalar_gm : rates.scalar_ub);
    return;
  }
  if (opcode == SOFTNPU_OP_TILING_COPY) {
    TimeOp& op = timeline.Add(TimeOp::Kind::kScalar, SOFTNPU_PIPE_S, place);
    op.work =
        static_cast<float>(rates.scalar_gm * static_cast<double>(Ceil(accesses[0].bytes, 64)));
    return;
  }
  const auto issue = static_cast<float>(rates.issue);
  if (accesses.empty()) {
    // Frames, flags and empty instructions: the scalar unit's work, beside what they do to pipes.
    if (opcode < SOFTNPU_OP_MOVE || opcode > SOFTNPU_OP_VECTOR) {
      timeline.Add(TimeOp::Kind::kScalar, SOFTNPU_PIPE_S, place).issue = issue;
    }
    return;
  }
  TimeOp& op = timeline.Add(TimeOp::Kind::kWork, site_.pipe(), place);
  op.issue = issue;
  if (NoteCopy(accesses, op)) return;
  if (opcode > SOFTNPU_OP_CUBE) {
    op.work = static_cast<float>(CubeCycles(in, accesses));
  } else if (site_.pipe() == SOFTNPU_PIPE_V) {
    double conflict = 0;
    op.work = static_cast<float>(VectorCycles(in, accesses, &conflict));
    op.conflict = static_cast<float>(conflict);
  } else {
    uint64_t most = 0;
    for (const Access& access : accesses) most = std::max(most, access.bytes * access.rows);
    op.work =
        static_cast<float>(rates.onchip_start + static_cast<double>(most) / rates.onchip_rate);
  }
}

bool CostModel::NoteCopy(const std::vector<Access>& accesses, TimeOp& op) {
  LaunchState& launch = site_.launch();
  uint64_t read = 0, written = 0, rows = 0;
  for (const Access& access : accesses) {
    if (access.tensor->space != SOFTNPU_SPACE_GM) continue;
    (access.write ? written : read) += access.bytes * access.rows;
    rows += access.rows;
    const std::lock_guard<std::mutex> lock(launch.mutex);
    for (uint64_t row = 0; row < access.rows; ++row) {
      const uint64_t begin = access.base + row * access.stride;
      uint64_t parts = launch.footprint.Touch(begin, begin + access.bytes);
      // What is written goes to HBM once, also where it was read before.
      if (access.write) parts = launch.overwritten.Touch(begin, begin + access.bytes);
      op.missed +=
          static_cast<uint32_t>(std::min<uint64_t>(parts * Footprint::kLine, UINT32_MAX / 2));
    }
  }
  if (read + written == 0) return false;
  // A row has a cost of its own.
  const TimeTable::Rates& rates = launch.table->rates();
  const TimeTable::Copy& copy = written > 0 ? rates.write : rates.read;
  op.write = written > 0;
  const double bytes =
      static_cast<double>(read + written) + static_cast<double>(rows) * copy.per_row;
  op.moved = static_cast<uint32_t>(std::min<uint64_t>(read + written, UINT32_MAX));
  op.bytes = static_cast<uint32_t>(std::min(std::max(bytes, 1.0), kMost));
  op.work = static_cast<float>(copy.least);
  op.latency = static_cast<float>(copy.start + static_cast<double>(read + written) / copy.burst);
  return true;
}

double CostModel::VectorCycles(const SoftnpuInstruction& in, const std::vector<Access>& accesses,
                               double* conflict) {
  uint64_t widest = 1;
  uint64_t bytes = 0;  // of the operand that takes most repeats
  for (uint32_t i = 0; i < in.operand_count; ++i) {
    widest = std::max(widest, TypeBytes(in.operand[i].type));
  }
  for (const Access& access : accesses) bytes = std::max(bytes, access.bytes * access.rows);
  uint64_t repeats = Ceil(bytes, kRepeatBytes);
  if (in.form != SOFTNPU_FORM_COUNT && in.repeat > 0) repeats = in.repeat;
  VectorCost& cost = vector_costs_[in.opcode << 4 | static_cast<uint32_t>(widest)];
  if (cost.start < 0) {
    const TimeTable& table = *site_.launch().table;
    const std::string name = std::string("vector.") + OpcodeName(in.opcode);
    cost.start = table.At(name + ".start", table.At("vector.otherwise.start"));
    cost.rate = table.At(name + Format(".b%d", static_cast<int>(widest * 8)),
                         table.At("vector.otherwise.cycles"));
  }
  *conflict = BankConflicts(in, repeats);
  return cost.start + cost.rate * static_cast<double>(repeats) + *conflict;
}

// The UB's blocks lie in 16 groups of banks, neighbours in neighbouring groups. In a cycle the unit
// takes 8 blocks of each operand: blocks of one group for two sources cost another cycle, a source
// and the destination in one bank a part of one.
double CostModel::BankConflicts(const SoftnpuInstruction& in, uint64_t repeats) const {
  const TimeTable::Rates& rates = site_.launch().table->rates();
  const auto overlap = [](uint64_t a, uint64_t b) {
    const uint64_t distance = (a / kBlockBytes - b / kBlockBytes) & 15;
    const uint64_t apart = std::min(distance, 16 - distance);
    return apart >= 8 ? 0.0 : static_cast<double>(8 - apart) / 8.0;
  };
  const auto bank = [](uint64_t a) { return a >> 16 & 3; };
  double extra = 0;
  if (in.operand_count >= 3 && in.operand[1].address != in.operand[2].address &&
      in.operand[2].space == SOFTNPU_SPACE_UB) {
    extra += rates.read_read * overlap(in.operand[1].address, in.operand[2].address);
  }
  for (uint32_t i = 1; i < std::min(in.operand_count, 3u); ++i) {
    if (in.operand[i].address == in.operand[0].address ||
        bank(in.operand[i].address) != bank(in.operand[0].address)) {
      continue;
    }
    extra =
        std::max(extra, rates.read_write * overlap(in.operand[i].address, in.operand[0].address));
  }
  return extra * static_cast<double>(repeats);
}

double CostModel::CubeCycles(const SoftnpuInstruction& in,
                             const std::vector<Access>& accesses) const {
  const TimeTable& table = *site_.launch().table;
  uint64_t bytes = 0;
  for (const Access& access : accesses) {
    if (access.write) bytes += access.bytes * access.rows;
  }
  switch (in.opcode) {
    case SOFTNPU_OP_MMAD: {
      const uint64_t size = TypeBytes(in.operand[1].type);
      const uint64_t k0 = kBlockBytes / size;
      const double per_cycle = 16.0 * 16.0 *
                               table.At(size == 1   ? "cube.k_per_cycle.b8"
                                        : size == 2 ? "cube.k_per_cycle.b16"
                                                    : "cube.k_per_cycle.b32");
      const double volume = static_cast<double>(Ceil(static_cast<uint64_t>(in.params[0]), 16) * 16 *
                                                Ceil(static_cast<uint64_t>(in.params[1]), 16) * 16 *
                                                Ceil(static_cast<uint64_t>(in.params[2]), k0) * k0);
      return table.At("cube.start_cycles") + volume / per_cycle;
    }
    case SOFTNPU_OP_FIXPIPE:
    case SOFTNPU_OP_COPY_L0C:
      return table.At("cube.start_cycles") +
             static_cast<double>(bytes) / table.At("cube.fixpipe_bytes_per_cycle");
    default:
      return table.At("onchip.start_cycles") +
             static_cast<double>(bytes) / table.At(in.operand[0].space == SOFTNPU_SPACE_L0A
                                                       ? "cube.l0a_bytes_per_cycle"
                                                       : "cube.l0b_bytes_per_cycle");
  }
}

}  // namespace softnpu::ascendc
