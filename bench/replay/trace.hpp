// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Traces of requests: what is replayed, and how it is read from a file.

#include <charconv>
#include <cstdint>
#include <folio/error.hpp>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace folio::bench {

/// A request: when it came, and the blocks of its prompt. Equal ids are equal blocks after equal blocks.
struct Request {
  double seconds = 0;
  std::vector<std::int32_t> ids;
};
using Trace = std::vector<Request>;

/// Reads the number after `"name":` of a line of JSON; throws Error when there is none.
inline std::int64_t number_of(std::string_view line, std::string_view name, std::string const& where) {
  std::size_t at = line.find("\"" + std::string(name) + "\"");
  if (at != line.npos) at = line.find(':', at);
  if (at != line.npos) at = line.find_first_not_of(' ', at + 1);
  std::int64_t number = 0;
  if (at == line.npos || std::from_chars(line.data() + at, line.data() + line.size(), number).ec != std::errc())
    throw Error(where + ": no number \"" + std::string(name) + "\"");
  return number;
}

/// Reads a Mooncake trace: a JSON object a line, with `timestamp` in milliseconds and `hash_ids`, an id for each block
/// of 512 tokens, the last of which may be partly filled. Throws Error naming the file and the line.
[[nodiscard]] inline Trace read_trace(std::string const& path) {
  std::ifstream file(path);
  if (!file) throw Error("cannot read the trace " + path);
  Trace trace;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (line.find_first_not_of(" \r\t") == line.npos) continue;
    std::string const where = path + ":" + std::to_string(number);
    Request request;
    request.seconds = static_cast<double>(number_of(line, "timestamp", where)) / 1000;
    std::size_t at = line.find("\"hash_ids\"");
    at = at == line.npos ? at : line.find('[', at);
    std::size_t const end = at == line.npos ? at : line.find(']', at);
    if (end == line.npos) throw Error(where + ": no list \"hash_ids\"");
    for (char const* c = line.data() + at + 1; c < line.data() + end;) {
      std::int32_t id = 0;
      auto const parsed = std::from_chars(c, line.data() + end, id);
      if (parsed.ec == std::errc()) request.ids.push_back(id);
      c = parsed.ec == std::errc() ? parsed.ptr : c + 1;
    }
    trace.push_back(std::move(request));
  }
  if (trace.empty()) throw Error("no request in the trace " + path);
  return trace;
}

}  // namespace folio::bench
