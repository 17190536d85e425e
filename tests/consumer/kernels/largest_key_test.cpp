// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// [test]
#include <simt/runner.hpp>  // first, as nvcc includes cuda_runtime.h before every source
// The kernel, as nvcc compiles it:
#include "largest_key.cuh"
// And a cache on the host:
#include <folio/folio.hpp>
#include <iostream>
#include <vector>

constexpr folio::ModelConfig model{.layers = 2, .kv_heads = 2, .head_dim = 64};

int main() {
  folio::KvCache<folio::Model<model>> cache({.num_blocks = {64}});
  folio::Sequence const sequence = cache.create(300);
  auto const batch = cache.batch({&sequence});
  std::vector<float> keys(300 * 2 * 64, 0.5F);
  keys[(211 * 2 + 1) * 64 + 17] = -3;  // token 211, head 1, element 17
  folio::ops::append(batch.view(), 1, keys.data(), keys.data());

  try {
    simt::Buffer<float> const largest(1, "largest");
    simt::launch({.grid = 1, .block = 128, .name = "largest_key", .seed = 1}, largest_key<64, decltype(batch.view())>,
                 batch.view(), 1, 1, largest.data());
    std::cout << "the largest key is " << largest[0] << ", should be 3\n";
    return largest[0] == 3 ? 0 : 1;
  } catch (simt::Error const& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
// [/test]
