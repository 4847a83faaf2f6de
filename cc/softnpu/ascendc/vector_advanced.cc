// cc/softnpu/ascendc/vector_advanced.cc: high-level calls, one instruction each.
//
// On a device they are sequences with their barriers inside. Here a call reads its operands,
// computes in double, and rounds each result once; a temporary buffer holds no value afterwards.
#include <numeric>

#include "cc/softnpu/ascendc/advanced_call.h"
#include "cc/softnpu/ascendc/vector_unit.h"

namespace softnpu::ascendc::semantics {
namespace {

using namespace vector;  // NOLINT: the namespace of this unit

// The derivative of the logarithm of the gamma function: upwards to where its series holds.
double DigammaOf(double x) {
  if (x <= 0 && x == std::floor(x)) return NAN;
  if (x < 0) return DigammaOf(1 - x) - M_PI / std::tan(M_PI * x);
  double sum = 0;
  for (; x < 10; ++x) sum -= 1 / x;
  const double s = 1 / (x * x);
  // Bernoulli numbers; the first term left out is below 1e-16.
  return sum + std::log(x) - 0.5 / x -
         s * (1.0 / 12 -
              s * (1.0 / 120 -
                   s * (1.0 / 252 - s * (1.0 / 240 - s * (1.0 / 132 - s * 691 / 32760)))));
}

// An element of an elementwise call; b is the second operand or the scalar.
double ElementOf(int64_t call, double a, double b) {
  switch (call) {
    case SOFTNPU_ADV_SIGMOID:
      return 1 / (1 + std::exp(-a));
    case SOFTNPU_ADV_SILU:
      return a / (1 + std::exp(-a));
    case SOFTNPU_ADV_SWISH:
      return a / (1 + std::exp(-b * a));
    case SOFTNPU_ADV_GELU:  // the form with tanh, as the device computes it
      return a / (1 + std::exp(-1.5957691216057308 * (a + 0.044715 * a * a * a)));
    case SOFTNPU_ADV_TANH:
      return std::tanh(a);
    case SOFTNPU_ADV_ERF:
      return std::erf(a);
    case SOFTNPU_ADV_LOG:
      return std::log(a);
    case SOFTNPU_ADV_LOG2:
      return std::log2(a);
    case SOFTNPU_ADV_LOG10:
      return std::log10(a);
    case SOFTNPU_ADV_POWER:
      return std::pow(a, b);
    case SOFTNPU_ADV_CLAMP_MAX:
      return a > b ? b : a;
    case SOFTNPU_ADV_CLAMP_MIN:
      return a < b ? b : a;
    case SOFTNPU_ADV_ROUND:
      return std::nearbyint(a);
    case SOFTNPU_ADV_FLOOR:
      return std::floor(a);
    case SOFTNPU_ADV_CEIL:
      return std::ceil(a);
    case SOFTNPU_ADV_TRUNC:
      return std::trunc(a);
    case SOFTNPU_ADV_FRAC:
      return a - std::trunc(a);
    case SOFTNPU_ADV_SIN:
      return std::sin(a);
    case SOFTNPU_ADV_TAN:
      return std::tan(a);
    case SOFTNPU_ADV_ASIN:
      return std::asin(a);
    case SOFTNPU_ADV_ACOS:
      return std::acos(a);
    case SOFTNPU_ADV_ATAN:
      return std::atan(a);
    case SOFTNPU_ADV_SINH:
      return std::sinh(a);
    case SOFTNPU_ADV_COSH:
      return std::cosh(a);
    case SOFTNPU_ADV_ASINH:
      return std::asinh(a);
    case SOFTNPU_ADV_ACOSH:
      return std::acosh(a);
    case SOFTNPU_ADV_ATANH:
      return std::atanh(a);
    case SOFTNPU_ADV_ERFC:
      return std::erfc(a);
    case SOFTNPU_ADV_LGAMMA:
      return std::lgamma(a);
    case SOFTNPU_ADV_SIGN:
      return a > 0 ? 1 : a < 0 ? -1 : a;
    case SOFTNPU_ADV_FMOD:
      return std::fmod(a, b);
    case SOFTNPU_ADV_DIGAMMA:
      return DigammaOf(a);
    case SOFTNPU_ADV_FASTER_GELU:
    case SOFTNPU_ADV_FASTER_GELU_V2:  // two ways to compute the same
      return a / (1 + std::exp(-1.702 * a));
    case SOFTNPU_ADV_GEGLU:
      return a * ElementOf(SOFTNPU_ADV_GELU, b, 0);
    case SOFTNPU_ADV_REGLU:
      return a * (std::isnan(b) ? b : std::max(b, 0.0));
    case SOFTNPU_ADV_XOR:  // of 16 bits
      return static_cast<int32_t>(a) ^ static_cast<int32_t>(b);
    default:
      return std::cos(a);
  }
}

}  // namespace

void Advanced(Context& ctx, SoftnpuInstruction& in) {
  AdvancedCall self(ctx, in);
  const int64_t call = self.call;
  const SoftnpuTensor* const list = self.list;
  const uint32_t tensors = self.tensors;
  const auto size = [&](int i) { return self.Size(i); };

  switch (call) {
    case SOFTNPU_ADV_SUM:
    case SOFTNPU_ADV_MEAN: {  // params: outer, inner, n
      const uint64_t outer = size(1), inner = size(2), n = size(3);
      self.Only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
      ctx.CheckLimit("n", in.params[3], 1, in.params[2]);
      self.WholeBlocks("inner", inner, list[1].type);
      if (outer == 0) return;
      self.Use(0, true, outer);
      // Only n elements of each row are read.
      self.UseRows(1, false, n, outer, inner);
      self.Admit();
      Values out(outer);
      const uint64_t step = TypeBytes(list[1].type);
      for (uint64_t r = 0; r < outer; ++r) {
        for (uint64_t e = 0; e < n; ++e) {
          out[r] += LoadAs(list[1].type, self.AccessOf(1).host + (r * inner + e) * step);
        }
        if (call == SOFTNPU_ADV_MEAN) out[r] /= static_cast<double>(n);
      }
      self.Write(0, out);
      return self.Finish();
    }
    case SOFTNPU_ADV_SOFTMAX:
    case SOFTNPU_ADV_SIMPLE_SOFTMAX:
    case SOFTNPU_ADV_LOG_SOFTMAX:
    case SOFTNPU_ADV_SOFTMAX_FLASH:
    case SOFTNPU_ADV_SOFTMAX_FLASH_V2:
      return Softmax(self);
    case SOFTNPU_ADV_SOFTMAX_GRAD:
    case SOFTNPU_ADV_SOFTMAX_GRAD_FRONT:
      return SoftmaxGrad(self);
    case SOFTNPU_ADV_ADJUST_SOFTMAX:
      return AdjustSoftmax(self);
    case SOFTNPU_ADV_RMS_NORM:
      return RmsNorm(self);
    case SOFTNPU_ADV_LAYER_NORM:
    case SOFTNPU_ADV_LAYER_NORM_RSTD:
    case SOFTNPU_ADV_NORMALIZE:
    case SOFTNPU_ADV_DEEP_NORM:
      return LayerNorm(self);
    case SOFTNPU_ADV_LAYER_NORM_GRAD:
      return LayerNormGrad(self);
    case SOFTNPU_ADV_LAYER_NORM_GRAD_BETA:
      return LayerNormGradBeta(self);
    case SOFTNPU_ADV_BATCH_NORM:
      return BatchNorm(self);
    case SOFTNPU_ADV_GROUP_NORM:
      return GroupNorm(self);
    case SOFTNPU_ADV_WELFORD_UPDATE:
      return WelfordUpdate(self);
    case SOFTNPU_ADV_WELFORD_FINALIZE:
      return WelfordFinalize(self);
    case SOFTNPU_ADV_QUANT:
      return Quant(self);
    case SOFTNPU_ADV_DEQUANT:
      return Dequant(self);
    case SOFTNPU_ADV_ANTI_QUANT:
      return AntiQuant(self);
    case SOFTNPU_ADV_CONFUSION_TRANSPOSE:
      return ConfusionTranspose(self);
    case SOFTNPU_ADV_TOP_K: {
      // params: outer, inner, n, k, indices given?, finished rows?, largest?, small mode?.
      // list: values, indices, src, [srcIndex], [finish].
      const uint64_t outer = size(1), inner = size(2), n = size(3), k = size(4);
      const bool given = in.params[5] != 0;
      const bool finishes = in.params[6] != 0;
      const bool largest = in.params[7] != 0;
      self.Only(2, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
      if (inner == 0 || inner % 32 != 0) {
        ctx.Fail(
            Format("inner %llu is not a multiple of 32", static_cast<unsigned long long>(inner)));
      }
      if (in.params[8] != 0) ctx.CheckLimit("inner in the small mode", in.params[2], 32, 32);
      ctx.CheckLimit("inner", in.params[2], 32, 4096);
      ctx.CheckLimit("n", in.params[3], 1, in.params[2]);
      ctx.CheckLimit("k", in.params[4], 1, in.params[3]);
      if (outer == 0) return;
      const auto padded = [](uint64_t elements, uint64_t bytes) {
        return (elements * bytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes / bytes;
      };
      const uint64_t value_pitch = padded(k, TypeBytes(list[0].type));
      const uint64_t index_pitch = padded(k, 4);
      const uint32_t finish_at = given ? 4 : 3;
      self.Use(0, true, outer * value_pitch);
      self.Use(1, true, outer * index_pitch);
      self.Use(2, false, outer * inner);
      if (given) self.Use(3, false, inner);
      if (finishes) self.Use(finish_at, false, outer);
      self.Admit();
      for (uint64_t r = 0; r < outer; ++r) self.Matters(2, r * inner, n);
      if (given) self.Matters(3, 0, n);
      if (finishes) self.Matters(finish_at, 0, outer);
      const Values x = self.Read(2);
      const Values indices = given ? self.Read(3) : Values();
      const Values done = finishes ? self.Read(finish_at) : Values();
      Values values(outer * value_pitch), places(outer * index_pitch);
      for (uint64_t r = 0; r < outer; ++r) {
        std::vector<uint64_t> order(n);
        std::iota(order.begin(), order.end(), uint64_t{0});
        const double* const row = x.data() + r * inner;
        std::stable_sort(order.begin(), order.end(), [&](uint64_t a, uint64_t b) {
          return largest ? row[a] > row[b] : row[a] < row[b];
        });
        for (uint64_t i = 0; i < k; ++i) {
          values[r * value_pitch + i] = row[order[i]];
          const double index = given ? indices[order[i]] : static_cast<double>(order[i]);
          places[r * index_pitch + i] = finishes && done[r] != 0 ? static_cast<double>(n) : index;
        }
      }
      self.Write(0, values);
      self.Write(1, places);
      return self.Finish();
    }
    case SOFTNPU_ADV_BROADCAST: {  // params: rows and columns of dst, axis (0: rows are repeated)
      const uint64_t rows = size(1), columns = size(2);
      if (rows == 0 || columns == 0) return;
      self.Use(0, true, rows * columns);
      self.Use(1, false, in.params[3] == 0 ? columns : rows);
      self.Admit();
      const uint64_t step = TypeBytes(list[0].type);
      const Access& from = self.AccessOf(1);
      const std::vector<std::byte> source(from.host, from.host + from.bytes);
      for (uint64_t i = 0; i < rows * columns; ++i) {
        const uint64_t at = in.params[3] == 0 ? i % columns : i / columns;
        if (ctx.missing) self.HandOn(1, at, i);
        std::memcpy(self.AccessOf(0).host + i * step, source.data() + at * step, step);
      }
      return self.Finish();
    }
    case SOFTNPU_ADV_CUM_SUM: {  // params: rows, columns, along the last axis?. list: dst, src,
                                 // [row]
      const uint64_t rows = size(1), columns = size(2);
      const bool last = in.params[3] != 0;
      self.Only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
      self.WholeBlocks("inner", columns, list[1].type);
      if (rows == 0 || columns == 0) return;
      self.Use(0, true, rows * columns);
      self.Use(1, false, rows * columns);
      if (tensors == 3) self.Use(2, true, columns);
      self.Admit();
      self.Matters(1, 0, rows * columns);
      Values sums = self.Read(1);
      for (uint64_t r = 0; r < rows; ++r) {
        for (uint64_t c = 0; c < columns; ++c) {
          const uint64_t at = r * columns + c;
          if (last ? c > 0 : r > 0) sums[at] += sums[at - (last ? 1 : columns)];
        }
      }
      self.Write(0, sums);
      if (tensors == 3)
        self.Write(2, Values(sums.end() - static_cast<ptrdiff_t>(columns), sums.end()));
      return self.Finish();
    }
    case SOFTNPU_ADV_PAD: {  // params: rows, columns, columns of dst, left; the value's bits
      const uint64_t rows = size(1), columns = size(2), wide = size(3), left = size(4);
      const uint64_t step = TypeBytes(list[1].type);
      const uint64_t right = size(5);
      if (step != 2 && step != 4) {
        ctx.Fail(Format("%s does not take %s", AdvancedName(call), TypeName(list[1].type)));
      }
      const bool whole = columns * step % kBlockBytes == 0;
      if (whole && left != 0) {
        ctx.Fail("leftPad is not 0, but rows of whole blocks can be padded on the right only");
      }
      // Rows of whole blocks keep their width: the padding replaces their last elements.
      const uint64_t kept = whole ? columns - std::min(right, columns) : columns;
      if (left + kept + right > wide || (left + kept + right) * step > wide * step) {
        ctx.Fail(Format(
            "leftPad %llu and rightPad %llu go beyond the %llu elements to which rows "
            "of %llu are padded",
            static_cast<unsigned long long>(left), static_cast<unsigned long long>(right),
            static_cast<unsigned long long>(wide), static_cast<unsigned long long>(columns)));
      }
      if (rows == 0 || columns == 0) return;
      self.Use(0, true, rows * wide);
      self.Use(1, false, rows * columns);
      self.Admit();
      std::byte* const to = self.AccessOf(0).host;
      const Access& from = self.AccessOf(1);
      const std::vector<std::byte> source(from.host, from.host + from.bytes);
      for (uint64_t r = 0; r < rows; ++r) {
        for (uint64_t c = 0; c < wide; ++c) {
          std::byte* const at = to + (r * wide + c) * step;
          if (c >= left && c < left + kept) {
            const uint64_t e = r * columns + c - left;
            if (ctx.missing) self.HandOn(1, e, r * wide + c);
            std::memcpy(at, source.data() + e * step, step);
          } else {
            std::memcpy(at, &in.scalar, step);
          }
        }
      }
      return self.Finish();
    }
    case SOFTNPU_ADV_UNPAD: {  // params: rows, columns, right
      const uint64_t rows = size(1), columns = size(2), right = size(3);
      const uint64_t step = TypeBytes(list[1].type);
      self.WholeBlocks("a row", columns, list[1].type);
      ctx.CheckLimit(
          "rightPad", in.params[3], 1,
          static_cast<int64_t>(std::min(kBlockBytes / std::max<uint64_t>(step, 1), columns)) - 1);
      if (rows == 0) return;
      const uint64_t kept = columns - right;
      self.Use(0, true, rows * kept);
      self.Use(1, false, rows * columns);
      self.Admit();
      std::byte* const to = self.AccessOf(0).host;
      const Access& from = self.AccessOf(1);
      const std::vector<std::byte> source(from.host, from.host + from.bytes);
      for (uint64_t i = 0; i < rows * kept; ++i) {
        const uint64_t e = i / kept * columns + i % kept;
        if (ctx.missing) self.HandOn(1, e, i);
        std::memcpy(to + i * step, source.data() + e * step, step);
      }
      return self.Finish();
    }
    case SOFTNPU_ADV_DROP_OUT: {
      // params: rows, columns, columns of the mask, bits?; scalar: the probability to be kept.
      // list: dst, src, mask.
      const uint64_t rows = size(1), columns = size(2), mask_columns = size(3);
      const bool bits = in.params[4] != 0;
      self.Only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
      const double keep = BitsTo<double>(in.scalar);
      if (!(keep > 0 && keep <= 1))
        ctx.Fail(Format("keepProb is %g, it has to lie in (0, 1]", keep));
      if (mask_columns * (bits ? 8 : 1) < columns) {
        ctx.Fail(Format("maskLastAxis %llu is too small for srcLastAxis %llu",
                        static_cast<unsigned long long>(mask_columns),
                        static_cast<unsigned long long>(columns)));
      }
      if (rows == 0 || columns == 0) return;
      self.Use(0, true, rows * columns);
      self.Use(1, false, rows * columns);
      self.Use(2, false, rows * mask_columns);
      self.Admit();
      const Values x = self.Read(1), mask = self.Read(2);
      Values out(rows * columns);
      for (uint64_t i = 0; i < out.size(); ++i) {
        const uint64_t c = i % columns;
        const uint64_t at = i / columns * mask_columns + (bits ? c / 8 : c);
        self.Matters(2, at, 1);
        const auto word = static_cast<uint32_t>(mask[at]);
        const bool taken = bits ? (word >> (c % 8) & 1) != 0 : word != 0;
        out[i] = taken ? x[i] / keep : 0;
        if (taken && ctx.missing) self.HandOn(1, i, i);
      }
      self.Write(0, out);
      return self.Finish();
    }
    case SOFTNPU_ADV_REDUCE_XOR_SUM: {  // params: count. list: dst, src0, src1
      const uint64_t count = size(1);
      self.Only(0, {SOFTNPU_INT16});
      if (count == 0) return;
      self.Use(0, true, 1);
      self.Use(1, false, count);
      self.Use(2, false, count);
      self.Admit();
      self.Matters(1, 0, count);
      self.Matters(2, 0, count);
      const Values a = self.Read(1), b = self.Read(2);
      double sum = 0;
      for (uint64_t e = 0; e < count; ++e) {
        sum += static_cast<int16_t>(static_cast<int16_t>(a[e]) ^ static_cast<int16_t>(b[e]));
      }
      self.Write(0, Values(1, sum));
      return self.Finish();
    }
    case SOFTNPU_ADV_REDUCE_PROD:
    case SOFTNPU_ADV_REDUCE_MEAN:
    case SOFTNPU_ADV_REDUCE_ALL:
    case SOFTNPU_ADV_REDUCE_ANY:
    case SOFTNPU_ADV_REDUCE_SUM:
    case SOFTNPU_ADV_REDUCE_MAX:
    case SOFTNPU_ADV_REDUCE_MIN: {  // params: rows, columns, along the last axis?, padded rows?
      const uint64_t rows = size(1), columns = size(2), step = TypeBytes(list[1].type);
      const bool last = in.params[3] != 0;
      const bool logical = call == SOFTNPU_ADV_REDUCE_ALL || call == SOFTNPU_ADV_REDUCE_ANY;
      if (call == SOFTNPU_ADV_REDUCE_SUM || call == SOFTNPU_ADV_REDUCE_MEAN ||
          call == SOFTNPU_ADV_REDUCE_PROD) {
        self.Only(0, {SOFTNPU_FLOAT});
        if (in.params[4] == 0) {
          ctx.Fail(Format("srcInnerPad is false, %s takes only true", AdvancedName(call)));
        }
      } else if (logical) {
        self.Only(0, {SOFTNPU_FLOAT, SOFTNPU_UINT8});
      } else {
        self.Only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
      }
      ctx.CheckLimit("srcShape[0]", in.params[1], 1, INT32_MAX);
      ctx.CheckLimit("srcShape[1]", in.params[2], 1, INT32_MAX);
      if (in.params[4] == 0)
        self.WholeBlocks("srcShape[1] without srcInnerPad", columns, list[1].type);
      const uint64_t pitch = (columns * step + kBlockBytes - 1) / kBlockBytes * kBlockBytes / step;
      self.Use(0, true, last ? rows : columns);
      // The padding of a row is not read.
      self.UseRows(1, false, columns, rows, pitch);
      self.Admit();
      Values out(last ? rows : columns);
      for (uint64_t r = 0; r < rows; ++r) {
        for (uint64_t c = 0; c < columns; ++c) {
          const double value = LoadAs(list[1].type, self.AccessOf(1).host + (r * pitch + c) * step);
          double& result = out[last ? r : c];
          const double own = logical ? (value != 0 ? 1.0 : 0.0) : value;
          if (last ? c == 0 : r == 0) {
            result = own;
          } else if (call == SOFTNPU_ADV_REDUCE_SUM || call == SOFTNPU_ADV_REDUCE_MEAN) {
            result += value;
          } else if (call == SOFTNPU_ADV_REDUCE_PROD) {
            result *= value;
          } else if (logical) {
            result = call == SOFTNPU_ADV_REDUCE_ALL ? std::min(result, own) : std::max(result, own);
          } else if (std::isnan(value) || std::isnan(result)) {
            result = NAN;
          } else {
            result =
                call == SOFTNPU_ADV_REDUCE_MAX ? std::max(result, value) : std::min(result, value);
          }
        }
      }
      if (call == SOFTNPU_ADV_REDUCE_MEAN) {
        for (double& result : out) result /= static_cast<double>(last ? columns : rows);
      }
      self.Write(0, out);
      return self.Finish();
    }
    case SOFTNPU_ADV_SELECT_BYTES: {
      // params: rows, columns, columns of the mask, the scalar where the mask is 0?; scalar.
      // list: dst, src, mask.
      const uint64_t rows = size(1), columns = size(2), mask_columns = size(3);
      self.Only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
      self.WholeBlocks("srcLastAxis", columns, list[1].type);
      self.WholeBlocks("maskLastAxis", mask_columns, list[2].type);
      if (mask_columns % 16 != 0 || mask_columns < columns) {
        ctx.Fail(
            Format("maskLastAxis %llu has to be a multiple of 16 that is not below "
                   "srcLastAxis %llu",
                   static_cast<unsigned long long>(mask_columns),
                   static_cast<unsigned long long>(columns)));
      }
      self.HasSize(1, "src", "srcLastAxis", rows, columns);
      self.HasSize(2, "mask", "maskLastAxis", rows, mask_columns);
      if (rows == 0 || columns == 0) return;
      self.Use(0, true, rows * columns);
      self.Use(1, false, rows * columns);
      self.Use(2, false, rows * mask_columns);
      self.Admit();
      const Values from = self.Read(1), mask = self.Read(2);
      const double scalar = BitsTo<double>(in.scalar);
      Values out(rows * columns);
      for (uint64_t i = 0; i < out.size(); ++i) {
        const uint64_t at = i / columns * mask_columns + i % columns;
        self.Matters(2, at, 1);
        const bool take_scalar = (mask[at] == 0) == (in.params[4] != 0);
        out[i] = take_scalar ? scalar : from[i];
        if (!take_scalar && ctx.missing) self.HandOn(1, i, i);
      }
      self.Write(0, out);
      return self.Finish();
    }
    default:
      break;
  }
  // params: count, first operand a scalar?, second?; scalar: its bits as a double.
  const bool integers = call == SOFTNPU_ADV_POWER;
  if (call == SOFTNPU_ADV_XOR) {
    self.Only(0, {SOFTNPU_INT16, SOFTNPU_UINT16});
  } else if (!(integers && list[0].type == SOFTNPU_INT32)) {
    self.Only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
  }
  if (in.params[1] < 0)
    ctx.Fail(Format("count %lld is negative", static_cast<long long>(in.params[1])));
  const uint64_t count = size(1);
  if (count == 0) return;
  const bool first_scalar = in.params[2] != 0;
  for (uint32_t i = 0; i < tensors; ++i) self.Use(i, i == 0, count);
  self.Admit();
  for (uint32_t i = 1; i < tensors && ctx.missing; ++i) {
    for (uint64_t e = 0; e < count; ++e) self.HandOn(i, e, e);
  }
  const double scalar = BitsTo<double>(in.scalar);
  const Values a = first_scalar ? Values(count, scalar) : self.Read(1);
  const Values b = tensors == 3   ? self.Read(2)
                   : first_scalar ? self.Read(1)
                                  : Values(count, scalar);
  Values out(count);
  for (uint64_t i = 0; i < count; ++i) {
    out[i] = call == SOFTNPU_ADV_SWIGLU ? a[i] * ElementOf(SOFTNPU_ADV_SWISH, b[i], scalar)
                                        : ElementOf(call, a[i], b[i]);
  }
  self.Write(0, out);
  self.Finish();
}

}  // namespace softnpu::ascendc::semantics
