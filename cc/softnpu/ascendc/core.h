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
  std::byte* host = nullptr;  // of `base`; set by Admit
  int region = -1;            // index of the GM region; set by Admit

  uint64_t extent() const { return (rows - 1) * stride + bytes; }
};

uint64_t TypeBytes(uint8_t type);
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
  bool PlanVector(const SoftnpuInstruction& instruction, uint64_t widest);
  void CheckOverlap(const SoftnpuInstruction& instruction) const;

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

  const SoftnpuInstruction* current_ = nullptr;
  int pipe_ = SOFTNPU_PIPE_S;
  std::vector<Access> accesses_;
};

const char* OpcodeName(uint32_t opcode);
const char* PipeName(int pipe);
const char* EventName(int64_t event);
const char* PositionName(uint8_t position);

}  // namespace softnpu::ascendc
