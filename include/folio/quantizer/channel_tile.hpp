// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <folio/quantizer/detail/format_name.hpp>
#include <folio/quantizer/detail/token_tile_format.hpp>

namespace folio {

/// Per-channel integer quantization: stores an element as minimum + integer * scale, the integer of `Bits` bits, with
/// an f16 scale and an f16 minimum for each channel (element of the head dim) over `Tokens` tokens: KIVI's keys (arXiv
/// 2402.02750, ICML 2024), whose groups are 32 tokens. For keys, whose outliers stay in the same channels from token to
/// token; rows of values have none, and their grids are better along the row (Int2Rotated, Int4PerGroup).
///
/// 32 / Tokens bits of parameters per element: 2 bits over 64 tokens are 2.5 bits in all, over 128 tokens 2.25. A
/// channel's range is left whole, as in KIVI, or cut to one of `ClipPercents` of it where that has a smaller squared
/// error. Tokens that are much smaller than their neighbours get the neighbours' steps: see TwoSidedTile.
///
/// encode_tile: host, three passes over the tile and one more for each cut. Decoding: host and device, one
/// multiplication and addition, exact up to the last rounding. Input saturates at 65504; scales below 6e-5 lose
/// precision.
template <int Bits, std::int32_t Tokens, Basis row_basis = Basis::model, int... ClipPercents>
struct ChannelTile : TokenTileFormat<ChannelGrids, Bits, Tokens> {
 private:
  using Format = TokenTileFormat<ChannelGrids, Bits, Tokens>;
  static constexpr FormatName full_name = [] {
    FormatName made;
    made.add("int").add(Bits).add("_channel_t").add(Tokens);
    if (row_basis != Basis::model) made.add(row_basis == Basis::hadamard ? "_rotated" : "_randomized");
    return made;
  }();

 public:
  static constexpr char const* name = full_name.text;
  static constexpr Basis basis = row_basis;
  static constexpr RowFormat row_format = tile_rows(Bits, Tokens, RowParams::channel_grids);
  using Params = ChannelGrids;

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t tile_param_bytes(std::int32_t dim) { return 4 * dim; }

  static void encode_tile(float* rows, std::int32_t dim, std::byte* codes, std::byte* params) {
    detail::prepare_tile(basis, Tokens, dim, rows);
    detail::encode_channels<Bits, Tokens, ClipPercents...>(rows, dim, codes, params);
  }

  using Format::load_params;
  [[nodiscard]] FOLIO_HOST_DEVICE static Params load_params(std::byte const* params, std::int32_t dim, std::int32_t) {
    return ChannelGrids::load(params + 4 * dim);
  }

  template <int N>
  FOLIO_HOST_DEVICE static void decode(std::byte const* codes, Params const& params, float* out) {
    auto const integers = unpack_bits<Bits, N>(load_codes<std::uint8_t, N * Bits / 8>(codes));
    for (int i = 0; i < N; ++i) out[i] = static_cast<float>(integers[i]) * params.scale[i] + params.offset[i];
  }
};

/// The names of KIVI's keys. `Int2PerChannel` cuts a channel's range where that has a smaller error, as rows of 2 bits
/// do; `Int4PerChannel` leaves it whole. 64 tokens: 2.5 and 4.5 bits per element.
template <std::int32_t Tokens = 64>
using Int2PerChannel = ChannelTile<2, Tokens, Basis::model, 70, 58, 48>;
template <std::int32_t Tokens = 64>
using Int4PerChannel = ChannelTile<4, Tokens, Basis::model>;
static_assert(TileQuantizer<Int2PerChannel<>> && TileQuantizer<Int4PerChannel<128>>);

}  // namespace folio
