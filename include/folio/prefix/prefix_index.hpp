// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which blocks already hold these tokens? An index of prefixes: a radix tree, leases, an eviction policy. Host only.

#include <algorithm>
#include <cstdint>
#include <folio/detail/group_pools.hpp>
#include <folio/detail/sequence_state.hpp>
#include <folio/error.hpp>
#include <folio/eviction/lru.hpp>
#include <folio/prefix/attached_sink.hpp>
#include <folio/prefix/detail/evictions.hpp>
#include <folio/prefix/detail/nodes.hpp>
#include <folio/prefix/detail/shared_blocks.hpp>
#include <folio/prefix/gauges.hpp>
#include <folio/prefix/leases.hpp>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace folio {

/// A prefix is an array of symbols, one for each token, below a scope (prefix/key_table.hpp). The index keeps blocks
/// that hold whole units of prefixes; a unit is the smallest number of tokens that fills whole blocks in every list.
/// Edges split at any symbol; a block belongs to the node whose edge has its last token. Symbols are compared
/// exactly: a hash finds a child, and never decides.
///
/// The index marks its blocks in the pool as cached. Blocks that nobody holds besides are evicted, the last unit of a
/// leaf at a time, in the order of the Eviction policy. A sequence that was matched or inserted has a lease on the node
/// that ends with its last unit: nothing above or at it is evicted, and nothing below is kept. In groups with a window
/// a prefix can be taken where the window before its end is there, and blocks that can be taken no more are given back.
///
/// Host only, not thread-safe: one owner thread. Looking up allocates nothing and changes nothing. Every operation
/// happens whole, or throws std::bad_alloc and changes nothing that anybody could see. Cost: looking up compares each
/// symbol once, and finds one child for each node on the way; inserting copies the new symbols and block ids and visits
/// the nodes on the way, as releasing does; an eviction is O(log leaves), and where groups demote O(nodes in a unit in
/// which prefixes part) besides.
template <EvictionPolicy Eviction = LruEviction, EventSink Sink = NoEvents>
class PrefixIndex final : public BlockReclaimer, private PrefixHolder {
  using Evictions = PrefixEvictions<Eviction, Sink>;
  using Node = PrefixNode;
  static constexpr std::int32_t no_node = PrefixNodes<>::no_node;

 public:
  /// Whether what nobody holds can be evicted: else no pool's owner need ask.
  static constexpr bool evicts = folio::evicts<Eviction>;

  /// Over pools that outlive it, whose blocks have so many bytes.
  explicit PrefixIndex(GroupPools& pools, std::vector<std::int64_t> const& block_bytes,
                       KeySecret const& secret = KeySecret::random(), Eviction eviction = Eviction(),
                       Sink sink = Sink())
      : pools_(pools),
        nodes_(pools.block_sizes(), block_bytes, secret, pools.demotion()),
        blocks_(nodes_, pools_, counters_),
        evictions_(nodes_, blocks_, counters_, std::move(eviction), std::move(sink)),
        self_(std::make_shared<PrefixHolder*>(static_cast<PrefixHolder*>(this))) {}
  PrefixIndex(PrefixIndex const&) = delete;
  PrefixIndex& operator=(PrefixIndex const&) = delete;
  ~PrefixIndex() { *self_ = nullptr; }

  /// Tokens in a unit, and bytes of its blocks in all first lists: where it is not demoted.
  [[nodiscard]] std::int32_t unit() const noexcept { return nodes_.unit(); }
  [[nodiscard]] std::int64_t unit_bytes() const noexcept { return nodes_.unit_bytes(); }
  [[nodiscard]] PrefixCounters const& counters() const noexcept { return counters_; }
  [[nodiscard]] Eviction& eviction() noexcept { return evictions_.policy; }
  [[nodiscard]] Eviction const& eviction() const noexcept { return evictions_.policy; }
  [[nodiscard]] Sink& sink() noexcept { return evictions_.sink; }
  [[nodiscard]] Sink const& sink() const noexcept { return evictions_.sink; }
  /// What the keys of its units are made with, for whoever asks elsewhere what it has.
  [[nodiscard]] PrefixKeys const& keys() const noexcept { return nodes_.keys; }
  /// From here on the keys of scopes and of symbols below 0 are those of their names, so that they mean the same in
  /// other processes; without names they are local. `names` outlive the index. Throws Error when anything is in it.
  void set_names(PrefixNames const& names) { nodes_.set_names(names); }
  /// Nodes, the root of each scope included.
  [[nodiscard]] std::int64_t num_nodes() const noexcept { return nodes_.tree.size(); }
  /// How often it was cleared. What was inserted, leased or pinned before is forgotten.
  [[nodiscard]] std::int64_t epoch() const noexcept { return evictions_.epoch(); }

  /// What is there now, and in these sequences. Cost: O(blocks of the index and of live sequences).
  [[nodiscard]] PrefixGauges gauges(std::span<std::unique_ptr<SequenceState> const> sequences = {}) const {
    return prefix_gauges(nodes_, blocks_, pools_, sequences);
  }

  /// Sinks that come and leave while it runs: SinkAttachment.
  [[nodiscard]] AttachedSinks& attached() noexcept { return attached_; }

  /// The caller's clock, in seconds. It never goes back: an earlier time is taken as the last one.
  void set_time(double now) noexcept {
    evictions_.set_time(now);
    if constexpr (hears<Sink>(PrefixEvents::time_set)) evictions_.sink.time_set(time());
    attached_.time_set(time());
  }
  [[nodiscard]] double time() const noexcept { return evictions_.time(); }

  /// The longest prefix of `symbols` in the index, of which at most `limit` tokens are to be taken. Read-only.
  [[nodiscard]] PrefixMatch find(std::int32_t scope, std::span<std::int32_t const> symbols, std::int32_t limit) const {
    return follow({nodes_.tree.child(no_node, scope)}, symbols, limit);
  }
  /// The same, where `before` was found for a prefix that has the first `shared` symbols and the scope of this one, and
  /// the index has not changed since: compares only what comes after them.
  [[nodiscard]] PrefixMatch find(PrefixMatch before, std::int32_t shared, std::span<std::int32_t const> symbols,
                                 std::int32_t limit) const {
    if (before.num_symbols > shared) {
      before.node = nodes_.tree.above(before.node, shared);
      before.num_symbols = shared;
    } else if (before.num_symbols < shared) {  // both leave the tree at the same symbol
      symbols = symbols.first(static_cast<std::size_t>(before.num_symbols));
    }
    return follow(before, symbols, limit);
  }

  /// A lease for a new sequence, of nothing yet.
  [[nodiscard]] PrefixLease lease() noexcept { return {*this, epoch()}; }

  /// Lets the empty sequence `state` begin with the tokens that were found of `prompt`, and holds them. To be called
  /// before the index changes again. The use and the look-up count when the sequence gets its first slots.
  void take(PrefixMatch const& match, SequenceState& state, Prefix const& prompt) {
    std::int32_t node = no_node;
    if (match.num_tokens > 0) {
      std::int32_t const end = (match.num_tokens + unit() - 1) / unit() * unit();
      node = evictions_.node_ending_at(nodes_.holder_of(match.node, match.num_tokens), end);
      blocks_.reserve_lists(match.num_tokens, state);
    }
    auto pending = std::make_shared<PendingLookup>();
    pending->num_symbols = prompt.size();
    if constexpr (hears_lookups) {
      pending->symbols.assign(prompt.symbols.begin(), prompt.symbols.end());
      pending->scope = prompt.scope;
    }
    state.prefix.bind(*this, epoch());
    if (node != no_node) blocks_.fill_lists(node, match.num_tokens, state);
    evictions_.move(state.prefix, node);
    state.prefix.num_tokens = match.num_tokens;
    state.prefix.pending = std::move(pending);
  }

  /// Keeps the whole units among the first tokens of a sequence, up to one that a group stores no more. They are
  /// written, and `symbols` names them. What the index has already is shared: the sequence gives its own blocks back;
  /// what of it the sequence has demoted is demoted in the index. Returns how many tokens of the sequence are in the
  /// index now; 0 for a sequence from before the last `clear`.
  std::int32_t insert(SequenceState& state, std::int32_t scope, std::span<std::int32_t const> symbols) {
    symbols = symbols.first(std::min(symbols.size(), static_cast<std::size_t>(state.num_exact_tokens(pools_.size()))));
    std::int32_t const wanted = nodes_.whole_units(static_cast<std::int32_t>(symbols.size()));
    state.prefix.bind(*this, epoch());
    if (wanted == 0 || state.prefix.epoch != epoch()) return 0;
    constexpr std::int64_t most_new = 4;  // a root, the upper parts of two, a leaf
    evictions_.reserve_nodes(most_new);
    evictions_.reserve_served(wanted / unit());
    std::int32_t const root = nodes_.tree.root_of(scope);
    PrefixMatch match = find(scope, symbols.first(static_cast<std::size_t>(wanted)), wanted);
    std::int32_t const insertable = blocks_.insertable_end(match, state, wanted);
    if (insertable < match.num_symbols)  // the rest cannot be kept as the sequence has it
      match = find(scope, symbols.first(static_cast<std::size_t>(insertable)), insertable);
    bool const is_new = insertable > match.num_symbols;
    std::int32_t const end = is_new ? insertable : nodes_.whole_units(match.num_symbols);
    std::int32_t last = root;
    try {
      if constexpr (Evictions::keeps_keys) nodes_.set_scope_key(at(root));
      if constexpr (hears<Eviction>(PrefixEvents::prepare))
        evictions_.policy.prepare(state.prefix.tenant, is_new ? insertable / unit() - match.num_symbols / unit() : 0);
      last = is_new ? evictions_.split(match.node, match.num_symbols) : evictions_.node_ending_at(match.node, end);
      if (is_new)
        last = make_leaf(last, state, symbols.first(static_cast<std::size_t>(end)), match.num_symbols);
      else
        evictions_.reserve_joins(last, 0, state.prefix.node);
    } catch (...) {
      nodes_.tree.drop_if_empty(root);
      throw;
    }
    blocks_.share(match, state);
    evictions_.next_use();
    if (is_new) add_leaf(at(last), symbols.first(static_cast<std::size_t>(end)));
    if (end > 0) {
      evictions_.move(state.prefix, last);
      state.prefix.num_tokens = end;
      if (pools_.has_second_lists()) evictions_.measure_above(last);
      evictions_.touch(last);
      evictions_.join_above(last);
    }
    if (end > 0) tell_inserted(state, scope, symbols.first(static_cast<std::size_t>(end)));
    nodes_.tree.drop_if_empty(root);
    evictions_.enforce_quotas();
    return end;
  }

  /// Keeps the whole units among the first `num_tokens` tokens of a found prefix from being evicted, as long as what is
  /// returned lives. Throws Error when fewer tokens were found, or there is no whole unit.
  [[nodiscard]] PrefixPin pin(PrefixMatch const& match, std::int32_t num_tokens) {
    std::int32_t const end = nodes_.whole_units(num_tokens);
    if (end <= 0 || num_tokens > match.num_symbols)
      throw Error("folio: cannot pin " + std::to_string(num_tokens) + " tokens of a prefix of which " +
                  std::to_string(match.num_symbols) + " are cached, in units of " + std::to_string(unit()));
    std::int32_t const node = evictions_.node_ending_at(match.node, end);
    evictions_.hold(node, &Node::pins, 1);
    return {self_, node, epoch()};
  }

  /// PrefixEvictions::retain: how long tokens [begin, end) of a found prefix are worth keeping.
  void retain(PrefixMatch const& match, std::int32_t begin, std::int32_t end, Retention const& retention) {
    evictions_.retain(match, begin, end, retention);
  }

  /// Evicts the unit that the policy gives; false when none can go.
  bool evict_unit() noexcept { return evictions_.evict_unit(); }
  /// Evicts everything that nobody holds and no pin keeps.
  void evict_all() noexcept { evictions_.evict_all(); }

  /// Forgets everything, as new weights need it: nothing of what is in the index now is found again. What was leased
  /// and pinned is forgotten, too. Sequences go on with the blocks that they hold, and insert nothing any more.
  void clear() noexcept {
    evictions_.drop_all();
    [[maybe_unused]] PrefixCleared const event{evictions_.next_event()};
    if constexpr (hears<Sink>(PrefixEvents::cleared)) evictions_.sink.cleared(event);
  }

  /// Tells `sink` all that is in the index, as events that stand for all before: up to the number of the last event so
  /// far. For those who came late, or whom an event did not reach. Keys that neither the policy nor the cache's sink
  /// wants are made now, of the names that there are now. Cost: O(symbols in the index).
  template <EventSink S>
  void tell(S& sink) const {
    nodes_.tell(sink, evictions_.last_event());
  }

  // What the pools' owner calls.
  bool reclaim(int list, BlockId shared) noexcept override {
    if (evict_unit()) return true;
    if (!evicts || pools_.shape(list).window == 0) return false;
    return blocks_.drop_leased(list, null_block) || (shared != null_block && blocks_.drop_leased(list, shared));
  }

 private:
  static constexpr bool hears_lookups = hears<Sink>(PrefixEvents::looked_up);

  [[nodiscard]] Node& at(std::int32_t node) { return nodes_.at(node); }
  [[nodiscard]] Node const& at(std::int32_t node) const { return nodes_.at(node); }
  [[nodiscard]] static bool is_root(Node const& node) { return PrefixNodes<>::is_root(node); }

  // What leases and pins call.
  void copied(PrefixLease& copy) noexcept override { evictions_.hold(evictions_.node_of(copy), &Node::leases, 1); }

  void release_lease(PrefixLease& lease) noexcept override {
    std::int32_t const node = evictions_.node_of(lease);
    bool const has_run = lease.pending == nullptr && node != no_node;
    if (has_run && at(node).order != evictions_.order()) {  // else it was the last to use it
      evictions_.next_use();
      evictions_.touch(node);
    }
    evictions_.move(lease, no_node);
    evictions_.enforce_quotas();
  }

  void unpin(std::int32_t node, std::int64_t at_epoch) noexcept override {
    if (at_epoch != epoch()) return;
    evictions_.hold(node, &Node::pins, -1);
    evictions_.enforce_quotas();
  }

  /// Whether the sequence has only a part of the last unit that it leases. Its own tokens may have gone on elsewhere.
  [[nodiscard]] bool leases_part(PrefixLease const& lease) const noexcept {
    std::int32_t const node = evictions_.node_of(lease);
    return node != no_node && at(node).end() > nodes_.whole_units(lease.num_tokens);
  }
  void prepare(PrefixLease& lease) override {
    std::int32_t last = evictions_.node_of(lease);
    if (leases_part(lease)) last = evictions_.node_ending_at(last, nodes_.whole_units(lease.num_tokens));
    if (lease.pending != nullptr) evictions_.reserve_joins(last, 1, last);
  }

  void count_gain(PrefixLease const& lease, SequenceState const& state,
                  std::int64_t* by_group) const noexcept override {
    if (!evicts || !leases_part(lease)) return;
    std::int32_t const from = nodes_.whole_units(lease.num_tokens);
    for (std::int32_t i = lease.node; !is_root(at(i)) && at(i).end() > from; i = at(i).parent)
      if (at(i).leases > 1 || at(i).pins > 0) return;  // leases are on ends, so another one needs the part as well
    blocks_.count_gain(lease.node, from, state, by_group);
  }

  void give_up_part(PrefixLease& lease) noexcept override {
    std::int32_t const from = nodes_.whole_units(lease.num_tokens);
    std::int32_t top = lease.node;
    while (at(top).begin > from) top = at(top).parent;
    std::int32_t const parent = at(top).parent, symbol = at(top).first_symbol;
    evictions_.move(lease, parent);
    while (nodes_.tree.child(parent, symbol) == top) {  // dropping a leaf may take nodes above with it
      std::int32_t last = top;
      while (at(last).first_child != no_node) last = at(last).first_child;
      evictions_.drop_node(at(last));
    }
  }

  void got_slots(PrefixLease& lease, std::int32_t num_cached_tokens) noexcept override {
    if (lease.pending != nullptr) count_use(lease, *std::exchange(lease.pending, nullptr), num_cached_tokens);
    if (!leases_part(lease)) return;
    std::int32_t const whole = nodes_.whole_units(lease.num_tokens);
    for (int g = 0; g < pools_.num_groups(); ++g)  // whether it has whole blocks of the part
      if (lease.num_tokens / nodes_.block_size(g) * nodes_.block_size(g) > whole) return;
    evictions_.move(lease, nodes_.tree.above(lease.node, whole));
  }

  void shorten(PrefixLease& lease, std::int32_t num_tokens, bool with_part) noexcept override {
    lease.num_reported_units = std::min(lease.num_reported_units, num_tokens / unit());
    lease.num_tokens = std::min(lease.num_tokens, num_tokens);
    std::int32_t const end = nodes_.whole_units(lease.num_tokens + (with_part ? unit() - 1 : 0));
    std::int32_t const last = evictions_.node_of(lease);
    if (last == no_node || at(last).end() <= end) return;
    std::int32_t node = nodes_.tree.above(last, end);
    try {
      node = evictions_.node_ending_at(node, end);
    } catch (std::bad_alloc const&) {  // it leases more than it must, until it is truncated another time
    }
    evictions_.move(lease, node);
  }

  void demoted(PrefixLease const& lease, SequenceState& state) noexcept override {
    std::int32_t const node = evictions_.node_of(lease);
    if (node == no_node) return;
    blocks_.upgrade({node, nodes_.whole_units(std::min(lease.num_tokens, at(node).end()))}, state);
    evictions_.measure_above(node);
  }

  /// The request that was looked up is served from now on, unless a fork of its sequence is already. What it found ends
  /// with a node, which `prepare` has seen to.
  void count_use(PrefixLease const& lease, PendingLookup& lookup, std::int32_t found) noexcept {
    if (std::exchange(lookup.counted, true)) return;
    evictions_.next_use();
    ++counters_.lookups;
    counters_.hit_tokens += found;
    counters_.missed_tokens += lookup.num_symbols - found;
    if (std::int32_t const node = evictions_.node_of(lease); node != no_node) {
      std::int32_t const last = nodes_.tree.above(node, nodes_.whole_units(found));
      evictions_.count_hit(last, found / unit());
      evictions_.join_above(last);
    }
    if constexpr (hears_lookups)
      evictions_.sink.looked_up({{lookup.symbols, lookup.scope}, found, unit(), lease.tenant});
  }

  /// Goes on comparing where `match` ends, in the edge of its node or after it.
  [[nodiscard]] PrefixMatch follow(PrefixMatch match, std::span<std::int32_t const> symbols, std::int32_t limit) const {
    match.num_symbols = nodes_.tree.follow(match.node, match.num_symbols, symbols);
    match.num_tokens = match.node == no_node ? 0 : blocks_.usable(match.node, std::min(match.num_symbols, limit));
    return match;
  }

  /// PrefixBlocks::new_leaf for a sequence, and memory to join it with what is above.
  [[nodiscard]] std::int32_t make_leaf(std::int32_t parent, SequenceState const& state,
                                       std::span<std::int32_t const> symbols, std::int32_t begin) {
    Node& leaf = blocks_.new_leaf(parent, state, symbols, begin, Evictions::keeps_keys);
    leaf.hit_depth = std::min(begin, state.num_cached_tokens) / unit();
    leaf.priority = state.prefix.retention.priority;
    leaf.expires = state.prefix.retention.expires;
    leaf.tenant = state.prefix.tenant;
    try {
      evictions_.reserve_joins(leaf.index, 0, state.prefix.node);
    } catch (...) {
      nodes_.tree.free_node(leaf);
      throw;
    }
    return leaf.index;
  }

  /// A leaf that was made comes into the tree. `symbols`: of the whole prefix.
  void add_leaf(Node& leaf, std::span<std::int32_t const> symbols) noexcept {
    blocks_.cache(leaf);
    leaf.created = leaf.last_use = time();
    leaf.order = evictions_.order();
    counters_.stored_units += leaf.units;
    evictions_.tell_stored(leaf, symbols);
    Node& parent = at(leaf.parent);
    nodes_.tree.link(parent, leaf);
    evictions_.update_candidate(parent.index);
    evictions_.update_candidate(leaf.index);
  }

  /// Tells of a sequence that is in the index with these symbols; the policy of what is new to it.
  void tell_inserted(SequenceState& state, std::int32_t scope, std::span<std::int32_t const> symbols) noexcept {
    PrefixLease& lease = state.prefix;
    std::int32_t const units = static_cast<std::int32_t>(symbols.size()) / unit(), told = lease.num_reported_units;
    lease.num_reported_units = std::max(told, units);
    PrefixInserted event{{},    told,   state.num_cached_tokens / unit(), evictions_.order(), at(lease.node).tenant,
                         scope, symbols};
    evictions_.tell_inserted(event, lease.node, units);
    attached_.inserted(event);
  }

  GroupPools& pools_;
  PrefixCounters counters_;
  PrefixNodes<> nodes_;
  PrefixBlocks<> blocks_;
  Evictions evictions_;
  std::shared_ptr<PrefixHolder*> self_;  // for pins, which may outlive it
  AttachedSinks attached_;
};

}  // namespace folio
