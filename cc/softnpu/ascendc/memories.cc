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
    memory.chip_bytes = static_cast<uint64_t>(bytes);
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
  origins_.clear();
  roots_.clear();
  missing_bits_.clear();
  workspace_ = 0;
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
  const uint64_t limit = site_.bounds() ? std::min<uint64_t>(tensor.end, size) : size;
  // Resolve has seen that the whole does not fit: which row?
  for (uint64_t row = 0; row < access.rows; ++row) {
    const uint64_t begin = access.base + row * access.stride;
    if ((site_.bounds() && begin < tensor.begin) || begin > limit || access.bytes > limit - begin) {
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

void Memories::FindRegion(Access& access) {
  const SoftnpuTensor& tensor = *access.tensor;
  const char* const verb = access.write ? "writes" : "reads";
  for (size_t i = 0; i < regions_.size(); ++i) {
    if (access.base >= regions_[i].base && access.base - regions_[i].base < regions_[i].room) {
      access.region = static_cast<int>(i);
      return;
    }
  }
  GlobalRegion region;
  std::string nearest;
  if (!site_.launch().memory->Find(access.base, &region, &nearest)) {
    std::string hint;
    if (workspace_ != 0 && tensor.begin >= workspace_) {
      hint = Format(
          "; GetUserWorkspace gives what lies behind the %llu MiB of the system, so the "
          "workspace has to have these and the kernel's own bytes",
          static_cast<unsigned long long>(system_bytes_ >> 20));
    }
    site_.FailIn(Format("%s GM at 0x%llx, where nothing is allocated%s%s%s", verb,
                        static_cast<unsigned long long>(access.base), nearest.empty() ? "" : ": ",
                        nearest.c_str(), hint.c_str()),
                 Format("GM at 0x%llx", static_cast<unsigned long long>(access.base)), 0,
                 static_cast<int64_t>(access.bytes));
  }
  region.room = std::max(region.room, region.bytes);
  access.region = static_cast<int>(regions_.size());
  regions_.push_back(std::move(region));
}

// The size that SetGlobalBuffer was given is used for nothing on a device, so an access beyond it
// is odd and a fault only where it is asked for. One that leaves the allocation of its tensor for
// another one is.
void Memories::CheckDeclared(const Access& access, const GlobalRegion& region) {
  const SoftnpuTensor& tensor = *access.tensor;
  const uint64_t last = access.base + access.extent();
  if (!site_.bounds() || tensor.begin == 0) return;
  const char* const verb = access.write ? "writes" : "reads";
  if (tensor.begin < region.base || tensor.begin > region.base + region.room) {
    GlobalRegion other;
    std::string nearest;
    if (site_.launch().memory->Find(tensor.begin, &other, &nearest)) {
      site_.FailIn(Format("%s GM that belongs to another allocation than the tensor, which lies in "
                          "%s",
                          verb, other.name.c_str()),
                   "GM " + region.name, static_cast<int64_t>(access.base - region.base),
                   static_cast<int64_t>(last - region.base));
    }
    return;
  }
  if (access.base >= tensor.begin && last <= tensor.end) return;
  if (site_.sizes()) {
    site_.FailIn(Format("%s outside the %llu bytes that SetGlobalBuffer gave the tensor", verb,
                        static_cast<unsigned long long>(tensor.end - tensor.begin)),
                 "GM " + region.name, static_cast<int64_t>(access.base - region.base),
                 static_cast<int64_t>(last - region.base));
  }
  site_.Warn(Format("%s bytes [%lld, %lld) of a tensor that SetGlobalBuffer gave %llu bytes", verb,
                    static_cast<long long>(access.base - tensor.begin),
                    static_cast<long long>(last - tensor.begin),
                    static_cast<unsigned long long>(tensor.end - tensor.begin)));
}

void Memories::ResolveGlobal(Access& access) {
  const SoftnpuTensor& tensor = *access.tensor;
  const uint64_t last = access.base + access.extent();
  if (access.region < 0) FindRegion(access);
  const GlobalRegion& region = regions_[static_cast<size_t>(access.region)];
  const uint64_t limit = region.base + region.room;
  if (last > limit || last < access.base) [[unlikely]] {
    for (uint64_t row = 0; row < access.rows; ++row) {
      const uint64_t begin = access.base + row * access.stride;
      if (begin >= region.base && begin <= limit && access.bytes <= limit - begin) continue;
      site_.FailIn(Format("%s beyond the end of an allocation of %zu bytes",
                          access.write ? "writes" : "reads", region.bytes),
                   "GM " + region.name, static_cast<int64_t>(begin - region.base),
                   static_cast<int64_t>(begin + access.bytes - region.base));
    }
  }
  if (access.base < tensor.begin || last > tensor.end || tensor.begin < region.base) [[unlikely]] {
    CheckDeclared(access, region);
  }
  access.host = region.host + (access.base - region.base);
}

namespace {

// The first byte of [begin, end) whose mark is or is not 0; marks of `base` on; null: all are 0.
uint64_t FirstMark(const uint8_t* marks, uint64_t base, uint64_t begin, uint64_t end, bool set) {
  if (marks == nullptr) return set ? end : begin;
  for (uint64_t at = begin; at < end; ++at) {
    if ((marks[at - base] != 0) == set) return at;
  }
  return end;
}

}  // namespace

uint64_t Memories::FirstMissing(const Access& access, uint64_t begin, uint64_t end) const {
  if (access.tensor->space != SOFTNPU_SPACE_GM) {
    return FirstMissing(access.tensor->space, begin, end);
  }
  const GlobalRegion& region = regions_[static_cast<size_t>(access.region)];
  const uint64_t limit = region.base + region.bytes;
  const uint64_t inside = std::min(end, limit);
  if (region.initialised != nullptr && begin < inside) {
    const void* const missing =
        std::memchr(region.initialised + (begin - region.base), 0, inside - begin);
    if (missing != nullptr) {
      return region.base +
             static_cast<uint64_t>(static_cast<const uint8_t*>(missing) - region.initialised);
    }
  }
  return FirstMark(region.room_initialised, limit, std::max(begin, limit), end, false);
}

uint64_t Memories::FirstPresent(const Access& access, uint64_t begin, uint64_t end) const {
  if (access.tensor->space != SOFTNPU_SPACE_GM) {
    return spaces_[access.tensor->space].defined.FirstPresent(begin, end);
  }
  const GlobalRegion& region = regions_[static_cast<size_t>(access.region)];
  const uint64_t limit = region.base + region.bytes;
  if (begin < limit) {
    if (region.initialised == nullptr) return begin;
    const uint64_t inside = std::min(end, limit);
    const uint64_t found = FirstMark(region.initialised, region.base, begin, inside, true);
    if (found != inside) return found;
  }
  return FirstMark(region.room_initialised, limit, std::max(begin, limit), end, true);
}

bool Memories::HasValues(const Access& access) const {
  for (uint64_t row = 0; row < access.rows; ++row) {
    const uint64_t begin = access.base + row * access.stride;
    if (FirstMissing(access, begin, begin + access.bytes) < begin + access.bytes) return false;
  }
  return true;
}

void Memories::CheckRows(const Access& access) const {
  for (uint64_t row = 0; row < access.rows; ++row) {
    const uint64_t begin = access.base + row * access.stride;
    const uint64_t end = begin + access.bytes;
    if (FirstMissing(access, begin, end) < end) FailMissing(access, begin, end);
  }
}

void Memories::FailMissing(const Access& access, uint64_t begin, uint64_t end) const {
  const uint64_t missing = FirstMissing(access, begin, end);
  const uint64_t last = FirstPresent(access, missing, end);
  if (access.tensor->space == SOFTNPU_SPACE_GM) {
    if (missing >= EndOf(access)) {
      site_.FailAt(Format("reads bytes behind the end of an allocation of %zu bytes, which hold no "
                          "value",
                          regions_[static_cast<size_t>(access.region)].bytes),
                   *access.tensor, missing, last);
    }
    site_.FailAt(
        Format("reads bytes of GM that were never written, from byte %llu of the access on",
               static_cast<unsigned long long>(missing - begin)),
        *access.tensor, missing, last);
  }
  const Origin* const origin = OriginOf(access.tensor->space, missing);
  const std::string why =
      origin == nullptr
          ? "never written, or padding of a DataCopyPad"
          : Format("%s at %s:%u has made them of %s", OpcodeName(origin->maker.opcode),
                   FileOf(origin->maker.file).c_str(), origin->maker.line,
                   roots_[origin->root].c_str());
  site_.FailAt(Format("reads bytes that hold no value: %s; the first is byte %llu of the %llu read",
                      why.c_str(), static_cast<unsigned long long>(missing - begin),
                      static_cast<unsigned long long>(end - begin)),
               *access.tensor, missing, last);
}

const Memories::Origin* Memories::OriginOf(uint8_t space, uint64_t address) const {
  for (auto origin = origins_.rbegin(); origin != origins_.rend(); ++origin) {
    if (origin->space == space && origin->begin <= address && address < origin->end) {
      return &*origin;
    }
  }
  return nullptr;
}

void Memories::NoteOrigin(uint8_t space, uint64_t begin, uint64_t end, const SoftnpuTensor& from,
                          uint64_t at) {
  constexpr size_t kMost = 256;
  const Place maker = site_.place();
  if (!origins_.empty()) {  // element after element of one instruction
    Origin& last = origins_.back();
    if (last.space == space && last.end == begin && last.maker.line == maker.line &&
        last.maker.file == maker.file && last.maker.opcode == maker.opcode) {
      last.end = end;
      return;
    }
  }
  const Origin* const before = from.space == SOFTNPU_SPACE_GM ? nullptr : OriginOf(from.space, at);
  size_t root = before == nullptr ? roots_.size() : before->root;
  if (before == nullptr) {
    if (roots_.size() >= kMost) {
      roots_.clear();
      origins_.clear();
      root = 0;
    }
    uint64_t origin = 0;
    const std::string buffer = site_.NameOf(from, at, &origin);
    roots_.push_back(Format(
        "byte %llu of %s, which %s", static_cast<unsigned long long>(at - origin), buffer.c_str(),
        from.space == SOFTNPU_SPACE_GM ? "was never written"
                                       : "was never written, or is padding of a DataCopyPad"));
  }
  if (origins_.size() >= kMost) origins_.erase(origins_.begin(), origins_.begin() + kMost / 2);
  origins_.push_back({space, begin, end, maker, root});
}

void Memories::SpoilBits(uint64_t address, uint8_t bits) {
  if (bits != 0) missing_bits_[address] = bits;
}

uint8_t Memories::MissingBits(uint64_t address) const {
  if (FirstMissing(SOFTNPU_SPACE_UB, address, address + 1) == address) return 0xFF;
  const auto found = missing_bits_.find(address);
  return found == missing_bits_.end() ? 0 : found->second;
}

void Memories::ForgetBehind(int region, uint64_t begin, uint64_t end) {
  const GlobalRegion& behind = regions_[static_cast<size_t>(region)];
  if (behind.room_initialised == nullptr) return;
  std::memset(behind.room_initialised + (begin - behind.base - behind.bytes), 0, end - begin);
}

void Memories::Commit(const Access& access) {
  if (access.tensor->space == SOFTNPU_SPACE_GM) return CommitGlobal(access);
  if (!site_.strict()) return;
  ByteSet& defined = spaces_[access.tensor->space].defined;
  if (!missing_bits_.empty() && access.tensor->space == SOFTNPU_SPACE_UB) {
    std::erase_if(missing_bits_, [&](const auto& byte) {
      return byte.first >= access.base && byte.first < access.base + access.extent();
    });
  }
  for (uint64_t row = 0; row < access.rows; ++row) {
    const uint64_t begin = access.base + row * access.stride;
    defined.Insert(begin, begin + access.bytes);
  }
}

void Memories::CommitGlobal(const Access& access) {
  LaunchState& launch = site_.launch();
  if (access.atomic) launch.atomics = true;
  const GlobalRegion& region = regions_[static_cast<size_t>(access.region)];
  if (region.dirty != nullptr) *region.dirty = true;
  for (uint64_t row = 0; row < access.rows; ++row) {
    const uint64_t begin = access.base + row * access.stride;
    const uint64_t offset = begin - region.base;
    const uint64_t inside =
        std::min<uint64_t>(access.bytes, region.bytes - std::min<uint64_t>(offset, region.bytes));
    if (region.initialised != nullptr) std::memset(region.initialised + offset, 1, inside);
    if (region.written != nullptr) std::memset(region.written + offset, 1, inside);
    if (region.room_initialised != nullptr && inside < access.bytes) {
      std::memset(region.room_initialised + (offset + inside - region.bytes), 1,
                  access.bytes - inside);
    }
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
    if (address >= region.base && address - region.base <= region.room) {
      *origin = region.base;
      return "GM " + region.name;
    }
  }
  *origin = tensor.begin;
  return Format("GM tensor at 0x%llx", static_cast<unsigned long long>(tensor.begin));
}

}  // namespace softnpu::ascendc
