// cc/softnpu/ascendc/vector_reduce.cc: reductions of a repeat, a block or a pair, and of a tensor.
//
// Sums are binary trees over adjacent elements, each sum rounded to the element's type; elements
// that the mask leaves out take no part. A NaN anywhere in a group is its result.
#include "cc/softnpu/ascendc/semantics.h"
#include "cc/softnpu/ascendc/vector_form.h"
#include "cc/softnpu/ascendc/vector_unit.h"

namespace softnpu::ascendc::semantics {
namespace {

using namespace vector;  // NOLINT: the namespace of this unit

enum Order : int64_t { kValueIndex = 0, kIndexValue, kOnlyValue, kOnlyIndex };

// The sum of values[i] where present[i]; both are used up.
template <typename T>
T TreeSum(T* values, bool* present, uint64_t n) {
  while (n > 1) {
    for (uint64_t i = 0; i < (n + 1) / 2; ++i) {
      const bool right = 2 * i + 1 < n && present[2 * i + 1];
      if (present[2 * i] && right) {
        values[i] = Store<T>(Load(values[2 * i]) + Load(values[2 * i + 1]));
      } else {
        values[i] = right ? values[2 * i + 1] : values[2 * i];
      }
      present[i] = present[2 * i] || right;
    }
    n = (n + 1) / 2;
  }
  return values[0];
}

// Whether `value` takes the place of the extreme so far: the first of equal ones stays, and so
// does the first NaN.
inline bool Beats(float value, float best, bool max) {
  if (std::isnan(best)) return false;
  return std::isnan(value) || (max ? value > best : value < best);
}

struct ReduceWalk {
  uint64_t groups;  // results of a repeat
  uint64_t record;  // bytes of a result
  uint64_t to_pitch;
  uint64_t from_pitch;
  uint64_t per;  // elements of a repeat
};

// Results may fall on elements that were read, not on those that a later repeat reads. Elements
// that the mask leaves out are not read.
void CheckLaterReads(const Context& ctx, const SoftnpuInstruction& in, const ReduceWalk& walk) {
  const SoftnpuTensor& dst = in.operand[0];
  const SoftnpuTensor& src = in.operand[1];
  const uint64_t size = TypeBytes(src.type);
  const uint64_t repeats = RepeatsOf(in, walk.per);
  const uint64_t span = LaneOffset(walk.per - 1, size, in.block_stride[1]) + size;
  for (uint64_t repeat = 0; repeat + 1 < repeats; ++repeat) {
    const uint64_t to = dst.address + repeat * walk.to_pitch;
    const uint64_t to_end = to + walk.groups * walk.record;
    for (uint64_t later = repeat + 1; later < repeats; ++later) {
      const uint64_t from = src.address + later * walk.from_pitch;
      if (to >= from + span || from >= to_end) continue;
      const LaneBits lanes = LanesOf(in, later, walk.per);
      for (uint64_t lane = 0; lane < walk.per; ++lane) {
        const uint64_t at = from + LaneOffset(lane, size, in.block_stride[1]);
        if (!lanes[lane] || at >= to_end || to >= at + size) continue;
        ctx.FailAt(Format("the result of repeat %llu overlaps what a later repeat reads",
                          static_cast<unsigned long long>(repeat)),
                   dst, to, to_end);
      }
    }
  }
}

}  // namespace

void Reduce(Context& ctx, SoftnpuInstruction& in) {
  const SoftnpuTensor& dst = in.operand[0];
  const SoftnpuTensor& src = in.operand[1];
  const uint8_t type = src.type;
  const uint64_t size = TypeBytes(type);
  const bool whole =
      in.opcode <= SOFTNPU_OP_WHOLE_REDUCE_MIN || in.opcode == SOFTNPU_OP_REPEAT_REDUCE_SUM;
  const bool pair = in.opcode == SOFTNPU_OP_PAIR_REDUCE_SUM;
  const bool extreme =
      in.opcode == SOFTNPU_OP_WHOLE_REDUCE_MAX || in.opcode == SOFTNPU_OP_WHOLE_REDUCE_MIN ||
      in.opcode == SOFTNPU_OP_BLOCK_REDUCE_MAX || in.opcode == SOFTNPU_OP_BLOCK_REDUCE_MIN;
  const bool max =
      in.opcode == SOFTNPU_OP_WHOLE_REDUCE_MAX || in.opcode == SOFTNPU_OP_BLOCK_REDUCE_MAX;
  if (type != SOFTNPU_FLOAT && type != SOFTNPU_FLOAT16) {
    ctx.Fail(Format("%s does not take %s", OpcodeName(in.opcode), TypeName(type)));
  }
  const int64_t order = whole && extreme ? in.params[0] : static_cast<int64_t>(kOnlyValue);
  ctx.CheckLimit("ReduceOrder", order, kValueIndex, kOnlyIndex);
  const uint64_t per = kRepeatBytes / size;
  const uint64_t groups = whole ? 1 : pair ? per / 2 : kBlocksPerRepeat;  // results of a repeat
  const uint64_t lanes_of_group = per / groups;
  const uint64_t record = order == kOnlyValue   ? size
                          : order == kOnlyIndex ? 4
                                                : 2 * size;  // bytes of a result
  ResolveMask(ctx, in);
  if (ctx.strict()) {
    ctx.CheckUbAlignment(src, "src");
    const uint64_t alignment = whole ? record : pair ? kBlockBytes : kBlocksPerRepeat * size;
    if (dst.address % alignment != 0) {
      ctx.FailAt(Format("dst begins at byte %llu of the UB, which is not a multiple of %llu",
                        static_cast<unsigned long long>(dst.address),
                        static_cast<unsigned long long>(alignment)),
                 dst, dst.address, dst.address + record);
    }
  }
  if (!CheckForm(ctx, in, size)) return;
  const uint64_t repeats = RepeatsOf(in, per);
  // The unit of dst's stride is what a repeat leaves behind.
  const uint64_t to_pitch = uint64_t{in.repeat_stride[0]} * record * groups;
  const uint64_t from_pitch = uint64_t{in.repeat_stride[1]} * kBlockBytes;
  // A result of a whole repeat has to be a value; those of blocks and pairs hand on what they read.
  AddLanes(ctx, in, 1, false, size, !whole);
  const auto part_of = [&](const LaneBits& lanes, uint64_t group) {
    for (uint64_t i = 0; i < lanes_of_group; ++i) {
      if (lanes[group * lanes_of_group + i]) return true;
    }
    return false;
  };
  const auto add_results = [&](uint64_t first, uint64_t count) {
    const LaneBits lanes = LanesOf(in, first, per);
    for (uint64_t group = 0; group < groups;) {
      uint64_t end = group;
      while (end < groups && part_of(lanes, end)) ++end;
      if (end > group) {
        ctx.Add(dst, true, dst.address + first * to_pitch + group * record, (end - group) * record,
                count, to_pitch);
      }
      group = end + 1;
    }
  };
  if (in.form == SOFTNPU_FORM_COUNTER && repeats > 1) {
    add_results(0, repeats - 1);
    add_results(repeats - 1, 1);
  } else {
    add_results(0, repeats);
  }
  ctx.Admit();
  if (ctx.strict()) CheckLaterReads(ctx, in, {groups, record, to_pitch, from_pitch, per});
  const auto run = [&]<typename T>() {
    T values[kRepeatBytes / sizeof(T)];
    bool present[kRepeatBytes / sizeof(T)];
    for (uint64_t repeat = 0; repeat < repeats; ++repeat) {
      const LaneBits lanes = LanesOf(in, repeat, per);
      const std::byte* const from = ctx.ub() + src.address + repeat * from_pitch;
      for (uint64_t lane = 0; lane < per; ++lane) {
        present[lane] = lanes[lane];
        values[lane] = T{};
        if (!present[lane]) continue;
        values[lane] = Peek<T>(from + LaneOffset(lane, size, in.block_stride[1]));
      }
      for (uint64_t group = 0; group < groups; ++group) {
        if (!part_of(lanes, group)) continue;
        for (uint64_t lane = 0; lane < lanes_of_group && ctx.missing; ++lane) {
          const uint64_t place =
              static_cast<uint64_t>(from - ctx.ub()) +
              LaneOffset(group * lanes_of_group + lane, size, in.block_stride[1]);
          if (!lanes[group * lanes_of_group + lane] || ctx.HasValue(place, size)) continue;
          const uint64_t result = dst.address + repeat * to_pitch + group * record;
          ctx.Spoil(SOFTNPU_SPACE_UB, result, result + record, src, place);
          break;
        }
        T* const at = values + group * lanes_of_group;
        bool* const has = present + group * lanes_of_group;
        std::byte* const to = ctx.ub() + dst.address + repeat * to_pitch + group * record;
        if (!extreme) {
          const T sum = TreeSum(at, has, lanes_of_group);
          Poke(to, sum);
          if (whole) {
            ctx.registers.accumulated = ToBits(sum);
            ctx.registers.accumulated_type = type;
          }
          continue;
        }
        uint32_t index = ~uint32_t{0};
        for (uint64_t i = 0; i < lanes_of_group; ++i) {
          if (!has[i]) continue;
          if (index == ~uint32_t{0} || Beats(Load(at[i]), Load(at[index]), max)) {
            index = static_cast<uint32_t>(i);
          }
        }
        T best = at[index];
        if (Load(best) == 0) {  // of zeros of both signs: +0 is the larger
          for (uint64_t i = 0; i < lanes_of_group; ++i) {
            if (has[i] && Load(at[i]) == 0 && std::signbit(Load(at[i])) != max) best = at[i];
          }
        }
        if (order == kOnlyIndex) {
          Poke(to, index);
        } else if (order == kOnlyValue) {
          Poke(to, best);
        } else {
          std::memcpy(to + (order == kValueIndex ? 0 : size), &best, size);
          std::memcpy(to + (order == kValueIndex ? size : 0), &index, size);
        }
        if (whole) {
          ctx.registers.reduce_value = ToBits(best);
          ctx.registers.reduce_index = index;
          ctx.registers.reduce_type = type;
        }
      }
    }
  };
  if (type == SOFTNPU_FLOAT) {
    run.operator()<float>();
  } else {
    run.operator()<Half>();
  }
  ctx.Commit();
}

// operands: dst, src, tmp; params: calIndex. A sequence of reductions on the device, with its
// barriers inside; here one instruction that uses the same places.
void ReduceAll(Context& ctx, SoftnpuInstruction& in) {
  const SoftnpuTensor& dst = in.operand[0];
  const SoftnpuTensor& src = in.operand[1];
  const SoftnpuTensor& tmp = in.operand[2];
  const uint8_t type = src.type;
  const uint64_t size = TypeBytes(type);
  const bool sum = in.opcode == SOFTNPU_OP_REDUCE_SUM;
  const bool max = in.opcode == SOFTNPU_OP_REDUCE_MAX;
  const bool index = in.params[0] != 0;
  if (type != SOFTNPU_FLOAT && type != SOFTNPU_FLOAT16) {
    ctx.Fail(Format("%s does not take %s", OpcodeName(in.opcode), TypeName(type)));
  }
  ResolveMask(ctx, in);
  if (ctx.strict()) {
    ctx.CheckUbAlignment(src, "src");
    ctx.CheckUbAlignment(tmp, "sharedTmpBuffer");
    const uint64_t alignment = sum ? size : 2 * size;
    if (dst.address % alignment != 0) {
      ctx.FailAt(Format("dst begins at byte %llu of the UB, which is not a multiple of %llu",
                        static_cast<unsigned long long>(dst.address),
                        static_cast<unsigned long long>(alignment)),
                 dst, dst.address, dst.address + size);
    }
  }
  if (!CheckForm(ctx, in, size)) return;
  const bool contiguous = in.form == SOFTNPU_FORM_COUNT;
  const uint64_t per = kRepeatBytes / size;
  const uint64_t count = static_cast<uint64_t>(in.count);
  const uint64_t repeats = contiguous ? (count + per - 1) / per : RepeatsOf(in, per);
  const uint64_t pitch = contiguous ? kRepeatBytes : uint64_t{in.repeat_stride[1]} * kBlockBytes;
  // What tmp has to hold: a result, or a value and an index, per repeat, then for their reductions.
  const uint64_t per_block = kBlockBytes / size;
  const auto rounded = [per_block](uint64_t n) {
    return (n + per_block - 1) / per_block * per_block;
  };
  uint64_t needed = rounded(repeats * (sum ? 1 : 2));
  if (index) {
    for (uint64_t results = repeats * 2; results > per;) {
      results = (results + per - 1) / per * 2;
      needed += rounded(results);
    }
  }
  if (ctx.strict() && tmp.address + needed * size > tmp.end) {
    ctx.FailAt(Format("sharedTmpBuffer has %llu bytes, %llu are needed",
                      static_cast<unsigned long long>(tmp.end - tmp.address),
                      static_cast<unsigned long long>(needed * size)),
               tmp, tmp.address, tmp.end);
  }
  AddLanes(ctx, in, 1, false, size, false);
  ctx.Add(tmp, true, tmp.address, (sum ? repeats : repeats * 2) * size);
  ctx.Add(dst, true, dst.address, (index ? 2 : 1) * size);
  ctx.Admit();
  const auto run = [&]<typename T>() {
    std::vector<T> partial(repeats);
    uint64_t best_index = 0;
    T best = {};
    bool some = false;
    for (uint64_t repeat = 0; repeat < repeats; ++repeat) {
      const LaneBits lanes =
          contiguous ? Prefix(std::min(per, count - repeat * per)) : LanesOf(in, repeat, per);
      const std::byte* const from = ctx.ub() + src.address + repeat * pitch;
      T values[kRepeatBytes / sizeof(T)] = {};
      bool present[kRepeatBytes / sizeof(T)] = {};
      for (uint64_t lane = 0; lane < per; ++lane) {
        if (!lanes[lane]) continue;
        values[lane] = Peek<T>(from + lane * size);
        present[lane] = true;
        if (sum) continue;
        const float value = Load(values[lane]);
        const bool better_zero = some && value == 0 && Load(best) == 0 &&
                                 std::signbit(value) != max && std::signbit(Load(best)) == max;
        if (!some || Beats(value, Load(best), max)) {
          best = values[lane];
          best_index = repeat * (pitch / size) + lane;
          some = true;
        } else if (better_zero) {
          best = values[lane];
        }
      }
      partial[repeat] = sum ? TreeSum(values, present, per) : best;
    }
    // The partial sums are summed alike, a repeat's worth at a time, until one is left.
    std::vector<T> level = partial;
    while (sum && level.size() > 1) {
      std::vector<T> next;
      for (size_t first = 0; first < level.size(); first += per) {
        const uint64_t n = std::min<uint64_t>(per, level.size() - first);
        bool present[kRepeatBytes / sizeof(T)];
        std::fill_n(present, n, true);
        next.push_back(TreeSum(level.data() + first, present, n));
      }
      level = next;
    }
    const T result = sum ? level[0] : best;
    for (uint64_t repeat = 0; repeat < repeats; ++repeat) {
      if (sum) {
        Poke(ctx.ub() + tmp.address + repeat * size, partial[repeat]);
      } else {
        Poke(ctx.ub() + tmp.address + 2 * repeat * size, partial[repeat]);
        std::memcpy(ctx.ub() + tmp.address + (2 * repeat + 1) * size, &best_index, size);
      }
    }
    std::byte* const to = ctx.ub() + dst.address;
    Poke(to, result);
    if (index) std::memcpy(to + size, &best_index, size);
    if (sum) {
      ctx.registers.accumulated = ToBits(result);
      ctx.registers.accumulated_type = type;
    } else {
      ctx.registers.reduce_value = ToBits(result);
      ctx.registers.reduce_index = best_index;
      ctx.registers.reduce_type = type;
    }
  };
  if (type == SOFTNPU_FLOAT) {
    run.operator()<float>();
  } else {
    run.operator()<Half>();
  }
  ctx.Commit();
}

// params: SoftnpuType asked for, and of GetReduceMaxMinCount 0 for the value, 1 for the index.
void GetReduced(Context& ctx, SoftnpuInstruction& in) {
  ctx.site.SetPipe(SOFTNPU_PIPE_S);
  const bool sum = in.opcode == SOFTNPU_OP_GET_ACC_VAL;
  const uint8_t type = sum ? ctx.registers.accumulated_type : ctx.registers.reduce_type;
  if (type == 0xFF) {
    ctx.Fail(sum ? "no sum has been reduced in this block"
                 : "no maximum or minimum has been reduced in this block");
  }
  if (type != static_cast<uint8_t>(in.params[0])) {
    ctx.Fail(Format("the last reduction was of %s, the value is asked for as %s", TypeName(type),
                    TypeName(static_cast<uint8_t>(in.params[0]))));
  }
  in.result = sum                 ? ctx.registers.accumulated
              : in.params[1] == 0 ? ctx.registers.reduce_value
                                  : ctx.registers.reduce_index;
}

}  // namespace softnpu::ascendc::semantics
