// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the host's driver and the device's driver of random programs share with the programs: the model, and how rows
// differ.

#include <cstring>
#include <folio/folio.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "support/naive_attention.hpp"
#include "support/reference_cache.hpp"

namespace folio::test {

/// Every kind of layer group at once, each with a block size of its own and small enough that every edge is met often:
/// full attention, a window with sinks that divides no block, and a latent.
inline constexpr folio::ModelConfig program_model{
    .layers = 4,
    .kv_heads = 2,
    .head_dim = 16,
    .value_head_dim = 8,
    .groups = {folio::full_attention(), folio::sliding_window(6, 2), folio::latent(16, 8)},
    .pattern = folio::repeat_groups({0, 1, 2, 1})};

template <class Layout, class Allocator, class Quantizers>
struct ProgramCacheOf;
template <class Layout, class Allocator, class... Q>
struct ProgramCacheOf<Layout, Allocator, std::tuple<Q...>> {
  using type = folio::KvCache<folio::Model<program_model>, folio::BlockSizes<4, 3, 2>, Layout, Allocator, Q...>;
};
/// The cache of a program, whose quantizers are given as a tuple.
template <class Layout, class Allocator, class Quantizers>
using ProgramCache = typename ProgramCacheOf<Layout, Allocator, Quantizers>::type;

/// Of so many blocks in each list: those of the groups, and those of what is demoted. Half of those that keep prefixes
/// have no sinks, which would be whole units.
template <class Cache>
folio::CacheConfig program_config(std::vector<std::int64_t> const& num_blocks) {
  auto const end = num_blocks.begin() + Cache::num_groups;
  folio::CacheConfig config{.num_blocks = {num_blocks.begin(), end}};
  if constexpr (Cache::has_demotion)
    config.demotion = {.sinks = Cache::has_prefixes && num_blocks[0] % 2 == 0 ? 0 : 3,
                       .recent_window = 2,
                       .num_blocks = {end, num_blocks.end()}};
  return config;
}

/// What tokens are appended to.
template <class View>
auto first_lists(View const& view) {
  if constexpr (requires { view.recent; })
    return view.recent;
  else
    return view;
}

/// What the new tokens of a step write in one layer: [token of the batch][head][dim].
struct ProgramInput {
  std::vector<float> keys, values;
};

inline constexpr std::int32_t asked_heads = 2;

/// Queries of a step in one layer, [query][asked_heads][key_dim], and what attention should come to.
struct AskedAttention {
  static constexpr float scale = 0.5F;
  std::int32_t layer = 0;
  std::vector<float> q = {};
  NaiveAttention wanted = {};
};

/// What is held beside the sequences, as it was when it was taken.
struct HeldBlocks {
  std::vector<std::vector<folio::BlockId>> blocks;  // by group
  std::int32_t num_tokens = 0;
};

inline void expect(bool ok, std::string const& what) {
  if (!ok) throw std::logic_error(what);
}

/// Throws std::logic_error unless a row that was read is the one that was written, bit by bit.
inline void expect_row(float const* read, float const* wanted, std::int32_t dim, std::size_t i, std::int32_t layer,
                       std::int32_t token) {
  if (std::memcmp(read, wanted, sizeof(float) * static_cast<std::size_t>(dim)) == 0) return;
  std::ostringstream what;
  what << "sequence " << i << ", layer " << layer << ", token " << token << ": read " << read[0] << ", " << read[1]
       << "..., written was " << wanted[0] << ", " << wanted[1] << "...";
  throw std::logic_error(what.str());
}

}  // namespace folio::test
