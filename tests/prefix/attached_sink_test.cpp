// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Sinks that come to an index and leave it while it runs, beside those of its type.
#include <folio/observe/prefix_events.hpp>
#include <folio/prefix/attached_sink.hpp>
#include <optional>
#include <string>
#include <vector>

#include "support/prefix_ledger.hpp"

using namespace folio;
using folio::test::count_from;
using folio::test::PrefixLedger;

namespace {

/// Hears what only some hear.
struct Diary {
  static constexpr PrefixEvents hears = PrefixEvents::inserted | PrefixEvents::time_set;
  void inserted(PrefixInserted const& e) noexcept {
    pages.push_back(std::to_string(e.scope) + ": " + std::to_string(e.symbols.size()) + " of " +
                    std::to_string(e.tenant) + ", told " + std::to_string(e.told) + ", found " +
                    std::to_string(e.found) + (e.keys.empty() ? "" : ", keys"));
  }
  void time_set(double now) noexcept { pages.push_back("at " + std::to_string(static_cast<int>(now))); }
  std::vector<std::string> pages;
};
static_assert(EventSink<Diary> && !wants_keys<Diary>);

}  // namespace

TEST_CASE("one vocabulary: a sink of the cache and one that is attached hear insertions and the clock alike") {
  PrefixLedger<PrefixIndex<LruEviction, EventSinks<Diary, PrefixRecorder>>> ledger(40);
  Diary early, late;
  SinkAttachment<Diary> const attached(ledger.tree.attached(), early);
  auto const prompt = count_from(1, 11);
  REQUIRE(ledger.serve({prompt, 3}, 5));
  {
    SinkAttachment<Diary> const second(ledger.tree.attached(), late);
    ledger.tree.set_time(7);
    ledger.tree.set_time(2);  // never goes back
    REQUIRE(ledger.serve({prompt, 3}, 6));
  }
  SequenceState& state = *ledger.run({prompt, 3}, 6);
  ledger.tree.insert(state, 3, std::span(prompt).first(3));  // not a unit
  ledger.tree.insert(state, 3, std::span(prompt).first(4));
  ledger.tree.insert(state, 3, prompt);
  std::vector<std::string> const all{
      "3: 8 of 5, told 0, found 0", "at 7", "at 7", "3: 8 of 5, told 0, found 2", "3: 4 of 5, told 0, found 2",
      "3: 8 of 5, told 1, found 2"};
  CHECK(early.pages == all);
  CHECK(late.pages == std::vector<std::string>(all.begin() + 1, all.begin() + 4));
  CHECK(ledger.tree.sink().get<Diary>().pages == all);
  CHECK(ledger.tree.sink().get<PrefixRecorder>().events().size() == 1);  // a sink hears what it says, and no more
}

TEST_CASE("attached sinks hear in the order in which they came, whoever leaves meanwhile") {
  AttachedSinks all;
  Diary diaries[4];
  std::optional<SinkAttachment<Diary>> attached[4];
  auto const heard = [&](int now) {
    for (Diary& diary : diaries) diary.pages.clear();
    all.time_set(now);
    std::string who;
    for (Diary const& diary : diaries) who += diary.pages.empty() ? '-' : 'x';
    return who;
  };
  CHECK(heard(1) == "----");
  for (std::size_t i = 0; i < 3; ++i) attached[i].emplace(all, diaries[i]);
  CHECK(heard(2) == "xxx-");
  attached[1].reset();
  attached[3].emplace(all, diaries[3]);
  CHECK(heard(3) == "x-xx");
  attached[0].reset();
  attached[3].reset();
  attached[1].emplace(all, diaries[1]);
  CHECK(heard(4) == "-xx-");
  attached[2].reset();
  attached[1].reset();
  CHECK(heard(5) == "----");
}
