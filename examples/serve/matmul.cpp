// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// A source of its own, so that nearly all of a model's time is in loops that every build can optimize.

#include "matmul.hpp"

#include <algorithm>
#include <folio/thread_pool.hpp>

#include "element.hpp"

#if defined(__GNUC__)
#define FOLIO_SERVE_NOT_SANITIZED __attribute__((no_sanitize("address", "undefined")))
#else
#define FOLIO_SERVE_NOT_SANITIZED
#endif

namespace serve {

// Sixteen running sums that compilers turn into vector registers, then a fixed tree: the order is written here and must
// not be changed by the compiler, so the target is built with -ffp-contract=off and never with -ffast-math. Sanitizers
// leave it alone: it would take ten times as long.
FOLIO_SERVE_NOT_SANITIZED inline float sum_products(float const* a, float const* b, std::int64_t n) {
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

float dot(float const* a, float const* b, std::int64_t n) { return sum_products(a, b, n); }

void matmul(Linear const& linear, float const* x, std::int64_t num_tokens, float* out, folio::ThreadPool* threads) {
  constexpr std::int64_t tile = 8;  // rows of weights that stay in the first-level cache while the tokens pass by
  Matrix const& w = linear.weight;
  folio::parallel_for(threads, (w.rows + tile - 1) / tile, [&](std::int64_t t) {
    thread_local std::vector<float> scratch;
    scratch.resize(static_cast<std::size_t>(tile * w.cols));
    std::int64_t const begin = t * tile, end = std::min(w.rows, begin + tile);
    widen(w.type, w.row(begin), (end - begin) * w.cols, scratch.data());
    for (std::int64_t token = 0; token < num_tokens; ++token)
      for (std::int64_t row = begin; row < end; ++row)
        out[token * w.rows + row] = sum_products(scratch.data() + (row - begin) * w.cols, x + token * w.cols, w.cols) +
                                    (linear.bias.empty() ? 0.0f : linear.bias[static_cast<std::size_t>(row)]);
  });
}

}  // namespace serve
