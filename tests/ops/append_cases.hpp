// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Rows appended and gathered by kernels, run thread by thread on the host, against the host's operations: same bytes,
// same floats.

#include "support/simt_cache.hpp"
//
#include <folio/ops/append.cuh>
#include <folio/ops/gather.cuh>

#include "support/catch.hpp"

namespace folio::test {

/// Every kind of layer group, head dims that fill their lanes and that do not, and a block size for each group.
inline constexpr ModelConfig hybrid{.layers = 4,
                                    .kv_heads = 3,
                                    .head_dim = 64,
                                    .value_head_dim = 40,
                                    .groups = {full_attention(), sliding_window(20, 3), latent(32, 16)},
                                    .pattern = repeat_groups({0, 1, 2, 1})};
inline constexpr ModelConfig wide{.layers = 1, .kv_heads = 2, .head_dim = 128};

template <class T>
T element(float x) {
  T to;
  ops::store_element(x, to);
  return to;
}

/// `rows` as T, in the runner's memory, and as the floats that T makes of them.
template <class T>
struct Rows {
  Rows(std::size_t size, std::uint32_t seed) : floats(random_rows(size, seed)), memory(size, "rows") {
    for (std::size_t i = 0; i < size; ++i) {
      memory[i] = element<T>(floats[i]);
      floats[i] = ops::load_element(memory[i]);
    }
  }
  std::vector<float> floats;
  simt::Buffer<T> memory;
};

template <class T, class TwinCaches>
void append_everywhere(TwinCaches& twins, std::int32_t padding) {
  using View = typename TwinCaches::View;
  auto const host = twins.host_batch({.num_query_tokens = padding});
  auto const device = twins.device_batch({.num_query_tokens = padding});
  SimtBatch<View> const on_device(device);
  for (std::int32_t layer = 0; layer < TwinCaches::Host::model.layers; ++layer) {
    ops::with_group(host.view(), layer, [&](auto group, std::int32_t index) {
      GroupShape const& shape = twins.host().shape(group());
      auto const rows = static_cast<std::size_t>(host.num_query_tokens() * shape.kv_heads);
      Rows<T> const keys(rows * static_cast<std::size_t>(shape.key_dim), static_cast<std::uint32_t>(layer) + 1);
      Rows<T> const values(rows * static_cast<std::size_t>(shape.value_dim), static_cast<std::uint32_t>(layer) + 100);
      bool const latent = shape.values_in_keys();
      ops::append(host.view(), layer, keys.floats.data(), latent ? nullptr : values.floats.data());
      simt::launch({.grid = 3, .block = 64, .name = "append_kernel", .seed = 7}, ops::append_kernel<View, group(), T>,
                   on_device.view(), index, keys.memory.data(), latent ? nullptr : values.memory.data(),
                   RowStrides{shape.kv_heads * shape.key_dim, shape.kv_heads * shape.value_dim});
    });
  }
  REQUIRE(twins.same_bytes());
}

template <class T, class TwinCaches>
void gather_everywhere(TwinCaches& twins) {
  using View = typename TwinCaches::View;
  auto const host = twins.host_batch();
  SimtBatch<View> const on_device(twins.device_batch());
  for (std::int32_t layer = 0; layer < TwinCaches::Host::model.layers; ++layer) {
    for (std::int32_t i = 0; i < host.num_sequences(); ++i) {
      ops::with_group(host.view(), layer, [&](auto group, std::int32_t index) {
        GroupShape const& shape = twins.host().shape(group());
        std::int32_t const length = host.lengths(group())[static_cast<std::size_t>(i)];
        std::int32_t const first = std::max(0, length - 11), n = length - first;
        auto const rows = static_cast<std::size_t>(n * shape.kv_heads);
        std::vector<float> keys(rows * static_cast<std::size_t>(shape.key_dim));
        std::vector<float> values(rows * static_cast<std::size_t>(shape.value_dim));
        ops::gather(host.view(), layer, {i, first, n}, keys.data(), values.data());
        simt::Buffer<T> const device_keys(keys.size(), "keys"), device_values(values.size(), "values");
        ops::GatherRanges ranges;  // in two pieces
        ranges.list[0] = {{i, first, n / 3}, 0};
        ranges.list[1] = {{i, first + n / 3, n - n / 3}, n / 3};
        simt::launch({.grid = dim3(2, 2), .block = 96, .name = "gather_kernel", .seed = 3},
                     ops::gather_kernel<View, group(), T>, on_device.view(), index, ranges, device_keys.data(),
                     device_values.data());
        for (std::size_t k = 0; k < keys.size(); ++k)
          if (ops::load_element(device_keys[k]) != ops::load_element(element<T>(keys[k]))) FAIL("key element " << k);
        for (std::size_t k = 0; k < values.size(); ++k)
          if (ops::load_element(device_values[k]) != ops::load_element(element<T>(values[k])))
            FAIL("value element " << k);
      });
    }
  }
}

template <class T, class... Policies>
void append_and_gather(std::vector<std::int64_t> const& num_blocks) {
  Twins<Policies...> twins({.num_blocks = num_blocks});
  for (std::int32_t const length : {0, 1, 16, 17, 37}) twins.add(length);
  append_everywhere<T>(twins, 80);  // more than there are: the rest have slot -1
  twins.fork(4);
  twins.cut_blocks(4, 1, 1);  // its groups have different lengths
  twins.extend(5, 9);
  twins.extend(4, 2);
  append_everywhere<T>(twins, 0);
  gather_everywhere<T>(twins);
}

}  // namespace folio::test
