// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// serve: continuous batching of many prompts over a paged KV cache. `serve --help` explains the options,
// paged_engine.hpp the batching.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <folio/thread_pool.hpp>
#include <iostream>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "check.hpp"
#include "display.hpp"
#include "engine.hpp"
#include "model/llama.hpp"
#include "options.hpp"
#include "output_file.hpp"
#include "report.hpp"
#include "run_program.hpp"
#include "text/chat.hpp"
#include "text/make_tokenizer.hpp"
#include "text/prompts.hpp"
#include "text/stop.hpp"
#include "text/tokenizer.hpp"

namespace serve {
namespace {

/// Every completion, as a prompt file has its prompts.
std::string to_text(Tokenizer const& tokenizer, RunResult const& run) {
  std::string out;
  for (std::vector<Tokens> const& request : run.completions)
    for (Tokens const& completion : request) {
      if (!out.empty() && !tokenizer.prompt_per_line()) out += "---\n";
      out += tokenizer.decode(completion) + "\n";
    }
  return out;
}

/// Options of the engine, and the threads that it shares its work over.
EngineOptions engine_options(Options const& options, Tokenizer const& tokenizer, folio::ThreadPool& threads) {
  EngineOptions out;
  out.device = options.device;
  out.memory_bytes = options.memory_bytes;
  out.batch_tokens = options.batch_tokens;
  out.max_tokens = options.max_tokens;
  out.samples = options.samples;
  out.prefix = options.prefix;
  out.tenants = options.tenants;
  out.sinks = options.sinks.value_or(out.sinks);
  out.recent_window = options.recent_window.value_or(out.recent_window);
  out.own_tokens = options.own_tokens;
  out.sampling = options.sampling;
  out.threads = &threads;
  out.ignore_eos = options.ignore_eos;
  out.stop = stop_at(options.stop, tokenizer);
  return out;
}

int run(Options const& options) {
  std::filesystem::path const directory = options.model;
  Llama const model(directory);
  std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(directory, model.config());
  if (options.chat) tokenizer = std::make_unique<ChatTokenizer>(std::move(tokenizer), directory, options.system);
  std::int32_t const context = model.config().context;
  std::vector<Tokens> const prompts =
      options.prompt ? encode_prompts({*options.prompt}, "--prompt", *tokenizer, context, options.max_tokens)
                     : read_prompts(options.prompts, *tokenizer, context, options.max_tokens);
  auto const hardware = static_cast<int>(std::thread::hardware_concurrency());
  folio::ThreadPool threads(options.threads > 0 ? options.threads : std::max(1, hardware));
  EngineOptions const how = engine_options(options, *tokenizer, threads);
  std::string const quantizer = options.quantizer + (options.demote == "off" ? "" : "+" + options.demote);
  std::unique_ptr<Engine> const engine = make_engine(quantizer, model, prompts, how);
  std::optional<OutputFile> output;
  if (!options.output.empty()) output.emplace(options.output);

  Display display(*tokenizer, prompts.front(), options.json ? std::cerr : std::cout, std::cerr, stderr_is_terminal());
  auto const begin = std::chrono::steady_clock::now();
  Report report;
  report.run = engine->run(display);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  report.model = options.model;
  report.quantizer = quantizer;
  report.requests = static_cast<std::int64_t>(prompts.size());
  report.samples = options.samples;
  report.tokenizer = tokenizer.get();
  if (output) output->write(to_text(*tokenizer, report.run));
  if (options.check) {
    std::cerr << "[checking: each request alone on a contiguous f32 cache]" << std::endl;
    report.check = check(model, prompts, how, report.run);
    if (quantizer != "f32") {
      std::cerr << "[checking: each request alone on a contiguous cache of the same formats]" << std::endl;
      report.format_check = check(model, prompts, how, report.run, engine->stored_rows());
    }
  }
  if (options.json) {
    std::cout << to_json(report) << std::endl;
  } else {
    std::cout << "\n" << to_table(report) << std::flush;
  }
  if (!report.check || report.check->identical) return 0;
  bool const failed =
      quantizer == "f32" && !report.check->explained;  // other quantizers round, so their text may differ
  std::cerr << (failed ? "serve: " : "") << report.check->first_difference << std::endl;
  return failed ? 1 : 0;
}

}  // namespace
}  // namespace serve

int main(int argc, char** argv) {
  return serve::run_program("serve", [&] {
    auto options = serve::parse_options(std::span<char const* const>(argv, argv + argc).subspan(argc > 0 ? 1 : 0));
    if (options.help) {
      std::cout << serve::help_text();
      return 0;
    }
    if (options.model.empty()) options.model = FOLIO_SERVE_MODEL;
    if (options.prompts.empty()) options.prompts = FOLIO_SERVE_PROMPTS;
    return serve::run(options);
  });
}
