// cc/softnpu/opapi/attention_ops.cc: fused attention over contiguous or paged keys and values.
//
// What is refused follows the operator's documentation for Atlas A2/A3 (dtypes, layouts, block
// sizes, mask shapes, lists of lengths). Scores, softmax and the weighted sum are in float32 with
// one rounding into the output. Undefined on the device and an error here: block ids outside the
// cache, lengths outside the table.
#include <cmath>
#include <cstring>
#include <limits>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/operator.h"

namespace softnpu {
namespace {

constexpr int64_t kMaskSide = 2048;

struct Attention {
  View query, key, value, output;
  View table;  // [batch, blocks]; rank 0 when the cache is not paged
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t size = 0;  // head size
  int64_t batch = 0;
  int64_t block_size = 0;
  bool block_heads_first = false;  // cache [blocks, heads, block_size, size]
  float scale = 1;
  // Element strides of token, head and batch in query/output and in unpaged key/value.
  int64_t q_token = 0, q_head = 0, q_batch = 0;
  int64_t k_token = 0, k_head = 0, k_batch = 0;
  bool packed = false;  // TND: batches follow one another in one token dimension
  std::vector<int64_t> q_start, q_length, kv_length, kv_start;
  // masked[kMaskSide - 1 + delta]: is a key masked that lies `delta` after the query's own
  // position?
  std::vector<uint8_t> masked;

  void Run() const;
  void RunHead(int64_t b, int64_t head, const std::vector<float>& keys,
               const std::vector<float>& values, const std::byte* q, std::byte* out) const;
  void LoadHead(const View& cache, const std::byte* host, int64_t b, int64_t head,
                std::vector<float>* to) const;
};

bool Masked(const std::vector<uint8_t>& masked, int64_t delta) {
  return masked[static_cast<size_t>(std::clamp(delta, -(kMaskSide - 1), kMaskSide - 1) + kMaskSide -
                                    1)] != 0;
}

void Attention::LoadHead(const View& cache, const std::byte* host, int64_t b, int64_t head,
                         std::vector<float>* to) const {
  const int64_t length = kv_length[static_cast<size_t>(b)];
  const int64_t bytes = Size(cache.dtype);
  to->resize(static_cast<size_t>(length * size));
  if (table.rank == 0) {
    for (int64_t t = 0; t < length; ++t) {
      const int64_t at =
          b * k_batch + (kv_start[static_cast<size_t>(b)] + t) * k_token + head * k_head;
      LoadElements(cache.dtype, host + at * bytes, 1, size, to->data() + t * size);
    }
    return;
  }
  const auto* ids = reinterpret_cast<const int32_t*>(table.Host());
  const int64_t blocks = cache.Dim(0);
  for (int64_t t = 0; t < length; t += block_size) {
    const int64_t entry = t / block_size;
    const int64_t id = ids[b * table.Stride(0) + entry * table.Stride(1)];
    if (id < 0 || id >= blocks) {
      throw Error(kAicoreException,
                  Format("block_table[%lld, %lld] is %lld, the cache has %lld blocks (undefined on "
                         "the device)",
                         static_cast<long long>(b), static_cast<long long>(entry),
                         static_cast<long long>(id), static_cast<long long>(blocks)));
    }
    const int64_t tokens = std::min(block_size, length - t);
    const int64_t token_stride = block_heads_first ? size : kv_heads * size;
    const int64_t head_stride = block_heads_first ? block_size * size : size;
    const std::byte* from = host + (id * block_size * kv_heads * size + head * head_stride) * bytes;
    for (int64_t i = 0; i < tokens; ++i) {
      LoadElements(cache.dtype, from + i * token_stride * bytes, 1, size,
                   to->data() + (t + i) * size);
    }
  }
}

void Attention::RunHead(int64_t b, int64_t head, const std::vector<float>& keys,
                        const std::vector<float>& values, const std::byte* q,
                        std::byte* out) const {
  const auto at = static_cast<size_t>(b);
  const int64_t tokens = q_length[at];
  const int64_t length = kv_length[at];
  const int64_t bytes = Size(query.dtype);
  std::vector<float> row(static_cast<size_t>(size));
  std::vector<float> sum(static_cast<size_t>(size));
  std::vector<float> scores(static_cast<size_t>(length));
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t offset = (b * q_batch + (q_start[at] + t) * q_token + head * q_head) * bytes;
    LoadElements(query.dtype, q + offset, 1, size, row.data());
    float largest = -std::numeric_limits<float>::infinity();
    for (int64_t j = 0; j < length; ++j) {
      float& score = scores[static_cast<size_t>(j)];
      if (!masked.empty() && Masked(masked, j - t - (length - tokens))) {
        score = -std::numeric_limits<float>::infinity();
        continue;
      }
      const float* key_row = keys.data() + j * size;
      float dot[8] = {};
      int64_t d = 0;
      for (; d + 8 <= size; d += 8) {
        for (int64_t k = 0; k < 8; ++k) dot[k] += row[static_cast<size_t>(d + k)] * key_row[d + k];
      }
      score = scale *
              (((dot[0] + dot[1]) + (dot[2] + dot[3])) + ((dot[4] + dot[5]) + (dot[6] + dot[7])));
      largest = std::max(largest, score);
    }
    std::fill(sum.begin(), sum.end(), 0.0F);
    float total = 0;
    for (int64_t j = 0; j < length; ++j) {
      const float score = scores[static_cast<size_t>(j)];
      if (score == -std::numeric_limits<float>::infinity()) continue;
      const float weight = std::exp(score - largest);
      total += weight;
      const float* value_row = values.data() + j * size;
      for (int64_t d = 0; d < size; ++d) sum[static_cast<size_t>(d)] += weight * value_row[d];
    }
    // A row without any key gives zeros.
    for (float& element : sum) element = total > 0 ? element / total : 0.0F;
    StoreElements(output.dtype, out + offset, 1, size, sum.data());
  }
}

void Attention::Run() const {
  const std::byte* q = query.Host();
  const std::byte* k = key.Host();
  const std::byte* v = value.Host();
  std::byte* out = output.Host();
  std::vector<float> keys;
  std::vector<float> values;
  const int64_t group = heads / kv_heads;
  for (int64_t b = 0; b < batch; ++b) {
    if (q_length[static_cast<size_t>(b)] == 0) continue;
    for (int64_t kv_head = 0; kv_head < kv_heads; ++kv_head) {
      LoadHead(key, k, b, kv_head, &keys);
      LoadHead(value, v, b, kv_head, &values);
      for (int64_t i = 0; i < group; ++i) {
        RunHead(b, kv_head * group + i, keys, values, q, out);
      }
    }
  }
}

[[noreturn]] void Refuse(const std::string& sentence) { throw Error(kAclnnInvalid, sentence); }
[[noreturn]] void RefuseTiling(const std::string& sentence) { throw Error(kAclnnTiling, sentence); }

void RefuseIfGiven(const void* argument, const char* name) {
  if (argument != nullptr) {
    throw Error(kAclnnNotImplemented,
                std::string("'") + name + "' is given; SoftNPU has attention without it only");
  }
}

long long Long(int64_t value) { return static_cast<long long>(value); }

// The template for sparse modes 2, 3, 4: which distances between key and query it masks.
std::vector<uint8_t> ReadTemplate(const View& mask) {
  const std::byte* host = mask.Host();
  std::vector<uint8_t> out(2 * kMaskSide - 1);
  for (int64_t i = 0; i < kMaskSide; ++i) {
    out[static_cast<size_t>(kMaskSide - 1 + i)] = static_cast<uint8_t>(host[i]);
    out[static_cast<size_t>(kMaskSide - 1 - i)] = static_cast<uint8_t>(host[i * kMaskSide]);
  }
  return out;
}

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
  RefuseIfGiven(pse_shift, "pse_shift");
  RefuseIfGiven(dequant_scale1, "dequant_scale1");
  RefuseIfGiven(quant_scale1, "quant_scale1");
  RefuseIfGiven(dequant_scale2, "dequant_scale2");
  RefuseIfGiven(quant_scale2, "quant_scale2");
  RefuseIfGiven(quant_offset2, "quant_offset2");
  RefuseIfGiven(antiquant_scale, "antiquant_scale");
  RefuseIfGiven(antiquant_offset, "antiquant_offset");
  RefuseIfGiven(query_padding_size, "query_padding_size");
  RefuseIfGiven(kv_padding_size, "kv_padding_size");
  RefuseIfGiven(key_antiquant_scale, "key_antiquant_scale");
  RefuseIfGiven(key_antiquant_offset, "key_antiquant_offset");
  RefuseIfGiven(value_antiquant_scale, "value_antiquant_scale");
  RefuseIfGiven(value_antiquant_offset, "value_antiquant_offset");
  RefuseIfGiven(key_shared_prefix, "key_shared_prefix");
  RefuseIfGiven(value_shared_prefix, "value_shared_prefix");
  RefuseIfGiven(query_rope, "query_rope");
  RefuseIfGiven(key_rope, "key_rope");
  if (softmax_lse_flag) {
    throw Error(kAclnnNotImplemented, "'softmax_lse_flag' is true; SoftNPU does not return it");
  }

  Attention a;
  a.query = plan.Get(query, "query");
  a.output = plan.Get(output, "output");
  const std::vector<View> keys = plan.Get(key, "key");
  const std::vector<View> values = plan.Get(value, "value");
  if (keys.size() != 1 || values.size() != 1) {
    throw Error(kAclnnNotImplemented,
                Format("%zu key tensors; SoftNPU has attention over one", keys.size()));
  }
  a.key = keys[0];
  a.value = values[0];
  const std::string layout = plan.Required(input_layout, "input_layout") == '\0'
                                 ? std::string()
                                 : std::string(input_layout);

  // Dtypes: 16 bit, all equal.
  if (a.query.dtype != DType::kHalf && a.query.dtype != DType::kBfloat16) {
    Refuse("'query' is " + a.query.Text() + ", it must be float16 or bfloat16");
  }
  for (const auto& [view, name] :
       {std::pair{&a.key, "key"}, std::pair{&a.value, "value"}, std::pair{&a.output, "output"}}) {
    if (view->dtype != a.query.dtype) {
      Refuse(std::string("'") + name + "' is " + view->Text() + ", 'query' is " + a.query.Text());
    }
    if (!view->IsContiguous()) Refuse(std::string("'") + name + "' is not contiguous");
  }
  if (!a.query.IsContiguous()) Refuse("'query' is not contiguous");
  if (a.key.Shape() != a.value.Shape()) {
    Refuse("'key' is " + a.key.Text() + ", 'value' is " + a.value.Text());
  }
  if (a.output.Shape() != a.query.Shape()) {
    Refuse("'output' is " + a.output.Text() + ", 'query' is " + a.query.Text());
  }

  // Heads.
  a.heads = num_heads;
  a.kv_heads = num_key_value_heads == 0 ? num_heads : num_key_value_heads;
  if (a.heads <= 0 || a.heads > 256 || a.kv_heads <= 0 || a.heads % a.kv_heads != 0 ||
      a.heads / a.kv_heads > 64) {
    RefuseTiling(
        Format("%lld query heads over %lld key heads: at most 256, a multiple of the key "
               "heads, at most 64 times as many",
               Long(a.heads), Long(a.kv_heads)));
  }

  // Layout.
  const bool tnd = layout == "TND";
  const bool bsh = layout == "BSH";
  const bool bsnd = layout == "BSND";
  const bool bnsd = layout == "BNSD";
  if (!tnd && !bsh && !bsnd && !bnsd) {
    throw Error(kAclnnNotImplemented,
                "the layout " + layout + "; SoftNPU has TND, BSH, BSND and BNSD");
  }
  if (a.query.rank != (tnd || bsh ? 3 : 4)) {
    Refuse("'query' is " + a.query.Text() + ", which is not of the layout " + layout);
  }
  a.packed = tnd;
  int64_t steps = 0;  // the token dimension of query
  if (tnd) {
    steps = a.query.Dim(0);
    a.size = a.query.Dim(2);
    if (a.query.Dim(1) != a.heads) {
      RefuseTiling(
          Format("'query' is %s, the number of heads %lld", a.query.Text().c_str(), Long(a.heads)));
    }
    a.q_token = a.heads * a.size;
    a.q_head = a.size;
  } else {
    a.batch = a.query.Dim(0);
    steps = a.query.Dim(bnsd ? 2 : 1);
    const int64_t hidden = bsh ? a.query.Dim(2) : a.query.Dim(bnsd ? 1 : 2) * a.query.Dim(3);
    if (hidden % a.heads != 0 || (!bsh && a.query.Dim(bnsd ? 1 : 2) != a.heads)) {
      RefuseTiling(
          Format("'query' is %s, the number of heads %lld", a.query.Text().c_str(), Long(a.heads)));
    }
    a.size = hidden / a.heads;
    a.q_batch = steps * hidden;
    a.q_token = bnsd ? a.size : hidden;
    a.q_head = bnsd ? steps * a.size : a.size;
  }
  if (a.size == 0 || a.size > 512 || a.size % 16 != 0) {
    RefuseTiling(Format("the head size %lld: a multiple of 16, at most 512", Long(a.size)));
  }
  if (tnd && a.size != 128 && !(a.size == 64 && a.heads == a.kv_heads)) {
    RefuseTiling(
        Format("the head size %lld in the layout TND: 128, or 64 with as many key heads "
               "as query heads",
               Long(a.size)));
  }

  // Lengths.
  const bool paged = block_table != nullptr;
  if (tnd) {
    const auto& ends = plan.Required(actual_seq_lengths, "actual_seq_lengths").values;
    plan.Required(actual_seq_lengths_kv, "actual_seq_lengths_kv");
    if (ends.empty() || ends.size() > 4096) {
      RefuseTiling(
          Format("'actual_seq_lengths' has %zu entries, the limits are 1 and 4096", ends.size()));
    }
    int64_t start = 0;
    for (const int64_t end : ends) {
      if (end < start || end > steps) {
        RefuseTiling(
            Format("'actual_seq_lengths' holds %lld after %lld: it is cumulative and ends "
                   "at %lld at most",
                   Long(end), Long(start), Long(steps)));
      }
      a.q_start.push_back(start);
      a.q_length.push_back(end - start);
      start = end;
    }
    a.batch = static_cast<int64_t>(ends.size());
  } else {
    a.q_start.assign(static_cast<size_t>(a.batch), 0);
    a.q_length.assign(static_cast<size_t>(a.batch), steps);
    if (actual_seq_lengths != nullptr && steps > 1 && !actual_seq_lengths->values.empty()) {
      const auto& given = actual_seq_lengths->values;
      if (given.size() != 1 && static_cast<int64_t>(given.size()) < a.batch) {
        RefuseTiling(Format("'actual_seq_lengths' has %zu entries for %lld sequences", given.size(),
                            Long(a.batch)));
      }
      for (size_t i = 0; i < a.q_length.size(); ++i) {
        a.q_length[i] = given.size() == 1 ? given[0] : given[i];
        if (a.q_length[i] < 0 || a.q_length[i] > steps) {
          RefuseTiling(Format("'actual_seq_lengths' holds %lld, the limits are 0 and %lld",
                              Long(a.q_length[i]), Long(steps)));
        }
      }
    }
  }
  const auto lengths = static_cast<size_t>(a.batch);
  int64_t limit = 0;
  if (paged) {
    a.table = plan.Get(block_table, "block_table");
    if (a.table.dtype != DType::kInt32 || a.table.rank != 2 || a.table.Dim(0) < a.batch ||
        a.table.Dim(1) == 0) {
      RefuseTiling("'block_table' is " + a.table.Text() +
                   Format(", it must be int32 [%lld, blocks per sequence]", Long(a.batch)));
    }
    const bool one_step = !tnd && steps == 1;
    const bool legal = one_step ? block_size > 0 && block_size <= 512 && block_size % 16 == 0
                       : tnd    ? block_size > 0 && block_size <= 1024 && block_size % 16 == 0
                                : block_size >= 128 && block_size <= 512 && block_size % 128 == 0;
    if (!legal) {
      RefuseTiling(Format("the block size %lld: %s", Long(block_size),
                          one_step ? "a multiple of 16, at most 512"
                          : tnd    ? "a multiple of 16, at most 1024"
                                   : "128, 256, 384 or 512"));
    }
    a.block_size = block_size;
    a.block_heads_first = a.key.rank == 4;
    const std::vector<int64_t> want =
        a.block_heads_first ? std::vector<int64_t>{a.key.Dim(0), a.kv_heads, block_size, a.size}
                            : std::vector<int64_t>{a.key.rank == 3 ? a.key.Dim(0) : 0, block_size,
                                                   a.kv_heads * a.size};
    if (a.key.Shape() != want) {
      RefuseTiling(
          Format("the paged 'key' is %s; with block size %lld and %lld heads of %lld it "
                 "must be [blocks, block size, heads * size] or [blocks, heads, block "
                 "size, size]",
                 a.key.Text().c_str(), Long(block_size), Long(a.kv_heads), Long(a.size)));
    }
    if (a.block_heads_first && (bsh || bsnd)) {
      RefuseTiling("a cache of 4 dimensions needs the layout BNSD or TND, not " + layout);
    }
    if (!a.block_heads_first && a.kv_heads * a.size > 65535) {
      RefuseTiling(Format("heads * size of the paged 'key' is %lld, the limit is 65535",
                          Long(a.kv_heads * a.size)));
    }
    limit = a.table.Dim(1) * block_size;
    const auto& given = plan.Required(actual_seq_lengths_kv, "actual_seq_lengths_kv").values;
    if (given.size() != lengths && (tnd || given.size() != 1)) {
      if (given.size() < lengths) {
        RefuseTiling(Format("'actual_seq_lengths_kv' has %zu entries for %zu sequences",
                            given.size(), lengths));
      }
    }
    for (size_t i = 0; i < lengths; ++i) {
      a.kv_length.push_back(given.size() == 1 && lengths != 1 ? given[0] : given[i]);
    }
  } else {
    const int64_t width = tnd || bsh ? a.key.Dim(a.key.rank - 1) : a.key.Dim(3);
    if (a.key.rank != a.query.rank || width != (bsh ? a.kv_heads * a.size : a.size)) {
      RefuseTiling("'key' is " + a.key.Text() + ", 'query' is " + a.query.Text());
    }
    limit = tnd ? a.key.Dim(0) : a.key.Dim(bnsd ? 2 : 1);
    a.k_token = bnsd ? a.size : a.kv_heads * a.size;
    a.k_head = bnsd ? limit * a.size : a.size;
    a.k_batch = tnd ? 0 : limit * a.kv_heads * a.size;
    int64_t start = 0;
    for (size_t i = 0; i < lengths; ++i) {
      int64_t length = limit;
      if (actual_seq_lengths_kv != nullptr && !actual_seq_lengths_kv->values.empty()) {
        const auto& given = actual_seq_lengths_kv->values;
        if (given.size() < lengths && (tnd || given.size() != 1)) {
          RefuseTiling(Format("'actual_seq_lengths_kv' has %zu entries for %zu sequences",
                              given.size(), lengths));
        }
        length = given.size() == 1 ? given[0] : given[i];
      }
      if (tnd) {
        a.kv_start.push_back(start);
        a.kv_length.push_back(length - start);
        start = length;
      } else {
        a.kv_start.push_back(0);
        a.kv_length.push_back(length);
      }
    }
  }
  for (const int64_t length : a.kv_length) {
    if (length < 0 || length > limit) {
      RefuseTiling(
          Format("'actual_seq_lengths_kv' gives a length of %lld, the limits are 0 and "
                 "%lld",
                 Long(length), Long(limit)));
    }
  }

  // Mask.
  View mask;
  const bool one_query = !tnd && steps == 1;  // the sparse mode is ignored then
  switch (one_query ? 0 : sparse_mode) {
    case 0:
      if (atten_mask != nullptr && !one_query) {
        throw Error(kAclnnNotImplemented,
                    "sparse mode 0 with a mask; SoftNPU has mode 0 without and mode 3 with one");
      }
      break;
    case 3:
      mask = plan.Get(&plan.Required(atten_mask, "atten_mask"), "atten_mask");
      CheckTemplate(mask);
      break;
    case 1:
    case 2:
    case 4:
      throw Error(kAclnnNotImplemented,
                  Format("sparse mode %lld; SoftNPU has the modes 0 and 3", Long(sparse_mode)));
    default:
      RefuseTiling(Format("sparse mode %lld, the limits are 0 and 4", Long(sparse_mode)));
  }
  if (inner_precise < 0 || inner_precise > 3) {
    RefuseTiling(Format("'inner_precise' is %lld, the limits are 0 and 3", Long(inner_precise)));
  }
  a.scale = static_cast<float>(scale);
  plan.run = [a, mask]() mutable {
    if (mask.rank != 0) a.masked = ReadTemplate(mask);
    a.Run();
  };
}

}  // namespace softnpu
