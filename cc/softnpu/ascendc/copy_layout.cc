// cc/softnpu/ascendc/copy_layout.cc: copies that change a matrix's layout, and atomic ones.
#include <cstring>

#include "cc/softnpu/ascendc/vector_unit.h"

namespace softnpu::ascendc {
namespace {

using namespace vector;  // NOLINT: its element types

constexpr uint64_t kFractalSide = 16;

template <typename T>
void CombineRuns(uint32_t opcode, std::byte* to, const std::byte* from, uint64_t bytes) {
  for (uint64_t at = 0; at + sizeof(T) <= bytes; at += sizeof(T)) {
    const T old = Peek<T>(to + at);
    const T value = Peek<T>(from + at);
    const auto pick = [&](auto a, auto b) {
      return opcode == SOFTNPU_OP_SET_ATOMIC_MAX ? Larger(a, b) : Smaller(a, b);
    };
    if constexpr (kIsFloat<T>) {
      Poke(to + at, Store<T>(opcode == SOFTNPU_OP_SET_ATOMIC_ADD ? Load(old) + Load(value)
                                                                 : pick(Load(old), Load(value))));
    } else {
      using U = std::make_unsigned_t<T>;
      Poke(to + at,
           opcode == SOFTNPU_OP_SET_ATOMIC_ADD
               ? static_cast<T>(static_cast<U>(static_cast<U>(old) + static_cast<U>(value)))
               : pick(old, value));
    }
  }
}

}  // namespace

void Core::SetAtomic(SoftnpuInstruction& in) {
  Registers& r = registers_;
  if (in.opcode == SOFTNPU_OP_SET_ATOMIC_NONE || in.opcode == SOFTNPU_OP_DISABLE_DMA_ATOMIC) {
    r.atomic = 0;
    r.atomic_type = 0xFF;
    return;
  }
  const uint8_t type = static_cast<uint8_t>(in.params[0]);
  switch (type) {
    case SOFTNPU_FLOAT:
    case SOFTNPU_FLOAT16:
    case SOFTNPU_BFLOAT16:
    case SOFTNPU_INT32:
    case SOFTNPU_INT16:
    case SOFTNPU_INT8:
      break;
    default:
      Fail(Format("%s does not take %s", OpcodeName(in.opcode), TypeName(type)));
  }
  r.atomic_type = type;
  if (in.opcode == SOFTNPU_OP_SET_ATOMIC_TYPE) return;
  r.atomic = in.opcode;
  r.atomic_file = in.file;
  r.atomic_line = in.line;
}

void Core::CheckAtomicType(const SoftnpuTensor& destination) const {
  if (!strict() || destination.type == registers_.atomic_type) return;
  Fail(Format("%s of %s holds, the copy writes %s", OpcodeName(registers_.atomic),
              TypeName(registers_.atomic_type), TypeName(destination.type)));
}

void Core::Combine(std::byte* to, const std::byte* from, uint64_t bytes) const {
  const uint32_t opcode = registers_.atomic;
  switch (registers_.atomic_type) {
    case SOFTNPU_FLOAT:
      return CombineRuns<float>(opcode, to, from, bytes);
    case SOFTNPU_FLOAT16:
      return CombineRuns<Half>(opcode, to, from, bytes);
    case SOFTNPU_BFLOAT16:
      return CombineRuns<Bfloat>(opcode, to, from, bytes);
    case SOFTNPU_INT32:
      return CombineRuns<int32_t>(opcode, to, from, bytes);
    case SOFTNPU_INT16:
      return CombineRuns<int16_t>(opcode, to, from, bytes);
    default:
      return CombineRuns<int8_t>(opcode, to, from, bytes);
  }
}

// params: ndNum, nValue, dValue, srcNdMatrixStride, srcDValue, dstNzC0Stride, dstNzNStride,
// dstNzMatrixStride. Columns of 32 bytes, each row of a column after the other; what is left of
// the last column is zero.
void Core::CopyNd2Nz(SoftnpuInstruction& in) {
  SetCopyPipe(in);
  const SoftnpuTensor& dst = in.operand[0];
  const SoftnpuTensor& src = in.operand[1];
  CheckCopyAlignment(in);
  const uint64_t size = TypeBytes(dst.type);
  CheckLimit("ndNum", in.params[0], 0, 4095);
  CheckLimit("nValue", in.params[1], 0, 16384);
  CheckLimit("dValue", in.params[2], 0, 65535);
  const auto field = [&](int i) { return static_cast<uint64_t>(in.params[i]); };
  const uint64_t matrices = field(0);
  const uint64_t n = field(1);
  const uint64_t d = field(2);
  const uint64_t c0 = kBlockBytes / size;
  if (matrices == 0 || n == 0 || d == 0) return;
  const uint64_t columns = (d + c0 - 1) / c0;
  for (uint64_t m = 0; m < matrices; ++m) {
    Add(src, false, src.address + m * field(3) * size, d * size, n, field(4) * size);
    for (uint64_t c = 0; c < columns; ++c) {
      Add(dst, true, dst.address + m * field(7) * size + c * field(5) * kBlockBytes, kBlockBytes, n,
          field(6) * kBlockBytes);
    }
  }
  Admit();
  for (uint64_t m = 0; m < matrices; ++m) {
    const std::byte* const from = accesses_[m * (columns + 1)].host;
    for (uint64_t c = 0; c < columns; ++c) {
      std::byte* const to = accesses_[m * (columns + 1) + 1 + c].host;
      const uint64_t bytes = std::min(c0, d - c * c0) * size;
      for (uint64_t row = 0; row < n; ++row) {
        std::byte* const block = to + row * field(6) * kBlockBytes;
        std::memset(block, 0, kBlockBytes);
        std::memcpy(block, from + row * field(4) * size + c * kBlockBytes, bytes);
      }
    }
  }
  Commit();
}

// params: ndNum, nValue, dValue, srcNdMatrixStride (256 elements), srcNStride (16 elements),
// dstDStride, dstNdMatrixStride (elements).
void Core::CopyNz2Nd(SoftnpuInstruction& in) {
  SetCopyPipe(in);
  const SoftnpuTensor& dst = in.operand[0];
  const SoftnpuTensor& src = in.operand[1];
  CheckCopyAlignment(in);
  const uint64_t size = TypeBytes(dst.type);
  CheckLimit("ndNum", in.params[0], 0, 4095);
  CheckLimit("nValue", in.params[1], 0, 8192);
  CheckLimit("dValue", in.params[2], 0, 8192);
  const auto field = [&](int i) { return static_cast<uint64_t>(in.params[i]); };
  const uint64_t matrices = field(0);
  const uint64_t n = field(1);
  const uint64_t d = field(2);
  if (matrices == 0 || n == 0 || d == 0) return;
  const uint64_t columns = (d + kFractalSide - 1) / kFractalSide;
  const bool atomic = registers_.atomic != 0;
  if (atomic) CheckAtomicType(dst);
  for (uint64_t m = 0; m < matrices; ++m) {
    Add(dst, true, dst.address + m * field(6) * size, d * size, n, field(5) * size).atomic = atomic;
    for (uint64_t c = 0; c < columns; ++c) {
      const uint64_t width = std::min(kFractalSide, d - c * kFractalSide);
      Add(src, false,
          src.address + (m * field(3) * kFractalSide + c * field(4)) * kFractalSide * size,
          width * size, n, kFractalSide * size);
    }
  }
  Admit();
  for (uint64_t m = 0; m < matrices; ++m) {
    std::byte* const to = accesses_[m * (columns + 1)].host;
    for (uint64_t c = 0; c < columns; ++c) {
      const std::byte* const from = accesses_[m * (columns + 1) + 1 + c].host;
      const uint64_t bytes = std::min(kFractalSide, d - c * kFractalSide) * size;
      for (uint64_t row = 0; row < n; ++row) {
        std::byte* const at = to + row * field(5) * size + c * kFractalSide * size;
        const std::byte* const value = from + row * kFractalSide * size;
        if (atomic) {
          Combine(at, value, bytes);
        } else {
          std::memcpy(at, value, bytes);
        }
      }
    }
  }
  Commit();
}

// Fills `count` elements of operand[0], in GM, with the scalar.
void Core::InitOutput(SoftnpuInstruction& in) {
  pipe_ = SOFTNPU_PIPE_MTE3;
  const SoftnpuTensor& dst = in.operand[0];
  const uint64_t size = TypeBytes(dst.type);
  if (dst.space != SOFTNPU_SPACE_GM) Fail("InitOutput fills GM");
  if (in.count <= 0) return;
  Add(dst, true, dst.address, static_cast<uint64_t>(in.count) * size);
  Admit();
  for (int64_t i = 0; i < in.count; ++i) {
    std::memcpy(accesses_[0].host + static_cast<uint64_t>(i) * size, &in.scalar, size);
  }
  Commit();
}

}  // namespace softnpu::ascendc
