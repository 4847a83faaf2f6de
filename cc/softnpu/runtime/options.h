// cc/softnpu/runtime/options.h: what the environment chooses, read once per process.
//
// attribute        variable                values            meaning
// strict           SOFTNPU_CHECKS          strict | off      hazard checks in kernels, poison
// async            SOFTNPU_STREAMS         async | eager     a worker per stream, or at once
// delay_us         SOFTNPU_DELAY_US        0 .. 100000       async: largest random delay of a task
// seed             SOFTNPU_SEED            whole number      seed of the delays
// host_visible     SOFTNPU_HOST_VISIBLE    0 | 1             device memory readable by the host
// state_dir        SOFTNPU_STATE_DIR       a directory       counters and events of each process
#pragma once

#include <cstdint>
#include <string>

namespace softnpu {

struct Options {
  bool strict = true;
  bool async = true;
  int64_t delay_us = 0;
  uint64_t seed = 0;
  bool host_visible = false;
  std::string state_dir;
};

// Throws Error for a value that is not in the table.
const Options& GetOptions();

}  // namespace softnpu
