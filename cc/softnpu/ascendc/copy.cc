// cc/softnpu/ascendc/copy.cc: the scalar unit's loads and stores and the DMA copies.
#include "cc/softnpu/ascendc/copy.h"

#include <algorithm>
#include <cstring>

#include "cc/softnpu/ascendc/semantics.h"

namespace softnpu::ascendc::semantics {
namespace {

constexpr int64_t kMaxBlockCount = 4095;
constexpr int64_t kMaxBlockLength = 65535;  // 32-byte blocks
constexpr int64_t kMaxRowBytes = 2097151;

bool Global(const SoftnpuTensor& tensor) { return tensor.space == SOFTNPU_SPACE_GM; }

uint64_t RoundUp(uint64_t bytes) { return (bytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes; }

void CopyRows(Context& ctx, const SoftnpuInstruction& instruction, uint64_t rows, uint64_t bytes,
              uint64_t destination_stride, uint64_t source_stride) {
  const bool atomic = ctx.registers.atomic != 0 && Global(instruction.operand[0]);
  if (atomic) CheckAtomicType(ctx, instruction.operand[0]);
  ctx.Add(instruction.operand[0], true, instruction.operand[0].address, bytes, rows,
          destination_stride)
      .atomic = atomic;
  // What an atomic copy adds has to be a value.
  ctx.AddSource(instruction.operand[1], instruction.operand[1].address, bytes, rows, source_stride)
      .travels = !atomic;
  ctx.Admit();
  for (uint64_t row = 0; row < rows && ctx.missing; ++row) {
    ctx.Carry(ctx.accesses[1], ctx.accesses[1].base + row * source_stride, bytes, ctx.accesses[0],
              ctx.accesses[0].base + row * destination_stride);
  }
  std::byte* to = ctx.accesses[0].host;
  const std::byte* from = ctx.accesses[1].host;
  for (uint64_t row = 0; row < rows; ++row) {
    if (atomic) {
      Combine(ctx, to + row * destination_stride, from + row * source_stride, bytes);
      continue;
    }
    // The operands of a copy inside the UB, or of two GM tensors of one buffer, may be the same.
    std::memmove(to + row * destination_stride, from + row * source_stride, bytes);
  }
}

// The device leaves such a copy out; kernels for any length come to it.
void CopyNothing(const Context& ctx, const char* what) {
  if (ctx.strict()) ctx.site.Warn(Format("%s is 0: nothing is copied", what));
}

}  // namespace

void ScalarLoad(Context& ctx, SoftnpuInstruction& instruction) {
  const SoftnpuTensor& tensor = instruction.operand[0];
  const uint64_t bytes = TypeBytes(tensor.type);
  if (ctx.site.alignment() && tensor.address % bytes != 0) {
    ctx.FailAt(Format("the address is not a multiple of the element's %llu bytes",
                      static_cast<unsigned long long>(bytes)),
               tensor, tensor.address, tensor.address + bytes);
  }
  ctx.Add(tensor, false, tensor.address, bytes);
  ctx.Admit();
  instruction.result = 0;
  std::memcpy(&instruction.result, ctx.accesses[0].host, bytes);
}

void ScalarStore(Context& ctx, SoftnpuInstruction& instruction) {
  const SoftnpuTensor& tensor = instruction.operand[0];
  const uint64_t bytes = TypeBytes(tensor.type);
  if (ctx.site.alignment() && tensor.address % bytes != 0) {
    ctx.FailAt(Format("the address is not a multiple of the element's %llu bytes",
                      static_cast<unsigned long long>(bytes)),
               tensor, tensor.address, tensor.address + bytes);
  }
  ctx.Add(tensor, true, tensor.address, bytes);
  ctx.Admit();
  std::memcpy(ctx.accesses[0].host, &instruction.scalar, bytes);
  ctx.Commit();
}

// The kernel's own code reads or writes through a pointer: `count` bytes, as the scalar unit does.
// What is written is written behind this instruction, which counts it as written.
void RawAccess(Context& ctx, SoftnpuInstruction& instruction) {
  const SoftnpuTensor& tensor = instruction.operand[0];
  ctx.Add(tensor, instruction.opcode == SOFTNPU_OP_RAW_STORE, tensor.address,
          static_cast<uint64_t>(instruction.count));
  ctx.Admit();
  ctx.Commit();
  ctx.launch().memory->Open(tensor.address, static_cast<uint64_t>(instruction.count));
}

void SetCopyPipe(Context& ctx, const SoftnpuInstruction& instruction) {
  const SoftnpuTensor& destination = instruction.operand[0];
  const SoftnpuTensor& source = instruction.operand[1];
  if (Global(source)) {
    ctx.site.SetPipe(SOFTNPU_PIPE_MTE2);
  } else if (Global(destination)) {
    ctx.site.SetPipe(SOFTNPU_PIPE_MTE3);
  } else {
    ctx.site.SetPipe(SOFTNPU_PIPE_V);
  }
}

void CheckCopyAlignment(const Context& ctx, const SoftnpuInstruction& instruction) {
  if (!ctx.strict()) return;
  for (int i = 0; i < 2; ++i) {
    const SoftnpuTensor& tensor = instruction.operand[i];
    const char* const name = i == 0 ? "the destination" : "the source";
    if (!Global(tensor)) {
      ctx.CheckUbAlignment(tensor, name);
    } else if (ctx.site.alignment() &&
               tensor.address % std::max<uint64_t>(TypeBytes(tensor.type), 1) != 0) {
      ctx.FailAt(Format("%s's GM address is not a multiple of the element's %llu bytes", name,
                        static_cast<unsigned long long>(TypeBytes(tensor.type))),
                 tensor, tensor.address, tensor.address + TypeBytes(tensor.type));
    }
  }
}

void DataCopy(Context& ctx, SoftnpuInstruction& instruction) {
  SetCopyPipe(ctx, instruction);
  if (instruction.count == 0) return CopyNothing(ctx, "the number of elements");
  CheckCopyAlignment(ctx, instruction);
  const uint64_t bytes = BytesOf(instruction.operand[0].type, instruction.count);
  if (ctx.strict() && bytes % kBlockBytes != 0) {
    ctx.FailAt(
        Format("%lld elements are %llu bytes, which is not a multiple of %llu: DataCopy would "
               "copy the first %llu only; DataCopyPad copies any length",
               static_cast<long long>(instruction.count), static_cast<unsigned long long>(bytes),
               static_cast<unsigned long long>(kBlockBytes),
               static_cast<unsigned long long>(bytes / kBlockBytes * kBlockBytes)),
        instruction.operand[0], instruction.operand[0].address,
        instruction.operand[0].address + bytes);
  }
  const uint64_t whole = bytes / kBlockBytes * kBlockBytes;
  if (whole > kMaxBlockLength * kBlockBytes) {
    ctx.Fail(Format("%llu bytes in one DataCopy, the limit is %llu",
                    static_cast<unsigned long long>(whole),
                    static_cast<unsigned long long>(kMaxBlockLength * kBlockBytes)));
  }
  if (whole == 0) return;
  CopyRows(ctx, instruction, 1, whole, whole, whole);
  ctx.Commit();
}

void DataCopyBlocks(Context& ctx, SoftnpuInstruction& instruction) {
  SetCopyPipe(ctx, instruction);
  if (instruction.params[0] == 0 || instruction.params[1] == 0) {
    return CopyNothing(ctx, instruction.params[0] == 0 ? "blockCount" : "blockLen");
  }
  CheckCopyAlignment(ctx, instruction);
  if (instruction.params[8] != 0) ctx.Fail("blockMode is not BLOCK_MODE_NORMAL: not supported");
  const int64_t rows = instruction.params[0];
  if (rows > kMaxBlockCount) {
    ctx.Fail(Format("blockCount %lld, the limit is %lld", static_cast<long long>(rows),
                    static_cast<long long>(kMaxBlockCount)));
  }
  const uint64_t bytes = static_cast<uint64_t>(instruction.params[1]) * kBlockBytes;
  const uint64_t source_gap = static_cast<uint64_t>(instruction.params[2]) * kBlockBytes;
  const uint64_t destination_gap = static_cast<uint64_t>(instruction.params[3]) * kBlockBytes;
  CopyRows(ctx, instruction, static_cast<uint64_t>(rows), bytes, bytes + destination_gap,
           bytes + source_gap);
  ctx.Commit();
}

void DataCopyPad(Context& ctx, SoftnpuInstruction& instruction) {
  SetCopyPipe(ctx, instruction);
  if (!ctx.chip().data_copy_pad) {
    ctx.Fail(Format("%s has no DataCopyPad (NPU architecture %lld)", ctx.chip().soc_name.c_str(),
                    static_cast<long long>(ctx.chip().npu_arch)));
  }
  const SoftnpuTensor& destination = instruction.operand[0];
  const SoftnpuTensor& source = instruction.operand[1];
  const int64_t rows = instruction.params[0];
  const int64_t row_bytes = instruction.params[1];
  if (rows == 0 || row_bytes == 0) return CopyNothing(ctx, rows == 0 ? "blockCount" : "blockLen");
  CheckCopyAlignment(ctx, instruction);
  // Two int4b_t fill a byte, which is what their paddings are counted in.
  const uint64_t size = std::max<uint64_t>(TypeBytes(destination.type), 1);
  if (rows > kMaxBlockCount || row_bytes > kMaxRowBytes) {
    ctx.Fail(Format("%lld blocks of %lld bytes, the limits are %lld and %lld",
                    static_cast<long long>(rows), static_cast<long long>(row_bytes),
                    static_cast<long long>(kMaxBlockCount), static_cast<long long>(kMaxRowBytes)));
  }
  const uint64_t bytes = static_cast<uint64_t>(row_bytes);
  if (bytes % size != 0) {
    ctx.Fail(Format("blockLen of %llu bytes is not a multiple of the element's %llu",
                    static_cast<unsigned long long>(bytes), static_cast<unsigned long long>(size)));
  }
  // Paddings without isPad hold the value of SetPadValue, if there is one.
  const bool own_value = instruction.params[4] != 0;
  const bool padded = instruction.params[5] != 0 || instruction.params[6] != 0;
  const bool pad = own_value || (padded && ctx.registers.pad_bytes == size);
  const uint64_t pad_value = own_value ? instruction.scalar : ctx.registers.pad_value;
  const uint64_t left = BytesOf(destination.type, instruction.params[5]);
  const uint64_t right = BytesOf(destination.type, instruction.params[6]);
  if (left > kBlockBytes || right > kBlockBytes) {
    ctx.Fail(Format("paddings of %llu and %llu bytes, the limit is %llu each",
                    static_cast<unsigned long long>(left), static_cast<unsigned long long>(right),
                    static_cast<unsigned long long>(kBlockBytes)));
  }
  if (own_value && size == 8 && instruction.scalar != 0) {
    ctx.Fail("paddingValue of a 64-bit type can only be 0");
  }
  const uint64_t source_gap = static_cast<uint64_t>(instruction.params[2]);
  const uint64_t destination_gap = static_cast<uint64_t>(instruction.params[3]);
  const uint64_t count = static_cast<uint64_t>(rows);
  if (Global(destination)) {
    CopyRows(ctx, instruction, count, bytes, bytes + destination_gap,
             RoundUp(bytes) + source_gap * kBlockBytes);
    ctx.Commit();
    return;
  }
  if (!Global(source)) ctx.Fail("DataCopyPad copies between GM and the UB only");

  // A row in the UB: left padding, data, right padding, and whatever fills its last block.
  const uint64_t row = RoundUp(left + bytes + right);
  const uint64_t pitch = row + destination_gap * kBlockBytes;
  ctx.Add(destination, true, destination.address, row, count, pitch);
  ctx.AddSource(source, source.address, bytes, count, bytes + source_gap);
  ctx.Admit();
  std::byte* const to = ctx.accesses[0].host;
  const std::byte* const from = ctx.accesses[1].host;
  const bool first_element = !pad && left == 0 && right == 0;
  for (uint64_t i = 0; i < count && ctx.missing; ++i) {
    const uint64_t data = source.address + i * (bytes + source_gap);
    const uint64_t head = destination.address + i * pitch;
    ctx.Carry(ctx.accesses[1], data, bytes, ctx.accesses[0], head + left);
    for (uint64_t at = bytes; first_element && at < row; at += size) {  // it fills the last block
      ctx.Carry(ctx.accesses[1], data, size, ctx.accesses[0], head + at);
    }
  }
  for (uint64_t i = 0; i < count; ++i) {
    std::byte* const head = to + i * pitch;
    const std::byte* const data = from + i * (bytes + source_gap);
    std::memcpy(head + left, data, bytes);
    if (pad || first_element) {
      const std::byte* const value = pad ? reinterpret_cast<const std::byte*>(&pad_value) : data;
      for (uint64_t at = 0; at < left; at += size) std::memcpy(head + at, value, size);
      const uint64_t end = pad ? left + bytes + right : row;
      for (uint64_t at = left + bytes; at < end; at += size) std::memcpy(head + at, value, size);
    }
  }
  ctx.Commit();
  if (!ctx.strict() || first_element) return;
  // What no rule defines: explicit paddings without a value, and the rest of the last block.
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t head = destination.address + i * pitch;
    if (!pad) ctx.memories.Forget(SOFTNPU_SPACE_UB, head, head + left);
    ctx.memories.Forget(SOFTNPU_SPACE_UB, head + left + bytes + (pad ? right : 0), head + row);
  }
}

void SetPadValue(Context& ctx, SoftnpuInstruction& in) {
  ctx.registers.pad_value = in.scalar;
  ctx.registers.pad_bytes = static_cast<uint64_t>(in.params[0]);
}

}  // namespace softnpu::ascendc::semantics
