// cc/softnpu/ascendc/vector_advanced.cc: high-level calls, one instruction each.
//
// On a device they are sequences with their barriers inside. Here a call reads its operands,
// computes in double, and rounds each result once; a temporary buffer holds no value afterwards.
#include <numeric>

#include "cc/softnpu/ascendc/semantics.h"
#include "cc/softnpu/ascendc/vector_unit.h"

namespace softnpu::ascendc::semantics {
namespace {

using namespace vector;  // NOLINT: the namespace of this unit

using Values = std::vector<double>;

double LoadAs(uint8_t type, const std::byte* at) {
  switch (type) {
    case SOFTNPU_FLOAT:
      return static_cast<double>(Peek<float>(at));
    case SOFTNPU_FLOAT16:
      return static_cast<double>(Load(Peek<Half>(at)));
    case SOFTNPU_BFLOAT16:
      return static_cast<double>(Load(Peek<Bfloat>(at)));
    case SOFTNPU_INT32:
      return Peek<int32_t>(at);
    case SOFTNPU_UINT32:
      return Peek<uint32_t>(at);
    case SOFTNPU_INT16:
      return Peek<int16_t>(at);
    case SOFTNPU_UINT16:
      return Peek<uint16_t>(at);
    case SOFTNPU_INT8:
      return Peek<int8_t>(at);
    default:
      return Peek<uint8_t>(at);
  }
}
void StoreAs(uint8_t type, std::byte* at, double value) {
  switch (type) {
    case SOFTNPU_FLOAT:
      return Poke(at, static_cast<float>(value));
    case SOFTNPU_FLOAT16:
      return Poke(at, StoreDouble<Half>(value));
    case SOFTNPU_BFLOAT16:
      return Poke(at, StoreDouble<Bfloat>(value));
    case SOFTNPU_INT32:
      return Poke(at, SaturateTo<int32_t>(value));
    case SOFTNPU_UINT32:
      return Poke(at, SaturateTo<uint32_t>(value));
    case SOFTNPU_INT16:
      return Poke(at, SaturateTo<int16_t>(value));
    case SOFTNPU_UINT16:
      return Poke(at, SaturateTo<uint16_t>(value));
    case SOFTNPU_INT8:
      return Poke(at, SaturateTo<int8_t>(value));
    default:
      return Poke(at, SaturateTo<uint8_t>(value));
  }
}

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

// list: outputs, inputs, and where params[15] is not 0 a temporary buffer in the last place.
void Advanced(Context& ctx, SoftnpuInstruction& in) {
  const int64_t call = in.params[0];
  const SoftnpuTensor* const list = in.list;
  const uint32_t tensors = in.list_count - (in.params[15] != 0 ? 1 : 0);
  const auto size = [&](int i) { return static_cast<uint64_t>(in.params[i]); };
  std::vector<size_t> access_of(in.list_count, ~size_t{0});
  const auto use = [&](uint32_t i, bool write, uint64_t elements) {
    if (ctx.strict()) ctx.CheckUbAlignment(list[i], Format("operand %u", i).c_str());
    access_of[i] = ctx.accesses.size();
    ctx.Add(list[i], write, list[i].address, elements * TypeBytes(list[i].type)).travels = !write;
  };
  // The elements [first, first + count) of operand i decide results of others, so they need values.
  const auto matters = [&](uint32_t i, uint64_t first, uint64_t count) {
    if (!ctx.missing) return;
    const Access& access = ctx.accesses[access_of[i]];
    const uint64_t step = TypeBytes(list[i].type);
    const uint64_t begin = access.base + first * step;
    if (ctx.HasValue(begin, count * step)) return;
    ctx.memories.FailMissing(access, begin, begin + count * step);
  };
  // Element `to` of operand 0 is made of element `e` of operand i alone.
  const auto hand_on = [&](uint32_t i, uint64_t e, uint64_t to) {
    const uint64_t step = TypeBytes(list[i].type);
    const uint64_t from = ctx.accesses[access_of[i]].base + e * step;
    if (ctx.HasValue(from, step)) return;
    const uint64_t size_of = TypeBytes(list[0].type);
    const uint64_t at = ctx.accesses[access_of[0]].base + to * size_of;
    ctx.Spoil(SOFTNPU_SPACE_UB, at, at + size_of, list[i], from);
  };
  const auto read = [&](uint32_t i) {
    const Access& access = ctx.accesses[access_of[i]];
    const uint64_t step = TypeBytes(list[i].type);
    Values values(access.bytes / step);
    for (size_t e = 0; e < values.size(); ++e) {
      values[e] = LoadAs(list[i].type, access.host + e * step);
    }
    return values;
  };
  const auto write = [&](uint32_t i, const Values& values) {
    const uint64_t step = TypeBytes(list[i].type);
    for (size_t e = 0; e < values.size(); ++e) {
      StoreAs(list[i].type, ctx.accesses[access_of[i]].host + e * step, values[e]);
    }
  };
  const auto admit = [&] {
    if (tensors < in.list_count) {
      const SoftnpuTensor& tmp = list[tensors];
      if (tmp.end > tmp.address) ctx.Add(tmp, true, tmp.address, tmp.end - tmp.address);
    }
    ctx.Admit();
  };
  const auto finish = [&] {
    ctx.Commit();
    if (tensors < in.list_count && ctx.strict()) {
      ctx.memories.Forget(SOFTNPU_SPACE_UB, list[tensors].address, list[tensors].end);
    }
  };
  const auto only = [&](uint32_t i, std::initializer_list<uint8_t> types) {
    if (std::find(types.begin(), types.end(), list[i].type) == types.end()) {
      ctx.Fail(Format("%s does not take %s", AdvancedName(call), TypeName(list[i].type)));
    }
  };

  const auto whole_blocks = [&](const char* name, uint64_t elements, uint8_t type) {
    if (elements * TypeBytes(type) % kBlockBytes == 0) return;
    ctx.Fail(Format("%s of %llu elements is not a multiple of %llu bytes", name,
                    static_cast<unsigned long long>(elements),
                    static_cast<unsigned long long>(kBlockBytes)));
  };
  // Operand i has to hold rows x columns elements, no fewer and no more.
  const auto has_size = [&](uint32_t i, const char* name, const char* axis, uint64_t rows,
                            uint64_t columns) {
    const uint64_t held = (list[i].end - list[i].address) / TypeBytes(list[i].type);
    if (held == rows * columns) return;
    ctx.Fail(Format("%s has %llu elements, but firstAxis %llu times %s %llu are %llu", name,
                    static_cast<unsigned long long>(held), static_cast<unsigned long long>(rows),
                    axis, static_cast<unsigned long long>(columns),
                    static_cast<unsigned long long>(rows * columns)));
  };

  switch (call) {
    case SOFTNPU_ADV_SUM:
    case SOFTNPU_ADV_MEAN: {  // params: outer, inner, n
      const uint64_t outer = size(1), inner = size(2), n = size(3);
      only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
      ctx.CheckLimit("n", in.params[3], 1, in.params[2]);
      whole_blocks("inner", inner, list[1].type);
      if (outer == 0) return;
      use(0, true, outer);
      if (ctx.strict()) ctx.CheckUbAlignment(list[1], "operand 1");
      // Only n elements of each row are read.
      access_of[1] = ctx.accesses.size();
      ctx.Add(list[1], false, list[1].address, n * TypeBytes(list[1].type), outer,
              inner * TypeBytes(list[1].type));
      admit();
      Values out(outer);
      const uint64_t step = TypeBytes(list[1].type);
      for (uint64_t r = 0; r < outer; ++r) {
        for (uint64_t e = 0; e < n; ++e) {
          out[r] += LoadAs(list[1].type, ctx.accesses[access_of[1]].host + (r * inner + e) * step);
        }
        if (call == SOFTNPU_ADV_MEAN) out[r] /= static_cast<double>(n);
      }
      write(0, out);
      return finish();
    }
    case SOFTNPU_ADV_SOFTMAX:
    case SOFTNPU_ADV_SIMPLE_SOFTMAX:
    case SOFTNPU_ADV_SOFTMAX_FLASH_V2: {
      // params: rows, columns, columns that count, with sums?, update?. list: dst, [sum, max,] src;
      // SoftmaxFlashV2: dst, sum, max, expMax, src, inSum, inMax.
      const uint64_t rows = size(1), columns = size(2), valid = size(3);
      const bool simple = call == SOFTNPU_ADV_SIMPLE_SOFTMAX;
      const bool flash = call == SOFTNPU_ADV_SOFTMAX_FLASH_V2;
      const bool sums = in.params[4] != 0;
      const bool update = in.params[5] != 0;
      const uint32_t src = flash ? 4 : sums ? 3 : 1;
      only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
      if (valid > columns) ctx.Fail("the original width is larger than the width");
      if (columns * TypeBytes(list[src].type) % kBlockBytes != 0) {
        ctx.Fail(Format("rows of %llu elements are not whole blocks of %llu bytes",
                        static_cast<unsigned long long>(columns),
                        static_cast<unsigned long long>(kBlockBytes)));
      }
      if (rows == 0 || columns == 0) return;
      const uint64_t width = sums || flash ? kBlockBytes / TypeBytes(list[1].type) : 0;
      use(0, true, rows * columns);
      use(src, false, rows * columns);
      if (sums || flash) {
        use(1, !simple, rows * width);
        use(2, !simple, rows * width);
      }
      const uint64_t exp_width = flash ? kBlockBytes / TypeBytes(list[3].type) : 0;
      if (flash && update) {
        use(3, true, rows * exp_width);
        use(5, false, rows * width);
        use(6, false, rows * width);
      }
      admit();
      for (uint64_t r = 0; r < rows; ++r) {
        matters(src, r * columns, valid);
        for (uint64_t c = valid; c < columns && ctx.missing; ++c) {
          hand_on(src, r * columns + c, r * columns + c);
        }
      }
      for (const uint32_t i : {1u, 2u}) {
        if (simple) matters(i, 0, rows * width);
      }
      for (const uint32_t i : {5u, 6u}) {
        if (flash && update) matters(i, 0, rows * width);
      }
      const Values x = read(src);
      const Values old_sum = flash && update ? read(5) : simple ? read(1) : Values();
      const Values old_max = flash && update ? read(6) : simple ? read(2) : Values();
      Values out(rows * columns), sum(rows * width), max(rows * width), exp_max(rows * exp_width);
      for (uint64_t r = 0; r < rows; ++r) {
        double largest = -INFINITY;
        for (uint64_t c = 0; c < valid; ++c) {
          const double value = x[r * columns + c];
          largest = std::isnan(largest) || std::isnan(value) ? NAN : std::max(largest, value);
        }
        if (simple) largest = old_max[r * width];
        if (flash && update) largest = std::max(largest, old_max[r * width]);
        double total = 0;
        for (uint64_t c = 0; c < columns; ++c) {
          // Columns beyond the original width are computed alike and do not count.
          out[r * columns + c] = std::exp(x[r * columns + c] - largest);
          if (c < valid) total += out[r * columns + c];
        }
        if (simple) total = old_sum[r * width];
        if (flash && update) {
          const double scale = std::exp(old_max[r * width] - largest);
          total += scale * old_sum[r * width];
          for (uint64_t e = 0; e < exp_width; ++e) exp_max[r * exp_width + e] = scale;
        }
        for (uint64_t c = 0; c < columns && !flash; ++c) out[r * columns + c] /= total;
        for (uint64_t e = 0; e < width; ++e) {
          sum[r * width + e] = total;
          max[r * width + e] = largest;
        }
      }
      write(0, out);
      if ((sums || flash) && !simple) {
        write(1, sum);
        write(2, max);
      }
      if (flash && update) write(3, exp_max);
      return finish();
    }
    case SOFTNPU_ADV_RMS_NORM: {  // params: rows, columns, columns that count; scalar: epsilon
      const uint64_t rows = size(1), columns = size(2), valid = size(3);
      only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
      if (valid == 0 || valid > columns)
        ctx.Fail("originalHLength has to lie between 1 and hLength");
      if (rows == 0) return;
      use(0, true, rows * columns);
      use(1, false, rows * columns);
      use(2, false, columns);
      admit();
      for (uint64_t r = 0; r < rows; ++r) {
        matters(1, r * columns, valid);
        for (uint64_t c = 0; c < columns && ctx.missing; ++c) {
          hand_on(1, r * columns + c, r * columns + c);
          hand_on(2, c, r * columns + c);
        }
      }
      const Values x = read(1), gamma = read(2);
      const double epsilon = BitsTo<double>(in.scalar);
      Values out(rows * columns);
      for (uint64_t r = 0; r < rows; ++r) {
        double squares = 0;
        for (uint64_t c = 0; c < valid; ++c) squares += x[r * columns + c] * x[r * columns + c];
        const double scale = 1 / std::sqrt(squares / static_cast<double>(valid) + epsilon);
        for (uint64_t c = 0; c < columns; ++c) {
          out[r * columns + c] = x[r * columns + c] * scale * gamma[c];
        }
      }
      write(0, out);
      return finish();
    }
    case SOFTNPU_ADV_LAYER_NORM: {  // list: dst, mean, variance, src, gamma, beta
      const uint64_t rows = size(1), columns = size(2), valid = size(3);
      only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
      if (valid == 0 || valid > columns)
        ctx.Fail("rLength has to lie between 1 and its padded length");
      if (rows == 0) return;
      use(0, true, rows * columns);
      use(1, true, rows);
      use(2, true, rows);
      use(3, false, rows * columns);
      use(4, false, columns);
      use(5, false, columns);
      admit();
      for (uint64_t r = 0; r < rows; ++r) {
        matters(3, r * columns, valid);
        for (uint64_t c = 0; c < columns && ctx.missing; ++c) {
          hand_on(3, r * columns + c, r * columns + c);
          hand_on(4, c, r * columns + c);
          hand_on(5, c, r * columns + c);
        }
      }
      const Values x = read(3), gamma = read(4), beta = read(5);
      const double epsilon = BitsTo<double>(in.scalar);
      Values out(rows * columns), means(rows), variances(rows);
      for (uint64_t r = 0; r < rows; ++r) {
        const double* const row = x.data() + r * columns;
        const double n = static_cast<double>(valid);
        const double mean = std::accumulate(row, row + valid, 0.0) / n;
        double variance = 0;
        for (uint64_t c = 0; c < valid; ++c) variance += (row[c] - mean) * (row[c] - mean) / n;
        for (uint64_t c = 0; c < columns; ++c) {
          out[r * columns + c] =
              (row[c] - mean) / std::sqrt(variance + epsilon) * gamma[c] + beta[c];
        }
        means[r] = mean;
        variances[r] = variance;
      }
      write(0, out);
      write(1, means);
      write(2, variances);
      return finish();
    }
    case SOFTNPU_ADV_TOP_K: {
      // params: outer, inner, n, k, indices given?, finished rows?, largest?, small mode?.
      // list: values, indices, src, [srcIndex], [finish].
      const uint64_t outer = size(1), inner = size(2), n = size(3), k = size(4);
      const bool given = in.params[5] != 0;
      const bool finishes = in.params[6] != 0;
      const bool largest = in.params[7] != 0;
      only(2, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
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
      use(0, true, outer * value_pitch);
      use(1, true, outer * index_pitch);
      use(2, false, outer * inner);
      if (given) use(3, false, inner);
      if (finishes) use(finish_at, false, outer);
      admit();
      for (uint64_t r = 0; r < outer; ++r) matters(2, r * inner, n);
      if (given) matters(3, 0, n);
      if (finishes) matters(finish_at, 0, outer);
      const Values x = read(2);
      const Values indices = given ? read(3) : Values();
      const Values done = finishes ? read(finish_at) : Values();
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
      write(0, values);
      write(1, places);
      return finish();
    }
    case SOFTNPU_ADV_BROADCAST: {  // params: rows and columns of dst, axis (0: rows are repeated)
      const uint64_t rows = size(1), columns = size(2);
      if (rows == 0 || columns == 0) return;
      use(0, true, rows * columns);
      use(1, false, in.params[3] == 0 ? columns : rows);
      admit();
      const uint64_t step = TypeBytes(list[0].type);
      const Access& from = ctx.accesses[access_of[1]];
      const std::vector<std::byte> source(from.host, from.host + from.bytes);
      for (uint64_t i = 0; i < rows * columns; ++i) {
        const uint64_t at = in.params[3] == 0 ? i % columns : i / columns;
        if (ctx.missing) hand_on(1, at, i);
        std::memcpy(ctx.accesses[access_of[0]].host + i * step, source.data() + at * step, step);
      }
      return finish();
    }
    case SOFTNPU_ADV_CUM_SUM: {  // params: rows, columns, along the last axis?. list: dst, src,
                                 // [row]
      const uint64_t rows = size(1), columns = size(2);
      const bool last = in.params[3] != 0;
      only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
      whole_blocks("inner", columns, list[1].type);
      if (rows == 0 || columns == 0) return;
      use(0, true, rows * columns);
      use(1, false, rows * columns);
      if (tensors == 3) use(2, true, columns);
      admit();
      matters(1, 0, rows * columns);
      Values sums = read(1);
      for (uint64_t r = 0; r < rows; ++r) {
        for (uint64_t c = 0; c < columns; ++c) {
          const uint64_t at = r * columns + c;
          if (last ? c > 0 : r > 0) sums[at] += sums[at - (last ? 1 : columns)];
        }
      }
      write(0, sums);
      if (tensors == 3) write(2, Values(sums.end() - static_cast<ptrdiff_t>(columns), sums.end()));
      return finish();
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
      use(0, true, rows * wide);
      use(1, false, rows * columns);
      admit();
      std::byte* const to = ctx.accesses[access_of[0]].host;
      const Access& from = ctx.accesses[access_of[1]];
      const std::vector<std::byte> source(from.host, from.host + from.bytes);
      for (uint64_t r = 0; r < rows; ++r) {
        for (uint64_t c = 0; c < wide; ++c) {
          std::byte* const at = to + (r * wide + c) * step;
          if (c >= left && c < left + kept) {
            const uint64_t e = r * columns + c - left;
            if (ctx.missing) hand_on(1, e, r * wide + c);
            std::memcpy(at, source.data() + e * step, step);
          } else {
            std::memcpy(at, &in.scalar, step);
          }
        }
      }
      return finish();
    }
    case SOFTNPU_ADV_UNPAD: {  // params: rows, columns, right
      const uint64_t rows = size(1), columns = size(2), right = size(3);
      const uint64_t step = TypeBytes(list[1].type);
      whole_blocks("a row", columns, list[1].type);
      ctx.CheckLimit(
          "rightPad", in.params[3], 1,
          static_cast<int64_t>(std::min(kBlockBytes / std::max<uint64_t>(step, 1), columns)) - 1);
      if (rows == 0) return;
      const uint64_t kept = columns - right;
      use(0, true, rows * kept);
      use(1, false, rows * columns);
      admit();
      std::byte* const to = ctx.accesses[access_of[0]].host;
      const Access& from = ctx.accesses[access_of[1]];
      const std::vector<std::byte> source(from.host, from.host + from.bytes);
      for (uint64_t i = 0; i < rows * kept; ++i) {
        const uint64_t e = i / kept * columns + i % kept;
        if (ctx.missing) hand_on(1, e, i);
        std::memcpy(to + i * step, source.data() + e * step, step);
      }
      return finish();
    }
    case SOFTNPU_ADV_SOFTMAX_GRAD:
    case SOFTNPU_ADV_SOFTMAX_GRAD_FRONT: {
      // params: rows, columns, columns that count; list: dst, grad, src. Front: a block for each
      // row with the sum of grad * src; else (grad - sum) * src.
      const uint64_t rows = size(1), columns = size(2), valid = size(3);
      const bool front = call == SOFTNPU_ADV_SOFTMAX_GRAD_FRONT;
      only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
      if (valid > columns) ctx.Fail("the original width is larger than the width");
      whole_blocks("a row", columns, list[1].type);
      if (rows == 0 || columns == 0) return;
      const uint64_t width = kBlockBytes / TypeBytes(list[0].type);
      use(0, true, rows * (front ? width : columns));
      use(1, false, rows * columns);
      use(2, false, rows * columns);
      admit();
      for (uint64_t r = 0; r < rows; ++r) {
        matters(1, r * columns, valid);
        matters(2, r * columns, valid);
        for (uint64_t c = valid; c < columns && ctx.missing && !front; ++c) {
          hand_on(1, r * columns + c, r * columns + c);
          hand_on(2, r * columns + c, r * columns + c);
        }
      }
      const Values grad = read(1), x = read(2);
      Values out(rows * (front ? width : columns));
      for (uint64_t r = 0; r < rows; ++r) {
        double sum = 0;
        for (uint64_t c = 0; c < valid; ++c) sum += grad[r * columns + c] * x[r * columns + c];
        for (uint64_t c = 0; c < columns && !front; ++c) {
          out[r * columns + c] = (grad[r * columns + c] - sum) * x[r * columns + c];
        }
        for (uint64_t c = 0; c < width && front; ++c) out[r * width + c] = sum;
      }
      write(0, out);
      return finish();
    }
    case SOFTNPU_ADV_QUANT: {
      // params: count, n of the scales (0: one), bits of the offset as a float; scalar: the scale.
      // list: dst, src, [scales, [offsets]]. Computed in half, as the device does.
      const uint64_t count = size(1), n = size(2);
      only(0, {SOFTNPU_INT8});
      only(1, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
      if (count == 0) return;
      if (n != 0 && count % n != 0) {
        ctx.Fail(Format("%llu elements are no whole number of rows of %llu scales",
                        static_cast<unsigned long long>(count),
                        static_cast<unsigned long long>(n)));
      }
      use(0, true, count);
      use(1, false, count);
      for (uint32_t i = 2; i < tensors; ++i) use(i, false, n);
      admit();
      for (uint64_t e = 0; e < count && ctx.missing; ++e) {
        hand_on(1, e, e);
        for (uint32_t i = 2; i < tensors; ++i) hand_on(i, e % n, e);
      }
      const auto half = [](double value) {
        return static_cast<double>(Load(StoreDouble<Half>(value)));
      };
      const double scale = BitsTo<double>(in.scalar);
      const auto offset = static_cast<double>(BitsTo<float>(static_cast<uint64_t>(in.params[3])));
      const Values x = read(1);
      const Values scales = tensors > 2 ? read(2) : Values(),
                   offsets = tensors > 3 ? read(3) : Values();
      Values out(count);
      for (uint64_t e = 0; e < count; ++e) {
        const double by = half(tensors > 2 ? scales[e % n] : scale);
        const double plus = half(tensors > 3 ? offsets[e % n] : offset);
        out[e] = std::nearbyint(half(half(half(x[e]) * by) + plus));
      }
      write(0, out);
      return finish();
    }
    case SOFTNPU_ADV_DROP_OUT: {
      // params: rows, columns, columns of the mask, bits?; scalar: the probability to be kept.
      // list: dst, src, mask.
      const uint64_t rows = size(1), columns = size(2), mask_columns = size(3);
      const bool bits = in.params[4] != 0;
      only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
      const double keep = BitsTo<double>(in.scalar);
      if (!(keep > 0 && keep <= 1))
        ctx.Fail(Format("keepProb is %g, it has to lie in (0, 1]", keep));
      if (mask_columns * (bits ? 8 : 1) < columns) {
        ctx.Fail(Format("maskLastAxis %llu is too small for srcLastAxis %llu",
                        static_cast<unsigned long long>(mask_columns),
                        static_cast<unsigned long long>(columns)));
      }
      if (rows == 0 || columns == 0) return;
      use(0, true, rows * columns);
      use(1, false, rows * columns);
      use(2, false, rows * mask_columns);
      admit();
      const Values x = read(1), mask = read(2);
      Values out(rows * columns);
      for (uint64_t i = 0; i < out.size(); ++i) {
        const uint64_t c = i % columns;
        const uint64_t at = i / columns * mask_columns + (bits ? c / 8 : c);
        matters(2, at, 1);
        const auto word = static_cast<uint32_t>(mask[at]);
        const bool taken = bits ? (word >> (c % 8) & 1) != 0 : word != 0;
        out[i] = taken ? x[i] / keep : 0;
        if (taken && ctx.missing) hand_on(1, i, i);
      }
      write(0, out);
      return finish();
    }
    case SOFTNPU_ADV_REDUCE_XOR_SUM: {  // params: count. list: dst, src0, src1
      const uint64_t count = size(1);
      only(0, {SOFTNPU_INT16});
      if (count == 0) return;
      use(0, true, 1);
      use(1, false, count);
      use(2, false, count);
      admit();
      matters(1, 0, count);
      matters(2, 0, count);
      const Values a = read(1), b = read(2);
      double sum = 0;
      for (uint64_t e = 0; e < count; ++e) {
        sum += static_cast<int16_t>(static_cast<int16_t>(a[e]) ^ static_cast<int16_t>(b[e]));
      }
      write(0, Values(1, sum));
      return finish();
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
        only(0, {SOFTNPU_FLOAT});
        if (in.params[4] == 0) {
          ctx.Fail(Format("srcInnerPad is false, %s takes only true", AdvancedName(call)));
        }
      } else if (logical) {
        only(0, {SOFTNPU_FLOAT, SOFTNPU_UINT8});
      } else {
        only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
      }
      ctx.CheckLimit("srcShape[0]", in.params[1], 1, INT32_MAX);
      ctx.CheckLimit("srcShape[1]", in.params[2], 1, INT32_MAX);
      if (in.params[4] == 0) whole_blocks("srcShape[1] without srcInnerPad", columns, list[1].type);
      const uint64_t pitch = (columns * step + kBlockBytes - 1) / kBlockBytes * kBlockBytes / step;
      use(0, true, last ? rows : columns);
      // The padding of a row is not read.
      if (ctx.strict()) ctx.CheckUbAlignment(list[1], "operand 1");
      access_of[1] = ctx.accesses.size();
      ctx.Add(list[1], false, list[1].address, columns * step, rows, pitch * step);
      admit();
      Values out(last ? rows : columns);
      for (uint64_t r = 0; r < rows; ++r) {
        for (uint64_t c = 0; c < columns; ++c) {
          const double value =
              LoadAs(list[1].type, ctx.accesses[access_of[1]].host + (r * pitch + c) * step);
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
      write(0, out);
      return finish();
    }
    case SOFTNPU_ADV_SELECT_BYTES: {
      // params: rows, columns, columns of the mask, the scalar where the mask is 0?; scalar.
      // list: dst, src, mask.
      const uint64_t rows = size(1), columns = size(2), mask_columns = size(3);
      only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
      whole_blocks("srcLastAxis", columns, list[1].type);
      whole_blocks("maskLastAxis", mask_columns, list[2].type);
      if (mask_columns % 16 != 0 || mask_columns < columns) {
        ctx.Fail(
            Format("maskLastAxis %llu has to be a multiple of 16 that is not below "
                   "srcLastAxis %llu",
                   static_cast<unsigned long long>(mask_columns),
                   static_cast<unsigned long long>(columns)));
      }
      has_size(1, "src", "srcLastAxis", rows, columns);
      has_size(2, "mask", "maskLastAxis", rows, mask_columns);
      if (rows == 0 || columns == 0) return;
      use(0, true, rows * columns);
      use(1, false, rows * columns);
      use(2, false, rows * mask_columns);
      admit();
      const Values from = read(1), mask = read(2);
      const double scalar = BitsTo<double>(in.scalar);
      Values out(rows * columns);
      for (uint64_t i = 0; i < out.size(); ++i) {
        const uint64_t at = i / columns * mask_columns + i % columns;
        matters(2, at, 1);
        const bool take_scalar = (mask[at] == 0) == (in.params[4] != 0);
        out[i] = take_scalar ? scalar : from[i];
        if (!take_scalar && ctx.missing) hand_on(1, i, i);
      }
      write(0, out);
      return finish();
    }
    default:
      break;
  }
  // params: count, first operand a scalar?, second?; scalar: its bits as a double.
  const bool integers = call == SOFTNPU_ADV_POWER;
  if (call == SOFTNPU_ADV_XOR) {
    only(0, {SOFTNPU_INT16, SOFTNPU_UINT16});
  } else if (!(integers && list[0].type == SOFTNPU_INT32)) {
    only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
  }
  if (in.params[1] < 0)
    ctx.Fail(Format("count %lld is negative", static_cast<long long>(in.params[1])));
  const uint64_t count = size(1);
  if (count == 0) return;
  const bool first_scalar = in.params[2] != 0;
  for (uint32_t i = 0; i < tensors; ++i) use(i, i == 0, count);
  admit();
  for (uint32_t i = 1; i < tensors && ctx.missing; ++i) {
    for (uint64_t e = 0; e < count; ++e) hand_on(i, e, e);
  }
  const double scalar = BitsTo<double>(in.scalar);
  const Values a = first_scalar ? Values(count, scalar) : read(1);
  const Values b = tensors == 3 ? read(2) : first_scalar ? read(1) : Values(count, scalar);
  Values out(count);
  for (uint64_t i = 0; i < count; ++i) {
    out[i] = call == SOFTNPU_ADV_SWIGLU ? a[i] * ElementOf(SOFTNPU_ADV_SWISH, b[i], scalar)
                                        : ElementOf(call, a[i], b[i]);
  }
  write(0, out);
  finish();
}

}  // namespace softnpu::ascendc::semantics
