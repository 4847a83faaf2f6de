// tests/benchmarks/kernels/softmax_top_k.cpp: the softmax of rows of 128 logits, and its 8 largest
// values with their places, as the router of a mixture of experts takes them.
#include "kernel_operator.h"

using namespace AscendC;

constexpr uint32_t kExperts = 128;
constexpr uint32_t kTop = 8;
constexpr uint32_t kRows = 32;  // of a tile
constexpr uint32_t kLanes = 64;
constexpr uint32_t kList = 32;  // what Sort32 sorts

class SoftmaxTopK {
 public:
  __aicore__ inline SoftmaxTopK(TPipe* pipe, GM_ADDR logits, GM_ADDR values, GM_ADDR places,
                                uint32_t rows)
      : rows_(rows) {
    logits_.SetGlobalBuffer((__gm__ float*)logits, uint64_t{rows} * kExperts);
    values_.SetGlobalBuffer((__gm__ float*)values, uint64_t{rows} * kTop);
    places_.SetGlobalBuffer((__gm__ int32_t*)places, uint64_t{rows} * kTop);
    pipe->InitBuffer(in_, 2, kRows * kExperts * sizeof(float));
    pipe->InitBuffer(values_out_, 2, kRows * kTop * sizeof(float));
    pipe->InitBuffer(places_out_, 2, kRows * kTop * sizeof(int32_t));
    pipe->InitBuffer(half_buffer_, kRows * kLanes * sizeof(float));
    pipe->InitBuffer(each_buffer_, kRows * sizeof(float));
    pipe->InitBuffer(spread_buffer_, kRows * ONE_BLK_SIZE);
    pipe->InitBuffer(expert_buffer_, kRows * kExperts * sizeof(int32_t));
    pipe->InitBuffer(record_buffer_, kRows * kExperts * 2 * sizeof(float));
    pipe->InitBuffer(sorted_buffer_, kRows * kExperts * 2 * sizeof(float));
    pipe->InitBuffer(top_buffer_, kRows * kTop * 2 * sizeof(float));
    MakeExperts();
  }

  __aicore__ inline void Run() {
    const uint32_t step = GetBlockNum() * kRows;
    for (uint32_t row = GetBlockIdx() * kRows; row < rows_; row += step) {
      const uint32_t count = rows_ - row < kRows ? rows_ - row : kRows;
      LocalTensor<float> x = in_.AllocTensor<float>();
      DataCopy(x, logits_[uint64_t{row} * kExperts], count * kExperts);
      in_.EnQue(x);
      x = in_.DeQue<float>();
      Softmax(x, count);
      Top(x, row, count);
      in_.FreeTensor(x);
    }
  }

 private:
  // 0 to 127 for each row of a tile.
  __aicore__ inline void MakeExperts() {
    constexpr int32_t count = kRows * kExperts;
    const LocalTensor<int32_t> expert = expert_buffer_.Get<int32_t>();
    const LocalTensor<int32_t> row = record_buffer_.Get<int32_t>();
    CreateVecIndex(expert, 0, count);
    Duplicate(each_buffer_.Get<float>(), 0.0f, kRows);
    PipeBarrier<PIPE_V>();
    ShiftRight(row, expert, 7, count);
    PipeBarrier<PIPE_V>();
    Muls(row, row, -(int32_t)kExperts, count);
    PipeBarrier<PIPE_V>();
    Add(expert, expert, row, count);
  }

  __aicore__ inline void Softmax(const LocalTensor<float>& x, uint32_t count) {
    const LocalTensor<float> half = half_buffer_.Get<float>();
    const LocalTensor<float> each = each_buffer_.Get<float>();
    const LocalTensor<float> spread = spread_buffer_.Get<float>();
    const uint8_t blocks = (count + 7) / 8;
    const BinaryRepeatParams fold(1, 1, 1, 8, 16, 16);
    const BinaryRepeatParams by_row(1, 1, 0, 16, 16, 1);
    const BrcbRepeatParams each_block(1, 8);
    Max(half, x, x[kLanes], kLanes, count, fold);
    PipeBarrier<PIPE_V>();
    WholeReduceMax(each, half, kLanes, count, 1, 1, 8, ReduceOrder::ORDER_ONLY_VALUE);
    PipeBarrier<PIPE_V>();
    Brcb(spread, each, blocks, each_block);
    PipeBarrier<PIPE_V>();
    for (uint32_t at = 0; at < kExperts; at += kLanes) {
      Sub(x[at], x[at], spread, kLanes, count, by_row);
    }
    PipeBarrier<PIPE_V>();
    Exp(x, x, count * kExperts);
    PipeBarrier<PIPE_V>();
    Add(half, x, x[kLanes], kLanes, count, fold);
    PipeBarrier<PIPE_V>();
    WholeReduceSum(each, half, kLanes, count, 1, 1, 8);
    PipeBarrier<PIPE_V>();
    Brcb(spread, each, blocks, each_block);
    PipeBarrier<PIPE_V>();
    for (uint32_t at = 0; at < kExperts; at += kLanes) {
      Div(x[at], x[at], spread, kLanes, count, by_row);
    }
    PipeBarrier<PIPE_V>();
  }

  // Four lists of a row are sorted, then merged; the first records hold value and expert in turn.
  __aicore__ inline void Top(const LocalTensor<float>& x, uint32_t row, uint32_t count) {
    const LocalTensor<float> records = record_buffer_.Get<float>();
    const LocalTensor<float> sorted = sorted_buffer_.Get<float>();
    const LocalTensor<float> top = top_buffer_.Get<float>();
    Sort32(records, x, expert_buffer_.Get<uint32_t>(), count * (kExperts / kList));
    PipeBarrier<PIPE_V>();
    const MrgSortSrcList<float> lists(records, records[kList * 2], records[kList * 4],
                                      records[kList * 6]);
    const uint16_t lengths[4] = {kList, kList, kList, kList};
    MrgSort(sorted, lists, MrgSort4Info(lengths, false, 15, count));
    PipeBarrier<PIPE_V>();
    DataCopy(top, sorted, DataCopyParams(count, 2, 30, 0));
    PipeBarrier<PIPE_V>();
    LocalTensor<float> values = values_out_.AllocTensor<float>();
    LocalTensor<int32_t> places = places_out_.AllocTensor<int32_t>();
    const GatherMaskParams packed(1, count, 2, 0);
    uint64_t taken = 0;
    GatherMask(values, top, 1, true, 2 * kTop, packed, taken);
    GatherMask(places, top.ReinterpretCast<int32_t>(), 2, true, 2 * kTop, packed, taken);
    values_out_.EnQue(values);
    places_out_.EnQue(places);
    values = values_out_.DeQue<float>();
    places = places_out_.DeQue<int32_t>();
    DataCopy(values_[uint64_t{row} * kTop], values, count * kTop);
    DataCopy(places_[uint64_t{row} * kTop], places, count * kTop);
    values_out_.FreeTensor(values);
    places_out_.FreeTensor(places);
  }

  uint32_t rows_;
  GlobalTensor<float> logits_, values_;
  GlobalTensor<int32_t> places_;
  TQue<TPosition::VECIN, 2> in_;
  TQue<TPosition::VECOUT, 2> values_out_, places_out_;
  TBuf<> half_buffer_, each_buffer_, spread_buffer_, expert_buffer_;
  TBuf<> record_buffer_, sorted_buffer_, top_buffer_;
};

extern "C" __global__ __aicore__ void softmax_top_k(GM_ADDR logits, GM_ADDR values, GM_ADDR places,
                                                    uint32_t rows) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  TPipe pipe;
  SoftmaxTopK kernel(&pipe, logits, values, places, rows);
  kernel.Run();
}
