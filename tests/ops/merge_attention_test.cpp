// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <folio/ops/merge_attention.hpp>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

/// Some rows of outputs and their log-sum-exps.
struct Part {
  std::vector<float> out, lse;
};

Part merged(Part a, Part const& b) {
  folio::ops::merge_attention(a.out.data(), a.lse.data(), b.out.data(), b.lse.data(),
                              static_cast<std::int64_t>(a.lse.size()),
                              static_cast<std::int32_t>(a.out.size() / a.lse.size()));
  return a;
}

}  // namespace

TEST_CASE("two equal parts give their mean, and log 2 more") {
  Part const result = merged({{1, 2}, {0.5F}}, {{3, 6}, {0.5F}});
  CHECK(result.out[0] == Approx(2));
  CHECK(result.out[1] == Approx(4));
  CHECK(result.lse[0] == Approx(0.5 + std::log(2.0)));
}

TEST_CASE("parts weigh by the exponential of their lse") {
  Part const result = merged({{1}, {std::log(3.0F)}}, {{5}, {0}});
  CHECK(result.out[0] == Approx(2));
  CHECK(result.lse[0] == Approx(std::log(4.0)));
}

TEST_CASE("an empty part changes nothing, whatever its row holds") {
  for (float const garbage : {0.0F, 17.0F, not_a_number, infinity}) {
    Part const full{{1.25F, -3}, {2}}, empty{{garbage, garbage}, {-infinity}};
    Part const a = merged(full, empty), b = merged(empty, full);
    CHECK(a.out == full.out);
    CHECK(a.lse == full.lse);
    CHECK(b.out == full.out);
    CHECK(b.lse == full.lse);
  }
}

TEST_CASE("two empty parts stay as they are, without a NaN") {
  Part const result = merged({{0, 0}, {-infinity}}, {{not_a_number, 5}, {-infinity}});
  CHECK(result.out == std::vector<float>{0, 0});
  CHECK(result.lse[0] == -infinity);
}

TEST_CASE("parts far apart do not overflow") {
  for (float const far : {100.0F, 1e4F, 3e38F}) {
    Part const up = merged({{1}, {far}}, {{2}, {-far}}), down = merged({{1}, {-far}}, {{2}, {far}});
    CHECK(up.out[0] == 1.0F);
    CHECK(up.lse[0] == far);
    CHECK(down.out[0] == 2.0F);
    CHECK(down.lse[0] == far);
  }
}

TEST_CASE("each row is merged by itself") {
  Part const result = merged({{1, 1, 7, 7, 1, 1}, {0, -infinity, 0}}, {{3, 3, 4, 4, 9, 9}, {0, 1, -infinity}});
  CHECK(result.out == std::vector<float>{2, 2, 4, 4, 1, 1});
  CHECK(result.lse[1] == 1.0F);
  CHECK(result.lse[2] == 0.0F);
}

TEST_CASE("order does not matter but for rounding") {
  Part const a{folio::test::random_floats(64, 1), {0.3F}}, b{folio::test::random_floats(64, 2), {1.7F}},
      c{folio::test::random_floats(64, 3), {-2.0F}};
  Part const left = merged(merged(a, b), c), right = merged(a, merged(c, b));
  for (std::size_t i = 0; i < 64; ++i) CHECK(left.out[i] == Approx(right.out[i]).margin(1e-6));
  CHECK(left.lse[0] == Approx(right.lse[0]));
}

TEST_CASE("no rows are no work") { folio::ops::merge_attention(nullptr, nullptr, nullptr, nullptr, 0, 8); }
