// cc/softnpu/ascendc/system.cc: layout of blocks, tiling data, the scalar unit's data cache, and
// output for debugging.
#include <bit>
#include <cstdio>
#include <cstring>

#include "cc/softnpu/ascendc/cluster.h"
#include "cc/softnpu/ascendc/core.h"
#include "cc/softnpu/ascendc/numeric.h"

namespace softnpu::ascendc {
namespace {

constexpr uint64_t kLine = 64;

uint64_t BitsOf(uint64_t first, uint64_t count) {
  return (count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1) << first;
}

// Calls `body(line, bits)` for the cache lines of [begin, end).
template <typename Body>
void ForLines(uint64_t begin, uint64_t end, Body&& body) {
  while (begin < end) {
    const uint64_t line = begin / kLine * kLine;
    const uint64_t stop = std::min(end, line + kLine);
    body(line, BitsOf(begin - line, stop - begin));
    begin = stop;
  }
}

std::string ValueText(uint8_t type, const std::byte* at) {
  const auto read = [at]<typename T>(T value) {
    std::memcpy(&value, at, sizeof(T));
    return value;
  };
  switch (type) {
    case SOFTNPU_FLOAT:
      return Format("%g", static_cast<double>(read(float{})));
    case SOFTNPU_FLOAT16:
      return Format("%g", static_cast<double>(numeric::HalfToFloat(read(uint16_t{}))));
    case SOFTNPU_BFLOAT16:
      return Format("%g", static_cast<double>(numeric::Bfloat16ToFloat(read(uint16_t{}))));
    case SOFTNPU_INT8:
      return Format("%d", read(int8_t{}));
    case SOFTNPU_UINT8:
    case SOFTNPU_BOOL:
      return Format("%u", read(uint8_t{}));
    case SOFTNPU_INT16:
      return Format("%d", read(int16_t{}));
    case SOFTNPU_UINT16:
      return Format("%u", read(uint16_t{}));
    case SOFTNPU_INT32:
      return Format("%d", read(int32_t{}));
    case SOFTNPU_UINT32:
      return Format("%u", read(uint32_t{}));
    case SOFTNPU_INT64:
      return Format("%lld", static_cast<long long>(read(int64_t{})));
    case SOFTNPU_UINT64:
      return Format("%llu", static_cast<unsigned long long>(read(uint64_t{})));
    default:
      return "?";
  }
}

}  // namespace

void Core::TaskType(SoftnpuInstruction& instruction) {
  const int64_t type = instruction.params[0];
  const int64_t key = instruction.params[1];
  if (key >= 0 && static_cast<uint64_t>(key) != launch_->options.tiling_key) return;
  if (launch_->task_type == type) return;
  if (launch_->task_type >= 0 && launch_->task_type_said) {
    Fail("a second KERNEL_TASK_TYPE that says something else");
  }
  const std::lock_guard<std::mutex> lock(launch_->mutex);
  launch_->task_type = type;
  launch_->task_type_said = true;
  throw Relaid{};
}

void Core::TilingCopy(SoftnpuInstruction& instruction) {
  Access& access = Add(instruction.operand[0], false, instruction.operand[0].address,
                       static_cast<uint64_t>(instruction.count));
  Admit();
  std::memcpy(reinterpret_cast<void*>(instruction.params[0]), access.host, access.bytes);
}

void Core::Print(const SoftnpuInstruction& instruction) const {
  const auto* const text = reinterpret_cast<const char*>(instruction.params[0]);
  const auto bytes = static_cast<int>(instruction.params[1]);
  const bool ends = bytes > 0 && text[bytes - 1] == '\n';
  std::fprintf(stdout, "[%s] %.*s%s", Name().c_str(), bytes, text, ends ? "" : "\n");
  std::fflush(stdout);
}

void Core::Dump(SoftnpuInstruction& instruction) {
  const SoftnpuTensor& tensor = instruction.operand[0];
  const uint64_t size = TypeBytes(tensor.type);
  Access& access =
      Add(tensor, false, tensor.address, static_cast<uint64_t>(instruction.count) * size);
  Admit();
  uint64_t origin = 0;
  const std::string buffer = NameOf(tensor, tensor.address, &origin);
  std::string text =
      Format("[%s] DumpTensor %lld at %s:%u: %s, bytes %llu on, %s:", Name().c_str(),
             static_cast<long long>(instruction.params[0]), FileOf(instruction.file).c_str(),
             instruction.line, buffer.c_str(),
             static_cast<unsigned long long>(tensor.address - origin), TypeName(tensor.type));
  for (int64_t i = 0; i < instruction.count; ++i) {
    text += (i % 8 == 0 ? "\n  " : " ") +
            ValueText(tensor.type, access.host + static_cast<uint64_t>(i) * size);
  }
  std::fprintf(stdout, "%s\n", text.c_str());
  std::fflush(stdout);
  accesses_.clear();  // looking is not an access
}

void Core::Assert(const SoftnpuInstruction& instruction) {
  const std::string fault =
      instruction.opcode == SOFTNPU_OP_TRAP
          ? "Trap"
          : "the assertion does not hold: " +
                std::string(reinterpret_cast<const char*>(instruction.params[0]),
                            static_cast<size_t>(instruction.params[1]));
  throw KernelError(kind_ == kVectorCore ? kVectorCoreTrap : kAicoreTrap, fault, Here());
}

void Core::CacheStore(const Access& access) {
  ForLines(access.base, access.base + access.bytes, [&](uint64_t address, uint64_t bits) {
    Line& line = cache_[address];
    line.dirty |= bits;
    line.stale &= ~bits;
    line.store = place();
    line.epoch = clocks_.epoch(SOFTNPU_PIPE_S);
  });
}

void Core::CacheLoad(const Access& access) {
  ForLines(access.base, access.base + access.bytes, [&](uint64_t address, uint64_t bits) {
    const auto [line, fresh] = cache_.try_emplace(address);
    if ((line->second.stale & bits) == 0) return;
    const Place& overwrite = line->second.overwrite;
    FailAt(Format("reads a line of its data cache that is older than GM, which %s at %s:%u has "
                  "written: DataCacheCleanAndInvalid has to come between",
                  OpcodeName(overwrite.opcode), FileOf(overwrite.file).c_str(), overwrite.line),
           *access.tensor, access.base, access.base + access.bytes);
  });
}

void Core::CheckCache(const Access& access) {
  if (access.write && launch_->cluster != nullptr) launch_->cluster->Overwrite(*this, access);
  if (cache_.empty()) return;
  const auto touch = [&](uint64_t address, Line& line, uint64_t bits) {
    if (line.dirty != 0 && (access.write || (line.dirty & bits) != 0)) {
      FailAt(Format(access.write
                        ? "writes into a line that SetValue at %s:%u has changed in the scalar "
                          "unit's data cache: when the line is written back, one of the two is "
                          "lost; DataCacheCleanAndInvalid has to come between"
                        : "reads bytes that SetValue at %s:%u has written: they are still in the "
                          "scalar unit's data cache; DataCacheCleanAndInvalid has to come between",
                    FileOf(line.store.file).c_str(), line.store.line),
             *access.tensor, std::max(address, access.base),
             std::min(address + kLine, access.base + access.extent()));
    }
    if (!access.write) return;
    line.stale |= bits;
    line.overwrite = place();
  };
  if (access.extent() / kLine > cache_.size() * 4) {
    for (auto& [address, line] : cache_) {
      uint64_t begin = 0;
      uint64_t end = 0;
      if (!Overlap({access.base, access.bytes, access.rows, access.stride}, {address, kLine},
                   &begin, &end)) {
        continue;
      }
      touch(address, line, BitsOf(begin - address, end - begin));
    }
    return;
  }
  for (uint64_t row = 0; row < access.rows; ++row) {
    const uint64_t begin = access.base + row * access.stride;
    ForLines(begin, begin + access.bytes, [&](uint64_t address, uint64_t bits) {
      const auto line = cache_.find(address);
      if (line != cache_.end()) touch(address, line->second, bits);
    });
  }
}

void Core::MarkStale(const Access& access, const Core& writer) {
  for (auto& [address, line] : cache_) {
    uint64_t begin = 0;
    uint64_t end = 0;
    if (!Overlap({access.base, access.bytes, access.rows, access.stride}, {address, kLine}, &begin,
                 &end)) {
      continue;
    }
    line.stale |= BitsOf(begin - address, end - begin);
    line.overwrite = writer.place();
  }
}

// A dirty line goes to GM. `cleaned`: by the kernel, and not by its end.
void Core::CleanLine(uint64_t address, Line& line, bool cleaned) {
  uint64_t bits = line.dirty;
  while (bits != 0) {
    const int first = std::countr_zero(bits);
    const int count = std::countr_one(bits >> first);
    RaceRecord record;
    record.pattern.base = address + static_cast<uint64_t>(first);
    record.pattern.bytes = static_cast<uint64_t>(count);
    record.place = line.store;
    record.epoch = cleaned ? clocks_.epoch(SOFTNPU_PIPE_S) : line.epoch;
    record.pipe = SOFTNPU_PIPE_S;
    record.space = SOFTNPU_SPACE_GM;
    record.write = true;
    record.scalar = true;
    record.cleaned = cleaned;
    shared_.Add(record, context_, clocks_.of(SOFTNPU_PIPE_S).others);
    if (launch_->cluster != nullptr) {
      Access access;
      access.base = record.pattern.base;
      access.bytes = record.pattern.bytes;
      launch_->cluster->Overwrite(*this, access);
    }
    bits &= ~BitsOf(static_cast<uint64_t>(first), static_cast<uint64_t>(count));
  }
  line.dirty = 0;
}

void Core::CacheClean(SoftnpuInstruction& instruction) {
  if (!launch_->races) return;
  const bool entire = instruction.params[0] != 0;
  if (entire) {
    for (auto& [address, line] : cache_) CleanLine(address, line, true);
    cache_.clear();
    return;
  }
  const auto line = cache_.find(instruction.operand[0].address / kLine * kLine);
  if (line == cache_.end()) return;
  CleanLine(line->first, line->second, true);
  cache_.erase(line);
}

std::string Core::StateOfPipes() const {
  std::string out;
  for (int pipe = 0; pipe < kPipes; ++pipe) {
    const Place& last = last_[static_cast<size_t>(pipe)];
    if (last.file == nullptr) continue;
    out += Format("; pipe %s last did %s at %s:%u", PipeName(pipe), OpcodeName(last.opcode),
                  FileOf(last.file).c_str(), last.line);
  }
  for (int event = 0; event < kEvents; ++event) {
    for (int id = 0; id < kEventIds; ++id) {
      const Flag& flag = flags_[event][id];
      if (!flag.set || flag.of_queue) continue;
      out += Format("; flag (%s, id %d) is set since %s:%u", EventName(event), id,
                    FileOf(flag.file).c_str(), flag.line);
    }
  }
  return out;
}

}  // namespace softnpu::ascendc
