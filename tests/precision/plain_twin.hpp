// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The layers with a window of a cache that demotes must be as in the same cache without Demote: the same tokens given
// back, the same bits, the same attention.

#include <cstring>
#include <folio/folio.hpp>
#include <folio/precision/mixed_ops.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace folio::test {

/// The cache without its policy Demote.
template <class Cache>
using PlainOf = KvCache<typename Cache::ModelType, typename Cache::Blocks, Keys<typename Cache::KeyQuantizer>,
                        Values<typename Cache::ValueQuantizer>, typename Cache::Layout>;

/// Whether layers of the cache's model have a window.
template <class Cache>
inline constexpr bool has_windows = Cache::View::num_demoting < Cache::num_groups;

/// Of a cache for models without such layers: nothing is done.
template <class Cache, bool = has_windows<Cache>>
struct PlainTwin {
  explicit PlainTwin(CacheConfig const&) {}
  Sequence create(std::int32_t = 0) { return {}; }
  template <class ModelSequences>
  int batch(ModelSequences const&, std::int32_t) {
    return 0;
  }
};

template <class Cache>
struct PlainTwin<Cache, true> {
  using Plain = PlainOf<Cache>;

  explicit PlainTwin(CacheConfig const& config)
      : cache({.num_blocks = std::vector<std::int64_t>(std::size_t{Plain::num_groups}, 1024),
               .layers = config.layers,
               .kv_heads = config.kv_heads,
               .window = config.window}) {}

  Sequence create(std::int32_t num_tokens = 0) { return cache.create(num_tokens); }

  template <class ModelSequences>
  auto batch(ModelSequences const& stories, std::int32_t queries) {
    std::vector<BatchItem> items;
    for (auto const* const s : stories) items.emplace_back(&s->plain, queries);
    return cache.batch(items);
  }

  static bool has_window(int group) { return Plain::model.groups[group].kind == AttentionKind::sliding_window; }
  static bool layer_has_window(std::int32_t layer) {
    return has_window(Plain::model.pattern.at(layer % Plain::model.pattern.period));
  }

  static void expect(bool ok, std::string const& what) {
    if (!ok) throw std::logic_error(what);
  }

  /// The sequence has the blocks that the plain one has, and nothing that it gave back.
  static void check_blocks(Sequence const& sequence, Sequence const& plain) {
    for (int g = 0; g < Plain::num_groups; ++g) {
      if (!has_window(g)) continue;
      expect(sequence.num_stored_tokens(g) == plain.num_stored_tokens(g), "a window has another number of tokens");
      auto const mine = sequence.blocks(g), its = plain.blocks(g);
      expect(mine.size() == its.size(), "a window has another number of blocks");
      for (std::size_t b = 0; b < mine.size(); ++b)
        expect((mine[b] == null_block) == (its[b] == null_block), "a window gave back other blocks");
    }
  }

  static bool truncated(Sequence& plain, std::int32_t n) {
    try {
      plain.truncate(n);
    } catch (Error const&) {
      return false;
    }
    return true;
  }

  /// The tokens that the step's queries see in `layer`, and what is in a block with them, bit by bit; and gather
  /// refuses the others.
  template <class ModelSequence, class View>
  static void check_held(ModelSequence const& story, View const& view, std::int32_t layer) {
    int const group = Plain::model.pattern.at(layer % Plain::model.pattern.period);
    GroupShape const shape = group_shape(Plain::model, group, Plain::Blocks::block_size(group));
    std::int32_t const sinks = blocks_for(shape.sinks, shape.block_size);
    std::int32_t const hidden = hidden_blocks(shape, story.plain.num_tokens() - view.num_query_tokens());
    for (std::size_t t = 0; t < story.tokens.size(); ++t) {
      auto const token = static_cast<std::int32_t>(t);
      auto const& rows = story.tokens[t].layers[static_cast<std::size_t>(layer)];
      std::vector<float> keys(rows.keys.size(), -1.0F), values(rows.values.size(), -1.0F);
      std::int32_t const block = token / shape.block_size;
      bool const held = block < sinks || block >= sinks + hidden;
      try {
        ops::gather(view, layer, {0, token, 1}, keys.data(), values.data());
        expect(held, "gather gave a token that the window gave back");
      } catch (Error const& error) {
        expect(!held, error.what());
        continue;
      }
      expect(std::memcmp(keys.data(), rows.keys.data(), keys.size() * sizeof(float)) == 0, "keys of a window differ");
      expect(std::memcmp(values.data(), rows.values.data(), values.size() * sizeof(float)) == 0,
             "values of a window differ");
    }
  }

  Plain cache;
};

}  // namespace folio::test
