// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The kernel of docs/write_a_kernel.md, compiled for the caches of a model in several formats. Nothing here runs.
#include "decode_attention.cuh"

#include <folio/folio.hpp>

// [launch]
template <class View>
void decode(View const& view, int layer, float const* q, float* out, cudaStream_t stream) {
  dim3 const grid(view.num_sequences(), 32);  // 32 query heads share 8 kv heads
  decode_attention<128><<<grid, 32, 0, stream>>>(view, layer, 32 / 8, 1.0F / sqrtf(128.0F), q, out);
}
// [/launch]

namespace {

using folio::models::llama3_1_8b;

/// Where a step's tables and the blocks' memory are on the device.
struct DevicePointers {
  std::byte* pool;
  std::int32_t const *blocks, *lengths, *query_starts;
  std::int64_t const* slots;
};

// [device_view]
/// The same view over copies on the device: of the pool, and of the batch's arrays.
template <class Cache>
typename Cache::View device_view(Cache const& cache, folio::BatchTables const& batch, DevicePointers const& device) {
  folio::GroupTable const group{device.pool, device.blocks, device.slots, batch.table_width(), cache.shape()};
  return {{group}, device.lengths, device.query_starts, batch.num_sequences(), batch.num_query_tokens()};
}
// [/device_view]

template <class... Policies>
void step(DevicePointers const& device, float const* q, float* out, cudaStream_t stream) {
  folio::KvCache<folio::Model<llama3_1_8b>, Policies...> cache(folio::CacheConfig{.num_blocks = {64}});
  folio::Sequence const sequence = cache.create(100);
  auto const batch = cache.batch({{&sequence, 1}});
  for (int layer = 0; layer < llama3_1_8b.layers; ++layer)
    decode(device_view(cache, batch, device), layer, q, out, stream);
}

}  // namespace

void step_in_every_format(DevicePointers const& device, float const* q, float* out, cudaStream_t stream) {
  step<folio::F16>(device, q, out, stream);
  step<folio::Int8PerToken, folio::LayoutNhd>(device, q, out, stream);
  step<folio::Int4Rotated, folio::LayoutInterleaved>(device, q, out, stream);
}
