// cc/softnpu/opapi/wide.cc: limits of operators, and numbers that are wide enough for one rounding.
#include "cc/softnpu/opapi/wide.h"

namespace softnpu {
namespace {

std::string TypesText(uint32_t types) {
  std::string out;
  for (int i = 0; i < 32; ++i) {
    if ((types >> i & 1) != 0)
      out += (out.empty() ? "" : ", ") + std::string(Name(static_cast<DType>(i)));
  }
  return out;
}

AtenTensor Converted(const View& view, torch::headeronly::ScalarType type) {
  return Aten("aten::to", "dtype", ToAten(view), type, false, true, std::nullopt)[0];
}

}  // namespace

const View& Checked(const View& view, const char* name, uint32_t types, int least, int most) {
  if ((types & Only(view.dtype)) == 0) {
    throw Error(kAclnnInvalid, Format("'%s' is %s; its type must be one of %s", name,
                                      view.Text().c_str(), TypesText(types).c_str()));
  }
  if (view.rank < least || view.rank > most) {
    throw Error(kAclnnInvalid, Format("'%s' is %s; it must have %d to %d dimensions", name,
                                      view.Text().c_str(), least, most));
  }
  return view;
}

void CheckSameType(const View& a, const char* name, const View& b, const char* other) {
  if (a.dtype != b.dtype) {
    throw Error(kAclnnInvalid, Format("'%s' is %s, and '%s' is %s; both must have one type", name,
                                      a.Text().c_str(), other, b.Text().c_str()));
  }
}

void CheckEqualShape(const View& a, const char* name, const View& b, const char* other) {
  if (a.Shape() != b.Shape()) {
    throw Error(kAclnnInvalid, Format("'%s' is %s, and '%s' is %s; both must have one shape", name,
                                      a.Text().c_str(), other, b.Text().c_str()));
  }
}

int64_t CheckedDim(const View& view, int64_t dim) {
  const int64_t rank = std::max(view.rank, 1);
  if (dim < -rank || dim >= rank) {
    throw Error(kAclnnInvalid, Format("'dim' is %lld; for %s it must be %lld to %lld", Long(dim),
                                      view.Text().c_str(), Long(-rank), Long(rank - 1)));
  }
  return dim < 0 ? dim + rank : dim;
}

int64_t CheckedReduction(int64_t reduction) {
  if (reduction < 0 || reduction > 2) {
    throw Error(kAclnnInvalid,
                Format("'reduction' is %lld; it must be 0, 1 or 2", Long(reduction)));
  }
  return reduction;
}

std::vector<int64_t> Numbers(const Plan& plan, const IntArray* array, const char* name,
                             size_t count, int64_t least) {
  const std::vector<int64_t>& values = plan.Required(array, name).values;
  if (values.size() != count) {
    throw Error(kAclnnInvalid,
                Format("'%s' has %zu numbers; it must have %zu", name, values.size(), count));
  }
  for (const int64_t value : values) {
    if (value < least) {
      throw Error(kAclnnInvalid, Format("'%s' has %lld; its numbers must be at least %lld", name,
                                        Long(value), Long(least)));
    }
  }
  return values;
}

AtenTensor InDouble(const View& view) {
  return Converted(view, torch::headeronly::ScalarType::Double);
}

AtenTensor Wide(const View& view) {
  return IsFloating(view.dtype) ? InDouble(view)
                                : Converted(view, torch::headeronly::ScalarType::Long);
}

void Give(const View& out, const AtenTensor& found) {
  CheckShape(out, found);
  CopyFromAten(out, found);
}

}  // namespace softnpu
