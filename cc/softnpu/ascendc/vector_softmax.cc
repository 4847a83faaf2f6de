// cc/softnpu/ascendc/vector_softmax.cc: the high-level calls around softmax.
#include <algorithm>
#include <cmath>

#include "cc/softnpu/ascendc/advanced_call.h"
#include "cc/softnpu/ascendc/vector_unit.h"

namespace softnpu::ascendc::semantics {

using namespace vector;  // NOLINT: the namespace of this unit

// Rows of `columns` elements, the first `valid` of which count.
// params: rows, columns, valid, with sums?, update?, one element per row instead of a block?
// list: dst, [sum, max,] src; of the flash forms: dst, sum, max, expMax, src, inSum, inMax, [the
// maximum of this call's rows].
void Softmax(AdvancedCall& c) {
  const uint64_t rows = c.Size(1), columns = c.Size(2), valid = c.Size(3);
  const bool simple = c.call == SOFTNPU_ADV_SIMPLE_SOFTMAX;
  const bool divides = c.call != SOFTNPU_ADV_SOFTMAX_FLASH_V2;
  const bool flash = c.call == SOFTNPU_ADV_SOFTMAX_FLASH || !divides;
  const bool sums = c.in.params[4] != 0 || flash;
  const bool update = c.in.params[5] != 0 && flash;
  const bool narrow = c.in.params[6] != 0;
  const uint32_t src = flash ? 4 : sums ? 3 : 1;
  const bool maxima = flash && c.tensors == 8 && update;
  c.Only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
  if (valid > columns) c.ctx.Fail("the original width is larger than the width");
  if (columns * TypeBytes(c.list[src].type) % kBlockBytes != 0) {
    c.ctx.Fail(Format("rows of %llu elements are not whole blocks of %llu bytes",
                      static_cast<unsigned long long>(columns),
                      static_cast<unsigned long long>(kBlockBytes)));
  }
  if (rows == 0 || columns == 0) return;
  const auto width_of = [&](uint32_t i) {
    return narrow ? 1 : kBlockBytes / TypeBytes(c.list[i].type);
  };
  const uint64_t width = sums ? width_of(1) : 0;
  const uint64_t exp_width = flash ? width_of(3) : 0;
  c.Use(0, true, rows * columns);
  c.Use(src, false, rows * columns);
  if (sums) {
    c.Use(1, !simple, rows * width);
    c.Use(2, !simple, rows * width);
  }
  if (update) {
    c.Use(3, true, rows * exp_width);
    c.Use(5, false, rows * width);
    c.Use(6, false, rows * width);
  }
  if (maxima) c.Use(7, true, rows * width);
  c.Admit();
  for (uint64_t r = 0; r < rows; ++r) {
    c.Matters(src, r * columns, valid);
    for (uint64_t e = valid; e < columns && c.ctx.missing; ++e) {
      c.HandOn(src, r * columns + e, r * columns + e);
    }
  }
  const uint32_t given_sum = simple ? 1 : 5, given_max = simple ? 2 : 6;
  Values old_sum, old_max;
  if (simple || update) {
    c.Matters(given_sum, 0, rows * width);
    c.Matters(given_max, 0, rows * width);
    old_sum = c.Read(given_sum);
    old_max = c.Read(given_max);
  }
  const Values x = c.Read(src);
  Values out(rows * columns), sum(rows * width), max(rows * width), exp_max(rows * exp_width);
  Values own_max(maxima ? rows * width : 0);
  for (uint64_t r = 0; r < rows; ++r) {
    double largest = -INFINITY;
    for (uint64_t e = 0; e < valid; ++e) {
      const double value = x[r * columns + e];
      largest = std::isnan(largest) || std::isnan(value) ? NAN : std::max(largest, value);
    }
    for (uint64_t e = 0; e < width && maxima; ++e) own_max[r * width + e] = largest;
    if (simple) largest = old_max[r * width];
    if (update) largest = std::max(largest, old_max[r * width]);
    double total = 0;
    for (uint64_t e = 0; e < columns; ++e) {
      // Columns beyond the original width are computed alike and do not count.
      out[r * columns + e] = std::exp(x[r * columns + e] - largest);
      if (e < valid) total += out[r * columns + e];
    }
    if (simple) total = old_sum[r * width];
    if (update) {
      double scale = std::exp(old_max[r * width] - largest) * old_sum[r * width];
      total += scale;
      // The first form gives the share of what was there before, the second its factor.
      scale = divides ? scale / total : std::exp(old_max[r * width] - largest);
      for (uint64_t e = 0; e < exp_width; ++e) exp_max[r * exp_width + e] = scale;
    }
    for (uint64_t e = 0; e < columns && divides; ++e) {
      double& value = out[r * columns + e];
      // The logarithm to base 10, as CANN's page computes it; of the quotient, which may underflow.
      value = c.call == SOFTNPU_ADV_LOG_SOFTMAX
                  ? (x[r * columns + e] - largest - std::log(total)) / std::log(10.0)
                  : value / total;
    }
    for (uint64_t e = 0; e < width; ++e) {
      sum[r * width + e] = total;
      max[r * width + e] = largest;
    }
  }
  c.Write(0, out);
  if (sums && !simple) {
    c.Write(1, sum);
    c.Write(2, max);
  }
  if (update) c.Write(3, exp_max);
  if (maxima) c.Write(7, own_max);
  c.Finish();
}

// params: rows, columns, valid; list: dst, grad, src. Front: a block for each row with the sum of
// grad * src; else (grad - sum) * src.
void SoftmaxGrad(AdvancedCall& c) {
  const uint64_t rows = c.Size(1), columns = c.Size(2), valid = c.Size(3);
  const bool front = c.call == SOFTNPU_ADV_SOFTMAX_GRAD_FRONT;
  c.Only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
  if (valid > columns) c.ctx.Fail("the original width is larger than the width");
  c.WholeBlocks("a row", columns, c.list[1].type);
  if (rows == 0 || columns == 0) return;
  const uint64_t width = kBlockBytes / TypeBytes(c.list[0].type);
  c.Use(0, true, rows * (front ? width : columns));
  c.Use(1, false, rows * columns);
  c.Use(2, false, rows * columns);
  c.Admit();
  for (uint64_t r = 0; r < rows; ++r) {
    c.Matters(1, r * columns, valid);
    c.Matters(2, r * columns, valid);
    for (uint64_t e = valid; e < columns && c.ctx.missing && !front; ++e) {
      c.HandOn(1, r * columns + e, r * columns + e);
      c.HandOn(2, r * columns + e, r * columns + e);
    }
  }
  const Values grad = c.Read(1), x = c.Read(2);
  Values out(rows * (front ? width : columns));
  for (uint64_t r = 0; r < rows; ++r) {
    double sum = 0;
    for (uint64_t e = 0; e < valid; ++e) sum += grad[r * columns + e] * x[r * columns + e];
    for (uint64_t e = 0; e < columns && !front; ++e) {
      out[r * columns + e] = (grad[r * columns + e] - sum) * x[r * columns + e];
    }
    for (uint64_t e = 0; e < width && front; ++e) out[r * width + e] = sum;
  }
  c.Write(0, out);
  c.Finish();
}

// A row of the result becomes `to` where the row's maximum has the bits `from`. The instruction's
// result: whether there was such a row.
// params: rows, columns, from, elements from one maximum to the next; scalar: to. list: res, max.
void AdjustSoftmax(AdvancedCall& c) {
  const uint64_t rows = c.Size(1), columns = c.Size(2), step = c.Size(4);
  c.Only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
  c.Only(1, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
  c.WholeBlocks("srcK", columns, c.list[0].type);
  c.in.result = 0;
  if (rows == 0 || columns == 0) return;
  // A row that stays as it is keeps what it holds, a value or none.
  SoftnpuTensor again = c.list[0];
  c.Use(0, true, rows * columns);
  c.Use(1, false, (rows - 1) * step + 1);
  const size_t source = c.ctx.accesses.size();
  c.ctx.Add(again, false, again.address, rows * columns * TypeBytes(again.type)).travels = true;
  c.Admit();
  const uint64_t size = TypeBytes(c.list[0].type), max_size = TypeBytes(c.list[1].type);
  const uint64_t mask = max_size == 2 ? 0xFFFF : 0xFFFFFFFF;
  for (uint64_t r = 0; r < rows; ++r) {
    c.Matters(1, r * step, 1);
    uint64_t bits = 0;
    std::memcpy(&bits, c.AccessOf(1).host + r * step * max_size, max_size);
    if (bits == (c.Size(3) & mask)) {
      c.in.result = 1;
      for (uint64_t e = 0; e < columns; ++e) {
        StoreAs(c.list[0].type, c.AccessOf(0).host + (r * columns + e) * size, c.Scalar());
      }
    } else if (c.ctx.missing) {
      for (uint64_t e = 0; e < columns; ++e) {
        const uint64_t at = c.ctx.accesses[source].base + (r * columns + e) * size;
        if (!c.ctx.HasValue(at, size)) c.ctx.Spoil(SOFTNPU_SPACE_UB, at, at + size, again, at);
      }
    }
  }
  c.Finish();
}

}  // namespace softnpu::ascendc::semantics
