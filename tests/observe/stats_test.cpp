// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cctype>
#include <clocale>
#include <cstdlib>
#include <folio/folio.hpp>
#include <locale>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/model_sequence.hpp"
#include "support/random.hpp"

using folio::GroupStats;
using folio::ModelConfig;
using folio::Sequence;
using folio::Stats;
using folio::test::below;

namespace {

constexpr ModelConfig hybrid{.layers = 4,
                             .kv_heads = 1,
                             .head_dim = 8,
                             .groups = {folio::full_attention(), folio::sliding_window(6, 3)},
                             .pattern = folio::repeat_groups({0, 1, 1, 1})};
using Cache = folio::KvCache<folio::Model<hybrid>, folio::BlockSizes<4, 3>, folio::F32>;

/// Slots of live blocks of a group that hold no sequence's token, by ticking off each token of each sequence.
std::int64_t empty_slots(Cache const& cache, std::vector<Sequence> const& sequences, int group) {
  std::int32_t const block_size = cache.shape(group).block_size;
  std::set<std::int32_t> blocks;
  std::set<std::pair<std::int32_t, std::int32_t>> filled;
  for (Sequence const& s : sequences) {
    auto const ids = folio::test::block_ids(s, group);
    for (std::int32_t const id : ids)
      if (id != 0) blocks.insert(id);
    for (std::int32_t t = 0; t < s.num_stored_tokens(group); ++t)
      if (ids[static_cast<std::size_t>(t / block_size)] != 0)
        filled.insert({ids[static_cast<std::size_t>(t / block_size)], t % block_size});
  }
  return static_cast<std::int64_t>(blocks.size()) * block_size - static_cast<std::int64_t>(filled.size());
}

/// Tokens whose block a sequence has in a group, each by each.
std::int64_t stored_tokens(Cache const& cache, std::vector<Sequence> const& sequences, int group) {
  std::int64_t stored = 0;
  for (Sequence const& s : sequences) {
    auto const ids = folio::test::block_ids(s, group);
    for (std::int32_t t = 0; t < s.num_stored_tokens(group); ++t)
      stored += ids[static_cast<std::size_t>(t / cache.shape(group).block_size)] != 0 ? 1 : 0;
  }
  return stored;
}

void check_stats(Cache const& cache, std::vector<Sequence> const& sequences) {
  Stats const stats = cache.stats();
  std::int64_t tokens = 0;
  for (Sequence const& s : sequences) tokens += s.num_tokens();
  REQUIRE(stats.num_sequences == static_cast<std::int64_t>(sequences.size()));
  REQUIRE(stats.num_tokens == tokens);
  REQUIRE(stats.free + stats.live == stats.total);
  REQUIRE(stats.allocated - stats.freed == stats.live);
  REQUIRE(stats.counters.created - stats.counters.released == stats.num_sequences);
  double held_bytes = 0, empty_bytes = 0;
  for (int g = 0; g < 2; ++g) {
    GroupStats const& s = stats.groups.at(static_cast<std::size_t>(g));
    REQUIRE(s.total == cache.num_blocks(g));
    REQUIRE(s.free == cache.num_free_blocks(g));
    REQUIRE(s.free + s.live == s.total);
    REQUIRE(s.slots_held == s.live * cache.shape(g).block_size);
    REQUIRE(s.slots_empty == empty_slots(cache, sequences, g));
    REQUIRE(s.stored == stored_tokens(cache, sequences, g));
    REQUIRE(s.block_bytes == cache.block_bytes(g));
    REQUIRE(s.peak_live >= s.live);
    held_bytes += static_cast<double>(s.slots_held * s.block_bytes) / cache.shape(g).block_size;
    empty_bytes += static_cast<double>(s.slots_empty * s.block_bytes) / cache.shape(g).block_size;
  }
  REQUIRE(stats.waste() == Approx(held_bytes > 0 ? empty_bytes / held_bytes : 0.0));
}

/// Reads JSON as strictly as its grammar, for objects, arrays and numbers: all that Stats needs. Numbers come out as
/// "key" or "groups[0].key".
class JsonReader {
 public:
  explicit JsonReader(std::string text) : text_(std::move(text)) {
    value("");
    if (at_ != text_.size()) fail();
  }
  std::map<std::string, double> numbers;

 private:
  [[noreturn]] void fail() const { throw std::runtime_error("no JSON at " + std::to_string(at_) + ": " + text_); }
  char next() { return at_ < text_.size() ? text_[at_++] : (fail(), '\0'); }
  [[nodiscard]] char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void expect(char c) {
    if (next() != c) fail();
  }
  void value(std::string const& path) {
    if (peek() == '{') return object(path);
    if (peek() == '[') return array(path);
    number(path);
  }
  void object(std::string const& path) {
    expect('{');
    for (char separator = peek() == '}' ? next() : ','; separator != '}'; separator = next()) {
      if (separator != ',') fail();
      expect('"');
      std::string key;
      for (char c = next(); c != '"'; c = next()) key += c;
      expect(':');
      value(path + key);
    }
  }
  void array(std::string const& path) {
    expect('[');
    int index = 0;
    for (char separator = peek() == ']' ? next() : ','; separator != ']'; separator = next()) {
      if (separator != ',') fail();
      value(path + "[" + std::to_string(index++) + "].");
    }
  }
  void number(std::string const& path) {
    std::size_t const begin = at_;
    if (peek() == '-') ++at_;
    if (std::isdigit(static_cast<unsigned char>(peek())) == 0) fail();
    while (std::isdigit(static_cast<unsigned char>(peek())) != 0 ||
           std::string(".eE+-").find(peek()) != std::string::npos)
      ++at_;
    if (!numbers.emplace(path, std::stod(text_.substr(begin, at_ - begin))).second) fail();
  }

  std::string text_;
  std::size_t at_ = 0;
};

}  // namespace

TEST_CASE("an empty cache holds nothing and wastes nothing") {
  Cache const cache({.num_blocks = {10, 20}});
  Stats const stats = cache.stats();
  CHECK(stats.total == 30);
  CHECK(stats.free == 30);
  CHECK(stats.live == 0);
  CHECK(stats.waste() == 0.0);
  CHECK(stats.bytes_total == 10 * cache.block_bytes(0) + 20 * cache.block_bytes(1));
  CHECK(stats.bytes_live == 0);
  CHECK(stats.num_sequences == 0);
}

TEST_CASE("waste is the share of empty slots: one token in a block of four and one of three") {
  Cache cache({.num_blocks = {10, 20}});
  Sequence const s = cache.create(1);
  Stats const stats = cache.stats();
  CHECK(stats.groups[0].slots_empty == 3);
  CHECK(stats.groups[1].slots_empty == 2);
  CHECK(stats.slots_held == 7);
  CHECK(stats.slots_empty == 5);
  double const in_bytes =
      (0.75 * static_cast<double>(cache.block_bytes(0)) + 2.0 / 3 * static_cast<double>(cache.block_bytes(1))) /
      static_cast<double>(cache.block_bytes(0) + cache.block_bytes(1));
  CHECK(stats.waste() == Approx(in_bytes));
}

TEST_CASE("a slot that forks share is held once and empty once") {
  Cache cache({.num_blocks = {10, 20}});
  Sequence const a = cache.create(5);
  Sequence b = a.fork();
  CHECK(cache.stats().groups[0].slots_empty == 3);
  CHECK(cache.stats().num_tokens == 10);
  b.truncate(2);  // its block is still filled by a
  CHECK(cache.stats().groups[0].slots_empty == 3);
  CHECK(cache.stats().groups[0].shared == 1);
}

TEST_CASE("a holder who filled a block for those who use less of it, and went, leaves it emptier") {
  Cache cache({.num_blocks = {10, 20}});
  Sequence a = cache.create(4);
  Sequence b = a.fork();
  b.truncate(1);
  CHECK(cache.stats().groups[0].slots_empty == 0);
  a.release();
  CHECK(cache.stats().groups[0].slots_empty == 3);
}

TEST_CASE("after every step of a random program the gauges are what ticking off each token gives") {
  std::mt19937 random(41);
  Cache cache({.num_blocks = {40, 40}});
  std::vector<Sequence> sequences;
  for (int step = 0; step < 3000; ++step) {
    int const what = below(random, 8);
    if (sequences.empty() || (what == 0 && sequences.size() < 8)) sequences.push_back(cache.create());
    auto const i = static_cast<std::size_t>(below(random, static_cast<std::int32_t>(sequences.size())));
    if (what < 4)
      (void)sequences[i].try_extend(below(random, 6));
    else if (what == 4 && sequences.size() < 8)
      sequences.push_back(sequences[i].fork());
    else if (what == 5)
      sequences[i].truncate(sequences[i].num_tokens() - below(random, sequences[i].num_new_tokens() + 1));
    else if (what == 6)
      sequences.erase(sequences.begin() + static_cast<std::ptrdiff_t>(i));
    else if (what == 7) {
      std::int32_t const blocks = sequences[i].num_stored_tokens() / 4, first = below(random, blocks + 1);
      sequences[i].cut(4 * first, 4 * below(random, blocks - first + 1));
    }
    check_stats(cache, sequences);
  }
}

TEST_CASE("stored tokens are those that a window, cut and keep left, and a fork's count again") {
  Cache cache({.num_blocks = {10, 20}});
  Sequence a = cache.create(30);
  auto const stored = [&](int group) { return cache.stats().groups[static_cast<std::size_t>(group)].stored; };
  CHECK(stored(0) == 30);
  CHECK(stored(1) == 30);  // no step was made without the earlier ones
  a.extend(1);
  CHECK(stored(0) == 31);
  CHECK(stored(1) == 3 + 7);  // the block of the sinks, and tokens 24 to 30: a query at 30 sees 25 to 30
  a.cut(4, 16);
  CHECK(stored(0) == 15);
  a.keep({.num_tokens = 5, .num_first = 4, .num_last = 1});
  CHECK(stored(0) == 5);
  Sequence const b = a.fork();
  CHECK(stored(0) == 10);
  CHECK(stored(1) == 20);
  CHECK(cache.stats().num_tokens == 62);
  a.release();
  CHECK(stored(0) == 5);
  CHECK(stored(1) == 10);
}

TEST_CASE("stored tokens of a prefix that was found are the window's, not all before it") {
  using Keeping = folio::KvCache<folio::Model<hybrid>, folio::BlockSizes<4, 2>, folio::F32, folio::LruEviction>;
  Keeping cache({.num_blocks = {20, 40}});
  std::vector<std::int32_t> const prompt(41, 5);
  Sequence first = cache.create(41);
  cache.insert(first, prompt);
  first.release();
  CHECK(cache.stats().groups[0].stored == 0);
  Sequence const again = cache.create(folio::Prefix(prompt));
  REQUIRE(again.num_cached_tokens() == 40);
  auto const blocks = folio::test::block_ids(again, 1);
  auto const num_blocks = static_cast<std::int64_t>(blocks.size()) - std::count(blocks.begin(), blocks.end(), 0);
  REQUIRE(num_blocks < 20);
  CHECK(cache.stats().groups[0].stored == 40);
  CHECK(cache.stats().groups[1].stored == 2 * num_blocks);
}

TEST_CASE("the peak is each group's own") {
  Cache cache({.num_blocks = {10, 20}});
  { Sequence const s = cache.create(12); }
  Sequence const s = cache.create(1);
  Stats const stats = cache.stats();
  CHECK(stats.groups[0].peak_live == 3);
  CHECK(stats.groups[1].peak_live == 4);
  CHECK(stats.bytes_peak == 3 * cache.block_bytes(0) + 4 * cache.block_bytes(1));
  CHECK(stats.bytes_live == cache.block_bytes(0) + cache.block_bytes(1));
}

TEST_CASE("the counters are in the snapshot") {
  Cache cache({.num_blocks = {4, 4}});
  Sequence a = cache.create(5);
  Sequence b = a.fork();
  b.extend(1);
  b.truncate(3);
  (void)b.try_extend(1000);
  b.release();
  auto const counters = cache.stats().counters;
  CHECK(counters.created == 2);
  CHECK(counters.released == 1);
  CHECK(counters.appends == 2);
  CHECK(counters.truncates == 1);
  CHECK(counters.forks == 1);
  CHECK(counters.copies == 2);
  CHECK(counters.out_of_blocks == 1);
}

TEST_CASE("the JSON is one object with every gauge and counter, and a list of groups") {
  Cache cache({.num_blocks = {10, 20}});
  Sequence const a = cache.create(7);
  Sequence b = a.fork();
  b.extend(1);
  Stats const stats = cache.stats();
  auto const numbers = JsonReader(folio::to_json(stats)).numbers;
  std::map<std::string, double> expected;
  auto const add = [&](std::string const& key, auto value) { expected[key] = static_cast<double>(value); };
  add("total", stats.total), add("free", stats.free), add("live", stats.live), add("shared", stats.shared);
  add("peak_live", stats.peak_live), add("allocated", stats.allocated), add("freed", stats.freed);
  add("cached", stats.cached), add("reserved", stats.reserved);
  add("slots_held", stats.slots_held), add("slots_empty", stats.slots_empty), add("waste", stats.waste());
  add("bytes_total", stats.bytes_total), add("bytes_live", stats.bytes_live), add("bytes_peak", stats.bytes_peak);
  add("num_sequences", stats.num_sequences), add("num_tokens", stats.num_tokens);
  add("created", stats.counters.created), add("released", stats.counters.released);
  add("appends", stats.counters.appends), add("truncates", stats.counters.truncates);
  add("forks", stats.counters.forks), add("copies", stats.counters.copies);
  add("out_of_blocks", stats.counters.out_of_blocks);
  add("demotions", 0), add("demoted_tokens", 0), add("bytes_saved", 0);  // it demotes nothing
  for (char const* name : {"lookups", "hit_tokens", "missed_tokens", "hit_rate", "stored_units", "evicted_units",
                           "evicted_blocks", "mean_evicted_age", "merged_blocks", "local_units"})
    add(name, 0);  // it keeps no prefixes
  for (std::size_t g = 0; g < 2; ++g) {
    std::string const path = "groups[" + std::to_string(g) + "].";
    GroupStats const& s = stats.groups[g];
    add(path + "total", s.total), add(path + "free", s.free), add(path + "live", s.live),
        add(path + "shared", s.shared);
    add(path + "cached", s.cached), add(path + "reserved", s.reserved);
    add(path + "peak_live", s.peak_live), add(path + "allocated", s.allocated), add(path + "freed", s.freed);
    add(path + "slots_held", s.slots_held), add(path + "slots_empty", s.slots_empty);
    add(path + "block_bytes", s.block_bytes), add(path + "stored", s.stored);
    add(path + "group", g), add(path + "demoted", 0);
  }
  CHECK(numbers == expected);
}

TEST_CASE("what a cache found, kept and evicted, and how long that was unused, is in its numbers and in the JSON") {
  using Keeping = folio::KvCache<folio::Model<hybrid>, folio::BlockSizes<4, 2>, folio::F32, folio::LruEviction>;
  Keeping cache({.num_blocks = {10, 20}});
  std::vector<std::int32_t> const prompt{1, 2, 3, 4, 5, 6, 7, 8, 9};
  for (int request = 0; request < 2; ++request) {
    cache.prefixes().set_time(10 * request);
    auto sequence = cache.create(prompt);
    sequence.extend(9 - sequence.num_tokens());
    cache.insert(sequence, prompt);
  }
  cache.prefixes().set_time(13);
  REQUIRE(cache.prefixes().evict_unit());
  cache.prefixes().set_time(14);
  REQUIRE(cache.prefixes().evict_unit());
  Stats const stats = cache.stats();
  CHECK(stats.free + stats.live + stats.cached == stats.total);
  auto const numbers = JsonReader(folio::to_json(stats)).numbers;
  std::map<std::string, double> const expected{
      {"lookups", 2},          {"hit_tokens", 8},      {"missed_tokens", 10},
      {"hit_rate", 8.0 / 18},  {"stored_units", 2},    {"evicted_units", 2},
      {"evicted_blocks", 6.0}, {"merged_blocks", 0.0}, {"mean_evicted_age", 3.5},
      {"local_units", 0}};
  for (auto const& [name, value] : expected) {
    INFO(name);
    CHECK(numbers.at(name) == Approx(value));
  }
}

TEST_CASE("peak, freed and empty slots where prefixes keep blocks") {
  constexpr ModelConfig full{.layers = 1, .kv_heads = 1, .head_dim = 8};
  folio::KvCache<folio::Model<full>, folio::BlockSize<4>, folio::F32, folio::LruEviction> cache({.num_blocks = {10}});
  std::vector<std::int32_t> const prompt{1, 2, 3, 4, 5, 6, 7, 8, 9};
  auto const is = [&](std::int64_t live, std::int64_t cached, std::int64_t peak, std::int64_t freed,
                      std::int64_t empty) {
    GroupStats const s = cache.stats().groups[0];
    CHECK(s.live == live);
    CHECK(s.cached == cached);
    CHECK(s.peak_live == peak);
    CHECK(s.freed == freed);
    CHECK(s.slots_held == 4 * live);
    CHECK(s.slots_empty == empty);
    CHECK(s.allocated - s.freed == live + cached);
    CHECK(cache.stats().slots_empty == empty);
    CHECK(cache.stats().bytes_peak == peak * cache.block_bytes());
  };
  Sequence a = cache.create(9);
  is(3, 0, 3, 0, 3);
  cache.insert(a, prompt);
  is(3, 0, 3, 0, 3);
  a.truncate(6);  // what it gave up of its last block the tree counts on
  is(2, 0, 3, 1, 0);
  a.release();
  is(0, 2, 3, 1, 0);
  Sequence b = cache.create(prompt);
  is(2, 0, 3, 1, 0);
  b.extend(9);
  is(5, 0, 5, 1, 3);
  Sequence c = b.fork();
  is(5, 0, 5, 1, 3);
  b.release();
  is(5, 0, 5, 1, 3);
  c.truncate(7);
  is(2, 0, 5, 4, 0);
  cache.release_lease(c);
  while (cache.prefixes().evict_unit()) {
  }
  is(2, 0, 5, 4, 1);  // nobody but c counts on its last slot any more
  c.release();
  is(0, 0, 5, 6, 0);
}

TEST_CASE("the JSON of an empty snapshot is whole, and large numbers are exact") {
  Stats stats;
  CHECK_NOTHROW(JsonReader(folio::to_json(stats)));
  stats.bytes_total = 1'234'567'890'123'456;
  CHECK_THAT(folio::to_json(stats), folio::test::contains("\"bytes_total\":1234567890123456,"));
}

TEST_CASE("a locale with decimal commas does not change the JSON") {
  Stats stats;
  stats.groups.push_back({.total = 2, .live = 2, .slots_held = 8, .slots_empty = 3, .block_bytes = 64});
  CHECK_THAT(folio::to_json(stats), folio::test::contains("\"waste\":0.375"));
  // That of streams can be made here. That of printf must be installed, or built beside this program.
  struct Commas : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\3"; }
  };
  stats.bytes_total = 1'234'567;
  std::string const before = folio::to_json(stats);
  std::locale const streams = std::locale::global(std::locale(std::locale::classic(), new Commas));
  std::string const of_streams = folio::to_json(stats);
  std::locale::global(streams);
  CHECK(of_streams == before);

#ifdef FOLIO_TEST_LOCALES
  setenv("LOCPATH", FOLIO_TEST_LOCALES, 1);
#endif
  bool found = false;
  for (char const* const name : {"comma", "de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "fr_FR.utf8", "de_DE"})
    found = found || (std::setlocale(LC_ALL, name) != nullptr && std::localeconv()->decimal_point[0] == ',');
  std::string const of_printf = folio::to_json(stats);
  std::setlocale(LC_ALL, "C");
  CHECK(of_printf == before);
  if (!found) FOLIO_SKIP("no locale with decimal commas is installed, and localedef cannot make one");
}
