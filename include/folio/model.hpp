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
  static constexpr int max_period = 64;
  std::int32_t period = 1;
  std::uint64_t first_half = 0, second_half = 0;  ///< 2 bits for each entry

  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t at(std::int32_t i) const {
    return static_cast<std::int32_t>((i < 32 ? first_half : second_half) >> (i % 32 * 2) & 3U);
  }

  /// Cost: O(period). A kernel asks once.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr LayerPlace place(std::int32_t layer) const {
    std::int32_t const step = layer % period;
    std::int32_t in_period = 0, before = 0;
    for (std::int32_t i = 0; i < period; ++i) {
      if (at(i) != at(step)) continue;
      ++in_period;
      if (i < step) ++before;
    }
    return {at(step), layer / period * in_period + before};
  }

  /// How many of the first `num_layers` layers are in group `g`. Cost: O(period).
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t count(std::int32_t g, std::int32_t num_layers) const {
    std::int32_t total = 0;
    for (std::int32_t i = 0; i < period; ++i)
      if (at(i) == g) total += num_layers / period + (i < num_layers % period ? 1 : 0);
    return total;
  }
};

/// The pattern 0, 0, 1, 0, 0, 1, ... is `repeat_groups({0, 0, 1})`. 1 to 64 entries from 0 to 3; others give a pattern
/// without entries, which problem_of names.
[[nodiscard]] constexpr LayerPattern repeat_groups(std::initializer_list<int> groups) {
  LayerPattern pattern{.period = 0};
  for (int const g : groups) {
    if (g < 0 || g >= max_groups || pattern.period == LayerPattern::max_period) return {0};
    auto const bits = static_cast<std::uint64_t>(g & 3) << (pattern.period % 32 * 2);
    (pattern.period < 32 ? pattern.first_half : pattern.second_half) |= bits;
    ++pattern.period;
  }
  return pattern;
}

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
/// `layers`, `kv_heads` and a group's `window` may be left `dynamic` and given to the cache when it is made.
struct ModelConfig {
  std::int32_t layers = dynamic;
  std::int32_t kv_heads = dynamic;
  std::int32_t head_dim = 128;
  std::int32_t value_head_dim = 0;  ///< 0: head_dim
  LayerGroups groups = {};
  LayerPattern pattern = {};  ///< default: every layer in group 0

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

/// The shape of group `g` of `config`; what the config leaves open stays `dynamic`.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr GroupShape group_shape(ModelConfig const& config, int g,
                                                                 std::int32_t block_size) {
  LayerGroup const& group = config.groups[g];
  auto const or_else = [](std::int32_t own, std::int32_t models) { return own != 0 ? own : models; };
  GroupShape shape;
  shape.kind = group.kind;
  shape.layers = config.layers == dynamic ? dynamic : config.pattern.count(g, config.layers);
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
  if (config.pattern.period < 1 || config.pattern.period > LayerPattern::max_period)
    return "the layer pattern must have 1 to 64 entries, each the number of a group, 0 to 3";
  for (int i = 0; i < config.pattern.period; ++i)
    if (config.pattern.at(i) >= config.num_groups()) return "the layer pattern names a group that does not exist";
  if (config.layers != dynamic && config.layers < 1) return "layers must be at least 1, or folio::dynamic";
  if (config.kv_heads != dynamic && config.kv_heads < 1) return "kv_heads must be at least 1, or folio::dynamic";
  for (int g = 0; g < config.num_groups(); ++g) {
    if (config.pattern.count(g, config.pattern.period) == 0)
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

/// The policy that names the model: `KvCache<Model<folio::models::llama3_1_8b>, ...>`.
template <ModelConfig Config>
struct Model {
  static constexpr ModelConfig config = Config;
};

/// Model policy: what is cached? A type with a static constexpr `config`.
template <class M>
concept ModelPolicy = requires {
  requires std::same_as<decltype(M::config), ModelConfig const>;
};

static_assert(ModelPolicy<Model<ModelConfig{}>>);

}  // namespace folio
