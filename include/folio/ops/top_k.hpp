// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which tokens stay? The best by score, the first and the last. Host only, but for the order of scores.

#include <algorithm>
#include <cstdint>
#include <folio/device_view.hpp>
#include <folio/error.hpp>
#include <folio/executor.hpp>
#include <folio/quantizer/float_formats.hpp>
#include <functional>
#include <string>
#include <vector>

namespace folio::ops {

/// What top_k chooses from rows of scores. The same for the host and the device.
struct TopKOptions {
  std::int32_t k = 0;           ///< tokens to keep of each row; of a shorter one all
  std::int32_t max_tokens = 0;  ///< floats from one row of scores to the next
  std::int32_t heads = 1;       ///< rows of a sequence: kv heads, or 1
  std::int32_t layers = 1;      ///< rows are [layers][num_sequences][heads]
  std::int32_t sinks = 0;       ///< first tokens that are kept whatever their score
  std::int32_t recent = 0;      ///< last tokens that are kept whatever their score
  std::int32_t group = 0;       ///< the layer group of whose tokens the scores are
};

namespace detail {

/// A number that grows with the place of a token in the order of what to keep: those that are always kept first, then
/// by score. -0 is 0; a NaN is less than everything.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::uint32_t retention_order(float score, std::int32_t token,
                                                                        std::int32_t num_tokens,
                                                                        TopKOptions const& options) {
  if (token < options.sinks || token >= num_tokens - options.recent) return 0xFFFFFFFFU;
  if (is_nan(score)) return 0;
  std::uint32_t const bits = score == 0 ? 0 : to_bits(score);
  return (bits >> 31) != 0 ? ~bits : bits | 0x80000000U;
}

inline void check_top_k(TopKOptions const& options) {
  if (options.k < 0 || options.sinks < 0 || options.recent < 0 || options.heads < 1 || options.layers < 1 ||
      options.max_tokens < 1)
    throw Error("folio: TopKOptions has a negative number, or no layers, heads or max_tokens");
  if (options.sinks > options.k || options.recent > options.k - options.sinks)
    throw Error("folio: " + std::to_string(options.k) + " tokens to keep have no room for the first " +
                std::to_string(options.sinks) + " and the last " + std::to_string(options.recent) +
                "; give a larger k");
}

/// How many tokens of sequence `i` the scores are of.
template <class View>
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t num_scored(View const& view, TopKOptions const& options,
                                                                  std::int32_t i) {
  return view.group(View::num_groups == 1 ? 0 : options.group).lengths[i];
}

template <class View>
void check_top_k_group(TopKOptions const& options) {
  if (options.group < 0 || options.group >= View::num_groups)
    throw Error("folio: the model has " + std::to_string(View::num_groups) + " layer groups, so no group " +
                std::to_string(options.group) + " (TopKOptions::group)");
}

/// One row. `orders` has room for num_tokens numbers. Returns how many are kept.
inline std::int32_t top_k_of(float const* scores, std::int32_t num_tokens, TopKOptions const& options,
                             std::vector<std::uint32_t>& orders, std::int32_t* kept) {
  std::int32_t const count = std::min(options.k, num_tokens);
  if (count == 0) return 0;
  auto const order = [&](std::int32_t t) { return retention_order(scores[t], t, num_tokens, options); };
  orders.resize(static_cast<std::size_t>(num_tokens));
  for (std::int32_t t = 0; t < num_tokens; ++t) orders[static_cast<std::size_t>(t)] = order(t);
  auto const last = orders.begin() + (count - 1);
  std::nth_element(orders.begin(), last, orders.end(), std::greater<>());
  std::uint32_t const threshold = *last;
  // Of those that tie with the last one, the lower tokens.
  auto ties = count - std::count_if(orders.begin(), last, [&](std::uint32_t o) { return o > threshold; });
  std::int32_t n = 0;
  for (std::int32_t t = 0; t < num_tokens; ++t) {
    std::uint32_t const mine = order(t);
    if (mine > threshold || (mine == threshold && ties-- > 0)) kept[n++] = t;
  }
  return count;
}

}  // namespace detail

/// Top-k: the k tokens with the highest scores of each row, in ascending order; of equal scores the lower tokens. The
/// first `sinks` and the last `recent` tokens of a sequence are always among them. A NaN is the lowest score.
///
/// `scores`: [layers][view.num_sequences()][heads][max_tokens], as accumulate_scores leaves them; of each row as many
/// as the options' group stores tokens of the sequence are read. `kept`: [layers][num_sequences][heads][k], -1 after a
/// row's count; `counts`: [layers][num_sequences][heads], the smaller of k and the length. Throws Error, before
/// anything is written, for options that contradict each other or a sequence longer than a row. Cost: O(tokens) a row.
/// Rows are shared over `threads`.
template <class View>
void top_k(View const& view, float const* scores, TopKOptions const& options, std::int32_t* kept, std::int32_t* counts,
           Executor threads = {}) requires(!is_device_view<View>) {
  detail::check_top_k(options);
  detail::check_top_k_group<View>(options);
  auto const num_tokens = [&](std::int32_t i) { return detail::num_scored(view, options, i); };
  for (std::int32_t i = 0; i < view.num_sequences(); ++i)
    if (num_tokens(i) > options.max_tokens)
      throw Error("folio: a sequence of " + std::to_string(num_tokens(i)) + " tokens does not fit into rows of " +
                  std::to_string(options.max_tokens) + " scores");
  std::int64_t const num_rows = std::int64_t{options.layers} * view.num_sequences() * options.heads;
  parallel_for(threads, num_rows, [&](std::int64_t row) {
    auto const i = static_cast<std::int32_t>(row / options.heads % view.num_sequences());
    std::vector<std::uint32_t> orders;
    std::int32_t* const to = kept + row * options.k;
    counts[row] = detail::top_k_of(scores + row * options.max_tokens, num_tokens(i), options, orders, to);
    std::fill(to + counts[row], to + options.k, -1);
  });
}

}  // namespace folio::ops
