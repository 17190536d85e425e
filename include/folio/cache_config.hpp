// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The configuration of a cache, given when it is made. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/containers/sip_hash.hpp>
#include <folio/error.hpp>
#include <folio/model.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace folio {

/// Demotion configuration: of a cache with the policy Demote.
struct DemotionConfig {
  /// Attention sinks: the first tokens of a sequence, which are never demoted; rounded up to whole blocks, in a cache
  /// that keeps prefixes to whole units. Not given: 16.
  std::optional<std::int32_t> sinks = {};
  std::optional<std::int32_t> recent_window = {};  ///< the newest tokens of a sequence, not demoted; not given: 64
  std::vector<std::int64_t> num_blocks = {};  ///< of each second list, in the order of their groups; with the groups'
};

/// Cache configuration: what is known only at run time. Give either `memory_bytes` or `num_blocks`.
struct CacheConfig {
  std::int64_t memory_bytes = 0;  ///< budget for all lists' blocks; the cache takes what fits
  /// Blocks of each layer group, besides its null block. A group without layers has none, whatever is given.
  std::vector<std::int64_t> num_blocks = {};
  std::int32_t layers = 0;    ///< where the ModelConfig leaves it dynamic
  std::int32_t kv_heads = 0;  ///< likewise
  std::int32_t window = 0;    ///< likewise, for every group whose window is dynamic
  /// The group of each layer, where the model's pattern is dynamic: as many as there are layers, which it says, too.
  /// A group may have none. More than 128 layers must repeat after 128 or fewer.
  std::vector<std::int32_t> layer_groups = {};
  /// A hint: splits the budget between groups, and between their lists. Where the cache demotes, a first list gets what
  /// sequences hold that grow token by token, with a demotion after each: a longer prompt than the recent window comes
  /// in chunks with demotions between, or the first lists run out of blocks. Where prompts come whole, give
  /// `num_blocks`.
  std::int32_t tokens_per_sequence = 0;
  /// Tokens of earlier extensions that `truncate` may take back in groups with a window, besides the last extension's:
  /// those that are in flight when steps are scheduled ahead. A cache that keeps prefixes keeps at least a unit.
  std::int32_t tokens_in_flight = 0;
  /// Of the keys of prefixes (prefix/prefix_key.hpp), and of the hash by which they are found. Not given: another one
  /// for each cache. Give one where ranks, runs or other processes are to have the same keys, and keep it: who has it
  /// can choose prompts that collide in tables of keys, or that are slow to find. It changes no result, but what a
  /// policy that samples keys evicts.
  std::optional<KeySecret> key_secret = {};
  DemotionConfig demotion = {};  ///< where the cache demotes; else nothing is given
};

namespace detail {

/// Templates, for the compiler: sources that make no cache pay for no more than their declarations.
template <class Number>
void fill_in(Number& of_model, Number given, char const* name) {
  if (of_model == dynamic && given < 1)
    throw Error(std::string("folio: the model leaves ") + name + " dynamic: give CacheConfig::" + name +
                ", at least 1");
  if (of_model != dynamic && given != 0 && given != of_model)
    throw Error(std::string("folio: CacheConfig::") + name + " is " + std::to_string(given) + ", but the model says " +
                std::to_string(of_model) + "; leave it 0");
  if (of_model == dynamic) of_model = given;
}

/// The pattern of `model` and how many layers it is said to have, 0 if it is not.
template <class Config>
[[nodiscard]] std::int32_t fill_in_pattern(ModelConfig& model, Config const& config) {
  auto const& groups = config.layer_groups;
  auto const layers = static_cast<std::int32_t>(groups.size());
  auto const say = [&](std::string const& what) { return Error("folio: CacheConfig::layer_groups " + what); };
  bool const is_open = model.pattern.period == dynamic;
  if (layers == 0) {
    if (is_open && model.num_groups() > 1)
      throw Error(
          "folio: the model leaves its pattern dynamic: give CacheConfig::layer_groups, the group of each layer");
    if (is_open) model.pattern = {};
    return config.layers;
  }
  std::int32_t const expected = model.layers != dynamic ? model.layers : config.layers;
  if (expected > 0 && layers != expected)
    throw say("has " + std::to_string(layers) + " entries, and the model " + std::to_string(expected) +
              " layers; give one for each");
  for (std::int32_t l = 0; l < layers; ++l) {
    std::int32_t const group = groups[static_cast<std::size_t>(l)];
    if (group < 0 || group >= model.num_groups())
      throw say("has layer " + std::to_string(l) + " in group " + std::to_string(group) + "; the model has " +
                std::to_string(model.num_groups()) + ", counted from 0");
    if (!is_open && group != model.pattern.at(l % model.pattern.period))
      throw say("has layer " + std::to_string(l) + " in group " + std::to_string(group) +
                ", but by the model's pattern it is in group " +
                std::to_string(model.pattern.at(l % model.pattern.period)) + "; leave it empty");
  }
  if (!is_open) return layers;
  std::int32_t period = 1;
  while (period < layers && !std::equal(groups.begin() + period, groups.end(), groups.begin())) ++period;
  if (period > LayerPattern::max_period)
    throw say("has " + std::to_string(layers) + " layers, which repeat only after " + std::to_string(period) +
              "; a pattern has at most " + std::to_string(LayerPattern::max_period) + " entries");
  model.pattern = repeat_groups(std::span(groups).first(static_cast<std::size_t>(period)));
  return layers;
}

}  // namespace detail

/// The model with its run-time numbers filled in; but for the windows of groups without layers. Throws Error when one
/// is missing or contradicts the model.
template <class Config = CacheConfig>
[[nodiscard]] ModelConfig resolve_model(ModelConfig model, Config const& config) {
  detail::fill_in(model.layers, detail::fill_in_pattern(model, config), "layers");
  bool needs_kv_heads = false, open_window = false;
  for (int g = 0; g < model.num_groups(); ++g) needs_kv_heads = needs_kv_heads || model.groups[g].kv_heads == 0;
  if (needs_kv_heads) detail::fill_in(model.kv_heads, config.kv_heads, "kv_heads");  // latent groups have their own
  for (int g = 0; g < model.num_groups(); ++g) {
    if (model.groups[g].window != dynamic) continue;
    open_window = true;
    if (model.pattern.count(g, model.layers) > 0) detail::fill_in(model.groups[g].window, config.window, "window");
  }
  if (config.window != 0 && !open_window)
    throw Error("folio: CacheConfig gives a window of " + std::to_string(config.window) +
                ", but no window of the model is dynamic; leave it 0");
  return model;
}

}  // namespace folio
