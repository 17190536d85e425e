// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <folio/planning.hpp>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

using namespace folio;
using folio::test::below;
using folio::test::contains;

namespace {

std::vector<LengthRange> const issue_lengths{{100, 200, 0.5}, {500, 600, 0.3}, {1000, 1100, 0.2}};

/// The same by counting every length.
BlockSizeCost counted(std::vector<LengthRange> const& lengths, std::int32_t size) {
  double weights = 0, blocks = 0, empty = 0, held = 0;
  for (LengthRange const& range : lengths)
    for (std::int64_t length = range.first; length <= range.last; ++length) {
      double const weight = range.weight / (range.last - range.first + 1);
      auto const n = (length + size - 1) / size;
      weights += weight;
      blocks += weight * static_cast<double>(n);
      empty += weight * static_cast<double>(n * size - length);
      held += weight * static_cast<double>(n * size);
    }
  return {size, blocks / weights, empty / weights, empty / held};
}

/// What is refused wherever a weight, a rate, a total or a share is asked for.
double const no_numbers[] = {std::nan(""), std::numeric_limits<double>::infinity(), 1e308, -1, -1e308, 1e31};

double utility(std::vector<MemoryClaim> const& claims, std::vector<double> const& split) {
  double sum = 0;
  for (std::size_t i = 0; i < claims.size(); ++i) sum += claims[i].weight * std::log1p(split[i]);
  return sum;
}
double sum_of(std::vector<double> const& split) {
  double sum = 0;
  for (double const part : split) sum += part;
  return sum;
}
/// The smallest (m_i / r_i) / (m_j / r_j).
double fairness(std::vector<MemoryClaim> const& claims, std::vector<double> const& split) {
  double least = std::numeric_limits<double>::max(), most = 0;
  for (std::size_t i = 0; i < claims.size(); ++i) {
    least = std::min(least, split[i] / claims[i].rate);
    most = std::max(most, split[i] / claims[i].rate);
  }
  return least / most;
}

}  // namespace

TEST_CASE("waste per block size: the worked example") {
  std::vector<std::int32_t> const sizes{1, 8, 16, 32, 64, 128, 256, 2048};
  auto const costs = block_size_costs(issue_lengths, sizes);
  REQUIRE(costs.size() == sizes.size());
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    BlockSizeCost const expected = counted(issue_lengths, sizes[i]);
    CHECK(costs[i].block_size == sizes[i]);
    CHECK(costs[i].mean_blocks == Approx(expected.mean_blocks));
    CHECK(costs[i].mean_empty_slots == Approx(expected.mean_empty_slots).margin(1e-9));
    CHECK(costs[i].waste == Approx(expected.waste).margin(1e-12));
    CHECK(costs[i].mean_blocks * sizes[i] - costs[i].mean_empty_slots == Approx(450));  // the mean length
  }
  // The mean length is 450 tokens. Numbers by counting, elsewhere.
  CHECK(costs[0].waste == 0);
  CHECK(costs[2].mean_empty_slots == Approx(7.584).margin(0.001));
  CHECK(costs[2].waste == Approx(0.01657).margin(0.00001));
  CHECK(costs[3].waste == Approx(0.03380).margin(0.00001));
  CHECK(costs[7].mean_empty_slots == Approx(2048 - 450));
  CHECK(best_block_size(costs).block_size == 32);
  CHECK(best_block_size(costs, 0.02).block_size == 16);
  CHECK(best_block_size(costs, 0.5).block_size == 256);
  CHECK(best_block_size(costs, 0).block_size == 1);
  CHECK(best_block_size(std::span(costs).subspan(3), 0.01).block_size == 32);  // all waste more: the least
}

TEST_CASE("waste per block size of random histograms, by counting") {
  std::mt19937 random(1);
  for (int run = 0; run < 300; ++run) {
    std::vector<LengthRange> lengths;
    for (int n = 1 + below(random, 4); n > 0; --n) {
      std::int32_t const first = 1 + below(random, 300);
      lengths.push_back({first, first + below(random, 200), 0.1 + below(random, 50)});
    }
    std::vector<std::int32_t> const sizes{1 + below(random, 400)};
    auto const cost = block_size_costs(lengths, sizes)[0];
    auto const expected = counted(lengths, sizes[0]);
    REQUIRE(cost.mean_blocks == Approx(expected.mean_blocks));
    REQUIRE(cost.mean_empty_slots == Approx(expected.mean_empty_slots).margin(1e-9));
    REQUIRE(cost.waste == Approx(expected.waste).margin(1e-12));
  }
  std::vector<LengthRange> const long_ones{{1, std::numeric_limits<std::int32_t>::max(), 1}};
  std::vector<std::int32_t> const sixteen{16};
  CHECK(block_size_costs(long_ones, sixteen)[0].mean_empty_slots == Approx(7.5).margin(0.01));
}

TEST_CASE("histograms and block sizes that mean nothing are refused in a sentence") {
  std::vector<std::int32_t> const sizes{16}, none{0};
  using Lengths = std::vector<LengthRange>;
  CHECK_THROWS_WITH(block_size_costs(Lengths{}, sizes), contains("at least one range"));
  CHECK_THROWS_WITH(block_size_costs(Lengths{{1, 2, 0}}, sizes), contains("at least one range"));
  CHECK_THROWS_WITH(block_size_costs(Lengths{{0, 2, 1}}, sizes), contains("from 0 to 2"));
  CHECK_THROWS_WITH(block_size_costs(Lengths{{5, 2, 1}}, sizes), contains("from 5 to 2"));
  for (double const weight : no_numbers) {
    CAPTURE(weight);
    CHECK_THROWS_WITH(block_size_costs(Lengths{{1, 2, weight}}, sizes), contains("weights 0 or from 1e-30 to 1e30"));
    CHECK_THROWS_WITH(block_size_costs(Lengths{{1, 2, 1}, {1, 2, weight}}, sizes), contains("weights 0 or from"));
    BlockSizeCost const cost{16, 1, 1, 0.1}, odd{16, 1, 1, weight};
    CHECK_THROWS_WITH(best_block_size({&cost, 1}, weight), contains("waste is from 0 to 1"));
    CHECK_THROWS_WITH(best_block_size({&odd, 1}), contains("waste is from 0 to 1"));
  }
  // The ends of the range, and what they leave of the rest.
  auto const ends = block_size_costs(Lengths{{100, 100, 1e30}, {5, 5, 1e-30}, {7, 7, 0}}, sizes);
  CHECK(ends[0].mean_blocks == Approx(7));
  CHECK(ends[0].waste == Approx(12.0 / 112));
  CHECK_THROWS_WITH(block_size_costs(Lengths{{1, 2, 1}}, none), contains("folio: a block has at least 1 token, not 0"));
  CHECK_THROWS_WITH(best_block_size({}), contains("folio: to choose a block size, give at least one"));
}

TEST_CASE("a fair split: the worked example, against a grid") {
  std::vector<MemoryClaim> const claims{{10}, {20}, {30}};
  double const total = 100, alpha = 0.8;
  auto const split = fair_split(claims, total, alpha);
  CHECK(sum_of(split) == Approx(total).epsilon(1e-12));
  CHECK(fairness(claims, split) >= alpha * (1 - 1e-9));

  std::vector<double> best;
  double best_utility = 0;
  for (int i = 1; i < 1000; ++i)
    for (int j = 1; i + j < 1000; ++j) {
      std::vector<double> const point{i * 0.1, j * 0.1, (1000 - i - j) * 0.1};
      if (fairness(claims, point) < alpha || utility(claims, point) <= best_utility) continue;
      best_utility = utility(claims, point);
      best = point;
    }
  CHECK(utility(claims, split) >= best_utility);
  CHECK(utility(claims, split) <= best_utility + 1e-3);
  for (std::size_t i = 0; i < 3; ++i) CHECK(std::abs(split[i] - best[i]) < 0.25);
  // The first at the top of the band, the third at its bottom, the second between: 10 t, 100 - 34 t, 24 t, where
  // 10 / (1 + 10 t) + 24 / (1 + 24 t) = 34 / (101 - 34 t).
  double const t = split[0] / 10;
  CHECK(split[0] == Approx(19.57).margin(0.01));
  CHECK(split[1] == Approx(33.47).margin(0.01));
  CHECK(split[2] == Approx(46.96).margin(0.01));
  CHECK(split[2] == Approx(24 * t));
  CHECK(10 / (1 + 10 * t) + 24 / (1 + 24 * t) == Approx(34 / (101 - 34 * t)).epsilon(1e-7));
}

TEST_CASE("a fair split at the ends: no fairness, all fairness, one claim, many alike") {
  std::vector<MemoryClaim> const claims{{10}, {20}, {30}};
  for (double const part : fair_split(claims, 100, 0)) CHECK(part == Approx(100.0 / 3));
  for (double const part : fair_split(claims, 100, 0.3)) CHECK(part == Approx(100.0 / 3));  // fair enough by itself
  auto const proportional = fair_split(claims, 60, 1);
  for (std::size_t i = 0; i < 3; ++i) CHECK(proportional[i] == Approx(claims[i].rate));
  CHECK(fair_split(std::vector<MemoryClaim>{{7}}, 5, 0.5)[0] == Approx(5));
  CHECK(fair_split(std::vector<MemoryClaim>{{7}}, 5, 0)[0] == Approx(5));
  for (double const part : fair_split(std::vector<MemoryClaim>(50, MemoryClaim{3}), 1e-9, 0.5))
    CHECK(part == Approx(2e-11));
  // By weight w the unfair optimum is m = w / level - 1, and nothing for whom that is below 0.
  auto const weighed = fair_split(std::vector<MemoryClaim>{{1, 1}, {1, 3}, {1, 0.01}}, 8, 0);
  CHECK(weighed[0] == Approx(1.5));
  CHECK(weighed[1] == Approx(6.5));
  CHECK(weighed[2] == Approx(0).margin(1e-9));
  // Rates twelve orders of magnitude apart.
  auto const far = fair_split(std::vector<MemoryClaim>{{1e-6}, {1e6}}, 1e9, 0.5);
  CHECK(sum_of(far) == Approx(1e9));
  CHECK(far[0] == Approx(2e-3).epsilon(1e-6));
}

TEST_CASE("a fair split at the ends of its numbers is finite, whole and fair") {
  for (double const total : {1e-30, 1.0, 1e30})
    for (double const weight : {1e-30, 1.0, 1e30})
      for (double const rate : {1e-30, 1.0, 1e30})
        for (double const alpha : {0.0, 1e-30, 0.5, 1.0}) {
          CAPTURE(total, weight, rate, alpha);
          std::vector<MemoryClaim> const claims{{1, 1}, {rate, weight}, {1e30, 1e-30}};
          auto const split = fair_split(claims, total, alpha);
          REQUIRE(sum_of(split) == Approx(total).epsilon(1e-9));
          for (double const part : split) REQUIRE((part >= 0 && part <= total * (1 + 1e-9)));
          if (alpha > 0) REQUIRE(fairness(claims, split) >= alpha * (1 - 1e-6));
        }
}

TEST_CASE("no fair point near or far is better than a fair split") {
  std::mt19937 random(3);
  auto const real = [&](double low, double high) { return low + (high - low) * below(random, 1'000'000) * 1e-6; };
  int num_tried = 0;
  for (int run = 0; run < 300; ++run) {
    std::vector<MemoryClaim> claims;
    for (int n = 2 + below(random, 4); n > 0; --n)
      claims.push_back({std::pow(10, real(-1, 2)), run % 2 == 0 ? 1 : real(0.2, 5)});
    double const total = std::pow(10, real(-1, 4)), alpha = run % 10 == 0 ? 0 : real(0, 1);
    auto const split = fair_split(claims, total, alpha);
    REQUIRE(sum_of(split) == Approx(total).epsilon(1e-9));
    for (double const part : split) REQUIRE(part >= 0);
    REQUIRE((alpha == 0 || fairness(claims, split) >= alpha * (1 - 1e-9)));
    double const reached = utility(claims, split);
    for (int trial = 0; trial < 300; ++trial) {
      std::vector<double> point = split;
      double const step = std::pow(10, real(-6, 0)) * total;
      for (std::size_t i = 0; i < point.size(); ++i)
        point[i] = trial % 3 == 0 ? real(alpha, 1) * claims[i].rate : std::max(0.0, point[i] + real(-step, step));
      double const scale = total / sum_of(point);
      for (double& part : point) part *= scale;
      if (!(scale > 0) || std::isinf(scale) || fairness(claims, point) < alpha) continue;
      ++num_tried;
      REQUIRE(utility(claims, point) <= reached + 1e-9 * std::abs(reached) + 1e-12);
    }
  }
  CHECK(num_tried > 10'000);
}

TEST_CASE("claims that mean nothing are refused in a sentence") {
  std::vector<MemoryClaim> const claims{{1}, {2}};
  using Claims = std::vector<MemoryClaim>;
  CHECK_THROWS_WITH(fair_split(Claims{}, 1, 0.5), contains("at least one claim"));
  CHECK_THROWS_WITH(fair_split(claims, 0, 0.5), contains("total from 1e-30 to 1e30"));
  for (double const number : no_numbers) {
    CAPTURE(number);
    CHECK_THROWS_WITH(fair_split(claims, number, 0.5), contains("total from 1e-30 to 1e30"));
    CHECK_THROWS_WITH(fair_split(claims, 1, number), contains("alpha from 0 to 1"));
    CHECK_THROWS_WITH(fair_split(Claims{{1}, {number}}, 1, 0.5), contains("both are from 1e-30 to 1e30"));
    CHECK_THROWS_WITH(fair_split(Claims{{1}, {1, number}}, 1, 0.5), contains("both are from 1e-30 to 1e30"));
  }
  CHECK_THROWS_WITH(fair_split(claims, 1, 1.5), contains("alpha from 0 to 1"));
  CHECK_THROWS_WITH(fair_split(claims, 1, std::nan("")), contains("alpha from 0 to 1"));
  CHECK_THROWS_WITH(fair_split(Claims{{0}}, 1, 0.5),
                    contains("folio: a claim has a rate of 0.000000 and a weight of 1.000000"));
  CHECK_THROWS_WITH(fair_split(Claims{{1, -1}}, 1, 0.5),
                    contains("folio: a claim has a rate of 1.000000 and a weight of -1.000000"));
}
