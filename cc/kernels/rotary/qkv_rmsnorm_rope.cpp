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
//
// Rows in the UB, tiles and sums of squares: head_rows.h. A root and a division are made for each
// row, and a block of eight equal factors serves the row by a block stride of 0. Cosines, sines,
// and weights serve all heads by a repeat stride of 0.
#include "cc/kernels/rotary/angles.h"
#include "cc/kernels/rotary/head_rows.h"
#include "cc/kernels/rotary/qkv_rmsnorm_rope_tiling.h"
#include "kernel_operator.h"

namespace {

using namespace AscendC;
using namespace rotary;

// sums[t] = the sums of squares of query and of key of token t.
template <typename T>
class QkvSquareSums : public HeadRows<T> {
  using Base = HeadRows<T>;
  using Base::tiling_;
  using Base::token_rows_;

 public:
  __aicore__ inline QkvSquareSums(TPipe* pipe, GM_ADDR qkv, GM_ADDR sums,
                                  const QkvRmsnormRopeTiling& tiling)
      : Base(pipe, qkv, tiling, tiling.heads + tiling.kv_heads) {
    sums_gm_.SetGlobalBuffer((__gm__ float*)sums, tiling.angles.tokens * 2);
    this->InitRows();
    // mutant: drop term, constant off by one equivalent: The size is rounded up to 512 bytes,
    // which hold the sums of 16 tokens.
    pipe->InitBuffer(out_, 2, WholeRounds(tiling.angles.tokens_per_tile * 8));
    // mutant: constant off by one equivalent: A larger buffer changes nothing, and there is room.
    pipe->InitBuffer(sum_buffer_, WholeRounds((token_rows_ + 7) / 8 * ONE_BLK_SIZE));
    this->InitGap();
    this->InitProducts();
  }

  __aicore__ inline void Run() {
    // mutant: drop bound, bound off by one equivalent: The tiling gives every core tokens.
    if (this->tiles_ > 0) this->LoadRows(this->TileAt(0));
    LocalTensor<float> out;
    for (int64_t index = 0; index < this->tiles_; ++index) {
      if (index + 1 < this->tiles_) this->LoadRows(this->TileAt(index + 1));
      const Tile tile = this->TileAt(index);
      const LocalTensor<float> x = this->TakeRows(tile);
      this->SquareSums(tile.row, x, tile.tokens * tile.rows);
      this->FreeRows();
      if (tile.row + tile.rows < token_rows_) continue;
      out = out_.template AllocTensor<float>();
      for (int64_t token = 0; token < tile.tokens; ++token) {
        const int64_t row = token * token_rows_;
        SumSide(out[(uint32_t)(2 * token)], row, tiling_.heads);
        SumSide(out[(uint32_t)(2 * token + 1)], row + tiling_.heads, tiling_.kv_heads);
      }
      out_.EnQue(out);
      out = out_.template DeQue<float>();
      // mutant: constant off by one of `0` equivalent: One row is copied: strides are not used.
      DataCopyPad(sums_gm_[tile.token * 2], out,
                  DataCopyExtParams(1, (uint32_t)(tile.tokens * 8), 0, 0, 0));
      out_.FreeTensor(out);
    }
  }

 private:
  __aicore__ inline void SumSide(const LocalTensor<float>& to, int64_t row, int64_t rows) {
    const LocalTensor<float> sums = sum_buffer_.Get<float>();
    // mutant: argument off by one of `rows` equivalent: Nothing reads the extra elements.
    this->BlockSums(sums, row, rows);
    // mutant: bound off by one equivalent: The extra iteration has no elements.
    for (int64_t at = kLanes; at < rows; at += kLanes) {
      Add(sums, sums, sums[(uint32_t)at], (int32_t)Min(kLanes, rows - at));
      Step();
    }
    // mutant: constant off by one equivalent: One repeat: strides are not used.
    WholeReduceSum(to, sums, (int32_t)Min(kLanes, rows), 1, 1, 1, 8);
    Step();
  }

  GlobalTensor<float> sums_gm_;
  TQue<TPosition::VECOUT, 2> out_;
  TBuf<TPosition::VECCALC> sum_buffer_;
};

struct Tensors {
  GM_ADDR positions;
  GM_ADDR qkv;
  GM_ADDR q_weight;
  GM_ADDR k_weight;
  GM_ADDR q_bias;
  GM_ADDR k_bias;
  GM_ADDR cos;
  GM_ADDR sin;
  GM_ADDR sums;
  GM_ADDR q;
  GM_ADDR k;
  GM_ADDR v;
  GM_ADDR gate;
};

template <typename T>
class QkvRmsnormRope : public HeadRows<T> {
  using Base = HeadRows<T>;
  using Storage = typename Base::Storage;
  using Base::end_row_;
  using Base::first_row_;
  using Base::half_;
  using Base::kIsFloat;
  using Base::pitch_;
  using Base::product_;
  using Base::tile_rows_;
  using Base::tiling_;

 public:
  __aicore__ inline QkvRmsnormRope(TPipe* pipe, const Tensors& tensors,
                                   const QkvRmsnormRopeTiling& tiling)
      : Base(pipe, tensors.qkv, tiling,
             tiling.heads + (tiling.norm_value != 0 ? 2 : 1) * tiling.kv_heads),
        tensors_(tensors),
        angles_(pipe, tensors.positions, tensors.cos, tensors.sin, tiling.angles) {
    const int64_t rows = (tile_rows_ + 7) / 8 * 8;
    this->InitRows();
    const int64_t angles = tiling.angles.tokens_per_tile * 2 * tiling.angles.half_pitch;
    pipe->InitBuffer(negative_buffer_, WholeRounds(angles * sizeof(float)));
    pipe->InitBuffer(out_, 2, WholeRounds(tile_rows_ * pitch_ * sizeof(T)));
    for (int64_t side = 0; side < 2; ++side) {
      const int64_t begin = side == 0 ? 0 : tiling.heads;
      const int64_t end = begin + (side == 0 ? tiling.heads : tiling.kv_heads);
      const int64_t first = Max(first_row_, begin);
      side_first_[side] = tiling.has_sums != 0 ? first - begin : 0;
      side_rows_[side] = tiling.has_sums != 0 ? Max(Min(end_row_, end) - first, 0) : 1;
    }
    const int64_t weights = (tiling.has_sums != 0 ? tiling.part_rows : 2) * pitch_;
    const int64_t sets = tiling.has_bias != 0 ? 2 : 1;
    pipe->InitBuffer(weight_buffer_, WholeRounds(weights * sizeof(float)));
    pipe->InitBuffer(weights_in_, 1, WholeRounds(sets * weights * sizeof(T)));
    pipe->InitBuffer(row_buffer_, WholeRounds(rows * (1 + 1 + 8) * sizeof(float)));
    if (tiling.has_sums != 0) {
      // mutant: drop term, constant off by one equivalent: The size is rounded up to 512 bytes,
      // which hold the sums of 16 tokens.
      pipe->InitBuffer(sums_in_, 2, WholeRounds(tiling.angles.tokens_per_tile * 8));
    }
    if (tiling.copy_bytes > 0) pipe->InitBuffer(copies_, 2, WholeRounds(tiling.copy_bytes));
    this->InitGap();
    if (tiling.has_bias != 0) pipe->InitBuffer(bias_buffer_, WholeRounds(weights * sizeof(float)));
    this->InitProducts();
    sum_ = row_buffer_.Get<float>();
    scale_ = sum_[(uint32_t)rows];
    factor_ = scale_[(uint32_t)rows];
    // Brcb reads whole blocks, of which a tile may fill a part.
    // mutant: argument off by one equivalent: Nothing reads these elements; they only need a
    // value.
    Duplicate(sum_, 0.0f, (int32_t)rows);
    // mutant: argument off by one of `tiling.has_sums != 0 ? 2 * tiling.angles.tokens_per_tile :
    // tile_rows_` equivalent: Nothing reads these elements; they only need a value.
    OnSides(scale_, tiling.has_sums != 0 ? 2 * tiling.angles.tokens_per_tile : tile_rows_,
            tiling.scale_bits, true);
    Step();
  }

  __aicore__ inline void Run() {
    // mutant: drop bound, bound off by one equivalent: The tiling gives every core tokens.
    if (this->tiles_ > 0) LoadTile(0);
    const LocalTensor<float> negative = negative_buffer_.Get<float>();
    LocalTensor<float> angles;
    for (int64_t index = 0; index < this->tiles_; ++index) {
      if (index + 1 < this->tiles_) LoadTile(index + 1);
      const Tile tile = this->TileAt(index);
      const LocalTensor<float> x = this->TakeRows(tile);
      if (tile.row == first_row_) {
        // mutant: drop bound, bound off by one equivalent: With nothing to copy nothing happens
        // either way.
        if (tiling_.copy_bytes > 0) CopyThrough(tile);
        if (tiling_.has_sums != 0) TakeSums(tile);
      }
      Normalise(tile, x);
      if (tile.row == first_row_) {
        angles = angles_.Take(tile.tokens);
        Muls(negative, angles, -1.0f, (int32_t)(tile.tokens * 2 * tiling_.angles.half_pitch));
        Step();
      }
      Rotate(tile, x, angles, negative);
      Finish(tile, x);
      if (tile.row + tile.rows == end_row_) angles_.Release();
    }
  }

 private:
  // Per side (query, key): weights, and then the biases of both.
  __aicore__ inline void LoadWeights() {
    LocalTensor<T> in = weights_in_.template AllocTensor<T>();
    const LocalTensor<Storage> to = in.template ReinterpretCast<Storage>();
    const GM_ADDR from[4] = {tensors_.q_weight, tensors_.k_weight, tensors_.q_bias,
                             tensors_.k_bias};
    int64_t rows = 0;
    for (int64_t i = 0; i < (tiling_.has_bias != 0 ? 4 : 2); ++i) {
      const int64_t count = side_rows_[i % 2];
      if (count == 0) continue;
      const int64_t first = side_first_[i % 2] * tiling_.head_size;
      GlobalTensor<Storage> gm;
      gm.SetGlobalBuffer((__gm__ Storage*)from[i], first + count * tiling_.head_size);
      // mutant: constant off by one equivalent: The weights are one row: the stride is not used.
      this->template Move<true>(to[(uint32_t)(rows * pitch_)], gm[first], {0, 1, 0, count}, count,
                                tiling_.head_size, 0);
      rows += count;
    }
    weights_in_.EnQue(in);
    in = weights_in_.template DeQue<T>();
    const int64_t elements = (side_rows_[0] + side_rows_[1]) * pitch_;
    Widen(weight_buffer_.Get<float>(), in, elements);
    if (tiling_.has_bias != 0) {
      Widen(bias_buffer_.Get<float>(), in[(uint32_t)elements], elements);
    }
    Step();
    weights_in_.FreeTensor(in);
  }

  __aicore__ inline void Widen(const LocalTensor<float>& to, const LocalTensor<T>& from,
                               int64_t elements) {
    if constexpr (kIsFloat) {
      Muls(to, from, 1.0f, (int32_t)elements);
    } else {
      Cast(to, from, RoundMode::CAST_NONE, (uint32_t)elements);
    }
  }

  __aicore__ inline void LoadTile(int64_t index) {
    const Tile tile = this->TileAt(index);
    const bool is_first = tile.row == first_row_;
    // mutant: drop condition equivalent: Loads positions more often than needed.
    // mutant: drop condition equivalent: Only the first rows of a token can begin a batch.
    const bool has_batch =
        is_first && tile.token == this->begin_ + batches_ * tiling_.angles.position_batch;
    if (has_batch) {
      // mutant: argument off by one of `batches_ > 0`, bound off by one equivalent: One more pair
      // of set and wait orders more than needed.
      angles_.LoadPositions(tile.token, Min(tiling_.angles.position_batch, this->end_ - tile.token),
                            batches_ > 0);
      ++batches_;
    }
    if (index == 0) LoadWeights();
    this->LoadRows(tile);
    if (!is_first) return;
    if (tiling_.has_sums != 0) LoadSums(tile);
    if (has_batch) angles_.AwaitPositions();
    angles_.Load(tile.token, tile.tokens);
  }

  __aicore__ inline void LoadSums(const Tile& tile) {
    GlobalTensor<uint32_t> gm;
    gm.SetGlobalBuffer((__gm__ uint32_t*)tensors_.sums, tiling_.angles.tokens * 2);
    LocalTensor<uint32_t> sums = sums_in_.template AllocTensor<uint32_t>();
    // mutant: constant off by one of `0` equivalent: One row is copied: strides are not used.
    // mutant: constant off by one of `0` equivalent: No padding: the padding value is not used.
    DataCopyPad(sums, gm[tile.token * 2],
                DataCopyExtParams(1, (uint32_t)(tile.tokens * 8), 0, 0, 0),
                DataCopyPadExtParams<uint32_t>(false, 0, 0, 0));
    sums_in_.EnQue(sums);
  }

  // Value and gate: through the UB as bytes.
  __aicore__ inline void CopyThrough(const Tile& tile) {
    const int64_t size = tiling_.head_size * sizeof(T);
    const int64_t queries = tiling_.heads * this->query_step_ * sizeof(T);
    const int64_t side = tiling_.kv_heads * size;
    const int64_t stride = tiling_.token_stride * sizeof(T);
    const int64_t from = tile.token * stride;
    if (tiling_.norm_value == 0 && end_row_ == this->token_rows_) {
      CopyRows(tensors_.v, from + queries + side, tile.token * side, tile.tokens, side, stride);
    }
    const int64_t gates = Min(end_row_, tiling_.heads) - first_row_;
    // mutant: drop condition, bound off by one equivalent: With no elements nothing happens either
    // way.
    if (tiling_.has_gate == 0 || gates <= 0) return;
    for (int64_t token = 0; token < tile.tokens; ++token) {
      CopyRows(tensors_.gate, from + token * stride + (2 * first_row_ + 1) * size,
               ((tile.token + token) * tiling_.heads + first_row_) * size, gates, size, 2 * size);
    }
  }

  // Rows of `bytes`, which lie `step` apart in qkv and beside each other in `to`.
  __aicore__ inline void CopyRows(GM_ADDR to, int64_t from, int64_t at, int64_t rows, int64_t bytes,
                                  int64_t step) {
    // mutant: drop bound equivalent: Same result by more instructions.
    const int64_t part = Min(bytes, tiling_.copy_bytes);
    // mutant: constant off by one equivalent: Rows have an even number of bytes.
    const int64_t pitch = (part + ONE_BLK_SIZE - 1) / ONE_BLK_SIZE * ONE_BLK_SIZE;
    // mutant: drop bound equivalent: A buffer of 16384 bytes holds fewer rows than the limit.
    const int64_t batch = Min(tiling_.copy_bytes / pitch, kMaxRows);
    GlobalTensor<uint8_t> source, target;
    source.SetGlobalBuffer(tensors_.qkv, from + (rows - 1) * step + bytes);
    target.SetGlobalBuffer(to, at + rows * bytes);
    for (int64_t row = 0; row < rows; row += batch) {
      for (int64_t column = 0; column < bytes; column += part) {
        const uint16_t count = (uint16_t)Min(batch, rows - row);
        const uint32_t length = (uint32_t)Min(part, bytes - column);
        LocalTensor<uint8_t> copied = copies_.template AllocTensor<uint8_t>();
        // mutant: drop bound, argument off by one of `count > 1 ? (uint32_t)(step - length) : 0`,
        // bound off by one equivalent: One row is copied: strides are not used.
        // mutant: constant off by one equivalent: No padding: the padding value is not used.
        DataCopyPad(
            copied, source[from + row * step + column],
            DataCopyExtParams(count, length, count > 1 ? (uint32_t)(step - length) : 0, 0, 0),
            DataCopyPadExtParams<uint8_t>(false, 0, 0, 0));
        copies_.EnQue(copied);
        copied = copies_.template DeQue<uint8_t>();
        DataCopyPad(target[at + row * bytes + column], copied,
                    DataCopyExtParams(count, length, 0, (uint32_t)(bytes - length), 0));
        copies_.FreeTensor(copied);
      }
    }
  }

  // dst = the float of `bits`, or dst += it. With given sums the elements, 64 at most, are of query
  // and of key in turns; without, all take what is query's.
  __aicore__ inline void OnSides(const LocalTensor<float>& dst, int64_t count, const int64_t* bits,
                                 bool set) {
    if (tiling_.has_sums == 0) {
      const float value = FloatOf(bits[0]);
      if (set) {
        // mutant: argument off by one of `(int32_t)count` equivalent: Nothing reads these
        // elements; they only need a value.
        Duplicate(dst, value, (int32_t)count);
      } else {
        Adds(dst, dst, value, (int32_t)count);
      }
      return;
    }
    for (int64_t side = 0; side < 2; ++side) {
      const uint64_t turns = side == 0 ? 0x5555555555555555ull : 0xAAAAAAAAAAAAAAAAull;
      const uint64_t mask[2] = {turns >> (kLanes - count), 0};
      const float value = FloatOf(bits[side]);
      if (set) {
        // mutant: constant off by one equivalent: One repeat: strides are not used.
        Duplicate(dst, value, mask, 1, 1, 8);
      } else {
        // mutant: constant off by one of `8` equivalent: One repeat: strides are not used.
        Adds(dst, dst, value, mask, 1, UnaryRepeatParams(1, 1, 8, 8));
      }
    }
  }

  // factor_[8 i ..] = eight times the factor that the sum of squares i makes.
  __aicore__ inline void Factors(int64_t count) {
    OnSides(sum_, count, tiling_.epsilon_bits, false);
    Step();
    Sqrt(sum_, sum_, (int32_t)count);
    Step();
    Div(sum_, scale_, sum_, (int32_t)count);
    Step();
    const int64_t repeats = (count + 7) / 8;
    // mutant: bound off by one equivalent: The extra iteration has no elements.
    for (int64_t i = 0; i < repeats; i += kMaxRepeat) {
      // mutant: drop term, constant off by one of `8`, drop bound, swap + and - equivalent: The UB
      // holds fewer than 255 * 8 rows: the loop runs once.
      Brcb(factor_[(uint32_t)(i * kLanes)], sum_[(uint32_t)(i * 8)],
           (uint8_t)Min(kMaxRepeat, repeats - i), BrcbRepeatParams(1, 8));
    }
    Step();
  }

  __aicore__ inline void TakeSums(const Tile& tile) {
    LocalTensor<float> sums = sums_in_.template DeQue<float>();
    Muls(sum_, sums, 1.0f, (int32_t)(2 * tile.tokens));
    Step();
    sums_in_.FreeTensor(sums);
    Factors(2 * tile.tokens);
  }

  // Rows of a side in a tile: `first` is the first one, of the side and of the tile.
  __aicore__ inline int64_t RowsOf(const Tile& tile, int64_t side, int64_t& of_side,
                                   int64_t& of_tile) {
    const int64_t begin = side == 0 ? 0 : tiling_.heads + (side - 1) * tiling_.kv_heads;
    const int64_t end = tiling_.heads + side * tiling_.kv_heads;
    const int64_t first = Max(begin, tile.row);
    of_side = first - begin;
    of_tile = first - tile.row;
    return Min(end, tile.row + tile.rows) - first;
  }

  __aicore__ inline void Normalise(const Tile& tile, const LocalTensor<float>& x) {
    const int64_t rows = tile.tokens * tile.rows;
    const uint8_t stride = (uint8_t)(pitch_ / 8);
    if (tiling_.has_sums == 0) {
      this->SquareSums(0, x, rows);
      this->BlockSums(sum_, 0, rows);
      Factors(rows);
      OnRows<Do::kMul>(x, x, factor_, rows, pitch_, BinaryRepeatParams(1, 1, 0, stride, stride, 1));
      Step();
    }
    for (int64_t pass = tiling_.has_sums != 0 ? 0 : 1; pass < 2; ++pass) {
      for (int64_t token = 0; token < tile.tokens; ++token) {
        for (int64_t side = 0; side < 2; ++side) Weigh(tile, x, pass, token, side);
      }
      Step();
    }
  }

  // Pass 0: times the factor of the token; 1: times the weight, plus the bias.
  __aicore__ inline void Weigh(const Tile& tile, const LocalTensor<float>& x, int64_t pass,
                               int64_t token, int64_t side) {
    int64_t of_side = 0, of_tile = 0;
    const int64_t rows = RowsOf(tile, side, of_side, of_tile);
    // mutant: drop guard, bound off by one equivalent: With no rows nothing happens either way.
    if (rows <= 0) return;
    const uint8_t stride = (uint8_t)(pitch_ / 8);
    const LocalTensor<float> part = x[(uint32_t)((token * tile.rows + of_tile) * pitch_)];
    if (pass == 0) {
      // One factor for all of them: rows of whole repeats are one after the other.
      // mutant: drop term equivalent: Both branches give the same result; one takes fewer
      // instructions.
      const bool is_whole = pitch_ % kLanes == 0;
      const uint8_t next = is_whole ? 8 : stride;
      OnRows<Do::kMul>(part, part, factor_[(uint32_t)((2 * token + side) * 8)],
                       is_whole ? rows * pitch_ / kLanes : rows, is_whole ? kLanes : pitch_,
                       BinaryRepeatParams(1, 1, 0, next, next, 0));
      return;
    }
    int64_t row = side == 0 ? 0 : side_rows_[0];
    if (tiling_.has_sums != 0) row += of_side - side_first_[side];
    const uint32_t at = (uint32_t)(row * pitch_);
    const LocalTensor<float> weight = weight_buffer_.Get<float>()[at];
    const uint8_t step = tiling_.has_sums != 0 ? stride : 0;
    if (tiling_.has_bias != 0) {
      OnRows<Do::kMulAdd>(part, weight, bias_buffer_.Get<float>()[at], rows, pitch_,
                          BinaryRepeatParams(1, 1, 1, stride, step, step));
    } else {
      OnRows<Do::kMul>(part, part, weight, rows, pitch_,
                       BinaryRepeatParams(1, 1, 1, stride, stride, step));
    }
  }

  // Per token, `angles` are cosines and sines, and `negative` the same by -1.
  __aicore__ inline void Rotate(const Tile& tile, const LocalTensor<float>& x,
                                const LocalTensor<float>& angles,
                                const LocalTensor<float>& negative) {
    const int64_t rows =
        Min(tile.rows, tiling_.heads + tiling_.kv_heads - tile.row);  // the others are of value
    // mutant: drop guard, bound off by one equivalent: With no rows nothing happens either way.
    if (rows <= 0) return;
    const int64_t pitch = tiling_.angles.half_pitch;
    const uint8_t stride = (uint8_t)(pitch_ / 8);
    const BinaryRepeatParams by_sine(1, 1, 1, stride, stride, 0);
    const BinaryRepeatParams by_cosine(1, 1, 1, stride, 0, stride);
    const uint32_t second = (uint32_t)pitch;
    // Products by sines, in the place of the other half; then x itself times cosines, and the sum.
    for (int64_t token = 0; token < tile.tokens; ++token) {
      const uint32_t sines = (uint32_t)((token * 2 + 1) * pitch);
      const uint32_t at = (uint32_t)(token * tile.rows * pitch_);
      OnRows<Do::kMul>(product_[at], x[at + second], negative[sines], rows, pitch, by_sine);
      OnRows<Do::kMul>(product_[at + second], x[at], angles[sines], rows, pitch, by_sine);
    }
    Step();
    for (int64_t token = 0; token < tile.tokens; ++token) {
      const LocalTensor<float> cosines = angles[(uint32_t)(token * 2 * pitch)];
      const uint32_t at = (uint32_t)(token * tile.rows * pitch_);
      OnRows<Do::kMulAdd>(x[at], cosines, product_[at], rows, pitch, by_cosine);
      OnRows<Do::kMulAdd>(x[at + second], cosines, product_[at + second], rows, pitch, by_cosine);
    }
    Step();
  }

  // To the nearest T, ties to even: the only rounding of the kernel.
  __aicore__ inline void Finish(const Tile& tile, const LocalTensor<float>& x) {
    const int64_t elements = tile.tokens * tile.rows * pitch_;
    LocalTensor<T> out = out_.template AllocTensor<T>();
    if constexpr (kIsFloat) {
      Muls(out, x, 1.0f, (int32_t)elements);
    } else {
      Cast(out, x, RoundMode::CAST_RINT, (uint32_t)elements);
    }
    Step();
    this->FreeRows();
    out_.EnQue(out);
    out = out_.template DeQue<T>();
    const LocalTensor<Storage> from = out.template ReinterpretCast<Storage>();
    const GM_ADDR to[3] = {tensors_.q, tensors_.k, tensors_.v};
    // mutant: bound off by one equivalent: The extra iteration has no elements.
    for (int64_t side = 0; side < 3; ++side) {
      int64_t of_side = 0, of_tile = 0;
      const int64_t rows = RowsOf(tile, side, of_side, of_tile);
      // mutant: drop condition of `rows <= 0 || (side == 2 && tiling_.norm_value == 0)`
      // equivalent: A tile has no rows of value where they are copied.
      if (rows <= 0 || (side == 2 && tiling_.norm_value == 0)) continue;
      const int64_t width = (side == 0 ? tiling_.heads : tiling_.kv_heads) * tiling_.head_size;
      GlobalTensor<Storage> gm;
      gm.SetGlobalBuffer((__gm__ Storage*)to[side], tiling_.angles.tokens * width);
      this->template Move<false>(from[(uint32_t)(of_tile * pitch_)],
                                 gm[tile.token * width + of_side * tiling_.head_size], tile, rows,
                                 tiling_.head_size, width);
    }
    out_.FreeTensor(out);
  }

  Tensors tensors_;
  Angles<T> angles_;
  int64_t side_first_[2] = {};  // of the weights of query and of key: this core's first row ...
  int64_t side_rows_[2] = {};   // ... and rows
  int64_t batches_ = 0;         // of positions that were loaded
  TQue<TPosition::VECOUT, 2> out_;
  TQue<TPosition::VECIN, 1> weights_in_;
  TQue<TPosition::VECIN, 2> sums_in_;
  TQueBind<TPosition::VECIN, TPosition::VECOUT, 2> copies_;
  TBuf<TPosition::VECCALC> weight_buffer_;
  TBuf<TPosition::VECCALC> bias_buffer_;
  TBuf<TPosition::VECCALC> negative_buffer_;
  TBuf<TPosition::VECCALC> row_buffer_;
  LocalTensor<float> sum_;
  LocalTensor<float> scale_;
  LocalTensor<float> factor_;
};

template <typename T>
__aicore__ inline void Run(const Tensors& tensors, const QkvRmsnormRopeTiling& tiling) {
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
