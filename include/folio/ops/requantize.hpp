// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Stores tokens a second time in another format: from a cache in a float format to one that takes less memory. Host
// only.

#include <cstdint>
#include <folio/ops/rows.hpp>
#include <folio/ops/thread_pool.hpp>
#include <folio/ops/token_range.hpp>
#include <folio/ops/with_group.hpp>
#include <string>
#include <type_traits>

namespace folio::ops {

namespace detail {

/// Whether a layer can be in one group of `From` and another of `To`, and its rows fit, as far as the types tell.
template <class From, class To>
[[nodiscard]] constexpr bool groups_fit(int from_group, int to_group, GroupShape const& a, GroupShape const& b) {
  if (std::is_same_v<typename From::ModelType, typename To::ModelType>) return from_group == to_group;
  return a.values_in_keys() == b.values_in_keys() && a.key_dim == b.key_dim && a.value_dim == b.value_dim;
}

/// Calls f(from_group, from_index, to_group, to_index) with the groups of `layer` in both views as integral constants.
/// Throws Error for a layer that one of them lacks, or whose rows differ. Refuses lossy sources at compile time.
template <class From, class To, class F>
void with_groups(From const& from, To const& to, std::int32_t layer, F&& f) {
  with_group(from, layer, [&](auto from_group, std::int32_t from_index) {
    constexpr GroupShape source = From::template known_shape<from_group()>();
    static_assert(From::KeyQuantizer::bits >= 16 && (source.values_in_keys() || From::ValueQuantizer::bits >= 16),
                  "folio: what is stored in less than 16 bits would be quantized a second time, and the errors add up: "
                  "keep tokens in a float format (F16, BF16, F32) until they are demoted, or move their blocks as they "
                  "are by copy_blocks");
    with_group(to, layer, [&](auto to_group, std::int32_t to_index) {
      // Not `source`: nvcc 13 takes no constant of the lambda around this one.
      if constexpr (groups_fit<From, To>(from_group(), to_group(), From::template known_shape<from_group()>(),
                                         To::template known_shape<to_group()>())) {
        if (from.group(from_group()).shape.kv_heads == to.group(to_group()).shape.kv_heads)
          return f(from_group, from_index, to_group, to_index);
      }
      GroupShape const& a = from.group(from_group()).shape;
      GroupShape const& b = to.group(to_group()).shape;
      auto const words = [](GroupShape const& s) {
        return std::to_string(s.kv_heads) + (s.values_in_keys() ? " latent" : "") + " kv heads of " +
               std::to_string(s.key_dim) + " and " + std::to_string(s.value_dim) + " dims";
      };
      throw Error("folio: requantize needs two caches of the same model, but layer " + std::to_string(layer) + " has " +
                  words(a) + " here and " + words(b) + " there");
    });
  });
}

/// One row: decoded, turned to the model's basis, encoded once.
template <QuantizerPolicy FromQuantizer, class FromRow, class ToRow>
void requantize_row(FromRow const& from, ToRow const& to, std::int32_t dim) {
  float row[max_row_dim];
  load_row(from, dim, row);
  change_basis(FromQuantizer::basis, row, dim, dim);
  to.store(row, dim);
}

}  // namespace detail

/// Demotes tokens: decodes tokens [first_token, first_token + num_tokens) of sequence `i` of `from` in one layer, and
/// encodes them into tokens [to_token, to_token + num_tokens) of sequence `j` of `to`, a batch of another cache or the
/// same. The caches are of the same model; formats, layouts and block sizes may differ.
///
/// What is written is what append would have written from the decoded floats. Sources in fewer than 16 bits are refused
/// at compile time, because they would be quantized twice. Throws Error, before anything is written, for sequences, a
/// layer or ranges that do not exist, for tokens given back behind a window, or when the layer's rows differ in size.
/// Cost: one pass over the rows, each read and written once. Tokens are shared over `threads`; no slot is both read and
/// written, and nobody else may read or write the target's slots meanwhile.
template <class From, class To>
requires(!is_device_view<From> && !is_device_view<To>)  // a stream that is nullptr is not taken for threads
    void requantize(From const& from, std::int32_t i, std::int32_t layer, std::int32_t first_token,
                    std::int32_t num_tokens, To const& to, std::int32_t j, std::int32_t to_token,
                    ThreadPool* threads = nullptr) {
  check_sequence(from, i);
  check_sequence(to, j);
  detail::with_groups(from, to, layer, [&](auto from_group, std::int32_t from_index, auto to_group, auto to_index) {
    auto const source = from.template sequence_in<from_group()>(i, from_index);
    auto const target = to.template sequence_in<to_group()>(j, to_index);
    check_tokens(source, first_token, num_tokens);
    check_tokens(target, to_token, num_tokens);
    GroupShape const shape = source.shape();
    parallel_for(threads, num_tokens, [&](std::int64_t t) {
      auto const read = static_cast<std::int32_t>(first_token + t), write = static_cast<std::int32_t>(to_token + t);
      for (std::int32_t head = 0; head < shape.kv_heads; ++head) {
        detail::requantize_row<typename From::KeyQuantizer>(source.key(head, read), target.key(head, write),
                                                            shape.key_dim);
        if constexpr (!From::template known_shape<from_group()>().values_in_keys())
          detail::requantize_row<typename From::ValueQuantizer>(source.value(head, read), target.value(head, write),
                                                                shape.value_dim);
      }
    });
  });
}

}  // namespace folio::ops
