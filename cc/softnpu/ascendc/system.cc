// cc/softnpu/ascendc/system.cc: what a kernel asks about its launch, order, help for debugging.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <string>

#include "cc/softnpu/ascendc/numeric.h"
#include "cc/softnpu/ascendc/semantics.h"

namespace softnpu::ascendc::semantics {
namespace {

std::string ValueText(uint8_t type, const std::byte* at) {
  const auto read = [at]<typename T>(T value) {
    std::memcpy(&value, at, sizeof(T));
    return value;
  };
  switch (type) {
    case SOFTNPU_FLOAT:
      return Format("%g", static_cast<double>(read(float{})));
    case SOFTNPU_FLOAT16:
      return Format("%g", static_cast<double>(numeric::HalfToFloat(read(uint16_t{}))));
    case SOFTNPU_BFLOAT16:
      return Format("%g", static_cast<double>(numeric::Bfloat16ToFloat(read(uint16_t{}))));
    case SOFTNPU_INT8:
      return Format("%d", read(int8_t{}));
    case SOFTNPU_UINT8:
    case SOFTNPU_BOOL:
      return Format("%u", read(uint8_t{}));
    case SOFTNPU_INT16:
      return Format("%d", read(int16_t{}));
    case SOFTNPU_UINT16:
      return Format("%u", read(uint16_t{}));
    case SOFTNPU_INT32:
      return Format("%d", read(int32_t{}));
    case SOFTNPU_UINT32:
      return Format("%u", read(uint32_t{}));
    case SOFTNPU_INT64:
      return Format("%lld", static_cast<long long>(read(int64_t{})));
    case SOFTNPU_UINT64:
      return Format("%llu", static_cast<unsigned long long>(read(uint64_t{})));
    default:
      return "?";
  }
}

}  // namespace

void BlockIndex(Context& ctx, SoftnpuInstruction& in) {
  in.result = static_cast<uint64_t>(ctx.site.BlockIndex());
}

void BlockCount(Context& ctx, SoftnpuInstruction& in) { in.result = ctx.launch().blocks; }

void SubBlockIndex(Context& ctx, SoftnpuInstruction& in) { in.result = ctx.site.sub_block(); }

void SubBlockCount(Context& ctx, SoftnpuInstruction& in) {
  in.result = ctx.site.kind() == kCubeCore
                  ? 1
                  : static_cast<uint64_t>(std::max(ctx.launch().layout.vectors, 1));
}

void CoreType(Context& ctx, SoftnpuInstruction& in) {
  const Layout& layout = ctx.launch().layout;
  in.result = static_cast<uint64_t>(ctx.site.kind()) |
              (layout.cubes > 0 && layout.vectors > 0 ? uint64_t{4} : 0);
}

void TilingKey(Context& ctx, SoftnpuInstruction& in) {
  in.result = ctx.launch().options.tiling_key;
}

void SystemCycle(Context& ctx, SoftnpuInstruction& in) { in.result = ctx.site.issued(); }

void TaskType(Context& ctx, SoftnpuInstruction& instruction) {
  LaunchState& launch = ctx.site.launch();
  const int64_t type = instruction.params[0];
  const int64_t key = instruction.params[1];
  const bool inferred = key == -2;  // from what the kernel uses
  if (key >= 0 && static_cast<uint64_t>(key) != launch.options.tiling_key) return;
  if (inferred && launch.task_type >= 0) return;
  if (launch.task_type == type) return;
  if (launch.task_type >= 0 && launch.task_type_said) {
    ctx.Fail("a second KERNEL_TASK_TYPE that says something else");
  }
  const std::lock_guard<std::mutex> lock(launch.mutex);
  launch.task_type = type;
  launch.task_type_said = !inferred;
  throw Relaid{};
}

void TilingCopy(Context& ctx, SoftnpuInstruction& instruction) {
  Access& access = ctx.Add(instruction.operand[0], false, instruction.operand[0].address,
                           static_cast<uint64_t>(instruction.count));
  ctx.Admit();
  std::memcpy(reinterpret_cast<void*>(instruction.params[0]), access.host, access.bytes);
}

void Print(Context& ctx, SoftnpuInstruction& instruction) {
  const auto* const text = reinterpret_cast<const char*>(instruction.params[0]);
  const auto bytes = static_cast<int>(instruction.params[1]);
  const bool ends = bytes > 0 && text[bytes - 1] == '\n';
  std::fprintf(stdout, "[%s] %.*s%s", ctx.site.CoreName().c_str(), bytes, text, ends ? "" : "\n");
  std::fflush(stdout);
}

void Dump(Context& ctx, SoftnpuInstruction& instruction) {
  const SoftnpuTensor& tensor = instruction.operand[0];
  const uint64_t size = TypeBytes(tensor.type);
  Access& access =
      ctx.AddSource(tensor, tensor.address, static_cast<uint64_t>(instruction.count) * size);
  ctx.Admit();
  uint64_t origin = 0;
  const std::string buffer = ctx.site.NameOf(tensor, tensor.address, &origin);
  std::string text =
      Format("[%s] DumpTensor %lld at %s:%u: %s, bytes %llu on, %s:", ctx.site.CoreName().c_str(),
             static_cast<long long>(instruction.params[0]), FileOf(instruction.file).c_str(),
             instruction.line, buffer.c_str(),
             static_cast<unsigned long long>(tensor.address - origin), TypeName(tensor.type));
  for (int64_t i = 0; i < instruction.count; ++i) {
    const uint64_t at = static_cast<uint64_t>(i) * size;
    const bool value = !ctx.missing || ctx.memories.FirstMissing(access, access.base + at,
                                                                 access.base + at + size) ==
                                           access.base + at + size;
    text += (i % 8 == 0 ? "\n  " : " ") +
            (value ? ValueText(tensor.type, access.host + at) : std::string("(no value)"));
  }
  std::fprintf(stdout, "%s\n", text.c_str());
  std::fflush(stdout);
  ctx.accesses.clear();  // looking is not an access
}

void Assert(Context& ctx, SoftnpuInstruction& instruction) {
  std::string fault = "Trap";
  if (instruction.opcode != SOFTNPU_OP_TRAP) {
    const std::string text(reinterpret_cast<const char*>(instruction.params[0]),
                           static_cast<size_t>(instruction.params[1]));
    const bool unsupported = instruction.params[2] != 0;
    fault = unsupported ? text + " is not supported by SoftNPU"
                        : "the assertion does not hold: " + text;
  }
  throw KernelError(ctx.site.kind() == kVectorCore ? kVectorCoreTrap : kAicoreTrap, fault,
                    ctx.site.Here());
}

void Unsized(Context& ctx, SoftnpuInstruction& in) {
  in.result = 0;
  if (!ctx.site.bounds()) return;
  ctx.Fail("GetSize of a tensor of GM that SetGlobalBuffer gave no size: it is any number");
}

// A null workspace stays null: there is none.
void UserWorkspace(Context& ctx, SoftnpuInstruction& in) {
  const uint64_t system_bytes =
      ctx.chip().npu_arch == 2002 ? uint64_t{2} << 20 : uint64_t{16} << 20;
  const auto workspace = static_cast<uint64_t>(in.params[0]);
  in.result = workspace == 0 ? 0 : workspace + system_bytes;
  if (workspace != 0) ctx.memories.NoteWorkspace(in.result, system_bytes);
}

// The system's workspace is never read here. A kernel of an operator's project has it set by the
// compiler, which asks for it without a call: then it is a place that is not null and not mapped.
void SystemWorkspace(Context& ctx, SoftnpuInstruction& in) {
  constexpr uint64_t kNobodys = 64;
  uint64_t& set = ctx.registers.system_workspace;
  if (in.params[0] != 0) set = static_cast<uint64_t>(in.params[1]);
  in.result = set != 0 ? set : kNobodys;
}

void PipeBarrier(Context& ctx, SoftnpuInstruction& in) {
  const int pipe = static_cast<int>(in.params[0]);
  if (pipe == SOFTNPU_PIPE_S) ctx.Fail("PipeBarrier<PIPE_S>: the scalar unit has no barrier");
  // On a cube core a barrier of V is left out, so that code of both kinds of cores may hold it.
  if (ctx.strict() && ctx.site.kind() == kVectorCore &&
      (pipe == SOFTNPU_PIPE_M || pipe == SOFTNPU_PIPE_MTE1 || pipe == SOFTNPU_PIPE_FIX)) {
    ctx.Fail(Format("PipeBarrier<PIPE_%s>: a vector core (AIV) has no pipe %s", PipeName(pipe),
                    PipeName(pipe)));
  }
  ctx.site.SetPipe(pipe);
  ctx.order.Issue(pipe);
  ctx.order.Barrier(pipe);
}

void DataSyncBarrier(Context&, SoftnpuInstruction&) {}

void CacheClean(Context& ctx, SoftnpuInstruction& in) { ctx.monitor.CleanCache(in); }

void OrderCores(Context& ctx, SoftnpuInstruction& in) {
  ctx.launch().group->Synchronise(ctx.site.context(), in);
}

}  // namespace softnpu::ascendc::semantics
