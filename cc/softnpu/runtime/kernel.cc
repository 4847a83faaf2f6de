// cc/softnpu/runtime/kernel.cc: loads twins and runs them on a stream.
#include "cc/softnpu/runtime/kernel.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstring>
#include <mutex>
#include <set>

#include "cc/softnpu/ascendc/simulator.h"
#include "cc/softnpu/runtime/memory.h"
#include "cc/softnpu/runtime/options.h"
#include "cc/softnpu/runtime/profile.h"

namespace softnpu {
namespace {

constexpr size_t kMaxParams = 128;

class RuntimeMemory : public ascendc::GlobalMemory {
 public:
  bool Find(uintptr_t address, ascendc::GlobalRegion* region, std::string* nearest) override {
    const void* pointer = reinterpret_cast<const void*>(address);
    DeviceMemory* memory = FindMemory(pointer);
    if (memory == nullptr) {
      *nearest = "the address is not device memory";
      return false;
    }
    std::optional<Allocation> allocation;
    try {
      allocation = memory->FindWithRoom(pointer);
    } catch (const Error& error) {
      *nearest = error.what();
      return false;
    }
    if (!allocation) {
      *nearest = memory->Describe(pointer);
      return false;
    }
    region->base = allocation->base;
    region->bytes = allocation->bytes;
    // What is behind another process's allocation is not ours.
    region->room = memory->foreign() ? 0 : ascendc::RoomOf(allocation->bytes);
    const void* const region_base = reinterpret_cast<const void*>(allocation->base);
    region->host = memory->Alias(region_base);
    if (WrittenMap* const written = memory->written()) {
      region->initialised = written->bytes() + memory->Offset(region_base);
      region->room_initialised = region->initialised + allocation->bytes;
    }
    region->name = Format("allocation #%llu (%zu bytes, device %d)",
                          static_cast<unsigned long long>(allocation->serial), allocation->bytes,
                          memory->device());
    return true;
  }

  // Opens pages until the kernel has ended.
  void Open(uintptr_t address, uint64_t bytes) override {
    DeviceMemory* const memory = FindMemory(reinterpret_cast<const void*>(address));
    if (memory == nullptr || GetOptions().host_visible) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    for (uintptr_t page = address / kPage; page <= (address + bytes - 1) / kPage; ++page) {
      if (!opened_.insert(page * kPage).second) continue;
      memory->OpenPage(page * kPage);
    }
  }

  RuntimeMemory() = default;
  RuntimeMemory(const RuntimeMemory&) = delete;
  RuntimeMemory& operator=(const RuntimeMemory&) = delete;
  ~RuntimeMemory() override {
    for (const uintptr_t page : opened_) {
      FindMemory(reinterpret_cast<const void*>(page))->ClosePage(page);
    }
  }

 private:
  static constexpr uintptr_t kPage = 4096;
  std::mutex mutex_;
  std::set<uintptr_t> opened_;
};

const Profile& Chip() { return CurrentProfile(); }

// "<dir>/<family>.<soc>.o" -> "<dir>/<family>.twin.so"
std::string TwinPath(const std::string& path) {
  if (path.empty() || path.front() != '/') {
    throw Error(kRtParamInvalid, "the kernel binary '" + path + "' is not an absolute path");
  }
  const size_t slash = path.rfind('/');
  const size_t object = path.rfind(".o");
  const size_t soc = object == std::string::npos ? object : path.rfind('.', object - 1);
  if (object == std::string::npos || object + 2 != path.size() || soc == std::string::npos ||
      soc < slash) {
    throw Error(kRtParamInvalid, "the kernel binary '" + path + "' is not named <family>.<soc>.o");
  }
  return path.substr(0, soc) + ".twin.so";
}

}  // namespace

Binary::Binary(const std::string& path) : twin_path_(TwinPath(path)) {
  if (access(twin_path_.c_str(), R_OK) != 0) {
    throw Error(kFileNotFound,
                "no host twin " + twin_path_ + " lies beside the kernel binary " + path);
  }
  handle_ = dlopen(twin_path_.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle_ == nullptr) throw Error(kRtParamInvalid, dlerror());
  const auto get_twin = reinterpret_cast<SoftnpuTwinFunction>(dlsym(handle_, SOFTNPU_TWIN_SYMBOL));
  if (get_twin == nullptr) {
    throw Error(kRtParamInvalid,
                twin_path_ + " is not a host twin: it exports no " SOFTNPU_TWIN_SYMBOL);
  }
  const SoftnpuTwin* twin = get_twin();
  CheckTwinAbi(twin_path_, twin->abi_version);
  twin->bind(ascendc::CoreApi());
  for (uint32_t i = 0; i < twin->entry_count; ++i) entries_.push_back(&twin->entries[i]);
}

// A twin stays mapped: kernels of it may still be queued, and its code holds static strings.
Binary::~Binary() {
  for (const auto& [name, handle] : handles_) Functions().Remove(handle);
}

void* Binary::Find(const std::string& name) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (const auto it = handles_.find(name); it != handles_.end()) return it->second;
  std::string known;
  for (const SoftnpuKernelEntry* entry : entries_) {
    if (name == entry->name) {
      return handles_[name] = Functions().Add(std::make_shared<Function>(Function{entry}));
    }
    known += std::string(known.empty() ? "" : ", ") + entry->name;
  }
  throw Error(kRtParamInvalid, twin_path_ + " has no kernel '" + name + "'; it has: " + known);
}

HandleTable<Binary>& Binaries() {
  static auto* table = new HandleTable<Binary>(HandleKind::kBinary, kRtParamInvalid);
  return *table;
}

HandleTable<Function>& Functions() {
  static auto* table = new HandleTable<Function>(HandleKind::kFunction, kRtParamInvalid);
  return *table;
}

void CheckTwinAbi(const std::string& what, uint32_t abi_version) {
  if (abi_version == SOFTNPU_TWIN_ABI) return;
  throw Error(
      kRtParamInvalid,
      Format("%s was built for twin ABI %u and this SoftNPU has ABI %d: rebuild the kernels or "
             "install the matching softnpu",
             what.c_str(), abi_version, SOFTNPU_TWIN_ABI));
}

KernelTask MakeLaunch(std::shared_ptr<const Function> function, uint32_t blocks, const void* args,
                      size_t arg_bytes) {
  const SoftnpuKernelEntry& entry = *function->entry;
  if (arg_bytes != entry.param_count * sizeof(uint64_t) || entry.param_count > kMaxParams) {
    throw Error(kRtParamInvalid,
                Format("kernel %s has %u parameters of 8 bytes each, the launch brings %zu bytes",
                       entry.name, entry.param_count, arg_bytes));
  }
  if (blocks == 0 || blocks > 65535) {
    throw Error(
        kRtParamInvalid,
        Format("kernel %s: %u blocks asked for, the limits are 1 and 65535", entry.name, blocks));
  }
  KernelTask task{std::move(function), blocks, std::vector<uint64_t>(entry.param_count)};
  if (arg_bytes > 0) std::memcpy(task.parameters.data(), args, arg_bytes);
  return task;
}

void RunKernel(const KernelTask& task) {
  static const ascendc::LaunchOptions options = [] {
    const auto checked = [](const char* name) { return GetOptions().unchecked.count(name) == 0; };
    ascendc::LaunchOptions out;
    out.strict = GetOptions().strict;
    out.races = checked("races");
    out.init = checked("init");
    out.queues = checked("queues");
    out.bounds = checked("bounds");
    out.alignment = checked("alignment");
    out.sizes = checked("sizes");
    return out;
  }();
  RuntimeMemory memory;
  ascendc::Launch(Chip(), memory, *task.function->entry, task.parameters.data(),
                  task.parameters.size() * sizeof(uint64_t), task.blocks, options);
}

}  // namespace softnpu
