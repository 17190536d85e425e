// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Leaves by their names, for tests of which one a policy evicts, worked out by hand.

#include <cstdint>
#include <folio/eviction/eviction.hpp>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace folio::test {

/// Leaves of one unit by their names, the policy that has them, and what it evicts.
template <class P>
struct NamedLeaves {
  struct Named : EvictionEntry {
    std::string name;
    PrefixKey key;
  };

  explicit NamedLeaves(P p = P()) : policy(std::move(p)) {}

  Named& make(std::string const& name, std::int32_t depth = 0) {
    all.push_back(std::make_unique<Named>());
    Named& e = *all.back();
    e.name = name;
    e.key = {std::hash<std::string>()(name), 0};
    e.units = 1;
    e.depth = depth;
    e.unit_tokens = 512;
    e.unit_bytes = 1024;
    e.order = ++order;
    std::span<PrefixKey const> const keys(&e.key, 1);
    policy.reserve(all.size());
    if constexpr (hears<P>(PrefixEvents::prepare)) policy.prepare(0, 1);
    if constexpr (hears<P>(PrefixEvents::stored)) policy.stored(e, keys);
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
    if constexpr (hears<P>(PrefixEvents::removed)) policy.removed(*e, e->key);
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

}  // namespace folio::test
