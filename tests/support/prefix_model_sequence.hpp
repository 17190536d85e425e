// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Sequences of a cache that keeps prefixes. What a token writes follows from the whole prefix up to it, as real keys
// and values do: a block of a wrong prefix shows, whatever its tokens are.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <folio/kernels/rows.hpp>
#include <folio/kv_cache.hpp>
#include <folio/ops/append.hpp>
#include <folio/ops/compact.hpp>
#include <folio/ops/gather.hpp>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "support/content_digest.hpp"
#include "support/layer_types.hpp"
#include "support/prefix_ledger.hpp"
#include "support/reference_cache.hpp"
#include "support/stored_tokens.hpp"

namespace folio::test {

/// `first`, and `second` after it.
inline Symbols operator+(Symbols first, Symbols const& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}
inline Symbols first_of(Symbols const& symbols, std::int32_t n) { return {symbols.begin(), symbols.begin() + n}; }

template <class Cache>
class PrefixModelSequence {
 public:
  /// Begins with what the cache has of `prompt`; the rest is to be appended.
  PrefixModelSequence(Cache& cache, Prefix const& prompt, std::int32_t tenant = 0)
      : cache_(&cache), sequence_(cache.create(prompt, tenant)), scope_(prompt.scope) {
    note(prompt.symbols.first(static_cast<std::size_t>(sequence_.num_tokens())));
  }

  /// The same with a sequence that was created for `prompt`.
  PrefixModelSequence(Cache& cache, Sequence sequence, Prefix const& prompt)
      : PrefixModelSequence(cache, std::move(sequence), prompt.scope) {
    note(prompt.symbols.first(static_cast<std::size_t>(sequence_.num_tokens())));
  }

  [[nodiscard]] Sequence& sequence() { return sequence_; }
  [[nodiscard]] Sequence const& sequence() const { return sequence_; }
  [[nodiscard]] Symbols const& symbols() const { return symbols_; }
  [[nodiscard]] std::int32_t scope() const { return scope_; }
  [[nodiscard]] std::int32_t size() const { return static_cast<std::int32_t>(symbols_.size()); }

  /// Slots for more tokens, which write() fills. False, and nothing changed, when there is no room.
  [[nodiscard]] bool take_slots(std::span<std::int32_t const> more) {
    if (!sequence_.try_extend(static_cast<std::int32_t>(more.size()))) return false;
    note(more);
    return true;
  }
  /// Notes the tokens for which the sequence has got slots.
  void took_slots(std::span<std::int32_t const> more) { note(more); }

  /// Writes the tokens of the last append of each story in one step.
  static void write(Cache& cache, std::span<PrefixModelSequence const* const> stories) {
    std::vector<BatchItem> items;
    for (PrefixModelSequence const* story : stories) items.emplace_back(&story->sequence_);
    auto const batch = cache.batch(items);
    for (std::int32_t layer = 0; layer < Cache::model.layers; ++layer) {
      GroupShape const& shape = cache.shape(Cache::model.pattern.place(layer).group);
      std::vector<float> keys, values;
      for (PrefixModelSequence const* story : stories)
        for (std::int32_t t = story->size() - story->sequence_.num_new_tokens(); t < story->size(); ++t)
          for (std::int32_t head = 0; head < shape.kv_heads; ++head) {
            story->add_row(shape, 0, layer, t, head, keys);
            if (!shape.values_in_keys()) story->add_row(shape, 1, layer, t, head, values);
          }
      ops::append(batch.view(), layer, keys.data(), values.data());
    }
  }

  [[nodiscard]] bool try_extend(std::span<std::int32_t const> more) {
    if (!take_slots(more)) return false;
    PrefixModelSequence const* const self = this;
    write(*cache_, {&self, 1});
    return true;
  }
  PrefixModelSequence& extend(Symbols const& more) {
    if (!try_extend(more)) FAIL("there is no room for " << more.size() << " tokens");
    return *this;
  }
  /// Appends and writes what is missing of `prompt`.
  PrefixModelSequence& finish(Symbols const& prompt) { return extend({prompt.begin() + size(), prompt.end()}); }

  [[nodiscard]] PrefixModelSequence fork() const { return with(sequence_.fork()); }
  /// The story of a fork of this one's sequence.
  [[nodiscard]] PrefixModelSequence with(Sequence fork) const {
    PrefixModelSequence child = PrefixModelSequence(*cache_, std::move(fork), scope_);
    child.symbols_ = symbols_;
    child.digests_ = digests_;
    std::copy_n(stored_, std::size_t{Cache::num_groups}, child.stored_);
    return child;
  }
  void truncate(std::int32_t n) {
    sequence_.truncate(n);
    symbols_.resize(static_cast<std::size_t>(n));
    digests_.resize(static_cast<std::size_t>(n));
    for (StoredTokens& group : stored_) group.truncate(n);
  }
  /// Takes stored tokens out of a group.
  void cut(std::int32_t first, std::int32_t n, int group) {
    sequence_.cut(first, n, group);
    stored_[group].cut(first, n, size());
  }
  /// Keeps the stored tokens with these numbers of a group, fewer than there are. Moves rows where they are not its
  /// first ones: into blocks that nobody else has then.
  void keep(std::vector<std::int32_t> const& numbers, std::int32_t num_last, int group) {
    auto const count = static_cast<std::int32_t>(numbers.size());
    if (count > 0 && numbers.back() != count - 1) {
      auto const batch = cache_->batch({{&sequence_, 0}});
      ops::compact(batch, group, {.tokens = numbers.data(), .counts = &count, .k = count});
    }
    StoredTokens& stored = stored_[group];
    stored.keep(numbers, size());
    std::int32_t num_first = 0;  // that stayed where they were
    while (num_first < count - num_last && numbers[static_cast<std::size_t>(num_first)] == num_first) ++num_first;
    sequence_.keep({.num_tokens = count, .num_first = num_first, .num_last = num_last}, group);
    stored.gap_begin = std::min(stored.gap_begin, num_first);  // what the cache was told
    stored.gap_end = std::max(stored.gap_end, size() - num_last);
  }
  [[nodiscard]] StoredTokens const& stored(int group) const { return stored_[group]; }
  /// The first tokens that every group stores.
  [[nodiscard]] std::int32_t num_exact() const {
    std::int32_t exact = size();
    for (StoredTokens const& group : stored_) exact = std::min(exact, group.gap_begin);
    return exact;
  }
  std::int32_t insert() { return insert(size()); }
  /// Keeps the first n tokens.
  std::int32_t insert(std::int32_t n) {
    return cache_->insert(sequence_, {std::span(symbols_).first(static_cast<std::size_t>(n)), scope_});
  }

  /// What the cache holds otherwise than it was written, of all that the next token sees; empty when all is right.
  [[nodiscard]] std::string difference() const {
    auto const batch = cache_->batch({{&sequence_, 0}});
    for (std::int32_t token = 0; token < size(); ++token)
      if (std::string const wrong = difference_at(batch.view(), 0, token); !wrong.empty()) return wrong;
    return {};
  }

  /// Likewise, of one token of this story, which is item `i` of a batch.
  template <class View>
  [[nodiscard]] std::string difference_at(View const& view, std::int32_t i, std::int32_t token) const {
    if (sequence_.num_tokens() != size()) return "the length is wrong";
    for (std::int32_t layer = 0; layer < Cache::model.layers; ++layer) {
      int const group = Cache::model.pattern.place(layer).group;
      GroupShape const& shape = cache_->shape(group);
      std::int32_t const number = stored_[group].number_of(token);
      if (!shape.visible(size(), token) || number < 0) continue;
      std::string const where = "token " + std::to_string(token) + " of layer " + std::to_string(layer);
      if (sequence_.blocks(group)[static_cast<std::size_t>(number / shape.block_size)] == null_block)
        return where + " has no block";
      wanted_[0].clear();
      wanted_[1].clear();
      with_layer_type<FirstViewOf<Cache>>(group, [&]<class Layer>() {
        for (std::int32_t head = 0; head < shape.kv_heads; ++head) {
          add_expected<typename Layer::KeyQuantizer>(shape, 0, layer, token, head);
          if (shape.values_in_keys())
            wanted_[1].insert(wanted_[1].end(), wanted_[0].end() - shape.key_dim,
                              wanted_[0].end() - shape.key_dim + shape.value_dim);
          else
            add_expected<typename Layer::ValueQuantizer>(shape, 1, layer, token, head);
        }
      });
      found_[0].assign(wanted_[0].size(), -1.0F);
      found_[1].assign(wanted_[1].size(), -1.0F);
      ops::gather(view, layer, {i, number, 1}, found_[0].data(), found_[1].data());
      if (found_[0] != wanted_[0]) return "the key of " + where + " is not what was written";
      if (found_[1] != wanted_[1]) return "the value of " + where + " is not what was written";
    }
    return {};
  }

 private:
  PrefixModelSequence(Cache& cache, Sequence sequence, std::int32_t scope)
      : cache_(&cache), sequence_(std::move(sequence)), scope_(scope) {}

  void note(std::span<std::int32_t const> more) {
    for (StoredTokens& group : stored_) group.extend(size(), static_cast<std::int32_t>(more.size()));
    for (std::size_t i = 0; i < more.size(); ++i) {
      digests_.push_back(content_digest(digests_.empty() ? scope_digest(scope_) : digests_.back(), more.subspan(i, 1)));
      symbols_.push_back(more[i]);
    }
  }

  /// The row that token t writes.
  void add_row(GroupShape const& shape, int plane, std::int32_t layer, std::int32_t t, std::int32_t head,
               std::vector<float>& rows) const {
    auto const token = static_cast<std::uint32_t>(digests_[static_cast<std::size_t>(t)]);
    std::int32_t const dims = plane == 0 ? shape.key_dim : shape.value_dim;
    for (std::int32_t d = 0; d < dims; ++d) rows.push_back(written(token, t, layer, head, plane, d));
  }

  /// What quantizer Q makes of it.
  template <class Q>
  void add_expected(GroupShape const& shape, int plane, std::int32_t layer, std::int32_t t, std::int32_t head) const {
    row_.clear();
    add_row(shape, plane, layer, t, head, row_);
    alignas(16) std::byte codes[256] = {}, params[64] = {};
    float decoded[64];
    auto const dims = static_cast<std::int32_t>(row_.size());
    Q::encode(row_.data(), dims, codes, params);
    decode_row<Q>(codes, params, dims, decoded);
    wanted_[plane].insert(wanted_[plane].end(), decoded, decoded + dims);
  }

  Cache* cache_;
  Sequence sequence_;
  std::int32_t scope_ = 0;
  Symbols symbols_;
  StoredTokens stored_[std::size_t{Cache::num_groups}];
  std::vector<std::uint64_t> digests_;                           // of the prefix up to each token
  inline static std::vector<float> row_, wanted_[2], found_[2];  // used again and again
};

/// Whether every block is free, live or cached.
template <class Cache>
bool accounts_close(Cache const& cache) {
  for (int g = 0; g < Cache::num_groups; ++g) {
    BlockPool const& pool = cache.state()->store.pool(g);
    if (pool.num_free() + pool.num_live() + pool.num_cached() != pool.num_blocks()) return false;
  }
  return true;
}

/// Runs `prompt` to its end; to be kept by insert().
template <class Cache>
PrefixModelSequence<Cache> run(Cache& cache, Symbols const& prompt, std::int32_t scope = 0) {
  PrefixModelSequence<Cache> story(cache, {prompt, scope});
  story.finish(prompt);
  return story;
}

/// A request that comes, is kept and goes. Returns how many tokens it found.
template <class Cache>
std::int32_t serve(Cache& cache, Symbols const& prompt, std::int32_t scope = 0, std::int32_t tenant = 0) {
  PrefixModelSequence<Cache> story(cache, {prompt, scope}, tenant);
  story.finish(prompt).insert();
  return story.sequence().num_cached_tokens();
}

}  // namespace folio::test
