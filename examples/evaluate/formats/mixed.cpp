// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Sinks and newest tokens in f16, the others in fewer bits.

#include "make_store.hpp"

namespace evaluate {

std::unique_ptr<Store> make_mixed_int4(StoreRequest const& request) {
  return make_mixed_store<folio::Int4Rotated>(request);
}
std::unique_ptr<Store> make_mixed_int3(StoreRequest const& request) {
  return make_mixed_store<folio::Int3Rotated>(request);
}
std::unique_ptr<Store> make_mixed_int2(StoreRequest const& request) {
  return make_mixed_store<folio::Int2Rotated>(request);
}
std::unique_ptr<Store> make_mixed_k4v2(StoreRequest const& request) {
  return make_mixed_store<folio::Keys<folio::Int4Rotated>, folio::Values<folio::Int2Rotated>>(request);
}

std::unique_ptr<Store> make_tail_int2(StoreRequest const& request) {
  return make_mixed_store<folio::Int2Rotated>(request, {.sinks = 0, .recent_window = 64});
}

}  // namespace evaluate
