// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The layers of a hybrid model in two parts, those without a window and those with one, each a model of its own. Host
// only.

#include <cstdint>
#include <folio/block.hpp>
#include <folio/detail/policy_set.hpp>
#include <folio/model.hpp>

namespace folio {

template <class... Policies>
class KvCache;  // kv_cache.hpp

/// Which layers of a model.
enum class LayerPart : std::uint8_t { without_window, with_window };

/// A layer, or a group of layers, and what number it has in its part.
struct PartPlace {
  LayerPart part = LayerPart::without_window;
  std::int32_t number = 0;
};

[[nodiscard]] constexpr LayerPart part_of(LayerGroup const& group) {
  return group.window != 0 ? LayerPart::with_window : LayerPart::without_window;
}

/// Whether a model has layers of this part.
[[nodiscard]] constexpr bool has_part(ModelConfig const& model, LayerPart part) {
  for (int g = 0; g < model.num_groups(); ++g)
    if (part_of(model.groups[g]) == part) return true;
  return false;
}

/// Where group `group` of the model is. Groups keep their order.
[[nodiscard]] constexpr PartPlace group_in_part(ModelConfig const& model, int group) {
  PartPlace at{part_of(model.groups[group])};
  for (int g = 0; g < group; ++g) at.number += part_of(model.groups[g]) == at.part ? 1 : 0;
  return at;
}

/// The group of the model that is group `number` of a part.
[[nodiscard]] constexpr int group_of_model(ModelConfig const& model, LayerPart part, int number) {
  int g = 0;
  while (part_of(model.groups[g]) != part || number-- > 0) ++g;
  return g;
}

/// Where layer `layer` of the model is. Layers keep their order. Cost: O(period of the pattern).
[[nodiscard]] constexpr PartPlace layer_in_part(ModelConfig const& model, std::int32_t layer) {
  auto const part_at = [&](std::int32_t i) { return part_of(model.groups[model.pattern.at(i)]); };
  std::int32_t const period = model.pattern.period, step = layer % period;
  std::int32_t in_period = 0, before = 0;
  for (std::int32_t i = 0; i < period; ++i) {
    if (part_at(i) != part_at(step)) continue;
    ++in_period;
    if (i < step) ++before;
  }
  return {part_at(step), layer / period * in_period + before};
}

/// How many of the model's `num_layers` layers are in a part.
[[nodiscard]] constexpr std::int32_t num_layers_of(ModelConfig const& model, LayerPart part, std::int32_t num_layers) {
  std::int32_t total = 0;
  for (int g = 0; g < model.num_groups(); ++g)
    if (part_of(model.groups[g]) == part) total += model.pattern.count(g, num_layers);
  return total;
}

/// The layers of a part as a model: its groups, and the pattern without the other groups' entries.
[[nodiscard]] constexpr ModelConfig layers_of(ModelConfig const& model, LayerPart part) {
  ModelConfig one = model;
  one.groups = {.first = {}};
  for (int g = 0, n = 0; g < model.num_groups(); ++g)
    if (part_of(model.groups[g]) == part) one.groups[n++] = model.groups[g];
  one.pattern = {.period = 0};
  for (std::int32_t i = 0; i < model.pattern.period; ++i) {
    PartPlace const at = group_in_part(model, model.pattern.at(i));
    if (at.part != part) continue;
    auto const bits = static_cast<std::uint64_t>(at.number) << (one.pattern.period % 32 * 2);
    (one.pattern.period < 32 ? one.pattern.first_half : one.pattern.second_half) |= bits;
    ++one.pattern.period;
  }
  if (model.layers != dynamic) one.layers = num_layers_of(model, part, model.layers);
  return one;
}

/// The policies of a KvCache for one part of its model.
template <ModelPolicy M, LayerPart Part>
struct PartModel {
  static constexpr ModelConfig config = layers_of(M::config, Part);
};
template <BlockSizePolicy Blocks, ModelPolicy M, LayerPart Part>
struct PartBlockSizes {
  static constexpr int num_sizes = PartModel<M, Part>::config.num_groups();
  [[nodiscard]] static constexpr std::int32_t block_size(int group) {
    return Blocks::block_size(group_of_model(M::config, Part, group));
  }
};

namespace detail {

template <class Policy, class M, LayerPart Part>
constexpr auto policy_for_part() {
  if constexpr (ModelPolicy<Policy>)
    return Type<PartModel<Policy, Part>>{};
  else if constexpr (BlockSizePolicy<Policy>)
    return Type<PartBlockSizes<Policy, M, Part>>{};
  else
    return Type<Policy>{};
}

template <class Cache, LayerPart Part, bool one_part>
struct CachePartOf {
  using type = Cache;
};
template <class... Policies, LayerPart Part>
struct CachePartOf<KvCache<Policies...>, Part, false> {
  using M = typename PolicySet<Policies...>::ModelType;
  using type = KvCache<typename decltype(policy_for_part<Policies, M, Part>())::type...>;
};

template <class Cache>
inline constexpr bool has_one_part =
    !has_part(Cache::model, LayerPart::with_window) || !has_part(Cache::model, LayerPart::without_window);

}  // namespace detail

/// The KvCache for one part of the layers of `Cache`, with its other policies; `Cache` itself where its model has one
/// part only.
template <class Cache, LayerPart Part>
using CachePart = typename detail::CachePartOf<Cache, Part, detail::has_one_part<Cache>>::type;

/// Stands for the cache, the tables and the view of layers with a window, where a model has none.
struct NoWindows {
  using View = NoWindows;
};

}  // namespace folio
