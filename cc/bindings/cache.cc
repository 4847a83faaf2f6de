// cc/bindings/cache.cc: the operators on paged caches.
#include "cc/bindings/cache.h"

#include "cc/bindings/tensors.h"
#include "cc/ops/cache/copy_blocks.h"
#include "cc/ops/cache/gather_cache.h"
#include "cc/ops/cache/kv_rmsnorm_rope_cache.h"
#include "cc/ops/cache/reshape_and_cache.h"
#include "cc/ops/cache/slot_mapping.h"
#include "cc/ops/cache/transpose_kv_cache.h"

namespace {

namespace nb = nanobind;
using vllm_cann::bindings::Matrix;
using vllm_cann::bindings::Vector;
using vllm_cann::ops::CacheLayout;
using vllm_cann::ops::DataType;
using vllm_cann::ops::Launch;
using vllm_cann::ops::Tensor;

Tensor Rows(DataType type, int64_t tokens, int64_t heads, int64_t size, int64_t stride) {
  return {type, 3, {tokens, heads, size}, {stride, size, 1}};
}

Tensor Cache(DataType type, CacheLayout layout, int64_t blocks, int64_t block_size, int64_t heads,
             int64_t size, int64_t block_stride) {
  const int64_t bytes = vllm_cann::ops::ElementBytes(type);
  const int64_t width = bytes == 0 ? 1 : vllm_cann::ops::kBlockBytes / bytes;
  int64_t a = block_size, b = heads, c = size;
  if (layout == CacheLayout::kHnd) std::swap(a, b);
  if (layout == CacheLayout::kNz) {
    a = heads * size / width;
    b = block_size;
    c = width;
  }
  return {type, 4, {blocks, a, b, c}, {block_stride, b * c, c, 1}};
}

Launch ReshapeAndCache(int64_t num_tokens, int64_t num_heads, int64_t key_head_size,
                       int64_t value_head_size, int64_t num_blocks, int64_t block_size,
                       int64_t key_token_stride, int64_t value_token_stride,
                       int64_t key_block_stride, int64_t value_block_stride, int32_t layout,
                       int32_t dtype, int32_t slot_dtype) {
  const auto type = static_cast<DataType>(dtype);
  vllm_cann::ops::ReshapeAndCacheArgs args;
  args.layout = static_cast<CacheLayout>(layout);
  args.key = Rows(type, num_tokens, num_heads, key_head_size, key_token_stride);
  args.key_cache =
      Cache(type, args.layout, num_blocks, block_size, num_heads, key_head_size, key_block_stride);
  if (value_head_size != 0) {
    args.value = Rows(type, num_tokens, num_heads, value_head_size, value_token_stride);
    args.value_cache = Cache(type, args.layout, num_blocks, block_size, num_heads, value_head_size,
                             value_block_stride);
  }
  args.slot_mapping = Vector(static_cast<DataType>(slot_dtype), num_tokens);
  return vllm_cann::ops::PrepareReshapeAndCache(args);
}

Launch GatherCache(int64_t num_requests, int64_t table_width, int64_t num_lens, int64_t num_rows,
                   int64_t num_heads, int64_t key_head_size, int64_t value_head_size,
                   int64_t num_blocks, int64_t block_size, int64_t key_block_stride,
                   int64_t value_block_stride, bool has_seq_starts, int32_t layout, int32_t dtype) {
  const auto type = static_cast<DataType>(dtype);
  vllm_cann::ops::GatherCacheArgs args;
  args.layout = static_cast<CacheLayout>(layout);
  args.key_cache =
      Cache(type, args.layout, num_blocks, block_size, num_heads, key_head_size, key_block_stride);
  args.key = Rows(type, num_rows, num_heads, key_head_size, num_heads * key_head_size);
  if (value_head_size != 0) {
    args.value_cache = Cache(type, args.layout, num_blocks, block_size, num_heads, value_head_size,
                             value_block_stride);
    args.value = Rows(type, num_rows, num_heads, value_head_size, num_heads * value_head_size);
  }
  args.block_table = Matrix(DataType::kInt32, num_requests, table_width);
  args.seq_lens = Vector(DataType::kInt32, num_lens);
  if (has_seq_starts) args.seq_starts = Vector(DataType::kInt32, num_requests);
  return vllm_cann::ops::PrepareGatherCache(args);
}

Launch SlotMapping(int64_t num_requests, int64_t num_positions, int64_t table_rows,
                   int64_t table_width, int64_t num_slots, int64_t num_tokens, int64_t block_size,
                   int64_t world_size, int64_t rank, int64_t interleave, int64_t pad_id,
                   bool is_circular, int32_t position_dtype, int32_t slot_dtype) {
  vllm_cann::ops::SlotMappingArgs args;
  args.query_start_loc = Vector(DataType::kInt32, num_requests + 1);
  args.positions = Vector(static_cast<DataType>(position_dtype), num_positions);
  args.block_table = Matrix(DataType::kInt32, table_rows, table_width);
  args.slot_mapping = Vector(static_cast<DataType>(slot_dtype), num_slots);
  args.tokens = num_tokens;
  args.block_size = block_size;
  args.world_size = world_size;
  args.rank = rank;
  args.interleave = interleave;
  args.pad_id = pad_id;
  args.is_circular = is_circular;
  return vllm_cann::ops::PrepareSlotMapping(args);
}

Launch CopyBlocks(int64_t num_caches, int64_t num_pairs, int64_t num_blocks,
                  int64_t largest_block_bytes, bool whole_blocks) {
  vllm_cann::ops::CopyBlocksArgs args;
  args.caches = Matrix(DataType::kInt64, num_caches, 3);
  args.mapping = Matrix(DataType::kInt64, num_pairs, 2);
  args.num_blocks = num_blocks;
  args.largest_block_bytes = largest_block_bytes;
  args.whole_blocks = whole_blocks;
  return vllm_cann::ops::PrepareCopyBlocks(args);
}

void SwapBlocks(uintptr_t source, uintptr_t destination, uintptr_t pairs, int64_t num_pairs,
                int64_t source_blocks, int64_t destination_blocks, int64_t source_stride_bytes,
                int64_t destination_stride_bytes, int64_t block_bytes, bool source_on_device,
                bool destination_on_device, uintptr_t stream) {
  vllm_cann::ops::SwapBlocks(
      {source, source_blocks, source_stride_bytes, source_on_device},
      {destination, destination_blocks, destination_stride_bytes, destination_on_device},
      block_bytes, reinterpret_cast<const int64_t*>(pairs), num_pairs,
      reinterpret_cast<void*>(stream));
}

Launch TransposeKvCache(int64_t num_caches, int64_t num_ids, int64_t num_blocks, int64_t block_size,
                        int64_t num_heads, int64_t head_size, int64_t splits, int32_t dtype) {
  vllm_cann::ops::TransposeKvCacheArgs args;
  args.caches = Matrix(DataType::kInt64, num_caches, 2);
  args.block_ids = Vector(DataType::kInt64, num_ids);
  args.type = static_cast<DataType>(dtype);
  args.num_blocks = num_blocks;
  args.block_size = block_size;
  args.heads = num_heads;
  args.head_size = head_size;
  args.splits = splits;
  return vllm_cann::ops::PrepareTransposeKvCache(args);
}

Launch KvRmsnormRopeCache(int64_t num_tokens, int64_t seq, int64_t token_stride, int64_t norm_dim,
                          int64_t rope_dim, int64_t num_index, int64_t num_blocks,
                          int64_t block_size, int64_t k_block_stride, int64_t ckv_block_stride,
                          bool has_k_rope_scale, bool has_c_kv_scale, bool has_k_rope_offset,
                          bool has_c_kv_offset, bool is_output_kv, int32_t layout,
                          int32_t index_kind, double epsilon, int32_t dtype, int32_t k_cache_dtype,
                          int32_t ckv_cache_dtype) {
  const auto type = static_cast<DataType>(dtype);
  vllm_cann::ops::KvRmsnormRopeCacheArgs args;
  args.layout = static_cast<CacheLayout>(layout);
  args.index_kind = static_cast<vllm_cann::ops::CacheIndex>(index_kind);
  args.seq = seq;
  args.epsilon = epsilon;
  args.kv = Matrix(type, num_tokens, norm_dim + rope_dim);
  args.kv.strides[0] = token_stride;
  args.gamma = Vector(type, norm_dim);
  args.cos = Matrix(type, num_tokens, rope_dim);
  args.sin = Matrix(type, num_tokens, rope_dim);
  args.index = Vector(DataType::kInt64, num_index);
  args.k_cache = Cache(static_cast<DataType>(k_cache_dtype), args.layout, num_blocks, block_size, 1,
                       rope_dim, k_block_stride);
  args.ckv_cache = Cache(static_cast<DataType>(ckv_cache_dtype), args.layout, num_blocks,
                         block_size, 1, norm_dim, ckv_block_stride);
  if (has_k_rope_scale) args.k_rope_scale = Vector(DataType::kFloat, rope_dim);
  if (has_c_kv_scale) args.c_kv_scale = Vector(DataType::kFloat, norm_dim);
  if (has_k_rope_offset) args.k_rope_offset = Vector(DataType::kFloat, rope_dim);
  if (has_c_kv_offset) args.c_kv_offset = Vector(DataType::kFloat, norm_dim);
  if (is_output_kv) {
    args.k_rope = Matrix(type, num_tokens, rope_dim);
    args.c_kv = Matrix(type, num_tokens, norm_dim);
  }
  return vllm_cann::ops::PrepareKvRmsnormRopeCache(args);
}

}  // namespace

void BindCache(nb::module_& m) {
  m.def(
      "reshape_and_cache", &ReshapeAndCache, nb::arg("num_tokens"), nb::arg("num_heads"),
      nb::arg("key_head_size"), nb::arg("value_head_size"), nb::arg("num_blocks"),
      nb::arg("block_size"), nb::arg("key_token_stride"), nb::arg("value_token_stride"),
      nb::arg("key_block_stride"), nb::arg("value_block_stride"), nb::arg("layout"),
      nb::arg("dtype"), nb::arg("slot_dtype"),
      "Copies rows of key [T, H, Dk] and value [T, H, Dv] to slots of the paged caches with N\n"
      "blocks of B slots, which lie as layout says: 0 [N, B, H, D] (ND), 1 [N, H, B, D] (HND),\n"
      "2 [N, H * D / n, B, n] with n elements in 32 bytes (NZ).\n\n"
      "slot_mapping [T] is int32 or int64; a slot that is negative or not below N * B is padding,\n"
      "and nothing is written for it. num_tokens is T; key and value may have more tokens. Heads\n"
      "of a token and blocks of a cache are contiguous; tokens and blocks may have any stride.\n"
      "dtype: any of 1, 2 or 4 bytes, the rows are copied bit by bit. value_head_size 0: there is\n"
      "no value, the other arguments about it are ignored."
      "\n\nThe launch takes key, value, key_cache, value_cache, slot_mapping.");
  m.def(
      "gather_cache", &GatherCache, nb::arg("num_requests"), nb::arg("table_width"),
      nb::arg("num_lens"), nb::arg("num_rows"), nb::arg("num_heads"), nb::arg("key_head_size"),
      nb::arg("value_head_size"), nb::arg("num_blocks"), nb::arg("block_size"),
      nb::arg("key_block_stride"), nb::arg("value_block_stride"), nb::arg("has_seq_starts"),
      nb::arg("layout"), nb::arg("dtype"),
      "Makes dense rows key [n, H, Dk] and value [n, H, Dv] of what requests have in paged caches\n"
      "of the layouts of reshape_and_cache, one request after the other.\n\n"
      "block_table [R, blocks] int32; seq_lens int32: R lengths, or R + 1 sums of lengths from 0\n"
      "on, as num_lens says; seq_starts [R] int32: first positions. Rows beyond the sum of\n"
      "lengths are not written. value_head_size 0: there is no value."
      "\n\nThe launch takes key_cache, value_cache, block_table, seq_lens, seq_starts, key, "
      "value.");
  m.def("slot_mapping", &SlotMapping, nb::arg("num_requests"), nb::arg("num_positions"),
        nb::arg("table_rows"), nb::arg("table_width"), nb::arg("num_slots"), nb::arg("num_tokens"),
        nb::arg("block_size"), nb::arg("world_size"), nb::arg("rank"), nb::arg("interleave"),
        nb::arg("pad_id"), nb::arg("is_circular"), nb::arg("position_dtype"), nb::arg("slot_dtype"),
        "Writes slot_mapping [slots]: for token t of request i, query_start_loc[i] <= t <\n"
        "query_start_loc[i + 1] (int32), t < num_tokens, with p = positions[t], o = p % (B * W),\n"
        "b = block_table[i, p / (B * W)] (int32): b * B + o / (I * W) * I + o % I if o / I % W is\n"
        "rank, else pad_id. B is block_size, W world_size, I interleave. Other elements: pad_id.\n"
        "is_circular: block_table[i, 0] * B + p % B, and pad_id where p is negative."
        "\n\nThe launch takes query_start_loc, positions, block_table, slot_mapping.");
  m.def("copy_blocks", &CopyBlocks, nb::arg("num_caches"), nb::arg("num_pairs"),
        nb::arg("num_blocks"), nb::arg("largest_block_bytes"), nb::arg("whole_blocks"),
        "Copies block mapping[i, 0] over block mapping[i, 1] (int64) of every cache.\n\n"
        "caches [C, 3] int64: address, bytes from block to block, bytes of a block. whole_blocks:\n"
        "all of these bytes are multiples of 32."
        "\n\nThe launch takes caches, mapping.");
  m.def("swap_blocks", &SwapBlocks, nb::arg("source"), nb::arg("destination"), nb::arg("pairs"),
        nb::arg("num_pairs"), nb::arg("source_blocks"), nb::arg("destination_blocks"),
        nb::arg("source_stride_bytes"), nb::arg("destination_stride_bytes"), nb::arg("block_bytes"),
        nb::arg("source_on_device"), nb::arg("destination_on_device"), nb::arg("stream"),
        "Copies blocks from one cache to another, one of which may be in host memory.\n\n"
        "pairs: address in host memory of int64 [n, 2], source and destination. All are checked\n"
        "before the first copy is queued.");
  m.def("transpose_kv_cache", &TransposeKvCache, nb::arg("num_caches"), nb::arg("num_ids"),
        nb::arg("num_blocks"), nb::arg("block_size"), nb::arg("num_heads"), nb::arg("head_size"),
        nb::arg("splits"), nb::arg("dtype"),
        "Reorders, in place, blocks block_ids [n] (int64) of every cache: [splits, B, H / splits,\n"
        "D] becomes [B, splits, H / splits, D].\n\n"
        "caches [C, 2] int64: address, bytes from block to block. Ids are unique."
        "\n\nThe launch takes caches, block_ids.");
  m.def(
      "kv_rmsnorm_rope_cache", &KvRmsnormRopeCache, nb::arg("num_tokens"), nb::arg("seq"),
      nb::arg("token_stride"), nb::arg("norm_dim"), nb::arg("rope_dim"), nb::arg("num_index"),
      nb::arg("num_blocks"), nb::arg("block_size"), nb::arg("k_block_stride"),
      nb::arg("ckv_block_stride"), nb::arg("has_k_rope_scale"), nb::arg("has_c_kv_scale"),
      nb::arg("has_k_rope_offset"), nb::arg("has_c_kv_offset"), nb::arg("is_output_kv"),
      nb::arg("layout"), nb::arg("index_kind"), nb::arg("epsilon"), nb::arg("dtype"),
      nb::arg("k_cache_dtype"), nb::arg("ckv_cache_dtype"),
      "Of rows kv [T, n + r], normalises the first n elements (times gamma [n]) for ckv_cache\n"
      "and rotates pairs of neighbours of the others by cos and sin [T, r] for k_cache.\n\n"
      "index int64: with index_kind 0 a slot per token, 1 the first slot of each page of B\n"
      "tokens of sequences of `seq` tokens, 2 a row of the sequence's own block. Caches have one\n"
      "head, lie in the layouts 0 or 2 of reshape_and_cache, in kv's type or int8 with float32\n"
      "scales and offsets. is_output_kv: k_rope [T, r] and c_kv [T, n] get the results, too."
      "\n\nThe launch takes kv, gamma, cos, sin, index, k_cache, ckv_cache, k_rope_scale, "
      "c_kv_scale, k_rope_offset, c_kv_offset, k_rope, c_kv.");
}
