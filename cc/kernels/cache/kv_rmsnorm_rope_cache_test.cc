// cc/kernels/cache/kv_rmsnorm_rope_cache_test.cc: the kernels against sums in double.
//
// Runs the twin as it is shipped, with the tiling of the host operator, in strict mode.
//
// Error bounds, with u = 2^-24, half a last place of float. A normalised element: squares (u), at
// most 31 additions of columns and 6 of the tree over 64 lanes (37 u in all, halved by the square
// root), plus n epsilon, which is rounded (2 u), halved; two square roots, division and two
// products (a last place each, 2 u): below 30 u. A rotated one: two products and a sum, 2 u (|a c|
// + |b s|). Then one rounding to the type: half of its last place at the result, which the former
// error may push to the next binade. In int8 the exact number is at most 1/2 away, plus the former
// errors and u for each of product and sum.
#include "cc/ops/cache/kv_rmsnorm_rope_cache.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "cc/kernels/conformance.h"
#include "cc/kernels/smallest_ub.h"
#include "cc/kernels/values.h"
#include "cc/softnpu/ascendc/testing/kernels.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

using softnpu::ascendc::testing::Chip910B;
using softnpu::ascendc::testing::HostMemory;
using softnpu::ascendc::testing::Slots;
using softnpu::ascendc::testing::Twin;
using softnpu::ascendc::testing::With;
using ::testing::HasSubstr;
using vllm_cann::kernels::CaseName;
using vllm_cann::kernels::CheckSmallestUb;
using vllm_cann::kernels::Drawn;
using vllm_cann::kernels::LastPlace;
using vllm_cann::kernels::RunConformance;
using vllm_cann::kernels::Values;
using vllm_cann::ops::CacheLayout;
using vllm_cann::ops::DataType;
using vllm_cann::ops::DeviceInfo;
using vllm_cann::ops::ElementBytes;
using vllm_cann::ops::KvRmsnormRopeCacheArgs;
using vllm_cann::ops::KvRmsnormRopeCachePlan;
using vllm_cann::ops::LatentCacheMode;
using vllm_cann::ops::PlanKvRmsnormRopeCache;
using vllm_cann::ops::Tensor;

constexpr double kU = 0x1p-24;

enum class CacheIndex { kSlot, kPage, kRow };

LatentCacheMode ModeOf(CacheLayout layout, CacheIndex index) {
  const bool nz = layout == CacheLayout::kNz;
  if (index == CacheIndex::kPage)
    return nz ? LatentCacheMode::kPaBlkNz : LatentCacheMode::kPaBlkBnsd;
  if (index == CacheIndex::kSlot) return nz ? LatentCacheMode::kPaNz : LatentCacheMode::kPa;
  return LatentCacheMode::kNorm;
}

struct Case {
  DataType type = DataType::kFloat16;
  int64_t sequences = 2;
  int64_t seq = 3;
  int64_t norm_dim = 512;
  int64_t rope_dim = 64;
  int64_t num_blocks = 6;
  int64_t block_size = 16;
  int64_t token_gap = 0;  // elements
  int64_t block_gap = 0;
  CacheLayout layout = CacheLayout::kNd;
  CacheIndex index = CacheIndex::kSlot;
  bool narrow_rope = false;  // int8 caches
  bool narrow_norm = false;
  bool offsets = false;
  bool outputs = false;
  double epsilon = 1e-5;
  int64_t ub_bytes = 196608;
  int64_t vector_cores = 40;
};

struct Part {
  std::vector<double> want;   // [tokens, size]
  std::vector<double> error;  // of the float before the last rounding
  std::vector<float> scale, offset;
  std::vector<uint8_t> before;
  uintptr_t cache = 0, output = 0;
  DataType cache_type = DataType::kFloat16;
  int64_t size = 0, block_stride = 0;
};

std::string Near(DataType type, double got, double want, double error) {
  const double bound = error + 0.5 * LastPlace(type, std::abs(want) + error);
  if (std::abs(got - want) <= bound) return "";
  return std::to_string(got) + " instead of " + std::to_string(want) + ", off by " +
         std::to_string(std::abs(got - want) / bound) + " times the bound";
}

// A number of the cache, or of the output.
double Element(DataType type, const uint8_t* at) {
  if (type == DataType::kInt8) return static_cast<int8_t>(*at);
  Values one(type, 1);
  std::copy_n(at, ElementBytes(type), one.bytes.begin());
  return one[0];
}

std::string CheckPart(const Case& test, const Part& part, const std::vector<int64_t>& slots,
                      const HostMemory& memory, const char* name) {
  const int64_t bytes = ElementBytes(part.cache_type);
  const int64_t n = 32 / bytes;
  const std::vector<uint8_t> got = memory.Get<uint8_t>(part.cache);
  std::vector<uint8_t> rest = part.before;
  for (size_t t = 0; t < slots.size(); ++t) {
    if (slots[t] < 0) continue;
    for (int64_t e = 0; e < part.size; ++e) {
      const int64_t place = slots[t] % test.block_size;
      const int64_t element = test.layout == CacheLayout::kNz
                                  ? (e / n * test.block_size + place) * n + e % n
                                  : place * part.size + e;
      const int64_t at = slots[t] / test.block_size * part.block_stride + element * bytes;
      const size_t i = t * static_cast<size_t>(part.size) + static_cast<size_t>(e);
      const double value = Element(part.cache_type, &got[static_cast<size_t>(at)]);
      std::string wrong;
      if (part.cache_type == DataType::kInt8) {
        const double scale = part.scale[static_cast<size_t>(e)];
        const double offset = part.offset.empty() ? 0 : part.offset[static_cast<size_t>(e)];
        const double exact = part.want[i] * scale + offset;
        const double error = part.error[i] * std::abs(scale) +
                             kU * (std::abs(part.want[i] * scale) + std::abs(exact));
        const double wanted = std::clamp(exact, -128.0, 127.0);
        if (std::abs(value - wanted) > 0.5 + error) {
          wrong = std::to_string(value) + " instead of " + std::to_string(wanted);
        }
      } else {
        wrong = Near(part.cache_type, value, part.want[i], part.error[i]);
      }
      if (!wrong.empty()) {
        return std::string(name) + ", token " + std::to_string(t) + ", element " +
               std::to_string(e) + ": " + wrong;
      }
      std::copy_n(&got[static_cast<size_t>(at)], bytes, &rest[static_cast<size_t>(at)]);
    }
  }
  if (rest != got) return std::string(name) + " was written beyond its slots";
  if (part.output == 0) return "";
  const std::vector<uint8_t> output = memory.Get<uint8_t>(part.output);
  for (size_t i = 0; i < part.want.size(); ++i) {
    const double value =
        Element(test.type, &output[i * static_cast<size_t>(ElementBytes(test.type))]);
    const std::string wrong = Near(test.type, value, part.want[i], part.error[i]);
    if (!wrong.empty()) return std::string(name) + "'s output " + std::to_string(i) + ": " + wrong;
  }
  return "";
}

std::string Check(const Case& test) {
  std::mt19937 random(9);
  std::normal_distribution<float> normal(0.0f, 2.0f);
  HostMemory memory;
  const int64_t tokens = test.sequences * test.seq;
  const int64_t n = test.norm_dim, r = test.rope_dim, row = n + r + test.token_gap;
  Values kv(test.type, static_cast<size_t>(std::max<int64_t>((tokens - 1) * row + n + r, 0)));
  for (size_t i = 0; i < kv.size(); ++i) kv.Set(i, normal(random));
  Values gamma(test.type, static_cast<size_t>(n));
  for (size_t i = 0; i < gamma.size(); ++i) gamma.Set(i, normal(random));
  Values cos(test.type, static_cast<size_t>(tokens * r)), sin = cos;
  for (size_t i = 0; i < cos.size(); ++i) {
    const float angle = normal(random);
    cos.Set(i, std::cos(angle));
    sin.Set(i, std::sin(angle));
  }

  Part rope, norm;
  rope.size = r;
  norm.size = n;
  for (int64_t t = 0; t < tokens; ++t) {
    const auto x = [&](int64_t i) { return kv[static_cast<size_t>(t * row + i)]; };
    double squares = 0;
    for (int64_t i = 0; i < n; ++i) squares += x(i) * x(i);
    const double root = std::sqrt(squares / static_cast<double>(n) + test.epsilon);
    for (int64_t i = 0; i < n; ++i) {
      norm.want.push_back(x(i) / root * gamma[static_cast<size_t>(i)]);
      norm.error.push_back(30 * kU * std::abs(norm.want.back()));
    }
    for (int64_t i = 0; i < r; ++i) {
      const int64_t pair = i % (r / 2);
      const double own = x(n + 2 * pair + (i < r / 2 ? 0 : 1));
      const double other = x(n + 2 * pair + (i < r / 2 ? 1 : 0)) * (i < r / 2 ? -1 : 1);
      const double c = own * cos[static_cast<size_t>(t * r + i)];
      const double s = other * sin[static_cast<size_t>(t * r + i)];
      rope.want.push_back(c + s);
      rope.error.push_back(2 * kU * (std::abs(c) + std::abs(s)));
    }
  }

  // Slots: shuffled, with padding first, in the middle and beyond the cache.
  std::vector<int64_t> index, slots(static_cast<size_t>(tokens));
  const int64_t pages = (test.seq + test.block_size - 1) / test.block_size;
  std::vector<int64_t> free(static_cast<size_t>(test.num_blocks * test.block_size));
  for (size_t i = 0; i < free.size(); ++i) free[i] = static_cast<int64_t>(i);
  std::shuffle(free.begin(), free.end(), random);
  std::vector<int64_t> blocks(static_cast<size_t>(test.num_blocks));
  for (size_t i = 0; i < blocks.size(); ++i) blocks[i] = static_cast<int64_t>(i);
  std::shuffle(blocks.begin(), blocks.end(), random);
  if (test.index == CacheIndex::kPage) {
    for (int64_t i = 0; i < test.sequences * pages; ++i) {
      index.push_back(blocks[static_cast<size_t>(i)] * test.block_size);
    }
    if (index.size() > 2) index[1] = -1;
  } else if (test.index == CacheIndex::kRow) {
    for (int64_t t = 0; t < tokens; ++t) {
      index.push_back((t % test.seq * 5 + 3) % test.block_size);  // 5 and a power of two
    }
    if (index.size() > 2) index[1] = test.block_size;
  } else {
    index.assign(free.begin(), free.begin() + tokens);
    if (index.size() > 2) index[1] = static_cast<int64_t>(free.size());
  }
  if (index.size() > 3) index[3] = -7;
  for (int64_t t = 0; t < tokens; ++t) {
    const int64_t b = t / test.seq, j = t % test.seq;
    int64_t& slot = slots[static_cast<size_t>(t)];
    if (test.index == CacheIndex::kPage) {
      const int64_t first = index[static_cast<size_t>(b * pages + j / test.block_size)];
      slot = first < 0 ? -1 : first + j % test.block_size;
    } else {
      slot = index[static_cast<size_t>(t)];
      if (test.index == CacheIndex::kRow && slot >= test.block_size) slot = -1;
      if (test.index == CacheIndex::kRow && slot >= 0) slot += b * test.block_size;
    }
    if (slot >= test.num_blocks * test.block_size) slot = -1;
  }

  KvRmsnormRopeCacheArgs args;
  const auto dense = [](uintptr_t address, DataType type, int64_t rows, int64_t columns) -> Tensor {
    if (rows == 0) return {type, 1, {columns}, {1}, address};
    return {type, 2, {rows, columns}, {columns, 1}, address};
  };
  const auto latent = [&](uintptr_t address, int64_t size, int64_t step) -> Tensor {
    return {test.type,
            4,
            {test.sequences, 1, test.seq, size},
            {test.seq * step, test.seq * step, step, 1},
            address};
  };
  args.kv = latent(memory.Put(kv.bytes, "kv"), n + r, row);
  args.gamma = dense(memory.Put(gamma.bytes, "gamma"), test.type, 0, n);
  args.cos = latent(memory.Put(cos.bytes, "cos"), r, r);
  args.sin = latent(memory.Put(sin.bytes, "sin"), r, r);
  args.index =
      dense(memory.Put(index, "index"), DataType::kInt64, 0, static_cast<int64_t>(index.size()));
  args.mode = ModeOf(test.layout, test.index);
  args.epsilon = test.epsilon;
  const auto side = [&](Part& part, bool narrow, Tensor& cache, Tensor& scale, Tensor& offset,
                        Tensor& output, const std::string& name) {
    part.cache_type = narrow ? DataType::kInt8 : test.type;
    const int64_t bytes = ElementBytes(part.cache_type), width = 32 / bytes;
    const int64_t block = test.block_size * part.size;
    part.block_stride = (block + test.block_gap) * bytes;
    part.before.resize(
        static_cast<size_t>((test.num_blocks - 1) * part.block_stride + block * bytes));
    for (uint8_t& byte : part.before) byte = static_cast<uint8_t>(random() % 100);
    part.cache = memory.Put(part.before, name);
    const int64_t step = block + test.block_gap, blocks = test.num_blocks, slots = test.block_size;
    cache = {part.cache_type, 4, {blocks, slots, 1, part.size}, {step, part.size, part.size, 1}};
    if (test.index == CacheIndex::kRow) {
      cache = {part.cache_type, 4, {blocks, 1, slots, part.size}, {step, block, part.size, 1}};
    } else if (test.layout == CacheLayout::kNz) {
      cache = {part.cache_type,
               5,
               {blocks, part.size / width, slots, 1, width},
               {step, slots * width, width, width, 1}};
    }
    cache.address = part.cache;
    if (narrow) {
      for (int64_t i = 0; i < part.size; ++i) {
        part.scale.push_back(20.0f * std::abs(normal(random)));
        if (test.offsets) part.offset.push_back(10.0f * normal(random));
      }
      scale = dense(memory.Put(part.scale, name + " scale"), DataType::kFloat, 0, part.size);
      if (test.offsets) {
        offset = dense(memory.Put(part.offset, name + " offset"), DataType::kFloat, 0, part.size);
      }
    }
    if (test.outputs && tokens > 0) {
      part.output = memory.Allocate(
          static_cast<size_t>(tokens * part.size * ElementBytes(test.type)), name + " output");
      output = latent(part.output, part.size, part.size);
    }
  };
  side(rope, test.narrow_rope, args.k_cache, args.k_rope_scale, args.k_rope_offset, args.k_rope,
       "k_cache");
  side(norm, test.narrow_norm, args.ckv_cache, args.c_kv_scale, args.c_kv_offset, args.c_kv,
       "ckv_cache");
  const KvRmsnormRopeCachePlan plan = PlanKvRmsnormRopeCache(
      args, DeviceInfo{"Ascend910B3", 2201, test.vector_cores, test.ub_bytes});
  if (tokens == 0) return plan.cores == 0 ? "" : "no tokens launch something";
  const softnpu::Profile chip =
      With(Chip910B(), test.vector_cores, test.ub_bytes - vllm_cann::ops::kReservedUbBytes);
  static const Twin twin("cc/kernels/cache/cache.twin.so");
  const Slots packed(args.kv.address, args.gamma.address, args.cos.address, args.sin.address,
                     args.index.address, args.k_cache.address, args.ckv_cache.address,
                     args.k_rope_scale.address, args.c_kv_scale.address, args.k_rope_offset.address,
                     args.c_kv_offset.address, args.k_rope.address, args.c_kv.address, plan.tiling);
  softnpu::ascendc::Launch(chip, memory, twin[plan.kernel], packed.data(), packed.bytes(),
                           plan.cores, true);
  std::string wrong = CheckPart(test, rope, slots, memory, "k_cache");
  if (wrong.empty()) wrong = CheckPart(test, norm, slots, memory, "ckv_cache");
  return wrong;
}

TEST(KvRmsnormRopeCache, Conformance) {
  const std::vector<DataType> types = {DataType::kFloat16, DataType::kBfloat16, DataType::kFloat};
  const std::vector<std::pair<int64_t, int64_t>> tokens = {{0, 1},  {1, 1},  {64, 1},
                                                           {1, 37}, {3, 20}, {2, 130}};
  const std::vector<std::pair<int64_t, int64_t>> sizes = {
      {512, 64}, {64, 32}, {160, 128}, {32, 32}, {1024, 64}};
  const std::vector<int64_t> block_sizes = {16, 128};
  const std::vector<int64_t> gaps = {0, 32};
  const std::vector<CacheLayout> layouts = {CacheLayout::kNd, CacheLayout::kNz};
  const std::vector<CacheIndex> indices = {CacheIndex::kSlot, CacheIndex::kPage, CacheIndex::kRow};
  const std::vector<double> epsilons = {1e-5, 1e-6, 0.0};
  const std::vector<int64_t> ub_bytes = {196608, 8192 + 65536};
  const std::vector<int64_t> cores = {40, 1, 3};
  const size_t ran = RunConformance<12>(
      "kv_rmsnorm_rope_cache",
      {types.size(), tokens.size(), sizes.size(), block_sizes.size(), Drawn(gaps.size()),
       layouts.size(), indices.size(), 5, 2, Drawn(epsilons.size()), ub_bytes.size(), cores.size()},
      [&](const auto& c) {
        Case test;
        test.type = types[c[0]];
        test.sequences = tokens[c[1]].first;
        test.seq = tokens[c[1]].second;
        test.norm_dim = sizes[c[2]].first;
        test.rope_dim = sizes[c[2]].second;
        test.block_size = block_sizes[c[3]];
        test.token_gap = test.block_gap = gaps[c[4]];
        test.index = indices[c[6]];
        // Rows of a sequence's own block are in ND alone.
        test.layout = test.index == CacheIndex::kRow ? CacheLayout::kNd : layouts[c[5]];
        test.narrow_rope = c[7] == 1 || c[7] >= 3;
        test.narrow_norm = c[7] >= 2;
        test.offsets = c[7] == 4;
        test.outputs = c[8] == 1;
        test.epsilon = epsilons[c[9]];
        test.ub_bytes = ub_bytes[c[10]];
        test.vector_cores = cores[c[11]];
        if (test.index == CacheIndex::kRow) {
          test.num_blocks = test.sequences + 1;
          while (test.block_size < test.seq) test.block_size *= 2;
        } else {
          const int64_t pages = (test.seq + test.block_size - 1) / test.block_size;
          test.num_blocks = test.sequences * pages + 2;
        }
        if (test.norm_dim == 1024) test.ub_bytes = 196608;
        return test;
      },
      [](const Case& test) {
        const char* const kinds[] = {"slots", "pages", "rows"};
        return CaseName{
            std::to_string(test.sequences) + " x " + std::to_string(test.seq) + " tokens of " +
                std::to_string(test.norm_dim) + "+" + std::to_string(test.rope_dim) + " by " +
                kinds[static_cast<int>(test.index)] + " blocks of " +
                std::to_string(test.block_size) + " gap " + std::to_string(test.token_gap) +
                (test.narrow_rope ? " int8 rope" : "") + (test.narrow_norm ? " int8 norm" : "") +
                (test.offsets ? " offsets" : "") + (test.outputs ? " outputs" : "") + " epsilon " +
                std::to_string(test.epsilon) + " ub " + std::to_string(test.ub_bytes) + " cores " +
                std::to_string(test.vector_cores),
            Name(test.type), test.layout == CacheLayout::kNz ? "NZ" : "ND"};
      },
      [](const Case& test) { return Check(test); });
  EXPECT_GE(ran, 30u);
}

TEST(KvRmsnormRopeCache, RefusesByName) {
  const auto refused = [](auto&& change, const char* sentence) {
    KvRmsnormRopeCacheArgs args;
    const DataType type = DataType::kBfloat16;
    args.kv = {type, 4, {2, 1, 3, 576}, {1728, 1728, 576, 1}};
    args.mode = LatentCacheMode::kPa;
    args.gamma = {type, 1, {512}, {1}};
    args.cos = args.sin = {type, 4, {2, 1, 3, 64}, {192, 192, 64, 1}};
    args.index = {DataType::kInt64, 1, {6}, {1}};
    args.k_cache = {type, 4, {8, 128, 1, 64}, {8192, 64, 64, 1}};
    args.ckv_cache = {type, 4, {8, 128, 1, 512}, {65536, 512, 512, 1}};
    DeviceInfo device = {"Ascend910B3", 2201, 40, 196608};
    PlanKvRmsnormRopeCache(args, device);
    change(args, device);
    EXPECT_THAT([&] { PlanKvRmsnormRopeCache(args, device); },
                ::testing::ThrowsMessage<std::invalid_argument>(
                    HasSubstr(std::string("kv_rmsnorm_rope_cache: ") + sentence)));
  };
  refused([](auto& a, auto&) { a.kv.dims = 2; }, "kv has 2 dimensions, not [sequences, 1,");
  refused([](auto& a, auto&) { a.kv.type = DataType::kInt8; }, "kv is int8; it can be float16");
  refused([](auto& a, auto&) { a.kv.strides[0] = 1729; },
          "kv has strides [1729, 1728, 576, 1]; its tokens");
  refused([](auto& a, auto&) { a.kv.shape[3] = 575; }, "kv has rows of 575, gamma has 512");
  refused([](auto& a, auto&) { a.gamma.type = DataType::kFloat; },
          "gamma is float32, not bfloat16");
  refused([](auto& a, auto&) { a.sin.shape[0] = 3; }, "sin has the shape [3, 1, 3, 64] for kv of");
  refused([](auto& a, auto&) { a.index.shape[0] = 5; }, "index has 5 in dimension 0, the tokens");
  refused([](auto& a, auto&) { a.index.type = DataType::kInt32; }, "index is int32, not int64");
  refused([](auto& a, auto&) { a.kv.shape[1] = 2; },
          "kv has the shape [2, 2, 3, 576]; it has to be [sequences, 1, tokens, size]");
  refused([](auto& a, auto&) { a.mode = LatentCacheMode::kPaNz; },
          "k_cache has the shape [8, 128, 1, 64]; in NZ it has to be [blocks, size / w, block");
  refused([](auto& a, auto&) { a.mode = LatentCacheMode::kNorm; },
          "k_cache has the shape [8, 128, 1, 64]; it has to be [sequences, 1, rows, size]");
  refused([](auto& a, auto&) { a.k_cache.type = DataType::kFloat16; },
          "k_cache is float16; it can be int8 or bfloat16, as kv is");
  refused([](auto& a, auto&) { a.k_cache.type = DataType::kInt8; },
          "k_cache is int8, which needs k_rope_scale");
  refused([](auto& a, auto&) { a.c_kv_scale = {DataType::kFloat, 1, {512}, {1}}; },
          "c_kv_scale is given, but ckv_cache is not int8");
  refused([](auto& a, auto&) { a.k_rope_offset = {DataType::kFloat, 1, {64}, {1}}; },
          "k_rope_offset is given, but k_cache is not int8");
  refused(
      [](auto& a, auto&) { a.k_rope = {DataType::kBfloat16, 4, {2, 1, 3, 63}, {189, 189, 63, 1}}; },
      "k_rope has 63 in dimension 1, it takes 64");
  refused([](auto& a, auto&) { a.ckv_cache.shape[0] = 7; },
          "ckv_cache has 7 blocks of 128, k_cache");
  refused([](auto& a, auto&) { a.epsilon = -1; }, "epsilon is -1.000000");
  refused([](auto&, auto& d) { d = {"Ascend310P3", 2002, 8, 262144}; },
          "Ascend310P3 has no DataCopyPad");
  refused([](auto&, auto& d) { d.ub_bytes = 20000; }, "one token of 576 elements takes");
}

TEST(KvRmsnormRopeCache, SmallestUb) {
  std::vector<Case> tests(3);
  tests[1].narrow_norm = tests[1].narrow_rope = tests[1].offsets = true;
  tests[2].type = DataType::kFloat;
  tests[2].narrow_norm = tests[2].outputs = true;
  for (Case& test : tests) {
    CheckSmallestUb([&](int64_t ub_bytes) {
      test.ub_bytes = ub_bytes;
      EXPECT_EQ(Check(test), "") << "UB of " << ub_bytes;
    });
  }
}

}  // namespace
