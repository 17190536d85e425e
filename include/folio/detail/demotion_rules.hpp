// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which lists have a sequence's demoted tokens, and what can be demoted. Host only.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <folio/detail/sequence_state.hpp>
#include <folio/model.hpp>
#include <span>

namespace folio {

/// What of a sequence can be demoted: moved from a group's first list, once for good, to its second one; and which
/// lists those are.
///
/// The groups' first lists come first, by the groups' numbers. After them come the second lists of the groups that
/// demote, which are those without a window, in their order.
struct DemotionRules {
  int num_groups = 0;      ///< first lists
  std::int32_t sinks = 0;  ///< tokens at the front that never are: whole blocks; with prefixes whole units
  std::int32_t unit = 1;   ///< as many as this at a time: whole blocks in both lists of each group
  std::array<int, max_groups> second_lists{};  ///< by group; 0: it does not demote

  /// Without second lists where `shapes`, one for each list, are as many as the groups.
  static DemotionRules of(std::span<GroupShape const> shapes, int num_groups, std::int32_t sinks, std::int32_t unit) {
    DemotionRules rules{num_groups, sinks, unit};
    std::size_t g = 0;
    for (int list = num_groups; list < static_cast<int>(shapes.size()); ++list) {
      while (shapes[g].window != 0) ++g;
      rules.second_lists[g++] = list;
    }
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
    shape.window = recent_window + unit;
    shape.sinks = sinks;
    return shape;
  }
  /// What of a sequence is in the second list of a group.
  [[nodiscard]] DemotedTokens tokens(SequenceState const& state, int g) const noexcept {
    return demotes(g) ? DemotedTokens{sinks, state.num_demoted} : DemotedTokens{};
  }

  /// How many more tokens of a sequence can be demoted: whole units of those before position `limit`, in each group
  /// what it stores of them. Of tokens in a gap nobody knows where they are: they stay.
  [[nodiscard]] std::int32_t num_due(SequenceState const& state, std::int32_t limit) const noexcept {
    std::int32_t due = std::max(0, limit);
    for (int g = 0; g < num_groups; ++g) {
      if (!demotes(g)) continue;
      BlockList const& list = state.lists[g];
      DemotedTokens const demoted = tokens(state, g);
      std::int32_t stored = list.num_stored_before(limit, state.num_tokens, demoted);
      if (stored < 0) stored = list.num_stored_before(list.gap_begin, state.num_tokens, demoted);
      due = std::min(due, std::max(0, stored - sinks));
    }
    return due / unit * unit;
  }
};

}  // namespace folio
