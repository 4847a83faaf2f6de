// cc/softnpu/runtime/internal.h: what libascendcl.so offers to the other libraries of SoftNPU.
//
// Plain C, because each library carries a C++ runtime of its own: no exception, no C++ object
// crosses.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Elements of device memory that a task touches, by their place and strides.
#define SOFTNPU_READS 1u
#define SOFTNPU_WRITES 2u
// Only some of the elements: the task itself asks for those that it reads and marks those that it
// writes.
#define SOFTNPU_SOME 4u
typedef struct softnpu_access {
  const void* address; /* of the first element */
  int64_t element_bytes;
  uint32_t rank;
  uint32_t mode;    /* made of SOFTNPU_READS, SOFTNPU_WRITES and SOFTNPU_SOME */
  const char* name; /* of the argument, for messages; lives as long as the process */
  int64_t dims[8];
  int64_t strides[8]; /* elements */
} softnpu_access;

// Runs `run(context)` as a task of `stream` (null = the default stream of the current device), then
// `drop(context)` in any case. `run` returns 0 or a code for which it has called softnpu_report.
// `name` has to live as long as the process; the accesses are copied.
__attribute__((visibility("default"))) int32_t softnpu_enqueue(void* stream, const char* name,
                                                               int32_t (*run)(void*),
                                                               void (*drop)(void*), void* context,
                                                               const softnpu_access* accesses,
                                                               uint64_t access_count);
// The same for a collective of `device`, of which `stream` has to be one. `modelled_ns`: the time
// that its links would take; 0 where it is not modelled.
__attribute__((visibility("default"))) int32_t softnpu_enqueue_collective(
    int32_t device, void* stream, const char* name, int32_t (*run)(void*), void (*drop)(void*),
    void* context, const softnpu_access* accesses, uint64_t access_count, uint32_t modelled_ns);
// From a collective's `run`: the time that its links would take, where that is known only now.
__attribute__((visibility("default"))) void softnpu_set_modelled_time(uint32_t modelled_ns);
// Bytes per nanosecond, each way, of the link between any two devices of a server whose highest
// number is `highest`; 0 where the profile has no published figure, or a server fewer devices.
__attribute__((visibility("default"))) double softnpu_link_rate(int32_t highest);
#define SOFTNPU_MAX_WINDOWS 8
#define SOFTNPU_MAX_NUMBERS 32
#define SOFTNPU_MAX_RANKS 16
// Device memory of this rank.
typedef struct softnpu_window {
  const void* address; /* null where there is none */
  uint64_t bytes;
  const char* name; /* of the argument; lives as long as the process */
} softnpu_window;
// What a rank gives to an exchange, as another rank sees it.
typedef struct softnpu_peer {
  const unsigned char* windows[SOFTNPU_MAX_WINDOWS]; /* on the host; null where it gave none */
  const int64_t* numbers;
} softnpu_peer;
// Bytes that a chip would send to each rank and receive from it. Those of a rank itself are on no
// link.
typedef struct softnpu_traffic {
  uint64_t sent[SOFTNPU_MAX_RANKS];
  uint64_t received[SOFTNPU_MAX_RANKS];
} softnpu_traffic;
// A collective in which each rank reads what it needs from windows of all ranks. The windows' bytes
// that are read have to be written: the operator asks before.
typedef struct softnpu_exchange {
  const char* name; /* of the operator; lives as long as the process */
  const char* form; /* what has to be the same on all ranks, in words, up to 127 bytes */
  uint32_t window_count;
  uint32_t output_count;
  uint32_t number_count;
  softnpu_window windows[SOFTNPU_MAX_WINDOWS];
  softnpu_window outputs[SOFTNPU_MAX_WINDOWS]; /* what `run` writes some of */
  int64_t numbers[SOFTNPU_MAX_NUMBERS];        /* for the other ranks */
  /* Runs when all ranks have come, with a peer for each; 0, or a code after softnpu_report. Adds
     to `traffic`, which has zeros. */
  int32_t (*run)(void* context, const softnpu_peer* peers, softnpu_traffic* traffic);
  void (*drop)(void* context); /* in any case, also when the exchange is not queued */
  void* context;
} softnpu_exchange;
// What libhccl.so offers to operators that contain a collective; it lives as long as the process.
// Groups are named as HcclGetCommName names them, and are those of the current device.
typedef struct softnpu_groups {
  // How many ranks a group has; 0 after softnpu_report where there is no such group.
  uint32_t (*ranks)(const char* group);
  // Queues the sum over all ranks, in place; `dtype` is ACL's. 0, or a code after softnpu_report.
  int32_t (*all_reduce)(const char* group, void* buffer, uint64_t count, int32_t dtype,
                        void* stream);
  // The number of the current device in a group; -1 after softnpu_report where there is no such
  // group.
  int32_t (*rank)(const char* group);
  // The size of a group's buffer, HCCL_BUFFSIZE or the communicator's own setting; 0 as above.
  // SoftNPU has no buffer; operators on a chip need a certain size.
  uint64_t (*buffer_bytes)(const char* group);
  // Queues an exchange. A group that has exchanges has nothing else: operators of this kind demand
  // it. 0, or a code after softnpu_report.
  int32_t (*exchange)(const char* group, const softnpu_exchange* exchange, void* stream);
  // Tells the other ranks of a group why an operator's collective is not queued here: they would
  // wait for it. Does nothing where there is no such group.
  void (*give_up)(const char* group, const char* why);
} softnpu_groups;
__attribute__((visibility("default"))) void softnpu_offer_groups(const softnpu_groups* groups);
// Null until a communicator was made.
__attribute__((visibility("default"))) const softnpu_groups* softnpu_offered_groups(void);
// The memory of a device, for other processes: `memory` and `written` (-1 when nobody keeps
// account) are files of `bytes` bytes, whose first byte stands for the device's address `base`.
// This process has them at `host` and `marks`.
typedef struct softnpu_memory {
  int32_t memory;
  int32_t written;
  uint64_t bytes;
  uint64_t base;
  unsigned char* host;
  uint8_t* marks;
} softnpu_memory;
__attribute__((visibility("default"))) int32_t softnpu_device_memory(int32_t device,
                                                                     softnpu_memory* out);
// The device of this thread, also one in error; -1 after softnpu_report when it has none.
__attribute__((visibility("default"))) int32_t softnpu_device(void);
// Why a device is in error; empty when it is not. Valid until this thread asks again.
__attribute__((visibility("default"))) const char* softnpu_fault(int32_t device);
// The number that a device has on this machine.
__attribute__((visibility("default"))) int32_t softnpu_physical_device(int32_t device);
// Another process has set the map of written bytes of [address, address + bytes).
__attribute__((visibility("default"))) void softnpu_forget_written(const void* address,
                                                                   uint64_t bytes);
// Host pointer for [address, address + bytes) of device memory; null after softnpu_report
// otherwise.
__attribute__((visibility("default"))) void* softnpu_translate(const void* address, uint64_t bytes);
// 0 when somebody has written all of these bytes, or when nobody keeps account; a code after
// softnpu_report otherwise.
__attribute__((visibility("default"))) int32_t softnpu_check_written(const softnpu_access* access);
// The same as an answer: 1 or 0, and nothing is reported.
__attribute__((visibility("default"))) int32_t softnpu_is_written(const softnpu_access* access);
// Notes that all of these bytes are written now (1), or that none of them is (0).
__attribute__((visibility("default"))) void softnpu_note_written(const softnpu_access* access,
                                                                 int32_t written);
// Where that is noted: a byte for each byte of device memory, 1 for a written one. Null when nobody
// keeps account.
__attribute__((visibility("default"))) uint8_t* softnpu_written(const void* address);
// Stores the sentence for aclGetRecentErrMsg and returns `code`.
__attribute__((visibility("default"))) int32_t softnpu_report(int32_t code, const char* message);
// The same for an operator that nobody computes: the current device is in error from here on.
__attribute__((visibility("default"))) int32_t softnpu_fail(int32_t code, const char* message);
// The sentence that was stored last for the device of this thread, by whichever thread.
__attribute__((visibility("default"))) const char* softnpu_message(void);
// The sentence that this thread stored last, without the prefix; empty if none. Valid until this
// thread asks again.
__attribute__((visibility("default"))) const char* softnpu_own_message(void);
// 1 when a task runs in the call that queues it, 0 when streams have threads of their own.
__attribute__((visibility("default"))) int32_t softnpu_is_eager(void);
// Adds one to a counter of kind "host" in the state files.
__attribute__((visibility("default"))) void softnpu_count(const char* name);
// 1 when the chip of this process has the data type bfloat16.
__attribute__((visibility("default"))) int32_t softnpu_has_bfloat16(void);
__attribute__((visibility("default"))) const char* softnpu_soc_name(void);

#ifdef __cplusplus
}  // extern "C"
#endif
