// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The attention of a hybrid model, with three layouts: nine groups of layers more, in the format of attention.hpp.
#include "attention.hpp"

namespace compile_time {

template <class Layout>
void attend(View<hybrid, Layout> const& view, float const* q, float* out) {
  ops::attend(view, 0, AttentionIo{q, 2, out});
}
template void attend<LayoutHnd>(View<hybrid, LayoutHnd> const&, float const*, float*);
template void attend<LayoutNhd>(View<hybrid, LayoutNhd> const&, float const*, float*);
template void attend<LayoutInterleaved>(View<hybrid, LayoutInterleaved> const&, float const*, float*);

}  // namespace compile_time
