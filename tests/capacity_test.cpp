// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <folio/capacity.hpp>
#include <limits>
#include <vector>

#include "support/catch.hpp"

using namespace folio::literals;
using folio::GroupShape;
using folio::test::contains;

namespace {

constexpr GroupShape full(std::int32_t block_size) {
  GroupShape shape;
  shape.block_size = block_size;
  return shape;
}

constexpr GroupShape windowed(std::int32_t block_size, std::int32_t window, std::int32_t sinks = 0) {
  GroupShape shape = full(block_size);
  shape.kind = folio::AttentionKind::sliding_window;
  shape.window = window;
  shape.sinks = sinks;
  return shape;
}

/// The number of blocks for one group.
std::int64_t blocks_in(std::int64_t memory_bytes, std::int32_t block_size, std::int64_t block_bytes,
                       std::int32_t tokens_per_sequence = 0) {
  GroupShape const shapes[] = {full(block_size)};
  std::int64_t const bytes[] = {block_bytes};
  return folio::blocks_that_fit(shapes, bytes, memory_bytes, tokens_per_sequence).at(0);
}

/// The most blocks held, by playing it: each append gives back what its first token does not see.
std::int64_t most_held_by_playing(GroupShape const& shape, std::int32_t num_tokens, std::int32_t step) {
  std::int64_t most = 0;
  for (std::int32_t length = 0; length < num_tokens; length += step) {
    std::int32_t const blocks = folio::blocks_for(std::min(length + step, num_tokens), shape.block_size);
    std::int64_t held = 0;
    for (std::int32_t b = 0; b < blocks; ++b) {
      bool const sink = b * shape.block_size < shape.sinks;
      held += sink || (b + 1) * shape.block_size > shape.window_begin(length) ? 1 : 0;
    }
    most = std::max(most, held);
  }
  return most;
}

}  // namespace

TEST_CASE("bytes can be written in powers of two") {
  STATIC_REQUIRE(1_KiB == 1024);
  STATIC_REQUIRE(3_MiB == 3'145'728);
  STATIC_REQUIRE(80_GiB == 85'899'345'920);
  STATIC_REQUIRE(8'589'934'591_GiB == 9'223'372'035'781'033'984);
  CHECK_THROWS_WITH(operator""_GiB(8'589'934'592), contains("so many GiB"));
  CHECK_THROWS_WITH(operator""_MiB(8'796'093'022'208), contains("so many MiB"));
  CHECK_THROWS_WITH(operator""_KiB(9'007'199'254'740'992), contains("so many KiB"));
}

TEST_CASE("the blocks of one group fill the budget: they fit, and one more would not") {
  for (std::int32_t const tokens_per_sequence : {0, 1, 100, 784, 4096})
    for (std::int32_t const block_size : {1, 3, 7, 16, 49, 64})
      for (std::int64_t const block_bytes : {64, 192, 4160, 98'304, 1'081'344})
        for (std::int64_t const blocks : {1, 2, 3, 5, 10, 49, 98, 1000, 12'345})
          for (std::int64_t const spare : {std::int64_t{0}, std::int64_t{1}, block_bytes - 1}) {
            CAPTURE(tokens_per_sequence, block_size, block_bytes, spare);
            std::int64_t const budget = (blocks + 1) * block_bytes + spare;
            REQUIRE(blocks_in(budget, block_size, block_bytes, tokens_per_sequence) == blocks);
          }
}

TEST_CASE("a group never has more blocks than ids") {
  std::int64_t const most = std::numeric_limits<std::int32_t>::max() - 1;
  CHECK(blocks_in(std::int64_t{1} << 57, 16, 64) == most);
  CHECK(blocks_in((most + 1) * 64, 16, 64) == most);
  CHECK(blocks_in((most + 1) * 64 - 1, 16, 64) == most - 1);
}

TEST_CASE("the blocks of several groups fit the budget together") {
  std::vector<std::vector<GroupShape>> const models = {
      {full(16), windowed(16, 128)},
      {windowed(16, 1024), full(64)},
      {full(4), windowed(3, 6, 2), full(2)},
      {full(7), full(5), full(3), windowed(1, 1)},
  };
  std::int64_t const bytes[] = {98'304, 4160, 640, 64};
  for (auto const& shapes : models) {
    std::span<std::int64_t const> const block_bytes(bytes, shapes.size());
    std::int64_t minimum = 0;
    for (std::int64_t const b : block_bytes) minimum += 2 * b;
    for (std::int32_t const tokens_per_sequence : {0, 1, 1000, 100'000})
      for (std::int64_t budget = minimum; budget < 200 * minimum; budget += 12'347) {
        auto const blocks = folio::blocks_that_fit(shapes, block_bytes, budget, tokens_per_sequence);
        REQUIRE(blocks.size() == shapes.size());
        std::int64_t taken = 0, smallest = std::numeric_limits<std::int64_t>::max();
        for (std::size_t g = 0; g < blocks.size(); ++g) {
          REQUIRE(blocks[g] >= 1);
          taken += (blocks[g] + 1) * block_bytes[g];
          smallest = std::min(smallest, block_bytes[g]);
        }
        REQUIRE(taken <= budget);
      }
  }
}

TEST_CASE("without a hint, every group has room for the same number of tokens") {
  GroupShape const shapes[] = {windowed(16, 1024), full(64)};
  std::int64_t const bytes[] = {50'000, 40'000};
  auto const blocks = folio::blocks_that_fit(shapes, bytes, 10_GiB);
  CHECK(static_cast<double>(blocks[0] * 16) == Approx(static_cast<double>(blocks[1] * 64)).epsilon(0.01));
}

TEST_CASE("with a hint, every group has room for the same number of sequences of that length") {
  GroupShape const shapes[] = {windowed(16, 1024), full(16)};
  std::int64_t const bytes[] = {52 * 1000, 10 * 1000};
  constexpr std::int32_t length = 131'072;
  auto const blocks = folio::blocks_that_fit(shapes, bytes, 10_GiB, length);
  auto const sequences = [&](int g) {
    return static_cast<double>(blocks[static_cast<std::size_t>(g)]) /
           static_cast<double>(folio::most_blocks_held(shapes[g], length));
  };
  CHECK(sequences(0) == Approx(sequences(1)).epsilon(0.02));
  CHECK(sequences(1) > 4 * static_cast<double>(folio::blocks_that_fit(shapes, bytes, 10_GiB)[1]) / (length / 16.0));
}

TEST_CASE("a budget that holds no block is refused with the bytes that it takes") {
  GroupShape const shapes[] = {full(16), windowed(16, 8)};
  std::int64_t const bytes[] = {1000, 200};
  CHECK(folio::blocks_that_fit(shapes, bytes, 2400) == std::vector<std::int64_t>{1, 1});
  for (std::int64_t const budget : {std::int64_t{2399}, std::int64_t{0}, std::int64_t{-5}}) {
    REQUIRE_THROWS_AS(folio::blocks_that_fit(shapes, bytes, budget), folio::Error);
    REQUIRE_THROWS_WITH(folio::blocks_that_fit(shapes, bytes, budget),
                        contains("folio: a budget of " + std::to_string(budget) + " bytes is too small") &&
                            contains("take 2400 bytes"));
  }
}

TEST_CASE("budgets, sizes and lengths that cannot be are refused in a sentence") {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  GroupShape const shapes[] = {full(16), full(16)};
  std::vector<std::int64_t> const bytes{1000, 200}, none{1000, 0}, huge{most / 2, most / 3};
  for (std::int64_t const budget : {most, most - 1, (std::int64_t{1} << 57) + 1})
    CHECK_THROWS_WITH(folio::blocks_that_fit(shapes, bytes, budget),
                      contains("a budget of " + std::to_string(budget) + " bytes is more than a process can address"));
  CHECK_THROWS_WITH(folio::blocks_that_fit(shapes, bytes, 10_GiB, -1), contains("at least 0 tokens, not -1"));
  CHECK_THROWS_WITH(folio::blocks_that_fit(shapes, none, 10_GiB), contains("a block has at least 1 byte, not 0"));
  CHECK_THROWS_WITH(folio::blocks_that_fit(shapes, huge, 10_GiB), contains("take 9223372036854775807 bytes"));
  CHECK_THROWS_WITH(folio::most_blocks_held(full(16), -1),
                    contains("at least 0 tokens and grows by at least 1, not -1"));
  CHECK_THROWS_WITH(folio::most_blocks_held(full(16), 5, 0), contains("not 5 and 0"));
}

TEST_CASE("budgets that a double does not hold exactly are not exceeded") {
  GroupShape const shapes[] = {full(16), windowed(16, 8), full(7)};
  std::int64_t const bytes[] = {(std::int64_t{1} << 51) + 1, (std::int64_t{1} << 50) + 3, (std::int64_t{1} << 49) + 7};
  for (std::int64_t budget = (std::int64_t{1} << 57) - 300; budget <= std::int64_t{1} << 57; ++budget) {
    auto const blocks = folio::blocks_that_fit(shapes, bytes, budget);
    std::int64_t taken = 0;
    for (std::size_t g = 0; g < 3; ++g) taken += (blocks[g] + 1) * bytes[g];
    if (taken > budget || taken <= budget - bytes[2]) FAIL(budget << " bytes: " << taken);
  }
  // Exactly what n blocks take, where rounding up would take one more.
  for (std::int64_t n = 2; n < 2000; ++n) {
    std::int64_t const each = (std::int64_t{1} << 57) / (n + 1);
    if (blocks_in((n + 1) * each - 1, 16, each) != n - 1) FAIL(n << " blocks of " << each << " bytes");
    if (blocks_in((n + 1) * each, 16, each) != n) FAIL(n << " blocks of " << each << " bytes");
  }
}

TEST_CASE("bytes of pools are counted in 63 bits, or refused") {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max(), blocks = 0x7ffffffe;
  std::vector<std::int64_t> const two{blocks, 3}, block_bytes{1'000'000, 64};
  CHECK(folio::pool_bytes_of(two, block_bytes) == std::vector<std::int64_t>{2'147'483'647'000'000, 256});
  auto const refused = [](std::vector<std::int64_t> const& num_blocks, std::vector<std::int64_t> const& bytes,
                          char const* sentence) {
    CHECK_THROWS_WITH(folio::pool_bytes_of(num_blocks, bytes), contains(sentence));
  };
  refused({1, blocks + 1}, {64, 64}, "a pool has 1 to 2147483646 blocks, not 2147483647");
  refused({0, 1}, {64, 64}, "not 0");
  refused({blocks}, {std::int64_t{1} << 33}, "2^63 bytes or more");
  refused({2, 2}, {most / 4, most / 4}, "2^63 bytes or more");
  CHECK(folio::bytes_of(3, most / 3) == most / 3 * 3);
  CHECK(folio::bytes_of(4, most / 3) == most);
  CHECK(folio::bytes_of(most, 0) == 0);
  CHECK(folio::add_bytes(most - 1, 1) == most);
  CHECK(folio::add_bytes(most - 1, 2) == most);
}

TEST_CASE("without a window a sequence holds all its blocks") {
  STATIC_REQUIRE(folio::most_blocks_held(full(16), 0) == 0);
  STATIC_REQUIRE(folio::most_blocks_held(full(16), 1) == 1);
  STATIC_REQUIRE(folio::most_blocks_held(full(16), 4096) == 256);
  STATIC_REQUIRE(folio::most_blocks_held(full(16), 4097) == 257);
}

TEST_CASE("with a window a sequence that grows token by token holds the most blocks that playing it finds") {
  for (std::int32_t const block_size : {1, 2, 3, 4, 16})
    for (std::int32_t const window : {1, 2, 3, 4, 5, 8, 16, 17, 33})
      for (std::int32_t const sinks : {0, 1, 3, 4, 9})
        for (std::int32_t num_tokens = 0; num_tokens < 130; ++num_tokens) {
          GroupShape const shape = windowed(block_size, window, sinks);
          CAPTURE(block_size, window, sinks, num_tokens);
          REQUIRE(folio::most_blocks_held(shape, num_tokens) == most_held_by_playing(shape, num_tokens, 1));
        }
}

TEST_CASE("with a window and steps of several tokens a sequence never holds more blocks than foretold") {
  for (std::int32_t const step : {2, 3, 7, 16, 40})
    for (std::int32_t const block_size : {1, 2, 3, 4, 16})
      for (std::int32_t const window : {1, 2, 3, 5, 16, 17, 33})
        for (std::int32_t const sinks : {0, 1, 9})
          for (std::int32_t num_tokens = 0; num_tokens < 130; num_tokens += 3) {
            GroupShape const shape = windowed(block_size, window, sinks);
            CAPTURE(step, block_size, window, sinks, num_tokens);
            REQUIRE(folio::most_blocks_held(shape, num_tokens, step) >= most_held_by_playing(shape, num_tokens, step));
          }
}

TEST_CASE("most_blocks_held does not overflow at the ends of 32 bits") {
  constexpr std::int32_t last = std::numeric_limits<std::int32_t>::max();
  CHECK(folio::most_blocks_held(windowed(1, last, last), last, last) == last);
  CHECK(folio::most_blocks_held(full(1), last) == last);
}

TEST_CASE("what is beyond everybody's least is shared by weight, up to the most of each") {
  std::int64_t const bytes[] = {10, 0, 100};
  folio::BlockClaim const claims[] = {{2, 5, 3}, {}, {1, 100, 3}};
  using Blocks = std::vector<std::int64_t>;
  CHECK(folio::share_blocks(claims, bytes, 0) == Blocks{2, 0, 1});
  CHECK(folio::share_blocks(claims, bytes, 9) == Blocks{2, 0, 1});
  CHECK(folio::share_blocks(claims, bytes, 25) == Blocks{4, 0, 1});   // rounding left all of it over
  CHECK(folio::share_blocks(claims, bytes, 220) == Blocks{4, 0, 3});  // as many of each
  CHECK(folio::share_blocks(claims, bytes, 1000) == Blocks{5, 0, 10});
  CHECK(folio::share_blocks(claims, bytes, 1 << 30) == Blocks{5, 0, 100});
}
