// cc/softnpu/ascendc/core.cc: the execution of an instruction: admit its accesses, compute, commit.
#include "cc/softnpu/ascendc/core.h"

#include <cstring>

#include "cc/softnpu/ascendc/cluster.h"

namespace softnpu::ascendc {
namespace {

const char* const kPipeNames[] = {"S", "V", "M", "MTE1", "MTE2", "MTE3", "ALL", "FIX"};

const char* const kEventNames[kEvents] = {
    "MTE2_MTE1", "MTE1_MTE2", "MTE1_M", "M_MTE1",   "MTE2_V",    "V_MTE2",    "MTE3_V",
    "V_MTE3",    "M_V",       "V_M",    "V_V",      "MTE3_MTE1", "MTE1_MTE3", "MTE1_V",
    "MTE2_M",    "M_MTE2",    "V_MTE1", "M_FIX",    "FIX_M",     "MTE3_MTE2", "MTE2_MTE3",
    "S_V",       "V_S",       "S_MTE2", "MTE2_S",   "S_MTE3",    "MTE3_S",    "MTE2_FIX",
    "FIX_MTE2",  "FIX_S",     "M_S",    "FIX_MTE3", "MTE1_FIX",  "FIX_MTE1",  "FIX_FIX",
};

const char* const kPositions[] = {"GM",  "A1",   "A2",        "B1",          "B2",     "C1",
                                  "C2",  "CO1",  "CO2",       "VECIN",       "VECOUT", "VECCALC",
                                  "SPM", "TSCM", "C2PIPE2GM", "C2PIPE2LOCAL"};

}  // namespace

const char* OpcodeName(uint32_t opcode) {
  switch (opcode) {
#define SOFTNPU_OPCODE(name, text) \
  case SOFTNPU_OP_##name:          \
    return text;
    SOFTNPU_FRAME_OPCODES(SOFTNPU_OPCODE)
    SOFTNPU_SYNC_OPCODES(SOFTNPU_OPCODE)
    SOFTNPU_MOVE_OPCODES(SOFTNPU_OPCODE)
    SOFTNPU_VECTOR_OPCODES(SOFTNPU_OPCODE)
    SOFTNPU_CUBE_OPCODES(SOFTNPU_OPCODE)
#undef SOFTNPU_OPCODE
    default:
      return "unknown instruction";
  }
}
const char* AdvancedName(int64_t call) {
  switch (call) {
#define SOFTNPU_ADVANCED_CALL(name, text) \
  case SOFTNPU_ADV_##name:                \
    return text;
    SOFTNPU_ADVANCED_CALLS(SOFTNPU_ADVANCED_CALL)
#undef SOFTNPU_ADVANCED_CALL
    default:
      return "unknown high-level call";
  }
}
const char* PipeName(int pipe) { return pipe >= 0 && pipe < 8 ? kPipeNames[pipe] : "?"; }
const char* EventName(int64_t event) {
  return event >= 0 && event < kEvents ? kEventNames[event] : "?";
}
const char* PositionName(uint8_t position) {
  return position < std::size(kPositions) ? kPositions[position] : "?";
}

const char* SpaceName(uint8_t space) {
  static const char* const kSpaces[] = {
      "no memory", "GM", "UB", "L1", "L0A", "L0B", "L0C", "bias table", "fixpipe buffer"};
  return space < std::size(kSpaces) ? kSpaces[space] : "?";
}

uint64_t TypeBytes(uint8_t type) {
  switch (type) {
    case SOFTNPU_INT8:
    case SOFTNPU_UINT8:
    case SOFTNPU_BOOL:
      return 1;
    case SOFTNPU_FLOAT16:
    case SOFTNPU_BFLOAT16:
    case SOFTNPU_INT16:
    case SOFTNPU_UINT16:
      return 2;
    case SOFTNPU_FLOAT:
    case SOFTNPU_INT32:
    case SOFTNPU_UINT32:
      return 4;
    case SOFTNPU_INT64:
    case SOFTNPU_UINT64:
    case SOFTNPU_DOUBLE:
      return 8;
    default:
      return 0;
  }
}

const char* TypeName(uint8_t type) {
  switch (type) {
    case SOFTNPU_INT8:
      return "int8_t";
    case SOFTNPU_UINT8:
      return "uint8_t";
    case SOFTNPU_BOOL:
      return "bool";
    case SOFTNPU_FLOAT16:
      return "half";
    case SOFTNPU_BFLOAT16:
      return "bfloat16_t";
    case SOFTNPU_INT16:
      return "int16_t";
    case SOFTNPU_UINT16:
      return "uint16_t";
    case SOFTNPU_FLOAT:
      return "float";
    case SOFTNPU_INT32:
      return "int32_t";
    case SOFTNPU_UINT32:
      return "uint32_t";
    case SOFTNPU_INT64:
      return "int64_t";
    case SOFTNPU_UINT64:
      return "uint64_t";
    case SOFTNPU_DOUBLE:
      return "double";
    case SOFTNPU_INT4:
      return "int4b_t";
    default:
      return "a type that AscendC does not have";
  }
}

void Core::Reset(LaunchState* launch, CoreKind kind, uint32_t block, uint32_t sub_block,
                 uint32_t context) {
  launch_ = launch;
  kind_ = kind;
  block_ = block;
  sub_block_ = sub_block;
  context_ = context;
  fault = nullptr;
  current_ = nullptr;
  latest_ = {};
  const Profile& chip = *launch->chip;
  const auto size = [&](int space, int64_t bytes, bool present) {
    Memory& memory = memories_[static_cast<size_t>(space)];
    const auto wanted = present ? static_cast<uint64_t>(bytes) : 0;
    if (memory.bytes.size() != wanted) memory.bytes.resize(wanted);
    memory.defined.Reset(wanted);
    memory.used = 0;
  };
  const bool cube = (kind & kCubeCore) != 0;
  size(SOFTNPU_SPACE_UB, chip.ub_bytes, (kind & kVectorCore) != 0);
  size(SOFTNPU_SPACE_L1, chip.l1_bytes, cube);
  size(SOFTNPU_SPACE_L0A, chip.l0a_bytes, cube);
  size(SOFTNPU_SPACE_L0B, chip.l0b_bytes, cube);
  size(SOFTNPU_SPACE_L0C, chip.l0c_bytes, cube);
  size(SOFTNPU_SPACE_BT, chip.bias_bytes, cube);
  size(SOFTNPU_SPACE_FB, chip.fixpipe_bytes, cube);
  regions_.clear();
  clocks_.Reset(races());
  timeline_.Reset(context);
  vector_costs_.clear();
  records_.Reset();
  shared_.Reset(launch->synchronised);
  cache_.clear();
  last_.fill(Place{});
  std::memset(reserved_, 0, sizeof(reserved_));
  for (auto& event : flags_) {
    for (Flag& flag : event) flag = Flag{};
  }
  registers_ = Registers{};
  pieces_.clear();
  queues_.clear();
  pools_.clear();
  pool_ = -1;
  tbufs_ = 0;
  pipe_alive_ = false;
  pipe_object_ = 0;
  issued_ = 0;
}

std::string Core::Name() const {
  const char* const kind = kind_ == kCubeCore ? "AIC" : kind_ == kVectorCore ? "AIV" : "core";
  return Format("%s block %lld", kind, static_cast<long long>(BlockIndex()));
}

int64_t Core::BlockIndex() const {
  return kind_ == kCubeCore ? int64_t{block_}
                            : int64_t{block_} * std::max(launch_->layout.vectors, 1) + sub_block_;
}

bool Core::Run(SoftnpuInstruction& instruction) noexcept {
  current_ = &instruction;
  ++issued_;
  pipe_ = SOFTNPU_PIPE_S;
  accesses_.clear();
  try {
    Dispatch(instruction);
    if (timed()) NoteTime(instruction);
    if (races() && !accesses_.empty()) Observe();
    latest_ = place();
    current_ = nullptr;
    return true;
  } catch (...) {
    fault = std::current_exception();
    return false;
  }
}

bool Core::Interrupt(const char* sentence) noexcept {
  if (!in_kernel || current_ != nullptr) return false;
  try {
    if (latest_.file == nullptr) Fail(sentence);
    FailAtPlace(latest_, Format("%s, after this instruction", sentence));
  } catch (...) {
    fault = std::current_exception();
  }
  return true;
}

Place Core::place() const { return {current_->opcode, current_->line, current_->file}; }

RaceRecord Core::RecordOf(const Access& access) const {
  RaceRecord record;
  record.pattern = {access.base, access.bytes, access.rows, access.stride};
  record.place = place();
  record.epoch = clocks_.epoch(pipe_);
  record.pipe = static_cast<uint8_t>(pipe_);
  record.space = access.tensor->space;
  record.write = access.write;
  record.atomic = access.atomic;
  record.scalar = pipe_ == SOFTNPU_PIPE_S && record.space == SOFTNPU_SPACE_GM;
  return record;
}

void Core::Observe() {
  clocks_.Issue(pipe_);
  last_[static_cast<size_t>(pipe_)] = place();
  for (const Access& access : accesses_) Judge(RecordOf(access));
  const bool alone = launch_->blocks == 1 && launch_->layout.cubes + launch_->layout.vectors == 1;
  for (const Access& access : accesses_) {
    const RaceRecord record = RecordOf(access);
    records_.Add(record, clocks_);
    if (record.space != SOFTNPU_SPACE_GM) continue;
    if (record.scalar) {
      if (record.write) {
        CacheStore(access);  // reaches GM, and other cores, when its line is written back
        continue;
      }
      CacheLoad(access);
    } else {
      CheckCache(access);
    }
    if (!alone) shared_.Add(record, context_, clocks_.of(pipe_).others);
  }
}

void Core::Judge(const RaceRecord& access) {
  Race race;
  if (!records_.FindRace(access, clocks_.of(pipe_), launch_->auto_sync, &race)) return;
  const RaceRecord& other = race.first;
  const char* const kind = !other.write   ? "write after read"
                           : access.write ? "write after write"
                                          : "read after write";
  std::string cure;
  if (other.pipe == access.pipe) {
    cure = Format("PipeBarrier<PIPE_%s>() has to stand between", PipeName(pipe_));
  } else {
    cure = Format(
        "SetFlag and WaitFlag of HardEvent::%s_%s, a queue or a barrier have to stand between",
        PipeName(other.pipe), PipeName(pipe_));
  }
  SoftnpuTensor tensor{};
  for (const Access& mine : accesses_) {
    if (mine.base == access.pattern.base && mine.tensor->space == access.space) {
      tensor = *mine.tensor;
    }
  }
  uint64_t origin = 0;
  const std::string buffer = NameOf(tensor, race.begin, &origin);
  KernelError::Where where = Here();
  where.buffer = buffer;
  where.begin = static_cast<int64_t>(race.begin - origin);
  where.end = static_cast<int64_t>(race.end - origin);
  where.other_pipe = PipeName(other.pipe);
  where.other_instruction = OpcodeName(other.place.opcode);
  where.other_block = BlockIndex();
  where.other_file = FileOf(other.place.file);
  where.other_line = static_cast<int>(other.place.line);
  throw KernelError(
      Code(),
      Format("race (%s): %s of pipe %s is not ordered with %s of pipe %s at %s:%d; %s", kind,
             OpcodeName(access.place.opcode), PipeName(pipe_), where.other_instruction.c_str(),
             where.other_pipe.c_str(), where.other_file.c_str(), where.other_line, cure.c_str()),
      std::move(where));
}

void Core::Dispatch(SoftnpuInstruction& instruction) {
  if (!launch_->chip->bfloat16) {
    for (uint32_t i = 0; i < instruction.operand_count; ++i) {
      if (instruction.operand[i].type == SOFTNPU_BFLOAT16) {
        Fail(Format("%s has no bfloat16_t (NPU architecture %lld)", launch_->chip->soc_name.c_str(),
                    static_cast<long long>(launch_->chip->npu_arch)));
      }
    }
  }
  switch (instruction.opcode) {
    case SOFTNPU_OP_BLOCK_INDEX:
      instruction.result = static_cast<uint64_t>(BlockIndex());
      return;
    case SOFTNPU_OP_BLOCK_COUNT:
      instruction.result = launch_->blocks;
      return;
    case SOFTNPU_OP_SUB_BLOCK_INDEX:
      instruction.result = sub_block_;
      return;
    case SOFTNPU_OP_SUB_BLOCK_COUNT:
    case SOFTNPU_OP_TASK_RATIO:
      instruction.result =
          kind_ == kCubeCore ? 1 : static_cast<uint64_t>(std::max(launch_->layout.vectors, 1));
      return;
    case SOFTNPU_OP_CORE_TYPE:
      instruction.result =
          static_cast<uint64_t>(kind_) |
          (launch_->layout.cubes > 0 && launch_->layout.vectors > 0 ? uint64_t{4} : 0);
      return;
    case SOFTNPU_OP_TILING_KEY:
      instruction.result = launch_->options.tiling_key;
      return;
    case SOFTNPU_OP_SYSTEM_CYCLE:
      instruction.result = issued_;
      return;
    case SOFTNPU_OP_TASK_TYPE:
      return TaskType(instruction);
    case SOFTNPU_OP_TILING_COPY:
      return TilingCopy(instruction);
    case SOFTNPU_OP_PRINT:
      return Print(instruction);
    case SOFTNPU_OP_DUMP:
      return Dump(instruction);
    case SOFTNPU_OP_ASSERT:
    case SOFTNPU_OP_TRAP:
      return Assert(instruction);
    case SOFTNPU_OP_PIPE_CREATE:
      if (pipe_alive_) Fail("a second TPipe while one is alive: a core has one");
      pipe_object_ = static_cast<uint64_t>(instruction.params[0]);
      return CreatePipe();
    case SOFTNPU_OP_PIPE_DESTROY:
      clocks_.Barrier(SOFTNPU_PIPE_ALL);
      if (timeline()) timeline_.Barrier(SOFTNPU_PIPE_ALL, place());
      pipe_alive_ = false;
      pipe_object_ = 0;
      return;
    case SOFTNPU_OP_PIPE_CURRENT:
      instruction.result = pipe_object_;
      return;
    case SOFTNPU_OP_PIPE_RESET:
      return ResetPool(instruction);
    case SOFTNPU_OP_INIT_POOL:
      return InitPool(instruction);
    case SOFTNPU_OP_POOL_BUFFER:
      if (instruction.params[0] < 0) Fail("the TBufPool has no memory: InitBufPool comes first");
      pool_ = instruction.params[0];
      return;
    case SOFTNPU_OP_INIT_QUEUE:
      return InitQueue(instruction);
    case SOFTNPU_OP_INIT_BUFFER:
      return InitBuffer(instruction);
    case SOFTNPU_OP_ALLOC:
      return Alloc(instruction);
    case SOFTNPU_OP_ENQUEUE:
      return EnQue(instruction);
    case SOFTNPU_OP_DEQUEUE:
      return DeQue(instruction);
    case SOFTNPU_OP_FREE:
      return Free(instruction);
    case SOFTNPU_OP_QUEUE_SIZE:
      instruction.result = QueueOf(instruction).waiting.size();
      return;
    case SOFTNPU_OP_QUEUE_IDLE: {
      instruction.result = 0;
      for (const int piece : QueueOf(instruction).pieces) {
        instruction.result += pieces_[static_cast<size_t>(piece)].state == State::kFree;
      }
      return;
    }
    case SOFTNPU_OP_EVENT_ALLOC:
    case SOFTNPU_OP_EVENT_RELEASE:
    case SOFTNPU_OP_EVENT_FETCH:
      return Event(instruction);
    case SOFTNPU_OP_SET_FLAG:
      return SetFlag(instruction);
    case SOFTNPU_OP_WAIT_FLAG:
      return WaitFlag(instruction);
    case SOFTNPU_OP_PIPE_BARRIER:
      return Barrier(instruction);
    case SOFTNPU_OP_DATA_SYNC_BARRIER:
      return;
    case SOFTNPU_OP_CACHE_CLEAN:
      return CacheClean(instruction);
    case SOFTNPU_OP_CROSS_SET:
    case SOFTNPU_OP_CROSS_WAIT:
    case SOFTNPU_OP_SYNC_ALL:
    case SOFTNPU_OP_IB_SET:
    case SOFTNPU_OP_IB_WAIT:
    case SOFTNPU_OP_DETERMINE_INIT:
    case SOFTNPU_OP_WAIT_PRE_BLOCK:
    case SOFTNPU_OP_NOTIFY_NEXT_BLOCK:
      return launch_->cluster->Synchronise(*this, instruction);
    case SOFTNPU_OP_SCALAR_LOAD:
      return ScalarLoad(instruction);
    case SOFTNPU_OP_SCALAR_STORE:
      return ScalarStore(instruction);
    case SOFTNPU_OP_DATA_COPY:
      return DataCopy(instruction);
    case SOFTNPU_OP_DATA_COPY_BLOCKS:
      return DataCopyBlocks(instruction);
    case SOFTNPU_OP_DATA_COPY_PAD:
      return DataCopyPad(instruction);
    case SOFTNPU_OP_DATA_COPY_ND2NZ:
      return CopyNd2Nz(instruction);
    case SOFTNPU_OP_DATA_COPY_NZ2ND:
      return CopyNz2Nd(instruction);
    case SOFTNPU_OP_SET_ATOMIC_ADD:
    case SOFTNPU_OP_SET_ATOMIC_MAX:
    case SOFTNPU_OP_SET_ATOMIC_MIN:
    case SOFTNPU_OP_SET_ATOMIC_TYPE:
    case SOFTNPU_OP_SET_ATOMIC_NONE:
    case SOFTNPU_OP_DISABLE_DMA_ATOMIC:
      return SetAtomic(instruction);
    case SOFTNPU_OP_INIT_OUTPUT:
      return InitOutput(instruction);
    case SOFTNPU_OP_SET_PAD_VALUE:
      registers_.pad_value = instruction.scalar;
      registers_.pad_bytes = static_cast<uint64_t>(instruction.params[0]);
      return;
    default:
      if (instruction.opcode > SOFTNPU_OP_VECTOR && instruction.opcode < SOFTNPU_OP_CUBE) {
        return Vector(instruction);
      }
      if (instruction.opcode > SOFTNPU_OP_CUBE) return Cube(instruction);
      Fail(Format("operation %u is unknown to this SoftNPU", instruction.opcode));
  }
}

Access& Core::Add(const SoftnpuTensor& tensor, bool write, uint64_t base, uint64_t bytes,
                  uint64_t rows, uint64_t stride) {
  Access& access = accesses_.emplace_back();
  access.tensor = &tensor;
  access.write = write;
  access.base = base;
  access.bytes = bytes;
  access.rows = rows;
  access.stride = stride;
  if (rows > 1 && stride == bytes) {
    access.bytes = rows * bytes;
    access.rows = 1;
  }
  return access;
}

void Core::Admit() {
  for (Access& access : accesses_) {
    if (access.tensor->space == SOFTNPU_SPACE_GM) {
      AdmitGlobal(access);
    } else {
      AdmitOnChip(access);
    }
    if (!strict()) continue;
    if (access.tensor->buffer != 0) CheckSide(access);
    if (!access.write || access.atomic) CheckInitialised(access);
  }
}

void Core::AdmitOnChip(Access& access) {
  const SoftnpuTensor& tensor = *access.tensor;
  if (tensor.space == SOFTNPU_SPACE_NONE || tensor.space >= memories_.size()) {
    Fail("a tensor without memory: it came from no AllocTensor, DeQue, Get or SetGlobalBuffer");
  }
  Memory& memory = memories_[tensor.space];
  const uint64_t size = memory.bytes.size();
  if (size == 0) {
    Fail(Format("a tensor of the %s: %s", SpaceName(tensor.space),
                kind_ == kVectorCore
                    ? "a vector core (AIV) has none; KERNEL_TASK_TYPE_DEFAULT gives a kernel cube "
                      "cores and ASCEND_IS_AIC asks for them"
                    : "a cube core (AIC) has none"));
  }
  const uint64_t limit = std::min<uint64_t>(tensor.end, size);
  const uint64_t last = access.base + access.extent();
  if (access.base < tensor.begin || last > limit || last < access.base) [[unlikely]] {
    for (uint64_t row = 0; row < access.rows; ++row) {
      const uint64_t begin = access.base + row * access.stride;
      if (begin < tensor.begin || begin + access.bytes > limit) {
        FailAt(begin + access.bytes > size
                   ? Format("%s beyond the %s's %llu bytes", access.write ? "writes" : "reads",
                            SpaceName(tensor.space), static_cast<unsigned long long>(size))
                   : Format("%s outside the tensor's %llu bytes", access.write ? "writes" : "reads",
                            static_cast<unsigned long long>(tensor.end - tensor.begin)),
               tensor, begin, begin + access.bytes);
      }
    }
  }
  access.host = memory.bytes.data() + access.base;
}

void Core::AdmitGlobal(Access& access) {
  const SoftnpuTensor& tensor = *access.tensor;
  const uint64_t last = access.base + access.extent();
  const char* const verb = access.write ? "writes" : "reads";
  std::vector<GlobalRegion>& regions = regions_;
  for (size_t i = 0; i < regions.size() && access.region < 0; ++i) {
    if (access.base >= regions[i].base && access.base - regions[i].base < regions[i].bytes) {
      access.region = static_cast<int>(i);
    }
  }
  if (access.region < 0) {
    GlobalRegion region;
    std::string nearest;
    if (access.base < tensor.begin || access.base >= tensor.end) {
      FailIn(Format("%s outside the %llu bytes that SetGlobalBuffer gave the tensor", verb,
                    static_cast<unsigned long long>(tensor.end - tensor.begin)),
             Format("the GM tensor at 0x%llx", static_cast<unsigned long long>(tensor.begin)),
             static_cast<int64_t>(access.base - tensor.begin),
             static_cast<int64_t>(last - tensor.begin));
    }
    if (!launch_->memory->Find(access.base, &region, &nearest)) {
      FailIn(Format("%s GM at 0x%llx, where nothing is allocated%s%s", verb,
                    static_cast<unsigned long long>(access.base), nearest.empty() ? "" : ": ",
                    nearest.c_str()),
             Format("GM at 0x%llx", static_cast<unsigned long long>(access.base)), 0,
             static_cast<int64_t>(access.bytes));
    }
    access.region = static_cast<int>(regions.size());
    regions.push_back(std::move(region));
  }
  const GlobalRegion& region = regions[static_cast<size_t>(access.region)];
  const bool in_tensor = access.base >= tensor.begin && last <= tensor.end && last >= access.base;
  if (!in_tensor || last > region.base + region.bytes) [[unlikely]] {
    for (uint64_t row = 0; row < access.rows; ++row) {
      const uint64_t begin = access.base + row * access.stride;
      const uint64_t end = begin + access.bytes;
      const bool past_allocation = end > region.base + region.bytes;
      if (!past_allocation && begin >= tensor.begin && end <= tensor.end) continue;
      FailIn(past_allocation
                 ? Format("%s beyond the end of an allocation of %zu bytes", verb, region.bytes)
                 : Format("%s outside the %llu bytes that SetGlobalBuffer gave the tensor", verb,
                          static_cast<unsigned long long>(tensor.end - tensor.begin)),
             "GM " + region.name, static_cast<int64_t>(begin - region.base),
             static_cast<int64_t>(end - region.base));
    }
  }
  access.host = region.host + (access.base - region.base);
}

void Core::CheckInitialised(const Access& access) const {
  if (access.tensor->space == SOFTNPU_SPACE_GM) {
    const GlobalRegion& region = regions_[static_cast<size_t>(access.region)];
    if (region.initialised == nullptr) return;
    for (uint64_t row = 0; row < access.rows; ++row) {
      const uint64_t begin = access.base + row * access.stride;
      const uint8_t* const marks = region.initialised + (begin - region.base);
      const void* const missing = std::memchr(marks, 0, access.bytes);
      if (missing == nullptr) continue;
      const uint64_t at =
          begin + static_cast<uint64_t>(static_cast<const uint8_t*>(missing) - marks);
      FailAt(Format("reads bytes of GM that were never written, from byte %llu of the access on",
                    static_cast<unsigned long long>(at - begin)),
             *access.tensor, at, begin + access.bytes);
    }
    return;
  }
  for (uint64_t row = 0; row < access.rows; ++row) {
    const uint64_t begin = access.base + row * access.stride;
    const uint64_t end = begin + access.bytes;
    const ByteSet& defined = memories_[access.tensor->space].defined;
    const uint64_t missing = defined.FirstMissing(begin, end);
    if (missing == end) continue;
    FailAt(Format("reads bytes that hold no value: never written, or padding of a DataCopyPad; "
                  "the first is byte %llu of the %llu read",
                  static_cast<unsigned long long>(missing - begin),
                  static_cast<unsigned long long>(access.bytes)),
           *access.tensor, missing, defined.FirstPresent(missing, end));
  }
}

void Core::Commit() {
  for (const Access& access : accesses_) {
    if (!access.write) continue;
    if (access.tensor->space != SOFTNPU_SPACE_GM) {
      if (!strict()) continue;
      ByteSet& defined = memories_[access.tensor->space].defined;
      for (uint64_t row = 0; row < access.rows; ++row) {
        const uint64_t begin = access.base + row * access.stride;
        defined.Insert(begin, begin + access.bytes);
      }
      continue;
    }
    if (access.atomic) launch_->atomics = true;
    const GlobalRegion& region = regions_[static_cast<size_t>(access.region)];
    for (uint64_t row = 0; row < access.rows; ++row) {
      const uint64_t begin = access.base + row * access.stride;
      const uint64_t offset = begin - region.base;
      if (region.initialised != nullptr) {
        std::memset(region.initialised + offset, 1, access.bytes);
      }
      if (region.written != nullptr) std::memset(region.written + offset, 1, access.bytes);
      for (size_t i = 0; i < launch_->written.size(); ++i) {
        const Output& output = launch_->options.outputs[i];
        const uint64_t first = std::max<uint64_t>(begin, output.address);
        const uint64_t last =
            std::min<uint64_t>(begin + access.bytes, output.address + output.bytes);
        if (first < last) {
          const std::lock_guard<std::mutex> lock(launch_->mutex);
          launch_->written[i].Insert(first - output.address, last - output.address);
        }
      }
    }
  }
}

void Core::CheckUbAlignment(const SoftnpuTensor& tensor, const char* operand) const {
  // On 310P the vector unit takes any element's address; copies need blocks on all chips.
  const bool any_element = launch_->chip->npu_arch == 2002 && pipe_ == SOFTNPU_PIPE_V;
  const uint64_t alignment = any_element ? TypeBytes(tensor.type) : kBlockBytes;
  if (tensor.address % alignment != 0) {
    FailAt(Format("%s begins at byte %llu of the UB, which is not a multiple of %llu", operand,
                  static_cast<unsigned long long>(tensor.address),
                  static_cast<unsigned long long>(alignment)),
           tensor, tensor.address, tensor.address + TypeBytes(tensor.type));
  }
}

std::string Core::NameOf(const SoftnpuTensor& tensor, uint64_t address, uint64_t* origin) const {
  if (tensor.space == SOFTNPU_SPACE_GM) {
    for (const GlobalRegion& region : regions_) {
      if (address >= region.base && address - region.base <= region.bytes) {
        *origin = region.base;
        return "GM " + region.name;
      }
    }
    *origin = tensor.begin;
    return Format("GM tensor at 0x%llx", static_cast<unsigned long long>(tensor.begin));
  }
  const size_t piece = tensor.buffer & 0xFFFFu;
  if (piece == 0 || piece > pieces_.size()) {
    *origin = 0;
    return SpaceName(tensor.space);
  }
  const Piece& buffer = pieces_[piece - 1];
  *origin = buffer.begin;
  if (buffer.queue < 0) {
    return Format("TBuf<%s> #%d (%llu bytes)", PositionName(buffer.position), buffer.index,
                  static_cast<unsigned long long>(buffer.bytes));
  }
  return Format("%s buffer %d (%llu bytes)",
                QueueName(queues_[static_cast<size_t>(buffer.queue)]).c_str(), buffer.index,
                static_cast<unsigned long long>(buffer.bytes));
}

void Core::Fail(const std::string& fault) const { FailIn(fault, "", 0, 0); }

void Core::FailAt(const std::string& fault, const SoftnpuTensor& tensor, uint64_t begin,
                  uint64_t end) const {
  uint64_t origin = 0;
  const std::string buffer = NameOf(tensor, begin, &origin);
  FailIn(fault, buffer, static_cast<int64_t>(begin - origin), static_cast<int64_t>(end - origin));
}

int32_t Core::Code() const {
  return kind_ == kVectorCore ? kVectorCoreException : kAicoreException;
}

std::string FileOf(const char* file) {
  std::string out = file == nullptr ? "" : file;
  // A compiler that searches "." for included files says so.
  if (out.rfind("./", 0) == 0) out.erase(0, 2);
  return out;
}

KernelError::Where Core::Here() const {
  KernelError::Where where;
  where.kernel = launch_->entry->name;
  where.block = BlockIndex();
  const Profile& chip = *launch_->chip;
  where.core =
      where.block % std::max<int64_t>(kind_ == kCubeCore ? chip.cube_cores : chip.vector_cores, 1);
  where.core_type = kind_ == kVectorCore ? "AIV" : kind_ == kCubeCore ? "AIC" : "";
  if (current_ != nullptr) {
    where.pipe = PipeName(pipe_);
    where.instruction = current_->opcode == SOFTNPU_OP_ADVANCED ? AdvancedName(current_->params[0])
                                                                : OpcodeName(current_->opcode);
    where.file = FileOf(current_->file);
    where.line = static_cast<int>(current_->line);
  }
  return where;
}

KernelError::Where Core::At(const Place& place) const {
  KernelError::Where where = Here();
  where.pipe = PipeName(SOFTNPU_PIPE_S);
  where.instruction = OpcodeName(place.opcode);
  where.file = FileOf(place.file);
  where.line = static_cast<int>(place.line);
  return where;
}

void Core::FailAtPlace(const Place& place, const std::string& fault) const {
  throw KernelError(Code(), fault, At(place));
}

void Core::FailIn(const std::string& fault, const std::string& buffer, int64_t begin,
                  int64_t end) const {
  KernelError::Where where = Here();
  where.buffer = buffer;
  where.begin = begin;
  where.end = end;
  throw KernelError(Code(), fault, std::move(where));
}

}  // namespace softnpu::ascendc
