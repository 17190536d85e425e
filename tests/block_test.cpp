// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/block.hpp>
#include <limits>

#include "support/catch.hpp"

using folio::BlockId;
using folio::BlockSize;
using folio::BlockSizes;
using folio::Slot;

TEST_CASE("a slot is a block and an offset, and gives both back") {
  for (std::int32_t const block_size : {1, 2, 3, 16, 17, 1024})
    for (std::int32_t const id : {0, 1, 2, 77, std::numeric_limits<std::int32_t>::max()})
      for (std::int32_t const offset : {0, block_size / 2, block_size - 1}) {
        CAPTURE(block_size, id, offset);
        Slot const slot = folio::slot_of(BlockId{id}, offset, block_size);
        REQUIRE(folio::to_int(slot) == std::int64_t{id} * block_size + offset);
        REQUIRE(folio::block_of(slot, block_size) == BlockId{id});
        REQUIRE(folio::offset_of(slot, block_size) == offset);
      }
}

TEST_CASE("the null block is block 0, and no slot of a block is no_slot") {
  STATIC_REQUIRE(folio::to_int(folio::null_block) == 0);
  STATIC_REQUIRE(folio::to_int(folio::no_slot) == -1);
  STATIC_REQUIRE(folio::slot_of(folio::null_block, 0, 16) != folio::no_slot);
}

TEST_CASE("blocks_for is the number of tokens divided by the block size, rounded up") {
  for (std::int32_t const block_size : {1, 2, 3, 16, 1024})
    for (std::int32_t num_tokens = 0, blocks = 0; num_tokens < 3000; ++num_tokens) {
      if (blocks * block_size < num_tokens) ++blocks;
      if (folio::blocks_for(num_tokens, block_size) != blocks) FAIL(num_tokens << " tokens of " << block_size);
    }
  STATIC_REQUIRE(folio::blocks_for(std::numeric_limits<std::int32_t>::max(), 16) == 1 << 27);
  STATIC_REQUIRE(folio::blocks_for(std::numeric_limits<std::int32_t>::max(), 1) ==
                 std::numeric_limits<std::int32_t>::max());
  STATIC_REQUIRE(folio::blocks_for(1, std::numeric_limits<std::int32_t>::max()) == 1);
}

TEST_CASE("one block size serves every group, several serve one each") {
  STATIC_REQUIRE(BlockSize<16>::num_sizes == 1);
  STATIC_REQUIRE(BlockSize<16>::block_size(0) == 16);
  STATIC_REQUIRE(BlockSize<16>::block_size(3) == 16);
  STATIC_REQUIRE(BlockSizes<16, 64, 1>::num_sizes == 3);
  STATIC_REQUIRE(BlockSizes<16, 64, 1>::block_size(0) == 16);
  STATIC_REQUIRE(BlockSizes<16, 64, 1>::block_size(1) == 64);
  STATIC_REQUIRE(BlockSizes<16, 64, 1>::block_size(2) == 1);
}
