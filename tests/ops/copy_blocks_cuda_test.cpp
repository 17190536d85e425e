// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Blocks that are copied on the device: the same as one memcpy after another.
#include "ops/move_pools.hpp"
//
#include <folio/ops/copy_blocks.cuh>

namespace {

using folio::BlockCopy;
using folio::test::copy;
using folio::test::copy_in_order;
using folio::test::CudaStream;
using folio::test::Memory;
using folio::test::Pool;
using folio::test::random_copies;

constexpr std::int64_t small = 64 * 3;

}  // namespace

TEST_CASE("blocks are copied on the device in the list's order, by as many launches as that needs", "[stand_in]") {
  CudaStream const s;
  Pool const pool(Memory::device, 200, small, 0);
  std::mt19937 random(2);
  simt::streams(11);
  std::vector<int> expected = pool.numbers();
  for (std::int32_t const n : {0, 1, 3, 10, 300}) {
    auto const copies = random_copies(random, n, 200);
    for (BlockCopy const& c : copies) copy_in_order(expected, expected, {&c, 1});
    folio::ops::copy_blocks(pool.data(), pool.data(), small, copies, s);
    REQUIRE(pool.numbers() == expected);
  }
  Pool const other(Memory::device, 500, small, 0);
  std::vector<BlockCopy> spread;
  for (std::int32_t i = 0; i < 500; ++i) spread.push_back(copy(i % 200, i));
  std::vector<int> copied(500);
  copy_in_order(expected, copied, spread);
  auto const before = simt::num_launches();
  folio::ops::copy_blocks(pool.data(), other.data(), small, spread, s);
  CHECK(simt::num_launches() - before == 4);
  CHECK(other.numbers() == copied);
  for (std::int64_t const bytes : {std::int64_t{0}, std::int64_t{-64}, std::int64_t{24}})
    REQUIRE_THROWS_WITH(folio::ops::copy_blocks(pool.data(), other.data(), bytes, spread, s),
                        folio::test::contains("a positive multiple of 16 bytes, not " + std::to_string(bytes)));
}
