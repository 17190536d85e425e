// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Parameters of formats that store tiles (ChannelTile, TwoSidedTile): those of the channels are multiplied into the
// query, tile by tile, and into the sums of values, so that the codes stay integers. Included once for each
// instruction set by kernels.hpp.

namespace folio::attention::FOLIO_SIMD_ISA {

/// The channels' parameters, in the order of the columns; zeros for padding.
template <RowParams params, int Bias>
inline void load_channels(TokenTile const& tile) {
  constexpr bool grids = params != RowParams::scaled_tokens;
  using Param = std::conditional_t<grids, std::uint32_t, std::uint16_t>;
  constexpr std::int32_t room = folio::max_row_dim + 256;  // columns are padded by less than 256
  Param stored[std::size_t{room}];
  alignas(64) std::uint32_t placed[std::size_t{room}];
  std::memcpy(stored, tile.rows->channels, static_cast<std::size_t>(tile.dim) * sizeof(Param));
  for (std::int32_t d = tile.dim; d < tile.columns; ++d) stored[d] = 0;
  for (std::int32_t column = 0; column < tile.columns; ++column) placed[column] = stored[tile.column_dims[column]];
  for (std::int32_t column = 0; column < tile.columns; column += lanes) {
    Words const both = load<Words>(placed + column);
    Floats const scale = lower_numbers(both);
    store(tile.channel_scales + column, scale);
    store(tile.channel_offsets + column, grids ? upper_numbers(both) + scale * static_cast<float>(Bias) : scale);
  }
}

template <RowParams params, int Bias>
inline void load_tile_params(TokenTile const& tile) {
  std::byte const* const tokens = tile.rows->tokens;
  std::int32_t const end = tile.rows_end();
  for (std::int32_t t = 0; t < end; t += lanes) {
    Floats scale = splat(1.0F), offset = scale;
    if constexpr (params == RowParams::scaled_channels) scale = offset = from_halves(load<Halves>(tokens + 2 * t));
    if constexpr (params == RowParams::scaled_tokens) {
      Words const both = load<Words>(tokens + 4 * t);
      scale = lower_numbers(both);
      offset = upper_numbers(both) + scale * static_cast<float>(Bias);
    }
    store(tile.scales + t, scale);
    store(tile.offsets + t, offset);
  }
  load_channels<params, Bias>(tile);
  if (tile.ahead != nullptr) tile.ahead->prefetch_channels();
}

}  // namespace folio::attention::FOLIO_SIMD_ISA
