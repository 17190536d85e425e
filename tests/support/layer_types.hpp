// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The types of a layer group that a test knows at run time.

#include <folio/view.hpp>
#include <utility>

namespace folio::test {

/// Calls f.template operator()<LayerView<View, g>>().
template <class View, class F>
void with_layer_type(int g, F const& f) {
  [&]<int... Group>(std::integer_sequence<int, Group...>) {
    ((Group == g ? f.template operator()<LayerView<View, Group>>() : void()), ...);
  }
  (std::make_integer_sequence<int, View::num_groups>());
}

/// The view of a cache's first lists.
template <class Cache>
using FirstViewOf = BlockTableView<typename Cache::ModelType, typename Cache::Blocks, typename Cache::KeyQuantizer,
                                   typename Cache::ValueQuantizer, typename Cache::Layout>;

/// Whether a cache says that a group demotes; by the formats, not by its lists.
template <class Cache>
[[nodiscard]] bool group_demotes(int g) {
  bool demotes = Cache::has_demotion && Cache::model.groups[g].window == 0;
  with_layer_type<FirstViewOf<Cache>>(g, [&]<class Layer>() {
    for (int const bits : {Layer::KeyQuantizer::bits, Layer::ValueQuantizer::bits}) demotes = demotes && bits >= 16;
  });
  return demotes;
}

}  // namespace folio::test
