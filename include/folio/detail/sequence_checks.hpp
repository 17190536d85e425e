// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What cannot be done to a sequence, in a sentence. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/detail/demotion_rules.hpp>
#include <folio/detail/sequence_state.hpp>
#include <folio/error.hpp>
#include <folio/model.hpp>
#include <limits>
#include <string>
#include <utility>

namespace folio {

namespace detail {

[[nodiscard]] inline Error no_extension(SequenceState const& state, std::int32_t n) {
  return Error("folio: cannot append " + std::to_string(n) + " tokens to a sequence of " +
               std::to_string(state.num_tokens) + "; a sequence has at most 2147483647");
}

}  // namespace detail

/// Throws Error where no sequence can have n tokens more than this one.
inline void check_extension(SequenceState const& state, std::int32_t n) {
  if (n < 0 || n > std::numeric_limits<std::int32_t>::max() - state.num_tokens) throw detail::no_extension(state, n);
}

/// How many more tokens of a sequence can be demoted: whole units of those before position `limit`, in each group what
/// it stores of them. Of tokens in a gap nobody knows where they are: they stay.
[[nodiscard]] inline std::int32_t num_due(DemotionRules const& rules, SequenceState const& state,
                                          std::int32_t limit) noexcept {
  limit = std::max(0, limit);
  std::int32_t due = limit;
  for (int g = 0; g < rules.num_groups; ++g) {
    if (!rules.demotes(g)) continue;
    BlockList const& list = state.lists[g];
    DemotedTokens const demoted = rules.tokens(state.num_demoted, g);
    std::int32_t stored = list.num_stored_before(limit, state.num_tokens, demoted);
    if (stored < 0) stored = list.num_stored_before(list.gap_begin, state.num_tokens, demoted);
    due = std::min(due, std::max(0, stored - rules.sinks));
  }
  return due / rules.unit * rules.unit;
}

namespace detail {

/// The nearest lengths below n and above it that lie in no group's gap, and leave whole units of demoted tokens.
[[nodiscard]] inline std::pair<std::int32_t, std::int32_t> truncations_around(SequenceState const& state,
                                                                              std::int32_t n,
                                                                              DemotedTokens const& demoted,
                                                                              std::int32_t unit) noexcept {
  std::int32_t below = n, above = n + (unit - demoted.num_before(n) % unit) % unit;
  for (int round = 0; round < max_groups; ++round)  // a gap may lie at the end of another one
    for (BlockList const& list : state.lists) {
      if (below > list.gap_begin && below < list.gap_end) below = list.gap_begin;
      if (above > list.gap_begin && above < list.gap_end) above = list.gap_end;
    }
  below -= demoted.num_before(below) % unit;  // which lies in no gap: those end after what is demoted
  return {below, above};
}

}  // namespace detail

/// Throws Error where a length is not from 0 to the sequence's, or inside the gap of layer group `g`, or where that has
/// given back tokens that the next query at n would see.
/// Where the group demotes: or where that many demoted tokens are no whole units.
inline void check_truncate(SequenceState const& state, int g, GroupShape const& shape, std::int32_t n,
                           DemotedTokens const& demoted = {}, std::int32_t unit = 1) {
  if (n < 0 || n > state.num_tokens)
    throw Error("folio: cannot truncate a sequence of " + std::to_string(state.num_tokens) + " tokens to " +
                std::to_string(n) + "; give a length from 0 to that");
  BlockList const& list = state.lists[g];
  auto const refusal = [&](std::string const& why) {
    auto const [below, above] = detail::truncations_around(state, n, demoted, unit);
    return Error("folio: cannot truncate to " + std::to_string(n) + " tokens: " + why + "; truncate to " +
                 std::to_string(below) + " or to " + std::to_string(above));
  };
  if (list.num_stored_before(n, state.num_tokens) < 0)
    throw refusal("of tokens " + std::to_string(list.gap_begin) + " to " + std::to_string(list.gap_end) +
                  " layer group " + std::to_string(g) + " stores some no more: " +
                  std::to_string(list.num_tokens + demoted.num_tokens) + " of " + std::to_string(state.num_tokens));
  if (demoted.num_before(n) % unit != 0)
    throw refusal("from token " + std::to_string(demoted.sinks) + " on " + std::to_string(demoted.num_tokens) +
                  " are demoted, in units of " + std::to_string(unit) + "; demote accepted tokens only");
  std::int32_t const first_resident_block = state.lists[g].first_resident_block;
  std::int32_t const sink_blocks = blocks_for(shape.sinks, shape.block_size);
  if (first_resident_block <= sink_blocks || blocks_for(n, shape.block_size) <= sink_blocks) return;
  std::int64_t const first_held = std::int64_t{first_resident_block} * shape.block_size;
  if (shape.window_begin(n) >= first_held) return;
  throw Error("folio: cannot truncate to " + std::to_string(n) + " tokens: layer group " + std::to_string(g) +
              ", with a window of " + std::to_string(shape.window) + ", gave back the tokens before " +
              std::to_string(first_held) + "; truncate to 0 or to at least " +
              std::to_string(first_held + shape.window - 1) +
              ", or let the cache keep more (CacheConfig::tokens_in_flight)");
}

/// Throws Error where layer group `g` gave back what a query at `position` sees of its window, or what a later one does
/// where it sees tokens of the sinks' blocks alone.
template <class State>
void check_seen(State const& state, int g, GroupShape const& shape, std::int32_t position) {
  if (shape.window == 0) return;
  // Blocks are given back from the end of the sinks' on, so the first one after those tells.
  auto const block = static_cast<std::size_t>(
      std::max(shape.window_begin(position) / shape.block_size, blocks_for(shape.sinks, shape.block_size)));
  BlockList const& list = state.lists[g];
  if (block < list.blocks.size() && list.blocks[block] == null_block)
    throw Error("folio: query token " + std::to_string(position) + " of sequence " + std::to_string(to_int(state.id)) +
                " sees tokens that layer group " + std::to_string(g) +
                " gave back when they left its window; take fewer query tokens, or later ones");
}

/// Throws Error where layer group `g` is not known to store the token at `position`, which is to be a query.
template <class State>
void check_query_stored(State const& state, int g, std::int32_t position, DemotedTokens const& demoted = {}) {
  if (demoted.num_tokens > 0 && position < demoted.sinks + demoted.num_tokens)
    throw Error("folio: query token " + std::to_string(position) + " of sequence " + std::to_string(to_int(state.id)) +
                " is before the end of what layer group " + std::to_string(g) + " has demoted, at " +
                std::to_string(demoted.sinks + demoted.num_tokens) + "; take later query tokens");
  BlockList const& list = state.lists[g];
  if (position >= list.gap_begin && position < list.gap_end)
    throw Error("folio: query token " + std::to_string(position) + " of sequence " + std::to_string(to_int(state.id)) +
                " is in the gap of layer group " + std::to_string(g) + ", which stores some of tokens " +
                std::to_string(list.gap_begin) + " to " + std::to_string(list.gap_end) +
                " no more; take query tokens before or after them");
}

/// Throws Error where layer group `g` does not know how many tokens it stores below position `limit`, or where a query
/// that sees these does not see all that is demoted.
template <class State>
void check_limit(State const& state, int g, std::int32_t limit, DemotedTokens const& demoted = {}) {
  auto const refuse = [&](std::string const& why) {
    throw Error("folio: a query of sequence " + std::to_string(to_int(state.id)) +
                " cannot see just the tokens below position " + std::to_string(limit) + ": " + why);
  };
  if (demoted.num_tokens > 0 && limit < demoted.sinks + demoted.num_tokens)
    refuse("layer group " + std::to_string(g) + " has demoted tokens up to " +
           std::to_string(demoted.sinks + demoted.num_tokens) + ", which every query sees; give later limits");
  BlockList const& list = state.lists[g];
  if (limit > list.gap_begin && limit < list.gap_end)
    refuse("layer group " + std::to_string(g) + " stores some of tokens " + std::to_string(list.gap_begin) + " to " +
           std::to_string(list.gap_end) + " no more; give limits before or after them");
}

/// Throws Error where layer group `g` no longer stores the last n tokens, which are to be a step's queries, or what the
/// first of them sees.
template <class State>
void check_queries(State const& state, int g, GroupShape const& shape, std::int32_t n,
                   DemotedTokens const& demoted = {}) {
  BlockList const& list = state.lists[g];
  auto const first = [&] { return "folio: the first query token of sequence " + std::to_string(to_int(state.id)); };
  if (state.num_tokens - n < list.gap_end)
    throw Error(first() + " is " + std::to_string(state.num_tokens - n) + " of " + std::to_string(state.num_tokens) +
                ", before the end of the gap in layer group " + std::to_string(g) + " at " +
                std::to_string(list.gap_end) + "; take fewer query tokens");
  if (demoted.num_tokens > 0 && n > list.num_tokens - demoted.sinks)
    throw Error(first() + " is demoted in layer group " + std::to_string(g) + ", which has " +
                std::to_string(list.num_tokens - demoted.sinks) +
                " newer tokens; take no more query tokens than that, or demote after the step");
  check_seen(state, g, shape, state.num_tokens - n);
}

namespace detail {

/// Throws Error for a layer group with a window, from which nothing is taken out.
inline void check_no_window(int g, GroupShape const& shape) {
  if (shape.window != 0)
    throw Error("folio: layer group " + std::to_string(g) + " has a window of " + std::to_string(shape.window) +
                ", which is what it keeps: no other tokens can be taken out of it");
}

/// Throws Error where tokens before `first` stay, and not all the sinks of a cache that demotes do.
inline void check_sinks(int g, std::int32_t first, std::int32_t sinks) {
  if (first < sinks)
    throw Error("folio: the first " + std::to_string(sinks) + " tokens of layer group " + std::to_string(g) +
                " are sinks, which stay: take tokens out from there on, not from " + std::to_string(first));
}

}  // namespace detail

/// Throws Error unless layer group `g` stores tokens [first, end).
inline void check_stored(SequenceState const& state, int g, std::int32_t first, std::int32_t end) {
  if (first < 0 || end < first || end > state.lists[g].num_tokens)
    throw Error("folio: layer group " + std::to_string(g) + " stores " + std::to_string(state.lists[g].num_tokens) +
                " tokens of the sequence, not tokens " + std::to_string(first) + " to " + std::to_string(end));
}

/// Throws Error where stored tokens [first, first + n) cannot be taken out of layer group `g`.
inline void check_cut(SequenceState const& state, int g, GroupShape const& shape, std::int32_t first, std::int32_t n,
                      std::int32_t sinks = 0) {
  detail::check_no_window(g, shape);
  if (n > 0) detail::check_sinks(g, first, sinks);
  std::int32_t const stored = state.lists[g].num_tokens;
  if (first < 0 || n < 0 || first > stored - n)
    throw Error("folio: cannot cut " + std::to_string(n) + " tokens from " + std::to_string(first) +
                " on: layer group " + std::to_string(g) + " stores " + std::to_string(stored) + " of the sequence's " +
                std::to_string(state.num_tokens));
  if (first % shape.block_size != 0 || n % shape.block_size != 0)
    throw Error("folio: cut takes whole blocks, of " + std::to_string(shape.block_size) + " tokens in layer group " +
                std::to_string(g) + ", not " + std::to_string(n) + " tokens from " + std::to_string(first) + " on");
}

/// Blocks of stored tokens [first, end) of a list that a fork, a prefix index or anybody else counts on.
template <class Pool>
[[nodiscard]] std::int32_t num_shared_blocks(BlockList const& list, GroupShape const& shape, Pool const& pool,
                                             std::int32_t first, std::int32_t end) {
  std::int32_t shared = 0;
  for (std::int32_t i = first / shape.block_size; first < end && i < blocks_for(end, shape.block_size); ++i) {
    BlockId const block = list.blocks[static_cast<std::size_t>(i)];
    shared += block != null_block && pool.is_shared(block) ? 1 : 0;
  }
  return shared;
}

/// Throws Error where `kept` cannot be what stays stored in layer group `g`, or where others have blocks that were
/// written when it was moved to the front.
template <class Pool>
void check_keep(SequenceState const& state, int g, GroupShape const& shape, Pool const& pool, KeptTokens const& kept,
                std::int32_t sinks = 0) {
  detail::check_no_window(g, shape);
  BlockList const& list = state.lists[g];
  if (kept.num_tokens < 0 || kept.num_tokens > list.num_tokens || kept.num_first < 0 || kept.num_last < 0 ||
      kept.num_first > kept.num_tokens - kept.num_last)
    throw Error("folio: cannot keep " + std::to_string(kept.num_tokens) + " tokens, the first " +
                std::to_string(kept.num_first) + " and the last " + std::to_string(kept.num_last) +
                " among them: layer group " + std::to_string(g) + " stores " + std::to_string(list.num_tokens) +
                " of the sequence's " + std::to_string(state.num_tokens));
  if (kept.num_tokens < list.num_tokens) detail::check_sinks(g, kept.num_first, sinks);
  if (kept.num_tokens < list.num_tokens && num_shared_blocks(list, shape, pool, kept.num_first, kept.num_tokens) > 0)
    throw Error("folio: cannot keep " + std::to_string(kept.num_tokens) + " tokens of layer group " +
                std::to_string(g) + ", of which the first " + std::to_string(kept.num_first) +
                " stayed where they were: a fork or a prefix index has blocks of the others, which no compaction may "
                "write; ask Sequence::num_shared_blocks before");
}

}  // namespace folio
