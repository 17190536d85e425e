// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// In whole programs: what was never freed when the program ends is an error, and a kernel that a graph saw first.
#include <unistd.h>

#include <cstdio>

#include "simt/streams.hpp"

namespace {

struct AtExit {
  ~AtExit() {
    auto const leaks = simt::leaks();
    std::fflush(nullptr);
    for (auto const& leak : leaks) std::fprintf(stderr, "simt: never freed: %s\n", leak.c_str());
    std::int64_t const first_launches = simt::num_first_launches_in_captures();
    if (first_launches > 0)
      std::fprintf(stderr, "simt: %d kernels were first launched in a capture, where CUDA may be unable to load them\n",
                   static_cast<int>(first_launches));
    if (!leaks.empty() || first_launches > 0) _exit(1);
  }
};

/// Made before the program's own static objects, and gone after them.
__attribute__((init_priority(101))) AtExit const at_exit;

}  // namespace
