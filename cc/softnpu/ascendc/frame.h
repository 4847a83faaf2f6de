// cc/softnpu/ascendc/frame.h: TPipe, its queues, buffers and pools on a simulated core.
//
// A buffer is a piece of a memory. Those of a queue go round: AllocTensor, EnQue, DeQue,
// FreeTensor. EnQue and FreeTensor send a signal to the other side of the queue; it takes an event
// id, as on the chip, although instructions run in program order and nobody ever waits.
//
// EnQue takes a tensor that AllocTensor or DeQue gave, so a tensor may go through its queue more
// than once; FreeTensor takes any but a free one. Which pipe uses a tensor at which time is no rule
// of queues: the race monitor judges it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "cc/softnpu/ascendc/access.h"
#include "cc/softnpu/ascendc/event_flags.h"
#include "cc/softnpu/ascendc/memories.h"
#include "cc/softnpu/ascendc/pipe_order.h"
#include "cc/softnpu/ascendc/site.h"

namespace softnpu::ascendc {

// What fills the buffers of a queue and what empties them.
struct QueueRoute {
  uint8_t source, destination, position;  // TPosition
  SoftnpuPipe producer, consumer;
  int forward, backward;  // events; -1: both sides are the vector unit
};

class Frame {
 public:
  Frame(const Site& site, Memories& memories, PipeOrder& order, EventFlags& flags)
      : site_(site), memories_(memories), order_(order), flags_(flags) {}

  void Reset();

  // Instructions, with the operands and params of instruction.h; they throw KernelError.
  void CreatePipe(const SoftnpuInstruction& instruction);
  void DestroyPipe();
  uint64_t pipe_object() const { return pipe_object_; }  // of CreatePipe; 0: none lives
  void InitQueue(SoftnpuInstruction& instruction);
  void InitBuffer(SoftnpuInstruction& instruction);
  void InitPool(SoftnpuInstruction& instruction);
  void ChoosePool(const SoftnpuInstruction& instruction);  // for the next Init
  void ResetPool(const SoftnpuInstruction& instruction);
  void Alloc(SoftnpuInstruction& instruction);
  void EnQue(SoftnpuInstruction& instruction);
  void DeQue(SoftnpuInstruction& instruction);
  void Free(SoftnpuInstruction& instruction);
  void CountWaiting(SoftnpuInstruction& instruction);  // tensors between EnQue and DeQue
  void CountFree(SoftnpuInstruction& instruction);     // buffers that Alloc could give

  // Throws KernelError when the access is to a tensor whose buffer is gone or was given back.
  void CheckAlive(const Access& access) const;
  // Throws KernelError at what a queue still holds when the kernel ends.
  void CheckQueuesAreEmpty() const;
  // As BufferNames::NameOf, for a tensor on the chip.
  std::string NameOfBuffer(const SoftnpuTensor& tensor, uint64_t* origin) const;

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
    int forward = -1;  // ids that the piece holds of its queue's events; -1: none
    int backward = -1;
    uint8_t space = SOFTNPU_SPACE_UB;
    int event = -1;  // that EnQue has set, and the pipe that DeQue lets wait
    int consumer = 0;
    Signal sent;                 // of that event
    Signal freed;                // of the backward event
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
  // A part of a memory that TBufPool shares out.
  struct Pool {
    uint8_t space = SOFTNPU_SPACE_UB;
    uint64_t begin = 0;
    uint64_t bytes = 0;
    uint64_t taken = 0;
  };

  void FreePieces();
  int AddPiece(uint64_t bytes, uint8_t position);
  uint8_t SpaceOf(uint8_t position) const;
  Queue& QueueOf(const SoftnpuInstruction& instruction);
  std::string QueueName(const Queue& queue) const;
  Piece& OwnPiece(const SoftnpuInstruction& instruction, const Queue& queue);
  SoftnpuTensor TensorOf(int piece) const;
  // A piece's `side` of its queue hands it on, and gets it.
  Signal Send(int event, int side);
  void Receive(int event, int side, const Signal& signal);
  // Of an EnQue or a DeQue that names its positions.
  const QueueRoute& NamedRoute(const SoftnpuInstruction& instruction) const;

  const Site& site_;
  Memories& memories_;
  PipeOrder& order_;
  EventFlags& flags_;
  uint64_t pipe_object_ = 0;
  std::vector<Pool> pools_;
  int64_t pool_ = -1;  // of the next InitBuffer
  uint16_t generation_ = 0;
  int tbufs_ = 0;
  std::vector<Piece> pieces_;
  std::vector<Queue> queues_;
};

}  // namespace softnpu::ascendc
