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
