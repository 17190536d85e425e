// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Runs the fuzz target without libFuzzer: seeds, mutated by a seeded generator, for some seconds. So the same target
// runs with any compiler. With libFuzzer this file only gives the mutator, which now and then begins anew at a seed.
//
//   serve_fuzz --seconds 30 --seed 1

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz_seeds.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size);

namespace {

std::vector<std::string> const& seeds() {
  static std::vector<std::string> const all = serve::test::fuzz_seeds(FOLIO_SERVE_MODEL);
  return all;
}

}  // namespace

#ifdef FOLIO_SERVE_LIBFUZZER

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  if (seed % 16 == 0) {
    std::string const& from = seeds()[seed / 16 % seeds().size()];
    size = from.copy(reinterpret_cast<char*>(data), max_size);
  }
  return LLVMFuzzerMutate(data, size, max_size);
}

#else

namespace {

using Random = std::mt19937_64;

std::size_t below(Random& random, std::size_t n) { return n == 0 ? 0 : static_cast<std::size_t>(random() % n); }

/// Replaces a run of digits, if there is one after a random place, by a number at the edge of something.
void replace_number(Random& random, std::string& text) {
  constexpr std::string_view numbers[] = {"0",
                                          "1",
                                          "-1",
                                          "2",
                                          "255",
                                          "2147483647",
                                          "2147483648",
                                          "4294967296",
                                          "9223372036854775807",
                                          "9223372036854775808",
                                          "18446744073709551615",
                                          "1e400",
                                          "0.5",
                                          "1e-400",
                                          "01"};
  constexpr std::string_view digits = "0123456789";
  std::size_t const begin = text.find_first_of(digits, below(random, text.size()));
  if (begin == std::string::npos) return;
  std::size_t const end = std::min(text.find_first_not_of(digits, begin), text.size());
  text.replace(begin, end - begin, numbers[below(random, std::size(numbers))]);
}

/// One small change.
void mutate(Random& random, std::string& text, std::string const& other) {
  constexpr std::string_view pieces[] = {
      "{",         "}",   "[",       "]",    "\"",   ",",    ":",
      "\\",        "\\u", "\\ud800", "null", "true", "\xC3", std::string_view("\0", 1),
      "\"a\": 1, "};
  std::size_t const at = below(random, text.size() + 1);
  std::size_t const length = below(random, std::min<std::size_t>(64, text.size() - at) + 1);
  switch (below(random, 8)) {
    case 0:
      if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << below(random, 8)));
      break;
    case 1:
      if (at < text.size()) text[at] = static_cast<char>(random());
      break;
    case 2:
      text.erase(at, length);
      break;
    case 3:
      text.insert(at, text.substr(at, length));
      break;
    case 4:
      text.insert(at, pieces[below(random, std::size(pieces))]);
      break;
    case 5:
      text.insert(at, other.substr(below(random, other.size()), length));
      break;
    case 6:
      text.resize(at);
      break;
    default:
      replace_number(random, text);
      break;
  }
}

}  // namespace

int main(int argc, char** argv) {
  double seconds = 30;
  std::uint64_t seed = 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::string_view(argv[i]) == "--seconds") seconds = std::atof(argv[i + 1]);
    if (std::string_view(argv[i]) == "--seed") seed = std::strtoull(argv[i + 1], nullptr, 10);
  }
  auto const test = [](std::string const& text) {
    LLVMFuzzerTestOneInput(reinterpret_cast<std::uint8_t const*>(text.data()), text.size());
  };
  for (std::string const& input : seeds()) test(input);
  Random random(seed);
  auto const begin = std::chrono::steady_clock::now();
  std::uint64_t runs = 0;
  while (std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() < seconds) {
    std::string input = seeds()[below(random, seeds().size())];
    for (std::size_t changes = 1 + below(random, 6); changes > 0; --changes)
      mutate(random, input, seeds()[below(random, seeds().size())]);
    test(input);
    ++runs;
  }
  std::printf("serve_fuzz: %llu inputs in %.0f seconds, seed %llu: no failure\n", static_cast<unsigned long long>(runs),
              seconds, static_cast<unsigned long long>(seed));
}

#endif
