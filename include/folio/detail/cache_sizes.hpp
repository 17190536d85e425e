// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// How many blocks of how many bytes: what a cache's config asks for, checked before anything is allocated. Host only.

#include <algorithm>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/cache_config.hpp>
#include <folio/capacity.hpp>
#include <folio/containers/as_span.hpp>
#include <folio/detail/demotion_rules.hpp>
#include <folio/error.hpp>
#include <folio/model.hpp>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace folio {

/// The shapes of all groups of a model whose run-time numbers are filled in, by resolve_model. A group without layers
/// has no window: it keeps nothing.
template <class Blocks>
[[nodiscard]] std::vector<GroupShape> resolved_shapes(ModelConfig const& model) {
  std::vector<GroupShape> shapes;
  for (int g = 0; g < model.num_groups(); ++g) {
    shapes.push_back(group_shape(model, g, Blocks::block_size(g)));
    if (shapes.back().layers == 0) shapes.back().window = shapes.back().sinks = 0;
  }
  return shapes;
}

/// The sizes of a cache, by list: those of the groups, and those of what is demoted.
struct CacheSizes {
  std::vector<GroupShape> shapes;
  /// For most_blocks_held: `shapes`, but what a sequence holds of a list that it demotes from is bounded as by a
  /// window.
  std::vector<GroupShape> held;
  std::vector<std::int64_t> block_bytes, num_blocks, pool_bytes;  // a pool's with the null block
  std::int32_t slack = 0;
  LayerPattern pattern;
  DemotionRules demotion;
  std::int32_t recent_window = 0;  // that a cache which demotes begins with

  /// Of a KvCache. Throws Error for what does not fit the model, or is too much.
  template <class Cache>
  [[nodiscard]] static CacheSizes of(CacheConfig const& config) {
    CacheSizes sizes;
    ModelConfig const model = resolve_model(Cache::model, config);
    sizes.shapes = resolved_shapes<typename Cache::Blocks>(model);
    sizes.pattern = model.pattern;
    sizes.slack = slack_of(sizes.shapes, config, Cache::has_prefixes);
    if ((config.memory_bytes != 0) == !config.num_blocks.empty())
      throw Error("folio: CacheConfig needs either memory_bytes or num_blocks, and not both");
    [&]<int... Group>(std::integer_sequence<int, Group...>) {
      (sizes.add_bytes<typename Cache::template Map<Group>>(), ...);
    }
    (std::make_integer_sequence<int, Cache::num_groups>());
    if (!config.num_blocks.empty() && config.num_blocks.size() != sizes.shapes.size())
      throw Error("folio: CacheConfig::num_blocks has " + std::to_string(config.num_blocks.size()) +
                  " entries; the model has " + std::to_string(sizes.shapes.size()) +
                  " layer groups, which need one each");
    sizes.num_blocks = config.num_blocks;
    for (std::size_t g = 0; g < sizes.num_blocks.size(); ++g)
      if (sizes.shapes[g].layers == 0) sizes.num_blocks[g] = 0;
    sizes.held = sizes.shapes;
    if constexpr (Cache::has_demotion)
      Cache::Demotion::template add_lists<Cache>(config, sizes);
    else
      sizes.without_demotion(config, Cache::num_groups);
    if (config.num_blocks.empty())
      sizes.num_blocks = blocks_that_fit(as_span(sizes.held), as_span(sizes.block_bytes), config.memory_bytes,
                                         config.tokens_per_sequence, sizes.slack);
    sizes.pool_bytes = pool_bytes_of(as_span(sizes.num_blocks), as_span(sizes.block_bytes));
    return sizes;
  }

  /// The block bytes of one more list, of a group of that map.
  template <class Map>
  void add_bytes() {
    Map const map{shapes[block_bytes.size()]};
    if (!map.fits_64_bits())
      throw Error("folio: a block of " + std::to_string(map.shape.layers) + " layers with " +
                  std::to_string(map.shape.kv_heads) + " kv heads has 2^62 bytes or more; give fewer in CacheConfig");
    block_bytes.push_back(map.block_bytes());
  }

 private:
  void without_demotion(CacheConfig const& config, int num_groups) {
    DemotionConfig const& given = config.demotion;
    if (given.sinks || given.recent_window || !given.num_blocks.empty())
      throw Error("folio: CacheConfig::demotion is of a cache with the policy Demote<...>, and this one has none");
    demotion.num_groups = num_groups;
  }
  /// Tokens that groups with a window keep besides those that the next query sees: a prefix is found at whole units,
  /// the last of which may end a unit before what was computed.
  [[nodiscard]] static std::int32_t slack_of(std::vector<GroupShape> const& shapes, CacheConfig const& config,
                                             bool has_prefixes) {
    if (config.tokens_in_flight < 0 || config.tokens_in_flight > (1 << 30))
      throw Error("folio: CacheConfig::tokens_in_flight is " + std::to_string(config.tokens_in_flight) +
                  "; give a number from 0 to 2^30");
    if (!has_prefixes) return config.tokens_in_flight;
    std::int64_t unit = 1;
    for (GroupShape const& shape : shapes)
      if (unit = std::lcm(unit, std::int64_t{shape.block_size}); unit > (1 << 30))
        throw Error(
            "folio: prefixes are kept in units that fill whole blocks of every layer group, and there is none of "
            "at most 2^30 tokens; give block sizes with a smaller common multiple");
    return std::max(static_cast<std::int32_t>(unit), config.tokens_in_flight);
  }
};

}  // namespace folio
