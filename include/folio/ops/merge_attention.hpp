// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Joins two partial attentions over different tokens into the attention over all of them. Host only.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <folio/quantizer/float_formats.hpp>
#include <limits>

namespace folio::ops {

/// Merge of attention states: merges attention over some tokens with attention over others, by their log-sum-exp
/// (arXiv:2501.01005, section 2.2).
///
/// `out`, `other_out`: [num_rows][dim]; `lse`, `other_lse`: [num_rows], natural logarithms. The result is left in `out`
/// and `lse`. An empty part (lse = -infinity) changes nothing, whatever its row of `out` holds; two empty parts stay as
/// they are. A NaN in either part's lse gives NaN. Order does not matter but for rounding. An lse counts its part's
/// AttentionParams::sink_logits, so give them to one part only. Cost: one pass.
inline void merge_attention(float* out, float* lse, float const* other_out, float const* other_lse,
                            std::int64_t num_rows, std::int32_t dim) {
  for (std::int64_t row = 0; row < num_rows; ++row) {
    if (is_negative_infinity(other_lse[row])) continue;  // exp(-inf - -inf) would be NaN
    if (is_nan(lse[row]) || is_nan(other_lse[row])) {    // said, and not left to sums of which a compiler expects none
      constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
      std::fill(out + row * dim, out + (row + 1) * dim, not_a_number);
      lse[row] = not_a_number;
      continue;
    }
    if (is_negative_infinity(lse[row])) {
      std::copy(other_out + row * dim, other_out + (row + 1) * dim, out + row * dim);
      lse[row] = other_lse[row];
      continue;
    }
    float const max = std::max(lse[row], other_lse[row]);
    float const mine = std::exp(lse[row] - max), others = std::exp(other_lse[row] - max);
    float const sum = mine + others;
    for (std::int32_t d = 0; d < dim; ++d) {
      float& value = out[row * dim + d];
      value = value * (mine / sum) + other_out[row * dim + d] * (others / sum);
    }
    lse[row] = max + std::log(sum);
  }
}

}  // namespace folio::ops
