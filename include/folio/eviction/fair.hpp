// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <folio/error.hpp>
#include <folio/eviction/indexed_heap.hpp>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <utility>

namespace folio {

/// Tenant share: what a tenant may keep: a part of the memory by its weight, and never more units than its quota.
struct TenantShare {
  double weight = 1;
  std::int64_t quota_units = std::numeric_limits<std::int64_t>::max();
  [[nodiscard]] bool operator==(TenantShare const&) const = default;
};

/// Weighted fair sharing: shares memory between tenants by weight, and lets a policy choose within each:
/// `FairEviction<LruEviction>`.
///
/// A tenant above its quota loses first, whether memory is short or not, as far as nobody holds its blocks: what
/// sequences lease or a pin keeps stays, and goes when it is let go. Else the tenant that keeps the most units for its
/// weight loses (weighted max-min): unused shares are lent, and taken back when their owner stores again; a tenant
/// below its share loses nothing while another is above and has something that can go. A prefix counts for the tenant
/// that stored it first, whoever finds it. Of equal tenants the one with the smallest number loses.
///
/// Host only, not thread-safe. O(log tenants) besides the inner policy, of which each tenant has a copy of its own,
/// made of the one given. A tenant that was never named has weight 1 and no quota, and is forgotten, with what its
/// policy has learned, when nothing of it is kept any more. Take it where tenants pay for
/// shares, or where one that floods the cache would take everything from the others; for one tenant it is the inner
/// policy.
template <EvictionPolicy Inner>
requires std::copy_constructible<Inner>
class FairEviction {
  static_assert(!folio::hears<Inner>(PrefixEvents::over_quota),
                "folio::FairEviction: the policy within each tenant hears over_quota, and would never be asked: quotas "
                "are the tenants' (set_share); take a policy without over_quota");

 public:
  static constexpr char const* name = "fair";
  static constexpr PrefixEvents hears =
      Inner::hears | PrefixEvents::stored | PrefixEvents::removed | PrefixEvents::prepare | PrefixEvents::over_quota;
  static constexpr bool wants_keys = policy_wants_keys<Inner>();

  explicit FairEviction(Inner inner = Inner()) : inner_(std::move(inner)) {}
  // A copy would stand beside the entries that it knows of: cache.prefixes().eviction() is a reference, so take it as
  // one.
  FairEviction(FairEviction const&) = delete;
  FairEviction& operator=(FairEviction const&) = delete;
  FairEviction(FairEviction&&) noexcept = default;
  FairEviction& operator=(FairEviction&&) noexcept = default;

  /// In effect for the next eviction. Throws Error for a weight that is not positive or a quota below 0.
  void set_share(std::int32_t tenant, TenantShare share) {
    if (!(share.weight > 0 && share.weight <= std::numeric_limits<double>::max()) || share.quota_units < 0)
      throw Error("folio: tenant " + std::to_string(tenant) + " cannot have a weight of " +
                  std::to_string(share.weight) + " and a quota of " + std::to_string(share.quota_units) +
                  " units; weights are above 0 and finite, quotas at least 0");
    Tenant& t = tenants_.try_emplace(tenant, tenant, inner_).first->second;
    change(t, [&] { t.share = share; });
    forget_if_idle(t);
  }

  /// Units that count for `tenant`.
  [[nodiscard]] std::int64_t kept_units(std::int32_t tenant) const {
    auto const found = tenants_.find(tenant);
    return found == tenants_.end() ? 0 : found->second.kept;
  }

  /// Tenants that are known: those of which units are kept or that have a share of their own.
  [[nodiscard]] std::size_t num_tenants() const noexcept { return tenants_.size(); }

  /// What entries need is taken for each tenant by prepare, since none has more entries than units.
  void reserve(std::size_t) noexcept {}
  /// Whoever has nothing yet becomes known, and is forgotten by the next one when nothing is stored.
  void prepare(std::int32_t tenant, std::int32_t num_units) {
    if (prepared_ != nullptr && prepared_->number != tenant) forget_if_idle(*std::exchange(prepared_, nullptr));
    Tenant& t = tenants_.try_emplace(tenant, tenant, inner_).first->second;
    prepared_ = &t;
    t.policy.reserve(static_cast<std::size_t>(t.kept + num_units));
    if constexpr (folio::hears<Inner>(PrefixEvents::prepare)) t.policy.prepare(tenant, num_units);
  }

  void add(EvictionEntry& entry) noexcept {
    Tenant& t = *find(entry.tenant);
    t.policy.add(entry);
    if (t.candidates++ == 0) queue_of(t).push(t, rank(t));
  }
  void remove(EvictionEntry& entry) noexcept {
    Tenant& t = *find(entry.tenant);
    t.policy.remove(entry);
    if (--t.candidates == 0) queue_of(t).erase(t);
    forget_if_idle(t);
  }
  void shrunk(EvictionEntry& entry) noexcept { find(entry.tenant)->policy.shrunk(entry); }

  [[nodiscard]] auto victim(double now) noexcept -> decltype(std::declval<Inner&>().victim(now)) {
    EvictionEntry* const first = above_quota_.empty() ? within_quota_.first() : above_quota_.first();
    return first == nullptr ? nullptr : static_cast<Tenant*>(first)->policy.victim(now);
  }

  /// What goes although memory is not short, or null.
  [[nodiscard]] EvictionEntry* over_quota(double now) noexcept { return above_quota_.empty() ? nullptr : victim(now); }

  /// The units of `entry` are new; one of them is going.
  void stored(EvictionEntry& entry, std::span<PrefixKey const> keys) noexcept {
    Tenant& t = *find(entry.tenant);
    change(t, [&] { t.kept += entry.units; });
    if constexpr (folio::hears<Inner>(PrefixEvents::stored)) t.policy.stored(entry, keys);
  }
  void removed(EvictionEntry const& entry, PrefixKey const& key) noexcept {
    Tenant& t = *find(entry.tenant);
    if constexpr (folio::hears<Inner>(PrefixEvents::removed)) t.policy.removed(entry, key);
    change(t, [&] { --t.kept; });
    forget_if_idle(t);
  }

  // What the inner policy hears besides; of a tenant that is not known any more, nothing.
  void hit(EvictionEntry const& entry, std::int32_t units, double now) noexcept
      requires(folio::hears<Inner>(PrefixEvents::hit)) {
    if (Tenant* const t = find(entry.tenant)) t->policy.hit(entry, units, now);
  }
  void inserted(PrefixInserted const& event) noexcept requires(folio::hears<Inner>(PrefixEvents::inserted)) {
    if (Tenant* const t = find(event.tenant)) t->policy.inserted(event);
  }

 private:
  /// Stands in a queue of tenants as a leaf stands in a policy's.
  struct Tenant : EvictionEntry {
    Tenant(std::int32_t n, Inner const& inner) : number(n), policy(inner) { order = n; }
    std::int32_t number;
    Inner policy;
    TenantShare share;
    std::int64_t kept = 0, candidates = 0;
  };

  [[nodiscard]] Tenant* find(std::int32_t tenant) noexcept {
    auto const found = tenants_.find(tenant);
    return found == tenants_.end() ? nullptr : &found->second;
  }

  void forget_if_idle(Tenant& t) noexcept {
    if (t.kept != 0 || t.candidates != 0 || t.share != TenantShare()) return;
    if (prepared_ == &t) prepared_ = nullptr;
    tenants_.erase(tenants_.find(t.number));
  }

  static double rank(Tenant const& t) { return -static_cast<double>(t.kept) / t.share.weight; }
  [[nodiscard]] IndexedHeap& queue_of(Tenant const& t) {
    return t.kept > t.share.quota_units ? above_quota_ : within_quota_;
  }

  /// Changes what a tenant's place in the queue follows from.
  template <class F>
  void change(Tenant& t, F f) noexcept {
    if (t.candidates > 0) queue_of(t).erase(t);
    f();
    if (t.candidates > 0) queue_of(t).push(t, rank(t));
  }

  Inner inner_;
  std::map<std::int32_t, Tenant> tenants_;  // which stay where they are
  Tenant* prepared_ = nullptr;              // the last one
  IndexedHeap above_quota_, within_quota_;  // of those that have something that can go
};

}  // namespace folio
