// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Sequences that know what was written into them. For caches with F32 rows, which keep every bit.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <folio/kv_cache.hpp>
#include <folio/ops/append.hpp>
#include <folio/ops/gather.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "support/reference_cache.hpp"

namespace folio::test {

/// Fills all blocks but the null blocks with bytes that are NaN in every float format, as dirty memory may be.
template <class Cache>
void poison(Cache const& cache) {
  for (int l = 0; l < Cache::num_lists; ++l)
    std::memset(cache.pool(l) + cache.block_bytes(l), 0xFF,
                static_cast<std::size_t>(cache.num_blocks(l) * cache.block_bytes(l)));
}

/// Everything that a store knows but its counters: equal before and after an operation that changed nothing.
inline std::vector<std::int64_t> snapshot(SequenceStore const& store) {
  std::vector<std::int64_t> all;
  for (int l = 0; l < store.num_lists(); ++l) {
    BlockPool const& pool = store.pool(l);
    all.insert(all.end(), {pool.num_free(), pool.num_live(), pool.num_shared(), pool.peak_live()});
    for (std::int32_t id = 1; id <= pool.num_blocks(); ++id) all.push_back(pool.ref_count(BlockId{id}));
  }
  for (auto const& state : store.states()) {
    all.insert(all.end(),
               {to_int(state->id), state->live ? 1 : 0, state->num_tokens, state->num_new_tokens, state->num_demoted});
    for (BlockList const& list : state->lists) {
      all.insert(all.end(), {static_cast<std::int64_t>(list.blocks.size()), list.first_resident_block, list.num_tokens,
                             list.gap_begin, list.gap_end});
      for (BlockId const block : list.blocks) all.push_back(to_int(block));
    }
  }
  return all;
}

/// The ids of a sequence's blocks as numbers.
inline std::vector<std::int32_t> block_ids(Sequence const& sequence, int group = 0) {
  std::vector<std::int32_t> ids;
  for (BlockId const block : sequence.blocks(group)) ids.push_back(to_int(block));
  return ids;
}

/// A sequence, and for each of its tokens the number that its rows were made of.
template <class Cache>
class ModelSequence {
 public:
  explicit ModelSequence(Cache& cache, Sequence sequence) : cache_(&cache), sequence_(std::move(sequence)) {}
  explicit ModelSequence(Cache& cache) : ModelSequence(cache, cache.create()) {}

  [[nodiscard]] Sequence& sequence() { return sequence_; }
  [[nodiscard]] Sequence* operator->() { return &sequence_; }

  /// Takes slots for n new tokens and writes them in every layer.
  ModelSequence& extend(std::int32_t n) {
    sequence_.extend(n);
    for (std::int32_t i = 0; i < n; ++i) tokens_.push_back(next_token());
    write();
    return *this;
  }

  ModelSequence& truncate(std::int32_t n) {
    sequence_.truncate(n);
    tokens_.resize(static_cast<std::size_t>(n));
    return *this;
  }

  [[nodiscard]] ModelSequence fork() const {
    ModelSequence child(*cache_, sequence_.fork());
    child.tokens_ = tokens_;
    return child;
  }

  /// Writes the tokens of the last append again.
  void write() const {
    BatchItem const items[] = {&sequence_};
    auto const batch = cache_->batch(items);
    auto const view = batch.view();
    std::int32_t const first = sequence_.num_tokens() - sequence_.num_new_tokens();
    for (std::int32_t layer = 0; layer < Cache::model.layers; ++layer) {
      GroupShape const& shape = view.group(view.place(layer).group).shape;
      std::vector<float> const keys = rows(shape, 0, layer, first, sequence_.num_tokens());
      std::vector<float> const values = rows(shape, 1, layer, first, sequence_.num_tokens());
      ops::append(view, layer, keys.data(), values.data());
    }
  }

  /// What the cache holds otherwise than it was written, in words; empty when all is right. In layers with a window
  /// that are the tokens which the last append's first query sees.
  [[nodiscard]] std::string difference() const {
    if (sequence_.num_tokens() != static_cast<std::int32_t>(tokens_.size())) return "the length is wrong";
    BatchItem const items[] = {&sequence_};
    auto const batch = cache_->batch(items);
    auto const view = batch.view();
    for (std::int32_t layer = 0; layer < Cache::model.layers; ++layer)
      for (std::int32_t token = 0; token < sequence_.num_tokens(); ++token) {
        GroupShape const& shape = view.group(view.place(layer).group).shape;
        std::int32_t const first_query = sequence_.num_tokens() - sequence_.num_new_tokens();
        if (token < shape.window_begin(first_query) && token >= shape.sinks) continue;
        if (!holds(view, shape, layer, token))
          return "token " + std::to_string(token) + " of layer " + std::to_string(layer) + " is not what was written";
      }
    return {};
  }

  /// What was written as rows of tokens [first, end): [token][head][dim]. A latent layer's values are the beginning of
  /// its keys.
  [[nodiscard]] std::vector<float> rows(GroupShape const& shape, int plane, std::int32_t layer, std::int32_t first,
                                        std::int32_t end) const {
    std::vector<float> all;
    std::int32_t const dims = plane == 0 ? shape.key_dim : shape.value_dim;
    for (std::int32_t token = first; token < end; ++token)
      for (std::int32_t head = 0; head < shape.kv_heads; ++head)
        for (std::int32_t dim = 0; dim < dims; ++dim)
          all.push_back(written(tokens_[static_cast<std::size_t>(token)], token, layer, head,
                                shape.values_in_keys() ? 0 : plane, dim));
    return all;
  }

 private:
  static std::uint32_t next_token() {
    static std::uint32_t next = 0;
    return next++;
  }

  template <class View>
  [[nodiscard]] bool holds(View const& view, GroupShape const& shape, std::int32_t layer, std::int32_t token) const {
    for (int plane = 0; plane < 2; ++plane) {
      std::vector<float> const expected = rows(shape, plane, layer, token, token + 1);
      std::vector<float> found(expected.size(), -1.0F);
      ops::gather(view, layer, {0, token, 1}, plane == 0 ? found.data() : nullptr, plane == 1 ? found.data() : nullptr);
      if (found != expected) return false;
    }
    return true;
  }

  Cache* cache_;
  Sequence sequence_;
  std::vector<std::uint32_t> tokens_;
};

}  // namespace folio::test
