// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Linked with the shadow memory but compiled without instrumentation: a launch must say so, not pass unchecked.
#include "simt/runner.hpp"

#include <cstdio>
#include <cstring>

namespace {

__global__ void fill(int* out) { out[threadIdx.x] = 1; }

}  // namespace

int main() {
  try {
    simt::Buffer<int> const out(32, "out");
    simt::launch({.block = 32, .name = "fill"}, fill, out.data());
  } catch (simt::Error const& error) {
    std::puts(error.what());
    return std::strstr(error.what(), "that launches it with -fsanitize=thread") != nullptr ? 0 : 1;
  }
  std::puts("the launch passed, although nothing was checked");
  return 1;
}
