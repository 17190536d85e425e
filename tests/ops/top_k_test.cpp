// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <folio/folio.hpp>
#include <folio/ops/top_k.hpp>
#include <folio/thread_pool.hpp>
#include <limits>
#include <numeric>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

using folio::BatchItem;
using folio::ModelConfig;
using folio::Sequence;
using folio::ops::TopKOptions;
using folio::test::contains;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr ModelConfig model{.layers = 1, .kv_heads = 1, .head_dim = 8};
using Cache = folio::KvCache<folio::Model<model>, folio::BlockSize<16>, folio::F32>;

/// What top_k gives: for each row its list, and what it left after the list.
struct Kept {
  std::vector<std::vector<std::int32_t>> lists, rest;
};

Kept top_k(std::vector<std::int32_t> const& lengths, std::vector<float> const& scores, TopKOptions const& options,
           folio::ThreadPool* threads = nullptr) {
  Cache cache({.num_blocks = {1000}});
  std::vector<Sequence> sequences;
  std::vector<BatchItem> items;
  for (std::int32_t const n : lengths) sequences.push_back(cache.create(n));
  for (Sequence const& s : sequences) items.emplace_back(&s);
  auto const rows = static_cast<std::size_t>(options.layers * options.heads) * lengths.size();
  auto const k = static_cast<std::size_t>(std::max(0, options.k));
  std::vector<std::int32_t> kept(rows * k, -7), counts(rows, -7);
  auto const batch = cache.batch(items);
  folio::ops::top_k(batch.view(), scores.data(), options, kept.data(), counts.data(), threads);
  Kept result;
  for (std::size_t row = 0; row < rows; ++row) {
    auto const begin = kept.begin() + static_cast<std::ptrdiff_t>(row * k);
    result.lists.emplace_back(begin, begin + counts[row]);
    result.rest.emplace_back(begin + counts[row], begin + static_cast<std::ptrdiff_t>(k));
  }
  return result;
}

/// One row of all its scores.
std::vector<std::int32_t> best(std::vector<float> const& scores, TopKOptions options) {
  options.max_tokens = static_cast<std::int32_t>(scores.size());
  return top_k({options.max_tokens}, scores, options).lists[0];
}

/// The same by sorting everything.
std::vector<std::int32_t> naive(float const* scores, std::int32_t length, TopKOptions const& options) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(length));
  std::iota(tokens.begin(), tokens.end(), 0);
  auto const always = [&](std::int32_t t) { return t < options.sinks || t >= length - options.recent; };
  std::stable_sort(tokens.begin(), tokens.end(), [&](std::int32_t a, std::int32_t b) {
    if (always(a) != always(b)) return always(a);
    return !always(a) && scores[a] > scores[b];
  });
  tokens.resize(static_cast<std::size_t>(std::min(length, options.k)));
  std::sort(tokens.begin(), tokens.end());
  return tokens;
}

using List = std::vector<std::int32_t>;

}  // namespace

TEST_CASE("the best tokens are kept, in ascending order") {
  std::vector<float> const scores{0.5F, 3, -1, 2, 0, 2.5F};
  CHECK(best(scores, {.k = 0}).empty());
  CHECK(best(scores, {.k = 1}) == List{1});
  CHECK(best(scores, {.k = 3}) == List{1, 3, 5});
  CHECK(best(scores, {.k = 5}) == List{0, 1, 3, 4, 5});
  CHECK(best(scores, {.k = 6}) == List{0, 1, 2, 3, 4, 5});
  CHECK(best(scores, {.k = 9}) == List{0, 1, 2, 3, 4, 5});
}

TEST_CASE("of equal scores the lower tokens are kept, and -0 equals 0") {
  CHECK(best({1, 2, 1, 2, 1, 1}, {.k = 4}) == List{0, 1, 2, 3});
  CHECK(best({7, 7, 7, 7, 7}, {.k = 3}) == List{0, 1, 2});
  CHECK(best({-0.0F, 0.0F, -0.0F, 0.0F}, {.k = 2}) == List{0, 1});
  CHECK(best({0.0F, -0.0F, -1.0F, 0.0F}, {.k = 3}) == List{0, 1, 3});
}

TEST_CASE("infinite scores are scores, and a NaN is less than all of them") {
  std::vector<float> const scores{not_a_number, -infinity, infinity, -not_a_number, 1, -3e38F};
  CHECK(best(scores, {.k = 1}) == List{2});
  CHECK(best(scores, {.k = 3}) == List{2, 4, 5});
  CHECK(best(scores, {.k = 4}) == List{1, 2, 4, 5});
  CHECK(best(scores, {.k = 5}) == List{0, 1, 2, 4, 5});
}

TEST_CASE("the first and the last tokens are kept whatever their score") {
  std::vector<float> const scores{-9, -9, 5, 4, infinity, 3, -9, not_a_number};
  CHECK(best(scores, {.k = 5, .sinks = 2, .recent = 1}) == List{0, 1, 2, 4, 7});
  CHECK(best(scores, {.k = 3, .sinks = 1, .recent = 2}) == List{0, 6, 7});
  CHECK(best(scores, {.k = 4, .recent = 4}) == List{4, 5, 6, 7});
  CHECK(best(scores, {.k = 4, .sinks = 4}) == List{0, 1, 2, 3});
  CHECK(best({1, 2}, {.k = 6, .sinks = 3, .recent = 3}) == List{0, 1});
  CHECK(best({1, 2, 3, 4, 5}, {.k = 4, .sinks = 4}) == List{0, 1, 2, 3});
}

TEST_CASE("rows of layers, sequences and heads, each of its sequence's length") {
  std::mt19937 random(5);
  std::vector<std::int32_t> const lengths{0, 1, 15, 16, 17, 40};
  auto const levels = GENERATE(1, 3, 1000);  // few levels make ties
  auto const k = GENERATE(0, 1, 7, 16, 17, 40, 41);
  TopKOptions const options{
      .k = k, .max_tokens = 41, .heads = 2, .layers = 3, .sinks = std::min(k, 2), .recent = std::clamp(k - 2, 0, 3)};
  std::vector<float> scores(3 * 6 * 2 * 41);
  for (float& s : scores) s = static_cast<float>(folio::test::below(random, levels) - levels / 2);
  Kept const found = top_k(lengths, scores, options);
  folio::ThreadPool three(3);
  CHECK(top_k(lengths, scores, options, &three).lists == found.lists);
  for (std::size_t row = 0; row < found.lists.size(); ++row) {
    std::int32_t const length = lengths[row / 2 % 6];
    CAPTURE(k, levels, row, length);
    REQUIRE(found.lists[row] == naive(scores.data() + row * 41, length, options));
    REQUIRE(found.rest[row] == List(found.rest[row].size(), -1));
  }
}

TEST_CASE("rows are as long as what their layer group stores") {
  constexpr ModelConfig two{.layers = 2,
                            .kv_heads = 1,
                            .head_dim = 8,
                            .groups = {folio::full_attention(), folio::full_attention()},
                            .pattern = folio::repeat_groups({0, 1})};
  folio::KvCache<folio::Model<two>, folio::BlockSizes<4, 4>, folio::F32> cache({.num_blocks = {8, 8}});
  Sequence sequence = cache.create(12);
  sequence.cut(4, 4, 1);
  auto const batch = cache.batch({&sequence});
  std::vector<float> const scores{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  std::vector<std::int32_t> kept(3), count(1);
  folio::ops::top_k(batch.view(), scores.data(), {.k = 3, .max_tokens = 12}, kept.data(), count.data());
  CHECK(kept == List{9, 10, 11});
  folio::ops::top_k(batch.view(), scores.data(), {.k = 3, .max_tokens = 8, .group = 1}, kept.data(), count.data());
  CHECK(kept == List{5, 6, 7});
  REQUIRE_THROWS_WITH(
      folio::ops::top_k(batch.view(), scores.data(), {.k = 3, .max_tokens = 8}, kept.data(), count.data()),
      contains("12 tokens does not fit into rows of 8"));
  for (std::int32_t const group : {-1, 2})
    REQUIRE_THROWS_WITH(folio::ops::top_k(batch.view(), scores.data(), {.k = 3, .max_tokens = 12, .group = group},
                                          kept.data(), count.data()),
                        contains("(TopKOptions::group)"));
}

TEST_CASE("options that contradict each other are refused before anything is written") {
  std::vector<float> const scores(20);
  auto const run = [&](TopKOptions const& options) { return top_k({10, 4}, scores, options); };
  REQUIRE_THROWS_WITH(run({.k = 3, .max_tokens = 10, .sinks = 2, .recent = 2}),
                      contains("3 tokens to keep have no room for the first 2 and the last 2"));
  REQUIRE_THROWS_WITH(run({.k = 3, .max_tokens = 10, .sinks = 4}),
                      contains("folio: 3 tokens to keep have no room for the first 4 and the last 0"));
  REQUIRE_THROWS_WITH(run({.k = 3, .max_tokens = 9}), contains("10 tokens does not fit into rows of 9"));
  for (TopKOptions const& options :
       {TopKOptions{.k = -1, .max_tokens = 10}, TopKOptions{.k = 1, .max_tokens = 0},
        TopKOptions{.k = 1, .max_tokens = 10, .heads = 0}, TopKOptions{.k = 1, .max_tokens = 10, .layers = 0},
        TopKOptions{.k = 1, .max_tokens = 10, .sinks = -1}, TopKOptions{.k = 1, .max_tokens = 10, .recent = -1}})
    REQUIRE_THROWS_WITH(run(options),
                        contains("folio: TopKOptions has a negative number, or no layers, heads or max_tokens"));
}
