// cc/softnpu/opapi/attention.cc: attention over contiguous or paged keys and values.
//
// Scores, softmax and the weighted sum are in float32 with one rounding into the output. Undefined
// on the device and an error here: block ids outside the cache.
#include "cc/softnpu/opapi/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "cc/softnpu/opapi/elementwise.h"

namespace softnpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

bool Masked(const std::vector<uint8_t>& masked, int64_t delta) {
  return masked[static_cast<size_t>(std::clamp(delta, -(kMaskSide - 1), kMaskSide - 1) + kMaskSide -
                                    1)] != 0;
}

float Dot(const float* a, const float* b, int64_t count) {
  float sum[8] = {};
  int64_t d = 0;
  for (; d + 8 <= count; d += 8) {
    for (int64_t k = 0; k < 8; ++k) sum[k] += a[d + k] * b[d + k];
  }
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

// `tokens` rows of one head, from an element of the cache on.
View Rows(const View& cache, int64_t first, int64_t tokens, int64_t token_stride, int64_t width) {
  View rows = Reshaped(cache, {tokens, width});
  rows.offset = cache.offset + first;
  rows.strides[0] = token_stride;
  return rows;
}

}  // namespace

int64_t Attention::Element(int64_t b, int64_t t, int64_t head, int64_t tokens, int64_t head_count,
                           int64_t width) const {
  const int64_t sequence = packed ? 0 : b * tokens * head_count * width;
  return sequence + (heads_first ? (head * tokens + t) * width : (t * head_count + head) * width);
}

void Attention::LoadRows(const View& view, const char* name, int64_t width, int64_t b,
                         int64_t start, int64_t length, int64_t head, int64_t tokens,
                         int64_t head_count, int64_t pitch, float* to) const {
  const std::byte* const host = view.Host();
  for (int64_t t = 0; t < length; ++t) {
    const int64_t at = Element(b, start + t, head, tokens, head_count, width);
    Rows(view, at, 1, width, width).CheckWritten(name);
    LoadElements(view.dtype, host + at * Size(view.dtype), 1, width, to + t * pitch);
  }
}

void Attention::LoadQueries(const View& view, const char* name, int64_t width, int64_t b,
                            int64_t head, int64_t pitch, float* to) const {
  const auto at = static_cast<size_t>(b);
  LoadRows(view, name, width, b, q_start[at], q_length[at], head, steps, heads, pitch, to);
}

void Attention::LoadHead(const View& cache, const char* name, const Antiquant& antiquant,
                         int64_t width, int64_t b, int64_t head, int64_t pitch, float* to) const {
  const int64_t length = kv_length[static_cast<size_t>(b)];
  const std::string scales = std::string(name) + "_antiquant_scale";
  if (table.rank == 0) {
    LoadRows(cache, name, width, b, kv_start[static_cast<size_t>(b)], length, head, kv_steps,
             kv_heads, pitch, to);
    if (antiquant.given()) {
      antiquant.Apply(scales.c_str(), b, 0, head, 0, length, width, pitch, to);
    }
    return;
  }
  const int64_t bytes = Size(cache.dtype);
  const std::byte* const host = cache.Host();
  const auto* ids = reinterpret_cast<const int32_t*>(table.Host());
  const int64_t entries = (length + block_size - 1) / block_size;
  Rows(table, b * table.Stride(0), 1, 0, entries).CheckWritten("block_table");
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
    const int64_t token_stride = block_heads_first ? width : kv_heads * width;
    const int64_t head_stride = block_heads_first ? block_size * width : width;
    const int64_t first = id * block_size * kv_heads * width + head * head_stride;
    // Blocks hold what their owners wrote; a length beyond that would attend to nothing.
    Rows(cache, first, tokens, token_stride, width).CheckWritten(name);
    const std::byte* from = host + first * bytes;
    for (int64_t i = 0; i < tokens; ++i) {
      LoadElements(cache.dtype, from + i * token_stride * bytes, 1, width, to + (t + i) * pitch);
    }
    if (antiquant.given()) {
      const int64_t first_token = antiquant.block == 0 ? t : 0;
      antiquant.Apply(scales.c_str(), b, id, head, first_token, tokens, width, pitch,
                      to + t * pitch);
    }
  }
}

bool Attention::Sees(int64_t b, int64_t t, int64_t key, const std::byte* mask_row) const {
  const auto at = static_cast<size_t>(b);
  const int64_t own = t + (from_last ? kv_length[at] - q_length[at] : 0);
  const int64_t delta = key - own;
  if (!masked.empty()) {
    if (Masked(masked, delta - after)) return false;
    if (before != kAllTokens && Masked(masked, -delta - before)) return false;
  } else if (delta > after || -delta > before) {
    return false;
  }
  return mask_row == nullptr || mask_row[key * mask.Stride(3)] == std::byte{0};
}

float Attention::Weigh(const std::vector<float>& scores, const std::vector<float>& values,
                       std::vector<float>* sum) const {
  const float largest = *std::max_element(scores.begin(), scores.end());
  std::fill(sum->begin(), sum->end(), 0.0F);
  // A row without any key gives zeros.
  if (largest == -kInfinity) return kInfinity;
  float total = 0;
  for (size_t j = 0; j < scores.size(); ++j) {
    if (scores[j] == -kInfinity) continue;
    const float weight = std::exp(scores[j] - largest);
    total += weight;
    const float* value_row = values.data() + static_cast<int64_t>(j) * value_size;
    for (int64_t d = 0; d < value_size; ++d) {
      (*sum)[static_cast<size_t>(d)] += weight * value_row[d];
    }
  }
  for (float& element : *sum) element /= total;
  return largest + std::log(total);
}

void Attention::RunHead(int64_t b, int64_t head, const std::vector<float>& keys,
                        const std::vector<float>& values) const {
  const auto at = static_cast<size_t>(b);
  const int64_t length = kv_length[at];
  const int64_t tokens = q_length[at];
  const int64_t pitch = size + rope_size;
  std::vector<float> queries(static_cast<size_t>(tokens * pitch));
  LoadQueries(query, "query", size, b, head, pitch, queries.data());
  if (rope_size != 0) {
    LoadQueries(query_rope, "query_rope", rope_size, b, head, pitch, queries.data() + size);
  }
  const std::byte* const masks =
      mask.rank == 0 ? nullptr : mask.Host() + (mask.Dim(0) == 1 ? 0 : b * mask.Stride(0));
  std::byte* const out = output.Host();
  auto* const log_sums = lse.rank == 0 ? nullptr : reinterpret_cast<float*>(lse.Host());
  std::vector<float> sum(static_cast<size_t>(value_size));
  // One more, so that there is a largest one without a key, too.
  std::vector<float> scores(static_cast<size_t>(length) + 1, -kInfinity);
  for (int64_t t = 0; t < tokens; ++t) {
    const float* const row = queries.data() + t * pitch;
    const std::byte* const mask_row = masks == nullptr ? nullptr : masks + t * mask.Stride(2);
    for (int64_t j = 0; j < length; ++j) {
      scores[static_cast<size_t>(j)] =
          Sees(b, t, j, mask_row) ? scale * Dot(row, keys.data() + j * pitch, pitch) : -kInfinity;
    }
    const float log_sum = Weigh(scores, values, &sum);
    const int64_t token = q_start[at] + t;
    const int64_t to = Element(b, token, head, steps, heads, value_size);
    StoreElements(output.dtype, out + to * Size(output.dtype), 1, value_size, sum.data());
    Rows(output, to, 1, value_size, value_size).MarkWritten();
    if (log_sums == nullptr) continue;
    const int64_t place = packed ? token * heads + head : (b * heads + head) * steps + t;
    log_sums[place] = log_sum;
    Rows(lse, place, 1, 1, 1).MarkWritten();
  }
}

void Attention::Run() const {
  std::vector<float> keys;
  std::vector<float> values;
  const int64_t group = heads / kv_heads;
  const int64_t pitch = size + rope_size;
  for (int64_t b = 0; b < batch; ++b) {
    const auto at = static_cast<size_t>(b);
    if (q_length[at] == 0) continue;
    keys.resize(static_cast<size_t>(kv_length[at] * pitch));
    values.resize(static_cast<size_t>(kv_length[at] * value_size));
    for (int64_t kv_head = 0; kv_head < kv_heads; ++kv_head) {
      LoadHead(key, "key", key_antiquant, size, b, kv_head, pitch, keys.data());
      if (rope_size != 0) {
        LoadHead(key_rope, "key_rope", {}, rope_size, b, kv_head, pitch, keys.data() + size);
      }
      LoadHead(value, "value", value_antiquant, value_size, b, kv_head, value_size, values.data());
      for (int64_t i = 0; i < group; ++i) RunHead(b, kv_head * group + i, keys, values);
    }
  }
}

// The template for sparse modes 2, 3, 4: which distances between key and query it masks.
void RefuseGiven(std::initializer_list<std::pair<const void*, const char*>> arguments) {
  for (const auto& [argument, name] : arguments) {
    if (argument == nullptr) continue;
    throw Error(kAclnnNotImplemented,
                std::string("'") + name + "' is given; SoftNPU has attention without it only");
  }
}

std::vector<uint8_t> ReadTemplate(const View& mask) {
  const std::byte* host = mask.Host();
  std::vector<uint8_t> out(2 * kMaskSide - 1);
  for (int64_t i = 0; i < kMaskSide; ++i) {
    out[static_cast<size_t>(kMaskSide - 1 + i)] = static_cast<uint8_t>(host[i]);
    out[static_cast<size_t>(kMaskSide - 1 - i)] = static_cast<uint8_t>(host[i * kMaskSide]);
  }
  return out;
}

}  // namespace softnpu
