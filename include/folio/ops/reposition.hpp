// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Turns stored keys to other positions: RoPE on top of the RoPE that is in them. Host only, but for the arithmetic,
// which kernels share.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <folio/executor.hpp>
#include <folio/kernels/rows.hpp>
#include <folio/kernels/token_range.hpp>
#include <folio/kernels/with_group.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace folio::ops {

/// Which two of a key's rotary dims make a pair. It is a property of the model's weights.
enum class RopePairs : std::uint8_t {
  half_split,  ///< d and d + rope_dims / 2: Llama and most others as Hugging Face stores them ("neox")
  interleaved  ///< 2 d and 2 d + 1: GPT-J, DeepSeek, Llama as Meta stores it
};

/// RoPE rotation of one pair of dims.
struct alignas(8) RopeTurn {
  float cosine = 1, sine = 0;
};

/// Whether Q stores each element by itself as a float of at least 16 bits: without parameters, in whole bytes, in the
/// model's basis. Such elements are read, changed and written back at the price of one rounding, and those that were
/// not changed come out as they were.
template <QuantizerPolicy Q>
inline constexpr bool is_plain_float = Q::bits >= 16 && Q::bits % 8 == 0 &&
                                       Q::basis == Basis::model&& Q::param_bytes(max_row_dim) == 0;

/// RoPE's angle per position for each pair: base^(-2p / rope_dims), p from 0 to rope_dims / 2 - 1. Throws Error unless
/// base is positive and rope_dims even and positive. Models that stretch their context scale these (Llama 3, YaRN):
/// give the model's own.
[[nodiscard]] inline std::vector<float> rope_inverse_frequencies(double base, std::int32_t rope_dims) {
  if (!(base > 0) || rope_dims < 2 || rope_dims % 2 != 0)
    throw Error("folio: RoPE needs a positive base and an even number of dims of at least 2, not base " +
                std::to_string(base) + " and " + std::to_string(rope_dims) + " dims");
  std::vector<float> frequencies;
  for (std::int32_t p = 0; p < rope_dims / 2; ++p)
    frequencies.push_back(static_cast<float>(std::pow(base, -2.0 * p / rope_dims)));
  return frequencies;
}

/// The turns that take a key `delta` positions further, or back where it is negative, for reposition on the host and,
/// in device memory, for reposition on the device. Angles, cosines and sines are computed in double and rounded once,
/// so that a turn by a million positions is as accurate as one by 1. `inverse_frequencies`: the angle per position of
/// each pair, those that the keys were turned with. A factor on cosines and sines (YaRN's) is in the stored keys and
/// does not belong here.
[[nodiscard]] inline std::vector<RopeTurn> rope_table(std::span<float const> inverse_frequencies, std::int64_t delta) {
  std::vector<RopeTurn> table;
  for (float const frequency : inverse_frequencies) {
    double const angle = static_cast<double>(delta) * static_cast<double>(frequency);
    table.push_back({static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))});
  }
  return table;
}

namespace detail {

/// Whether keys in this format can be repositioned. A rotation mixes the dims that RoPE turns.
template <QuantizerPolicy KeyQuantizer>
inline constexpr bool keys_turn = KeyQuantizer::basis == Basis::model&& is_plain_float<KeyQuantizer>;

/// Calls f(group, index) with the group of `layer`, whose keys turn. Throws Error for another layer; does not compile
/// where no layer's do.
template <class View, class F>
void with_group_that_turns(View const& view, std::int32_t layer, F const& f) {
  static_assert(
      []<int... Group>(std::integer_sequence<int, Group...>) {
        return (keys_turn<typename LayerView<View, Group>::KeyQuantizer> || ...);
      }(std::make_integer_sequence<int, View::num_groups>()),
      "folio: turning quantized keys would quantize them a second time, and a rotated format has mixed the "
      "pairs of dims that RoPE turns: store keys before RoPE and turn them when they are read, or keep them "
      "in a float format, as in Keys<F16>");
  with_group(view, layer, [&](auto group, std::int32_t index) {
    if constexpr (keys_turn<typename LayerView<View, group()>::KeyQuantizer>)
      f(group, index);
    else
      throw Error("folio: the keys of layer " + std::to_string(layer) +
                  " are quantized, and turning them would quantize them a second time");
  });
}

/// The first of the dims that `num_turns` turns apply to. Throws Error when the layer's keys have others.
[[nodiscard]] inline std::int32_t rope_begin(GroupShape const& shape, std::int64_t num_turns) {
  std::int32_t const rotary = shape.values_in_keys() ? shape.key_dim - shape.value_dim : shape.key_dim;
  if (shape.values_in_keys() ? 2 * num_turns != rotary : num_turns < 1 || 2 * num_turns > rotary)
    throw Error("folio: the layer's keys have " + std::to_string(rotary) + " dims that can turn, so the table has " +
                (shape.values_in_keys() ? "" : "up to ") + std::to_string(rotary / 2) + " turns, not " +
                std::to_string(num_turns));
  return shape.key_dim - rotary;
}

/// a * b, rounded and finite. What saturate does to its bits keeps a compiler from fusing the multiplication with an
/// addition that follows, so that keys come to the same bytes everywhere.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr float rounded_product(float a, float b) {
  return saturate(product(a, b), 0x1.FFFFFEp127F);
}

FOLIO_HOST_DEVICE constexpr void turn_pair(float& x, float& y, RopeTurn const& turn) {
  float const old_x = x, old_y = y;
  x = rounded_product(old_x, turn.cosine) - rounded_product(old_y, turn.sine);
  y = rounded_product(old_y, turn.cosine) + rounded_product(old_x, turn.sine);
}

/// Turns all pairs of the 2 * table.size() elements at `x`.
inline void turn_row(float* x, std::span<RopeTurn const> table, RopePairs pairs) {
  std::size_t const half = table.size();
  if (pairs == RopePairs::half_split)
    for (std::size_t p = 0; p < half; ++p) turn_pair(x[p], x[half + p], table[p]);
  else
    for (std::size_t p = 0; p < half; ++p) turn_pair(x[2 * p], x[2 * p + 1], table[p]);
}

}  // namespace detail

/// RoPE repositioning (K-shift): turns the keys of `tokens` of the batch in one layer to other positions, in place: for
/// a context that moves up after dropped tokens, and for chunks that are put together elsewhere than where they were
/// computed. Values stay as they are. `tokens` are numbers among those that the layer's group stores, not positions.
///
/// `table`: rope_table(inverse frequencies, by how many positions), one turn for each pair of rotary dims, which are
/// the first 2 * table.size() dims of a key, or all; in a latent layer, those after the rank. Throws Error, before
/// anything is written, for a sequence, layer or range that does not exist, for tokens that left a window, for a table
/// of the wrong size, or a layer whose keys are quantized, for they would be quantized twice; where all layers' are, it
/// does not compile. Keys in the basis of RotationMatrices cannot be turned: RoPE's pairs are mixed there.
///
/// Each call rounds the keys once more: an element changes by up to 2^-11 of itself in F16 and 2^-8 in BF16, and in
/// every format by up to 2^-22 of its pair's length. These add up, so turn once by the whole distance.
/// A block that several sequences share is turned for all of them: make the sequence's own copy first (copy_blocks).
/// Cost: one pass over the keys. Tokens are shared over `threads`; nobody else may use these keys meanwhile.
template <class View>
void reposition(View const& view, std::int32_t layer, Tokens const& tokens, std::span<RopeTurn const> table,
                RopePairs pairs = RopePairs::half_split, Executor threads = {}) {
  check_sequence(view, tokens);
  detail::with_group_that_turns(view, layer, [&](auto group, std::int32_t index) {
    auto const sequence = view.template sequence_in<group()>(tokens.sequence, index);
    GroupShape const shape = sequence.shape();
    check_tokens(sequence, tokens);
    std::int32_t const begin = detail::rope_begin(shape, static_cast<std::int64_t>(table.size()));
    parallel_for(threads, tokens.count, [&](std::int64_t t) {
      for (std::int32_t head = 0; head < shape.kv_heads; ++head) {
        auto const key = sequence.key(head, static_cast<std::int32_t>(tokens.first + t));
        float row[max_row_dim];
        load_row(key, shape.key_dim, row);
        detail::turn_row(row + begin, table, pairs);
        key.store(row, shape.key_dim);
      }
    });
  });
}

}  // namespace folio::ops
