// tests/softnpu/programs/add_main.cpp: launches add. With an argument the sizes do not fit.
#include "acl_check.h"
#ifdef WITH_LAUNCH_HEADER
#include "aclrtlaunch_add.h"
#else
void add_do(uint32_t blocks, void* stream, uint8_t* x, uint8_t* y, uint8_t* z, uint32_t total);
#endif

namespace {

float X(uint32_t i) { return static_cast<float>(i % 97); }
float Y(uint32_t i) { return 0.5f * static_cast<float>(i % 31); }

}  // namespace

int32_t main(int32_t argc, char**) {
  const uint32_t blocks = 8, total = argc > 1 ? 8 * 2048 + 8 * 64 : 8 * 2048;
  const size_t bytes = total * sizeof(aclFloat16);
  CHECK_ACL(aclInit(nullptr));
  CHECK_ACL(aclrtSetDevice(0));
  aclrtStream stream = nullptr;
  CHECK_ACL(aclrtCreateStream(&stream));
  aclFloat16* host[3];
  uint8_t* device[3];
  for (int i = 0; i < 3; ++i) {
    CHECK_ACL(aclrtMallocHost(reinterpret_cast<void**>(&host[i]), bytes));
    CHECK_ACL(aclrtMalloc(reinterpret_cast<void**>(&device[i]), bytes, ACL_MEM_MALLOC_HUGE_FIRST));
  }
  for (uint32_t i = 0; i < total; ++i) {
    host[0][i] = aclFloatToFloat16(X(i));
    host[1][i] = aclFloatToFloat16(Y(i));
  }
  CHECK_ACL(aclrtMemcpy(device[0], bytes, host[0], bytes, ACL_MEMCPY_HOST_TO_DEVICE));
  CHECK_ACL(aclrtMemcpy(device[1], bytes, host[1], bytes, ACL_MEMCPY_HOST_TO_DEVICE));
#ifdef WITH_LAUNCH_HEADER
  ACLRT_LAUNCH_KERNEL(add)(blocks, stream, device[0], device[1], device[2], total);
#else
  add_do(blocks, stream, device[0], device[1], device[2], total);
#endif
  CHECK_ACL(aclrtSynchronizeStream(stream));
  CHECK_ACL(aclrtMemcpy(host[2], bytes, device[2], bytes, ACL_MEMCPY_DEVICE_TO_HOST));
  uint32_t wrong = 0;
  for (uint32_t i = 0; i < total; ++i) wrong += aclFloat16ToFloat(host[2][i]) != X(i) + Y(i);
  for (int i = 0; i < 3; ++i) {
    CHECK_ACL(aclrtFree(device[i]));
    CHECK_ACL(aclrtFreeHost(host[i]));
  }
  CHECK_ACL(aclrtDestroyStream(stream));
  CHECK_ACL(aclrtResetDevice(0));
  CHECK_ACL(aclFinalize());
  printf("%u of %u are wrong\n", wrong, total);
  return wrong != 0;
}
