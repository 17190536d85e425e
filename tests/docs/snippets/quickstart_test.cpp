// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What docs/quickstart.md shows, and that it does what is said there.

// [cache]
#include <folio/folio.hpp>

constexpr folio::ModelConfig model{.layers = 4, .kv_heads = 2, .head_dim = 64};
using Cache = folio::KvCache<folio::Model<model>, folio::BlockSize<16>, folio::Int8PerToken>;
// [/cache]

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <folio/ops/compact.hpp>
#include <folio/ops/key_norms.hpp>
#include <folio/ops/reposition.hpp>
#include <folio/ops/top_k.hpp>
#include <folio/reservation.hpp>
#include <folio/thread_pool.hpp>
#include <span>
#include <vector>

#include "support/catch.hpp"

namespace {

constexpr std::int32_t row_floats = 2 * 64;  // a token's keys in one layer

std::vector<float> numbers(std::int64_t n, float begin = 0) {
  std::vector<float> x(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(begin + static_cast<float>(i));
  return x;
}

/// Runs a step of every layer; returns what the last layer's attention gives.
std::vector<float> run_step(Cache::View const& view, float seed) {
  int const num_query_heads = 4;
  std::vector<float> const keys = numbers(view.num_query_tokens() * row_floats, seed), values = keys;
  std::vector<float> const q = numbers(std::int64_t{view.num_query_tokens()} * num_query_heads * 64);
  std::vector<float> out(q.size());
  // [step]
  for (std::int32_t layer = 0; layer < model.layers; ++layer) {
    // keys, values: [query token][kv head][dim], rotary embedding applied; q, out: [query token][query head][dim]
    folio::ops::append(view, layer, keys.data(), values.data());
    folio::ops::attend(view, layer, folio::AttentionIo{q.data(), num_query_heads, out.data()});
  }
  // [/step]
  return out;
}

// [keep]
/// Keeps 64 tokens of each kv head in these layers, which are all of a group: [layer][kv head][k] of their numbers.
/// Nothing, and nothing changed, where there are no more, or too few blocks for copies of those that others have.
template <class AnyCache>
std::vector<std::int32_t> thin_out(AnyCache& cache, folio::Sequence& sequence, std::span<std::int32_t const> layers,
                                   std::int32_t group = 0) {
  std::int32_t const k = 64, sinks = 4, recent = 16;
  std::int32_t const num_layers = cache.shape(group).layers, heads = cache.shape(group).kv_heads;
  std::int32_t const stored = sequence.num_stored_tokens(group);
  if (stored <= k || !sequence.try_own(sinks, k, group)) return {};

  auto const batch = cache.batch({&sequence});
  auto const view = batch.view();
  auto const num_lists = static_cast<std::size_t>(num_layers * heads);
  std::vector<float> scores(num_lists * static_cast<std::size_t>(stored));  // [layer][kv head][token]
  float* of_layer = scores.data();
  for (std::int32_t const layer : layers) {  // tokens with short keys count most
    folio::ops::key_norms(view, layer, {.sequence = 0, .first = 0, .count = stored}, of_layer, -1.0F);
    of_layer += heads * stored;
  }
  folio::ops::TopKOptions const options{.k = k,
                                        .max_tokens = stored,
                                        .heads = heads,
                                        .layers = num_layers,
                                        .sinks = sinks,
                                        .recent = recent,
                                        .group = group};
  std::vector<std::int32_t> kept(num_lists * static_cast<std::size_t>(k)), counts(num_lists);
  folio::ops::top_k(view, scores.data(), options, kept.data(), counts.data());
  folio::ops::compact(batch, group, {kept.data(), counts.data(), k, heads, num_layers});
  sequence.keep({.num_tokens = k, .num_first = sinks, .num_last = recent}, group);
  return kept;
}
// [/keep]

}  // namespace

TEST_CASE("quickstart: a cache, a prompt, and decoding") {
  using namespace folio::literals;
  // [memory]
  Cache cache(folio::CacheConfig{.memory_bytes = 4_MiB});
  // [/memory]
  REQUIRE(cache.num_blocks() > 200);

  // [prefill]
  folio::Sequence sequence = cache.create(37);  // the prompt's slots
  auto batch = cache.batch({&sequence});        // its 37 new tokens are the step's queries
  run_step(batch.view(), 1.0F);
  // [/prefill]
  REQUIRE(batch.num_query_tokens() == 37);
  REQUIRE(sequence.blocks().size() == 3);

  // [decode]
  for (int step = 0; step < 20; ++step) {
    sequence.extend(1);
    folio::BatchItem const items[] = {&sequence};
    cache.batch(items, batch);  // the same tables again, without allocating
    run_step(batch.view(), 2.0F);
  }
  // [/decode]
  REQUIRE(sequence.num_tokens() == 57);
}

TEST_CASE("quickstart: running out of blocks") {
  Cache cache(folio::CacheConfig{.num_blocks = {4}});
  folio::Sequence sequence = cache.create(60);
  bool refused = false;
  // [try_extend]
  if (!sequence.try_extend(10)) {
    refused = true;  // nothing was changed: wait, or release another sequence
  }
  // [/try_extend]
  REQUIRE(refused);
  REQUIRE(sequence.num_tokens() == 60);

  std::int64_t asked = 0, free = 0;
  // [out_of_blocks]
  try {
    sequence.extend(10);
  } catch (folio::OutOfBlocks const& e) {
    asked = e.asked();  // 1 block
    free = e.free();    // 0 blocks
  }
  // [/out_of_blocks]
  REQUIRE(asked == 1);
  REQUIRE(free == 0);
  // [admission]
  bool const fits = sequence.can_extend(10);
  // [/admission]
  REQUIRE_FALSE(fits);
}

TEST_CASE("quickstart: blocks are held for what a request is expected to generate") {
  Cache cache(folio::CacheConfig{.num_blocks = {8}});
  folio::Sequence request = cache.create(20);
  // [forecast]
  folio::GrowthForecast forecast;  // the mean of those that have ended, and 1.5 standard deviations
  for (std::int32_t const answer : {60, 80, 70}) forecast.ended(answer);
  folio::Reservation ahead;
  bool const admitted = ahead.try_reserve(request, forecast.further());  // 85 tokens: 5 blocks that nobody else gets
  while (request.num_tokens() < 90 && ahead.try_extend(request, 1)) {    // a token in each step
  }
  ahead.release();  // it ended early: what it did not need is free again
  // [/forecast]
  CHECK(admitted);
  CHECK(request.num_tokens() == 90);
  CHECK(cache.num_free_blocks() == 2);
}

TEST_CASE("quickstart: a fork shares blocks until one side writes") {
  Cache cache(folio::CacheConfig{.num_blocks = {8}});
  folio::Sequence parent = cache.create(37);
  run_step(cache.batch({&parent}).view(), 1.0F);
  // [fork]
  folio::Sequence child = parent.fork();  // 3 blocks, all shared
  child.extend(1);                        // the third is partly filled: child gets a copy of it
  // [/fork]
  folio::Stats const stats = cache.stats();
  REQUIRE(stats.live == 4);
  REQUIRE(stats.shared == 2);
  REQUIRE(stats.counters.copies == 1);

  // [truncate]
  child.extend(4);     // slots for four drafted tokens
  child.truncate(39);  // one of them was accepted
  // [/truncate]
  REQUIRE(child.num_tokens() == 39);
}

TEST_CASE("quickstart: the middle of a long sequence is taken out by place") {
  Cache cache(folio::CacheConfig{.num_blocks = {14}});
  folio::Sequence sequence = cache.create(200);
  run_step(cache.batch({&sequence}).view(), 1.0F);
  // [thin]
  std::int32_t const sinks = 16, recent = 64, block_size = 16;
  std::int32_t const middle = sequence.num_stored_tokens() - sinks - recent;
  sequence.cut(sinks, middle / block_size * block_size);  // 112 tokens, 7 blocks
  // [/thin]
  CHECK(sequence.num_tokens() == 200);
  CHECK(sequence.num_stored_tokens() == 88);
  CHECK(sequence.num_exact_tokens() == 16);
  CHECK(cache.num_free_blocks() == 8);
  sequence.extend(1);
  auto const batch = cache.batch({&sequence});
  CHECK(batch.end_positions()[0] == 201);
  std::vector<float> keys(2 * row_floats);
  folio::ops::gather(batch.view(), 0, {0, 15, 2}, keys.data(), nullptr);
  auto const written = numbers(200 * row_floats, 1.0F);
  for (std::size_t i = 0; i < row_floats; ++i) {
    REQUIRE(std::abs(keys[i] - written[15 * row_floats + i]) < 0.005F);
    REQUIRE(std::abs(keys[row_floats + i] - written[128 * row_floats + i]) < 0.005F);
  }

  CHECK_FALSE(cache.create().can_extend(200));  // there is no room for the gap as a whole
  // [again]
  folio::Sequence again = cache.create(sinks);                   // what is stored before the gap
  for (std::int32_t gone = 112; gone > 0; gone -= block_size) {  // the gap, a block at a time
    again.extend(block_size);
    again.cut(sinks, block_size);
  }
  again.extend(72);  // what is stored after it
  // [/again]
  CHECK(again.num_tokens() == 200);
  CHECK(again.num_stored_tokens() == 88);
  CHECK(again.num_exact_tokens() == 16);
  CHECK_THROWS_AS(again.truncate(127), folio::Error);
  again.truncate(128);  // where the gap ends in the other, too
  CHECK(again.num_stored_tokens() == 16);
}

TEST_CASE("quickstart: tokens of a long sequence are kept by choice") {
  Cache cache(folio::CacheConfig{.num_blocks = {14}});
  folio::Sequence sequence = cache.create(200);
  run_step(cache.batch({&sequence}).view(), 1.0F);
  auto const batch = cache.batch({&sequence});
  auto const view = batch.view();
  std::vector<float> before(200 * row_floats), after(64 * row_floats);
  folio::ops::gather(view, 3, {0, 0, 200}, before.data(), nullptr);
  {
    folio::Sequence const fork = sequence.fork();
    CHECK(thin_out(cache, sequence, std::vector<std::int32_t>{0, 1, 2, 3}).empty());
  }
  // [keep_all]
  std::int32_t const layers[] = {0, 1, 2, 3};
  std::vector<std::int32_t> const kept = thin_out(cache, sequence, layers);
  // [/keep_all]
  REQUIRE(kept.size() == 4 * 2 * 64);
  CHECK(batch.is_stale());
  CHECK(sequence.num_stored_tokens() == 64);
  CHECK(sequence.num_exact_tokens() == 4);
  CHECK(cache.num_free_blocks() == 10);
  sequence.extend(1);
  auto const next = cache.batch({&sequence});
  folio::ops::gather(next.view(), 3, {0, 0, 64}, after.data(), nullptr);
  for (std::size_t head = 0; head < 2; ++head)
    for (std::size_t j = 0; j < 64; ++j) {
      auto const token = static_cast<std::size_t>(kept[(3 * 2 + head) * 64 + j]);
      REQUIRE(std::equal(&after[j * row_floats + head * 64], &after[j * row_floats + head * 64] + 64,
                         &before[token * row_floats + head * 64]));
    }

  // [again_kept]
  folio::Sequence again = cache.create(48);  // 64 tokens, less the 16 last ones
  for (std::int32_t gone = 136; gone > 0; gone -= 16) {
    again.extend(std::min(16, gone));
    again.keep({.num_tokens = 48, .num_first = 4});
  }
  again.extend(16);
  // [/again_kept]
  CHECK(again.num_tokens() == 200);
  CHECK(again.num_stored_tokens() == 64);
  CHECK(again.num_exact_tokens() == 4);
  CHECK_THROWS_AS(again.truncate(183), folio::Error);
  again.truncate(184);  // where the gap ends in the other, too
  CHECK(again.num_stored_tokens() == 48);
}

TEST_CASE("quickstart: keys after a gap take the positions at which they are stored") {
  folio::KvCache<folio::Model<model>, folio::F16> cache(folio::CacheConfig{.num_blocks = {14}});
  folio::Sequence sequence = cache.create(200);
  std::vector<float> const rows = numbers(200 * row_floats);
  for (std::int32_t layer = 0; layer < model.layers; ++layer)
    folio::ops::append(cache.batch({&sequence}).view(), layer, rows.data(), rows.data());
  std::int32_t const sinks = 16, gone = 112;
  sequence.cut(sinks, gone);
  // [close_up]
  std::vector<float> const frequencies = folio::ops::rope_inverse_frequencies(10000, 64);  // base, rotary dims
  std::vector<folio::ops::RopeTurn> const back = folio::ops::rope_table(frequencies, -gone);
  auto const batch = cache.batch({{&sequence, 1}});
  auto const view = batch.view();
  for (std::int32_t layer = 0; layer < model.layers; ++layer)
    folio::ops::reposition(view, layer, {.sequence = 0, .first = sinks, .count = sequence.num_stored_tokens() - sinks},
                           back);
  // [/close_up]
  std::vector<float> keys(row_floats);
  folio::ops::gather(view, 3, {0, sinks, 1}, keys.data(), nullptr);
  double const angle = -112.0 * double{frequencies[5]};
  double const x = rows[128 * row_floats + 5], y = rows[128 * row_floats + 5 + 32];
  CHECK(keys[5] == Approx(x * std::cos(angle) - y * std::sin(angle)).margin(0.002));
}

TEST_CASE("quickstart: a batch of sequences in different states") {
  Cache cache(folio::CacheConfig{.num_blocks = {32}});
  folio::Sequence decoding = cache.create(20);
  run_step(cache.batch({&decoding}).view(), 1.0F);
  // [batch]
  decoding.extend(1);                          // decode: one new token
  folio::Sequence prompt = cache.create(100);  // a prompt: a hundred
  auto const batch = cache.batch({&decoding, &prompt});
  auto const view = batch.view();  // good until the batch is filled again
  // [/batch]
  REQUIRE(view.num_query_tokens() == 101);
  REQUIRE(batch.lengths()[0] == 21);
  REQUIRE(batch.query_starts()[1] == 1);

  // [chunk]
  auto const last_eight = cache.batch({{&prompt, 8}});  // queries: the last eight tokens
  // [/chunk]
  REQUIRE(last_eight.num_query_tokens() == 8);
  REQUIRE(last_eight.lengths()[0] == 100);
  folio::Sequence const reused = prompt.fork();
  // [anywhere]
  std::vector<std::int32_t> const positions{3, 40, 41};
  for (std::int32_t const position : positions) prompt.own(position, position + 1);  // append writes their blocks
  auto const anywhere = cache.batch({{&prompt, positions}});  // queries: these three, each with all before it
  // [/anywhere]
  REQUIRE(anywhere.limits()[1] == 41);
  for (std::int64_t const slot : anywhere.slots())  // none is in a block of the other
    for (folio::BlockId const block : reused.blocks()) CHECK(slot / 16 != to_int(block));

  // [two_extensions]
  prompt.extend(3);
  prompt.extend(2);                               // its queries would be these two
  auto const five = cache.batch({{&prompt, 5}});  // so say how many there are, or make a step after each extension
  // [/two_extensions]
  REQUIRE(five.num_query_tokens() == 5);
  REQUIRE(cache.batch({&prompt}).num_query_tokens() == 2);
}

TEST_CASE("quickstart: threads, read-back and stats") {
  Cache cache(folio::CacheConfig{.num_blocks = {32}});
  folio::Sequence sequence = cache.create(40);
  auto const batch = cache.batch({&sequence});
  auto const view = batch.view();
  auto const expected = run_step(view, 1.0F);
  std::vector<float> const q = numbers(std::int64_t{40} * 4 * 64);
  std::vector<float> out(q.size());
  std::int32_t const num_query_heads = 4, last_layer = 3;
  // [threads]
  folio::ThreadPool threads(2);  // the calling thread and one more
  folio::AttentionIo const io{q.data(), num_query_heads, out.data()};
  folio::ops::attend(view, last_layer, io, {}, {.threads = &threads});
  // [/threads]
  REQUIRE(out == expected);  // to the last bit: threads change no result

  // [gather]
  std::vector<float> keys(10 * 2 * 64), values(keys.size());  // [token][kv head][dim], decoded
  folio::ops::gather(view, last_layer, {.sequence = 0, .first = 30, .count = 10}, keys.data(), values.data());
  // [/gather]
  auto const written = numbers(40 * row_floats, 1.0F);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    REQUIRE(std::abs(keys[i] - written[30 * row_floats + i]) < 0.005F);
    REQUIRE(values[i] == keys[i]);
  }

  // [stats]
  folio::Stats const stats = cache.stats();
  std::string const json = folio::to_json(stats);
  // [/stats]
  REQUIRE(stats.live == 3);
  REQUIRE(stats.cached == 0);
  REQUIRE(stats.free + stats.live + stats.cached == stats.total);
  REQUIRE(stats.waste() == Approx(8.0 / 48));
  REQUIRE(json.find("\"live\":3") != std::string::npos);
}

TEST_CASE("quickstart: other formats, layouts and models") {
  // [formats]
  using Packed =
      folio::KvCache<folio::Model<model>, folio::Keys<folio::Int8PerToken>, folio::Values<folio::Int4Rotated>,
                     folio::LayoutNhd, folio::HugePageAllocator, folio::BlockSize<32>>;
  // [/formats]
  Packed packed(folio::CacheConfig{.num_blocks = {4}});
  REQUIRE(packed.bytes_per_token() < Cache(folio::CacheConfig{.num_blocks = {4}}).bytes_per_token());

  // [windows]
  constexpr folio::ModelConfig hybrid{.layers = 12,
                                      .kv_heads = 2,
                                      .head_dim = 64,
                                      .groups = {folio::sliding_window(128), folio::full_attention()},
                                      .pattern = folio::repeat_groups({0, 0, 0, 0, 0, 1})};
  using Hybrid = folio::KvCache<folio::Model<hybrid>, folio::BlockSizes<16, 64>>;
  Hybrid cache(folio::CacheConfig{.num_blocks = {100, 100}});
  // [/windows]
  folio::Sequence sequence = cache.create(1000);
  sequence.extend(1);  // blocks that no query sees any more are given back
  folio::Stats const stats = cache.stats();
  REQUIRE(stats.groups[0].live == 9);
  REQUIRE(stats.groups[1].live == 16);
  CHECK(stats.groups[0].stored < 150);
  CHECK(sequence.num_stored_tokens(0) == 1001);

  // [thin_group]
  std::int32_t const full = 1, block_size = 64;    // the group that has no window, with blocks of 64 tokens
  std::int32_t const full_layers[] = {5, 11};      // its layers in the model
  sequence.cut(block_size, 4 * block_size, full);  // by place; the windows stay as they are
  thin_out(cache, sequence, full_layers, full);    // or by choice
  // [/thin_group]
  CHECK(sequence.num_stored_tokens(full) == 64);
  CHECK(sequence.num_stored_tokens(0) == 1001);
  CHECK(sequence.num_exact_tokens() == 4);

  // [dynamic]
  constexpr folio::ModelConfig any_llama{.head_dim = 128};  // layers and kv_heads are given when the cache is made
  using AnyLlama = folio::KvCache<folio::Model<any_llama>, folio::F16>;
  AnyLlama llama(folio::CacheConfig{.num_blocks = {4}, .layers = 2, .kv_heads = 4});
  // [/dynamic]
  REQUIRE(llama.shape().layers == 2);
}
