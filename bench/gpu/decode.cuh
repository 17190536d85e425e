// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Attention over filled caches as candidates, each checked against a sum in double over what the cache holds.

#include <cmath>
#include <folio/allocator/device.cuh>
#include <folio/device_batch.cuh>
#include <folio/folio.hpp>
#include <folio/ops/append.cuh>
#include <folio/ops/decode.cuh>
#include <folio/ops/gather.cuh>
#include <memory>
#include <numeric>

#include "measure.cuh"

namespace folio::bench {

/// The shape of most of today's models. The layers are as many as fill the working set.
using BenchModel = Model<ModelConfig{.kv_heads = 8, .head_dim = 128}>;

/// Bytes that one token takes in one layer: codes and parameters of all heads, without padding.
template <class M, QuantizerPolicy Q>
[[nodiscard]] constexpr std::int64_t stored_bytes_per_token() {
  constexpr GroupShape shape = group_shape(M::config, 0, 16);
  auto const row = [](std::int32_t dim) { return std::int64_t{code_bytes<Q>(dim) + Q::param_bytes(dim)}; };
  return shape.kv_heads * (row(shape.key_dim) + (shape.values_in_keys() ? 0 : row(shape.value_dim)));
}

/// A cache with a sequence of each of `lengths`, enough layers to exceed the L2, all written with random numbers.
template <class M, QuantizerPolicy Q, LayoutPolicy Layout = LayoutHnd>
struct Filled {
  using Cache = KvCache<M, BlockSize<16>, Q, Layout, DeviceAllocator>;
  using View = typename Cache::View;
  static constexpr GroupShape shape = group_shape(M::config, 0, 16);
  static constexpr std::int64_t bytes_per_token = stored_bytes_per_token<M, Q>();  ///< in a layer
  static constexpr std::int32_t chunk = 2048;  ///< tokens that are written at a time

  Filled(Run const& run, std::vector<std::int32_t> const& lengths, cudaStream_t stream)
      : num_tokens(std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0})),
        layers(static_cast<std::int32_t>(1 + (working_set_bytes(run) - 1) / (bytes_per_token * num_tokens))),
        cache({.num_blocks = {num_tokens / 16 + static_cast<std::int64_t>(lengths.size())}, .layers = layers},
              DeviceAllocator(stream)) {
    std::int32_t const longest = *std::max_element(lengths.begin(), lengths.end());
    DeviceBatch<View> batch(cache, {1, std::min(chunk, longest), longest});
    for (std::int32_t const length : lengths) {
      Sequence& sequence = sequences.emplace_back(cache.create());
      for (std::int32_t done = 0; done < length; done += chunk) {
        sequence.extend(std::min(chunk, length - done));
        batch.upload({&sequence}, stream);
        write(batch, stream);
      }
    }
    check_cuda(cudaStreamSynchronize(stream), "filling the cache");
  }

  /// A step of the last `queries` tokens of each sequence, with tables for `padded` sequences.
  [[nodiscard]] DeviceBatch<View> step(std::int32_t queries, std::int32_t padded, cudaStream_t stream) {
    std::int32_t longest = 1;
    std::vector<BatchItem> items;
    for (Sequence const& sequence : sequences) {
      longest = std::max(longest, sequence.num_tokens());
      items.emplace_back(&sequence, queries);
    }
    auto const count = std::max(padded, static_cast<std::int32_t>(sequences.size()));
    DeviceBatch<View> batch(cache, {count, count * queries, longest});
    batch.upload(items, stream);
    return batch;
  }

  std::int64_t num_tokens;
  std::int32_t layers;
  Cache cache;
  std::vector<Sequence> sequences;

 private:
  /// Other rows for each chunk and layer, from one array.
  void write(DeviceBatch<View> const& batch, cudaStream_t stream) {
    std::int64_t const row = std::int64_t{shape.kv_heads} * shape.key_dim, size = batch.size().num_query_tokens * row;
    if (rows_.size() < size + row) rows_ = Array<Half>(size + row, 1, stream);
    for (std::int32_t layer = 0; layer < layers; ++layer) {
      Half const* const keys = rows_.data() + next_++ * 8 % row;
      Half const* const values = rows_.data() + next_++ * 8 % row;
      ops::append(batch.view(), layer, keys, shape.values_in_keys() ? nullptr : values, stream);
    }
  }
  Array<Half> rows_;
  std::int64_t next_ = 0;
};

/// Attention of one query head over the first `num_tokens` tokens of sequence `i`, in double, of what gather reads.
template <class View>
std::vector<double> attend_in_double(DeviceView<View> const& view, std::int32_t i, std::int32_t layer,
                                     std::int32_t num_tokens, std::int32_t kv_head, std::vector<float> const& q,
                                     double scale, cudaStream_t stream) {
  GroupShape const shape = static_cast<View const&>(view).group(0).shape;
  std::int32_t const chunk = std::min(num_tokens, 4096);
  Array<float> const keys(std::int64_t{chunk} * shape.kv_heads * shape.key_dim);
  Array<float> const values(std::int64_t{chunk} * shape.kv_heads * shape.value_dim);
  std::vector<double> out(static_cast<std::size_t>(shape.value_dim));
  double max = -INFINITY, sum = 0;
  for (std::int32_t first = 0; first < num_tokens; first += chunk) {
    std::int32_t const n = std::min(chunk, num_tokens - first);
    ops::gather(view, layer, {i, first, n}, keys.data(), values.data(), stream);
    std::vector<float> const k = keys.to_host(stream), v = values.to_host(stream);
    for (std::int32_t t = 0; t < n; ++t) {
      auto const row = static_cast<std::size_t>(t * shape.kv_heads + kv_head);
      float const* const key = k.data() + row * q.size();
      double const score = scale * std::inner_product(q.begin(), q.end(), key, 0.0);
      double const new_max = std::max(max, score), keep = std::exp(max - new_max), weight = std::exp(score - new_max);
      max = new_max;
      sum = sum * keep + weight;
      for (std::size_t d = 0; d < out.size(); ++d)
        out[d] = out[d] * keep + weight * static_cast<double>(v[row * out.size() + d]);
    }
  }
  for (double& x : out) x /= sum;
  return out;
}

/// What is attended.
struct DecodeShape {
  std::string name;                   ///< that a figure's name ends with
  std::vector<std::int32_t> lengths;  ///< of the sequences
  std::int32_t num_query_heads = 32;
  std::int32_t queries = 1;           ///< tokens of each sequence
  std::int32_t padded_sequences = 0;  ///< that the tables have room for, where there are fewer
  bool in_tiny = false;

  [[nodiscard]] DecodeShape scaled(Run const& run) const {
    DecodeShape shape = *this;
    if (run.tiny) shape.lengths = {40, 17}, shape.padded_sequences = std::min(padded_sequences, 3);
    return shape;
  }
};

/// A step over a filled cache, its queries and its results.
template <class Fill>
struct DecodeStep {
  DecodeStep(Run const& run, DecodeShape const& decode, cudaStream_t s)
      : shape(decode),
        stream(s),
        filled(run, shape.lengths, s),
        batch(filled.step(shape.queries, shape.padded_sequences, s)),
        q(std::int64_t{batch.size().num_query_tokens} * shape.num_query_heads * Fill::shape.key_dim, 7, s),
        out(std::int64_t{batch.size().num_query_tokens} * shape.num_query_heads * Fill::shape.value_dim) {}

  /// The scores' scale; of latent keys (DeepSeek's) that of the dims before they were absorbed.
  [[nodiscard]] static float scale() {
    return 1.0F / std::sqrt(Fill::shape.values_in_keys() ? 192.0F : static_cast<float>(Fill::shape.key_dim));
  }

  /// How far the last layer's result for the last query token and head is from the sum in double.
  [[nodiscard]] double error() const {
    auto const i = static_cast<std::int32_t>(shape.lengths.size()) - 1;
    std::int64_t const row = std::int64_t{i + 1} * shape.queries * shape.num_query_heads - 1;
    std::int64_t const key_dim = Fill::shape.key_dim, value_dim = Fill::shape.value_dim;
    std::vector<float> const query = to_floats(q.to_host(stream, row * key_dim, key_dim));
    std::vector<double> const expected = attend_in_double(batch.view(), i, filled.layers - 1, shape.lengths.back(),
                                                          Fill::shape.kv_heads - 1, query, scale(), stream);
    return difference(expected, to_floats(out.to_host(stream, row * value_dim, value_dim)));
  }

  /// Bytes of keys and values that one layer's attention reads.
  [[nodiscard]] double bytes() const { return static_cast<double>(filled.num_tokens * Fill::bytes_per_token); }

  DecodeShape shape;
  cudaStream_t stream;
  Fill filled;
  DeviceBatch<typename Fill::View> batch;
  Array<Half> q, out;
  Array<std::byte> workspace;
};

inline constexpr double half_tolerance = 2e-3;  ///< of results in half precision, relative to a row's largest

/// ops::decode of all layers.
template <class Step>
Candidate attend_candidate(std::string name, std::shared_ptr<Step> step) {
  AttentionParams const params{.scale = Step::scale()};
  step->workspace =
      Array<std::byte>(ops::plan_attention(step->batch.view(), step->shape.num_query_heads, params).workspace_bytes());
  auto const work = [step, params](cudaStream_t stream) {
    DeviceExecution const execution{
        .stream = stream, .workspace = {step->workspace.data(), static_cast<std::size_t>(step->workspace.size())}};
    for (std::int32_t layer = 0; layer < step->filled.layers; ++layer)
      ops::decode(step->batch.view(), layer, AttentionIo{step->q.data(), step->shape.num_query_heads, step->out.data()},
                  params, execution);
  };
  return {.name = std::move(name),
          .work = work,
          .repeats = step->filled.layers,
          .bytes = step->bytes(),
          .limit = Limit::read,
          .error = [step] { return step->error(); },
          .tolerance = half_tolerance};
}

}  // namespace folio::bench
