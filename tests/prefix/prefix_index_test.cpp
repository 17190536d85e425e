// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <folio/detail/sequence_store.hpp>
#include <folio/prefix/prefix_index.hpp>
#include <functional>
#include <map>
#include <random>
#include <vector>

#include "support/catch.hpp"
#include "support/content_digest.hpp"
#include "support/random.hpp"

namespace {

using namespace folio;
using folio::test::below;
using folio::test::content_digest;
using folio::test::scope_digest;

using Symbols = std::vector<std::int32_t>;

/// Passes on what it hears.
struct Listener {
  static constexpr PrefixEvents hears = PrefixEvents::stored | PrefixEvents::evicting;
  std::function<void(PrefixStored const&)> on_stored = {};
  std::function<void(PrefixEvicting const&)> on_evicting = {};
  void stored(PrefixStored const& e) noexcept { on_stored(e); }
  void evicting(PrefixEvicting const& e) noexcept { on_evicting(e); }
};

/// A store of sequences whose blocks hold, for each slot, a digest of the whole prefix up to it: what a key or value
/// is. So a slot of a wrong prefix shows, whatever the tokens are.
template <class Tree>
class World : private BlockCopier {
 public:
  World(std::vector<GroupShape> shapes, std::vector<std::int64_t> const& num_blocks)
      : store_(shapes, num_blocks, *this), tree_(store_.pools(), std::vector<std::int64_t>(shapes.size(), 64)) {
    for (std::size_t g = 0; g < shapes.size(); ++g)
      contents_.emplace_back(static_cast<std::size_t>(num_blocks[g] + 1),
                             std::vector<std::uint64_t>(static_cast<std::size_t>(shapes[g].block_size)));
    store_.set_reclaimer(&tree_);
    if constexpr (requires { tree_.sink().on_evicting; }) {
      for (std::int32_t const scope : {0, 1, 3}) digests_[tree_.keys().scope(scope)] = scope_digest(scope);
      tree_.sink().on_stored = [this](PrefixStored const& e) { note(e); };
      tree_.sink().on_evicting = [this](PrefixEvicting const& e) { check(e); };
    }
  }
  World(World const&) = delete;
  World& operator=(World const&) = delete;
  ~World() { store_.release_all(); }

  /// A sequence that begins with what the tree has of `symbols`, at most all but one.
  SequenceState& create(std::int32_t scope, Symbols const& symbols) {
    SequenceState& state = store_.create();
    auto const size = static_cast<std::int32_t>(symbols.size());
    tree_.take(tree_.find(scope, symbols, size - 1), state, {symbols, scope});
    check(scope, symbols, state);
    return state;
  }

  /// Extends by symbols up to `size` and writes what they hold. False when there is no room.
  bool extend(std::int32_t scope, Symbols const& symbols, std::int32_t size, SequenceState& state) {
    std::int32_t const before = state.num_tokens;
    if (!store_.try_extend(state, size - before)) return false;
    std::uint64_t digest = digest_of(scope, symbols, before);
    for (std::int32_t t = before; t < size; ++t) {
      digest = content_digest(digest, std::span(symbols).subspan(static_cast<std::size_t>(t), 1));
      for (int g = 0; g < store_.num_groups(); ++g) {
        BlockId const block = state.lists[g].blocks[static_cast<std::size_t>(t / store_.shape(g).block_size)];
        if (block != null_block) slot(g, block, t) = digest;
      }
    }
    return true;
  }

  /// Every slot that the next token sees is what it should be.
  void check(std::int32_t scope, Symbols const& symbols, SequenceState const& state) {
    for (int g = 0; g < store_.num_groups(); ++g) {
      GroupShape const& shape = store_.shape(g);
      std::int32_t const window = shape.window == 0 ? 0 : shape.window_begin(state.num_tokens);
      std::uint64_t digest = scope_digest(scope);
      for (std::int32_t t = 0; t < state.num_tokens; ++t) {
        digest = content_digest(digest, std::span(symbols).subspan(static_cast<std::size_t>(t), 1));
        if (t >= shape.sinks && t < window) continue;
        BlockId const block = state.lists[g].blocks[static_cast<std::size_t>(t / shape.block_size)];
        if (block == null_block) FAIL("group " << g << " has no block for token " << t);
        if (store_.pool(g).ref_count(block) == 0) FAIL("group " << g << ": nobody holds the block of token " << t);
        if (slot(g, block, t) != digest) FAIL("group " << g << " has another prefix's token at " << t);
      }
    }
  }

  /// free + live + cached = all, and live is what sequences hold.
  void check_accounts() {
    for (int g = 0; g < store_.num_groups(); ++g) {
      BlockPool const& pool = store_.pool(g);
      std::vector<std::int32_t> held(static_cast<std::size_t>(pool.num_blocks() + 1));
      for (auto const& state : store_.states())
        for (BlockId const block : state->lists[g].blocks) ++held[static_cast<std::size_t>(to_int(block))];
      std::int32_t live = 0;
      for (std::int32_t id = 1; id <= pool.num_blocks(); ++id) {
        auto const holders = held[static_cast<std::size_t>(id)];
        live += holders > 0 ? 1 : 0;
        if (static_cast<std::int32_t>(pool.ref_count(BlockId{id})) != holders) FAIL("block " << id << " is miscounted");
      }
      if (pool.num_live() != live || pool.num_free() + pool.num_live() + pool.num_cached() != pool.num_blocks())
        FAIL("group " << g << ": " << pool.num_free() << " free, " << pool.num_live() << " live, " << pool.num_cached()
                      << " cached, of " << pool.num_blocks() << "; " << live << " are held");
    }
  }

  SequenceStore& store() { return store_; }
  Tree& tree() { return tree_; }
  /// Evicted units, and blocks of them that were not there.
  std::int64_t num_evicted = 0, num_missing = 0;

 private:
  void note(PrefixStored const& e) {
    std::uint64_t digest = digests_.at(e.parent);
    for (std::size_t i = 0; i < e.keys.size(); ++i) {
      auto const unit = static_cast<std::size_t>(e.unit_tokens);
      digests_[e.keys[i]] = digest = content_digest(digest, e.symbols.subspan(i * unit, unit));
    }
  }
  /// What is evicted is in its blocks still.
  void check(PrefixEvicting const& e) {
    ++num_evicted;
    REQUIRE(static_cast<std::int32_t>(e.symbols.size()) == tree_.unit());
    REQUIRE(static_cast<int>(e.blocks.size()) == store_.num_groups());
    REQUIRE(content_digest(digests_.at(e.parent), e.symbols) == digests_.at(e.key));
    for (int g = 0; g < store_.num_groups(); ++g) {
      std::int32_t const size = store_.shape(g).block_size;
      REQUIRE(static_cast<std::int32_t>(e.blocks[static_cast<std::size_t>(g)].size()) == tree_.unit() / size);
      std::uint64_t digest = digests_.at(e.parent);
      for (std::int32_t t = 0; t < tree_.unit(); ++t) {
        digest = content_digest(digest, e.symbols.subspan(static_cast<std::size_t>(t), 1));
        BlockId const block = e.blocks[static_cast<std::size_t>(g)][static_cast<std::size_t>(t / size)];
        if (block == null_block && store_.shape(g).window == 0) FAIL("group " << g << " has no block");
        num_missing += block == null_block ? 1 : 0;
        if (block == null_block) continue;
        if (!store_.pool(g).is_cached(block)) FAIL("a block of group " << g << " is not the index's");
        if (slot(g, block, t) != digest) FAIL("group " << g << " has another token in what is evicted");
      }
    }
  }
  static std::uint64_t digest_of(std::int32_t scope, Symbols const& symbols, std::int32_t size) {
    return content_digest(scope_digest(scope), std::span(symbols).first(static_cast<std::size_t>(size)));
  }
  std::uint64_t& slot(int g, BlockId block, std::int32_t t) {
    return contents_[static_cast<std::size_t>(g)][static_cast<std::size_t>(to_int(block))]
                    [static_cast<std::size_t>(t % store_.shape(g).block_size)];
  }
  void prepare(std::int64_t) override {}
  void copy(int g, BlockId from, BlockId to) noexcept override {
    auto& contents = contents_[static_cast<std::size_t>(g)];
    contents[static_cast<std::size_t>(to_int(to))] = contents[static_cast<std::size_t>(to_int(from))];
  }

  std::vector<std::vector<std::vector<std::uint64_t>>> contents_;  // group, block, slot
  std::map<PrefixKey, std::uint64_t> digests_;                     // of what is stored, where somebody listens
  SequenceStore store_;
  Tree tree_;
};

GroupShape full(std::int32_t block_size) {
  GroupShape shape;
  shape.kind = AttentionKind::full;
  shape.block_size = block_size;
  return shape;
}
GroupShape windowed(std::int32_t block_size, std::int32_t window, std::int32_t sinks) {
  GroupShape shape = full(block_size);
  shape.kind = AttentionKind::sliding_window;
  shape.window = window;
  shape.sinks = sinks;
  return shape;
}

Symbols count_from(std::int32_t first, std::int32_t n) {
  Symbols symbols(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < symbols.size(); ++i) symbols[i] = first + static_cast<std::int32_t>(i);
  return symbols;
}

/// Random requests: prompts that share openings, ends, forks, insertions of finished and of running sequences, memory
/// that is always short.
template <class Tree>
void random_requests(std::vector<GroupShape> const& shapes, std::vector<std::int64_t> const& num_blocks, unsigned seed,
                     int steps) {
  World<Tree> world(shapes, num_blocks);
  std::mt19937 random(seed);
  struct Running {
    SequenceState* state;
    std::int32_t scope;
    Symbols symbols;
  };
  std::vector<Running> running;
  std::vector<Symbols> prompts{count_from(1, 5), count_from(1, 30)};
  for (int step = 0; step < steps; ++step) {
    world.tree().set_time(step);
    int const what = below(random, 10);
    if (what < 3 && running.size() < 8) {
      // A known prompt, cut somewhere, with something of its own after it, of few symbols so that prefixes meet by
      // chance.
      Symbols symbols = prompts[static_cast<std::size_t>(below(random, static_cast<std::int32_t>(prompts.size())))];
      symbols.resize(static_cast<std::size_t>(1 + below(random, static_cast<std::int32_t>(symbols.size()))));
      for (int n = below(random, 30); n > 0; --n) symbols.push_back(below(random, 3));
      std::int32_t const scope = below(random, 2);
      SequenceState& state = world.create(scope, symbols);
      if (world.extend(scope, symbols, static_cast<std::int32_t>(symbols.size()), state)) {
        running.push_back({&state, scope, symbols});
        if (prompts.size() < 20)
          prompts.push_back(symbols);
        else
          prompts[static_cast<std::size_t>(below(random, 20))] = symbols;
      } else {
        world.store().release(state);
      }
    } else if (!running.empty()) {
      auto const i = static_cast<std::size_t>(below(random, static_cast<std::int32_t>(running.size())));
      Running& one = running[i];
      if (what < 5) {
        for (int n = 1 + below(random, 4); n > 0; --n) one.symbols.push_back(below(random, 3));
        if (!world.extend(one.scope, one.symbols, static_cast<std::int32_t>(one.symbols.size()), *one.state))
          one.symbols.resize(static_cast<std::size_t>(one.state->num_tokens));
      } else if (what < 7) {
        std::int32_t const kept = world.tree().insert(*one.state, one.scope, one.symbols);
        REQUIRE(kept <= one.state->num_tokens);
        REQUIRE(kept % world.tree().unit() == 0);
      } else if (what == 7 && running.size() < 8) {
        running.push_back({&world.store().fork(*one.state), one.scope, one.symbols});
      } else if (what == 8) {
        auto const n = below(random, one.state->num_tokens + 1);
        try {
          world.store().truncate(*one.state, n);
          one.symbols.resize(static_cast<std::size_t>(n));
        } catch (Error const&) {  // its window was given back
        }
        if (one.state->num_tokens == 0) {
          world.store().release(*one.state);
          running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
        }
      } else {
        world.store().release(*one.state);
        running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }
    for (Running const& one : running) world.check(one.scope, one.symbols, *one.state);
    world.check_accounts();
  }
  REQUIRE(world.tree().counters().hit_tokens > 0);
  REQUIRE(world.tree().counters().evicted_units > 0);
  for (Running const& one : running) world.store().release(*one.state);
  world.tree().evict_all();
  if constexpr (requires { world.tree().sink().on_evicting; }) {
    CHECK(world.num_evicted == world.tree().counters().evicted_units);
    CHECK((world.num_missing > 0) == (shapes.size() > 1));
  }
  for (int g = 0; g < world.store().num_groups(); ++g)
    CHECK(world.store().pool(g).num_free() == num_blocks[static_cast<std::size_t>(g)]);
  CHECK(world.tree().num_nodes() == 0);
}

}  // namespace

TEST_CASE("random requests find right blocks only, and accounts close: one group") {
  for (unsigned seed = 1; seed <= 40; ++seed) random_requests<PrefixIndex<>>({full(4)}, {40}, seed, 400);
}

TEST_CASE(
    "random requests find right blocks only, and accounts close: groups with windows and block sizes of their own") {
  for (unsigned seed = 1; seed <= 40; ++seed)
    random_requests<PrefixIndex<>>({full(4), windowed(2, 7, 3), full(8), windowed(4, 5, 0)}, {60, 60, 30, 40}, seed,
                                   400);
}

TEST_CASE("what is evicted is told while its blocks hold it: one group, and groups with windows") {
  using Heard = PrefixIndex<LruEviction, Listener>;
  for (unsigned seed = 1; seed <= 20; ++seed) {
    random_requests<Heard>({full(4)}, {40}, seed, 400);
    random_requests<Heard>({full(4), windowed(2, 7, 3), full(8), windowed(4, 5, 0)}, {60, 60, 30, 40}, seed, 400);
  }
}

TEST_CASE("names are set before anything is inserted, or after all was cleared") {
  struct Nameless final : PrefixNames {
    [[nodiscard]] std::string_view name_of(std::int64_t) const noexcept override { return {}; }
  } names;
  World<PrefixIndex<>> world({full(4)}, {40});
  world.tree().set_names(names);
  Symbols const symbols = count_from(1, 9);
  SequenceState& state = world.create(0, symbols);
  REQUIRE(world.extend(0, symbols, 9, state));
  REQUIRE(world.tree().insert(state, 0, symbols) == 8);
  KeySecret const secret = world.tree().keys().secret();
  CHECK_THROWS_WITH(world.tree().set_names(names),
                    folio::test::contains("folio: names are set before the first insertion"));
  world.tree().clear();
  world.tree().set_names(names);
  CHECK(world.tree().keys().secret() == secret);
  CHECK(world.tree().keys().unit_tokens() == 4);
  world.store().release(state);
}

TEST_CASE("what is cleared is not told as evicted") {
  World<PrefixIndex<LruEviction, Listener>> world({full(4)}, {40});
  Symbols const symbols = count_from(1, 12);
  SequenceState& state = world.create(3, symbols);
  REQUIRE(world.extend(3, symbols, 12, state));
  REQUIRE(world.tree().insert(state, 3, symbols) == 12);
  world.store().release(state);
  REQUIRE(world.tree().evict_unit());
  CHECK(world.num_evicted == 1);
  world.tree().clear();
  CHECK(world.tree().counters().evicted_units == 3);
  CHECK(world.num_evicted == 1);
}

TEST_CASE("an edge splits at every symbol, and both ways are found to their ends") {
  Symbols const first = count_from(1, 24);
  for (std::int32_t same = 0; same <= 24; ++same) {
    World<PrefixIndex<>> world({full(4), windowed(2, 40, 0), full(8)}, {40, 80, 20});
    auto const keep = [&](Symbols const& symbols) {
      SequenceState& state = world.create(3, symbols);
      REQUIRE(world.extend(3, symbols, static_cast<std::int32_t>(symbols.size()), state));
      REQUIRE(world.tree().insert(state, 3, symbols) == static_cast<std::int32_t>(symbols.size()) / 8 * 8);
      world.check(3, symbols, state);
      world.store().release(state);
      world.check_accounts();
    };
    keep(first);
    Symbols second(first.begin(), first.begin() + same);
    for (std::int32_t i = 0; i < 16; ++i) second.push_back(100 + i);
    keep(second);
    for (Symbols const& symbols : {first, second}) {
      auto const size = static_cast<std::int32_t>(symbols.size()) / 8 * 8;
      CHECK(world.tree().find(3, symbols, size).num_tokens == size);
      SequenceState& state = world.create(3, symbols);  // checks what it took
      CHECK(state.num_tokens == std::min(size, static_cast<std::int32_t>(symbols.size()) - 1));
      world.store().release(state);
    }
    CHECK(world.tree().find(2, first, 24).num_tokens == 0);
    world.tree().evict_all();
    CHECK(world.tree().num_nodes() == 0);
    for (int g = 0; g < 3; ++g) CHECK(world.store().pool(g).num_free() == world.store().pool(g).num_blocks());
  }
}

TEST_CASE("many prompts of few symbols are told apart") {
  World<PrefixIndex<>> world({full(2)}, {260});  // 128 prompts of 2 blocks
  auto const prompt = [](std::int32_t i, std::int32_t k) { return Symbols{i, k, k, i, 7}; };
  for (std::int32_t i = -3; i < 5; ++i)
    for (std::int32_t k = 0; k < 8; ++k)
      for (std::int32_t const scope : {0, 1}) {
        Symbols const symbols = prompt(i, k);
        SequenceState& state = world.create(scope, symbols);
        REQUIRE(world.extend(scope, symbols, 5, state));
        CHECK(world.tree().insert(state, scope, symbols) == 4);
        world.store().release(state);
      }
  for (std::int32_t i = -3; i < 5; ++i)
    for (std::int32_t k = 0; k < 8; ++k) {
      SequenceState& state = world.create(k % 2, prompt(i, k));
      CHECK(state.num_tokens == 4);
      world.store().release(state);
    }
  CHECK(world.tree().counters().evicted_units == 0);
  world.check_accounts();
}

TEST_CASE("an insertion of part of a unit keeps whole units only") {
  World<PrefixIndex<>> world({full(4), full(6)}, {40, 40});
  Symbols const symbols = count_from(1, 30);
  SequenceState& state = world.create(0, symbols);
  REQUIRE(world.extend(0, symbols, 30, state));
  CHECK(world.tree().insert(state, 0, std::span(symbols).first(11)) == 0);
  CHECK(world.tree().num_nodes() == 0);
  CHECK(world.tree().insert(state, 0, std::span(symbols).first(23)) == 12);
  CHECK(world.tree().insert(state, 0, symbols) == 24);
  CHECK(world.tree().find(0, symbols, 30).num_symbols == 24);
  CHECK(world.tree().counters().stored_units == 2);
  world.store().release(state);
  world.tree().evict_all();
  CHECK(world.tree().num_nodes() == 0);
}
