// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which format does each layer get, when their bytes together are limited? Host only, pure functions.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/error.hpp>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace folio {

/// A format that a layer could be stored in: what it loses and what it takes.
struct FormatCost {
  double loss;         ///< 0 to 1e100, in any unit that adds up over layers: (importance of the layer) x (error of it)
  std::int64_t bytes;  ///< of the layer, for each token or in all; at least 0
};

/// Bit allocation: who gets what.
struct BitAllocation {
  std::vector<int> choice;  ///< by layer: an index into its formats
  double loss = 0;          ///< their sums
  std::int64_t bytes = 0;
  double least_loss = 0;  ///< no allocation within the budget loses less: `loss` itself when `exact`
  bool exact = false;     ///< no other allocation is better
};

namespace detail {

inline void check_formats(std::span<std::vector<FormatCost> const> layers, std::int64_t budget) {
  std::int64_t least = 0;
  for (std::vector<FormatCost> const& formats : layers) {
    std::int64_t smallest = std::numeric_limits<std::int64_t>::max();
    for (FormatCost const& f : formats) {
      if (f.bytes < 0 || !(f.loss >= 0 && f.loss <= 1e100))
        throw Error("folio: a format has a loss of " + std::to_string(f.loss) + " and " + std::to_string(f.bytes) +
                    " bytes; both are at least 0, and a loss at most 1e100");
      smallest = std::min(smallest, f.bytes);
    }
    if (formats.empty()) throw Error("folio: a layer needs at least one format to choose");
    least = smallest > std::numeric_limits<std::int64_t>::max() - least ? std::numeric_limits<std::int64_t>::max()
                                                                        : least + smallest;
  }
  if (least > budget)
    throw Error("folio: the smallest formats of " + std::to_string(layers.size()) + " layers take " +
                std::to_string(least) + " bytes, more than the budget of " + std::to_string(budget));
}

/// A partial sum that no other beats in both: the last layer's choice, and where it came from.
struct AllocationState {
  std::int64_t bytes;
  double loss;
  int choice;
  std::size_t from;
};

/// All sums of a choice for each layer within the budget that are not worse than another in bytes and loss: the last
/// of the last layer's loses least. Empty when a layer has more than `max_states` of them.
[[nodiscard]] inline std::vector<std::vector<AllocationState>> best_sums(
    std::span<std::vector<FormatCost> const> layers, std::int64_t budget, std::size_t max_states) {
  std::vector<std::vector<AllocationState>> all{{{0, 0.0, 0, 0}}};
  for (std::vector<FormatCost> const& formats : layers) {
    std::vector<AllocationState> next;
    for (std::size_t from = 0; from < all.back().size(); ++from)
      for (std::size_t c = 0; c < formats.size(); ++c) {
        AllocationState const& s = all.back()[from];
        if (formats[c].bytes <= budget - s.bytes)
          next.push_back({s.bytes + formats[c].bytes, s.loss + formats[c].loss, static_cast<int>(c), from});
      }
    std::stable_sort(next.begin(), next.end(), [](AllocationState const& a, AllocationState const& b) {
      return a.bytes != b.bytes ? a.bytes < b.bytes : a.loss < b.loss;
    });
    std::size_t kept = 0;
    for (AllocationState const& s : next)
      if (kept == 0 || s.loss < next[kept - 1].loss) next[kept++] = s;
    next.resize(kept);
    if (kept > max_states) return {};
    all.push_back(std::move(next));
  }
  return all;
}

/// The formats of a layer on the lower convex hull of loss over bytes: from the smallest on, each step saves less per
/// byte.
[[nodiscard]] inline std::vector<int> hull(std::vector<FormatCost> const& formats) {
  std::vector<int> order(formats.size()), result;
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
  auto const at = [&](int i) -> FormatCost const& { return formats[static_cast<std::size_t>(i)]; };
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return at(a).bytes != at(b).bytes ? at(a).bytes < at(b).bytes : at(a).loss < at(b).loss;
  });
  auto const saving = [&](int a, int b) {
    return (at(a).loss - at(b).loss) / static_cast<double>(at(b).bytes - at(a).bytes);
  };
  for (int const i : order) {
    if (!result.empty() && at(i).loss >= at(result.back()).loss) continue;
    while (result.size() > 1 && saving(result.back(), i) >= saving(result[result.size() - 2], result.back()))
      result.pop_back();
    result.push_back(i);
  }
  return result;
}

/// Every layer its smallest format, and then what saves most per byte, step by step along the hulls, as long as it
/// fits.
[[nodiscard]] inline BitAllocation allocate_greedily(std::span<std::vector<FormatCost> const> layers,
                                                     std::int64_t budget) {
  struct Step {
    std::size_t layer;
    int from, to;
    std::int64_t bytes;
    double saved;
  };
  BitAllocation result;
  std::vector<Step> steps;
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    std::vector<FormatCost> const& f = layers[layer];
    std::vector<int> const order = hull(f);
    result.choice.push_back(order[0]);
    result.bytes += f[static_cast<std::size_t>(order[0])].bytes;
    result.loss += f[static_cast<std::size_t>(order[0])].loss;
    for (std::size_t i = 1; i < order.size(); ++i) {
      FormatCost const &a = f[static_cast<std::size_t>(order[i - 1])], &b = f[static_cast<std::size_t>(order[i])];
      steps.push_back({layer, order[i - 1], order[i], b.bytes - a.bytes, a.loss - b.loss});
    }
  }
  auto const per_byte = [](Step const& s) { return s.saved / static_cast<double>(s.bytes); };
  std::stable_sort(steps.begin(), steps.end(), [&](Step const& a, Step const& b) { return per_byte(a) > per_byte(b); });
  result.least_loss = -1;
  for (Step const& step : steps) {
    if (result.choice[step.layer] != step.from) continue;  // a step before it did not fit
    if (step.bytes > budget - result.bytes) {
      // A part of the first step that does not fit fills the budget exactly: no allocation can be better than that.
      if (result.least_loss < 0)
        result.least_loss = std::max(0.0, result.loss - per_byte(step) * static_cast<double>(budget - result.bytes));
      continue;
    }
    result.choice[step.layer] = step.to;
    result.bytes += step.bytes;
    result.loss -= step.saved;
  }
  if (result.least_loss < 0) result.least_loss = result.loss;
  result.exact = result.least_loss >= result.loss;
  return result;
}

}  // namespace detail

/// The format of each layer with which they lose least within `budget` bytes. `layers[l]`: the formats that layer l may
/// have; give keys and values as layers of their own, and leave out what a layer must not have (floors for the first
/// and last layers, keys with fewer bits than values).
///
/// Exact while the sums of bytes and losses that no other beats are at most `max_states`, by dynamic programming over
/// them: always for a few layers, and for many where formats are few and their bytes alike. Else greedy, by the saving
/// per byte along each layer's convex hull: its loss is above the best one by less than the saving of a single step,
/// and by no more than loss - least_loss. Deterministic. Throws Error when the smallest formats do not fit, for a layer
/// without formats, or for numbers that are negative or above 1e100. Cost: O(layers * max_states * formats).
[[nodiscard]] inline BitAllocation allocate_bits(std::span<std::vector<FormatCost> const> layers, std::int64_t budget,
                                                 std::size_t max_states = 1 << 16) {
  detail::check_formats(layers, budget);
  auto const sums = detail::best_sums(layers, budget, max_states);
  if (sums.empty()) return detail::allocate_greedily(layers, budget);
  BitAllocation result;
  result.choice.resize(layers.size());
  result.exact = true;
  std::size_t at = sums.back().size() - 1;
  for (std::size_t layer = layers.size(); layer > 0; at = sums[layer][at].from, --layer)
    result.choice[layer - 1] = sums[layer][at].choice;
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    FormatCost const& f = layers[layer][static_cast<std::size_t>(result.choice[layer])];
    result.loss += f.loss;
    result.bytes += f.bytes;
  }
  result.least_loss = result.loss;
  return result;
}

/// The same for layers that have the same formats to choose from: layer l loses sensitivities[l] * formats[c].loss with
/// format c, whose `loss` is its error then.
[[nodiscard]] inline BitAllocation allocate_bits(std::span<double const> sensitivities,
                                                 std::span<FormatCost const> formats, std::int64_t budget,
                                                 std::size_t max_states = 1 << 16) {
  std::vector<std::vector<FormatCost>> layers;
  for (double const sensitivity : sensitivities) {
    if (!(sensitivity >= 0 && sensitivity <= 1e100))
      throw Error("folio: a layer has a sensitivity of " + std::to_string(sensitivity) + "; it is from 0 to 1e100");
    layers.emplace_back(formats.begin(), formats.end());
    for (FormatCost& f : layers.back()) f.loss *= sensitivity;
  }
  return allocate_bits(layers, budget, max_states);
}

}  // namespace folio
