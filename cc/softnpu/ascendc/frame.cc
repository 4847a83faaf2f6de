// cc/softnpu/ascendc/frame.cc: TPipe, queues, events and flags of a simulated core.
//
// Instructions run in program order, so a queue's events never have to be waited for. They are
// taken and given back all the same: a core has eight ids per event, hand-written flags share them,
// and what they order is what race.h knows.
#include "cc/softnpu/ascendc/core.h"

namespace softnpu::ascendc {
namespace {

// Numbers of AscendC's enumerations.
enum Position : uint8_t {
  kGm,
  kA1,
  kA2,
  kB1,
  kB2,
  kC1,
  kC2,
  kCo1,
  kCo2,
  kVecIn,
  kVecOut,
  kVecCalc,
  kSpm,
  kTscm,
  kC2Pipe2Gm,
};
enum HardEvent : int {
  kMte2Mte1 = 0,
  kMte1Mte2,
  kMte1M,
  kMMte1,
  kMte2V,
  kVMte2,
  kMte3V,
  kVMte3,
  kVV = 10,
  kMFix = 17,
  kFixM,
  kMte3Mte2,
  kMte2Mte3,
};

struct EventPipes {
  SoftnpuPipe from, to;
};
#define P(from, to) {SOFTNPU_PIPE_##from, SOFTNPU_PIPE_##to}
constexpr EventPipes kEventPipes[kEvents] = {
    P(MTE2, MTE1), P(MTE1, MTE2), P(MTE1, M),    P(M, MTE1),   P(MTE2, V),   P(V, MTE2),
    P(MTE3, V),    P(V, MTE3),    P(M, V),       P(V, M),      P(V, V),      P(MTE3, MTE1),
    P(MTE1, MTE3), P(MTE1, V),    P(MTE2, M),    P(M, MTE2),   P(V, MTE1),   P(M, FIX),
    P(FIX, M),     P(MTE3, MTE2), P(MTE2, MTE3), P(S, V),      P(V, S),      P(S, MTE2),
    P(MTE2, S),    P(S, MTE3),    P(MTE3, S),    P(MTE2, FIX), P(FIX, MTE2), P(FIX, S),
    P(M, S),       P(FIX, MTE3),  P(MTE1, FIX),  P(FIX, MTE1), P(FIX, FIX)};
#undef P

// The queues that there are: what fills their buffers and what empties them.
struct Route {
  Position source, destination, position;
  SoftnpuPipe producer, consumer;
  int forward, backward;  // events; -1: both sides are the vector unit
};
constexpr Route kRoutes[] = {
    {kGm, kVecIn, kVecIn, SOFTNPU_PIPE_MTE2, SOFTNPU_PIPE_V, kMte2V, kVMte2},
    {kVecOut, kGm, kVecOut, SOFTNPU_PIPE_V, SOFTNPU_PIPE_MTE3, kVMte3, kMte3V},
    {kVecIn, kVecOut, kVecIn, SOFTNPU_PIPE_MTE2, SOFTNPU_PIPE_MTE3, kMte2Mte3, kMte3Mte2},
    {kVecCalc, kVecCalc, kVecCalc, SOFTNPU_PIPE_V, SOFTNPU_PIPE_V, -1, -1},
    {kA1, kA1, kA1, SOFTNPU_PIPE_MTE2, SOFTNPU_PIPE_MTE1, kMte2Mte1, kMte1Mte2},
    {kB1, kB1, kB1, SOFTNPU_PIPE_MTE2, SOFTNPU_PIPE_MTE1, kMte2Mte1, kMte1Mte2},
    {kC1, kC1, kC1, SOFTNPU_PIPE_MTE2, SOFTNPU_PIPE_MTE1, kMte2Mte1, kMte1Mte2},
    {kTscm, kTscm, kTscm, SOFTNPU_PIPE_MTE2, SOFTNPU_PIPE_MTE1, kMte2Mte1, kMte1Mte2},
    {kA2, kA2, kA2, SOFTNPU_PIPE_MTE1, SOFTNPU_PIPE_M, kMte1M, kMMte1},
    {kB2, kB2, kB2, SOFTNPU_PIPE_MTE1, SOFTNPU_PIPE_M, kMte1M, kMMte1},
    {kC2, kC2, kC2, SOFTNPU_PIPE_MTE1, SOFTNPU_PIPE_M, kMte1M, kMMte1},
    {kCo1, kCo1, kCo1, SOFTNPU_PIPE_M, SOFTNPU_PIPE_FIX, kMFix, kFixM},
};

bool HasPipe(CoreKind kind, SoftnpuPipe pipe) {
  switch (pipe) {
    case SOFTNPU_PIPE_V:
      return (kind & kVectorCore) != 0;
    case SOFTNPU_PIPE_M:
    case SOFTNPU_PIPE_MTE1:
    case SOFTNPU_PIPE_FIX:
      return (kind & kCubeCore) != 0;
    default:
      return true;
  }
}

constexpr size_t kMaxPieces = 64;
constexpr int kMaxTensorsOut = 8;

unsigned long long Ull(uint64_t value) { return value; }

}  // namespace

void Core::CreatePipe() {
  pipe_alive_ = true;
  FreePieces();
}

void Core::FreePieces() {
  for (Queue& queue : queues_) {
    for (const int piece : queue.pieces) {
      Piece& buffer = pieces_[static_cast<size_t>(piece)];
      if (buffer.event < 0) continue;
      DropQueueEvent(buffer.state == State::kFree ? queue.backward : queue.forward, buffer.event);
    }
  }
  for (Memory& memory : memories_) memory.used = 0;
  tbufs_ = 0;
  pieces_.clear();
  queues_.clear();
  pools_.clear();
  pool_ = -1;
}

uint8_t Core::SpaceOf(uint8_t position) const {
  const bool coupled = launch_->chip->npu_arch == 2002;
  switch (position) {
    case kVecIn:
    case kVecOut:
    case kVecCalc:
      return SOFTNPU_SPACE_UB;
    case kA1:
    case kB1:
    case kTscm:
      return SOFTNPU_SPACE_L1;
    case kA2:
      return SOFTNPU_SPACE_L0A;
    case kB2:
      return SOFTNPU_SPACE_L0B;
    case kC1:
      return coupled ? SOFTNPU_SPACE_UB : SOFTNPU_SPACE_L1;
    case kC2:
      return coupled ? SOFTNPU_SPACE_L0C : SOFTNPU_SPACE_BT;
    case kCo1:
      return SOFTNPU_SPACE_L0C;
    case kCo2:
      if (coupled) return SOFTNPU_SPACE_UB;
      break;
    case kC2Pipe2Gm:
      if (!coupled) return SOFTNPU_SPACE_FB;
      break;
    default:
      break;
  }
  Fail(Format("no buffers lie in %s on %s", PositionName(position),
              launch_->chip->soc_name.c_str()));
}

int Core::AddPiece(uint64_t bytes, uint8_t position) {
  if (!pipe_alive_) Fail("InitBuffer without a living TPipe");
  if (pieces_.size() == kMaxPieces) {
    Fail(Format("one more buffer: a TPipe has at most %zu", kMaxPieces));
  }
  if (bytes == 0) Fail("a buffer of 0 bytes");
  const uint64_t padded = (bytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
  Piece piece;
  piece.space = SpaceOf(position);
  Memory& memory = memories_[piece.space];
  if (memory.bytes.empty()) {
    Fail(Format("a buffer in %s: a core of this kind (%s) has no %s", PositionName(position),
                kind_ == kVectorCore ? "AIV" : "AIC", SpaceName(piece.space)));
  }
  uint64_t total = memory.bytes.size();
  uint64_t* used = &memory.used;
  uint64_t begin = 0;
  if (pool_ >= 0) {
    Pool& pool = pools_[static_cast<size_t>(pool_)];
    if (pool.space != piece.space) {
      Fail(Format("a buffer of the %s from a TBufPool of the %s", SpaceName(piece.space),
                  SpaceName(pool.space)));
    }
    total = pool.bytes;
    used = &pool.used;
    begin = pool.begin;
  }
  if (padded > total - *used) {
    const std::string name =
        pool_ >= 0 ? "the TBufPool's" : Format("the %s's", SpaceName(piece.space));
    Fail(Format("%llu bytes for a buffer, but of %s %llu bytes %llu are taken and %llu are left",
                Ull(padded), name.c_str(), Ull(total), Ull(*used), Ull(total - *used)));
  }
  piece.begin = begin + *used;
  piece.bytes = padded;
  piece.position = position;
  piece.generation = ++generation_;
  *used += padded;
  pieces_.push_back(piece);
  return static_cast<int>(pieces_.size()) - 1;
}

void Core::InitPool(SoftnpuInstruction& instruction) {
  if (!pipe_alive_) Fail("InitBufPool without a living TPipe");
  const uint64_t bytes =
      (static_cast<uint64_t>(instruction.params[1]) + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
  Pool pool;
  pool.space = SpaceOf(static_cast<uint8_t>(instruction.params[0]));
  pool.bytes = bytes;
  const int64_t shared = instruction.params[2];
  if (shared > 0) {
    const Pool& other = pools_.at(static_cast<size_t>(shared - 1));
    if (bytes > other.bytes || other.space != pool.space) {
      Fail(Format("a TBufPool of %llu bytes at the place of one of %llu bytes", Ull(bytes),
                  Ull(other.bytes)));
    }
    pool.begin = other.begin;
  } else {
    Memory& memory = memories_[pool.space];
    uint64_t total = memory.bytes.size();
    uint64_t* used = &memory.used;
    if (pool_ >= 0) {
      Pool& parent = pools_[static_cast<size_t>(pool_)];
      pool.begin = parent.begin;
      total = parent.bytes;
      used = &parent.used;
    }
    if (bytes > total - *used) {
      Fail(Format("%llu bytes for a TBufPool, but of %llu bytes %llu are taken", Ull(bytes),
                  Ull(total), Ull(*used)));
    }
    pool.begin += *used;
    *used += bytes;
  }
  pool_ = -1;
  pools_.push_back(pool);
  instruction.result = pools_.size() - 1;
}

void Core::ResetPool(SoftnpuInstruction& instruction) {
  const int64_t pool = instruction.params[0];
  if (pool < 0) return FreePieces();
  pools_.at(static_cast<size_t>(pool)).used = 0;
}

SoftnpuTensor Core::TensorOf(int index) const {
  const Piece& piece = pieces_[static_cast<size_t>(index)];
  SoftnpuTensor tensor{};
  tensor.address = piece.begin;
  tensor.begin = piece.begin;
  tensor.end = piece.begin + piece.bytes;
  tensor.buffer = static_cast<uint32_t>(piece.generation) << 16 | static_cast<uint32_t>(index + 1);
  tensor.space = piece.space;
  tensor.position = piece.position;
  return tensor;
}

void Core::InitBuffer(SoftnpuInstruction& instruction) {
  const uint8_t position = static_cast<uint8_t>(instruction.params[0]);
  const int piece = AddPiece(static_cast<uint64_t>(instruction.params[1]), position);
  pool_ = -1;
  pieces_[static_cast<size_t>(piece)].index = tbufs_++;
  instruction.operand[0] = TensorOf(piece);
}

void Core::InitQueue(SoftnpuInstruction& instruction) {
  Queue queue;
  queue.source = static_cast<uint8_t>(instruction.params[0]);
  queue.destination = static_cast<uint8_t>(instruction.params[1]);
  queue.depth = instruction.params[2];
  const int64_t number = instruction.params[3];
  const Route* route = nullptr;
  for (const Route& candidate : kRoutes) {
    if (candidate.source == queue.source && candidate.destination == queue.destination) {
      route = &candidate;
    }
  }
  if (route == nullptr) {
    Fail(Format("a queue from %s to %s: SoftNPU has none", PositionName(queue.source),
                PositionName(queue.destination)));
  }
  const uint8_t position = route->position;
  queue.producer = route->producer;
  queue.consumer = route->consumer;
  queue.forward = route->forward;
  queue.backward = route->backward;
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
  pool_ = -1;
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
    flags_[event][id] = {true, true, current_->file, current_->line, {}, 0};
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
  if (queue.forward >= 0) {
    clocks_.Acquire(queue.producer, piece.knowledge);
    if (timeline() && piece.token != 0) timeline_.Wait(queue.producer, piece.token, place());
  } else {
    clocks_.Barrier(queue.producer);  // the event V_V is a barrier
    if (timeline()) timeline_.Barrier(queue.producer, place());
  }
  piece.event = -1;
  piece.state = State::kAllocated;
  piece.generation = ++generation_;
  piece.file = instruction.file;
  piece.line = instruction.line;
  if (strict()) {
    memories_[piece.space].defined.Remove(piece.begin, piece.begin + piece.bytes);
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
  clocks_.Issue(queue.producer);
  if (queue.forward >= 0) {
    piece.knowledge = clocks_.Release(queue.producer);
    if (timeline()) piece.token = timeline_.Set(queue.producer, place());
  }
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
  if (queue.forward >= 0) {
    clocks_.Acquire(queue.consumer, piece.knowledge);
    if (timeline()) timeline_.Wait(queue.consumer, piece.token, place());
  } else {
    clocks_.Barrier(queue.consumer);
    if (timeline()) timeline_.Barrier(queue.consumer, place());
  }
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
  clocks_.Issue(queue.consumer);
  if (queue.forward >= 0) {
    piece.knowledge = clocks_.Release(queue.consumer);
    if (timeline()) piece.token = timeline_.Set(queue.consumer, place());
  }
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
  const EventPipes pipes = kEventPipes[event];
  if (!HasPipe(kind_, pipes.from) || !HasPipe(kind_, pipes.to)) {
    Fail(Format("a %s core has no event %s", kind_ == kVectorCore ? "vector" : "cube",
                EventName(event)));
  }
  if (id < 0 || id >= kEventIds) {
    Fail(Format("event id %lld, the limits are 0 and %d", (long long)id, kEventIds - 1));
  }
  return flags_[event][id];
}

void Core::SetFlag(const SoftnpuInstruction& instruction) {
  Flag& flag = FlagOf(instruction);
  if (instruction.params[0] == kVV) {
    clocks_.Barrier(SOFTNPU_PIPE_V);
    if (timeline()) timeline_.Barrier(SOFTNPU_PIPE_V, place());
    return;
  }
  if (strict() && flag.set) {
    Fail(Format(
        "the flag (%s, id %lld) is set already, %s", EventName(instruction.params[0]),
        (long long)instruction.params[1],
        flag.of_queue
            ? "by a queue: take ids from AllocEventID or FetchEventID"
            : Format("at %s:%u", flag.file == nullptr ? "?" : flag.file, flag.line).c_str()));
  }
  const int pipe = kEventPipes[instruction.params[0]].from;
  clocks_.Issue(pipe);
  flag = {true, false, instruction.file, instruction.line, clocks_.Release(pipe), 0};
  if (timeline()) flag.token = timeline_.Set(pipe, place());
}

void Core::WaitFlag(const SoftnpuInstruction& instruction) {
  Flag& flag = FlagOf(instruction);
  if (instruction.params[0] == kVV) return;
  if (strict() && (!flag.set || flag.of_queue)) {
    Fail(Format("the flag (%s, id %lld) is not set: the pipe would wait for ever",
                EventName(instruction.params[0]), (long long)instruction.params[1]));
  }
  const int pipe = kEventPipes[instruction.params[0]].to;
  clocks_.Issue(pipe);
  clocks_.Acquire(pipe, flag.knowledge);
  if (timeline() && flag.set) timeline_.Wait(pipe, flag.token, place());
  if (!flag.of_queue) flag = Flag{};
}

void Core::Barrier(const SoftnpuInstruction& instruction) {
  const int64_t pipe = instruction.params[0];
  if (pipe == SOFTNPU_PIPE_S) Fail("PipeBarrier<PIPE_S>: the scalar unit has no barrier");
  pipe_ = static_cast<int>(pipe);
  clocks_.Issue(pipe_);
  clocks_.Barrier(pipe_);
  if (timeline()) timeline_.Barrier(pipe_, place());
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
  for (auto& [address, line] : cache_) CleanLine(address, line, false);
  cache_.clear();
  if (!shared_.empty()) {
    const std::lock_guard<std::mutex> lock(launch_->mutex);
    launch_->shared.Append(std::move(shared_));
  }
  const Registers& r = registers_;
  if (r.atomic != 0) {
    FailAtPlace(
        {r.atomic, r.atomic_line, r.atomic_file},
        "still holds when the kernel ends: SetAtomicNone is missing, and the next kernel's copies "
        "would combine, too");
  }
  for (const Queue& queue : queues_) {
    if (queue.waiting.empty()) continue;
    const Piece& piece = pieces_[static_cast<size_t>(queue.waiting.front())];
    FailAtPlace({SOFTNPU_OP_ENQUEUE, piece.line, piece.file},
                Format("%zu tensors of %s had no DeQue when the kernel ended: a flag stays set and "
                       "disturbs the next kernel",
                       queue.waiting.size(), QueueName(queue).c_str()));
  }
  for (const Piece& piece : pieces_) {
    if (piece.queue < 0 || piece.state == State::kFree) continue;
    const uint32_t opcode =
        piece.state == State::kAllocated ? SOFTNPU_OP_ALLOC : SOFTNPU_OP_DEQUEUE;
    FailAtPlace({opcode, piece.line, piece.file},
                Format("the tensor of %s had no FreeTensor when the kernel ended",
                       QueueName(queues_[static_cast<size_t>(piece.queue)]).c_str()));
  }
  for (int event = 0; event < kEvents; ++event) {
    for (int id = 0; id < kEventIds; ++id) {
      const Flag& flag = flags_[event][id];
      if (!flag.set || flag.of_queue) continue;
      FailAtPlace(
          {SOFTNPU_OP_SET_FLAG, flag.line, flag.file},
          Format("the flag (%s, id %d) is still set when the kernel ends: it disturbs the next "
                 "kernel",
                 EventName(event), id));
    }
  }
}

}  // namespace softnpu::ascendc
