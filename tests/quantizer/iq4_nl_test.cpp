// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <folio/quantizer/int_formats.hpp>
#include <folio/quantizer/iq4_nl.hpp>
#include <limits>
#include <vector>

#include "conformance/quantizer_suite.hpp"
#include "support/random.hpp"

using folio::Iq4Nl;
using folio::test::StoredRow;

namespace {

constexpr int codebook[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/// One thread that holds a whole row of 32.
struct OneLane {
  static int rank() { return 0; }
  static bool active() { return true; }
  static std::int32_t dim() { return 32; }
  static std::int32_t exchange(std::int32_t value, int) { return value; }
  static std::int32_t max(std::int32_t value) { return value; }
  static std::int32_t min(std::int32_t value) { return value; }
  static std::int32_t sum(std::int32_t value) { return value; }
};
static_assert(folio::CooperativeQuantizer<Iq4Nl, OneLane>);

}  // namespace

TEST_CASE("Iq4Nl is a quantizer") {
  // The largest magnitude of the other sign is cut from 127 to 113. Scales below 2^-24 are 0.
  folio::test::quantizer_suite<Iq4Nl>({.of_largest = 14.0 / 127 * 1.005, .absolute = 4e-6});
}

TEST_CASE("Iq4Nl: what an element costs, and how far off it is") {
  CHECK(folio::bits_per_element<Iq4Nl>(128) == 4.5);
  CHECK(Iq4Nl::param_bytes(96) == 8);  // 3 scales, and 2 bytes of padding
  double const error = folio::test::normal_distortion<Iq4Nl>(128);
  CHECK(error > 6.3e-3);
  CHECK(error < 6.5e-3);
  CHECK(error < 1.1 * folio::test::normal_distortion<folio::Int4PerGroup<32>>(128));  // which takes half a bit more
}

TEST_CASE("Iq4Nl keeps its codebook, whichever sign the largest element has") {
  for (float const scale : {0.5F, -0.5F, 4.0F}) {
    std::vector<float> row;
    for (int i = 0; i < 32; ++i) row.push_back(scale * static_cast<float>(codebook[i % 16]));
    StoredRow<Iq4Nl> stored(32, 0xFF);
    stored.encode(row.data());
    CHECK(stored.decode() == row);
    for (int i = 0; i < 16; ++i) CHECK(std::to_integer<int>(stored.codes()[i]) == (2 * i % 16 | (2 * i + 1) % 16 << 4));
    CHECK(Iq4Nl::load_params(stored.params(), 0).scale == scale);
    CHECK(std::to_integer<int>(stored.params()[2]) == 0);
  }
}

TEST_CASE("Iq4Nl takes the nearest level") {
  for (int i = 0; i < 4000; ++i) {
    float const x = -127.0F + 0.06F * static_cast<float>(i);  // to 113
    std::vector<float> row(8, x);
    row[0] = -127.0F;  // the scale is 1
    StoredRow<Iq4Nl> stored(8, 0);
    stored.encode(row.data());
    float nearest = -127;
    for (int const level : codebook)
      if (std::fabs(x - static_cast<float>(level)) < std::fabs(x - nearest)) nearest = static_cast<float>(level);
    REQUIRE(std::fabs(x - stored.decode()[3]) <= std::fabs(x - nearest) + 1e-4F);
  }
}

TEST_CASE("Iq4Nl: what is no number stays in its element") {
  std::vector<float> row(64, 1.0F);
  row[3] = std::numeric_limits<float>::infinity();
  row[5] = std::numeric_limits<float>::quiet_NaN();
  row[9] = -std::numeric_limits<float>::infinity();
  StoredRow<Iq4Nl> stored(64, 0);
  stored.encode(row.data());
  auto const back = stored.decode();
  CHECK(std::fabs(back[0] - 1) < 1e-3F);
  CHECK(std::fabs(back[3] - 1) < 1e-3F);  // saturates
  CHECK(std::fabs(back[5]) < 0.01F);
  CHECK(std::fabs(back[9] + 113.0F / 127) < 1e-3F);
  CHECK(std::fabs(back[40] - 1) < 1e-3F);
}

TEST_CASE("Iq4Nl is the same in kernels") {
  for (std::uint32_t seed = 1; seed <= 50; ++seed) {
    std::vector<float> const row = folio::test::random_floats(32, seed, 3.0F);
    folio::Pack<float, 32> part;
    for (int i = 0; i < 32; ++i) part[i] = row[static_cast<std::size_t>(i)];
    StoredRow<Iq4Nl> stored(32, 0);
    stored.encode(row.data());
    folio::Pack<std::uint8_t, 16> codes;
    alignas(4) std::byte params[4];
    Iq4Nl::encode_by(OneLane(), part, codes, params);
    REQUIRE(std::memcmp(codes.v, stored.codes(), 16) == 0);
    REQUIRE(std::memcmp(params, stored.params(), 4) == 0);
  }
}
