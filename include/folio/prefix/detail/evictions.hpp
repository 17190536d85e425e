// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which nodes of a prefix index are held, which can be evicted, and how they go. Host only.

#include <algorithm>
#include <cstdint>
#include <folio/containers/as_span.hpp>
#include <folio/error.hpp>
#include <folio/prefix/detail/shared_blocks.hpp>
#include <folio/prefix/detail/unit_contents.hpp>
#include <folio/prefix/events.hpp>
#include <folio/prefix/leases.hpp>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace folio {

/// Leases, pins, uses and evictions of nodes, in the order of an eviction policy. A leaf that nobody holds is a
/// candidate: it is in the policy's queue, and leaves it for as long as what the policy knows of it changes. Leases and
/// pins are on nodes that end with a whole unit, and count for every node above. The last unit of a leaf goes first,
/// and with it what only led there; the policy and a sink of events are told. What goes allocates nothing and cannot
/// fail.
template <EvictionPolicy Eviction, EventSink Sink>
class PrefixEvictions {
 public:
  using Node = PrefixNode;
  static constexpr std::int32_t no_node = PrefixNodes<>::no_node;
  static constexpr bool policy_wants_keys = folio::policy_wants_keys<Eviction>();
  static constexpr bool sink_wants_keys = wants_keys<Sink>;
  static constexpr bool keeps_keys = policy_wants_keys || sink_wants_keys;
  static constexpr bool tells_served_keys = policy_wants_keys && hears<Eviction>(PrefixEvents::inserted);

  /// Of nodes and blocks that it does not own.
  PrefixEvictions(PrefixNodes<>& nodes, PrefixBlocks<>& blocks, PrefixCounters& counters, Eviction eviction,
                  Sink listener)
      : policy(std::move(eviction)),
        sink(std::move(listener)),
        nodes_(nodes),
        blocks_(blocks),
        counters_(counters),
        contents_(nodes) {}

  Eviction policy;
  Sink sink;

  [[nodiscard]] double time() const noexcept { return now_; }
  void set_time(double now) noexcept { now_ = std::max(now_, now); }
  /// Counts uses of the index.
  [[nodiscard]] std::int64_t order() const noexcept { return order_; }
  void next_use() noexcept { ++order_; }
  /// The number of the next event.
  [[nodiscard]] std::int64_t next_event() noexcept { return ++num_events_; }
  [[nodiscard]] std::int64_t last_event() const noexcept { return num_events_; }

  /// Room for so many nodes more, in the policy, too. Throws std::bad_alloc, and then has changed nothing that shows.
  void reserve_nodes(std::int64_t count) {
    nodes_.tree.reserve_nodes(count);
    policy.reserve(static_cast<std::size_t>(nodes_.tree.size() + count));
  }

  /// Room for the keys of a sequence of so many units, where tell_inserted needs them. May throw std::bad_alloc.
  void reserve_served([[maybe_unused]] std::int32_t num_units) {
    if constexpr (tells_served_keys) served_keys_.reserve(static_cast<std::size_t>(num_units));
  }

  /// The node that ends after the first `position` symbols of the path to a node, which is split there if need be;
  /// nobody can see that. The lower part keeps its index. May throw std::bad_alloc; nothing has changed then.
  [[nodiscard]] std::int32_t split(std::int32_t index, std::int32_t position) {
    Node& tail = at(index);
    if (nodes_.tree.ends_at(tail, position)) return index;
    if (position == tail.begin) return tail.parent;
    reserve_nodes(1);
    Node& head = nodes_.upper_part(tail, position);
    change(tail, [&](Node& node) { nodes_.split(head, node); });
    return head.index;
  }

  /// Memory to join the nodes above `index` that need not be apart once they have been used by `next_hits` requests
  /// more, and the lease on node `from` has moved to `index`. May throw std::bad_alloc.
  void reserve_joins(std::int32_t index, std::int32_t next_hits, std::int32_t from) {
    std::int32_t more = index == from ? 0 : 1;  // leases that the node gets; what `from` is or lies below has it
    for (std::size_t size = 0; index != no_node && !is_root(at(index)); index = at(index).parent) {
      std::int32_t const parent = at(index).parent, more_above = parent == from ? 0 : more;
      size += at(index).symbols.size();
      if (nodes_.will_be_like_parent(at(index), next_hits, more - more_above))
        nodes_.reserve_join(at(parent), at(index), size);
      else
        size = 0;
      more = more_above;
    }
  }
  /// Joins the nodes above `index` that need not be apart, where there is memory for it.
  void join_above(std::int32_t index) noexcept {
    for (; !is_root(at(index)); index = at(index).parent)
      while (nodes_.can_join_parent(at(index)) && nodes_.has_memory_to_join(at(index)))
        change(at(index), [&](Node& node) { nodes_.join_parent(node); });
  }

  void update_candidate(std::int32_t index) noexcept {
    Node& node = at(index);
    bool const can_go = !is_root(node) && node.first_child == no_node && !node.held();
    if (can_go != node.queued) set_candidate(node, can_go);
  }

  /// Counts a lease or a pin more, or less, for a node and all above.
  void hold(std::int32_t index, std::int32_t Node::*count, std::int32_t more) noexcept {
    for (; index != no_node && !is_root(at(index)); index = at(index).parent) {
      Node& node = at(index);
      bool const was_held = node.held(), was_pinned = node.pins > 0;
      node.*count += more;
      if (was_held == node.held() && was_pinned == (node.pins > 0)) continue;
      blocks_.protect(node);
      update_candidate(index);
    }
  }

  /// How often everything was dropped. What was leased or pinned before is forgotten.
  [[nodiscard]] std::int64_t epoch() const noexcept { return epoch_; }
  /// The node that a lease is on, or none.
  [[nodiscard]] std::int32_t node_of(PrefixLease const& lease) const noexcept {
    return lease.epoch == epoch_ ? lease.node : no_node;
  }
  /// Moves a lease to a node, or to none.
  void move(PrefixLease& lease, std::int32_t node) noexcept {
    if (node != no_node && is_root(at(node))) node = no_node;
    std::int32_t const from = node_of(lease);
    lease.node = node;
    if (node == from) return;
    hold(node, &Node::leases, 1);  // before the old one goes, so that nothing in between can be evicted
    hold(from, &Node::leases, -1);
  }

  /// The node that ends after the first `num_tokens` tokens, whole units, of the path to a node; as split.
  [[nodiscard]] std::int32_t node_ending_at(std::int32_t index, std::int32_t num_tokens) {
    std::int32_t const node = nodes_.tree.above(index, num_tokens);
    return is_root(at(node)) ? node : split(node, num_tokens);
  }
  /// Of the way to a node, which is held, units have been demoted.
  void measure_above(std::int32_t index) noexcept {
    for (; !is_root(at(index)); index = at(index).parent) nodes_.measure(at(index));
  }
  /// The way to a node is used now: by a request that found its first `units` units, or one that goes on or ends.
  void touch(std::int32_t index) noexcept {
    for (; index != no_node && !is_root(at(index)); index = at(index).parent)
      change(at(index), [&](Node& node) {
        node.last_use = now_;
        node.order = order_;
      });
  }
  void count_hit(std::int32_t index, std::int32_t units) noexcept {
    for (; index != no_node && !is_root(at(index)); index = at(index).parent)
      change(at(index), [&](Node& node) {
        if constexpr (hears<Eviction>(PrefixEvents::hit)) policy.hit(node, node.units, now_);
        if (node.hits < std::numeric_limits<std::int32_t>::max()) ++node.hits;
        node.last_use = now_;
        node.order = order_;
        node.hit_depth = units;
      });
  }

  /// How long the whole units among tokens [begin, end) of a found prefix are worth keeping, from here on: of a system
  /// prompt and what follows it, say. Throws Error for a priority that is not from 0 to 100, or where the prefix was
  /// not found so far. Cost: O(nodes on the way).
  void retain(PrefixMatch const& match, std::int32_t begin, std::int32_t end, Retention const& retention) {
    check_retention(retention);
    if (begin < 0 || end < begin || end > match.num_symbols)
      throw Error("folio: cannot retain tokens " + std::to_string(begin) + " to " + std::to_string(end) +
                  " of a prefix of which " + std::to_string(match.num_symbols) + " are cached");
    if (match.node == no_node) return;
    begin = (begin + nodes_.unit() - 1) / nodes_.unit() * nodes_.unit();
    std::int32_t const last = node_ending_at(match.node, end / nodes_.unit() * nodes_.unit());
    if (!is_root(at(last)) && at(last).end() > begin) static_cast<void>(node_ending_at(last, begin));
    for (std::int32_t i = last; !is_root(at(i)) && at(i).begin >= begin; i = at(i).parent)
      change(at(i), [&](Node& node) {
        node.priority = retention.priority;
        node.expires = retention.expires;
      });
  }

  /// Tells of a sequence of so many units, the last of which `node` has; the policy of what is new to it.
  void tell_inserted(PrefixInserted& event, [[maybe_unused]] std::int32_t node,
                     [[maybe_unused]] std::int32_t units) noexcept {
    if constexpr (hears<Eviction>(PrefixEvents::inserted))
      if (units > event.told) {
        if constexpr (tells_served_keys) event.keys = nodes_.copy_keys(node, units, served_keys_);  // there is memory
        policy.inserted(event);
      }
    if constexpr (hears<Sink>(PrefixEvents::inserted)) sink.inserted(event);
  }

  /// Tells of a new leaf's units, whose keys are noted where anybody wants them.
  void tell_stored(Node& leaf, [[maybe_unused]] std::span<std::int32_t const> symbols) noexcept {
    PrefixKey before;
    if constexpr (keeps_keys) {
      before = nodes_.set_keys(leaf, symbols);
      for (PrefixKey const& key : leaf.keys) counters_.local_units += key.is_local() ? 1 : 0;
    }
    std::span<PrefixKey const> const keys = as_span(leaf.keys), none;
    if constexpr (hears<Eviction>(PrefixEvents::stored)) policy.stored(leaf, policy_wants_keys ? keys : none);
    if constexpr (sink_wants_keys) {
      auto const first = static_cast<std::size_t>(leaf.begin / nodes_.unit() * nodes_.unit());
      [[maybe_unused]] PrefixStored const event{next_event(),           before,        keys,
                                                symbols.subspan(first), nodes_.unit(), leaf.tenant};
      if constexpr (hears<Sink>(PrefixEvents::stored)) sink.stored(event);
    }
  }

  /// Evicts the unit that the policy gives; false when none can go.
  bool evict_unit() noexcept {
    EvictionEntry* const entry = policy.victim(now_);
    if (entry != nullptr) drop_last_unit(static_cast<Node&>(*entry));
    return entry != nullptr;
  }

  /// Evicts everything that nobody holds and no pin keeps.
  void evict_all() noexcept {
    while (evict_unit()) {
    }
  }

  /// A policy with quotas names what is kept beyond them and can go.
  void enforce_quotas() noexcept {
    if constexpr (hears<Eviction>(PrefixEvents::over_quota))
      while (EvictionEntry* const entry = policy.over_quota(now_)) drop_last_unit(static_cast<Node&>(*entry));
  }

  /// Evicts all that a leaf has, and the leaf. What goes because it is `worthless`, nobody is asked to keep.
  void drop_node(Node& leaf, bool worthless = false) noexcept {
    while (!drop_last_unit(leaf, worthless)) {
    }
  }

  /// Evicts every node, whatever held it.
  void drop_all() noexcept {
    ++epoch_;
    for (std::size_t i = 0; i < nodes_.tree.end_index(); ++i) {
      Node& node = at(static_cast<std::int32_t>(i));
      node.pins = node.leases = 0;
      blocks_.protect(node);
    }
    while (nodes_.tree.size() > 0)
      for (std::size_t i = 0; i < nodes_.tree.end_index(); ++i)
        for (auto index = static_cast<std::int32_t>(i); !is_root(at(index)) && at(index).first_child == no_node;) {
          std::int32_t const parent = at(index).parent;
          update_candidate(index);
          drop_node(at(index), true);
          index = parent;
        }
  }

 private:
  void set_candidate(Node& node, bool candidate) noexcept {
    if (candidate)
      policy.add(node);
    else
      policy.remove(node);
    node.queued = candidate;
  }

  /// Changes what a candidate's place in the queue follows from.
  template <class F>
  void change(Node& node, F f) noexcept {
    bool const queued = node.queued;
    if (queued) set_candidate(node, false);
    f(node);
    if (queued) set_candidate(node, true);
  }

  /// Tells who hears it of the unit of a leaf that begins with token `begin`, and is the last.
  void tell_evicting([[maybe_unused]] Node const& leaf, [[maybe_unused]] std::int32_t begin) noexcept {
    if constexpr (hears<Sink>(PrefixEvents::evicting)) {
      contents_.read(leaf.index, begin);
      PrefixKey const parent = nodes_.key_at(leaf.index, begin / nodes_.unit() - 1);
      PrefixEvicting const event{leaf.keys.back(), parent,    contents_.symbols(), contents_.blocks(),
                                 leaf.tenant,      leaf.hits, leaf.priority,       leaf.expires};
      sink.evicting(event);
    }
  }

  /// Evicts the last unit of a leaf; true when the leaf is gone.
  bool drop_last_unit(Node& leaf, bool worthless = false) noexcept {
    std::int32_t const end = (leaf.end() - 1) / nodes_.unit() * nodes_.unit();
    if (!worthless) tell_evicting(leaf, end);
    PrefixKey key;
    if constexpr (keeps_keys) {
      key = leaf.keys.back();
      leaf.keys.pop_back();
    }
    if constexpr (hears<Eviction>(PrefixEvents::removed)) policy.removed(leaf, policy_wants_keys ? key : PrefixKey());
    if constexpr (sink_wants_keys) {
      [[maybe_unused]] PrefixRemoved const event{next_event(), key, leaf.tenant};
      if constexpr (hears<Sink>(PrefixEvents::removed)) sink.removed(event);
    }
    ++counters_.evicted_units;
    counters_.evicted_age += now_ - leaf.last_use;
    bool const goes = end <= leaf.begin;
    if (!goes) {
      leaf.symbols.resize(static_cast<std::size_t>(end - leaf.begin));
      nodes_.measure(leaf);
      if (leaf.queued) policy.shrunk(leaf);
    }
    trim(leaf, end, false);
    if (goes) drop_leaf(leaf);
    return goes;
  }

  /// Lets go of a leaf's blocks after the first `end` tokens of its prefix. Where a group with a window lost some, or
  /// the node `has_become` a leaf, blocks that only led there go as well.
  void trim(Node& leaf, std::int32_t end, bool has_become) noexcept {
    for (int l = 0; l < nodes_.num_lists(); ++l)
      if ((blocks_.drop_blocks(leaf, l, end / nodes_.block_size(l)) || has_become) && blocks_.shape(l).window != 0 &&
          end > leaf.begin && leaf.pins == 0)
        blocks_.drop_unreachable(leaf, l);
  }

  /// Takes an empty leaf off the tree, and what hangs on it alone: a parent that has become a leaf ends with a whole
  /// unit again, or goes as well.
  void drop_leaf(Node& leaf) noexcept {
    std::int32_t index = leaf.index;
    while (true) {
      Node& node = at(index);
      if (node.queued) set_candidate(node, false);
      std::int32_t const parent = node.parent;
      nodes_.tree.unlink(node);
      nodes_.tree.free_node(node);
      Node& above = at(parent);
      if (is_root(above)) return nodes_.tree.drop_if_empty(parent);
      if (above.first_child != no_node) return drop_parts(parent);
      std::int32_t const end = above.end() / nodes_.unit() * nodes_.unit();
      if (end > above.begin) {
        above.symbols.resize(static_cast<std::size_t>(end - above.begin));
        nodes_.measure(above);
        trim(above, end, true);
        return update_candidate(parent);
      }
      trim(above, above.begin, true);
      index = parent;
    }
  }

  /// What went below a node may have been the last that needed the parts of a unit on the way there as they are.
  void drop_parts(std::int32_t index) noexcept {
    std::int32_t const whole = nodes_.whole_units(at(index).end());
    for (; !is_root(at(index)) && at(index).end() > whole; index = at(index).parent)
      counters_.evicted_blocks += blocks_.drop_part(at(index));
  }

  [[nodiscard]] Node& at(std::int32_t node) { return nodes_.at(node); }
  [[nodiscard]] static bool is_root(Node const& node) { return PrefixNodes<>::is_root(node); }

  PrefixNodes<>& nodes_;
  PrefixBlocks<>& blocks_;
  PrefixCounters& counters_;
  double now_ = 0;
  std::int64_t order_ = 0, num_events_ = 0, epoch_ = 0;
  std::vector<PrefixKey> served_keys_;

  struct NoContents {
    explicit NoContents(PrefixNodes<> const&) {}
  };
  [[no_unique_address]] std::conditional_t<hears<Sink>(PrefixEvents::evicting), UnitContents<PrefixNodes<>>, NoContents>
      contents_;
};

}  // namespace folio
