// cc/softnpu/runtime/kernel.cc: loads twins and runs them on a stream.
#include "cc/softnpu/runtime/kernel.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstring>

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
    try {
      const Allocation allocation = memory->Check(pointer, 1);
      region->base = allocation.base;
      region->bytes = allocation.bytes;
      region->host = memory->Alias(reinterpret_cast<void*>(allocation.base));
      region->name = Format("allocation #%llu (%zu bytes, device %d)",
                            static_cast<unsigned long long>(allocation.serial), allocation.bytes,
                            memory->device());
      return true;
    } catch (const Error&) {
      *nearest = memory->Describe(pointer);
      return false;
    }
  }
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
  if (twin->abi_version != SOFTNPU_TWIN_ABI) {
    throw Error(
        kRtParamInvalid,
        Format("%s was built for twin ABI %u and this SoftNPU has ABI %d: rebuild the kernels or "
               "install the matching softnpu",
               twin_path_.c_str(), twin->abi_version, SOFTNPU_TWIN_ABI));
  }
  twin->bind(ascendc::CoreApi());
  for (uint32_t i = 0; i < twin->entry_count; ++i) {
    functions_.push_back(std::make_unique<Function>(Function{&twin->entries[i]}));
  }
}

// A twin stays mapped: kernels of it may still be queued, and its code holds static strings.
Binary::~Binary() = default;

Function* Binary::Find(const std::string& name) {
  std::string known;
  for (const auto& function : functions_) {
    if (name == function->entry->name) return function.get();
    known += std::string(known.empty() ? "" : ", ") + function->entry->name;
  }
  throw Error(kRtParamInvalid, twin_path_ + " has no kernel '" + name + "'; it has: " + known);
}

void LaunchKernel(const Function& function, uint32_t blocks, Stream& stream, const void* args,
                  size_t arg_bytes) {
  const SoftnpuKernelEntry& entry = *function.entry;
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
  std::vector<uint64_t> slots(entry.param_count);
  std::memcpy(slots.data(), args, arg_bytes);
  stream.Enqueue(
      {EventKind::kKernel, entry.name, false, [&entry, blocks, slots = std::move(slots)] {
         RuntimeMemory memory;
         ascendc::Launch(Chip(), memory, entry, slots.data(), slots.size() * sizeof(uint64_t),
                         blocks, GetOptions().strict);
       }});
}

}  // namespace softnpu
