// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A batch that is filled in every step of a program, beside one made anew: both must have the same tables.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/batch.hpp>
#include <stdexcept>
#include <vector>

namespace folio::test {

/// Made for a cache, and filled with its sequences after whatever happened to them.
template <class Cache>
class KeptBatch {
 public:
  explicit KeptBatch(Cache& cache) : cache_(cache), kept_(cache.batch(std::span<BatchItem const>{})) {}

  /// A step of most of the sequences, in their order, each with none, some or all of its new tokens as queries: which,
  /// follows from `step`, as does the padding. Throws std::logic_error where the tables are not those of a batch that
  /// is made anew. `attempt(fill, check)` calls fill() until it does not throw std::bad_alloc, and check() after each
  /// failure.
  template <class Attempt>
  void fill(std::vector<Sequence const*> const& sequences, unsigned step, Attempt&& attempt) {
    items_.clear();
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      auto const dice = static_cast<std::int32_t>((step * 31 + static_cast<unsigned>(i) * 17) % 13);
      if (dice == 0) continue;
      std::int32_t const queries = sequences[i]->num_new_tokens();
      items_.emplace_back(sequences[i], dice < 3 ? 0 : dice < 6 ? std::min(queries, 1) : queries);
    }
    BatchPadding padding;
    if (step / 8 % 3 == 1) padding = {.num_sequences = 6, .row_blocks = 8};
    if (step / 8 % 3 == 2) padding = {.num_sequences = 7, .num_query_tokens = 90, .num_tokens = 150};
    before_.assign(kept_.bytes().begin(), kept_.bytes().end());
    attempt([&] { cache_.batch(items_, kept_, padding); },
            [&] { expect(before_, "a batch that found no memory changed its tables"); });
    auto const fresh = cache_.batch(items_, padding);
    expect(fresh.bytes(), "a batch that was kept has other tables than one made anew");
    if (kept_.num_sequences() != fresh.num_sequences() || kept_.num_query_tokens() != fresh.num_query_tokens())
      throw std::logic_error("a batch that was kept has other sizes than one made anew");
  }
  void fill(std::vector<Sequence const*> const& sequences, unsigned step) {
    fill(sequences, step, [](auto&& fill_once, auto&&) { fill_once(); });
  }

 private:
  void expect(std::span<std::byte const> wanted, char const* what) const {
    if (!std::equal(wanted.begin(), wanted.end(), kept_.bytes().begin(), kept_.bytes().end()))
      throw std::logic_error(what);
  }

  Cache& cache_;
  Batch<typename Cache::View> kept_;
  std::vector<BatchItem> items_;
  std::vector<std::byte> before_;
};

}  // namespace folio::test
