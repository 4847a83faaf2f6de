// tests/benchmarks/plans.cc: the tiling of the host operators as C functions, for kernels launched
// from Python.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>

#include "cc/ops/cache/copy_blocks.h"
#include "cc/ops/cache/gather_cache.h"
#include "cc/ops/cache/kv_rmsnorm_rope_cache.h"
#include "cc/ops/cache/reshape_and_cache.h"
#include "cc/ops/cache/slot_mapping.h"
#include "cc/ops/cache/transpose_kv_cache.h"
#include "cc/ops/moe/moe_compute_expert_tokens.h"
#include "cc/ops/moe/moe_finalize_routing.h"
#include "cc/ops/moe/moe_gating_top_k.h"
#include "cc/ops/moe/moe_init_routing.h"
#include "cc/ops/rotary/qkv_rmsnorm_rope.h"
#include "cc/ops/rotary/rotary_embedding.h"

struct Device {
  const char* name;
  int64_t arch, vector_cores, ub_bytes;
};

namespace {

using vllm_cann::ops::CacheLayout;
using vllm_cann::ops::DataType;
using vllm_cann::ops::DeviceInfo;
using vllm_cann::ops::Tensor;

template <typename Plan, typename Args>
int Planned(Plan&& plan, const Args& args, const Device* device, void* tiling, uint32_t* cores) {
  try {
    const auto made =
        plan(args, {device->name, device->arch, device->vector_cores, device->ub_bytes});
    std::memcpy(tiling, &made.tiling, sizeof(made.tiling));
    *cores = made.cores;
    return static_cast<int>(sizeof(made.tiling));
  } catch (const std::exception& error) {
    std::snprintf(static_cast<char*>(tiling), 512, "%s", error.what());
    return -1;
  }
}

Tensor Rows(const int64_t* shape, int64_t stride, int64_t type) {
  return {static_cast<DataType>(type), 3, {shape[0], shape[1], shape[2]}, {stride, shape[2], 1}};
}

Tensor Cache(int64_t layout, int64_t blocks, int64_t block_size, int64_t heads, int64_t size,
             int64_t block_stride, int64_t type) {
  int64_t shape[3] = {block_size, heads, size};
  const int64_t n = 32 / vllm_cann::ops::ElementBytes(static_cast<DataType>(type));
  if (layout == 1) std::swap(shape[0], shape[1]);
  if (layout == 2) {
    shape[0] = heads * size / n;
    shape[1] = block_size;
    shape[2] = n;
  }
  return {static_cast<DataType>(type),
          4,
          {blocks, shape[0], shape[1], shape[2]},
          {block_stride, shape[1] * shape[2], shape[2], 1}};
}
Tensor Matrix(int64_t rows, int64_t columns, int64_t type) {
  return {static_cast<DataType>(type), 2, {rows, columns}, {columns, 1}};
}
Tensor Vector(int64_t size, int64_t type) { return {static_cast<DataType>(type), 1, {size}, {1}}; }

constexpr auto kFloat = static_cast<int64_t>(DataType::kFloat);
constexpr auto kInt8 = static_cast<int64_t>(DataType::kInt8);
constexpr auto kInt32 = static_cast<int64_t>(DataType::kInt32);
constexpr auto kInt64 = static_cast<int64_t>(DataType::kInt64);
constexpr auto kUint8 = static_cast<int64_t>(DataType::kUint8);

}  // namespace

// n: rows, experts, k, has bias, finished, row_idx and norm_out, k_group, group_count,
// group_select_mode, renorm, norm_type.
extern "C" __attribute__((visibility("default"))) int plan_moe_gating_top_k(
    const Device* device, int64_t type, const int64_t* n, const double* scale_and_eps, void* tiling,
    uint32_t* cores) {
  vllm_cann::ops::MoeGatingTopKArgs args;
  args.x = Matrix(n[0], n[1], type);
  if (n[3] != 0) args.bias = Vector(n[1], type);
  if (n[4] != 0) args.finished = Vector(n[0], kUint8);
  args.y = Matrix(n[0], n[2], type);
  args.expert_idx = Matrix(n[0], n[2], kInt32);
  if (n[5] != 0) args.row_idx = Matrix(n[0], n[2], kInt32);
  if (n[6] != 0) args.norm_out = Matrix(n[0], n[1], kFloat);
  args.k = n[2];
  args.k_group = n[7];
  args.group_count = n[8];
  args.group_select_mode = n[9];
  args.renorm = n[10];
  args.norm_type = n[11];
  args.routed_scaling_factor = static_cast<float>(scale_and_eps[0]);
  args.eps = static_cast<float>(scale_and_eps[1]);
  return Planned(vllm_cann::ops::PlanMoeGatingTopK, args, device, tiling, cores);
}

// n: tokens, k, row size, type of expert_idx, out rows, first expert, experts, capacity,
// row_idx_type, tokens type (-1: no counts), quant mode, has scale, has row_idx.
extern "C" __attribute__((visibility("default"))) int plan_moe_init_routing(
    const Device* device, int64_t type, const int64_t* n, void* tiling, uint32_t* cores) {
  const int64_t pairs = n[0] * n[1];
  const bool quantises = n[10] >= 0;
  vllm_cann::ops::MoeInitRoutingArgs args;
  args.x = Matrix(n[0], n[2], type);
  args.expert_idx = Matrix(n[0], n[1], n[3]);
  args.expanded_x = Matrix(n[4], n[2], quantises ? kInt8 : type);
  args.expanded_row_idx = Vector(pairs, kInt32);
  args.first_expert = n[5];
  args.experts = n[6];
  args.capacity = n[7];
  args.row_idx_type = n[8];
  args.tokens_type = n[9];
  args.quant_mode = n[10];
  if (n[9] >= 0) args.expert_tokens = n[9] == 2 ? Matrix(n[6], 2, kInt64) : Vector(n[6], kInt64);
  if (n[11] != 0) {
    args.scale = n[10] == 1 ? Matrix(n[6], n[2], kFloat) : Vector(n[10] == 0 ? 1 : n[0], kFloat);
  }
  if (n[10] == 0) args.offset = Vector(1, kFloat);
  if (n[10] == 1 || (n[10] < 0 && n[11] != 0)) args.expanded_scale = Vector(n[4], kFloat);
  if (n[12] != 0) {
    args.row_idx = Matrix(n[0], n[1], kInt32);
    args.expanded_expert_idx = Vector(pairs, kInt32);
  }
  args.workspace = Vector(1 << 24, kInt32);
  return Planned(vllm_cann::ops::PlanMoeInitRouting, args, device, tiling, cores);
}

// n: tokens, k, rows, row size, type of scales (-1: none), skips, rows of bias, by column.
extern "C" __attribute__((visibility("default"))) int plan_moe_finalize_routing(
    const Device* device, int64_t type, const int64_t* n, void* tiling, uint32_t* cores) {
  vllm_cann::ops::MoeFinalizeRoutingArgs args;
  args.rows = Matrix(n[2], n[3], type);
  args.out = Matrix(n[0], n[3], type);
  args.indices = Vector(n[0] * n[1], kInt32);
  if (n[4] >= 0) args.scales = Matrix(n[0], n[1], n[4]);
  if (n[5] > 0) args.skip1 = args.out;
  if (n[5] > 1) args.skip2 = args.out;
  if (n[6] > 0) {
    args.bias = Matrix(n[6], n[3], type);
    args.experts = Matrix(n[0], n[1], kInt32);
  }
  args.k = n[1];
  args.by_column = n[7] != 0;
  return Planned(vllm_cann::ops::PlanMoeFinalizeRouting, args, device, tiling, cores);
}

extern "C" __attribute__((visibility("default"))) int plan_moe_compute_expert_tokens(
    const Device* device, int64_t entries, int64_t experts, void* tiling, uint32_t* cores) {
  vllm_cann::ops::MoeComputeExpertTokensArgs args;
  args.sorted_experts = Vector(entries, kInt32);
  args.expert_tokens = Vector(experts, kInt32);
  return Planned(vllm_cann::ops::PlanMoeComputeExpertTokens, args, device, tiling, cores);
}

// Bytes of the tiling written to `tiling` (at least 512 bytes), or -1 and there the reason.
// n: style, is inverse, elements from row to row of given cos and sin (0: positions), axes,
// sections of three, interleaved, elements from token to token of results (0: in place) of both.
extern "C" __attribute__((visibility("default"))) int plan_rotary_embedding(
    const Device* device, int64_t type, int64_t position_type, const int64_t* query,
    int64_t query_stride, const int64_t* key, int64_t key_stride, int64_t rows, int64_t rotary_dim,
    const int64_t* n, void* tiling, uint32_t* cores) {
  vllm_cann::ops::RotaryEmbeddingArgs args;
  args.query = Rows(query, query_stride, type);
  if (key[1] > 0) args.key = Rows(key, key_stride, type);
  if (n[8] > 0) {
    args.query_out = Rows(query, n[8], type);
    if (key[1] > 0) args.key_out = Rows(key, n[9], type);
  }
  args.style = static_cast<vllm_cann::ops::RotaryStyle>(n[0]);
  args.is_inverse = n[1] != 0;
  if (n[2] > 0) {
    args.cos = {static_cast<DataType>(type), 2, {rows, rotary_dim / 2}, {n[2], 1}};
    args.sin = args.cos;
    return Planned(vllm_cann::ops::PlanRotaryEmbedding, args, device, tiling, cores);
  }
  const auto index = static_cast<DataType>(position_type);
  args.positions = n[3] == 1 ? Tensor{index, 1, {query[0]}, {1}}
                             : Tensor{index, 2, {n[3], query[0]}, {query[0], 1}};
  args.cos_sin_cache = {static_cast<DataType>(type), 2, {rows, rotary_dim}, {rotary_dim, 1}};
  std::copy_n(n + 4, 3, args.sections);
  args.interleaved = n[7] != 0;
  return Planned(vllm_cann::ops::PlanRotaryEmbedding, args, device, tiling, cores);
}

// n: tokens, heads, key heads, head size, elements from token to token, has gate.
static vllm_cann::ops::QkvShape Qkv(const int64_t* n, int64_t type) {
  const int64_t width = ((n[5] != 0 ? 2 : 1) * n[1] + 2 * n[2]) * n[3];
  return {{static_cast<DataType>(type), 2, {n[0], width}, {n[4], 1}}, n[1], n[2], n[3], n[5] != 0};
}

// n: as above, and rotary dimension, rows of the table, axes (0: cos and sin are given, and rows
// are as far apart as the next number), positions from axis to axis, sections of three,
// interleaved, has bias, has sums, devices, normalises value.
extern "C" __attribute__((visibility("default"))) int plan_qkv_rmsnorm_rope(
    const Device* device, int64_t type, int64_t position_type, const int64_t* n,
    const double* epsilon, void* tiling, uint32_t* cores) {
  vllm_cann::ops::QkvRmsnormRopeArgs args;
  args.input = Qkv(n, type);
  const bool has_sums = n[15] != 0;
  args.q_weight = Vector(has_sums ? n[1] * n[3] : n[3], type);
  args.k_weight = Vector(has_sums ? n[2] * n[3] : n[3], type);
  if (n[14] != 0) {
    args.q_bias = args.q_weight;
    args.k_bias = args.k_weight;
  }
  const auto index = static_cast<DataType>(position_type);
  if (n[8] == 0) {
    args.cos = {static_cast<DataType>(type), 2, {n[0], n[6] / 2}, {n[9], 1}};
    args.sin = args.cos;
  } else {
    args.positions =
        n[8] == 1 ? Vector(n[0], position_type) : Tensor{index, 2, {n[8], n[0]}, {n[9], 1}};
    args.cos_sin_cache = Matrix(n[7], n[6], type);
  }
  std::copy_n(n + 10, 3, args.sections);
  args.interleaved = n[13] != 0;
  if (has_sums) args.square_sums = Matrix(n[0], 2, kFloat);
  args.world_size = n[16];
  args.norm_value = n[17] != 0;
  args.epsilon = *epsilon;
  args.q = Matrix(n[0], n[1] * n[3], type);
  args.k = args.v = Matrix(n[0], n[2] * n[3], type);
  if (n[5] != 0) args.gate = args.q;
  return Planned(vllm_cann::ops::PlanQkvRmsnormRope, args, device, tiling, cores);
}

extern "C" __attribute__((visibility("default"))) int plan_qkv_square_sums(
    const Device* device, int64_t type, const int64_t* n, void* tiling, uint32_t* cores) {
  vllm_cann::ops::QkvSquareSumsArgs args;
  args.input = Qkv(n, type);
  args.sums = Matrix(n[0], 2, kFloat);
  return Planned(vllm_cann::ops::PlanQkvSquareSums, args, device, tiling, cores);
}

extern "C" __attribute__((visibility("default"))) int plan_reshape_and_cache(
    const Device* device, int64_t layout, int64_t type, int64_t slot_type, const int64_t* key,
    int64_t key_stride, const int64_t* value, int64_t value_stride, int64_t num_blocks,
    int64_t block_size, int64_t key_block_stride, int64_t value_block_stride, void* tiling,
    uint32_t* cores) {
  vllm_cann::ops::ReshapeAndCacheArgs args;
  args.layout = static_cast<CacheLayout>(layout);
  args.key = Rows(key, key_stride, type);
  args.key_cache = Cache(layout, num_blocks, block_size, key[1], key[2], key_block_stride, type);
  if (value[1] > 0) {
    args.value = Rows(value, value_stride, type);
    args.value_cache =
        Cache(layout, num_blocks, block_size, value[1], value[2], value_block_stride, type);
  }
  args.slot_mapping = {static_cast<DataType>(slot_type), 1, {key[0]}, {1}};
  return Planned(vllm_cann::ops::PlanReshapeAndCache, args, device, tiling, cores);
}

extern "C" __attribute__((visibility("default"))) int plan_gather_cache(
    const Device* device, int64_t layout, int64_t type, int64_t rows, int64_t heads, int64_t key,
    int64_t value, int64_t num_blocks, int64_t block_size, int64_t key_block_stride,
    int64_t value_block_stride, int64_t requests, int64_t table_width, int64_t cumulative,
    int64_t has_starts, void* tiling, uint32_t* cores) {
  vllm_cann::ops::GatherCacheArgs args;
  args.layout = static_cast<CacheLayout>(layout);
  const int64_t shapes[2][3] = {{rows, heads, key}, {rows, heads, value}};
  args.key = Rows(shapes[0], heads * key, type);
  args.key_cache = Cache(layout, num_blocks, block_size, heads, key, key_block_stride, type);
  if (value > 0) {
    args.value = Rows(shapes[1], heads * value, type);
    args.value_cache =
        Cache(layout, num_blocks, block_size, heads, value, value_block_stride, type);
  }
  const auto indices = [](int64_t count) -> Tensor { return {DataType::kInt32, 1, {count}, {1}}; };
  args.block_table = {DataType::kInt32, 2, {requests, table_width}, {table_width, 1}};
  args.seq_lens = indices(requests + cumulative);
  if (has_starts != 0) args.seq_starts = indices(requests);
  return Planned(vllm_cann::ops::PlanGatherCache, args, device, tiling, cores);
}

extern "C" __attribute__((visibility("default"))) int plan_copy_blocks(
    const Device* device, int64_t caches, int64_t pairs, int64_t num_blocks, int64_t largest,
    int64_t whole_blocks, void* tiling, uint32_t* cores) {
  vllm_cann::ops::CopyBlocksArgs args;
  args.caches = Matrix(caches, 3, kInt64);
  args.mapping = Matrix(pairs, 2, kInt64);
  args.num_blocks = num_blocks;
  args.largest_block_bytes = largest;
  args.whole_blocks = whole_blocks != 0;
  return Planned(vllm_cann::ops::PlanCopyBlocks, args, device, tiling, cores);
}

// n: requests, positions, slots, tokens, table width, block size, world size, rank, interleave,
// types of positions and slots, circular.
extern "C" __attribute__((visibility("default"))) int plan_slot_mapping(const Device* device,
                                                                        const int64_t* n,
                                                                        void* tiling,
                                                                        uint32_t* cores) {
  vllm_cann::ops::SlotMappingArgs args;
  args.query_start_loc = Vector(n[0] + 1, kInt32);
  args.positions = Vector(n[1], n[9]);
  args.slot_mapping = Vector(n[2], n[10]);
  args.block_table = Matrix(n[0], n[4], kInt32);
  args.tokens = n[3];
  args.block_size = n[5];
  args.world_size = n[6];
  args.rank = n[7];
  args.interleave = n[8];
  args.is_circular = n[11] != 0;
  return Planned(vllm_cann::ops::PlanSlotMapping, args, device, tiling, cores);
}

// n: sequences, seq, norm size, rope size, token stride, blocks, block size, layout, index kind,
// int8 caches (1: rope, 2: norm), has offsets, has outputs, elements of index.
extern "C" __attribute__((visibility("default"))) int plan_kv_rmsnorm_rope_cache(
    const Device* device, int64_t type, const int64_t* n, double epsilon, void* tiling,
    uint32_t* cores) {
  vllm_cann::ops::KvRmsnormRopeCacheArgs args;
  args.epsilon = epsilon;
  const int64_t tokens = n[0] * n[1];
  args.seq = n[1];
  args.kv = Matrix(tokens, n[2] + n[3], type);
  args.kv.strides[0] = n[4];
  args.gamma = Vector(n[2], type);
  args.cos = args.sin = Matrix(tokens, n[3], type);
  args.index = Vector(n[12], kInt64);
  args.layout = static_cast<CacheLayout>(n[7]);
  args.index_kind = static_cast<vllm_cann::ops::CacheIndex>(n[8]);
  const int64_t rope_type = (n[9] & 1) != 0 ? kInt8 : type;
  const int64_t norm_type = (n[9] & 2) != 0 ? kInt8 : type;
  args.k_cache = Cache(n[7], n[5], n[6], 1, n[3], n[6] * n[3], rope_type);
  args.ckv_cache = Cache(n[7], n[5], n[6], 1, n[2], n[6] * n[2], norm_type);
  if ((n[9] & 1) != 0) args.k_rope_scale = Vector(n[3], kFloat);
  if ((n[9] & 2) != 0) args.c_kv_scale = Vector(n[2], kFloat);
  if ((n[9] & 1) != 0 && n[10] != 0) args.k_rope_offset = Vector(n[3], kFloat);
  if ((n[9] & 2) != 0 && n[10] != 0) args.c_kv_offset = Vector(n[2], kFloat);
  if (n[11] != 0) {
    args.k_rope = Matrix(tokens, n[3], type);
    args.c_kv = Matrix(tokens, n[2], type);
  }
  return Planned(vllm_cann::ops::PlanKvRmsnormRopeCache, args, device, tiling, cores);
}

extern "C" __attribute__((visibility("default"))) int plan_transpose_kv_cache(
    const Device* device, int64_t type, int64_t caches, int64_t ids, int64_t num_blocks,
    int64_t block_size, int64_t heads, int64_t size, int64_t splits, void* tiling,
    uint32_t* cores) {
  vllm_cann::ops::TransposeKvCacheArgs args;
  args.caches = {DataType::kInt64, 2, {caches, 2}, {2, 1}};
  args.block_ids = {DataType::kInt64, 1, {ids}, {1}};
  args.type = static_cast<DataType>(type);
  args.num_blocks = num_blocks;
  args.block_size = block_size;
  args.heads = heads;
  args.head_size = size;
  args.splits = splits;
  return Planned(vllm_cann::ops::PlanTransposeKvCache, args, device, tiling, cores);
}
