// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What is cached: how many layers and heads, how long a row is, and which layers share a block table. Host and device.

#include <concepts>
#include <cstdint>
#include <folio/config.hpp>
#include <initializer_list>

namespace folio {

/// Stands for a number that is known only when the cache is made (layers, kv_heads, window).
inline constexpr std::int32_t dynamic = -1;

inline constexpr int max_groups = 4;
/// Block lists of a sequence: one for each group, and a second one for each whose older tokens are demoted.
inline constexpr int max_lists = 2 * max_groups;

/// How the layers of a group attend, and so which tokens they keep and what a token's row is.
enum class AttentionKind : std::uint8_t {
  none,            ///< not a group: the unused rest of ModelConfig::groups
  full,            ///< every earlier token (MHA, GQA, MQA)
  sliding_window,  ///< the last `window` tokens, and the first `sinks`
  latent           ///< MLA: one row of rank + rope dims; values are the first `rank` elements of the key
};

/// Layer group (KV cache group): layers that keep the same tokens and so share one block table and one pool.
struct LayerGroup {
  AttentionKind kind = AttentionKind::none;
  std::int32_t window = 0;          ///< tokens that a query sees, itself included; may be `dynamic`
  std::int32_t sinks = 0;           ///< first tokens that stay visible when they left the window
  std::int32_t kv_heads = 0;        ///< 0: the model's
  std::int32_t head_dim = 0;        ///< of keys; 0: the model's
  std::int32_t value_head_dim = 0;  ///< 0: the model's
  std::int32_t latent_rank = 0;     ///< MLA: elements that keys and values share
  std::int32_t rope_dims = 0;       ///< MLA: rotary elements after them

  friend constexpr bool operator==(LayerGroup const&, LayerGroup const&) = default;
};

[[nodiscard]] constexpr LayerGroup full_attention() { return {AttentionKind::full}; }

/// Sliding window: a query at position p sees tokens t with p - t < window (itself included), and the first `sinks`
/// tokens.
[[nodiscard]] constexpr LayerGroup sliding_window(std::int32_t window, std::int32_t sinks = 0) {
  return {.kind = AttentionKind::sliding_window, .window = window, .sinks = sinks};
}

/// Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434): the cache holds the latent and the rotary part of the
/// key.
[[nodiscard]] constexpr LayerGroup latent(std::int32_t rank, std::int32_t rope_dims) {
  return {.kind = AttentionKind::latent, .kv_heads = 1, .latent_rank = rank, .rope_dims = rope_dims};
}

/// Where a layer lives: its group, and which of the group's layers it is.
struct LayerPlace {
  std::int32_t group = 0;
  std::int32_t index = 0;
};

/// Which group each layer belongs to, as a pattern that repeats: layer l is in group `at(l % period)`.
/// Without arrays, here and in LayerGroups, because nvcc 13.0 cannot name an array in a template argument of a kernel.
struct LayerPattern {
  static constexpr int max_period = 128;
  std::int32_t period = 1;  ///< or `dynamic`
  /// Entry i is 2 bits, at place i % 64 of `low` and `high`, for the first 64 entries and for those after them.
  std::uint64_t low = 0, high = 0, low_after_64 = 0, high_after_64 = 0;

  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t at(std::int32_t i) const {
    std::uint64_t const lows = (i < 64 ? low : low_after_64) >> (i % 64);
    std::uint64_t const highs = (i < 64 ? high : high_after_64) >> (i % 64);
    return static_cast<std::int32_t>((lows & 1U) | (highs & 1U) << 1);
  }

  /// Cost: O(1), counting bits. A kernel asks once.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr LayerPlace place(std::int32_t layer) const {
    std::int32_t const g = at(layer % period);
    return {g, count(g, layer)};
  }

  /// How many of the first `num_layers` layers are in group `g`. Cost: O(1).
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t count(std::int32_t g, std::int32_t num_layers) const {
    return num_layers / period * count_entries(g, period) + count_entries(g, num_layers % period);
  }

  friend constexpr bool operator==(LayerPattern const&, LayerPattern const&) = default;

 private:
  /// How many of the first n entries are `g`.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t count_entries(std::int32_t g, std::int32_t n) const {
    std::uint64_t const not_low = (g & 1) != 0 ? 0 : ~std::uint64_t{0}, not_high = (g & 2) != 0 ? 0 : ~std::uint64_t{0};
    return count_bits((low ^ not_low) & (high ^ not_high) & first_bits(n)) +
           count_bits((low_after_64 ^ not_low) & (high_after_64 ^ not_high) & first_bits(n - 64));
  }
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::uint64_t first_bits(std::int32_t n) {
    if (n <= 0) return 0;
    return n < 64 ? (std::uint64_t{1} << n) - 1 : ~std::uint64_t{0};
  }
  /// Of 2 bits, of 4, of 8, and then all of them; <bit> is not for the device.
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t count_bits(std::uint64_t x) {
    x -= x >> 1 & 0x5555555555555555U;
    x = (x & 0x3333333333333333U) + (x >> 2 & 0x3333333333333333U);
    x = (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0FU;
    return static_cast<std::int32_t>(x * 0x0101010101010101U >> 56);
  }
};

/// The pattern 0, 0, 1, 0, 0, 1, ... is `repeat_groups({0, 0, 1})`. 1 to 128 entries from 0 to 3; others give a pattern
/// without entries, which problem_of names.
template <class Groups = std::initializer_list<int>>
[[nodiscard]] constexpr LayerPattern repeat_groups(Groups const& groups) {
  LayerPattern pattern{.period = 0};
  for (int const g : groups) {
    if (g < 0 || g >= max_groups || pattern.period == LayerPattern::max_period) return {0};
    bool const is_first = pattern.period < 64;
    (is_first ? pattern.low : pattern.low_after_64) |= static_cast<std::uint64_t>(g & 1) << (pattern.period % 64);
    (is_first ? pattern.high : pattern.high_after_64) |= static_cast<std::uint64_t>(g >> 1) << (pattern.period % 64);
    ++pattern.period;
  }
  return pattern;
}

/// Stands for a pattern that is known only when the cache is made: CacheConfig::layer_groups.
inline constexpr LayerPattern dynamic_pattern{.period = dynamic};

/// The groups of a model, as `{sliding_window(1024), full_attention()}`.
struct LayerGroups {
  LayerGroup first = full_attention(), second = {}, third = {}, fourth = {};

  [[nodiscard]] FOLIO_HOST_DEVICE constexpr LayerGroup const& operator[](int g) const {
    return g == 0 ? first : g == 1 ? second : g == 2 ? third : fourth;
  }
  [[nodiscard]] constexpr LayerGroup& operator[](int g) {
    return g == 0 ? first : g == 1 ? second : g == 2 ? third : fourth;
  }
};

/// Model configuration: what a model keeps for each token. A compile-time value: `KvCache<Model<config>, ...>`.
/// `layers`, `kv_heads`, a group's `window` and the pattern may be left `dynamic` and given to the cache when it is
/// made. Head dims may not: kernels are compiled for them. with_model (folio/with_model.hpp) chooses among several.
struct ModelConfig {
  std::int32_t layers = dynamic;
  std::int32_t kv_heads = dynamic;
  std::int32_t head_dim = 128;
  std::int32_t value_head_dim = 0;  ///< 0: head_dim
  LayerGroups groups = {};
  LayerPattern pattern = {};  ///< default: every layer in group 0; or `dynamic_pattern`

  [[nodiscard]] FOLIO_HOST_DEVICE constexpr int num_groups() const {
    int n = 0;
    while (n < max_groups && groups[n].kind != AttentionKind::none) ++n;
    return n;
  }
};

/// One group of layers with every number filled in, or `dynamic` where only the running cache knows.
struct GroupShape {
  AttentionKind kind = AttentionKind::full;
  std::int32_t layers = dynamic;
  std::int32_t kv_heads = dynamic;
  std::int32_t key_dim = dynamic;
  std::int32_t value_dim = dynamic;
  std::int32_t window = 0;  ///< 0: no window
  std::int32_t sinks = 0;
  std::int32_t block_size = dynamic;  ///< tokens in a block

  /// The values are the first value_dim elements of the keys, and take no memory of their own (MLA).
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr bool values_in_keys() const { return kind == AttentionKind::latent; }

  /// The first token after the sinks that a query at `position` sees. `position` is the query's number among the tokens
  /// that the group stores: its position, where nothing was taken out.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t window_begin(std::int32_t position) const {
    return window == 0 || position < window ? 0 : position - window + 1;
  }

  /// Whether a query at `position` may see the key of `token` (not later than itself). Both are numbers among the
  /// tokens that the group stores: positions, where nothing was taken out.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr bool visible(std::int32_t position, std::int32_t token) const {
    return token <= position && (token >= window_begin(position) || token < sinks);
  }

  friend constexpr bool operator==(GroupShape const&, GroupShape const&) = default;
};

/// Grouped-query attention: the kv head that `query_head` reads. The query heads of a kv head are neighbours: of 32,
/// with 8 kv heads, 4 to 7 read kv head 1. `num_query_heads` is a multiple of `kv_heads`.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t kv_head_of(std::int32_t query_head, std::int32_t num_query_heads,
                                                                  std::int32_t kv_heads) {
  auto const sharing = static_cast<std::uint32_t>(num_query_heads / kv_heads);
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(query_head) / sharing);  // a shift where it can be
}

/// The first of the num_query_heads / kv_heads query heads that read kv head `kv_head`.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t first_query_head_of(std::int32_t kv_head,
                                                                           std::int32_t num_query_heads,
                                                                           std::int32_t kv_heads) {
  return kv_head * (num_query_heads / kv_heads);
}

/// The shape of group `g` of `config`; what the config leaves open stays `dynamic`.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr GroupShape group_shape(ModelConfig const& config, int g,
                                                                 std::int32_t block_size) {
  LayerGroup const& group = config.groups[g];
  auto const or_else = [](std::int32_t own, std::int32_t models) { return own != 0 ? own : models; };
  GroupShape shape;
  shape.kind = group.kind;
  bool const is_open = config.layers == dynamic || config.pattern.period == dynamic;
  shape.layers = is_open ? dynamic : config.pattern.count(g, config.layers);
  shape.kv_heads = or_else(group.kv_heads, config.kv_heads);
  shape.key_dim = or_else(group.head_dim, config.head_dim);
  shape.value_dim = or_else(group.value_head_dim, or_else(config.value_head_dim, shape.key_dim));
  if (group.kind == AttentionKind::latent) {
    shape.key_dim = group.latent_rank + group.rope_dims;
    shape.value_dim = group.latent_rank;
  }
  shape.window = group.window;
  shape.sinks = group.sinks;
  shape.block_size = block_size;
  return shape;
}

/// What is wrong with `config`, as a sentence, or nullptr. The cache asks at compile time.
[[nodiscard]] constexpr char const* problem_of(ModelConfig const& config) {
  if (config.num_groups() == 0) return "the model has no group of layers: give at least full_attention()";
  bool const has_pattern = config.pattern.period != dynamic;
  if (has_pattern && (config.pattern.period < 1 || config.pattern.period > LayerPattern::max_period))
    return "the layer pattern must have 1 to 128 entries, each the number of a group, 0 to 3";
  for (int i = 0; i < config.pattern.period; ++i)
    if (config.pattern.at(i) >= config.num_groups()) return "the layer pattern names a group that does not exist";
  if (config.layers != dynamic && config.layers < 1) return "layers must be at least 1, or folio::dynamic";
  if (config.kv_heads != dynamic && config.kv_heads < 1) return "kv_heads must be at least 1, or folio::dynamic";
  for (int g = 0; g < config.num_groups(); ++g) {
    if (has_pattern && config.pattern.count(g, config.pattern.period) == 0)
      return "the layer pattern names no layer of a group; name each group at least once";
    GroupShape const shape = group_shape(config, g, 1);
    if (config.groups[g].kv_heads < 0) return "kv_heads of a group must be at least 1, or 0 for the model's";
    if (config.groups[g].rope_dims < 0) return "rope_dims must not be negative";
    if (shape.key_dim < 8 || shape.key_dim > 1024 || shape.key_dim % 8 != 0)
      return "head_dim must be a multiple of 8 from 8 to 1024";
    if (shape.value_dim < 8 || shape.value_dim > 1024 || shape.value_dim % 8 != 0)
      return "value_head_dim must be a multiple of 8 from 8 to 1024";
    if (shape.kind == AttentionKind::sliding_window && shape.window != dynamic && shape.window < 1)
      return "a sliding window must be at least 1 token long, or folio::dynamic";
    if (shape.kind != AttentionKind::sliding_window && shape.window != 0)
      return "only a sliding_window group has a window";
    if (shape.sinks < 0 || (shape.sinks > 0 && shape.kind != AttentionKind::sliding_window))
      return "only a sliding_window group has sinks, and their number is not negative";
  }
  return nullptr;
}

/// Whether every dim of a row is a number, and none is left `dynamic`.
[[nodiscard]] constexpr bool has_row_dims(ModelConfig const& config) {
  bool all = config.head_dim != dynamic && config.value_head_dim != dynamic;
  for (int g = 0; g < config.num_groups(); ++g) {
    LayerGroup const& group = config.groups[g];
    for (std::int32_t const dim : {group.head_dim, group.value_head_dim, group.latent_rank, group.rope_dims})
      all = all && dim != dynamic;
  }
  return all;
}

/// The policy that names the model: `KvCache<Model<folio::models::llama3_1_8b>, ...>`.
template <ModelConfig Config>
struct Model {
  static_assert(has_row_dims(Config),
                "folio::Model: head_dim, value_head_dim, latent_rank and rope_dims cannot be dynamic, because kernels "
                "are compiled for them: give numbers, and let folio::with_model (folio/with_model.hpp) choose among "
                "models of several");
  static constexpr ModelConfig config = Config;
};

/// Model policy: what is cached? A type with a static constexpr `config`.
template <class M>
concept ModelPolicy = requires {
  requires std::same_as<decltype(M::config), ModelConfig const>;
};

static_assert(ModelPolicy<Model<ModelConfig{}>>);

}  // namespace folio
