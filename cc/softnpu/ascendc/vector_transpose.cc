// cc/softnpu/ascendc/vector_transpose.cc: transpositions inside the UB.
#include "cc/softnpu/ascendc/semantics.h"
#include "cc/softnpu/ascendc/vector_unit.h"

namespace softnpu::ascendc::semantics {
namespace {

using namespace vector;  // NOLINT: the namespace of this unit

constexpr uint64_t kSide = 16;

// Numbers of AscendC's TransposeType.
enum TransposeType : int64_t { kNd2NdB16 = 10, kNchw2Nhwc = 11, kNhwc2Nchw = 12 };

}  // namespace

// params: TransposeType, N, C, H, W. Without parameters: 16 x 16 elements of 16 bits.
void Transpose(Context& ctx, SoftnpuInstruction& in) {
  const SoftnpuTensor& dst = in.operand[0];
  const SoftnpuTensor& src = in.operand[1];
  const uint64_t size = TypeBytes(dst.type);
  const int64_t kind = in.params[0];
  uint64_t matrices = 1;
  uint64_t rows = kSide;
  uint64_t columns = kSide;
  if (kind == kNd2NdB16) {
    if (size != 2) ctx.Fail(Format("Transpose does not take %s", TypeName(dst.type)));
  } else if (kind == kNchw2Nhwc || kind == kNhwc2Nchw) {
    if (size == 0 || size == 8) ctx.Fail(Format("Transpose does not take %s", TypeName(dst.type)));
    static const char* const kNames[] = {"nSize", "cSize", "hSize", "wSize"};
    for (int i = 0; i < 4; ++i) ctx.CheckLimit(kNames[i], in.params[1 + i], 0, 65535);
    matrices = static_cast<uint64_t>(in.params[1]);
    const uint64_t c = static_cast<uint64_t>(in.params[2]);
    const uint64_t plane = static_cast<uint64_t>(in.params[3] * in.params[4]);
    if (plane * size % kBlockBytes != 0) {
      ctx.Fail(Format("hSize * wSize are %llu bytes, which is not a multiple of %llu",
                      static_cast<unsigned long long>(plane * size),
                      static_cast<unsigned long long>(kBlockBytes)));
    }
    rows = kind == kNchw2Nhwc ? c : plane;
    columns = kind == kNchw2Nhwc ? plane : c;
  } else {
    ctx.Fail(
        Format("TransposeType %lld is not supported by SoftNPU", static_cast<long long>(kind)));
  }
  if (ctx.strict()) {
    ctx.CheckUbAlignment(dst, "dst");
    ctx.CheckUbAlignment(src, "src");
  }
  const uint64_t bytes = matrices * rows * columns * size;
  if (bytes == 0) return;
  ctx.Add(dst, true, dst.address, bytes);
  ctx.AddSource(src, src.address, bytes);
  ctx.Admit();
  if (ctx.strict() && (dst.address != src.address || kind != kNd2NdB16) &&
      dst.address < src.address + bytes && src.address < dst.address + bytes) {
    ctx.FailAt("dst overlaps src", dst, dst.address, dst.address + bytes);
  }
  const std::vector<std::byte> from(ctx.accesses[1].host, ctx.accesses[1].host + bytes);
  std::byte* const to = ctx.accesses[0].host;
  for (uint64_t m = 0; m < matrices; ++m) {
    for (uint64_t r = 0; r < rows; ++r) {
      for (uint64_t c = 0; c < columns; ++c) {
        const uint64_t target = ((m * columns + c) * rows + r) * size;
        const uint64_t source = ((m * rows + r) * columns + c) * size;
        if (ctx.missing) ctx.CarryInUb(src, src.address + source, size, dst.address + target);
        std::memcpy(to + target, from.data() + source, size);
      }
    }
  }
  ctx.Commit();
}

// list: 16 destinations and 16 sources; params: dstHighHalf, srcHighHalf; repeat, repeat_stride.
void TransDataTo5HD(Context& ctx, SoftnpuInstruction& in) {
  if (in.list_count != 2 * kSide) ctx.Fail("TransDataTo5HD takes 16 destinations and 16 sources");
  const SoftnpuTensor* const dst = in.list;
  const SoftnpuTensor* const src = in.list + kSide;
  const uint64_t size = TypeBytes(dst[0].type);
  if (size == 0 || size == 8)
    ctx.Fail(Format("TransDataTo5HD does not take %s", TypeName(dst->type)));
  ctx.CheckLimit("repeatTimes", in.repeat, 0, kMaxRepeat);
  const bool b8 = size == 1;
  if (!b8 && (in.params[0] != 0 || in.params[1] != 0)) {
    ctx.Fail("dstHighHalf and srcHighHalf are for elements of one byte");
  }
  const uint64_t to_half = b8 && in.params[0] != 0 ? kSide : 0;
  const uint64_t from_half = b8 && in.params[1] != 0 ? kSide : 0;
  const uint64_t bytes = b8 ? kSide : kBlockBytes;
  for (uint64_t i = 0; i < kSide && ctx.strict(); ++i) {
    ctx.CheckUbAlignment(dst[i], "a destination");
    ctx.CheckUbAlignment(src[i], "a source");
  }
  if (in.repeat == 0) return;
  const uint64_t to_pitch = uint64_t{in.repeat_stride[0]} * kBlockBytes;
  const uint64_t from_pitch = uint64_t{in.repeat_stride[1]} * kBlockBytes;
  for (uint64_t i = 0; i < kSide; ++i) {
    ctx.Add(dst[i], true, dst[i].address + to_half, bytes, in.repeat, to_pitch);
    ctx.AddSource(src[i], src[i].address + from_half, bytes, in.repeat, from_pitch);
  }
  ctx.Admit();
  const std::byte* const ub = ctx.ub();
  for (uint64_t repeat = 0; repeat < in.repeat; ++repeat) {
    std::byte tile[kSide][kBlockBytes];
    for (uint64_t i = 0; i < kSide; ++i) {
      std::memcpy(tile[i], ub + src[i].address + from_half + repeat * from_pitch, bytes);
    }
    for (uint64_t i = 0; i < kSide; ++i) {
      std::byte* const to = ctx.ub() + dst[i].address + to_half + repeat * to_pitch;
      for (uint64_t j = 0; j < bytes / size; ++j) {
        // 32-bit elements: 16 x 8; a row of the result takes two destinations.
        const uint64_t row = size == 4 ? i % 2 * 8 + j : j;
        const uint64_t column = size == 4 ? i / 2 : i;
        std::memcpy(to + j * size, tile[row] + column * size, size);
        if (!ctx.missing) continue;
        ctx.CarryInUb(src[row], src[row].address + from_half + repeat * from_pitch + column * size,
                      size, static_cast<uint64_t>(to - ub) + j * size);
      }
    }
  }
  ctx.Commit();
}

}  // namespace softnpu::ascendc::semantics
