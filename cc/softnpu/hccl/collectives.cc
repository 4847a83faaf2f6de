// cc/softnpu/hccl/collectives.cc: checks and work of the collectives.
#include "cc/softnpu/hccl/collectives.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "cc/softnpu/hccl/link_time.h"
#include "cc/softnpu/hccl/reduce.h"
#include "cc/softnpu/hccl/work.h"

namespace softnpu::hccl {
namespace {

uint64_t Product(uint64_t count, uint64_t bytes, const char* what) {
  uint64_t out = 0;
  if (__builtin_mul_overflow(count, bytes, &out)) {
    throw Error(kPara, Format("%llu elements of '%s' are more than memory can have",
                              static_cast<unsigned long long>(count), what));
  }
  return out;
}

// Elements from the first to the last that counts and places name.
uint64_t Extent(const uint64_t* counts, const uint64_t* places, uint32_t ranks, const char* what) {
  uint64_t end = 0;
  for (uint32_t rank = 0; rank < ranks; ++rank) {
    uint64_t here = 0;
    if (__builtin_add_overflow(counts[rank], places[rank], &here)) {
      throw Error(kPara, Format("the count %llu at %llu of '%s' is more than memory can have",
                                static_cast<unsigned long long>(counts[rank]),
                                static_cast<unsigned long long>(places[rank]), what));
    }
    if (counts[rank] > 0) end = std::max(end, here);
  }
  return end;
}

// Copies bytes of a rank's memory, from `source` on, into a range of this rank, with their marks.
// `written`: somebody has written all of them.
void CopyIn(const Communicator& communicator, uint32_t from, uint64_t source, const Range& range,
            bool written) {
  if (range.bytes == 0) return;
  const uint32_t rank = communicator.rank();
  const uint64_t target = communicator.PlaceOf(range.address);
  std::memmove(communicator.At(rank, target), communicator.At(from, source), range.bytes);
  const uint8_t* const marks = communicator.Marks(from, source);
  uint8_t* const own = communicator.Marks(rank, target);
  if (written || marks == nullptr || own == nullptr) {
    NoteWritten(range);
  } else {
    std::memmove(own, marks, range.bytes);
    softnpu_forget_written(range.address, range.bytes);
  }
}

// One collective of this rank.
class Collective {
 public:
  Collective(std::shared_ptr<Communicator> communicator, Call call, Range send, Range receive)
      : communicator_(std::move(communicator)), call_(call), send_(send), receive_(receive) {}

  void Run() {
    call_.written = IsWritten(send_);
    communicator_->Enter(call_);
    written_ = true;
    for (uint32_t rank = 0; rank < ranks(); ++rank) {
      written_ = written_ && communicator_->CallOf(rank).written;
    }
    Work();
    communicator_->Leave(call_);
    // Other ranks wrote here.
    if (call_.kind == Kind::kAllReduce || (call_.kind == Kind::kReduce && rank() == call_.root)) {
      NoteReduced();
    }
  }

 private:
  uint32_t ranks() const { return communicator_->ranks(); }
  uint32_t rank() const { return communicator_->rank(); }
  size_t width() const { return Bytes(call_.dtype); }

  // The result of a reduction is there; its marks are, too, unless all bytes are written.
  void NoteReduced() const {
    if (written_) {
      NoteWritten(receive_);
    } else {
      softnpu_forget_written(receive_.address, receive_.bytes);
    }
  }

  void Work() {
    const Communicator& all = *communicator_;
    switch (call_.kind) {
      case Kind::kAllReduce:
      case Kind::kReduce: {
        // Each rank reduces a part, for all who want it.
        std::vector<std::pair<uint32_t, uint64_t>> outs;
        for (uint32_t other = 0; other < ranks(); ++other) {
          if (call_.kind == Kind::kAllReduce || other == call_.root) {
            outs.emplace_back(other, all.CallOf(other).receive);
          }
        }
        const uint64_t begin = call_.count * rank() / ranks();
        const uint64_t end = call_.count * (rank() + 1) / ranks();
        for (auto& out : outs) out.second += begin * width();
        ReduceAll([&](uint32_t) { return begin; }, end - begin, outs);
        return;
      }
      case Kind::kReduceScatter:
      case Kind::kReduceScatterV:
        ReduceAll([&](uint32_t other) { return all.CallOf(other).send_places[rank()]; },
                  call_.send_counts[rank()], {{rank(), call_.receive}});
        NoteReduced();
        return;
      case Kind::kAllGather:
      case Kind::kAllGatherV:
        for (uint32_t other = 0; other < ranks(); ++other) {
          Take(other, 0, call_.receive_counts[other], call_.receive_places[other]);
        }
        return;
      case Kind::kAlltoAll:
      case Kind::kAlltoAllV:
      case Kind::kAlltoAllVC:
        for (uint32_t other = 0; other < ranks(); ++other) {
          Take(other, all.CallOf(other).send_places[rank()], call_.receive_counts[other],
               call_.receive_places[other]);
        }
        return;
      case Kind::kBroadcast:
        if (rank() != call_.root) Take(call_.root, 0, call_.count, 0);
        return;
      case Kind::kScatter:
        Take(call_.root, call_.count * rank(), call_.count, 0);
        return;
      case Kind::kBarrier:
      case Kind::kExchange:
        return;
    }
  }

  // Copies elements of another rank's send buffer into this rank's receive buffer, with their
  // marks.
  void Take(uint32_t from, uint64_t at, uint64_t count, uint64_t to) const {
    const Call& call = communicator_->CallOf(from);
    const uint64_t source = call.send + at * width();
    if (from == rank() && source == call_.receive + to * width()) return;
    const Range range = {"recvBuf", static_cast<const std::byte*>(receive_.address) + to * width(),
                         count * width(), SOFTNPU_WRITES};
    CopyIn(*communicator_, from, source, range, call.written);
  }

  // Reduces `count` elements, of rank r from element place(r) of its send buffer on, into places of
  // the memory of ranks. Marks follow when some bytes are not written.
  template <typename Place>
  void ReduceAll(Place&& place, uint64_t count,
                 const std::vector<std::pair<uint32_t, uint64_t>>& outs) const {
    if (count == 0) return;
    const Communicator& all = *communicator_;
    std::vector<const std::byte*> ins;
    std::vector<const uint8_t*> in_marks;
    for (uint32_t other = 0; other < ranks(); ++other) {
      const uint64_t source = all.CallOf(other).send + place(other) * width();
      ins.push_back(all.At(other, source));
      const uint8_t* const marks = all.Marks(other, source);
      if (marks != nullptr) in_marks.push_back(marks);
    }
    std::vector<std::byte*> targets;
    for (const auto& [other, target] : outs) targets.push_back(all.At(other, target));
    hccl::Reduce(call_.dtype, call_.reduction, ins, targets, count);
    if (written_) return;
    // An element is written when it is so on all ranks; the bytes of an element go together.
    std::vector<uint8_t> marks(count * width(), 1);
    for (const uint8_t* const given : in_marks) {
      for (size_t i = 0; i < marks.size(); ++i) marks[i] &= given[i];
    }
    for (size_t i = 0; i < marks.size(); i += width()) {
      const auto begin = marks.begin() + static_cast<ptrdiff_t>(i);
      const auto end = begin + static_cast<ptrdiff_t>(width());
      std::fill(begin, end, *std::min_element(begin, end));
    }
    for (const auto& [other, target] : outs) {
      if (uint8_t* const out = all.Marks(other, target)) {
        std::memcpy(out, marks.data(), marks.size());
      }
    }
  }

  const std::shared_ptr<Communicator> communicator_;
  Call call_;
  const Range send_;
  const Range receive_;
  bool written_ = true;  // on all ranks
};

// The counts and places that an even collective has: `count` for each rank, one after another.
void Even(uint64_t count, uint32_t ranks, uint64_t* counts, uint64_t* places) {
  for (uint32_t rank = 0; rank < ranks; ++rank) {
    counts[rank] = count;
    places[rank] = count * rank;
  }
}

void Take(const std::vector<uint64_t>& from, uint64_t* to) {
  std::copy(from.begin(), from.end(), to);
}

}  // namespace

void Enqueue(const std::shared_ptr<Communicator>& communicator, Kind kind,
             const Arguments& arguments, void* stream) {
  communicator->RequireWorking();
  communicator->Claim(Use::kCollectives, NameOf(kind));
  const uint32_t ranks = communicator->ranks();
  const uint32_t rank = communicator->rank();
  Call call;
  call.kind = kind;
  call.dtype = arguments.dtype;
  call.received = arguments.received;
  call.count = arguments.count;
  Range send = {"sendBuf", arguments.send, 0, SOFTNPU_READS};
  Range receive = {"recvBuf", arguments.receive, 0, SOFTNPU_WRITES};
  if (kind != Kind::kBarrier) RequireSendable(call.dtype);
  const auto bytes = [&](uint64_t count, const char* what) {
    return Product(count, Bytes(call.dtype), what);
  };
  const auto all = [&] { return Product(arguments.count, ranks, "count"); };
  const auto reduces = [&] {
    call.reduction = arguments.reduction;
    RequireReducible(call.dtype, call.reduction, kind == Kind::kReduce);
  };
  const auto roots = [&] {
    call.root = arguments.root;
    if (call.root >= ranks) {
      throw Error(kPara, Format("the root is rank %u; there are %u ranks", call.root, ranks));
    }
  };
  // A rank's own count is given twice.
  const auto agree = [&](const char* own, const char* counts, uint64_t count) {
    if (count == call.count) return;
    throw Error(kPara, Format("%s is %llu, but %s[%u], this rank's, is %llu", own,
                              static_cast<unsigned long long>(call.count), counts, rank,
                              static_cast<unsigned long long>(count)));
  };
  // Where one buffer may be a part of the other, it is this part.
  const Range* whole = nullptr;
  const Range* part = nullptr;
  uint64_t part_at = 0;
  switch (kind) {
    case Kind::kAllReduce:
    case Kind::kReduce:
      reduces();
      if (kind == Kind::kReduce) roots();
      send.bytes = bytes(call.count, "count");
      if (kind == Kind::kAllReduce || rank == call.root) receive.bytes = send.bytes;
      whole = &receive, part = &send;
      break;
    case Kind::kReduceScatter:
    case Kind::kReduceScatterV:
      reduces();
      if (kind == Kind::kReduceScatter) {
        Even(call.count, ranks, call.send_counts, call.send_places);
        send.bytes = bytes(all(), "sendBuf");
      } else {
        Take(arguments.send_counts, call.send_counts);
        Take(arguments.send_places, call.send_places);
        send.bytes = bytes(Extent(call.send_counts, call.send_places, ranks, "sendBuf"), "sendBuf");
        agree("recvCount", "sendCounts", call.send_counts[rank]);
      }
      receive.bytes = bytes(call.count, "recvCount");
      whole = &send, part = &receive, part_at = call.send_places[rank];
      break;
    case Kind::kAllGather:
    case Kind::kAllGatherV:
      if (kind == Kind::kAllGather) {
        Even(call.count, ranks, call.receive_counts, call.receive_places);
        receive.bytes = bytes(all(), "recvBuf");
      } else {
        Take(arguments.receive_counts, call.receive_counts);
        Take(arguments.receive_places, call.receive_places);
        receive.bytes =
            bytes(Extent(call.receive_counts, call.receive_places, ranks, "recvBuf"), "recvBuf");
        agree("sendCount", "recvCounts", call.receive_counts[rank]);
      }
      send.bytes = bytes(call.count, "sendCount");
      whole = &receive, part = &send, part_at = call.receive_places[rank];
      break;
    case Kind::kAlltoAll:
    case Kind::kAlltoAllV:
    case Kind::kAlltoAllVC:
      RequireSendable(call.received);
      if (call.dtype != call.received) {
        throw Error(kPara, Format("sendType is %s, recvType is %s; they have to be the same",
                                  NameOf(call.dtype), NameOf(call.received)));
      }
      Take(arguments.send_counts, call.send_counts);
      Take(arguments.send_places, call.send_places);
      Take(arguments.receive_counts, call.receive_counts);
      Take(arguments.receive_places, call.receive_places);
      send.bytes = bytes(Extent(call.send_counts, call.send_places, ranks, "sendBuf"), "sendBuf");
      receive.bytes =
          bytes(Extent(call.receive_counts, call.receive_places, ranks, "recvBuf"), "recvBuf");
      break;
    case Kind::kBroadcast:
      roots();
      (rank == call.root ? send : receive).bytes = bytes(call.count, "count");
      break;
    case Kind::kScatter:
      roots();
      if (rank == call.root) send.bytes = bytes(all(), "sendBuf");
      receive.bytes = bytes(call.count, "recvCount");
      whole = &send, part = &receive, part_at = call.count * rank;
      break;
    case Kind::kBarrier:
    case Kind::kExchange:
      break;
  }
  RequireRange(*communicator, send);
  RequireRange(*communicator, receive);
  const bool in_place = whole != nullptr &&
                        static_cast<const char*>(part->address) ==
                            static_cast<const char*>(whole->address) + part_at * Bytes(call.dtype);
  if (!in_place) RequireApart(send, receive);
  call.send = communicator->PlaceOf(send.address);
  call.receive = communicator->PlaceOf(receive.address);
  const std::unique_lock<std::mutex> order = communicator->Order();
  call.sequence = communicator->NextCollective();
  const std::string said = Format("rank %u's %s", rank, Describe(call, ranks).c_str());
  auto collective = std::make_shared<Collective>(communicator, call, send, receive);
  EnqueueWork(
      communicator, NameOf(kind), said, {send, receive}, BusiestLink(call, ranks, rank),
      [collective] { collective->Run(); }, stream);
}

namespace {

// A message on its way.
struct Passing {
  Message message;
  uint64_t number = 0;  // of those from one rank to another, from 1
  bool posted = false;
  bool done = false;
};

std::string Said(uint32_t rank, const Passing& passing) {
  const Message& message = passing.message;
  return Format("rank %u %s message #%llu (%llu %s) %s rank %u", rank,
                message.sends ? "sends" : "receives",
                static_cast<unsigned long long>(passing.number),
                static_cast<unsigned long long>(message.count), NameOf(message.dtype),
                message.sends ? "to" : "from", message.rank);
}

Range RangeOf(const Message& message) {
  return {message.sends ? "sendBuf" : "recvBuf", message.buffer,
          Product(message.count, Bytes(message.dtype), "count"),
          message.sends ? SOFTNPU_READS : SOFTNPU_WRITES};
}

// What messages of one call do until all have passed.
class Exchange {
 public:
  Exchange(std::shared_ptr<Communicator> communicator, std::vector<Passing> all)
      : communicator_(std::move(communicator)), all_(std::move(all)) {}

  void Run() {
    communicator_->Wait([this] { return Progress(); }, [this] { return Missing(); },
                        [this] { return Waiting(); });
  }

 private:
  // The ranks of what has not passed. One that has done its part may leave.
  uint32_t Missing() const {
    uint32_t out = 0;
    for (const Passing& passing : all_) out |= passing.done ? 0U : 1U << passing.message.rank;
    return out;
  }

  bool Progress() {
    bool changed = false;
    bool done = true;
    for (Passing& passing : all_) {
      if (!passing.done)
        changed = (passing.message.sends ? Send(passing) : Take(passing)) || changed;
      done = done && passing.done;
    }
    if (changed) communicator_->Ring();
    return done;
  }

  // Whether something changed for others.
  bool Send(Passing& passing) {
    const Message& message = passing.message;
    Mailbox& mail = communicator_->Mail(communicator_->rank(), message.rank);
    if (!passing.posted) {
      if (mail.posted.load() + 1 != passing.number || mail.taken.load() + 1 != passing.number) {
        return false;
      }
      mail.place = communicator_->PlaceOf(message.buffer);
      mail.count = message.count;
      mail.dtype = message.dtype;
      mail.written = IsWritten(RangeOf(message));
      mail.posted.store(passing.number);
      passing.posted = true;
      return true;
    }
    passing.done = mail.taken.load() >= passing.number;
    return false;
  }

  bool Take(Passing& passing) {
    const Message& message = passing.message;
    const uint32_t rank = communicator_->rank();
    if (!communicator_->Works(message.rank)) return false;
    Mailbox& mail = communicator_->Mail(message.rank, rank);
    if (mail.posted.load() != passing.number || mail.taken.load() + 1 != passing.number) {
      return false;
    }
    if (mail.count != message.count || mail.dtype != message.dtype) {
      communicator_->Stop(kPara,
                          Format("%s, which is of %llu %s", Said(rank, passing).c_str(),
                                 static_cast<unsigned long long>(mail.count), NameOf(mail.dtype)));
    }
    CopyIn(*communicator_, message.rank, mail.place, RangeOf(message), mail.written);
    mail.taken.store(passing.number);
    passing.done = true;
    return true;
  }

  std::string Waiting() const {
    std::string out;
    for (const Passing& passing : all_) {
      if (passing.done) continue;
      out += (out.empty() ? "" : ", ") + Said(communicator_->rank(), passing);
    }
    return out + "; the other side did not come";
  }

  const std::shared_ptr<Communicator> communicator_;
  std::vector<Passing> all_;
};

}  // namespace

void EnqueueMessages(const std::shared_ptr<Communicator>& communicator, const char* name,
                     const std::vector<Message>& messages, void* stream) {
  communicator->RequireWorking();
  communicator->Claim(Use::kCollectives, name);
  std::vector<Range> ranges;
  for (const Message& message : messages) {
    RequireSendable(message.dtype);
    if (message.rank >= communicator->ranks()) {
      throw Error(kPara, Format("the other side is rank %u; there are %u ranks", message.rank,
                                communicator->ranks()));
    }
    if (messages.size() == 1 && message.rank == communicator->rank()) {
      throw Error(kPara, Format("rank %u cannot wait for a message of its own", message.rank));
    }
    ranges.push_back(RangeOf(message));
    RequireRange(*communicator, ranges.back());
  }
  for (const Range& a : ranges) {
    for (const Range& b : ranges) {
      if (&a != &b && (a.mode == SOFTNPU_WRITES)) RequireApart(a, b);
    }
  }
  // Where tasks run in the call, a message waits here for one that another thread has to send.
  std::unique_lock<std::mutex> order;
  if (softnpu_is_eager() == 0) order = communicator->Order();
  std::vector<Passing> all;
  std::string said;
  for (const Message& message : messages) {
    const uint64_t number = message.sends ? communicator->NextSend(message.rank)
                                          : communicator->NextReceive(message.rank);
    all.push_back({message, number});
    said += (said.empty() ? "" : ", ") + Said(communicator->rank(), all.back());
  }
  auto exchange = std::make_shared<Exchange>(communicator, std::move(all));
  EnqueueWork(
      communicator, name, said, ranges,
      BusiestLink(messages, communicator->ranks(), communicator->rank()),
      [exchange] { exchange->Run(); }, stream);
}

}  // namespace softnpu::hccl
