// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a cache's formats make of rows, as functions: so that --check can keep the same numbers in plain arrays.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/quantizer/basis.hpp>
#include <folio/quantizer/f32.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <type_traits>
#include <vector>

namespace serve {

/// What is left of rows once they were stored and read again, in place: of `dim` elements.
using RoundRow = void (*)(float* row, std::int32_t dim);

struct RoundRows {
  RoundRow keys = nullptr, values = nullptr;  ///< null: rows are stored as they are
};

/// What attention reads of a step's own tokens: their keys and values as they were computed, or what the cache's format
/// has made of them, as of older tokens.
enum class OwnTokens : std::uint8_t { exact, stored };

/// How attention over a folio::KvCache reads them where they are `asked` for: one of f32 stores them exactly, and what
/// is stored is read.
template <class Cache>
[[nodiscard]] constexpr OwnTokens own_tokens_of(OwnTokens asked) {
  constexpr bool stores_all_bits = std::is_same_v<typename Cache::KeyQuantizer, folio::F32> &&
                                   std::is_same_v<typename Cache::ValueQuantizer, folio::F32>;
  return stores_all_bits ? OwnTokens::stored : asked;
}

/// The formats of a cache, and when tokens get the second one.
struct StoredRows {
  RoundRows first = {}, demoted = {};
  OwnTokens own_tokens = OwnTokens::stored;
  std::int32_t sinks = 0, unit = 0, recent_window = 0;  ///< whole units after the sinks are demoted; 0: none are

  /// Whether it matters for a later token which tokens were computed in one step.
  [[nodiscard]] bool depend_on_steps() const { return unit != 0 || own_tokens == OwnTokens::exact; }

  /// Tokens that are demoted when a sequence of so many has run its step.
  [[nodiscard]] std::int32_t demoted_end(std::int32_t num_tokens) const {
    if (unit == 0) return 0;
    return sinks + std::max(0, num_tokens - recent_window - sinks) / unit * unit;
  }
};

/// Stores a row and reads it again.
template <folio::QuantizerPolicy Q>
void round_row(float* row, std::int32_t dim) {
  alignas(16) std::byte codes[folio::max_row_dim * 4] = {}, params[folio::max_row_dim] = {};
  float decoded[folio::max_row_dim];
  Q::encode(row, dim, codes, params);
  folio::decode_row<Q>(codes, params, dim, decoded);
  folio::change_basis(Q::basis, decoded, dim, dim);
  std::copy_n(decoded, dim, row);
}

template <class Formats>
[[nodiscard]] RoundRows round_rows() {
  return {round_row<typename Formats::KeyQuantizer>, round_row<typename Formats::ValueQuantizer>};
}

/// Those of a folio::KvCache.
template <class Cache>
[[nodiscard]] StoredRows stored_rows(Cache const& cache) {
  StoredRows rows{.first = round_rows<Cache>()};
  if constexpr (Cache::has_demotion) {
    rows.demoted = round_rows<typename Cache::Demotion::Set>();
    rows.sinks = cache.sinks();
    rows.unit = cache.demotion_unit();
    rows.recent_window = cache.recent_window();
  }
  return rows;
}

}  // namespace serve
