// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The engine on small random models of every supported kind, against each request alone on a contiguous cache.

#include <algorithm>
#include <folio/thread_pool.hpp>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "caches/caches.hpp"
#include "check.hpp"
#include "engine.hpp"
#include "finite.hpp"
#include "json.hpp"
#include "mapped_file.hpp"
#include "model/llama.hpp"
#include "random_model.hpp"
#include "support/catch.hpp"
#include "text/stop.hpp"
#include "text/tokenizer.hpp"

using folio::test::contains;
using serve::Tokens;
using serve::test::hybrid, serve::test::Kind, serve::test::least_memory, serve::test::ModelFolder, serve::test::Silent;
using serve::test::kv_heads, serve::test::layers, serve::test::vocab;

namespace {

std::vector<Tokens> some_prompts() {
  std::vector<Tokens> prompts;
  for (std::int32_t const size : {1, 17, 70, 16, 33, 5, 100, 2}) {
    Tokens prompt;
    for (std::int32_t i = 0; i < size; ++i) prompt.push_back((i * i + 7 * size) % vocab);
    prompts.push_back(prompt);
  }
  return prompts;
}

serve::EngineOptions some_options() {
  serve::EngineOptions options;
  options.max_tokens = 40;
  options.batch_tokens = 24;
  options.sampling = {.temperature = 0.8, .top_k = 0, .top_p = 0.95, .seed = 3};
  return options;
}

/// Runs and checks; the run's result.
serve::RunResult run(serve::Llama const& model, serve::EngineOptions const& options) {
  auto const prompts = some_prompts();
  auto const engine = serve::make_engine("f32", model, prompts, options);
  Silent observer;
  serve::RunResult const result = engine->run(observer);
  serve::CheckResult const checked = serve::check(model, prompts, options, result);
  INFO(checked.first_difference);
  CHECK(checked.identical);
  CHECK(checked.agreement == 1);
  CHECK(result.device == "host");
  CHECK(result.waste_beyond_last_blocks == 0);
  CHECK(observer.tokens == result.generated_tokens);
  CHECK(observer.steps == result.steps);
  CHECK(observer.last.finished == static_cast<std::int64_t>(prompts.size()) * options.samples);
  CHECK(observer.last.live_bytes == 0);
  if (!options.prefix) CHECK(observer.last.kept_bytes + result.cached_tokens + result.evictions == 0);
  // A sample's last token is drawn and not computed; its prompt is computed once, whatever the samples.
  if (result.preemptions == 0)
    CHECK(result.computed_tokens + result.cached_tokens ==
          result.prompt_tokens + result.generated_tokens - static_cast<std::int64_t>(prompts.size()) * options.samples);
  return result;
}

}  // namespace

TEST_CASE("Every kind of model gives the same tokens paged and contiguous", "[serve]") {
  std::string const llama3 =
      R"("rope_theta": 500000, "rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 1,
      "high_freq_factor": 4, "original_max_position_embeddings": 64}, )";
  std::vector<Kind> const kinds = {
      {},
      {.config = llama3, .dtype = "BF16", .tied = true},
      {.config = R"("rope_scaling": {"type": "linear", "factor": 2}, )", .dtype = "F16", .shards = true},
      {.architecture = "MistralForCausalLM", .config = R"("sliding_window": 20, )"},
      hybrid(),
      hybrid("Qwen3ForCausalLM"),
      {.architecture = "Qwen2ForCausalLM", .tied = true, .shards = true},
      {.architecture = "Qwen3ForCausalLM", .dtype = "BF16"},
      {.head_dim = 64},
      {.head_dim = 80},
      {.head_dim = 96},
      {.head_dim = 128},
      {.head_dim = 256},
  };
  for (Kind const& kind : kinds) {
    INFO(kind.architecture << " " << kind.config << " head_dim " << kind.head_dim);
    ModelFolder const folder(kind);
    serve::Llama const model(folder.path());
    serve::RunResult const result = run(model, some_options());
    CHECK(result.generated_tokens == 8 * 40);
    CHECK(result.preemptions == 0);
  }
}

TEST_CASE("Greedy tokens are those of Hugging Face's transformers", "[serve]") {
  std::string const path = FOLIO_SERVE_TRANSFORMERS;  // compare_with_transformers.py wrote it
  serve::Json const file = serve::JsonReader::read(serve::read_text(path, 1 << 24), path);
  auto const list = [](serve::Json const& json, char const* name) {
    return *json.find(name)->get<serve::Json::Array>();
  };
  auto const tokens = [](serve::Json const& json) {
    Tokens out;
    for (serve::Json const& token : *json.get<serve::Json::Array>())
      out.push_back(static_cast<std::int32_t>(*token.get<std::int64_t>()));
    return out;
  };
  serve::EngineOptions options = some_options();
  options.max_tokens = 24;
  options.sampling.temperature = 0;
  for (serve::Json const& one : list(file, "cases")) {
    INFO(one.find("name")->text());
    Kind kind;
    for (serve::Json const& name : list(one, "more")) kind.more.push_back(*name.get<std::string>());
    serve::test::ScratchFolder const folder;
    serve::test::write_model(folder.path(), one.find("config")->text(1 << 20), kind);
    serve::Llama const model(folder.path());
    std::vector<Tokens> prompts, expected;
    for (serve::Json const& prompt : list(one, "prompts")) prompts.push_back(tokens(prompt));
    for (serve::Json const& answer : list(one, "tokens")) expected.push_back(tokens(answer));
    Silent observer;
    auto const got = serve::make_engine("f32", model, prompts, options)->run(observer).completions;
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      INFO("prompt " << i);
      Tokens answer = got[i][0];
      answer.resize(expected[i].size());  // it ends where transformers' two best tokens were too close to tell
      CHECK(answer == expected[i]);
    }
  }
}

TEST_CASE("A tensor that the config does not announce is refused", "[serve]") {
  auto const load = [](std::string const& name, bool tied = false) {
    ModelFolder const folder({.tied = tied, .more = {name}});
    serve::Llama const model(folder.path());
    return model.config().layers;
  };
  CHECK_THROWS_WITH(load("model.layers.1.self_attn.q_proj.bias"),
                    "The tensor model.layers.1.self_attn.q_proj.bias has no place in a LlamaForCausalLM as config.json "
                    "describes it, where attention_bias and mlp_bias announce biases.");
  CHECK_THROWS_WITH(load("model.layers.0.self_attn.q_norm.weight"), contains("has no place in a LlamaForCausalLM"));
  CHECK_THROWS_WITH(load("lm_head.bias"), contains("The tensor lm_head.bias has no place"));
  CHECK(load("model.layers.0.self_attn.rotary_emb.inv_freq") == layers);
  CHECK(load("model.layers.2.mlp.up_proj.bias") == layers);  // the config has fewer layers
  CHECK(load("lm_head.weight", /*tied=*/true) == layers);
}

TEST_CASE("Short memory preempts, and changes no token", "[serve]") {
  ModelFolder const folder({});
  serve::Llama const model(folder.path());
  serve::EngineOptions options = some_options();
  options.samples = GENERATE(1, 3);
  options.prefix = options.samples == 3;  // prefix_test.cpp has more of them
  serve::RunResult const ample = run(model, options);
  CHECK(ample.forks == 8 * (options.samples - 1));
  CHECK(ample.peak_sequences == 8 * options.samples);

  folio::ThreadPool threads(3);
  options.threads = &threads;
  options.batch_tokens = GENERATE(1, 7, 1000);
  std::int64_t const least = least_memory(model, some_prompts(), options);
  std::int64_t preemptions = 0;
  for (std::int64_t const memory : {least, least + least / 2, 2 * least}) {
    options.memory_bytes = memory;
    serve::RunResult const shorter = run(model, options);
    CHECK(shorter.completions == ample.completions);
    if (!options.prefix) CHECK((shorter.computed_tokens > ample.computed_tokens) == (shorter.preemptions > 0));
    preemptions += shorter.preemptions;
    CHECK(shorter.bytes_peak <= memory);
    CHECK(shorter.forks == 8 * (options.samples - 1));
  }
  // A step of one token lets nobody begin before everybody older has gone on, so memory may never run out.
  if (options.batch_tokens > 1) CHECK(preemptions > 0);
}

TEST_CASE("Blocks are held for what requests are expected to generate, once some have ended", "[serve]") {
  ModelFolder const folder({});
  serve::Llama const model(folder.path());
  serve::EngineOptions options = some_options();
  options.prefix = false;
  options.batch_tokens = 1000;
  std::vector<Tokens> const prompts(24, Tokens(16, 5));  // a block each, and three more for what they generate
  options.memory_bytes = 3 * least_memory(model, prompts, options);
  Silent observer;
  serve::RunResult const result = serve::make_engine("f32", model, prompts, options)->run(observer);
  CHECK(result.generated_tokens == 24 * 40);
  CHECK(result.bytes_ahead > 0);
  CHECK(result.bytes_ahead <= options.memory_bytes);
  // Those that came in before anybody had ended did not know: as many as the memory has blocks of prompts.
  CHECK(result.preemptions > 0);
  CHECK(result.preemptions < 12);
  CHECK(serve::check(model, prompts, options, result).identical);
}

TEST_CASE("Tenants share the memory, and each is told what it found and kept", "[serve]") {
  ModelFolder const folder({});
  serve::Llama const model(folder.path());
  serve::EngineOptions options = some_options();
  std::vector<Tokens> prompts = some_prompts();
  prompts.insert(prompts.end(), {prompts[2], prompts[6], prompts[4]});  // of tenants 2, 0 and 1
  options.memory_bytes = 2 * least_memory(model, prompts, options);
  Silent observer;
  serve::RunResult const one = serve::make_engine("f32", model, prompts, options)->run(observer);
  REQUIRE(one.tenants.size() == 1);
  CHECK(one.tenants[0].cached_tokens == one.cached_tokens);
  options.tenants = 3;
  serve::RunResult const three = serve::make_engine("f32", model, prompts, options)->run(observer);
  CHECK(three.completions == one.completions);
  REQUIRE(three.tenants.size() == 3);
  serve::TenantResult all;
  for (serve::TenantResult const& tenant : three.tenants) {
    all.requests += tenant.requests;
    all.prompt_tokens += tenant.prompt_tokens;
    all.generated_tokens += tenant.generated_tokens;
    all.cached_tokens += tenant.cached_tokens;
    all.looked_up_tokens += tenant.looked_up_tokens;
    all.bytes_share += tenant.bytes_share;
    all.bytes_kept += tenant.bytes_kept;
    CHECK(tenant.bytes_peak <= three.bytes_peak);
    all.bytes_peak += tenant.bytes_peak;
  }
  CHECK(three.tenants[0].requests == 4);
  CHECK(three.tenants[2].requests == 3);
  CHECK(all.requests == 11);
  CHECK(all.prompt_tokens == three.prompt_tokens);
  CHECK(all.generated_tokens == three.generated_tokens);
  CHECK(all.cached_tokens == three.cached_tokens);
  CHECK(all.looked_up_tokens == three.looked_up_tokens);
  CHECK(all.bytes_share <= three.memory_bytes);
  CHECK(all.bytes_share > three.memory_bytes * 9 / 10);
  CHECK(all.bytes_kept <= three.memory_bytes);
  CHECK(all.bytes_kept > 0);
  CHECK(all.bytes_peak >= three.bytes_peak);
  // Who asks for more gets more, and by its rate nobody gets less than half of another.
  auto const rate = [](serve::TenantResult const& t) { return static_cast<double>(t.prompt_tokens + 40 * t.requests); };
  for (serve::TenantResult const& a : three.tenants)
    for (serve::TenantResult const& b : three.tenants) {
      CHECK((rate(a) < rate(b) || a.bytes_share + 1 >= b.bytes_share));
      CHECK(static_cast<double>(a.bytes_share) / rate(a) >= 0.49 * static_cast<double>(b.bytes_share) / rate(b));
    }
}

TEST_CASE("A sliding window needs less memory than the sequence is long", "[serve]") {
  ModelFolder const windowed({.architecture = "MistralForCausalLM", .config = R"("sliding_window": 20, )"});
  serve::Llama const model(windowed.path());
  serve::EngineOptions options = some_options();
  options.batch_tokens = 8;
  options.prefix = GENERATE(false, true);
  // Tokens in a window, those of a chunk, and the rest of a block at both ends.
  CHECK(least_memory(model, some_prompts(), options) <= 5 * 16 * 2 * layers * kv_heads * 32 * 4);
  options.memory_bytes = least_memory(model, some_prompts(), options);
  serve::RunResult const result = run(model, options);
  CHECK(result.generated_tokens == 8 * 40);
}

TEST_CASE("Layers with a window need less memory than those without", "[serve]") {
  ModelFolder const folder(hybrid());
  serve::Llama const model(folder.path());
  serve::EngineOptions options = some_options();
  options.batch_tokens = 8;
  // The longest request fills 9 blocks in each of two layers. In each of three with a window it has the 5 of its tokens
  // in a window, those of a step, and the rest of a block at both ends. Each group has a null block, too.
  std::int64_t const block_bytes = 16 * 2 * kv_heads * 32 * 4;
  std::int64_t const least = least_memory(model, some_prompts(), options);
  CHECK(least == (10 * 2 + 5 * 3) * block_bytes);
  options.memory_bytes = least;
  options.prefix = GENERATE(false, true);
  serve::RunResult const shortest = run(model, options);
  CHECK(shortest.preemptions > 0);
  options.memory_bytes = 100 << 20;
  serve::RunResult const ample = run(model, options);
  CHECK(ample.preemptions == 0);
  CHECK(ample.completions == shortest.completions);
  CHECK(ample.memory_bytes < (100 << 20));  // no more than all requests fill
  options.memory_bytes = least - 1;
  CHECK_THROWS_WITH(run(model, options), contains("bytes and the null block, "));
}

TEST_CASE("In every format a hybrid model's tokens are the same with prefixes and without, and in short memory",
          "[serve]") {
  ModelFolder const folder(hybrid());
  serve::Llama const model(folder.path());
  serve::EngineOptions options = some_options();
  options.samples = 2;
  options.own_tokens = serve::OwnTokens::stored;  // else the steps say what is read exactly
  for (serve::CacheMaker const& format : serve::host_caches()) {
    if (format.quantizer.find('+') != std::string_view::npos) continue;  // what is demoted when depends on the steps
    INFO(format.quantizer);
    Silent observer;
    options.prefix = false;
    options.memory_bytes = 0;
    auto prompts = some_prompts();
    prompts.push_back(prompts[6]);
    auto const ample = serve::make_engine(format.quantizer, model, prompts, options)->run(observer);
    options.prefix = true;
    options.memory_bytes = ample.memory_bytes / 4;
    auto const engine = serve::make_engine(format.quantizer, model, prompts, options);
    auto const shorter = engine->run(observer);
    CHECK(shorter.completions == ample.completions);
    CHECK(shorter.preemptions > 0);
    CHECK(shorter.cached_tokens > 0);
    CHECK(shorter.evictions > 0);
    CHECK(shorter.waste_beyond_last_blocks == 0);
    auto const checked = serve::check(model, prompts, options, shorter, engine->stored_rows());
    INFO(checked.first_difference);
    // Of integers the last bits of a sum, which differ here and there, decide now and then which code a row gets.
    if (format.quantizer.find("int") == std::string_view::npos && format.quantizer != "k8v4")
      CHECK(checked.explained);
    else
      CHECK(checked.agreement > 0.5);
  }
}

TEST_CASE("A step's own tokens are read as they were computed, by default, and by the check in the same steps",
          "[serve]") {
  ModelFolder const folder(hybrid());
  serve::Llama const model(folder.path());
  serve::EngineOptions options = some_options();
  options.samples = 2;
  REQUIRE(options.own_tokens == serve::OwnTokens::exact);
  auto prompts = some_prompts();
  prompts.push_back(prompts[6]);
  Silent observer;
  for (std::string_view const format : {"f32", "f16", "fp8"}) {
    INFO(format);
    auto const engine = serve::make_engine(format, model, prompts, options);
    serve::StoredRows rows = engine->stored_rows();
    CHECK((rows.own_tokens == serve::OwnTokens::exact) == (format != "f32"));  // which stores all bits
    serve::RunResult const result = engine->run(observer);
    CHECK(result.own_tokens == rows.own_tokens);
    CHECK(result.cached_tokens > 0);
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      auto const& steps = result.prompt_steps[i];
      CHECK(std::is_sorted(steps.begin(), steps.end()));
      CHECK(steps.back() == static_cast<std::int32_t>(prompts[i].size()));
    }
    auto const checked = serve::check(model, prompts, options, result, rows);
    INFO(checked.first_difference);
    CHECK(checked.explained);
    rows.own_tokens = serve::OwnTokens::stored;
    CHECK(serve::check(model, prompts, options, result, rows).explained == (format != "fp8"));
  }
}

TEST_CASE("A hybrid model's older tokens are demoted, with prefixes, in short memory, and in each format", "[serve]") {
  ModelFolder const folder(hybrid());
  serve::Llama const model(folder.path());
  serve::EngineOptions options = some_options();
  options.samples = 2;
  options.sinks = 5;
  options.recent_window = 20;
  auto prompts = some_prompts();
  prompts.push_back(prompts[6]);
  Silent observer;
  serve::RunResult const exact = serve::make_engine("f16", model, prompts, options)->run(observer);
  double before = 16;
  for (serve::CacheMaker const& maker : serve::host_caches()) {  // of those that demote the largest is the first
    std::string_view const format = maker.quantizer;
    if (format.find('+') == std::string_view::npos) continue;
    INFO(format);
    options.memory_bytes = 0;
    serve::RunResult const ample = serve::make_engine(format, model, prompts, options)->run(observer);
    CHECK(ample.preemptions == 0);
    CHECK(ample.demoted_tokens > 0);
    CHECK(ample.demoted_tokens % 16 == 0);
    CHECK(ample.bits_per_element <= before);  // rows of 32 dims in 2 bits are padded to those in 4
    CHECK(ample.bytes_peak < exact.bytes_peak);
    before = ample.bits_per_element;
    folio::ThreadPool threads(3);
    options.threads = &threads;
    CHECK(serve::make_engine(format, model, prompts, options)->run(observer).completions == ample.completions);
    options.threads = nullptr;
    options.memory_bytes = ample.memory_bytes / 3;
    serve::RunResult const shorter = serve::make_engine(format, model, prompts, options)->run(observer);
    CHECK(shorter.preemptions > 0);
    CHECK(shorter.cached_tokens > 0);
    CHECK(shorter.evictions > 0);
    CHECK(shorter.demoted_tokens > 0);
    CHECK(shorter.waste_beyond_last_blocks == 0);
    CHECK(shorter.generated_tokens == ample.generated_tokens);
    // Alone, and so demoted after the same steps. The last bits of a sum decide now and then which code a row gets, and
    // what was drawn after that is another text: 0.76 to 1 of the tokens are before, and of a check that demotes
    // nothing 0.3 at most, but in 8 bits.
    std::vector<Tokens> const one{prompts.back()};
    options.memory_bytes = 0;
    options.samples = 8;
    auto const engine = serve::make_engine(format, model, one, options);
    serve::RunResult const alone = engine->run(observer);
    options.samples = 2;
    CHECK(alone.demoted_tokens > 0);
    serve::StoredRows rows = engine->stored_rows();
    auto const checked = serve::check(model, one, options, alone, rows);
    INFO(checked.first_difference);
    CHECK(checked.agreement > 0.7);
    rows.unit = 0;
    CHECK((format == "f16+int8" || serve::check(model, one, options, alone, rows).agreement < 0.5));
  }
  CHECK(before < 16);  // there were some
}

TEST_CASE("Where tokens are demoted every request gets on, from the least memory on", "[serve]") {
  ModelFolder const folder(GENERATE(Kind{}, hybrid()));
  serve::Llama const model(folder.path());
  serve::EngineOptions options = some_options();
  options.prefix = GENERATE(false, true);
  options.samples = GENERATE(1, 2);
  options.sinks = options.recent_window = 0;  // so that most of a sequence is demoted
  std::vector<Tokens> prompts;
  for (std::int32_t const size : {100, 110, 95, 120, 100, 105}) {
    Tokens& prompt = prompts.emplace_back();
    for (std::int32_t i = 0; i < size; ++i) prompt.push_back((i * i + 7 * size) % vocab);
  }
  std::int64_t const least = least_memory(model, prompts, options, "f16+int4");
  std::int64_t preemptions = 0;
  for (std::int64_t memory = least; memory < 3 * least; memory += least / 7) {
    INFO(memory << " of " << least);
    options.memory_bytes = memory;
    Silent observer;
    serve::RunResult const result = serve::make_engine("f16+int4", model, prompts, options)->run(observer);
    CHECK(result.generated_tokens == 6 * 40 * options.samples);
    CHECK(result.demoted_tokens > 0);
    preemptions += result.preemptions;
  }
  CHECK(preemptions > 0);
}

TEST_CASE("Bits per element count a token once, however many sequences share it", "[serve]") {
  ModelFolder const folder({});
  serve::Llama const model(folder.path());
  std::vector<Tokens> const prompts(4, Tokens(112, 1));
  serve::EngineOptions options = some_options();
  options.recent_window = 16;
  auto const maker = std::find_if(serve::host_caches().begin(), serve::host_caches().end(),
                                  [](serve::CacheMaker const& one) { return one.quantizer == "f16+int4"; });
  auto const cache = maker->make({model.config(), prompts, options});
  auto const grow = [&](folio::Sequence& sequence, std::int32_t num_tokens) {
    sequence.extend(num_tokens);
    folio::BatchItem const item(&sequence, num_tokens);
    cache->begin_step({&item, 1});
    auto const size = static_cast<std::size_t>(num_tokens) * 4 * 32;  // of q; keys and values have fewer heads
    std::vector<float> const rows(size, 1.0F);
    std::vector<float> out(size);
    for (std::int32_t l = 0; l < layers; ++l) cache->attend(l, rows.data(), rows.data(), rows.data(), out.data());
  };
  folio::Sequence parent = cache->create();
  grow(parent, 112);
  CHECK(cache->demote(parent));  // all but 16 at the front and the newest 16
  CHECK_FALSE(cache->demote(parent));
  double const small = 8.0 * static_cast<double>(cache->stats().groups.back().block_bytes) /
                       (16 * layers * kv_heads * 2 * 32);  // bits of an element
  CHECK(cache->bits_per_element() == Approx((32 * 16 + 80 * small) / 112));
  std::vector<folio::Sequence> children;
  for (int i = 0; i < 3; ++i) grow(children.emplace_back(parent.fork()), 8);
  CHECK(cache->bits_per_element() == Approx(((32 + 3 * 8) * 16 + 80 * small) / (112 + 3 * 8)));
}

TEST_CASE("Stop tokens end a sample early", "[serve]") {
  ModelFolder const folder({.config = R"("eos_token_id": [1, 2, 3, 4, 5, 6, 7], )"});
  serve::Llama const model(folder.path());
  serve::RunResult const result = run(model, some_options());
  CHECK(result.generated_tokens < 8 * 40);
  for (auto const& request : result.completions)
    for (Tokens const& sample : request)
      for (std::size_t i = 0; i + 1 < sample.size(); ++i) CHECK((sample[i] < 1 || sample[i] > 7));

  serve::EngineOptions options = some_options();
  options.ignore_eos = true;
  serve::RunResult const all = run(model, options);
  CHECK(all.generated_tokens == 8 * 40);
  // A completion up to what --stop names: ids here, which are taken from the middle of one.
  Tokens const& sample = all.completions[3][0];
  std::string const ids = std::to_string(sample[10]) + " " + std::to_string(sample[11]);
  options.stop = serve::stop_at({ids, "49 49 49"}, serve::IdTokenizer(vocab));
  serve::RunResult const stopped = run(model, options);
  Tokens const& shorter = stopped.completions[3][0];
  REQUIRE(shorter.size() <= 12);
  REQUIRE(shorter.size() >= 2);
  CHECK(std::equal(shorter.begin(), shorter.end(), sample.begin()));
  CHECK(Tokens(shorter.end() - 2, shorter.end()) == Tokens{sample[10], sample[11]});
}

TEST_CASE("One token per sample needs no second step", "[serve]") {
  ModelFolder const folder({});
  serve::Llama const model(folder.path());
  serve::EngineOptions options = some_options();
  options.max_tokens = 1;
  options.samples = 5;
  CHECK(run(model, options).generated_tokens == 8 * 5);
}

TEST_CASE("Engines refuse what they cannot do", "[serve]") {
  serve::EngineOptions options = some_options();
  {
    ModelFolder const folder({.head_dim = 48});
    serve::Llama const model(folder.path());
    CHECK_THROWS_WITH(serve::make_engine("f32", model, some_prompts(), options),
                      contains("not built for head_dim 48, but for 32, 64, 80, 96, 128 or 256"));
  }
  {
    ModelFolder const folder({.head_dim = 80});
    serve::Llama const model(folder.path());
    CHECK_THROWS_WITH(serve::make_engine("f16+int4", model, some_prompts(), options),
                      contains("not built for head_dim 80, but for 32, 64 or 128 with --demote; take --demote off."));
  }
  ModelFolder const folder({});
  serve::Llama const model(folder.path());
  CHECK_THROWS_WITH(serve::make_engine("f64", model, some_prompts(), options),
                    contains("There is no quantizer f64; known are f32, f16, "));
  options.memory_bytes = least_memory(model, some_prompts(), options) - 1;
  CHECK_THROWS_WITH(serve::make_engine("f32", model, some_prompts(), options),
                    contains("is too small: the longest request alone needs"));
}

TEST_CASE("A GPU is taken where there is one, and asked for in vain where there is none", "[serve]") {
  ModelFolder const folder({.head_dim = 64});
  serve::Llama const model(folder.path());
  auto const prompts = some_prompts();
  serve::EngineOptions options = some_options();
  options.max_tokens = 1;
  auto const device_of = [&](char const* quantizer, serve::Device device) {
    options.device = device;
    Silent observer;
    return serve::make_engine(quantizer, model, prompts, options)->run(observer).device;
  };
  std::string const problem = serve::cuda_support().problem;
  if (problem.empty()) {
    CHECK(device_of("f32", serve::Device::automatic).starts_with("cuda: "));
    CHECK(device_of("f32", serve::Device::cuda).starts_with("cuda: "));
    CHECK_THROWS_WITH(device_of("bf16", serve::Device::cuda),
                      contains("not bf16; take one of these, or --device host"));
  } else {
    CHECK(device_of("f32", serve::Device::automatic) == "host");
    CHECK_THROWS_WITH(device_of("f32", serve::Device::cuda), "--device cuda is not possible: " + problem + ".");
  }
  CHECK(device_of("f32", serve::Device::host) == "host");
  CHECK(device_of("bf16", serve::Device::automatic) == "host");
}

TEST_CASE("Numbers that are not finite are one sentence, which says where they come from", "[serve]") {
  auto const message = [](std::string_view quantizer, Kind const& kind) -> std::string {
    ModelFolder const folder(kind);
    serve::Llama const model(folder.path());
    auto const prompts = some_prompts();
    auto const engine = serve::make_engine(quantizer, model, prompts, some_options());
    Silent observer;
    try {
      (void)engine->run(observer);
    } catch (serve::BadInput const& error) {
      return error.what();
    }
    return "none";
  };
  constexpr float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  std::string const first = "Request 1, sample 1: the ";
  CHECK(message("f32", {.scaled = "model.layers.1.mlp.up_proj.weight", .scale = nan}) ==
        first +
            "numbers of token 1 are not finite, because the tensor model.layers.1.mlp.up_proj.weight is nan at "
            "[0, 0].");
  CHECK(message("int8", {.scaled = "model.norm.weight", .scale = infinity, .scaled_from = 7}) ==
        first + "logits after token 1 are not finite, because the tensor model.norm.weight is infinite at [7].");
  // An integer format stores something for a key that is NaN, so that no later token would show it.
  CHECK(
      message("int8", {.scaled = "model.embed_tokens.weight", .scale = nan, .scaled_from = 49 * 48}) ==
      "Request 3, sample 1: the numbers of token 4 are not finite, because the tensor model.embed_tokens.weight is nan "
      "at [49, 0].");
  CHECK(message("f32", {.scaled = "model.layers.1.input_layernorm.weight", .scale = 2.8e38f}) ==
        first +
            "numbers of token 1 are not finite, though all weights are: the first numbers beyond the range of a "
            "float are those of token 1 before the keys and values of layer 1.");
  CHECK(message("f32", {.scaled = "lm_head.weight", .scale = 3e38f}) ==
        first +
            "logits after token 1 are not finite, though all weights are: the first numbers beyond the range of a "
            "float are after the keys and values of the last layer, 1.");
  ModelFolder const folder({});
  serve::Llama const model(folder.path());
  CHECK(serve::why_not_finite(model, some_prompts()[1]) ==
        "though all weights are, and over a plain cache of f32 these numbers are, too");
}

TEST_CASE("The check finds a token that differs", "[serve]") {
  ModelFolder const folder({});
  serve::Llama const model(folder.path());
  serve::EngineOptions const options = some_options();
  auto const prompts = some_prompts();
  Silent observer;
  serve::RunResult result = serve::make_engine("f32", model, prompts, options)->run(observer);
  result.completions[2][0][10] ^= 1;
  serve::CheckResult const checked = serve::check(model, prompts, options, result);
  CHECK_FALSE(checked.identical);
  CHECK(checked.agreement == Approx(1 - 30.0 / 320));
  CHECK_THAT(checked.first_difference, contains("Request 3, sample 1: token 11 is "));
}

TEST_CASE("The check tells a tie from a difference, and sees a text that ends too early", "[serve]") {
  std::vector<float> const logits = {0.0f, 0.0f, -100.0f};
  serve::Sampler greedy({.temperature = 0}), warm({.temperature = 1, .top_k = 0});
  CHECK(serve::near_border(greedy, logits, 0, 0, 1));
  CHECK_FALSE(serve::near_border(greedy, logits, 0, 0, 2));
  CHECK(serve::near_border(warm, logits, 0.50001, 1, 0));
  CHECK(serve::near_border(warm, logits, 0.49999, 0, 1));
  CHECK_FALSE(serve::near_border(warm, logits, 0.51, 1, 0));
  CHECK_FALSE(serve::near_border(warm, logits, 0.5, 1, 2));

  ModelFolder const folder({});
  serve::Llama const model(folder.path());
  serve::EngineOptions const options = some_options();
  auto const prompts = some_prompts();
  Silent observer;
  serve::RunResult result = serve::make_engine("f32", model, prompts, options)->run(observer);
  result.completions[1][0].pop_back();
  serve::CheckResult const checked = serve::check(model, prompts, options, result);
  CHECK_FALSE(checked.identical);
  CHECK_FALSE(checked.explained);
  CHECK_THAT(checked.first_difference, contains("Request 2, sample 1 has 39 tokens"));
}
