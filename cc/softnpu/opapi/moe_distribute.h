// cc/softnpu/opapi/moe_distribute.h: what the operators that bring tokens to the experts of other
// ranks, and back, have in common: their group, their limits, and the rows of other ranks.
//
// The rules are those of an Atlas A2, from the pages of torch_npu and of aclnn.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cc/softnpu/opapi/operator.h"

namespace softnpu {

// Which rank has which experts: each as many as the others, in the order of the ranks. Behind the
// experts are numbers of such that compute nothing: those of zero, and those that copy the token.
struct ExpertGroup {
  const char* name = nullptr;
  int64_t ranks = 0;
  int64_t rank = 0;
  int64_t experts = 0;
  const char* tp_name = nullptr;
  int64_t tp_ranks = 0;
  int64_t tp_rank = 0;
  int64_t shard_type = 0;
  int64_t shared_experts = 0;
  int64_t shared_ranks = 0;
  int64_t global_batch = 0;  // 0: each rank has as many tokens as this one
  const char* algorithm = nullptr;
  int64_t zero_experts = 0;
  int64_t copy_experts = 0;
  int64_t const_experts = 0;
  bool first_version = false;

  int64_t local() const { return experts / ranks; }
  int64_t all_experts() const { return experts + zero_experts + copy_experts; }
  // Tokens of a rank, at most, where this one has `batch`.
  int64_t LargestBatch(int64_t batch) const {
    return global_batch == 0 ? batch : global_batch / ranks;
  }
  // Whether tokens go through one rank of a server to another server.
  bool IsHierarchy() const;
};

// Sizes of a step: BS, H, K of the pages, and A, the rows that a rank has room for.
struct ExpertSizes {
  int64_t batch = 0;
  int64_t hidden = 0;
  int64_t chosen = 0;
  int64_t room = 0;
};

[[noreturn]] void RefuseExperts(const std::string& sentence);  // 561002

// Throws Error unless an Atlas A2 has such a group, the communicator of this name is like it, and
// its buffer is large enough.
void CheckGroup(const ExpertGroup& group, const ExpertSizes& sizes);
// x [BS, H], or what stands for it; expert_ids [BS, K].
ExpertSizes CheckTokens(const View& x, const char* x_name, const View& ids);
// The mask of tokens, or of assignments, that take part. A view of rank 0 stands for none.
void CheckMask(const View& mask, const ExpertGroup& group, const ExpertSizes& sizes);
void RequireNone(const Tensor* tensor, const char* name);

// "BS .. 64 H .." of what all ranks have to agree on.
std::string FormOf(const ExpertGroup& group, const ExpertSizes& sizes, DType dtype);

// The chosen experts of each token of this rank, -1 where an assignment takes no part. Throws Error
// of the device for values that are undefined there: experts that do not exist, experts that a
// token chose twice, a mask with a token behind those that take no part.
std::vector<int64_t> ReadAssignments(const View& ids, const View& mask, const ExpertGroup& group);

// A tensor of another rank, of one or two dimensions.
struct PeerView {
  const std::byte* data = nullptr;  // null where it gave none
  DType dtype = DType::kFloat;
  int64_t dims[2] = {};
  int64_t strides[2] = {};

  const std::byte* At(int64_t i, int64_t j = 0) const {
    return data + (i * strides[0] + j * strides[1]) * Size(dtype);
  }
  int64_t Int32(int64_t i, int64_t j = 0) const;
};

// Tensors that a rank shows to the others; the same list on all ranks.
class Shown {
 public:
  // `view` has one or two dimensions, or none where there is no tensor.
  void Add(const View& view, const char* name);
  void Write(softnpu_exchange* exchange) const;
  // Tensor `index` of a rank; its type is that of this rank.
  PeerView Of(const softnpu_peer& peer, size_t index) const;

 private:
  std::vector<View> views_;
  std::vector<const char*> names_;
};

// Queues `body` as the exchange of a plan, behind its `run`: it is given a peer for each rank,
// writes `outputs`, and adds up what a chip would send and receive.
void PlanExchange(Plan& plan, const ExpertGroup& group, const std::string& form, const Shown& shown,
                  const std::vector<std::pair<View, const char*>>& outputs,
                  std::function<void(const softnpu_peer*, softnpu_traffic*)> body);

}  // namespace softnpu
