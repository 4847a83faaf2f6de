// cc/kernels/moe/moe_init_routing.cpp: sorts the (token, expert) pairs by expert, stably, and puts
// each token's row at its pairs' places: for moe_init_routing, _v2 and moe_token_permute.
//
// Pair f = token * k + j. Its place is the number of pairs that come before it: those of lower
// experts, and those of its own with a lower f. Pairs of experts out of range, and with a capacity
// those beyond it, have place -1 and are skipped.
//
// Counting needs no loop over pairs: one list holds the pairs of a chunk, sorted by expert, another
// a marker for each expert in order; merged, with markers before the pairs of their expert, marker
// e lies behind e markers and all pairs of lower experts. Few pairs: each core sorts all of them,
// and moves its share; what is counted for the caller alone is counted by a core that moves none,
// if one is free.
// Many: each core sorts its own, writes for each expert how many of its pairs are below it and how
// many are its own into the workspace, waits for all, and adds up. A pair's place then is its place
// in the chunk plus a number that only its expert decides. A second sort brings the places into the
// order of pairs.
//
// Rows are moved as bytes: loaded once for a token, the first ones while pairs are sorted, stored
// once for each of its pairs. Quantised rows are computed in float and rounded once, to nearest
// even. Of a single token, if experts have no factors of their own, cores share the row: each makes
// some columns for all pairs, with the largest magnitude of the whole row.
// clang-format off
#include "kernel_operator.h"
#include "cc/kernels/moe/moe_common.h"
#include "cc/kernels/moe/moe_init_routing_tiling.h"
// clang-format on

namespace {

using namespace AscendC;
using namespace moe;

constexpr int32_t kMarker = 1 << 24;  // numbers of markers; those of pairs are below
constexpr int64_t kWords = 128;       // single words that are stored from one buffer

// Where everything is; addresses of absent tensors are not used.
struct Addresses {
  GM_ADDR x;
  GM_ADDR expert_idx;
  GM_ADDR row_idx;
  GM_ADDR scale;
  GM_ADDR offset;
  GM_ADDR expanded_x;
  GM_ADDR expanded_row_idx;
  GM_ADDR expanded_expert_idx;
  GM_ADDR expert_tokens;
  GM_ADDR expanded_scale;
  GM_ADDR workspace;
};

// T: elements of x when rows are quantised; uint8_t: rows are moved as they are.
template <typename T>
class MoeInitRouting {
  static constexpr bool kQuantises = sizeof(T) > 1;
  using Storage = typename StorageOf<T>::Type;

 public:
  __aicore__ inline MoeInitRouting(TPipe* pipe, const Addresses& at,
                                   const MoeInitRoutingTiling& tiling)
      : tiling_(tiling),
        is_apart_(tiling.counts_apart && GetBlockIdx() == GetBlockNum() - 1),
        share_(is_apart_ ? Share{0, 0} : ShareOf(tiling.pairs, MovingCores())) {
    const int64_t pairs = tiling.pairs;
    x_gm_.SetGlobalBuffer(at.x, tiling.tokens * tiling.row_bytes);
    typed_gm_.SetGlobalBuffer((__gm__ Storage*)at.x, tiling.tokens * tiling.row_elements);
    expert_gm_.SetGlobalBuffer((__gm__ int32_t*)at.expert_idx, pairs * (tiling.index_bytes / 4));
    const int64_t out_bytes = kQuantises ? tiling.row_elements : tiling.row_bytes;
    out_gm_.SetGlobalBuffer(at.expanded_x, tiling.out_rows * out_bytes);
    places_gm_.SetGlobalBuffer((__gm__ int32_t*)at.expanded_row_idx, pairs);
    if (tiling.by_row_idx) {
      row_gm_.SetGlobalBuffer((__gm__ int32_t*)at.row_idx, pairs);
      sorted_gm_.SetGlobalBuffer((__gm__ int32_t*)at.expanded_expert_idx, pairs);
    }
    if (tiling.tokens_type >= 0) {
      tokens_gm_.SetGlobalBuffer((__gm__ int64_t*)at.expert_tokens,
                                 tiling.experts * (tiling.tokens_type == 2 ? 2 : 1));
    }
    if (HasScaleOut()) {
      scale_out_gm_.SetGlobalBuffer((__gm__ float*)at.expanded_scale, tiling.out_rows);
    }
    if (tiling.has_scale) {
      const int64_t scales = tiling.quant_mode == 1   ? tiling.experts * tiling.row_elements
                             : tiling.quant_mode == 0 ? 1
                                                      : tiling.tokens;
      scale_gm_.SetGlobalBuffer((__gm__ float*)at.scale, scales);
    }
    if (tiling.quant_mode == 0) offset_gm_.SetGlobalBuffer((__gm__ float*)at.offset, 1);
    if (tiling.is_shared) {
      below_gm_.SetGlobalBuffer((__gm__ int32_t*)at.workspace,
                                2 * GetBlockNum() * tiling.expert_pitch);
    }
    const int64_t records = RoundUp(tiling.chunk + tiling.tile_experts, kLanes);
    const int64_t numbers = records > 2 * tiling.tile_experts ? records : 2 * tiling.tile_experts;
    // What is needed first comes while the rest is laid out. A core that shares the sorting sorts
    // its own pairs, others all of them.
    pipe->InitBuffer(index_buffer_, (uint32_t)(tiling.chunk * tiling.index_bytes));
    if (tiling.by_row_idx) pipe->InitBuffer(row_buffer_, (uint32_t)(tiling.chunk * 4));
    const int64_t first = tiling.is_shared ? share_.begin : 0;
    LoadExperts(first, Min(tiling.chunk, (tiling.is_shared ? share_.end : pairs) - first));
    const int64_t row = RoundUp(tiling.row_elements, kLanes);
    if constexpr (kQuantises) {
      pipe->InitBuffer(in_, 2, (uint32_t)(row * (int64_t)sizeof(T)));
    } else {
      pipe->InitBuffer(rows_, 2, (uint32_t)tiling.buffer_bytes);
    }
    LoadAhead();
    pipe->InitBuffer(arena_, (uint32_t)(tiling.arena_words * 4));
    int64_t used = 0;
    const auto part = [&](Part& buffer, int64_t count) {
      buffer.words = arena_.GetWithOffset<float>((uint32_t)count, (uint32_t)(used * 4));
      used += count;
    };
    part(marker_buffer_, tiling.tile_experts * 2);
    part(iota_buffer_, numbers);
    part(bits_buffer_, BitBytes(numbers) / 4);
    part(base_buffer_, tiling.expert_pitch);
    part(shift_buffer_, tiling.tile_experts);
    part(flat_buffer_, tiling.chunk);
    part(limit_buffer_, kBlockFloats);
    // From here to work_buffer_: zeros at first.
    first_zero_ = used;
    part(below_buffer_, tiling.expert_pitch);
    part(count_buffer_, tiling.tile_experts);
    if (tiling.capacity > 0) part(zero_buffer_, ZeroBytes() / 4);
    // Rows are quantised where their pairs were sorted.
    const int64_t shared = used;
    part(expert_buffer_, numbers);
    part(place_buffer_, numbers);
    part(work_buffer_, numbers);
    zeros_ = used - first_zero_;
    part(number_buffer_, numbers);
    part(first_records_, records * 2);
    part(other_records_, records * 2);
    if (tiling.is_shared) part(table_buffer_, GetBlockNum() * tiling.tile_experts);
    if (tiling.tokens_type >= 0) {
      pipe->InitBuffer(tokens_out_, 1, (uint32_t)(tiling.tile_experts * 16));
    }
    if (tiling.by_row_idx || tiling.gives_order) {
      pipe->InitBuffer(words_out_, 2, (uint32_t)(kWords * ONE_BLK_SIZE));
    }
    if constexpr (kQuantises) {
      const bool has_factors = tiling.quant_mode == 1 && tiling.has_scale;
      pipe->InitBuffer(out_, 2, (uint32_t)row);
      pipe->InitBuffer(scales_out_, 2, ONE_BLK_SIZE);
      if (has_factors) pipe->InitBuffer(smooth_in_, 1, (uint32_t)(row * 4));
      used = shared;
      part(wide_buffer_, row);
      // Half of the banks apart, which an instruction reads and writes at once.
      if (row % (2 * kLanes) == 0) used += kLanes;
      part(scratch_buffer_, row);
      part(peak_buffer_, 2 * kBlockFloats);
      if (has_factors) part(product_buffer_, row);
    } else if (tiling.has_scale) {
      pipe->InitBuffer(scales_in_, 1, (uint32_t)(kWords * 4));
      pipe->InitBuffer(token_scales_, 2, (uint32_t)(kWords * ONE_BLK_SIZE));
    }
    records_ = first_records_.Get<float>();
    spare_ = other_records_.Get<float>();
  }

  __aicore__ inline void Run() {
    MakeTables();
    if (!tiling_.is_shared) {
      // Without a pair there are counts all the same.
      Sort(tiling_.pairs);
      if (Counts()) AddUp();
      // It counts, or makes zeros.
      if (share_.begin >= share_.end && (is_apart_ || !tiling_.shares_row)) return;
      Rank(tiling_.pairs);
      Act(0, tiling_.pairs, share_);
      return;
    }
    const bool is_single = share_.end - share_.begin <= tiling_.chunk;
    const LocalTensor<int32_t> below = below_buffer_.Get<int32_t>();
    const LocalTensor<int32_t> base = base_buffer_.Get<int32_t>();
    const int32_t pitch = (int32_t)tiling_.expert_pitch;
    Duplicate(base, 0, pitch);
    for (int64_t pair = share_.begin; pair < share_.end; pair += tiling_.chunk) {
      const int64_t count = Min(tiling_.chunk, share_.end - pair);
      if (pair > share_.begin) ReloadExperts(pair, count);
      Sort(count);
      Add(base, base, below, pitch);
      PipeBarrier<PIPE_V>();
    }
    GiveCounts();
    PipeBarrier<PIPE_ALL>();
    SyncAll();
    AddUp();
    for (int64_t pair = share_.begin; pair < share_.end; pair += tiling_.chunk) {
      const int64_t count = Min(tiling_.chunk, share_.end - pair);
      if (!is_single) {
        ReloadExperts(pair, count);
        Sort(count);
      }
      Rank(count);
      Act(pair, count, {pair, pair + count});
    }
  }

 private:
  __aicore__ inline bool HasScaleOut() const {
    return tiling_.quant_mode == 1 || (tiling_.quant_mode < 0 && tiling_.has_scale);
  }
  // Cores that move rows.
  __aicore__ inline int64_t MovingCores() const { return GetBlockNum() - tiling_.counts_apart; }
  // Whether this core has to know how many pairs each expert has.
  __aicore__ inline bool Counts() const {
    return tiling_.is_shared || tiling_.capacity > 0 || tiling_.gives_order ||
           (tiling_.tokens_type >= 0 && GetBlockIdx() == GetBlockNum() - 1);
  }
  // Whether a place is more than the place among the sorted pairs of all.
  __aicore__ inline bool HasDelta() const { return tiling_.is_shared || tiling_.capacity > 0; }
  __aicore__ inline int64_t ZeroBytes() const {
    return Min(RoundUp(kQuantises ? tiling_.row_elements : tiling_.row_bytes, kBlockBytes), 4096);
  }

  __aicore__ inline void MakeTables() {
    const int64_t records = RoundUp(tiling_.chunk + tiling_.tile_experts, kLanes);
    const int64_t numbers = records > 2 * tiling_.tile_experts ? records : 2 * tiling_.tile_experts;
    const LocalTensor<int32_t> iota = iota_buffer_.Get<int32_t>();
    CreateVecIndex(iota, 0, (uint32_t)numbers);
    // The last half repeat of a comparison holds a value, too; without pairs all counts are 0.
    Duplicate(arena_.GetWithOffset<int32_t>((uint32_t)zeros_, (uint32_t)(first_zero_ * 4)), 0,
              (int32_t)zeros_);
    if constexpr (kQuantises) {
      Duplicate(limit_buffer_.Get<float>(), 127.0f, (int32_t)kBlockFloats);
    }
    PipeBarrier<PIPE_V>();
    Muls(shift_buffer_.Get<int32_t>(), iota, 4, (int32_t)tiling_.tile_experts);
    if (Counts() && tiling_.tile_experts >= tiling_.expert_pitch) {
      MakeMarkers(0, tiling_.expert_pitch);
    }
    PipeBarrier<PIPE_V>();
  }

  // Records of experts [first, first + count) that come before their pairs.
  __aicore__ inline void MakeMarkers(int64_t first, int64_t count) {
    const LocalTensor<int32_t> iota = iota_buffer_.Get<int32_t>();
    const LocalTensor<float> key = work_buffer_.Get<float>();
    const LocalTensor<int32_t> number = number_buffer_.Get<int32_t>();
    Cast(key, iota, RoundMode::CAST_NONE, (uint32_t)count);
    Adds(number, iota, kMarker, (int32_t)count);
    PipeBarrier<PIPE_V>();
    Adds(key, key, (float)first, (int32_t)count);
    PipeBarrier<PIPE_V>();
    Muls(key, key, -1.0f, (int32_t)count);
    PipeBarrier<PIPE_V>();
    Sort32(marker_buffer_.Get<float>(), key, number.ReinterpretCast<uint32_t>(),
           (int32_t)(count / kList));
    PipeBarrier<PIPE_V>();
  }

  // The `count` pairs whose experts are loaded: records_ holds them sorted by expert, with their
  // numbers in the chunk, and below_buffer_ how many are of experts below each.
  __aicore__ inline void Sort(int64_t count) {
    padded_ = RoundUp(count, kList);
    if (count == 0) return;  // below_buffer_ holds zeros
    const LocalTensor<float> expert = expert_buffer_.Get<float>();
    WidenExperts(count);
    const uint32_t compared = (uint32_t)RoundUp(count, kLanes);
    const LocalTensor<uint8_t> bits = bits_buffer_.Get<uint8_t>();
    const float none = (float)tiling_.experts;
    Adds(expert, expert, -(float)tiling_.first_expert, (int32_t)count);
    PipeBarrier<PIPE_V>();
    CompareScalar(bits, expert, 0.0f, CMPMODE::GE, compared);
    PipeBarrier<PIPE_V>();
    Select(expert, bits, expert, none, SELMODE::VSEL_TENSOR_SCALAR_MODE, compared);
    PipeBarrier<PIPE_V>();
    Mins(expert, expert, none, (int32_t)count);
    PipeBarrier<PIPE_V>();
    if (padded_ > count) {
      const uint64_t behind[2] = {~uint64_t{0} << (count % kLanes), 0};
      Duplicate(expert[(uint32_t)(count / kLanes * kLanes)], none, behind, 1, 1, 8);
      PipeBarrier<PIPE_V>();
    }
    Muls(expert, expert, -1.0f, (int32_t)padded_);
    PipeBarrier<PIPE_V>();
    MergeSort(expert, iota_buffer_.Get<int32_t>(), padded_);
    if (Counts()) CountBelow();
  }

  __aicore__ inline void ReloadExperts(int64_t first, int64_t count) {
    // The scalar and the vector unit have used what is overwritten now.
    Order<HardEvent::S_MTE2>();
    Order<HardEvent::V_MTE2>();
    LoadExperts(first, count);
  }

  // index_buffer_ becomes the experts of pairs [first, first + count).
  __aicore__ inline void LoadExperts(int64_t first, int64_t count) {
    if (count <= 0) return;
    const int64_t words = tiling_.index_bytes / 4;
    const LocalTensor<int32_t> index = index_buffer_.Get<int32_t>();
    const uint8_t padding = (uint8_t)(RoundUp(count * words, kBlockFloats) - count * words);
    DataCopyPad(index, expert_gm_[first * words], OneRow(count * tiling_.index_bytes),
                DataCopyPadExtParams<int32_t>(true, 0, padding, 0));
    if (tiling_.by_row_idx) {
      DataCopyPad(row_buffer_.Get<int32_t>(), row_gm_[first], OneRow(count * 4),
                  DataCopyPadExtParams<int32_t>(true, 0, padding, 0));
    }
    // Nobody waits for what is loaded after them.
    for_vectors_ = GetTPipePtr()->AllocEventID<HardEvent::MTE2_V>();
    for_scalars_ = GetTPipePtr()->FetchEventID(HardEvent::MTE2_S);
    SetFlag<HardEvent::MTE2_V>(for_vectors_);
    SetFlag<HardEvent::MTE2_S>(for_scalars_);
  }

  // expert_buffer_ becomes the experts of index_buffer_ as floats.
  __aicore__ inline void WidenExperts(int64_t count) {
    const LocalTensor<int32_t> index = index_buffer_.Get<int32_t>();
    const LocalTensor<float> expert = expert_buffer_.Get<float>();
    WaitFlag<HardEvent::MTE2_V>(for_vectors_);
    GetTPipePtr()->ReleaseEventID<HardEvent::MTE2_V>(for_vectors_);
    WaitFlag<HardEvent::MTE2_S>(for_scalars_);
    if (tiling_.index_bytes == 8) {
      const LocalTensor<int32_t> narrow = number_buffer_.Get<int32_t>();
      Cast(narrow, index.ReinterpretCast<int64_t>(), RoundMode::CAST_NONE, (uint32_t)count);
      PipeBarrier<PIPE_V>();
      Cast(expert, narrow, RoundMode::CAST_NONE, (uint32_t)count);
    } else {
      Cast(expert, index, RoundMode::CAST_NONE, (uint32_t)count);
    }
    PipeBarrier<PIPE_V>();
  }

  // records_: (keys, numbers) in falling order of keys, equal ones in the order they have; spare_:
  // the other buffer.
  __aicore__ inline void MergeSort(const LocalTensor<float>& keys,
                                   const LocalTensor<int32_t>& numbers, int64_t count) {
    LocalTensor<float> from = first_records_.Get<float>();
    LocalTensor<float> to = other_records_.Get<float>();
    Sort32(from, keys, numbers.ReinterpretCast<uint32_t>(), (int32_t)(count / kList));
    PipeBarrier<PIPE_V>();
    for (int64_t length = kList; length < count; length *= kFanIn) {
      const int64_t whole = count / (length * kFanIn);
      const int64_t done = whole * length * kFanIn;
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
    spare_ = to;
  }

  // Lists of `length` records, the last may be shorter, four to a repeat.
  __aicore__ inline void MergeLists(const LocalTensor<float>& to, const LocalTensor<float>& from,
                                    int64_t length, int64_t count, int64_t repeats) {
    uint16_t lengths[4] = {0, 0, 0, 0};
    uint16_t valid = 0;
    for (int64_t i = 0; i < kFanIn && i * length < count; ++i) {
      lengths[i] = (uint16_t)Min(length, count - i * length);
      valid = (uint16_t)(valid * 2 + 1);
    }
    const auto list = [&](int64_t i) { return from[(uint32_t)(lengths[i] ? i * length * 2 : 0)]; };
    MrgSort(to, MrgSortSrcList<float>(list(0), list(1), list(2), list(3)),
            MrgSort4Info(lengths, false, valid, (uint8_t)repeats));
  }

  __aicore__ inline void CountBelow() {
    const LocalTensor<int32_t> iota = iota_buffer_.Get<int32_t>();
    const LocalTensor<int32_t> number = number_buffer_.Get<int32_t>();
    const LocalTensor<float> value = place_buffer_.Get<float>();
    const LocalTensor<uint8_t> bits = bits_buffer_.Get<uint8_t>();
    for (int64_t first = 0; first < tiling_.expert_pitch; first += tiling_.tile_experts) {
      const int64_t experts = Min(tiling_.tile_experts, tiling_.expert_pitch - first);
      const LocalTensor<int32_t> below = below_buffer_.Get<int32_t>()[(uint32_t)first];
      const int64_t count = experts + padded_;
      if (tiling_.tile_experts < tiling_.expert_pitch) MakeMarkers(first, experts);
      const LocalTensor<float> marker = marker_buffer_.Get<float>();
      const uint16_t lengths[4] = {(uint16_t)experts, (uint16_t)padded_, 0, 0};
      MrgSort(spare_, MrgSortSrcList<float>(marker, records_, records_, records_),
              MrgSort4Info(lengths, false, 3, 1));
      PipeBarrier<PIPE_V>();
      Fields(number, spare_, 1, count);
      PipeBarrier<PIPE_V>();
      Cast(value, number, RoundMode::CAST_NONE, (uint32_t)count);
      PipeBarrier<PIPE_V>();
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

  // count_buffer_: pairs of each expert of a tile, from how many are below each.
  __aicore__ inline LocalTensor<int32_t> CountsOf(const LocalTensor<int32_t>& below, int64_t first,
                                                  int64_t experts) {
    const LocalTensor<int32_t> counts = count_buffer_.Get<int32_t>();
    Pick(counts, below, shift_buffer_.Get<uint32_t>(), (uint32_t)((first + 1) * 4),
         (uint32_t)(experts - (first + experts == tiling_.expert_pitch ? 1 : 0)));
    PipeBarrier<PIPE_V>();
    Sub(counts, counts, below[(uint32_t)first], (int32_t)experts);
    PipeBarrier<PIPE_V>();
    return counts;
  }

  // What this core has (base_buffer_) for the others.
  __aicore__ inline void GiveCounts() {
    const LocalTensor<int32_t> base = base_buffer_.Get<int32_t>();
    const int64_t pitch = tiling_.expert_pitch;
    const int64_t row = GetBlockIdx() * 2 * pitch;
    Order<HardEvent::V_MTE3>();
    DataCopyPad(below_gm_[row], base, OneRow(pitch * 4));
    for (int64_t first = 0; first < pitch; first += tiling_.tile_experts) {
      const int64_t experts = Min(tiling_.tile_experts, pitch - first);
      const LocalTensor<int32_t> counts = CountsOf(base, first, experts);
      Order<HardEvent::V_MTE3>();
      DataCopyPad(below_gm_[row + pitch + first], counts, OneRow(experts * 4));
      Order<HardEvent::MTE3_V>();
    }
  }

  // Sum of `rows` rows of `experts` words, in the first.
  __aicore__ inline void AddRows(const LocalTensor<int32_t>& table, int64_t rows, int64_t experts) {
    while (rows > 1) {
      const int64_t half = rows / 2;
      Add(table, table, table[(uint32_t)((rows - half) * experts)], (int32_t)(half * experts));
      PipeBarrier<PIPE_V>();
      rows -= half;
    }
  }

  // base_buffer_: the place of this core's first pair of each expert, among all or, with a
  // capacity, among the expert's; counts of all pairs where they are asked for.
  __aicore__ inline void AddUp() {
    const LocalTensor<int32_t> base = base_buffer_.Get<int32_t>();
    const int64_t cores = GetBlockNum();
    const int64_t core = GetBlockIdx();
    const bool gives_tokens = tiling_.tokens_type >= 0 && core == cores - 1;
    int64_t filled = 0;
    for (int64_t first = 0; first < tiling_.expert_pitch; first += tiling_.tile_experts) {
      const int64_t experts = Min(tiling_.tile_experts, tiling_.expert_pitch - first);
      const LocalTensor<int32_t> mine = base[(uint32_t)first];
      LocalTensor<int32_t> counts = count_buffer_.Get<int32_t>();
      LocalTensor<int32_t> below = below_buffer_.Get<int32_t>()[(uint32_t)first];
      if (tiling_.is_shared) {
        below = number_buffer_.Get<int32_t>();
        const LocalTensor<int32_t> table = table_buffer_.Get<int32_t>();
        LoadTable(first, experts, cores);
        AddRows(table, cores, experts);
        Adds(below, table, 0, (int32_t)experts);
        LoadTable(tiling_.expert_pitch + first, experts, cores);
        // Before this core, and the rest.
        AddRows(table, core, experts);
        AddRows(table[(uint32_t)(core * experts)], cores - core, experts);
        if (core == 0) {
          Duplicate(mine, 0, (int32_t)experts);
          Adds(counts, table, 0, (int32_t)experts);
        } else {
          Adds(mine, table, 0, (int32_t)experts);
          Add(counts, table, table[(uint32_t)(core * experts)], (int32_t)experts);
        }
        PipeBarrier<PIPE_V>();
        if (tiling_.capacity == 0) Add(mine, mine, below, (int32_t)experts);
      } else {
        Duplicate(mine, 0, (int32_t)experts);
        if (gives_tokens || tiling_.capacity > 0) {
          counts = CountsOf(below_buffer_.Get<int32_t>(), first, experts);
        }
      }
      PipeBarrier<PIPE_V>();
      const int64_t valid = Min(experts, tiling_.experts - first);
      if (tiling_.gives_order && tiling_.experts - first < experts) {
        Order<HardEvent::V_S>();
        kept_ = below.GetValue((uint32_t)(tiling_.experts - first));
        Order<HardEvent::S_V>();
      }
      if (valid > 0 && tiling_.capacity > 0) FillUp(counts, first, valid);
      if (valid > 0 && gives_tokens) filled = GiveTokens(counts, below, first, valid, filled);
    }
    if (gives_tokens && tiling_.tokens_type == 2) ClearTokens(filled);
  }

  __aicore__ inline void LoadTable(int64_t first, int64_t experts, int64_t cores) {
    Order<HardEvent::V_MTE2>();
    const int64_t gap = (2 * tiling_.expert_pitch - experts) * 4;
    DataCopyPad(table_buffer_.Get<int32_t>(), below_gm_[first],
                DataCopyExtParams((uint16_t)cores, (uint32_t)(experts * 4), (uint32_t)gap, 0, 0),
                NoPad<int32_t>());
    Order<HardEvent::MTE2_V>();
  }

  // expert_tokens of experts [first, first + valid); gives how many pairs (type 2) are written.
  __aicore__ inline int64_t GiveTokens(const LocalTensor<int32_t>& counts,
                                       const LocalTensor<int32_t>& below, int64_t first,
                                       int64_t valid, int64_t filled) {
    LocalTensor<int64_t> out = tokens_out_.AllocTensor<int64_t>();
    const LocalTensor<int32_t> work = work_buffer_.Get<int32_t>();
    int64_t words = valid;
    int64_t at = first;
    if (tiling_.tokens_type == 1) {
      Cast(out, counts, RoundMode::CAST_NONE, (uint32_t)valid);
    } else if (tiling_.tokens_type == 0) {
      Add(work, below, counts, (int32_t)valid);
      PipeBarrier<PIPE_V>();
      Cast(out, work, RoundMode::CAST_NONE, (uint32_t)valid);
    } else {
      // If these are all experts, the zeros behind their pairs are stored with them.
      const bool is_all = valid == tiling_.experts;
      words = 2 * PairUp(counts, first, valid, out.ReinterpretCast<int32_t>(), is_all ? valid : 0);
      at = filled * 2;
      if (words > 0) Cast(out, work, RoundMode::CAST_NONE, (uint32_t)words);
      if (is_all) words = valid * 2;
      filled += words / 2;
    }
    PipeBarrier<PIPE_V>();
    tokens_out_.EnQue(out);
    out = tokens_out_.DeQue<int64_t>();
    if (words > 0) {
      DataCopyPad(tokens_gm_[at], out, OneRow(words * 8));
    }
    tokens_out_.FreeTensor(out);
    return filled;
  }

  // work_buffer_: expert and count in turn, of the experts that have pairs; gives their number.
  // `out` becomes zeros, which `zeros` pairs of 64 bits take.
  __aicore__ inline int64_t PairUp(const LocalTensor<int32_t>& counts, int64_t first, int64_t valid,
                                   const LocalTensor<int32_t>& out, int64_t zeros) {
    const LocalTensor<int32_t> iota = iota_buffer_.Get<int32_t>();
    const LocalTensor<float> value = place_buffer_.Get<float>();
    const LocalTensor<uint8_t> bits = bits_buffer_.Get<uint8_t>();
    const LocalTensor<int32_t> numbers = expert_buffer_.Get<int32_t>();
    const LocalTensor<int32_t> work = work_buffer_.Get<int32_t>();
    // Both lists in one buffer, the second behind the first. Word q comes from element q / 2 of
    // the first or second one.
    const LocalTensor<int32_t> lists = spare_.ReinterpretCast<int32_t>();
    const uint32_t second = (uint32_t)tiling_.tile_experts;
    const LocalTensor<int32_t> offsets = number_buffer_.Get<int32_t>();
    Cast(value, counts, RoundMode::CAST_NONE, (uint32_t)valid);
    Adds(numbers, iota, (int32_t)(tiling_.first_expert + first), (int32_t)valid);
    ShiftRight(offsets, iota, 1, (int32_t)(valid * 2));
    PipeBarrier<PIPE_V>();
    CompareScalar(bits, value, 0.0f, CMPMODE::GT, (uint32_t)RoundUp(valid, kLanes));
    Muls(offsets, offsets, 4, (int32_t)(valid * 2));
    PipeBarrier<PIPE_V>();
    uint64_t kept = 0;
    const GatherMaskParams once = Once();
    GatherMask(lists, numbers, bits.ReinterpretCast<uint32_t>(), true, (uint32_t)valid, once, kept);
    GatherMask(lists[second], counts, bits.ReinterpretCast<uint32_t>(), true, (uint32_t)valid, once,
               kept);
    const TEventID counted = GetTPipePtr()->FetchEventID(HardEvent::V_S);
    SetFlag<HardEvent::V_S>(counted);
    if (zeros > 0) Duplicate(out, 0, (int32_t)(zeros * 4));  // while the scalar unit learns `kept`
    WaitFlag<HardEvent::V_S>(counted);
    const int64_t words = (int64_t)kept * 2;
    const auto pick = [&](uint64_t lanes, int64_t at, int64_t repeats, uint32_t base) {
      const uint64_t mask[2] = {lanes, 0};
      Gather(work[(uint32_t)at], lists, offsets[(uint32_t)at].ReinterpretCast<uint32_t>(), base,
             mask, (uint8_t)repeats, 8);
    };
    for (uint32_t list = 0; list < 2; ++list) {
      const uint64_t lanes = list == 0 ? 0x5555555555555555 : 0xAAAAAAAAAAAAAAAA;
      const uint32_t base = list * second * 4;
      const int64_t rest = words % kLanes;
      if (words > rest) pick(lanes, 0, words / kLanes, base);
      if (rest > 0) pick(lanes & (~(uint64_t)0 >> (kLanes - rest)), words - rest, 1, base);
    }
    PipeBarrier<PIPE_V>();
    return (int64_t)kept;
  }

  // Zeros behind the last of the (expert, count) pairs.
  __aicore__ inline void ClearTokens(int64_t filled) {
    for (; filled < tiling_.experts;) {
      const int64_t now = Min(tiling_.experts - filled, tiling_.tile_experts);
      LocalTensor<int32_t> out = tokens_out_.AllocTensor<int32_t>();
      Duplicate(out, 0, (int32_t)(now * 4));
      tokens_out_.EnQue(out);
      out = tokens_out_.DeQue<int32_t>();
      DataCopyPad(tokens_gm_[filled * 2], out.ReinterpretCast<int64_t>(), OneRow(now * 16));
      tokens_out_.FreeTensor(out);
      filled += now;
    }
  }

  // Zeros for the rows of this core's experts that no pair fills.
  __aicore__ inline void FillUp(const LocalTensor<int32_t>& counts, int64_t first, int64_t valid) {
    const Share share = ShareOf(tiling_.experts);
    const int64_t row = kQuantises ? tiling_.row_elements : tiling_.row_bytes;
    const LocalTensor<uint8_t> zeros = zero_buffer_.Get<uint8_t>();
    Order<HardEvent::V_S>();
    Order<HardEvent::V_MTE3>();
    const int64_t begin = share.begin > first ? share.begin : first;
    for (int64_t expert = begin; expert < Min(share.end, first + valid); ++expert) {
      const int64_t used = Min(counts.GetValue((uint32_t)(expert - first)), tiling_.capacity);
      const int64_t at = expert * tiling_.capacity + used;
      const int64_t rows = tiling_.capacity - used;
      for (int64_t byte = 0; byte < rows * row; byte += ZeroBytes()) {
        const int64_t bytes = Min(ZeroBytes(), rows * row - byte);
        DataCopyPad(out_gm_[at * row + byte], zeros, OneRow(bytes));
      }
      for (int64_t word = 0; HasScaleOut() && word < rows; word += ZeroBytes() / 4) {
        const int64_t now = Min(ZeroBytes() / 4, rows - word);
        DataCopyPad(scale_out_gm_[at + word], zeros.ReinterpretCast<float>(), OneRow(now * 4));
      }
    }
    Order<HardEvent::S_V>();
  }

  // flat_buffer_: the place of each pair of the sorted chunk, in the order of pairs.
  __aicore__ inline void Rank(int64_t count) {
    if (count == 0) return;
    const LocalTensor<int32_t> iota = iota_buffer_.Get<int32_t>();
    const LocalTensor<float> expert = expert_buffer_.Get<float>();
    const LocalTensor<float> place = place_buffer_.Get<float>();
    const LocalTensor<int32_t> number = number_buffer_.Get<int32_t>();
    const LocalTensor<int32_t> work = work_buffer_.Get<int32_t>();
    const LocalTensor<uint8_t> bits = bits_buffer_.Get<uint8_t>();
    const int32_t n = (int32_t)padded_;
    const uint32_t compared = (uint32_t)RoundUp(padded_, kLanes);
    Fields(expert, records_, 0, n);
    Fields(number, records_, 1, n);
    if (HasDelta()) MakeDelta();
    PipeBarrier<PIPE_V>();
    Muls(expert, expert, -1.0f, n);
    PipeBarrier<PIPE_V>();
    if (HasDelta()) {
      Cast(work, expert, RoundMode::CAST_RINT, (uint32_t)n);
      PipeBarrier<PIPE_V>();
      Muls(work, work, 4, n);
      PipeBarrier<PIPE_V>();
      const LocalTensor<int32_t> delta = place_buffer_.Get<int32_t>();
      Pick(delta, below_buffer_.Get<int32_t>(), work.ReinterpretCast<uint32_t>(), 0, (uint32_t)n);
      PipeBarrier<PIPE_V>();
      Add(work, delta, iota, n);
      PipeBarrier<PIPE_V>();
      Cast(place, work, RoundMode::CAST_NONE, (uint32_t)n);
    } else {
      Cast(place, iota, RoundMode::CAST_NONE, (uint32_t)n);
    }
    PipeBarrier<PIPE_V>();
    if (tiling_.capacity > 0) {
      const LocalTensor<float> start = work_buffer_.Get<float>();
      CompareScalar(bits, place, (float)tiling_.capacity, CMPMODE::LT, compared);
      Muls(start, expert, (float)tiling_.capacity, n);
      PipeBarrier<PIPE_V>();
      Add(place, place, start, n);
      PipeBarrier<PIPE_V>();
      Select(place, bits, place, -1.0f, SELMODE::VSEL_TENSOR_SCALAR_MODE, compared);
      PipeBarrier<PIPE_V>();
    }
    CompareScalar(bits, expert, (float)tiling_.experts, CMPMODE::LT, compared);
    PipeBarrier<PIPE_V>();
    Select(place, bits, place, -1.0f, SELMODE::VSEL_TENSOR_SCALAR_MODE, compared);
    PipeBarrier<PIPE_V>();
    Cast(work, place, RoundMode::CAST_RINT, (uint32_t)n);
    Cast(expert, number, RoundMode::CAST_NONE, (uint32_t)n);
    PipeBarrier<PIPE_V>();
    Muls(expert, expert, -1.0f, n);
    PipeBarrier<PIPE_V>();
    MergeSort(expert, work, n);
    // The former chunk's places are stored and read.
    Order<HardEvent::MTE3_V>();
    Order<HardEvent::S_V>();
    Fields(flat_buffer_.Get<int32_t>(), records_, 1, n);
    PipeBarrier<PIPE_V>();
    for_places_ = GetTPipePtr()->AllocEventID<HardEvent::V_S>();
    SetFlag<HardEvent::V_S>(for_places_);
    are_places_known_ = false;
  }

  // The scalar unit reads places only behind this.
  __aicore__ inline void KnowPlaces() {
    if (are_places_known_) return;
    WaitFlag<HardEvent::V_S>(for_places_);
    GetTPipePtr()->ReleaseEventID<HardEvent::V_S>(for_places_);
    are_places_known_ = true;
  }

  // below_buffer_ becomes what is added to a place in the chunk; base_buffer_ goes on behind the
  // chunk.
  __aicore__ inline void MakeDelta() {
    const LocalTensor<int32_t> below = below_buffer_.Get<int32_t>();
    for (int64_t first = 0; first < tiling_.expert_pitch; first += tiling_.tile_experts) {
      const int64_t experts = Min(tiling_.tile_experts, tiling_.expert_pitch - first);
      const LocalTensor<int32_t> base = base_buffer_.Get<int32_t>()[(uint32_t)first];
      const LocalTensor<int32_t> counts = CountsOf(below, first, experts);
      Sub(below[(uint32_t)first], base, below[(uint32_t)first], (int32_t)experts);
      PipeBarrier<PIPE_V>();
      Add(base, base, counts, (int32_t)experts);
      PipeBarrier<PIPE_V>();
    }
  }

  // Gives the chunk of `count` pairs from `chunk` on, and moves the rows of pairs [begin, end).
  __aicore__ inline void Act(int64_t chunk, int64_t count, const Share& share) {
    chunk_ = chunk;
    const LocalTensor<int32_t> flat = flat_buffer_.Get<int32_t>();
    if (tiling_.by_row_idx) {
      Scatter(places_gm_, flat, share, [&](int64_t pair) { return RowOf(pair); });
      Scatter(sorted_gm_, index_buffer_.Get<int32_t>(), share,
              [&](int64_t pair) { return PlaceOf(pair); });
    } else if (tiling_.gives_order) {
      const LocalTensor<int32_t> pairs = work_buffer_.Get<int32_t>();
      if (count > 0) Adds(pairs, iota_buffer_.Get<int32_t>(), (int32_t)chunk, (int32_t)padded_);
      PipeBarrier<PIPE_V>();
      Scatter(places_gm_, pairs, share, [&](int64_t pair) { return PlaceOf(pair); });
      ClearOrder(share);
    } else if (tiling_.is_shared || GetBlockIdx() == 0) {
      Order<HardEvent::V_MTE3>();
      if (count > 0) {
        DataCopyPad(places_gm_[chunk], flat, OneRow(count * 4));
      }
    }
    if constexpr (kQuantises) {
      Quantise(share);
    } else {
      if (tiling_.has_scale) MoveScales(share);
      Move(share);
    }
  }

  // -1: none.
  __aicore__ inline int64_t PlaceOf(int64_t pair) {
    KnowPlaces();
    return flat_buffer_.Get<int32_t>().GetValue((uint32_t)(pair - chunk_));
  }
  // The place of its row, -1 when there is none for it.
  __aicore__ inline int64_t OutRowOf(int64_t pair) {
    const int64_t place = PlaceOf(pair);
    return place < tiling_.out_rows ? place : -1;
  }
  __aicore__ inline int64_t RowOf(int64_t pair) {
    const int64_t row = row_buffer_.Get<int32_t>().GetValue((uint32_t)(pair - chunk_));
    return row < tiling_.pairs && row >= 0 ? row : -1;
  }
  // The row of x of a pair; -1: none.
  __aicore__ inline int64_t TokenOf(int64_t pair) {
    if (!tiling_.by_row_idx) return pair / tiling_.k;
    const int64_t row = RowOf(pair);
    return row < 0 ? -1 : row % tiling_.tokens;
  }

  // to[where(pair)] = the pair's word of `values`, for pairs of the share that have a place.
  template <typename Where>
  __aicore__ inline void Scatter(const GlobalTensor<int32_t>& to,
                                 const LocalTensor<int32_t>& values, const Share& share,
                                 Where where) {
    const int64_t begin = (share.begin - chunk_) / kBlockFloats * kBlockFloats;
    for (int64_t first = begin; first < share.end - chunk_; first += kWords) {
      const int64_t last = Min(first + kWords, share.end - chunk_);
      LocalTensor<int32_t> words = words_out_.AllocTensor<int32_t>();
      Brcb(words, values[(uint32_t)first], (uint8_t)Ceil(last - first, kBlockFloats),
           BrcbRepeatParams(1, 8));
      words_out_.EnQue(words);
      words = words_out_.DeQue<int32_t>();
      for (int64_t i = first; i < last; ++i) {
        if (chunk_ + i < share.begin) continue;
        const int64_t place = where(chunk_ + i);
        if (place < 0) continue;
        DataCopyPad(to[place], words[(uint32_t)((i - first) * kBlockFloats)], OneRow(4));
      }
      words_out_.FreeTensor(words);
    }
  }

  // Places behind the last pair have none.
  __aicore__ inline void ClearOrder(const Share& share) {
    constexpr int64_t kAtOnce = kWords * kBlockFloats;
    for (int64_t at = share.begin > kept_ ? share.begin : kept_; at < share.end; at += kAtOnce) {
      LocalTensor<int32_t> none = words_out_.AllocTensor<int32_t>();
      Duplicate(none, -1, (int32_t)kAtOnce);
      words_out_.EnQue(none);
      none = words_out_.DeQue<int32_t>();
      DataCopyPad(places_gm_[at], none, OneRow(Min(kAtOnce, share.end - at) * 4));
      words_out_.FreeTensor(none);
    }
  }

  // Behind the pairs from `pair` on that are moved, or quantised, together.
  __aicore__ inline int64_t Together(int64_t pair, int64_t end) const {
    return Min((pair / tiling_.k + tiling_.batch) * tiling_.k, end);
  }

  // Begins to load what the first of these pairs move: their numbers are not known yet.
  __aicore__ inline void LoadAhead() {
    if (tiling_.by_row_idx || share_.begin >= share_.end) return;
    const int64_t token = share_.begin / tiling_.k;
    if constexpr (kQuantises) {
      LoadRow(token);
    } else {
      LoadBytes(token, 0, Ceil(Together(share_.begin, share_.end), tiling_.k) - token);
    }
    is_ahead_ = true;
  }

  __aicore__ inline void Move(const Share& share) {
    const int64_t bytes = tiling_.row_bytes;
    for (int64_t pair = share.begin; pair < share.end;) {
      const int64_t token = TokenOf(pair);
      int64_t end = pair + 1;
      if (tiling_.by_row_idx) {
        while (end < share.end && TokenOf(end) == token) ++end;
      } else {
        end = Together(pair, share.end);
      }
      if (is_ahead_ || (token >= 0 && HasRow(pair, end))) {
        const int64_t tokens = tiling_.by_row_idx ? 1 : Ceil(end, tiling_.k) - token;
        for (int64_t at = 0; at < bytes; at += tiling_.buffer_bytes) {
          if (!is_ahead_) LoadBytes(token, at, tokens);
          is_ahead_ = false;
          GiveBytes(token, at, pair, end);
        }
      }
      pair = end;
    }
  }

  __aicore__ inline bool HasRow(int64_t pair, int64_t end) {
    for (; pair < end; ++pair) {
      if (OutRowOf(pair) >= 0) return true;
    }
    return false;
  }

  // Whole rows of tokens, or of one the bytes from `at` on for which there is room.
  __aicore__ inline void LoadBytes(int64_t token, int64_t at, int64_t tokens) {
    const int64_t bytes = Min(tiling_.buffer_bytes, tiling_.row_bytes - at);
    LocalTensor<uint8_t> rows = rows_.AllocTensor<uint8_t>();
    DataCopyPad(rows, x_gm_[token * tiling_.row_bytes + at],
                DataCopyExtParams((uint16_t)tokens, (uint32_t)bytes, 0, 0, 0), NoPad<uint8_t>());
    rows_.EnQue(rows);
  }

  // Stores them for pairs [pair, end).
  __aicore__ inline void GiveBytes(int64_t token, int64_t at, int64_t pair, int64_t end) {
    const int64_t pitch = RoundUp(tiling_.row_bytes, kBlockBytes);
    const DataCopyExtParams shape = OneRow(Min(tiling_.buffer_bytes, tiling_.row_bytes - at));
    LocalTensor<uint8_t> rows = rows_.DeQue<uint8_t>();
    for (; pair < end; ++pair) {
      const int64_t row = OutRowOf(pair);
      if (row < 0) continue;
      const int64_t from = tiling_.by_row_idx ? 0 : (pair / tiling_.k - token) * pitch;
      DataCopyPad(out_gm_[row * tiling_.row_bytes + at], rows[(uint32_t)from], shape);
    }
    rows_.FreeTensor(rows);
  }

  // Rows that are not quantised take their token's scale along.
  __aicore__ inline void MoveScales(const Share& share) {
    const int64_t k = tiling_.k;
    for (int64_t token = share.begin / k; token * k < share.end; token += kWords) {
      const int64_t count = Min(kWords, Ceil(share.end, k) - token);
      LocalTensor<float> scales = scales_in_.AllocTensor<float>();
      DataCopyPad(scales, scale_gm_[token], OneRow(count * 4),
                  DataCopyPadExtParams<float>(
                      true, 0, (uint8_t)(RoundUp(count, kBlockFloats) - count), 0.0f));
      scales_in_.EnQue(scales);
      scales = scales_in_.DeQue<float>();
      LocalTensor<float> spread = token_scales_.AllocTensor<float>();
      Brcb(spread, scales, (uint8_t)Ceil(count, kBlockFloats), BrcbRepeatParams(1, 8));
      scales_in_.FreeTensor(scales);
      token_scales_.EnQue(spread);
      spread = token_scales_.DeQue<float>();
      const int64_t end = Min((token + count) * k, share.end);
      for (int64_t pair = token * k > share.begin ? token * k : share.begin; pair < end; ++pair) {
        const int64_t row = OutRowOf(pair);
        if (row < 0) continue;
        DataCopyPad(scale_out_gm_[row], spread[(uint32_t)((pair / k - token) * kBlockFloats)],
                    OneRow(4));
      }
      token_scales_.FreeTensor(spread);
    }
  }

  __aicore__ inline void Quantise(Share share) {
    if constexpr (kQuantises) {
      const int64_t count = tiling_.row_elements;
      const Share mine = share;  // pairs whose scales this core stores
      Share columns = {0, count};
      if (tiling_.shares_row) {  // every core that moves rows has a pair
        const Share lanes = ShareOf(Ceil(count, kLanes), MovingCores());
        columns = {lanes.begin * kLanes, Min(lanes.end * kLanes, count)};
        share = {0, tiling_.pairs};
      }
      const LocalTensor<float> wide = wide_buffer_.Get<float>();
      const bool by_expert = tiling_.quant_mode == 1 && tiling_.has_scale;
      float scale = 1.0f;
      float offset = 0.0f;
      if (tiling_.quant_mode == 0) {
        scale = scale_gm_.GetValue(0);
        offset = offset_gm_.GetValue(0);
      }
      for (int64_t pair = share.begin; pair < share.end;) {
        const int64_t end = Together(pair, share.end);
        if (!is_ahead_) {
          if (!HasRow(pair, end)) {
            pair = end;
            continue;
          }
          LoadRow(pair / tiling_.k);
        }
        is_ahead_ = false;
        LocalTensor<T> in = in_.template DeQue<T>();
        PipeBarrier<PIPE_V>();
        if constexpr (sizeof(T) == 4) {
          Adds(wide, in, 0.0f, (int32_t)count);
        } else {
          Cast(wide, in, RoundMode::CAST_NONE, (uint32_t)count);
        }
        PipeBarrier<PIPE_V>();
        in_.FreeTensor(in);
        if (tiling_.quant_mode == 0) {
          Muls(wide, wide, scale, (int32_t)count);
          PipeBarrier<PIPE_V>();
          Adds(wide, wide, offset, (int32_t)count);
        }
        if (by_expert) {
          for (; pair < end; ++pair) {
            if (OutRowOf(pair) >= 0) {
              Smooth(wide, pair);
              GiveQuantised(product_buffer_.Get<float>(), columns, pair, pair + 1, mine);
            }
          }
        } else {
          GiveQuantised(wide, columns, pair, end, mine);
        }
        pair = end;
      }
    }
  }

  __aicore__ inline void LoadRow(int64_t token) {
    LocalTensor<T> in = in_.template AllocTensor<T>();
    DataCopyPad(in.template ReinterpretCast<Storage>(), typed_gm_[token * tiling_.row_elements],
                OneRow(tiling_.row_bytes), NoPad<Storage>());
    in_.EnQue(in);
  }

  // product_buffer_ = the row times the factors of the pair's expert.
  __aicore__ inline void Smooth(const LocalTensor<float>& wide, int64_t pair) {
    const uint32_t at = (uint32_t)(pair - chunk_);
    const int64_t expert = tiling_.index_bytes == 8
                               ? index_buffer_.Get<int64_t>().GetValue(at)
                               : (int64_t)index_buffer_.Get<int32_t>().GetValue(at);
    const int64_t count = tiling_.row_elements;
    LocalTensor<float> smooth = smooth_in_.AllocTensor<float>();
    DataCopyPad(smooth, scale_gm_[(expert - tiling_.first_expert) * count], OneRow(count * 4),
                NoPad<float>());
    smooth_in_.EnQue(smooth);
    smooth = smooth_in_.DeQue<float>();
    Mul(product_buffer_.Get<float>(), wide, smooth, (int32_t)count);
    smooth_in_.FreeTensor(smooth);
  }

  // scale = a block of copies of a row's largest magnitude / 127.
  __aicore__ inline void MakeScale(const LocalTensor<float>& scale, const LocalTensor<float>& row) {
    const LocalTensor<float> scratch = scratch_buffer_.Get<float>();
    const LocalTensor<float> largest = peak_buffer_.Get<float>();
    const LocalTensor<float> copies = largest[kBlockFloats];
    const int32_t count = (int32_t)tiling_.row_elements;
    Abs(scratch, row, count);
    PipeBarrier<PIPE_V>();
    ReduceMax(largest, scratch, scratch, count, false);
    PipeBarrier<PIPE_V>();
    const uint64_t first[2] = {0x0101010101010101, 0};
    BlockReduceMax(copies, largest, 1, first, 1, 0, 8);
    PipeBarrier<PIPE_V>();
    Div(scale, copies, limit_buffer_.Get<float>(), (int32_t)kBlockFloats);
    PipeBarrier<PIPE_V>();
  }

  // Rounds columns of a row to int8, for dynamic quantisation by its largest magnitude / 127, and
  // stores them for pairs [pair, end), and the scales of those in `scales`. By way of int16 and
  // half, which hold all of int8.
  __aicore__ inline void GiveQuantised(const LocalTensor<float>& row, const Share& columns,
                                       int64_t pair, int64_t end, const Share& scales) {
    const int32_t count = (int32_t)(columns.end - columns.begin);
    const LocalTensor<float> mine = row[(uint32_t)columns.begin];
    LocalTensor<float> steps_of_row = mine;
    LocalTensor<float> scale;
    PipeBarrier<PIPE_V>();
    if (tiling_.quant_mode == 1) {
      const LocalTensor<float> scratch = scratch_buffer_.Get<float>();
      scale = scales_out_.AllocTensor<float>();
      MakeScale(scale, row);
      const BinaryRepeatParams steps(1, 1, 0, 8, 8, 0);
      const int64_t whole = count / kLanes;  // the host sees to at most 255
      const uint32_t tail = (uint32_t)(whole * kLanes);
      if (whole > 0) Div(scratch, mine, scale, (uint64_t)kLanes, (uint8_t)whole, steps);
      if (count % kLanes > 0) {
        Div(scratch[tail], mine[tail], scale, (uint64_t)(count % kLanes), 1, steps);
      }
      scales_out_.EnQue(scale);
      scale = scales_out_.DeQue<float>();
      for (int64_t each = pair; each < Min(end, scales.end); ++each) {
        const int64_t place = each < scales.begin ? -1 : OutRowOf(each);
        if (place >= 0) DataCopyPad(scale_out_gm_[place], scale, OneRow(4));
      }
      scales_out_.FreeTensor(scale);
      steps_of_row = scratch;
      PipeBarrier<PIPE_V>();
    }
    // The row is not needed any more, and neither is what it becomes.
    const bool is_scratch = tiling_.quant_mode == 1;
    const LocalTensor<int16_t> whole =
        is_scratch ? mine.ReinterpretCast<int16_t>() : scratch_buffer_.Get<int16_t>();
    const LocalTensor<half> narrow = steps_of_row.ReinterpretCast<half>();
    Cast(whole, steps_of_row, RoundMode::CAST_RINT, (uint32_t)count);
    PipeBarrier<PIPE_V>();
    Cast(narrow, whole, RoundMode::CAST_NONE, (uint32_t)count);
    PipeBarrier<PIPE_V>();
    LocalTensor<int8_t> out = out_.template AllocTensor<int8_t>();
    Cast(out, narrow, RoundMode::CAST_RINT, (uint32_t)count);
    out_.EnQue(out);
    out = out_.template DeQue<int8_t>();
    for (; pair < end; ++pair) {
      const int64_t place = OutRowOf(pair);
      if (place < 0) continue;
      DataCopyPad(out_gm_[place * tiling_.row_elements + columns.begin],
                  out.template ReinterpretCast<uint8_t>(), OneRow(count));
    }
    out_.FreeTensor(out);
  }

  const MoeInitRoutingTiling& tiling_;
  bool is_apart_;                               // this core counts, and moves no rows
  Share share_;                                 // pairs that it moves
  int64_t first_zero_ = 0, zeros_ = 0;          // the first word of the arena, and how many
  int64_t padded_ = 0;                          // records of the chunk
  int64_t chunk_ = 0;                           // the first pair of flat_buffer_
  TEventID for_vectors_ = 0, for_scalars_ = 0;  // of the experts' loading
  TEventID for_places_ = 0;
  bool are_places_known_ = true;
  bool is_ahead_ = false;  // what the next pairs move is being loaded
  int64_t kept_ = 0;       // pairs that have a place; only where the pair of each place is given
  LocalTensor<float> records_, spare_;
  GlobalTensor<uint8_t> x_gm_, out_gm_;
  GlobalTensor<Storage> typed_gm_;
  GlobalTensor<int32_t> expert_gm_, row_gm_, places_gm_, sorted_gm_, below_gm_;
  GlobalTensor<int64_t> tokens_gm_;
  GlobalTensor<float> scale_gm_, offset_gm_, scale_out_gm_;
  TQueBind<TPosition::VECIN, TPosition::VECOUT, 2> rows_;
  TQue<TPosition::VECIN, 2> in_;
  TQue<TPosition::VECIN, 1> smooth_in_, scales_in_;
  TQue<TPosition::VECOUT, 2> out_, scales_out_, words_out_, token_scales_;
  TQue<TPosition::VECOUT, 1> tokens_out_;
  TBuf<> index_buffer_, row_buffer_, arena_;
  Part marker_buffer_, iota_buffer_, bits_buffer_, below_buffer_, base_buffer_, count_buffer_;
  Part shift_buffer_, flat_buffer_, zero_buffer_, limit_buffer_;
  Part first_records_, other_records_, table_buffer_;
  Part expert_buffer_, place_buffer_, number_buffer_, work_buffer_;
  Part wide_buffer_, product_buffer_, scratch_buffer_, peak_buffer_;
};

template <typename T>
__aicore__ inline void Run(const Addresses& at, const MoeInitRoutingTiling& tiling) {
  TPipe pipe;
  MoeInitRouting<T> kernel(&pipe, at, tiling);
  kernel.Run();
}

}  // namespace

extern "C" __global__ __aicore__ void moe_init_routing(
    GM_ADDR x, GM_ADDR expert_idx, GM_ADDR row_idx, GM_ADDR scale, GM_ADDR offset,
    GM_ADDR expanded_x, GM_ADDR expanded_row_idx, GM_ADDR expanded_expert_idx,
    GM_ADDR expert_tokens, GM_ADDR expanded_scale, GM_ADDR workspace, MoeInitRoutingTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIV_1_0);
  Run<uint8_t>({x, expert_idx, row_idx, scale, offset, expanded_x, expanded_row_idx,
                expanded_expert_idx, expert_tokens, expanded_scale, workspace},
               tiling);
}

extern "C" __global__ __aicore__ void moe_init_routing_quant_half(
    GM_ADDR x, GM_ADDR expert_idx, GM_ADDR row_idx, GM_ADDR scale, GM_ADDR offset,
    GM_ADDR expanded_x, GM_ADDR expanded_row_idx, GM_ADDR expanded_expert_idx,
    GM_ADDR expert_tokens, GM_ADDR expanded_scale, GM_ADDR workspace, MoeInitRoutingTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIV_1_0);
  Run<half>({x, expert_idx, row_idx, scale, offset, expanded_x, expanded_row_idx,
             expanded_expert_idx, expert_tokens, expanded_scale, workspace},
            tiling);
}

extern "C" __global__ __aicore__ void moe_init_routing_quant_bfloat16(
    GM_ADDR x, GM_ADDR expert_idx, GM_ADDR row_idx, GM_ADDR scale, GM_ADDR offset,
    GM_ADDR expanded_x, GM_ADDR expanded_row_idx, GM_ADDR expanded_expert_idx,
    GM_ADDR expert_tokens, GM_ADDR expanded_scale, GM_ADDR workspace, MoeInitRoutingTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIV_1_0);
  Run<bfloat16_t>({x, expert_idx, row_idx, scale, offset, expanded_x, expanded_row_idx,
                   expanded_expert_idx, expert_tokens, expanded_scale, workspace},
                  tiling);
}

extern "C" __global__ __aicore__ void moe_init_routing_quant_float(
    GM_ADDR x, GM_ADDR expert_idx, GM_ADDR row_idx, GM_ADDR scale, GM_ADDR offset,
    GM_ADDR expanded_x, GM_ADDR expanded_row_idx, GM_ADDR expanded_expert_idx,
    GM_ADDR expert_tokens, GM_ADDR expanded_scale, GM_ADDR workspace, MoeInitRoutingTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIV_1_0);
  Run<float>({x, expert_idx, row_idx, scale, offset, expanded_x, expanded_row_idx,
              expanded_expert_idx, expert_tokens, expanded_scale, workspace},
             tiling);
}
