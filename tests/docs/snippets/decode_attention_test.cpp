// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Runs the kernel of docs/write_a_kernel.md without a GPU: 32 threads are its warp, and a barrier makes them exchange
// values as __shfl_xor_sync does. Its result is ops::attend's.
#include <barrier>
#include <cmath>
#include <cstdint>
#include <folio/folio.hpp>
#include <random>
#include <thread>
#include <vector>

#include "support/catch.hpp"

namespace {

struct Index {
  unsigned x = 0, y = 0;
};
thread_local Index threadIdx;
Index blockIdx, gridDim;
std::barrier<> warp(32);
float lanes[32];

void __syncwarp() { warp.arrive_and_wait(); }
float __shfl_xor_sync(unsigned, float value, int mask) {
  lanes[threadIdx.x] = value;
  warp.arrive_and_wait();
  float const other = lanes[threadIdx.x ^ static_cast<unsigned>(mask)];
  warp.arrive_and_wait();
  return other;
}

}  // namespace

#define __global__
#define __device__
#define __shared__ static
#include "decode_attention.cuh"

namespace {

template <class Kernel>
void launch(Index grid, Kernel const& kernel) {
  gridDim = grid;
  for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x) {
    for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y) {
      std::vector<std::jthread> threads;
      for (unsigned lane = 0; lane < 32; ++lane)
        threads.emplace_back([&kernel, lane] {
          threadIdx.x = lane;
          kernel();
        });
    }
  }
}

constexpr folio::ModelConfig model{.layers = 2, .kv_heads = 2, .head_dim = 64};
constexpr unsigned num_query_heads = 4;

std::vector<float> random_floats(std::size_t n) {
  static std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> numbers(n);
  for (float& x : numbers) x = normal(random);
  return numbers;
}

}  // namespace

TEMPLATE_TEST_CASE("the documented kernel computes what ops::attend computes", "", folio::F16, folio::Int8PerToken,
                   folio::Int4Rotated) {
  folio::KvCache<folio::Model<model>, TestType> cache(folio::CacheConfig{.num_blocks = {8}});
  folio::Sequence const a = cache.create(21), b = cache.create(3);
  auto const whole = cache.batch({&a, &b});
  std::vector<float> const keys = random_floats(24 * 2 * 64), values = random_floats(keys.size());
  folio::ops::append(whole.view(), 1, keys.data(), values.data());

  auto const batch = cache.batch({{&a, 1}, {&b, 1}});
  auto const view = batch.view();
  std::vector<float> const q = random_floats(2 * num_query_heads * 64);
  std::vector<float> expected(q.size()), out(q.size());
  folio::ops::attend(view, 1, q.data(), num_query_heads, expected.data());
  launch({2, num_query_heads},
         [&] { decode_attention<64>(view, 1, num_query_heads / model.kv_heads, 1.0F / 8, q.data(), out.data()); });
  for (std::size_t i = 0; i < out.size(); ++i) {
    INFO("element " << i);
    REQUIRE(std::abs(out[i] - expected[i]) < 1e-5F);
  }
}
