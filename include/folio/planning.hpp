// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Numbers to choose before a cache is made: how large a block, and how much memory for whom. Host only, pure functions.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <folio/error.hpp>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace folio {

namespace detail {
/// Weights, rates and totals whose products and quotients are far from the ends of double. False for NaN.
[[nodiscard]] constexpr bool is_plannable(double x) { return x >= 1e-30 && x <= 1e30; }
}  // namespace detail

/// A bar of a histogram of sequence lengths: every length from `first` to `last` is as likely as the others.
struct LengthRange {
  std::int32_t first, last;  ///< tokens, both included
  double weight;             ///< share of the sequences, 0 or 1e-30 to 1e30; weights need not add up to 1
};

/// What a block size costs. Means are over sequences, for groups of full attention.
struct BlockSizeCost {
  std::int32_t block_size;
  double mean_blocks;       ///< of a sequence: entries of its table
  double mean_empty_slots;  ///< in its last block
  double waste;             ///< empty slots of all slots held, 0 to 1
};

/// The cost of each of `block_sizes` for sequences of these lengths. Exact. Throws Error for an empty histogram, a
/// length or block size below 1, a range that ends before it begins, or weights that are all 0 or out of their range.
/// Cost: O(ranges) for each size.
[[nodiscard]] inline std::vector<BlockSizeCost> block_size_costs(std::span<LengthRange const> lengths,
                                                                 std::span<std::int32_t const> block_sizes) {
  double weights = 0, mean_length = 0;
  for (LengthRange const& range : lengths) {
    if (range.first < 1 || range.last < range.first || !(range.weight == 0 || detail::is_plannable(range.weight)))
      throw Error("folio: a histogram has lengths from " + std::to_string(range.first) + " to " +
                  std::to_string(range.last) + " of weight " + std::to_string(range.weight) +
                  "; lengths are at least 1 and in order, weights 0 or from 1e-30 to 1e30");
    weights += range.weight;
    mean_length += range.weight * (double(range.first) + range.last) / 2;
  }
  if (!(weights > 0)) throw Error("folio: a histogram of lengths needs at least one range of a weight above 0");
  mean_length /= weights;
  std::vector<BlockSizeCost> costs;
  for (std::int32_t const size : block_sizes) {
    if (size < 1) throw Error("folio: a block has at least 1 token, not " + std::to_string(size));
    // Blocks of all lengths from 1 to n: `size` lengths of each number of blocks, and the rest of the last.
    auto const blocks_up_to = [size](double n) {
      double const whole = std::floor(n / size);
      return size * whole * (whole + 1) / 2 + (n - size * whole) * (whole + 1);
    };
    double blocks = 0;
    for (LengthRange const& range : lengths)
      blocks += range.weight * (blocks_up_to(range.last) - blocks_up_to(range.first - 1.0)) /
                (double(range.last) - range.first + 1);
    blocks /= weights;
    double const empty = std::max(0.0, blocks * size - mean_length);
    costs.push_back({size, blocks, empty, empty / (blocks * size)});
  }
  return costs;
}

/// The largest of these block sizes that wastes at most `max_waste`: larger blocks mean shorter tables and longer runs
/// for kernels, smaller ones less waste and more of a prefix shared. When all waste more, the one that wastes least.
/// Throws Error when there is none, or for a waste that is not from 0 to 1.
[[nodiscard]] inline BlockSizeCost best_block_size(std::span<BlockSizeCost const> costs, double max_waste = 0.04) {
  if (costs.empty()) throw Error("folio: to choose a block size, give at least one");
  for (BlockSizeCost const& cost : costs)
    if (!(cost.waste >= 0 && cost.waste <= 1 && max_waste >= 0 && max_waste <= 1))
      throw Error("folio: a block size of " + std::to_string(cost.block_size) + " wastes " +
                  std::to_string(cost.waste) + ", and the most is " + std::to_string(max_waste) +
                  "; waste is from 0 to 1");
  auto const better = [max_waste](BlockSizeCost const& a, BlockSizeCost const& b) {
    bool const a_fits = a.waste <= max_waste, b_fits = b.waste <= max_waste;
    if (a_fits != b_fits) return a_fits;
    return a_fits ? a.block_size > b.block_size : a.waste < b.waste;
  };
  return *std::min_element(costs.begin(), costs.end(), better);
}

/// One that shares memory: `rate` is what its part is measured against (tokens or requests per second, or a price).
struct MemoryClaim {
  double rate;
  double weight = 1;  ///< of its utility among the others'
};

/// Proportionally fair split of `total`, which makes the sum of utilities, weight_i log(1 + m_i), as large as can be,
/// and is fair: of any two, (m_i / rate_i) / (m_j / rate_j) >= alpha. alpha 0: only utility counts; 1: shares follow
/// the rates. The unit of `total` matters, as log(1 + m) is not the same for gigabytes and bytes.
///
/// With x_i = m_i / rate_i, fairness says that all x are within [alpha t, t] for some t. For a given t the best split
/// fills water: m_i = clamp(weight_i / level - 1, alpha t rate_i, t rate_i), with the level at which it adds up. The
/// sum is concave in t, and its slope is the sum of (marginal utility - level) times the rate of the bound, over all
/// that are at one. Both are found by bisection, to the precision of double.
///
/// Throws Error for a rate, weight or total that is not from 1e-30 to 1e30, or an alpha not from 0 to 1. Cost: O(10^4
/// claims).
[[nodiscard]] inline std::vector<double> fair_split(std::span<MemoryClaim const> claims, double total, double alpha) {
  double rates = 0, smallest = std::numeric_limits<double>::max();
  for (MemoryClaim const& claim : claims) {
    if (!detail::is_plannable(claim.rate) || !detail::is_plannable(claim.weight))
      throw Error("folio: a claim has a rate of " + std::to_string(claim.rate) + " and a weight of " +
                  std::to_string(claim.weight) + "; both are from 1e-30 to 1e30");
    rates += claim.rate;
    smallest = std::min(smallest, claim.rate);
  }
  if (claims.empty() || !detail::is_plannable(total) || !(alpha >= 0 && alpha <= 1))
    throw Error(
        "folio: a fair split needs at least one claim, a total from 1e-30 to 1e30 and an alpha from 0 to 1, not " +
        std::to_string(claims.size()) + ", " + std::to_string(total) + " and " + std::to_string(alpha));

  std::vector<double> split(claims.size());
  double level = 0;
  auto const fill = [&](double t, double at_level) {
    double sum = 0;
    for (std::size_t i = 0; i < claims.size(); ++i) {
      double const top = t * claims[i].rate;
      split[i] = std::clamp(claims[i].weight / at_level - 1, alpha * top, top);
      sum += split[i];
    }
    return sum;
  };
  // The level is a marginal utility, weight / (1 + m): between a hair above 0 and the largest weight. By ratio.
  auto const fill_whole = [&](double t) {
    double low = std::numeric_limits<double>::max(), high = 0;
    for (MemoryClaim const& claim : claims) {
      low = std::min(low, claim.weight / (1 + t * claim.rate));
      high = std::max(high, claim.weight);
    }
    for (int i = 0; i < 100; ++i) {
      level = std::sqrt(low) * std::sqrt(high);
      (fill(t, level) > total ? low : high) = level;
    }
  };
  auto const slope = [&](double t) {
    fill_whole(t);
    double sum = 0;
    for (std::size_t i = 0; i < claims.size(); ++i) {
      double const free = claims[i].weight / level - 1, top = t * claims[i].rate;
      double const gain = claims[i].weight / (1 + split[i]) - level;
      if (free > top) sum += gain * claims[i].rate;
      if (free < alpha * top) sum += gain * alpha * claims[i].rate;
    }
    return sum;
  };
  double low = total / rates, high = std::min(total / smallest, alpha > 0 ? total / (alpha * rates) : total / smallest);
  for (int i = 0; i < 100 && low < high; ++i) {
    double const middle = low + (high - low) / 2;
    (slope(middle) > 0 ? low : high) = middle;
  }
  fill_whole(low);
  double sum = 0;
  for (double const part : split) sum += part;
  for (double& part : split) part *= total / sum;  // the last bits, which leave all ratios as they are
  return split;
}

}  // namespace folio
