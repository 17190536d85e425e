// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include "simt/runner.hpp"

#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

#include "simt/kernels/kernels.cuh"
#include "simt/kernels/planted.cuh"
#include "support/catch.hpp"

namespace {

/// Numbers that are not the same everywhere, small enough for exact sums of floats.
template <class T>
std::vector<T> numbers(std::size_t size, unsigned bound) {
  std::vector<T> all(size);
  std::uint32_t state = 12345;
  for (T& value : all) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<T>((state >> 16) % bound);
  }
  return all;
}

}  // namespace

TEST_CASE("A reduction by shuffles and shared memory is right for any block size and order of threads") {
  auto const block = GENERATE(1U, 31U, 32U, 33U, 96U, 100U, 256U, 1024U);
  auto const seed = GENERATE(std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{2});
  int const n = 3000;
  unsigned const grid = (static_cast<unsigned>(n) + block - 1) / block;
  auto const values = numbers<float>(n, 100);
  simt::Buffer<float> const in(values, "in"), sums(grid, "sums");
  simt::launch({.grid = grid, .block = block, .shared_bytes = 128, .name = "block_sums", .seed = seed},
               kernels::block_sums, in.data(), n, sums.data());
  float const expected = std::accumulate(values.begin(), values.end(), 0.0F);
  REQUIRE(std::accumulate(sums.span().begin(), sums.span().end(), 0.0F) == expected);
}

TEST_CASE("A scan through two buffers with a barrier a step is right") {
  auto const n = GENERATE(1U, 7U, 32U, 100U, 512U);
  auto const seed = GENERATE(std::uint64_t{0}, std::uint64_t{1});
  auto const values = numbers<int>(n, 1000);
  simt::Buffer<int> const in(values, "in"), out(n, "out");
  simt::launch({.block = n, .shared_bytes = 2 * n * sizeof(int), .name = "inclusive_scan", .seed = seed},
               kernels::inclusive_scan, in.data(), static_cast<int>(n), out.data());
  std::vector<int> expected(n);
  std::partial_sum(values.begin(), values.end(), expected.begin());
  REQUIRE(out.to_vector() == expected);
}

TEMPLATE_TEST_CASE("A transpose through a __shared__ tile is right for odd shapes", "", float, std::uint8_t, double) {
  auto const rows = GENERATE(1, 40, 64), columns = GENERATE(33, 64);
  auto const values = numbers<TestType>(static_cast<std::size_t>(rows * columns), 200);
  simt::Buffer<TestType> const in(values, "in"), out(values.size(), "out");
  dim3 const grid((static_cast<unsigned>(columns) + 31) / 32, (static_cast<unsigned>(rows) + 31) / 32);
  simt::launch({.grid = grid, .block = dim3(32, 8), .name = "transpose", .seed = 3}, kernels::transpose<TestType>,
               in.data(), rows, columns, out.data());
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < columns; ++c)
      REQUIRE(out[static_cast<std::size_t>(c * rows + r)] == in[static_cast<std::size_t>(r * columns + c)]);
}

TEST_CASE("A histogram by shared and global atomics counts each value") {
  auto const seed = GENERATE(std::uint64_t{0}, std::uint64_t{1});
  auto const values = numbers<unsigned char>(5000, 37);
  std::vector<unsigned> expected(37);
  for (unsigned char const value : values) ++expected[value];
  simt::Buffer<unsigned char> const in(values, "in");
  simt::Buffer<unsigned> const counts(std::vector<unsigned>(37), "counts");
  simt::launch({.grid = 3, .block = 100, .shared_bytes = 37 * 4, .name = "histogram", .seed = seed}, kernels::histogram,
               in.data(), 5000, 37, counts.data());
  REQUIRE(counts.to_vector() == expected);
}

TEST_CASE("A softmax by warps, with shared memory ordered by __syncwarp, is right") {
  auto const warps = GENERATE(1U, 3U);
  auto const columns = GENERATE(1, 31, 100);
  int const rows = 7;
  auto values = numbers<float>(static_cast<std::size_t>(rows * columns), 50);
  for (float& value : values) value = value / 10 - 2;
  simt::Buffer<float> const in(values, "in"), out(values.size(), "out");
  simt::launch({.grid = (rows + warps - 1) / warps,
                .block = 32 * warps,
                .shared_bytes = warps * static_cast<unsigned>(columns) * sizeof(float),
                .name = "softmax",
                .seed = 5},
               kernels::softmax, in.data(), rows, columns, out.data());
  for (int r = 0; r < rows; ++r) {
    auto const first = values.begin() + r * columns;
    double const sum = std::accumulate(first, first + columns, 0.0, [](double s, float x) { return s + std::exp(x); });
    for (int c = 0; c < columns; ++c)
      REQUIRE(out[static_cast<std::size_t>(r * columns + c)] == Approx(std::exp(first[c]) / sum).epsilon(1e-5));
  }
}

TEST_CASE("Blocks may hand results on by a fence and an atomic") {
  auto const grid = GENERATE(1U, 5U, 60U);
  auto const seed = GENERATE(std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{2});
  auto const values = numbers<int>(500, 1000);
  simt::Buffer<int> const in(values, "in"), partial(grid, "partial"), total(1, "total");
  simt::Buffer<unsigned> const num_done(std::vector<unsigned>{0}, "num_done");
  simt::launch({.grid = grid, .block = 64, .shared_bytes = 1, .name = "sum_by_last_block", .seed = seed},
               kernels::sum_by_last_block, in.data(), 500, partial.data(), num_done.data(), total.data());
  REQUIRE(total[0] == std::accumulate(values.begin(), values.end(), 0));
}

TEST_CASE("Threads may take turns under a lock") {
  auto const seed = GENERATE(std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{2});
  simt::Buffer<unsigned> const lock(std::vector<unsigned>{0}, "lock");
  simt::Buffer<int> const sum(std::vector<int>{0}, "sum");
  simt::launch({.grid = 2, .block = 70, .name = "sum_under_lock", .seed = seed}, kernels::sum_under_lock, lock.data(),
               sum.data());
  REQUIRE(sum[0] == 2 * 69 * 70 / 2);
}

TEST_CASE("A wrong scale row is found by comparison with a reference") {
  int const rows = 10, dim = 64;
  auto const codes = numbers<signed char>(rows * dim, 100);
  auto const scales = numbers<float>(rows, 1000), query = numbers<float>(dim, 10);
  std::vector<float> expected(rows);
  for (int r = 0; r < rows; ++r) {
    float sum = 0;
    for (int d = 0; d < dim; ++d)
      sum += query[static_cast<std::size_t>(d)] * codes[static_cast<std::size_t>(r * dim + d)];
    expected[static_cast<std::size_t>(r)] = sum * scales[static_cast<std::size_t>(r)];
  }
  simt::Buffer<signed char> const c(codes, "codes");
  simt::Buffer<float> const s(scales, "scales"), q(query, "query"), out(rows, "out");
  auto const run = [&](auto kernel) {
    simt::launch({.grid = rows, .block = 32, .name = "scores"}, kernel, c.data(), s.data(), q.data(), dim, out.data());
    return out.to_vector();
  };
  REQUIRE(run(planted::scores<planted::Bug::none>) == expected);
  REQUIRE(run(planted::scores<planted::Bug::planted>) != expected);
}

namespace {

/// Many barriers and nothing else: what a turn costs.
__global__ void many_barriers(int num_barriers, int* out) {
  int& last = simt::shared_memory<int>();
  for (int i = 0; i < num_barriers; ++i) {
    if (threadIdx.x == i % blockDim.x) last = i;
    __syncthreads();
  }
  if (threadIdx.x == 0) out[blockIdx.x] = last;
}

}  // namespace

TEST_CASE("A million turns take no time worth speaking of") {  // see README.md for how long; the time-out is generous
  simt::Buffer<int> const out(100, "out");
  simt::launch({.grid = 100, .block = 256, .shared_bytes = sizeof(int), .name = "many_barriers"}, many_barriers, 50,
               out.data());
  REQUIRE(out.to_vector() == std::vector<int>(100, 49));
}
