// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The symbols and blocks of a unit, which may lie in several nodes of a prefix index. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/model.hpp>
#include <span>
#include <vector>

namespace folio {

/// What one unit has, as the last read found it. Takes memory when it is made, and none later.
template <class Nodes>
class UnitContents {
 public:
  explicit UnitContents(Nodes const& nodes) : nodes_(nodes), symbols_(static_cast<std::size_t>(nodes.unit())) {
    std::size_t num_blocks = 0;
    for (int l = 0; l < nodes.num_lists(); ++l) num_blocks += in_list(l);
    blocks_.resize(num_blocks);
  }
  UnitContents(UnitContents const&) = delete;
  UnitContents& operator=(UnitContents const&) = delete;

  /// Reads the unit that begins with token `begin` of the path to node `index`, which has its end. Cost: O(its symbols,
  /// blocks and nodes).
  void read(std::int32_t index, std::int32_t begin) noexcept {
    std::int32_t const end = begin + nodes_.unit();
    for (std::int32_t i = index, first = end; first > begin; i = nodes_.at(i).parent) {
      auto const& node = nodes_.at(i);
      std::int32_t const last = std::min(node.end(), end);
      first = std::max(node.begin, begin);
      std::copy(node.symbols.begin() + (first - node.begin), node.symbols.begin() + (last - node.begin),
                symbols_.begin() + (first - begin));
    }
    BlockId* of_list = blocks_.data();
    for (int l = 0; l < nodes_.num_lists(); ++l) {
      std::int32_t const before = begin / nodes_.block_size(l);
      std::int32_t holder = index;
      for (std::size_t i = in_list(l); i > 0; --i)
        of_list[i - 1] = nodes_.block_at(holder, l, before + static_cast<std::int32_t>(i) - 1);
      lists_[l] = {of_list, in_list(l)};
      of_list += in_list(l);
    }
  }

  [[nodiscard]] std::span<std::int32_t const> symbols() const noexcept { return {symbols_.data(), symbols_.size()}; }
  /// By list; null where the tokens are in another list, or were given back.
  [[nodiscard]] std::span<std::span<BlockId const> const> blocks() const noexcept {
    return {lists_, static_cast<std::size_t>(nodes_.num_lists())};
  }

 private:
  [[nodiscard]] std::size_t in_list(int l) const {
    return static_cast<std::size_t>(nodes_.unit() / nodes_.block_size(l));
  }

  Nodes const& nodes_;
  std::vector<std::int32_t> symbols_;
  std::vector<BlockId> blocks_;
  std::span<BlockId const> lists_[max_lists];
};

}  // namespace folio
