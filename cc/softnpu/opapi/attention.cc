// cc/softnpu/opapi/attention.cc: attention over contiguous or paged keys and values.
//
// Scores, softmax and the weighted sum are in float32 with one rounding into the output. Undefined
// on the device and an error here: block ids outside the cache.
#include "cc/softnpu/opapi/attention.h"

#include <cmath>
#include <limits>

#include "cc/softnpu/opapi/elementwise.h"

namespace softnpu {
namespace {

bool Masked(const std::vector<uint8_t>& masked, int64_t delta) {
  return masked[static_cast<size_t>(std::clamp(delta, -(kMaskSide - 1), kMaskSide - 1) + kMaskSide -
                                    1)] != 0;
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

void Attention::LoadHead(const View& cache, const char* name, int64_t width, const std::byte* host,
                         int64_t b, int64_t head, std::vector<float>* to) const {
  const int64_t length = kv_length[static_cast<size_t>(b)];
  const int64_t bytes = Size(cache.dtype);
  to->resize(static_cast<size_t>(length * width));
  if (table.rank == 0) {
    for (int64_t t = 0; t < length; ++t) {
      const int64_t at =
          Element(b, kv_start[static_cast<size_t>(b)] + t, head, kv_steps, kv_heads, width);
      Rows(cache, at, 1, width, width).CheckWritten(name);
      LoadElements(cache.dtype, host + at * bytes, 1, width, to->data() + t * width);
    }
    return;
  }
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
      LoadElements(cache.dtype, from + i * token_stride * bytes, 1, width,
                   to->data() + (t + i) * width);
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
  std::vector<float> sum(static_cast<size_t>(value_size));
  std::vector<float> scores(static_cast<size_t>(length));
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t token = q_start[at] + t;
    const int64_t first = Element(b, token, head, steps, heads, size);
    Rows(query, first, 1, size, size).CheckWritten("query");
    LoadElements(query.dtype, q + first * bytes, 1, size, row.data());
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
      const float* value_row = values.data() + j * value_size;
      for (int64_t d = 0; d < value_size; ++d) sum[static_cast<size_t>(d)] += weight * value_row[d];
    }
    // A row without any key gives zeros.
    for (float& element : sum) element = total > 0 ? element / total : 0.0F;
    const int64_t to = Element(b, token, head, steps, heads, value_size);
    StoreElements(output.dtype, out + to * bytes, 1, value_size, sum.data());
    Rows(output, to, 1, value_size, value_size).MarkWritten();
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
      LoadHead(key, "key", size, k, b, kv_head, &keys);
      LoadHead(value, "value", value_size, v, b, kv_head, &values);
      for (int64_t i = 0; i < group; ++i) {
        RunHead(b, kv_head * group + i, keys, values, q, out);
      }
    }
  }
}

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

}  // namespace softnpu
