// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What makes two prefixes the same: the words that the prefix tree and its users share. Host only.

#include <algorithm>
#include <cstdint>
#include <folio/error.hpp>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace folio {

/// A prefix as the tree compares it: a scope, and a symbol for each token. Two prefixes are the same where both are.
///
/// A symbol that is not negative is a token. Whatever else changes keys or values is a negative symbol, which a
/// KeyTable (prefix/key_table.hpp) hands out. Plain tokens are the prefix of a text for the cache's own model, scope 0.
/// Refers to the caller's array. Of the first n tokens of a vector: `Prefix{std::span(tokens).first(n)}`.
struct Prefix {
  std::span<std::int32_t const> symbols;
  std::int32_t scope = 0;

  Prefix(std::span<std::int32_t const> s, std::int32_t in_scope = 0) : symbols(s), scope(in_scope) {}
  Prefix(std::vector<std::int32_t> const& s, std::int32_t in_scope = 0)
      : symbols(s.data(), s.size()), scope(in_scope) {}

  [[nodiscard]] std::int32_t size() const noexcept { return static_cast<std::int32_t>(symbols.size()); }
};

/// Tokens of a prompt that may be found: at most `most`, and not its last one, whose logits somebody wants. Throws
/// Error for a `most` below 0.
[[nodiscard]] inline std::int32_t most_found(Prefix const& prompt, std::int32_t most) {
  if (most < 0)
    throw Error("folio: at most " + std::to_string(most) + " tokens of a prompt are to be found; give 0 or more");
  return std::min(most, std::max(prompt.size() - 1, 0));
}

/// Retention priority and time to live: how long the blocks of a prefix are worth keeping.
struct Retention {
  static constexpr std::int32_t default_priority = 35;

  std::int32_t priority = default_priority;                  ///< 0 goes first, 100 last
  double expires = std::numeric_limits<double>::infinity();  ///< on the cache's clock: then the priority is the default
};

/// Throws Error for a priority that is not from 0 to 100.
inline void check_retention(Retention const& retention) {
  if (retention.priority < 0 || retention.priority > 100)
    throw Error("folio: a priority of " + std::to_string(retention.priority) +
                " is not known; 0 goes first and 100 last");
}

/// What a look-up found: the node in which the prefix ends, and how many tokens a new sequence can take from it. Good
/// until the tree changes.
struct PrefixMatch {
  std::int32_t node = -1;
  std::int32_t num_symbols = 0;  ///< that are the same
  std::int32_t num_tokens = 0;   ///< of them, those whose blocks are all there, and within the limit
};

/// What has happened in a tree.
struct PrefixCounters {
  std::int64_t lookups = 0;
  std::int64_t hit_tokens = 0, missed_tokens = 0;
  std::int64_t stored_units = 0, evicted_units = 0, evicted_blocks = 0;
  std::int64_t local_units = 0;    ///< of the stored ones, those whose keys mean nothing elsewhere; 0 without keys
  std::int64_t merged_blocks = 0;  ///< duplicates that sequences had computed and gave back
  double evicted_age = 0;          ///< seconds since the last use, summed over evicted units
};

/// What a tenant has in a tree and in its sequences now. Units and blocks of a prefix count for whoever stored it.
struct TenantGauges {
  std::int32_t tenant = 0;
  std::int64_t units = 0, pinned_units = 0;
  std::int64_t kept_blocks = 0;         ///< of the tree, of all groups, as all that follow
  std::int64_t pinned_blocks = 0;       ///< of them, those that a pin keeps
  std::int64_t reclaimable_blocks = 0;  ///< of them, those of prefixes that no sequence and no pin keeps
  std::int64_t live_blocks = 0;         ///< that its sequences hold; a shared one counts for each
};

/// The same of all tenants, together and in the order of their numbers.
struct PrefixGauges {
  TenantGauges all;
  std::vector<TenantGauges> tenants;
};

}  // namespace folio
