// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// A storage format of one's own (int8_per_group.hpp) on a GPU: the same struct, read and written by the library's
// kernels. It comes to the same bytes as on the host.

#include <cstring>
#include <folio/cuda.cuh>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "device_array.cuh"
#include "int8_per_group.hpp"

namespace {

constexpr folio::ModelConfig model{.layers = 1, .kv_heads = 2, .head_dim = 128};
constexpr int num_tokens = 100;

template <class Allocator>
using Cache = folio::KvCache<folio::Model<model>, Int8PerGroup, Allocator>;

}  // namespace

int main() {
  if (std::string const why = folio::no_cuda_device_because(); !why.empty()) {
    std::cout << "SKIP: " << why << "\n";
    return skipped;
  }
  std::mt19937 random(1);
  std::vector<float> rows(std::size_t{num_tokens} * model.kv_heads * model.head_dim);
  for (float& x : rows) x = (static_cast<float>(random() >> 8) * 0x1p-23F - 1.0F) * (random() % 50 == 0 ? 40.0F : 1.0F);

  Cache<folio::HostAllocator> on_host({.num_blocks = {16}});
  folio::Sequence const host_sequence = on_host.create(num_tokens);
  auto const host_batch = on_host.batch({&host_sequence});
  folio::ops::append(host_batch.view(), 0, rows.data(), rows.data());
  std::vector<float> expected(rows.size());
  folio::ops::gather(host_batch.view(), 0, {0, 0, num_tokens}, expected.data(), nullptr);

  Stream const stream;
  Cache<folio::DeviceAllocator> cache({.num_blocks = {16}}, folio::DeviceAllocator(stream));
  folio::Sequence const sequence = cache.create(num_tokens);
  folio::DeviceBatch batch(cache, {.num_sequences = 1, .num_query_tokens = num_tokens, .num_tokens = num_tokens});
  batch.upload({&sequence}, stream);
  DeviceArray<float> const device_rows(rows, stream), keys(rows.size(), stream);
  folio::ops::append(batch.view(), 0, device_rows.data(), device_rows.data(), stream);
  folio::ops::gather(batch.view(), 0, {0, 0, num_tokens}, keys.data(), static_cast<float*>(nullptr), stream);

  std::vector<float> const result = keys.to_host();
  bool const same = std::memcmp(result.data(), expected.data(), result.size() * sizeof(float)) == 0;
  std::cout << "stored on the GPU and read back: "
            << (same ? "the same floats as on the host" : "other floats than on the host") << "\n";
  return same && std::cout.flush() ? 0 : 1;
}
