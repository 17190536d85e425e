// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which blocks already hold these tokens? A radix tree over prefixes, path-compressed. Host only.

#include <algorithm>
#include <cstdint>
#include <folio/eviction/lru.hpp>
#include <folio/prefix/detail/evictions.hpp>
#include <memory>
#include <new>
#include <span>
#include <utility>
#include <vector>

namespace folio {

/// A prefix is an array of symbols, one for each token, below a scope (prefix/key_table.hpp). The tree keeps blocks
/// that hold whole units of prefixes; a unit is the smallest number of tokens that fills whole blocks in every layer
/// group. Edges split at any symbol; a block belongs to the node whose edge has its last token. Symbols are compared
/// exactly: a hash finds a child, and never decides.
///
/// The tree marks its blocks in the pool as cached. Blocks that nobody holds besides are evicted, the last unit of a
/// leaf at a time, in the order of the Eviction policy. A sequence that was matched or inserted has a lease on the node
/// that ends with its last unit: nothing above or at it is evicted, and nothing below is kept. In groups with a window
/// a prefix can be taken where the window before its end is there, and blocks that can be taken no more are given back.
///
/// Host only, not thread-safe: one owner thread. Looking up allocates nothing and changes nothing. Every operation
/// happens whole, or throws std::bad_alloc and nothing has changed that anybody could see: what may fail comes first.
/// Everything is iterative. Cost: looking up compares each symbol once, and finds one child for each node on the way;
/// inserting copies the new symbols and block ids and visits the nodes on the way, as releasing does; an eviction is
/// O(log leaves).
template <EvictionPolicy Eviction = LruEviction, EventSink Sink = NoEvents, class Hash = ChildHash>
class PrefixTree : PrefixEvictions<Eviction, Sink, Hash> {
  using Nodes = PrefixNodes<Hash>;
  using Blocks = PrefixBlocks<Hash>;
  using Holds = PrefixLeases<Eviction, Hash>;
  using Evictions = PrefixEvictions<Eviction, Sink, Hash>;
  using Blocks::counters_, Blocks::store_;
  using Evictions::drop_node, Evictions::enforce_quotas, Evictions::num_events_, Evictions::sink_;
  using Evictions::keeps_keys, Evictions::policy_evicts;
  using Holds::cut, Holds::eviction_, Holds::lease, Holds::now_, Holds::order_, Holds::pin_owner_, Holds::split;
  using Holds::touch, Holds::update_candidate;
  using Nodes::at, Nodes::block_size, Nodes::holder_of, Nodes::is_root, Nodes::no_node, Nodes::num_groups;
  using Node = PrefixNode;

 public:
  using Blocks::gauges;
  using Evictions::clear, Evictions::evict_all, Evictions::evict_unit;
  using Holds::epoch, Holds::pin, Holds::retain;
  using Nodes::unit, Nodes::unit_bytes;

  explicit PrefixTree(SequenceStore& store, std::vector<std::int64_t> const& block_bytes,
                      Eviction eviction = Eviction(), Sink sink = Sink(), Hash hash = Hash())
      : Evictions(store, block_bytes, std::move(eviction), std::move(sink), std::move(hash)) {
    pin_owner_ = std::make_shared<PinOwner>(PinOwner{this, &unpin});
  }
  PrefixTree(PrefixTree const&) = delete;
  PrefixTree& operator=(PrefixTree const&) = delete;
  ~PrefixTree() { pin_owner_->tree = nullptr; }

  /// How a store of sequences calls this tree.
  [[nodiscard]] PrefixHooks hooks() {
    return {
        .owner = this,
        .evicts = policy_evicts,
        .prepare = [](void* tree, SequenceState& state) { self(tree).prepare(state); },
        .gain = [](void* tree, SequenceState const& state, std::int64_t* by) noexcept { self(tree).gain(state, by); },
        .give_up = [](void* tree, SequenceState& state) noexcept { self(tree).give_up(state); },
        .evict = [](void* tree, int g, BlockId shared) noexcept { return self(tree).evict_for(g, shared); },
        .forked = [](void* tree, SequenceState const& parent,
                     SequenceState& child) noexcept { self(tree).forked(parent, child); },
        .appended = [](void* tree, SequenceState& state) noexcept { self(tree).appended(state); },
        .truncated = [](void* tree, SequenceState& state) noexcept { self(tree).truncated(state); },
        .released = [](void* tree, SequenceState& state) noexcept { self(tree).release_lease(state); }};
  }

  [[nodiscard]] PrefixCounters const& counters() const noexcept { return counters_; }
  [[nodiscard]] Eviction& eviction() noexcept { return eviction_; }
  [[nodiscard]] Sink& sink() noexcept { return sink_; }
  /// Nodes, the root of each scope included.
  [[nodiscard]] std::int64_t num_nodes() const noexcept { return Nodes::size(); }

  /// One at a time; an empty one takes the last one away.
  void set_listener(PrefixListener const& listener) noexcept { listener_ = listener; }

  /// The caller's clock, in seconds. It never goes back: an earlier time is taken as the last one.
  void set_time(double now) noexcept {
    now_ = std::max(now_, now);
    if (listener_.time_set != nullptr) listener_.time_set(listener_.owner);
  }
  [[nodiscard]] double time() const noexcept { return now_; }

  /// The longest prefix of `symbols` in the tree, of which at most `limit` tokens are to be taken. Read-only.
  [[nodiscard]] PrefixMatch find(std::int32_t scope, std::span<std::int32_t const> symbols, std::int32_t limit) const {
    return follow({this->child(no_node, scope)}, symbols, limit);
  }
  /// The same, where `before` was found for a prefix that has the first `shared` symbols and the scope of this one, and
  /// the tree has not changed since: compares only what comes after them.
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

  /// Lets the empty sequence `state` begin with the tokens that were found of `prompt`, and holds them. To be called
  /// before the tree changes again. The use and the look-up count when the sequence gets its first slots.
  void take(PrefixMatch const& match, SequenceState& state, Prefix const& prompt) {
    std::int32_t node = no_node;
    if (match.num_tokens > 0) {
      std::int32_t const end = (match.num_tokens + unit() - 1) / unit() * unit();
      node = cut(holder_of(match.node, match.num_tokens), end);
      this->reserve_lists(match.num_tokens, state);
    }
    auto pending = std::make_shared<PendingLookup>();
    pending->num_symbols = prompt.size();
    if constexpr (hears_lookups) {
      pending->symbols.assign(prompt.symbols.begin(), prompt.symbols.end());
      pending->scope = prompt.scope;
    }
    if (node != no_node) this->fill_lists(node, match.num_tokens, state);
    lease(state, node);
    state.num_leased_tokens = match.num_tokens;
    state.pending = std::move(pending);
  }

  /// Keeps the whole units among the first tokens of a sequence, whose keys and values are written. `symbols` names
  /// them, at most as many as the sequence has. What the tree has already is shared: the sequence gives its own blocks
  /// back. Returns how many tokens of the sequence are in the tree now; 0 for a sequence from before the last `clear`.
  std::int32_t insert(SequenceState& state, std::int32_t scope, std::span<std::int32_t const> symbols) {
    std::int32_t const wanted = static_cast<std::int32_t>(symbols.size()) / unit() * unit();
    if (wanted == 0 || state.epoch != store_.epoch()) return 0;
    constexpr std::int64_t most_new = 4;  // a root, the upper parts of two, a leaf
    this->reserve_nodes(most_new);
    if constexpr (policy_learns) served_keys_.reserve(static_cast<std::size_t>(wanted / unit()));
    std::int32_t const root = this->root_of(scope);
    PrefixMatch const match = find(scope, symbols.first(static_cast<std::size_t>(wanted)), wanted);
    std::int32_t const insertable = this->insertable_end(state, match.num_symbols, wanted);
    bool const is_new = insertable > match.num_symbols;
    std::int32_t const end = is_new ? insertable : match.num_symbols / unit() * unit();
    std::int32_t last = root;
    try {
      if constexpr (requires { eviction_.prepare(state.tenant, std::int32_t{}); })
        eviction_.prepare(state.tenant, is_new ? insertable / unit() - match.num_symbols / unit() : 0);
      last = is_new ? split(match.node, match.num_symbols) : cut(match.node, end);
      if (is_new)
        last = make_leaf(last, state, symbols.first(static_cast<std::size_t>(end)), match.num_symbols);
      else
        this->reserve_joins(last, 0, state.lease);
    } catch (...) {
      this->drop_if_empty(root);
      throw;
    }
    this->share(match, state);
    ++order_;
    if (is_new) add_leaf(at(last), symbols.first(static_cast<std::size_t>(end)));
    if (end > 0) {
      lease(state, last);
      state.num_leased_tokens = end;
      touch(last);
      this->join_above(last);
    }
    if constexpr (policy_learns) tell_served(state, end / unit(), eviction_);
    this->drop_if_empty(root);
    if (end > 0 && listener_.inserted != nullptr)
      listener_.inserted(listener_.owner, scope, symbols.first(static_cast<std::size_t>(end)));
    enforce_quotas();
    return end;
  }

  /// Tells `sink` all that is in the tree, as events that stand for all before: it ends with the number of the last
  /// event so far. For those who came late, or whom an event did not reach. Cost: O(symbols in the tree).
  template <EventSink S>
  void tell(S& sink) const {
    Nodes::tell(sink, num_events_);
  }

  /// The sequence keeps nothing in the tree from being evicted any more. What it leased was in use until now, unless it
  /// never got slots.
  void release_lease(SequenceState& state) noexcept {
    bool const has_run = state.pending == nullptr && state.lease != no_node;
    if (has_run && at(state.lease).order != order_) ++order_, touch(state.lease);  // else it was the last to use it
    lease(state, no_node);
    enforce_quotas();
  }

 private:
  static constexpr bool hears_lookups = requires(Sink & sink, PrefixLookup const& lookup) { sink.looked_up(lookup); };
  static constexpr bool policy_learns = requires { std::declval<Eviction&>().served(ServedRequest()); };

  static PrefixTree& self(void* tree) { return *static_cast<PrefixTree*>(tree); }
  static void unpin(void* tree, std::int32_t node, std::int64_t epoch) noexcept {
    if (epoch != self(tree).store_.epoch()) return;
    self(tree).hold(node, &Node::pins, -1);
    self(tree).enforce_quotas();
  }

  // What the store calls.

  [[nodiscard]] std::int32_t whole(std::int32_t num_tokens) const noexcept { return num_tokens / unit() * unit(); }
  /// Whether the sequence has only a part of the last unit that it leases. Its own tokens may have gone on elsewhere.
  [[nodiscard]] bool leases_part(SequenceState const& state) const noexcept {
    return state.lease != no_node && at(state.lease).end() > whole(state.num_leased_tokens);
  }
  void prepare(SequenceState& state) {
    std::int32_t last = state.lease;
    if (leases_part(state)) last = cut(last, whole(state.num_leased_tokens));
    if (state.pending != nullptr) this->reserve_joins(last, 1, last);
  }

  void gain(SequenceState const& state, std::int64_t* by_group) const noexcept {
    if (!policy_evicts || !leases_part(state)) return;
    std::int32_t const from = whole(state.num_leased_tokens);
    for (std::int32_t i = state.lease; !is_root(at(i)) && at(i).end() > from; i = at(i).parent)
      if (at(i).leases > 1 || at(i).pins > 0) return;  // leases are on ends, so another one needs the part as well
    for (int g = 0; g < num_groups(); ++g) {
      if (store_.shape(g).window != 0) continue;  // what is only leased counts as evictable as it is
      std::vector<BlockId> const& own = state.lists[g].blocks;
      bool const may_copy = state.num_tokens % block_size(g) != 0;  // the last block, which is whole for the tree
      std::int32_t index = state.lease;
      for (std::int32_t i = at(index).end() / block_size(g) - 1; i >= from / block_size(g); --i) {
        BlockId const block = this->block_at(index, g, i);
        if (block == null_block) continue;
        std::uint32_t const holders = store_.pool(g).ref_count(block);
        if (may_copy && block == own.back())
          by_group[g] += holders == 1 ? 1 : 0;
        else
          by_group[g] += holders == 0 ? 1 : 0;
      }
    }
  }

  void give_up(SequenceState& state) noexcept {
    std::int32_t const from = whole(state.num_leased_tokens);
    std::int32_t top = state.lease;
    while (at(top).begin > from) top = at(top).parent;
    std::int32_t const parent = at(top).parent, symbol = at(top).first_symbol;
    lease(state, parent);
    while (this->child(parent, symbol) == top) {  // dropping a leaf may take nodes above with it
      std::int32_t last = top;
      while (at(last).first_child != no_node) last = at(last).first_child;
      drop_node(at(last));
    }
  }

  bool evict_for(int group, BlockId shared) noexcept {
    if (this->evict_unit()) return true;
    if (!policy_evicts || store_.shape(group).window == 0) return false;
    return this->drop_leased(group, null_block) || (shared != null_block && this->drop_leased(group, shared));
  }

  void forked(SequenceState const& parent, SequenceState& child) noexcept {
    child.num_reported_units = parent.num_reported_units;
    child.num_leased_tokens = parent.num_leased_tokens;
    child.pending = parent.pending;
    lease(child, parent.lease);
  }

  void appended(SequenceState& state) noexcept {
    if (state.pending != nullptr) count_use(state, *std::exchange(state.pending, nullptr));
    if (!leases_part(state)) return;
    for (int g = 0; g < num_groups(); ++g)  // whether it has whole blocks of the part
      if (state.num_leased_tokens / block_size(g) * block_size(g) > whole(state.num_leased_tokens)) return;
    lease(state, this->above(state.lease, whole(state.num_leased_tokens)));
  }

  void truncated(SequenceState& state) noexcept {
    state.num_reported_units = std::min(state.num_reported_units, state.num_tokens / unit());
    state.num_leased_tokens = std::min(state.num_leased_tokens, state.num_tokens);
    std::int32_t const end = (state.num_leased_tokens + unit() - 1) / unit() * unit();
    if (state.lease == no_node || at(state.lease).end() <= end) return;
    std::int32_t node = this->above(state.lease, end);
    try {
      node = cut(node, end);
    } catch (std::bad_alloc const&) {  // it leases more than it must, until it is cut another time
    }
    lease(state, node);
  }

  /// The request that was looked up is served from now on, unless a fork of its sequence is already. What it found ends
  /// with a node, which `prepare` has seen to.
  void count_use(SequenceState const& state, PendingLookup& lookup) noexcept {
    if (std::exchange(lookup.counted, true)) return;
    std::int32_t const found = state.num_cached_tokens;
    ++order_;
    ++counters_.lookups;
    counters_.hit_tokens += found;
    counters_.missed_tokens += lookup.num_symbols - found;
    if (state.lease != no_node) {
      std::int32_t const last = this->above(state.lease, whole(found));
      this->count_hit(last, found / unit());
      this->join_above(last);
    }
    if constexpr (hears_lookups) sink_.looked_up({{lookup.symbols, lookup.scope}, found, unit(), state.tenant});
  }

  /// Goes on comparing where `match` ends, in the edge of its node or after it.
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

  /// A leaf that is to hang below `parent`, for symbols [begin, symbols.size()), with the sequence's blocks, and memory
  /// to join it with what is above. A node was reserved. May throw std::bad_alloc; nothing has changed then.
  [[nodiscard]] std::int32_t make_leaf(std::int32_t parent, SequenceState const& state,
                                       std::span<std::int32_t const> symbols, std::int32_t begin) {
    Node& leaf = this->new_node();
    try {
      leaf.parent = parent;
      leaf.begin = begin;
      leaf.symbols.assign(symbols.begin() + begin, symbols.end());
      leaf.first_symbol = leaf.symbols.front();
      for (int g = 0; g < num_groups(); ++g)
        leaf.blocks[g].assign(state.lists[g].blocks.begin() + begin / block_size(g),
                              state.lists[g].blocks.begin() + leaf.end() / block_size(g));
      this->measure(leaf);
      leaf.hit_depth = std::min(begin, state.num_cached_tokens) / unit();
      leaf.priority = state.retention.priority;
      leaf.expires = state.retention.expires;
      leaf.tenant = state.tenant;
      if constexpr (keeps_keys) leaf.keys.resize(static_cast<std::size_t>(leaf.units));
      this->reserve_joins(leaf.index, 0, state.lease);
    } catch (...) {
      this->free_node(leaf);
      throw;
    }
    return leaf.index;
  }

  /// A leaf that was made comes into the tree. `symbols`: of the whole prefix.
  void add_leaf(Node& leaf, std::span<std::int32_t const> symbols) noexcept {
    for (int g = 0; g < num_groups(); ++g)
      for (BlockId const block : leaf.blocks[g])
        if (block != null_block) store_.pool(g).cache_live(block);
    leaf.created = leaf.last_use = now_;
    leaf.order = order_;
    counters_.stored_units += leaf.units;
    if constexpr (requires { eviction_.stored(leaf); }) eviction_.stored(leaf);
    if constexpr (keeps_keys) note_keys(leaf, symbols);
    Node& parent = at(leaf.parent);
    this->link(parent, leaf);
    update_candidate(parent.index);
    update_candidate(leaf.index);
  }

  /// The keys of a new leaf's units, each a digest of the whole prefix up to its end.
  void note_keys(Node& leaf, std::span<std::int32_t const> symbols) noexcept {
    auto const first = static_cast<std::size_t>(leaf.begin / unit()), size = static_cast<std::size_t>(unit());
    std::uint64_t const before = this->key_at(leaf.parent, leaf.begin / unit() - 1);
    std::uint64_t key = before;
    for (std::size_t i = 0; i < leaf.keys.size(); ++i)
      leaf.keys[i] = key = unit_key(key, symbols.subspan((first + i) * size, size));
    std::span<std::uint64_t const> const keys = leaf.keys;
    if constexpr (requires { eviction_.inserted(leaf, keys, now_); }) eviction_.inserted(leaf, keys, now_);
    if constexpr (Sink::wants_keys)
      sink_.stored({++num_events_, before, keys, symbols.subspan(first * size), unit(), leaf.tenant});
  }

  /// Tells the policy of a sequence that is in the tree with so many units.
  template <class Learner>
  void tell_served(SequenceState& state, std::int32_t num_units, Learner& policy) noexcept {
    if (num_units <= state.num_reported_units) return;
    served_keys_.resize(static_cast<std::size_t>(num_units));  // there is memory for them
    for (std::int32_t i = state.lease; !is_root(at(i)); i = at(i).parent) {
      auto const first = static_cast<std::size_t>(at(i).begin / unit());
      std::copy_n(at(i).keys.begin(), std::min(at(i).keys.size(), served_keys_.size() - first),
                  served_keys_.begin() + static_cast<std::ptrdiff_t>(first));
    }
    policy.served({served_keys_, std::exchange(state.num_reported_units, num_units), state.num_cached_tokens / unit(),
                   order_, at(state.lease).tenant});
  }

  PrefixListener listener_;
  std::vector<std::uint64_t> served_keys_;
};

}  // namespace folio
