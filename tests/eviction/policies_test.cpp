// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Which entry each policy names, worked out by hand.
#include <folio/eviction/adaptive.hpp>
#include <folio/eviction/cost_aware.hpp>
#include <folio/eviction/fair.hpp>
#include <folio/eviction/lfu.hpp>
#include <folio/eviction/lru.hpp>
#include <folio/eviction/none.hpp>
#include <folio/eviction/priority_ttl.hpp>
#include <folio/eviction/s3fifo.hpp>
#include <folio/eviction/slru.hpp>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "conformance/eviction_suite.hpp"
#include "support/catch.hpp"

using namespace folio;
using folio::test::contains;
using folio::test::eviction_suite;

namespace {

/// Leaves of one unit by their names, and what goes.
template <class P>
struct Names {
  struct Named : EvictionEntry {
    std::string name;
    std::uint64_t key = 0;
  };

  explicit Names(P p = P()) : policy(std::move(p)) {}

  Named& make(std::string const& name, std::int32_t depth = 0) {
    all.push_back(std::make_unique<Named>());
    Named& e = *all.back();
    e.name = name;
    e.key = std::hash<std::string>()(name);
    e.units = 1;
    e.depth = depth;
    e.unit_tokens = 512;
    e.unit_bytes = 1024;
    e.order = ++order;
    std::span<std::uint64_t const> const keys(&e.key, 1);
    policy.reserve(all.size());
    if constexpr (requires { policy.prepare(0, 1); }) policy.prepare(0, 1);
    if constexpr (requires { policy.inserted(e, keys, now); }) policy.inserted(e, keys, now);
    return e;
  }
  Named& store(std::string const& name, std::int32_t depth = 0) {
    Named& e = make(name, depth);
    policy.add(e);
    return e;
  }
  void use(EvictionEntry& e, int times = 1) {
    for (; times > 0; --times) {
      policy.remove(e);
      ++e.hits;
      e.order = ++order;
      policy.add(e);
    }
  }
  /// The name of what goes next, "" for nothing; it is gone.
  std::string evict() {
    auto* const e = static_cast<Named*>(policy.victim(now));
    if (e == nullptr) return "";
    if constexpr (requires { policy.evicted(*e, e->key); }) policy.evicted(*e, e->key);
    policy.remove(*e);
    return e->name;
  }
  std::string evict(int n) {
    std::string names;
    for (; n > 0; --n) names += evict();
    return names;
  }

  P policy;
  std::vector<std::unique_ptr<Named>> all;
  std::int64_t order = 0;
  double now = 0;
};

/// Never forgets what left.
struct Forgetful : LruEviction {
  void remove(EvictionEntry& e) noexcept {
    LruEviction::remove(e);
    left = &e;
  }
  [[nodiscard]] EvictionEntry* victim(double now) const noexcept {
    return left != nullptr ? left : LruEviction::victim(now);
  }
  EvictionEntry* left = nullptr;
};
/// Breaks ties by the address.
class ByAddress : public LruEviction {
 public:
  void add(EvictionEntry& e) noexcept { queue_.push(e, static_cast<double>(reinterpret_cast<std::uintptr_t>(&e))); }
  void remove(EvictionEntry& e) noexcept { queue_.erase(e); }
  [[nodiscard]] EvictionEntry* victim(double) const noexcept { return queue_.first(); }

 private:
  IndexedHeap queue_;
};
/// Allocates where it may not.
struct Spendthrift : LruEviction {
  void shrunk(EvictionEntry&) noexcept { kept = std::make_unique<int>(1); }
  std::unique_ptr<int> kept;
};
/// Evicts the newest once it was refused memory.
class Stumbles : public LruEviction {
 public:
  void reserve(std::size_t num_entries) {
    ++num_refusals_;
    kept_.reserve(num_entries);
    --num_refusals_;
  }
  void add(EvictionEntry& e) noexcept {
    auto const order = static_cast<double>(e.order);
    queue_.push(e, num_refusals_ > 0 ? -order : order);
  }
  void remove(EvictionEntry& e) noexcept { queue_.erase(e); }
  [[nodiscard]] EvictionEntry* victim(double) const noexcept { return queue_.first(); }

 private:
  IndexedHeap queue_;
  std::vector<char> kept_;
  int num_refusals_ = 0;
};
/// Changes what it only may read.
struct Meddler : LruEviction {
  void shrunk(EvictionEntry& e) noexcept { ++e.hits; }
};

}  // namespace

TEMPLATE_TEST_CASE("every policy of eviction is one, and those whose memory is the entries ask for none", "",
                   LruEviction, SlruEviction, PriorityTtlEviction) {
  eviction_suite([] { return TestType(); });
}
TEMPLATE_TEST_CASE("every policy of eviction is one, also when it is refused memory", "", LfuEviction, S3FifoEviction,
                   CostAwareEviction, AdaptiveEviction, FairEviction<LruEviction>, FairEviction<S3FifoEviction>,
                   FairEviction<AdaptiveEviction>, FairEviction<PriorityTtlEviction>) {
  eviction_suite([] { return TestType(); }, true, true);
}
TEST_CASE("that of none is one, and names nothing") {
  eviction_suite([] { return NoEviction(); }, false);
  Names<NoEviction> names;
  names.store("a");
  CHECK(names.evict() == "");
}
TEST_CASE("the suite finds a policy that keeps what left", "[!shouldfail]") {
  eviction_suite([] { return Forgetful(); });
}
TEST_CASE("the suite finds a policy that goes by addresses", "[!shouldfail]") {
  eviction_suite([] { return ByAddress(); });
}
TEST_CASE("the suite finds a policy that allocates when a unit goes", "[!shouldfail]") {
  eviction_suite([] { return Spendthrift(); });
}
TEST_CASE("the suite finds a policy that names another victim when it was refused memory", "[!shouldfail]") {
  eviction_suite([] { return Stumbles(); }, true, true);
}
TEST_CASE("the suite finds a policy that changes figures", "[!shouldfail]") {
  eviction_suite([] { return Meddler(); });
}

TEST_CASE("lru: the oldest use first, the deepest first among equals") {
  Names<LruEviction> names;
  auto& a = names.store("a");
  names.store("b");
  auto& c = names.store("c", 3);
  auto& d = names.store("d", 7);
  names.use(a);
  names.policy.remove(d);
  d.order = c.order;
  names.policy.add(d);
  CHECK(names.evict(4) == "bdca");
}

TEST_CASE("lfu: the least found first, and old fame fades") {
  Names<LfuEviction> names;
  auto& star = names.store("S");
  names.use(star, 3);  // worth 4
  names.store("a");
  names.use(names.store("b"));
  names.store("c");
  CHECK(names.evict(2) == "ac");  // worth 1 each; the level is 1
  CHECK(names.evict() == "b");    // 2
  names.store("d");               // 2 + 1
  CHECK(names.evict() == "d");    // the level is 3
  names.use(names.store("e"));    // 3 + 2
  CHECK(names.evict() == "S");    // 4, though it was found three times, and e once
  CHECK(names.evict() == "e");
}

TEST_CASE("lfu: what is held and comes back unused is no younger") {
  Names<LfuEviction> names;
  auto& old = names.store("o");
  for (char const* name : {"1", "2", "3"}) {
    names.use(names.store(name));
    names.store("x");
  }
  names.policy.remove(old);
  CHECK(names.evict(3) == "xxx");
  CHECK(names.evict(2) == "12");  // the level is 2
  names.policy.add(old);          // 0 + 1, of its last use
  CHECK(names.evict(2) == "o3");
}

TEST_CASE("slru: a scan goes through probation and takes nothing that was found") {
  Names<SlruEviction> names;
  auto& a = names.store("A");
  auto& b = names.store("B");
  for (char const* name : {"1", "2", "3"}) names.store(name);
  names.use(a);
  names.use(b);
  std::string gone;
  for (char const* name : {"4", "5", "6", "7", "8"}) {
    names.store(name);
    gone += names.evict();
  }
  CHECK(gone == "12345");
  CHECK(names.evict(4) == "678A");  // without newcomers the oldest of the found ones
}

TEST_CASE("slru: beyond its share the protected segment gives its oldest back to probation") {
  Names<SlruEviction> names(SlruEviction(0.5));
  auto& a = names.store("A");
  auto& b = names.store("B");
  names.store("1");
  names.store("2");
  names.use(a);
  names.use(b);              // A and B are half of all
  names.use(*names.all[3]);  // 2 as well: A goes back, after 1
  names.policy.remove(a);
  names.policy.add(a);  // unused: it stays where it is
  CHECK(names.evict(4) == "1AB2");
  CHECK_THROWS_WITH(SlruEviction(1.5), contains("folio: slru cannot protect a share of 1.500000"));
}

TEST_CASE("s3fifo: a scan goes through the small queue, what was found twice stays") {
  Names<S3FifoEviction> names;
  auto& hot = names.store("H");
  names.use(hot, 2);
  auto& warm = names.store("W");
  names.use(warm);
  std::string gone;
  for (char c = '0'; c <= '9'; ++c) {
    names.store(std::string(1, c));
    if (names.all.size() > 6) gone += names.evict();
  }
  CHECK(gone == "W01234");  // H went to the main queue; once is not enough
  CHECK(names.evict(5) == "56789");
  CHECK(names.evict() == "H");
}

TEST_CASE("s3fifo: what comes back while its key is a ghost goes to the main queue") {
  Names<S3FifoEviction> names;
  for (char const* name : {"a", "b", "c", "d"}) names.store(name);
  CHECK(names.evict(2) == "ab");
  CHECK(names.policy.num_ghosts() == 2);
  names.store("a");
  CHECK(names.policy.num_ghosts() == 1);
  names.store("e");
  CHECK(names.evict(4) == "cdea");
}

TEST_CASE("s3fifo: the main queue gives each hit another round, and ghosts are no more than units") {
  Names<S3FifoEviction> names;
  auto& a = names.store("a");
  auto& b = names.store("b");
  names.use(a, 3);
  names.use(b, 2);
  names.store("c");
  CHECK(names.evict() == "c");  // a and b went to the main queue
  names.use(a);
  CHECK(names.evict(2) == "ba");
  CHECK(names.policy.num_ghosts() == 0);
  CHECK_THROWS_WITH(S3FifoEviction(-0.1), contains("folio: s3fifo cannot have a small queue of -0.100000"));
}

TEST_CASE("priority_ttl: the lowest priority first, and each becomes 35 when its time has come") {
  Names<PriorityTtlEviction> names;
  auto const keep = [&](std::string const& name, std::int32_t priority, double expires) {
    auto& e = names.make(name);
    e.priority = priority;
    e.expires = expires;
    names.policy.add(e);
  };
  keep("a", 80, 10);
  keep("b", 80, 20);
  keep("c", 35, 5);
  keep("d", 0, 10);
  keep("e", 20, std::numeric_limits<double>::infinity());
  keep("f", 90, 10);
  names.now = 9.999;
  CHECK(names.policy.victim(names.now) == names.all[3].get());
  names.now = 10;  // a, d and f are at 35 now, in the order of their uses; e is lower
  CHECK(names.evict() == "e");
  CHECK(names.evict(3) == "acd");
  names.now = 20;
  CHECK(names.evict(2) == "bf");
}

TEST_CASE("priority_ttl: what is held when its priority expires comes back at 35") {
  Names<PriorityTtlEviction> names;
  auto& a = names.make("a");
  a.priority = 100;
  a.expires = 10;
  names.policy.add(a);
  names.store("b");
  names.policy.remove(a);
  names.now = 11;
  names.policy.add(a);
  CHECK(names.evict(2) == "ab");
}

TEST_CASE("cost_aware: what is cheap to compute goes first, so the shallow one of two, and ages") {
  CostAwareEviction const policy;
  EvictionEntry e;
  e.unit_tokens = 512;
  CHECK(policy.cost(e) == 512 * (1 + 256.0 / 32768));
  e.depth = 64;  // 32768 tokens before it: twice the cost
  CHECK(policy.cost(e) == 512 * (2 + 256.0 / 32768));

  Names<CostAwareEviction> names;  // a unit of 512 tokens in 1024 bytes is worth 0.5 at the beginning
  names.store("d", 64);            // 1.0
  names.store("s", 0);             // 0.5
  names.use(names.store("h", 0));  // twice that, a little more than d
  CHECK(names.evict() == "s");     // the level is 0.5
  names.store("t", 0);             // as much, used later
  CHECK(names.evict(3) == "dht");
  CHECK_THROWS_WITH(CostAwareEviction(0),
                    contains("folio: attention cannot cost as much as the rest after 0.000000 tokens"));
}
