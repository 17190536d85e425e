// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Floats of 8 and 4 bits.

#include "make_store.hpp"

namespace evaluate {

std::unique_ptr<Store> make_fp8(StoreRequest const& request) { return make_store<folio::Fp8E4M3>(request); }
void round_trip_fp8(float* rows, std::int64_t num_rows, std::int32_t dim) {
  round_trip<folio::Fp8E4M3>(rows, num_rows, dim);
}
std::unique_ptr<Store> make_fp8_e5m2(StoreRequest const& request) { return make_store<folio::Fp8E5M2>(request); }
void round_trip_fp8_e5m2(float* rows, std::int64_t num_rows, std::int32_t dim) {
  round_trip<folio::Fp8E5M2>(rows, num_rows, dim);
}
std::unique_ptr<Store> make_nvfp4(StoreRequest const& request) { return make_store<folio::Nvfp4>(request); }
void round_trip_nvfp4(float* rows, std::int64_t num_rows, std::int32_t dim) {
  round_trip<folio::Nvfp4>(rows, num_rows, dim);
}
std::unique_ptr<Store> make_nvfp4_4over6(StoreRequest const& request) {
  return make_store<folio::Nvfp4FourOverSix>(request);
}
void round_trip_nvfp4_4over6(float* rows, std::int64_t num_rows, std::int32_t dim) {
  round_trip<folio::Nvfp4FourOverSix>(rows, num_rows, dim);
}
std::unique_ptr<Store> make_mxfp4(StoreRequest const& request) { return make_store<folio::Mxfp4>(request); }
void round_trip_mxfp4(float* rows, std::int64_t num_rows, std::int32_t dim) {
  round_trip<folio::Mxfp4>(rows, num_rows, dim);
}

}  // namespace evaluate
