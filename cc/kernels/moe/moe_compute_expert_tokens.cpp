// cc/kernels/moe/moe_compute_expert_tokens.cpp: for each expert, how many entries of a sorted list
// are not above it.
//
// Cores share the experts. A core searches the list by halving, from where the expert before has
// ended; what it reads of the list depends on the contents, so the scalar unit reads it.
#include "cc/kernels/device.h"
#include "cc/kernels/moe/moe_common.h"
#include "cc/kernels/moe/moe_compute_expert_tokens_tiling.h"
#include "kernel_operator.h"

extern "C" __global__ __aicore__ void moe_compute_expert_tokens(
    GM_ADDR sorted_experts, GM_ADDR expert_tokens, MoeComputeExpertTokensTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  using namespace AscendC;
  TPipe pipe;
  TQue<TPosition::VECOUT, 1> counts_out;
  // mutant: constant off by one equivalent: A larger buffer changes nothing, and there is room.
  pipe.InitBuffer(counts_out, 1, (uint32_t)(tiling.experts_per_core * 4));
  GlobalTensor<int32_t> sorted, counts_gm;
  sorted.SetGlobalBuffer((__gm__ int32_t*)sorted_experts, tiling.entries);
  counts_gm.SetGlobalBuffer((__gm__ int32_t*)expert_tokens, tiling.experts);
  const int64_t begin = GetBlockIdx() * tiling.experts_per_core;
  const int64_t end = moe::Min(begin + tiling.experts_per_core, tiling.experts);
  // mutant: drop guard, bound off by one equivalent: The tiling gives every core experts.
  if (begin >= end) return;
  LocalTensor<int32_t> counts = counts_out.AllocTensor<int32_t>();
  int64_t low = 0;  // entries before it are not above the expert
  for (int64_t expert = begin; expert < end; ++expert) {
    for (int64_t high = tiling.entries; low < high;) {
      const int64_t middle = (low + high) / 2;
      if (sorted.GetValue((uint64_t)middle) <= expert) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    counts.SetValue((uint32_t)(expert - begin), (int32_t)low);
  }
  moe::Order<HardEvent::S_MTE3>();
  counts_out.EnQue(counts);
  counts = counts_out.DeQue<int32_t>();
  DataCopyPad(counts_gm[begin], counts, moe::OneRow((end - begin) * 4));
  counts_out.FreeTensor(counts);
}
