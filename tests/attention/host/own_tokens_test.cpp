// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// A step's own tokens, whose keys and values are given: against the formula in double over these and what is stored
// before them. The tokens' slots hold other rows, so that whoever reads them is found out.
#include <algorithm>
#include <cstring>
#include <folio/folio.hpp>
#include <folio/thread_pool.hpp>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/failing_new.hpp"
#include "support/model_sequence.hpp"
#include "support/naive_attention.hpp"
#include "support/random.hpp"

using namespace folio;
using folio::test::contains;
using folio::test::HostHeap;
using folio::test::random_floats;

namespace {

/// Full attention, a window with sinks, and latent rows; values shorter than keys.
constexpr ModelConfig hybrid{.layers = 3,
                             .kv_heads = 2,
                             .head_dim = 64,
                             .value_head_dim = 40,
                             .groups = {full_attention(), sliding_window(20, 3), latent(64, 32)},
                             .pattern = repeat_groups({0, 1, 2})};
constexpr std::int32_t layers = 3;
using Numbers = std::vector<std::int32_t>;

struct Result {
  std::vector<float> out, lse;
  friend bool operator==(Result const& a, Result const& b) {  // bit by bit
    return std::memcmp(a.out.data(), b.out.data(), a.out.size() * sizeof(float)) == 0 &&
           std::memcmp(a.lse.data(), b.lse.data(), a.lse.size() * sizeof(float)) == 0;
  }
};

float const logits[8] = {-1.0F, 0.5F, 3.0F, -8.0F, 1.0F, 2.0F, 0.0F, -2.0F};
constexpr float off = -std::numeric_limits<float>::infinity();
float const no_sinks[8] = {off, off, off, off, off, off, off, off};
float const slopes[8] = {0.5F, 0.25F, 0.125F, 0.0625F, 0.5F, 0.25F, 0.125F, 0.0625F};
std::vector<std::uint64_t> trees(std::size_t num_query_tokens) {
  std::vector<std::uint64_t> words(num_query_tokens);
  for (std::size_t i = 0; i < words.size(); ++i)
    words[i] = i % 7 == 3 ? 0 : 0x9E3779B97F4A7C15U * (2 * i + 1) | std::uint64_t{1} << i % 64;
  return words;
}

/// Sequences with tokens from earlier steps, and a step of new ones whose slots hold other rows.
template <class... Policies>
struct Engine {
  using Cache = KvCache<Model<hybrid>, BlockSizes<16, 6, 4>, Policies...>;
  Cache cache{{.num_blocks = {300, 700, 1200}}};
  std::vector<Sequence> sequences;
  std::vector<BatchItem> items;
  Batch<typename Cache::View> batch = cache.batch(std::vector<BatchItem>{});
  std::vector<float> keys, values, other = random_floats(400 * 2 * 64, 5, 3.0F);

  explicit Engine(Numbers const& lengths) {
    test::poison(cache);
    for (std::int32_t const length : lengths) sequences.push_back(cache.create(length));
    for (Sequence& s : sequences) items.emplace_back(&s, s.num_tokens());
    cache.batch(items, batch);
    auto const rows = random_floats(std::int64_t{batch.num_query_tokens()} * 2 * 64, 2, 2.0F);
    append(rows, rows);
  }
  /// Each sequence gets so many tokens.
  void extend(Numbers const& queries) {
    items.clear();
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      sequences[i].extend(queries[i]);
      items.emplace_back(&sequences[i], queries[i]);
    }
    fill();
  }
  /// After the items are there.
  void fill() {
    cache.batch(items, batch);
    keys = random_floats(std::int64_t{batch.num_query_tokens()} * 2 * 64, 3, 2.0F);
    values = random_floats(std::int64_t{batch.num_query_tokens()} * 2 * 40, 4, 2.0F);
    append(other, other);
  }
  void append(std::vector<float> const& k, std::vector<float> const& v) {
    for (std::int32_t layer = 0; layer < layers; ++layer)
      ops::append(batch.view(), layer, k.data(), layer == 2 ? nullptr : v.data());
  }

  template <class T>
  void give_own(std::int32_t layer, AttentionIo<T, float>& io, T const* k, T const* v) const {
    io.k = k;
    io.v = layer == 2 ? nullptr : v;
  }
  [[nodiscard]] std::vector<float> queries(std::int32_t layer, std::int32_t heads) const {
    return random_floats(std::int64_t{batch.num_query_tokens()} * heads * shape(layer).key_dim, 7, 2.0F);
  }
  [[nodiscard]] GroupShape const& shape(std::int32_t layer) const { return cache.shape(layer); }
  [[nodiscard]] Result room(std::int32_t layer, std::int32_t heads) const {
    auto const rows = static_cast<std::size_t>(batch.num_query_tokens() * heads);
    return {std::vector<float>(rows * static_cast<std::size_t>(shape(layer).value_dim)), std::vector<float>(rows)};
  }
  Result attend(std::int32_t layer, std::int32_t heads, AttentionParams const& params,
                HostExecution const& execution = {}) const {
    auto const q = queries(layer, heads);
    Result result = room(layer, heads);
    AttentionIo io{q.data(), heads, result.out.data(), result.lse.data()};
    give_own(layer, io, keys.data(), values.data());
    ops::attend(batch.view(), layer, io, params, execution);
    return result;
  }
  void check(std::int32_t heads, AttentionParams const& params = {}) const {
    ThreadPool pool(3);
    for (std::int32_t layer = 0; layer < layers; ++layer) {
      CAPTURE(layer, heads);
      Result const found = attend(layer, heads, params);
      auto const wanted = test::naive_attention(batch.view(), layer, queries(layer, heads).data(), heads, params,
                                                {keys.data(), layer == 2 ? nullptr : values.data()});
      CHECK(test::difference(wanted, found.out, found.lse) == "");
      CHECK(found == attend(layer, heads, params, {.threads = &pool}));
    }
  }
};

template <class... Policies>
void every_step() {
  for (std::int32_t const chunk : {1, 2, 15, 16, 17, 64}) {
    CAPTURE(chunk);
    Engine<Policies...> engine({0, 5, 37, 100});
    engine.extend({chunk, 1, chunk, chunk});
    engine.check(4);
  }
  Engine<Policies...> engine({3, 70});
  engine.extend({40, 17});
  std::vector<std::uint64_t> const tree = trees(57);
  engine.check(8, {.scale = 0.2F, .logit_soft_cap = 3.0F, .sink_logits = logits, .alibi_slopes = slopes});
  engine.check(2, {.causal = false, .token_begin = 2, .token_end = 80});
  engine.check(2, {.token_begin = 75});
  engine.check(2, {.token_begin = 200});
  engine.check(2, {.token_begin = 200, .sink_logits = no_sinks});
  engine.check(4, {.sink_logits = no_sinks, .tree_mask = tree.data()});
  engine.check(2, {.token_end = 60});
  engine.check(4, {.sink_logits = logits, .alibi_slopes = slopes, .tree_mask = tree.data()});
}

}  // namespace

TEST_CASE("own tokens are read as they are given, older ones as they are stored: f32") { every_step<F32>(); }
TEST_CASE("own tokens are read as they are given, older ones as they are stored: int8") {
  every_step<Int8PerToken, LayoutNhd>();
}
TEST_CASE("own tokens are read as they are given, older ones as they are stored: int4 in another basis") {
  every_step<Int4Rotated>();
}
TEST_CASE("own tokens are read as they are given, older ones as they are stored: a format for each group") {
  every_step<Formats<F16, Int4Rotated, Int8PerToken>>();
}
TEST_CASE("own tokens are read as they are given, older ones as they are stored: decoded tile by tile") {
  every_step<Nvfp4>();
}

TEST_CASE("append may come before attention over own tokens, or after") {
  Engine<Int4Rotated> engine({90, 33});
  engine.extend({16, 1});
  Result const before = engine.attend(0, 4, {});
  engine.append(engine.keys, engine.values);
  CHECK(engine.attend(0, 4, {}) == before);
}

TEST_CASE("own tokens after a long context, whose parts threads share, are the last part") {
  Engine<Int8PerToken> engine({2500});
  engine.extend({20});
  engine.check(4);
  engine.extend({64});  // over a border of parts
  engine.check(4, {.sink_logits = logits});
}

TEMPLATE_TEST_CASE("own tokens of 16 bits, whose rows lie apart, are those of floats", "", Half, BFloat16) {
  Engine<Int4Rotated> engine({70, 0});
  engine.extend({17, 30});
  std::int64_t const tokens = 47;
  for (std::int32_t layer = 0; layer < layers; ++layer) {
    CAPTURE(layer);
    GroupShape const& shape = engine.shape(layer);
    // One row of a fused projection: queries, keys, values.
    std::int64_t const q_dims = 4 * shape.key_dim, k_dims = shape.kv_heads * shape.key_dim,
                       v_dims = shape.kv_heads * shape.value_dim, row = q_dims + k_dims + v_dims;
    std::vector<TestType> fused(static_cast<std::size_t>(tokens * row));
    auto const floats = random_floats(tokens * row, 9, 2.0F);
    ops::store_activations(floats.data(), static_cast<std::int32_t>(floats.size()), fused.data());
    std::vector<float> exact(fused.size());
    ops::load_activations(fused.data(), static_cast<std::int32_t>(fused.size()), exact.data());
    Result found = engine.room(layer, 4), wanted = found;
    AttentionIo<TestType, float> io{fused.data(), 4, found.out.data(), found.lse.data()};
    engine.give_own(layer, io, fused.data() + q_dims, fused.data() + q_dims + k_dims);
    io.q_stride = io.k_stride = io.v_stride = row;
    ops::attend(engine.batch.view(), layer, io);
    AttentionIo<float> as_floats{exact.data(), 4, wanted.out.data(), wanted.lse.data()};
    engine.give_own(layer, as_floats, exact.data() + q_dims, exact.data() + q_dims + k_dims);
    as_floats.q_stride = as_floats.k_stride = as_floats.v_stride = row;
    ops::attend(engine.batch.view(), layer, as_floats);
    CHECK(found == wanted);
  }
}

TEST_CASE("own tokens after a gap are the last ones that are stored") {
  Engine<Int8PerToken> engine({100});
  for (int const group : {0, 2}) engine.sequences[0].cut(16, 64, group);
  engine.extend({18});
  engine.check(4, {.alibi_slopes = slopes});
}

TEST_CASE("in a step with limits, sequences whose queries are other tokens are read from the cache alone") {
  Engine<Int8PerToken> engine({60, 60, 60, 60});
  engine.extend({1, 1, 1, 1});
  Numbers const at = {58, 60}, last = {60}, limits = {61}, none = {0, 3};
  std::vector<Sequence>& s = engine.sequences;
  engine.items.assign({{&s[0], 3}, {&s[1], at}, {&s[2], last}, BatchItem::seeing(&s[3], limits)});
  engine.fill();
  engine.check(4);
  engine.items.assign({BatchItem::seeing(&s[3], none), {&s[0], 1}});
  engine.fill();
  engine.check(4);
}

TEST_CASE("a planned step over own tokens has the same bits, and takes nothing from the heap after one as large") {
  Engine<Int4Rotated> engine({70, 1, 33, 2100});
  ThreadPool pool(3);
  AttentionWorkspace workspace;
  std::vector<std::vector<float>> q;
  for (std::int32_t layer = 0; layer < layers; ++layer) {
    engine.extend({1, 3, 20, 1});
    q.push_back(engine.queries(layer, 4));
  }
  std::vector<Half> halves(q[0].size());
  for (int step = 0; step < 4; ++step) {
    engine.extend({1, 3, 20, 1});
    std::vector<Result> found;
    for (std::int32_t layer = 0; layer < layers; ++layer) found.push_back(engine.room(layer, 4));
    std::int64_t const live = HostHeap::num_live(), before = HostHeap::of_this_thread().num_allocations;
    AttentionPlan const plan = ops::plan_attention(engine.batch.view(), 4, {}, {&pool, &workspace});
    for (std::int32_t layer = 0; layer < layers; ++layer) {
      Result& to = found[static_cast<std::size_t>(layer)];
      AttentionIo io{q[static_cast<std::size_t>(layer)].data(), 4, to.out.data(), to.lse.data()};
      engine.give_own(layer, io, engine.keys.data(), engine.values.data());
      ops::attend(plan, layer, io);
    }
    if (step > 0) {
      CHECK(HostHeap::of_this_thread().num_allocations == before);
      CHECK(HostHeap::num_live() == live);
    }
    for (std::int32_t layer = 0; layer < layers; ++layer)
      CHECK(found[static_cast<std::size_t>(layer)] == engine.attend(layer, 4, {}));
  }
}

TEST_CASE("attention over own tokens that finds no memory leaves the results alone") {
  Engine<Int8PerToken> engine({70});
  engine.extend({17});
  auto const q = engine.queries(0, 4);
  Result found = engine.room(0, 4);
  std::fill(found.out.begin(), found.out.end(), 7.0F);
  Result const untouched = found;
  AttentionIo io{q.data(), 4, found.out.data(), found.lse.data()};
  engine.give_own(0, io, engine.keys.data(), engine.values.data());
  AttentionPlan const plan = ops::plan_attention(engine.batch.view(), 4);
  auto const refused =
      test::for_every_failure([&] { ops::attend(plan, 0, io); }, [&](std::int64_t) { CHECK(found == untouched); });
  CHECK(refused > 0);
  CHECK(found == engine.attend(0, 4, {}));
}

TEST_CASE("keys without values, and strides that overlap, are refused before anything is written") {
  Engine<F16> engine({10});
  engine.extend({2});
  auto const q = engine.queries(0, 4);
  Result found = engine.room(0, 4);
  Result const untouched = found;
  AttentionIo io{q.data(), 4, found.out.data(), found.lse.data()};
  auto const refused = [&](std::int32_t layer, std::string const& words) {
    CHECK_THROWS_WITH(ops::attend(engine.batch.view(), layer, io), contains(words));
    CHECK(found == untouched);
  };
  io.k = engine.keys.data();
  refused(0, "takes the keys and the values of the step's own tokens, or neither");
  io.v = engine.values.data();
  io.k_stride = 127;
  refused(0, "the rows of k have 128 elements");
  io.k_stride = 0;
  io.v_stride = 79;
  refused(0, "the rows of v have 80 elements");
  io.k = nullptr;
  refused(0, "takes the keys and the values of the step's own tokens, or neither");
}
