// cc/kernels/cache/copy_blocks.cpp: copies blocks within paged caches, all caches in one launch.
//
// Of each pair (source, destination) of `mapping` the block `source` is copied over the block
// `destination`, in every cache. `caches` is a table of three words per cache, int64: its address,
// the bytes from block to block, the bytes of a block. No destination may be another pair's source
// or destination. The kernel traps at a block beyond the caches before it copies that pair.
#include "cc/kernels/cache/copy_blocks_tiling.h"
#include "cc/kernels/cache/row_copy.h"
#include "cc/kernels/device.h"
#include "kernel_operator.h"

namespace {

using namespace AscendC;
using namespace cache_rows;

class CopyBlocks {
 public:
  __aicore__ inline CopyBlocks(TPipe* pipe, GM_ADDR caches, GM_ADDR mapping,
                               const CopyBlocksTiling& tiling)
      : tiling_(tiling) {
    caches_.SetGlobalBuffer((__gm__ int64_t*)caches, tiling.tensors * 3);
    mapping_.SetGlobalBuffer((__gm__ int64_t*)mapping, tiling.pairs * 2);
    pipe->InitBuffer(bytes_, 2, (uint32_t)tiling.buffer_bytes);
  }

  __aicore__ inline void Run() {
    const auto [begin, end] = ShareOf(tiling_.tensors * tiling_.pairs * tiling_.pieces);
    for (int64_t item = begin; item < end; ++item) {
      const int64_t pair = item / tiling_.pieces % tiling_.pairs;
      CopyPiece(item / tiling_.pieces / tiling_.pairs, Block(2 * pair), Block(2 * pair + 1),
                item % tiling_.pieces * tiling_.buffer_bytes);
    }
  }

 private:
  __aicore__ inline int64_t Block(int64_t index) {
    const int64_t block = mapping_.GetValue(index);
    if (block < 0 || block >= tiling_.num_blocks) Trap();
    return block;
  }

  __aicore__ inline void CopyPiece(int64_t tensor, int64_t source, int64_t destination,
                                   int64_t at) {
    const int64_t address = caches_.GetValue(3 * tensor);
    const int64_t stride = caches_.GetValue(3 * tensor + 1);
    const int64_t block_bytes = caches_.GetValue(3 * tensor + 2);
    if (at >= block_bytes) return;  // another cache has larger blocks
    GlobalTensor<uint8_t> from, to;
    from.SetGlobalBuffer((__gm__ uint8_t*)(address + source * stride), block_bytes);
    to.SetGlobalBuffer((__gm__ uint8_t*)(address + destination * stride), block_bytes);
    const int64_t count = Min(tiling_.buffer_bytes, block_bytes - at);
    const bool pad = tiling_.has_copy_pad != 0;
    LocalTensor<uint8_t> bytes = bytes_.AllocTensor<uint8_t>();
    // mutant: constant off by one of `0` equivalent: One row is copied: strides are not used.
    Load(bytes, from[at], 1, count, 0, 0, pad);
    bytes_.EnQue(bytes);
    bytes = bytes_.DeQue<uint8_t>();
    // mutant: constant off by one of `0` equivalent: One row is copied: strides are not used.
    Store(to[at], bytes, 1, count, 0, 0, pad);
    bytes_.FreeTensor(bytes);
  }

  const CopyBlocksTiling& tiling_;
  TQueBind<TPosition::VECIN, TPosition::VECOUT, 2> bytes_;
  GlobalTensor<int64_t> caches_;
  GlobalTensor<int64_t> mapping_;
};

}  // namespace

extern "C" __global__ __aicore__ void copy_blocks(GM_ADDR caches, GM_ADDR mapping,
                                                  CopyBlocksTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  TPipe pipe;
  CopyBlocks kernel(&pipe, caches, mapping, tiling);
  kernel.Run();
}
