// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include "simt/runner.hpp"
//
#include <folio/kernels/element.cuh>

#include "support/catch.hpp"

using namespace folio::ops;
using folio::BFloat16, folio::Half;

TEST_CASE("activations are read exactly and written as the nearest number of their format") {
  CHECK(load_element(1.25F) == 1.25F);
  CHECK(load_element(Half{0x3C00}) == 1.0F);
  CHECK(load_element(Half{0xC580}) == -5.5F);
  CHECK(load_element(BFloat16{0x3F80}) == 1.0F);
  CHECK(load_element(BFloat16{0xC0B0}) == -5.5F);

  Half half{};
  store_element(1.0F + 0x1p-11F, half);  // half a step above 1: ties to even
  CHECK(half.bits == 0x3C00);
  store_element(1.0F + 0x1.8p-10F, half);
  CHECK(half.bits == 0x3C02);
  BFloat16 brain{};
  store_element(1.0F + 0x1p-8F, brain);
  CHECK(brain.bits == 0x3F80);
  store_element(1e30F, brain);
  CHECK(load_element(brain) == Approx(1e30).epsilon(0.004));
  float same = 0;
  store_element(0.1F, same);
  CHECK(same == 0.1F);
}
