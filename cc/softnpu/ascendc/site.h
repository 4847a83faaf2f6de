// cc/softnpu/ascendc/site.h: where an execution is: launch, core, instruction and pipe.
//
// Every unit of a core has the core's site. Faults are thrown here, so that each of them names the
// kernel, the block, the pipe, the instruction, the source line and the bytes.
#pragma once

#include <cstdint>
#include <string>

#include "cc/softnpu/ascendc/instruction.h"
#include "cc/softnpu/ascendc/launch.h"
#include "cc/softnpu/ascendc/race.h"
#include "cc/softnpu/ascendc/simulator.h"

namespace softnpu::ascendc {

// Who knows the buffers of a core by name.
class BufferNames {
 public:
  virtual ~BufferNames() = default;
  // The name of the buffer that holds `address` of the tensor's space; *origin: where it begins.
  virtual std::string NameOf(const SoftnpuTensor& tensor, uint64_t address,
                             uint64_t* origin) const = 0;
};

class Site {
 public:
  // Without `names` a message names the space of a tensor only.
  explicit Site(const BufferNames* names = nullptr) : names_(names) {}

  void Reset(LaunchState* launch, CoreKind kind, uint32_t block, uint32_t sub_block,
             uint32_t context);

  LaunchState& launch() const { return *launch_; }
  const Profile& chip() const { return *launch_->chip; }
  CoreKind kind() const { return kind_; }
  uint32_t block() const { return block_; }
  uint32_t sub_block() const { return sub_block_; }
  uint32_t context() const { return context_; }  // number of the core in its launch
  std::string CoreName() const;                  // "AIV block 3"
  int64_t BlockIndex() const;                    // as GetBlockIdx counts

  // SOFTNPU_WITHOUT_CHECKS: a build that has none, to measure what the switched-off ones cost.
#ifdef SOFTNPU_WITHOUT_CHECKS
  static constexpr bool strict() { return false; }
  static constexpr bool races() { return false; }
  static constexpr bool init() { return false; }
  static constexpr bool queues() { return false; }
  static constexpr bool bounds() { return false; }
  static constexpr bool alignment() { return false; }
  static constexpr bool sizes() { return false; }
  static constexpr bool timed() { return false; }
#else
  bool strict() const { return launch_->strict; }
  bool races() const { return launch_->races; }
  bool init() const { return launch_->init; }
  bool queues() const { return launch_->queues; }
  bool bounds() const { return launch_->bounds; }
  bool alignment() const { return launch_->alignment; }
  bool sizes() const { return launch_->sizes; }
  bool timed() const { return launch_->table != nullptr; }
#endif

  // The instruction that is carried out. Begin gives it to the scalar unit; its function may
  // choose another pipe.
  void Begin(const SoftnpuInstruction& instruction) {
    instruction_ = &instruction;
    pipe_ = SOFTNPU_PIPE_S;
    ++issued_;
  }
  void End() { instruction_ = nullptr; }
  void SetPipe(int pipe) { pipe_ = pipe; }
  const SoftnpuInstruction* instruction() const { return instruction_; }  // null: none
  int pipe() const { return pipe_; }
  uint64_t issued() const { return issued_; }  // instructions since the block began
  // Of the instruction that is carried out; there has to be one.
  Place place() const { return {instruction_->opcode, instruction_->line, instruction_->file}; }

  std::string NameOf(const SoftnpuTensor& tensor, uint64_t address, uint64_t* origin) const;
  KernelError::Where Here() const;
  KernelError::Where At(const Place& place) const;  // of the scalar unit
  int32_t Code() const;  // what the chip gives for an exception of this core

  // Keeps a sentence about the instruction, once for each place in the kernel.
  void Warn(const std::string& sentence) const;
  void WarnAtPlace(const Place& at, const std::string& sentence) const;

  // Throw KernelError. FailAt: about [begin, end) of the tensor's space. FailIn: about bytes
  // [begin, end) of a buffer.
  [[noreturn]] void Fail(const std::string& fault) const;
  [[noreturn]] void FailAt(const std::string& fault, const SoftnpuTensor& tensor, uint64_t begin,
                           uint64_t end) const;
  [[noreturn]] void FailIn(const std::string& fault, const std::string& buffer, int64_t begin,
                           int64_t end) const;
  [[noreturn]] void FailAtPlace(const Place& place, const std::string& fault) const;

 private:
  const BufferNames* names_;
  LaunchState* launch_ = nullptr;
  CoreKind kind_ = kVectorCore;
  uint32_t block_ = 0;
  uint32_t sub_block_ = 0;
  uint32_t context_ = 0;
  const SoftnpuInstruction* instruction_ = nullptr;
  int pipe_ = SOFTNPU_PIPE_S;
  uint64_t issued_ = 0;
};

}  // namespace softnpu::ascendc
