// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The kernels that write and read rows, run thread by thread on the host, against the host's operations: same bytes,
// same floats.
#include "ops/append_cases.hpp"
//
#include <folio/cuda_runtime.cuh>

#include "simt/streams.hpp"
#include "support/catch.hpp"

namespace {

using namespace folio;
using folio::test::append_and_gather;
using folio::test::hybrid;
using folio::test::Twins;
using folio::test::wide;

template <class T, class... Quantizers>
void every_layout_and_model() {
  append_and_gather<T, Model<hybrid>, BlockSizes<16, 8, 4>, LayoutHnd, Quantizers...>({20, 30, 60});
  append_and_gather<T, Model<hybrid>, BlockSizes<16, 8, 4>, LayoutNhd, Quantizers...>({20, 30, 60});
  append_and_gather<T, Model<hybrid>, BlockSizes<16, 8, 4>, LayoutInterleaved, Quantizers...>({20, 30, 60});
  append_and_gather<T, Model<wide>, BlockSize<16>, LayoutInterleaved, Quantizers...>({20});
}

}  // namespace

TEST_CASE("rows move on the device as on the host: f32") { every_layout_and_model<float, F32>(); }
TEST_CASE("rows move on the device as on the host: f16, from half precision") { every_layout_and_model<Half, F16>(); }
TEST_CASE("rows move on the device as on the host: bf16, from bfloat16") { every_layout_and_model<BFloat16, BF16>(); }
TEST_CASE("rows move on the device as on the host: fp8") { every_layout_and_model<float, Fp8E4M3>(); }
TEST_CASE("rows move on the device as on the host: int8") { every_layout_and_model<float, Int8PerToken>(); }
TEST_CASE("rows move on the device as on the host: int4") { every_layout_and_model<float, Int4Rotated>(); }
TEST_CASE("rows move on the device as on the host: int2") { every_layout_and_model<float, Int2Rotated>(); }
TEST_CASE("rows move on the device as on the host: int8 keys, int4 values, from half precision") {
  every_layout_and_model<Half, Keys<Int8PerToken>, Values<Int4Rotated>>();
}

TEST_CASE("rows move on the device as on the host: cut into the runs of LayoutNz") {
  append_and_gather<Half, Model<hybrid>, BlockSizes<16, 8, 4>, LayoutNz, F16>({20, 30, 60});
  append_and_gather<float, Model<wide>, BlockSize<16>, LayoutNz, Int8PerToken>({20});
  append_and_gather<float, Model<wide>, BlockSize<16>, LayoutNz, Iq4Nl>({20});
}

TEST_CASE("keys and values are appended on the device from where a fused projection wrote them") {
  Twins<Model<wide>, Int8PerToken> twins({.num_blocks = {20}});
  for (std::int32_t const length : {1, 0, 19}) twins.add(length);
  constexpr std::int64_t dims = 2 * 128, row = 512 + 2 * dims;  // queries of 512 elements, keys, values
  folio::test::Rows<Half> const projected(20 * row, 1);
  std::vector<float> keys, values;
  for (std::int64_t token = 0; token < 20; ++token) {
    float const* const begin = projected.floats.data() + token * row + 512;
    keys.insert(keys.end(), begin, begin + dims);
    values.insert(values.end(), begin + dims, begin + 2 * dims);
  }
  ops::append(twins.host_batch().view(), 0, keys.data(), values.data());
  auto const device = twins.device_batch();
  folio::test::SimtBatch<decltype(twins)::View> const tables(device);
  DeviceView<decltype(twins)::View> const view(tables.view());
  Half const* const begin = projected.memory.data() + 512;
  simt::streams(7);
  ops::append(view, 0, begin, begin + dims, nullptr, {.keys = row, .values = row});
  check_cuda(cudaDeviceSynchronize(), "waiting for the device");
  CHECK(twins.same_bytes());
  using folio::test::contains;
  auto const launches = simt::num_launches();
  CHECK_THROWS_WITH(ops::append(view, 0, begin, nullptr, nullptr), contains("append needs keys, and values unless"));
  CHECK_THROWS_WITH(ops::append(view, 0, begin, begin, nullptr, {.keys = 255}), contains("the rows of keys have 256"));
  CHECK_THROWS_WITH(ops::append(view, 0, begin, begin, nullptr, {.values = 257}), contains("rows of values begin 257"));
  CHECK(simt::num_launches() == launches);
}
