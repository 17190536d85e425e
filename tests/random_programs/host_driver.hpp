// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Random programs whose blocks are in the host's memory, written and read by the host's operations.

#include <deque>
#include <folio/ops/compact.hpp>
#include <folio/precision/demote.hpp>
#include <folio/precision/mixed_ops.hpp>
#include <map>
#include <optional>

#include "random_programs/driver.hpp"
#include "support/kept_batch.hpp"

namespace folio::test {

template <class Quantizers, class Layout>
class HostDriver {
 public:
  using Cache = ProgramCache<Layout, folio::HostAllocator, Quantizers>;

  explicit HostDriver(std::vector<std::int64_t> const& num_blocks) : cache_(program_config<Cache>(num_blocks)) {
    // Unwritten bytes are NaN in every float format: whoever reads them is found out.
    for (int l = 0; l < Cache::num_lists; ++l)
      std::memset(cache_.pool(l) + cache_.block_bytes(l), 0xFF,
                  static_cast<std::size_t>(cache_.num_blocks(l) * cache_.block_bytes(l)));
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
    auto const view = first_lists(batch_->view());
    folio::ops::with_group(view, layer, [&](auto group, std::int32_t index) {
      auto const sequence = view.template sequence_in<group()>(static_cast<std::int32_t>(i), index);
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

  /// In that step, the tokens of both lists, of a layer whose group demotes.
  void read_both(std::size_t i, std::int32_t layer, ReferenceSequence const& reference) const {
    folio::GroupShape const& shape = cache_.shape(program_model.pattern.place(layer).group);
    auto const rows = reference.size() * static_cast<std::size_t>(shape.kv_heads);
    std::vector<float> keys(rows * static_cast<std::size_t>(shape.key_dim)),
        values(rows * static_cast<std::size_t>(shape.value_dim));
    auto const length = static_cast<std::int32_t>(reference.size());
    folio::ops::gather(batch_->view(), layer, {static_cast<std::int32_t>(i), 0, length}, keys.data(), values.data());
    for (std::int32_t t = 0; t < length; ++t) {
      LayerRows const& wanted = (*reference[static_cast<std::size_t>(t)])[static_cast<std::size_t>(layer)];
      expect_row(keys.data() + t * shape.kv_heads * shape.key_dim, wanted.keys.data(), shape.kv_heads * shape.key_dim,
                 i, layer, t);
      if (!shape.values_in_keys())
        expect_row(values.data() + t * shape.kv_heads * shape.value_dim, wanted.values.data(),
                   shape.kv_heads * shape.value_dim, i, layer, t);
    }
  }

  void ask(std::vector<folio::BatchItem> const& items, AskedAttention const& asked) {
    cache_.batch(items, asked_batch_);
    std::vector<float> out(asked.wanted.out.size()), lse(asked.wanted.lse.size());
    folio::ops::attend(asked_batch_.view(), asked.layer,
                       folio::AttentionIo{asked.q.data(), asked_heads, out.data(), lse.data()},
                       {.scale = AskedAttention::scale});
    std::string const what = difference(asked.wanted, out, lse);
    expect(what.empty(), "attention: " + what);
  }

  /// Of a cache that demotes.
  std::int64_t demote(folio::Sequence& sequence, std::int32_t num_accepted) {
    return cache_.demote(sequence, num_accepted);
  }

  void settle() {}

  /// Moves the tokens `kept` of those that group `group` stores of a sequence to its front.
  void compact(folio::Sequence const& sequence, int group, std::vector<std::int32_t> const& kept) {
    auto const k = static_cast<std::int32_t>(kept.size());
    auto const batch = cache_.batch({{&sequence, 0}});
    folio::ops::compact(batch, group, {.tokens = kept.data(), .counts = &k, .k = k});
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
  folio::Batch<typename Cache::View> asked_batch_ = cache_.batch(std::vector<folio::BatchItem>{});  // used again
  std::optional<folio::Batch<typename Cache::View>> batch_;
};

}  // namespace folio::test
