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
  LayerPlace const at = layer >= 0 ? view.place(layer) : LayerPlace{};
  if (layer < 0 || at.index >= view.group(at.group).shape.layers)
    throw Error("folio: the model has no layer " + std::to_string(layer));
  [&]<int... Group>(std::integer_sequence<int, Group...>) {
    ((at.group == Group ? f(std::integral_constant<int, Group>{}, at.index) : void()), ...);
  }
  (std::make_integer_sequence<int, View::num_groups>{});
}

}  // namespace folio::ops
