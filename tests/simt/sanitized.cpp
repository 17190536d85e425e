// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
//   simt_sanitized global|shared|local|forbidden|freed|none
//
// One fault in a kernel, for the address sanitizer to find; CMakeLists.txt says what it must print.
#include "simt/runner.hpp"

#include <cstdio>
#include <string>

namespace {

__global__ void write(int* out, int index) { out[index] = 1; }

__global__ void write_shared(int num_ints) {
  simt::shared_memory<int>() = 1;
  for (int i = 0; i < num_ints; ++i) (&simt::shared_memory<int>())[i] = i;
}

/// A thread's own array, after a barrier, when its stack has been left and entered again.
__global__ void write_local(int size, int* out) {
  int values[4] = {};
  int* volatile pointer = values;
  __syncthreads();
  for (int i = 0; i < size; ++i) pointer[i] = i;
  *out = values[0];
}

}  // namespace

int main(int argc, char** argv) {
  std::string const fault = argc > 1 ? argv[1] : "none";
  simt::Launch const how{.block = 2, .shared_bytes = 64, .name = "sanitized"};
  simt::Buffer<int> out(10, "out");
  int* const data = out.data();
  if (fault == "forbidden") simt::forbid(data + 4, 2 * sizeof(int));
  if (fault == "freed") out = simt::Buffer<int>(1, "another");
  simt::launch(how, [&] {
    if (threadIdx.x == 0) write(data, fault == "global" ? 10 : 4);
    write_local(fault == "local" ? 5 : 4, data);
    write_shared(fault == "shared" ? 17 : 16);
  });
  std::puts("no fault");
}
