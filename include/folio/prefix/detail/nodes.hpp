// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The nodes of a prefix index: a radix tree whose edges have blocks, in units of whole blocks of every group. Host
// only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/containers/as_span.hpp>
#include <folio/detail/demotion_rules.hpp>
#include <folio/error.hpp>
#include <folio/eviction/eviction.hpp>
#include <folio/model.hpp>
#include <folio/prefix/events.hpp>
#include <folio/prefix/radix_tree.hpp>
#include <limits>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

namespace folio {

/// What a node of a prefix index has besides its edge: blocks whose last token lies in it, and what an eviction policy
/// knows of it.
struct PrefixPayload : EvictionEntry {
  std::int32_t leases = 0, pins = 0;  // on this node, and on those below
  bool queued = false;
  /// By list. Where a group demotes, a unit has its blocks in the list that the node with its last token says: in the
  /// second one where that has the unit's last block. What else there is of it belongs to other nodes below.
  std::vector<BlockId> blocks[max_lists];
  std::vector<PrefixKey> keys;  // of the units that end in the edge; a root's, of its scope; empty if nobody wants them

  [[nodiscard]] bool held() const { return leases > 0 || pins > 0; }
};
using PrefixNode = RadixNode<PrefixPayload>;

/// Nodes that split and join with their blocks. A unit is the smallest number of tokens that fills whole blocks in
/// every list; leaves end with a whole unit. A template, as PrefixBlocks, for the compiler: caches that keep no
/// prefixes do not pay for them.
template <class Payload = PrefixPayload>
class PrefixNodes {
 public:
  using Tree = RadixTree<Payload>;
  using Node = RadixNode<Payload>;
  static constexpr std::int32_t no_node = Tree::no_node;

  /// Sizes by list.
  PrefixNodes(std::vector<std::int32_t> block_sizes, std::vector<std::int64_t> const& block_bytes,
              KeySecret const& secret, DemotionRules const& rules)
      : tree(ChildHash::of(secret)), block_sizes_(std::move(block_sizes)), num_groups_(rules.num_groups) {
    for (std::int32_t const size : block_sizes_) unit_ = std::lcm(unit_, size);
    keys = PrefixKeys(secret, unit_);
    for (int l = 0; l < num_lists(); ++l) {
      std::int64_t const bytes = unit_ / block_size(l) * block_bytes[static_cast<std::size_t>(l)];
      bool const is_second = l >= num_groups_;
      if (!is_second) unit_bytes_ += bytes;
      if (is_second || !rules.demotes(l)) demoted_unit_bytes_ += bytes;
    }
  }

  /// How the nodes hang together. What changes edges goes by the functions below, so that blocks go with them.
  Tree tree;
  /// What keys of units are made with.
  PrefixKeys keys{{}, 1};

  /// Throws Error when there are nodes, which have keys without these names.
  void set_names(PrefixNames const& names) {
    if (tree.size() != 0)
      throw Error("folio: names are set before the first insertion: clear the index, or set them earlier");
    keys = PrefixKeys(keys.secret(), unit_, &names);
  }

  [[nodiscard]] Node& at(std::int32_t node) { return tree.at(node); }
  [[nodiscard]] Node const& at(std::int32_t node) const { return tree.at(node); }
  [[nodiscard]] static bool is_root(Node const& node) { return Tree::is_root(node); }
  [[nodiscard]] std::int32_t unit() const noexcept { return unit_; }
  [[nodiscard]] std::int32_t whole_units(std::int32_t num_tokens) const noexcept { return num_tokens / unit_ * unit_; }
  /// Of the blocks of a unit, in all groups, of which nothing is demoted.
  [[nodiscard]] std::int64_t unit_bytes() const noexcept { return unit_bytes_; }
  [[nodiscard]] int num_lists() const noexcept { return static_cast<int>(block_sizes_.size()); }
  [[nodiscard]] std::int32_t block_size(int l) const { return block_sizes_[static_cast<std::size_t>(l)]; }

  /// The upper part of a node that is to be split after the first `position` symbols of its path, inside its edge. Not
  /// linked yet; a node was reserved. May throw std::bad_alloc; nothing has changed then.
  [[nodiscard]] Node& upper_part(Node const& tail, std::int32_t position) {
    Node& head = tree.upper_part(tail, position);
    try {
      for (int l = 0; l < num_lists(); ++l)
        head.blocks[l].assign(tail.blocks[l].begin(),
                              tail.blocks[l].begin() + (position / block_size(l) - tail.begin / block_size(l)));
      if (!tail.keys.empty())
        head.keys.assign(tail.keys.begin(), tail.keys.begin() + (position / unit_ - tail.begin / unit_));
    } catch (...) {
      tree.free_node(head);
      throw;
    }
    return head;
  }

  /// Splits a node whose upper part was made. The lower part keeps its index, and what is known of its uses.
  void split(Node& head, Node& tail) noexcept {
    static_cast<EvictionEntry&>(head) = tail;
    head.leases = tail.leases;
    head.pins = tail.pins;
    tree.split(head, tail);
    for (int l = 0; l < num_lists(); ++l) drop_first(tail.blocks[l], head.blocks[l].size());
    drop_first(tail.keys, head.keys.size());
    measure(head);
    measure(tail);
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
    return !is_root(parent) && tree.only_child(node) && parent.pins == node.pins &&
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
    for (int l = 0; l < num_lists(); ++l) reserve(parent.blocks[l], all / static_cast<std::size_t>(block_size(l)) + 1);
    if (!node.keys.empty() || !parent.keys.empty()) reserve(parent.keys, all / static_cast<std::size_t>(unit_) + 1);
  }
  /// Whether there is memory for it.
  [[nodiscard]] bool has_memory_to_join(Node const& node) const {
    auto const fits = [](auto const& first, auto const& second) {
      return first.capacity() >= first.size() + second.size();
    };
    Node const& parent = at(node.parent);
    bool all = fits(parent.symbols, node.symbols) && fits(parent.keys, node.keys);
    for (int l = 0; l < num_lists(); ++l) all = all && fits(parent.blocks[l], node.blocks[l]);
    return all;
  }
  /// Joins a node with its parent, which has memory for it. The node keeps its index.
  void join_parent(Node& node) noexcept {
    Node& parent = at(node.parent);
    for (int l = 0; l < num_lists(); ++l) append_to(parent.blocks[l], node.blocks[l]);
    append_to(parent.keys, node.keys);
    tree.join_parent(node);
    measure(node);
  }

  /// Says of a node what its edge, and the lists that have its last unit, make of it.
  void measure(Node& node) const {
    node.units = node.end() / unit_ - node.begin / unit_;
    node.depth = node.end() / unit_ - 1;
    node.unit_tokens = unit_;
    node.unit_bytes = unit_bytes_;
    for (int l = num_groups_; l < num_lists(); ++l)
      if (std::int32_t const size = node.end() / block_size(l) - node.begin / block_size(l);
          size > 0 && node.blocks[l][static_cast<std::size_t>(size - 1)] != null_block)
        node.unit_bytes = demoted_unit_bytes_;
  }

  /// The node on the way to, or below, `node` that has the block of token num_tokens - 1 in every group.
  [[nodiscard]] std::int32_t holder_of(std::int32_t index, std::int32_t num_tokens) const {
    std::int32_t const end = (num_tokens + unit_ - 1) / unit_ * unit_;
    while (at(index).begin >= end) index = at(index).parent;
    while (at(index).end() < end) index = at(index).first_child;  // leaves end with whole units, so one has it
    return index;
  }

  /// Block i of a list on the way to node `index`, which has it or lies below. `index` becomes the node that has it:
  /// who asks for earlier and earlier blocks goes the way once.
  [[nodiscard]] BlockId block_at(std::int32_t& index, int l, std::int32_t i) const {
    while (at(index).begin / block_size(l) > i) index = at(index).parent;
    Node const& node = at(index);
    return node.blocks[l][static_cast<std::size_t>(i - node.begin / block_size(l))];
  }

  /// The key of unit i on the way to `node`; of the unit before the first one, the scope's.
  [[nodiscard]] PrefixKey key_at(std::int32_t index, std::int32_t i) const {
    while (!is_root(at(index)) && at(index).begin / unit_ > i) index = at(index).parent;
    Node const& node = at(index);
    return is_root(node) ? node.keys.front() : node.keys[static_cast<std::size_t>(i - node.begin / unit_)];
  }

  /// The key of a root's scope, which is kept: the scope's name may be forgotten. May throw std::bad_alloc.
  void set_scope_key(Node& root) const {
    if (root.keys.empty()) root.keys.push_back(keys.scope(root.first_symbol));
  }
  /// The keys of a new leaf's units, each a digest of the whole prefix up to its end. Returns that of the unit before.
  PrefixKey set_keys(Node& leaf, std::span<std::int32_t const> symbols) const noexcept {
    auto const first = static_cast<std::size_t>(leaf.begin / unit_), size = static_cast<std::size_t>(unit_);
    PrefixKey const before = key_at(leaf.parent, leaf.begin / unit_ - 1);
    PrefixKey key = before;
    for (std::size_t i = 0; i < leaf.keys.size(); ++i)
      leaf.keys[i] = key = keys.unit(key, symbols.subspan((first + i) * size, size));
    return before;
  }

  /// The keys of the first `num_units` units on the way to `node`, in `all`.
  std::span<PrefixKey const> copy_keys(std::int32_t node, std::int32_t num_units, std::vector<PrefixKey>& all) const {
    all.resize(static_cast<std::size_t>(num_units));
    for (std::int32_t i = node; !is_root(at(i)); i = at(i).parent) {
      auto const first = static_cast<std::size_t>(at(i).begin / unit_);
      std::copy_n(at(i).keys.begin(), std::min(at(i).keys.size(), all.size() - first),
                  all.begin() + static_cast<std::ptrdiff_t>(first));
    }
    return as_span(all);
  }

  /// Tells `sink` that there is nothing, and then everything that there is, in events that end with `number`.
  template <EventSink S>
  requires(hears<S>(PrefixEvents::stored) && hears<S>(PrefixEvents::cleared)) void tell(S& sink,
                                                                                        std::int64_t number) const {
    tree.for_each_node([&](Node const& node) { number -= node.units > 0 ? 1 : 0; });
    sink.cleared({number});
    std::vector<std::int32_t> symbols;  // of the path to a node
    std::vector<PrefixKey> path;        // likewise its keys, that of the scope first
    tree.for_each_node([&](Node const& node) {
      auto const first = static_cast<std::size_t>(node.begin / unit_), unit = static_cast<std::size_t>(unit_);
      symbols.resize(static_cast<std::size_t>(node.begin));
      symbols.insert(symbols.end(), node.symbols.begin(), node.symbols.end());
      path.resize(first + 1);
      Node const& root = at(node.parent);
      if (node.begin == 0) path[0] = root.keys.empty() ? keys.scope(root.first_symbol) : root.keys.front();
      if (node.units == 0) return;
      std::span<std::int32_t const> const all = as_span(symbols);
      path.insert(path.end(), node.keys.begin(), node.keys.end());
      while (path.size() <= first + static_cast<std::size_t>(node.units))  // where nobody wanted them so far
        path.push_back(keys.unit(path.back(), all.subspan((path.size() - 1) * unit, unit)));
      sink.stored({++number, path[first], as_span(path).subspan(first + 1),
                   all.subspan(first * unit, static_cast<std::size_t>(node.units) * unit), unit_, node.tenant});
    });
  }

 private:
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

  std::vector<std::int32_t> block_sizes_;  // by list
  int num_groups_;                         // the lists after these are second ones
  std::int32_t unit_ = 1;                  // the least common multiple
  std::int64_t unit_bytes_ = 0, demoted_unit_bytes_ = 0;
};

}  // namespace folio
