// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Threads that serve requests from one cache: prompts that share openings, forks, memory that is short.

#include <cstdint>
#include <folio/eviction/lru.hpp>
#include <folio/folio.hpp>
#include <folio/locked.hpp>
#include <random>
#include <thread>
#include <vector>

#include "support/random.hpp"

namespace folio::test {

inline constexpr ModelConfig locked_model{.layers = 2, .kv_heads = 1, .head_dim = 8};
using SharedCache = KvCache<Model<locked_model>, BlockSize<4>, F32, LruEviction>;

/// One thread's requests. Counts what it reads that is not what was written.
template <class Locked>
class Server {
 public:
  Server(Locked& cache, unsigned seed) : cache_(cache), random_(seed) {}

  void serve(int requests) {
    for (int i = 0; i < requests; ++i) {
      std::vector<std::int32_t> tokens;
      for (std::int32_t n = 1 + below(random_, 5), t = 0; t < 8 * n; ++t) tokens.push_back(t / 8 * 3);
      for (int n = 1 + below(random_, 8); n > 0; --n) tokens.push_back(below(random_, 3));
      request(tokens);
    }
  }
  [[nodiscard]] std::int64_t num_wrong() const { return num_wrong_; }
  [[nodiscard]] std::int64_t num_served() const { return num_served_; }
  [[nodiscard]] std::int64_t num_cached() const { return num_cached_; }

 private:
  using Handle = typename Locked::SequenceType;

  void request(std::vector<std::int32_t> tokens) {
    Handle sequence = cache_.create(Prefix(tokens));
    num_cached_ += sequence.num_cached_tokens();
    if (!step(sequence, tokens)) return;
    for (int n = below(random_, 6); n > 0; --n) {
      tokens.push_back(below(random_, 3));
      if (!step(sequence, tokens)) return;
    }
    Handle child = sequence.fork();
    std::vector<std::int32_t> other = tokens;
    other.push_back(7);
    if (!step(child, other)) return;
    child.truncate(child.num_tokens() - 1);
    cache_.insert(sequence, tokens);
    ++num_served_;
  }

  /// Appends what `tokens` has more, writes it, and reads everything.
  bool step(Handle& sequence, std::vector<std::int32_t> const& tokens) {
    auto const size = static_cast<std::int32_t>(tokens.size());
    std::int32_t const before = sequence.num_tokens();
    if (!sequence.try_extend(size - before)) return false;
    typename Locked::Item const item{&sequence};
    cache_.batch({&item, 1}, tables_);
    std::vector<float> rows;
    std::int64_t digest = 0;
    for (std::int32_t t = 0; t < size; ++t) {
      digest = (digest * 31 + tokens[static_cast<std::size_t>(t)] + 1) % 9973;
      if (t >= before) rows.insert(rows.end(), 8, static_cast<float>(digest));
    }
    for (std::int32_t layer = 0; layer < 2; ++layer)
      ops::append(tables_.view(), layer, rows.data(), rows.data(), nullptr);
    digest = 0;
    auto const view = tables_.view().sequence(0, 1);
    for (std::int32_t t = 0; t < size; ++t) {
      digest = (digest * 31 + tokens[static_cast<std::size_t>(t)] + 1) % 9973;
      num_wrong_ += view.key(0, t)[3] == static_cast<float>(digest) ? 0 : 1;
    }
    return true;
  }

  Locked& cache_;
  std::mt19937 random_;
  typename Locked::Tables tables_ = cache_.batch({});
  std::int64_t num_wrong_ = 0, num_served_ = 0, num_cached_ = 0;
};

struct Outcome {
  std::int64_t num_wrong = 0, num_served = 0, num_cached = 0;
  Stats stats;
};

template <class Locked>
Outcome serve_by_threads(int num_threads, int requests, std::int64_t num_blocks) {
  Locked cache(CacheConfig{.num_blocks = {num_blocks}});
  std::vector<Server<Locked>> servers;
  for (int i = 0; i < num_threads; ++i) servers.emplace_back(cache, static_cast<unsigned>(i + 1));
  std::vector<std::thread> threads;
  for (auto& server : servers) threads.emplace_back([&server, requests] { server.serve(requests); });
  for (auto& thread : threads) thread.join();
  Outcome outcome;
  for (auto const& server : servers) {
    outcome.num_wrong += server.num_wrong();
    outcome.num_served += server.num_served();
    outcome.num_cached += server.num_cached();
  }
  outcome.stats = cache.stats();
  return outcome;
}

}  // namespace folio::test
