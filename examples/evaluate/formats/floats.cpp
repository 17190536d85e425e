// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Formats of floats.

#include "make_store.hpp"

namespace evaluate {

std::unique_ptr<Store> make_f32(StoreRequest const& request) { return make_store<folio::F32>(request); }
void round_trip_f32(float* rows, std::int64_t num_rows, std::int32_t dim) {
  round_trip<folio::F32>(rows, num_rows, dim);
}
std::unique_ptr<Store> make_f16(StoreRequest const& request) { return make_store<folio::F16>(request); }
void round_trip_f16(float* rows, std::int64_t num_rows, std::int32_t dim) {
  round_trip<folio::F16>(rows, num_rows, dim);
}
std::unique_ptr<Store> make_bf16(StoreRequest const& request) { return make_store<folio::BF16>(request); }
void round_trip_bf16(float* rows, std::int64_t num_rows, std::int32_t dim) {
  round_trip<folio::BF16>(rows, num_rows, dim);
}

}  // namespace evaluate
