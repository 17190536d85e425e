// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Rotary position embeddings: the frequencies, their stretching for long contexts, and the rotation of a head.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <span>
#include <utility>
#include <vector>

#include "llama_config.hpp"

namespace serve {

/// The pairs of dims between which YaRN goes over from frequencies as they are to frequencies divided by its factor.
[[nodiscard]] inline std::pair<double, double> yarn_bounds(LlamaConfig const& config) {
  RopeScaling const& scaling = config.rope_scaling;
  auto const pair_that_turns = [&](double times) {
    double const positions_per_turn = static_cast<double>(scaling.original_context) / (times * 2 * std::numbers::pi);
    return config.head_dim * std::log(positions_per_turn) / (2 * std::log(config.rope_theta));
  };
  double low = pair_that_turns(scaling.beta_fast), high = pair_that_turns(scaling.beta_slow);
  if (scaling.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0);
  high = std::min(high, config.head_dim - 1.0);
  return {low, low == high ? high + 0.001 : high};
}

/// The angle per position of each pair of dims: theta^(-2i/head_dim), scaled as the config says.
/// Llama 3 keeps high frequencies, divides low ones by `factor`, and blends in between ("The Llama 3 Herd of Models",
/// arXiv:2407.21783). YaRN blends by the pair's place between those that turn beta_fast and beta_slow times in the
/// original context.
[[nodiscard]] inline std::vector<float> rope_frequencies(LlamaConfig const& config) {
  RopeScaling const& scaling = config.rope_scaling;
  auto const [low, high] = yarn_bounds(config);
  std::vector<float> frequencies;
  for (std::int32_t i = 0; i < config.head_dim / 2; ++i) {
    double frequency = std::pow(config.rope_theta, -2.0 * i / config.head_dim);
    if (scaling.kind == RopeScaling::Kind::linear) frequency /= scaling.factor;
    if (scaling.kind == RopeScaling::Kind::llama3) {
      double const wavelength = 2 * std::numbers::pi / frequency;
      auto const original = static_cast<double>(scaling.original_context);
      double const turns = original / wavelength;  // how often this pair turns within the original context
      if (turns < scaling.low_freq_factor) {
        frequency /= scaling.factor;
      } else if (turns <= scaling.high_freq_factor) {
        double const smooth = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
        frequency = (1 - smooth) * frequency / scaling.factor + smooth * frequency;
      }
    }
    if (scaling.kind == RopeScaling::Kind::yarn) {
      double const ramp = std::clamp((i - low) / (high - low), 0.0, 1.0);
      frequency *= ramp / scaling.factor + (1 - ramp);
    }
    frequencies.push_back(static_cast<float>(frequency));
  }
  return frequencies;
}

/// Cosines and sines of a step's positions, [token][head_dim / 2]: computed once per step, used by every layer.
struct RopeTable {
  std::vector<float> cosines, sines;

  /// `factor` multiplies cosines and sines: with it attention's scores grow by its square.
  void fill(std::span<std::int32_t const> positions, std::vector<float> const& frequencies, float factor = 1) {
    cosines.clear();
    sines.clear();
    for (std::int32_t const position : positions)
      for (float const frequency : frequencies) {
        float const angle = static_cast<float>(position) * frequency;
        cosines.push_back(std::cos(angle) * factor);
        sines.push_back(std::sin(angle) * factor);
      }
  }
};

/// Rotates one head in place. Llama-family files pair dim i with dim i + head_dim / 2.
inline void rotate(float* head, float const* cosines, float const* sines, std::int32_t head_dim) {
  std::int32_t const half = head_dim / 2;
  for (std::int32_t i = 0; i < half; ++i) {
    float const a = head[i], b = head[i + half];
    head[i] = a * cosines[i] - b * sines[i];
    head[i + half] = b * cosines[i] + a * sines[i];
  }
}

}  // namespace serve
