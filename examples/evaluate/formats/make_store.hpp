// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// From a head dim, known at run time, and policies to a store.

#include <cstddef>
#include <cstdint>
#include <folio/folio.hpp>
#include <folio/quantizer/channel_tile.hpp>
#include <folio/quantizer/two_sided_tile.hpp>
#include <memory>
#include <vector>

#include "../formats.hpp"
#include "../mixed_store.hpp"
#include "caches/cache_for.hpp"

namespace evaluate {

namespace detail {

/// make(built, config) for the request's model.
template <class Make>
std::unique_ptr<Store> make_store(StoreRequest const& request, Make const& make) {
  return folio::with_model<HeadDims, serve::LayerKinds>(
      serve::shape_of(request.model),
      [&](auto built, folio::CacheConfig const& config) -> std::unique_ptr<Store> { return make(built, config); });
}

template <class... Compressed>
std::unique_ptr<Store> make_mixed_store(StoreRequest const& request, Region region) {
  return make_store(request, [&]<class Built>(Built, folio::CacheConfig const& config) {
    using Cache = typename Built::template Cache<folio::F16, folio::Demote<Compressed...>>;
    return std::make_unique<MixedStore<Cache>>(request, region, config);
  });
}

}  // namespace detail

template <class... Policies>
std::unique_ptr<Store> make_cache_store(StoreRequest const& request) {
  return detail::make_store(request, [&]<class Built>(Built, folio::CacheConfig const& config) {
    return std::make_unique<CacheStore<typename Built::template Cache<Policies...>>>(request, config);
  });
}

/// Keys and values in one format.
template <folio::QuantizerPolicy Q>
std::unique_ptr<Store> make_rows_store(StoreRequest const& request) {
  return make_cache_store<Q>(request);
}

/// Sinks and newest tokens in f16, the others as the policies say.
template <class... Compressed>
std::unique_ptr<Store> make_mixed_store(StoreRequest const& request) {
  return detail::make_mixed_store<Compressed...>(request, {});
}

/// The newest tokens alone in f16.
template <class... Compressed>
std::unique_ptr<Store> make_tail_store(StoreRequest const& request) {
  return detail::make_mixed_store<Compressed...>(request, {.sinks = 0, .recent_window = 64});
}

/// Nothing in f16 but what fills no tile yet.
template <class... Compressed>
std::unique_ptr<Store> make_tile_store(StoreRequest const& request) {
  return detail::make_mixed_store<Compressed...>(request, {.sinks = 0, .recent_window = 0});
}

template <folio::QuantizerPolicy Q>
void round_trip(float* rows, std::int64_t num_rows, std::int32_t dim) {
  std::vector<std::byte> codes(static_cast<std::size_t>(folio::code_bytes<Q>(dim)));
  std::vector<std::byte> params(static_cast<std::size_t>(Q::param_bytes(dim)));
  for (std::int64_t i = 0; i < num_rows; ++i) {
    float* const row = rows + i * dim;
    Q::encode(row, dim, codes.data(), params.data());
    folio::decode_row<Q>(codes.data(), params.data(), dim, row);
    folio::change_basis(Q::basis, row, dim, dim);
  }
}

}  // namespace evaluate
