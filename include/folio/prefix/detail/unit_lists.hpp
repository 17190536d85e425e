// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which list has the blocks of a unit, where groups demote: of a path in a prefix index, and of a sequence. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/detail/demotion_rules.hpp>
#include <folio/detail/group_pools.hpp>
#include <folio/detail/sequence_state.hpp>

namespace folio {

/// Units by list. The demoted units of a path are one interval after the sinks, as those of a sequence are.
template <class Nodes>
class UnitLists {
 public:
  UnitLists(Nodes const& nodes, GroupPools const& pools) : nodes_(nodes), pools_(pools) {
    for (int l = pools.num_groups(); l < pools.size(); ++l)
      if (pools.shape(l).layers != 0) witness_ = l;
  }

  /// Whether there is anything to tell: else every block is in the list of its group.
  [[nodiscard]] bool has_second_lists() const noexcept { return pools_.has_second_lists(); }

  /// Whether the unit that begins with token `begin` of the path to `holder`, which has its end, is demoted.
  [[nodiscard]] bool is_demoted(std::int32_t holder, std::int32_t begin) const {
    return has_second_lists() &&
           nodes_.block_at(holder, witness_, (begin + nodes_.unit()) / nodes_.block_size(witness_) - 1) != null_block;
  }
  /// Where the demoted units end of the first `end` tokens, whole units, of the path to `holder`. Cost: O(units that
  /// are not demoted).
  [[nodiscard]] std::int32_t demoted_end(std::int32_t holder, std::int32_t end) const {
    std::int32_t const sinks = pools_.demotion().sinks;
    while (end > sinks && nodes_.block_at(holder, witness_, end / nodes_.block_size(witness_) - 1) == null_block)
      end -= nodes_.unit();
    return std::max(end, sinks);
  }

  /// Whether a prefix below a node has the unit inside which the node ends in second lists, or else in first ones.
  /// Cost: O(nodes below in that unit).
  [[nodiscard]] bool any_below(std::int32_t index, bool demoted) const {
    std::int32_t const whole = nodes_.whole_units(nodes_.at(index).end());
    for (std::int32_t i = nodes_.at(index).first_child; i != Nodes::no_node; i = nodes_.at(i).next) {
      bool const has_end = nodes_.at(i).end() >= whole + nodes_.unit();
      if (has_end ? is_demoted(i, whole) == demoted : any_below(i, demoted)) return true;
    }
    return false;
  }

  /// Block i of a prefix, in list `l` of a sequence: null where the sequence has its tokens in another list, or gave
  /// them back.
  [[nodiscard]] BlockId block_of(SequenceState const& state, int l, std::int32_t i) const noexcept {
    std::int32_t const at = index_of(state, l, i);
    return at < 0 ? null_block : state.lists[l].blocks[static_cast<std::size_t>(at)];
  }
  /// Where it is in the sequence's list, or -1.
  [[nodiscard]] std::int32_t index_of(SequenceState const& state, int l, std::int32_t i) const noexcept {
    DemotionRules const& rules = pools_.demotion();
    std::int32_t const token = i * nodes_.block_size(l), demoted_end = rules.sinks + state.num_demoted;
    bool const is_demoted = token >= rules.sinks && token < demoted_end;
    if (l >= rules.num_groups) return is_demoted ? (token - rules.sinks) / nodes_.block_size(l) : -1;
    if (!rules.demotes(l) || token < rules.sinks) return i;
    return is_demoted ? -1 : (token - state.num_demoted) / nodes_.block_size(l);
  }
  /// Leaves in each list of a sequence that has the whole path the units that are in it.
  void part_lists(std::int32_t holder, std::int32_t num_tokens, SequenceState& state) noexcept {
    DemotionRules const& rules = pools_.demotion();
    std::int32_t const end = demoted_end(holder, nodes_.whole_units(num_tokens));
    state.num_demoted = std::max(0, end - rules.sinks);
    for (int g = 0; g < rules.num_groups; ++g) {
      if (!rules.demotes(g)) continue;
      BlockList &first = state.lists[g], &second = state.lists[rules.second_list(g)];
      auto const at = [&](BlockList const& list, std::int32_t size, std::int32_t token) {
        return list.blocks.begin() +
               std::min(static_cast<std::ptrdiff_t>(list.blocks.size()), static_cast<std::ptrdiff_t>(token / size));
      };
      std::int32_t const of_first = nodes_.block_size(g), of_second = nodes_.block_size(rules.second_list(g));
      first.blocks.erase(at(first, of_first, rules.sinks), at(first, of_first, rules.sinks + state.num_demoted));
      second.blocks.erase(at(second, of_second, rules.sinks + state.num_demoted), second.blocks.end());
      second.blocks.erase(second.blocks.begin(), at(second, of_second, rules.sinks));
      first.num_tokens = num_tokens - state.num_demoted;
      second.num_tokens = state.num_demoted;
    }
  }

 private:
  Nodes const& nodes_;
  GroupPools const& pools_;
  int witness_ = 0;  // a second list of a group with layers: what of a unit is in it tells of all
};

}  // namespace folio
