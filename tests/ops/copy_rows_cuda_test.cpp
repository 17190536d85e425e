// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// copy_rows_kernel, run thread by thread on the host, against ops::copy_rows: same bytes, padding included.
#include "support/simt_cache.hpp"
//
#include <folio/ops/copy_rows.cuh>

#include "ops/two_caches.hpp"
#include "support/catch.hpp"

namespace {

using namespace folio;
using folio::test::move_everywhere, folio::test::TwinsOf;

template <class FromTwins, class ToTwins>
void copy_everywhere(std::uint32_t seed) {
  move_everywhere<FromTwins, ToTwins>(
      seed, [](auto const&... arguments) { ops::copy_rows(arguments...); }, true);
}

}  // namespace

TEST_CASE(
    "rows are copied on the device as on the host, between blocks of any size, in every kind of format and layout") {
  copy_everywhere<TwinsOf<F32, BlockSizes<16, 8, 4>>, TwinsOf<F32, BlockSize<5>>>(1);
  copy_everywhere<TwinsOf<BF16, LayoutInterleaved>, TwinsOf<BF16, LayoutInterleaved, BlockSize<4>>>(2);
  copy_everywhere<TwinsOf<Int8PerToken, LayoutNhd>, TwinsOf<Int8PerToken, LayoutNhd, BlockSizes<2, 6, 16>>>(3);
  copy_everywhere<TwinsOf<Keys<Int8PerToken>, Values<F16>>, TwinsOf<Keys<Int8PerToken>, Values<F16>>>(4);
  using Mixed = Keys<F16, Int8PerToken, BF16>;
  copy_everywhere<TwinsOf<Mixed, Values<F32>>, TwinsOf<Mixed, Values<F32>, BlockSize<4>>>(5);
}
