// cc/softnpu/runtime/acl_device.cc: the exported functions of process, device, context and
// settings.
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <map>

#include "cc/softnpu/runtime/acl_api.h"
#include "cc/softnpu/runtime/options.h"
#include "cc/softnpu/runtime/profile.h"

namespace softnpu {
namespace {

constexpr const char* kCannVersion = "9.0.0";

std::atomic<bool> g_initialized{false};

// jit_compile "disable" sends torch_npu down the aclnn path; the other options keep their value.
class CompileOptions {
 public:
  CompileOptions() { values_[kJitCompile] = "disable"; }
  void Set(int32_t option, const char* value) {
    if (option == kJitCompile && std::strcmp(value, "disable") != 0) {
      throw Error(kInvalidParam, "jit_compile cannot be enabled: SoftNPU has no operator compiler");
    }
    std::lock_guard<std::mutex> lock(mutex_);
    values_[option] = value;
  }
  std::string Get(int32_t option) {
    std::lock_guard<std::mutex> lock(mutex_);
    return values_[option];
  }

 private:
  static constexpr int32_t kJitCompile = 10;
  std::mutex mutex_;
  std::map<int32_t, std::string> values_;
};

CompileOptions& JitOptions() {
  static CompileOptions* options = new CompileOptions;
  return *options;
}

// Fields and sizes of aclCANNPackageVersion.
struct PackageVersion {
  char version[128];
  char major[64];
  char minor[64];
  char release[64];
  char patch[64];
  char reserved[128];
};

}  // namespace
}  // namespace softnpu

using namespace softnpu;  // NOLINT(google-build-using-namespace): the functions stand outside

extern "C" {

int32_t aclInit(const char*) {
  return Guard("aclInit", [] {
    RefuseForkedChild();
    CurrentProfile();
    GetOptions();
    if (g_initialized.exchange(true)) {
      throw Error(kRepeatInitialize, "ACL is initialised already");
    }
  });
}

int32_t aclFinalize() {
  return Guard("aclFinalize", [] {
    if (!g_initialized.exchange(false)) {
      throw Error(kUninitialized, "ACL is not initialised");
    }
  });
}

const char* aclGetRecentErrMsg() { return RecentMessage(); }

int32_t aclGetCannAttribute(int32_t attribute, int32_t* value) {
  return Guard("aclGetCannAttribute", [&] {
    int32_t& out = Required(value, "value");
    switch (attribute) {
      case 0:  // INF_NAN mode is the default of every profile
        out = 1;
        return;
      case 1:
        out = CurrentProfile().bfloat16 ? 1 : 0;
        return;
      case 2:  // jit compile: off
        out = 0;
        return;
      default:
        throw Error(kInvalidParam, Format("attribute %d is unknown (0 to 2 are known)", attribute));
    }
  });
}

int32_t aclGetDeviceCapability(uint32_t device, int32_t info, int64_t* value) {
  return Guard("aclGetDeviceCapability", [&] {
    GetDevice(static_cast<int>(device));
    int64_t& out = Required(value, "value");
    switch (info) {
      case 0:
        out = CurrentProfile().ai_cores;
        return;
      case 1:
        out = CurrentProfile().vector_cores;
        return;
      case 2:
        out = CurrentProfile().l2_bytes;
        return;
      default:
        throw Error(kInvalidParam, Format("device info %d is unknown (0 to 2 are known)", info));
    }
  });
}

int32_t aclsysGetCANNVersion(int32_t, void* version) {
  return Guard("aclsysGetCANNVersion", [&] {
    auto& out = Required(static_cast<PackageVersion*>(version), "version");
    std::memset(&out, 0, sizeof(out));
    std::strcpy(out.version, kCannVersion);
    std::strcpy(out.major, "9");
    std::strcpy(out.minor, "0");
    std::strcpy(out.release, "0");
  });
}

int32_t aclsysGetVersionStr(char* package, char* version) {
  return Guard("aclsysGetVersionStr", [&] {
    Required(package, "package");
    std::strcpy(&Required(version, "version"), kCannVersion);
  });
}

const char* aclrtGetSocName() {
  const char* name = nullptr;
  Guard("aclrtGetSocName", [&] { name = CurrentProfile().soc_name.c_str(); });
  return name;
}

int32_t aclrtGetRunMode(int32_t* mode) {
  return Guard("aclrtGetRunMode", [&] { Required(mode, "mode") = 1; });
}

int32_t aclrtGetDeviceCount(uint32_t* count) {
  return Guard("aclrtGetDeviceCount", [&] { Required(count, "count") = CurrentProfile().devices; });
}

int32_t aclrtSetDevice(int32_t device) {
  return Guard("aclrtSetDevice", [&] { SetCurrentDevice(device); });
}

int32_t aclrtResetDevice(int32_t device) {
  return Guard("aclrtResetDevice", [&] { GetDevice(device).Reset(); });
}

int32_t aclrtGetDevice(int32_t* device) {
  return Guard("aclrtGetDevice", [&] { Required(device, "device") = CurrentDevice().index(); });
}

int32_t aclrtGetDeviceInfo(uint32_t device, int32_t attribute, int64_t* value) {
  return Guard("aclrtGetDeviceInfo", [&] {
    GetDevice(static_cast<int>(device));
    int64_t& out = Required(value, "value");
    const Profile& profile = CurrentProfile();
    switch (attribute) {
      case 101:
        out = profile.ai_cores;
        return;
      case 102:
        out = profile.cube_cores;
        return;
      case 201:
        out = profile.vector_cores;
        return;
      case 204:
        out = profile.ub_bytes;
        return;
      case 301:
        out = profile.hbm_bytes;
        return;
      case 302:
        out = profile.l2_bytes;
        return;
      case 601:
        out = profile.npu_arch;
        return;
      default:
        throw Error(kRtParamInvalid, Format("attribute %d is not modelled", attribute));
    }
  });
}

int32_t aclrtGetLogicDevIdByUserDevId(const int32_t user, int32_t* const logical) {
  return Guard("aclrtGetLogicDevIdByUserDevId", [&] { Required(logical, "logical") = user; });
}

int32_t aclrtDeviceGetBareTgid(int32_t* pid) {
  return Guard("aclrtDeviceGetBareTgid", [&] { Required(pid, "pid") = getpid(); });
}

int32_t aclrtDeviceCanAccessPeer(int32_t* can, int32_t device, int32_t peer) {
  return Guard("aclrtDeviceCanAccessPeer", [&] {
    GetDevice(device);
    GetDevice(peer);
    Required(can, "can") = device != peer ? 1 : 0;
  });
}

int32_t aclrtDeviceEnablePeerAccess(int32_t peer, uint32_t) {
  return Guard("aclrtDeviceEnablePeerAccess", [&] { GetDevice(peer); });
}

int32_t aclrtGetPrimaryCtxState(int32_t device, uint32_t* flags, int32_t* active) {
  return Guard("aclrtGetPrimaryCtxState", [&] {
    RefuseForkedChild();
    if (flags != nullptr) *flags = 0;
    Required(active, "active") = CurrentDeviceIndex() == device ? 1 : 0;
  });
}

int32_t aclrtCreateContext(void** context, int32_t device) {
  return Guard("aclrtCreateContext", [&] {
    void*& out = Required(context, "context");
    GetDevice(device);
    out = Contexts().Add(std::make_shared<Context>(Context{device, false}));
    SetCurrentContext(out);
  });
}

int32_t aclrtDestroyContext(void* context) {
  return Guard("aclrtDestroyContext", [&] {
    if (Contexts().Get(context)->primary) {
      throw Error(kRtContextNull, Format("%p is the context that device %d has by itself; "
                                         "aclrtResetDevice is for it",
                                         context, Contexts().Get(context)->device));
    }
    Contexts().Remove(context);
  });
}

int32_t aclrtSetCurrentContext(void* context) {
  return Guard("aclrtSetCurrentContext", [&] { SetCurrentContext(context); });
}

int32_t aclrtGetCurrentContext(void** context) {
  return Guard("aclrtGetCurrentContext", [&] { Required(context, "context") = CurrentContext(); });
}

int32_t aclrtSetDeviceSatMode(int32_t mode) {
  return Guard("aclrtSetDeviceSatMode", [&] {
    if (mode != 1) {
      throw Error(kRtParamInvalid,
                  Format("overflow mode %d: SoftNPU models the INF/NAN mode (1) only", mode));
    }
  });
}

int32_t aclrtSetOpWaitTimeout(uint32_t) { return kOk; }
int32_t aclrtSetOpExecuteTimeOut(uint32_t) { return kOk; }

int32_t aclrtSetOpExecuteTimeOutV2(uint64_t us, uint64_t* actual_us) {
  if (actual_us != nullptr) *actual_us = us;
  return kOk;
}

// 0 deterministic, 1 debug kernel, 2 strong consistency: SoftNPU is always deterministic.
static int64_t g_sys_params[3] = {0, 0, 0};

static int32_t SysParam(const char* function, int32_t option, int64_t* value, bool set) {
  return Guard(function, [&] {
    if (option < 0 || option > 2) {
      throw Error(kRtParamInvalid, Format("option %d is unknown (0 to 2 are known)", option));
    }
    int64_t& slot = g_sys_params[option];
    if (set) {
      slot = Required(value, "value");
    } else {
      Required(value, "value") = slot;
    }
  });
}

int32_t aclrtGetSysParamOpt(int32_t option, int64_t* value) {
  return SysParam("aclrtGetSysParamOpt", option, value, false);
}
int32_t aclrtSetSysParamOpt(int32_t option, int64_t value) {
  return SysParam("aclrtSetSysParamOpt", option, &value, true);
}
int32_t aclrtCtxSetSysParamOpt(int32_t option, int64_t value) {
  return SysParam("aclrtCtxSetSysParamOpt", option, &value, true);
}

int32_t aclrtPeekAtLastError(int32_t) { return LastCode(false); }
int32_t aclrtGetLastError(int32_t) { return LastCode(true); }

int32_t aclSetCompileopt(int32_t option, const char* value) {
  return Guard("aclSetCompileopt", [&] { JitOptions().Set(option, &Required(value, "value")); });
}

size_t aclGetCompileoptSize(int32_t option) {
  size_t bytes = 0;
  Guard("aclGetCompileoptSize", [&] { bytes = JitOptions().Get(option).size() + 1; });
  return bytes;
}

int32_t aclGetCompileopt(int32_t option, char* value, size_t length) {
  return Guard("aclGetCompileopt", [&] {
    const std::string text = JitOptions().Get(option);
    if (text.size() + 1 > length) {
      throw Error(kInvalidParam,
                  Format("%zu bytes are needed, the buffer has %zu", text.size() + 1, length));
    }
    std::strcpy(&Required(value, "value"), text.c_str());
  });
}

}  // extern "C"
