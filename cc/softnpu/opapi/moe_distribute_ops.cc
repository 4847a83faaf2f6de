// cc/softnpu/opapi/moe_distribute_ops.cc: tokens go to the experts of all ranks, and what the
// experts make of them comes back.
//
// Dispatch: a rank takes the tokens of all ranks that chose one of its experts, by expert, then by
// rank, then in their order. int8: x * scales in float32, times 127 / its largest magnitude, to the
// nearest, ties to even; the scale that it gives is 1 over that factor, and 0 for a row of zeros.
// Combine: each token is the sum of its experts' rows times their weights, in the order in which
// it chose them, in double precision, rounded once. A chip may differ in the last bits.
//
// Of what one operator hands to the other, the pages say that no program may look at it:
// assistInfoForCombine has, in 128 numbers for each row, rank, token and place in the choice
// (the rest stays unwritten); expandIdx numbers the assignments from one rank to an expert;
// epRecvCounts has running sums of rows by expert and rank.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/moe_distribute.h"
#include "cc/softnpu/opapi/quantise.h"

namespace softnpu {
namespace {

constexpr int64_t kInfo = 128;  // numbers of a row in assistInfoForCombine
constexpr int64_t kInfoUsed = 3;

// Optional tensors of dispatch that an Atlas A2 has not, or only with some arguments.
struct DispatchOptions {
  const Tensor* scales = nullptr;
  const Tensor* mask = nullptr;
  int64_t quant_mode = 0;
  int64_t counts_type = 0;
};

struct DispatchOutputs {
  const Tensor* rows = nullptr;
  const Tensor* row_scales = nullptr;
  const Tensor* places = nullptr;
  const Tensor* tokens = nullptr;
  const Tensor* counts = nullptr;
  const Tensor* weights = nullptr;
};

// What a rank does with what it takes.
struct Dispatch {
  ExpertGroup group;
  ExpertSizes sizes;
  int64_t counts_type = 0;
  bool quantises = false;
  Shown shown;  // x, expertIds, expertScales, xActiveMask, scales
  View ids, mask;
  View rows, row_scales, places, tokens, counts, weights;

  // `dtype` is that of the tokens.
  void Check(DType dtype) const;
  void Take(const softnpu_peer* peers, softnpu_traffic* traffic) const;
  // What a chip would send for an assignment: the row, its weight, and its scale.
  uint64_t BytesOfRow() const {
    return static_cast<uint64_t>(sizes.hidden * Size(rows.dtype) + Size(weights.dtype) +
                                 (quantises ? Size(row_scales.dtype) : 0));
  }
  void Number() const;
  void TakeRow(const PeerView& x, int64_t token, const PeerView& scales, int64_t expert,
               int64_t row) const;
};

// One assignment that this rank has an expert for.
struct Taken {
  int64_t rank;
  int64_t token;
  int64_t place;
};

void RequireDims(const View& view, const char* name, const std::vector<int64_t>& dims) {
  if (view.Shape() == dims) return;
  std::string text;
  for (const int64_t dim : dims) text += (text.empty() ? "" : ", ") + std::to_string(dim);
  RefuseExperts(std::string("'") + name + "' is " + view.Text() + "; it must be [" + text + "]");
}

// At least `count` elements in one dimension, one after another.
void RequireRoom(const View& view, const char* name, int64_t count) {
  if (view.rank == 1 && view.Dim(0) >= count && view.IsContiguous()) return;
  RefuseExperts(std::string("'") + name + "' is " + view.Text() +
                Format("; it must have one dimension of %lld at least, without gaps", Long(count)));
}

void Dispatch::Check(DType dtype) const {
  CheckMask(mask, group, sizes);
  CheckDtype(rows, "expandX", {quantises ? DType::kInt8 : dtype});
  CheckDtype(places, group.first_version ? "expandIdx" : "assistInfoForCombine", {DType::kInt32});
  CheckDtype(tokens, "expertTokenNums", {DType::kInt64});
  CheckDtype(counts, "epRecvCounts", {DType::kInt32});
  CheckDtype(weights, "expandScales", {DType::kFloat});
  RequireDims(rows, "expandX", {sizes.room, sizes.hidden});
  RequireDims(tokens, "expertTokenNums", {group.local()});
  RequireRoom(counts, "epRecvCounts", group.experts);
  RequireDims(weights, "expandScales", {sizes.room});
  if (group.first_version) {
    RequireRoom(places, "expandIdx", sizes.batch * sizes.chosen);
  } else {
    RequireRoom(places, "assistInfoForCombine", sizes.room * kInfo);
  }
  if (counts_type != 0 && counts_type != 1) {
    RefuseExperts(Format("'expertTokenNumsType' is %lld; it must be 0 or 1", Long(counts_type)));
  }
}

// The numbers of the first version, for assignments of this rank.
void Dispatch::Number() const {
  const std::vector<int64_t> chosen = ReadAssignments(ids, mask, group);
  if (!group.first_version) return;
  std::vector<int32_t> given(static_cast<size_t>(group.experts));
  auto* to = reinterpret_cast<int32_t*>(places.Host());
  for (const int64_t expert : chosen) *to++ = given[static_cast<size_t>(expert)]++;
  Narrowed(places, 0, 0, static_cast<int64_t>(chosen.size())).MarkWritten();
}

void StoreInt64(const View& to, int64_t at, int64_t value) {
  StoreElements(to.dtype, to.Host() + at * to.Stride(0) * Size(to.dtype), 1, 1, &value);
}

void Dispatch::TakeRow(const PeerView& x, int64_t token, const PeerView& scales, int64_t expert,
                       int64_t row) const {
  const auto size = static_cast<size_t>(sizes.hidden);
  std::byte* const to = rows.Host() + row * rows.Stride(0) * Size(rows.dtype);
  const int64_t step = rows.Stride(1);
  std::vector<float> values(size);
  LoadElements(x.dtype, x.At(token), x.strides[1], sizes.hidden, values.data());
  if (!quantises) {
    StoreElements(rows.dtype, to, step, sizes.hidden, values.data());
    return;
  }
  float largest = 0;
  for (size_t i = 0; i < size; ++i) {
    if (scales.data != nullptr) {
      float factor = 0;
      std::memcpy(&factor, scales.At(expert, static_cast<int64_t>(i)), sizeof(factor));
      values[i] *= factor;
    }
    largest = std::fmax(largest, std::fabs(values[i]));
  }
  const float factor = kLargestInt8 / largest;
  std::vector<int64_t> numbers(size);
  for (size_t i = 0; i < size; ++i) numbers[i] = NearestInt8(values[i] * factor);
  StoreElements(DType::kInt8, to, step, sizes.hidden, numbers.data());
  const float scale = 1 / factor;
  StoreElements(DType::kFloat, row_scales.Host() + row * row_scales.Stride(0) * Size(DType::kFloat),
                1, 1, &scale);
}

void Dispatch::Take(const softnpu_peer* peers, softnpu_traffic* traffic) const {
  const int64_t first = group.rank * group.local();
  std::vector<std::vector<Taken>> taken(static_cast<size_t>(group.local()));
  for (int64_t rank = 0; rank < group.ranks; ++rank) {
    const PeerView theirs = shown.Of(peers[rank], 1);
    const PeerView active = shown.Of(peers[rank], 3);
    for (int64_t token = 0; token < theirs.dims[0]; ++token) {
      for (int64_t place = 0; place < theirs.dims[1]; ++place) {
        if (active.data != nullptr &&
            *active.At(token, mask.rank == 2 ? place : 0) == std::byte{0}) {
          continue;
        }
        const int64_t expert = theirs.Int32(token, place);
        if (rank == group.rank && expert < group.experts) {
          traffic->sent[expert / group.local()] += BytesOfRow();
        }
        const int64_t local = expert - first;
        if (local < 0 || local >= group.local()) continue;
        taken[static_cast<size_t>(local)].push_back({rank, token, place});
        traffic->received[rank] += BytesOfRow();
      }
    }
  }
  int64_t row = 0;
  int64_t sum = 0;
  const View info = group.first_version
                        ? places
                        : Reshaped(Narrowed(places, 0, 0, sizes.room * kInfo), {sizes.room, kInfo});
  for (int64_t local = 0; local < group.local(); ++local) {
    const std::vector<Taken>& of = taken[static_cast<size_t>(local)];
    size_t next = 0;
    for (int64_t rank = 0; rank < group.ranks; ++rank) {
      for (; next < of.size() && of[next].rank == rank; ++next, ++row) {
        const auto& [from, token, place] = of[next];
        const softnpu_peer& peer = peers[from];
        TakeRow(shown.Of(peer, 0), token, shown.Of(peer, 4), first + local, row);
        const PeerView factors = shown.Of(peer, 2);
        std::memcpy(weights.Host() + row * weights.Stride(0) * Size(weights.dtype),
                    factors.At(token, place), sizeof(float));
        if (group.first_version) continue;
        auto* const to = reinterpret_cast<int32_t*>(info.Host()) + row * kInfo;
        to[0] = static_cast<int32_t>(from);
        to[1] = static_cast<int32_t>(token);
        to[2] = static_cast<int32_t>(place);
      }
      StoreInt64(counts, local * group.ranks + rank, row);
    }
    const auto count = static_cast<int64_t>(of.size());
    sum += count;
    StoreInt64(tokens, local, counts_type == 0 ? sum : count);
  }
  Narrowed(rows, 0, 0, row).MarkWritten();
  Narrowed(weights, 0, 0, row).MarkWritten();
  if (quantises) Narrowed(row_scales, 0, 0, row).MarkWritten();
  Narrowed(counts, 0, 0, group.experts).MarkWritten();
  tokens.MarkWritten();
  if (!group.first_version) Narrowed(Narrowed(info, 0, 0, row), 1, 0, kInfoUsed).MarkWritten();
}

// How x becomes int8, or that it does not.
void PlanQuantisation(Plan& plan, const Tensor* scales, const Tensor* row_scales,
                      int64_t quant_mode, Dispatch* call, View* factors) {
  if (quant_mode != 0 && quant_mode != 2) {
    RefuseExperts(Format("'quantMode' is %lld; it must be 0 or 2", Long(quant_mode)));
  }
  call->quantises = quant_mode == 2;
  if (!call->quantises || call->group.IsHierarchy()) {
    RequireNone(scales, "scales");
  } else if (scales != nullptr) {
    *factors = plan.Get(scales, "scales");
    CheckDtype(*factors, "scales", {DType::kFloat});
    RequireDims(*factors, "scales", {call->group.experts, call->sizes.hidden});
    if (!factors->IsContiguous()) RefuseExperts("'scales' is not contiguous");
  }
  if (!call->quantises) return;
  call->row_scales = plan.Some(row_scales, "dynamicScales");
  CheckDtype(call->row_scales, "dynamicScales", {DType::kFloat});
  RequireDims(call->row_scales, "dynamicScales", {call->sizes.room});
}

void PlanDispatch(Plan& plan, const ExpertGroup& group, const Tensor* x, const Tensor* ids,
                  const Tensor* expert_scales, const DispatchOptions& options,
                  const DispatchOutputs& outputs) {
  Dispatch call;
  call.group = group;
  call.counts_type = options.counts_type;
  const View tokens = options.mask == nullptr ? plan.Get(x, "x") : plan.Some(x, "x");
  call.ids = plan.Get(ids, "expertIds");
  call.sizes = CheckTokens(tokens, "x", call.ids);
  RequireDims(tokens, "x", {call.sizes.batch, call.sizes.hidden});
  call.rows = plan.Some(outputs.rows, "expandX");
  call.sizes.room = call.rows.rank == 2 ? call.rows.Dim(0) : 0;
  CheckGroup(group, call.sizes);
  const View weights = plan.Get(expert_scales, "expertScales");
  CheckDtype(weights, "expertScales", {DType::kFloat});
  RequireDims(weights, "expertScales", {call.sizes.batch, call.sizes.chosen});
  // Other ranks may have a mask where this one has none.
  call.mask.dtype = DType::kBool;
  if (options.mask != nullptr) call.mask = plan.Get(options.mask, "xActiveMask");
  call.places = plan.Some(outputs.places, "expandIdx");
  call.tokens = plan.Some(outputs.tokens, "expertTokenNums");
  call.counts = plan.Some(outputs.counts, "epRecvCounts");
  call.weights = plan.Some(outputs.weights, "expandScales");
  View factors;
  PlanQuantisation(plan, options.scales, outputs.row_scales, options.quant_mode, &call, &factors);
  call.Check(tokens.dtype);
  call.shown.Add(tokens, "x");
  call.shown.Add(call.ids, "expertIds");
  call.shown.Add(weights, "expertScales");
  call.shown.Add(call.mask, "xActiveMask");
  call.shown.Add(factors, "scales");
  plan.run = [call, tokens] {
    call.Number();
    if (call.mask.rank == 0) return;
    const std::vector<int64_t> active = Integers(call.mask);
    const size_t step = active.size() / static_cast<size_t>(call.sizes.batch);
    for (size_t i = 0; i < active.size(); ++i) {
      if (active[i] != 0) {
        Narrowed(tokens, 0, static_cast<int64_t>(i / step), 1).CheckWritten("x");
      }
    }
  };
  std::vector<std::pair<View, const char*>> written = {{call.rows, "expandX"},
                                                       {call.tokens, "expertTokenNums"},
                                                       {call.counts, "epRecvCounts"},
                                                       {call.weights, "expandScales"}};
  if (call.quantises) written.emplace_back(call.row_scales, "dynamicScales");
  if (!group.first_version) written.emplace_back(call.places, "assistInfoForCombine");
  const std::string form = FormOf(group, call.sizes, tokens.dtype) +
                           (call.quantises ? ", int8" : "") + (factors.rank > 0 ? ", scales" : "");
  PlanExchange(
      plan, group, form, call.shown, written,
      [call](const softnpu_peer* peers, softnpu_traffic* traffic) { call.Take(peers, traffic); });
}

// Tensors of combine that not every version has.
struct CombineOptions {
  const Tensor* mask = nullptr;
  const Tensor* weights = nullptr;  // expandScales
  const Tensor* original = nullptr;
  int64_t out_dtype = 0;
  int64_t quant_mode = 0;
  int64_t group_list_type = 0;
};

struct Combine {
  ExpertGroup group;
  ExpertSizes sizes;
  Shown shown;  // expandX, epSendCounts, assistInfoForCombine
  View rows, ids, places, counts, scales, mask, original, out;

  void CheckShown() const;
  void Take(const softnpu_peer* peers, softnpu_traffic* traffic) const;
  // Each assignment's row goes back to the rank of its token.
  void Count(const softnpu_peer& own, const std::vector<int64_t>& chosen,
             softnpu_traffic* traffic) const;
  std::vector<const std::byte*> Find(const softnpu_peer* peers,
                                     const std::vector<int64_t>& chosen) const;
};

// What others read has to be there.
void Combine::CheckShown() const {
  Narrowed(counts, 0, 0, group.experts).CheckWritten("epSendCounts");
  int64_t total = 0;
  for (const int64_t sum : Integers(Narrowed(counts, 0, 0, group.experts))) {
    if (sum < total || sum > sizes.room) {
      throw Error(kAicoreException,
                  Format("'epSendCounts' holds %lld behind %lld; it must be what dispatch gave, "
                         "running sums up to the %lld rows of 'expandX'",
                         Long(sum), Long(total), Long(sizes.room)));
    }
    total = sum;
  }
  Narrowed(rows, 0, 0, total).CheckWritten("expandX");
  if (group.first_version) {
    Narrowed(places, 0, 0, sizes.batch * sizes.chosen).CheckWritten("expandIdx");
    return;
  }
  const View info = Reshaped(Narrowed(places, 0, 0, sizes.room * kInfo), {sizes.room, kInfo});
  Narrowed(Narrowed(info, 0, 0, total), 1, 0, kInfoUsed).CheckWritten("assistInfoForCombine");
}

// The rows of this rank's assignments; null where an assignment has none.
std::vector<const std::byte*> Combine::Find(const softnpu_peer* peers,
                                            const std::vector<int64_t>& chosen) const {
  std::vector<const std::byte*> out(chosen.size());
  const int64_t local = group.local();
  // The first row of an expert for this rank, and the one behind the last.
  const auto rows_of = [&](int64_t expert) {
    const PeerView sums = shown.Of(peers[expert / local], 1);
    const int64_t at = expert % local * group.ranks + group.rank;
    return std::pair{at == 0 ? 0 : sums.Int32(at - 1), sums.Int32(at)};
  };
  if (group.first_version) {
    const std::vector<int64_t> numbers =
        Integers(Narrowed(places, 0, 0, sizes.batch * sizes.chosen));
    for (size_t i = 0; i < chosen.size(); ++i) {
      const auto [begin, end] = rows_of(chosen[i]);
      const int64_t row = begin + numbers[i];
      if (numbers[i] >= 0 && row < end) out[i] = shown.Of(peers[chosen[i] / local], 0).At(row);
    }
    return out;
  }
  for (int64_t rank = 0; rank < group.ranks; ++rank) {
    const PeerView theirs = shown.Of(peers[rank], 0);
    const PeerView info = shown.Of(peers[rank], 2);
    const int64_t total = shown.Of(peers[rank], 1).Int32(group.experts - 1);
    for (int64_t row = 0; row < total; ++row) {
      if (info.Int32(row * kInfo) != group.rank) continue;
      const int64_t token = info.Int32(row * kInfo + 1);
      const int64_t place = info.Int32(row * kInfo + 2);
      if (token < 0 || token >= sizes.batch || place < 0 || place >= sizes.chosen) continue;
      const auto at = static_cast<size_t>(token * sizes.chosen + place);
      if (chosen[at] < 0 || chosen[at] / local != rank) continue;
      const auto [begin, end] = rows_of(chosen[at]);
      if (row >= begin && row < end) out[at] = theirs.At(row);
    }
  }
  return out;
}

void Combine::Count(const softnpu_peer& own, const std::vector<int64_t>& chosen,
                    softnpu_traffic* traffic) const {
  const auto bytes = static_cast<uint64_t>(sizes.hidden * Size(rows.dtype));
  for (const int64_t expert : chosen) {
    if (expert >= 0 && expert < group.experts) traffic->received[expert / group.local()] += bytes;
  }
  const PeerView sums = shown.Of(own, 1);
  int64_t before = 0;
  for (int64_t i = 0; i < group.experts; ++i) {
    const int64_t sum = sums.Int32(i);
    traffic->sent[i % group.ranks] += static_cast<uint64_t>(sum - before) * bytes;
    before = sum;
  }
}

void Combine::Take(const softnpu_peer* peers, softnpu_traffic* traffic) const {
  const std::vector<int64_t> chosen = ReadAssignments(ids, mask, group);
  Count(peers[group.rank], chosen, traffic);
  const std::vector<const std::byte*> found = Find(peers, chosen);
  const std::vector<float> factors = Floats(scales);
  const auto size = static_cast<size_t>(sizes.hidden);
  std::vector<double> sum(size);
  std::vector<double> row(size);
  for (int64_t token = 0; token < sizes.batch; ++token) {
    std::fill(sum.begin(), sum.end(), 0.0);
    bool active = false;
    for (int64_t place = 0; place < sizes.chosen; ++place) {
      const auto at = static_cast<size_t>(token * sizes.chosen + place);
      const int64_t expert = chosen[at];
      if (expert < 0) continue;
      active = true;
      if (expert >= group.experts + group.zero_experts) {
        LoadElements(original.dtype,
                     original.Host() + token * original.Stride(0) * Size(original.dtype),
                     original.Stride(1), sizes.hidden, row.data());
      } else if (expert >= group.experts) {
        continue;
      } else if (found[at] == nullptr) {
        throw Error(kAicoreException,
                    Format("rank %lld has no row of expert %lld for token %lld: what dispatch gave "
                           "does not belong to these 'expertIds'",
                           Long(expert / group.local()), Long(expert), Long(token)));
      } else {
        const PeerView theirs = shown.Of(peers[expert / group.local()], 0);
        LoadElements(theirs.dtype, found[at], theirs.strides[1], sizes.hidden, row.data());
      }
      for (size_t i = 0; i < size; ++i) sum[i] += static_cast<double>(factors[at]) * row[i];
    }
    if (!active) continue;
    const View to = Narrowed(out, 0, token, 1);
    StoreElements(out.dtype, to.Host(), out.Stride(1), sizes.hidden, sum.data());
    to.MarkWritten();
  }
}

void CheckCombineOptions(const ExpertGroup& group, const CombineOptions& options) {
  const bool hierarchy = group.IsHierarchy();
  if (options.quant_mode == 2 && hierarchy) {
    throw Error(kAclnnNotImplemented, "'commQuantMode' is 2; SoftNPU sends rows as they are (0)");
  }
  const struct {
    const char* name;
    int64_t value;
  } rows[] = {{"outDtype", options.out_dtype},
              {"commQuantMode", options.quant_mode},
              {"groupListType", options.group_list_type}};
  for (const auto& [name, value] : rows) {
    if (value != 0) RefuseExperts(Format("'%s' is %lld; it must be 0", name, Long(value)));
  }
}

void PlanCombine(Plan& plan, const ExpertGroup& group, const Tensor* rows, const Tensor* ids,
                 const Tensor* places, const Tensor* counts, const Tensor* expert_scales,
                 const CombineOptions& options, const Tensor* out) {
  Combine call;
  call.group = group;
  call.rows = plan.Some(rows, "expandX");
  call.ids = plan.Get(ids, "expertIds");
  call.sizes = CheckTokens(call.rows, "expandX", call.ids);
  call.sizes.room = call.rows.Dim(0);
  CheckGroup(group, call.sizes);
  CheckCombineOptions(group, options);
  const char* const places_name = group.first_version ? "expandIdx" : "assistInfoForCombine";
  call.places = plan.Some(places, places_name);
  call.counts = plan.Some(counts, "epSendCounts");
  call.scales = plan.Get(expert_scales, "expertScales");
  const View weights = plan.Some(options.weights, "expandScales");
  if (options.mask != nullptr) call.mask = plan.Get(options.mask, "xActiveMask");
  CheckMask(call.mask, group, call.sizes);
  CheckDtype(call.places, places_name, {DType::kInt32});
  CheckDtype(call.counts, "epSendCounts", {DType::kInt32});
  CheckDtype(call.scales, "expertScales", {DType::kFloat});
  CheckDtype(weights, "expandScales", {DType::kFloat});
  RequireRoom(call.places, places_name,
              group.first_version ? call.sizes.batch * call.sizes.chosen : call.sizes.room * kInfo);
  RequireRoom(call.counts, "epSendCounts", group.experts);
  RequireDims(call.scales, "expertScales", {call.sizes.batch, call.sizes.chosen});
  RequireDims(weights, "expandScales", {call.sizes.room});
  if (options.original != nullptr) {
    call.original = plan.Get(options.original, "oriX");
    CheckDtype(call.original, "oriX", {call.rows.dtype});
    RequireDims(call.original, "oriX", {call.sizes.batch, call.sizes.hidden});
  } else if (group.copy_experts > 0) {
    RefuseExperts(Format("'copyExpertNum' is %lld, and 'oriX' is null", Long(group.copy_experts)));
  }
  call.out = options.mask == nullptr ? plan.Out(out, "x") : plan.Some(out, "x");
  CheckDtype(call.out, "x", {call.rows.dtype});
  RequireDims(call.out, "x", {call.sizes.batch, call.sizes.hidden});
  call.shown.Add(call.rows, "expandX");
  call.shown.Add(call.counts, "epSendCounts");
  call.shown.Add(call.places, places_name);
  plan.run = [call] {
    ReadAssignments(call.ids, call.mask, call.group);
    call.CheckShown();
  };
  PlanExchange(
      plan, group, FormOf(group, call.sizes, call.rows.dtype), call.shown, {{call.out, "x"}},
      [call](const softnpu_peer* peers, softnpu_traffic* traffic) { call.Take(peers, traffic); });
}

void RequireReserved(const Tensor* activation_scale, const Tensor* weight_scale,
                     const Tensor* group_list) {
  RequireNone(activation_scale, "activationScale");
  RequireNone(weight_scale, "weightScale");
  RequireNone(group_list, "groupList");
}

void RequireNoConstants(const Tensor* shared_x, const Tensor* elastic_info, const Tensor* alpha_1,
                        const Tensor* alpha_2, const Tensor* constant) {
  RequireNone(shared_x, "sharedExpertX");
  RequireNone(elastic_info, "elasticInfo");
  RequireNone(alpha_1, "constExpertAlpha1");
  RequireNone(alpha_2, "constExpertAlpha2");
  RequireNone(constant, "constExpertV");
}

void RequireNoTimes(const Tensor* performance_info) {
  if (performance_info == nullptr || performance_info->view.Count() == 0) return;
  throw Error(kAclnnNotImplemented,
              "'performanceInfo' is given; SoftNPU does not measure how long ranks wait");
}

}  // namespace

// What all versions have, in their order.
#define SOFTNPU_GROUP                                                                          \
  (const char*, ep), (int64_t, ranks), (int64_t, rank), (int64_t, experts), (const char*, tp), \
      (int64_t, tp_ranks), (int64_t, tp_rank), (int64_t, shard_type), (int64_t, shared),       \
      (int64_t, shared_ranks)
#define SOFTNPU_GROUP_NAMES \
  ep, ranks, rank, experts, tp, tp_ranks, tp_rank, shard_type, shared, shared_ranks
#define SOFTNPU_TAKEN                                                                  \
  (const Tensor*, expand_x), (const Tensor*, dynamic_scales), (const Tensor*, places), \
      (const Tensor*, expert_token_nums), (const Tensor*, ep_recv_counts),             \
      (const Tensor*, tp_recv_counts), (const Tensor*, expand_scales)
#define SOFTNPU_TAKEN_NAMES \
  {expand_x, dynamic_scales, places, expert_token_nums, ep_recv_counts, expand_scales}
#define SOFTNPU_GIVEN                                                              \
  (const Tensor*, expand_x), (const Tensor*, expert_ids), (const Tensor*, places), \
      (const Tensor*, ep_send_counts), (const Tensor*, expert_scales),             \
      (const Tensor*, tp_send_counts), (const Tensor*, x_active_mask),             \
      (const Tensor*, activation_scale), (const Tensor*, weight_scale),            \
      (const Tensor*, group_list), (const Tensor*, expand_scales)

ACLNN(MoeDistributeDispatch, (const Tensor*, x), (const Tensor*, expert_ids),
      (const Tensor*, scales), (const Tensor*, x_active_mask), (const Tensor*, expert_scales),
      SOFTNPU_GROUP, (int64_t, quant_mode), (int64_t, global_bs), (int64_t, counts_type),
      SOFTNPU_TAKEN) {
  ExpertGroup group{SOFTNPU_GROUP_NAMES, global_bs};
  group.first_version = true;
  PlanDispatch(plan, group, x, expert_ids, expert_scales,
               {scales, x_active_mask, quant_mode, counts_type}, SOFTNPU_TAKEN_NAMES);
}

ACLNN(MoeDistributeDispatchV2, (const Tensor*, x), (const Tensor*, expert_ids),
      (const Tensor*, scales), (const Tensor*, x_active_mask), (const Tensor*, expert_scales),
      SOFTNPU_GROUP, (int64_t, quant_mode), (int64_t, global_bs), (int64_t, counts_type),
      (const char*, algorithm), SOFTNPU_TAKEN) {
  PlanDispatch(plan, {SOFTNPU_GROUP_NAMES, global_bs, algorithm}, x, expert_ids, expert_scales,
               {scales, x_active_mask, quant_mode, counts_type}, SOFTNPU_TAKEN_NAMES);
}

ACLNN(MoeDistributeDispatchV3, (const Tensor*, x), (const Tensor*, expert_ids),
      (const Tensor*, scales), (const Tensor*, x_active_mask), (const Tensor*, expert_scales),
      (const Tensor*, elastic_info), SOFTNPU_GROUP, (int64_t, quant_mode), (int64_t, global_bs),
      (int64_t, counts_type), (const char*, algorithm), (int64_t, zero_experts),
      (int64_t, copy_experts), (int64_t, const_experts), SOFTNPU_TAKEN) {
  RequireNone(elastic_info, "elasticInfo");
  PlanDispatch(
      plan, {SOFTNPU_GROUP_NAMES, global_bs, algorithm, zero_experts, copy_experts, const_experts},
      x, expert_ids, expert_scales, {scales, x_active_mask, quant_mode, counts_type},
      SOFTNPU_TAKEN_NAMES);
}

ACLNN(MoeDistributeDispatchV4, (const Tensor*, x), (const Tensor*, expert_ids),
      (const Tensor*, scales), (const Tensor*, x_active_mask), (const Tensor*, expert_scales),
      (const Tensor*, elastic_info), (const Tensor*, performance_info), SOFTNPU_GROUP,
      (int64_t, quant_mode), (int64_t, global_bs), (int64_t, counts_type), (const char*, algorithm),
      (int64_t, zero_experts), (int64_t, copy_experts), (int64_t, const_experts), SOFTNPU_TAKEN) {
  RequireNone(elastic_info, "elasticInfo");
  RequireNoTimes(performance_info);
  PlanDispatch(
      plan, {SOFTNPU_GROUP_NAMES, global_bs, algorithm, zero_experts, copy_experts, const_experts},
      x, expert_ids, expert_scales, {scales, x_active_mask, quant_mode, counts_type},
      SOFTNPU_TAKEN_NAMES);
}

ACLNN(MoeDistributeCombine, SOFTNPU_GIVEN, SOFTNPU_GROUP, (int64_t, global_bs),
      (int64_t, out_dtype), (int64_t, quant_mode), (int64_t, group_list_type),
      (const Tensor*, out)) {
  ExpertGroup group{SOFTNPU_GROUP_NAMES, global_bs};
  group.first_version = true;
  RequireReserved(activation_scale, weight_scale, group_list);
  PlanCombine(plan, group, expand_x, expert_ids, places, ep_send_counts, expert_scales,
              {x_active_mask, expand_scales, nullptr, out_dtype, quant_mode, group_list_type}, out);
}

ACLNN(MoeDistributeCombineV2, SOFTNPU_GIVEN, (const Tensor*, shared_x), SOFTNPU_GROUP,
      (int64_t, global_bs), (int64_t, out_dtype), (int64_t, quant_mode), (int64_t, group_list_type),
      (const char*, algorithm), (const Tensor*, out)) {
  RequireReserved(activation_scale, weight_scale, group_list);
  RequireNone(shared_x, "sharedExpertX");
  PlanCombine(plan, {SOFTNPU_GROUP_NAMES, global_bs, algorithm}, expand_x, expert_ids, places,
              ep_send_counts, expert_scales,
              {x_active_mask, expand_scales, nullptr, out_dtype, quant_mode, group_list_type}, out);
}

ACLNN(MoeDistributeCombineV3, SOFTNPU_GIVEN, (const Tensor*, shared_x),
      (const Tensor*, elastic_info), (const Tensor*, original), (const Tensor*, alpha_1),
      (const Tensor*, alpha_2), (const Tensor*, constant), SOFTNPU_GROUP, (int64_t, global_bs),
      (int64_t, out_dtype), (int64_t, quant_mode), (int64_t, group_list_type),
      (const char*, algorithm), (int64_t, zero_experts), (int64_t, copy_experts),
      (int64_t, const_experts), (const Tensor*, out)) {
  RequireReserved(activation_scale, weight_scale, group_list);
  RequireNoConstants(shared_x, elastic_info, alpha_1, alpha_2, constant);
  PlanCombine(
      plan, {SOFTNPU_GROUP_NAMES, global_bs, algorithm, zero_experts, copy_experts, const_experts},
      expand_x, expert_ids, places, ep_send_counts, expert_scales,
      {x_active_mask, expand_scales, original, out_dtype, quant_mode, group_list_type}, out);
}

ACLNN(MoeDistributeCombineV4, SOFTNPU_GIVEN, (const Tensor*, shared_x),
      (const Tensor*, elastic_info), (const Tensor*, original), (const Tensor*, alpha_1),
      (const Tensor*, alpha_2), (const Tensor*, constant), (const Tensor*, performance_info),
      SOFTNPU_GROUP, (int64_t, global_bs), (int64_t, out_dtype), (int64_t, quant_mode),
      (int64_t, group_list_type), (const char*, algorithm), (int64_t, zero_experts),
      (int64_t, copy_experts), (int64_t, const_experts), (const Tensor*, out)) {
  RequireReserved(activation_scale, weight_scale, group_list);
  RequireNoConstants(shared_x, elastic_info, alpha_1, alpha_2, constant);
  RequireNoTimes(performance_info);
  PlanCombine(
      plan, {SOFTNPU_GROUP_NAMES, global_bs, algorithm, zero_experts, copy_experts, const_experts},
      expand_x, expert_ids, places, ep_send_counts, expert_scales,
      {x_active_mask, expand_scales, original, out_dtype, quant_mode, group_list_type}, out);
}

}  // namespace softnpu
