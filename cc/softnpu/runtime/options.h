// cc/softnpu/runtime/options.h: what the environment chooses, read once per process.
//
// attribute        variable                values            meaning
// strict           SOFTNPU_CHECKS          strict | off      hazard checks in kernels, poison
// unchecked        SOFTNPU_UNCHECKED       names, by commas  strict: checks of kernels that are
//                                                            off: races, init, queues, bounds,
//                                                            alignment, sizes
// unwritten        SOFTNPU_UNWRITTEN       stop | ignore     strict: reads of device memory that
//                                                            nobody has written
// stream_races     SOFTNPU_STREAM_RACES    ignore | stop     strict: tasks that race with a
// collective
//                                                            on another stream
// async            SOFTNPU_STREAMS         async | eager     a worker per stream, or at once
// delay_us         SOFTNPU_DELAY_US        0 .. 100000       async: largest random delay of a task
// seed             SOFTNPU_SEED            whole number      seed of the delays
// host_visible     SOFTNPU_HOST_VISIBLE    0 | 1             device memory readable by the host
// state_dir        SOFTNPU_STATE_DIR       a directory       counters and tasks of each process
// trace_tasks      SOFTNPU_TRACE_TASKS     0 .. 2^26         tasks that a process's event file
// keeps,
//                                                            the latest ones; 0: it has no file
#pragma once

#include <cstdint>
#include <set>
#include <string>

namespace softnpu {

struct Options {
  bool strict = true;
  std::set<std::string> unchecked;
  bool unwritten = true;
  bool stream_races = false;
  bool async = true;
  int64_t delay_us = 0;
  uint64_t seed = 0;
  bool host_visible = false;
  std::string state_dir;
  uint64_t trace_tasks = 0;
};

// Throws Error for a value that is not in the table.
const Options& GetOptions();

}  // namespace softnpu
