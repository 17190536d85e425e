// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kernels/row_strides.hpp>

#include "support/catch.hpp"

using folio::detail::checked_stride;
using folio::test::contains;

TEST_CASE("rows do not overlap") {
  CHECK(checked_stride(0, 256, "q") == 256);
  CHECK(checked_stride(256, 256, "q") == 256);
  CHECK(checked_stride(768, 256, "q") == 768);
  CHECK_THROWS_WITH(checked_stride(255, 256, "q"), contains("the rows of q have 256 elements"));
  CHECK_THROWS_WITH(checked_stride(-256, 256, "q"), contains("cannot begin -256 apart"));
}
