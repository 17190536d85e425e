// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A cache whose blocks and tables lie in the host runner's global memory, beside a twin in ordinary memory: the kernels
// run on the one, the host's operations on the other, and both must come to the same bytes.

#include "simt/runner.hpp"
//
#include <algorithm>
#include <cstring>
#include <folio/folio.hpp>
#include <vector>

namespace folio::test {

/// Blocks in the runner's global memory, between red zones.
struct SimtAllocator {
  static constexpr char const* name = "simt";
  static constexpr Accessibility accessibility = Accessibility::both;
  [[nodiscard]] std::byte* allocate(std::int64_t bytes, std::int64_t) {
    return simt::allocate(static_cast<std::size_t>(bytes), "the pool of blocks");
  }
  void deallocate(std::byte* pointer, std::int64_t) noexcept { simt::deallocate(pointer); }
};

/// A batch's tables in the runner's global memory, each in a buffer of exactly its size, and a view over them.
template <class View>
class SimtBatch {
 public:
  explicit SimtBatch(folio::Batch<View> const& batch)
      : ends_(copy(batch.end_positions(), "end positions")),
        query_starts_(copy(batch.query_starts(), "query starts")),
        num_sequences_(batch.num_sequences()),
        num_query_tokens_(batch.num_query_tokens()),
        host_(batch.view()) {
    for (int g = 0; g < View::num_groups; ++g) {
      blocks_.push_back(copy(batch.block_table(g), "block table"));
      slots_.push_back(copy(batch.slots(g), "slots"));
      lengths_.push_back(copy(batch.lengths(g), "lengths"));
      limits_.push_back(copy(batch.limits(g), "limits"));
    }
  }

  [[nodiscard]] View view() const {
    folio::GroupTable groups[std::size_t{View::num_groups}];
    for (std::size_t g = 0; g < blocks_.size(); ++g) {
      groups[g] = host_.group(static_cast<std::int32_t>(g));
      groups[g].blocks = blocks_[g].data();
      groups[g].slots = slots_[g].data();
      groups[g].lengths = lengths_[g].data();
      if (groups[g].limits != nullptr) groups[g].limits = limits_[g].data();
    }
    return View(groups, ends_.data(), query_starts_.data(), num_sequences_, num_query_tokens_);
  }

 private:
  template <class T>
  static simt::Buffer<T> copy(std::span<T const> values, char const* name) {
    return simt::Buffer<T>(values, name);
  }

  simt::Buffer<std::int32_t> ends_, query_starts_;
  std::vector<simt::Buffer<std::int32_t>> blocks_, lengths_, limits_;
  std::vector<simt::Buffer<std::int64_t>> slots_;
  std::int32_t num_sequences_, num_query_tokens_;
  View host_;
};

/// Numbers from -4 to 4 with an outlier here and there, the same for the same seed.
inline std::vector<float> random_rows(std::size_t size, std::uint32_t seed) {
  std::vector<float> rows(size);
  for (std::size_t i = 0; i < size; ++i) {
    seed = seed * 1664525U + 1013904223U;
    rows[i] = (static_cast<float>(seed >> 8) / static_cast<float>(1 << 24) - 0.5F) * (seed % 61 == 0 ? 80.0F : 8.0F);
  }
  return rows;
}

/// The same cache twice, with sequences of awkward lengths: 0, 1, a full block, one more, several blocks, a shared one.
template <class... Policies>
class Twins {
 public:
  using Host = folio::KvCache<Policies...>;
  using Device = folio::KvCache<Policies..., SimtAllocator>;
  using View = typename Host::View;

  explicit Twins(folio::CacheConfig const& config) : host_(config), device_(config) {
    for (int g = 0; g < Host::num_groups; ++g)  // what is never written is the same in both: bytes 0xff
      std::memset(host_.pool(g) + host_.block_bytes(g), 0xFF,
                  static_cast<std::size_t>(host_.num_blocks(g) * host_.block_bytes(g)));
  }

  void add(std::int32_t num_tokens) {
    host_sequences_.push_back(host_.create(num_tokens));
    device_sequences_.push_back(device_.create(num_tokens));
  }
  void fork(std::size_t i) {
    host_sequences_.push_back(host_sequences_[i].fork());
    device_sequences_.push_back(device_sequences_[i].fork());
  }
  void own(std::size_t i, std::int32_t first, std::int32_t end) {
    host_sequences_[i].own(first, end);
    device_sequences_[i].own(first, end);
  }
  void extend(std::size_t i, std::int32_t n) {
    host_sequences_[i].extend(n);
    device_sequences_[i].extend(n);
  }

  /// Takes `count` blocks from block `first` on of a sequence out of each group without a window.
  void cut_blocks(std::size_t i, std::int32_t first, std::int32_t count) {
    for (int g = 0; g < Host::num_groups; ++g) {
      folio::GroupShape const& shape = host_.shape(g);
      if (shape.window != 0) continue;
      host_sequences_[i].cut(first * shape.block_size, count * shape.block_size, g);
      device_sequences_[i].cut(first * shape.block_size, count * shape.block_size, g);
    }
  }

  /// From now on the queries of a sequence are its tokens at these positions, or such as see so many of its tokens.
  void ask_at(std::size_t i, std::vector<std::int32_t> positions) { asked(i) = {std::move(positions), {}}; }
  void ask_seeing(std::size_t i, std::vector<std::int32_t> limits) { asked(i) = {{}, std::move(limits)}; }

  [[nodiscard]] folio::Batch<View> host_batch(folio::BatchPadding const& padding = {}) {
    return host_.batch(items(host_sequences_), padding);
  }
  [[nodiscard]] folio::Batch<View> device_batch(folio::BatchPadding const& padding = {}) {
    return device_.batch(items(device_sequences_), padding);
  }

  /// Whether all bytes of all blocks are the same.
  [[nodiscard]] bool same_bytes() const {
    for (int g = 0; g < Host::num_groups; ++g)
      if (std::memcmp(host_.pool(g), device_.pool(g),
                      static_cast<std::size_t>((host_.num_blocks(g) + 1) * host_.block_bytes(g))) != 0)
        return false;
    return true;
  }

  [[nodiscard]] Host const& host() const { return host_; }
  [[nodiscard]] Device const& device() const { return device_; }
  [[nodiscard]] Device& device() { return device_; }
  [[nodiscard]] std::vector<folio::BatchItem> device_items() const { return items(device_sequences_); }
  [[nodiscard]] std::vector<folio::Sequence> const& host_sequences() const { return host_sequences_; }

 private:
  struct Asked {
    std::vector<std::int32_t> positions, limits;
  };
  Asked& asked(std::size_t i) {
    asked_.resize(std::max(asked_.size(), i + 1));
    return asked_[i];
  }
  [[nodiscard]] std::vector<folio::BatchItem> items(std::vector<folio::Sequence> const& sequences) const {
    std::vector<folio::BatchItem> all;
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      all.emplace_back(&sequences[i]);
      if (i < asked_.size()) all.back().positions = asked_[i].positions, all.back().limits = asked_[i].limits;
    }
    return all;
  }

  Host host_;
  Device device_;
  std::vector<folio::Sequence> host_sequences_, device_sequences_;
  std::vector<Asked> asked_;  // of some; the queries of others are those of their last extension
};

/// Writes the query tokens of both caches: the same rows.
template <class Twins>
void fill(Twins& twins) {
  auto const host = twins.host_batch(), device = twins.device_batch();
  for (std::int32_t layer = 0; layer < Twins::Host::model.layers; ++layer) {
    GroupShape const shape = host.view().group(host.view().place(layer).group).shape;
    auto const rows = static_cast<std::size_t>(host.num_query_tokens() * shape.kv_heads);
    auto const keys = random_rows(rows * static_cast<std::size_t>(shape.key_dim), static_cast<std::uint32_t>(layer));
    auto const values = random_rows(rows * static_cast<std::size_t>(shape.value_dim), 77);
    float const* const v = shape.values_in_keys() ? nullptr : values.data();
    ops::append(host.view(), layer, keys.data(), v);
    ops::append(device.view(), layer, keys.data(), v);
  }
}

}  // namespace folio::test
