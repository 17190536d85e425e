// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Keeps some tokens of a sequence: their rows move to its front, byte for byte. Host only.

#include <algorithm>
#include <cstdint>
#include <folio/batch.hpp>
#include <folio/config.hpp>
#include <folio/detail/sequence_checks.hpp>
#include <folio/error.hpp>
#include <folio/executor.hpp>
#include <folio/ops/copy_rows.hpp>
#include <string>
#include <type_traits>
#include <utility>

namespace folio::ops {

/// The tokens to keep, as top_k writes them: ascending in each list. The same for the host and the device.
struct TokenLists {
  std::int32_t const* tokens = nullptr;  ///< [layers][num_sequences][heads][k]
  std::int32_t const* counts = nullptr;  ///< [layers][num_sequences][heads] tokens of each list; one count a sequence
  std::int32_t k = 0;
  std::int32_t heads = 1;   ///< kv heads; 1: a list is for all kv heads
  std::int32_t layers = 1;  ///< layers of the group; 1: a list is for all layers
  /// On a device, whose lists the host cannot read: the first ones of each list, which stay where they are, such as
  /// TopKOptions::sinks. Their blocks may be shared.
  std::int32_t num_first = 0;

  /// Which list tells of a layer of the group and a kv head of sequence `i`.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int64_t list(std::int32_t layer, std::int32_t i, std::int32_t head,
                                                              std::int32_t num_sequences) const {
    return ((layers > 1 ? std::int64_t{layer} : 0) * num_sequences + i) * heads + (heads > 1 ? head : 0);
  }
};

namespace detail {

/// Calls f(g) with layer group `group` of the view as an integral constant. Throws Error when there is none.
template <class View, class F>
void with_group_number(std::int32_t group, F&& f) {
  if (group < 0 || group >= View::num_groups)
    throw Error("folio: the model has " + std::to_string(View::num_groups) + " layer groups, so no group " +
                std::to_string(group));
  [&]<int... Group>(std::integer_sequence<int, Group...>) {
    ((group == Group ? f(std::integral_constant<int, Group>{}) : void()), ...);
  }
  (std::make_integer_sequence<int, View::num_groups>{});
}

/// What tokens are appended to: of a step's view that has demoted tokens, too, the part without them. Rows as they are
/// stored, where matrices rotate them.
template <class View>
constexpr auto const& appended_lists(View const& view) {
  if constexpr (requires { view.stored; })
    return appended_lists(view.stored);
  else if constexpr (requires { view.recent; })
    return view.recent;
  else
    return view;
}

inline void check_token_lists(GroupShape const& shape, TokenLists const& lists) {
  if (shape.window != 0)
    throw Error("folio: compact moves no tokens of a layer group with a window, which is what it keeps");
  if (lists.k < 0) throw Error("folio: TokenLists::k is " + std::to_string(lists.k) + "; give at least 0");
  if (lists.num_first < 0)
    throw Error("folio: TokenLists::num_first is " + std::to_string(lists.num_first) + "; give at least 0");
  if (lists.heads != 1 && lists.heads != shape.kv_heads)
    throw Error("folio: lists for " + std::to_string(lists.heads) + " heads do not fit " +
                std::to_string(shape.kv_heads) + " kv heads; give one for each, or 1 for all");
  if (lists.layers != 1 && lists.layers != shape.layers)
    throw Error("folio: lists for " + std::to_string(lists.layers) + " layers do not fit the group's " +
                std::to_string(shape.layers) + "; give one for each, or 1 for all");
}

/// Throws Error where the stored tokens [first, end) of sequence `i` of a batch cannot be written: sinks of a cache
/// that demotes, and what others have blocks of. No tokens are stored from `end` on where that is too far.
inline void check_written(StepQueries const& source, std::int64_t i, std::int32_t group, std::int32_t first,
                          std::int32_t end) {
  BlockList const& list = source.state->lists[group];
  end = std::min(end, list.num_tokens);
  std::int32_t const sinks = source.lists->demotion().sinks_of(group);
  if (first < end && first < sinks)
    throw Error("folio: compact would write sequence " + std::to_string(i) + " of the batch from token " +
                std::to_string(first) + " on, but the first " + std::to_string(sinks) + " tokens of layer group " +
                std::to_string(group) +
                " are sinks, which stay: begin its lists with these, and on a device give them as "
                "TokenLists::num_first");
  std::int32_t const shared =
      num_shared_blocks(list, source.lists->shape(group), source.lists->pool(group), first, end);
  if (shared > 0)
    throw Error("folio: compact would write " + std::to_string(shared) + " blocks of sequence " + std::to_string(i) +
                " of the batch that a fork or a prefix index has, too; call Sequence::own(" + std::to_string(first) +
                ", " + std::to_string(end) + ", " + std::to_string(group) + "), and make the batch after it");
}

/// The first place of one sequence's lists that takes another token; where there is none, their length. Throws Error
/// for lists that are wrong.
template <class Sequence>
std::int32_t first_moved(Sequence const& sequence, std::int32_t i, std::int32_t num_sequences,
                         TokenLists const& lists) {
  std::int32_t const count = lists.counts[lists.list(0, i, 0, num_sequences)];
  auto const refuse = [&](std::string const& what) { throw Error("folio: sequence " + std::to_string(i) + what); };
  if (count < 0 || count > std::min(lists.k, sequence.num_tokens()))
    refuse(" cannot keep " + std::to_string(count) + " of its " + std::to_string(sequence.num_tokens()) +
           " tokens by lists of " + std::to_string(lists.k));
  std::int32_t first = count;
  for (std::int32_t layer = 0; layer < lists.layers; ++layer)
    for (std::int32_t head = 0; head < lists.heads; ++head) {
      std::int64_t const list = lists.list(layer, i, head, num_sequences);
      if (lists.counts[list] != count) refuse(" has lists of different lengths; all of a group have one");
      std::int32_t const* const kept = lists.tokens + list * lists.k;
      for (std::int32_t j = 0; j < count; ++j) {
        if (kept[j] <= (j == 0 ? -1 : kept[j - 1]) || kept[j] >= sequence.num_tokens())
          refuse(" has " + std::to_string(kept[j]) + " at place " + std::to_string(j) +
                 " of a list; tokens ascend and are less than " + std::to_string(sequence.num_tokens()));
        if (kept[j] != j) first = std::min(first, j);
      }
    }
  return first;
}

/// One list. Ascending, so no row is written over before it was read: place j takes token kept[j] >= j.
template <class View, class Sequence>
void compact_rows(Sequence const& sequence, std::int32_t head, std::int32_t const* kept, std::int32_t count) {
  using Layout = typename View::Layout;
  auto const map = sequence.layer().map();
  for (std::int32_t j = 0; j < count; ++j) {
    if (kept[j] == j) continue;
    copy_row<Layout, Plane::key>(map, sequence.key(head, kept[j]), sequence.key(head, j));
    if constexpr (!Sequence::Layer::known.values_in_keys())
      copy_row<Layout, Plane::value>(map, sequence.value(head, kept[j]), sequence.value(head, j));
  }
}

}  // namespace detail

/// Compaction: moves the rows of the kept tokens to the front of each sequence of the batch, in all layers of one
/// group: place j takes token kept[j]. Codes and parameters move byte for byte, in place; nothing is quantized again.
/// In a cache that demotes, what is demoted stays where it is, and so do the sinks: a list numbers the tokens that are
/// not demoted, and begins with all the sinks.
///
/// `lists` names ascending tokens for every sequence: one list for all kv heads or one for each, one for all layers of
/// the group or one for each, all of one sequence equally long. What lies after the kept tokens is left in any state:
/// Sequence::keep with the list's length then gives its blocks back. A sequence is left as it is by a list of all its
/// tokens, which top_k writes where k is not less than its length. A batch has as many sequences as its tables have
/// rows, so lists are for the padding of a DeviceBatch, too: counts of 0. Keys keep the RoPE of the positions at which
/// they were made, which the caller remembers; ops::reposition turns them to new ones. Sequence::num_tokens goes on
/// with positions.
///
/// Own before writing: nobody else may have the blocks that are written, no fork, and no prefix index in which they
/// were found or inserted. Those are the blocks from the first place that takes another token to the list's end:
/// Sequence::own makes them the sequence's alone. Throws Error, before anything is written, where they are shared or
/// have sinks of a cache that demotes; for a group with a window; for lists that do not fit; and for a stale batch as
/// Batch::view does. Called by the thread that owns the cache, or under a LockedCache's lock, for it looks who has the
/// blocks. Cost: one pass over the rows that move, and O(blocks). Shared over `threads`.
template <class View>
void compact(Batch<View> const& batch, std::int32_t group, TokenLists const& lists, Executor threads = {}) {
  View const all = batch.view();
  auto const& view = detail::appended_lists(all);
  using Appended = std::remove_cvref_t<decltype(view)>;
  detail::with_group_number<Appended>(group, [&](auto g) {
    GroupShape const shape = LayerView<Appended, g()>(view.group(g()), 0).shape();
    detail::check_token_lists(shape, lists);
    for (std::int32_t i = 0; i < view.num_sequences(); ++i) {
      std::int32_t const first =
          detail::first_moved(view.template sequence_in<g()>(i, 0), i, view.num_sequences(), lists);
      std::int32_t const count = lists.counts[lists.list(0, i, 0, view.num_sequences())];
      if (first < count) detail::check_written(batch.sources()[static_cast<std::size_t>(i)], i, group, first, count);
    }
    std::int64_t const heads = shape.kv_heads, sequences = view.num_sequences();
    parallel_for(threads, shape.layers * sequences * heads, [&](std::int64_t task) {
      auto const head = static_cast<std::int32_t>(task % heads);
      auto const i = static_cast<std::int32_t>(task / heads % sequences);
      auto const layer = static_cast<std::int32_t>(task / heads / sequences);
      std::int64_t const list = lists.list(layer, i, head, view.num_sequences());
      detail::compact_rows<Appended>(view.template sequence_in<g()>(i, layer), head, lists.tokens + list * lists.k,
                                     lists.counts[list]);
    });
  });
}

/// The same for what a caller keeps beside the tokens, such as their scores or positions: in each row, place j takes
/// the element of token kept[j], and all places from the list's count to `row_length` become `rest`.
///
/// `rows`: [num_rows][row_length]; `kept`: [num_rows][k]; `counts`: [num_rows], as top_k writes them. Shared over
/// `threads`.
template <class T>
void compact_elements(T* rows, std::int64_t num_rows, std::int32_t row_length, std::int32_t const* kept,
                      std::int32_t const* counts, std::int32_t k, T rest, Executor threads = {}) {
  static_assert(std::is_trivially_copyable_v<T>);
  parallel_for(threads, num_rows, [&](std::int64_t row) {
    T* const elements = rows + row * row_length;
    for (std::int32_t j = 0; j < counts[row]; ++j) elements[j] = elements[kept[row * k + j]];
    std::fill(elements + counts[row], elements + row_length, rest);
  });
}

}  // namespace folio::ops
