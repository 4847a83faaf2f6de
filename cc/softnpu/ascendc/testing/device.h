// cc/softnpu/ascendc/testing/device.h: a device with three tensors in GM, and the frame of the
// kernels that use them.
#pragma once

#include <numeric>
#include <vector>

#include "cc/softnpu/ascendc/testing/kernels.h"
#include "cc/softnpu/ascendc/twin.h"

namespace softnpu::ascendc::testing {

inline constexpr uint32_t kElements = 4096;  // of x and y, floats
inline constexpr uint32_t kPart = 64;        // of a block
inline constexpr uint32_t kWords = 4096;     // of the zeroed workspace, int32

struct KernelFrame {
  AscendC::GlobalTensor<float> x, y;
  AscendC::GlobalTensor<int32_t> w;
  AscendC::TPipe pipe;
  AscendC::TBuf<> first, second;
  AscendC::LocalTensor<float> a, b;

  KernelFrame(GM_ADDR x_address, GM_ADDR y_address, GM_ADDR w_address) {
    x.SetGlobalBuffer(reinterpret_cast<float*>(x_address), kElements);
    y.SetGlobalBuffer(reinterpret_cast<float*>(y_address), kElements);
    w.SetGlobalBuffer(reinterpret_cast<int32_t*>(w_address), kWords);
    pipe.InitBuffer(first, 1024);
    pipe.InitBuffer(second, 1024);
    a = first.Get<float>();
    b = second.Get<float>();
  }
};

// x holds 0, 1, 2, ...; y holds no value; w holds zeros.
class Device {
 public:
  Device() {
    twin::Bind(CoreApi());
    std::vector<float> x(kElements);
    std::iota(x.begin(), x.end(), 0.0f);
    x_ = memory_.Put(x, "x");
    y_ = memory_.Allocate(kElements * 4, "y");
    w_ = memory_.Put(std::vector<int32_t>(kWords, 0), "w");
  }
  void Run(const SoftnpuKernelEntry& entry, uint32_t blocks, const LaunchOptions& options = {}) {
    const Slots slots(x_, y_, w_);
    Launch(chip, memory_, entry, slots.data(), slots.bytes(), blocks, options);
  }
  std::vector<float> y() const { return memory_.Get<float>(y_); }
  std::vector<int32_t> w() const { return memory_.Get<int32_t>(w_); }

  Profile chip = Chip910B();

 private:
  HostMemory memory_;
  uintptr_t x_ = 0, y_ = 0, w_ = 0;
};

}  // namespace softnpu::ascendc::testing
