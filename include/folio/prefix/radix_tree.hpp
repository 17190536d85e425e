// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A radix tree over arrays of symbols, path-compressed. Host only, knows symbols only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <folio/containers/segmented_array.hpp>
#include <folio/prefix/detail/child_table.hpp>
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

/// A node: an edge of symbols, its place among others, and what the tree's user keeps with it.
template <class Payload>
struct RadixNode : Payload {
  std::int32_t index = 0, parent = -1;
  std::int32_t first_child = -1, next = -1, previous = -1;  // siblings form a list
  std::int32_t begin = 0;                                   // symbols before the edge
  std::int32_t first_symbol = 0;                            // by which the parent finds it
  std::vector<std::int32_t> symbols;                        // the edge

  [[nodiscard]] std::int32_t size() const { return static_cast<std::int32_t>(symbols.size()); }
  [[nodiscard]] std::int32_t end() const { return begin + size(); }
};

/// Nodes by index. Every path from a root spells an array of symbols; the children of a node differ in their first
/// symbol. A root has no edge, no parent, and its scope as its first symbol; it is there as long as it has a child.
/// Symbols are compared exactly: a hash finds a child, and never decides. Edges split at any symbol.
///
/// Host only, not thread-safe. Looking up allocates nothing; nothing recurses; nodes stay where they are in memory.
/// What may fail is a step of its own (reserve_nodes, upper_part, reserve_join), after which the change cannot.
template <class Payload, class Hash = ChildHash>
class RadixTree {
 public:
  using Node = RadixNode<Payload>;
  static constexpr std::int32_t no_node = ChildTable<Hash>::none;

  explicit RadixTree(Hash hash = Hash()) : children_(std::move(hash)) {}

  /// Nodes, roots included.
  [[nodiscard]] std::int64_t size() const noexcept { return static_cast<std::int64_t>(nodes_.size()) - num_unused_; }
  /// One more than the highest index; not all below are used.
  [[nodiscard]] std::size_t end_index() const noexcept { return nodes_.size(); }
  [[nodiscard]] Node& at(std::int32_t node) { return nodes_[static_cast<std::size_t>(node)]; }
  [[nodiscard]] Node const& at(std::int32_t node) const { return nodes_[static_cast<std::size_t>(node)]; }
  /// Also of a node that is not used.
  [[nodiscard]] static bool is_root(Node const& node) { return node.parent == no_node; }
  /// The child of `parent` that begins with `symbol`; of no node: the root of a scope.
  [[nodiscard]] std::int32_t child(std::int32_t parent, std::int32_t symbol) const noexcept {
    return children_.find(parent, symbol);
  }

  /// How far `symbols` are in the tree, from a node of which they are known to share the first `num_symbols`: in its
  /// edge or to its end. `node` becomes the one in whose edge that ends. Compares each symbol once.
  [[nodiscard]] std::int32_t follow(std::int32_t& node, std::int32_t num_symbols,
                                    std::span<std::int32_t const> symbols) const {
    auto const size = static_cast<std::int32_t>(symbols.size());
    for (std::int32_t next = node; next != no_node;) {
      Node const& one = at(node = next);
      std::int32_t const end = std::min(one.end(), size);
      num_symbols += common_prefix(one.symbols.data() + (num_symbols - one.begin), symbols.data() + num_symbols,
                                   end - num_symbols);
      if (num_symbols < one.end() || num_symbols == size) break;
      next = child(next, symbols[static_cast<std::size_t>(num_symbols)]);
    }
    return num_symbols;
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
  /// Of a node that is not linked.
  void free_node(Node& node) noexcept {
    std::int32_t const index = node.index;
    node = Node();
    node.index = index;
    node.next = std::exchange(unused_, index);
    ++num_unused_;
  }

  /// The root of a scope, which is new where there was none. A node was reserved.
  [[nodiscard]] std::int32_t root_of(std::int32_t scope) noexcept {
    std::int32_t const root = children_.find(no_node, scope);
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
  [[nodiscard]] static bool ends_at(Node const& node, std::int32_t position) {
    return is_root(node) || position == node.end();
  }
  /// The lowest node on the way to `index` that begins before the first `num_symbols` symbols end; or the root.
  [[nodiscard]] std::int32_t above(std::int32_t index, std::int32_t num_symbols) const noexcept {
    while (!is_root(at(index)) && at(index).begin >= num_symbols) index = at(index).parent;
    return index;
  }

  /// A new node with the first symbols of an edge that is to be split after the first `position` symbols of its path,
  /// inside the edge. Not linked yet. May throw std::bad_alloc; nothing has changed then.
  [[nodiscard]] Node& upper_part(Node const& tail, std::int32_t position) {
    Node& head = new_node();
    try {
      head.symbols.assign(tail.symbols.begin(), tail.symbols.begin() + (position - tail.begin));
    } catch (...) {
      free_node(head);
      throw;
    }
    head.begin = tail.begin;
    head.first_symbol = tail.first_symbol;
    return head;
  }
  /// Splits an edge whose upper part was made. The lower part keeps its index.
  void split(Node& head, Node& tail) noexcept {
    Node& parent = at(tail.parent);
    unlink(tail);
    tail.symbols.erase(tail.symbols.begin(), tail.symbols.begin() + head.size());
    tail.begin = head.end();
    tail.first_symbol = tail.symbols.front();
    link(parent, head);
    link(head, tail);
  }

  /// Joins an edge with the one above, which has memory for it. The node keeps its index, the parent goes.
  void join_parent(Node& node) noexcept {
    Node& parent = at(node.parent);
    unlink(node);
    Node& above = at(parent.parent);
    unlink(parent);
    parent.symbols.insert(parent.symbols.end(), node.symbols.begin(), node.symbols.end());
    parent.symbols.swap(node.symbols);
    node.begin = parent.begin;
    node.first_symbol = parent.first_symbol;
    free_node(parent);
    link(above, node);
  }

  /// Calls f(node) for every node but the roots, each after its parent.
  template <class F>
  void for_each_node(F f) const {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      Node const& root = nodes_[i];
      if (!is_root(root)) continue;  // or it is not used, and has no child either
      for (Node const* node = &root; (node = next_below(*node, root)) != nullptr;) f(*node);
    }
  }

 private:
  /// The node that follows where each comes before its children, or null after the last one below `top`.
  [[nodiscard]] Node const* next_below(Node const& node, Node const& top) const {
    if (node.first_child != no_node) return &at(node.first_child);
    Node const* last = &node;
    while (last != &top && last->next == no_node) last = &at(last->parent);
    return last == &top ? nullptr : &at(last->next);
  }

  SegmentedArray<Node> nodes_;     // by index
  std::int32_t unused_ = no_node;  // the first of a list
  std::int64_t num_unused_ = 0;
  ChildTable<Hash> children_;
};

}  // namespace folio
