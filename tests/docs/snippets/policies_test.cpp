// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The figures and defaults in docs/policies.md.
#include <folio/folio.hpp>
#include <type_traits>

#include "support/catch.hpp"

namespace {

using Llama = folio::Model<folio::models::llama3_1_8b>;

template <class... Policies>
double bytes_per_token() {
  return folio::KvCache<Llama, Policies...>(folio::CacheConfig{.num_blocks = {1}}).bytes_per_token();
}

}  // namespace

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
