// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// From a head dim and quantizers to the type of a cache.

#include <cstdint>
#include <folio/folio.hpp>
#include <memory>
#include <vector>

#include "../paged_engine.hpp"

namespace serve {

/// A cache for models of one head dim. One type serves models with and without a sliding window: a window of 2^31 - 1
/// tokens frees nothing.
template <std::int32_t HeadDim, class... Quantizers>
using CacheFor = folio::KvCache<
    folio::Model<folio::ModelConfig{.head_dim = HeadDim, .groups = {folio::sliding_window(folio::dynamic)}}>,
    folio::BlockSize<16>, Quantizers...>;

/// The engine whose cache has the model's head dim, or nullptr when there is none.
template <class... Quantizers>
std::unique_ptr<Engine> make_paged_engine(Llama const& model, std::vector<Tokens> const& prompts,
                                          EngineOptions const& options) {
  switch (model.config().head_dim) {
    case 32:
      return std::make_unique<PagedEngine<CacheFor<32, Quantizers...>>>(model, prompts, options);
    case 64:
      return std::make_unique<PagedEngine<CacheFor<64, Quantizers...>>>(model, prompts, options);
    case 80:
      return std::make_unique<PagedEngine<CacheFor<80, Quantizers...>>>(model, prompts, options);
    case 96:
      return std::make_unique<PagedEngine<CacheFor<96, Quantizers...>>>(model, prompts, options);
    case 128:
      return std::make_unique<PagedEngine<CacheFor<128, Quantizers...>>>(model, prompts, options);
    case 256:
      return std::make_unique<PagedEngine<CacheFor<256, Quantizers...>>>(model, prompts, options);
    default:
      return nullptr;
  }
}

}  // namespace serve
