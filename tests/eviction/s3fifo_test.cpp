// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/eviction/s3fifo.hpp>
#include <string>

#include "conformance/eviction_suite.hpp"
#include "eviction/named_leaves.hpp"
#include "support/catch.hpp"

using namespace folio;
using folio::test::contains;
using folio::test::NamedLeaves;

TEST_CASE("s3fifo is a policy of eviction") {
  folio::test::eviction_suite([] { return S3FifoEviction(); }, true, true);
}

TEST_CASE("s3fifo: a scan goes through the small queue, what was found twice stays") {
  NamedLeaves<S3FifoEviction> names;
  auto& hot = names.store("H");
  names.use(hot, 2);
  auto& warm = names.store("W");
  names.use(warm);
  std::string gone;
  for (char c = '0'; c <= '9'; ++c) {
    names.store(std::string(1, c));
    if (names.all.size() > 6) gone += names.evict();
  }
  CHECK(gone == "W01234");  // H went to the main queue; once is not enough
  CHECK(names.evict(5) == "56789");
  CHECK(names.evict() == "H");
}

TEST_CASE("s3fifo: what comes back while its key is a ghost goes to the main queue") {
  NamedLeaves<S3FifoEviction> names;
  for (char const* name : {"a", "b", "c", "d"}) names.store(name);
  CHECK(names.evict(2) == "ab");
  CHECK(names.policy.num_ghosts() == 2);
  names.store("a");
  CHECK(names.policy.num_ghosts() == 1);
  names.store("e");
  CHECK(names.evict(4) == "cdea");
}

TEST_CASE("s3fifo: the main queue gives each hit another round, and ghosts are no more than units") {
  NamedLeaves<S3FifoEviction> names;
  auto& a = names.store("a");
  auto& b = names.store("b");
  names.use(a, 3);
  names.use(b, 2);
  names.store("c");
  CHECK(names.evict() == "c");  // a and b went to the main queue
  names.use(a);
  CHECK(names.evict(2) == "ba");
  CHECK(names.policy.num_ghosts() == 0);
  CHECK_THROWS_WITH(S3FifoEviction(-0.1), contains("folio: s3fifo cannot have a small queue of -0.100000"));
}
