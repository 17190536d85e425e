// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <folio/folio.hpp>
#include <set>
#include <tuple>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"
#include "support/model_sequence.hpp"
#include "support/random.hpp"
#include "support/strangers.hpp"

using folio::AttentionKind;
using folio::BatchItem;
using folio::BlockId;
using folio::GroupShape;
using folio::ModelConfig;
using folio::Plane;
using folio::RowPart;
using folio::Sequence;

namespace {

/// A format of keys, one of values, and a layout.
template <class K, class V, class L>
struct StoredAs {
  using Keys = K;
  using Values = V;
  using Layout = L;
};

/// 40 dims: rows of 40, 20 and 80 bytes, which are padded, and a part of 8 elements after the whole 32.
template <std::int32_t Dim>
constexpr ModelConfig model_of{.layers = 3, .kv_heads = 2, .head_dim = Dim};

template <class F, std::int32_t Dim>
using CacheOf = folio::KvCache<folio::Model<model_of<Dim>>, folio::BlockSize<3>, folio::Keys<typename F::Keys>,
                               folio::Values<typename F::Values>, typename F::Layout>;

/// A row as it comes back when it is encoded alone, in the quantizer's basis.
template <class Q>
std::vector<float> stored_alone(std::vector<float> const& row) {
  alignas(16) std::byte codes[4096] = {}, params[256] = {};
  std::vector<float> out(row.size());
  Q::encode(row.data(), static_cast<std::int32_t>(row.size()), codes, params);
  folio::decode_row<Q>(codes, params, static_cast<std::int32_t>(row.size()), out.data());
  return out;
}

/// Whether `halves` are `expected`, rounded.
template <int N>
bool rounded(folio::Pack<folio::Half, N> const& halves, float const* expected) {
  bool same = true;
  for (int i = 0; i < N; ++i) same = same && halves[i].bits == folio::f32_to_f16(expected[i]);
  return same;
}

/// Whether load<N> gives `expected`. (Assertions are the callers': in so many templates they would take minutes to
/// compile.)
template <class Q, int N, class Row>
bool loads(Row const& row, std::vector<float> const& expected) {
  bool same = true;
  if constexpr (N * Q::bits % 8 == 0) {
    for (std::int32_t d = 0; d + N <= static_cast<std::int32_t>(expected.size()); d += N) {
      folio::Vec<N> const loaded = row.template load_in<Row::basis, N>(d);
      same = same && std::memcmp(loaded.v, expected.data() + d, sizeof loaded.v) == 0;
      same = same && rounded<N>(row.template load_in<Row::basis, N, folio::Half>(d), expected.data() + d);
      if constexpr (N <= folio::params_dim<Q>) {
        if (d / folio::params_dim<Q> != (d + N - 1) / folio::params_dim<Q>) continue;
        folio::Vec<N> const again = row.template load_in<Row::basis, N>(d, row.params(d));
        same = same && std::memcmp(again.v, loaded.v, sizeof loaded.v) == 0;
      }
    }
  }
  return same;
}

/// Whether a row reads as `expected`, in the loads that kernels use and one by one.
template <class Q, class Row>
bool reads_as(Row const& row, std::vector<float> const& expected) {
  bool same = loads<Q, 8>(row, expected) && loads<Q, 32>(row, expected);
  if constexpr (Row::basis == folio::Basis::model) {
    for (std::size_t d = 0; d < expected.size(); ++d) same = same && row[static_cast<std::int32_t>(d)] == expected[d];
    folio::Vec<8> const loaded = row.template load<8>(8);
    same = same && std::memcmp(loaded.v, expected.data() + 8, sizeof loaded.v) == 0;
  }
  return same;
}

/// Whether the pointers of a row are where the map says.
template <class Map, class Row>
bool points_where(Row const& row, std::byte* pool, Map const& map, BlockId block, std::int32_t layer, Plane plane,
                  std::int32_t head, std::int32_t slot) {
  auto const at = [&](RowPart part, std::int32_t byte) {
    return pool + map.offset(folio::to_int(block), layer, plane, part, head, slot, byte);
  };
  bool same = row.param_bytes() == at(RowPart::param, 0);
  for (std::int32_t byte = 0; byte < map.extent(plane, RowPart::code).row_bytes; ++byte)
    same = same && row.codes(byte) == at(RowPart::code, byte);
  return same;
}

/// Whether the tile of a head begins where the map says, has the bytes of its rows, and is those, where it is
/// contiguous.
template <class Layer>
bool tile_is_right(Layer const& layer, std::byte* pool, BlockId block, std::int32_t index, Plane plane, RowPart part,
                   std::int32_t head) {
  auto const map = layer.map();
  folio::PlaneExtent const rows = map.extent(plane, part);
  auto const at = [&](std::int32_t slot, std::int32_t byte) {
    return pool + map.offset(folio::to_int(block), index, plane, part, head, slot, byte);
  };
  folio::HeadTile const tile = layer.head_tile(plane, block, head, part);
  bool right = tile.bytes == std::int64_t{rows.slots} * rows.row_bytes;
  if (!tile.contiguous) return right && tile.begin == at(0, 0);
  std::set<std::byte*> bytes;
  for (std::int32_t slot = 0; slot < rows.slots; ++slot)
    for (std::int32_t byte = 0; byte < rows.row_bytes; ++byte) bytes.insert(at(slot, byte));
  return right && (bytes.empty() || (*bytes.begin() == tile.begin && *bytes.rbegin() == tile.begin + tile.bytes - 1));
}

/// Pointers of keys and values, rows of keys and values.
void check_all(std::array<bool, 4> const& right) { CHECK(right == std::array{true, true, true, true}); }

/// Writes every row of a sequence by Row::store, then reads them all.
template <class F, std::int32_t Dim>
void check_formats() {
  using Cache = CacheOf<F, Dim>;
  using KeyQ = typename F::Keys;
  using ValueQ = typename F::Values;
  INFO("keys " << F::Keys::name << ", values " << F::Values::name << ", layout " << F::Layout::name << ", dim " << Dim);
  Cache cache({.num_blocks = {4}});
  folio::test::poison(cache);
  Sequence s = cache.create(7);
  auto const batch = cache.batch({&s});
  auto const view = batch.view();
  typename Cache::template Map<0> const map{cache.shape()};
  auto const content = [&](std::int32_t layer, std::int32_t head, std::int32_t token, std::int32_t plane) {
    return folio::test::random_floats(Dim, static_cast<std::uint32_t>(((layer * 2 + head) * 7 + token) * 2 + plane), 3);
  };
  for (std::int32_t layer = 0; layer < 3; ++layer)
    for (std::int32_t head = 0; head < 2; ++head)
      for (std::int32_t token = 0; token < 7; ++token) {
        view.sequence(0, layer).key(head, token).store(content(layer, head, token, 0).data(), Dim);
        view.sequence(0, layer).value(head, token).store(content(layer, head, token, 1).data(), Dim);
      }
  for (std::int32_t layer = 0; layer < 3; ++layer) {
    auto const sequence = view.sequence(0, layer);
    for (std::int32_t head = 0; head < 2; ++head) {
      auto const tile = [&](Plane plane, RowPart part) {
        return tile_is_right(sequence.layer(), cache.pool(), s.blocks()[1], layer, plane, part, head);
      };
      check_all({tile(Plane::key, RowPart::code), tile(Plane::key, RowPart::param), tile(Plane::value, RowPart::code),
                 tile(Plane::value, RowPart::param)});
    }
    for (std::int32_t head = 0; head < 2; ++head)
      for (std::int32_t token = 0; token < 7; ++token) {
        CAPTURE(layer, head, token);
        BlockId const block = s.blocks()[static_cast<std::size_t>(token / 3)];
        auto const key = sequence.key(head, token);
        auto const value = sequence.value(head, token);
        bool const keys_point = points_where(key, cache.pool(), map, block, layer, Plane::key, head, token % 3);
        bool const values_point = points_where(value, cache.pool(), map, block, layer, Plane::value, head, token % 3);
        bool const keys_read = reads_as<KeyQ>(key, stored_alone<KeyQ>(content(layer, head, token, 0)));
        bool const values_read = reads_as<ValueQ>(value, stored_alone<ValueQ>(content(layer, head, token, 1)));
        check_all({keys_point, values_point, keys_read, values_read});
      }
  }
}

constexpr ModelConfig hybrid_model{.layers = 5,
                                   .kv_heads = 2,
                                   .head_dim = 16,
                                   .value_head_dim = 8,
                                   .groups = {folio::latent(16, 8), folio::full_attention(), folio::sliding_window(4)},
                                   .pattern = folio::repeat_groups({0, 1, 0, 2})};
using HybridCache = folio::KvCache<folio::Model<hybrid_model>, folio::BlockSizes<2, 3, 4>, folio::F32>;

constexpr ModelConfig open_window{
    .layers = 1, .kv_heads = 1, .head_dim = 8, .groups = {folio::sliding_window(folio::dynamic)}};
constexpr ModelConfig open_window_with_sinks{
    .layers = 1, .kv_heads = 1, .head_dim = 8, .groups = {folio::sliding_window(folio::dynamic, 5)}};

/// The blocks that a loop over blocks() meets, in order; their first tokens and sizes are checked on the way.
template <class SequenceView>
std::vector<std::int32_t> blocks_met(SequenceView const& sequence) {
  std::vector<std::int32_t> met;
  std::int32_t const block_size = sequence.shape().block_size;
  for (auto const block : sequence.blocks()) {
    met.push_back(block.first_token() / block_size);
    CHECK(block.first_token() % block_size == 0);
    CHECK(block.size() == std::min(block_size, sequence.num_tokens() - block.first_token()));
    CHECK(block.size() > 0);
    CHECK(block.id() == sequence.block_id(block.first_token()));
  }
  return met;
}

/// The blocks with a token that one of the queries sees.
std::vector<std::int32_t> blocks_seen(GroupShape const& shape, std::int32_t length, std::int32_t queries) {
  std::set<std::int32_t> seen;
  for (std::int32_t q = length - queries; q < length; ++q)
    for (std::int32_t t = 0; t <= q; ++t)
      if (shape.visible(q, t)) seen.insert(t / shape.block_size);
  return {seen.begin(), seen.end()};
}

template <class Cache>
void check_blocks_of_windows() {
  for (std::int32_t const window : {1, 2, 3, 4, 6, 9, 40}) {
    Cache cache({.num_blocks = {64}, .window = window});
    for (std::int32_t const step : {1, 2, 5}) {
      Sequence s = cache.create();
      while (s.num_tokens() < 30) {
        s.extend(step);
        CAPTURE(window, step, s.num_tokens());
        auto const batch = cache.batch({&s});
        auto const view = batch.view();
        auto const sequence = view.sequence(0, 0);
        REQUIRE(blocks_met(sequence) == blocks_seen(cache.shape(), s.num_tokens(), step));
        for (auto const block : sequence.blocks()) REQUIRE(block.id() != folio::null_block);
      }
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("rows come back as they were stored, where the map says, whichever way they are read", "",
                   folio::LayoutHnd, folio::LayoutNhd, folio::LayoutInterleaved, folio::test::SwizzledLayout,
                   folio::test::ShreddedLayout) {
  using namespace folio;  // each format is once that of keys and once that of values
  check_formats<StoredAs<F32, Int4Rotated, TestType>, 40>();
  check_formats<StoredAs<Int4Rotated, F16, TestType>, 40>();
  check_formats<StoredAs<F16, Int8PerToken, TestType>, 64>();
  check_formats<StoredAs<Int8PerToken, folio::test::GroupedInt8, TestType>, 40>();
  check_formats<StoredAs<folio::test::GroupedInt8, Fp8E4M3, TestType>, 64>();
  check_formats<StoredAs<Fp8E4M3, F32, TestType>, 40>();
  check_formats<StoredAs<BF16, BF16, TestType>, 40>();
}

TEMPLATE_TEST_CASE("any number of elements that are whole bytes can be loaded at once", "",
                   (StoredAs<folio::Int8PerToken, folio::F16, folio::LayoutInterleaved>),
                   (StoredAs<folio::Int4Rotated, folio::F32, folio::test::ShreddedLayout>),
                   (StoredAs<folio::F32, folio::test::GroupedInt8, folio::LayoutHnd>),
                   (StoredAs<folio::test::GroupedInt8, folio::Fp8E4M3, folio::test::SwizzledLayout>)) {
  constexpr std::int32_t dim = 240;  // a multiple of every number below but 32 and 64
  CacheOf<TestType, dim> cache({.num_blocks = {2}});
  Sequence const s = cache.create(2);
  auto const batch = cache.batch({&s});
  auto const view = batch.view();
  auto const sequence = view.sequence(0, 1);
  auto const content = folio::test::random_floats(dim, 1, 3);
  auto const check = [&]<class Q>(Q, auto const& row) {
    row.store(content.data(), dim);
    auto const expected = stored_alone<Q>(content);
    bool const same = [&]<int... N>(std::integer_sequence<int, N...>) { return (loads<Q, N>(row, expected) && ...); }
    (std::integer_sequence<int, 1, 2, 4, 5, 8, 12, 24, 32, 48, 64, 240>());
    CHECK(same);
  };
  check(typename TestType::Keys(), sequence.key(1, 1));
  check(typename TestType::Values(), sequence.value(1, 1));
}

TEST_CASE("halves are the stored ones where halves are stored, and the nearest ones elsewhere") {
  using Cache = CacheOf<StoredAs<folio::F16, folio::F32, folio::LayoutHnd>, 40>;
  Cache cache({.num_blocks = {1}});
  Sequence const s = cache.create(1);
  auto const batch = cache.batch({&s});
  auto const view = batch.view();
  auto const sequence = view.sequence(0, 0);
  for (std::size_t i = 0; i < 40; ++i) sequence.key(0, 0).codes()[2 * i] = static_cast<std::byte>(i);
  for (std::size_t i = 0; i < 40; ++i) sequence.key(0, 0).codes()[2 * i + 1] = std::byte{0x7D};  // signalling NaNs
  auto const stored = sequence.key(0, 0).load<8, folio::Half>(16);
  for (int i = 0; i < 8; ++i) CHECK(stored[i].bits == 0x7D10 + i);

  std::vector<float> row(40, 1.0F + 0x1p-11F);  // half a step above 1: ties to even
  row[1] = 1e9F;
  row[2] = -0x1p-25F;
  row[3] = 65520.0F;
  sequence.value(1, 0).store(row.data(), 40);
  auto const nearest = sequence.value(1, 0).load<5, folio::Half>(0);
  CHECK(nearest[0].bits == 0x3C00);
  CHECK(nearest[1].bits == 0x7C00);
  CHECK(nearest[2].bits == 0x8000);
  CHECK(nearest[3].bits == 0x7C00);
  CHECK(nearest[4].bits == 0x3C00);
  // Two halves are one half2: the pack is as aligned as a vector of its size.
  STATIC_REQUIRE(alignof(folio::Pack<folio::Half, 2>) == 4);
  STATIC_REQUIRE(alignof(folio::Pack<folio::Half, 8>) == 16);
  STATIC_REQUIRE(alignof(folio::Vec<8>) == 16);
  STATIC_REQUIRE(sizeof(folio::Vec<3>) == 12);
}

TEST_CASE("a view is as small as docs/write_a_kernel.md says, since kernels get it by value") {
  STATIC_REQUIRE(sizeof(folio::KvCache<folio::Model<folio::models::llama3_1_8b>>::View) == 112);
  STATIC_REQUIRE(sizeof(folio::KvCache<folio::Model<folio::models::gemma3_4b>>::View) == 224);
}

TEST_CASE("query heads that share a kv head are neighbours") {
  STATIC_REQUIRE(folio::kv_head_of(0, 32, 8) == 0);
  STATIC_REQUIRE(folio::kv_head_of(7, 32, 8) == 1);
  STATIC_REQUIRE(folio::first_query_head_of(1, 32, 8) == 4);
  for (std::int32_t const kv_heads : {1, 2, 5, 8, 40})  // MQA, GQA, MHA
    for (std::int32_t head = 0; head < 40; ++head) {
      std::int32_t const kv_head = folio::kv_head_of(head, 40, kv_heads);
      CHECK(kv_head < kv_heads);
      CHECK(folio::first_query_head_of(kv_head, 40, kv_heads) <= head);
      CHECK(folio::first_query_head_of(kv_head + 1, 40, kv_heads) > head);
    }
}

TEMPLATE_TEST_CASE("rows begin where 16 bytes can be copied at once", "", folio::LayoutHnd, folio::LayoutNhd) {
  using Cache = CacheOf<StoredAs<folio::Int4Rotated, folio::Int8PerToken, TestType>, 40>;  // rows of 20 and 40 bytes
  Cache cache({.num_blocks = {2}});
  Sequence const s = cache.create(4);
  auto const batch = cache.batch({&s});
  auto const view = batch.view();
  for (std::int32_t layer = 0; layer < 3; ++layer)
    for (std::int32_t token = 0; token < 4; ++token)
      for (std::int32_t head = 0; head < 2; ++head) {
        auto const sequence = view.sequence(0, layer);
        CHECK(reinterpret_cast<std::uintptr_t>(sequence.key(head, token).codes()) % 16 == 0);
        CHECK(reinterpret_cast<std::uintptr_t>(sequence.value(head, token).codes(32)) % 16 == 0);
        CHECK(reinterpret_cast<std::uintptr_t>(sequence.key(head, token).param_bytes()) % 4 == 0);
      }
}

TEST_CASE("codes whose size is no power of two are read where rows are whole") {
  check_formats<StoredAs<folio::test::Float24, folio::test::Float24, folio::LayoutHnd>, 64>();
  check_formats<StoredAs<folio::test::Float24, folio::test::Float24, folio::LayoutNhd>, 40>();
}

TEST_CASE("everything that a kernel is given or makes is trivially copyable") {
  using View = HybridCache::View;
  using Layer = folio::LayerView<View, 1>;
  STATIC_REQUIRE(std::is_trivially_copyable_v<View>);
  STATIC_REQUIRE(std::is_trivially_copyable_v<folio::KvCache<folio::Model<model_of<64>>>::View>);
  STATIC_REQUIRE(std::is_trivially_copyable_v<Layer>);
  STATIC_REQUIRE(std::is_trivially_copyable_v<folio::SequenceView<View, 1>>);
  STATIC_REQUIRE(std::is_trivially_copyable_v<folio::BlockView<Layer>>);
  STATIC_REQUIRE(std::is_trivially_copyable_v<Layer::KeyRow>);
  STATIC_REQUIRE(std::is_trivially_copyable_v<folio::Vec<8>>);
}

TEST_CASE("the blocks of a sequence are all of its blocks, the last one perhaps partly") {
  using Cache = folio::KvCache<folio::Model<model_of<8>>, folio::BlockSize<4>>;
  for (std::int32_t const length : {0, 1, 3, 4, 5, 8, 13}) {
    Cache cache({.num_blocks = {16}});
    Sequence s = cache.create(length);
    auto const batch = cache.batch({&s});
    auto const view = batch.view();
    auto const sequence = view.sequence(0, 1);
    CHECK(blocks_met(sequence).size() == static_cast<std::size_t>((length + 3) / 4));
    CHECK(sequence.num_tokens() == length);
    CHECK(sequence.num_query_tokens() == length);
    CHECK(sequence.first_query() == 0);
  }
}

TEST_CASE("with a window the blocks are those that the step's queries see") {
  SECTION("in blocks of 1") {
    check_blocks_of_windows<folio::KvCache<folio::Model<open_window>, folio::BlockSize<1>>>();
  }
  SECTION("in blocks of 4") {
    check_blocks_of_windows<folio::KvCache<folio::Model<open_window>, folio::BlockSize<4>>>();
  }
  SECTION("with sinks, in blocks of 3") {
    check_blocks_of_windows<folio::KvCache<folio::Model<open_window_with_sinks>, folio::BlockSize<3>>>();
  }
  SECTION("with sinks, in blocks of 5") {
    check_blocks_of_windows<folio::KvCache<folio::Model<open_window_with_sinks>, folio::BlockSize<5>>>();
  }
}

TEST_CASE("padding rows of a batch are sequences without tokens and blocks") {
  using Cache = folio::KvCache<folio::Model<open_window_with_sinks>>;
  Cache cache({.num_blocks = {4}, .window = 3});
  Sequence const s = cache.create(7);
  BatchItem const items[] = {&s};
  auto const batch = cache.batch(items, {.num_sequences = 3});
  auto const view = batch.view();
  for (std::int32_t i = 1; i < 3; ++i) {
    auto const sequence = view.sequence(i, 0);
    CHECK(sequence.num_tokens() == 0);
    CHECK(sequence.num_query_tokens() == 0);
    CHECK(blocks_met(sequence).empty());
  }
}

TEST_CASE("each sequence of a batch has its own blocks and length") {
  using Cache = CacheOf<StoredAs<folio::F16, folio::F16, folio::LayoutHnd>, 40>;
  Cache cache({.num_blocks = {8}});
  Sequence const a = cache.create(8), b = cache.create(4);
  auto const batch = cache.batch({&a, {&b, 1}});
  auto const view = batch.view();
  for (auto const* const s : {&a, &b}) {
    std::int32_t const i = s == &a ? 0 : 1;
    CHECK(view.sequence(i, 1).num_tokens() == s->num_tokens());
    for (std::int32_t token = 0; token < s->num_tokens(); ++token)
      CHECK(view.sequence(i, 1).block_id(token) == s->blocks()[static_cast<std::size_t>(token / 3)]);
  }
  CHECK(view.sequence(1, 1).num_query_tokens() == 1);
  CHECK(view.sequence(1, 1).first_query() == 3);
}

TEST_CASE("a block's rows are the sequence's") {
  using Cache = CacheOf<StoredAs<folio::Int8PerToken, folio::F16, folio::LayoutInterleaved>, 40>;
  Cache cache({.num_blocks = {8}});
  Sequence const s = cache.create(8);
  auto const batch = cache.batch({&s});
  auto const view = batch.view();
  auto const sequence = view.sequence(0, 2);
  for (auto const block : sequence.blocks())
    for (std::int32_t slot = 0; slot < block.size(); ++slot) {
      CHECK(block.key(1, slot).codes(17) == sequence.key(1, block.first_token() + slot).codes(17));
      CHECK(block.value(0, slot).codes(3) == sequence.value(0, block.first_token() + slot).codes(3));
      CHECK(block.key(1, slot).param_bytes() == sequence.key(1, block.first_token() + slot).param_bytes());
    }
}

TEMPLATE_TEST_CASE("the null block reads as zeros", "", folio::F32, folio::F16, folio::BF16, folio::Fp8E4M3,
                   folio::Int8PerToken, folio::Int4Rotated) {
  using Cache = CacheOf<StoredAs<TestType, TestType, folio::LayoutHnd>, 64>;
  Cache cache({.num_blocks = {1}});
  auto const batch = cache.batch(std::span<BatchItem const>{}, {.num_sequences = 1});
  auto const view = batch.view();
  auto const sequence = view.sequence(0, 2);
  CHECK(sequence.block_id(0) == folio::null_block);
  auto const key = sequence.key(1, 2);
  auto const value = sequence.value(1, 2);
  for (std::int32_t d = 0; d < 64; d += 8) {
    auto const keys = key.template load_in<TestType::basis, 8>(d);
    auto const values = value.template load_in<TestType::basis, 8>(d);
    for (int i = 0; i < 8; ++i) CHECK((keys[i] == 0.0F && values[i] == 0.0F));
  }
}

TEST_CASE("layers are in their groups, each with its own blocks and rows") {
  HybridCache cache({.num_blocks = {16, 16, 16}});
  folio::test::poison(cache);
  folio::test::ModelSequence story(cache), other(cache);
  for (int i = 0; i < 4; ++i) {
    story.extend(2);
    other.extend(1);
  }
  CHECK(story.difference() == "");
  CHECK(other.difference() == "");
  auto const batch = cache.batch({&story.sequence(), &other.sequence()});
  auto const view = batch.view();
  CHECK(view.place(2).group == 0);
  CHECK(view.place(2).index == 1);
  CHECK(view.place(4).index == 2);
  auto const latent = view.sequence_in<0>(1, 2);
  auto const full = view.sequence_in<1>(0, 0);
  auto const window = view.sequence_in<2>(0, 0);
  CHECK(latent.num_tokens() == 4);
  CHECK(blocks_met(latent) == std::vector<std::int32_t>{0, 1});
  CHECK(blocks_met(full) == std::vector<std::int32_t>{0, 1, 2});
  CHECK(blocks_met(window) == std::vector<std::int32_t>{0, 1});
  CHECK(latent.shape().key_dim == 24);
  CHECK(full.shape().value_dim == 8);
  CHECK(window.shape().window == 4);
}

TEST_CASE("a latent value is the beginning of its key") {
  HybridCache cache({.num_blocks = {16, 16, 16}});
  Sequence const s = cache.create(5);
  auto const batch = cache.batch({&s});
  auto const view = batch.view();
  auto const latent = view.sequence_in<0>(0, 1);
  auto const full = view.sequence_in<1>(0, 0);
  CHECK(latent.value(0, 4).codes() == latent.key(0, 4).codes());
  CHECK(full.value(0, 4).codes() != full.key(0, 4).codes());
  STATIC_REQUIRE(std::is_same_v<decltype(latent.value(0, 4)), decltype(latent.key(0, 4))>);
  CHECK(latent.layer().head_tile(Plane::value, latent.block_id(0), 0).bytes == 0);
  CHECK(latent.layer().head_tile(Plane::key, latent.block_id(0), 0).begin == latent.key(0, 0).codes());
}

TEST_CASE("the rows of a head lie together where heads come before slots, or where there is one head") {
  auto const is_contiguous = []<std::int32_t heads>(std::integral_constant<std::int32_t, heads>) {
    constexpr ModelConfig model{.layers = 1, .kv_heads = heads, .head_dim = 16};
    folio::KvCache<folio::Model<model>, folio::LayoutNhd, folio::Int8PerToken> cache({.num_blocks = {4}});
    Sequence const s = cache.create(1);
    auto const batch = cache.batch({&s});
    auto const view = batch.view();
    auto const sequence = view.sequence(0, 0);
    bool const of_codes = sequence.layer().head_tile(Plane::key, s.blocks()[0], heads - 1).contiguous;
    CHECK(sequence.layer().head_tile(Plane::key, s.blocks()[0], heads - 1, RowPart::param).contiguous == of_codes);
    return of_codes;
  };
  CHECK(is_contiguous(std::integral_constant<std::int32_t, 1>{}));
  CHECK(!is_contiguous(std::integral_constant<std::int32_t, 2>{}));
}

TEST_CASE("a model of two groups can be asked by layer, and what they share is known at compile time") {
  constexpr ModelConfig model{.layers = 4,
                              .kv_heads = 2,
                              .head_dim = 16,
                              .groups = {folio::full_attention(), folio::sliding_window(4, 2)},
                              .pattern = folio::repeat_groups({0, 1, 1, 1})};
  using Cache = folio::KvCache<folio::Model<model>, folio::BlockSizes<4, 2>, folio::F32>;
  constexpr GroupShape shared = folio::shared_shape<folio::Model<model>, folio::BlockSizes<4, 2>>();
  STATIC_REQUIRE(shared.kind == AttentionKind::none);
  STATIC_REQUIRE(shared.layers == folio::dynamic);
  STATIC_REQUIRE(shared.kv_heads == 2);
  STATIC_REQUIRE(shared.key_dim == 16);
  STATIC_REQUIRE(shared.value_dim == 16);
  STATIC_REQUIRE(shared.window == folio::dynamic);
  STATIC_REQUIRE(shared.sinks == folio::dynamic);
  STATIC_REQUIRE(shared.block_size == folio::dynamic);
  STATIC_REQUIRE(folio::shared_shape<folio::Model<model>, folio::BlockSize<8>>().block_size == 8);
  Cache cache({.num_blocks = {8, 8}});
  Sequence s = cache.create();
  for (int i = 0; i < 9; ++i) s.extend(1);
  auto const batch = cache.batch({&s});
  auto const view = batch.view();
  CHECK(view.sequence(0, 0).shape() == cache.shape(0));
  CHECK(view.sequence(0, 3).shape() == cache.shape(1));
  CHECK(blocks_met(view.sequence(0, 0)) == std::vector<std::int32_t>{0, 1, 2});
  CHECK(blocks_met(view.sequence(0, 3)) == std::vector<std::int32_t>{0, 2, 3, 4});
  CHECK(view.sequence(0, 3).key(1, 7).codes() == view.sequence_in<1>(0, 2).key(1, 7).codes());
}

TEST_CASE("latent groups of one shape can be asked by layer") {
  constexpr ModelConfig model{.layers = 2,
                              .kv_heads = 1,
                              .groups = {folio::latent(16, 8), folio::latent(16, 8)},
                              .pattern = folio::repeat_groups({0, 1})};
  using Cache = folio::KvCache<folio::Model<model>, folio::BlockSize<4>, folio::F32>;
  STATIC_REQUIRE(folio::shared_shape<folio::Model<model>, folio::BlockSize<4>>().values_in_keys());
  Cache cache({.num_blocks = {4, 4}});
  Sequence const s = cache.create(3);
  auto const batch = cache.batch({&s});
  CHECK(batch.view().sequence(0, 1).value(0, 2).codes() == batch.view().sequence(0, 1).key(0, 2).codes());
}

TEST_CASE("with one group, what the model says is known at compile time, and what it leaves open is read") {
  using View = folio::KvCache<folio::Model<open_window>, folio::BlockSize<4>>::View;
  STATIC_REQUIRE(View::static_shape<0>().window == folio::dynamic);
  STATIC_REQUIRE(View::static_shape<0>().kv_heads == 1);
  STATIC_REQUIRE(View::static_shape<0>().block_size == 4);
  folio::KvCache<folio::Model<open_window>, folio::BlockSize<4>> cache({.num_blocks = {4}, .window = 3});
  Sequence const s = cache.create(3);
  auto const batch = cache.batch({&s});
  CHECK(batch.view().sequence(0, 0).shape() == cache.shape());
}

TEST_CASE("a stranger's layout works in a cache end to end") {
  constexpr ModelConfig model{.layers = 2, .kv_heads = 2, .head_dim = 40};
  folio::KvCache<folio::Model<model>, folio::test::SwizzledLayout, folio::F32, folio::BlockSize<4>> swizzled(
      {.num_blocks = {8}});
  folio::KvCache<folio::Model<model>, folio::test::ShreddedLayout, folio::F32, folio::BlockSize<4>> shredded(
      {.num_blocks = {8}});
  folio::test::ModelSequence a(swizzled);
  folio::test::ModelSequence b(shredded);
  for (std::int32_t const n : {3, 1, 5}) {
    a.extend(n);
    b.extend(n);
  }
  auto c = a.fork();
  auto d = b.fork();
  c.extend(2);
  d.extend(2);
  CHECK(a.difference() == "");
  CHECK(b.difference() == "");
  CHECK(c.difference() == "");
  CHECK(d.difference() == "");
}

TEST_CASE("a stranger's group-wise quantizer keeps each group's own scale") {
  constexpr ModelConfig model{.layers = 1, .kv_heads = 1, .head_dim = 96};
  folio::KvCache<folio::Model<model>, folio::test::GroupedInt8> cache({.num_blocks = {1}});
  Sequence const s = cache.create(1);
  std::vector<float> row(96);
  for (std::size_t i = 0; i < row.size(); ++i) row[i] = (i < 32 ? 1000.0F : i < 64 ? 1.0F : 0.001F) * (i % 2 ? 1 : -1);
  auto const batch = cache.batch({&s});
  folio::ops::append(batch.view(), 0, row.data(), row.data());
  auto const view = batch.view();
  auto const key = view.sequence(0, 0).key(0, 0);
  CHECK(key.params(0).scale == 1000.0F / 127);
  CHECK(key.params(40).scale == 1.0F / 127);
  CHECK(key.params(95).scale == 0.001F / 127);
  folio::Vec<64> const loaded = key.load<64>(0);
  for (std::size_t i = 0; i < 64; ++i) CHECK(loaded[static_cast<int>(i)] == Approx(row[i]));
}
