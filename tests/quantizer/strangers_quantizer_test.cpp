// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Quantizers that the library does not have, as a user would write them: only the contract is known to them.

#include <algorithm>
#include <cmath>
#include <folio/quantizer/quantizer.hpp>

#include "conformance/quantizer_suite.hpp"
#include "support/codebook_quantizers.hpp"

namespace stranger {

/// Integers with a scale for each 32 elements: `params_dim` says that one `load_params` serves 32 elements.
struct GroupedInt8 {
  static constexpr char const* name = "grouped_int8";
  static constexpr int bits = 8;
  static constexpr folio::Basis basis = folio::Basis::model;
  static constexpr folio::RowFormat row_format{folio::Elements::decoded};
  static constexpr std::int32_t params_dim = 32;
  struct Params {
    float scale;
  };

  static constexpr std::int32_t param_bytes(std::int32_t dim) { return (dim + params_dim - 1) / params_dim * 4; }

  static void encode(float const* row, std::int32_t dim, std::byte* codes, std::byte* params) {
    for (std::int32_t group = 0; group < dim; group += params_dim) {
      std::int32_t const end = std::min(dim, group + params_dim);
      float largest = 0;
      for (std::int32_t i = group; i < end; ++i)
        if (std::isfinite(row[i])) largest = std::max(largest, std::min(std::fabs(row[i]), 1e38F));
      float const scale = largest < 1e-30F ? 0 : largest / 127;
      std::memcpy(params + group / params_dim * 4, &scale, 4);
      for (std::int32_t i = group; i < end; ++i) {
        float const scaled = scale == 0 || std::isnan(row[i]) ? 0 : std::clamp(row[i] / scale, -127.0F, 127.0F);
        codes[i] = static_cast<std::byte>(std::lrint(scaled));
      }
    }
  }

  static Params load_params(std::byte const* params, std::int32_t dim) {
    return {folio::load_param<float>(params + dim / params_dim * 4)};
  }

  template <int N>
  static void decode(std::byte const* codes, Params const& params, float* out) {
    for (int i = 0; i < N; ++i) out[i] = static_cast<float>(static_cast<std::int8_t>(codes[i])) * params.scale;
  }
};

/// Six bits: four elements in three bytes, so that a piece of 4 lies at any byte, and N is a multiple of 4.
struct Int6 {
  static constexpr char const* name = "int6";
  static constexpr int bits = 6;
  static constexpr folio::Basis basis = folio::Basis::model;
  static constexpr folio::RowFormat row_format{folio::Elements::decoded};
  struct Params {
    float scale;
  };

  static constexpr std::int32_t param_bytes(std::int32_t) { return 4; }

  static void encode(float const* row, std::int32_t dim, std::byte* codes, std::byte* params) {
    float largest = 0;
    for (std::int32_t i = 0; i < dim; ++i)
      if (std::isfinite(row[i])) largest = std::max(largest, std::min(std::fabs(row[i]), 1e38F));
    float const scale = largest < 1e-30F ? 0 : largest / 31;
    std::memcpy(params, &scale, 4);
    for (std::int32_t i = 0; i < dim; i += 4) {
      std::uint32_t packed = 0;
      for (std::int32_t j = 0; j < 4; ++j) {
        float const scaled = scale == 0 || std::isnan(row[i + j]) ? 0 : std::clamp(row[i + j] / scale, -31.0F, 31.0F);
        packed |= static_cast<std::uint32_t>(std::lrint(scaled) + 31) << (6 * j);
      }
      std::memcpy(codes + i / 4 * 3, &packed, 3);
    }
  }

  static Params load_params(std::byte const* params, std::int32_t) { return {folio::load_param<float>(params)}; }

  template <int N>
  static void decode(std::byte const* codes, Params const& params, float* out) {
    static_assert(N % 4 == 0);
    for (int i = 0; i < N; i += 4) {
      std::uint32_t packed = 0;
      std::memcpy(&packed, codes + i / 4 * 3, 3);
      for (int j = 0; j < 4; ++j)
        out[i + j] = static_cast<float>(static_cast<int>(packed >> (6 * j) & 63) - 31) * params.scale;
    }
  }
};

}  // namespace stranger

TEST_CASE("a stranger's quantizer with a scale for each group") {
  static_assert(folio::QuantizerPolicy<stranger::GroupedInt8>);
  static_assert(folio::params_dim<stranger::GroupedInt8> == 32);
  CHECK(folio::bits_per_element<stranger::GroupedInt8>(128) == 9);
  folio::test::quantizer_suite<stranger::GroupedInt8>({.of_largest = 0.5 / 127 * 1.0001});

  // An outlier costs its own group precision, and no other: that is what groups are for.
  std::vector<float> row(64, 1.0F);
  row[0] = 1000;
  folio::test::StoredRow<stranger::GroupedInt8> stored(64, 0);
  stored.encode(row.data());
  std::vector<float> const out = stored.decode();
  CHECK(out[1] == 0.0F);
  CHECK(out[32] == Approx(1.0));
}

TEST_CASE("a stranger's quantizer of six bits") {
  static_assert(folio::QuantizerPolicy<stranger::Int6>);
  CHECK(folio::bits_per_element<stranger::Int6>(128) == 6.25);
  CHECK(folio::code_bytes<stranger::Int6>(8) == 6);
  folio::test::quantizer_suite<stranger::Int6>({.of_largest = 0.5 / 31 * 1.0001});
}

TEST_CASE("a stranger's quantizers with codebooks, of 1 to 4 bits") {
  // An element beyond the codebook's last number is off by less than itself, one near 0 by at most the first number.
  using namespace folio::test;
  quantizer_suite<TurboQuant<4>>({.relative = 1, .of_largest = 0.13, .absolute = 1e-6});
  quantizer_suite<TurboQuant<3>>({.relative = 1, .of_largest = 0.25, .absolute = 1e-6});
  quantizer_suite<TurboQuant<1>>({.relative = 1, .of_largest = 0.8, .absolute = 1e-6});
  quantizer_suite<RmsMidRise<2>>({.relative = 1, .of_largest = 0.5, .absolute = 1e-6});
}
