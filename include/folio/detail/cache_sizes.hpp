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
[[nodiscard]] inline std::vector<GroupShape> resolved_shapes(ModelConfig const& model,
                                                             std::int32_t (*block_size_of)(int group)) {
  std::vector<GroupShape> shapes;
  for (int g = 0; g < model.num_groups(); ++g) {
    shapes.push_back(group_shape(model, g, block_size_of(g)));
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

  /// Of a KvCache. Throws Error for what does not fit the model, or is too much. All but this is compiled once for all
  /// caches.
  template <class Cache>
  [[nodiscard]] static CacheSizes of(CacheConfig const& config) {
    CacheSizes sizes;
    sizes.add_groups(config, resolve_model(Cache::model, config), &Cache::Blocks::block_size, Cache::has_prefixes);
    [&]<int... Group>(std::integer_sequence<int, Group...>) {
      (sizes.add_bytes<typename Cache::template Map<Group>>(), ...);
    }
    (std::make_integer_sequence<int, Cache::num_groups>());
    sizes.begin_blocks(config);
    if constexpr (Cache::has_demotion)
      Cache::Demotion::template add_lists<Cache>(config, sizes);
    else
      without_demotion(config);
    sizes.end_blocks(config);
    return sizes;
  }

  /// The block bytes of one more list, of a group of that map.
  template <class Map>
  void add_bytes() {
    Map const map{shapes[block_bytes.size()]};
    add_bytes(map.shape, map.fits_64_bits() ? map.block_bytes() : -1);
  }

 private:
  void add_groups(CacheConfig const& config, ModelConfig const& model, std::int32_t (*block_size_of)(int group),
                  bool has_prefixes) {
    shapes = resolved_shapes(model, block_size_of);
    pattern = model.pattern;
    slack = slack_of(shapes, config, has_prefixes);
    if ((config.memory_bytes != 0) == !config.num_blocks.empty())
      throw Error("folio: CacheConfig needs either memory_bytes or num_blocks, and not both");
  }
  /// `bytes`: negative where 64 bits are too few.
  void add_bytes(GroupShape const& shape, std::int64_t bytes) {
    if (bytes < 0)
      throw Error("folio: a block of " + std::to_string(shape.layers) + " layers with " +
                  std::to_string(shape.kv_heads) + " kv heads has 2^62 bytes or more; give fewer in CacheConfig");
    block_bytes.push_back(bytes);
  }
  void begin_blocks(CacheConfig const& config) {
    if (!config.num_blocks.empty() && config.num_blocks.size() != shapes.size())
      throw Error("folio: CacheConfig::num_blocks has " + std::to_string(config.num_blocks.size()) +
                  " entries; the model has " + std::to_string(shapes.size()) + " layer groups, which need one each");
    num_blocks = config.num_blocks;
    for (std::size_t g = 0; g < num_blocks.size(); ++g)
      if (shapes[g].layers == 0) num_blocks[g] = 0;
    held = shapes;
    demotion.num_groups = static_cast<int>(shapes.size());
  }
  void end_blocks(CacheConfig const& config) {
    if (config.num_blocks.empty())
      num_blocks =
          blocks_that_fit(as_span(held), as_span(block_bytes), config.memory_bytes, config.tokens_per_sequence, slack);
    pool_bytes = pool_bytes_of(as_span(num_blocks), as_span(block_bytes));
  }
  static void without_demotion(CacheConfig const& config) {
    DemotionConfig const& given = config.demotion;
    if (given.sinks || given.recent_window || !given.num_blocks.empty())
      throw Error("folio: CacheConfig::demotion is of a cache with the policy Demote<...>, and this one has none");
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
