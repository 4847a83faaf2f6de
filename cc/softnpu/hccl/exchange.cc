// cc/softnpu/hccl/exchange.cc: what orders the ranks of an exchange, and what they see.
#include "cc/softnpu/hccl/exchange.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "cc/softnpu/base/sharing.h"
#include "cc/softnpu/hccl/link_time.h"
#include "cc/softnpu/hccl/work.h"

namespace softnpu::hccl {
namespace {

static_assert(kMaxRanks == SOFTNPU_MAX_RANKS);

struct Exchange {
  std::shared_ptr<Communicator> communicator;
  Call call;
  uint32_t window_count;
  int32_t (*run)(void*, const softnpu_peer*, softnpu_traffic*);
  std::shared_ptr<void> context;

  void Run() const {
    communicator->Enter(call);
    std::array<softnpu_peer, kMaxRanks> peers = {};
    for (uint32_t rank = 0; rank < communicator->ranks(); ++rank) {
      const Call& theirs = communicator->CallOf(rank);
      softnpu_peer& peer = peers[rank];
      for (uint32_t i = 0; i < window_count; ++i) {
        if (theirs.windows[i] == kNoWindow) continue;
        peer.windows[i] =
            reinterpret_cast<const unsigned char*>(communicator->At(rank, theirs.windows[i]));
      }
      peer.numbers = theirs.numbers;
    }
    softnpu_traffic traffic = {};
    if (const int32_t code = run(context.get(), peers.data(), &traffic); code != 0) {
      const std::string why = softnpu_own_message();
      communicator->Fail(kInternal,
                         Format("rank %u's %s: %s", communicator->rank(),
                                Describe(call, communicator->ranks()).c_str(), why.c_str()));
      throw Error(code, why);
    }
    const uint64_t bytes = BusiestLink(traffic, communicator->ranks(), communicator->rank());
    softnpu_set_modelled_time(LinkTime(bytes, communicator->link_rate()));
    communicator->Leave(call);
  }
};

}  // namespace

void EnqueueExchange(const std::shared_ptr<Communicator>& communicator,
                     const softnpu_exchange& exchange, std::shared_ptr<void> context,
                     void* stream) {
  communicator->RequireWorking();
  communicator->Claim(Use::kExchanges, exchange.name);
  Call call;
  call.kind = Kind::kExchange;
  if (std::strlen(exchange.form) >= kFormBytes) {
    throw Error(kPara, Format("the form of an exchange has %zu bytes; the limit is %zu",
                              std::strlen(exchange.form), kFormBytes - 1));
  }
  CopyText(call.name, sizeof(call.name), exchange.name);
  CopyText(call.form, sizeof(call.form), exchange.form);
  std::copy(exchange.numbers, exchange.numbers + exchange.number_count, call.numbers);
  std::vector<Range> ranges;
  const auto add = [&](const softnpu_window& window, uint32_t mode) {
    ranges.push_back({window.name, window.address, window.bytes, mode});
    RequireRange(*communicator, ranges.back());
  };
  for (uint32_t i = 0; i < exchange.window_count; ++i) {
    const softnpu_window& window = exchange.windows[i];
    call.windows[i] = window.address == nullptr ? kNoWindow : communicator->PlaceOf(window.address);
    if (window.address != nullptr) add(window, SOFTNPU_READS);
  }
  for (uint32_t i = 0; i < exchange.output_count; ++i) add(exchange.outputs[i], SOFTNPU_WRITES);
  for (const Range& a : ranges) {
    for (const Range& b : ranges) {
      if (&a != &b && a.mode == SOFTNPU_WRITES) RequireApart(a, b);
    }
  }
  const std::unique_lock<std::mutex> order = communicator->Order();
  call.sequence = communicator->NextCollective();
  const std::string said =
      Format("rank %u's %s", communicator->rank(), Describe(call, communicator->ranks()).c_str());
  auto made = std::make_shared<Exchange>(
      Exchange{communicator, call, exchange.window_count, exchange.run, std::move(context)});
  // Where the tokens go is known on the device only, so the run gives the links' time.
  EnqueueWork(communicator, exchange.name, said, ranges, 0, [made] { made->Run(); }, stream);
}

}  // namespace softnpu::hccl
