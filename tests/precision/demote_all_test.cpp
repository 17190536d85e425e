// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Many sequences at once: what one of them is refused, or throws, is its own.
#include <atomic>
#include <folio/folio.hpp>
#include <folio/precision/demote.hpp>
#include <folio/thread_pool.hpp>
#include <span>
#include <stdexcept>
#include <tuple>

#include "support/catch.hpp"
#include "support/model_sequence.hpp"

using namespace folio;
using folio::test::block_ids;
using folio::test::contains;

namespace {

constexpr ModelConfig tiny{.layers = 1, .kv_heads = 1, .head_dim = 16};

/// The format of a user, whose encoder gives up.
struct Failing : Int8PerToken {
  static inline std::atomic<int> rows_left = 0;
  static void encode(float const* row, std::int32_t dim, std::byte* codes, std::byte* params) {
    if (--rows_left < 0) throw std::runtime_error("no more rows");
    Int8PerToken::encode(row, dim, codes, params);
  }
};

CacheConfig config_of(std::int64_t num_blocks, std::int64_t num_demoted_blocks) {
  return {.num_blocks = {num_blocks},
          .demotion = {.sinks = 0, .recent_window = 40, .num_blocks = {num_demoted_blocks}}};
}

}  // namespace

TEST_CASE("what is not accepted stays, and demoted blocks that are missing are counted") {
  KvCache<Model<tiny>, F16, BlockSize<4>, Demote<Int4Rotated, BlockSize<8>>> cache(config_of(20, 1));
  cache.set_recent_window(0);
  Sequence a = cache.create(24), b = cache.create(24), empty;
  Sequence* const sequences[] = {&a, &b};
  std::int32_t const accepted[] = {24, 8};
  Sequence* const with_empty[] = {&a, &empty};
  Sequence* const with_null[] = {&a, nullptr};
  CHECK_THROWS_WITH(cache.demote_all(sequences, std::span(accepted, 1)), contains("for each of 2 sequences"));
  CHECK_THROWS_WITH(cache.demote_all(with_empty), contains("demote_all was given an empty Sequence"));
  CHECK_THROWS_WITH(cache.demote_all(with_null), contains("demote_all was given an empty Sequence"));
  CHECK(cache.stats().counters.demotions == 0);
  DemotionCounts const done = cache.demote_all(sequences, accepted);  // of a nothing: it needs three blocks
  CHECK(done.num_tokens == 8);
  CHECK(done.num_refused == 1);
  CHECK(a.num_demoted_tokens() == 0);
  CHECK(b.num_demoted_tokens() == 8);
}

TEST_CASE("a demotion that throws leaves that sequence as it was, and those before it are done") {
  using FailingCache = KvCache<Model<tiny>, F16, BlockSize<4>, Demote<Failing, BlockSize<8>>>;
  ThreadPool pool(3);
  for (ThreadPool* const threads : {static_cast<ThreadPool*>(nullptr), &pool}) {
    FailingCache cache(config_of(40, 40));
    cache.set_recent_window(0);
    Sequence a = cache.create(24), b = cache.create(24), c = cache.create(24);
    Sequence* const sequences[] = {&a, &b, &c};
    auto const state = [&](Sequence const& s) {
      return std::tuple(block_ids(s), s.state().lists[1].blocks, s.num_tokens(), s.num_new_tokens(),
                        s.num_demoted_tokens());
    };
    auto const before_b = state(b), before_c = state(c);
    Failing::rows_left = 2 * 24 + 30;  // keys and values of the first, and some of the second
    CHECK_THROWS_WITH(cache.demote_all(sequences, {}, threads), "no more rows");
    CHECK(a.num_demoted_tokens() == 24);
    CHECK(state(b) == before_b);
    CHECK(state(c) == before_c);
    CHECK(cache.num_free_blocks(1) == 37);
    CHECK(cache.stats().counters.demoted_tokens == 24);
    CHECK(cache.stats().counters.demotions == 1);
    Failing::rows_left = 1000;
    CHECK(cache.demote_all(sequences, {}, threads).num_tokens == 48);
    CHECK(cache.stats().counters.demoted_tokens == 72);
  }
}
