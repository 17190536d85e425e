// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/quantizer/f16.hpp>

struct Mine : folio::F16 {
#ifdef FOLIO_EXPECT_OK
  static constexpr std::int32_t param_bytes(std::int32_t) { return 4; }
#else
  static constexpr std::int32_t param_bytes(std::int32_t) { return 2; }
#endif
};
// expected-error: param_bytes.128. % 4
static_assert(folio::QuantizerPolicy<Mine>);
