// cc/softnpu/ascendc/twin_both.h: a twin of two builds, one for vector cores and one for cube
// cores.
//
// The second is a twin, too, whose bytes lie in the first; it is loaded from memory, so names of
// both cannot meet.
#pragma once

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <utility>

#include "cc/softnpu/ascendc/twin.h"

namespace softnpu::twin {

struct Either {
  void (*vector)(const uint64_t* slots);
  void (*cube)(const uint64_t* slots);
};
template <size_t count>
inline Either g_either[count];

template <size_t count, size_t i>
void InvokeEither(const uint64_t* slots) {
  const bool cube = (AscendC::softnpu_internal::CoreType() & 2) != 0;
  (cube ? g_either<count>[i].cube : g_either<count>[i].vector)(slots);
}

inline const SoftnpuTwin* g_cube = nullptr;

inline const SoftnpuTwin* Load(const char* begin, const char* end) {
  const int file = memfd_create("softnpu-cube-cores", MFD_CLOEXEC);
  for (const char* at = begin; file >= 0 && at < end;) {
    const ssize_t written = write(file, at, static_cast<size_t>(end - at));
    if (written <= 0) break;
    at += written;
  }
  char path[64];
  snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
  void* const library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) fprintf(stderr, "softnpu: the code of cube cores: %s\n", dlerror());
  close(file);
  if (library == nullptr) return nullptr;
  return reinterpret_cast<SoftnpuTwinFunction>(dlsym(library, SOFTNPU_TWIN_SYMBOL))();
}

// Entries of vector cores, by which each kernel then runs what is built for the core it is on.
template <size_t count, size_t... i>
void Join(SoftnpuKernelEntry (&entries)[count], const char* begin, const char* end,
          std::index_sequence<i...>) {
  g_cube = Load(begin, end);
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
