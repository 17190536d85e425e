// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Random programs over caches that keep prefixes: many requests that share openings, in memory that is short.

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <folio/folio.hpp>
#include <folio/prefix/key_table.hpp>
#include <folio/reservation.hpp>
#include <limits>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "prefix/key_watch.hpp"
#include "support/kept_batch.hpp"
#include "support/prefix_model_sequence.hpp"
#include "support/random.hpp"

namespace folio::test {

/// Host memory that a device is said to read as well, so that copies on write wait for the next batch.
struct SharedHostMemory {
  static constexpr char const* name = "shared";
  static constexpr Accessibility accessibility = Accessibility::both;
  std::byte* allocate(std::int64_t bytes, std::int64_t alignment) { return memory.allocate(bytes, alignment); }
  void deallocate(std::byte* pointer, std::int64_t bytes) noexcept { memory.deallocate(pointer, bytes); }
  HostAllocator memory;
};

inline constexpr ModelConfig prefix_model{.layers = 2, .kv_heads = 2, .head_dim = 8};
/// Every kind of group; a unit is 12 tokens.
inline constexpr ModelConfig prefix_hybrid{.layers = 3,
                                           .kv_heads = 1,
                                           .head_dim = 8,
                                           .groups = {full_attention(), sliding_window(7, 3), latent(8, 8)},
                                           .pattern = repeat_groups({0, 1, 2})};
template <class... More>
using FullPrefixCache = KvCache<Model<prefix_model>, BlockSize<4>, LruEviction, More...>;
/// The same with another eviction policy.
template <class Eviction>
using EvictingPrefixCache = KvCache<Model<prefix_model>, BlockSize<4>, F32, Eviction>;
template <class... More>
using HybridPrefixCache = KvCache<Model<prefix_hybrid>, BlockSizes<4, 2, 6>, LruEviction, More...>;

/// lru whose entries of one tenant were found almost as often as can be counted. Sees counts that overflowed.
struct WornLruEviction : LruEviction {
  static constexpr std::int32_t worn_tenant = 1;
  inline static bool overflowed = false;
  void add(EvictionEntry& entry) noexcept {
    overflowed = overflowed || entry.hits < 0;
    if (entry.tenant == worn_tenant) entry.hits = std::max(entry.hits, std::numeric_limits<std::int32_t>::max() - 1);
    LruEviction::add(entry);
  }
};

/// What programs have met, so that a test can see that they meet everything.
struct PrefixProgramCounts {
  std::int64_t steps = 0, hits = 0, partial_hits = 0, evictions = 0, merges = 0, copies = 0, refusals = 0, pins = 0;
  std::int64_t waits = 0, alone = 0, clearings = 0, failures = 0, reservations = 0, cuts = 0;
  std::int64_t keeps = 0, compactions = 0;
};

/// Runs an operation of the library; a program that makes allocations fail has another one.
struct Once {
  template <class Operation, class Check>
  static std::int64_t run(Operation&& operation, Check&&) {
    operation();
    return 0;
  }
};

/// One program. Equal seeds make equal programs. Throws std::logic_error with the seed and the step when anything
/// is not as it should be.
template <class Cache, class Attempt = Once>
class PrefixProgram {
 public:
  using ModelSequence = PrefixModelSequence<Cache>;

  /// `ample`: nothing is ever evicted, and so it is known exactly what must be found.
  PrefixProgram(std::vector<std::int64_t> const& num_blocks, unsigned seed, bool ample, int check_every = 1)
      : cache_({.num_blocks = num_blocks, .key_secret = secret_of(seed)}),
        seed_(seed),
        ample_(ample),
        check_every_(check_every),
        random_(seed) {
    prompts_ = {count_from(1, 9), count_from(1, 40)};
    unit_ = cache_.prefixes().unit();
    if constexpr (has_shares) {
      ample_ = false;  // a quota evicts whatever the room
      cache_.prefixes().eviction().set_share(1, {.weight = 3.0});
      cache_.prefixes().eviction().set_share(2, {.quota_units = 4});
    }
    if constexpr (watches_keys) name_things();
  }

  void run(int steps, PrefixProgramCounts& counts) {
    try {
      for (step_ = 0; step_ < steps; ++step_) {
        act();
        if (step_ % check_every_ == 0) check();
      }
      check();
      count(counts);
      finish();
      counts.failures += num_failures_;
    } catch (std::exception const& error) {
      throw std::logic_error("seed " + std::to_string(seed_) + ", step " + std::to_string(step_) + ", " + what_ + ": " +
                             error.what());
    }
  }

  /// All that can be seen of the cache at the end: equal for programs that did the same.
  [[nodiscard]] std::vector<std::int64_t> const& seen() const { return seen_; }

 private:
  static constexpr bool has_windows = [] {
    for (int g = 0; g < Cache::num_groups; ++g)
      if (Cache::model.groups[g].window != 0) return true;
    return false;
  }();

  static constexpr bool watches_keys = std::is_same_v<typename Cache::Events, KeyWatch>;
  static KeySecret secret_of(unsigned seed) { return {7, seed % 8 == 5 ? 1U : 0U}; }

  static constexpr bool has_shares = requires(Cache & cache) { cache.prefixes().eviction().num_tenants(); };

  struct Running {
    ModelSequence story;
    std::int32_t kept;          // so many first tokens stay in the tree as long as it runs
    std::shared_ptr<bool> use;  // whether it counted, where it was created for a prompt; that of its forks, too
    bool waits = false;         // it has not got slots yet
    bool is_forgotten = false;  // the tree was cleared since it was created
    std::int32_t farthest = 0;  // the longest that it was when it got slots
    std::int32_t found = 0;     // tokens that it began with
    std::int32_t asked = 0;     // tokens of the prompt that it was created for
  };
  struct Pinned {
    PrefixPin pin;
    std::int32_t scope;
    Symbols symbols;
    std::int32_t num_tokens;  // that could be taken
  };

  static void expect(bool ok, char const* what) {
    if (!ok) throw std::logic_error(what);
  }
  std::int32_t any(std::int32_t n) { return below(random_, n); }
  template <class T>
  T& any_of(std::vector<T>& all) {
    return all[static_cast<std::size_t>(any(static_cast<std::int32_t>(all.size())))];
  }
  [[nodiscard]] std::int32_t whole(std::int32_t n) const { return n / unit_ * unit_; }
  [[nodiscard]] BlockPool const& pool(int g) const { return cache_.state()->store.pool(g); }

  void act() {
    std::int32_t const dice = any(100);
    if (dice < 24 || running_.empty()) return create();
    Running& one = any_of(running_);
    if (dice < 42) return append(one);
    if (dice < 47) return append_two();
    if (dice < 59) return insert(one, one.story.size());
    if (dice < 63) return insert(one, any(one.story.size() + 1));
    if (dice < 64) return release_lease(one);
    if (dice < 69) return fork(one);
    if (dice < 75) return truncate(one);
    if (dice < 77) return any(2) == 0 ? cut(one) : keep(one);
    if (dice < 80) return release(one);
    if (dice < 82) return release_and_grow(one);
    if (dice < 83) return reserve(one);
    if (dice < 90) return insert(one, one.story.size()), release(one);
    if (dice < 93) return pin();
    if (dice < 96) return unpin();
    if (dice < 97) return retain();
    if (dice < 98) return any(3) == 0 ? cache_.prefixes().set_time(step_) : reserve(one);
    if (dice < 99) return bad(one);
    if (any(4) == 0) return clear();
    if (!ample_ && any(2) == 0) return fill_alone();
    what_ = "evict all";
    if (!ample_) cache_.prefixes().evict_all();
  }

  /// Runs an operation of the library, which throws std::bad_alloc and changes nothing, or does all.
  template <class Operation>
  void attempt(Operation&& operation) {
    if constexpr (std::is_same_v<Attempt, Once>) {
      operation();
    } else {
      see(before_);
      num_failures_ += Attempt::run(std::forward<Operation>(operation), [&](std::int64_t) {
        check_accounts();
        see(after_);
        expect(before_ == after_, "an operation that had no memory changed something");
      });
    }
  }
  /// All that can be seen of the cache, but for what a split of a node changes.
  void see(std::vector<std::int64_t>& all) const {
    all.clear();
    for (int g = 0; g < Cache::num_groups; ++g)
      all.insert(all.end(), {pool(g).num_free(), pool(g).num_live(), pool(g).num_cached(), pool(g).num_evictable(),
                             pool(g).num_shared(), pool(g).peak_live(), pool(g).num_allocated()});
    for (Running const& one : running_) {
      SequenceState const& s = one.story.sequence().state();
      all.insert(all.end(), {to_int(s.id), s.num_tokens, s.num_new_tokens, s.num_cached_tokens,
                             s.prefix.pending != nullptr && !s.prefix.pending->counted, s.prefix.num_reported_units,
                             static_cast<std::int64_t>(s.generation)});
      for (int g = 0; g < Cache::num_groups; ++g) {
        all.insert(all.end(), {s.lists[g].num_tokens, s.lists[g].gap_begin, s.lists[g].gap_end});
        for (BlockId const block : one.story.sequence().blocks(g)) all.push_back(to_int(block));
      }
    }
    SequenceCounters const& s = cache_.state()->store.counters();
    all.insert(all.end(), {s.created, s.released, s.appends, s.truncates, s.forks, s.copies, s.out_of_blocks});
    PrefixCounters const& t = cache_.prefixes().counters();
    all.insert(all.end(), {t.lookups, t.hit_tokens, t.missed_tokens, t.stored_units, t.evicted_units, t.evicted_blocks,
                           t.merged_blocks});
    PrefixGauges const gauges = cache_.prefix_gauges();
    for (TenantGauges const& one : gauges.tenants)
      all.insert(all.end(), {one.tenant, one.units, one.pinned_units, one.kept_blocks, one.pinned_blocks,
                             one.reclaimable_blocks, one.live_blocks});
    for (Symbols const& prompt : prompts_)
      for (std::int32_t const scope : scopes_) all.push_back(cache_.num_cached_tokens({prompt, scope}));
  }

  /// A known opening, cut somewhere, and something of its own after it: of few symbols, so that prefixes meet by
  /// chance.
  Symbols prompt() {
    Symbols symbols = any_of(prompts_);
    if (any(3) != 0) symbols.resize(static_cast<std::size_t>(1 + any(static_cast<std::int32_t>(symbols.size()))));
    if (any(4) != 0)
      for (int n = any(20); n > 0; --n) symbols.push_back(some_symbol());
    return symbols;
  }
  std::int32_t some_symbol() {  // an image, or a token
    std::int32_t const symbol = any(4) - 1;
    return symbol < 0 ? image_ : symbol;
  }

  /// A scope and an image have names, in one half of the programs. Their numbers come after those of others.
  void name_things() {
    KeyWatch& watch = cache_.prefixes().sink();
    watch.secret = secret_of(seed_);
    watch.unit_tokens = unit_;
    for (unsigned i = 0; i < seed_ % 5; ++i) static_cast<void>(names_.scope({.salt = "before " + std::to_string(i)}));
    scopes_[1] = names_.scope({.salt = "one"});
    image_ =
        names_.symbols(Symbols{5}, std::vector<PrefixAttribute>{{PrefixAttribute::Kind::media, "pixels", 0, 1}})[0];
    watch.scopes = {{0, "none"}, {scopes_[1], "one"}};
    watch.symbols = {{image_, "image"}};
    if (has_names()) cache_.prefixes().set_names(names_);
    hear_scopes();
  }
  [[nodiscard]] bool has_names() const { return seed_ % 2 == 1; }
  void hear_scopes() {
    for (std::int32_t const scope : scopes_)
      cache_.prefixes().sink().scope(scope, cache_.prefixes().keys().scope(scope));
  }
  /// Names are forgotten in some programs, while units that have keys by them are there.
  void check_keys() {
    auto& index = cache_.prefixes();
    if (seed_ % 4 == 3 && step_ == 30)
      for (int i = 0; i < 20; ++i) static_cast<void>(names_.scope({.salt = "after " + std::to_string(i)}));
    hear_scopes();
    KeyWatch told = index.sink();  // has the same names
    told.is_clearing = true;
    expect(index.sink().problem().empty(), index.sink().problem().c_str());
    std::map<PrefixKey, PrefixKey> const live = told.live();
    for (auto const& [key, parent] : live) told.removed({0, key, 0});
    index.tell(told);
    expect(told.problem().empty(), told.problem().c_str());
    expect(told.live() == live, "what is told is not what was stored");
    expect(index.counters().local_units == index.sink().num_local, "local units are not counted");
    expect(!has_names() || seed_ % 4 == 3 || index.sink().num_local == 0, "a unit is local, and all have names");
  }

  void create() {
    what_ = "create";
    if (running_.size() >= 6) return;
    Symbols const symbols = prompt();
    auto const size = static_cast<std::int32_t>(symbols.size());
    Prefix const prefix(symbols, scopes_[any(2)]);
    std::int32_t const most = any(4) == 0 ? any(size + 4) : all_tokens;
    std::int32_t const promised = cache_.num_cached_tokens(prefix, most);
    Sequence sequence;
    std::int32_t tenant = any(3);
    if (has_shares && tenant == 0) tenant = 3 + step_;  // who comes once
    attempt([&] { sequence = cache_.create(prefix, tenant, most); });
    ModelSequence story(cache_, std::move(sequence), prefix);
    expect(story.size() == promised, "create found something else than num_cached_tokens");
    expect(story.size() < size, "nothing was left to compute");
    expect(story.size() <= most, "more was found than was asked for");
    if (ample_ && !has_windows)
      expect(story.size() == std::min({size - 1, most, oracle(prefix)}), "not the longest prefix");
    partial_hits_ += story.size() % unit_ != 0 ? 1 : 0;
    story.sequence().set_retention({any(101), any(2) == 0 ? step_ + 10.0 : 1e9});
    std::int32_t const found = whole(story.size());
    std::int32_t const began_with = story.size();
    running_.push_back({std::move(story), found, std::make_shared<bool>(false), true, false, 0, began_with, size});
    Symbols const rest(symbols.begin() + running_.back().story.size(), symbols.end());
    if (any(8) == 0) return;  // it waits
    if (!grow(running_.back(), rest)) return running_.pop_back();
    write({&running_.back().story});
    if (prompts_.size() < 12)
      prompts_.push_back(symbols);
    else
      any_of(prompts_) = symbols;
  }

  /// Nobody else runs, and a prompt fills the whole cache: it is served, and then once more, where all of it is cached.
  void fill_alone() {
    what_ = "fill the cache alone";
    running_.clear();
    pins_.clear();
    Symbols symbols;
    {
      Sequence const empty = cache_.create();
      while (fits_alone(empty, static_cast<std::int32_t>(symbols.size()) + unit_))
        for (std::int32_t i = 0; i < unit_; ++i) symbols.push_back(some_symbol());
    }
    if (symbols.empty()) return;
    for (int turn = 0; turn < 2; ++turn) {
      Prefix const prefix(symbols);
      running_.push_back({ModelSequence(cache_, prefix), 0, std::make_shared<bool>(false), true});
      Running& one = running_.back();
      one.found = one.story.size();
      one.asked = static_cast<std::int32_t>(symbols.size());
      Symbols const rest(symbols.begin() + one.story.size(), symbols.end());
      expect(grow(one, rest), "a prompt that fits the cache was refused, though it was alone");
      write({&one.story});
      insert(one, one.story.size());
      if (turn == 0) release(one);
    }
  }

  /// The longest beginning that was ever inserted.
  [[nodiscard]] std::int32_t oracle(Prefix const& prefix) const {
    std::int32_t longest = 0;
    for (auto const& [scope, symbols] : inserted_) {
      if (scope != prefix.scope) continue;
      auto const end = std::mismatch(symbols.begin(), symbols.end(), prefix.symbols.begin(), prefix.symbols.end());
      longest = std::max(longest, static_cast<std::int32_t>(end.first - symbols.begin()));
    }
    return longest;
  }

  /// Takes slots. Evicts only when it must, refuses only when nothing more can go, and then changes nothing. Uses count
  /// once, with the first slots.
  bool grow(Running& one, Symbols const& more) {
    auto const n = static_cast<std::int32_t>(more.size());
    Sequence& sequence = one.story.sequence();
    bool fits = true, can_be_had = true;
    for (int g = 0; g < Cache::num_groups; ++g) {
      fits = fits && sequence.num_blocks_to_extend(n, g) <= pool(g).num_free();
      can_be_had = can_be_had && sequence.num_blocks_to_extend(n, g) <= cache_.num_obtainable_blocks(g);
    }
    bool const is_alone = running_.size() == 1 && pins_.empty();
    bool const must = can_be_had || (is_alone && fits_alone(sequence, n));
    bool const said = sequence.can_extend(n);
    bool enough = true;
    for (int g = 0; g < Cache::num_groups; ++g)
      enough = enough && sequence.fewest_blocks_to_extend(n, g) <= cache_.num_obtainable_blocks(g);
    expect(said == enough, "the fewest blocks of an append are not what it needs");
    std::int64_t const evicted = cache_.prefixes().counters().evicted_units;
    std::int32_t const found = one.story.size();
    if (!must) see(before_refusal_);
    bool grown = false;
    attempt([&] { grown = sequence.try_extend(n); });
    if (grown) note_growth(one, more, found);
    if (fits) expect(grown && cache_.prefixes().counters().evicted_units == evicted, "evicted though there was room");
    expect(grown || !must, "refused though blocks could be had");
    expect(grown == said, "an append did something else than was said before");
    num_alone_ += grown && !can_be_had && is_alone ? 1 : 0;
    if (!grown) {
      std::vector<std::int64_t> now;
      see(now);
      for (std::size_t i = 0, changes = 0; i < now.size(); ++i)  // the count of refusals is one higher
        expect(now[i] == before_refusal_[i] || (now[i] == before_refusal_[i] + 1 && ++changes == 1),
               "a refused append changed something");
    }
    return grown;
  }
  /// The sequence has got slots for `more`, which it had `found` tokens before.
  void note_growth(Running& one, Symbols const& more, std::int32_t found) {
    one.farthest = std::max(one.farthest, one.story.size());
    one.story.took_slots(more);
    if (!more.empty()) {
      one.waits = false;
      if (!std::exchange(*one.use, true)) {
        ++num_lookups_;
        num_hit_tokens_ += found;
        num_asked_units_ += one.asked / unit_;
      }
    }
    PrefixCounters const& tree = cache_.prefixes().counters();
    expect(tree.lookups == num_lookups_ && tree.hit_tokens == num_hit_tokens_, "a use was not counted once");
  }
  /// Whether a pool has what the sequence would hold, if nobody held anything besides.
  [[nodiscard]] bool fits_alone(Sequence const& sequence, std::int32_t n) const {
    for (int g = 0; g < Cache::num_groups; ++g) {
      GroupShape const& shape = cache_.shape(g);
      std::int32_t const first_query = std::max(0, sequence.num_tokens() - cache_.state()->store.slack());
      std::int32_t const begin =
          std::max(sequence.state().lists[g].first_resident_block, shape.window_begin(first_query) / shape.block_size);
      std::int32_t const sinks = blocks_for(shape.sinks, shape.block_size);
      std::int32_t held = blocks_for(sequence.num_stored_tokens(g) + n, shape.block_size);
      if (shape.window != 0) held -= std::max(0, begin - sinks);
      if (held > pool(g).num_blocks()) return false;
    }
    return true;
  }

  void write(std::initializer_list<ModelSequence const*> stories) { ModelSequence::write(cache_, stories); }

  Symbols some_symbols() {
    Symbols more;
    for (int n = any(3) == 0 ? any(16) : 1 + any(2); n > 0; --n) more.push_back(some_symbol());
    return more;
  }
  void append(Running& one) {
    what_ = "append";
    if (grow(one, some_symbols())) write({&one.story});
  }
  /// Blocks are held ahead wherever an append would get them, and the append succeeds then.
  void reserve(Running& one) {
    what_ = "reserve";
    Symbols const more = some_symbols();
    auto const n = static_cast<std::int32_t>(more.size());
    bool const said = one.story.sequence().can_extend(n);
    std::vector<std::int64_t> now;
    see(before_refusal_);
    Reservation ahead;
    bool held = false;
    attempt([&] { held = ahead.try_reserve(one.story.sequence(), n, std::max(1, n)); });
    num_reservations_ += held ? 1 : 0;
    expect(held == said, "a reservation and an append need unlike numbers of blocks");
    see(now);
    if (!held) return expect(now == before_refusal_, "a refused reservation changed something");
    for (int g = 0; g < Cache::num_groups; ++g) expect(ahead.num_blocks(g) >= 0, "fewer than no blocks are held");
    std::int32_t const found = one.story.size();
    expect(ahead.try_extend(one.story.sequence(), n), "an append was refused for which blocks were held");
    note_growth(one, more, found);
    write({&one.story});
  }
  void append_two() {  // in one step, so that where copies wait both do
    what_ = "append to two";
    Running &one = any_of(running_), &two = any_of(running_);
    bool const first = grow(one, some_symbols()), second = &one != &two && grow(two, some_symbols());
    if (first && second) return write({&two.story, &one.story});
    if (first) write({&one.story});
    if (second) write({&two.story});
  }

  void insert(Running& one, std::int32_t wanted) {
    what_ = "insert";
    std::int32_t const n = std::min(wanted, one.story.num_exact());  // what comes after that is kept by nobody
    bool const can_be_whole = has_window_for(one, whole(n));
    if (whole(n) >= std::max(one.found, one.farthest - unit_))
      expect(has_window_for(one, whole(n), true), "a sequence gave back what a prompt that ended a unit ago needs");
    auto const batch = cache_.batch({{&one.story.sequence(), 0}});
    std::uint64_t const generation = one.story.sequence().state().generation;
    std::vector<BlockId> const blocks = all_blocks(one);
    std::int32_t kept = 0;
    attempt([&] { kept = one.story.insert(wanted); });
    expect(batch.is_stale() == (blocks != all_blocks(one)), "a batch is stale where nothing changed, or is not");
    expect(batch.is_stale() == (generation != one.story.sequence().state().generation), "the generation is wrong");
    if (one.is_forgotten) return expect(kept == 0, "something of before a clearing was inserted");
    expect(kept == whole(n), "insert did not keep the whole units");
    if (kept == 0) return;
    one.kept = kept;
    inserted_.emplace_back(one.story.scope(), first_of(one.story.symbols(), kept));
    auto const& [scope, symbols] = inserted_.back();
    PrefixMatch const match = cache_.prefixes().find(scope, symbols, kept);
    expect(match.num_symbols == kept && (!can_be_whole || match.num_tokens == kept), "what was inserted is not found");
    if (!ample_ || has_windows) inserted_.pop_back();
  }
  [[nodiscard]] std::vector<BlockId> all_blocks(Running const& one) const {
    std::vector<BlockId> all;
    for (int g = 0; g < Cache::num_groups; ++g)
      all.insert(all.end(), one.story.sequence().blocks(g).begin(), one.story.sequence().blocks(g).end());
    return all;
  }
  /// Whether the sequence has, for itself alone, what a prefix of n tokens needs in each group with a window.
  /// Or shares it with the tree.
  [[nodiscard]] bool has_window_for(Running const& one, std::int32_t n, bool or_shared = false) const {
    for (int g = 0; g < Cache::num_groups; ++g) {
      GroupShape const& shape = cache_.shape(g);
      if (shape.window == 0) continue;
      for (std::int32_t i = 0; i < blocks_for(n, shape.block_size); ++i) {
        bool const is_needed =
            i < blocks_for(shape.sinks, shape.block_size) || i >= shape.window_begin(n) / shape.block_size;
        BlockId const block = one.story.sequence().blocks(g)[static_cast<std::size_t>(i)];
        if (is_needed && (block == null_block || (!or_shared && pool(g).is_cached(block)))) return false;
      }
    }
    return true;
  }

  void fork(Running& one) {
    what_ = "fork";
    if (running_.size() >= 6) return;
    Sequence sequence;
    attempt([&] { sequence = one.story.sequence().fork(); });
    expect(sequence.num_cached_tokens() == one.story.sequence().num_cached_tokens(),
           "a fork began with something else than what it is a fork of");
    Running child{one.story.with(std::move(sequence)),
                  one.kept,
                  one.use,
                  one.waits,
                  one.is_forgotten,
                  one.farthest,
                  one.found,
                  one.asked};
    running_.push_back(std::move(child));
  }

  void release_lease(Running& one) {
    what_ = "let go";
    cache_.release_lease(one.story.sequence());
    one.kept = 0;
  }

  /// As new weights need it. Sequences go on, and keep nothing for others any more.
  void clear() {
    what_ = "clear";
    std::int64_t const evicted = cache_.prefixes().counters().evicted_units;
    if constexpr (watches_keys) cache_.prefixes().sink().is_clearing = true;
    cache_.prefixes().clear();
    if constexpr (watches_keys) cache_.prefixes().sink().is_clearing = false;
    num_cleared_units_ += cache_.prefixes().counters().evicted_units - evicted;
    for (Running& one : running_) one.kept = 0, one.is_forgotten = true;
    for (Pinned& pinned : pins_) pinned.pin.release();
    pins_.clear();
    inserted_.clear();
    ++num_clearings_;
    expect(cache_.prefixes().num_nodes() == 0, "something is in a tree that was cleared");
    for (Symbols const& prompt : prompts_)
      for (std::int32_t const scope : scopes_)
        expect(cache_.num_cached_tokens({prompt, scope}) == 0, "something was found after a clearing");
  }

  void truncate(Running& one) {
    what_ = "truncate";
    std::int32_t const n = any(2) == 0 ? any(one.story.size() + 1) : std::max(0, one.story.size() - any(6));
    try {
      one.story.sequence().truncate(n);
    } catch (Error const&) {
      bool has_gap = false;
      for (int g = 0; g < Cache::num_groups; ++g) has_gap = has_gap || !one.story.stored(g).can_truncate(n);
      expect(has_windows || has_gap, "truncate refused without a window or a gap");
      return;
    }
    one.story.sequence().truncate(n);  // again: changes nothing
    one.story.truncate(n);
    expect(one.story.sequence().num_cached_tokens() <= n, "more is said to be cached than there is");
    one.kept = std::min(one.kept, whole(n));
  }

  /// Takes blocks out of a group: what comes after them is in the tree for nobody, and can be evicted.
  void cut(Running& one) {
    what_ = "cut";
    int const g = any(Cache::num_groups);
    std::int32_t const size = cache_.shape(g).block_size, blocks = one.story.sequence().num_stored_tokens(g) / size;
    if (blocks == 0 || cache_.shape(g).window != 0) return;
    std::int32_t const first = any(blocks), n = 1 + any(std::min(3, blocks - first));
    std::int32_t const found = one.story.sequence().num_cached_tokens();
    one.story.cut(first * size, n * size, g);
    note_gap(one, found);
    ++num_cuts_;
  }
  /// Keeps some tokens of a group: the first ones, and where rows can move others after them.
  void keep(Running& one) {
    what_ = "keep";
    int const g = any(Cache::num_groups);
    GroupShape const& shape = cache_.shape(g);
    std::int32_t const stored = one.story.sequence().num_stored_tokens(g);
    if (stored == 0 || shape.window != 0) return;
    std::int32_t fixed = 0;  // those in blocks that somebody else has, and those before
    auto const blocks = one.story.sequence().blocks(g);
    for (std::size_t i = 0; i < blocks.size(); ++i)
      if (pool(g).ref_count(blocks[i]) > 1 || pool(g).is_cached(blocks[i]))
        fixed = std::min(stored, static_cast<std::int32_t>(i + 1) * shape.block_size);
    expect(one.story.sequence().num_shared_blocks(fixed, stored, g) == 0, "blocks are said to be shared that are not");
    if (fixed > 0) refuse_keep(one, fixed - 1, stored, g);
    bool const moves = stored - fixed > 1 && any(4) != 0;
    std::int32_t const num_first = any(stored), num_last = moves ? any(std::min(4, stored - fixed)) : 0;
    std::vector<std::int32_t> numbers;
    for (std::int32_t t = 0; t < stored; ++t)
      if (moves ? t < fixed || t >= stored - num_last || any(3) == 0 : t < num_first) numbers.push_back(t);
    if (static_cast<std::int32_t>(numbers.size()) == stored) return;
    num_compactions_ += !numbers.empty() && numbers.back() >= static_cast<std::int32_t>(numbers.size()) ? 1 : 0;
    std::int32_t const found = one.story.sequence().num_cached_tokens();
    one.story.keep(numbers, num_last, g);
    expect(one.story.sequence().num_stored_tokens(g) == static_cast<std::int32_t>(numbers.size()),
           "keep kept more or fewer tokens than it was told");
    note_gap(one, found);
    ++num_keeps_;
  }
  /// What was moved from stored token `first` on, which is in a block that others have.
  void refuse_keep(Running& one, std::int32_t first, std::int32_t stored, int g) {
    if (first + 1 == stored) return;
    bool refused = false;
    try {
      one.story.sequence().keep({.num_tokens = first + 1, .num_first = first}, g);
    } catch (Error const&) {
      refused = true;
    }
    expect(refused, "others' blocks may have been compacted");
  }
  /// Tokens were taken out of a group: `found` were cached before.
  void note_gap(Running& one, std::int32_t found) {
    expect(one.story.sequence().num_cached_tokens() == found, "a request found fewer tokens since some were taken out");
    expect(one.story.sequence().num_exact_tokens() == one.story.num_exact(), "wrong number of exact tokens");
    one.kept = std::min(one.kept, whole(one.story.num_exact()));
  }

  void release(Running& one) {
    what_ = "release";
    std::swap(one, running_.back());
    running_.pop_back();
  }

  /// What ran until now goes last under lru, whoever needs memory next.
  void release_and_grow(Running& one) {
    bool const is_used = one.kept > 0 && !one.waits;
    Symbols const prefix = first_of(one.story.symbols(), one.kept);
    std::int32_t const scope = one.story.scope();
    release(one);
    what_ = "release and grow another";
    if (ample_ || running_.empty()) return;
    Symbols more;
    for (int n = 1 + any(40); n > 0; --n) more.push_back(some_symbol());
    Running& other = any_of(running_);
    if (!grow(other, more)) return;
    write({&other.story});
    if constexpr (std::is_same_v<typename Cache::Eviction, LruEviction> && Cache::num_groups == 1) {
      std::int32_t const left = is_used ? cache_.prefixes().find(scope, prefix, whole(1 << 20)).num_symbols : 0;
      if (left <
          static_cast<std::int32_t>(prefix.size()))  // a unit of which the other one copied a part came free since
        expect(!is_used || pool(0).num_evictable() <= left / unit_ + 1,
               "what was used last went before something else");
    }
  }

  void pin() {
    what_ = "pin";
    if (pins_.size() >= 2) return;
    Symbols const symbols = prompt();
    auto const size = static_cast<std::int32_t>(symbols.size());
    std::int32_t const scope = scopes_[any(2)];
    auto& tree = cache_.prefixes();
    PrefixMatch const match = tree.find(scope, symbols, size);
    std::int32_t const end = whole(any(match.num_symbols + 1));
    if (end == 0) return;
    Symbols const pinned = first_of(symbols, end);
    std::int32_t const usable = tree.find(scope, pinned, end).num_tokens;
    PrefixPin held;
    attempt([&] { held = tree.pin(match, end); });
    pins_.push_back({std::move(held), scope, pinned, usable});
    ++num_pins_;
  }
  void retain() {
    what_ = "retain";
    Symbols const symbols = prompt();
    PrefixMatch const match =
        cache_.prefixes().find(scopes_[any(2)], symbols, static_cast<std::int32_t>(symbols.size()));
    std::int32_t const end = any(match.num_symbols + 1);
    std::int32_t const begin = any(end + 1);
    Retention const retention{any(101), step_ + any(20) * 1.0};
    attempt([&] { cache_.prefixes().retain(match, begin, end, retention); });
  }

  void unpin() {
    what_ = "unpin";
    if (pins_.empty()) return;
    pins_.back().pin.release();
    pins_.back().pin.release();  // again: nothing happens
    pins_.pop_back();
  }

  /// Misuse, which the checks after it see to have changed nothing.
  void bad(Running& one) {
    what_ = "bad";
    bool refused = false;
    try {
      Symbols const more = one.story.symbols() + Symbols{1};
      static_cast<void>(cache_.insert(one.story.sequence(), {more, one.story.scope()}));
    } catch (Error const&) {
      refused = true;
    }
    expect(refused, "inserted more tokens than there are");
  }

  void check() {
    check_accounts();
    check_stale();
    check_kept_batch();
    check_rows();
    check_policy();
    if constexpr (watches_keys) check_keys();
    for (Running const& one : running_)
      if (one.kept > 0)
        expect(
            cache_.prefixes().find(one.story.scope(), first_of(one.story.symbols(), one.kept), one.kept).num_symbols ==
                one.kept,
            "a prefix went that a sequence keeps");
    check_pinned();
  }

  /// The last check's batch says that it is stale, where a sequence of it has other blocks now.
  void check_stale() {
    for (auto const& [state, blocks] : in_batch_)
      for (int g = 0; g < Cache::num_groups; ++g) {
        std::vector<BlockId> const& before = blocks[static_cast<std::size_t>(g)];
        std::vector<BlockId> const& now = state->lists[g].blocks;
        bool const are_there = before.size() <= now.size() && std::equal(before.begin(), before.end(), now.begin());
        expect(are_there || batch_->is_stale(), "a batch whose blocks went is not stale");
      }
  }
  void note_batch() {
    in_batch_.clear();
    for (Running const& one : running_) {
      in_batch_.push_back({&one.story.sequence().state(), {}});
      for (int g = 0; g < Cache::num_groups; ++g) {
        auto const blocks = one.story.sequence().blocks(g);
        in_batch_.back().blocks[static_cast<std::size_t>(g)].assign(blocks.begin(), blocks.end());
      }
    }
  }

  /// What is pinned is there, whoever comes and goes.
  void check_pinned() {
    for (Pinned const& pin : pins_) {
      auto const size = static_cast<std::int32_t>(pin.symbols.size());
      PrefixMatch const match = cache_.prefixes().find(pin.scope, pin.symbols, size);
      expect(match.num_symbols == size && match.num_tokens >= pin.num_tokens, "a pinned prefix went");
    }
    std::int64_t const num_blocks = cache_.prefix_gauges().all.pinned_blocks;
    if (pins_.size() == num_open_pins_ && num_pins_ == num_pins_before_)
      expect(num_blocks >= num_pinned_blocks_, "a block of a pinned prefix went");
    num_open_pins_ = pins_.size();
    num_pins_before_ = num_pins_;
    num_pinned_blocks_ = num_blocks;
  }

  void check_policy() {
    expect(!WornLruEviction::overflowed, "a count of uses overflowed");
    if constexpr (has_shares) {  // who has a share, who keeps something, and the last one that was prepared
      std::size_t most = 3;
      for (TenantGauges const& one : cache_.prefix_gauges().tenants)
        most += (one.tenant < 1 || one.tenant > 2) && one.units > 0 ? 1 : 0;
      expect(cache_.prefixes().eviction().num_tenants() <= most, "a tenant of whom nothing is kept was not forgotten");
    }
  }

  /// The batch that was filled after every step has the tables of one that is made anew.
  void check_kept_batch() {
    all_.clear();
    for (Running const& one : running_) all_.push_back(&one.story.sequence());
    kept_batch_.fill(all_, static_cast<unsigned>(step_), [&](auto const& fill, auto const& check) {
      num_failures_ += Attempt::run(fill, [&](std::int64_t) { check(); });
    });
  }

  /// A few tokens of each sequence. Then free blocks get bytes that are NaN.
  void check_rows() {
    if (!running_.empty()) {
      items_.clear();
      for (Running const& one : running_) items_.emplace_back(&one.story.sequence(), 0);
      batch_.emplace(cache_.batch(items_));
      for (std::size_t i = 0; i < running_.size(); ++i) {
        ModelSequence const& story = running_[i].story;
        if (story.size() == 0) continue;
        std::int32_t const found = std::max(1, std::min(story.size(), story.sequence().num_cached_tokens())) - 1;
        for (std::int32_t const token : {story.size() - 1, found, any(story.size()), any(story.size())}) {
          std::string const wrong = story.difference_at(batch_->view(), static_cast<std::int32_t>(i), token);
          if (!wrong.empty()) throw std::logic_error("sequence " + std::to_string(i) + ": " + wrong);
        }
      }
    }
    note_batch();
    // Does what waits for the next step: from here on nobody reads a free block.
    static_cast<void>(cache_.batch(std::span<BatchItem const>{}));
    for (int g = 0; g < Cache::num_groups; ++g)
      for (std::int32_t id = 1; id <= pool(g).num_blocks(); ++id)
        if (pool(g).ref_count(BlockId{id}) == 0 && !pool(g).is_cached(BlockId{id}))
          std::memset(cache_.pool(g) + id * cache_.block_bytes(g), 0xFF,
                      static_cast<std::size_t>(cache_.block_bytes(g)));
  }

  /// free + live + cached is all; every block of a sequence is live, and has as many holders as it should.
  void check_accounts() {
    for (int g = 0; g < Cache::num_groups; ++g) {
      holders_.assign(static_cast<std::size_t>(pool(g).num_blocks() + 1), 0);
      for (Running const& one : running_)
        for (BlockId const block : one.story.sequence().blocks(g)) ++holders_[static_cast<std::size_t>(to_int(block))];
      std::int32_t live = 0, cached = 0;
      for (std::int32_t id = 1; id <= pool(g).num_blocks(); ++id) {
        std::uint32_t const wanted = holders_[static_cast<std::size_t>(id)];
        expect(pool(g).ref_count(BlockId{id}) == wanted, "a block has not the holders that it should have");
        live += wanted > 0 ? 1 : 0;
        cached += wanted == 0 && pool(g).is_cached(BlockId{id}) ? 1 : 0;
      }
      expect(pool(g).num_live() == live && pool(g).num_cached() == cached, "live or cached blocks are miscounted");
      expect(pool(g).num_free() + live + cached == pool(g).num_blocks(), "free + live + cached is not all");
      check_kept_from_eviction(g);
    }
  }

  /// Of what nobody holds, a sequence keeps at most a unit, of which it had a part, and a pin what it pins.
  void check_kept_from_eviction(int g) const {
    TenantGauges const all = cache_.prefix_gauges().all;
    std::int64_t const a_unit = unit_ / cache_.shape(g).block_size;
    std::int64_t most = all.pinned_units * a_unit;
    if (cache_.shape(g).window == 0) most += static_cast<std::int64_t>(running_.size()) * a_unit;
    expect(pool(g).num_cached() - pool(g).num_evictable() <= most, "sequences keep more than they need from eviction");
    expect(pool(g).num_evictable() >= 0, "fewer than no blocks can be evicted");
  }

  void count(PrefixProgramCounts& counts) {
    see(seen_);
    PrefixCounters const& tree = cache_.prefixes().counters();
    counts.steps += step_;
    counts.hits += tree.hit_tokens;
    counts.partial_hits += partial_hits_;
    counts.evictions += tree.evicted_units;
    counts.merges += tree.merged_blocks;
    counts.copies += cache_.stats().counters.copies;
    counts.refusals += cache_.stats().counters.out_of_blocks;
    counts.pins += num_pins_;
    counts.reservations += num_reservations_;
    counts.waits += num_lookups_;
    counts.alone += num_alone_;
    counts.cuts += num_cuts_;
    counts.keeps += num_keeps_;
    counts.compactions += num_compactions_;
    counts.clearings += num_clearings_;
    expect(tree.lookups == num_lookups_ && tree.hit_tokens == num_hit_tokens_, "a use was not counted once");
    if constexpr (requires { cache_.prefixes().sink().num_units(); })
      expect(cache_.prefixes().sink().num_units() == num_asked_units_,
             "somebody who listens did not hear each look-up");
    if (ample_) expect(tree.evicted_units == num_cleared_units_, "there was not as much memory as this program needs");
  }

  void finish() {
    what_ = "the end";
    running_.clear();
    while (!pins_.empty()) unpin();
    cache_.prefixes().evict_all();
    for (int g = 0; g < Cache::num_groups; ++g) expect(pool(g).num_free() == pool(g).num_blocks(), "blocks leaked");
    expect(cache_.prefixes().num_nodes() == 0, "nodes leaked");
  }

  KeyTable names_{16};
  std::int32_t scopes_[2] = {0, 1}, image_ = -1;
  Cache cache_;
  KeptBatch<Cache> kept_batch_{cache_};
  unsigned seed_;
  bool ample_;
  int check_every_;
  std::mt19937 random_;
  std::int32_t unit_ = 1;
  int step_ = 0;
  char const* what_ = "";
  std::vector<Symbols> prompts_;
  std::vector<Running> running_;
  std::vector<Pinned> pins_;
  std::vector<std::pair<std::int32_t, Symbols>> inserted_;  // scope and symbols; kept where it says what is found
  std::int64_t partial_hits_ = 0, num_pins_ = 0, num_alone_ = 0, num_clearings_ = 0, num_failures_ = 0;
  std::int64_t num_reservations_ = 0, num_cuts_ = 0, num_keeps_ = 0, num_compactions_ = 0;
  std::size_t num_open_pins_ = 0;  // at the last check, as what follows
  std::int64_t num_pins_before_ = 0, num_pinned_blocks_ = 0;
  std::int64_t num_lookups_ = 0, num_hit_tokens_ = 0, num_asked_units_ = 0, num_cleared_units_ = 0;
  std::vector<std::int64_t> before_, after_, before_refusal_, seen_;
  std::vector<BatchItem> items_;
  struct InBatch {
    SequenceState const* state;
    std::array<std::vector<BlockId>, max_groups> blocks;
  };
  std::optional<decltype(std::declval<Cache&>().batch(std::span<BatchItem const>()))> batch_;  // of the last check
  std::vector<InBatch> in_batch_;
  std::vector<Sequence const*> all_;
  std::vector<std::uint32_t> holders_;
};

}  // namespace folio::test
