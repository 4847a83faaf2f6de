// cc/kernels/cache/reshape_and_cache.cpp: scatters keys and values of tokens into a paged KV cache.
//
// Row t of key and value goes to slot_mapping[t] of the caches: block slot / block_size, place
// slot % block_size. A slot that is negative or not below num_blocks * block_size is padding: its
// token is skipped and nothing is written. Slots must be unique; of equal ones, any may win.
//
// Rows are moved, not computed with: the kernel knows bytes, not types. In the cache a row lies in
// one part (ND), in a part per head (HND) or in parts of 32 bytes (NZ). Without DataCopyPad, on
// 310P, only whole blocks of 32 bytes are moved.
#include "cc/kernels/cache/reshape_and_cache_tiling.h"
#include "cc/kernels/cache/row_copy.h"
#include "cc/kernels/device.h"
#include "kernel_operator.h"

namespace {

using namespace AscendC;

using namespace cache_rows;

class ReshapeAndCache {
 public:
  __aicore__ inline ReshapeAndCache(TPipe* pipe, GM_ADDR slot_mapping,
                                    const ReshapeAndCacheTiling& tiling)
      : tiling_(tiling), pad_(tiling.has_copy_pad != 0), pipe_(pipe) {
    slots_gm_.SetGlobalBuffer((__gm__ int32_t*)slot_mapping,
                              tiling.tokens * (tiling.slot_bytes / 4));
    pipe->InitBuffer(slot_buffer_, (uint32_t)ReshapeAndCacheSlotBytes(tiling));
    pipe->InitBuffer(rows_, 2, (uint32_t)tiling.buffer_bytes);
    slots_ = slot_buffer_.Get<int32_t>();
  }

  __aicore__ inline void Run(GM_ADDR key, GM_ADDR value, GM_ADDR key_cache, GM_ADDR value_cache) {
    const auto [begin, end] = ShareOf(tiling_.tokens);
    for (int64_t first = begin; first < end; first += tiling_.slot_batch) {
      const int64_t count = Min(tiling_.slot_batch, end - first);
      // mutant: constant off by one equivalent: The integer quotient is the same for all values
      // that occur.
      const int64_t words = tiling_.slot_bytes / 4;
      // mutant: argument off by one of `first != begin` equivalent: One more pair of set and wait
      // orders more than needed.
      LoadWords(pipe_, slots_, slots_gm_[first * words], count * words, first != begin, pad_);
      // mutant: drop bound, bound off by one equivalent: The operator refuses calls without a key.
      if (tiling_.key.parts > 0) Scatter(key, key_cache, tiling_.key, first, count);
      if (tiling_.value.parts > 0) Scatter(value, value_cache, tiling_.value, first, count);
    }
  }

 private:
  // The slot of token `i` of the batch, -1 for padding.
  __aicore__ inline int64_t Slot(int64_t i) {
    const int64_t slot = tiling_.slot_bytes == 8
                             ? slots_.ReinterpretCast<int64_t>().GetValue((uint32_t)i)
                             : (int64_t)slots_.GetValue((uint32_t)i);
    // mutant: drop condition equivalent: Callers treat every negative slot alike.
    return slot < tiling_.num_blocks * tiling_.block_size && slot >= 0 ? slot : -1;
  }

  __aicore__ inline void Scatter(GM_ADDR rows, GM_ADDR cache, const ReshapeAndCacheSide& side,
                                 int64_t first, int64_t count) {
    GlobalTensor<uint8_t> from;
    from.SetGlobalBuffer(rows,
                         (tiling_.tokens - 1) * side.token_stride + side.parts * side.part_bytes);
    GlobalTensor<uint8_t> to;
    to.SetGlobalBuffer(cache, (tiling_.num_blocks - 1) * side.block_stride +
                                  tiling_.block_size * side.parts * side.part_bytes);
    const int64_t part = ReshapeAndCachePartPitch(side);
    const int64_t pitch = ReshapeAndCacheRowPitch(side);
    // mutant: drop bound, bound off by one equivalent: Same result by more instructions.
    if (pitch > tiling_.buffer_bytes) {
      for (int64_t i = 0; i < count; ++i) {
        const int64_t slot = Slot(i);
        // mutant: argument off by one of `part` equivalent: Same result by more instructions.
        if (slot >= 0) CopyInPieces(from, to, side, part, first + i, slot);
      }
      return;
    }
    // mutant: drop bound, drop term of `kMaxRows / side.parts` equivalent: Buffers of at most
    // 65536 bytes hold at most 2048 rows of 32 bytes.
    int64_t batch = Min(tiling_.buffer_bytes / pitch, kMaxRows / side.parts);
    const int64_t gap = side.token_stride - side.parts * side.part_bytes;
    // In the UB a part begins with a block. So rows of several parts that are no whole blocks
    // come in parts, which is one copy only if there is no gap between tokens.
    // mutant: drop condition, bound off by one equivalent: Same result by more instructions.
    const bool split = side.parts > 1 && part != side.part_bytes;
    // mutant: drop term equivalent: Same result by more instructions.
    const int64_t widest = pad_ ? kMaxGap : kMaxGapBlocks * kBlockBytes;
    // mutant: drop bound, bound off by one, drop condition of `split && gap != 0` equivalent: Same
    // result by more instructions.
    if (gap < 0 || gap > widest || (split && gap != 0)) batch = 1;
    // mutant: bound off by one equivalent: The extra iteration has no elements.
    for (int64_t i = 0; i < count; i += batch) {
      CopyRows(from, to, side, part, first, i, Min(batch, count - i));
    }
  }

  // Tokens [i, i + count) of the batch: one load, and for each run of neighbouring slots a store
  // per token or per part, whatever is less.
  __aicore__ inline void CopyRows(const GlobalTensor<uint8_t>& from,
                                  const GlobalTensor<uint8_t>& to, const ReshapeAndCacheSide& side,
                                  int64_t part, int64_t first, int64_t i, int64_t count) {
    // Padding at both ends is not loaded; a batch may be nothing else.
    while (count > 0 && Slot(i) < 0) {
      ++i;
      --count;
    }
    while (count > 0 && Slot(i + count - 1) < 0) --count;
    if (count == 0) return;
    LocalTensor<uint8_t> rows = rows_.AllocTensor<uint8_t>();
    const GlobalTensor<uint8_t> source = from[(first + i) * side.token_stride];
    if (side.parts > 1 && part != side.part_bytes) {
      // mutant: argument off by one of `pad_` equivalent: Only chips with DataCopyPad come here.
      Load(rows, source, count * side.parts, side.part_bytes, 0, 0, pad_);
    } else {
      const int64_t row_bytes = side.parts * side.part_bytes;
      const int64_t gap = count == 1 ? 0 : side.token_stride - row_bytes;
      Load(rows, source, count, row_bytes, gap, 0, pad_);
    }
    rows_.EnQue(rows);
    rows = rows_.DeQue<uint8_t>();
    const int64_t pitch = part * side.parts;
    const int64_t part_stride = tiling_.block_size * side.part_bytes;
    for (int64_t row = 0; row < count;) {
      const int64_t slot = Slot(i + row);
      if (slot < 0) {
        ++row;
        continue;
      }
      const int64_t block = slot / tiling_.block_size;
      const int64_t place = slot % tiling_.block_size;
      const int64_t longest = Min(count - row, tiling_.block_size - place);
      int64_t run = 1;
      // mutant: drop term of `i + row + run`, drop term of `slot + run` equivalent: Same result by
      // more instructions.
      while (run < longest && Slot(i + row + run) == slot + run) ++run;
      const GlobalTensor<uint8_t> target = to[block * side.block_stride + place * side.part_bytes];
      const LocalTensor<uint8_t> source_row = rows[(uint32_t)(row * pitch)];
      // mutant: drop bound, bound off by one equivalent: Same result by more instructions.
      if (side.parts <= run) {
        for (int64_t p = 0; p < side.parts; ++p) {
          // mutant: argument off by one of `pitch - part` equivalent: Gaps in the UB are in
          // blocks; one byte more rounds away.
          Store(target[p * part_stride], source_row[(uint32_t)(p * part)], run, side.part_bytes, 0,
                pitch - part, pad_);
        }
      } else {
        for (int64_t r = 0; r < run; ++r) {
          Store(target[r * side.part_bytes], source_row[(uint32_t)(r * pitch)], side.parts,
                side.part_bytes, part_stride - side.part_bytes, 0, pad_);
        }
      }
      row += run;
    }
    rows_.FreeTensor(rows);
  }

  // A row that is larger than a buffer: some parts at a time, or a piece of a part.
  __aicore__ inline void CopyInPieces(const GlobalTensor<uint8_t>& from,
                                      const GlobalTensor<uint8_t>& to,
                                      const ReshapeAndCacheSide& side, int64_t part, int64_t token,
                                      int64_t slot) {
    const GlobalTensor<uint8_t> source = from[token * side.token_stride];
    const GlobalTensor<uint8_t> target = to[slot / tiling_.block_size * side.block_stride +
                                            slot % tiling_.block_size * side.part_bytes];
    const int64_t part_stride = tiling_.block_size * side.part_bytes;
    // mutant: drop bound of `Min(part > tiling_.buffer_bytes ? 1 : tiling_.buffer_bytes / part,
    // kMaxRows)` equivalent: Buffers of at most 65536 bytes hold at most 2048 rows of 32 bytes.
    // mutant: bound off by one equivalent: Where the comparisons differ, both alternatives are
    // equal.
    const int64_t most =
        Min(part > tiling_.buffer_bytes ? 1 : tiling_.buffer_bytes / part, kMaxRows);
    for (int64_t p = 0; p < side.parts; p += most) {
      const int64_t parts = Min(most, side.parts - p);
      for (int64_t at = 0; at < side.part_bytes; at += tiling_.buffer_bytes) {
        const int64_t bytes = Min(tiling_.buffer_bytes, side.part_bytes - at);
        LocalTensor<uint8_t> piece = rows_.AllocTensor<uint8_t>();
        Load(piece, source[p * side.part_bytes + at], parts, bytes, 0, 0, pad_);
        rows_.EnQue(piece);
        piece = rows_.DeQue<uint8_t>();
        Store(target[p * part_stride + at], piece, parts, bytes,
              parts == 1 ? 0 : part_stride - side.part_bytes, 0, pad_);
        rows_.FreeTensor(piece);
      }
    }
  }

  const ReshapeAndCacheTiling& tiling_;
  const bool pad_;
  TPipe* pipe_;
  TBuf<TPosition::VECCALC> slot_buffer_;
  TQueBind<TPosition::VECIN, TPosition::VECOUT, 2> rows_;
  GlobalTensor<int32_t> slots_gm_;
  LocalTensor<int32_t> slots_;
};

}  // namespace

extern "C" __global__ __aicore__ void reshape_and_cache(GM_ADDR key, GM_ADDR value,
                                                        GM_ADDR key_cache, GM_ADDR value_cache,
                                                        GM_ADDR slot_mapping,
                                                        ReshapeAndCacheTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  TPipe pipe;
  ReshapeAndCache kernel(&pipe, slot_mapping, tiling);
  kernel.Run(key, value, key_cache, value_cache);
}
