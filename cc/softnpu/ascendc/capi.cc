// cc/softnpu/ascendc/capi.cc: C functions around twins and launches.
#include "cc/softnpu/ascendc/capi.h"

#include <dlfcn.h>

#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cc/softnpu/ascendc/instruction.h"
#include "cc/softnpu/ascendc/simulator.h"
#include "cc/softnpu/base/profile.h"

namespace softnpu::ascendc {
namespace {

const char* const kPipeNames[kPipes] = {"S", "V", "M", "MTE1", "MTE2", "MTE3", "ALL", "FIX"};

class Arrays : public GlobalMemory {
 public:
  Arrays(const SoftnpuArray* arrays, uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      Entry& entry = entries_[arrays[i].address];
      entry.array = &arrays[i];
      if (arrays[i].undefined != 0) entry.initialised.assign(arrays[i].bytes, 0);
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
    if (address - array.address >= array.bytes) {
      *nearest = Format("'%s' ends %llu bytes before it", array.name,
                        static_cast<unsigned long long>(address - array.address - array.bytes));
      return false;
    }
    region->base = array.address;
    region->bytes = array.bytes;
    region->host = static_cast<std::byte*>(array.data);
    region->initialised = entry.initialised.empty() ? nullptr : entry.initialised.data();
    region->name = std::string("'") + array.name + "'";
    return true;
  }

 private:
  struct Entry {
    const SoftnpuArray* array = nullptr;
    std::vector<uint8_t> initialised;  // empty: all of it is
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
    void* const library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) throw Error(kRtParamInvalid, dlerror());
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
    Launch(profile.chip, memory, *entry, request->slots, request->slot_count * sizeof(uint64_t),
           request->blocks, options);
    field(context, "atomics", atomics ? "1" : "0");
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
                     report.core_names[slice.context].c_str()});
    }
    slices(context, out.data(), out.size());
  });
}
