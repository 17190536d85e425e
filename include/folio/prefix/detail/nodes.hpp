// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The nodes of a prefix tree: how they hang together, split and join. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <folio/block.hpp>
#include <folio/containers/segmented_array.hpp>
#include <folio/eviction/eviction.hpp>
#include <folio/model.hpp>
#include <folio/prefix/detail/child_table.hpp>
#include <folio/prefix/events.hpp>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

namespace folio {

/// How many of n symbols are the same from the beginning.
[[nodiscard]] inline std::int32_t common_prefix(std::int32_t const* a, std::int32_t const* b, std::int32_t n) {
  constexpr std::int32_t step = 256;  // memcmp is vectorized, and 1 KiB at a time is all that a mismatch reads twice
  std::int32_t i = 0;
  while (i + step <= n && std::memcmp(a + i, b + i, sizeof(std::int32_t) * step) == 0) i += step;
  while (i < n && a[i] == b[i]) ++i;
  return i;
}

/// A node: an edge of symbols, the blocks whose last token lies in it, and what an eviction policy knows of it.
struct PrefixNode : EvictionEntry {
  std::int32_t index = 0, parent = -1;
  std::int32_t first_child = -1, next = -1, previous = -1;  // siblings form a list
  std::int32_t begin = 0;                                   // symbols before the edge
  std::int32_t first_symbol = 0;                            // by which the parent finds it
  std::int32_t leases = 0, pins = 0;                        // on this node, and on those below
  bool queued = false;
  std::vector<std::int32_t> symbols;        // the edge
  std::vector<BlockId> blocks[max_groups];  // whose last token is in the edge
  std::vector<std::uint64_t> keys;          // of the units that end in the edge; empty where nobody wants them

  [[nodiscard]] std::int32_t size() const { return static_cast<std::int32_t>(symbols.size()); }
  [[nodiscard]] std::int32_t end() const { return begin + size(); }
  [[nodiscard]] bool held() const { return leases > 0 || pins > 0; }
};

/// Nodes by index. Every path from a root spells a prefix; the children of a node differ in their first symbol. A root
/// has no edge, no parent, and its scope as its first symbol. Leaves end with a whole unit. Looking up allocates
/// nothing; nothing recurses.
template <class Hash>
class PrefixNodes {
 public:
  using Node = PrefixNode;
  static constexpr std::int32_t no_node = ChildTable<Hash>::none;

  PrefixNodes(std::vector<std::int32_t> block_sizes, std::vector<std::int64_t> const& block_bytes, Hash hash)
      : block_sizes_(std::move(block_sizes)), children_(std::move(hash)) {
    for (std::int32_t const size : block_sizes_) unit_ = std::lcm(unit_, size);
    for (std::size_t g = 0; g < block_sizes_.size(); ++g) unit_bytes_ += unit_ / block_sizes_[g] * block_bytes[g];
  }

  [[nodiscard]] std::int32_t unit() const noexcept { return unit_; }
  /// Of the blocks of a unit, in all groups.
  [[nodiscard]] std::int64_t unit_bytes() const noexcept { return unit_bytes_; }
  [[nodiscard]] int num_groups() const noexcept { return static_cast<int>(block_sizes_.size()); }
  [[nodiscard]] std::int32_t block_size(int g) const { return block_sizes_[static_cast<std::size_t>(g)]; }
  [[nodiscard]] std::int64_t size() const noexcept { return static_cast<std::int64_t>(nodes_.size()) - num_unused_; }
  [[nodiscard]] std::size_t end_index() const noexcept { return nodes_.size(); }
  [[nodiscard]] Node& at(std::int32_t node) { return nodes_[static_cast<std::size_t>(node)]; }
  [[nodiscard]] Node const& at(std::int32_t node) const { return nodes_[static_cast<std::size_t>(node)]; }
  [[nodiscard]] static bool is_root(Node const& node) { return node.parent == no_node; }
  /// The child of `parent` that begins with `symbol`; of no node: the root of a scope.
  [[nodiscard]] std::int32_t child(std::int32_t parent, std::int32_t symbol) const noexcept {
    return children_.find(parent, symbol);
  }

  /// Room for so many nodes more, so that new_node and link allocate nothing. Throws std::bad_alloc, and then has
  /// changed nothing that shows.
  void reserve_nodes(std::int64_t num_more) {
    std::size_t const wanted =
        nodes_.size() + static_cast<std::size_t>(std::max<std::int64_t>(num_more - num_unused_, 0));
    nodes_.reserve(wanted);
    children_.reserve(wanted);
  }

  /// Throws std::bad_alloc where there is no room.
  [[nodiscard]] Node& new_node() {
    if (unused_ == no_node) {
      Node& added = nodes_.emplace_back();
      added.index = static_cast<std::int32_t>(nodes_.size() - 1);
      return added;
    }
    Node& node = at(unused_);
    unused_ = std::exchange(node.next, no_node);
    --num_unused_;
    return node;
  }

  void free_node(Node& node) noexcept {
    std::int32_t const index = node.index;
    node = Node();
    node.index = index;
    node.next = std::exchange(unused_, index);
    ++num_unused_;
  }

  /// The root of a scope, which is new where there was none. A node was reserved.
  [[nodiscard]] std::int32_t root_of(std::int32_t scope) noexcept {
    std::int32_t root = children_.find(no_node, scope);
    if (root != no_node) return root;
    Node& node = new_node();
    node.first_symbol = scope;
    children_.insert(no_node, scope, node.index);
    return node.index;
  }

  /// A root that leads nowhere is not kept.
  void drop_if_empty(std::int32_t root) noexcept {
    Node& node = at(root);
    if (node.first_child != no_node) return;
    children_.erase(no_node, node.first_symbol);
    free_node(node);
  }

  void link(Node& parent, Node& child) noexcept {
    child.parent = parent.index;
    child.previous = no_node;
    child.next = parent.first_child;
    if (child.next != no_node) at(child.next).previous = child.index;
    parent.first_child = child.index;
    children_.insert(parent.index, child.first_symbol, child.index);
  }

  void unlink(Node& child) noexcept {
    children_.erase(child.parent, child.first_symbol);
    if (child.next != no_node) at(child.next).previous = child.previous;
    if (child.previous != no_node)
      at(child.previous).next = child.next;
    else
      at(child.parent).first_child = child.next;
  }

  /// Also of one that is not linked yet: whether it would be the only one.
  [[nodiscard]] bool only_child(Node const& node) const {
    std::int32_t const first = at(node.parent).first_child;
    return (first == node.index || first == no_node) && node.next == no_node;
  }

  /// Whether a node ends after the first `position` symbols of the path to `node`, so that nothing is to be split.
  [[nodiscard]] bool ends_at(Node const& node, std::int32_t position) const {
    return is_root(node) || position == node.end();
  }

  /// The upper part of a node that is to be split after the first `position` symbols of its path, inside its edge. Not
  /// linked yet; a node was reserved. May throw std::bad_alloc; nothing has changed then.
  [[nodiscard]] Node& upper_part(Node const& tail, std::int32_t position) {
    Node& head = new_node();
    try {
      head.symbols.assign(tail.symbols.begin(), tail.symbols.begin() + (position - tail.begin));
      for (int g = 0; g < num_groups(); ++g)
        head.blocks[g].assign(tail.blocks[g].begin(),
                              tail.blocks[g].begin() + (position / block_size(g) - tail.begin / block_size(g)));
      if (!tail.keys.empty())
        head.keys.assign(tail.keys.begin(), tail.keys.begin() + (position / unit_ - tail.begin / unit_));
    } catch (...) {
      free_node(head);
      throw;
    }
    return head;
  }

  /// Splits a node whose upper part was made. The lower part keeps its index, and what is known of its uses.
  void split(Node& head, Node& tail) noexcept {
    Node& parent = at(tail.parent);
    unlink(tail);
    static_cast<EvictionEntry&>(head) = tail;
    head.begin = tail.begin;
    head.first_symbol = tail.first_symbol;
    head.leases = tail.leases;
    head.pins = tail.pins;
    drop_first(tail.symbols, head.symbols.size());
    for (int g = 0; g < num_groups(); ++g) drop_first(tail.blocks[g], head.blocks[g].size());
    drop_first(tail.keys, head.keys.size());
    tail.begin = head.end();
    tail.first_symbol = tail.symbols.front();
    measure(head);
    measure(tail);
    link(parent, head);
    link(head, tail);
  }

  /// Whether nothing tells a node from its parent any more: one path, the same uses, and nobody ends between.
  [[nodiscard]] bool can_join_parent(Node const& node) const {
    return is_root(node) ? false : at(node.parent).order == node.order && will_be_like_parent(node, 0, 0);
  }
  /// Whether nothing will, once both have been used by `next_hits` requests, and the node has got so many leases more
  /// than its parent.
  [[nodiscard]] bool will_be_like_parent(Node const& node, std::int32_t next_hits, std::int32_t next_leases) const {
    Node const& parent = at(node.parent);
    auto const hits = [&](Node const& one) {
      constexpr std::int32_t many = 4;  // hits beyond this are alike
      return std::min(std::min(one.hits, many) + next_hits, many);
    };
    return !is_root(parent) && only_child(node) && parent.pins == node.pins &&
           parent.leases == node.leases + next_leases && hits(parent) == hits(node) &&
           parent.priority == node.priority && parent.expires == node.expires && parent.tenant == node.tenant;
  }

  /// Memory to join a node, which then has so much in it, with its parent: amortized, for a parent that is joined again
  /// and again. May throw std::bad_alloc; nothing has changed then.
  void reserve_join(Node& parent, Node const& node, std::size_t num_symbols) {
    auto const reserve = [](auto& all, std::size_t size) {
      if (all.capacity() < size) all.reserve(std::max(size, all.capacity() + all.capacity() / 2));
    };
    std::size_t const all = parent.symbols.size() + num_symbols;
    reserve(parent.symbols, all);
    for (int g = 0; g < num_groups(); ++g) reserve(parent.blocks[g], all / static_cast<std::size_t>(block_size(g)) + 1);
    if (!node.keys.empty() || !parent.keys.empty()) reserve(parent.keys, all / static_cast<std::size_t>(unit_) + 1);
  }
  /// Whether there is memory for it.
  [[nodiscard]] bool has_memory_to_join(Node const& node) const {
    auto const fits = [](auto const& first, auto const& second) {
      return first.capacity() >= first.size() + second.size();
    };
    Node const& parent = at(node.parent);
    bool all = fits(parent.symbols, node.symbols) && fits(parent.keys, node.keys);
    for (int g = 0; g < num_groups(); ++g) all = all && fits(parent.blocks[g], node.blocks[g]);
    return all;
  }

  /// Joins a node with its parent, which has memory for it. The node keeps its index.
  void join_parent(Node& node) noexcept {
    Node& parent = at(node.parent);
    unlink(node);
    Node& above = at(parent.parent);
    unlink(parent);
    append_to(parent.symbols, node.symbols);
    for (int g = 0; g < num_groups(); ++g) append_to(parent.blocks[g], node.blocks[g]);
    append_to(parent.keys, node.keys);
    node.begin = parent.begin;
    node.first_symbol = parent.first_symbol;
    measure(node);
    free_node(parent);
    link(above, node);
  }

  template <class T>
  static void drop_first(std::vector<T>& all, std::size_t count) noexcept {
    all.erase(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count));
  }
  /// first := first + second, into second. There is memory for it.
  template <class T>
  static void append_to(std::vector<T>& first, std::vector<T>& second) noexcept {
    first.insert(first.end(), second.begin(), second.end());
    second.swap(first);
  }

  void measure(Node& node) const {
    node.units = node.end() / unit_ - node.begin / unit_;
    node.depth = node.end() / unit_ - 1;
    node.unit_tokens = unit_;
    node.unit_bytes = unit_bytes_;
  }

  /// The node on the way to, or below, `node` that has the block of token num_tokens - 1 in every group.
  [[nodiscard]] std::int32_t holder_of(std::int32_t index, std::int32_t num_tokens) const {
    std::int32_t const end = (num_tokens + unit_ - 1) / unit_ * unit_;
    while (at(index).begin >= end) index = at(index).parent;
    while (at(index).end() < end) index = at(index).first_child;  // leaves end with whole units, so one has it
    return index;
  }

  /// Block i of a group on the way to node `index`, which has it or lies below. `index` becomes the node that has it:
  /// who asks for earlier and earlier blocks goes the way once.
  [[nodiscard]] BlockId block_at(std::int32_t& index, int g, std::int32_t i) const {
    while (at(index).begin / block_size(g) > i) index = at(index).parent;
    Node const& node = at(index);
    return node.blocks[g][static_cast<std::size_t>(i - node.begin / block_size(g))];
  }

  /// The key of unit i on the way to `node`; of the unit before the first one, the scope's.
  [[nodiscard]] std::uint64_t key_at(std::int32_t index, std::int32_t i) const {
    while (!is_root(at(index)) && at(index).begin / unit_ > i) index = at(index).parent;
    Node const& node = at(index);
    if (is_root(node)) return scope_key(node.first_symbol);
    return node.keys[static_cast<std::size_t>(i - node.begin / unit_)];
  }

  /// Calls f(node) for every node but the roots, each after its parent.
  template <class F>
  void for_each_node(F f) const {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      Node const& root = nodes_[i];
      if (!is_root(root)) continue;  // or it is unused, and has no child either
      for (Node const* node = &root; (node = next_below(*node, root)) != nullptr;) f(*node);
    }
  }

  /// Tells `sink` that there is nothing, and then everything that there is, in events that end with `number`.
  template <EventSink S>
  void tell(S& sink, std::int64_t number) const {
    for_each_node([&](Node const& node) { number -= node.units > 0 ? 1 : 0; });
    sink.cleared({number});
    std::vector<std::int32_t> symbols;  // of the path to a node
    std::vector<std::uint64_t> keys;    // likewise, that of the scope first
    for_each_node([&](Node const& node) {
      auto const first = static_cast<std::size_t>(node.begin / unit_), unit = static_cast<std::size_t>(unit_);
      symbols.resize(static_cast<std::size_t>(node.begin));
      symbols.insert(symbols.end(), node.symbols.begin(), node.symbols.end());
      keys.resize(first + 1);
      if (node.begin == 0) keys[0] = scope_key(at(node.parent).first_symbol);
      if (node.units == 0) return;
      std::span<std::int32_t const> const all = symbols;
      for (std::size_t i = first; i < first + static_cast<std::size_t>(node.units); ++i)
        keys.push_back(unit_key(keys[i], all.subspan(i * unit, unit)));
      sink.stored({++number, keys[first], std::span<std::uint64_t const>(keys).subspan(first + 1),
                   all.subspan(first * unit, static_cast<std::size_t>(node.units) * unit), unit_, node.tenant});
    });
  }

 private:
  /// The node that follows where each comes before its children, or null after the last one below `top`.
  [[nodiscard]] Node const* next_below(Node const& node, Node const& top) const {
    if (node.first_child != no_node) return &at(node.first_child);
    Node const* last = &node;
    while (last != &top && last->next == no_node) last = &at(last->parent);
    return last == &top ? nullptr : &at(last->next);
  }

  std::vector<std::int32_t> block_sizes_;  // by group
  std::int32_t unit_ = 1;                  // the least common multiple
  std::int64_t unit_bytes_ = 0;
  SegmentedArray<Node> nodes_;     // by index
  std::int32_t unused_ = no_node;  // the first of a list
  std::int64_t num_unused_ = 0;
  ChildTable<Hash> children_;
};

}  // namespace folio
