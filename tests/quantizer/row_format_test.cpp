// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/attention/host/reads_in_place.hpp>
#include <folio/quantizer/bf16.hpp>
#include <folio/quantizer/channel_tile.hpp>
#include <folio/quantizer/f16.hpp>
#include <folio/quantizer/f32.hpp>
#include <folio/quantizer/fp4.hpp>
#include <folio/quantizer/fp8.hpp>
#include <folio/quantizer/int_formats.hpp>
#include <folio/quantizer/row_format.hpp>
#include <folio/quantizer/two_sided_tile.hpp>

#include "support/catch.hpp"

using namespace folio;

namespace {

/// Whether attention reads each format as `expected` says, and the sizes of its rows agree.
template <QuantizerPolicy... Formats>
constexpr bool are(Elements elements, RowParams params) {
  return ((Formats::row_format == RowFormat{elements, params} && attention::row_format_fits<Formats>()) && ...);
}

template <int Bits, Levels levels, std::int32_t GroupSize, Basis basis = Basis::model, int... Cuts>
using Int = IntQuantizer<Bits, levels, GroupSize, basis, Cuts...>;
constexpr Levels asymmetric = Levels::asymmetric, symmetric = Levels::symmetric, centered = Levels::centered;

struct MinimumInTheRow : Int4PerToken {
  static constexpr RowFormat row_format{Elements::u4, RowParams::scale};
  static constexpr std::int32_t param_bytes(std::int32_t) { return 8; }
};
struct ScaleOfAGroup : Int8PerToken {
  static constexpr std::int32_t params_dim = 32;
};
struct DecodedParams : Int8PerToken {
  static constexpr RowFormat row_format{Elements::decoded, RowParams::scale};
};
struct TileOfRows : Int4PerChannel<> {
  static constexpr RowFormat row_format{Elements::u4, RowParams::scale_and_offset};
};
struct FormatIsNone : Int8PerToken {
  static constexpr Elements row_format = Elements::s8;
};

}  // namespace

TEST_CASE("the formats of rows that attention on the host reads in place") {
  static_assert(are<F32>(Elements::f32, RowParams::none));
  static_assert(are<F16>(Elements::f16, RowParams::none));
  static_assert(are<BF16>(Elements::bf16, RowParams::none));
  static_assert(are<Fp8E4M3>(Elements::e4m3, RowParams::scale));
  static_assert(are<Fp8E5M2>(Elements::e5m2, RowParams::scale));
  static_assert(are<Fp8E4M3Static>(Elements::e4m3, RowParams::none));
  static_assert(are<Fp8E5M2Static>(Elements::e5m2, RowParams::none));
  static_assert(are<Int8PerToken, Int<8, symmetric, 0, Basis::hadamard>>(Elements::s8, RowParams::scale));
  constexpr RowParams both = RowParams::scale_and_offset;
  static_assert(are<Int<8, asymmetric, 0>, Int<8, asymmetric, 0, Basis::hadamard, 90>>(Elements::u8, both));
  static_assert(are<Int<7, asymmetric, 0, Basis::randomized_hadamard>>(Elements::u7, both));
  static_assert(are<Int6PerToken, Int6Rotated>(Elements::u6, both));
  static_assert(are<Int<5, asymmetric, 0>>(Elements::u5, both));
  static_assert(are<Int4PerToken, Int4Rotated>(Elements::u4, both));
  static_assert(are<Int3Rotated>(Elements::u3, both));
  static_assert(are<Int2Rotated>(Elements::u2, both));
  static_assert(are<Int2PerChannel<64>, Int2PerChannel<128>>(Elements::u2, RowParams::channel_grids));
  static_assert(are<Int4PerChannel<>, ChannelTile<4, 64, Basis::hadamard>>(Elements::u4, RowParams::channel_grids));
  static_assert(are<TwoSidedKeys<4>>(Elements::u4, RowParams::scaled_channels));
  static_assert(are<Int2TwoSidedKeys<64>>(Elements::u2, RowParams::scaled_channels));
  static_assert(are<TwoSidedValues<3, 64>>(Elements::u3, RowParams::scaled_tokens));
  static_assert(are<Int2TwoSidedValues<>>(Elements::u2, RowParams::scaled_tokens));
}

TEST_CASE("the formats of rows that attention on the host decodes first") {
  static_assert(are<Nvfp4, Nvfp4Static, Nvfp4FourOverSix, Nvfp4FourOverSixStatic, Mxfp4>(Elements::decoded, {}));
  static_assert(are<Int8PerGroup<32>, Int4PerGroup<32>, Int<8, asymmetric, 64>>(Elements::decoded, {}));
  static_assert(are<Int<4, symmetric, 0>, Int<4, centered, 0>, Int<8, centered, 0>>(Elements::decoded, {}));
  static_assert(are<ChannelTile<2, 32>, TwoSidedTile<2, 96, GridSide::tokens>>(Elements::decoded, {}));
}

TEST_CASE("a row format that does not fit its quantizer") {
  static_assert(attention::row_format_fits<Int4PerToken>() && !attention::row_format_fits<MinimumInTheRow>());
  static_assert(!attention::row_format_fits<ScaleOfAGroup>() && !attention::row_format_fits<DecodedParams>());
  static_assert(!attention::row_format_fits<TileOfRows>() && !QuantizerPolicy<FormatIsNone>);
}

TEST_CASE("the bits of elements") {
  for (int bits = 2; bits <= 8; ++bits) CHECK(bits_of(unsigned_elements(bits)) == bits);
  CHECK(unsigned_elements(8) == Elements::u8);
  CHECK(unsigned_elements(2) == Elements::u2);
  for (Elements const elements : {Elements::s8, Elements::e4m3, Elements::e5m2}) CHECK(bits_of(elements) == 8);
  for (Elements const elements : {Elements::f16, Elements::bf16}) CHECK(bits_of(elements) == 16);
  CHECK(bits_of(Elements::f32) == 32);
  CHECK(bits_of(Elements::decoded) == 0);
}

TEST_CASE("the bytes of a tile's parameters that are each token's") {
  CHECK(token_param_bytes(RowParams::channel_grids) == 0);
  CHECK(token_param_bytes(RowParams::scaled_channels) == 2);
  CHECK(token_param_bytes(RowParams::scaled_tokens) == 4);
  CHECK(are_of_tile(RowParams::channel_grids));
  CHECK(!are_of_tile(RowParams::scale_and_offset));
}
