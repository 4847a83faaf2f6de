// cc/bindings/caller.h: calls one operator, and remembers its prepared launches.
#pragma once

#include <cstdint>
#include <list>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "cc/bindings/arguments.h"
#include "cc/ops/launch.h"

namespace vllm_cann::bindings {

// Layers of a model, and steps with as many tokens, give the same shapes: checks and tiling are
// paid for once. The least recently used launch goes first. Calls hold the GIL.
class Caller {
 public:
  static constexpr size_t kMostPrepared = 512;

  // Throws std::invalid_argument when there is no such operator.
  explicit Caller(std::string_view name) : declared_(ops::FindOperator(name)) {}

  const ops::Operator& declared() const { return declared_; }
  // Queues the operator on the current stream of the tensors' device. Cost of a call that is
  // prepared: reading the arguments and comparing their key, linear in their number.
  void Call(PyObject* const* objects, size_t count);
  int64_t WorkspaceBytes(PyObject* const* objects, size_t count) const;

  uint64_t hits() const { return hits_; }
  uint64_t misses() const { return misses_; }
  size_t prepared() const { return launches_.size(); }

 private:
  struct Prepared {
    uint64_t hash;
    std::vector<uint64_t> key;
    ops::Launch launch;
  };

  const ops::Launch& Find(const Arguments& arguments);

  const ops::Operator& declared_;
  std::list<Prepared> launches_;  // the most recently used one first
  std::unordered_map<uint64_t, std::list<Prepared>::iterator> by_hash_;
  uint64_t hits_ = 0;
  uint64_t misses_ = 0;
};

// The function of Python that gives the current stream (an integer) of a device index.
void SetStreamGetter(nanobind::object getter);

}  // namespace vllm_cann::bindings
