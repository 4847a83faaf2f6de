// cc/softnpu/ascendc/include/ascendc/pipe.h: TPipe, TQue, TQueBind and TBuf.
//
// The objects hold handles; buffers, queues and events live in the core, which is where the rules
// of the queues are checked.
#pragma once

#include "ascendc/system.h"
#include "ascendc/tensor.h"

namespace AscendC {

class TPipe;
template <TPosition source, TPosition destination, int32_t depth, auto mask>
class TQueBind;
template <TPosition position>
class TBuf;

// A part of a TPipe's memory that is shared out to buffers of its own.
template <TPosition position, uint32_t bufIDSize = 4>
class TBufPool {
 public:
  template <TPosition source, TPosition destination, int32_t depth, auto mask>
  bool InitBuffer(TQueBind<source, destination, depth, mask>& queue, uint8_t number,
                  uint32_t length, Where where = Where::Here());
  template <TPosition at>
  bool InitBuffer(TBuf<at>& buffer, uint32_t length, Where where = Where::Here());
  // A pool inside the pool, or at the place of `shared`.
  template <TPosition at, uint32_t size>
  bool InitBufPool(TBufPool<at, size>& pool, uint32_t length, Where where = Where::Here()) {
    return Make(pool, length, 0, where);
  }
  template <TPosition at, uint32_t size, TPosition at2, uint32_t size2>
  bool InitBufPool(TBufPool<at, size>& pool, uint32_t length, TBufPool<at2, size2>& shared,
                   Where where = Where::Here()) {
    return Make(pool, length, shared.pool_ + 1, where);
  }
  void Reset(Where where = Where::Here()) {
    SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_PIPE_RESET, where);
    instruction.params[0] = pool_;
    softnpu::core::Execute(instruction);
  }

 private:
  friend class TPipe;
  template <TPosition at, uint32_t size>
  friend class TBufPool;

  template <TPosition at, uint32_t size>
  bool Make(TBufPool<at, size>& pool, uint32_t length, int64_t shared, const Where& where) {
    Enter(where);
    pool.Init(length, shared, where);
    return true;
  }
  void Init(uint32_t length, int64_t shared, const Where& where) {
    SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_INIT_POOL, where);
    instruction.params[0] = static_cast<int64_t>(position);
    instruction.params[1] = length;
    instruction.params[2] = shared;
    pool_ = static_cast<int64_t>(softnpu::core::Execute(instruction));
  }
  void Enter(const Where& where) {
    SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_POOL_BUFFER, where);
    instruction.params[0] = pool_;
    softnpu::core::Execute(instruction);
  }

  int64_t pool_ = -1;  // -1: InitBufPool was not called
};

// A buffer of a queue without a type of elements.
class TBufHandle {
  template <TPosition source, TPosition destination, int32_t depth, auto mask>
  friend class TQueBind;
  SoftnpuTensor raw_{};
};

template <TPosition source, TPosition destination, int32_t depth, auto mask = 0>
class TQueBind {
 public:
  template <typename T>
  LocalTensor<T> AllocTensor(Where where = Where::Here()) {
    SoftnpuInstruction instruction = Begin(SOFTNPU_OP_ALLOC, where);
    softnpu::core::Execute(instruction);
    return LocalTensor<T>(instruction.operand[0]);
  }
  template <typename T>
  void AllocTensor(LocalTensor<T>& tensor, Where where = Where::Here()) {
    tensor = AllocTensor<T>(where);
  }
  template <typename T>
  bool EnQue(const LocalTensor<T>& tensor, Where where = Where::Here()) {
    SoftnpuInstruction instruction = Begin(SOFTNPU_OP_ENQUEUE, where);
    instruction.operand_count = 1;
    instruction.operand[0] = tensor.raw_;
    softnpu::core::Execute(instruction);
    return true;
  }
  template <typename T>
  LocalTensor<T> DeQue(Where where = Where::Here()) {
    SoftnpuInstruction instruction = Begin(SOFTNPU_OP_DEQUEUE, where);
    softnpu::core::Execute(instruction);
    return LocalTensor<T>(instruction.operand[0]);
  }
  template <typename T>
  void DeQue(LocalTensor<T>& tensor, Where where = Where::Here()) {
    tensor = DeQue<T>(where);
  }
  // Between these positions, as a queue that goes from one to the other: a tensor of a TQueBind may
  // go through it twice, once to the vector unit and once to GM.
  template <TPosition srcUserPos, TPosition dstUserPos, typename T>
  bool EnQue(const LocalTensor<T>& tensor, Where where = Where::Here()) {
    SoftnpuInstruction instruction = Begin(SOFTNPU_OP_ENQUEUE, where);
    instruction.operand_count = 1;
    instruction.operand[0] = tensor.raw_;
    instruction.params[1] = static_cast<int64_t>(srcUserPos) + 1;
    instruction.params[2] = static_cast<int64_t>(dstUserPos) + 1;
    softnpu::core::Execute(instruction);
    return true;
  }
  template <TPosition srcUserPos, TPosition dstUserPos, typename T>
  LocalTensor<T> DeQue(Where where = Where::Here()) {
    SoftnpuInstruction instruction = Begin(SOFTNPU_OP_DEQUEUE, where);
    instruction.params[1] = static_cast<int64_t>(srcUserPos) + 1;
    instruction.params[2] = static_cast<int64_t>(dstUserPos) + 1;
    softnpu::core::Execute(instruction);
    return LocalTensor<T>(instruction.operand[0]);
  }
  template <typename T>
  void FreeTensor(LocalTensor<T>& tensor, Where where = Where::Here()) {
    SoftnpuInstruction instruction = Begin(SOFTNPU_OP_FREE, where);
    instruction.operand_count = 1;
    instruction.operand[0] = tensor.raw_;
    softnpu::core::Execute(instruction);
  }
  // As AllocTensor, EnQue, DeQue and FreeTensor, where the buffer alone matters.
  TBufHandle AllocBuffer(Where where = Where::Here()) {
    TBufHandle handle;
    handle.raw_ = AllocTensor<uint8_t>(where).raw_;
    return handle;
  }
  bool EnQue(const TBufHandle& handle, Where where = Where::Here()) {
    return EnQue(LocalTensor<uint8_t>(handle.raw_), where);
  }
  TBufHandle DeQue(Where where = Where::Here()) {
    TBufHandle handle;
    handle.raw_ = DeQue<uint8_t>(where).raw_;
    return handle;
  }
  void FreeBuffer(const TBufHandle& handle, Where where = Where::Here()) {
    LocalTensor<uint8_t> tensor(handle.raw_);
    FreeTensor(tensor, where);
  }
  int32_t GetTensorCountInQue(Where where = Where::Here()) {
    SoftnpuInstruction instruction = Begin(SOFTNPU_OP_QUEUE_SIZE, where);
    return static_cast<int32_t>(softnpu::core::Execute(instruction));
  }
  bool HasTensorInQue(Where where = Where::Here()) { return GetTensorCountInQue(where) > 0; }
  bool VacantInQue(Where where = Where::Here()) { return GetTensorCountInQue(where) < depth; }
  bool HasIdleBuffer(Where where = Where::Here()) {
    SoftnpuInstruction instruction = Begin(SOFTNPU_OP_QUEUE_IDLE, where);
    return softnpu::core::Execute(instruction) > 0;
  }

 private:
  friend class TPipe;

  SoftnpuInstruction Begin(SoftnpuOpcode opcode, const Where& where) const {
    SoftnpuInstruction instruction = softnpu::core::Begin(opcode, where);
    instruction.params[0] = queue_;
    return instruction;
  }

  static constexpr TPosition kSource = source;
  static constexpr TPosition kDestination = destination;
  static constexpr int32_t kDepth = depth;

  int64_t queue_ = 0;  // 0: InitBuffer was not called
};

namespace softnpu_internal {
constexpr TPosition QueueSource(TPosition position) {
  return position == TPosition::VECIN ? TPosition::GM : position;
}
constexpr TPosition QueueDestination(TPosition position) {
  return position == TPosition::VECOUT ? TPosition::GM : position;
}
}  // namespace softnpu_internal

template <TPosition position, int32_t depth, auto mask = 0>
class TQue : public TQueBind<softnpu_internal::QueueSource(position),
                             softnpu_internal::QueueDestination(position), depth, mask> {};

template <TPosition position = TPosition::LCM>
class TBuf {
 public:
  template <typename T>
  LocalTensor<T> Get() const {
    return LocalTensor<T>(whole_);
  }
  template <typename T>
  LocalTensor<T> Get(uint32_t size) const {
    return GetWithOffset<T>(size, 0);
  }
  template <typename T>
  LocalTensor<T> GetWithOffset(uint32_t size, uint32_t byte_offset) const {
    LocalTensor<T> tensor(whole_);
    tensor.raw_.address += byte_offset;
    const uint64_t end = tensor.raw_.address + softnpu::core::BytesOf<T>(size);
    // Beyond the buffer the buffer stays the limit: the access is the fault, not this call.
    if (end < tensor.raw_.end) tensor.raw_.end = end;
    return tensor;
  }

  // As a queue has them; a TBuf has one tensor, and nothing waits for it.
  template <typename T>
  LocalTensor<T> AllocTensor() const {
    return Get<T>();
  }
  template <typename T>
  void FreeTensor(LocalTensor<T>&) const {}

 private:
  friend class TPipe;
  SoftnpuTensor whole_{};
};

// A queue in L1 that copies from GM fill.
template <TPosition source, int32_t depth = 1, auto mask = 0>
class TSCM : public TQue<TPosition::TSCM, depth, mask> {
  static_assert(source == TPosition::GM, "TSCM from the UB is not supported by SoftNPU");
};

class TPipe {
 public:
  explicit TPipe(Where where = Where::Here()) {
    SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_PIPE_CREATE, where);
    instruction.params[0] = reinterpret_cast<int64_t>(this);
    softnpu::core::Execute(instruction);
  }
  ~TPipe() { Destroy(); }
  TPipe(const TPipe&) = delete;
  TPipe& operator=(const TPipe&) = delete;

  template <TPosition source, TPosition destination, int32_t depth, auto mask>
  bool InitBuffer(TQueBind<source, destination, depth, mask>& queue, uint8_t number,
                  uint32_t length, Where where = Where::Here()) {
    SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_INIT_QUEUE, where);
    instruction.params[0] = static_cast<int64_t>(source);
    instruction.params[1] = static_cast<int64_t>(destination);
    instruction.params[2] = depth;
    instruction.params[3] = number;
    instruction.params[4] = length;
    queue.queue_ = static_cast<int64_t>(softnpu::core::Execute(instruction));
    return true;
  }
  template <TPosition position>
  bool InitBuffer(TBuf<position>& buffer, uint32_t length, Where where = Where::Here()) {
    SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_INIT_BUFFER, where);
    instruction.params[0] = static_cast<int64_t>(position);
    instruction.params[1] = length;
    softnpu::core::Execute(instruction);
    buffer.whole_ = instruction.operand[0];
    return true;
  }

  template <TPosition position, uint32_t size>
  bool InitBufPool(TBufPool<position, size>& pool, uint32_t length, Where where = Where::Here()) {
    pool.Init(length, 0, where);
    return true;
  }
  template <TPosition position, uint32_t size, TPosition position2, uint32_t size2>
  bool InitBufPool(TBufPool<position, size>& pool, uint32_t length,
                   TBufPool<position2, size2>& shared, Where where = Where::Here()) {
    pool.Init(length, shared.pool_ + 1, where);
    return true;
  }
  // Frees all buffers; queues and TBufs have to be initialised again.
  void Reset(Where where = Where::Here()) {
    SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_PIPE_RESET, where);
    instruction.params[0] = -1;
    softnpu::core::Execute(instruction);
  }

  // Reserves an event id until ReleaseEventID.
  template <HardEvent event>
  TEventID AllocEventID(Where where = Where::Here()) {
    return Event(SOFTNPU_OP_EVENT_ALLOC, event, 0, where);
  }
  template <HardEvent event>
  void ReleaseEventID(TEventID id, Where where = Where::Here()) {
    Event(SOFTNPU_OP_EVENT_RELEASE, event, id, where);
  }
  // A free event id that stays free: good for a SetFlag with its WaitFlag right behind it.
  TEventID FetchEventID(HardEvent event, Where where = Where::Here()) {
    return Event(SOFTNPU_OP_EVENT_FETCH, event, 0, where);
  }
  template <HardEvent event>
  TEventID FetchEventID(Where where = Where::Here()) {
    return Event(SOFTNPU_OP_EVENT_FETCH, event, 0, where);
  }

  void Destroy() {
    if (Current() != this) return;
    SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_PIPE_DESTROY, Where::Here());
    softnpu::core::Execute(instruction);
  }

  // The core's living TPipe.
  static TPipe* Current() {
    SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_PIPE_CURRENT, Where::Here());
    return reinterpret_cast<TPipe*>(softnpu::core::Execute(instruction));
  }

 private:
  static TEventID Event(SoftnpuOpcode opcode, HardEvent event, TEventID id, const Where& where) {
    SoftnpuInstruction instruction = softnpu::core::Begin(opcode, where);
    instruction.params[0] = static_cast<int64_t>(event);
    instruction.params[1] = id;
    return static_cast<TEventID>(softnpu::core::Execute(instruction));
  }
};

inline TPipe* GetTPipePtr() { return TPipe::Current(); }

template <TPosition position, uint32_t bufIDSize>
template <TPosition source, TPosition destination, int32_t depth, auto mask>
bool TBufPool<position, bufIDSize>::InitBuffer(TQueBind<source, destination, depth, mask>& queue,
                                               uint8_t number, uint32_t length, Where where) {
  Enter(where);
  return GetTPipePtr()->InitBuffer(queue, number, length, where);
}
template <TPosition position, uint32_t bufIDSize>
template <TPosition at>
bool TBufPool<position, bufIDSize>::InitBuffer(TBuf<at>& buffer, uint32_t length, Where where) {
  Enter(where);
  return GetTPipePtr()->InitBuffer(buffer, length, where);
}

}  // namespace AscendC

using AscendC::GetSysWorkSpacePtr;
using AscendC::GetTPipePtr;
using AscendC::SetSysWorkspace;
using AscendC::SetSysWorkspaceForce;
