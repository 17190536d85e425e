// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include "simt/runner.hpp"

#include <algorithm>
#include <climits>
#include <cstdint>
#include <string>
#include <vector>

#include "simt/kernels/words.cuh"
#include "support/catch.hpp"

namespace {

constexpr unsigned full = 0xffffffff;

bool holds(unsigned mask, int lane) { return (mask >> lane & 1U) != 0; }

/// PTX ISA, shfl.sync: the lane that is read, by the document's own pseudo-code.
int source_by_ptx(int mode, int lane, int operand, int width) {
  int const clamp = mode == 1 ? 0 : 31, segment = (32 - width) & 31;
  int const max_lane = (lane & segment) | (clamp & ~segment), min_lane = lane & segment;
  int j = 0;
  bool in_range = false;
  switch (mode) {
    case 0:
      j = min_lane | (operand & ~segment & 31), in_range = j <= max_lane;
      break;
    case 1:
      j = lane - operand, in_range = j >= max_lane;
      break;
    case 2:
      j = lane + operand, in_range = j <= max_lane;
      break;
    default:
      j = lane ^ operand, in_range = j <= max_lane;
      break;
  }
  return in_range ? j : lane;
}

}  // namespace

TEST_CASE("Shuffles read the lane that PTX says") {
  auto const width = GENERATE(1, 2, 8, 16, 32);
  auto const operand = GENERATE(0, 1, 5, 16, 31);
  simt::Buffer<int> const out(4 * 32, "out");
  simt::launch({.block = 32, .name = "shuffles", .seed = 1}, words::shuffles, operand, width, out.data());
  for (int mode = 0; mode < 4; ++mode)
    for (int lane = 0; lane < 32; ++lane) {
      CAPTURE(mode, lane, operand, width);
      REQUIRE(out[static_cast<std::size_t>(mode * 32 + lane)] == 100 + source_by_ptx(mode, lane, operand, width));
    }
}

TEST_CASE("Shuffles keep values of every type whole") {
  simt::Buffer<int> const out(32, "out");
  simt::launch({.block = 32, .name = "shuffles_of_types"}, words::shuffles_of_types, out.data());
  REQUIRE(out.to_vector() == std::vector<int>(32, 1));
}

TEST_CASE("A width that is none is refused") {
  simt::Buffer<int> const out(4 * 32, "out");
  auto const width = GENERATE(0, 3, 64);
  REQUIRE_THROWS_WITH(
      simt::launch({.block = 32, .name = "shuffles"}, words::shuffles, 1, width, out.data()),
      folio::test::contains("with the width " + std::to_string(width) + "; it must be 1, 2, 4, 8, 16 or 32"));
}

TEST_CASE("Votes and matches count the lanes of the mask") {
  auto const mask = GENERATE(full, 0x0000ffffU, 0x80000001U, 0x5a5a5a5aU);
  auto const yes = GENERATE(0U, full, 0x000ff0f1U);
  simt::Buffer<unsigned> const out(7 * 32, "out");
  simt::launch({.block = 32, .name = "votes", .seed = 1}, words::votes, mask, yes, out.data());
  for (int lane = 0; lane < 32; ++lane) {
    CAPTURE(mask, yes, lane);
    auto const result = [&](int which) { return out[static_cast<std::size_t>(which * 32 + lane)]; };
    if (!holds(mask, lane)) {
      REQUIRE(result(0) == full);  // as the buffer was
      continue;
    }
    unsigned same = 0;
    for (int other = 0; other < 32; ++other)
      if (holds(mask, other) && other % 3 == lane % 3) same |= 1U << other;
    bool const all_match = (mask & yes) == mask || (mask & yes) == 0;
    REQUIRE(result(0) == (mask & yes));
    REQUIRE(result(1) == ((mask & yes) != 0 ? 1U : 0U));
    REQUIRE(result(2) == ((mask & yes) == mask ? 1U : 0U));
    REQUIRE(result(3) == same);
    REQUIRE(result(4) == (all_match ? mask : 0U));
    REQUIRE(result(5) == (all_match ? 1U : 0U));
    REQUIRE(result(6) == 1);
  }
}

TEST_CASE("Reductions reduce the lanes of the mask") {
  auto const mask = GENERATE(full, 0x00000ff0U, 0x00000001U);
  simt::Buffer<unsigned> const out(9 * 32, "out");
  simt::launch({.block = 32, .name = "reductions", .seed = 1}, words::reductions, mask, out.data());
  std::vector<unsigned> expected = {0, full, 0, 0, INT_MAX, static_cast<unsigned>(INT_MIN), full, 0, 0};
  for (int lane = 0; lane < 32; ++lane) {
    if (!holds(mask, lane)) continue;
    auto const word = static_cast<unsigned>(lane - 10);
    auto const as_int = [](unsigned x) { return static_cast<int>(x); };
    expected[0] += word, expected[3] += word;
    expected[1] = std::min(expected[1], word), expected[2] = std::max(expected[2], word);
    if (lane - 10 < as_int(expected[4])) expected[4] = word;
    if (lane - 10 > as_int(expected[5])) expected[5] = word;
    expected[6] &= word, expected[7] |= word, expected[8] ^= word;
  }
  for (std::size_t which = 0; which < 9; ++which)
    for (int lane = 0; lane < 32; ++lane)
      if (holds(mask, lane)) REQUIRE(out[which * 32 + static_cast<std::size_t>(lane)] == expected[which]);
}

TEST_CASE("A barrier may count") {
  auto const limit = GENERATE(0, 1, 50, 100);
  simt::Buffer<int> const out(300, "out");
  simt::launch({.block = 100, .name = "block_votes", .seed = 1}, words::block_votes, limit, out.data());
  for (std::size_t i = 0; i < 300; i += 3) {
    REQUIRE(out[i] == limit);
    REQUIRE(out[i + 1] == (limit == 100 ? 1 : 0));
    REQUIRE(out[i + 2] == (limit > 0 ? 1 : 0));
  }
}

TEST_CASE("Atomics lose nothing") {
  simt::Buffer<int> const i(std::vector<int>(4, 1000), "i");
  simt::Buffer<unsigned> const u(std::vector<unsigned>(12, 1000), "u");
  u[11] = 0;
  simt::Buffer<unsigned long long> const l(std::vector<unsigned long long>(2, 1000), "l");
  simt::Buffer<float> const f(std::vector<float>{1000}, "f");
  auto const seed = GENERATE(std::uint64_t{0}, std::uint64_t{1});
  simt::launch({.block = 100, .name = "atomics", .seed = seed}, words::atomics, i.data(), u.data(), l.data(), f.data());
  unsigned odd_bits = 1000;
  for (unsigned thread = 0; thread < 100; ++thread) odd_bits ^= thread;
  REQUIRE(i.to_vector() == std::vector<int>{1000 - 4950, 1000 - 4950, -99, 1049});
  REQUIRE(u.to_vector() ==
          std::vector<unsigned>{1000 + 4950, 950, 1049, 1000, 1007, odd_bits, 1100, 900, 1, 1200, 7, 1});
  REQUIRE(l.to_vector() == std::vector<unsigned long long>{1000 + (100ULL << 40), 5ULL << 40});
  REQUIRE(f[0] == 1050.0F);
}

TEST_CASE("Functions on bits and numbers do as CUDA says") {
  int const x = 0x00a1b2c3;
  simt::Buffer<int> const out(33, "out");
  simt::launch({.name = "numbers"}, words::numbers, x, 1.5F, out.data());
  auto const word = [](unsigned bits) { return static_cast<int>(bits); };
  REQUIRE(out.to_vector() == std::vector<int>{11,
                                              11,
                                              8,
                                              40,
                                              1,
                                              0,  // counting bits
                                              word(0xc34d8500),
                                              word(0xff0083c3),
                                              0x34567800,
                                              0x7800a1b2,  // moving them
                                              -26147,
                                              5298529,
                                              66,  // products
                                              0x3fc00000,
                                              word(0xbfc00000),
                                              1,  // floats as bits
                                              2,
                                              -2,
                                              -3,
                                              3,
                                              INT_MAX,  // rounding
                                              7,
                                              x,
                                              1,
                                              3,
                                              1,  // min, max, saturate
                                              1,
                                              1,
                                              1,
                                              1,
                                              1,
                                              1,
                                              1});  // arithmetic
}

TEST_CASE("Loads and stores with hints move short vectors") {
  simt::Buffer<float4> const in(std::vector<float4>{make_float4(1, 2, 3, 4)}, "in"), out(2, "out");
  simt::launch({.name = "hints"}, words::hints, in.data(), out.data());
  REQUIRE(out[0].x == 4);
  REQUIRE(out[0].w == 1);
  REQUIRE(out[1].x == 1);
  REQUIRE(out[1].w == 4);
}
