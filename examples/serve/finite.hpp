// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// NaN and infinity: seen in what the last layer and the logits hold, where all that a layer does ends, and explained by
// a second look.

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "caches/contiguous_cache.hpp"
#include "model/llama.hpp"

namespace serve {

/// Whether no number is NaN or infinite. Cost: one pass, which vectorizes.
[[nodiscard]] inline bool all_finite(std::span<float const> numbers) {
  std::uint32_t largest = 0;  // a float's magnitude orders as its bits do, and infinity and NaN are above all others
  for (float const number : numbers) largest = std::max(largest, std::bit_cast<std::uint32_t>(number) & 0x7FFFFFFFu);
  return largest < 0x7F800000u;
}

/// Why a model's numbers of the last of `tokens` are not finite, as the rest of a sentence about them. Looks at every
/// weight, then runs the tokens once more over a plain cache of f32. Cost: reads the model's files, and computes all
/// tokens again.
[[nodiscard]] inline std::string why_not_finite(Llama const& model, std::span<std::int32_t const> tokens) {
  std::string const tensor = model.first_not_finite();
  if (!tensor.empty()) return "because " + tensor;
  ContiguousCache cache(model.config(), static_cast<std::int32_t>(tokens.size()));
  Activations a;
  cache.run(model, tokens, a);
  if (auto const place = cache.first_not_finite())
    return "though all weights are: the first numbers beyond the range of a float are those of token " +
           std::to_string(place->token + 1) + " before the keys and values of layer " + std::to_string(place->layer);
  std::vector<float> logits;
  std::int64_t const last = static_cast<std::int64_t>(tokens.size()) - 1;
  model.logits({&last, 1}, a, logits, nullptr);
  if (!all_finite(logits))
    return "though all weights are: the first numbers beyond the range of a float are after the keys and values of the "
           "last layer, " +
           std::to_string(model.config().layers - 1);
  return "though all weights are, and over a plain cache of f32 these numbers are, too";
}

}  // namespace serve
