// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// A million operations in long random programs over caches with prefixes. Not in CI: the target run_soak runs it.
#include <chrono>
#include <cstdio>

#include "prefix/prefix_programs.hpp"
#include "support/catch.hpp"

namespace {

using namespace folio;
using namespace folio::test;

template <class Cache>
void soak(char const* name, std::vector<std::int64_t> const& num_blocks) {
  auto const begin = std::chrono::steady_clock::now();
  PrefixProgramCounts counts;
  for (unsigned seed = 1'000'001; counts.steps < 500'000; ++seed)
    PrefixProgram<Cache>(num_blocks, seed, false).run(50'000, counts);
  std::chrono::duration<double> const seconds = std::chrono::steady_clock::now() - begin;
  std::printf("%s: %lld operations, %lld units evicted, %lld tokens found, %.1f s\n", name,
              static_cast<long long>(counts.steps), static_cast<long long>(counts.evictions),
              static_cast<long long>(counts.hits), seconds.count());
}

}  // namespace

TEST_CASE("soak: one full group") { soak<FullPrefixCache<F32>>("full", {40}); }
TEST_CASE("soak: full, window with sinks and latent groups") { soak<HybridPrefixCache<F32>>("hybrid", {50, 60, 32}); }
