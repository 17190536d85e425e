// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Integers of 3 and 2 bits.

#include "make_store.hpp"

namespace evaluate {

std::unique_ptr<Store> make_int3(StoreRequest const& request) { return make_store<folio::Int3Rotated>(request); }
void round_trip_int3(float* rows, std::int64_t num_rows, std::int32_t dim) {
  round_trip<folio::Int3Rotated>(rows, num_rows, dim);
}
std::unique_ptr<Store> make_int2(StoreRequest const& request) { return make_store<folio::Int2Rotated>(request); }
void round_trip_int2(float* rows, std::int64_t num_rows, std::int32_t dim) {
  round_trip<folio::Int2Rotated>(rows, num_rows, dim);
}

}  // namespace evaluate
