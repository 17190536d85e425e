// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Sequences of caches that demote, which know what was written into them, and what one encoding makes of it.

#include <cstring>
#include <folio/folio.hpp>
#include <folio/precision/demote.hpp>
#include <folio/precision/mixed_ops.hpp>
#include <folio/thread_pool.hpp>
#include <string>
#include <utility>
#include <vector>

#include "precision/plain_twin.hpp"
#include "support/model_sequence.hpp"
#include "support/naive_attention.hpp"
#include "support/random.hpp"
#include "support/reference_cache.hpp"

namespace folio::test {

/// What a format gives back for rows [num_tokens][dim] that were encoded once: row by row, or as whole tiles.
template <class Quantizer>
std::vector<float> encoded_once(std::vector<float> rows, std::int32_t dim) {
  alignas(16) std::byte codes[max_row_dim * 4] = {}, params[max_row_dim * 4] = {};
  auto const num_rows = static_cast<std::int32_t>(rows.size()) / dim;
  if constexpr (is_tile_format<Quantizer>) {
    std::vector<std::byte> tile(static_cast<std::size_t>(Quantizer::tile_tokens * code_bytes<Quantizer>(dim)));
    std::vector<std::byte> of_tile(static_cast<std::size_t>(Quantizer::tile_param_bytes(dim)));
    for (std::int32_t begin = 0; begin < num_rows; begin += Quantizer::tile_tokens) {
      Quantizer::encode_tile(rows.data() + begin * dim, dim, tile.data(), of_tile.data());
      for (std::int32_t t = 0; t < Quantizer::tile_tokens; ++t)
        for (std::int32_t d = 0; d < dim; d += 8) {
          std::memcpy(codes, tile.data() + t * code_bytes<Quantizer>(dim) + code_bytes<Quantizer>(d),
                      std::size_t{Quantizer::bits});
          auto const loaded = Quantizer::load_params(of_tile.data(), d, t);
          Quantizer::template decode<8>(codes, loaded, rows.data() + (begin + t) * dim + d);
        }
    }
  } else {
    for (std::int32_t t = 0; t < num_rows; ++t) {
      Quantizer::encode(rows.data() + t * dim, dim, codes, params);
      decode_row<Quantizer>(codes, params, dim, rows.data() + t * dim);
    }
  }
  for (std::int32_t t = 0; t < num_rows; ++t) change_basis(Quantizer::basis, rows.data() + t * dim, dim, dim);
  return rows;
}

/// A token as the caches should give it back: rows of all kv heads by layer.
struct DemotableToken {
  std::vector<LayerRows> layers;
};

/// A sequence beside the flat list of what its tokens should be.
struct DemotingModelSequence {
  Sequence sequence;
  std::vector<DemotableToken> tokens = {};
  std::int32_t demoted = 0;
  Sequence plain = {};  ///< in the plain twin, where the model has layers with a window
};

/// A cache that demotes, and the stories in it. Throws std::logic_error with what differs.
template <class Cache>
class DemotingModelSequences {
 public:
  using Second = typename Cache::Demotion::Set;  ///< the format of what is demoted
  using Twin = PlainTwin<Cache>;
  static constexpr bool has_windows = test::has_windows<Cache>;

  explicit DemotingModelSequences(CacheConfig const& config) : cache(config), twin(config) { poison(cache); }

  DemotingModelSequence create(std::int32_t num_tokens = 0) {
    return {cache.create(num_tokens), {}, 0, twin.create(num_tokens)};
  }

  static void expect(bool ok, std::string const& what) {
    if (!ok) throw std::logic_error(what);
  }

  [[nodiscard]] std::int32_t num_layers() const {
    std::int32_t layers = 0;
    for (int g = 0; g < Cache::model.num_groups(); ++g) layers += cache.shape(g).layers;
    return layers;
  }
  [[nodiscard]] GroupShape const& shape_of(std::int32_t layer) const {
    return cache.shape(Cache::model.pattern.place(layer).group);
  }
  static bool has_window(std::int32_t layer) {
    if constexpr (has_windows) return Twin::layer_has_window(layer);
    return false;
  }

  /// Slots for n more tokens; false, and nothing changed, where there are not enough.
  bool take(DemotingModelSequence& story, std::int32_t n) {
    auto const before = snapshots();
    bool taken = true;
    if (n % 2 == 0) {
      taken = story.sequence.try_extend(n);
    } else {
      try {
        story.sequence.extend(n);
      } catch (OutOfBlocks const& full) {
        taken = false;
        expect(full.asked() > full.free(), "OutOfBlocks although enough were free");
        expect(full.free() == cache.num_free_blocks(full.group()), "OutOfBlocks names another group");
      }
    }
    expect(taken || before == snapshots(), "a failed append changed something");
    if constexpr (has_windows)
      if (taken) story.plain.extend(n);
    return taken;
  }

  /// Writes the last `n` tokens of each story as new ones, and remembers them. Half of those that are demoted soon are
  /// multiples of others, so that the rows of a tile have different scales.
  void write(std::vector<DemotingModelSequence*> const& stories, std::int32_t n) {
    std::vector<BatchItem> items;
    for (DemotingModelSequence* const s : stories) items.emplace_back(&s->sequence, n);
    auto const batch = cache.batch(items);
    [[maybe_unused]] auto const plain = twin.batch(stories, n);
    for (DemotingModelSequence* const s : stories)
      for (std::int32_t t = 0; t < n; ++t) s->tokens.push_back({});
    for (std::int32_t layer = 0; layer < num_layers(); ++layer) {
      GroupShape const& shape = shape_of(layer);
      std::vector<float> keys, values;
      std::uint32_t number = next_;
      for (DemotingModelSequence* const s : stories)
        for (std::int32_t t = static_cast<std::int32_t>(s->tokens.size()) - n;
             t < static_cast<std::int32_t>(s->tokens.size()); ++t, ++number) {
          auto& rows = s->tokens[static_cast<std::size_t>(t)].layers.emplace_back();
          rows.keys = make_rows<typename Cache::KeyQuantizer>(shape, number, layer, 0, keys);
          if (!shape.values_in_keys())
            rows.values = make_rows<typename Cache::ValueQuantizer>(shape, number, layer, 1, values);
        }
      ops::append(batch.view(), layer, keys.data(), values.empty() ? nullptr : values.data());
      if constexpr (has_windows)
        if (has_window(layer)) ops::append(plain.view(), layer, keys.data(), values.data());
    }
    next_ += static_cast<std::uint32_t>(stories.size()) * static_cast<std::uint32_t>(n);
  }

  /// Demotes, and does the same to the flat list: each tile is encoded once, as its rows are.
  void demote(DemotingModelSequence& story, std::int32_t num_accepted) {
    auto const length = static_cast<std::int32_t>(story.tokens.size());
    std::int32_t const begin = cache.sinks() + story.demoted;
    std::int32_t const end = std::min(num_accepted, length - cache.recent_window());
    std::int32_t const due = end > begin ? (end - begin) / cache.demotion_unit() * cache.demotion_unit() : 0;
    auto const before = snapshots();
    auto const windows = blocks_of_windows(story.sequence);
    try {
      expect(cache.demote(story.sequence, num_accepted) == due, "demote moved another number of tokens");
    } catch (OutOfBlocks const& full) {
      expect(before == snapshots(), "a failed demote changed something");
      expect(full.asked() > full.free(), "OutOfBlocks although enough were free");
      expect(full.group() >= Cache::num_groups && full.free() == cache.num_free_blocks(full.group()),
             "OutOfBlocks names another list");
      return;
    }
    if (due == 0) expect(before == snapshots(), "nothing was due");
    expect(windows == blocks_of_windows(story.sequence), "a demotion changed what left windows");
    for (std::int32_t layer = 0; layer < num_layers(); ++layer) {
      if (has_window(layer)) continue;
      GroupShape const& shape = shape_of(layer);
      reencode<typename Second::KeyQuantizer>(story, begin, due, layer, shape.kv_heads, shape.key_dim,
                                              &LayerRows::keys);
      if (!shape.values_in_keys())
        reencode<typename Second::ValueQuantizer>(story, begin, due, layer, shape.kv_heads, shape.value_dim,
                                                  &LayerRows::values);
    }
    story.demoted += due;
  }

  /// Truncates both, or finds out that it cannot be.
  void truncate(DemotingModelSequence& story, std::int32_t n) {
    bool const in_second = story.demoted > 0 && n < cache.sinks() + story.demoted;
    std::int32_t const keep = std::max(0, n - cache.sinks());
    bool possible = !in_second || keep % cache.demotion_unit() == 0;
    if constexpr (has_windows)
      if (possible) possible = Twin::truncated(story.plain, n);
    auto const before = snapshots();
    try {
      story.sequence.truncate(n);
      expect(possible, "truncated into a unit, or before a window");
    } catch (Error const& error) {
      expect(!possible, error.what());
      expect(before == snapshots(), "a failed truncation changed something");
      return;
    }
    story.tokens.resize(static_cast<std::size_t>(n));
    if (in_second) story.demoted = keep;
  }

  /// Lengths and all contents of a story, bit by bit.
  void check(DemotingModelSequence const& story) {
    Sequence const& s = story.sequence;
    auto const length = static_cast<std::int32_t>(story.tokens.size());
    expect(s.num_tokens() == length && s.num_demoted_tokens() == story.demoted, "the lengths differ");
    auto const batch = cache.batch({{&s}});  // with the queries of the last append
    expect(batch.view().num_query_tokens() == s.num_new_tokens(), "a batch has other queries");
    for (int g = 0; g < Cache::num_groups; ++g)
      expect(s.num_stored_tokens(g) == length - (cache.shape(g).window == 0 ? story.demoted : 0),
             "a group's first list has another length");
    if constexpr (has_windows) Twin::check_blocks(s, story.plain);
    for (std::int32_t layer = 0; layer < num_layers(); ++layer) {
      GroupShape const& shape = shape_of(layer);
      if constexpr (has_windows)
        if (has_window(layer)) {
          Twin::check_held(story, batch.view(), layer);
          continue;
        }
      std::vector<float> keys(story.tokens.size() * static_cast<std::size_t>(shape.kv_heads * shape.key_dim), -1.0F);
      std::vector<float> values(story.tokens.size() * static_cast<std::size_t>(shape.kv_heads * shape.value_dim),
                                -1.0F);
      auto const [all_keys, all_values] = flat(story, layer);
      ops::gather(batch.view(), layer, {0, 0, length}, keys.data(), shape.values_in_keys() ? nullptr : values.data());
      if (length == 0) continue;
      expect(std::memcmp(keys.data(), all_keys.data(), keys.size() * sizeof(float)) == 0, "keys differ");
      expect(
          shape.values_in_keys() || std::memcmp(values.data(), all_values.data(), values.size() * sizeof(float)) == 0,
          "values differ");
    }
  }

  /// Attention of the last `queries` tokens of each story over all of it, against the formula in double precision.
  void check_attention(std::vector<DemotingModelSequence const*> const& stories, std::int32_t queries,
                       std::int32_t query_heads_per_kv_head, ThreadPool* threads = nullptr) {
    std::vector<BatchItem> items;
    for (DemotingModelSequence const* const s : stories) items.emplace_back(&s->sequence, queries);
    auto const batch = cache.batch(items);
    [[maybe_unused]] auto const plain = twin.batch(stories, queries);
    for (std::int32_t layer = 0; layer < num_layers(); ++layer) {
      GroupShape const& shape = shape_of(layer);
      std::int32_t const heads = shape.kv_heads * query_heads_per_kv_head;
      std::size_t const rows = stories.size() * static_cast<std::size_t>(queries * heads);
      auto const q = random_floats(static_cast<std::int64_t>(rows) * shape.key_dim, next_ + 7, 1.0F);
      auto const logits = random_floats(heads, next_ + 8, 2.0F);
      for (bool const with_logits : {false, true}) {
        AttentionParams const params{.sink_logits = with_logits ? logits.data() : nullptr};
        HostExecution const execution{threads};
        std::vector<float> out(rows * static_cast<std::size_t>(shape.value_dim), -1.0F), lse(rows, -1.0F);
        ops::attend(batch.view(), layer, AttentionIo{q.data(), heads, out.data(), lse.data()}, params, execution);
        std::vector<float> alone(out.size(), -1.0F);  // without an lse
        ops::attend(batch.view(), layer, AttentionIo{q.data(), heads, alone.data()}, params, execution);
        expect(alone == out, "the output depends on whether the lse is asked for");
        if constexpr (has_windows)
          if (has_window(layer)) {
            std::vector<float> its_out(out.size(), -1.0F), its_lse(rows, -1.0F);
            ops::attend(plain.view(), layer, AttentionIo{q.data(), heads, its_out.data(), its_lse.data()}, params,
                        execution);
            expect(out == its_out && lse == its_lse, "a plain cache attends to a window by other numbers");
          }
        std::string const wrong = difference(naive(stories, queries, layer, heads, q, params), out, lse);
        expect(wrong.empty(), wrong);
      }
    }
  }

  /// free + live = all in each list, and live is what the stories hold.
  void check_accounting(std::vector<DemotingModelSequence*> const& stories) const {
    Stats const stats = cache.stats();
    expect(stats.groups.size() == std::size_t{Cache::num_lists}, "another number of lists");
    std::int64_t saved = 0;
    for (int l = 0; l < Cache::num_lists; ++l) {
      std::vector<BlockId> held;
      for (DemotingModelSequence* const s : stories) {
        std::vector<BlockId> const& blocks = s->sequence.state().lists[l].blocks;
        held.insert(held.end(), blocks.begin(), blocks.end());
      }
      std::erase(held, null_block);  // before a window
      std::sort(held.begin(), held.end());
      auto const live = std::unique(held.begin(), held.end()) - held.begin();
      expect(cache.num_free_blocks(l) + live == cache.num_blocks(l), "free + live is not all");
      GroupStats const& of_list = stats.groups[static_cast<std::size_t>(l)];
      expect(of_list.demoted == (l >= Cache::num_groups), "a list is called what it is not");
      if (!of_list.demoted) continue;
      expect(cache.second_list(of_list.group) == l, "a second list is of another group");
      expect(of_list.slots_empty == 0, "a demoted block is not full");
      GroupShape const& first = cache.shape(of_list.group);
      saved += live * cache.shape(l).block_size * cache.block_bytes(of_list.group) / first.block_size -
               live * cache.block_bytes(l);
    }
    expect(stats.bytes_saved == saved, "bytes_saved does not add up");
  }

  [[nodiscard]] std::vector<std::int64_t> snapshots() const { return snapshot(cache.state()->store); }

  Cache cache;
  Twin twin;

 private:
  static std::vector<std::vector<BlockId>> blocks_of_windows(Sequence const& s) {
    std::vector<std::vector<BlockId>> all;
    for (int g = 0; g < Cache::num_groups; ++g)
      if (Cache::model.groups[g].window != 0) all.emplace_back(s.blocks(g).begin(), s.blocks(g).end());
    return all;
  }

  /// New rows of all kv heads, appended to `all`; returns them as the cache's own format gives them back.
  template <class Quantizer>
  static std::vector<float> make_rows(GroupShape const& shape, std::uint32_t number, std::int32_t layer, int plane,
                                      std::vector<float>& all) {
    std::int32_t const dim = plane == 0 ? shape.key_dim : shape.value_dim;
    std::vector<float> rows;
    float const loudness = number % 3 == 0 ? 1.0F : 0.1F * static_cast<float>(number % 17);
    for (std::int32_t head = 0; head < shape.kv_heads; ++head)
      for (std::int32_t d = 0; d < dim; ++d)
        rows.push_back(0.25F * loudness * written(number, 0, layer, head, plane, d));
    all.insert(all.end(), rows.begin(), rows.end());
    return encoded_once<Quantizer>(rows, dim);
  }

  template <class Quantizer>
  static void reencode(DemotingModelSequence& story, std::int32_t begin, std::int32_t count, std::int32_t layer,
                       std::int32_t heads, std::int32_t dim, std::vector<float> LayerRows::*plane) {
    auto const row = [&](std::int32_t t, std::int32_t head) {
      return (story.tokens[static_cast<std::size_t>(begin + t)].layers[static_cast<std::size_t>(layer)].*plane)
                 .begin() +
             head * dim;
    };
    for (std::int32_t head = 0; head < heads; ++head) {
      std::vector<float> rows;
      for (std::int32_t t = 0; t < count; ++t) rows.insert(rows.end(), row(t, head), row(t, head) + dim);
      rows = encoded_once<Quantizer>(std::move(rows), dim);
      for (std::int32_t t = 0; t < count; ++t) std::copy_n(rows.begin() + t * dim, dim, row(t, head));
    }
  }

  static std::pair<std::vector<float>, std::vector<float>> flat(DemotingModelSequence const& story,
                                                                std::int32_t layer) {
    std::pair<std::vector<float>, std::vector<float>> all;
    for (DemotableToken const& token : story.tokens) {
      auto const& rows = token.layers[static_cast<std::size_t>(layer)];
      all.first.insert(all.first.end(), rows.keys.begin(), rows.keys.end());
      all.second.insert(all.second.end(), rows.values.begin(), rows.values.end());
    }
    return all;
  }

  NaiveAttention naive(std::vector<DemotingModelSequence const*> const& stories, std::int32_t queries,
                       std::int32_t layer, std::int32_t heads, std::vector<float> const& q,
                       AttentionParams const& params) const {
    GroupShape const& shape = shape_of(layer);
    NaiveAttention result;
    result.unit = 2e-5;  // of integers of 16 bits, which some of the formats are multiplied with
    float const* row = q.data();
    for (DemotingModelSequence const* const s : stories) {
      auto [keys, values] = flat(*s, layer);
      auto const length = static_cast<std::int32_t>(s->tokens.size());
      if (shape.values_in_keys())
        for (std::int32_t t = 0; t < length; ++t)
          values.insert(values.end(), keys.begin() + t * shape.key_dim,
                        keys.begin() + t * shape.key_dim + shape.value_dim);
      for (std::int32_t query = length - queries; query < length; ++query)
        for (std::int32_t h = 0; h < heads; ++h, row += shape.key_dim) {
          std::vector<std::int32_t> seen;
          for (std::int32_t t = 0; t <= query; ++t)
            if (shape.visible(query, t)) seen.push_back(t);
          double const logit = params.sink_logits != nullptr ? double{params.sink_logits[h]} : 0.0;
          attend_naively(result, seen, query, row, keys, values, shape.kv_heads, h / (heads / shape.kv_heads), shape,
                         {1.0 / std::sqrt(double(shape.key_dim))}, params.sink_logits != nullptr ? &logit : nullptr);
        }
    }
    return result;
  }

  std::uint32_t next_ = 1;
};

}  // namespace folio::test
