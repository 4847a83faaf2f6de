// cc/softnpu/opapi/attention_ops.cc: which calls of the fused attention the device takes.
//
// What is refused follows the operator's documentation for Atlas A2/A3: dtypes, layouts, head and
// block sizes, mask shapes, lists of lengths. attention.cc computes.
#include <cstring>
#include <numeric>

#include "cc/softnpu/opapi/attention.h"
#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/operator.h"

namespace softnpu {
namespace {

constexpr int64_t kMaxSequences = 65536;
constexpr size_t kMaxPackedSequences = 4096;
constexpr int64_t kMaxKeys = 20971520;
constexpr int64_t kMaxKeysOfOneQuery = 262144;

[[noreturn]] void Refuse(const std::string& sentence) { throw Error(kAclnnInvalid, sentence); }
[[noreturn]] void RefuseTiling(const std::string& sentence) { throw Error(kAclnnTiling, sentence); }

long long Long(int64_t value) { return static_cast<long long>(value); }

// The arguments that SoftNPU has.
struct Call {
  const Plan& plan;
  const IntArray* query_lengths;
  const IntArray* kv_lengths;
  const Tensor* block_table;
  const Tensor* mask;
  std::string layout;
  int64_t sparse_mode;

  bool tnd() const { return layout == "TND"; }
  bool bsh() const { return layout == "BSH"; }
  bool bsnd() const { return layout == "BSND"; }
  bool bnsd() const { return layout == "BNSD"; }
  bool paged() const { return block_table != nullptr; }
};

void CheckTemplate(const View& mask) {
  if (mask.dtype != DType::kBool && mask.dtype != DType::kInt8 && mask.dtype != DType::kUint8) {
    Refuse("'atten_mask' is " + mask.Text() + ", it must be bool, int8 or uint8");
  }
  const std::vector<int64_t> shape = mask.Shape();
  const size_t rank = shape.size();
  bool fits = rank >= 2 && rank <= 4;
  for (size_t i = 0; i < rank && fits; ++i) {
    fits = shape[i] == (i + 2 < rank ? 1 : kMaskSide);
  }
  if (!fits || !mask.IsContiguous()) {
    RefuseTiling("'atten_mask' is " + mask.Text() +
                 "; sparse modes 2, 3 and 4 need exactly [2048, 2048]");
  }
}

// Dtypes: 16 bit, all equal. Everything is contiguous.
void CheckTensors(const Attention& a) {
  if (a.query.dtype != DType::kHalf && a.query.dtype != DType::kBfloat16) {
    Refuse("'query' is " + a.query.Text() + ", it must be float16 or bfloat16");
  }
  if (!a.query.IsContiguous()) Refuse("'query' is not contiguous");
  for (const auto& [view, name] :
       {std::pair{&a.key, "key"}, std::pair{&a.value, "value"}, std::pair{&a.output, "output"}}) {
    if (view->dtype != a.query.dtype) {
      Refuse(std::string("'") + name + "' is " + view->Text() + ", 'query' is " + a.query.Text());
    }
    if (!view->IsContiguous()) Refuse(std::string("'") + name + "' is not contiguous");
  }
}

void CheckHeads(const Attention& a) {
  if (a.heads <= 0 || a.heads > 256 || a.kv_heads <= 0 || a.heads % a.kv_heads != 0 ||
      a.heads / a.kv_heads > 64) {
    RefuseTiling(
        Format("%lld query heads over %lld key heads: at most 256, a multiple of the key "
               "heads, at most 64 times as many",
               Long(a.heads), Long(a.kv_heads)));
  }
}

// The shape of a tensor of `heads` heads and `size` elements each, in the layout of the call.
std::vector<int64_t> Shape(const Call& call, int64_t batch, int64_t steps, int64_t heads,
                           int64_t size) {
  if (call.tnd()) return {steps, heads, size};
  if (call.bsh()) return {batch, steps, heads * size};
  if (call.bsnd()) return {batch, steps, heads, size};
  return {batch, heads, steps, size};
}

// Reads batch, steps and head size from the shape of the query.
void ReadQuery(const Call& call, Attention* a) {
  if (!call.tnd() && !call.bsh() && !call.bsnd() && !call.bnsd()) {
    throw Error(kAclnnNotImplemented,
                "the layout " + call.layout + "; SoftNPU has TND, BSH, BSND and BNSD");
  }
  const View& query = a->query;
  if (query.rank != (call.tnd() || call.bsh() ? 3 : 4)) {
    Refuse("'query' is " + query.Text() + ", which is not of the layout " + call.layout);
  }
  a->packed = call.tnd();
  a->heads_first = call.bnsd();
  a->batch = call.tnd() ? 0 : query.Dim(0);
  a->steps = query.Dim(call.tnd() ? 0 : call.bnsd() ? 2 : 1);
  a->size = query.Dim(query.rank - 1) / (call.bsh() ? a->heads : 1);
  if (query.Shape() != Shape(call, a->batch, a->steps, a->heads, a->size)) {
    RefuseTiling(
        Format("'query' is %s, the number of heads %lld", query.Text().c_str(), Long(a->heads)));
  }
  if (a->batch > kMaxSequences) {
    RefuseTiling(Format("'query' is %s: %lld sequences, the limit is %lld", query.Text().c_str(),
                        Long(a->batch), Long(kMaxSequences)));
  }
}

// Reads the head size of values from the keys and values, whose shapes are compared.
void ReadValues(const Call& call, Attention* a) {
  std::vector<int64_t> keys = a->key.Shape();
  std::vector<int64_t> values = a->value.Shape();
  // The heads and the head size share a dimension in BSH and in a paged cache of 3 dimensions.
  const bool joint = call.bsh() || (call.paged() && keys.size() == 3);
  const int64_t parts = joint ? a->kv_heads : 1;
  if (keys.empty() || values.size() != keys.size() || values.back() % parts != 0) {
    Refuse("'key' is " + a->key.Text() + ", 'value' is " + a->value.Text());
  }
  a->value_size = values.back() / parts;
  const bool wider = keys.back() != values.back();
  keys.pop_back();
  values.pop_back();
  if (keys != values || (wider && !call.tnd())) {
    Refuse("'key' is " + a->key.Text() + ", 'value' is " + a->value.Text());
  }
  if (a->output.Shape() != Shape(call, a->batch, a->steps, a->heads, a->value_size)) {
    Refuse("'output' is " + a->output.Text() + ", 'query' is " + a->query.Text() +
           Format(" and values have %lld elements", Long(a->value_size)));
  }
}

void CheckHeadSize(const Call& call, const Attention& a) {
  if (a.size == 0 || a.size > 512 || a.size % 16 != 0) {
    RefuseTiling(Format("the head size %lld: a multiple of 16, at most 512", Long(a.size)));
  }
  if (!call.tnd()) return;
  const bool grouped = a.heads != a.kv_heads;
  const bool legal = (a.size == 128 && a.value_size == 128) ||
                     (a.size == 192 && a.value_size == 128) ||
                     (a.size == 192 && a.value_size == 192 && !grouped && !call.paged()) ||
                     (a.size == 64 && a.value_size == 64 && !grouped);
  if (!legal) {
    RefuseTiling(
        Format("the head size %lld in the layout TND, %lld for values, %lld query heads over %lld "
               "key heads: 128 and 128, 192 and 128, or, with as many key heads as query heads, "
               "64 and 64 or (not paged) 192 and 192",
               Long(a.size), Long(a.value_size), Long(a.heads), Long(a.kv_heads)));
  }
}

// The lengths of a cumulative list that ends at `total`.
void ReadEnds(const std::vector<int64_t>& ends, const char* name, int64_t total, const char* of,
              std::vector<int64_t>* starts, std::vector<int64_t>* lengths) {
  int64_t start = 0;
  for (const int64_t end : ends) {
    if (end < start || end > total) {
      RefuseTiling(Format("'%s' holds %lld after %lld: it is cumulative and ends at %lld", name,
                          Long(end), Long(start), Long(total)));
    }
    starts->push_back(start);
    lengths->push_back(end - start);
    start = end;
  }
  if (start != total) {
    RefuseTiling(
        Format("'%s' ends at %lld, '%s' has %lld tokens", name, Long(start), of, Long(total)));
  }
}

void ReadQueryLengths(const Call& call, Attention* a) {
  constexpr const char* kName = "actual_seq_lengths";
  if (call.tnd()) {
    const auto& ends = call.plan.Required(call.query_lengths, kName).values;
    call.plan.Required(call.kv_lengths, "actual_seq_lengths_kv");
    if (ends.empty() || ends.size() > kMaxPackedSequences) {
      RefuseTiling(Format("'%s' has %zu entries, the limits are 1 and %zu", kName, ends.size(),
                          kMaxPackedSequences));
    }
    ReadEnds(ends, kName, a->steps, "query", &a->q_start, &a->q_length);
    a->batch = static_cast<int64_t>(ends.size());
    return;
  }
  const auto batch = static_cast<size_t>(a->batch);
  a->q_start.assign(batch, 0);
  a->q_length.assign(batch, a->steps);
  // Ignored with one token per sequence.
  if (call.query_lengths == nullptr || call.query_lengths->values.empty() || a->steps == 1) return;
  const auto& given = call.query_lengths->values;
  if (given.size() != 1 && given.size() < batch) {
    RefuseTiling(Format("'%s' has %zu entries for %zu sequences", kName, given.size(), batch));
  }
  for (size_t i = 0; i < batch; ++i) {
    a->q_length[i] = given[given.size() == 1 ? 0 : i];
    if (a->q_length[i] < 0 || a->q_length[i] > a->steps) {
      RefuseTiling(Format("'%s' holds %lld, the limits are 0 and %lld", kName, Long(a->q_length[i]),
                          Long(a->steps)));
    }
  }
}

// A length per sequence, or (not packed) one for all, each at most `limit`.
void ReadKeyLengths(const Call& call, int64_t limit, Attention* a) {
  const auto batch = static_cast<size_t>(a->batch);
  const auto& given = call.plan.Required(call.kv_lengths, "actual_seq_lengths_kv").values;
  if (given.size() != batch && (call.tnd() || given.size() != 1)) {
    RefuseTiling(
        Format("'actual_seq_lengths_kv' has %zu entries for %zu sequences", given.size(), batch));
  }
  for (size_t i = 0; i < batch; ++i) {
    const int64_t length = given[given.size() == 1 ? 0 : i];
    if (length < 0 || length > limit) {
      RefuseTiling(
          Format("'actual_seq_lengths_kv' gives a length of %lld, the limits are 0 and %lld",
                 Long(length), Long(limit)));
    }
    a->kv_length.push_back(length);
  }
}

void CheckBlockSize(const Call& call, const Attention& a) {
  const bool one_step = !call.tnd() && a.steps == 1;
  const int64_t size = a.block_size;
  const bool legal = one_step     ? size > 0 && size <= 512 && size % 16 == 0
                     : call.tnd() ? size > 0 && size <= 1024 && size % 16 == 0
                                  : size >= 128 && size <= 512 && size % 128 == 0;
  if (!legal) {
    RefuseTiling(Format("the block size %lld: %s", Long(size),
                        one_step     ? "a multiple of 16, at most 512"
                        : call.tnd() ? "a multiple of 16, at most 1024"
                                     : "128, 256, 384 or 512"));
  }
}

void ReadPagedKeys(const Call& call, Attention* a) {
  a->table = call.plan.Some(call.block_table, "block_table");
  if (a->table.dtype != DType::kInt32 || a->table.rank != 2 || a->table.Dim(0) != a->batch ||
      a->table.Dim(1) == 0) {
    RefuseTiling("'block_table' is " + a->table.Text() +
                 Format(", it must be int32 [%lld, blocks per sequence]", Long(a->batch)));
  }
  CheckBlockSize(call, *a);
  const View& key = a->key;
  a->block_heads_first = key.rank == 4;
  const int64_t blocks = key.Dim(0);
  const std::vector<int64_t> want =
      a->block_heads_first ? std::vector<int64_t>{blocks, a->kv_heads, a->block_size, a->size}
                           : std::vector<int64_t>{blocks, a->block_size, a->kv_heads * a->size};
  if (key.Shape() != want) {
    RefuseTiling(
        Format("the paged 'key' is %s; with block size %lld and %lld heads of %lld it "
               "must be [blocks, block size, heads * size] or [blocks, heads, block "
               "size, size]",
               key.Text().c_str(), Long(a->block_size), Long(a->kv_heads), Long(a->size)));
  }
  if (a->block_heads_first && (call.bsh() || call.bsnd())) {
    RefuseTiling("a cache of 4 dimensions needs the layout BNSD or TND, not " + call.layout);
  }
  if (!a->block_heads_first && a->kv_heads * a->size > 65535) {
    RefuseTiling(Format("heads * size of the paged 'key' is %lld, the limit is 65535",
                        Long(a->kv_heads * a->size)));
  }
  ReadKeyLengths(call, a->table.Dim(1) * a->block_size, a);
}

void ReadDenseKeys(const Call& call, Attention* a) {
  const View& key = a->key;
  a->kv_steps = key.rank < 3 ? 0 : key.Dim(call.tnd() ? 0 : call.bnsd() ? 2 : 1);
  if (key.Shape() != Shape(call, a->batch, a->kv_steps, a->kv_heads, a->size)) {
    RefuseTiling("'key' is " + key.Text() + ", 'query' is " + a->query.Text() +
                 Format(" with %lld key heads", Long(a->kv_heads)));
  }
  if (!call.tnd()) {
    a->kv_start.assign(static_cast<size_t>(a->batch), 0);
    if (call.kv_lengths != nullptr && !call.kv_lengths->values.empty()) {
      ReadKeyLengths(call, a->kv_steps, a);
    } else {
      a->kv_length.assign(static_cast<size_t>(a->batch), a->kv_steps);
    }
    return;
  }
  const auto& ends = call.kv_lengths->values;
  if (ends.size() != static_cast<size_t>(a->batch)) {
    RefuseTiling(Format("'actual_seq_lengths_kv' has %zu entries for %lld sequences", ends.size(),
                        Long(a->batch)));
  }
  ReadEnds(ends, "actual_seq_lengths_kv", a->kv_steps, "key", &a->kv_start, &a->kv_length);
}

void CheckLongest(const Call& call, const Attention& a) {
  const bool one_query = !call.tnd() && a.steps == 1;
  const int64_t most = one_query ? kMaxKeysOfOneQuery : kMaxKeys;
  for (const int64_t length : a.kv_length) {
    if (length > most) {
      RefuseTiling(Format("a sequence has %lld keys, the limit is %lld", Long(length), Long(most)));
    }
  }
}

// The template of sparse mode 3; rank 0 without a mask.
View ReadMask(const Call& call, const Attention& a) {
  const bool one_query = !call.tnd() && a.steps == 1;  // the sparse mode is ignored then
  switch (one_query ? 0 : call.sparse_mode) {
    case 0:
      if (call.mask != nullptr && !one_query) {
        throw Error(kAclnnNotImplemented,
                    "sparse mode 0 with a mask; SoftNPU has mode 0 without and mode 3 with one");
      }
      return {};
    case 3: {
      const View mask = call.plan.Get(call.mask, "atten_mask");
      CheckTemplate(mask);
      return mask;
    }
    case 1:
    case 2:
    case 4:
      throw Error(kAclnnNotImplemented, Format("sparse mode %lld; SoftNPU has the modes 0 and 3",
                                               Long(call.sparse_mode)));
    default:
      RefuseTiling(Format("sparse mode %lld, the limits are 0 and 4", Long(call.sparse_mode)));
  }
}

void CheckPrecision(const Call& call, const Attention& a, int64_t inner_precise) {
  const int64_t most = !call.tnd() && a.steps == 1 ? 1 : 3;
  if (inner_precise < 0 || inner_precise > most) {
    RefuseTiling(Format("'inner_precise' is %lld, the limits are 0 and %lld", Long(inner_precise),
                        Long(most)));
  }
}

View Only(const std::vector<View>& views) {
  if (views.size() != 1) {
    throw Error(kAclnnNotImplemented,
                Format("%zu key tensors; SoftNPU has attention over one", views.size()));
  }
  return views[0];
}

void RefuseGiven(std::initializer_list<std::pair<const void*, const char*>> arguments) {
  for (const auto& [argument, name] : arguments) {
    if (argument == nullptr) continue;
    throw Error(kAclnnNotImplemented,
                std::string("'") + name + "' is given; SoftNPU has attention without it only");
  }
}

}  // namespace

ACLNN(FusedInferAttentionScoreV3, (const Tensor*, query), (const TensorList*, key),
      (const TensorList*, value), (const Tensor*, pse_shift), (const Tensor*, atten_mask),
      (const IntArray*, actual_seq_lengths), (const IntArray*, actual_seq_lengths_kv),
      (const Tensor*, dequant_scale1), (const Tensor*, quant_scale1),
      (const Tensor*, dequant_scale2), (const Tensor*, quant_scale2),
      (const Tensor*, quant_offset2), (const Tensor*, antiquant_scale),
      (const Tensor*, antiquant_offset), (const Tensor*, block_table),
      (const Tensor*, query_padding_size), (const Tensor*, kv_padding_size),
      (const Tensor*, key_antiquant_scale), (const Tensor*, key_antiquant_offset),
      (const Tensor*, value_antiquant_scale), (const Tensor*, value_antiquant_offset),
      (const Tensor*, key_shared_prefix), (const Tensor*, value_shared_prefix),
      (const IntArray*, actual_shared_prefix_len), (const Tensor*, query_rope),
      (const Tensor*, key_rope), (const Tensor*, key_rope_antiquant_scale), (int64_t, num_heads),
      (double, scale), (int64_t, pre_tokens), (int64_t, next_tokens), (const char*, input_layout),
      (int64_t, num_key_value_heads), (int64_t, sparse_mode), (int64_t, inner_precise),
      (int64_t, block_size), (int64_t, antiquant_mode), (bool, softmax_lse_flag),
      (int64_t, key_antiquant_mode), (int64_t, value_antiquant_mode), (Tensor*, output),
      (Tensor*, softmax_lse)) {
  RefuseGiven({{pse_shift, "pse_shift"},
               {dequant_scale1, "dequant_scale1"},
               {quant_scale1, "quant_scale1"},
               {dequant_scale2, "dequant_scale2"},
               {quant_scale2, "quant_scale2"},
               {quant_offset2, "quant_offset2"},
               {antiquant_scale, "antiquant_scale"},
               {antiquant_offset, "antiquant_offset"},
               {query_padding_size, "query_padding_size"},
               {kv_padding_size, "kv_padding_size"},
               {key_antiquant_scale, "key_antiquant_scale"},
               {key_antiquant_offset, "key_antiquant_offset"},
               {value_antiquant_scale, "value_antiquant_scale"},
               {value_antiquant_offset, "value_antiquant_offset"},
               {key_shared_prefix, "key_shared_prefix"},
               {value_shared_prefix, "value_shared_prefix"},
               {query_rope, "query_rope"},
               {key_rope, "key_rope"}});
  if (softmax_lse_flag) {
    throw Error(kAclnnNotImplemented, "'softmax_lse_flag' is true; SoftNPU does not return it");
  }
  Attention a;
  a.query = plan.Some(query, "query");
  a.output = plan.Some(output, "output");
  a.key = Only(plan.Some(key, "key"));
  a.value = Only(plan.Some(value, "value"));
  CheckTensors(a);
  a.heads = num_heads;
  a.kv_heads = num_key_value_heads == 0 ? num_heads : num_key_value_heads;
  CheckHeads(a);
  a.block_size = block_size;
  a.scale = static_cast<float>(scale);
  plan.Required(input_layout, "input_layout");
  const Call call{plan,         actual_seq_lengths, actual_seq_lengths_kv, block_table, atten_mask,
                  input_layout, sparse_mode};
  ReadQuery(call, &a);
  ReadValues(call, &a);
  CheckHeadSize(call, a);
  ReadQueryLengths(call, &a);
  call.paged() ? ReadPagedKeys(call, &a) : ReadDenseKeys(call, &a);
  CheckLongest(call, a);
  const View mask = ReadMask(call, a);
  CheckPrecision(call, a, inner_precise);
  plan.run = [a, mask]() mutable {
    if (mask.rank != 0) a.masked = ReadTemplate(mask);
    a.Run();
  };
}

}  // namespace softnpu
