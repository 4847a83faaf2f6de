// cc/softnpu/ascendc/names.h: AscendC's names of what instruction records hold as numbers.
#pragma once

#include <cstdint>
#include <string>

#include "cc/softnpu/ascendc/instruction.h"

namespace softnpu::ascendc {

inline constexpr int kEventIds = 8;  // of each event
inline constexpr int kEvents = 35;   // AscendC's HardEvent

uint64_t TypeBytes(uint8_t type);
// Of `count` elements; two of int4b_t share a byte.
uint64_t BytesOf(uint8_t type, int64_t count);  // of int4b_t: 0
const char* TypeName(uint8_t type);
const char* OpcodeName(uint32_t opcode);
const char* AdvancedName(int64_t call);
const char* SpaceName(uint8_t space);
const char* PipeName(int pipe);
const char* EventName(int64_t event);
const char* PositionName(uint8_t position);
// A source file's path as messages show it; empty for null.
std::string FileOf(const char* file);

}  // namespace softnpu::ascendc
