// cc/kernels/moe/moe_gating_top_k.cpp: chooses k experts for each token, and their weights.
//
// Scores s of a row of logits are its softmax, sigmoid or sqrt(softplus). Experts are chosen by
// s + bias: in groups only the best groups take part; of equal ones the lower number wins. Weights
// are the chosen s without the bias, divided by their sum + eps when asked for, times a factor.
// Arithmetic is in float; one rounding, to nearest even, makes a weight.
//
// A tile is some rows; the next one is loaded while one is computed. The host sees to it that no
// instruction has more than 255 repeats for a tile.
#include "cc/kernels/device.h"
#include "cc/kernels/moe/gating_common.h"
#include "cc/kernels/moe/gating_groups.h"
#include "cc/kernels/moe/gating_input.h"
#include "cc/kernels/moe/gating_output.h"
#include "cc/kernels/moe/gating_rows.h"
#include "cc/kernels/moe/gating_scorer.h"
#include "cc/kernels/moe/gating_selection.h"
#include "cc/kernels/moe/gating_sorter.h"
#include "cc/kernels/moe/moe_common.h"
#include "cc/kernels/moe/moe_gating_top_k_tiling.h"
#include "kernel_operator.h"

namespace {

using namespace AscendC;
using namespace moe;

template <typename T>
class MoeGatingTopK {
 public:
  __aicore__ inline MoeGatingTopK(TPipe* pipe, GM_ADDR x, GM_ADDR bias, GM_ADDR finished, GM_ADDR y,
                                  GM_ADDR expert_idx, GM_ADDR row_idx, GM_ADDR norm_out,
                                  const MoeGatingTopKTiling& tiling)
      : tiling_(tiling),
        share_(ShareOf(tiling.rows)),
        input_(x, finished, tiling, arena_),
        reducer_(arena_),
        scorer_(tiling, arena_, reducer_),
        selection_(bias, tiling, arena_),
        sorter_(tiling, arena_),
        groups_(tiling, arena_),
        output_(y, expert_idx, row_idx, norm_out, tiling, arena_, input_, reducer_) {
    const MoeGatingTopKBuffers bytes = MoeGatingTopKBuffersOf(tiling, sizeof(T));
    // The first tile comes while everything else is laid out.
    input_.InitBuffers(pipe, bytes);
    input_.Load(share_.begin, Min(tiling.rows_per_tile, share_.end - share_.begin));
    selection_.InitBuffers(pipe, bytes);
    arena_.Init(pipe, MoeGatingTopKArenaOf(tiling));
    output_.InitBuffers(pipe, bytes);
  }

  __aicore__ inline void Run() {
    const int64_t rows = tiling_.rows_per_tile;
    MakeTables();
    for (int64_t row = share_.begin; row < share_.end; row += rows) {
      const int64_t next = row + rows;
      if (next < share_.end) input_.Load(next, Min(rows, share_.end - next));
      Tile(row, Min(rows, share_.end - row));
    }
  }

 private:
  // Rows [row, row + rows).
  __aicore__ inline void Tile(int64_t row, int64_t rows) {
    input_.Await();
    const LocalTensor<float> scores = output_.NewScores();
    scorer_.Score(scores, input_.Logits(rows), rows);
    input_.Release();
    Lists lists = sorter_.Sort(selection_.SelectionOf(scores, rows), rows);
    // mutant: drop bound, bound off by one equivalent: Nothing uses these parts of the buffer.
    if (tiling_.groups > 1) {
      lists = groups_.Keep(sorter_.Merge(lists, tiling_.sort_pitch / kList), rows);
    }
    lists = sorter_.Merge(lists, lists.count / rows);
    output_.Give(lists, scores, row, rows);
    output_.GiveScores(scores, row, rows);
  }

  // Constants in the arena. Every tile has barriers before it reads them.
  __aicore__ inline void MakeTables() {
    const MoeGatingTopKArena& at = arena_.parts;
    const bool is_apart = IsSortedApart(tiling_);
    const LocalTensor<int32_t> place = arena_.Get<int32_t>(at.places);
    const int64_t first = is_apart ? tiling_.sort_pitch : tiling_.width;
    CreateVecIndex(place, 0, (uint32_t)first);
    Duplicate(arena_.Get<float>(at.ones), 1.0f, (int32_t)at.ones.words);
    if (is_apart) {
      Duplicate(arena_.Get<float>(at.sorted), MinusInfinity(), (int32_t)at.sorted.words);
    }
    PipeBarrier<PIPE_V>();
    Muls(place, place, 4, (int32_t)first);
    PipeBarrier<PIPE_V>();
    if (is_apart) Repeat(place, tiling_.sort_pitch, tiling_.groups, tiling_.score_pitch * 4);
    Copies(place, tiling_.sort_width, tiling_.rows_per_tile);
    output_.MakeTables();
    groups_.MakeTables();
  }

  const MoeGatingTopKTiling& tiling_;
  Share share_;  // rows of this core
  GatingArena arena_;
  GatingInput<T> input_;
  RowReducer reducer_;
  GatingScorer scorer_;
  GatingSelection<T> selection_;
  GatingSorter sorter_;
  GroupSelection groups_;
  GatingOutput<T> output_;
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
