// cc/softnpu/ascendc/cube.cc: the cube unit of A2 and A3: loads of fractals, products, the fix
// pipe.
//
// Products of half and bfloat16_t are exact in float; sums run over k in float, in order. The chip
// adds the products of a fractal in an order that is not published, so results are `modelled` to a
// few units in the last place of float; integers are exact.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

#include "cc/softnpu/ascendc/cube_unit.h"
#include "cc/softnpu/ascendc/numeric.h"
#include "cc/softnpu/ascendc/semantics.h"

namespace softnpu::ascendc::semantics {
namespace {

constexpr uint64_t kFractalBytes = 512;
constexpr uint64_t kSide = 16;  // rows of a fractal, and rows and columns of one in L0C

uint64_t Ceil(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit; }

enum Quant : int64_t {
  kNoQuant,
  kF322F16,
  kF322BF16,
  kDeqF16,
  kVDeqF16,
  kQF322B8,
  kVQF322B8,
  kReq8,
  kVReq8,
};

// The scales are a tensor with a word per column.
constexpr bool PerColumn(int64_t quant) {
  return quant == kVDeqF16 || quant == kVQF322B8 || quant == kVReq8;
}

void CheckFractal(const Context& ctx, const SoftnpuTensor& tensor, const char* operand,
                  uint64_t unit) {
  if (!ctx.strict() || tensor.address % unit == 0) return;
  ctx.FailAt(Format("%s begins at byte %llu of the %s, which is not a multiple of %llu", operand,
                    static_cast<unsigned long long>(tensor.address), SpaceName(tensor.space),
                    static_cast<unsigned long long>(unit)),
             tensor, tensor.address, tensor.address + kBlockBytes);
}

void RequireSpace(const Context& ctx, const SoftnpuTensor& tensor, const char* operand,
                  std::initializer_list<uint8_t> spaces) {
  for (const uint8_t space : spaces) {
    if (tensor.space == space) return;
  }
  std::string names;
  for (const uint8_t space : spaces) {
    names += std::string(names.empty() ? "" : " or ") + SpaceName(space);
  }
  ctx.Fail(Format("%s lies in %s, it has to lie in %s", operand, SpaceName(tensor.space),
                  names.c_str()));
}

// The fractal, or square block, of the source that a repeat of LoadData takes.
// params: startIndex, repeatTimes, srcStride, dstGap, ..., addrMode (1: downwards)
uint64_t SourceFractal(const Context& ctx, const SoftnpuInstruction& in, uint64_t repeat) {
  const int64_t step = in.params[2] * static_cast<int64_t>(repeat) * (in.params[5] != 0 ? -1 : 1);
  const int64_t index = in.params[0] + step;
  if (index < 0) ctx.Fail(Format("fractal %lld of src", static_cast<long long>(index)));
  return static_cast<uint64_t>(index);
}

// Byte `begin` on of the access `from` is moved to byte `at` on of the access `to`.
void CarryInto(Context& ctx, size_t from, uint64_t begin, uint64_t bytes, size_t to, uint64_t at) {
  const Access& source = ctx.accesses[from];
  const Access& target = ctx.accesses[to];
  ctx.Carry(source, source.base + begin, bytes, target, target.base + at);
}

// Where an operand of a product has no value, the result's row (left) or column (right) has none.
// The elements of line i lie at place(i, p), p < k.
template <typename Place>
std::vector<bool> LinesWithoutValue(const Context& ctx, const Access& access, uint64_t lines,
                                    uint64_t k, uint64_t size, Place&& place) {
  std::vector<bool> out(lines);
  for (uint64_t i = 0; i < lines; ++i) {
    for (uint64_t p = 0; p < k && !out[i]; ++p) {
      const uint64_t at = access.base + place(i, p);
      out[i] = ctx.memories.FirstMissing(access, at, at + size) != at + size;
    }
  }
  return out;
}

}  // namespace

// params: startIndex, repeatTimes, srcStride, dstGap, ifTranspose, addrMode
void LoadData2D(Context& ctx, SoftnpuInstruction& in) {
  const SoftnpuTensor& dst = in.operand[0];
  const SoftnpuTensor& src = in.operand[1];
  ctx.site.SetPipe(src.space == SOFTNPU_SPACE_GM ? SOFTNPU_PIPE_MTE2 : SOFTNPU_PIPE_MTE1);
  RequireSpace(ctx, src, "src", {SOFTNPU_SPACE_L1, SOFTNPU_SPACE_GM});
  RequireSpace(ctx, dst, "dst", {SOFTNPU_SPACE_L0A, SOFTNPU_SPACE_L0B});
  CheckFractal(ctx, dst, "dst", kFractalBytes);
  if (src.space == SOFTNPU_SPACE_L1) CheckFractal(ctx, src, "src", kBlockBytes);
  const auto repeat = static_cast<uint64_t>(in.params[1]);
  const bool transpose = in.params[4] != 0;
  const uint64_t size = TypeBytes(dst.type);
  if (transpose && size != 2) {
    ctx.Fail(Format("ifTranspose takes 16-bit types, not %s: LoadDataWithTranspose takes others",
                    TypeName(dst.type)));
  }
  if (repeat == 0) return;
  for (uint64_t i = 0; i < repeat; ++i) {
    ctx.Add(dst, true, dst.address + i * (1 + static_cast<uint64_t>(in.params[3])) * kFractalBytes,
            kFractalBytes);
    ctx.AddSource(src, src.address + SourceFractal(ctx, in, i) * kFractalBytes, kFractalBytes);
  }
  ctx.Admit();
  for (uint64_t i = 0; i < repeat; ++i) {
    std::byte* const to = ctx.accesses[2 * i].host;
    const std::byte* const from = ctx.accesses[2 * i + 1].host;
    if (!transpose) {
      if (ctx.missing) CarryInto(ctx, 2 * i + 1, 0, kFractalBytes, 2 * i, 0);
      std::memcpy(to, from, kFractalBytes);
      continue;
    }
    for (uint64_t row = 0; row < kSide; ++row) {
      for (uint64_t column = 0; column < kSide; ++column) {
        const uint64_t target = (column * kSide + row) * 2;
        const uint64_t source = (row * kSide + column) * 2;
        if (ctx.missing) CarryInto(ctx, 2 * i + 1, source, 2, 2 * i, target);
        std::memcpy(to + target, from + source, 2);
      }
    }
  }
  ctx.Commit();
}

// params: startIndex, repeatTimes, srcStride, dstGap, dstFracGap, addrMode. A square block of the
// source: 16 x 16 of 2 bytes (a fractal), 32 x 32 of 1 byte and 16 x 16 of 4 bytes (two fractals).
void LoadTransposed(Context& ctx, SoftnpuInstruction& in) {
  const SoftnpuTensor& dst = in.operand[0];
  const SoftnpuTensor& src = in.operand[1];
  ctx.site.SetPipe(SOFTNPU_PIPE_MTE1);
  RequireSpace(ctx, src, "src", {SOFTNPU_SPACE_L1});
  RequireSpace(ctx, dst, "dst", {SOFTNPU_SPACE_L0A, SOFTNPU_SPACE_L0B});
  CheckFractal(ctx, dst, "dst", kFractalBytes);
  CheckFractal(ctx, src, "src", kBlockBytes);
  const uint64_t size = TypeBytes(dst.type);
  if (size != 1 && size != 2 && size != 4)
    ctx.Fail(Format("no transposition of %s", TypeName(dst.type)));
  const uint64_t side = size == 1 ? 32 : 16;
  const uint64_t c0 = kBlockBytes / size;
  const uint64_t fractals = size == 2 ? 1 : 2;
  const auto repeat = static_cast<uint64_t>(in.params[1]);
  if (repeat == 0) return;
  const auto frac_gap = static_cast<uint64_t>(in.params[4]);
  for (uint64_t i = 0; i < repeat; ++i) {
    ctx.AddSource(src, src.address + SourceFractal(ctx, in, i) * fractals * kFractalBytes,
                  fractals * kFractalBytes);
    const uint64_t head = i * (1 + static_cast<uint64_t>(in.params[3])) * kFractalBytes;
    for (uint64_t f = 0; f < fractals; ++f) {
      ctx.Add(dst, true, dst.address + head + f * (1 + frac_gap) * kFractalBytes, kFractalBytes);
    }
  }
  ctx.Admit();
  for (uint64_t i = 0; i < repeat; ++i) {
    const size_t first = i * (1 + fractals);
    const std::byte* const from = ctx.accesses[first].host;
    for (uint64_t row = 0; row < side; ++row) {
      for (uint64_t column = 0; column < side; ++column) {
        // Source: rows of 32 bytes; 4-byte blocks are two fractals side by side.
        const std::byte* const at =
            size == 4 ? from + column / c0 * kFractalBytes + (row * c0 + column % c0) * 4
                      : from + (row * c0 + column) * size;
        // Destination: row `column`, the fractal that holds element `row` of it.
        const uint64_t fractal = size == 1 ? column / kSide : size == 4 ? row / c0 : 0;
        const uint64_t line = size == 1 ? column % kSide : column;
        std::byte* const to = ctx.accesses[first + 1 + fractal].host;
        const uint64_t target = (line * c0 + row % c0) * size;
        if (ctx.missing) {
          CarryInto(ctx, first, static_cast<uint64_t>(at - from), size, first + 1 + fractal,
                    target);
        }
        std::memcpy(to + target, at, size);
      }
    }
  }
  ctx.Commit();
}

// What LoadData takes from registers where its configuration says so.
void SetLoad3D(Context& ctx, SoftnpuInstruction& in) {
  Registers& registers = ctx.registers;
  switch (in.opcode) {
    case SOFTNPU_OP_SET_FMATRIX:
      ctx.CheckLimit("l1H", in.params[1], 1, 32767);
      ctx.CheckLimit("l1W", in.params[2], 1, 32767);
      for (int i = 0; i < 3; ++i) registers.fmatrix[i] = in.params[i];
      return;
    case SOFTNPU_OP_SET_LOAD_PADDING:
      registers.load_padding_set = true;
      registers.load_padding = in.scalar;
      return;
    case SOFTNPU_OP_SET_LOAD_REPEAT:
      ctx.CheckLimit("repeatTime", in.params[0], 0, 255);
      registers.load_repeat = in.params[0];
      return;
    default:
      registers.load_boundary = static_cast<uint64_t>(in.params[0]);
  }
}

// params: pads, l1H, l1W, channelSize, kExtension, mExtension, kStartPt, mStartPt, strideW,
// strideH, filterW, filterH, dilationW, dilationH, enTranspose, what comes from registers
void LoadData3D(Context& ctx, SoftnpuInstruction& in) {
  const Registers& registers = ctx.registers;
  if ((in.params[15] & 1) != 0) {
    if (registers.fmatrix[1] == 0) ctx.Fail("isSetFMatrix is false, but SetFmatrix was not called");
    for (int i = 0; i < 3; ++i) in.params[i] = registers.fmatrix[i];
  }
  if ((in.params[15] & 2) != 0) {
    if (!registers.load_padding_set) {
      ctx.Fail("isSetPadding is false, but SetLoadDataPaddingValue was not called");
    }
    in.scalar = registers.load_padding;
  }
  if (registers.load_repeat == 0) return;
  if (registers.load_repeat != 1) {
    ctx.Fail(Format("SetLoadDataRepeat with repeatTime %lld is not supported by SoftNPU",
                    static_cast<long long>(registers.load_repeat)));
  }
  const SoftnpuTensor& dst = in.operand[0];
  const SoftnpuTensor& src = in.operand[1];
  ctx.site.SetPipe(SOFTNPU_PIPE_MTE1);
  RequireSpace(ctx, src, "src", {SOFTNPU_SPACE_L1});
  RequireSpace(ctx, dst, "dst", {SOFTNPU_SPACE_L0A, SOFTNPU_SPACE_L0B});
  CheckFractal(ctx, dst, "dst", kFractalBytes);
  const auto field = [&](int i) { return in.params[i]; };
  if (field(14) != 0) ctx.Fail("enTranspose is not supported by SoftNPU");
  const int64_t pad[4] = {field(0) & 255, field(0) >> 8 & 255, field(0) >> 16 & 255,
                          field(0) >> 24 & 255};
  const int64_t height = field(1), width = field(2);
  const auto size = static_cast<int64_t>(TypeBytes(dst.type));
  if (size == 0) ctx.Fail(Format("LoadData does not take %s", TypeName(dst.type)));
  const int64_t c0 = static_cast<int64_t>(kBlockBytes) / size;
  const int64_t kh = field(11), kw = field(10);
  if (field(8) < 1 || field(9) < 1 || kh < 1 || kw < 1 || field(12) < 1 || field(13) < 1) {
    ctx.Fail("strides, filter sizes and dilations have to be at least 1");
  }
  const int64_t out_w = (width + pad[0] + pad[1] - field(12) * (kw - 1) - 1) / field(8) + 1;
  const int64_t out_h = (height + pad[2] + pad[3] - field(13) * (kh - 1) - 1) / field(9) + 1;
  const int64_t channel_blocks = (field(3) + c0 - 1) / c0;
  const int64_t k_total = channel_blocks * kh * kw * c0;
  const int64_t k = field(4), m = field(5), k0 = field(6), m0 = field(7);
  if (k % c0 != 0 || k0 % c0 != 0 || k0 + k > k_total) {
    ctx.Fail(Format("columns [%lld, %lld) of %lld; both ends are multiples of %lld",
                    static_cast<long long>(k0), static_cast<long long>(k0 + k),
                    static_cast<long long>(k_total), static_cast<long long>(c0)));
  }
  if (m0 % 16 != 0 || m == 0 || k == 0) {
    ctx.Fail(Format("mStartPt %lld is not a multiple of 16, or an extension is 0",
                    static_cast<long long>(m0)));
  }
  const auto source_bytes = static_cast<uint64_t>(channel_blocks * height * width) * kBlockBytes;
  if (registers.load_boundary != 0 && src.address + source_bytes > registers.load_boundary) {
    ctx.Fail(
        Format("the source ends at byte %llu of L1, beyond the boundary %llu of "
               "SetLoadDataBoundary: to go on from the beginning is not supported by SoftNPU",
               static_cast<unsigned long long>(src.address + source_bytes),
               static_cast<unsigned long long>(registers.load_boundary)));
  }
  const int64_t m_blocks = (m + 15) / 16;
  ctx.Add(dst, true, dst.address, static_cast<uint64_t>(m_blocks * (k / c0)) * kFractalBytes);
  ctx.AddSource(src, src.address, source_bytes);
  ctx.Admit();
  std::byte* const to = ctx.accesses[0].host;
  const std::byte* const from = ctx.accesses[1].host;
  for (int64_t mb = 0; mb < m_blocks; ++mb) {
    for (int64_t kb = 0; kb < k / c0; ++kb) {
      std::byte* const fractal = to + (mb * (k / c0) + kb) * static_cast<int64_t>(kFractalBytes);
      const int64_t column = k0 / c0 + kb;  // (c1, kh, kw)
      const int64_t c1 = column / (kh * kw), y = column / kw % kh, x = column % kw;
      for (int64_t row = 0; row < 16; ++row) {
        const int64_t position = m0 + mb * 16 + row;
        const int64_t iy = position / out_w * field(9) - pad[2] + y * field(13);
        const int64_t ix = position % out_w * field(8) - pad[0] + x * field(12);
        std::byte* const block = fractal + row * static_cast<int64_t>(kBlockBytes);
        if (position >= out_h * out_w || mb * 16 + row >= m || iy < 0 || iy >= height || ix < 0 ||
            ix >= width) {
          for (int64_t c = 0; c < c0; ++c) {
            std::memcpy(block + c * size, &in.scalar, static_cast<size_t>(size));
          }
          continue;
        }
        const int64_t source =
            ((c1 * height + iy) * width + ix) * static_cast<int64_t>(kBlockBytes);
        if (ctx.missing) {
          CarryInto(ctx, 1, static_cast<uint64_t>(source), kBlockBytes, 0,
                    static_cast<uint64_t>(block - to));
        }
        std::memcpy(block, from + source, kBlockBytes);
      }
    }
  }
  ctx.Commit();
}

// params: repeatTimes, blockNum, dstGap; a block is 32 bytes in L1 and a fractal in L0.
void InitConst(Context& ctx, SoftnpuInstruction& in) {
  const SoftnpuTensor& dst = in.operand[0];
  RequireSpace(ctx, dst, "dst", {SOFTNPU_SPACE_L1, SOFTNPU_SPACE_L0A, SOFTNPU_SPACE_L0B});
  ctx.site.SetPipe(dst.space == SOFTNPU_SPACE_L1 ? SOFTNPU_PIPE_MTE2 : SOFTNPU_PIPE_MTE1);
  const uint64_t unit = dst.space == SOFTNPU_SPACE_L1 ? kBlockBytes : kFractalBytes;
  const auto repeat = static_cast<uint64_t>(in.params[0]);
  const uint64_t bytes = static_cast<uint64_t>(in.params[1]) * unit;
  const uint64_t gap = static_cast<uint64_t>(in.params[2]) * unit;
  if (repeat == 0 || bytes == 0) return;
  CheckFractal(ctx, dst, "dst", unit);
  ctx.Add(dst, true, dst.address, bytes, repeat, bytes + gap);
  ctx.Admit();
  const uint64_t size = TypeBytes(dst.type);
  for (uint64_t i = 0; i < repeat; ++i) {
    for (uint64_t at = 0; at < bytes; at += size) {
      std::memcpy(ctx.accesses[0].host + i * (bytes + gap) + at, &in.scalar, size);
    }
  }
  ctx.Commit();
}

// A product of so many whole fractals is over before the next one of its pipe reads its sums: the
// vendor's libraries leave out PipeBarrier<PIPE_M> from here on.
constexpr uint64_t kOrderedFractals = 10;

// params: m, n, k, cmatrixInitVal, kDirectionAlign, sparse or Winograd
void Mmad(Context& ctx, SoftnpuInstruction& in) {
  const SoftnpuTensor& dst = in.operand[0];
  const SoftnpuTensor& a = in.operand[1];
  const SoftnpuTensor& b = in.operand[2];
  ctx.site.SetPipe(SOFTNPU_PIPE_M);
  RequireSpace(ctx, dst, "dst", {SOFTNPU_SPACE_L0C});
  RequireSpace(ctx, a, "the left matrix", {SOFTNPU_SPACE_L0A});
  RequireSpace(ctx, b, "the right matrix", {SOFTNPU_SPACE_L0B});
  CheckFractal(ctx, dst, "dst", 1024);
  CheckFractal(ctx, a, "the left matrix", kFractalBytes);
  CheckFractal(ctx, b, "the right matrix", kFractalBytes);
  if (in.params[5] != 0) ctx.Fail("sparse and Winograd products are not supported by SoftNPU");
  const bool integer = a.type == SOFTNPU_INT8;
  const bool floats =
      a.type == SOFTNPU_FLOAT16 || a.type == SOFTNPU_BFLOAT16 || a.type == SOFTNPU_FLOAT;
  if (a.type != b.type || (!integer && !floats) ||
      dst.type != (integer ? SOFTNPU_INT32 : SOFTNPU_FLOAT)) {
    ctx.Fail(Format("there is no product of %s and %s into %s", TypeName(a.type), TypeName(b.type),
                    TypeName(dst.type)));
  }
  for (int i = 0; i < 3; ++i) {
    if (in.params[i] < 0 || in.params[i] > 4095) {
      ctx.Fail(Format("%c = %lld, the limits are 0 and 4095", "mnk"[i],
                      static_cast<long long>(in.params[i])));
    }
  }
  const auto m = static_cast<uint64_t>(in.params[0]);
  const auto n = static_cast<uint64_t>(in.params[1]);
  const auto k = static_cast<uint64_t>(in.params[2]);
  if (m == 0 || n == 0 || k == 0) return;
  const uint64_t size = TypeBytes(a.type);
  const uint64_t c0 = kBlockBytes / size;
  const uint64_t mb = Ceil(m, kSide), nb = Ceil(n, kSide);
  const uint64_t kb = Ceil(k, size == 4 && in.params[4] != 0 ? kSide : c0) *
                      (size == 4 && in.params[4] != 0 ? 2 : 1);
  const bool first = in.params[3] != 0;
  const bool bias = in.operand_count == 4;
  ctx.Add(dst, true, dst.address, mb * nb * 1024);
  ctx.AddSource(a, a.address, mb * kb * kFractalBytes);
  ctx.AddSource(b, b.address, kb * nb * kFractalBytes);
  if (bias) {
    RequireSpace(ctx, in.operand[3], "the bias", {SOFTNPU_SPACE_BT});
    ctx.Add(in.operand[3], false, in.operand[3].address, n * 4);
  } else if (!first) {
    ctx.AddSource(dst, dst.address, mb * nb * 1024);
  }
  ctx.Admit();
  if (ctx.missing) {
    const auto left = [&](uint64_t i, uint64_t p) {
      return (i / kSide * kb + p / c0) * kFractalBytes + (i % kSide * c0 + p % c0) * size;
    };
    const auto right = [&](uint64_t j, uint64_t p) {
      return (p / c0 * nb + j / kSide) * kFractalBytes + (j % kSide * c0 + p % c0) * size;
    };
    const auto rows = LinesWithoutValue(ctx, ctx.accesses[1], mb * kSide, k, size, left);
    const auto columns = LinesWithoutValue(ctx, ctx.accesses[2], nb * kSide, k, size, right);
    for (uint64_t j = 0; j < nb * kSide; ++j) {
      for (uint64_t i = 0; i < mb * kSide; ++i) {
        const uint64_t at = dst.address + ((j / kSide * mb * kSide + i) * kSide + j % kSide) * 4;
        const bool old =
            !bias && !first && ctx.memories.FirstMissing(SOFTNPU_SPACE_L0C, at, at + 4) != at + 4;
        if (rows[i] || columns[j] || old) {
          ctx.Spoil(SOFTNPU_SPACE_L0C, at, at + 4,
                    rows[i]      ? a
                    : columns[j] ? b
                                 : dst,
                    rows[i]      ? a.address + left(i, 0)
                    : columns[j] ? b.address + right(j, 0)
                                 : at);
        }
      }
    }
  }
  std::byte* const out = ctx.accesses[0].host;
  const std::byte* const left = ctx.accesses[1].host;
  const std::byte* const right = ctx.accesses[2].host;
  const std::byte* const start = bias ? ctx.accesses[3].host : nullptr;

  const auto product = [&]<typename Sum, typename Load>(Load&& load) {
    // The left rows and the right columns as contiguous runs of k.
    std::vector<Sum> rows(mb * kSide * k), columns(nb * kSide * k);
    for (uint64_t i = 0; i < mb * kSide; ++i) {
      for (uint64_t p = 0; p < k; ++p) {
        const uint64_t fractal = i / kSide * kb + p / c0;
        rows[i * k + p] = load(left + fractal * kFractalBytes + (i % kSide * c0 + p % c0) * size);
      }
    }
    for (uint64_t p = 0; p < k; ++p) {
      for (uint64_t j = 0; j < nb * kSide; ++j) {
        const uint64_t fractal = p / c0 * nb + j / kSide;
        columns[p * nb * kSide + j] =
            load(right + fractal * kFractalBytes + (j % kSide * c0 + p % c0) * size);
      }
    }
    std::vector<Sum> row(nb * kSide);
    for (uint64_t i = 0; i < mb * kSide; ++i) {
      const auto at = [&](uint64_t j) {
        return out + ((j / kSide * mb * kSide + i) * kSide + j % kSide) * sizeof(Sum);
      };
      for (uint64_t j = 0; j < row.size(); ++j) {
        row[j] = 0;
        if (bias) {
          if (j < n) std::memcpy(&row[j], start + j * sizeof(Sum), sizeof(Sum));
        } else if (!first) {
          std::memcpy(&row[j], at(j), sizeof(Sum));
        }
      }
      for (uint64_t p = 0; p < k; ++p) {
        const Sum x = rows[i * k + p];
        const Sum* const y = &columns[p * nb * kSide];
        for (uint64_t j = 0; j < row.size(); ++j) row[j] += x * y[j];
      }
      for (uint64_t j = 0; j < row.size(); ++j) std::memcpy(at(j), &row[j], sizeof(Sum));
    }
  };
  if (integer) {
    // Wraps as the chip's accumulator does.
    product.operator()<uint32_t>([](const std::byte* at) {
      return static_cast<uint32_t>(static_cast<int32_t>(static_cast<int8_t>(*at)));
    });
  } else {
    const uint8_t type = a.type;
    product.operator()<float>([type](const std::byte* at) { return LoadFloat(type, at); });
  }
  ctx.Commit();
  if (m / kSide * (n / kSide) >= kOrderedFractals) ctx.order.clocks().Barrier(SOFTNPU_PIPE_M);
}

// params: nSize, mSize, srcStride, dstStride, quantPre, ndNum, srcNdStride, dstNdStride, reluEn,
// layout, isChannelSplit
void Fixpipe(Context& ctx, SoftnpuInstruction& in) {
  const SoftnpuTensor& dst = in.operand[0];
  const SoftnpuTensor& src = in.operand[1];
  ctx.site.SetPipe(SOFTNPU_PIPE_FIX);
  RequireSpace(ctx, src, "src", {SOFTNPU_SPACE_L0C});
  RequireSpace(ctx, dst, "dst", {SOFTNPU_SPACE_GM, SOFTNPU_SPACE_L1});
  CheckFractal(ctx, src, "src", 64);
  const auto n = static_cast<uint64_t>(in.params[0]);
  const auto m = static_cast<uint64_t>(in.params[1]);
  const auto source_rows = static_cast<uint64_t>(in.params[2]);
  const auto pitch = static_cast<uint64_t>(in.params[3]);
  const int64_t quant = in.params[4];
  const bool relu = in.params[8] != 0;
  const bool row_major = in.params[9] == 1;
  if (in.params[9] > 1) ctx.Fail("COLUMN_MAJOR is not supported on this chip");
  if (in.params[10] != 0) ctx.Fail("isChannelSplit is not supported by SoftNPU");
  if (n == 0 || m == 0) return;
  if (source_rows < m || source_rows % kSide != 0) {
    ctx.Fail(
        Format("srcStride %llu: a column of L0C has at least mSize (%llu) rows, a multiple of 16",
               static_cast<unsigned long long>(source_rows), static_cast<unsigned long long>(m)));
  }
  const bool from_float = src.type == SOFTNPU_FLOAT;
  struct Pair {
    int64_t quant;
    uint8_t from, to;
  };
  constexpr Pair kPairs[] = {
      {kNoQuant, SOFTNPU_FLOAT, SOFTNPU_FLOAT},   {kNoQuant, SOFTNPU_INT32, SOFTNPU_INT32},
      {kF322F16, SOFTNPU_FLOAT, SOFTNPU_FLOAT16}, {kF322BF16, SOFTNPU_FLOAT, SOFTNPU_BFLOAT16},
      {kDeqF16, SOFTNPU_INT32, SOFTNPU_FLOAT16},  {kVDeqF16, SOFTNPU_INT32, SOFTNPU_FLOAT16},
      {kQF322B8, SOFTNPU_FLOAT, SOFTNPU_INT8},    {kVQF322B8, SOFTNPU_FLOAT, SOFTNPU_INT8},
      {kReq8, SOFTNPU_INT32, SOFTNPU_INT8},       {kVReq8, SOFTNPU_INT32, SOFTNPU_INT8}};
  const bool known = std::any_of(std::begin(kPairs), std::end(kPairs), [&](const Pair& pair) {
    return pair.quant == quant && pair.from == src.type && pair.to == dst.type;
  });
  if (!known) {
    ctx.Fail(Format("quantPre %lld does not make %s of %s", static_cast<long long>(quant),
                    TypeName(dst.type), TypeName(src.type)));
  }
  const bool per_column = PerColumn(quant);
  if (per_column != (in.operand_count == 3)) {
    ctx.Fail(per_column ? "this quantPre takes a tensor of scales"
                        : "this quantPre takes no scales");
  }
  const uint64_t size = TypeBytes(dst.type);
  const uint64_t c0 = kBlockBytes / size;
  const uint64_t width = row_major ? 1 : (size == 4 ? kSide : c0);  // columns of an NZ fractal
  const auto matrices = static_cast<uint64_t>(std::max<int64_t>(in.params[5], 1));
  const uint64_t blocks = Ceil(n, kSide);
  if (row_major && pitch < n) {
    ctx.Fail(Format("dstStride %llu is less than the %llu columns",
                    static_cast<unsigned long long>(pitch), static_cast<unsigned long long>(n)));
  }
  const auto source_step = static_cast<uint64_t>(in.params[6]) * 1024;
  const auto target_step = static_cast<uint64_t>(in.params[7]) * size;
  const uint64_t nz_columns = row_major ? 0 : Ceil(n, width);
  size_t per_matrix = 0;
  for (uint64_t matrix = 0; matrix < matrices; ++matrix) {
    const size_t before = ctx.accesses.size();
    const uint64_t base = dst.address + matrix * target_step;
    if (row_major) {
      ctx.Add(dst, true, base, n * size, m, pitch * size);
    } else {
      for (uint64_t c = 0; c < nz_columns; ++c) {
        ctx.Add(dst, true, base + c * pitch * kBlockBytes, m * width * size);
      }
    }
    for (uint64_t j = 0; j < blocks; ++j) {
      // Of rows, the columns beyond the last are not handed out.
      const uint64_t wide = row_major ? std::min<uint64_t>(kSide, n - j * kSide) : kSide;
      ctx.Add(src, false, src.address + matrix * source_step + j * source_rows * kSide * 4,
              wide * 4, m, kSide * 4);
    }
    per_matrix = ctx.accesses.size() - before;
  }
  if (per_column) ctx.Add(in.operand[2], false, in.operand[2].address, n * 8);
  ctx.Admit();
  const float scale = std::bit_cast<float>(static_cast<uint32_t>(in.scalar));
  const std::byte* const scales = per_column ? ctx.accesses.back().host : nullptr;
  for (uint64_t matrix = 0; matrix < matrices; ++matrix) {
    const Access* const access = &ctx.accesses[matrix * per_matrix];
    const Access* const sources = access + (row_major ? 1 : nz_columns);
    for (uint64_t i = 0; i < m; ++i) {
      for (uint64_t j = 0; j < (row_major ? n : nz_columns * width); ++j) {
        std::byte* const to = row_major ? access[0].host + i * pitch * size + j * size
                                        : access[j / width].host + (i * width + j % width) * size;
        if (j >= blocks * kSide) {
          std::memset(to, 0, size);
          continue;
        }
        const std::byte* const from = sources[j / kSide].host + (i * kSide + j % kSide) * 4;
        int32_t integer = 0;
        float value = 0;
        if (from_float) {
          std::memcpy(&value, from, 4);
        } else {
          std::memcpy(&integer, from, 4);
          value = static_cast<float>(integer);
        }
        if (relu) {
          value = value > 0 ? value : 0;
          integer = std::max(integer, 0);
        }
        float factor = scale;
        if (per_column && j < n) {
          uint64_t word = 0;
          std::memcpy(&word, scales + j * 8, 8);
          factor = std::bit_cast<float>(static_cast<uint32_t>(word));
        }
        switch (quant) {
          case kNoQuant:
            if (from_float) {
              std::memcpy(to, &value, 4);
            } else {
              std::memcpy(to, &integer, 4);
            }
            break;
          case kF322F16:
          case kDeqF16:
          case kVDeqF16: {
            const uint16_t bits = numeric::FloatToHalf(quant == kF322F16 ? value : value * factor);
            std::memcpy(to, &bits, 2);
            break;
          }
          case kF322BF16: {
            const uint16_t bits = numeric::FloatToBfloat16(value);
            std::memcpy(to, &bits, 2);
            break;
          }
          default: {
            const auto byte = static_cast<int8_t>(SaturatedInt8(value * factor));
            std::memcpy(to, &byte, 1);
            break;
          }
        }
      }
    }
  }
  ctx.Commit();
}

// Fixpipe whose matrices and scales were set beforehand.
void CopyL0c(Context& ctx, SoftnpuInstruction& in) {
  const int64_t quant = in.params[4];
  if (in.params[9] == 1) {
    if (ctx.registers.nz2nd[0] == 0) ctx.Fail("nz2ndEn needs SetFixpipeNz2ndFlag before the copy");
    if (in.operand[0].space != SOFTNPU_SPACE_GM) ctx.Fail("nz2ndEn is for copies to GM");
    std::copy_n(ctx.registers.nz2nd, 3, &in.params[5]);
  } else {
    if (in.params[0] % static_cast<int64_t>(kSide) != 0) {
      ctx.Fail(Format("nSize %lld has to be a multiple of %llu without nz2ndEn",
                      static_cast<long long>(in.params[0]),
                      static_cast<unsigned long long>(kSide)));
    }
    in.params[5] = 1;
  }
  if (in.params[3] == 0) ctx.Fail("dstStride is 0");
  if (quant == kDeqF16 || quant == kQF322B8 || quant == kReq8) {
    if (!ctx.registers.pre_quant_set) {
      ctx.Fail("this quantPre needs SetFixpipePreQuantFlag before the copy");
    }
    in.scalar = ctx.registers.pre_quant;
  } else if (PerColumn(quant)) {
    if (ctx.registers.fixpipe_scales.space == SOFTNPU_SPACE_NONE) {
      ctx.Fail("this quantPre needs SetFixPipeConfig before the copy");
    }
    in.operand[2] = ctx.registers.fixpipe_scales;
    in.operand_count = 3;
  }
  Fixpipe(ctx, in);
}

void SetNz2Nd(Context& ctx, SoftnpuInstruction& in) {
  constexpr struct {
    const char* name;
    int64_t limit;
  } kFields[] = {{"ndNum", 65535}, {"srcNdStride", 512}, {"dstNdStride", 65535}};
  for (int i = 0; i < 3; ++i) {
    if (in.params[i] < 1 || in.params[i] > kFields[i].limit) {
      ctx.Fail(Format("%s %lld is not in [1, %lld]", kFields[i].name,
                      static_cast<long long>(in.params[i]),
                      static_cast<long long>(kFields[i].limit)));
    }
  }
  std::copy_n(in.params, 3, ctx.registers.nz2nd);
}

void SetPreQuant(Context& ctx, SoftnpuInstruction& in) {
  ctx.registers.pre_quant = in.scalar;
  ctx.registers.pre_quant_set = true;
}

void SetFixpipeScales(Context& ctx, SoftnpuInstruction& in) {
  RequireSpace(ctx, in.operand[0], "preTensor", {SOFTNPU_SPACE_FB});
  ctx.registers.fixpipe_scales = in.operand[0];
}

}  // namespace softnpu::ascendc::semantics
