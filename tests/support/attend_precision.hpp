// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// How precise is the host's attention over a view?

#include <folio/attention/host/reads_in_place.hpp>

namespace folio::test {

/// Whether attend multiplies the stored codes with integers of 16 bits.
template <class Quantizer, class Layout>
constexpr bool in_integers(Plane plane) {
  return attention::reads_in_place<Quantizer, Layout>(plane) && Quantizer::row_format.elements >= Elements::s8;
}

/// The same of a view's keys or values.
template <class View>
constexpr bool attends_in_integers() {
  return in_integers<typename View::KeyQuantizer, typename View::Layout>(Plane::key) ||
         in_integers<typename View::ValueQuantizer, typename View::Layout>(Plane::value);
}

}  // namespace folio::test
