// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/quantizer/bf16.hpp>
#include <folio/quantizer/f16.hpp>
#include <folio/quantizer/f32.hpp>
#include <folio/quantizer/fp8.hpp>
#include <folio/quantizer/int_formats.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace {

/// One change for each clause of the concept.
struct Good : folio::Int8PerToken {};
struct HasState : folio::Int8PerToken {
  int state;
};
struct NameIsNoString : folio::Int8PerToken {
  static constexpr int name = 1;
};
struct NoBits : folio::Int8PerToken {
  static constexpr int bits = 0;
};
struct BasisIsNoBasis : folio::Int8PerToken {
  static constexpr int basis = 0;
};
struct ParamsNotTrivial : folio::Int8PerToken {
  using Params = std::vector<float>;
};
struct OddParamBytes : folio::Int8PerToken {
  static constexpr std::int32_t param_bytes(std::int32_t) { return 6; }
};
struct WideParamBytes : folio::Int8PerToken {
  static constexpr std::int64_t param_bytes(std::int32_t) { return 4; }
};
/// Parameters for each group of 32 elements, which nobody is told.
struct GroupsWithoutTheirSize : folio::F16 {
  static constexpr std::int32_t param_bytes(std::int32_t dim) { return (dim + 31) / 32 * 4; }
};
struct Groups : GroupsWithoutTheirSize {
  static constexpr std::int32_t params_dim = 32;
};
struct GroupsOfPartsOfBytes : GroupsWithoutTheirSize {
  static constexpr std::int32_t params_dim = 12;
};
struct EncodeWithoutParams : folio::Int8PerToken {
  static void encode(float const*, std::int32_t, std::byte*) {}
};
struct LoadsOtherParams : folio::Int8PerToken {
  static float load_params(std::byte const*, std::int32_t) { return 0; }
};
struct DecodeIsNoTemplate : folio::Int8PerToken {
  static void decode(std::byte const*, Params const&, float*) {}
};

}  // namespace

TEST_CASE("the concept takes quantizers and nothing else") {
  using folio::QuantizerPolicy;
  static_assert(QuantizerPolicy<folio::F32> && QuantizerPolicy<folio::F16> && QuantizerPolicy<folio::BF16>);
  static_assert(QuantizerPolicy<folio::Fp8E4M3> && QuantizerPolicy<folio::Int8PerToken>);
  static_assert(QuantizerPolicy<folio::Int4Rotated> && QuantizerPolicy<folio::Int2Rotated>);
  static_assert(QuantizerPolicy<Good>);
  static_assert(!QuantizerPolicy<int> && !QuantizerPolicy<HasState> && !QuantizerPolicy<NameIsNoString>);
  static_assert(!QuantizerPolicy<NoBits> && !QuantizerPolicy<BasisIsNoBasis> && !QuantizerPolicy<ParamsNotTrivial>);
  static_assert(!QuantizerPolicy<OddParamBytes> && !QuantizerPolicy<WideParamBytes>);
  static_assert(QuantizerPolicy<Groups> && !QuantizerPolicy<GroupsWithoutTheirSize>);
  static_assert(!QuantizerPolicy<GroupsOfPartsOfBytes>);
  static_assert(!QuantizerPolicy<EncodeWithoutParams> && !QuantizerPolicy<LoadsOtherParams>);
  static_assert(!QuantizerPolicy<DecodeIsNoTemplate>);
}

TEST_CASE("what an element costs") {
  CHECK(folio::code_bytes<folio::F32>(128) == 512);
  CHECK(folio::code_bytes<folio::Int4Rotated>(80) == 40);
  CHECK(folio::bits_per_element<folio::BF16>(64) == 16);
  CHECK(folio::bits_per_element<folio::Int8PerToken>(64) == 8.5);
  CHECK(folio::bits_per_element<folio::Int4Rotated>(64) == 4.5);
  CHECK(folio::bits_per_element<folio::Int4Rotated>(512) == 4.0625);
  CHECK(folio::bits_per_element<folio::Int2Rotated>(128) == 2.25);
}

TEST_CASE("the alignment that decode may rely on") {
  static_assert(folio::code_alignment(1) == 1 && folio::code_alignment(2) == 2 && folio::code_alignment(4) == 4);
  static_assert(folio::code_alignment(8) == 8 && folio::code_alignment(16) == 16 && folio::code_alignment(64) == 16);
  static_assert(folio::code_alignment(12) == 4 && folio::code_alignment(24) == 8 && folio::code_alignment(3) == 1);
}

TEST_CASE("the parts of a row") {
  for (std::int32_t dim = 0; dim <= 200; dim += 8) {
    std::int32_t at = 0;
    folio::for_each_part(0, dim, [&]<int N>(std::int32_t begin) {
      REQUIRE(begin == at);
      at += N;
    });
    REQUIRE(at == dim);
  }
}
