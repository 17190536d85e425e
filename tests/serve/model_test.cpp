// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The forward pass: dot products, RoPE, and that a token's numbers do not depend on its company.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <folio/attention/host/isa.hpp>
#include <folio/thread_pool.hpp>
#include <string>
#include <utility>
#include <vector>

#include "caches/contiguous_cache.hpp"
#include "model/llama.hpp"
#include "model/matmul.hpp"
#include "model/rope.hpp"
#include "support/catch.hpp"

using folio::attention::Isa, folio::attention::name_of;
using serve::ElementType;

namespace {

constexpr Isa each_isa[] = {Isa::portable, Isa::avx2, Isa::avx512};  // where the machine has less, that again

/// The instructions in use while it lives.
class UsedIsa {
 public:
  explicit UsedIsa(Isa isa) { folio::attention::use_isa(isa); }
  UsedIsa(UsedIsa const&) = delete;
  UsedIsa& operator=(UsedIsa const&) = delete;
  ~UsedIsa() { folio::attention::use_isa(before_); }

 private:
  Isa before_ = folio::attention::isa_in_use();
};

std::size_t to_size(std::int64_t n) { return static_cast<std::size_t>(n); }

std::vector<float> numbers(std::size_t n, float step) {
  std::vector<float> out;
  for (std::size_t i = 0; i < n; ++i) out.push_back(std::sin(step * static_cast<float>(i + 1)));
  return out;
}

/// The numbers, none smaller than 2^-14, cut to the type; one byte comes before them.
std::vector<std::byte> stored(ElementType type, std::vector<float> const& values) {
  std::vector<std::byte> out(1);
  for (float const value : values) {
    auto const bits = std::bit_cast<std::uint32_t>(std::abs(value) < 0x1p-14f ? 1.0f : value);
    std::uint32_t const f16 = (bits >> 16 & 0x8000) | (((bits & 0x7FFFFFFF) - (112u << 23)) >> 13);
    std::uint32_t const stored = type == ElementType::f16 ? f16 : type == ElementType::bf16 ? bits >> 16 : bits;
    auto const* const begin = reinterpret_cast<std::byte const*>(&stored);
    out.insert(out.end(), begin, begin + serve::element_bytes(type));
  }
  return out;
}

/// The largest error of out = W x + bias, in what the roundings of the sums may come to.
double largest_error(serve::Linear const& linear, std::vector<float> const& x, std::vector<float> const& out) {
  serve::Matrix const& w = linear.weight;
  double largest = 0;
  std::vector<float> row(to_size(w.cols));
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::int64_t const r = static_cast<std::int64_t>(i) % w.rows, t = static_cast<std::int64_t>(i) / w.rows;
    serve::widen(w.type, w.row(r), w.cols, row.data());
    double exact = linear.bias.empty() ? 0 : linear.bias[to_size(r)], size = std::abs(exact);
    for (std::int64_t c = 0; c < w.cols; ++c) {
      double const product = double{row[to_size(c)]} * x[to_size(t * w.cols + c)];
      exact += product;
      size += std::abs(product);
    }
    double const roundings = static_cast<double>(w.cols) / 16 + 7;
    largest = std::max(largest, std::abs(out[i] - exact) / (roundings * 0x1p-24 * size));
  }
  return largest;
}

}  // namespace

TEST_CASE("dot is the sum of the products for every length", "[serve]") {
  for (std::int64_t n : {0, 1, 7, 15, 16, 17, 31, 32, 100, 193}) {
    auto const a = numbers(static_cast<std::size_t>(n), 0.37f), b = numbers(static_cast<std::size_t>(n), 0.91f);
    double exact = 0;
    for (std::size_t i = 0; i < a.size(); ++i) exact += double{a[i]} * b[i];
    CHECK(serve::dot(a.data(), b.data(), n) == Approx(exact).margin(1e-5));
  }
}

TEST_CASE("A matmul gives the same bits for any number of tokens and threads, on each set of instructions", "[serve]") {
  std::int64_t const most = 70;
  for (Isa const isa : each_isa)
    for (ElementType const type : {ElementType::f32, ElementType::f16, ElementType::bf16})
      for (auto const& [rows, cols] : {std::pair(37, 53), std::pair(1, 1), std::pair(66, 16), std::pair(6, 35)}) {
        UsedIsa const used(isa);
        INFO(name_of(isa) << ", type " << static_cast<int>(type) << ", " << rows << " x " << cols);
        auto const bytes = stored(type, numbers(to_size(rows * cols), 0.11f));  // one byte after an aligned address
        serve::Linear linear{{type, bytes.data() + 1, rows, cols}, {}};
        if (rows != 66) linear.bias = numbers(to_size(rows), 0.5f);
        auto const x = numbers(to_size(most * cols), 0.23f);
        std::vector<float> alone(to_size(most * rows));
        for (std::int64_t t = 0; t < most; ++t)
          serve::matmul(linear, x.data() + t * cols, 1, alone.data() + t * rows, nullptr);
        CHECK(largest_error(linear, x, alone) <= 1);

        serve::matmul(linear, nullptr, 0, nullptr, nullptr);
        std::int64_t num_different = 0;
        for (int num_threads = 1; num_threads <= 3; ++num_threads) {
          folio::ThreadPool threads(num_threads);
          for (std::int64_t n = 0; n <= most; n += num_threads) {
            std::vector<float> together(to_size(n * rows + 1), 77.0f);  // and what must stay
            serve::matmul(linear, x.data(), n, together.data(), num_threads == 1 ? nullptr : &threads);
            bool const same = std::memcmp(together.data(), alone.data(), to_size(n * rows) * sizeof(float)) == 0;
            num_different += same && together.back() == 77.0f ? 0 : 1;
          }
        }
        CHECK(num_different == 0);
      }
}

TEST_CASE("Every weight of 16 bits is multiplied as the number that it is", "[serve]") {
  std::vector<std::uint16_t> patterns;
  for (int i = 0; i < 1 << 16; ++i) patterns.push_back(static_cast<std::uint16_t>(i));
  std::vector<float> const ones(8, 1.0f);
  for (Isa const isa : each_isa)
    for (ElementType const type : {ElementType::f16, ElementType::bf16})
      for (std::int64_t const num_tokens : {1, 8}) {
        UsedIsa const used(isa);
        serve::Linear const linear{{type, reinterpret_cast<std::byte const*>(patterns.data()), 1 << 16, 1}, {}};
        std::vector<float> out(to_size(num_tokens << 16));
        serve::matmul(linear, ones.data(), num_tokens, out.data(), nullptr);
        std::int64_t num_wrong = 0;
        for (std::size_t i = 0; i < out.size(); ++i) {
          std::uint16_t const bits = patterns[i & 0xFFFF];
          float const expected = type == ElementType::f16 ? serve::from_f16(bits) : serve::from_bf16(bits);
          num_wrong += out[i] == expected || (std::isnan(out[i]) && std::isnan(expected)) ? 0 : 1;
        }
        INFO(name_of(isa) << ", type " << static_cast<int>(type) << ", " << num_tokens << " tokens");
        CHECK(num_wrong == 0);
      }
}

TEST_CASE("RoPE frequencies follow theta, linear and Llama 3 scaling", "[serve]") {
  serve::LlamaConfig config;
  config.head_dim = 128;
  config.rope_theta = 500000;
  auto const plain = serve::rope_frequencies(config);
  REQUIRE(plain.size() == 64);
  CHECK(plain[0] == 1.0f);
  CHECK(plain[32] == Approx(1 / std::sqrt(500000.0)));

  config.rope_scaling = {.kind = serve::RopeScaling::Kind::linear, .factor = 4};
  CHECK(serve::rope_frequencies(config)[32] == Approx(plain[32] / 4));

  config.rope_scaling = {serve::RopeScaling::Kind::llama3, 8, 1, 4, 8192};
  auto const scaled = serve::rope_frequencies(config);
  for (std::size_t i = 0; i < 64; ++i) {
    double const wavelength = 2 * 3.14159265358979 / plain[i];
    if (wavelength < 8192.0 / 4) {
      CHECK(scaled[i] == plain[i]);
    } else if (wavelength > 8192.0) {
      CHECK(scaled[i] == Approx(plain[i] / 8));
    } else {
      CHECK(scaled[i] < plain[i]);
      CHECK(scaled[i] > plain[i] / 8);
    }
  }
  // Pair 32 has a wavelength of 4443: 1.844 turns in the original context, so 0.281 of it keeps its frequency.
  CHECK(scaled[32] == Approx(plain[32] * (0.2813 + 0.7187 / 8)).epsilon(1e-3));
}

TEST_CASE("YaRN keeps the pairs that turn often, divides those that turn seldom, and blends between", "[serve]") {
  serve::LlamaConfig config;
  config.head_dim = 128;
  config.rope_theta = 1e6;
  auto const plain = serve::rope_frequencies(config);
  config.rope_scaling = {.kind = serve::RopeScaling::Kind::yarn, .factor = 4, .original_context = 32768};
  auto const yarn = serve::rope_frequencies(config);
  // Pair 23.6 turns 32 times in the original context, pair 39.6 once. So transformers gives, of each frequency, ...
  CHECK(serve::yarn_bounds(config) == std::pair(23.0, 40.0));
  for (std::size_t const i : {0u, 10u, 23u}) CHECK(yarn[i] == plain[i]);
  CHECK(yarn[31] == Approx(plain[31] * (1 - 8 / 17.0 * 0.75)));
  for (std::size_t const i : {40u, 50u, 63u}) CHECK(yarn[i] == Approx(plain[i] / 4));
  config.rope_scaling.truncate = false;
  CHECK(serve::yarn_bounds(config).first == Approx(23.5959).epsilon(1e-4));
  CHECK(serve::yarn_bounds(config).second == Approx(39.6509).epsilon(1e-4));

  serve::RopeTable table;
  std::int32_t const position = 3;
  table.fill({&position, 1}, yarn, 1.25f);
  CHECK(table.cosines[0] == Approx(1.25 * std::cos(3.0)));
  CHECK(table.sines[0] == Approx(1.25 * std::sin(3.0)));
}

TEST_CASE("RoPE turns pairs and keeps lengths", "[serve]") {
  std::vector<float> head = {1, 2, 3, 4};
  float const cosines[] = {0.0f, 0.6f}, sines[] = {1.0f, 0.8f};
  serve::rotate(head.data(), cosines, sines, 4);
  CHECK(head[0] == Approx(-3));
  CHECK(head[2] == Approx(1));
  CHECK(head[1] == Approx(2 * 0.6 - 4 * 0.8));
  CHECK(head[3] == Approx(4 * 0.6 + 2 * 0.8));
}

TEST_CASE("The bundled model predicts its text, and chunks change no bit", "[serve]") {
  std::string const directory = FOLIO_SERVE_MODEL;
  serve::Llama const model(directory);
  std::string const text = serve::read_text(directory + "/held-out.txt", 1 << 20).substr(1000, 257);
  std::vector<std::int32_t> tokens;
  for (char const c : text) tokens.push_back(static_cast<unsigned char>(c));
  std::span<std::int32_t const> const all(tokens);

  serve::ContiguousCache whole(model.config(), 256), parts(model.config(), 256);
  serve::Activations a, b;
  whole.run(model, all.first(256), a);
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < 256; ++i) rows.push_back(i);
  std::vector<float> logits, last;
  model.logits(rows, a, logits, nullptr);

  for (std::size_t const chunk : {100u, 1u, 55u, 99u, 1u})
    parts.run(model, all.subspan(static_cast<std::size_t>(parts.num_tokens()), chunk), b);
  REQUIRE(parts.num_tokens() == 256);
  std::int64_t const row = 0;
  model.logits({&row, 1}, b, last, nullptr);
  CHECK(std::memcmp(last.data(), logits.data() + 255 * 256, 256 * sizeof(float)) == 0);

  double bits = 0;
  for (std::size_t i = 0; i < 256; ++i) {
    double total = 0;
    for (std::size_t v = 0; v < 256; ++v) total += std::exp(static_cast<double>(logits[i * 256 + v]));
    bits -= std::log2(std::exp(static_cast<double>(logits[i * 256 + static_cast<std::size_t>(tokens[i + 1])])) / total);
  }
  CHECK(bits / 256 < 2.2);
}
