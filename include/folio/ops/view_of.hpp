// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A view over any blocks of a cache, as if a sequence held them. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/allocator/allocator.hpp>
#include <folio/block.hpp>
#include <folio/error.hpp>
#include <folio/kv_cache.hpp>
#include <folio/model.hpp>
#include <folio/view.hpp>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace folio::ops {

/// Blocks of one list, and how many tokens they hold: by default as many as they have room for.
struct ListBlocks {
  std::span<BlockId const> blocks;  ///< in the order of their tokens
  std::int32_t num_tokens = all_tokens;
};

/// Pseudo sequence: the block tables of sequence 0 of a step that is made of given blocks, for operations that read and
/// write through a view: whoever holds them. Every token is a query, so those outside a window are seen, too, and
/// ops::append writes all of them.
///
/// Host only. The view is good as long as this object and the cache's memory are; it may be read by any number of
/// threads. Holds no block: the caller knows that nobody else gets them meanwhile.
template <class View>
class BlocksView {
 public:
  /// Throws Error for another number of lists than the cache has, blocks that it has not, or tokens that do not fit.
  template <class Cache>
  BlocksView(Cache const& cache, std::span<ListBlocks const> lists)
      : pattern_(cache.pattern()), rotation_(cache.state()->rotation) {
    if (lists.size() != std::size_t{View::num_lists})
      throw Error("folio: this cache has " + std::to_string(View::num_lists) + " lists of blocks, not " +
                  std::to_string(lists.size()));
    std::int32_t lengths[View::num_lists];
    std::int32_t num_demoted = 0;
    std::size_t num_blocks = 0;
    for (int l = 0; l < View::num_lists; ++l) {
      lengths[l] = checked_length(cache, l, lists[static_cast<std::size_t>(l)]);
      std::int32_t& most = l < View::num_groups ? num_queries_ : num_demoted;
      most = std::max(most, lengths[l]);
      num_blocks += std::max(lists[static_cast<std::size_t>(l)].blocks.size(), std::size_t{1});
    }
    if (num_queries_ > std::numeric_limits<std::int32_t>::max() - num_demoted)
      throw Error("folio: the lists hold more than 2147483647 tokens together");
    numbers_.assign({num_queries_ + num_demoted, 0, num_queries_});
    numbers_.insert(numbers_.end(), lengths, lengths + View::num_lists);
    numbers_.reserve(numbers_.size() + num_blocks);  // which stay where they are
    slots_.reserve(static_cast<std::size_t>(num_queries_) * std::size_t{View::num_groups});
    for (int l = 0; l < View::num_lists; ++l) fill(cache, l, lists[static_cast<std::size_t>(l)].blocks, lengths[l]);
  }
  BlocksView(BlocksView&&) noexcept = default;
  BlocksView& operator=(BlocksView&&) noexcept = default;
  BlocksView(BlocksView const&) = delete;
  BlocksView& operator=(BlocksView const&) = delete;
  ~BlocksView() = default;

  [[nodiscard]] View view() const {
    auto const made = [&]<class Tables>(Tables*) {
      return Tables(tables_, numbers_.data(), numbers_.data() + 1, 1, num_queries_, pattern_);
    };
    if constexpr (requires { typename View::StoredView; })  // of a cache with RotationMatrices
      return View{made(static_cast<typename View::StoredView*>(nullptr)), rotation_};
    else
      return made(static_cast<View*>(nullptr));
  }

 private:
  template <class Cache>
  static std::int32_t checked_length(Cache const& cache, int l, ListBlocks const& list) {
    std::int64_t const room = static_cast<std::int64_t>(list.blocks.size()) * cache.shape(l).block_size;
    for (BlockId const block : list.blocks)
      if (to_int(block) < 0 || to_int(block) > cache.num_blocks(l))
        throw Error("folio: list " + std::to_string(l) + " of this cache has no block " +
                    std::to_string(to_int(block)));
    std::int64_t const length = list.num_tokens == all_tokens ? room : list.num_tokens;
    if (length < 0 || length > room || length > std::numeric_limits<std::int32_t>::max())
      throw Error("folio: " + std::to_string(length) + " tokens are not in " + std::to_string(list.blocks.size()) +
                  " blocks of " + std::to_string(cache.shape(l).block_size));
    return static_cast<std::int32_t>(length);
  }

  template <class Cache>
  void fill(Cache const& cache, int l, std::span<BlockId const> blocks, std::int32_t length) {
    std::int32_t const* const row = numbers_.data() + numbers_.size();
    for (BlockId const block : blocks) numbers_.push_back(to_int(block));
    if (blocks.empty()) numbers_.push_back(to_int(null_block));
    std::int64_t const* const slots = slots_.data() + slots_.size();
    std::int32_t const size = cache.shape(l).block_size;
    for (std::int32_t t = length - num_queries_; t < length && l < View::num_groups; ++t) {
      BlockId const block = t < 0 ? null_block : blocks[static_cast<std::size_t>(t / size)];
      slots_.push_back(to_int(block == null_block ? no_slot : slot_of(block, t % size, size)));
    }
    tables_[l] = {cache.pool(l),
                  row,
                  l < View::num_groups ? slots : nullptr,
                  std::max(static_cast<std::int32_t>(blocks.size()), 1),
                  cache.shape(l),
                  numbers_.data() + 3 + l,
                  nullptr};
  }

  std::vector<std::int32_t> numbers_;  // where it ends, where its queries begin and end, lengths and blocks by list
  std::vector<std::int64_t> slots_;    // by group
  GroupTable tables_[std::size_t{View::num_lists}];
  std::int32_t num_queries_ = 0;  // what the longest first list stores
  LayerPattern pattern_;
  RotationMatrices const* rotation_;
};

/// View of blocks: sequence 0 of the view has the given blocks, list by list (second lists last), as BlocksView says.
/// Reads and writes only; nothing is copied or held. Throws Error and std::bad_alloc. Cost: O(blocks + tokens).
template <class... Policies>
[[nodiscard]] BlocksView<typename KvCache<Policies...>::StepView> view_of(KvCache<Policies...> const& cache,
                                                                          std::span<ListBlocks const> lists) {
  static_assert(host_can_read<typename KvCache<Policies...>::Allocator>,
                "folio: the blocks of this cache are in memory that the host cannot read: make a DeviceBatch "
                "(folio/device_batch.cuh) and upload it");
  return {cache, lists};
}
template <class... Policies>
[[nodiscard]] BlocksView<typename KvCache<Policies...>::StepView> view_of(KvCache<Policies...> const& cache,
                                                                          std::initializer_list<ListBlocks> lists) {
  return view_of(cache, std::span<ListBlocks const>(lists.begin(), lists.size()));
}

}  // namespace folio::ops
