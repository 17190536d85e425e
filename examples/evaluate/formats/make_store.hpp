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

/// A mixed cache is for layers that see everything. Its hot part stores f16.
template <std::int32_t HeadDim, class... Compressed>
struct MixedFor {
  using Layers = folio::Model<folio::ModelConfig{.head_dim = HeadDim}>;
  using Type = folio::MixedPrecisionCache<folio::KvCache<Layers, folio::F16>, folio::KvCache<Layers, Compressed...>>;
};

template <class... Compressed>
std::unique_ptr<Store> make_mixed_store(StoreRequest const& request, Region region) {
  return serve::for_head_dim<Store>(HeadDims(), request.model.head_dim, [&](auto dim) {
    return std::make_unique<MixedStore<typename MixedFor<dim(), Compressed...>::Type>>(request, region);
  });
}

}  // namespace detail

template <class... Policies>
std::unique_ptr<Store> make_cache_store(StoreRequest const& request) {
  return serve::for_head_dim<Store>(HeadDims(), request.model.head_dim, [&](auto dim) {
    return std::make_unique<CacheStore<serve::CacheFor<dim(), Policies...>>>(request);
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
