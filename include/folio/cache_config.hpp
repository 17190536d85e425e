// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The configuration of a cache, given when it is made. Host only.

#include <cstdint>
#include <folio/containers/keyed_hash.hpp>
#include <folio/error.hpp>
#include <folio/model.hpp>
#include <optional>
#include <string>
#include <vector>

namespace folio {

/// Demotion configuration: of a cache with the policy Demote.
struct DemotionConfig {
  /// Attention sinks: the first tokens of a sequence, which are never demoted; rounded up to whole blocks, in a cache
  /// that keeps prefixes to whole units.
  std::int32_t sinks = 16;
  std::int32_t recent_window = 64;            ///< the newest tokens of a sequence, which are not demoted
  std::vector<std::int64_t> num_blocks = {};  ///< of each second list, in the order of their groups; with the groups'
};

/// Cache configuration: what is known only at run time. Give either `memory_bytes` or `num_blocks`.
struct CacheConfig {
  std::int64_t memory_bytes = 0;              ///< budget for all lists' blocks; the cache takes what fits
  std::vector<std::int64_t> num_blocks = {};  ///< blocks of each layer group, besides its null block
  std::int32_t layers = 0;                    ///< where the ModelConfig leaves it dynamic
  std::int32_t kv_heads = 0;                  ///< likewise
  std::int32_t window = 0;                    ///< likewise, for every group whose window is dynamic
  std::int32_t tokens_per_sequence = 0;       ///< a hint: splits the budget between groups, and between their lists
  /// Tokens of earlier extensions that `truncate` may take back in groups with a window, besides the last extension's:
  /// those that are in flight when steps are scheduled ahead. A cache that keeps prefixes keeps at least a unit.
  std::int32_t tokens_in_flight = 0;
  /// Of the hash by which prefixes are found. Not given: another one for each cache, so that nobody can choose prompts
  /// that are slow to find. It changes no result.
  std::optional<HashSecret> hash_secret = {};
  DemotionConfig demotion = {};  ///< where the cache demotes
};

namespace detail {

inline void fill_in(std::int32_t& of_model, std::int32_t given, char const* name) {
  if (of_model == dynamic && given < 1)
    throw Error(std::string("folio: the model leaves ") + name + " dynamic: give CacheConfig::" + name +
                ", at least 1");
  if (of_model != dynamic && given != 0 && given != of_model)
    throw Error(std::string("folio: CacheConfig::") + name + " is " + std::to_string(given) + ", but the model says " +
                std::to_string(of_model) + "; leave it 0");
  if (of_model == dynamic) of_model = given;
}

}  // namespace detail

/// The model with its run-time numbers filled in. Throws Error when one is missing or contradicts the model.
[[nodiscard]] inline ModelConfig resolve_model(ModelConfig model, CacheConfig const& config) {
  detail::fill_in(model.layers, config.layers, "layers");
  bool needs_kv_heads = false, open_window = false;
  for (int g = 0; g < model.num_groups(); ++g) needs_kv_heads = needs_kv_heads || model.groups[g].kv_heads == 0;
  if (needs_kv_heads) detail::fill_in(model.kv_heads, config.kv_heads, "kv_heads");  // latent groups have their own
  for (int g = 0; g < model.num_groups(); ++g) {
    if (model.groups[g].window != dynamic) continue;
    detail::fill_in(model.groups[g].window, config.window, "window");
    open_window = true;
  }
  if (config.window != 0 && !open_window)
    throw Error("folio: CacheConfig gives a window of " + std::to_string(config.window) +
                ", but no window of the model is dynamic; leave it 0");
  return model;
}

}  // namespace folio
