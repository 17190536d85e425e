// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <folio/attention/own_tokens.hpp>

#include "support/catch.hpp"

using namespace folio;

TEST_CASE("a sequence's own tokens are its queries where these are its last tokens") {
  GroupTable table;
  CHECK(first_own_token(table, 17, 5, 3) == 12);
  CHECK(first_own_token(table, 5, 5, 0) == 0);
  CHECK(first_own_token(table, 17, 0, 3) == no_own_tokens);
}

TEST_CASE("with limits, own tokens are those whose limits end at themselves, and that have slots") {
  std::int32_t const limits[] = {3, 4, 8, 9, 16, 17};  // two queries of each sequence
  std::int64_t const slots[] = {-1, -1, -1, -1, 70, 71};
  GroupTable table;
  table.limits = limits;
  table.slots = slots;
  CHECK(first_own_token(table, 17, 2, 4) == 15);
  CHECK(first_own_token(table, 17, 2, 2) == no_own_tokens);  // other tokens
  CHECK(first_own_token(table, 9, 2, 2) == no_own_tokens);   // of its limits, and stored elsewhere
  CHECK(first_own_token(table, 18, 2, 4) == no_own_tokens);  // before the last ones
  CHECK(first_own_token(table, 17, 0, 4) == no_own_tokens);
  table.slots = nullptr;
  CHECK(first_own_token(table, 17, 2, 4) == no_own_tokens);
}
