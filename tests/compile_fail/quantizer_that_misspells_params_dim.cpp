// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/quantizer/f16.hpp>

struct Mine : folio::F16 {
  static constexpr std::int32_t param_bytes(std::int32_t dim) { return (dim + 31) / 32 * 4; }
#ifdef FOLIO_EXPECT_OK
  static constexpr std::int32_t params_dim = 32;
#else
  static constexpr std::int32_t param_dim = 32;
#endif
};
// expected-error: says_what_shares_parameters
static_assert(folio::QuantizerPolicy<Mine>);
