// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <folio/ops/copy_blocks.hpp>
#include <folio/thread_pool.hpp>
#include <vector>

#include "support/catch.hpp"

using folio::BlockCopy;
using folio::BlockId;

namespace {

constexpr std::int64_t block_bytes = 192;

/// A pool whose block b is filled with b.
std::vector<std::byte> pool(int num_blocks) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(num_blocks) * block_bytes);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i / block_bytes);
  return bytes;
}

/// What each block is filled with; -1 where it is mixed.
std::vector<int> contents(std::vector<std::byte> const& pool) {
  std::vector<int> all;
  for (std::size_t begin = 0; begin < pool.size(); begin += block_bytes) {
    bool same = true;
    for (std::size_t i = 0; i < block_bytes; ++i) same = same && pool[begin + i] == pool[begin];
    all.push_back(same ? static_cast<int>(pool[begin]) : -1);
  }
  return all;
}

}  // namespace

TEST_CASE("blocks are copied whole within a pool, and no other is touched") {
  auto bytes = pool(6);
  std::vector<BlockCopy> const copies{{BlockId{1}, BlockId{4}}, {BlockId{1}, BlockId{5}}, {BlockId{3}, BlockId{2}}};
  folio::ops::copy_blocks(bytes.data(), bytes.data(), block_bytes, copies);
  CHECK(contents(bytes) == std::vector<int>{0, 1, 3, 3, 1, 1});
}

TEST_CASE("blocks are copied from one pool to another") {
  auto const from = pool(6);
  std::vector<std::byte> to(3 * block_bytes);
  std::vector<BlockCopy> const copies{{BlockId{5}, BlockId{1}}, {BlockId{2}, BlockId{2}}};
  folio::ops::copy_blocks(from.data(), to.data(), block_bytes, copies);
  CHECK(contents(to) == std::vector<int>{0, 5, 2});
}

TEST_CASE("no copies are no work") {
  auto bytes = pool(2);
  folio::ops::copy_blocks(bytes.data(), bytes.data(), block_bytes, {});
  CHECK(contents(bytes) == std::vector<int>{0, 1});
}

TEST_CASE("threads share the copies") {
  auto const from = pool(100);
  std::vector<std::byte> to(100 * block_bytes);
  std::vector<BlockCopy> copies;
  for (std::int32_t i = 1; i < 100; ++i) copies.push_back({BlockId{i}, BlockId{100 - i}});
  folio::ThreadPool threads(3);
  folio::ops::copy_blocks(from.data(), to.data(), block_bytes, copies, &threads);
  auto const found = contents(to);
  for (int i = 1; i < 100; ++i) CHECK(found[static_cast<std::size_t>(i)] == 100 - i);
}
