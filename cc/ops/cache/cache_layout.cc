// cc/ops/cache/cache_layout.cc: checks caches against their layout.
#include "cc/ops/cache/cache_layout.h"

#include <algorithm>
#include <array>

namespace vllm_cann::ops {
namespace {

template <typename Sizes>
std::string List(const Sizes& sizes) {
  std::string text = "[";
  for (int i = 0; i < 4; ++i) text += (i == 0 ? "" : ", ") + Text(sizes[i]);
  return text + "]";
}

// Of a cache with N blocks of B slots.
std::array<int64_t, 4> ShapeOf(CacheLayout layout, int64_t blocks, int64_t block_size,
                               int64_t heads, int64_t size, int64_t bytes) {
  switch (layout) {
    case CacheLayout::kHnd:
      return {blocks, heads, block_size, size};
    case CacheLayout::kNz:
      return {blocks, heads * size * bytes / kBlockBytes, block_size, kBlockBytes / bytes};
    default:
      return {blocks, block_size, heads, size};
  }
}

}  // namespace

CacheParts CheckCache(const Checks& checks, const Tensor& cache, const char* name,
                      CacheLayout layout, int64_t heads, int64_t size, const char* of) {
  VLLM_CANN_REQUIRE(
      checks,
      layout == CacheLayout::kNd || layout == CacheLayout::kHnd || layout == CacheLayout::kNz,
      "the layout " + Text(static_cast<int64_t>(layout)) + " is unknown");
  VLLM_CANN_REQUIRE(
      checks, cache.dims == 4,
      std::string(name) + " has " + Text(cache.dims) + " dimensions, not four: blocks first");
  const int64_t bytes = ElementBytes(cache.type);
  const int64_t row_bytes = heads * size * bytes;
  VLLM_CANN_REQUIRE(checks, layout != CacheLayout::kNz || row_bytes % kBlockBytes == 0,
                    std::string(of) + " has rows of " + Text(row_bytes) +
                        " bytes; a cache in NZ takes whole blocks of 32");
  const std::array<int64_t, 4> shape =
      ShapeOf(layout, cache.shape[0], BlockSize(cache, layout), heads, size, bytes);
  VLLM_CANN_REQUIRE(checks, std::equal(shape.begin(), shape.end(), cache.shape),
                    std::string(name) + " has the shape " + List(cache.shape) + "; for heads of [" +
                        Text(heads) + ", " + Text(size) + "] it has to be " + List(shape));
  int64_t dense = 1;
  for (int i = 3; i > 0; --i) {
    VLLM_CANN_REQUIRE(checks, cache.shape[i] == 1 || cache.strides[i] == dense,
                      std::string(name) + " has strides " + List(cache.strides) +
                          "; a block has to be contiguous");
    dense *= cache.shape[i];
  }
  VLLM_CANN_REQUIRE(checks, cache.shape[0] <= 1 || cache.strides[0] >= dense,
                    std::string(name) + " has the block stride " + Text(cache.strides[0]) +
                        ", less than a block's " + Text(dense) + " elements");
  CacheParts parts;
  parts.part_bytes = layout == CacheLayout::kNd    ? row_bytes
                     : layout == CacheLayout::kHnd ? size * bytes
                                                   : kBlockBytes;
  parts.parts = row_bytes / parts.part_bytes;
  parts.block_stride = cache.strides[0] * bytes;
  return parts;
}

}  // namespace vllm_cann::ops
