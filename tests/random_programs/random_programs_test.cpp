// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Random programs over small pools, for one layout and every quantizer. FOLIO_TEST_LAYOUT is set by the build, which
// compiles this file once for each layout but LayoutNz, which takes a part of LayoutNhd's. FOLIO_PROGRAMS: how many
// programs for each quantizer (default 1000). FOLIO_SEED: from which seed. FOLIO_TEST_FORMATS_ONCE: each quantizer with
// one layout, for instrumented code, which takes three times as long to compile; f16 and k8v4 with LayoutNz.

#include <rapidcheck.h>

#include <tuple>
#include <type_traits>

#include "random_programs/host_driver.hpp"
#include "random_programs/program.hpp"
#include "support/catch.hpp"

namespace {

using folio::test::HostDriver;
using folio::test::Operation;

/// Runs many random programs; a failure is shrunk and printed with the operations that lead to it.
template <class Quantizers, class Layout = folio::FOLIO_TEST_LAYOUT>
void run_programs(char const* name) {
  folio::test::set_rapidcheck(folio::test::num_programs());
  bool const ok = rc::check(name, [] {
    using Driver = HostDriver<Quantizers, Layout>;
    auto const blocks = *folio::test::pool_sizes(std::size_t{Driver::Cache::num_lists});
    auto const program = *rc::gen::scale(
        2.0, rc::gen::container<std::vector<Operation>>(folio::test::operation(0, Driver::Cache::has_demotion)));
    folio::test::ProgramRun<Driver> run(blocks);
    try {
      run.run(program);
    } catch (std::logic_error const& difference) {
      RC_FAIL(difference.what());
    }
  });
  REQUIRE(ok);
}

using NhdOrNz = std::conditional_t<std::is_same_v<folio::FOLIO_TEST_LAYOUT, folio::LayoutNhd>, folio::LayoutNz,
                                   folio::FOLIO_TEST_LAYOUT>;

/// Runs them with one layout only: what is random here is not how rows lie.
template <class Quantizers, class Only, class Layout = folio::FOLIO_TEST_LAYOUT>
void run_programs_in(char const* name) {
  if constexpr (std::is_same_v<Only, folio::FOLIO_TEST_LAYOUT>) run_programs<Quantizers, Layout>(name);
}

/// Runs them with every layout, or with `Only`.
template <class Quantizers, class Only, class Layout = folio::FOLIO_TEST_LAYOUT>
void run_programs_once(char const* name) {
#ifdef FOLIO_TEST_FORMATS_ONCE
  run_programs_in<Quantizers, Only, Layout>(name);
#else
  run_programs<Quantizers, Layout>(name);
#endif
}

}  // namespace

using namespace folio;

TEST_CASE("random programs: f32") { run_programs_once<std::tuple<F32>, LayoutHnd>("f32"); }
TEST_CASE("random programs: f16") { run_programs_once<std::tuple<F16>, LayoutNhd, NhdOrNz>("f16"); }
TEST_CASE("random programs: bf16") { run_programs_once<std::tuple<BF16>, LayoutInterleaved>("bf16"); }
TEST_CASE("random programs: fp8") { run_programs_once<std::tuple<Fp8E4M3>, LayoutHnd>("fp8"); }
TEST_CASE("random programs: int8") { run_programs_once<std::tuple<Int8PerToken>, LayoutNhd>("int8"); }
TEST_CASE("random programs: int4") { run_programs_once<std::tuple<Int4Rotated>, LayoutInterleaved>("int4"); }
TEST_CASE("random programs: int2") { run_programs_once<std::tuple<Int2Rotated>, LayoutHnd>("int2"); }
TEST_CASE("random programs: k8v4") {
  run_programs_once<std::tuple<Keys<Int8PerToken>, Values<Int4Rotated>>, LayoutNhd, NhdOrNz>("k8v4");
}
TEST_CASE("random programs: a format for each layer group") {
  run_programs_in<std::tuple<Keys<Int4Rotated, BF16, Int8PerToken>, Values<Int8PerToken, Int2Rotated, F16>>,
                  LayoutInterleaved>("formats");
}
TEST_CASE("random programs: a format for each layer group, the exact ones demoted") {
  run_programs_in<std::tuple<Formats<Int8PerToken, Int4Rotated, F16>, Demote<Int8PerToken, BlockSizes<2, 1, 4>>>,
                  LayoutNhd>("mixed");
}
TEST_CASE("random programs: demoted to k8v4") {
  run_programs_once<std::tuple<F16, Demote<Keys<Int8PerToken>, Values<Int4Rotated>, BlockSizes<2, 1, 4>>>, LayoutHnd>(
      "demoted");
}
