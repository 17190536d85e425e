// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Random programs whose blocks are in the host's memory, written and read by the host's operations.

#include <deque>
#include <folio/ops/compact.hpp>
#include <map>
#include <optional>

#include "random_programs/driver.hpp"
#include "support/kept_batch.hpp"

namespace folio::test {

template <class Quantizers, class Layout>
class HostDriver {
 public:
  using Cache = ProgramCache<Layout, folio::HostAllocator, Quantizers>;

  explicit HostDriver(std::vector<std::int64_t> const& num_blocks) : cache_({.num_blocks = num_blocks}) {
    // Unwritten bytes are NaN in every float format: whoever reads them is found out.
    for (int g = 0; g < Cache::num_groups; ++g)
      std::memset(cache_.pool(g) + cache_.block_bytes(g), 0xFF,
                  static_cast<std::size_t>(cache_.num_blocks(g) * cache_.block_bytes(g)));
  }

  Cache& cache() { return cache_; }
  [[nodiscard]] static std::deque<HeldBlocks> const& held() {
    static std::deque<HeldBlocks> const none;
    return none;
  }

  void write(std::vector<folio::BatchItem> const& items, std::map<std::int32_t, ProgramInput> const& inputs) {
    auto const batch = cache_.batch(items);
    auto const num_rows = static_cast<std::size_t>(batch.num_query_tokens() * cache_.shape(0).kv_heads);
    expect(num_rows * static_cast<std::size_t>(cache_.shape(0).key_dim) == inputs.at(0).keys.size(),
           "wrong number of query tokens");
    for (auto const& [layer, in] : inputs)
      folio::ops::append(batch.view(), layer, in.keys.data(), in.values.empty() ? nullptr : in.values.data());
  }

  bool look(std::vector<folio::BatchItem> const& items) {
    std::vector<folio::Sequence const*> sequences;
    for (folio::BatchItem const& item : items) sequences.push_back(item.sequence);
    kept_batch_.fill(sequences, num_looks_++);
    batch_ = cache_.batch(items);
    return true;
  }

  void read(std::size_t i, std::int32_t layer, std::int32_t first, std::int32_t n,
            ReferenceSequence const& reference) const {
    folio::ops::with_group(batch_->view(), layer, [&](auto group, std::int32_t index) {
      auto const sequence = batch_->view().template sequence_in<group()>(static_cast<std::int32_t>(i), index);
      folio::GroupShape const shape = sequence.shape();
      for (std::int32_t token = first; token < first + n; ++token) {
        LayerRows const& rows = (*reference[static_cast<std::size_t>(token)])[static_cast<std::size_t>(layer)];
        for (std::int32_t head = 0; head < shape.kv_heads; ++head) {
          check_row(sequence.key(head, token), rows.keys.data() + head * shape.key_dim, shape.key_dim, i, layer, token);
          float const* const values =
              shape.values_in_keys() ? rows.keys.data() : rows.values.data() + head * shape.value_dim;
          check_row(sequence.value(head, token), values, shape.value_dim, i, layer, token);
        }
      }
    });
  }

  void settle() {}

  /// Moves the tokens `kept` of those that group `group` stores of a sequence to its front.
  void compact(folio::Sequence const& sequence, int group, std::vector<std::int32_t> const& kept) {
    auto const k = static_cast<std::int32_t>(kept.size());
    auto const batch = cache_.batch({{&sequence, 0}});
    folio::ops::compact(batch.view(), group, {.tokens = kept.data(), .counts = &k, .k = k});
  }

 private:
  template <class Row>
  static void check_row(Row const& row, float const* wanted, std::int32_t dim, std::size_t i, std::int32_t layer,
                        std::int32_t token) {
    float read[64];
    folio::ops::load_row(row, dim, read);
    expect_row(read, wanted, dim, i, layer, token);
  }

  Cache cache_;
  KeptBatch<Cache> kept_batch_{cache_};
  unsigned num_looks_ = 0;
  std::optional<folio::Batch<typename Cache::View>> batch_;
};

}  // namespace folio::test
