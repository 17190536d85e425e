// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What is no number: in a query or a key it makes its own results NaN and no others; where a query must not see it, it
// changes no bit. For every format of rows on every set of instructions of this machine. And the exponential.
#include <cmath>
#include <cstring>
#include <folio/folio.hpp>
#include <folio/ops/demote.hpp>
#include <folio/quantizer/channel_tile.hpp>
#include <folio/quantizer/two_sided_tile.hpp>
#include <folio/thread_pool.hpp>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/isa.hpp"
#include "support/random.hpp"
#include "support/strangers.hpp"

using namespace folio;
using attention::Isa;
using folio::test::machine_sets;
using folio::test::random_floats;
using folio::test::UseIsa;

namespace {

constexpr std::int32_t dim = 40, kv_heads = 2, heads = 4, window = 50, sinks = 3;
constexpr std::int32_t num_queries = 40;
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

template <bool in_window>
constexpr ModelConfig model{.layers = 1,
                            .kv_heads = kv_heads,
                            .head_dim = dim,
                            .groups = {in_window ? sliding_window(window, sinks) : full_attention()}};

struct Result {
  std::vector<float> out, lse;

  [[nodiscard]] bool same_row(Result const& other, std::int32_t row) const {
    auto const at = static_cast<std::size_t>(row);
    return std::memcmp(out.data() + at * dim, other.out.data() + at * dim, dim * sizeof(float)) == 0 &&
           std::memcmp(lse.data() + at, other.lse.data() + at, sizeof(float)) == 0;
  }
  [[nodiscard]] bool is_nan_row(std::int32_t row) const {
    auto const at = static_cast<std::size_t>(row);
    bool all = std::isnan(lse[at]);
    for (std::size_t d = 0; d < dim; ++d) all = all && std::isnan(out[at * dim + d]);
    return all;
  }
};

/// A cache of one sequence in blocks that hold a pattern wherever no token was written, the null block among them.
template <class Q, bool in_window>
struct Stored {
  static constexpr std::int32_t block_size = is_tile_format<Q> ? 64 : 16;
  static constexpr std::int32_t num_tokens =
      is_tile_format<Q> ? 192 : 185;  ///< of rows not all slots of the last block
  using Cache = KvCache<Model<model<in_window>>, BlockSize<block_size>, Q>;
  Cache cache{{.num_blocks = {14}}};
  Sequence sequence;

  explicit Stored(std::uint32_t garbage) {
    fill(cache.pool(), cache.memory_bytes(), garbage);
    sequence = cache.create(num_tokens);
    std::int64_t const floats = std::int64_t{num_tokens} * kv_heads * dim;
    auto const keys = random_floats(floats, 1, 2.0F), values = random_floats(floats, 2, 2.0F);
    auto const batch = cache.batch({{&sequence, num_tokens}});
    if constexpr (is_tile_format<Q>) {
      KvCache<Model<model<in_window>>, BlockSize<block_size>, F32> from({.num_blocks = {14}});
      Sequence const source = from.create(num_tokens);
      auto const source_batch = from.batch({{&source, num_tokens}});
      ops::append(source_batch.view(), 0, keys.data(), values.data());
      ops::demote(source_batch.view(), 0, {0, 0, num_tokens}, batch.view(), {0, 0, num_tokens});
    } else {
      ops::append(batch.view(), 0, keys.data(), values.data());
    }
  }

  static void fill(void* to, std::int64_t bytes, std::uint32_t pattern) {
    for (std::int64_t i = 0; i < bytes; ++i)
      std::memcpy(static_cast<std::byte*>(to) + i, reinterpret_cast<std::byte const*>(&pattern) + i % 4, 1);
  }

  /// Writes a pattern over a token's codes and the parameters that are its own.
  void spoil(std::int32_t token, std::uint32_t pattern) {
    auto const batch = cache.batch({{&sequence, 1}});
    auto const view = batch.view();
    auto const rows = view.sequence(0, 0);
    for (std::int32_t head = 0; head < kv_heads; ++head) {
      spoil_row(rows.key(head, token), token, pattern);
      spoil_row(rows.value(head, token), token, pattern);
    }
  }
  template <class AnyRow>
  void spoil_row(AnyRow const& row, std::int32_t token, std::uint32_t pattern) {
    fill(const_cast<std::byte*>(row.codes()), code_bytes<Q>(dim), pattern);
    std::int32_t const own = token_param_bytes(Q::row_format.params);
    std::byte* const params = const_cast<std::byte*>(row.param_bytes());
    if constexpr (is_tile_format<Q>)
      fill(params + token % block_size * own, own, pattern);
    else
      fill(params, Q::param_bytes(dim), pattern);
  }

  Result attend(std::vector<float> const& q) {
    auto const batch = cache.batch({{&sequence, num_queries}});
    Result result{std::vector<float>(std::size_t{num_queries} * heads * dim),
                  std::vector<float>(std::size_t{num_queries} * heads)};
    ops::attend(batch.view(), 0, AttentionIo{q.data(), heads, result.out.data(), result.lse.data()});
    return result;
  }
};

template <class Q, bool in_window>
void check_unseen() {
  auto const q = random_floats(num_queries * heads * dim, 3, 2.0F);
  Stored<Q, in_window> clean(0);
  GroupShape const shape = clean.cache.shape();
  for (Isa const isa : machine_sets()) {
    UseIsa const use(isa);
    Result const expected = clean.attend(q);
    // NaN in every format; infinities of f16, bf16 and f32, and of e5m2.
    for (std::uint32_t const pattern : {0xFFFFFFFFU, 0x7FFF7FFFU, 0x7C007C00U, 0x7F807F80U, 0x7F800000U}) {
      Stored<Q, in_window> stored(pattern);
      Result found = stored.attend(q);
      for (std::int32_t row = 0; row < num_queries * heads; ++row) REQUIRE(found.same_row(expected, row));
      for (std::int32_t const query : {5, 35}) {
        Stored<Q, in_window> spoiled(pattern);
        for (std::int32_t t = 0; t < spoiled.num_tokens; ++t)
          if (!shape.visible(spoiled.num_tokens - num_queries + query, t)) spoiled.spoil(t, pattern);
        found = spoiled.attend(q);
        CAPTURE(Q::name, attention::name_of(isa), pattern, query);
        for (std::int32_t row = query * heads; row < (query + 1) * heads; ++row) CHECK(found.same_row(expected, row));
      }
    }
  }
}

template <class Q, bool in_window>
void check_nan_queries() {
  auto const q = random_floats(num_queries * heads * dim, 3, 2.0F);
  Stored<Q, in_window> stored(0);
  for (Isa const isa : machine_sets()) {
    UseIsa const use(isa);
    Result const expected = stored.attend(q);
    for (std::int32_t const bad : {7, num_queries * heads - 1}) {
      for (float const what : {not_a_number, -not_a_number, std::numeric_limits<float>::infinity()}) {
        auto changed = q;
        changed[static_cast<std::size_t>(bad) * dim + 13] = what;
        Result const found = stored.attend(changed);
        CAPTURE(Q::name, attention::name_of(isa), bad, what);
        CHECK(found.is_nan_row(bad));
        std::int32_t others = 0;
        for (std::int32_t row = 0; row < num_queries * heads; ++row)
          others += row != bad && found.same_row(expected, row) ? 1 : 0;
        CHECK(others == num_queries * heads - 1);
      }
    }
  }
}

}  // namespace

using AsymmetricBits8 = IntQuantizer<8, Levels::asymmetric, 0, Basis::model>;
using TwoSidedKeys4 = TwoSidedTile<4, 64, GridSide::channels>;
using TwoSidedValues3 = TwoSidedTile<3, 64, GridSide::tokens>;
using ChannelTile4 = ChannelTile<4, 64>;

TEMPLATE_TEST_CASE("a NaN or an infinity in tokens that a query must not see changes no bit of it", "", F32, F16, BF16,
                   Fp8E4M3, Fp8E5M2, Int8PerToken, AsymmetricBits8, Int4PerToken, Int3Rotated, ChannelTile4,
                   TwoSidedKeys4, TwoSidedValues3, folio::test::GroupedInt8) {
  check_unseen<TestType, false>();
  check_unseen<TestType, true>();
}

TEMPLATE_TEST_CASE("a NaN or an infinity in a query makes its own head's row NaN, and no other", "", F32, F16, Fp8E4M3,
                   Int8PerToken, AsymmetricBits8, Int3Rotated, ChannelTile4, TwoSidedValues3) {
  check_nan_queries<TestType, false>();
  check_nan_queries<TestType, true>();
}

TEMPLATE_TEST_CASE("a NaN in keys makes the rows that see it NaN, whatever the threads and parts", "", F32, F16,
                   Fp8E4M3) {
  constexpr std::int32_t length = 2200;
  KvCache<Model<model<false>>, BlockSize<16>, TestType> cache({.num_blocks = {150}});
  Sequence const sequence = cache.create(length);
  auto const values = random_floats(std::int64_t{length} * kv_heads * dim, 2);
  auto const q = random_floats(heads * dim, 4);
  for (Isa const isa : machine_sets()) {
    UseIsa const use(isa);
    for (std::int32_t const num_nan : {0, 1, 1024, length})
      for (int const num_threads : {1, 3}) {
        auto keys = random_floats(std::int64_t{length} * kv_heads * dim, 1);
        for (std::size_t t = 0; t < static_cast<std::size_t>(num_nan); ++t) keys[t * kv_heads * dim + 5] = not_a_number;
        ops::append(cache.batch({{&sequence, length}}).view(), 0, keys.data(), values.data());
        std::vector<float> out(std::size_t{heads} * dim), lse(std::size_t{heads});
        ThreadPool threads(num_threads);
        auto const batch = cache.batch({{&sequence, 1}});
        ops::attend(batch.view(), 0, AttentionIo{q.data(), heads, out.data(), lse.data()}, {}, {.threads = &threads});
        CAPTURE(TestType::name, attention::name_of(isa), num_nan, num_threads);
        for (std::size_t row = 0; row < heads; ++row) {
          CHECK(std::isnan(out[row * dim]) == (row < 2 && num_nan > 0));
          CHECK(std::isnan(lse[row]) == (row < 2 && num_nan > 0));
        }
      }
  }
}

TEST_CASE("the exponential is right to 2 units of the last place, and keeps a NaN") {
  constexpr RowFormat format{Elements::f32, RowParams::none};
  for (Isa const isa : machine_sets()) {
    UseIsa const use(isa);
    auto const kernels = attention::row_kernels<format>(false);
    auto const weights_of = [&](std::vector<float> scores) {  // less a largest score of 0
      attention::SoftmaxState states[attention::block_rows] = {{0.0F, 0.0F}, {0.0F, 0.0F}, {0.0F, 0.0F}, {0.0F, 0.0F}};
      float rescale[attention::block_rows];
      kernels.online_softmax(attention::TokenTile{}, scores.data(), states, rescale);
      return scores;
    };
    std::vector<float> scores(std::size_t{attention::block_rows} * attention::tile_tokens);
    double worst = 0;
    for (int part = 0; part < 64; ++part) {
      for (std::size_t i = 0; i < scores.size(); ++i)
        scores[i] = -87.0F * static_cast<float>(part * 256 + static_cast<int>(i)) / (64 * 256);
      auto const weights = weights_of(scores);
      for (std::size_t i = 0; i < scores.size(); ++i) {
        double const right = std::exp(double{scores[i]});
        double const unit = std::ldexp(1.0, std::ilogb(right) - 23);
        worst = std::max(worst, std::fabs(weights[i] - right) / unit);
      }
    }
    CAPTURE(attention::name_of(isa));
    CHECK(worst < 2);
    for (std::size_t i = 0; i < scores.size(); ++i) scores[i] = -88.01F - static_cast<float>(i * i * i * i);
    scores[7] = -std::numeric_limits<float>::infinity();
    scores[8] = attention::hidden_score;
    for (float const weight : weights_of(scores)) CHECK(weight == 0.0F);
    scores[9] = not_a_number;
    scores[80] = -not_a_number;
    auto const weights = weights_of(scores);
    CHECK(std::isnan(weights[9]));
    CHECK(std::isnan(weights[80]));
  }
}
