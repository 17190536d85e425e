// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Integers of 4 bits.

#include "make_store.hpp"

namespace evaluate {

std::unique_ptr<Store> make_int4(StoreRequest const& request) { return make_store<folio::Int4Rotated>(request); }
void round_trip_int4(float* rows, std::int64_t num_rows, std::int32_t dim) {
  round_trip<folio::Int4Rotated>(rows, num_rows, dim);
}
std::unique_ptr<Store> make_int4_plain(StoreRequest const& request) { return make_store<folio::Int4PerToken>(request); }
void round_trip_int4_plain(float* rows, std::int64_t num_rows, std::int32_t dim) {
  round_trip<folio::Int4PerToken>(rows, num_rows, dim);
}
std::unique_ptr<Store> make_int4_g32(StoreRequest const& request) {
  return make_store<folio::Int4PerGroup<32>>(request);
}
void round_trip_int4_g32(float* rows, std::int64_t num_rows, std::int32_t dim) {
  round_trip<folio::Int4PerGroup<32>>(rows, num_rows, dim);
}

}  // namespace evaluate
