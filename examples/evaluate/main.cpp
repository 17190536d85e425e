// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// evaluate: what the formats of a KV cache do to a model's predictions. `evaluate --help` explains the options,
// docs/quantization.md the figures.

#include <algorithm>
#include <exception>
#include <filesystem>
#include <folio/thread_pool.hpp>
#include <iostream>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "command_line.hpp"
#include "display.hpp"
#include "facts.hpp"
#include "output_file.hpp"
#include "quality.hpp"
#include "recall.hpp"
#include "run_program.hpp"
#include "sensitivity.hpp"
#include "tables.hpp"
#include "text/make_tokenizer.hpp"

namespace evaluate {
namespace {

/// The formats that were asked for, the reference first. Throws BadInput.
std::vector<Format const*> choose_formats(std::vector<std::string> const& names) {
  std::span<Format const> const all = all_formats();
  std::vector<Format const*> chosen = {&all.front()};
  for (Format const& format : all.subspan(1))
    if (names.empty()) chosen.push_back(&format);
  for (std::string const& name : names) {
    auto const found = std::find_if(all.begin(), all.end(), [&](Format const& f) { return f.name == name; });
    if (found == all.end()) {
      std::string known;
      for (Format const& format : all) known += (known.empty() ? "" : ", ") + std::string(format.name);
      throw serve::BadInput("There is no format " + name + "; known are " + known + ".");
    }
    if (std::find(chosen.begin(), chosen.end(), &*found) == chosen.end()) chosen.push_back(&*found);
  }
  return chosen;
}

std::vector<std::int32_t> choose_contexts(std::vector<std::int32_t> contexts, std::int32_t most) {
  if (!contexts.empty() && contexts.back() > most)
    throw serve::BadInput("--contexts goes to " + std::to_string(contexts.back()) + ", beyond the model's context of " +
                          std::to_string(most) + ".");
  for (std::int32_t c = 64; contexts.empty() || (contexts.back() < most && contexts.back() == c / 2 && c <= 4096);
       c *= 2)
    contexts.push_back(std::min(c, most));
  return contexts;
}

/// Everything that one run measures with.
class Evaluation {
 public:
  Evaluation(Options const& options, folio::ThreadPool& threads)
      : options_(options),
        threads_(threads),
        formats_(choose_formats(options.formats)),
        model_(options.model),
        tokenizer_(serve::make_tokenizer(options.model, model_.config())),
        contexts_(choose_contexts(options.contexts, model_.config().context)) {
    read_text();
    if (!options.facts.empty()) facts_ = read_facts(options.facts, *tokenizer_, model_.config().context);
    choose_prompts();
    choose_recall();
    if (options.sensitivity) scored_ = scored_formats();
    if (windows_.empty() && prompts_.empty() && facts_.empty() && !recall_prompts_)
      throw serve::BadInput("There is nothing to measure: no --windows, --generations, --facts or --recall.");
  }

  Report run() {
    Report report = begin_report();
    for (Format const* const format : formats_)
      report.formats.push_back({format->name, format->keys, format->values, 0, {}, {}, {}});
    if (!windows_.empty()) run_windows(report);
    run_generations(report);
    run_facts(report);
    if (recall_prompts_) run_recall(report);
    if (options_.sensitivity) run_sensitivity(report, *make_store(*formats_.front(), 1));
    progress("");
    return report;
  }

 private:
  std::int32_t vocab() const { return model_.config().vocab; }

  void read_text() {
    text_ = serve::read_text(options_.text, 256 << 20);
    tokens_ = serve::name_text(options_.text, [&] { return tokenizer_->encode(text_); });
    if (tokens_.size() <= static_cast<std::size_t>(contexts_.back()))
      throw serve::BadInput(options_.text + " has " + std::to_string(tokens_.size()) + " tokens; a context of " +
                            std::to_string(contexts_.back()) +
                            " needs at least one more: take a longer text, or smaller --contexts.");
    if (!tokenizer_->prompt_per_line())
      units_per_token_ = static_cast<double>(text_.size()) / static_cast<double>(tokens_.size());
    windows_ = cut_windows(tokens_, contexts_.back(), options_.windows);
  }

  void choose_prompts() {
    auto const quarter = static_cast<std::size_t>(std::max(1, contexts_.back() / 4));
    num_generated_ = std::min(options_.generated_tokens, model_.config().context - static_cast<std::int32_t>(quarter));
    if (num_generated_ < 1) return;
    for (auto const& window : cut_windows(tokens_, contexts_.back(), options_.generations))
      prompts_.emplace_back(window.begin(), window.begin() + static_cast<std::ptrdiff_t>(quarter));
  }

  /// Everything that recall can refuse is refused here, before hours of measuring.
  void choose_recall() {
    if (options_.recall.empty()) return;
    std::int32_t const most = model_.config().context;
    if (options_.recall.back() > most)
      throw serve::BadInput("--recall goes to " + std::to_string(options_.recall.back()) +
                            ", beyond the model's context of " + std::to_string(most) + ".");
    recall_prompts_.emplace(*tokenizer_, text_);
    for (std::int32_t const num_tokens : options_.recall)
      for (std::int32_t i = 0; i < RecallRun::most_tried(options_.recall_prompts); ++i)
        recall_prompts_->check(num_tokens, i);
    for (Format const* const format : formats_) static_cast<void>(make_recall_store(*format, options_.recall.back()));
    recall_log_.emplace(
        options_.recall_log,
        "evaluate --recall: " + model_name() + " on " + text_name() + ", " + std::to_string(text_.size()) + " bytes" +
            (options_.step_tokens > 0 ? ", steps of " + std::to_string(options_.step_tokens) + " tokens" : ""));
  }

  std::unique_ptr<Store> make_store(Format const& format, std::int32_t num_sequences) const {
    std::int32_t longest = contexts_.back() + (prompts_.empty() ? 0 : num_generated_);
    for (Fact const& fact : facts_)
      longest = std::max(longest, static_cast<std::int32_t>(fact.prompt.size() + fact.answer.size()));
    return format.make({model_.config(), num_sequences, longest, &threads_, options_.own_tokens, options_.step_tokens});
  }

  std::unique_ptr<Store> make_recall_store(Format const& format, std::int32_t max_tokens) const {
    return format.make({model_.config(), 1, max_tokens, &threads_, serve::OwnTokens::stored, options_.step_tokens});
  }

  std::string model_name() const { return std::filesystem::weakly_canonical(options_.model).filename().string(); }
  std::string text_name() const { return std::filesystem::path(options_.text).filename().string(); }

  Report begin_report() const {
    Report report;
    report.model = model_name();
    report.text = text_name();
    report.own_tokens = options_.own_tokens == serve::OwnTokens::exact ? "exact" : "stored";
    report.step_tokens = options_.step_tokens;
    report.unit = tokenizer_->prompt_per_line() ? "token" : "byte";
    report.text_tokens = static_cast<std::int64_t>(tokens_.size());
    report.units_per_token = units_per_token_;
    report.num_windows = static_cast<std::int32_t>(windows_.size());
    report.window_tokens = contexts_.back();
    report.num_generations = static_cast<std::int32_t>(prompts_.size());
    report.prompt_tokens = prompts_.empty() ? 0 : static_cast<std::int32_t>(prompts_.front().size());
    report.generated_tokens = prompts_.empty() ? 0 : num_generated_;
    report.num_facts = static_cast<std::int64_t>(facts_.size());
    report.num_cpus = static_cast<int>(std::thread::hardware_concurrency());
    return report;
  }

  /// Window by window, so that only one window's logits of the reference are kept.
  std::vector<Predictions> predict(Store& reference, std::vector<std::unique_ptr<Store>> const& stores) {
    std::vector<Predictions> predictions(formats_.size());
    Runner plain(model_, reference, &threads_);
    std::vector<float> logits;
    for (std::size_t w = 0; w < windows_.size(); ++w) {
      progress("window " + std::to_string(w + 1) + " of " + std::to_string(windows_.size()));
      read_window(plain, windows_[w], logits);
      auto const width = static_cast<std::size_t>(vocab());
      std::vector<Prediction>& own = predictions[0].emplace_back();
      for (std::size_t i = 0; i + 1 < windows_[w].size(); ++i) {
        auto const row = std::span<float const>(logits).subspan(i * width, width);
        own.push_back(compare(row, row, windows_[w][i + 1]));
      }
      for (std::size_t f = 0; f < stores.size(); ++f) {
        Runner runner(model_, *stores[f], &threads_);
        predictions[f + 1].push_back(compare_window(runner, windows_[w], logits, vocab(), &threads_));
      }
    }
    return predictions;
  }

  void run_windows(Report& report) {
    std::unique_ptr<Store> const reference = make_store(*formats_.front(), 1);
    std::vector<std::unique_ptr<Store>> stores;
    for (std::size_t f = 1; f < formats_.size(); ++f) stores.push_back(make_store(*formats_[f], 1));
    std::vector<Predictions> const predictions = predict(*reference, stores);
    for (std::size_t f = 0; f < formats_.size(); ++f) {
      report.formats[f].bits_per_element = (f == 0 ? *reference : *stores[f - 1]).bits_per_element();
      report.formats[f].quality = summarize(predictions[0], predictions[f], contexts_, units_per_token_);
    }
  }

  void run_generations(Report& report) {
    if (prompts_.empty()) return;
    std::vector<Tokens> expected;
    for (std::size_t f = 0; f < formats_.size(); ++f) {
      progress("generations, " + std::string(formats_[f]->name));
      std::unique_ptr<Store> const store = make_store(*formats_[f], report.num_generations);
      Runner runner(model_, *store, &threads_);
      std::vector<Tokens> const generated = generate(runner, prompts_, num_generated_, vocab());
      if (f == 0) expected = generated;
      report.formats[f].generations = compare_generations(expected, generated);
    }
  }

  void run_facts(Report& report) {
    if (facts_.empty()) return;
    for (std::size_t f = 0; f < formats_.size(); ++f) {
      progress("facts, " + std::string(formats_[f]->name));
      std::unique_ptr<Store> const store = make_store(*formats_[f], 1);
      Runner runner(model_, *store, &threads_);
      report.formats[f].recalled = count_recalled(runner, facts_, vocab());
    }
  }

  void run_recall(Report& report) {
    RecallRun const run{
        model_,
        *recall_prompts_,
        formats_,
        options_.recall_prefills,
        [this](Format const& format, std::int32_t max_tokens) { return make_recall_store(format, max_tokens); },
        *recall_log_,
        &threads_,
        [](std::string const& words) { progress(words); }};
    for (std::int32_t const num_tokens : options_.recall)
      for (Recall const& recall : run.run(num_tokens, options_.recall_prompts)) report.recall.push_back(recall);
  }

  /// The formats to score. Throws BadInput where one cannot be, or none is left.
  std::vector<Format const*> scored_formats() const {
    bool const all = options_.sensitivity_formats.empty();
    std::vector<Format const*> choices = all ? formats_ : choose_formats(options_.sensitivity_formats);
    choices.erase(choices.begin());  // the reference
    for (Format const* const format : choices)
      if (!all && format->round_trip == nullptr)
        throw serve::BadInput("--sensitivity-formats " + std::string(format->name) +
                              " is not possible: it takes formats that store keys and values alike, each row alone.");
    std::erase_if(choices, [](Format const* format) { return format->round_trip == nullptr; });
    if (choices.empty())
      throw serve::BadInput("--sensitivity needs a format that stores keys and values alike, each row alone.");
    if (windows_.empty()) throw serve::BadInput("--sensitivity needs --windows.");
    return choices;
  }

  void run_sensitivity(Report& report, Store& reference) {
    std::vector<std::pair<double, Format const*>> scored;
    for (Format const* const format : scored_) scored.emplace_back(make_store(*format, 1)->bits_per_element(), format);
    std::stable_sort(scored.begin(), scored.end(), [](auto const& a, auto const& b) { return a.first < b.first; });
    std::vector<double> bits;
    std::vector<Format const*> formats;
    for (auto const& [size, format] : scored) {
      bits.push_back(size);
      formats.push_back(format);
    }
    auto const windows =
        std::span(windows_).first(std::min(windows_.size(), static_cast<std::size_t>(options_.sensitivity_windows)));
    SensitivityRun const run(model_, windows, formats, bits, reference, &threads_,
                             [](std::int64_t done, std::int64_t all) {
                               progress("sensitivity, " + std::to_string(done) + " of " + std::to_string(all));
                             });
    report.sensitivity_windows = static_cast<std::int32_t>(windows.size());
    report.sensitivity = run.scores();
    report.plans = run.plans(report.sensitivity);
  }

  /// One line that changes, where somebody looks.
  static void progress(std::string const& words) {
    static bool const terminal = serve::stderr_is_terminal();
    if (terminal) std::cerr << "\r\x1b[K" << (words.empty() ? "" : "[" + words + "]") << std::flush;
  }

  Options const& options_;
  folio::ThreadPool& threads_;
  std::vector<Format const*> formats_;
  serve::Llama model_;
  std::unique_ptr<serve::Tokenizer> tokenizer_;
  std::vector<std::int32_t> contexts_;
  std::string text_;
  Tokens tokens_;
  double units_per_token_ = 1;
  std::vector<std::span<std::int32_t const>> windows_;
  std::vector<Tokens> prompts_;
  std::int32_t num_generated_ = 0;
  std::vector<Fact> facts_;
  std::optional<RecallPrompts> recall_prompts_;
  std::optional<RecallLog> recall_log_;
  std::vector<Format const*> scored_;
};

void run(Options const& options) {
  std::optional<serve::OutputFile> json;
  if (!options.json.empty()) json.emplace(options.json);
  auto const hardware = static_cast<int>(std::thread::hardware_concurrency());
  folio::ThreadPool threads(options.threads > 0 ? options.threads : std::max(1, hardware));
  Report const report = Evaluation(options, threads).run();
  std::exception_ptr failure;
  try {
    if (json) json->write(to_json(report));  // first: a reader of the table may go, which ends the program
  } catch (serve::BadInput const&) {
    failure = std::current_exception();
  }
  std::cout << to_table(report) << std::flush;
  if (failure) std::rethrow_exception(failure);
}

}  // namespace
}  // namespace evaluate

int main(int argc, char** argv) {
  return serve::run_program("evaluate", [&] {
    auto options = evaluate::parse_options(std::span<char const* const>(argv, argv + argc).subspan(argc > 0 ? 1 : 0));
    if (options.help) {
      std::cout << evaluate::help_text();
      return 0;
    }
    if (options.model.empty()) options.model = FOLIO_SERVE_MODEL;
    if (options.text.empty()) options.text = FOLIO_SERVE_MODEL "/held-out.txt";
    evaluate::run(options);
    return 0;
  });
}
