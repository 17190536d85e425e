// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include "ops/attend_cases.hpp"
//
#include <folio/ops/merge_attention.cuh>

using namespace folio;

TEST_CASE("partial attentions of any number are merged, empty ones count nothing, and a NaN stays in its row") {
  auto const num_parts = GENERATE(std::size_t{1}, std::size_t{3}, std::size_t{9}, std::size_t{70}, std::size_t{300});
  auto const dim = GENERATE(std::size_t{6}, std::size_t{40}, std::size_t{128}, std::size_t{576});
  constexpr std::size_t num_rows = 7;
  simt::Buffer<float> const parts(folio::test::random_rows(num_parts * num_rows * dim, 1), "parts");
  simt::Buffer<float> const parts_lse(folio::test::random_rows(num_parts * num_rows, 2), "parts' lse");
  // Row 2 has every other part, row 3 the last one, row 4 none; what the others hold are NaNs. Row 5 has the lse of a
  // query that is no number in one part, row 6 in all.
  for (std::size_t p = 0; p < num_parts; ++p)
    for (std::size_t row = 2; row < num_rows; ++row) {
      bool const empty = row == 4 || (row == 2 && p % 2 == 1) || (row == 3 && p + 1 < num_parts);
      if (empty) parts_lse[p * num_rows + row] = -INFINITY;
      if (row == 6 || (row == 5 && p == num_parts / 2)) parts_lse[p * num_rows + row] = NAN;
      for (std::size_t d = 0; d < dim && empty; ++d) parts[(p * num_rows + row) * dim + d] = NAN;
    }
  std::vector<double> out(num_rows * dim), lse(num_rows);
  for (std::size_t row = 0; row < num_rows; ++row) {
    double sum = 0;
    for (std::size_t p = 0; p < num_parts; ++p) {
      double const of_part = parts_lse[p * num_rows + row];
      if (of_part == -INFINITY) continue;
      sum += std::exp(of_part);
      for (std::size_t d = 0; d < dim; ++d)
        out[row * dim + d] += std::exp(of_part) * double{parts[(p * num_rows + row) * dim + d]};
    }
    for (std::size_t d = 0; d < dim && sum != 0; ++d) out[row * dim + d] /= sum;
    lse[row] = std::log(sum);
  }
  simt::Buffer<float> const device_out(out.size() + 1, "out"), device_lse(lse.size(), "lse");
  simt::Buffer<Half> const half_out(out.size(), "out");
  auto const merge = [&](std::int32_t n, auto* to, float* to_lse) {
    ops::merge_attention(parts.data(), parts_lse.data(), n, num_rows, std::int32_t(dim), to, to_lse, nullptr);
    check_cuda(cudaDeviceSynchronize(), "waiting for the device");
  };
  simt::streams(3);
  merge(std::int32_t(num_parts), device_out.data(), device_lse.data());
  CHECK(folio::test::difference(out, folio::test::written(device_out, 1, out.size())) < 2e-5);
  CHECK(folio::test::difference(lse, device_lse.to_vector()) < 2e-5);
  merge(std::int32_t(num_parts), half_out.data(), nullptr);
  CHECK(folio::test::difference(out, folio::test::written(half_out, 1, out.size())) < folio::test::tolerance<Half>);
  merge(std::int32_t(num_parts), device_out.data() + 1, nullptr);  // not aligned: element by element
  CHECK(folio::test::difference(out, {device_out.data() + 1, device_out.data() + 1 + out.size()}) < 2e-5);
  CHECK_THROWS_AS(merge(0, device_out.data(), nullptr), Error);
  CHECK_THROWS_AS(merge(1, static_cast<float*>(nullptr), nullptr), Error);
}
