// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which nodes of a prefix tree are held, which can be evicted, and what an eviction policy knows of them. Host only.

#include <algorithm>
#include <cstdint>
#include <folio/error.hpp>
#include <folio/prefix/shared_blocks.hpp>
#include <string>
#include <utility>
#include <vector>

namespace folio {

/// Leases of sequences, pins, and uses. A leaf that nobody holds is a candidate: it is in the eviction policy's queue,
/// and leaves it for as long as what the policy knows of it changes.
template <EvictionPolicy Eviction, class Hash>
class PrefixHolds : protected PrefixBlocks<Hash> {
 protected:
  using Nodes = PrefixNodes<Hash>;
  using Blocks = PrefixBlocks<Hash>;
  using Nodes::at, Nodes::is_root, Nodes::no_node;
  using Node = PrefixNode;

 public:
  using Nodes::unit;

  /// Keeps the whole units among the first `num_tokens` tokens of a found prefix from being evicted, until the node
  /// that is returned is unpinned as often. Throws Error when fewer tokens were found, or there is no whole unit.
  [[nodiscard]] std::int32_t pin(PrefixMatch const& match, std::int32_t num_tokens) {
    std::int32_t const end = num_tokens / unit() * unit();
    if (end <= 0 || num_tokens > match.num_symbols)
      throw Error("folio: cannot pin " + std::to_string(num_tokens) + " tokens of a prefix of which " +
                  std::to_string(match.num_symbols) + " are cached, in units of " + std::to_string(unit()));
    std::int32_t const pinned = cut(match.node, end);
    for (std::int32_t i = pinned; !is_root(at(i)); i = at(i).parent)
      if (at(i).pins++ == 0) update_candidate(i);
    return pinned;
  }
  void unpin(std::int32_t node) {
    for (std::int32_t i = node; !is_root(at(i)); i = at(i).parent)
      if (--at(i).pins == 0) update_candidate(i);
  }

  /// How long the whole units among tokens [begin, end) of a found prefix are worth keeping, from here on: of a system
  /// prompt and what follows it, say. Throws Error for a priority that is not from 0 to 100, or where the prefix was
  /// not found so far. Cost: O(nodes on the way).
  void retain(PrefixMatch const& match, std::int32_t begin, std::int32_t end, Retention const& retention) {
    if (retention.priority < 0 || retention.priority > 100)
      throw Error("folio: a priority of " + std::to_string(retention.priority) +
                  " is not known; 0 goes first and 100 last");
    if (begin < 0 || end < begin || end > match.num_symbols)
      throw Error("folio: cannot retain tokens " + std::to_string(begin) + " to " + std::to_string(end) +
                  " of a prefix of which " + std::to_string(match.num_symbols) + " are cached");
    if (match.node == no_node) return;
    begin = (begin + unit() - 1) / unit() * unit();
    std::int32_t const last = cut(match.node, end / unit() * unit());
    if (!is_root(at(last)) && at(last).end() > begin) static_cast<void>(cut(last, begin));
    for (std::int32_t i = last; !is_root(at(i)) && at(i).begin >= begin; i = at(i).parent)
      change(at(i), [&](Node& node) {
        node.priority = retention.priority;
        node.expires = retention.expires;
      });
  }

 protected:
  PrefixHolds(SequenceStore& store, std::vector<std::int64_t> const& block_bytes, Eviction eviction)
      : Blocks(store, block_bytes), eviction_(std::move(eviction)) {}

  void set_candidate(Node& node, bool candidate) {
    if (candidate)
      eviction_.add(node);
    else
      eviction_.remove(node);
    node.queued = candidate;
  }

  /// Changes what a candidate's place in the queue follows from.
  template <class F>
  void change(Node& node, F f) {
    bool const queued = node.queued;
    if (queued) set_candidate(node, false);
    f(node);
    if (queued) set_candidate(node, true);
  }

  /// Nodes::split, with the figures of the lower part in the queue as they are then.
  [[nodiscard]] std::int32_t split(std::int32_t index, std::int32_t position) {
    std::int32_t head = index;
    eviction_.reserve(static_cast<std::size_t>(Nodes::size()) + 1);
    change(at(index), [&](Node&) { head = Nodes::split(index, position); });
    return head;
  }

  /// Joins the nodes above `index` that need not be apart.
  void join_above(std::int32_t index) {
    for (; !is_root(at(index)); index = at(index).parent)
      while (this->can_join_parent(at(index))) change(at(index), [&](Node& node) { this->join_parent(node); });
  }

  void update_candidate(std::int32_t index) {
    Node& node = at(index);
    bool const can_go = !is_root(node) && node.first_child == no_node && node.leases == 0 && node.pins == 0;
    if (can_go != node.queued) set_candidate(node, can_go);
  }

  /// Moves the lease of a sequence to a node.
  void lease(SequenceState& state, std::int32_t node) {
    ++at(node).leases;  // before the old one goes, so that nothing in between can be evicted
    update_candidate(node);
    unlease(std::exchange(state.lease, node));
  }
  void unlease(std::int32_t node) noexcept {
    if (node != no_node && --at(node).leases == 0) update_candidate(node);
  }

  /// The node that ends after the first `num_tokens` tokens, whole units, of the path to a node.
  [[nodiscard]] std::int32_t cut(std::int32_t index, std::int32_t num_tokens) {
    while (!is_root(at(index)) && at(index).begin >= num_tokens) index = at(index).parent;
    return is_root(at(index)) ? index : split(index, num_tokens);
  }

  /// Notes a use of the first `num_tokens` tokens of the path to `node`. Returns the last node that was used.
  std::int32_t touch(std::int32_t index, std::int32_t num_tokens) {
    ++order_;
    std::int32_t const units = num_tokens / unit();
    std::int32_t const last = cut(index, units * unit());
    for (index = last; !is_root(at(index)); index = at(index).parent)
      change(at(index), [&](Node& node) { use(node, units); });
    return last;
  }

  void use(Node& node, std::int32_t hit_depth) {
    if constexpr (requires { eviction_.hit(node, node.units, now_); }) eviction_.hit(node, node.units, now_);
    ++node.hits;
    node.last_use = now_;
    node.order = order_;
    node.hit_depth = hit_depth;
  }

  /// Moves the leases on a node without a whole unit to its parent. A lease comes to such a node when what it holds was
  /// split off above it. Rare, and so it looks through the sequences: O(live sequences).
  void lease_above(std::int32_t index) {
    Node& node = at(index);
    for (auto const& state : this->store_.states())
      if (state->lease == index) state->lease = node.parent;
    at(node.parent).leases += std::exchange(node.leases, 0);
  }

  Eviction eviction_;
  double now_ = 0;
  std::int64_t order_ = 0;
};

}  // namespace folio
