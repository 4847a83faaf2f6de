// cc/softnpu/opapi/attention.h: attention over contiguous or paged keys and values, once checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cc/softnpu/opapi/tensor.h"

namespace softnpu {

// The side of the mask of sparse modes 2, 3 and 4.
constexpr int64_t kMaskSide = 2048;

struct Attention {
  View query, key, value, output;
  View table;  // [batch, blocks]; rank 0 when the cache is not paged
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t size = 0;        // head size of queries and keys
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
  // position?
  std::vector<uint8_t> masked;

  void Run() const;
  void RunHead(int64_t b, int64_t head, const std::vector<float>& keys,
               const std::vector<float>& values, const std::byte* q, std::byte* out) const;
  void LoadHead(const View& cache, const char* name, int64_t width, const std::byte* host,
                int64_t b, int64_t head, std::vector<float>* to) const;
  // The first element of token `t` of a head; `steps` tokens per sequence, unless they are packed.
  int64_t Element(int64_t b, int64_t t, int64_t head, int64_t tokens, int64_t head_count,
                  int64_t width) const;
};

// The template for sparse modes 2, 3, 4: which distances between key and query it masks.
std::vector<uint8_t> ReadTemplate(const View& mask);

}  // namespace softnpu
