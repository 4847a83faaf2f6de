// cc/softnpu/base/signals.h: what the handlers of faults share.
//
// SoftNPU catches SIGSEGV, SIGBUS and SIGFPE to name host accesses to device memory and faults of
// kernels. Other libraries of the process have handlers, too (Python's faulthandler, sanitizers),
// and anybody may send such a signal.
#pragma once

#include <signal.h>

namespace softnpu {

// Hands a signal that is not ours on to the action that was there before our handler. Our handler
// stays installed, unless the process has to die of the signal.
void PassOn(int number, siginfo_t* info, void* context, const struct sigaction& before);

// Gives the calling thread a stack for its signal handlers, if it has none: a handler must also run
// when the thread's own stack is exhausted. It is given back when the thread ends.
void UseSignalStack();

}  // namespace softnpu
