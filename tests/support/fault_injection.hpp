// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Lets CUDA fail at one call after the other.

#include "support/cuda_support.hpp"

namespace folio::test {

/// Runs `scenario` again and again; in run n the n-th call of CUDA fails. Whatever throws must be a folio::Error and
/// leave nothing allocated. Calls that give back may fail without a word. Returns how many calls there were.
template <class Scenario>
std::int64_t fail_at_every_call(Scenario const& scenario) {
  for (std::int64_t n = 0;; ++n) {
    INFO("call " << n << " fails");
    std::vector<std::string> const before = leaks();
    simt::fail_next("", cudaErrorUnknown, n);
    bool threw = false;
    try {
      scenario();
    } catch (folio::Error const&) {
      threw = true;
    }
    bool const was_needed = !simt::forget_failure();
    REQUIRE((was_needed || !threw));
    std::vector<std::string> const after = leaks();
    cudaError_t const last = cudaGetLastError();
    if (threw) REQUIRE(after == before);
    if (threw) REQUIRE(last == cudaSuccess);  // the next call is not blamed
    if (!was_needed) return n;
  }
}

}  // namespace folio::test
