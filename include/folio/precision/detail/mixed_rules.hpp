// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What operations over two formats ask and refuse, on the host and on the device. Host only.

#include <folio/attention/params.hpp>
#include <folio/error.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <limits>

namespace folio::ops::detail {

inline void check_mixed(AttentionParams const& params) {
  if (params.token_begin > 0 || params.token_end != std::numeric_limits<std::int32_t>::max())
    throw Error(
        "folio: attend over two formats takes no range of tokens; attend over view.recent or view.demoted for a part");
  if (params.alibi_slopes != nullptr)
    throw Error("folio: attend over two formats has no ALiBi: a token's place in one of them is not its position");
}

/// What the demoted tokens are asked with: all of them come before every query.
[[nodiscard]] inline AttentionParams of_demoted(AttentionParams params) {
  params.causal = false;
  params.tree_mask = nullptr;    // the step's tokens are not among them
  params.sink_logits = nullptr;  // in the softmax once, with the recent tokens
  return params;
}

/// Refuses what kernels neither write nor read.
template <class View>
constexpr void check_rows_alone() {
  using Demoted = decltype(View::demoted);
  static_assert(!is_tile_format<typename Demoted::KeyQuantizer> && !is_tile_format<typename Demoted::ValueQuantizer>,
                "folio: this cache demotes to a format whose tokens are encoded in tiles, which the device does not: "
                "there demote to one whose rows stand alone, such as Int8PerToken or Int4Rotated");
}

}  // namespace folio::ops::detail
