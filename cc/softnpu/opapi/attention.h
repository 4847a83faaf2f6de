// cc/softnpu/opapi/attention.h: attention over contiguous or paged keys and values, once checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

#include "cc/softnpu/opapi/antiquant.h"
#include "cc/softnpu/opapi/tensor.h"

namespace softnpu {

// The side of the mask of sparse modes 2, 3 and 4.
constexpr int64_t kMaskSide = 2048;

// The pre_tokens and next_tokens that bound nothing.
constexpr int64_t kAllTokens = 2147483647;

struct Attention {
  View query, key, value, output;
  View query_rope, key_rope;  // further elements of queries and keys; rank 0 when there are none
  Antiquant key_antiquant, value_antiquant;  // given for keys and values of int8
  View lse;    // float32, [tokens, heads, 1] or [batch, heads, tokens, 1]; rank 0 when not wanted
  View table;  // [batch, blocks]; rank 0 when the cache is not paged
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t size = 0;        // head size of queries and keys
  int64_t rope_size = 0;   // of query_rope and key_rope
  int64_t value_size = 0;  // head size of values and of the output
  int64_t batch = 0;
  int64_t block_size = 0;
  bool block_heads_first = false;  // cache [blocks, heads, block_size, size]
  float scale = 1;
  // Heads of one token lie behind one another, or (BNSD) tokens of one head.
  bool heads_first = false;
  int64_t steps = 0;     // the token dimension of query
  int64_t kv_steps = 0;  // that of unpaged keys and values
  bool packed = false;   // TND: batches follow one another in one token dimension
  std::vector<int64_t> q_start, q_length, kv_length, kv_start;
  // masked[kMaskSide - 1 + delta]: is a key masked that lies `delta` after the query's own
  // position? Empty without a template.
  std::vector<uint8_t> masked;
  // Keys further before or after the query's own position are masked.
  int64_t before = kAllTokens;
  int64_t after = kAllTokens;
  // The last query's own position is that of the last key, or the first one's that of the first.
  bool from_last = false;
  View mask;  // [1 or batch, 1, rows, keys], of one byte; rank 0 without one

  void Run() const;
  void RunHead(int64_t b, int64_t head, const std::vector<float>& keys,
               const std::vector<float>& values) const;
  // Softmax of the scores and the weighted sum of the values; the log of the sum of exponentials.
  float Weigh(const std::vector<float>& scores, const std::vector<float>& values,
              std::vector<float>* sum) const;
  // Rows of a head of a sequence of queries; in `to` they are `pitch` elements apart.
  void LoadQueries(const View& view, const char* name, int64_t width, int64_t b, int64_t head,
                   int64_t pitch, float* to) const;
  // The same of keys or values.
  void LoadHead(const View& cache, const char* name, const Antiquant& antiquant, int64_t width,
                int64_t b, int64_t head, int64_t pitch, float* to) const;
  // `mask_row`: that of the query; null without a mask.
  bool Sees(int64_t b, int64_t t, int64_t key, const std::byte* mask_row) const;
  // `length` tokens from `start` on of a head of dense rows, of `tokens` for each sequence.
  void LoadRows(const View& view, const char* name, int64_t width, int64_t b, int64_t start,
                int64_t length, int64_t head, int64_t tokens, int64_t head_count, int64_t pitch,
                float* to) const;
  // The first element of token `t` of a head; `steps` tokens per sequence, unless they are packed.
  int64_t Element(int64_t b, int64_t t, int64_t head, int64_t tokens, int64_t head_count,
                  int64_t width) const;
};

// Throws Error 561103 naming the first argument that is given: SoftNPU has attention without it.
void RefuseGiven(std::initializer_list<std::pair<const void*, const char*>> arguments);

// The template for sparse modes 2, 3, 4: which distances between key and query it masks.
std::vector<uint8_t> ReadTemplate(const View& mask);

}  // namespace softnpu
