// cc/softnpu/ascendc/event_flags.cc: ids of events, SetFlag and WaitFlag.
#include "cc/softnpu/ascendc/event_flags.h"

#include <cstring>

namespace softnpu::ascendc {
namespace {

constexpr int64_t kVV = 10;  // HardEvent::V_V, which is a barrier of the vector unit

struct EventPipes {
  SoftnpuPipe from, to;
};
#define P(from, to) {SOFTNPU_PIPE_##from, SOFTNPU_PIPE_##to}
constexpr EventPipes kEventPipes[kEvents] = {
    P(MTE2, MTE1), P(MTE1, MTE2), P(MTE1, M),    P(M, MTE1),   P(MTE2, V),   P(V, MTE2),
    P(MTE3, V),    P(V, MTE3),    P(M, V),       P(V, M),      P(V, V),      P(MTE3, MTE1),
    P(MTE1, MTE3), P(MTE1, V),    P(MTE2, M),    P(M, MTE2),   P(V, MTE1),   P(M, FIX),
    P(FIX, M),     P(MTE3, MTE2), P(MTE2, MTE3), P(S, V),      P(V, S),      P(S, MTE2),
    P(MTE2, S),    P(S, MTE3),    P(MTE3, S),    P(MTE2, FIX), P(FIX, MTE2), P(FIX, S),
    P(M, S),       P(FIX, MTE3),  P(MTE1, FIX),  P(FIX, MTE1), P(FIX, FIX)};
#undef P

bool HasPipe(CoreKind kind, SoftnpuPipe pipe) {
  switch (pipe) {
    case SOFTNPU_PIPE_V:
      return (kind & kVectorCore) != 0;
    case SOFTNPU_PIPE_M:
    case SOFTNPU_PIPE_MTE1:
    case SOFTNPU_PIPE_FIX:
      return (kind & kCubeCore) != 0;
    default:
      return true;
  }
}

}  // namespace

void EventFlags::Reset() {
  std::memset(reserved_, 0, sizeof(reserved_));
  for (auto& event : flags_) {
    for (Flag& flag : event) flag = Flag{};
  }
}

int EventFlags::FirstFreeId(int64_t event) const {
  for (int id = 0; id < kEventIds; ++id) {
    if ((reserved_[event] >> id & 1) == 0 && !flags_[event][id].set) return id;
  }
  return -1;
}

int EventFlags::TakeForQueue(int event) {
  if (event < 0) return -1;
  const int id = FirstFreeId(event);
  if (id < 0) {
    site_.Fail(Format("no event id of %s is left for the queue: a core has %d", EventName(event),
                      kEventIds));
  }
  reserved_[event] = static_cast<uint8_t>(reserved_[event] | 1u << id);
  const Place place = site_.place();
  flags_[event][id] = {true, true, place.file, place.line, {}};
  return id;
}

void EventFlags::GiveBack(int event, int id) {
  if (event < 0 || id < 0) return;
  reserved_[event] = static_cast<uint8_t>(reserved_[event] & ~(1u << id));
  flags_[event][id] = Flag{};
}

int64_t EventFlags::EventOf(const SoftnpuInstruction& instruction) const {
  const int64_t event = instruction.params[0];
  if (event < 0 || event >= kEvents) {
    site_.Fail(Format("event %lld does not exist", static_cast<long long>(event)));
  }
  return event;
}

void EventFlags::FetchId(SoftnpuInstruction& instruction) {
  const int64_t event = EventOf(instruction);
  const int id = FirstFreeId(event);
  if (id < 0) {
    site_.Fail(Format("no event id of %s is left: a core has %d, and queues use them too",
                      EventName(event), kEventIds));
  }
  instruction.result = static_cast<uint64_t>(id);
}

void EventFlags::AllocId(SoftnpuInstruction& instruction) {
  FetchId(instruction);
  uint8_t& reserved = reserved_[instruction.params[0]];
  reserved = static_cast<uint8_t>(reserved | 1u << instruction.result);
}

void EventFlags::ReleaseId(const SoftnpuInstruction& instruction) {
  const int64_t event = EventOf(instruction);
  const int64_t id = instruction.params[1];
  uint8_t& reserved = reserved_[event];
  if (id < 0 || id >= kEventIds || (reserved >> id & 1) == 0) {
    site_.Fail(Format("event id %lld of %s was not given by AllocEventID",
                      static_cast<long long>(id), EventName(event)));
  }
  reserved = static_cast<uint8_t>(reserved & ~(1u << id));
}

EventFlags::Flag& EventFlags::FlagOf(const SoftnpuInstruction& instruction) {
  const int64_t event = EventOf(instruction);
  const int64_t id = instruction.params[1];
  const EventPipes pipes = kEventPipes[event];
  if (!HasPipe(site_.kind(), pipes.from) || !HasPipe(site_.kind(), pipes.to)) {
    site_.Fail(Format("a %s core has no event %s", site_.kind() == kVectorCore ? "vector" : "cube",
                      EventName(event)));
  }
  if (id < 0 || id >= kEventIds) {
    site_.Fail(Format("event id %lld, the limits are 0 and %d", static_cast<long long>(id),
                      kEventIds - 1));
  }
  return flags_[event][id];
}

void EventFlags::Set(const SoftnpuInstruction& instruction) {
  Flag& flag = FlagOf(instruction);
  const int64_t event = instruction.params[0];
  if (event == kVV) return order_.Barrier(SOFTNPU_PIPE_V);
  if (site_.strict() && flag.set) {
    site_.Fail(Format(
        "the flag (%s, id %lld) is set already, %s", EventName(event),
        static_cast<long long>(instruction.params[1]),
        flag.of_queue
            ? "by a queue: take ids from AllocEventID or FetchEventID"
            : Format("at %s:%u", flag.file == nullptr ? "?" : flag.file, flag.line).c_str()));
  }
  const int pipe = kEventPipes[event].from;
  order_.Issue(pipe);
  flag = {true, false, instruction.file, instruction.line, order_.Set(pipe)};
}

void EventFlags::Wait(const SoftnpuInstruction& instruction) {
  Flag& flag = FlagOf(instruction);
  const int64_t event = instruction.params[0];
  if (event == kVV) return;
  if (site_.strict() && (!flag.set || flag.of_queue)) {
    site_.Fail(Format("the flag (%s, id %lld) is not set: the pipe would wait for ever",
                      EventName(event), static_cast<long long>(instruction.params[1])));
  }
  const int pipe = kEventPipes[event].to;
  order_.Issue(pipe);
  order_.Wait(pipe, flag.signal);
  if (!flag.of_queue) flag = Flag{};
}

void EventFlags::CheckNoneIsSet() const {
  for (int event = 0; event < kEvents; ++event) {
    for (int id = 0; id < kEventIds; ++id) {
      const Flag& flag = flags_[event][id];
      if (!flag.set || flag.of_queue) continue;
      site_.FailAtPlace(
          {SOFTNPU_OP_SET_FLAG, flag.line, flag.file},
          Format("the flag (%s, id %d) is still set when the kernel ends: it disturbs the next "
                 "kernel",
                 EventName(event), id));
    }
  }
}

std::string EventFlags::Describe() const {
  std::string out;
  for (int event = 0; event < kEvents; ++event) {
    for (int id = 0; id < kEventIds; ++id) {
      const Flag& flag = flags_[event][id];
      if (!flag.set || flag.of_queue) continue;
      out += Format("; flag (%s, id %d) is set since %s:%u", EventName(event), id,
                    FileOf(flag.file).c_str(), flag.line);
    }
  }
  return out;
}

}  // namespace softnpu::ascendc
