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
#include <utility>
#include <vector>

#include "../formats.hpp"
#include "../mixed_store.hpp"

namespace evaluate {

/// One type serves models with and without a sliding window: a window of 2^31 - 1 tokens frees nothing.
template <std::int32_t HeadDim, class... Policies>
using CacheFor = folio::KvCache<
    folio::Model<folio::ModelConfig{.head_dim = HeadDim, .groups = {folio::sliding_window(folio::dynamic)}}>,
    Policies...>;

namespace detail {

/// A mixed cache is for layers that see everything. Its hot part stores f16.
template <std::int32_t HeadDim, class... Compressed>
struct MixedFor {
  using Layers = folio::Model<folio::ModelConfig{.head_dim = HeadDim}>;
  using Type = folio::MixedPrecisionCache<folio::KvCache<Layers, folio::F16>, folio::KvCache<Layers, Compressed...>>;
};

template <class... Policies, std::int32_t... Dims>
std::unique_ptr<Store> make_store_of(StoreRequest const& request, std::integer_sequence<std::int32_t, Dims...>) {
  std::unique_ptr<Store> store;
  (void)((Dims == request.model.head_dim &&
          (store = std::make_unique<CacheStore<CacheFor<Dims, Policies...>>>(request), true)) ||
         ...);
  return store;
}

template <class... Compressed, std::int32_t... Dims>
std::unique_ptr<Store> make_mixed_store_of(StoreRequest const& request, Region region,
                                           std::integer_sequence<std::int32_t, Dims...>) {
  std::unique_ptr<Store> store;
  (void)((Dims == request.model.head_dim &&
          (store = std::make_unique<MixedStore<typename MixedFor<Dims, Compressed...>::Type>>(request, region),
           true)) ||
         ...);
  return store;
}

}  // namespace detail

template <class... Policies>
std::unique_ptr<Store> make_store(StoreRequest const& request) {
  return detail::make_store_of<Policies...>(request, HeadDims());
}

/// Sinks and newest tokens in f16, the others as the policies say.
template <class... Compressed>
std::unique_ptr<Store> make_mixed_store(StoreRequest const& request, Region region = {}) {
  return detail::make_mixed_store_of<Compressed...>(request, region, HeadDims());
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
