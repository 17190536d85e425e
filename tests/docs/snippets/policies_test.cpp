// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The figures and defaults in docs/policies.md, and the allocators of docs/write_a_policy.md.
#include <cstdlib>
#include <folio/allocator/functions.hpp>
#include <folio/eviction/slru.hpp>
#include <folio/folio.hpp>
#include <folio/observe/prefix_events.hpp>
#include <type_traits>

#include "support/catch.hpp"

// [arena]
/// Blocks in a stretch of memory that the engine has already, and that both the host and the device can read.
class ArenaAllocator {
 public:
  static constexpr char const* name = "arena";
  static constexpr folio::Accessibility accessibility = folio::Accessibility::both;

  ArenaAllocator(std::byte* begin, std::int64_t bytes) : next_(begin), end_(begin + bytes) {}

  [[nodiscard]] std::byte* allocate(std::int64_t bytes, std::int64_t alignment) {
    auto const address = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(next_));
    std::int64_t const skip = (alignment - address % alignment) % alignment;
    if (bytes <= 0 || bytes > end_ - next_ - skip) throw folio::OutOfMemory(name, bytes, "the arena has less left");
    return std::exchange(next_, next_ + skip + bytes) + skip;
  }

  void deallocate(std::byte*, std::int64_t) noexcept {}  // the arena's owner has it back when the cache is gone

 private:
  std::byte *next_, *end_;
};
static_assert(folio::AllocatorPolicy<ArenaAllocator>);
// [/arena]

namespace {

using Llama = folio::Model<folio::models::llama3_1_8b>;

/// Has the functions of an RMM or cuda::mr resource, without either.
struct Resource {
  void* allocate(int stream, std::size_t bytes, std::size_t alignment) {
    last_stream = stream;
    bytes_in_use += bytes;
    return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  }
  void deallocate(int, void* pointer, std::size_t bytes, std::size_t) noexcept {
    bytes_in_use -= bytes;
    std::free(pointer);
  }
  std::size_t bytes_in_use = 0;
  int last_stream = 0;
};

template <class... Policies>
double bytes_per_token() {
  return folio::KvCache<Llama, Policies...>(folio::CacheConfig{.num_blocks = {1}}).bytes_per_token();
}

}  // namespace

TEST_CASE("policies: objects with state go to the constructor, in any order") {
  alignas(64) static std::byte arena[1 << 20];
  constexpr folio::ModelConfig small{.layers = 2, .kv_heads = 1, .head_dim = 16};
  // [with_state]
  using Recorded = folio::EventSinks<folio::PrefixRecorder>;
  folio::KvCache<folio::Model<small>, ArenaAllocator, folio::SlruEviction, Recorded> cache(
      {.num_blocks = {64}}, folio::SlruEviction(0.6),  // protects six tenths of the blocks
      ArenaAllocator(arena, sizeof arena), Recorded(folio::PrefixRecorder(1000)));
  // [/with_state]
  CHECK(cache.pool() >= arena);
  CHECK(cache.pool() < arena + sizeof arena);
  auto sequence = cache.create(16);
  cache.insert(sequence, std::vector<std::int32_t>(16));
  CHECK(cache.prefixes().sink().get<folio::PrefixRecorder>().events().size() == 1);
}

TEST_CASE("policies: bits per element at a head dim of 128") {
  STATIC_REQUIRE(folio::bits_per_element<folio::F32>(128) == 32);
  STATIC_REQUIRE(folio::bits_per_element<folio::F16>(128) == 16);
  STATIC_REQUIRE(folio::bits_per_element<folio::BF16>(128) == 16);
  STATIC_REQUIRE(folio::bits_per_element<folio::Fp8E4M3>(128) == 8.25);
  STATIC_REQUIRE(folio::bits_per_element<folio::Int8PerToken>(128) == 8.25);
  STATIC_REQUIRE(folio::bits_per_element<folio::Int4Rotated>(128) == 4.25);
  STATIC_REQUIRE(folio::bits_per_element<folio::Int2Rotated>(128) == 2.25);
}

TEST_CASE("policies: bytes per token of Llama 3.1 8B") {
  REQUIRE(bytes_per_token<folio::F32>() == 262'144);
  REQUIRE(bytes_per_token<folio::F16>() == 131'072);
  REQUIRE(bytes_per_token<folio::BF16>() == 131'072);
  REQUIRE(bytes_per_token<folio::Fp8E4M3>() == 67'584);
  REQUIRE(bytes_per_token<folio::Int8PerToken>() == 67'584);
  REQUIRE(bytes_per_token<folio::Keys<folio::Int8PerToken>, folio::Values<folio::Int4Rotated>>() == 51'200);
  REQUIRE(bytes_per_token<folio::Int4Rotated>() == 34'816);
  REQUIRE(bytes_per_token<folio::Int2Rotated>() == 18'432);
}

TEST_CASE("policies: what is not given has a default") {
  using Cache = folio::KvCache<Llama>;
  // [defaults]
  using Same = folio::KvCache<Llama, folio::BlockSize<16>, folio::F16, folio::LayoutHnd, folio::HostAllocator>;
  // [/defaults]
  STATIC_REQUIRE(std::is_same_v<Cache::View, Same::View>);
  STATIC_REQUIRE(std::is_same_v<Cache::Allocator, Same::Allocator>);
}

TEST_CASE("policies: an allocator of one's own") {
  alignas(64) static std::byte memory[1 << 16];
  constexpr folio::ModelConfig model{.layers = 1, .kv_heads = 1, .head_dim = 64};
  using Cache = folio::KvCache<folio::Model<model>, folio::F32, ArenaAllocator>;
  Cache cache({.num_blocks = {6}}, ArenaAllocator(memory + 1, sizeof(memory) - 1));
  REQUIRE(cache.pool() == memory + 64);
  REQUIRE_THROWS_AS(Cache({.num_blocks = {8}}, ArenaAllocator(memory, sizeof(memory))), folio::OutOfMemory);
  STATIC_REQUIRE(folio::host_can_read<ArenaAllocator>);
  STATIC_REQUIRE(folio::device_can_read<ArenaAllocator>);
}

TEST_CASE("policies: a resource of RMM or cuda::mr as an allocator") {
  Resource resource;
  int const stream = 7;
  {
    // [resource]
    using Device = folio::FunctionAllocator<folio::Accessibility::device>;
    Device allocator(
        [&](std::size_t bytes, std::size_t alignment) { return resource.allocate(stream, bytes, alignment); },
        [&](void* pointer, std::size_t bytes) { resource.deallocate(stream, pointer, bytes, 64); });
    folio::KvCache<Llama, folio::F16, Device> cache({.num_blocks = {100}}, allocator);
    // [/resource]
    REQUIRE(resource.last_stream == stream);
    REQUIRE(resource.bytes_in_use == static_cast<std::size_t>(cache.memory_bytes()));
  }
  REQUIRE(resource.bytes_in_use == 0);
}
