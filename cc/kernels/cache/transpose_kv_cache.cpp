// cc/kernels/cache/transpose_kv_cache.cpp: reorders the heads of cache blocks in place.
//
// A block that was filled by S ranks, one after the other with H/S heads each, lies in memory as
// [S, B, H/S, D]. It becomes [B, S, H/S, D], which is [B, H, D]. `caches` is a table of one pair
// per cache, int64: its address and the bytes from block to block. Ids must be unique, and each
// below num_blocks: the kernel traps at another one before it touches that block.
//
// The order is made on the way into the UB: what is read and what is written is contiguous in GM.
// Nothing of a block may be written before all of it was read. transpose_kv_cache has a core for
// each block; transpose_kv_cache_shared divides blocks that are larger than the UB by tokens
// between some cores, which meet between reading and writing.
//
// Chunks are moved, not computed with: the kernels know bytes, not types. They need DataCopyPad
// only for chunks that are not whole blocks of 32 bytes.
#include "cc/kernels/cache/row_copy.h"
#include "cc/kernels/cache/transpose_kv_cache_tiling.h"
#include "kernel_operator.h"

namespace {

using namespace AscendC;
using namespace cache_rows;

constexpr uint16_t kReadFlag = 0;

class TransposeKvCache {
 public:
  __aicore__ inline TransposeKvCache(TPipe* pipe, GM_ADDR caches, GM_ADDR block_ids,
                                     const TransposeKvCacheTiling& tiling)
      : tiling_(tiling) {
    caches_.SetGlobalBuffer((__gm__ int64_t*)caches, tiling.tensors * 2);
    ids_.SetGlobalBuffer((__gm__ int64_t*)block_ids, tiling.ids);
    pipe->InitBuffer(chunks_, (uint8_t)tiling.buffers, (uint32_t)tiling.buffer_bytes);
  }

  __aicore__ inline void Run() {
    const int64_t items = tiling_.tensors * tiling_.ids;
    for (int64_t item = GetBlockIdx(); item < items; item += GetBlockNum()) {
      const GlobalTensor<uint8_t> block = Block(item);
      Load(block, 0, tiling_.block_tokens);
      Store(block, 0, tiling_.block_tokens);
    }
  }

  // A group of `pieces` cores takes a block per round. All cores take part in all rounds, for a
  // flag is between all of them.
  __aicore__ inline void RunShared() {
    const int64_t items = tiling_.tensors * tiling_.ids;
    const int64_t groups = GetBlockNum() / tiling_.pieces;
    const int64_t group = GetBlockIdx() / tiling_.pieces;
    const int64_t first = GetBlockIdx() % tiling_.pieces * tiling_.piece_tokens;
    const int64_t tokens = Min(tiling_.piece_tokens, tiling_.block_tokens - first);
    // mutant: argument off by one of `items` equivalent: There are no more groups than cores.
    GlobalTensor<uint8_t> block = Read(group, items, first, tokens);
    for (int64_t item = group; item - group < items; item += groups) {
      // The next block is read while this one is written.
      const GlobalTensor<uint8_t> now = block;
      if (item + groups - group < items) block = Read(item + groups, items, first, tokens);
      CrossCoreWaitFlag(kReadFlag);
      if (item < items) Store(now, first, tokens);
    }
  }

 private:
  __aicore__ inline GlobalTensor<uint8_t> Block(int64_t item) {
    const int64_t tensor = item / tiling_.ids;
    const int64_t id = ids_.GetValue(item % tiling_.ids);
    if (id < 0 || id >= tiling_.num_blocks) Trap();
    const int64_t address = caches_.GetValue(2 * tensor) + id * caches_.GetValue(2 * tensor + 1);
    GlobalTensor<uint8_t> block;
    block.SetGlobalBuffer((__gm__ uint8_t*)address,
                          tiling_.splits * tiling_.block_tokens * tiling_.chunk_bytes);
    return block;
  }

  __aicore__ inline GlobalTensor<uint8_t> Read(int64_t item, int64_t items, int64_t first,
                                               int64_t tokens) {
    GlobalTensor<uint8_t> block;
    if (item < items) {
      block = Block(item);
      Load(block, first, tokens);
    }
    CrossCoreSetFlag<0, PIPE_MTE2>(kReadFlag);
    return block;
  }

  // Tokens [first, first + tokens) of every split, side by side in the UB: [tokens, S, chunk].
  __aicore__ inline void Load(const GlobalTensor<uint8_t>& block, int64_t first, int64_t tokens) {
    LocalTensor<uint8_t> chunks = chunks_.AllocTensor<uint8_t>();
    const int64_t pitch = tiling_.pitch_bytes;
    const int64_t gap = (tiling_.splits - 1) * pitch;
    for (int64_t split = 0; split < tiling_.splits; ++split) {
      const int64_t from = (split * tiling_.block_tokens + first) * tiling_.chunk_bytes;
      // mutant: argument off by one of `gap` equivalent: Gaps in the UB are in blocks; one byte
      // more rounds away.
      cache_rows::Load(chunks[(uint32_t)(split * pitch)], block[from], tokens, tiling_.chunk_bytes,
                       0, gap, pitch != tiling_.chunk_bytes);
    }
    chunks_.EnQue(chunks);
  }

  __aicore__ inline void Store(const GlobalTensor<uint8_t>& block, int64_t first, int64_t tokens) {
    LocalTensor<uint8_t> chunks = chunks_.DeQue<uint8_t>();
    const int64_t count = tokens * tiling_.splits;
    const int64_t to = first * tiling_.splits * tiling_.chunk_bytes;
    if (tiling_.pitch_bytes == tiling_.chunk_bytes) {
      DataCopy(block[to], chunks, (uint32_t)(count * tiling_.chunk_bytes));
    } else {
      for (int64_t at = 0; at < count; at += kMaxRows) {
        // mutant: drop term of `count - at` equivalent: Half of the UB holds at most 3072 chunks of
        // 32 bytes, fewer than kMaxRows: the loop runs once.
        cache_rows::Store(block[to + at * tiling_.chunk_bytes],
                          chunks[(uint32_t)(at * tiling_.pitch_bytes)], Min(kMaxRows, count - at),
                          tiling_.chunk_bytes, 0, 0, true);
      }
    }
    chunks_.FreeTensor(chunks);
  }

  const TransposeKvCacheTiling& tiling_;
  TQueBind<TPosition::VECIN, TPosition::VECOUT, 2> chunks_;
  GlobalTensor<int64_t> caches_;
  GlobalTensor<int64_t> ids_;
};

}  // namespace

extern "C" __global__ __aicore__ void transpose_kv_cache(GM_ADDR caches, GM_ADDR block_ids,
                                                         TransposeKvCacheTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  TPipe pipe;
  TransposeKvCache kernel(&pipe, caches, block_ids, tiling);
  kernel.Run();
}

extern "C" __global__ __aicore__ void transpose_kv_cache_shared(GM_ADDR caches, GM_ADDR block_ids,
                                                                TransposeKvCacheTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIV_1_0);
  TPipe pipe;
  TransposeKvCache kernel(&pipe, caches, block_ids, tiling);
  kernel.RunShared();
}
