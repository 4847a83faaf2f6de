// cc/kernels/rotary/rotary_embedding.cpp: rotates query and key by their positions.
//
// A row of the table is cos and sin of rotary_dim / 2 angles: row p of cos_sin_cache, which is [cos
// | sin], for a token at position p, or row t % rows of cos and sin for token t. With three axes of
// positions each lane takes the row of its axis. Of each head, the first rotary_dim elements x are
// rotated; the others are not touched. With h = rotary_dim / 2:
//   NeoX:            y[i] = x[i] c[i] - x[i + h] s[i],     y[i + h] = x[i + h] c[i] + x[i] s[i]
//   GPT-J:           y[2i] = x[2i] c[i] - x[2i + 1] s[i],  y[2i + 1] = x[2i + 1] c[i] + x[2i] s[i]
//   pairs to halves: y[i] = x[2i] c[i] - x[2i + 1] s[i],   y[i + h] = x[2i + 1] c[i] + x[2i] s[i]
// The inverse takes - s for s. Results go where the operands are, or to query_out and key_out.
// Arithmetic is in float; one rounding, to nearest even, makes the result. 0 <= position < rows is
// the caller's promise.
//
// A tile is some tokens with all their heads, or some heads of one token. Its rows lie in the UB at
// a pitch of whole blocks; what lies between the end of a row and the pitch is loaded as zero, so
// that instructions may run over it. Cos and sin of a token serve all its heads by a repeat stride
// of 0.
//
// 310P has no DataCopyPad: there, halves of rows are whole blocks, copied by DataCopy, and
// positions are read from GM by the scalar unit. Its Cast from float to half knows to nearest even
// as CAST_NONE.
#include "cc/kernels/rotary/rotary_embedding_tiling.h"
#include "kernel_operator.h"

namespace {

using namespace AscendC;

constexpr int64_t kLanes = 64;  // floats of a repeat
constexpr int64_t kMaxRepeat = 255;
constexpr int64_t kMaxRows = 4095;  // blockCount of one copy

__aicore__ inline int64_t Min(int64_t a, int64_t b) { return a < b ? a : b; }

// Moves data: DataCopyPad pads with a zero of this type, which is a zero of the real one.
template <typename T>
struct StorageOf {
  using Type = uint16_t;
};
template <>
struct StorageOf<float> {
  using Type = uint32_t;
};

template <typename T>
class RotaryEmbedding {
  using Storage = typename StorageOf<T>::Type;
  static constexpr bool kIsFloat = sizeof(T) == 4;

 public:
  // `sin` is null when sines follow the cosines of a row.
  __aicore__ inline RotaryEmbedding(TPipe* pipe, GM_ADDR positions, GM_ADDR cos, GM_ADDR sin,
                                    const RotaryEmbeddingTiling& tiling)
      : tiling_(tiling),
        pipe_(pipe),
        half_(tiling.rotary_dim / 2),
        is_separate_(sin != nullptr),
        neox_(tiling.style == 1),
        pairs_(tiling.style != 1) {
    positions_gm_.SetGlobalBuffer((__gm__ int32_t*)positions,
                                  tiling.axes * tiling.tokens * (tiling.position_bytes / 4));
    const int64_t row = is_separate_ ? half_ : tiling.rotary_dim;
    cos_gm_.SetGlobalBuffer((__gm__ Storage*)cos,
                            (tiling.table_rows - 1) * tiling.table_stride + row);
    sin_gm_.SetGlobalBuffer((__gm__ Storage*)sin,
                            (tiling.table_rows - 1) * tiling.table_stride + row);
    const int64_t tokens = tiling.tokens_per_tile;
    const int64_t cos_sin = tiling.axes * tokens * 2 * tiling.half_pitch;
    tile_ = tiling.rows_per_tile * (neox_ ? 2 * tiling.half_pitch : tiling.row_pitch);
    position_pitch_ =
        (tiling.position_batch * tiling.position_bytes + ONE_BLK_SIZE - 1) / ONE_BLK_SIZE * 8;
    if (tiling.has_positions != 0) {
      pipe->InitBuffer(position_buffer_, (uint32_t)(tiling.axes * position_pitch_ * 4));
    }
    pipe->InitBuffer(cos_sin_in_, 2, (uint32_t)(cos_sin * sizeof(T)));
    pipe->InitBuffer(in_, 2, (uint32_t)(tile_ * sizeof(T)));
    pipe->InitBuffer(out_, 2, (uint32_t)(tile_ * sizeof(T)));
    pipe->InitBuffer(product_buffer_, (uint32_t)(tile_ * sizeof(float)));
    if constexpr (!kIsFloat) {
      pipe->InitBuffer(cos_sin_buffer_, (uint32_t)(cos_sin * sizeof(float)));
      pipe->InitBuffer(wide_buffer_, (uint32_t)(tile_ * sizeof(float)));
    }
    if (tiling.style != 0) {
      if constexpr (!kIsFloat) {
        pipe->InitBuffer(result_buffer_, (uint32_t)(tile_ * sizeof(float)));
      }
      if (pairs_) pipe->InitBuffer(swap_buffer_, (uint32_t)(tile_ * sizeof(float)));
    } else {
      pipe->InitBuffer(spread_buffer_, (uint32_t)(tokens * 2 * tiling.row_pitch * sizeof(float)));
      pipe->InitBuffer(swap_buffer_, (uint32_t)(tile_ * sizeof(uint32_t)));
      pipe->InitBuffer(pair_buffer_, (uint32_t)(tiling.row_pitch * sizeof(uint32_t)));
      pipe->InitBuffer(sign_buffer_, (uint32_t)(tiling.row_pitch * sizeof(float)));
      MakeTables();
    }
  }

  __aicore__ inline void Run(GM_ADDR query, GM_ADDR key, GM_ADDR query_out, GM_ADDR key_out) {
    // The first `tokens % cores` cores take one token more than the others.
    const int64_t cores = GetBlockNum();
    const int64_t core = GetBlockIdx();
    const int64_t share = tiling_.tokens / cores;
    const int64_t rest = tiling_.tokens % cores;
    const int64_t begin = core * share + Min(core, rest);
    const int64_t end = begin + share + (core < rest ? 1 : 0);
    for (int64_t first = begin; first < end; first += tiling_.position_batch) {
      const int64_t count = Min(tiling_.position_batch, end - first);
      LoadPositions(first, count, first != begin);
      for (int64_t i = 0; i < count; i += tiling_.tokens_per_tile) {
        const int64_t tokens = Min(tiling_.tokens_per_tile, count - i);
        LocalTensor<T> loaded = LoadCosSin(i, tokens);
        if (tiling_.query.heads > 0) Rotate(query, query_out, tiling_.query, first + i, tokens);
        if (tiling_.key.heads > 0) Rotate(key, key_out, tiling_.key, first + i, tokens);
        // In float the loaded values are what the products have used.
        if constexpr (kIsFloat) cos_sin_in_.FreeTensor(loaded);
      }
    }
  }

 private:
  __aicore__ inline void LoadPositions(int64_t first, int64_t count, bool again) {
    first_ = first;
    if (!tiling_.has_copy_pad || !tiling_.has_positions) return;
    if (again) {
      // The scalar unit has read the former batch before the copy overwrites it.
      const TEventID read = pipe_->FetchEventID(HardEvent::S_MTE2);
      SetFlag<HardEvent::S_MTE2>(read);
      WaitFlag<HardEvent::S_MTE2>(read);
    }
    const LocalTensor<int32_t> positions = position_buffer_.Get<int32_t>();
    const DataCopyExtParams shape(1, (uint32_t)(count * tiling_.position_bytes), 0, 0, 0);
    const DataCopyPadExtParams<int32_t> pad(false, 0, 0, 0);
    for (int64_t axis = 0; axis < tiling_.axes; ++axis) {
      DataCopyPad(positions[(uint32_t)(axis * position_pitch_)],
                  positions_gm_[(axis * tiling_.tokens + first) * (tiling_.position_bytes / 4)],
                  shape, pad);
    }
    const TEventID loaded = pipe_->FetchEventID(HardEvent::MTE2_S);
    SetFlag<HardEvent::MTE2_S>(loaded);
    WaitFlag<HardEvent::MTE2_S>(loaded);
  }

  // The row of the table that token `i` of the batch takes.
  __aicore__ inline int64_t TableRow(int64_t axis, int64_t i) {
    if (!tiling_.has_positions) return (first_ + i) % tiling_.table_rows;
    if (!tiling_.has_copy_pad) {
      const int64_t at = axis * tiling_.tokens + first_ + i;
      return tiling_.position_bytes == 8 ? positions_gm_.ReinterpretCast<int64_t>().GetValue(at)
                                         : (int64_t)positions_gm_.GetValue(at);
    }
    const LocalTensor<int32_t> positions =
        position_buffer_.Get<int32_t>()[(uint32_t)(axis * position_pitch_)];
    return tiling_.position_bytes == 8 ? positions.ReinterpretCast<int64_t>().GetValue((uint32_t)i)
                                       : (int64_t)positions.GetValue((uint32_t)i);
  }

  __aicore__ inline DataCopyPadExtParams<Storage> ZeroPadding(int64_t length, int64_t pitch) {
    return DataCopyPadExtParams<Storage>(true, 0, (uint8_t)(pitch - length), 0);
  }

  // Cos and sin of tokens [i, i + tokens) of the batch as floats in cos_sin_: per token, cos at
  // pitch half_pitch and then sin. In GPT-J style also spread over the pairs, with the signs of
  // sin, in spread_.
  __aicore__ inline LocalTensor<T> LoadCosSin(int64_t i, int64_t tokens) {
    const int64_t pitch = tiling_.half_pitch;
    LocalTensor<T> loaded = cos_sin_in_.template AllocTensor<T>();
    const LocalTensor<Storage> target = loaded.template ReinterpretCast<Storage>();
    for (int64_t axis = 0; axis < tiling_.axes; ++axis) {
      for (int64_t token = 0; token < tokens; ++token) {
        const int64_t row = TableRow(axis, i + token) * tiling_.table_stride;
        const LocalTensor<Storage> place = target[(uint32_t)((axis * tokens + token) * 2 * pitch)];
        if (is_separate_) {
          LoadTable(place, cos_gm_[row], 1);
          LoadTable(place[(uint32_t)pitch], sin_gm_[row], 1);
        } else {
          LoadTable(place, cos_gm_[row], 2);
        }
      }
    }
    cos_sin_in_.EnQue(loaded);
    loaded = cos_sin_in_.template DeQue<T>();
    // The instructions of the former tile have read what is overwritten now.
    PipeBarrier<PIPE_V>();
    if constexpr (kIsFloat) {
      cos_sin_ = loaded;
    } else {
      cos_sin_ = cos_sin_buffer_.Get<float>();
      Cast(cos_sin_, loaded, RoundMode::CAST_NONE, (uint32_t)(tiling_.axes * tokens * 2 * pitch));
      cos_sin_in_.FreeTensor(loaded);
      PipeBarrier<PIPE_V>();
    }
    if (tiling_.axes > 1) {
      TakeLanes(1, tiling_.second, tokens);
      TakeLanes(2, tiling_.third, tokens);
      PipeBarrier<PIPE_V>();
    }
    if (tiling_.style == 0) Spread(tokens);
    return loaded;
  }

  // `parts` halves of a row of the table, one after the other.
  __aicore__ inline void LoadTable(const LocalTensor<Storage>& to,
                                   const GlobalTensor<Storage>& from, int64_t parts) {
    if (tiling_.has_copy_pad) {
      const DataCopyExtParams shape((uint16_t)parts, (uint32_t)(half_ * sizeof(T)), 0, 0, 0);
      DataCopyPad(to, from, shape, ZeroPadding(half_, tiling_.half_pitch));
    } else {
      DataCopy(to, from, (uint32_t)(parts * half_));
    }
  }

  // The lanes whose bits are set get the angles of another axis.
  __aicore__ inline void TakeLanes(int64_t axis, const uint64_t* lanes, int64_t tokens) {
    const int64_t pitch = tiling_.half_pitch;
    const uint32_t other = (uint32_t)(axis * tokens * 2 * pitch);
    const uint8_t stride = (uint8_t)(2 * pitch / 8);
    const UnaryRepeatParams params(1, 1, stride, stride);
    for (uint32_t word = 0; word < 2; ++word) {
      const uint64_t mask[2] = {lanes[word], 0};
      if (mask[0] == 0) continue;
      for (uint32_t part = 0; part < 2; ++part) {
        const uint32_t at = part * (uint32_t)pitch + word * (uint32_t)kLanes;
        Muls(cos_sin_[at], cos_sin_[other + at], 1.0f, mask, (uint8_t)tokens, params);
      }
    }
  }

  __aicore__ inline void Spread(int64_t tokens) {
    const int64_t pitch = tiling_.row_pitch;
    const LocalTensor<float> spread = spread_buffer_.Get<float>();
    const LocalTensor<uint32_t> pairs = pair_buffer_.Get<uint32_t>();
    for (int64_t token = 0; token < tokens; ++token) {
      const LocalTensor<float> from = cos_sin_[(uint32_t)(token * 2 * tiling_.half_pitch)];
      const LocalTensor<float> cos = spread[(uint32_t)(token * 2 * pitch)];
      Gather(cos, from, pairs, 0, (uint32_t)pitch);
      Gather(cos[(uint32_t)pitch], from[(uint32_t)tiling_.half_pitch], pairs, 0, (uint32_t)pitch);
    }
    PipeBarrier<PIPE_V>();
    const LocalTensor<float> signs = sign_buffer_.Get<float>();
    for (int64_t token = 0; token < tokens; ++token) {
      const LocalTensor<float> sin = spread[(uint32_t)((token * 2 + 1) * pitch)];
      Mul(sin, sin, signs, (int32_t)pitch);
    }
    PipeBarrier<PIPE_V>();
  }

  // For element j of a row: the byte offset of its pair's cos (4 (j / 2)), the sign of its sin (-
  // +), and, for all rows of a tile, the byte offset of its partner (4 (j ^ 1)).
  __aicore__ inline void MakeTables() {
    const int32_t tile = (int32_t)tile_;
    const int32_t row = (int32_t)tiling_.row_pitch;
    const LocalTensor<int32_t> index = swap_buffer_.Get<int32_t>();
    const LocalTensor<int32_t> pair = product_buffer_.Get<int32_t>();
    const LocalTensor<int32_t> offset = pair_buffer_.Get<int32_t>();
    const LocalTensor<int32_t> odd = spread_buffer_.Get<int32_t>();
    const LocalTensor<float> sign = sign_buffer_.Get<float>();
    CreateVecIndex(index, 0, (uint32_t)tile);
    PipeBarrier<PIPE_V>();
    ShiftRight(pair, index, 1, tile);
    PipeBarrier<PIPE_V>();
    Muls(offset, pair, 4, row);
    Muls(odd, pair, -2, row);
    PipeBarrier<PIPE_V>();
    Add(odd, odd, index, row);
    Muls(pair, pair, 16, tile);
    PipeBarrier<PIPE_V>();
    Cast(sign, odd, RoundMode::CAST_NONE, (uint32_t)row);
    Muls(index, index, -4, tile);
    PipeBarrier<PIPE_V>();
    Muls(sign, sign, 2.0f, row);
    Add(index, index, pair, tile);
    PipeBarrier<PIPE_V>();
    Adds(sign, sign, -1.0f, row);
    Adds(index, index, 4, tile);  // 4 - 4 j + 16 (j / 2): 4 (j + 1) for even j, 4 (j - 1) for odd
    PipeBarrier<PIPE_V>();
    if (tiling_.is_inverse) {
      Muls(sign, sign, -1.0f, row);
      PipeBarrier<PIPE_V>();
    }
  }

  __aicore__ inline void Rotate(GM_ADDR from, GM_ADDR to, const RotarySide& side, int64_t first,
                                int64_t tokens) {
    GlobalTensor<Storage> source, target;
    const int64_t row = side.heads * tiling_.head_size;
    source.SetGlobalBuffer((__gm__ Storage*)from, (tiling_.tokens - 1) * side.token_stride + row);
    target.SetGlobalBuffer((__gm__ Storage*)(to == nullptr ? from : to),
                           (tiling_.tokens - 1) * side.out_stride + row);
    for (int64_t head = 0; head < side.heads; head += tiling_.rows_per_tile) {
      const int64_t heads = Min(tiling_.rows_per_tile, side.heads - head);
      LocalTensor<T> in = in_.template AllocTensor<T>();
      Move<true>(in.template ReinterpretCast<Storage>(),
                 source[first * side.token_stride + head * tiling_.head_size], side.token_stride,
                 neox_, tokens, heads);
      in_.EnQue(in);
      in = in_.template DeQue<T>();
      LocalTensor<T> out = out_.template AllocTensor<T>();
      if (tiling_.style != 0) {
        RotateHalves(out, in, tokens, heads);
      } else {
        RotatePairs(out, in, tokens, heads);
      }
      in_.FreeTensor(in);
      out_.EnQue(out);
      out = out_.template DeQue<T>();
      Move<false>(out.template ReinterpretCast<Storage>(),
                  target[first * side.out_stride + head * tiling_.head_size], side.out_stride,
                  tiling_.style != 0, tokens, heads);
      out_.FreeTensor(out);
    }
  }

  // Between GM and a tile. As halves the tile holds the first halves of all rows and then the
  // second halves, so that both begin at whole blocks.
  template <bool load>
  __aicore__ inline void Move(const LocalTensor<Storage>& tile, const GlobalTensor<Storage>& gm,
                              int64_t token_stride, bool halves, int64_t tokens, int64_t heads) {
    const int64_t parts = halves ? 2 : 1;
    const int64_t length = halves ? half_ : tiling_.rotary_dim;
    const int64_t pitch = halves ? tiling_.half_pitch : tiling_.row_pitch;
    // Tokens without a gap between them are rows like the heads of one token.
    const bool dense = token_stride == heads * tiling_.head_size && tokens * heads <= kMaxRows;
    const int64_t copies = dense ? 1 : tokens;
    const int64_t rows = dense ? tokens * heads : heads;
    const uint32_t gap = (uint32_t)((tiling_.head_size - length) * (int64_t)sizeof(T));
    for (int64_t part = 0; part < parts; ++part) {
      for (int64_t copy = 0; copy < copies; ++copy) {
        const GlobalTensor<Storage> outside = gm[copy * token_stride + part * length];
        const LocalTensor<Storage> inside =
            tile[(uint32_t)((part * tokens * heads + copy * heads) * pitch)];
        if (!tiling_.has_copy_pad) {
          const uint16_t blocks = (uint16_t)(length * (int64_t)sizeof(T) / ONE_BLK_SIZE);
          const uint16_t skip = (uint16_t)(gap / ONE_BLK_SIZE);
          if constexpr (load) {
            DataCopy(inside, outside, DataCopyParams((uint16_t)rows, blocks, skip, 0));
          } else {
            DataCopy(outside, inside, DataCopyParams((uint16_t)rows, blocks, 0, skip));
          }
        } else if constexpr (load) {
          const DataCopyExtParams shape((uint16_t)rows, (uint32_t)(length * sizeof(T)), gap, 0, 0);
          DataCopyPad(inside, outside, shape, ZeroPadding(length, pitch));
        } else {
          const DataCopyExtParams shape((uint16_t)rows, (uint32_t)(length * sizeof(T)), 0, gap, 0);
          DataCopyPad(outside, inside, shape);
        }
      }
    }
  }

  // dst[row] = src[row] * factor for the heads of one token.
  __aicore__ inline void MulRows(const LocalTensor<float>& dst, const LocalTensor<float>& src,
                                 const LocalTensor<float>& factor, int64_t heads, int64_t pitch) {
    const uint8_t stride = (uint8_t)(pitch / 8);
    const BinaryRepeatParams params(1, 1, 1, stride, stride, 0);
    for (int64_t head = 0; head < heads; head += kMaxRepeat) {
      const uint8_t repeat = (uint8_t)Min(kMaxRepeat, heads - head);
      for (int64_t lane = 0; lane < pitch; lane += kLanes) {
        const uint32_t at = (uint32_t)(head * pitch + lane);
        Mul(dst[at], src[at], factor[(uint32_t)lane], (uint64_t)Min(kLanes, pitch - lane), repeat,
            params);
      }
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
    const RoundMode mode = tiling_.has_copy_pad ? RoundMode::CAST_RINT : RoundMode::CAST_NONE;
    Cast(out, y, mode, (uint32_t)elements);
  }

  __aicore__ inline void RotateHalves(const LocalTensor<T>& out, const LocalTensor<T>& in,
                                      int64_t tokens, int64_t heads) {
    const int64_t pitch = tiling_.half_pitch;
    const int64_t part = tokens * heads * pitch;
    LocalTensor<float> x1 = Widen(in, 2 * part);
    if (pairs_) x1 = Divide(x1, (uint32_t)(2 * part));
    const LocalTensor<float> x2 = x1[(uint32_t)part];
    LocalTensor<float> y1;
    if constexpr (kIsFloat) {
      y1 = out;
    } else {
      y1 = result_buffer_.Get<float>();
    }
    const LocalTensor<float> y2 = y1[(uint32_t)part];
    const LocalTensor<float> product = product_buffer_.Get<float>();
    for (int64_t token = 0; token < tokens; ++token) {
      const LocalTensor<float> cos = cos_sin_[(uint32_t)(token * 2 * pitch)];
      const LocalTensor<float> sin = cos[(uint32_t)pitch];
      const uint32_t at = (uint32_t)(token * heads * pitch);
      MulRows(y1[at], x1[at], cos, heads, pitch);
      MulRows(y2[at], x2[at], cos, heads, pitch);
      MulRows(product[at], x2[at], sin, heads, pitch);
      MulRows(product[(uint32_t)part + at], x1[at], sin, heads, pitch);
    }
    PipeBarrier<PIPE_V>();
    if (tiling_.is_inverse) {
      Add(y1, y1, product, (int32_t)part);
      Sub(y2, y2, product[(uint32_t)part], (int32_t)part);
    } else {
      Sub(y1, y1, product, (int32_t)part);
      Add(y2, y2, product[(uint32_t)part], (int32_t)part);
    }
    PipeBarrier<PIPE_V>();
    if constexpr (!kIsFloat) {
      Narrow(out, y1, 2 * part);
      PipeBarrier<PIPE_V>();
    }
  }

  // The first elements of all pairs, and then the second ones.
  __aicore__ inline LocalTensor<float> Divide(const LocalTensor<float>& pairs, uint32_t elements) {
    const LocalTensor<float> halves = swap_buffer_.Get<float>();
    const GatherMaskParams all(1, 1, 8, 0);
    uint64_t kept = 0;
    GatherMask(halves, pairs, (uint8_t)1, true, elements, all, kept);
    GatherMask(halves[elements / 2], pairs, (uint8_t)2, true, elements, all, kept);
    ResetMask();
    PipeBarrier<PIPE_V>();
    return halves;
  }

  // y = x * cos + partner(x) * (- + sin)
  __aicore__ inline void RotatePairs(const LocalTensor<T>& out, const LocalTensor<T>& in,
                                     int64_t tokens, int64_t heads) {
    const int64_t pitch = tiling_.row_pitch;
    const int64_t elements = tokens * heads * pitch;
    const LocalTensor<float> x = Widen(in, elements);
    const LocalTensor<float> partner = product_buffer_.Get<float>();
    Gather(partner, x, swap_buffer_.Get<uint32_t>(), 0, (uint32_t)elements);
    PipeBarrier<PIPE_V>();
    LocalTensor<float> y = x;
    if constexpr (kIsFloat) y = out;
    const LocalTensor<float> spread = spread_buffer_.Get<float>();
    for (int64_t token = 0; token < tokens; ++token) {
      const LocalTensor<float> cos = spread[(uint32_t)(token * 2 * pitch)];
      const uint32_t at = (uint32_t)(token * heads * pitch);
      MulRows(y[at], x[at], cos, heads, pitch);
      MulRows(partner[at], partner[at], cos[(uint32_t)pitch], heads, pitch);
    }
    PipeBarrier<PIPE_V>();
    Add(y, y, partner, (int32_t)elements);
    PipeBarrier<PIPE_V>();
    if constexpr (!kIsFloat) {
      Narrow(out, y, elements);
      PipeBarrier<PIPE_V>();
    }
  }

  const RotaryEmbeddingTiling& tiling_;
  TPipe* pipe_;
  int64_t half_;
  bool is_separate_;  // cos and sin are tables of their own
  bool neox_;
  bool pairs_;                  // neighbours are read together
  int64_t tile_ = 0;            // elements
  int64_t first_ = 0;           // token of the first position of the batch
  int64_t position_pitch_ = 0;  // words of an axis
  GlobalTensor<int32_t> positions_gm_;
  GlobalTensor<Storage> cos_gm_;
  GlobalTensor<Storage> sin_gm_;
  TBuf<TPosition::VECCALC> position_buffer_;
  TQue<TPosition::VECIN, 2> cos_sin_in_;
  TQue<TPosition::VECIN, 2> in_;
  TQue<TPosition::VECOUT, 2> out_;
  TBuf<TPosition::VECCALC> cos_sin_buffer_;
  TBuf<TPosition::VECCALC> wide_buffer_;
  TBuf<TPosition::VECCALC> result_buffer_;
  TBuf<TPosition::VECCALC> product_buffer_;
  TBuf<TPosition::VECCALC> spread_buffer_;
  TBuf<TPosition::VECCALC> swap_buffer_;
  TBuf<TPosition::VECCALC> pair_buffer_;
  TBuf<TPosition::VECCALC> sign_buffer_;
  LocalTensor<float> cos_sin_;
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
