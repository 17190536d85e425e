// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <folio/precision/bit_allocation.hpp>
#include <limits>
#include <random>
#include <vector>

#include "support/catch.hpp"

using namespace folio;
using folio::test::contains;

namespace {

using Layers = std::vector<std::vector<FormatCost>>;

double total_loss(Layers const& layers, std::vector<int> const& choice, std::int64_t& bytes) {
  double loss = 0;
  bytes = 0;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    loss += layers[l].at(static_cast<std::size_t>(choice[l])).loss;
    bytes += layers[l].at(static_cast<std::size_t>(choice[l])).bytes;
  }
  return loss;
}

/// Every allocation there is.
double least_of_all(Layers const& layers, std::int64_t budget) {
  double least = std::numeric_limits<double>::infinity();
  std::vector<int> choice(layers.size(), 0);
  for (;;) {
    std::int64_t bytes = 0;
    double const loss = total_loss(layers, choice, bytes);
    if (bytes <= budget) least = std::min(least, loss);
    std::size_t l = 0;
    for (; l < layers.size() && ++choice[l] == static_cast<int>(layers[l].size()); ++l) choice[l] = 0;
    if (l == layers.size()) return least;
  }
}

double largest_step(Layers const& layers) {
  double largest = 0;
  for (auto const& formats : layers)
    for (FormatCost const& a : formats)
      for (FormatCost const& b : formats) largest = std::max(largest, a.loss - b.loss);
  return largest;
}

/// What `found` says of itself is so, and it is within the budget.
void check_sums(Layers const& layers, BitAllocation const& found, std::int64_t budget) {
  REQUIRE(found.choice.size() == layers.size());
  std::int64_t bytes = 0;
  CHECK(total_loss(layers, found.choice, bytes) == Approx(found.loss).margin(1e-12));
  CHECK(bytes == found.bytes);
  CHECK(bytes <= budget);
  CHECK(found.least_loss <= found.loss + 1e-12);
}

}  // namespace

TEST_CASE("a worked example: four layers, of which one is 64 times as sensitive as another") {
  // Error 4^-bits, one byte per bit: 16 bytes are 4 bits for each layer. By theory 5.5, 4.5, 3.5 and 2.5 bits.
  std::vector<FormatCost> formats;
  for (int bits = 2; bits <= 8; ++bits) formats.push_back({std::pow(4.0, -bits), bits});
  std::vector<double> const sensitivities{16, 4, 1, 0.25};
  BitAllocation const found = allocate_bits(sensitivities, formats, 16);
  CHECK(found.exact);
  CHECK(found.bytes == 16);
  // Two layers are rounded up and two down, all the same: half of 4 * 2 * 4^-4 * 2^1 and half of it by 4.
  CHECK(found.loss == Approx(2 * (1.0 / 64 + 1.0 / 256)).epsilon(1e-12));
  for (std::size_t l = 0; l < 4; ++l) CHECK(std::fabs(found.choice[l] + 2 - (5.5 - static_cast<double>(l))) == 0.5);
  std::vector<double> const alike{3, 3, 3, 3};
  CHECK(allocate_bits(alike, formats, 16).choice == std::vector<int>{2, 2, 2, 2});
  CHECK(allocate_bits(alike, formats, 1000).choice == std::vector<int>{6, 6, 6, 6});
  CHECK(allocate_bits(alike, formats, 8).choice == std::vector<int>{0, 0, 0, 0});
}

TEST_CASE("small cases: as good as the best of all allocations") {
  std::mt19937 random(7);
  for (int i = 0; i < 400; ++i) {
    CAPTURE(i);
    Layers layers;
    std::int64_t smallest = 0, largest = 0;
    for (int l = 0, n = 1 + i % 5; l < n; ++l) {
      auto& formats = layers.emplace_back();
      std::int64_t least = 1000, most = 0;
      for (int c = 0, m = 1 + static_cast<int>(random() % 5); c < m; ++c) {
        formats.push_back({static_cast<double>(random() % 100), static_cast<std::int64_t>(random() % 30)});
        least = std::min(least, formats.back().bytes);
        most = std::max(most, formats.back().bytes);
      }
      smallest += least;
      largest += most;
    }
    std::int64_t const budget = smallest + static_cast<std::int64_t>(random()) % (largest - smallest + 3);
    double const best = least_of_all(layers, budget);
    BitAllocation const exact = allocate_bits(layers, budget), greedy = allocate_bits(layers, budget, 0);
    check_sums(layers, exact, budget);
    check_sums(layers, greedy, budget);
    CHECK(exact.exact);
    CHECK(exact.loss == Approx(best).margin(1e-9));
    CHECK(greedy.least_loss <= best + 1e-9);
    CHECK(greedy.loss >= best - 1e-9);
    CHECK(greedy.loss - best <= largest_step(layers) + 1e-9);
    if (greedy.exact) CHECK(greedy.loss == Approx(best).margin(1e-9));
  }
}

TEST_CASE("many layers: exact where formats are few, greedy within its bound where sums are too many") {
  std::mt19937 random(8);
  std::vector<double> sensitivities;
  for (int l = 0; l < 64; ++l) sensitivities.push_back(std::exp(static_cast<double>(random() % 1000) / 200));
  // Errors of 2, 3, 4, 6 and 8 bits at 128 dims, and bytes of a row.
  std::vector<FormatCost> const formats{{0.117, 36}, {0.034, 52}, {0.009, 68}, {5.6e-4, 100}, {4.1e-5, 132}};
  std::int64_t const budget = 64 * 68 + 9;
  BitAllocation const exact = allocate_bits(sensitivities, formats, budget);
  CHECK(exact.exact);
  CHECK(exact.bytes <= budget);
  BitAllocation const greedy = allocate_bits(sensitivities, formats, budget, 100);
  CHECK_FALSE(greedy.exact);
  CHECK(greedy.bytes <= budget);
  CHECK(greedy.least_loss <= exact.loss * (1 + 1e-12));
  CHECK(greedy.loss >= exact.loss * (1 - 1e-12));
  CHECK(greedy.loss <= exact.loss * 1.01);
  double uniform = 0;
  for (double const s : sensitivities) uniform += s * 0.009;
  CHECK(exact.loss < 0.6 * uniform);  // what it is for
}

TEST_CASE("what cannot be allocated is refused") {
  std::vector<FormatCost> const formats{{1, 10}, {0.5, 20}};
  std::vector<double> const two{1, 1};
  CHECK_THROWS_WITH(allocate_bits(two, formats, 19), contains("smallest formats of 2 layers take 20 bytes, more than"));
  CHECK_NOTHROW(allocate_bits(two, formats, 20));
  CHECK_THROWS_WITH(allocate_bits(two, std::span<FormatCost const>{}, 19), contains("at least one format"));
  for (double const number : {std::nan(""), std::numeric_limits<double>::infinity(), 1e308, -1.0, 1e101}) {
    CAPTURE(number);
    CHECK_THROWS_WITH(allocate_bits(std::vector<double>{1, number}, formats, 100), contains("a sensitivity of"));
    CHECK_THROWS_WITH(allocate_bits(Layers{{{1, 1}}, {{number, 1}, {0, 2}}}, 100), contains("at most 1e100"));
  }
  // Sums of what is allowed are numbers, and bytes are counted in 63 bits.
  CHECK(allocate_bits(Layers(100, {{1e100, 1}}), 100).loss == Approx(1e102));
  CHECK(allocate_bits(Layers(100, {{1e100, 1}, {0, 2}}), 150, 0).loss == Approx(5e101));
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  CHECK(allocate_bits(Layers{{{1, 0}, {0, most}}, {{1, 0}, {0, most}}}, most).bytes == most);
  CHECK_THROWS_WITH(allocate_bits(Layers{{{1, most}}, {{1, most}}}, most - 1),
                    contains("2 layers take 9223372036854775807 bytes"));
  CHECK_THROWS_WITH(allocate_bits(Layers{{{1, -1}}}, 100), contains("-1 bytes"));
  CHECK(allocate_bits(Layers{}, 0).choice.empty());
}
