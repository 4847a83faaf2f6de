// cc/softnpu/ascendc/vector_quant.cc: the high-level calls from and to small integers, and the
// transpositions with a tiling.
#include <cmath>

#include "cc/softnpu/ascendc/advanced_call.h"
#include "cc/softnpu/ascendc/vector_unit.h"

namespace softnpu::ascendc::semantics {
namespace {

using namespace vector;  // NOLINT: the namespace of this unit

double HalfOf(double value) { return static_cast<double>(Load(StoreDouble<Half>(value))); }
double FloatOf(double value) { return static_cast<double>(static_cast<float>(value)); }

}  // namespace

// params: count, n of the scales (0: one), bits of the offset as a float; scalar: the scale.
// list: dst, src, [scales, [offsets]]. Computed in half, as the device does.
void Quant(AdvancedCall& c) {
  const uint64_t count = c.Size(1), n = c.Size(2);
  c.Only(0, {SOFTNPU_INT8});
  c.Only(1, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16});
  if (count == 0) return;
  if (n != 0 && count % n != 0) {
    c.ctx.Fail(Format("%llu elements are no whole number of rows of %llu scales",
                      static_cast<unsigned long long>(count), static_cast<unsigned long long>(n)));
  }
  c.Use(0, true, count);
  c.Use(1, false, count);
  for (uint32_t i = 2; i < c.tensors; ++i) c.Use(i, false, n);
  c.Admit();
  for (uint64_t e = 0; e < count && c.ctx.missing; ++e) {
    c.HandOn(1, e, e);
    for (uint32_t i = 2; i < c.tensors; ++i) c.HandOn(i, e % n, e);
  }
  const auto offset = static_cast<double>(BitsTo<float>(c.Size(3)));
  const Values x = c.Read(1);
  const Values scales = c.tensors > 2 ? c.Read(2) : Values(),
               offsets = c.tensors > 3 ? c.Read(3) : Values();
  Values out(count);
  for (uint64_t e = 0; e < count; ++e) {
    const double by = HalfOf(c.tensors > 2 ? scales[e % n] : c.Scalar());
    const double plus = HalfOf(c.tensors > 3 ? offsets[e % n] : offset);
    out[e] = std::nearbyint(HalfOf(HalfOf(HalfOf(x[e]) * by) + plus));
  }
  c.Write(0, out);
  c.Finish();
}

// params: rows, columns, columns that are computed; scalar: the scale. list: dst, src, [scales].
// Rows of dst are padded to whole blocks. Computed in float, as the device does.
void Dequant(AdvancedCall& c) {
  const uint64_t rows = c.Size(1), columns = c.Size(2), computed = c.Size(3);
  c.Only(0, {SOFTNPU_FLOAT, SOFTNPU_FLOAT16, SOFTNPU_BFLOAT16});
  c.Only(1, {SOFTNPU_INT32});
  c.WholeBlocks("n", columns, SOFTNPU_INT32);
  if (rows == 0) return;
  c.ctx.CheckLimit("calCount", c.in.params[3], 1, c.in.params[2]);
  const bool packed = c.tensors > 2 && c.list[2].type == SOFTNPU_UINT64;
  if (c.tensors > 2) {
    c.Only(2, {SOFTNPU_UINT64, SOFTNPU_FLOAT, SOFTNPU_BFLOAT16});
    if (packed != (c.list[0].type == SOFTNPU_FLOAT16)) {
      c.ctx.Fail(Format("AscendDequant to %s does not take scales of %s", TypeName(c.list[0].type),
                        TypeName(c.list[2].type)));
    }
  }
  const uint64_t size = TypeBytes(c.list[0].type);
  const uint64_t pitch = (columns * size + kBlockBytes - 1) / kBlockBytes * kBlockBytes / size;
  c.UseRows(0, true, computed, rows, pitch);
  c.UseRows(1, false, computed, rows, columns);
  if (c.tensors > 2) c.Use(2, false, computed);
  c.Admit();
  if (c.tensors > 2) c.Matters(2, 0, computed);
  for (uint64_t r = 0; r < rows; ++r) {
    if (rows == 1) c.Matters(1, 0, computed);
    for (uint64_t e = 0; e < computed; ++e) {
      double by = c.Scalar();
      if (packed) {
        // The upper half of the word is for other instructions.
        by = static_cast<double>(Peek<float>(c.AccessOf(2).host + e * 8));
      } else if (c.tensors > 2) {
        by = LoadAs(c.list[2].type, c.AccessOf(2).host + e * TypeBytes(c.list[2].type));
      }
      const double x = LoadAs(SOFTNPU_INT32, c.AccessOf(1).host + (r * columns + e) * 4);
      StoreAs(c.list[0].type, c.AccessOf(0).host + (r * pitch + e) * size,
              FloatOf(FloatOf(x) * FloatOf(by)));
    }
  }
  c.Finish();
}

// scale * (src + offset), the rounding of each step as the device has it: in half, or for bfloat16
// in float.
// params: rows and columns of src, rows and columns of the groups (0: one for all), bits of the
// offset as a float; scalar: the scale. list: dst, src, [offsets,] [scales]; params[6]: with
// offsets?
void AntiQuant(AdvancedCall& c) {
  const uint64_t rows = c.Size(1), columns = c.Size(2), groups = c.Size(3), across = c.Size(4);
  c.Only(0, {SOFTNPU_FLOAT16, SOFTNPU_BFLOAT16});
  c.Only(1, {SOFTNPU_INT8});
  const bool tensors = c.tensors > 2, offsets = c.in.params[6] != 0;
  c.WholeBlocks("the source", rows * columns, SOFTNPU_INT8);
  if (tensors && (groups == 0 || across == 0 || rows % groups != 0 || columns % across != 0)) {
    c.ctx.Fail(
        Format("a matrix of %llu x %llu cannot have %llu x %llu scales",
               static_cast<unsigned long long>(rows), static_cast<unsigned long long>(columns),
               static_cast<unsigned long long>(groups), static_cast<unsigned long long>(across)));
  }
  if (rows == 0 || columns == 0) return;
  c.Use(0, true, rows * columns);
  c.Use(1, false, rows * columns);
  for (uint32_t i = 2; i < c.tensors; ++i) c.Use(i, false, groups * across);
  c.Admit();
  const auto place = [&](uint64_t e) {
    return e / columns / (rows / groups) * across + e % columns / (columns / across);
  };
  for (uint64_t e = 0; e < rows * columns && c.ctx.missing; ++e) {
    c.HandOn(1, e, e);
    for (uint32_t i = 2; i < c.tensors; ++i) c.HandOn(i, place(e), e);
  }
  const Values x = c.Read(1), scales = tensors ? c.Read(c.tensors - 1) : Values(),
               plus = tensors && offsets ? c.Read(2) : Values();
  const auto offset = static_cast<double>(BitsTo<float>(c.Size(5)));
  const auto round = [&](double value) {
    return c.list[0].type == SOFTNPU_FLOAT16 ? HalfOf(value) : FloatOf(value);
  };
  Values out(rows * columns);
  for (uint64_t e = 0; e < out.size(); ++e) {
    const double add = !offsets ? 0 : tensors ? plus[place(e)] : offset;
    out[e] = round(round(x[e] + add) * (tensors ? scales[place(e)] : c.Scalar()));
  }
  c.Write(0, out);
  c.Finish();
}

// params: TransposeType, b, n, s, h/n (a matrix of h x w: s, h/n). list: dst, src
void ConfusionTranspose(AdvancedCall& c) {
  const int64_t kind = c.in.params[1];
  const uint64_t b = c.Size(2), n = c.Size(3), s = c.Size(4), d = c.Size(5);
  const uint64_t size = TypeBytes(c.list[0].type), total = b * n * s * d;
  if (size != 2 && size != 4) {
    c.ctx.Fail(Format("Transpose does not take %s", TypeName(c.list[0].type)));
  }
  if (total == 0) c.ctx.Fail("the tiling of Transpose has no sizes");
  // Fractals have 16 rows and 16 columns; in a matrix their columns follow one another.
  const auto nz = [](uint64_t row, uint64_t column, uint64_t rows) {
    return column / 16 * (rows * 16) + row * 16 + column % 16;
  };
  enum : int64_t {
    kNz2Nd0213 = 1,
    kNz2Nz0213,
    kNz2Nz012,
    kNz2Nd012,
    kNz2NdMerge,
    kNz2NzMerge,
    kNd
  };
  c.ctx.CheckLimit("transposeType", kind, kNz2Nd0213, kNd);
  if (kind != kNd && (s % 16 != 0 || d % 16 != 0)) {
    c.ctx.Fail(Format("a matrix of %llu x %llu has no whole fractals of 16 x 16",
                      static_cast<unsigned long long>(s), static_cast<unsigned long long>(d)));
  }
  c.Use(0, true, total);
  c.Use(1, false, total);
  c.Admit();
  const std::vector<std::byte> source(c.AccessOf(1).host, c.AccessOf(1).host + total * size);
  for (uint64_t i = 0; i < total; ++i) {
    const uint64_t e = i % d, row = i / d % s, head = i / d / s % n, batch = i / d / s / n;
    const uint64_t all = batch * n * s * d, one = all + head * s * d;
    uint64_t from = 0, to = 0;
    switch (kind) {
      case kNz2Nd0213:  // [B, N, S, D] in NZ to [B, S, N, D]
        from = one + nz(row, e, s);
        to = all + (row * n + head) * d + e;
        break;
      case kNz2Nz0213:  // ... in NZ
        if (n % 16 != 0) c.ctx.Fail("N is not a multiple of 16, the rows of a fractal");
        from = one + nz(row, e, s);
        to = all + row * n * d + nz(head, e, n);
        break;
      case kNz2Nz012:  // [B, S, N D] in NZ to [B, N, S, D] in NZ
        from = all + nz(row, head * d + e, s);
        to = one + nz(row, e, s);
        break;
      case kNz2Nd012:  // ... not in NZ
        from = all + nz(row, head * d + e, s);
        to = one + row * d + e;
        break;
      case kNz2NdMerge:  // [B, N, S, D] in NZ to [B, S, N D]
        from = one + nz(row, e, s);
        to = all + row * n * d + head * d + e;
        break;
      case kNz2NzMerge:  // ... in NZ
        from = one + nz(row, e, s);
        to = all + nz(row, head * d + e, s);
        break;
      default:  // a matrix
        from = row * d + e;
        to = e * s + row;
        break;
    }
    if (c.ctx.missing) c.HandOn(1, from, to);
    std::memcpy(c.AccessOf(0).host + to * size, source.data() + from * size, size);
  }
  c.Finish();
}

}  // namespace softnpu::ascendc::semantics
