// cc/softnpu/ascendc/cube_code.h: the library with what cube cores run, of a twin or of a program
// that is built for each kind of core.
//
// Its bytes lie in the twin or program; it is loaded from memory, so names of both cannot meet.
#pragma once

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cc/softnpu/ascendc/host.h"

namespace softnpu::twin {

// A function of the library in these bytes; the library is loaded once.
inline void* Load(const char* begin, const char* end, const char* function) {
  static void* library = nullptr;
  if (library != nullptr) return dlsym(library, function);
  const int file = memfd_create("softnpu-cube-cores", MFD_CLOEXEC);
  for (const char* at = begin; file >= 0 && at < end;) {
    const ssize_t written = write(file, at, static_cast<size_t>(end - at));
    if (written <= 0) break;
    at += written;
  }
  char path[64];
  snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
  library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) fprintf(stderr, "softnpu: the code of cube cores: %s\n", dlerror());
  close(file);
  return library == nullptr ? nullptr : dlsym(library, function);
}

// For CubeCodeOfProgram: without its cube cores a program would compute something else.
inline const CubeCode* LoadCubeCode(const char* begin, const char* end) {
  void* const function = Load(begin, end, "softnpu_cube_code");
  if (function == nullptr) _exit(127);
  return static_cast<const CubeCode*>(reinterpret_cast<const void* (*)()>(function)());
}

// What cube cores run of a kernel that host code launches. Without it a program would compute
// something else.
inline const CubeKernel* FindCubeKernel(const CubeCode* code, const char* name) {
  const CubeKernel* found = nullptr;
  for (const CubeKernel* k = code->kernels; k != nullptr; k = k->next) {
    if (strcmp(k->name, name) != 0) continue;
    if (found != nullptr) {
      fprintf(stderr, "softnpu: two kernels are named %s: build the program with RTTI\n", name);
      _exit(127);
    }
    found = k;
  }
  if (found == nullptr) {
    fprintf(stderr, "softnpu: no code of %s for cube cores\n", name);
    _exit(127);
  }
  return found;
}

}  // namespace softnpu::twin
