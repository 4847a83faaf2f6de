// cc/softnpu/opapi/flash_attention_ops.cc: attention over whole tensors, which torch's
// scaled_dot_product_attention calls.
//
// All is computed in double precision, a head at a time, and rounded once: queries * keys elements
// of memory. Without a mask every token sees all others, whatever sparse mode and tokens say; a
// token that sees none gets zeros.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "cc/softnpu/opapi/attention.h"
#include "cc/softnpu/opapi/parallel.h"
#include "cc/softnpu/opapi/wide.h"

namespace softnpu {
namespace {

constexpr int64_t kMostHeads = 256;
constexpr int64_t kMostElements = 768;  // of a head
constexpr int64_t kMostTokens = 1 << 20;
constexpr int64_t kMostBatches = 2 << 20;
// The largest score of a row, and the sum of its exponentials, are given so many times.
constexpr int64_t kCopies = 8;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

enum Sparse : int64_t { kWhole = 0, kAll = 1, kFromFirst = 2, kFromLast = 3, kBand = 4 };

[[noreturn]] void Refuse(const std::string& sentence) { throw Error(kAclnnInvalid, sentence); }

bool IsJoint(const std::string& layout) { return layout == "BSH" || layout == "SBH"; }

// A tensor as [batch, heads, tokens, elements of a head].
View ByHeads(const View& view, const char* name, const std::string& layout, int64_t size) {
  const int rank = IsJoint(layout) ? 3 : 4;
  if (view.rank != rank) {
    Refuse(std::string("'") + name + "' is " + view.Text() + "; in the layout " + layout +
           Format(" it must have %d dimensions", rank));
  }
  const int batch = layout == "SBH" ? 1 : 0;
  const int tokens = layout == "SBH" ? 0 : layout == "BNSD" ? 2 : 1;
  const int heads = layout == "BNSD" ? 1 : 2;  // with the elements, where these are joint
  const int64_t width = view.Dim(rank - 1);
  if (size <= 0 || width % size != 0 || (rank == 4 && width != size)) {
    Refuse(std::string("'") + name + "' is " + view.Text() +
           Format("; its heads must have %lld elements", Long(size)));
  }
  View out = view;
  out.rank = 4;
  out.dims = {view.Dim(batch), rank == 3 ? width / size : view.Dim(heads), view.Dim(tokens), size};
  out.strides = {view.Stride(batch), rank == 3 ? size * view.Stride(2) : view.Stride(heads),
                 view.Stride(tokens), view.Stride(rank - 1)};
  return out;
}

struct Flash {
  View query, key, value, output;  // by heads
  std::optional<View> largest, sums;
  View mask;  // rank 0 when there is none
  double scale = 1;
  int64_t sparse = kWhole;
  int64_t before = kAllTokens;
  int64_t after = kAllTokens;

  void Check() const;
  void ReadMask(const Plan& plan, const Tensor* given);
  void Run() const;

 private:
  bool has_template() const { return mask.rank != 0 && sparse >= kFromFirst; }
  // Whether a template or a band hides a key from a query.
  bool Hides(const std::vector<uint8_t>& triangle, int64_t query_token, int64_t key_token) const;
  // Scores of a query become the weights of keys, before they are divided by their sum.
  std::pair<double, double> Weigh(const std::vector<uint8_t>& triangle, const std::byte* hidden,
                                  int64_t token, double* scores) const;
  void RunHead(int64_t b, int64_t head, const std::vector<uint8_t>& triangle) const;
};

void CheckRange(const char* what, int64_t value, int64_t most) {
  if (value >= 1 && value <= most) return;
  Refuse(Format("%s %lld; it must be 1 to %lld", what, Long(value), Long(most)));
}

void Flash::Check() const {
  CheckRange("the number of batches is", query.Dim(0), kMostBatches);
  CheckRange("the number of heads of 'query' is", query.Dim(1), kMostHeads);
  CheckRange("the number of tokens of 'query' is", query.Dim(2), kMostTokens);
  CheckRange("the number of tokens of 'key' is", key.Dim(2), kMostTokens);
  CheckRange("the number of elements of a head is", query.Dim(3), kMostElements);
  if (key.Dim(1) < 1 || query.Dim(1) % key.Dim(1) != 0) {
    Refuse(Format("'query' has %lld heads, and 'key' %lld; the one must be a multiple of the other",
                  Long(query.Dim(1)), Long(key.Dim(1))));
  }
  for (const auto& [view, name] : {std::pair{&key, "key"}, std::pair{&value, "value"}}) {
    CheckSameType(*view, name, query, "query");
    if (view->Dim(0) != query.Dim(0)) {
      Refuse(Format("'%s' has %lld batches, and 'query' %lld", name, Long(view->Dim(0)),
                    Long(query.Dim(0))));
    }
  }
  CheckSameType(output, "attentionOut", query, "query");
  if (value.Dim(1) != key.Dim(1) || value.Dim(2) != key.Dim(2) || value.Dim(3) > query.Dim(3)) {
    Refuse("'value' is " + value.Text() + " by heads, and 'key' " + key.Text() +
           "; it must have as many heads and tokens, and no more elements of a head");
  }
  const std::vector<int64_t> wanted = {query.Dim(0), query.Dim(1), query.Dim(2), value.Dim(3)};
  if (output.Shape() != wanted) {
    Refuse("'attentionOut' is " + output.Text() + " by heads, and 'query' " + query.Text() +
           "; it must have the tokens of 'query' and the elements of 'value'");
  }
  const std::vector<int64_t> rows = {query.Dim(0), query.Dim(1), query.Dim(2), kCopies};
  for (const auto& [view, name] :
       {std::pair{&largest, "softmaxMax"}, std::pair{&sums, "softmaxSum"}}) {
    if (*view && ((*view)->dtype != DType::kFloat || (*view)->Shape() != rows)) {
      Refuse(std::string("'") + name + "' is " + (*view)->Text() +
             "; it must be float32 [batches, heads, tokens of 'query', 8]");
    }
  }
}

void Flash::ReadMask(const Plan& plan, const Tensor* given) {
  if (given == nullptr) return;
  mask = plan.Get(given, "attenMask");
  if (mask.dtype != DType::kBool && mask.dtype != DType::kUint8) {
    Refuse("'attenMask' is " + mask.Text() + "; it must be bool or uint8");
  }
  mask.dtype = DType::kBool;
  const std::vector<int64_t> shape = mask.Shape();
  const int64_t rows = has_template() ? kMaskSide : query.Dim(2);
  const int64_t columns = has_template() ? kMaskSide : key.Dim(2);
  bool fits = mask.rank == 2 || (mask.rank == 4 && !has_template());
  fits = fits && mask.Dim(mask.rank - 2) == rows && mask.Dim(mask.rank - 1) == columns;
  if (fits && mask.rank == 4) {
    const bool of_all = shape[0] == 1 && shape[1] == 1;
    fits = of_all || (shape[0] == query.Dim(0) && (shape[1] == 1 || shape[1] == query.Dim(1)));
  }
  if (!fits || (has_template() && !mask.IsContiguous())) {
    Refuse("'attenMask' is " + mask.Text() +
           Format("; with sparse mode %lld it must be [%lld, %lld]%s", Long(sparse), Long(rows),
                  Long(columns),
                  has_template() ? "" : ", with [1, 1], [batches, 1] or [batches, heads] before"));
  }
}

bool Flash::Hides(const std::vector<uint8_t>& triangle, int64_t query_token,
                  int64_t key_token) const {
  const int64_t delta = key_token - query_token;
  if (sparse == kWhole) return delta > after || -delta > before;
  if (sparse == kAll) return false;
  const auto by = [&](int64_t distance) {
    const int64_t at = std::clamp(distance, 1 - kMaskSide, kMaskSide - 1) + kMaskSide - 1;
    return triangle[static_cast<size_t>(at)] != 0;
  };
  if (sparse == kFromFirst) return by(delta);
  const int64_t from_last = delta - (key.Dim(2) - query.Dim(2));
  if (sparse == kFromLast) return by(from_last);
  return by(from_last - after) || (before < kAllTokens && by(-from_last - before));
}

View HeadOf(const View& view, int64_t b, int64_t head) {
  return Narrowed(Narrowed(view, 0, b, 1), 1, head, 1);
}

std::pair<double, double> Flash::Weigh(const std::vector<uint8_t>& triangle,
                                       const std::byte* hidden, int64_t token,
                                       double* scores) const {
  const int64_t keys = key.Dim(2);
  double largest = -kInfinity;
  for (int64_t j = 0; j < keys; ++j) {
    const bool seen =
        mask.rank == 0 ||
        ((hidden == nullptr || hidden[j * mask.Stride(mask.rank - 1)] == std::byte{0}) &&
         !Hides(triangle, token, j));
    scores[j] = seen ? scores[j] * scale : -kInfinity;
    largest = std::max(largest, scores[j]);
  }
  double sum = 0;
  for (int64_t j = 0; j < keys; ++j) {
    scores[j] = scores[j] == -kInfinity ? 0 : std::exp(scores[j] - largest);
    sum += scores[j];
  }
  return {largest, sum};
}

void Flash::RunHead(int64_t b, int64_t head, const std::vector<uint8_t>& triangle) const {
  const int64_t group = query.Dim(1) / key.Dim(1);
  const int64_t tokens = query.Dim(2), keys = key.Dim(2);
  View turned = HeadOf(key, b, head / group);
  std::swap(turned.dims[2], turned.dims[3]);
  std::swap(turned.strides[2], turned.strides[3]);
  const AtenTensor scores =
      Aten("aten::matmul", "", InDouble(HeadOf(query, b, head)), InDouble(turned))[0];
  auto* const rows = static_cast<double*>(scores.data_ptr());
  const std::byte* hidden = nullptr;
  if (mask.rank == 4) {
    const View own = HeadOf(mask, mask.Dim(0) == 1 ? 0 : b, mask.Dim(1) == 1 ? 0 : head);
    hidden = own.Host();
  } else if (mask.rank == 2 && !has_template()) {
    hidden = mask.Host();
  }
  std::vector<double> tops(static_cast<size_t>(tokens)), sums_of(tops.size());
  InParts(tokens, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const std::byte* const row =
          hidden == nullptr ? nullptr : hidden + i * mask.Stride(mask.rank - 2);
      const auto [top, sum] = Weigh(triangle, row, i, rows + i * keys);
      for (int64_t j = 0; j < keys && sum > 0; ++j) rows[i * keys + j] /= sum;
      tops[static_cast<size_t>(i)] = top;
      sums_of[static_cast<size_t>(i)] = sum;
    }
  });
  Give(HeadOf(output, b, head),
       Aten("aten::matmul", "", scores, InDouble(HeadOf(value, b, head / group)))[0]);
  for (const auto& [view, numbers] : {std::pair{&largest, &tops}, std::pair{&sums, &sums_of}}) {
    if (!*view) continue;
    // Eight times the same number: a stride of 0.
    Give(HeadOf(**view, b, head),
         ToAten(numbers->data(), {1, 1, tokens, kCopies}, {tokens, tokens, 1, 0}, DType::kDouble));
  }
}

void Flash::Run() const {
  const std::vector<uint8_t> triangle =
      has_template() ? ReadTemplate(mask) : std::vector<uint8_t>{};
  for (int64_t b = 0; b < query.Dim(0); ++b) {
    for (int64_t head = 0; head < query.Dim(1); ++head) RunHead(b, head, triangle);
  }
}

}  // namespace

ACLNN(FlashAttentionScore, (const Tensor*, query), (const Tensor*, key), (const Tensor*, value),
      (const Tensor*, pse), (const Tensor*, drop_mask), (const Tensor*, padding_mask),
      (const Tensor*, atten_mask), (const IntArray*, prefix), (double, scale), (double, keep_prob),
      (int64_t, pre_tokens), (int64_t, next_tokens), (int64_t, head_num),
      (const char*, input_layout), (int64_t, inner_precise), (int64_t, sparse_mode),
      (Tensor*, softmax_max), (Tensor*, softmax_sum), (Tensor*, softmax_out),
      (Tensor*, attention_out)) {
  const bool has_prefix = prefix != nullptr && !prefix->values.empty();
  RefuseGiven({{pse, "realShift"},
               {drop_mask, "dropMask"},
               {padding_mask, "paddingMask"},
               {has_prefix ? prefix : nullptr, "prefix"}});
  const std::string layout(&plan.Required(input_layout, "inputLayout"));
  if (!IsJoint(layout) && layout != "BNSD" && layout != "BSND") {
    Refuse("'inputLayout' is '" + layout + "'; it must be BSH, SBH, BNSD or BSND");
  }
  if (keep_prob != 1) {
    throw Error(kAclnnNotImplemented,
                Format("'keepProb' is %g; SoftNPU has attention without drop-out only", keep_prob));
  }
  if (sparse_mode < kWhole || sparse_mode > kBand) {
    throw Error(kAclnnNotImplemented, Format("'sparseMode' is %lld; SoftNPU has 0 to 4",
                                             static_cast<long long>(sparse_mode)));
  }
  if (inner_precise < 0 || inner_precise > 4) {
    Refuse(
        Format("'innerPrecise' is %lld; it must be 0 to 4", static_cast<long long>(inner_precise)));
  }
  Flash flash;
  const View rows = Checked(plan.Get(query, "query"), "query", kFloats, 3, 4);
  if (head_num < 1 || head_num > kMostHeads) {
    Refuse(Format("'headNum' is %lld; it must be 1 to %lld", Long(head_num), Long(kMostHeads)));
  }
  const int64_t width = rows.Dim(rows.rank - 1);
  const int64_t size = IsJoint(layout) ? (width % head_num == 0 ? width / head_num : 0) : width;
  flash.query = ByHeads(rows, "query", layout, size);
  if (flash.query.Dim(1) != head_num) {
    Refuse(Format("'headNum' is %lld, and 'query' has %lld heads", Long(head_num),
                  Long(flash.query.Dim(1))));
  }
  flash.key = ByHeads(plan.Get(key, "key"), "key", layout, size);
  const View values = plan.Get(value, "value");
  const int64_t kv_heads = flash.key.Dim(1);
  const int64_t value_width = values.rank == 0 ? 0 : values.Dim(values.rank - 1);
  const int64_t value_size = IsJoint(layout) && kv_heads > 0 ? value_width / kv_heads : value_width;
  flash.value = ByHeads(values, "value", layout, value_size);
  flash.output =
      ByHeads(plan.Out(attention_out, "attentionOut"), "attentionOut", layout, value_size);
  flash.largest = OutIf(plan, softmax_max, "softmaxMax");
  flash.sums = OutIf(plan, softmax_sum, "softmaxSum");
  OutIf(plan, softmax_out, "softmaxOut");
  flash.scale = scale;
  flash.sparse = sparse_mode;
  flash.before = pre_tokens;
  flash.after = next_tokens;
  flash.Check();
  flash.ReadMask(plan, atten_mask);
  plan.run = [flash] { flash.Run(); };
}

}  // namespace softnpu
