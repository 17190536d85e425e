// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Integers of 6 bits.

#include "make_store.hpp"

namespace evaluate {

std::unique_ptr<Store> make_int6(StoreRequest const& request) { return make_store<folio::Int6PerToken>(request); }
void round_trip_int6(float* rows, std::int64_t num_rows, std::int32_t dim) {
  round_trip<folio::Int6PerToken>(rows, num_rows, dim);
}
std::unique_ptr<Store> make_int6_rotated(StoreRequest const& request) {
  return make_store<folio::Int6Rotated>(request);
}
void round_trip_int6_rotated(float* rows, std::int64_t num_rows, std::int32_t dim) {
  round_trip<folio::Int6Rotated>(rows, num_rows, dim);
}

}  // namespace evaluate
