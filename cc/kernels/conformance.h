// cc/kernels/conformance.h: the matrix of a kernel's cases, in pairs or in full.
//
// A matrix is a list of dimensions, each with its values. A test runs it once: every value and
// every pair of values of two dimensions by default, the full product when the environment has
// CONFORMANCE=full. Where the product of all would take hours, dimensions that act alone (gaps
// between rows, the type of positions) may be `Drawn`: a case of the product has one of their
// values, at random but the same in every run.
// A case that an earlier one repeats (because a value means nothing beside another) runs once. How
// many cases passed and failed, by data type and layout, becomes a property of the test, which
// tests/conformance/run.py collects.
#pragma once

#include <array>
#include <cstdlib>
#include <exception>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "cc/softnpu/ascendc/testing/pairwise.h"
#include "gtest/gtest.h"

namespace vllm_cann::kernels {

// What a case is called, and where it is counted.
struct CaseName {
  std::string text;
  std::string dtype;
  std::string layout;
};

// The number of values of a dimension.
struct Levels {
  size_t count;
  bool is_drawn = false;
  Levels(size_t values) : count(values) {}  // NOLINT(google-explicit-constructor): a plain number
};

inline Levels Drawn(size_t values) {
  Levels levels(values);
  levels.is_drawn = true;
  return levels;
}

inline bool IsFullConformance() {
  const char* const mode = std::getenv("CONFORMANCE");
  return mode != nullptr && std::string(mode) == "full";
}

// Cases as one index per dimension.
template <size_t dimensions>
std::vector<std::array<size_t, dimensions>> ConformanceCases(
    const std::array<Levels, dimensions>& levels) {
  if (!IsFullConformance()) {
    std::array<size_t, dimensions> counts{};
    for (size_t d = 0; d < dimensions; ++d) counts[d] = levels[d].count;
    return softnpu::ascendc::testing::Pairwise<dimensions>(counts);
  }
  std::vector<std::array<size_t, dimensions>> cases(1);
  for (size_t d = 0; d < dimensions; ++d) {
    if (levels[d].is_drawn) continue;
    std::vector<std::array<size_t, dimensions>> more;
    more.reserve(cases.size() * levels[d].count);
    for (std::array<size_t, dimensions> test : cases) {
      for (test[d] = 0; test[d] < levels[d].count; ++test[d]) more.push_back(test);
    }
    cases = std::move(more);
  }
  std::mt19937 random(1);  // the same numbers everywhere
  for (std::array<size_t, dimensions>& test : cases) {
    for (size_t d = 0; d < dimensions; ++d) {
      if (levels[d].is_drawn) test[d] = random() % levels[d].count;
    }
  }
  return cases;
}

// Runs every case. `make` gives the case of the indices, `name` its name; `check` gives the empty
// text, or what is wrong; exceptions are failures. Gives the number of cases that ran.
template <size_t dimensions, typename Make, typename NameOf, typename Check>
size_t RunConformance(const std::string& kernel, const std::array<Levels, dimensions>& levels,
                      Make&& make, NameOf&& name, Check&& check) {
  constexpr int kShown = 5;
  struct Count {
    int passed = 0;
    int failed = 0;
  };
  std::map<std::string, Count> counts;
  std::set<std::string> seen;
  int failures = 0;
  for (const std::array<size_t, dimensions>& indices : ConformanceCases<dimensions>(levels)) {
    const auto test = make(indices);
    const CaseName called = name(test);
    if (!seen.insert(called.dtype + " " + called.layout + " " + called.text).second) continue;
    std::string wrong;
    try {
      wrong = check(test);
    } catch (const std::exception& error) {
      wrong = error.what();
    }
    Count& count = counts[called.dtype + "/" + called.layout];
    ++(wrong.empty() ? count.passed : count.failed);
    if (!wrong.empty() && ++failures <= kShown) {
      ADD_FAILURE() << kernel << ", " << called.dtype << ", " << called.layout << ", "
                    << called.text << ": " << wrong;
    }
  }
  for (const auto& [group, count] : counts) {
    testing::Test::RecordProperty(
        "conformance/" + kernel + "/" + group,
        std::to_string(count.passed) + "/" + std::to_string(count.failed));
  }
  return seen.size();
}

}  // namespace vllm_cann::kernels
