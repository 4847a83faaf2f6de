// cc/softnpu/ascendc/advanced_call.h: what the high-level calls share.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include "cc/softnpu/ascendc/semantics.h"

namespace softnpu::ascendc::semantics {

using Values = std::vector<double>;

// An element of a type, and back: rounded once, integers saturate.
double LoadAs(uint8_t type, const std::byte* at);
void StoreAs(uint8_t type, std::byte* at, double value);

// A high-level call while it runs. Its tensors: outputs, inputs, and where params[15] is not 0 a
// temporary buffer in the last place, which holds no value afterwards. First all accesses are
// declared (Use), then admitted; then elements are read and written.
class AdvancedCall {
 public:
  AdvancedCall(Context& context, SoftnpuInstruction& instruction);

  uint64_t Size(int param) const { return static_cast<uint64_t>(in.params[param]); }
  double Scalar() const;

  // Throws unless operand i is of one of the types.
  void Only(uint32_t i, std::initializer_list<uint8_t> types) const;
  // Throws unless the elements fill whole blocks of 32 bytes.
  void WholeBlocks(const char* name, uint64_t elements, uint8_t type) const;
  // Throws unless operand i holds rows x columns elements.
  void HasSize(uint32_t i, const char* name, const char* axis, uint64_t rows,
               uint64_t columns) const;

  // The call reads or writes the first elements of operand i, or of each of its rows.
  void Use(uint32_t i, bool write, uint64_t elements) { UseRows(i, write, elements, 1, elements); }
  void UseRows(uint32_t i, bool write, uint64_t elements, uint64_t rows, uint64_t pitch);
  void Admit();

  // The elements [first, first + count) of operand i decide results of others: they need values.
  void Matters(uint32_t i, uint64_t first, uint64_t count) const;
  // Element `to` of the output is made of element `e` of operand i alone: it has a value if that
  // one has.
  void HandOn(uint32_t i, uint64_t e, uint64_t to, uint32_t output = 0) const;

  const Access& AccessOf(uint32_t i) const;
  // All of what the call declared of operand i, in the order of memory.
  Values Read(uint32_t i) const;
  void Write(uint32_t i, const Values& values) const;
  void Finish() const;

  Context& ctx;
  SoftnpuInstruction& in;
  const SoftnpuTensor* const list;
  const int64_t call;
  const uint32_t tensors;  // without the temporary buffer

 private:
  std::vector<size_t> access_of_;
};

// By families; each is one call.
void Softmax(AdvancedCall& c);
void SoftmaxGrad(AdvancedCall& c);
void AdjustSoftmax(AdvancedCall& c);
void RmsNorm(AdvancedCall& c);
void LayerNorm(AdvancedCall& c);
void LayerNormGrad(AdvancedCall& c);
void LayerNormGradBeta(AdvancedCall& c);
void BatchNorm(AdvancedCall& c);
void GroupNorm(AdvancedCall& c);
void WelfordUpdate(AdvancedCall& c);
void WelfordFinalize(AdvancedCall& c);
void Quant(AdvancedCall& c);
void Dequant(AdvancedCall& c);
void AntiQuant(AdvancedCall& c);
void ConfusionTranspose(AdvancedCall& c);

}  // namespace softnpu::ascendc::semantics
