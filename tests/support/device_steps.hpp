// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Steps of a small cache whose tables and tokens can be told apart, for tests of DeviceBatch. Nothing here waits: what
// kernels read is looked at when the test has waited for them.

#include "support/cuda_support.hpp"
//
#include <cstdint>
#include <deque>
#include <folio/allocator/device.cuh>
#include <folio/device_batch.cuh>
#include <folio/kv_cache.hpp>
#include <folio/ops/append.cuh>
#include <folio/ops/gather.cuh>
#include <folio/quantizer/f32.hpp>
#include <vector>

namespace folio::test {

/// Kernel. Writes a step's tables one after another: end positions, query starts, and of each group lengths, block
/// table, slots and limits, where there are any.
template <class View>
__global__ void record_tables_kernel(View view, std::int64_t* out) {
  if (blockIdx.x + threadIdx.x != 0) return;
  for (std::int32_t i = 0; i < view.num_sequences(); ++i) *out++ = view.end_position(i);
  for (std::int32_t i = 0; i <= view.num_sequences(); ++i) *out++ = view.query_start(i);
  for (int g = 0; g < View::num_groups; ++g) {
    folio::GroupTable const& table = view.group(g);
    for (std::int32_t i = 0; i < view.num_sequences(); ++i) *out++ = table.lengths[i];
    for (std::int64_t k = 0; k < std::int64_t{view.num_sequences()} * table.width; ++k) *out++ = table.blocks[k];
    for (std::int64_t k = 0; k < view.num_query_tokens(); ++k) *out++ = table.slots[k];
    for (std::int64_t k = 0; k < view.num_query_tokens() && table.limits != nullptr; ++k) *out++ = table.limits[k];
  }
}

/// The same of the host's tables.
inline std::vector<std::int64_t> numbers_of(folio::BatchTables const& tables, int num_groups) {
  std::vector<std::int64_t> all(tables.end_positions().begin(), tables.end_positions().end());
  all.insert(all.end(), tables.query_starts().begin(), tables.query_starts().end());
  for (int g = 0; g < num_groups; ++g) {
    all.insert(all.end(), tables.lengths(g).begin(), tables.lengths(g).end());
    all.insert(all.end(), tables.block_table(g).begin(), tables.block_table(g).end());
    all.insert(all.end(), tables.slots(g).begin(), tables.slots(g).end());
    all.insert(all.end(), tables.limits(g).begin(), tables.limits(g).end());
  }
  return all;
}

inline constexpr folio::ModelConfig steps_model{.layers = 2,
                                                .kv_heads = 2,
                                                .head_dim = 16,
                                                .groups = {folio::full_attention(), folio::sliding_window(8)},
                                                .pattern = folio::repeat_groups({0, 1})};

template <class Allocator = folio::DeviceAllocator>
using StepsCache = folio::KvCache<folio::Model<steps_model>, folio::BlockSizes<4, 2>, folio::F32, Allocator>;

/// The steps of one DeviceBatch.
class Steps {
 public:
  using View = StepsCache<>::View;
  static constexpr std::size_t row = 2 * 16;  // floats of a token in a layer

  template <class Cache>
  explicit Steps(Cache& cache, folio::BatchCapacity const& size = {4, 24, 64}) : batch_(cache, size) {}

  folio::DeviceBatch<View>& batch() { return batch_; }

  /// Uploads a step, and lets kernels write `number`, `number + 1`, ... to its query tokens.
  void write(std::vector<folio::BatchItem> const& items, int number, cudaStream_t stream) {
    batch_.upload(items, stream);
    write_again(number, stream);
  }
  /// The same without the upload.
  void write_again(int number, cudaStream_t stream) {
    auto const num_tokens = static_cast<std::size_t>(batch_.size().num_query_tokens);
    buffers_.emplace_back(num_tokens * row, "new rows");
    for (std::size_t i = 0; i < buffers_.back().size(); ++i)
      buffers_.back()[i] = static_cast<float>(number + static_cast<int>(i / row));
    float const* const rows = buffers_.back().data();
    for (std::int32_t layer = 0; layer < 2; ++layer) folio::ops::append(batch_.view(), layer, rows, rows, stream);
  }

  /// What kernels read of the first tokens of sequence `i`, in layer 0, when they have run.
  [[nodiscard]] simt::Buffer<float> const& read(std::int32_t i, std::int32_t num_tokens, cudaStream_t stream) {
    buffers_.emplace_back(static_cast<std::size_t>(num_tokens) * row, "read rows");
    folio::ops::gather(batch_.view(), 0, {i, 0, num_tokens}, buffers_.back().data(), nullptr, stream);
    return buffers_.back();
  }

  /// The tables as a kernel sees them, when it has run.
  [[nodiscard]] simt::Buffer<std::int64_t> const& record(cudaStream_t stream) {
    tables_.emplace_back(numbers_of(batch_.tables(), 2).size(), "recorded tables");
    folio::ops::launch(record_tables_kernel<View>, 1, 1, 0, stream, batch_.view(), tables_.back().data());
    return tables_.back();
  }

 private:
  folio::DeviceBatch<View> batch_;
  std::deque<simt::Buffer<float>> buffers_;  // kernels may still use them
  std::deque<simt::Buffer<std::int64_t>> tables_;
};

/// The number that each token holds, or -1 where its elements are not all the same.
inline std::vector<int> tokens_in(simt::Buffer<float> const& rows) {
  std::vector<int> numbers;
  for (std::size_t i = 0; i < rows.size(); i += Steps::row) {
    bool same = true;
    for (std::size_t k = 0; k < Steps::row; ++k) same = same && rows[i + k] == rows[i];
    numbers.push_back(same ? static_cast<int>(rows[i]) : -1);
  }
  return numbers;
}

}  // namespace folio::test
