// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The same small cache on the host and on the GPU, for smoke tests: every operation is done to both, and both must come
// to the same bytes, or to results that differ by roundings.

#include <folio/allocator/device.cuh>
#include <folio/device_batch.cuh>
#include <folio/folio.hpp>
#include <folio/ops/append.cuh>

#include "support.cuh"

namespace folio::bench {

/// Full attention, a window with sinks, and latent rows, of dims that lanes do not share evenly.
using HybridModel = Model<ModelConfig{.layers = 3,
                                      .kv_heads = 2,
                                      .head_dim = 64,
                                      .value_head_dim = 40,
                                      .groups = {full_attention(), sliding_window(20, 3), latent(64, 32)},
                                      .pattern = repeat_groups({0, 1, 2})}>;
using HybridBlocks = BlockSizes<16, 6, 4>;
using LlamaModel = Model<ModelConfig{.layers = 2, .kv_heads = 2, .head_dim = 128}>;

/// `Policies`: those of both caches but the allocators.
template <class... Policies>
class Pair {
 public:
  using Host = KvCache<Policies...>;
  using Device = KvCache<Policies..., DeviceAllocator>;
  using View = typename Host::View;
  static constexpr std::int32_t max_queries = 200;

  explicit Pair(std::vector<std::int64_t> const& num_blocks)
      : host_({.num_blocks = num_blocks}),
        device_({.num_blocks = num_blocks}, DeviceAllocator(stream)),
        step_(device_, {8, max_queries, 128}) {
    for (int g = 0; g < Host::num_groups; ++g) {  // what is never written is the same in both
      auto const bytes = static_cast<std::size_t>(host_.num_blocks(g) * host_.block_bytes(g));
      std::fill_n(host_.pool(g) + host_.block_bytes(g), bytes, std::byte{0xFF});
      check_cuda(cudaMemsetAsync(device_.pool(g) + host_.block_bytes(g), 0xFF, bytes, stream), "a fill");
    }
  }

  void add(std::int32_t num_tokens) {
    host_sequences_.push_back(host_.create(num_tokens));
    device_sequences_.push_back(device_.create(num_tokens));
  }
  void fork(std::size_t i) {
    host_sequences_.push_back(host_sequences_[i].fork());
    device_sequences_.push_back(device_sequences_[i].fork());
  }
  void extend(std::size_t i, std::int32_t n) {
    host_sequences_[i].extend(n);
    device_sequences_[i].extend(n);
  }

  /// Uploads the step of the last appends, and gives the same step on the host.
  [[nodiscard]] Batch<View> step() {
    step_.upload(items(device_sequences_), stream);
    return host_.batch(items(host_sequences_));
  }
  /// What kernels read of the uploaded step: padded to its greatest size.
  [[nodiscard]] DeviceView<View> view() const { return step_.view(); }
  [[nodiscard]] DeviceBatch<View> const& batch() const { return step_; }

  /// Writes random rows for the last appends to both, in all layers.
  void write(std::uint32_t seed) {
    Batch<View> const on_host = step();
    for (std::int32_t layer = 0; layer < Host::model.layers; ++layer) {
      std::vector<float> const rows = random_rows((max_queries + 1) * 256, seed + static_cast<std::uint32_t>(layer));
      Array<float> const device_rows(rows);
      bool const latent = host_.shape(on_host.view().place(layer).group).values_in_keys();
      ops::append(on_host.view(), layer, rows.data(), latent ? nullptr : rows.data() + 256);
      ops::append(view(), layer, device_rows.data(), latent ? nullptr : device_rows.data() + 256, stream);
      stream.wait();  // the rows go
    }
  }

  /// Throws unless all bytes of all blocks are the same.
  void expect_same_blocks(std::string const& what) const {
    stream.wait();
    for (int g = 0; g < Host::num_groups; ++g) {
      auto const bytes = static_cast<std::size_t>((host_.num_blocks(g) + 1) * host_.block_bytes(g));
      std::vector<std::byte> of_host(host_.pool(g), host_.pool(g) + bytes), of_device(bytes);
      check_cuda(cudaMemcpy(of_device.data(), device_.pool(g), bytes, cudaMemcpyDeviceToHost), "reading blocks");
      expect_same(what + " in group " + std::to_string(g), of_host, of_device);
    }
  }

  [[nodiscard]] Host& host() { return host_; }
  [[nodiscard]] Device& device() { return device_; }

  Stream stream;

 private:
  static std::vector<BatchItem> items(std::vector<Sequence> const& sequences) {
    std::vector<BatchItem> all;
    for (Sequence const& s : sequences) all.emplace_back(&s);
    return all;
  }

  Host host_;
  Device device_;
  std::vector<Sequence> host_sequences_, device_sequences_;
  DeviceBatch<View> step_;
};

/// Sequences with every edge of a block, an empty one, one whose sinks and window nearly meet, and a fork, in two
/// steps. The second brings each of them `chunk` tokens, and some more to every other one.
template <class... Policies>
void fill(Pair<Policies...>& pair, std::int32_t chunk) {
  for (std::int32_t const length : {1, 0, 16, 17, 61, 25}) pair.add(length);
  pair.write(1);
  pair.fork(4);
  for (std::size_t i = 0; i < 7; ++i) pair.extend(i, i == 1 ? 0 : chunk + (i % 2 == 0 ? 0 : 4));
  pair.write(11);
}

[[nodiscard]] inline std::vector<std::int64_t> hybrid_blocks() { return {40, 120, 150}; }

}  // namespace folio::bench
