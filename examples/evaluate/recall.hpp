// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Recall of a stated number: a text states a number somewhere, and its end asks for it. Passkey retrieval (Landmark
// Attention, arXiv 2305.16300), a needle in a haystack: what perplexity does not see.

#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iomanip>
#include <limits>
#include <locale>
#include <map>
#include <memory>
#include <numbers>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "facts.hpp"
#include "formats.hpp"
#include "options.hpp"
#include "quality.hpp"
#include "runner.hpp"

namespace evaluate {

/// How the text before the question gets into a cache: computed over f32 and then stored (exact), or every token of it
/// reads those before it as the format stores them (stored). Question and answer read all tokens as they are stored.
enum class Prefill { exact, stored };

[[nodiscard]] inline std::string_view to_string(Prefill prefill) {
  return prefill == Prefill::exact ? "exact" : "stored";
}

/// A fact, and the token of its prompt where the question begins.
struct RecallPrompt : Fact {
  std::size_t question = 0;
};

/// Makes prompts from a text. The same text, tokenizer, length and index make the same prompt, on any machine.
class RecallPrompts {
 public:
  /// `text`: what numbers are hidden in; cut at its lines, and long lines at spaces. Throws BadInput where the
  /// tokenizer has no text, only ids. Cost: the whole text is encoded. Tokenizer and text outlive it.
  RecallPrompts(serve::Tokenizer const& tokenizer, std::string_view text) : tokenizer_(tokenizer) {
    if (tokenizer.prompt_per_line())
      throw serve::BadInput("--recall needs a tokenizer that evaluate can read: it writes prompts of text.");
    while (!text.empty()) {
      std::size_t const line = std::min(text.find('\n'), text.size() - 1) + 1, space = text.find(' ', 160);
      std::string_view const piece = text.substr(0, std::min(line, std::min(space, text.size() - 1) + 1));
      text.remove_prefix(piece.size());
      pieces_.push_back(piece);
      ends_.push_back((ends_.empty() ? 0 : ends_.back()) + count(piece));
    }
  }

  /// Prompt `index` of those that have at most `num_tokens` tokens, with the answer; nearly as many, where no piece of
  /// the text is long. Its name of the number, the depth at which it stands (even over the text as the index rises),
  /// the number and the stretch of text follow from the index. Throws BadInput where the text is too short.
  [[nodiscard]] RecallPrompt make(std::int32_t num_tokens, std::int32_t index) const {
    constexpr double golden = 0.6180339887498949;  // its multiples fill a circle evenly
    std::mt19937_64 draw = generator(num_tokens, index);
    auto const [intro, stated, question, answer, room] = words(num_tokens, index, draw);
    auto const pieces_until = [this](std::int64_t tokens) {  // that end at `tokens` or before
      return static_cast<std::size_t>(std::upper_bound(ends_.begin(), ends_.end(), tokens) - ends_.begin());
    };
    std::size_t const begin = draw() % (pieces_until(ends_.back() - room) + 1);  // enough text comes from it on
    double const depth = std::fmod((index + 0.5) * golden, 1.0);
    std::size_t end = pieces_until(start(begin) + room);
    std::size_t const middle =
        std::min(end, pieces_until(start(begin) + static_cast<std::int64_t>(depth * static_cast<double>(room))));
    std::string text;
    RecallPrompt prompt;
    auto const build = [&, &intro = intro, &stated = stated, &question = question, &answer = answer] {
      text = intro;
      for (std::size_t i = begin; i < std::min(middle, end); ++i) text += pieces_[i];
      if (text.back() != '\n') text += '\n';
      text += stated;
      for (std::size_t i = middle; i < end; ++i) text += pieces_[i];
      static_cast<Fact&>(prompt) = split_fact(tokenizer_, text + question, answer);
      return prompt.prompt.size() + prompt.answer.size() <= static_cast<std::size_t>(num_tokens);
    };
    while (!build() && end > begin) --end;  // where a line break, or how pieces join, takes a token more
    Tokens const before = tokenizer_.encode(text);
    auto const same = std::mismatch(before.begin(), before.end(), prompt.prompt.begin(), prompt.prompt.end());
    prompt.question = static_cast<std::size_t>(same.first - before.begin());
    return prompt;
  }

  /// Throws what `make` throws. Cost: the question is encoded, and no text.
  void check(std::int32_t num_tokens, std::int32_t index) const {
    std::mt19937_64 draw = generator(num_tokens, index);
    static_cast<void>(words(num_tokens, index, draw));
  }

 private:
  /// What a prompt says besides its text, for which it has room.
  struct Words {
    std::string intro, stated, question, answer;
    std::int64_t room;  // in tokens
  };

  static std::mt19937_64 generator(std::int32_t num_tokens, std::int32_t index) {
    return std::mt19937_64(static_cast<std::uint64_t>(num_tokens) << 32 | static_cast<std::uint64_t>(index));
  }

  Words words(std::int32_t num_tokens, std::int32_t index, std::mt19937_64& draw) const {
    constexpr std::array<std::string_view, 4> names = {"secret code", "magic number", "number of the locked room",
                                                       "account number of the merchant"};
    std::string const name(names[static_cast<std::size_t>(index) % names.size()]);
    std::string const number = std::to_string(10000 + draw() % 90000);
    Words out{"There is a " + name + " in this text. Find it.\n", "The " + name + " is " + number + ". Remember it.\n",
              "\nWhat is the " + name + "? The " + name + " is", " " + number, 0};
    std::int64_t const taken =
        static_cast<std::int64_t>(tokenizer_.encode(out.intro + out.stated + out.question + out.answer).size());
    out.room = num_tokens - taken;
    if (out.room < 1 || out.room > ends_.back())
      throw serve::BadInput("--recall " + std::to_string(num_tokens) + " is not possible: " +
                            (out.room < 1 ? "its question and its number take " + std::to_string(taken) + " tokens."
                                          : "the text has only " + std::to_string(ends_.back()) + " tokens."));
    return out;
  }

  [[nodiscard]] std::int64_t count(std::string_view text) const {
    return static_cast<std::int64_t>(tokenizer_.encode_plain(text).size());
  }
  [[nodiscard]] std::int64_t start(std::size_t piece) const { return piece == 0 ? 0 : ends_[piece - 1]; }

  serve::Tokenizer const& tokenizer_;
  std::vector<std::string_view> pieces_;
  std::vector<std::int64_t> ends_;  // of the pieces, in tokens
};

/// What a model answers over a cache.
struct Answer {
  bool right = false;  ///< greedy decoding gives it, every token
  double bits = 0;     ///< -log2 of its probability, which says more than a count
};

/// The question and the answer as one step after the text, which the runner's sequence has: a token of the answer is
/// right where it is the likeliest after those before it, which is what greedy decoding finds.
[[nodiscard]] inline Answer ask(Runner& runner, RecallPrompt const& prompt, std::int32_t vocab) {
  Tokens step(prompt.prompt.begin() + static_cast<std::ptrdiff_t>(prompt.question), prompt.prompt.end());
  step.insert(step.end(), prompt.answer.begin(), prompt.answer.end() - 1);
  std::span<std::int32_t const> const part(step);
  runner.step({&part, 1});
  std::vector<float> logits;
  runner.newest_logits(static_cast<std::int64_t>(prompt.answer.size()), logits);
  Answer answer{true, 0};
  auto const width = static_cast<std::size_t>(vocab);
  for (std::size_t i = 0; i < prompt.answer.size(); ++i) {
    auto const row = std::span<float const>(logits).subspan(i * width, width);
    answer.right = answer.right && likeliest(row) == prompt.answer[i];
    answer.bits += (log_sum_exp(row) - row[static_cast<std::size_t>(prompt.answer[i])]) / std::numbers::ln2;
  }
  return answer;
}

/// The answers so far, which a file keeps: a line each, written at once, so that a long run can be ended and go on.
class RecallLog {
 public:
  /// An empty path: no file. `subject`: what the answers depend on besides, one line; a file with another is refused.
  /// Throws BadInput for a file that is no such log or cannot be written. A last line without its end is left out.
  RecallLog(std::string const& path, std::string const& subject) : path_(path) {
    if (path.empty()) return;
    std::error_code error;
    std::filesystem::file_status const status = std::filesystem::status(path, error);
    if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status))
      throw serve::BadInput(path + " is no file that a log can be kept in: it is a directory or a device.");
    bool const is_new = !std::filesystem::exists(status) || std::filesystem::file_size(path, error) == 0;
    if (!is_new) read(subject);
    out_.open(path, std::ios::binary | std::ios::app);
    if (is_new) out_ << subject << '\n';
    check();
  }

  [[nodiscard]] Answer const* find(std::string const& key) const {
    auto const found = answers_.find(key);
    return found == answers_.end() ? nullptr : &found->second;
  }

  void add(std::string const& key, Answer answer) {
    answers_[key] = answer;
    if (path_.empty()) return;
    std::ostringstream line;
    line.imbue(std::locale::classic());
    line << key << ' ' << answer.right << ' ' << std::setprecision(17) << answer.bits << '\n';
    out_ << line.str() << std::flush;
    check();
  }

 private:
  void read(std::string const& subject) {
    std::string text = serve::read_text(path_, 64 << 20);
    text.erase(text.find_last_of('\n') + 1);  // npos + 1 is 0
    std::istringstream in(text);
    std::string line;
    if (!std::getline(in, line) || line != subject)
      throw serve::BadInput("The file " + path_ + " is no log of this run: it should begin with " +
                            serve::json_quote(subject) + ".");
    for (std::int32_t number = 2; std::getline(in, line); ++number) {
      std::istringstream words(line);
      words.imbue(std::locale::classic());
      std::string tokens, index, prefill, format;
      Answer answer;
      if (!(words >> tokens >> index >> prefill >> format >> answer.right >> answer.bits))
        throw serve::BadInput("Line " + std::to_string(number) + " of " + path_ + " is no answer.");
      answers_[tokens + ' ' + index + ' ' + prefill + ' ' + format] = answer;
    }
    std::error_code error;
    std::filesystem::resize_file(path_, text.size(), error);
    if (error) throw serve::BadInput("The file " + path_ + " cannot be written.");
  }
  void check() {
    if (!out_.flush()) throw serve::BadInput("The file " + path_ + " cannot be written.");
  }

  std::string path_;
  std::ofstream out_;
  std::map<std::string, Answer> answers_;
};

/// One format's answers to the prompts of one length.
struct Recall {
  std::int32_t num_tokens = 0;  ///< that were asked for
  Prefill prefill = Prefill::exact;
  Format const* format = nullptr;
  double bits_per_element = 0;
  std::int32_t num_prompts = 0;  ///< those that f32 answers, of `num_tried`
  std::int32_t num_tried = 0;
  std::int32_t num_recalled = 0;
  double answer_bits = 0;  ///< the mean over the prompts, for a whole answer
};

/// What measures it. One owner thread.
struct RecallRun {
  using MakeStore = std::function<std::unique_ptr<Store>(Format const& format, std::int32_t max_tokens)>;
  using Progress = std::function<void(std::string const&)>;

  serve::Llama const& model;
  RecallPrompts const& prompts;
  std::vector<Format const*> const& formats;  ///< f32 first
  std::vector<Prefill> prefills;
  MakeStore make_store;  ///< own tokens stored
  RecallLog& log;
  folio::ThreadPool* threads = nullptr;
  Progress progress;

  /// The prompts that are tried to find `num_prompts` that f32 answers, at most.
  [[nodiscard]] static std::int32_t most_tried(std::int32_t num_prompts) { return 4 * num_prompts; }

  /// The formats' answers to the first `num_prompts` prompts that f32 answers, of most_tried(num_prompts). Cost: for
  /// each prompt that is tried one pass over f32 (for both ways: it is exact), for each that f32 answers one pass over
  /// every format with Prefill::stored, and with Prefill::exact a step of the question only. Memory: the keys and
  /// values of a prompt as f32, and a cache of each format.
  [[nodiscard]] std::vector<Recall> run(std::int32_t num_tokens, std::int32_t num_prompts) const {
    std::vector<Recall> out;
    std::vector<std::unique_ptr<Store>> stores;
    for (Format const* const format : formats) stores.push_back(make_store(*format, num_tokens));
    for (Prefill const prefill : prefills)
      for (Format const* const format : formats) out.push_back({num_tokens, prefill, format, 0, 0, 0, 0, 0});
    std::vector<double> const bits = bits_per_element(stores, num_tokens);
    std::int32_t tried = 0, answered = 0;
    for (; tried < most_tried(num_prompts) && answered < num_prompts; ++tried) {
      progress("recall, " + std::to_string(num_tokens) + " tokens, prompt " + std::to_string(tried + 1) + ", " +
               std::to_string(answered) + " answered with f32");
      RecallPrompt const prompt = prompts.make(num_tokens, tried);
      Exact exact(*this, *stores.front(), prompt);
      std::string const which = std::to_string(num_tokens) + ' ' + std::to_string(tried) + ' ';
      Answer const reference = once(which + "exact f32", [&] { return exact.answer(); });
      if (!reference.right) continue;
      ++answered;
      for (std::size_t r = 0; r < out.size(); ++r) {
        std::size_t const f = r % formats.size();
        Prefill const prefill = out[r].prefill;
        Answer const answer = f == 0
                                  ? reference
                                  : once(which + std::string(to_string(prefill)) + ' ' + std::string(formats[f]->name),
                                         [&] { return measure(*stores[f], prompt, prefill, exact); });
        out[r].num_recalled += answer.right ? 1 : 0;
        out[r].answer_bits += answer.bits;
      }
    }
    for (std::size_t r = 0; r < out.size(); ++r) {
      out[r].num_prompts = answered;
      out[r].num_tried = tried;
      out[r].answer_bits /= std::max(1, answered);
      out[r].bits_per_element = bits[r % formats.size()];
    }
    return out;
  }

 private:
  /// The text before a prompt's question, computed over f32 when it is first asked for.
  class Exact {
   public:
    Exact(RecallRun const& run, Store& store, RecallPrompt const& prompt) : run_(run), store_(store), prompt_(prompt) {}

    Answer answer() {
      Runner runner(run_.model, store_, run_.threads, [this](auto const&... rows) { keep(rows...); });
      rows_ = {};
      rows_.keys.resize(static_cast<std::size_t>(run_.model.config().layers));
      rows_.values.resize(rows_.keys.size());
      runner.restart(1);
      read(runner, prompt_);
      keeps_ = false;
      return ask(runner, prompt_, run_.model.config().vocab);
    }

    Rows const& rows() {
      if (rows_.keys.empty()) static_cast<void>(answer());
      return rows_;
    }

   private:
    void keep(std::int32_t layer, float const* keys, float const* values, std::int64_t num_rows) {
      if (!keeps_) return;
      std::int64_t const size = num_rows * run_.model.config().head_dim;
      auto const l = static_cast<std::size_t>(layer);
      rows_.keys[l].insert(rows_.keys[l].end(), keys, keys + size);
      rows_.values[l].insert(rows_.values[l].end(), values, values + size);
    }

    RecallRun const& run_;
    Store& store_;
    RecallPrompt const& prompt_;
    Rows rows_;
    bool keeps_ = true;
  };

  /// With that many tokens stored, which a format that demotes depends on.
  [[nodiscard]] std::vector<double> bits_per_element(std::vector<std::unique_ptr<Store>> const& stores,
                                                     std::int32_t num_tokens) const {
    auto const size = static_cast<std::size_t>(num_tokens) *
                      static_cast<std::size_t>(model.config().kv_heads * model.config().head_dim);
    Rows rows;
    rows.keys.assign(static_cast<std::size_t>(model.config().layers), std::vector<float>(size));
    rows.values = rows.keys;
    std::vector<double> bits;
    for (auto const& store : stores) {
      Runner runner(model, *store, threads);
      runner.restart(1);
      runner.append(rows, num_tokens);
      bits.push_back(store->bits_per_element());
    }
    return bits;
  }

  static void read(Runner& runner, RecallPrompt const& prompt) {
    auto const text = std::span(prompt.prompt).first(prompt.question);
    for (std::size_t begin = 0; begin < text.size(); begin += runner.step_tokens()) {
      auto const part = text.subspan(begin, std::min(runner.step_tokens(), text.size() - begin));
      std::span<std::int32_t const> const step(part);
      runner.step({&step, 1});
    }
  }

  [[nodiscard]] Answer measure(Store& store, RecallPrompt const& prompt, Prefill prefill, Exact& exact) const {
    Runner runner(model, store, threads);
    runner.restart(1);
    if (prefill == Prefill::exact)
      runner.append(exact.rows(), static_cast<std::int64_t>(prompt.question));
    else
      read(runner, prompt);
    return ask(runner, prompt, model.config().vocab);
  }

  template <class Measure>
  Answer once(std::string const& key, Measure const& measure_it) const {
    if (Answer const* const found = log.find(key)) return *found;
    Answer const answer = measure_it();
    log.add(key, answer);
    return answer;
  }
};

}  // namespace evaluate
