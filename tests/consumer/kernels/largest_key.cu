// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// A whole CUDA program. nvcc compiles it for a GPU, and folio_add_simt_executable for the CPU.
#include <folio/allocator/device.cuh>
#include <folio/device_batch.cuh>
#include <folio/kernels/launch.cuh>
#include <folio/kv_cache.hpp>
#include <folio/ops/append.cuh>
#include <iostream>
#include <vector>

#include "largest_key.cuh"

constexpr folio::ModelConfig model{.layers = 2, .kv_heads = 2, .head_dim = 64};

int main(int argc, char**) {
  folio::KvCache<folio::Model<model>, folio::DeviceAllocator> cache({.num_blocks = {64}});
  folio::DeviceBatch batch(cache, {.num_sequences = 1, .num_query_tokens = 300, .num_tokens = 300});
  std::vector<float> host_keys(300 * 2 * 64, 0.5F);
  host_keys[(211 * 2 + 1) * 64 + 17] = -3;  // token 211, head 1, element 17
  std::size_t const bytes = host_keys.size() * sizeof(float);
  float *keys = nullptr, *largest = nullptr, result = 0;
  cudaStream_t stream = nullptr;
  if (cudaStreamCreate(&stream) != cudaSuccess || cudaMalloc(&keys, bytes) != cudaSuccess ||
      cudaMalloc(&largest, sizeof(float)) != cudaSuccess)
    return 1;
  cudaMemcpyAsync(keys, host_keys.data(), bytes, cudaMemcpyHostToDevice, stream);

  folio::Sequence const sequence = cache.create(300);
  batch.upload({&sequence}, stream);
  auto const view = batch.view();
  folio::ops::append(view, 1, keys, keys, stream);
  folio::ops::launch(largest_key<64, decltype(view)>, 1, 128, 0, stream, view, 1, 1, largest);
  cudaMemcpyAsync(&result, largest, sizeof(float), cudaMemcpyDeviceToHost, stream);
  cudaStreamSynchronize(stream);
  cudaFree(keys);
  if (argc == 1) cudaFree(largest);
  cudaStreamDestroy(stream);
  std::cout << "the largest key is " << result << ", should be 3\n";
  return result == 3 ? 0 : 1;
}
