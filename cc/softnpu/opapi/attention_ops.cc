// cc/softnpu/opapi/attention_ops.cc: which calls of the fused attention the device takes.
//
// What is refused follows the operator's documentation for Atlas A2/A3: dtypes, layouts, head and
// block sizes, mask shapes, lists of lengths. attention.cc computes.
#include <algorithm>
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

// The arguments that SoftNPU has.
struct Call {
  const Plan& plan;
  const IntArray* query_lengths;
  const IntArray* kv_lengths;
  const Tensor* block_table;
  const Tensor* mask;
  const Tensor* query_rope;
  const Tensor* key_rope;
  std::string layout;
  int64_t sparse_mode;
  int64_t pre_tokens;
  int64_t next_tokens;

  bool tnd() const { return layout == "TND"; }
  bool bsh() const { return layout == "BSH"; }
  bool bsnd() const { return layout == "BSND"; }
  bool bnsd() const { return layout == "BNSD"; }
  bool paged() const { return block_table != nullptr; }
  // Multi-head latent attention: positions are in elements of their own.
  bool has_rope() const { return query_rope != nullptr; }
  // Whether the heads and the head size of keys share a dimension: in BSH, and in a paged cache of
  // 3 dimensions.
  bool joint(const View& keys) const { return bsh() || (paged() && keys.rank == 3); }
  // The incremental form of the operator.
  bool one_query(const Attention& a) const { return !tnd() && a.steps == 1; }
};

void CheckMaskType(const View& mask) {
  if (mask.dtype != DType::kBool && mask.dtype != DType::kInt8 && mask.dtype != DType::kUint8) {
    Refuse("'atten_mask' is " + mask.Text() + ", it must be bool, int8 or uint8");
  }
}

bool IsTemplate(const View& mask) {
  const std::vector<int64_t> shape = mask.Shape();
  const size_t rank = shape.size();
  bool fits = rank >= 2 && rank <= 4;
  for (size_t i = 0; i < rank && fits; ++i) {
    fits = shape[i] == (i + 2 < rank ? 1 : kMaskSide);
  }
  return fits && mask.IsContiguous();
}

void CheckTemplate(const View& mask) {
  CheckMaskType(mask);
  if (!IsTemplate(mask)) {
    RefuseTiling("'atten_mask' is " + mask.Text() +
                 "; sparse modes 2, 3 and 4 need exactly [2048, 2048]");
  }
}

int64_t RoundedUp(int64_t value) { return (value + 31) / 32 * 32; }

// A mask with an element for each query and key, as [1 or batch, 1, queries, keys]. Sides may be
// rounded up to 32; over a paged cache it is as wide as the block table, whatever the lengths.
View FullMask(const Call& call, const Attention& a) {
  const View mask = call.plan.Get(call.mask, "atten_mask");
  CheckMaskType(mask);
  if (!mask.IsContiguous()) Refuse("'atten_mask' is not contiguous");
  const std::vector<int64_t> shape = mask.Shape();
  const int64_t keys = call.paged() ? a.table.Dim(1) * a.block_size : a.kv_steps;
  // With one query, a row of two dimensions is that of a sequence.
  const bool flat = shape.size() == 2;
  std::vector<int64_t> dims = {1, 1, 0, 0};
  if (flat) {
    dims[a.steps == 1 ? 0 : 2] = shape[0];
    if (a.steps == 1) dims[2] = 1;
  } else if (shape.size() == 3 || shape.size() == 4) {
    dims[0] = shape[0];
    dims[2] = shape[shape.size() - 2];
  }
  if (!shape.empty()) dims[3] = shape.back();
  const bool fits = dims[2] >= a.steps && dims[2] <= RoundedUp(a.steps) && dims[3] >= keys &&
                    (call.paged() || dims[3] <= RoundedUp(keys)) &&
                    (dims[0] == a.batch || (dims[0] == 1 && !(flat && a.steps == 1))) &&
                    (shape.size() != 4 || shape[1] == 1);
  if (!fits || (flat && call.has_rope())) {
    RefuseTiling("'atten_mask' is " + mask.Text() +
                 Format("; for %lld sequences of %lld queries over %lld keys it must be "
                        "[sequences, 1, queries, keys]",
                        Long(a.batch), Long(a.steps), Long(keys)));
  }
  return Reshaped(mask, dims);
}

// Dtypes: 16 bit, all equal, or keys and values of int8. Everything is contiguous.
void CheckTensors(const Attention& a) {
  if (a.query.dtype != DType::kHalf && a.query.dtype != DType::kBfloat16) {
    Refuse("'query' is " + a.query.Text() + ", it must be float16 or bfloat16");
  }
  if (!a.query.IsContiguous()) Refuse("'query' is not contiguous");
  for (const auto& [view, name] :
       {std::pair{&a.key, "key"}, std::pair{&a.value, "value"}, std::pair{&a.output, "output"},
        std::pair{&a.query_rope, "query_rope"}, std::pair{&a.key_rope, "key_rope"}}) {
    if (view->rank == 0) continue;
    const bool whole = a.key.dtype == DType::kInt8 && (view == &a.key || view == &a.value);
    if (view->dtype != (whole ? DType::kInt8 : a.query.dtype)) {
      Refuse(std::string("'") + name + "' is " + view->Text() + ", 'query' is " + a.query.Text());
    }
    if (!view->IsContiguous()) Refuse(std::string("'") + name + "' is not contiguous");
  }
}

void CheckHeads(const Attention& a) {
  const int64_t most = a.query_rope.rank != 0 ? 128 : 64;
  if (a.heads <= 0 || a.heads > 256 || a.kv_heads <= 0 || a.heads % a.kv_heads != 0 ||
      a.heads / a.kv_heads > most) {
    RefuseTiling(
        Format("%lld query heads over %lld key heads: at most 256, a multiple of the key "
               "heads, at most %lld times as many",
               Long(a.heads), Long(a.kv_heads), Long(most)));
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
  const int64_t parts = call.joint(a->key) ? a->kv_heads : 1;
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
  if (a.key.dtype == DType::kInt8 && a.size % 32 != 0) {
    RefuseTiling(Format("the head size %lld with keys of int8: a multiple of 32", Long(a.size)));
  }
  if (!call.tnd() || call.has_rope()) return;
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
  const int64_t size = a.block_size;
  const bool free = call.tnd() || call.has_rope();
  const bool one_query = call.one_query(a);
  const int64_t step = a.key.dtype == DType::kInt8 ? 32 : 16;
  const bool legal = free        ? size > 0 && size <= 1024 && size % 16 == 0
                     : one_query ? size > 0 && size <= 512 && size % step == 0
                                 : size >= 128 && size <= 512 && size % 128 == 0;
  if (!legal) {
    RefuseTiling(Format("the block size %lld: %s", Long(size),
                        free        ? "a multiple of 16, at most 1024"
                        : one_query ? (step == 32 ? "a multiple of 32, at most 512, for int8"
                                                  : "a multiple of 16, at most 512")
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
  const int64_t most = call.one_query(a) ? kMaxKeysOfOneQuery : kMaxKeys;
  for (const int64_t length : a.kv_length) {
    if (length > most) {
      RefuseTiling(Format("a sequence has %lld keys, the limit is %lld", Long(length), Long(most)));
    }
  }
}

// The parts of latent attention: which shapes and sizes go with 512 and with 128 elements.
void ReadRope(const Call& call, Attention* a) {
  if ((call.query_rope == nullptr) != (call.key_rope == nullptr)) {
    RefuseTiling("of 'query_rope' and 'key_rope' only one is given");
  }
  if (!call.has_rope()) return;
  const View& rope = a->query_rope;
  a->rope_size = rope.Dim(rope.rank - 1) / (call.bsh() ? a->heads : 1);
  if (a->rope_size != 64 ||
      rope.Shape() != Shape(call, a->batch, a->steps, a->heads, a->rope_size)) {
    RefuseTiling("'query_rope' is " + rope.Text() + ", 'query' is " + a->query.Text() +
                 "; its heads have 64 elements");
  }
  std::vector<int64_t> keys = a->key.Shape();
  keys.back() = a->rope_size * (call.joint(a->key) ? a->kv_heads : 1);
  if (a->key_rope.Shape() != keys) {
    RefuseTiling("'key_rope' is " + a->key_rope.Text() + ", 'key' is " + a->key.Text() +
                 "; its heads have 64 elements");
  }
  if (a->size == 512 && a->value_size == 512) {
    const bool power = a->heads <= 128 && (a->heads & (a->heads - 1)) == 0;
    if (a->kv_heads != 1 || !power || (call.tnd() && a->heads < 32)) {
      RefuseTiling(
          Format("%lld query heads of 512 over %lld key heads: one key head and 1, 2, 4, "
                 ".. 128 query heads, in the layout TND 32, 64 or 128",
                 Long(a->heads), Long(a->kv_heads)));
    }
    if (!call.paged()) RefuseTiling("heads of 512 with 'query_rope' need a paged cache");
    if (!call.tnd() && a->steps > 16) {
      RefuseTiling(
          Format("%lld queries of a sequence with heads of 512: at most 16", Long(a->steps)));
    }
  } else if (a->size != 128 || a->value_size != 128 || !call.tnd() || call.paged()) {
    RefuseTiling(
        Format("the head size %lld, %lld for values, in the layout %s with 'query_rope': 512 and "
               "512 with a paged cache, or 128 and 128 in the layout TND without one",
               Long(a->size), Long(a->value_size), call.layout.c_str()));
  }
}

// The scales of keys and values: both or none, for int8 and for nothing else.
struct Scales {
  const Tensor* key;
  const Tensor* key_offset;
  int64_t key_mode;
  const Tensor* value;
  const Tensor* value_offset;
  int64_t value_mode;
};

void CheckScales(const Call& call, const Scales& scales, const Attention& a) {
  if (a.key.dtype != DType::kInt8 || scales.key == nullptr || scales.value == nullptr) {
    Refuse("'key' is " + a.key.Text() +
           Format(", 'key_antiquant_scale' is %s and 'value_antiquant_scale' is %s: int8 needs "
                  "both, other types have none",
                  scales.key == nullptr ? "missing" : "given",
                  scales.value == nullptr ? "missing" : "given"));
  }
  if ((scales.key_offset == nullptr) != (scales.value_offset == nullptr)) {
    Refuse("of 'key_antiquant_offset' and 'value_antiquant_offset' only one is given");
  }
  const bool mixed = scales.key_mode == 0 && scales.value_mode == 1;
  if (scales.key_mode != scales.value_mode && !mixed) {
    RefuseTiling(
        Format("'key_antiquant_mode' is %lld, 'value_antiquant_mode' is %lld: equal, or "
               "0 and 1",
               Long(scales.key_mode), Long(scales.value_mode)));
  }
  if (mixed && a.query.dtype != DType::kHalf) {
    Refuse("'query' is " + a.query.Text() +
           "; 'key_antiquant_mode' 0 with 'value_antiquant_mode' 1 needs float16");
  }
  if (call.tnd() || call.has_rope()) {
    RefuseTiling("keys of int8 in the layout " + call.layout +
                 (call.has_rope() ? " with 'query_rope'" : "") +
                 ": BSH, BSND or BNSD without 'query_rope'");
  }
  if (call.one_query(a)) return;
  if (call.paged() || a.steps > 16 || a.query.dtype != DType::kBfloat16) {
    RefuseTiling("'query' is " + a.query.Text() + Format(" with %lld queries", Long(a.steps)) +
                 (call.paged() ? " over a paged cache" : "") +
                 "; keys of int8 with more than one query need bfloat16, at most 16 queries and "
                 "no paged cache");
  }
}

void ReadScales(const Call& call, const Scales& scales, Attention* a) {
  if (a->key.dtype != DType::kInt8 && scales.key == nullptr && scales.value == nullptr &&
      scales.key_offset == nullptr && scales.value_offset == nullptr) {
    return;
  }
  CheckScales(call, scales, *a);
  const int64_t blocks = call.paged() ? a->key.Dim(0) : 0;
  const int64_t tokens = call.paged() ? a->table.Dim(1) * a->block_size : a->kv_steps;
  const AntiquantShape shape{
      call.one_query(*a), a->batch,      a->kv_heads, a->size, tokens, blocks,
      a->block_size,      a->query.dtype};
  const auto view = [&](const Tensor* tensor, const char* name) {
    return tensor == nullptr ? View{} : call.plan.Some(tensor, name);
  };
  constexpr const char* kKey = "key_antiquant_scale";
  constexpr const char* kKeyOffset = "key_antiquant_offset";
  constexpr const char* kValue = "value_antiquant_scale";
  constexpr const char* kValueOffset = "value_antiquant_offset";
  a->key_antiquant = ReadAntiquant(kKey, view(scales.key, kKey), kKeyOffset,
                                   view(scales.key_offset, kKeyOffset), scales.key_mode, shape);
  a->value_antiquant =
      ReadAntiquant(kValue, view(scales.value, kValue), kValueOffset,
                    view(scales.value_offset, kValueOffset), scales.value_mode, shape);
}

// Where the log of the sum of exponentials goes.
void ReadLse(const Call& call, const Tensor* softmax_lse, bool wanted, Attention* a) {
  if (!wanted) return;
  if (a->size == 512 && call.has_rope()) {
    RefuseTiling("'softmax_lse_flag' is true, which heads of 512 with 'query_rope' do not have");
  }
  a->lse = call.plan.Some(softmax_lse, "softmax_lse");
  const std::vector<int64_t> want = call.tnd()
                                        ? std::vector<int64_t>{a->steps, a->heads, 1}
                                        : std::vector<int64_t>{a->batch, a->heads, a->steps, 1};
  if (a->lse.dtype != DType::kFloat || a->lse.Shape() != want || !a->lse.IsContiguous()) {
    Refuse("'softmax_lse' is " + a->lse.Text() + ", which does not fit 'query' " + a->query.Text());
  }
}

// What of its keys a query sees. The template itself is read when the task runs.
View ReadMask(const Call& call, Attention* a) {
  // The sparse mode and the bounds are ignored with one query, a mask is not.
  const bool ignored = call.one_query(*a) && !call.has_rope();
  const int64_t mode = ignored ? 0 : call.sparse_mode;
  if (mode < 0 || mode > 4) {
    RefuseTiling(Format("sparse mode %lld, the limits are 0 and 4", Long(mode)));
  }
  if (call.has_rope() && (mode == 1 || mode == 2)) {
    RefuseTiling(Format("sparse mode %lld with 'query_rope': 0, 3 or 4", Long(mode)));
  }
  const bool bounded = !ignored && (mode == 4 || (mode == 0 && call.mask != nullptr));
  if (bounded) {
    if (call.pre_tokens < -call.next_tokens) {
      RefuseTiling(Format("'pre_tokens' %lld and 'next_tokens' %lld leave nothing between them",
                          Long(call.pre_tokens), Long(call.next_tokens)));
    }
    a->before = std::min(call.pre_tokens, kAllTokens);
    a->after = std::min(call.next_tokens, kAllTokens);
  }
  if (mode == 0 && call.mask == nullptr) return {};
  // With the mode, its template is ignored.
  if (mode == 0 && call.sparse_mode >= 2 && IsTemplate(call.plan.Get(call.mask, "atten_mask"))) {
    return {};
  }
  if (mode <= 1) {
    if (call.tnd() || call.has_rope()) {
      RefuseTiling(Format("sparse mode %lld with a mask in the layout %s%s: it has none there",
                          Long(mode), call.layout.c_str(),
                          call.has_rope() ? " with 'query_rope'" : ""));
    }
    a->mask = FullMask(call, *a);
    return {};
  }
  if (call.tnd() && mode == 2) {
    RefuseTiling("sparse mode 2 in the layout TND: 0, 3 or 4");
  }
  if (mode != 4) a->after = 0;
  a->from_last = mode != 2;
  const View mask = call.plan.Get(call.mask, "atten_mask");
  CheckTemplate(mask);
  return mask;
}

void CheckPrecision(const Call& call, const Attention& a, int64_t inner_precise) {
  const int64_t most = call.one_query(a) ? 1 : 3;
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
               {key_shared_prefix, "key_shared_prefix"},
               {value_shared_prefix, "value_shared_prefix"},
               {key_rope_antiquant_scale, "key_rope_antiquant_scale"}});
  Attention a;
  a.query = plan.Some(query, "query");
  a.output = plan.Some(output, "output");
  a.key = Only(plan.Some(key, "key"));
  a.value = Only(plan.Some(value, "value"));
  if (query_rope != nullptr) a.query_rope = plan.Some(query_rope, "query_rope");
  if (key_rope != nullptr) a.key_rope = plan.Some(key_rope, "key_rope");
  CheckTensors(a);
  a.heads = num_heads;
  a.kv_heads = num_key_value_heads == 0 ? num_heads : num_key_value_heads;
  CheckHeads(a);
  a.block_size = block_size;
  a.scale = static_cast<float>(scale);
  plan.Required(input_layout, "input_layout");
  const Call call{plan,       actual_seq_lengths, actual_seq_lengths_kv, block_table, atten_mask,
                  query_rope, key_rope,           input_layout,          sparse_mode, pre_tokens,
                  next_tokens};
  ReadQuery(call, &a);
  ReadValues(call, &a);
  CheckHeadSize(call, a);
  ReadRope(call, &a);
  ReadQueryLengths(call, &a);
  call.paged() ? ReadPagedKeys(call, &a) : ReadDenseKeys(call, &a);
  CheckLongest(call, a);
  ReadScales(call,
             {key_antiquant_scale, key_antiquant_offset, key_antiquant_mode, value_antiquant_scale,
              value_antiquant_offset, value_antiquant_mode},
             &a);
  ReadLse(call, softmax_lse, softmax_lse_flag, &a);
  const View triangle = ReadMask(call, &a);
  CheckPrecision(call, a, inner_precise);
  plan.run = [a, triangle]() mutable {
    if (triangle.rank != 0) a.masked = ReadTemplate(triangle);
    a.Run();
  };
}

}  // namespace softnpu
