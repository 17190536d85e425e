// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
//   replay (--trace FILE | --generate NAME [--seed N]) --capacity-blocks N --eviction NAME [--json]
//   replay (--trace FILE | --generate NAME [--seed N]) --compare [--json]
//
// Serves a trace from the prefix tree, with blocks of 512 tokens, and prints how much of it was found. FILE is in
// Mooncake's format; NAME of --generate is one of generated_names, made up from the seed, 1 by default. NAME of
// --eviction is a policy's, or oracle, which looks into the future and is no policy that a cache could have, or
// adaptive_rule1 to 3, which follow one of AdaptiveEviction's rules. --compare goes through all but these and
// capacities from 1,000 to 50,000 blocks; bench/plots/draw.py draws what it prints with --json.

#include <algorithm>
#include <cstdlib>
#include <folio/eviction/adaptive.hpp>
#include <folio/eviction/cost_aware.hpp>
#include <folio/eviction/lfu.hpp>
#include <folio/eviction/lru.hpp>
#include <folio/eviction/none.hpp>
#include <folio/eviction/priority_ttl.hpp>
#include <folio/eviction/s3fifo.hpp>
#include <folio/eviction/sieve.hpp>
#include <folio/eviction/slru.hpp>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "comparison.hpp"
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
  std::uint64_t seed = 1;
  bool json = false, compare = false;
};

Options parse(std::vector<std::string> const& arguments) {
  Options options;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string const& name = arguments[i];
    if (name == "--json" || name == "--compare") {
      (name == "--json" ? options.json : options.compare) = true;
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
    else if (name == "--seed")
      options.seed = std::strtoull(value.c_str(), nullptr, 10);
    else
      throw Error("replay: there is no option " + name);
  }
  if (options.trace.empty() == options.generator.empty()) throw Error("replay: give either --trace or --generate");
  if (options.compare != (options.capacity_blocks == 0) || options.capacity_blocks < 0)
    throw Error("replay: give either --compare, or --capacity-blocks, at least 1");
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

/// Calls f.operator()<Policy>() for each policy, and the oracle last.
template <class F>
void for_each_policy(F const& f) {
  f.template operator()<NoEviction>();
  f.template operator()<LruEviction>();
  f.template operator()<LfuEviction>();
  f.template operator()<SlruEviction>();
  f.template operator()<S3FifoEviction>();
  f.template operator()<SieveEviction>();
  f.template operator()<PriorityTtlEviction>();
  f.template operator()<CostAwareEviction>();
  f.template operator()<AdaptiveEviction>();
  f.template operator()<OracleEviction>();
}

/// Follows one of AdaptiveEviction's rules that reward, to see what it is worth.
template <std::size_t number>
struct OneRule : AdaptiveEviction {
  static constexpr char const* name = number == 1   ? "adaptive_rule1"
                                      : number == 2 ? "adaptive_rule2"
                                                    : "adaptive_rule3";
  OneRule() : AdaptiveEviction(number) {}
};

ReplayResult replay(std::string const& eviction, std::int64_t capacity_blocks, Trace const& trace) {
  std::optional<ReplayResult> result;
  std::string known;
  auto const run_if_meant = [&]<class Policy>() {
    if (eviction == Policy::name) result = replay<Policy>(trace, capacity_blocks);
    known += std::string(known.empty() ? "" : ", ") + Policy::name;
  };
  for_each_policy(run_if_meant);
  run_if_meant.operator()<OneRule<1>>();
  run_if_meant.operator()<OneRule<2>>();
  run_if_meant.operator()<OneRule<3>>();
  if (!result) throw Error("replay: there is no eviction \"" + eviction + "\"; there are " + known);
  return *result;
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

/// Hit rates in percent by policy and capacity, as a table or as JSON.
void compare(Options const& options, Trace const& trace) {
  std::vector<std::int64_t> const capacities = {1000, 2000, 5000, 10'000, 20'000, 50'000};
  std::vector<Series> all;
  for_each_policy([&]<class Policy>() {
    if (std::is_same_v<Policy, PriorityTtlEviction>) return;  // lru, where nobody says priorities
    Series series{Policy::name, {}};
    for (std::int64_t const capacity : capacities)
      series.percent.push_back(100 * replay<Policy>(trace, capacity).hit_rate());
    all.push_back(std::move(series));
  });
  std::string const name = options.trace.empty() ? options.generator : "trace";
  std::cout << (options.json ? to_json(name, capacities, all) : to_table(capacities, all));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Options const options = parse({argv + 1, argv + argc});
    Trace const trace = options.trace.empty() ? generate(options.generator, options.seed) : read_trace(options.trace);
    if (options.compare)
      compare(options, trace);
    else
      print(replay(options.eviction, options.capacity_blocks, trace), options.json);
    if (!std::cout.flush()) throw std::runtime_error("Standard output cannot be written: not all is there.");
  } catch (std::exception const& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
