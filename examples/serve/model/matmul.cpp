// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// A source of its own, so that nearly all of a model's time is in loops that every build can optimize.

#include "matmul.hpp"

#include <algorithm>
#include <cstring>
#include <folio/attention/host/isa.hpp>
#include <folio/thread_pool.hpp>

#include "element.hpp"

#if FOLIO_SIMD_X86
#include <immintrin.h>
#endif

// Sanitizers leave the loops alone: they would take ten times as long.
#define FOLIO_SERVE_KERNEL __attribute__((no_sanitize("address", "undefined")))
#define FOLIO_SERVE_UNROLL _Pragma("GCC unroll 8")

namespace serve {
namespace {

// Every output is the sum of `num_sums` sums, whatever a tile is and however many numbers a vector holds. The order is
// written in this file and in the kernels and must not be changed by the compiler, so the target is built with
// -ffp-contract=off and never with -ffast-math.
constexpr int num_sums = 16;
constexpr int tile_rows = 4;
typedef float FourFloats __attribute__((vector_size(16)));

/// Some rows of a matrix, the bias of these (or none), the tokens that they are multiplied with, and where the results
/// of the first token go.
struct Panel {
  std::byte const* weights;
  std::int64_t num_rows, cols;
  float const* bias;
  float const* x;
  std::int64_t num_tokens;
  float* out;
  std::int64_t out_stride;
};

/// The sums of each of four outputs, added up in the order of dot().
FOLIO_SERVE_KERNEL inline FourFloats add_up(float const (&sums)[tile_rows][num_sums]) {
  FourFloats s[tile_rows];
  for (int r = 0; r < tile_rows; ++r) {
    FourFloats v[num_sums / 4];
    std::memcpy(v, sums[r], sizeof(v));
    s[r] = (v[0] + v[2]) + (v[1] + v[3]);
  }
  FourFloats const a =
      __builtin_shufflevector(s[0], s[1], 0, 4, 1, 5) + __builtin_shufflevector(s[0], s[1], 2, 6, 3, 7);
  FourFloats const b =
      __builtin_shufflevector(s[2], s[3], 0, 4, 1, 5) + __builtin_shufflevector(s[2], s[3], 2, 6, 3, 7);
  return __builtin_shufflevector(a, b, 0, 1, 4, 5) + __builtin_shufflevector(a, b, 2, 3, 6, 7);
}

}  // namespace
}  // namespace serve

#define FOLIO_SERVE_ISA portable
#define FOLIO_SERVE_LANES 4
#include "matmul_kernels.inl"

#if FOLIO_SIMD_X86
#define FOLIO_SERVE_ISA avx2
#define FOLIO_SERVE_LANES 8
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif
#include "matmul_kernels.inl"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#define FOLIO_SERVE_ISA avx512
#define FOLIO_SERVE_LANES 16
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f")
#endif
#include "matmul_kernels.inl"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

namespace serve {

FOLIO_SERVE_KERNEL float dot(float const* a, float const* b, std::int64_t n) {
  float sums[num_sums] = {};
  std::int64_t i = 0;
  for (; i + num_sums <= n; i += num_sums)
    for (int l = 0; l < num_sums; ++l) sums[l] += a[i + l] * b[i + l];
  for (int l = 0; i < n; ++i, ++l) sums[l] += a[i] * b[i];
  for (int half = num_sums / 2; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) sums[l] += sums[l + half];
  return sums[0];
}

void matmul(Linear const& linear, float const* x, std::int64_t num_tokens, float* out, folio::ThreadPool* threads) {
  if (num_tokens == 0) return;             // `out` may be null
  constexpr std::int64_t panel_rows = 32;  // of weights that stay in the second-level cache while the tokens pass by
  Matrix const& w = linear.weight;
  auto const isa = folio::attention::isa_in_use();
  folio::parallel_for(threads, (w.rows + panel_rows - 1) / panel_rows, [&](std::int64_t i) {
    std::int64_t const begin = i * panel_rows;
    Panel const panel{.weights = w.row(begin),
                      .num_rows = std::min(panel_rows, w.rows - begin),
                      .cols = w.cols,
                      .bias = linear.bias.empty() ? nullptr : linear.bias.data() + begin,
                      .x = x,
                      .num_tokens = num_tokens,
                      .out = out + begin,
                      .out_stride = w.rows};
#if FOLIO_SIMD_X86
    if (isa >= folio::attention::Isa::avx512) return avx512::multiply(w.type, panel);
    if (isa == folio::attention::Isa::avx2) return avx2::multiply(w.type, panel);
#endif
    portable::multiply(w.type, panel);
  });
}

}  // namespace serve
