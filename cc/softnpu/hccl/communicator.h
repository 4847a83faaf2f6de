// cc/softnpu/hccl/communicator.h: a rank of a group of devices.
//
// Calls take a number when they are made, which is their order on this rank. They run later, on
// their streams. A fault on one rank ends the communicator on all: each rank tells why in its seat,
// and whoever waits for it reads that. A later call gives the first fault again.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cc/softnpu/base/error.h"
#include "cc/softnpu/hccl/rendezvous.h"
#include "cc/softnpu/hccl/shared.h"
#include "cc/softnpu/runtime/internal.h"

namespace softnpu::hccl {

// What can be chosen for a communicator.
struct Settings {
  std::string name;  // empty: SoftNPU gives one
  // 0: no limit.
  std::chrono::seconds run_timeout{0};
  // What operators of a chip have between the ranks; SoftNPU has no such buffer.
  int64_t buffer_megabytes = 200;

  // HCCL_EXEC_TIMEOUT, 1836 s where it is not set, and HCCL_BUFFSIZE, 200 MB. Throws Error kPara.
  static Settings FromEnvironment();
};

// HCCL_CONNECT_TIMEOUT, 120 s where it is not set. Throws Error kPara.
std::chrono::seconds JoinTimeout();

// What a communicator is for, from its first call on.
enum class Use { kNothing, kCollectives, kExchanges };

class Communicator : public std::enable_shared_from_this<Communicator> {
 public:
  // Waits until all ranks have joined. Throws Error as Join does.
  Communicator(const RootInfo& info, uint32_t ranks, uint32_t rank, int32_t device,
               Settings settings, bool early, uint64_t roots);

  uint32_t ranks() const { return ranks_; }
  uint32_t rank() const { return rank_; }
  int32_t device() const { return device_; }
  const std::string& name() const { return settings_.name; }
  const RootInfo& info() const { return info_; }
  const Settings& settings() const { return settings_; }
  // Bytes per nanosecond of a link between two ranks, each way; 0 where nobody has published it.
  double link_rate() const { return link_rate_; }

  // The first fault; kSuccess when there is none.
  Result result() const { return result_.load(std::memory_order_acquire); }
  // Throws the first fault, if there is one.
  void RequireWorking() const;
  // Ends all that waits, here and on other ranks.
  void Destroy();
  // Tells all ranks why this one cannot go on. Keeps the first of several.
  void Fail(Result result, const std::string& sentence);

  // Throws Error kPara when the communicator was used for something else. `name` lives as long as
  // the process.
  void Claim(Use use, const char* name);
  // Held from taking a number until the call is on its stream: a stream has calls in their order.
  std::unique_lock<std::mutex> Order() { return std::unique_lock<std::mutex>(order_mutex_); }
  // The number of a new collective, of a message to a rank, and of one from a rank; from 1.
  uint64_t NextCollective();
  uint64_t NextSend(uint32_t to);
  uint64_t NextReceive(uint32_t from);

  // What a rank has called; valid between Enter and the return of Leave.
  const Call& CallOf(uint32_t rank) const { return control().seats[rank].call; }
  // The bytes at a place of a rank's device memory.
  std::byte* At(uint32_t rank, uint64_t place) const { return peers_[rank].bytes + place; }
  // Their marks in its map of written bytes; null where it keeps no account.
  uint8_t* Marks(uint32_t rank, uint64_t place) const {
    return peers_[rank].marks == nullptr ? nullptr : peers_[rank].marks + place;
  }
  // Whether an address is one of this rank's device.
  bool Holds(const void* address) const { return PlaceOf(address) < memory_.bytes; }
  // Where an address of this rank's device lies.
  uint64_t PlaceOf(const void* address) const {
    return reinterpret_cast<uint64_t>(address) - memory_.base;
  }

  // Begins the collective `call`, when those before it are done and all ranks have called it.
  // Throws Error of the chip's codes, after Fail: also when another rank has called something else.
  void Enter(const Call& call);
  // Ends it: waits until all ranks have done their part.
  void Leave(const Call& call);
  // Whether a rank has neither failed nor destroyed the communicator. What one that does not work
  // has posted is void: its buffers are its own again.
  bool Works(uint32_t rank) const { return control().seats[rank].state.load() == State::kJoined; }
  Mailbox& Mail(uint32_t from, uint32_t to) const { return control().mail[from][to]; }
  // Waits until `ready`. `from` gives the ranks that are still waited for, as bits: a fault of one
  // of them ends the wait. `waiting` says for what, for the sentence of a fault.
  void Wait(const std::function<bool()>& ready, const std::function<uint32_t()>& from,
            const std::function<std::string()>& waiting);
  void Ring() const;
  // Fails with `sentence`, and throws it with the chip's code for this.
  [[noreturn]] void Stop(Result result, const std::string& sentence);

 private:
  struct Peer {
    Member member;
    std::byte* bytes = nullptr;
    uint8_t* marks = nullptr;
    std::shared_ptr<Mapping> memory;  // null for this rank
    std::shared_ptr<Mapping> written;
    Descriptor process;
  };

  void MapOthers(Joined joined);
  uint32_t all() const { return static_cast<uint32_t>((uint64_t{1} << ranks_) - 1); }
  Control& control() const { return *reinterpret_cast<Control*>(control_->data()); }
  // Why one of the ranks `from` cannot come any more, if so.
  std::optional<Error> TroubleOf(uint32_t from, bool processes,
                                 const std::function<std::string()>& waiting) const;
  void TakeTurn(uint64_t sequence);

  const RootInfo info_;
  const uint32_t ranks_;
  const uint32_t rank_;
  const int32_t device_;
  Settings settings_;
  softnpu_memory memory_ = {};
  std::shared_ptr<Mapping> control_;
  std::vector<Peer> peers_;
  double link_rate_ = 0;
  std::atomic<bool> destroyed_{false};
  std::atomic<Result> result_{kSuccess};
  std::mutex order_mutex_;
  mutable std::mutex mutex_;
  std::condition_variable turn_changed_;
  std::string sentence_;
  Use use_ = Use::kNothing;
  const char* used_by_ = "";
  uint64_t collectives_ = 0;
  uint64_t finished_ = 0;  // collectives, in their order
  std::vector<uint64_t> sends_;
  std::vector<uint64_t> receives_;
};

// "HcclAllReduce #17 (4 float32, sum)".
std::string Describe(const Call& call, uint32_t ranks);

}  // namespace softnpu::hccl
