// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Norms of stored keys, which a retention policy may choose by. Host only.

#include <cmath>
#include <cstdint>
#include <folio/error.hpp>
#include <folio/executor.hpp>
#include <folio/kernels/rows.hpp>
#include <folio/kernels/token_range.hpp>
#include <folio/kernels/with_group.hpp>

namespace folio::ops {

namespace detail {

/// Throws Error where there is no place for the norms of these tokens.
inline void check_norms(float const* norms, Tokens const& tokens) {
  if (norms == nullptr && tokens.count > 0) throw Error("folio: key_norms needs a place for the norms; norms is null");
}

}  // namespace detail

/// Key norms: the L2 norm of each stored key of some tokens of a sequence in one layer, times `factor`.
///
/// `norms`: [kv_heads][tokens.count], of the keys as they are stored, so after quantization; a rotated format keeps
/// norms. In a latent layer the rotary part counts as well. Tokens whose keys are short draw the most attention (Devoto
/// et al., arXiv:2406.11430), so that a retention policy keeps the smallest norms: with the factor -1 they are scores
/// for top_k, which keeps the largest. It needs no queries, unlike accumulate_scores.
///
/// Throws Error, before anything is written, for a sequence, layer or range that does not exist, for tokens that were
/// given back when they left a window, or where `norms` is null. Cost: one pass over the keys, shared over `threads`.
template <HostReadableView View>
void key_norms(View const& view, std::int32_t layer, Tokens const& tokens, float* norms, float factor = 1,
               Executor threads = {}) {
  with_group(view, layer, [&](auto group, std::int32_t index) {
    check_sequence(view, tokens);
    auto const sequence = view.template sequence_in<group()>(tokens.sequence, index);
    check_tokens(sequence, tokens);
    detail::check_norms(norms, tokens);
    GroupShape const shape = sequence.shape();
    parallel_for(threads, tokens.count, [&](std::int64_t i) {
      auto const token = static_cast<std::int32_t>(tokens.first + i);
      for (std::int32_t head = 0; head < shape.kv_heads; ++head) {
        float row[max_row_dim];
        load_row(sequence.key(head, token), shape.key_dim, row);
        float sum = 0;
        for (std::int32_t d = 0; d < shape.key_dim; ++d) sum += row[d] * row[d];
        norms[std::int64_t{head} * tokens.count + i] = factor * std::sqrt(sum);
      }
    });
  });
}

}  // namespace folio::ops
