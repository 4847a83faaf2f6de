// cc/softnpu/ascendc/core.cc: the execution of an instruction: admit its accesses, compute, commit.
#include "cc/softnpu/ascendc/core.h"

#include <cstring>

namespace softnpu::ascendc {
namespace {

const char* const kPipes[] = {"S", "V", "M", "MTE1", "MTE2", "MTE3", "ALL", "FIX"};

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
const char* PipeName(int pipe) { return pipe >= 0 && pipe < 8 ? kPipes[pipe] : "?"; }
const char* EventName(int64_t event) {
  return event >= 0 && event < kEvents ? kEventNames[event] : "?";
}
const char* PositionName(uint8_t position) {
  return position < std::size(kPositions) ? kPositions[position] : "?";
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

void Core::Reset(LaunchState* launch, int64_t block) {
  launch_ = launch;
  block_ = block;
  fault = nullptr;
  const uint64_t ub_bytes = static_cast<uint64_t>(launch->chip->ub_bytes);
  if (ub_.size() != ub_bytes) ub_.resize(ub_bytes);
  defined_.Reset(ub_bytes);
  pipe_alive_ = false;
  CreatePipe();
  pipe_alive_ = false;
  std::memset(reserved_, 0, sizeof(reserved_));
  for (auto& event : flags_) {
    for (Flag& flag : event) flag = Flag{};
  }
  registers_ = Registers{};
  current_ = nullptr;
}

bool Core::Run(SoftnpuInstruction& instruction) noexcept {
  current_ = &instruction;
  pipe_ = SOFTNPU_PIPE_S;
  accesses_.clear();
  try {
    Dispatch(instruction);
    return true;
  } catch (...) {
    fault = std::current_exception();
    return false;
  }
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
      instruction.result = static_cast<uint64_t>(block_);
      return;
    case SOFTNPU_OP_BLOCK_COUNT:
      instruction.result = launch_->blocks;
      return;
    case SOFTNPU_OP_PIPE_CREATE:
      if (pipe_alive_) Fail("a second TPipe while one is alive: a core has one");
      return CreatePipe();
    case SOFTNPU_OP_PIPE_DESTROY:
      pipe_alive_ = false;
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
  if (tensor.space != SOFTNPU_SPACE_UB) {
    Fail(tensor.space == SOFTNPU_SPACE_NONE
             ? "a tensor without memory: it came from no AllocTensor, DeQue, Get or SetGlobalBuffer"
             : "SoftNPU executes on tensors of the UB and of GM only");
  }
  const uint64_t limit = std::min<uint64_t>(tensor.end, ub_.size());
  const uint64_t last = access.base + access.extent();
  if (access.base < tensor.begin || last > limit || last < access.base) [[unlikely]] {
    for (uint64_t row = 0; row < access.rows; ++row) {
      const uint64_t begin = access.base + row * access.stride;
      if (begin < tensor.begin || begin + access.bytes > limit) {
        FailAt(begin + access.bytes > ub_.size()
                   ? Format("%s beyond the UB's %zu bytes", access.write ? "writes" : "reads",
                            ub_.size())
                   : Format("%s outside the tensor's %llu bytes", access.write ? "writes" : "reads",
                            static_cast<unsigned long long>(tensor.end - tensor.begin)),
               tensor, begin, begin + access.bytes);
      }
    }
  }
  access.host = ub_.data() + access.base;
}

void Core::AdmitGlobal(Access& access) {
  const SoftnpuTensor& tensor = *access.tensor;
  const uint64_t last = access.base + access.extent();
  const char* const verb = access.write ? "writes" : "reads";
  std::vector<GlobalRegion>& regions = launch_->regions;
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
    const GlobalRegion& region = launch_->regions[static_cast<size_t>(access.region)];
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
    const uint64_t missing = defined_.FirstMissing(begin, end);
    if (missing == end) continue;
    FailAt(Format("reads bytes that hold no value: never written, or padding of a DataCopyPad; "
                  "the first is byte %llu of the %llu read",
                  static_cast<unsigned long long>(missing - begin),
                  static_cast<unsigned long long>(access.bytes)),
           *access.tensor, missing, defined_.FirstPresent(missing, end));
  }
}

void Core::Commit() {
  for (const Access& access : accesses_) {
    if (!access.write) continue;
    if (access.tensor->space == SOFTNPU_SPACE_UB) {
      if (!strict()) continue;
      for (uint64_t row = 0; row < access.rows; ++row) {
        const uint64_t begin = access.base + row * access.stride;
        defined_.Insert(begin, begin + access.bytes);
      }
      continue;
    }
    const GlobalRegion& region = launch_->regions[static_cast<size_t>(access.region)];
    for (uint64_t row = 0; row < access.rows; ++row) {
      const uint64_t begin = access.base + row * access.stride;
      const uint64_t offset = begin - region.base;
      if (region.initialised != nullptr) {
        std::memset(region.initialised + offset, 1, access.bytes);
      }
      if (region.written != nullptr) std::memset(region.written + offset, 1, access.bytes);
      for (size_t i = 0; i < launch_->written.size(); ++i) {
        const Output& output = (*launch_->outputs)[i];
        const uint64_t first = std::max<uint64_t>(begin, output.address);
        const uint64_t last =
            std::min<uint64_t>(begin + access.bytes, output.address + output.bytes);
        if (first < last) {
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
    for (const GlobalRegion& region : launch_->regions) {
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
    return "UB";
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

void Core::FailIn(const std::string& fault, const std::string& buffer, int64_t begin,
                  int64_t end) const {
  KernelError::Where where;
  where.kernel = launch_->kernel;
  where.block = block_;
  where.core = block_ % std::max<int64_t>(launch_->chip->vector_cores, 1);
  where.buffer = buffer;
  where.begin = begin;
  where.end = end;
  if (current_ != nullptr) {
    where.pipe = PipeName(pipe_);
    where.instruction = current_->opcode == SOFTNPU_OP_ADVANCED ? AdvancedName(current_->params[0])
                                                                : OpcodeName(current_->opcode);
    where.file = current_->file == nullptr ? "" : current_->file;
    // A compiler that searches "." for included files says so.
    if (where.file.rfind("./", 0) == 0) where.file.erase(0, 2);
    where.line = static_cast<int>(current_->line);
  }
  throw KernelError(launch_->chip->npu_arch == 2002 ? kAicoreException : kVectorCoreException,
                    fault, std::move(where));
}

}  // namespace softnpu::ascendc
