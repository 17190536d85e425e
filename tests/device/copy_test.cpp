// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The kernels that move rows, run thread by thread on the host, against the host's operations: same bytes, same floats.
#include "device/simt_cache.hpp"
//
#include <folio/ops/append.cuh>
#include <folio/ops/copy_blocks.cuh>
#include <folio/ops/gather.cuh>

#include "support/catch.hpp"

namespace {

using namespace folio;

/// Every kind of layer group, head dims that fill their lanes and that do not, and a block size for each group.
constexpr ModelConfig hybrid{.layers = 4,
                             .kv_heads = 3,
                             .head_dim = 64,
                             .value_head_dim = 40,
                             .groups = {full_attention(), sliding_window(20, 3), latent(32, 16)},
                             .pattern = repeat_groups({0, 1, 2, 1})};
constexpr ModelConfig wide{.layers = 1, .kv_heads = 2, .head_dim = 128};

template <class T>
T element(float x) {
  T to;
  ops::store_element(x, to);
  return to;
}

/// `rows` as T, in the runner's memory, and as the floats that T makes of them.
template <class T>
struct Rows {
  Rows(std::size_t size, std::uint32_t seed) : floats(folio_test::random_rows(size, seed)), memory(size, "rows") {
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
  folio_test::SimtBatch<View> const on_device(device);
  for (std::int32_t layer = 0; layer < TwinCaches::Host::model.layers; ++layer) {
    ops::with_group(host.view(), layer, [&](auto group, std::int32_t index) {
      GroupShape const& shape = twins.host().shape(group());
      auto const rows = static_cast<std::size_t>(host.num_query_tokens() * shape.kv_heads);
      Rows<T> const keys(rows * static_cast<std::size_t>(shape.key_dim), static_cast<std::uint32_t>(layer) + 1);
      Rows<T> const values(rows * static_cast<std::size_t>(shape.value_dim), static_cast<std::uint32_t>(layer) + 100);
      bool const latent = shape.values_in_keys();
      ops::append(host.view(), layer, keys.floats.data(), latent ? nullptr : values.floats.data());
      simt::launch({.grid = 3, .block = 64, .name = "append_kernel", .seed = 7}, ops::append_kernel<View, group(), T>,
                   on_device.view(), index, keys.memory.data(), latent ? nullptr : values.memory.data());
    });
  }
  REQUIRE(twins.same_bytes());
}

template <class T, class TwinCaches>
void gather_everywhere(TwinCaches& twins) {
  using View = typename TwinCaches::View;
  auto const host = twins.host_batch();
  folio_test::SimtBatch<View> const on_device(twins.device_batch());
  for (std::int32_t layer = 0; layer < TwinCaches::Host::model.layers; ++layer) {
    for (std::int32_t i = 0; i < host.num_sequences(); ++i) {
      ops::with_group(host.view(), layer, [&](auto group, std::int32_t index) {
        GroupShape const& shape = twins.host().shape(group());
        std::int32_t const length = host.lengths()[static_cast<std::size_t>(i)];
        std::int32_t const first = std::max(0, length - 11), n = length - first;
        auto const rows = static_cast<std::size_t>(n * shape.kv_heads);
        std::vector<float> keys(rows * static_cast<std::size_t>(shape.key_dim));
        std::vector<float> values(rows * static_cast<std::size_t>(shape.value_dim));
        ops::gather(host.view(), i, layer, first, n, keys.data(), values.data());
        simt::Buffer<T> const device_keys(keys.size(), "keys"), device_values(values.size(), "values");
        simt::launch({.grid = 2, .block = 96, .name = "gather_kernel", .seed = 3}, ops::gather_kernel<View, group(), T>,
                     on_device.view(), i, index, first, n, device_keys.data(), device_values.data());
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
  folio_test::Twins<Policies...> twins({.num_blocks = num_blocks});
  for (std::int32_t const length : {0, 1, 16, 17, 37}) twins.add(length);
  append_everywhere<T>(twins, 80);  // more than there are: the rest have slot -1
  twins.fork(4);
  twins.append(5, 9);
  twins.append(4, 2);
  append_everywhere<T>(twins, 0);
  gather_everywhere<T>(twins);
}

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
  for (ops::BlockCopy const& copy : std::span(copies.copies).first(3))
    std::memcpy(expected.data() + to_int(copy.to) * block_bytes, from.data() + to_int(copy.from) * block_bytes,
                block_bytes);
  REQUIRE(to.to_vector() == expected);
}
