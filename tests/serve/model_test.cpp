// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The forward pass: dot products, RoPE, and that a token's numbers do not depend on its company.

#include <cmath>
#include <cstring>
#include <folio/thread_pool.hpp>
#include <string>
#include <utility>
#include <vector>

#include "contiguous_cache.hpp"
#include "llama.hpp"
#include "matmul.hpp"
#include "rope.hpp"
#include "support/catch.hpp"

namespace {

std::vector<float> numbers(std::size_t n, float step) {
  std::vector<float> out;
  for (std::size_t i = 0; i < n; ++i) out.push_back(std::sin(step * static_cast<float>(i + 1)));
  return out;
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

TEST_CASE("A matmul gives the same bits for any number of tokens and threads", "[serve]") {
  std::int64_t const rows = 37, cols = 53, num_tokens = 9;
  auto const weights = numbers(static_cast<std::size_t>(rows * cols), 0.11f);
  auto const x = numbers(static_cast<std::size_t>(num_tokens * cols), 0.23f);
  serve::Linear linear{{serve::ElementType::f32, reinterpret_cast<std::byte const*>(weights.data()), rows, cols}, {}};
  SECTION("without a bias") {}
  SECTION("with a bias") { linear.bias = numbers(static_cast<std::size_t>(rows), 0.5f); }
  std::vector<float> together(static_cast<std::size_t>(num_tokens * rows)), alone(together), threaded(together);
  serve::matmul(linear, x.data(), num_tokens, together.data(), nullptr);
  for (std::int64_t t = 0; t < num_tokens; ++t)
    serve::matmul(linear, x.data() + t * cols, 1, alone.data() + t * rows, nullptr);
  folio::ThreadPool threads(3);
  serve::matmul(linear, x.data(), num_tokens, threaded.data(), &threads);
  CHECK(std::memcmp(together.data(), alone.data(), together.size() * sizeof(float)) == 0);
  CHECK(std::memcmp(together.data(), threaded.data(), together.size() * sizeof(float)) == 0);
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
