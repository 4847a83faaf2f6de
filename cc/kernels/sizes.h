// cc/kernels/sizes.h: sizes that the host's plan and the kernel both compute.
//
// The plan chooses tiles that fit the UB, and the kernel lays its buffers out: both call the
// functions of the tiling headers, which are made of these, so that a sum stands once.
#pragma once

#include <stdint.h>

// In front of a function that runs on the host and on the device. The device compiler has to be
// told so; for the host compiler the function is an ordinary one.
#ifdef __CCE__
#define VLLM_CANN_HOST_AND_DEVICE __forceinline__[host, aicore]
#else
#define VLLM_CANN_HOST_AND_DEVICE inline
#endif

namespace sizes {

constexpr int64_t kLanes = 64;       // floats of a repeat
constexpr int64_t kBlockBytes = 32;  // of the UB: what instructions and copies address
constexpr int64_t kBlockFloats = 8;  // of such a block
constexpr int64_t kMaxRows = 4095;   // of one copy

VLLM_CANN_HOST_AND_DEVICE constexpr int64_t Min(int64_t a, int64_t b) { return a < b ? a : b; }
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t Max(int64_t a, int64_t b) { return a > b ? a : b; }
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t Ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t RoundUp(int64_t a, int64_t b) { return Ceil(a, b) * b; }

// Bytes of whole blocks for a bit per element, of a multiple of 8 elements.
VLLM_CANN_HOST_AND_DEVICE constexpr int64_t BitBytes(int64_t elements) {
  return RoundUp(elements / 8, kBlockBytes);
}

// A part of a buffer, in words of 4 bytes.
struct Part {
  int64_t begin;
  int64_t words;
};

// The next `words` words of a buffer, of which `used` words are taken.
VLLM_CANN_HOST_AND_DEVICE constexpr Part Take(int64_t& used, int64_t words) {
  const Part part = {used, words};
  used += words;
  return part;
}

// The same, and what is left of its last block of 32 bytes.
VLLM_CANN_HOST_AND_DEVICE constexpr Part TakeBlocks(int64_t& used, int64_t words) {
  return Take(used, RoundUp(words, kBlockFloats));
}

}  // namespace sizes
