// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// From a layer number to its group, known at compile time: the first step of every bulk operation. Host only.

#include <folio/device_view.hpp>
#include <folio/error.hpp>
#include <string>
#include <type_traits>
#include <utility>

namespace folio::ops {

/// Calls f(group, index) with the group of `layer` as an integral constant and the layer's index in it, so that the
/// operation is compiled once for each group with everything that the types know. Throws Error for a layer that is not
/// of the model.
template <class View, class F>
void with_group(View const& view, std::int32_t layer, F&& f) {
  static_assert(
      !is_device_view<View>,
      "folio: this view's tables are in device memory: give the operation of ops/*.cuh, which takes a stream");
  static_assert(
      !requires { typename View::StoredView; },
      "folio: this view is of a cache with RotationMatrices: precision/rotated_ops.hpp has append, attend and gather "
      "for "
      "it; view.stored has the rows in the basis of the matrices, for operations to which that makes no difference");
  static_assert(
      requires { typename View::KeyQuantizer; } || requires { typename View::StoredView; },
      "folio: this view is of a cache that demotes, and so of two formats: precision/mixed_ops.hpp and .cuh have "
      "append, attend and gather for it; give other operations view.recent, or view.demoted");
  LayerPlace const at = layer >= 0 ? view.place(layer) : LayerPlace{};
  if (layer < 0 || at.index >= view.group(at.group).shape.layers) throw no_such_layer(layer);
  [&]<int... Group>(std::integer_sequence<int, Group...>) {
    ((at.group == Group ? f(std::integral_constant<int, Group>{}, at.index) : void()), ...);
  }
  (std::make_integer_sequence<int, View::num_groups>{});
}

namespace detail {

/// Whether a layer can be in one group of `From` and another of `To`, and its rows fit, as far as the types tell. Where
/// a pattern is given at run time, each cache of a model has its own.
template <class From, class To>
[[nodiscard]] constexpr bool groups_fit(int from_group, int to_group, GroupShape const& a, GroupShape const& b) {
  if (std::is_same_v<typename From::ModelType, typename To::ModelType> &&
      From::ModelType::config.pattern.period != dynamic)
    return from_group == to_group;
  return a.values_in_keys() == b.values_in_keys() && a.key_dim == b.key_dim && a.value_dim == b.value_dim;
}

/// Calls f(from_group, from_index, to_group, to_index) with the groups of `layer` in both views as integral constants.
/// Throws Error for a layer that one of them lacks, or whose rows differ. Refuses lossy sources, at compile time where
/// no group of `from` has others.
template <class From, class To, class F>
void with_groups(From const& from, To const& to, std::int32_t layer, F&& f) {
  static_assert(
      []<int... Group>(std::integer_sequence<int, Group...>) {
        return (has_exact_rows<LayerView<From, Group>> || ...);
      }(std::make_integer_sequence<int, From::num_groups>()),
      "folio: what is stored in less than 16 bits would be quantized a second time, and the errors add up: "
      "keep tokens in a float format (F16, BF16, F32) until they are demoted, or move their blocks as they "
      "are by copy_blocks");
  with_group(from, layer, [&](auto from_group, std::int32_t from_index) {
    if constexpr (!has_exact_rows<LayerView<From, from_group()>>) {
      throw Error("folio: layer " + std::to_string(layer) +
                  " is stored in less than 16 bits and would be quantized a second time: move its blocks as they are, "
                  "by copy_blocks");
    } else {
      with_group(to, layer, [&](auto to_group, std::int32_t to_index) {
        // Not `source`: nvcc 13 takes no constant of the lambda around this one.
        if constexpr (groups_fit<From, To>(from_group(), to_group(), From::template static_shape<from_group()>(),
                                           To::template static_shape<to_group()>())) {
          if (from.group(from_group()).shape.kv_heads == to.group(to_group()).shape.kv_heads)
            return f(from_group, from_index, to_group, to_index);
        }
        GroupShape const& a = from.group(from_group()).shape;
        GroupShape const& b = to.group(to_group()).shape;
        auto const words = [](GroupShape const& s) {
          return std::to_string(s.kv_heads) + (s.values_in_keys() ? " latent" : "") + " kv heads of " +
                 std::to_string(s.key_dim) + " and " + std::to_string(s.value_dim) + " dims";
        };
        throw Error("folio: tokens are moved between caches of one model, but layer " + std::to_string(layer) +
                    " has " + words(a) + " here and " + words(b) + " there");
      });
    }
  });
}

}  // namespace detail

}  // namespace folio::ops
