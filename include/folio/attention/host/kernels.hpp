// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The attention kernels: for each format of rows and each set of instructions, from dispatch down to the tile. Host
// only.
//
// Written with the compilers' own vector types and chosen at run time: Debian's Highway has no dot products of bytes,
// <immintrin.h> costs every user 0.3 s of compile time, and the core needs nothing but the standard library. The
// kernels' sources, *.inl, are included once for each set, because a template cannot say what it is compiled for.
//
// What shuffles is a template, also where it has nothing to choose, as are the classes that call the kernels: sources
// that do not attend do not pay for it.

#include <algorithm>
#include <cmath>
#include <cstring>
#include <folio/attention/host/isa.hpp>
#include <folio/attention/host/token_tile.hpp>
#include <folio/quantizer/basis.hpp>
#include <folio/quantizer/float_formats.hpp>
#include <folio/quantizer/hadamard.hpp>
#include <folio/quantizer/packing.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <limits>
#include <type_traits>
#include <utility>

// Before a loop of constant length over registers: without it GCC leaves them in memory at -O2.
#if defined(__CUDACC__)
#define FOLIO_UNROLL
#else
#define FOLIO_UNROLL _Pragma("GCC unroll 8")
#endif

namespace folio::attention {

/// random_signs of every element a row may have, as the signs of floats.
struct RandomSignBits {
  alignas(64) std::uint32_t of[std::size_t{max_row_dim}] = {};
  constexpr RandomSignBits() {
    for (std::int32_t i = 0; i < max_row_dim; ++i)
      of[i] = static_cast<std::uint32_t>(random_signs(i / 64) >> i % 64) << 31;
  }
};
inline constexpr RandomSignBits random_sign_bits;
alignas(64) inline constexpr std::uint32_t no_sign_bits[std::size_t{max_row_dim}] = {};

}  // namespace folio::attention

#define FOLIO_SIMD_ISA portable
#define FOLIO_SIMD_BYTES 16
#include <folio/attention/host/all_kernels.inl>

#if FOLIO_SIMD_X86
#define FOLIO_SIMD_ISA avx2
#define FOLIO_SIMD_BYTES 32
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c")
#endif
#include <folio/attention/host/all_kernels.inl>
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#define FOLIO_SIMD_ISA avx512  // and amx, which needs the same
#define FOLIO_SIMD_BYTES 64
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")
#endif
#include <folio/attention/host/all_kernels.inl>
#include <folio/attention/host/amx.inl>
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

#undef FOLIO_UNROLL

namespace folio::attention {

/// The kernels of the format `F` on the instructions in use, for few query rows or many.
template <RowFormat F>
[[nodiscard]] RowKernels row_kernels(bool many_rows) {
#if FOLIO_SIMD_X86
  if (isa_in_use() == Isa::amx) return amx::make_kernels<F>(many_rows);
  if (isa_in_use() == Isa::avx512) return avx512::make_kernels<F>(many_rows);
  if (isa_in_use() == Isa::avx2) return avx2::make_kernels<F>(many_rows);
#endif
  return portable::make_kernels<F>(many_rows);
}
/// Those for queries that see up to `few_tokens` tokens.
template <RowFormat F>
[[nodiscard]] RowKernels few_token_kernels() {
#if FOLIO_SIMD_X86
  if (isa_in_use() >= Isa::avx512) return avx512::make_few_token_kernels<F>();
  if (isa_in_use() == Isa::avx2) return avx2::make_few_token_kernels<F>();
#endif
  return portable::make_few_token_kernels<F>();
}

}  // namespace folio::attention
