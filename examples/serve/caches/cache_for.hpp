// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// From a head dim, known at run time, and policies to the type of a cache.

#include <cstdint>
#include <folio/folio.hpp>
#include <memory>
#include <type_traits>
#include <utility>

namespace serve {

/// A cache for models of one head dim. One type serves models with and without a sliding window: a window of 2^31 - 1
/// tokens frees nothing.
template <std::int32_t HeadDim, class... Policies>
using CacheFor = folio::KvCache<
    folio::Model<folio::ModelConfig{.head_dim = HeadDim, .groups = {folio::sliding_window(folio::dynamic)}}>,
    Policies...>;

/// Calls make(dim) with the one of `HeadDims` that equals `head_dim`, as an integral constant: a std::unique_ptr to an
/// Adapter, or nullptr when there is none.
template <class Adapter, std::int32_t... HeadDims, class Make>
std::unique_ptr<Adapter> for_head_dim(std::integer_sequence<std::int32_t, HeadDims...>, std::int32_t head_dim,
                                      Make const& make) {
  std::unique_ptr<Adapter> adapter;
  (void)((HeadDims == head_dim && (adapter = make(std::integral_constant<std::int32_t, HeadDims>()), true)) || ...);
  return adapter;
}

}  // namespace serve
