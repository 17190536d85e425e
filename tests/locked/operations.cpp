// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Operations that share their work over a pool of threads, for the thread sanitizer: append, attend, gather and loops
// that throw, with the results of one thread. With FOLIO_TEST_RACE loops write to one place, and it must cry.
#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <folio/folio.hpp>
#include <folio/thread_pool.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/random.hpp"

using namespace folio;

#if defined(FOLIO_TEST_RACE)

int main() {
  ThreadPool threads(2);
  std::int64_t sum = 0;
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> arrived{0};  // relaxed: it makes the two meet, and orders nothing
    threads.parallel_for(2, [&](std::int64_t i) {
      arrived.fetch_add(1, std::memory_order_relaxed);
      while (arrived.load(std::memory_order_relaxed) < 2) std::this_thread::yield();
      sum += i;
    });
  }
  std::printf("the sum is %lld\n", static_cast<long long>(sum));
  return sum < 0 ? 1 : 0;
}

#else

namespace {

constexpr std::int32_t kv_heads = 2, query_heads = 6, dim = 64, num_layers = 2;
constexpr ModelConfig model{.layers = num_layers,
                            .kv_heads = kv_heads,
                            .head_dim = dim,
                            .groups = {full_attention(), sliding_window(100, 4)},
                            .pattern = repeat_groups({0, 1})};

/// What a prompt, a few tokens and one more of several sequences give: stored rows, attention and its log-sum-exp.
template <class... Policies>
std::vector<float> serve(ThreadPool* threads) {
  KvCache<Model<model>, Policies...> cache({.num_blocks = {400, 400}});
  // One context that is shared by threads in parts, and others that are not.
  Sequence sequences[] = {cache.create(), cache.create(), cache.create()};
  std::vector<float> all;
  unsigned seed = 0;
  using Step = std::array<std::int32_t, 3>;
  for (Step const& step : {Step{2500, 40, 1}, Step{1, 5, 0}, Step{1, 1, 70}}) {
    for (std::size_t i = 0; i < 3; ++i) sequences[i].extend(step[i]);
    auto const batch = cache.batch({&sequences[0], &sequences[1], &sequences[2]});
    auto const view = batch.view();
    std::int64_t const tokens = view.num_query_tokens();
    auto const keys = test::random_floats(tokens * kv_heads * dim, ++seed);
    auto const values = test::random_floats(tokens * kv_heads * dim, ++seed);
    for (std::int32_t layer = 0; layer < num_layers; ++layer)
      ops::append(view, layer, keys.data(), values.data(), threads);
    std::int64_t const queried = std::min<std::int64_t>(tokens, 80);  // a prompt's last tokens are enough
    auto const few = cache.batch({{&sequences[0], std::min(step[0], 20)},
                                  {&sequences[1], std::min(step[1], 20)},
                                  {&sequences[2], std::min(step[2], 20)}});
    auto const q = test::random_floats(queried * query_heads * dim, ++seed);
    for (std::int32_t layer = 0; layer < num_layers; ++layer) {
      auto const rows = static_cast<std::size_t>(few.num_query_tokens()) * query_heads;
      std::vector<float> out(rows * dim), lse(rows);
      ops::attend(few.view(), layer, AttentionIo{q.data(), query_heads, out.data(), lse.data()}, {},
                  {.threads = threads});
      all.insert(all.end(), out.begin(), out.end());
      all.insert(all.end(), lse.begin(), lse.end());
    }
    std::vector<float> stored(static_cast<std::size_t>(90) * kv_heads * dim * 2);
    ops::gather(view, 0, {0, sequences[0].num_tokens() - 90, 90}, stored.data(), stored.data() + stored.size() / 2,
                threads);
    all.insert(all.end(), stored.begin(), stored.end());
  }
  return all;
}

template <class... Policies>
bool is_as_by_one(ThreadPool& threads) {
  std::vector<float> const expected = serve<Policies...>(nullptr);
  for (int round = 0; round < 3; ++round)
    if (serve<Policies...>(&threads) != expected) return false;
  return true;
}

/// Loops in which several bodies throw: what comes out is of the least index, and was written by another thread.
bool throw_in_loops(ThreadPool& threads) {
  std::vector<std::int64_t> written(64);
  for (int round = 0; round < 300; ++round) try {
      threads.parallel_for(64, [&](std::int64_t i) {
        written[static_cast<std::size_t>(i)] = round;
        if (i % 7 == 2) throw std::runtime_error(std::to_string(i));
      });
      return false;
    } catch (std::runtime_error const& error) {
      if (error.what() != std::string("2") || written != std::vector<std::int64_t>(64, round)) return false;
    }
  return true;
}

}  // namespace

int main() {
  ThreadPool threads(4);
  bool const f16 = is_as_by_one<F16>(threads), int8 = is_as_by_one<Int8PerToken>(threads);
  bool const decoded = is_as_by_one<Keys<BF16>, Values<Int4Rotated>, LayoutInterleaved>(threads);
  bool const thrown = throw_in_loops(threads);
  for (int round = 0; round < 50; ++round) ThreadPool(2 + round % 3).parallel_for(round % 5, [](std::int64_t) {});
  std::printf("as by one thread: f16 %d, int8 %d, decoded %d; loops that throw %d\n", f16, int8, decoded, thrown);
  return f16 && int8 && decoded && thrown ? 0 : 1;
}

#endif
