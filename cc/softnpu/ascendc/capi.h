// cc/softnpu/ascendc/capi.h: the simulator for other languages: load a twin, launch its kernels.
//
// No exception leaves a function. A failure is reported through the caller's `field` callback, one
// name and value after the other ("code", "fault", "file", "line", ...), and by the status.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef void (*SoftnpuField)(void* context, const char* name, const char* value);

// One array of GM. Kernels see it at `address`, in memory that softnpu_reserve has given; `data`:
// the caller's bytes, which are copied there and back; null: nothing is copied.
typedef struct SoftnpuArray {
  uint64_t address;
  void* data;
  uint64_t bytes;
  const char* name;
  uint32_t undefined;  // 1: its bytes hold no value yet
  uint32_t output;     // 1: the launch has to write all of it
} SoftnpuArray;

// Address space for the arrays of a launch: an array takes softnpu_room(bytes) of it. Addresses are
// the same in each process, as long as one launch runs at a time. 0 when there is no space.
uint64_t softnpu_reserve(uint64_t bytes);
void softnpu_release(uint64_t address, uint64_t bytes);
uint64_t softnpu_room(uint64_t bytes);

#define SOFTNPU_UNCHECKED_INIT 1u
#define SOFTNPU_UNCHECKED_QUEUES 2u
#define SOFTNPU_UNCHECKED_BOUNDS 4u
#define SOFTNPU_UNCHECKED_ALIGNMENT 8u

typedef struct SoftnpuLaunchRequest {
  const void* twin;  // of softnpu_twin_load
  const char* kernel;
  const void* profile;  // of softnpu_profile_load
  const uint64_t* slots;
  uint64_t slot_count;
  uint32_t blocks;
  uint32_t strict;
  uint32_t races;
  int32_t threads;
  uint64_t seed;
  uint64_t tiling_key;
  const SoftnpuArray* arrays;
  uint64_t array_count;
  uint32_t warm_l2;
  uint32_t slices;
  uint32_t time;       // 1: models the time; the profile has to have its numbers
  uint32_t unchecked;  // of the strict checks, those that are off: SOFTNPU_UNCHECKED_...
} SoftnpuLaunchRequest;

// A slice of the modelled time; microseconds after the start of the launch.
typedef struct SoftnpuSlice {
  double begin;
  double end;
  uint32_t context;
  uint32_t pipe;
  uint32_t line;
  const char* instruction;
  const char* file;
  const char* core;  // "AIV 3", "AIC 0"
  double conflict;   // of it, microseconds of bank conflicts
  uint32_t moved;    // bytes to or from GM
  uint32_t write;    // 1: to GM
} SoftnpuSlice;

typedef void (*SoftnpuSlices)(void* context, const SoftnpuSlice* slices, uint64_t count);

// Reads the profile in a file and reports its fields by their keys: those of the chip, a bool as 1
// or 0, and the numbers of its [time] section as "time.clock_mhz" and the like. Null after a
// failure. It stays in memory.
const void* softnpu_profile_load(const char* path, SoftnpuField field, void* context);
// The twin in a shared library, bound to this simulator; null after a failure. It stays loaded.
const void* softnpu_twin_load(const char* path, SoftnpuField field, void* context);
// Reports for each kernel "kernel" with the name and "slots" with the number of 8-byte words of its
// arguments.
void softnpu_twin_kernels(const void* twin, SoftnpuField field, void* context);
// 0 when the kernel ran; then the fields are "atomics", "auto_sync", a "warning" for each sentence,
// and the time report. `slices` may be null.
int32_t softnpu_launch(const SoftnpuLaunchRequest* request, SoftnpuField field,
                       SoftnpuSlices slices, void* context);

#ifdef __cplusplus
}  // extern "C"
#endif
