// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Four threads on one cache, for the thread sanitizer. With FOLIO_TEST_WITHOUT_LOCK the lock is none, and it must cry.
#include <cstdio>

#include "locked/threads.hpp"

#if defined(FOLIO_TEST_WITHOUT_LOCK)
struct Mutex {
  void lock() {}
  void unlock() {}
};
#else
using Mutex = std::mutex;
#endif

int main() {
  using namespace folio::test;
  Outcome const outcome = serve_by_threads<folio::LockedCache<SharedCache, Mutex>>(4, 1500, 64);
  std::printf("%lld served, %lld tokens cached, %lld evicted, %lld wrong\n", static_cast<long long>(outcome.num_served),
              static_cast<long long>(outcome.num_cached), static_cast<long long>(outcome.stats.prefixes.evicted_units),
              static_cast<long long>(outcome.num_wrong));
  bool const did_much =
      outcome.num_served > 2000 && outcome.num_cached > 1000 && outcome.stats.prefixes.evicted_units > 100;
  return did_much && outcome.num_wrong == 0 && outcome.stats.live == 0 ? 0 : 1;
}
