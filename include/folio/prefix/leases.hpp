// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Leases of sequences and pins: values that keep prefixes of an index from being evicted. Host only.

#include <cstdint>
#include <folio/prefix/prefix.hpp>
#include <memory>
#include <utility>
#include <vector>

namespace folio {

class PrefixLease;
struct SequenceState;

/// What holds prefixes for leases and pins: an index, as they see it. What is noexcept cannot fail.
class PrefixHolder {
 public:
  /// A lease has been copied: what it holds is held once more.
  virtual void copied(PrefixLease& copy) noexcept = 0;
  /// The sequence keeps nothing from being evicted any more. What it leased was in use until now, unless it never got
  /// slots.
  virtual void release_lease(PrefixLease& lease) noexcept = 0;
  /// Gets ready for the sequence to get slots for at least a token: comes first, may throw std::bad_alloc, and changes
  /// nothing that anybody can see.
  virtual void prepare(PrefixLease& lease) = 0;
  /// Blocks that the sequence needs less in each group if the index gives up the unit of which it has only a part: all
  /// 0 when somebody else needs the unit.
  virtual void count_gain(PrefixLease const& lease, SequenceState const& state,
                          std::int64_t* by_group) const noexcept = 0;
  /// Gives up that unit. Prepared before.
  virtual void give_up_part(PrefixLease& lease) noexcept = 0;
  /// The sequence, of which so many tokens were found, has got slots. Prepared before.
  virtual void got_slots(PrefixLease& lease, std::int32_t num_cached_tokens) noexcept = 0;
  /// Of what it leases the sequence has only so many tokens left; `with_part`: and of the unit in which they end its
  /// part.
  virtual void shorten(PrefixLease& lease, std::int32_t num_tokens, bool with_part) noexcept = 0;
  /// The sequence has demoted tokens: what it leases of them is kept as it has them now.
  virtual void demoted(PrefixLease const& lease, SequenceState& state) noexcept = 0;
  virtual void unpin(std::int32_t node, std::int64_t epoch) noexcept = 0;

 protected:
  ~PrefixHolder() = default;
};

/// A look-up that is no use yet: it counts once, when the sequence that made it or a fork of that gets its first slots.
struct PendingLookup {
  std::int32_t num_symbols = 0;  ///< of the prompt
  bool counted = false;
  std::vector<std::int32_t> symbols = {};  ///< the prompt, where a sink hears of look-ups
  std::int32_t scope = 0;
};

/// A lease: while it lives, the prefix that a sequence found or inserted is not evicted. A value: a copy, as a fork has
/// it, leases the same prefix; who destroys it lets go of that. Goes before what it is of. Used by the owner thread.
class PrefixLease {
 public:
  static constexpr std::int32_t none = -1;

  /// Of no index: nothing is leased, and all that is done with it does nothing.
  PrefixLease() = default;
  /// Of an index, which has been cleared `at_epoch` times; of nothing in it yet.
  PrefixLease(PrefixHolder& of, std::int64_t at_epoch) noexcept : epoch(at_epoch), holder_(&of) {}
  PrefixLease(PrefixLease const& other) noexcept
      : node(other.node),
        num_tokens(other.num_tokens),
        num_reported_units(other.num_reported_units),
        epoch(other.epoch),
        tenant(other.tenant),
        retention(other.retention),
        pending(other.pending),
        holder_(other.holder_) {
    if (holder_ != nullptr) holder_->copied(*this);
  }
  PrefixLease& operator=(PrefixLease other) noexcept {
    std::swap(node, other.node);
    std::swap(num_tokens, other.num_tokens);
    std::swap(num_reported_units, other.num_reported_units);
    std::swap(epoch, other.epoch);
    std::swap(tenant, other.tenant);
    std::swap(retention, other.retention);
    pending.swap(other.pending);
    std::swap(holder_, other.holder_);
    return *this;
  }
  ~PrefixLease() { release_lease(); }

  /// Makes it of an index, and of nothing in it yet, where it is of none.
  void bind(PrefixHolder& of, std::int64_t at_epoch) noexcept {
    if (holder_ != nullptr) return;
    holder_ = &of;
    epoch = at_epoch;
  }

  void release_lease() noexcept {
    if (holder_ != nullptr) holder_->release_lease(*this);
  }
  void prepare() {
    if (holder_ != nullptr) holder_->prepare(*this);
  }
  void count_gain(SequenceState const& state, std::int64_t* by_group) const noexcept {
    if (holder_ != nullptr) holder_->count_gain(*this, state, by_group);
  }
  void give_up_part() noexcept {
    if (holder_ != nullptr) holder_->give_up_part(*this);
  }
  void got_slots(std::int32_t num_cached_tokens) noexcept {
    if (holder_ != nullptr) holder_->got_slots(*this, num_cached_tokens);
  }
  void shorten(std::int32_t length, bool with_part = true) noexcept {
    if (holder_ != nullptr) holder_->shorten(*this, length, with_part);
  }
  void demoted(SequenceState& state) const noexcept {
    if (holder_ != nullptr) holder_->demoted(*this, state);
  }

  // The index's own.
  std::int32_t node = none;             ///< what is leased ends there
  std::int32_t num_tokens = 0;          ///< the sequence's first tokens that are in blocks of the way to that node
  std::int32_t num_reported_units = 0;  ///< that were inserted, of which an eviction policy that learns was told
  std::int64_t epoch = 0;               ///< the index was cleared so often when the sequence was created
  std::int32_t tenant = 0;              ///< for whom counts what is inserted
  Retention retention;                  ///< of what is inserted
  /// The look-up of the sequence's prompt, until it gets slots. A fork waits for the same one.
  std::shared_ptr<PendingLookup> pending;

 private:
  PrefixHolder* holder_ = nullptr;
};

/// A pin: while it lives, the prefix that was pinned is not evicted. Movable, owning; may outlive the index. Used by
/// the index's owner thread.
class PrefixPin {
 public:
  /// Whom it is of: null once that is gone.
  using Holder = std::shared_ptr<PrefixHolder* const>;

  PrefixPin() = default;
  PrefixPin(Holder holder, std::int32_t node, std::int64_t epoch) noexcept
      : holder_(std::move(holder)), node_(node), epoch_(epoch) {}
  PrefixPin(PrefixPin&& other) noexcept : holder_(std::move(other.holder_)), node_(other.node_), epoch_(other.epoch_) {}
  PrefixPin& operator=(PrefixPin&& other) noexcept {
    if (this == &other) return *this;
    PrefixPin const before(std::move(*this));  // unpinned last, so that what both keep is kept all the time
    holder_ = std::move(other.holder_);
    node_ = other.node_;
    epoch_ = other.epoch_;
    return *this;
  }
  ~PrefixPin() { release(); }

  /// Whether it was not released or moved from. An index that was cleared keeps nothing for it any more.
  [[nodiscard]] explicit operator bool() const noexcept { return holder_ != nullptr; }
  /// The index's epoch in which it was made.
  [[nodiscard]] std::int64_t epoch() const noexcept { return epoch_; }
  /// Unpins. Nothing happens when that was done before.
  void release() noexcept {
    if (holder_ == nullptr) return;
    if (*holder_ != nullptr) (*holder_)->unpin(node_, epoch_);
    holder_.reset();
  }

 private:
  Holder holder_;
  std::int32_t node_ = -1;
  std::int64_t epoch_ = 0;
};

}  // namespace folio
