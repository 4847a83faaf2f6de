// cc/ops/rotary/qkv_rmsnorm_rope.cc: checks the arguments and fits tiles into the UB.
#include "cc/ops/rotary/qkv_rmsnorm_rope.h"

#include <algorithm>
#include <cmath>

#include "cc/ops/rotary/axes.h"

namespace vllm_cann::ops {
namespace {

constexpr Checks kChecks("qkv_rmsnorm_rope");
constexpr Checks kSumChecks("qkv_square_sums");
constexpr int64_t kPositionBatch = 512;
constexpr int64_t kMaxTokensPerTile = 16;
constexpr int64_t kMaxPitch = 2040;               // floats: a repeat stride of 255 blocks
constexpr int64_t kMaxStride = int64_t{1} << 31;  // bytes: a gap of a copy has 32 bits
constexpr int64_t kCopyBytes = 16384;
constexpr int64_t kFewCopyBytes = 2048;
constexpr int64_t kElementsOfACore = 384;  // see SplitOf

// What the kernels have in common.
void PlanInput(const Checks& checks, const QkvShape& input, const DeviceInfo& device,
               QkvRmsnormRopeTiling& tiling) {
  const Tensor& qkv = input.qkv;
  VLLM_CANN_REQUIRE(checks, qkv.dims == 2,
                    "qkv has " + Text(qkv.dims) + " dimensions, not [tokens, size]");
  checks.Floats(qkv, "qkv");
  VLLM_CANN_REQUIRE(checks, input.heads > 0 && input.kv_heads > 0 && input.head_size > 0,
                    "there are " + Text(input.heads) + " heads of query and " +
                        Text(input.kv_heads) + " of key, of " + Text(input.head_size) +
                        " elements; all have to be positive");
  const int64_t bytes = ElementBytes(qkv.type);
  const int64_t width =
      ((input.has_gate ? 2 : 1) * input.heads + 2 * input.kv_heads) * input.head_size;
  VLLM_CANN_REQUIRE(checks, qkv.shape[1] == width,
                    "qkv has " + Text(qkv.shape[1]) + " elements per token; " + Text(input.heads) +
                        " heads of query" + (input.has_gate ? " and of gate" : "") + ", and " +
                        Text(input.kv_heads) + " of key and of value, of " + Text(input.head_size) +
                        " elements, are " + Text(width));
  VLLM_CANN_REQUIRE(checks, qkv.strides[1] == 1 && (qkv.shape[0] <= 1 || qkv.strides[0] >= width),
                    "qkv has strides [" + Text(qkv.strides[0]) + ", " + Text(qkv.strides[1]) +
                        "]; a row has to be contiguous, and rows must not overlap");
  const int64_t stride = qkv.shape[0] <= 1 ? width : qkv.strides[0];
  VLLM_CANN_REQUIRE(checks, stride * bytes < kMaxStride,
                    "qkv has the token stride " + Text(stride) + "; the limit is " +
                        Text(kMaxStride / bytes - 1));
  checks.Device(device);
  tiling.angles.tokens = qkv.shape[0];
  tiling.token_stride = stride;
  tiling.heads = input.heads;
  tiling.kv_heads = input.kv_heads;
  tiling.head_size = input.head_size;
  tiling.has_gate = input.has_gate ? 1 : 0;
}

// Sets the pitches of a row: two halves of rotary_dim, and the rest.
void PlanRow(const Checks& checks, int64_t rotary_dim, int64_t bytes,
             QkvRmsnormRopeTiling& tiling) {
  const int64_t unit = kBlockBytes / bytes;
  tiling.angles.rotary_dim = rotary_dim;
  tiling.angles.half_pitch = RoundUp(rotary_dim / 2, unit);
  tiling.angles.has_copy_pad = 1;
  tiling.row_pitch = 2 * tiling.angles.half_pitch + RoundUp(tiling.head_size - rotary_dim, unit);
  VLLM_CANN_REQUIRE(checks, tiling.row_pitch <= kMaxPitch,
                    "the head size " + Text(tiling.head_size) + " takes " + Text(tiling.row_pitch) +
                        " elements in whole blocks; the limit is " + Text(kMaxPitch));
}

void CheckWeight(const Tensor& tensor, const char* name, int64_t size, DataType type) {
  kChecks.Dense(tensor, name, 1, "one");
  kChecks.Type(tensor, name, type);
  kChecks.Size(tensor, name, 0, size, "it takes");
}

void CheckOutput(const Tensor& tensor, const char* name, int64_t tokens, int64_t width,
                 DataType type) {
  kChecks.Dense(tensor, name, 2, "[tokens, size]");
  kChecks.Type(tensor, name, type);
  kChecks.Size(tensor, name, 0, tokens, "the tokens of qkv are");
  kChecks.Size(tensor, name, 1, width, "its heads have");
}

void CheckRotaryDim(const char* name, int64_t rotary_dim, int64_t head_size) {
  VLLM_CANN_REQUIRE(kChecks, rotary_dim >= 2 && rotary_dim % 2 == 0 && rotary_dim <= head_size,
                    std::string(name) + " has the rotary dimension " + Text(rotary_dim) +
                        "; it has to be even, at least 2 and at most the head size " +
                        Text(head_size));
}

// Gives the rotary dimension.
int64_t PlanAngles(const QkvRmsnormRopeArgs& args, RotaryAngles& angles) {
  const DataType type = args.qkv.type;
  angles.axes = 1;
  if (HasGivenAngles(kChecks, args.positions, args.cos_sin_cache, args.cos, args.sin, args.sections,
                     args.interleaved)) {
    for (const auto& [tensor, name] : {std::pair{&args.cos, "cos"}, {&args.sin, "sin"}}) {
      VLLM_CANN_REQUIRE(kChecks, tensor->dims == 2,
                        std::string(name) + " has " + Text(tensor->dims) +
                            " dimensions, not [tokens, rotary_dim / 2]");
      kChecks.Type(*tensor, name, type);
      kChecks.Size(*tensor, name, 0, angles.tokens, "the tokens of qkv are");
      VLLM_CANN_REQUIRE(kChecks,
                        tensor->strides[1] == 1 &&
                            (tensor->shape[0] <= 1 || tensor->strides[0] >= tensor->shape[1]),
                        std::string(name) + " has strides [" + Text(tensor->strides[0]) + ", " +
                            Text(tensor->strides[1]) + "]; a row has to be contiguous");
    }
    VLLM_CANN_REQUIRE(kChecks,
                      args.sin.shape[1] == args.cos.shape[1] &&
                          (angles.tokens <= 1 || args.sin.strides[0] == args.cos.strides[0]),
                      "sin has rows of " + Text(args.sin.shape[1]) + " with the stride " +
                          Text(args.sin.strides[0]) + ", cos of " + Text(args.cos.shape[1]) +
                          " with " + Text(args.cos.strides[0]) +
                          "; they have to be laid out alike");
    CheckRotaryDim("cos", 2 * args.cos.shape[1], args.head_size);
    angles.table_rows = angles.tokens;
    angles.table_stride = angles.tokens <= 1 ? args.cos.shape[1] : args.cos.strides[0];
    return 2 * args.cos.shape[1];
  }
  const Tensor& cache = args.cos_sin_cache;
  kChecks.Dense(cache, "cos_sin_cache", 2, "[positions, rotary_dim]");
  kChecks.Type(cache, "cos_sin_cache", type);
  CheckRotaryDim("cos_sin_cache", cache.shape[1], args.head_size);
  const Tensor& positions = args.positions;
  VLLM_CANN_REQUIRE(
      kChecks, positions.dims == 1 || positions.dims == 2,
      "positions has " + Text(positions.dims) + " dimensions, not one, nor two with three axes");
  VLLM_CANN_REQUIRE(kChecks,
                    positions.type == DataType::kInt32 || positions.type == DataType::kInt64,
                    std::string("positions is ") + Name(positions.type) + ", not int32 or int64");
  kChecks.Size(positions, "positions", positions.dims - 1, angles.tokens, "the tokens of qkv are");
  const int64_t step = angles.tokens <= 1 ? 1 : positions.strides[positions.dims - 1];
  angles.axis_stride = positions.dims == 2 ? positions.strides[0] : angles.tokens;
  VLLM_CANN_REQUIRE(kChecks, step == 1 && angles.axis_stride >= angles.tokens,
                    "positions has stride " + Text(step) + " and axes " + Text(angles.axis_stride) +
                        " apart; positions of an axis have to be contiguous, and must not overlap");
  if (positions.dims == 2) {
    PlanAxes(kChecks, positions, args.sections, args.interleaved, cache.shape[1], angles.second,
             angles.third);
    angles.axes = 3;
  }
  VLLM_CANN_REQUIRE(kChecks, angles.tokens == 0 || cache.shape[0] > 0, "cos_sin_cache has no rows");
  angles.has_positions = 1;
  angles.position_bytes = ElementBytes(positions.type);
  angles.table_rows = cache.shape[0];
  angles.table_stride = cache.shape[1];
  return cache.shape[1];
}

// Buffers that value and gate go through, of `limit` bytes at most.
int64_t CopyBytes(const QkvRmsnormRopeTiling& tiling, int64_t bytes, int64_t limit) {
  int64_t most = 0;
  const int64_t size = tiling.head_size * bytes;
  if (tiling.norm_value == 0) {
    most = tiling.angles.tokens_per_tile * RoundUp(tiling.kv_heads * size, kBlockBytes);
  }
  if (tiling.has_gate != 0) {
    most = std::max(most, std::min(tiling.heads, tiling.part_rows) * RoundUp(size, kBlockBytes));
  }
  return std::min(most, limit);
}

// As many tokens in a tile as fit, or some rows of one token. Gives the cores.
template <typename Bytes>
uint32_t PlanTiles(const Checks& checks, const DeviceInfo& device, int64_t token_rows,
                   int64_t split, int64_t bytes, Bytes ub_bytes, QkvRmsnormRopeTiling& tiling) {
  RotaryAngles& angles = tiling.angles;
  tiling.part_rows = Ceil(token_rows, split);
  tiling.split = Ceil(token_rows, tiling.part_rows);
  const int64_t cores = std::min(angles.tokens * tiling.split, device.vector_cores);
  const int64_t per_core = Ceil(angles.tokens, cores / tiling.split);
  const int64_t budget = device.ub_bytes - kReservedUbBytes;
  angles.tokens_per_tile = std::min(per_core, kMaxTokensPerTile);
  tiling.rows_per_tile = tiling.part_rows;
  int64_t copy_limit = kCopyBytes;
  const auto fits = [&] {
    const int64_t tile = angles.tokens_per_tile;
    angles.position_batch = std::min(RoundUp(per_core, tile), kPositionBatch / tile * tile);
    tiling.copy_bytes = CopyBytes(tiling, bytes, copy_limit);
    return ub_bytes(tiling, bytes) <= budget;
  };
  while (!fits() && angles.tokens_per_tile > 1) --angles.tokens_per_tile;
  while (!fits() && tiling.rows_per_tile > 1) {
    tiling.rows_per_tile = (tiling.rows_per_tile + 1) / 2;
  }
  while (!fits() && copy_limit > kFewCopyBytes) copy_limit /= 2;
  VLLM_CANN_REQUIRE(checks, fits(),
                    "one head of " + Text(tiling.head_size) + " elements takes " +
                        Text(ub_bytes(tiling, bytes)) + " bytes of UB beside the weights, and " +
                        device.soc_name + " offers " + Text(budget));
  tiling.gap_bytes = (budget - ub_bytes(tiling, bytes)) / kBankRound * kBankRound;
  return static_cast<uint32_t>(cores);
}

const char* KernelOf(DataType type, const char* half, const char* bfloat16, const char* single) {
  return type == DataType::kFloat16 ? half : type == DataType::kBfloat16 ? bfloat16 : single;
}

}  // namespace

QkvRmsnormRopePlan PlanQkvRmsnormRope(const QkvRmsnormRopeArgs& args, const DeviceInfo& device) {
  QkvRmsnormRopePlan plan;
  QkvRmsnormRopeTiling& tiling = plan.tiling;
  const DataType type = args.qkv.type;
  PlanInput(kChecks, args, device, tiling);
  const int64_t bytes = ElementBytes(type);
  const int64_t tokens = tiling.angles.tokens;
  const int64_t size = tiling.head_size;
  const int64_t widths[2] = {tiling.heads * size, tiling.kv_heads * size};
  PlanRow(kChecks, PlanAngles(args, tiling.angles), bytes, tiling);

  const bool has_sums = args.square_sums.dims != 0;
  if (has_sums) {
    kChecks.Dense(args.square_sums, "square_sums", 2, "[tokens, 2]");
    kChecks.Type(args.square_sums, "square_sums", DataType::kFloat);
    kChecks.Size(args.square_sums, "square_sums", 0, tokens, "the tokens of qkv are");
    kChecks.Size(args.square_sums, "square_sums", 1, 2, "query and key are");
    VLLM_CANN_REQUIRE(kChecks, !args.norm_value,
                      "norm_value takes the mean of a head, square_sums those of all heads; "
                      "there is no launch with both");
  }
  VLLM_CANN_REQUIRE(kChecks, args.world_size >= 1 && (has_sums || args.world_size == 1),
                    "world_size is " + Text(args.world_size) +
                        "; it has to be positive, and 1 without square_sums");
  const bool has_bias = args.q_bias.dims != 0;
  VLLM_CANN_REQUIRE(kChecks, has_bias == (args.k_bias.dims != 0),
                    "q_bias and k_bias come together");
  for (int side = 0; side < 2; ++side) {
    const int64_t weight = has_sums ? widths[side] : size;
    CheckWeight(side == 0 ? args.q_weight : args.k_weight, side == 0 ? "q_weight" : "k_weight",
                weight, type);
    if (has_bias) {
      CheckWeight(side == 0 ? args.q_bias : args.k_bias, side == 0 ? "q_bias" : "k_bias", weight,
                  type);
    }
    const double elements = static_cast<double>(weight) * static_cast<double>(args.world_size);
    tiling.epsilon_bits[side] = FloatBits(args.epsilon * elements);
    tiling.scale_bits[side] = FloatBits(std::sqrt(elements));
  }
  VLLM_CANN_REQUIRE(kChecks, args.epsilon >= 0 && std::isfinite(args.epsilon),
                    "epsilon is " + std::to_string(args.epsilon) + "; it has to be 0 or positive");
  CheckOutput(args.q, "q", tokens, widths[0], type);
  CheckOutput(args.k, "k", tokens, widths[1], type);
  CheckOutput(args.v, "v", tokens, widths[1], type);
  if (args.has_gate) CheckOutput(args.gate, "gate", tokens, widths[0], type);
  if (tokens == 0) return plan;

  tiling.norm_value = args.norm_value ? 1 : 0;
  tiling.has_bias = has_bias ? 1 : 0;
  tiling.has_sums = has_sums ? 1 : 0;
  plan.kernel = KernelOf(type, "qkv_rmsnorm_rope_half", "qkv_rmsnorm_rope_bfloat16",
                         "qkv_rmsnorm_rope_float");
  const int64_t rows = tiling.heads + (args.norm_value ? 2 : 1) * tiling.kv_heads;
  const int64_t split = SplitOf(rows * size, kElementsOfACore, tokens, device.vector_cores);
  plan.cores = PlanTiles(kChecks, device, rows, split, bytes, QkvRmsnormRopeUbBytes, tiling);
  return plan;
}

QkvRmsnormRopePlan PlanQkvSquareSums(const QkvSquareSumsArgs& args, const DeviceInfo& device) {
  QkvRmsnormRopePlan plan;
  QkvRmsnormRopeTiling& tiling = plan.tiling;
  const DataType type = args.qkv.type;
  PlanInput(kSumChecks, args, device, tiling);
  const int64_t bytes = ElementBytes(type);
  PlanRow(kSumChecks, 0, bytes, tiling);
  kSumChecks.Dense(args.sums, "sums", 2, "[tokens, 2]");
  kSumChecks.Type(args.sums, "sums", DataType::kFloat);
  kSumChecks.Size(args.sums, "sums", 0, tiling.angles.tokens, "the tokens of qkv are");
  kSumChecks.Size(args.sums, "sums", 1, 2, "query and key are");
  if (tiling.angles.tokens == 0) return plan;
  plan.kernel =
      KernelOf(type, "qkv_square_sums_half", "qkv_square_sums_bfloat16", "qkv_square_sums_float");
  plan.cores = PlanTiles(kSumChecks, device, tiling.heads + tiling.kv_heads, 1, bytes,
                         QkvSquareSumsUbBytes, tiling);
  return plan;
}

using Args = QkvRmsnormRopeArgs;
[[maybe_unused]] const bool kDeclared = Declare("qkv_rmsnorm_rope", "rotary", &PlanQkvRmsnormRope,
                                                {{"positions", &Args::positions},
                                                 {"qkv", &Args::qkv},
                                                 {"q_weight", &Args::q_weight},
                                                 {"k_weight", &Args::k_weight},
                                                 {"q_bias", &Args::q_bias},
                                                 {"k_bias", &Args::k_bias},
                                                 {"cos_sin_cache", &Args::cos_sin_cache},
                                                 {"cos", &Args::cos, kSharesPlace},
                                                 {"sin", &Args::sin},
                                                 {"square_sums", &Args::square_sums},
                                                 {"q", &Args::q},
                                                 {"k", &Args::k},
                                                 {"v", &Args::v},
                                                 {"gate", &Args::gate}},
                                                {{"num_heads", &Args::heads},
                                                 {"num_kv_heads", &Args::kv_heads},
                                                 {"head_size", &Args::head_size},
                                                 {"epsilon", &Args::epsilon},
                                                 {"has_gate", &Args::has_gate},
                                                 {"norm_value", &Args::norm_value},
                                                 {"mrope_section", &Args::sections},
                                                 {"mrope_interleaved", &Args::interleaved},
                                                 {"world_size", &Args::world_size}});

[[maybe_unused]] const bool kSumsDeclared =
    Declare("qkv_square_sums", "rotary", &PlanQkvSquareSums,
            {{"qkv", &QkvSquareSumsArgs::qkv}, {"sums", &QkvSquareSumsArgs::sums}},
            {{"num_heads", &QkvSquareSumsArgs::heads},
             {"num_kv_heads", &QkvSquareSumsArgs::kv_heads},
             {"head_size", &QkvSquareSumsArgs::head_size},
             {"has_gate", &QkvSquareSumsArgs::has_gate}});

}  // namespace vllm_cann::ops
