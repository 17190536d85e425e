// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Parameters of formats that store tiles (ChannelTile, TwoSidedTile): those of the channels are multiplied into the
// query, tile by tile, and into the sums of values, so that the codes stay integers. Included once for each
// instruction set by kernels.hpp.

namespace folio::simd::FOLIO_SIMD_ISA {

/// `lanes` numbers of two bytes, or pairs of them: the first ones, and the second ones.
[[nodiscard]] inline Floats load_halves(std::byte const* from) { return from_halves(load<Halves>(from)); }
[[nodiscard]] inline Floats load_scales_at(std::byte const* from) {
  return from_halves(__builtin_convertvector(load<Words>(from) & 0xFFFFU, Halves));
}
[[nodiscard]] inline Floats load_minima_at(std::byte const* from) {
  return from_halves(__builtin_convertvector(load<Words>(from) >> 16, Halves));
}

/// The channels' parameters, in the order of the places.
template <RowParams params, int Bias>
inline void load_channels(Tile const& tile) {
  constexpr bool grids = params != RowParams::scaled_tokens;
  constexpr std::int32_t room = folio::max_row_dim + 256;  // places are padded by less than 256
  alignas(64) std::byte raw[std::size_t{room * 4}];        // a whole vector can be read at the end
  alignas(64) float scales[std::size_t{room}], offsets[std::size_t{room}];
  std::memcpy(raw, tile.rows->channels, static_cast<std::size_t>(tile.dim * (grids ? 4 : 2)));
  for (std::int32_t d = 0; d < tile.dim; d += lanes) {
    Floats const scale = grids ? load_scales_at(raw + 4 * d) : load_halves(raw + 2 * d);
    store(scales + d, scale);
    store(offsets + d, grids ? load_minima_at(raw + 4 * d) + scale * static_cast<float>(Bias) : scale);
  }
  for (std::int32_t d = tile.dim; d < tile.places; ++d) scales[d] = offsets[d] = 0.0F;
  for (std::int32_t place = 0; place < tile.places; ++place) {
    std::int32_t const d = tile.place_dims[place];
    tile.channel_scales[place] = scales[d];
    tile.channel_offsets[place] = offsets[d];
  }
}

template <RowParams params, int Bias>
inline void load_tile_params(Tile const& tile) {
  std::byte const* const tokens = tile.rows->tokens;
  for (std::int32_t t = 0; t < tile_tokens; t += lanes) {
    Floats scale = splat(1.0F), offset = scale;
    if constexpr (params == RowParams::scaled_channels) scale = offset = load_halves(tokens + 2 * t);
    if constexpr (params == RowParams::scaled_tokens) {
      scale = load_scales_at(tokens + 4 * t);
      offset = load_minima_at(tokens + 4 * t) + scale * static_cast<float>(Bias);
    }
    store(tile.scales + t, scale);
    store(tile.offsets + t, offset);
  }
  load_channels<params, Bias>(tile);
}

/// quantize_query of a row times the channels' scales, whose total is that of the row times their offsets.
inline void scale_query(Tile const& tile, float const* row, float* scaled, QueryIntegers const& to) {
  Floats total{};
  for (std::int32_t i = 0; i < tile.places; i += lanes) {
    Floats const x = load<Floats>(row + i);
    store(scaled + i, x * load<Floats>(tile.channel_scales + i));
    total += x * load<Floats>(tile.channel_offsets + i);
  }
  quantize_query(scaled, tile.places, to);
  *to.total = sums(total, total, total, total)[0];
}

}  // namespace folio::simd::FOLIO_SIMD_ISA
