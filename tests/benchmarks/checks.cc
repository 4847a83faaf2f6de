// tests/benchmarks/checks.cc: what the checks of a kernel cost: strict, switched off, and in a
// build that has none. Run by hand: tools/bazel run //tests/benchmarks:checks, then
// :checks_without.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "cc/softnpu/ascendc/testing/kernels.h"

using softnpu::ascendc::GlobalMemory;
using softnpu::ascendc::GlobalRegion;
using softnpu::ascendc::LaunchOptions;
using softnpu::ascendc::testing::Slots;
using softnpu::ascendc::testing::Twin;

namespace {

// GM without a record of what was written, as `softnpu run` has it.
class PlainMemory : public GlobalMemory {
 public:
  explicit PlainMemory(size_t bytes) : bytes_(bytes) {}
  static constexpr uintptr_t kBase = 0x100000000000;

  bool Find(uintptr_t address, GlobalRegion* region, std::string*) override {
    if (address < kBase || address - kBase >= bytes_.size()) return false;
    region->base = kBase;
    region->bytes = bytes_.size();
    region->host = bytes_.data();
    region->name = "memory";
    return true;
  }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace

int main(int, char** argv) {
  const Twin twin(argv[1]);
  constexpr uint64_t kPart = uint64_t{48} * 4096 * 16;
  PlainMemory memory(kPart * 6);
  for (const uint32_t tile : {256u, 4096u}) {
    const uint64_t base = PlainMemory::kBase;
    const Slots slots(base, base + kPart * 2, base + kPart * 4, kPart, tile);
    const softnpu::Profile chip = softnpu::ReadProfile("python/softnpu/profiles/ascend910b2.toml");
    const auto run = [&](bool strict) {
      LaunchOptions options;
      options.strict = strict;
      const auto begin = std::chrono::steady_clock::now();
      softnpu::ascendc::Launch(chip, memory, twin["add_double"], slots.data(), slots.bytes(), 48,
                               options);
      return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
          .count();
    };
    std::vector<double> strict, off;
    for (int i = 0; i < 25; ++i) {
      strict.push_back(run(true));
      off.push_back(run(false));
    }
    std::sort(strict.begin(), strict.end());
    std::sort(off.begin(), off.end());
    std::printf(
        "tiles of %u halves, %llu additions: strict %.2f ms, off %.2f ms (medians; fastest "
        "%.2f, %.2f)\n",
        tile, static_cast<unsigned long long>(kPart), strict[12], off[12], strict[0], off[0]);
  }
  return 0;
}
