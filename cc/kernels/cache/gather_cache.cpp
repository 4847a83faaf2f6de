// cc/kernels/cache/gather_cache.cpp: gathers keys and values of requests out of a paged KV cache.
//
// Token j of request i, 0 <= j < length i, is at position p = start i + j of the request, in block
// block_table[i, p / block_size], place p % block_size, and becomes row j of the request's rows,
// which follow those of the requests before. Rows that no request has are not written. The kernel
// traps at a position beyond block_table and at a block beyond the cache; a sum of lengths beyond
// `rows` ends at `rows`.
//
// Rows are moved, not computed with: the kernel knows bytes, not types. Each core makes its share
// of the rows. A buffer holds no more rows of 32 bytes than a copy may have (the plan's limit).
// Without DataCopyPad, on 310P, only whole blocks of 32 bytes are moved.
#include "cc/kernels/cache/gather_cache_tiling.h"
#include "cc/kernels/cache/row_copy.h"
#include "cc/kernels/device.h"
#include "kernel_operator.h"

namespace {

using namespace AscendC;
using namespace cache_rows;

class GatherCache {
 public:
  __aicore__ inline GatherCache(TPipe* pipe, GM_ADDR block_table, GM_ADDR seq_lens,
                                GM_ADDR seq_starts, const GatherCacheTiling& tiling)
      : tiling_(tiling), pad_(tiling.has_copy_pad != 0) {
    const int64_t lengths = tiling.requests + tiling.cumulative;
    table_.SetGlobalBuffer((__gm__ int32_t*)block_table, tiling.requests * tiling.table_width);
    GlobalTensor<int32_t> lengths_gm, starts_gm;
    lengths_gm.SetGlobalBuffer((__gm__ int32_t*)seq_lens, lengths);
    starts_gm.SetGlobalBuffer((__gm__ int32_t*)seq_starts, tiling.requests);
    const GatherCacheIndices bytes = GatherCacheIndicesOf(tiling);
    pipe->InitBuffer(lengths_buffer_, (uint32_t)bytes.lengths);
    lengths_ = lengths_buffer_.Get<int32_t>();
    LoadWords(pipe, lengths_, lengths_gm, lengths, false, pad_);
    if (tiling.has_starts != 0) {
      pipe->InitBuffer(starts_buffer_, (uint32_t)bytes.starts);
      starts_ = starts_buffer_.Get<int32_t>();
      LoadWords(pipe, starts_, starts_gm, tiling.requests, false, pad_);
    }
    pipe->InitBuffer(rows_, 2, (uint32_t)tiling.buffer_bytes);
  }

  __aicore__ inline void Run(GM_ADDR key_cache, GM_ADDR value_cache, GM_ADDR key, GM_ADDR value) {
    const auto [begin, end] = ShareOf(tiling_.rows);
    int64_t base = 0;  // first row of the request
    // mutant: drop condition, bound off by one equivalent: Later requests have no rows of this
    // core.
    for (int64_t request = 0; request < tiling_.requests && base < end; ++request) {
      const int64_t length = Length(request);
      // mutant: bound off by one equivalent: Where the comparisons differ, both alternatives are
      // equal.
      const int64_t first = begin > base ? begin - base : 0;
      const int64_t last = Min(length, end - base);
      // mutant: drop bound, bound off by one equivalent: The extra iteration has no elements.
      if (first < last) {
        Gather(key_cache, key, tiling_.key, request, base, first, last);
        if (tiling_.value.parts > 0) {
          Gather(value_cache, value, tiling_.value, request, base, first, last);
        }
      }
      base += length;
    }
  }

 private:
  __aicore__ inline int64_t Length(int64_t request) {
    const int64_t value = lengths_.GetValue((uint32_t)(request + tiling_.cumulative));
    const int64_t length =
        tiling_.cumulative != 0 ? value - lengths_.GetValue((uint32_t)request) : value;
    return length > 0 ? length : 0;
  }

  // Tokens [first, last) of a request, whose row 0 is row `base` of the output.
  __aicore__ inline void Gather(GM_ADDR cache, GM_ADDR rows, const GatherCacheSide& side,
                                int64_t request, int64_t base, int64_t first, int64_t last) {
    const int64_t row_bytes = side.parts * side.part_bytes;
    GlobalTensor<uint8_t> from, to;
    from.SetGlobalBuffer(
        cache, (tiling_.num_blocks - 1) * side.block_stride + tiling_.block_size * row_bytes);
    to.SetGlobalBuffer(rows, tiling_.rows * row_bytes);
    const int64_t start =
        tiling_.has_starts != 0 ? starts_.GetValue((uint32_t)request) : (int64_t)0;
    const int64_t pitch = GatherCacheRowPitch(side);
    // Rows that lie together in the cache, too, are a run of bytes, which may end anywhere.
    const bool dense = side.parts == 1;
    const int64_t most = tiling_.buffer_bytes / pitch;
    for (int64_t token = first; token < last;) {
      const int64_t position = start + token;
      const int64_t place = position % tiling_.block_size;
      const int64_t block = Block(request, position);
      const int64_t run = Min(last - token, tiling_.block_size - place);
      const GlobalTensor<uint8_t> source =
          from[block * side.block_stride + place * side.part_bytes];
      const GlobalTensor<uint8_t> target = to[(base + token) * row_bytes];
      if (dense) {
        CopyBytes(target, source, run * row_bytes);
      } else if (most == 0) {
        for (int64_t t = 0; t < run; ++t) {
          CopyParts(target[t * row_bytes], source[t * side.part_bytes], side);
        }
      } else {
        for (int64_t t = 0; t < run; t += most) {
          CopyRows(target[t * row_bytes], source[t * side.part_bytes], side, Min(most, run - t));
        }
      }
      token += run;
    }
  }

  __aicore__ inline int64_t Block(int64_t request, int64_t position) {
    const int64_t index = position / tiling_.block_size;
    if (position < 0 || index >= tiling_.table_width) Trap();
    const int64_t block = table_.GetValue(request * tiling_.table_width + index);
    if (block < 0 || block >= tiling_.num_blocks) Trap();
    return block;
  }

  __aicore__ inline void CopyBytes(const GlobalTensor<uint8_t>& to,
                                   const GlobalTensor<uint8_t>& from, int64_t bytes) {
    for (int64_t at = 0; at < bytes; at += tiling_.buffer_bytes) {
      const int64_t piece = Min(tiling_.buffer_bytes, bytes - at);
      LocalTensor<uint8_t> rows = rows_.AllocTensor<uint8_t>();
      // mutant: constant off by one of `0` equivalent: One row is copied: strides are not used.
      Load(rows, from[at], 1, piece, 0, 0, pad_);
      rows_.EnQue(rows);
      rows = rows_.DeQue<uint8_t>();
      // mutant: constant off by one of `0` equivalent: One row is copied: strides are not used.
      Store(to[at], rows, 1, piece, 0, 0, pad_);
      rows_.FreeTensor(rows);
    }
  }

  // `count` neighbouring slots: a load per part or per slot, whatever is less.
  __aicore__ inline void CopyRows(const GlobalTensor<uint8_t>& to,
                                  const GlobalTensor<uint8_t>& from, const GatherCacheSide& side,
                                  int64_t count) {
    const int64_t part = GatherCachePartPitch(side);
    const int64_t pitch = GatherCacheRowPitch(side);
    const int64_t part_stride = tiling_.block_size * side.part_bytes;
    LocalTensor<uint8_t> rows = rows_.AllocTensor<uint8_t>();
    // mutant: drop bound, bound off by one equivalent: Both branches give the same result; one
    // takes fewer instructions.
    if (side.parts <= count) {
      for (int64_t p = 0; p < side.parts; ++p) {
        // mutant: argument off by one of `pitch - part` equivalent: Gaps in the UB are in blocks;
        // one byte more rounds away.
        Load(rows[(uint32_t)(p * part)], from[p * part_stride], count, side.part_bytes, 0,
             pitch - part, pad_);
      }
    } else {
      for (int64_t t = 0; t < count; ++t) {
        Load(rows[(uint32_t)(t * pitch)], from[t * side.part_bytes], side.parts, side.part_bytes,
             part_stride - side.part_bytes, 0, pad_);
      }
    }
    rows_.EnQue(rows);
    rows = rows_.DeQue<uint8_t>();
    StoreParts(to, rows, side, count * side.parts);
    rows_.FreeTensor(rows);
  }

  // A row that is larger than a buffer.
  __aicore__ inline void CopyParts(const GlobalTensor<uint8_t>& to,
                                   const GlobalTensor<uint8_t>& from, const GatherCacheSide& side) {
    const int64_t most = tiling_.buffer_bytes / GatherCachePartPitch(side);
    const int64_t part_stride = tiling_.block_size * side.part_bytes;
    for (int64_t p = 0; p < side.parts; p += most) {
      const int64_t parts = Min(most, side.parts - p);
      LocalTensor<uint8_t> rows = rows_.AllocTensor<uint8_t>();
      Load(rows, from[p * part_stride], parts, side.part_bytes, part_stride - side.part_bytes, 0,
           pad_);
      rows_.EnQue(rows);
      rows = rows_.DeQue<uint8_t>();
      StoreParts(to[p * side.part_bytes], rows, side, parts);
      rows_.FreeTensor(rows);
    }
  }

  // Parts that follow each other in the output.
  __aicore__ inline void StoreParts(const GlobalTensor<uint8_t>& to,
                                    const LocalTensor<uint8_t>& rows, const GatherCacheSide& side,
                                    int64_t parts) {
    const int64_t part = GatherCachePartPitch(side);
    if (part == side.part_bytes) {
      // mutant: constant off by one of `0` equivalent: One row is copied: strides are not used.
      Store(to, rows, 1, parts * part, 0, 0, pad_);
      return;
    }
    Store(to, rows, parts, side.part_bytes, 0, 0, true);
  }

  const GatherCacheTiling& tiling_;
  const bool pad_;
  TBuf<TPosition::VECCALC> lengths_buffer_;
  TBuf<TPosition::VECCALC> starts_buffer_;
  TQueBind<TPosition::VECIN, TPosition::VECOUT, 2> rows_;
  GlobalTensor<int32_t> table_;
  LocalTensor<int32_t> lengths_;
  LocalTensor<int32_t> starts_;
};

}  // namespace

extern "C" __global__ __aicore__ void gather_cache(GM_ADDR key_cache, GM_ADDR value_cache,
                                                   GM_ADDR block_table, GM_ADDR seq_lens,
                                                   GM_ADDR seq_starts, GM_ADDR key, GM_ADDR value,
                                                   GatherCacheTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  TPipe pipe;
  GatherCache kernel(&pipe, block_table, seq_lens, seq_starts, tiling);
  kernel.Run(key_cache, value_cache, key, value);
}
