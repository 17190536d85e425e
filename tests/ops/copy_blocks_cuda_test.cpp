// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include "simt/runner.hpp"
//
#include <cstring>
#include <folio/ops/copy_blocks.cuh>
#include <span>
#include <vector>

#include "support/catch.hpp"

using namespace folio;

TEST_CASE("blocks are copied on the device byte by byte") {
  constexpr std::int64_t block_bytes = 64 * 21;
  simt::Buffer<std::byte> const from(7 * block_bytes, "from"), to(9 * block_bytes, "to");
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::byte>(i * 7 / 3);
  ops::BlockCopies copies{.size = 3,
                          .copies = {{BlockId{1}, BlockId{8}}, {BlockId{6}, BlockId{2}}, {BlockId{3}, BlockId{5}}}};
  auto const grid_y = GENERATE(1U, 2U, 5U);
  simt::launch({.grid = dim3(2, grid_y), .block = 32, .name = "copy_blocks_kernel", .seed = 5},
               ops::copy_blocks_kernel<>, from.data(), to.data(), block_bytes, copies);
  std::vector<std::byte> expected(to.size(), std::byte{0xFF});
  for (BlockCopy const& copy : std::span(copies.copies).first(3))
    std::memcpy(expected.data() + to_int(copy.to) * block_bytes, from.data() + to_int(copy.from) * block_bytes,
                block_bytes);
  REQUIRE(to.to_vector() == expected);
}
