// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Two formats that the library does not have, as a user would write them: a row's size, and codes that stand for any
// numbers. Host only.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <folio/quantizer/basis.hpp>
#include <folio/quantizer/float_formats.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <folio/quantizer/scaling.hpp>
#include <limits>
#include <numbers>

namespace folio::test {

/// The 2^Bits numbers that leave the smallest mean squared error of N(0, 1) (Lloyd 1957, Max 1960): each is the mean of
/// those that are nearest to it. Found by repeating that, from an even grid.
template <int Bits>
struct LloydMax {
  static constexpr int bits = Bits;
  static constexpr std::size_t size = std::size_t{1} << Bits;
  static constexpr char const* name = Bits == 1   ? "lloyd_max1"
                                      : Bits == 2 ? "lloyd_max2"
                                      : Bits == 3 ? "lloyd_max3"
                                                  : "lloyd_max4";
  struct Found {
    std::array<double, size> numbers;
    double error;  ///< the mean squared one: 1 - sum of share * number^2, because the numbers are means
  };

  [[nodiscard]] static Found const& found() {
    static Found const result = [] {
      Found made{};
      for (std::size_t i = 0; i < size; ++i) made.numbers[i] = (static_cast<double>(i) + 0.5) * 6 / size - 3;
      for (int repeat = 0; repeat < 5000; ++repeat) made = improved(made.numbers);
      return made;
    }();
    return result;
  }
  [[nodiscard]] static double number(std::size_t code) { return found().numbers[code]; }

 private:
  [[nodiscard]] static Found improved(std::array<double, size> const& numbers) {
    double const infinity = std::numeric_limits<double>::infinity();
    auto const density = [](double x) { return std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi); };
    auto const below = [](double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); };
    Found better{{}, 1};
    for (std::size_t i = 0; i < size; ++i) {
      double const low = i == 0 ? -infinity : 0.5 * (numbers[i - 1] + numbers[i]);
      double const high = i + 1 == size ? infinity : 0.5 * (numbers[i] + numbers[i + 1]);
      double const share = below(high) - below(low);
      better.numbers[i] = (density(low) - density(high)) / share;
      better.error -= share * better.numbers[i] * better.numbers[i];
    }
    return better;
  }
};

/// An even grid with as many numbers above 0 as below, and no 0: of 2 bits its step is 0.99, of 1 bit 2 * sqrt(2 / pi),
/// by which +-1 steps are the means of both halves.
template <int Bits>
struct MidRise {
  static_assert(Bits == 1 || Bits == 2);
  static constexpr int bits = Bits;
  static constexpr std::size_t size = std::size_t{1} << Bits;
  static constexpr char const* name = Bits == 1 ? "mid_rise1" : "mid_rise2";
  [[nodiscard]] static double number(std::size_t code) {
    double const step = Bits == 1 ? 2 * std::sqrt(2 / std::numbers::pi) : 0.99;
    return (static_cast<double>(code) - 0.5 * (size - 1)) * step;
  }
};

/// A row, rotated, as one f16 (the root of its mean square) times numbers of a codebook for N(0, 1), by the nearest of
/// which each element is stored. Of LloydMax this is TurboQuant-MSE (arXiv 2504.19874), with randomized Hadamard
/// rotation. Elements saturate at 65504, a NaN is 0.
template <class Codebook>
struct SizeAndCodes {
  static constexpr char const* name = Codebook::name;
  static constexpr int bits = Codebook::bits;
  static constexpr Basis basis = Basis::randomized_hadamard;
  static constexpr RowFormat row_format{Elements::decoded};
  struct Params {
    float size;
  };

  /// What is needed of the 4 bytes that are a row's least: the rest is zero.
  static constexpr std::int32_t used_param_bytes = 2;
  static constexpr std::int32_t param_bytes(std::int32_t) { return 4; }

  static void encode(float const* row, std::int32_t dim, std::byte* codes, std::byte* params) {
    std::array<float, max_row_dim> rotated;
    for (std::int32_t i = 0; i < dim; ++i) rotated[at(i)] = finite_within(row[i], f16_max);
    change_basis(basis, rotated.data(), dim, dim);
    double squares = 0;
    for (std::int32_t i = 0; i < dim; ++i) squares += std::pow(double{rotated[at(i)]}, 2);
    std::uint16_t const half = f32_to_f16(saturate(static_cast<float>(std::sqrt(squares / dim)), f16_max));
    std::uint32_t const word = half;
    std::memcpy(params, &word, sizeof(word));
    double const size = f16_to_f32(half);
    std::memset(codes, 0, static_cast<std::size_t>(dim * bits / 8));
    for (std::int32_t i = 0; i < dim; ++i) {
      double const element = size == 0 ? 0 : double{rotated[at(i)]} / size;
      std::uint32_t code = 0;
      while (code + 1 < Codebook::size && element > 0.5 * (Codebook::number(code) + Codebook::number(code + 1))) ++code;
      for (int b = 0; b < bits; ++b)
        if ((code >> b & 1U) != 0) codes[(i * bits + b) / 8] |= std::byte{1} << ((i * bits + b) % 8);
    }
  }

  static Params load_params(std::byte const* params, std::int32_t) {
    return {f16_to_f32(static_cast<std::uint16_t>(load_param<std::uint32_t>(params)))};
  }

  template <int N>
  static void decode(std::byte const* codes, Params const& params, float* out) {
    for (int i = 0; i < N; ++i) {
      std::size_t code = 0;
      for (int b = 0; b < bits; ++b)
        code |= std::to_integer<std::size_t>(codes[(i * bits + b) / 8] >> ((i * bits + b) % 8) & std::byte{1}) << b;
      out[i] = static_cast<float>(Codebook::number(code)) * params.size;
    }
  }

 private:
  static constexpr std::size_t at(std::int32_t i) { return static_cast<std::size_t>(i); }
};

template <int Bits>
using TurboQuant = SizeAndCodes<LloydMax<Bits>>;
template <int Bits>
using RmsMidRise = SizeAndCodes<MidRise<Bits>>;

static_assert(QuantizerPolicy<TurboQuant<4>> && QuantizerPolicy<TurboQuant<1>> && QuantizerPolicy<RmsMidRise<2>>);

}  // namespace folio::test
