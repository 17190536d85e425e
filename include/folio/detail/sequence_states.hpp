// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where the states of sequences live: one stays where it is, and is used again. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/containers/as_span.hpp>
#include <folio/detail/sequence_state.hpp>
#include <memory>
#include <span>
#include <vector>

namespace folio {

/// Room for `size` elements, growing at least by half so that appending stays O(1) amortized.
template <class T>
void reserve_amortized(std::vector<T>& v, std::int64_t size) {
  auto const wanted = static_cast<std::size_t>(size);
  if (v.capacity() < wanted) v.reserve(std::max(wanted, v.capacity() + v.capacity() / 2));
}

/// The states of all sequences, live or unused. Host only, not thread-safe.
class SequenceStates {
 public:
  [[nodiscard]] std::span<std::unique_ptr<SequenceState> const> all() const noexcept { return as_span(states_); }

  /// An empty state, live now. Cost: O(1), amortized. May throw std::bad_alloc; nothing has changed then.
  SequenceState& take() {
    if (unused_.empty()) {
      reserve_amortized(unused_, static_cast<std::int64_t>(states_.size()) + 1);  // so that give_back never allocates
      states_.push_back(std::make_unique<SequenceState>());
      states_.back()->id = SequenceId{static_cast<std::int32_t>(states_.size() - 1)};
      unused_.push_back(states_.size() - 1);
    }
    SequenceState& state = *states_[unused_.back()];
    unused_.pop_back();
    state.live = true;
    return state;
  }

  /// The state, which holds no blocks, is unused then. Its lists keep their memory.
  void give_back(SequenceState& state) noexcept {
    state.live = false;
    state.num_tokens = state.num_new_tokens = state.num_cached_tokens = state.num_demoted = 0;
    for (BlockList& list : state.lists) list.forget_tokens();
    state.prefix = {};
    unused_.push_back(static_cast<std::size_t>(to_int(state.id)));  // reserved by take
  }

 private:
  std::vector<std::unique_ptr<SequenceState>> states_;
  std::vector<std::size_t> unused_;
};

}  // namespace folio
