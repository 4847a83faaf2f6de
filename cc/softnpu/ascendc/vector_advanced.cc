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
    ctx.Add(list[i], write, list[i].address, elements * TypeBytes(list[i].type));
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

  switch (call) {
    case SOFTNPU_ADV_SUM:
    case SOFTNPU_ADV_MEAN: {  // params: outer, inner, n
      const uint64_t outer = size(1), inner = size(2), n = size(3);
      only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
      ctx.CheckLimit("n", in.params[3], 1, in.params[2]);
      if (inner * TypeBytes(list[1].type) % kBlockBytes != 0) {
        ctx.Fail(Format("inner of %llu elements is not a multiple of %llu bytes",
                        static_cast<unsigned long long>(inner),
                        static_cast<unsigned long long>(kBlockBytes)));
      }
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
        std::memcpy(ctx.accesses[access_of[0]].host + i * step, source.data() + at * step, step);
      }
      return finish();
    }
    default:
      break;
  }
  // params: count, first operand a scalar?, second?; scalar: its bits as a double.
  const bool integers = call == SOFTNPU_ADV_POWER;
  if (!(integers && list[0].type == SOFTNPU_INT32)) only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
  if (in.params[1] < 0)
    ctx.Fail(Format("count %lld is negative", static_cast<long long>(in.params[1])));
  const uint64_t count = size(1);
  if (count == 0) return;
  const bool first_scalar = in.params[2] != 0;
  for (uint32_t i = 0; i < tensors; ++i) use(i, i == 0, count);
  admit();
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
