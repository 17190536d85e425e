// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The random programs on caches in device memory, under streams that run late. Each format with one layout; layouts and
// allocators change from format to format, and three of them keep prefixes. FOLIO_PROGRAMS / 20 programs each, from
// FOLIO_SEED.
#include "random_programs/device_driver.hpp"
//
#include <rapidcheck.h>

#include <folio/allocator/device.cuh>
#include <folio/allocator/managed.cuh>
#include <folio/allocator/virtual.cuh>
#include <tuple>

#include "random_programs/host_driver.hpp"
#include "random_programs/program.hpp"

namespace {

using namespace folio;
using folio::test::DeviceDriver;
using folio::test::HostDriver;
using folio::test::Operation;
using folio::test::PrefixCounts;
using folio::test::ProgramRun;

/// A new allocator for each program, which gives everything back.
template <class Allocator>
Allocator make_allocator() {
  if constexpr (std::is_same_v<Allocator, VirtualAllocator>)
    return VirtualAllocator(1 << 20, 0, 1);
  else
    return Allocator();
}

/// The operations of all programs, and with a weight for them those that only the device has. Returns what those met
/// that keep prefixes, which are longer.
template <class Quantizers, class Layout, class Allocator, std::size_t weight_of_device_operations>
PrefixCounts run_programs(char const* name) {
  using Driver = DeviceDriver<Quantizers, Layout, Allocator>;
  constexpr bool prefixes = Driver::Cache::has_prefixes;
  PrefixCounts counts;
  folio::test::set_rapidcheck(std::max(folio::test::num_programs() / 20, 5));
  bool const ok = rc::check(name, [&] {
    auto const blocks = *folio::test::pool_sizes(std::size_t{Driver::Cache::num_lists}, prefixes);
    auto const program =
        *rc::gen::scale(prefixes ? 2.9 : 1.0, rc::gen::container<std::vector<Operation>>(folio::test::operation(
                                                  weight_of_device_operations, Driver::Cache::has_demotion, prefixes)));
    auto const seed = *rc::gen::inRange<std::uint64_t>(0, 1000);
    simt::streams(seed);
    auto const before = folio::test::leaks();
    try {
      ProgramRun<Driver> device(blocks, make_allocator<Allocator>(), seed);
      device.run(program, true);
      counts += device.counts();
      if constexpr (weight_of_device_operations == 0) {
        ProgramRun<HostDriver<Quantizers, Layout>> host(blocks);
        host.run(program, true);
        RC_ASSERT(device.trace() == host.trace());
      }
    } catch (std::logic_error const& difference) {
      RC_FAIL(difference.what());
    } catch (simt::Error const& error) {
      RC_FAIL(error.what());
    }
    RC_ASSERT(folio::test::leaks() == before);
  });
  REQUIRE(ok);
  return counts;
}

/// Sees that CI's own programs of a format met everything: chance decides what others meet.
void expect_met(PrefixCounts const& counts, bool demotes) {
  if (std::getenv("FOLIO_SEED") != nullptr || std::getenv("FOLIO_PROGRAMS") != nullptr) return;
  CHECK(counts.steps > 3400);
  CHECK(counts.found > 150);
  CHECK(counts.found_parts > 100);
  CHECK(counts.found_demoted >= (demotes ? 5 : 0));
  CHECK(counts.merged_blocks > 20);
  CHECK(counts.evicted_units > 50);
  CHECK(counts.evicted_under_forks > 5);
  CHECK(counts.evicted_under_copies > 5);
  CHECK(counts.evicted_sources > 2);
}

}  // namespace

TEST_CASE("random programs on the device: f32, with prefixes") {
  expect_met(run_programs<std::tuple<F32, LruEviction>, LayoutHnd, DeviceAllocator, 0>("f32"), false);
}
TEST_CASE("random programs on the device: f16") { run_programs<std::tuple<F16>, LayoutNhd, DeviceAllocator, 1>("f16"); }
TEST_CASE("random programs on the device: bf16") {
  run_programs<std::tuple<BF16>, LayoutInterleaved, ManagedAllocator, 1>("bf16");
}
TEST_CASE("random programs on the device: fp8, with prefixes") {
  expect_met(run_programs<std::tuple<Fp8E4M3, LruEviction>, LayoutNz, VirtualAllocator, 1>("fp8"), false);
}
TEST_CASE("random programs on the device: int8") {
  run_programs<std::tuple<Int8PerToken>, LayoutNhd, VirtualAllocator, 2>("int8");
}
TEST_CASE("random programs on the device: int4") {
  run_programs<std::tuple<Int4Rotated>, LayoutInterleaved, DeviceAllocator, 0>("int4");
}
TEST_CASE("random programs on the device: int2") {
  run_programs<std::tuple<Int2Rotated>, LayoutHnd, DeviceAllocator, 2>("int2");
}
TEST_CASE("random programs on the device: k8v4") {
  run_programs<std::tuple<Keys<Int8PerToken>, Values<Int4Rotated>>, LayoutNhd, VirtualAllocator, 1>("k8v4");
}
// Not moved to the host: one append would bring it back.
TEST_CASE("random programs on the device: demoted to k8v4, with prefixes") {
  expect_met(run_programs<std::tuple<Formats<F16, Int8PerToken, BF16>,
                                     Demote<Keys<Int8PerToken>, Values<Int4Rotated>, BlockSizes<2, 1, 4>>, LruEviction>,
                          LayoutNhd, DeviceAllocator, 0>("demoted"),
             true);
}
