// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Random programs over small pools, for one layout and every quantizer. FOLIO_TEST_LAYOUT is set by the build, which
// compiles this file once for each layout. FOLIO_PROGRAMS: how many programs for each quantizer (default 1000).

#include <rapidcheck.h>

#include <cstdlib>
#include <tuple>

#include "random_programs/program.hpp"
#include "support/catch.hpp"

namespace {

using folio_test::Operation;

rc::Gen<Operation> operation() {
  using rc::gen::inRange;
  // Appending and forking more often than the rest, so that pools run full and blocks are shared.
  auto const kind = rc::gen::weightedElement<Operation::Kind>({{1, Operation::create},
                                                               {6, Operation::append},
                                                               {2, Operation::append_to_all},
                                                               {3, Operation::fork},
                                                               {4, Operation::truncate},
                                                               {2, Operation::release},
                                                               {1, Operation::bad}});
  return rc::gen::construct<Operation>(kind, inRange<std::uint32_t>(0, 6), inRange<std::uint32_t>(0, 1000));
}

/// Runs many random programs; a failure is shrunk and printed with the operations that lead to it.
template <class Quantizers>
void run_programs(char const* name) {
  char const* const programs = std::getenv("FOLIO_PROGRAMS");
  std::string const count = programs != nullptr ? programs : "1000";
  // A fixed seed: a failure in CI is a failure here. Set RC_PARAMS to explore.
  setenv("RC_PARAMS", ("seed=20261120 max_success=" + count).c_str(), 0);
  bool const ok = rc::check(name, [] {
    // Each group scarce or ample, so that each runs out first in some programs.
    auto const blocks = *rc::gen::container<std::vector<std::int64_t>>(
        3, rc::gen::oneOf(rc::gen::resize(100, rc::gen::inRange<std::int64_t>(4, 10)),
                          rc::gen::resize(100, rc::gen::inRange<std::int64_t>(30, 100))));
    auto const program = *rc::gen::scale(2.0, rc::gen::container<std::vector<Operation>>(operation()));
    folio_test::ProgramRun<Quantizers, folio::FOLIO_TEST_LAYOUT> run(blocks);
    try {
      run.run(program);
    } catch (std::logic_error const& difference) {
      RC_FAIL(difference.what());
    }
  });
  REQUIRE(ok);
}

}  // namespace

using namespace folio;

TEST_CASE("random programs: f32") { run_programs<std::tuple<F32>>("f32"); }
TEST_CASE("random programs: f16") { run_programs<std::tuple<F16>>("f16"); }
TEST_CASE("random programs: bf16") { run_programs<std::tuple<BF16>>("bf16"); }
TEST_CASE("random programs: fp8") { run_programs<std::tuple<Fp8E4M3>>("fp8"); }
TEST_CASE("random programs: int8") { run_programs<std::tuple<Int8PerToken>>("int8"); }
TEST_CASE("random programs: int4") { run_programs<std::tuple<Int4Rotated>>("int4"); }
TEST_CASE("random programs: k8v4") { run_programs<std::tuple<Keys<Int8PerToken>, Values<Int4Rotated>>>("k8v4"); }
