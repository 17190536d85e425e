// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// How precise is the host's attention over a view?

#include <folio/attention/host/reads_in_place.hpp>
#include <folio/view.hpp>
#include <utility>

namespace folio::test {

/// Whether attend multiplies the stored codes with integers of 16 bits.
template <class Quantizer, class Layout>
constexpr bool in_integers(Plane plane) {
  return attention::reads_in_place<Quantizer, Layout>(plane) && Quantizer::row_format.elements >= Elements::s8;
}

/// The same of a layer's keys or values.
template <class Layer, class Layout>
constexpr bool layer_in_integers() {
  return in_integers<typename Layer::KeyQuantizer, Layout>(Plane::key) ||
         in_integers<typename Layer::ValueQuantizer, Layout>(Plane::value);
}
/// Of any layer of a view.
template <class View>
constexpr bool attends_in_integers() {
  return []<int... Group>(std::integer_sequence<int, Group...>) {
    return (layer_in_integers<LayerView<View, Group>, typename View::Layout>() || ...);
  }
  (std::make_integer_sequence<int, View::num_groups>());
}

}  // namespace folio::test
