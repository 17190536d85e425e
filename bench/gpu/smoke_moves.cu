// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Smoke tests: what moves, turns and chooses tokens comes to the host's bytes.
#include <folio/allocator/pinned.cuh>
#include <folio/ops/compact.cuh>
#include <folio/ops/copy_blocks.cuh>
#include <folio/ops/reposition.cuh>
#include <folio/ops/requantize.cuh>
#include <folio/ops/scores.cuh>
#include <folio/ops/swap.cuh>
#include <folio/ops/top_k.cuh>

#include "pair.cuh"

namespace folio::bench {

namespace {

/// Two sequences' keys turned to other positions: both kinds of pairs, whole rows and a part.
void smoke_rotate(Run const&) {
  Pair<LlamaModel, F16> pair({60});
  fill(pair, 7);
  auto const on_host = pair.step();
  for (std::int32_t const dims : {128, 64})
    for (ops::RopePairs const pairs : {ops::RopePairs::half_split, ops::RopePairs::interleaved}) {
      std::vector<ops::RopeTurn> const table = ops::rope_table(ops::rope_inverse_frequencies(10000.0, dims), -37);
      Array<ops::RopeTurn> const device_table(table);
      ops::reposition(on_host.view(), 0, {3, 2, 15}, table, pairs);
      ops::reposition(pair.view(), 0, {3, 2, 15}, device_table.data(), dims / 2, pairs, pair.stream);
      pair.stream.wait();
    }
  pair.expect_same_blocks("what rotate wrote");
}

/// Tokens of one cache stored in another format.
template <class From, class To>
void smoke_requantize(Run const&) {
  Pair<HybridModel, HybridBlocks, From> from(hybrid_blocks());
  Pair<HybridModel, HybridBlocks, To> to(hybrid_blocks());
  fill(from, 7);
  to.add(40);
  auto const on_host_from = from.step();
  auto const on_host_to = to.step();
  to.stream.wait();  // its tables come on its own stream
  for (std::int32_t layer = 0; layer < 3; ++layer) {
    std::int32_t const n = layer == 1 ? 1 : 17;  // the window gives older tokens back
    std::int32_t const first = on_host_from.lengths()[3] - n, at = 40 - n;
    ops::requantize(on_host_from.view(), layer, {3, first, n}, on_host_to.view(), {0, at, n});
    ops::requantize(from.view(), layer, {3, first, n}, to.view(), {0, at, n}, from.stream);
  }
  from.stream.wait();
  to.expect_same_blocks("what requantize wrote");
}

/// Blocks copied within the pool, out to the host and in again elsewhere.
void smoke_swap(Run const&) {
  Pair<LlamaModel, Int8PerToken> pair({80});
  fill(pair, 7);
  std::int64_t const bytes = pair.device().block_bytes(), count = 20;
  std::byte *const pool = pair.device().pool(), *const host_pool = pair.host().pool();
  std::vector<BlockCopy> within, out, in;
  for (int i = 1; i <= count; ++i) {
    within.push_back({BlockId{i}, BlockId{30 + i}});
    out.push_back({BlockId{2 * i}, BlockId{i}});
    in.push_back({BlockId{i}, BlockId{55 + i}});
  }
  std::byte* const pinned = PinnedAllocator().allocate((count + 1) * bytes, 64);
  ops::copy_blocks(pool, pool, bytes, within, pair.stream);
  ops::swap_out(pool, pinned, bytes, out, pair.stream);
  ops::swap_in(pool, pinned, bytes, in, pair.stream);
  pair.stream.wait();
  PinnedAllocator().deallocate(pinned, (count + 1) * bytes);
  std::vector<std::byte> host(static_cast<std::size_t>((count + 1) * bytes));
  ops::copy_blocks(host_pool, host_pool, bytes, within);
  ops::copy_blocks(host_pool, host.data(), bytes, out);
  ops::copy_blocks(host.data(), host_pool, bytes, in);
  pair.expect_same_blocks("what copies of blocks wrote");
}

/// Sums of weights, the tokens to keep by them, and the rows of these moved to the front.
template <class Q>
void smoke_retention(Run const&) {
  Pair<LlamaModel, Q> pair({80});
  for (std::int32_t const length : {33, 100, 61}) pair.add(length);
  pair.write(1);
  auto const on_host = pair.step();
  constexpr std::int32_t heads = 4, max_tokens = 110, kv_heads = 2, rows = 3 * kv_heads;
  constexpr std::int32_t device_rows = 8 * kv_heads;  // the device's step is padded to 8 sequences
  std::int64_t const queries = std::int64_t{pair.max_queries} * heads;
  std::vector<float> const q = random_rows(queries * 128, 9), zeros(device_rows * max_tokens);
  std::vector<float> out(q.size()), lse(static_cast<std::size_t>(queries), 1.0F), scores(rows * max_tokens);
  ops::attend(on_host.view(), 0, AttentionIo{q.data(), heads, out.data(), lse.data()});
  Array<float> const device_q(q), device_lse(lse), device_scores(zeros);
  ops::ScoreOptions const score{.max_tokens = max_tokens, .decay = 0};
  ops::accumulate_scores(on_host.view(), 0, q.data(), heads, lse.data(), scores.data(), score);
  ops::accumulate_scores(pair.view(), 0, device_q.data(), heads, device_lse.data(), device_scores.data(), score,
                         pair.stream);
  std::vector<float> const found = device_scores.to_host(pair.stream, 0, rows * max_tokens);
  expect_near("sums of weights", scores, found, 2e-5);

  ops::TopKOptions const top{.k = 30, .max_tokens = max_tokens, .heads = kv_heads, .sinks = 2, .recent = 3};
  std::vector<std::int32_t> kept(static_cast<std::size_t>(rows * top.k)), counts(rows);
  ops::top_k(on_host.view(), found.data(), top, kept.data(), counts.data());
  std::int64_t const bytes = ops::top_k_temp_bytes(8, top);
  Array<std::byte> const temporary(bytes);
  Array<std::int32_t> const device_kept(std::int64_t{device_rows} * top.k), device_counts(device_rows);
  ops::top_k(pair.view(), device_scores.data(), top, device_kept.data(), device_counts.data(), temporary.data(), bytes,
             pair.stream);
  expect_same("the tokens to keep", kept, device_kept.to_host(pair.stream, 0, rows * top.k));
  expect_same("numbers of tokens to keep", counts, device_counts.to_host(pair.stream, 0, rows));

  ops::compact(on_host, 0, {kept.data(), counts.data(), top.k, kv_heads, 1});
  ops::compact(pair.batch(), 0, {device_kept.data(), device_counts.data(), top.k, kv_heads, 1, top.sinks}, pair.stream);
  pair.expect_same_blocks("what compact wrote");
  ops::compact_elements(scores.data(), rows, max_tokens, kept.data(), counts.data(), top.k, -1.0F);
  ops::compact_elements(device_scores.data(), rows, max_tokens, device_kept.data(), device_counts.data(), top.k, -1.0F,
                        pair.stream);
  expect_near("compacted scores", scores, device_scores.to_host(pair.stream, 0, rows * max_tokens), 2e-5);
}

}  // namespace

void add_move_smoke(std::vector<Job>& jobs) {
  jobs.push_back({"smoke/swap", 30, true, smoke_swap});
  jobs.push_back({"smoke/rotate", 30, true, smoke_rotate});
  jobs.push_back({"smoke/requantize/f16/int8", 30, true, smoke_requantize<F16, Int8PerToken>});
  jobs.push_back({"smoke/retention/int8", 30, true, smoke_retention<Int8PerToken>});
#if defined(FOLIO_GPU_BENCH_ALL)
  jobs.push_back({"smoke/requantize/bf16/int4", 30, false, smoke_requantize<BF16, Int4Rotated>});
  jobs.push_back({"smoke/retention/f16", 30, false, smoke_retention<F16>});
  jobs.push_back({"smoke/retention/int4", 30, false, smoke_retention<Int4Rotated>});
#endif
}

}  // namespace folio::bench
