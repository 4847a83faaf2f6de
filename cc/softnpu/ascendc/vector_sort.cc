// cc/softnpu/ascendc/vector_sort.cc: sorting of records, descending by score.
//
// A record has 8 bytes: the score (a half in the low 2 bytes, or a float) and a 32-bit index.
// Records of equal scores keep their order. 310P sorts region proposals instead: 8 elements, the
// score at number 4.
#include <cmath>
#include <limits>

#include "cc/softnpu/ascendc/semantics.h"
#include "cc/softnpu/ascendc/vector_unit.h"

namespace softnpu::ascendc::semantics {
namespace {

using namespace vector;  // NOLINT: the namespace of this unit

constexpr uint64_t kRecordBytes = 8;
constexpr uint64_t kSortWidth = 32;
constexpr uint64_t kProposalElements = 8;
constexpr uint64_t kProposalWidth = 16;
constexpr uint64_t kScore = 4;
constexpr int64_t kMaxListLength = 4095;

float ScoreOf(const std::byte* score, uint8_t type) {
  return type == SOFTNPU_FLOAT ? Peek<float>(score) : Load(Peek<Half>(score));
}

// The first of `count` records whose score is above that of the one before it; `count`: none. A NaN
// has no place in the order, so a list that holds one passes.
uint64_t FirstOutOfOrder(const std::byte* score, uint64_t count, uint64_t step, uint8_t type) {
  uint64_t first = count;
  float last = std::numeric_limits<float>::infinity();
  for (uint64_t i = 0; i < count; ++i, score += step) {
    const float now = ScoreOf(score, type);
    if (std::isnan(now)) return count;
    if (now > last && first == count) first = i;
    last = now;
  }
  return first;
}

}  // namespace

void Sort32(Context& ctx, SoftnpuInstruction& in) {
  const SoftnpuTensor& dst = in.operand[0];
  const SoftnpuTensor& src = in.operand[1];
  const SoftnpuTensor& index = in.operand[2];
  const uint8_t type = src.type;
  const uint64_t size = TypeBytes(type);
  if (type != SOFTNPU_FLOAT && type != SOFTNPU_FLOAT16) {
    ctx.Fail(Format("Sort32 does not take %s", TypeName(type)));
  }
  ctx.CheckLimit("repeatTime", in.count, 0, kMaxRepeat);
  if (ctx.strict()) {
    ctx.CheckUbAlignment(dst, "dst");
    ctx.CheckUbAlignment(src, "src0");
    ctx.CheckUbAlignment(index, "src1");
  }
  const uint64_t elements = static_cast<uint64_t>(in.count) * kSortWidth;
  if (elements == 0) return;
  ctx.Add(dst, true, dst.address, elements * kRecordBytes);
  ctx.Add(src, false, src.address, elements * size);
  ctx.Add(index, false, index.address, elements * 4);
  ctx.Admit();
  if (ctx.strict()) {
    for (int i = 1; i < 3; ++i) {
      if (ctx.accesses[0].base < ctx.accesses[i].base + ctx.accesses[i].bytes &&
          ctx.accesses[i].base < ctx.accesses[0].base + ctx.accesses[0].bytes) {
        ctx.FailAt(Format("dst overlaps src%d", i - 1), dst, dst.address,
                   dst.address + kRecordBytes);
      }
    }
  }
  for (uint64_t first = 0; first < elements; first += kSortWidth) {
    uint64_t order[kSortWidth];
    for (uint64_t i = 0; i < kSortWidth; ++i) order[i] = first + i;
    const auto score = [&](uint64_t i) { return ScoreOf(ctx.accesses[1].host + i * size, type); };
    std::stable_sort(order, order + kSortWidth,
                     [&](uint64_t a, uint64_t b) { return score(a) > score(b); });
    for (uint64_t i = 0; i < kSortWidth; ++i) {
      std::byte* const record = ctx.accesses[0].host + (first + i) * kRecordBytes;
      std::memset(record, 0, 4);
      std::memcpy(record, ctx.accesses[1].host + order[i] * size, size);
      std::memcpy(record + 4, ctx.accesses[2].host + order[i] * 4, 4);
    }
  }
  ctx.Commit();
}

// operand[0]: dst; list: 4 sources; params: 4 lengths, ifExhaustedSuspension, validBit, repeats,
// bytes of a record (310P: proposals). The lengths merged of each list become params[8..11].
void MrgSort(Context& ctx, SoftnpuInstruction& in) {
  const SoftnpuTensor& dst = in.operand[0];
  const uint8_t type = dst.type;
  const bool proposals = in.opcode == SOFTNPU_OP_MRG_SORT4;
  if (type != SOFTNPU_FLOAT && type != SOFTNPU_FLOAT16) {
    ctx.Fail(Format("%s does not take %s", OpcodeName(in.opcode), TypeName(type)));
  }
  const uint64_t bytes = proposals ? kProposalElements * TypeBytes(type) : kRecordBytes;
  const uint64_t score_at = proposals ? kScore * TypeBytes(type) : 0;
  const bool suspend = in.params[4] != 0;
  const int64_t valid = in.params[5];
  const int64_t repeats = in.params[6];
  if (valid != 0b11 && valid != 0b111 && valid != 0b1111) {
    ctx.Fail(Format("validBit %lld, it can be 3, 7 or 15", static_cast<long long>(valid)));
  }
  ctx.CheckLimit("repeatTimes", repeats, 0, kMaxRepeat);
  const uint32_t lists = valid == 0b11 ? 2 : valid == 0b111 ? 3 : 4;
  if (in.list_count < lists) ctx.Fail("fewer sources than validBit says");
  uint64_t length[4] = {};
  uint64_t total = 0;
  for (uint32_t i = 0; i < lists; ++i) {
    ctx.CheckLimit(Format("elementLengths[%u]", i).c_str(), in.params[i], 0, kMaxListLength);
    length[i] = static_cast<uint64_t>(in.params[i]);
    total += length[i];
  }
  if (repeats > 1) {
    // Only four lists of one length that lie one behind the other can be repeated.
    for (uint32_t i = 0; i < lists; ++i) {
      if (valid != 0b1111 || suspend || length[i] != length[0] ||
          in.list[i].address != in.list[0].address + i * length[0] * bytes) {
        ctx.Fail(
            "repeatTimes above 1 needs four lists of equal length, one behind the other, and no "
            "ifExhaustedSuspension");
      }
    }
  }
  if (ctx.strict()) {
    ctx.CheckUbAlignment(dst, "dst");
    for (uint32_t i = 0; i < lists; ++i) {
      if (in.list[i].address % kRecordBytes == 0) continue;
      ctx.FailAt(Format("source %u begins at byte %llu of the UB, which is not a multiple of %llu",
                        i, static_cast<unsigned long long>(in.list[i].address),
                        static_cast<unsigned long long>(kRecordBytes)),
                 in.list[i], in.list[i].address, in.list[i].address + kRecordBytes);
    }
  }
  if (repeats == 0 || total == 0) return;
  const uint64_t times = static_cast<uint64_t>(repeats);
  for (uint32_t i = 0; i < lists; ++i) {
    if (length[i] == 0) continue;
    ctx.Add(in.list[i], false, in.list[i].address, length[i] * bytes, times, total * bytes);
  }
  ctx.Admit();
  for (uint32_t i = 0; i < lists && ctx.strict(); ++i) {
    for (uint64_t repeat = 0; repeat < times; ++repeat) {
      const uint64_t from = in.list[i].address + repeat * total * bytes;
      const std::byte* const list = ctx.ub() + from;
      const uint64_t at = FirstOutOfOrder(list + score_at, length[i], bytes, type);
      if (at == length[i]) continue;
      const std::byte* const score = list + at * bytes + score_at;
      ctx.FailAt(
          Format("source %u is not sorted: its record %llu has the score %g, the one before it "
                 "%g",
                 i, static_cast<unsigned long long>(at), ScoreOf(score, type),
                 ScoreOf(score - bytes, type)),
          in.list[i], from + at * bytes, from + (at + 1) * bytes);
    }
  }
  uint64_t merged[4] = {};
  std::vector<std::byte> out;
  for (uint64_t repeat = 0; repeat < times; ++repeat) {
    uint64_t taken[4] = {};
    while (true) {
      int best = -1;
      float best_score = 0;
      bool exhausted = false;
      for (uint32_t i = 0; i < lists; ++i) {
        if (taken[i] == length[i]) {
          exhausted = true;
          continue;
        }
        const std::byte* const record =
            ctx.ub() + in.list[i].address + (repeat * total + taken[i]) * bytes;
        const float score = ScoreOf(record + score_at, type);
        if (best < 0 || score > best_score) {
          best = static_cast<int>(i);
          best_score = score;
        }
      }
      if (best < 0 || (suspend && exhausted)) break;
      const std::byte* const record =
          ctx.ub() + in.list[best].address + (repeat * total + taken[best]) * bytes;
      out.insert(out.end(), record, record + bytes);
      ++taken[best];
    }
    std::copy(taken, taken + 4, merged);
  }
  if (!out.empty()) {
    const size_t reads = ctx.accesses.size();
    std::byte* const to = ctx.AdmitLate(dst, true, dst.address, out.size());
    for (size_t i = 0; i < reads && ctx.strict(); ++i) {
      const Access& read = ctx.accesses[i];
      if (dst.address < read.base + read.extent() && read.base < dst.address + out.size()) {
        ctx.FailAt("dst overlaps a source", dst, dst.address, dst.address + out.size());
      }
    }
    std::memcpy(to, out.data(), out.size());
  }
  for (int i = 0; i < 4; ++i) {
    ctx.registers.sorted[i] = static_cast<uint16_t>(merged[i]);
    in.params[8 + i] = static_cast<int64_t>(merged[i]);
  }
  ctx.registers.sorted_set = true;
  ctx.Commit();
}

// The lengths that the last MrgSort has merged of each list become params[0..3].
void GetMrgSortResult(Context& ctx, SoftnpuInstruction& in) {
  ctx.site.SetPipe(SOFTNPU_PIPE_S);
  if (ctx.strict() && !ctx.registers.sorted_set) ctx.Fail("no MrgSort has run in this block");
  for (int i = 0; i < 4; ++i) in.params[i] = ctx.registers.sorted[i];
}

// 310P. RpSort16 sorts 16 proposals per repeat; ProposalConcat and ProposalExtract move 16
// elements per repeat into and out of the field params[0].
void Proposals(Context& ctx, SoftnpuInstruction& in) {
  const SoftnpuTensor& dst = in.operand[0];
  const SoftnpuTensor& src = in.operand[1];
  const uint8_t type = dst.type;
  const uint64_t size = TypeBytes(type);
  if (type != SOFTNPU_FLOAT && type != SOFTNPU_FLOAT16) {
    ctx.Fail(Format("%s does not take %s", OpcodeName(in.opcode), TypeName(type)));
  }
  ctx.CheckLimit("repeatTime", in.count, 0, kMaxRepeat);
  const uint64_t field = static_cast<uint64_t>(in.params[0]);
  if (in.opcode != SOFTNPU_OP_RP_SORT16) ctx.CheckLimit("modeNumber", in.params[0], 0, 5);
  if (ctx.strict()) {
    ctx.CheckUbAlignment(dst, "dst");
    ctx.CheckUbAlignment(src, "src");
  }
  const uint64_t elements = static_cast<uint64_t>(in.count) * kProposalWidth;
  if (elements == 0) return;
  const uint64_t bytes = kProposalElements * size;
  if (in.opcode == SOFTNPU_OP_RP_SORT16) {
    ctx.Add(dst, true, dst.address, elements * bytes);
    ctx.Add(src, false, src.address, elements * bytes);
    ctx.Admit();
    const std::vector<std::byte> from(ctx.accesses[1].host,
                                      ctx.accesses[1].host + elements * bytes);
    for (uint64_t first = 0; first < elements; first += kProposalWidth) {
      uint64_t order[kProposalWidth];
      for (uint64_t i = 0; i < kProposalWidth; ++i) order[i] = first + i;
      const auto score = [&](uint64_t i) {
        return ScoreOf(from.data() + i * bytes + kScore * size, type);
      };
      std::stable_sort(order, order + kProposalWidth,
                       [&](uint64_t a, uint64_t b) { return score(a) > score(b); });
      for (uint64_t i = 0; i < kProposalWidth; ++i) {
        std::memcpy(ctx.accesses[0].host + (first + i) * bytes, from.data() + order[i] * bytes,
                    bytes);
      }
    }
    ctx.Commit();
    return;
  }
  const bool concat = in.opcode == SOFTNPU_OP_PROPOSAL_CONCAT;
  const SoftnpuTensor& proposals = concat ? dst : src;
  const SoftnpuTensor& line = concat ? src : dst;
  ctx.Add(proposals, concat, proposals.address + field * size, size, elements, bytes);
  ctx.Add(line, !concat, line.address, elements * size);
  ctx.Admit();
  for (uint64_t i = 0; i < elements; ++i) {
    std::byte* const far = ctx.accesses[0].host + i * bytes;
    std::byte* const near = ctx.accesses[1].host + i * size;
    std::memcpy(concat ? far : near, concat ? near : far, size);
  }
  ctx.Commit();
}

}  // namespace softnpu::ascendc::semantics
