// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Short floating-point formats, as bit patterns: IEEE 754 binary16 (f16), bfloat16 (bf16), OCP fp8 e4m3 and e5m2, and
// OCP fp4 e2m1. Host and device.
//
// Every function is pure, constexpr and free of branches on the host, so that loops over them vectorize. Only integer
// operations and one addition of normal numbers are used: the results do not depend on the rounding of denormals
// (-ffast-math, -use_fast_math) and are the same on the host and on the device, but for the payload of a NaN.

#include <cstdint>
#include <cstring>
#include <folio/config.hpp>

namespace folio {

/// An element in half precision, or in bfloat16: the bits of CUDA's __half and __nv_bfloat16, whose pointers may be
/// cast to these, so that no header of theirs is needed here.
struct Half {
  std::uint16_t bits;
};
struct BFloat16 {
  std::uint16_t bits;
};

/// A float as its bits, and back. (std::bit_cast is a host function to nvcc.)
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::uint32_t to_bits(float value) {
  return __builtin_bit_cast(std::uint32_t, value);
}
[[nodiscard]] FOLIO_HOST_DEVICE constexpr float to_float(std::uint32_t bits) { return __builtin_bit_cast(float, bits); }

/// Whether `value` is a NaN, by its bits: a compiler that was told there are none (-ffast-math) answers `x != x`
/// without looking. By reference, because such a compiler takes an argument for a number.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr bool is_nan(float const& value) {
  return (__builtin_bit_cast(std::uint32_t, value) & 0x7FFFFFFFU) > 0x7F800000U;
}

/// Whether `value` is -infinity, for such compilers, too.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr bool is_negative_infinity(float const& value) {
  return __builtin_bit_cast(std::uint32_t, value) == 0xFF800000U;
}

/// `yes` or `no`, by masks: a ?: over a float operation is a branch to compilers that respect traps, and stops
/// vectorization.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::uint32_t select_bits(bool condition, std::uint32_t yes,
                                                                    std::uint32_t no) {
  return no ^ ((yes ^ no) & (0U - static_cast<std::uint32_t>(condition)));
}

/// a * b, rounded: never fused with an addition that follows, as nvcc likes to do.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr float product(float a, float b) {
#if defined(__CUDA_ARCH__)
  if (!__builtin_is_constant_evaluated()) return __fmul_rn(a, b);
#endif
  return a * b;
}

/// `value`, or with its sign `limit` where it is larger, infinities too. A NaN stays as it is.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr float saturate(float value, float limit) {
  std::uint32_t const bits = to_bits(value);
  std::uint32_t const magnitude = bits & 0x7FFFFFFFU;
  std::uint32_t const clamped = select_bits(magnitude > to_bits(limit), to_bits(limit), magnitude);
  return to_float((bits & 0x80000000U) | select_bits(magnitude > 0x7F800000U, magnitude, clamped));
}

inline constexpr float f16_max = 65504.0F;
inline constexpr float bf16_max = 0x1.FEp127F;
inline constexpr float e4m3_max = 448.0F;
inline constexpr float e5m2_max = 57344.0F;
inline constexpr float e2m1_max = 6.0F;

/// The value of an f16 pattern. Exact; a NaN stays one, made quiet.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr float f16_to_f32(std::uint16_t pattern) {
#if defined(__CUDA_ARCH__)
  if (!__builtin_is_constant_evaluated()) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(pattern));
    return value;
  }
#endif
  std::uint32_t const sign = (pattern & 0x8000U) << 16;
  std::uint32_t const magnitude = (pattern & 0x7FFFU) << 13;
  // A subnormal is moved to just above 2^-14, where its bits are those of a normal number, and 2^-14 is taken off.
  float const small = to_float(magnitude + (113U << 23)) - 0x1p-14F;
  std::uint32_t const normal = magnitude + (112U << 23);
  std::uint32_t const finite = select_bits(magnitude < 0x00800000U, to_bits(small), normal);
  std::uint32_t const special = magnitude | 0x7F800000U | select_bits(magnitude > 0x0F800000U, 0x00400000U, 0U);
  return to_float(sign | select_bits(magnitude < 0x0F800000U, finite, special));
}

/// The nearest f16, ties to even. From 65520 on it is infinity; a NaN stays one, made quiet.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::uint16_t f32_to_f16(float value) {
#if defined(__CUDA_ARCH__)
  if (!__builtin_is_constant_evaluated()) {
    std::uint16_t pattern;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(pattern) : "f"(value));
    return pattern;
  }
#endif
  std::uint32_t const bits = to_bits(value);
  std::uint32_t const magnitude = bits & 0x7FFFFFFFU;
  // Added to 0.5, whose last place is the f16 subnormals' step of 2^-24, a small number is rounded by the hardware.
  float const small = to_float(select_bits(magnitude < 0x38800000U, magnitude, 0U)) + 0.5F;
  std::uint32_t const subnormal = to_bits(small) - 0x3F000000U;
  std::uint32_t const normal = (magnitude - (112U << 23) + 0x0FFFU + ((magnitude >> 13) & 1U)) >> 13;
  std::uint32_t const finite = select_bits(magnitude < 0x38800000U, subnormal, normal);
  std::uint32_t const nan = 0x7E00U | ((magnitude >> 13) & 0x3FFU);
  std::uint32_t const special = select_bits(magnitude > 0x7F800000U, nan, 0x7C00U);
  return static_cast<std::uint16_t>((bits >> 16 & 0x8000U) | select_bits(magnitude < 0x47800000U, finite, special));
}

/// Writes two numbers as the nearest f16, in one conversion on the device.
FOLIO_HOST_DEVICE inline void store_halves(float first, float second, Half* to) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  std::uint32_t both;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(second), "f"(first));
  std::memcpy(to, &both, sizeof(both));
#else
  to[0].bits = f32_to_f16(first);
  to[1].bits = f32_to_f16(second);
#endif
}

/// The value of a bf16 pattern. Exact, signalling NaNs included: the pattern is the upper half of the f32.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr float bf16_to_f32(std::uint16_t pattern) {
  return to_float(static_cast<std::uint32_t>(pattern) << 16);
}

/// The nearest bf16, ties to even. Above the largest bf16 by half a step it is infinity; a NaN stays one, made quiet.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::uint16_t f32_to_bf16(float value) {
  std::uint32_t const bits = to_bits(value);
  std::uint32_t const rounded = (bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16;
  return static_cast<std::uint16_t>(select_bits((bits & 0x7FFFFFFFU) > 0x7F800000U, bits >> 16 | 0x0040U, rounded));
}

/// The value of an e4m3 pattern (OCP "e4m3fn": no infinities, 0x7F and 0xFF are NaN). Exact.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr float e4m3_to_f32(std::uint8_t pattern) {
  std::uint32_t const sign = (pattern & 0x80U) << 24;
  std::uint32_t const magnitude = (pattern & 0x7FU) << 20;
  float const small = to_float(magnitude + (121U << 23)) - 0x1p-6F;
  std::uint32_t const normal = select_bits(magnitude == 0x07F00000U, 0x7FC00000U, magnitude + (120U << 23));
  return to_float(sign | select_bits(magnitude < 0x00800000U, to_bits(small), normal));
}

/// The nearest e4m3, ties to even. Saturates at +-448, infinities too; a NaN stays one.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::uint8_t f32_to_e4m3(float value) {
  std::uint32_t const bits = to_bits(value);
  std::uint32_t const magnitude = bits & 0x7FFFFFFFU;
  std::uint32_t const clamped = select_bits(magnitude < 0x43E00000U, magnitude, 0x43E00000U);
  // 16384's last place is the e4m3 subnormals' step of 2^-9.
  float const small = to_float(select_bits(clamped < 0x3C800000U, clamped, 0U)) + 16384.0F;
  std::uint32_t const subnormal = to_bits(small) - 0x46800000U;
  std::uint32_t const normal = (clamped - (120U << 23) + 0x7FFFFU + ((clamped >> 20) & 1U)) >> 20;
  std::uint32_t const finite = select_bits(clamped < 0x3C800000U, subnormal, normal);
  return static_cast<std::uint8_t>((bits >> 24 & 0x80U) | select_bits(magnitude > 0x7F800000U, 0x7FU, finite));
}

/// The value of an e5m2 pattern: the upper byte of an f16, its infinities and NaNs included. Exact.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr float e5m2_to_f32(std::uint8_t pattern) {
  return f16_to_f32(static_cast<std::uint16_t>(pattern << 8));
}

/// The nearest e5m2, ties to even. Saturates at +-57344, infinities too; a NaN stays one.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::uint8_t f32_to_e5m2(float value) {
  std::uint32_t const bits = to_bits(value);
  std::uint32_t const magnitude = bits & 0x7FFFFFFFU;
  std::uint32_t const clamped = select_bits(magnitude < 0x47600000U, magnitude, 0x47600000U);
  // 128's last place is the e5m2 subnormals' step of 2^-16.
  float const small = to_float(select_bits(clamped < 0x38800000U, clamped, 0U)) + 128.0F;
  std::uint32_t const subnormal = to_bits(small) - 0x43000000U;
  std::uint32_t const normal = (clamped - (112U << 23) + 0xFFFFFU + ((clamped >> 21) & 1U)) >> 21;
  std::uint32_t const finite = select_bits(clamped < 0x38800000U, subnormal, normal);
  return static_cast<std::uint8_t>((bits >> 24 & 0x80U) | select_bits(magnitude > 0x7F800000U, 0x7FU, finite));
}

/// The value of an e2m1 pattern, its 4 lowest bits: 0, 0.5, 1, 1.5, 2, 3, 4 or 6, and the sign above. Exact.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr float e2m1_to_f32(std::uint32_t pattern) {
  std::uint32_t const sign = (pattern & 8U) << 28;
  std::uint32_t const magnitude = (pattern & 7U) << 22;
  float const small = to_float(magnitude + (127U << 23)) - 1.0F;
  return to_float(sign | select_bits(magnitude < 0x00800000U, to_bits(small), magnitude + (126U << 23)));
}

/// The nearest e2m1, ties to even. Saturates at +-6, infinities too; a NaN, which the format has none of, becomes 0.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::uint8_t f32_to_e2m1(float value) {
  std::uint32_t const bits = to_bits(value);
  std::uint32_t const magnitude = bits & 0x7FFFFFFFU;
  std::uint32_t const clamped = select_bits(magnitude < 0x40C00000U, magnitude, 0x40C00000U);
  // 2^22's last place is the e2m1 subnormals' step of 0.5.
  float const small = to_float(select_bits(clamped < 0x3F800000U, clamped, 0U)) + 0x1p22F;
  std::uint32_t const subnormal = to_bits(small) - 0x4A800000U;
  std::uint32_t const normal = (clamped - (126U << 23) + 0x1FFFFFU + ((clamped >> 22) & 1U)) >> 22;
  std::uint32_t const finite = select_bits(clamped < 0x3F800000U, subnormal, normal);
  return static_cast<std::uint8_t>((bits >> 28 & 8U) | select_bits(magnitude > 0x7F800000U, 0U, finite));
}

}  // namespace folio
