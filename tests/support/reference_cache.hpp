// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A flat, obvious cache: each sequence is a list of tokens, each token its rows, each row plain floats. No blocks, no
// sharing that could go wrong. What the paged cache holds must be this, bit by bit.

#include <cstdint>
#include <memory>
#include <vector>

namespace folio::test {

/// What a token wrote in one layer: [kv head][dim] as the quantizer gives it back, keys and values.
struct LayerRows {
  std::vector<float> keys, values;
};

/// One written token. Immutable, so forks may share it.
using TokenRows = std::shared_ptr<std::vector<LayerRows> const>;  // [layer]

/// A sequence: its tokens in order.
using ReferenceSequence = std::vector<TokenRows>;

/// A token that stands for a prefix: the hash of the symbols up to its own, so that all who write it write the same.
/// `before`: that of the token before; 1 for the first.
inline std::uint32_t token_after(std::uint32_t before, std::int32_t symbol) {
  return (before ^ static_cast<std::uint32_t>(symbol + 17)) * 0x9E3779B1U ^ before >> 15;
}

/// Element `dim` of the key (plane 0) or value (plane 1) that `token` writes at `position`: any function that differs
/// in every argument does. Values from -4 to 4, with an outlier in dim 0 of keys, as real keys have.
inline float written(std::uint32_t token, std::int32_t position, std::int32_t layer, std::int32_t head, int plane,
                     std::int32_t dim) {
  std::uint64_t x = token * 0x9E3779B97F4A7C15ULL + static_cast<std::uint64_t>(position) * 0xBF58476D1CE4E5B9ULL;
  x += static_cast<std::uint64_t>(((layer * 64 + head) * 2 + plane) * 1024 + dim) * 0x94D049BB133111EBULL;
  x ^= x >> 30;
  x *= 0xBF58476D1CE4E5B9ULL;
  x ^= x >> 27;
  float const unit = static_cast<float>(x >> 40) / static_cast<float>(1 << 24);
  float const outlier = plane == 0 && dim == 0 ? 10.0F : 1.0F;
  return (unit * 8 - 4) * outlier;
}

}  // namespace folio::test
