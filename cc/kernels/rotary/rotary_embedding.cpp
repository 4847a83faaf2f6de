// cc/kernels/rotary/rotary_embedding.cpp: rotates query and key by their positions.
//
// angles.h finds the cosines and sines of tokens. Of each head, the first rotary_dim elements x are
// rotated; the others are not touched. With h = rotary_dim / 2:
//   NeoX:            y[i] = x[i] c[i] - x[i + h] s[i],     y[i + h] = x[i + h] c[i] + x[i] s[i]
//   GPT-J:           y[2i] = x[2i] c[i] - x[2i + 1] s[i],  y[2i + 1] = x[2i + 1] c[i] + x[2i] s[i]
//   pairs to halves: y[i] = x[2i] c[i] - x[2i + 1] s[i],   y[i + h] = x[2i + 1] c[i] + x[2i] s[i]
// The inverse takes - s for s. Results go where the operands are, or to query_out and key_out.
// Arithmetic is in float; one rounding, to nearest even, makes the result. 0 <= position < rows is
// the caller's promise.
//
// A tile is some tokens with all their heads, query and then key, or some heads of one token. Its
// rows lie in the UB at a pitch of whole blocks; what lies between the end of a row and the pitch
// is loaded as zero, so that instructions may run over it. Cos and sin of a token serve all its
// heads by a repeat stride of 0; those of short rows are repeated to fill the lanes of an
// instruction.
//
// In 16 bits, neighbours change places by shifts of words, and pairs are divided before they are
// widened: Gather takes 13 cycles for 64 elements, where other instructions take 1.
//
// 310P has no DataCopyPad: there, halves of rows are whole blocks, copied by DataCopy. Its Cast
// from float to half knows to nearest even as CAST_NONE.
#include "cc/kernels/device.h"
#include "cc/kernels/rotary/angles.h"
#include "cc/kernels/rotary/rotary_embedding_tiling.h"
#include "kernel_operator.h"

namespace {

using namespace AscendC;
using namespace rotary;

using device::kMaxRepeat;

template <typename T>
class RotaryEmbedding {
  using Storage = typename StorageOf<T>::Type;
  static constexpr bool kIsFloat = sizeof(T) == 4;

 public:
  // `sin` is null when sines follow the cosines of a row.
  __aicore__ inline RotaryEmbedding(TPipe* pipe, GM_ADDR positions, GM_ADDR cos, GM_ADDR sin,
                                    const RotaryEmbeddingTiling& tiling)
      : tiling_(tiling),
        half_(tiling.angles.rotary_dim / 2),
        heads_(tiling.query.heads + tiling.key.heads),
        pitch_(RotaryFactorPitch(tiling)),
        factor_pitch_(RotaryFactorLanes(tiling)),
        angles_(pipe, positions, cos, sin, tiling.angles) {
    const RotaryEmbeddingBuffers bytes = RotaryEmbeddingBuffersOf(tiling, sizeof(T));
    pipe->InitBuffer(in_, 2, (uint32_t)bytes.in);
    pipe->InitBuffer(out_, 2, (uint32_t)bytes.out);
    pipe->InitBuffer(product_buffer_, (uint32_t)bytes.products);
    if constexpr (!kIsFloat) pipe->InitBuffer(wide_buffer_, (uint32_t)bytes.wide);
    if (tiling.style != 1) pipe->InitBuffer(swap_buffer_, (uint32_t)bytes.swapped);
    if (tiling.style == 0) {
      pipe->InitBuffer(spread_buffer_, (uint32_t)bytes.spread);
      pipe->InitBuffer(pair_buffer_, (uint32_t)bytes.pairs);
      MakeTables((int32_t)(bytes.in / sizeof(T)));
    }
    if (factor_pitch_ != pitch_) pipe->InitBuffer(factor_buffer_, (uint32_t)bytes.factors);
  }

  __aicore__ inline void Run(GM_ADDR query, GM_ADDR key, GM_ADDR query_out, GM_ADDR key_out) {
    // mutant: argument off by one of `tiling_.query.token_stride` equivalent: SetGlobalBuffer's
    // size is only a promise of how far accesses go; a larger one changes nothing.
    Attach(query_, query, tiling_.query, tiling_.query.token_stride);
    // mutant: argument off by one of `tiling_.key.token_stride` equivalent: SetGlobalBuffer's size
    // is only a promise of how far accesses go; a larger one changes nothing.
    Attach(key_, key, tiling_.key, tiling_.key.token_stride);
    // mutant: argument off by one of `tiling_.query.out_stride` equivalent: SetGlobalBuffer's size
    // is only a promise of how far accesses go; a larger one changes nothing.
    Attach(query_out_, query_out == nullptr ? query : query_out, tiling_.query,
           tiling_.query.out_stride);
    // mutant: argument off by one of `tiling_.key.out_stride` equivalent: SetGlobalBuffer's size
    // is only a promise of how far accesses go; a larger one changes nothing.
    Attach(key_out_, key_out == nullptr ? key : key_out, tiling_.key, tiling_.key.out_stride);
    // Few tokens have several cores each.
    // mutant: drop term equivalent: Where cores share a token, each group of cores has one token.
    const int64_t cores = GetBlockNum() / tiling_.split;
    const int64_t core = GetBlockIdx() / tiling_.split;
    // mutant: drop term of `heads_ + tiling_.split - 1`, swap + and - of `-`, constant off by one
    // equivalent: Cores share the heads in another way; each head is rotated once.
    const int64_t rows = (heads_ + tiling_.split - 1) / tiling_.split;
    const int64_t from = GetBlockIdx() % tiling_.split * rows;
    end_row_ = Min(heads_, from + rows);
    const device::Share share = device::ShareOf(tiling_.angles.tokens, cores, core);
    for (int64_t first = share.begin; first < share.end; first += tiling_.angles.position_batch) {
      const int64_t count = Min(tiling_.angles.position_batch, share.end - first);
      // mutant: argument off by one of `first != share.begin` equivalent: One more pair of set and
      // wait orders more than needed.
      angles_.LoadPositions(first, count, first != share.begin);
      for (int64_t i = 0; i < count; i += tiling_.angles.tokens_per_tile) {
        const int64_t tokens = Min(tiling_.angles.tokens_per_tile, count - i);
        // The first rows are under way while the positions are waited for.
        LoadRows(first + i, tokens, from);
        if (i == 0) angles_.AwaitPositions();
        angles_.Load(first + i, tokens);
        MakeFactors(tokens);
        // mutant: bound off by one equivalent: The extra iteration has no elements.
        for (int64_t row = from; row < end_row_; row += tiling_.rows_per_tile) {
          if (row > from) LoadRows(first + i, tokens, row);
          Rotate(first + i, tokens, row);
        }
        angles_.Release();
      }
    }
  }

 private:
  __aicore__ inline void Attach(GlobalTensor<Storage>& gm, GM_ADDR address, const RotarySide& side,
                                int64_t token_stride) {
    gm.SetGlobalBuffer((__gm__ Storage*)address,
                       (tiling_.angles.tokens - 1) * token_stride + side.heads * tiling_.head_size);
  }

  // Cos and sin of the tokens whose angles are loaded, as floats in factors_, per token cos and
  // then sin at factor_pitch_; in GPT-J style spread over the pairs, with the signs of sin.
  __aicore__ inline void MakeFactors(int64_t tokens) {
    // The instructions of the former tile have read what is overwritten now.
    // mutant: remove barrier equivalent: Another barrier orders the same accesses.
    PipeBarrier<PIPE_V>();
    factors_ = angles_.Take(tokens);
    if (tiling_.style == 0) Spread(tokens);
    if (factor_pitch_ != pitch_) Repeat(tokens);
  }

  __aicore__ inline void Spread(int64_t tokens) {
    const int64_t pitch = tiling_.row_pitch;
    const LocalTensor<float> spread = spread_buffer_.Get<float>();
    Gather(spread, factors_, pair_buffer_.Get<uint32_t>(), 0, (uint32_t)(tokens * 2 * pitch));
    PipeBarrier<PIPE_V>();
    // Even elements lose the product with sin, odd ones gain it; in the inverse the other way.
    const uint64_t lanes = tiling_.is_inverse ? 0xaaaaaaaaaaaaaaaa : 0x5555555555555555;
    const uint8_t stride = (uint8_t)(2 * pitch / 8);
    for (int64_t lane = 0; lane < pitch; lane += kLanes) {
      const int64_t left = pitch - lane;
      const uint64_t mask[2] = {left < kLanes ? lanes & ((uint64_t{1} << left) - 1) : lanes, 0};
      const LocalTensor<float> sin = spread[(uint32_t)(pitch + lane)];
      Muls(sin, sin, -1.0f, mask, (uint8_t)tokens, UnaryRepeatParams(1, 1, stride, stride));
    }
    PipeBarrier<PIPE_V>();
    factors_ = spread;
  }

  // Rows shorter than the lanes of an instruction lie beside each other in it; so do their factors.
  __aicore__ inline void Repeat(int64_t tokens) {
    const LocalTensor<float> repeated = factor_buffer_.Get<float>();
    // mutant: constant off by one of `8` equivalent: The integer quotient is the same for all
    // values that occur.
    const UnaryRepeatParams params(1, 1, (uint8_t)(kLanes / 8), (uint8_t)(pitch_ / 8));
    for (int64_t at = 0; at < kLanes; at += pitch_) {
      Muls(repeated[(uint32_t)at], factors_, 1.0f, (uint64_t)pitch_, (uint8_t)(2 * tokens), params);
    }
    PipeBarrier<PIPE_V>();
    factors_ = repeated;
  }

  // The byte offset of the cos or sin that each element of a row takes, from those of the tile, and
  // in float that of the partner (4 (j ^ 1)) for all elements of a tile.
  __aicore__ inline void MakeTables(int32_t tile) {
    const int32_t row = (int32_t)tiling_.row_pitch;
    const LocalTensor<int32_t> pair = product_buffer_.Get<int32_t>();
    const LocalTensor<int32_t> offset = pair_buffer_.Get<int32_t>();
    // mutant: argument off by one equivalent: A larger buffer changes nothing, and there is room.
    CreateVecIndex(pair, 0, (uint32_t)row);
    PipeBarrier<PIPE_V>();
    ShiftRight(pair, pair, 1, row);
    PipeBarrier<PIPE_V>();
    Muls(pair, pair, 4, row);
    PipeBarrier<PIPE_V>();
    for (int64_t part = 0; part < 2 * tiling_.angles.tokens_per_tile; ++part) {
      Adds(offset[(uint32_t)(part * row)], pair, (int32_t)(part * tiling_.angles.half_pitch * 4),
           row);
    }
    if constexpr (kIsFloat) {
      const LocalTensor<int32_t> index = swap_buffer_.Get<int32_t>();
      CreateVecIndex(index, 0, (uint32_t)tile);
      PipeBarrier<PIPE_V>();
      ShiftRight(pair, index, 1, tile);
      PipeBarrier<PIPE_V>();
      Muls(pair, pair, 16, tile);
      Muls(index, index, -4, tile);
      PipeBarrier<PIPE_V>();
      Add(index, index, pair, tile);
      PipeBarrier<PIPE_V>();
      Adds(index, index, 4, tile);  // 4 - 4 j + 16 (j / 2): 4 (j + 1) for even j, 4 (j - 1) for odd
    }
  }

  // Heads of each token in the tile that begins with head `row`.
  __aicore__ inline int64_t RowsFrom(int64_t row) {
    return Min(tiling_.rows_per_tile, end_row_ - row);
  }

  __aicore__ inline void LoadRows(int64_t first, int64_t tokens, int64_t row) {
    LocalTensor<T> in = in_.template AllocTensor<T>();
    const LocalTensor<Storage> tile = in.template ReinterpretCast<Storage>();
    const bool halves = tiling_.style == 1;
    Move<true>(tile, query_, tiling_.query, tiling_.query.token_stride, 0, halves, first, tokens,
               row);
    Move<true>(tile, key_, tiling_.key, tiling_.key.token_stride, tiling_.query.heads, halves,
               first, tokens, row);
    in_.EnQue(in);
  }

  __aicore__ inline void Rotate(int64_t first, int64_t tokens, int64_t row) {
    LocalTensor<T> in = in_.template DeQue<T>();
    LocalTensor<T> out = out_.template AllocTensor<T>();
    if (tiling_.style != 0) {
      RotateHalves(out, in, tokens, RowsFrom(row));
    } else {
      RotatePairs(out, in, tokens, RowsFrom(row));
    }
    in_.FreeTensor(in);
    out_.EnQue(out);
    out = out_.template DeQue<T>();
    const LocalTensor<Storage> tile = out.template ReinterpretCast<Storage>();
    const bool halves = tiling_.style != 0;
    Move<false>(tile, query_out_, tiling_.query, tiling_.query.out_stride, 0, halves, first, tokens,
                row);
    Move<false>(tile, key_out_, tiling_.key, tiling_.key.out_stride, tiling_.query.heads, halves,
                first, tokens, row);
    out_.FreeTensor(out);
  }

  // Between GM and a tile: the heads of a side, which begins with head `base` of a token, that are
  // in the tile. As halves the tile holds the first halves of all rows and then the second halves,
  // so that both begin at whole blocks.
  template <bool load>
  __aicore__ inline void Move(const LocalTensor<Storage>& tile, const GlobalTensor<Storage>& gm,
                              const RotarySide& side, int64_t token_stride, int64_t base,
                              bool halves, int64_t first, int64_t tokens, int64_t row) {
    const int64_t rows = RowsFrom(row);
    const int64_t begin = Max(row, base);
    const int64_t heads = Min(row + rows, base + side.heads) - begin;
    if (heads <= 0) return;
    const int64_t parts = halves ? 2 : 1;
    const int64_t length = halves ? half_ : tiling_.angles.rotary_dim;
    const int64_t pitch = halves ? tiling_.angles.half_pitch : tiling_.row_pitch;
    // Tokens without a gap between them are rows like the heads of one token. The plan
    // gives a tile no more rows than a copy may have.
    // mutant: drop term equivalent: One copy for each token gives the same.
    const bool dense = heads == rows && token_stride == heads * tiling_.head_size;
    const int64_t copies = dense ? 1 : tokens;
    const int64_t count = dense ? tokens * heads : heads;
    const uint32_t gap = (uint32_t)((tiling_.head_size - length) * (int64_t)sizeof(T));
    const int64_t place = first * token_stride + (begin - base) * tiling_.head_size;
    for (int64_t part = 0; part < parts; ++part) {
      for (int64_t copy = 0; copy < copies; ++copy) {
        const GlobalTensor<Storage> outside = gm[place + copy * token_stride + part * length];
        const LocalTensor<Storage> inside =
            tile[(uint32_t)(((part * tokens + copy) * rows + begin - row) * pitch)];
        if (!tiling_.angles.has_copy_pad) {
          const uint16_t blocks = (uint16_t)(length * (int64_t)sizeof(T) / ONE_BLK_SIZE);
          const uint16_t skip = (uint16_t)(gap / ONE_BLK_SIZE);
          if constexpr (load) {
            DataCopy(inside, outside, DataCopyParams((uint16_t)count, blocks, skip, 0));
          } else {
            DataCopy(outside, inside, DataCopyParams((uint16_t)count, blocks, 0, skip));
          }
        } else if constexpr (load) {
          const DataCopyExtParams shape((uint16_t)count, (uint32_t)(length * sizeof(T)), gap, 0, 0);
          DataCopyPad(inside, outside, shape, ZeroPadding<Storage>(length, pitch));
        } else {
          const DataCopyExtParams shape((uint16_t)count, (uint32_t)(length * sizeof(T)), 0, gap, 0);
          DataCopyPad(outside, inside, shape);
        }
      }
    }
  }

  // dst = src times the cos, or, `part` being 1, the sin of each token. A run of `rows` rows per
  // token; instructions repeat over the rows of a token or over the tokens, whatever is fewer
  // instructions.
  __aicore__ inline void MulRows(const LocalTensor<float>& dst, const LocalTensor<float>& src,
                                 int64_t part, int64_t tokens, int64_t rows) {
    const int64_t width = factor_pitch_;
    const int64_t run = rows * pitch_;
    const int64_t units = run / width;
    const uint8_t unit = (uint8_t)(width / 8), token = (uint8_t)(run / 8);
    // mutant: drop condition, drop bound, bound off by one, drop term, constant off by one
    // equivalent: Both branches give the same result; one takes fewer instructions.
    if (tokens <= units || run / 8 > kMaxRepeat) {
      const BinaryRepeatParams params(1, 1, 1, unit, unit, 0);
      for (int64_t i = 0; i < tokens; ++i) {
        const int64_t factor = (2 * i + part) * width;
        // mutant: bound off by one equivalent: The UB holds fewer rows than one instruction takes.
        for (int64_t u = 0; u < units; u += kMaxRepeat) {
          MulLanes(dst, src, i * run + u * width, factor, width, Min(kMaxRepeat, units - u),
                   params);
        }
        MulLanes(dst, src, i * run + units * width, factor, run - units * width, 1, params);
      }
    } else {
      const BinaryRepeatParams params(1, 1, 1, token, token, (uint8_t)(2 * unit));
      // mutant: bound off by one equivalent: The extra iteration has no elements.
      for (int64_t at = 0; at < run; at += width) {
        MulLanes(dst, src, at, part * width, Min(width, run - at), tokens, params);
      }
    }
  }

  __aicore__ inline void MulLanes(const LocalTensor<float>& dst, const LocalTensor<float>& src,
                                  int64_t at, int64_t factor, int64_t lanes, int64_t repeats,
                                  const BinaryRepeatParams& params) {
    for (int64_t lane = 0; lane < lanes; lane += kLanes) {
      const uint32_t place = (uint32_t)(at + lane);
      Mul(dst[place], src[place], factors_[(uint32_t)(factor + lane)],
          (uint64_t)Min(kLanes, lanes - lane), (uint8_t)repeats, params);
    }
  }

  // The tile as floats.
  __aicore__ inline LocalTensor<float> Widen(const LocalTensor<T>& in, int64_t elements) {
    if constexpr (kIsFloat) {
      return in;
    } else {
      const LocalTensor<float> wide = wide_buffer_.Get<float>();
      Cast(wide, in, RoundMode::CAST_NONE, (uint32_t)elements);
      PipeBarrier<PIPE_V>();
      return wide;
    }
  }

  // To the nearest T, ties to even: the only rounding of the kernel.
  __aicore__ inline void Narrow(const LocalTensor<T>& out, const LocalTensor<float>& y,
                                int64_t elements) {
    PipeBarrier<PIPE_V>();
    if constexpr (!kIsFloat) {
      const RoundMode mode =
          tiling_.angles.has_copy_pad ? RoundMode::CAST_RINT : RoundMode::CAST_NONE;
      Cast(out, y, mode, (uint32_t)elements);
      PipeBarrier<PIPE_V>();
    }
  }

  // Products with sin first, so that those with cos may take the place of their operands.
  __aicore__ inline void RotateHalves(const LocalTensor<T>& out, const LocalTensor<T>& in,
                                      int64_t tokens, int64_t rows) {
    const int64_t part = tokens * rows * pitch_;
    const LocalTensor<float> x1 = Widen(tiling_.style == 2 ? Divide(in, 2 * part) : in, 2 * part);
    const LocalTensor<float> x2 = x1[(uint32_t)part];
    const LocalTensor<float> product = Product();
    MulRows(product, x2, 1, tokens, rows);
    MulRows(product[(uint32_t)part], x1, 1, tokens, rows);
    PipeBarrier<PIPE_V>();
    MulRows(x1, x1, 0, tokens, rows);
    MulRows(x2, x2, 0, tokens, rows);
    PipeBarrier<PIPE_V>();
    const LocalTensor<float> y1 = Result(out, x1);
    const LocalTensor<float> y2 = y1[(uint32_t)part];
    if (tiling_.is_inverse) {
      Add(y1, x1, product, (int32_t)part);
      Sub(y2, x2, product[(uint32_t)part], (int32_t)part);
    } else {
      Sub(y1, x1, product, (int32_t)part);
      Add(y2, x2, product[(uint32_t)part], (int32_t)part);
    }
    Narrow(out, y1, 2 * part);
  }

  // The first elements of all pairs, and then the second ones.
  __aicore__ inline LocalTensor<T> Divide(const LocalTensor<T>& in, int64_t elements) {
    const LocalTensor<Storage> pairs = in.template ReinterpretCast<Storage>();
    const LocalTensor<Storage> halves = swap_buffer_.Get<Storage>();
    // mutant: constant off by one of `8`, constant off by one of `0` equivalent: One row is
    // copied: strides are not used.
    const GatherMaskParams all(1, 1, 8, 0);
    uint64_t kept = 0;
    // mutant: argument off by one of `(uint32_t)elements` equivalent: The pattern does not take
    // the last element.
    GatherMask(halves, pairs, (uint8_t)1, true, (uint32_t)elements, all, kept);
    GatherMask(halves[(uint32_t)(elements / 2)], pairs, (uint8_t)2, true, (uint32_t)elements, all,
               kept);
    ResetMask();
    PipeBarrier<PIPE_V>();
    return halves.template ReinterpretCast<T>();
  }

  // y = x * cos + partner(x) * (- + sin)
  __aicore__ inline void RotatePairs(const LocalTensor<T>& out, const LocalTensor<T>& in,
                                     int64_t tokens, int64_t rows) {
    const int64_t elements = tokens * rows * pitch_;
    const LocalTensor<float> x = Widen(in, elements);
    const LocalTensor<float> partner = Product();
    if constexpr (kIsFloat) {
      Gather(partner, x, swap_buffer_.Get<uint32_t>(), 0, (uint32_t)elements);
    } else {
      Cast(partner, Swap(in, elements), RoundMode::CAST_NONE, (uint32_t)elements);
    }
    PipeBarrier<PIPE_V>();
    MulRows(partner, partner, 1, tokens, rows);
    const LocalTensor<float> y = Result(out, x);
    MulRows(y, x, 0, tokens, rows);
    PipeBarrier<PIPE_V>();
    Add(y, y, partner, (int32_t)elements);
    Narrow(out, y, elements);
  }

  // Elements 2 i and 2 i + 1 in each other's places: the halves of a word.
  __aicore__ inline LocalTensor<T> Swap(const LocalTensor<T>& in, int64_t elements) {
    const LocalTensor<uint32_t> words = in.template ReinterpretCast<uint32_t>();
    const LocalTensor<uint32_t> swapped = swap_buffer_.Get<uint32_t>();
    const LocalTensor<uint32_t> high = Product().template ReinterpretCast<uint32_t>();
    ShiftRight(swapped, words, uint32_t{16}, (int32_t)(elements / 2));
    ShiftLeft(high, words, uint32_t{16}, (int32_t)(elements / 2));
    PipeBarrier<PIPE_V>();
    Or(swapped.template ReinterpretCast<uint16_t>(), swapped.template ReinterpretCast<uint16_t>(),
       high.template ReinterpretCast<uint16_t>(), (int32_t)elements);
    PipeBarrier<PIPE_V>();
    return swapped.template ReinterpretCast<T>();
  }

  // Half of the banks away from the values that it is added to: operands in the same banks take a
  // cycle more.
  __aicore__ inline LocalTensor<float> Product() {
    return product_buffer_.Get<float>()[(uint32_t)(kRotaryBankGap / 4)];
  }

  // Where the sums go: in float to the result, else where their operands are, to be narrowed.
  __aicore__ inline LocalTensor<float> Result(const LocalTensor<T>& out,
                                              const LocalTensor<float>& wide) {
    if constexpr (kIsFloat) {
      return out;
    } else {
      return wide;
    }
  }

  const RotaryEmbeddingTiling& tiling_;
  int64_t half_;
  int64_t heads_;         // of query and key
  int64_t end_row_ = 0;   // of the heads of a token that this core rotates
  int64_t pitch_;         // elements from row to row, of halves or of pairs
  int64_t factor_pitch_;  // floats of a token's cos, and of its sin
  Angles<T> angles_;
  GlobalTensor<Storage> query_;
  GlobalTensor<Storage> key_;
  GlobalTensor<Storage> query_out_;
  GlobalTensor<Storage> key_out_;
  TQue<TPosition::VECIN, 2> in_;
  TQue<TPosition::VECOUT, 2> out_;
  TBuf<TPosition::VECCALC> wide_buffer_;
  TBuf<TPosition::VECCALC> product_buffer_;
  TBuf<TPosition::VECCALC> spread_buffer_;
  TBuf<TPosition::VECCALC> swap_buffer_;
  TBuf<TPosition::VECCALC> pair_buffer_;
  TBuf<TPosition::VECCALC> factor_buffer_;
  LocalTensor<float> factors_;
};

template <typename T>
__aicore__ inline void Run(GM_ADDR positions, GM_ADDR query, GM_ADDR key, GM_ADDR cos, GM_ADDR sin,
                           GM_ADDR query_out, GM_ADDR key_out,
                           const RotaryEmbeddingTiling& tiling) {
  TPipe pipe;
  RotaryEmbedding<T> kernel(&pipe, positions, cos, sin, tiling);
  kernel.Run(query, key, query_out, key_out);
}

}  // namespace

extern "C" __global__ __aicore__ void rotary_embedding_half(GM_ADDR positions, GM_ADDR query,
                                                            GM_ADDR key, GM_ADDR cos, GM_ADDR sin,
                                                            GM_ADDR query_out, GM_ADDR key_out,
                                                            RotaryEmbeddingTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  Run<half>(positions, query, key, cos, sin, query_out, key_out, tiling);
}

extern "C" __global__ __aicore__ void rotary_embedding_bfloat16(GM_ADDR positions, GM_ADDR query,
                                                                GM_ADDR key, GM_ADDR cos,
                                                                GM_ADDR sin, GM_ADDR query_out,
                                                                GM_ADDR key_out,
                                                                RotaryEmbeddingTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  Run<bfloat16_t>(positions, query, key, cos, sin, query_out, key_out, tiling);
}

extern "C" __global__ __aicore__ void rotary_embedding_float(GM_ADDR positions, GM_ADDR query,
                                                             GM_ADDR key, GM_ADDR cos, GM_ADDR sin,
                                                             GM_ADDR query_out, GM_ADDR key_out,
                                                             RotaryEmbeddingTiling tiling) {
  KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_AIV_ONLY);
  Run<float>(positions, query, key, cos, sin, query_out, key_out, tiling);
}
