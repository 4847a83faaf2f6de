// cc/softnpu/ascendc/site.cc: names of cores and the place that a fault reports.
#include "cc/softnpu/ascendc/site.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "cc/softnpu/ascendc/names.h"

namespace softnpu::ascendc {

void Site::Reset(LaunchState* launch, CoreKind kind, uint32_t block, uint32_t sub_block,
                 uint32_t context) {
  launch_ = launch;
  kind_ = kind;
  block_ = block;
  sub_block_ = sub_block;
  context_ = context;
  instruction_ = nullptr;
  pipe_ = SOFTNPU_PIPE_S;
  issued_ = 0;
}

std::string Site::CoreName() const {
  const char* const kind = kind_ == kCubeCore ? "AIC" : kind_ == kVectorCore ? "AIV" : "core";
  return Format("%s block %lld", kind, static_cast<long long>(BlockIndex()));
}

int64_t Site::BlockIndex() const {
  return kind_ == kCubeCore ? int64_t{block_}
                            : int64_t{block_} * std::max(launch_->layout.vectors, 1) + sub_block_;
}

std::string Site::NameOf(const SoftnpuTensor& tensor, uint64_t address, uint64_t* origin) const {
  if (names_ != nullptr) return names_->NameOf(tensor, address, origin);
  *origin = 0;
  return SpaceName(tensor.space);
}

KernelError::Where Site::Here() const {
  KernelError::Where where;
  where.kernel = launch_->entry->name;
  where.block = BlockIndex();
  const int64_t cores = kind_ == kCubeCore ? chip().cube_cores : chip().vector_cores;
  where.core = where.block % std::max<int64_t>(cores, 1);
  where.core_type = kind_ == kVectorCore ? "AIV" : kind_ == kCubeCore ? "AIC" : "";
  if (instruction_ != nullptr) {
    where.pipe = PipeName(pipe_);
    where.instruction = instruction_->opcode == SOFTNPU_OP_ADVANCED
                            ? AdvancedName(instruction_->params[0])
                            : OpcodeName(instruction_->opcode);
    where.file = FileOf(instruction_->file);
    where.line = static_cast<int>(instruction_->line);
  }
  return where;
}

KernelError::Where Site::At(const Place& place) const {
  KernelError::Where where = Here();
  where.pipe = PipeName(SOFTNPU_PIPE_S);
  where.instruction = OpcodeName(place.opcode);
  where.file = FileOf(place.file);
  where.line = static_cast<int>(place.line);
  return where;
}

int32_t Site::Code() const {
  return kind_ == kVectorCore ? kVectorCoreException : kAicoreException;
}

void Site::Warn(const std::string& sentence) const { WarnAtPlace(place(), sentence); }

void Site::WarnAtPlace(const Place& at, const std::string& sentence) const {
  if (launch_ == nullptr || launch_->options.warnings == nullptr) return;
  LaunchState& launch = *launch_;
  const std::lock_guard<std::mutex> lock(launch.mutex);
  if (!launch.warned.emplace(at.file, at.line).second) return;
  launch.options.warnings->push_back(Format("%s:%u: %s: %s", FileOf(at.file).c_str(), at.line,
                                            OpcodeName(at.opcode), sentence.c_str()));
}

void Site::Fail(const std::string& fault) const { FailIn(fault, "", 0, 0); }

void Site::FailAt(const std::string& fault, const SoftnpuTensor& tensor, uint64_t begin,
                  uint64_t end) const {
  uint64_t origin = 0;
  const std::string buffer = NameOf(tensor, begin, &origin);
  FailIn(fault, buffer, static_cast<int64_t>(begin - origin), static_cast<int64_t>(end - origin));
}

void Site::FailIn(const std::string& fault, const std::string& buffer, int64_t begin,
                  int64_t end) const {
  KernelError::Where where = Here();
  where.buffer = buffer;
  where.begin = begin;
  where.end = end;
  throw KernelError(Code(), fault, std::move(where));
}

void Site::FailAtPlace(const Place& place, const std::string& fault) const {
  throw KernelError(Code(), fault, At(place));
}

}  // namespace softnpu::ascendc
