// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The host's operations and formats as a user compiles them: CMakeLists.txt builds this program by each compiler with
// -Ofast, which sums in any order and takes no float for a NaN or an infinity, and runs it once on each set of
// instructions. So it looks at bits where it asks for these, and needs nothing that was compiled otherwise.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <folio/folio.hpp>
#include <folio/ops/demote.hpp>
#include <folio/ops/scores.hpp>
#include <folio/ops/top_k.hpp>
#include <folio/quantizer/two_sided_tile.hpp>
#include <limits>
#include <string>
#include <vector>

#include "support/naive_attention.hpp"
#include "support/random.hpp"

using namespace folio;
using folio::test::random_floats;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();
int num_failures = 0;

void check(bool holds, std::string const& what) {
  if (holds) return;
  ++num_failures;
  std::printf("failed: %s\n", what.c_str());
}

/// What the compiler cannot know.
std::vector<float> at_run_time(std::vector<float> values) {
  for (float& x : values) {
    std::uint32_t const volatile bits = to_bits(x);
    std::uint32_t const copy = bits;
    std::memcpy(&x, &copy, sizeof(x));
  }
  return values;
}

/// The largest difference, or 1e30 where one of them is no number.
double largest_error(std::vector<double> const& expected, std::vector<float> const& found) {
  double largest = 0;
  for (std::size_t i = 0; i < found.size(); ++i)
    largest = is_nan(found[i]) ? 1e30 : std::max(largest, std::fabs(expected[i] - double{found[i]}));
  return largest;
}

struct Result {
  std::vector<float> out, lse;
};

constexpr std::int32_t dim = 64, kv_heads = 2, heads = 4;

template <class View>
Result attend(View const& view, std::vector<float> const& q, AttentionParams const& params = {}) {
  auto const rows = static_cast<std::size_t>(view.num_query_tokens() * heads);
  Result result{std::vector<float>(rows * std::size_t{dim}, 7.0F), std::vector<float>(rows, 7.0F)};
  ops::attend(view, 0, AttentionIo{q.data(), heads, result.out.data(), result.lse.data()}, params);
  return result;
}

bool same_bits(float const* a, float const* b, std::int32_t n) {
  return std::memcmp(a, b, static_cast<std::size_t>(n) * sizeof(float)) == 0;
}

/// A query that holds a NaN gives NaN in its head, and all others what they gave; a query that sees nothing gives 0.
template <class View>
void check_special_queries(char const* name, View const& view, std::vector<float> q, Result const& plain) {
  Result found;
  for (float const what : at_run_time({infinity, not_a_number})) {  // of the second token's second head
    std::memcpy(q.data() + 5 * dim + 7, &what, sizeof(what));
    found = attend(view, q);
    check(is_nan(found.lse[5]), std::string(name) + ": an infinity or a NaN in a query");
  }
  for (std::int32_t row = 0; row < view.num_query_tokens() * heads; ++row) {
    float const* const out = found.out.data() + row * dim;
    bool all_nan = is_nan(found.lse[static_cast<std::size_t>(row)]);
    for (std::int32_t d = 0; d < dim; ++d) all_nan = all_nan && is_nan(out[d]);
    check(row == 5 ? all_nan : same_bits(out, plain.out.data() + row * dim, dim),
          std::string(name) + ": a NaN in row 5 of the queries, seen in row " + std::to_string(row));
  }
  Result const nothing = attend(view, q, {.token_begin = 1000});
  bool zeros = true;
  for (float const& x : nothing.out) zeros = zeros && to_bits(x) == 0;
  for (float const& x : nothing.lse) zeros = zeros && is_negative_infinity(x);
  check(zeros, std::string(name) + ": a query that sees nothing gives zeros and an lse of -infinity");
}

/// Attention is the formula's, as a whole and in parts that are merged.
template <class View>
void check_attention(char const* name, View const& view) {
  auto const q = random_floats(std::int64_t{view.num_query_tokens()} * heads * dim, 3, 2.0F);
  float const sinks[] = {0.5F, -1.0F, 3.0F, -infinity};
  for (float const* const logits : {static_cast<float const*>(nullptr), sinks}) {
    auto const expected = folio::test::naive_attention(view, 0, q.data(), heads, {.sink_logits = logits});
    double const bound = expected.unit * (1 + expected.largest_score);
    Result const whole = attend(view, q, {.sink_logits = logits});
    double const out_error = largest_error(expected.out, whole.out), lse_error = largest_error(expected.lse, whole.lse);
    check(out_error <= bound * expected.largest_value + 1e-7,
          std::string(name) + ": out, by " + std::to_string(out_error));
    check(lse_error <= bound, std::string(name) + ": lse, by " + std::to_string(lse_error));

    Result parts = attend(view, q, {.token_end = 70, .sink_logits = logits});
    for (std::int32_t const begin : {70, 71, 1000}) {  // the last one is empty
      std::int32_t const end = begin == 70 ? 71 : 1000;
      Result const part = attend(view, q, {.token_begin = begin, .token_end = end});
      ops::merge_attention(parts.out.data(), parts.lse.data(), part.out.data(), part.lse.data(),
                           view.num_query_tokens() * heads, dim);
    }
    check(largest_error(expected.out, parts.out) <= bound * expected.largest_value + 1e-6,
          std::string(name) + ": parts, merged");
    if (logits == nullptr) check_special_queries(name, view, q, whole);
  }
}

constexpr ModelConfig model{.layers = 1, .kv_heads = kv_heads, .head_dim = dim};
constexpr ModelConfig window_model{
    .layers = 1, .kv_heads = kv_heads, .head_dim = dim, .groups = {sliding_window(70, 5)}};
constexpr std::int32_t num_tokens = 192;

template <class Cache>
Sequence filled(Cache& cache) {
  Sequence sequence = cache.create(num_tokens);
  auto const rows = random_floats(std::int64_t{num_tokens} * kv_heads * dim, 1, 2.0F);
  auto const values = random_floats(std::int64_t{num_tokens} * kv_heads * dim, 2, 2.0F);
  ops::append(cache.batch({&sequence}).view(), 0, rows.data(), values.data());
  return sequence;
}

/// Rows of a format: what they lose, and what becomes of an infinity and a NaN. `loss`: the root mean square of the
/// error, by that of the row.
template <class Q>
void check_rows(double loss) {
  auto row = random_floats(128, 11, 3.0F);
  std::vector<std::byte> codes(512), params(static_cast<std::size_t>(Q::param_bytes(128)) + 4);
  std::vector<float> decoded(128);
  auto const encode = [&] {
    Q::encode(row.data(), 128, codes.data(), params.data());
    decode_row<Q>(codes.data(), params.data(), 128, decoded.data());
    change_basis(Q::basis, decoded.data(), 128, 128);
  };
  encode();
  double errors = 0, squares = 0;
  for (std::size_t i = 0; i < row.size(); ++i) {
    errors += (double{row[i]} - double{decoded[i]}) * (double{row[i]} - double{decoded[i]});
    squares += double{row[i]} * double{row[i]};
  }
  check(errors <= loss * loss * squares,
        std::string(Q::name) + ": a row loses " + std::to_string(std::sqrt(errors / squares)));
  row[3] = not_a_number;
  row[70] = -infinity;
  encode();
  bool finite = true;
  for (std::size_t i = 0; i < row.size(); ++i)
    if (i != 3 && i != 70) finite = finite && (to_bits(decoded[i]) & 0x7FFFFFFFU) < to_bits(100.0F);
  check(finite, std::string(Q::name) + ": an infinity and a NaN touch other elements");
  if (Q::bits >= 16 || Q::row_format.elements == Elements::e4m3)
    check(is_nan(decoded[3]), std::string(Q::name) + ": a NaN stays one");
}

template <class Q>
void check_format(double loss) {
  check_rows<Q>(loss);
  KvCache<Model<model>, BlockSize<16>, Q> cache({.num_blocks = {32}});
  Sequence const sequence = filled(cache);
  auto const batch = cache.batch({{&sequence, 2}});
  check_attention(Q::name, batch.view());
  KvCache<Model<window_model>, BlockSize<16>, Q> windows({.num_blocks = {32}});
  Sequence const in_window = filled(windows);
  auto const window_batch = windows.batch({{&in_window, 40}});
  check_attention((std::string(Q::name) + " with a window").c_str(), window_batch.view());
}

template <class Q>
void check_tile_format() {
  KvCache<Model<model>, BlockSize<64>, F32> from({.num_blocks = {8}});
  KvCache<Model<model>, BlockSize<64>, Q> cache({.num_blocks = {8}});
  Sequence const source = filled(from), sequence = cache.create(num_tokens);
  auto const batch = cache.batch({{&sequence, 2}});
  ops::demote(from.batch({&source}).view(), 0, {0, 0, num_tokens}, batch.view(), {0, 0, num_tokens});
  check_attention(Q::name, batch.view());
}

/// All keys of a head are NaN: its queries give NaN, those of the other head numbers. Weights follow lse.
void check_keys_and_scores() {
  KvCache<Model<model>, BlockSize<16>, F16> cache({.num_blocks = {32}});
  Sequence sequence = cache.create(20);
  auto const batch = cache.batch({{&sequence, 1}});
  auto const values = random_floats(20 * kv_heads * dim, 5);
  auto keys = values;
  auto const q = random_floats(heads * dim, 6);
  auto const scores_of = [&] {
    ops::append(cache.batch({{&sequence, 20}}).view(), 0, keys.data(), values.data());
    Result const result = attend(batch.view(), q);
    std::vector<float> scores(std::size_t{kv_heads} * 32, 1.0F);
    ops::accumulate_scores(batch.view(), 0, q.data(), heads, result.lse.data(), scores.data(),
                           {.max_tokens = 32, .decay = 0});
    return std::pair(result, scores);
  };
  auto const [plain, scores] = scores_of();
  double sum = 0;
  for (std::size_t t = 0; t < 20; ++t) sum += double{scores[t]};
  check(!is_nan(scores[0]) && std::fabs(sum - 2) < 1e-5, "the weights of two heads add up to 2");
  std::vector<float> lse(std::size_t{heads}, -infinity), nothing(std::size_t{kv_heads} * 32, 1.0F);
  ops::accumulate_scores(batch.view(), 0, q.data(), heads, lse.data(), nothing.data(), {.max_tokens = 32, .decay = 0});
  check(to_bits(nothing[0]) == 0, "a query that saw nothing gives no weight");
  for (std::size_t token = 0; token < 20; ++token)
    for (std::size_t d = 0; d < dim; ++d) keys[token * kv_heads * dim + d] = not_a_number;
  Result const found = scores_of().first;
  for (std::size_t row = 0; row < heads; ++row) {
    bool const right = row < 2 ? is_nan(found.out[row * dim]) && is_nan(found.lse[row])
                               : same_bits(found.out.data() + row * dim, plain.out.data() + row * dim, dim);
    check(right, "NaN in all keys of head 0, seen in query head " + std::to_string(row));
  }
  auto const ranked = at_run_time({1.0F, not_a_number, -0.5F, 2.0F, -infinity, 0.0F, -0.0F, 1.5F});
  Sequence eight = cache.create(8);
  std::int32_t kept[5], count = 0;
  ops::top_k(cache.batch({&eight}).view(), ranked.data(), {.k = 5, .max_tokens = 8}, kept, &count);
  std::int32_t const expected[] = {0, 3, 5, 6, 7};
  check(count == 5 && std::memcmp(kept, expected, sizeof(kept)) == 0, "top_k: a NaN is the lowest score");
}

void check_merge() {
  auto out = at_run_time({1, 1, 1, 1, 2}), lse = at_run_time({-infinity, 0.5F, not_a_number, 0.5F, 0.0F});
  auto const other = at_run_time({3, not_a_number, 3, 3, 4});
  auto const other_lse = at_run_time({0.25F, -infinity, 0.0F, not_a_number, 0.0F});
  ops::merge_attention(out.data(), lse.data(), other.data(), other_lse.data(), 5, 1);
  check(to_bits(out[0]) == to_bits(3.0F) && to_bits(lse[0]) == to_bits(0.25F), "merge: into an empty part");
  check(to_bits(out[1]) == to_bits(1.0F) && to_bits(lse[1]) == to_bits(0.5F), "merge: of an empty part");
  check(is_nan(out[2]) && is_nan(lse[2]) && is_nan(out[3]) && is_nan(lse[3]), "merge: a NaN stays one");
  check(std::fabs(out[4] - 3.0F) < 1e-6F && std::fabs(lse[4] - std::log(2.0F)) < 1e-6F, "merge: of two equal parts");
}

/// Conversions as the program runs, against the compiler's own evaluation, which flags do not touch.
void check_conversions() {
  constexpr std::uint32_t patterns[] = {0x00000000, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC12345,
                                        0x00000001, 0x33000001, 0x387FC000, 0x38800000, 0x477FEFFF, 0x477FF000,
                                        0x3C7FFFFF, 0x43E00001, 0x3EAAAAAB, 0xC0D00000, 0x40F00000, 0x7F7FFFFF};
  constexpr std::size_t n = sizeof(patterns) / sizeof(patterns[0]);
  struct Converted {
    std::uint32_t all[n][7];
  };
  auto const convert = [](std::uint32_t const* from) constexpr {
    Converted c{};
    for (std::size_t i = 0; i < n; ++i) {
      float const x = to_float(from[i]);
      std::uint32_t const values[] = {f32_to_f16(x),
                                      f32_to_bf16(x),
                                      f32_to_e4m3(x),
                                      f32_to_e5m2(x),
                                      f32_to_e2m1(x),
                                      to_bits(f16_to_f32(f32_to_f16(x))),
                                      to_bits(e4m3_to_f32(f32_to_e4m3(x)))};
      for (std::size_t j = 0; j < 7; ++j) c.all[i][j] = values[j];
    }
    return c;
  };
  static constexpr Converted expected = convert(patterns);
  std::uint32_t at_run_time[n];
  for (std::size_t i = 0; i < n; ++i) at_run_time[i] = *const_cast<std::uint32_t const volatile*>(patterns + i);
  Converted const found = convert(at_run_time);
  check(std::memcmp(&expected, &found, sizeof(found)) == 0, "conversions are those of the compiler");
}

}  // namespace

int main() {
  char const* const wish = std::getenv("FOLIO_ISA");
  std::string const used = attention::name_of(attention::isa_in_use());
  if (wish != nullptr && used != wish) {
    std::printf("this machine has no %s, so nothing was run on it\n", wish);
    return 77;  // skipped, for ctest
  }
  check_format<F16>(3e-4);
  check_format<Fp8E4M3>(0.04);
  check_format<Int8PerToken>(0.01);
  check_format<Int4Rotated>(0.15);
  check_tile_format<TwoSidedTile<3, 64, GridSide::channels>>();
  check_rows<F32>(0);
  check_rows<BF16>(2.5e-3);
  check_rows<Int6Rotated>(0.03);
  check_rows<Int2Rotated>(0.5);
  check_rows<Fp8E5M2>(0.08);
  check_rows<Int4PerGroup<32>>(0.1);
  check_rows<Nvfp4>(0.15);
  check_rows<Mxfp4>(0.2);
  check_keys_and_scores();
  check_merge();
  check_conversions();
  std::printf("%s: %d failures\n", used.c_str(), num_failures);
  return num_failures == 0 ? 0 : 1;
}
