// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The storage format of a row in words: what a quantizer tells the host's attention. For constants, on both sides.

#include <cstdint>

namespace folio {

/// The element type of a row's codes, one after the other from the lowest bit on. The host's attention has kernels for
/// all but `decoded`: rows of such a format are decoded to floats first, which takes several times as long.
enum class Elements : std::uint8_t { decoded, f32, f16, bf16, e4m3, e5m2, s8, u8, u7, u6, u5, u4, u3, u2 };

/// The quantization parameters of a row: element = scale * code + offset.
enum class RowParams : std::uint8_t {
  none,
  scale,             ///< one f32
  scale_and_offset,  ///< two f16
  channel_grids,     ///< of a tile: scale and offset for each channel, two f16
  scaled_channels,   ///< of a tile: a factor for each token, f16, then those
  scaled_tokens,     ///< of a tile: scale and offset for each token, two f16, then a factor for each channel, f16
};

/// How attention on the host reads a format's rows: a member `static constexpr RowFormat row_format` of each quantizer.
/// `{Elements::decoded}` is the slow path, on purpose.
struct RowFormat {
  Elements elements;
  RowParams params = RowParams::none;
  friend constexpr bool operator==(RowFormat, RowFormat) = default;
};

/// Tokens that the host's attention reads at a time. It reads stored tiles in place whose tokens are a multiple of it.
inline constexpr std::int32_t attention_tile_tokens = 64;

/// The unsigned integers of `bits` bits, from 2 to 8.
[[nodiscard]] constexpr Elements unsigned_elements(int bits) {
  return static_cast<Elements>(static_cast<int>(Elements::u8) + 8 - bits);
}

/// Bits of one element; 0 of `decoded`.
[[nodiscard]] constexpr int bits_of(Elements elements) {
  if (elements >= Elements::u8) return 8 - (static_cast<int>(elements) - static_cast<int>(Elements::u8));
  if (elements >= Elements::e4m3) return 8;
  return elements == Elements::decoded ? 0 : elements == Elements::f32 ? 32 : 16;
}

/// The format of tiles of `tokens` tokens of unsigned integers.
[[nodiscard]] constexpr RowFormat tile_rows(int bits, std::int32_t tokens, RowParams params) {
  if (tokens % attention_tile_tokens != 0) return {Elements::decoded};
  return {unsigned_elements(bits), params};
}

/// Whether the parameters are of a tile of tokens.
[[nodiscard]] constexpr bool are_of_tile(RowParams params) { return params >= RowParams::channel_grids; }

/// Bytes of a tile's parameters that are each token's; they come before the channels'.
[[nodiscard]] constexpr std::int32_t token_param_bytes(RowParams params) {
  return params == RowParams::scaled_channels ? 2 : params == RowParams::scaled_tokens ? 4 : 0;
}

}  // namespace folio
