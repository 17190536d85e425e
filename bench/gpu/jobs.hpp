// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the parts of gpu_bench share, without CUDA: its jobs, their deadline, and the lines of JSON that they write.

#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace folio::bench {

/// One JSON object of one level, in the words of Google Benchmark: name, real_time, counters.
class Line {
 public:
  explicit Line(std::string const& name) { add("name", name); }

  Line& add(char const* key, std::string const& value) { return member(key, quoted(value)); }
  Line& add(char const* key, char const* value) { return add(key, std::string(value)); }
  Line& add(char const* key, bool value) { return member(key, value ? "true" : "false"); }
  Line& add(char const* key, std::int64_t value) { return member(key, std::to_string(value)); }
  Line& add(char const* key, int value) { return add(key, std::int64_t{value}); }
  Line& add(char const* key, double value) {
    char digits[32];
    std::snprintf(digits, sizeof(digits), "%.9g", value);
    return member(key, std::isfinite(value) ? digits : "null");  // JSON has no infinity
  }
  [[nodiscard]] std::string text() const { return "{" + members_ + "}"; }

 private:
  Line& member(char const* key, std::string const& value) {
    members_ += (members_.empty() ? "" : ", ") + quoted(key) + ": " + value;
    return *this;
  }
  static std::string quoted(std::string const& text) {
    std::string all = "\"";
    for (char const c : text)
      if (c == '"' || c == '\\')
        all += {'\\', c};
      else
        all += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    return all + '"';
  }
  std::string members_;
};

/// What a job runs under.
struct Run {
  bool tiny = false;  ///< sizes that the stand-in for the CUDA runtime can do
  int file = -1;      ///< descriptor of a file for the lines besides the standard output, or -1
  std::chrono::steady_clock::time_point deadline;

  [[nodiscard]] double seconds_left() const {
    return std::chrono::duration<double>(deadline - std::chrono::steady_clock::now()).count();
  }
  /// Writes a line at once: nothing of it is lost when the process is killed in the next moment.
  void write(std::string const& text) const {
    std::string const line = text + "\n";
    for (int const to : {STDOUT_FILENO, file})
      if (to >= 0 && ::write(to, line.data(), line.size()) != static_cast<ssize_t>(line.size()))
        throw std::runtime_error("a line of figures could not be written");
  }
  void write(Line const& line) const { write(line.text()); }
};

/// A part of the run. `work` throws when what it checks is wrong.
struct Job {
  std::string name;
  double seconds;  ///< most that it may take
  bool in_tiny;    ///< whether a tiny run has it: one of each kind
  std::function<void(Run const&)> work;
};

// Each appends its jobs, the most important first.
void add_append_smoke(std::vector<Job>& jobs);
void add_attend_smoke(std::vector<Job>& jobs);
void add_move_smoke(std::vector<Job>& jobs);
void add_decode_figures(std::vector<Job>& jobs);
void add_shape_figures(std::vector<Job>& jobs);
void add_move_figures(std::vector<Job>& jobs);
void add_prefill_figures(std::vector<Job>& jobs);

}  // namespace folio::bench
