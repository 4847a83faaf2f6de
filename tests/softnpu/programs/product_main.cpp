// tests/softnpu/programs/product_main.cpp: makes a tiling, launches product and compares.
#include "acl_check.h"
#include "aclrtlaunch_product.h"
#include "tiling/platform/platform_ascendc.h"
#include "tiling/tiling_api.h"

using namespace matmul_tiling;

namespace {

constexpr int32_t kM = 128, kN = 256, kK = 64;

float A(int32_t i, int32_t k) { return static_cast<float>((i * 7 + k * 3) % 11 - 5); }
float B(int32_t k, int32_t j) { return 0.25f * static_cast<float>((k * 5 + j) % 9 - 4); }
float Bias(int32_t j) { return static_cast<float>(j % 5 - 2); }

// Two vector cores share the product.
int64_t MakeTiling(optiling::TCubeTiling& tiling) {
  MultiCoreMatmulTiling maker(*platform_ascendc::PlatformAscendCManager::GetInstance());
  maker.SetDim(2);
  maker.SetAType(TPosition::GM, CubeFormat::ND, DataType::DT_FLOAT16, false);
  maker.SetBType(TPosition::GM, CubeFormat::ND, DataType::DT_FLOAT16, false);
  maker.SetCType(TPosition::VECIN, CubeFormat::ND, DataType::DT_FLOAT);
  maker.SetBiasType(TPosition::GM, CubeFormat::ND, DataType::DT_FLOAT);
  maker.SetOrgShape(kM, kN, kK);
  maker.SetShape(kM, kN, kK);
  maker.SetBias(true);
  maker.SetTraverse(MatrixTraverse::FIRSTM);
  maker.SetFixSplit(64, 64, -1);
  maker.SetBufferSpace(-1, -1, -1);
  if (maker.GetTiling(tiling) != 0) return -1;
  // What a program asks for afterwards is what the tiling has.
  int32_t m = 0, n = 0, k = 0;
  const bool same = maker.GetSingleShape(m, n, k) == 0 && m == tiling.singleCoreM &&
                    n == tiling.singleCoreN && k == tiling.singleCoreK && maker.GetBaseM() == 64 &&
                    maker.GetBaseN() == 64 && maker.GetBaseK() == tiling.baseK;
  return same ? 0 : -1;
}

}  // namespace

int32_t main() {
  CHECK_ACL(aclInit(nullptr));
  CHECK_ACL(aclrtSetDevice(0));
  aclrtStream stream = nullptr;
  CHECK_ACL(aclrtCreateStream(&stream));
  optiling::TCubeTiling tiling;
  if (MakeTiling(tiling) != 0) return 2;
  printf("%d cores, %d x %d each\n", tiling.get_usedCoreNum(), tiling.get_singleCoreM(),
         tiling.get_singleCoreN());

  static aclFloat16 a[kM * kK], b[kK * kN];
  static float bias[kN], c[kM * kN];
  for (int32_t i = 0; i < kM * kK; ++i) a[i] = aclFloatToFloat16(A(i / kK, i % kK));
  for (int32_t i = 0; i < kK * kN; ++i) b[i] = aclFloatToFloat16(B(i / kN, i % kN));
  for (int32_t j = 0; j < kN; ++j) bias[j] = Bias(j);
  uint8_t packed[sizeof(TCubeTiling)];
  tiling.SaveToBuffer(packed, tiling.GetDataSize());
  const size_t workspace_bytes =
      platform_ascendc::PlatformAscendCManager::GetInstance()->GetLibApiWorkSpaceSize();

  const void* const host[] = {a, b, bias, nullptr, nullptr, packed};
  const size_t bytes[] = {sizeof(a), sizeof(b),       sizeof(bias),
                          sizeof(c), workspace_bytes, tiling.GetDataSize()};
  void* device[6];
  for (int i = 0; i < 6; ++i) {
    CHECK_ACL(aclrtMalloc(&device[i], bytes[i], ACL_MEM_MALLOC_HUGE_FIRST));
    if (host[i] == nullptr) continue;
    CHECK_ACL(aclrtMemcpy(device[i], bytes[i], host[i], bytes[i], ACL_MEMCPY_HOST_TO_DEVICE));
  }
  ACLRT_LAUNCH_KERNEL(product)
  (1, stream, device[0], device[1], device[2], device[3], device[4], device[5]);
  CHECK_ACL(aclrtSynchronizeStream(stream));
  CHECK_ACL(aclrtMemcpy(c, bytes[3], device[3], bytes[3], ACL_MEMCPY_DEVICE_TO_HOST));

  int32_t wrong = 0;
  for (int32_t i = 0; i < kM; ++i) {
    for (int32_t j = 0; j < kN; ++j) {
      float want = Bias(j);
      for (int32_t k = 0; k < kK; ++k) want += A(i, k) * B(k, j);  // exact: small multiples of 1/4
      if (want < 0) want *= 0.001f;
      wrong += c[i * kN + j] != want;
    }
  }
  for (void* address : device) CHECK_ACL(aclrtFree(address));
  CHECK_ACL(aclrtDestroyStream(stream));
  CHECK_ACL(aclrtResetDevice(0));
  CHECK_ACL(aclFinalize());
  printf("%d of %d are wrong\n", wrong, kM * kN);
  return wrong != 0;
}
