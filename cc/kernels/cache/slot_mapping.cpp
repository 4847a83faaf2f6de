// cc/kernels/cache/slot_mapping.cpp: the slots of the paged cache that a step's tokens go to.
//
// Token t of request i is at position p = positions[t]. A row of block_table has the request's
// blocks, each for block_size * world_size positions, which go to the ranks in turns of
// `interleave`: with o = p % (block_size * world_size), the token belongs to the rank
// o / interleave % world_size, at place o / (interleave * world_size) * interleave + o % interleave
// of the block. Its slot is block * block_size + place. Tokens of other ranks, and the elements
// behind the last token, get pad_id. The kernel traps at a position that is negative or beyond
// block_table.
//
// Of a circular cache (a sliding window, a state) a request has the first block of its row alone,
// and its slot there is p % block_size; tokens at a negative position get pad_id.
//
// Each core makes its share of the slots: long runs of one request's tokens on the vector unit in
// 32-bit integers, so positions are below 2^24 and slots below 2^31; others by the scalar unit.
#include "cc/kernels/cache/row_copy.h"
#include "cc/kernels/cache/slot_mapping_tiling.h"
#include "cc/kernels/device.h"
#include "kernel_operator.h"

namespace {

using namespace AscendC;
using namespace cache_rows;

constexpr int64_t kVectorTokens = 24;  // runs that are shorter take longer on the vector unit

class SlotMapping {
 public:
  __aicore__ inline SlotMapping(TPipe* pipe, GM_ADDR query_start_loc, GM_ADDR positions,
                                GM_ADDR block_table, GM_ADDR slot_mapping,
                                const SlotMappingTiling& tiling)
      : tiling_(tiling), span_(tiling.block_size * tiling.world_size), pipe_(pipe) {
    GlobalTensor<int32_t> starts;
    starts.SetGlobalBuffer((__gm__ int32_t*)query_start_loc, tiling.requests + 1);
    positions_.SetGlobalBuffer((__gm__ uint8_t*)positions, tiling.tokens * tiling.position_bytes);
    table_.SetGlobalBuffer((__gm__ int32_t*)block_table, tiling.requests * tiling.table_width);
    slots_.SetGlobalBuffer((__gm__ uint8_t*)slot_mapping, tiling.slots * tiling.slot_bytes);
    const SlotMappingBuffers bytes = SlotMappingBuffersOf(tiling);
    pipe->InitBuffer(starts_buffer_, (uint32_t)bytes.starts);
    starts_ = starts_buffer_.Get<int32_t>();
    LoadWords(pipe, starts_, starts, tiling.requests + 1, false, true);
    const uint32_t batch = (uint32_t)tiling.batch;
    pipe->InitBuffer(given_, 1, (uint32_t)bytes.given);
    pipe->InitBuffer(out_, 2, (uint32_t)bytes.out);
    pipe->InitBuffer(single_buffer_, (uint32_t)bytes.single);
    pipe->InitBuffer(work_buffer_, (uint32_t)bytes.work);
    single_ = single_buffer_.Get<uint8_t>();
    for (uint32_t i = 0; i < kWork; ++i) work_[i] = work_buffer_.Get<int32_t>()[i * batch];
    if (tiling.row_blocks > 0) pipe->InitBuffer(row_, 1, (uint32_t)bytes.row);
  }

  __aicore__ inline void Run() {
    const auto [begin, end] = ShareOf(tiling_.slots);
    const int64_t tokens =
        Min(tiling_.tokens, tiling_.requests == 0 ? 0 : End(tiling_.requests - 1));
    const int64_t last = Min(end, tokens);
    // mutant: drop bound, bound off by one equivalent: Follow() continues a search that ends
    // early.
    int64_t request = begin < last ? RequestOf(begin) : 0;
    int64_t token = begin;
    while (token < last) {
      // mutant: argument off by one of `last` equivalent: Both branches give the same result; one
      // takes fewer instructions.
      const int64_t run = Follow(request, token, last);
      // mutant: drop condition, bound off by one equivalent: Both branches give the same result;
      // one takes fewer instructions.
      if (run >= kVectorTokens && TakesVectors()) {
        for (int64_t at = 0; at < run; at += tiling_.batch) {
          OnVectors(request, token + at, Min(tiling_.batch, run - at));
        }
        token += run;
      } else {
        token = OneByOne(request, token, last);
      }
    }
    for (; token < end; token += tiling_.batch) Pad(token, Min(tiling_.batch, end - token));
    if (single_out_) WaitFlag<HardEvent::MTE3_S>(EVENT_ID0);
  }

 private:
  static constexpr uint32_t kWork = kSlotMappingWork;

  // The vector unit finds blocks in the UB only.
  __aicore__ inline bool TakesVectors() {
    // mutant: drop condition equivalent: Both branches give the same result; one takes fewer
    // instructions.
    return tiling_.is_circular || tiling_.row_blocks > 0;
  }

  __aicore__ inline int64_t End(int64_t request) {
    return starts_.GetValue((uint32_t)(request + 1));
  }

  // Tokens from `token` on that are the request's; moves on to the request that has any.
  __aicore__ inline int64_t Follow(int64_t& request, int64_t token, int64_t last) {
    while (End(request) <= token) ++request;
    return Min(End(request), last) - token;
  }

  // The first request that ends behind the token, by bisection; query_start_loc is sorted.
  __aicore__ inline int64_t RequestOf(int64_t token) {
    // mutant: drop term, constant off by one equivalent: Follow() continues a search that ends
    // early.
    int64_t low = 0, high = tiling_.requests - 1;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      // mutant: drop bound, bound off by one equivalent: Follow() continues a search that ends
      // early.
      if (End(middle) > token) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }

  __aicore__ inline int64_t Position(int64_t token) {
    if (tiling_.position_bytes == 8) {
      return positions_.ReinterpretCast<int64_t>().GetValue(token);
    }
    return positions_.ReinterpretCast<int32_t>().GetValue(token);
  }

  __aicore__ inline int64_t Slot(int64_t request, int64_t position) {
    if (tiling_.is_circular) {
      if (position >= kSlotMappingPositions) Trap();
      return position < 0 ? tiling_.pad_id : Circle(request) + position % span_;
    }
    const int64_t index = position / span_;
    if (position < 0 || index >= tiling_.table_width) Trap();
    const int64_t offset = position % span_;
    if (offset / tiling_.interleave % tiling_.world_size != tiling_.rank) return tiling_.pad_id;
    const int64_t place = offset / (tiling_.interleave * tiling_.world_size) * tiling_.interleave +
                          offset % tiling_.interleave;
    return table_.GetValue(request * tiling_.table_width + index) * tiling_.block_size + place;
  }

  // The first slot of the request's only block.
  __aicore__ inline int64_t Circle(int64_t request) {
    return table_.GetValue(request * tiling_.table_width) * tiling_.block_size;
  }

  // Tokens up to `last`, to the next long run or to a batch; gives the first that is left.
  __aicore__ inline int64_t OneByOne(int64_t& request, int64_t first, int64_t last) {
    if (single_out_) WaitFlag<HardEvent::MTE3_S>(EVENT_ID0);
    const int64_t most = Min(last, first + tiling_.batch);
    int64_t token = first;
    while (token < most) {
      const int64_t run = Follow(request, token, most);
      // mutant: drop guard, drop condition, bound off by one equivalent: Both branches give the
      // same result; one takes fewer instructions.
      if (token > first && run >= kVectorTokens && TakesVectors()) break;
      for (const int64_t end = token + run; token < end; ++token) {
        const int64_t slot = Slot(request, Position(token));
        const uint32_t at = (uint32_t)(token - first);
        if (tiling_.slot_bytes == 8) {
          single_.ReinterpretCast<int64_t>().SetValue(at, slot);
        } else {
          single_.ReinterpretCast<int32_t>().SetValue(at, (int32_t)slot);
        }
      }
    }
    const TEventID written = pipe_->FetchEventID(HardEvent::S_MTE3);
    SetFlag<HardEvent::S_MTE3>(written);
    WaitFlag<HardEvent::S_MTE3>(written);
    // mutant: constant off by one of `0` equivalent: One row is copied: strides are not used.
    Store(slots_[first * tiling_.slot_bytes], single_, 1, (token - first) * tiling_.slot_bytes, 0,
          0, true);
    SetFlag<HardEvent::MTE3_S>(EVENT_ID0);
    single_out_ = true;
    return token;
  }

  // q = x / d, r = x % d for 0 <= x < 2^24. By the rounded reciprocal the quotient is off by one at
  // most: two roundings are an error of x / d * 2^-23, which is below 2 / d, and powers of two are
  // exact.
  __aicore__ inline void Divide(const LocalTensor<int32_t>& q, const LocalTensor<int32_t>& r,
                                const LocalTensor<int32_t>& x, int32_t d, int32_t n) {
    const LocalTensor<int32_t>& t = work_[kWork - 1];
    const LocalTensor<float> f = t.ReinterpretCast<float>();
    Cast(f, x, RoundMode::CAST_NONE, n);
    Step();
    Muls(f, f, 1.0f / (float)d, n);
    Step();
    Cast(q, f, RoundMode::CAST_FLOOR, n);
    Step();
    Muls(r, q, -d, n);
    Step();
    Add(r, r, x, n);
    Step();
    // One less where the remainder is negative, one more where it is d or above: x >> 31 is -1 for
    // negative numbers, else 0.
    // mutant: argument off by one of `(int32_t)31` equivalent: A shift by 31 already leaves only
    // the sign.
    // mutant: argument off by one of `(int32_t)31` equivalent: Values have less than 30 bits: a
    // shift by 30 leaves only the sign.
    ShiftRight(t, r, (int32_t)31, n);
    Step();
    Add(q, q, t, n);
    Step();
    Muls(t, t, -d, n);
    Step();
    Add(r, r, t, n);
    Step();
    Muls(t, r, (int32_t)-1, n);
    Step();
    Adds(t, t, d - 1, n);
    Step();
    // mutant: argument off by one of `(int32_t)31` equivalent: A shift by 31 already leaves only
    // the sign.
    // mutant: argument off by one of `(int32_t)31` equivalent: Values have less than 30 bits: a
    // shift by 30 leaves only the sign.
    ShiftRight(t, t, (int32_t)31, n);
    Step();
    Sub(q, q, t, n);
    Step();
    Muls(t, t, d, n);
    Step();
    Add(r, r, t, n);
    Step();
  }

  // `count` tokens of one request.
  __aicore__ inline void OnVectors(int64_t request, int64_t first, int64_t count) {
    const int32_t n = (int32_t)count;
    LocalTensor<uint8_t> given = given_.AllocTensor<uint8_t>();
    // mutant: constant off by one of `0` equivalent: One row is copied: strides are not used.
    Load(given, positions_[first * tiling_.position_bytes], 1, count * tiling_.position_bytes, 0, 0,
         true);
    given_.EnQue(given);
    if (!tiling_.is_circular) {
      LocalTensor<int32_t> row = row_.AllocTensor<int32_t>();
      DataCopyPad(row, table_[request * tiling_.table_width],
                  device::OneRow(tiling_.table_width * 4), device::NoPad<int32_t>());
      row_.EnQue(row);
    }

    given = given_.DeQue<uint8_t>();
    const LocalTensor<int32_t>& x = work_[0];
    if (tiling_.position_bytes == 8) {
      Cast(x, given.ReinterpretCast<int64_t>(), RoundMode::CAST_NONE, n);
    } else {
      Adds(x, given.ReinterpretCast<int32_t>(), (int32_t)0, n);
    }
    Step();
    given_.FreeTensor(given);
    CheckRange(x, n);

    const LocalTensor<int32_t>&block = work_[1], &offset = work_[2], &local = work_[3];
    if (tiling_.is_circular) {
      // mutant: argument off by one of `(int32_t)31` equivalent: A shift by 31 already leaves only
      // the sign.
      ShiftRight(local, x, (int32_t)31, n);
      Step();
      // mutant: argument off by one of `(int32_t)0`, argument off by one of `n` equivalent: Only
      // the sign of a negative position is used.
      Maxs(x, x, (int32_t)0, n);
      Step();
      Divide(block, offset, x, (int32_t)span_, n);
      Adds(block, offset, (int32_t)Circle(request), n);
      Step();
    } else {
      Divide(block, offset, x, (int32_t)span_, n);
      // mutant: drop bound, bound off by one equivalent: With one rank every token is local.
      if (tiling_.world_size > 1) Localise(local, offset, n);
      // Byte offsets into the row.
      Muls(x, block, (int32_t)4, n);
      Step();
      LocalTensor<int32_t> row = row_.DeQue<int32_t>();
      Gather(block, row, x.ReinterpretCast<uint32_t>(), (uint32_t)0, (uint32_t)n);
      Step();
      row_.FreeTensor(row);
      Muls(block, block, (int32_t)tiling_.block_size, n);
      Step();
      Add(block, block, offset, n);
      Step();
    }
    if (tiling_.is_circular || tiling_.world_size > 1) {
      // local is 0 for tokens that have a slot here, else -1: slot - (pad - slot) * local.
      Muls(offset, block, (int32_t)-1, n);
      Step();
      Adds(offset, offset, (int32_t)tiling_.pad_id, n);
      Step();
      Mul(offset, offset, local, n);
      Step();
      Sub(block, block, offset, n);
      Step();
    }
    WriteOut(block, first, n);
  }

  // The place in the rank's own block, and 0 or -1 for tokens of this rank or of others.
  __aicore__ inline void Localise(const LocalTensor<int32_t>& local,
                                  const LocalTensor<int32_t>& offset, int32_t n) {
    const LocalTensor<int32_t>&turn = work_[4], &rest = work_[0];
    Divide(turn, rest, offset, (int32_t)tiling_.interleave, n);
    Divide(offset, local, turn, (int32_t)tiling_.world_size, n);
    Muls(offset, offset, (int32_t)tiling_.interleave, n);
    Adds(local, local, (int32_t)-tiling_.rank, n);
    Step();
    Add(offset, offset, rest, n);
    // -|x| >> 31
    // mutant: argument off by one of `(int32_t)-1` equivalent: Only the sign is used.
    Muls(turn, local, (int32_t)-1, n);
    Step();
    Min(local, local, turn, n);
    Step();
    // mutant: argument off by one of `(int32_t)31` equivalent: A shift by 31 already leaves only
    // the sign.
    // mutant: argument off by one of `(int32_t)31` equivalent: Values have less than 30 bits: a
    // shift by 30 leaves only the sign.
    ShiftRight(local, local, (int32_t)31, n);
    Step();
  }

  // Traps at a position outside the row. Positions below 2^24 are exact as floats, and none above
  // becomes less.
  __aicore__ inline void CheckRange(const LocalTensor<int32_t>& x, int32_t n) {
    const LocalTensor<float> f = work_[1].ReinterpretCast<float>();
    const LocalTensor<float> work = work_[2].ReinterpretCast<float>();
    const LocalTensor<float> most = work_[3].ReinterpretCast<float>();
    const LocalTensor<float> least = work_[4].ReinterpretCast<float>();
    Cast(f, x, RoundMode::CAST_NONE, n);
    Step();
    ReduceMax(most, f, work, n);
    Step();
    ReduceMin(least, f, work, n);
    const TEventID made = pipe_->FetchEventID(HardEvent::V_S);
    SetFlag<HardEvent::V_S>(made);
    WaitFlag<HardEvent::V_S>(made);
    const bool within =
        tiling_.is_circular
            ? most.GetValue(0) < (float)kSlotMappingPositions
            : least.GetValue(0) >= 0.0f && most.GetValue(0) < (float)(tiling_.table_width * span_);
    if (!within) Trap();
    const TEventID read = pipe_->FetchEventID(HardEvent::S_V);
    SetFlag<HardEvent::S_V>(read);
    WaitFlag<HardEvent::S_V>(read);
  }

  __aicore__ inline void Pad(int64_t first, int64_t count) {
    const int32_t n = (int32_t)count;
    // mutant: argument off by one of `n` equivalent: A larger buffer changes nothing, and there is
    // room.
    Duplicate(work_[0], (int32_t)tiling_.pad_id, n);
    Step();
    WriteOut(work_[0], first, n);
  }

  __aicore__ inline void WriteOut(const LocalTensor<int32_t>& values, int64_t first, int32_t n) {
    LocalTensor<uint8_t> out = out_.AllocTensor<uint8_t>();
    if (tiling_.slot_bytes == 8) {
      Cast(out.ReinterpretCast<int64_t>(), values, RoundMode::CAST_NONE, n);
    } else {
      Adds(out.ReinterpretCast<int32_t>(), values, (int32_t)0, n);
    }
    out_.EnQue(out);
    out = out_.DeQue<uint8_t>();
    // mutant: constant off by one of `0` equivalent: One row is copied: strides are not used.
    Store(slots_[first * tiling_.slot_bytes], out, 1, n * tiling_.slot_bytes, 0, 0, true);
    out_.FreeTensor(out);
    Step();
  }

  const SlotMappingTiling& tiling_;
  const int64_t span_;  // positions of a block of block_table
  TPipe* pipe_;
  bool single_out_ = false;  // a store of single_ is under way
  TBuf<TPosition::VECCALC> starts_buffer_;
  TBuf<TPosition::VECCALC> single_buffer_;
  TBuf<TPosition::VECCALC> work_buffer_;
  TQue<TPosition::VECIN, 1> given_;
  TQue<TPosition::VECIN, 1> row_;
  TQue<TPosition::VECOUT, 2> out_;
  GlobalTensor<uint8_t> positions_;
  GlobalTensor<int32_t> table_;
  GlobalTensor<uint8_t> slots_;
  LocalTensor<int32_t> starts_;
  LocalTensor<uint8_t> single_;
  LocalTensor<int32_t> work_[kWork];
};

}  // namespace

extern "C" __global__ __aicore__ void slot_mapping(GM_ADDR query_start_loc, GM_ADDR positions,
                                                   GM_ADDR block_table, GM_ADDR slots,
                                                   SlotMappingTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  TPipe pipe;
  SlotMapping kernel(&pipe, query_start_loc, positions, block_table, slots, tiling);
  kernel.Run();
}
