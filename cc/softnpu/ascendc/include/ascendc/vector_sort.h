// cc/softnpu/ascendc/include/ascendc/vector_sort.h: sorting, descending.
//
// A record is a score and a 32-bit index in 8 bytes; a half lies in the low 2 bytes.
#pragma once

#include "ascendc/data_copy.h"
#include "ascendc/sync.h"
#include "ascendc/vector_gather.h"

namespace AscendC {

template <typename T>
struct MrgSortSrcList {
  LocalTensor<T> src1, src2, src3, src4;

  MrgSortSrcList() = default;
  MrgSortSrcList(const LocalTensor<T>& first, const LocalTensor<T>& second,
                 const LocalTensor<T>& third, const LocalTensor<T>& fourth)
      : src1(first), src2(second), src3(third), src4(fourth) {}
};

struct MrgSort4Info {
  uint16_t elementLengths[4] = {};
  bool ifExhaustedSuspension = false;
  uint16_t validBit = 0;
  uint8_t repeatTimes = 1;

  MrgSort4Info() = default;
  MrgSort4Info(const uint16_t lengths[4], bool suspend, uint16_t valid, uint8_t repeats)
      : ifExhaustedSuspension(suspend), validBit(valid), repeatTimes(repeats) {
    for (int i = 0; i < 4; ++i) elementLengths[i] = lengths[i];
  }
};

// Elements of T that n records take.
template <typename T>
inline uint32_t GetSortOffset(const uint32_t elemOffset) {
  return elemOffset * static_cast<uint32_t>(8 / sizeof(T));
}
template <typename T>
inline uint32_t GetSortLen(const uint32_t elemCount) {
  return elemCount * static_cast<uint32_t>(8 / sizeof(T));
}

// Per repeat 32 elements become 32 records in order.
template <typename T>
inline void Sort32(const LocalTensor<T>& dst, const LocalTensor<T>& src0,
                   const LocalTensor<uint32_t>& src1, const softnpu_internal::Repeats& repeatTime,
                   Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_SORT32, where)
      .Operand(dst)
      .Operand(src0)
      .Operand(src1)
      .Count(repeatTime);
}

namespace softnpu_internal {
template <typename T>
inline void Merge(SoftnpuOpcode opcode, const LocalTensor<T>& dst, const MrgSortSrcList<T>& list,
                  const uint16_t* lengths, bool suspend, uint16_t valid, int32_t repeats,
                  uint32_t* sorted, const Where& where) {
  const SoftnpuTensor sources[4] = {list.src1.raw_, list.src2.raw_, list.src3.raw_, list.src4.raw_};
  Vector call(opcode, where);
  call.Operand(dst);
  call.instruction.list = sources;
  call.instruction.list_count = 4;
  for (int i = 0; i < 4; ++i) call.Param(i, lengths[i]);
  call.Param(4, suspend).Param(5, valid).Param(6, repeats).Repeat(1);
  for (int i = 0; i < 4 && sorted != nullptr; ++i) {
    sorted[i] = static_cast<uint32_t>(call.instruction.params[8 + i]);
  }
}
}  // namespace softnpu_internal

// Merges up to four sorted lists of records. With suspension it ends when a list is used up.
template <typename T>
inline void MrgSort(const LocalTensor<T>& dst, const MrgSortSrcList<T>& src,
                    const MrgSort4Info& params, Where where = Where::Here()) {
  softnpu_internal::Merge(SOFTNPU_OP_MRG_SORT, dst, src, params.elementLengths,
                          params.ifExhaustedSuspension, params.validBit, params.repeatTimes,
                          nullptr, where);
}
template <typename T, bool isExhaustedSuspension = false>
inline void MrgSort(const LocalTensor<T>& dst, const MrgSortSrcList<T>& sortList,
                    const uint16_t elementCountList[4], uint32_t sortedNum[4], uint16_t validBit,
                    const softnpu_internal::Repeats& repeatTime, Where where = Where::Here()) {
  softnpu_internal::Merge(SOFTNPU_OP_MRG_SORT, dst, sortList, elementCountList,
                          isExhaustedSuspension, validBit, repeatTime, sortedNum, where);
}
// How many records of each list the last MrgSort has merged.
inline void GetMrgSortResult(uint16_t& mrgSortList1, uint16_t& mrgSortList2, uint16_t& mrgSortList3,
                             uint16_t& mrgSortList4, Where where = Where::Here()) {
  softnpu_internal::Vector call(SOFTNPU_OP_GET_MRG_SORT_RESULT, where);
  call.Repeat(1);
  mrgSortList1 = static_cast<uint16_t>(call.instruction.params[0]);
  mrgSortList2 = static_cast<uint16_t>(call.instruction.params[1]);
  mrgSortList3 = static_cast<uint16_t>(call.instruction.params[2]);
  mrgSortList4 = static_cast<uint16_t>(call.instruction.params[3]);
}

// What Sort takes. On A2 and A3 it is the source itself.
template <typename T>
inline void Concat(LocalTensor<T>& concat, const LocalTensor<T>& src, const LocalTensor<T>& tmp,
                   const softnpu_internal::Repeats& repeatTime) {
  (void)tmp;
  (void)repeatTime;
  concat = src;
}

// Records of 32 * repeatTime elements; in order throughout with isFullSort, then `tmp` is as long
// as dst. A sequence with its barriers inside.
template <typename T, bool isFullSort>
inline void Sort(const LocalTensor<T>& dst, const LocalTensor<T>& concat,
                 const LocalTensor<uint32_t>& index, LocalTensor<T>& tmp,
                 const softnpu_internal::Repeats& repeatTime, Where where = Where::Here()) {
  const uint32_t total = static_cast<uint32_t>(repeatTime) * 32;
  uint32_t levels = 0;
  if constexpr (isFullSort) {
    for (uint32_t length = 32; length < total; length *= 4) ++levels;
  }
  LocalTensor<T> from = levels % 2 == 0 ? dst : tmp;
  LocalTensor<T> to = levels % 2 == 0 ? tmp : dst;
  Sort32(from, concat, index, repeatTime, where);
  uint32_t length = 32;
  for (uint32_t level = 0; level < levels; ++level, length *= 4) {
    PipeBarrier<PIPE_V>(where);
    for (uint32_t first = 0; first < total; first += 4 * length) {
      uint16_t lengths[4] = {};
      LocalTensor<T> part[4] = {from, from, from, from};
      uint32_t lists = 0;
      for (uint32_t at = first; at < total && lists < 4; at += length, ++lists) {
        lengths[lists] = static_cast<uint16_t>(total - at < length ? total - at : length);
        part[lists] = from[GetSortOffset<T>(at)];
      }
      const LocalTensor<T> out = to[GetSortOffset<T>(first)];
      if (lists == 1) {
        DataCopy(out, part[0], GetSortLen<T>(lengths[0]), where);
      } else {
        MrgSort(out, MrgSortSrcList<T>(part[0], part[1], part[2], part[3]),
                MrgSort4Info(lengths, false, static_cast<uint16_t>((1 << lists) - 1), 1), where);
      }
    }
    const LocalTensor<T> swap = from;
    from = to;
    to = swap;
  }
}

// Scores and indices of 32 * repeatTime records.
template <typename T>
inline void Extract(const LocalTensor<T>& dstValue, const LocalTensor<uint32_t>& dstIndex,
                    const LocalTensor<T>& sorted, const softnpu_internal::Repeats& repeatTime,
                    Where where = Where::Here()) {
  uint64_t kept = 0;
  const uint32_t words = static_cast<uint32_t>(repeatTime) * 32 * 2;
  GatherMask(dstValue, sorted, static_cast<uint8_t>(sizeof(T) == 4 ? 1 : 3), true,
             words * static_cast<uint32_t>(4 / sizeof(T)), GatherMaskParams(1, 1, 0, 0), kept,
             where);
  GatherMask(dstIndex, sorted.template ReinterpretCast<uint32_t>(), 2, true, words,
             GatherMaskParams(1, 1, 0, 0), kept, where);
}

// 310P: region proposals of eight elements, sorted by number 4.
template <typename T>
inline void RpSort16(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                     const softnpu_internal::Repeats& repeatTime, Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_RP_SORT16, where).Operand(dst).Operand(src).Count(repeatTime);
}
template <typename T>
inline void MrgSort4(const LocalTensor<T>& dst, const MrgSortSrcList<T>& src,
                     const MrgSort4Info& params, Where where = Where::Here()) {
  softnpu_internal::Merge(SOFTNPU_OP_MRG_SORT4, dst, src, params.elementLengths,
                          params.ifExhaustedSuspension, params.validBit, params.repeatTimes,
                          nullptr, where);
}
template <typename T>
inline void ProposalConcat(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                           const softnpu_internal::Repeats& repeatTime, const int32_t modeNumber,
                           Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_PROPOSAL_CONCAT, where)
      .Operand(dst)
      .Operand(src)
      .Param(0, modeNumber)
      .Count(repeatTime);
}
template <typename T>
inline void ProposalExtract(const LocalTensor<T>& dst, const LocalTensor<T>& src,
                            const softnpu_internal::Repeats& repeatTime, const int32_t modeNumber,
                            Where where = Where::Here()) {
  softnpu_internal::Vector(SOFTNPU_OP_PROPOSAL_EXTRACT, where)
      .Operand(dst)
      .Operand(src)
      .Param(0, modeNumber)
      .Count(repeatTime);
}

}  // namespace AscendC
