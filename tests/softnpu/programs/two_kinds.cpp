// tests/softnpu/programs/two_kinds.cpp: host code alone; its kernels and their launches are in a
// header, which is for CANN's compiler.
#include "two_kinds.hpp"

#include "acl_check.h"

int main() {
  constexpr int32_t kBlocks = 2, kLines = kBlocks * 3;
  int32_t host[kLines * 16] = {};
  CHECK_ACL(aclInit(nullptr));
  CHECK_ACL(aclrtSetDevice(0));
  aclrtStream stream = nullptr;
  CHECK_ACL(aclrtCreateStream(&stream));
  void* device = nullptr;
  CHECK_ACL(aclrtMalloc(&device, sizeof(host), ACL_MEM_MALLOC_HUGE_FIRST));
  for (int32_t more = 0; more < 6; more += 2) {
    CHECK_ACL(aclrtMemset(device, sizeof(host), 0, sizeof(host)));
    const two_kinds::Lines::Params params = {static_cast<int32_t*>(device), 5};
    if (more < 4) {
      two_kinds::Run<two_kinds::Lines>(stream, kBlocks, params, more);
    } else {
      two_kinds::RunOfNoSaidKind<two_kinds::Products>(stream, kBlocks, params);
    }
    CHECK_ACL(aclrtSynchronizeStream(stream));
    CHECK_ACL(aclrtMemcpy(host, sizeof(host), device, sizeof(host), ACL_MEMCPY_DEVICE_TO_HOST));
    for (int32_t line = 0; line < kLines; ++line) printf("%d ", host[line * 16]);
    printf("\n");
  }
  CHECK_ACL(aclrtFree(device));
  CHECK_ACL(aclFinalize());
  return 0;
}
