// cc/bindings/cache.cc: the operators on paged caches on device addresses.
//
// As in ops.cc all arguments are numbers. An optional tensor is absent when its address is 0.
#include "cc/bindings/cache.h"

#include "cc/ops/cache/copy_blocks.h"
#include "cc/ops/cache/gather_cache.h"
#include "cc/ops/cache/kv_rmsnorm_rope_cache.h"
#include "cc/ops/cache/reshape_and_cache.h"
#include "cc/ops/cache/slot_mapping.h"
#include "cc/ops/cache/transpose_kv_cache.h"

namespace {

namespace nb = nanobind;
using vllm_cann::ops::CacheLayout;
using vllm_cann::ops::DataType;
using vllm_cann::ops::Tensor;

Tensor Vector(uintptr_t address, DataType type, int64_t size) {
  return {address, type, 1, {size}, {1}};
}
Tensor Matrix(uintptr_t address, DataType type, int64_t rows, int64_t columns) {
  return {address, type, 2, {rows, columns}, {columns, 1}};
}
Tensor Rows(uintptr_t address, DataType type, int64_t tokens, int64_t heads, int64_t size,
            int64_t stride) {
  return {address, type, 3, {tokens, heads, size}, {stride, size, 1}};
}

Tensor Cache(uintptr_t address, DataType type, CacheLayout layout, int64_t blocks,
             int64_t block_size, int64_t heads, int64_t size, int64_t block_stride) {
  const int64_t bytes = vllm_cann::ops::ElementBytes(type);
  const int64_t width = bytes == 0 ? 1 : vllm_cann::ops::kBlockBytes / bytes;
  int64_t a = block_size, b = heads, c = size;
  if (layout == CacheLayout::kHnd) std::swap(a, b);
  if (layout == CacheLayout::kNz) {
    a = heads * size / width;
    b = block_size;
    c = width;
  }
  return {address, type, 4, {blocks, a, b, c}, {block_stride, b * c, c, 1}};
}

void ReshapeAndCache(uintptr_t key, uintptr_t value, uintptr_t key_cache, uintptr_t value_cache,
                     uintptr_t slot_mapping, int64_t num_tokens, int64_t num_heads,
                     int64_t key_head_size, int64_t value_head_size, int64_t num_blocks,
                     int64_t block_size, int64_t key_token_stride, int64_t value_token_stride,
                     int64_t key_block_stride, int64_t value_block_stride, int32_t layout,
                     int32_t dtype, int32_t slot_dtype, uintptr_t stream) {
  const auto type = static_cast<DataType>(dtype);
  vllm_cann::ops::ReshapeAndCacheArgs args;
  args.layout = static_cast<CacheLayout>(layout);
  args.key = Rows(key, type, num_tokens, num_heads, key_head_size, key_token_stride);
  args.key_cache = Cache(key_cache, type, args.layout, num_blocks, block_size, num_heads,
                         key_head_size, key_block_stride);
  if (value_head_size != 0) {
    args.value = Rows(value, type, num_tokens, num_heads, value_head_size, value_token_stride);
    args.value_cache = Cache(value_cache, type, args.layout, num_blocks, block_size, num_heads,
                             value_head_size, value_block_stride);
  }
  args.slot_mapping = Vector(slot_mapping, static_cast<DataType>(slot_dtype), num_tokens);
  vllm_cann::ops::ReshapeAndCache(args, reinterpret_cast<void*>(stream));
}

void GatherCache(uintptr_t key_cache, uintptr_t value_cache, uintptr_t block_table,
                 uintptr_t seq_lens, uintptr_t seq_starts, uintptr_t key, uintptr_t value,
                 int64_t num_requests, int64_t table_width, int64_t num_lens, int64_t num_rows,
                 int64_t num_heads, int64_t key_head_size, int64_t value_head_size,
                 int64_t num_blocks, int64_t block_size, int64_t key_block_stride,
                 int64_t value_block_stride, int32_t layout, int32_t dtype, uintptr_t stream) {
  const auto type = static_cast<DataType>(dtype);
  vllm_cann::ops::GatherCacheArgs args;
  args.layout = static_cast<CacheLayout>(layout);
  args.key_cache = Cache(key_cache, type, args.layout, num_blocks, block_size, num_heads,
                         key_head_size, key_block_stride);
  args.key = Rows(key, type, num_rows, num_heads, key_head_size, num_heads * key_head_size);
  if (value_head_size != 0) {
    args.value_cache = Cache(value_cache, type, args.layout, num_blocks, block_size, num_heads,
                             value_head_size, value_block_stride);
    args.value =
        Rows(value, type, num_rows, num_heads, value_head_size, num_heads * value_head_size);
  }
  args.block_table = Matrix(block_table, DataType::kInt32, num_requests, table_width);
  args.seq_lens = Vector(seq_lens, DataType::kInt32, num_lens);
  if (seq_starts != 0) args.seq_starts = Vector(seq_starts, DataType::kInt32, num_requests);
  vllm_cann::ops::GatherCache(args, reinterpret_cast<void*>(stream));
}

void SlotMapping(uintptr_t query_start_loc, uintptr_t positions, uintptr_t block_table,
                 uintptr_t slot_mapping, int64_t num_requests, int64_t num_positions,
                 int64_t table_rows, int64_t table_width, int64_t num_slots, int64_t num_tokens,
                 int64_t block_size, int64_t world_size, int64_t rank, int64_t interleave,
                 int64_t pad_id, int32_t position_dtype, int32_t slot_dtype, uintptr_t stream) {
  vllm_cann::ops::SlotMappingArgs args;
  args.query_start_loc = Vector(query_start_loc, DataType::kInt32, num_requests + 1);
  args.positions = Vector(positions, static_cast<DataType>(position_dtype), num_positions);
  args.block_table = Matrix(block_table, DataType::kInt32, table_rows, table_width);
  args.slot_mapping = Vector(slot_mapping, static_cast<DataType>(slot_dtype), num_slots);
  args.tokens = num_tokens;
  args.block_size = block_size;
  args.world_size = world_size;
  args.rank = rank;
  args.interleave = interleave;
  args.pad_id = pad_id;
  vllm_cann::ops::SlotMapping(args, reinterpret_cast<void*>(stream));
}

void CopyBlocks(uintptr_t caches, uintptr_t mapping, int64_t num_caches, int64_t num_pairs,
                int64_t num_blocks, int64_t largest_block_bytes, bool whole_blocks,
                uintptr_t stream) {
  vllm_cann::ops::CopyBlocksArgs args;
  args.caches = Matrix(caches, DataType::kInt64, num_caches, 3);
  args.mapping = Matrix(mapping, DataType::kInt64, num_pairs, 2);
  args.num_blocks = num_blocks;
  args.largest_block_bytes = largest_block_bytes;
  args.whole_blocks = whole_blocks;
  vllm_cann::ops::CopyBlocks(args, reinterpret_cast<void*>(stream));
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

void TransposeKvCache(uintptr_t caches, uintptr_t block_ids, int64_t num_caches, int64_t num_ids,
                      int64_t num_blocks, int64_t block_size, int64_t num_heads, int64_t head_size,
                      int64_t splits, int32_t dtype, uintptr_t stream) {
  vllm_cann::ops::TransposeKvCacheArgs args;
  args.caches = Matrix(caches, DataType::kInt64, num_caches, 2);
  args.block_ids = Vector(block_ids, DataType::kInt64, num_ids);
  args.type = static_cast<DataType>(dtype);
  args.num_blocks = num_blocks;
  args.block_size = block_size;
  args.heads = num_heads;
  args.head_size = head_size;
  args.splits = splits;
  vllm_cann::ops::TransposeKvCache(args, reinterpret_cast<void*>(stream));
}

void KvRmsnormRopeCache(uintptr_t kv, uintptr_t gamma, uintptr_t cos, uintptr_t sin,
                        uintptr_t index, uintptr_t k_cache, uintptr_t ckv_cache,
                        uintptr_t k_rope_scale, uintptr_t c_kv_scale, uintptr_t k_rope_offset,
                        uintptr_t c_kv_offset, uintptr_t k_rope, uintptr_t c_kv, int64_t num_tokens,
                        int64_t seq, int64_t token_stride, int64_t norm_dim, int64_t rope_dim,
                        int64_t num_index, int64_t num_blocks, int64_t block_size,
                        int64_t k_block_stride, int64_t ckv_block_stride, int32_t layout,
                        int32_t index_kind, double epsilon, int32_t dtype, int32_t k_cache_dtype,
                        int32_t ckv_cache_dtype, uintptr_t stream) {
  const auto type = static_cast<DataType>(dtype);
  vllm_cann::ops::KvRmsnormRopeCacheArgs args;
  args.layout = static_cast<CacheLayout>(layout);
  args.index_kind = static_cast<vllm_cann::ops::CacheIndex>(index_kind);
  args.seq = seq;
  args.epsilon = epsilon;
  args.kv = Matrix(kv, type, num_tokens, norm_dim + rope_dim);
  args.kv.strides[0] = token_stride;
  args.gamma = Vector(gamma, type, norm_dim);
  args.cos = Matrix(cos, type, num_tokens, rope_dim);
  args.sin = Matrix(sin, type, num_tokens, rope_dim);
  args.index = Vector(index, DataType::kInt64, num_index);
  args.k_cache = Cache(k_cache, static_cast<DataType>(k_cache_dtype), args.layout, num_blocks,
                       block_size, 1, rope_dim, k_block_stride);
  args.ckv_cache = Cache(ckv_cache, static_cast<DataType>(ckv_cache_dtype), args.layout, num_blocks,
                         block_size, 1, norm_dim, ckv_block_stride);
  const auto weight = [](uintptr_t address, int64_t size) {
    return address == 0 ? Tensor{} : Vector(address, DataType::kFloat, size);
  };
  args.k_rope_scale = weight(k_rope_scale, rope_dim);
  args.c_kv_scale = weight(c_kv_scale, norm_dim);
  args.k_rope_offset = weight(k_rope_offset, rope_dim);
  args.c_kv_offset = weight(c_kv_offset, norm_dim);
  if (k_rope != 0) args.k_rope = Matrix(k_rope, type, num_tokens, rope_dim);
  if (c_kv != 0) args.c_kv = Matrix(c_kv, type, num_tokens, norm_dim);
  vllm_cann::ops::KvRmsnormRopeCache(args, reinterpret_cast<void*>(stream));
}

}  // namespace

void BindCache(nb::module_& m) {
  m.def(
      "reshape_and_cache", &ReshapeAndCache, nb::arg("key"), nb::arg("value"), nb::arg("key_cache"),
      nb::arg("value_cache"), nb::arg("slot_mapping"), nb::arg("num_tokens"), nb::arg("num_heads"),
      nb::arg("key_head_size"), nb::arg("value_head_size"), nb::arg("num_blocks"),
      nb::arg("block_size"), nb::arg("key_token_stride"), nb::arg("value_token_stride"),
      nb::arg("key_block_stride"), nb::arg("value_block_stride"), nb::arg("layout"),
      nb::arg("dtype"), nb::arg("slot_dtype"), nb::arg("stream"),
      "Copies rows of key [T, H, Dk] and value [T, H, Dv] to slots of the paged caches with N\n"
      "blocks of B slots, which lie as layout says: 0 [N, B, H, D] (ND), 1 [N, H, B, D] (HND),\n"
      "2 [N, H * D / n, B, n] with n elements in 32 bytes (NZ).\n\n"
      "slot_mapping [T] is int32 or int64; a slot that is negative or not below N * B is padding,\n"
      "and nothing is written for it. num_tokens is T; key and value may have more tokens. Heads\n"
      "of a token and blocks of a cache are contiguous; tokens and blocks may have any stride.\n"
      "dtype: any of 1, 2 or 4 bytes, the rows are copied bit by bit. value_head_size 0: there is\n"
      "no value, the other arguments about it are ignored.");
  m.def(
      "gather_cache", &GatherCache, nb::arg("key_cache"), nb::arg("value_cache"),
      nb::arg("block_table"), nb::arg("seq_lens"), nb::arg("seq_starts"), nb::arg("key"),
      nb::arg("value"), nb::arg("num_requests"), nb::arg("table_width"), nb::arg("num_lens"),
      nb::arg("num_rows"), nb::arg("num_heads"), nb::arg("key_head_size"),
      nb::arg("value_head_size"), nb::arg("num_blocks"), nb::arg("block_size"),
      nb::arg("key_block_stride"), nb::arg("value_block_stride"), nb::arg("layout"),
      nb::arg("dtype"), nb::arg("stream"),
      "Makes dense rows key [n, H, Dk] and value [n, H, Dv] of what requests have in paged caches\n"
      "of the layouts of reshape_and_cache, one request after the other.\n\n"
      "block_table [R, blocks] int32; seq_lens int32: R lengths, or R + 1 sums of lengths from 0\n"
      "on, as num_lens says; seq_starts [R] int32, first positions, or 0. Rows beyond the sum of\n"
      "lengths are not written. value_head_size 0: there is no value.");
  m.def("slot_mapping", &SlotMapping, nb::arg("query_start_loc"), nb::arg("positions"),
        nb::arg("block_table"), nb::arg("slot_mapping"), nb::arg("num_requests"),
        nb::arg("num_positions"), nb::arg("table_rows"), nb::arg("table_width"),
        nb::arg("num_slots"), nb::arg("num_tokens"), nb::arg("block_size"), nb::arg("world_size"),
        nb::arg("rank"), nb::arg("interleave"), nb::arg("pad_id"), nb::arg("position_dtype"),
        nb::arg("slot_dtype"), nb::arg("stream"),
        "Writes slot_mapping [slots]: for token t of request i, query_start_loc[i] <= t <\n"
        "query_start_loc[i + 1] (int32), t < num_tokens, with p = positions[t], o = p % (B * W),\n"
        "b = block_table[i, p / (B * W)] (int32): b * B + o / (I * W) * I + o % I if o / I % W is\n"
        "rank, else pad_id. B is block_size, W world_size, I interleave. Other elements: pad_id.");
  m.def("copy_blocks", &CopyBlocks, nb::arg("caches"), nb::arg("mapping"), nb::arg("num_caches"),
        nb::arg("num_pairs"), nb::arg("num_blocks"), nb::arg("largest_block_bytes"),
        nb::arg("whole_blocks"), nb::arg("stream"),
        "Copies block mapping[i, 0] over block mapping[i, 1] (int64) of every cache.\n\n"
        "caches [C, 3] int64: address, bytes from block to block, bytes of a block. whole_blocks:\n"
        "all of these bytes are multiples of 32.");
  m.def("swap_blocks", &SwapBlocks, nb::arg("source"), nb::arg("destination"), nb::arg("pairs"),
        nb::arg("num_pairs"), nb::arg("source_blocks"), nb::arg("destination_blocks"),
        nb::arg("source_stride_bytes"), nb::arg("destination_stride_bytes"), nb::arg("block_bytes"),
        nb::arg("source_on_device"), nb::arg("destination_on_device"), nb::arg("stream"),
        "Copies blocks from one cache to another, one of which may be in host memory.\n\n"
        "pairs: address in host memory of int64 [n, 2], source and destination. All are checked\n"
        "before the first copy is queued.");
  m.def("transpose_kv_cache", &TransposeKvCache, nb::arg("caches"), nb::arg("block_ids"),
        nb::arg("num_caches"), nb::arg("num_ids"), nb::arg("num_blocks"), nb::arg("block_size"),
        nb::arg("num_heads"), nb::arg("head_size"), nb::arg("splits"), nb::arg("dtype"),
        nb::arg("stream"),
        "Reorders, in place, blocks block_ids [n] (int64) of every cache: [splits, B, H / splits,\n"
        "D] becomes [B, splits, H / splits, D].\n\n"
        "caches [C, 2] int64: address, bytes from block to block. Ids are unique.");
  m.def(
      "kv_rmsnorm_rope_cache", &KvRmsnormRopeCache, nb::arg("kv"), nb::arg("gamma"), nb::arg("cos"),
      nb::arg("sin"), nb::arg("index"), nb::arg("k_cache"), nb::arg("ckv_cache"),
      nb::arg("k_rope_scale"), nb::arg("c_kv_scale"), nb::arg("k_rope_offset"),
      nb::arg("c_kv_offset"), nb::arg("k_rope"), nb::arg("c_kv"), nb::arg("num_tokens"),
      nb::arg("seq"), nb::arg("token_stride"), nb::arg("norm_dim"), nb::arg("rope_dim"),
      nb::arg("num_index"), nb::arg("num_blocks"), nb::arg("block_size"), nb::arg("k_block_stride"),
      nb::arg("ckv_block_stride"), nb::arg("layout"), nb::arg("index_kind"), nb::arg("epsilon"),
      nb::arg("dtype"), nb::arg("k_cache_dtype"), nb::arg("ckv_cache_dtype"), nb::arg("stream"),
      "Of rows kv [T, n + r], normalises the first n elements (times gamma [n]) for ckv_cache\n"
      "and rotates pairs of neighbours of the others by cos and sin [T, r] for k_cache.\n\n"
      "index int64: with index_kind 0 a slot per token, 1 the first slot of each page of B\n"
      "tokens of sequences of `seq` tokens, 2 a row of the sequence's own block. Caches have one\n"
      "head, lie in the layouts 0 or 2 of reshape_and_cache, in kv's type or int8 with float32\n"
      "scales and offsets. k_rope [T, r] and c_kv [T, n]: results without a cache, or 0.");
}
