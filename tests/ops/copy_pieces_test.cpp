// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <folio/ops/copy_pieces.hpp>
#include <folio/thread_pool.hpp>
#include <vector>

#include "support/catch.hpp"

using folio::ops::CopyPiece;

TEST_CASE("pieces of any size are copied from anywhere to anywhere, shared over threads") {
  folio::ThreadPool threads(3);
  std::vector<std::byte> from(1000), to(1000), expected(1000);
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::byte>(i * 7 / 3 + 1);
  std::vector<CopyPiece> pieces;
  for (std::size_t i = 0, bytes = 0; i + bytes < 900; i += bytes + 3, ++bytes) {
    pieces.push_back({from.data() + i, to.data() + 900 - i - bytes, static_cast<std::int64_t>(bytes)});
    std::copy_n(from.begin() + static_cast<std::ptrdiff_t>(i), bytes,
                expected.begin() + static_cast<std::ptrdiff_t>(900 - i - bytes));
  }
  folio::ops::copy_pieces(pieces, &threads);
  CHECK(to == expected);
  folio::ops::copy_pieces({});
  folio::ops::copy_pieces(std::vector<CopyPiece>{{nullptr, nullptr, 0}});
  CHECK(to == expected);
}
