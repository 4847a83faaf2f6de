// cc/softnpu/opapi/antiquant.cc: the scales that make numbers of keys and values in int8.
#include "cc/softnpu/opapi/antiquant.h"

#include <algorithm>
#include <string>
#include <vector>

#include "cc/softnpu/opapi/elementwise.h"
#include "cc/softnpu/opapi/operator.h"

namespace softnpu {
namespace {

using Shape = std::vector<int64_t>;

enum Mode : int64_t {
  kChannelOrTensor = 0,
  kToken = 1,
  kTensorOfHead = 2,
  kTokenOfHead = 3,
  kPagedToken = 4,
  kPagedTokenOfHead = 5,
};

std::string Text(const std::vector<Shape>& shapes) {
  std::string text;
  for (const Shape& shape : shapes) {
    text += text.empty() ? "[" : " or [";
    for (size_t i = 0; i < shape.size(); ++i) {
      text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
    }
    text += "]";
  }
  return text;
}

// The shapes that a mode has. Scales of tokens may be of more tokens than there are.
std::vector<Shape> Shapes(int64_t mode, const AntiquantShape& s, int64_t tokens) {
  switch (mode) {
    case kChannelOrTensor: {
      std::vector<Shape> shapes = {
          {1}, {1, s.heads, 1, s.size}, {1, s.heads, s.size}, {1, s.heads * s.size}};
      if (!s.one_query) {
        shapes.insert(shapes.end(), {{s.heads, 1, s.size}, {s.heads, s.size}, {s.heads * s.size}});
      }
      return shapes;
    }
    case kToken:
      return {s.one_query ? Shape{1, s.batch, tokens} : Shape{s.batch, tokens}};
    case kTensorOfHead:
      return {{s.heads}};
    case kTokenOfHead:
      return {{s.batch, s.heads, tokens}};
    case kPagedToken:
      return {{s.blocks, s.block_size}};
    default:
      return {{s.blocks, s.heads, s.block_size}};
  }
}

void SetStrides(int64_t mode, const AntiquantShape& s, int64_t tokens, Antiquant* a) {
  switch (mode) {
    case kChannelOrTensor:
      if (a->scale.Count() == 1 && s.heads * s.size != 1) return;
      a->head = s.size;
      a->element = 1;
      return;
    case kToken:
      a->sequence = tokens;
      a->token = 1;
      return;
    case kTensorOfHead:
      a->head = 1;
      return;
    case kTokenOfHead:
      a->sequence = s.heads * tokens;
      a->head = tokens;
      a->token = 1;
      return;
    case kPagedToken:
      a->block = s.block_size;
      a->token = 1;
      return;
    default:
      a->block = s.heads * s.block_size;
      a->head = s.block_size;
      a->token = 1;
  }
}

}  // namespace

void Antiquant::Apply(const char* name, int64_t in_sequence, int64_t in_block, int64_t in_head,
                      int64_t first_token, int64_t tokens, int64_t width, int64_t pitch,
                      float* rows) const {
  const int64_t first =
      in_sequence * sequence + in_block * block + in_head * head + first_token * token;
  const int64_t count = token != 0 ? tokens : element != 0 ? width : 1;
  std::vector<float> scales(static_cast<size_t>(count));
  std::vector<float> offsets(static_cast<size_t>(count), 0.0F);
  const auto load = [&](const View& view, std::vector<float>* to) {
    View part = Reshaped(view, {view.Count()});
    part.offset += first;
    part.dims[0] = count;
    part.CheckWritten(name);
    LoadElements(view.dtype, part.Host(), 1, count, to->data());
  };
  load(scale, &scales);
  if (offset.rank != 0) load(offset, &offsets);
  for (int64_t t = 0; t < tokens; ++t) {
    float* const row = rows + t * pitch;
    for (int64_t i = 0; i < width; ++i) {
      const auto at = static_cast<size_t>(token != 0 ? t : element != 0 ? i : 0);
      row[i] = (row[i] + offsets[at]) * scales[at];
    }
  }
}

Antiquant ReadAntiquant(const char* name, const View& scale, const char* offset_name,
                        const View& offset, int64_t mode, const AntiquantShape& shape) {
  const int64_t most = shape.one_query ? kPagedTokenOfHead : kToken;
  if (mode < 0 || mode > most) {
    throw Error(kAclnnTiling, Format("the mode of '%s' is %lld, the limits are 0 and %lld", name,
                                     static_cast<long long>(mode), static_cast<long long>(most)));
  }
  if (mode >= kPagedToken && shape.blocks == 0) {
    throw Error(kAclnnTiling, Format("the mode of '%s' is %lld, which needs a paged cache", name,
                                     static_cast<long long>(mode)));
  }
  const bool by_token = mode != kChannelOrTensor && mode != kTensorOfHead;
  const DType want = by_token ? DType::kFloat : shape.dtype;
  if (scale.dtype != want) {
    throw Error(kAclnnInvalid, "'" + std::string(name) + "' is " + scale.Text() +
                                   Format("; mode %lld needs %s", static_cast<long long>(mode),
                                          by_token ? "float32" : "the query's type"));
  }
  const std::vector<int64_t> given = scale.Shape();
  const bool counts = mode == kToken || mode == kTokenOfHead;
  const int64_t tokens =
      counts && !given.empty() ? std::max(given.back(), shape.tokens) : shape.tokens;
  const std::vector<Shape> shapes = Shapes(mode, shape, tokens);
  if (std::find(shapes.begin(), shapes.end(), given) == shapes.end() || !scale.IsContiguous()) {
    throw Error(kAclnnTiling, "'" + std::string(name) + "' is " + scale.Text() +
                                  Format("; mode %lld needs ", static_cast<long long>(mode)) +
                                  Text(shapes));
  }
  if (offset.rank != 0 &&
      (offset.Shape() != given || offset.dtype != scale.dtype || !offset.IsContiguous())) {
    throw Error(kAclnnTiling, "'" + std::string(offset_name) + "' is " + offset.Text() + ", '" +
                                  name + "' is " + scale.Text());
  }
  Antiquant out;
  out.scale = scale;
  out.offset = offset;
  SetStrides(mode, shape, tokens, &out);
  return out;
}

}  // namespace softnpu
