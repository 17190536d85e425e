// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which lists have a sequence's demoted tokens, and what can be demoted. Host only.

#include <array>
#include <cstddef>
#include <cstdint>
#include <folio/model.hpp>
#include <limits>

namespace folio {

/// Of the tokens of a sequence, those that a group's second list has: `num_tokens` after the first `sinks`. None where
/// a group does not demote.
struct DemotedTokens {
  std::int32_t sinks = 0, num_tokens = 0;

  /// How many of the first `position` tokens of a sequence are demoted, of a position that is not in a gap.
  [[nodiscard]] std::int32_t num_before(std::int32_t position) const noexcept {
    std::int32_t const after_sinks = position > sinks ? position - sinks : 0;
    return after_sinks < num_tokens ? after_sinks : num_tokens;
  }
};

/// What of a sequence can be demoted: moved from a group's first list, once for good, to its second one; and which
/// lists those are.
///
/// The groups' first lists come first, by the groups' numbers. After them come the second lists of the groups that
/// demote, in their order.
struct DemotionRules {
  int num_groups = 0;      ///< first lists
  std::int32_t sinks = 0;  ///< tokens at the front that never are: whole blocks; with prefixes whole units
  std::int32_t unit = 1;   ///< as many as this at a time: whole blocks in both lists of each group
  std::array<int, max_groups> second_lists{};  ///< by group; 0: it does not demote

  /// Bit g of `demoting_groups`: group g has a second list.
  static DemotionRules of(int num_groups, std::uint32_t demoting_groups, std::int32_t sinks, std::int32_t unit) {
    DemotionRules rules{num_groups, sinks, unit};
    int list = num_groups;
    for (int g = 0; g < num_groups; ++g)
      if ((demoting_groups >> g & 1U) != 0) rules.second_lists[static_cast<std::size_t>(g)] = list++;
    return rules;
  }

  /// The second list of a group, or 0.
  [[nodiscard]] int second_list(int g) const noexcept { return second_lists[static_cast<std::size_t>(g)]; }
  [[nodiscard]] bool demotes(int g) const noexcept { return second_list(g) != 0; }
  /// Tokens at the front of a group's first list that are never taken out of it.
  [[nodiscard]] std::int32_t sinks_of(int g) const noexcept { return demotes(g) ? sinks : 0; }
  /// For planning: what a sequence holds of a first list that demotes is bounded as by a window.
  [[nodiscard]] GroupShape shape_held(GroupShape shape, int list, std::int32_t recent_window) const noexcept {
    if (list >= num_groups || !demotes(list)) return shape;
    shape.window = recent_window > std::numeric_limits<std::int32_t>::max() - unit  // which has all of a sequence
                       ? std::numeric_limits<std::int32_t>::max()
                       : recent_window + unit;
    shape.sinks = sinks;
    return shape;
  }
  /// What of a sequence with so many demoted tokens is in the second list of a group.
  [[nodiscard]] DemotedTokens tokens(std::int32_t num_demoted, int g) const noexcept {
    return demotes(g) ? DemotedTokens{sinks, num_demoted} : DemotedTokens{};
  }
};

}  // namespace folio
