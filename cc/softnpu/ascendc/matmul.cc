// cc/softnpu/ascendc/matmul.cc: the high-level product of matrices, one instruction.
//
// Sums run over k in float, in order; integers are exact.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>

#include "cc/softnpu/ascendc/cube_unit.h"
#include "cc/softnpu/ascendc/semantics.h"

namespace softnpu::ascendc::semantics {
namespace {

// Where the elements of a matrix lie: in ND `pitch` from row to row; in NZ in fractals of 16 rows
// and `width` columns, `tall` rows of them one above the other.
struct Layout {
  uint64_t pitch, tall, width, size;

  uint64_t At(uint64_t row, uint64_t column) const {
    if (tall == 0) return (row * pitch + column) * size;
    return (column / width * tall * width + row * width + column % width) * size;
  }
  void Declare(Context& ctx, const SoftnpuTensor& tensor, bool write, uint64_t rows,
               uint64_t columns) const {
    if (tall == 0) {
      ctx.Add(tensor, write, tensor.address, columns * size, rows, pitch * size);
      return;
    }
    // A column of fractals has its rows one behind the other.
    ctx.Add(tensor, write, tensor.address, rows * width * size, (columns + width - 1) / width,
            tall * width * size);
  }
};

}  // namespace

// params: m, n, k, transposed a, transposed b, pitches of a, b and c, atomic, rows of fractals of
// a, b and c (0: ND), how C is scaled (0: not, 1: by the scalar, 2: by list[0]), a is a scalar?,
// its bits, added to the last product?
void Matmul(Context& ctx, SoftnpuInstruction& in) {
  const SoftnpuTensor& c = in.operand[0];
  const SoftnpuTensor& a = in.operand[1];
  const SoftnpuTensor& b = in.operand[2];
  ctx.site.SetPipe(SOFTNPU_PIPE_FIX);
  const bool integer = a.type == SOFTNPU_INT8;
  const bool floats =
      a.type == SOFTNPU_FLOAT16 || a.type == SOFTNPU_BFLOAT16 || a.type == SOFTNPU_FLOAT;
  const int64_t scaled = in.params[12];
  const bool bytes = c.type == SOFTNPU_INT8 || c.type == SOFTNPU_UINT8;
  const bool result = scaled != 0 ? bytes || (integer && c.type == SOFTNPU_FLOAT16)
                      : integer   ? c.type == SOFTNPU_INT32
                                  : c.type == SOFTNPU_FLOAT || c.type == SOFTNPU_FLOAT16 ||
                                        c.type == SOFTNPU_BFLOAT16;
  if (a.type != b.type || (!integer && !floats) || !result) {
    ctx.Fail(Format("there is no product of %s and %s into %s%s", TypeName(a.type),
                    TypeName(b.type), TypeName(c.type), scaled != 0 ? " with scales" : ""));
  }
  if (in.params[8] < 0 || in.params[8] > 3) {
    ctx.Fail(Format("enAtomic is %lld, it has to be 0 to 3", static_cast<long long>(in.params[8])));
  }
  if (in.params[15] != 0) ctx.Fail("enPartialSum is not supported by SoftNPU");
  for (int i = 0; i < 3; ++i) {
    if (in.params[i] <= 0) {
      ctx.Fail(
          Format("%c = %lld has to be positive", "mnk"[i], static_cast<long long>(in.params[i])));
    }
  }
  const auto field = [&](int i) { return static_cast<uint64_t>(in.params[i]); };
  const uint64_t m = field(0), n = field(1), k = field(2);
  const bool ta = in.params[3] != 0, tb = in.params[4] != 0, alone = in.params[13] != 0;
  const uint64_t size = TypeBytes(a.type), out_size = TypeBytes(c.type);
  const Layout at_a{field(5), field(9), 32 / size, size},
      at_b{field(6), field(10), 32 / size, size},
      at_c{field(7), field(11), out_size == 1 ? 32ULL : 16ULL, out_size};
  // The cube core works for this core between two messages, which order all pipes.
  ctx.order.clocks().Barrier(SOFTNPU_PIPE_ALL);
  at_c.Declare(ctx, c, true, m, n);
  if (in.params[8] != 0) ctx.accesses.back().atomic = true;
  at_b.Declare(ctx, b, false, tb ? n : k, tb ? k : n);
  if (!alone) at_a.Declare(ctx, a, false, ta ? k : m, ta ? m : k);
  const bool bias = in.operand_count == 4;
  const uint8_t bias_type = in.operand[3].type;
  const size_t bias_at = ctx.accesses.size();
  if (bias) {
    if (integer ? bias_type != SOFTNPU_INT32
                : bias_type != SOFTNPU_FLOAT && bias_type != SOFTNPU_FLOAT16 &&
                      bias_type != SOFTNPU_BFLOAT16) {
      ctx.Fail(Format("a bias of %s", TypeName(bias_type)));
    }
    ctx.Add(in.operand[3], false, in.operand[3].address, n * TypeBytes(bias_type));
  }
  const size_t scales_at = ctx.accesses.size();
  if (scaled == 2) ctx.Add(in.list[0], false, in.list[0].address, n * 8);
  ctx.Admit();
  const std::byte* const right = ctx.accesses[1].host;
  const std::byte* const left = alone ? nullptr : ctx.accesses[2].host;
  const auto scale_of = [&](uint64_t j) {
    uint64_t word = in.scalar;
    if (scaled == 2) std::memcpy(&word, ctx.accesses[scales_at].host + j * 8, 8);
    return std::bit_cast<float>(static_cast<uint32_t>(word));
  };
  const auto product = [&]<typename Sum, typename Load, typename Store>(Load&& load,
                                                                        Store&& store) {
    std::vector<Sum> columns(k * n), row(n);
    for (uint64_t p = 0; p < k; ++p) {
      for (uint64_t j = 0; j < n; ++j) {
        columns[p * n + j] = load(right + (tb ? at_b.At(j, p) : at_b.At(p, j)));
      }
    }
    std::byte scalar[8];
    std::memcpy(scalar, &in.params[14], 8);
    for (uint64_t i = 0; i < m; ++i) {
      std::fill(row.begin(), row.end(), Sum{0});
      if (bias) {
        const std::byte* const start = ctx.accesses[bias_at].host;
        for (uint64_t j = 0; j < n; ++j) {
          if constexpr (std::is_same_v<Sum, float>) {
            row[j] = LoadFloat(bias_type, start + j * TypeBytes(bias_type));
          } else {
            std::memcpy(&row[j], start + j * 4, 4);
          }
        }
      }
      for (uint64_t p = 0; p < k; ++p) {
        const Sum x = load(alone ? scalar : left + (ta ? at_a.At(p, i) : at_a.At(i, p)));
        for (uint64_t j = 0; j < n; ++j) row[j] += x * columns[p * n + j];
      }
      for (uint64_t j = 0; j < n; ++j) store(ctx.accesses[0].host + at_c.At(i, j), row[j], j);
    }
  };
  const uint8_t from = a.type, to = c.type;
  // The scaled product, as the fix pipe makes it.
  const auto store_scaled = [&](std::byte* at, float value) {
    if (to == SOFTNPU_FLOAT16) {
      const uint16_t bits = numeric::FloatToHalf(value);
      std::memcpy(at, &bits, 2);
      return;
    }
    const int32_t byte =
        to == SOFTNPU_INT8
            ? SaturatedInt8(value)
            : static_cast<int32_t>(
                  std::isnan(value) ? 0.0f : std::clamp(std::nearbyint(value), 0.0f, 255.0f));
    *at = static_cast<std::byte>(byte);
  };
  if (integer) {
    product.operator()<uint32_t>(
        [](const std::byte* at) {
          return static_cast<uint32_t>(static_cast<int32_t>(static_cast<int8_t>(*at)));
        },
        [&](std::byte* at, uint32_t value, uint64_t j) {
          if (scaled != 0) {
            return store_scaled(at, static_cast<float>(static_cast<int32_t>(value)) * scale_of(j));
          }
          int32_t out = static_cast<int32_t>(value);
          if (in.params[8] != 0) {
            int32_t old = 0;
            std::memcpy(&old, at, 4);
            out = in.params[8] == 1   ? static_cast<int32_t>(value + static_cast<uint32_t>(old))
                  : in.params[8] == 2 ? std::max(out, old)
                                      : std::min(out, old);
          }
          std::memcpy(at, &out, 4);
        });
  } else {
    product.operator()<float>([from](const std::byte* at) { return LoadFloat(from, at); },
                              [&](std::byte* at, float value, uint64_t j) {
                                if (scaled != 0) return store_scaled(at, value * scale_of(j));
                                const auto put = [&](float number) {
                                  if (to == SOFTNPU_FLOAT) {
                                    std::memcpy(at, &number, 4);
                                    return;
                                  }
                                  const uint16_t bits = to == SOFTNPU_FLOAT16
                                                            ? numeric::FloatToHalf(number)
                                                            : numeric::FloatToBfloat16(number);
                                  std::memcpy(at, &bits, 2);
                                };
                                if (in.params[8] != 0) {
                                  // The product has C's type when it meets what is there.
                                  const float old = LoadFloat(to, at);
                                  put(value);
                                  value = LoadFloat(to, at);
                                  value = in.params[8] == 1   ? value + old
                                          : in.params[8] == 2 ? std::max(value, old)
                                                              : std::min(value, old);
                                }
                                put(value);
                              });
  }
  ctx.Commit();
  if (!ctx.races()) return;
  ctx.monitor.Observe(ctx.accesses);
  ctx.accesses.clear();
  ctx.order.clocks().Barrier(SOFTNPU_PIPE_ALL);
}

}  // namespace softnpu::ascendc::semantics
