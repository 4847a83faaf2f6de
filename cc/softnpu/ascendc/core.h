// cc/softnpu/ascendc/core.h: one simulated vector core, the state of a block while it runs.
//
// Run() is the one point where an instruction is executed. Its steps are the same for all: a
// function of the operation lists the accesses (which bytes are read and written by which pipe),
// Admit() checks them, the function computes, Commit() records what was written. Whatever observes
// instructions (race detection, cost) belongs between Admit and Commit.
#pragma once

#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "cc/softnpu/ascendc/byte_set.h"
#include "cc/softnpu/ascendc/instruction.h"
#include "cc/softnpu/ascendc/simulator.h"

namespace softnpu::ascendc {

inline constexpr uint64_t kBlockBytes = 32;
inline constexpr uint64_t kRepeatBytes = 256;
inline constexpr int kEventIds = 8;
inline constexpr int kEvents = 35;

// `rows` runs of `bytes`, `stride` bytes apart.
struct Access {
  const SoftnpuTensor* tensor = nullptr;
  uint64_t base = 0;
  uint64_t bytes = 0;
  uint64_t rows = 1;
  uint64_t stride = 0;
  bool write = false;
  bool atomic = false;        // a write that reads and combines, in one step, with what is there
  std::byte* host = nullptr;  // of `base`; set by Admit
  int region = -1;            // index of the GM region; set by Admit

  uint64_t extent() const { return (rows - 1) * stride + bytes; }
};

uint64_t TypeBytes(uint8_t type);  // of int4b_t: 0
const char* TypeName(uint8_t type);

// What all blocks of a launch share.
struct LaunchState {
  const ChipSpec* chip = nullptr;
  GlobalMemory* memory = nullptr;
  const char* kernel = "";
  uint32_t blocks = 0;
  bool strict = true;
  std::vector<GlobalRegion> regions;  // those that the launch has touched
  const std::vector<Output>* outputs = nullptr;
  std::vector<ByteSet> written;  // per output
};

class Core {
 public:
  // Makes the core ready for a block of a launch.
  void Reset(LaunchState* launch, int64_t block);

  // False when the instruction faulted; then `fault` holds a KernelError.
  bool Run(SoftnpuInstruction& instruction) noexcept;
  // Checks what has to hold when a block has ended; throws KernelError.
  void Finish();

  std::exception_ptr fault;
  jmp_buf exit;

 private:
  enum class State : uint8_t { kFree, kAllocated, kQueued, kTaken };

  // A buffer made by InitBuffer.
  struct Piece {
    uint64_t begin = 0;
    uint64_t bytes = 0;
    int queue = -1;  // -1: a TBuf
    int index = 0;   // in its queue, or among the TBufs
    uint8_t position = 0;
    State state = State::kFree;
    uint16_t generation = 0;
    int event = -1;              // id that the piece holds of its queue's forward or backward event
    const char* file = nullptr;  // the last operation of its queue
    uint32_t line = 0;
  };
  struct Queue {
    uint8_t source = 0;
    uint8_t destination = 0;
    int64_t depth = 0;
    int producer = 0;  // pipes
    int consumer = 0;
    int forward = -1;  // events; -1: both sides are the vector unit
    int backward = -1;
    std::vector<int> pieces;
    std::deque<int> waiting;
    size_t next = 0;
  };
  struct Flag {
    bool set = false;
    bool of_queue = false;
    const char* file = nullptr;
    uint32_t line = 0;
  };

  void Dispatch(SoftnpuInstruction& instruction);

  // frame.cc
  void CreatePipe();
  void InitQueue(SoftnpuInstruction& instruction);
  void InitBuffer(SoftnpuInstruction& instruction);
  int AddPiece(uint64_t bytes, uint8_t position);
  Queue& QueueOf(const SoftnpuInstruction& instruction);
  std::string QueueName(const Queue& queue) const;
  Piece& OwnPiece(const SoftnpuInstruction& instruction, const Queue& queue);
  SoftnpuTensor TensorOf(int piece) const;
  void Alloc(SoftnpuInstruction& instruction);
  void EnQue(SoftnpuInstruction& instruction);
  void DeQue(SoftnpuInstruction& instruction);
  void Free(SoftnpuInstruction& instruction);
  int TakeQueueEvent(int event);
  void DropQueueEvent(int event, int id);
  void Event(SoftnpuInstruction& instruction);
  void SetFlag(const SoftnpuInstruction& instruction);
  void WaitFlag(const SoftnpuInstruction& instruction);
  void Barrier(const SoftnpuInstruction& instruction);
  Flag& FlagOf(const SoftnpuInstruction& instruction);
  // Throws when the pipe of the instruction may not touch the tensor now.
  void CheckSide(const Access& access) const;

  // copy.cc
  void ScalarLoad(SoftnpuInstruction& instruction);
  void ScalarStore(SoftnpuInstruction& instruction);
  void DataCopy(SoftnpuInstruction& instruction);
  void DataCopyBlocks(SoftnpuInstruction& instruction);
  void DataCopyPad(SoftnpuInstruction& instruction);
  void SetCopyPipe(const SoftnpuInstruction& instruction);
  void CheckCopyAlignment(const SoftnpuInstruction& instruction) const;
  void CopyRows(const SoftnpuInstruction& instruction, uint64_t rows, uint64_t bytes,
                uint64_t destination_stride, uint64_t source_stride);

  // vector.cc
  void Vector(SoftnpuInstruction& instruction);
  void Elementwise(SoftnpuInstruction& instruction);
  void Cast(SoftnpuInstruction& instruction);
  void Gather(SoftnpuInstruction& instruction);
  // Checks the form's parameters and lists the accesses; false when there is nothing to do.
  bool PlanVector(SoftnpuInstruction& instruction, uint64_t widest, bool reads_dst = false);
  // The parts of it: the form's limits (false: nothing to do), one operand's accesses, overlaps.
  bool CheckForm(const SoftnpuInstruction& instruction, uint64_t widest) const;
  void AddLanes(const SoftnpuInstruction& instruction, uint32_t operand, bool write,
                uint64_t widest);
  void CheckOverlap(const SoftnpuInstruction& instruction) const;
  // Replaces the mask register form by what the register says; keeps the register up to date.
  void ResolveMask(SoftnpuInstruction& instruction);
  void SetMask(const SoftnpuInstruction& instruction);
  void CheckLimit(const char* name, int64_t value, int64_t least, int64_t most) const;
  // On chips other than `arch` the instruction is refused by its name.
  void RequireArch(int64_t arch) const;

  // vector_compare.cc
  void Compare(SoftnpuInstruction& instruction);
  void Select(SoftnpuInstruction& instruction);
  void MoveCmpMask(SoftnpuInstruction& instruction);

  // vector_fill.cc
  void Fill(SoftnpuInstruction& instruction);
  void Brcb(SoftnpuInstruction& instruction);
  void VectorCopy(SoftnpuInstruction& instruction);

  // vector_cast.cc
  void CastInt4(SoftnpuInstruction& instruction);
  void CastDequant(SoftnpuInstruction& instruction);
  void SetDeqScale(SoftnpuInstruction& instruction);

  // vector_gather.cc
  void Gatherb(SoftnpuInstruction& instruction);
  void GatherMask(SoftnpuInstruction& instruction);
  // Lists an access whose place became known by reading another operand, and admits it.
  std::byte* AdmitLate(const SoftnpuTensor& tensor, bool write, uint64_t base, uint64_t bytes);

  // vector_transpose.cc
  void Transpose(SoftnpuInstruction& instruction);
  void TransDataTo5HD(SoftnpuInstruction& instruction);

  // vector_reduce.cc
  void Reduce(SoftnpuInstruction& instruction);
  void ReduceAll(SoftnpuInstruction& instruction);
  void GetReduced(SoftnpuInstruction& instruction);

  // vector_sort.cc
  void Sort32(SoftnpuInstruction& instruction);
  void MrgSort(SoftnpuInstruction& instruction);
  void Proposals(SoftnpuInstruction& instruction);

  // vector_advanced.cc
  void Advanced(SoftnpuInstruction& instruction);

  // copy_layout.cc
  void CopyNd2Nz(SoftnpuInstruction& instruction);
  void CopyNz2Nd(SoftnpuInstruction& instruction);
  void SetAtomic(SoftnpuInstruction& instruction);
  void CheckAtomicType(const SoftnpuTensor& destination) const;
  void Combine(std::byte* to, const std::byte* from, uint64_t bytes) const;
  void InitOutput(SoftnpuInstruction& instruction);

  // core.cc
  Access& Add(const SoftnpuTensor& tensor, bool write, uint64_t base, uint64_t bytes,
              uint64_t rows = 1, uint64_t stride = 0);
  void Admit();
  void Commit();
  void AdmitOnChip(Access& access);
  void AdmitGlobal(Access& access);
  void CheckInitialised(const Access& access) const;
  void CheckUbAlignment(const SoftnpuTensor& tensor, const char* operand) const;
  // The buffer's name and where it begins, for messages.
  std::string NameOf(const SoftnpuTensor& tensor, uint64_t address, uint64_t* origin) const;

  [[noreturn]] void Fail(const std::string& fault) const;
  [[noreturn]] void FailAt(const std::string& fault, const SoftnpuTensor& tensor, uint64_t begin,
                           uint64_t end) const;
  [[noreturn]] void FailIn(const std::string& fault, const std::string& buffer, int64_t begin,
                           int64_t end) const;

  bool strict() const { return launch_->strict; }

  LaunchState* launch_ = nullptr;
  int64_t block_ = 0;
  std::vector<std::byte> ub_;
  ByteSet defined_;  // bytes of the UB that hold a value

  bool pipe_alive_ = false;
  uint64_t used_ub_ = 0;
  uint16_t generation_ = 0;
  int tbufs_ = 0;
  std::vector<Piece> pieces_;
  std::vector<Queue> queues_;
  Flag flags_[kEvents][kEventIds] = {};
  uint8_t reserved_[kEvents] = {};  // event ids that AllocEventID or a queue holds, a bit each

  // Registers of the vector unit and of the DMA engines.
  struct Registers {
    uint64_t mask[2] = {~uint64_t{0}, ~uint64_t{0}};  // in counter mode mask[0] is a count
    bool counter = false;      // the mode that SetMaskCount and SetMaskNorm set
    bool mask_count = false;   // what SetVectorMask put into `mask`
    uint64_t compare[2] = {};  // CMPMASK
    bool compare_set = false;
    bool saturate = false;
    float deq_scale = 1.0f;  // for int32_t to half
    float deq_scales[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    int16_t deq_offsets[16] = {};
    bool deq_signed[16] = {};
    uint64_t reduce_value = 0;  // of the last repeat of WholeReduceMax or Min
    uint64_t reduce_index = 0;
    uint64_t accumulated = 0;  // of the last WholeReduceSum
    uint8_t reduce_type = 0xFF;
    uint8_t accumulated_type = 0xFF;
    uint16_t sorted[4] = {};
    bool sorted_set = false;
    uint32_t atomic = 0;  // opcode of the SetAtomic instruction that holds
    uint8_t atomic_type = 0xFF;
    const char* atomic_file = nullptr;
    uint32_t atomic_line = 0;
    uint64_t pad_value = 0;
    uint64_t pad_bytes = 0;  // 0: SetPadValue was not called
  };
  Registers registers_;
  bool mask_of_register_ = false;  // the current instruction runs under the mask register

  const SoftnpuInstruction* current_ = nullptr;
  int pipe_ = SOFTNPU_PIPE_S;
  std::vector<Access> accesses_;
};

const char* OpcodeName(uint32_t opcode);
const char* AdvancedName(int64_t call);
const char* PipeName(int pipe);
const char* EventName(int64_t event);
const char* PositionName(uint8_t position);

}  // namespace softnpu::ascendc
