// cc/softnpu/ascendc/include/ascendc/system.h: which core this is, tiling, and help for debugging.
#pragma once

#include "ascendc/tensor.h"

namespace softnpu::core {

// The tiling key of a program whose host code says it, and whether it has.
inline uint64_t g_tiling_key = 0;
inline bool g_tiling_key_set = false;
inline void SetTilingKey(uint64_t key) {
  g_tiling_key = key;
  g_tiling_key_set = true;
}

}  // namespace softnpu::core

namespace AscendC {

namespace softnpu_internal {

inline uint64_t Query(SoftnpuOpcode opcode, const Where& where) {
  SoftnpuInstruction instruction = softnpu::core::Begin(opcode, where);
  return softnpu::core::Execute(instruction);
}

inline uint64_t TilingKey(const Where& where) {
  return softnpu::core::g_tiling_key_set ? softnpu::core::g_tiling_key
                                         : Query(SOFTNPU_OP_TILING_KEY, where);
}

inline void Text(SoftnpuOpcode opcode, const Where& where, const char* text, int64_t bytes) {
  SoftnpuInstruction instruction = softnpu::core::Begin(opcode, where);
  instruction.params[0] = reinterpret_cast<int64_t>(text);
  instruction.params[1] = bytes;
  softnpu::core::Execute(instruction);
}

inline bool TaskType(int64_t type, int64_t key, const Where& where) {
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_TASK_TYPE, where);
  instruction.params[0] = type;
  instruction.params[1] = key;
  softnpu::core::Execute(instruction);
  return true;
}

template <typename T>
inline T Printable(const T& value) {
  return value;
}
inline double Printable(const half& value) { return static_cast<float>(value); }
inline double Printable(const bfloat16_t& value) { return static_cast<float>(value); }

// The struct at `address` in GM.
template <typename T>
inline T TilingOf(const void* address, const Where& where) {
  T value;
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_TILING_COPY, where);
  instruction.operand_count = 1;
  instruction.operand[0].space = SOFTNPU_SPACE_GM;
  instruction.operand[0].type = SOFTNPU_UINT8;
  instruction.operand[0].address = reinterpret_cast<uint64_t>(address);
  instruction.operand[0].end = UINT64_MAX;
  instruction.count = sizeof(T);
  instruction.params[0] = reinterpret_cast<int64_t>(&value);
  softnpu::core::Execute(instruction);
  return value;
}

}  // namespace softnpu_internal

// Of a vector core: block x cores of a block + its number in the block. Of a cube core: the block.
inline int64_t GetBlockIdx(Where where = Where::Here()) {
  return static_cast<int64_t>(softnpu_internal::Query(SOFTNPU_OP_BLOCK_INDEX, where));
}
inline int64_t GetBlockNum(Where where = Where::Here()) {
  return static_cast<int64_t>(softnpu_internal::Query(SOFTNPU_OP_BLOCK_COUNT, where));
}
inline int64_t GetSubBlockIdx(Where where = Where::Here()) {
  return static_cast<int64_t>(softnpu_internal::Query(SOFTNPU_OP_SUB_BLOCK_INDEX, where));
}
inline int64_t GetSubBlockNum(Where where = Where::Here()) {
  return static_cast<int64_t>(softnpu_internal::Query(SOFTNPU_OP_SUB_BLOCK_COUNT, where));
}
inline int64_t GetTaskRation(Where where = Where::Here()) {
  return static_cast<int64_t>(softnpu_internal::Query(SOFTNPU_OP_TASK_RATIO, where));
}
inline int64_t GetTaskRatio(Where where = Where::Here()) { return GetTaskRation(where); }
inline int64_t GetSystemCycle(Where where = Where::Here()) {
  return static_cast<int64_t>(softnpu_internal::Query(SOFTNPU_OP_SYSTEM_CYCLE, where));
}

// The workspace of the kernel's own: behind the part that the system keeps, 16 MiB, on 310P 2 MiB.
inline __gm__ uint8_t* GetUserWorkspace(__gm__ uint8_t* workspace, Where where = Where::Here()) {
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_USER_WORKSPACE, where);
  instruction.params[0] = reinterpret_cast<int64_t>(workspace);
  return reinterpret_cast<uint8_t*>(softnpu::core::Execute(instruction));
}
namespace softnpu_internal {
inline __gm__ uint8_t* SystemWorkspace(bool set, const __gm__ uint8_t* workspace,
                                       const Where& where) {
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_SYSTEM_WORKSPACE, where);
  instruction.params[0] = set;
  instruction.params[1] = reinterpret_cast<int64_t>(workspace);
  return reinterpret_cast<uint8_t*>(softnpu::core::Execute(instruction));
}
}  // namespace softnpu_internal
// Where high-level calls have their memory; nothing here reads it.
inline void SetSysWorkspace(__gm__ uint8_t* workspace, Where where = Where::Here()) {
  softnpu_internal::SystemWorkspace(true, workspace, where);
}
inline void SetSysWorkspaceForce(__gm__ uint8_t* workspace, Where where = Where::Here()) {
  softnpu_internal::SystemWorkspace(true, workspace, where);
}
inline void SetSysWorkSpace(__gm__ uint8_t* workspace, Where where = Where::Here()) {
  softnpu_internal::SystemWorkspace(true, workspace, where);
}
inline __gm__ uint8_t* GetSysWorkSpacePtr(Where where = Where::Here()) {
  return softnpu_internal::SystemWorkspace(false, nullptr, where);
}

// Marks for tools of a chip, and states that a core here begins with.
inline void ICachePreLoad(int64_t) {}
inline int64_t GetICachePreloadStatus() { return 0; }
inline void InitSocState() {}
inline void MetricsProfStart() {}
inline void MetricsProfStop() {}
inline void MarkStamp(uint32_t) {}
inline void PrintTimeStamp(uint32_t) {}
template <typename T>
inline void DataCachePreload(const GlobalTensor<uint64_t>&, T) {}

namespace softnpu_internal {
// A format with the place of the call.
struct Format {
  const char* text;
  Where where;
  Format(const char* format, Where place = Where::Here()) : text(format), where(place) {}
};
}  // namespace softnpu_internal

namespace softnpu_internal {

template <typename... Args>
inline int Print(const Format& format, Args... args) {
  char text[1024];
  int bytes;
  if constexpr (sizeof...(Args) == 0) {
    bytes = __builtin_snprintf(text, sizeof(text), "%s", format.text);
  } else {
    bytes = __builtin_snprintf(text, sizeof(text), format.text, Printable(args)...);
  }
  if (bytes >= static_cast<int>(sizeof(text))) bytes = sizeof(text) - 1;
  if (softnpu::core::g_api != nullptr && softnpu::core::g_api->in_kernel()) {
    Text(SOFTNPU_OP_PRINT, format.where, text, bytes);
    return bytes;
  }
  return __builtin_printf("%s", text);
}

}  // namespace softnpu_internal

// As in C, with half and bfloat16_t as floats; at most 1023 bytes a call. A template, so that it
// does not compete with C's function where a file has both: host code may stand beside kernels.
template <typename Text, typename... Args>
inline int printf(const Text& format, Args... args) {
  return softnpu_internal::Print({format, Where::At(nullptr, 0)}, args...);
}
template <typename... Args>
inline void PRINTF(softnpu_internal::Format format, Args... args) {
  softnpu_internal::Print(format, args...);
}

// Prints `count` elements with the place and the description.
namespace softnpu_internal {

inline void Dump(const SoftnpuTensor& tensor, uint32_t description, uint32_t count,
                 const Where& where) {
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_DUMP, where);
  instruction.operand_count = 1;
  instruction.operand[0] = tensor;
  instruction.count = count;
  instruction.params[0] = description;
  softnpu::core::Execute(instruction);
}

}  // namespace softnpu_internal

template <typename T>
inline void DumpTensor(const LocalTensor<T>& tensor, uint32_t description, uint32_t count,
                       Where where = Where::Here()) {
  softnpu_internal::Dump(tensor.raw_, description, count, where);
}
template <typename T>
inline void DumpTensor(const GlobalTensor<T>& tensor, uint32_t description, uint32_t count,
                       Where where = Where::Here()) {
  softnpu_internal::Dump(tensor.raw_, description, count, where);
}

// The same of a part, from element `countOff` on.
template <typename T>
inline void DumpAccChkPoint(const LocalTensor<T>& tensor, uint32_t index, uint32_t countOff,
                            uint32_t dumpSize, Where where = Where::Here()) {
  DumpTensor(tensor[countOff], index, dumpSize, where);
}
template <typename T>
inline void DumpAccChkPoint(const GlobalTensor<T>& tensor, uint32_t index, uint32_t countOff,
                            uint32_t dumpSize, Where where = Where::Here()) {
  DumpTensor(tensor[countOff], index, dumpSize, where);
}

// Where cores meet on a device; here it needs no memory.
inline void SetSyncBaseAddr(uint64_t) {}

inline void Trap(Where where = Where::Here()) { softnpu_internal::Query(SOFTNPU_OP_TRAP, where); }

namespace softnpu_internal {

constexpr int64_t LengthOf(const char* text) {
  int64_t length = 0;
  while (text[length] != 0) ++length;
  return length;
}

inline bool Assert(bool holds, const char* condition, const Where& where) {
  if (!holds) Text(SOFTNPU_OP_ASSERT, where, condition, LengthOf(condition));
  return holds;
}

// Stops the kernel: it came to what AscendC has and SoftNPU not.
inline void Unsupported(const char* name, const Where& where) {
  SoftnpuInstruction instruction = softnpu::core::Begin(SOFTNPU_OP_ASSERT, where);
  instruction.params[0] = reinterpret_cast<int64_t>(name);
  instruction.params[1] = LengthOf(name);
  instruction.params[2] = 1;
  softnpu::core::Execute(instruction);
}

inline int64_t CoreType() {
  return static_cast<int64_t>(Query(SOFTNPU_OP_CORE_TYPE, Where::At(nullptr, 0)) & 3);
}
// A cube core whose block has vector cores, too.
inline bool ServesVectorCores() {
  return Query(SOFTNPU_OP_CORE_TYPE, Where::At(nullptr, 0)) == (2 | 4);
}

}  // namespace softnpu_internal

}  // namespace AscendC

#define SOFTNPU_HERE (AscendC::Where::At(__FILE__, static_cast<uint32_t>(__LINE__)))

#ifdef SOFTNPU_CORE
#define ASCEND_IS_AIV (SOFTNPU_CORE == 1)
#define ASCEND_IS_AIC (SOFTNPU_CORE == 2)
#else
#define ASCEND_IS_AIV ((::AscendC::softnpu_internal::CoreType() & 1) != 0)
#define ASCEND_IS_AIC ((::AscendC::softnpu_internal::CoreType() & 2) != 0)
#endif

#define KERNEL_TASK_TYPE_DEFAULT(type) \
  ::AscendC::softnpu_internal::TaskType(::AscendC::type, -1, SOFTNPU_HERE)
#define KERNEL_TASK_TYPE(key, type) \
  ::AscendC::softnpu_internal::TaskType(::AscendC::type, key, SOFTNPU_HERE)

#define TILING_KEY_IS(key) \
  (::AscendC::softnpu_internal::TilingKey(SOFTNPU_HERE) == static_cast<uint64_t>(key))

#define REGISTER_TILING_DEFAULT(Struct) using SoftnpuTilingDefault = Struct
#define GET_TILING_DATA_WITH_STRUCT(Struct, name, address) \
  Struct name = ::AscendC::softnpu_internal::TilingOf<Struct>(address, SOFTNPU_HERE)
#define GET_TILING_DATA(name, address) \
  GET_TILING_DATA_WITH_STRUCT(SoftnpuTilingDefault, name, address)
#define GET_TILING_DATA_MEMBER(Struct, member, name, address) \
  auto name = ::AscendC::softnpu_internal::TilingOf<Struct>(address, SOFTNPU_HERE).member
#define COPY_TILING_WITH_STRUCT(Struct, address, name)        \
  GET_TILING_DATA_WITH_STRUCT(Struct, name##_value, address); \
  const Struct* const name = &name##_value
#define GET_TILING_DATA_PTR_WITH_STRUCT(Struct, name, address) \
  COPY_TILING_WITH_STRUCT(Struct, address, name)

#define COPY_TILING_WITH_ARRAY(type, count, address, name)                               \
  struct SoftnpuArray_##name {                                                           \
    type values[count];                                                                  \
  };                                                                                     \
  const auto name##_values =                                                             \
      ::AscendC::softnpu_internal::TilingOf<SoftnpuArray_##name>(address, SOFTNPU_HERE); \
  const type* const name = name##_values.values
// What the compiler of operators reads from the source.
#define REGISTER_TILING_FOR_TILINGKEY(expression, Struct) \
  static_assert(sizeof(Struct) > 0, "a tiling struct of " expression)
#define REGISTER_NONE_TILING static_assert(true, "no tiling")
#define TILING_KEY_LIST(...) static_assert(true, "tiling keys")

// Marks of a timeline on a chip.
#define TRACE_START(id) static_cast<void>(id)
#define TRACE_STOP(id) static_cast<void>(id)

#define ASSERT(condition, ...) \
  ::AscendC::softnpu_internal::Assert(static_cast<bool>(condition), #condition, SOFTNPU_HERE)

#define ascendc_assert(condition, ...) ASSERT(condition)
#define ASCENDC_ASSERT(condition, ...) ASSERT(condition)
#define ASSERT_MSG(condition, ...) ASSERT(condition)
#ifndef assert
#define assert(condition, ...) ASSERT(condition)
#endif

inline int64_t get_block_num() { return AscendC::GetBlockNum(); }
inline int64_t get_block_idx() {
  return AscendC::GetBlockIdx() / (ASCEND_IS_AIV ? AscendC::GetTaskRation() : 1);
}
inline int64_t get_subblockid() { return AscendC::GetSubBlockIdx(); }
inline int64_t get_subblockdim() { return AscendC::GetSubBlockNum(); }
inline void icache_preload(int64_t) {}
