// cc/kernels/moe/routing_sorter.h: sorts a chunk of assignments by expert, stably, and counts those
// to lower experts. Device code.
//
// Counting needs no loop over assignments. One list holds the assignments of the chunk, sorted by
// expert; another has a marker for each expert, in order. Both are merged, with a marker before the
// assignments of its expert: then e markers and all assignments to lower experts are before marker
// e, so its place less e is their number.
#pragma once

#include "cc/kernels/moe/routing_common.h"
#include "cc/kernels/moe/routing_loader.h"

namespace moe {

class RoutingSorter {
  static constexpr int32_t kMarker = 1 << 24;  // numbers of markers; those of assignments are below

 public:
  __aicore__ inline RoutingSorter(const MoeInitRoutingTiling& tiling, const RoutingArena& arena)
      : tiling_(tiling), arena_(arena), at_(arena.parts) {}

  __aicore__ inline void Init() {
    records_ = arena_.Get<float>(at_.records);
    merged_ = arena_.Get<float>(at_.merged);
  }

  // Markers of all experts, when these are one tile: they serve every chunk.
  __aicore__ inline void MakeMarkersOnce() {
    if (tiling_.tile_experts >= tiling_.expert_pitch) MakeMarkers(0, tiling_.expert_pitch);
  }

  // The `count` assignments that are loaded: records() holds (-expert, number in the chunk), sorted
  // by expert. Where counts are needed, `below` of the arena holds how many are to lower experts.
  __aicore__ inline void Sort(RoutingLoader& loader, int64_t count) {
    padded_ = RoundUp(count, kList);
    if (count == 0) return;  // `below` holds zeros
    const LocalTensor<float> expert = arena_.Get<float>(at_.experts);
    loader.Take(expert, arena_.Get<int32_t>(at_.numbers), count);
    const uint32_t compared = (uint32_t)RoundUp(count, kLanes);
    const LocalTensor<uint8_t> bits = arena_.Get<uint8_t>(at_.bits);
    const float none = (float)tiling_.experts;
    // mutant: argument off by one of `(int32_t)count` equivalent: Nothing reads the extra
    // elements.
    Adds(expert, expert, -(float)tiling_.first_expert, (int32_t)count);
    PipeBarrier<PIPE_V>();
    CompareScalar(bits, expert, 0.0f, CMPMODE::GE, compared);
    PipeBarrier<PIPE_V>();
    // mutant: argument off by one of `none` equivalent: The next instruction limits the value
    // again.
    Select(expert, bits, expert, none, SELMODE::VSEL_TENSOR_SCALAR_MODE, compared);
    PipeBarrier<PIPE_V>();
    // mutant: argument off by one of `(int32_t)count` equivalent: Nothing reads the extra
    // elements.
    Mins(expert, expert, none, (int32_t)count);
    PipeBarrier<PIPE_V>();
    // mutant: drop bound, bound off by one equivalent: Nothing reads these elements; they only
    // need a value.
    if (padded_ > count) {
      // mutant: drop term equivalent: The processor shifts modulo 64.
      const uint64_t behind[2] = {~uint64_t{0} << (count % kLanes), 0};
      // mutant: constant off by one of `8` equivalent: One repeat: strides are not used.
      Duplicate(expert[(uint32_t)(count / kLanes * kLanes)], none, behind, 1, 1, 8);
      PipeBarrier<PIPE_V>();
    }
    // mutant: argument off by one of `(int32_t)padded_` equivalent: Nothing reads the extra
    // elements.
    Muls(expert, expert, -1.0f, (int32_t)padded_);
    PipeBarrier<PIPE_V>();
    MergeSort(expert, arena_.Get<int32_t>(at_.iota), padded_);
    if (NeedsCounts(tiling_)) CountBelow();
  }

  // records(): (keys, numbers) in falling order of keys, equal ones in the order that they have.
  // `count`: a multiple of 32.
  __aicore__ inline void MergeSort(const LocalTensor<float>& keys,
                                   const LocalTensor<int32_t>& numbers, int64_t count) {
    LocalTensor<float> from = arena_.Get<float>(at_.records);
    LocalTensor<float> to = arena_.Get<float>(at_.merged);
    // mutant: argument off by one of `(int32_t)(count / kList)` equivalent: Nothing reads the
    // extra elements.
    Sort32(from, keys, numbers.ReinterpretCast<uint32_t>(), (int32_t)(count / kList));
    PipeBarrier<PIPE_V>();
    // mutant: bound off by one equivalent: Copies the one list once more.
    for (int64_t length = kList; length < count; length *= kFanIn) {
      const int64_t whole = count / (length * kFanIn);
      const int64_t done = whole * length * kFanIn;
      // mutant: argument off by one of `whole * kFanIn * length` equivalent: Only whole lists
      // count.
      if (whole > 0) MergeLists(to, from, length, whole * kFanIn * length, whole);
      if (done < count) {
        const uint32_t at = (uint32_t)(done * 2);
        if (count - done <= length) {
          DataCopy(to[at], from[at], (uint32_t)((count - done) * 2));
        } else {
          MergeLists(to[at], from[at], length, count - done, 1);
        }
      }
      PipeBarrier<PIPE_V>();
      const LocalTensor<float> other = from;
      from = to;
      to = other;
    }
    records_ = from;
    merged_ = to;
  }

  // The sorted records, ...
  __aicore__ inline const LocalTensor<float>& records() const { return records_; }
  // ... their number, with those that fill up the last 32, and ...
  __aicore__ inline int64_t padded() const { return padded_; }
  // ... a buffer as large as theirs, which the next merge overwrites.
  __aicore__ inline const LocalTensor<float>& spare() const { return merged_; }

 private:
  // Records of experts [first, first + count) that come before their assignments.
  __aicore__ inline void MakeMarkers(int64_t first, int64_t count) {
    const LocalTensor<int32_t> iota = arena_.Get<int32_t>(at_.iota);
    const LocalTensor<float> key = arena_.Get<float>(at_.work);
    const LocalTensor<int32_t> number = arena_.Get<int32_t>(at_.numbers);
    // mutant: argument off by one of `(uint32_t)count` equivalent: Nothing reads the extra
    // elements.
    Cast(key, iota, RoundMode::CAST_NONE, (uint32_t)count);
    // mutant: argument off by one of `kMarker` equivalent: A marker only has to be larger than
    // every pair's number.
    // mutant: argument off by one of `(int32_t)count` equivalent: Nothing reads the extra
    // elements.
    Adds(number, iota, kMarker, (int32_t)count);
    PipeBarrier<PIPE_V>();
    // mutant: argument off by one of `(int32_t)count` equivalent: Nothing reads the extra
    // elements.
    Adds(key, key, (float)first, (int32_t)count);
    PipeBarrier<PIPE_V>();
    // mutant: argument off by one of `(int32_t)count` equivalent: Nothing reads the extra
    // elements.
    Muls(key, key, -1.0f, (int32_t)count);
    PipeBarrier<PIPE_V>();
    Sort32(arena_.Get<float>(at_.markers), key, number.ReinterpretCast<uint32_t>(),
           (int32_t)(count / kList));
    PipeBarrier<PIPE_V>();
  }

  // Lists of `length` records, the last may be shorter, four to a repeat.
  __aicore__ inline void MergeLists(const LocalTensor<float>& to, const LocalTensor<float>& from,
                                    int64_t length, int64_t count, int64_t repeats) {
    uint16_t lengths[4] = {0, 0, 0, 0};
    uint16_t valid = 0;
    // mutant: bound off by one equivalent: One more empty list is merged.
    for (int64_t i = 0; i < kFanIn && i * length < count; ++i) {
      lengths[i] = (uint16_t)Min(length, count - i * length);
      valid = (uint16_t)(valid * 2 + 1);
    }
    const auto list = [&](int64_t i) { return from[(uint32_t)(lengths[i] ? i * length * 2 : 0)]; };
    MrgSort(to, MrgSortSrcList<float>(list(0), list(1), list(2), list(3)),
            MrgSort4Info(lengths, false, valid, (uint8_t)repeats));
  }

  // below[e]: from the places of the markers among the merged records.
  __aicore__ inline void CountBelow() {
    const LocalTensor<int32_t> iota = arena_.Get<int32_t>(at_.iota);
    const LocalTensor<int32_t> number = arena_.Get<int32_t>(at_.numbers);
    const LocalTensor<float> value = arena_.Get<float>(at_.values);
    const LocalTensor<uint8_t> bits = arena_.Get<uint8_t>(at_.bits);
    // mutant: bound off by one equivalent: The extra iteration has no elements.
    for (int64_t first = 0; first < tiling_.expert_pitch; first += tiling_.tile_experts) {
      const int64_t experts = Min(tiling_.tile_experts, tiling_.expert_pitch - first);
      const LocalTensor<int32_t> below = arena_.Get<int32_t>(at_.below)[(uint32_t)first];
      const int64_t count = experts + padded_;
      // mutant: drop bound, bound off by one equivalent: Computes the same values again.
      // mutant: argument off by one equivalent: Nothing reads the extra elements.
      if (tiling_.tile_experts < tiling_.expert_pitch) MakeMarkers(first, experts);
      const LocalTensor<float> marker = arena_.Get<float>(at_.markers);
      const uint16_t lengths[4] = {(uint16_t)experts, (uint16_t)padded_, 0, 0};
      MrgSort(merged_, MrgSortSrcList<float>(marker, records_, records_, records_),
              MrgSort4Info(lengths, false, 3, 1));
      PipeBarrier<PIPE_V>();
      Fields(number, merged_, 1, count);
      PipeBarrier<PIPE_V>();
      Cast(value, number, RoundMode::CAST_NONE, (uint32_t)count);
      PipeBarrier<PIPE_V>();
      // mutant: argument off by one of `(float)kMarker` equivalent: A marker only has to be larger
      // than every pair's number.
      CompareScalar(bits, value, (float)kMarker, CMPMODE::GE, (uint32_t)RoundUp(count, kLanes));
      PipeBarrier<PIPE_V>();
      uint64_t taken = 0;
      GatherMask(below, iota, bits.ReinterpretCast<uint32_t>(), true, (uint32_t)count, Once(),
                 taken);
      PipeBarrier<PIPE_V>();
      Sub(below, below, iota, (int32_t)experts);
      PipeBarrier<PIPE_V>();
    }
  }

  const MoeInitRoutingTiling& tiling_;
  const RoutingArena& arena_;
  const MoeInitRoutingArena& at_;
  int64_t padded_ = 0;
  LocalTensor<float> records_, merged_;
};

}  // namespace moe
