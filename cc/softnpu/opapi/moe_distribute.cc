// cc/softnpu/opapi/moe_distribute.cc: limits of groups of experts, and exchanges between ranks.
#include "cc/softnpu/opapi/moe_distribute.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <string_view>
#include <utility>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/quantise.h"

namespace softnpu {
namespace {

constexpr int64_t kMostChosen = 16;
constexpr int64_t kMegabyte = 1 << 20;
constexpr int kNumbers = 4;  // of a tensor that is shown: dimensions and strides

int64_t Aligned(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

std::string TextOf(const char* text) { return text == nullptr ? "" : text; }

bool Is(const char* variable, const char* value) {
  const char* const text = std::getenv(variable);
  return text != nullptr && std::strcmp(text, value) == 0;
}

void CheckRanks(const ExpertGroup& group) {
  std::vector<int64_t> sizes = {16, 32, 64};
  if (!group.first_version && !group.IsHierarchy()) {
    sizes = {2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 128, 256};
  }
  if (std::find(sizes.begin(), sizes.end(), group.ranks) == sizes.end()) {
    std::string list;
    for (const int64_t size : sizes) list += (list.empty() ? "" : ", ") + std::to_string(size);
    RefuseExperts(
        Format("'epWorldSize' is %lld; it must be one of %s", Long(group.ranks), list.c_str()));
  }
  const softnpu_groups* const groups = softnpu_offered_groups();
  const uint32_t ranks = groups == nullptr ? 0 : groups->ranks(group.name);
  if (ranks == 0) {
    RefuseExperts(Format("'groupEp' is '%s'; the current device has no communicator of that name",
                         group.name));
  }
  if (ranks != group.ranks || groups->rank(group.name) != group.rank) {
    RefuseExperts(
        Format("'epWorldSize' is %lld and 'epRankId' %lld; 'groupEp' has %u ranks, and "
               "this is rank %d",
               Long(group.ranks), Long(group.rank), ranks, groups->rank(group.name)));
  }
}

void CheckExperts(const ExpertGroup& group) {
  const int64_t most = group.first_version ? 512 : 1024;
  if (group.experts < 1 || group.experts > most || group.experts % group.ranks != 0) {
    RefuseExperts(
        Format("'moeExpertNum' is %lld; it must be 1 to %lld, and a multiple of the %lld "
               "ranks",
               Long(group.experts), Long(most), Long(group.ranks)));
  }
  if (group.first_version && !group.IsHierarchy() && group.local() > 24) {
    RefuseExperts(Format("'moeExpertNum' is %lld of %lld ranks; a rank may have 24 experts",
                         Long(group.experts), Long(group.ranks)));
  }
  const int64_t most_special = group.IsHierarchy() ? 0 : std::numeric_limits<int32_t>::max() - 1;
  for (const auto& [number, name] : {std::pair{group.zero_experts, "zeroExpertNum"},
                                     std::pair{group.copy_experts, "copyExpertNum"}}) {
    if (number < 0 || number > most_special || group.all_experts() > INT32_MAX - 1) {
      RefuseExperts(Format("'%s' is %lld; it must be 0 to %lld, and all experts less than 2^31 - 1",
                           name, Long(number), Long(most_special)));
    }
  }
  if (group.const_experts != 0) {
    RefuseExperts(Format("'constExpertNum' is %lld; it must be 0", Long(group.const_experts)));
  }
}

// What an Atlas A2 does not have.
void CheckAbsent(const ExpertGroup& group) {
  if (!TextOf(group.tp_name).empty()) {
    RefuseExperts(Format("'groupTp' is '%s'; it must be empty", group.tp_name));
  }
  const struct {
    const char* name;
    int64_t value;
    int64_t most;
  } rows[] = {{"tpWorldSize", group.tp_ranks, 1},
              {"tpRankId", group.tp_rank, 0},
              {"expertShardType", group.shard_type, 0},
              {"sharedExpertNum", group.shared_experts, 1},
              {"sharedExpertRankNum", group.shared_ranks, 0}};
  for (const auto& [name, value, most] : rows) {
    if (value < 0 || value > most) {
      RefuseExperts(Format("'%s' is %lld; it may be %lld at most", name, Long(value), Long(most)));
    }
  }
}

void CheckSizes(const ExpertGroup& group, const ExpertSizes& sizes) {
  const bool large = group.IsHierarchy() && !group.first_version;
  const int64_t most_tokens = large ? 512 : 256;
  const int64_t widest = large ? 10240 : 7168;
  const int64_t batch = group.LargestBatch(sizes.batch);
  if (sizes.batch < 1 || batch > most_tokens) {
    RefuseExperts(Format("a rank has %lld tokens, this one %lld; it must have 1 to %lld",
                         Long(batch), Long(sizes.batch), Long(most_tokens)));
  }
  if (group.global_batch < 0 || group.global_batch % group.ranks != 0 || batch < sizes.batch) {
    RefuseExperts(
        Format("'globalBs' is %lld; it must be 0, or the most tokens of a rank, of which "
               "this one has %lld, times %lld ranks",
               Long(group.global_batch), Long(sizes.batch), Long(group.ranks)));
  }
  if (sizes.hidden < 1 || sizes.hidden > widest || sizes.hidden % 32 != 0) {
    RefuseExperts(Format("tokens have %lld elements; it must be a multiple of 32, up to %lld",
                         Long(sizes.hidden), Long(widest)));
  }
  if (sizes.chosen < 1 || sizes.chosen > std::min(kMostChosen, group.all_experts())) {
    RefuseExperts(
        Format("'expertIds' has %lld experts of a token; there may be 1 to %lld, and "
               "there are %lld",
               Long(sizes.chosen), Long(kMostChosen), Long(group.all_experts())));
  }
  const int64_t room = batch * group.ranks * std::min(group.local(), sizes.chosen);
  if (sizes.room < room) {
    RefuseExperts(Format("'expandX' has %lld rows; %lld tokens of each of %lld ranks need %lld",
                         Long(sizes.room), Long(batch), Long(group.ranks), Long(room)));
  }
}

void CheckBuffer(const ExpertGroup& group, const ExpertSizes& sizes) {
  const int64_t batch = group.LargestBatch(sizes.batch);
  const int64_t row = sizes.hidden * 2;
  int64_t needed =
      2 * (batch * group.ranks * std::min(group.local(), sizes.chosen) * row + 2 * kMegabyte);
  if (group.IsHierarchy()) {
    const int64_t scales = 16 * Aligned(sizes.chosen, 8);
    needed = group.first_version
                 ? group.experts * batch * (row + scales) + 104 * kMegabyte
                 : (group.experts + group.ranks / 4) * Aligned(batch * (row + scales), 512) +
                       8 * kMegabyte;
  }
  const uint64_t has = softnpu_offered_groups()->buffer_bytes(group.name);
  if (has < static_cast<uint64_t>(needed)) {
    RefuseExperts(Format(
        "HCCL_BUFFSIZE of 'groupEp' is %llu MB; %lld tokens of %lld elements need "
        "%lld bytes",
        static_cast<unsigned long long>(has >> 20), Long(batch), Long(sizes.hidden), Long(needed)));
  }
}

// What waits for an exchange.
struct Body {
  const char* name;
  std::function<void(const softnpu_peer*, softnpu_traffic*)> run;
};

int32_t RunBody(void* context, const softnpu_peer* peers, softnpu_traffic* traffic) {
  auto* const body = static_cast<Body*>(context);
  try {
    body->run(peers, traffic);
    return kOk;
  } catch (const Error& error) {
    return softnpu_report(error.code(), error.what());
  } catch (const std::exception& error) {
    return softnpu_report(kAicoreException, error.what());
  }
}

void DropBody(void* context) { delete static_cast<Body*>(context); }

// The bytes from the first to the last element.
softnpu_window WindowOf(const View& view, const char* name) {
  softnpu_window out = {};
  out.name = name;
  if (view.rank == 0) return out;
  const softnpu_access access = view.Access(name, SOFTNPU_READS);
  int64_t last = 0;
  for (int d = 0; d < view.rank; ++d) last += (view.Dim(d) - 1) * view.Stride(d);
  out.address = access.address;
  out.bytes = view.Count() == 0 ? 0 : static_cast<uint64_t>((last + 1) * Size(view.dtype));
  return out;
}

}  // namespace

void RefuseExperts(const std::string& sentence) { throw Error(kAclnnTiling, sentence); }

bool ExpertGroup::IsHierarchy() const {
  const std::string chosen = TextOf(algorithm);
  if (!chosen.empty()) return chosen == "hierarchy";
  return Is("HCCL_INTRA_PCIE_ENABLE", "1") && Is("HCCL_INTRA_ROCE_ENABLE", "0");
}

void CheckGroup(const ExpertGroup& group, const ExpertSizes& sizes) {
  if (std::string_view(softnpu_soc_name()).substr(0, 10) != "Ascend910B") {
    throw Error(kAclnnInvalid, std::string(softnpu_soc_name()) +
                                   " does not have this operator; of the chips that SoftNPU "
                                   "models, those of an Atlas A2 have it");
  }
  const size_t length = TextOf(group.name).size();
  if (length < 1 || length > 127) {
    RefuseExperts(Format("'groupEp' has %zu characters; it must have 1 to 127", length));
  }
  const std::string algorithm = TextOf(group.algorithm);
  if (!algorithm.empty() && algorithm != "fullmesh" && algorithm != "hierarchy") {
    RefuseExperts("'commAlg' is '" + algorithm + "'; it must be empty, fullmesh or hierarchy");
  }
  CheckAbsent(group);
  CheckRanks(group);
  CheckExperts(group);
  CheckSizes(group, sizes);
  CheckBuffer(group, sizes);
}

ExpertSizes CheckTokens(const View& x, const char* x_name, const View& ids) {
  CheckDtype(x, x_name, {DType::kHalf, DType::kBfloat16});
  CheckDtype(ids, "expertIds", {DType::kInt32});
  if (x.rank != 2 || ids.rank != 2) {
    RefuseExperts(Format("'%s' is %s, 'expertIds' %s; both must have 2 dimensions", x_name,
                         x.Text().c_str(), ids.Text().c_str()));
  }
  return {ids.Dim(0), x.Dim(1), ids.Dim(1), 0};
}

void CheckMask(const View& mask, const ExpertGroup& group, const ExpertSizes& sizes) {
  if (mask.rank == 0) return;
  CheckDtype(mask, "xActiveMask", {DType::kBool});
  if (group.first_version || group.IsHierarchy()) {
    RefuseExperts("'xActiveMask' is given; it must be null here");
  }
  const bool fits = mask.Dim(0) == sizes.batch &&
                    (mask.rank == 1 || (mask.rank == 2 && mask.Dim(1) == sizes.chosen));
  if (!fits) {
    RefuseExperts(Format("'xActiveMask' is %s; it must be [%lld] or [%lld, %lld]",
                         mask.Text().c_str(), Long(sizes.batch), Long(sizes.batch),
                         Long(sizes.chosen)));
  }
}

void RequireNone(const Tensor* tensor, const char* name) {
  // torch_npu gives a tensor without elements where it has none.
  if (tensor == nullptr || tensor->view.Count() == 0) return;
  RefuseExperts(std::string("'") + name + "' is given; it must be null");
}

std::string FormOf(const ExpertGroup& group, const ExpertSizes& sizes, DType dtype) {
  std::string out = Format("%s x %lld, %lld of %lld experts", Name(dtype), Long(sizes.hidden),
                           Long(sizes.chosen), Long(group.experts));
  if (group.zero_experts + group.copy_experts > 0) {
    out += Format(" + %lld + %lld", Long(group.zero_experts), Long(group.copy_experts));
  }
  const int64_t batch = group.global_batch == 0 ? sizes.batch * group.ranks : group.global_batch;
  return out + Format(", globalBs %lld%s", Long(batch), group.IsHierarchy() ? ", hierarchy" : "");
}

std::vector<int64_t> ReadAssignments(const View& ids, const View& mask, const ExpertGroup& group) {
  std::vector<int64_t> out = Integers(ids);
  const std::vector<int64_t> active = mask.rank == 0 ? std::vector<int64_t>() : Integers(mask);
  const auto chosen = static_cast<size_t>(ids.Dim(1));
  for (size_t i = 0; i < out.size(); ++i) {
    const size_t token = i / chosen;
    if (!active.empty()) {
      const bool here = active[mask.rank == 1 ? token : i] != 0;
      if (here && mask.rank == 1 && token > 0 && active[token - 1] == 0) {
        throw Error(kAicoreException,
                    Format("'xActiveMask' is true at %zu and false before it; those that are true "
                           "must be first (undefined on the device)",
                           token));
      }
      if (!here) {
        out[i] = -1;
        continue;
      }
    }
    const auto begin = out.begin() + static_cast<ptrdiff_t>(token * chosen);
    const auto place = out.begin() + static_cast<ptrdiff_t>(i);
    if (*place < 0 || *place >= group.all_experts() || std::find(begin, place, *place) != place) {
      throw Error(
          kAicoreException,
          Format("'expertIds' holds %lld at [%zu, %zu]; it must be 0 to %lld, and once in a "
                 "row (undefined on the device)",
                 Long(*place), token, i % chosen, Long(group.all_experts() - 1)));
    }
  }
  return out;
}

int64_t PeerView::Int32(int64_t i, int64_t j) const {
  int32_t out = 0;
  std::memcpy(&out, At(i, j), sizeof(out));
  return out;
}

void Shown::Add(const View& view, const char* name) {
  views_.push_back(view);
  names_.push_back(name);
}

void Shown::Write(softnpu_exchange* exchange) const {
  exchange->window_count = static_cast<uint32_t>(views_.size());
  exchange->number_count = static_cast<uint32_t>(views_.size()) * kNumbers;
  int64_t* number = exchange->numbers;
  for (size_t i = 0; i < views_.size(); ++i) {
    const View& view = views_[i];
    exchange->windows[i] = WindowOf(view, names_[i]);
    for (int d = 0; d < 2; ++d) *number++ = d < view.rank ? view.Dim(d) : 1;
    for (int d = 0; d < 2; ++d) *number++ = d < view.rank ? view.Stride(d) : 0;
  }
}

PeerView Shown::Of(const softnpu_peer& peer, size_t index) const {
  PeerView out;
  out.data = reinterpret_cast<const std::byte*>(peer.windows[index]);
  out.dtype = views_[index].dtype;
  const int64_t* const numbers = peer.numbers + index * kNumbers;
  std::copy(numbers, numbers + 2, out.dims);
  std::copy(numbers + 2, numbers + 4, out.strides);
  return out;
}

void PlanExchange(Plan& plan, const ExpertGroup& group, const std::string& form, const Shown& shown,
                  const std::vector<std::pair<View, const char*>>& outputs,
                  std::function<void(const softnpu_peer*, softnpu_traffic*)> body) {
  softnpu_exchange exchange = {};
  exchange.name = plan.name;
  shown.Write(&exchange);
  exchange.output_count = static_cast<uint32_t>(outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    exchange.outputs[i] = WindowOf(outputs[i].first, outputs[i].second);
  }
  exchange.run = RunBody;
  exchange.drop = DropBody;
  plan.group = group.name;
  plan.then = [exchange, form, group = std::string(group.name), name = plan.name,
               body = std::move(body)](void* stream) {
    softnpu_exchange given = exchange;
    given.form = form.c_str();
    given.context = new Body{name, body};
    return softnpu_offered_groups()->exchange(group.c_str(), &given, stream);
  };
}

}  // namespace softnpu
