// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Keys and values in formats of their own.

#include "make_store.hpp"

namespace evaluate {

std::unique_ptr<Store> make_k8v4(StoreRequest const& request) {
  return make_store<folio::Keys<folio::Int8PerToken>, folio::Values<folio::Int4Rotated>>(request);
}
std::unique_ptr<Store> make_k4v8(StoreRequest const& request) {
  return make_store<folio::Keys<folio::Int4Rotated>, folio::Values<folio::Int8PerToken>>(request);
}
std::unique_ptr<Store> make_k4v2(StoreRequest const& request) {
  return make_store<folio::Keys<folio::Int4Rotated>, folio::Values<folio::Int2Rotated>>(request);
}
std::unique_ptr<Store> make_k2v4(StoreRequest const& request) {
  return make_store<folio::Keys<folio::Int2Rotated>, folio::Values<folio::Int4Rotated>>(request);
}

}  // namespace evaluate
