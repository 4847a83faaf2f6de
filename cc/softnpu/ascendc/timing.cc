// cc/softnpu/ascendc/timing.cc: plays what the cores noted against the chip's rates.
#include "cc/softnpu/ascendc/timing.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <queue>
#include <string_view>
#include <utility>

#include "cc/softnpu/ascendc/instruction.h"
#include "cc/softnpu/base/error.h"

namespace softnpu::ascendc {
namespace {

bool IsInstruction(std::string_view name) {
#define SOFTNPU_OPCODE(opcode, text) \
  if (name == text) return true;
  SOFTNPU_MOVE_OPCODES(SOFTNPU_OPCODE)
  SOFTNPU_VECTOR_OPCODES(SOFTNPU_OPCODE)
#undef SOFTNPU_OPCODE
  return false;
}

constexpr double kNever = std::numeric_limits<double>::infinity();

// Transfers of one direction that run at one rate, all the same. `served` counts the bytes that
// each of them has got since the beginning, so a transfer ends when `served` reaches a fixed value.
class Flow {
 public:
  explicit Flow(double most) : most_(most) {}
  // Gives what `served` is when the transfer ends.
  double Start(double bytes, size_t pipe) {
    ends_.emplace(served_ + bytes, pipe);
    return served_ + bytes;
  }
  size_t size() const { return ends_.size(); }
  void SetRate(double share) { rate_ = std::min(most_, share); }
  void Advance(double cycles) { served_ += rate_ * cycles; }
  double Next() const {
    return ends_.empty() ? kNever : std::max(0.0, ends_.top().first - served_) / rate_;
  }
  // Cycles that a transfer takes at least until `end`, `cycles` after the last Advance; a little
  // less, so that no rounding makes it too many.
  double Least(double end, double cycles) const {
    return std::max(0.0, (end - served_ - rate_ * cycles) / most_) * (1 - 1e-9);
  }
  size_t Pop() {
    served_ = std::max(served_, ends_.top().first);
    const size_t pipe = ends_.top().second;
    ends_.pop();
    return pipe;
  }

 private:
  using End = std::pair<double, size_t>;
  double most_;
  double rate_ = 1;
  double served_ = 0;
  std::priority_queue<End, std::vector<End>, std::greater<>> ends_;
};

// The least of some numbers that change one at a time.
class Least {
 public:
  explicit Least(size_t count) {
    while (width_ < count) width_ *= 2;
    values_.assign(2 * width_, kNever);
  }
  double value() const { return values_[1]; }
  size_t place() const {
    size_t i = 1;
    while (i < width_) i = 2 * i + (values_[2 * i] == values_[i] ? 0 : 1);
    return i - width_;
  }
  void Set(size_t place, double value) {
    size_t i = width_ + place;
    values_[i] = value;
    for (i /= 2; i > 0; i /= 2) values_[i] = std::min(values_[2 * i], values_[2 * i + 1]);
  }

 private:
  size_t width_ = 1;
  std::vector<double> values_;  // a tree; leaves from width_ on
};

// Each core has events of its own. What cores share is the bandwidth, places on the chip and, where
// cores order each other, flags. So a core runs ahead of the others until it begins or may end a
// transfer, or ends; these are taken in the order of time.
class Player {
 public:
  Player(const TimeTable& table, const std::vector<TimedCore>& cores, int64_t cube_cores,
         int64_t vector_cores, bool in_l2, bool with_slices, TimeReport* report)
      : cores_(cores),
        in_l2_(in_l2),
        with_slices_(with_slices),
        report_(report),
        depth_(static_cast<size_t>(table.At("queue_depth"))),
        flag_(table.At("flag_cycles")),
        hbm_(table.At("hbm_bytes_per_cycle")),
        l2_(table.At("l2_bytes_per_cycle")),
        flows_{Flow(table.At("read.most_bytes_per_cycle")),
               Flow(table.At("write.most_bytes_per_cycle")),
               Flow(table.At("read.most_bytes_per_cycle")),
               Flow(table.At("write.most_bytes_per_cycle"))},
        free_{cube_cores, vector_cores},
        attention_(static_cast<size_t>(cube_cores + vector_cores)),
        attended_(static_cast<size_t>(cube_cores + vector_cores)) {
    states_.resize(cores.size());
    for (size_t slot = attended_.size(); slot-- > 0;) slots_.push_back(slot);
    for (size_t c = 0; c < cores.size(); ++c) {
      for (const uint64_t token : cores[c].timeline->waits()) coupled_ |= token >> 32 != c;
    }
  }

  void Run() {
    for (size_t c = 0; c < cores_.size(); ++c) waiting_.push_back(c);
    Admit();
    for (;;) {
      const double attention = attention_.value();
      if (next_flow_ == kNever && attention == kNever) break;
      if (next_flow_ < attention) {
        global_ = now_ = next_flow_;
        AdvanceFlows();
        const size_t id = flows_[flow_].Pop();
        PlanFlows();
        Transferred(id);
        Attend(id / kPipes);
      } else {
        global_ = now_ = attention;
        Attend(attended_[attention_.place()]);
      }
    }
    report_->cycles = last_;
    std::array<double, kPipes> used{};
    for (size_t c = 0; c < states_.size(); ++c) {
      for (size_t p = 0; p < kPipes; ++p) {
        if (!states_[c].pipes[p].used) continue;
        used[p] += 1;
        report_->busy[p] += states_[c].pipes[p].busy;
      }
    }
    for (size_t p = 0; p < kPipes; ++p) {
      if (used[p] > 0 && last_ > 0) report_->busy[p] /= used[p] * last_;
    }
  }

 private:
  struct Event {
    double time;
    uint32_t order;  // of two at the same time, the one made first
    int8_t pipe;     // SOFTNPU_PIPE_S: the scalar unit goes on
    bool finish;     // the pipe's work has ended; otherwise it looks for some
    bool operator>(const Event& other) const {
      return time != other.time ? time > other.time : order > other.order;
    }
  };
  // Numbers of ops, at most as many as the queue of a pipe is deep.
  class Queue {
   public:
    void Reset(size_t depth) { ops_.resize(depth); }
    bool empty() const { return size_ == 0; }
    size_t size() const { return size_; }
    uint32_t front() const { return ops_[first_]; }
    void Push(size_t op) {
      ops_[first_ + size_ < ops_.size() ? first_ + size_ : first_ + size_ - ops_.size()] =
          static_cast<uint32_t>(op);
      ++size_;
    }
    void Pop() {
      first_ = first_ + 1 < ops_.size() ? first_ + 1 : 0;
      --size_;
    }

   private:
    std::vector<uint32_t> ops_;
    size_t first_ = 0;
    size_t size_ = 0;
  };
  struct Pipe {
    Queue queue;
    bool working = false;
    bool used = false;
    int8_t flow = -1;  // that it has a transfer in
    double flow_end = 0;
    double started = 0;
    double done = 0;  // when the results of all that has started are there
    double busy = 0;
  };
  struct State {
    size_t slot = 0;
    size_t next = 0;            // op of the scalar unit
    std::vector<Event> events;  // a heap
    uint32_t order = 0;
    // The core waits for the other cores to come to this time: then the pipe starts its transfer,
    // or, with SOFTNPU_PIPE_S, the core ends.
    double stopped_at = kNever;
    int stopped_pipe = 0;
    std::array<Pipe, kPipes> pipes;
    std::vector<double> set_at;  // of a kSet op: when its flag is there
    std::vector<std::pair<size_t, int>>
        watchers;               // cores and pipes that wait for a flag of this core
    bool blocked = false;       // the scalar unit waits for its pipes
    uint32_t scalar_event = 0;  // order of its event
    bool ended = false;
  };

  const TimeOp& Op(size_t core, size_t index) const { return cores_[core].timeline->ops()[index]; }

  void Push(double time, size_t core, int pipe, bool finish = false) {
    State& state = states_[core];
    // Of the scalar unit, the last event counts: there is one place where it goes on.
    if (pipe == SOFTNPU_PIPE_S) state.scalar_event = state.order;
    state.events.push_back({time, state.order++, static_cast<int8_t>(pipe), finish});
    std::push_heap(state.events.begin(), state.events.end(), std::greater<>());
  }

  // Starts cores while the chip has free ones, in order.
  void Admit() {
    while (!waiting_.empty()) {
      const size_t core = waiting_.front();
      int64_t& free = free_[cores_[core].cube ? 0 : 1];
      if (free == 0) break;
      --free;
      waiting_.pop_front();
      State& state = states_[core];
      state.slot = slots_.back();
      slots_.pop_back();
      attended_[state.slot] = core;
      state.set_at.assign(cores_[core].timeline->ops().size(), kNever);
      for (Pipe& pipe : state.pipes) pipe.queue.Reset(depth_);
      Push(now_, core, SOFTNPU_PIPE_S);
      attention_.Set(state.slot, now_);
    }
  }

  // Flows have come to the time `flows_at_`, and keep their rates until PlanFlows.
  void AdvanceFlows() {
    for (Flow& each : flows_) each.Advance(global_ - flows_at_);
    flows_at_ = global_;
  }

  void PlanFlows() {
    const double hbm = static_cast<double>(flows_[0].size() + flows_[1].size());
    const double l2 = static_cast<double>(flows_[2].size() + flows_[3].size());
    if (hbm > 0) {
      flows_[0].SetRate(hbm_ / hbm);
      flows_[1].SetRate(hbm_ / hbm);
    }
    if (l2 > 0) {
      flows_[2].SetRate(l2_ / l2);
      flows_[3].SetRate(l2_ / l2);
    }
    next_flow_ = kNever;
    for (size_t f = 0; f < 4; ++f) {
      const double at = flows_at_ + flows_[f].Next();
      if (at < next_flow_) {
        next_flow_ = at;
        flow_ = f;
      }
    }
  }

  // Lets a core go on as far as nothing but itself decides.
  void Attend(size_t core) {
    State& state = states_[core];
    if (state.stopped_at <= global_) {
      const int pipe = std::exchange(state.stopped_pipe, SOFTNPU_PIPE_S);
      state.stopped_at = kNever;
      if (pipe == SOFTNPU_PIPE_S) {
        Leave(core);
        return;
      }
      Transfer(core, pipe);
    }
    double until = kNever;
    if (coupled_) {
      until = global_;
    } else {
      for (const Pipe& pipe : state.pipes) {
        if (pipe.flow < 0) continue;
        const Flow& flow = flows_[static_cast<size_t>(pipe.flow)];
        until = std::min(until, global_ + flow.Least(pipe.flow_end, global_ - flows_at_));
      }
      until = std::max(until, global_);
    }
    std::vector<Event>& events = state.events;
    while (state.stopped_at == kNever && !events.empty() && events.front().time <= until) {
      std::pop_heap(events.begin(), events.end(), std::greater<>());
      const Event event = events.back();
      events.pop_back();
      now_ = event.time;
      Handle(core, event);
      if (state.ended) return;
    }
    const double next = events.empty() ? kNever : events.front().time;
    attention_.Set(state.slot, std::min(next, state.stopped_at));
  }

  double FlagTime(uint64_t token) const {
    const std::vector<double>& set_at = states_[token >> 32].set_at;
    return set_at.empty() ? kNever : set_at[token & 0xFFFFFFFFu];
  }

  // When all flags of a wait are there; kNever, and a watch on one of them, when they are not.
  double Ready(size_t core, int pipe, const TimeOp& op) {
    double ready = 0;
    for (uint32_t i = 0; i < op.count; ++i) {
      const uint64_t token = cores_[core].timeline->waits()[op.token + i];
      const double at = FlagTime(token);
      if (at == kNever) {
        states_[token >> 32].watchers.emplace_back(core, pipe);
        return kNever;
      }
      ready = std::max(ready, at);
    }
    return ready + flag_;
  }

  void Handle(size_t core, const Event& event) {
    if (event.pipe == SOFTNPU_PIPE_S) {
      if (states_[core].scalar_event == event.order) Issue(core);
      return;
    }
    if (event.finish) Finish(core, event.pipe);
    Start(core, event.pipe);
  }

  void Transferred(size_t id) {
    const size_t core = id / kPipes;
    const int p = static_cast<int>(id % kPipes);
    // A copy holds its pipe for a least time.
    Pipe& pipe = states_[core].pipes[id % kPipes];
    pipe.flow = -1;
    const double least = pipe.started + Op(core, pipe.queue.front()).work;
    if (least > now_) {
      Push(least, core, p, true);
      return;
    }
    Finish(core, p);
    Start(core, p);
  }

  void Finish(size_t core, int p) {
    Pipe& pipe = states_[core].pipes[static_cast<size_t>(p)];
    const TimeOp& op = Op(core, pipe.queue.front());
    pipe.working = false;
    pipe.busy += now_ - pipe.started;
    // The start of a copy runs beside its transfer and the next copy's.
    pipe.done =
        std::max({pipe.done, now_, op.bytes > 0 ? pipe.started + op.latency : now_ + op.latency});
    last_ = std::max(last_, pipe.done);
    if (with_slices_) {
      report_->slices.push_back({static_cast<uint32_t>(core), static_cast<uint8_t>(p), pipe.started,
                                 now_, op.place, op.conflict, op.moved, op.write});
    }
    pipe.queue.Pop();
    Wake(core);
  }

  // The scalar unit may have waited for room in a queue or for a pipe to be empty.
  void Wake(size_t core) {
    State& state = states_[core];
    if (!state.blocked) return;
    state.blocked = false;
    Push(now_, core, SOFTNPU_PIPE_S);
  }

  // The copy at the front of a pipe's queue begins.
  void Transfer(size_t core, int p) {
    Pipe& pipe = states_[core].pipes[static_cast<size_t>(p)];
    const TimeOp& op = Op(core, pipe.queue.front());
    // What was brought before is in L2.
    const bool hbm = !in_l2_ && op.missed > 0;
    pipe.flow = static_cast<int8_t>((hbm ? 0 : 2) + (op.write ? 1 : 0));
    AdvanceFlows();
    pipe.flow_end = flows_[static_cast<size_t>(pipe.flow)].Start(
        hbm ? std::max(op.bytes, op.missed) : op.bytes, core * kPipes + static_cast<size_t>(p));
    PlanFlows();
  }

  void Start(size_t core, int p) {
    State& state = states_[core];
    Pipe& pipe = state.pipes[static_cast<size_t>(p)];
    while (!pipe.working && !pipe.queue.empty()) {
      const TimeOp& op = Op(core, pipe.queue.front());
      switch (op.kind) {
        case TimeOp::Kind::kWork:
          pipe.working = pipe.used = true;
          pipe.started = now_;
          if (op.bytes == 0) {
            Push(now_ + op.work, core, p, true);
          } else if (now_ == global_) {
            Transfer(core, p);
          } else {
            state.stopped_at = now_;
            state.stopped_pipe = p;
          }
          return;
        case TimeOp::Kind::kSet: {
          const double at = std::max(now_, pipe.done);
          state.set_at[pipe.queue.front()] = at;
          pipe.queue.Pop();
          Notify(core);
          break;
        }
        case TimeOp::Kind::kWait: {
          const double ready = Ready(core, p, op);
          if (ready == kNever) return;
          if (ready > now_) {
            Push(ready, core, p);
            return;
          }
          pipe.queue.Pop();
          break;
        }
        default:  // a barrier of the pipe
          if (pipe.done > now_) {
            Push(pipe.done, core, p);
            return;
          }
          pipe.queue.Pop();
          break;
      }
      Wake(core);
    }
  }

  void Notify(size_t core) {
    std::vector<std::pair<size_t, int>> watchers;
    watchers.swap(states_[core].watchers);
    for (const auto& [other, pipe] : watchers) {
      Push(now_, other, pipe);
      if (other != core) attention_.Set(states_[other].slot, now_);
    }
  }

  void Issue(size_t core) {
    State& state = states_[core];
    const auto& ops = cores_[core].timeline->ops();
    if (state.next == ops.size()) {
      End(core);
      return;
    }
    const TimeOp& op = ops[state.next];
    const auto p = static_cast<size_t>(op.pipe);
    Pipe& scalar = state.pipes[SOFTNPU_PIPE_S];
    double then = now_ + op.issue;
    if (op.kind == TimeOp::Kind::kBarrier && op.pipe == SOFTNPU_PIPE_ALL) {
      double done = now_;
      for (const Pipe& pipe : state.pipes) {
        if (!pipe.queue.empty()) {
          state.blocked = true;
          return;
        }
        done = std::max(done, pipe.done);
      }
      then = done + op.issue;
    } else if (op.kind == TimeOp::Kind::kScalar || op.pipe == SOFTNPU_PIPE_S) {
      if (op.kind == TimeOp::Kind::kWait) {
        const double ready = Ready(core, SOFTNPU_PIPE_S, op);
        if (ready == kNever) return;
        then = std::max(then, ready);
      } else if (op.kind == TimeOp::Kind::kSet) {
        state.set_at[state.next] = then;
        ++state.next;
        Notify(core);
        Push(then, core, SOFTNPU_PIPE_S);
        return;
      } else {
        then += op.work;
        scalar.used = true;
        scalar.busy += then - now_;
        if (with_slices_ && op.work > 0) {
          report_->slices.push_back(
              {static_cast<uint32_t>(core), SOFTNPU_PIPE_S, now_, then, op.place, 0, 0, false});
        }
      }
    } else {
      if (state.pipes[p].queue.size() >= depth_) {
        state.blocked = true;
        return;
      }
      scalar.used = true;
      scalar.busy += op.issue;
      state.pipes[p].queue.Push(state.next);
      ++state.next;
      if (!state.pipes[p].working) Push(then, core, op.pipe);
      Push(then, core, SOFTNPU_PIPE_S);
      return;
    }
    last_ = std::max(last_, then);
    ++state.next;
    Push(then, core, SOFTNPU_PIPE_S);
  }

  // A core ends when its pipes are empty; then another may start in its place.
  void End(size_t core) {
    State& state = states_[core];
    double done = now_;
    for (const Pipe& pipe : state.pipes) {
      if (!pipe.queue.empty()) {
        state.blocked = true;
        return;
      }
      done = std::max(done, pipe.done);
    }
    if (done > now_) {
      Push(done, core, SOFTNPU_PIPE_S);
      return;
    }
    last_ = std::max(last_, done);
    if (now_ == global_ || waiting_.empty()) {
      Leave(core);
    } else {
      state.stopped_at = now_;
      state.stopped_pipe = SOFTNPU_PIPE_S;
    }
  }

  void Leave(size_t core) {
    State& state = states_[core];
    state.ended = true;
    attention_.Set(state.slot, kNever);
    slots_.push_back(state.slot);
    ++free_[cores_[core].cube ? 0 : 1];
    Admit();
  }

  const std::vector<TimedCore>& cores_;
  const bool in_l2_;
  const bool with_slices_;
  TimeReport* const report_;
  const size_t depth_;
  const double flag_;
  const double hbm_;
  const double l2_;
  Flow flows_[4];  // read and write of HBM, of L2
  double flows_at_ = 0;
  double next_flow_ = kNever;  // when the next transfer ends
  size_t flow_ = 0;            // and in which flow
  int64_t free_[2];
  std::deque<size_t> waiting_;
  std::vector<State> states_;
  bool coupled_ = false;          // a core waits for a flag of another one
  std::vector<size_t> slots_;     // free places of cores
  Least attention_;               // of each place, when its core has to be looked at
  std::vector<size_t> attended_;  // the cores
  double global_ = 0;             // the time that no core may change any more what was before
  double now_ = 0;                // of the core that is looked at
  double last_ = 0;
};

}  // namespace

TimeTable::TimeTable(std::map<std::string, double> values) : values_(std::move(values)) {
  constexpr std::string_view kVector = "vector.";
  for (auto it = values_.lower_bound(std::string(kVector));
       it != values_.end() && it->first.compare(0, kVector.size(), kVector) == 0; ++it) {
    const std::string name =
        it->first.substr(kVector.size(), it->first.rfind('.') - kVector.size());
    if (name != "otherwise" && !IsInstruction(name)) {
      throw Error(kInvalidParam,
                  "the unknown key 'time.vector." + name + "': there is no such instruction");
    }
  }
  const auto copy = [&](const std::string& prefix) {
    return Copy{At(prefix + "start_cycles"), At(prefix + "burst_bytes_per_cycle"),
                At(prefix + "bytes_per_row"), At(prefix + "least_cycles")};
  };
  rates_ = {At("issue_cycles"),
            At("scalar.ub_access_cycles"),
            At("scalar.gm_access_cycles"),
            At("onchip.start_cycles"),
            At("onchip.bytes_per_cycle"),
            At("bank.read_read_cycles"),
            At("bank.read_write_cycles"),
            copy("read."),
            copy("write.")};
}

double TimeTable::At(const std::string& name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) {
    throw Error(kInvalidParam, "the profile's [time] section has no number '" + name + "'");
  }
  return found->second;
}

double TimeTable::At(const std::string& name, double otherwise) const {
  const auto found = values_.find(name);
  return found == values_.end() ? otherwise : found->second;
}

TimeOp& CoreTimeline::Add(TimeOp::Kind kind, int pipe, const Place& place) {
  TimeOp& op = ops_.emplace_back();
  op.kind = kind;
  op.pipe = static_cast<uint8_t>(pipe);
  op.place = place;
  return op;
}

uint64_t CoreTimeline::Set(int pipe, const Place& place) {
  const uint64_t token = uint64_t{context_} << 32 | ops_.size();
  Add(TimeOp::Kind::kSet, pipe, place);
  return token;
}

void CoreTimeline::Wait(int pipe, uint64_t token, const Place& place) {
  TimeOp& op = Add(TimeOp::Kind::kWait, pipe, place);
  op.token = waits_.size();
  op.count = 1;
  waits_.push_back(token);
}

void CoreTimeline::Wait(int pipe, const std::vector<uint64_t>& tokens, const Place& place) {
  TimeOp& op = Add(TimeOp::Kind::kWait, pipe, place);
  op.token = waits_.size();
  op.count = static_cast<uint32_t>(tokens.size());
  waits_.insert(waits_.end(), tokens.begin(), tokens.end());
}

void CoreTimeline::Barrier(int pipe, const Place& place) {
  Add(TimeOp::Kind::kBarrier, pipe, place);
}

uint64_t Footprint::Touch(uint64_t begin, uint64_t end) {
  if (begin >= end) return 0;
  uint64_t fresh = 0;
  const uint64_t last = (end - 1) / kLine;
  for (uint64_t line = begin / kLine; line <= last;) {
    if (line / kPageLines != page_number_ || page_ == nullptr) {
      page_number_ = line / kPageLines;
      page_ = &pages_[page_number_];
      if (page_->empty()) page_->resize(kPageLines / 64);
    }
    const uint64_t bits = std::min(64 - line % 64, last - line + 1);
    const uint64_t mask = (bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1) << line % 64;
    uint64_t& word = (*page_)[line % kPageLines / 64];
    fresh += static_cast<uint64_t>(__builtin_popcountll(mask & ~word));
    word |= mask;
    line += bits;
  }
  lines_ += fresh;
  return fresh;
}

TimeReport PlayTimelines(const TimeTable& table, const std::vector<TimedCore>& cores,
                         int64_t cube_cores, int64_t vector_cores, uint64_t footprint, bool warm_l2,
                         bool with_slices) {
  TimeReport report;
  report.clock_mhz = table.At("clock_mhz");
  report.in_l2 = warm_l2 && static_cast<double>(footprint) <= table.At("l2_bytes");
  for (const TimedCore& core : cores) {
    for (const TimeOp& op : core.timeline->ops()) {
      (op.write ? report.written_bytes : report.read_bytes) += op.moved;
    }
  }
  Player(table, cores, cube_cores, vector_cores, report.in_l2, with_slices, &report).Run();
  const double on_cores = std::min<double>(static_cast<double>(cores.size()),
                                           static_cast<double>(cube_cores + vector_cores));
  report.head_microseconds =
      table.At("launch_microseconds") + table.At("launch_microseconds_per_core") * on_cores;
  report.microseconds = report.head_microseconds + report.cycles / report.clock_mhz;
  return report;
}

}  // namespace softnpu::ascendc
