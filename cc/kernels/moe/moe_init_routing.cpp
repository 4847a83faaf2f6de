// cc/kernels/moe/moe_init_routing.cpp: sorts (token, expert) assignments by expert, stably, and
// puts each token's row at the permuted indices of its assignments: for moe_init_routing, _v2 and
// moe_token_permute.
//
// The permuted index of an assignment is the number of assignments that come before it: those to
// lower experts, and those to its own expert with a lower number (token * k + j). Assignments to
// experts out of range, and with a capacity those beyond it, have index -1 and are skipped.
//
// Few assignments: each core sorts all of them, and moves its share. What is counted for the caller
// alone is counted by a core that moves none, if one is free.
// Many: each core sorts its own, in chunks, and writes its counts into the workspace; behind a
// barrier of all cores it adds up the counts of all. Then a permuted index is the place in the
// sorted chunk plus a number that depends on the expert only.
//
// The rows that a core moves first are loaded while assignments are sorted.
#include "cc/kernels/device.h"
#include "cc/kernels/moe/moe_common.h"
#include "cc/kernels/moe/moe_init_routing_tiling.h"
#include "cc/kernels/moe/routing_common.h"
#include "cc/kernels/moe/routing_counts.h"
#include "cc/kernels/moe/routing_expert_tokens.h"
#include "cc/kernels/moe/routing_indices.h"
#include "cc/kernels/moe/routing_loader.h"
#include "cc/kernels/moe/routing_mover.h"
#include "cc/kernels/moe/routing_quantiser.h"
#include "cc/kernels/moe/routing_sorter.h"
#include "cc/kernels/moe/routing_zeros.h"
#include "kernel_operator.h"

namespace {

using namespace AscendC;
using namespace moe;

// Rows: RowMover or RowQuantiser.
template <typename Rows>
class MoeInitRouting {
 public:
  __aicore__ inline MoeInitRouting(TPipe* pipe, const RoutingTensors& tensors,
                                   const MoeInitRoutingTiling& tiling)
      : tiling_(tiling),
        is_apart_(CountsApart(tiling)),
        share_(is_apart_ ? Share{0, 0} : ShareOf(tiling.pairs, MovingCores(tiling))),
        loader_(tensors, tiling),
        sorter_(tiling, arena_),
        counts_(tensors, tiling, arena_),
        tokens_(tensors, tiling, arena_),
        zeros_(tensors, tiling, arena_),
        indices_(tensors, tiling, arena_, loader_),
        rows_(tensors, tiling, arena_, indices_) {
    const MoeInitRoutingBuffers bytes = MoeInitRoutingBuffersOf(tiling);
    // What is needed first comes while the rest is laid out. A core that shares the sorting sorts
    // its own assignments, others all of them.
    const Share sorted = tiling.is_shared ? share_ : Share{0, tiling.pairs};
    loader_.InitBuffers(pipe, bytes);
    loader_.Load(sorted.begin, Min(tiling.chunk, sorted.end - sorted.begin));
    rows_.InitRows(pipe, bytes);
    rows_.LoadAhead(share_);
    // Without shared sorting nothing in it depends on the number of cores.
    arena_.Init(pipe, MoeInitRoutingArenaOf(tiling, tiling.is_shared ? GetBlockNum() : 1));
    sorter_.Init();
    tokens_.InitBuffers(pipe, bytes);
    indices_.InitBuffers(pipe, bytes);
    rows_.InitResults(pipe, bytes);
  }

  __aicore__ inline void Run() {
    MakeTables();
    if (tiling_.is_shared) {
      RunShared();
    } else {
      RunAlone();
    }
  }

 private:
  // Every core sorts all assignments.
  __aicore__ inline void RunAlone() {
    // Without an assignment there are counts all the same.
    sorter_.Sort(loader_, tiling_.pairs);
    if (NeedsCounts(tiling_)) AddUp();
    // A core without assignments counts, or makes zeros, or quantises some columns.
    if (share_.begin >= share_.end && (is_apart_ || !tiling_.shares_row)) return;
    Permute(0, tiling_.pairs, share_);
  }

  // Every core sorts its own assignments, in chunks; with several, once to count and once to move.
  __aicore__ inline void RunShared() {
    // mutant: drop term, swap + and -, bound off by one equivalent: Sorting a sorted chunk again
    // changes nothing.
    const bool is_single = share_.end - share_.begin <= tiling_.chunk;
    counts_.Clear();
    for (int64_t chunk = share_.begin; chunk < share_.end; chunk += tiling_.chunk) {
      const int64_t count = Min(tiling_.chunk, share_.end - chunk);
      if (chunk > share_.begin) loader_.LoadNext(chunk, count);
      sorter_.Sort(loader_, count);
      counts_.AddChunk();
    }
    counts_.Publish();
    // mutant: remove barrier equivalent: SyncAll also waits for the pipes of its core.
    PipeBarrier<PIPE_ALL>();
    SyncAll();
    AddUp();
    for (int64_t chunk = share_.begin; chunk < share_.end; chunk += tiling_.chunk) {
      const int64_t count = Min(tiling_.chunk, share_.end - chunk);
      if (!is_single) {
        loader_.LoadNext(chunk, count);
        sorter_.Sort(loader_, count);
      }
      Permute(chunk, count, {chunk, chunk + count});
    }
  }

  __aicore__ inline void MakeTables() {
    const sizes::Part& zeroed = arena_.parts.zeroed;
    const LocalTensor<int32_t> iota = arena_.Get<int32_t>(arena_.parts.iota);
    CreateVecIndex(iota, 0, (uint32_t)arena_.parts.iota.words);
    // The last half repeat of a comparison holds a value, too; without assignments all counts are
    // 0.
    Duplicate(arena_.Get<int32_t>(zeroed), 0, (int32_t)zeroed.words);
    rows_.MakeTables();
    PipeBarrier<PIPE_V>();
    Muls(arena_.Get<int32_t>(arena_.parts.shifts), iota, 4, (int32_t)tiling_.tile_experts);
    if (NeedsCounts(tiling_)) sorter_.MakeMarkersOnce();
    PipeBarrier<PIPE_V>();
  }

  // The counts of all cores: what the caller gets of them, and where this core's assignments begin.
  __aicore__ inline void AddUp() {
    counts_.AddUp([&](const ExpertTile& tile, bool gives_tokens) {
      indices_.CountKept(tile);
      // mutant: drop guard, bound off by one equivalent: With no expert in the tile nothing is
      // filled.
      if (tile.valid <= 0) return;
      if (tiling_.capacity > 0) zeros_.Give(tile);
      if (gives_tokens) tokens_.Give(tile, sorter_.spare().ReinterpretCast<int32_t>());
    });
    tokens_.Finish();
  }

  // Gives the permuted indices of the sorted chunk, and the rows of the assignments of `share`.
  __aicore__ inline void Permute(int64_t chunk, int64_t count, const Share& share) {
    indices_.Make(sorter_, counts_, chunk);
    indices_.Give(count, share);
    rows_.Give(share);
  }

  const MoeInitRoutingTiling& tiling_;
  bool is_apart_;  // this core counts for the caller, and moves no rows
  Share share_;    // assignments whose rows it moves
  RoutingArena arena_;
  RoutingLoader loader_;
  RoutingSorter sorter_;
  RoutingCounts counts_;
  ExpertTokens tokens_;
  RoutingZeros zeros_;
  PermutedIndices indices_;
  Rows rows_;
};

template <typename Rows>
__aicore__ inline void Run(const RoutingTensors& tensors, const MoeInitRoutingTiling& tiling) {
  TPipe pipe;
  MoeInitRouting<Rows> kernel(&pipe, tensors, tiling);
  kernel.Run();
}

}  // namespace

extern "C" __global__ __aicore__ void moe_init_routing(
    GM_ADDR x, GM_ADDR expert_idx, GM_ADDR row_idx, GM_ADDR scale, GM_ADDR offset,
    GM_ADDR expanded_x, GM_ADDR expanded_row_idx, GM_ADDR expanded_expert_idx,
    GM_ADDR expert_tokens, GM_ADDR expanded_scale, GM_ADDR workspace, MoeInitRoutingTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIV_1_0);
  Run<RowMover>({x, expert_idx, row_idx, scale, offset, expanded_x, expanded_row_idx,
                 expanded_expert_idx, expert_tokens, expanded_scale, workspace},
                tiling);
}

extern "C" __global__ __aicore__ void moe_init_routing_quant_half(
    GM_ADDR x, GM_ADDR expert_idx, GM_ADDR row_idx, GM_ADDR scale, GM_ADDR offset,
    GM_ADDR expanded_x, GM_ADDR expanded_row_idx, GM_ADDR expanded_expert_idx,
    GM_ADDR expert_tokens, GM_ADDR expanded_scale, GM_ADDR workspace, MoeInitRoutingTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIV_1_0);
  Run<RowQuantiser<half>>({x, expert_idx, row_idx, scale, offset, expanded_x, expanded_row_idx,
                           expanded_expert_idx, expert_tokens, expanded_scale, workspace},
                          tiling);
}

extern "C" __global__ __aicore__ void moe_init_routing_quant_bfloat16(
    GM_ADDR x, GM_ADDR expert_idx, GM_ADDR row_idx, GM_ADDR scale, GM_ADDR offset,
    GM_ADDR expanded_x, GM_ADDR expanded_row_idx, GM_ADDR expanded_expert_idx,
    GM_ADDR expert_tokens, GM_ADDR expanded_scale, GM_ADDR workspace, MoeInitRoutingTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIV_1_0);
  Run<RowQuantiser<bfloat16_t>>(
      {x, expert_idx, row_idx, scale, offset, expanded_x, expanded_row_idx, expanded_expert_idx,
       expert_tokens, expanded_scale, workspace},
      tiling);
}

extern "C" __global__ __aicore__ void moe_init_routing_quant_float(
    GM_ADDR x, GM_ADDR expert_idx, GM_ADDR row_idx, GM_ADDR scale, GM_ADDR offset,
    GM_ADDR expanded_x, GM_ADDR expanded_row_idx, GM_ADDR expanded_expert_idx,
    GM_ADDR expert_tokens, GM_ADDR expanded_scale, GM_ADDR workspace, MoeInitRoutingTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIV_1_0);
  Run<RowQuantiser<float>>({x, expert_idx, row_idx, scale, offset, expanded_x, expanded_row_idx,
                            expanded_expert_idx, expert_tokens, expanded_scale, workspace},
                           tiling);
}
