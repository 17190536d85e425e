// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/allocator/huge_page.hpp>
#include <folio/detail/policy_set.hpp>
#include <folio/layout/interleaved.hpp>
#include <folio/layout/nhd.hpp>
#include <folio/models.hpp>
#include <folio/quantizer/int_formats.hpp>
#include <string>
#include <type_traits>

#include "support/catch.hpp"
#include "support/strangers.hpp"

using folio::PolicyKind;
using folio::PolicySet;

namespace {

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};
using TinyModel = folio::Model<tiny>;

}  // namespace

TEST_CASE("every policy is recognised by the question that it answers") {
  STATIC_REQUIRE(folio::kind_of<TinyModel>() == PolicyKind::model);
  STATIC_REQUIRE(folio::kind_of<folio::BlockSize<16>>() == PolicyKind::block_size);
  STATIC_REQUIRE(folio::kind_of<folio::BlockSizes<16, 64>>() == PolicyKind::block_size);
  STATIC_REQUIRE(folio::kind_of<folio::F16>() == PolicyKind::quantizer);
  STATIC_REQUIRE(folio::kind_of<folio::Int4Rotated>() == PolicyKind::quantizer);
  STATIC_REQUIRE(folio::kind_of<folio::Keys<folio::F16>>() == PolicyKind::keys);
  STATIC_REQUIRE(folio::kind_of<folio::Values<folio::F16>>() == PolicyKind::values);
  STATIC_REQUIRE(folio::kind_of<folio::LayoutInterleaved>() == PolicyKind::layout);
  STATIC_REQUIRE(folio::kind_of<folio::HugePageAllocator>() == PolicyKind::allocator);
}

TEST_CASE("a stranger's policies are recognised as well") {
  STATIC_REQUIRE(folio::kind_of<folio::test::GroupedInt8>() == PolicyKind::quantizer);
  STATIC_REQUIRE(folio::kind_of<folio::test::SwizzledLayout>() == PolicyKind::layout);
  STATIC_REQUIRE(folio::kind_of<folio::test::LedgerAllocator>() == PolicyKind::allocator);
}

TEST_CASE("what answers no question is unknown") {
  STATIC_REQUIRE(folio::kind_of<int>() == PolicyKind::unknown);
  STATIC_REQUIRE(folio::kind_of<void*>() == PolicyKind::unknown);
  STATIC_REQUIRE(folio::kind_of<std::string>() == PolicyKind::unknown);
  STATIC_REQUIRE(folio::kind_of<folio::GroupShape>() == PolicyKind::unknown);
}

TEST_CASE("a missing policy takes the documented default") {
  using Set = PolicySet<TinyModel>;
  STATIC_REQUIRE(std::is_same_v<Set::Blocks, folio::BlockSize<16>>);
  STATIC_REQUIRE(std::is_same_v<Set::KeyQuantizer, folio::F16>);
  STATIC_REQUIRE(std::is_same_v<Set::ValueQuantizer, folio::F16>);
  STATIC_REQUIRE(std::is_same_v<Set::Layout, folio::LayoutHnd>);
  STATIC_REQUIRE(std::is_same_v<Set::Allocator, folio::HostAllocator>);
  STATIC_REQUIRE(Set::has_model);
  STATIC_REQUIRE_FALSE(PolicySet<>::has_model);
}

TEST_CASE("the order of policies does not matter") {
  using A = PolicySet<TinyModel, folio::BlockSize<8>, folio::Int8PerToken, folio::LayoutNhd, folio::HugePageAllocator>;
  using B = PolicySet<folio::HugePageAllocator, folio::LayoutNhd, folio::Int8PerToken, folio::BlockSize<8>, TinyModel>;
  using C = PolicySet<folio::LayoutNhd, TinyModel, folio::HugePageAllocator, folio::BlockSize<8>, folio::Int8PerToken>;
  STATIC_REQUIRE(std::is_same_v<A::ModelType, TinyModel>);
  STATIC_REQUIRE(std::is_same_v<A::Blocks, folio::BlockSize<8>>);
  STATIC_REQUIRE(std::is_same_v<A::KeyQuantizer, folio::Int8PerToken>);
  STATIC_REQUIRE(std::is_same_v<A::Layout, folio::LayoutNhd>);
  STATIC_REQUIRE(std::is_same_v<A::Allocator, folio::HugePageAllocator>);
  STATIC_REQUIRE((std::is_same_v<B::ModelType, TinyModel> && std::is_same_v<C::ModelType, TinyModel>));
  STATIC_REQUIRE((std::is_same_v<B::Blocks, A::Blocks> && std::is_same_v<C::Blocks, A::Blocks>));
  STATIC_REQUIRE(
      (std::is_same_v<B::KeyQuantizer, A::KeyQuantizer> && std::is_same_v<C::ValueQuantizer, A::ValueQuantizer>));
  STATIC_REQUIRE((std::is_same_v<B::Layout, A::Layout> && std::is_same_v<C::Layout, A::Layout>));
  STATIC_REQUIRE((std::is_same_v<B::Allocator, A::Allocator> && std::is_same_v<C::Allocator, A::Allocator>));
}

TEST_CASE("keys and values can be stored apart, or one of them") {
  using Both = PolicySet<TinyModel, folio::Values<folio::Int4Rotated>, folio::Keys<folio::Int8PerToken>>;
  STATIC_REQUIRE(std::is_same_v<Both::KeyQuantizer, folio::Int8PerToken>);
  STATIC_REQUIRE(std::is_same_v<Both::ValueQuantizer, folio::Int4Rotated>);
  using OnlyValues = PolicySet<folio::Values<folio::Int4Rotated>, TinyModel>;
  STATIC_REQUIRE(std::is_same_v<OnlyValues::KeyQuantizer, folio::F16>);
  STATIC_REQUIRE(std::is_same_v<OnlyValues::ValueQuantizer, folio::Int4Rotated>);
  using KeysAndTheRest = PolicySet<folio::Int8PerToken, folio::Keys<folio::F16>, TinyModel>;
  STATIC_REQUIRE(std::is_same_v<KeysAndTheRest::KeyQuantizer, folio::F16>);
  STATIC_REQUIRE(std::is_same_v<KeysAndTheRest::ValueQuantizer, folio::Int8PerToken>);
}

TEST_CASE("a quantizer beside Keys and Values has nothing to store") {
  using namespace folio;
  STATIC_REQUIRE(PolicySet<TinyModel, F16, Keys<F16>, Values<F16>>::has_idle_quantizer);
  STATIC_REQUIRE_FALSE(PolicySet<TinyModel, F16, Keys<F16>>::has_idle_quantizer);
  STATIC_REQUIRE_FALSE(PolicySet<TinyModel, Keys<F16>, Values<F16>>::has_idle_quantizer);
}

TEST_CASE("policies of one kind are counted") {
  using Twice = PolicySet<TinyModel, folio::F16, folio::LayoutNhd, folio::LayoutHnd, folio::LayoutNhd, int>;
  STATIC_REQUIRE(Twice::count<PolicyKind::layout> == 3);
  STATIC_REQUIRE(Twice::count<PolicyKind::quantizer> == 1);
  STATIC_REQUIRE(Twice::count<PolicyKind::allocator> == 0);
  STATIC_REQUIRE(Twice::count<PolicyKind::unknown> == 1);
}

TEST_CASE("a rotation fits a latent whose rank is made of whole blocks of it") {
  constexpr folio::ModelConfig fits{.groups = {folio::full_attention(), folio::latent(512, 64)}};
  constexpr folio::ModelConfig crosses{.groups = {folio::full_attention(), folio::latent(72, 56)}};  // one block of 128
  STATIC_REQUIRE(folio::latent_fits_rotation<folio::Int4Rotated, fits>());
  STATIC_REQUIRE(folio::latent_fits_rotation<folio::Int4Rotated, folio::models::deepseek_v3>());
  STATIC_REQUIRE(folio::latent_fits_rotation<folio::Int4Rotated, tiny>());
  STATIC_REQUIRE_FALSE(folio::latent_fits_rotation<folio::Int4Rotated, crosses>());
  STATIC_REQUIRE(folio::latent_fits_rotation<folio::F16, crosses>());
  using One = folio::Formats<folio::Int4Rotated, folio::F16>;
  using Other = folio::Formats<folio::F16, folio::Int4Rotated>;
  STATIC_REQUIRE(folio::latent_fits_rotation<One, crosses>());
  STATIC_REQUIRE_FALSE(folio::latent_fits_rotation<Other, crosses>());
}
