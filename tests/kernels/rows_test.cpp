// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <folio/folio.hpp>
#include <folio/kernels/rows.hpp>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/strangers.hpp"

using folio::Basis;
using folio::test::random_floats;

namespace {

/// A row of any dim in a tile of its own.
template <class Q, class Layout>
void check_load_row() {
  for (std::int32_t dim = 8; dim <= 264; dim += 8) {
    CAPTURE(Q::name, Layout::name, dim);
    folio::BlockMap<Q, Q, Layout> const map{
        {.layers = 1, .kv_heads = 2, .key_dim = dim, .value_dim = dim, .block_size = 3}};
    alignas(64) static std::byte block[2 * 3 * 1100 * 2];
    std::memset(block, 0xFF, sizeof block);
    folio::Row<Q, Layout, folio::Plane::key> const row(
        block, map.extent(folio::Plane::key, folio::RowPart::code),
        block + map.plane_offset(folio::Plane::key, folio::RowPart::param) +
            Layout::param_offset(folio::Plane::key, map.extent(folio::Plane::key, folio::RowPart::param), 1, 2),
        1, 2);
    auto const source = random_floats(dim, static_cast<std::uint32_t>(dim));
    row.store(source.data(), dim);
    alignas(16) std::byte codes[1100] = {}, params[64] = {};
    Q::encode(source.data(), dim, codes, params);
    auto const size = static_cast<std::size_t>(dim);
    std::vector<float> expected(size), found(size + 1, -7.0F);
    folio::decode_row<Q>(codes, params, dim, expected.data());
    folio::ops::load_row(row, dim, found.data());
    REQUIRE(std::memcmp(found.data(), expected.data(), size * sizeof(float)) == 0);
    REQUIRE(found.back() == -7.0F);
    folio::ops::load_row(row, 8, found.data());  // the beginning alone
    REQUIRE(std::memcmp(found.data(), expected.data(), 8 * sizeof(float)) == 0);
  }
}

}  // namespace

TEST_CASE("load_row decodes rows of every length") {
  check_load_row<folio::F32, folio::LayoutHnd>();
  check_load_row<folio::F16, folio::LayoutInterleaved>();
  check_load_row<folio::Int8PerToken, folio::LayoutNhd>();
  check_load_row<folio::Int4Rotated, folio::test::ShreddedLayout>();
  check_load_row<folio::test::GroupedInt8, folio::LayoutHnd>();
}

TEST_CASE("the model's basis needs no change") {
  auto row = random_floats(64, 1);
  auto const before = row;
  folio::change_basis(Basis::model, row.data(), 64, 64);
  CHECK(row == before);
}

TEST_CASE("changing to the rotated basis is hadamard_rotate, and changing twice is nothing") {
  for (std::int32_t const dim : {8, 24, 64, 96, 128, 576}) {
    auto row = random_floats(dim, 1), rotated = row;
    auto const before = row;
    folio::hadamard_rotate(rotated.data(), dim);
    folio::change_basis(Basis::hadamard, row.data(), dim, dim);
    for (std::size_t i = 0; i < row.size(); ++i) REQUIRE(row[i] == Approx(rotated[i]).margin(1e-6));
    folio::change_basis(Basis::hadamard, row.data(), dim, dim);
    for (std::size_t i = 0; i < row.size(); ++i) REQUIRE(row[i] == Approx(before[i]).margin(1e-6));
  }
}

TEST_CASE("the beginning of a row is turned as it is in the whole row") {
  auto whole = random_floats(576, 1), beginning = whole;
  folio::change_basis(Basis::hadamard, whole.data(), 576, 576);
  folio::change_basis(Basis::hadamard, beginning.data(), 512, 576);
  CHECK(std::memcmp(whole.data(), beginning.data(), 512 * sizeof(float)) == 0);
}

TEST_CASE("a latent value is turned as the key that it is part of") {
  folio::GroupShape const latent = folio::group_shape(folio::ModelConfig{.groups = {folio::latent(64, 32)}}, 0, 4);
  folio::GroupShape const full = folio::group_shape(folio::ModelConfig{.head_dim = 64}, 0, 4);
  auto const row = random_floats(64, 1);
  auto turned_by_32 = row, turned_by_64 = row;
  folio::change_basis(Basis::hadamard, turned_by_32.data(), 64, 96);
  folio::change_basis(Basis::hadamard, turned_by_64.data(), 64, 64);
  auto const change = [&](Basis basis, folio::GroupShape const& shape) {
    auto copy = row;
    folio::ops::change_value_basis(basis, shape, copy.data());
    return copy;
  };
  CHECK(change(Basis::hadamard, latent) == turned_by_32);
  CHECK(change(Basis::model, latent) == row);
  CHECK(change(Basis::model, full) == row);
  CHECK(change(Basis::hadamard, full) == turned_by_64);
}
