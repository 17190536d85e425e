// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Demotes the older tokens of a step's sequences on a stream: to the same bytes as KvCache::demote on the host.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/batch.hpp>
#include <folio/device_batch.cuh>
#include <folio/device_view.hpp>
#include <folio/error.hpp>
#include <folio/kernels/launch.cuh>
#include <folio/ops/requantize.cuh>
#include <folio/precision/demote.hpp>
#include <folio/precision/detail/mixed_rules.hpp>
#include <folio/precision/mixed_view.hpp>
#include <folio/sequence.hpp>
#include <initializer_list>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace folio {

/// Demotion entry: a sequence, and how many of its first tokens are accepted: tokens from there on may yet be taken
/// back (speculative decoding) and stay as they are.
struct DemotionItem {
  DemotionItem(Sequence* s, std::int32_t accepted = std::numeric_limits<std::int32_t>::max())
      : sequence(s), num_accepted(accepted) {}

  Sequence* sequence;
  std::int32_t num_accepted;
};

}  // namespace folio

namespace folio::ops {

/// What one launch of demote_kernel moves: of each sequence `num_tokens` tokens after the sinks, to where
/// `num_demoted` are already. 768 bytes, which fit into a kernel's parameters beside the views.
struct DueTokens {
  static constexpr int most = 64;
  struct Range {
    std::int32_t sequence, num_demoted, num_tokens;
  };
  Range list[std::size_t{most}];
};

/// Kernel. Moves range blockIdx.y of `due` in layer blockIdx.z of group `Group`, from the recent list to the demoted
/// one. Grid: (any, ranges, layers of the group); whole warps in a block. Traffic: reads each row once, writes its
/// codes and parameters once.
template <class View, int Group>
__global__ void demote_kernel(View view, DueTokens due) {
  DueTokens::Range const& range = due.list[blockIdx.y];
  auto const layer = static_cast<std::int32_t>(blockIdx.z);
  detail::requantize_tokens<decltype(view.recent), decltype(view.demoted), Group, Group>(
      view.recent, layer, {range.sequence, view.sinks, range.num_tokens}, view.demoted, layer,
      {range.sequence, range.num_demoted, range.num_tokens});
}

namespace detail {

/// In every layer that demotes: a launch for each group of layers and 64 sequences that have something due.
template <class View>
void launch_demote(View const& view, std::span<DueTokens::Range const> ranges, cudaStream_t stream) {
  DueTokens due;
  unsigned count = 0;
  std::int32_t longest = 0;
  auto const launch_group = [&]<int Group>(std::integral_constant<int, Group>) {
    if constexpr (View::template group_demotes<Group>) {
      GroupShape const& shape = view.recent.group(Group).shape;
      if (shape.layers == 0) return;
      dim3 const grid(grid_for(std::int64_t{longest} * shape.kv_heads * 32), count,
                      static_cast<unsigned>(shape.layers));
      launch(demote_kernel<View, Group>, grid, 256, 0, stream, view, due);
    }
  };
  auto const launch_groups = [&]<int... Group>(std::integer_sequence<int, Group...>) {
    (launch_group(std::integral_constant<int, Group>()), ...);
  };
  while (!ranges.empty()) {
    if (ranges.front().num_tokens > 0) due.list[count++] = ranges.front();
    longest = std::max(longest, ranges.front().num_tokens);
    ranges = ranges.subspan(1);
    if (count == DueTokens::most || (count > 0 && ranges.empty())) {
      launch_groups(std::make_integer_sequence<int, View::num_groups>());
      count = 0;
      longest = 0;
    }
  }
}

}  // namespace detail

/// Demotion on a stream: KvCache::demote for several sequences, all of them or none, to the same bytes. The rows are
/// moved by a kernel for each group of layers and 64 sequences; the books are as after it at once, so the blocks of
/// what was demoted may be given to anybody. Returns how many tokens were demoted, of all sequences together.
///
/// `batch` gets a step of `items` without query tokens, if anything is due: give the batch and the places in it that
/// the sequences' steps have. It is stale then. Its capacity counts demoted tokens as others (BatchCapacity).
///
/// Rules for the order of calls, beside those of DeviceBatch:
/// 1. After the kernels of a step were launched, which write what is demoted.
/// 2. Before the sequences are extended or inserted for the next step, and before its upload.
/// 3. No other thread and no BlockHold is needed: whoever gets the blocks writes them in a later step of the stream.
///
/// Throws Error for an empty handle or another cache's sequence, and, where anything is due, for a sequence that is
/// given twice, a step that the batch has no room for, or a stream that is being captured into a graph; OutOfBlocks
/// when a second list has too few blocks for all; std::bad_alloc. Nothing is changed then. And CudaError: no sequence
/// is changed then, but batches of these sequences are stale, and prefixes may have been evicted for the blocks.
/// Formats with tiles do not compile. Cost: an upload and the kernels; where nothing is due, a few comparisons for each
/// sequence.
template <class... Policies>
std::int64_t demote(KvCache<Policies...>& cache, std::span<DemotionItem const> items,
                    DeviceBatch<typename KvCache<Policies...>::View>& batch, cudaStream_t stream) {
  using View = typename KvCache<Policies...>::View;
  static_assert(is_mixed_view<View>, "folio: this cache demotes nothing: give it the policy Demote<...>");
  detail::check_rows_alone<View>();
  std::int64_t total = 0;
  for (DemotionItem const& item : items) {
    if (item.sequence == nullptr) throw Error("folio: a demotion item has no Sequence");
    total += cache.num_due(*item.sequence, item.num_accepted);
  }
  if (total == 0) return 0;

  std::vector<BatchItem> step;
  std::vector<DueTokens::Range> due;
  step.reserve(items.size());
  due.reserve(items.size());
  std::int32_t longest = 0;  // second list
  for (DemotionItem const& item : items) {
    std::int32_t const num_demoted = item.sequence->num_demoted_tokens();
    auto const i = static_cast<std::int32_t>(step.size());
    due.push_back({i, num_demoted, cache.prepare_demotion(*item.sequence, item.num_accepted)});
    step.emplace_back(item.sequence, 0);
    longest = std::max(longest, num_demoted + due.back().num_tokens);
  }
  batch.prepare(step, stream, longest);
  cache.check_can_demote(total);
  try {
    for (DemotionItem const& item : items) cache.begin_demotion(*item.sequence, item.num_accepted);
    batch.upload(step, stream);
    detail::launch_demote<View>(batch.view(), due, stream);
  } catch (...) {
    // Kernels that were launched may still write these blocks. Whoever gets them writes them after a later upload,
    // which waits for this stream.
    for (DemotionItem const& item : items) cache.cancel_demotion(*item.sequence);
    throw;
  }
  for (DueTokens::Range const& range : due)
    if (range.num_tokens > 0)
      cache.end_demotion(*items[static_cast<std::size_t>(range.sequence)].sequence, range.num_tokens);
  return total;
}
template <class... Policies>
std::int64_t demote(KvCache<Policies...>& cache, std::initializer_list<DemotionItem> items,
                    DeviceBatch<typename KvCache<Policies...>::View>& batch, cudaStream_t stream) {
  return demote(cache, std::span(items.begin(), items.size()), batch, stream);
}

}  // namespace folio::ops
