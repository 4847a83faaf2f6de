// cc/softnpu/ascendc/capi.cc: C functions around twins and launches.
#include "cc/softnpu/ascendc/capi.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "cc/softnpu/ascendc/instruction.h"
#include "cc/softnpu/ascendc/simulator.h"
#include "cc/softnpu/base/profile.h"

namespace softnpu::ascendc {
namespace {

const char* const kPipeNames[kPipes] = {"S", "V", "M", "MTE1", "MTE2", "MTE3", "ALL", "FIX"};

constexpr uint64_t kPage = 4096;
constexpr uint64_t kFirstAddress = 0x100000000000;  // above what a process usually maps

uint64_t Pages(uint64_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

// Address space of launches. One piece is kept between them: fresh pages are what costs.
class Reserve {
 public:
  // 0: there is none.
  uint64_t Take(uint64_t size) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!taken_ && size <= kept_size_) {
      taken_ = true;
      return kept_;
    }
    if (!taken_ && kept_ != 0) {  // too small: a larger one takes its place
      munmap(reinterpret_cast<void*>(kept_), kept_size_);
      kept_ = kept_size_ = 0;
    }
    const bool keep = !taken_ && size <= kMostKept;
    if (keep) size = std::max(size, kLeastKept);
    const uint64_t at = Map(size);
    if (keep && at != 0) {
      kept_ = at;
      kept_size_ = size;
      taken_ = true;
    }
    return at;
  }
  void GiveBack(uint64_t address, uint64_t size) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (address == kept_) {
      taken_ = false;
    } else {
      munmap(reinterpret_cast<void*>(address), size);
    }
  }

 private:
  static constexpr uint64_t kLeastKept = uint64_t{1} << 20;
  static constexpr uint64_t kMostKept = uint64_t{64} << 20;

  static uint64_t Map(uint64_t size) {
    for (uint64_t at = kFirstAddress; at < 0x500000000000; at += uint64_t{1} << 40) {
      void* const wanted = reinterpret_cast<void*>(at);
      void* const got =
          mmap(wanted, size, PROT_NONE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
      if (got == wanted) return at;
      if (got != MAP_FAILED) munmap(got, size);  // a kernel that does not know the flag
    }
    return 0;
  }

  std::mutex mutex_;
  uint64_t kept_ = 0;
  uint64_t kept_size_ = 0;
  bool taken_ = false;
};

Reserve& ReservedSpace() {
  static auto* const reserve = new Reserve;
  return *reserve;
}

// Marks of bytes, all 0 at first; pages are taken where they are used.
class Marks {
 public:
  explicit Marks(uint64_t bytes) : bytes_(std::max<uint64_t>(bytes, 1)) {
    void* const at = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) throw Error(kRtMemoryAllocation, "no memory for marks of written bytes");
    at_ = static_cast<uint8_t*>(at);
  }
  ~Marks() { munmap(at_, bytes_); }
  Marks(const Marks&) = delete;
  Marks& operator=(const Marks&) = delete;
  uint8_t* data() const { return at_; }

 private:
  uint64_t bytes_;
  uint8_t* at_ = nullptr;
};

// The arrays of a launch at their addresses, where kernels may also dereference them; behind each
// of them lie its room and pages without access.
class Arrays : public GlobalMemory {
 public:
  Arrays(const SoftnpuArray* arrays, uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      const SoftnpuArray& array = arrays[i];
      void* const at = reinterpret_cast<void*>(array.address);
      const uint64_t pages = Pages(RoomOf(array.bytes));
      if (mprotect(at, pages, PROT_READ | PROT_WRITE) != 0 ||
          mprotect(reinterpret_cast<void*>(array.address + pages), kPage, PROT_NONE) != 0) {
        throw Error(kRtMemoryAllocation,
                    Format("no memory for the %llu bytes of '%s'",
                           static_cast<unsigned long long>(array.bytes), array.name));
      }
      Entry& entry = entries_[array.address];
      entry.array = &array;
      if (array.data != nullptr && array.bytes > 0) std::memcpy(at, array.data, array.bytes);
      if (array.undefined != 0) entry.initialised = std::make_unique<Marks>(array.bytes);
    }
  }
  // Hands back what the kernel has written.
  void CopyOut() const {
    for (const auto& [address, entry] : entries_) {
      if (!entry.dirty || entry.array->data == nullptr || entry.array->bytes == 0) continue;
      std::memcpy(entry.array->data, reinterpret_cast<const void*>(address), entry.array->bytes);
    }
  }

  bool Find(uintptr_t address, GlobalRegion* region, std::string* nearest) override {
    auto after = entries_.upper_bound(address);
    if (after == entries_.begin()) {
      *nearest = "no argument lies below it";
      return false;
    }
    Entry& entry = (--after)->second;
    const SoftnpuArray& array = *entry.array;
    if (address - array.address >= RoomOf(array.bytes)) {
      *nearest = Format("'%s' ends %llu bytes before it", array.name,
                        static_cast<unsigned long long>(address - array.address - array.bytes));
      return false;
    }
    region->base = array.address;
    region->bytes = array.bytes;
    region->room = RoomOf(array.bytes);
    region->host = reinterpret_cast<std::byte*>(array.address);
    region->initialised = entry.initialised == nullptr ? nullptr : entry.initialised->data();
    region->room_initialised = entry.room_initialised;
    region->dirty = &entry.dirty;
    region->name = std::string("'") + array.name + "'";
    return true;
  }

 private:
  struct Entry {
    const SoftnpuArray* array = nullptr;
    std::unique_ptr<Marks> initialised;  // null: all of it is
    uint8_t room_initialised[64] = {};
    bool dirty = false;
  };
  std::map<uintptr_t, Entry> entries_;
};

// A profile and, where the time is modelled, its numbers as the model asks for them.
struct LoadedProfile {
  explicit LoadedProfile(const char* path) : chip(ReadProfile(path)) {
    if (!chip.time) return;
    try {
      time.emplace(*chip.time);
    } catch (const Error& error) {
      throw Error(error.code(), std::string("the device profile ") + path + " has " + error.what());
    }
  }
  Profile chip;
  std::optional<TimeTable> time;
};

void ReportProfile(const Profile& profile, SoftnpuField field, void* context) {
  struct Show {
    std::string operator()(const std::string& value) const { return value; }
    std::string operator()(int64_t value) const { return std::to_string(value); }
    std::string operator()(bool value) const { return value ? "1" : "0"; }
  };
  for (const auto& [name, value] : FieldsOf(profile)) {
    field(context, name, std::visit(Show{}, value).c_str());
  }
  if (!profile.time) return;
  for (const auto& [name, value] : *profile.time) {
    field(context, ("time." + name).c_str(), Format("%.17g", value).c_str());
  }
}

void ReportFault(const Error& error, SoftnpuField field, void* context) {
  const auto text = [&](const char* name, const std::string& value) {
    field(context, name, value.c_str());
  };
  text("code", std::to_string(error.code()));
  text("message", error.what());
  const auto* const kernel = dynamic_cast<const KernelError*>(&error);
  if (kernel == nullptr) {
    text("fault", error.what());
    return;
  }
  const KernelError::Where& where = kernel->where();
  text("fault", kernel->fault());
  text("kernel", where.kernel);
  text("block", std::to_string(where.block));
  text("core", std::to_string(where.core));
  text("core_type", where.core_type);
  text("pipe", where.pipe);
  text("instruction", where.instruction);
  text("buffer", where.buffer);
  text("begin", std::to_string(where.begin));
  text("end", std::to_string(where.end));
  text("file", where.file);
  text("line", std::to_string(where.line));
  text("other_pipe", where.other_pipe);
  text("other_instruction", where.other_instruction);
  text("other_block", std::to_string(where.other_block));
  text("other_file", where.other_file);
  text("other_line", std::to_string(where.other_line));
}

void ReportTime(const TimeReport& report, SoftnpuField field, void* context) {
  const auto number = [&](const std::string& name, double value) {
    field(context, name.c_str(), Format("%.17g", value).c_str());
  };
  number("microseconds", report.microseconds);
  number("head_microseconds", report.head_microseconds);
  number("cycles", report.cycles);
  number("clock_mhz", report.clock_mhz);
  number("read_bytes", static_cast<double>(report.read_bytes));
  number("written_bytes", static_cast<double>(report.written_bytes));
  number("in_l2", report.in_l2 ? 1 : 0);
  for (size_t pipe = 0; pipe < kPipes; ++pipe) {
    number(std::string("busy.") + kPipeNames[pipe], report.busy[pipe]);
  }
}

template <typename Body>
int32_t Guarded(SoftnpuField field, void* context, Body&& body) {
  try {
    body();
    return 0;
  } catch (const Error& error) {
    ReportFault(error, field, context);
    return error.code();
  } catch (const std::exception& error) {
    ReportFault(Error(kRtInternal, error.what()), field, context);
    return kRtInternal;
  }
}

// The library of a name that is loaded already is the old one for dlopen, also when the file is a
// new one: a copy without a name is loaded instead, once for each state of the file.
void* OpenTwin(const char* path) {
  using State = std::tuple<std::string, dev_t, ino_t, off_t, time_t, long>;
  static std::mutex mutex;
  static std::map<State, void*> loaded;
  struct stat info = {};
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0 || fstat(file, &info) != 0) {
    const std::string reason = std::strerror(errno);
    if (file >= 0) close(file);
    throw Error(kRtParamInvalid, std::string(path) + ": " + reason);
  }
  const State state = {path,         info.st_dev,         info.st_ino,
                       info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec};
  const std::lock_guard<std::mutex> lock(mutex);
  if (const auto found = loaded.find(state); found != loaded.end()) {
    close(file);
    return found->second;
  }
  const int copy = memfd_create("softnpu-twin", MFD_CLOEXEC);
  off_t offset = 0;
  while (copy >= 0 && offset < info.st_size) {
    if (sendfile(copy, file, &offset, static_cast<size_t>(info.st_size - offset)) <= 0) break;
  }
  close(file);
  void* const library =
      copy < 0 ? nullptr : dlopen(Format("/proc/self/fd/%d", copy).c_str(), RTLD_NOW | RTLD_LOCAL);
  const std::string reason = library == nullptr ? dlerror() : "";
  if (copy >= 0 && library == nullptr) close(copy);
  if (library == nullptr) throw Error(kRtParamInvalid, std::string(path) + ": " + reason);
  return loaded[state] = library;
}

const SoftnpuTwin& TwinOf(const void* twin) { return *static_cast<const SoftnpuTwin*>(twin); }

}  // namespace
}  // namespace softnpu::ascendc

using namespace softnpu;           // NOLINT
using namespace softnpu::ascendc;  // NOLINT

#define SOFTNPU_EXPORT extern "C" __attribute__((visibility("default")))

SOFTNPU_EXPORT const void* softnpu_profile_load(const char* path, SoftnpuField field,
                                                void* context) {
  std::unique_ptr<LoadedProfile> profile;
  const int32_t code = Guarded(field, context, [&] {
    profile = std::make_unique<LoadedProfile>(path);
    ReportProfile(profile->chip, field, context);
  });
  return code == 0 ? profile.release() : nullptr;
}

SOFTNPU_EXPORT const void* softnpu_twin_load(const char* path, SoftnpuField field, void* context) {
  const SoftnpuTwin* twin = nullptr;
  Guarded(field, context, [&] {
    void* const library = OpenTwin(path);
    const auto get = reinterpret_cast<SoftnpuTwinFunction>(dlsym(library, SOFTNPU_TWIN_SYMBOL));
    if (get == nullptr) {
      throw Error(kRtParamInvalid, std::string(path) + " exports no " SOFTNPU_TWIN_SYMBOL
                                                       ": it was not made by `softnpu build`");
    }
    if (get()->abi_version != SOFTNPU_TWIN_ABI) {
      throw Error(kRtParamInvalid, Format("%s was built for twin ABI %u, this SoftNPU has ABI %d: "
                                          "build it again",
                                          path, get()->abi_version, SOFTNPU_TWIN_ABI));
    }
    twin = get();
    twin->bind(CoreApi());
  });
  return twin;
}

SOFTNPU_EXPORT void softnpu_twin_kernels(const void* twin, SoftnpuField field, void* context) {
  for (uint32_t i = 0; i < TwinOf(twin).entry_count; ++i) {
    field(context, "kernel", TwinOf(twin).entries[i].name);
    field(context, "slots", std::to_string(TwinOf(twin).entries[i].param_count).c_str());
  }
}

SOFTNPU_EXPORT uint64_t softnpu_reserve(uint64_t bytes) {
  return ReservedSpace().Take(Pages(std::max<uint64_t>(bytes, 1)));
}

SOFTNPU_EXPORT void softnpu_release(uint64_t address, uint64_t bytes) {
  ReservedSpace().GiveBack(address, Pages(std::max<uint64_t>(bytes, 1)));
}

// Two pages at least, of which the last has no access: as far apart lie the arrays.
SOFTNPU_EXPORT uint64_t softnpu_room(uint64_t bytes) { return Pages(RoomOf(bytes)) + kPage; }

SOFTNPU_EXPORT int32_t softnpu_launch(const SoftnpuLaunchRequest* request, SoftnpuField field,
                                      SoftnpuSlices slices, void* context) {
  return Guarded(field, context, [&] {
    const SoftnpuTwin& twin = TwinOf(request->twin);
    const SoftnpuKernelEntry* entry = nullptr;
    for (uint32_t i = 0; i < twin.entry_count; ++i) {
      if (std::strcmp(twin.entries[i].name, request->kernel) == 0) entry = &twin.entries[i];
    }
    if (entry == nullptr) {
      throw Error(kRtParamInvalid, std::string("the twin has no kernel ") + request->kernel);
    }
    Arrays memory(request->arrays, request->array_count);
    LaunchOptions options;
    options.strict = request->strict != 0;
    options.races = request->races != 0;
    options.threads = request->threads;
    options.seed = request->seed;
    options.tiling_key = request->tiling_key;
    for (uint64_t i = 0; i < request->array_count; ++i) {
      const SoftnpuArray& array = request->arrays[i];
      if (array.output != 0) options.outputs.push_back({array.address, array.bytes, array.name});
    }
    bool atomics = false;
    options.atomics = &atomics;
    TimeReport report;
    const auto& profile = *static_cast<const LoadedProfile*>(request->profile);
    const bool timed = request->time != 0;
    if (timed && !profile.time) {
      throw Error(kRtParamInvalid, "the time of " + profile.chip.soc_name + " is not modelled");
    }
    if (timed) {
      options.time = &*profile.time;
      options.report = &report;
      options.warm_l2 = request->warm_l2 != 0;
      options.slices = slices != nullptr && request->slices != 0;
    }
    options.init = (request->unchecked & SOFTNPU_UNCHECKED_INIT) == 0;
    options.queues = (request->unchecked & SOFTNPU_UNCHECKED_QUEUES) == 0;
    options.bounds = (request->unchecked & SOFTNPU_UNCHECKED_BOUNDS) == 0;
    options.alignment = (request->unchecked & SOFTNPU_UNCHECKED_ALIGNMENT) == 0;
    std::vector<std::string> warnings;
    options.warnings = &warnings;
    try {
      Launch(profile.chip, memory, *entry, request->slots, request->slot_count * sizeof(uint64_t),
             request->blocks, options);
    } catch (...) {
      memory.CopyOut();
      throw;
    }
    memory.CopyOut();
    field(context, "atomics", atomics ? "1" : "0");
    const uint32_t flags = entry->flags == nullptr ? 0 : *entry->flags;
    field(context, "auto_sync", (flags & SOFTNPU_TWIN_AUTO_SYNC) != 0 ? "1" : "0");
    for (const std::string& warning : warnings) field(context, "warning", warning.c_str());
    if (!timed) return;
    ReportTime(report, field, context);
    if (!options.slices) return;
    std::vector<SoftnpuSlice> out;
    out.reserve(report.slices.size());
    for (const TimeSlice& slice : report.slices) {
      out.push_back({report.head_microseconds + slice.begin / report.clock_mhz,
                     report.head_microseconds + slice.end / report.clock_mhz, slice.context,
                     slice.pipe, slice.place.line, InstructionName(slice.place.opcode),
                     slice.place.file == nullptr ? "" : slice.place.file,
                     report.core_names[slice.context].c_str(),
                     static_cast<double>(slice.conflict) / report.clock_mhz, slice.moved,
                     slice.write ? 1u : 0u});
    }
    slices(context, out.data(), out.size());
  });
}
