// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// From what a config.json says to one of the types that a program lists. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/cache_config.hpp>
#include <folio/error.hpp>
#include <folio/kv_cache.hpp>
#include <folio/model.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace folio {

/// Model shape: what a model's config.json says, at run time.
struct ModelShape {
  std::int32_t head_dim = 0;
  std::int32_t kv_heads = 0;
  std::vector<LayerGroup> layers = {};  ///< how each attends: full_attention(), sliding_window(1024), ...
  std::string_view format = {};         ///< one of the names of FormatKinds, where the program lists any
};

/// The head dims that a program is built for.
template <std::int32_t... Dims>
struct HeadDims {};

/// The groups of layers that a program is built for, such as full_only and full_and_sliding. A model runs over the
/// first whose groups have all of its layers; a group may have none. Windows that are dynamic are one window.
template <LayerGroups... Groups>
struct GroupKinds {};
inline constexpr LayerGroups full_only{};
inline constexpr LayerGroups full_and_sliding{full_attention(), sliding_window(dynamic)};

/// A format's name, as a template argument: Format<"int8", Int8PerToken>.
template <std::size_t Size>
struct NameLiteral {
  char text[Size]{};
  // NOLINTNEXTLINE(google-explicit-constructor): a string literal is what it is made of
  consteval NameLiteral(char const (&literal)[Size]) { std::copy_n(literal, Size, text); }
};
/// What a program is built for: a model's type, and the policies of a format. `Cache<More...>` is a cache of both.
template <ModelConfig Config, class... Policies>
struct BuiltModel {
  using ModelType = Model<Config>;
  template <class... More>
  using Cache = KvCache<ModelType, Policies..., More...>;
};

/// A format that a program is built for: its name, and the policies of its caches.
template <NameLiteral Name, class... Policies>
struct Format {
  static constexpr std::string_view name{Name.text};
  template <ModelConfig Config>
  using Built = BuiltModel<Config, Policies...>;
};
/// The formats that a program is built for.
template <class... Each>
struct FormatKinds {};

/// A model that a program was not built for. The message says what for it was.
class NotBuilt : public Error {
 public:
  using Error::Error;
};

namespace detail {

[[nodiscard]] inline std::string spell(LayerGroup const& group) {
  auto const number = [](std::int32_t n) { return n == dynamic ? std::string("dynamic") : std::to_string(n); };
  std::string const own = (group.kv_heads > 0 ? ", kv_heads " + number(group.kv_heads) : "") +
                          (group.head_dim > 0 ? ", head_dim " + number(group.head_dim) : "") +
                          (group.value_head_dim > 0 ? ", value_head_dim " + number(group.value_head_dim) : "");
  if (group.kind == AttentionKind::latent)
    return "latent(" + number(group.latent_rank) + ", " + number(group.rope_dims) + ")";
  if (group.kind == AttentionKind::sliding_window)
    return "sliding_window(" + number(group.window) + (group.sinks > 0 ? ", " + number(group.sinks) : "") + ")" + own;
  return "full_attention()" + own;
}
/// Each once, in the order in which they come first.
[[nodiscard]] inline std::string spell(std::vector<LayerGroup> const& groups) {
  std::vector<std::string> words;
  for (LayerGroup const& group : groups)
    if (std::string word = spell(group); std::find(words.begin(), words.end(), word) == words.end())
      words.push_back(std::move(word));
  std::string all;
  for (std::string const& word : words) all += (all.empty() ? "" : " and ") + word;
  return all;
}
[[nodiscard]] inline std::vector<LayerGroup> list_of(LayerGroups const& groups) {
  std::vector<LayerGroup> list;
  for (int g = 0; g < ModelConfig{.groups = groups}.num_groups(); ++g) list.push_back(groups[g]);
  return list;
}

/// What a cache of these groups is told of a model; nothing, where they have not all of its layers.
[[nodiscard]] inline std::optional<CacheConfig> config_for(LayerGroups const& groups, ModelShape const& shape) {
  std::vector<LayerGroup> const built = list_of(groups);
  CacheConfig config;
  config.kv_heads = shape.kv_heads;
  for (LayerGroup const& layer : shape.layers) {
    auto const has = [&](LayerGroup group) {
      bool const is_open = group.window == dynamic && (config.window == 0 || config.window == layer.window);
      if (is_open) group.window = layer.window;
      return group == layer;
    };
    auto const found = std::find_if(built.begin(), built.end(), has);
    if (found == built.end()) return std::nullopt;
    if (found->window == dynamic) config.window = layer.window;
    config.layer_groups.push_back(static_cast<std::int32_t>(found - built.begin()));
  }
  return config;
}

/// The place of a model in the lists of a program, and what its cache is told.
struct BuiltPlace {
  std::size_t dim = 0, kind = 0, format = 0;
  CacheConfig config;
};
/// Throws NotBuilt where it is in none of them. `formats` is empty where a program lists none.
[[nodiscard]] inline BuiltPlace find_built(ModelShape const& shape, std::vector<std::int32_t> const& dims,
                                           std::vector<LayerGroups> const& kinds,
                                           std::vector<std::string_view> const& formats) {
  if (shape.layers.empty()) throw Error("folio: a ModelShape says how each layer of its model attends; this has none");
  for (LayerGroup const& layer : shape.layers)
    if (layer.kind == AttentionKind::sliding_window && layer.window < 1)
      throw Error("folio: a ModelShape has layers of sliding_window(" + std::to_string(layer.window) +
                  "); a sliding window must be at least 1 token long");
  BuiltPlace place;
  std::string lacking;
  auto const check = [&](bool is_built, std::string const& what, auto const& built, auto const& words) {
    if (is_built) return;
    std::string all;
    for (std::size_t i = 0; i < built.size(); ++i)
      all += (i == 0 ? "" : i + 1 < built.size() ? ", " : " or ") + std::string(words(built[i]));
    lacking += (lacking.empty() ? " " : "; nor for ") + what + ", but for " + all;
  };
  auto const index_of = [](auto const& list, auto const& value) {
    return static_cast<std::size_t>(std::find(list.begin(), list.end(), value) - list.begin());
  };
  place.dim = index_of(dims, shape.head_dim);
  check(place.dim < dims.size(), "head_dim " + std::to_string(shape.head_dim), dims,
        [](std::int32_t dim) { return std::to_string(dim); });
  std::optional<CacheConfig> config;
  while (place.kind < kinds.size() && !(config = config_for(kinds[place.kind], shape))) ++place.kind;
  check(config.has_value(), "layers of " + spell(shape.layers), kinds,
        [](LayerGroups const& kind) { return spell(list_of(kind)); });
  place.format = index_of(formats, shape.format);
  check(formats.empty() || place.format < formats.size(), "the format " + std::string(shape.format), formats,
        [](std::string_view name) { return name; });
  if (!lacking.empty()) throw NotBuilt("folio: this program was not built for" + lacking);
  place.config = std::move(*config);
  return place;
}

/// f(Each{}) with the one at `index` of them.
template <class First, class... Rest, class F>
decltype(auto) at_index(std::size_t index, F const& f) {
  if constexpr (sizeof...(Rest) > 0)
    if (index > 0) return at_index<Rest...>(index - 1, f);
  return f(First());
}

template <std::int32_t Dim, LayerGroups Groups>
inline constexpr ModelConfig built_config{
    .head_dim = Dim,
    .groups = Groups,
    .pattern = ModelConfig{.groups = Groups}.num_groups() > 1 ? dynamic_pattern : LayerPattern{}};

template <std::int32_t... Dims, LayerGroups... Groups, class... Each, class F>
decltype(auto) with_model(HeadDims<Dims...>, GroupKinds<Groups...>, FormatKinds<Each...>, ModelShape const& shape,
                          F&& f) {
  BuiltPlace const place = find_built(shape, {Dims...}, {Groups...}, {Each::name...});
  return at_index<std::integral_constant<std::int32_t, Dims>...>(place.dim, [&]<class Dim>(Dim) -> decltype(auto) {
    return at_index<GroupKinds<Groups>...>(place.kind, [&]<LayerGroups Kind>(GroupKinds<Kind>) -> decltype(auto) {
      auto const call = [&]<class One>(One) -> decltype(auto) {  // nvcc 13 deduces no Format<Name, ...>
        return f(typename One::template Built<built_config<Dim::value, Kind>>(), place.config);
      };
      if constexpr (sizeof...(Each) == 0)
        return call(Format<"">());
      else
        return at_index<Each...>(place.format, call);
    });
  });
}

}  // namespace detail

/// Calls f(built, config) for a model that is known at run time, and returns what it returns: `built` is the one of the
/// program's BuiltModels that fits, and `config` the CacheConfig that says the rest of the model. Where the program
/// lists no formats, `built` has no policies but the model.
///
///   with_model<HeadDims<64, 128>, GroupKinds<full_only, full_and_sliding>,
///              FormatKinds<Format<"f16", F16>, Format<"int8", Int8PerToken>>>(shape, [](auto built, CacheConfig
///              config) {
///     config.memory_bytes = 1 << 30;
///     typename decltype(built)::template Cache<LruEviction> cache(config);
///     ...
///   });
///
/// `f` is compiled for each combination, so list few. Throws NotBuilt, which says in a sentence what the program was
/// not built for and what it was, and Error for a shape without layers, or with a window of less than a token.
template <class Dims, class Kinds, class FormatList = FormatKinds<>, class F>
decltype(auto) with_model(ModelShape const& shape, F&& f) {
  return detail::with_model(Dims(), Kinds(), FormatList(), shape, std::forward<F>(f));
}

}  // namespace folio
