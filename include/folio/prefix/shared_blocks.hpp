// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The blocks of a prefix tree's nodes: which of them a sequence can take, and which are whose. Host only.

#include <algorithm>
#include <cstdint>
#include <folio/prefix/nodes.hpp>
#include <folio/sequence_store.hpp>
#include <map>
#include <span>
#include <utility>
#include <vector>

namespace folio {

/// Nodes over the block pools of a store of sequences. A block that is in a node is marked as cached in its pool, and
/// is in one node only.
template <class Hash>
class PrefixBlocks : protected PrefixNodes<Hash> {
 protected:
  using Nodes = PrefixNodes<Hash>;
  using Nodes::at, Nodes::block_at, Nodes::block_size, Nodes::holder_of, Nodes::is_root, Nodes::no_node,
      Nodes::num_groups, Nodes::unit;
  using Node = PrefixNode;

  PrefixBlocks(SequenceStore& store, std::vector<std::int64_t> const& block_bytes)
      : Nodes(block_sizes(store), block_bytes), store_(store) {}

  /// The most of the first `num_tokens` tokens that a sequence can take: in each group with a window, what the next
  /// token sees must be there.
  [[nodiscard]] std::int32_t usable(std::int32_t node, std::int32_t num_tokens) const {
    if (num_tokens <= 0) return 0;
    bool has_windows = false;
    for (int g = 0; g < num_groups(); ++g) has_windows = has_windows || store_.shape(g).window != 0;
    for (bool again = has_windows; again && num_tokens > 0;) {
      again = false;
      std::int32_t const holder = holder_of(node, num_tokens);
      for (int g = 0; g < num_groups() && !again; ++g) {
        std::int32_t const fits = usable_in(holder, g, num_tokens);
        again = fits != num_tokens;
        num_tokens = fits;
      }
    }
    return num_tokens;
  }

  [[nodiscard]] std::int32_t usable_in(std::int32_t holder, int g, std::int32_t num_tokens) const {
    GroupShape const& shape = store_.shape(g);
    if (shape.window == 0) return num_tokens;
    std::int32_t const first = shape.window_begin(num_tokens) / shape.block_size;
    for (std::int32_t i = blocks_for(num_tokens, shape.block_size) - 1; i >= first; --i)
      if (block_at(holder, g, i) == null_block) return i * shape.block_size;
    std::int32_t const sinks = std::min(blocks_for(shape.sinks, shape.block_size), first);
    for (std::int32_t i = 0; i < sinks; ++i)
      if (block_at(holder, g, i) == null_block) return i * shape.block_size;
    return num_tokens;
  }

  /// The lists of an empty sequence, from the path to `holder`, held once more.
  void fill_lists(std::int32_t holder, std::int32_t num_tokens, SequenceState& state) {
    for (int g = 0; g < num_groups(); ++g)
      state.lists[g].blocks.resize(static_cast<std::size_t>(blocks_for(num_tokens, block_size(g))));
    for (std::int32_t index = holder; !is_root(at(index)); index = at(index).parent) {
      Node const& node = at(index);
      for (int g = 0; g < num_groups(); ++g) {
        std::vector<BlockId>& list = state.lists[g].blocks;
        auto const first = static_cast<std::size_t>(node.begin / block_size(g));
        if (first >= list.size()) continue;
        std::size_t const count = std::min(node.blocks[g].size(), list.size() - first);
        std::copy_n(node.blocks[g].begin(), count, list.begin() + static_cast<std::ptrdiff_t>(first));
      }
    }
    for (int g = 0; g < num_groups(); ++g) {
      GroupShape const& shape = store_.shape(g);
      std::vector<BlockId>& list = state.lists[g].blocks;
      BlockPool& pool = store_.pool(g);
      if (shape.window == 0) {
        pool.retain_live(std::span<BlockId const>(list));
        continue;
      }
      std::int32_t const sinks = blocks_for(shape.sinks, shape.block_size);
      std::int32_t const window = shape.window_begin(num_tokens) / shape.block_size;
      for (std::int32_t i = 0; i < static_cast<std::int32_t>(list.size()); ++i) {
        BlockId& block = list[static_cast<std::size_t>(i)];
        if (i >= sinks && i < window)
          block = null_block;
        else
          pool.retain_live(block);
      }
      state.lists[g].given_back_end = window > sinks ? window : 0;
    }
    state.num_tokens = state.num_cached_tokens = num_tokens;
  }

  /// Where tree and sequence have the same whole blocks twice, the sequence takes the tree's; where the tree has none,
  /// behind a window, it takes the sequence's.
  void share(PrefixMatch const& match, SequenceState& state) {
    for (std::int32_t index = match.node; index != no_node && !is_root(at(index)); index = at(index).parent) {
      Node& node = at(index);
      std::int32_t const end = std::min(node.end(), match.num_symbols);
      for (int g = 0; g < num_groups(); ++g) {
        std::int32_t const first = node.begin / block_size(g);
        for (std::int32_t i = first; i < end / block_size(g); ++i)
          share_block(store_.pool(g), node.blocks[g][static_cast<std::size_t>(i - first)],
                      state.lists[g].blocks[static_cast<std::size_t>(i)]);
      }
    }
  }

  void share_block(BlockPool& pool, BlockId& of_tree, BlockId& of_sequence) {
    if (of_tree == of_sequence || of_sequence == null_block) return;
    if (of_tree == null_block) {
      if (pool.is_cached(of_sequence)) return;  // it is another prefix's
      of_tree = of_sequence;
      pool.cache_live(of_tree);
      return;
    }
    pool.retain_live(of_tree);
    pool.release_live(std::exchange(of_sequence, of_tree));
    ++counters_.merged_blocks;
  }

  /// How far behind `begin` a sequence's blocks can be inserted: a block is in the tree once, so not from a block on
  /// that another prefix has.
  [[nodiscard]] std::int32_t insertable_end(SequenceState const& state, std::int32_t begin, std::int32_t end) const {
    for (int g = 0; g < num_groups(); ++g)
      for (std::int32_t i = begin / block_size(g); i < end / block_size(g); ++i) {
        BlockId const block = state.lists[g].blocks[static_cast<std::size_t>(i)];
        if (block != null_block && store_.pool(g).is_cached(block)) end = i * block_size(g) / unit() * unit();
      }
    return end;
  }

  /// Lets go of a node's blocks of a group from index `from` of the prefix on.
  void drop_blocks(Node& node, int g, std::int32_t from) {
    std::vector<BlockId>& blocks = node.blocks[g];
    auto const keep = static_cast<std::size_t>(std::max(0, from - node.begin / block_size(g)));
    while (blocks.size() > keep) {
      drop_block(g, blocks.back());
      blocks.pop_back();
    }
  }
  void drop_block(int g, BlockId block) {
    if (block == null_block) return;
    store_.pool(g).uncache(block);
    ++counters_.evicted_blocks;
  }

  /// In groups with a window, a prefix ends somewhere where its window is there. Blocks of a leaf behind the last such
  /// place can be taken by nobody any more.
  void drop_unreachable(Node& leaf) {
    for (int g = 0; g < num_groups(); ++g) {
      if (store_.shape(g).window == 0) continue;
      std::int32_t end = leaf.end();
      for (std::int32_t fits = usable_in(leaf.index, g, end); end > 0 && fits != end;) {
        end = fits;
        if (end > 0) fits = usable_in(leaf.index, g, end);
      }
      std::int32_t const first = leaf.begin / block_size(g);
      for (std::int32_t i = std::max(first, blocks_for(end, block_size(g))); i < leaf.end() / block_size(g); ++i)
        drop_block(g, std::exchange(leaf.blocks[g][static_cast<std::size_t>(i - first)], null_block));
    }
  }

  /// What is there now. Cost: O(blocks of the tree and of live sequences).
  [[nodiscard]] PrefixGauges gauges() const {
    std::vector<bool> leased(this->end_index());  // here or below
    this->for_each_node([&](Node const& node) {
      if (node.leases == 0) return;
      for (std::int32_t i = node.index; i != no_node && !leased[static_cast<std::size_t>(i)]; i = at(i).parent)
        leased[static_cast<std::size_t>(i)] = true;
    });
    std::map<std::int32_t, TenantGauges> tenants;
    this->for_each_node([&](Node const& node) {
      TenantGauges& t = tenants[node.tenant];
      t.units += node.units;
      t.pinned_units += node.pins > 0 ? node.units : 0;
      for (int g = 0; g < num_groups(); ++g)
        for (BlockId const block : node.blocks[g]) {
          if (block == null_block) continue;
          ++t.kept_blocks;
          t.pinned_blocks += node.pins > 0 ? 1 : 0;
          bool const can_go = node.pins == 0 && !leased[static_cast<std::size_t>(node.index)];
          t.reclaimable_blocks += can_go && store_.pool(g).ref_count(block) == 0 ? 1 : 0;
        }
    });
    for (auto const& state : store_.states())
      for (int g = 0; state->live && g < num_groups(); ++g)
        for (BlockId const block : state->lists[g].blocks)
          tenants[state->tenant].live_blocks += block != null_block ? 1 : 0;
    PrefixGauges gauges;
    for (auto& [tenant, t] : tenants) {
      t.tenant = tenant;
      gauges.all.units += t.units;
      gauges.all.pinned_units += t.pinned_units;
      gauges.all.kept_blocks += t.kept_blocks;
      gauges.all.pinned_blocks += t.pinned_blocks;
      gauges.all.reclaimable_blocks += t.reclaimable_blocks;
      gauges.all.live_blocks += t.live_blocks;
      gauges.tenants.push_back(t);
    }
    return gauges;
  }

  SequenceStore& store_;
  PrefixCounters counters_;

 private:
  static std::vector<std::int32_t> block_sizes(SequenceStore const& store) {
    std::vector<std::int32_t> sizes;
    for (int g = 0; g < store.num_groups(); ++g) sizes.push_back(store.shape(g).block_size);
    return sizes;
  }
};

}  // namespace folio
