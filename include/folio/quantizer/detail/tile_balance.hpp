// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Factors for the tokens and the channels of a tile that make them alike. Host only.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <folio/quantizer/quantizer.hpp>

namespace folio {

enum class TileAxis : std::uint8_t { tokens, channels };

/// Rows [tokens][dim].
struct TileRows {
  float const* rows;
  std::int32_t tokens, dim;

  [[nodiscard]] std::int32_t size(TileAxis axis) const { return axis == TileAxis::tokens ? tokens : dim; }
};

namespace detail {

/// A number for each token or each channel of a tile: `n` of them, 0 at first, `capacity` at the most. On the stack, so
/// that encoding a tile cannot fail for want of memory.
template <std::int32_t capacity>
class AxisNumbers {
 public:
  explicit AxisNumbers(std::int32_t n) : size_(n) {}
  [[nodiscard]] std::int32_t size() const { return size_; }
  [[nodiscard]] double* begin() { return numbers_; }
  [[nodiscard]] double* end() { return numbers_ + size_; }
  [[nodiscard]] double const* begin() const { return numbers_; }
  [[nodiscard]] double const* end() const { return numbers_ + size_; }
  [[nodiscard]] double& operator[](std::int32_t i) { return numbers_[i]; }
  [[nodiscard]] double operator[](std::int32_t i) const { return numbers_[i]; }

 private:
  double numbers_[std::size_t{capacity}] = {};
  std::int32_t size_;
};

/// The standard deviation (unbiased) of each token over its elements, or of each channel over the tokens, of the tile
/// divided by exp(log_token[t] + log_channel[d]). In double precision, because a channel's mean can be large beside it.
template <class Numbers>
void tile_deviations(TileRows const& tile, TileAxis axis, Numbers const& log_token, Numbers const& log_channel,
                     Numbers& deviations) {
  bool const of_tokens = axis == TileAxis::tokens;
  Numbers other((of_tokens ? log_channel : log_token).size()), sums(deviations.size()), squares(sums);
  for (std::int32_t i = 0; i < other.size(); ++i) other[i] = std::exp(-(of_tokens ? log_channel : log_token)[i]);
  for (std::int32_t t = 0; t < tile.tokens; ++t) {
    float const* const row = tile.rows + std::int64_t{t} * tile.dim;
    double sum = 0, square = 0;
    for (std::int32_t d = 0; d < tile.dim; ++d) {
      double const x = double{row[d]} * other[of_tokens ? d : t];
      if (of_tokens) {
        sum += x;
        square += x * x;
      } else {
        sums[d] += x;
        squares[d] += x * x;
      }
    }
    if (of_tokens) sums[t] = sum, squares[t] = square;
  }
  double const n = tile.size(of_tokens ? TileAxis::channels : TileAxis::tokens);
  for (std::int32_t i = 0; i < deviations.size(); ++i)
    deviations[i] = std::sqrt(std::max(0.0, (squares[i] - sums[i] * sums[i] / n) / (n - 1))) *
                    std::exp(-(of_tokens ? log_token : log_channel)[i]);
}

/// Takes a share of the deviations into the logarithms of the factors, within KVarN's bounds, and out of the
/// deviations.
template <class Numbers>
void take_in(Numbers& deviations, Numbers& logs) {
  for (std::int32_t i = 0; i < logs.size(); ++i) {
    double const next = std::clamp(logs[i] + std::log(std::clamp(deviations[i], 1e-3, 1e3)), -0.3, 10.0);
    deviations[i] *= std::exp(logs[i] - next);
    logs[i] = next;
  }
}

template <class Numbers>
[[nodiscard]] double spread(Numbers const& deviations) {
  auto const [least, most] = std::minmax_element(deviations.begin(), deviations.end());
  return *most / std::max(*least, 1e-8);
}

}  // namespace detail

/// KVarN's balancing: factors for the tokens, or the channels, by which a tile is divided before it is quantized along
/// the other axis. In each of `rounds` rounds the factors of `axis` take in its standard deviations, and then those of
/// the other axis theirs; the round after which the spread is least is kept, the later of equals. Spread: the largest
/// deviation of a token by the smallest, plus the same for channels. Writes tile.size(axis) positive factors.
///
/// The tile is scaled by a power of two first, so that the smallest deviation along `axis` is from 1 to 2; the bounds
/// on logarithms, -0.3 and 10, are KVarN's. Ends early when a round changes the spread by less than 1e-6. Pure, but for
/// the last places of std::exp and std::log, which C libraries round differently.
///
/// The tile has up to `most_tokens` tokens and max_row_dim channels. Takes no memory but 64 bytes of stack for each of
/// the larger of the two: 64 KiB up to 1024 tokens.
template <std::int32_t most_tokens>
void balance_tile(TileRows const& tile, TileAxis axis, float* factors, int rounds = 16) {
  using detail::spread;
  using Numbers = detail::AxisNumbers<std::max(most_tokens, max_row_dim)>;
  TileAxis const other = axis == TileAxis::tokens ? TileAxis::channels : TileAxis::tokens;
  Numbers kept(tile.size(axis)), second(tile.size(other));
  auto& log_token = axis == TileAxis::tokens ? kept : second;
  auto& log_channel = axis == TileAxis::tokens ? second : kept;
  Numbers along(kept.size()), across(second.size());
  detail::tile_deviations(tile, axis, log_token, log_channel, along);
  double const largest = *std::max_element(along.begin(), along.end());
  double smallest = largest;
  for (double const x : along)
    if (x > largest * 1e-6) smallest = std::min(smallest, x);
  int exponent = 0;
  if (smallest > 0) std::frexp(smallest, &exponent);
  double const unit = std::ldexp(1.0, exponent - 1);  // what the tile is divided by
  auto const measure = [&](TileAxis of, Numbers& deviations) {
    detail::tile_deviations(tile, of, log_token, log_channel, deviations);
    for (double& x : deviations) x /= unit;
  };
  measure(axis, along);
  measure(other, across);
  double least = spread(along) + spread(across), before = least;
  Numbers best = kept;
  for (int round = 0; round < rounds; ++round) {
    detail::take_in(along, kept);
    measure(other, across);
    detail::take_in(across, second);
    measure(axis, along);
    double const now = spread(along) + spread(across);
    if (now <= least) {
      least = now;
      best = kept;
    }
    if (std::fabs(now - before) < 1e-6) break;
    before = now;
  }
  for (std::int32_t i = 0; i < best.size(); ++i) factors[i] = static_cast<float>(std::exp(best[i]) * unit);
}

}  // namespace folio
