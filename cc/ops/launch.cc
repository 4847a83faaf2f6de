// cc/ops/launch.cc: the ACL functions that operators need, resolved at first use, and their caches.
#include "cc/ops/launch.h"

#include <dlfcn.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include "acl/acl.h"

namespace vllm_cann::ops {
namespace {

struct Acl {
  decltype(&::aclrtGetDevice) get_device = nullptr;
  decltype(&::aclrtGetDeviceInfo) get_device_info = nullptr;
  decltype(&::aclrtGetSocName) get_soc_name = nullptr;
  decltype(&::aclrtBinaryLoadFromFile) load_binary = nullptr;
  decltype(&::aclrtBinaryGetFunction) get_function = nullptr;
  decltype(&::aclrtLaunchKernelWithHostArgs) launch = nullptr;
  decltype(&::aclrtMemcpyAsync) copy = nullptr;
  decltype(&::aclGetRecentErrMsg) recent_message = nullptr;
};

template <typename Function>
void Resolve(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (function == nullptr) {
    throw std::runtime_error(std::string("libascendcl.so has no ") + name +
                             ", with which kernels are launched: this CANN is too old");
  }
}

const Acl& GetAcl() {
  // A failure is not remembered: CANN may be loaded later.
  static const Acl acl = [] {
    void* library = dlopen("libascendcl.so", RTLD_NOW | RTLD_NOLOAD);
    if (library == nullptr) library = dlopen("libascendcl.so", RTLD_NOW | RTLD_GLOBAL);
    if (library == nullptr) {
      throw std::runtime_error(std::string("CANN is missing (") + dlerror() +
                               "): source its set_env.sh, or run the program with `softnpu run`");
    }
    Acl out;
    Resolve(library, "aclrtGetDevice", out.get_device);
    Resolve(library, "aclrtGetDeviceInfo", out.get_device_info);
    Resolve(library, "aclrtGetSocName", out.get_soc_name);
    Resolve(library, "aclrtBinaryLoadFromFile", out.load_binary);
    Resolve(library, "aclrtBinaryGetFunction", out.get_function);
    Resolve(library, "aclrtLaunchKernelWithHostArgs", out.launch);
    Resolve(library, "aclrtMemcpyAsync", out.copy);
    Resolve(library, "aclGetRecentErrMsg", out.recent_message);
    return out;
  }();
  return acl;
}

void Check(aclError code, const std::string& call) {
  if (code == ACL_SUCCESS) return;
  const char* const message = GetAcl().recent_message();
  throw std::runtime_error(
      call + " failed with " + std::to_string(code) +
      (message == nullptr || *message == '\0' ? std::string() : std::string(": ") + message));
}

std::mutex g_mutex;
std::string g_directory;
std::map<int32_t, std::unique_ptr<DeviceInfo>> g_devices;
std::map<std::pair<int32_t, std::string>, aclrtBinHandle> g_binaries;
std::map<std::tuple<int32_t, std::string, std::string>, aclrtFuncHandle> g_functions;

// The attribute's number is the same in all versions of the headers, its name is not.
constexpr auto kUbBytes = static_cast<aclrtDevAttr>(204);
constexpr auto kNpuArch = static_cast<aclrtDevAttr>(601);

// Arguments of a kernel: the tensors and the words of the tiling.
constexpr size_t kMaxArguments = 64;

// Of a family on a device; g_mutex is held.
aclrtBinHandle FindBinary(const CurrentDevice& device, const std::string& family) {
  if (g_directory.empty()) {
    throw std::runtime_error("the directory of the kernels is not set: call set_kernel_directory");
  }
  aclrtBinHandle& binary = g_binaries[{device.id, family}];
  if (binary == nullptr) {
    std::string soc = device.info->soc_name;
    for (char& c : soc) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    const std::string path = g_directory + "/" + family + "." + soc + ".o";
    aclrtBinHandle loaded = nullptr;
    Check(GetAcl().load_binary(path.c_str(), nullptr, &loaded),
          "aclrtBinaryLoadFromFile('" + path + "')");
    binary = loaded;
  }
  return binary;
}

aclrtFuncHandle FindFunction(const CurrentDevice& device, const char* family, const char* kernel) {
  std::lock_guard<std::mutex> lock(g_mutex);
  aclrtBinHandle binary = FindBinary(device, family);
  aclrtFuncHandle& function = g_functions[{device.id, family, kernel}];
  if (function == nullptr) {
    Check(GetAcl().get_function(binary, kernel, &function),
          std::string("aclrtBinaryGetFunction('") + kernel + "')");
  }
  return function;
}

}  // namespace

void SetKernelDirectory(const std::string& directory) {
  if (directory.empty() || directory[0] != '/') {
    Refuse("set_kernel_directory: '" + directory + "' is not an absolute path");
  }
  std::lock_guard<std::mutex> lock(g_mutex);
  if (directory == g_directory) return;
  g_directory = directory;
  g_binaries.clear();
  g_functions.clear();
}

void LoadFamily(const std::string& family) {
  const CurrentDevice device = GetCurrentDevice();
  std::lock_guard<std::mutex> lock(g_mutex);
  FindBinary(device, family);
}

int32_t GetCurrentDeviceId() {
  int32_t id = 0;
  const aclError code = GetAcl().get_device(&id);
  if (code != ACL_SUCCESS) Check(code, "aclrtGetDevice");
  return id;
}

CurrentDevice GetCurrentDevice() {
  const Acl& acl = GetAcl();
  CurrentDevice current;
  current.id = GetCurrentDeviceId();
  std::lock_guard<std::mutex> lock(g_mutex);
  std::unique_ptr<DeviceInfo>& known = g_devices[current.id];
  if (known == nullptr) {
    auto info = std::make_unique<DeviceInfo>();
    const char* const soc = acl.get_soc_name();
    if (soc == nullptr) throw std::runtime_error("aclrtGetSocName knows no name for the device");
    info->soc_name = soc;
    const auto ask = [&](aclrtDevAttr attribute, int64_t& value) {
      Check(acl.get_device_info(static_cast<uint32_t>(current.id), attribute, &value),
            "aclrtGetDeviceInfo(" + std::to_string(attribute) + ")");
    };
    ask(ACL_DEV_ATTR_VECTOR_CORE_NUM, info->vector_cores);
    ask(kUbBytes, info->ub_bytes);
    ask(kNpuArch, info->npu_arch);
    if (info->vector_cores < 1 || info->ub_bytes < 1) {
      throw std::runtime_error(info->soc_name + " reports " + std::to_string(info->vector_cores) +
                               " vector cores with " + std::to_string(info->ub_bytes) +
                               " bytes of UB");
    }
    known = std::move(info);
  }
  current.info = known.get();
  return current;
}

Launch::Launch(const Operator& declared, const Tensor* tensors, const OptionValue* options)
    : operation_(declared.name) {
  const CurrentDevice device = GetCurrentDevice();
  planned_ = declared.plan(tensors, options, *device.info);
  for (size_t i = 0; i < declared.tensors.size(); ++i) {
    const Tensor& tensor = tensors[i];
    if (declared.tensors[i].shares_place) {
      if (tensor.dims == 0) continue;
      addresses_.pop_back();
    }
    bool has_elements = tensor.dims > 0;
    for (int d = 0; d < tensor.dims; ++d) has_elements = has_elements && tensor.shape[d] > 0;
    const uint64_t unaligned =
        tensor.dims == 0 ? ~uint64_t{0} : static_cast<uint64_t>(ElementBytes(tensor.type)) - 1;
    addresses_.push_back({declared.tensors[i].name, unaligned, has_elements});
  }
  if (addresses_.size() + planned_.tiling.size() > kMaxArguments) {
    throw std::logic_error(std::string(operation_) + " has more than " +
                           std::to_string(kMaxArguments) + " arguments");
  }
  if (planned_.cores != 0) function_ = FindFunction(device, declared.family, planned_.kernel);
}

void Launch::RefuseAddress(const Address& address, uint64_t value) const {
  std::string what = std::string(operation_) + ": " + address.name;
  if (value == 0) Refuse(what + " has no memory");
  what += " has the address " + std::to_string(value);
  if (address.unaligned == ~uint64_t{0}) Refuse(what + ", but the launch was made without it");
  Refuse(what + ", which is not a multiple of its elements' " +
         std::to_string(address.unaligned + 1) + " bytes");
}

void Launch::operator()(const uint64_t* addresses, void* stream) const {
  if (planned_.cores == 0) return;
  uint64_t arguments[kMaxArguments];
  uint64_t* next = arguments;
  for (const Address& address : addresses_) {
    const uint64_t value = *addresses++;
    if ((value & address.unaligned) != 0 || (value == 0 && address.is_needed)) {
      RefuseAddress(address, value);
    }
    *next++ = value;
  }
  next = std::copy(planned_.tiling.begin(), planned_.tiling.end(), next);
  const aclError code =
      GetAcl().launch(function_, planned_.cores, stream, nullptr, arguments,
                      static_cast<size_t>(next - arguments) * sizeof(uint64_t), nullptr, 0);
  if (code != ACL_SUCCESS) {
    Check(code, std::string("the launch of ") + planned_.kernel + " on " +
                    std::to_string(planned_.cores) + " cores (aclrtLaunchKernelWithHostArgs)");
  }
}

void CopyMemory(uintptr_t destination, uintptr_t source, size_t bytes, CopyKind kind,
                void* stream) {
  const aclrtMemcpyKind kinds[] = {ACL_MEMCPY_HOST_TO_DEVICE, ACL_MEMCPY_DEVICE_TO_HOST,
                                   ACL_MEMCPY_DEVICE_TO_DEVICE};
  const aclError code =
      GetAcl().copy(reinterpret_cast<void*>(destination), bytes, reinterpret_cast<void*>(source),
                    bytes, kinds[static_cast<int>(kind)], stream);
  if (code != ACL_SUCCESS) {
    Check(code, "the copy of " + std::to_string(bytes) + " bytes (aclrtMemcpyAsync)");
  }
}

}  // namespace vllm_cann::ops
