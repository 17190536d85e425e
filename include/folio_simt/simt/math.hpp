// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// CUDA's functions on bits and numbers. Those that are approximate on a GPU (__expf) are as exact as the host's here,
// so that a comparison with a reference needs the tolerance of the GPU only on the GPU.

#include <math.h>  // the names without std::, which kernels use

#include <bit>
#include <climits>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <type_traits>

#include "simt/detail.hpp"

// NOLINTBEGIN: these are CUDA's names

// These are global because glibc declares functions of the same names.
inline float __expf(float x) noexcept { return expf(x); }
inline float __exp10f(float x) noexcept { return powf(10.0F, x); }
inline float __logf(float x) noexcept { return logf(x); }
inline float __log2f(float x) noexcept { return log2f(x); }
inline float __log10f(float x) noexcept { return log10f(x); }
inline float __powf(float x, float y) noexcept { return powf(x, y); }
inline float __sinf(float x) noexcept { return sinf(x); }
inline float __cosf(float x) noexcept { return cosf(x); }
inline float __tanf(float x) noexcept { return tanf(x); }
inline void __sincosf(float x, float* sine, float* cosine) noexcept {
  *sine = sinf(x);
  *cosine = cosf(x);
}

namespace simt::detail {

/// As a GPU converts: out of range is the nearest int, NaN is 0.
inline int saturated_int(float x) {
  if (x != x) return 0;
  if (x >= 2147483648.0F) return INT_MAX;
  return x < -2147483648.0F ? INT_MIN : static_cast<int>(x);
}

}  // namespace simt::detail

namespace simt::words {

inline float rsqrtf(float x) { return 1.0F / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float fdividef(float x, float y) { return x / y; }
inline float __fdividef(float x, float y) { return x / y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0F / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frsqrt_rn(float x) { return static_cast<float>(1.0 / sqrt(static_cast<double>(x))); }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1.0F) : 0.0F; }  // NaN becomes 0

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
inline int __ffsll(long long x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned long long>(x)) + 1; }
inline int __mulhi(int x, int y) { return static_cast<int>((static_cast<long long>(x) * y) >> 32); }
inline unsigned __umulhi(unsigned x, unsigned y) {
  return static_cast<unsigned>((static_cast<unsigned long long>(x) * y) >> 32);
}

inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }

inline unsigned long long __brevll(unsigned long long x) {
  unsigned long long reversed = 0;
  for (int i = 0; i < 64; ++i) reversed |= ((x >> i) & 1U) << (63 - i);
  return reversed;
}
inline unsigned __brev(unsigned x) { return static_cast<unsigned>(__brevll(x) >> 32); }

/// Four of the eight bytes of y:x; each digit of `selector` names one, and its highest bit asks for the byte's sign.
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  std::uint64_t const bytes = (std::uint64_t{y} << 32) | x;
  unsigned result = 0;
  for (int i = 0; i < 4; ++i) {
    unsigned const digit = (selector >> (4 * i)) & 15U;
    unsigned const byte = static_cast<unsigned>(bytes >> (8 * (digit & 7U))) & 255U;
    result |= ((digit & 8U) == 0 ? byte : (byte & 128U) != 0 ? 255U : 0U) << (8 * i);
  }
  return result;
}

inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((((std::uint64_t{high} << 32) | low) << (shift & 31U)) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>(((std::uint64_t{high} << 32) | low) >> (shift & 31U));
}

/// The dot product of four signed bytes, and a sum.
inline int __dp4a(int x, int y, int sum) {
  for (int i = 0; i < 32; i += 8) sum += static_cast<std::int8_t>(x >> i) * static_cast<std::int8_t>(y >> i);
  return sum;
}
inline unsigned __dp4a(unsigned x, unsigned y, unsigned sum) {
  for (int i = 0; i < 32; i += 8) sum += ((x >> i) & 255U) * ((y >> i) & 255U);
  return sum;
}

inline int __float2int_rn(float x) { return detail::saturated_int(nearbyintf(x)); }
inline int __float2int_rz(float x) { return detail::saturated_int(x); }
inline int __float2int_rd(float x) { return detail::saturated_int(floorf(x)); }
inline int __float2int_ru(float x) { return detail::saturated_int(ceilf(x)); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }

/// min and max of any two numbers, in the type that an arithmetic operation on them has. A NaN loses.
template <class A, class B>
requires std::is_arithmetic_v<A> && std::is_arithmetic_v<B>
constexpr auto min(A a, B b) {
  using T = decltype(a + b);
  auto const x = static_cast<T>(a), y = static_cast<T>(b);
  return y < x || x != x ? y : x;
}
template <class A, class B>
requires std::is_arithmetic_v<A> && std::is_arithmetic_v<B>
constexpr auto max(A a, B b) {
  using T = decltype(a + b);
  auto const x = static_cast<T>(a), y = static_cast<T>(b);
  return x < y || x != x ? y : x;
}

/// Ends the launch with an error.
[[noreturn]] inline void __trap(Where where = Where::here()) { detail::trap(where); }

// NOLINTEND

}  // namespace simt::words

// NOLINTBEGIN: these are CUDA's names, made global one by one
using simt::words::__brev, simt::words::__brevll, simt::words::__byte_perm, simt::words::__clz, simt::words::__clzll,
    simt::words::__double_as_longlong, simt::words::__dp4a, simt::words::__fadd_rn, simt::words::__fdiv_rn,
    simt::words::__fdividef, simt::words::__ffs, simt::words::__ffsll, simt::words::__float2int_rd,
    simt::words::__float2int_rn, simt::words::__float2int_ru, simt::words::__float2int_rz, simt::words::__float_as_int,
    simt::words::__float_as_uint, simt::words::__fmaf_rn, simt::words::__fmul_rn, simt::words::__frcp_rn,
    simt::words::__frsqrt_rn, simt::words::__fsqrt_rn, simt::words::__fsub_rn, simt::words::__funnelshift_l,
    simt::words::__funnelshift_r, simt::words::__int2float_rn, simt::words::__int_as_float,
    simt::words::__longlong_as_double, simt::words::__mulhi, simt::words::__popc, simt::words::__popcll,
    simt::words::__saturatef, simt::words::__trap, simt::words::__uint2float_rn, simt::words::__uint_as_float,
    simt::words::__umulhi, simt::words::fdividef, simt::words::max, simt::words::min, simt::words::rsqrt,
    simt::words::rsqrtf;
// NOLINTEND
