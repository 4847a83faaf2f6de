// cc/softnpu/ascendc/frame.cc: TPipe, queues, events and flags of a simulated core.
//
// Instructions run in program order, so a queue's events never have to be waited for. They are
// taken and given back all the same: a core has eight ids per event, and hand-written flags share
// them.
#include "cc/softnpu/ascendc/core.h"

namespace softnpu::ascendc {
namespace {

// Numbers of AscendC's enumerations.
enum Position : uint8_t { kGm = 0, kVecIn = 9, kVecOut = 10, kVecCalc = 11 };
enum HardEvent : int {
  kMte2V = 4,
  kVMte2 = 5,
  kMte3V = 6,
  kVMte3 = 7,
  kVV = 10,
  kMte3Mte2 = 19,
  kMte2Mte3 = 20,
};
constexpr bool kVectorCoreEvent[kEvents] = {
    false, false, false, false, true,  true,  true,  true,  false, false, true,  false,
    false, false, false, false, false, false, false, true,  true,  true,  true,  true,
    true,  true,  true,  false, false, false, false, false, false, false, false,
};

constexpr size_t kMaxPieces = 64;
constexpr int kMaxTensorsOut = 8;

unsigned long long Ull(uint64_t value) { return value; }

}  // namespace

void Core::CreatePipe() {
  pipe_alive_ = true;
  for (Queue& queue : queues_) {
    for (const int piece : queue.pieces) {
      Piece& buffer = pieces_[static_cast<size_t>(piece)];
      if (buffer.event < 0) continue;
      DropQueueEvent(buffer.state == State::kFree ? queue.backward : queue.forward, buffer.event);
    }
  }
  used_ub_ = 0;
  tbufs_ = 0;
  pieces_.clear();
  queues_.clear();
}

int Core::AddPiece(uint64_t bytes, uint8_t position) {
  if (!pipe_alive_) Fail("InitBuffer without a living TPipe");
  if (pieces_.size() == kMaxPieces) {
    Fail(Format("one more buffer: a TPipe has at most %zu", kMaxPieces));
  }
  if (bytes == 0) Fail("a buffer of 0 bytes");
  const uint64_t padded = (bytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
  if (padded > ub_.size() - used_ub_) {
    Fail(
        Format("%llu bytes for a buffer, but of the UB's %zu bytes %llu are taken and %llu are "
               "left",
               Ull(padded), ub_.size(), Ull(used_ub_), Ull(ub_.size() - used_ub_)));
  }
  Piece piece;
  piece.begin = used_ub_;
  piece.bytes = padded;
  piece.position = position;
  piece.generation = ++generation_;
  used_ub_ += padded;
  pieces_.push_back(piece);
  return static_cast<int>(pieces_.size()) - 1;
}

SoftnpuTensor Core::TensorOf(int index) const {
  const Piece& piece = pieces_[static_cast<size_t>(index)];
  SoftnpuTensor tensor{};
  tensor.address = piece.begin;
  tensor.begin = piece.begin;
  tensor.end = piece.begin + piece.bytes;
  tensor.buffer = static_cast<uint32_t>(piece.generation) << 16 | static_cast<uint32_t>(index + 1);
  tensor.space = SOFTNPU_SPACE_UB;
  tensor.position = piece.position;
  return tensor;
}

void Core::InitBuffer(SoftnpuInstruction& instruction) {
  const uint8_t position = static_cast<uint8_t>(instruction.params[0]);
  if (position != kVecIn && position != kVecOut && position != kVecCalc) {
    Fail(Format("TBuf<%s>: SoftNPU has buffers in VECIN, VECOUT and VECCALC only",
                PositionName(position)));
  }
  const int piece = AddPiece(static_cast<uint64_t>(instruction.params[1]), position);
  pieces_[static_cast<size_t>(piece)].index = tbufs_++;
  instruction.operand[0] = TensorOf(piece);
}

void Core::InitQueue(SoftnpuInstruction& instruction) {
  Queue queue;
  queue.source = static_cast<uint8_t>(instruction.params[0]);
  queue.destination = static_cast<uint8_t>(instruction.params[1]);
  queue.depth = instruction.params[2];
  const int64_t number = instruction.params[3];
  uint8_t position = queue.source;
  if (queue.source == kGm && queue.destination == kVecIn) {
    queue.producer = SOFTNPU_PIPE_MTE2;
    queue.consumer = SOFTNPU_PIPE_V;
    queue.forward = kMte2V;
    queue.backward = kVMte2;
    position = kVecIn;
  } else if (queue.source == kVecOut && queue.destination == kGm) {
    queue.producer = SOFTNPU_PIPE_V;
    queue.consumer = SOFTNPU_PIPE_MTE3;
    queue.forward = kVMte3;
    queue.backward = kMte3V;
  } else if (queue.source == kVecIn && queue.destination == kVecOut) {
    queue.producer = SOFTNPU_PIPE_MTE2;
    queue.consumer = SOFTNPU_PIPE_MTE3;
    queue.forward = kMte2Mte3;
    queue.backward = kMte3Mte2;
  } else if (queue.source == kVecCalc && queue.destination == kVecCalc) {
    queue.producer = SOFTNPU_PIPE_V;
    queue.consumer = SOFTNPU_PIPE_V;
  } else {
    Fail(
        Format("a queue from %s to %s: SoftNPU has queues of VECIN, VECOUT, VECCALC and "
               "TQueBind<VECIN, VECOUT> only",
               PositionName(queue.source), PositionName(queue.destination)));
  }
  if (number == 0) Fail("a queue of 0 buffers");
  if (number > kMaxTensorsOut) {
    Fail(Format("a queue of %lld buffers: each needs an event id, of which a core has %d",
                static_cast<long long>(number), kEventIds));
  }
  for (int64_t i = 0; i < number; ++i) {
    const int piece = AddPiece(static_cast<uint64_t>(instruction.params[4]), position);
    pieces_[static_cast<size_t>(piece)].queue = static_cast<int>(queues_.size());
    pieces_[static_cast<size_t>(piece)].index = static_cast<int>(i);
    queue.pieces.push_back(piece);
  }
  queues_.push_back(std::move(queue));
  instruction.result = queues_.size();
}

std::string Core::QueueName(const Queue& queue) const {
  const auto number = &queue - queues_.data();
  if (queue.source == kVecIn && queue.destination == kVecOut) {
    return Format("TQueBind<VECIN, VECOUT> #%td", number);
  }
  return Format("TQue<%s> #%td", PositionName(queue.source == kGm ? kVecIn : queue.source), number);
}

Core::Queue& Core::QueueOf(const SoftnpuInstruction& instruction) {
  const int64_t handle = instruction.params[0];
  if (handle < 1 || static_cast<size_t>(handle) > queues_.size()) {
    Fail("the queue has no buffers: TPipe::InitBuffer was not called for it");
  }
  return queues_[static_cast<size_t>(handle - 1)];
}

Core::Piece& Core::OwnPiece(const SoftnpuInstruction& instruction, const Queue& queue) {
  const SoftnpuTensor& tensor = instruction.operand[0];
  const size_t handle = tensor.buffer & 0xFFFFu;
  for (const int piece : queue.pieces) {
    if (static_cast<size_t>(piece) + 1 != handle) continue;
    Piece& buffer = pieces_[static_cast<size_t>(piece)];
    if (buffer.state != State::kFree && buffer.generation != tensor.buffer >> 16) {
      FailAt("the tensor was freed before, and its buffer now belongs to a later AllocTensor",
             tensor, tensor.address, tensor.end);
    }
    return buffer;
  }
  FailAt(Format("the tensor is not one of %s", QueueName(queue).c_str()), tensor, tensor.address,
         tensor.end);
}

int Core::TakeQueueEvent(int event) {
  if (event < 0) return -1;
  for (int id = 0; id < kEventIds; ++id) {
    if ((reserved_[event] >> id & 1) != 0 || flags_[event][id].set) continue;
    reserved_[event] = static_cast<uint8_t>(reserved_[event] | 1u << id);
    flags_[event][id] = {true, true, current_->file, current_->line};
    return id;
  }
  Fail(Format("no event id of %s is left for the queue: a core has %d", EventName(event),
              kEventIds));
}

void Core::DropQueueEvent(int event, int id) {
  if (event < 0 || id < 0) return;
  reserved_[event] = static_cast<uint8_t>(reserved_[event] & ~(1u << id));
  flags_[event][id] = Flag{};
}

void Core::Alloc(SoftnpuInstruction& instruction) {
  Queue& queue = QueueOf(instruction);
  size_t i = 0;
  while (i < queue.pieces.size() &&
         pieces_[static_cast<size_t>(queue.pieces[(queue.next + i) % queue.pieces.size()])].state !=
             State::kFree) {
    ++i;
  }
  if (i == queue.pieces.size()) {
    Fail(Format("all %zu buffers of %s are in use: the core would wait for ever",
                queue.pieces.size(), QueueName(queue).c_str()));
  }
  const size_t slot = (queue.next + i) % queue.pieces.size();
  queue.next = (slot + 1) % queue.pieces.size();
  const int index = queue.pieces[slot];
  Piece& piece = pieces_[static_cast<size_t>(index)];
  DropQueueEvent(queue.backward, piece.event);
  piece.event = -1;
  piece.state = State::kAllocated;
  piece.generation = ++generation_;
  piece.file = instruction.file;
  piece.line = instruction.line;
  if (strict()) {
    defined_.Remove(piece.begin, piece.begin + piece.bytes);
    int out = 0;
    for (const Piece& other : pieces_) {
      out += other.queue >= 0 && other.position == piece.position && other.state != State::kFree;
    }
    if (out > kMaxTensorsOut) {
      Fail(Format("%d tensors of %s are allocated at once, the limit is %d", out,
                  PositionName(piece.position), kMaxTensorsOut));
    }
  }
  instruction.operand[0] = TensorOf(index);
}

void Core::EnQue(SoftnpuInstruction& instruction) {
  Queue& queue = QueueOf(instruction);
  Piece& piece = OwnPiece(instruction, queue);
  const SoftnpuTensor& tensor = instruction.operand[0];
  if (piece.state == State::kFree) {
    FailAt("EnQue of a tensor that AllocTensor has not given, or that was freed", tensor,
           tensor.begin, tensor.end);
  }
  if (piece.state == State::kQueued) {
    FailAt("EnQue of a tensor that is in the queue already", tensor, tensor.begin, tensor.end);
  }
  if (piece.state == State::kTaken) {
    FailAt("EnQue of a tensor that DeQue has taken out: free it and allocate another", tensor,
           tensor.begin, tensor.end);
  }
  if (queue.depth > 0 && queue.waiting.size() >= static_cast<size_t>(queue.depth)) {
    Fail(Format("%s holds %zu tensors already, its depth is %lld", QueueName(queue).c_str(),
                queue.waiting.size(), static_cast<long long>(queue.depth)));
  }
  piece.event = TakeQueueEvent(queue.forward);
  piece.state = State::kQueued;
  piece.file = instruction.file;
  piece.line = instruction.line;
  queue.waiting.push_back(static_cast<int>(&piece - pieces_.data()));
}

void Core::DeQue(SoftnpuInstruction& instruction) {
  Queue& queue = QueueOf(instruction);
  if (queue.waiting.empty()) {
    Fail(Format("%s is empty: the core would wait for ever", QueueName(queue).c_str()));
  }
  const int index = queue.waiting.front();
  queue.waiting.pop_front();
  Piece& piece = pieces_[static_cast<size_t>(index)];
  DropQueueEvent(queue.forward, piece.event);
  piece.event = -1;
  piece.state = State::kTaken;
  piece.file = instruction.file;
  piece.line = instruction.line;
  instruction.operand[0] = TensorOf(index);
}

void Core::Free(SoftnpuInstruction& instruction) {
  Queue& queue = QueueOf(instruction);
  Piece& piece = OwnPiece(instruction, queue);
  const SoftnpuTensor& tensor = instruction.operand[0];
  if (piece.state == State::kFree) {
    FailAt("FreeTensor of a tensor that is free already", tensor, tensor.begin, tensor.end);
  }
  if (piece.state == State::kQueued) {
    FailAt("FreeTensor of a tensor that is still in the queue: DeQue comes first", tensor,
           tensor.begin, tensor.end);
  }
  piece.event = TakeQueueEvent(queue.backward);
  piece.state = State::kFree;
  piece.file = instruction.file;
  piece.line = instruction.line;
}

void Core::Event(SoftnpuInstruction& instruction) {
  const int64_t event = instruction.params[0];
  if (event < 0 || event >= kEvents) Fail(Format("event %lld does not exist", (long long)event));
  uint8_t& reserved = reserved_[event];
  if (instruction.opcode == SOFTNPU_OP_EVENT_RELEASE) {
    const int64_t id = instruction.params[1];
    if (id < 0 || id >= kEventIds || (reserved >> id & 1) == 0) {
      Fail(Format("event id %lld of %s was not given by AllocEventID", (long long)id,
                  EventName(event)));
    }
    reserved = static_cast<uint8_t>(reserved & ~(1u << id));
    return;
  }
  for (int id = 0; id < kEventIds; ++id) {
    if ((reserved >> id & 1) != 0 || flags_[event][id].set) continue;
    if (instruction.opcode == SOFTNPU_OP_EVENT_ALLOC) {
      reserved = static_cast<uint8_t>(reserved | 1u << id);
    }
    instruction.result = static_cast<uint64_t>(id);
    return;
  }
  Fail(Format("no event id of %s is left: a core has %d, and queues use them too", EventName(event),
              kEventIds));
}

Core::Flag& Core::FlagOf(const SoftnpuInstruction& instruction) {
  const int64_t event = instruction.params[0];
  const int64_t id = instruction.params[1];
  if (event < 0 || event >= kEvents) Fail(Format("event %lld does not exist", (long long)event));
  if (!kVectorCoreEvent[event]) {
    Fail(Format("a vector core has no event %s", EventName(event)));
  }
  if (id < 0 || id >= kEventIds) {
    Fail(Format("event id %lld, the limits are 0 and %d", (long long)id, kEventIds - 1));
  }
  return flags_[event][id];
}

void Core::SetFlag(const SoftnpuInstruction& instruction) {
  Flag& flag = FlagOf(instruction);
  if (instruction.params[0] == kVV) return;  // a barrier of the vector unit
  if (strict() && flag.set) {
    Fail(Format(
        "the flag (%s, id %lld) is set already, %s", EventName(instruction.params[0]),
        (long long)instruction.params[1],
        flag.of_queue
            ? "by a queue: take ids from AllocEventID or FetchEventID"
            : Format("at %s:%u", flag.file == nullptr ? "?" : flag.file, flag.line).c_str()));
  }
  flag = {true, false, instruction.file, instruction.line};
}

void Core::WaitFlag(const SoftnpuInstruction& instruction) {
  Flag& flag = FlagOf(instruction);
  if (instruction.params[0] == kVV) return;
  if (strict() && (!flag.set || flag.of_queue)) {
    Fail(Format("the flag (%s, id %lld) is not set: the pipe would wait for ever",
                EventName(instruction.params[0]), (long long)instruction.params[1]));
  }
  if (!flag.of_queue) flag = Flag{};
}

void Core::Barrier(const SoftnpuInstruction& instruction) {
  const int64_t pipe = instruction.params[0];
  if (pipe == SOFTNPU_PIPE_S) Fail("PipeBarrier<PIPE_S>: the scalar unit has no barrier");
  pipe_ = static_cast<int>(pipe);
}

void Core::CheckSide(const Access& access) const {
  const SoftnpuTensor& tensor = *access.tensor;
  const size_t handle = tensor.buffer & 0xFFFFu;
  const auto fail = [&](const std::string& fault) {
    FailAt(fault, tensor, access.base, access.base + access.extent());
  };
  if (!pipe_alive_ || handle > pieces_.size()) fail("the tensor's TPipe is gone");
  const Piece& piece = pieces_[handle - 1];
  if (piece.queue < 0) {
    if (piece.generation != tensor.buffer >> 16) fail("the tensor's TPipe is gone");
    return;
  }
  const Queue& queue = queues_[static_cast<size_t>(piece.queue)];
  const char* const verb = access.write ? "writes" : "reads";
  if (piece.state == State::kFree) {
    fail(Format("%s a tensor after its FreeTensor at %s:%u", verb, piece.file, piece.line));
  }
  if (piece.generation != tensor.buffer >> 16) {
    fail(
        Format("%s a tensor that was freed; its buffer now belongs to the AllocTensor at %s:%u or "
               "later",
               verb, piece.file, piece.line));
  }
  if (piece.state == State::kQueued) {
    fail(Format("%s a tensor between its EnQue at %s:%u and its DeQue", verb, piece.file,
                piece.line));
  }
  if (queue.depth == 0 || queue.forward < 0) return;
  // What the producer has written is there for the others after DeQue only.
  if (piece.state == State::kAllocated && !access.write && pipe_ != queue.producer &&
      !(queue.producer == SOFTNPU_PIPE_V && pipe_ == SOFTNPU_PIPE_S)) {
    fail(Format("pipe %s reads a tensor of pipe %s before its EnQue and DeQue", PipeName(pipe_),
                PipeName(queue.producer)));
  }
  // And after DeQue the producer's next turn comes with FreeTensor and AllocTensor.
  if (piece.state == State::kTaken && access.write && pipe_ == queue.producer) {
    fail(Format("pipe %s writes a tensor that DeQue has given to pipe %s", PipeName(pipe_),
                PipeName(queue.consumer)));
  }
}

void Core::Finish() {
  current_ = nullptr;
  if (!strict()) return;
  SoftnpuInstruction last{};
  if (registers_.atomic != 0) {
    last.opcode = registers_.atomic;
    last.file = registers_.atomic_file;
    last.line = registers_.atomic_line;
    current_ = &last;
    Fail(
        "still holds when the kernel ends: SetAtomicNone is missing, and the next kernel's copies "
        "would combine, too");
  }
  for (const Queue& queue : queues_) {
    if (queue.waiting.empty()) continue;
    const Piece& piece = pieces_[static_cast<size_t>(queue.waiting.front())];
    last.opcode = SOFTNPU_OP_ENQUEUE;
    last.file = piece.file;
    last.line = piece.line;
    current_ = &last;
    Fail(
        Format("%zu tensors of %s had no DeQue when the kernel ended: a flag stays set and "
               "disturbs the next kernel",
               queue.waiting.size(), QueueName(queue).c_str()));
  }
  for (int event = 0; event < kEvents; ++event) {
    for (int id = 0; id < kEventIds; ++id) {
      const Flag& flag = flags_[event][id];
      if (!flag.set || flag.of_queue) continue;
      last.opcode = SOFTNPU_OP_SET_FLAG;
      last.file = flag.file;
      last.line = flag.line;
      current_ = &last;
      Fail(
          Format("the flag (%s, id %d) is still set when the kernel ends: it disturbs the next "
                 "kernel",
                 EventName(event), id));
    }
  }
}

}  // namespace softnpu::ascendc
