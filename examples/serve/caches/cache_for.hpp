// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// From a head dim, known at run time, and policies to the type of a cache.

#include <cstddef>
#include <cstdint>
#include <folio/eviction/fair.hpp>
#include <folio/folio.hpp>
#include <memory>
#include <type_traits>
#include <utility>

#include "../paged_cache.hpp"

namespace serve {

/// A cache for models of one head dim. One type serves models with and without a sliding window: a window of 2^31 - 1
/// tokens frees nothing. Prefixes are kept; the least recently used go first, of the tenant that keeps the most for its
/// share.
template <std::int32_t HeadDim, class... Policies>
using CacheFor = folio::KvCache<
    folio::Model<folio::ModelConfig{.head_dim = HeadDim, .groups = {folio::sliding_window(folio::dynamic)}}>,
    folio::BlockSize<16>, folio::FairEviction<folio::LruEviction>, Policies...>;

/// Calls make(dim) with the one of `HeadDims` that equals `head_dim`, as an integral constant: a unique_ptr, or nullptr
/// when there is none.
template <std::int32_t... HeadDims, class Make>
std::unique_ptr<PagedCache> for_head_dim(std::integer_sequence<std::int32_t, HeadDims...>, std::int32_t head_dim,
                                         Make const& make) {
  std::unique_ptr<PagedCache> cache;
  (void)((HeadDims == head_dim && (cache = make(std::integral_constant<std::int32_t, HeadDims>()), true)) || ...);
  return cache;
}

}  // namespace serve
