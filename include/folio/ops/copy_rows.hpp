// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Copies stored tokens from one sequence's blocks to another's, byte by byte. Host only.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <folio/error.hpp>
#include <folio/executor.hpp>
#include <folio/kernels/token_range.hpp>
#include <folio/kernels/with_group.hpp>
#include <folio/layout/layout.hpp>
#include <string>
#include <type_traits>

namespace folio::ops {

namespace detail {

/// Copies a row over another: padding too, so that host and device come to the same bytes.
template <class Layout, Plane plane, class Map, class RowType>
void copy_row(Map const& map, RowType const& from, RowType const& to) {
  static_assert(!RowType::params_of_tile,
                "folio: tokens of a tile share their parameters and cannot be moved apart: choose tokens before they "
                "are demoted, or take a format that stores each row by itself");
  std::int32_t const bytes = map.extent(plane, RowPart::code).row_bytes;
  std::int32_t const piece = std::min(bytes, Layout::run_bytes(plane));
  for (std::int32_t byte = 0; byte < bytes; byte += piece)
    std::memcpy(to.codes(byte), from.codes(byte), static_cast<std::size_t>(piece));
  std::int32_t const params = map.extent(plane, RowPart::param).row_bytes;
  if (params > 0) std::memcpy(to.param_bytes(), from.param_bytes(), static_cast<std::size_t>(params));
}

/// Calls f(group, index) with the group of `layer`, the same in both views, as an integral constant. Throws Error for a
/// layer that there is not, or that has other heads in the other view. Refuses views of other formats at compile time.
template <class From, class To, class F>
void with_same_group(From const& from, To const& to, std::int32_t layer, F&& f) {
  static_assert(std::is_same_v<typename From::ModelType, typename To::ModelType> &&
                    std::is_same_v<typename From::KeyQuantizer, typename To::KeyQuantizer> &&
                    std::is_same_v<typename From::ValueQuantizer, typename To::ValueQuantizer> &&
                    std::is_same_v<typename From::Layout, typename To::Layout>,
                "folio: rows are copied between caches of one model, one format and one layout; for another format "
                "there is ops::requantize");
  with_group(from, layer, [&](auto group, std::int32_t index) {
    LayerPlace const at = to.place(layer);
    GroupShape const &a = from.group(group()).shape, &b = to.group(at.group).shape;
    if (at.group != group() || at.index != index || a.kv_heads != b.kv_heads)
      throw Error("folio: layer " + std::to_string(layer) + " has another group or other kv heads in the second view");
    f(group, index);
  });
}

}  // namespace detail

/// Row copy: copies the codes and parameters of `tokens` of `from` in one layer over those of `to_tokens`, which are as
/// many, of `to`, a batch of another cache or the same, with the same format and layout. Nothing is decoded. Block
/// sizes may differ, and the places in a block. Both ranges are numbers among the tokens that the layer's group stores.
///
/// Throws Error, before anything is written, for sequences, a layer or ranges that do not exist, and for tokens that
/// left a window. Formats whose tokens share parameters in tiles do not compile. Cost: one pass over the rows, each
/// read and written once. Tokens are shared over `threads`; no slot is both read and written, and nobody else may read
/// or write the target's slots meanwhile.
template <class From, class To>
requires(!is_device_view<From> && !is_device_view<To>)  // a stream that is nullptr is not taken for threads
    void copy_rows(From const& from, std::int32_t layer, Tokens const& tokens, To const& to, Tokens const& to_tokens,
                   Executor threads = {}) {
  check_sequence(from, tokens);
  check_sequence(to, to_tokens);
  check_as_many(tokens, to_tokens);
  detail::with_same_group(from, to, layer, [&](auto group, std::int32_t index) {
    using Layout = typename From::Layout;
    auto const source = from.template sequence_in<group()>(tokens.sequence, index);
    auto const target = to.template sequence_in<group()>(to_tokens.sequence, index);
    check_tokens(source, tokens);
    check_tokens(target, to_tokens);
    auto const map = source.layer().map();
    parallel_for(threads, tokens.count, [&](std::int64_t t) {
      auto const read = static_cast<std::int32_t>(tokens.first + t);
      auto const write = static_cast<std::int32_t>(to_tokens.first + t);
      for (std::int32_t head = 0; head < source.shape().kv_heads; ++head) {
        detail::copy_row<Layout, Plane::key>(map, source.key(head, read), target.key(head, write));
        if constexpr (!From::template static_shape<group()>().values_in_keys())
          detail::copy_row<Layout, Plane::value>(map, source.value(head, read), target.value(head, write));
      }
    });
  });
}

}  // namespace folio::ops
