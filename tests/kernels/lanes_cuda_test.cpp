// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Lanes that share a row: reductions over those that hold elements, whatever the dim, and rotations with the host's
// bits.
#include "support/simt_cache.hpp"
//
#include <cstring>
#include <folio/kernels/element.cuh>
#include <folio/kernels/lanes.cuh>

#include "support/catch.hpp"

namespace {

using namespace folio;

struct Reduced {
  std::int32_t max, min, sum, active;
  float float_sum;
};

/// Every group of lanes reduces its ranks, shifted so that a lane without elements would be noticed.
template <std::int32_t Dim>
__global__ void reduce(Reduced* out) {
  ops::Lanes<Dim> const lanes;
  std::int32_t const value = lanes.active() ? lanes.rank() + 5 : 1000000;
  Reduced const mine{lanes.max(value), lanes.min(-value), lanes.sum(value), lanes.active() ? 1 : 0,
                     lanes.sum(static_cast<float>(value))};
  out[blockIdx.x * blockDim.x + threadIdx.x] = mine;
}

template <std::int32_t Dim>
__global__ void rotate(float const* rows, float* rotated) {
  ops::Lanes<Dim> const lanes;
  constexpr int n = ops::Lanes<Dim>::per_lane;
  auto const row = static_cast<std::int32_t>(blockIdx.x * blockDim.x + threadIdx.x) / ops::Lanes<Dim>::count;
  auto part = ops::load_part<n>(lanes, rows + row * Dim);
  hadamard_rotate_by(lanes, part, hadamard_block(Dim));
  ops::store_part<n>(lanes, part, rotated + row * Dim);
}

template <std::int32_t Dim>
void check() {
  constexpr int lanes = ops::Lanes<Dim>::count, active = Dim / ops::Lanes<Dim>::per_lane;
  STATIC_REQUIRE(active <= lanes);
  STATIC_REQUIRE((active * 2 > lanes || lanes == 1));
  simt::Buffer<Reduced> const out(128, "out");
  simt::launch({.grid = 2, .block = 64, .name = "reduce", .seed = 1}, reduce<Dim>, out.data());
  for (std::size_t i = 0; i < out.size(); ++i) {
    REQUIRE(out[i].active == (static_cast<int>(i) % lanes < active ? 1 : 0));
    REQUIRE(out[i].max == active + 4);
    REQUIRE(out[i].min == -(active + 4));
    REQUIRE(out[i].sum == active * (active - 1) / 2 + 5 * active);
    REQUIRE(out[i].float_sum == static_cast<float>(out[i].sum));
  }
  constexpr std::size_t num_rows = 64 / lanes;
  std::vector<float> rows = folio::test::random_rows(num_rows * Dim, 17);
  simt::Buffer<float> const in(rows, "rows"), rotated(rows.size(), "rotated");
  simt::launch({.grid = 1, .block = 64, .name = "rotate", .seed = 2}, rotate<Dim>, in.data(), rotated.data());
  for (std::size_t row = 0; row < num_rows; ++row) hadamard_rotate(rows.data() + row * Dim, Dim);
  REQUIRE(std::memcmp(rows.data(), rotated.data(), rows.size() * sizeof(float)) == 0);
}

}  // namespace

TEST_CASE("lanes reduce over the elements there are and rotate as the host does, for every kind of dim") {
  check<8>();
  check<32>();
  check<64>();
  check<80>();
  check<96>();
  check<128>();
  check<256>();
  check<576>();
  check<1024>();
}
