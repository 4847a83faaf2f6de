// cc/kernels/moe/routing_counts.h: how many assignments each expert has, of this core and of all.
// Device code.
//
// When cores share the sorting, each writes two rows into the workspace: by expert, how many of its
// assignments are to lower experts, and how many are to this one. Behind a barrier of all cores,
// each adds up the rows of all.
#pragma once

#include "cc/kernels/moe/routing_common.h"

namespace moe {

// Experts [first, first + experts), of which the first `valid` are experts of the caller: the rest
// fills up the pitch.
struct ExpertTile {
  int64_t first;
  int64_t experts;
  int64_t valid;
  LocalTensor<int32_t> counts;  // assignments of all cores to each ...
  LocalTensor<int32_t> below;   // ... and to those below each
};

class RoutingCounts {
 public:
  __aicore__ inline RoutingCounts(const RoutingTensors& tensors, const MoeInitRoutingTiling& tiling,
                                  const RoutingArena& arena)
      : tiling_(tiling), arena_(arena), at_(arena.parts) {
    if (tiling.is_shared) {
      workspace_gm_.SetGlobalBuffer((__gm__ int32_t*)tensors.workspace,
                                    2 * GetBlockNum() * tiling.expert_pitch);
    }
  }

  __aicore__ inline void Clear() {
    Duplicate(arena_.Get<int32_t>(at_.bases), 0, (int32_t)tiling_.expert_pitch);
  }

  // Adds what the sorter has counted of a chunk.
  __aicore__ inline void AddChunk() {
    const LocalTensor<int32_t> base = arena_.Get<int32_t>(at_.bases);
    Add(base, base, arena_.Get<int32_t>(at_.below), (int32_t)tiling_.expert_pitch);
    PipeBarrier<PIPE_V>();
  }

  // Writes the sums of this core's chunks for the other cores.
  __aicore__ inline void Publish() {
    const LocalTensor<int32_t> base = arena_.Get<int32_t>(at_.bases);
    const int64_t pitch = tiling_.expert_pitch;
    const int64_t row = GetBlockIdx() * 2 * pitch;
    Order<HardEvent::V_MTE3>();
    DataCopyPad(workspace_gm_[row], base, OneRow(pitch * 4));
    for (int64_t first = 0; first < pitch; first += tiling_.tile_experts) {
      const int64_t experts = Min(tiling_.tile_experts, pitch - first);
      const LocalTensor<int32_t> counts = CountsOf(base, first, experts);
      Order<HardEvent::V_MTE3>();
      DataCopyPad(workspace_gm_[row + pitch + first], counts, OneRow(experts * 4));
      Order<HardEvent::MTE3_V>();
    }
  }

  // Makes `bases` of the arena, by expert: the permuted index of this core's first assignment; with
  // a capacity, counted from the expert's first row. `each(tile, gives_tokens)` gets the counts of
  // all cores, tile by tile, and whether this core writes expert_tokens. Without shared sorting,
  // counts are made for expert_tokens and with a capacity only.
  template <typename Each>
  __aicore__ inline void AddUp(Each each) {
    const int64_t cores = GetBlockNum();
    const int64_t core = GetBlockIdx();
    const bool gives_tokens = tiling_.tokens_type >= 0 && core == cores - 1;
    const LocalTensor<int32_t> bases = arena_.Get<int32_t>(at_.bases);
    // mutant: bound off by one equivalent: The extra iteration has no elements.
    for (int64_t first = 0; first < tiling_.expert_pitch; first += tiling_.tile_experts) {
      const int64_t experts = Min(tiling_.tile_experts, tiling_.expert_pitch - first);
      const LocalTensor<int32_t> base = bases[(uint32_t)first];
      ExpertTile tile = {first, experts, Min(experts, tiling_.experts - first),
                         arena_.Get<int32_t>(at_.counts),
                         arena_.Get<int32_t>(at_.below)[(uint32_t)first]};
      if (tiling_.is_shared) {
        tile.below = arena_.Get<int32_t>(at_.numbers);
        AddCores(tile, base, core, cores);
        if (tiling_.capacity == 0) Add(base, base, tile.below, (int32_t)experts);
      } else {
        Duplicate(base, 0, (int32_t)experts);
        // mutant: drop bound, bound off by one equivalent: The extra counts are not used.
        if (gives_tokens || tiling_.capacity > 0) {
          CountsOf(arena_.Get<int32_t>(at_.below), first, experts);
        }
      }
      PipeBarrier<PIPE_V>();
      each(tile, gives_tokens);
    }
  }

  // `below` of the arena becomes what is added to an assignment's place in the sorted chunk to give
  // its permuted index; `bases` goes on behind the chunk.
  __aicore__ inline void MakeOffsets() {
    const LocalTensor<int32_t> below = arena_.Get<int32_t>(at_.below);
    for (int64_t first = 0; first < tiling_.expert_pitch; first += tiling_.tile_experts) {
      const int64_t experts = Min(tiling_.tile_experts, tiling_.expert_pitch - first);
      const LocalTensor<int32_t> base = arena_.Get<int32_t>(at_.bases)[(uint32_t)first];
      const LocalTensor<int32_t> counts = CountsOf(below, first, experts);
      Sub(below[(uint32_t)first], base, below[(uint32_t)first], (int32_t)experts);
      PipeBarrier<PIPE_V>();
      Add(base, base, counts, (int32_t)experts);
      PipeBarrier<PIPE_V>();
    }
  }

 private:
  // `counts` of the arena: the assignments to each expert of a tile, from those below each.
  __aicore__ inline LocalTensor<int32_t> CountsOf(const LocalTensor<int32_t>& below, int64_t first,
                                                  int64_t experts) {
    const LocalTensor<int32_t> counts = arena_.Get<int32_t>(at_.counts);
    Pick(counts, below, arena_.Get<uint32_t>(at_.shifts), (uint32_t)((first + 1) * 4),
         (uint32_t)(experts - (first + experts == tiling_.expert_pitch ? 1 : 0)));
    PipeBarrier<PIPE_V>();
    Sub(counts, counts, below[(uint32_t)first], (int32_t)experts);
    PipeBarrier<PIPE_V>();
    return counts;
  }

  // The sums over all cores, and `base`: the sum over the cores before this one.
  __aicore__ inline void AddCores(const ExpertTile& tile, const LocalTensor<int32_t>& base,
                                  int64_t core, int64_t cores) {
    const LocalTensor<int32_t> table = arena_.Get<int32_t>(at_.table);
    const int32_t experts = (int32_t)tile.experts;
    LoadTable(tile.first, tile.experts, cores);
    AddRows(table, cores, tile.experts);
    Adds(tile.below, table, 0, experts);
    LoadTable(tiling_.expert_pitch + tile.first, tile.experts, cores);
    // Before this core, and the rest.
    const LocalTensor<int32_t> rest = table[(uint32_t)(core * tile.experts)];
    AddRows(table, core, tile.experts);
    AddRows(rest, cores - core, tile.experts);
    if (core == 0) {
      Duplicate(base, 0, experts);
      Adds(tile.counts, table, 0, experts);
    } else {
      Adds(base, table, 0, experts);
      Add(tile.counts, table, rest, experts);
    }
    PipeBarrier<PIPE_V>();
  }

  // Words [first, first + experts) of the rows of all cores, which lie two rows apart.
  __aicore__ inline void LoadTable(int64_t first, int64_t experts, int64_t cores) {
    Order<HardEvent::V_MTE2>();
    const int64_t gap = (2 * tiling_.expert_pitch - experts) * 4;
    DataCopyPad(arena_.Get<int32_t>(at_.table), workspace_gm_[first],
                DataCopyExtParams((uint16_t)cores, (uint32_t)(experts * 4), (uint32_t)gap, 0, 0),
                NoPad<int32_t>());
    Order<HardEvent::MTE2_V>();
  }

  // The sum of `rows` rows of `experts` words, in the first one.
  __aicore__ inline void AddRows(const LocalTensor<int32_t>& table, int64_t rows, int64_t experts) {
    while (rows > 1) {
      const int64_t half = rows / 2;
      Add(table, table, table[(uint32_t)((rows - half) * experts)], (int32_t)(half * experts));
      PipeBarrier<PIPE_V>();
      rows -= half;
    }
  }

  const MoeInitRoutingTiling& tiling_;
  const RoutingArena& arena_;
  const MoeInitRoutingArena& at_;
  GlobalTensor<int32_t> workspace_gm_;
};

}  // namespace moe
