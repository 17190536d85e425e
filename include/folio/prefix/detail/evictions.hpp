// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What goes from a prefix tree: units in the order of an eviction policy, or everything. Host only.

#include <algorithm>
#include <cstdint>
#include <folio/prefix/events.hpp>
#include <folio/prefix/leases.hpp>
#include <utility>
#include <vector>

namespace folio {

/// Evictions, told to the policy and to a sink of events. The last unit of a leaf goes first, and with it what only led
/// there. Nothing here allocates or fails.
template <EvictionPolicy Eviction, EventSink Sink, class Hash>
class PrefixEvictions : protected PrefixLeases<Eviction, Hash> {
 protected:
  using Nodes = PrefixNodes<Hash>;
  using Blocks = PrefixBlocks<Hash>;
  using Holds = PrefixLeases<Eviction, Hash>;
  using Blocks::counters_, Blocks::drop_blocks, Blocks::drop_unreachable, Blocks::store_;
  using Holds::eviction_, Holds::lease, Holds::now_, Holds::set_candidate, Holds::update_candidate;
  using Nodes::at, Nodes::block_size, Nodes::is_root, Nodes::no_node, Nodes::num_groups, Nodes::unit;
  using Node = PrefixNode;

 public:
  /// Evicts the unit that the policy gives; false when none can go.
  bool evict_unit() noexcept {
    EvictionEntry* const entry = eviction_.victim(now_);
    if (entry != nullptr) drop_last_unit(static_cast<Node&>(*entry));
    return entry != nullptr;
  }

  /// Evicts everything that nobody holds and no pin keeps.
  void evict_all() noexcept {
    while (evict_unit()) {
    }
  }

  /// Forgets everything, as new weights need it: nothing of what is in the tree now is found again. What was leased and
  /// pinned is forgotten, too. Sequences go on with the blocks that they hold, and insert nothing any more.
  void clear() noexcept {
    for (auto const& state : store_.states()) lease(*state, no_node);
    store_.start_epoch();
    for (std::size_t i = 0; i < this->end_index(); ++i) {
      Node& node = at(static_cast<std::int32_t>(i));
      node.pins = 0;
      this->protect_blocks(node);
    }
    while (Nodes::size() > 0)
      for (std::size_t i = 0; i < this->end_index(); ++i)
        for (auto index = static_cast<std::int32_t>(i); !is_root(at(index)) && at(index).first_child == no_node;) {
          std::int32_t const parent = at(index).parent;
          update_candidate(index);
          drop_node(at(index));
          index = parent;
        }
    sink_.cleared({++num_events_});
  }

 protected:
  static constexpr bool policy_evicts = !requires { requires Eviction::evicts_nothing; };
  static constexpr bool policy_wants_keys = requires { requires Eviction::wants_keys; };
  static constexpr bool keeps_keys = policy_wants_keys || Sink::wants_keys;

  PrefixEvictions(SequenceStore& store, std::vector<std::int64_t> const& block_bytes, Eviction eviction, Sink sink,
                  Hash hash)
      : Holds(store, block_bytes, std::move(eviction), std::move(hash)), sink_(std::move(sink)) {}

  /// A policy with quotas names what is kept beyond them and can go.
  void enforce_quotas() noexcept {
    if constexpr (requires { eviction_.over_quota(now_); })
      while (EvictionEntry* const entry = eviction_.over_quota(now_)) drop_last_unit(static_cast<Node&>(*entry));
  }

  /// Evicts all that a leaf has, and the leaf.
  void drop_node(Node& leaf) noexcept {
    while (!drop_last_unit(leaf)) {
    }
  }

  /// Evicts the last unit of a leaf; true when the leaf is gone.
  bool drop_last_unit(Node& leaf) noexcept {
    std::int32_t const end = (leaf.end() - 1) / unit() * unit();
    if constexpr (keeps_keys) {
      std::uint64_t const key = leaf.keys.back();
      leaf.keys.pop_back();
      if constexpr (requires { eviction_.evicted(leaf, key); }) eviction_.evicted(leaf, key);
      if constexpr (Sink::wants_keys) sink_.removed({++num_events_, key, leaf.tenant});
    }
    if constexpr (requires { eviction_.dropped(leaf); }) eviction_.dropped(leaf);
    ++counters_.evicted_units;
    counters_.evicted_age += now_ - leaf.last_use;
    bool const goes = end <= leaf.begin;
    if (!goes) {
      leaf.symbols.resize(static_cast<std::size_t>(end - leaf.begin));
      this->measure(leaf);
      if (leaf.queued) eviction_.shrunk(leaf);
    }
    trim(leaf, end, false);
    if (goes) drop_leaf(leaf);
    return goes;
  }

  /// Lets go of a leaf's blocks after the first `end` tokens of its prefix. Where a group with a window lost some, or
  /// the node `has_become` a leaf, blocks that only led there go as well.
  void trim(Node& leaf, std::int32_t end, bool has_become) noexcept {
    for (int g = 0; g < num_groups(); ++g)
      if ((drop_blocks(leaf, g, end / block_size(g)) || has_become) && store_.shape(g).window != 0 &&
          end > leaf.begin && leaf.pins == 0)
        drop_unreachable(leaf, g);
  }

  /// Takes an empty leaf off the tree, and what hangs on it alone: a parent that has become a leaf ends with a whole
  /// unit again, or goes as well.
  void drop_leaf(Node& leaf) noexcept {
    std::int32_t index = leaf.index;
    while (true) {
      Node& node = at(index);
      if (node.queued) set_candidate(node, false);
      std::int32_t const parent = node.parent;
      this->unlink(node);
      this->free_node(node);
      Node& above = at(parent);
      if (is_root(above)) return this->drop_if_empty(parent);
      if (above.first_child != no_node) return;
      std::int32_t const end = above.end() / unit() * unit();
      if (end > above.begin) {
        above.symbols.resize(static_cast<std::size_t>(end - above.begin));
        this->measure(above);
        trim(above, end, true);
        return update_candidate(parent);
      }
      trim(above, above.begin, true);
      index = parent;
    }
  }

  Sink sink_;
  std::int64_t num_events_ = 0;
};

}  // namespace folio
