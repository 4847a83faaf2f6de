// cc/softnpu/ascendc/testing/core_units.h: the units of a core without a
// kernel: a test gives them instructions and looks at what they do.
#pragma once

#include <functional>
#include <string>

#include "cc/softnpu/ascendc/testing/kernels.h"
#include "cc/softnpu/ascendc/units.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace softnpu::ascendc::testing {

class CoreUnits : public ::testing::Test, protected Units {
 protected:
  CoreUnits() { Start(Chip910B(), kVectorCore); }

  // A core of a kind at the begin of a strict launch of two blocks, in block 1.
  void Start(const Profile& chip, CoreKind kind) {
    launch.chip = &chip;
    launch.memory = &gm;
    launch.entry = &entry;
    launch.blocks = 2;
    Reset(&launch, kind, 1, 0, 1);
  }

  // The instruction that the core carries out from now on, in `pipe`, of line `line` of k.cpp.
  SoftnpuInstruction& Issue(uint32_t opcode, uint32_t line = 1, int pipe = SOFTNPU_PIPE_S) {
    instruction = {};
    instruction.opcode = opcode;
    instruction.file = "k.cpp";
    instruction.line = line;
    site.Begin(instruction);
    site.SetPipe(pipe);
    context.accesses.clear();
    return instruction;
  }

  // A tensor of the bytes [begin, end) of a space, at `begin`.
  static SoftnpuTensor Tensor(uint8_t space, uint64_t begin, uint64_t end,
                              uint8_t type = SOFTNPU_FLOAT) {
    SoftnpuTensor tensor{};
    tensor.space = space;
    tensor.address = begin;
    tensor.begin = begin;
    tensor.end = end;
    tensor.type = type;
    return tensor;
  }
  static Access AccessTo(const SoftnpuTensor& tensor, bool write, uint64_t base, uint64_t bytes,
                         uint64_t rows = 1, uint64_t stride = 0) {
    Access access;
    access.tensor = &tensor;
    access.write = write;
    access.base = base;
    access.bytes = bytes;
    access.rows = rows;
    access.stride = stride;
    return access;
  }

  // The sentence of the fault that `body` throws; empty: it throws none.
  static std::string FaultOf(const std::function<void()>& body) {
    try {
      body();
    } catch (const KernelError& error) {
      return error.fault();
    }
    return "";
  }

  HostMemory gm;
  SoftnpuKernelEntry entry = {"kernel", "k.cpp", 1, 0, nullptr, nullptr, -1};
  LaunchState launch;
  SoftnpuInstruction instruction = {};
};

}  // namespace softnpu::ascendc::testing
