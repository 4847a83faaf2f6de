// cc/softnpu/ascendc/testing/pairwise.h: test cases that cover every pair of values of several
// factors.
#pragma once

#include <array>
#include <cstddef>
#include <random>
#include <set>
#include <vector>

namespace softnpu::ascendc::testing {

// Cases as one index per factor, `levels[f]` being the number of values of factor f. Greedy: of
// some random completions of a pair that is still missing, the one that covers most. Deterministic.
template <size_t factors>
std::vector<std::array<size_t, factors>> Pairwise(const std::array<size_t, factors>& levels) {
  using Case = std::array<size_t, factors>;
  using Pair = std::array<size_t, 4>;  // factor, value, factor, value
  std::set<Pair> missing;
  for (size_t f = 0; f < factors; ++f) {
    for (size_t g = f + 1; g < factors; ++g) {
      for (size_t a = 0; a < levels[f]; ++a) {
        for (size_t b = 0; b < levels[g]; ++b) missing.insert({f, a, g, b});
      }
    }
  }
  const auto covered = [&](const Case& test) {
    std::vector<Pair> pairs;
    for (size_t f = 0; f < factors; ++f) {
      for (size_t g = f + 1; g < factors; ++g) {
        const Pair pair = {f, test[f], g, test[g]};
        if (missing.count(pair) != 0) pairs.push_back(pair);
      }
    }
    return pairs;
  };
  std::mt19937 random(20240229);
  std::vector<Case> cases;
  while (!missing.empty()) {
    const Pair wanted = *missing.begin();
    Case best{};
    std::vector<Pair> best_pairs;
    for (int attempt = 0; attempt < 50; ++attempt) {
      Case test;
      for (size_t f = 0; f < factors; ++f) test[f] = random() % levels[f];
      test[wanted[0]] = wanted[1];
      test[wanted[2]] = wanted[3];
      std::vector<Pair> pairs = covered(test);
      if (pairs.size() > best_pairs.size()) {
        best = test;
        best_pairs = std::move(pairs);
      }
    }
    for (const Pair& pair : best_pairs) missing.erase(pair);
    cases.push_back(best);
  }
  return cases;
}

}  // namespace softnpu::ascendc::testing
