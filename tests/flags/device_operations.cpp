// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Every header of CUDA's, and its operations, for compilers that warn of more than ours are told to.
// Only compiled, by way of the host runner.
#include <cuda_runtime.h>

#include <folio/allocator/managed.cuh>
#include <folio/allocator/pinned.cuh>
#include <folio/allocator/virtual.cuh>
#include <folio/cuda.cuh>
#include <folio/ops/top_k.cuh>
#include <folio/tensor_map.cuh>

constexpr folio::ModelConfig model{.layers = 2, .kv_heads = 2, .head_dim = 128};
using Cache = folio::KvCache<folio::Model<model>, folio::Keys<folio::Int4Rotated>, folio::Values<folio::Int8PerToken>,
                             folio::DeviceAllocator>;

using Plain = folio::KvCache<folio::Model<model>, folio::F16, folio::DeviceAllocator>;

void step(Cache const& cache, folio::DeviceView<Cache::View> const& view, folio::DeviceView<Plain::View> const& plain,
          folio::DeviceBatch<Cache::View> const& batch, float const* rows, float* out, cudaStream_t stream) {
  folio::ops::append(view, 0, rows, rows, stream);
  folio::ops::gather(view, 0, folio::Tokens{0, 0, 1}, out, out, stream);
  folio::ops::attend(view, 0, folio::AttentionIo{rows, 4, out}, {}, {.stream = stream});
  folio::ops::accumulate_scores(view, 0, rows, 4, rows, out, {}, stream);
  folio::ops::top_k(view, rows, {}, nullptr, nullptr, nullptr, 0, stream);
  folio::ops::compact(batch, 0, {}, stream);
  folio::ops::compact_elements(out, 1, 1, nullptr, nullptr, 1, 0.0F, stream);
  folio::ops::requantize(plain, 0, folio::Tokens{0, 0, 1}, view, folio::Tokens{0, 0, 1}, stream);
  folio::ops::copy_rows(plain, 0, folio::Tokens{0, 0, 1}, plain, folio::Tokens{0, 0, 1}, stream);
  folio::ops::reposition(plain, 0, folio::Tokens{0, 0, 1}, nullptr, 1, {}, stream);
  folio::ops::merge_attention(rows, rows, 2, 1, 128, out, nullptr, stream);
  folio::ops::copy_blocks(nullptr, nullptr, 16, {}, stream);
  folio::ops::copy_pieces({}, stream);
  folio::ops::swap_out(nullptr, nullptr, 16, {}, stream);
  static_cast<void>(folio::make_tensor_map(view, 0, folio::Plane::value, cache.num_blocks()));
}
