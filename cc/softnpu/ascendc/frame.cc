// cc/softnpu/ascendc/frame.cc: what TPipe, TQue, TBuf and TBufPool do.
#include "cc/softnpu/ascendc/frame.h"

#include <utility>

#include "cc/softnpu/ascendc/launch.h"
#include "cc/softnpu/ascendc/names.h"

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
  kMFix = 17,
  kFixM,
  kMte3Mte2,
  kMte2Mte3,
};

// The queues that there are: what fills their buffers and what empties them.
using Route = QueueRoute;
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

// Null when nothing goes from one position to the other. The calculation's position stands for the
// one where a queue begins or ends; queues of L1 have one position.
const Route* RouteOf(int64_t source, int64_t destination) {
  if (source == kGm && destination == kVecCalc) destination = kVecIn;
  if (source == kVecCalc && destination == kGm) source = kVecOut;
  const bool l1 =
      destination == kA1 || destination == kB1 || destination == kC1 || destination == kTscm;
  if (source == kGm && l1) source = destination;
  for (const Route& route : kRoutes) {
    if (route.source == source && route.destination == destination) return &route;
  }
  return nullptr;
}

constexpr size_t kMaxPieces = 64;
constexpr int kMaxTensorsOut = 8;

unsigned long long Ull(uint64_t value) { return value; }

}  // namespace

void Frame::Reset() {
  FreePieces();
  pipe_object_ = 0;
}

void Frame::CreatePipe(const SoftnpuInstruction& instruction) {
  if (pipe_object_ != 0) site_.Fail("a second TPipe while one is alive: a core has one");
  pipe_object_ = static_cast<uint64_t>(instruction.params[0]);
  FreePieces();
}

void Frame::DestroyPipe() {
  order_.Barrier(SOFTNPU_PIPE_ALL);
  pipe_object_ = 0;
}

void Frame::FreePieces() {
  for (Queue& queue : queues_) {
    for (const int piece : queue.pieces) {
      Piece& buffer = pieces_[static_cast<size_t>(piece)];
      flags_.GiveBack(queue.forward, buffer.forward);
      flags_.GiveBack(queue.backward, buffer.backward);
    }
  }
  memories_.GiveBackAll();
  tbufs_ = 0;
  pieces_.clear();
  queues_.clear();
  pools_.clear();
  pool_ = -1;
}

uint8_t Frame::SpaceOf(uint8_t position) const {
  const bool coupled = site_.chip().npu_arch == 2002;
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
  site_.Fail(
      Format("no buffers lie in %s on %s", PositionName(position), site_.chip().soc_name.c_str()));
}

int Frame::AddPiece(uint64_t bytes, uint8_t position) {
  if (pipe_object_ == 0) site_.Fail("InitBuffer without a living TPipe");
  if (pieces_.size() == kMaxPieces) {
    site_.Fail(Format("one more buffer: a TPipe has at most %zu", kMaxPieces));
  }
  if (bytes == 0) site_.Fail("a buffer of 0 bytes");
  const uint64_t padded = (bytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
  Piece piece;
  piece.space = SpaceOf(position);
  // A buffer in a memory that this kind of core lacks is only numbers: libraries make the buffers
  // of both kinds on each. An access is another matter.
  uint64_t total = memories_.chip_bytes(piece.space);
  uint64_t* taken = &memories_.taken(piece.space);
  uint64_t begin = 0;
  if (pool_ >= 0) {
    Pool& pool = pools_[static_cast<size_t>(pool_)];
    if (pool.space != piece.space) {
      site_.Fail(Format("a buffer of the %s from a TBufPool of the %s", SpaceName(piece.space),
                        SpaceName(pool.space)));
    }
    total = pool.bytes;
    taken = &pool.taken;
    begin = pool.begin;
  }
  if (padded > total - *taken) {
    const std::string name =
        pool_ >= 0 ? "the TBufPool's" : Format("the %s's", SpaceName(piece.space));
    site_.Fail(
        Format("%llu bytes for a buffer, but of %s %llu bytes %llu are taken and %llu are left",
               Ull(padded), name.c_str(), Ull(total), Ull(*taken), Ull(total - *taken)));
  }
  piece.begin = begin + *taken;
  piece.bytes = padded;
  piece.position = position;
  piece.generation = ++generation_;
  *taken += padded;
  pieces_.push_back(piece);
  return static_cast<int>(pieces_.size()) - 1;
}

void Frame::InitPool(SoftnpuInstruction& instruction) {
  if (pipe_object_ == 0) site_.Fail("InitBufPool without a living TPipe");
  const uint64_t bytes =
      (static_cast<uint64_t>(instruction.params[1]) + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
  Pool pool;
  pool.space = SpaceOf(static_cast<uint8_t>(instruction.params[0]));
  pool.bytes = bytes;
  const int64_t shared = instruction.params[2];
  if (shared > 0) {
    const Pool& other = pools_.at(static_cast<size_t>(shared - 1));
    if (bytes > other.bytes || other.space != pool.space) {
      site_.Fail(Format("a TBufPool of %llu bytes at the place of one of %llu bytes", Ull(bytes),
                        Ull(other.bytes)));
    }
    pool.begin = other.begin;
  } else {
    uint64_t total = memories_.chip_bytes(pool.space);
    uint64_t* taken = &memories_.taken(pool.space);
    if (pool_ >= 0) {
      Pool& parent = pools_[static_cast<size_t>(pool_)];
      pool.begin = parent.begin;
      total = parent.bytes;
      taken = &parent.taken;
    }
    if (bytes > total - *taken) {
      site_.Fail(Format("%llu bytes for a TBufPool, but of %llu bytes %llu are taken", Ull(bytes),
                        Ull(total), Ull(*taken)));
    }
    pool.begin += *taken;
    *taken += bytes;
  }
  pool_ = -1;
  pools_.push_back(pool);
  instruction.result = pools_.size() - 1;
}

void Frame::ChoosePool(const SoftnpuInstruction& instruction) {
  if (instruction.params[0] < 0) {
    site_.Fail("the TBufPool has no memory: InitBufPool comes first");
  }
  pool_ = instruction.params[0];
}

void Frame::ResetPool(const SoftnpuInstruction& instruction) {
  const int64_t pool = instruction.params[0];
  if (pool < 0) return FreePieces();
  pools_.at(static_cast<size_t>(pool)).taken = 0;
}

SoftnpuTensor Frame::TensorOf(int index) const {
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

void Frame::InitBuffer(SoftnpuInstruction& instruction) {
  const uint8_t position = static_cast<uint8_t>(instruction.params[0]);
  const int piece = AddPiece(static_cast<uint64_t>(instruction.params[1]), position);
  pool_ = -1;
  pieces_[static_cast<size_t>(piece)].index = tbufs_++;
  instruction.operand[0] = TensorOf(piece);
}

void Frame::InitQueue(SoftnpuInstruction& instruction) {
  Queue queue;
  queue.source = static_cast<uint8_t>(instruction.params[0]);
  queue.destination = static_cast<uint8_t>(instruction.params[1]);
  queue.depth = instruction.params[2];
  const int64_t number = instruction.params[3];
  const Route* const route = RouteOf(queue.source, queue.destination);
  if (route == nullptr) {
    site_.Fail(Format("a queue from %s to %s: SoftNPU has none", PositionName(queue.source),
                      PositionName(queue.destination)));
  }
  const uint8_t position = route->position;
  queue.producer = route->producer;
  queue.consumer = route->consumer;
  queue.forward = route->forward;
  queue.backward = route->backward;
  if (number == 0) site_.Fail("a queue of 0 buffers");
  if (number > kMaxTensorsOut) {
    site_.Fail(Format("a queue of %lld buffers: each needs an event id, of which a core has %d",
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

std::string Frame::QueueName(const Queue& queue) const {
  const auto number = &queue - queues_.data();
  if (queue.source == kVecIn && queue.destination == kVecOut) {
    return Format("TQueBind<VECIN, VECOUT> #%td", number);
  }
  return Format("TQue<%s> #%td", PositionName(queue.source == kGm ? kVecIn : queue.source), number);
}

Frame::Queue& Frame::QueueOf(const SoftnpuInstruction& instruction) {
  const int64_t handle = instruction.params[0];
  if (handle < 1 || static_cast<size_t>(handle) > queues_.size()) {
    site_.Fail("the queue has no buffers: TPipe::InitBuffer was not called for it");
  }
  return queues_[static_cast<size_t>(handle - 1)];
}

Frame::Piece& Frame::OwnPiece(const SoftnpuInstruction& instruction, const Queue& queue) {
  const SoftnpuTensor& tensor = instruction.operand[0];
  const size_t handle = tensor.buffer & 0xFFFFu;
  for (const int piece : queue.pieces) {
    if (static_cast<size_t>(piece) + 1 != handle) continue;
    Piece& buffer = pieces_[static_cast<size_t>(piece)];
    if (buffer.state != State::kFree && buffer.generation != tensor.buffer >> 16) {
      site_.FailAt("the tensor was freed before, and its buffer now belongs to a later AllocTensor",
                   tensor, tensor.address, tensor.end);
    }
    return buffer;
  }
  site_.FailAt(Format("the tensor is not one of %s", QueueName(queue).c_str()), tensor,
               tensor.address, tensor.end);
}

Signal Frame::Send(int event, int side) {
  order_.Issue(side);
  return event < 0 ? Signal{} : order_.Set(side);
}

void Frame::Receive(int event, int side, const Signal& signal) {
  if (event < 0) return order_.Barrier(side);  // the event V_V is a barrier
  order_.Wait(side, signal);
}

void Frame::Alloc(SoftnpuInstruction& instruction) {
  Queue& queue = QueueOf(instruction);
  size_t i = 0;
  while (i < queue.pieces.size() &&
         pieces_[static_cast<size_t>(queue.pieces[(queue.next + i) % queue.pieces.size()])].state !=
             State::kFree) {
    ++i;
  }
  if (i == queue.pieces.size()) {
    site_.Fail(Format("all %zu buffers of %s are in use: the core would wait for ever",
                      queue.pieces.size(), QueueName(queue).c_str()));
  }
  const size_t slot = (queue.next + i) % queue.pieces.size();
  queue.next = (slot + 1) % queue.pieces.size();
  const int index = queue.pieces[slot];
  Piece& piece = pieces_[static_cast<size_t>(index)];
  flags_.GiveBack(queue.backward, piece.backward);
  Receive(queue.backward, queue.producer, piece.freed);
  piece.backward = -1;
  piece.state = State::kAllocated;
  piece.generation = ++generation_;
  piece.file = instruction.file;
  piece.line = instruction.line;
  // Of one buffer it is known which one comes: what it held, it holds.
  if (site_.strict() && queue.pieces.size() > 1) {
    memories_.Forget(piece.space, piece.begin, piece.begin + piece.bytes);
  }
  if (site_.queues()) {
    int out = 0;
    for (const Piece& other : pieces_) {
      out += other.queue >= 0 && other.position == piece.position && other.state != State::kFree;
    }
    if (out > kMaxTensorsOut) {
      site_.Fail(Format("%d tensors of %s are allocated at once, the limit is %d", out,
                        PositionName(piece.position), kMaxTensorsOut));
    }
  }
  instruction.operand[0] = TensorOf(index);
}

const QueueRoute& Frame::NamedRoute(const SoftnpuInstruction& instruction) const {
  const int64_t source = instruction.params[1] - 1, destination = instruction.params[2] - 1;
  const Route* const route = RouteOf(source, destination);
  if (route == nullptr) {
    site_.Fail(Format("%s from %s to %s: SoftNPU knows no order between them",
                      instruction.opcode == SOFTNPU_OP_ENQUEUE ? "EnQue" : "DeQue",
                      PositionName(static_cast<uint8_t>(source)),
                      PositionName(static_cast<uint8_t>(destination))));
  }
  return *route;
}

void Frame::EnQue(SoftnpuInstruction& instruction) {
  Queue& queue = QueueOf(instruction);
  Piece& piece = OwnPiece(instruction, queue);
  const SoftnpuTensor& tensor = instruction.operand[0];
  if (piece.state == State::kFree) {
    site_.FailAt("EnQue of a tensor that AllocTensor has not given, or that was freed", tensor,
                 tensor.begin, tensor.end);
  }
  if (piece.state == State::kQueued) {
    site_.FailAt("EnQue of a tensor that is in the queue already", tensor, tensor.begin,
                 tensor.end);
  }
  if (site_.queues() && queue.depth > 0 &&
      queue.waiting.size() >= static_cast<size_t>(queue.depth)) {
    site_.Fail(Format("%s holds %zu tensors already, its depth is %lld", QueueName(queue).c_str(),
                      queue.waiting.size(), static_cast<long long>(queue.depth)));
  }
  piece.consumer = queue.consumer;
  piece.event = queue.forward;
  int producer = queue.producer;
  if (instruction.params[1] != 0) {
    const Route& route = NamedRoute(instruction);
    piece.consumer = route.consumer;
    piece.event = route.forward;
    producer = route.producer;
  }
  piece.forward = flags_.TakeForQueue(piece.event);
  piece.sent = Send(piece.event, producer);
  piece.state = State::kQueued;
  piece.file = instruction.file;
  piece.line = instruction.line;
  queue.waiting.push_back(static_cast<int>(&piece - pieces_.data()));
}

void Frame::DeQue(SoftnpuInstruction& instruction) {
  Queue& queue = QueueOf(instruction);
  if (queue.waiting.empty()) {
    site_.Fail(Format("%s is empty: the core would wait for ever", QueueName(queue).c_str()));
  }
  const int index = queue.waiting.front();
  Piece& piece = pieces_[static_cast<size_t>(index)];
  if (piece.state != State::kQueued) {
    site_.Fail(Format("DeQue of a tensor of %s that was freed at %s:%u while it was in the queue",
                      QueueName(queue).c_str(), FileOf(piece.file).c_str(), piece.line));
  }
  if (instruction.params[1] != 0 && NamedRoute(instruction).forward != piece.event) {
    site_.Fail(
        Format("DeQue of a tensor of %s waits for another event than its EnQue at %s:%u sets",
               QueueName(queue).c_str(), FileOf(piece.file).c_str(), piece.line));
  }
  queue.waiting.pop_front();
  flags_.GiveBack(piece.event, piece.forward);
  Receive(piece.event, piece.consumer, piece.sent);
  piece.forward = -1;
  piece.state = State::kTaken;
  piece.file = instruction.file;
  piece.line = instruction.line;
  instruction.operand[0] = TensorOf(index);
}

void Frame::Free(SoftnpuInstruction& instruction) {
  Queue& queue = QueueOf(instruction);
  Piece& piece = OwnPiece(instruction, queue);
  const SoftnpuTensor& tensor = instruction.operand[0];
  if (piece.state == State::kFree) {
    site_.FailAt("FreeTensor of a tensor that is free already", tensor, tensor.begin, tensor.end);
  }
  piece.backward = flags_.TakeForQueue(queue.backward);
  piece.freed = Send(queue.backward, queue.consumer);
  piece.state = State::kFree;
  piece.file = instruction.file;
  piece.line = instruction.line;
}

void Frame::CountWaiting(SoftnpuInstruction& instruction) {
  instruction.result = QueueOf(instruction).waiting.size();
}

void Frame::CountFree(SoftnpuInstruction& instruction) {
  instruction.result = 0;
  for (const int piece : QueueOf(instruction).pieces) {
    instruction.result += pieces_[static_cast<size_t>(piece)].state == State::kFree;
  }
}

void Frame::CheckAlive(const Access& access) const {
  const SoftnpuTensor& tensor = *access.tensor;
  const size_t handle = tensor.buffer & 0xFFFFu;
  const auto fail = [&](const std::string& fault) {
    site_.FailAt(fault, tensor, access.base, access.base + access.extent());
  };
  if (handle > pieces_.size()) fail("the tensor's TPipe is gone");
  const Piece& piece = pieces_[handle - 1];
  // A TBuf is a place in memory, which is its own until another TPipe gives it away: libraries
  // destroy their TPipe to have its events. The queues end with it.
  if (pipe_object_ == 0 && piece.queue >= 0) fail("the tensor's TPipe is gone");
  if (piece.queue < 0) {
    if (piece.generation != tensor.buffer >> 16) fail("the tensor's TPipe is gone");
    return;
  }
  const char* const verb = access.write ? "writes" : "reads";
  if (piece.state == State::kFree) {
    fail(Format("%s a tensor after its FreeTensor at %s:%u", verb, FileOf(piece.file).c_str(),
                piece.line));
  }
  if (piece.generation != tensor.buffer >> 16) {
    fail(
        Format("%s a tensor that was freed; its buffer now belongs to the AllocTensor at %s:%u or "
               "later",
               verb, FileOf(piece.file).c_str(), piece.line));
  }
}

void Frame::CheckQueuesAreEmpty() const {
  for (const Queue& queue : queues_) {
    if (queue.waiting.empty()) continue;
    const Piece& piece = pieces_[static_cast<size_t>(queue.waiting.front())];
    site_.FailAtPlace(
        {SOFTNPU_OP_ENQUEUE, piece.line, piece.file},
        Format("%zu tensors of %s had no DeQue when the kernel ended: a flag stays set and "
               "disturbs the next kernel",
               queue.waiting.size(), QueueName(queue).c_str()));
  }
  for (const Piece& piece : pieces_) {
    if (piece.queue < 0 || piece.state == State::kFree) continue;
    const uint32_t opcode =
        piece.state == State::kAllocated ? SOFTNPU_OP_ALLOC : SOFTNPU_OP_DEQUEUE;
    site_.WarnAtPlace({opcode, piece.line, piece.file},
                      Format("the tensor of %s had no FreeTensor when the kernel ended",
                             QueueName(queues_[static_cast<size_t>(piece.queue)]).c_str()));
  }
}

std::string Frame::NameOfBuffer(const SoftnpuTensor& tensor, uint64_t* origin) const {
  const size_t piece = tensor.buffer & 0xFFFFu;
  if (piece == 0 || piece > pieces_.size()) {
    *origin = 0;
    return SpaceName(tensor.space);
  }
  const Piece& buffer = pieces_[piece - 1];
  *origin = buffer.begin;
  if (buffer.queue < 0) {
    return Format("TBuf<%s> #%d (%llu bytes)", PositionName(buffer.position), buffer.index,
                  Ull(buffer.bytes));
  }
  return Format("%s buffer %d (%llu bytes)",
                QueueName(queues_[static_cast<size_t>(buffer.queue)]).c_str(), buffer.index,
                Ull(buffer.bytes));
}

}  // namespace softnpu::ascendc
