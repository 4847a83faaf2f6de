// cc/softnpu/ascendc/include/register/tilingdata_base.h: the macros of host headers that define
// tiling structs, for kernels that include such a header themselves. The fields are plain members;
// set_ and get_ functions stand beside them, as hosts call them.
#pragma once

#include <stdint.h>

#define BEGIN_TILING_DATA_DEF(Name) struct Name {
#define TILING_DATA_FIELD_DEF(Type, name)       \
  Type name;                                    \
  void set_##name(Type value) { name = value; } \
  Type get_##name() const { return name; }
#define TILING_DATA_FIELD_DEF_ARR(Type, size, name)                       \
  Type name[size];                                                        \
  void set_##name(const Type* values) {                                   \
    for (int i = 0; i < static_cast<int>(size); ++i) name[i] = values[i]; \
  }                                                                       \
  Type* get_##name() { return name; }
#define TILING_DATA_FIELD_DEF_STRUCT(Struct, name) Struct name;
#define END_TILING_DATA_DEF }
#define REGISTER_TILING_DATA_CLASS(Operator, Name) static_assert(sizeof(Name) > 0, #Operator);
