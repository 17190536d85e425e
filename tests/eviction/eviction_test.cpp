// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What the conformance suite of eviction policies finds.
#include <cstddef>
#include <cstdint>
#include <folio/eviction/indexed_heap.hpp>
#include <folio/eviction/lru.hpp>
#include <memory>
#include <vector>

#include "conformance/eviction_suite.hpp"
#include "support/catch.hpp"

using namespace folio;
using folio::test::eviction_suite;

namespace {

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
/// Names what is held when it is asked what is over a quota.
struct Unfair : LruEviction {
  static constexpr PrefixEvents hears = PrefixEvents::over_quota;
  void remove(EvictionEntry& e) noexcept {
    LruEviction::remove(e);
    held = &e;
  }
  [[nodiscard]] EvictionEntry* over_quota(double) noexcept { return held; }
  EvictionEntry* held = nullptr;
};
/// Never names anything.
struct Lenient : LruEviction {
  static constexpr PrefixEvents hears = PrefixEvents::over_quota;
  [[nodiscard]] EvictionEntry* over_quota(double) noexcept { return nullptr; }
};
/// Needs memory for sequences that come again, longer.
struct Forgets : LruEviction {
  static constexpr PrefixEvents hears = PrefixEvents::inserted;
  static constexpr bool wants_keys = true;
  void inserted(PrefixInserted const& event) noexcept {
    if (event.told > 0) told.assign(event.keys.begin(), event.keys.end());
  }
  std::vector<PrefixKey> told;
};

}  // namespace

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

TEST_CASE("the suite finds a policy whose quotas take what is held", "[!shouldfail]") {
  eviction_suite([] { return Unfair(); });
}

TEST_CASE("the suite finds a policy with quotas that were never exceeded", "[!shouldfail]") {
  eviction_suite([] { return Lenient(); });
}

TEST_CASE("the suite finds a policy that allocates for a sequence of which was told before", "[!shouldfail]") {
  eviction_suite([] { return Forgets(); });
}
