// cc/kernels/moe/moe_gating_top_k.cpp: chooses k experts for each token, and their weights.
//
// Scores s of a row of logits are its softmax, sigmoid or sqrt(softplus). Experts are chosen by
// s + bias: in groups only the best groups take part; of equal ones the lower number wins. Weights
// are the chosen s without the bias, divided by their sum + eps when asked for, times a factor.
// Arithmetic is in float; one rounding, to nearest even, makes a weight.
//
// A tile is some rows, each of `groups` lists of experts at a pitch of 32 or a multiple: Sort32
// sorts 32 scores into records (score, place in the tile), and merges of four lists at a time leave
// one list per row. What lies between the end of a group and its pitch scores -inf. Of a sorted
// list only the first `kept_records` records are carried on.
//
// The host sees to it that no instruction has more than 255 repeats for a tile.
//
// Ties: Sort32 and MrgSort keep the earlier of equal records first, and lists are in the order of
// experts throughout. Logits that are NaN have no place in that order: what such a row chooses is
// not defined, other rows are not touched by it.
// clang-format off
#include "kernel_operator.h"
#include "cc/kernels/moe/moe_common.h"
#include "cc/kernels/moe/moe_gating_top_k_tiling.h"
// clang-format on

namespace {

using namespace AscendC;
using namespace moe;

constexpr uint64_t kEvenLanes = 0x5555555555555555;

// A stride between repeats; one that has no room in 8 bits occurs with one repeat only.
__aicore__ inline uint8_t Step(int64_t floats) {
  return (uint8_t)(floats / kBlockFloats <= kMaxRepeat ? floats / kBlockFloats : 0);
}
__aicore__ inline float FloatOf(const int64_t& bits) {
  return *reinterpret_cast<const float*>(&bits);
}

template <typename T>
class MoeGatingTopK {
  using Storage = typename StorageOf<T>::Type;
  static constexpr bool kIsFloat = sizeof(T) == 4;

 public:
  __aicore__ inline MoeGatingTopK(TPipe* pipe, GM_ADDR x, GM_ADDR bias, GM_ADDR finished, GM_ADDR y,
                                  GM_ADDR expert_idx, GM_ADDR row_idx, GM_ADDR norm_out,
                                  const MoeGatingTopKTiling& tiling)
      : tiling_(tiling),
        width_(tiling.width),
        keep_(tiling.kept_records),
        is_dense_(tiling.group_pitch == tiling.group_size),
        minus_inf_(0) {
    const int64_t elements = tiling.rows * tiling.experts;
    x_gm_.SetGlobalBuffer((__gm__ Storage*)x, elements);
    if (tiling.has_bias) bias_gm_.SetGlobalBuffer((__gm__ Storage*)bias, tiling.experts);
    if (tiling.has_finished) finished_gm_.SetGlobalBuffer((__gm__ uint8_t*)finished, tiling.rows);
    y_gm_.SetGlobalBuffer((__gm__ Storage*)y, tiling.rows * tiling.k);
    expert_gm_.SetGlobalBuffer((__gm__ int32_t*)expert_idx, tiling.rows * tiling.k);
    if (tiling.has_row_idx) {
      row_gm_.SetGlobalBuffer((__gm__ int32_t*)row_idx, tiling.rows * tiling.k);
    }
    if (tiling.has_norm_out) norm_gm_.SetGlobalBuffer((__gm__ float*)norm_out, elements);
    const uint32_t bits = 0xFF800000u;
    minus_inf_ = *reinterpret_cast<const float*>(&bits);

    const int64_t rows = tiling.rows_per_tile;
    const uint32_t tile = (uint32_t)(RoundUp(rows * width_, kLanes) * 4);
    const uint32_t chosen = (uint32_t)(rows * keep_ * 4);
    pipe->InitBuffer(in_, 2, (uint32_t)(rows * width_ * (int64_t)sizeof(T)));
    pipe->InitBuffer(scores_out_, tiling.has_norm_out ? 2 : 1, tile);
    pipe->InitBuffer(weights_out_, 2, chosen);
    pipe->InitBuffer(experts_out_, 2, chosen);
    if (tiling.has_row_idx) {
      pipe->InitBuffer(rows_out_, 2, chosen);
      pipe->InitBuffer(row_buffer_, chosen);
    }
    if (tiling.has_finished) {
      pipe->InitBuffer(finished_in_, 2, (uint32_t)rows);
      pipe->InitBuffer(alive_buffer_, (uint32_t)(rows * 4));
    }
    pipe->InitBuffer(logit_buffer_, tile);
    pipe->InitBuffer(place_buffer_, tile);
    pipe->InitBuffer(expert_buffer_, tile);
    if (HasSelection()) {
      pipe->InitBuffer(selection_buffer_, tile);
      pipe->InitBuffer(bias_buffer_, (uint32_t)(width_ * 4));
      if (tiling.has_bias) pipe->InitBuffer(bias_in_, 1, (uint32_t)(width_ * (int64_t)sizeof(T)));
    }
    pipe->InitBuffer(record_buffer_, (uint32_t)tiling.record_bytes);
    pipe->InitBuffer(list_buffer_, (uint32_t)tiling.list_bytes);
    pipe->InitBuffer(chosen_buffer_, chosen);
    pipe->InitBuffer(weight_buffer_, chosen);
    pipe->InitBuffer(fold_buffer_, (uint32_t)(rows * kLanes * 4));
    pipe->InitBuffer(each_buffer_, (uint32_t)(rows * 4));
    pipe->InitBuffer(spread_buffer_, (uint32_t)(RoundUp(rows, kBlockFloats) * ONE_BLK_SIZE));
    if (tiling.groups > 1) {
      const uint32_t slots = (uint32_t)(RoundUp(rows * tiling.groups_pitch, kLanes) * 4);
      pipe->InitBuffer(slot_buffer_, slots);
      pipe->InitBuffer(number_buffer_, slots);
      pipe->InitBuffer(group_score_buffer_, slots);
      pipe->InitBuffer(group_second_buffer_, slots);
      pipe->InitBuffer(group_least_buffer_, slots);
      pipe->InitBuffer(group_bits_buffer_, 3 * BitBytes(slots / 4));
      pipe->InitBuffer(group_record_buffer_, slots * 2);
      pipe->InitBuffer(group_merged_buffer_, slots * 2);
      pipe->InitBuffer(group_spread_buffer_, slots * 8);
      pipe->InitBuffer(row_slot_buffer_, (uint32_t)(rows * 4));
    }
    MakeTables();
  }

  __aicore__ inline void Run() {
    const Share share = ShareOf(tiling_.rows);
    for (int64_t row = share.begin; row < share.end; row += tiling_.rows_per_tile) {
      Tile(row, Min(tiling_.rows_per_tile, share.end - row));
    }
  }

 private:
  // Whether experts are chosen by something else than their scores.
  __aicore__ inline bool HasSelection() const { return tiling_.has_bias || !is_dense_; }

  // Fills [count, length] of a buffer with copies of its first row, each `step` more than the one
  // before.
  __aicore__ inline void Repeat(const LocalTensor<int32_t>& table, int64_t length, int64_t count,
                                int64_t step) {
    for (int64_t done = 1; done < count; done *= 2) {
      const int64_t more = Min(done, count - done);
      Adds(table[(uint32_t)(done * length)], table, (int32_t)(done * step),
           (int32_t)(more * length));
      PipeBarrier<PIPE_V>();
    }
  }

  // Every tile has barriers before it reads what is made here.
  __aicore__ inline void MakeTables() {
    const int64_t rows = tiling_.rows_per_tile;
    const int64_t pitch = tiling_.group_pitch;
    const LocalTensor<int32_t> expert = expert_buffer_.Get<int32_t>();
    CreateVecIndex(place_buffer_.Get<int32_t>(), 0, (uint32_t)(rows * width_));
    CreateVecIndex(expert, 0, (uint32_t)pitch);
    Duplicate(each_buffer_.Get<float>(), 0.0f, (int32_t)RoundUp(rows, kBlockFloats));
    if (tiling_.has_finished) {
      Duplicate(alive_buffer_.Get<float>(), 0.0f, (int32_t)RoundUp(rows, kBlockFloats));
    }
    if (!is_dense_) {
      Duplicate(logit_buffer_.Get<float>(), minus_inf_, (int32_t)(rows * width_));
    }
    PipeBarrier<PIPE_V>();
    Repeat(expert, pitch, tiling_.groups, tiling_.group_size);
    Repeat(expert, width_, rows, 0);
    if (tiling_.has_row_idx) {
      const LocalTensor<int32_t> number = row_buffer_.Get<int32_t>();
      CreateVecIndex(number, 0, (uint32_t)keep_);
      PipeBarrier<PIPE_V>();
      Muls(number, number, (int32_t)tiling_.rows, (int32_t)keep_);
      PipeBarrier<PIPE_V>();
      Repeat(number, keep_, rows, 1);
    }
    if (HasSelection()) LoadBias();
    if (tiling_.groups > 1) MakeGroupTables();
  }

  __aicore__ inline void MakeGroupTables() {
    const int64_t rows = tiling_.rows_per_tile;
    const int64_t pitch = tiling_.groups_pitch;
    // Where the list of a group begins, in bytes; beyond the last group: that of the last.
    const LocalTensor<int32_t> slot = slot_buffer_.Get<int32_t>();
    const LocalTensor<int32_t> number = number_buffer_.Get<int32_t>();
    const LocalTensor<int32_t> row = row_slot_buffer_.Get<int32_t>();
    const int64_t list_bytes = GroupPitch() * 8;
    CreateVecIndex(number, 0, (uint32_t)pitch);
    CreateVecIndex(row, 0, (uint32_t)rows);
    const int64_t padded = RoundUp(rows * pitch, kLanes);
    Duplicate(group_score_buffer_.Get<float>(), 0.0f, (int32_t)padded);
    Duplicate(group_least_buffer_.Get<float>(), 0.0f, (int32_t)padded);
    PipeBarrier<PIPE_V>();
    Mins(slot, number, (int32_t)(tiling_.groups - 1), (int32_t)pitch);
    Muls(row, row, (int32_t)(pitch * 8), (int32_t)rows);
    Repeat(number, pitch, rows, 0);
    PipeBarrier<PIPE_V>();
    Muls(slot, slot, (int32_t)list_bytes, (int32_t)pitch);
    const LocalTensor<float> second = group_second_buffer_.Get<float>();
    Cast(second, number, RoundMode::CAST_NONE, (uint32_t)(rows * pitch));
    PipeBarrier<PIPE_V>();
    Repeat(slot, pitch, rows, tiling_.groups * list_bytes);
    Adds(number.ReinterpretCast<float>(), second, 0.0f, (int32_t)(rows * pitch));
    // A last half repeat is compared with the others: its numbers hold a value, too.
    if (padded > rows * pitch) {
      Duplicate(number.ReinterpretCast<float>()[(uint32_t)(rows * pitch)], 0.0f,
                (int32_t)(padded - rows * pitch));
    }
  }

  // What is added to the scores of a row: the bias or 0, and -inf where there is no expert.
  __aicore__ inline void LoadBias() {
    const LocalTensor<float> bias = bias_buffer_.Get<float>();
    Duplicate(bias, minus_inf_, (int32_t)width_);
    PipeBarrier<PIPE_V>();
    if (tiling_.has_bias) {
      LocalTensor<T> loaded = bias_in_.template AllocTensor<T>();
      Load(loaded, bias_gm_, 1);
      bias_in_.EnQue(loaded);
      loaded = bias_in_.template DeQue<T>();
      Widen(bias, loaded, tiling_.groups);
      bias_in_.FreeTensor(loaded);
    } else {
      for (int64_t lane = 0; lane < tiling_.group_size; lane += kLanes) {
        for (int64_t group = 0; group < tiling_.groups; ++group) {
          Duplicate(bias[(uint32_t)(group * tiling_.group_pitch + lane)], 0.0f,
                    (int32_t)Min(kLanes, tiling_.group_size - lane));
        }
      }
    }
  }

  // Rows of experts from GM to groups at their pitch.
  __aicore__ inline void Load(const LocalTensor<T>& dst, const GlobalTensor<Storage>& src,
                              int64_t rows) {
    const LocalTensor<Storage> tile = dst.template ReinterpretCast<Storage>();
    const DataCopyPadExtParams<Storage> pad = NoPad<Storage>();
    if (is_dense_) {
      DataCopyPad(tile, src, OneRow(rows * width_ * (int64_t)sizeof(T)), pad);
      return;
    }
    const int64_t bytes = tiling_.group_size * (int64_t)sizeof(T);
    const int64_t gap =
        tiling_.group_pitch * (int64_t)sizeof(T) / ONE_BLK_SIZE - Ceil(bytes, ONE_BLK_SIZE);
    DataCopyPad(
        tile, src,
        DataCopyExtParams((uint16_t)(rows * tiling_.groups), (uint32_t)bytes, 0, (uint32_t)gap, 0),
        pad);
  }

  // Groups of experts as floats; between the end of a group and its pitch dst keeps what it has.
  __aicore__ inline void Widen(const LocalTensor<float>& dst, const LocalTensor<T>& src,
                               int64_t groups) {
    const int64_t pitch = tiling_.group_pitch;
    if constexpr (!kIsFloat) {
      if (is_dense_) {
        Cast(dst, src, RoundMode::CAST_NONE, (uint32_t)(groups * pitch));
        return;
      }
    }
    const UnaryRepeatParams steps(1, 1, Step(pitch),
                                  (uint8_t)(Step(pitch) * (int64_t)sizeof(T) / 4));
    for (int64_t lane = 0; lane < tiling_.group_size; lane += kLanes) {
      const uint64_t lanes = (uint64_t)Min(kLanes, tiling_.group_size - lane);
      const uint32_t at = (uint32_t)lane;
      if constexpr (kIsFloat) {
        Adds(dst[at], src[at], 0.0f, lanes, (uint8_t)groups, steps);
      } else {
        Cast(dst[at], src[at], RoundMode::CAST_NONE, lanes, (uint8_t)groups, steps);
      }
    }
  }

  __aicore__ inline void Tile(int64_t row, int64_t rows) {
    LocalTensor<T> in = in_.template AllocTensor<T>();
    Load(in, x_gm_[row * tiling_.experts], rows);
    in_.EnQue(in);
    in = in_.template DeQue<T>();
    LocalTensor<float> scores = scores_out_.template AllocTensor<float>();
    LocalTensor<float> logits = logit_buffer_.Get<float>();
    if constexpr (kIsFloat) {
      if (is_dense_) {
        logits = in;
      } else {
        Widen(logits, in, rows * tiling_.groups);
      }
    } else {
      Widen(logits, in, rows * tiling_.groups);
      in_.FreeTensor(in);
    }
    PipeBarrier<PIPE_V>();
    if (tiling_.norm_type == 0) {
      Softmax(scores, logits, rows);
    } else if (tiling_.norm_type == 1) {
      Sigmoid(scores, logits, rows);
    } else {
      SqrtSoftplus(scores, logits, rows);
    }
    if constexpr (kIsFloat) in_.FreeTensor(in);
    LocalTensor<float> selection = scores;
    if (HasSelection()) {
      selection = selection_buffer_.Get<float>();
      const LocalTensor<float> bias = bias_buffer_.Get<float>();
      const BinaryRepeatParams by_row(1, 1, 1, Step(width_), Step(width_), 0);
      if (rows == 1) {
        Add(selection, scores, bias, (int32_t)width_);
      } else {
        for (int64_t lane = 0; lane < width_; lane += kLanes) {
          const uint32_t at = (uint32_t)lane;
          Add(selection[at], scores[at], bias[at], (uint64_t)Min(kLanes, width_ - lane),
              (uint8_t)rows, by_row);
        }
      }
      PipeBarrier<PIPE_V>();
    }
    Choose(selection, rows);
    Give(scores, row, rows);
    scores_out_.EnQue(scores);
    scores = scores_out_.template DeQue<float>();
    if (tiling_.has_norm_out) StoreScores(scores, row, rows);
    scores_out_.FreeTensor(scores);
  }

  // each[row] = the sum or the largest of `length` floats of a row.
  template <bool is_sum>
  __aicore__ inline void Reduce(const LocalTensor<float>& src, int64_t length, int64_t pitch,
                                int64_t rows) {
    const LocalTensor<float> each = each_buffer_.Get<float>();
    LocalTensor<float> from = src;
    uint64_t lanes = (uint64_t)length;
    uint8_t step = Step(pitch);
    if (length > kLanes) {
      from = fold_buffer_.Get<float>();
      Adds(from, src, 0.0f, kLanes, (uint8_t)rows, UnaryRepeatParams(1, 1, 8, step));
      PipeBarrier<PIPE_V>();
      for (int64_t lane = kLanes; lane < length; lane += kLanes) {
        const BinaryRepeatParams fold(1, 1, 1, 8, 8, step);
        const uint64_t now = (uint64_t)Min(kLanes, length - lane);
        if constexpr (is_sum) {
          Add(from, from, src[(uint32_t)lane], now, (uint8_t)rows, fold);
        } else {
          Max(from, from, src[(uint32_t)lane], now, (uint8_t)rows, fold);
        }
        PipeBarrier<PIPE_V>();
      }
      lanes = kLanes;
      step = 8;
    }
    if constexpr (is_sum) {
      WholeReduceSum(each, from, lanes, (int32_t)rows, 1, 1, step);
    } else {
      WholeReduceMax(each, from, lanes, (int32_t)rows, 1, 1, step, ReduceOrder::ORDER_ONLY_VALUE);
    }
    PipeBarrier<PIPE_V>();
  }

  // A block of copies for each value of a row.
  __aicore__ inline LocalTensor<float> Spread(const LocalTensor<float>& each, int64_t rows) {
    const LocalTensor<float> spread = spread_buffer_.Get<float>();
    Brcb(spread, each, (uint8_t)Ceil(rows, kBlockFloats), BrcbRepeatParams(1, 8));
    PipeBarrier<PIPE_V>();
    return spread;
  }

  // dst = src op a value of the row, over `length` floats of a row: all repeats of a single row in
  // one instruction.
  template <typename Op>
  __aicore__ inline void ByRow(Op op, int64_t length, int64_t pitch, int64_t rows) {
    const BinaryRepeatParams steps(1, 1, 0, Step(pitch), Step(pitch), 1);
    int64_t lane = 0;
    if (rows == 1 && length >= kLanes) {
      const BinaryRepeatParams along(1, 1, 0, 8, 8, 0);
      op(0, (uint64_t)kLanes, (uint8_t)(length / kLanes), along);
      lane = length / kLanes * kLanes;
    }
    for (; lane < length; lane += kLanes) {
      op((uint32_t)lane, (uint64_t)Min(kLanes, length - lane), (uint8_t)rows, steps);
    }
    PipeBarrier<PIPE_V>();
  }

  __aicore__ inline void Softmax(const LocalTensor<float>& s, const LocalTensor<float>& x,
                                 int64_t rows) {
    Reduce<false>(x, width_, width_, rows);
    LocalTensor<float> spread = Spread(each_buffer_.Get<float>(), rows);
    ByRow(
        [&](uint32_t at, uint64_t lanes, uint8_t repeats, const BinaryRepeatParams& steps) {
          Sub(s[at], x[at], spread, lanes, repeats, steps);
        },
        width_, width_, rows);
    Exp(s, s, (int32_t)(rows * width_));
    PipeBarrier<PIPE_V>();
    Reduce<true>(s, width_, width_, rows);
    spread = Spread(each_buffer_.Get<float>(), rows);
    ByRow(
        [&](uint32_t at, uint64_t lanes, uint8_t repeats, const BinaryRepeatParams& steps) {
          Div(s[at], s[at], spread, lanes, repeats, steps);
        },
        width_, width_, rows);
  }

  // 1 / (1 + exp(-x))
  __aicore__ inline void Sigmoid(const LocalTensor<float>& s, const LocalTensor<float>& x,
                                 int64_t rows) {
    const int32_t count = (int32_t)(rows * width_);
    Muls(s, x, -1.0f, count);
    PipeBarrier<PIPE_V>();
    Exp(s, s, count);
    PipeBarrier<PIPE_V>();
    Adds(s, s, 1.0f, count);
    const LocalTensor<float> one = record_buffer_.Get<float>();
    Duplicate(one, 1.0f, count);
    PipeBarrier<PIPE_V>();
    Div(s, one, s, count);
    PipeBarrier<PIPE_V>();
  }

  // softplus(x) = max(x, 0) + log1p(e), e = exp(-|x|). log1p(e) = log(u) e / (u - 1), u = 1 + e:
  // what is lost in u is lost in both factors. Where u is 1, it is e. x is used up: between the end
  // of a group and its pitch it is 0 from then on, which the -inf that is added there hides.
  __aicore__ inline void SqrtSoftplus(const LocalTensor<float>& s, const LocalTensor<float>& x,
                                      int64_t rows) {
    const int32_t count = (int32_t)(rows * width_);
    const uint32_t compared = (uint32_t)RoundUp(count, kLanes);
    const LocalTensor<float> e = record_buffer_.Get<float>();
    const LocalTensor<float> u = e[compared];
    const LocalTensor<uint8_t> is_one = list_buffer_.Get<uint8_t>();
    Abs(e, x, count);
    PipeBarrier<PIPE_V>();
    Muls(e, e, -1.0f, count);
    PipeBarrier<PIPE_V>();
    Exp(e, e, count);
    PipeBarrier<PIPE_V>();
    Adds(u, e, 1.0f, count);
    PipeBarrier<PIPE_V>();
    if ((int64_t)compared > count) {
      Duplicate(u[(uint32_t)count], 0.0f, (int32_t)compared - count);
      PipeBarrier<PIPE_V>();
    }
    CompareScalar(is_one, u, 1.0f, CMPMODE::EQ, compared);
    Ln(s, u, count);
    PipeBarrier<PIPE_V>();
    Adds(u, u, -1.0f, count);
    Mul(s, s, e, count);
    PipeBarrier<PIPE_V>();
    Div(s, s, u, count);
    Maxs(x, x, 0.0f, count);
    PipeBarrier<PIPE_V>();
    Select(s, is_one, e, s, SELMODE::VSEL_TENSOR_TENSOR_MODE, (uint32_t)count);
    PipeBarrier<PIPE_V>();
    Add(s, s, x, count);
    PipeBarrier<PIPE_V>();
    Sqrt(s, s, count);
    PipeBarrier<PIPE_V>();
  }

  // Lists of records in record_buffer_: `count` of them, `pitch` records apart, the first `length`
  // of each in use.
  struct Lists {
    int64_t count;
    int64_t pitch;
    int64_t length;
  };

  // Merges `of` neighbouring lists at a time until one is left of them.
  __aicore__ inline Lists Merge(Lists lists, int64_t of) {
    const LocalTensor<float> records = record_buffer_.Get<float>();
    const LocalTensor<float> from = list_buffer_.Get<float>();
    while (of > 1) {
      const int64_t units = lists.count / of;
      const int64_t length = Min(lists.length, keep_);
      const int64_t padded = RoundUp(of, kFanIn);
      const uint16_t blocks = (uint16_t)(length / kRecordBlocks);
      const int64_t gap = (lists.pitch - length) / kRecordBlocks;
      if (padded != of) {  // lists that come last in every order
        Duplicate(from, minus_inf_, (int32_t)(units * padded * length * 2));
        PipeBarrier<PIPE_V>();
        for (int64_t i = 0; i < of; ++i) {
          DataCopy(from[(uint32_t)(i * length * 2)], records[(uint32_t)(i * lists.pitch * 2)],
                   DataCopyParams((uint16_t)units, blocks,
                                  (uint16_t)(gap + (of - 1) * lists.pitch / kRecordBlocks),
                                  (uint16_t)((padded - 1) * length / kRecordBlocks)));
        }
      } else {
        DataCopy(from, records, DataCopyParams((uint16_t)lists.count, blocks, (uint16_t)gap, 0));
      }
      PipeBarrier<PIPE_V>();
      const int64_t merges = units * padded / kFanIn;
      const uint16_t lengths[4] = {(uint16_t)length, (uint16_t)length, (uint16_t)length,
                                   (uint16_t)length};
      const MrgSortSrcList<float> sources(from, from[(uint32_t)(length * 2)],
                                          from[(uint32_t)(length * 4)],
                                          from[(uint32_t)(length * 6)]);
      MrgSort(records, sources, MrgSort4Info(lengths, false, 0xF, (uint8_t)merges));
      PipeBarrier<PIPE_V>();
      lists = {merges, kFanIn * length, kFanIn * length};
      of = padded / kFanIn;
    }
    return lists;
  }

  // Records of a group's list behind the merges within groups.
  __aicore__ inline int64_t GroupPitch() const {
    int64_t length = kList;
    for (int64_t of = tiling_.group_pitch / kList; of > 1; of = Ceil(of, kFanIn)) {
      length = kFanIn * Min(length, keep_);
    }
    return length;
  }

  // chosen_buffer_: the byte offsets, in a tile of floats, of the `keep_` best of each row.
  __aicore__ inline void Choose(const LocalTensor<float>& selection, int64_t rows) {
    const LocalTensor<float> records = record_buffer_.Get<float>();
    const LocalTensor<uint32_t> places = place_buffer_.Get<uint32_t>();
    const int64_t sorted = rows * width_ / kList;
    Sort32(records, selection, places, (int32_t)sorted);
    PipeBarrier<PIPE_V>();
    Lists lists = {sorted, kList, kList};
    if (tiling_.groups > 1) {
      lists = Merge(lists, tiling_.group_pitch / kList);
      DropGroups(lists, rows);
    }
    lists = Merge(lists, lists.count / rows);
    const LocalTensor<int32_t> chosen = chosen_buffer_.Get<int32_t>();
    uint64_t taken = 0;
    GatherMask(chosen, records.ReinterpretCast<int32_t>(), 2, true, (uint32_t)(2 * keep_),
               GatherMaskParams(1, (uint16_t)rows, (uint16_t)(lists.pitch / kRecordBlocks), 0),
               taken);
    PipeBarrier<PIPE_V>();
    Muls(chosen, chosen, 4, (int32_t)(rows * keep_));
    PipeBarrier<PIPE_V>();
  }

  // The lists of all but the best groups of a row score -inf. A group is among them when its score
  // is above that of the last that is kept, or equal to it and its number not above.
  __aicore__ inline void DropGroups(const Lists& lists, int64_t rows) {
    const int64_t pitch = tiling_.groups_pitch;
    const uint32_t slots = (uint32_t)(rows * pitch);
    const uint32_t compared = (uint32_t)RoundUp(rows * pitch, kLanes);
    const LocalTensor<float> records = record_buffer_.Get<float>();
    const LocalTensor<float> score = group_score_buffer_.Get<float>();
    const LocalTensor<float> second = group_second_buffer_.Get<float>();
    const LocalTensor<float> least = group_least_buffer_.Get<float>();
    const LocalTensor<float> number = number_buffer_.Get<float>();
    const LocalTensor<uint32_t> slot = slot_buffer_.Get<uint32_t>();
    const LocalTensor<uint8_t> bits = group_bits_buffer_.Get<uint8_t>();
    const LocalTensor<uint8_t> equal = bits[BitBytes(compared)];
    Pick(score, records, slot, 0, slots);
    if (tiling_.sums_top_two) {
      Pick(second, records, slot, 8, slots);
      PipeBarrier<PIPE_V>();
      Add(score, score, second, (int32_t)slots);
    }
    PipeBarrier<PIPE_V>();
    if (pitch != tiling_.groups) {
      // No group is behind the last: all of them are at the end of a row of 32 or 64.
      const uint64_t absent[2] = {~uint64_t{0} << tiling_.groups & (~uint64_t{0} >> (64 - pitch)),
                                  0};
      Duplicate(score, minus_inf_, absent, (uint8_t)rows, 1, (uint8_t)(pitch / kBlockFloats));
      PipeBarrier<PIPE_V>();
    }
    LocalTensor<float> sorted = group_record_buffer_.Get<float>();
    Sort32(sorted, score, number.ReinterpretCast<uint32_t>(), (int32_t)(slots / kList));
    PipeBarrier<PIPE_V>();
    if (pitch > kList) {
      const LocalTensor<float> merged = group_merged_buffer_.Get<float>();
      const uint16_t lengths[4] = {kList, kList, 0, 0};
      for (int64_t row = 0; row < rows; ++row) {
        const LocalTensor<float> first = sorted[(uint32_t)(row * pitch * 2)];
        const LocalTensor<float> other = first[kList * 2];
        MrgSort(merged[(uint32_t)(row * pitch * 2)],
                MrgSortSrcList<float>(first, other, other, other),
                MrgSort4Info(lengths, false, 3, 1));
      }
      PipeBarrier<PIPE_V>();
      sorted = merged;
    }
    const LocalTensor<uint32_t> row_slot = row_slot_buffer_.Get<uint32_t>();
    const uint32_t last = (uint32_t)((tiling_.kept_groups - 1) * 8);
    ByGroup(least, sorted, row_slot, last, rows);
    Compare(bits, score, least, CMPMODE::GT, compared);
    Compare(equal, score, least, CMPMODE::EQ, compared);
    ByGroup(least, sorted, row_slot, last + 4, rows);
    const LocalTensor<uint8_t> not_above = equal[BitBytes(compared)];
    Compare(not_above, number, least, CMPMODE::LE, compared);
    Duplicate(second, 0.0f, (int32_t)compared);
    PipeBarrier<PIPE_V>();
    Select(least, not_above, second, minus_inf_, SELMODE::VSEL_TENSOR_SCALAR_MODE, compared);
    PipeBarrier<PIPE_V>();
    Select(least, equal, least, minus_inf_, SELMODE::VSEL_TENSOR_SCALAR_MODE, compared);
    PipeBarrier<PIPE_V>();
    Select(least, bits, second, least, SELMODE::VSEL_TENSOR_TENSOR_MODE, compared);
    PipeBarrier<PIPE_V>();
    const LocalTensor<float> spread = group_spread_buffer_.Get<float>();
    Brcb(spread, least, (uint8_t)(slots / kBlockFloats), BrcbRepeatParams(1, 8));
    PipeBarrier<PIPE_V>();
    // Scores are the even words of records; lists are multiples of 32 records long. What the next
    // merge does not read stays.
    const uint64_t scores[2] = {kEvenLanes, 0};
    const int64_t length = Min(lists.length, keep_);
    const uint8_t step = (uint8_t)(lists.pitch / kRecordBlocks);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t record = 0; record < length; record += kList) {
        const LocalTensor<float> at =
            records[(uint32_t)((row * tiling_.groups * lists.pitch + record) * 2)];
        Add(at, at, spread[(uint32_t)(row * pitch * kBlockFloats)], scores, (uint8_t)tiling_.groups,
            BinaryRepeatParams(1, 1, 0, step, step, 1));
      }
    }
    PipeBarrier<PIPE_V>();
  }

  // For all groups of a row the word at `offset` of the row's sorted groups.
  __aicore__ inline void ByGroup(const LocalTensor<float>& dst, const LocalTensor<float>& sorted,
                                 const LocalTensor<uint32_t>& row_slot, uint32_t offset,
                                 int64_t rows) {
    const LocalTensor<float> each = each_buffer_.Get<float>();
    Pick(each, sorted, row_slot, offset, (uint32_t)rows);
    PipeBarrier<PIPE_V>();
    const LocalTensor<float> spread = Spread(each, rows);
    const uint8_t step = (uint8_t)(tiling_.groups_pitch / kBlockFloats);
    Adds(dst, spread, 0.0f, (uint64_t)tiling_.groups_pitch, (uint8_t)rows,
         UnaryRepeatParams(1, 0, step, 1));
    PipeBarrier<PIPE_V>();
  }

  __aicore__ inline void Give(const LocalTensor<float>& scores, int64_t row, int64_t rows) {
    const LocalTensor<uint32_t> chosen = chosen_buffer_.Get<uint32_t>();
    const LocalTensor<float> weights = weight_buffer_.Get<float>();
    const int32_t count = (int32_t)(rows * keep_);
    Pick(weights, scores, chosen, 0, (uint32_t)count);
    LocalTensor<int32_t> experts = experts_out_.template AllocTensor<int32_t>();
    Pick(experts, expert_buffer_.Get<int32_t>(), chosen, 0, (uint32_t)count);
    PipeBarrier<PIPE_V>();
    if (tiling_.renormalise) {
      Reduce<true>(weights, tiling_.k, keep_, rows);
      const LocalTensor<float> each = each_buffer_.Get<float>();
      Adds(each, each, FloatOf(tiling_.eps_bits), (int32_t)rows);
      PipeBarrier<PIPE_V>();
      const LocalTensor<float> spread = Spread(each, rows);
      ByRow(
          [&](uint32_t at, uint64_t lanes, uint8_t repeats, const BinaryRepeatParams& steps) {
            Div(weights[at], weights[at], spread, lanes, repeats, steps);
          },
          tiling_.k, keep_, rows);
    }
    LocalTensor<T> out = weights_out_.template AllocTensor<T>();
    const float scale = FloatOf(tiling_.scale_bits);
    if constexpr (kIsFloat) {
      Muls(out, weights, scale, count);
    } else {
      Muls(weights, weights, scale, count);
      PipeBarrier<PIPE_V>();
      const int64_t pitch = RoundUp(tiling_.k, 2 * kBlockFloats);
      const UnaryRepeatParams steps(1, 1, (uint8_t)(pitch / (2 * kBlockFloats)), Step(keep_));
      for (int64_t lane = 0; lane < tiling_.k; lane += kLanes) {
        Cast(out[(uint32_t)lane], weights[(uint32_t)lane], RoundMode::CAST_RINT,
             (uint64_t)Min(kLanes, tiling_.k - lane), (uint8_t)rows, steps);
      }
    }
    weights_out_.EnQue(out);
    if (tiling_.has_finished) MarkFinished(experts, row, rows);
    experts_out_.EnQue(experts);
    out = weights_out_.template DeQue<T>();
    const int64_t at = row * tiling_.k;
    const DataCopyExtParams shape((uint16_t)rows, (uint32_t)(tiling_.k * (int64_t)sizeof(T)), 0, 0,
                                  0);
    DataCopyPad(y_gm_[at], out.template ReinterpretCast<Storage>(), shape);
    weights_out_.FreeTensor(out);
    experts = experts_out_.template DeQue<int32_t>();
    const DataCopyExtParams words((uint16_t)rows, (uint32_t)(tiling_.k * 4), 0, 0, 0);
    DataCopyPad(expert_gm_[at], experts, words);
    experts_out_.FreeTensor(experts);
    if (tiling_.has_row_idx) {
      LocalTensor<int32_t> numbers = rows_out_.template AllocTensor<int32_t>();
      Adds(numbers, row_buffer_.Get<int32_t>(), (int32_t)row, count);
      rows_out_.EnQue(numbers);
      numbers = rows_out_.template DeQue<int32_t>();
      DataCopyPad(row_gm_[at], numbers, words);
      rows_out_.FreeTensor(numbers);
    }
  }

  // Rows that are finished have no expert: number `experts`. Numbers are exact as floats.
  __aicore__ inline void MarkFinished(const LocalTensor<int32_t>& experts, int64_t row,
                                      int64_t rows) {
    LocalTensor<uint8_t> flags = finished_in_.template AllocTensor<uint8_t>();
    DataCopyPad(flags, finished_gm_[row], OneRow(rows), NoPad<uint8_t>());
    finished_in_.EnQue(flags);
    flags = finished_in_.template DeQue<uint8_t>();
    const int32_t count = (int32_t)(rows * keep_);
    const LocalTensor<half> narrow = fold_buffer_.Get<half>();
    const LocalTensor<float> alive = alive_buffer_.Get<float>();
    const LocalTensor<float> number = list_buffer_.Get<float>();
    Cast(narrow, flags, RoundMode::CAST_NONE, (uint32_t)rows);
    Cast(number, experts, RoundMode::CAST_NONE, (uint32_t)count);
    PipeBarrier<PIPE_V>();
    finished_in_.FreeTensor(flags);
    Cast(alive, narrow, RoundMode::CAST_NONE, (uint32_t)rows);
    Adds(number, number, -(float)tiling_.experts, count);
    PipeBarrier<PIPE_V>();
    Muls(alive, alive, -1.0f, (int32_t)rows);
    PipeBarrier<PIPE_V>();
    Adds(alive, alive, 1.0f, (int32_t)rows);
    PipeBarrier<PIPE_V>();
    const LocalTensor<float> spread = Spread(alive, rows);
    ByRow(
        [&](uint32_t at, uint64_t lanes, uint8_t repeats, const BinaryRepeatParams& steps) {
          Mul(number[at], number[at], spread, lanes, repeats, steps);
        },
        keep_, keep_, rows);
    Adds(number, number, (float)tiling_.experts, count);
    PipeBarrier<PIPE_V>();
    Cast(experts, number, RoundMode::CAST_RINT, (uint32_t)count);
  }

  __aicore__ inline void StoreScores(const LocalTensor<float>& scores, int64_t row, int64_t rows) {
    const GlobalTensor<float> to = norm_gm_[row * tiling_.experts];
    if (is_dense_) {
      DataCopyPad(to, scores, OneRow(rows * width_ * 4));
      return;
    }
    const int64_t gap =
        (tiling_.group_pitch - RoundUp(tiling_.group_size, kBlockFloats)) / kBlockFloats;
    DataCopyPad(to, scores,
                DataCopyExtParams((uint16_t)(rows * tiling_.groups),
                                  (uint32_t)(tiling_.group_size * 4), (uint32_t)gap, 0, 0));
  }

  const MoeGatingTopKTiling& tiling_;
  int64_t width_;  // places of a row
  int64_t keep_;
  bool is_dense_;  // experts fill their groups' places
  float minus_inf_;
  GlobalTensor<Storage> x_gm_, bias_gm_, y_gm_;
  GlobalTensor<uint8_t> finished_gm_;
  GlobalTensor<int32_t> expert_gm_, row_gm_;
  GlobalTensor<float> norm_gm_;
  TQue<TPosition::VECIN, 2> in_, finished_in_;
  TQue<TPosition::VECIN, 1> bias_in_;
  TQue<TPosition::VECOUT, 2> scores_out_, weights_out_, experts_out_, rows_out_;
  TBuf<> logit_buffer_, place_buffer_, expert_buffer_, selection_buffer_, bias_buffer_;
  TBuf<> record_buffer_, list_buffer_, chosen_buffer_, weight_buffer_;
  TBuf<> fold_buffer_, each_buffer_, spread_buffer_, row_buffer_, alive_buffer_;
  TBuf<> slot_buffer_, number_buffer_, row_slot_buffer_;
  TBuf<> group_score_buffer_, group_second_buffer_, group_least_buffer_, group_bits_buffer_;
  TBuf<> group_record_buffer_, group_merged_buffer_, group_spread_buffer_;
};

template <typename T>
__aicore__ inline void Run(GM_ADDR x, GM_ADDR bias, GM_ADDR finished, GM_ADDR y, GM_ADDR expert_idx,
                           GM_ADDR row_idx, GM_ADDR norm_out, const MoeGatingTopKTiling& tiling) {
  TPipe pipe;
  MoeGatingTopK<T> kernel(&pipe, x, bias, finished, y, expert_idx, row_idx, norm_out, tiling);
  kernel.Run();
}

}  // namespace

extern "C" __global__ __aicore__ void moe_gating_top_k_half(GM_ADDR x, GM_ADDR bias,
                                                            GM_ADDR finished, GM_ADDR y,
                                                            GM_ADDR expert_idx, GM_ADDR row_idx,
                                                            GM_ADDR norm_out,
                                                            MoeGatingTopKTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  Run<half>(x, bias, finished, y, expert_idx, row_idx, norm_out, tiling);
}

extern "C" __global__ __aicore__ void moe_gating_top_k_bfloat16(GM_ADDR x, GM_ADDR bias,
                                                                GM_ADDR finished, GM_ADDR y,
                                                                GM_ADDR expert_idx, GM_ADDR row_idx,
                                                                GM_ADDR norm_out,
                                                                MoeGatingTopKTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  Run<bfloat16_t>(x, bias, finished, y, expert_idx, row_idx, norm_out, tiling);
}

extern "C" __global__ __aicore__ void moe_gating_top_k_float(GM_ADDR x, GM_ADDR bias,
                                                             GM_ADDR finished, GM_ADDR y,
                                                             GM_ADDR expert_idx, GM_ADDR row_idx,
                                                             GM_ADDR norm_out,
                                                             MoeGatingTopKTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  Run<float>(x, bias, finished, y, expert_idx, row_idx, norm_out, tiling);
}
