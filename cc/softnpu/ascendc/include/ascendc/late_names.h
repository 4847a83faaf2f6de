// cc/softnpu/ascendc/include/ascendc/late_names.h: constants that only some versions of CANN have.
//
// A kernel for another version may have its own of the same name beside `using namespace AscendC`,
// and two of a name are ambiguous. So a build asks for one by its macro, where the compiler does
// not find the name (twin.py).
#pragma once

#include <stdint.h>

namespace AscendC {

#ifdef SOFTNPU_NAME_BRCB_BROADCAST_NUMBER
constexpr int32_t BRCB_BROADCAST_NUMBER = 8;
#endif
#ifdef SOFTNPU_NAME_CACHE_LINE_SIZE
constexpr uint64_t CACHE_LINE_SIZE = 64;
#endif
#ifdef SOFTNPU_NAME_ONE_BLK_FLOAT_NUM
constexpr uint32_t ONE_BLK_FLOAT_NUM = 8;
#endif
#ifdef SOFTNPU_NAME_ONE_BLK_HALF_NUM
constexpr uint32_t ONE_BLK_HALF_NUM = 16;
#endif
#ifdef SOFTNPU_NAME_ONE_BYTE_BIT_SIZE
constexpr uint32_t ONE_BYTE_BIT_SIZE = 8;
#endif
#ifdef SOFTNPU_NAME_ONE_REPEAT_FLOAT_SIZE
constexpr uint32_t ONE_REPEAT_FLOAT_SIZE = 64;
#endif
#ifdef SOFTNPU_NAME_ONE_REPEAT_HALF_SIZE
constexpr uint32_t ONE_REPEAT_HALF_SIZE = 128;
#endif
#ifdef SOFTNPU_NAME_PI
constexpr float PI = 3.14159265358979323846F;
#endif

}  // namespace AscendC

#ifdef SOFTNPU_NAME_PRELOAD
#define PRELOAD(kilobytes) static_cast<void>(kilobytes)
#endif
