// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The blocks of a prefix index's nodes: which of them a sequence can take, and which are whose. Host only.

#include <algorithm>
#include <cstdint>
#include <folio/detail/group_pools.hpp>
#include <folio/detail/sequence_state.hpp>
#include <folio/prefix/detail/nodes.hpp>
#include <folio/prefix/detail/unit_lists.hpp>
#include <folio/prefix/prefix.hpp>
#include <span>
#include <utility>
#include <vector>

namespace folio {

/// Blocks of nodes over the pools that they are of. A block that is in a node is marked as cached in its pool, and is
/// in one node only.
///
/// Where groups demote, the demoted units of every path are one interval after the sinks, as those of a sequence are.
/// So what a sequence inserts, it inserts from the root on: units that it has demoted replace those of the tree that
/// are not, whoever holds these, and never the other way; where one cannot, its insertion ends. Sequences and the tree
/// have the same sinks, which are whole units.
template <class Nodes = PrefixNodes<>>
class PrefixBlocks {
 public:
  using Node = typename Nodes::Node;
  static constexpr std::int32_t no_node = Nodes::no_node;

  /// Of nodes and pools that it does not own; what it evicts and merges is counted in `counters`.
  PrefixBlocks(Nodes& nodes, GroupPools& pools, PrefixCounters& counters)
      : nodes_(nodes), pools_(pools), units_(nodes, pools), counters_(counters) {}

  [[nodiscard]] GroupShape const& shape(int g) const { return pools_.shape(g); }

  /// The most of the first `num_tokens` tokens that a sequence can take: in each group with a window, what the next
  /// token sees must be there.
  [[nodiscard]] std::int32_t usable(std::int32_t node, std::int32_t num_tokens) const {
    if (num_tokens <= 0) return 0;
    bool has_windows = false;
    for (int g = 0; g < pools_.size(); ++g) has_windows = has_windows || pools_.shape(g).window != 0;
    for (bool again = has_windows || units_.has_second_lists(); again && num_tokens > 0;) {
      again = false;
      std::int32_t const holder = nodes_.holder_of(node, num_tokens);
      if (std::int32_t const whole = nodes_.whole_units(num_tokens);
          whole < num_tokens && units_.is_demoted(holder, whole)) {  // of a demoted unit nobody has a part
        num_tokens = whole;
        again = true;
        continue;
      }
      for (int g = 0; g < pools_.num_groups() && !again; ++g) {
        std::int32_t const fits = usable_in(holder, g, num_tokens);
        again = fits != num_tokens;
        num_tokens = fits;
      }
    }
    return num_tokens;
  }

  /// The most of them in one group. Cost: O(blocks in the window, or in a stretch without blocks, + nodes on the way).
  /// Without `sinks` as if those were there.
  [[nodiscard]] std::int32_t usable_in(std::int32_t holder, int g, std::int32_t num_tokens, bool sinks = true) const {
    GroupShape const& shape = pools_.shape(g);
    if (shape.window == 0) return num_tokens;
    std::int32_t const first = shape.window_begin(num_tokens) / shape.block_size;
    for (std::int32_t i = blocks_for(num_tokens, shape.block_size) - 1; i >= first; --i)
      if (nodes_.block_at(holder, g, i) == null_block) return end_before(holder, g, i);
    for (std::int32_t i = sinks ? std::min(blocks_for(shape.sinks, shape.block_size), first) - 1 : -1; i >= 0; --i)
      if (nodes_.block_at(holder, g, i) == null_block) return end_before(holder, g, i);
    return num_tokens;
  }
  /// Memory for the lists of an empty sequence that is to take so many tokens. May throw std::bad_alloc.
  void reserve_lists(std::int32_t num_tokens, SequenceState& state) const {
    for (int g = 0; g < pools_.size(); ++g)
      state.lists[g].blocks.reserve(static_cast<std::size_t>(blocks_for(num_tokens, block_size(g))));
  }

  /// The lists of an empty sequence, from the path to `holder`, held once more. There is memory for them.
  void fill_lists(std::int32_t holder, std::int32_t num_tokens, SequenceState& state) noexcept {
    for (int g = 0; g < pools_.size(); ++g)
      state.lists[g].blocks.resize(static_cast<std::size_t>(blocks_for(num_tokens, block_size(g))));
    for (std::int32_t index = holder; !is_root(at(index)); index = at(index).parent) {
      Node const& node = at(index);
      for (int g = 0; g < pools_.size(); ++g) {
        std::vector<BlockId>& list = state.lists[g].blocks;
        auto const first = static_cast<std::size_t>(node.begin / block_size(g));
        if (first >= list.size()) continue;
        std::size_t const count = std::min(node.blocks[g].size(), list.size() - first);
        std::copy_n(node.blocks[g].begin(), count, list.begin() + static_cast<std::ptrdiff_t>(first));
      }
    }
    for (int g = 0; g < pools_.size(); ++g) state.lists[g].num_tokens = num_tokens;
    if (units_.has_second_lists()) units_.part_lists(holder, num_tokens, state);
    for (int g = 0; g < pools_.size(); ++g) {
      GroupShape const& shape = pools_.shape(g);
      std::vector<BlockId>& list = state.lists[g].blocks;
      BlockPool& pool = pools_[g];
      if (shape.window == 0) {
        pool.retain_live(as_span(list));
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
      state.lists[g].first_resident_block = window > sinks ? window : 0;
    }
    state.num_tokens = state.num_cached_tokens = num_tokens;
  }

  /// A leaf that is to hang below `parent`, for symbols [begin, symbols.size()), with the sequence's blocks. A node was
  /// reserved. May throw std::bad_alloc; nothing has changed then.
  [[nodiscard]] Node& new_leaf(std::int32_t parent, SequenceState const& state, std::span<std::int32_t const> symbols,
                               std::int32_t begin, bool with_keys) {
    Node& leaf = nodes_.tree.new_node();
    try {
      leaf.parent = parent;
      leaf.begin = begin;
      leaf.symbols.assign(symbols.begin() + begin, symbols.end());
      leaf.first_symbol = leaf.symbols.front();
      for (int l = 0; l < pools_.size(); ++l) {
        std::int32_t const first = begin / block_size(l), last = leaf.end() / block_size(l);
        if (units_.has_second_lists()) {
          leaf.blocks[l].reserve(static_cast<std::size_t>(last - first));
          for (std::int32_t i = first; i < last; ++i) leaf.blocks[l].push_back(units_.block_of(state, l, i));
        } else {
          leaf.blocks[l].assign(state.lists[l].blocks.begin() + first, state.lists[l].blocks.begin() + last);
        }
      }
      nodes_.measure(leaf);
      if (with_keys) leaf.keys.resize(static_cast<std::size_t>(leaf.units));
    } catch (...) {
      nodes_.tree.free_node(leaf);
      throw;
    }
    return leaf;
  }
  /// Marks a new leaf's blocks as cached.
  void cache(Node const& leaf) noexcept {
    for (int g = 0; g < pools_.size(); ++g)
      for (BlockId const block : leaf.blocks[g])
        if (block != null_block) pools_[g].cache_live(block);
  }

  /// Where tree and sequence have the same whole blocks twice, the sequence takes the tree's; where the tree has none,
  /// out of a window, it takes the sequence's. What the sequence has demoted, and the tree not yet, the tree takes.
  void share(PrefixMatch const& match, SequenceState& state) noexcept {
    bool const has_parts = units_.has_second_lists();
    std::int32_t const whole = nodes_.whole_units(match.num_symbols);
    if (has_parts) upgrade(match, state);
    for (std::int32_t index = match.node; index != no_node && !is_root(at(index)); index = at(index).parent) {
      Node& node = at(index);
      std::int32_t const end = std::min(node.end(), match.num_symbols);
      for (int l = 0; l < pools_.size(); ++l) {
        std::int32_t const first = node.begin / block_size(l);
        for (std::int32_t i = first; i < end / block_size(l); ++i)
          if (std::int32_t const at = has_parts ? units_.index_of(state, l, i) : i; at >= 0)
            share_block(node, l, i * block_size(l) < whole, node.blocks[l][static_cast<std::size_t>(i - first)], state,
                        static_cast<std::size_t>(at));
      }
    }
  }
  /// Whole units of a prefix that a sequence has demoted, and the tree not yet, are demoted in the tree from now on:
  /// those up to one of which another prefix has a block.
  void upgrade(PrefixMatch const& match, SequenceState& state) noexcept {
    if (state.num_demoted == 0 || match.node == no_node) return;
    std::int32_t const whole = nodes_.whole_units(match.num_symbols), sinks = pools_.demotion().sinks;
    std::int32_t const begin = units_.demoted_end(match.node, whole);
    std::int32_t const end = upgradable_end(match.node, state, begin, std::min(whole, sinks + state.num_demoted));
    for (std::int32_t index = match.node; !is_root(at(index)) && at(index).end() > begin; index = at(index).parent) {
      Node& node = at(index);
      // Of a unit that ends below, other nodes may have the rest as it was: drop_part.
      std::int32_t const own_end = std::min(end, nodes_.whole_units(node.end()));
      for (int l = 0; l < pools_.size(); ++l) {
        bool const is_second = l >= pools_.num_groups();
        if (!is_second && !pools_.demotion().demotes(l)) continue;
        std::int32_t const first = node.begin / block_size(l), last = std::min(is_second ? end : own_end, node.end());
        for (std::int32_t i = std::max(first, begin / block_size(l)); i < last / block_size(l); ++i) {
          BlockId& block = node.blocks[l][static_cast<std::size_t>(i - first)];
          if (is_second && block == null_block)
            keep_block(node, l, block = units_.block_of(state, l, i));
          else if (!is_second && block != null_block)
            pools_[l].uncache(std::exchange(block, null_block));
        }
      }
      if (nodes_.whole_units(node.end()) < end) drop_part(node);
    }
  }

  /// A node that ends inside a unit, where groups demote, has its part of that in the lists in which prefixes below
  /// have the unit. Lets go of what it has in others; returns how many blocks.
  std::int64_t drop_part(Node& node) noexcept {
    std::int32_t const whole = nodes_.whole_units(node.end());
    if (!units_.has_second_lists() || whole == node.end()) return 0;
    std::int64_t dropped = 0;
    for (int l = 0; l < pools_.size(); ++l) {
      bool const is_second = l >= pools_.num_groups();
      if (!is_second && !pools_.demotion().demotes(l)) continue;
      std::int32_t const first = node.begin / block_size(l), skipped = std::max(0, whole / block_size(l) - first);
      std::span<BlockId> const part = as_span(node.blocks[l]).subspan(static_cast<std::size_t>(skipped));
      if (all_null(part.data(), static_cast<std::int32_t>(part.size())) || units_.any_below(node.index, is_second))
        continue;
      for (BlockId& block : part)
        if (block != null_block) {
          pools_[l].uncache(std::exchange(block, null_block));
          ++dropped;
        }
    }
    return dropped;
  }

  /// Whether blocks of a group in a node are kept from eviction. Out of a window, blocks of a prefix that is only
  /// leased can go: who leases it holds what it needs of them.
  [[nodiscard]] bool is_protected(Node const& node, int g) const {
    return pools_.shape(g).window == 0 ? node.held() : node.pins > 0;
  }
  void protect(Node const& node) noexcept {
    for (int g = 0; g < pools_.size(); ++g)
      for (BlockId const block : node.blocks[g])
        if (block != null_block) pools_[g].protect(block, is_protected(node, g));
  }

  /// How far from where `match` ends on a sequence's blocks can be inserted: a block is in the tree once, so not from a
  /// block on that another prefix has. Less than what was matched, where the tree cannot take what is demoted of that.
  [[nodiscard]] std::int32_t insertable_end(PrefixMatch const& match, SequenceState const& state,
                                            std::int32_t end) const {
    bool const has_parts = units_.has_second_lists();
    if (has_parts && match.node != no_node) {
      std::int32_t const whole = nodes_.whole_units(match.num_symbols);
      std::int32_t const demoted = std::min(whole, pools_.demotion().sinks + state.num_demoted);
      std::int32_t const begin = units_.demoted_end(match.node, whole);
      if (std::int32_t const most = upgradable_end(match.node, state, begin, demoted);
          begin < demoted && most < demoted)
        return most;
      if (lacks_part(match, state)) return whole;
    }
    for (int l = 0; l < pools_.size(); ++l)
      for (std::int32_t i = match.num_symbols / block_size(l); i < end / block_size(l); ++i) {
        BlockId const block =
            has_parts ? units_.block_of(state, l, i) : state.lists[l].blocks[static_cast<std::size_t>(i)];
        if (block != null_block && pools_[l].is_cached(block)) end = i * block_size(l) / nodes_.unit() * nodes_.unit();
      }
    return end;
  }

  /// Blocks that an extension of a sequence needs less in each group when what comes after the first `from` tokens on
  /// the way to `node`, and is the sequence's alone, goes: added to by_group.
  void count_gain(std::int32_t node, std::int32_t from, SequenceState const& state,
                  std::int64_t* by_group) const noexcept {
    for (int g = 0; g < pools_.num_groups(); ++g) {
      if (pools_.shape(g).window != 0) continue;  // what is only leased counts as evictable as it is
      std::vector<BlockId> const& own = state.lists[g].blocks;
      bool const may_copy =
          state.lists[g].num_tokens % block_size(g) != 0;  // the last block, which is whole for the index
      std::int32_t index = node;
      for (std::int32_t i = at(index).end() / block_size(g) - 1; i >= from / block_size(g); --i) {
        BlockId const block = nodes_.block_at(index, g, i);
        if (block == null_block) continue;
        std::uint32_t const holders = pools_[g].ref_count(block);
        by_group[g] += holders == (may_copy && block == own.back() ? 1U : 0U) ? 1 : 0;
      }
    }
  }

  /// Lets go of a node's blocks of a group from index `from` of the prefix on. Whether there were any.
  bool drop_blocks(Node& node, int g, std::int32_t from) noexcept {
    std::vector<BlockId>& blocks = node.blocks[g];
    auto const keep = static_cast<std::size_t>(std::max(0, from - node.begin / block_size(g)));
    bool any = false;
    for (; blocks.size() > keep; blocks.pop_back()) any |= drop_block(g, blocks.back());
    return any;
  }
  /// In a group with a window, a prefix ends somewhere where its window is there. A leaf has lost blocks at its end:
  /// those after the last such place can be taken by nobody any more, and go. Cost: O(blocks in the window), and once
  /// for each stretch of the leaf that has none O(its length).
  void drop_unreachable(Node& leaf, int g) noexcept {
    std::int32_t end = leaf.end();
    for (std::int32_t fits = 0; end > leaf.begin; end = fits)
      if ((fits = usable_in(leaf.index, g, end, false)) == end) break;  // the way to the sinks is long
    std::int32_t const first = leaf.begin / block_size(g);
    for (std::int32_t i = std::max(first, blocks_for(end, block_size(g))); i < leaf.end() / block_size(g); ++i)
      drop_block(g, std::exchange(leaf.blocks[g][static_cast<std::size_t>(i - first)], null_block));
  }

  /// Lets go of blocks of a group with a window, in one node whose prefix is leased: of those that no sequence holds,
  /// or of `block`. What can be taken of that prefix ends earlier then. False when there are none. Cost: O(nodes) and
  /// their blocks at the most.
  bool drop_leased(int g, BlockId block) noexcept {
    for (std::size_t n = nodes_.tree.end_index(); n > 0; --n) {
      next_to_search_ = (next_to_search_ + 1) % nodes_.tree.end_index();
      Node& node = at(static_cast<std::int32_t>(next_to_search_));
      if (is_root(node) || node.pins > 0) continue;
      bool any = false;
      for (BlockId& one : node.blocks[g])
        if (one != null_block && (block == null_block ? pools_[g].ref_count(one) == 0 : one == block))
          any |= drop_block(g, std::exchange(one, null_block));
      if (any) return true;
    }
    return false;
  }

 private:
  /// Whether block i of a prefix, as a sequence has it, is in the tree, but not on the path to `index`, which has none
  /// in its place: as nodes_.block_at.
  [[nodiscard]] bool is_elsewhere(std::int32_t& index, int l, std::int32_t i, SequenceState const& state) const {
    BlockId const block = units_.block_of(state, l, i);
    return block != null_block && pools_[l].is_cached(block) && nodes_.block_at(index, l, i) == null_block;
  }
  /// Where the first of a sequence's demoted units between two tokens of the path to a node begins of which only
  /// another prefix has a block.
  [[nodiscard]] std::int32_t upgradable_end(std::int32_t node, SequenceState const& state, std::int32_t begin,
                                            std::int32_t end) const {
    for (int l = pools_.num_groups(); l < pools_.size(); ++l) {
      std::int32_t index = node;
      for (std::int32_t i = end / block_size(l) - 1; i >= begin / block_size(l); --i)
        if (is_elsewhere(index, l, i, state)) end = nodes_.whole_units(i * block_size(l));
    }
    return end;
  }
  /// Whether the tree has not all blocks of the part of a unit with which `match` ends, as the sequence has them, and
  /// cannot take one.
  [[nodiscard]] bool lacks_part(PrefixMatch const& match, SequenceState const& state) const {
    std::int32_t const whole = nodes_.whole_units(match.num_symbols);
    for (int l = 0; l < pools_.size(); ++l) {
      if (pools_.shape(l).window != 0) continue;
      std::int32_t index = match.node;
      for (std::int32_t i = match.num_symbols / block_size(l) - 1; i >= whole / block_size(l); --i)
        if (is_elsewhere(index, l, i, state)) return true;
    }
    return false;
  }

  [[nodiscard]] static bool all_null(BlockId const* blocks, std::int32_t count) {
    std::int32_t any = 0;
    for (std::int32_t i = 0; i < count; ++i) any |= to_int(blocks[i]);  // without a branch, so that it is vectorized
    return any == to_int(null_block);
  }
  /// Where the last block of a node ends that is there before block i of a group, which is not; or where its first one
  /// begins.
  [[nodiscard]] std::int32_t end_before(std::int32_t index, int g, std::int32_t i) const {
    Node const& node = at(index);
    std::int32_t const first = node.begin / block_size(g);
    BlockId const* const blocks = node.blocks[g].data();
    constexpr std::int32_t many = 64;
    while (i - first >= many && all_null(blocks + (i - first - many), many)) i -= many;
    while (i > first && blocks[i - first - 1] == null_block) --i;
    return i * block_size(g);
  }

  /// A block of a prefix, which a node and, in place `at`, a sequence may have: of a unit that the path has whole?
  void share_block(Node const& node, int l, bool unit_is_whole, BlockId& of_tree, SequenceState& state,
                   std::size_t at) noexcept {
    BlockPool& pool = pools_[l];
    BlockId& of_sequence = state.lists[l].blocks[at];
    if (of_tree == of_sequence || of_sequence == null_block) return;
    if (of_tree == null_block) {
      if (pool.is_cached(of_sequence)) return;                   // it is another prefix's
      if (unit_is_whole && pools_.shape(l).window == 0) return;  // the tree has it in another list, and keeps that
      keep_block(node, l, of_tree = of_sequence);
      return;
    }
    pool.retain_live(of_tree);
    pool.release_live(std::exchange(of_sequence, of_tree));
    state.note_change(l, at);
    ++counters_.merged_blocks;
  }
  /// A sequence's block is in a node from now on.
  void keep_block(Node const& node, int l, BlockId block) noexcept {
    if (block == null_block) return;  // of a group without layers
    pools_[l].cache_live(block);
    pools_[l].protect(block, is_protected(node, l));
  }

  bool drop_block(int g, BlockId block) noexcept {
    if (block == null_block) return false;
    pools_[g].uncache(block);
    ++counters_.evicted_blocks;
    return true;
  }

  [[nodiscard]] Node& at(std::int32_t node) { return nodes_.at(node); }
  [[nodiscard]] Node const& at(std::int32_t node) const { return std::as_const(nodes_).at(node); }
  [[nodiscard]] static bool is_root(Node const& node) { return Nodes::is_root(node); }
  [[nodiscard]] std::int32_t block_size(int g) const { return nodes_.block_size(g); }

  Nodes& nodes_;
  GroupPools& pools_;
  UnitLists<Nodes> units_;
  PrefixCounters& counters_;
  std::size_t next_to_search_ = 0;
};

}  // namespace folio
