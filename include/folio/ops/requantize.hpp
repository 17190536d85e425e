// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Stores tokens a second time in another format: from a cache in a float format to one that takes less memory. Host
// only.

#include <cstdint>
#include <folio/executor.hpp>
#include <folio/kernels/rows.hpp>
#include <folio/kernels/token_range.hpp>
#include <folio/kernels/with_group.hpp>

namespace folio::ops {

namespace detail {

template <class From, int FromGroup, class Target>
void requantize_token(SequenceView<From, FromGroup> const& source, std::int32_t read, Target const& target,
                      std::int32_t write) {
  using Layer = LayerView<From, FromGroup>;
  GroupShape const shape = source.shape();
  for (std::int32_t head = 0; head < shape.kv_heads; ++head) {
    requantize_row<typename Layer::KeyQuantizer>(source.key(head, read), target.key(head, write), shape.key_dim);
    if constexpr (!Layer::known.values_in_keys())
      requantize_row<typename Layer::ValueQuantizer>(source.value(head, read), target.value(head, write),
                                                     shape.value_dim);
  }
}

}  // namespace detail

/// Requantization: decodes `tokens` of `from` in one layer, and encodes them into `to_tokens`, which are as many, of
/// `to`, a batch of another cache or the same. The caches are of the same model; formats, layouts and block sizes may
/// differ. Both ranges are numbers among the tokens that the layer's group stores.
///
/// What is written is what append would have written from the decoded floats. Rows of fewer than 16 bits would be
/// quantized twice, and are refused: at compile time where no layer group of `from` has others. Throws Error, before
/// anything is written, for a layer that has such rows, for sequences, a layer or ranges that do not exist, for tokens
/// that left a window, or when the layer's rows differ in size.
/// Cost: one pass over the rows, each read and written once. Tokens are shared over `threads`; no slot is both read and
/// written, and nobody else may read or write the target's slots meanwhile.
template <class From, class To>
requires(!is_device_view<From> && !is_device_view<To>)  // a stream that is nullptr is not taken for threads
    void requantize(From const& from, std::int32_t layer, Tokens const& tokens, To const& to, Tokens const& to_tokens,
                    Executor threads = {}) {
  check_sequence(from, tokens);
  check_sequence(to, to_tokens);
  check_as_many(tokens, to_tokens);
  detail::with_groups(from, to, layer, [&](auto from_group, std::int32_t from_index, auto to_group, auto to_index) {
    auto const source = from.template sequence_in<from_group()>(tokens.sequence, from_index);
    auto const target = to.template sequence_in<to_group()>(to_tokens.sequence, to_index);
    check_tokens(source, tokens);
    check_tokens(target, to_tokens);
    parallel_for(threads, tokens.count, [&](std::int64_t t) {
      detail::requantize_token(source, static_cast<std::int32_t>(tokens.first + t), target,
                               static_cast<std::int32_t>(to_tokens.first + t));
    });
  });
}

}  // namespace folio::ops
