// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The block pools of all lists of layer groups, and who makes blocks free when there are too few. Host only, knows no
// bytes.

#include <cstdint>
#include <folio/block.hpp>
#include <folio/block_pool.hpp>
#include <folio/detail/demotion_rules.hpp>
#include <folio/model.hpp>
#include <span>
#include <utility>
#include <vector>

namespace folio {

/// Makes blocks free that nobody needs: the pools' owner asks it when there are too few.
class BlockReclaimer {
 public:
  /// Evicts something so that, when it is called again and again, blocks of list `list` get free, and `shared`, if it
  /// is not null_block, is only the sequence's that holds it; false when nothing can go.
  virtual bool reclaim(int list, BlockId shared) noexcept = 0;

 protected:
  ~BlockReclaimer() = default;
};

/// A pool for each list of the layer groups, with the shape of its blocks, and which lists are second ones.
class GroupPools {
 public:
  /// One pool of num_blocks[l] blocks for each shape; of none where it has no layers. `demotion` without groups: no
  /// list is a second one. Throws Error as BlockPool does.
  GroupPools(std::vector<GroupShape> shapes, std::span<std::int64_t const> num_blocks,
             DemotionRules const& demotion = {})
      : shapes_(std::move(shapes)), demotion_(demotion) {
    for (std::size_t l = 0; l < num_blocks.size(); ++l)
      pools_.push_back(l < shapes_.size() && shapes_[l].layers == 0 ? BlockPool() : BlockPool(num_blocks[l]));
    if (demotion_.num_groups == 0) demotion_.num_groups = size();
  }

  [[nodiscard]] int size() const noexcept { return static_cast<int>(pools_.size()); }
  [[nodiscard]] BlockPool const& operator[](int list) const { return pools_[static_cast<std::size_t>(list)]; }
  [[nodiscard]] BlockPool& operator[](int list) { return pools_[static_cast<std::size_t>(list)]; }
  [[nodiscard]] GroupShape const& shape(int list) const { return shapes_[static_cast<std::size_t>(list)]; }
  [[nodiscard]] DemotionRules const& demotion() const noexcept { return demotion_; }
  [[nodiscard]] int num_groups() const noexcept { return demotion_.num_groups; }
  [[nodiscard]] bool has_second_lists() const noexcept { return size() > num_groups(); }
  [[nodiscard]] std::vector<std::int32_t> block_sizes() const {
    std::vector<std::int32_t> sizes;
    for (GroupShape const& shape : shapes_) sizes.push_back(shape.block_size);
    return sizes;
  }

 private:
  std::vector<GroupShape> shapes_;
  std::vector<BlockPool> pools_;
  DemotionRules demotion_;
};

}  // namespace folio
