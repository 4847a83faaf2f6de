// cc/kernels/rotary/qkv_rmsnorm_rope.cpp: takes qkv apart, and normalises and rotates query and
// key, in one pass.
//
// A row x of query and key (head_size elements) becomes n = x / sqrt(mean(x * x) + epsilon) *
// weight (+ bias), of which the first rotary_dim elements are rotated: with h = rotary_dim / 2,
//   y[i] = n[i] c[i] - n[i + h] s[i],     y[i + h] = n[i + h] c[i] + n[i] s[i]
// Value and gate are copied, or value is normalised without a weight. Arithmetic is in float; one
// rounding, to nearest even, makes the result.
//
// When a token's heads are divided among devices and the mean is over all of them, there are two
// launches: qkv_square_sums gives the sums of this device, and with their totals qkv_rmsnorm_rope
// does the rest; each element of a row then has a weight of its own.
#include "cc/kernels/device.h"
#include "cc/kernels/rotary/angles.h"
#include "cc/kernels/rotary/head_copy.h"
#include "cc/kernels/rotary/head_rows.h"
#include "cc/kernels/rotary/qkv_common.h"
#include "cc/kernels/rotary/qkv_norm.h"
#include "cc/kernels/rotary/qkv_pass_through.h"
#include "cc/kernels/rotary/qkv_rmsnorm_rope_tiling.h"
#include "cc/kernels/rotary/qkv_square_sums.h"
#include "cc/kernels/rotary/qkv_weights.h"
#include "cc/kernels/rotary/row_ops.h"
#include "kernel_operator.h"

namespace {

using namespace AscendC;
using namespace rotary;

template <typename T>
class QkvRmsnormRope {
  using Storage = typename StorageOf<T>::Type;

 public:
  __aicore__ inline QkvRmsnormRope(TPipe* pipe, const QkvTensors& tensors,
                                   const QkvRmsnormRopeTiling& tiling)
      : tiling_(tiling),
        tensors_(tensors),
        copy_(tiling),
        rows_(tensors.qkv, tiling,
              tiling.heads + (tiling.norm_value != 0 ? 2 : 1) * tiling.kv_heads),
        angles_(pipe, tensors.positions, tensors.cos, tensors.sin, tiling.angles),
        weights_(tensors, tiling, rows_.first_row(), rows_.end_row()),
        norm_(tensors, tiling, rows_, weights_),
        pass_through_(tensors, tiling, rows_) {
    const QkvRowBuffers of_rows = QkvRowBuffersOf(tiling, sizeof(T));
    const QkvRmsnormRopeBuffers bytes = QkvRmsnormRopeBuffersOf(tiling, sizeof(T));
    rows_.InitRows(pipe, of_rows);
    pipe->InitBuffer(negative_buffer_, (uint32_t)bytes.negative);
    pipe->InitBuffer(out_, 2, (uint32_t)bytes.out);
    weights_.InitWeights(pipe, bytes);
    norm_.InitBuffers(pipe, bytes);
    pass_through_.InitBuffers(pipe, bytes);
    rows_.InitPartials(pipe, of_rows);
    weights_.InitBiases(pipe, bytes);
    rows_.InitProducts(pipe, of_rows);
    norm_.MakeTables();
  }

  __aicore__ inline void Run() {
    if (rows_.tiles() > 0) Load(0);
    const LocalTensor<float> negative = negative_buffer_.template Get<float>();
    LocalTensor<float> angles;
    for (int64_t index = 0; index < rows_.tiles(); ++index) {
      if (index + 1 < rows_.tiles()) Load(index + 1);
      const Tile tile = rows_.TileAt(index);
      const LocalTensor<float> x = rows_.Take(tile);
      if (rows_.IsFirst(tile)) {
        if (tiling_.copy_bytes > 0) pass_through_.Copy(tile);
        if (tiling_.has_sums != 0) norm_.TakeSums(tile);
      }
      norm_.Normalise(tile, x);
      if (rows_.IsFirst(tile)) {
        angles = angles_.Take(tile.tokens);
        Muls(negative, angles, -1.0f, (int32_t)(tile.tokens * 2 * tiling_.angles.half_pitch));
        Step();
      }
      Rotate(tile, x, angles, negative);
      Finish(tile, x);
      if (rows_.IsLast(tile)) angles_.Release();
    }
  }

 private:
  // Begins to load a tile; with the first one of its tokens, what these need.
  __aicore__ inline void Load(int64_t index) {
    const Tile tile = rows_.TileAt(index);
    const bool is_first = rows_.IsFirst(tile);
    const int64_t batch = tiling_.angles.position_batch;
    const bool has_batch = is_first && tile.token == rows_.begin() + batches_ * batch;
    if (has_batch) {
      angles_.LoadPositions(tile.token, Min(batch, rows_.end() - tile.token), batches_ > 0);
      ++batches_;
    }
    if (index == 0) weights_.Load();
    rows_.Load(tile);
    if (!is_first) return;
    if (tiling_.has_sums != 0) norm_.LoadSums(tile);
    if (has_batch) angles_.AwaitPositions();
    angles_.Load(tile.token, tile.tokens);
  }

  // Rotates the rows of query and key. `angles`: cosines and sines of each token; `negative`: the
  // same by -1.
  __aicore__ inline void Rotate(const Tile& tile, const LocalTensor<float>& x,
                                const LocalTensor<float>& angles,
                                const LocalTensor<float>& negative) {
    const int64_t rows =
        Min(tile.rows, tiling_.heads + tiling_.kv_heads - tile.row);  // the others are of value
    // mutant: drop guard, bound off by one equivalent: With no rows nothing happens either way.
    if (rows <= 0) return;
    const int64_t pitch = tiling_.angles.half_pitch;
    const int64_t row_pitch = tiling_.row_pitch;
    const LocalTensor<float>& product = rows_.products();
    const uint8_t stride = (uint8_t)(row_pitch / 8);
    const BinaryRepeatParams by_sine(1, 1, 1, stride, stride, 0);
    const BinaryRepeatParams by_cosine(1, 1, 1, stride, 0, stride);
    const uint32_t second = (uint32_t)pitch;
    // Products by sines, in the place of the other half; then x itself times cosines, and the sum.
    for (int64_t token = 0; token < tile.tokens; ++token) {
      const uint32_t sines = (uint32_t)((token * 2 + 1) * pitch);
      const uint32_t at = (uint32_t)(token * tile.rows * row_pitch);
      OnRows<Do::kMul>(product[at], x[at + second], negative[sines], rows, pitch, by_sine);
      OnRows<Do::kMul>(product[at + second], x[at], angles[sines], rows, pitch, by_sine);
    }
    Step();
    for (int64_t token = 0; token < tile.tokens; ++token) {
      const LocalTensor<float> cosines = angles[(uint32_t)(token * 2 * pitch)];
      const uint32_t at = (uint32_t)(token * tile.rows * row_pitch);
      OnRows<Do::kMulAdd>(x[at], cosines, product[at], rows, pitch, by_cosine);
      OnRows<Do::kMulAdd>(x[at + second], cosines, product[at + second], rows, pitch, by_cosine);
    }
    Step();
  }

  // To the nearest T, ties to even: the only rounding of the kernel.
  __aicore__ inline void Finish(const Tile& tile, const LocalTensor<float>& x) {
    const int64_t elements = tile.tokens * tile.rows * tiling_.row_pitch;
    LocalTensor<T> out = out_.template AllocTensor<T>();
    if constexpr (sizeof(T) == 4) {
      Muls(out, x, 1.0f, (int32_t)elements);
    } else {
      Cast(out, x, RoundMode::CAST_RINT, (uint32_t)elements);
    }
    Step();
    rows_.Free();
    out_.EnQue(out);
    out = out_.template DeQue<T>();
    const LocalTensor<Storage> from = out.template ReinterpretCast<Storage>();
    const GM_ADDR to[3] = {tensors_.q, tensors_.k, tensors_.v};
    // mutant: bound off by one equivalent: The extra iteration has no elements.
    for (int64_t side = 0; side < 3; ++side) {
      const SideRows of = SideRowsOf(tiling_, tile, side);
      // mutant: drop condition of `of.rows <= 0 || (side == 2 && tiling_.norm_value == 0)`
      // equivalent: A tile has no rows of value where they are copied.
      if (of.rows <= 0 || (side == 2 && tiling_.norm_value == 0)) continue;
      const int64_t width = (side == 0 ? tiling_.heads : tiling_.kv_heads) * tiling_.head_size;
      GlobalTensor<Storage> gm;
      gm.SetGlobalBuffer((__gm__ Storage*)to[side], tiling_.angles.tokens * width);
      copy_.template Move<false>(from[(uint32_t)(of.of_tile * tiling_.row_pitch)],
                                 gm[tile.token * width + of.of_side * tiling_.head_size], tile,
                                 of.rows, tiling_.head_size, width);
    }
    out_.FreeTensor(out);
  }

  const QkvRmsnormRopeTiling& tiling_;
  QkvTensors tensors_;
  HeadCopy<T> copy_;
  HeadRows<T> rows_;
  Angles<T> angles_;
  QkvWeights<T> weights_;
  QkvNorm<T> norm_;
  QkvPassThrough<T> pass_through_;
  int64_t batches_ = 0;  // of positions that were loaded
  TQue<TPosition::VECOUT, 2> out_;
  TBuf<TPosition::VECCALC> negative_buffer_;
};

template <typename T>
__aicore__ inline void Run(const QkvTensors& tensors, const QkvRmsnormRopeTiling& tiling) {
  TPipe pipe;
  QkvRmsnormRope<T> kernel(&pipe, tensors, tiling);
  kernel.Run();
}

template <typename T>
__aicore__ inline void RunSums(GM_ADDR qkv, GM_ADDR sums, const QkvRmsnormRopeTiling& tiling) {
  TPipe pipe;
  QkvSquareSums<T> kernel(&pipe, qkv, sums, tiling);
  kernel.Run();
}

}  // namespace

extern "C" __global__ __aicore__ void qkv_rmsnorm_rope_half(
    GM_ADDR positions, GM_ADDR qkv, GM_ADDR q_weight, GM_ADDR k_weight, GM_ADDR q_bias,
    GM_ADDR k_bias, GM_ADDR cos, GM_ADDR sin, GM_ADDR sums, GM_ADDR q, GM_ADDR k, GM_ADDR v,
    GM_ADDR gate, QkvRmsnormRopeTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  Run<half>({positions, qkv, q_weight, k_weight, q_bias, k_bias, cos, sin, sums, q, k, v, gate},
            tiling);
}

extern "C" __global__ __aicore__ void qkv_rmsnorm_rope_bfloat16(
    GM_ADDR positions, GM_ADDR qkv, GM_ADDR q_weight, GM_ADDR k_weight, GM_ADDR q_bias,
    GM_ADDR k_bias, GM_ADDR cos, GM_ADDR sin, GM_ADDR sums, GM_ADDR q, GM_ADDR k, GM_ADDR v,
    GM_ADDR gate, QkvRmsnormRopeTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  Run<bfloat16_t>(
      {positions, qkv, q_weight, k_weight, q_bias, k_bias, cos, sin, sums, q, k, v, gate}, tiling);
}

extern "C" __global__ __aicore__ void qkv_rmsnorm_rope_float(
    GM_ADDR positions, GM_ADDR qkv, GM_ADDR q_weight, GM_ADDR k_weight, GM_ADDR q_bias,
    GM_ADDR k_bias, GM_ADDR cos, GM_ADDR sin, GM_ADDR sums, GM_ADDR q, GM_ADDR k, GM_ADDR v,
    GM_ADDR gate, QkvRmsnormRopeTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  Run<float>({positions, qkv, q_weight, k_weight, q_bias, k_bias, cos, sin, sums, q, k, v, gate},
             tiling);
}

extern "C" __global__ __aicore__ void qkv_square_sums_half(GM_ADDR qkv, GM_ADDR sums,
                                                           QkvRmsnormRopeTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  RunSums<half>(qkv, sums, tiling);
}

extern "C" __global__ __aicore__ void qkv_square_sums_bfloat16(GM_ADDR qkv, GM_ADDR sums,
                                                               QkvRmsnormRopeTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  RunSums<bfloat16_t>(qkv, sums, tiling);
}

extern "C" __global__ __aicore__ void qkv_square_sums_float(GM_ADDR qkv, GM_ADDR sums,
                                                            QkvRmsnormRopeTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  RunSums<float>(qkv, sums, tiling);
}
