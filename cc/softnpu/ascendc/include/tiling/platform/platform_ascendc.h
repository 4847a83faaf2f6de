// cc/softnpu/ascendc/include/tiling/platform/platform_ascendc.h: numbers of the chip for host
// programs, from the profile that the program runs with.
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

// Of libascendcl.so, which a process has when it runs on SoftNPU.
extern "C" __attribute__((weak)) int32_t softnpu_chip_number(const char* name, int64_t* value);

namespace platform_ascendc {

enum class CoreMemType { L0_A, L0_B, L0_C, L1, L2, UB, HBM, FB, BT, RESERVED };

enum class SocVersion {
  ASCEND910 = 0,
  ASCEND910B,
  ASCEND310P,
  ASCEND310B,
  RESERVED_VERSION = 99999,
};

class PlatformAscendC {
 public:
  SocVersion GetSocVersion() const {
    return Number("npu_arch") == 2002 ? SocVersion::ASCEND310P : SocVersion::ASCEND910B;
  }
  uint32_t GetCoreNum() const { return GetCoreNumAiv(); }
  uint32_t GetCoreNumAic() const { return static_cast<uint32_t>(Number("cube_cores")); }
  // On a chip whose AI cores have both units, these.
  uint32_t GetCoreNumAiv() const {
    return static_cast<uint32_t>(Number(Coupled() ? "ai_cores" : "vector_cores"));
  }
  uint32_t GetCoreNumVector() const {
    return Coupled() ? static_cast<uint32_t>(Number("vector_cores") - Number("ai_cores")) : 0;
  }
  void GetCoreMemSize(const CoreMemType& kind, uint64_t& bytes) const {
    constexpr const char* kNames[] = {"l0a_bytes", "l0b_bytes",     "l0c_bytes",
                                      "l1_bytes",  "l2_bytes",      "ub_bytes",
                                      "hbm_bytes", "fixpipe_bytes", "bias_bytes"};
    const auto at = static_cast<unsigned>(kind);
    bytes = at < sizeof(kNames) / sizeof(kNames[0]) ? static_cast<uint64_t>(Number(kNames[at])) : 0;
  }
  // Of the workspace, the part that the system keeps.
  uint32_t GetLibApiWorkSpaceSize() const { return Coupled() ? 2U << 20 : 16U << 20; }
  // Blocks of a kernel with both kinds of cores, when `parts` vector cores have work.
  uint32_t CalcTschBlockDim(uint32_t parts, uint32_t cube_cores, uint32_t vector_cores) const {
    if (cube_cores == 0 || vector_cores == 0 || cube_cores > vector_cores) return parts;
    const uint32_t ratio = vector_cores / cube_cores;
    return (parts + ratio - 1) / ratio;
  }

 private:
  static bool Coupled() { return Number("npu_arch") == 2002; }
  static int64_t Number(const char* name) {
    int64_t value = 0;
    if (softnpu_chip_number == nullptr || softnpu_chip_number(name, &value) != 0) {
      fprintf(stderr, "SoftNPU: no chip's %s: start the program with softnpu run --\n", name);
      abort();
    }
    return value;
  }
};

class PlatformAscendCManager {
 public:
  // The chip is the one of `softnpu run --profile`, whatever name is given.
  static PlatformAscendC* GetInstance(const char* = nullptr) {
    static PlatformAscendC chip;
    return &chip;
  }
};

}  // namespace platform_ascendc
