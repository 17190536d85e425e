// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Integers of 8 bits.

#include "make_store.hpp"

namespace evaluate {

std::unique_ptr<Store> make_int8(StoreRequest const& request) { return make_store<folio::Int8PerToken>(request); }
void round_trip_int8(float* rows, std::int64_t num_rows, std::int32_t dim) {
  round_trip<folio::Int8PerToken>(rows, num_rows, dim);
}
std::unique_ptr<Store> make_int8_g32(StoreRequest const& request) {
  return make_store<folio::Int8PerGroup<32>>(request);
}
void round_trip_int8_g32(float* rows, std::int64_t num_rows, std::int32_t dim) {
  round_trip<folio::Int8PerGroup<32>>(rows, num_rows, dim);
}

}  // namespace evaluate
