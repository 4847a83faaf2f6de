// cc/ops/cache/swap_blocks.cc: checks the pairs, then queues copies through ACL.
#include "cc/ops/cache/swap_blocks.h"

#include "cc/ops/checks.h"
#include "cc/ops/launch.h"

namespace vllm_cann::ops {
namespace {

constexpr Checks kChecks("swap_blocks");

// A cache as its blocks lie in memory.
struct BlockMemory {
  const Tensor& tensor;
  const char* name;
  int64_t blocks;
  int64_t block_bytes;
  int64_t stride_bytes;
};

BlockMemory CheckBlocks(const Tensor& tensor, const char* name) {
  VLLM_CANN_REQUIRE(kChecks, tensor.dims >= 1, std::string(name) + " has no dimensions");
  int64_t elements = 1;
  for (int i = tensor.dims - 1; i > 0; --i) {
    VLLM_CANN_REQUIRE(kChecks, tensor.shape[i] <= 1 || tensor.strides[i] == elements,
                      std::string(name) + " has stride " + Text(tensor.strides[i]) +
                          " in dimension " + Text(i) + "; its blocks have to be contiguous");
    elements *= tensor.shape[i];
  }
  const int64_t bytes = ElementBytes(tensor.type);
  VLLM_CANN_REQUIRE(kChecks, elements > 0, std::string(name) + " has blocks of no elements");
  VLLM_CANN_REQUIRE(kChecks, tensor.shape[0] <= 1 || tensor.strides[0] >= elements,
                    std::string(name) + " has blocks " + Text(tensor.strides[0]) +
                        " elements apart, less than the " + Text(elements) + " of a block");
  VLLM_CANN_REQUIRE(kChecks, tensor.address != 0 || tensor.shape[0] == 0,
                    std::string(name) + " has no memory");
  return {tensor, name, tensor.shape[0], elements * bytes, tensor.strides[0] * bytes};
}

void CheckBlock(int64_t block, const BlockMemory& memory, int64_t pair) {
  VLLM_CANN_REQUIRE(kChecks, block >= 0 && block < memory.blocks,
                    "pair " + Text(pair) + " names block " + Text(block) + " of the " +
                        memory.name + ", which has " + Text(memory.blocks));
}

}  // namespace

void SwapBlocks(const SwapBlocksArgs& args, void* stream) {
  const BlockMemory source = CheckBlocks(args.source, "src");
  const BlockMemory destination = CheckBlocks(args.destination, "dst");
  VLLM_CANN_REQUIRE(kChecks, !args.source.is_on_host || !args.destination.is_on_host,
                    "neither the source nor the destination is on the device");
  bool alike =
      args.source.type == args.destination.type && args.source.dims == args.destination.dims;
  for (int i = 1; alike && i < args.source.dims; ++i) {
    alike = args.source.shape[i] == args.destination.shape[i];
  }
  VLLM_CANN_REQUIRE(kChecks, alike,
                    std::string("src is ") + Name(args.source.type) + " " + ShapeText(args.source) +
                        ", dst " + Name(args.destination.type) + " " + ShapeText(args.destination) +
                        "; their blocks have to be alike");
  kChecks.Dense(args.mapping, "mapping", 2, "[pairs, 2]");
  kChecks.Type(args.mapping, "mapping", DataType::kInt64);
  kChecks.Size(args.mapping, "mapping", 1, 2, "source and destination are");
  const int64_t count = args.mapping.shape[0];
  VLLM_CANN_REQUIRE(kChecks, args.mapping.is_on_host, "mapping has to be in host memory");
  const auto* const pairs = reinterpret_cast<const int64_t*>(args.mapping.address);
  for (int64_t i = 0; i < count; ++i) {
    CheckBlock(pairs[2 * i], source, i);
    CheckBlock(pairs[2 * i + 1], destination, i);
  }
  const CopyKind kind = args.source.is_on_host        ? CopyKind::kHostToDevice
                        : args.destination.is_on_host ? CopyKind::kDeviceToHost
                                                      : CopyKind::kDeviceToDevice;
  const int64_t bytes = source.block_bytes;
  // Within one cache a block may be a destination first and a source later.
  const bool dense = source.stride_bytes == bytes && destination.stride_bytes == bytes &&
                     args.source.address != args.destination.address;
  for (int64_t i = 0; i < count;) {
    int64_t run = 1;
    while (dense && i + run < count && pairs[2 * (i + run)] == pairs[2 * i] + run &&
           pairs[2 * (i + run) + 1] == pairs[2 * i + 1] + run) {
      ++run;
    }
    const auto at = [&](const BlockMemory& memory, int64_t block) {
      return memory.tensor.address + static_cast<uintptr_t>(block * memory.stride_bytes);
    };
    CopyMemory(at(destination, pairs[2 * i + 1]), at(source, pairs[2 * i]),
               static_cast<size_t>(run * bytes), kind, stream);
    i += run;
  }
}

using Args = SwapBlocksArgs;
[[maybe_unused]] const bool kDeclared = DeclareHost(
    "swap_blocks", &SwapBlocks,
    {{"src", &Args::source}, {"dst", &Args::destination}, {"mapping", &Args::mapping}}, {});

}  // namespace vllm_cann::ops
