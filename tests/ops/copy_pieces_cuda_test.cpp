// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Pieces that are copied on the device: the same as one memcpy after another.
#include "ops/move_pools.hpp"
//
#include <cstring>
#include <folio/ops/copy_pieces.cuh>

namespace {

using folio::BlockCopy;
using folio::check_cuda;
using folio::ops::CopyPiece;
using folio::ops::max_pieces;
using folio::ops::next_independent_run;
using folio::test::below;
using folio::test::copy;
using folio::test::copy_in_order;
using folio::test::CudaStream;
using folio::test::Memory;
using folio::test::Pool;
using folio::test::random_copies;

constexpr std::int64_t small = 64 * 3, large = folio::ops::copy_engine_bytes;

/// Copies of blocks of 16 bytes, of one pool or from one to another, as pieces. The pools are addresses only.
std::vector<CopyPiece> pieces_of(std::vector<BlockCopy> const& copies, bool one_pool = true) {
  static std::vector<std::byte> pools(2 * 65536);
  std::byte *const from = pools.data(), *const to = one_pool ? from : from + 65536;
  std::vector<CopyPiece> pieces;
  for (BlockCopy const& c : copies) pieces.push_back({from + to_int(c.from) * 16, to + to_int(c.to) * 16, 16});
  return pieces;
}

}  // namespace

TEST_CASE("a kernel copies pieces byte by byte, each of its own length") {
  simt::Buffer<std::byte> const from(64 * 100, "from"), to(64 * 100, "to");
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::byte>(i * 7 / 3);
  std::vector<std::byte> expected(to.size(), std::byte{0xFF});
  folio::ops::PieceBatch batch;
  struct {
    std::int64_t from, to, bytes;
  } const all[] = {{64, 640, 64 * 21}, {6400 - 16, 0, 16}, {1600, 3200, 64 * 30}};
  for (auto const& p : all) {
    batch.entries[batch.size++] = {from.data() + p.from, to.data() + p.to, p.bytes / 16};
    std::memcpy(expected.data() + p.to, from.data() + p.from, static_cast<std::size_t>(p.bytes));
  }
  auto const grid_y = GENERATE(1U, 2U, 5U);
  simt::launch({.grid = dim3(2, grid_y), .block = 32, .name = "copy_pieces_kernel", .seed = 5},
               folio::ops::copy_pieces_kernel<>, batch);
  REQUIRE(to.to_vector() == expected);
}

TEST_CASE("pieces that touch each other's memory are not in one run") {
  auto const run = [](std::vector<BlockCopy> const& copies, bool one_pool = true) {
    return next_independent_run(pieces_of(copies, one_pool));
  };
  CHECK(run({}) == 0);
  CHECK(run({copy(1, 2)}) == 1);
  CHECK(run({copy(1, 2), copy(1, 3), copy(4, 5)}) == 3);  // two readers
  CHECK(run({copy(1, 2), copy(3, 1)}) == 1);              // writes what was read
  CHECK(run({copy(1, 2), copy(2, 3)}) == 1);              // reads what was written
  CHECK(run({copy(1, 2), copy(3, 2)}) == 1);              // writes what was written
  CHECK(run({copy(1, 1), copy(2, 3), copy(3, 1)}) == 2);
  CHECK(run({copy(1, 1), copy(1, 2)}) == 1);
  CHECK(run({copy(1, 2), copy(3, 1), copy(2, 3)}, false) == 3);  // other memory
  CHECK(run({copy(1, 2), copy(3, 2)}, false) == 1);
}

TEST_CASE("runs in any order come to what one piece after another does") {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::int32_t const num_blocks = 2 + below(random, 60);
    bool const one_pool = below(random, 2) == 0;
    auto const copies = random_copies(random, below(random, 50), num_blocks);
    auto const pieces = pieces_of(copies, one_pool);
    std::vector<int> from(static_cast<std::size_t>(num_blocks)), expected(from.size());
    for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<int>(i);
    if (one_pool) expected = from;
    std::vector<int> found = expected;
    for (BlockCopy const& c : copies) copy_in_order(one_pool ? expected : from, expected, {&c, 1});
    for (std::size_t begin = 0; begin < pieces.size();) {
      std::size_t const n = next_independent_run(std::span(pieces).subspan(begin));
      REQUIRE(n >= 1);
      auto const left = std::span(copies).subspan(begin);
      std::vector<BlockCopy> shuffled(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(n));
      std::shuffle(shuffled.begin(), shuffled.end(), random);
      for (BlockCopy const& c : shuffled) copy_in_order(one_pool ? found : from, found, {&c, 1});
      begin += n;
      if (n < left.size()) {  // and no run is shorter than it must be
        auto const named = [&](BlockCopy const& c) {
          return c.to == left[n].to || (one_pool && (c.from == left[n].to || c.to == left[n].from));
        };
        REQUIRE(std::any_of(shuffled.begin(), shuffled.end(), named));
      }
    }
    REQUIRE(found == expected);
  }
}

TEST_CASE("a run has as many pieces as one launch takes, at addresses of any pattern") {
  std::vector<CopyPiece> pieces;
  for (std::uintptr_t i = 1; i <= max_pieces + 5; ++i)
    pieces.push_back({reinterpret_cast<std::byte*>(i << 32), reinterpret_cast<std::byte*>((i << 32) + 65536), 16});
  CHECK(next_independent_run(pieces) == max_pieces);
  pieces[max_pieces - 1].to = const_cast<std::byte*>(pieces[0].from);
  CHECK(next_independent_run(pieces) == max_pieces - 1);
}

TEST_CASE("pieces of all sizes go in their order, by the kernel and by the copy engines") {
  auto const seed = GENERATE(0U, 1U, 2U, 3U);
  CudaStream const s;
  Pool const device(Memory::device, 40, large, 0), host(Memory::pinned, 40, large, 100);
  simt::streams(seed);
  std::vector<int> on_device = device.numbers(), on_host = host.numbers();
  std::mt19937 random(seed);
  auto const waits = simt::num_host_waits();
  std::vector<CopyPiece> pieces;
  for (int i = 0; i < 60; ++i) {
    std::int32_t const from = below(random, 40), to = below(random, 40);
    bool const out = below(random, 2) == 0;
    // Out goes a whole block; copies in the device's memory go by the kernel.
    pieces.push_back({device.data() + from * large, (out ? host : device).data() + to * large, large, !out});
    (out ? on_host : on_device)[static_cast<std::size_t>(to)] = on_device[static_cast<std::size_t>(from)];
  }
  folio::ops::copy_pieces(pieces, s);
  CHECK(simt::num_host_waits() == waits);
  REQUIRE(host.numbers() == on_host);
  REQUIRE(device.numbers() == on_device);
}

TEST_CASE("what is to go by a kernel does, and of the rest what is small", "[stand_in]") {
  CudaStream const s;
  Pool const device(Memory::device, 8, large, 0), host(Memory::pinned, 8, large, 100);
  std::byte *const d = device.data(), *const h = host.data();
  simt::streams(1);
  auto const launches = simt::num_launches();
  folio::ops::copy_pieces(std::vector<CopyPiece>{{d, h, large}, {d + large, h + large, small}}, s);
  CHECK(simt::num_launches() - launches == 1);  // one piece by the copy engines
  CHECK(simt::num_copies_to_host() == 1);
  folio::ops::copy_pieces(std::vector<CopyPiece>{{d, h, large, true}, {d + large, h + large, small, true}}, s);
  CHECK(simt::num_launches() - launches == 2);
  CHECK(simt::num_copies_to_host() == 1);
  folio::test::wait_for_device();
}

TEST_CASE("pieces that the device cannot copy are refused, and nothing is copied") {
  CudaStream const s;
  Pool const device(Memory::device, 4, large, 0), host(Memory::pinned, 4, large, 100);
  std::byte *const d = device.data(), *const h = host.data();
  auto const says = [&](CopyPiece const& bad, char const* words) {
    REQUIRE_THROWS_WITH(folio::ops::copy_pieces(std::vector<CopyPiece>{{d, h, small}, bad}, s),
                        folio::test::contains(words));
  };
  for (std::int64_t const bytes : {std::int64_t{0}, std::int64_t{-16}, std::int64_t{24}})
    says({d, h, bytes}, "a positive multiple of 16 bytes, not");
  says({d + 8, h, 16}, "a piece of memory to copy must begin at a multiple of 16 bytes");
  says({d, h + 8, 16}, "where a piece of memory is copied to must begin at a multiple of 16 bytes");
  CHECK(host.numbers() == std::vector<int>{100, 101, 102, 103});
}
