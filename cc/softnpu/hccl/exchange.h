// cc/softnpu/hccl/exchange.h: collectives of operators, which read the memory of all ranks
// themselves.
#pragma once

#include <memory>

#include "cc/softnpu/hccl/communicator.h"
#include "cc/softnpu/runtime/internal.h"

namespace softnpu::hccl {

// Puts an exchange on a stream. `context` is that of `exchange`, and lives until the exchange has
// ended. Throws Error with HCCL's code: a window or an output that is no memory of this rank, a
// form that is too long, a communicator that has had other collectives.
void EnqueueExchange(const std::shared_ptr<Communicator>& communicator,
                     const softnpu_exchange& exchange, std::shared_ptr<void> context, void* stream);

}  // namespace softnpu::hccl
