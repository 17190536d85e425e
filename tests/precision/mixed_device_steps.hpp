// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Caches that demote, one in the host's memory and one in the device's, with the same story: the host's operations on
// the one, launches that nobody waits for on the other. Both must come to the same bytes.

#include "support/cuda_support.hpp"
//
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <folio/allocator/device.cuh>
#include <folio/device_batch.cuh>
#include <folio/folio.hpp>
#include <folio/precision/demote.cuh>
#include <folio/precision/mixed_ops.cuh>
#include <folio/precision/mixed_ops.hpp>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "support/random.hpp"

namespace folio::test {

/// Every kind of layer group: full attention and latent rows, which demote, and a window with sinks, which does not.
inline constexpr folio::ModelConfig mixed_hybrid{
    .layers = 4,
    .kv_heads = 2,
    .head_dim = 32,
    .value_head_dim = 24,
    .groups = {folio::sliding_window(7, 2), folio::full_attention(), folio::latent(32, 16)},
    .pattern = folio::repeat_groups({1, 0, 2, 1})};
inline constexpr folio::ModelConfig mixed_full{.layers = 2, .kv_heads = 2, .head_dim = 64};

/// `T`: of queries, new keys and values.
template <class T, class... Policies>
class MixedTwins {
 public:
  using Host = folio::KvCache<Policies...>;
  using Device = folio::KvCache<Policies..., folio::DeviceAllocator>;
  using View = typename Device::View;
  static constexpr std::int32_t num_query_heads = 4;

  /// A step, and what was read in it.
  struct Sequences {
    folio::Sequence host, device;
  };

  explicit MixedTwins(folio::CacheConfig const& config, std::uint32_t seed = 1)
      : host_(config), device_(config), random_(seed) {
    for (int l = 0; l < Host::num_lists; ++l) {  // what is never written is the same in both
      if (host_.num_blocks(l) == 0) continue;    // of a group without layers
      std::size_t const null_block = static_cast<std::size_t>(host_.block_bytes(l)), bytes = bytes_of(l) - null_block;
      std::memset(host_.pool(l) + null_block, 0xFF, bytes);
      folio::check_cuda(cudaMemset(device_.pool(l) + null_block, 0xFF, bytes), "a fill");
    }
    wait_for_device();
  }
  MixedTwins(MixedTwins const&) = delete;
  MixedTwins& operator=(MixedTwins const&) = delete;
  ~MixedTwins() { cudaDeviceSynchronize(); }

  Host& host() { return host_; }
  Device& device() { return device_; }
  std::vector<Sequences>& sequences() { return sequences_; }
  std::mt19937& random() { return random_; }

  Sequences& create(std::int32_t num_tokens) {
    return sequences_.emplace_back(Sequences{host_.create(num_tokens), device_.create(num_tokens)});
  }
  void fork(std::size_t i) {
    Sequences other{sequences_[i].host.fork(), sequences_[i].device.fork()};
    sequences_.push_back(std::move(other));
  }
  bool extend(std::size_t i, std::int32_t n) {
    bool const host = sequences_[i].host.try_extend(n), device = sequences_[i].device.try_extend(n);
    REQUIRE(host == device);
    return host;
  }
  /// The same on both sides: both do it, or both refuse it.
  template <class F>
  bool change(std::size_t i, F const& f) {
    auto const done = [&](folio::Sequence& sequence) {
      try {
        f(sequence);
      } catch (folio::Error const&) {
        return false;
      }
      return true;
    };
    bool const host = done(sequences_[i].host), device = done(sequences_[i].device);
    REQUIRE(host == device);
    return host;
  }

  /// A step of sequences `which` with so many query tokens each: new rows in every layer, and attention over all.
  void step(folio::DeviceBatch<View>& batch, std::vector<std::size_t> const& which,
            std::vector<std::int32_t> const& queries, cudaStream_t stream, folio::AttentionParams const& params = {}) {
    auto const host = host_.batch(items(which, queries, &Sequences::host));
    batch.upload(items(which, queries, &Sequences::device), stream);
    for (std::int32_t layer = 0; layer < num_layers(); ++layer) {
      append(host.view(), batch.view(), layer, stream);
      attend(host.view(), batch.view(), layer, stream, params);
    }
  }

  /// Random rows in a layer, on both sides.
  template <class HostView>
  void append(HostView const& host, folio::DeviceView<View> const& view, std::int32_t layer, cudaStream_t stream) {
    folio::GroupShape const& shape = shape_of(host, layer);
    auto const n = static_cast<std::size_t>(view.num_query_tokens() * shape.kv_heads);
    auto const& keys = random_elements(n * static_cast<std::size_t>(shape.key_dim));
    bool const has_values = !shape.values_in_keys();
    auto const& values = random_elements(has_values ? n * static_cast<std::size_t>(shape.value_dim) : 1);
    T const* const v = has_values ? values.data() : nullptr;
    folio::ops::append(host, layer, static_cast<T const*>(keys.data()), v);
    folio::ops::append(view, layer, static_cast<T const*>(keys.data()), v, stream);
  }

  /// Attention in a layer, by the plan or without, whose result on the device is compared in settle().
  template <class HostView>
  void attend(HostView const& host, folio::DeviceView<View> const& view, std::int32_t layer, cudaStream_t stream,
              folio::AttentionParams const& params = {}) {
    folio::GroupShape const& shape = shape_of(host, layer);
    auto const rows = static_cast<std::size_t>(view.num_query_tokens() * num_query_heads);
    auto const live = static_cast<std::size_t>(host.num_query_tokens() * num_query_heads);
    auto const dim = static_cast<std::size_t>(shape.value_dim);
    auto const& q = random_elements(rows * static_cast<std::size_t>(shape.key_dim));
    Result& result = results_.emplace_back();
    result.wanted.resize(live * dim);
    result.wanted_lse.resize(live);
    result.params = params;
    result.params.scale = 0.11F;
    T const* const queries = q.data();
    folio::AttentionIo wanted{queries, num_query_heads, result.wanted.data(), result.wanted_lse.data()};
    if (below(random_, 2) == 0) {  // the step's own tokens otherwise than they are stored, and none for padding
      auto const heads = static_cast<std::size_t>(host.num_query_tokens() * shape.kv_heads);
      wanted.k = random_elements(heads * static_cast<std::size_t>(shape.key_dim)).data();
      if (!shape.values_in_keys()) wanted.v = random_elements(heads * dim).data();
    }
    folio::ops::attend(host, layer, wanted, result.params);
    result.out = simt::Buffer<float>(rows * dim, "results");
    result.lse = simt::Buffer<float>(rows, "lse");
    for (std::size_t i = 0; i < rows * dim; ++i) result.out[i] = -7.0F;  // rows of padding stay so
    folio::DeviceExecution execution{
        .stream = stream, .num_parts = below(random_, 3), .own_tokens = wanted.k != nullptr};
    auto plan = folio::ops::plan_attention(view, num_query_heads, result.params, execution);
    result.workspace =
        simt::Buffer<std::byte>(static_cast<std::size_t>(std::max<std::int64_t>(plan.workspace_bytes(), 1)), "parts");
    execution.workspace = {result.workspace.data(), static_cast<std::size_t>(plan.workspace_bytes())};
    plan.set_workspace(execution.workspace);
    folio::AttentionIo io = wanted;
    io.out = result.out.data();
    io.lse = result.lse.data();
    if (below(random_, 2) == 0)
      folio::ops::attend(plan, layer, io);
    else
      folio::ops::attend(view, layer, io, result.params, execution);
  }

  /// Demotes on both sides what is due of the given sequences, of which all tokens but the last `draft` are accepted.
  std::int64_t demote(folio::DeviceBatch<View>& batch, std::vector<std::size_t> const& which, cudaStream_t stream,
                      std::int32_t draft = 0) {
    std::vector<folio::DemotionItem> items;
    std::int64_t moved = 0;
    for (std::size_t const i : which) {
      Sequences& s = sequences_[i];
      moved += host_.demote(s.host, s.host.num_tokens() - draft);
      items.emplace_back(&s.device, s.device.num_tokens() - draft);
    }
    REQUIRE(folio::ops::demote(device_, items, batch, stream) == moved);
    for (std::size_t const i : which)
      REQUIRE(sequences_[i].device.num_demoted_tokens() == sequences_[i].host.num_demoted_tokens());
    return moved;
  }

  /// Waits, and compares everything.
  void settle() {
    wait_for_device();
    for (Result const& result : results_) {
      float largest = 0, worst = 0, worst_lse = 0;
      for (float const x : result.wanted) largest = std::max(largest, std::fabs(x));
      auto const widen = [](float& worst_one, float a, float b) {
        if (a != b && !(std::fabs(a - b) <= worst_one)) worst_one = std::fabs(a - b);  // NaN, too; both -infinity not
      };
      for (std::size_t i = 0; i < result.wanted.size(); ++i) widen(worst, result.out[i], result.wanted[i]);
      for (std::size_t i = 0; i < result.wanted_lse.size(); ++i) widen(worst_lse, result.lse[i], result.wanted_lse[i]);
      REQUIRE(worst <= 1e-4F * largest);
      REQUIRE(worst_lse <= 1e-4F);
      bool padding_stays = true;
      for (std::size_t i = result.wanted.size(); i < result.out.size(); ++i)
        padding_stays = padding_stays && result.out[i] == -7.0F;
      REQUIRE(padding_stays);
    }
    results_.clear();
    elements_.clear();
    for (int l = 0; l < Host::num_lists; ++l) {
      INFO("list " << l);
      if (host_.num_blocks(l) == 0) continue;
      std::vector<std::byte> bytes(bytes_of(l));
      folio::check_cuda(cudaMemcpy(bytes.data(), device_.pool(l), bytes.size(), cudaMemcpyDefault), "a copy");
      REQUIRE(device_.num_free_blocks(l) == host_.num_free_blocks(l));
      REQUIRE(std::memcmp(bytes.data(), host_.pool(l), bytes.size()) == 0);
    }
  }

  [[nodiscard]] static std::int32_t num_layers() { return Host::model.layers; }

  [[nodiscard]] std::vector<folio::BatchItem> items(std::vector<std::size_t> const& which,
                                                    std::vector<std::int32_t> const& queries,
                                                    folio::Sequence Sequences::*side) const {
    std::vector<folio::BatchItem> all;
    for (std::size_t k = 0; k < which.size(); ++k) all.emplace_back(&(sequences_[which[k]].*side), queries[k]);
    return all;
  }

 private:
  struct Result {
    simt::Buffer<float> out{1, ""}, lse{1, ""};
    simt::Buffer<std::byte> workspace{1, ""};
    std::vector<float> wanted, wanted_lse;
    folio::AttentionParams params;
  };

  template <class AnyView>
  static folio::GroupShape const& shape_of(AnyView const& view, std::int32_t layer) {
    return view.recent.group(view.recent.place(layer).group).shape;
  }
  [[nodiscard]] std::size_t bytes_of(int l) const {
    return static_cast<std::size_t>((host_.num_blocks(l) + 1) * host_.block_bytes(l));
  }
  simt::Buffer<T> const& random_elements(std::size_t n) {
    simt::Buffer<T>& all = elements_.emplace_back(n, "activations");
    for (std::size_t i = 0; i < n; ++i)
      folio::ops::store_element(static_cast<float>(below(random_, 2001) - 1000) / 500.0F, all[i]);
    return all;
  }

  Host host_;
  Device device_;
  std::mt19937 random_;
  std::deque<simt::Buffer<T>> elements_;  // launches may still read them
  std::deque<Result> results_;
  std::vector<Sequences> sequences_;
};

}  // namespace folio::test
