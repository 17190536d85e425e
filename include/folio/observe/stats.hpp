// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What happened? Gauges and counters of a cache, as a struct and as JSON. Host only.

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <folio/sequence.hpp>
#include <string>
#include <utility>
#include <vector>

namespace folio {

/// Gauges of one pool: of a layer group, or of what it demotes. Always: free + live + cached == total.
struct GroupStats {
  std::int64_t total = 0;        ///< blocks
  std::int64_t free = 0;         ///< blocks nobody holds, and whose contents nobody wants
  std::int64_t live = 0;         ///< blocks that sequences hold, or reservations for them
  std::int64_t cached = 0;       ///< blocks that no sequence holds and whose contents the prefix tree keeps
  std::int64_t shared = 0;       ///< live blocks with more than one holder
  std::int64_t peak_live = 0;    ///< the most that were ever live
  std::int64_t allocated = 0;    ///< blocks handed out since the beginning
  std::int64_t freed = 0;        ///< blocks given back since the beginning
  std::int64_t slots_held = 0;   ///< slots of live blocks
  std::int64_t slots_empty = 0;  ///< of them, those that hold no sequence's token; a shared slot counts once
  std::int64_t block_bytes = 0;
  std::int64_t reserved = 0;  ///< live blocks that are held ahead for sequences to grow into, and empty
  /// Tokens that sequences store, without what a window gave back and what cut and keep took out. A token that several
  /// share, by a fork or a prefix, counts for each; in slots_held - slots_empty it counts once.
  std::int64_t stored = 0;
  int group = 0;         ///< of the model
  bool demoted = false;  ///< whether it is the pool of what the group demotes
};

/// A snapshot of a cache. Sums are over all pools.
struct Stats {
  std::vector<GroupStats> groups;  ///< those of the layer groups, and then those of what they demote
  std::int64_t total = 0, free = 0, live = 0, cached = 0, shared = 0, peak_live = 0, reserved = 0;  ///< blocks
  std::int64_t allocated = 0, freed = 0;  ///< blocks, counted since the beginning
  std::int64_t slots_held = 0, slots_empty = 0;
  std::int64_t bytes_total = 0, bytes_live = 0, bytes_peak = 0;  ///< the peak adds up each group's own
  std::int64_t num_sequences = 0;
  std::int64_t num_tokens = 0;  ///< of all sequences, stored or not; tokens that a fork shares count for each
  SequenceCounters counters;
  /// What the demoted tokens would take in the first lists, less what they take: of all sequences, shared blocks once.
  std::int64_t bytes_saved = 0;
  PrefixCounters prefixes;  ///< zeros for a cache without an eviction policy

  /// Slots held but empty, as a share of the slots held, weighed by bytes. 0 when nothing is held.
  [[nodiscard]] double waste() const {
    double held = 0, empty = 0;
    for (GroupStats const& g : groups) {
      double const slot_bytes = g.slots_held > 0 ? double(g.live * g.block_bytes) / double(g.slots_held) : 0.0;
      held += slot_bytes * double(g.slots_held);
      empty += slot_bytes * double(g.slots_empty);
    }
    return held > 0 ? empty / held : 0.0;
  }
};

/// Slots of live blocks that hold no token. Only a sequence's last block can have any, and only as long as no other
/// holder has filled it further. Cost: O(sequences * log). A template, as collect_stats, for the compiler: who asks for
/// no statistics does not pay for them.
template <class Store>
[[nodiscard]] std::int64_t count_empty_slots(Store const& store, int l) {
  auto block_size = store.shape(l).block_size;
  if (store.shape(l).layers == 0) return 0;
  std::vector<std::pair<BlockId, decltype(block_size)>> last;  // (last block, slots of it that one sequence fills)
  for (auto const& state : store.states()) {
    BlockList const& list = state->lists[l];
    if (!state->live || list.num_tokens % block_size == 0) continue;
    last.emplace_back(list.blocks.back(), list.num_tokens % block_size);
  }
  std::sort(last.begin(), last.end());
  std::int64_t empty = 0;
  for (std::size_t i = 0; i < last.size();) {
    std::size_t end = i;
    while (end < last.size() && last[end].first == last[i].first) ++end;
    BlockPool const& pool = store.pool(l);
    bool const someone_filled_it = pool.ref_count(last[i].first) > end - i || pool.is_cached(last[i].first);
    if (!someone_filled_it) empty += block_size - last[end - 1].second;  // sorted: the fullest is last
    i = end;
  }
  return empty;
}

/// Tokens that the sequences store in a list, without those in blocks that a window gave back. Cost: O(sequences).
template <class Store>
[[nodiscard]] std::int64_t count_stored_tokens(Store const& store, int l) {
  auto const shape = store.shape(l);
  if (shape.layers == 0) return 0;
  std::int32_t const sink_blocks = blocks_for(shape.sinks, shape.block_size);
  std::int64_t stored = 0;
  for (auto const& state : store.states()) {
    BlockList const& list = state->lists[l];
    std::int32_t const given_back = std::max(0, list.first_resident_block - sink_blocks);
    stored += list.num_tokens - std::int64_t{given_back} * shape.block_size;
  }
  return stored;
}

/// A snapshot. `block_bytes[l]`: bytes of a block of list l. Cost: O(sequences * log + lists).
template <class Store>
[[nodiscard]] Stats collect_stats(Store const& store, std::vector<std::int64_t> const& block_bytes) {
  Stats all;
  for (int l = 0; l < store.num_lists(); ++l) {
    BlockPool const& pool = store.pool(l);
    std::int64_t const bytes = block_bytes[static_cast<std::size_t>(l)];
    GroupStats s{pool.num_blocks(),
                 pool.num_free(),
                 pool.num_live(),
                 pool.num_cached(),
                 pool.num_shared(),
                 pool.peak_live(),
                 pool.num_allocated(),
                 pool.num_freed(),
                 0,
                 0,
                 bytes};
    s.slots_held = s.live * store.shape(l).block_size;
    s.demoted = l >= store.num_groups();
    s.group = s.demoted ? 0 : l;
    while (s.demoted && store.demotion().second_list(s.group) != l) ++s.group;
    s.reserved = s.demoted ? 0 : store.num_reserved(l);
    s.slots_empty = count_empty_slots(store, l) + s.reserved * store.shape(l).block_size;
    s.stored = count_stored_tokens(store, l);
    if (s.demoted) {
      auto const first = static_cast<std::size_t>(s.group);
      all.bytes_saved += s.slots_held * block_bytes[first] / store.shape(s.group).block_size - s.live * bytes;
    }
    all.groups.push_back(s);
    all.total += s.total;
    all.free += s.free;
    all.live += s.live;
    all.cached += s.cached;
    all.shared += s.shared;
    all.peak_live += s.peak_live;
    all.reserved += s.reserved;
    all.allocated += s.allocated;
    all.freed += s.freed;
    all.slots_held += s.slots_held;
    all.slots_empty += s.slots_empty;
    all.bytes_total += s.total * bytes;
    all.bytes_live += s.live * bytes;
    all.bytes_peak += s.peak_live * bytes;
  }
  for (auto const& state : store.states()) {
    all.num_sequences += state->live ? 1 : 0;
    all.num_tokens += state->num_tokens;
  }
  all.counters = store.counters();
  return all;
}

namespace detail {
/// Writes `"name":value` pairs of one JSON object.
class JsonObject {
 public:
  JsonObject& add(char const* name, std::int64_t value) { return raw(name, std::to_string(value)); }
  JsonObject& add(char const* name, double value) {
    char digits[32];  // to_chars, because printf follows the locale and JSON does not
    return raw(name, std::string(digits, std::to_chars(digits, digits + sizeof digits, value).ptr));
  }
  JsonObject& raw(char const* name, std::string const& json) {
    text_ += (text_.empty() ? "{\"" : ",\"") + std::string(name) + "\":" + json;
    return *this;
  }
  [[nodiscard]] std::string text() const { return text_.empty() ? "{}" : text_ + "}"; }

 private:
  std::string text_;
};
}  // namespace detail

/// One JSON object: the sums, the counters, and an array `groups`.
[[nodiscard]] inline std::string to_json(Stats const& s) {
  std::string groups = "[";
  for (GroupStats const& g : s.groups) {
    detail::JsonObject o;
    o.add("total", g.total).add("free", g.free).add("live", g.live).add("cached", g.cached).add("shared", g.shared);
    o.add("peak_live", g.peak_live).add("allocated", g.allocated).add("freed", g.freed).add("reserved", g.reserved);
    o.add("slots_held", g.slots_held).add("slots_empty", g.slots_empty).add("block_bytes", g.block_bytes);
    o.add("stored", g.stored).add("group", std::int64_t{g.group}).add("demoted", std::int64_t{g.demoted});
    groups += (groups.size() > 1 ? "," : "") + o.text();
  }
  detail::JsonObject o;
  o.add("total", s.total).add("free", s.free).add("live", s.live).add("cached", s.cached).add("shared", s.shared);
  o.add("peak_live", s.peak_live).add("allocated", s.allocated).add("freed", s.freed).add("reserved", s.reserved);
  o.add("slots_held", s.slots_held).add("slots_empty", s.slots_empty).add("waste", s.waste());
  o.add("bytes_total", s.bytes_total).add("bytes_live", s.bytes_live).add("bytes_peak", s.bytes_peak);
  o.add("num_sequences", s.num_sequences).add("num_tokens", s.num_tokens);
  o.add("created", s.counters.created).add("released", s.counters.released).add("appends", s.counters.appends);
  o.add("truncates", s.counters.truncates).add("forks", s.counters.forks).add("copies", s.counters.copies);
  o.add("out_of_blocks", s.counters.out_of_blocks).add("demotions", s.counters.demotions);
  o.add("demoted_tokens", s.counters.demoted_tokens).add("bytes_saved", s.bytes_saved);
  PrefixCounters const& p = s.prefixes;
  std::int64_t const looked_up = p.hit_tokens + p.missed_tokens;
  o.add("lookups", p.lookups).add("hit_tokens", p.hit_tokens).add("missed_tokens", p.missed_tokens);
  o.add("hit_rate", looked_up > 0 ? double(p.hit_tokens) / double(looked_up) : 0.0);
  o.add("stored_units", p.stored_units).add("evicted_units", p.evicted_units).add("evicted_blocks", p.evicted_blocks);
  o.add("mean_evicted_age", p.evicted_units > 0 ? p.evicted_age / double(p.evicted_units) : 0.0);
  o.add("local_units", p.local_units).add("merged_blocks", p.merged_blocks).raw("groups", groups + "]");
  return o.text();
}

/// One JSON object: what all tenants have together, and an array `tenants`.
[[nodiscard]] inline std::string to_json(PrefixGauges const& gauges) {
  auto const write = [](TenantGauges const& t, detail::JsonObject o) {
    o.add("units", t.units).add("pinned_units", t.pinned_units).add("kept_blocks", t.kept_blocks);
    o.add("pinned_blocks", t.pinned_blocks).add("reclaimable_blocks", t.reclaimable_blocks);
    return o.add("live_blocks", t.live_blocks);
  };
  std::string tenants = "[";
  for (TenantGauges const& t : gauges.tenants) {
    detail::JsonObject named;
    named.add("tenant", std::int64_t{t.tenant});
    tenants += (tenants.size() > 1 ? "," : "") + write(t, named).text();
  }
  return write(gauges.all, {}).raw("tenants", tenants + "]").text();
}

}  // namespace folio
