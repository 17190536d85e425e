// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A file for what a run has found.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <system_error>
#include <utility>

#include "bad_input.hpp"

namespace serve {

/// A file that a run writes when it has ended. Until then, and when it cannot be written, it is as it was: what it had
/// is there, or there is none. Symbolic links stay, and what they point to is written. A file that gets another name
/// meanwhile keeps what it had, and a new one is written. Not thread-safe.
///
/// One failure is left: a disk that takes the text and then fails while the text is moved to the file's beginning. What
/// follows the beginning then has the text whole.
class OutputFile {
 public:
  /// Throws BadInput where it cannot be written, so that nobody computes for hours before that is seen.
  explicit OutputFile(std::filesystem::path path) : path_(std::move(path)) {
    std::error_code error;
    bool const is_there = std::filesystem::exists(path_, error);
    out_.open(path_, std::ios::binary | std::ios::app);
    if (!out_) fail();
    if (is_there && !std::filesystem::is_regular_file(path_, error)) return;  // a pipe's reader would see its end
    out_.close();                                                             // it would stay open under a new name
    if (is_there) return;
    std::filesystem::remove(std::filesystem::canonical(path_, error), error);
  }

  /// Writes `text` in the place of what the file has. That is cut off when the disk has taken all of the text, so both
  /// must fit. Throws BadInput. Called once.
  void write(std::string_view text) {
    std::error_code error;
    bool const is_new = !std::filesystem::exists(path_, error);
    if (!out_.is_open()) out_.open(path_, std::ios::binary | std::ios::app);
    bool const is_regular = std::filesystem::is_regular_file(path_, error);
    std::uintmax_t const old_size = is_regular ? std::filesystem::file_size(path_, error) : 0;
    std::fstream begin;
    if (old_size != 0) begin.open(path_, std::ios::binary | std::ios::in | std::ios::out);  // which cuts nothing off
    if (!begin) fail();
    out_ << text;
    out_.close();
    if (!out_) {
      if (is_regular) std::filesystem::resize_file(path_, old_size, error);
      if (is_new) std::filesystem::remove(std::filesystem::canonical(path_, error), error);
      fail();
    }
    if (old_size == 0) return;
    begin << text;
    begin.close();
    if (begin) std::filesystem::resize_file(path_, text.size(), error);
    if (!begin || error) fail();
  }

 private:
  [[noreturn]] void fail() const { throw BadInput("The file " + path_.string() + " cannot be written."); }

  std::filesystem::path path_;
  std::ofstream out_;
};

}  // namespace serve
