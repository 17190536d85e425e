// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Linked into tests that need a GPU: without one the program says why it is skipped and ends, before any test begins.
#include <cstdio>
#include <cstdlib>
#include <folio/cuda_runtime.cuh>
#include <string>

namespace {

constexpr int skipped = 77;  // what ctest is told to take for "skipped"

[[maybe_unused]] bool const has_gpu = [] {
  std::string const why = folio::no_cuda_device_because();
  if (why.empty()) return true;
  std::printf("SKIP: a GPU is needed: %s\n", why.c_str());
  std::fflush(stdout);
  std::_Exit(skipped);
}();

}  // namespace
