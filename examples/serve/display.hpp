// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the user sees while it runs: a progress line, and the text of the first request as it is generated.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ostream>
#include <string>
#include <string_view>

#include "engine.hpp"
#include "text/tokenizer.hpp"
#include "utf8.hpp"

#if __has_include(<unistd.h>)
#include <unistd.h>
#endif

namespace serve {

/// Whether standard error is a terminal.
[[nodiscard]] inline bool stderr_is_terminal() {
#if __has_include(<unistd.h>)
  return ::isatty(STDERR_FILENO) == 1;
#else
  return false;
#endif
}

/// Shows the first sample of the first request, and how far all are. On a terminal the text scrolls by above one
/// progress line, which shows the line of text that is being written; else text and progress are lines of their own.
/// The clock here decides nothing but when to print.
class Display final : public Observer {
 public:
  /// `prompt`: of the first request; its end is shown before the text. `text_out` gets the text, `progress_out` the
  /// progress.
  Display(Tokenizer const& tokenizer, Tokens const& prompt, std::ostream& text_out, std::ostream& progress_out,
          bool terminal)
      : tokenizer_(tokenizer), text_out_(text_out), progress_out_(progress_out), terminal_(terminal), tokens_(prompt) {
    std::string const text = tokenizer_.decode(prompt);
    shown_ = text.size();
    std::size_t const newline = text.rfind('\n');
    std::string last = newline == std::string::npos ? text : text.substr(newline + 1);
    if (last.size() > 60) last = "..." + std::string(utf8_suffix(last, 57));
    if (!tokenizer_.prompt_per_line()) line_ = last;  // a line of ids is a completion
  }

  void on_token(DrawIndex index, std::int32_t token) override {
    ++generated_;
    if (index.request != 0 || index.sample != 0) return;
    tokens_.push_back(token);
    std::string const text = tokenizer_.decode(tokens_);
    for (; shown_ < text.size(); ++shown_) {
      if (text[shown_] == '\n') {
        flush_line();
        continue;
      }
      line_ += text[shown_];
      if (line_.size() > 70 && text[shown_] == ' ' && !tokenizer_.prompt_per_line()) flush_line();
    }
  }

  void on_step(Progress const& progress) override {
    auto const now = Clock::now();
    bool const last = progress.running + progress.waiting == 0;
    if (!last && now - printed_ < (terminal_ ? std::chrono::milliseconds(100) : std::chrono::seconds(2))) return;
    if (last && !line_.empty()) flush_line();
    printed_ = now;
    double const seconds = std::chrono::duration<double>(now - begin_).count();
    auto const share = [&](std::int64_t bytes) {
      return std::to_string(static_cast<int>(100 * static_cast<double>(bytes) /
                                             static_cast<double>(std::max<std::int64_t>(1, progress.bytes))));
    };
    std::string const line =
        "[" + std::to_string(progress.finished) + "/" +
        std::to_string(progress.finished + progress.running + progress.waiting) + " done, " +
        std::to_string(progress.running) + " running, " + std::to_string(progress.waiting) + " waiting, cache " +
        share(progress.live_bytes) + "% in use + " + share(progress.kept_bytes) + "% kept, " +
        std::to_string(static_cast<std::int64_t>(seconds > 0 ? static_cast<double>(generated_) / seconds : 0.0)) +
        " tokens/s]";
    if (terminal_) {
      std::size_t const room = line.size() < 78 ? 78 - line.size() : 0;
      progress_out_ << erase_line << line << " " << replace_invalid_utf8(utf8_suffix(line_, room)) << std::flush;
      if (last) progress_out_ << erase_line << std::flush;
    } else {
      progress_out_ << line << std::endl;
    }
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::string_view erase_line = "\r\033[K";

  void flush_line() {
    if (terminal_) progress_out_ << erase_line << std::flush;
    text_out_ << replace_invalid_utf8(line_) << std::endl;
    line_.clear();
  }

  Tokenizer const& tokenizer_;
  std::ostream& text_out_;
  std::ostream& progress_out_;
  bool terminal_;
  Tokens tokens_;
  std::size_t shown_ = 0;  // bytes of the decoded text that were taken into lines
  std::string line_;
  std::int64_t generated_ = 0;
  Clock::time_point begin_ = Clock::now(), printed_ = begin_;
};

}  // namespace serve
