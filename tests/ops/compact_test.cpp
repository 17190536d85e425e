// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <folio/eviction/lru.hpp>
#include <folio/folio.hpp>
#include <folio/ops/compact.hpp>
#include <folio/ops/scores.hpp>
#include <folio/ops/top_k.hpp>
#include <folio/precision/demote.hpp>
#include <folio/thread_pool.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/model_sequence.hpp"
#include "support/random.hpp"
#include "support/strangers.hpp"

using folio::BatchItem;
using folio::GroupShape;
using folio::ModelConfig;
using folio::Sequence;
using folio::ops::TokenLists;
using folio::test::contains;
using folio::test::random_floats;

namespace {

using Lists = std::vector<std::vector<std::int32_t>>;

/// Keys and values of different dims, which fill no vector, and a latent layer.
constexpr ModelConfig mixed{.layers = 3,
                            .kv_heads = 2,
                            .head_dim = 40,
                            .value_head_dim = 24,
                            .groups = {folio::full_attention(), folio::latent(32, 8)},
                            .pattern = folio::repeat_groups({0, 1, 0})};

/// Lists of one length in rows of k numbers.
struct Arrays {
  Arrays(Lists const& lists, std::int32_t width) : k(width) {
    for (auto const& list : lists) {
      counts.push_back(static_cast<std::int32_t>(list.size()));
      tokens.insert(tokens.end(), list.begin(), list.end());
      tokens.resize(counts.size() * static_cast<std::size_t>(k), -1);
    }
  }
  [[nodiscard]] TokenLists lists(std::int32_t heads, std::int32_t layers) const {
    return {tokens.data(), counts.data(), k, heads, layers};
  }
  std::int32_t k;
  std::vector<std::int32_t> tokens, counts;
};

/// The bytes of a row as they are stored, padding too.
template <class Layout, folio::Plane plane, class Map, class RowType>
void add_bytes(std::vector<std::byte>& all, Map const& map, RowType const& row) {
  for (std::int32_t b = 0; b < map.extent(plane, folio::RowPart::code).row_bytes; ++b) all.push_back(*row.codes(b));
  for (std::int32_t b = 0; b < map.extent(plane, folio::RowPart::param).row_bytes; ++b)
    all.push_back(row.param_bytes()[b]);
}

/// The bytes of `tokens`, for each head its own list or one for all, in layer `index` of group g.
template <int g, class View>
std::vector<std::byte> bytes_of(View const& view, std::int32_t i, std::int32_t index, Lists const& tokens) {
  std::vector<std::byte> all;
  auto const sequence = view.template sequence_in<g>(i, index);
  auto const map = sequence.layer().map();
  for (std::int32_t head = 0; head < sequence.shape().kv_heads; ++head)
    for (std::int32_t const t : tokens[tokens.size() == 1 ? 0 : static_cast<std::size_t>(head)]) {
      add_bytes<typename View::Layout, folio::Plane::key>(all, map, sequence.key(head, t));
      if (!sequence.shape().values_in_keys())
        add_bytes<typename View::Layout, folio::Plane::value>(all, map, sequence.value(head, t));
    }
  return all;
}

/// Random bytes in every block: whatever a format may have stored.
template <class Cache>
void scramble(Cache const& cache) {
  std::mt19937 random(3);
  for (int g = 0; g < Cache::num_groups; ++g)
    for (std::int64_t b = cache.block_bytes(g); b < (cache.num_blocks(g) + 1) * cache.block_bytes(g); ++b)
      cache.pool(g)[b] = static_cast<std::byte>(random());
}

/// Ascending tokens, about half of those there are, `count` in all.
std::vector<std::int32_t> random_tokens(std::mt19937& random, std::int32_t length, std::int32_t count) {
  std::vector<std::int32_t> all(static_cast<std::size_t>(length));
  std::iota(all.begin(), all.end(), 0);
  std::shuffle(all.begin(), all.end(), random);
  all.resize(static_cast<std::size_t>(count));
  std::sort(all.begin(), all.end());
  return all;
}

std::vector<std::int32_t> first(std::int32_t n) {
  std::vector<std::int32_t> all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

template <int g, class Cache>
void check_group(Cache& cache, std::vector<Sequence> const& sequences, bool per_head, bool per_layer,
                 folio::ThreadPool* threads) {
  scramble(cache);
  std::mt19937 random(11);
  std::vector<BatchItem> items;
  for (Sequence const& s : sequences) items.emplace_back(&s);
  auto const batch = cache.batch(items);
  auto const view = batch.view();
  GroupShape const& shape = cache.shape(g);
  std::int32_t const heads = per_head ? shape.kv_heads : 1, layers = per_layer ? shape.layers : 1;
  std::vector<std::int32_t> counts;
  for (Sequence const& s : sequences) counts.push_back(counts.size() == 1 ? s.num_tokens() : (s.num_tokens() + 1) / 2);
  Lists lists;
  for (std::int32_t layer = 0; layer < layers; ++layer)
    for (std::size_t i = 0; i < sequences.size(); ++i)
      for (std::int32_t head = 0; head < heads; ++head)
        lists.push_back(random_tokens(random, sequences[i].num_tokens(), counts[i]));
  Arrays const arrays(lists, 40);
  auto const list_of = [&](std::int32_t layer, std::size_t i) {
    auto const begin = static_cast<std::size_t>(per_layer ? layer : 0) * sequences.size() + i;
    Lists mine;
    for (std::int32_t head = 0; head < heads; ++head)
      mine.push_back(lists[begin * static_cast<std::size_t>(heads) + static_cast<std::size_t>(head)]);
    return mine;
  };
  std::vector<std::vector<std::byte>> expected;
  for (std::int32_t layer = 0; layer < shape.layers; ++layer)
    for (std::size_t i = 0; i < sequences.size(); ++i)
      expected.push_back(bytes_of<g>(view, static_cast<std::int32_t>(i), layer, list_of(layer, i)));
  folio::ops::compact(batch, g, arrays.lists(heads, layers), threads);
  for (std::int32_t layer = 0; layer < shape.layers; ++layer)
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      CAPTURE(g, layer, i, per_head, per_layer);
      REQUIRE(bytes_of<g>(view, static_cast<std::int32_t>(i), layer, {first(counts[i])}) ==
              expected[static_cast<std::size_t>(layer) * sequences.size() + i]);
    }
}

template <class... Policies>
void check_bytes(folio::ThreadPool* threads = nullptr) {
  folio::KvCache<folio::Model<mixed>, folio::BlockSizes<8, 4>, Policies...> cache({.num_blocks = {40, 40}});
  std::vector<Sequence> sequences;
  for (std::int32_t const n : {31, 17, 0, 1, 8, 16}) sequences.push_back(cache.create(n));
  for (bool const per_head : {false, true})
    for (bool const per_layer : {false, true}) {
      check_group<0>(cache, sequences, per_head, per_layer, threads);
      check_group<1>(cache, sequences, per_head, per_layer, threads);
    }
}

template <class... Quantizers>
void every_layout() {
  check_bytes<folio::LayoutHnd, Quantizers...>();
  check_bytes<folio::LayoutNhd, Quantizers...>();
  check_bytes<folio::LayoutInterleaved, Quantizers...>();
}

constexpr ModelConfig plain{.layers = 2, .kv_heads = 2, .head_dim = 16};
using PlainCache = folio::KvCache<folio::Model<plain>, folio::BlockSize<4>, folio::F32>;

/// Everything that gather gives of one sequence.
template <class View>
std::vector<float> gathered(View const& view, std::int32_t layer, std::int32_t num_tokens) {
  GroupShape const shape = view.group(view.place(layer).group).shape;
  auto const rows = static_cast<std::size_t>(num_tokens * shape.kv_heads);
  std::vector<float> all(rows * static_cast<std::size_t>(shape.key_dim + shape.value_dim));
  folio::ops::gather(view, layer, {0, 0, num_tokens}, all.data(),
                     all.data() + rows * static_cast<std::size_t>(shape.key_dim));
  return all;
}

}  // namespace

TEST_CASE("kept rows move byte for byte: f32") { every_layout<folio::F32>(); }
TEST_CASE("kept rows move byte for byte: f16") { every_layout<folio::F16>(); }
TEST_CASE("kept rows move byte for byte: bf16") { every_layout<folio::BF16>(); }
TEST_CASE("kept rows move byte for byte: fp8") { every_layout<folio::Fp8E4M3>(); }
TEST_CASE("kept rows move byte for byte: int8") { every_layout<folio::Int8PerToken>(); }
TEST_CASE("kept rows move byte for byte: int4") { every_layout<folio::Int4Rotated>(); }
TEST_CASE("kept rows move byte for byte: keys and values of their own formats") {
  every_layout<folio::Keys<folio::Int8PerToken>, folio::Values<folio::Int4Rotated>>();
}
TEST_CASE("kept rows move byte for byte: policies of others") {
  check_bytes<folio::test::GroupedInt8, folio::test::ShreddedLayout>();
  check_bytes<folio::test::GroupedInt8, folio::test::SwizzledLayout>();
}
TEST_CASE("kept rows move byte for byte: on threads") {
  folio::ThreadPool three(3);
  check_bytes<folio::Int8PerToken>(&three);
}

TEST_CASE("scored, chosen and compacted, a sequence stores exactly the kept rows, and goes on") {
  PlainCache cache({.num_blocks = {40}});
  folio::test::poison(cache);
  constexpr std::int32_t length = 26, k = 11, heads = 4;
  Sequence a = cache.create(length);
  auto const prompt = cache.batch({&a});
  std::vector<float> scores(2 * 2 * length);  // [layers][heads][tokens]
  std::vector<std::vector<float>> before;
  for (std::int32_t layer = 0; layer < 2; ++layer) {
    auto const rows = random_floats(length * 2 * 16 + 7, 5 + static_cast<std::uint32_t>(layer), 3.0F);
    auto const q = random_floats(length * heads * 16, 9 + static_cast<std::uint32_t>(layer), 3.0F);
    folio::ops::append(prompt.view(), layer, rows.data(), rows.data() + 7);
    before.push_back(gathered(prompt.view(), layer, length));
    std::vector<float> out(length * heads * 16), lse(length * heads);
    folio::ops::attend(prompt.view(), layer, folio::AttentionIo{q.data(), heads, out.data(), lse.data()});
    folio::ops::accumulate_scores(prompt.view(), layer, q.data(), heads, lse.data(), scores.data() + layer * 2 * length,
                                  {.max_tokens = length});
  }
  std::vector<std::int32_t> kept(2 * 2 * k), counts(2 * 2);
  folio::ops::top_k(prompt.view(), scores.data(),
                    {.k = k, .max_tokens = length, .heads = 2, .layers = 2, .sinks = 2, .recent = 4}, kept.data(),
                    counts.data());
  std::vector<float> const old_scores = scores;
  folio::ops::compact(prompt, 0, {kept.data(), counts.data(), k, 2, 2});
  folio::ops::compact_elements(scores.data(), 4, length, kept.data(), counts.data(), k, 0.0F);
  a.keep({.num_tokens = k, .num_first = 2, .num_last = 4});
  CHECK(a.num_tokens() == length);
  CHECK(a.num_stored_tokens() == k);
  CHECK(a.blocks().size() == 3);
  CHECK(cache.num_free_blocks() == 37);

  auto const short_batch = cache.batch({{&a, 0}});
  for (std::int32_t layer = 0; layer < 2; ++layer) {
    auto const after = gathered(short_batch.view(), layer, k);
    for (std::int32_t head = 0; head < 2; ++head)
      for (std::int32_t j = 0; j < k; ++j) {
        auto const list = static_cast<std::size_t>(layer * 2 + head);
        std::int32_t const token = kept[list * k + static_cast<std::size_t>(j)];
        CAPTURE(layer, head, j, token);
        REQUIRE(token >= j);
        auto const row = [&](std::vector<float> const& all, std::int32_t t, std::int32_t n, int plane) {
          return all.data() + static_cast<std::size_t>((plane * n + t) * 2 + head) * 16;
        };
        for (int const plane : {0, 1})
          REQUIRE(std::memcmp(row(after, j, k, plane),
                              row(before[static_cast<std::size_t>(layer)], token, length, plane),
                              16 * sizeof(float)) == 0);
        REQUIRE(scores[list * length + static_cast<std::size_t>(j)] ==
                old_scores[list * length + static_cast<std::size_t>(token)]);
        REQUIRE(scores[list * length + static_cast<std::size_t>(k + j)] == 0);
      }
  }
  a.extend(3);  // into the places that became free
  auto const next = cache.batch({&a});
  auto const rows = random_floats(3 * 2 * 16, 50);
  folio::ops::append(next.view(), 0, rows.data(), rows.data());
  std::vector<float> keys(3 * 2 * 16);
  folio::ops::gather(next.view(), 0, {0, k, 3}, keys.data(), nullptr);
  CHECK(keys == rows);
}

TEST_CASE("compacting needs no order of the blocks, and leaves others alone") {
  PlainCache cache({.num_blocks = {40}});
  Sequence a = cache.create(5);
  folio::test::ModelSequence<PlainCache> other(cache);
  other.extend(7);
  a.extend(9);  // its blocks lie around the other's
  other.extend(3);
  auto const batch = cache.batch({{&a, 0}});
  auto const view = batch.view();
  for (std::int32_t layer = 0; layer < 2; ++layer)
    for (std::int32_t t = 0; t < 14; ++t)
      for (std::int32_t head = 0; head < 2; ++head) {
        std::vector<float> const row(16, static_cast<float>(t * 10 + head));
        view.sequence(0, layer).key(head, t).store(row.data(), 16);
        view.sequence(0, layer).value(head, t).store(row.data(), 16);
      }
  Arrays const arrays({{1, 2, 3, 8, 12, 13}}, 6);
  folio::ops::compact(batch, 0, arrays.lists(1, 1));
  for (std::int32_t j = 0; j < 6; ++j)
    for (std::int32_t head = 0; head < 2; ++head) {
      float const expected = static_cast<float>(arrays.tokens[static_cast<std::size_t>(j)] * 10 + head);
      CHECK(view.sequence(0, 1).key(head, j)[15] == expected);
      CHECK(view.sequence(0, 1).value(head, j)[0] == expected);
    }
  CHECK(other.difference() == "");
}

TEST_CASE("what lies beside the tokens is compacted as they are, and the rest set") {
  std::vector<std::int32_t> positions{0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17};
  std::vector<std::int32_t> const kept{0, 2, 3, 7, 0, -1, -1, -1}, counts{4, 1};
  folio::ops::compact_elements(positions.data(), 2, 8, kept.data(), counts.data(), 4, -5);
  CHECK(positions == std::vector<std::int32_t>{0, 2, 3, 7, -5, -5, -5, -5, 10, -5, -5, -5, -5, -5, -5, -5});
}

TEST_CASE("lists that do not fit are refused before anything is written") {
  constexpr ModelConfig model{.layers = 2, .kv_heads = 2, .head_dim = 8};
  folio::KvCache<folio::Model<model>, folio::BlockSize<4>, folio::F32> cache({.num_blocks = {10}});
  scramble(cache);
  Sequence a = cache.create(9);
  auto const batch = cache.batch({&a});
  std::vector<std::byte> const before(cache.pool(), cache.pool() + 11 * cache.block_bytes());
  auto const run = [&](Lists const& lists, std::int32_t k, std::int32_t heads = 1, std::int32_t layers = 1) {
    Arrays const arrays(lists, k);
    folio::ops::compact(batch, 0, arrays.lists(heads, layers));
  };
  REQUIRE_THROWS_WITH(run({{2, 4, 4}}, 3), contains("sequence 0 has 4 at place 2"));
  REQUIRE_THROWS_WITH(run({{-1, 4}}, 2), contains("has -1 at place 0"));
  REQUIRE_THROWS_WITH(run({{4, 9}}, 2), contains("less than 9"));
  REQUIRE_THROWS_WITH(run({{1, 2}, {1, 3}, {1, 2}}, 2, 3), contains("lists for 3 heads do not fit 2 kv heads"));
  REQUIRE_THROWS_WITH(run({{1, 2}, {1, 3}, {1, 2}}, 2, 1, 3), contains("lists for 3 layers do not fit the group's 2"));
  REQUIRE_THROWS_WITH(run({{1, 2}, {3}}, 2, 2), contains("lists of different lengths"));
  REQUIRE_THROWS_WITH(run({{1, 2}, {3}}, 2, 1, 2), contains("lists of different lengths"));
  Arrays const ten({{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}}, 10), two({{5, 6}}, 2);
  REQUIRE_THROWS_WITH(run({{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}}, 10), contains("cannot keep 10 of its 9 tokens"));
  std::int32_t const three = 3;
  REQUIRE_THROWS_WITH(folio::ops::compact(batch, 0, {two.tokens.data(), &three, 2}),
                      contains("folio: sequence 0 cannot keep 3 of its 9 tokens by lists of 2"));
  REQUIRE_THROWS_WITH(folio::ops::compact(batch, 0, {nullptr, nullptr, -1}), contains("k is -1"));
  REQUIRE_THROWS_WITH(folio::ops::compact(batch, 0, {.num_first = -1}), contains("num_first is -1"));
  REQUIRE_THROWS_WITH(folio::ops::compact(batch, 1, two.lists(1, 1)),
                      contains("folio: the model has 1 layer groups, so no group 1"));
  CHECK(std::memcmp(before.data(), cache.pool(), before.size()) == 0);
}

TEST_CASE("a group with a window is not compacted, though it has all its tokens") {
  constexpr ModelConfig windowed{.layers = 2, .kv_heads = 2, .head_dim = 8, .groups = {folio::sliding_window(32)}};
  folio::KvCache<folio::Model<windowed>, folio::BlockSize<4>, folio::F32> cache({.num_blocks = {10}});
  scramble(cache);
  Sequence a = cache.create(9);
  auto const batch = cache.batch({&a});
  std::vector<std::byte> const before(cache.pool(), cache.pool() + 11 * cache.block_bytes());
  Arrays const two({{5, 6}}, 2);
  REQUIRE_THROWS_WITH(folio::ops::compact(batch, 0, two.lists(1, 1)), contains("a layer group with a window"));
  CHECK(std::memcmp(before.data(), cache.pool(), before.size()) == 0);
}

TEST_CASE("no block is written that others have: the sequence is to own it before") {
  PlainCache cache({.num_blocks = {20}});  // blocks of 4 tokens
  scramble(cache);
  Sequence a = cache.create(14), b = cache.create(14);
  auto batch = cache.batch({&b, &a});
  Sequence const fork = a.fork();
  auto const bytes = [&] {
    return std::vector<std::byte>(cache.pool(), cache.pool() + (cache.num_blocks() + 1) * cache.block_bytes());
  };
  auto const before = bytes();
  auto const forks_bytes = [&] { return bytes_of<0>(cache.batch({{&fork, 0}}).view(), 0, 1, {first(14)}); };
  auto const forks_before = forks_bytes();
  auto const run = [&](Lists const& lists, std::int32_t heads = 1, std::int32_t layers = 1) {
    folio::ops::compact(batch, 0, Arrays(lists, 14).lists(heads, layers));
  };
  auto const refusal = [](int blocks, std::int32_t first, std::int32_t end) {
    return contains("compact would write " + std::to_string(blocks) +
                    " blocks of sequence 1 of the batch that a fork or a prefix index has, too; call Sequence::own(" +
                    std::to_string(first) + ", " + std::to_string(end) + ", 0)");
  };
  REQUIRE_THROWS_WITH(run({{3, 9}, {1, 2, 3, 4, 8}}), refusal(2, 0, 5));
  REQUIRE_THROWS_WITH(run({{3, 9}, {0, 1, 2, 4}}), refusal(1, 3, 4));
  REQUIRE_THROWS_WITH(run({{3, 9}, {3, 9}, {0, 1, 2, 3, 4, 8}, {0, 1, 2, 3, 5, 8}}, 2), refusal(1, 4, 6));
  REQUIRE_THROWS_WITH(run({{3, 9}, {0, 1, 2, 3, 4, 5, 6, 7, 9}, {3, 9}, {0, 1, 2, 3, 4, 6, 7, 8, 9}}, 1, 2),
                      refusal(2, 5, 9));
  CHECK(bytes() == before);
  run({{0}, first(14)});  // nothing moves
  run({{0}, first(7)});
  CHECK(bytes() == before);

  a.own(4, 6);  // the second of its blocks
#ifndef NDEBUG
  REQUIRE_THROWS_WITH(run({{0}, {0}}), contains("this batch is stale"));
#endif
  batch = cache.batch({&b, &a});
  REQUIRE_THROWS_WITH(run({{0}, {0, 1, 2, 3, 4, 6, 7, 8, 9}}), refusal(1, 5, 9));  // the third one, too
  auto const wanted = bytes_of<0>(batch.view(), 1, 1, {{0, 1, 2, 3, 9, 13}});
  run({{0}, {0, 1, 2, 3, 9, 13}});
  CHECK(bytes_of<0>(batch.view(), 1, 1, {first(6)}) == wanted);
  CHECK(forks_bytes() == forks_before);
  CHECK(a.num_shared_blocks(0, 14) == 3);
}

TEST_CASE("blocks of a prefix index are not written, where they were inserted or found") {
  folio::KvCache<folio::Model<plain>, folio::BlockSize<4>, folio::F32, folio::LruEviction> cache({.num_blocks = {20}});
  scramble(cache);
  std::vector<std::int32_t> const prompt(14, 7);
  Sequence a = cache.create(14);
  cache.insert(a, prompt);
  Arrays const lists({{0, 1, 3, 4, 9, 13}}, 6);
  REQUIRE_THROWS_WITH(folio::ops::compact(cache.batch({&a}), 0, lists.lists(1, 1)),
                      contains("would write 2 blocks of sequence 0 of the batch that a fork or a prefix index has"));
  a.own(2, 6);
  folio::ops::compact(cache.batch({&a}), 0, lists.lists(1, 1));
}

TEST_CASE("of a cache that demotes, the tokens that are not demoted are compacted") {
  folio::KvCache<folio::Model<plain>, folio::BlockSize<4>, folio::F32, folio::Demote<folio::Int8PerToken>> cache(
      {.num_blocks = {20}, .demotion = {.sinks = 4, .recent_window = 4, .num_blocks = {20}}});
  scramble(cache);
  Sequence a = cache.create(40);
  REQUIRE(cache.demote(a, 40) > 0);
  std::int32_t const stored = a.num_stored_tokens();
  REQUIRE(stored >= 8);
  Arrays const lists({{0, 1, 2, 3, stored - 2, stored - 1}}, 6);
  auto const batch = cache.batch({{&a, 0}});
  auto const recent = batch.view().recent;
  auto const wanted = bytes_of<0>(recent, 0, 1, {lists.tokens});
  Sequence const fork = a.fork();
  REQUIRE_THROWS_WITH(folio::ops::compact(batch, 0, lists.lists(1, 1)), contains("Sequence::own(4, 6, 0)"));
  a.own(4, 6);
  auto const own = cache.batch({{&a, 0}});
  folio::ops::compact(own, 0, lists.lists(1, 1));
  CHECK(bytes_of<0>(own.view().recent, 0, 1, {first(6)}) == wanted);
}

TEST_CASE("of a cache that demotes, the sinks are not written: they stay, and keep refuses to take them out") {
  folio::KvCache<folio::Model<plain>, folio::BlockSize<4>, folio::F32, folio::Demote<folio::Int8PerToken>> cache(
      {.num_blocks = {20}, .demotion = {.sinks = 4, .recent_window = 4, .num_blocks = {20}}});
  scramble(cache);
  Sequence a = cache.create(12);
  auto const batch = cache.batch({{&a, 0}});
  auto const all = bytes_of<0>(batch.view().recent, 0, 1, {first(12)});
  auto const refused = [&](std::vector<std::int32_t> const& kept, std::int32_t place) {
    CAPTURE(place);
    Arrays const lists({kept}, static_cast<std::int32_t>(kept.size()));
    CHECK_THROWS_WITH(folio::ops::compact(batch, 0, lists.lists(1, 1)),
                      contains("from token " + std::to_string(place) + " on, but the first 4 tokens of layer group 0"));
    CHECK(bytes_of<0>(batch.view().recent, 0, 1, {first(12)}) == all);
  };
  refused({1, 3, 10, 11}, 0);
  refused({0, 1, 2, 4, 5}, 3);
  Arrays const lists({{0, 1, 2, 3, 5}}, 5), none({{0, 1}}, 2);
  folio::ops::compact(batch, 0, lists.lists(1, 1));
  CHECK_NOTHROW(folio::ops::compact(batch, 0, none.lists(1, 1)));  // moves nothing
  CHECK_NOTHROW(a.keep({.num_tokens = 5, .num_first = 4, .num_last = 1}));
}
