// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The limit of everything that multiplies: fused multiply-adds in registers, measured in the same run.

#include <benchmark/benchmark.h>

#include <folio/attention/host/isa.hpp>

#include "support.hpp"

namespace folio::bench {

#if FOLIO_SIMD_X86
#define FOLIO_FMA(r, i) "vfmadd231ps %%" #r "13, %%" #r "12, %%" #r #i "\n"
#define FOLIO_REGISTERS \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13"
#define FOLIO_ZEROS() asm volatile("vzeroall" ::: FOLIO_REGISTERS, "xmm14", "xmm15")
#define FOLIO_FMAS(r)                                                                                                  \
  asm volatile(FOLIO_FMA(r, 0) FOLIO_FMA(r, 1) FOLIO_FMA(r, 2) FOLIO_FMA(r, 3) FOLIO_FMA(r, 4) FOLIO_FMA(r, 5)         \
                   FOLIO_FMA(r, 6) FOLIO_FMA(r, 7) FOLIO_FMA(r, 8) FOLIO_FMA(r, 9) FOLIO_FMA(r, 10) FOLIO_FMA(r, 11):: \
                       : FOLIO_REGISTERS)
#endif
/// 12 sums that do not wait for each other, `rounds` times. Returns how many numbers a sum has.
inline int multiply_add(std::int64_t rounds) {
#if FOLIO_SIMD_X86
  if (attention::isa_in_use() >= attention::Isa::avx512) {
    FOLIO_ZEROS();
    for (std::int64_t i = 0; i < rounds; ++i) FOLIO_FMAS(zmm);
    return 16;
  }
  if (attention::isa_in_use() == attention::Isa::avx2) {
    FOLIO_ZEROS();
    for (std::int64_t i = 0; i < rounds; ++i) FOLIO_FMAS(ymm);
    return 8;
  }
#endif
  float sums[12][4] = {};
  for (std::int64_t i = 0; i < rounds; ++i) {
    for (auto& sum : sums)
      for (float& x : sum) x = x * 0.5F + 1.0F;
    benchmark::DoNotOptimize(sums);
  }
  return 4;
}

/// Multiplications and additions a second that `threads` reach in the widest registers that the kernels use.
[[nodiscard]] inline double peak_flops(ThreadPool& threads) {
  constexpr std::int64_t rounds = 2'000'000;
  double best = 0;
  for (int pass = 0; pass < 5; ++pass) {
    std::vector<int> lanes(to_size(threads.num_threads()));
    auto const start = Clock::now();
    threads.parallel_for(threads.num_threads(), [&](std::int64_t i) { lanes[to_size(i)] = multiply_add(rounds); });
    double const seconds = seconds_since(start);
    best = std::max(best, 2.0 * 12 * rounds * lanes[0] * threads.num_threads() / seconds);
  }
  return best;
}

}  // namespace folio::bench
