// cc/softnpu/hccl/rendezvous.h: how the ranks of a communicator find each other.
//
// One process listens on a Unix socket (meeting_place.h). Each rank connects and shows the token,
// which only those know who were given the root info; both sides let in only processes of their own
// user. When all ranks are there, each is given
// what it needs of the others: the files of their device memory, and a descriptor of their process
// that tells when it has ended.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cc/softnpu/base/error.h"
#include "cc/softnpu/base/sharing.h"
#include "cc/softnpu/hccl/meeting_place.h"
#include "cc/softnpu/hccl/shared.h"

namespace softnpu::hccl {

inline constexpr size_t kTokenBytes = 32;

// Where and with what to join. It lies in HcclRootInfo as it is.
struct RootInfo {
  char magic[8];
  char name[64];
  uint8_t token[kTokenBytes];
  char directory[64];  // that of the process that made it: those who join may have another setting

  // A new name and token. Throws Error: kSyscall, kPara as MeetingDirectory does.
  static RootInfo Make();
  // That of all who know a text, and have the same directory.
  static RootInfo Of(const std::string& text);
  // The same token at another name: for a part of the ranks.
  RootInfo Part(uint64_t id) const;
  // Throws Error kPara for bytes that HcclGetRootInfo has not made.
  void Check() const;
  Place Meeting() const { return {directory, name}; }
};

// A rank as the others see it.
struct Member {
  int32_t pid = 0;
  int32_t device = 0;  // its number on the machine
  uint64_t bytes = 0;  // of its device memory
  int32_t has_written = 0;
};

struct Joined {
  std::vector<Member> members;
  Descriptor control;
  std::vector<Descriptor> memories;
  std::vector<Descriptor> written;    // without one where a rank keeps no account
  std::vector<Descriptor> processes;  // readable when the process has ended
  // Why this rank cannot take part, though the others have heard that it has come: they are told
  // through `control`, and what stands above may be incomplete.
  std::optional<Error> trouble;
};

using Clock = std::chrono::steady_clock;

// Serves a communicator from a thread of its own, until all ranks have joined or `timeout` is over.
// Throws Error as Listener does.
void Listen(const RootInfo& info, std::chrono::seconds timeout);

// What a rank brings along.
struct Entry {
  uint32_t ranks = 0;
  uint32_t rank = 0;
  uint64_t roots = 0;  // of all ranks the same: what stands for a list of several roots
  Member member;
  int memory = -1;
  int written = -1;
};

// Waits for all ranks. `early`: the listener may not be there yet. Throws Error: kTimeout names the
// ranks that did not come, kPara what ranks disagree about, kRemote a rank that has ended.
Joined Join(const RootInfo& info, const Entry& entry, std::chrono::seconds timeout, bool early);

// Ends the listener of a root info at which nobody meets.
void Dismiss(const RootInfo& info);

}  // namespace softnpu::hccl
