// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <folio/quantizer/detail/format_name.hpp>
#include <folio/quantizer/detail/tile_balance.hpp>
#include <folio/quantizer/detail/token_tile_format.hpp>

namespace folio {

/// The grids of 8 channels and the factor of a token, or the grid of a token and the factors of 8 channels: element i =
/// (grids.scale[i] * integer + grids.offset[i]) * factor, or (scale * integer + offset) * factor[i].
struct ScaledChannelGrids {
  ChannelGrids grids;
  float factor;
};
struct ScaledTokenGrid {
  float scale, offset;
  float factor[8];
};

/// Two-sided (channel and token) integer quantization: stores an element as (minimum + integer * scale) * factor, the
/// integer of `Bits` bits, all three in f16: the grids (scale and minimum) are the channels' and the factors the
/// tokens' (for keys), or the other way round (for values). Rows are rotated first. KVarN
/// (github.com/huawei-csl/KVarN): factors are found by 16 rounds of making all tokens' and all channels' standard
/// deviations 1 in turn, of which the best is kept; see balance_tile.
///
/// So a token that is much smaller than its neighbours, or larger, keeps its accuracy, which per-channel grids alone
/// take from it: what 2 bits need. For each tile of `Tokens` tokens (4 * dim + 2 * Tokens) bytes of parameters, or
/// (2 * dim + 4 * Tokens): of 128 x 128, 0.375 bits per element.
///
/// Deviations from KVarN: a tile is scaled by a power of two first, so that small keys are balanced as large ones are;
/// integers are chosen for the parameters as f16 rounds them; and a range may be cut to one of `ClipPercents` of it
/// where that has a smaller squared error. encode_tile: host, up to 33 passes over the tile. Decoding: host and device,
/// two multiplications and an addition, the same everywhere. Input saturates at 65504.
template <int Bits, std::int32_t Tokens, GridSide side, Basis row_basis = Basis::hadamard, int... ClipPercents>
struct TwoSidedTile
    : TokenTileFormat<std::conditional_t<side == GridSide::channels, ScaledChannelGrids, ScaledTokenGrid>, Bits,
                      Tokens> {
 private:
  static constexpr bool of_channels = side == GridSide::channels;
  using Format = TokenTileFormat<std::conditional_t<of_channels, ScaledChannelGrids, ScaledTokenGrid>, Bits, Tokens>;
  static constexpr FormatName full_name = [] {
    FormatName made;
    made.add("int").add(Bits).add(of_channels ? "_two_sided_keys_t" : "_two_sided_values_t").add(Tokens);
    return made;
  }();
  // The tokens' parameters come first: where they are does not depend on the head dim.
  static constexpr std::int32_t token_bytes = of_channels ? 2 : 4, channel_bytes = 6 - token_bytes;

 public:
  static constexpr char const* name = full_name.text;
  static constexpr Basis basis = row_basis;
  static constexpr RowFormat row_format =
      tile_rows(Bits, Tokens, of_channels ? RowParams::scaled_channels : RowParams::scaled_tokens);
  using Params = typename Format::Params;

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t tile_param_bytes(std::int32_t dim) {
    return token_bytes * Tokens + channel_bytes * dim;
  }

  static void encode_tile(float* rows, std::int32_t dim, std::byte* codes, std::byte* params) {
    detail::prepare_tile(basis, Tokens, dim, rows);
    std::byte* const of_channel = params + token_bytes * Tokens;
    if constexpr (of_channels) {
      float factors[std::size_t{Tokens}];
      balance_tile<Tokens>({rows, Tokens, dim}, TileAxis::tokens, factors);
      store_factors(factors, Tokens, params);
      for (std::int32_t t = 0; t < Tokens; ++t)
        for (std::int32_t d = 0; d < dim; ++d) rows[std::int64_t{t} * dim + d] /= factors[t];
      detail::encode_channels<Bits, Tokens, ClipPercents...>(rows, dim, codes, of_channel);
    } else {
      float factors[std::size_t{max_row_dim}];
      balance_tile<Tokens>({rows, Tokens, dim}, TileAxis::channels, factors);
      store_factors(factors, dim, of_channel);
      for (std::int32_t t = 0; t < Tokens; ++t)
        for (std::int32_t d = 0; d < dim; ++d) rows[std::int64_t{t} * dim + d] /= factors[d];
      detail::encode_tokens<Bits, Tokens, ClipPercents...>(rows, dim, codes, params);
    }
  }

  using Format::load_params;
  [[nodiscard]] FOLIO_HOST_DEVICE static Params load_params(std::byte const* params, std::int32_t dim,
                                                            std::int32_t slot) {
    std::byte const* const of_channel = params + token_bytes * Tokens + channel_bytes * dim;
    Params loaded;
    if constexpr (of_channels) {
      loaded.grids = ChannelGrids::load(of_channel);
      loaded.factor = f16_to_f32(load_param<std::uint16_t>(params + 2 * slot));
    } else {
      auto const both = load_param<std::uint32_t>(params + 4 * slot);
      loaded.scale = f16_to_f32(static_cast<std::uint16_t>(both));
      loaded.offset = f16_to_f32(static_cast<std::uint16_t>(both >> 16));
      auto const factors = load_codes<std::uint16_t, 8>(of_channel);
      for (int i = 0; i < 8; ++i) loaded.factor[i] = f16_to_f32(factors[i]);
    }
    return loaded;
  }

  template <int N>
  FOLIO_HOST_DEVICE static void decode(std::byte const* codes, Params const& params, float* out) {
    // Integer * scale is exact and a multiplication comes last: fused or not, the result is the same.
    auto const integers = unpack_bits<Bits, N>(load_codes<std::uint8_t, N * Bits / 8>(codes));
    for (int i = 0; i < N; ++i) {
      auto const integer = static_cast<float>(integers[i]);
      if constexpr (of_channels)
        out[i] = (integer * params.grids.scale[i] + params.grids.offset[i]) * params.factor;
      else
        out[i] = (integer * params.scale + params.offset) * params.factor[i];
    }
  }

 private:
  /// Stores `n` factors, and leaves them as they will be read.
  static void store_factors(float* factors, std::int32_t n, std::byte* to) {
    for (std::int32_t i = 0; i < n; ++i) {
      std::uint16_t const pattern = f32_to_f16(saturate(factors[i], f16_max));
      std::memcpy(to + 2 * i, &pattern, sizeof(pattern));
      factors[i] = pattern == 0 ? 1.0F : f16_to_f32(pattern);  // rows that are all 0: their integers do not matter
    }
  }
};

/// KVarN's keys and values as published, for any bits; at 128 tokens and a head dim of 128, `Bits` + 0.375 bits.
template <int Bits, std::int32_t Tokens = 128>
using TwoSidedKeys = TwoSidedTile<Bits, Tokens, GridSide::channels>;
template <int Bits, std::int32_t Tokens = 128>
using TwoSidedValues = TwoSidedTile<Bits, Tokens, GridSide::tokens>;
/// With the cuts of Int2Rotated: the choice for 2 bits.
template <std::int32_t Tokens = 128>
using Int2TwoSidedKeys = TwoSidedTile<2, Tokens, GridSide::channels, Basis::hadamard, 70, 58, 48>;
template <std::int32_t Tokens = 128>
using Int2TwoSidedValues = TwoSidedTile<2, Tokens, GridSide::tokens, Basis::hadamard, 70, 58, 48>;
static_assert(TileQuantizer<TwoSidedKeys<4>> && TileQuantizer<TwoSidedValues<2>> && TileQuantizer<Int2TwoSidedKeys<>> &&
              TileQuantizer<Int2TwoSidedValues<64>>);

}  // namespace folio
