// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// How far will a sequence grow, and are there blocks for it? A forecast, and blocks held ahead of use. Host only.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/capacity.hpp>
#include <folio/detail/sequence_checks.hpp>
#include <folio/error.hpp>
#include <folio/sequence.hpp>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace folio {

/// Length forecast: how many tokens sequences get: mean plus a number of standard deviations of those that have ended
/// (Welford's method, one pass). O(1).
class GrowthForecast {
 public:
  /// Throws Error for a number that is not from -100 to 100.
  explicit GrowthForecast(double num_sigmas = 1.5) : num_sigmas_(num_sigmas) {
    if (!(num_sigmas >= -100 && num_sigmas <= 100))
      throw Error("folio: a forecast adds -100 to 100 standard deviations, not " + std::to_string(num_sigmas));
  }

  /// A sequence has ended with so many tokens: those of its answer, where prompts are known. Throws Error for a
  /// negative number.
  void ended(std::int32_t num_tokens) {
    check_length(num_tokens);
    ++count_;
    double const before = num_tokens - mean_;
    mean_ += before / static_cast<double>(count_);
    squares_ += before * (num_tokens - mean_);
  }

  [[nodiscard]] std::int64_t count() const noexcept { return count_; }
  [[nodiscard]] double mean() const noexcept { return mean_; }
  [[nodiscard]] double sigma() const { return count_ > 1 ? std::sqrt(squares_ / static_cast<double>(count_ - 1)) : 0; }

  /// How many more a sequence is expected to get that has `so_far`; 0 before any has ended. Throws Error for a negative
  /// number.
  [[nodiscard]] std::int32_t further(std::int32_t so_far = 0) const {
    check_length(so_far);
    constexpr double most = std::numeric_limits<std::int32_t>::max();
    double const expected = std::ceil(mean_ + num_sigmas_ * sigma()) - so_far;
    return static_cast<std::int32_t>(std::clamp(expected, 0.0, most));
  }

 private:
  static void check_length(std::int32_t num_tokens) {
    if (num_tokens < 0) throw Error("folio: a sequence has at least 0 tokens, not " + std::to_string(num_tokens));
  }

  double num_sigmas_;
  std::int64_t count_ = 0;
  double mean_ = 0, squares_ = 0;
};

/// Reservation: blocks that are held for a sequence to grow into, so that nobody else takes them: what an engine that
/// must not run out halfway asks for when it admits a request.
///
///   Reservation ahead;
///   if (!ahead.try_reserve(sequence, forecast.further())) ...       // not now
///   while (...) ahead.try_extend(sequence, 1);                      // out of what is held, then of what is free
///   ahead.release();                                                // or let it go: what was not used is free again
///
/// The blocks are the reservation's and no sequence's: the sequence's own list stays as long as its tokens need. In the
/// cache's accounts they are live and empty, and Stats::reserved. Held is what the sequence needs as things are, and
/// where memory is short the fewest with which an extension would succeed: as an extension does, a reservation makes
/// the cache evict what spares a copy, and give up the unit of which the sequence has only a part. A fork or an
/// insertion later may make the sequence copy or leave blocks that it would have had, which are then taken from the
/// free ones. Host only, used by the cache's owner thread; keeps the cache's memory alive. Cost: O(blocks).
class Reservation {
 public:
  Reservation() = default;
  Reservation(Reservation&& other) noexcept { swap(other); }
  Reservation& operator=(Reservation&& other) noexcept {
    Reservation(std::move(other)).swap(*this);
    return *this;
  }
  ~Reservation() { release(); }

  /// Holds exactly the blocks that `num_tokens` more tokens of `sequence` take, extended by at most `step` at a time:
  /// takes what is missing, evicting prefixes if need be, and gives back what is too much. False, and what is held as
  /// before, when a group has too few; never where Sequence::can_extend(num_tokens). Throws Error for a negative
  /// number, a step below 1, or where blocks of another cache are held; std::bad_alloc, and what is held as before.
  [[nodiscard]] bool try_reserve(Sequence& sequence, std::int32_t num_tokens, std::int32_t step = 1) {
    bind(sequence);
    if (step < 1) throw Error("folio: a sequence grows by at least 1 token at a time, not " + std::to_string(step));
    SequenceState& state = sequence.own_state();
    check_extension(state, num_tokens);
    std::array<std::int64_t, max_groups> most{};
    for (int g = 0; g < store_->num_groups(); ++g) most[at(g)] = most_ahead(state, g, num_tokens, step);
    auto const more = [&](int g, std::int64_t ahead) {
      return std::min(std::max(ahead, std::int64_t{0}), most[at(g)]) - held(g);
    };
    auto const missing = [&](int g) { return more(g, store_->blocks_ahead(state, g, num_tokens)); };
    auto const get_memory = [&] {
      for (int g = 0; g < store_->num_groups(); ++g)
        if (missing(g) > 0) blocks_[at(g)].reserve(blocks_[at(g)].size() + at(missing(g)));
    };
    if (!store_->make_room(state, num_tokens, more, get_memory)) return false;
    for (int g = 0; g < store_->num_groups(); ++g) {
      std::int64_t const count = missing(g);
      count > 0 ? take(g, count) : give(g, -count);
    }
    return true;
  }

  /// `sequence.try_extend(num_tokens)`, with the blocks that are held before those that are free.
  [[nodiscard]] bool try_extend(Sequence& sequence, std::int32_t num_tokens) {
    bind(sequence);
    std::array<std::int64_t, max_groups> given{};
    for (int g = 0; g < store_->num_groups(); ++g)
      given[at(g)] = std::clamp(sequence.num_blocks_to_extend(num_tokens, g), std::int64_t{0}, held(g));
    for (int g = 0; g < store_->num_groups(); ++g) give(g, given[at(g)]);
    bool appended = false;
    try {
      appended = sequence.try_extend(num_tokens);
    } catch (...) {
      take_again(given);
      throw;
    }
    if (!appended) take_again(given);
    return appended;
  }

  /// Blocks held in a group. Throws Error for one that the cache has not, or no cache may have.
  [[nodiscard]] std::int64_t num_blocks(int group = 0) const {
    check_group(group, store_ != nullptr ? store_->num_groups() : max_groups);
    return held(group);
  }

  /// Gives everything back.
  void release() noexcept {
    for (int g = 0; store_ != nullptr && g < store_->num_groups(); ++g) give(g, held(g));
    store_ = nullptr;
    owner_.reset();
  }

 private:
  template <class T>
  static std::size_t at(T index) {
    return static_cast<std::size_t>(index);
  }
  void swap(Reservation& other) noexcept {
    owner_.swap(other.owner_);
    std::swap(store_, other.store_);
    blocks_.swap(other.blocks_);
  }

  [[nodiscard]] std::int64_t held(int g) const noexcept { return static_cast<std::int64_t>(blocks_[at(g)].size()); }

  /// One that holds nothing serves any cache.
  void bind(Sequence const& sequence) {
    static_cast<void>(sequence.state());  // throws for an empty handle
    bool const empty = std::all_of(blocks_.begin(), blocks_.end(), [](auto const& blocks) { return blocks.empty(); });
    if (!empty && store_ != sequence.store_)
      throw Error("folio: this Reservation holds blocks of another cache than the sequence's; release it first");
    store_ = sequence.store_;
    owner_ = sequence.owner_;
  }

  /// In a group with a window, what leaves it is used again: at most what one sequence ever holds is needed, less what
  /// it has for itself alone.
  [[nodiscard]] std::int64_t most_ahead(SequenceState const& state, int g, std::int32_t num_tokens,
                                        std::int32_t step) const {
    GroupShape const& shape = store_->shape(g);
    if (shape.window == 0) return std::numeric_limits<std::int32_t>::max();
    std::int64_t own = 0;
    for (BlockId const block : state.lists[g].blocks)
      own += block != null_block && !store_->pool(g).is_shared(block) ? 1 : 0;
    std::int64_t const held =
        most_blocks_held(shape, state.lists[g].num_tokens + num_tokens, std::int64_t{step} + store_->slack());
    return std::max(std::int64_t{0}, held - own);
  }

  /// Takes blocks that are free, into memory that is there.
  void take(int g, std::int64_t count) noexcept {
    std::vector<BlockId>& blocks = blocks_[at(g)];
    std::size_t const before = blocks.size();
    blocks.resize(before + at(count));
    [[maybe_unused]] bool const all = store_->pool(g).allocate(std::span(blocks).subspan(before));
    store_->note_reserved(g, count);
  }
  void give(int g, std::int64_t count) noexcept {
    std::vector<BlockId>& blocks = blocks_[at(g)];
    std::size_t const left = blocks.size() - at(count);
    store_->pool(g).release_live(std::span<BlockId const>(blocks).subspan(left));
    blocks.resize(left);
    store_->note_reserved(g, -count);
  }
  void take_again(std::array<std::int64_t, max_groups> const& given) noexcept {
    for (int g = 0; g < store_->num_groups(); ++g) take(g, given[at(g)]);
  }

  std::shared_ptr<void> owner_;
  SequenceStore* store_ = nullptr;
  std::array<std::vector<BlockId>, max_groups> blocks_;
};

}  // namespace folio
