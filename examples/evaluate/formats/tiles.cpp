// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Formats of whole tiles, which need a tail of tokens in f16.

#include "make_store.hpp"

namespace evaluate {

std::unique_ptr<Store> make_kivi2(StoreRequest const& request) {
  return make_mixed_store<folio::BlockSize<64>, folio::Keys<folio::Int2PerChannel<64>>,
                          folio::Values<folio::Int2Rotated>>(request, {.sinks = 0, .recent_window = 64});
}
std::unique_ptr<Store> make_mixed_kivi2(StoreRequest const& request) {
  return make_mixed_store<folio::BlockSize<64>, folio::Keys<folio::Int2PerChannel<64>>,
                          folio::Values<folio::Int2Rotated>>(request);
}
std::unique_ptr<Store> make_mixed_two_sided2(StoreRequest const& request) {
  return make_mixed_store<folio::BlockSize<64>, folio::Keys<folio::Int2TwoSidedKeys<64>>,
                          folio::Values<folio::Int2TwoSidedValues<64>>>(request);
}

}  // namespace evaluate
