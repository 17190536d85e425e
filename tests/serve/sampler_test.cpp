// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0

#include "sampler.hpp"

#include <cmath>
#include <map>
#include <set>
#include <vector>

#include "support/catch.hpp"

using serve::DrawIndex;
using serve::Sampler;
using serve::Sampling;

namespace {

std::vector<float> const logits = {1.0f, 3.0f, 2.0f, 3.0f, -1.0f};

/// How often each token comes when u runs evenly through [0, 1).
std::map<std::int32_t, double> shares(Sampling const& sampling) {
  Sampler sampler(sampling);
  std::map<std::int32_t, double> out;
  constexpr int n = 100000;
  for (int i = 0; i < n; ++i) out[sampler.draw(logits, (i + 0.5) / n)] += 1.0 / n;
  return out;
}

}  // namespace

TEST_CASE("Temperature 0 takes the likeliest token, the first of equals", "[serve]") {
  Sampler sampler({.temperature = 0});
  CHECK(sampler.draw(logits, 0.0) == 1);
  CHECK(sampler.draw(logits, 0.999) == 1);
}

TEST_CASE("Tokens come by their share", "[serve]") {
  auto const got = shares({.temperature = 0.5, .top_k = 0, .top_p = 1});
  double total = 0;
  for (float const logit : logits) total += std::exp(2.0 * (logit - 3));
  for (std::size_t token = 0; token < logits.size(); ++token) {
    auto const found = got.find(static_cast<std::int32_t>(token));
    double const share = found == got.end() ? 0.0 : found->second;
    CHECK(share == Approx(std::exp(2.0 * (logits[token] - 3)) / total).margin(2e-5));
  }
}

TEST_CASE("top-k and top-p leave the likeliest", "[serve]") {
  CHECK(shares({.temperature = 1, .top_k = 1, .top_p = 1}).size() == 1);
  CHECK(shares({.temperature = 1, .top_k = 1, .top_p = 1}).contains(1));
  CHECK(shares({.temperature = 1, .top_k = 2, .top_p = 1}).size() == 2);
  CHECK(shares({.temperature = 1, .top_k = 100, .top_p = 1}).size() == 5);
  CHECK(shares({.temperature = 1, .top_k = 0, .top_p = 0}).size() == 1);
  CHECK(shares({.temperature = 1, .top_k = 0, .top_p = 0.5}).size() == 2);
  CHECK(shares({.temperature = 1, .top_k = 0, .top_p = 0.95}).size() == 4);
}

TEST_CASE("Random numbers depend on the seed and on every index, and are even", "[serve]") {
  double const first = serve::uniform(1, {2, 3, 4});
  CHECK(first == serve::uniform(1, {2, 3, 4}));
  std::set<double> different;
  double sum = 0, squares = 0;
  for (std::uint64_t seed = 0; seed < 10; ++seed)
    for (std::int32_t request = 0; request < 10; ++request)
      for (std::int32_t sample = 0; sample < 10; ++sample)
        for (std::int32_t token = 0; token < 100; ++token) {
          double const u = serve::uniform(seed, {request, sample, token});
          REQUIRE((u >= 0 && u < 1));
          different.insert(u);
          sum += u;
          squares += u * u;
        }
  CHECK(different.size() == 100000);
  CHECK(sum / 100000 == Approx(0.5).margin(0.005));
  CHECK(squares / 100000 == Approx(1.0 / 3).margin(0.005));
}
