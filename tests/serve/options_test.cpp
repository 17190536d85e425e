// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The command line.

#include <cstdint>
#include <string>
#include <vector>

#include "options.hpp"
#include "support/catch.hpp"

using folio::test::contains;

namespace {

serve::Options parse(std::vector<char const*> const& arguments) { return serve::parse_options(arguments); }

}  // namespace

TEST_CASE("Options are read in both spellings", "[serve]") {
  auto const options = parse({"--max-tokens", "7", "--memory=64M", "--seed=18446744073709551615", "--temperature",
                              "0.5", "--json", "--check"});
  CHECK(options.max_tokens == 7);
  CHECK(options.memory_bytes == 64 << 20);
  CHECK(options.sampling.seed == UINT64_MAX);
  CHECK(options.sampling.temperature == 0.5);
  CHECK(options.json);
  CHECK(options.check);
  CHECK_FALSE(options.help);
  CHECK(parse({"--memory", "3K"}).memory_bytes == 3072);
  CHECK(parse({"--memory", "2G"}).memory_bytes == std::int64_t{2} << 30);
  CHECK(parse({"--memory", "77"}).memory_bytes == 77);
  CHECK(parse({}).quantizer == "f32");
}

TEST_CASE("A device is chosen by name, or left to serve", "[serve]") {
  CHECK(parse({}).device == serve::Device::automatic);
  CHECK(parse({"--device", "auto"}).device == serve::Device::automatic);
  CHECK(parse({"--device=host"}).device == serve::Device::host);
  CHECK(parse({"--device", "host", "--device", "cuda"}).device == serve::Device::cuda);
}

TEST_CASE("A step's own tokens are exact or stored, wherever the cache is", "[serve]") {
  CHECK(parse({"--device", "cuda"}).own_tokens == serve::OwnTokens::exact);
  CHECK(parse({"--own-tokens", "exact"}).own_tokens == serve::OwnTokens::exact);
  CHECK(parse({"--own-tokens=stored", "--device", "cuda"}).own_tokens == serve::OwnTokens::stored);
  CHECK_THROWS_WITH(parse({"--own-tokens", "rounded"}),
                    contains("--own-tokens rounded is not possible: it is one of "));
  for (char const* const own_tokens : {"exact", "stored"})
    CHECK(parse({"--own-tokens", own_tokens}).device == serve::Device::automatic);
}

TEST_CASE("Bad options are refused with a sentence", "[serve]") {
  CHECK_THROWS_WITH(parse({"--speed"}), contains("There is no option --speed; serve --help lists them."));
  CHECK_THROWS_WITH(parse({"x"}), contains("There is no option x"));
  CHECK_THROWS_WITH(parse({"--model"}), contains("--model needs a value: --model DIR."));
  CHECK_THROWS_WITH(parse({"--json=1"}), contains("--json takes no value"));
  for (std::string const name : {"--model", "--prompts", "--output", "--stop"}) {
    CHECK_THROWS_WITH(parse({name.c_str(), ""}), name + " needs a value that is not empty.");
    CHECK_THROWS_AS(parse({(name + "=").c_str()}), serve::BadOption);
  }
  CHECK(parse({"--chat", "--system", ""}).system == "");
  CHECK_THROWS_WITH(parse({"--device", "tpu"}), contains("--device tpu is not possible: it is auto, host or cuda."));
  CHECK_THROWS_WITH(parse({"--samples", "0"}),
                    contains("--samples 0 is not possible: it takes an integer from 1 to 65536."));
  for (std::vector<char const*> const& arguments :
       std::vector<std::vector<char const*>>{{"--memory", "0"},
                                             {"--memory", "-1"},
                                             {"--memory", "1T"},
                                             {"--memory", "1.5G"},
                                             {"--memory", ""},
                                             {"--memory", "9999999999999G"},
                                             {"--threads", "x"},
                                             {"--threads", "1 "},
                                             {"--seed", "-1"},
                                             {"--temperature", "-1"},
                                             {"--temperature", "nan"},
                                             {"--temperature", "1x"},
                                             {"--top-p", "2"},
                                             {"--max-tokens", "99999999999"},
                                             {"--batch-tokens", "0"},
                                             {"--device", "gpu"},
                                             {"--device", "CUDA"},
                                             {"--device", ""},
                                             {"--memory"}}) {
    INFO(arguments.front() << " " << arguments.back());
    CHECK_THROWS_AS(parse(arguments), serve::BadOption);
  }
}

TEST_CASE("Options of demotion that do not go together are refused with a sentence", "[serve]") {
  auto const options = parse({"--demote", "int4", "--sinks", "3", "--quantizer", "f16", "--device", "host"});
  CHECK(options.demote == "int4");
  CHECK(options.sinks == 3);
  CHECK_FALSE(options.recent_window);
  CHECK_THROWS_WITH(parse({"--demote", "int5"}), contains("--demote int5 is not possible: it is one of off, int8, "));
  for (char const* const name : {"f16+int4", "f32, f16", "", "F16", "f3"})
    CHECK_THROWS_WITH(parse({"--quantizer", name}), contains(" is not possible: it is one of f32, f16, "));
  CHECK_THROWS_WITH(parse({"--demote", "int4"}), contains("--demote int4 is not possible with --quantizer f32"));
  CHECK_THROWS_WITH(parse({"--demote", "int4", "--quantizer", "f16", "--device", "cuda"}), contains("--device cuda"));
  CHECK_THROWS_WITH(parse({"--sinks", "0"}), contains("--sinks is not possible without --demote"));
  CHECK_THROWS_WITH(parse({"--recent", "9", "--demote", "off"}), contains("--recent is not possible without --demote"));
}

TEST_CASE("Help explains every option", "[serve]") {
  std::string const help = serve::help_text();
  for (serve::Option const& option : serve::all_options())
    CHECK(help.find("\n  " + std::string(option.name)) != std::string::npos);
  CHECK(help.find(" \n") == std::string::npos);
}

TEST_CASE("What help says of an option begins at a column and ends before the width", "[serve]") {
  using serve::option_values::explain;
  CHECK(explain("--n", "N", "how many of all", 10, 18) == "  --n N   how many\n          of all\n");
  CHECK(explain("--own", "a|b", "which", 10, 18) == "  --own a|b\n          which\n");
  CHECK(explain("--help", "", "print this", 10, 20) == "  --help  print this\n");
  CHECK(explain("--long", "", "a-word-that-is-too-long", 10, 18) == "  --long  a-word-that-is-too-long\n");
}
