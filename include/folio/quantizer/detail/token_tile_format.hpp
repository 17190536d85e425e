// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Formats that store the rows of a tile together: the contract, and what they share. Decoding is for host and device,
// encoding for the host.

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <folio/quantizer/basis.hpp>
#include <folio/quantizer/detail/integer_grid.hpp>
#include <folio/quantizer/packing.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <folio/quantizer/scaling.hpp>
#include <type_traits>

namespace folio {

/// How are the keys, or the values, of `tile_tokens` tokens in one head stored together? A tile is one block, so a
/// cache of such a format has BlockSize<tile_tokens>. It is demoted once, whole, when its tokens are final
/// (ops/demote.hpp); it is never written again. Elsewhere such a format is a quantizer as any other: views, rows and
/// the operations that read take it, those that write single rows refuse it at compile time.
///
/// `encode_tile(rows, dim, codes, params)`: `rows` is [tile_tokens][dim] floats in the model's basis, which it may
/// overwrite; it writes `codes`, [tile_tokens][dim * bits / 8] bytes, and `tile_param_bytes(dim)` bytes of parameters
/// for the whole tile, a multiple of 16. `load_params(params, dim, slot)` reads what `decode` needs for the elements of
/// token `slot` from `dim` on, up to the next multiple of `params_dim`; `params` is aligned to 16 bytes. Pure
/// functions, as those of every quantizer. `encode_tile` takes no memory from the heap, or a demotion may fail for want
/// of it after it took its blocks.
template <class Q>
concept TileQuantizer = QuantizerPolicy<Q> && is_tile_format<Q> &&
    requires(float* rows, std::int32_t dim, std::byte* codes, std::byte* params, std::byte const* stored) {
  { Q::tile_param_bytes(dim) } -> std::same_as<std::int32_t>;
  { Q::encode_tile(rows, dim, codes, params) } -> std::same_as<void>;
  { Q::load_params(stored, dim, dim) } -> std::same_as<typename Q::Params>;
} &&(Q::tile_param_bytes(128) % 16 == 0);

/// What a tile format has because rows of other formats do: nothing of its own for a row, and a sentence for those who
/// would write one or read one without its tile.
template <class LoadedParams, int Bits, std::int32_t Tokens>
struct TokenTileFormat {
  static_assert(Tokens > 0 && Tokens % 8 == 0, "folio: a tile has a multiple of 8 tokens");
  using Params = LoadedParams;
  static constexpr int bits = Bits;
  static constexpr std::int32_t tile_tokens = Tokens;
  static constexpr std::int32_t params_dim = 8;

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t param_bytes(std::int32_t) { return 0; }

  template <class Float>
  FOLIO_HOST_DEVICE static void encode(Float const*, std::int32_t, std::byte*, std::byte*) {
    static_assert(
        !std::is_same_v<Float, float>,
        "folio: this format encodes whole tiles of tokens: append to a cache in a float format, and demote from "
        "there (Demote, ops::demote)");
  }
  template <class Byte>
  [[nodiscard]] FOLIO_HOST_DEVICE static Params load_params(Byte const*, std::int32_t) {
    static_assert(!std::is_same_v<Byte, std::byte>,
                  "folio: the parameters of a tile format are its tile's: load_params(params, dim, slot), or a Row");
  }
};

/// Which side of a two-sided tile has grids; the other side has factors.
enum class GridSide : std::uint8_t { channels, tokens };

/// The grids of 8 neighbouring channels, as decode uses them: element i = scale[i] * integer + offset[i].
struct ChannelGrids {
  float scale[8], offset[8];

  /// Of 8 grids that IntegerGrid::store wrote, one after the other.
  [[nodiscard]] FOLIO_HOST_DEVICE static ChannelGrids load(std::byte const* grids) {
    // One loop for each thing, of a constant length: such loops vectorize.
    auto const both = load_codes<std::uint32_t, 8>(grids);
    ChannelGrids result;
    for (int i = 0; i < 8; ++i) result.scale[i] = f16_to_f32(static_cast<std::uint16_t>(both[i]));
    for (int i = 0; i < 8; ++i) result.offset[i] = f16_to_f32(static_cast<std::uint16_t>(both[i] >> 16));
    return result;
  }
};

namespace detail {

/// Makes rows [tokens][dim] fit for a grid of f16, and rotates them to `basis`: a NaN becomes 0, an infinity its row's
/// largest finite magnitude, and nothing is beyond 65504.
inline void prepare_tile(Basis basis, std::int32_t tokens, std::int32_t dim, float* rows) {
  for (std::int32_t t = 0; t < tokens; ++t) {
    float* const row = rows + std::int64_t{t} * dim;
    float const limit = saturate(largest_finite_magnitude(row, dim), f16_max);
    for (std::int32_t d = 0; d < dim; ++d) row[d] = finite_within(row[d], limit);
    change_basis(basis, row, dim, dim);
  }
}

/// The grid over all of `n` elements, or over one of ClipPercents of their range, with the least squared error; of
/// equals the first. `n` is a multiple of 8, at most max_row_dim.
template <int Bits, int... ClipPercents>
[[nodiscard]] IntegerGrid<Bits> best_grid(float const* elements, std::int32_t n) {
  Range const range = find_range(elements, n);
  auto best = IntegerGrid<Bits>::make(range, 1.0F);
  if constexpr (sizeof...(ClipPercents) > 0) {
    float const unit = best.scale > 0.0F ? 256.0F / best.scale : 0.0F;
    auto const error_of = [&](IntegerGrid<Bits> const& grid) {
      std::int32_t error = 0;
      for (std::int32_t i = 0; i < n; i += 8) error += grid.template error<8>(elements + i, unit);
      return error;
    };
    std::int32_t least = error_of(best);
    auto const attempt = [&](int percent) {
      auto const grid = IntegerGrid<Bits>::make(range, static_cast<float>(percent) / 100.0F);
      std::int32_t const error = error_of(grid);
      if (error >= least) return;
      least = error;
      best = grid;
    };
    (attempt(ClipPercents), ...);
  }
  return best;
}

/// A grid for each channel over the tile's tokens: 4 bytes of `grids` each.
template <int Bits, std::int32_t Tokens, int... ClipPercents>
void encode_channels(float const* rows, std::int32_t dim, std::byte* codes, std::byte* grids) {
  for (std::int32_t d = 0; d < dim; d += 8) {
    float column[std::size_t{Tokens}];
    Pack<std::uint8_t, 8> integers[std::size_t{Tokens}];
    for (std::int32_t i = 0; i < 8; ++i) {
      for (std::int32_t t = 0; t < Tokens; ++t) column[t] = rows[std::int64_t{t} * dim + d + i];
      auto const grid = best_grid<Bits, ClipPercents...>(column, Tokens);
      grid.store(grids + 4 * (d + i));
      for (std::int32_t t = 0; t < Tokens; t += 8) {
        auto const rounded = grid.template round<8>(column + t);
        for (std::int32_t j = 0; j < 8; ++j) integers[t + j][i] = rounded[j];
      }
    }
    for (std::int32_t t = 0; t < Tokens; ++t)
      store_codes(pack_bits<Bits, 8>(integers[t]), codes + (std::int64_t{t} * dim + d) * Bits / 8);
  }
}

/// A grid for each token over its elements: 4 bytes of `grids` each.
template <int Bits, std::int32_t Tokens, int... ClipPercents>
void encode_tokens(float const* rows, std::int32_t dim, std::byte* codes, std::byte* grids) {
  for (std::int32_t t = 0; t < Tokens; ++t) {
    float const* const row = rows + std::int64_t{t} * dim;
    auto const grid = best_grid<Bits, ClipPercents...>(row, dim);
    grid.store(grids + 4 * t);
    for (std::int32_t d = 0; d < dim; d += 8)
      store_codes(pack_bits<Bits, 8>(grid.template round<8>(row + d)), codes + (std::int64_t{t} * dim + d) * Bits / 8);
  }
}

}  // namespace detail

}  // namespace folio
