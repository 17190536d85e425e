// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// From the names of a quantizer and a device to the cache that was compiled for them, and the engine over it.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "bad_input.hpp"
#include "caches/caches.hpp"
#include "paged_engine.hpp"

namespace serve {
namespace {

MakeCache* find(std::span<CacheMaker const> caches, std::string_view quantizer) {
  for (CacheMaker const& maker : caches)
    if (maker.quantizer == quantizer) return maker.make;
  return nullptr;
}

std::string names_of(std::span<CacheMaker const> caches) {
  std::string names;
  for (CacheMaker const& maker : caches) names += (names.empty() ? "" : ", ") + std::string(maker.quantizer);
  return names;
}

/// A cache that demotes.
std::unique_ptr<PagedCache> make_demoting_cache(MakeCache* make, CacheRequest const& request) {
  std::int32_t layer = 0;
  while (layer < request.model.layers && request.model.has_window(layer)) ++layer;
  if (layer == request.model.layers)
    throw BadInput(
        "--demote is not possible: all layers of this model have a window, so that no token is left to demote; take "
        "--demote off.");
  try {
    return make(request);
  } catch (folio::NotBuilt const& error) {
    throw BadInput(std::string(error.what()) + " with --demote; take --demote off.");
  }
}

std::unique_ptr<PagedCache> make_cache_on_host(std::string_view quantizer, CacheRequest const& request) {
  MakeCache* const make = find(host_caches(), quantizer);
  if (!make)
    throw BadInput("There is no quantizer " + std::string(quantizer) + "; known are " + names_of(host_caches()) + ".");
  bool const demotes = quantizer.find('+') != std::string_view::npos;
  return demotes ? make_demoting_cache(make, request) : make(request);
}

/// A cache on a GPU, or in `why_not` why there cannot be one, as a clause.
std::unique_ptr<PagedCache> make_cache_on_gpu(std::string_view quantizer, CacheRequest const& request,
                                              std::string& why_not) {
  CudaSupport const cuda = cuda_support();
  why_not = cuda.problem;
  if (!why_not.empty()) return nullptr;
  MakeCache* const make = find(cuda.caches, quantizer);
  if (!make) {
    why_not = "caches on a GPU have the quantizers " + names_of(cuda.caches) + ", not " + std::string(quantizer) +
              "; take one of these, or --device host";
    return nullptr;
  }
  try {
    return make(request);
  } catch (folio::NotBuilt const& error) {
    why_not = std::string(error.what()) + " on a GPU; take --device host";
    return nullptr;
  }
}

std::unique_ptr<PagedCache> make_cache(std::string_view quantizer, CacheRequest const& request) {
  std::string why_not;
  if (request.options.device != Device::host)
    if (auto cache = make_cache_on_gpu(quantizer, request, why_not)) return cache;
  if (request.options.device == Device::cuda) throw BadInput("--device cuda is not possible: " + why_not + ".");
  return make_cache_on_host(quantizer, request);
}

}  // namespace

std::unique_ptr<Engine> make_engine(std::string_view quantizer, Llama const& model, std::vector<Tokens> const& prompts,
                                    EngineOptions const& options) {
  return std::make_unique<PagedEngine>(model, prompts, options,
                                       make_cache(quantizer, {model.config(), prompts, options}));
}

}  // namespace serve
