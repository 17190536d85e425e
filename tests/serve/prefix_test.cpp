// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Requests that share openings, with the cache's prefixes and without: the same tokens, and less to compute.

#include <cstdint>
#include <folio/thread_pool.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "check.hpp"
#include "engine.hpp"
#include "model/llama.hpp"
#include "random_model.hpp"
#include "support/catch.hpp"

using serve::Tokens;
using serve::test::hybrid, serve::test::Kind, serve::test::least_memory, serve::test::ModelFolder;
using serve::test::Silent, serve::test::vocab;

namespace {

constexpr std::int32_t block_size = 16;

Kind const plain{}, windowed{.architecture = "MistralForCausalLM", .config = R"("sliding_window": 20, )"},
    both = hybrid();

Tokens some_tokens(std::int32_t size, std::int32_t seed) {
  Tokens tokens;
  for (std::int32_t i = 0; i < size; ++i) tokens.push_back((i * i + 7 * seed) % vocab);
  return tokens;
}

Tokens operator+(Tokens a, Tokens const& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// Openings that end in the middle of a block and at its end, one prompt twice, and one that is another's beginning.
std::vector<Tokens> shared_openings() {
  Tokens const opening = some_tokens(52, 1);
  return {opening + some_tokens(9, 2),
          opening + some_tokens(30, 3),
          some_tokens(64, 4),
          opening,
          opening + some_tokens(9, 2),
          some_tokens(64, 4) + some_tokens(5, 5),
          opening + some_tokens(30, 3) + some_tokens(20, 6),
          some_tokens(3, 7)};
}

serve::EngineOptions some_options() {
  serve::EngineOptions options;
  options.max_tokens = 30;
  options.batch_tokens = 24;
  options.sampling = {.temperature = 0.8, .top_k = 0, .top_p = 0.95, .seed = 3};
  return options;
}

serve::RunResult run(serve::Llama const& model, std::vector<Tokens> const& prompts,
                     serve::EngineOptions const& options) {
  Silent observer;
  serve::RunResult result = serve::make_engine("f32", model, prompts, options)->run(observer);
  CHECK(observer.last.live_bytes == 0);
  CHECK(result.waste_beyond_last_blocks == 0);
  return result;
}

/// The tokens of each request alone on a contiguous cache are those of `result`.
void check_alone(serve::Llama const& model, std::vector<Tokens> const& prompts, serve::EngineOptions const& options,
                 serve::RunResult const& result) {
  serve::CheckResult const checked = serve::check(model, prompts, options, result);
  INFO(checked.first_difference);
  CHECK(checked.identical);
}

}  // namespace

TEST_CASE("Requests with the same opening compute it once", "[serve]") {
  Kind const kind = GENERATE(plain, windowed, both);
  ModelFolder const folder(kind);
  serve::Llama const model(folder.path());
  auto const prompts = shared_openings();
  serve::EngineOptions options = some_options();
  options.samples = 2;
  serve::RunResult const with = run(model, prompts, options);
  check_alone(model, prompts, options, with);
  CHECK(with.cached_tokens > 5 * 32);
  CHECK(with.preemptions == 0);
  CHECK(with.evictions == 0);
  CHECK(with.looked_up_tokens == with.prompt_tokens);
  CHECK(with.hit_rate() == Approx(static_cast<double>(with.cached_tokens) / static_cast<double>(with.prompt_tokens)));

  options.prefix = false;
  serve::RunResult const without = run(model, prompts, options);
  CHECK(without.completions == with.completions);
  CHECK(without.computed_tokens == with.computed_tokens + with.cached_tokens);
  CHECK(without.cached_tokens + without.looked_up_tokens + without.evictions == 0);
  CHECK(without.hit_rate() == 0);
}

TEST_CASE("A request leaves its prompt and what it generated", "[serve]") {
  ModelFolder const folder(plain);
  serve::Llama const model(folder.path());
  serve::EngineOptions options = some_options();
  options.batch_tokens = 1;  // so that one request follows the other
  Tokens const question = some_tokens(21, 1);
  Tokens const answer = run(model, {question}, options).completions[0][0];
  REQUIRE(answer.size() == 30);
  SECTION("to one that goes on from there") {
    std::vector<Tokens> const prompts{question, question + answer + some_tokens(9, 2)};
    serve::RunResult const result = run(model, prompts, options);
    CHECK(result.cached_tokens == (21 + 29) / block_size * block_size);  // the last token was drawn, and not computed
    check_alone(model, prompts, options, result);
  }
  SECTION("to one that asks the same, and has to compute one token") {
    std::vector<Tokens> const prompts{question, question};
    serve::RunResult const result = run(model, prompts, options);
    CHECK(result.cached_tokens == 20);
    CHECK(result.block_copies == 1);
    check_alone(model, prompts, options, result);
  }
  SECTION("and one that still runs leaves the blocks that are whole") {
    options.batch_tokens = 24;
    options.max_tokens = 3;
    std::vector<Tokens> const prompts{some_tokens(40, 1), some_tokens(40, 1)};
    serve::RunResult const result = run(model, prompts, options);
    CHECK(result.peak_sequences == 2);
    CHECK(result.cached_tokens == block_size);  // of the 24 that the first step computed
    check_alone(model, prompts, options, result);
  }
}

TEST_CASE("Short memory evicts and preempts, and changes no token", "[serve]") {
  Kind const kind = GENERATE(plain, windowed, both);
  ModelFolder const folder(kind);
  serve::Llama const model(folder.path());
  auto const prompts = shared_openings();
  serve::EngineOptions options = some_options();
  options.samples = 2;
  options.prefix = false;
  serve::RunResult const ample = run(model, prompts, options);
  check_alone(model, prompts, options, ample);
  options.prefix = true;
  std::int64_t cached_tokens = 0, preemptions = 0;
  for (std::int32_t const batch_tokens : {7, 1000}) {
    options.batch_tokens = batch_tokens;
    std::int64_t const least = least_memory(model, prompts, options);
    for (std::int64_t const memory : {least, least + least / 2}) {
      options.memory_bytes = memory;
      serve::RunResult const result = run(model, prompts, options);
      INFO(batch_tokens << " tokens in a step, " << memory << " bytes");
      CHECK(result.completions == ample.completions);
      CHECK(result.bytes_peak <= memory);
      CHECK(result.evictions > 0);
      cached_tokens += result.cached_tokens;
      preemptions += result.preemptions;
    }
  }
  CHECK(cached_tokens > 0);
  CHECK(preemptions > 0);
}

TEST_CASE("What is kept stands in nobody's way", "[serve]") {
  ModelFolder const folder(plain);
  serve::Llama const model(folder.path());
  std::vector<Tokens> prompts;
  for (std::int32_t i = 0; i < 10; ++i) prompts.push_back(Tokens{i} + some_tokens(40 + 7 * i, i));
  serve::EngineOptions options = some_options();
  options.max_tokens = 3;
  options.memory_bytes = 3 * least_memory(model, prompts, options);
  options.prefix = false;
  serve::RunResult const without = run(model, prompts, options);
  options.prefix = true;
  serve::RunResult const with = run(model, prompts, options);
  CHECK(with.evictions > 0);
  CHECK(with.cached_tokens == 0);
  CHECK(with.completions == without.completions);
  CHECK(with.steps == without.steps);
  CHECK(with.peak_sequences == without.peak_sequences);
  CHECK(with.bytes_peak == without.bytes_peak);
}

TEST_CASE("A prompt that fills the memory is found in the memory that it fills", "[serve]") {
  ModelFolder const folder(plain);
  serve::Llama const model(folder.path());
  serve::EngineOptions options = some_options();
  options.max_tokens = 1;
  std::vector<Tokens> const prompts{some_tokens(48, 1), some_tokens(48, 1), some_tokens(48, 1)};
  options.memory_bytes = least_memory(model, prompts, options);  // three blocks, and no room for a copy of one
  serve::RunResult const result = run(model, prompts, options);
  CHECK(result.cached_tokens >= 2 * 47);
  check_alone(model, prompts, options, result);
}

TEST_CASE("Random requests have the same tokens with prefixes and without", "[serve]") {
  ModelFolder const folders[] = {ModelFolder(plain), ModelFolder(windowed), ModelFolder(both)};
  serve::Llama const models[] = {serve::Llama(folders[0].path()), serve::Llama(folders[1].path()),
                                 serve::Llama(folders[2].path())};
  folio::ThreadPool threads(2);
  std::int64_t cached_tokens = 0, evictions = 0, preemptions = 0;
  for (std::uint32_t seed = 1; seed <= 18; ++seed) {
    INFO("seed " << seed);
    std::mt19937 random(seed);
    auto const draw = [&](std::int32_t low, std::int32_t high) {
      return low + static_cast<std::int32_t>(random() % static_cast<std::uint32_t>(high - low + 1));
    };
    std::vector<Tokens> prompts{some_tokens(draw(1, 60), 1)};
    while (prompts.size() < 10) {  // each begins as some other one does
      Tokens const& other = prompts[random() % prompts.size()];
      Tokens const opening(other.begin(), other.begin() + draw(0, static_cast<std::int32_t>(other.size())));
      prompts.push_back(opening + some_tokens(draw(1, 20), draw(2, 9)));
      if (prompts.back().size() > 110) prompts.back().resize(110);
    }
    serve::EngineOptions options = some_options();
    options.sampling.temperature = draw(0, 1);
    options.sampling.seed = seed;
    options.samples = draw(1, 3);
    options.max_tokens = draw(1, 40);
    options.batch_tokens = draw(1, 2) == 1 ? draw(1, 20) : draw(20, 300);
    options.threads = &threads;
    serve::Llama const& model = models[seed % 3];
    options.prefix = false;
    serve::RunResult const without = run(model, prompts, options);
    options.prefix = true;
    options.memory_bytes = least_memory(model, prompts, options) * draw(10, 30) / 10;
    serve::RunResult const with = run(model, prompts, options);
    REQUIRE(with.completions == without.completions);
    cached_tokens += with.cached_tokens;
    evictions += with.evictions;
    preemptions += with.preemptions;
  }
  CHECK(cached_tokens > 0);
  CHECK(evictions > 0);
  CHECK(preemptions > 0);
}
