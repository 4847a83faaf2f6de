// cc/softnpu/ascendc/vector_norm.cc: the high-level calls that normalise.
#include <cmath>
#include <numeric>

#include "cc/softnpu/ascendc/advanced_call.h"
#include "cc/softnpu/ascendc/vector_unit.h"

namespace softnpu::ascendc::semantics {
namespace {

using namespace vector;  // NOLINT: the namespace of this unit

struct Moments {
  double mean, variance;
};

// Of n elements that are `step` apart.
Moments MomentsOf(const double* x, uint64_t n, uint64_t step = 1) {
  const auto count = static_cast<double>(n);
  Moments out{0, 0};
  for (uint64_t i = 0; i < n; ++i) out.mean += x[i * step] / count;
  for (uint64_t i = 0; i < n; ++i) {
    out.variance += (x[i * step] - out.mean) * (x[i * step] - out.mean) / count;
  }
  return out;
}

// The original width lies between 1 and the padded one.
void CheckWidth(const AdvancedCall& c, uint64_t columns, uint64_t valid) {
  if (valid == 0 || valid > columns) {
    c.ctx.Fail(
        Format("%s takes the original width %llu of rows of %llu elements; it has to lie "
               "between 1 and that",
               AdvancedName(c.call), static_cast<unsigned long long>(valid),
               static_cast<unsigned long long>(columns)));
  }
}

// Elements of rows that count need values; the others hand on what they have. `shared` operands
// have one row for all.
void Rows(const AdvancedCall& c, uint64_t rows, uint64_t columns, uint64_t valid,
          std::initializer_list<uint32_t> sources, std::initializer_list<uint32_t> shared) {
  for (uint64_t r = 0; r < rows && c.ctx.missing; ++r) {
    for (const uint32_t i : sources) c.Matters(i, r * columns, valid);
    for (uint64_t e = 0; e < columns; ++e) {
      for (const uint32_t i : sources) c.HandOn(i, r * columns + e, r * columns + e);
      for (const uint32_t i : shared) c.HandOn(i, e, r * columns + e);
    }
  }
}

}  // namespace

// params: rows, columns, columns that count; scalar: epsilon. list: dst, src, gamma
void RmsNorm(AdvancedCall& c) {
  const uint64_t rows = c.Size(1), columns = c.Size(2), valid = c.Size(3);
  c.Only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
  CheckWidth(c, columns, valid);
  if (rows == 0) return;
  c.Use(0, true, rows * columns);
  c.Use(1, false, rows * columns);
  c.Use(2, false, columns);
  c.Admit();
  Rows(c, rows, columns, valid, {1}, {2});
  const Values x = c.Read(1), gamma = c.Read(2);
  Values out(rows * columns);
  for (uint64_t r = 0; r < rows; ++r) {
    double squares = 0;
    for (uint64_t e = 0; e < valid; ++e) squares += x[r * columns + e] * x[r * columns + e];
    const double scale = 1 / std::sqrt(squares / static_cast<double>(valid) + c.Scalar());
    for (uint64_t e = 0; e < columns; ++e) {
      out[r * columns + e] = x[r * columns + e] * scale * gamma[e];
    }
  }
  c.Write(0, out);
  c.Finish();
}

// params: rows, columns, columns that count, [bits of alpha as a double], gamma?, beta?; scalar:
// epsilon.
// list: dst, mean, variance or 1/deviation, src, gamma, beta, [src of DeepNorm's sum]. Normalize
// reads the mean, and the variance as a last operand.
void LayerNorm(AdvancedCall& c) {
  const uint64_t rows = c.Size(1), columns = c.Size(2), valid = c.Size(3);
  const bool deep = c.call == SOFTNPU_ADV_DEEP_NORM;
  const bool given = c.call == SOFTNPU_ADV_NORMALIZE;
  const bool inverse = given || c.call == SOFTNPU_ADV_LAYER_NORM_RSTD;
  const bool has_gamma = c.in.params[5] != 0, has_beta = c.in.params[6] != 0;
  c.Only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
  CheckWidth(c, columns, valid);
  c.WholeBlocks("a row", columns, c.list[3].type);
  if (deep) c.ctx.CheckLimit("hLength", c.in.params[2], 1, 2040);
  if (TypeBytes(c.list[4].type) < TypeBytes(c.list[3].type)) {
    c.ctx.Fail(Format("gamma of %s is less exact than inputX of %s", TypeName(c.list[4].type),
                      TypeName(c.list[3].type)));
  }
  if (rows == 0) return;
  c.Use(0, true, rows * columns);
  c.Use(1, !given, rows);
  c.Use(2, true, rows);
  c.Use(3, false, rows * columns);
  if (has_gamma) c.Use(4, false, columns);
  if (has_beta) c.Use(5, false, columns);
  if (deep) c.Use(6, false, rows * columns);
  if (given) c.Use(6, false, rows);
  c.Admit();
  Rows(c, rows, columns, valid, {3}, {});
  if (deep) Rows(c, rows, columns, valid, {6}, {});
  if (has_gamma) Rows(c, rows, columns, valid, {}, {4});
  if (has_beta) Rows(c, rows, columns, valid, {}, {5});
  if (given) {
    c.Matters(1, 0, rows);
    c.Matters(6, 0, rows);
  }
  Values x = c.Read(3);
  if (deep) {
    const Values added = c.Read(6);
    const double alpha = BitsTo<double>(static_cast<uint64_t>(c.in.params[4]));
    for (size_t i = 0; i < x.size(); ++i) x[i] = alpha * x[i] + added[i];
  }
  const Values gamma = has_gamma ? c.Read(4) : Values(columns, 1.0);
  const Values beta = has_beta ? c.Read(5) : Values(columns, 0.0);
  Values means = given ? c.Read(1) : Values(rows), variances = given ? c.Read(6) : Values(rows);
  Values out(rows * columns), spread(rows);
  for (uint64_t r = 0; r < rows; ++r) {
    const double* const row = x.data() + r * columns;
    if (!given) {
      const Moments moments = MomentsOf(row, valid);
      means[r] = moments.mean;
      variances[r] = moments.variance;
    }
    const double scale = 1 / std::sqrt(variances[r] + c.Scalar());
    for (uint64_t e = 0; e < columns; ++e) {
      out[r * columns + e] = (row[e] - means[r]) * scale * gamma[e] + beta[e];
    }
    spread[r] = inverse ? scale : variances[r];
  }
  c.Write(0, out);
  if (!given) c.Write(1, means);
  c.Write(2, spread);
  c.Finish();
}

// params: rows, columns, columns that count; scalar: epsilon.
// list: dx, (x - mean) / deviation, dy, x, variance, mean, gamma
void LayerNormGrad(AdvancedCall& c) {
  const uint64_t rows = c.Size(1), columns = c.Size(2), valid = c.Size(3);
  c.Only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
  CheckWidth(c, columns, valid);
  c.WholeBlocks("a row", columns, c.list[0].type);
  if (rows == 0) return;
  for (const uint32_t i : {0u, 1u, 2u, 3u}) c.Use(i, i < 2, rows * columns);
  c.Use(4, false, rows);
  c.Use(5, false, rows);
  c.Use(6, false, columns);
  c.Admit();
  Rows(c, rows, columns, valid, {2, 3}, {6});
  c.Matters(4, 0, rows);
  c.Matters(5, 0, rows);
  c.Matters(6, 0, valid);
  for (uint64_t r = 0; r < rows && c.ctx.missing; ++r) {
    for (uint64_t e = valid; e < columns; ++e) {
      c.HandOn(3, r * columns + e, r * columns + e, 1);
    }
  }
  const Values dy = c.Read(2), x = c.Read(3), variance = c.Read(4), mean = c.Read(5),
               gamma = c.Read(6);
  Values dx(rows * columns), normal(rows * columns);
  const auto h = static_cast<double>(valid);
  for (uint64_t r = 0; r < rows; ++r) {
    const double scale = 1 / std::sqrt(variance[r] + c.Scalar());
    double d_variance = 0, d_mean = 0, offsets = 0;
    for (uint64_t e = 0; e < valid; ++e) {
      const double centred = x[r * columns + e] - mean[r], d = dy[r * columns + e] * gamma[e];
      d_variance += -0.5 * d * centred * scale * scale * scale;
      d_mean -= d * scale;
      offsets -= 2 * centred;
    }
    d_mean += d_variance * offsets / h;
    for (uint64_t e = 0; e < columns; ++e) {
      const uint64_t at = r * columns + e;
      const double centred = x[at] - mean[r];
      dx[at] = dy[at] * gamma[e] * scale + d_variance * 2 / h * centred + d_mean / h;
      normal[at] = centred * scale;
    }
  }
  c.Write(0, dx);
  c.Write(1, normal);
  c.Finish();
}

// params: rows, columns. list: d gamma, d beta, (x - mean) / deviation, dy
void LayerNormGradBeta(AdvancedCall& c) {
  const uint64_t rows = c.Size(1), columns = c.Size(2);
  c.Only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
  c.WholeBlocks("a row", columns, c.list[0].type);
  if (rows == 0 || columns == 0) return;
  c.Use(0, true, columns);
  c.Use(1, true, columns);
  c.Use(2, false, rows * columns);
  c.Use(3, false, rows * columns);
  c.Admit();
  c.Matters(2, 0, rows * columns);
  c.Matters(3, 0, rows * columns);
  const Values normal = c.Read(2), dy = c.Read(3);
  Values d_gamma(columns), d_beta(columns);
  for (uint64_t i = 0; i < rows * columns; ++i) {
    d_gamma[i % columns] += normal[i] * dy[i];
    d_beta[i % columns] += dy[i];
  }
  c.Write(0, d_gamma);
  c.Write(1, d_beta);
  c.Finish();
}

// params: rows of the batch, elements of a row; scalar: epsilon.
// list: dst, mean and variance of a row's size, src, gamma and beta with an element per row
void BatchNorm(AdvancedCall& c) {
  const uint64_t rows = c.Size(1), columns = c.Size(2);
  c.Only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
  c.WholeBlocks("S times H", columns, c.list[3].type);
  if (rows == 0 || columns == 0) return;
  c.Use(0, true, rows * columns);
  c.Use(1, true, columns);
  c.Use(2, true, columns);
  c.Use(3, false, rows * columns);
  c.Use(4, false, rows);
  c.Use(5, false, rows);
  c.Admit();
  c.Matters(3, 0, rows * columns);
  c.Matters(4, 0, rows);
  c.Matters(5, 0, rows);
  const Values x = c.Read(3), gamma = c.Read(4), beta = c.Read(5);
  Values out(rows * columns), means(columns), variances(columns);
  for (uint64_t e = 0; e < columns; ++e) {
    const Moments moments = MomentsOf(x.data() + e, rows, columns);
    means[e] = moments.mean;
    variances[e] = moments.variance;
    for (uint64_t r = 0; r < rows; ++r) {
      out[r * columns + e] = (x[r * columns + e] - moments.mean) /
                                 std::sqrt(moments.variance + c.Scalar()) * gamma[r] +
                             beta[r];
    }
  }
  c.Write(0, out);
  c.Write(1, means);
  c.Write(2, variances);
  c.Finish();
}

// params: samples, groups, channels of a group, elements of a channel; scalar: epsilon.
// list: dst, mean and variance with an element per sample and group, src, gamma and beta with an
// element per channel
void GroupNorm(AdvancedCall& c) {
  const uint64_t n = c.Size(1), groups = c.Size(2), depth = c.Size(3), size = c.Size(4);
  c.Only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
  const uint64_t group = depth * size, total = n * groups * group;
  if (total == 0) return;
  c.Use(0, true, total);
  c.Use(1, true, n * groups);
  c.Use(2, true, n * groups);
  c.Use(3, false, total);
  c.Use(4, false, groups * depth);
  c.Use(5, false, groups * depth);
  c.Admit();
  c.Matters(3, 0, total);
  c.Matters(4, 0, groups * depth);
  c.Matters(5, 0, groups * depth);
  const Values x = c.Read(3), gamma = c.Read(4), beta = c.Read(5);
  Values out(total), means(n * groups), variances(n * groups);
  for (uint64_t g = 0; g < n * groups; ++g) {
    const Moments moments = MomentsOf(x.data() + g * group, group);
    means[g] = moments.mean;
    variances[g] = moments.variance;
    const double scale = 1 / std::sqrt(moments.variance + c.Scalar());
    for (uint64_t e = 0; e < group; ++e) {
      const uint64_t channel = g % groups * depth + e / size;
      out[g * group + e] =
          (x[g * group + e] - moments.mean) * scale * gamma[channel] + beta[channel];
    }
  }
  c.Write(0, out);
  c.Write(1, means);
  c.Write(2, variances);
  c.Finish();
}

// The next block of data joins the running mean and sum of squares of each column.
// params: columns, columns that are computed, the others are copied?; scalar: 1 / blocks so far.
// list: mean, squares, earlier mean, earlier squares, x
void WelfordUpdate(AdvancedCall& c) {
  const uint64_t columns = c.Size(1), computed = c.Size(2);
  const bool copies = c.in.params[3] != 0;
  c.Only(0, {SOFTNPU_FLOAT});
  c.Only(4, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
  c.WholeBlocks("abLength", columns, c.list[4].type);
  c.ctx.CheckLimit("abComputeLength", c.in.params[2], 1, c.in.params[1]);
  const uint64_t written = copies ? columns : computed;
  for (const uint32_t i : {0u, 1u, 2u, 3u}) c.Use(i, i < 2, written);
  c.Use(4, false, computed);
  c.Admit();
  for (uint64_t e = 0; e < written && c.ctx.missing; ++e) {
    c.HandOn(2, e, e);
    c.HandOn(3, e, e, 1);
    if (e >= computed) continue;
    c.HandOn(2, e, e, 1);
    for (const uint32_t output : {0u, 1u}) c.HandOn(4, e, e, output);
  }
  const Values old_mean = c.Read(2), old_squares = c.Read(3), x = c.Read(4);
  Values mean = old_mean, squares = old_squares;
  for (uint64_t e = 0; e < computed; ++e) {
    mean[e] += (x[e] - old_mean[e]) * c.Scalar();
    squares[e] += (x[e] - old_mean[e]) * (x[e] - mean[e]);
  }
  c.Write(0, mean);
  c.Write(1, squares);
  c.Finish();
}

// Mean and variance of all from those of the columns.
// params: columns, blocks, count of the first columns, their number, count of the others, their
// number, bits of 1 / columns as a double; scalar: 1 / elements. list: mean, variance, means,
// squares, [counts]
void WelfordFinalize(AdvancedCall& c) {
  const uint64_t columns = c.Size(1), head = c.Size(4), tail = c.Size(6);
  const bool counted = c.tensors == 5;
  c.Only(0, {SOFTNPU_FLOAT});
  c.WholeBlocks("abLength", columns, SOFTNPU_FLOAT);
  if (!counted) {
    if (head + tail != columns) {
      c.ctx.Fail(Format("headCountLength %llu and tailCountLength %llu are not abLength %llu",
                        static_cast<unsigned long long>(head),
                        static_cast<unsigned long long>(tail),
                        static_cast<unsigned long long>(columns)));
    }
    if (c.Size(5) == 0 && tail != 0) {
      c.ctx.Fail(Format("tailCountLength is %llu, it has to be 0 where tailCount is 0",
                        static_cast<unsigned long long>(tail)));
    }
  }
  if (columns == 0) return;
  c.Use(0, true, 1);
  c.Use(1, true, 1);
  for (uint32_t i = 2; i < c.tensors; ++i) c.Use(i, false, columns);
  c.Admit();
  for (uint32_t i = 2; i < c.tensors; ++i) c.Matters(i, 0, columns);
  const Values means = c.Read(2), squares = c.Read(3);
  const Values counts = counted ? c.Read(4) : Values();
  const bool even = !counted && tail == 0;
  const auto count = [&](uint64_t e) {
    return counted ? counts[e] : static_cast<double>(e < head ? c.Size(3) : c.Size(5));
  };
  double mean = 0, variance = 0;
  for (uint64_t e = 0; e < columns; ++e) mean += even ? means[e] : means[e] * count(e);
  mean *= even ? BitsTo<double>(c.Size(7)) : c.Scalar();
  for (uint64_t e = 0; e < columns; ++e) {
    const double off = means[e] - mean;
    variance += squares[e] + off * off * (even ? static_cast<double>(c.Size(2)) : count(e));
  }
  c.Write(0, {mean});
  c.Write(1, {variance * c.Scalar()});
  c.Finish();
}

}  // namespace softnpu::ascendc::semantics
