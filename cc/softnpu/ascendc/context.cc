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

Access& Context::AddSource(const SoftnpuTensor& tensor, uint64_t base, uint64_t bytes,
                           uint64_t rows, uint64_t stride) {
  Access& access = Add(tensor, false, base, bytes, rows, stride);
  access.travels = true;
  return access;
}

void Context::Admit(Access& access) {
  memories.Resolve(access);
  if (site.queues() && access.tensor->buffer != 0) frame.CheckAlive(access);
  if (!init()) return;
  if (access.travels) {
    missing = missing || !memories.HasValues(access);
  } else if (!access.write || access.atomic) {
    memories.CheckInitialised(access);
  }
}

void Context::Admit() {
  for (Access& access : accesses) Admit(access);
}

std::byte* Context::AdmitLate(const SoftnpuTensor& tensor, bool write, uint64_t base,
                              uint64_t bytes, uint64_t rows, uint64_t stride, bool travels) {
  Access& access = Add(tensor, write, base, bytes, rows, stride);
  access.travels = travels;
  Admit(access);
  return access.host;
}

void Context::Commit() {
  for (const Access& access : accesses) {
    if (access.write) memories.Commit(access);
  }
  for (const NoValue& none : no_values) {
    if (none.space == SOFTNPU_SPACE_GM) {
      memories.ForgetBehind(none.region, none.begin, none.end);
    } else {
      memories.Drop(none.space, none.begin, none.end);
    }
  }
}

void Context::Carry(const Access& from, uint64_t begin, uint64_t bytes, const Access& to,
                    uint64_t at) {
  const uint64_t end = begin + bytes;
  for (uint64_t first = memories.FirstMissing(from, begin, end); first != end;) {
    const uint64_t last = memories.FirstPresent(from, first, end);
    const uint64_t target = at + (first - begin);
    if (to.tensor->space != SOFTNPU_SPACE_GM) {
      Spoil(to.tensor->space, target, target + (last - first), *from.tensor, first);
    } else if (target < memories.EndOf(to)) {
      memories.FailMissing(from, begin, end);
    } else {
      no_values.push_back({SOFTNPU_SPACE_GM, to.region, target, target + (last - first)});
    }
    first = memories.FirstMissing(from, last, end);
  }
}

void Context::CarryInUb(const SoftnpuTensor& from, uint64_t begin, uint64_t bytes, uint64_t at) {
  for (uint64_t i = 0; i < bytes; ++i) {
    if (HasValue(begin + i, 1)) continue;
    Spoil(SOFTNPU_SPACE_UB, at + i, at + i + 1, from, begin + i);
  }
}

void Context::Spoil(uint8_t space, uint64_t begin, uint64_t end, const SoftnpuTensor& from,
                    uint64_t at) {
  memories.NoteOrigin(space, begin, end, from, at);
  if (!no_values.empty() && no_values.back().space == space && no_values.back().end == begin) {
    no_values.back().end = end;
    return;
  }
  no_values.push_back({space, -1, begin, end});
}

void Context::CheckLimit(const char* name, int64_t value, int64_t least, int64_t most) const {
  if (value >= least && value <= most) return;
  Fail(Format("%s %lld, the limits are %lld and %lld", name, static_cast<long long>(value),
              static_cast<long long>(least), static_cast<long long>(most)));
}

void Context::CheckUbAlignment(const SoftnpuTensor& tensor, const char* operand) const {
  if (!site.alignment()) return;
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
