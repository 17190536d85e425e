// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which tokens of a sequence are a step's queries, and how far each sees. Host only.

#include <cstddef>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/detail/block_lists.hpp>
#include <folio/detail/sequence_checks.hpp>
#include <folio/detail/sequence_state.hpp>
#include <folio/error.hpp>
#include <folio/group_table.hpp>
#include <folio/model.hpp>
#include <limits>
#include <span>
#include <string>

namespace folio {

class Sequence;

/// Batch entry: one sequence of a step, and which of its tokens are queries: its last ones, or any others.
///
/// A query sees what its sequence stores up to its limit, its own token included: SequenceView::limit. For the last
/// tokens of a sequence that is the causal mask, and costs nothing. Others need an array of limits in the step's
/// tables, which a Batch has where an item needs it, and a DeviceBatch where its BatchCapacity says so.
///
/// The arrays are the caller's, and are read by calls that take the item, not later.
struct BatchItem {
  static constexpr std::int32_t last_extension = -1;

  /// The last `queries` tokens.
  BatchItem(Sequence const* s, std::int32_t queries = last_extension) : sequence(s), num_query_tokens(queries) {}
  /// The tokens at `at`: ascending positions, of tokens that every layer group stores, with all that they see, after
  /// what is demoted. Their slots are in the batch, so ops::append writes them anew, in blocks that others may share
  /// (Sequence::num_shared_blocks).
  BatchItem(Sequence const* s, std::span<std::int32_t const> at) : BatchItem(s, 0) { positions = at; }
  /// Queries whose tokens are stored elsewhere, or nowhere: one for each of `limits`, which do not descend. Query i
  /// sees what is stored of the tokens at positions below limits[i], in every layer group: as the token at position
  /// limits[i] - 1 does. So a limit is from 0 to Sequence::num_tokens, not inside a gap, and after what is demoted.
  /// Their slots are -1: ops::append writes nothing.
  [[nodiscard]] static BatchItem seeing(Sequence const* s, std::span<std::int32_t const> limits) {
    BatchItem item(s, 0);
    item.limits = limits;
    return item;
  }

  Sequence const* sequence;
  /// `last_extension`: Sequence::num_new_tokens, of the last extension alone. After two before a step: of both. 0 where
  /// there are positions or limits.
  std::int32_t num_query_tokens;
  std::span<std::int32_t const> positions, limits;  ///< one of them at most is not empty
};

/// A step's queries of one sequence, and the sequence as it was. The item's arrays are read while tables are made.
struct StepQueries {
  /// Throws Error, with the reason, for queries that a sequence in this state, a SequenceState, cannot have. A
  /// template, as the checks, for the compiler: sources that fill no tables do not pay for them.
  template <class State>
  StepQueries(BlockLists const& store, State const& of, BatchItem const& item)
      : lists(&store), state(&of), generation(of.generation) {
    bool const has_positions = !item.positions.empty();
    if (has_positions || !item.limits.empty()) {
      take_given(of, has_positions ? item.positions : item.limits, has_positions);
      return;
    }
    num_queries = item.num_query_tokens == BatchItem::last_extension ? of.num_new_tokens : item.num_query_tokens;
    if (num_queries < 0 || num_queries > of.num_tokens || !has_all(of)) check_last(of, num_queries);
  }

  /// Whether they are others than the sequence's last tokens.
  [[nodiscard]] bool has_limits() const noexcept { return kind != Kind::last; }
  /// How many of the tokens that group `g` stores query `q` sees.
  [[nodiscard]] std::int32_t limit(int g, std::int32_t q) const noexcept {
    auto const i = static_cast<std::size_t>(q);
    BlockList const& list = state->lists[g];
    if (!has_limits()) return list.num_tokens - num_queries + q + 1;
    return list.num_stored_before(given[i] + (kind == Kind::positions ? 1 : 0), state->num_tokens, demoted(g));
  }
  /// The first query's number among the tokens that group `g` stores; where there is none, that of the next token.
  [[nodiscard]] std::int32_t first_query(int g) const noexcept {
    return num_queries > 0 ? limit(g, 0) - 1 : state->lists[g].num_tokens;
  }

  /// The blocks of group `g` that the step has no use for.
  [[nodiscard]] std::int32_t num_hidden_blocks(GroupShape const& shape, int g) const noexcept {
    return shape.window == 0 ? 0 : hidden_blocks(shape, first_query(g));
  }

  /// Where the token of query `q`, of those that were given, is in group `g`; `no_slot` where it is elsewhere.
  [[nodiscard]] Slot slot(int g, std::int32_t q, std::int32_t block_size) const noexcept {
    if (kind != Kind::positions) return no_slot;
    std::int32_t const token = limit(g, q) - 1;
    return slot_of(state->lists[g].blocks[static_cast<std::size_t>(token / block_size)], token % block_size,
                   block_size);
  }

  BlockLists const* lists;     // of the store
  SequenceState const* state;  // lives as long as the store
  std::uint64_t generation;
  std::span<std::int32_t const> given = {};  // positions or limits; empty for last tokens
  std::int32_t num_queries = 0;
  enum class Kind : std::uint8_t { last, positions, limits } kind = Kind::last;

 private:
  /// Whether every group has all tokens of the sequence in its first list, as most have: then any last ones are there.
  [[nodiscard]] bool has_all(SequenceState const& of) const noexcept {
    bool all = of.num_demoted == 0;
    for (int g = 0; g < lists->num_groups(); ++g) all = all && lists->shape(g).window == 0 && of.lists[g].gap_end == 0;
    return all;
  }
  [[nodiscard]] DemotedTokens demoted(int g) const noexcept {
    DemotionRules const& rules = lists->demotion();
    return g < rules.num_groups ? rules.tokens(state->num_demoted, g) : DemotedTokens{};
  }
  template <class State>
  [[nodiscard]] static std::string name(State const& of) {
    return "sequence " + std::to_string(to_int(of.id));
  }

  template <class State>
  void check_last(State const& of, std::int32_t n) {
    if (n < 0 || n > of.num_tokens)
      throw Error("folio: " + name(of) + " has " + std::to_string(of.num_tokens) + " tokens, so it cannot have " +
                  std::to_string(n) + " query tokens");
    for (int g = 0; n > 0 && g < lists->num_groups(); ++g) check_queries(of, g, lists->shape(g), n, demoted(g));
  }

  template <class State>
  void take_given(State const& of, std::span<std::int32_t const> all, bool are_positions) {
    given = all;
    kind = are_positions ? Kind::positions : Kind::limits;
    if (given.size() > std::size_t{std::numeric_limits<std::int32_t>::max()})
      throw Error("folio: a batch has at most 2147483647 query tokens, not " + std::to_string(given.size()));
    num_queries = static_cast<std::int32_t>(given.size());
    for (std::size_t i = 1; i < given.size(); ++i)
      if (given[i] < given[i - 1] || (are_positions && given[i] == given[i - 1]))
        throw Error("folio: the " + std::string(are_positions ? "positions" : "limits") + " of queries of " + name(of) +
                    " ascend, but " + std::to_string(given[i]) + " comes after " + std::to_string(given[i - 1]));
    for (std::int32_t const p : given)
      if (p < 0 || p > of.num_tokens || (are_positions && p == of.num_tokens))
        throw Error("folio: " + name(of) + " has " + std::to_string(of.num_tokens) + " tokens, so " +
                    (are_positions ? "none at position " + std::to_string(p) + " can be a query"
                                   : std::to_string(p) + " cannot be a query's limit"));
    for (int g = 0; g < lists->num_groups(); ++g) {
      for (std::int32_t const p : given)
        if (are_positions)
          check_query_stored(of, g, p, demoted(g));
        else
          check_limit(of, g, p, demoted(g));
      GroupShape const& shape = lists->shape(g);
      for (std::int32_t q = 0; q < num_queries; ++q) {
        std::int32_t const number = limit(g, q) - 1;
        if (number >= 0 && number / shape.block_size >= blocks_for(shape.sinks, shape.block_size))
          check_seen(of, g, shape, number);
      }
    }
  }
};

}  // namespace folio
