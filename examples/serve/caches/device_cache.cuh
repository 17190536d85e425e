// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The cache in a GPU's memory: kernels write keys and values and compute the attention over them.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/cuda.cuh>
#include <span>
#include <string>
#include <utility>

#include "paged_cache.hpp"

namespace serve {

/// The current device's name. In caches/cuda.cpp.
[[nodiscard]] std::string cuda_device_name();

/// An array in memory of one of folio's allocators.
template <class T, class Allocator>
class Array {
 public:
  explicit Array(std::size_t size, Allocator allocator = Allocator())
      : allocator_(std::move(allocator)),
        bytes_(static_cast<std::int64_t>(std::max<std::size_t>(size, 1) * sizeof(T))),
        data_(reinterpret_cast<T*>(allocator_.allocate(bytes_, 64))) {}
  Array(Array const&) = delete;
  Array& operator=(Array const&) = delete;
  ~Array() { allocator_.deallocate(reinterpret_cast<std::byte*>(data_), bytes_); }
  [[nodiscard]] T* data() const { return data_; }

 private:
  Allocator allocator_;
  std::int64_t bytes_;
  T* data_;
};

/// The step's tables, the keys and values and the attention are on the GPU; what the model computes besides is not. So
/// for each layer its queries, keys and values go there, and its attention comes back, and the host waits for it. That
/// shows the cache, and is no way to serve fast: an engine on the GPU keeps all of it there and waits once a step, for
/// the tokens.
///
/// How the GPU splits the sums of a softmax depends on the step, so batches and chunks may change a token's last bits.
template <class Cache>
class DeviceCache final : public PagedCacheOf<Cache> {
 public:
  DeviceCache(CacheRequest const& request, folio::CacheConfig const& config)
      : PagedCacheOf<Cache>(request, config),
        own_tokens_(own_tokens_of<Cache>(request.options.own_tokens)),
        num_query_heads_(request.model.heads),
        query_size_(static_cast<std::size_t>(request.model.heads) * static_cast<std::size_t>(request.model.head_dim)),
        key_size_(static_cast<std::size_t>(request.model.kv_heads) * static_cast<std::size_t>(request.model.head_dim)),
        chunks_(this->cache_, largest_step(request)),
        decode_(this->cache_, largest_decode(request)),
        in_(most_tokens() * (query_size_ + 2 * key_size_), this->cache_.allocator()),
        out_(most_tokens() * query_size_, this->cache_.allocator()),
        pinned_in_(most_tokens() * (query_size_ + 2 * key_size_)),
        pinned_out_(most_tokens() * query_size_),
        chunk_plan_(plan(chunks_)),
        decode_plan_(plan(decode_)),
        workspace_bytes_(
            static_cast<std::size_t>(std::max(chunk_plan_.workspace_bytes(), decode_plan_.workspace_bytes()))),
        workspace_(workspace_bytes_, this->cache_.allocator()) {
    for (Plan* const plan : {&chunk_plan_, &decode_plan_}) plan->set_workspace({workspace_.data(), workspace_bytes_});
  }

  [[nodiscard]] std::string device() const override { return "cuda: " + cuda_device_name(); }

  [[nodiscard]] StoredRows stored_rows() const override {
    StoredRows rows = PagedCacheOf<Cache>::stored_rows();
    rows.own_tokens = own_tokens_;
    return rows;
  }

  void begin_step(std::span<folio::BatchItem const> items) override {
    num_tokens_ = 0;
    for (folio::BatchItem const& item : items) num_tokens_ += static_cast<std::size_t>(item.sequence->num_new_tokens());
    step_ = num_tokens_ == items.size() ? &decode_ : &chunks_;
    step_->upload(items, stream);
  }

  void attend(std::int32_t layer, float const* q, float const* k, float const* v, float* out) override {
    std::size_t const num_q = num_tokens_ * query_size_, num_k = num_tokens_ * key_size_;
    std::copy_n(q, num_q, pinned_in_.data());
    std::copy_n(k, num_k, pinned_in_.data() + num_q);
    std::copy_n(v, num_k, pinned_in_.data() + num_q + num_k);
    copy(in_.data(), pinned_in_.data(), num_q + 2 * num_k, cudaMemcpyHostToDevice);
    auto const view = step_->view();
    float const *const keys = in_.data() + num_q, *const values = keys + num_k;
    folio::ops::append(view, layer, keys, values, stream);
    Plan const& plan = step_ == &decode_ ? decode_plan_ : chunk_plan_;
    folio::AttentionIo<float> io{in_.data(), num_query_heads_, out_.data()};
    if (own_tokens_ == OwnTokens::exact) {
      io.k = keys;
      io.v = values;
    }
    folio::ops::attend(plan, layer, io);
    copy(pinned_out_.data(), out_.data(), num_q, cudaMemcpyDeviceToHost);
    folio::check_cuda(cudaStreamSynchronize(stream), "waiting for a layer's attention");
    std::copy_n(pinned_out_.data(), num_q, out);
  }

 private:
  using Plan = folio::ops::DeviceAttentionPlan<typename Cache::View>;
  static constexpr cudaStream_t stream = nullptr;  // CUDA's own: all that happens here happens in one order

  /// Steps of any kind: of no more tokens than batch_tokens, nor than all samples ever have.
  static folio::BatchCapacity largest_step(CacheRequest const& request) {
    std::int64_t longest = 0, all = 0;
    for (Tokens const& prompt : request.prompts) {
      std::int64_t const one = static_cast<std::int64_t>(prompt.size()) + request.options.max_tokens;
      longest = std::max(longest, one);
      all += one * request.options.samples;
    }
    std::int64_t const samples = static_cast<std::int64_t>(request.prompts.size()) * request.options.samples;
    auto const at_most = [&](std::int64_t n) {
      return static_cast<std::int32_t>(std::min<std::int64_t>(n, request.options.batch_tokens));
    };
    return {.num_sequences = at_most(samples),
            .num_query_tokens = at_most(all),
            .num_tokens = static_cast<std::int32_t>(longest)};
  }
  /// Steps in which every sequence has one token: most of them. Kernels are launched for the largest step of a
  /// DeviceBatch, so a small one of their own spares them looking at padding.
  static folio::BatchCapacity largest_decode(CacheRequest const& request) {
    folio::BatchCapacity size = largest_step(request);
    size.num_query_tokens = size.num_sequences;
    return size;
  }

  [[nodiscard]] Plan plan(folio::DeviceBatch<typename Cache::View> const& batch) const {
    return folio::ops::plan_attention(batch.view(), num_query_heads_, {},
                                      {.stream = stream, .own_tokens = own_tokens_ == OwnTokens::exact});
  }

  [[nodiscard]] std::size_t most_tokens() const { return static_cast<std::size_t>(chunks_.size().num_query_tokens); }

  static void copy(float* to, float const* from, std::size_t size, cudaMemcpyKind kind) {
    folio::check_cuda(cudaMemcpyAsync(to, from, size * sizeof(float), kind, stream), "copying a layer's activations");
  }

  OwnTokens own_tokens_;
  std::int32_t num_query_heads_;
  std::size_t query_size_, key_size_;  // floats of one token
  folio::DeviceBatch<typename Cache::View> chunks_, decode_;
  folio::DeviceBatch<typename Cache::View>* step_ = nullptr;
  std::size_t num_tokens_ = 0;  // of the step
  // q, k and v of a layer one after the other, so that they are one copy.
  Array<float, folio::DeviceAllocator> in_, out_;
  Array<float, folio::PinnedAllocator> pinned_in_, pinned_out_;
  Plan chunk_plan_, decode_plan_;
  std::size_t workspace_bytes_;
  Array<std::byte, folio::DeviceAllocator> workspace_;
};

}  // namespace serve
