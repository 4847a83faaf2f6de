// cc/softnpu/ascendc/context.cc: accesses of an instruction, checks that many functions share.
#include "cc/softnpu/ascendc/context.h"

namespace softnpu::ascendc {

Access& Context::Add(const SoftnpuTensor& tensor, bool write, uint64_t base, uint64_t bytes,
                     uint64_t rows, uint64_t stride) {
  Access& access = accesses.emplace_back();
  access.tensor = &tensor;
  access.write = write;
  access.base = base;
  access.bytes = bytes;
  access.rows = rows;
  access.stride = stride;
  if (rows > 1 && stride == bytes) {
    access.bytes = rows * bytes;
    access.rows = 1;
  }
  return access;
}

void Context::Admit(Access& access) {
  memories.Resolve(access);
  if (!strict()) return;
  if (access.tensor->buffer != 0) frame.CheckSide(access);
  if (!access.write || access.atomic) memories.CheckInitialised(access);
}

void Context::Admit() {
  for (Access& access : accesses) Admit(access);
}

std::byte* Context::AdmitLate(const SoftnpuTensor& tensor, bool write, uint64_t base,
                              uint64_t bytes, uint64_t rows, uint64_t stride) {
  Access& access = Add(tensor, write, base, bytes, rows, stride);
  Admit(access);
  return access.host;
}

void Context::Commit() {
  for (const Access& access : accesses) {
    if (access.write) memories.Commit(access);
  }
}

void Context::CheckLimit(const char* name, int64_t value, int64_t least, int64_t most) const {
  if (value >= least && value <= most) return;
  Fail(Format("%s %lld, the limits are %lld and %lld", name, static_cast<long long>(value),
              static_cast<long long>(least), static_cast<long long>(most)));
}

void Context::CheckUbAlignment(const SoftnpuTensor& tensor, const char* operand) const {
  // On 310P the vector unit takes any element's address; copies need blocks on all chips.
  const bool any_element = chip().npu_arch == 2002 && site.pipe() == SOFTNPU_PIPE_V;
  const uint64_t alignment = any_element ? TypeBytes(tensor.type) : kBlockBytes;
  if (tensor.address % alignment != 0) {
    FailAt(Format("%s begins at byte %llu of the UB, which is not a multiple of %llu", operand,
                  static_cast<unsigned long long>(tensor.address),
                  static_cast<unsigned long long>(alignment)),
           tensor, tensor.address, tensor.address + TypeBytes(tensor.type));
  }
}

}  // namespace softnpu::ascendc
