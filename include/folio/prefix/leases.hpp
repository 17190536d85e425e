// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which nodes of a prefix tree are held, which can be evicted, and what an eviction policy knows of them. Host only.

#include <algorithm>
#include <cstdint>
#include <folio/error.hpp>
#include <folio/prefix/detail/shared_blocks.hpp>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace folio {

/// Who unpins: known to a tree and its pins, which may outlive it.
struct PinOwner {
  void* tree;
  void (*unpin)(void* tree, std::int32_t node, std::int64_t epoch) noexcept;
};

/// A pin: while it lives, the prefix that was pinned is not evicted. Movable, owning; may outlive the tree. Used by the
/// tree's owner thread.
class PrefixPin {
 public:
  PrefixPin() = default;
  PrefixPin(std::shared_ptr<PinOwner const> owner, std::int32_t node, std::int64_t epoch) noexcept
      : owner_(std::move(owner)), node_(node), epoch_(epoch) {}
  PrefixPin(PrefixPin&& other) noexcept : owner_(std::move(other.owner_)), node_(other.node_), epoch_(other.epoch_) {}
  PrefixPin& operator=(PrefixPin&& other) noexcept {
    if (this == &other) return *this;
    PrefixPin const before(std::move(*this));  // unpinned last, so that what both keep is kept all the time
    owner_ = std::move(other.owner_);
    node_ = other.node_;
    epoch_ = other.epoch_;
    return *this;
  }
  ~PrefixPin() { release(); }

  /// Whether it was not released or moved from. A tree that was cleared keeps nothing for it any more.
  [[nodiscard]] explicit operator bool() const noexcept { return owner_ != nullptr; }
  /// The tree's epoch in which it was made.
  [[nodiscard]] std::int64_t epoch() const noexcept { return epoch_; }
  /// Unpins. Nothing happens when that was done before.
  void release() noexcept {
    if (owner_ == nullptr) return;
    if (owner_->tree != nullptr) owner_->unpin(owner_->tree, node_, epoch_);
    owner_.reset();
  }

 private:
  std::shared_ptr<PinOwner const> owner_;
  std::int32_t node_ = -1;
  std::int64_t epoch_ = 0;
};

/// Leases of sequences, pins, and uses. A leaf that nobody holds is a candidate: it is in the eviction policy's queue,
/// and leaves it for as long as what the policy knows of it changes. Leases and pins are on nodes that end with a whole
/// unit, and count for every node above.
template <EvictionPolicy Eviction, class Hash>
class PrefixLeases : protected PrefixBlocks<Hash> {
 protected:
  using Nodes = PrefixNodes<Hash>;
  using Blocks = PrefixBlocks<Hash>;
  using Nodes::at, Nodes::is_root, Nodes::no_node;
  using Node = PrefixNode;

 public:
  using Nodes::unit;

  /// How often the tree was cleared. What was inserted, leased or pinned before is forgotten.
  [[nodiscard]] std::int64_t epoch() const noexcept { return this->store_.epoch(); }

  /// Keeps the whole units among the first `num_tokens` tokens of a found prefix from being evicted, as long as what is
  /// returned lives. Throws Error when fewer tokens were found, or there is no whole unit.
  [[nodiscard]] PrefixPin pin(PrefixMatch const& match, std::int32_t num_tokens) {
    std::int32_t const end = num_tokens / unit() * unit();
    if (end <= 0 || num_tokens > match.num_symbols)
      throw Error("folio: cannot pin " + std::to_string(num_tokens) + " tokens of a prefix of which " +
                  std::to_string(match.num_symbols) + " are cached, in units of " + std::to_string(unit()));
    std::int32_t const node = cut(match.node, end);
    hold(node, &Node::pins, 1);
    return {pin_owner_, node, epoch()};
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
  PrefixLeases(SequenceStore& store, std::vector<std::int64_t> const& block_bytes, Eviction eviction, Hash hash)
      : Blocks(store, block_bytes, std::move(hash)), eviction_(std::move(eviction)) {}

  /// Nodes::reserve_nodes, with what the policy needs for them.
  void reserve_nodes(std::int64_t count) {
    Nodes::reserve_nodes(count);
    eviction_.reserve(static_cast<std::size_t>(Nodes::size() + count));
  }

  void set_candidate(Node& node, bool candidate) noexcept {
    if (candidate)
      eviction_.add(node);
    else
      eviction_.remove(node);
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

  /// The node that ends after the first `position` symbols of the path to a node, which is cut there if need be; nobody
  /// can see that. The lower part keeps its index. May throw std::bad_alloc; nothing has changed then.
  [[nodiscard]] std::int32_t split(std::int32_t index, std::int32_t position) {
    Node& tail = at(index);
    if (this->ends_at(tail, position)) return index;
    if (position == tail.begin) return tail.parent;
    reserve_nodes(1);
    Node& head = this->upper_part(tail, position);
    change(tail, [&](Node& node) { Nodes::split(head, node); });
    return head.index;
  }

  /// Memory to join the nodes above `index` that need not be apart once they have been used by `next_hits` requests
  /// more, and the lease on node `from` has moved to `index`. May throw std::bad_alloc.
  void reserve_joins(std::int32_t index, std::int32_t next_hits, std::int32_t from) {
    std::int32_t more = index == from ? 0 : 1;  // leases that the node gets; what `from` is or lies below has it
    for (std::size_t size = 0; index != no_node && !is_root(at(index)); index = at(index).parent) {
      std::int32_t const parent = at(index).parent, more_above = parent == from ? 0 : more;
      size += at(index).symbols.size();
      if (this->will_be_like_parent(at(index), next_hits, more - more_above))
        this->reserve_join(at(parent), at(index), size);
      else
        size = 0;
      more = more_above;
    }
  }
  /// Joins the nodes above `index` that need not be apart, where there is memory for it.
  void join_above(std::int32_t index) noexcept {
    for (; !is_root(at(index)); index = at(index).parent)
      while (this->can_join_parent(at(index)) && this->has_memory_to_join(at(index)))
        change(at(index), [&](Node& node) { this->join_parent(node); });
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
      this->protect_blocks(node);
      update_candidate(index);
    }
  }

  /// Moves the lease of a sequence to a node, or to none.
  void lease(SequenceState& state, std::int32_t node) noexcept {
    if (node != no_node && is_root(at(node))) node = no_node;
    if (node == state.lease) return;
    hold(node, &Node::leases, 1);  // before the old one goes, so that nothing in between can be evicted
    hold(std::exchange(state.lease, node), &Node::leases, -1);
  }

  /// The node that ends after the first `num_tokens` tokens, whole units, of the path to a node; as split.
  [[nodiscard]] std::int32_t cut(std::int32_t index, std::int32_t num_tokens) {
    std::int32_t const node = above(index, num_tokens);
    return is_root(at(node)) ? node : split(node, num_tokens);
  }
  /// The lowest node on the way to `index` that begins before the first `num_tokens` tokens end; or the root.
  [[nodiscard]] std::int32_t above(std::int32_t index, std::int32_t num_tokens) const noexcept {
    while (!is_root(at(index)) && at(index).begin >= num_tokens) index = at(index).parent;
    return index;
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
        if constexpr (requires { eviction_.hit(node, node.units, now_); }) eviction_.hit(node, node.units, now_);
        if (node.hits < std::numeric_limits<std::int32_t>::max()) ++node.hits;
        node.last_use = now_;
        node.order = order_;
        node.hit_depth = units;
      });
  }

  Eviction eviction_;
  double now_ = 0;
  std::int64_t order_ = 0;
  std::shared_ptr<PinOwner> pin_owner_;  // the tree gives it
};

}  // namespace folio
