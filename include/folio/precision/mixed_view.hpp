// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What does a kernel read of a cache that demotes? A step's view over both formats. Host and device.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <folio/config.hpp>
#include <folio/view.hpp>
#include <utility>

namespace folio {

namespace ops {
/// Base of a view whose operations are found when a template that is declared before them calls one: by the namespace
/// of an argument's base.
struct HasOperations {};
}  // namespace ops

/// Mixed-precision view: a step of a cache that demotes. Two ordinary views whose sequence i is the same, with the same
/// query tokens and the same layers. `recent` has the sequence's sinks and newest tokens, and slots and limits as ever.
/// `demoted` has those in between, without slots and limits: none of them is a query's own, and all come before every
/// query, which sees them all (AttentionParams::causal = false): nobody asks `limit` or `first_query` of its sequences,
/// which count as if the queries were the last of their tokens. Layers with a window, and those whose own format has
/// less than 16 bits, demote nothing: their tokens are all in `recent`.
///
/// Trivially copyable, host and device, as BlockTableView.
template <class Recent, class Demoted>
struct MixedPrecisionView : ops::HasOperations {
  static constexpr int num_groups = Recent::num_groups;
  /// Bit g: group g has a second list. By the types, because a group without layers has no window at run time; a
  /// number, because nvcc indexes no static member at run time.
  static constexpr std::uint32_t demoting_groups = []<int... Group>(std::integer_sequence<int, Group...>) {
    return (
        0U | ... |
        (LayerView<Recent, Group>::known.window == 0 && has_exact_rows<LayerView<Recent, Group>> ? 1U << Group : 0U));
  }
  (std::make_integer_sequence<int, num_groups>());
  static constexpr int num_demoting = std::popcount(demoting_groups), num_lists = num_groups + num_demoting;
  template <int Group>
  static constexpr bool group_demotes = (demoting_groups >> Group & 1U) != 0;

  /// Of the tables of all lists: those of the groups, and those of what is demoted.
  FOLIO_HOST_DEVICE constexpr MixedPrecisionView(GroupTable const (&lists)[std::size_t{num_lists}],
                                                 std::int32_t const* end_positions, std::int32_t const* query_starts,
                                                 std::int32_t num_sequences, std::int32_t num_query_tokens,
                                                 LayerPattern const& pattern)
      : recent(FirstLists(lists).tables, end_positions, query_starts, num_sequences, num_query_tokens, pattern),
        demoted(SecondLists(lists).tables, end_positions, query_starts, num_sequences, num_query_tokens, pattern),
        sinks(lists[num_groups].shape.sinks) {}

  Recent recent;
  Demoted demoted;
  std::int32_t sinks;  ///< tokens before the demoted ones, where a sequence has demoted ones

  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t num_sequences() const { return recent.num_sequences(); }
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t num_query_tokens() const { return recent.num_query_tokens(); }
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t query_start(std::int32_t i) const {
    return recent.query_start(i);
  }
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t end_position(std::int32_t i) const {
    return recent.end_position(i);
  }
  /// Demoted tokens of sequence `i`: the same in every layer group that demotes.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t num_demoted(std::int32_t i) const {
    constexpr int first_demoting = std::countr_zero(demoting_groups);
    return demoted.group(first_demoting).lengths[i];
  }
  /// Whether a sequence of the step has any. Cost: O(sequences).
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr bool any_demoted() const {
    for (std::int32_t i = 0; i < num_sequences(); ++i)
      if (num_demoted(i) > 0) return true;
    return false;
  }
  /// Layers of the model, of all groups.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t num_layers() const {
    std::int32_t layers = 0;
    for (int g = 0; g < num_groups; ++g) layers += recent.group(g).shape.layers;
    return layers;
  }
  /// Whether `layer` is of a group that demotes.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr bool demotes(std::int32_t layer) const {
    return num_demoting == num_groups || (demoting_groups >> recent.place(layer).group & 1U) != 0;
  }

 private:
  using Lists = GroupTable const (&)[std::size_t{num_lists}];
  struct FirstLists {
    FOLIO_HOST_DEVICE explicit constexpr FirstLists(Lists lists) {
      for (int g = 0; g < num_groups; ++g) tables[g] = lists[g];
    }
    GroupTable tables[std::size_t{num_groups}];
  };
  /// By group; of one that does not demote none, which is not to be read.
  struct SecondLists {
    FOLIO_HOST_DEVICE explicit constexpr SecondLists(Lists lists) {
      int l = num_groups;
      for (int g = 0; g < num_groups; ++g)
        if ((demoting_groups >> g & 1U) != 0) tables[g] = lists[l++];
    }
    GroupTable tables[std::size_t{num_groups}];
  };
};

template <class View>
inline constexpr bool is_mixed_view = false;
template <class Recent, class Demoted>
inline constexpr bool is_mixed_view<MixedPrecisionView<Recent, Demoted>> = true;

}  // namespace folio
