// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What every eviction policy must show, whoever wrote it. A policy's test calls `eviction_suite(make)` once, with a
// function that makes a new one, and tests by itself only which victims it names.

#include <cstddef>
#include <cstdint>
#include <folio/eviction/eviction.hpp>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/failing_new.hpp"
#include "support/random.hpp"

namespace folio::test {

/// Leaves as a prefix tree has them, in a random program: they come, are used, held, let go, cut and evicted, and their
/// places in memory are used again.
template <EvictionPolicy P>
class EvictionProgram {
 public:
  /// Where `turned`, leaves lie in memory in the opposite order. Where `short_of_memory`, every allocation of reserve
  /// and prepare fails once before it succeeds. Nothing else differs.
  EvictionProgram(P policy, unsigned seed, bool evicts, bool turned, bool short_of_memory)
      : policy_(std::move(policy)),
        random_(seed),
        evicts_(evicts),
        turned_(turned),
        short_of_memory_(short_of_memory),
        leaves_(num_leaves) {
    for (std::size_t i = 0; i < num_leaves; ++i) leaf(i).number = static_cast<std::int64_t>(i);
  }

  void step() {
    std::size_t const i = static_cast<std::size_t>(below(random_, num_leaves));
    if (!leaf(i).lives) return store(leaf(i));
    switch (below(random_, 8)) {
      case 0:
        return hold(leaf(i));
      case 1:
        return let_go(leaf(i));
      case 2:
        return use(leaf(i));
      case 3:
        return retain(leaf(i));
      case 4:
        return cut(leaf(i));
      case 5:
        return void(now_ += 0.25 * below(random_, 40));
      case 6:
        return move();
      default:
        for (int n = below(random_, 12); n > 0; --n) evict();
    }
  }

  /// All are let go and leave.
  void finish() {
    for (std::size_t i = 0; i < num_leaves; ++i) let_go(leaf(i));
    while (num_queued_ > 0 && evicts_) evict();
    for (std::size_t i = 0; i < num_leaves; ++i)
      if (leaf(i).lives) take_away(leaf(i));
    now_ += 1e6;
    REQUIRE(policy_.victim(now_) == nullptr);
    REQUIRE(num_units_ == 0);
  }

  /// How often reserve and prepare were refused memory.
  [[nodiscard]] std::int64_t num_refusals() const { return num_refusals_; }
  /// How many insertions had units of which was told before.
  [[nodiscard]] std::int64_t num_told() const { return num_told_; }
  /// How many units went because a quota was exceeded.
  [[nodiscard]] std::int64_t num_over_quota() const { return num_over_quota_; }
  /// Which leaves were evicted from, in order.
  [[nodiscard]] std::vector<std::int64_t> const& victims() const { return victims_; }

 private:
  static constexpr std::int32_t num_leaves = 60;
  static constexpr bool wants_keys = policy_wants_keys<P>();

  struct Leaf : EvictionEntry {
    std::int64_t number = 0;
    bool lives = false, queued = false;
    std::vector<PrefixKey> keys;
  };

  [[nodiscard]] Leaf& leaf(std::size_t i) { return leaves_[turned_ ? num_leaves - 1 - i : i]; }

  /// Calls f, which must not allocate: no macro of a test is in it.
  template <class F>
  static void call(F f) {
    std::int64_t const before = HostHeap::of_this_thread().num_allocations;
    f();
    std::int64_t const after = HostHeap::of_this_thread().num_allocations;
    REQUIRE(after == before);
  }

  /// Tells the policy that there may be so many entries, with `num_units` more of `tenant`; first with each allocation
  /// failing, where that is asked for, after which everything must be as if it had not been told.
  void prepare(std::int64_t num_entries, std::int32_t tenant, std::int32_t num_units) {
    auto const tell_policy = [&] {
      policy_.reserve(static_cast<std::size_t>(num_entries));
      if constexpr (hears<P>(PrefixEvents::prepare)) policy_.prepare(tenant, num_units);
    };
    if (!short_of_memory_) return tell_policy();
    auto const unchanged = [&](std::int64_t) {
      std::int64_t found = 0;
      for (Leaf const& e : leaves_) found += e.queued;
      REQUIRE(found == num_queued_);
    };
    num_refusals_ += for_every_failure(tell_policy, unchanged, 1 + num_prepared_++ % 4);
  }

  /// Calls the policy for an entry, whose figures are not the policy's to change.
  template <class F>
  void tell(Leaf& e, F f) {
    EvictionEntry const before = e;
    call(f);
    REQUIRE((e.last_use == before.last_use && e.created == before.created && e.order == before.order &&
             e.hits == before.hits && e.depth == before.depth && e.hit_depth == before.hit_depth &&
             e.units == before.units && e.unit_tokens == before.unit_tokens && e.unit_bytes == before.unit_bytes &&
             e.priority == before.priority && e.expires == before.expires && e.tenant == before.tenant));
  }

  void let_go(Leaf& e) {
    if (!e.lives || std::exchange(e.queued, true)) return;
    ++num_queued_;
    tell(e, [&] { policy_.add(e); });
    enforce_quotas();
  }
  void hold(Leaf& e) {
    if (!std::exchange(e.queued, false)) return;
    --num_queued_;
    tell(e, [&] { policy_.remove(e); });
  }

  void store(Leaf& e) {
    std::int64_t const number = e.number;
    e = Leaf();
    e.number = number + num_leaves;
    e.lives = true;
    e.units = 1 + below(random_, 6);
    e.depth = e.units - 1 + below(random_, 50);
    e.hit_depth = e.depth + 1 - e.units;
    e.unit_tokens = 16;
    e.unit_bytes = 4096;
    e.created = e.last_use = now_;
    e.order = ++order_;
    e.tenant = below(random_, 3);
    for (std::int32_t u = 0; u < e.units; ++u) e.keys.push_back({static_cast<std::uint64_t>(below(random_, 2000)), 0});
    num_units_ += e.units;
    prepare(++num_living_, e.tenant, e.units);
    tell(e, [&] { tell_stored(e); });
    if constexpr (hears<P>(PrefixEvents::inserted)) {
      PrefixInserted const event = sequence_that_ends_with(e);
      tell(e, [&] { policy_.inserted(event); });
    }
    if (below(random_, 4) != 0) let_go(e);
    enforce_quotas();
  }
  void tell_stored(Leaf& e) {
    std::span<PrefixKey const> const keys = wants_keys ? e.keys : std::span<PrefixKey const>();
    if constexpr (hears<P>(PrefixEvents::stored)) policy_.stored(e, keys);
  }
  /// The units of `e` alone, or after those that were inserted before it: by the same sequence when it was shorter, so
  /// that they were told of, or by another.
  PrefixInserted sequence_that_ends_with(Leaf const& e) {
    if (below(random_, 3) == 0 || inserted_keys_.size() > 40) inserted_keys_.clear();
    auto const before = static_cast<std::int32_t>(inserted_keys_.size());
    inserted_keys_.insert(inserted_keys_.end(), e.keys.begin(), e.keys.end());
    bool const is_longer = before > 0 && below(random_, 2) == 0;
    num_told_ += is_longer ? 1 : 0;
    return {.keys = wants_keys ? inserted_keys_ : std::span<PrefixKey const>(),
            .told = is_longer ? before : 0,
            .found = is_longer ? 0 : before,
            .order = order_,
            .tenant = e.tenant};
  }

  void use(Leaf& e) {
    bool const queued = e.queued;
    hold(e);
    if constexpr (hears<P>(PrefixEvents::hit)) tell(e, [&] { policy_.hit(e, e.units, now_); });
    ++e.hits;
    e.last_use = now_;
    e.order = ++order_;
    e.hit_depth = e.depth + 1;
    if (queued) let_go(e);
  }

  void retain(Leaf& e) {
    bool const queued = e.queued;
    hold(e);
    e.priority = 5 * below(random_, 21);
    e.expires = below(random_, 3) == 0 ? std::numeric_limits<double>::infinity() : now_ + below(random_, 30) - 3;
    if (queued) let_go(e);
  }

  /// The upper part becomes an entry of its own, with what the policy wrote; here it is let go by chance.
  void cut(Leaf& e) {
    auto const other = static_cast<std::size_t>(below(random_, num_leaves));
    if (e.units < 2 || leaf(other).lives) return;
    bool const queued = e.queued;
    hold(e);
    policy_.reserve(static_cast<std::size_t>(++num_living_));
    Leaf& head = leaf(other);
    std::int64_t const number = head.number + num_leaves;
    head = e;
    head.number = number;
    head.units = 1 + below(random_, e.units - 1);
    head.depth = e.depth - (e.units - head.units);
    auto const middle = e.keys.begin() + head.units;
    head.keys.assign(e.keys.begin(), middle);
    e.keys.erase(e.keys.begin(), middle);
    e.units -= head.units;
    if (queued) let_go(e);
  }

  void evict() {
    EvictionEntry* victim = nullptr;
    call([&] { victim = policy_.victim(now_); });
    REQUIRE((victim == nullptr) == (num_queued_ == 0 || !evicts_));
    if (victim == nullptr) return;
    REQUIRE(policy_.victim(now_) == victim);
    drop_unit_of(victim);
  }
  /// As an index does after each change: what goes although memory is not short.
  void enforce_quotas() {
    if constexpr (hears<P>(PrefixEvents::over_quota))
      while (true) {
        EvictionEntry* victim = nullptr;
        call([&] { victim = policy_.over_quota(now_); });
        if (victim == nullptr) return;
        REQUIRE(policy_.over_quota(now_) == victim);
        ++num_over_quota_;
        drop_unit_of(victim);
      }
  }
  void drop_unit_of(EvictionEntry* victim) {
    auto* const e = static_cast<Leaf*>(victim);
    REQUIRE((e >= leaves_.data() && e < leaves_.data() + leaves_.size()));
    REQUIRE(e->queued);
    victims_.push_back(e->number);
    drop_unit(*e);
  }
  void drop_unit(Leaf& e) {
    PrefixKey const key = e.keys.back();
    e.keys.pop_back();
    if constexpr (hears<P>(PrefixEvents::removed)) tell(e, [&] { policy_.removed(e, wants_keys ? key : PrefixKey()); });
    --num_units_;
    if (e.units == 1) return end(e);
    --e.units;
    --e.depth;
    tell(e, [&] { policy_.shrunk(e); });
  }
  /// What no policy named: those of a tree that goes.
  void take_away(Leaf& e) {
    num_units_ -= e.units;
    end(e);
  }
  void end(Leaf& e) {
    hold(e);
    --num_living_;
    std::int64_t const number = e.number;
    e = Leaf();
    e.number = number;
  }

  void move() {
    P other = std::move(policy_);
    policy_ = std::move(other);
  }

  P policy_;
  std::mt19937 random_;
  bool evicts_, turned_, short_of_memory_;
  std::vector<Leaf> leaves_;
  std::vector<std::int64_t> victims_;
  std::vector<PrefixKey> inserted_keys_;  // of the sequence that was inserted last
  std::int64_t order_ = 0, num_living_ = 0, num_queued_ = 0, num_units_ = 0, num_refusals_ = 0, num_prepared_ = 0;
  std::int64_t num_over_quota_ = 0, num_told_ = 0;
  double now_ = 0;
};

/// Runs all of it: in random programs a victim is always one of the queue, and there is one when the queue is not
/// empty; any entry can leave at any time, and one that has left is not touched; figures that are not the policy's
/// stay; all leave in the end; and what goes does not depend on where entries lie in memory. Nothing allocates but
/// reserve and prepare; when these are refused memory, at each of their allocations, nothing has changed, and what goes
/// later is what goes without. Sequences are inserted that were told of when they were shorter, and quotas are kept
/// after each change. `make()` gives a new policy, one that hears over_quota with quotas that a few units exceed; of
/// one that never evicts, `evicts` is false, of one that needs memory of the heap, `allocates` is true. Call it inside
/// a TEST_CASE; support/failing_new.cpp must be a source of the program.
template <class Make>
void eviction_suite(Make const& make, bool evicts = true, bool allocates = false) {
  using P = decltype(make());
  static_assert(EvictionPolicy<P>);
  INFO("eviction policy " << P::name);
  REQUIRE(std::string(P::name) != "");
  {
    P policy = make();
    REQUIRE(policy.victim(0) == nullptr);
  }
  std::int64_t num_refusals = 0, num_told = 0, num_over_quota = 0;
  for (unsigned seed = 1; seed <= 40; ++seed) {
    INFO("seed " << seed);
    EvictionProgram<P> program(make(), seed, evicts, false, false), again(make(), seed, evicts, true, true);
    for (int step = 0; step < 500; ++step) {
      program.step();
      again.step();
    }
    program.finish();
    again.finish();
    REQUIRE((program.victims() == again.victims()));
    REQUIRE(program.victims().empty() != evicts);
    num_refusals += again.num_refusals();
    num_told += program.num_told();
    num_over_quota += program.num_over_quota();
  }
  REQUIRE((num_told > 0) == hears<P>(PrefixEvents::inserted));
  REQUIRE((num_over_quota > 0) == hears<P>(PrefixEvents::over_quota));
  REQUIRE((num_refusals > 0) == allocates);
}

}  // namespace folio::test
