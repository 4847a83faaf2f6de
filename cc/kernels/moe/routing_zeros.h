// cc/kernels/moe/routing_zeros.h: with a capacity, zeros for the rows that no assignment fills.
// Device code.
#pragma once

#include "cc/kernels/moe/routing_common.h"
#include "cc/kernels/moe/routing_counts.h"

namespace moe {

// Cores share the experts.
class RoutingZeros {
 public:
  __aicore__ inline RoutingZeros(const RoutingTensors& tensors, const MoeInitRoutingTiling& tiling,
                                 const RoutingArena& arena)
      : tiling_(tiling),
        arena_(arena),
        row_bytes_(tiling.quant_mode >= 0 ? tiling.row_elements : tiling.row_bytes) {
    out_gm_.SetGlobalBuffer(tensors.expanded_x, tiling.out_rows * row_bytes_);
    if (HasScaleOut(tiling)) {
      scale_out_gm_.SetGlobalBuffer((__gm__ float*)tensors.expanded_scale, tiling.out_rows);
    }
  }

  // Of the experts of a tile.
  __aicore__ inline void Give(const ExpertTile& tile) {
    const Share share = ShareOf(tiling_.experts);
    const int64_t first = tile.first;
    const LocalTensor<uint8_t> zeros = arena_.Get<uint8_t>(arena_.parts.zeros);
    const int64_t at_once = MoeInitRoutingZeroBytes(tiling_);
    Order<HardEvent::V_S>();
    Order<HardEvent::V_MTE3>();
    const int64_t begin = Max(share.begin, first);
    for (int64_t expert = begin; expert < Min(share.end, first + tile.valid); ++expert) {
      // mutant: drop bound equivalent: With more pairs than capacity the loops do not run either
      // way.
      const int64_t used = Min(tile.counts.GetValue((uint32_t)(expert - first)), tiling_.capacity);
      const int64_t at = expert * tiling_.capacity + used;
      const int64_t rows = tiling_.capacity - used;
      for (int64_t byte = 0; byte < rows * row_bytes_; byte += at_once) {
        DataCopyPad(out_gm_[at * row_bytes_ + byte], zeros,
                    OneRow(Min(at_once, rows * row_bytes_ - byte)));
      }
      if (!HasScaleOut(tiling_)) continue;
      for (int64_t word = 0; word < rows; word += at_once / 4) {
        DataCopyPad(scale_out_gm_[at + word], zeros.ReinterpretCast<float>(),
                    OneRow(Min(at_once / 4, rows - word) * 4));
      }
    }
    Order<HardEvent::S_V>();
  }

 private:
  const MoeInitRoutingTiling& tiling_;
  const RoutingArena& arena_;
  int64_t row_bytes_;  // of a row of expanded_x
  GlobalTensor<uint8_t> out_gm_;
  GlobalTensor<float> scale_out_gm_;
};

}  // namespace moe
