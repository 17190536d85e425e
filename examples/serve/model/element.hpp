// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The storage types of weights, and how they become floats.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

namespace serve {

enum class ElementType : std::uint8_t { f32, f16, bf16 };

[[nodiscard]] constexpr std::int64_t element_bytes(ElementType type) { return type == ElementType::f32 ? 4 : 2; }

/// The type that a safetensors file calls `dtype`, if weights of it are supported.
[[nodiscard]] constexpr std::optional<ElementType> element_type(std::string_view dtype) {
  if (dtype == "F32") return ElementType::f32;
  if (dtype == "F16") return ElementType::f16;
  if (dtype == "BF16") return ElementType::bf16;
  return std::nullopt;
}

[[nodiscard]] inline float from_bf16(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

/// Exact for every value, subnormal numbers, infinities and NaN included. Branchless, so that loops over it vectorize.
[[nodiscard]] inline float from_f16(std::uint16_t bits) {
  std::uint32_t const sign = std::uint32_t{bits} >> 15 << 31;
  std::uint32_t const magnitude = std::uint32_t{bits} & 0x7FFFu;
  // Shifted into a float's fields the exponent is 112 too small; multiplying by 2^112 repairs it, subnormal numbers
  // included.
  float const finite = std::bit_cast<float>(magnitude << 13) * 0x1p112f;
  std::uint32_t const special = magnitude >= 0x7C00u ? 0x7F800000u : 0u;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(finite) | special | sign);
}

/// Widens `n` elements at `data` to float. `data` may have any alignment.
inline void widen(ElementType type, std::byte const* data, std::int64_t n, float* out) {
  auto const load = [data](std::int64_t i) {
    std::uint16_t bits;
    std::memcpy(&bits, data + 2 * i, 2);
    return bits;
  };
  switch (type) {
    case ElementType::f32:
      std::memcpy(out, data, static_cast<std::size_t>(n) * 4);
      break;
    case ElementType::f16:
      for (std::int64_t i = 0; i < n; ++i) out[i] = from_f16(load(i));
      break;
    case ElementType::bf16:
      for (std::int64_t i = 0; i < n; ++i) out[i] = from_bf16(load(i));
      break;
  }
}

}  // namespace serve
