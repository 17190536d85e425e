// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which blocks already hold these tokens? A radix tree over prefixes, path-compressed. Host only.

#include <algorithm>
#include <cstdint>
#include <folio/error.hpp>
#include <folio/eviction/lru.hpp>
#include <folio/prefix/events.hpp>
#include <folio/prefix/holds.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace folio {

/// A prefix is an array of symbols, one for each token, below a scope (prefix/key.hpp). The tree keeps blocks that hold
/// whole units of prefixes; a unit is the smallest number of tokens that fills whole blocks in every layer group. Edges
/// split at any symbol; a block belongs to the node whose edge has its last token. Symbols are compared exactly: a hash
/// finds a child, and never decides.
///
/// The tree marks its blocks in the pool as cached. Blocks that nobody holds besides are evicted, the last unit of a
/// leaf at a time, in the order of the Eviction policy. A sequence that was matched or inserted has a lease on its
/// deepest node: nothing above or at it is evicted. In groups with a window a prefix can be taken where the window
/// before its end is there, and blocks that can be taken no more are given back.
///
/// Host only, not thread-safe: one owner thread. Looking up allocates nothing and changes nothing. Everything is
/// iterative. Cost: looking up compares each symbol once, and finds one child for each node on the way; inserting
/// copies the new symbols and block ids; an eviction is O(log leaves).
template <EvictionPolicy Eviction = LruEviction, EventSink Sink = NoEvents, class Hash = ChildHash>
class PrefixTree : PrefixHolds<Eviction, Hash> {
  using Nodes = PrefixNodes<Hash>;
  using Blocks = PrefixBlocks<Hash>;
  using Holds = PrefixHolds<Eviction, Hash>;
  using Blocks::counters_, Blocks::drop_blocks, Blocks::drop_unreachable, Blocks::store_;
  using Holds::eviction_, Holds::now_, Holds::order_, Holds::lease, Holds::unlease, Holds::split, Holds::touch;
  using Holds::set_candidate, Holds::update_candidate;
  using Nodes::at, Nodes::block_size, Nodes::holder_of, Nodes::is_root, Nodes::no_node, Nodes::num_groups;
  using Node = PrefixNode;

 public:
  using Blocks::gauges;
  using Holds::pin, Holds::retain;
  using Nodes::unit, Nodes::unit_bytes;

  explicit PrefixTree(SequenceStore& store, std::vector<std::int64_t> const& block_bytes,
                      Eviction eviction = Eviction(), Sink sink = Sink())
      : Holds(store, block_bytes, std::move(eviction)), sink_(std::move(sink)) {}
  PrefixTree(PrefixTree const&) = delete;
  PrefixTree& operator=(PrefixTree const&) = delete;

  /// How a store of sequences calls this tree.
  [[nodiscard]] PrefixHooks hooks() {
    return {this, [](void* tree, int g, std::int64_t n) { return self(tree).make_room(g, n); },
            [](void* tree, SequenceState const& parent, SequenceState& child) { self(tree).forked(parent, child); },
            [](void* tree, SequenceState& state) noexcept { self(tree).copied(state); },
            [](void* tree, SequenceState& state) noexcept { self(tree).released(state); }};
  }

  [[nodiscard]] PrefixCounters const& counters() const noexcept { return counters_; }
  [[nodiscard]] Eviction& eviction() noexcept { return eviction_; }
  [[nodiscard]] Sink& sink() noexcept { return sink_; }
  /// Nodes, the root of each scope included.
  [[nodiscard]] std::int64_t num_nodes() const noexcept { return Nodes::size(); }

  /// One at a time; an empty one takes the last one away.
  void set_listener(PrefixListener const& listener) noexcept { listener_ = listener; }

  /// The caller's clock, in seconds. It never goes back: an earlier time is taken as the last one.
  void set_time(double now) {
    now_ = std::max(now_, now);
    if (listener_.time_set != nullptr) listener_.time_set(listener_.owner);
  }
  [[nodiscard]] double time() const noexcept { return now_; }

  /// The longest prefix of `symbols` in the tree, of which at most `limit` tokens are to be taken. Read-only.
  [[nodiscard]] PrefixMatch find(std::int32_t scope, std::span<std::int32_t const> symbols, std::int32_t limit) const {
    return follow({this->child(no_node, scope)}, symbols, limit);
  }
  /// The same, where `before` was found for a prefix that has the first `shared` symbols and the scope of this one, and
  /// the tree has not changed since: compares only what is behind them.
  [[nodiscard]] PrefixMatch find(PrefixMatch before, std::int32_t shared, std::span<std::int32_t const> symbols,
                                 std::int32_t limit) const {
    if (before.num_symbols > shared) {
      while (!is_root(at(before.node)) && at(before.node).begin >= shared) before.node = at(before.node).parent;
      before.num_symbols = shared;
    } else if (before.num_symbols < shared) {  // both leave the tree at the same symbol
      symbols = symbols.first(static_cast<std::size_t>(before.num_symbols));
    }
    return follow(before, symbols, limit);
  }

  /// Lets the empty sequence `state` begin with the tokens that were found, and holds them. To be called before the
  /// tree changes again. Counts the look-up; `num_symbols` is the length of what was looked for.
  void take(PrefixMatch const& match, SequenceState& state, std::int64_t num_symbols) {
    if (match.num_tokens > 0) {
      std::int32_t const holder = holder_of(match.node, match.num_tokens);
      this->fill_lists(holder, match.num_tokens, state);
      std::int32_t const last = touch(match.node, match.num_tokens);
      lease(state, match.num_tokens % unit() == 0 ? last : holder);
      this->join_above(last);
    }
    ++counters_.lookups;
    counters_.hit_tokens += match.num_tokens;
    counters_.missed_tokens += num_symbols - match.num_tokens;
  }

  /// Keeps the whole units among the first tokens of a sequence, whose keys and values are written. `symbols` names
  /// them, at most as many as the sequence has. What the tree has already is shared: the sequence gives its own blocks
  /// back. Returns how many tokens of the sequence are in the tree now.
  std::int32_t insert(SequenceState& state, std::int32_t scope, std::span<std::int32_t const> symbols) {
    std::int32_t const wanted = static_cast<std::int32_t>(symbols.size()) / unit() * unit();
    if (wanted == 0) return 0;
    std::int32_t const root = this->root_of(scope);
    PrefixMatch match = find(scope, symbols.first(static_cast<std::size_t>(wanted)), wanted);
    this->share(match, state);
    std::int32_t end = match.num_symbols;
    std::int32_t node = match.node;
    std::int32_t const insertable = this->insertable_end(state, match.num_symbols, wanted);
    ++order_;
    if (insertable > match.num_symbols) {
      prepare(state.tenant, (insertable - match.num_symbols) / unit() + 1);
      node = split(match.node, match.num_symbols);
      node = add_leaf(node == no_node ? root : node, state, symbols.first(static_cast<std::size_t>(insertable)),
                      match.num_symbols);
      end = insertable;
    }
    end = end / unit() * unit();
    if (end > 0) lease(state, holder_of(node, end));
    if constexpr (policy_learns) tell_served(state, end / unit(), eviction_);
    this->drop_if_empty(root);
    if (end > 0 && listener_.inserted != nullptr)
      listener_.inserted(listener_.owner, scope, symbols.first(static_cast<std::size_t>(end)));
    enforce_quotas();
    return end;
  }

  /// Evicts until `group` has `num_blocks` free blocks. False when that cannot be; what was evicted stays evicted.
  bool make_room(int group, std::int64_t num_blocks) {
    BlockPool const& pool = store_.pool(group);
    if (num_blocks > std::int64_t{pool.num_free()} + pool.num_cached()) return false;
    while (pool.num_free() < num_blocks)
      if (!evict_unit()) return false;
    return true;
  }

  /// Evicts the unit that the policy gives; false when none can go.
  bool evict_unit() {
    EvictionEntry* const entry = eviction_.victim(now_);
    if (entry != nullptr) drop_last_unit(static_cast<Node&>(*entry));
    return entry != nullptr;
  }

  /// Evicts everything that nobody holds and no pin keeps.
  void clear() {
    while (evict_unit()) {
    }
    if (num_nodes() == 0) sink_.cleared({++num_events_});
  }

  /// Tells `sink` all that is in the tree, as events that stand for all before: it ends with the number of the last
  /// event so far. For those who came late, or whom an event did not reach. Cost: O(symbols in the tree).
  template <EventSink S>
  void tell(S& sink) const {
    Nodes::tell(sink, num_events_);
  }

  /// A lease more or less on the node of a sequence.
  void forked(SequenceState const& parent, SequenceState& child) {
    child.lease = no_node;
    child.num_told_units = parent.num_told_units;
    if (parent.lease != no_node) lease(child, parent.lease);
  }
  /// Lets go of the block that a sequence has copied because it was not whole for it.
  void copied(SequenceState& state) noexcept {
    std::int32_t const whole = state.num_tokens / unit() * unit();
    if (state.lease == no_node) return;
    for (int g = 0; g < num_groups(); ++g)
      if (state.num_tokens / block_size(g) * block_size(g) > whole) return;  // it has smaller blocks behind
    std::int32_t node = state.lease;
    while (!is_root(at(node)) && at(node).begin >= whole) node = at(node).parent;
    if (is_root(at(node)))
      unlease(std::exchange(state.lease, no_node));
    else if (node != state.lease)
      lease(state, node);
  }
  void released(SequenceState& state) noexcept {
    unlease(std::exchange(state.lease, no_node));
    enforce_quotas();
  }

  /// See PrefixHolds::pin.
  void unpin(std::int32_t node) {
    Holds::unpin(node);
    enforce_quotas();
  }

 private:
  static constexpr bool policy_wants_keys = requires { requires Eviction::wants_keys; };
  static constexpr bool keeps_keys = policy_wants_keys || Sink::wants_keys;

  static constexpr bool policy_learns = requires { std::declval<Eviction&>().served(ServedRequest()); };

  static PrefixTree& self(void* tree) { return *static_cast<PrefixTree*>(tree); }

  /// Goes on comparing where `match` ends, in the edge of its node or behind.
  [[nodiscard]] PrefixMatch follow(PrefixMatch match, std::span<std::int32_t const> symbols, std::int32_t limit) const {
    auto const size = static_cast<std::int32_t>(symbols.size());
    for (std::int32_t next = match.node; next != no_node;) {
      Node const& node = at(match.node = next);
      std::int32_t const end = std::min(node.end(), size);
      match.num_symbols += common_prefix(node.symbols.data() + (match.num_symbols - node.begin),
                                         symbols.data() + match.num_symbols, end - match.num_symbols);
      if (match.num_symbols < node.end() || match.num_symbols == size) break;
      next = this->child(next, symbols[static_cast<std::size_t>(match.num_symbols)]);
    }
    match.num_tokens = match.node == no_node ? 0 : this->usable(match.node, std::min(match.num_symbols, limit));
    return match;
  }

  /// Before nodes are made: what a policy needs for them.
  void prepare(std::int32_t tenant, std::int32_t num_units) {
    eviction_.reserve(static_cast<std::size_t>(Nodes::size()) + 2);
    if constexpr (requires { eviction_.prepare(tenant, num_units); }) eviction_.prepare(tenant, num_units);
  }

  /// A policy with quotas names what is kept beyond them and can go.
  void enforce_quotas() {
    if constexpr (requires { eviction_.over_quota(now_); })
      while (EvictionEntry* const entry = eviction_.over_quota(now_)) drop_last_unit(static_cast<Node&>(*entry));
  }

  /// A leaf below `parent` for symbols [begin, symbols.size()), with the sequence's blocks.
  [[nodiscard]] std::int32_t add_leaf(std::int32_t parent, SequenceState const& state,
                                      std::span<std::int32_t const> symbols, std::int32_t begin) {
    Node& leaf = this->new_node();
    leaf.begin = begin;
    leaf.symbols.assign(symbols.begin() + begin, symbols.end());
    leaf.first_symbol = leaf.symbols.front();
    for (int g = 0; g < num_groups(); ++g) {
      auto const first = state.lists[g].blocks.begin() + begin / block_size(g);
      auto const last = state.lists[g].blocks.begin() + leaf.end() / block_size(g);
      leaf.blocks[g].assign(first, last);
      for (BlockId const block : leaf.blocks[g])
        if (block != null_block) store_.pool(g).cache_live(block);
    }
    leaf.created = leaf.last_use = now_;
    leaf.order = order_;
    leaf.hit_depth = std::min(begin, state.num_cached_tokens) / unit();
    leaf.priority = state.retention.priority;
    leaf.expires = state.retention.expires;
    leaf.tenant = state.tenant;
    this->measure(leaf);
    counters_.stored_units += leaf.units;
    if constexpr (requires { eviction_.stored(leaf); }) eviction_.stored(leaf);
    if constexpr (keeps_keys) note_keys(leaf, parent, symbols);
    this->link(at(parent), leaf);
    update_candidate(parent);
    update_candidate(leaf.index);
    return leaf.index;
  }

  /// The keys of a new leaf's units, each a digest of the whole prefix up to its end.
  void note_keys(Node& leaf, std::int32_t parent, std::span<std::int32_t const> symbols) {
    std::int32_t const first = leaf.begin / unit();
    std::uint64_t const before = this->key_at(parent, first - 1);
    std::uint64_t key = before;
    for (std::int32_t i = first; i < first + leaf.units; ++i) {
      key = unit_key(key, symbols.subspan(static_cast<std::size_t>(i * unit()), static_cast<std::size_t>(unit())));
      leaf.keys.push_back(key);
    }
    std::span<std::uint64_t const> const keys = leaf.keys;
    if constexpr (requires { eviction_.inserted(leaf, keys, now_); }) eviction_.inserted(leaf, keys, now_);
    if constexpr (Sink::wants_keys)
      sink_.stored({++num_events_, before, keys, symbols.subspan(static_cast<std::size_t>(first * unit())), unit(),
                    leaf.tenant});
  }

  /// Tells the policy of a sequence that is in the tree with so many units.
  template <class Learner>
  void tell_served(SequenceState& state, std::int32_t num_units, Learner& policy) {
    if (num_units <= state.num_told_units) return;
    served_keys_.resize(static_cast<std::size_t>(num_units));
    for (std::int32_t i = state.lease; !is_root(at(i)); i = at(i).parent) {
      auto const first = static_cast<std::size_t>(at(i).begin / unit());
      std::copy_n(at(i).keys.begin(), std::min(at(i).keys.size(), served_keys_.size() - first),
                  served_keys_.begin() + static_cast<std::ptrdiff_t>(first));
    }
    policy.served({served_keys_, std::exchange(state.num_told_units, num_units), state.num_cached_tokens / unit(),
                   order_, at(state.lease).tenant});
  }

  void drop_last_unit(Node& leaf) {
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
    for (int g = 0; g < num_groups(); ++g) drop_blocks(leaf, g, end / block_size(g));
    if (end <= leaf.begin) return drop_leaf(leaf);
    leaf.symbols.resize(static_cast<std::size_t>(end - leaf.begin));
    this->measure(leaf);
    eviction_.shrunk(leaf);
    drop_unreachable(leaf);
  }

  /// Takes an empty leaf off the tree, and what hangs on it alone: a parent that has become a leaf ends with a whole
  /// unit again, or goes as well.
  void drop_leaf(Node& leaf) {
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
      for (int g = 0; g < num_groups(); ++g) drop_blocks(above, g, end / block_size(g));
      if (end > above.begin) {
        above.symbols.resize(static_cast<std::size_t>(end - above.begin));
        this->measure(above);
        update_candidate(parent);
        return drop_unreachable(above);
      }
      if (above.leases != 0) this->lease_above(parent);
      index = parent;
    }
  }

  Sink sink_;
  PrefixListener listener_;
  std::vector<std::uint64_t> served_keys_;
  std::int64_t num_events_ = 0;
};

}  // namespace folio
