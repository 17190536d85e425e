// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The integer formats of rows, as one template. Their names are in int_formats.hpp.

#include <folio/quantizer/basis.hpp>
#include <folio/quantizer/detail/format_name.hpp>
#include <folio/quantizer/detail/group_lanes.hpp>
#include <folio/quantizer/detail/integer_grid.hpp>
#include <folio/quantizer/detail/unpack.hpp>
#include <folio/quantizer/packing.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <folio/quantizer/scaling.hpp>

namespace folio {

/// Per-token or per-group integer quantization: stores an element as an integer of `Bits` bits, one of the 2^Bits
/// values of an even grid that a row (token and head) has of its own; or, with a `GroupSize`, each group of so many
/// elements of it. In a byte the first element is in the lowest bits (packing.hpp).
///
/// What is stored with the integers: for asymmetric levels an f16 scale and an f16 minimum, for others an f16 scale for
/// each group, or a float for the row. With a rotated `basis` the row is rotated by `change_basis` first.
///
/// The range of a group is left whole, or cut to one of `ClipPercents` of it, by which the squared error is least.
/// Encoding is two passes over the row, one more for each cut and one if there is any, and the rotation; it takes 4 KiB
/// of stack (encode_by: none). Decoding is a mask and one multiplication and addition, exact up to the last rounding,
/// so that it is the same everywhere. Host and device.
///
/// Ties round to even. A NaN is stored as the value nearest to 0, an infinity as the row's largest finite magnitude (of
/// int8_per_token and groups of it: the group's). Input of rotated and asymmetric formats saturates at 65504. Where
/// scales are f16, those below 6e-5 lose precision.
template <int Bits, Levels levels, std::int32_t GroupSize, Basis row_basis, int... ClipPercents>
struct IntQuantizer {
  static_assert(Bits >= 2 && Bits <= 8, "folio: IntQuantizer stores 2 to 8 bits");
  static_assert(GroupSize >= 0 && GroupSize % 8 == 0 && GroupSize < max_row_dim,
                "folio: a group has a multiple of 8 elements; 0 is the whole row");
  static_assert(((0 < ClipPercents && ClipPercents <= 100) && ...),
                "folio: a ClipPercent is a share of the range, 1 to 100");

 private:
  static constexpr bool per_row = GroupSize == 0;
  using Grid = IntegerGrid<Bits, levels, std::conditional_t<per_row && levels != Levels::asymmetric, float, Half>>;
  static constexpr FormatName full_name = [] {
    FormatName made;
    made.add("int").add(Bits);
    if (levels == Levels::centered) made.add("_centered");
    if (levels != Levels::centered && (levels == Levels::symmetric) != (Bits == 8))
      made.add(levels == Levels::symmetric ? "_symmetric" : "_asymmetric");
    if (!per_row) made.add("_g").add(GroupSize);
    if (row_basis != Basis::model) made.add(row_basis == Basis::hadamard ? "_rotated" : "_randomized");
    return made;
  }();

 public:
  static constexpr char const* name = full_name.text;
  static constexpr int bits = Bits;
  static constexpr Basis basis = row_basis;
  /// The host's attention has no kernels for scales of groups, nor for grids of fewer than 8 bits without a minimum.
  static constexpr RowFormat row_format = per_row && Grid::is_signed ? RowFormat{Elements::s8, RowParams::scale}
                                          : per_row && levels == Levels::asymmetric
                                              ? RowFormat{unsigned_elements(Bits), RowParams::scale_and_offset}
                                              : RowFormat{Elements::decoded};
  static constexpr std::int32_t params_dim = per_row ? max_row_dim : GroupSize;
  using Params = std::conditional_t<Grid::is_signed, RowScale, RowScaleAndOffset>;

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t param_bytes(std::int32_t dim) {
    return ((dim + params_dim - 1) / params_dim * Grid::param_bytes + 3) / 4 * 4;
  }

  FOLIO_HOST_DEVICE static void encode(float const* row, std::int32_t dim, std::byte* codes, std::byte* params) {
    if constexpr (Grid::is_signed && row_basis == Basis::model) {
      encode_groups(row, dim, codes, params);
    } else {
      float ready[max_row_dim];
      float const limit = input_limit(largest_finite_magnitude(row, dim));
      for_each_part(0, dim, [&]<int N>(std::int32_t at) {
        Pack<float, N> part;  // what is written directly might be what is read next, and the loop not vectorized
        for (int i = 0; i < N; ++i) part[i] = finite_within(row[at + i], limit);
        std::memcpy(ready + at, part.v, sizeof(part));
      });
      change_basis(row_basis, ready, dim, dim);
      encode_groups(ready, dim, codes, params);
    }
  }

  template <int N, class Lanes>
  FOLIO_HOST_DEVICE static void encode_by(Lanes const& lanes, Pack<float, N> const& part,
                                          Pack<std::uint8_t, N * Bits / 8>& codes, std::byte* params) {
    static_assert(N * Bits % 8 == 0, "folio: a lane holds whole bytes of codes: 8 elements of 3, 5 or 7 bits");
    Pack<float, N> ready = part;
    if constexpr (!(Grid::is_signed && row_basis == Basis::model)) {
      float const limit = input_limit(largest_finite_magnitude_by(lanes, part));
      for (int i = 0; i < N; ++i) ready[i] = finite_within(part[i], limit);
      change_basis_by<row_basis>(lanes, ready, lanes.dim());
    }
    constexpr int n = per_row || GroupSize > N ? N : GroupSize;
    Pack<std::uint8_t, N> integers;
    for (int begin = 0; begin < N; begin += n) {
      Pack<float, n> piece;
      for (int i = 0; i < n; ++i) piece[i] = ready[begin + i];
      GroupLanes<Lanes, n, per_row ? 0 : GroupSize> const group{lanes, lanes.rank() * N + begin};
      Grid const grid = best_grid(range_by(group, piece), [&](Grid tried, float unit) {
        if constexpr (sizeof...(ClipPercents) > 0) return group.sum(tried.template error<n>(piece.v, unit));
      });
      if (group.is_first()) store(grid, group.first(), lanes.dim(), params);
      auto const rounded = grid.template round<n>(piece.v);
      for (int i = 0; i < n; ++i) integers[begin + i] = rounded[i];
    }
    codes = pack_bits<Bits, N>(integers);
  }

  [[nodiscard]] FOLIO_HOST_DEVICE static Params load_params(std::byte const* params, std::int32_t dim) {
    Grid const grid = Grid::load(params + (per_row ? 0 : dim / params_dim * Grid::param_bytes));
    if constexpr (Grid::is_signed)
      return {grid.scale};
    else
      return {grid.scale, grid.minimum};
  }

  template <int N>
  FOLIO_HOST_DEVICE static void decode(std::byte const* codes, Params const& params, float* out) {
    Params const loaded = params;
#if defined(__CUDA_ARCH__)
    auto const words = load_words<N * Bits / 8>(codes);
    for (int i = 0; i < N; ++i) {
      if constexpr (Grid::is_signed)
        out[i] = signed_byte_to_f32(words[i / 4], i % 4) * loaded.scale;
      else
        out[i] = unsigned_to_f32<Bits>(words, i) * loaded.scale + loaded.offset;
    }
#else
    auto const integers = unpack_bits<Bits, N>(load_codes<std::uint8_t, N * Bits / 8>(codes));
    for (int i = 0; i < N; ++i) {
      if constexpr (Grid::is_signed)
        out[i] = static_cast<float>(static_cast<std::int8_t>(integers[i])) * loaded.scale;
      else
        out[i] = static_cast<float>(integers[i]) * loaded.scale + loaded.offset;
    }
#endif
  }

 private:
  /// What keeps sums of a rotation finite, and what f16 minima reach.
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr float input_limit(float largest) {
    return row_basis != Basis::model || levels == Levels::asymmetric ? saturate(largest, f16_max) : largest;
  }

  /// The range of a group; of signed integers, which are not cut, any elements will do, and those not finite are left
  /// out.
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr Range range_of(float const* group, std::int32_t size) {
    if constexpr (!Grid::is_signed) {
      return find_range(group, size);
    } else {
      float const largest = largest_finite_magnitude(group, size);
      return {-largest, largest};
    }
  }
  template <int N, class Lanes>
  [[nodiscard]] FOLIO_HOST_DEVICE static Range range_by(Lanes const& group, Pack<float, N> const& piece) {
    if constexpr (!Grid::is_signed) {
      return find_range_by(group, piece);
    } else {
      float const largest = largest_finite_magnitude_by(group, piece);
      return {-largest, largest};
    }
  }

  /// The grid of the whole range, or of a part of it, by which the error is least; of equals the first.
  /// `error(grid, unit)` counts it in units of 1/256 of the whole range's scale.
  template <class F>
  [[nodiscard]] FOLIO_HOST_DEVICE static Grid best_grid(Range range, F const& error) {
    Grid best = Grid::make(range, 1.0F);
    if constexpr (sizeof...(ClipPercents) > 0) {
      float const unit = best.scale == 0.0F ? 0.0F : 256.0F / best.scale;
      std::int32_t least = error(best, unit);
      auto const attempt = [&](Grid tried) {
        std::int32_t const its_error = error(tried, unit);
        best = its_error < least ? tried : best;
        least = its_error < least ? its_error : least;
      };
      (attempt(Grid::make(range, static_cast<float>(ClipPercents) / 100.0F)), ...);
    }
    return best;
  }

  FOLIO_HOST_DEVICE static void store(Grid grid, std::int32_t first, std::int32_t dim, std::byte* params) {
    std::byte* const to = params + (per_row ? 0 : first / params_dim * Grid::param_bytes);
    grid.store(to);
    bool const last_of_odd_number = first + params_dim >= dim && first / params_dim % 2 == 0;
    if (Grid::param_bytes == 2 && last_of_odd_number) store_params(Pack<std::uint16_t, 1>{}, to + 2);
  }

  FOLIO_HOST_DEVICE static void encode_groups(float const* row, std::int32_t dim, std::byte* codes, std::byte* params) {
    for (std::int32_t first = 0; first < dim; first += params_dim) {
      std::int32_t const size = dim - first < params_dim ? dim - first : params_dim;
      Grid const grid = best_grid(range_of(row + first, size), [&](Grid tried, float unit) {
        std::int32_t sum = 0;
        if constexpr (sizeof...(ClipPercents) > 0)
          for_each_part(first, first + size,
                        [&]<int N>(std::int32_t at) { sum += tried.template error<N>(row + at, unit); });
        return sum;
      });
      store(grid, first, dim, params);
      for_each_part(first, first + size, [&]<int N>(std::int32_t at) {
        store_codes(pack_bits<Bits, N>(grid.template round<N>(row + at)), codes + code_bytes<IntQuantizer>(at));
      });
    }
  }
};

}  // namespace folio
