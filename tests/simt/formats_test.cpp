// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// CUDA's own half, bf16 and fp8 types, by their headers' host side. Built where the toolkit is.
#include "simt/runner.hpp"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <vector>

#include "support/catch.hpp"

namespace {

/// The sum over a warp of values in a format of 2 bytes.
template <class T>
__global__ void warp_sum(T const* in, T* out) {
  T value = in[threadIdx.x];
  for (int step = 16; step > 0; step /= 2) value = value + __shfl_xor_sync(0xffffffff, value, step);
  if (threadIdx.x == 0) *out = value;
}

__global__ void from_fp8(__nv_fp8_e4m3 const* in, float4* out) {
  float const x = static_cast<float>(in[threadIdx.x]);
  out[threadIdx.x] = make_float4(x, 2 * x, 3 * x, 4 * x);
}

}  // namespace

TEMPLATE_TEST_CASE("Kernels may use the toolkit's 16-bit formats", "", __half, __nv_bfloat16) {
  std::vector<TestType> values(32);
  for (int i = 0; i < 32; ++i) values[static_cast<std::size_t>(i)] = TestType(static_cast<float>(i % 4));
  simt::Buffer<TestType> const in(values, "in"), out(1, "out");
  simt::launch({.block = 32, .name = "warp_sum"}, warp_sum<TestType>, in.data(), out.data());
  REQUIRE(static_cast<float>(out[0]) == 48.0F);
}

TEST_CASE("Kernels may use the toolkit's fp8 and vectors") {
  simt::Buffer<__nv_fp8_e4m3> const in(std::vector<__nv_fp8_e4m3>(32, __nv_fp8_e4m3(1.5F)), "in");
  simt::Buffer<float4> const out(32, "out");
  simt::launch({.block = 32, .name = "from_fp8"}, from_fp8, in.data(), out.data());
  REQUIRE(out[31].w == 6.0F);
}
