// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <folio/allocator/functions.hpp>
#include <folio/kv_cache.hpp>
#include <folio/quantizer/f32.hpp>
#include <new>

#include "conformance/allocator_suite.hpp"
#include "support/catch.hpp"

using folio::Accessibility;
using folio::FunctionAllocator;

namespace {

FunctionAllocator<Accessibility::host> from_malloc() {
  return {[](std::size_t bytes, std::size_t alignment) -> void* {
            if (bytes > std::size_t{1} << 40) return nullptr;
            return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
          },
          [](void* pointer, std::size_t) { std::free(pointer); }};
}

constexpr folio::ModelConfig tiny{.layers = 1, .kv_heads = 1, .head_dim = 8};

}  // namespace

TEST_CASE("two functions make an allocator") { folio::test::allocator_suite(from_malloc); }

TEST_CASE("the functions get the bytes of each pool, and get them back") {
  std::vector<std::size_t> asked, returned;
  {
    FunctionAllocator<Accessibility::host> allocator(
        [&](std::size_t bytes, std::size_t alignment) -> void* {
          asked = {bytes, alignment};
          return std::aligned_alloc(alignment, bytes);
        },
        [&](void* pointer, std::size_t bytes) {
          returned = {bytes};
          std::free(pointer);
        });
    folio::KvCache<folio::Model<tiny>, folio::BlockSize<4>, folio::F32, FunctionAllocator<Accessibility::host>> const
        cache(folio::CacheConfig{.num_blocks = {3}}, allocator);
    CHECK(asked == std::vector<std::size_t>{4U * 256U, 64U});
    CHECK(returned.empty());
  }
  CHECK(returned == std::vector<std::size_t>{4U * 256U});
}

TEST_CASE("memory that is not aligned is refused, and given back") {
  alignas(64) static std::byte memory[256];
  std::vector<void*> returned;
  FunctionAllocator<Accessibility::host> allocator([](std::size_t, std::size_t) -> void* { return memory + 8; },
                                                   [&](void* pointer, std::size_t bytes) {
                                                     CHECK(bytes == 100);
                                                     returned.push_back(pointer);
                                                   });
  CHECK_THROWS_WITH(allocator.allocate(100, 64), folio::test::contains("not aligned to 64 bytes"));
  CHECK(returned == std::vector<void*>{memory + 8});
}

TEST_CASE("who can read the memory is part of the type") {
  STATIC_REQUIRE(folio::host_can_read<FunctionAllocator<Accessibility::host>>);
  STATIC_REQUIRE_FALSE(folio::device_can_read<FunctionAllocator<Accessibility::host>>);
  STATIC_REQUIRE_FALSE(folio::host_can_read<FunctionAllocator<Accessibility::device>>);
  STATIC_REQUIRE(folio::device_can_read<FunctionAllocator<Accessibility::device>>);
  STATIC_REQUIRE(folio::host_can_read<FunctionAllocator<Accessibility::both>>);
  STATIC_REQUIRE(folio::device_can_read<FunctionAllocator<Accessibility::both>>);
}
