// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A sequence of a cache, as its user holds it. Host only, knows no bytes.

#include <cstdint>
#include <folio/block.hpp>
#include <folio/containers/as_span.hpp>
#include <folio/detail/sequence_store.hpp>
#include <folio/error.hpp>
#include <memory>
#include <span>
#include <utility>

namespace folio {

/// A sequence of a cache: an owning, movable handle. When it goes, its blocks go.
///
/// Host only, not thread-safe: used by the thread that owns the cache. A handle keeps the cache's memory alive, so it
/// may outlive the KvCache object. Every operation happens whole or changes nothing. On a handle that was moved from or
/// released, every operation but destruction, assignment and `bool` throws Error. So does every one that is given a
/// layer group that there is not.
class Sequence {
 public:
  Sequence() = default;
  /// Made by KvCache::create. `owner` holds `store` and the memory of its blocks.
  Sequence(std::shared_ptr<void> owner, SequenceStore& store, SequenceState& state)
      : owner_(std::move(owner)), store_(&store), state_(&state) {}
  Sequence(Sequence&& other) noexcept
      : owner_(std::move(other.owner_)), store_(other.store_), state_(std::exchange(other.state_, nullptr)) {}
  Sequence& operator=(Sequence&& other) noexcept {
    if (this == &other) return *this;
    release();
    owner_ = std::move(other.owner_);
    store_ = other.store_;
    state_ = std::exchange(other.state_, nullptr);
    return *this;
  }
  Sequence(Sequence const&) = delete;
  Sequence& operator=(Sequence const&) = delete;
  ~Sequence() { release(); }

  /// Whether this handle owns a sequence.
  [[nodiscard]] explicit operator bool() const noexcept { return state_ != nullptr; }
  /// Its name among the live sequences of its cache, for logs. Used again after a release: see SequenceId.
  [[nodiscard]] SequenceId id() const { return state().id; }
  /// Length: tokens that were found, forked or extended, less those that were truncated. The position of the
  /// next one. What cut and keep took out still counts.
  [[nodiscard]] std::int32_t num_tokens() const { return state().num_tokens; }
  /// How many of them layer group `group` stores in its own list: all, but for what cut and keep took out, and what it
  /// has demoted (num_demoted_tokens). With a window it counts what was given back, too.
  [[nodiscard]] std::int32_t num_stored_tokens(int group = 0) const {
    SequenceState const& s = state();
    check_group(group, store_->num_groups());
    return s.lists[group].num_tokens;
  }
  /// The first tokens that cut and keep left whole in every layer group: what can be inserted as a prefix.
  [[nodiscard]] std::int32_t num_exact_tokens() const {
    SequenceState const& s = state();
    return s.num_exact_tokens(store_->num_groups());
  }
  /// Demoted tokens: so many after the first KvCache::sinks() are in the second lists of the groups that demote.
  [[nodiscard]] std::int32_t num_demoted_tokens() const { return state().num_demoted; }
  /// Cached tokens: so many of its first tokens the cache had when it was created, and they are still there; they need
  /// no computing. A truncation to fewer tokens lowers it for good; cut and keep do not.
  [[nodiscard]] std::int32_t num_cached_tokens() const { return state().num_cached_tokens; }

  /// Slots for `num_tokens` more tokens, whose keys and values ops::append writes afterwards. In groups with a window,
  /// blocks that none of the new tokens sees are given back first. Throws OutOfBlocks, and changes nothing, when a
  /// group has too few blocks; Error for a negative number, and for more than 2147483647 tokens in all; std::bad_alloc.
  /// Cost: O(new blocks); one block copy when the partly filled last block is shared.
  void extend(std::int32_t num_tokens) {
    if (try_extend(num_tokens)) return;
    int const g = store_->group_short_of(*state_, num_tokens);
    std::int64_t const free = store_->pool(g).num_free();
    throw OutOfBlocks(g, store_->blocks_to_extend(*state_, g, num_tokens), free, store_->num_obtainable(g) - free);
  }

  /// The same with "no" as a value: false, and nothing changed, when a group has too few blocks. Else throws as extend.
  [[nodiscard]] bool try_extend(std::int32_t num_tokens) {
    SequenceState& s = own_state();  // before store_ is looked at: an empty handle has none
    return store_->try_extend(s, num_tokens);
  }

  /// Whether such an extension would succeed now. Changes nothing. Cost: as KvCache::num_obtainable_blocks, and
  /// O(blocks that leave a window).
  [[nodiscard]] bool can_extend(std::int32_t num_tokens) const {
    SequenceState const& s = state();
    return store_->group_short_of(s, num_tokens) < 0;
  }

  /// How many blocks of layer group `group` an extension would take from those that are free, as things are. Where
  /// memory is short it may get along with fewer: see fewest_blocks_to_extend.
  [[nodiscard]] std::int64_t num_blocks_to_extend(std::int32_t num_tokens, int group = 0) const {
    SequenceState const& s = state();
    check_group(group, store_->num_groups());
    return store_->blocks_to_extend(s, group, num_tokens);
  }

  /// The fewest blocks of layer group `group` with which an extension can succeed: can_extend where each group has as
  /// many that are obtainable (KvCache::num_obtainable_blocks). For budgets over several requests, whose numbers add
  /// up.
  [[nodiscard]] std::int64_t fewest_blocks_to_extend(std::int32_t num_tokens, int group = 0) const {
    SequenceState const& s = state();
    check_group(group, store_->num_groups());
    return store_->fewest_to_extend(s, group, num_tokens);
  }

  /// A second sequence with the same tokens. Blocks are shared; whoever first extends into a shared, partly filled
  /// block copies it. Fork after the keys and values of all tokens were written. Throws std::bad_alloc, and changes
  /// nothing. Cost: O(blocks).
  [[nodiscard]] Sequence fork() const {
    SequenceState const& parent = state();
    return {owner_, *store_, store_->fork(parent)};
  }

  /// Keeps the first `num_tokens` tokens (speculative decoding: takes back what was not accepted). Always possible
  /// without window groups, but inside a gap that cut or keep made, or a unit of demoted tokens. With them always down
  /// to the greatest length from which the sequence was ever extended, less CacheConfig::tokens_in_flight: the tokens
  /// of the last extension, and so many before them. A truncation moves that bound nowhere, for what has left the
  /// window does not come back. The default queries (num_new_tokens) become fewer by as many. Throws Error, and changes
  /// nothing, when that is more than there are, inside a gap or a unit, or when a window group no longer has what the
  /// next token would see. Cost: O(blocks given up).
  void truncate(std::int32_t num_tokens) {
    SequenceState& s = own_state();
    store_->truncate(s, num_tokens);
  }

  /// Token eviction by place: takes out stored tokens [first, first + num_tokens) of layer group `group`, in whole
  /// blocks. Those after them close up in their blocks and keep their positions, which keys were made for: num_tokens()
  /// stays, and slots ascend with positions. Which tokens stay can be StreamingLLM's choice; that counts positions anew
  /// within the cache, and here they go on. Shared blocks can go as others. Afterwards a truncation is possible up to
  /// the first token that is gone, and from the last one on; prefixes are kept up to the first one; and a step's
  /// queries are after the last one. Batches made before are stale. Throws Error, and changes nothing, for tokens that
  /// are not stored, parts of blocks, groups with a window, and sinks of a group that demotes. Cost: O(blocks).
  void cut(std::int32_t first, std::int32_t num_tokens, int group = 0) {
    SequenceState& s = own_state();
    check_group(group, store_->num_groups());
    store_->cut(s, group, first, num_tokens);
  }

  /// Token eviction by choice (H2O, SnapKV), after ops::compact moved what stays of layer group `group` to its front,
  /// in its order: keeps the first `kept.num_tokens` stored tokens, and gives the blocks after them back. The others
  /// are taken out, as by cut: the gap goes from `kept.num_first` to `kept.num_last` tokens before the end. Both are a
  /// promise that is not checked: no more than stayed, see KeptTokens. What others share must not have been written,
  /// and ops::compact does not write it: see own. Throws Error, and changes nothing, for more tokens than are stored,
  /// for num_first + num_last above num_tokens, for groups with a window, for such blocks, and, in a group that
  /// demotes, for a num_first that is less than the sinks. Cost: O(blocks).
  void keep(KeptTokens const& kept, int group = 0) {
    SequenceState& s = own_state();
    check_group(group, store_->num_groups());
    store_->keep(s, group, kept);
  }

  /// Own before writing: makes the blocks of stored tokens [first, end) of layer group `group` this sequence's alone,
  /// by copies of those that a fork or a prefix index has, too. So ops::compact, or whoever writes to stored tokens,
  /// writes for nobody else. Throws OutOfBlocks, and changes nothing, when there are too few blocks; Error for tokens
  /// that are not stored; std::bad_alloc. A step's batch is made after it. Cost: O(blocks), and a block copy for each
  /// that was shared.
  void own(std::int32_t first, std::int32_t end, int group = 0) {
    if (try_own(first, end, group)) return;
    std::int64_t const free = store_->pool(group).num_free();
    throw OutOfBlocks(group, num_shared_blocks(first, end, group), free, store_->num_obtainable(group) - free);
  }
  /// The same with "no" as a value.
  [[nodiscard]] bool try_own(std::int32_t first, std::int32_t end, int group = 0) {
    SequenceState& s = own_state();
    check_group(group, store_->num_groups());
    return store_->try_own(s, group, first, end);
  }

  /// How many blocks of stored tokens [first, end) of layer group `group` a fork shares, or a prefix index where they
  /// were found or inserted: nobody may write these. ops::compact refuses to, and own copies as many. Throws Error for
  /// tokens that are not stored. Cost: O(blocks).
  [[nodiscard]] std::int32_t num_shared_blocks(std::int32_t first, std::int32_t end, int group = 0) const {
    SequenceState const& s = state();
    check_group(group, store_->num_groups());
    check_stored(s, group, first, end);
    return folio::num_shared_blocks(s.lists[group], store_->shape(group), std::as_const(*store_).pool(group), first,
                                    end);
  }

  /// Gives every block back and empties the handle. Nothing happens when it is empty already.
  void release() noexcept {
    if (state_ != nullptr) store_->release(*std::exchange(state_, nullptr));
    owner_.reset();
  }

  /// The block ids by logical index in layer group `group`; null_block where a window gave them back. Good until the
  /// sequence changes.
  [[nodiscard]] std::span<BlockId const> blocks(int group = 0) const {
    SequenceState const& s = state();
    check_group(group, store_->num_groups());
    return as_span(s.lists[group].blocks);
  }
  /// The tokens of the last extension alone that are still there: what a batch takes as queries by default. After two
  /// extensions before a step, give BatchItem the number of both together. A fork has its parent's number.
  [[nodiscard]] std::int32_t num_new_tokens() const { return state().num_new_tokens; }
  /// The cache's bookkeeping, to tell one cache's sequences from another's.
  [[nodiscard]] SequenceStore const* store() const noexcept { return state_ != nullptr ? store_ : nullptr; }
  /// The bookkeeping's entry of this sequence, to be read.
  [[nodiscard]] SequenceState const& state() const {
    if (state_ == nullptr)
      throw Error("folio: this Sequence is empty: it was moved from, released or never created; use KvCache::create");
    return *state_;
  }

  /// Retention: how long what it and its later forks insert from now on is worth keeping. Throws Error for a priority
  /// that is not from 0 to 100.
  void set_retention(Retention const& retention) {
    check_retention(retention);
    own_state().prefix.retention = retention;
  }

 private:
  template <class... Policies>
  friend class KvCache;      // changes what a sequence keeps in its prefix index
  friend class Reservation;  // reservation.hpp: holds blocks of the same store, and keeps it alive likewise
  template <class Cache>
  friend class DemotionOperations;  // precision/demote.hpp: moves tokens to second lists

  [[nodiscard]] SequenceState& own_state() {
    static_cast<void>(state());  // throws for an empty handle
    return *state_;
  }

  std::shared_ptr<void> owner_;
  SequenceStore* store_ = nullptr;
  SequenceState* state_ = nullptr;
};

}  // namespace folio
