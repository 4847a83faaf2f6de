// cc/kernels/moe/gating_sorter.h: sorts the scores of rows, as far as the largest of each are
// needed. Device code.
//
// Sort32 sorts 32 scores into records; merges of four lists at a time leave one list, of which only
// the first `kept_records` records are carried on. Both keep the earlier of equal records first,
// and lists are in the order of experts throughout, so that of equal scores the lower expert wins.
// Logits that are NaN have no place in that order: what such a row chooses is not defined, other
// rows are not touched by it.
#pragma once

#include "cc/kernels/moe/gating_common.h"

namespace moe {

// Lists of records: `count` of them, `pitch` records apart, the first `length` of each in use.
struct Lists {
  LocalTensor<float> records;
  int64_t count;
  int64_t pitch;
  int64_t length;
  bool is_apart;  // not where merges write
};

class GatingSorter {
 public:
  __aicore__ inline GatingSorter(const MoeGatingTopKTiling& tiling, const GatingArena& arena)
      : tiling_(tiling), arena_(arena), at_(arena.parts) {}

  // Lists of 32 scores each. scores: [rows, groups, sort_pitch].
  __aicore__ inline Lists Sort(const LocalTensor<float>& scores, int64_t rows) {
    const LocalTensor<float> records = arena_.Get<float>(at_.records);
    const int64_t count = rows * tiling_.sort_width / kList;
    Sort32(records, scores, arena_.Get<uint32_t>(at_.places), (int32_t)count);
    PipeBarrier<PIPE_V>();
    return {records, count, kList, kList, false};
  }

  // Merges `of` neighbouring lists at a time until one is left of them.
  __aicore__ inline Lists Merge(Lists lists, int64_t of) {
    const LocalTensor<float> records = arena_.Get<float>(at_.records);
    while (of > 1) {
      const int64_t units = lists.count / of;
      const int64_t length = Min(lists.length, tiling_.kept_records);
      const int64_t padded = RoundUp(of, kFanIn);
      const LocalTensor<float> from = Pack(lists, of, padded, length);
      PipeBarrier<PIPE_V>();
      const int64_t merges = units * padded / kFanIn;
      const uint16_t lengths[4] = {(uint16_t)length, (uint16_t)length, (uint16_t)length,
                                   (uint16_t)length};
      const MrgSortSrcList<float> sources(from, from[(uint32_t)(length * 2)],
                                          from[(uint32_t)(length * 4)],
                                          from[(uint32_t)(length * 6)]);
      MrgSort(records, sources, MrgSort4Info(lengths, false, 0xF, (uint8_t)merges));
      PipeBarrier<PIPE_V>();
      lists = {records, merges, kFanIn * length, kFanIn * length, false};
      of = padded / kFanIn;
    }
    return lists;
  }

 private:
  // The first `length` records of each list, one list after the other; behind `of` of them, as many
  // lists as make up `padded`.
  __aicore__ inline LocalTensor<float> Pack(const Lists& lists, int64_t of, int64_t padded,
                                            int64_t length) {
    const LocalTensor<float> to = arena_.Get<float>(at_.lists);
    const int64_t units = lists.count / of;
    const uint16_t blocks = (uint16_t)(length / kRecordBlocks);
    const int64_t gap = (lists.pitch - length) / kRecordBlocks;
    if (padded != of) {  // lists that come last in every order
      Duplicate(to, MinusInfinity(), (int32_t)(units * padded * length * 2));
      PipeBarrier<PIPE_V>();
      for (int64_t i = 0; i < of; ++i) {
        DataCopy(to[(uint32_t)(i * length * 2)], lists.records[(uint32_t)(i * lists.pitch * 2)],
                 DataCopyParams((uint16_t)units, blocks,
                                (uint16_t)(gap + (of - 1) * lists.pitch / kRecordBlocks),
                                (uint16_t)((padded - 1) * length / kRecordBlocks)));
      }
      return to;
    }
    if (lists.is_apart && gap == 0) return lists.records;
    DataCopy(to, lists.records, DataCopyParams((uint16_t)lists.count, blocks, (uint16_t)gap, 0));
    return to;
  }

  const MoeGatingTopKTiling& tiling_;
  const GatingArena& arena_;
  const MoeGatingTopKArena& at_;
};

}  // namespace moe
