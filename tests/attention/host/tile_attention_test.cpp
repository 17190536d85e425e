// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The kernels of ops::attend: every format, head dim and fill of a tile on every set of instructions of this machine,
// against attention in double precision over the decoded rows; and what attend makes of them over a long context.
#include <cmath>
#include <cstring>
#include <folio/folio.hpp>
#include <folio/quantizer/channel_tile.hpp>
#include <folio/quantizer/two_sided_tile.hpp>
#include <folio/thread_pool.hpp>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/isa.hpp"
#include "support/naive_attention.hpp"
#include "support/random.hpp"
#include "support/strangers.hpp"

using namespace folio;
using attention::Isa;
using folio::test::machine_sets;
using folio::test::random_floats;
using folio::test::UseIsa;
using ops::detail::AttentionAccumulator;
using PackedQueries = ops::detail::PackedQueries<>;
using TileAttention = ops::detail::TileAttention<>;
using ops::detail::TilePlanes;
using ops::detail::TileTokens;

namespace {

std::size_t size(std::int32_t n) { return static_cast<std::size_t>(n); }

/// Rows of one plane, stored somewhere, and what they decode to.
template <class Q>
struct StoredRows {
  std::int32_t tokens, dim, code_stride, param_stride;
  std::vector<std::byte> codes, params;
  std::vector<float> decoded;

  /// `zero`: a channel that is 0 in all rows, or -1.
  StoredRows(std::int32_t num_tokens, std::int32_t row_dim, std::uint32_t seed, std::int32_t zero = -1)
      : tokens(num_tokens),
        dim(row_dim),
        code_stride((code_bytes<Q>(row_dim) + 15) / 16 * 16),
        param_stride(Q::param_bytes(row_dim)),
        codes(size(tokens * code_stride), std::byte{0xFF}),
        params(size(tokens * param_stride + 4)),
        decoded(size(tokens * dim)) {
    auto rows = random_floats(std::int64_t{tokens} * dim, seed, 2.0F);
    for (std::int32_t t = 0; t < tokens; ++t) {
      if (zero >= 0) rows[size(t * dim + zero)] = 0.0F;
      Q::encode(rows.data() + t * dim, dim, codes.data() + t * code_stride, params.data() + t * param_stride);
      decode_row<Q>(codes.data() + t * code_stride, params.data() + t * param_stride, dim, decoded.data() + t * dim);
    }
  }
  void fill(std::int32_t first, std::int32_t count, attention::TokenTileRows& rows) const {
    for (std::int32_t t = 0; t < attention::tile_tokens; ++t) {
      std::int32_t const token = first + (t < count ? t : 0);
      rows.codes[t] = codes.data() + token * code_stride;
      rows.params[t] = params.data() + token * param_stride;
    }
  }
};

/// The same of a format that stores tiles.
template <TileQuantizer Q>
struct StoredRows<Q> {
  static constexpr std::int32_t tile = Q::tile_tokens;
  std::int32_t dim, code_stride, tile_param_stride;
  std::vector<std::byte> codes, params;
  std::vector<float> decoded;

  StoredRows(std::int32_t num_tokens, std::int32_t row_dim, std::uint32_t seed, std::int32_t zero = -1)
      : dim(row_dim),
        code_stride((code_bytes<Q>(row_dim) + 15) / 16 * 16),
        tile_param_stride(Q::tile_param_bytes(row_dim)) {
    std::int32_t const tiles = (num_tokens + tile - 1) / tile;
    codes.assign(size(tiles * tile * code_stride), std::byte{0xFF});
    params.resize(size(tiles * tile_param_stride));
    decoded.resize(size(tiles * tile * dim));
    auto rows = random_floats(std::int64_t{tiles} * tile * dim, seed, 2.0F);
    for (std::int32_t t = 0; t < tiles * tile && zero >= 0; ++t) rows[size(t * dim + zero)] = 0.0F;
    std::vector<std::byte> packed(size(tile * code_bytes<Q>(dim)));
    for (std::int32_t i = 0; i < tiles; ++i) {
      std::byte* const stored = params.data() + i * tile_param_stride;
      Q::encode_tile(rows.data() + i * tile * dim, dim, packed.data(), stored);
      for (std::int32_t slot = 0; slot < tile; ++slot) {
        std::int32_t const t = i * tile + slot, bytes = code_bytes<Q>(dim);
        std::memcpy(codes.data() + t * code_stride, packed.data() + slot * bytes, size(bytes));
        for (std::int32_t d = 0; d < dim; d += 8)
          Q::template decode<8>(codes.data() + t * code_stride + code_bytes<Q>(d), Q::load_params(stored, d, slot),
                                decoded.data() + t * dim + d);
      }
    }
  }
  void fill(std::int32_t first, std::int32_t count, attention::TokenTileRows& rows) const {
    std::int32_t const bytes_of_token = token_param_bytes(Q::row_format.params);
    std::byte const* const stored = params.data() + first / tile * tile_param_stride;
    rows.tokens = stored + first % tile * bytes_of_token;
    rows.channels = stored + tile * bytes_of_token;
    for (std::int32_t t = 0; t < attention::tile_tokens; ++t)
      rows.codes[t] = codes.data() + (first + (t < count ? t : 0)) * code_stride;
  }
};

/// Attention of the query `q` in double precision over what is stored.
template <class Rows>
std::vector<double> formula(float const* q, Rows const& keys, Rows const& values, std::int32_t tokens) {
  std::vector<double> weights, out(size(values.dim));
  double most = -1e300, total = 0;
  for (std::int32_t t = 0; t < tokens; ++t) {
    double score = 0;
    for (std::int32_t d = 0; d < keys.dim; ++d) score += double{q[d]} * double{keys.decoded[size(t * keys.dim + d)]};
    weights.push_back(score);
    most = std::max(most, score);
  }
  for (double& w : weights) total += w = std::exp(w - most);
  for (std::int32_t t = 0; t < tokens; ++t)
    for (std::int32_t d = 0; d < values.dim; ++d)
      out[size(d)] += weights[size(t)] / total * double{values.decoded[size(t * values.dim + d)]};
  return out;
}

/// The largest and the mean error of `rows` queries over all tokens, in units of the largest value; and the largest
/// that the queries would have in f16.
struct Errors {
  double largest = 0, mean = 0, largest_of_f16 = 0;
};

/// `outlier`: of each query's second element, if any; it is an f16. That channel of the keys is 0.
template <class Q>
Errors errors_of(std::int32_t tokens, std::int32_t key_dim, std::int32_t value_dim, std::int32_t rows,
                 float outlier = 0) {
  StoredRows<Q> const keys(tokens, key_dim, 1, outlier != 0 ? 1 : -1), values(tokens, value_dim, 2);
  auto q = random_floats(std::int64_t{rows} * key_dim, 3, 2.0F / std::sqrt(static_cast<float>(key_dim)));
  for (std::int32_t r = 0; r < rows && outlier != 0; ++r) q[size(r * key_dim + 1)] = outlier;
  std::vector<float> q_in_f16;
  for (float const x : q) q_in_f16.push_back(f16_to_f32(f32_to_f16(x)));
  auto const kernels = tokens <= attention::few_tokens ? attention::few_token_kernels<Q::row_format>()
                                                       : attention::row_kernels<Q::row_format>(rows > 8);
  TileAttention attention({{kernels, code_bytes<Q>(key_dim)},  // which leave rows in the basis of what they decode to
                           {kernels, code_bytes<Q>(value_dim)},
                           {key_dim, value_dim, 1, rows}});
  PackedQueries queries;
  attention.begin(queries);
  for (std::int32_t r = 0; r < rows; ++r) queries.set_rows(r, 1, q.data() + r * key_dim);
  queries.prepare(Basis::model);
  queries.finish(1.0F);
  AttentionAccumulator sums;
  attention.clear(sums);
  {
    TileAttention::KernelScope const entered(attention);
    for (std::int32_t first = 0; first < tokens; first += attention::tile_tokens) {
      std::int32_t const count = std::min(tokens - first, attention::tile_tokens);
      TileTokens const tile{first, {0, 0, 0, count}, {{0, 0, 0, count}}};
      TilePlanes planes;
      planes.seen_end = planes.rows_end = attention::tile_tokens;
      keys.fill(first, count, planes.keys);
      values.fill(first, count, planes.values);
      attention.add(entered, tile, planes, &planes, nullptr, queries, sums);
    }
  }
  Errors errors;
  double largest_value = 1e-30;
  for (float const x : values.decoded) largest_value = std::max(largest_value, std::fabs(double{x}));
  for (std::int32_t r = 0; r < rows; ++r) {
    std::vector<float> out(size(value_dim));
    attention.read_row(sums, r, 1.0F / sums.states[size(r)].sum, out.data());
    auto const expected = formula(q.data() + r * key_dim, keys, values, tokens);
    auto const of_f16 = formula(q_in_f16.data() + r * key_dim, keys, values, tokens);
    for (std::int32_t d = 0; d < value_dim; ++d) {
      double const error = std::fabs(double{out[size(d)]} - expected[size(d)]) / largest_value;
      errors.largest = std::isnan(error) ? error : std::max(errors.largest, error);
      errors.mean += error / (rows * value_dim);
      errors.largest_of_f16 =
          std::max(errors.largest_of_f16, std::fabs(of_f16[size(d)] - expected[size(d)]) / largest_value);
    }
  }
  return errors;
}

template <class Q>
void check(std::int32_t tokens, std::int32_t key_dim, std::int32_t value_dim, std::int32_t rows) {
  for (Isa const isa : machine_sets()) {
    UseIsa const use(isa);
    CAPTURE(Q::name, attention::name_of(isa), tokens, key_dim, value_dim, rows);
    Errors const errors = errors_of<Q>(tokens, key_dim, value_dim, rows);
    auto const few = attention::few_token_kernels<Q::row_format>();
    bool const in_integers = tokens <= attention::few_tokens
                                 ? few.is_integer
                                 : attention::row_kernels<Q::row_format>(false).is_integer;  // of 16 bits
    CHECK(errors.largest < (in_integers ? 7e-5 : 3e-6));
    CHECK(errors.mean < (in_integers ? 1.5e-5 : 4e-7));
  }
}

}  // namespace

template <int Bits>
using Asymmetric = IntQuantizer<Bits, Levels::asymmetric, 0, Basis::model>;
using ChannelTile2 = Int2PerChannel<>;
using ChannelTile4 = Int4PerChannel<128>;
using ChannelTile8 = ChannelTile<8, 64>;
using TwoSidedKeys2 = TwoSidedTile<2, 128, GridSide::channels>;
using TwoSidedValues2 = TwoSidedTile<2, 64, GridSide::tokens>;
using TwoSidedKeys3 = TwoSidedTile<3, 64, GridSide::channels>;
using TwoSidedValues4 = TwoSidedTile<4, 128, GridSide::tokens>;

TEMPLATE_TEST_CASE("every format is what it decodes to, for every head dim, on every set of instructions", "", F32, F16,
                   BF16, Fp8E4M3, Fp8E5M2, Fp8E4M3Static, Int8PerToken, Asymmetric<8>, Asymmetric<7>, Int6Rotated,
                   Asymmetric<5>, Int4Rotated, Int4PerToken, Int3Rotated, Int2Rotated, ChannelTile2, ChannelTile4,
                   ChannelTile8, TwoSidedKeys2, TwoSidedValues2, TwoSidedKeys3, TwoSidedValues4) {
  for (std::int32_t dim = 32; dim <= 256; dim += 32) check<TestType>(75, dim, dim, 4);
  for (std::int32_t const dim : {8, 16, 40, 72, 104}) check<TestType>(67, dim, dim, 3);
  for (std::int32_t const dim : {8, 16, 40, 72, 104, 128, 256})  // decoded, where they are integers
    for (std::int32_t tokens = 1; tokens <= attention::few_tokens + 1; ++tokens) check<TestType>(tokens, dim, dim, 3);
  check<TestType>(70, 576, 512, 16);  // a latent
  check<TestType>(70, 64, 128, 5);
}

TEMPLATE_TEST_CASE("every fill of a tile, and any number of query rows", "", F16, Fp8E4M3, Int8PerToken, Int6Rotated,
                   Int4Rotated, TwoSidedKeys2, TwoSidedValues4) {
  for (std::int32_t tokens = 1; tokens <= 66; ++tokens) check<TestType>(tokens, 64, 64, 4);
  for (std::int32_t const rows : {1, 2, 3, 4, 5, 7, 8, 9, 16, 33}) check<TestType>(80, 64, 64, rows);
}

// Of formats that store a 0 as one.
TEMPLATE_TEST_CASE("a query with an outlier has at most twice the error of one in f16", "", Int8PerToken, ChannelTile4,
                   ChannelTile8, TwoSidedKeys3) {
  for (Isa const isa : machine_sets()) {
    UseIsa const use(isa);
    for (float const outlier : {10.0F, 30.0F, 100.0F, 1e3F, -1e4F, 6e4F}) {
      for (std::int32_t const rows : {1, 6}) {
        CAPTURE(TestType::name, attention::name_of(isa), outlier, rows);
        Errors const errors = errors_of<TestType>(150, 128, 64, rows, outlier);
        CHECK(errors.largest < std::max(7e-5, 2 * errors.largest_of_f16));
        CHECK(errors.largest_of_f16 < 5e-4);
      }
    }
  }
}

TEST_CASE("a query's bits do not depend on whether its neighbours have outliers") {
  for (Isa const isa : machine_sets()) {
    UseIsa const use(isa);
    KvCache<Model<ModelConfig{.layers = 1, .kv_heads = 1, .head_dim = 32}>, Int8PerToken> cache({.num_blocks = {8}});
    Sequence const s = cache.create(100);
    auto const rows = random_floats(100 * 32, 1);
    ops::append(cache.batch({{&s, 100}}).view(), 0, rows.data(), rows.data());
    std::vector<float> q = random_floats(4 * 32, 2), out(4 * 32), other_out(4 * 32);
    auto const batch = cache.batch({{&s, 1}});
    ops::attend(batch.view(), 0, AttentionIo{q.data(), 4, out.data()});
    q[32 + 5] = 1e4F;
    ops::attend(batch.view(), 0, AttentionIo{q.data(), 4, other_out.data()});
    for (std::size_t d = 0; d < 4 * 32; ++d)
      if (d / 32 != 1) CHECK(out[d] == other_out[d]);
    CHECK(out[32] != other_out[32]);
  }
}

TEST_CASE("which views attend reads in place is known at compile time") {
  constexpr ModelConfig model{.layers = 1, .kv_heads = 1, .head_dim = 64};
  auto const fast = []<class... Policies>(KvCache<Model<model>, Policies...>* cache) {
    using View = decltype(cache->batch(std::vector<BatchItem>{}).view());
    return ops::has_fast_attend<View>;
  };
  STATIC_REQUIRE(fast(static_cast<KvCache<Model<model>, F16>*>(nullptr)));
  STATIC_REQUIRE(fast(static_cast<KvCache<Model<model>, Int4Rotated, LayoutNhd>*>(nullptr)));
  STATIC_REQUIRE(fast(static_cast<KvCache<Model<model>, Keys<Int8PerToken>, Values<Int2Rotated>>*>(nullptr)));
  STATIC_REQUIRE(fast(static_cast<KvCache<Model<model>, Keys<Int6Rotated>, Values<Int3Rotated>>*>(nullptr)));
  STATIC_REQUIRE(fast(static_cast<KvCache<Model<model>, BlockSize<128>, Keys<TwoSidedKeys2>>*>(nullptr)));
  STATIC_REQUIRE(
      !attention::reads_in_place<ChannelTile<2, 32>, LayoutHnd>(Plane::key));  // two tiles in one of the kernels'
  STATIC_REQUIRE(!fast(static_cast<KvCache<Model<model>, F16, LayoutInterleaved>*>(nullptr)));
  STATIC_REQUIRE(!fast(static_cast<KvCache<Model<model>, folio::test::GroupedInt8>*>(nullptr)));
}

namespace {

/// Long contexts: several parts, of which threads share the work in different ways.
template <class Cache>
void check_threads(Cache cache, std::int32_t num_query_heads, AttentionParams const& params) {
  std::vector<Sequence> sequences;
  for (std::int32_t const length : {2600, 1, 0, 1024}) {
    Sequence s = cache.create(length);
    if (length > 0) {
      auto const keys = random_floats(std::int64_t{length} * cache.shape().kv_heads * cache.shape().key_dim,
                                      static_cast<std::uint32_t>(length), 2.0F);
      ops::append(cache.batch({&s}).view(), 0, keys.data(), keys.data());
    }
    sequences.push_back(std::move(s));
  }
  std::vector<BatchItem> items;
  for (Sequence& s : sequences) items.emplace_back(&s, std::min(s.num_tokens(), 3));
  auto const batch = cache.batch(items);
  auto const view = batch.view();
  auto const q = random_floats(std::int64_t{view.num_query_tokens()} * num_query_heads * cache.shape().key_dim, 5);
  std::vector<float> first, first_lse;
  for (int const num_threads : {1, 2, 3}) {
    ThreadPool threads(num_threads);
    auto const rows = size(view.num_query_tokens() * num_query_heads);
    std::vector<float> out(rows * size(cache.shape().value_dim)), lse(rows);
    ops::attend(view, 0, AttentionIo{q.data(), num_query_heads, out.data(), lse.data()}, params, {.threads = &threads});
    if (num_threads == 1) {
      first = out;
      first_lse = lse;
      auto const expected = folio::test::naive_attention(view, 0, q.data(), num_query_heads, params);
      CHECK(folio::test::difference(expected, out, lse) == "");
    }
    CHECK(std::memcmp(out.data(), first.data(), out.size() * sizeof(float)) == 0);
    CHECK(std::memcmp(lse.data(), first_lse.data(), lse.size() * sizeof(float)) == 0);
  }
}

constexpr ModelConfig dim_32{.layers = 1, .head_dim = 32};
constexpr ModelConfig windows_of_32{.layers = 1, .head_dim = 32, .groups = {sliding_window(1500, 5)}};

}  // namespace

TEST_CASE("a long context has the same bits for any number of threads, and is what the formula says") {
  for (std::int32_t const heads : {1, 2, 4, 8}) {
    CAPTURE(heads);
    check_threads(KvCache<Model<dim_32>, F16>({.num_blocks = {240}, .kv_heads = 2}), 2 * heads, {});
    check_threads(KvCache<Model<dim_32>, Int8PerToken>({.num_blocks = {240}, .kv_heads = 3}), 3 * heads, {});
  }
  float const logits[] = {1.0F, -3.0F, 12.0F, 0.5F};
  using Int4Cache = KvCache<Model<dim_32>, Int4Rotated>;
  check_threads(Int4Cache({.num_blocks = {240}, .kv_heads = 1}), 4, {.sink_logits = logits});
  check_threads(Int4Cache({.num_blocks = {240}, .kv_heads = 1}), 4, {.token_begin = 100, .token_end = 2100});
  check_threads(KvCache<Model<windows_of_32>, Int8PerToken>({.num_blocks = {240}, .kv_heads = 2}), 4, {});
}

namespace {

/// The largest error of a score and what the query would have in f16, as it is given or as it is rotated, whichever is
/// less: `q` over one block of keys whose channels of outliers are 0 as far as the format has a 0.
template <class Q>
void check_rotated_outlier(float outlier, bool when_rotated) {
  constexpr std::int32_t dim = 128, tokens = 60;
  KvCache<Model<ModelConfig{.layers = 1, .kv_heads = 1, .head_dim = dim}>, Q> cache({.num_blocks = {8}});
  Sequence const s = cache.create(tokens);
  auto rows = random_floats(std::int64_t{tokens} * dim, 1, 2.0F);
  auto const value_rows = rows;
  ops::append(cache.batch({{&s, tokens}}).view(), 0, rows.data(), value_rows.data());
  auto q = random_floats(dim, 2, 0.2F);
  auto in_f16 = q;
  auto const put = [&](std::vector<float>& x, bool rounded) {
    if (when_rotated) change_basis(Q::basis, x.data(), dim, dim);
    x[5] = outlier;
    for (float& e : x) e = rounded ? f16_to_f32(f32_to_f16(e)) : e;
    if (when_rotated) change_basis(Q::basis, x.data(), dim, dim);
  };
  put(q, false);
  put(in_f16, true);
  auto const batch = cache.batch({{&s, 1}});
  std::vector<float> keys(tokens * dim), values(keys.size());
  ops::gather(batch.view(), 0, {0, 0, tokens}, keys.data(), values.data());
  double error = 0, error_of_f16 = 0;
  for (std::int32_t t = 0; t < tokens; ++t) {  // alone, so that lse is its score
    double exact = 0, of_f16 = 0, size = 0;
    for (std::int32_t d = 0; d < dim; ++d) {
      double const key{keys[::size(t * dim + d)]};
      exact += double{q[::size(d)]} * key;
      of_f16 += double{in_f16[::size(d)]} * key;
      size += std::fabs(double{q[::size(d)]} * key);
    }
    float out[dim], lse = 0;
    ops::attend(batch.view(), 0, AttentionIo{q.data(), 1, out, &lse},
                {.scale = 1.0F, .token_begin = t, .token_end = t + 1});
    error = std::max(error, std::fabs(lse - exact) - 3e-7 * size);  // what floats lose, whatever the query
    error_of_f16 = std::max(error_of_f16, std::fabs(of_f16 - exact));
  }
  CAPTURE(error, error_of_f16);
  CHECK(error < 2 * error_of_f16);
}

}  // namespace

// As it is given, and as it is rotated: the integers are those of the rotated one.
TEMPLATE_TEST_CASE("a query with an outlier loses at most twice what it does in f16 in rotated formats", "",
                   Int4Rotated, Int6Rotated, Int3Rotated) {
  for (Isa const isa : machine_sets()) {
    UseIsa const use(isa);
    for (float const outlier : {10.0F, 100.0F, 1e3F, -1e4F})
      for (bool const when_rotated : {false, true}) {
        CAPTURE(TestType::name, attention::name_of(isa), outlier, when_rotated);
        check_rotated_outlier<TestType>(outlier, when_rotated);
      }
  }
}

TEST_CASE("rows are rotated in vectors to the bits of change_basis, whatever the block") {
  auto const row = random_floats(576, 9, 3.0F);
  for (Isa const isa : machine_sets()) {
    UseIsa const use(isa);
    auto const kernels = attention::row_kernels<Int4Rotated::row_format>(false);
    for (Basis const basis : {Basis::model, Basis::hadamard, Basis::randomized_hadamard})
      for (std::int32_t const dim : {8, 16, 32, 40, 64, 72, 96, 128, 256, 512}) {
        std::int32_t const row_dim = dim == 512 ? 576 : dim;  // the beginning of a latent
        CAPTURE(attention::name_of(isa), static_cast<int>(basis), dim);
        auto expected = row, found = row;
        change_basis(basis, expected.data(), dim, row_dim);
        kernels.change_basis(basis, found.data(), dim, row_dim);
        CHECK(std::memcmp(found.data(), expected.data(), found.size() * sizeof(float)) == 0);
      }
  }
}
