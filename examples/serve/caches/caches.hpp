// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The caches that serve is compiled for: one function for each format and kind of memory, made from formats.cmake.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "paged_cache.hpp"

namespace serve {

/// The head dims that caches which demote are compiled for: those of most models, because their operations are those of
/// two formats.
using DemotingHeadDims = folio::HeadDims<32, 64, 128>;

/// A cache for the model. Throws folio::NotBuilt when none is compiled for its head dim, BadInput when the memory is
/// too small.
using MakeCache = std::unique_ptr<PagedCache>(CacheRequest const& request);

/// What --quantizer calls a cache.
struct CacheMaker {
  std::string_view quantizer;
  MakeCache* make;
};

/// Those in host memory, and those in the memory of a GPU: the lines of formats.cmake.
[[nodiscard]] std::span<CacheMaker const> host_caches();
[[nodiscard]] std::span<CacheMaker const> cuda_caches();

/// What there is of CUDA in this program and on this machine.
struct CudaSupport {
  std::string problem;                 ///< why no GPU can be used, and what to do about it; empty: one can
  std::span<CacheMaker const> caches;  ///< whose blocks are in a GPU's memory
};
/// From cuda.cpp, or no_cuda.cpp in a build without CUDA.
[[nodiscard]] CudaSupport cuda_support();

}  // namespace serve
