// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Matrix times vectors, so that a token's numbers never depend on its company: every output is one dot product with one
// fixed order of additions, whatever the number of tokens beside it and the number of threads. This is what makes
// --check exact.

#include <algorithm>
#include <cstdint>
#include <folio/thread_pool.hpp>
#include <vector>

#include "element.hpp"
#include "tensor_files.hpp"

#if defined(__GNUC__)
#define FOLIO_SERVE_NOT_SANITIZED __attribute__((no_sanitize("address", "undefined")))
#else
#define FOLIO_SERVE_NOT_SANITIZED
#endif

namespace serve {

/// Sum of a[i] * b[i]. Sixteen running sums that compilers turn into vector registers, then a fixed tree: the order is
/// written here and must not be changed by the compiler, so the target is built with -ffp-contract=off and never with
/// -ffast-math. Sanitizers leave it alone: nearly all of a model's time is in these loops, and it would be ten times as
/// long.
[[nodiscard]] FOLIO_SERVE_NOT_SANITIZED inline float dot(float const* a, float const* b, std::int64_t n) {
  constexpr int num_lanes = 16;
  float lanes[num_lanes] = {};
  std::int64_t i = 0;
  for (; i + num_lanes <= n; i += num_lanes)
    for (int l = 0; l < num_lanes; ++l) lanes[l] += a[i + l] * b[i + l];
  for (int l = 0; i < n; ++i, ++l) lanes[l] += a[i] * b[i];
  for (int half = num_lanes / 2; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) lanes[l] += lanes[l + half];
  return lanes[0];
}

/// A linear layer: y = W x + bias. The weights stay in their file and in their storage type.
struct Linear {
  Matrix weight;
  std::vector<float> bias;  ///< empty: none
};

/// out[token][row] = sum over cols of weight[row][col] * x[token][col] (+ bias[row]), for `num_tokens` rows of x.
/// Each row of weights is widened to float once, then serves all tokens.
inline void matmul(Linear const& linear, float const* x, std::int64_t num_tokens, float* out,
                   folio::ThreadPool* threads) {
  constexpr std::int64_t tile = 8;  // rows of weights that stay in the first-level cache while the tokens pass by
  Matrix const& w = linear.weight;
  folio::parallel_for(threads, (w.rows + tile - 1) / tile, [&](std::int64_t t) {
    thread_local std::vector<float> scratch;
    scratch.resize(static_cast<std::size_t>(tile * w.cols));
    std::int64_t const begin = t * tile, end = std::min(w.rows, begin + tile);
    widen(w.type, w.row(begin), (end - begin) * w.cols, scratch.data());
    for (std::int64_t token = 0; token < num_tokens; ++token)
      for (std::int64_t row = begin; row < end; ++row)
        out[token * w.rows + row] = dot(scratch.data() + (row - begin) * w.cols, x + token * w.cols, w.cols) +
                                    (linear.bias.empty() ? 0.0f : linear.bias[static_cast<std::size_t>(row)]);
  });
}

}  // namespace serve
