// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What serve and evaluate write: the text as it grows, a file at the end, and the exit status when that fails.

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <new>
#include <ostream>
#include <sstream>
#include <stdexcept>
#include <streambuf>
#include <string>
#include <thread>

#include "display.hpp"
#include "output_file.hpp"
#include "run_program.hpp"
#include "scratch_folder.hpp"
#include "support/catch.hpp"
#include "support/sanitizers.hpp"
#include "text/tokenizer.hpp"
#include "utf8.hpp"

#if __has_include(<sys/resource.h>)
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#endif

using folio::test::contains;

namespace {

std::string read(std::filesystem::path const& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// Standard output, or standard error, goes to `buffer` while this lives.
class Redirected {
 public:
  Redirected(std::ostream& stream, std::streambuf* buffer) : stream_(stream), before_(stream.rdbuf(buffer)) {}
  Redirected(Redirected const&) = delete;
  Redirected& operator=(Redirected const&) = delete;
  ~Redirected() { stream_.rdbuf(before_); }

 private:
  std::ostream& stream_;
  std::streambuf* before_;
};

/// A full disk, which is seen when what was printed goes there.
class Full final : public std::streambuf {
  int_type overflow(int_type c) override { return traits_type::not_eof(c); }
  int sync() override { return -1; }
};

/// What run_program returns and says where `body` is the program.
template <class Body>
std::string outcome(Body const& body, std::streambuf* out) {
  std::stringbuf errors;
  Redirected const standard_output(std::cout, out), standard_error(std::cerr, &errors);
  int const status = serve::run_program("it", body);
  return std::to_string(status) + " " + errors.str();
}

}  // namespace

TEST_CASE("The end of a text begins with a whole character", "[serve]") {
  using serve::utf8_suffix;
  CHECK(utf8_suffix("abc", 2) == "bc");
  CHECK(utf8_suffix("abc", 0).empty());
  CHECK(utf8_suffix("a\u00e9", 2) == "\u00e9");
  CHECK(utf8_suffix("a\u00e9", 1).empty());
  CHECK(utf8_suffix("\U0001F600b", 4) == "b");
  CHECK(utf8_suffix("\xA9", 9) == "\xA9");  // all of it, whatever it is
}

TEST_CASE("What is shown of a text is UTF-8, wherever it is cut", "[serve]") {
  serve::ByteTokenizer const bytes;
  std::string accents;
  for (int i = 0; i < 50; ++i) accents += "\u00e9";
  for (std::string const tail : {"", "x"}) {  // the cut falls between characters, or within one
    std::ostringstream text, progress;
    serve::Display display(bytes, bytes.encode(accents + tail), text, progress, true);
    std::this_thread::sleep_for(std::chrono::milliseconds(120));  // it shows its line ten times a second
    serve::Progress state;
    state.waiting = 1;
    display.on_step(state);
    CHECK(serve::valid_utf8_bytes(progress.str()) == progress.str().size());
    CHECK_THAT(progress.str(), contains("\u00e9") && !contains("\uFFFD"));
    display.on_token({0, 0, 0}, 0xC3);  // the first half of a character
    std::this_thread::sleep_for(std::chrono::milliseconds(120));
    display.on_step(state);
    CHECK(serve::valid_utf8_bytes(progress.str()) == progress.str().size());
    state.waiting = 0;
    display.on_token({0, 0, 1}, 0xA9);
    display.on_step(state);
    CHECK_THAT(text.str(), contains("...\u00e9") && contains(tail + "\u00e9\n") && !contains("\uFFFD"));
  }
}

TEST_CASE("A program's status and sentence say what went wrong", "[serve]") {
  std::stringbuf written;
  Full full;
  auto const print = [] {
    std::cout << "figures\n";
    return 0;
  };
  CHECK(outcome(print, &written) == "0 ");
  CHECK(written.str() == "figures\n");
  CHECK(outcome([] { return 3; }, &written) == "3 ");
  CHECK(outcome(print, &full) == "1 it: Standard output cannot be written: not all is there.\n");
  CHECK(outcome([]() -> int { throw serve::BadOption("No\xFF."); }, &written) == "2 it: No\uFFFD.\n");
  CHECK(outcome([]() -> int { throw serve::BadInput("No."); }, &written) == "1 it: No.\n");
  CHECK(outcome([]() -> int { throw std::runtime_error("No."); }, &written) == "1 it: No.\n");
  CHECK_THAT(outcome([]() -> int { throw std::bad_alloc(); }, &written), contains("1 it: There is not enough memory"));
}

#if __has_include(<sys/resource.h>)
TEST_CASE("A standard stream that is closed is empty, and no file gets its number", "[serve]") {
  int const input = ::dup(STDIN_FILENO);
  REQUIRE(input > 2);
  ::close(STDIN_FILENO);
  serve::open_closed_streams();
  char byte = 0;
  ssize_t const num_read = ::read(STDIN_FILENO, &byte, 1), num_written = ::write(STDIN_FILENO, &byte, 1);
  ::dup2(input, STDIN_FILENO);
  ::close(input);
  CHECK(num_read == 0);
  CHECK(num_written == -1);
}
#endif

TEST_CASE("An output file has the whole text, or is as it was", "[serve]") {
  serve::test::ScratchFolder const folder;
  auto const file = folder.path() / "file";
  serve::OutputFile output(file);
  CHECK_FALSE(std::filesystem::exists(file));
  output.write("a long text\n");
  CHECK(read(file) == "a long text\n");
  for (std::string const text : {"short\n", "a text that is longer\n", ""}) {
    serve::OutputFile again(file);
    CHECK_FALSE(read(file).empty());
    again.write(text);
    CHECK(read(file) == text);
  }
  CHECK_THROWS_WITH(serve::OutputFile(folder.path() / "no" / "folder"), contains("folder cannot be written."));
  CHECK_THROWS_WITH(serve::OutputFile(folder.path()), contains(" cannot be written."));
}

TEST_CASE("An output file that gets another name meanwhile keeps its text, and a new one is written", "[serve]") {
  serve::test::ScratchFolder const folder;
  auto const file = folder.path() / "file", old = folder.path() / "old";
  folder.write("file", "what was there");
  serve::OutputFile output(file);
  std::filesystem::rename(file, old);
  output.write("new");
  CHECK(read(old) == "what was there");
  CHECK(read(file) == "new");
}

TEST_CASE("An output file may be a symbolic link, which stays", "[serve]") {
  serve::test::ScratchFolder const folder;
  folder.write("target", "old");
  for (std::string const name : {"target", "nowhere"}) {
    auto const target = folder.path() / name, link = folder.path() / (name + "_link");
    std::filesystem::create_symlink(name, link);
    serve::OutputFile output(link);
    CHECK(std::filesystem::is_symlink(link));
    CHECK(read(target) == (name == "target" ? "old" : ""));
    CHECK(std::filesystem::exists(target) == (name == "target"));
    output.write("new");
    CHECK(std::filesystem::is_symlink(link));
    CHECK(read(target) == "new");
  }
}

#if __has_include(<sys/resource.h>)
TEST_CASE("A pipe as an output file has a writer until it is written", "[serve]") {
  serve::test::ScratchFolder const folder;
  auto const pipe = folder.path() / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  int const reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  REQUIRE(reader >= 0);
  serve::OutputFile output(pipe);
  char text[8] = {};
  CHECK(::read(reader, text, sizeof text) == -1);  // 0 would be the end
  output.write("new");
  CHECK(::read(reader, text, sizeof text) == 3);
  CHECK(std::string(text) == "new");
  CHECK(::read(reader, text, sizeof text) == 0);
  ::close(reader);
}

TEST_CASE("A file that a full disk does not take keeps what it had", "[serve]") {
  serve::test::ScratchFolder const folder;
  folder.write("old", "what was there");
  std::filesystem::create_symlink("nowhere", folder.path() / "link");
  auto const before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &limit) == 0);
  rlimit const small{.rlim_cur = 20, .rlim_max = limit.rlim_max};
  for (std::string const name : {"old", "new", "link"}) {
    serve::OutputFile output(folder.path() / name);
    std::string const text(100, 'x');
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    CHECK_THROWS_WITH(output.write(text), contains(name + " cannot be written."));
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &limit) == 0);
  }
  static_cast<void>(std::signal(SIGXFSZ, before));
  CHECK(read(folder.path() / "old") == "what was there");
  CHECK_FALSE(std::filesystem::exists(folder.path() / "new"));
  CHECK(std::filesystem::is_symlink(folder.path() / "link"));
  CHECK_FALSE(std::filesystem::exists(folder.path() / "nowhere"));
}

TEST_CASE("A file that can be opened once only keeps what it had", "[serve]") {
  if (folio::test::address_sanitizer) FOLIO_SKIP("without descriptors the sanitizer cannot look at objects");
  serve::test::ScratchFolder const folder;
  folder.write("old", "what was there");
  serve::OutputFile output(folder.path() / "old");
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  int const next = ::dup(STDIN_FILENO);
  REQUIRE(next > 2);
  ::close(next);
  rlimit const one_more{.rlim_cur = static_cast<rlim_t>(next) + 1, .rlim_max = limit.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &one_more) == 0);
  std::string outcome;
  try {
    output.write("figures");
  } catch (serve::BadInput const& bad) {
    outcome = bad.what();
  }
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  CHECK_THAT(outcome, contains("old cannot be written."));
  CHECK(read(folder.path() / "old") == "what was there");
}
#endif
