// cc/kernels/moe/moe_gating_top_k.cpp: chooses k experts for each token, and their weights.
//
// Scores s of a row of logits are its softmax, sigmoid or sqrt(softplus). Experts are chosen by
// s + bias: in groups only the best groups take part; of equal ones the lower number wins. Weights
// are the chosen s without the bias, divided by their sum + eps when asked for, times a factor.
// Arithmetic is in float; one rounding, to nearest even, makes a weight.
//
// A tile is some rows. The scores of a group of experts lie at `score_pitch`; Sort32 sorts 32 of
// them, at `sort_pitch`, into records (score, where in the row the score is); merges of four lists
// at a time leave one list per row, of which only the first `kept_records` records are carried on.
// What lies between the end of a group and its pitch scores -inf.
//
// Of groups, each has a sorted list; its first one or two records give its score. Each group's rank
// is how many others beat it; the lists of those that rank first are gathered, and merged.
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

// Bit 8 g + h: whether h < g.
constexpr uint64_t kLower = 0x7F3F1F0F07030100;

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
        is_dense_(tiling.score_pitch == tiling.group_size),
        is_apart_(tiling.score_pitch != tiling.sort_pitch),
        divides_late_(tiling.norm_type == 0 && !tiling.has_bias && !tiling.has_norm_out),
        share_(ShareOf(tiling.rows)),
        first_one_(0),
        ones_(0),
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
    const int64_t tile = RoundUp(rows * width_, kLanes);
    const int64_t sorted = rows * tiling.sort_width;
    const int64_t chosen = rows * keep_;
    // The first tile comes while everything else is laid out.
    pipe->InitBuffer(in_, 2, (uint32_t)(rows * width_ * (int64_t)sizeof(T)));
    if (tiling.has_finished) pipe->InitBuffer(finished_in_, 2, (uint32_t)rows);
    Fetch(share_.begin, Min(rows, share_.end - share_.begin));
    if (tiling.has_bias) {
      pipe->InitBuffer(bias_in_, 1, (uint32_t)(width_ * (int64_t)sizeof(T)));
      LocalTensor<T> bias = bias_in_.template AllocTensor<T>();
      Load(bias, bias_gm_, 1);
      bias_in_.EnQue(bias);
    }
    pipe->InitBuffer(arena_, (uint32_t)(tiling.arena_words * 4));
    pipe->InitBuffer(weights_out_, 2, (uint32_t)(chosen * 4));
    pipe->InitBuffer(experts_out_, 2, (uint32_t)(chosen * 4));
    if (tiling.has_row_idx) pipe->InitBuffer(rows_out_, 2, (uint32_t)(chosen * 4));
    if (tiling.has_norm_out) pipe->InitBuffer(scores_out_, 2, (uint32_t)(tile * 4));
    int64_t used = 0;
    const auto part = [&](Part& buffer, int64_t words) {
      words = RoundUp(words, kBlockFloats);
      buffer.words = arena_.GetWithOffset<float>((uint32_t)words, (uint32_t)(used * 4));
      used += words;
    };
    part(place_, sorted);
    part(record_, tiling.record_bytes / 4);
    part(list_, tiling.list_bytes / 4);
    part(chosen_, chosen);
    part(weight_, chosen);
    part(fold_, rows * kLanes);
    part(block_, RoundUp(rows, kBlockFloats) * kBlockFloats);
    part(spread_, rows * kBlockFloats);
    if (!tiling.has_norm_out) part(scores_, tile);
    if (tiling.has_row_idx) part(row_, chosen);
    if (tiling.has_finished) part(none_, rows);
    if (!is_dense_) part(expert_, width_);
    if (HasSelection()) part(selection_, tile);
    if (HasSelection()) part(bias_, width_);
    if (tiling.has_bias) part(start_, chosen);
    if (is_apart_) part(sort_, sorted);
    // One piece, which one instruction fills: a block of ones, and what is read behind the last
    // value of a tile.
    const int64_t slots = tiling.groups > 1 ? RoundUp(rows * tiling.groups_pitch, kLanes) : 0;
    first_one_ = used;
    part(one_, kBlockFloats);
    part(rank_, slots);
    ones_ = kBlockFloats + slots;
    if (tiling.groups > 1) {
      part(rank_part_, slots);
      part(group_score_, slots);
      part(group_block_, rows * tiling.groups_pitch * kBlockFloats);
      part(beats_, rows * kLanes);
      part(above_, rows * 2);
      part(not_below_, rows * 2);
      part(all_, kBlockFloats);
      part(kept_, tiling.kept_lists * tiling.list_records * 2);
    }
  }

  __aicore__ inline void Run() {
    const int64_t rows = tiling_.rows_per_tile;
    MakeTables();
    for (int64_t row = share_.begin; row < share_.end; row += rows) {
      const int64_t next = row + rows;
      if (next < share_.end) Fetch(next, Min(rows, share_.end - next));
      Tile(row, Min(rows, share_.end - row));
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

  // Fills [count, length] of a buffer with copies of its first row, some columns of all rows at
  // once where their step has room.
  __aicore__ inline void Copies(const LocalTensor<int32_t>& table, int64_t length, int64_t count) {
    if (count == 1 || Step(length) == 0) {
      Repeat(table, length, count, 0);
      return;
    }
    const UnaryRepeatParams steps(1, 1, Step(length), 0);
    for (int64_t lane = 0; lane < length; lane += kLanes) {
      Adds(table[(uint32_t)(length + lane)], table[(uint32_t)lane], 0,
           (uint64_t)Min(kLanes, length - lane), (uint8_t)(count - 1), steps);
    }
  }

  // Every tile has barriers before it reads what is made here. The bias comes later than logits.
  __aicore__ inline void MakeTables() {
    const int64_t rows = tiling_.rows_per_tile;
    const int64_t pitch = tiling_.sort_pitch;
    const LocalTensor<int32_t> place = place_.Get<int32_t>();
    const int64_t first = is_apart_ ? pitch : width_;
    CreateVecIndex(place, 0, (uint32_t)first);
    Duplicate(arena_.GetWithOffset<float>((uint32_t)ones_, (uint32_t)(first_one_ * 4)), 1.0f,
              (int32_t)ones_);
    if (is_apart_) {
      Duplicate(sort_.Get<float>(), minus_inf_, (int32_t)(rows * tiling_.sort_width));
    }
    PipeBarrier<PIPE_V>();
    Muls(place, place, 4, (int32_t)first);
    PipeBarrier<PIPE_V>();
    if (is_apart_) Repeat(place, pitch, tiling_.groups, tiling_.score_pitch * 4);
    Copies(place, tiling_.sort_width, rows);
    if (!is_dense_) {
      const LocalTensor<int32_t> expert = expert_.Get<int32_t>();
      CreateVecIndex(expert, 0, (uint32_t)tiling_.score_pitch);
      PipeBarrier<PIPE_V>();
      Repeat(expert, tiling_.score_pitch, tiling_.groups, tiling_.group_size);
    }
    if (tiling_.has_row_idx) {
      const LocalTensor<int32_t> number = row_.Get<int32_t>();
      CreateVecIndex(number, 0, (uint32_t)keep_);
      PipeBarrier<PIPE_V>();
      Muls(number, number, (int32_t)tiling_.rows, (int32_t)keep_);
      PipeBarrier<PIPE_V>();
      Repeat(number, keep_, rows, 1);
    }
    if (tiling_.groups > 1) {
      Duplicate(group_score_.Get<float>(), minus_inf_,
                (int32_t)RoundUp(rows * tiling_.groups_pitch, kLanes));
      Duplicate(all_.Get<int32_t>(), -1, (int32_t)kBlockFloats);
    }
  }

  // What is added to the scores of a row: the bias or 0, and -inf where there is no expert. Where
  // the scores of the chosen experts of each row begin, in bytes.
  __aicore__ inline void MakeBias() {
    const LocalTensor<float> bias = bias_.Get<float>();
    if (!is_dense_) {
      Duplicate(bias, minus_inf_, (int32_t)width_);
      PipeBarrier<PIPE_V>();
    }
    if (!tiling_.has_bias) {
      for (int64_t lane = 0; lane < tiling_.group_size; lane += kLanes) {
        for (int64_t group = 0; group < tiling_.groups; ++group) {
          Duplicate(bias[(uint32_t)(group * tiling_.score_pitch + lane)], 0.0f,
                    (int32_t)Min(kLanes, tiling_.group_size - lane));
        }
      }
      PipeBarrier<PIPE_V>();
      return;
    }
    if (tiling_.rows_per_tile > 1) {
      const LocalTensor<int32_t> start = start_.Get<int32_t>();
      Duplicate(start, 0, (int32_t)keep_);
      PipeBarrier<PIPE_V>();
      Repeat(start, keep_, tiling_.rows_per_tile, width_ * 4);
    }
    LocalTensor<T> loaded = bias_in_.template DeQue<T>();
    Widen(bias, loaded, tiling_.groups);
    bias_in_.FreeTensor(loaded);
    PipeBarrier<PIPE_V>();
  }

  // Loads a tile of logits, and which of its rows are finished.
  __aicore__ inline void Fetch(int64_t row, int64_t rows) {
    const LocalTensor<T> in = in_.template AllocTensor<T>();
    Load(in, x_gm_[row * tiling_.experts], rows);
    in_.EnQue(in);
    if (!tiling_.has_finished) return;
    const LocalTensor<uint8_t> flags = finished_in_.template AllocTensor<uint8_t>();
    DataCopyPad(
        flags, finished_gm_[row], OneRow(rows),
        DataCopyPadExtParams<uint8_t>(true, 0, (uint8_t)(RoundUp(rows, kBlockBytes) - rows), 0));
    finished_in_.EnQue(flags);
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
        tiling_.score_pitch * (int64_t)sizeof(T) / ONE_BLK_SIZE - Ceil(bytes, ONE_BLK_SIZE);
    DataCopyPad(
        tile, src,
        DataCopyExtParams((uint16_t)(rows * tiling_.groups), (uint32_t)bytes, 0, (uint32_t)gap, 0),
        pad);
  }

  // Groups of experts as floats; between the end of a group and its pitch dst keeps what it has.
  __aicore__ inline void Widen(const LocalTensor<float>& dst, const LocalTensor<T>& src,
                               int64_t groups) {
    const int64_t pitch = tiling_.score_pitch;
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
    LocalTensor<T> in = in_.template DeQue<T>();
    LocalTensor<float> scores = scores_.Get<float>();
    if (tiling_.has_norm_out) scores = scores_out_.template AllocTensor<float>();
    LocalTensor<float> logits = record_.Get<float>();
    if (!is_dense_) {
      Duplicate(logits, minus_inf_, (int32_t)(rows * width_));
      PipeBarrier<PIPE_V>();
    }
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
      if (row == share_.begin) MakeBias();
      selection = selection_.Get<float>();
      const LocalTensor<float> bias = bias_.Get<float>();
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
    if (is_apart_) {
      const LocalTensor<float> sorted = sort_.Get<float>();
      const int64_t blocks = tiling_.score_pitch / kBlockFloats;
      DataCopy(sorted, selection,
               DataCopyParams((uint16_t)(rows * tiling_.groups), (uint16_t)blocks, 0,
                              (uint16_t)(tiling_.sort_pitch / kBlockFloats - blocks)));
      PipeBarrier<PIPE_V>();
      selection = sorted;
    }
    const Lists lists = Choose(selection, rows);
    Give(lists, scores, row, rows);
    if (tiling_.has_norm_out) {
      scores_out_.EnQue(scores);
      scores = scores_out_.template DeQue<float>();
      StoreScores(scores, row, rows);
      scores_out_.FreeTensor(scores);
    }
  }

  // spread[row] = eight copies of what the first `lanes` of a row's block come to: an instruction
  // that reduces eight blocks takes the same one eight times.
  template <bool is_sum>
  __aicore__ inline void ReduceBlocks(const LocalTensor<float>& src, int64_t lanes, int64_t pitch,
                                      int64_t rows) {
    const uint64_t mask[2] = {0x0101010101010101 * (((uint64_t)1 << lanes) - 1), 0};
    const LocalTensor<float> spread = spread_.Get<float>();
    if constexpr (is_sum) {
      BlockReduceSum(spread, src, (int32_t)rows, mask, 1, 0, Step(pitch));
    } else {
      BlockReduceMax(spread, src, (int32_t)rows, mask, 1, 0, Step(pitch));
    }
    PipeBarrier<PIPE_V>();
  }

  // The sum or the largest of `length` floats of a row: a block of copies for each row. Sums are
  // chains over every 64th float, and a tree over neighbours of the 64.
  template <bool is_sum>
  __aicore__ inline LocalTensor<float> Reduce(const LocalTensor<float>& src, int64_t length,
                                              int64_t pitch, int64_t rows) {
    const LocalTensor<float> spread = spread_.Get<float>();
    if (length <= kBlockFloats) {
      ReduceBlocks<is_sum>(src, length, pitch, rows);
      return spread;
    }
    LocalTensor<float> from = src;
    uint8_t step = Step(pitch);
    if (length > kLanes) {
      from = fold_.Get<float>();
      const auto fold = [&](const LocalTensor<float>& with, int64_t lane, uint8_t with_step) {
        const BinaryRepeatParams steps(1, 1, 1, 8, with_step, step);
        const uint64_t now = (uint64_t)Min(kLanes, length - lane);
        if constexpr (is_sum) {
          Add(from, with, src[(uint32_t)lane], now, (uint8_t)rows, steps);
        } else {
          Max(from, with, src[(uint32_t)lane], now, (uint8_t)rows, steps);
        }
        PipeBarrier<PIPE_V>();
      };
      int64_t lane = kLanes;
      if (length >= 2 * kLanes) {
        fold(src, lane, step);
        lane += kLanes;
      } else {
        Adds(from, src, 0.0f, kLanes, (uint8_t)rows, UnaryRepeatParams(1, 1, 8, step));
        PipeBarrier<PIPE_V>();
      }
      for (; lane < length; lane += kLanes) fold(from, lane, 8);
      length = kLanes;
      step = 8;
    }
    const LocalTensor<float> blocks = block_.Get<float>();
    if constexpr (is_sum) {
      BlockReduceSum(blocks, from, (int32_t)rows, (int32_t)length, 1, 1, step);
    } else {
      BlockReduceMax(blocks, from, (int32_t)rows, (int32_t)length, 1, 1, step);
    }
    PipeBarrier<PIPE_V>();
    ReduceBlocks<is_sum>(blocks, Ceil(length, kBlockFloats), kBlockFloats, rows);
    return spread;
  }

  // dst = src op a value of the row, over `length` floats of a row: all repeats of a single row in
  // one instruction; rows that are blocks are whole ones.
  // op(first float, of the values of rows, lanes, repeats, strides).
  template <typename Op>
  __aicore__ inline void ByRow(Op op, int64_t length, int64_t pitch, int64_t rows) {
    if (pitch == kBlockFloats) {
      const BinaryRepeatParams blocks(1, 1, 1, 8, 8, 8);
      EveryLane(rows * kBlockFloats, [&](uint32_t at, uint64_t lanes, uint8_t repeats) {
        op(at, at, lanes, repeats, blocks);
      });
      PipeBarrier<PIPE_V>();
      return;
    }
    const BinaryRepeatParams steps(1, 1, 0, Step(pitch), Step(pitch), 1);
    int64_t lane = 0;
    if (rows == 1 && length >= kLanes) {
      const BinaryRepeatParams along(1, 1, 0, 8, 8, 0);
      op(0, 0, (uint64_t)kLanes, (uint8_t)(length / kLanes), along);
      lane = length / kLanes * kLanes;
    }
    for (; lane < length; lane += kLanes) {
      op((uint32_t)lane, 0, (uint64_t)Min(kLanes, length - lane), (uint8_t)rows, steps);
    }
    PipeBarrier<PIPE_V>();
  }

  // op(first float, lanes, repeats) over `count` floats.
  template <typename Op>
  __aicore__ inline void EveryLane(int64_t count, Op op) {
    const int64_t rest = count % kLanes;
    if (count > rest) op(0, (uint64_t)kLanes, (uint8_t)(count / kLanes));
    if (rest > 0) op((uint32_t)(count - rest), (uint64_t)rest, 1);
  }

  // If nothing needs the quotients of all experts, those that are chosen are divided later:
  // denominators do not decide.
  __aicore__ inline void Softmax(const LocalTensor<float>& s, const LocalTensor<float>& x,
                                 int64_t rows) {
    const LocalTensor<float> largest = Reduce<false>(x, width_, width_, rows);
    ByRow(
        [&](uint32_t at, uint32_t of, uint64_t lanes, uint8_t repeats,
            const BinaryRepeatParams& steps) {
          Sub(s[at], x[at], largest[of], lanes, repeats, steps);
        },
        width_, width_, rows);
    Exp(s, s, (int32_t)(rows * width_));
    PipeBarrier<PIPE_V>();
    const LocalTensor<float> sum = Reduce<true>(s, width_, width_, rows);
    if (!divides_late_) DivideByRow(s, sum, width_, width_, rows);
  }

  __aicore__ inline void DivideByRow(const LocalTensor<float>& dst, const LocalTensor<float>& by,
                                     int64_t length, int64_t pitch, int64_t rows) {
    ByRow(
        [&](uint32_t at, uint32_t of, uint64_t lanes, uint8_t repeats,
            const BinaryRepeatParams& steps) {
          Div(dst[at], dst[at], by[of], lanes, repeats, steps);
        },
        length, pitch, rows);
  }

  // 1 / (1 + exp(-x))
  __aicore__ inline void Sigmoid(const LocalTensor<float>& s, const LocalTensor<float>& x,
                                 int64_t rows) {
    const int32_t count = (int32_t)(rows * width_);
    Muls(s, x, -1.0f, count);
    PipeBarrier<PIPE_V>();
    Exp(s, s, count);
    PipeBarrier<PIPE_V>();
    const LocalTensor<float> one = one_.Get<float>();
    EveryLane(count, [&](uint32_t at, uint64_t lanes, uint8_t repeats) {
      Add(s[at], s[at], one, lanes, repeats, BinaryRepeatParams(1, 1, 0, 8, 8, 0));
    });
    PipeBarrier<PIPE_V>();
    EveryLane(count, [&](uint32_t at, uint64_t lanes, uint8_t repeats) {
      Div(s[at], one, s[at], lanes, repeats, BinaryRepeatParams(1, 0, 1, 8, 0, 8));
    });
    PipeBarrier<PIPE_V>();
  }

  // softplus(x) = max(x, 0) + log1p(e), e = exp(-|x|). log1p(e) = log(u) e / (u - 1), u = 1 + e:
  // what is lost in u is lost in both factors. Where u is 1, it is e. x is used up: between the end
  // of a group and its pitch it is 0 from then on, which the -inf that is added there hides.
  __aicore__ inline void SqrtSoftplus(const LocalTensor<float>& s, const LocalTensor<float>& x,
                                      int64_t rows) {
    const int32_t count = (int32_t)(rows * width_);
    const uint32_t compared = (uint32_t)RoundUp(count, kLanes);
    // x may be at the beginning of this buffer.
    const LocalTensor<float> e = record_.Get<float>()[compared];
    const LocalTensor<float> u = e[compared];
    const LocalTensor<uint8_t> is_one = list_.Get<uint8_t>();
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

  // Lists of records: `count` of them, `pitch` records apart, the first `length` of each in use.
  struct Lists {
    LocalTensor<float> records;
    int64_t count;
    int64_t pitch;
    int64_t length;
    bool is_apart;  // not where merges write
  };

  // Merges `of` neighbouring lists at a time until one is left of them, in record_.
  __aicore__ inline Lists Merge(Lists lists, int64_t of) {
    const LocalTensor<float> records = record_.Get<float>();
    while (of > 1) {
      const int64_t units = lists.count / of;
      const int64_t length = Min(lists.length, keep_);
      const int64_t padded = RoundUp(of, kFanIn);
      const uint16_t blocks = (uint16_t)(length / kRecordBlocks);
      const int64_t gap = (lists.pitch - length) / kRecordBlocks;
      LocalTensor<float> from = list_.Get<float>();
      if (padded != of) {  // lists that come last in every order
        Duplicate(from, minus_inf_, (int32_t)(units * padded * length * 2));
        PipeBarrier<PIPE_V>();
        for (int64_t i = 0; i < of; ++i) {
          DataCopy(from[(uint32_t)(i * length * 2)], lists.records[(uint32_t)(i * lists.pitch * 2)],
                   DataCopyParams((uint16_t)units, blocks,
                                  (uint16_t)(gap + (of - 1) * lists.pitch / kRecordBlocks),
                                  (uint16_t)((padded - 1) * length / kRecordBlocks)));
        }
      } else if (lists.is_apart && gap == 0) {
        from = lists.records;
      } else {
        DataCopy(from, lists.records,
                 DataCopyParams((uint16_t)lists.count, blocks, (uint16_t)gap, 0));
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
      lists = {records, merges, kFanIn * length, kFanIn * length, false};
      of = padded / kFanIn;
    }
    return lists;
  }

  // The sorted list of each row: scores and, in bytes, where they are in the row.
  __aicore__ inline Lists Choose(const LocalTensor<float>& selection, int64_t rows) {
    const LocalTensor<float> records = record_.Get<float>();
    const int64_t sorted = rows * tiling_.sort_width / kList;
    Sort32(records, selection, place_.Get<uint32_t>(), (int32_t)sorted);
    PipeBarrier<PIPE_V>();
    Lists lists = {records, sorted, kList, kList, false};
    if (tiling_.groups > 1) {
      lists = KeepGroups(Merge(lists, tiling_.sort_pitch / kList), rows);
    }
    return Merge(lists, lists.count / rows);
  }

  // The lists of the best groups of each row, in the order of groups: of each row as many, so that
  // those of a row follow those of the one before.
  __aicore__ inline Lists KeepGroups(const Lists& lists, int64_t rows) {
    const int64_t pitch = tiling_.groups_pitch;
    const int64_t groups = tiling_.groups;
    const int64_t count = rows * tiling_.kept_groups;
    const int64_t words = tiling_.list_records * 2;
    ScoreGroups(lists, rows);
    RankGroups(rows);
    // A block for each group: all bits of it, or none.
    const LocalTensor<uint8_t> is_kept = above_.Get<uint8_t>();
    const LocalTensor<float> mask = beats_.Get<float>();
    const LocalTensor<float> masks = group_block_.Get<float>();
    const int64_t slots = RoundUp(rows * pitch, kLanes);
    CompareScalar(is_kept, rank_.Get<float>(), (float)tiling_.kept_groups, CMPMODE::LT,
                  (uint32_t)slots);
    PipeBarrier<PIPE_V>();
    Select(mask, is_kept, all_.Get<float>(), 0.0f, SELMODE::VSEL_TENSOR_SCALAR_MODE,
           (uint64_t)kLanes, (uint8_t)(slots / kLanes), BinaryRepeatParams(1, 0, 1, 8, 0, 8));
    PipeBarrier<PIPE_V>();
    Brcb(masks, mask, (uint8_t)(rows * pitch / kBlockFloats), BrcbRepeatParams(1, 8));
    PipeBarrier<PIPE_V>();
    // Lists of more than 64 words are gathered in pieces, in the buffer that was large enough to
    // merge all lists of groups, and put together.
    const LocalTensor<float> kept = kept_.Get<float>();
    const bool in_pieces = words > kLanes;
    const int64_t at_once = groups == pitch ? rows : 1;
    for (int64_t word = 0; word < words; word += kLanes) {
      const LocalTensor<float> to = in_pieces ? list_.Get<float>() : kept;
      const int64_t now = Min(kLanes, words);
      for (int64_t row = 0; row < rows; row += at_once) {
        uint64_t taken = 0;
        GatherMask(to[(uint32_t)(row * tiling_.kept_groups * now)],
                   lists.records[(uint32_t)(row * groups * lists.pitch * 2 + word)],
                   masks[(uint32_t)(row * pitch * kBlockFloats)].ReinterpretCast<uint32_t>(), true,
                   (uint32_t)now,
                   GatherMaskParams(1, (uint16_t)(at_once * groups),
                                    (uint16_t)(lists.pitch / kRecordBlocks), 1),
                   taken);
      }
      PipeBarrier<PIPE_V>();
      if (in_pieces) {
        const int64_t blocks = kLanes / kBlockFloats;
        DataCopy(kept[(uint32_t)word], to,
                 DataCopyParams((uint16_t)count, (uint16_t)blocks, 0,
                                (uint16_t)(words / kBlockFloats - blocks)));
        PipeBarrier<PIPE_V>();
      }
    }
    return {kept, count, tiling_.list_records, tiling_.list_records, true};
  }

  // group_score_: the largest of each group, or the sum of its two largest. Groups that are
  // not there keep -inf.
  __aicore__ inline void ScoreGroups(const Lists& lists, int64_t rows) {
    const int64_t pitch = tiling_.groups_pitch;
    const LocalTensor<float> score = group_score_.Get<float>();
    // Scores are the even words of a list.
    const uint64_t words = tiling_.sums_top_two ? 0x0505050505050505 : 0x0101010101010101;
    LocalTensor<float> heads = lists.records;
    int64_t pitch_blocks = lists.pitch / kRecordBlocks;
    if (tiling_.groups * pitch_blocks > kMaxRepeat) {
      heads = group_block_.Get<float>();
      DataCopy(heads, lists.records,
               DataCopyParams((uint16_t)lists.count, 1, (uint16_t)(pitch_blocks - 1), 0));
      PipeBarrier<PIPE_V>();
      pitch_blocks = 1;
    }
    for (int64_t group = 0; group < tiling_.groups; group += kBlockFloats) {
      const int64_t blocks = Min(kBlockFloats, tiling_.groups - group);
      const uint64_t mask[2] = {words & (~(uint64_t)0 >> (kLanes - blocks * kBlockFloats)), 0};
      BlockReduceSum(score[(uint32_t)group], heads[(uint32_t)(group * pitch_blocks * kBlockFloats)],
                     (int32_t)rows, mask, (int32_t)(pitch / kBlockFloats), (int32_t)pitch_blocks,
                     (int32_t)(tiling_.groups * pitch_blocks));
    }
    PipeBarrier<PIPE_V>();
    if (rows == 1) return;  // there is room for the lists of all its groups
    // With NaN more groups have a rank below kept_groups, and their lists take the place of others.
    const uint32_t compared = (uint32_t)RoundUp(rows * pitch, kLanes);
    const LocalTensor<uint8_t> bits = above_.Get<uint8_t>();
    Compare(bits, score, score, CMPMODE::EQ, compared);
    PipeBarrier<PIPE_V>();
    Select(score, bits, score, minus_inf_, SELMODE::VSEL_TENSOR_SCALAR_MODE, compared);
    PipeBarrier<PIPE_V>();
  }

  // rank_: how many groups of the row come before each: those with a higher score, and of
  // equal ones those before it. Eight of them are compared with eight at a time.
  __aicore__ inline void RankGroups(int64_t rows) {
    const int64_t pitch = tiling_.groups_pitch;
    const int64_t blocks = pitch / kBlockFloats;
    const uint8_t step = (uint8_t)blocks;
    const LocalTensor<float> score = group_score_.Get<float>();
    const LocalTensor<float> spread = group_block_.Get<float>();
    const LocalTensor<float> beats = beats_.Get<float>();
    const LocalTensor<float> rank = rank_.Get<float>();
    const LocalTensor<float> part = rank_part_.Get<float>();
    const LocalTensor<uint8_t> above = above_.Get<uint8_t>();
    const LocalTensor<uint8_t> not_below = not_below_.Get<uint8_t>();
    Brcb(spread, score, (uint8_t)(rows * blocks), BrcbRepeatParams(1, 8));
    PipeBarrier<PIPE_V>();
    const uint8_t count = (uint8_t)rows;
    const BinaryRepeatParams eight(1, 0, 1, 8, step, (uint8_t)pitch);
    for (int64_t group = 0; group < blocks; ++group) {
      const LocalTensor<float> mine = spread[(uint32_t)(group * kLanes)];
      for (int64_t other = 0; other < blocks; ++other) {
        const LocalTensor<float> theirs = score[(uint32_t)(other * kBlockFloats)];
        // Of the same eight: those of higher numbers, and those of lower ones.
        const uint64_t lower = other < group ? ~(uint64_t)0 : other > group ? 0 : kLower;
        if (lower != 0)
          Compare(not_below, theirs, mine, CMPMODE::GE, (uint64_t)kLanes, count, eight);
        if (~lower != 0) Compare(above, theirs, mine, CMPMODE::GT, (uint64_t)kLanes, count, eight);
        PipeBarrier<PIPE_V>();
        Ones(beats, not_below, lower, count);
        Ones(beats, above, ~lower, count);
        PipeBarrier<PIPE_V>();
        const LocalTensor<float> to = other == 0 ? rank : part;
        BlockReduceSum(to[(uint32_t)(group * kBlockFloats)], beats, (int32_t)rows, (int32_t)kLanes,
                       step, 1, 8);
        PipeBarrier<PIPE_V>();
        if (other > 0) {
          const LocalTensor<float> sum = rank[(uint32_t)(group * kBlockFloats)];
          Add(sum, sum, part[(uint32_t)(group * kBlockFloats)], (uint64_t)kBlockFloats, count,
              BinaryRepeatParams(1, 1, 1, step, step, step));
          PipeBarrier<PIPE_V>();
        }
      }
    }
  }

  // 1 for a bit that is set, and 0 for one that is not, in these lanes of 64.
  __aicore__ inline void Ones(const LocalTensor<float>& dst, const LocalTensor<uint8_t>& bits,
                              uint64_t lanes, uint8_t rows) {
    if (lanes == 0) return;
    const uint64_t mask[2] = {lanes, 0};
    Select(dst, bits, one_.Get<float>(), 0.0f, SELMODE::VSEL_TENSOR_SCALAR_MODE, mask, rows,
           BinaryRepeatParams(1, 0, 1, 8, 0, 8));
  }

  __aicore__ inline void Give(const Lists& lists, const LocalTensor<float>& scores, int64_t row,
                              int64_t rows) {
    const LocalTensor<int32_t> chosen = chosen_.Get<int32_t>();
    const LocalTensor<float> weights = weight_.Get<float>();
    const int32_t count = (int32_t)(rows * keep_);
    const GatherMaskParams heads(1, (uint16_t)rows, (uint16_t)(lists.pitch / kRecordBlocks), 0);
    uint64_t taken = 0;
    GatherMask(chosen, lists.records.template ReinterpretCast<int32_t>(), 2, true,
               (uint32_t)(2 * keep_), heads, taken);
    if (!tiling_.has_bias) {
      GatherMask(weights, lists.records, 1, true, (uint32_t)(2 * keep_), heads, taken);
    }
    PipeBarrier<PIPE_V>();
    GiveExperts(row, rows);
    if (tiling_.has_bias) {
      if (rows > 1) {
        PipeBarrier<PIPE_V>();
        Add(chosen, chosen, start_.Get<int32_t>(), count);
        PipeBarrier<PIPE_V>();
      }
      Pick(weights, scores, chosen.ReinterpretCast<uint32_t>(), 0, (uint32_t)count);
    }
    PipeBarrier<PIPE_V>();
    if (divides_late_) DivideByRow(weights, spread_.Get<float>(), tiling_.k, keep_, rows);
    if (tiling_.renormalise) {
      const LocalTensor<float> sum = Reduce<true>(weights, tiling_.k, keep_, rows);
      Adds(sum, sum, FloatOf(tiling_.eps_bits), (int32_t)(rows * kBlockFloats));
      PipeBarrier<PIPE_V>();
      DivideByRow(weights, sum, tiling_.k, keep_, rows);
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
    out = weights_out_.template DeQue<T>();
    DataCopyPad(y_gm_[row * tiling_.k], out.template ReinterpretCast<Storage>(),
                Chosen(rows, sizeof(T)));
    weights_out_.FreeTensor(out);
  }

  __aicore__ inline DataCopyExtParams Chosen(int64_t rows, uint32_t bytes) const {
    return DataCopyExtParams((uint16_t)rows, (uint32_t)tiling_.k * bytes, 0, 0, 0);
  }

  // Experts by chosen_, and the numbers of (row, place).
  __aicore__ inline void GiveExperts(int64_t row, int64_t rows) {
    const LocalTensor<int32_t> chosen = chosen_.Get<int32_t>();
    const int32_t count = (int32_t)(rows * keep_);
    LocalTensor<int32_t> experts = experts_out_.template AllocTensor<int32_t>();
    if (is_dense_) {
      ShiftRight(experts, chosen, 2, count);
    } else {
      Pick(experts, expert_.Get<int32_t>(), chosen.ReinterpretCast<uint32_t>(), 0, (uint32_t)count);
    }
    if (tiling_.has_finished) MarkFinished(experts, rows);
    experts_out_.EnQue(experts);
    experts = experts_out_.template DeQue<int32_t>();
    DataCopyPad(expert_gm_[row * tiling_.k], experts, Chosen(rows, 4));
    experts_out_.FreeTensor(experts);
    if (tiling_.has_row_idx) {
      LocalTensor<int32_t> numbers = rows_out_.template AllocTensor<int32_t>();
      Adds(numbers, row_.Get<int32_t>(), (int32_t)row, count);
      rows_out_.EnQue(numbers);
      numbers = rows_out_.template DeQue<int32_t>();
      DataCopyPad(row_gm_[row * tiling_.k], numbers, Chosen(rows, 4));
      rows_out_.FreeTensor(numbers);
    }
  }

  // Rows that are finished have no expert: number `experts`, which is above all others.
  __aicore__ inline void MarkFinished(const LocalTensor<int32_t>& experts, int64_t rows) {
    LocalTensor<uint8_t> flags = finished_in_.template DeQue<uint8_t>();
    const LocalTensor<half> narrow = fold_.Get<half>();
    const LocalTensor<int32_t> none = none_.Get<int32_t>();
    const LocalTensor<int32_t> spread = block_.Get<int32_t>();
    const int64_t padded = RoundUp(rows, kBlockFloats);  // what Brcb reads
    Cast(narrow, flags, RoundMode::CAST_NONE, (uint32_t)padded);
    PipeBarrier<PIPE_V>();
    finished_in_.FreeTensor(flags);
    Cast(none, narrow, RoundMode::CAST_RINT, (uint32_t)padded);
    PipeBarrier<PIPE_V>();
    Muls(none, none, (int32_t)tiling_.experts, (int32_t)padded);
    PipeBarrier<PIPE_V>();
    Brcb(spread, none, (uint8_t)(padded / kBlockFloats), BrcbRepeatParams(1, 8));
    PipeBarrier<PIPE_V>();
    ByRow(
        [&](uint32_t at, uint32_t of, uint64_t lanes, uint8_t repeats,
            const BinaryRepeatParams& steps) {
          Max(experts[at], experts[at], spread[of], lanes, repeats, steps);
        },
        keep_, keep_, rows);
  }

  __aicore__ inline void StoreScores(const LocalTensor<float>& scores, int64_t row, int64_t rows) {
    const GlobalTensor<float> to = norm_gm_[row * tiling_.experts];
    if (is_dense_) {
      DataCopyPad(to, scores, OneRow(rows * width_ * 4));
      return;
    }
    const int64_t gap =
        (tiling_.score_pitch - RoundUp(tiling_.group_size, kBlockFloats)) / kBlockFloats;
    DataCopyPad(to, scores,
                DataCopyExtParams((uint16_t)(rows * tiling_.groups),
                                  (uint32_t)(tiling_.group_size * 4), (uint32_t)gap, 0, 0));
  }

  const MoeGatingTopKTiling& tiling_;
  int64_t width_;  // places of a row
  int64_t keep_;
  bool is_dense_;  // experts fill their groups' places
  bool is_apart_;  // scores are sorted at another pitch
  bool divides_late_;
  Share share_;
  int64_t first_one_, ones_;  // the first word of the arena, and how many
  float minus_inf_;
  GlobalTensor<Storage> x_gm_, bias_gm_, y_gm_;
  GlobalTensor<uint8_t> finished_gm_;
  GlobalTensor<int32_t> expert_gm_, row_gm_;
  GlobalTensor<float> norm_gm_;
  TQue<TPosition::VECIN, 2> in_, finished_in_;
  TQue<TPosition::VECIN, 1> bias_in_;
  TQue<TPosition::VECOUT, 2> scores_out_, weights_out_, experts_out_, rows_out_;
  TBuf<> arena_;
  Part place_, record_, list_, chosen_, weight_, fold_, block_, spread_, scores_, row_, none_;
  Part expert_, selection_, bias_, start_, sort_, one_, rank_, rank_part_;
  Part group_score_, group_block_, beats_, above_, not_below_, all_, kept_;
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
