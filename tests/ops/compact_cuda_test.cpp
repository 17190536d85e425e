// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Closing the gaps on the device, run thread by thread on the host, against the host's: the same bytes.
#include "support/simt_cache.hpp"
//
#include <folio/ops/append.cuh>
#include <folio/ops/compact.cuh>
#include <folio/ops/gather.cuh>
#include <folio/ops/scores.cuh>
#include <folio/ops/top_k.cuh>
#include <numeric>
#include <string>

#include "simt/streams.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/strangers.hpp"

namespace {

using namespace folio;
using ops::TokenLists;

constexpr ModelConfig mixed{.layers = 3,
                            .kv_heads = 2,
                            .head_dim = 40,
                            .value_head_dim = 24,
                            .groups = {full_attention(), latent(64, 32)},
                            .pattern = repeat_groups({0, 1, 0})};
constexpr ModelConfig llama{.layers = 2, .kv_heads = 2, .head_dim = 128};

/// Lists of tokens for every layer, sequence and head, on the host and on the device.
class Lists {
 public:
  Lists(std::vector<std::int32_t> const& lengths, std::int32_t heads, std::int32_t layers, std::uint32_t seed)
      : heads_(heads), layers_(layers) {
    std::mt19937 random(seed);
    k_ = *std::max_element(lengths.begin(), lengths.end());
    for (std::int32_t row = 0; row < layers * static_cast<std::int32_t>(lengths.size()) * heads; ++row) {
      auto const i = static_cast<std::size_t>(row / heads) % lengths.size();
      std::int32_t const count = i % 3 == 2 ? lengths[i] : lengths[i] * 2 / 3;  // every third keeps all
      std::vector<std::int32_t> tokens(static_cast<std::size_t>(lengths[i]));
      std::iota(tokens.begin(), tokens.end(), 0);
      std::shuffle(tokens.begin(), tokens.end(), random);
      tokens.resize(static_cast<std::size_t>(count));
      std::sort(tokens.begin(), tokens.end());
      tokens.resize(static_cast<std::size_t>(k_), -1);
      tokens_.insert(tokens_.end(), tokens.begin(), tokens.end());
      counts_.push_back(count);
    }
    device_tokens_ = simt::Buffer<std::int32_t>(tokens_, "kept tokens");
    device_counts_ = simt::Buffer<std::int32_t>(counts_, "counts");
  }
  [[nodiscard]] TokenLists host() const { return {tokens_.data(), counts_.data(), k_, heads_, layers_}; }
  [[nodiscard]] TokenLists device() const {
    return {device_tokens_.data(), device_counts_.data(), k_, heads_, layers_};
  }

 private:
  std::int32_t heads_, layers_, k_ = 0;
  std::vector<std::int32_t> tokens_, counts_;
  simt::Buffer<std::int32_t> device_tokens_{0}, device_counts_{0};
};

/// The same random bytes in the blocks of both caches.
template <class TwinCaches>
void scramble(TwinCaches& twins) {
  std::mt19937 random(3);
  for (int g = 0; g < TwinCaches::Host::num_groups; ++g)
    for (std::int64_t b = twins.host().block_bytes(g);
         b < (twins.host().num_blocks(g) + 1) * twins.host().block_bytes(g); ++b)
      twins.host().pool(g)[b] = twins.device().pool(g)[b] = static_cast<std::byte>(random());
}

/// The step of the twins' sequences in device memory, of its own size.
template <class TwinCaches>
DeviceBatch<typename TwinCaches::View> uploaded(TwinCaches& twins) {
  static_cast<void>(twins.device_batch());  // copies that are due, by the host: the runtime does not know this memory
  std::int32_t queries = 0, longest = 1;
  for (Sequence const& s : twins.host_sequences()) {
    queries += s.num_new_tokens();
    longest = std::max(longest, s.num_tokens());
  }
  DeviceBatch<typename TwinCaches::View> batch(
      twins.device(), {static_cast<std::int32_t>(twins.host_sequences().size()), queries, longest});
  batch.upload(twins.device_items(), nullptr);
  return batch;
}

/// Every group; blocks that hold nothing must not be touched.
template <class TwinCaches>
void compact_everywhere(TwinCaches& twins, std::vector<std::int32_t> const& lengths, std::uint64_t seed) {
  using View = typename TwinCaches::View;
  simt::streams(seed);
  scramble(twins);
  auto const host = twins.host_batch();
  auto const device = twins.device_batch();
  folio::test::SimtBatch<View> const on_device(device);
  auto const step = uploaded(twins);
  auto const in_group = [&](auto g) {
    GroupShape const& shape = twins.host().shape(g());
    for (bool const ragged : {false, true}) {
      Lists const lists(lengths, ragged ? shape.kv_heads : 1, ragged ? shape.layers : 1, 17);
      ops::compact(host, g(), lists.host());
      if (ragged)  // few threads, so that a list takes several tiles, and blocks that have several columns
        simt::launch({.grid = 3, .block = 32, .name = "compact_kernel", .seed = seed}, ops::compact_kernel<View, g()>,
                     on_device.view(), lists.device());
      else
        ops::compact(step, g(), lists.device(), nullptr);
      REQUIRE(simt::num_host_waits() == 0);
      cudaDeviceSynchronize();
      simt::streams(seed);
      REQUIRE(twins.same_bytes());
    }
  };
  in_group(std::integral_constant<int, 0>{});
  if constexpr (View::num_groups > 1) in_group(std::integral_constant<int, 1>{});
}

template <class... Policies>
void compact(std::uint64_t seed) {
  using TwinCaches = folio::test::Twins<Policies...>;
  TwinCaches twins({.num_blocks = std::vector<std::int64_t>(std::size_t{TwinCaches::Host::num_groups}, 60)});
  std::vector<std::int32_t> const lengths{61, 17, 16, 0, 1, 8};
  for (std::int32_t const n : lengths) twins.add(n);
  compact_everywhere(twins, lengths, seed);
}

template <class... Quantizers>
void every_layout() {
  compact<Model<mixed>, BlockSizes<16, 8>, LayoutHnd, Quantizers...>(1);
  compact<Model<mixed>, BlockSizes<16, 8>, LayoutNhd, Quantizers...>(2);
  compact<Model<mixed>, BlockSizes<16, 8>, LayoutInterleaved, Quantizers...>(0);
}

}  // namespace

TEST_CASE("rows are compacted on the device as on the host: f32") { every_layout<F32>(); }
TEST_CASE("rows are compacted on the device as on the host: f16") { every_layout<F16>(); }
TEST_CASE("rows are compacted on the device as on the host: bf16") { every_layout<BF16>(); }
TEST_CASE("rows are compacted on the device as on the host: fp8") { every_layout<Fp8E4M3>(); }
TEST_CASE("rows are compacted on the device as on the host: int8") { every_layout<Int8PerToken>(); }
TEST_CASE("rows are compacted on the device as on the host: int4") { every_layout<Int4Rotated>(); }
TEST_CASE("rows are compacted on the device as on the host: wide rows, runs of 4 and 8 bytes, several scales") {
  compact<Model<llama>, Keys<F16>, Values<Int8PerToken>>(3);
  compact<Model<llama>, Int8PerToken, BasicLayoutInterleaved<8>>(4);
  compact<Model<llama>, test::GroupedInt8, test::ShreddedLayout>(5);
}

TEST_CASE("lists longer than what a thread block holds at once") {
  folio::test::Twins<Model<llama>, Int8PerToken> twins({.num_blocks = {60}});
  std::vector<std::int32_t> const lengths{500, 400};
  for (std::int32_t const n : lengths) twins.add(n);
  compact_everywhere(twins, lengths, 9);
}

TEST_CASE("what lies beside the tokens is compacted on the device as on the host") {
  constexpr std::int32_t length = 700, k = 600;
  std::mt19937 random(1);
  std::vector<std::int32_t> kept(4 * k, -1), counts{k, 0, 257, 1};
  for (std::size_t row = 0; row < 4; ++row) {
    std::vector<std::int32_t> tokens(length);
    std::iota(tokens.begin(), tokens.end(), 0);
    std::shuffle(tokens.begin(), tokens.end(), random);
    std::sort(tokens.begin(), tokens.begin() + counts[row]);
    std::copy(tokens.begin(), tokens.begin() + counts[row], kept.begin() + static_cast<std::ptrdiff_t>(row * k));
  }
  std::vector<float> rows(4 * length);
  std::iota(rows.begin(), rows.end(), 1.0F);
  simt::Buffer<float> const device_rows(rows, "rows");
  simt::Buffer<std::int32_t> const device_kept(kept, "kept"), device_counts(counts, "counts");
  simt::streams(4);
  ops::compact_elements(rows.data(), 4, length, kept.data(), counts.data(), k, 0.5F);
  ops::compact_elements(device_rows.data(), 4, length, device_kept.data(), device_counts.data(), k, 0.5F,
                        cudaStream_t{});
  cudaDeviceSynchronize();
  CHECK(device_rows.to_vector() == rows);
}

TEST_CASE("scored, chosen and compacted in one stream, a sequence holds exactly the kept rows") {
  using Twins = folio::test::Twins<Model<llama>, Keys<Int4Rotated>, Values<Int8PerToken>>;
  constexpr std::int32_t k = 20, heads = 8, longest = 45;
  Twins twins({.num_blocks = {20}});
  std::vector<std::int32_t> const lengths{45, 33, 12};
  for (std::int32_t const n : lengths) twins.add(n);
  auto const host = twins.host_batch();
  auto const queries = static_cast<std::size_t>(host.num_query_tokens());
  simt::Buffer<float> const scores(2 * 3 * 2 * longest, "scores");
  std::vector<simt::Buffer<float>> inputs;
  simt::streams(12);
  auto const step = uploaded(twins);
  DeviceView<Twins::View> const view = step.view();
  for (std::int32_t layer = 0; layer < 2; ++layer) {
    auto const rows = folio::test::random_rows(queries * 256, 5 + static_cast<std::uint32_t>(layer));
    auto const q = folio::test::random_rows(queries * heads * 128, 7 + static_cast<std::uint32_t>(layer));
    std::vector<float> out(q.size()), lse(queries * heads);
    ops::append(host.view(), layer, rows.data(), rows.data());
    ops::attend(host.view(), layer, AttentionIo{q.data(), heads, out.data(), lse.data()}, {.scale = 0.02F});
    inputs.emplace_back(rows, "rows");
    inputs.emplace_back(q, "q");
    inputs.emplace_back(lse, "lse");
    float const* const kv = inputs[inputs.size() - 3].data();
    ops::append(view, layer, kv, kv, cudaStream_t{});
    ops::accumulate_scores(view, layer, static_cast<float const*>(inputs[inputs.size() - 2].data()), heads,
                           inputs.back().data(), scores.data() + layer * 3 * 2 * longest,
                           {.max_tokens = longest, .scale = 0.02F, .decay = 0}, nullptr);
  }
  ops::TopKOptions const options{.k = k, .max_tokens = longest, .heads = 2, .layers = 2, .sinks = 1, .recent = 4};
  std::int64_t const temp_bytes = ops::top_k_temp_bytes(3, options);
  simt::Buffer<std::byte> const temp(static_cast<std::size_t>(temp_bytes), "temporary");
  simt::Buffer<std::int32_t> const kept(12 * k, "kept"), counts(12, "counts");
  ops::top_k(view, scores.data(), options, kept.data(), counts.data(), temp.data(), temp_bytes, nullptr);
  ops::compact(step, 0, {kept.data(), counts.data(), k, 2, 2}, nullptr);
  REQUIRE(simt::num_host_waits() == 0);
  cudaDeviceSynchronize();

  for (std::int32_t i = 0; i < 3; ++i)
    for (std::int32_t layer = 0; layer < 2; ++layer) {
      std::int32_t const length = lengths[static_cast<std::size_t>(i)], count = std::min(k, length);
      simt::Buffer<float> const keys(static_cast<std::size_t>(count) * 256, "keys"), values(keys.size(), "values");
      ops::gather(view, layer, {i, 0, count}, keys.data(), values.data(), cudaStream_t{});
      cudaDeviceSynchronize();
      std::vector<float> all_keys(static_cast<std::size_t>(length) * 256), all_values(all_keys.size());
      ops::gather(host.view(), layer, {i, 0, length}, all_keys.data(), all_values.data());
      for (std::int32_t head = 0; head < 2; ++head)
        for (std::int32_t j = 0; j < count; ++j) {
          auto const list = static_cast<std::size_t>((layer * 3 + i) * 2 + head);
          CAPTURE(i, layer, head, j);
          REQUIRE(counts[list] == count);
          auto const from = static_cast<std::size_t>(kept[list * k + static_cast<std::size_t>(j)] * 2 + head) * 128;
          auto const to = static_cast<std::size_t>(j * 2 + head) * 128;
          REQUIRE(std::memcmp(keys.data() + to, all_keys.data() + from, 128 * sizeof(float)) == 0);
          REQUIRE(std::memcmp(values.data() + to, all_values.data() + from, 128 * sizeof(float)) == 0);
        }
    }
}

TEST_CASE("lists of other layers or heads than the group has are refused on the device") {
  folio::test::Twins<Model<llama>> twins({.num_blocks = {4}});
  twins.add(1);
  auto const batch = uploaded(twins);
  auto const run = [&](std::int32_t group, TokenLists const& lists) { ops::compact(batch, group, lists, nullptr); };
  REQUIRE_THROWS_WITH(run(1, {}), test::contains("folio: the model has 1 layer groups, so no group 1"));
  REQUIRE_THROWS_WITH(run(0, {nullptr, nullptr, 1, 3, 1}), test::contains("lists for 3 heads do not fit 2 kv heads"));
  REQUIRE_THROWS_WITH(run(0, {nullptr, nullptr, 1, 1, 4}), test::contains("lists for 4 layers"));
  REQUIRE_THROWS_WITH(run(0, {nullptr, nullptr, 1, 1, 1, -1}), test::contains("num_first is -1"));
}

TEST_CASE("on the device no block is written that others have: those from num_first to k are refused before") {
  using Twins = folio::test::Twins<Model<llama>, Int8PerToken>;  // blocks of 16 tokens
  constexpr std::int32_t k = 40;
  Twins twins({.num_blocks = {20}});
  twins.add(20);
  twins.add(60);
  scramble(twins);
  auto const before_fork = uploaded(twins);
  twins.fork(1);
  std::vector<std::int32_t> tokens(3 * k, -1), counts{0, k, 0};
  for (std::int32_t j = 0; j < k; ++j) tokens[static_cast<std::size_t>(k + j)] = j < 16 ? j : j + 20;
  simt::Buffer<std::int32_t> const device_tokens(tokens, "kept tokens"), device_counts(counts, "counts");
  auto const lists = [&](std::int32_t num_first) {
    return TokenLists{.tokens = device_tokens.data(), .counts = device_counts.data(), .k = k, .num_first = num_first};
  };
  auto const bytes = [&] {
    return std::vector<std::byte>(twins.device().pool(), twins.device().pool() + 21 * twins.device().block_bytes());
  };
  auto const before = bytes();
  simt::streams(5);
  auto const shared = uploaded(twins);
  auto const refusal = [](int blocks, std::int32_t first, std::int32_t end) {
    return test::contains(
        "compact would write " + std::to_string(blocks) +
        " blocks of sequence 1 of the batch that a fork or a prefix index has, too; call Sequence::own(" +
        std::to_string(first) + ", " + std::to_string(end) + ", 0)");
  };
  CHECK_THROWS_WITH(ops::compact(shared, 0, lists(0), nullptr), refusal(3, 0, 40));
  CHECK_THROWS_WITH(ops::compact(shared, 0, lists(16), nullptr), refusal(2, 16, 40));
  CHECK_THROWS_WITH(ops::compact(shared, 0, lists(39), nullptr), refusal(1, 39, 40));
  CHECK_THROWS_WITH(ops::compact(before_fork, 0, lists(16), nullptr), refusal(2, 16, 40));
  TokenLists to_the_end = lists(16);
  to_the_end.k = 100;
  CHECK_THROWS_WITH(ops::compact(shared, 0, to_the_end, nullptr), refusal(3, 16, 60));
  cudaDeviceSynchronize();
  CHECK(bytes() == before);

  twins.own(1, 16, 40);
#ifndef NDEBUG
  CHECK_THROWS_WITH(ops::compact(shared, 0, lists(16), nullptr), test::contains("this batch is stale"));
#endif
  auto const own = uploaded(twins);
  ops::compact(own, 0, lists(16), nullptr);
  cudaDeviceSynchronize();
  auto const host = twins.host_batch();
  ops::compact(host, 0, {tokens.data(), counts.data(), k});
  CHECK(twins.same_bytes());
  auto const& block_bytes = twins.host().block_bytes();
  for (std::size_t i = 0; i < 4; ++i) {
    std::int64_t const begin = to_int(twins.host_sequences()[2].blocks()[i]) * block_bytes;
    CAPTURE(i);
    CHECK(std::equal(before.begin() + begin, before.begin() + begin + block_bytes, twins.device().pool() + begin));
  }
}

TEST_CASE("on the device the first ones of a list stay where they are, whatever it says") {
  folio::test::Twins<Model<llama>, Int8PerToken> twins({.num_blocks = {8}});
  twins.add(40);
  scramble(twins);
  std::vector<std::int32_t> said(30), done(30), counts{30};
  std::iota(said.begin(), said.end(), 5);
  for (std::int32_t j = 0; j < 30; ++j) done[static_cast<std::size_t>(j)] = j < 11 ? j : j + 5;
  simt::Buffer<std::int32_t> const device_tokens(said, "kept tokens"), device_counts(counts, "counts");
  simt::streams(6);
  auto const step = uploaded(twins);
  ops::compact(step, 0, {.tokens = device_tokens.data(), .counts = device_counts.data(), .k = 30, .num_first = 11},
               nullptr);
  cudaDeviceSynchronize();
  ops::compact(twins.host_batch(), 0, {done.data(), counts.data(), 30});
  CHECK(twins.same_bytes());
}
