// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdint>
#include <folio/attention/checks.hpp>
#include <limits>

#include "support/catch.hpp"

using namespace folio;
using namespace folio::detail;
using folio::test::contains;

namespace {

constexpr GroupShape eight_heads{.kv_heads = 8, .key_dim = 64, .value_dim = 64};

}  // namespace

TEST_CASE("query heads share kv heads evenly") {
  CHECK(checked_query_heads(eight_heads, 32) == 4);
  CHECK(checked_query_heads(eight_heads, 8) == 1);
  for (std::int32_t const heads : {0, -8, 4, 12})
    CHECK_THROWS_WITH(checked_query_heads(eight_heads, heads), contains("query heads cannot share 8 kv heads"));
}

TEST_CASE("scores are scaled by the root of the key dim, unless it is said by what") {
  CHECK(score_scale(eight_heads, 0) == 0.125F);
  CHECK(score_scale(eight_heads, 0.3F) == 0.3F);
  CHECK(score_scale(eight_heads, -1.0F) == -1.0F);
}

TEST_CASE("a soft-cap that bounds nothing is refused") {
  CHECK_NOTHROW(check_params({}));
  CHECK_NOTHROW(check_params({.logit_soft_cap = 50}));
  for (float const cap : {-1.0F, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
    CHECK_THROWS_WITH(check_params({.logit_soft_cap = cap}), contains("soft-cap is positive and finite"));
}

TEST_CASE("a tree mask has 64 bits a query") {
  std::uint64_t const mask = 1;
  CHECK_NOTHROW(check_tree_tokens({.tree_mask = &mask}, 64));
  CHECK_NOTHROW(check_tree_tokens({}, 65));
  CHECK_THROWS_WITH(check_tree_tokens({.tree_mask = &mask}, 65), contains("at most 64 query tokens"));
}

TEST_CASE("layers of a planned step differ in what changes no share of the work") {
  float const slopes[8] = {};
  AttentionParams const planned{.token_begin = 8};
  CHECK_NOTHROW(check_planned(
      planned, {.scale = 2, .logit_soft_cap = 3, .token_begin = 8, .sink_logits = slopes, .alibi_slopes = slopes}));
  CHECK_NOTHROW(check_planned_heads(8, 8));
  CHECK_THROWS_WITH(check_planned_heads(8, 16), "folio: the attention was planned for 8 query heads, not for 16");
  CHECK_THROWS_WITH(check_planned(planned, {}), contains("plan again"));
  CHECK_THROWS_WITH(check_planned(planned, {.causal = false, .token_begin = 8}), contains("plan again"));
  CHECK_THROWS_WITH(check_planned(planned, {.token_begin = 8, .token_end = 9}), contains("plan again"));
}

TEST_CASE("a step with queries needs them, and a place for its results") {
  float q = 0, out = 0;
  CHECK_NOTHROW(check_operands(AttentionIo{&q, 8, &out}, 1));
  CHECK_NOTHROW(check_operands(AttentionIo<float>{}, 0));
  CHECK_THROWS_WITH(check_operands(AttentionIo<float>{.out = &out}, 1), contains("q is null"));
  CHECK_THROWS_WITH(check_operands(AttentionIo<float>{.q = &q}, 1), contains("out is null"));
}
