// cc/softnpu/ascendc/semantics_test.cc: every operation has a function; functions run on a context.
#include "cc/softnpu/ascendc/semantics.h"

#include <cstring>

#include "cc/softnpu/ascendc/testing/core_units.h"

namespace softnpu::ascendc {
namespace {

using ::testing::HasSubstr;

struct Opcode {
  uint32_t number;
  const char* name;
};
#define SOFTNPU_OPCODE(name, text) {SOFTNPU_OP_##name, #name},
constexpr Opcode kOther[] = {SOFTNPU_FRAME_OPCODES(SOFTNPU_OPCODE)  //
                             SOFTNPU_SYNC_OPCODES(SOFTNPU_OPCODE)   //
                             SOFTNPU_MOVE_OPCODES(SOFTNPU_OPCODE)   //
                             SOFTNPU_CUBE_OPCODES(SOFTNPU_OPCODE)};
constexpr Opcode kVector[] = {SOFTNPU_VECTOR_OPCODES(SOFTNPU_OPCODE)};
#undef SOFTNPU_OPCODE

TEST(Operations, EachOpcodeHasAFunction) {
  for (const Opcode& opcode : kOther) {
    const Operation& operation = OperationOf(opcode.number);
    EXPECT_EQ(operation.run != nullptr, opcode.number != SOFTNPU_OP_NONE) << opcode.name;
    EXPECT_FALSE(operation.vector) << opcode.name;
  }
  for (const Opcode& opcode : kVector) {
    const Operation& operation = OperationOf(opcode.number);
    EXPECT_NE(operation.run, nullptr) << opcode.name;
    EXPECT_TRUE(operation.vector) << opcode.name;
  }
}

TEST(Operations, OtherNumbersHaveNone) {
  size_t functions = 0;
  for (uint32_t number = 0; number < 4096; ++number) {
    functions += OperationOf(number).run != nullptr;
  }
  EXPECT_EQ(functions, std::size(kOther) - 1 + std::size(kVector));
  EXPECT_EQ(OperationOf(~0u).run, nullptr);
}

class ExecuteTest : public testing::CoreUnits {
 protected:
  std::string Run() {
    return FaultOf([&] { Execute(context, instruction); });
  }
  std::vector<float> Ub(uint64_t at, size_t n) {
    std::vector<float> values(n);
    std::memcpy(values.data(), memories.ub() + at, n * sizeof(float));
    return values;
  }
};

TEST_F(ExecuteTest, ACopyAndAnAdditionMoveBytes) {
  const uint64_t x = gm.Put(std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8}, "x");
  Issue(SOFTNPU_OP_DATA_COPY);
  instruction.count = 8;
  instruction.operand_count = 2;
  instruction.operand[0] = Tensor(SOFTNPU_SPACE_UB, 0, 32);
  instruction.operand[1] = Tensor(SOFTNPU_SPACE_GM, x, x + 32);
  EXPECT_EQ(Run(), "");
  EXPECT_EQ(site.pipe(), SOFTNPU_PIPE_MTE2);
  EXPECT_EQ(context.accesses.size(), 2u);
  EXPECT_EQ(Ub(0, 8), (std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8}));

  Issue(SOFTNPU_OP_ADD);
  instruction.form = SOFTNPU_FORM_COUNT;
  instruction.count = 8;
  instruction.operand_count = 3;
  instruction.operand[0] = Tensor(SOFTNPU_SPACE_UB, 64, 96);
  instruction.operand[1] = instruction.operand[2] = Tensor(SOFTNPU_SPACE_UB, 0, 32);
  EXPECT_EQ(Run(), "");
  EXPECT_EQ(site.pipe(), SOFTNPU_PIPE_V);
  EXPECT_EQ(Ub(64, 8), (std::vector<float>{2, 4, 6, 8, 10, 12, 14, 16}));
}

TEST_F(ExecuteTest, NothingIsCopiedWhenAnAccessIsRefused) {
  const uint64_t x = gm.Put(std::vector<float>(8, 1.0f), "x");
  Issue(SOFTNPU_OP_DATA_COPY);
  instruction.count = 8;
  instruction.operand_count = 2;
  instruction.operand[0] = Tensor(SOFTNPU_SPACE_UB, 0, 96);
  instruction.operand[1] = Tensor(SOFTNPU_SPACE_GM, x, x + 16);
  instruction.count = 24;
  const std::vector<float> before = Ub(0, 8);
  EXPECT_THAT(Run(), HasSubstr("beyond the end of an allocation of 32 bytes"));
  EXPECT_EQ(Ub(0, 8), before);
}

TEST_F(ExecuteTest, TheVectorUnitWorksOnTheUb) {
  Start(testing::Chip910B(), kCubeCore);
  Issue(SOFTNPU_OP_DUPLICATE);
  instruction.operand_count = 1;
  instruction.operand[0] = Tensor(SOFTNPU_SPACE_L1, 0, 64);
  EXPECT_THAT(Run(), HasSubstr("a tensor of the L1: the vector unit works on the UB"));
  const SoftnpuTensor source = Tensor(SOFTNPU_SPACE_L0C, 0, 64);
  Issue(SOFTNPU_OP_ADVANCED);
  instruction.list = &source;
  instruction.list_count = 1;
  EXPECT_THAT(Run(), HasSubstr("a tensor of the L0C"));
}

TEST_F(ExecuteTest, AChipRefusesWhatItDoesNotHave) {
  Issue(SOFTNPU_OP_SCATTER);
  EXPECT_THAT(Run(), HasSubstr("has no Scatter (NPU architecture 2201)"));
  Start(testing::Chip310P(), kBothCore);
  Issue(SOFTNPU_OP_SORT32);
  EXPECT_THAT(Run(), HasSubstr("has no Sort32 (NPU architecture 2002)"));
  Issue(SOFTNPU_OP_ADD);
  instruction.operand_count = 1;
  instruction.operand[0] = Tensor(SOFTNPU_SPACE_UB, 0, 64, SOFTNPU_BFLOAT16);
  EXPECT_THAT(Run(), HasSubstr("has no bfloat16_t"));
  Issue(1000);
  EXPECT_EQ(Run(), "operation 1000 is unknown to this SoftNPU");
}

}  // namespace
}  // namespace softnpu::ascendc
