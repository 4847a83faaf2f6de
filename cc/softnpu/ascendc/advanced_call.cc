#include "cc/softnpu/ascendc/advanced_call.h"

#include <algorithm>

#include "cc/softnpu/ascendc/vector_unit.h"

namespace softnpu::ascendc::semantics {

using namespace vector;  // NOLINT: the namespace of the unit

double LoadAs(uint8_t type, const std::byte* at) {
  switch (type) {
    case SOFTNPU_FLOAT:
      return static_cast<double>(Peek<float>(at));
    case SOFTNPU_FLOAT16:
      return static_cast<double>(Load(Peek<Half>(at)));
    case SOFTNPU_BFLOAT16:
      return static_cast<double>(Load(Peek<Bfloat>(at)));
    case SOFTNPU_INT32:
      return Peek<int32_t>(at);
    case SOFTNPU_UINT32:
      return Peek<uint32_t>(at);
    case SOFTNPU_INT16:
      return Peek<int16_t>(at);
    case SOFTNPU_UINT16:
      return Peek<uint16_t>(at);
    case SOFTNPU_INT8:
      return Peek<int8_t>(at);
    default:
      return Peek<uint8_t>(at);
  }
}
void StoreAs(uint8_t type, std::byte* at, double value) {
  switch (type) {
    case SOFTNPU_FLOAT:
      return Poke(at, static_cast<float>(value));
    case SOFTNPU_FLOAT16:
      return Poke(at, StoreDouble<Half>(value));
    case SOFTNPU_BFLOAT16:
      return Poke(at, StoreDouble<Bfloat>(value));
    case SOFTNPU_INT32:
      return Poke(at, SaturateTo<int32_t>(value));
    case SOFTNPU_UINT32:
      return Poke(at, SaturateTo<uint32_t>(value));
    case SOFTNPU_INT16:
      return Poke(at, SaturateTo<int16_t>(value));
    case SOFTNPU_UINT16:
      return Poke(at, SaturateTo<uint16_t>(value));
    case SOFTNPU_INT8:
      return Poke(at, SaturateTo<int8_t>(value));
    default:
      return Poke(at, SaturateTo<uint8_t>(value));
  }
}

AdvancedCall::AdvancedCall(Context& context, SoftnpuInstruction& instruction)
    : ctx(context),
      in(instruction),
      list(instruction.list),
      call(instruction.params[0]),
      tensors(instruction.list_count - (instruction.params[15] != 0 ? 1 : 0)),
      access_of_(instruction.list_count, ~size_t{0}) {}

double AdvancedCall::Scalar() const { return BitsTo<double>(in.scalar); }

void AdvancedCall::Only(uint32_t i, std::initializer_list<uint8_t> types) const {
  if (std::find(types.begin(), types.end(), list[i].type) == types.end()) {
    ctx.Fail(Format("%s does not take %s", AdvancedName(call), TypeName(list[i].type)));
  }
}

void AdvancedCall::WholeBlocks(const char* name, uint64_t elements, uint8_t type) const {
  if (elements * TypeBytes(type) % kBlockBytes == 0) return;
  ctx.Fail(Format("%s of %llu elements is not a multiple of %llu bytes", name,
                  static_cast<unsigned long long>(elements),
                  static_cast<unsigned long long>(kBlockBytes)));
}

void AdvancedCall::HasSize(uint32_t i, const char* name, const char* axis, uint64_t rows,
                           uint64_t columns) const {
  const uint64_t held = (list[i].end - list[i].address) / TypeBytes(list[i].type);
  if (held == rows * columns) return;
  ctx.Fail(Format("%s has %llu elements, but firstAxis %llu times %s %llu are %llu", name,
                  static_cast<unsigned long long>(held), static_cast<unsigned long long>(rows),
                  axis, static_cast<unsigned long long>(columns),
                  static_cast<unsigned long long>(rows * columns)));
}

void AdvancedCall::UseRows(uint32_t i, bool write, uint64_t elements, uint64_t rows,
                           uint64_t pitch) {
  if (ctx.strict()) ctx.CheckUbAlignment(list[i], Format("operand %u", i).c_str());
  access_of_[i] = ctx.accesses.size();
  const uint64_t step = TypeBytes(list[i].type);
  ctx.Add(list[i], write, list[i].address, elements * step, rows, rows == 1 ? 0 : pitch * step)
      .travels = !write && rows == 1;
}

void AdvancedCall::Admit() {
  if (tensors < in.list_count) {
    const SoftnpuTensor& tmp = list[tensors];
    if (tmp.end > tmp.address) ctx.Add(tmp, true, tmp.address, tmp.end - tmp.address);
  }
  ctx.Admit();
}

const Access& AdvancedCall::AccessOf(uint32_t i) const { return ctx.accesses[access_of_[i]]; }

void AdvancedCall::Matters(uint32_t i, uint64_t first, uint64_t count) const {
  if (!ctx.missing) return;
  const Access& access = AccessOf(i);
  const uint64_t step = TypeBytes(list[i].type);
  const uint64_t begin = access.base + first * step;
  if (ctx.HasValue(begin, count * step)) return;
  ctx.memories.FailMissing(access, begin, begin + count * step);
}

void AdvancedCall::HandOn(uint32_t i, uint64_t e, uint64_t to, uint32_t output) const {
  const uint64_t step = TypeBytes(list[i].type);
  const uint64_t from = AccessOf(i).base + e * step;
  if (ctx.HasValue(from, step)) return;
  const uint64_t size_of = TypeBytes(list[output].type);
  const uint64_t at = AccessOf(output).base + to * size_of;
  ctx.Spoil(SOFTNPU_SPACE_UB, at, at + size_of, list[i], from);
}

Values AdvancedCall::Read(uint32_t i) const {
  const Access& access = AccessOf(i);
  const uint64_t step = TypeBytes(list[i].type);
  Values values(access.bytes / step);
  for (size_t e = 0; e < values.size(); ++e) {
    values[e] = LoadAs(list[i].type, access.host + e * step);
  }
  return values;
}

void AdvancedCall::Write(uint32_t i, const Values& values) const {
  const uint64_t step = TypeBytes(list[i].type);
  for (size_t e = 0; e < values.size(); ++e) {
    StoreAs(list[i].type, AccessOf(i).host + e * step, values[e]);
  }
}

void AdvancedCall::Finish() const {
  ctx.Commit();
  if (tensors < in.list_count && ctx.strict()) {
    ctx.memories.Forget(SOFTNPU_SPACE_UB, list[tensors].address, list[tensors].end);
  }
}

}  // namespace softnpu::ascendc::semantics
