// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The choice of tokens on the device, run thread by thread on the host, against the host's: the same tokens.
#include "support/simt_cache.hpp"
//
#include <folio/ops/top_k.cuh>

#include "simt/streams.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

using namespace folio;
using ops::TopKOptions;

constexpr ModelConfig tiny{.layers = 1, .kv_heads = 1, .head_dim = 8};
using Twins = folio::test::Twins<Model<tiny>, F32>;
constexpr ModelConfig two{.layers = 2,
                          .kv_heads = 1,
                          .head_dim = 8,
                          .groups = {full_attention(), sliding_window(8)},
                          .pattern = repeat_groups({0, 1})};
using TwoGroups = folio::test::Twins<Model<two>, BlockSizes<8, 8>, F32>;

/// Temporary storage of exactly the size that top_k asks for, aligned as it wants.
struct Temporary {
  Temporary(std::int32_t num_sequences, TopKOptions const& options)
      : bytes(ops::top_k_temp_bytes(num_sequences, options)), memory(static_cast<std::size_t>(bytes), "temporary") {}
  std::int64_t bytes;
  simt::Buffer<std::byte> memory;
};

/// Rows of scores of `levels` levels, with what is not an ordinary number among them.
std::vector<float> scores_of(std::size_t size, std::int32_t levels) {
  std::mt19937 random(static_cast<std::uint32_t>(levels));
  std::vector<float> scores(size);
  for (float& s : scores) {
    s = static_cast<float>(test::below(random, levels) - levels / 2) / 4;
    if (test::below(random, 50) == 0) s = std::vector{INFINITY, -INFINITY, NAN, -NAN, -0.0F}[random() % 5];
  }
  return scores;
}

/// Scores after a sequence's end, which nobody has set, must not be read.
class ForbiddenTails {
 public:
  ForbiddenTails(simt::Buffer<float> const& scores, std::vector<std::int32_t> const& lengths,
                 TopKOptions const& options) {
    auto const width = static_cast<std::size_t>(options.max_tokens);
    for (std::size_t row = 0; row * width < scores.size(); ++row) {
      auto const length =
          static_cast<std::size_t>(lengths[row / static_cast<std::size_t>(options.heads) % lengths.size()]);
      tails_.push_back({scores.data() + row * width + length, (width - length) * sizeof(float)});
      simt::forbid(tails_.back().first, tails_.back().second);
    }
  }
  ~ForbiddenTails() {
    for (auto const& [memory, bytes] : tails_) simt::allow(memory, bytes);
  }

 private:
  std::vector<std::pair<float const*, std::size_t>> tails_;
};

template <class TwinCaches>
void check(TwinCaches& twins, std::vector<std::int32_t> const& lengths, TopKOptions const& options, std::int32_t levels,
           std::uint64_t seed) {
  CAPTURE(options.k, options.sinks, options.recent, levels, seed);
  using View = typename TwinCaches::View;
  auto const host = twins.host_batch();
  auto const device = twins.device_batch();
  folio::test::SimtBatch<View> const on_device(device);
  auto const rows = static_cast<std::size_t>(options.layers * options.heads) * lengths.size();
  std::vector<float> const scores = scores_of(rows * static_cast<std::size_t>(options.max_tokens), levels);
  std::vector<std::int32_t> kept(rows * static_cast<std::size_t>(options.k)), counts(rows);
  ops::top_k(host.view(), scores.data(), options, kept.data(), counts.data());

  simt::Buffer<float> const device_scores(scores, "scores");
  simt::Buffer<std::int32_t> const device_kept(kept.size(), "kept"), device_counts(rows, "counts");
  Temporary const temporary(host.num_sequences(), options);
  ForbiddenTails const tails(device_scores, lengths, options);
  simt::streams(seed);
  ops::top_k(DeviceView<View>(on_device.view()), device_scores.data(), options, device_kept.data(),
             device_counts.data(), temporary.memory.data(), temporary.bytes, nullptr);
  REQUIRE(simt::num_host_waits() == 0);
  cudaStreamSynchronize(nullptr);
  REQUIRE(device_counts.to_vector() == counts);
  REQUIRE(device_kept.to_vector() == kept);
}

void check(std::vector<std::int32_t> const& lengths, TopKOptions const& options, std::int32_t levels,
           std::uint64_t seed) {
  Twins twins({.num_blocks = {200}});
  for (std::int32_t const n : lengths) twins.add(n);
  check(twins, lengths, options, levels, seed);
}

}  // namespace

TEST_CASE("the same tokens on the device as on the host") {
  auto const k = GENERATE(0, 1, 7, 16, 17, 40, 41);
  auto const levels = GENERATE(1, 3, 10000);
  TopKOptions const options{
      .k = k, .max_tokens = 41, .heads = 2, .layers = 2, .sinks = std::min(k, 2), .recent = std::clamp(k - 2, 0, 3)};
  check({0, 1, 15, 16, 17, 40, 41}, options, levels, static_cast<std::uint64_t>(k));
}

TEST_CASE("the same tokens where a layer group stores fewer than another") {
  TwoGroups twins({.num_blocks = {40, 40}});
  for (std::int32_t const n : {30, 9, 33}) twins.add(n);
  twins.cut_blocks(0, 1, 2);
  check(twins, {14, 9, 33}, {.k = 6, .max_tokens = 33, .heads = 2}, 100, 1);
  check(twins, {30, 9, 33}, {.k = 6, .max_tokens = 33, .group = 1}, 100, 2);
}

TEST_CASE("the same tokens of rows that are longer than a thread block") {
  auto const k = GENERATE(1, 255, 257, 600);
  auto const levels = GENERATE(2, 10000);
  check({700, 256, 512, 513}, {.k = k, .max_tokens = 701, .sinks = std::min(k, 4), .recent = k / 3}, levels, 3);
  check({700, 3}, {.k = k, .max_tokens = 701}, levels, 0);
}

TEST_CASE("a captured top_k chooses anew from new scores") {
  simt::streams(7);
  constexpr TopKOptions options{.k = 5, .max_tokens = 20, .recent = 2};
  Twins twins({.num_blocks = {20}});
  twins.add(18);
  auto const host = twins.host_batch();
  auto const device = twins.device_batch();
  folio::test::SimtBatch<Twins::View> const on_device(device);
  simt::Buffer<float> const scores(20, "scores");
  simt::Buffer<std::int32_t> const kept(5, "kept"), counts(1, "counts");
  Temporary const temporary(1, options);
  cudaStream_t stream = nullptr;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal) == cudaSuccess);
  ops::top_k(DeviceView<Twins::View>(on_device.view()), scores.data(), options, kept.data(), counts.data(),
             temporary.memory.data(), temporary.bytes, stream);
  REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  REQUIRE(cudaGraphInstantiate(&exec, graph) == cudaSuccess);
  for (std::int32_t step = 1; step < 4; ++step) {
    std::vector<float> const now = scores_of(20, 100 * step);
    std::copy(now.begin(), now.end(), scores.data());
    std::vector<std::int32_t> expected(5), count(1);
    ops::top_k(host.view(), now.data(), options, expected.data(), count.data());
    REQUIRE(cudaGraphLaunch(exec, stream) == cudaSuccess);
    REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
    CHECK(kept.to_vector() == expected);
  }
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
}

TEST_CASE("what top_k on the device cannot do is refused before anything is launched", "[stand_in]") {
  simt::streams(0);
  Twins twins({.num_blocks = {20}});
  twins.add(18);
  auto const device = twins.device_batch();
  folio::test::SimtBatch<Twins::View> const on_device(device);
  simt::Buffer<std::byte> const memory(100000, "temporary");
  auto const run = [&](TopKOptions const& options, std::int64_t bytes) {
    ops::top_k(DeviceView<Twins::View>(on_device.view()), nullptr, options, nullptr, nullptr, memory.data(), bytes,
               nullptr);
  };
  TopKOptions const options{.k = 5, .max_tokens = 20};
  REQUIRE_THROWS_WITH(run(options, ops::top_k_temp_bytes(1, options) - 1), test::contains("top_k needs"));
  REQUIRE_THROWS_WITH(run({.k = 3, .max_tokens = 20, .sinks = 4}, 100000),
                      test::contains("folio: 3 tokens to keep have no room for the first 4 and the last 0"));
  REQUIRE_THROWS_WITH(run({.k = 3, .max_tokens = 1 << 20, .layers = 1 << 11}, 100000),
                      test::contains("2048 rows of 1048576 scores are more than"));
  CHECK(simt::num_launches() == 0);
  simt::fail_next("cudaLaunchKernelEx", cudaErrorLaunchOutOfResources, 1);
  REQUIRE_THROWS_AS(run(options, 100000), CudaError);
  simt::streams(0);
}
