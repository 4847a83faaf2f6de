// cc/softnpu/ascendc/cost_test.cc: what the timeline gets of copies, vectors and the scalar unit.
#include "cc/softnpu/ascendc/cost.h"

#include <map>
#include <string>

#include "cc/softnpu/ascendc/testing/core_units.h"

namespace softnpu::ascendc {
namespace {

constexpr uint64_t kGm = 0x10000;

class CostTest : public testing::CoreUnits {
 protected:
  CostTest() { launch.table = &table_; }

  // The last entry of the timeline after the issued instruction with these accesses.
  const TimeOp& Note(const std::vector<Access>& accesses) {
    cost.Note(instruction, accesses, order.timeline());
    return order.timeline().ops().back();
  }
  SoftnpuInstruction& IssueAdd(uint32_t line = 1) {
    Issue(SOFTNPU_OP_ADD, line, SOFTNPU_PIPE_V);
    instruction.operand_count = 3;
    // In banks of their own; the sources in different groups, too.
    constexpr uint64_t kPlaces[] = {0, 0x10000, 0x20000 + 256};
    for (int i = 0; i < 3; ++i) {
      instruction.operand[i] = Tensor(SOFTNPU_SPACE_UB, kPlaces[i], kPlaces[i] + 4096);
    }
    return instruction;
  }

  TimeTable table_{*testing::Chip910B().time};
  SoftnpuTensor ub_ = Tensor(SOFTNPU_SPACE_UB, 0, 4096);
  SoftnpuTensor gm_ = Tensor(SOFTNPU_SPACE_GM, kGm, kGm + 65536);
};

TEST_F(CostTest, ACopyHasItsBytesItsRowsAndTheLinesThatAreNew) {
  const TimeTable::Rates& rates = table_.rates();
  Issue(SOFTNPU_OP_DATA_COPY_PAD, 7, SOFTNPU_PIPE_MTE2);
  const std::vector<Access> rows = {AccessTo(ub_, true, 0, 64, 2, 64),
                                    AccessTo(gm_, false, kGm, 64, 2, 256)};
  const TimeOp first = Note(rows);
  EXPECT_EQ(first.kind, TimeOp::Kind::kWork);
  EXPECT_EQ(first.pipe, SOFTNPU_PIPE_MTE2);
  EXPECT_EQ(first.place.line, 7u);
  EXPECT_FALSE(first.write);
  EXPECT_EQ(first.moved, 128u);
  EXPECT_EQ(first.bytes, static_cast<uint32_t>(128 + 2 * rates.read.per_row));
  EXPECT_EQ(first.missed, 2 * Footprint::kLine);
  EXPECT_EQ(first.latency, static_cast<float>(rates.read.start + 128 / rates.read.burst));
  EXPECT_EQ(Note(rows).missed, 0u);  // the lines are there
  EXPECT_EQ(launch.footprint.bytes(), 2 * Footprint::kLine);
}

TEST_F(CostTest, AWriteReachesHbmOnceThoughItsLinesWereRead) {
  Issue(SOFTNPU_OP_DATA_COPY, 1, SOFTNPU_PIPE_MTE2);
  Note({AccessTo(gm_, false, kGm, 128)});
  Issue(SOFTNPU_OP_DATA_COPY, 2, SOFTNPU_PIPE_MTE3);
  const std::vector<Access> write = {AccessTo(gm_, true, kGm, 128)};
  const TimeOp first = Note(write);
  EXPECT_TRUE(first.write);
  EXPECT_EQ(first.missed, Footprint::kLine);
  EXPECT_EQ(Note(write).missed, 0u);
}

TEST_F(CostTest, AVectorInstructionCostsItsStartAndItsRepeats) {
  const auto work = [&](uint64_t bytes) {
    IssueAdd();
    return static_cast<double>(Note({AccessTo(ub_, true, 0, bytes)}).work);
  };
  const double start = table_.At("vector.Add.start");
  const double rate = table_.At("vector.Add.b32");
  EXPECT_EQ(work(kRepeatBytes), start + rate);
  EXPECT_EQ(work(32), start + rate);  // a part of a repeat is one
  EXPECT_EQ(work(9 * kRepeatBytes), start + 9 * rate);
}

// Sources whose blocks lie in one group of banks are read one after the other.
TEST_F(CostTest, SourcesInTheSameBanksCostMore) {
  const std::vector<Access> repeat = {AccessTo(ub_, true, 0, kRepeatBytes)};
  IssueAdd();
  const double apart = static_cast<double>(Note(repeat).work);
  IssueAdd().operand[2].address = instruction.operand[1].address + 512;
  const double same = static_cast<double>(Note(repeat).work);
  EXPECT_NEAR(same - apart, table_.rates().read_read, 1e-4);
}

TEST_F(CostTest, TheScalarUnitWaitsForUbAndForGmAsTheProfileSays) {
  const auto work = [&](const SoftnpuTensor& tensor) {
    Issue(SOFTNPU_OP_SCALAR_LOAD).operand[0] = tensor;
    const TimeOp& op = Note({AccessTo(tensor, false, tensor.begin, 4)});
    EXPECT_EQ(op.kind, TimeOp::Kind::kScalar);
    return op.work;
  };
  std::map<std::string, double> values = *testing::Chip910B().time;
  values.at("scalar.ub_access_cycles") = 5;
  values.at("scalar.gm_access_cycles") = 50;
  const TimeTable table(values);
  launch.table = &table;
  EXPECT_EQ(work(ub_), 5);
  EXPECT_EQ(work(gm_), 50);
}

TEST_F(CostTest, AnInstructionWithoutAccessesCostsItsIssue) {
  Issue(SOFTNPU_OP_SET_FLAG, 3);
  const TimeOp& flag = Note({});
  EXPECT_EQ(flag.kind, TimeOp::Kind::kScalar);
  EXPECT_EQ(flag.issue, static_cast<float>(table_.rates().issue));
  EXPECT_EQ(flag.work, 0);
  // A copy or a vector instruction of nothing is not noted.
  const size_t before = order.timeline().ops().size();
  Issue(SOFTNPU_OP_DATA_COPY, 4, SOFTNPU_PIPE_MTE2);
  cost.Note(instruction, {}, order.timeline());
  EXPECT_EQ(order.timeline().ops().size(), before);
}

}  // namespace
}  // namespace softnpu::ascendc
