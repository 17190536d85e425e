// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What serve shows while it runs.

#include <chrono>
#include <sstream>
#include <string>
#include <thread>

#include "display.hpp"
#include "support/catch.hpp"
#include "tokenizer.hpp"
#include "utf8.hpp"

using folio::test::contains;

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
