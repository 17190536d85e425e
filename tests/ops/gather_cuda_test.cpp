// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// gather over many ranges; append_cuda_test.cpp reads back by it what it wrote.
#include "ops/append_cases.hpp"
//
#include <folio/cuda_runtime.cuh>

#include "simt/streams.hpp"
#include "support/catch.hpp"

using namespace folio;
using folio::test::Twins;
using folio::test::wide;

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
