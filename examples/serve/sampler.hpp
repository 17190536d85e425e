// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// From logits to a token. The random number of a token depends only on the seed, its request, its sample and its place
// in the text, so that batching, preemption and the order of requests change nothing.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

namespace serve {

/// Temperature 0 takes the likeliest token. Otherwise: the `top_k` likeliest (0: all), of them the fewest whose share
/// reaches `top_p`, then one at random by its share.
struct Sampling {
  double temperature = 0.7;
  std::int32_t top_k = 20;
  double top_p = 1;
  std::uint64_t seed = 1;
};

/// Which token of which text is drawn.
struct DrawIndex {
  std::int32_t request = 0, sample = 0, token = 0;
};

/// A number in [0, 1) for each (seed, index): the finalizer of SplitMix64 (Steele, Lea, Flood 2014) over one word after
/// the other.
[[nodiscard]] inline double uniform(std::uint64_t seed, DrawIndex index) {
  auto const mix = [](std::uint64_t x) {
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
  };
  std::uint64_t x = mix(seed);
  x = mix(x ^ static_cast<std::uint32_t>(index.request));
  x = mix(x ^ static_cast<std::uint32_t>(index.sample));
  x = mix(x ^ static_cast<std::uint32_t>(index.token));
  return static_cast<double>(x >> 11) * 0x1p-53;
}

/// Draws a token with the number `u` in [0, 1). Cost: O(vocab + top_k log top_k). Equal logits rank by token id.
class Sampler {
 public:
  explicit Sampler(Sampling const& sampling) : sampling_(sampling) {}

  /// Whether it takes the likeliest token, whatever `u` is.
  [[nodiscard]] bool is_greedy() const { return sampling_.temperature == 0; }

  [[nodiscard]] std::int32_t draw(std::span<float const> logits, DrawIndex index) {
    return draw(logits, uniform(sampling_.seed, index));
  }

  [[nodiscard]] std::int32_t draw(std::span<float const> logits, double u) {
    if (is_greedy()) return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
    rank(logits);
    double const largest = logits[static_cast<std::size_t>(ranked_.front())];
    shares_.clear();
    for (std::int32_t const token : ranked_)
      shares_.push_back(std::exp((logits[static_cast<std::size_t>(token)] - largest) / sampling_.temperature));
    double total = std::accumulate(shares_.begin(), shares_.end(), 0.0);
    if (sampling_.top_p < 1) total = cut(total);
    double below = 0;
    for (std::size_t i = 0; i < shares_.size(); ++i) {
      below += shares_[i];
      if (u * total < below) return ranked_[i];
    }
    return ranked_[shares_.size() - 1];
  }

 private:
  /// The candidates, likeliest first.
  void rank(std::span<float const> logits) {
    ranked_.resize(logits.size());
    std::iota(ranked_.begin(), ranked_.end(), 0);
    auto const likelier = [&](std::int32_t a, std::int32_t b) {
      float const x = logits[static_cast<std::size_t>(a)], y = logits[static_cast<std::size_t>(b)];
      return x != y ? x > y : a < b;
    };
    std::size_t const keep =
        sampling_.top_k == 0 ? ranked_.size() : std::min(ranked_.size(), static_cast<std::size_t>(sampling_.top_k));
    std::partial_sort(ranked_.begin(), ranked_.begin() + static_cast<std::ptrdiff_t>(keep), ranked_.end(), likelier);
    ranked_.resize(keep);
  }

  /// Keeps the fewest candidates whose share of `total` reaches top_p; at least one. The new total.
  double cut(double total) {
    double kept = 0;
    std::size_t n = 0;
    while (n < shares_.size() && (n == 0 || kept < sampling_.top_p * total)) kept += shares_[n++];
    shares_.resize(n);
    return kept;
  }

  Sampling sampling_;
  std::vector<std::int32_t> ranked_;
  std::vector<double> shares_;
};

}  // namespace serve
