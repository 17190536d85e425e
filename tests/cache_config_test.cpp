// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Models of which the group of each layer is known only at run time. A cache of one is held against a cache whose type
// says the same, over random programs: it has the same blocks and gives the same attention, bit for bit.
#include <array>
#include <folio/folio.hpp>
#include <folio/precision/demote.hpp>
#include <folio/reservation.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/model_sequence.hpp"

namespace {

using namespace folio;
using folio::test::block_ids;
using folio::test::contains;

constexpr std::int32_t head_dim = 8, kv_heads = 1;

/// Full attention and a sliding window, as it comes.
constexpr ModelConfig open_model{
    .head_dim = head_dim, .groups = {full_attention(), sliding_window(dynamic)}, .pattern = dynamic_pattern};
template <ModelConfig Config, class... Policies>
using CacheOf = KvCache<Model<Config>, BlockSize<4>, F32, LruEviction, Policies...>;
using OpenCache = CacheOf<open_model>;

using Groups = std::vector<std::int32_t>;

CacheConfig config_of(Groups layer_groups, std::vector<std::int64_t> num_blocks) {
  CacheConfig config{.num_blocks = std::move(num_blocks), .kv_heads = kv_heads};
  config.window = 6;
  config.layer_groups = std::move(layer_groups);
  return config;
}

/// Two caches that are given the same, and must do the same. `pairs`: group of the first, and the one of the second
/// that has the same layers.
template <class A, class B>
class Twins {
 public:
  Twins(A a, B b, std::vector<std::pair<int, int>> pairs, unsigned seed)
      : a_(std::move(a)), b_(std::move(b)), pairs_(std::move(pairs)), random_(seed) {}

  void run(int num_operations) {
    for (int i = 0; i < num_operations; ++i) {
      INFO("operation " << i);
      operate();
      compare();
    }
  }
  [[nodiscard]] A const& first() const { return a_; }
  int refusals = 0, hits = 0, truncations = 0, extensions = 0;

 private:
  struct Story {
    Sequence a, b;
    Reservation ahead_a, ahead_b;
    std::vector<std::int32_t> tokens;
  };

  std::int32_t draw(std::int32_t low, std::int32_t high) {
    return low + static_cast<std::int32_t>(random_() % static_cast<unsigned>(high - low + 1));
  }

  void operate() {
    int const kind = stories_.empty() ? 0 : draw(0, 9);
    auto const at = stories_.empty() ? 0 : static_cast<std::size_t>(draw(0, static_cast<int>(stories_.size()) - 1));
    if (kind == 0 && stories_.size() < 6) return begin();
    if (stories_.empty()) return;
    Story& story = stories_[at];
    if (kind <= 4) return extend(story, draw(1, 9));
    if (kind == 5 && stories_.size() < 6) {
      Story fork{story.a.fork(), story.b.fork(), {}, {}, story.tokens};
      stories_.push_back(std::move(fork));
    } else if (kind == 6) {
      truncate(story, draw(0, story.a.num_tokens()));
    } else if (kind == 7) {
      CHECK(a_.insert(story.a, Prefix(story.tokens)) == b_.insert(story.b, Prefix(story.tokens)));
    } else if (kind == 8) {
      std::int32_t const n = draw(0, 12), step = draw(1, 4);
      CHECK(story.ahead_a.try_reserve(story.a, n, step) == story.ahead_b.try_reserve(story.b, n, step));
    } else {
      stories_.erase(stories_.begin() + static_cast<std::ptrdiff_t>(at));
    }
  }

  /// Prompts of few symbols, so that they begin alike.
  void begin() {
    std::vector<std::int32_t> prompt;
    std::int32_t const size = draw(1, 30), kind = draw(0, 1);
    for (std::int32_t i = 0; i < size; ++i) prompt.push_back(i < 12 ? kind : draw(0, 1));
    Story story{a_.create(Prefix(prompt)), b_.create(Prefix(prompt)), {}, {}, {}};
    REQUIRE(story.a.num_tokens() == story.b.num_tokens());
    hits += story.a.num_tokens() > 0 ? 1 : 0;
    story.tokens.assign(prompt.begin(), prompt.begin() + story.a.num_tokens());
    stories_.push_back(std::move(story));
    std::int32_t const rest = size - stories_.back().a.num_tokens();
    next_.assign(prompt.end() - rest, prompt.end());
    extend(stories_.back(), rest);
  }

  void extend(Story& story, std::int32_t n) {
    CHECK(story.a.can_extend(n) == story.b.can_extend(n));
    bool const done = story.ahead_a.try_extend(story.a, n);
    REQUIRE(done == story.ahead_b.try_extend(story.b, n));
    ++(done ? extensions : refusals);
    for (std::int32_t i = 0; done && i < n; ++i)
      story.tokens.push_back(i < static_cast<std::int32_t>(next_.size()) ? next_[static_cast<std::size_t>(i)]
                                                                         : draw(0, 1));
    next_.clear();
    if (done) step(story);
  }

  /// Writes the new tokens, whose keys and values follow from the tokens up to them, and attends.
  void step(Story const& story) {
    auto const tables_a = a_.batch({&story.a});
    auto const tables_b = b_.batch({&story.b});
    std::int32_t const n = story.a.num_new_tokens();
    std::vector<float> rows;
    std::uint32_t digest = 1;
    for (std::size_t t = 0; t < story.tokens.size(); ++t) {
      digest = digest * 31 + static_cast<std::uint32_t>(story.tokens[t]);
      for (int d = 0; t + static_cast<std::size_t>(n) >= story.tokens.size() && d < head_dim; ++d)
        rows.push_back(static_cast<float>(digest >> (3 * d) & 15U) / 8);
    }
    AttentionPlan const plan = ops::plan_attention(tables_a.view(), kv_heads);
    for (std::int32_t layer = 0; layer < num_layers(); ++layer) {
      std::vector<float> out_a(rows.size()), out_b(rows.size(), -1.0F), planned(rows.size(), -2.0F);
      ops::append(tables_a.view(), layer, rows.data(), rows.data());
      ops::append(tables_b.view(), layer, rows.data(), rows.data());
      ops::attend(tables_a.view(), layer, AttentionIo{rows.data(), kv_heads, out_a.data()});
      ops::attend(tables_b.view(), layer, AttentionIo{rows.data(), kv_heads, out_b.data()});
      ops::attend(plan, layer, AttentionIo{rows.data(), kv_heads, planned.data()});
      REQUIRE(out_a == out_b);
      REQUIRE(planned == out_a);
    }
    CHECK_THROWS_AS(ops::attend(plan, num_layers(), AttentionIo{rows.data(), kv_heads, rows.data()}), Error);
  }

  void truncate(Story& story, std::int32_t n) {
    bool refused = false;
    try {
      story.a.truncate(n);
    } catch (Error const&) {
      refused = true;
    }
    if (refused) {
      CHECK_THROWS_AS(story.b.truncate(n), Error);
      return;
    }
    ++truncations;
    REQUIRE_NOTHROW(story.b.truncate(n));
    story.tokens.resize(static_cast<std::size_t>(n));
  }

  void compare() {
    for (auto const& [g, h] : pairs_) {
      REQUIRE(a_.num_free_blocks(g) == b_.num_free_blocks(h));
      REQUIRE(a_.num_live_blocks(g) == b_.num_live_blocks(h));
      REQUIRE(a_.num_obtainable_blocks(g) == b_.num_obtainable_blocks(h));
      for (Story const& story : stories_) {
        REQUIRE(block_ids(story.a, g) == block_ids(story.b, h));
        REQUIRE(story.ahead_a.num_blocks(g) == story.ahead_b.num_blocks(h));
        REQUIRE(story.a.num_blocks_to_extend(5, g) == story.b.num_blocks_to_extend(5, h));
      }
    }
    Stats const a = a_.stats(), b = b_.stats();
    REQUIRE(a.total == b.total);
    REQUIRE(a.free == b.free);
    REQUIRE(a.live == b.live);
    REQUIRE(a.cached == b.cached);
    REQUIRE(a.reserved == b.reserved);
    REQUIRE(a.allocated == b.allocated);
    REQUIRE(a.bytes_live == b.bytes_live);
    REQUIRE(a.slots_held == b.slots_held);
    REQUIRE(a.slots_empty == b.slots_empty);
    REQUIRE(a.waste() == b.waste());
    REQUIRE(a.counters.copies == b.counters.copies);
    REQUIRE(a.counters.out_of_blocks == b.counters.out_of_blocks);
    REQUIRE(a.prefixes.evicted_blocks == b.prefixes.evicted_blocks);
  }

  [[nodiscard]] std::int32_t num_layers() const {
    std::int32_t layers = 0;
    for (int g = 0; g < A::num_groups; ++g) layers += a_.shape(g).layers;
    return layers;
  }

  A a_;
  B b_;
  std::vector<std::pair<int, int>> pairs_;
  std::mt19937 random_;
  std::vector<Story> stories_;
  std::vector<std::int32_t> next_;  // the tokens of the next extension, as far as they are known
};

/// Runs programs, and sees that they met everything.
template <class Make>
void run_twins(Make make) {
  int refusals = 0, hits = 0, truncations = 0, extensions = 0;
  for (unsigned seed = 1; seed <= 40; ++seed) {
    INFO("seed " << seed);
    auto twins = make(seed);
    twins.run(80);
    refusals += twins.refusals;
    hits += twins.hits;
    truncations += twins.truncations;
    extensions += twins.extensions;
  }
  CHECK(refusals > 0);
  CHECK(hits > 0);
  CHECK(truncations > 0);
  CHECK(extensions > 0);
}

}  // namespace

TEST_CASE("a pattern of the run time is as good as one of the type") {
  static constexpr ModelConfig known{.kv_heads = kv_heads,
                                     .head_dim = head_dim,
                                     .groups = {full_attention(), sliding_window(6)},
                                     .pattern = repeat_groups({0, 1, 1, 0, 1})};
  run_twins([](unsigned seed) {
    return Twins(OpenCache(config_of({0, 1, 1, 0, 1}, {14, 9})), CacheOf<known>({.num_blocks = {14, 9}, .layers = 5}),
                 {{0, 0}, {1, 1}}, seed);
  });
}

TEST_CASE("a group without layers takes no block, and stands in nobody's way") {
  SECTION("the one with a window") {
    run_twins([](unsigned seed) {
      return Twins(OpenCache(config_of({0, 0, 0}, {14, 1})),
                   CacheOf<ModelConfig{.layers = 3, .kv_heads = kv_heads, .head_dim = head_dim}>({.num_blocks = {14}}),
                   {{0, 0}}, seed);
    });
  }
  SECTION("the one that sees everything") {
    static constexpr ModelConfig known{.kv_heads = kv_heads, .head_dim = head_dim, .groups = {sliding_window(6)}};
    run_twins([](unsigned seed) {
      return Twins(OpenCache(config_of({1, 1, 1}, {1, 14})), CacheOf<known>({.num_blocks = {14}, .layers = 3}),
                   {{1, 0}}, seed);
    });
  }
}

TEST_CASE("a group without layers has no memory, and no window is asked for") {
  CacheConfig config{.memory_bytes = 100'000, .kv_heads = kv_heads};
  config.layer_groups = {0, 0, 0};
  OpenCache cache(config);
  CacheOf<ModelConfig{.head_dim = head_dim}> const plain({.memory_bytes = 100'000, .layers = 3, .kv_heads = kv_heads});
  CHECK(cache.num_blocks(0) == plain.num_blocks());
  CHECK(cache.num_blocks(1) == 0);
  CHECK(cache.block_bytes(1) == 0);
  CHECK(cache.memory_bytes() <= 100'000);
  CHECK(cache.bytes_per_token() == plain.bytes_per_token());
  CHECK(cache.bytes_per_sequence(100) == plain.bytes_per_sequence(100));
  CHECK(cache.shape(1).layers == 0);
  CHECK(cache.shape(1).window == 0);
  Sequence const sequence = cache.create(50);
  GroupStats const stats = cache.stats().groups[1];
  CHECK(stats.live + stats.free + stats.cached + stats.slots_held + stats.slots_empty + stats.stored == 0);
  CHECK(cache.batch({&sequence}).table_width(1) == 1);
  config.tokens_per_sequence = 100;
  CHECK(OpenCache(config).num_blocks(0) == plain.num_blocks());
  config.memory_bytes = 2 * cache.block_bytes(0);
  CHECK(OpenCache(config).memory_bytes() == config.memory_bytes);
  config.memory_bytes -= 1;
  CHECK_THROWS_WITH(OpenCache(config), contains("too small"));
}

TEST_CASE("tokens are taken out of a group without layers as of any, and nothing is freed by that") {
  OpenCache cache(config_of({1, 1}, {9, 20}));
  Sequence sequence = cache.create(40);
  Sequence const fork = sequence.fork();
  sequence.cut(4, 8, 0);
  CHECK(sequence.num_stored_tokens(0) == 32);
  CHECK(sequence.num_stored_tokens(1) == 40);
  sequence.extend(3);
  GroupStats const stats = cache.stats().groups[0];
  CHECK(stats.live + stats.free + stats.cached + stats.shared + stats.allocated == 0);
  CHECK(cache.num_live_blocks(1) > 0);
}

TEST_CASE("a model with a pattern of its own may have too few layers for one of its groups") {
  constexpr ModelConfig model{.kv_heads = kv_heads,
                              .head_dim = head_dim,
                              .groups = {sliding_window(4), full_attention()},
                              .pattern = repeat_groups({0, 0, 0, 1})};
  CHECK(CacheOf<model>({.num_blocks = {2, 2}, .layers = 4}).num_blocks(1) == 2);
  CHECK(CacheOf<model>({.num_blocks = {2, 2}, .layers = 3}).num_blocks(1) == 0);
  CHECK_THROWS_WITH(CacheOf<model>({.num_blocks = {0, 2}, .layers = 3}), contains("a pool has 1 to"));
}

TEST_CASE("the list of layers says how many there are, and places each") {
  Groups const irregular = {0, 1, 1, 1, 0, 1, 0, 0, 1};
  OpenCache const cache(config_of(irregular, {4, 4}));
  std::array<std::int32_t, 2> next{};
  for (std::size_t l = 0; l < irregular.size(); ++l) {
    LayerPlace const at = cache.pattern().place(static_cast<std::int32_t>(l));
    CHECK(at.group == irregular[l]);
    CHECK(at.index == next[static_cast<std::size_t>(irregular[l])]++);
  }
  CHECK(cache.shape(0).layers == 4);
  CHECK(cache.shape(1).layers == 5);
}

TEST_CASE("a list of many layers must repeat") {
  Groups groups;
  for (std::int32_t l = 0; l < 200; ++l) groups.push_back(l % 3 == 2 ? 0 : 1);
  OpenCache const cache(config_of(groups, {4, 4}));
  CHECK(cache.pattern().period == 3);
  CHECK(cache.shape(0).layers == 66);
  CHECK(cache.pattern().place(199).index == 133);
  groups.assign(128, 1);
  groups[127] = 0;  // no period but its length
  CHECK(OpenCache(config_of(groups, {4, 4})).pattern().place(127).group == 0);
  groups.insert(groups.begin(), 1);
  CHECK_THROWS_WITH(OpenCache(config_of(groups, {4, 4})),
                    "folio: CacheConfig::layer_groups has 129 layers, which repeat only after 129; a pattern has at "
                    "most 128 entries");
}

TEST_CASE("lists of layers that are missing, or contradict the model, are refused with facts") {
  auto const problem = [](Groups groups, std::int32_t layers = 0) {
    CacheConfig config = config_of(std::move(groups), {4, 4});
    config.layers = layers;
    try {
      static_cast<void>(OpenCache::resolve(config));
    } catch (Error const& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(problem({0, 1, 0}, 3) == "");
  CHECK(problem({}, 3) ==
        "folio: the model leaves its pattern dynamic: give CacheConfig::layer_groups, the group of each layer");
  CHECK(problem({0, 1, 0}, 4) ==
        "folio: CacheConfig::layer_groups has 3 entries, and the model 4 layers; give one for each");
  CHECK(problem({0, 1, 2}) ==
        "folio: CacheConfig::layer_groups has layer 2 in group 2; the model has 2, counted from 0");
  CHECK(problem({0, -1, 1}) ==
        "folio: CacheConfig::layer_groups has layer 1 in group -1; the model has 2, counted from 0");
  CacheConfig config = config_of({0, 1}, {4, 4});
  config.window = 0;
  CHECK_THROWS_WITH(OpenCache(config), contains("leaves window dynamic"));

  static constexpr ModelConfig known{.layers = 4,
                                     .kv_heads = kv_heads,
                                     .head_dim = head_dim,
                                     .groups = {full_attention(), sliding_window(6)},
                                     .pattern = repeat_groups({0, 1})};
  config = {.num_blocks = {4, 4}};
  config.layer_groups = {0, 1, 0, 1};
  CHECK_NOTHROW(CacheOf<known>(config));
  config.layer_groups = {0, 1, 1, 0};
  CHECK_THROWS_WITH(
      CacheOf<known>(config),
      "folio: CacheConfig::layer_groups has layer 2 in group 1, but by the model's pattern it is in group "
      "0; leave it empty");
  config.layer_groups = {0, 1, 0, 1, 0};
  CHECK_THROWS_WITH(CacheOf<known>(config), contains("has 5 entries, and the model 4 layers"));
  using OneGroup = CacheOf<ModelConfig{.kv_heads = kv_heads, .head_dim = head_dim, .pattern = dynamic_pattern}>;
  CHECK(OneGroup({.num_blocks = {4}, .layers = 3}).shape().layers == 3);
  config = {.num_blocks = {4}};
  config.layer_groups = {0, 0};
  CHECK(OneGroup(config).shape().layers == 2);
}

TEST_CASE("what is to be demoted is refused by a cache that demotes nothing") {
  using Plain = KvCache<Model<ModelConfig{.layers = 1, .kv_heads = 1, .head_dim = 8}>>;
  auto const refusal =
      contains("CacheConfig::demotion is of a cache with the policy Demote<...>, and this one has none");
  CHECK_THROWS_WITH(Plain({.num_blocks = {4}, .demotion = {.sinks = 16}}), refusal);
  CHECK_THROWS_WITH(Plain({.memory_bytes = 1 << 20, .demotion = {.recent_window = 64}}), refusal);
  CHECK_THROWS_WITH(Plain({.num_blocks = {4}, .demotion = {.num_blocks = {4}}}), refusal);
  CHECK_NOTHROW(Plain({.num_blocks = {4}, .demotion = {}}));
}

TEST_CASE("a group without a window demotes, if it has layers") {
  using Cache = CacheOf<open_model, Demote<Int8PerToken>>;
  auto const demote = [](Groups groups) {
    CacheConfig config = config_of(std::move(groups), {20, 20});
    config.demotion = {.sinks = 4, .recent_window = 4, .num_blocks = {20}};
    Cache cache(config);
    Sequence sequence = cache.create(40);
    std::int32_t const due = cache.demote(sequence);
    CHECK(cache.num_live_blocks(cache.second_list(0)) == due / 4);
    return due;
  };
  CHECK(demote({0, 1, 1}) == 32);
  CHECK(demote({0, 0, 0}) == 32);
  CHECK_THROWS_WITH(demote({1, 1}), contains("all layers of this model have a window"));
}
