// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A cache that many threads use: one lock around everything that changes it. Host only.

#include <concepts>
#include <cstdint>
#include <folio/batch.hpp>
#include <folio/executor.hpp>
#include <folio/prefix/prefix.hpp>
#include <folio/sequence.hpp>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

namespace folio {

template <class Cache, class Mutex>
class LockedCache;

namespace detail {

template <class Cache, class Mutex>
struct LockedState {
  template <class... Args>
  explicit LockedState(Args&&... args) : cache(std::forward<Args>(args)...) {}
  Mutex mutex;
  Cache cache;
};

}  // namespace detail

/// A sequence of a LockedCache. What Sequence does, under the cache's lock; destroyed under it, too.
///
/// Different handles may be used by different threads at once; one handle by one thread at a time. Keeps the cache
/// alive.
template <class Cache, class Mutex = std::mutex>
class LockedSequence {
 public:
  LockedSequence() = default;
  LockedSequence(LockedSequence&&) noexcept = default;
  LockedSequence& operator=(LockedSequence&& other) noexcept {
    if (this == &other) return *this;
    release();
    state_ = std::move(other.state_);
    sequence_ = std::move(other.sequence_);
    return *this;
  }
  ~LockedSequence() { release(); }

  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(sequence_); }
  void extend(std::int32_t num_tokens) {
    locked([&] { sequence_.extend(num_tokens); });
  }
  [[nodiscard]] bool try_extend(std::int32_t num_tokens) {
    return locked([&] { return sequence_.try_extend(num_tokens); });
  }
  void truncate(std::int32_t num_tokens) {
    locked([&] { sequence_.truncate(num_tokens); });
  }
  void cut(std::int32_t first, std::int32_t num_tokens, int group = 0) {
    locked([&] { sequence_.cut(first, num_tokens, group); });
  }
  void keep(KeptTokens const& kept, int group = 0) {
    locked([&] { sequence_.keep(kept, group); });
  }
  void own(std::int32_t first, std::int32_t end, int group = 0) {
    locked([&] { sequence_.own(first, end, group); });
  }
  [[nodiscard]] bool try_own(std::int32_t first, std::int32_t end, int group = 0) {
    return locked([&] { return sequence_.try_own(first, end, group); });
  }
  [[nodiscard]] std::int32_t num_shared_blocks(std::int32_t first, std::int32_t end, int group = 0) const {
    return locked([&] { return sequence_.num_shared_blocks(first, end, group); });
  }
  [[nodiscard]] LockedSequence fork() const {
    return locked([&] { return LockedSequence(state_, sequence_.fork()); });
  }
  void release() noexcept {
    if (sequence_) locked([&] { sequence_.release(); });
    state_.reset();
  }
  // Only operations of this handle change these, so they need no lock.
  [[nodiscard]] std::int32_t num_tokens() const { return sequence_.num_tokens(); }
  [[nodiscard]] std::int32_t num_stored_tokens(int group = 0) const { return sequence_.num_stored_tokens(group); }
  [[nodiscard]] std::int32_t num_exact_tokens() const { return sequence_.num_exact_tokens(); }
  [[nodiscard]] std::int32_t num_demoted_tokens() const { return sequence_.num_demoted_tokens(); }
  [[nodiscard]] std::int32_t num_cached_tokens() const { return sequence_.num_cached_tokens(); }
  [[nodiscard]] std::int32_t num_new_tokens() const { return sequence_.num_new_tokens(); }

 private:
  friend class LockedCache<Cache, Mutex>;
  using State = detail::LockedState<Cache, Mutex>;

  LockedSequence(std::shared_ptr<State> state, Sequence sequence)
      : state_(std::move(state)), sequence_(std::move(sequence)) {}

  template <class F>
  decltype(auto) locked(F f) const {
    static_cast<void>(sequence_.state());  // throws for an empty handle
    std::lock_guard const lock(state_->mutex);
    return f();
  }

  std::shared_ptr<State> state_;  // goes last
  Sequence sequence_;
};

/// Cache under a lock, for many threads: `LockedCache<Cache> cache(config)`. One mutex is held while a sequence is
/// made, extended, forked, truncated or released, while its blocks are copied for it alone, while tokens are taken out
/// of it or demoted, while a prefix is inserted, and while a step's tables are written; `with` does anything else under
/// it.
///
/// What it does not do: views are read, and keys and values written, outside the lock, by whoever owns the step. As
/// long as a step runs, its sequences are not extended, truncated, cut, demoted, or released; what a thread inserts or
/// forks it has written before; then no other thread writes what the step reads, for a block that is shared is copied,
/// not written. It adds no parallelism: an engine that schedules in one thread needs none of it. Cost: an uncontended
/// lock, about 20 ns, for each call.
template <class Cache, class Mutex = std::mutex>
class LockedCache {
 public:
  using SequenceType = LockedSequence<Cache, Mutex>;
  using Tables = Batch<typename Cache::StepView>;

  /// Batch entry: a BatchItem of a handle of this cache, made in the same ways.
  struct Item : BatchItem {
    Item(SequenceType const* s, std::int32_t queries = last_extension) : BatchItem(plain(s), queries) {}
    Item(SequenceType const* s, std::span<std::int32_t const> at) : BatchItem(plain(s), at) {}
    [[nodiscard]] static Item seeing(SequenceType const* s, std::span<std::int32_t const> limits) {
      Item item(s, 0);
      item.limits = limits;
      return item;
    }

   private:
    static Sequence const* plain(SequenceType const* s) noexcept { return s == nullptr ? nullptr : &s->sequence_; }
  };

  /// What KvCache is made from, or a KvCache.
  template <class... Args>
  requires std::constructible_from<Cache, Args...>
  explicit LockedCache(Args&&... args) : state_(std::make_shared<State>(std::forward<Args>(args)...)) {}

  /// f(cache) while nobody else uses the cache. What it returns must not refer into it, nor change it when it goes: a
  /// PrefixPin or a Reservation that was taken here is released by another `with`, and not by its destructor. Of a
  /// LockedCache that is const, f gets a cache that is const.
  template <class F>
  auto with(F f) {
    std::lock_guard const lock(state_->mutex);
    return f(state_->cache);
  }
  template <class F>
  auto with(F f) const {
    std::lock_guard const lock(state_->mutex);
    return f(std::as_const(state_->cache));
  }

  /// As KvCache::create.
  template <class... Args>
  [[nodiscard]] SequenceType create(Args const&... args) {
    return with([&](Cache& cache) { return SequenceType(state_, cache.create(args...)); });
  }
  /// As KvCache::insert.
  std::int32_t insert(SequenceType& sequence, Prefix const& tokens) {
    return with([&](Cache& cache) { return cache.insert(sequence.sequence_, tokens); });
  }
  [[nodiscard]] std::int32_t num_cached_tokens(Prefix const& prompt, std::int32_t most = all_tokens) const {
    return with([&](Cache const& cache) { return cache.num_cached_tokens(prompt, most); });
  }
  /// As DemotionOperations::demote and num_due, of a cache that demotes. The lock is held while tokens are encoded.
  template <class... Args>
  requires Cache::has_demotion std::int32_t demote(SequenceType& sequence, Args const&... args) {
    return with([&](Cache& cache) { return cache.demote(sequence.sequence_, args...); });
  }
  template <class... Args>
  requires Cache::has_demotion [[nodiscard]] std::int32_t num_due(SequenceType const& sequence,
                                                                  Args const&... args) const {
    return with([&](Cache const& cache) { return cache.num_due(sequence.sequence_, args...); });
  }
  /// As DemotionOperations::demote_all: all under one lock.
  auto demote_all(std::span<SequenceType* const> sequences, std::span<std::int32_t const> accepted = {},
                  Executor threads = {}) requires Cache::has_demotion {
    std::vector<Sequence*> plain;
    for (SequenceType* const one : sequences) plain.push_back(one == nullptr ? nullptr : &one->sequence_);
    return with([&](Cache& cache) { return cache.demote_all(plain, accepted, threads); });
  }
  /// As KvCache::batch.
  [[nodiscard]] Tables batch(std::span<Item const> items, BatchPadding const& padding = {}) {
    std::vector<BatchItem> const plain(items.begin(), items.end());
    return with([&](Cache& cache) { return cache.batch(plain, padding); });
  }
  void batch(std::span<Item const> items, Tables& tables, BatchPadding const& padding = {}) {
    std::vector<BatchItem> const plain(items.begin(), items.end());
    with([&](Cache& cache) { cache.batch(plain, tables, padding); });
  }
  [[nodiscard]] auto stats() const {
    return with([](Cache const& cache) { return cache.stats(); });
  }

 private:
  using State = detail::LockedState<Cache, Mutex>;

  std::shared_ptr<State> state_;
};

}  // namespace folio
