// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstring>
#include <folio/quantizer/channel_tile.hpp>
#include <folio/quantizer/two_sided_tile.hpp>
#include <limits>
#include <random>
#include <vector>

#include "support/catch.hpp"

using namespace folio;

namespace {

/// A tile encoded: its bytes, and integers and floats read back.
template <class Q>
struct Encoded {
  std::vector<std::byte> codes, params;
  std::vector<int> integers;
  std::vector<float> floats;  ///< in Q's basis

  /// `before`: what the memory of the tile held.
  Encoded(std::vector<float> rows, std::int32_t dim, std::byte before = std::byte{0xA5})
      : codes(static_cast<std::size_t>(Q::tile_tokens * code_bytes<Q>(dim)), before),
        params(static_cast<std::size_t>(Q::tile_param_bytes(dim)), before),
        floats(rows.size()) {
    Q::encode_tile(rows.data(), dim, codes.data(), params.data());
    for (std::int32_t t = 0; t < Q::tile_tokens; ++t)
      for (std::int32_t d = 0; d < dim; d += 8) {
        alignas(16) std::byte part[16];
        std::memcpy(part, codes.data() + t * code_bytes<Q>(dim) + code_bytes<Q>(d), std::size_t{Q::bits});
        Q::template decode<8>(part, Q::load_params(params.data(), d, t), floats.data() + t * dim + d);
        auto const unpacked = unpack_bits<Q::bits, 8>(load_codes<std::uint8_t, Q::bits>(part));
        integers.insert(integers.end(), unpacked.v, unpacked.v + 8);
      }
  }
};

std::vector<float> normal_rows(std::int32_t tokens, std::int32_t dim, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> rows;
  for (std::int32_t i = 0; i < tokens * dim; ++i) {  // Box and Muller: the same numbers with every library
    double const u = (double(random()) + 1) / 4294967297.0, v = double(random()) / 4294967296.0;
    rows.push_back(static_cast<float>(std::sqrt(-2 * std::log(u)) * std::cos(6.283185307179586 * v)));
  }
  return rows;
}

double squared_error(std::vector<float> const& a, std::vector<float> const& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
  return sum / static_cast<double>(a.size());
}

template <class Q>
double distortion() {
  double sum = 0;
  for (unsigned seed = 1; seed <= 8; ++seed) {
    auto const rows = normal_rows(Q::tile_tokens, 128, seed);
    sum += squared_error(rows, Encoded<Q>(rows, 128).floats);
  }
  return sum / 8;
}

/// KVarN's published steps in double precision (kvarn_store_tile_k), written from their description: the factors of the
/// tokens, after which each channel gets its grid.
std::vector<double> reference_token_factors(std::vector<float> const& rows, int tokens, int dim, int rounds) {
  std::vector<double> log_c(static_cast<std::size_t>(tokens)), log_r(static_cast<std::size_t>(dim)),
      best(log_c.size(), 1);
  auto const at = [&](int t, int d) {
    return double{rows[static_cast<std::size_t>(t * dim + d)]} / std::exp(log_c[static_cast<std::size_t>(t)]) /
           std::exp(log_r[static_cast<std::size_t>(d)]);
  };
  auto const deviation = [](auto const& element, int n) {
    double mean = 0, square = 0;
    for (int i = 0; i < n; ++i) mean += element(i) / n;
    for (int i = 0; i < n; ++i) square += (element(i) - mean) * (element(i) - mean);
    return std::sqrt(square / (n - 1));
  };
  auto const of_token = [&](int t) { return deviation([&](int d) { return at(t, d); }, dim); };
  auto const of_channel = [&](int d) { return deviation([&](int t) { return at(t, d); }, tokens); };
  auto const imbalance = [&] {
    double least[2] = {1e300, 1e300}, most[2] = {};
    for (int t = 0; t < tokens; ++t)
      least[0] = std::min(least[0], of_token(t)), most[0] = std::max(most[0], of_token(t));
    for (int d = 0; d < dim; ++d)
      least[1] = std::min(least[1], of_channel(d)), most[1] = std::max(most[1], of_channel(d));
    return most[0] / std::max(least[0], 1e-8) + most[1] / std::max(least[1], 1e-8);
  };
  auto const take_in = [](std::vector<double>& logs, auto const& of) {
    std::vector<double> next;
    for (std::size_t i = 0; i < logs.size(); ++i)
      next.push_back(std::clamp(logs[i] + std::log(std::clamp(of(static_cast<int>(i)), 1e-3, 1e3)), -0.3, 10.0));
    logs = next;
  };
  double least = imbalance();
  for (int round = 0; round < rounds; ++round) {
    take_in(log_c, of_token);
    take_in(log_r, of_channel);
    double const now = imbalance();
    if (now > least) continue;
    least = now;
    for (std::size_t t = 0; t < best.size(); ++t) best[t] = std::exp(log_c[t]);
  }
  return best;
}

/// And its grids: rounded to no shorter format.
std::vector<float> reference_two_sided(std::vector<float> const& rows, int tokens, int dim, int bits,
                                       std::vector<int>& integers) {
  auto const factors = reference_token_factors(rows, tokens, dim, 16);
  std::vector<float> decoded(rows.size());
  integers.assign(rows.size(), 0);
  for (int d = 0; d < dim; ++d) {
    auto const balanced = [&](int t) {
      return rows[static_cast<std::size_t>(t * dim + d)] / factors[static_cast<std::size_t>(t)];
    };
    double low = balanced(0), high = low;
    for (int t = 1; t < tokens; ++t) low = std::min(low, balanced(t)), high = std::max(high, balanced(t));
    double const scale = std::max((high - low) / ((1 << bits) - 1), 1e-10);
    for (int t = 0; t < tokens; ++t) {
      auto const i = static_cast<std::size_t>(t * dim + d);
      integers[i] = static_cast<int>(std::clamp(std::nearbyint((balanced(t) - low) / scale), 0.0, (1 << bits) - 1.0));
      decoded[i] = static_cast<float>((integers[i] * scale + low) * factors[static_cast<std::size_t>(t)]);
    }
  }
  return decoded;
}

template <int Bits, std::int32_t Tokens, GridSide side = GridSide::channels>
using Plain = TwoSidedTile<Bits, Tokens, side, Basis::model>;

/// The signs of an 8 x 8 tile whose tokens and channels all have the same deviation, times a scale for each token.
std::vector<float> balanced_tile_with_loud_tokens() {
  constexpr float signs[4][4] = {{1, -1, 1, -1}, {-1, 1, -1, 1}, {1, 1, -1, -1}, {-1, -1, 1, 1}};
  constexpr float loudness[4] = {1, 10, 3, 100};
  std::vector<float> rows;
  for (int t = 0; t < 8; ++t)
    for (int d = 0; d < 8; ++d) rows.push_back(signs[d % 4][t % 4] * loudness[t % 4]);
  return rows;
}

}  // namespace

TEST_CASE("a tile format says what an element costs") {
  CHECK(bits_per_element<Int2PerChannel<64>>(128) == 2.5);
  CHECK(bits_per_element<Int2PerChannel<128>>(64) == 2.25);
  CHECK(bits_per_element<Int4PerChannel<64>>(128) == 4.5);
  CHECK(bits_per_element<TwoSidedKeys<4>>(128) == 4.375);
  CHECK(bits_per_element<TwoSidedValues<2>>(128) == 2.375);
  CHECK(bits_per_element<TwoSidedKeys<4, 64>>(128) == 4.625);
  CHECK(bits_per_element<TwoSidedValues<2, 64>>(128) == 2.5);
  CHECK(std::string(Int2PerChannel<64>::name) == "int2_channel_t64");
  CHECK(std::string(TwoSidedKeys<4>::name) == "int4_two_sided_keys_t128");
  CHECK(std::string(Int2TwoSidedValues<64>::name) == "int2_two_sided_values_t64");
}

TEST_CASE("per channel: what grows along tokens is exact, and constants are") {
  using Q = ChannelTile<2, 8>;
  std::vector<float> rows;  // channel d: slope * (t % 4), one of them constant
  constexpr float slopes[8] = {1, 10, 100, 0.5F, -1, -8, 0, 3};
  for (int t = 0; t < 8; ++t)
    for (int d = 0; d < 8; ++d) rows.push_back(d == 6 ? 5.0F : slopes[d] * static_cast<float>(t % 4));
  Encoded<Q> const tile(rows, 8);
  CHECK(tile.floats == rows);
  // Token 1: integers 1 1 1 1 2 2 0 1, from the lowest bits on.
  CHECK(tile.codes[2] == std::byte{0x55});
  CHECK(tile.codes[3] == std::byte{0x4A});
  std::uint16_t of_channel_1[2];
  std::memcpy(of_channel_1, tile.params.data() + 4, 4);
  CHECK(f16_to_f32(of_channel_1[0]) == 10.0F);
  CHECK(f16_to_f32(of_channel_1[1]) == 0.0F);
}

TEST_CASE("per channel: the distortion of normally distributed keys") {
  CHECK(distortion<ChannelTile<2, 32>>() == Approx(0.153).epsilon(0.05));  // KIVI's groups
  CHECK(distortion<ChannelTile<2, 128>>() == Approx(0.251).epsilon(0.05));
  CHECK(distortion<Int2PerChannel<128>>() == Approx(0.118).epsilon(0.05));
  CHECK(distortion<ChannelTile<4, 128>>() == Approx(1.0e-2).epsilon(0.05));
  CHECK(distortion<ChannelTile<4, 128, Basis::model, 92>>() == Approx(9.2e-3).epsilon(0.05));
  CHECK(distortion<ChannelTile<3, 128, Basis::model, 85, 75>>() == Approx(3.4e-2).epsilon(0.05));
}

TEST_CASE("two-sided: KVarN's golden tile, in which tokens are up to 100 times louder than others") {
  auto const rows = balanced_tile_with_loud_tokens();
  Encoded<Plain<2, 8>> const tile(rows, 8);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    CHECK(tile.integers[i] == (rows[i] > 0 ? 3 : 0));
    CHECK(tile.floats[i] == Approx(rows[i]).epsilon(0.001));  // factors and grids are f16
  }
  // One-sided grids destroy the quiet tokens.
  Encoded<ChannelTile<2, 8>> const one_sided(rows, 8);
  for (std::size_t d = 0; d < 8; ++d) CHECK(std::fabs(one_sided.floats[d] - rows[d]) > 1.0F);
  // Twice the tile has the same integers, and decodes to twice.
  auto twice = rows;
  for (float& x : twice) x *= 2;
  Encoded<Plain<2, 8>> const doubled(twice, 8);
  CHECK(doubled.integers == tile.integers);
  for (std::size_t i = 0; i < rows.size(); ++i) CHECK(doubled.floats[i] == 2 * tile.floats[i]);
}

TEST_CASE("two-sided: KVarN's reference steps") {
  for (unsigned const seed : {1U, 2U, 3U}) {
    auto rows = normal_rows(64, 64, seed);
    for (int t = 0; t < 64; ++t)
      for (int d = 0; d < 64; ++d)
        rows[static_cast<std::size_t>(t * 64 + d)] *= (1 + static_cast<float>(t % 7)) * (d == 5 ? 20.0F : 2.0F);
    auto const check = [&](auto const& tile, int bits) {
      std::vector<int> integers;
      auto const decoded = reference_two_sided(rows, 64, 64, bits, integers);
      int different = 0;
      for (std::size_t i = 0; i < integers.size(); ++i) different += integers[i] != tile.integers[i] ? 1 : 0;
      CHECK(different < 64 * 64 / 200);  // where f16 parameters move the border
      CHECK(squared_error(rows, tile.floats) == Approx(squared_error(rows, decoded)).epsilon(0.005));
    };
    check(Encoded<Plain<2, 64>>(rows, 64), 2);
    check(Encoded<Plain<4, 64>>(rows, 64), 4);
  }
}

TEST_CASE("two-sided: integers are the nearest for the parameters as they are stored") {
  using Q = Plain<4, 64>;
  auto const rows = normal_rows(64, 64, 8);
  Encoded<Q> const tile(rows, 64);
  for (std::int32_t t = 0; t < 64; ++t)
    for (std::int32_t d = 0; d < 64; ++d) {
      auto const i = static_cast<std::size_t>(t * 64 + d);
      auto const params = Q::load_params(tile.params.data(), d / 8 * 8, t);
      float const step = params.grids.scale[d % 8] * params.factor;
      bool const at_an_end = tile.integers[i] == 0 || tile.integers[i] == 15;
      REQUIRE((at_an_end || std::fabs(tile.floats[i] - rows[i]) <= 0.5001F * step));
    }
}

TEST_CASE("two-sided: values are keys with tokens and channels in each other's place") {
  auto const rows = normal_rows(64, 64, 9);
  std::vector<float> turned(rows.size());
  for (std::size_t t = 0; t < 64; ++t)
    for (std::size_t d = 0; d < 64; ++d) turned[d * 64 + t] = rows[t * 64 + d] * static_cast<float>(1 + t);
  std::vector<float> scaled(rows.size());
  for (std::size_t t = 0; t < 64; ++t)
    for (std::size_t d = 0; d < 64; ++d) scaled[t * 64 + d] = turned[d * 64 + t];
  Encoded<Plain<2, 64, GridSide::tokens>> const values(turned, 64);
  Encoded<Plain<2, 64>> const keys(scaled, 64);
  bool same = true;
  for (std::size_t t = 0; t < 64; ++t)
    for (std::size_t d = 0; d < 64; ++d) same = same && values.floats[d * 64 + t] == keys.floats[t * 64 + d];
  CHECK(same);
}

TEST_CASE("two-sided: the distortion of normally distributed rows") {
  CHECK(distortion<Plain<2, 128>>() == Approx(0.251).epsilon(0.05));
  CHECK(distortion<Plain<4, 128, GridSide::tokens>>() == Approx(1.0e-2).epsilon(0.05));
  CHECK(distortion<TwoSidedTile<2, 128, GridSide::channels, Basis::model, 70, 58, 48>>() ==
        Approx(0.118).epsilon(0.05));
  CHECK(distortion<TwoSidedTile<2, 128, GridSide::tokens, Basis::model, 70, 58, 48>>() == Approx(0.118).epsilon(0.05));
}

TEST_CASE("two-sided: the size of a tile does not matter, small keys are balanced as large ones") {
  auto rows = normal_rows(64, 64, 4);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] *= static_cast<float>(1 + i / 64 % 5);
  auto const relative = [&](float size) {
    auto scaled = rows;
    for (float& x : scaled) x *= size;
    return squared_error(scaled, Encoded<Plain<2, 64>>(scaled, 64).floats) / (double{size} * size);
  };
  double const expected = relative(1);
  CHECK(relative(0.01F) == Approx(expected).epsilon(0.02));
  CHECK(relative(0.001F) == Approx(expected).epsilon(0.02));
  CHECK(relative(100.0F) == Approx(expected).epsilon(0.02));
}

TEST_CASE("two-sided: rotated rows with a loud channel and loud tokens, and the cuts of 2 bits") {
  auto rows = normal_rows(128, 128, 5);
  for (std::size_t t = 0; t < 128; ++t) {
    rows[t * 128 + 3] = 40 + rows[t * 128 + 3];
    for (std::size_t d = 0; d < 128; ++d) rows[t * 128 + d] *= t % 16 == 0 ? 8.0F : 1.0F;
  }
  auto const error = [&](auto tag) {
    using Q = typename decltype(tag)::type;
    auto decoded = Encoded<Q>(rows, 128).floats;
    for (std::size_t t = 0; t < 128; ++t) change_basis(Q::basis, decoded.data() + t * 128, 128, 128);
    double sum = 0;  // of the quiet tokens
    for (std::size_t t = 1; t < 16; ++t)
      for (std::size_t d = 0; d < 128; ++d) sum += std::pow(double{decoded[t * 128 + d]} - rows[t * 128 + d], 2) / 1920;
    return sum;
  };
  double const one_sided = error(std::type_identity<ChannelTile<2, 128, Basis::hadamard>>{});
  double const two_sided = error(std::type_identity<TwoSidedKeys<2>>{});
  double const cut = error(std::type_identity<Int2TwoSidedKeys<>>{});
  CAPTURE(one_sided, two_sided, cut);
  CHECK(two_sided < one_sided / 4);
  CHECK(cut < 0.9 * two_sided);
}

TEMPLATE_TEST_CASE("a tile is a pure function of its rows, and decodes to finite numbers", "", (ChannelTile<2, 16>),
                   (ChannelTile<3, 16, Basis::hadamard>), (TwoSidedKeys<2, 16>), (TwoSidedValues<4, 16>),
                   (Int2TwoSidedValues<16>)) {
  using Q = TestType;
  constexpr float infinity = std::numeric_limits<float>::infinity();
  auto rows = normal_rows(16, 40, 6);
  // The same bytes over other garbage, after other tiles, and of rows that lie elsewhere.
  Encoded<Q> const first(rows, 40);
  auto const others = normal_rows(16, 40, 7);
  for (std::byte const before : {std::byte{0x00}, std::byte{0xFF}}) {
    CHECK(Encoded<Q>(others, 40).codes != first.codes);
    std::vector<float> elsewhere(rows.size() + 1);
    std::copy(rows.begin(), rows.end(), elsewhere.begin() + 1);
    Encoded<Q> again(others, 40, before);
    Q::encode_tile(elsewhere.data() + 1, 40, again.codes.data(), again.params.data());
    CHECK(again.codes == first.codes);
    CHECK(again.params == first.params);
    CHECK(Encoded<Q>(rows, 40, before).codes == first.codes);
    CHECK(Encoded<Q>(rows, 40, before).params == first.params);
  }
  rows[3] = std::numeric_limits<float>::quiet_NaN();
  rows[50] = infinity;
  rows[90] = -infinity;
  rows[130] = 3e38F;
  rows[200] = 1e-42F;
  for (std::size_t d = 0; d < 40; ++d) rows[6 * 40 + d] = 0;  // a token and a channel of zeros
  for (std::size_t t = 0; t < 16; ++t) rows[t * 40 + 7] = 0;
  for (std::size_t d = 0; d < 40; ++d) rows[7 * 40 + d] = infinity;
  for (float const x : Encoded<Q>(rows, 40).floats) REQUIRE(std::isfinite(x));
  std::vector<float> const zeros(16 * 40);
  CHECK(Encoded<Q>(zeros, 40).floats == zeros);
  // What a null block holds reads as zeros.
  std::vector<std::byte> const nothing(static_cast<std::size_t>(Q::tile_param_bytes(40)));
  alignas(16) std::byte const codes[16] = {};
  float out[8];
  Q::template decode<8>(codes, Q::load_params(nothing.data(), 32, 15), out);
  for (float const x : out) CHECK(x == 0.0F);
}
