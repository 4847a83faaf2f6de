// cc/softnpu/runtime/acl_ipc.cc: the exported functions for memory between processes.
#include <cstring>
#include <string>
#include <vector>

#include "cc/softnpu/runtime/acl_api.h"
#include "cc/softnpu/runtime/ipc.h"

namespace softnpu {
namespace {

std::string KeyOf(const char* key) {
  return std::string(&Required(key, "key"), strnlen(key, kKeyDigits + 1));
}

}  // namespace
}  // namespace softnpu

using namespace softnpu;  // NOLINT(google-build-using-namespace): the functions stand outside

extern "C" {

int32_t aclrtIpcMemGetExportKey(void* address, size_t bytes, char* key, size_t length,
                                uint64_t flags) {
  return Guard("aclrtIpcMemGetExportKey", [&] {
    RefuseForkedChild();
    char& out = Required(key, "key");
    if (length != kKeyDigits + 1) {
      throw Error(kRtParamInvalid,
                  Format("the length of a key is %zu; it has to be %zu", length, kKeyDigits + 1));
    }
    if (flags > 1) {
      throw Error(kRtParamInvalid, Format("the flags are %llu; 0 and 1 (any process) are known",
                                          static_cast<unsigned long long>(flags)));
    }
    std::strcpy(&out, ExportMemory(address, bytes, flags == 1).c_str());
  });
}

int32_t aclrtIpcMemSetImportPid(const char* key, int32_t* processes, size_t count) {
  return Guard("aclrtIpcMemSetImportPid", [&] {
    const int32_t* const begin = &Required(processes, "pid");
    if (count == 0) throw Error(kRtParamInvalid, "no process is named");
    AllowImport(KeyOf(key), std::vector<int32_t>(begin, begin + count));
  });
}

// 1 as flags is for a device that is another one than the memory's: here all reach each other.
int32_t aclrtIpcMemImportByKey(void** address, const char* key, uint64_t flags) {
  return Guard("aclrtIpcMemImportByKey", [&] {
    void*& out = Required(address, "devPtr");
    if (flags > 1) {
      throw Error(kRtParamInvalid, Format("the flags are %llu; 0 and 1 (peer access) are known",
                                          static_cast<unsigned long long>(flags)));
    }
    out = ImportMemory(KeyOf(key), CurrentDevice().index());
  });
}

int32_t aclrtIpcMemClose(const char* key) {
  return Guard("aclrtIpcMemClose", [&] {
    RefuseForkedChild();
    CloseMemory(KeyOf(key));
  });
}

}  // extern "C"
