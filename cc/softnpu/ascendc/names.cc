// cc/softnpu/ascendc/names.cc: tables of names.
#include "cc/softnpu/ascendc/names.h"

#include <iterator>

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

uint64_t BytesOf(uint8_t type, int64_t count) {
  const auto elements = static_cast<uint64_t>(count);
  return type == SOFTNPU_INT4 ? elements / 2 : elements * TypeBytes(type);
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

std::string FileOf(const char* file) {
  std::string out = file == nullptr ? "" : file;
  // A compiler that searches "." for included files says so.
  if (out.rfind("./", 0) == 0) out.erase(0, 2);
  return out;
}

}  // namespace softnpu::ascendc
