// cc/softnpu/ascendc/vector_arith.cc: arithmetic of the vector unit, element by element.
//
// Arithmetic follows the published boundary values of A2 and A3: integers wrap, a 16-bit float is
// rounded once, to nearest even. In saturation mode integers clamp and halves have neither
// infinities nor NaN; floats never saturate.
#include "cc/softnpu/ascendc/semantics.h"
#include "cc/softnpu/ascendc/vector_form.h"
#include "cc/softnpu/ascendc/vector_unit.h"

namespace softnpu::ascendc::semantics {
namespace {

using namespace vector;  // NOLINT: the namespace of this unit

// F computes floats, I integers (wrapping), S integers in saturation mode.
struct AddOp {
  static float F(float a, float b) { return a + b; }
  template <typename T>
  static T I(T a, T b) {
    using U = std::make_unsigned_t<T>;
    return static_cast<T>(static_cast<U>(static_cast<U>(a) + static_cast<U>(b)));
  }
  static int64_t S(int64_t a, int64_t b) { return a + b; }
};
struct SubOp {
  static float F(float a, float b) { return a - b; }
  template <typename T>
  static T I(T a, T b) {
    using U = std::make_unsigned_t<T>;
    return static_cast<T>(static_cast<U>(static_cast<U>(a) - static_cast<U>(b)));
  }
  static int64_t S(int64_t a, int64_t b) { return a - b; }
};
struct MulOp {
  static float F(float a, float b) { return a * b; }
  template <typename T>
  static T I(T a, T b) {
    // In 64 bits, where neither uint16_t's promotion to int nor the product overflows.
    return static_cast<T>(static_cast<uint64_t>(static_cast<int64_t>(a)) *
                          static_cast<uint64_t>(static_cast<int64_t>(b)));
  }
  static int64_t S(int64_t a, int64_t b) { return a * b; }
};
struct DivOp {
  static float F(float a, float b) { return a / b; }
};
struct MaxOp {
  static float F(float a, float b) { return Larger(a, b); }
  template <typename T>
  static T I(T a, T b) {
    return a > b ? a : b;
  }
  static int64_t S(int64_t a, int64_t b) { return a > b ? a : b; }
};
struct MinOp {
  static float F(float a, float b) { return Smaller(a, b); }
  template <typename T>
  static T I(T a, T b) {
    return a < b ? a : b;
  }
  static int64_t S(int64_t a, int64_t b) { return a < b ? a : b; }
};
// A NaN stays, -0 becomes +0.
template <typename V>
V ReluOf(V value) {
  return value <= 0 ? V{0} : value;
}
template <typename Op>
struct ThenRelu {
  static float F(float a, float b) { return ReluOf(Op::F(a, b)); }
  template <typename T>
  static T I(T a, T b) {
    return ReluOf(Op::I(a, b));
  }
  static int64_t S(int64_t a, int64_t b) { return ReluOf(Op::S(a, b)); }
};
struct LeakyReluOp {
  static float F(float a, float slope) { return a > 0 ? a : a * slope; }
};

template <typename Op, bool saturate, typename T>
inline T Apply(T a, T b) {
  if constexpr (kIsFloat<T>) {
    return Store<T>(Op::F(Load(a), Load(b)));
  } else if constexpr (saturate) {
    return static_cast<T>(std::clamp<int64_t>(Op::S(a, b), std::numeric_limits<T>::min(),
                                              std::numeric_limits<T>::max()));
  } else {
    return Op::I(a, b);
  }
}

template <typename T, typename Op, bool saturate = false>
void Binary(const SoftnpuInstruction& in, std::byte* ub) {
  Walk(in, ub, sizeof(T), [](std::byte* d, std::byte* a, std::byte* b, uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) As<T>(d)[i] = Apply<Op, saturate>(As<T>(a)[i], As<T>(b)[i]);
  });
}

template <typename T, typename Op, bool saturate = false>
void WithScalar(const SoftnpuInstruction& in, std::byte* ub) {
  const T scalar = ScalarOf<T>(in);
  Walk(in, ub, sizeof(T), [scalar](std::byte* d, std::byte* a, std::byte*, uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) As<T>(d)[i] = Apply<Op, saturate>(As<T>(a)[i], scalar);
  });
}

// The product of two floats is exact in double.
inline double FusedMultiplyAdd(float a, float b, float c) {
  return static_cast<double>(a) * static_cast<double>(b) + static_cast<double>(c);
}

// dst = f(dst, src0, src1), and with a scalar in the place of src1.
struct MulAddDstOp {
  static double F(float d, float a, float b) { return FusedMultiplyAdd(a, b, d); }
};
struct FusedMulAddOp {
  static double F(float d, float a, float b) { return FusedMultiplyAdd(a, d, b); }
};
struct FusedMulAddReluOp {
  static double F(float d, float a, float b) { return ReluOf(FusedMultiplyAdd(a, d, b)); }
};

template <typename D, typename S, typename Op>
void Ternary(const SoftnpuInstruction& in, std::byte* ub) {
  Walk(in, ub, sizeof(D), [](std::byte* d, std::byte* a, std::byte* b, uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) {
      As<D>(d)[i] = StoreDouble<D>(Op::F(Load(As<D>(d)[i]), Load(As<S>(a)[i]), Load(As<S>(b)[i])));
    }
  });
}

template <typename D, typename S>
void AxpyRuns(const SoftnpuInstruction& in, std::byte* ub) {
  const float scalar = Load(ScalarOf<S>(in));
  Walk(in, ub, sizeof(D), [scalar](std::byte* d, std::byte* a, std::byte*, uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) {
      As<D>(d)[i] = StoreDouble<D>(FusedMultiplyAdd(Load(As<S>(a)[i]), scalar, Load(As<D>(d)[i])));
    }
  });
}

template <typename T, typename F>
void Map(const SoftnpuInstruction& in, std::byte* ub, F&& f) {
  Walk(in, ub, sizeof(T), [&f](std::byte* d, std::byte* a, std::byte*, uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) {
      if constexpr (kIsFloat<T>) {
        As<T>(d)[i] = Store<T>(f(Load(As<T>(a)[i])));
      } else {
        As<T>(d)[i] = f(As<T>(a)[i]);
      }
    }
  });
}

template <typename T>
Function FloatMap(uint32_t opcode) {
  using In = const SoftnpuInstruction&;
  switch (opcode) {
    case SOFTNPU_OP_EXP:
      return [](In in, std::byte* ub) { Map<T>(in, ub, [](float x) { return std::exp(x); }); };
    case SOFTNPU_OP_LN:
      return [](In in, std::byte* ub) { Map<T>(in, ub, [](float x) { return std::log(x); }); };
    case SOFTNPU_OP_ABS:
      return [](In in, std::byte* ub) { Map<T>(in, ub, [](float x) { return std::fabs(x); }); };
    case SOFTNPU_OP_RECIPROCAL:
      return [](In in, std::byte* ub) { Map<T>(in, ub, [](float x) { return 1.0f / x; }); };
    case SOFTNPU_OP_SQRT:
      return [](In in, std::byte* ub) { Map<T>(in, ub, [](float x) { return std::sqrt(x); }); };
    case SOFTNPU_OP_RSQRT:
      return [](In in, std::byte* ub) {
        Map<T>(in, ub,
               [](float x) { return static_cast<float>(1.0 / std::sqrt(static_cast<double>(x))); });
      };
    case SOFTNPU_OP_RELU:
      return [](In in, std::byte* ub) { Map<T>(in, ub, [](float x) { return ReluOf(x); }); };
    default:
      return nullptr;
  }
}

template <typename T>
void ShiftRuns(const SoftnpuInstruction& in, std::byte* ub) {
  const uint64_t amount = static_cast<uint64_t>(ScalarOf<T>(in));
  using U = std::make_unsigned_t<T>;
  if (in.opcode == SOFTNPU_OP_SHIFT_LEFT) {
    Walk(in, ub, sizeof(T), [amount](std::byte* d, std::byte* a, std::byte*, uint64_t n) {
      for (uint64_t i = 0; i < n; ++i) {
        As<T>(d)[i] = static_cast<T>(uint64_t{static_cast<U>(As<T>(a)[i])} << amount);
      }
    });
    return;
  }
  // Rounding adds the last bit that is shifted out.
  const int64_t half = in.params[0] != 0 && amount > 0 ? int64_t{1} << (amount - 1) : 0;
  Walk(in, ub, sizeof(T), [amount, half](std::byte* d, std::byte* a, std::byte*, uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) {
      As<T>(d)[i] = static_cast<T>((static_cast<int64_t>(As<T>(a)[i]) + half) >> amount);
    }
  });
}

template <typename Op>
void Bitwise(const SoftnpuInstruction& in, std::byte* ub) {
  Walk(in, ub, 2, [](std::byte* d, std::byte* a, std::byte* b, uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) {
      As<uint16_t>(d)[i] = static_cast<uint16_t>(Op::F(As<uint16_t>(a)[i], As<uint16_t>(b)[i]));
    }
  });
}
struct AndOp {
  static int F(int a, int b) { return a & b; }
};
struct OrOp {
  static int F(int a, int b) { return a | b; }
};
void NotRuns(const SoftnpuInstruction& in, std::byte* ub) {
  Walk(in, ub, 2, [](std::byte* d, std::byte* a, std::byte*, uint64_t n) {
    for (uint64_t i = 0; i < n; ++i)
      As<uint16_t>(d)[i] = static_cast<uint16_t>(~As<uint16_t>(a)[i]);
  });
}

// dst = convert(f(src0, src1)), the result narrower than the sources.
template <typename D, typename S, typename Op>
void Narrow(const SoftnpuInstruction& in, std::byte* ub) {
  Walk(in, ub, sizeof(S), [](std::byte* d, std::byte* a, std::byte* b, uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) {
      if constexpr (kIsFloat<S>) {
        const float value = Op::F(Load(As<S>(a)[i]), Load(As<S>(b)[i]));
        if constexpr (kIsFloat<D>) {
          As<D>(d)[i] = Store<D>(value);
        } else {
          // What lies between is a half, as the instruction's two parts are.
          As<D>(d)[i] = SaturateTo<D>(std::nearbyint(Load(Store<S>(value))));
        }
      } else {
        As<D>(d)[i] = SaturateTo<D>(static_cast<double>(Op::S(As<S>(a)[i], As<S>(b)[i])));
      }
    }
  });
}
// As ThenRelu, but a NaN becomes +0.
template <typename Op>
struct ThenReluCast {
  static float F(float a, float b) {
    const float value = Op::F(a, b);
    return value > 0 ? value : 0.0f;
  }
  static int64_t S(int64_t a, int64_t b) { return ReluOf(Op::S(a, b)); }
};

template <typename Op>
Function FindNarrow(uint8_t to, uint8_t from) {
  if (from == SOFTNPU_FLOAT && to == SOFTNPU_FLOAT16) return Narrow<Half, float, Op>;
  if (from == SOFTNPU_FLOAT16 && to == SOFTNPU_INT8) return Narrow<int8_t, Half, Op>;
  if (from == SOFTNPU_INT16 && to == SOFTNPU_INT8) return Narrow<int8_t, int16_t, Op>;
  return nullptr;
}

}  // namespace

void Elementwise(Context& ctx, SoftnpuInstruction& in) {
  const uint8_t type = in.operand[0].type;
  const uint8_t source = in.operand_count > 1 ? in.operand[1].type : type;
  const bool saturate = ctx.registers.saturate;
  Function run = nullptr;
  bool reads_dst = false;
  bool mixed = false;
  const auto arithmetic = [&]<typename Op>() {
    ArithmeticType(type, [&]<typename T>() {
      if constexpr (kIsFloat<T>) {
        run = in.operand_count == 3 ? Binary<T, Op> : WithScalar<T, Op>;
      } else if (saturate) {
        run = in.operand_count == 3 ? Binary<T, Op, true> : WithScalar<T, Op, true>;
      } else {
        run = in.operand_count == 3 ? Binary<T, Op> : WithScalar<T, Op>;
      }
    });
  };
  const auto ternary = [&]<typename Op>() {
    reads_dst = true;
    FloatType(type, [&]<typename T>() { run = Ternary<T, T, Op>; });
  };
  switch (in.opcode) {
    case SOFTNPU_OP_ADD:
    case SOFTNPU_OP_ADDS:
      arithmetic.operator()<AddOp>();
      break;
    case SOFTNPU_OP_SUB:
      arithmetic.operator()<SubOp>();
      break;
    case SOFTNPU_OP_MUL:
    case SOFTNPU_OP_MULS:
      arithmetic.operator()<MulOp>();
      break;
    case SOFTNPU_OP_DIV:
      FloatType(type, [&]<typename T>() { run = Binary<T, DivOp>; });
      break;
    case SOFTNPU_OP_MAX:
    case SOFTNPU_OP_MAXS:
      arithmetic.operator()<MaxOp>();
      break;
    case SOFTNPU_OP_MIN:
    case SOFTNPU_OP_MINS:
      arithmetic.operator()<MinOp>();
      break;
    case SOFTNPU_OP_ADD_RELU:
      if (type != SOFTNPU_INT32) arithmetic.operator()<ThenRelu<AddOp>>();
      break;
    case SOFTNPU_OP_SUB_RELU:
      if (type != SOFTNPU_INT32) arithmetic.operator()<ThenRelu<SubOp>>();
      break;
    case SOFTNPU_OP_AND:
      if (type == SOFTNPU_INT16 || type == SOFTNPU_UINT16) run = Bitwise<AndOp>;
      break;
    case SOFTNPU_OP_OR:
      if (type == SOFTNPU_INT16 || type == SOFTNPU_UINT16) run = Bitwise<OrOp>;
      break;
    case SOFTNPU_OP_NOT:
      if (type == SOFTNPU_INT16 || type == SOFTNPU_UINT16) run = NotRuns;
      break;
    case SOFTNPU_OP_MUL_ADD_DST:
      ternary.operator()<MulAddDstOp>();
      if (type == SOFTNPU_FLOAT && source == SOFTNPU_FLOAT16) {
        mixed = true;
        run = Ternary<float, Half, MulAddDstOp>;
      }
      break;
    case SOFTNPU_OP_FUSED_MUL_ADD:
      ternary.operator()<FusedMulAddOp>();
      break;
    case SOFTNPU_OP_FUSED_MUL_ADD_RELU:
      ternary.operator()<FusedMulAddReluOp>();
      break;
    case SOFTNPU_OP_AXPY:
      reads_dst = true;
      FloatType(type, [&]<typename T>() { run = AxpyRuns<T, T>; });
      if (type == SOFTNPU_FLOAT && source == SOFTNPU_FLOAT16) {
        mixed = true;
        run = AxpyRuns<float, Half>;
      }
      break;
    case SOFTNPU_OP_LEAKY_RELU:
      FloatType(type, [&]<typename T>() { run = WithScalar<T, LeakyReluOp>; });
      break;
    case SOFTNPU_OP_MUL_CAST:
      mixed = true;
      if (source == SOFTNPU_FLOAT16 && type == SOFTNPU_INT8) run = Narrow<int8_t, Half, MulOp>;
      if (source == SOFTNPU_FLOAT16 && type == SOFTNPU_UINT8) run = Narrow<uint8_t, Half, MulOp>;
      break;
    case SOFTNPU_OP_ADD_RELU_CAST:
      mixed = true;
      run = FindNarrow<ThenReluCast<AddOp>>(type, source);
      break;
    case SOFTNPU_OP_SUB_RELU_CAST:
      mixed = true;
      run = FindNarrow<ThenReluCast<SubOp>>(type, source);
      break;
    case SOFTNPU_OP_ADD_DEQ_RELU:
      mixed = true;
      if (source == SOFTNPU_INT32 && type == SOFTNPU_FLOAT16) {
        in.scalar = ToBits(ctx.registers.deq_scale);
        run = [](const SoftnpuInstruction& i, std::byte* ub) {
          const double scale = ScalarOf<float>(i);
          Walk(i, ub, 4, [scale](std::byte* d, std::byte* a, std::byte* b, uint64_t n) {
            for (uint64_t e = 0; e < n; ++e) {
              const int32_t sum = AddOp::I(As<int32_t>(a)[e], As<int32_t>(b)[e]);
              As<Half>(d)[e] = StoreDouble<Half>(ReluOf(sum * scale));
            }
          });
        };
      }
      break;
    case SOFTNPU_OP_SHIFT_LEFT:
    case SOFTNPU_OP_SHIFT_RIGHT: {
      const auto shift = [&]<typename T>() {
        const int64_t amount = static_cast<int64_t>(ScalarOf<T>(in));
        if (amount < 0 || static_cast<uint64_t>(amount) > sizeof(T) * 8) {
          ctx.Fail(Format("a shift by %lld, the limits for %s are 0 and %zu",
                          static_cast<long long>(amount), TypeName(type), sizeof(T) * 8));
        }
        if (in.params[0] != 0 && std::is_unsigned_v<T>) {
          ctx.Fail(Format("roundEn is for int16_t and int32_t, not for %s", TypeName(type)));
        }
        run = ShiftRuns<T>;
      };
      if (type == SOFTNPU_INT16) shift.operator()<int16_t>();
      if (type == SOFTNPU_UINT16) shift.operator()<uint16_t>();
      if (type == SOFTNPU_INT32) shift.operator()<int32_t>();
      if (type == SOFTNPU_UINT32) shift.operator()<uint32_t>();
      break;
    }
    case SOFTNPU_OP_RELU:
      if (type == SOFTNPU_INT32) {
        run = [](const SoftnpuInstruction& i, std::byte* ub) {
          Map<int32_t>(i, ub, [](int32_t x) { return ReluOf(x); });
        };
        break;
      }
      [[fallthrough]];
    default:
      FloatType(type, [&]<typename T>() { run = FloatMap<T>(in.opcode); });
      break;
  }
  if (run == nullptr || (!mixed && source != type)) {
    ctx.Fail(type == source ? Format("%s does not take %s", OpcodeName(in.opcode), TypeName(type))
                            : Format("%s does not make %s of %s", OpcodeName(in.opcode),
                                     TypeName(type), TypeName(source)));
  }
  if (!PlanVector(ctx, in, std::max(TypeBytes(type), TypeBytes(source)), reads_dst)) return;
  run(in, ctx.ub());
  if (saturate && type == SOFTNPU_FLOAT16) {
    Walk(in, ctx.ub(), std::max(TypeBytes(type), TypeBytes(source)),
         [](std::byte* d, std::byte*, std::byte*, uint64_t n) {
           for (uint64_t i = 0; i < n; ++i) As<Half>(d)[i] = ClampFloat(As<Half>(d)[i]);
         });
  }
  ctx.Commit();
}

}  // namespace softnpu::ascendc::semantics
