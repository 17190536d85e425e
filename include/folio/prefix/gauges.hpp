// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What tenants have in a prefix index and in their sequences. Host only.

#include <algorithm>
#include <cstdint>
#include <folio/detail/group_pools.hpp>
#include <folio/detail/sequence_state.hpp>
#include <folio/prefix/detail/nodes.hpp>
#include <folio/prefix/detail/shared_blocks.hpp>
#include <folio/prefix/prefix.hpp>
#include <memory>
#include <span>

namespace folio {

/// Gauges of an index's nodes and of these sequences, those that are live. Cost: O(blocks of both).
template <class Nodes>
[[nodiscard]] PrefixGauges prefix_gauges(Nodes const& nodes, PrefixBlocks<Nodes> const& blocks, GroupPools const& pools,
                                         std::span<std::unique_ptr<SequenceState> const> sequences) {
  PrefixGauges gauges;
  auto const of = [&](std::int32_t tenant) -> TenantGauges& {
    auto const at = std::lower_bound(gauges.tenants.begin(), gauges.tenants.end(), tenant,
                                     [](TenantGauges const& t, std::int32_t number) { return t.tenant < number; });
    return at != gauges.tenants.end() && at->tenant == tenant ? *at : *gauges.tenants.insert(at, {.tenant = tenant});
  };
  nodes.tree.for_each_node([&](typename Nodes::Node const& node) {
    TenantGauges& t = of(node.tenant);
    t.units += node.units;
    t.pinned_units += node.pins > 0 ? node.units : 0;
    for (int g = 0; g < pools.size(); ++g)
      for (BlockId const block : node.blocks[g]) {
        if (block == null_block) continue;
        ++t.kept_blocks;
        t.pinned_blocks += node.pins > 0 ? 1 : 0;
        t.reclaimable_blocks += !blocks.is_protected(node, g) && pools[g].ref_count(block) == 0 ? 1 : 0;
      }
  });
  for (auto const& state : sequences)
    for (int g = 0; state->live && g < pools.size(); ++g)
      for (BlockId const block : state->lists[g].blocks)
        of(state->prefix.tenant).live_blocks += block != null_block ? 1 : 0;
  for (TenantGauges const& t : gauges.tenants) {
    gauges.all.units += t.units;
    gauges.all.pinned_units += t.pinned_units;
    gauges.all.kept_blocks += t.kept_blocks;
    gauges.all.pinned_blocks += t.pinned_blocks;
    gauges.all.reclaimable_blocks += t.reclaimable_blocks;
    gauges.all.live_blocks += t.live_blocks;
  }
  return gauges;
}

}  // namespace folio
