// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Many prompts at once, sorted by common prefix: what a scheduler looks at before a step. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/error.hpp>
#include <folio/prefix/prefix.hpp>
#include <folio/prefix/radix_tree.hpp>
#include <folio/sequence.hpp>
#include <numeric>
#include <span>
#include <string>
#include <vector>

namespace folio {

/// A prompt's place among others.
struct PrefixPlace {
  std::size_t prompt;       ///< its index in what was sorted
  std::int32_t num_shared;  ///< symbols that it begins with as the prompt before it in the order; 0 of the first
};

/// Sorts prompts so that those with a common opening follow each other, the longest first where one is the beginning of
/// another; equal ones stay in their order. Where `num_shared` is more than the cache has of a prompt, computing the
/// prompt before it first, and inserting it, spares computing what they share. Cost: O(prompts * log prompts)
/// comparisons of two prompts.
[[nodiscard]] inline std::vector<PrefixPlace> sort_by_prefix(std::span<Prefix const> prompts) {
  auto const shared = [&](std::size_t a, std::size_t b) {
    if (prompts[a].scope != prompts[b].scope) return std::int32_t{0};
    return common_prefix(prompts[a].symbols.data(), prompts[b].symbols.data(),
                         std::min(prompts[a].size(), prompts[b].size()));
  };
  std::vector<std::size_t> order(prompts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    if (prompts[a].scope != prompts[b].scope) return prompts[a].scope < prompts[b].scope;
    auto const same = static_cast<std::size_t>(shared(a, b));
    if (same == prompts[a].symbols.size() || same == prompts[b].symbols.size())
      return prompts[a].size() > prompts[b].size();
    return prompts[a].symbols[same] < prompts[b].symbols[same];
  });
  std::vector<PrefixPlace> places;
  for (std::size_t const i : order) places.push_back({i, places.empty() ? 0 : shared(places.back().prompt, i)});
  return places;
}

/// Of each prompt, how many tokens may be found: `most[i]`, or all but the last one where `most` is empty. Throws Error
/// for numbers that are not one for each prompt, and for one below 0; std::bad_alloc.
[[nodiscard]] inline std::vector<std::int32_t> most_found(std::span<Prefix const> prompts,
                                                          std::span<std::int32_t const> most) {
  if (!most.empty() && most.size() != prompts.size())
    throw Error("folio: a number of tokens that may be found is given for each of " + std::to_string(prompts.size()) +
                " prompts, or none, not " + std::to_string(most.size()));
  std::vector<std::int32_t> limits(prompts.size());
  for (std::size_t i = 0; i < limits.size(); ++i)
    limits[i] = most_found(prompts[i], most.empty() ? all_tokens : most[i]);
  return limits;
}

/// Batched look-up: what the cache has of each prompt: create() of the prompt alone would begin with as many tokens.
/// Changes nothing, and counts as no use. `places`: sort_by_prefix of the same prompts; what prompts share is compared
/// once. `most[i]`: as for create, or empty for all. For schedulers that prefer requests with much in the cache. Throws
/// Error for numbers in `most` that are not one for each prompt, and for one below 0; std::bad_alloc.
template <class Cache>
[[nodiscard]] std::vector<std::int32_t> num_cached_tokens(Cache const& cache, std::span<Prefix const> prompts,
                                                          std::span<PrefixPlace const> places,
                                                          std::span<std::int32_t const> most = {}) {
  auto const& tree = cache.prefixes();
  std::vector<std::int32_t> found = most_found(prompts, most);  // until they are looked up, the limits
  PrefixMatch match;
  for (std::size_t i = 0; i < places.size(); ++i) {
    Prefix const& prompt = prompts[places[i].prompt];
    bool const goes_on = i > 0 && prompts[places[i - 1].prompt].scope == prompt.scope;
    std::int32_t& tokens = found[places[i].prompt];
    match = goes_on ? tree.find(match, places[i].num_shared, prompt.symbols, tokens)
                    : tree.find(prompt.scope, prompt.symbols, tokens);
    tokens = match.num_tokens;
  }
  return found;
}

/// KvCache::create for each prompt, in the prompts' order: what any of them finds is held before a block is evicted for
/// the rest of another. `most[i]`: as for create, or empty for all. Throws Error for numbers in `most` that are not one
/// for each prompt, and for one below 0; std::bad_alloc. No sequence is left then.
template <class Cache>
[[nodiscard]] std::vector<Sequence> create_all(Cache& cache, std::span<Prefix const> prompts, std::int32_t tenant = 0,
                                               std::span<std::int32_t const> most = {}) {
  std::vector<std::int32_t> const limits = most_found(prompts, most);
  std::vector<Sequence> sequences(prompts.size());
  for (PrefixPlace const& place : sort_by_prefix(prompts))
    sequences[place.prompt] = cache.create(prompts[place.prompt], tenant, limits[place.prompt]);
  return sequences;
}

/// A sequence, and what its first tokens are.
struct NamedSequence {
  Sequence* sequence;
  Prefix tokens;
};

/// KvCache::insert for each, the longest of those with one opening first, so that no edge is made that the next one
/// only splits or extends. Throws Error as insert does; those before it are inserted then.
template <class Cache>
void insert_all(Cache& cache, std::span<NamedSequence const> sequences) {
  std::vector<Prefix> prefixes;
  for (NamedSequence const& one : sequences) prefixes.push_back(one.tokens);
  for (PrefixPlace const& place : sort_by_prefix(prefixes))
    cache.insert(*sequences[place.prompt].sequence, prefixes[place.prompt]);
}

}  // namespace folio
