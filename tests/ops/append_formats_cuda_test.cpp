// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What lanes encode together in the formats that have a scale for each group, or an odd number of bits.
#include "ops/append_cases.hpp"

namespace {

using namespace folio;

template <class KeyPolicy, class ValuePolicy>
void same_rows() {
  folio::test::append_and_gather<float, Model<folio::test::hybrid>, BlockSizes<16, 8, 4>, KeyPolicy, ValuePolicy>(
      {20, 30, 60});
}

}  // namespace

TEST_CASE("groups and odd bits on the device as on the host") {
  using Grouped = IntQuantizer<4, Levels::symmetric, 16, Basis::randomized_hadamard, 90>;
  same_rows<Keys<Grouped>, Values<Int3Rotated>>();
  same_rows<Keys<Int6Rotated>, Values<Int8PerGroup<32>>>();
}

TEST_CASE("fp4 and static fp8 on the device as on the host") {
  same_rows<Keys<Nvfp4>, Values<Mxfp4>>();
  same_rows<Keys<Fp8E4M3Static>, Values<Fp8E5M2>>();
  same_rows<Keys<Nvfp4FourOverSix>, Values<Nvfp4FourOverSixStatic>>();
}

TEST_CASE("codebooks on the device as on the host") { same_rows<Keys<Iq4Nl>, Values<Iq4Nl>>(); }
