// cc/softnpu/ascendc/twin_both.h: a twin of two builds, one for vector cores and one for cube
// cores.
//
// The second is a twin, too, whose bytes lie in the first (cube_code.h).
#pragma once

#include <utility>

#include "cc/softnpu/ascendc/cube_code.h"

namespace softnpu::twin {

inline const SoftnpuTwin* g_cube = nullptr;

struct Either {
  void (*vector)(const uint64_t* slots);
  void (*cube)(const uint64_t* slots);
};
template <size_t count>
inline Either g_either[count];

template <size_t count, size_t i>
void InvokeEither(const uint64_t* slots) {
  if (g_cube != nullptr && g_cube->entry_count > 0) ForBothKinds(*g_cube->entries[0].flags);
  const bool cube = (AscendC::softnpu_internal::CoreType() & 2) != 0;
  (cube ? g_either<count>[i].cube : g_either<count>[i].vector)(slots);
}

inline const SoftnpuTwin* LoadTwin(const char* begin, const char* end) {
  void* const function = Load(begin, end, SOFTNPU_TWIN_SYMBOL);
  return function == nullptr ? nullptr : reinterpret_cast<SoftnpuTwinFunction>(function)();
}

// Entries of vector cores, by which each kernel then runs what is built for the core it is on.
template <size_t count, size_t... i>
void Join(SoftnpuKernelEntry (&entries)[count], const char* begin, const char* end,
          std::index_sequence<i...>) {
  g_cube = LoadTwin(begin, end);
  constexpr void (*kInvoke[])(const uint64_t*) = {&InvokeEither<count, i>...};
  for (size_t k = 0; k < count; ++k) {
    Either& either = g_either<count>[k];
    either = {entries[k].invoke, entries[k].invoke};
    for (uint32_t c = 0; g_cube != nullptr && c < g_cube->entry_count; ++c) {
      if (strcmp(g_cube->entries[c].name, entries[k].name) == 0) {
        either.cube = g_cube->entries[c].invoke;
        softnpu::core::g_flags |= *g_cube->entries[c].flags;
      }
    }
    entries[k].invoke = kInvoke[k];
  }
}

inline void BindBoth(const SoftnpuCoreApi* api) {
  Bind(api);
  if (g_cube != nullptr) g_cube->bind(api);
}

}  // namespace softnpu::twin
