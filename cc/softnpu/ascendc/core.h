// cc/softnpu/ascendc/core.h: one simulated vector core, the state of a block while it runs.
//
// Run() is the one point where an instruction is executed. Its steps are the same for all: a
// function of the operation lists the accesses (which bytes are read and written by which pipe),
// Admit() checks them, the function computes, Commit() records what was written, and Observe()
// judges their order.
#pragma once

#include <array>
#include <atomic>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "cc/softnpu/ascendc/byte_set.h"
#include "cc/softnpu/ascendc/instruction.h"
#include "cc/softnpu/ascendc/race.h"
#include "cc/softnpu/ascendc/simulator.h"
#include "cc/softnpu/ascendc/timing.h"

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

class Cluster;

// How the blocks of a launch are laid on cores.
struct Layout {
  int cubes = 0;    // cube cores per block
  int vectors = 1;  // vector cores per block
};

// What all cores of a launch share.
struct LaunchState {
  const Profile* chip = nullptr;
  GlobalMemory* memory = nullptr;
  const SoftnpuKernelEntry* entry = nullptr;
  uint32_t blocks = 0;
  Layout layout;
  int64_t task_type = -1;       // KernelMetaType; -1: not known
  bool task_type_said = false;  // by the kernel itself
  LaunchOptions options;
  bool strict = true;
  bool races = true;
  bool auto_sync = false;
  bool synchronised = false;  // the kernel orders its cores
  Cluster* cluster = nullptr;
  const TimeTable* table = nullptr;   // null: time is not modelled
  std::atomic<bool> atomics = false;  // a copy has combined with what was in GM
  std::mutex mutex;                   // guards what follows
  Footprint footprint;                // read or written
  Footprint overwritten;              // written
  std::vector<ByteSet> written;       // per output
  SharedAccesses shared;
};

enum CoreKind : uint8_t { kVectorCore = 1, kCubeCore = 2, kBothCore = 3 };

// A core that has to run again because its kernel said how its blocks are laid out.
struct Relaid {};

class Core {
 public:
  // Makes the core ready for its part of a block of a launch.
  void Reset(LaunchState* launch, CoreKind kind, uint32_t block, uint32_t sub_block,
             uint32_t context);

  CoreKind kind() const { return kind_; }
  uint32_t block() const { return block_; }
  uint32_t context() const { return context_; }
  std::string Name() const;    // "AIV block 3"
  int64_t BlockIndex() const;  // as GetBlockIdx counts
  KernelError::Where Here() const;
  KernelError::Where At(const Place& place) const;  // of the scalar unit
  int32_t Code() const;  // what the chip gives for an exception of this core
  CoreClocks& clocks() { return clocks_; }
  Place place() const;
  CoreTimeline* timeline() { return launch_->table == nullptr ? nullptr : &timeline_; }
  // Another core, or its DMA, has written GM behind this core's data cache.
  void MarkStale(const Access& access, const Core& writer);
  // What each pipe did last and which flags are set, for a deadlock's report.
  std::string StateOfPipes() const;
  [[noreturn]] void Fail(const std::string& fault) const;
  [[noreturn]] void FailAtPlace(const Place& place, const std::string& fault) const;

  // False when the instruction faulted; then `fault` holds a KernelError.
  bool Run(SoftnpuInstruction& instruction) noexcept;
  // Checks what has to hold when a block has ended; throws KernelError.
  void Finish();

  // For a signal of the CPU. False when it was not the kernel's own code that was running; else
  // `fault` holds a KernelError at the instruction before.
  bool Interrupt(const char* sentence) noexcept;

  std::exception_ptr fault;
  jmp_buf exit;
  bool in_kernel = false;

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
    int event = -1;  // id that the piece holds of its queue's forward or backward event
    uint8_t space = SOFTNPU_SPACE_UB;
    Knowledge knowledge;         // what that event carries
    uint64_t token = 0;          // and when, in the model of time
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
    Knowledge knowledge;
    uint64_t token = 0;
  };
  struct Memory {
    std::vector<std::byte> bytes;
    ByteSet defined;    // bytes that hold a value
    uint64_t used = 0;  // taken by InitBuffer
  };
  // A part of a memory that TBufPool shares out.
  struct Pool {
    uint8_t space = SOFTNPU_SPACE_UB;
    uint64_t begin = 0;
    uint64_t bytes = 0;
    uint64_t used = 0;
  };
  // A line of GM in the scalar unit's data cache. Bit i stands for its byte i.
  struct Line {
    uint64_t dirty = 0;
    uint64_t stale = 0;  // GM was written since
    Place store;         // the last of this core's
    Place overwrite;     // of GM
    uint32_t epoch = 0;
  };

  void Dispatch(SoftnpuInstruction& instruction);

  // frame.cc
  void CreatePipe();
  void FreePieces();
  void InitQueue(SoftnpuInstruction& instruction);
  void InitBuffer(SoftnpuInstruction& instruction);
  void InitPool(SoftnpuInstruction& instruction);
  void ResetPool(SoftnpuInstruction& instruction);
  int AddPiece(uint64_t bytes, uint8_t position);
  uint8_t SpaceOf(uint8_t position) const;
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

  // system.cc
  void TaskType(SoftnpuInstruction& instruction);
  void TilingCopy(SoftnpuInstruction& instruction);
  void Print(const SoftnpuInstruction& instruction) const;
  void Dump(SoftnpuInstruction& instruction);
  void Assert(const SoftnpuInstruction& instruction);
  void CacheClean(SoftnpuInstruction& instruction);
  void CleanLine(uint64_t address, Line& line, bool cleaned);
  void CacheStore(const Access& access);
  void CacheLoad(const Access& access);
  // A pipe other than the scalar unit touches GM.
  void CheckCache(const Access& access);

  // copy.cc
  void ScalarLoad(SoftnpuInstruction& instruction);
  void ScalarStore(SoftnpuInstruction& instruction);
  void DataCopy(SoftnpuInstruction& instruction);
  void DataCopyBlocks(SoftnpuInstruction& instruction);
  void DataCopyPad(SoftnpuInstruction& instruction);
  void SetCopyPipe(const SoftnpuInstruction& instruction);
  void CopyNothing(int64_t rows, int64_t length) const;
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
  std::byte* AdmitLate(const SoftnpuTensor& tensor, bool write, uint64_t base, uint64_t bytes,
                       uint64_t rows = 1, uint64_t stride = 0);

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

  // cost.cc
  void NoteTime(const SoftnpuInstruction& instruction);
  double VectorCycles(const SoftnpuInstruction& instruction);
  double BankConflicts(const SoftnpuInstruction& instruction, uint64_t repeats) const;
  double CubeCycles(const SoftnpuInstruction& instruction) const;

  // cube.cc
  void Cube(SoftnpuInstruction& instruction);
  void LoadData2D(SoftnpuInstruction& instruction);
  void LoadTransposed(SoftnpuInstruction& instruction);
  uint64_t SourceFractal(const SoftnpuInstruction& instruction, uint64_t repeat) const;
  void LoadData3D(SoftnpuInstruction& instruction);
  void InitConst(SoftnpuInstruction& instruction);
  void Mmad(SoftnpuInstruction& instruction);
  void Fixpipe(SoftnpuInstruction& instruction);
  void CopyL0c(SoftnpuInstruction& instruction);
  void SetNz2Nd(const SoftnpuInstruction& instruction);
  void SetFixpipeScales(const SoftnpuInstruction& instruction);
  void Matmul(SoftnpuInstruction& instruction);
  void CheckFractal(const SoftnpuTensor& tensor, const char* operand, uint64_t unit) const;
  void RequireSpace(const SoftnpuTensor& tensor, const char* operand,
                    std::initializer_list<uint8_t> spaces) const;

  // core.cc
  Access& Add(const SoftnpuTensor& tensor, bool write, uint64_t base, uint64_t bytes,
              uint64_t rows = 1, uint64_t stride = 0);
  void Admit();
  void Commit();
  void Observe();
  void Judge(const RaceRecord& access);
  RaceRecord RecordOf(const Access& access) const;
  void AdmitOnChip(Access& access);
  void AdmitGlobal(Access& access);
  void CheckInitialised(const Access& access) const;
  void CheckUbAlignment(const SoftnpuTensor& tensor, const char* operand) const;
  // The buffer's name and where it begins, for messages.
  std::string NameOf(const SoftnpuTensor& tensor, uint64_t address, uint64_t* origin) const;

  [[noreturn]] void FailAt(const std::string& fault, const SoftnpuTensor& tensor, uint64_t begin,
                           uint64_t end) const;
  [[noreturn]] void FailIn(const std::string& fault, const std::string& buffer, int64_t begin,
                           int64_t end) const;

  // SOFTNPU_WITHOUT_CHECKS: a build that has none, to measure what the switched-off ones cost.
#ifdef SOFTNPU_WITHOUT_CHECKS
  static constexpr bool strict() { return false; }
  static constexpr bool races() { return false; }
  static constexpr bool timed() { return false; }
#else
  bool strict() const { return launch_->strict; }
  bool races() const { return launch_->races; }
  bool timed() const { return launch_->table != nullptr; }
#endif

  LaunchState* launch_ = nullptr;
  CoreKind kind_ = kVectorCore;
  uint32_t block_ = 0;
  uint32_t sub_block_ = 0;
  uint32_t context_ = 0;
  std::array<Memory, SOFTNPU_SPACE_FB + 1> memories_;
  std::vector<std::byte>& ub_ = memories_[SOFTNPU_SPACE_UB].bytes;
  ByteSet& defined_ = memories_[SOFTNPU_SPACE_UB].defined;
  std::vector<GlobalRegion> regions_;  // those that the core has touched

  bool pipe_alive_ = false;
  uint64_t pipe_object_ = 0;
  uint64_t issued_ = 0;  // instructions since the block began
  std::vector<Pool> pools_;
  int64_t pool_ = -1;  // of the next InitBuffer
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
    int64_t nz2nd[3] = {};   // matrices (0: SetFixpipeNz2ndFlag was not called), steps
    bool pre_quant_set = false;
    uint64_t pre_quant = 0;             // bits of a float
    SoftnpuTensor fixpipe_scales = {};  // no space: SetFixPipeConfig was not called
  };
  Registers registers_;
  bool mask_of_register_ = false;  // the current instruction runs under the mask register

  const SoftnpuInstruction* current_ = nullptr;  // while it is carried out
  Place latest_{};                               // the last one
  int pipe_ = SOFTNPU_PIPE_S;
  std::vector<Access> accesses_;
  std::array<Place, kPipes> last_{};  // instruction of each pipe
  CoreClocks clocks_;
  CoreAccesses records_;
  CoreTimeline timeline_;
  struct VectorCost {
    double start = -1;  // not looked up yet
    double rate = 0;
  };
  std::unordered_map<uint32_t, VectorCost> vector_costs_;  // by opcode and bytes of an element
  SharedAccesses shared_;
  std::unordered_map<uint64_t, Line> cache_;  // by address
};

const char* OpcodeName(uint32_t opcode);
const char* AdvancedName(int64_t call);
const char* SpaceName(uint8_t space);
std::string FileOf(const char* file);
const char* PipeName(int pipe);
const char* EventName(int64_t event);
const char* PositionName(uint8_t position);

}  // namespace softnpu::ascendc
