// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What random programs are made of, and how they are drawn: the same for the host's driver and the device's.

#include <rapidcheck.h>

#include <cstdint>
#include <cstdlib>
#include <ostream>
#include <string>
#include <vector>

namespace folio::test {

/// One step. Numbers are taken modulo what exists, so every program is valid and shrinking keeps it so.
struct Operation {
  enum Kind {
    create,
    append,
    append_to_all,
    fork,
    truncate,
    release,
    bad,
    cut,
    keep,
    swap,
    resize,
    demote,
    set_recent_window,
    find,
    insert,
    evict,
    take_back,
    num_kinds
  };
  Kind kind = create;
  std::uint32_t which = 0;   // sequence
  std::uint32_t amount = 0;  // tokens
};

inline std::ostream& operator<<(std::ostream& out, Operation const& op) {
  constexpr char const* names[] = {
      "create", "append", "append_to_all",     "fork", "truncate", "release", "bad",      "cut", "keep", "swap",
      "resize", "demote", "set_recent_window", "find", "insert",   "evict",   "take_back"};
  return out << names[op.kind] << "(which " << op.which << ", amount " << op.amount << ")";
}

/// Appending and forking more often than the rest, so that pools run full and blocks are shared. Of swap and resize,
/// each with weight `other`; demotions where the cache `demotes`; requests that find prompts where it keeps `prefixes`.
inline rc::Gen<Operation> operation(std::size_t other = 0, bool demotes = false, bool prefixes = false) {
  using rc::gen::inRange;
  auto const kind = rc::gen::weightedElement<Operation::Kind>({{1, Operation::create},
                                                               {6, Operation::append},
                                                               {2, Operation::append_to_all},
                                                               {3, Operation::fork},
                                                               {4, Operation::truncate},
                                                               {2, Operation::release},
                                                               {1, Operation::bad},
                                                               {2, Operation::cut},
                                                               {2, Operation::keep},
                                                               {other, Operation::swap},
                                                               {other, Operation::resize},
                                                               {demotes ? 8 : 0, Operation::demote},
                                                               {demotes ? 1 : 0, Operation::set_recent_window},
                                                               {prefixes ? 12 : 0, Operation::find},
                                                               {prefixes ? 5 : 0, Operation::insert},
                                                               {prefixes ? 1 : 0, Operation::evict},
                                                               {prefixes ? 4 : 0, Operation::take_back}});
  return rc::gen::construct<Operation>(kind, inRange<std::uint32_t>(0, 6), inRange<std::uint32_t>(0, 1000));
}

/// How many blocks each list has: scarce or ample, so that each runs out first in some programs. Scarce are enough for
/// a unit or two, where prefixes are kept.
inline rc::Gen<std::vector<std::int64_t>> pool_sizes(std::size_t num_lists = 3, bool prefixes = false) {
  auto const scarce = prefixes ? rc::gen::inRange<std::int64_t>(10, 30) : rc::gen::inRange<std::int64_t>(4, 10);
  return rc::gen::container<std::vector<std::int64_t>>(
      num_lists,
      rc::gen::oneOf(rc::gen::resize(100, scarce), rc::gen::resize(100, rc::gen::inRange<std::int64_t>(30, 100))));
}

/// How many programs for each quantizer: FOLIO_PROGRAMS, or 1000.
inline int num_programs() {
  char const* const programs = std::getenv("FOLIO_PROGRAMS");
  return programs != nullptr ? std::atoi(programs) : 1000;
}

/// A fixed seed, so that a failure in CI is a failure here, or FOLIO_SEED. RC_PARAMS, where it is set, decides alone.
inline void set_rapidcheck(int count) {
  char const* const seed = std::getenv("FOLIO_SEED");
  std::string const from = seed != nullptr ? seed : "20261120";
  setenv("RC_PARAMS", ("seed=" + from + " max_success=" + std::to_string(count)).c_str(), 0);
}

}  // namespace folio::test
