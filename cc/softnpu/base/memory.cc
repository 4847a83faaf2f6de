// cc/softnpu/base/memory.cc: memcpy as the C library of the machine has it.
//
// Each of our libraries is linked with the compiler's own functions. Their memcpy moves 16 bytes at
// a time on any processor; the C library's is made for the processor that runs, and can be had
// under a name that the compiler's functions do not have. Sanitizers bring their own.
#include <cstddef>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SOFTNPU_SANITIZED
#endif
#endif

#ifndef SOFTNPU_SANITIZED
extern "C" {

void* mempcpy(void* to, const void* from, size_t bytes);  // gives the end

void* memcpy(void* to, const void* from, size_t bytes) {
  mempcpy(to, from, bytes);
  return to;
}

}  // extern "C"
#endif
