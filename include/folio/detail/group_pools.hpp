// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The block pools of all layer groups, and who makes blocks free when there are too few. Host only, knows no bytes.

#include <cstdint>
#include <folio/block.hpp>
#include <folio/block_pool.hpp>
#include <folio/model.hpp>
#include <span>
#include <utility>
#include <vector>

namespace folio {

/// Makes blocks free that nobody needs: the pools' owner asks it when there are too few.
class BlockReclaimer {
 public:
  /// Evicts something so that, when it is called again and again, blocks of group `group` get free, and `shared`, if it
  /// is not null_block, is only the sequence's that holds it; false when nothing can go.
  virtual bool reclaim(int group, BlockId shared) noexcept = 0;

 protected:
  ~BlockReclaimer() = default;
};

/// A pool for each layer group, with the shape of its blocks.
class GroupPools {
 public:
  /// One pool of num_blocks[g] blocks for each shape. Throws Error as BlockPool does.
  GroupPools(std::vector<GroupShape> shapes, std::span<std::int64_t const> num_blocks) : shapes_(std::move(shapes)) {
    for (std::int64_t const n : num_blocks) pools_.emplace_back(n);
  }

  [[nodiscard]] int size() const noexcept { return static_cast<int>(pools_.size()); }
  [[nodiscard]] BlockPool const& operator[](int group) const { return pools_[static_cast<std::size_t>(group)]; }
  [[nodiscard]] BlockPool& operator[](int group) { return pools_[static_cast<std::size_t>(group)]; }
  [[nodiscard]] GroupShape const& shape(int group) const { return shapes_[static_cast<std::size_t>(group)]; }
  [[nodiscard]] std::vector<std::int32_t> block_sizes() const {
    std::vector<std::int32_t> sizes;
    for (GroupShape const& shape : shapes_) sizes.push_back(shape.block_size);
    return sizes;
  }

 private:
  std::vector<GroupShape> shapes_;
  std::vector<BlockPool> pools_;
};

}  // namespace folio
