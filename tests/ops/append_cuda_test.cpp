// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The kernels that move rows, run thread by thread on the host, against the host's operations: same bytes, same floats.
#include "ops/append_cases.hpp"
//
#include <folio/cuda_runtime.cuh>
#include <folio/ops/copy_blocks.cuh>

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
  CHECK_THROWS_WITH(ops::append(view, 0, begin, begin, nullptr, {.keys = 255}), contains("the rows of keys have 256"));
  CHECK_THROWS_WITH(ops::append(view, 0, begin, begin, nullptr, {.values = 257}), contains("rows of values begin 257"));
  CHECK(simt::num_launches() == launches);
}

TEST_CASE("many ranges of tokens are gathered on the device, one after the other") {
  Twins<Model<wide>, F16> twins({.num_blocks = {20}});
  for (std::int32_t const length : {7, 0, 19}) twins.add(length);
  folio::test::append_everywhere<float>(twins, 0);
  std::vector<Tokens> ranges;  // more than one launch takes
  std::int64_t num_tokens = 0;
  for (std::int32_t i = 0; i < 70; ++i) {
    std::int32_t const sequence = i % 5 == 0 ? 0 : 2, length = sequence == 0 ? 7 : 19, first = i % length;
    ranges.push_back({sequence, first, std::min(i % 4, length - first)});
    num_tokens += ranges.back().count;
  }
  ranges.push_back({1, 0, 0});
  auto const host = twins.host_batch();
  folio::test::SimtBatch<decltype(twins)::View> const tables(twins.device_batch());
  DeviceView<decltype(twins)::View> const view(tables.view());
  std::vector<float> keys(static_cast<std::size_t>(num_tokens) * 2 * 128), values(keys.size());
  ops::gather(host.view(), 0, ranges, keys.data(), values.data());
  simt::Buffer<float> const device_keys(keys.size(), "keys"), device_values(keys.size(), "values");
  simt::streams(3);
  ops::gather(view, 0, ranges, device_keys.data(), device_values.data(), nullptr);
  check_cuda(cudaDeviceSynchronize(), "waiting for the device");
  CHECK(device_keys.to_vector() == keys);
  CHECK(device_values.to_vector() == values);
  using folio::test::contains;
  auto const launches = simt::num_launches();
  auto const gather = [&](Tokens const& tokens) { ops::gather(view, 0, tokens, device_keys.data(), nullptr, nullptr); };
  CHECK_THROWS_WITH(gather({3, 0, 1}), contains("no sequence 3"));
  CHECK_THROWS_WITH(gather({0, -1, 1}), contains("there are not 1 from -1 on"));
  CHECK_THROWS_WITH(gather({0, 0, -1}), contains("there are not -1 from 0 on"));
  CHECK(simt::num_launches() == launches);
}

TEST_CASE("blocks are copied on the device byte by byte") {
  constexpr std::int64_t block_bytes = 64 * 21;
  simt::Buffer<std::byte> const from(7 * block_bytes, "from"), to(9 * block_bytes, "to");
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::byte>(i * 7 / 3);
  ops::BlockCopies copies{.size = 3,
                          .copies = {{BlockId{1}, BlockId{8}}, {BlockId{6}, BlockId{2}}, {BlockId{3}, BlockId{5}}}};
  auto const grid_y = GENERATE(1U, 2U, 5U);
  simt::launch({.grid = dim3(2, grid_y), .block = 32, .name = "copy_blocks_kernel", .seed = 5},
               ops::copy_blocks_kernel<>, from.data(), to.data(), block_bytes, copies);
  std::vector<std::byte> expected(to.size(), std::byte{0xFF});
  for (BlockCopy const& copy : std::span(copies.copies).first(3))
    std::memcpy(expected.data() + to_int(copy.to) * block_bytes, from.data() + to_int(copy.from) * block_bytes,
                block_bytes);
  REQUIRE(to.to_vector() == expected);
}
