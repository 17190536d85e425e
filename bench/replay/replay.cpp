// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
//   replay (--trace FILE | --generate NAME) --capacity-blocks N --eviction NAME [--json]
//
// Serves a trace from the prefix tree, with blocks of 512 tokens, and prints how much of it was found. FILE is in
// Mooncake's format; NAME of --generate is one of generated_names. Of evictions there are lru, and oracle, which looks
// into the future and is no policy that a cache could have.

#include <algorithm>
#include <cstdlib>
#include <folio/eviction/lru.hpp>
#include <iostream>
#include <string>
#include <vector>

#include "generate.hpp"
#include "oracle.hpp"
#include "replay.hpp"

namespace {

using namespace folio;
using namespace folio::bench;

constexpr std::int32_t block_tokens = 512;

struct Options {
  std::string trace, generator, eviction = "lru";
  std::int64_t capacity_blocks = 0;
  bool json = false;
};

Options parse(std::vector<std::string> const& arguments) {
  Options options;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string const& name = arguments[i];
    if (name == "--json") {
      options.json = true;
      continue;
    }
    if (i + 1 == arguments.size()) throw Error("replay: " + name + " needs a value, or is no option");
    std::string const& value = arguments[++i];
    if (name == "--trace")
      options.trace = value;
    else if (name == "--generate")
      options.generator = value;
    else if (name == "--eviction")
      options.eviction = value;
    else if (name == "--capacity-blocks")
      options.capacity_blocks = std::atoll(value.c_str());
    else
      throw Error("replay: there is no option " + name);
  }
  if (options.trace.empty() == options.generator.empty()) throw Error("replay: give either --trace or --generate");
  if (options.capacity_blocks < 1) throw Error("replay: give --capacity-blocks, at least 1");
  return options;
}

template <class Policy>
ReplayResult replay(Trace const& trace, std::int64_t capacity_blocks) {
  std::size_t longest = 1;
  for (Request const& request : trace) longest = std::max(longest, request.ids.size());
  Replay<Policy> run(capacity_blocks, static_cast<std::int64_t>(longest), block_tokens);
  if constexpr (requires { run.tree().eviction().read(trace); }) run.tree().eviction().read(trace);
  return run.run(trace);
}

ReplayResult replay(Options const& options, Trace const& trace) {
  if (options.eviction == LruEviction::name) return replay<LruEviction>(trace, options.capacity_blocks);
  if (options.eviction == OracleEviction::name) return replay<OracleEviction>(trace, options.capacity_blocks);
  throw Error("replay: there is no eviction \"" + options.eviction + "\"; there are lru and oracle");
}

float percentile(std::vector<float> times, std::size_t percent) {
  if (times.empty()) return 0;
  auto const at = times.begin() + static_cast<std::ptrdiff_t>((times.size() - 1) * percent / 100);
  std::nth_element(times.begin(), at, times.end());
  return *at;
}

void print(ReplayResult const& result, bool json) {
  char const* const separator = json ? "," : "\n";
  std::cout << (json ? "{" : "");
  auto line = [&, first = true](char const* name, auto value) mutable {
    if (!first) std::cout << separator;
    first = false;
    if (json)
      std::cout << '"' << name << "\":" << value;
    else
      std::cout << name << ": " << value;
  };
  line("hit_blocks", result.hit_blocks);
  line("total_blocks", result.total_blocks);
  line("hit_rate", result.hit_rate());
  line("requests_per_second", static_cast<double>(result.requests) / result.seconds);
  line("evictions", result.evictions);
  line("match_p50_us", percentile(result.match_us, 50));
  line("match_p99_us", percentile(result.match_us, 99));
  line("insert_p50_us", percentile(result.insert_us, 50));
  line("insert_p99_us", percentile(result.insert_us, 99));
  line("evict_p50_us", percentile(result.evict_us, 50));
  line("evict_p99_us", percentile(result.evict_us, 99));
  std::cout << (json ? "}\n" : "\n");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Options const options = parse({argv + 1, argv + argc});
    print(replay(options, options.trace.empty() ? generate(options.generator) : read_trace(options.trace)),
          options.json);
  } catch (std::exception const& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
