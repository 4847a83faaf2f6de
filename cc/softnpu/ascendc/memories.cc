// cc/softnpu/ascendc/memories.cc: limits of accesses, bytes that hold values.
#include "cc/softnpu/ascendc/memories.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "cc/softnpu/ascendc/names.h"

namespace softnpu::ascendc {

void Memories::Reset() {
  const Profile& chip = site_.chip();
  const auto size = [&](int space, int64_t bytes, bool present) {
    Space& memory = spaces_[static_cast<size_t>(space)];
    const auto wanted = present ? static_cast<uint64_t>(bytes) : 0;
    if (memory.bytes.size() != wanted) memory.bytes.resize(wanted);
    memory.defined.Reset(wanted);
    memory.taken = 0;
  };
  const bool cube = (site_.kind() & kCubeCore) != 0;
  size(SOFTNPU_SPACE_UB, chip.ub_bytes, (site_.kind() & kVectorCore) != 0);
  size(SOFTNPU_SPACE_L1, chip.l1_bytes, cube);
  size(SOFTNPU_SPACE_L0A, chip.l0a_bytes, cube);
  size(SOFTNPU_SPACE_L0B, chip.l0b_bytes, cube);
  size(SOFTNPU_SPACE_L0C, chip.l0c_bytes, cube);
  size(SOFTNPU_SPACE_BT, chip.bias_bytes, cube);
  size(SOFTNPU_SPACE_FB, chip.fixpipe_bytes, cube);
  regions_.clear();
}

void Memories::GiveBackAll() {
  for (Space& memory : spaces_) memory.taken = 0;
}

void Memories::ResolveOnChip(Access& access) {
  const SoftnpuTensor& tensor = *access.tensor;
  if (tensor.space == SOFTNPU_SPACE_NONE || tensor.space >= spaces_.size()) {
    site_.Fail(
        "a tensor without memory: it came from no AllocTensor, DeQue, Get or SetGlobalBuffer");
  }
  Space& memory = spaces_[tensor.space];
  const uint64_t size = memory.bytes.size();
  if (size == 0) {
    site_.Fail(
        Format("a tensor of the %s: %s", SpaceName(tensor.space),
               site_.kind() == kVectorCore
                   ? "a vector core (AIV) has none; KERNEL_TASK_TYPE_DEFAULT gives a kernel cube "
                     "cores and ASCEND_IS_AIC asks for them"
                   : "a cube core (AIC) has none"));
  }
  const uint64_t limit = std::min<uint64_t>(tensor.end, size);
  // Resolve has seen that the whole does not fit: which row?
  for (uint64_t row = 0; row < access.rows; ++row) {
    const uint64_t begin = access.base + row * access.stride;
    if (begin < tensor.begin || begin + access.bytes > limit) {
      site_.FailAt(
          begin + access.bytes > size
              ? Format("%s beyond the %s's %llu bytes", access.write ? "writes" : "reads",
                       SpaceName(tensor.space), static_cast<unsigned long long>(size))
              : Format("%s outside the tensor's %llu bytes", access.write ? "writes" : "reads",
                       static_cast<unsigned long long>(tensor.end - tensor.begin)),
          tensor, begin, begin + access.bytes);
    }
  }
  access.host = memory.bytes.data() + access.base;
}

void Memories::ResolveGlobal(Access& access) {
  const SoftnpuTensor& tensor = *access.tensor;
  const uint64_t last = access.base + access.extent();
  const char* const verb = access.write ? "writes" : "reads";
  for (size_t i = 0; i < regions_.size() && access.region < 0; ++i) {
    if (access.base >= regions_[i].base && access.base - regions_[i].base < regions_[i].bytes) {
      access.region = static_cast<int>(i);
    }
  }
  if (access.region < 0) {
    GlobalRegion region;
    std::string nearest;
    if (access.base < tensor.begin || access.base >= tensor.end) {
      site_.FailIn(Format("%s outside the %llu bytes that SetGlobalBuffer gave the tensor", verb,
                          static_cast<unsigned long long>(tensor.end - tensor.begin)),
                   Format("the GM tensor at 0x%llx", static_cast<unsigned long long>(tensor.begin)),
                   static_cast<int64_t>(access.base - tensor.begin),
                   static_cast<int64_t>(last - tensor.begin));
    }
    if (!site_.launch().memory->Find(access.base, &region, &nearest)) {
      site_.FailIn(Format("%s GM at 0x%llx, where nothing is allocated%s%s", verb,
                          static_cast<unsigned long long>(access.base), nearest.empty() ? "" : ": ",
                          nearest.c_str()),
                   Format("GM at 0x%llx", static_cast<unsigned long long>(access.base)), 0,
                   static_cast<int64_t>(access.bytes));
    }
    access.region = static_cast<int>(regions_.size());
    regions_.push_back(std::move(region));
  }
  const GlobalRegion& region = regions_[static_cast<size_t>(access.region)];
  const bool in_tensor = access.base >= tensor.begin && last <= tensor.end && last >= access.base;
  if (!in_tensor || last > region.base + region.bytes) [[unlikely]] {
    for (uint64_t row = 0; row < access.rows; ++row) {
      const uint64_t begin = access.base + row * access.stride;
      const uint64_t end = begin + access.bytes;
      const bool past_allocation = end > region.base + region.bytes;
      if (!past_allocation && begin >= tensor.begin && end <= tensor.end) continue;
      site_.FailIn(
          past_allocation
              ? Format("%s beyond the end of an allocation of %zu bytes", verb, region.bytes)
              : Format("%s outside the %llu bytes that SetGlobalBuffer gave the tensor", verb,
                       static_cast<unsigned long long>(tensor.end - tensor.begin)),
          "GM " + region.name, static_cast<int64_t>(begin - region.base),
          static_cast<int64_t>(end - region.base));
    }
  }
  access.host = region.host + (access.base - region.base);
}

void Memories::CheckRows(const Access& access) const {
  if (access.tensor->space == SOFTNPU_SPACE_GM) {
    const GlobalRegion& region = regions_[static_cast<size_t>(access.region)];
    if (region.initialised == nullptr) return;
    for (uint64_t row = 0; row < access.rows; ++row) {
      const uint64_t begin = access.base + row * access.stride;
      const uint8_t* const marks = region.initialised + (begin - region.base);
      const void* const missing = std::memchr(marks, 0, access.bytes);
      if (missing == nullptr) continue;
      const uint64_t at =
          begin + static_cast<uint64_t>(static_cast<const uint8_t*>(missing) - marks);
      site_.FailAt(
          Format("reads bytes of GM that were never written, from byte %llu of the access on",
                 static_cast<unsigned long long>(at - begin)),
          *access.tensor, at, begin + access.bytes);
    }
    return;
  }
  for (uint64_t row = 0; row < access.rows; ++row) {
    const uint64_t begin = access.base + row * access.stride;
    const uint64_t end = begin + access.bytes;
    const ByteSet& defined = spaces_[access.tensor->space].defined;
    const uint64_t missing = defined.FirstMissing(begin, end);
    if (missing == end) continue;
    site_.FailAt(
        Format("reads bytes that hold no value: never written, or padding of a DataCopyPad; "
               "the first is byte %llu of the %llu read",
               static_cast<unsigned long long>(missing - begin),
               static_cast<unsigned long long>(access.bytes)),
        *access.tensor, missing, defined.FirstPresent(missing, end));
  }
}

void Memories::Commit(const Access& access) {
  if (access.tensor->space == SOFTNPU_SPACE_GM) return CommitGlobal(access);
  if (!site_.strict()) return;
  ByteSet& defined = spaces_[access.tensor->space].defined;
  for (uint64_t row = 0; row < access.rows; ++row) {
    const uint64_t begin = access.base + row * access.stride;
    defined.Insert(begin, begin + access.bytes);
  }
}

void Memories::CommitGlobal(const Access& access) {
  LaunchState& launch = site_.launch();
  if (access.atomic) launch.atomics = true;
  const GlobalRegion& region = regions_[static_cast<size_t>(access.region)];
  for (uint64_t row = 0; row < access.rows; ++row) {
    const uint64_t begin = access.base + row * access.stride;
    const uint64_t offset = begin - region.base;
    if (region.initialised != nullptr) {
      std::memset(region.initialised + offset, 1, access.bytes);
    }
    if (region.written != nullptr) std::memset(region.written + offset, 1, access.bytes);
    for (size_t i = 0; i < launch.written.size(); ++i) {
      const Output& output = launch.options.outputs[i];
      const uint64_t first = std::max<uint64_t>(begin, output.address);
      const uint64_t last = std::min<uint64_t>(begin + access.bytes, output.address + output.bytes);
      if (first < last) {
        const std::lock_guard<std::mutex> lock(launch.mutex);
        launch.written[i].Insert(first - output.address, last - output.address);
      }
    }
  }
}

std::string Memories::NameOfGlobal(const SoftnpuTensor& tensor, uint64_t address,
                                   uint64_t* origin) const {
  for (const GlobalRegion& region : regions_) {
    if (address >= region.base && address - region.base <= region.bytes) {
      *origin = region.base;
      return "GM " + region.name;
    }
  }
  *origin = tensor.begin;
  return Format("GM tensor at 0x%llx", static_cast<unsigned long long>(tensor.begin));
}

}  // namespace softnpu::ascendc
