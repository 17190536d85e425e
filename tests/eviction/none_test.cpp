// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/eviction/none.hpp>

#include "conformance/eviction_suite.hpp"
#include "eviction/named_leaves.hpp"
#include "support/catch.hpp"

TEST_CASE("none is a policy of eviction, and names nothing") {
  folio::test::eviction_suite([] { return folio::NoEviction(); }, false);
  folio::test::NamedLeaves<folio::NoEviction> names;
  names.store("a");
  CHECK(names.evict() == "");
}
