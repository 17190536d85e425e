// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include "simt/runner.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "simt/kernels/planted.cuh"
#include "support/catch.hpp"

// For each planted bug: the kernel with it ends with the right fault and sentence, whatever the order of threads, and
// its twin without it passes without any report.

namespace {

using planted::Bug;
using simt::Fault;

constexpr simt::Launch one_block{.block = 64, .shared_bytes = 256, .name = "planted"};

simt::Launch with_seed(simt::Launch how, std::uint64_t seed) {
  how.seed = seed;
  return how;
}

/// Launches in several orders. `faults` are those that the order may decide between, as a missing barrier is seen as a
/// race or as uninitialized memory, whichever thread comes first.
template <class... Parameters>
void check_bug(simt::Launch const& how, std::vector<Fault> const& faults, std::string const& sentence,
               void (*good)(Parameters...), void (*bad)(Parameters...), std::type_identity_t<Parameters>... arguments) {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    CAPTURE(seed);
    REQUIRE_NOTHROW(simt::launch(with_seed(how, seed), good, arguments...));
    try {
      simt::launch(with_seed(how, seed), bad, arguments...);
      FAIL("the bug was not found");
    } catch (simt::Error const& error) {
      CAPTURE(error.what());
      bool fault_is_right = false;
      for (Fault const fault : faults) fault_is_right = fault_is_right || error.fault() == fault;
      REQUIRE(fault_is_right);
      REQUIRE_THAT(error.what(), folio::test::contains(std::string("kernel 'planted', block (")));
      REQUIRE_THAT(error.what(), folio::test::contains(sentence));
    }
  }
}

#define BUG(kernel) planted::kernel<Bug::none>, planted::kernel<Bug::planted>

simt::Buffer<int> ints(std::size_t size = 128) { return simt::Buffer<int>(std::vector<int>(size, 1), "ints"); }

}  // namespace

TEST_CASE("A missing barrier between writing and reading is found") {
  if (!simt::checks_memory()) FOLIO_SKIP("this runner does not check memory");
  auto const in = ints(), out = ints();
  simt::Launch how = one_block;
  how.grid = 2;
  check_bug(how, {Fault::race, Fault::uninitialized}, "of the shared memory, which ", BUG(reverse), in.data(),
            out.data());
}

TEST_CASE("A missing barrier between reading and writing again is found") {
  if (!simt::checks_memory()) FOLIO_SKIP("this runner does not check memory");
  auto const data = ints();
  check_bug(one_block, {Fault::race}, "and nothing orders the two; ", BUG(smooth), data.data(), 3);
}

TEST_CASE("A write after the last slot of a block is found") {
  if (!simt::checks_memory()) FOLIO_SKIP("this runner does not check memory");
  simt::Buffer<float> const block(16 * 8, "block");
  check_bug(one_block, {Fault::out_of_bounds}, " of 'block', which has 128 elements", BUG(fill_slots), block.data(), 16,
            8);
}

TEST_CASE("A read after the end of shared memory is found") {
  if (!simt::checks_memory()) FOLIO_SKIP("this runner does not check memory");
  auto const in = ints(), out = ints();
  check_bug(one_block, {Fault::out_of_bounds},
            "thread (63,0,0): reads 4 bytes at byte 256 of the shared memory, which has 256", BUG(differences),
            in.data(), out.data());
}

TEST_CASE("A read of shared memory that nobody wrote is found") {
  if (!simt::checks_memory()) FOLIO_SKIP("this runner does not check memory");
  auto const out = ints();
  check_bug(one_block, {Fault::uninitialized},
            "reads 4 bytes at byte 8 of the shared memory, which no thread of the block has written yet",
            BUG(count_warps), out.data());
}

TEST_CASE("A barrier that half of the block reaches is found") {
  auto const out = ints();
  check_bug(one_block, {Fault::divergence}, "threads 0 to 31: in __syncthreads at planted.cuh:", BUG(barrier_in_branch),
            out.data());
}

TEST_CASE("An early return before a barrier is found, unless the launch allows it") {
  auto const in = ints(), out = ints();
  check_bug(one_block, {Fault::divergence}, "threads 50 to 63: returned. All threads of a block must reach the same",
            BUG(early_exit), in.data(), 50, out.data());
  simt::Launch how = one_block;
  how.allow_early_exit = true;
  REQUIRE_NOTHROW(simt::launch(how, planted::early_exit<Bug::planted>, in.data(), 50, out.data()));
}

TEST_CASE("A shuffle under divergence is found") {
  auto const data = ints();
  check_bug(one_block, {Fault::divergence},
            "threads 0 to 15, 32 to 47: in __shfl_xor_sync with mask 0xffffffff at planted.cuh:",
            BUG(shuffle_in_branch), data.data());
  check_bug(one_block, {Fault::divergence}, "All lanes that a mask names must make the same call",
            BUG(shuffle_in_both_branches), data.data());
}

TEST_CASE("A shuffle from a lane that the mask does not name is found") {
  auto const data = ints();
  check_bug({.block = 32, .name = "planted"}, {Fault::shuffle},
            "reads from lane 20 in __shfl_sync at planted.cuh:", BUG(shuffle_from_inactive), data.data());
}

TEST_CASE("A missing __syncwarp is found, also where a shuffle stands, which orders nothing") {
  if (!simt::checks_memory()) FOLIO_SKIP("this runner does not check memory");
  auto const data = ints();
  check_bug(one_block, {Fault::race, Fault::uninitialized}, "of the shared memory, which ", BUG(pass_on), data.data());
}

TEST_CASE("A race between warps is found") {
  if (!simt::checks_memory()) FOLIO_SKIP("this runner does not check memory");
  auto const out = ints();
  check_bug(one_block, {Fault::race, Fault::uninitialized}, "of the shared memory, which ", BUG(table), out.data());
}

TEST_CASE("A race between blocks is found") {
  if (!simt::checks_memory()) FOLIO_SKIP("this runner does not check memory");
  auto const out = ints();
  simt::Launch how = one_block;
  how.grid = 2;
  check_bug(how, {Fault::race}, "of 'ints', which block (", BUG(fill_parts), out.data(), 128);
}

TEST_CASE("A missing fence before the atomic that hands a result on is found") {
  if (!simt::checks_memory()) FOLIO_SKIP("this runner does not check memory");
  simt::Buffer<int> const partial(8, "partial"), total(1, "total");
  simt::Buffer<unsigned> const num_done(1, "num_done");
  auto const run = [&](auto kernel, std::uint64_t seed) {
    num_done[0] = 0;
    simt::launch({.grid = 8, .block = 32, .name = "planted", .seed = seed}, kernel, partial.data(), num_done.data(),
                 total.data());
  };
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    run(planted::last_block_reads<Bug::none>, seed);
    REQUIRE(total[0] == 28);
    REQUIRE_THROWS_WITH(run(planted::last_block_reads<Bug::planted>, seed),
                        folio::test::contains("of 'partial', which block ("));
  }
}

TEST_CASE("An addition that should be atomic is found") {
  if (!simt::checks_memory()) FOLIO_SKIP("this runner does not check memory");
  simt::Buffer<unsigned> const out(1, "out");
  check_bug(one_block, {Fault::race}, "byte 0 of the shared memory, which thread (", BUG(count), out.data());
}

TEST_CASE("An access that is not aligned is found") {
  if (!simt::checks_memory()) FOLIO_SKIP("this runner does not check memory");
  simt::Buffer<unsigned char> const codes(std::vector<unsigned char>(8 * 65, 1), "codes");
  auto const sums = ints();
  check_bug(one_block, {Fault::misaligned}, "of 'codes', an address that is not a multiple of 8", BUG(sums_of_eight),
            codes.data(), sums.data());
}

TEST_CASE("A missing barrier around a __shared__ variable is found") {
  if (!simt::checks_memory()) FOLIO_SKIP("this runner does not check memory");
  auto const in = ints(), out = ints();
  check_bug(one_block, {Fault::race, Fault::uninitialized}, "a __shared__ variable, which ",
            planted::reverse_static<Bug::none, 64>, planted::reverse_static<Bug::planted, 64>, in.data(), out.data());
}

TEMPLATE_TEST_CASE_SIG("A copy of a whole row after the last one is found", "", ((bool by_memcpy), by_memcpy), false,
                       true) {
  if (!simt::checks_memory()) FOLIO_SKIP("this runner does not check memory");
  simt::Buffer<planted::Row> const from(20, "from"), to(20, "to");
  check_bug(one_block, {Fault::out_of_bounds}, "24 bytes at element 20 of ", planted::copy_rows<Bug::none, by_memcpy>,
            planted::copy_rows<Bug::planted, by_memcpy>, from.data(), 20, to.data());
}
